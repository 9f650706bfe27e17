//! A pod used more disk space than its own limit allows, and the kubelet evicted it.
//!
//! # What it finds
//!
//! A pod that was evicted because one of its containers outgrew its limit of ephemeral storage,
//! its containers together outgrew theirs, or an emptyDir volume outgrew its size limit.
//!
//! # How it tells
//!
//! The kubelet's word for it, in the pod's status or in the event `Evicted`: `exceeded its local
//! ephemeral storage limit`, `ephemeral local storage usage exceeds the total limit`, or `Usage of
//! EmptyDir volume`. Nothing else tells: the node has enough, and the pod has no condition
//! DisruptionTarget.
//!
//! # Not before
//!
//! At once. Over when the workload has its pods and they have outlasted twice the life of the one
//! that was evicted plus 10 s, when its template is another one, or after 10 minutes.
//!
//! # Looks like
//!
//! - `node-pressure-eviction`: also `Evicted`, but the message says that the node was low on a
//!   resource, and the pod has a condition DisruptionTarget.
//!
//! # Remedy
//!
//! Raise the limit, or let the program write less or elsewhere: rotate its logs, put its data on a
//! PersistentVolumeClaim.

use jiff::{SignedDuration, Timestamp};

use crate::facts::{Container, Pod};
use crate::finding::Finding;
use crate::rules::eviction::{self, Eviction, OwnLimit};
use crate::rules::{Judge, Rule, claims, replicas};
use crate::verdict::{Class, Evidence};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::StorageLimitEviction, needs: &[], judges: &[Judge::Pod(judge)] };

/// How long an eviction counts at most.
const LASTING: SignedDuration = SignedDuration::from_mins(10);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if !pod.is_finished() || pod.deleting.is_some() {
        return;
    }
    let Some((limit, evidence)) = exceeded(pod, view) else {
        return;
    };
    let at = evidence.at.or_else(|| ended(pod)).or(pod.created).unwrap_or(view.now());
    if !view.within(at, LASTING) || replicas::are_not_asked_for(pod, view) {
        return;
    }
    let lived = pod.status.start_time.as_ref().map_or(SignedDuration::ZERO, |start| at.duration_since(start.0));
    let proven = lived.saturating_mul(2).saturating_add(SignedDuration::from_secs(10));
    if view.ripe(at, proven) && replicas::are_there(pod, view) {
        return;
    }
    findings.push(finding(pod, limit, evidence, at, view));
}

/// The limit that was exceeded, by the pod's status or, where a pod that ended well has lost it,
/// by the event.
fn exceeded<'a>(pod: &'a Pod, view: &View<'a>) -> Option<(OwnLimit<'a>, Evidence)> {
    match eviction::of(pod) {
        Some((Eviction::OwnLimit(limit), evidence)) => return Some((limit, evidence)),
        Some(_) => return None,
        None => {}
    }
    let event = view.latest_event(pod, &["Evicted"])?;
    match eviction::parse(&event.message)? {
        Eviction::OwnLimit(limit) => Some((limit, event.evidence())),
        _ => None,
    }
}

fn ended(pod: &Pod) -> Option<Timestamp> {
    let ended = pod.containers().flat_map(|container| container.ended());
    ended.filter_map(|run| run.finished_at.as_ref()).map(|time| time.0).max()
}

fn finding(pod: &Pod, limit: OwnLimit<'_>, evidence: Evidence, at: Timestamp, view: &View<'_>) -> Finding {
    let workload = view.workload(pod);
    let has_limit = |container: &Container<'_>| {
        let limits = container.spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        limits.is_some_and(|limits| limits.contains_key("ephemeral-storage"))
    };
    let of_container = |container: Option<Container<'_>>| match container {
        Some(container) => {
            workload.field(&format!("{}.resources.limits.ephemeral-storage", container.path()))
        }
        None => workload.field("spec.containers"),
    };
    let used = view.stats(pod.node.as_deref().unwrap_or_default()).and_then(|(_, stats)| {
        stats.pods.iter().find(|used| !pod.uid.is_empty() && used.pod_ref.uid == pod.uid)
    });
    let (field, what, limit, volume, usage) = match limit {
        OwnLimit::Container { name, limit } => (
            of_container(pod.container(name)),
            format!("container {name} used more ephemeral storage"),
            limit,
            None,
            None,
        ),
        OwnLimit::Pod { limit } => (
            of_container(pod.containers().find(has_limit)),
            "its containers together used more ephemeral storage".to_owned(),
            limit,
            None,
            used.and_then(|used| used.ephemeral_storage.used_bytes),
        ),
        OwnLimit::Volume { name, limit } => {
            let volumes = pod.spec.volumes.iter().flatten();
            let index = volumes.clone().position(|volume| volume.name == name);
            let field = index.map(|index| {
                format!("{}.emptyDir.sizeLimit", claims::field_of_volume(pod, index, view))
            });
            let used = used.and_then(|used| used.volumes.iter().find(|volume| volume.name == name));
            (
                field.unwrap_or_else(|| workload.field("spec.volumes")),
                format!("its emptyDir volume {name} holds more"),
                limit,
                Some(name),
                used.and_then(|used| used.used_bytes),
            )
        }
    };
    let reference = workload.reference.clone();
    let summary = format!("{reference} was evicted: {what} than its limit of {limit}");
    let culprit = reference.clone().field(field);
    Finding::new(Class::StorageLimitEviction, reference.clone(), culprit, at, summary)
            .detail("limit", limit)
            .detail("usage", usage.map(|usage| usage.to_string()))
            .detail("volume", volume)
            .evidence([evidence])
            .remedy(
                "Raise the limit, or let the program write less, or to a PersistentVolumeClaim",
                format!("kubectl edit {}", reference.kubectl()),
            )
}
