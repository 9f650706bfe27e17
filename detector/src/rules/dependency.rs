//! What the rules of dependencies share: what a failing container connects to, and what would
//! explain that it does not answer.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Service};

use crate::facts::Pod;
use crate::kubernetes::{selector, services};
use crate::verdict::Reference;
use crate::view::View;

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

/// The workloads whose pods a Service would select, be there any pods or not.
pub(super) fn workloads(service: &Service, view: &View<'_>) -> Vec<Reference> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let wanted = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Vec::new();
    };
    let is_selected = |template: &PodTemplateSpec| {
        let labels = template
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.labels.as_ref());
        labels.is_some_and(|labels| selector::has_all(wanted, labels))
    };
    let deployments = view.in_namespace::<Deployment>(namespace);
    let deployments = deployments
        .filter(|one| is_selected(&one.spec.template))
        .map(|one| ("Deployment", &one.metadata));
    let sets = view.in_namespace::<StatefulSet>(namespace);
    let sets = sets
        .filter(|one| is_selected(&one.spec.template))
        .map(|one| ("StatefulSet", &one.metadata));
    deployments
        .chain(sets)
        .filter_map(|(kind, metadata)| {
            Some(Reference::namespaced(
                kind,
                namespace,
                metadata.name.as_deref()?,
            ))
        })
        .collect()
}

/// The workload behind a Service; the Service itself where none is known.
pub(super) fn behind(service: &Service, view: &View<'_>) -> Reference {
    let pods = services::pods(view, service).unwrap_or_default();
    let of_pods = pods.first().map(|pod| view.workload(pod).reference);
    of_pods
        .or_else(|| workloads(service, view).into_iter().next())
        .unwrap_or_else(|| services::reference(service))
}
