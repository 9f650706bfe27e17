//! # What it finds
//!
//! A Deployment's rollout passed its deadline for a reason that no other class names.
//!
//! # How it tells
//!
//! The condition Progressing is False with reason `ProgressDeadlineExceeded`, the Deployment's
//! controller has seen its latest specification, and replicas are still missing or of the former
//! template.
//!
//! # Not before
//!
//! The Deployment's own `progressDeadlineSeconds`, ten minutes by default.
//!
//! # Looks like
//!
//! - Whatever keeps the new pods from running: then this is part of that verdict.
//! - A condition that is left from before a new rollout, or that outlived it.
//! - Pods behind a scheduling gate: whoever put it there lets them wait.
//!
//! # Remedy
//!
//! See what the new pods lack, or go back to the former template.

use crate::facts::{Deployment, Pod};
use crate::finding::Finding;
use crate::rules::{Judge, Rule};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::RolloutStalled,
    needs: &[],
    judges: &[Judge::Deployment(judge)],
};

fn judge(deployment: &Deployment, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(status) = &deployment.status else {
        return;
    };
    let mut conditions = status.conditions.iter().flatten();
    let Some(condition) = conditions.find(|condition| {
        condition.type_.as_deref() == Some("Progressing")
            && condition.status.as_deref() == Some("False")
            && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    }) else {
        return;
    };
    let asked = deployment.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    // While pods of the former template are left, those that are available may be theirs.
    let is_done = [
        updated,
        status.replicas.unwrap_or(0),
        status.available_replicas.unwrap_or(0),
    ]
    .iter()
    .all(|count| *count == asked);
    let is_seen = status.observed_generation >= deployment.metadata.generation;
    let is_paused = deployment.spec.paused == Some(true);
    let since = condition.last_transition_time.as_ref().map(|time| time.0);
    let Some(since) = since.filter(|_| !is_done && is_seen && !is_paused && asked > 0) else {
        return;
    };
    let object = Reference::namespaced(
        "Deployment",
        deployment.metadata.namespace.as_deref().unwrap_or_default(),
        deployment.metadata.name.as_deref().unwrap_or_default(),
    );
    let is_gated = |pod: &&Pod| pod.spec.scheduling_gates.iter().flatten().next().is_some();
    if view.pods_of_workload(&object).iter().any(is_gated) {
        return;
    }
    // What no class is for, such as a policy's refusal.
    let refusal = status.conditions.iter().flatten().find(|condition| {
        condition.type_.as_deref() == Some("ReplicaFailure")
            && condition.status.as_deref() == Some("True")
    });
    let refused = refusal.and_then(|refusal| refusal.message.as_ref());
    let why = refused.map(|message| format!(", and its pods are refused: {message}"));
    let summary = format!(
        "The rollout of {object} does not go on: {updated} of {asked} replicas are of the new \
         template{}",
        why.unwrap_or_default()
    );
    let refusal = refusal.map(|refusal| Evidence {
        object: object.clone(),
        field: "status.conditions[type=ReplicaFailure]".to_owned(),
        quote: refusal.message.clone().unwrap_or_default(),
        at: refusal.last_transition_time.as_ref().map(|time| time.0),
    });
    let evidence = Evidence {
        object: object.clone(),
        field: "status.conditions[type=Progressing]".to_owned(),
        quote: condition.message.clone().unwrap_or_default(),
        at: Some(since),
    };
    let undo = format!("kubectl rollout undo {}", object.kubectl());
    let describe = format!("kubectl describe {}", object.kubectl());
    findings.push(
        Finding::new(
            Class::RolloutStalled,
            object.clone(),
            object.whole(),
            since,
            summary,
        )
        .detail("reason", "ProgressDeadlineExceeded")
        .evidence([evidence])
        .evidence(refusal)
        .remedy("See what the new pods lack", describe)
        .remedy("Or go back to the former template", undo),
    );
}
