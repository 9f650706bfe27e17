//! What the rules of refused pods share: a controller that cannot make its pods, and the API
//! server's words for it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::facts::{Deployment, Event, Pod, ReplicaSet};
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::Judge;
use crate::verdict::{Evidence, Reference};
use crate::view::{Lookup, View, controller};

/// For how long a refusal is the present state, where only an event tells of it: controllers try
/// again after a quarter of an hour at most.
const RETRIED: SignedDuration = SignedDuration::from_mins(20);

/// A controller that is short of pods because they are refused.
pub(super) struct Refusal {
    /// What suffers.
    pub subject: Reference,
    /// The namespace of the pods.
    pub namespace: String,
    /// The API server's words.
    pub message: String,
    /// The same as evidence.
    pub evidence: Evidence,
    /// When it began.
    pub since: Timestamp,
}

/// Finds one class among refusals.
pub(super) trait Refused {
    /// Adds what it finds of the class.
    fn judge(refusal: &Refusal, view: &View<'_>, findings: &mut Vec<Finding>);
}

/// The judges of all kinds that make pods, for one class.
pub(super) const fn judges<R: Refused>() -> [Judge; 8] {
    [
        Judge::Event(&["FailedCreate"], event::<R>),
        Judge::Deployment(deployment::<R>),
        Judge::CronJob(cron_job::<R>),
        Judge::ReplicaSet(replica_set::<R>),
        Judge::ReplicationController(replication_controller::<R>),
        Judge::StatefulSet(stateful_set::<R>),
        Judge::DaemonSet(daemon_set::<R>),
        Judge::Job(job::<R>),
    ]
}

/// Only where its ReplicaSets are not known, whose condition it repeats.
fn deployment<R: Refused>(owner: &Deployment, view: &View<'_>, findings: &mut Vec<Finding>) {
    let namespace = owner.metadata.namespace.as_deref().unwrap_or_default();
    let status = owner.status.as_ref();
    let replicas = status.and_then(|status| status.replicas).unwrap_or(0);
    if view.is_listed(Kind::ReplicaSet, namespace) || replicas >= owner.spec.replicas.unwrap_or(1) {
        return;
    }
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let failure = conditions.into_iter().flatten().find(|condition| {
        condition.type_.as_deref() == Some("ReplicaFailure")
            && condition.status.as_deref() == Some("True")
    });
    let Some(failure) = failure else { return };
    let at = failure.last_transition_time.as_ref().map(|time| time.0);
    let message = failure.message.as_deref().unwrap_or_default();
    of_condition::<R>("Deployment", &owner.metadata, message, at, view, findings);
}

/// The Jobs themselves can be refused: a quota can count them.
fn cron_job<R: Refused>(owner: &CronJob, view: &View<'_>, findings: &mut Vec<Finding>) {
    if owner.spec.suspend != Some(true) {
        of_event::<R>("CronJob", &owner.metadata, view, findings);
    }
}

fn replica_set<R: Refused>(set: &ReplicaSet, view: &View<'_>, findings: &mut Vec<Finding>) {
    let status = set.status.as_ref();
    let replicas = status.map_or(0, |status| status.replicas);
    if replicas >= set.spec.replicas.unwrap_or(1) {
        return;
    }
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let failure = conditions.into_iter().flatten().find(|condition| {
        condition.type_.as_deref() == Some("ReplicaFailure")
            && condition.status.as_deref() == Some("True")
    });
    let Some(failure) = failure else {
        of_event::<R>("ReplicaSet", &set.metadata, view, findings);
        return;
    };
    let at = failure.last_transition_time.as_ref().map(|time| time.0);
    let message = failure.message.as_deref().unwrap_or_default();
    of_condition::<R>("ReplicaSet", &set.metadata, message, at, view, findings);
}

fn replication_controller<R: Refused>(
    owner: &ReplicationController,
    view: &View<'_>,
    findings: &mut Vec<Finding>,
) {
    let status = owner.status.as_ref();
    let asked = owner
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    if status.map_or(0, |status| status.replicas) >= asked {
        return;
    }
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let failure = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    let Some(failure) = failure else { return };
    let at = failure.last_transition_time.as_ref().map(|time| time.0);
    let message = failure.message.as_deref().unwrap_or_default();
    of_condition::<R>(
        "ReplicationController",
        &owner.metadata,
        message,
        at,
        view,
        findings,
    );
}

fn of_condition<R: Refused>(
    kind: &str,
    metadata: &ObjectMeta,
    message: &str,
    at: Option<Timestamp>,
    view: &View<'_>,
    findings: &mut Vec<Finding>,
) {
    let object = reference(kind, metadata);
    let evidence = Evidence {
        object: object.clone(),
        field: "status.conditions[type=ReplicaFailure]".to_owned(),
        quote: message.to_owned(),
        at,
    };
    let since = at.or(metadata.creation_timestamp.as_ref().map(|time| time.0));
    let refusal = Refusal {
        subject: outermost(object, metadata),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        message: message.to_owned(),
        evidence,
        since: since.unwrap_or(view.now()),
    };
    R::judge(&refusal, view, findings);
}

fn stateful_set<R: Refused>(set: &StatefulSet, view: &View<'_>, findings: &mut Vec<Finding>) {
    let replicas = set.status.as_ref().map_or(0, |status| status.replicas);
    if replicas < set.spec.replicas.unwrap_or(1) {
        of_event::<R>("StatefulSet", &set.metadata, view, findings);
    }
}

fn daemon_set<R: Refused>(set: &DaemonSet, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(status) = &set.status else { return };
    if status.current_number_scheduled < status.desired_number_scheduled {
        of_event::<R>("DaemonSet", &set.metadata, view, findings);
    }
}

fn job<R: Refused>(job: &Job, view: &View<'_>, findings: &mut Vec<Finding>) {
    let status = job.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let is_done = conditions.into_iter().flatten().any(|condition| {
        matches!(
            condition.type_.as_str(),
            "Complete" | "Failed" | "Suspended"
        ) && condition.status == "True"
    });
    let active = status.and_then(|status| status.active).unwrap_or(0);
    let parallelism = job
        .spec
        .as_ref()
        .and_then(|spec| spec.parallelism)
        .unwrap_or(1);
    if !is_done && active < parallelism {
        of_event::<R>("Job", &job.metadata, view, findings);
    }
}

/// The refusal that the latest event of a controller tells of, unless it made a pod since then.
fn of_event<R: Refused>(
    kind: &str,
    metadata: &ObjectMeta,
    view: &View<'_>,
    findings: &mut Vec<Finding>,
) {
    let object = reference(kind, metadata);
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let tried = view
        .events_about(&object, uid)
        .filter(|event| matches!(event.reason.as_str(), "FailedCreate" | "SuccessfulCreate"));
    let Some(latest) = tried.max_by_key(|event| (event.last, event.reason == "SuccessfulCreate"))
    else {
        return;
    };
    let (Some(first), Some(last)) = (latest.first.or(latest.last), latest.last) else {
        return;
    };
    if latest.reason != "FailedCreate" || !view.within(last, RETRIED) {
        return;
    }
    let refusal = Refusal {
        subject: outermost(object, metadata),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        message: latest.message.clone(),
        evidence: latest.evidence(),
        since: first,
    };
    R::judge(&refusal, view, findings);
}

/// Of a controller that is not in the input: `kubectl cluster-info dump` leaves some kinds out.
fn event<R: Refused>(event: &Event, view: &View<'_>, findings: &mut Vec<Finding>) {
    let about = &event.about;
    let (namespace, name) = (about.namespace.as_str(), about.name.as_str());
    let is_unknown = match about.kind.as_str() {
        "ReplicaSet" => view.get::<ReplicaSet>(namespace, name) == Lookup::Unknown,
        "StatefulSet" => view.get::<StatefulSet>(namespace, name) == Lookup::Unknown,
        "DaemonSet" => view.get::<DaemonSet>(namespace, name) == Lookup::Unknown,
        "Job" => view.get::<Job>(namespace, name) == Lookup::Unknown,
        "CronJob" => view.get::<CronJob>(namespace, name) == Lookup::Unknown,
        _ => false,
    };
    let last = event.last.unwrap_or(view.now());
    let is_made = |pod: &Pod| pod.created.is_some_and(|created| created > last);
    if !is_unknown || view.pods_of(&about.uid).any(is_made) {
        return;
    }
    let metadata = ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(about.uid.clone()),
        ..ObjectMeta::default()
    };
    // Each event is looked at, and the latest speaks.
    let object = reference(&about.kind, &metadata);
    let events = view.events_about(&object, &about.uid);
    let failures = events.filter(|other| other.reason == "FailedCreate");
    let latest = failures.max_by_key(|other| (other.last, &other.message));
    if latest.is_some_and(|latest| latest == event) {
        of_event::<R>(&about.kind, &metadata, view, findings);
    }
}

fn reference(kind: &str, metadata: &ObjectMeta) -> Reference {
    let name = metadata.name.as_deref().unwrap_or_default();
    Reference::namespaced(
        kind,
        metadata.namespace.as_deref().unwrap_or_default(),
        name,
    )
}

/// The Deployment or CronJob that a controller belongs to, or itself.
fn outermost(object: Reference, metadata: &ObjectMeta) -> Reference {
    match controller(metadata) {
        Some(outer) if matches!(outer.kind.as_str(), "Deployment" | "CronJob") => Reference {
            kind: outer.kind.clone(),
            name: outer.name.clone(),
            ..object
        },
        _ => object,
    }
}

/// What stands in a message between two texts, or from the first to the end.
pub(super) fn between<'m>(message: &'m str, before: &str, after: &str) -> Option<&'m str> {
    let (_, rest) = message.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(found, _)| found))
}
