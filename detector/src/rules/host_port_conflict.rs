//! # What it finds
//!
//! A pod stays Pending because a port of the node that it asks for (`hostPort`) is taken on every
//! node that it could run on.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, and on each node that is left after selector,
//! taints, size and volumes, another pod has the same port, protocol and address.
//!
//! # Not before
//!
//! At once; two minutes as long as the pod that holds the port is being deleted. For ten minutes
//! after an autoscaler said that it makes a node for the pod, nothing
//! is said.
//!
//! # Looks like
//!
//! - `port-in-use`: the pod runs, and its program cannot listen.
//! - `capacity-exhausted`: the port is free on a node that is full.
//!
//! # Remedy
//!
//! Do without the host port (a Service of type NodePort, a DaemonSet), or run no more replicas than
//! there are nodes.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::scheduling::host_ports;
use crate::rules::unschedulable::{self, Obstacle};
use crate::rules::{Judge, Rule, ports};
use crate::verdict::{Class, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::HostPortConflict,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

/// How long pods may take that are being deleted and hold the port.
const LEAVING: SignedDuration = SignedDuration::from_mins(2);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    if stuck.obstacle != Obstacle::Ports {
        return;
    }
    let open: Vec<String> = stuck.open_nodes().map(|node| node.name.clone()).collect();
    let asked = host_ports(&pod.spec);
    let conflict = asked.iter().find_map(|(port, field)| {
        let holder = open.iter().find_map(|node| ports::holder(port, node, view));
        Some((port, field, holder?))
    });
    let is_leaving = |holder: &Reference| {
        let namespace = holder.namespace.as_deref().unwrap_or_default();
        let pod = view.get::<Pod>(namespace, &holder.name).found();
        pod.is_some_and(|pod| pod.deleting.is_some())
    };
    let soon = asked.iter().all(|(port, _)| {
        open.iter()
            .any(|node| ports::holder(port, node, view).is_none_or(|holder| is_leaving(&holder)))
    });
    if soon && !view.ripe(stuck.since, LEAVING) {
        return;
    }
    // What holds it is not known where pods may be missing.
    let first = asked.first().map(|(port, field)| (port, field, None));
    let Some((port, field, holder)) = conflict
        .map(|(port, field, holder)| (port, field, Some(holder)))
        .or(first)
    else {
        return;
    };
    let subject = &stuck.workload.reference;
    let by = holder
        .as_ref()
        .map(|holder| format!(", by {holder}"))
        .unwrap_or_default();
    let summary = format!(
        "Host port {} that {subject} asks for is taken on every node left{by}",
        port.number
    );
    let mut finding = stuck
        .finding(
            Class::HostPortConflict,
            stuck.workload.culprit(field),
            summary,
        )
        .detail("port", port.number)
        .remedy(
            "Do without the host port, or run no more replicas than there are nodes",
            format!("kubectl edit {}", subject.kubectl()),
        );
    if let Some(holder) = holder {
        finding = finding.detail_object("holder", &holder);
    }
    findings.push(finding);
}
