//! ReplicaSets and ReplicationControllers: so many pods of one template.
//!
//! Source: `pkg/controller/replicaset/replica_set.go`, `replica_set_utils.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pods::{self, count, int_or, is_active, is_ready};
use crate::agenda::Work;
use crate::clock::seconds;
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{at, condition, deleting, int, list, set, text};
use crate::world::World;

/// How many pods are made or deleted at one time.
const BURST: usize = 500;

/// Brings a ReplicaSet or a ReplicationController to its number of pods.
pub(super) fn sync(world: &mut World, kind: Kind, key: &Key) -> Result<(), Refusal> {
    let Some(set) = world.store.get(kind, key).cloned() else {
        return Ok(());
    };
    let selector = at(&set, "/spec/selector");
    let selector = match kind {
        Kind::ReplicationController => Labels::of_map(selector),
        _ => Labels::of(selector).unwrap_or_default(),
    };
    if selector.is_empty() {
        return Ok(());
    }
    let mut owned = pods::claim(world, Kind::Pod, kind, &set, &selector);
    owned.retain(|pod| is_active(pod));
    let before = owned.clone();
    let outcome = if deleting(&set) {
        Ok(())
    } else {
        manage(world, kind, &set, &mut owned)
    };
    write_status(world, kind, key, &before, &outcome);
    let now = world.now();
    let patience = int_or(&set, "/spec/minReadySeconds", 0);
    if let Some(time) = pods::next_available(&before, patience, now) {
        world.agenda.at(time, Work::Sync(kind, key.clone()));
    }
    outcome
}

fn component(kind: Kind) -> &'static str {
    match kind {
        Kind::ReplicationController => "replication-controller",
        _ => "replicaset-controller",
    }
}

/// Makes the pods that are missing, or deletes those that are too many.
fn manage(
    world: &mut World,
    kind: Kind,
    set: &Value,
    owned: &mut Vec<Arc<Value>>,
) -> Result<(), Refusal> {
    let wanted = usize::try_from(int_or(set, "/spec/replicas", 1)).unwrap_or(0);
    if owned.len() < wanted {
        let mut missing = (wanted - owned.len()).min(BURST);
        // In batches that double: where one is refused, the next are not tried.
        let mut batch = 1;
        while missing > 0 {
            let mut refused = None;
            for _ in 0..batch.min(missing) {
                let pod = pods::from_template(at(set, "/spec/template"), kind, set);
                match pods::make(world, component(kind), set, pod) {
                    Ok(_) => {}
                    Err(refusal) if pods::ends_with_namespace(&refusal) => {}
                    Err(refusal) => refused = refused.or(Some(refusal)),
                }
            }
            if let Some(refusal) = refused {
                return Err(refusal);
            }
            missing -= batch.min(missing);
            batch *= 2;
        }
    } else if owned.len() > wanted {
        let crowds = crowds(world, set, owned);
        let surplus = (owned.len() - wanted).min(BURST);
        owned.sort_by_cached_key(|pod| rank(pod, &crowds));
        for pod in owned.drain(..surplus) {
            pods::delete(world, component(kind), set, &pod);
        }
    }
    Ok(())
}

/// How many pods of the sets of one controller are on each node: crowded nodes lose pods first.
fn crowds(world: &World, set: &Value, owned: &[Arc<Value>]) -> BTreeMap<String, i64> {
    let mut siblings: Vec<Arc<Value>> = owned.to_vec();
    if let Some(owner) = crate::value::controller(set) {
        siblings.clear();
        for (kind, key) in world.store.dependents(text(owner, "/uid")) {
            let Some(sibling) = world.store.get(kind, &key) else {
                continue;
            };
            for (of, pod) in world.store.dependents(crate::value::uid(sibling)) {
                let pod = (of == Kind::Pod)
                    .then(|| world.store.get(of, &pod))
                    .flatten();
                siblings.extend(pod.filter(|pod| is_active(pod)).cloned());
            }
        }
    }
    let mut crowds = BTreeMap::new();
    for pod in siblings {
        *crowds
            .entry(text(&pod, "/spec/nodeName").to_owned())
            .or_default() += 1;
    }
    crowds
}

/// What sorts first is deleted first.
fn rank(pod: &Value, crowds: &BTreeMap<String, i64>) -> impl Ord + use<> {
    let node = text(pod, "/spec/nodeName");
    let phase = match text(pod, "/status/phase") {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = text(
        pod,
        "/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost",
    );
    let restarts = list(pod, "/status/containerStatuses")
        .iter()
        .map(|status| int_or(status, "/restartCount", 0))
        .max();
    let ready = condition(pod, "Ready").and_then(|ready| pods::time(ready, "/lastTransitionTime"));
    let made = pods::time(pod, "/metadata/creationTimestamp");
    (
        !node.is_empty(),
        phase,
        is_ready(pod),
        cost.parse::<i64>().unwrap_or(0),
        std::cmp::Reverse(crowds.get(node).copied().unwrap_or(0)),
        std::cmp::Reverse(ready.filter(|_| is_ready(pod))),
        std::cmp::Reverse(restarts),
        std::cmp::Reverse(made),
        text(pod, "/metadata/uid").to_owned(),
    )
}

fn write_status(
    world: &mut World,
    kind: Kind,
    key: &Key,
    owned: &[Arc<Value>],
    outcome: &Result<(), Refusal>,
) {
    let now = world.now();
    world.modify(kind, key, |object| {
        let template = match kind {
            Kind::ReplicationController => at(object, "/spec/selector"),
            _ => at(object, "/spec/template/metadata/labels"),
        };
        let labels = Labels::of_map(template);
        let patience = int_or(object, "/spec/minReadySeconds", 0);
        let mut status = at(object, "/status").clone();
        set(&mut status, "/replicas", pods::number(owned, |_| true));
        for (field, number) in [
            (
                "fullyLabeledReplicas",
                pods::number(owned, |pod| labels.select(pod)),
            ),
            ("readyReplicas", pods::number(owned, is_ready)),
            (
                "availableReplicas",
                pods::number(owned, |pod| pods::is_available(pod, patience, now)),
            ),
        ] {
            count(&mut status, field, number);
        }
        if let Some(generation) = int(object, "/metadata/generation") {
            set(&mut status, "/observedGeneration", generation);
        }
        let failed = condition(object, "ReplicaFailure").is_some();
        match outcome {
            Err(refusal) if !failed => set(
                &mut status,
                "/conditions",
                json!([{ "type": "ReplicaFailure", "status": "True",
                    "lastTransitionTime": seconds(now), "reason": "FailedCreate",
                    "message": refusal.message }]),
            ),
            Ok(()) if failed => {
                crate::value::remove(&mut status, "/conditions");
            }
            _ => {}
        }
        set(object, "/status", status);
    });
}
