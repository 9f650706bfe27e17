//! A Service's target port is not one that its pods listen on.
//!
//! # What it finds
//!
//! A Service whose target port, by name, number or protocol, its pods do not have: connections to
//! it lead nowhere though its pods are ready.
//!
//! # How it tells
//!
//! None of the pods that it selects has a port of that name and protocol: then it is `certain`.
//! Or it is a number that none of them declares while they declare others, and that nothing of
//! their specification mentions, neither a probe nor a variable nor an argument: then it is
//! `likely`, for a port need not be declared. So it is where none of them declares any, once a
//! client is refused there though they are ready; where it only times out, or waits without a word,
//! and no policy explains that, it is `possible`.
//!
//! # Not before
//!
//! At once, of pods that have started.
//!
//! # Looks like
//!
//! - `service-selector-unmatched`: it selects no pods at all.
//! - `dependency-unreachable`: the port is right, and the program does not listen.
//!
//! # Remedy
//!
//! Name a port that the pods have.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use serde_json::{Value, json};

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::services::{self, Host};
use crate::object::{Kind, Meta};
use crate::rules::tried::{self, Named};
use crate::rules::{Judge, Need, Rule, dependency_unreachable, failing, policy, target_port};
use crate::signatures::Meaning;
use crate::verdict::{Class, Confidence, Evidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::ServicePortMismatch,
    needs: &[Need::List(Kind::Pod)],
    judges: &[Judge::Service(judge), Judge::Pod(judge_client)],
};

fn judge(service: &Service, view: &View<'_>, findings: &mut Vec<Finding>) {
    let meta = Meta::of(&service.metadata);
    if services::external_name(service).is_some() || meta.deleting.is_some() {
        return;
    }
    // A headless Service translates no ports: who asks it connects to the pods themselves.
    if services::is_headless(service) {
        return;
    }
    let pods = services::pods(view, service).unwrap_or_default();
    let pods: Vec<&Pod> = pods.into_iter().filter(|pod| pod.deleting.is_none()).collect();
    if pods.is_empty() {
        return;
    }
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    for (index, port) in ports.enumerate() {
        if let Some((target, field, confidence)) = target_port::mismatch(port, &pods) {
            let at = format!("spec.ports[{index}].{field}");
            findings.push(finding(service, (port, target), at, confidence, &pods, view));
        }
    }
}

/// A client that gets nowhere, on a number that nothing of the ready pods' specification names.
fn judge_client(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        if failing.main_if(is_of_port).is_none() || !failing.is_lasting(pod) {
            continue;
        }
        let failed = tried::in_words(&failing).into_iter().filter(|tried| {
            tried.named == Named::Failure && tried.meaning.is_some_and(is_of_port)
        });
        let mut seen = BTreeSet::new();
        let wrong = failed.filter_map(|tried| {
            let host = services::host(view, pod, &tried.host);
            let number = tried::port_meant(&tried, &host)?;
            let Host::Service(service) = host else {
                return None;
            };
            let confidence = match tried.meaning {
                Some(Meaning::Refused) => Confidence::Likely,
                _ if policy::is_blocked(pod, &tried, host, view) => return None,
                _ => Confidence::Possible,
            };
            let finding = of_client(pod, service, number, confidence, view)?;
            let is_new = seen.insert((services::reference(service), number));
            is_new.then(|| finding.evidence(tried.evidence.clone()))
        });
        findings.extend(wrong);
    }
    for (failing, found) in dependency_unreachable::missed(pod, view) {
        let is_silent = failing.main().is_none();
        if let Some((service, Some(number))) = found.service.filter(|_| is_silent) {
            let finding = of_client(pod, service, number, Confidence::Possible, view);
            findings.extend(finding.map(|finding| finding.evidence([failing.symptom.clone()])));
        }
    }
}

/// That a client of a Service gets nowhere, on a number that nothing of the ready pods'
/// specification names.
fn of_client(
    pod: &Pod,
    service: &Service,
    number: u16,
    confidence: Confidence,
    view: &View<'_>,
) -> Option<Finding> {
    let port = services::port_of(service, number)?;
    let mut ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let index = ports.position(|other| other == port)?;
    let pods = services::pods(view, service)?;
    let target = target_port::unheard_of(service, port, &pods)?;
    let field = format!("spec.ports[{index}].targetPort");
    let finding = finding(service, (port, json!(target)), field, confidence, &pods, view);
    Some(finding.affects([view.workload(pod).reference]))
}

/// Whether it can come of a port on which nothing listens.
fn is_of_port(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Refused | Meaning::TimedOut | Meaning::NotConnected)
}

fn finding(
    service: &Service,
    (port, target): (&ServicePort, Value),
    field: String,
    confidence: Confidence,
    pods: &[&Pod],
    view: &View<'_>,
) -> Finding {
    let meta = Meta::of(&service.metadata);
    let reference = services::reference(service);
    let have: BTreeSet<(i32, &str, Option<&str>)> = pods
        .iter()
        .flat_map(|pod| pod.ports())
        .map(|port| {
            (
                port.container_port,
                port.protocol.as_deref().unwrap_or("TCP"),
                port.name.as_deref(),
            )
        })
        .collect();
    let listed: Vec<String> = have
        .iter()
        .map(|(number, protocol, name)| match name {
            Some(name) => format!("{name} ({number}/{protocol})"),
            None => format!("{number}/{protocol}"),
        })
        .collect();
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let text = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
    let summary = format!(
        "{reference} sends its port {} to {protocol} port {text} of its pods, which have {}",
        port.port,
        if listed.is_empty() { "none".to_owned() } else { listed.join(", ") },
    );
    let since = view.changed(Kind::Service, meta.namespace, meta.name).or(meta.created);
    let containers: Vec<i32> = have.iter().map(|(number, ..)| *number).collect();
    Finding::new(
        Class::ServicePortMismatch,
        reference.clone(),
        reference.clone().field(field.clone()),
        since.unwrap_or(view.now()),
        summary,
    )
    .confidence(confidence)
    .detail("targetPort", target)
    .detail("containerPorts", json!(containers))
    .evidence([Evidence {
        object: reference.clone(),
        field,
        quote: text,
        at: None,
    }])
    .evidence(pods.first().map(|pod| Evidence {
        object: pod.reference(),
        field: "spec.containers[*].ports".to_owned(),
        quote: listed.join(", "),
        at: None,
    }))
    .remedy(
        "Name a port that the pods have",
        format!("kubectl edit {}", reference.kubectl()),
    )
}
