//! Where a pod could run: the scheduler's predicates that depend on a pod's specification, its
//! nodes and what is requested on them.
//!
//! Source: `pkg/scheduler/framework/plugins` (`nodeaffinity`, `nodeunschedulable`,
//! `tainttoleration`, `noderesources`, `nodeports`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use k8s_openapi::api::core::v1::{Node, NodeSelector, Taint, Toleration};

use crate::facts::{Pod, PodSpec, Symbol};
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resources::{self, Amounts, Side};
use crate::kubernetes::selector::{self, Labels};

/// What the scheduler looks at of a node: it stays the same while only the status beats.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeShape {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: Labels,
    /// The taints.
    pub taints: Vec<Taint>,
    /// Whether `spec.unschedulable` is set.
    pub cordoned: bool,
    /// What it has for pods.
    pub allocatable: Amounts,
}

impl NodeShape {
    fn of(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec
                .and_then(|spec| spec.taints.clone())
                .unwrap_or_default(),
            cordoned: spec.and_then(|spec| spec.unschedulable) == Some(true),
            allocatable: resources::amounts(status.and_then(|status| status.allocatable.as_ref())),
        }
    }

    /// What it has for pods of a resource: nothing where it does not say.
    pub fn allocatable(&self, resource: &str) -> Quantity {
        self.allocatable.get(resource).copied().unwrap_or_default()
    }
}

/// A port of a node that a pod's container takes: address, protocol and number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The number.
    pub number: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The node's address, `0.0.0.0` for all of them.
    pub address: String,
}

impl HostPort {
    /// Whether both cannot be had on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        const ALL: &str = "0.0.0.0";
        self.number == other.number
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == ALL || other.address == ALL)
    }
}

/// The ports that a pod takes of its node, each with its path from the pod's root.
pub fn host_ports(spec: &PodSpec) -> Vec<(HostPort, String)> {
    let lists = [
        ("containers", spec.containers.as_slice()),
        (
            "initContainers",
            spec.init_containers.as_deref().unwrap_or_default(),
        ),
    ];
    let mut ports = Vec::new();
    for (list, containers) in lists {
        for (index, container) in containers.iter().enumerate() {
            // An init container's ports are not held, a sidecar's are.
            if list == "initContainers" && container.restart_policy.as_deref() != Some("Always") {
                continue;
            }
            for (at, port) in container.ports.iter().flatten().enumerate() {
                let Some(number) = port.host_port.filter(|number| *number > 0) else {
                    continue;
                };
                let address = port.host_ip.clone().filter(|address| !address.is_empty());
                ports.push((
                    HostPort {
                        number,
                        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                        address: address.unwrap_or_else(|| "0.0.0.0".to_owned()),
                    },
                    format!("spec.{list}[{index}].ports[{at}].hostPort"),
                ));
            }
        }
    }
    ports
}

/// What the pods of a node have asked it for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// What all of them ask for together.
    pub requested: Amounts,
    /// How many they are.
    pub pods: i64,
    /// What those of DaemonSets and static pods ask for: it is never free for others.
    pub standing: Amounts,
    /// How many these are.
    pub standing_pods: i64,
    /// What those ask for that are being deleted: it will soon be free.
    pub leaving: Amounts,
    /// How many these are.
    pub leaving_pods: i64,
    /// The node's ports that they take, and by which pods: namespace and name.
    pub ports: BTreeMap<HostPort, BTreeSet<(String, String)>>,
}

/// What one pod adds to the load of its node.
#[derive(Clone, Debug, PartialEq)]
struct Share {
    node: Symbol,
    requested: Arc<Amounts>,
    standing: bool,
    leaving: bool,
    ports: Vec<HostPort>,
}

impl Share {
    fn of(pod: &Pod, latest: &mut Option<(Arc<PodSpec>, Arc<Amounts>)>) -> Option<Self> {
        let node = pod.node.clone()?;
        if pod.is_finished() {
            return None;
        }
        let requested = match latest {
            Some((spec, requested)) if Arc::ptr_eq(spec, &pod.spec) => requested.clone(),
            _ => {
                let requested = Arc::new(resources::of_spec(&pod.spec, Side::Requests));
                *latest = Some((pod.spec.clone(), requested.clone()));
                requested
            }
        };
        let owner = pod.controller.as_ref().map(|owner| owner.kind.as_str());
        Some(Self {
            node,
            requested,
            standing: pod.is_static() || owner == Some("DaemonSet"),
            leaving: pod.deleting.is_some(),
            ports: host_ports(&pod.spec)
                .into_iter()
                .map(|(port, _)| port)
                .collect(),
        })
    }
}

/// A specification, kept so that its address stays its own, and what was found out about it.
type Scanned = (Arc<PodSpec>, Arc<Scan>);

/// What of a specification decides which nodes it leaves.
#[derive(Debug, PartialEq)]
struct Asked {
    selector: Option<BTreeMap<String, String>>,
    affinity: Option<NodeSelector>,
    tolerations: Option<Vec<Toleration>>,
    requests: Amounts,
}

impl Asked {
    fn of(spec: &PodSpec) -> Self {
        Self {
            selector: spec.node_selector.clone(),
            affinity: required_node_affinity(spec).cloned(),
            tolerations: spec.tolerations.clone(),
            requests: resources::of_spec(spec, Side::Requests),
        }
    }
}

/// What was found out since the nodes, or what is requested on them, changed last.
#[derive(Debug, Default)]
struct Scans {
    by_spec: HashMap<usize, Scanned>,
    /// Specifications that ask for the same leave the same nodes.
    by_asked: Vec<(Asked, Arc<Scan>)>,
}

/// The nodes as the scheduler sees them, and what was found out about specifications.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    shapes: BTreeMap<String, Arc<NodeShape>>,
    loads: HashMap<Symbol, Load>,
    scans: Mutex<Scans>,
    /// What the pods of the latest specification ask for: siblings come one after the other.
    latest: Option<(Arc<PodSpec>, Arc<Amounts>)>,
}

impl Nodes {
    /// Takes in a node's new state, or that it is gone, and tells whether that changes anything.
    pub(crate) fn set(&mut self, name: &str, node: Option<&Node>) -> bool {
        let shape = node.map(NodeShape::of);
        if self.shapes.get(name).map(Arc::as_ref) == shape.as_ref() {
            return false;
        }
        match shape {
            Some(shape) => self.shapes.insert(name.to_owned(), Arc::new(shape)),
            None => self.shapes.remove(name),
        };
        self.forget_scans();
        true
    }

    /// Takes in that a pod has another state, is new, or is gone, and tells whether that changes
    /// anything.
    pub(crate) fn replace(&mut self, old: Option<&Pod>, new: Option<&Pod>) -> bool {
        if let (Some(old), Some(new)) = (old, new)
            && asks_the_same(old, new)
        {
            return false;
        }
        let (before, after) = (
            old.and_then(|pod| Share::of(pod, &mut self.latest)),
            new.and_then(|pod| Share::of(pod, &mut self.latest)),
        );
        if before == after {
            return false;
        }
        if let (Some(share), Some(pod)) = (before, old) {
            self.weigh(&share, pod, resources::subtract, -1);
        }
        if let (Some(share), Some(pod)) = (after, new) {
            self.weigh(&share, pod, resources::add, 1);
        }
        self.forget_scans();
        true
    }

    fn weigh(&mut self, share: &Share, pod: &Pod, put: fn(&mut Amounts, &Amounts), one: i64) {
        let load = self.loads.entry(share.node.clone()).or_default();
        put(&mut load.requested, &share.requested);
        load.pods += one;
        if share.leaving {
            put(&mut load.leaving, &share.requested);
            load.leaving_pods += one;
        } else if share.standing {
            put(&mut load.standing, &share.requested);
            load.standing_pods += one;
        }
        for port in &share.ports {
            let id = (pod.namespace.clone(), pod.name.clone());
            let holders = load.ports.entry(port.clone()).or_default();
            if one > 0 {
                holders.insert(id);
            } else {
                holders.remove(&id);
                if holders.is_empty() {
                    load.ports.remove(port);
                }
            }
        }
        if load.pods == 0 {
            self.loads.remove(&share.node);
        }
    }

    fn forget_scans(&mut self) {
        let scans = self.scans.get_mut().unwrap_or_else(PoisonError::into_inner);
        scans.by_spec.clear();
        scans.by_asked.clear();
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&Arc<NodeShape>> {
        self.shapes.get(name)
    }

    pub(crate) fn shapes(&self) -> impl Iterator<Item = &Arc<NodeShape>> {
        self.shapes.values()
    }

    pub(crate) fn load(&self, node: &str) -> Option<&Load> {
        self.loads.get(node)
    }

    /// Goes through all nodes for a specification, or gives what that gave before.
    pub(crate) fn scan(&self, spec: &Arc<PodSpec>) -> Arc<Scan> {
        let address = Arc::as_ptr(spec).addr();
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, scan)) = scans.by_spec.get(&address) {
            return scan.clone();
        }
        let asked = Asked::of(spec);
        let known = scans.by_asked.iter().find(|(other, _)| *other == asked);
        let scan = match known {
            Some((_, scan)) => scan.clone(),
            None => {
                let scan = Arc::new(Scan::of(spec, self));
                scans.by_asked.push((asked, scan.clone()));
                scan
            }
        };
        scans.by_spec.insert(address, (spec.clone(), scan.clone()));
        scan
    }
}

/// Whether both ask the same of the same node, as far as can be told without adding up.
fn asks_the_same(old: &Pod, new: &Pod) -> bool {
    old.node == new.node
        && old.is_finished() == new.is_finished()
        && old.deleting.is_some() == new.deleting.is_some()
        && (Arc::ptr_eq(&old.spec, &new.spec) || old.spec == new.spec)
}

/// Which nodes a specification leaves, step by step. Each node stands in one list.
#[derive(Debug, Default)]
pub struct Scan {
    /// What the specification asks for.
    pub requests: Amounts,
    /// Nodes that its selector, affinity or kinds of resource rule out.
    pub unselected: Vec<Arc<NodeShape>>,
    /// Nodes with taints that it does not tolerate, with the first of these.
    pub tainted: Vec<(Arc<NodeShape>, Taint)>,
    /// Control planes among these, where it could have been placed on others.
    pub background: Vec<(Arc<NodeShape>, Taint)>,
    /// Nodes that it could not run on even alone, with what they lack.
    pub too_small: Vec<(Arc<NodeShape>, Vec<Shortage>)>,
    /// Nodes that would hold it, but are cordoned.
    pub cordoned: Vec<Arc<NodeShape>>,
    /// Nodes that would hold it, but that taints of Kubernetes' own keep pods from: not ready,
    /// under pressure, coming or going.
    pub unwell: Vec<(Arc<NodeShape>, Taint)>,
    /// Nodes that would hold it and take pods, but have too little left now.
    pub full: Vec<(Arc<NodeShape>, Vec<Shortage>)>,
    /// Nodes that would hold it and have enough left now.
    pub free: Vec<Arc<NodeShape>>,
}

/// What a node has too little of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The resource; `pods` for the number of pods.
    pub resource: String,
    /// What is asked for.
    pub request: Quantity,
    /// What there is.
    pub available: Quantity,
    /// What there will be when the pods that are being deleted are gone.
    pub soon: Quantity,
}

/// The number of pods, as a resource.
pub const PODS: &str = "pods";

impl Scan {
    fn of(spec: &PodSpec, nodes: &Nodes) -> Self {
        let mut scan = Scan {
            requests: resources::of_spec(spec, Side::Requests),
            ..Scan::default()
        };
        let required = required_node_affinity(spec);
        let named = required.and_then(selector::node_names);
        let candidates: Vec<&Arc<NodeShape>> = match &named {
            Some(names) => names.iter().filter_map(|name| nodes.shape(name)).collect(),
            None => nodes.shapes().collect(),
        };
        let mut selected = Vec::new();
        for node in candidates {
            if selects(spec, node) {
                selected.push(node);
            } else {
                scan.unselected.push(node.clone());
            }
        }
        scan.leave_those_with_the_devices(&mut selected);
        let (barred, tolerated): (Vec<_>, Vec<_>) = selected
            .into_iter()
            .map(|node| (node, barrier(node, spec)))
            .partition(|(_, barrier)| {
                matches!(barrier, Some((Barrier::ControlPlane | Barrier::Taint, _)))
            });
        let all_control_planes = tolerated.is_empty()
            && (barred.iter())
                .all(|(_, barrier)| matches!(barrier, Some((Barrier::ControlPlane, _))));
        for (node, barrier) in barred {
            match barrier {
                Some((Barrier::ControlPlane, taint)) if !all_control_planes => {
                    scan.background.push((node.clone(), taint));
                }
                Some((_, taint)) => scan.tainted.push((node.clone(), taint)),
                None => {}
            }
        }
        for (node, barrier) in tolerated {
            let load = nodes.load(&node.name);
            let lacks = shortages(&scan.requests, node, |resource| {
                let standing = load.map(|load| &load.standing);
                let count = load.map_or(0, |load| load.standing_pods);
                let used = amount(standing, count, resource);
                (used, Quantity::ZERO)
            });
            if !lacks.is_empty() {
                scan.too_small.push((node.clone(), lacks));
                continue;
            }
            match barrier {
                Some((Barrier::Cordon, _)) => scan.cordoned.push(node.clone()),
                Some((_, taint)) => scan.unwell.push((node.clone(), taint)),
                None => {
                    let lacks = shortages(&scan.requests, node, |resource| {
                        let requested = load.map(|load| &load.requested);
                        let pods = load.map_or(0, |load| load.pods);
                        let leaving = load.map(|load| &load.leaving);
                        let leaving_pods = load.map_or(0, |load| load.leaving_pods);
                        (
                            amount(requested, pods, resource),
                            amount(leaving, leaving_pods, resource),
                        )
                    });
                    if lacks.is_empty() {
                        scan.free.push(node.clone());
                    } else {
                        scan.full.push((node.clone(), lacks));
                    }
                }
            }
        }
        scan
    }

    /// A request for a device, such as a GPU, selects the nodes that have any of it, as a label
    /// would: that the others have none is no news.
    fn leave_those_with_the_devices(&mut self, selected: &mut Vec<&Arc<NodeShape>>) {
        let asked = self.requests.iter();
        let devices = asked.filter(|(name, amount)| is_device(name) && **amount > Quantity::ZERO);
        for (device, _) in devices {
            let has = |node: &Arc<NodeShape>| node.allocatable(device) > Quantity::ZERO;
            if selected.iter().any(|node| has(node)) {
                let (with, without) = selected.iter().copied().partition(|node| has(node));
                *selected = with;
                let without: Vec<&Arc<NodeShape>> = without;
                self.unselected.extend(without.into_iter().cloned());
            }
        }
    }

    /// Whether this node would take the pod if it had the room: it is large enough and open.
    pub fn would_hold(&self, node: &str) -> bool {
        self.free.iter().any(|free| free.name == node)
            || self.full.iter().any(|(full, _)| full.name == node)
    }
}

/// Whether a resource is a device that only some nodes have.
pub fn is_device(resource: &str) -> bool {
    resource.contains('/') && !resource.contains("kubernetes.io/")
}

fn amount(amounts: Option<&Amounts>, pods: i64, resource: &str) -> Quantity {
    if resource == PODS {
        return Quantity::whole(pods);
    }
    let amount = amounts.and_then(|amounts| amounts.get(resource));
    amount.copied().unwrap_or_default()
}

/// What of the requests, and of room for one more pod, a node lacks, when this much is used and
/// of that this much is soon free. What is not asked for is never short.
fn shortages(
    requests: &Amounts,
    node: &NodeShape,
    used: impl Fn(&str) -> (Quantity, Quantity),
) -> Vec<Shortage> {
    let one = Quantity::whole(1);
    let asked = requests
        .iter()
        .map(|(name, amount)| (name.as_str(), *amount))
        .filter(|(_, amount)| *amount > Quantity::ZERO)
        .chain([(PODS, one)])
        // What every node has, and this one does not tell of, may be any number.
        .filter(|(resource, _)| {
            !matches!(*resource, "cpu" | "memory" | "ephemeral-storage" | PODS)
                || node.allocatable.contains_key(*resource)
        });
    asked
        .filter_map(|(resource, request)| {
            let (used, leaving) = used(resource);
            let available = node.allocatable(resource) - used;
            (request > available).then(|| Shortage {
                resource: resource.to_owned(),
                request,
                available: available.max(Quantity::ZERO),
                soon: available + leaving,
            })
        })
        .collect()
}

/// The node affinity that a specification requires.
pub fn required_node_affinity(spec: &PodSpec) -> Option<&NodeSelector> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()
}

/// Whether a specification's node selector and required node affinity match a node.
pub fn selects(spec: &PodSpec, node: &NodeShape) -> bool {
    let equalities = spec.node_selector.as_ref();
    equalities.is_none_or(|equalities| selector::has_all(equalities, &node.labels))
        && required_node_affinity(spec)
            .is_none_or(|required| selector::matches_node(required, &node.name, &node.labels))
}

/// Whether a specification tolerates all taints of a node that keep pods away.
pub fn tolerates_all(spec: &PodSpec, node: &NodeShape) -> bool {
    barrier(node, spec).is_none()
}

/// Whether one of the tolerations is for this taint.
///
/// Source: `ToleratesTaint` in `staging/src/k8s.io/api/core/v1/toleration.go`.
pub fn tolerates(tolerations: Option<&[Toleration]>, taint: &Taint) -> bool {
    tolerations.unwrap_or_default().iter().any(|toleration| {
        let has = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        let (have, bound) = (taint.value.as_deref(), toleration.value.as_deref());
        let numbers = || {
            let have: i64 = have?.parse().ok()?;
            Some((have, bound?.parse::<i64>().ok()?))
        };
        has(&toleration.effect).is_none_or(|effect| effect == taint.effect)
            && has(&toleration.key).is_none_or(|key| key == taint.key)
            && match has(&toleration.operator).as_deref() {
                None | Some("Equal") => have.unwrap_or_default() == bound.unwrap_or_default(),
                Some("Exists") => true,
                Some("Gt") => numbers().is_some_and(|(have, bound)| have > bound),
                Some("Lt") => numbers().is_some_and(|(have, bound)| have < bound),
                Some(_) => false,
            }
    })
}

/// Why a node is closed to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Barrier {
    /// The taint that keeps pods off control planes.
    ControlPlane,
    /// A taint that somebody put there.
    Taint,
    /// The node is cordoned.
    Cordon,
    /// A taint that Kubernetes, or what makes and removes nodes, put there and will take away.
    Unwell,
}

/// The hardest barrier between a pod and a node, with its taint.
fn barrier(node: &NodeShape, spec: &PodSpec) -> Option<(Barrier, Taint)> {
    let cordon = Taint {
        key: CORDON.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let taints = node.taints.iter().chain(node.cordoned.then_some(&cordon));
    taints
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .filter(|taint| !tolerates(spec.tolerations.as_deref(), taint))
        .map(|taint| (kind_of(taint), taint.clone()))
        .min_by_key(|(barrier, _)| *barrier)
}

const CORDON: &str = "node.kubernetes.io/unschedulable";

/// Taints of nodes that are coming or going.
const PASSING: [&str; 8] = [
    "DeletionCandidateOfClusterAutoscaler",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "karpenter.sh/unregistered",
    "node.cloudprovider.kubernetes.io/shutdown",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cluster.x-k8s.io/uninitialized",
];

fn kind_of(taint: &Taint) -> Barrier {
    let key = taint.key.as_str();
    let is_control_plane = matches!(
        key,
        "node-role.kubernetes.io/control-plane"
            | "node-role.kubernetes.io/master"
            | "node-role.kubernetes.io/controlplane"
            | "node-role.kubernetes.io/etcd"
    );
    if key == CORDON {
        Barrier::Cordon
    } else if is_control_plane {
        Barrier::ControlPlane
    } else if key.starts_with("node.kubernetes.io/")
        || PASSING.contains(&key)
        || key.ends_with("agent-not-ready")
    {
        Barrier::Unwell
    } else {
        Barrier::Taint
    }
}
