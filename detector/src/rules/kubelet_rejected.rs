//! A kubelet does not let a pod start that the scheduler, or a node name, gave it.
//!
//! # What it finds
//!
//! A pod that its node refused at admission, or that the kubelet removed to make room for a
//! critical pod.
//!
//! # How it tells
//!
//! The pod is Failed, none of its containers was ever started, and its reason is one that kubelets
//! give at admission: `OutOfcpu` and its like, `NodeAffinity`, `UnexpectedAdmissionError`,
//! `TopologyAffinityError`; or its reason is `Preempting`.
//!
//! # Not before
//!
//! At once. Over when the workload has its pods, or after 10 minutes.
//!
//! # Looks like
//!
//! - `node-pressure-eviction`: a refusal for the node's condition, with reason `Evicted`.
//! - `preempted`: the scheduler, not the kubelet, removed it.
//! - A pod that ended with its node's shutdown.
//!
//! # Remedy
//!
//! Let the scheduler place the pod in place of a node name; ask for what the node has.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::{Judge, Rule, replicas};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::KubeletRejected, needs: &[], judges: &[Judge::Pod(judge)] };

/// How long a refusal counts.
const LASTING: SignedDuration = SignedDuration::from_mins(10);

/// What kubelets say when they refuse a pod, besides `OutOf` and a resource.
///
/// Source: `pkg/kubelet/lifecycle/predicate.go`, `pkg/kubelet/cm/topologymanager`,
/// `pkg/kubelet/sysctl`, `pkg/kubelet/preemption/preemption.go` (`Preempting`).
const REASONS: &[&str] = &[
    "UnexpectedAdmissionError",
    "TopologyAffinityError",
    "SMTAlignmentError",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "InvalidNodeInfo",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "InitContainerRestartPolicyForbidden",
    "PodLevelResourcesNotAdmittedReason",
    "SupplementalGroupsPolicyNotSupported",
    "SysctlForbidden",
    "AppArmor",
    "Preempting",
];

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(reason) = pod.status.reason.as_deref().filter(|_| pod.phase() == "Failed") else {
        return;
    };
    if pod.deleting.is_some() || !(REASONS.contains(&reason) || reason.starts_with("OutOf")) {
        return;
    }
    let started = pod.containers().any(|container| container.ended().next().is_some());
    if started && reason != "Preempting" {
        return;
    }
    let target = pod.condition("DisruptionTarget").or_else(|| pod.condition("Ready"));
    let at = (target.and_then(|target| target.last_transition_time.as_ref()))
        .or(pod.status.start_time.as_ref())
        .map(|time| time.0);
    let at = at.or(pod.created).unwrap_or(view.now());
    if view.ripe(at, LASTING) || pod.controller.is_some() && replicas::are_there(pod, view) {
        return;
    }
    let workload = view.workload(pod).reference;
    let message = pod.status.message.as_deref().unwrap_or(reason).trim_end();
    let node = pod.node.as_deref();
    let on = node.map(|node| format!(" on node {node}")).unwrap_or_default();
    let summary = format!("The kubelet{on} does not let {workload} run: {message}");
    findings.push(
        Finding::new(Class::KubeletRejected, workload.clone(), workload.clone().whole(), at, summary)
            .detail("reason", reason)
            .detail("node", node)
            .explained_by(node.map(|node| Reference::cluster("Node", node)))
            .evidence([Evidence {
                object: pod.reference(),
                field: "status.message".to_owned(),
                quote: message.to_owned(),
                at: Some(at),
            }])
            .remedy(
                "Let the scheduler choose the node, and ask for what a node has",
                format!("kubectl edit {}", workload.kubectl()),
            ),
    );
}
