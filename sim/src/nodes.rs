//! The nodes of the cluster, as kind's nodes look.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clock::seconds;
use crate::config::NodeConfig;
use crate::drive::made;
use crate::events;
use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{list_mut, set};
use crate::world::World;

/// What is fixed of each node when the cluster is made.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) config: NodeConfig,
    /// The address of the node itself.
    pub(crate) address: String,
    /// The addresses of its pods, such as `10.244.1.0/24`.
    pub(crate) pods: String,
    boot: String,
    id: String,
}

/// The machines of the cluster, by the names of their nodes.
pub(crate) type Machines = BTreeMap<String, Machine>;

/// Makes the machines, and registers a node for each.
pub(crate) fn boot(world: &mut World, nodes: &[NodeConfig]) {
    for (index, config) in nodes.iter().enumerate() {
        let machine = Machine {
            config: config.clone(),
            address: format!(
                "172.{}.{}.{}",
                18 + index / 62_500,
                index / 250 % 250,
                index % 250 + 2
            ),
            pods: format!("10.{}.{}.0/24", 244 - index / 256, index % 256),
            boot: world.random.uid(),
            id: world.random.uid().replace('-', ""),
        };
        world.machines.insert(config.name.clone(), machine);
        register(world, &config.name);
        age(world, &config.name);
        crate::kubelet::boot(world, &config.name);
    }
}

/// How long the nodes of a new cluster have been there: none is just starting.
const AGE: std::time::Duration = std::time::Duration::from_secs(3600);

/// Makes a node one that has been there, and ready, for a while.
fn age(world: &mut World, name: &str) {
    let began = world.now().checked_sub(AGE).unwrap_or(world.now());
    let began = seconds(began);
    world.modify(Kind::Node, &Key::new("", name), |node| {
        set(node, "/metadata/creationTimestamp", began.as_str());
        for condition in list_mut(node, "/status/conditions").into_iter().flatten() {
            set(condition, "/lastTransitionTime", began.as_str());
        }
    });
}

/// Registers the node of a machine, as its kubelet does when it starts.
pub(crate) fn register(world: &mut World, name: &str) {
    let Some(machine) = world.machines.get(name).cloned() else {
        return;
    };
    let now = seconds(world.now());
    made(world, Kind::Node, "", machine.node(&now));
    let uid = world
        .find(Kind::Node, "", name)
        .map(|node| crate::value::uid(&node).to_owned());
    let time = world.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let lease = json!({
        "metadata": { "name": name, "ownerReferences": [
            { "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid }] },
        "spec": { "holderIdentity": name, "leaseDurationSeconds": machine.config.lease.as_secs(),
            "renewTime": time },
    });
    made(world, Kind::Lease, "kube-node-lease", lease);
    let ready = format!("Node {name} status is now: NodeReady");
    world.event(
        "kubelet",
        name,
        &events::node(name),
        "Normal",
        "NodeReady",
        &ready,
    );
}

impl Machine {
    /// The node as its kubelet registers it, ready.
    pub(crate) fn node(&self, now: &str) -> Value {
        let config = &self.config;
        let name = config.name.as_str();
        let mut labels = json!({
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
        });
        for (label, value) in &config.labels {
            labels[label] = json!(value);
        }
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({ "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": now })
        };
        let mut node = json!({
            "metadata": { "name": name, "labels": labels, "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true" } },
            "spec": { "podCIDR": self.pods, "podCIDRs": [self.pods],
                "providerID": format!("kind://docker/crashbook/{name}") },
            "status": {
                "addresses": [
                    { "type": "InternalIP", "address": self.address },
                    { "type": "Hostname", "address": name },
                ],
                "capacity": config.capacity(),
                "allocatable": config.allocatable(),
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory",
                        "kubelet has sufficient memory available"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure",
                        "kubelet has no disk pressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID",
                        "kubelet has sufficient PID available"),
                    condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
                ],
                "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
                "nodeInfo": {
                    "architecture": "amd64",
                    "bootID": self.boot,
                    "containerRuntimeVersion": "containerd://2.1.4",
                    "kernelVersion": "6.1.0",
                    "kubeProxyVersion": "",
                    "kubeletVersion": crate::api::discovery::RELEASE,
                    "machineID": self.id,
                    "operatingSystem": "linux",
                    "osImage": "Debian GNU/Linux 12 (bookworm)",
                    "systemUUID": self.id,
                },
            },
        });
        if !config.taints.is_empty() {
            set(&mut node, "/spec/taints", json!(config.taints));
        }
        node
    }
}
