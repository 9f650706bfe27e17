//! A node as its kubelet sees it: heartbeats, and what it runs short of.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Kubelets, Task};
use crate::kinds::Kind;
use crate::nodes::Machine;
use crate::store::Key;
use crate::value::{list_mut, set, text};
use crate::world::World;

/// What the kubelet says when its runtime does not answer.
pub(super) const RUNTIME_GONE: &str = "rpc error: code = Unavailable desc = connection error: desc \
    = \"transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: no \
    such file or directory\"";
/// How often a node's status is written where nothing changes: the kubelet's
/// `nodeStatusReportFrequency`.
const REPORT: Duration = Duration::from_secs(300);

/// What a kubelet knows of its node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) kubelet_runs: bool,
    pub(crate) runtime_runs: bool,
    /// The images it has, in full, and what they really are.
    pub(crate) images: BTreeMap<String, String>,
    /// The first three parts of its pods' addresses.
    prefix: String,
    given: u32,
    lease: Duration,
}

impl Node {
    /// The next address of a pod of this node.
    pub(super) fn next_address(&mut self) -> Option<String> {
        self.given += 1;
        // Addresses are used again once all were given away: pods do not live that long.
        Some(format!("{}.{}", self.prefix, 2 + (self.given - 1) % 253))
    }

    /// The conditions of which the node takes new pods no more.
    pub(super) fn pressures(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

impl Kubelets {
    /// Starts the kubelet of a machine.
    pub(crate) fn add(&mut self, machine: &Machine) {
        let prefix = machine
            .pods
            .rsplit_once('.')
            .map_or("", |(prefix, _)| prefix);
        let images = self.images.loaded();
        let node = Node {
            address: machine.address.clone(),
            kubelet_runs: true,
            runtime_runs: true,
            images,
            prefix: prefix.to_owned(),
            given: 0,
            lease: machine.config.lease,
        };
        self.nodes.insert(machine.config.name.clone(), node);
    }
}

/// Starts the heartbeats of a node.
pub(crate) fn boot(world: &mut World, name: &str) {
    let Some(machine) = world.machines.get(name).cloned() else {
        return;
    };
    world.kubelets.add(&machine);
    world.kubelet_in(machine.config.lease / 4, Task::Renew(name.to_owned()));
    world.kubelet_in(REPORT, Task::Report(name.to_owned()));
    world.kubelet_in(Duration::from_secs(10), Task::Housekeeping(name.to_owned()));
}

/// Renews a node's lease.
pub(super) fn renew(world: &mut World, name: &str) {
    let Some(node) = world.kubelets.nodes.get(name) else {
        return;
    };
    let (runs, lease) = (node.kubelet_runs, node.lease);
    if runs {
        let time = world.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        world.modify(Kind::Lease, &Key::new("kube-node-lease", name), |lease| {
            set(lease, "/spec/renewTime", time);
        });
    }
    world.kubelet_in(lease / 4, Task::Renew(name.to_owned()));
}

/// Writes a node's status.
pub(super) fn report(world: &mut World, name: &str) {
    let Some(node) = world.kubelets.nodes.get(name) else {
        return;
    };
    if node.kubelet_runs {
        let now = crate::clock::seconds(world.now());
        world.modify(Kind::Node, &Key::new("", name), |node| {
            for condition in list_mut(node, "/status/conditions").into_iter().flatten() {
                if text(condition, "/type") != "NetworkUnavailable" {
                    set(condition, "/lastHeartbeatTime", json!(now));
                }
            }
        });
    }
    world.kubelet_in(REPORT, Task::Report(name.to_owned()));
}

/// Looks whether the node runs short of something.
pub(super) fn housekeeping(world: &mut World, name: &str) {
    world.kubelet_in(Duration::from_secs(10), Task::Housekeeping(name.to_owned()));
}

#[expect(dead_code, reason = "kept for the times of pressure")]
type Seen = Timestamp;
