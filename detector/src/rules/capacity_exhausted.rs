//! # What it finds
//!
//! A pod stays Pending because the nodes that could hold it are full: what other pods request
//! leaves too little, or a node runs as many pods as it may.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable. A node that takes pods is large enough for it,
//! and on each of them, what is allocatable less what its pods request is less than what the pod
//! asks for. Where pods of other namespaces may be missing, the scheduler's message decides.
//!
//! # Not before
//!
//! Five seconds; as long as pods that are being deleted will leave enough room, two minutes. For
//! ten minutes after an autoscaler said that it makes a node for the pod, nothing is said. A pod
//! for which the scheduler is making room is not stuck.
//!
//! # Looks like
//!
//! - `request-exceeds-nodes`: no node is large enough, even when empty. The message is the same.
//! - `preempted`: the room was there until a pod of higher priority took it.
//! - `quota-exceeded`: the namespace's share is used up, and no pod is made at all.
//!
//! # Remedy
//!
//! Add a node, ask for less, or remove pods.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::quantity::Quantity;
use crate::rules::unschedulable::{self, Obstacle};
use crate::rules::{Judge, Rule};
use crate::verdict::{Class, Confidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::CapacityExhausted,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

/// How long a full cluster is no news: pods come and go.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// How long pods may take that are being deleted and will leave enough room.
const LEAVING: SignedDuration = SignedDuration::from_mins(2);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    if stuck.obstacle != Obstacle::Capacity {
        return;
    }
    // What is free is known only where all pods are.
    let is_known = stuck.confidence == Confidence::Certain;
    let full = if is_known {
        stuck.scan.full.as_slice()
    } else {
        &[]
    };
    let soon = full
        .iter()
        .any(|(_, lacks)| lacks.iter().all(|lack| lack.soon >= lack.request));
    if !view.ripe(stuck.since, if soon { LEAVING } else { PATIENCE }) {
        return;
    }
    let subject = &stuck.workload.reference;
    let lack = unschedulable::scarcest(full);
    let text = |amount: Quantity| lack.as_ref().map(|lack| amount.text(&lack.resource));
    let resource = lack
        .as_ref()
        .map(|lack| lack.resource.clone())
        .or_else(|| stuck.scarce_by_message());
    let summary = match (&lack, &resource) {
        (Some(lack), _) => format!(
            "No node that could hold {subject} has {} of {} left",
            lack.request.text(&lack.resource),
            lack.resource
        ),
        (None, Some(resource)) => format!("No node that could hold {subject} has {resource} left for it"),
        (None, None) => format!("No node has the room that {subject} asks for"),
    };
    let finding = stuck
        .finding(Class::CapacityExhausted, subject.clone().whole(), summary)
        .detail("resource", resource.clone())
        .detail(
            "request",
            resource.as_ref().map(|resource| {
                let request = stuck.scan.requests.get(resource).copied();
                request.unwrap_or(Quantity::whole(1)).text(resource)
            }),
        )
        .detail(
            "largestFree",
            lack.as_ref().and_then(|lack| text(lack.available)),
        )
        .detail("nodes", is_known.then(|| unschedulable::with_reasons(full)))
        .remedy(
            "See what is requested on the nodes, and add one or ask for less",
            "kubectl describe nodes",
        )
        .explained_by(stuck.unwell_nodes(view));
    findings.push(finding);
}
