//! Pods that do not tolerate what their node is tainted with are deleted, in their time.
//!
//! Source: `pkg/controller/tainteviction/taint_eviction.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agenda::Work;
use crate::clock::after;
use crate::kinds::Kind;
use crate::scheduler::tolerates;
use crate::store::{Change, Key, What};
use crate::value::{at, deleting, int, list, name, text};
use crate::world::{Deletion, World};

const COMPONENT: &str = "taint-eviction-controller";

/// The pods that are to go: since when that is known, and when it is time.
pub(crate) type Evictions = BTreeMap<Key, (Timestamp, Timestamp)>;

/// Sees what changed of nodes' taints and pods' tolerations.
pub(crate) fn notice(world: &mut World, change: &Change) {
    let object = &change.object;
    match (change.kind, change.what) {
        (Kind::Node, What::Added | What::Modified) => {
            let before = change.before.as_deref().unwrap_or(&Value::Null);
            if executing(before) != executing(object) {
                for pod in world.store.pods_on(name(object)) {
                    judge(world, &pod, object);
                }
            }
        }
        (Kind::Pod, What::Deleted) => {
            world.evictions.remove(&Key::of(object));
        }
        (Kind::Pod, _) => {
            let same = change.before.as_ref().is_some_and(|before| {
                ["/spec/nodeName", "/spec/tolerations"]
                    .iter()
                    .all(|path| at(before, path) == at(object, path))
            });
            if !same
                && let Some(node) = world.find(Kind::Node, "", text(object, "/spec/nodeName"))
                && !executing(&node).is_empty()
            {
                judge(world, object, &node);
            }
        }
        _ => {}
    }
}

fn executing(node: &Value) -> Vec<&Value> {
    list(node, "/spec/taints")
        .iter()
        .filter(|taint| text(taint, "/effect") == "NoExecute")
        .collect()
}

/// Says when a pod has to leave its node, if it has to.
fn judge(world: &mut World, pod: &Value, node: &Value) {
    let key = Key::of(pod);
    let now = world.now();
    let tolerations = list(pod, "/spec/tolerations");
    let mut patience: Option<Duration> = None;
    for taint in executing(node) {
        let tolerating: Vec<&Value> = tolerations
            .iter()
            .filter(|toleration| tolerates(toleration, taint))
            .collect();
        let at_most = |seconds: i64| Duration::from_secs(seconds.max(0).unsigned_abs());
        let limit = if tolerating.is_empty() {
            Some(Duration::ZERO)
        } else {
            // The first that matches counts.
            int(tolerating[0], "/tolerationSeconds").map(at_most)
        };
        patience = match (patience, limit) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    let Some(patience) = patience else {
        cancel(world, &key);
        return;
    };
    let mut began = now;
    if let Some((since, _)) = world.evictions.get(&key) {
        if patience > Duration::ZERO {
            began = *since;
            if after(began, patience) < after(now, patience) {
                return;
            }
        }
        cancel(world, &key);
    }
    let time = after(began, patience);
    world.evictions.insert(key.clone(), (began, time));
    world.agenda.at(time, Work::Evict(key));
}

fn about(key: &Key) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "namespace": key.namespace, "name": key.name })
}

fn cancel(world: &mut World, key: &Key) {
    if world.evictions.remove(key).is_some() {
        let message = format!("Cancelling deletion of Pod {}/{}", key.namespace, key.name);
        world.event(
            COMPONENT,
            "",
            &about(key),
            "Normal",
            "TaintManagerEviction",
            &message,
        );
    }
}

/// Deletes a pod whose time has come.
pub(crate) fn evict(world: &mut World, key: &Key) {
    let now = world.now();
    match world.evictions.get(key) {
        Some((_, time)) if *time <= now => world.evictions.remove(key),
        Some((_, time)) => {
            let time = *time;
            world.agenda.at(time, Work::Evict(key.clone()));
            return;
        }
        None => return,
    };
    let Some(pod) = world.store.get(Kind::Pod, key).cloned() else {
        return;
    };
    let message = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
    world.event(
        COMPONENT,
        "",
        &about(key),
        "Normal",
        "TaintManagerEviction",
        &message,
    );
    world.set_condition(
        Kind::Pod,
        key,
        json!({ "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint" }),
    );
    if !deleting(&pod) {
        // Gone already is as good as deleted.
        let _gone = world.delete(Kind::Pod, key, &Deletion::default());
    }
}
