//! # What it finds
//!
//! A workload is scaled to zero replicas while a Service still points at its pods.
//!
//! # How it tells
//!
//! `spec.replicas` is 0, the Service's selector matches the labels of the template, and no pod at
//! all is behind the Service. It is certain where a ready pod of the workload went within the last
//! ten minutes, or where a client fails on it, else likely: it may be meant so. A workload or a
//! Service that something else manages, or a workload that an autoscaler may scale to zero, is left
//! alone.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `service-selector-unmatched`: no workload has the labels that the Service asks for.
//! - The half of a blue-green pair that is switched off: pods of the other half are behind the
//!   Service.
//!
//! # Remedy
//!
//! Scale the workload up, or remove the Service.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::facts::{Deployment, Pod};
use crate::finding::Finding;
use crate::kubernetes::selector::{self, Labels};
use crate::object::Kind;
use crate::rules::{Judge, Need, Rule};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::{View, controller};

pub(super) const RULE: Rule = Rule {
    class: Class::ScaledToZero,
    needs: &[Need::List(Kind::Service), Need::List(Kind::Pod)],
    judges: &[
        Judge::Deployment(judge_deployment),
        Judge::StatefulSet(judge_stateful_set),
    ],
};

fn judge_deployment(owner: &Deployment, view: &View<'_>, findings: &mut Vec<Finding>) {
    let spec = &owner.spec;
    judge(
        "Deployment",
        &owner.metadata,
        spec.replicas,
        &spec.pod_labels,
        view,
        findings,
    );
}

fn judge_stateful_set(owner: &StatefulSet, view: &View<'_>, findings: &mut Vec<Finding>) {
    let spec = &owner.spec;
    let template = spec.template.metadata.clone().unwrap_or_default();
    judge(
        "StatefulSet",
        &owner.metadata,
        spec.replicas,
        &template.labels.unwrap_or_default(),
        view,
        findings,
    );
}

fn judge(
    kind: &str,
    metadata: &ObjectMeta,
    replicas: Option<i32>,
    labels: &Labels,
    view: &View<'_>,
    findings: &mut Vec<Finding>,
) {
    if replicas != Some(0) || controller(metadata).is_some() {
        return;
    }
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let object = Reference::namespaced(
        kind,
        namespace,
        metadata.name.as_deref().unwrap_or_default(),
    );
    let points_here = |service: &&Service| {
        // A Service that something makes is pointed there by what also scales, as for a canary.
        let is_made = controller(&service.metadata).is_some();
        let asked = service
            .spec
            .as_ref()
            .and_then(|spec| spec.selector.as_ref());
        !is_made
            && asked.is_some_and(|asked| !asked.is_empty() && selector::has_all(asked, labels))
    };
    let mut services: Vec<&Service> = view
        .in_namespace::<Service>(namespace)
        .filter(points_here)
        .collect();
    services.retain(|service| {
        let asked = service
            .spec
            .as_ref()
            .and_then(|spec| spec.selector.as_ref());
        let is_behind = |pod: &Pod| {
            asked.is_some_and(|asked| selector::has_all(asked, &pod.labels)) && !pod.is_finished()
        };
        !view.in_namespace::<Pod>(namespace).any(is_behind)
    });
    let Some(service) = services
        .iter()
        .filter_map(|service| service.metadata.name.clone())
        .min()
    else {
        return;
    };
    let mut autoscalers = view.in_namespace::<HorizontalPodAutoscaler>(namespace);
    let scales_to_zero = autoscalers.any(|autoscaler| {
        let metadata = &autoscaler.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        let spec = &autoscaler.spec;
        // What made the autoscaler scales to zero where the autoscaler itself cannot.
        let is_made = controller(metadata).is_some() || name.starts_with("keda-");
        spec.scale_target_ref.kind == kind
            && spec.scale_target_ref.name == object.name
            && (is_made || spec.min_replicas == Some(0))
    });
    if scales_to_zero {
        return;
    }
    let gone = view.gone_in(namespace).filter(|gone| {
        gone.deleted && gone.pod.is_ready() && view.workload(&gone.pod).reference == object
    });
    let served = gone.map(|gone| gone.at).max();
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let scaled = view
        .events_about(&object, uid)
        .filter(|event| event.reason == "ScalingReplicaSet" && event.message.ends_with(" to 0"));
    let scaled = scaled.max_by_key(|event| event.last);
    let changed = match kind {
        "Deployment" => view.changed(Kind::Deployment, namespace, &object.name),
        _ => view.changed(Kind::StatefulSet, namespace, &object.name),
    };
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    let since = changed
        .or(scaled.and_then(|event| event.last))
        .or(served)
        .or(created);
    let since = since.unwrap_or(view.now());
    let confidence = if served.is_some() {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    let service = Reference::namespaced("Service", namespace, service);
    let summary = format!("{object} is scaled to zero while {service} still points at it");
    let evidence = Evidence {
        object: object.clone(),
        field: "spec.replicas".to_owned(),
        quote: "0".to_owned(),
        at: Some(since),
    };
    let command = format!("kubectl scale {} --replicas=1", object.kubectl());
    findings.push(
        Finding::new(
            Class::ScaledToZero,
            object.clone(),
            object.field("spec.replicas"),
            since,
            summary,
        )
        .confidence(confidence)
        .detail_object("service", &service)
        .evidence([evidence])
        .evidence(scaled.map(|event| event.evidence()))
        .remedy("Scale it up", command)
        .affects([service]),
    );
}
