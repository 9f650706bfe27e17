//! What can be seen of a cluster, and told to the [`crate::Engine`].

use std::collections::BTreeMap;

use crate::facts::{Log, Run};
use crate::object::{Kind, Object};

/// One thing that was seen.
///
/// Apart is kept what the API keeps apart: what was deleted and what is merely missing; what is
/// not there and what cannot be read.
#[derive(Clone, Debug)]
pub enum Observation {
    /// An object was listed, or a watch said that it is new or changed.
    Applied(Object),
    /// A watch said that the object was deleted: this was its last state.
    Deleted(Object),
    /// The object is missing from a new list: its last state is known, why it went is not.
    Vanished {
        /// Its kind.
        kind: Kind,
        /// Its namespace; empty for objects of the whole cluster.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// All objects of a kind have been told: from now on an absence means something.
    Listed {
        /// The kind.
        kind: Kind,
        /// The one namespace that was listed; none where all were.
        namespace: Option<String>,
    },
    /// The kind cannot be read: forbidden, or not served. What needs it is not evaluable.
    Unreadable {
        /// The kind.
        kind: Kind,
        /// Why, in the server's words.
        because: String,
    },
    /// What a container printed. Takes the place of what was told before of the same run.
    Log(Log),
    /// What a container printed could not be fetched.
    LogUnavailable {
        /// The namespace of the pod.
        namespace: String,
        /// The name of the pod.
        pod: String,
        /// The container.
        container: String,
        /// Which run it was asked for.
        run: Run,
        /// The id of the run's container, where it is known.
        container_id: Option<String>,
        /// Why, in the server's words.
        because: String,
    },
    /// What a node's kubelet measures: its `stats/summary`.
    NodeStats {
        /// The node's name.
        node: String,
        /// The summary.
        stats: NodeStats,
    },
    /// What a node's kubelet counts of CPU periods: its `/metrics/cadvisor`, as totals since each
    /// container started.
    CpuPeriods {
        /// The node's name.
        node: String,
        /// By namespace, pod and container.
        periods: PeriodsByContainer,
    },
}

/// What a kubelet measures of its node: the parts of `stats/summary` that rules read.
///
/// Source: `k8s.io/kubelet/pkg/apis/stats/v1alpha1`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStats {
    /// The node itself.
    pub node: NodeUse,
    /// Its pods.
    pub pods: Vec<PodUse>,
}

/// What a node uses and has left.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeUse {
    /// The node's name.
    pub node_name: String,
    /// Memory.
    pub memory: MemoryUse,
    /// The kubelet's file system (nodefs).
    pub fs: FsUse,
    /// The runtime: its image file system (imagefs).
    pub runtime: RuntimeUse,
    /// Processes.
    pub rlimit: ProcessUse,
}

/// What a pod uses.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodUse {
    /// Which pod.
    pub pod_ref: PodRef,
    /// Its containers.
    pub containers: Vec<ContainerUse>,
    /// Memory, of all its containers.
    pub memory: MemoryUse,
    /// Its volumes on the node, its logs and writable layers together.
    #[serde(rename = "ephemeral-storage")]
    pub ephemeral_storage: FsUse,
    /// Its volumes.
    #[serde(rename = "volume")]
    pub volumes: Vec<VolumeUse>,
    /// Its processes.
    #[serde(rename = "process_stats")]
    pub processes: ProcessCount,
}

/// Names a pod in a kubelet's statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct PodRef {
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's unique id.
    pub uid: String,
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerUse {
    /// The container's name.
    pub name: String,
    /// CPU.
    pub cpu: CpuUse,
    /// Memory.
    pub memory: MemoryUse,
}

/// The use of CPU.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CpuUse {
    /// The use over the kubelet's last window, in billionths of a core.
    pub usage_nano_cores: Option<u64>,
}

/// The use of memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoryUse {
    /// What is left.
    pub available_bytes: Option<u64>,
    /// What the kernel cannot take back.
    pub working_set_bytes: Option<u64>,
}

/// The use of a file system, in bytes and inodes.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FsUse {
    /// What is left, in bytes.
    pub available_bytes: Option<u64>,
    /// What there is, in bytes.
    pub capacity_bytes: Option<u64>,
    /// What is used, in bytes.
    pub used_bytes: Option<u64>,
    /// The inodes that are left.
    pub inodes_free: Option<u64>,
    /// The inodes that there are.
    pub inodes: Option<u64>,
    /// The inodes that are used.
    pub inodes_used: Option<u64>,
}

/// The use of a volume.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeUse {
    /// The volume's name in the pod.
    pub name: String,
    /// What is used, in bytes.
    pub used_bytes: Option<u64>,
    /// The inodes that are used.
    pub inodes_used: Option<u64>,
}

/// What the container runtime uses.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeUse {
    /// The file system of images (imagefs).
    pub image_fs: FsUse,
}

/// The processes of a node.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct ProcessUse {
    /// The most there can be.
    pub maxpid: Option<i64>,
    /// How many there are.
    pub curproc: Option<i64>,
}

/// The processes of a pod.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct ProcessCount {
    /// How many there are.
    pub process_count: Option<u64>,
}

/// CPU periods by namespace, pod and container.
pub type PeriodsByContainer = BTreeMap<(String, String, String), CpuPeriods>;

/// How many of its CPU periods a container was throttled in, since it started.
///
/// Source: cAdvisor's `container_cpu_cfs_periods_total` and `..._throttled_periods_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuPeriods {
    /// The periods in which it could run.
    pub total: u64,
    /// Those in which its limit stopped it.
    pub throttled: u64,
}

impl CpuPeriods {
    /// The most containers that are read of one node's metrics.
    pub const MOST_CONTAINERS: usize = 10_000;

    /// Reads what a kubelet's `/metrics/cadvisor` counts, in Prometheus' text form: of each
    /// container, by namespace, pod and name. What is not understood is passed over, and so is
    /// what is counted of whole pods.
    pub fn parse(text: &str) -> PeriodsByContainer {
        let mut periods = PeriodsByContainer::new();
        for line in text.lines() {
            let Some((metric, rest)) = line.split_once('{') else {
                continue;
            };
            let is_throttled = match metric {
                "container_cpu_cfs_periods_total" => false,
                "container_cpu_cfs_throttled_periods_total" => true,
                _ => continue,
            };
            let Some((labels, rest)) = labels(rest) else {
                continue;
            };
            let value = rest
                .split_ascii_whitespace()
                .next()
                .and_then(|value| value.parse().ok());
            let Some(count) = value.filter(|value: &f64| value.is_finite() && *value >= 0.0) else {
                continue;
            };
            let label = |name: &str| labels.get(name).cloned().filter(|value| !value.is_empty());
            let (Some(namespace), Some(pod), Some(container)) =
                (label("namespace"), label("pod"), label("container"))
            else {
                continue;
            };
            let id = (namespace, pod, container);
            if periods.len() >= Self::MOST_CONTAINERS && !periods.contains_key(&id) {
                continue;
            }
            let of_container = periods.entry(id).or_default();
            // A run that ended lately can be counted beside the present one: the larger is taken.
            let count = count as u64;
            let field = if is_throttled {
                &mut of_container.throttled
            } else {
                &mut of_container.total
            };
            *field = count.max(*field);
        }
        periods
    }
}

/// The labels of a metric, and what follows their closing brace.
fn labels(mut text: &str) -> Option<(BTreeMap<&str, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (end, '"') => break end,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name, value);
        text = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cadvisor_counts_by_container() {
        let text = "# TYPE container_cpu_cfs_periods_total counter
container_cpu_cfs_periods_total{container=\"\",id=\"/kubepods\",image=\"\",name=\"\",namespace=\"shop\",pod=\"web\"} 900 1695
container_cpu_cfs_periods_total{container=\"app\",id=\"/a\",image=\"x,y}\",name=\"a\\\"b\",namespace=\"shop\",pod=\"web\"} 1.2e+03 1695
container_cpu_cfs_throttled_periods_total{container=\"app\",namespace=\"shop\",pod=\"web\"} 400
container_cpu_cfs_throttled_periods_total{container=\"app\",namespace=\"shop\",pod=\"web\"} NaN
container_cpu_cfs_throttled_periods_total{container=\"app
container_cpu_cfs_throttled_seconds_total{container=\"app\",namespace=\"shop\",pod=\"web\"} 9
";
        let id = ("shop".to_owned(), "web".to_owned(), "app".to_owned());
        let expected = CpuPeriods {
            total: 1200,
            throttled: 400,
        };
        assert_eq!(
            CpuPeriods::parse(text),
            PeriodsByContainer::from([(id, expected)])
        );
    }
}
