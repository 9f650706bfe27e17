//! # What it finds
//!
//! A pod stays Pending because the volume that its claim is bound to can only be used on nodes that
//! the pod cannot run on.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable. Of the nodes that are left after selector,
//! taints and size, none matches the node affinity, or the zone, of a bound PersistentVolume.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `node-selector-unmatched`: no node matches what the pod itself asks for.
//! - `capacity-exhausted`: the volume's node is full.
//! - `node-not-ready`: the volume's node is not well; that is part of that verdict.
//!
//! # Remedy
//!
//! Let the pod run where its volume is, or move the data.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::scheduling::NodeShape;
use crate::kubernetes::volumes;
use crate::rules::unschedulable::{self, Obstacle, Unschedulable};
use crate::rules::{Judge, Rule, claims};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::VolumeNodeConflict,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    if stuck.obstacle != Obstacle::Volumes || claims::hold_up(pod, view) {
        return;
    }
    let claims = claims::of(pod);
    let bound = || {
        claims
            .iter()
            .filter_map(|claim| claims::volume_of(pod, &claim.name, view))
    };
    let usable_nowhere = bound().find(|volume| {
        !stuck
            .open_nodes()
            .any(|node| volumes::is_usable_on(volume, node))
    });
    // Several volumes may be usable on one node each, and never the same.
    let all_are_bound = bound().count() == claims.len();
    let Some(volume) = usable_nowhere.or_else(|| bound().next().filter(|_| all_are_bound)) else {
        findings.extend(by_word(&stuck, pod, view));
        return;
    };
    let name = volume.metadata.name.clone().unwrap_or_default();
    let is_usable = |node: &NodeShape| volumes::is_usable_on(volume, node);
    let nodes: Vec<String> = view
        .node_shapes()
        .filter(|node| is_usable(node))
        .map(|node| node.name.clone())
        .take(20)
        .collect();
    let subject = &stuck.workload.reference;
    let object = Reference::cluster("PersistentVolume", &name);
    let summary = if nodes.is_empty() {
        format!("{object} of {subject} can be used on no node that there is")
    } else {
        format!(
            "{object} can only be used on {}, where {subject} cannot run",
            nodes.join(", ")
        )
    };
    let unwell = stuck.unwell_nodes(view);
    let unwell = unwell.into_iter().filter(|node| nodes.contains(&node.name));
    let command = format!("kubectl describe {}", object.kubectl());
    let mut finding = stuck
        .finding(
            Class::VolumeNodeConflict,
            object.field("spec.nodeAffinity"),
            summary,
        )
        .detail("nodes", nodes.clone());
    let mut cordoned = stuck.scan.cordoned.iter().map(|node| &node.name);
    if let Some(node) = cordoned.find(|name| nodes.contains(*name)) {
        finding = finding.evidence([Evidence {
            object: Reference::cluster("Node", node),
            field: "spec.unschedulable".to_owned(),
            quote: "true".to_owned(),
            at: None,
        }]);
        finding = finding.remedy("Uncordon the node", format!("kubectl uncordon {node}"));
    }
    let finding = finding
        .remedy(
            "See where the volume can be used, and let the pod run there",
            command,
        )
        .explained_by(unwell);
    findings.push(finding);
}

/// Where the volume is not known: then its claim is all that can be named.
fn by_word(stuck: &Unschedulable, pod: &Pod, view: &View<'_>) -> Option<Finding> {
    let message = stuck.evidence.quote.as_str();
    let is_said = message.contains("volume node affinity conflict")
        || message.contains("didn't match PersistentVolume's node affinity")
        || message.contains("no available volume zone");
    if !is_said || !claims::are_unknown(pod, view) {
        return None;
    }
    let claims = claims::of(pod);
    let claim = claims.iter().find(|claim| claims::volume_of(pod, &claim.name, view).is_none())?;
    let object = claims::reference(pod, &claim.name);
    let subject = &stuck.workload.reference;
    let summary = format!("The volume of {object} cannot be used where {subject} could run");
    let finding = stuck
        .finding(Class::VolumeNodeConflict, object.clone().whole(), summary)
        .confidence(Confidence::Likely)
        .remedy(
            "See where the claim's volume can be used, and let the pod run there",
            format!("kubectl describe {}", object.kubectl()),
        )
        .explained_by(stuck.unwell_nodes(view));
    Some(finding)
}
