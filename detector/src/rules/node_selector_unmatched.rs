//! # What it finds
//!
//! A pod stays Pending because its node selector, or the node affinity that it requires, matches no
//! node of the cluster.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, and no node has the labels that the pod's
//! `nodeSelector` and one of its affinity's terms ask for. In an input without nodes, the
//! scheduler's message decides.
//!
//! # Not before
//!
//! At once; but for ten minutes after an autoscaler said that it makes a node for the pod, nothing
//! is said.
//!
//! # Looks like
//!
//! - `taint-untolerated`, `nodes-cordoned`: nodes match, and are closed to the pod.
//! - `volume-node-conflict`: nodes match, and the pod's volume is elsewhere.
//! - A DaemonSet's pod whose node is gone is about to be deleted.
//!
//! # Remedy
//!
//! Ask for labels that nodes have, or label a node.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::scheduling::required_node_affinity;
use crate::kubernetes::selector;
use crate::rules::unschedulable::{self, Obstacle};
use crate::rules::{Judge, Rule};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::NodeSelectorUnmatched,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    let required = required_node_affinity(&pod.spec);
    let is_pinned = required.is_some_and(|required| selector::node_names(required).is_some());
    if stuck.obstacle != Obstacle::Selector || is_pinned {
        return;
    }
    let equalities = pod.spec.node_selector.as_ref();
    let equalities = equalities.filter(|equalities| !equalities.is_empty());
    let some_node_has = |labels: &selector::Labels| {
        let unselected = &stuck.scan.unselected;
        unselected
            .iter()
            .any(|node| selector::has_all(labels, &node.labels))
    };
    // Of the two, the one that matches nothing by itself; if only both together do, the selector.
    let by_affinity = required.filter(|_| equalities.is_none_or(some_node_has));
    let by_affinity = by_affinity.filter(|required| {
        equalities.is_none()
            || !stuck
                .scan
                .unselected
                .iter()
                .any(|node| selector::matches_node(required, &node.name, &node.labels))
    });
    let (field, term) = match (by_affinity, equalities) {
        (Some(required), _) => {
            let terms = required.node_selector_terms.iter();
            let terms: Vec<String> = terms.map(selector::text_of_term).collect();
            (
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution\
                 .nodeSelectorTerms[0]",
                terms.join(" or "),
            )
        }
        (None, Some(equalities)) => ("spec.nodeSelector", selector::text_of_labels(equalities)),
        (None, None) => return,
    };
    let workload = &stuck.workload;
    let summary = format!(
        "No node matches {term}, which {} asks for",
        workload.reference
    );
    let finding = stuck
        .finding(
            Class::NodeSelectorUnmatched,
            workload.culprit(field),
            summary,
        )
        .detail("term", term)
        .remedy(
            "See which labels the nodes have",
            "kubectl get nodes --show-labels",
        )
        .remedy(
            "Ask for labels that nodes have",
            format!("kubectl edit {}", workload.reference.kubectl()),
        );
    findings.push(finding);
}
