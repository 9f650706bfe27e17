//! # What it finds
//!
//! A pod stays Pending because what it asks of its neighbours leaves no node: pod affinity, pod
//! anti-affinity, or a topology spread constraint.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, and the required terms, computed from the pods
//! that run and the labels of their nodes, leave none of the nodes that selector, taints, size,
//! volumes and host ports leave. Where only the scheduler's message says so, it is likely: pods of
//! another namespace may keep this one away.
//!
//! # Not before
//!
//! Five seconds; two minutes as long as pods that are being deleted are in the way, as in every
//! rollout. For ten minutes after an autoscaler said that it makes a node for the pod, nothing is
//! said.
//!
//! # Looks like
//!
//! - `node-selector-unmatched`: node affinity is about nodes' labels.
//! - Preferred terms, and constraints with `ScheduleAnyway`, keep no pod from a node.
//!
//! # Remedy
//!
//! Loosen the term, add a node or domain, or run fewer replicas.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::scheduling::NodeShape;
use crate::rules::unschedulable::{self, Obstacle};
use crate::rules::{Judge, Rule, affinity};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::PodAffinityUnsatisfiable,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// How long pods may take that are being deleted.
const LEAVING: SignedDuration = SignedDuration::from_mins(2);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    if stuck.obstacle != Obstacle::Affinity {
        return;
    }
    let open: Vec<&NodeShape> = stuck.open_nodes().collect();
    let soon = affinity::constraints(pod, false, view);
    let is_soon_free = open
        .iter()
        .any(|node| soon.iter().all(|asked| asked.holds(node)));
    if !view.ripe(stuck.since, if is_soon_free { LEAVING } else { PATIENCE }) {
        return;
    }
    // Narrowed term by term: the first that leaves none.
    let mut left = open;
    let term = affinity::constraints(pod, true, view)
        .into_iter()
        .find(|asked| {
            left.retain(|node| asked.holds(node));
            left.is_empty()
        });
    let subject = &stuck.workload.reference;
    let (culprit, summary, text) = match term {
        Some(term) => (
            stuck.workload.culprit(&term.field),
            format!("No node left has {}, as {subject} asks", term.text),
            Some(term.text),
        ),
        None => (
            stuck.workload.culprit("spec.affinity"),
            format!("What {subject} or other pods ask of their neighbours leaves no node"),
            None,
        ),
    };
    findings.push(
        stuck
            .finding(Class::PodAffinityUnsatisfiable, culprit, summary)
            .detail("term", text)
            .remedy(
                "Loosen the term, add a node, or run fewer replicas",
                format!("kubectl edit {}", subject.kubectl()),
            )
            .explained_by(stuck.unwell_nodes(view)),
    );
}
