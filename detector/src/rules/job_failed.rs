//! A Job has failed for good: it ran out of retries or time.
//!
//! # What it finds
//!
//! A Job that its controller has given up, for a reason that no other class names.
//!
//! # How it tells
//!
//! The Job's condition Failed is True; its reason says why: `BackoffLimitExceeded`,
//! `DeadlineExceeded`, `PodFailurePolicy`, `FailedIndexes`.
//!
//! # Not before
//!
//! At once. Over when its CronJob has succeeded since, or after a day.
//!
//! # Looks like
//!
//! - `crash-unexplained` and all that explains a failing container: the Job's failure is part of
//!   that verdict.
//! - A Job whose first tries failed and that is complete.
//!
//! # Remedy
//!
//! Read the log of its last pod; delete the Job and create it again once the cause is gone.

use k8s_openapi::api::batch::v1::Job;

use crate::finding::Finding;
use crate::rules::{Judge, Rule, eviction};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::{View, controller};
use crate::words::LASTING;

pub(super) const RULE: Rule =
    Rule { class: Class::JobFailed, needs: &[], judges: &[Judge::Job(judge)] };

fn judge(job: &Job, view: &View<'_>, findings: &mut Vec<Finding>) {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let failed = (conditions.into_iter().flatten())
        .find(|condition| condition.type_ == "Failed" && condition.status == "True");
    let (Some(failed), None) = (failed, &job.metadata.deletion_timestamp) else {
        return;
    };
    let created = job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let at = failed.last_transition_time.as_ref().map(|time| time.0).or(created);
    let at = at.unwrap_or(view.now());
    if view.ripe(at, LASTING) || view.is_job_over(job, Some(at)) {
        return;
    }
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let itself = Reference::namespaced("Job", namespace, name);
    let owner = controller(&job.metadata).filter(|owner| owner.kind == "CronJob");
    let subject = match owner {
        Some(owner) => Reference::namespaced("CronJob", namespace, &owner.name),
        None => itself.clone(),
    };
    let reason = failed.reason.as_deref().unwrap_or("Failed");
    let message = failed.message.as_deref().unwrap_or_default();
    let evicted_from = view
        .pods_of(job.metadata.uid.as_deref().unwrap_or_default())
        .filter(|pod| eviction::of(pod).is_some())
        .filter_map(|pod| Some(Reference::cluster("Node", pod.node.as_deref()?)));
    let summary = format!("{itself} has failed and is not tried again: {reason}, {message}");
    findings.push(
        Finding::new(Class::JobFailed, subject, itself.clone().whole(), at, summary)
            .detail("reason", reason)
            .explained_by(evicted_from)
            .evidence([Evidence {
                object: itself.clone(),
                field: "status.conditions[type=Failed]".to_owned(),
                quote: if message.is_empty() { reason } else { message }.to_owned(),
                at: Some(at),
            }])
            .remedy(
                "Read what its last pod printed",
                format!("kubectl logs {}", itself.kubectl()),
            ),
    );
}
