//! What a cluster is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time of day at the start.
    pub epoch: Timestamp,
    /// How many of the cluster's seconds pass in one of tokio's clock.
    pub speed: f64,
    /// What names, uids and addresses are made from: the same seed gives the same.
    pub seed: u64,
    /// Its nodes. Without any it is an API server with controllers, and no pod runs.
    pub nodes: Vec<NodeConfig>,
    /// How long a node may say nothing until it counts as unknown: `--node-monitor-grace-period`.
    pub node_monitor_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            epoch: Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH),
            speed: 1.0,
            seed: 1,
            nodes: Vec::new(),
            node_monitor_grace: Duration::from_secs(50),
        }
    }
}

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its name, which is also its host's.
    pub name: String,
    /// Its labels, besides those that every node has.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What it has, as quantities by resource: `cpu`, `memory`, `ephemeral-storage`, `pods`, and
    /// whatever else pods may ask for.
    pub capacity: BTreeMap<String, String>,
    /// What pods may ask for, where that is less than the capacity.
    pub allocatable: BTreeMap<String, String>,
    /// How long its lease lasts. It is renewed four times as often.
    pub lease: Duration,
    /// The kubelet's `evictionHard`: by signal, such as `memory.available`, an amount or a share
    /// such as `8%`. kind's kubelets have none that is ever reached.
    pub eviction_hard: BTreeMap<String, String>,
    /// The kubelet's `evictionPressureTransitionPeriod`.
    pub pressure_transition: Duration,
    /// The kubelet's `nodeStatusUpdateFrequency`.
    pub status_frequency: Duration,
    /// The size of the kubelet's file system in bytes, and how many files it holds, where it is
    /// one of its own; else its pods' files and the images are on one disk.
    pub own_nodefs: Option<(u64, u64)>,
}

impl NodeConfig {
    /// A worker as kind makes it, on a host of eight cores and 32Gi.
    pub fn worker(name: &str) -> Self {
        let capacity = [
            ("cpu", "8"),
            ("ephemeral-storage", "263174212Ki"),
            ("hugepages-1Gi", "0"),
            ("hugepages-2Mi", "0"),
            ("memory", "32Gi"),
            ("pods", "110"),
        ];
        let text = |(name, amount): (&str, &str)| (name.to_owned(), amount.to_owned());
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            capacity: capacity.into_iter().map(text).collect(),
            allocatable: BTreeMap::new(),
            lease: Duration::from_secs(40),
            eviction_hard: BTreeMap::new(),
            pressure_transition: Duration::from_secs(300),
            status_frequency: Duration::from_secs(10),
            own_nodefs: None,
        }
    }

    /// A control plane as kind makes it: a worker that ordinary pods stay away from.
    pub fn control_plane(name: &str) -> Self {
        const ROLE: &str = "node-role.kubernetes.io/control-plane";
        let mut node = Self::worker(name);
        for label in [
            ROLE,
            "node.kubernetes.io/exclude-from-external-load-balancers",
        ] {
            node.labels.insert(label.to_owned(), String::new());
        }
        node.taints.push(Taint {
            key: ROLE.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        });
        node
    }

    /// What pods may ask for of each resource.
    pub(crate) fn allocatable(&self) -> BTreeMap<String, String> {
        let mut all = self.capacity.clone();
        for (name, amount) in &self.allocatable {
            all.insert(name.clone(), amount.clone());
        }
        all
    }
}
