//! The configuration of the cluster: `kind-config.yaml`, and what depends on the host's memory.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    backend::{BackendError, GENERAL, POOL},
    state::fnv,
};

/// The configuration as it lies in the repository.
const FILE: &str = include_str!("../../../../kind-config.yaml");

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What pods may request on a worker of the pool `general`, at most: far below 64 GiB.
const GENERAL_MEMORY: u64 = 8 * GIB;

/// What pods may request on the worker of the pool `small`, at most: one of 5 GiB and one of 6 GiB
/// do not fit together, and either fits alone.
const SMALL_MEMORY: u64 = 7 * GIB + 512 * MIB;

/// What the node of the pool `pressure` may use of memory before it is short of it. An idle node
/// uses some 200 MiB.
const PRESSURE_MEMORY: (u64, u64) = (GIB, 2 * GIB);

/// What it may use of its kubelet's file system. That is a tmpfs, whose bytes are memory of the
/// node as well: together with an idle node's they stay below [`PRESSURE_MEMORY`].
const PRESSURE_DISK: (u64, u64) = (384 * MIB, GIB);

/// How many files there may be on it.
const PRESSURE_INODES: u64 = 60_000;

/// A configuration of kind, and what is to be found on its nodes once the cluster is up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The configuration, as kind reads it: JSON, which is YAML.
    pub text: String,
    /// What each pool's kubelets must say of themselves.
    pub kubelets: BTreeMap<String, Kubelet>,
    /// The arguments that the controller manager must have.
    pub controller_manager: Vec<String>,
}

/// What a kubelet must say of itself, at `/configz` and in its node's status.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kubelet {
    /// Fields of its configuration.
    pub configz: BTreeMap<String, Value>,
    /// Whether its file system is one of its own.
    pub own_nodefs: bool,
    /// What pods may request of memory there at most, in bytes.
    pub allocatable: Option<u64>,
}

impl Plan {
    /// Computes the configuration for an engine's host with so much memory, in bytes. With
    /// `as_if`, the sizes are those for a host with so much in its place; what is reserved is
    /// still counted from what the kubelets see.
    pub(crate) fn new(memory: u64, as_if: u64) -> Result<Self, BackendError> {
        let mut config: Value = crate::yaml::from_str(FILE)?;
        let broken = |problem: &str| BackendError::Answer {
            what: "kind-config.yaml".to_owned(),
            problem: problem.to_owned(),
        };
        let shared = patches(&config)?;
        let nodes = config["nodes"]
            .as_array_mut()
            .ok_or_else(|| broken("it has no nodes"))?;
        let mut kubelets = BTreeMap::new();
        for node in nodes {
            if node["role"] != "worker" {
                continue;
            }
            let Some(pool) = node["labels"][POOL].as_str().map(str::to_owned) else {
                return Err(broken("a worker has no label crashbook.dev/pool"));
            };
            let computed = computed(&pool, memory, as_if);
            let patch = json!({
                "kind": "JoinConfiguration",
                "nodeRegistration": { "kubeletExtraArgs": computed },
            });
            let entry = &mut node["kubeadmConfigPatches"];
            if entry.is_null() {
                *entry = json!([]);
            }
            let list = entry
                .as_array_mut()
                .ok_or_else(|| broken("patches are a list"))?;
            list.push(Value::String(patch.to_string()));
            let mut args = BTreeMap::new();
            for patch in patches(node)? {
                if let Some(more) = patch["nodeRegistration"]["kubeletExtraArgs"].as_object() {
                    args.extend(more.clone());
                }
            }
            let expected = Kubelet::expected(&shared, &args, memory)
                .ok_or_else(|| broken("it sets what crashbook cannot check"))?;
            kubelets.insert(pool, expected);
        }
        let controller_manager = shared
            .iter()
            .filter_map(|patch| patch["controllerManager"]["extraArgs"].as_object())
            .flatten()
            .map(|(name, value)| format!("--{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        Ok(Self {
            text: format!("{config:#}\n"),
            kubelets,
            controller_manager,
        })
    }

    /// What tells one configuration from another.
    pub(crate) fn hash(&self) -> String {
        format!("{:016x}", fnv(self.text.as_bytes()))
    }
}

/// What depends on the host. Percentages are of what the kubelets see, which is the whole host's
/// memory, and for nodefs and its inodes half of it: the size that the kernel gives a tmpfs, with
/// one inode for every page.
fn computed(pool: &str, memory: u64, as_if: u64) -> BTreeMap<&'static str, String> {
    let reserve = |allocatable: u64| {
        let reserved = memory.saturating_sub(allocatable.min(as_if / 2)) / MIB;
        BTreeMap::from([("system-reserved", format!("memory={reserved}Mi"))])
    };
    match pool {
        GENERAL => reserve(GENERAL_MEMORY),
        "small" => reserve(SMALL_MEMORY),
        "pressure" => {
            let percent = |used: u64, of: u64| 100.0 - 100.0 * used as f64 / of.max(1) as f64;
            let bytes = (as_if / 12).clamp(PRESSURE_MEMORY.0, PRESSURE_MEMORY.1);
            let disk = (as_if / 24).clamp(PRESSURE_DISK.0, PRESSURE_DISK.1);
            let thresholds = format!(
                "memory.available<{:.2}%,nodefs.available<{:.2}%,nodefs.inodesFree<{:.2}%,imagefs.available<0%",
                percent(bytes, memory),
                percent(disk, memory / 2),
                percent(PRESSURE_INODES, memory / 2 / 4096),
            );
            BTreeMap::from([("eviction-hard", thresholds)])
        }
        _ => BTreeMap::new(),
    }
}

/// The patches of the whole configuration, or of one node.
pub(crate) fn patches(of: &Value) -> Result<Vec<Value>, BackendError> {
    let texts = of["kubeadmConfigPatches"].as_array().into_iter().flatten();
    texts
        .filter_map(Value::as_str)
        .map(|text| Ok(crate::yaml::from_str(text)?))
        .collect()
}

impl Kubelet {
    /// What a kubelet with this configuration and these arguments must say. None where one of
    /// them is not known here.
    fn expected(shared: &[Value], args: &BTreeMap<String, Value>, memory: u64) -> Option<Self> {
        let mut this = Self::default();
        for patch in shared
            .iter()
            .filter(|patch| patch["kind"] == "KubeletConfiguration")
        {
            let fields = patch
                .as_object()?
                .iter()
                .filter(|(name, _)| *name != "kind");
            this.configz
                .extend(fields.map(|(name, value)| (name.clone(), value.clone())));
        }
        for (name, value) in args {
            let value = value.as_str()?;
            match name.as_str() {
                "root-dir" => this.own_nodefs = true,
                "eviction-hard" => {
                    let thresholds: Option<serde_json::Map<_, _>> = value
                        .split(',')
                        .map(|one| {
                            let (signal, least) = one.split_once('<')?;
                            Some((signal.to_owned(), Value::from(least)))
                        })
                        .collect();
                    this.configz
                        .insert("evictionHard".to_owned(), thresholds?.into());
                    let percent = value.strip_prefix("memory.available<")?.split_once('%')?.0;
                    let percent: f64 = percent.parse().ok()?;
                    this.allocatable = Some((memory as f64 * (1.0 - percent / 100.0)) as u64);
                }
                "system-reserved" => {
                    let reserved = value.strip_prefix("memory=")?;
                    let json = json!({ "memory": reserved });
                    this.configz.insert("systemReserved".to_owned(), json);
                    let mib: u64 = reserved.strip_suffix("Mi")?.parse().ok()?;
                    this.allocatable = Some(memory - mib * MIB);
                }
                "eviction-pressure-transition-period" => {
                    let name = "evictionPressureTransitionPeriod".to_owned();
                    this.configz.insert(name, value.into());
                }
                "node-status-update-frequency" => {
                    this.configz
                        .insert("nodeStatusUpdateFrequency".to_owned(), value.into());
                }
                _ => return None,
            }
        }
        Some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a host gets: allocatable memory by pool, and what `pressure` may use, in MiB but for
    /// the last, which is in inodes.
    fn check(host: u64, as_if: u64, general: u64, small: u64, pressure: [u64; 3]) {
        let plan = Plan::new(host * GIB, as_if * GIB).unwrap();
        let allocatable = |pool: &str| plan.kubelets[pool].allocatable.unwrap() / MIB;
        assert_eq!(
            [allocatable("general"), allocatable("small")],
            [general, small],
            "{host} GiB"
        );
        let thresholds = &plan.kubelets["pressure"].configz["evictionHard"];
        let left = |signal: &str, of: u64| {
            let percent = thresholds[signal]
                .as_str()
                .unwrap()
                .strip_suffix('%')
                .unwrap();
            let percent: f64 = percent.parse().unwrap();
            assert!(percent > 0.0 && percent < 100.0, "{signal} {percent}");
            of as f64 * (1.0 - percent / 100.0)
        };
        let memory = host * GIB;
        let found = [
            left("memory.available", memory) / MIB as f64,
            left("nodefs.available", memory / 2) / MIB as f64,
            left("nodefs.inodesFree", memory / 2 / 4096),
        ];
        for (found, wanted) in found.into_iter().zip(pressure) {
            let wanted = wanted as f64;
            assert!(
                (found - wanted).abs() < wanted * 0.02,
                "{host} GiB: {found}, not {wanted}"
            );
        }
        // Nothing that asks for 64 GiB fits, and the tmpfs can be filled before memory is short.
        assert!(general < 64 * 1024 && small < 64 * 1024);
        assert!(pressure[1] * 115 / 100 + 300 < pressure[0]);
        // The preemption's pods need not shrink below a use that a node can give.
        assert!(small >= 4096);
    }

    #[test]
    fn every_host_gets_what_fits() {
        check(8, 8, 4096, 4096, [1024, 384, 60_000]);
        check(24, 24, 8192, 7680, [2048, 1024, 60_000]);
        check(128, 128, 8192, 7680, [2048, 1024, 60_000]);
        check(24, 12, 6144, 6144, [1024, 512, 60_000]);
    }

    #[test]
    fn the_plan_is_a_kind_configuration_with_all_that_the_file_says() {
        let plan = Plan::new(24 * GIB, 24 * GIB).unwrap();
        let config: Value = serde_json::from_str(&plan.text).unwrap();
        assert_eq!(config["kind"], "Cluster");
        assert_eq!(config["nodes"].as_array().unwrap().len(), 4);
        let pressure = &plan.kubelets["pressure"];
        assert!(pressure.own_nodefs);
        assert_eq!(pressure.configz["nodeStatusUpdateFrequency"], "1s");
        assert_eq!(pressure.configz["volumeStatsAggPeriod"], "2s");
        assert_eq!(
            plan.kubelets["general"].configz["nodeLeaseDurationSeconds"],
            8
        );
        assert_eq!(plan.controller_manager, ["--node-monitor-grace-period=12s"]);
    }

    #[test]
    fn another_host_is_another_configuration() {
        let plan = |gib: u64| Plan::new(gib * GIB, gib * GIB).unwrap().hash();
        assert_eq!(plan(24), plan(24));
        assert_ne!(plan(24), plan(12));
    }
}
