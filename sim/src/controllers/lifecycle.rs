//! Nodes whose kubelets are silent are not ready, and nodes in trouble are tainted.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agenda::Work;
use crate::clock::{after, seconds, since};
use crate::kinds::Kind;
use crate::store::{Change, Key, What};
use crate::value::{at, condition, is_true, list, list_mut, name, set, text, uid};
use crate::world::{World, put_condition};

const COMPONENT: &str = "node-controller";
/// How often nodes are looked at: `--node-monitor-period`.
const PERIOD: Duration = Duration::from_secs(5);
/// How long after one node the pods of the next are driven away: `--node-eviction-rate`.
const RATE: Duration = Duration::from_secs(10);
/// The part of the nodes from which on so many being unhealthy is a failure of the network.
const TOO_MANY: f64 = 0.55;
/// How many nodes a cluster has for which that means that nothing is driven away at all.
const SMALL: usize = 50;
/// How long after one node the next is tainted in a large cluster in which too many are unhealthy.
const SLOW: Duration = Duration::from_secs(100);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The taints that follow from a node's conditions, besides those of its readiness.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    (
        "NetworkUnavailable",
        "node.kubernetes.io/network-unavailable",
    ),
];
const CORDONED: &str = "node.kubernetes.io/unschedulable";

/// What the controller knows of the nodes.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    /// When each was last heard of, and by which signs.
    seen: BTreeMap<String, Seen>,
    /// The nodes whose pods are to be driven away, in turn.
    to_taint: VecDeque<String>,
    /// When the next of them may be.
    next: Option<Timestamp>,
}

#[derive(Debug, PartialEq)]
struct Seen {
    signs: (String, String),
    at: Timestamp,
}

/// Begins to look at the nodes.
pub(crate) fn boot(world: &mut World) {
    let time = after(world.now(), PERIOD);
    world.agenda.at(time, Work::NodeHealth);
}

/// Sees what changed of a node.
pub(crate) fn notice(world: &mut World, change: &Change) {
    if change.kind != Kind::Node {
        return;
    }
    let node = name(&change.object).to_owned();
    match change.what {
        What::Added => {
            let message = format!("Node {node} event: Registered Node {node} in Controller");
            tell(world, &change.object, "RegisteredNode", &message);
            world.soon(Work::Taints(node));
        }
        What::Modified => world.soon(Work::Taints(node)),
        What::Deleted => {
            let message = format!("Node {node} event: Removing Node {node} from Controller");
            tell(world, &change.object, "RemovingNode", &message);
            world.lifecycle.seen.remove(&node);
        }
    }
}

fn tell(world: &mut World, node: &Value, reason: &str, message: &str) {
    let about = json!({ "apiVersion": "v1", "kind": "Node", "name": name(node), "uid": uid(node) });
    world.event(COMPONENT, "", &about, "Normal", reason, message);
}

fn state<'a>(node: &'a Value, kind: &str) -> &'a str {
    condition(node, kind).map_or("", |condition| text(condition, "/status"))
}

/// Looks at every node: who is silent for too long, and what follows.
pub(crate) fn monitor(world: &mut World) {
    let now = world.now();
    world.agenda.at(after(now, PERIOD), Work::NodeHealth);
    let nodes: Vec<Key> = world
        .store
        .list(Kind::Node, None)
        .map(|node| Key::of(node))
        .collect();
    let (mut ready, mut unready) = (0usize, 0usize);
    for key in &nodes {
        hear(world, key, now);
        let Some(node) = world.store.get(Kind::Node, key) else {
            continue;
        };
        match state(node, "Ready") {
            "True" => ready += 1,
            _ => unready += 1,
        }
        let status = state(node, "Ready").to_owned();
        let has = |taint: &str| tainted(node, taint, "NoExecute");
        let (not_ready, unreachable) = (has(NOT_READY), has(UNREACHABLE));
        let swapped = status == "False" && unreachable || status == "Unknown" && not_ready;
        match status.as_str() {
            "True" => {
                world.lifecycle.to_taint.retain(|node| *node != key.name);
                if not_ready || unreachable {
                    execute(world, key, "True");
                }
            }
            // The one taint takes the place of the other at once.
            status if swapped => execute(world, key, status),
            _ if !not_ready && !unreachable && !world.lifecycle.to_taint.contains(&key.name) => {
                world.lifecycle.to_taint.push_back(key.name.clone());
            }
            _ => {}
        }
    }
    let share = unready as f64 / nodes.len().max(1) as f64;
    let rate = match () {
        // Where nobody answers it is not the nodes that fail.
        () if ready == 0 => None,
        () if unready > 2 && share >= TOO_MANY => (nodes.len() > SMALL).then_some(SLOW),
        () => Some(RATE),
    };
    while let Some(rate) = rate
        && world.lifecycle.next.is_none_or(|next| next <= now)
        && let Some(node) = world.lifecycle.to_taint.pop_front()
    {
        let key = Key::new("", &node);
        let status = world
            .store
            .get(Kind::Node, &key)
            .map_or("", |node| state(node, "Ready"))
            .to_owned();
        execute(world, &key, &status);
        world.lifecycle.next = Some(after(now, rate));
    }
}

/// Notes the signs of life of a node, and says so if there were none for too long.
fn hear(world: &mut World, key: &Key, now: Timestamp) {
    let Some(node) = world.store.get(Kind::Node, key).cloned() else {
        return;
    };
    let beat = condition(&node, "Ready").map_or("", |ready| text(ready, "/lastHeartbeatTime"));
    let lease = world.find(Kind::Lease, "kube-node-lease", &key.name);
    let renewed = lease
        .as_ref()
        .map_or("", |lease| text(lease, "/spec/renewTime"));
    let signs = (beat.to_owned(), renewed.to_owned());
    let seen = world
        .lifecycle
        .seen
        .entry(key.name.clone())
        .or_insert_with(|| Seen {
            signs: signs.clone(),
            at: now,
        });
    if seen.signs != signs {
        *seen = Seen { signs, at: now };
    }
    if since(now, seen.at) <= world.grace {
        return;
    }
    let was_ready = state(&node, "Ready") == "True";
    let time = seconds(now);
    world.modify(Kind::Node, key, |node| {
        for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            let before = condition(node, kind);
            if before.is_some_and(|before| text(before, "/status") == "Unknown") {
                continue;
            }
            let (reason, message) = match before {
                Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
                None => (
                    "NodeStatusNeverUpdated",
                    "Kubelet never posted node status.",
                ),
            };
            let beat = before.map_or(Value::Null, |before| {
                at(before, "/lastHeartbeatTime").clone()
            });
            let unknown = json!({ "type": kind, "status": "Unknown", "reason": reason,
                "message": message, "lastHeartbeatTime": beat, "lastTransitionTime": time });
            put_condition(node, unknown, &time);
        }
    });
    if was_ready {
        let message = format!("Node {} status is now: NodeNotReady", key.name);
        tell(world, &node, "NodeNotReady", &message);
        for pod in world.store.pods_on(&key.name) {
            unready(world, &pod);
        }
    }
}

/// A pod of a silent node is not ready, whatever its containers do.
fn unready(world: &mut World, pod: &Value) {
    if state(pod, "Ready").is_empty() {
        return;
    }
    let time = seconds(world.now());
    world.modify(Kind::Pod, &Key::of(pod), |pod| {
        for condition in list_mut(pod, "/status/conditions").into_iter().flatten() {
            if text(condition, "/type") == "Ready" && text(condition, "/status") != "False" {
                set(condition, "/status", "False");
                set(condition, "/lastTransitionTime", time.as_str());
            }
        }
    });
    world.event(
        COMPONENT,
        "",
        pod,
        "Warning",
        "NodeNotReady",
        "Node is not ready",
    );
}

fn tainted(node: &Value, key: &str, effect: &str) -> bool {
    list(node, "/spec/taints")
        .iter()
        .any(|taint| text(taint, "/key") == key && text(taint, "/effect") == effect)
}

/// Sets and takes away taints of one effect.
fn swap(world: &mut World, node: &Key, effect: &str, wanted: &[&str], known: &[&str]) {
    let time = seconds(world.now());
    world.modify(Kind::Node, node, |node| {
        let mut taints = list(node, "/spec/taints").to_vec();
        taints.retain(|taint| {
            let key = text(taint, "/key");
            text(taint, "/effect") != effect || !known.contains(&key) || wanted.contains(&key)
        });
        for key in wanted {
            if !tainted(node, key, effect) {
                taints.push(json!({ "key": key, "effect": effect, "timeAdded": time }));
            }
        }
        if taints.is_empty() {
            crate::value::remove(node, "/spec/taints");
        } else {
            set(node, "/spec/taints", taints);
        }
    });
}

/// Drives the pods of a node away, or lets them be.
fn execute(world: &mut World, node: &Key, ready: &str) {
    let wanted: &[&str] = match ready {
        "False" => &[NOT_READY],
        "Unknown" | "" => &[UNREACHABLE],
        _ => &[],
    };
    swap(world, node, "NoExecute", wanted, &[NOT_READY, UNREACHABLE]);
}

/// Keeps new pods from a node in trouble.
pub(crate) fn taint(world: &mut World, node: &str) {
    let key = Key::new("", node);
    let Some(node) = world.store.get(Kind::Node, &key) else {
        return;
    };
    let mut wanted = Vec::new();
    match state(node, "Ready") {
        "False" => wanted.push(NOT_READY),
        "Unknown" => wanted.push(UNREACHABLE),
        _ => {}
    }
    for (kind, taint) in PRESSURES {
        if state(node, kind) == "True" {
            wanted.push(taint);
        }
    }
    if is_true(node, "/spec/unschedulable") {
        wanted.push(CORDONED);
    }
    let mut known = vec![NOT_READY, UNREACHABLE, CORDONED];
    known.extend(PRESSURES.iter().map(|(_, taint)| taint));
    swap(world, &key, "NoSchedule", &wanted, &known);
}
