//! # What it finds
//!
//! A pod stays Pending because the nodes that it could run on are cordoned.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable. Of the nodes that its selector, affinity and
//! tolerations leave and that are large enough for it, all have `spec.unschedulable` set. In an
//! input without nodes, the scheduler's message decides.
//!
//! # Not before
//!
//! At once; but for ten minutes after an autoscaler said that it makes a node for the pod, nothing
//! is said.
//!
//! # Looks like
//!
//! - `capacity-exhausted`: a node that takes pods is left, and is full.
//! - `disruption-blocked`: the cordoned node cannot be emptied.
//! - A cordoned node that no pod needs is no trouble.
//!
//! # Remedy
//!
//! Uncordon a node.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::unschedulable::{self, Obstacle};
use crate::rules::{Judge, Rule};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::NodesCordoned,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    if stuck.obstacle != Obstacle::Cordon {
        return;
    }
    let names = unschedulable::names(stuck.scan.cordoned.iter());
    let subject = &stuck.workload.reference;
    let Some(first) = names.first() else {
        // Nodes are not known: only the scheduler says so.
        let summary = format!("The nodes that {subject} could run on are cordoned");
        let finding = stuck
            .finding(Class::NodesCordoned, subject.clone().whole(), summary)
            .remedy("See which nodes are cordoned", "kubectl get nodes");
        findings.push(finding);
        return;
    };
    let node = Reference::cluster("Node", first);
    let summary = format!("{node} is cordoned, and no other node would take {subject}");
    let evidence = Evidence {
        object: node.clone(),
        field: "spec.unschedulable".to_owned(),
        quote: "true".to_owned(),
        at: None,
    };
    let command = format!("kubectl uncordon {first}");
    let finding = stuck
        .finding(
            Class::NodesCordoned,
            node.field("spec.unschedulable"),
            summary,
        )
        .detail("nodes", names.clone())
        .evidence([evidence])
        .remedy("Uncordon the node", command);
    findings.push(finding);
}
