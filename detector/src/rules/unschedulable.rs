//! What the rules of pods that no node takes share: which predicate leaves no node.
//!
//! The nodes are narrowed in one order, and the first predicate that leaves none is the cause:
//! selector and affinity; taints; a node's whole size; volumes, host ports, pod affinity; what is
//! free now. A node that is closed to the pod whatever the pod asks for, such as a control plane,
//! is background.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;

use crate::facts::{Pod, ReplicaSet};
use crate::finding::Finding;
use crate::kubernetes::scheduling::{self, NodeShape, PODS, Scan, Shortage};
use crate::object::Kind;
use crate::rules::{affinity, claims, node_not_ready, ports};
use crate::verdict::{Class, Confidence, Culprit, Evidence, Reference};
use crate::view::{View, Workload, controller};

/// How long a node may take to come after an autoscaler said that it makes one.
const PROVISIONING: SignedDuration = SignedDuration::from_mins(10);

/// How long the scheduler's message is not believed where the pod fits by what is known: it tries
/// again at least every five minutes.
///
/// Source: `DefaultPodMaxInUnschedulablePodsDuration` in `pkg/scheduler/backend/queue`.
const BELIEVED: SignedDuration = SignedDuration::from_mins(6);

/// What leaves no node, in the order in which the nodes are narrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Obstacle {
    /// Node selector or required node affinity.
    Selector,
    /// Taints that somebody put on the nodes.
    Taints,
    /// The size of the nodes.
    Size,
    /// The nodes that would hold it are cordoned.
    Cordon,
    /// The nodes that would hold it are not ready, under pressure, coming or going.
    Unwell,
    /// The claims, or the volumes that they are bound to.
    Volumes,
    /// Ports of the nodes.
    Ports,
    /// Pod affinity, anti-affinity or topology spread.
    Affinity,
    /// What is free now.
    Capacity,
}

/// A pod that no node takes.
pub(super) struct Unschedulable {
    /// The predicate that leaves no node.
    pub obstacle: Obstacle,
    /// Which nodes are left, step by step.
    pub scan: Arc<Scan>,
    /// Since when the scheduler finds no node.
    pub since: Timestamp,
    /// The scheduler's word for it.
    pub evidence: Evidence,
    /// How sure it is which predicate it is.
    pub confidence: Confidence,
    /// What suffers.
    pub workload: Workload,
}

impl Unschedulable {
    /// The beginning of a finding.
    pub fn finding(&self, class: Class, culprit: Culprit, summary: String) -> Finding {
        Finding::new(
            class,
            self.workload.reference.clone(),
            culprit,
            self.since,
            summary,
        )
        .confidence(self.confidence)
        .evidence([self.evidence.clone()])
    }

    /// The nodes that would hold the pod and take pods, whether or not they have room now.
    pub fn open_nodes(&self) -> impl Iterator<Item = &NodeShape> {
        let full = self.scan.full.iter().map(|(node, _)| node);
        full.chain(&self.scan.free).map(Arc::as_ref)
    }

    /// The resource that the scheduler's message says nodes have too little of.
    pub fn scarce_by_message(&self) -> Option<String> {
        let message = &self.evidence.quote;
        let told = [
            ("Too many pods", PODS),
            (UNTOLD[0], "attachable-volumes"),
            (UNTOLD[1], "storage"),
        ];
        if let Some((_, resource)) = told.iter().find(|(words, _)| message.contains(words)) {
            return Some((*resource).to_owned());
        }
        let asked = self.scan.requests.keys();
        asked
            .filter(|resource| {
                let text = format!("Insufficient {resource}");
                let rest = message.split_once(&text).map(|(_, rest)| rest);
                // Not the beginning of another resource's name.
                rest.is_some_and(|rest| {
                    !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-')
                })
            })
            .min()
            .cloned()
    }

    /// The nodes that would hold the pod, and that are unwell by a condition of their own.
    pub fn unwell_nodes(&self, view: &View<'_>) -> Vec<Reference> {
        let unwell = self.scan.unwell.iter().map(|(node, _)| node);
        unwell
            .filter(|node| is_unwell(&node.name, view))
            .map(|node| Reference::cluster("Node", &node.name))
            .collect()
    }
}

/// What the scheduler has to say of a pod that it found no node for; none if it has a node, is
/// about to get one, or was not looked at.
pub(super) fn of(pod: &Pod, view: &View<'_>) -> Option<Unschedulable> {
    let (evidence, since) = complaint(pod)?;
    if is_nominated(pod) || is_being_made_a_node(pod, view) || is_superseded(pod, view) {
        return None;
    }
    let scan = view.scan(&pod.spec);
    let message = evidence.quote.clone();
    let (obstacle, confidence) = if view.is_listed_everywhere(Kind::Node) {
        computed(pod, &scan, (&message, since), view)?
    } else {
        (said(&message)?, Confidence::Likely)
    };
    Some(Unschedulable {
        obstacle,
        scan,
        since,
        evidence,
        confidence,
        workload: view.workload(pod),
    })
}

/// What the scheduler says of a pod that has no node, and since when.
pub(super) fn complaint(pod: &Pod) -> Option<(Evidence, Timestamp)> {
    if pod.node.is_some() || pod.deleting.is_some() || pod.is_finished() {
        return None;
    }
    let condition = pod.condition("PodScheduled")?;
    if condition.status != "False" || condition.reason.as_deref() != Some("Unschedulable") {
        return None;
    }
    let since = condition.last_transition_time.as_ref().map(|time| time.0);
    let since = since.or(pod.created)?;
    Some((pod.condition_evidence(condition), since))
}

/// Whether pods of lower priority are leaving a node for it.
fn is_nominated(pod: &Pod) -> bool {
    let node = pod.status.nominated_node_name.as_deref();
    node.is_some_and(|node| !node.is_empty())
}

/// Whether its Deployment rolls out a newer template: the pod is about to go, whatever it lacks.
///
/// Source: `deploymentutil.Revision` in `pkg/controller/deployment/util`: the newest ReplicaSet is
/// that of the highest revision.
fn is_superseded(pod: &Pod, view: &View<'_>) -> bool {
    let own = pod
        .controller
        .as_ref()
        .filter(|owner| owner.kind == "ReplicaSet");
    let Some(own) = own else { return false };
    let own = view.get::<ReplicaSet>(&pod.namespace, &own.name).found();
    let Some((own, deployment)) = own.and_then(|own| Some((own, controller(&own.metadata)?)))
    else {
        return false;
    };
    let revision = |set: &ReplicaSet| {
        let annotations = set.metadata.annotations.as_ref()?;
        annotations
            .get("deployment.kubernetes.io/revision")?
            .parse::<u64>()
            .ok()
    };
    let mut sets = view.in_namespace::<ReplicaSet>(&pod.namespace);
    let is_newer = |set: &ReplicaSet| {
        let same = controller(&set.metadata).is_some_and(|owner| owner.uid == deployment.uid);
        same && set.spec.replicas.unwrap_or(1) > 0 && revision(set) > revision(own)
    };
    // A ReplicaSet of which only a pod was seen yet is newer than all that were seen.
    let is_unseen = |other: &&Pod| {
        let owner = other.controller.as_ref().map(|owner| owner.name.as_str());
        let set = owner.map(|owner| view.get::<ReplicaSet>(&pod.namespace, owner).found());
        set == Some(None) && other.created > pod.created
    };
    sets.any(is_newer)
        || view
            .pods_of_workload(&view.workload(pod).reference)
            .iter()
            .any(is_unseen)
}

/// Whether an autoscaler said that it makes a node for it: cluster-autoscaler's and Karpenter's
/// words.
fn is_being_made_a_node(pod: &Pod, view: &View<'_>) -> bool {
    let event = view.latest_event(pod, &["TriggeredScaleUp", "Nominated"]);
    let last = event.and_then(|event| event.last);
    last.is_some_and(|last| view.within(last, PROVISIONING))
}

/// Narrows the nodes by what is known of them.
fn computed(
    pod: &Pod,
    scan: &Scan,
    (message, since): (&str, Timestamp),
    view: &View<'_>,
) -> Option<(Obstacle, Confidence)> {
    let certain = |obstacle| Some((obstacle, Confidence::Certain));
    let open = || scan.full.iter().map(|(node, _)| node).chain(&scan.free);
    if open().next().is_none() {
        let obstacle = if !scan.cordoned.is_empty() && scan.unwell.is_empty() {
            Obstacle::Cordon
        } else if !scan.unwell.is_empty() {
            Obstacle::Unwell
        } else if !scan.too_small.is_empty() {
            Obstacle::Size
        } else if !scan.tainted.is_empty() {
            Obstacle::Taints
        } else if !scan.unselected.is_empty() {
            Obstacle::Selector
        } else {
            // A cluster without nodes.
            if claims::hold_up(pod, view) {
                return certain(Obstacle::Volumes);
            }
            return Some((Obstacle::Capacity, Confidence::Likely));
        };
        return certain(obstacle);
    }
    // A claim that is missing or waits to be bound keeps the pod from every node.
    if claims::hold_up(pod, view) {
        return certain(Obstacle::Volumes);
    }
    if said(message) == Some(Obstacle::Volumes) && claims::are_unknown(pod, view) {
        return Some((Obstacle::Volumes, Confidence::Likely));
    }
    let left: Vec<&NodeShape> = open()
        .map(Arc::as_ref)
        .filter(|node| claims::admit(pod, node, view))
        .collect();
    if left.is_empty() {
        return certain(Obstacle::Volumes);
    }
    if !view.is_listed_everywhere(Kind::Pod) {
        let said = said(message).filter(|obstacle| *obstacle >= Obstacle::Volumes);
        return Some((said?, Confidence::Likely));
    }
    let left = ports::leave(pod, left, view);
    if left.is_empty() {
        return certain(Obstacle::Ports);
    }
    let asked = affinity::constraints(pod, true, view);
    let holds = |node: &&NodeShape| asked.iter().all(|asked| asked.holds(node));
    let left: Vec<&NodeShape> = left.into_iter().filter(holds).collect();
    if left.is_empty() {
        return certain(Obstacle::Affinity);
    }
    let free: BTreeSet<&str> = scan.free.iter().map(|node| node.name.as_str()).collect();
    if left.iter().all(|node| !free.contains(node.name.as_str())) {
        return certain(Obstacle::Capacity);
    }
    // By what is known it fits, and the scheduler is about to find that out too; but what keeps
    // it from its neighbours can lie in another namespace, and how many volumes a node takes no
    // object tells that is read here.
    let untold = match said(message)? {
        Obstacle::Affinity => Obstacle::Affinity,
        _ if UNTOLD.iter().any(|words| message.contains(words)) => Obstacle::Capacity,
        _ => return None,
    };
    view.ripe(since, BELIEVED)
        .then_some((untold, Confidence::Likely))
}

/// What the scheduler says of volumes that nodes have no room for.
///
/// Source: `pkg/scheduler/framework/plugins` (`nodevolumelimits/csi.go`, `volumebinding/binder.go`).
const UNTOLD: [&str; 2] = [
    "exceed max volume count",
    "did not have enough free storage",
];

/// What the scheduler's message gives as the reason, where the nodes cannot be looked at: of the
/// reasons that it counts, the last by the order in which nodes are narrowed.
///
/// Source: the error constants of `pkg/scheduler/framework/plugins/*`.
pub(super) fn said(message: &str) -> Option<Obstacle> {
    let reasons = message.split(" preemption: ").next().unwrap_or_default();
    let reasons = reasons
        .split_once(": ")
        .map_or(reasons, |(_, reasons)| reasons);
    let obstacle = |reason: &str| {
        let says = |text: &str| reason.contains(text);
        if says("didn't match Pod's node affinity") || says("didn't match node selector") {
            Some(Obstacle::Selector)
        } else if says("pod topology spread") || says("affinity rules") {
            Some(Obstacle::Affinity)
        } else if says("PersistentVolume")
            || says("persistentvolumeclaim")
            || says("persistent volumes")
            || says("volume node affinity conflict")
            || says("no available volume zone")
        {
            Some(Obstacle::Volumes)
        } else if says("node.kubernetes.io/") {
            Some(Obstacle::Unwell)
        } else if says("taint") {
            Some(Obstacle::Taints)
        } else if says("were unschedulable") {
            Some(Obstacle::Cordon)
        } else if says("free ports") {
            Some(Obstacle::Ports)
        } else if UNTOLD.iter().any(|words| says(words)) {
            Some(Obstacle::Capacity)
        } else if is_of_device(reason) && reasons.contains(", ") {
            // What asks for a device selects the nodes that have any.
            Some(Obstacle::Selector)
        } else if says("Insufficient ") || says("Too many pods") {
            Some(if message.contains("No preemption victims found") {
                Obstacle::Capacity
            } else {
                Obstacle::Size
            })
        } else {
            None
        }
    };
    reasons.split(", ").filter_map(obstacle).max()
}

/// Whether a reason is that nodes have too little of a device, such as a GPU.
fn is_of_device(reason: &str) -> bool {
    let resource = reason
        .split_once("Insufficient ")
        .map(|(_, resource)| resource);
    resource.is_some_and(|resource| scheduling::is_device(resource.trim_end_matches('.')))
}

/// Whether a condition of a node says that it is not ready or under pressure.
fn is_unwell(node: &str, view: &View<'_>) -> bool {
    let node = view.get::<Node>("", node).found();
    let node = node.filter(|node| !node_not_ready::is_starting(node, view));
    let status = node.and_then(|node| node.status.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        if condition.type_ == "Ready" {
            condition.status != "True"
        } else {
            condition.type_.ends_with("Pressure") && condition.status == "True"
        }
    })
}

/// The most nodes that a verdict lists.
const MOST_NODES: usize = 20;

/// The names of nodes, for a verdict's details.
pub(super) fn names<'n>(nodes: impl Iterator<Item = &'n Arc<NodeShape>>) -> Vec<String> {
    let mut names: Vec<String> = nodes.map(|node| node.name.clone()).collect();
    names.sort();
    names.truncate(MOST_NODES);
    names
}

/// The nodes with what each has too little of, for a verdict's details.
pub(super) fn with_reasons(nodes: &[(Arc<NodeShape>, Vec<Shortage>)]) -> serde_json::Value {
    let nodes = nodes.iter().take(MOST_NODES).map(|(node, lacks)| {
        let reasons: Vec<String> = lacks
            .iter()
            .map(|lack| {
                let available = lack.available.text(&lack.resource);
                format!(
                    "{}: {available} of {}",
                    lack.resource,
                    lack.request.text(&lack.resource)
                )
            })
            .collect();
        serde_json::json!({ "name": node.name, "reason": reasons.join(", ") })
    });
    nodes.collect()
}

/// The resource that most of these nodes have too little of, and the most of it that one has. Of
/// equals the first by name.
pub(super) fn scarcest(nodes: &[(Arc<NodeShape>, Vec<Shortage>)]) -> Option<Shortage> {
    let mut by_resource: std::collections::BTreeMap<&str, (usize, Shortage)> = Default::default();
    for lack in nodes.iter().flat_map(|(_, lacks)| lacks) {
        let (count, most) = by_resource
            .entry(&lack.resource)
            .or_insert_with(|| (0, lack.clone()));
        *count += 1;
        if lack.available > most.available {
            *most = lack.clone();
        }
    }
    let first = by_resource.into_values().reduce(
        |scarcest, next| {
            if next.0 > scarcest.0 { next } else { scarcest }
        },
    );
    first.map(|(_, lack)| lack)
}
