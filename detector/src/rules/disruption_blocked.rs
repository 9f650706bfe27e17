//! # What it finds
//!
//! A PodDisruptionBudget lets no pod be evicted while a pod that it selects is on a cordoned node:
//! the node cannot be emptied.
//!
//! # How it tells
//!
//! The budget's status allows no disruption, and a pod of its selector, that is not ending, is on a
//! node with `spec.unschedulable`. A refused eviction leaves no event.
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
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
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
    if status.disruptions_allowed != Some(0) || expected == 0 {
        return;
    }
    let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
    let name = budget.metadata.name.as_deref().unwrap_or_default();
    let on_cordoned = |pod: &&Pod| {
        let node = pod.node.as_deref().and_then(|node| view.node_shape(node));
        node.is_some_and(|node| node.cordoned)
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
    let conditions = status.conditions.iter().flatten();
    let mut conditions = conditions.filter(|condition| condition.type_ == "DisruptionAllowed");
    let condition = conditions.next();
    let cordoned = view.node_shape(&node).and_then(|shape| {
        let mut taints = shape.taints.iter();
        let taint = taints.find(|taint| taint.key == "node.kubernetes.io/unschedulable")?;
        taint.time_added.as_ref().map(|time| time.0)
    });
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
    let summary = format!(
        "{object} lets no pod be evicted, so {} stays on the cordoned node {node}",
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
            field: "spec.unschedulable".to_owned(),
            quote: "true".to_owned(),
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
