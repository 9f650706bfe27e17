//! Whether the port of a Service leads to one that its pods have.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::facts::{Container, Pod};
use crate::kubernetes::services;
use crate::verdict::Confidence;

/// Whether connections to a port of a Service lead nowhere though its pods are ready: to a port
/// that they do not have, or, where a client fails on it, that nothing of them names.
pub(super) fn leads_nowhere(
    service: &Service,
    port: &ServicePort,
    pods: &[&Pod],
    client_fails: bool,
) -> bool {
    !services::is_headless(service)
        && !pods.is_empty()
        && (mismatch(port, pods).is_some()
            || client_fails && unheard_of(service, port, pods).is_some())
}

/// The target port, where some of the pods are ready and nothing of any names that number.
pub(super) fn unheard_of(service: &Service, port: &ServicePort, pods: &[&Pod]) -> Option<i32> {
    let target = match &port.target_port {
        Some(IntOrString::Int(number)) if *number != 0 => *number,
        Some(IntOrString::String(_)) => return None,
        _ => port.port,
    };
    let is_known = |pod: &&Pod| {
        pod.ports()
            .any(|declared| declared.container_port == target)
            || mentions(pod, target)
    };
    let is_ready = |pod: &&Pod| pod.is_ready() && pod.deleting.is_none();
    let is_unheard_of =
        !pods.iter().any(is_known) && pods.iter().any(is_ready) && !services::is_headless(service);
    is_unheard_of.then_some(target)
}

/// The target port that the pods do not have, and the field that is wrong.
pub(super) fn mismatch(
    port: &ServicePort,
    pods: &[&Pod],
) -> Option<(Value, &'static str, Confidence)> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let number = match &port.target_port {
        Some(IntOrString::String(name)) => match name.parse::<i32>() {
            Ok(number) => number,
            Err(_) => {
                let lacks = |pod: &&Pod| services::named_port(pod, name, protocol).is_none();
                let other_protocol = pods.iter().any(|pod| {
                    pod.ports()
                        .any(|declared| declared.name.as_deref() == Some(name.as_str()))
                });
                let field = if other_protocol {
                    "protocol"
                } else {
                    "targetPort"
                };
                return pods
                    .iter()
                    .all(lacks)
                    .then(|| (json!(name), field, Confidence::Certain));
            }
        },
        Some(IntOrString::Int(number)) if *number != 0 => *number,
        _ => port.port,
    };
    let declared = |pod: &&Pod| {
        pod.ports()
            .any(|declared| declared.container_port == number)
    };
    let with_protocol = |pod: &&Pod| {
        pod.ports().any(|declared| {
            declared.container_port == number
                && declared.protocol.as_deref().unwrap_or("TCP") == protocol
        })
    };
    if pods.iter().any(with_protocol) {
        return None;
    }
    if pods.iter().any(declared) {
        return Some((json!(number), "protocol", Confidence::Likely));
    }
    let none_or_known = |pod: &&Pod| pod.ports().next().is_none() || mentions(pod, number);
    (!pods.iter().any(none_or_known)).then(|| (json!(number), "targetPort", Confidence::Likely))
}

/// Whether anything in the pod's specification names the number: then the program may well listen
/// there.
fn mentions(pod: &Pod, number: i32) -> bool {
    let text = number.to_string();
    let names = |given: &str| {
        given
            .split(|c: char| !c.is_ascii_digit())
            .any(|digits| digits == text)
    };
    pod.containers().any(|container| {
        let spec = container.spec;
        let given = spec
            .command
            .iter()
            .flatten()
            .chain(spec.args.iter().flatten());
        let values = spec
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value.as_ref());
        given.chain(values).any(|given| names(given)) || is_probed(&container, number)
    })
}

fn is_probed(container: &Container<'_>, number: i32) -> bool {
    let spec = container.spec;
    let probes = [
        &spec.readiness_probe,
        &spec.liveness_probe,
        &spec.startup_probe,
    ];
    probes.into_iter().flatten().any(|probe| {
        let http = probe.http_get.as_ref().map(|http| &http.port);
        let tcp = probe.tcp_socket.as_ref().map(|tcp| &tcp.port);
        let is_it = |port: &IntOrString| matches!(port, IntOrString::Int(port) if *port == number);
        http.is_some_and(is_it)
            || tcp.is_some_and(is_it)
            || probe.grpc.as_ref().is_some_and(|grpc| grpc.port == number)
    })
}
