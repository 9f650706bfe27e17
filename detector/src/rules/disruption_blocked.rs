//! # What it finds
//!
//! A PodDisruptionBudget lets no pod be evicted while a pod that it selects is on a cordoned node:
//! the node cannot be emptied.
//!
//! # How it tells
//!
//! The budget's status allows no disruption, and a pod of its selector, that is not ending, is on a
//! node with `spec.unschedulable`, or with the mark of an autoscaler that empties it. A refused
//! eviction leaves no event.
//!
//! # Not before
//!
//! At once where all of the budget's pods are healthy: waiting would change nothing. Otherwise two
//! minutes, in which a pod may become healthy, as in every drain.
//!
//! # Looks like
//!
//! - `nodes-cordoned`: a pod needs the cordoned node.
//! - A budget that allows nothing, and no node is to be emptied.
//!
//! # Remedy
//!
//! Add a replica, or loosen the budget.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::kubernetes::scheduling::NodeShape;
use crate::kubernetes::selector;
use crate::rules::{Judge, Need, Rule};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::DisruptionBlocked,
    needs: &[Need::List(Kind::Node), Need::List(Kind::Pod)],
    judges: &[Judge::PodDisruptionBudget(judge)],
};

/// How long pods that are not healthy may take to become so.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

fn judge(budget: &PodDisruptionBudget, view: &View<'_>, findings: &mut Vec<Finding>) {
    let (Some(spec), Some(status)) = (&budget.spec, &budget.status) else {
        return;
    };
    let expected = status.expected_pods.unwrap_or(0);
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|condition| condition.type_ == "DisruptionAllowed");
    // Of pods whose owners cannot say how many there are to be, it lets none go either.
    let failed = condition.filter(|condition| condition.reason == "SyncFailed");
    if status.disruptions_allowed != Some(0) || expected == 0 && failed.is_none() {
        return;
    }
    let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
    let name = budget.metadata.name.as_deref().unwrap_or_default();
    let on_cordoned = |pod: &&Pod| {
        let node = pod.node.as_deref().and_then(|node| view.node_shape(node));
        node.is_some_and(|node| node.cordoned || emptying(node).is_some())
    };
    let selected: Vec<&Pod> = view
        .in_namespace::<Pod>(namespace)
        .filter(|pod| selector::matches(spec.selector.as_ref(), &pod.labels))
        .filter(|pod| !pod.is_finished() && pod.deleting.is_none())
        .collect();
    let Some(held) = selected
        .iter()
        .copied()
        .filter(on_cordoned)
        .min_by_key(|pod| &pod.name)
    else {
        return;
    };
    let node = held.node.clone().unwrap_or_default();
    let shape = view.node_shape(&node);
    let is_cordoned = shape.is_some_and(|shape| shape.cordoned);
    let taint = shape.and_then(emptying);
    let cordoned = taint.and_then(|taint| taint.time_added.as_ref()).map(|time| time.0);
    let refused = condition.map(|condition| condition.last_transition_time.0);
    let since = refused.max(cordoned).or(held.created).unwrap_or(view.now());
    let unhealthy = selected.iter().filter(|pod| !pod.is_ready());
    let unhealthy: Vec<Reference> = unhealthy.map(|pod| view.workload(pod).reference).collect();
    let all_are_healthy = status.current_healthy.unwrap_or(0) >= expected;
    if !all_are_healthy && !view.ripe(since, PATIENCE) {
        return;
    }
    let object = Reference::namespaced("PodDisruptionBudget", namespace, name);
    let field = if spec.max_unavailable.is_some() {
        "spec.maxUnavailable"
    } else {
        "spec.minAvailable"
    };
    let is = match is_cordoned {
        true => "cordoned node",
        false => "node that is to be emptied,",
    };
    let why = failed.map(|failed| format!(" ({})", failed.message)).unwrap_or_default();
    let summary = format!(
        "{object} lets no pod be evicted{why}, so {} stays on the {is} {node}",
        held.reference()
    );
    let evidence = [
        Evidence {
            object: object.clone(),
            field: "status.disruptionsAllowed".to_owned(),
            quote: "0".to_owned(),
            at: refused,
        },
        Evidence {
            object: Reference::cluster("Node", &node),
            field: match is_cordoned {
                true => "spec.unschedulable".to_owned(),
                false => "spec.taints".to_owned(),
            },
            quote: match taint.filter(|_| !is_cordoned) {
                Some(taint) => taint.key.clone(),
                None => "true".to_owned(),
            },
            at: cordoned,
        },
    ];
    let command = format!("kubectl edit {}", object.kubectl());
    findings.push(
        Finding::new(
            Class::DisruptionBlocked,
            object.clone(),
            object.field(field),
            since,
            summary,
        )
        .detail("node", node.as_str())
        .detail("disruptionsAllowed", 0)
        .evidence(evidence)
        .remedy("Add a replica, or loosen the budget", command)
        .explained_by(unhealthy),
    );
}

/// The taint of a node from which pods are to be evicted: it is cordoned, or about to be taken away by
/// an autoscaler that does not cordon.
fn emptying(node: &NodeShape) -> Option<&Taint> {
    const MARKS: [&str; 3] =
        ["node.kubernetes.io/unschedulable", "karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler"];
    node.taints.iter().find(|taint| MARKS.contains(&taint.key.as_str()))
}
