//! A Service's selector matches no pod.
//!
//! # What it finds
//!
//! A Service that nothing answers for because its selector asks for labels that no pod of its
//! namespace has, while a workload has almost the same ones.
//!
//! # How it tells
//!
//! The selector matches no pod, none that went within the last ten minutes, and no workload's
//! template; and one workload comes near: the Service has its name, or its template has some of
//! the labels, or a value that is written almost alike, and differs in labels that the template
//! itself sets. Where it asks for labels that no template sets, a program may set them itself: then
//! it is `likely`, once a client fails on the Service while the pods that come near are ready. So
//! it is then where the values are not alike, but one workload alone declares the port, and no
//! other Service picks it.
//!
//! # Not before
//!
//! 15 s after the Service was created, for its pods may come after it.
//!
//! # Looks like
//!
//! - `scaled-to-zero`: a workload's template matches, and has no pods.
//! - `readiness-probe-failing`: the pods are selected, and not ready.
//! - A label that a program sets itself, such as the leader's: no template has it.
//!
//! # Remedy
//!
//! Correct the selector, or the labels.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Service};
use serde_json::json;

use crate::facts::{Deployment, Pod};
use crate::finding::Finding;
use crate::kubernetes::selector::{self, Labels};
use crate::kubernetes::services;
use crate::object::{Kind, Meta};
use crate::rules::{Judge, Need, Rule, dependency_unreachable};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::View;

/// How long a new Service may be without pods.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

/// How alike two values must be written to be meant for one another, of 1.
const ALIKE: f64 = 0.85;

pub(super) const RULE: Rule = Rule {
    class: Class::ServiceSelectorUnmatched,
    needs: &[Need::List(Kind::Pod)],
    judges: &[Judge::Service(judge), Judge::Pod(judge_client)],
};

fn judge(service: &Service, view: &View<'_>, findings: &mut Vec<Finding>) {
    let nearest = |candidates: &Candidates, wanted: &Labels, name: &str| {
        best(candidates, |reference, labels| nearness(name, wanted, reference, labels))
    };
    findings.extend(unmatched(service, nearest, view));
}

/// A client that fails on a Service whose selector asks for labels that nothing sets.
fn judge_client(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for (failing, found) in dependency_unreachable::missed(pod, view) {
        let Some((service, port)) = found.service else {
            continue;
        };
        let nearest = |candidates: &Candidates, wanted: &Labels, name: &str| {
            let is_near_anyway = |(reference, labels): &(Reference, Labels)| {
                nearness(name, wanted, reference, labels).is_some()
            };
            if candidates.iter().any(is_near_anyway) {
                return None;
            }
            let by_labels = best(candidates, |reference, labels| {
                nearness_but_for_unset(name, wanted, reference, labels)
                    .filter(|_| ready_pods(reference, view).next().is_some())
            });
            by_labels.or_else(|| only_listener(candidates, wanted, service, port?, view))
        };
        let finding = unmatched(service, nearest, view);
        findings.extend(finding.map(|finding| {
            finding
                .confidence(Confidence::Likely)
                .evidence([failing.symptom.clone()])
                .affects([view.workload(pod).reference])
        }));
    }
}

/// The pods of a workload that are ready.
fn ready_pods<'a>(workload: &Reference, view: &View<'a>) -> impl Iterator<Item = &'a Pod> {
    let pods = view.pods_of_workload(workload).into_iter();
    pods.filter(|pod| pod.is_ready())
}

/// The only workload that declares the port which the Service leads to, has all the labels by name
/// that it asks for, and is picked by no other Service.
fn only_listener(
    candidates: &Candidates,
    wanted: &Labels,
    service: &Service,
    port: u16,
    view: &View<'_>,
) -> Option<usize> {
    let port = services::port_of(service, port)?;
    let declares = |pod: &Pod| {
        let number = services::target_port(pod, port).map(i32::from);
        pod.ports().any(|declared| Some(declared.container_port) == number)
    };
    let is_picked = |labels: &Labels| {
        let mut others = view.in_namespace::<Service>(Meta::of(&service.metadata).namespace);
        others.any(|other| {
            let asked = other.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            asked.is_some_and(|asked| !asked.is_empty() && selector::has_all(asked, labels))
        })
    };
    let listens = |(_, (reference, labels)): &(usize, &(Reference, Labels))| {
        wanted.keys().all(|key| labels.contains_key(key))
            && ready_pods(reference, view).any(declares)
            && !is_picked(labels)
    };
    let mut listeners = candidates.iter().enumerate().filter(listens);
    let (at, _) = listeners.next()?;
    listeners.next().is_none().then_some(at)
}

/// The workloads of a namespace with their pods' labels.
type Candidates = Vec<(Reference, Labels)>;

/// The nearest of the workloads.
fn best(
    candidates: &Candidates,
    nearness: impl Fn(&Reference, &Labels) -> Option<f64>,
) -> Option<usize> {
    let near = candidates.iter().enumerate().filter_map(|(at, (reference, labels))| {
        Some((nearness(reference, labels)?, reference, at))
    });
    let nearest = near.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    nearest.map(|(.., at)| at)
}

/// A Service whose selector matches nothing, if some workload is near by this measure.
fn unmatched(
    service: &Service,
    nearest: impl Fn(&Candidates, &Labels, &str) -> Option<usize>,
    view: &View<'_>,
) -> Option<Finding> {
    let meta = Meta::of(&service.metadata);
    let wanted = service.spec.as_ref()?.selector.as_ref().filter(|wanted| !wanted.is_empty())?;
    if services::external_name(service).is_some()
        || meta.deleting.is_some()
        || !view.is_listed(Kind::Pod, meta.namespace)
        || !view.pods_with(meta.namespace, wanted).is_empty()
    {
        return None;
    }
    let mut gone = view.gone_in(meta.namespace);
    if gone.any(|gone| selector::has_all(wanted, &gone.pod.labels))
        && view.changed(Kind::Service, meta.namespace, meta.name).is_none()
    {
        return None;
    }
    let candidates = candidates(meta.namespace, view);
    if candidates.iter().any(|(_, labels)| selector::has_all(wanted, labels)) {
        return None;
    }
    let since = view.changed(Kind::Service, meta.namespace, meta.name).or(meta.created);
    let since = since.unwrap_or(view.now());
    if meta.created.is_some_and(|created| !view.ripe(created, PATIENCE)) {
        return None;
    }
    let (nearest, labels) = candidates.get(nearest(&candidates, wanted, meta.name)?)?;
    let difference: BTreeMap<&String, _> = wanted
        .iter()
        .filter(|(key, value)| labels.get(*key) != Some(value))
        .map(|(key, value)| (key, json!({ "selector": value, "labels": labels.get(key) })))
        .collect();
    let reference = services::reference(service);
    let differs: Vec<String> = wanted
        .iter()
        .filter(|(key, value)| labels.get(*key) != Some(value))
        .map(|(key, value)| match labels.get(key) {
            Some(other) => format!("{key} is {value} there and {other} here"),
            None => format!("{key} is not set here"),
        })
        .collect();
    let summary = format!(
        "{reference} selects no pod: it asks for {}, and {nearest} comes nearest ({})",
        selector::text_of_labels(wanted),
        differs.join(", "),
    );
    let command = if wanted.keys().all(|key| labels.contains_key(key)) {
        let right: BTreeMap<_, _> = wanted.keys().map(|key| (key, labels.get(key))).collect();
        let patch = json!({ "spec": { "selector": right } });
        format!("kubectl patch {} --type=merge -p='{patch}'", reference.kubectl())
    } else {
        format!("kubectl edit {}", reference.kubectl())
    };
    Some(Finding::new(
        Class::ServiceSelectorUnmatched,
        reference.clone(),
        reference.clone().field("spec.selector"),
        since,
        summary,
    )
    .detail_object("nearest", nearest)
    .detail("difference", json!(difference))
    .evidence([
        Evidence {
            object: reference.clone(),
            field: "spec.selector".to_owned(),
            quote: selector::text_of_labels(wanted),
            at: None,
        },
        Evidence {
            object: nearest.clone(),
            field: if nearest.kind == "Pod" { "metadata.labels" } else { "spec.template.metadata.labels" }.to_owned(),
            quote: selector::text_of_labels(labels),
            at: None,
        },
    ])
    .remedy("Select what the pods are labelled with", command))
}

/// The labels that controllers set, and no template.
const SET_BY_CONTROLLERS: [&str; 9] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// The workloads of a namespace with their pods' labels, and its bare pods.
fn candidates(namespace: &str, view: &View<'_>) -> Candidates {
    let labels = |template: &PodTemplateSpec| {
        let metadata = template.metadata.as_ref();
        metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default()
    };
    let mut all = Vec::new();
    for one in view.in_namespace::<Deployment>(namespace) {
        let name = Meta::of(&one.metadata).name;
        all.push((Reference::namespaced("Deployment", namespace, name), one.spec.pod_labels.clone()));
    }
    for one in view.in_namespace::<StatefulSet>(namespace) {
        let name = Meta::of(&one.metadata).name;
        all.push((Reference::namespaced("StatefulSet", namespace, name), labels(&one.spec.template)));
    }
    for one in view.in_namespace::<DaemonSet>(namespace) {
        let name = Meta::of(&one.metadata).name;
        all.push((Reference::namespaced("DaemonSet", namespace, name), labels(&one.spec.template)));
    }
    // Bare pods; and of workloads that the input lacks, the pods that it has.
    let pods = view.in_namespace::<Pod>(namespace);
    for pod in pods.filter(|pod| !pod.is_finished() && pod.deleting.is_none()) {
        let workload = view.workload(pod).reference;
        let is_bare = pod.controller.is_none();
        if is_bare || workload.kind != "Pod" && !all.iter().any(|(known, _)| *known == workload) {
            let mut labels = (*pod.labels).clone();
            labels.retain(|key, _| is_bare || !SET_BY_CONTROLLERS.contains(&key.as_str()));
            all.push((workload, labels));
        }
    }
    all
}

/// How near a workload's labels come to a selector; none where they do not.
fn nearness(service: &str, wanted: &Labels, of: &Reference, labels: &Labels) -> Option<f64> {
    // What no template sets, a program sets itself.
    let is_set = |key: &String| labels.contains_key(key);
    let same = wanted.iter().filter(|(key, value)| labels.get(*key) == Some(value)).count();
    let alike = |key: &String, value: &String| {
        labels.get(key).map_or(0.0, |other| strsim::jaro_winkler(value, other))
    };
    let different = wanted.iter().filter(|(key, value)| labels.get(*key) != Some(value));
    let likeness = different.clone().map(|(key, value)| alike(key, value));
    let is_named = of.name == service;
    let all_set = different.clone().all(|(key, _)| is_set(key));
    // A key that is written wrong, with the right value.
    let renamed = different.clone().all(|(_, value)| labels.values().any(|other| other == value));
    let least = likeness.fold(1.0, f64::min);
    let shares = same as f64 / wanted.len() as f64;
    if is_named && (all_set || renamed) {
        return Some(3.0 + shares);
    }
    if all_set && least >= ALIKE || renamed {
        return Some(2.0 + shares + least / 10.0);
    }
    (all_set && same > 0 && different.count() == 1 && shares > 0.5).then_some(shares)
}

/// How near a workload's labels come to a selector that asks for more than its template sets; none
/// where what both name differs, or nothing is the same.
fn nearness_but_for_unset(
    service: &str,
    wanted: &Labels,
    of: &Reference,
    labels: &Labels,
) -> Option<f64> {
    let same = wanted.iter().filter(|(key, value)| labels.get(*key) == Some(value)).count();
    let named = if of.name == service { 1.0 } else { 0.0 };
    let shares = same as f64 / wanted.len() as f64;
    selector::has_some(wanted, labels).then_some(named + shares)
}
