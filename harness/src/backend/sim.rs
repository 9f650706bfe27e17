//! The embedded cluster: a Kubernetes API with its scheduler, controllers and kubelets in this
//! process. Its time is the runtime's, so that under a paused clock nobody waits for it.
//!
//! Its nodes are those of `kind-config.yaml`, laid out as for a host of [`HOST_MEMORY`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crashbook_detector::kubernetes::quantity::{NotAQuantity, Quantity};
use crashbook_sim::{self as sim, Beside, Cluster, Config, NodeConfig, Resource};
use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use super::{Backend, BackendError, kind, reach};
use crate::{
    journal::{self, Journal, JournalError, Target, Undo},
    progress::Progress,
    scenario::{
        FillResource, NodeFacts, NodeFault, Pool, Service, ServiceFacts, ServiceReady, Spec, Unit,
    },
    state::{State, fnv},
};

/// The memory of the host that the nodes are laid out for.
const HOST_MEMORY: u64 = 32 << 30;

/// How long a service may take until it is there.
const READY: Duration = Duration::from_secs(60);

/// An embedded cluster.
pub struct Sim {
    cluster: Cluster,
    client: Client,
    target: Target,
    pools: BTreeMap<Pool, NodeFacts>,
    seed: u64,
    /// The thresholds of each node's kubelet, as the cluster was made.
    thresholds: BTreeMap<String, BTreeMap<String, String>>,
    /// The memory that each node's kubelet kept back, as the cluster was made.
    reserved: BTreeMap<String, String>,
    /// How much is used up of what on which node.
    filled: Mutex<BTreeMap<(String, Resource), u64>>,
    /// The containers beside the cluster that were made, by the names under which they are found.
    beside: Mutex<BTreeMap<String, Beside>>,
}

impl Sim {
    /// Starts a cluster for the run of a scenario on the runtime of the caller, at a time of day.
    /// All that it makes up follows from the seed.
    ///
    /// # Errors
    ///
    /// When kind-config.yaml is none, or asks for what the embedded cluster does not have.
    pub async fn start(seed: u64, epoch: Timestamp) -> Result<Self, BackendError> {
        let config = Config {
            epoch,
            ..config(seed)?
        };
        let nodes = config.nodes.iter();
        let thresholds = nodes
            .map(|node| (node.name.clone(), node.eviction_hard.clone()))
            .collect();
        let nodes = config.nodes.iter();
        let reserved = nodes
            .filter_map(|node| {
                let memory = node.system_reserved.get("memory")?;
                Some((node.name.clone(), memory.clone()))
            })
            .collect();
        let cluster = Cluster::start(config);
        let client = Client::new(cluster.router(), "default");
        let target = Target {
            kubeconfig: PathBuf::new(),
            context: "sim".to_owned(),
            kind: None,
            uid: reach::cluster_uid(&client).await?,
        };
        let pools = kind::pools_now(&client).await?;
        Ok(Self {
            cluster,
            client,
            target,
            pools,
            seed,
            thresholds,
            reserved,
            filled: Mutex::default(),
            beside: Mutex::default(),
        })
    }

    /// The cluster itself.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

/// The cluster as kind-config.yaml describes it.
///
/// # Errors
///
/// When kind-config.yaml is none, or asks for what the embedded cluster does not have.
fn config(seed: u64) -> Result<Config, BackendError> {
    let plan = kind::Plan::new(HOST_MEMORY, HOST_MEMORY)?;
    let wrong = |problem: String| BackendError::Answer {
        what: "kind-config.yaml, laid out for the embedded cluster".to_owned(),
        problem,
    };
    let file: Value = serde_json::from_str(&plan.text).map_err(|error| wrong(error.to_string()))?;
    let shared = kind::patches(&file)?;
    let mut config = Config {
        seed,
        ..Config::default()
    };
    let mut workers = 0;
    for node in file["nodes"].as_array().into_iter().flatten() {
        let mut made = if node["role"] == "control-plane" {
            NodeConfig::control_plane("crashbook-control-plane")
        } else {
            workers += 1;
            let number = if workers == 1 {
                String::new()
            } else {
                workers.to_string()
            };
            NodeConfig::worker(&format!("crashbook-worker{number}"))
        };
        for (label, value) in node["labels"].as_object().into_iter().flatten() {
            made.labels
                .insert(label.clone(), value.as_str().unwrap_or_default().to_owned());
        }
        for patch in shared
            .iter()
            .filter(|patch| patch["kind"] == "KubeletConfiguration")
        {
            if let Some(seconds) = patch["nodeLeaseDurationSeconds"].as_u64() {
                made.lease = Duration::from_secs(seconds);
            }
        }
        for patch in kind::patches(node)? {
            let registration = &patch["nodeRegistration"];
            for taint in registration["taints"].as_array().into_iter().flatten() {
                let taint = serde_json::from_value(taint.clone());
                made.taints
                    .push(taint.map_err(|error| wrong(error.to_string()))?);
            }
            for (flag, value) in registration["kubeletExtraArgs"]
                .as_object()
                .into_iter()
                .flatten()
            {
                let value = value.as_str().unwrap_or_default();
                set(&mut made, flag, value)
                    .ok_or_else(|| wrong(format!("it knows no {flag}={value} of a kubelet")))?;
            }
        }
        made.capacity
            .insert("memory".to_owned(), format!("{}Ki", HOST_MEMORY >> 10));
        config.nodes.push(made);
    }
    for patch in &shared {
        let grace = &patch["controllerManager"]["extraArgs"]["node-monitor-grace-period"];
        if let Some(grace) = grace.as_str() {
            config.node_monitor_grace = seconds(grace)
                .ok_or_else(|| wrong(format!("node-monitor-grace-period is {grace}")))?;
        }
    }
    Ok(config)
}

/// Gives a kubelet a flag; none where it has no such flag, or not with this value.
fn set(node: &mut NodeConfig, flag: &str, value: &str) -> Option<()> {
    match flag {
        "eviction-hard" => {
            for one in value.split(',') {
                let (signal, least) = one.split_once('<')?;
                node.eviction_hard
                    .insert(signal.to_owned(), least.to_owned());
            }
        }
        "system-reserved" => {
            for one in value.split(',') {
                let (resource, amount) = one.split_once('=')?;
                node.system_reserved
                    .insert(resource.to_owned(), amount.to_owned());
            }
        }
        "eviction-pressure-transition-period" => node.pressure_transition = seconds(value)?,
        "node-status-update-frequency" => node.status_frequency = seconds(value)?,
        // The tmpfs at /run has half the host's memory, and a file for each page of it.
        "root-dir" if value.starts_with("/run/") => {
            node.own_nodefs = Some((HOST_MEMORY / 2, HOST_MEMORY / 2 / 4096));
        }
        _ => return None,
    }
    Some(())
}

/// A time such as `12s`.
fn seconds(text: &str) -> Option<Duration> {
    text.strip_suffix('s')?
        .parse()
        .ok()
        .map(Duration::from_secs)
}

impl Backend for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn client(&self) -> Client {
        self.client.clone()
    }

    fn kubeconfig(&self) -> Option<&Path> {
        None
    }

    fn is_own(&self) -> bool {
        true
    }

    fn journal(&self, _: &State, what: &str) -> Result<Journal, JournalError> {
        let end = journal::end(fnv(format!("{what} {}", self.seed).as_bytes()));
        Ok(Journal::volatile(&format!("{what}-{end}"), &self.target))
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn pools<'a>(&'a self) -> BoxFuture<'a, Result<BTreeMap<Pool, NodeFacts>, BackendError>> {
        kind::pools_now(&self.client).boxed()
    }

    fn lacks(&self, scenario: &Spec) -> Option<String> {
        super::lacks(&self.pools, scenario)
    }

    fn images<'a>(
        &'a self,
        _: &'a BTreeSet<String>,
        _: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async { Ok(()) }.boxed()
    }

    fn node<'a>(
        &'a self,
        journal: &'a Journal,
        fault: &'a NodeFault,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async {
            for node in super::nodes(&self.pools, self.name(), fault.pool())? {
                self.fault(journal, node, fault).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn undo<'a>(&'a self, undo: &'a Undo) -> Option<BoxFuture<'a, Result<(), BackendError>>> {
        let undone = match undo {
            Undo::StartUnit { node, unit } => self.do_to(node, &start(unit)),
            Undo::RemoveFill { node, path } => {
                let resource = RESOURCES.iter().find(|(_, name)| name == path)?.0;
                self.empty(node, resource)
            }
            Undo::RestoreKubelet { node, flags } => {
                let fault = match flags.strip_prefix(RESERVED) {
                    Some(bytes) => sim::NodeFault::Reserve(bytes.parse().ok()?),
                    None => {
                        let (signal, value) = flags.split_once('<')?;
                        sim::NodeFault::Threshold(signal.to_owned(), value.to_owned())
                    }
                };
                self.do_to(node, &fault)
            }
            Undo::RemoveContainer { container } => {
                self.cluster.stop_beside(container);
                return Some(async { Ok(()) }.boxed());
            }
            _ => return None,
        };
        let node = match undo {
            Undo::StartUnit { node, .. } | Undo::RestoreKubelet { node, .. } => Some(node),
            _ => None,
        };
        Some(
            async move {
                undone?;
                match node {
                    Some(node) => reach::node_ready(&self.client, node).await,
                    None => Ok(()),
                }
            }
            .boxed(),
        )
    }

    fn make_service<'a>(
        &'a self,
        journal: &'a Journal,
        name: &'a str,
        service: &'a Service,
        files: &'a BTreeMap<String, String>,
        _: &'a Progress,
    ) -> BoxFuture<'a, Result<ServiceFacts, BackendError>> {
        async move {
            let host = host(journal, name);
            let registry = service.registry.clone();
            let user = registry.as_ref().and_then(|registry| registry.user.clone());
            let password = registry
                .as_ref()
                .and_then(|registry| registry.password.clone());
            let beside = Beside {
                image: service.image.clone(),
                args: service.args.clone(),
                env: service.env.clone(),
                files: files.clone(),
                images: registry.map(|registry| registry.push).unwrap_or_default(),
                credentials: user.zip(password),
            };
            let undo = Undo::RemoveContainer {
                container: host.clone(),
            };
            let _ = journal.record(undo)?;
            let address = self
                .cluster
                .start_beside(&host, &beside)
                .map_err(unable(name))?;
            self.cluster.stop_beside(&host);
            lock(&self.beside).insert(host.clone(), beside);
            Ok(ServiceFacts { host, address })
        }
        .boxed()
    }

    fn start_service<'a>(
        &'a self,
        journal: &'a Journal,
        name: &'a str,
        service: &'a Service,
        _: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async move {
            let host = host(journal, name);
            let beside = lock(&self.beside).get(&host).cloned().unwrap_or_default();
            self.cluster
                .start_beside(&host, &beside)
                .map_err(unable(name))?;
            let waiting = async {
                match &service.ready {
                    ServiceReady::Log(text) => self.cluster.beside_prints(&host, &text.0).await,
                    ServiceReady::Tcp(port) | ServiceReady::Http(port) => {
                        self.cluster.beside_serves(&host, *port).await;
                    }
                }
            };
            tokio::time::timeout(READY, waiting)
                .await
                .map_err(|_| BackendError::Late {
                    what: format!("service {name} does not serve"),
                    seconds: READY.as_secs(),
                    last: String::new(),
                })
        }
        .boxed()
    }

    fn stop_service<'a>(
        &'a self,
        journal: &'a Journal,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.cluster.stop_beside(&host(journal, name));
        async { Ok(()) }.boxed()
    }
}

/// How the journal calls what a kubelet kept back for the system.
const RESERVED: &str = "system-reserved=memory=";

/// What can be used up on a node, and how the journal calls it.
const RESOURCES: [(Resource, &str); 5] = [
    (Resource::Memory, "memory"),
    (Resource::Disk, "disk"),
    (Resource::ImageDisk, "image disk"),
    (Resource::Inodes, "inodes"),
    (Resource::Pids, "pids"),
];

/// The name by which pods and nodes find a service.
fn host(journal: &Journal, name: &str) -> String {
    format!("{name}.{}", journal.run())
}

fn unable(name: &str) -> impl FnOnce(String) -> BackendError {
    let what = format!("start service {name}");
    |why| BackendError::Unable {
        backend: "sim",
        what,
        why,
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Kubelet => "kubelet",
        Unit::Containerd => "containerd",
    }
}

fn start(unit: &str) -> sim::NodeFault {
    match unit {
        "kubelet" => sim::NodeFault::StartKubelet,
        _ => sim::NodeFault::StartRuntime,
    }
}

fn resource(of: FillResource) -> Resource {
    match of {
        FillResource::Memory => Resource::Memory,
        FillResource::Disk => Resource::Disk,
        FillResource::ImageDisk => Resource::ImageDisk,
        FillResource::Inodes => Resource::Inodes,
        FillResource::Pids => Resource::Pids,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An amount of something on a node, in bytes or pieces.
fn bytes(what: &str, node: &str, amount: &str) -> Result<u64, BackendError> {
    let amount: Quantity = amount
        .parse()
        .map_err(|error: NotAQuantity| BackendError::Answer {
            what: format!("the {what} on node {node}"),
            problem: error.to_string(),
        })?;
    Ok(u64::try_from(amount.ceil()).unwrap_or(0))
}

impl Sim {
    fn do_to(&self, node: &str, fault: &sim::NodeFault) -> Result<(), BackendError> {
        self.cluster
            .node_fault(node, fault)
            .map_err(|why| BackendError::Unable {
                backend: "sim",
                what: format!("do this to node {node}"),
                why,
            })
    }

    /// Gives back all that was used up of something.
    fn empty(&self, node: &str, of: Resource) -> Result<(), BackendError> {
        let amount = lock(&self.filled)
            .remove(&(node.to_owned(), of))
            .unwrap_or(0);
        self.do_to(node, &sim::NodeFault::Empty(of, amount))
    }

    async fn fault(
        &self,
        journal: &Journal,
        node: &str,
        fault: &NodeFault,
    ) -> Result<(), BackendError> {
        let node = node.to_owned();
        match fault {
            NodeFault::Stop(stop) => {
                let name = unit(stop.unit).to_owned();
                let _ = journal.record(Undo::StartUnit {
                    node: node.clone(),
                    unit: name,
                })?;
                let fault = match stop.unit {
                    Unit::Kubelet => sim::NodeFault::StopKubelet,
                    Unit::Containerd => sim::NodeFault::StopRuntime,
                };
                self.do_to(&node, &fault)
            }
            NodeFault::Start(started) => {
                self.do_to(&node, &start(unit(started.unit)))?;
                reach::node_ready(&self.client, &node).await
            }
            NodeFault::Fill(fill) => {
                let amount = bytes("amount to fill", &node, &fill.amount)?;
                let of = resource(fill.resource);
                let path = RESOURCES.iter().find(|(known, _)| *known == of);
                let path = path.map_or("", |(_, name)| name).to_owned();
                let _ = journal.record(Undo::RemoveFill {
                    node: node.clone(),
                    path,
                })?;
                *lock(&self.filled).entry((node.clone(), of)).or_default() += amount;
                self.do_to(&node, &sim::NodeFault::Fill(of, amount))
            }
            NodeFault::Empty(fill) => self.empty(&node, resource(fill.resource)),
            NodeFault::Reserve(reserve) => {
                let memory = bytes("memory to reserve", &node, &reserve.memory)?;
                let before = self.reserved.get(&node).map_or("0", String::as_str);
                let before = bytes("memory that is reserved", &node, before)?;
                let _ = journal.record(Undo::RestoreKubelet {
                    node: node.clone(),
                    flags: format!("{RESERVED}{before}"),
                })?;
                self.do_to(&node, &sim::NodeFault::Reserve(memory))?;
                reach::node_ready(&self.client, &node).await
            }
            NodeFault::Threshold(wanted) => {
                let before = self
                    .thresholds
                    .get(&node)
                    .and_then(|set| set.get(&wanted.signal));
                let flags = format!("{}<{}", wanted.signal, before.map_or("0%", String::as_str));
                let _ = journal.record(Undo::RestoreKubelet {
                    node: node.clone(),
                    flags,
                })?;
                let fault = sim::NodeFault::Threshold(wanted.signal.clone(), wanted.value.clone());
                self.do_to(&node, &fault)?;
                reach::node_ready(&self.client, &node).await
            }
        }
    }
}
