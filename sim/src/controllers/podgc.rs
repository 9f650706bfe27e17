//! Pods that nobody looks after are cleared away.
//!
//! Source: `pkg/controller/podgc/gc_controller.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agenda::Work;
use crate::clock::{after, seconds, since};
use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{deleting, list, set, text};
use crate::world::{Deletion, World, put_condition};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(20);
/// How long a node must be missing before its pods are taken for orphans.
const QUARANTINE: Duration = Duration::from_secs(40);
/// How many finished pods may stay: `--terminated-pod-gc-threshold`.
const FINISHED: usize = 12_500;

/// Since when nodes that pods name are missing.
pub(crate) type Missing = BTreeMap<String, Timestamp>;

/// Begins to look.
pub(crate) fn boot(world: &mut World) {
    let time = after(world.now(), PERIOD);
    world.agenda.at(time, Work::PodGarbage);
}

/// Looks for pods to clear away.
pub(crate) fn collect(world: &mut World) {
    let now = world.now();
    world.agenda.at(after(now, PERIOD), Work::PodGarbage);
    finished(world);
    let named = world.store.nodes_of_pods();
    let there =
        |world: &World, node: &str| world.store.get(Kind::Node, &Key::new("", node)).is_some();
    let missing: Vec<String> = named
        .into_iter()
        .filter(|node| !there(world, node))
        .collect();
    world
        .missing
        .retain(|node, _| missing.binary_search(node).is_ok());
    for node in missing {
        let since_when = *world.missing.entry(node.clone()).or_insert(now);
        if since(now, since_when) < QUARANTINE {
            continue;
        }
        for pod in world.store.pods_on(&node) {
            let orphan = json!({ "type": "DisruptionTarget", "status": "True",
                "reason": "DeletionByPodGC", "message": "PodGC: node no longer exists" });
            remove(world, &pod, Some(orphan));
        }
    }
    let out: Vec<_> = world
        .store
        .list(Kind::Pod, None)
        .filter(|pod| deleting(pod))
        .filter(|pod| {
            let node = text(pod, "/spec/nodeName");
            node.is_empty() || out_of_service(world, node)
        })
        .cloned()
        .collect();
    for pod in out {
        let node = text(&pod, "/spec/nodeName");
        let why = (!node.is_empty()).then(|| {
            json!({ "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                "message": "PodGC: node is out-of-service" })
        });
        remove(world, &pod, why);
    }
}

fn out_of_service(world: &World, node: &str) -> bool {
    world.find(Kind::Node, "", node).is_some_and(|node| {
        !crate::value::condition_true(&node, "Ready")
            && list(&node, "/spec/taints")
                .iter()
                .any(|taint| text(taint, "/key") == "node.kubernetes.io/out-of-service")
    })
}

/// Takes the oldest finished pods away where there are too many.
fn finished(world: &mut World) {
    if world.store.list(Kind::Pod, None).count() <= FINISHED {
        return;
    }
    let mut done: Vec<_> = world
        .store
        .list(Kind::Pod, None)
        .filter(|pod| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed"))
        .cloned()
        .collect();
    let Some(many) = done.len().checked_sub(FINISHED) else {
        return;
    };
    done.sort_by(|a, b| {
        let time = "/metadata/creationTimestamp";
        text(a, time).cmp(text(b, time))
    });
    for pod in done.iter().take(many) {
        remove(world, pod, None);
    }
}

/// Takes a pod away at once. One that had not ended has failed.
fn remove(world: &mut World, pod: &Value, why: Option<Value>) {
    let key = Key::of(pod);
    let ended = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if !ended {
        let now = seconds(world.now());
        world.modify(Kind::Pod, &key, |pod| {
            set(pod, "/status/phase", "Failed");
            if let Some(why) = why {
                put_condition(pod, why, &now);
            }
        });
    }
    let how = Deletion {
        grace: Some(0),
        ..Deletion::default()
    };
    // Gone already is as good as deleted.
    let _gone = world.delete(Kind::Pod, &key, &how);
}
