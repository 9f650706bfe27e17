//! What brings the cluster to what its objects ask for.

pub(crate) mod autoscaler;
pub(crate) mod cronjob;
pub(crate) mod daemonset;
pub(crate) mod deployment;
pub(crate) mod disruption;
pub(crate) mod endpoints;
pub(crate) mod eviction;
pub(crate) mod garbage;
pub(crate) mod job;
pub(crate) mod lifecycle;
pub(crate) mod namespaces;
pub(crate) mod podgc;
pub(crate) mod pods;
pub(crate) mod quota;
pub(crate) mod replicas;
pub(crate) mod revisions;
pub(crate) mod roles;
pub(crate) mod statefulset;
pub(crate) mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::agenda::Work;
use crate::kinds::Kind;
use crate::store::{Change, Key, What};
use crate::value::{at, controller, namespace, text};
use crate::world::World;

/// What controllers remember that no object tells.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// When a node's daemon pod failed last, and how long it is left then, by set and node.
    daemons: BTreeMap<String, (Timestamp, Duration)>,
    /// How many pods of a Job failed in a row, and when the last did, by the Job's uid, and by index
    /// where each has a limit of its own.
    jobs: BTreeMap<(String, Option<i64>), (u32, Timestamp)>,
}

/// How long a Job's controller waits for more pods to change before it looks.
///
/// Source: `pkg/controller/job/job_controller.go`, `SyncJobBatchPeriod`.
const BATCH: Duration = Duration::from_secs(1);

/// Brings an object to what it asks for, and tries again later where the API refused something.
pub(crate) fn sync(world: &mut World, kind: Kind, key: &Key) {
    let outcome = match kind {
        Kind::Deployment => deployment::sync(world, key),
        Kind::ReplicaSet | Kind::ReplicationController => replicas::sync(world, kind, key),
        Kind::StatefulSet => statefulset::sync(world, key),
        Kind::DaemonSet => daemonset::sync(world, key),
        Kind::Job => job::sync(world, key),
        Kind::CronJob => return cronjob::sync(world, key),
        Kind::Service => return endpoints::sync(world, key),
        Kind::HorizontalPodAutoscaler => return autoscaler::sync(world, key),
        Kind::ResourceQuota => return quota::sync(world, key),
        Kind::ClusterRole => return roles::sync(world, key),
        _ => return,
    };
    let work = Work::Sync(kind, key.clone());
    let now = world.now();
    match (outcome, kind) {
        (Ok(()), _) => world.agenda.forget(&work),
        (Err(_), Kind::Job) => {
            world
                .agenda
                .retry_within(now, work, job::REFUSED, job::REFUSED_AT_MOST);
        }
        (Err(_), _) => world.agenda.retry(now, work),
    }
}

/// Asks for the work of the controllers that a change concerns.
pub(crate) fn notice(world: &mut World, change: &Change) {
    let (kind, object) = (change.kind, &change.object);
    match kind {
        Kind::Deployment
        | Kind::ReplicaSet
        | Kind::ReplicationController
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::Job
        | Kind::CronJob
        | Kind::Service
        | Kind::HorizontalPodAutoscaler
        | Kind::ResourceQuota => {
            let status_alone = change.before.as_deref().is_some_and(|before| {
                at(before, "/metadata/generation") == at(object, "/metadata/generation")
            });
            let work = Work::Sync(kind, Key::of(object));
            if kind == Kind::Job && status_alone {
                world.later(BATCH, work);
            } else if kind != Kind::HorizontalPodAutoscaler || !status_alone {
                world.soon(work);
            }
        }
        Kind::ClusterRole => roles::notice(world),
        Kind::Node
            if change
                .before
                .as_deref()
                .is_none_or(|before| suits(before) != suits(object)) =>
        {
            let sets = world.store.list(Kind::DaemonSet, None);
            let keys: Vec<Key> = sets.map(|set| Key::of(set)).collect();
            for key in keys {
                world.soon(Work::Sync(Kind::DaemonSet, key));
            }
        }
        _ => {}
    }
    // Whoever owns it, or owned it before.
    for object in [Some(object), change.before.as_ref()].into_iter().flatten() {
        let Some(owner) = controller(object) else {
            continue;
        };
        let of = Kind::named(text(owner, "/apiVersion"), text(owner, "/kind"));
        let key = Key::new(namespace(object), text(owner, "/name"));
        match of {
            Some(Kind::Job) => world.later(BATCH, Work::Sync(Kind::Job, key)),
            Some(of) if of.facts().namespaced => world.soon(Work::Sync(of, key)),
            _ => {}
        }
    }
    if matches!(kind, Kind::Pod | Kind::ReplicaSet) && controller(object).is_none() {
        offer(world, kind, object);
    }
    if kind == Kind::Pod {
        endpoints::notice(world, change);
    }
    if kind == Kind::Pod && change.what == What::Deleted {
        // A Deployment that is to be made anew waits until its last pod is gone.
        let set = controller(object).map(|owner| Key::new(namespace(object), text(owner, "/name")));
        let set = set.and_then(|key| world.store.get(Kind::ReplicaSet, &key).cloned());
        if let Some(owner) = set.as_deref().and_then(controller) {
            let key = Key::new(namespace(object), text(owner, "/name"));
            world.soon(Work::Sync(Kind::Deployment, key));
        }
    }
    if kind.facts().namespaced && (change.what != What::Modified || kind == Kind::Pod) {
        quota::notice(world, change);
    }
}

/// What of a node decides which daemons it takes.
fn suits(node: &Value) -> (&Value, &Value) {
    (at(node, "/metadata/labels"), at(node, "/spec/taints"))
}

/// Tells those who may want it of an object that nobody owns.
fn offer(world: &mut World, kind: Kind, object: &Value) {
    let takers: &[Kind] = match kind {
        Kind::Pod => &[
            Kind::ReplicaSet,
            Kind::ReplicationController,
            Kind::StatefulSet,
            Kind::DaemonSet,
        ],
        _ => &[Kind::Deployment],
    };
    for taker in takers {
        let selecting: Vec<Key> = world
            .store
            .list(*taker, Some(namespace(object)))
            .filter(|one| {
                let selector = at(one, "/spec/selector");
                let labels = match taker {
                    Kind::ReplicationController => Some(crate::selector::Labels::of_map(selector)),
                    _ => crate::selector::Labels::of(selector),
                };
                labels.is_some_and(|labels| !labels.is_empty() && labels.select(object))
            })
            .map(|one| Key::of(one))
            .collect();
        for key in selecting {
            world.soon(Work::Sync(*taker, key));
        }
    }
}
