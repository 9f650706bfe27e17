//! # What it finds
//!
//! A pod stays Pending because its specification names a node that does not exist, past the
//! scheduler.
//!
//! # How it tells
//!
//! The pod has a node, was never scheduled (no condition PodScheduled), no kubelet took it, and the
//! node is absent while all nodes are known.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - A pod of a node that is gone was scheduled there once, and is about to be removed.
//!
//! # Remedy
//!
//! Leave the choice to the scheduler, or name a node that exists.

use k8s_openapi::api::core::v1::Node;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::{Judge, Need, Rule};
use crate::verdict::{Class, Evidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::NodeNameUnknown,
    needs: &[Need::List(Kind::Node)],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(node) = &pod.node else { return };
    let was_taken = pod.status.start_time.is_some()
        || pod.status.has_host_ip
        || pod.containers().any(|container| container.status.is_some());
    let is_pending = matches!(pod.phase(), "Pending" | "") && pod.deleting.is_none();
    if !is_pending || was_taken || pod.condition("PodScheduled").is_some() {
        return;
    }
    if !view.get::<Node>("", node).is_absent() {
        return;
    }
    let workload = view.workload(pod);
    let summary = format!(
        "There is no node {node}, which {} names",
        workload.reference
    );
    let evidence = Evidence {
        object: pod.reference(),
        field: "spec.nodeName".to_owned(),
        quote: node.to_string(),
        at: pod.created,
    };
    let culprit = workload.culprit("spec.nodeName");
    let command = format!("kubectl edit {}", workload.reference.kubectl());
    let since = pod.created.unwrap_or(view.now());
    findings.push(
        Finding::new(
            Class::NodeNameUnknown,
            workload.reference,
            culprit,
            since,
            summary,
        )
        .detail("node", node.as_str())
        .evidence([evidence])
        .remedy(
            "Leave spec.nodeName to the scheduler, or name a node that exists",
            command,
        ),
    );
}
