//! A node as its kubelet sees it: heartbeats, what it runs short of, and whom it evicts then.
//!
//! Source: `pkg/kubelet/{kubelet_node_status,runtime}.go`,
//! `pkg/kubelet/eviction/{eviction_manager,helpers}.go`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::container::units;
use super::pod::{Ending, Stage, object};
use super::stats::{NodeUse, PodUse};
use super::{Kubelets, Task, admit, stats};
use crate::clock::{after, seconds, since};
use crate::config::{NodeConfig, threshold};
use crate::kinds::Kind;
use crate::nodes::Machine;
use crate::quantity;
use crate::store::Key;
use crate::value::{at, int, list, list_mut, set, text};
use crate::world::World;

/// What the kubelet says when its runtime does not answer.
pub(super) const RUNTIME_GONE: &str = "rpc error: code = Unavailable desc = connection error: desc \
    = \"transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: no \
    such file or directory\"";
/// How often a node's status is written where nothing changes: the kubelet's
/// `nodeStatusReportFrequency`.
const WRITTEN: Duration = Duration::from_secs(300);
/// How often a kubelet looks whether it runs short of something.
const WATCHED: Duration = Duration::from_secs(10);
/// After how long without an answer the runtime counts as down.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(30);
/// After how long its look at the containers counts as stuck.
const PLEG_PATIENCE: Duration = Duration::from_secs(180);
/// How long an image must have been known before it may be deleted.
const IMAGE_AGE: Duration = Duration::from_secs(120);

/// What a kubelet knows of its node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) address: String,
    pub(crate) kubelet_runs: bool,
    pub(crate) runtime_runs: bool,
    /// Since when the kubelet runs, and the runtime does not.
    since: Timestamp,
    runtime_gone: Timestamp,
    /// The images it has, in full, and what they really are.
    pub(crate) images: BTreeMap<String, String>,
    /// What is used up outside of pods.
    pub(crate) filled: BTreeMap<Resource, u64>,
    /// The conditions of pressure, and when each was last observed.
    observed: BTreeMap<&'static str, Timestamp>,
    /// When its status was last written.
    written: Timestamp,
    /// The first three parts of its pods' addresses.
    prefix: String,
    given: u32,
}

/// Something of which a node has only so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Memory, in bytes.
    Memory,
    /// The kubelet's file system, in bytes.
    Disk,
    /// The file system of images and containers, in bytes.
    ImageDisk,
    /// Inodes of the kubelet's file system.
    Inodes,
    /// Process ids.
    Pids,
}

/// Something done to a node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// The kubelet is stopped: its containers run on.
    StopKubelet,
    /// The kubelet is started.
    StartKubelet,
    /// The container runtime is stopped: its containers run on.
    StopRuntime,
    /// The container runtime is started.
    StartRuntime,
    /// So much is used up outside of pods.
    Fill(Resource, u64),
    /// That is given back.
    Empty(Resource, u64),
    /// The kubelet keeps back so many bytes of memory for the system, and is started again.
    Reserve(u64),
    /// The kubelet's hard threshold for a signal is set, such as `pid.available` to `10%`, and the
    /// kubelet started again.
    Threshold(String, String),
}

impl Node {
    /// The next address of a pod of this node.
    pub(super) fn next_address(&mut self, taken: &BTreeMap<String, String>) -> Option<String> {
        const ADDRESSES: u32 = 253;
        for _ in 0..ADDRESSES {
            self.given += 1;
            let address = format!("{}.{}", self.prefix, 2 + (self.given - 1) % ADDRESSES);
            if !taken.contains_key(&address) {
                return Some(address);
            }
        }
        None
    }

    /// The conditions of which the node takes new pods no more.
    pub(super) fn pressures(&self) -> Vec<&'static str> {
        self.observed.keys().copied().collect()
    }
}

impl Kubelets {
    /// Starts the kubelet of a machine.
    fn add(&mut self, machine: &Machine, now: Timestamp) {
        let (prefix, _) = machine.pods.rsplit_once('.').unwrap_or(("", ""));
        let node = Node {
            config: machine.config.clone(),
            address: machine.address.clone(),
            kubelet_runs: true,
            runtime_runs: true,
            since: now,
            runtime_gone: now,
            images: self.images.loaded(),
            filled: BTreeMap::new(),
            observed: BTreeMap::new(),
            written: now,
            prefix: prefix.to_owned(),
            given: 0,
        };
        self.nodes.insert(machine.config.name.clone(), node);
    }
}

/// Starts the kubelet of a node.
pub(crate) fn boot(world: &mut World, name: &str) {
    let Some(machine) = world.machines.get(name).cloned() else {
        return;
    };
    let now = world.now();
    world.kubelets.add(&machine, now);
    world.kubelet_in(machine.config.lease / 4, Task::Renew(name.to_owned()));
    world.kubelet_in(
        machine.config.status_frequency,
        Task::Report(name.to_owned()),
    );
    world.kubelet_in(WATCHED, Task::Housekeeping(name.to_owned()));
}

/// Does something to a node, or says that there is no such node.
pub(crate) fn fault(world: &mut World, name: &str, fault: &NodeFault) -> Result<(), String> {
    let now = world.now();
    let nodes: Vec<String> = world.kubelets.nodes.keys().cloned().collect();
    let Some(node) = world.kubelets.nodes.get_mut(name) else {
        return Err(format!(
            "there is no node {name}: the nodes are {}",
            nodes.join(", ")
        ));
    };
    match fault {
        NodeFault::StopKubelet => node.kubelet_runs = false,
        NodeFault::StartKubelet => {
            node.kubelet_runs = true;
            started(world, name);
        }
        NodeFault::StopRuntime => {
            node.runtime_runs = false;
            node.runtime_gone = now;
        }
        NodeFault::StartRuntime => {
            node.runtime_runs = true;
            sync_all(world, name);
        }
        NodeFault::Fill(resource, amount) => {
            let filled = node.filled.entry(*resource).or_default();
            *filled = filled.saturating_add(*amount);
        }
        NodeFault::Empty(resource, amount) => {
            let filled = node.filled.entry(*resource).or_default();
            *filled = filled.saturating_sub(*amount);
        }
        NodeFault::Reserve(bytes) => {
            let reserved = bytes.to_string();
            let of = &mut node.config.system_reserved;
            of.insert("memory".to_owned(), reserved);
            started(world, name);
        }
        NodeFault::Threshold(signal, value) => {
            if !SIGNALS.iter().any(|known| known.name == signal) {
                let known: Vec<&str> = SIGNALS.iter().map(|signal| signal.name).collect();
                return Err(format!(
                    "the kubelet has no signal {signal}: it has {}",
                    known.join(", ")
                ));
            }
            if threshold(value, 100).is_none() {
                return Err(format!(
                    "{value} is no threshold: an amount, or a share such as 8%"
                ));
            }
            node.config
                .eviction_hard
                .insert(signal.clone(), value.clone());
            started(world, name);
        }
    }
    Ok(())
}

/// A kubelet starts again.
fn started(world: &mut World, name: &str) {
    let now = world.now();
    let Some(node) = world.kubelets.nodes.get_mut(name) else {
        return;
    };
    node.kubelet_runs = true;
    node.since = now;
    node.runtime_gone = now;
    let about = crate::events::node(name);
    world.event(
        "kubelet",
        name,
        &about,
        "Normal",
        "Starting",
        "Starting kubelet.",
    );
    for reason in [
        "NodeHasSufficientMemory",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientPID",
    ] {
        let message = format!("Node {name} status is now: {reason}");
        world.event("kubelet", name, &about, "Normal", reason, &message);
    }
    let message = "Updated Node Allocatable limit across pods";
    world.event(
        "kubelet",
        name,
        &about,
        "Normal",
        "NodeAllocatableEnforced",
        message,
    );
    let soon = after(now, Duration::from_millis(200));
    world.kubelet_at(soon, Task::Renew(name.to_owned()));
    world.kubelet_at(soon, Task::Report(name.to_owned()));
    let first = after(now, Duration::from_secs(2));
    world.kubelet_at(first, Task::Housekeeping(name.to_owned()));
    sync_all(world, name);
}

fn sync_all(world: &mut World, name: &str) {
    let pods = world.kubelets.pods.values();
    let uids: Vec<String> = pods
        .filter(|pod| pod.node == name)
        .map(|pod| pod.uid.clone())
        .collect();
    for uid in uids {
        world.kubelet_in(Duration::from_millis(300), Task::Sync(uid));
    }
}

/// Renews a node's lease.
pub(super) fn renew(world: &mut World, name: &str) {
    let Some(node) = world.kubelets.nodes.get(name) else {
        return;
    };
    let (runs, lease) = (node.kubelet_runs, node.config.lease);
    if runs {
        let time = world.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        world.modify(Kind::Lease, &Key::new("kube-node-lease", name), |lease| {
            set(lease, "/spec/renewTime", time);
        });
    }
    world.kubelet_in(lease / 4, Task::Renew(name.to_owned()));
}

/// A condition of a node, as its kubelet words it in either case.
struct Condition {
    kind: &'static str,
    bad: (&'static str, &'static str, &'static str),
    good: (&'static str, &'static str, &'static str),
}

/// Each with its reason, its message and its event.
const CONDITIONS: &[Condition] = &[
    Condition {
        kind: "MemoryPressure",
        bad: (
            "KubeletHasInsufficientMemory",
            "kubelet has insufficient memory available",
            "NodeHasInsufficientMemory",
        ),
        good: (
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
            "NodeHasSufficientMemory",
        ),
    },
    Condition {
        kind: "DiskPressure",
        bad: (
            "KubeletHasDiskPressure",
            "kubelet has disk pressure",
            "NodeHasDiskPressure",
        ),
        good: (
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
            "NodeHasNoDiskPressure",
        ),
    },
    Condition {
        kind: "PIDPressure",
        bad: (
            "KubeletHasInsufficientPID",
            "kubelet has insufficient PID available",
            "NodeHasInsufficientPID",
        ),
        good: (
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
            "NodeHasSufficientPID",
        ),
    },
];

/// Writes a node's status where it has changed, or was not written for long.
pub(super) fn report(world: &mut World, name: &str) {
    let now = world.now();
    let Some(node) = world.kubelets.nodes.get(name) else {
        return;
    };
    let frequency = node.config.status_frequency.max(Duration::from_millis(500));
    world.kubelet_in(frequency, Task::Report(name.to_owned()));
    let Some(node) = world.kubelets.nodes.get(name) else {
        return;
    };
    if !node.kubelet_runs {
        return;
    }
    let pressures = node.pressures();
    let mut wanted: Vec<(&str, &str, String, String, String)> = Vec::new();
    for condition in CONDITIONS {
        let is_bad = pressures.contains(&condition.kind);
        let (reason, message, event) = if is_bad {
            condition.bad
        } else {
            condition.good
        };
        wanted.push((
            condition.kind,
            if is_bad { "True" } else { "False" },
            reason.to_owned(),
            message.to_owned(),
            event.to_owned(),
        ));
    }
    wanted.push(match not_ready(node, now) {
        None => (
            "Ready",
            "True",
            "KubeletReady".to_owned(),
            "kubelet is posting ready status".to_owned(),
            "NodeReady".to_owned(),
        ),
        Some(message) => (
            "Ready",
            "False",
            "KubeletNotReady".to_owned(),
            message,
            "NodeNotReady".to_owned(),
        ),
    });
    let written = node.written;
    let allocatable = json!(node.config.allocatable());
    let Some(object) = world.find(Kind::Node, "", name) else {
        return;
    };
    let mut moved = Vec::new();
    let mut is_news =
        since(now, written) >= WRITTEN || *at(&object, "/status/allocatable") != allocatable;
    for (kind, status, reason, message, event) in &wanted {
        let old = list(&object, "/status/conditions")
            .iter()
            .find(|old| text(old, "/type") == *kind);
        let same_status = old.is_some_and(|old| text(old, "/status") == *status);
        if !same_status {
            moved.push(event.clone());
        }
        is_news |= !old.is_some_and(|old| {
            same_status && text(old, "/reason") == reason && text(old, "/message") == message
        });
    }
    if !is_news {
        return;
    }
    if let Some(node) = world.kubelets.nodes.get_mut(name) {
        node.written = now;
    }
    let stamp = seconds(now);
    world.modify(Kind::Node, &Key::new("", name), |node| {
        set(node, "/status/allocatable", allocatable);
        for (kind, status, reason, message, _) in &wanted {
            let Some(all) = list_mut(node, "/status/conditions") else {
                continue;
            };
            let Some(old) = all.iter_mut().find(|old| text(old, "/type") == *kind) else {
                all.push(json!({ "type": kind, "status": status, "reason": reason,
                    "message": message, "lastHeartbeatTime": stamp, "lastTransitionTime": stamp }));
                continue;
            };
            if text(old, "/status") != *status {
                set(old, "/lastTransitionTime", stamp.as_str());
            }
            set(old, "/lastHeartbeatTime", stamp.as_str());
            set(old, "/status", *status);
            set(old, "/reason", reason.as_str());
            set(old, "/message", message.as_str());
        }
    });
    let about = crate::events::node(name);
    for reason in moved {
        let message = format!("Node {name} status is now: {reason}");
        world.event("kubelet", name, &about, "Normal", &reason, &message);
    }
}

/// Why a node is not ready.
fn not_ready(node: &Node, now: Timestamp) -> Option<String> {
    if node.runtime_runs {
        return None;
    }
    let gone = since(now, node.runtime_gone);
    let mut why = Vec::new();
    if gone >= RUNTIME_PATIENCE {
        why.push("container runtime is down".to_owned());
    }
    if gone >= PLEG_PATIENCE {
        why.push(format!(
            "PLEG is not healthy: pleg was last seen active {}m{}s ago; threshold is 3m0s",
            gone.as_secs() / 60,
            gone.as_secs() % 60
        ));
    }
    match why.len() {
        0 => None,
        1 => why.pop(),
        _ => Some(format!("[{}]", why.join(", "))),
    }
}

/// A signal of which a threshold may speak.
struct Signal {
    name: &'static str,
    condition: &'static str,
    /// How events and messages name what is short.
    resource: &'static str,
    /// What is there in all, and what is left.
    of: fn(&NodeUse) -> (u64, u64),
}

const SIGNALS: &[Signal] = &[
    Signal {
        name: "memory.available",
        condition: "MemoryPressure",
        resource: "memory",
        of: |used| (used.memory, used.memory_left()),
    },
    Signal {
        name: "nodefs.available",
        condition: "DiskPressure",
        resource: "ephemeral-storage",
        of: |used| (used.disk, used.disk_left()),
    },
    Signal {
        name: "nodefs.inodesFree",
        condition: "DiskPressure",
        resource: "inodes",
        of: |used| (used.inodes, used.inodes_left()),
    },
    Signal {
        name: "imagefs.available",
        condition: "DiskPressure",
        resource: "ephemeral-storage",
        of: |used| (used.image_disk, used.image_disk_left()),
    },
    Signal {
        name: "imagefs.inodesFree",
        condition: "DiskPressure",
        resource: "inodes",
        of: |used| {
            (
                used.image_inodes,
                used.image_inodes - used.image_inodes / 10,
            )
        },
    },
    Signal {
        name: "pid.available",
        condition: "PIDPressure",
        resource: "pids",
        of: |used| (used.pids, used.pids_left()),
    },
];

/// Looks whether the node runs short of something, and evicts a pod if it does.
pub(super) fn housekeeping(world: &mut World, name: &str) {
    let Some(node) = world.kubelets.nodes.get(name) else {
        return;
    };
    if !node.kubelet_runs {
        // It looks again when it is back.
        return;
    }
    stats::measure(world, name);
    let evicted = evict(world, name);
    // After an eviction it waits for the pod's end, and looks again.
    let next = if evicted {
        Duration::from_secs(2)
    } else {
        WATCHED
    };
    world.kubelet_in(next, Task::Housekeeping(name.to_owned()));
}

fn evict(world: &mut World, name: &str) -> bool {
    let now = world.now();
    if !world
        .kubelets
        .nodes
        .get(name)
        .is_some_and(|node| node.runtime_runs)
    {
        return false;
    }
    let pods = stats::pods(world, name);
    if over_own_limits(world, &pods) {
        return true;
    }
    let Some(node) = world.kubelets.nodes.get_mut(name) else {
        return false;
    };
    let used = stats::node(node, &pods, &world.kubelets.images);
    let mut met: Vec<(&Signal, u64, u64)> = Vec::new();
    for signal in SIGNALS {
        let Some(least) = node.config.eviction_hard.get(signal.name) else {
            continue;
        };
        let (all, left) = (signal.of)(&used);
        if let Some(least) = threshold(least, all).filter(|least| left < *least) {
            met.push((signal, least, left));
        }
    }
    for (signal, ..) in &met {
        node.observed.insert(signal.condition, now);
    }
    let transition = node.config.pressure_transition;
    node.observed
        .retain(|_, observed| since(now, *observed) < transition);
    let Some((signal, least, left)) = met.into_iter().next() else {
        return false;
    };
    let about = crate::events::node(name);
    let message = format!("Attempting to reclaim {}", signal.resource);
    world.event(
        "kubelet",
        name,
        &about,
        "Warning",
        "EvictionThresholdMet",
        &message,
    );
    let is_images = signal.name.starts_with("imagefs");
    let shared = world
        .kubelets
        .nodes
        .get(name)
        .is_some_and(|node| node.config.own_nodefs.is_none());
    if signal.condition == "DiskPressure" && (is_images || shared) {
        delete_images(world, name);
        if let Some(node) = world.kubelets.nodes.get(name) {
            let used = stats::node(node, &pods, &world.kubelets.images);
            if (signal.of)(&used).1 >= least {
                return false;
            }
        }
    }
    let Some(first) = ranked(world, pods, signal).into_iter().next() else {
        return false;
    };
    let mut message = format!(
        "The node was low on resource: {}. Threshold quantity: {least}, available: {}. ",
        signal.resource,
        kibibytes(left, signal)
    );
    let mut names = Vec::new();
    let mut uses = Vec::new();
    let spec = world
        .kubelets
        .pods
        .get(&first.uid)
        .and_then(|pod| object(world, pod));
    let Some(spec) = spec else {
        return false;
    };
    if matches!(signal.resource, "memory" | "ephemeral-storage") {
        for container in &first.containers {
            let use_of = match signal.resource {
                "memory" => container.memory,
                _ => container.layer + container.logs,
            };
            let asked = list(&spec, "/spec/containers")
                .iter()
                .find(|one| text(one, "/name") == container.name)
                .and_then(|one| {
                    let path = format!("/resources/requests/{}", signal.resource);
                    Some((quantity::of(at(one, &path))?, text(one, &path).to_owned()))
                });
            if asked
                .as_ref()
                .is_some_and(|(asked, _)| units(*asked) >= use_of)
            {
                continue;
            }
            let asked = asked.map_or("0".to_owned(), |(_, text)| text);
            message.push_str(&format!(
                "Container {} was using {}, request is {asked}, has larger consumption of {}. ",
                container.name,
                kibibytes(use_of, signal),
                signal.resource
            ));
            names.push(container.name.clone());
            uses.push(kibibytes(use_of, signal));
        }
    }
    let annotations = json!({ "starved_resource": signal.resource,
        "offending_containers": names.join(","), "offending_containers_usage": uses.join(",") });
    let condition = json!({ "type": "DisruptionTarget", "status": "True",
        "reason": "TerminationByKubelet", "message": message });
    end(world, &first.uid, &message, Some(condition), annotations);
    true
}

/// An amount as the kubelet's messages have it.
fn kibibytes(amount: u64, signal: &Signal) -> String {
    match signal.resource {
        "memory" | "ephemeral-storage" if amount.is_multiple_of(1024) && amount > 0 => {
            format!("{}Ki", amount / 1024)
        }
        _ => amount.to_string(),
    }
}

/// Ends a pod that the node cannot keep.
fn end(world: &mut World, uid: &str, message: &str, condition: Option<Value>, annotations: Value) {
    let Some(mut pod) = world.kubelets.pods.remove(uid) else {
        return;
    };
    if let Some(object) = object(world, &pod) {
        let about = crate::events::reference(&object);
        let what = ("Evicted", message);
        world.annotated_event("kubelet", &pod.node, &about, "Warning", what, annotations);
    }
    pod.end(Ending {
        grace: 1,
        reason: Some(("Evicted".to_owned(), message.to_owned())),
        condition,
        is_begun: false,
    });
    world.kubelets.pods.insert(uid.to_owned(), pod);
    world.kubelet_in(Duration::ZERO, Task::Sync(uid.to_owned()));
}

/// Whether it stays within what it asks for, its priority, and how much it is beyond that.
type Rank = (bool, i64, Reverse<i128>);

/// The pods that may be evicted, the first to go first.
fn ranked(world: &World, pods: Vec<PodUse>, signal: &Signal) -> Vec<PodUse> {
    let mut found: Vec<(Rank, PodUse)> = Vec::new();
    for used in pods {
        let Some(pod) = world.kubelets.pods.get(&used.uid) else {
            continue;
        };
        let Some(object) = object(world, pod) else {
            continue;
        };
        if admit::is_critical(&object) || pod.ending.is_some() || pod.stage != Stage::Running {
            continue;
        }
        let asked = |resource: &str| {
            let all = crate::admission::sum(&object, "/resources/requests");
            i128::from(units(all.get(resource).copied().unwrap_or(0)))
        };
        let over = match (signal.resource, signal.name) {
            ("memory", _) => i128::from(used.memory()) - asked("memory"),
            (_, "imagefs.available") => i128::from(used.layers()) - asked("ephemeral-storage"),
            ("ephemeral-storage", _) => i128::from(used.disk()) - asked("ephemeral-storage"),
            ("inodes", _) => i128::from(used.inodes()),
            _ => i128::from(used.pids()),
        };
        let exceeds = matches!(signal.resource, "memory" | "ephemeral-storage") && over > 0;
        let priority = int(&object, "/spec/priority").unwrap_or(0);
        found.push(((!exceeds, priority, Reverse(over)), used));
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, used)| used).collect()
}

/// Ends the pods that use more of the node's disk than they may.
fn over_own_limits(world: &mut World, pods: &[PodUse]) -> bool {
    let mut any = false;
    for used in pods {
        let Some(pod) = world.kubelets.pods.get(&used.uid) else {
            continue;
        };
        let Some(object) = object(world, pod) else {
            continue;
        };
        if pod.ending.is_some() || pod.stage != Stage::Running {
            continue;
        }
        if let Some(message) = own_limit(&object, used) {
            end(world, &used.uid, &message, None, Value::Null);
            any = true;
        }
    }
    any
}

fn own_limit(object: &Value, used: &PodUse) -> Option<String> {
    for volume in &used.volumes {
        let spec = list(object, "/spec/volumes")
            .iter()
            .find(|one| text(one, "/name") == volume.name)?;
        let limit = at(spec, "/emptyDir/sizeLimit");
        if let Some(most) = quantity::of(limit).filter(|most| *most > 0)
            && volume.bytes > units(most)
        {
            return Some(format!(
                "Usage of EmptyDir volume {:?} exceeds the limit {:?}. ",
                volume.name,
                limit.as_str().unwrap_or("")
            ));
        }
    }
    let mut total: Option<i128> = Some(0);
    for spec in list(object, "/spec/containers") {
        let limit = at(spec, "/resources/limits/ephemeral-storage");
        total = total
            .zip(quantity::of(limit))
            .map(|(total, limit)| total + limit);
    }
    if let Some(most) = total.filter(|most| *most > 0)
        && used.disk() > units(most)
    {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {}. ",
            quantity::binary(most)
        ));
    }
    for container in &used.containers {
        let spec = list(object, "/spec/containers")
            .iter()
            .find(|one| text(one, "/name") == container.name)?;
        let limit = at(spec, "/resources/limits/ephemeral-storage");
        if let Some(most) = quantity::of(limit)
            && container.layer + container.logs > units(most)
        {
            return Some(format!(
                "Container {} exceeded its local ephemeral storage limit {:?}. ",
                container.name,
                limit.as_str().unwrap_or("")
            ));
        }
    }
    None
}

/// Deletes the images that no container of the node uses.
fn delete_images(world: &mut World, name: &str) {
    let now = world.now();
    let used: BTreeSet<String> = world
        .kubelets
        .pods
        .values()
        .filter(|pod| pod.node == name)
        .flat_map(|pod| &pod.containers)
        .filter_map(|container| Some(container.image.as_ref()?.0.clone()))
        .collect();
    if let Some(node) = world.kubelets.nodes.get_mut(name)
        && since(now, node.since) >= IMAGE_AGE
    {
        // The image of sandboxes is pinned.
        node.images
            .retain(|image, _| used.contains(image) || image.contains("/pause:"));
    }
}
