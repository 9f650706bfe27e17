//! What kubelets measure.
//!
//! Source: `staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go`; cAdvisor's
//! `metrics/prometheus.go`.

use serde_json::{Value, json};

use super::container::Container;
use super::node::{Node, Resource};
use super::pod::object;
use crate::clock::seconds;
use crate::program::Images;
use crate::program::processor::Used;
use crate::quantity;
use crate::value::at;
use crate::world::World;

/// What a node uses by itself.
const OWN_MEMORY: u64 = 700 << 20;
const OWN_DISK: u64 = 64 << 20;
const OWN_INODES: u64 = 2000;
const OWN_PIDS: u64 = 320;
/// How many process ids a host has.
const PIDS: u64 = 126_000;
/// What every container takes besides what its programs ask for.
const CONTAINER_MEMORY: u64 = 640 << 10;

/// What a node has, and what is used of it.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeUse {
    pub(super) memory: u64,
    pub(super) memory_used: u64,
    pub(super) disk: u64,
    pub(super) disk_used: u64,
    pub(super) inodes: u64,
    pub(super) inodes_used: u64,
    pub(super) image_disk: u64,
    pub(super) image_disk_used: u64,
    pub(super) image_inodes: u64,
    pub(super) pids: u64,
    pub(super) pids_used: u64,
}

impl NodeUse {
    pub(super) fn memory_left(&self) -> u64 {
        self.memory.saturating_sub(self.memory_used)
    }

    pub(super) fn disk_left(&self) -> u64 {
        self.disk.saturating_sub(self.disk_used)
    }

    pub(super) fn inodes_left(&self) -> u64 {
        self.inodes.saturating_sub(self.inodes_used)
    }

    pub(super) fn image_disk_left(&self) -> u64 {
        self.image_disk.saturating_sub(self.image_disk_used)
    }

    pub(super) fn pids_left(&self) -> u64 {
        self.pids.saturating_sub(self.pids_used)
    }
}

/// What a pod uses.
#[derive(Clone, Debug, Default)]
pub(super) struct PodUse {
    pub(super) uid: String,
    pub(super) containers: Vec<ContainerUse>,
    pub(super) volumes: Vec<VolumeUse>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ContainerUse {
    pub(super) name: String,
    pub(super) memory: u64,
    pub(super) layer: u64,
    pub(super) layer_inodes: u64,
    pub(super) logs: u64,
    pids: u64,
    cpu: Used,
    /// Whether its use of the processor is limited.
    has_quota: bool,
    nano_cores: u64,
    started: String,
    image: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct VolumeUse {
    pub(super) name: String,
    pub(super) bytes: u64,
    inodes: u64,
    /// Whether it is on the node's disk.
    is_local: bool,
}

impl PodUse {
    fn sum(&self, of: impl Fn(&ContainerUse) -> u64) -> u64 {
        self.containers.iter().map(of).sum()
    }

    pub(super) fn memory(&self) -> u64 {
        self.sum(|container| container.memory)
    }

    pub(super) fn layers(&self) -> u64 {
        self.sum(|container| container.layer)
    }

    /// On the kubelet's file system.
    fn volumes_and_logs(&self) -> u64 {
        let volumes = self.volumes.iter().filter(|volume| volume.is_local);
        volumes.map(|volume| volume.bytes).sum::<u64>() + self.sum(|container| container.logs)
    }

    pub(super) fn disk(&self) -> u64 {
        self.volumes_and_logs() + self.layers()
    }

    pub(super) fn inodes(&self) -> u64 {
        let volumes = self.volumes.iter().filter(|volume| volume.is_local);
        volumes.map(|volume| volume.inodes).sum::<u64>()
            + self.sum(|container| container.layer_inodes)
    }

    pub(super) fn pids(&self) -> u64 {
        self.sum(|container| container.pids)
    }
}

fn in_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(4096) * 4096
}

fn container_use(container: &mut Container, now: jiff::Timestamp) -> Option<ContainerUse> {
    let logs = in_blocks(container.logs.bytes().max(1));
    let image = container.image.as_ref().map(|(name, _)| name.clone());
    let run = container.run.as_mut()?;
    let process = run.process.as_mut()?;
    process.count(now);
    let state = process.container.state();
    Some(ContainerUse {
        name: container.name.clone(),
        memory: in_blocks(process.memory() + CONTAINER_MEMORY),
        layer: in_blocks(state.files.layer_bytes()),
        layer_inodes: state.files.layer_inodes(),
        logs,
        pids: process.pids(),
        cpu: process.processor.used,
        has_quota: process.processor.quota.is_some(),
        nano_cores: run.nano_cores,
        started: seconds(run.since),
        image: image.unwrap_or_default(),
    })
}

/// Measures how much the containers of a node use of its processors.
pub(super) fn measure(world: &mut World, name: &str) {
    let now = world.now();
    let pods = world.kubelets.pods.values_mut();
    for pod in pods.filter(|pod| pod.node == name) {
        let runs = pod.containers.iter_mut().filter_map(|one| one.run.as_mut());
        runs.for_each(|run| run.measure(now));
    }
}

/// What the pods of a node use.
pub(super) fn pods(world: &mut World, name: &str) -> Vec<PodUse> {
    let now = world.now();
    let pods = world
        .kubelets
        .pods
        .values_mut()
        .filter(|pod| pod.node == name);
    pods.map(|pod| PodUse {
        uid: pod.uid.clone(),
        containers: pod
            .containers
            .iter_mut()
            .filter_map(|container| container_use(container, now))
            .collect(),
        volumes: pod
            .volumes
            .iter()
            .map(|(name, volume)| {
                let tree = volume.tree();
                VolumeUse {
                    name: name.clone(),
                    bytes: in_blocks(tree.bytes()),
                    inodes: tree.inodes(),
                    is_local: volume.is_local && !volume.is_memory,
                }
            })
            .collect(),
    })
    .collect()
}

/// What a node has, and what is used of it.
pub(super) fn node(node: &Node, pods: &[PodUse], images: &Images) -> NodeUse {
    let has = |resource: &str| {
        let amount = node.config.capacity.get(resource);
        let amount = amount.and_then(|amount| quantity::parse(amount));
        super::container::units(amount.unwrap_or(0))
    };
    let filled = |resource| node.filled.get(&resource).copied().unwrap_or(0);
    let sum = |of: fn(&PodUse) -> u64| pods.iter().map(of).sum::<u64>();
    let image_disk = has("ephemeral-storage");
    // Images take more room than what is pulled of them.
    let image_bytes: u64 = node
        .images
        .values()
        .map(|image| images.facts(image).size * 5 / 2)
        .sum();
    let image_used =
        image_disk / 4 + image_bytes + sum(PodUse::layers) + filled(Resource::ImageDisk);
    let memory = has("memory");
    let mut used = NodeUse {
        memory,
        memory_used: OWN_MEMORY + sum(PodUse::memory) + filled(Resource::Memory),
        disk: image_disk,
        disk_used: image_used + sum(PodUse::volumes_and_logs) + filled(Resource::Disk),
        inodes: 16_777_216,
        inodes_used: 900_000 + sum(PodUse::inodes) + filled(Resource::Inodes),
        image_disk,
        image_disk_used: image_used,
        image_inodes: 16_777_216,
        pids: PIDS,
        pids_used: OWN_PIDS + sum(PodUse::pids) + filled(Resource::Pids),
    };
    match node.config.own_nodefs {
        Some((bytes, inodes)) => {
            used.disk = bytes;
            used.disk_used = OWN_DISK + sum(PodUse::volumes_and_logs) + filled(Resource::Disk);
            used.inodes = inodes;
            used.inodes_used = OWN_INODES + sum(PodUse::inodes) + filled(Resource::Inodes);
        }
        None => used.image_disk_used = used.disk_used,
    }
    used
}

fn memory(time: &str, used: u64) -> Value {
    json!({ "time": time, "usageBytes": used, "workingSetBytes": used, "rssBytes": used,
        "pageFaults": 0, "majorPageFaults": 0 })
}

fn cpu(time: &str, containers: &[ContainerUse]) -> Value {
    let used: u128 = containers.iter().map(|one| one.cpu.time.as_nanos()).sum();
    let cores: u64 = containers.iter().map(|one| one.nano_cores).sum();
    let used = u64::try_from(used).unwrap_or(u64::MAX);
    json!({ "time": time, "usageNanoCores": cores, "usageCoreNanoSeconds": used })
}

/// The kubelet's `stats/summary`.
fn summary(world: &mut World, name: &str) -> Option<Value> {
    let time = seconds(world.now());
    let pods = pods(world, name);
    let node = world.kubelets.nodes.get(name)?;
    let used = self::node(node, &pods, &world.kubelets.images);
    let fs = |all: u64, left: u64, inodes: u64, inodes_left: u64, used: u64, inodes_used: u64| {
        json!({ "time": time, "availableBytes": left, "capacityBytes": all, "usedBytes": used,
            "inodesFree": inodes_left, "inodes": inodes, "inodesUsed": inodes_used })
    };
    let nodefs = |bytes: u64, inodes_used: u64| {
        let (left, free) = (used.disk_left(), used.inodes_left());
        fs(used.disk, left, used.inodes, free, bytes, inodes_used)
    };
    let imagefs = |bytes: u64, inodes_used: u64| {
        let left = used.image_disk_left();
        let free = used.image_inodes - used.image_inodes / 10;
        fs(
            used.image_disk,
            left,
            used.image_inodes,
            free,
            bytes,
            inodes_used,
        )
    };
    let mut node_memory = memory(&time, used.memory_used);
    node_memory["availableBytes"] = json!(used.memory_left());
    let busy: u64 = pods
        .iter()
        .flat_map(|pod| &pod.containers)
        .map(|container| container.nano_cores)
        .sum();
    let mut shown = Vec::new();
    for used in &pods {
        let pod = world.kubelets.pods.get(&used.uid)?;
        let Some(object) = object(world, pod) else {
            continue;
        };
        let containers: Vec<Value> = used
            .containers
            .iter()
            .map(|container| {
                json!({ "name": container.name, "startTime": container.started,
                    "cpu": cpu(&time, std::slice::from_ref(container)),
                    "memory": memory(&time, container.memory),
                    "rootfs": imagefs(container.layer, container.layer_inodes),
                    "logs": nodefs(container.logs, 1) })
            })
            .collect();
        let volumes: Vec<Value> = used
            .volumes
            .iter()
            .map(|volume| {
                let mut shown = nodefs(volume.bytes, volume.inodes);
                shown["name"] = json!(volume.name);
                shown
            })
            .collect();
        shown.push(json!({
            "podRef": { "name": pod.key.name, "namespace": pod.key.namespace, "uid": pod.uid },
            "startTime": at(&object, "/status/startTime"),
            "containers": containers,
            "cpu": cpu(&time, &used.containers),
            "memory": memory(&time, used.memory()),
            "volume": volumes,
            "ephemeral-storage": nodefs(used.disk(), used.inodes()),
            "process_stats": { "process_count": used.pids() },
        }));
    }
    Some(json!({
        "node": {
            "nodeName": name,
            "startTime": time,
            "cpu": { "time": time, "usageNanoCores": busy + 50_000_000, "usageCoreNanoSeconds": 0 },
            "memory": node_memory,
            "fs": nodefs(used.disk_used, used.inodes_used),
            "runtime": {
                "imageFs": imagefs(used.image_disk_used, used.image_inodes / 10),
                "containerFs": imagefs(used.image_disk_used, used.image_inodes / 10),
            },
            "rlimit": { "time": time, "maxpid": used.pids, "curproc": used.pids_used },
        },
        "pods": shown,
    }))
}

/// The kubelet's `metrics/cadvisor`.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn cadvisor(world: &mut World, name: &str) -> String {
    let stamp = world.now().as_millisecond();
    let pods = pods(world, name);
    let mut labelled = Vec::new();
    for used in &pods {
        let Some(pod) = world.kubelets.pods.get(&used.uid) else {
            continue;
        };
        for container in &used.containers {
            let labels = format!(
                "container={:?},id=\"/kubelet/kubepods/pod{}/{}\",image={:?},name={:?},namespace={:?},\
                 pod={:?}",
                container.name,
                used.uid,
                container.name,
                container.image,
                container.name,
                pod.key.namespace,
                pod.key.name
            );
            labelled.push((labels, container));
        }
    }
    // Those of periods are there only where there is a quota.
    type Of = fn(&ContainerUse) -> Option<f64>;
    let metrics: [(&str, &str, &str, Of); 6] = [
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed in seconds.",
            |container| Some(container.cpu.time.as_secs_f64()),
        ),
        (
            "container_cpu_cfs_periods_total",
            "counter",
            "Number of elapsed enforcement period intervals.",
            |container| container.has_quota.then_some(container.cpu.periods as f64),
        ),
        (
            "container_cpu_cfs_throttled_periods_total",
            "counter",
            "Number of throttled period intervals.",
            |container| {
                container
                    .has_quota
                    .then_some(container.cpu.throttled_periods as f64)
            },
        ),
        (
            "container_cpu_cfs_throttled_seconds_total",
            "counter",
            "Total time duration the container has been throttled.",
            |container| {
                container
                    .has_quota
                    .then_some(container.cpu.throttled.as_secs_f64())
            },
        ),
        (
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set in bytes.",
            |container| Some(container.memory as f64),
        ),
        (
            "container_fs_usage_bytes",
            "gauge",
            "Number of bytes that are consumed by the container on this filesystem.",
            |container| Some(container.layer as f64),
        ),
    ];
    let mut out = String::new();
    for (metric, kind, help, of) in metrics {
        out.push_str(&format!("# HELP {metric} {help}\n# TYPE {metric} {kind}\n"));
        for (labels, container) in &labelled {
            if let Some(value) = of(container) {
                out.push_str(&format!("{metric}{{{labels}}} {value} {stamp}\n"));
            }
        }
    }
    out
}

/// The kubelet's `configz`.
fn configz(node: &Node) -> Value {
    let span = |span: std::time::Duration| {
        let seconds = span.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => format!("{seconds}s"),
            (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
            (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
        }
    };
    json!({ "kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "evictionHard": node.config.eviction_hard,
        "evictionPressureTransitionPeriod": span(node.config.pressure_transition),
        "nodeStatusUpdateFrequency": span(node.config.status_frequency),
        "nodeStatusReportFrequency": "5m0s",
        "nodeLeaseDurationSeconds": node.config.lease.as_secs(),
        "volumeStatsAggPeriod": "2s",
        "maxPods": 110,
        "podPidsLimit": -1,
        "serializeImagePulls": true,
    } })
}

/// What a kubelet answers to a request that the API passes on to it.
pub(crate) enum Answer {
    Json(Value),
    Text(String),
    NotFound,
    /// Why it cannot be reached.
    Unreachable(String),
}

/// Asks a node's kubelet.
pub(crate) fn ask(world: &mut World, name: &str, path: &[&str]) -> Answer {
    let Some(node) = world.kubelets.nodes.get(name) else {
        return Answer::NotFound;
    };
    if !node.kubelet_runs {
        let address = &node.address;
        return Answer::Unreachable(format!(
            "error trying to reach service: dial tcp {address}:10250: connect: connection refused"
        ));
    }
    match path {
        ["configz"] => Answer::Json(configz(node)),
        ["healthz"] => Answer::Text("ok".to_owned()),
        ["stats", "summary"] => summary(world, name).map_or(Answer::NotFound, Answer::Json),
        ["metrics", "cadvisor"] => Answer::Text(cadvisor(world, name)),
        _ => Answer::NotFound,
    }
}
