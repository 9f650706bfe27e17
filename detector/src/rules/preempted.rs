//! # What it finds
//!
//! The scheduler removed a pod to make room for one of higher priority, and what was removed is
//! not running again.
//!
//! # How it tells
//!
//! By the event `Preempted` of the pod that was removed, which names the preemptor by its unique
//! id, by namespace and name, or as a related object; the pod itself is deleted a moment later. As
//! long as it is there, its condition `DisruptionTarget` with reason `PreemptionByScheduler` tells
//! as well; the preemptor is then the pod of higher priority that is nominated to its node.
//!
//! It stands as long as the preemptor holds the room (it is on that node, or nominated to it, and
//! not ending) and what was removed is missing: a workload's pods on nodes are fewer than it asks
//! for, and one that waits could run on that node; of a bare pod, none of its name runs, for ten
//! minutes.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `capacity-exhausted`: the pod that takes the removed one's place finds no room. That is part
//!   of this verdict.
//! - `kubelet-rejected`: a node's kubelet removes pods for critical ones, reason `Preempting`.
//! - A pod that was removed and runs elsewhere is no trouble.
//!
//! # Remedy
//!
//! Add room, or give what must stay a priority of its own.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ReplicationController;

use crate::facts::{Deployment, Event, Pod, ReplicaSet};
use crate::finding::Finding;
use crate::object::{Kind, Resource};
use crate::rules::{Judge, Need, Rule};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::{Lookup, View, controller};

pub(super) const RULE: Rule = Rule {
    class: Class::Preempted,
    needs: &[Need::List(Kind::Event)],
    judges: &[
        Judge::Event(&["Preempted"], judge_event),
        Judge::Pod(judge_pod),
    ],
};

/// For how long it is told of a bare pod, which nothing makes again.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// How long a controller may take to make another pod.
const REPLACED: SignedDuration = SignedDuration::from_mins(1);

/// How much later the preemptor may be bound than its victims are marked.
const BOUND_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// A pod that was removed.
struct Victim<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    /// Its last state, if it was seen.
    pod: Option<&'a Pod>,
    workload: Reference,
    at: Timestamp,
}

fn judge_event(event: &Event, view: &View<'_>, findings: &mut Vec<Finding>) {
    let about = &event.about;
    let (Some(at), "Pod") = (event.first.or(event.last), about.kind.as_str()) else {
        return;
    };
    let Some(node) = event
        .message
        .rsplit_once(" on node ")
        .map(|(_, node)| node.trim())
    else {
        return;
    };
    let pod = victim_pod(&about.namespace, &about.name, &about.uid, view);
    let victim = Victim {
        namespace: &about.namespace,
        name: &about.name,
        uid: &about.uid,
        pod,
        workload: workload(&about.namespace, &about.name, pod, view),
        at,
    };
    let Some(preemptor) = named_preemptor(event, node, view) else {
        return;
    };
    if !holds_room(preemptor, node) || !is_missing(&victim, node, view) {
        return;
    }
    let condition = pod.and_then(disruption);
    let evidence = [Evidence {
        at: Some(at),
        ..event.evidence()
    }];
    let evidence = evidence.into_iter().chain(condition);
    findings.push(finding(&victim, preemptor, node, view, evidence));
}

/// A victim of which no event tells, or not yet.
fn judge_pod(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let (Some(evidence), Some(node)) = (disruption(pod), pod.node.as_deref()) else {
        return;
    };
    let Some(at) = evidence.at.or(pod.deleting) else {
        return;
    };
    if view.latest_event(pod, &["Preempted"]).is_some() {
        return;
    }
    let Some(preemptor) = likely_preemptor(pod, node, at, view) else {
        return;
    };
    let victim = Victim {
        namespace: &pod.namespace,
        name: &pod.name,
        uid: &pod.uid,
        pod: Some(pod),
        workload: view.workload(pod).reference,
        at,
    };
    if is_missing(&victim, node, view) {
        let finding = finding(&victim, preemptor, node, view, [evidence]);
        findings.push(finding.confidence(Confidence::Likely));
    }
}

fn disruption(pod: &Pod) -> Option<Evidence> {
    let condition = pod.condition("DisruptionTarget")?;
    (condition.status == "True" && condition.reason.as_deref() == Some("PreemptionByScheduler"))
        .then(|| pod.condition_evidence(condition))
}

/// The last state of the pod that was removed, if it was seen.
fn victim_pod<'a>(namespace: &str, name: &str, uid: &str, view: &View<'a>) -> Option<&'a Pod> {
    let same = |pod: &&Pod| uid.is_empty() || pod.uid == uid;
    let here = view.get::<Pod>(namespace, name).found().filter(same);
    here.or_else(|| {
        let gone = view.gone_in(namespace).map(|gone| &gone.pod);
        gone.filter(|pod| pod.name == name).map(Arc::as_ref).find(same)
    })
}

/// The preemptor that the event names.
///
/// Source: `PrepareCandidate` in `pkg/scheduler/framework/preemption/preemption.go`: "Preempted by
/// pod UID on node N" with the preemptor as related object; before 1.25 "Preempted by NS/NAME on
/// node N".
fn named_preemptor<'a>(event: &Event, node: &str, view: &View<'a>) -> Option<&'a Pod> {
    if let Some(related) = &event.related {
        let pod = view.get::<Pod>(&related.namespace, &related.name).found();
        return pod.filter(|pod| related.uid.is_empty() || pod.uid == related.uid);
    }
    let rest = event.message.strip_prefix("Preempted by ")?;
    let rest = rest.strip_prefix("pod ").unwrap_or(rest);
    let (who, _) = rest.split_once(" on node ")?;
    match who.split_once('/') {
        Some((namespace, name)) => view.get::<Pod>(namespace, name).found(),
        None => view
            .pods_on(node)
            .chain(view.nominated_to(node))
            .find(|pod| pod.uid == who),
    }
}

/// The one pod of higher priority that is to take the victim's node, or took it after that.
fn likely_preemptor<'a>(
    victim: &Pod,
    node: &str,
    at: Timestamp,
    view: &View<'a>,
) -> Option<&'a Pod> {
    let is_higher = |pod: &&Pod| priority(pod) > priority(victim) && holds_room(pod, node);
    let only = |mut pods: Box<dyn Iterator<Item = &'a Pod> + '_>| {
        let first = pods.next()?;
        pods.next().is_none().then_some(first)
    };
    let nominated = view.nominated_to(node).filter(is_higher);
    let bound = view.pods_on(node).filter(is_higher).filter(|pod| {
        let scheduled = pod.condition("PodScheduled");
        let bound = scheduled.and_then(|scheduled| scheduled.last_transition_time.as_ref());
        bound.is_some_and(|bound| bound.0 >= at && bound.0.duration_since(at) < BOUND_AFTER)
    });
    only(Box::new(nominated)).or_else(|| only(Box::new(bound)))
}

fn priority(pod: &Pod) -> i32 {
    pod.spec.priority.unwrap_or(0)
}

/// Whether a pod is on the node or about to be, and not ending.
fn holds_room(pod: &Pod, node: &str) -> bool {
    let nominated = pod.status.nominated_node_name.as_deref();
    let place = pod.node.as_deref().or(nominated);
    place == Some(node) && !pod.is_finished() && pod.deleting.is_none()
}

/// Whether what was removed is still not running again.
fn is_missing(victim: &Victim<'_>, node: &str, view: &View<'_>) -> bool {
    let workload = &victim.workload;
    if workload.kind == "Pod" {
        let now = view.get::<Pod>(victim.namespace, victim.name).found();
        let again = now.filter(|pod| pod.uid != victim.uid || victim.uid.is_empty());
        let runs = again.is_some_and(|pod| pod.phase() == "Running" || pod.is_finished());
        return !runs && view.within(victim.at, REMEMBERED);
    }
    let Some(asked) = asked_for(workload, view) else {
        return false;
    };
    let pods = view.pods_of_workload(workload);
    let alive = || {
        pods.iter()
            .filter(|pod| pod.deleting.is_none() && !pod.is_finished())
    };
    let bound = alive().filter(|pod| pod.node.is_some()).count();
    if bound >= asked {
        return false;
    }
    // A pod that waits must be one that the room would help: another template may ask for more
    // than there ever was.
    let mut waiting = alive().filter(|pod| pod.node.is_none());
    waiting
        .any(|pod| !view.is_listed_everywhere(Kind::Node) || view.scan(&pod.spec).would_hold(node))
        || alive().count() < asked && view.within(victim.at, REPLACED)
}

/// How many pods a workload asks for; none if it is known to be gone, or done.
fn asked_for(workload: &Reference, view: &View<'_>) -> Option<usize> {
    let namespace = workload.namespace.as_deref().unwrap_or_default();
    let name = workload.name.as_str();
    let count = |replicas: Option<i32>| usize::try_from(replicas.unwrap_or(1)).unwrap_or(0);
    match workload.kind.as_str() {
        "Deployment" => known(view.get::<Deployment>(namespace, name), |deployment| {
            count(deployment.spec.replicas)
        }),
        "ReplicaSet" => known(view.get::<ReplicaSet>(namespace, name), |set| {
            count(set.spec.replicas)
        }),
        "StatefulSet" => known(view.get::<StatefulSet>(namespace, name), |set| {
            count(set.spec.replicas)
        }),
        "ReplicationController" => known(
            view.get::<ReplicationController>(namespace, name),
            |controller| count(controller.spec.as_ref().and_then(|spec| spec.replicas)),
        ),
        "DaemonSet" => known(view.get::<DaemonSet>(namespace, name), |set| {
            let status = set.status.as_ref();
            count(status.map(|status| status.desired_number_scheduled))
        }),
        "Job" => known(view.get::<Job>(namespace, name), |job| {
            let status = job.status.as_ref();
            let active = status.and_then(|status| status.active);
            count(Some(active.unwrap_or(0)))
        }),
        // A CronJob asks for what its Jobs do: one more than runs, if one waits.
        _ => Some(usize::MAX),
    }
}

fn known<T>(looked_up: Lookup<'_, T>, asks: impl FnOnce(&T) -> usize) -> Option<usize> {
    match looked_up {
        Lookup::Found(object) => Some(asks(object)),
        Lookup::Absent => None,
        Lookup::Unknown => Some(usize::MAX),
    }
}

/// What the removed pod belonged to: by its last state, by what has taken its name, or by its name.
fn workload(namespace: &str, name: &str, pod: Option<&Pod>, view: &View<'_>) -> Reference {
    if let Some(pod) = pod.or_else(|| view.get::<Pod>(namespace, name).found()) {
        return view.workload(pod).reference;
    }
    let here = |kind: &str, name: &str| Reference::namespaced(kind, namespace, name);
    if let Some((base, suffix)) = name.rsplit_once('-') {
        if suffix.bytes().all(|byte| byte.is_ascii_digit())
            && view.get::<StatefulSet>(namespace, base).found().is_some()
        {
            return here("StatefulSet", base);
        }
        if let Some(set) = generated::<ReplicaSet>(namespace, base, suffix, view) {
            return match controller(&set.metadata) {
                Some(outer) if outer.kind == "Deployment" => here("Deployment", &outer.name),
                _ => here("ReplicaSet", set.metadata.name.as_deref().unwrap_or(base)),
            };
        }
        if let Some(job) = generated::<Job>(namespace, base, suffix, view) {
            return match controller(&job.metadata) {
                Some(outer) if outer.kind == "CronJob" => here("CronJob", &outer.name),
                _ => here("Job", job.metadata.name.as_deref().unwrap_or(base)),
            };
        }
        if generated::<DaemonSet>(namespace, base, suffix, view).is_some() {
            return here("DaemonSet", base);
        }
        if generated::<ReplicationController>(namespace, base, suffix, view).is_some() {
            return here("ReplicationController", base);
        }
    }
    here("Pod", name)
}

/// The controller of a kind that makes pods with this beginning of their names.
///
/// Source: `staging/src/k8s.io/apiserver/pkg/storage/names/generate.go`: five random characters.
fn generated<'a, T: Resource>(
    namespace: &str,
    base: &str,
    suffix: &str,
    view: &View<'a>,
) -> Option<&'a T> {
    if suffix.len() != 5 {
        return None;
    }
    // An indexed Job's pods have their index before that.
    let indexed = base.rsplit_once('-').filter(|(_, index)| {
        T::KIND == Kind::Job && index.bytes().all(|byte| byte.is_ascii_digit())
    });
    let found = view.get::<T>(namespace, base).found();
    found.or_else(|| view.get::<T>(namespace, indexed?.0).found())
}

fn finding(
    victim: &Victim<'_>,
    preemptor: &Pod,
    node: &str,
    view: &View<'_>,
    evidence: impl IntoIterator<Item = Evidence>,
) -> Finding {
    let owner = view.workload(preemptor).reference;
    let subject = &victim.workload;
    let culprit = preemptor.reference();
    let class = preemptor.spec.priority_class_name.clone();
    let summary = format!(
        "{subject} had to leave node {node} for {culprit}, whose priority is {}",
        priority(preemptor)
    );
    let sibling = || {
        let pods = view.pods_of_workload(subject);
        pods.first().map(|pod| priority(pod))
    };
    let victim_priority = victim.pod.map(priority).or_else(sibling);
    let preemptor_says = Evidence {
        object: culprit.clone(),
        field: "spec.priority".to_owned(),
        quote: priority(preemptor).to_string(),
        at: preemptor.created,
    };
    let mut finding = Finding::new(
        Class::Preempted,
        subject.clone(),
        culprit.clone().whole(),
        victim.at,
        summary,
    )
    .detail("priorityClass", class)
    .detail("preemptorPriority", priority(preemptor))
    .detail("victimPriority", victim_priority)
    .detail("node", node)
    .evidence(evidence.into_iter().chain([preemptor_says]))
    .remedy(
        format!("Add room for both, or give {subject} a priority of its own"),
        "kubectl get priorityclasses",
    )
    .remedy(
        "Or take the preemptor away",
        format!("kubectl delete {}", owner.kubectl()),
    );
    if owner != culprit {
        finding = finding.detail_object("preemptorOwner", &owner);
    }
    finding
}
