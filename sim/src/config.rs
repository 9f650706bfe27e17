//! What a cluster is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;

use crate::quantity;

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
    /// The kubelet's `systemReserved`: what it keeps back from pods, as quantities by resource.
    pub system_reserved: BTreeMap<String, String>,
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
            system_reserved: BTreeMap::new(),
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

    /// What there is of each resource, as the kubelet says it: local storage is what its own file
    /// system holds.
    pub(crate) fn capacity(&self) -> BTreeMap<String, String> {
        let mut all = self.capacity.clone();
        if let Some((bytes, _)) = self.own_nodefs {
            let amount = format!("{}Ki", bytes / 1024);
            all.insert("ephemeral-storage".to_owned(), amount);
        }
        all
    }

    /// How much of a resource there is, in whole units.
    fn has(&self, resource: &str) -> u64 {
        let amount = self.capacity.get(resource);
        whole(amount.and_then(|amount| quantity::parse(amount)))
    }

    /// Its memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.has("memory")
    }

    /// How many bytes of memory all its pods together may use: the kernel sees to it.
    ///
    /// Source: `pkg/kubelet/cm/node_container_manager_linux.go`,
    /// `getNodeAllocatableInternalAbsolute`.
    pub(crate) fn memory_of_pods(&self) -> u64 {
        let reserved = self.system_reserved.get("memory");
        let reserved = whole(reserved.and_then(|amount| quantity::parse(amount)));
        self.memory().saturating_sub(reserved)
    }

    /// What pods may ask for of each resource: what is there, without what is kept back for the
    /// system and for the kubelet's own thresholds.
    ///
    /// Source: `pkg/kubelet/cm/node_container_manager_linux.go`, `GetNodeAllocatableReservation`.
    pub(crate) fn allocatable(&self) -> BTreeMap<String, String> {
        let mut all = self.capacity();
        for (resource, amount) in &mut all {
            let Some(capacity) = quantity::parse(amount) else {
                continue;
            };
            let reserved = self.system_reserved.get(resource);
            let mut kept = reserved
                .and_then(|amount| quantity::parse(amount))
                .unwrap_or(0);
            let signal = match resource.as_str() {
                "memory" => "memory.available",
                "ephemeral-storage" => "nodefs.available",
                _ => "",
            };
            let least = self.eviction_hard.get(signal);
            if let Some(least) = least.and_then(|least| threshold(least, whole(Some(capacity)))) {
                kept += i128::from(least) * 1_000_000_000;
            }
            if kept > 0 {
                let left = capacity.saturating_sub(kept).max(0);
                *amount = match amount.ends_with('i') {
                    true => quantity::binary(left),
                    false => quantity::decimal(left),
                };
            }
        }
        all
    }
}

/// Whole units of an amount.
fn whole(amount: Option<quantity::Nanos>) -> u64 {
    let amount = amount.unwrap_or(0) / 1_000_000_000;
    u64::try_from(amount).unwrap_or(0)
}

/// The least of something of which there is so much in all.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "as the kubelet computes it"
)]
pub(crate) fn threshold(value: &str, all: u64) -> Option<u64> {
    match value.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent.parse().ok()?;
            (0.0..=100.0)
                .contains(&percent)
                .then(|| (all as f64 * (percent / 100.0)) as u64)
        }
        None => quantity::parse(value)
            .filter(|least| *least >= 0)
            .map(|least| whole(Some(least))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_amounts_or_shares() {
        for (value, all, expected) in [
            ("8%", 1000, Some(80)),
            ("100Mi", 0, Some(100 << 20)),
            ("0%", 1000, Some(0)),
            ("101%", 1000, None),
            ("much", 1000, None),
            ("-1", 1000, None),
        ] {
            assert_eq!(threshold(value, all), expected, "{value}");
        }
    }

    #[test]
    fn pods_may_ask_for_what_is_not_kept_back() {
        let mut node = NodeConfig::worker("worker");
        node.capacity.insert("memory".into(), "8Gi".into());
        node.system_reserved
            .insert("memory".into(), "1024Mi".into());
        node.system_reserved.insert("cpu".into(), "500m".into());
        node.eviction_hard
            .insert("memory.available".into(), "1Gi".into());
        let all = node.allocatable();
        assert_eq!(
            (all["memory"].as_str(), all["cpu"].as_str()),
            ("6Gi", "7500m")
        );
        assert_eq!(all["pods"], "110");
        assert_eq!(node.memory_of_pods(), 7 << 30);
        node.system_reserved.insert("memory".into(), "9Gi".into());
        assert_eq!(node.allocatable()["memory"], "0");
        assert_eq!(node.memory_of_pods(), 0);
    }
}
