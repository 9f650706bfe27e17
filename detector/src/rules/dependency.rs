//! What the rules of dependencies share: what a failing container connects to, and what would
//! explain that it does not answer.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::facts::{Container, Deployment, Pod};
use crate::kubernetes::selector::{self, Labels};
use crate::kubernetes::services;
use crate::object::Kind;
use crate::rules::claims;
use crate::verdict::Reference;
use crate::view::View;

/// How long a pod behind a Service may take to become ready before the Service is said to be down.
const STARTING: SignedDuration = SignedDuration::from_secs(30);

/// How long it may take where no node was found for it. By then what it waits for has been said.
const UNSCHEDULED: SignedDuration = SignedDuration::from_secs(5);

/// The objects whose own trouble would explain that nothing answers for a Service: itself, the
/// workloads behind it, their claims, and the nodes they run on.
pub(super) fn explainers(service: &Service, view: &View<'_>) -> Vec<Reference> {
    let mut objects = vec![services::reference(service)];
    for pod in services::pods(view, service).unwrap_or_default() {
        objects.extend(of_pod(pod, view));
    }
    objects.extend(workloads(service, view));
    objects.sort();
    objects.dedup();
    objects
}

/// The objects whose own trouble would explain that a pod does not answer.
pub(super) fn of_pod(pod: &Pod, view: &View<'_>) -> Vec<Reference> {
    let mut objects = vec![view.workload(pod).reference, pod.reference()];
    if let Some(node) = &pod.node {
        objects.push(Reference::cluster("Node", node));
    }
    for volume in pod.spec.volumes.iter().flatten() {
        if let Some(claim) = &volume.persistent_volume_claim {
            let name = claim.claim_name.as_str();
            objects.push(Reference::namespaced(
                "PersistentVolumeClaim",
                &pod.namespace,
                name,
            ));
        }
    }
    objects
}

/// The workloads whose pods a Service would select, be there any pods or not. Where there are none,
/// those whose pods have a part of the labels, and nothing that contradicts the rest: a program may
/// set it itself, as that of a leader.
pub(super) fn workloads(service: &Service, view: &View<'_>) -> Vec<Reference> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let wanted = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Vec::new();
    };
    let deployments = view.in_namespace::<Deployment>(namespace);
    let deployments = deployments.map(|one| ("Deployment", &one.metadata, &one.spec.pod_labels));
    let sets = view.in_namespace::<StatefulSet>(namespace);
    let sets = sets.filter_map(|one| {
        let labels = one.spec.template.metadata.as_ref()?.labels.as_ref()?;
        Some(("StatefulSet", &one.metadata, labels))
    });
    let all: Vec<_> = deployments.chain(sets).collect();
    let that = |is_meant: &dyn Fn(&Labels) -> bool| -> Vec<Reference> {
        let meant = all.iter().filter(|(.., labels)| is_meant(labels));
        let reference = |(kind, metadata, _): &(&str, &ObjectMeta, _)| {
            let name = metadata.name.as_deref()?;
            Some(Reference::namespaced(*kind, namespace, name))
        };
        meant.filter_map(reference).collect()
    };
    let selected = that(&|labels| selector::has_all(wanted, labels));
    if !selected.is_empty() {
        return selected;
    }
    that(&|labels| selector::has_some(wanted, labels))
}

/// The workload behind a Service; the Service itself where none is known.
pub(super) fn behind(service: &Service, view: &View<'_>) -> Reference {
    let pods = services::pods(view, service).unwrap_or_default();
    let of_pods = pods.first().map(|pod| view.workload(pod).reference);
    of_pods
        .or_else(|| workloads(service, view).into_iter().next())
        .unwrap_or_else(|| services::reference(service))
}

/// Whether no pod of a Service is ready, and one is starting, or is asked for since a moment ago.
pub(super) fn is_coming_up(service: &Service, view: &View<'_>) -> bool {
    let pods = services::pods(view, service).unwrap_or_default();
    !pods
        .iter()
        .any(|pod| pod.is_ready() && pod.deleting.is_none())
        && (pods.iter().any(|pod| is_starting(pod, view))
            || pods.is_empty() && is_asked_for(service, view))
}

/// Whether a workload behind a Service was changed just now, and asks for pods.
fn is_asked_for(service: &Service, view: &View<'_>) -> bool {
    workloads(service, view).iter().any(|workload| {
        let namespace = workload.namespace.as_deref().unwrap_or_default();
        let (kind, replicas) = match workload.kind.as_str() {
            "Deployment" => {
                let deployment = view.get::<Deployment>(namespace, &workload.name).found();
                (Kind::Deployment, deployment.map(|one| one.spec.replicas))
            }
            _ => {
                let set = view.get::<StatefulSet>(namespace, &workload.name).found();
                (Kind::StatefulSet, set.map(|one| one.spec.replicas))
            }
        };
        let changed = view.changed(kind, namespace, &workload.name);
        replicas.is_some_and(|replicas| replicas != Some(0))
            && changed.is_some_and(|changed| view.within(changed, STARTING))
    })
}

/// Whether a pod is new, and nothing has gone wrong with it yet.
pub(super) fn is_starting(pod: &Pod, view: &View<'_>) -> bool {
    let is_failing = |container: Container<'_>| {
        let waiting = container.waiting().map(|(reason, _)| reason);
        container.restarts() > 0
            || waiting
                .is_some_and(|reason| !["ContainerCreating", "PodInitializing"].contains(&reason))
    };
    let scheduled = pod.condition("PodScheduled");
    let is_refused = scheduled.is_some_and(|is| is.status == "False");
    let since = scheduled.and_then(|is| is.last_transition_time.as_ref().map(|time| time.0));
    let is_new = |since, patience| !view.ripe(since, patience);
    let is_given_a_volume = || {
        let claims = claims::of(pod).into_iter();
        let volumes = claims.filter_map(|claim| claims::provided(pod, &claim.name, view));
        volumes.max().is_some_and(|at| is_new(at, STARTING))
    };
    pod.deleting.is_none()
        && !pod.is_finished()
        && !pod.containers().any(is_failing)
        && match since.or(pod.created) {
            Some(since) if is_refused => is_new(since, UNSCHEDULED) || is_given_a_volume(),
            Some(since) => is_new(since, STARTING),
            None => false,
        }
}
