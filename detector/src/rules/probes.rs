//! What the rules of probes share: what a probe asks for, and what the kubelet says of it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Probe;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::facts::{Container, Event, Pod};
use crate::finding::Finding;
use crate::kubernetes::services::{self, Host};
use crate::rules::runs::{self, Ended, Killer};
use crate::rules::{dependency, failing, tried};
use crate::signatures::endpoints;
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

/// One of a container's three probes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Which {
    Startup,
    Liveness,
    Readiness,
}

impl Which {
    /// As the kubelet's events begin.
    fn name(self) -> &'static str {
        match self {
            Which::Startup => "Startup",
            Which::Liveness => "Liveness",
            Which::Readiness => "Readiness",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Which::Startup => "startupProbe",
            Which::Liveness => "livenessProbe",
            Which::Readiness => "readinessProbe",
        }
    }

    pub(super) fn of<'a>(self, container: &Container<'a>) -> Option<&'a Probe> {
        match self {
            Which::Startup => container.spec.startup_probe.as_deref(),
            Which::Liveness => container.spec.liveness_probe.as_deref(),
            Which::Readiness => container.spec.readiness_probe.as_deref(),
        }
    }
}

/// The way in which a probe asks, as its field is called.
fn handler(probe: &Probe) -> Option<&'static str> {
    let handlers = [
        (probe.http_get.is_some(), "httpGet"),
        (probe.tcp_socket.is_some(), "tcpSocket"),
        (probe.grpc.is_some(), "grpc"),
        (probe.exec.is_some(), "exec"),
    ];
    handlers
        .into_iter()
        .find(|(is, _)| *is)
        .map(|(_, name)| name)
}

/// The port that a probe asks, as it is written: a number or a name.
fn port(probe: &Probe) -> Option<Value> {
    let written = |port: &IntOrString| match port {
        IntOrString::Int(number) => Value::from(*number),
        IntOrString::String(name) => match name.parse::<u16>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(name.as_str()),
        },
    };
    (probe.http_get.as_ref().map(|get| written(&get.port)))
        .or_else(|| {
            probe
                .tcp_socket
                .as_ref()
                .map(|socket| written(&socket.port))
        })
        .or_else(|| probe.grpc.as_ref().map(|grpc| Value::from(grpc.port)))
}

/// What is odd about the port, by the ports that the container declares: a name that none has, or
/// a number that is not among them.
fn port_trouble(port: &Value, container: &Container<'_>) -> Option<String> {
    let declared = container.spec.ports.iter().flatten();
    let known = declared.clone().any(|declared| match port {
        Value::String(name) => declared.name.as_ref() == Some(name),
        number => number.as_i64() == Some(declared.container_port.into()),
    });
    if known || (port.is_number() && declared.clone().next().is_none()) {
        return None;
    }
    let ports: Vec<String> = declared
        .map(|port| match &port.name {
            Some(name) => format!("{} ({name})", port.container_port),
            None => port.container_port.to_string(),
        })
        .collect();
    let port = port
        .as_str()
        .map_or_else(|| port.to_string(), str::to_owned);
    Some(match ports.as_slice() {
        [] => format!("it asks port {port}, a name that no port of the container has"),
        _ => format!(
            "it asks port {port}, while the container declares {}",
            ports.join(", ")
        ),
    })
}

/// The latest event that tells of this probe's failures.
///
/// Source: `pkg/kubelet/prober/prober.go` (`Readiness probe failed: ...`, `... probe errored`).
pub(super) fn unhealthy<'a>(
    which: Which,
    pod: &Pod,
    container: &Container<'_>,
    view: &View<'a>,
) -> Option<&'a Event> {
    let start = format!("{} probe ", which.name());
    view.events_of(pod)
        .filter(|event| event.reason == "Unhealthy" && event.message.starts_with(&start))
        .filter(|event| {
            event
                .about
                .container()
                .is_none_or(|name| name == container.name())
        })
        .max_by_key(|event| event.last)
}

/// A finding of a probe that fails: what it does to the container is put behind its name.
pub(super) fn finding(
    (class, which): (Class, Which),
    pod: &Pod,
    container: &Container<'_>,
    view: &View<'_>,
    (what, since, evidence): (&str, jiff::Timestamp, Vec<Evidence>),
) -> Finding {
    let workload = view.workload(pod);
    let name = container.name();
    let probe = which.of(container);
    let port = probe.and_then(port);
    let event = unhealthy(which, pod, container, view);
    let error = event.map(|event| {
        let message = event.message.trim();
        message
            .split_once(": ")
            .map_or(message, |(_, error)| error)
            .trim()
            .to_owned()
    });
    let trouble = port.as_ref().and_then(|port| port_trouble(port, container));
    let why = (trouble
        .clone()
        .or_else(|| error.clone().filter(|error| !error.is_empty())))
    .map(|why| format!(": {why}"))
    .unwrap_or_default();
    let summary = format!(
        "The {} probe of container {name} of {} fails, {what}{why}",
        which.name().to_lowercase(),
        workload.reference
    );
    let field = format!("{}.{}", container.path(), which.field());
    let culprit = workload.culprit(&field);
    let asked = probe
        .zip(port.as_ref())
        .filter(|_| trouble.is_some())
        .map(|(probe, port)| Evidence {
            object: pod.reference(),
            field: format!("{field}.{}.port", handler(probe).unwrap_or_default()),
            quote: port
                .as_str()
                .map_or_else(|| port.to_string(), str::to_owned),
            at: None,
        });
    let command = format!("kubectl edit {}", workload.reference.kubectl());
    let mut finding = Finding::new(class, workload.reference, culprit, since, summary)
        .container(name)
        .detail("container", name)
        .detail("probe", probe.and_then(handler))
        .detail("error", error)
        .evidence(evidence)
        .evidence(event.map(Event::evidence))
        .evidence(asked)
        .remedy(
            "Let the probe ask what the program answers, and leave it the time it needs",
            command,
        );
    if let Some(port) = port {
        finding = finding.detail("port", port);
    }
    if trouble.is_none() {
        finding = finding.explained_by(what_is_down(pod, container, view));
    }
    finding
}

/// What would explain that a program does not say that it is well: the Services that it was given,
/// or names, of which none of the pods is ready.
fn what_is_down(pod: &Pod, container: &Container<'_>, view: &View<'_>) -> Vec<Reference> {
    let given = tried::in_configuration(pod, container, view).into_iter();
    let words = view.words_of_present_run(pod, container);
    let lines = words
        .iter()
        .flat_map(|words| words.lines.iter().rev().take(failing::MOST_LINES));
    let named = lines.flat_map(|line| endpoints(&line.text));
    let hosts: BTreeSet<String> = given
        .map(|one| one.endpoint)
        .chain(named)
        .map(|endpoint| endpoint.host)
        .collect();
    let mut objects = Vec::new();
    for host in hosts {
        let Host::Service(service) = services::host(view, pod, &host) else {
            continue;
        };
        let Some(pods) = services::pods(view, service) else {
            continue;
        };
        let is_own = pods
            .iter()
            .any(|other| other.uid == pod.uid && other.name == pod.name);
        let is_served = pods
            .iter()
            .any(|other| other.is_ready() && other.deleting.is_none());
        if !is_own && !is_served {
            objects.extend(dependency::explainers(service, view));
        }
    }
    // The node that both run on explains nothing that it does not explain by itself.
    objects.retain(|object| object.kind != "Node");
    objects
}

/// The containers that a probe ended: as it does again and again, or still fails.
pub(super) fn judge_killed(
    (class, which): (Class, Which),
    pod: &Pod,
    view: &View<'_>,
    findings: &mut Vec<Finding>,
) {
    if pod.is_untroubled() {
        return;
    }
    for ended in runs::ended(pod, view) {
        let Some((killer, event)) = runs::killer(&ended, pod, view) else {
            continue;
        };
        let by_this = match which {
            Which::Startup => killer == Killer::StartupProbe,
            Which::Liveness => killer == Killer::LivenessProbe,
            Which::Readiness => false,
        };
        if !by_this || !goes_on(&ended, which, pod, view) {
            continue;
        }
        let unhealthy = unhealthy(which, pod, &ended.container, view);
        let first = [
            event.first,
            unhealthy.and_then(|event| event.first),
            ended.at(),
        ];
        let since = first.into_iter().flatten().min().unwrap_or(view.now());
        let evidence = vec![event.evidence(), ended.evidence(pod)];
        let what = "so the kubelet ends it and starts it again";
        let found = (what, since, evidence);
        findings.push(finding((class, which), pod, &ended.container, view, found));
    }
}

fn goes_on(ended: &Ended<'_>, which: Which, pod: &Pod, view: &View<'_>) -> bool {
    let failed_since = || {
        let since = ended.container.running_since();
        unhealthy(which, pod, &ended.container, view)
            .is_some_and(|event| since.is_some() && event.last > since)
    };
    ended.repeats || failed_since()
}
