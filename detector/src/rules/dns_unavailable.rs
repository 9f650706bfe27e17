//! Names do not resolve: the cluster's name service is down, or the pod asks elsewhere.
//!
//! # What it finds
//!
//! The cluster's name service without a ready pod; and containers that fail because names of
//! Services do not resolve, for that reason or because the pod's own DNS settings lead past the
//! cluster's name service.
//!
//! # How it tells
//!
//! The Deployment behind the Service `kube-dns`, or what a distribution has in its place, has no ready
//! pod, whatever the reason. Of a failing
//! container the last words, of all that is understood, are of a name that does not resolve,
//! though it is a Service's; its policies admit port 53, and its `dnsPolicy` or `dnsConfig` does
//! not use the cluster's name service.
//!
//! # Not before
//!
//! 15 s without a ready pod; at once where none is asked for, no node is found for one, or one cannot
//! start; five minutes where all of them wait for nodes that are not ready. Of a container the second failure, a Job's first.
//!
//! # Looks like
//!
//! - `network-policy-blocks-egress` with port 53: policies keep the pod from the name service.
//! - `dependency-unreachable`: the name service answers, and there is no such name.
//!
//! # Remedy
//!
//! Bring the name service up, or let the pod use it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Service;

use crate::facts::{Deployment, Pod};
use crate::finding::Finding;
use crate::kubernetes::selector::{self, Labels};
use crate::kubernetes::services::{self, Host};
use crate::object::{Kind, Meta};
use crate::rules::unschedulable::Obstacle;
use crate::rules::{Judge, Rule, agents, dependency, failing, policy, tried, unschedulable};
use crate::signatures::Meaning;
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

/// How long nodes may take to become ready for the name service.
const STARTING: SignedDuration = SignedDuration::from_mins(5);

/// How long the name service may be without a ready pod while one may yet become ready.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

pub(super) const RULE: Rule = Rule {
    class: Class::DnsUnavailable,
    needs: &[],
    judges: &[
        Judge::Pod(judge),
        Judge::Deployment(judge_server),
        Judge::DaemonSet(judge_servers),
    ],
};

fn judge_server(deployment: &Deployment, view: &View<'_>, findings: &mut Vec<Finding>) {
    let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let unavailable = conditions
        .filter(|condition| condition.type_.as_deref() == Some("Available") && condition.status.as_deref() == Some("False"))
        .filter_map(|condition| condition.last_transition_time.as_ref())
        .map(|time| time.0)
        .min();
    let server = Server {
        kind: "Deployment",
        meta: Meta::of(&deployment.metadata),
        labels: &deployment.spec.pod_labels,
        asked: deployment.spec.replicas.unwrap_or(1),
        unavailable,
    };
    findings.extend(of_server(&server, view));
}

/// Some distributions have a server on every node.
fn judge_servers(set: &DaemonSet, view: &View<'_>, findings: &mut Vec<Finding>) {
    let template = set.spec.template.metadata.as_ref();
    let Some(labels) = template.and_then(|metadata| metadata.labels.as_ref()) else {
        return;
    };
    let asked = set.status.as_ref().map_or(0, |status| status.desired_number_scheduled);
    let meta = Meta::of(&set.metadata);
    let server = Server { kind: "DaemonSet", meta, labels, asked, unavailable: None };
    if asked > 0 {
        findings.extend(of_server(&server, view));
    }
}

/// A workload that may be the name service.
struct Server<'a> {
    kind: &'static str,
    meta: Meta<'a>,
    labels: &'a Labels,
    asked: i32,
    /// Since when it says that it is not available.
    unavailable: Option<Timestamp>,
}

fn of_server(server: &Server<'_>, view: &View<'_>) -> Option<Finding> {
    let (meta, asked) = (server.meta, server.asked);
    let service = services::name_service(view)?;
    if !is_behind(service, meta.namespace, server.labels) {
        return None;
    }
    let pods = services::pods(view, service)?;
    let is_ready = |pod: &&Pod| pod.is_ready() && pod.deleting.is_none();
    if pods.iter().any(is_ready) || !view.is_listed(Kind::Pod, meta.namespace) {
        return None;
    }
    let unready = pods.iter().filter_map(|pod| {
        let ready = pod.condition("Ready")?;
        ready.last_transition_time.as_ref().map(|time| time.0)
    });
    let since = server.unavailable.into_iter().chain(unready).min();
    let since = since.or(meta.created).unwrap_or(view.now());
    let reference = Reference::namespaced(server.kind, meta.namespace, meta.name);
    if !pods.is_empty() && pods.iter().all(|pod| waits_for_nodes(pod, view)) {
        return None;
    }
    let will_not_come = asked == 0 || pods.iter().any(|pod| is_stuck(pod));
    if !will_not_come && !view.ripe(since, PATIENCE) {
        return None;
    }
    let evidence = Evidence {
        object: reference.clone(),
        field: "status.readyReplicas".to_owned(),
        quote: format!("no pod is ready, of {asked} that are asked for"),
        at: Some(since),
    };
    let summary = format!("{reference}, the cluster's name service, has no ready pod: no names resolve");
    let remedy = if asked == 0 {
        ("Ask for replicas", format!("kubectl scale {} --replicas=2", reference.kubectl()))
    } else {
        ("See why its pods are not ready", format!("kubectl describe {}", reference.kubectl()))
    };
    let culprit = if asked == 0 {
        reference.clone().field("spec.replicas")
    } else {
        reference.clone().whole()
    };
    let finding = Finding::new(Class::DnsUnavailable, reference, culprit, since, summary)
        .evidence([evidence])
        .remedy(remedy.0, remedy.1);
    Some(finding)
}

/// Whether a pod waits for the nodes of a cluster that is being made, or for those that are on their
/// way back.
fn waits_for_nodes(pod: &Pod, view: &View<'_>) -> bool {
    unschedulable::of(pod, view).is_some_and(|stuck| {
        stuck.obstacle == Obstacle::Unwell && !view.ripe(stuck.since, STARTING)
    })
}

/// Whether a pod will not become ready by itself: no node is found for it, or a container cannot
/// start.
fn is_stuck(pod: &Pod) -> bool {
    let cannot_start = pod.containers().any(|container| {
        let waiting = container.waiting().map(|(reason, _)| reason);
        waiting.is_some_and(|reason| !["ContainerCreating", "PodInitializing"].contains(&reason))
    });
    pod.deleting.is_none() && (cannot_start || unschedulable::complaint(pod).is_some())
}

/// Whether a Service selects pods with these labels in this namespace.
fn is_behind(service: &Service, namespace: &str, labels: &Labels) -> bool {
    let wanted = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    service.metadata.namespace.as_deref() == Some(namespace)
        && wanted.is_some_and(|wanted| !wanted.is_empty() && selector::has_all(wanted, labels))
}

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        let Some((line, said)) = failing.main_if(Meaning::is_of_name) else {
            continue;
        };
        if !failing.is_lasting(pod) || policy::is_mended(pod, &failing, view) {
            continue;
        }
        let named = tried::in_words(&failing).into_iter().find(|tried| {
            tried.meaning.is_some_and(Meaning::is_of_name)
        });
        let host = named.as_ref().map(|tried| services::host(view, pod, &tried.host));
        let is_service = matches!(host, Some(Host::Service(_)));
        let workload = view.workload(pod);
        let name = named.as_ref().map(|tried| tried.host.clone());
        let text = name.clone().unwrap_or_else(|| "names".to_owned());
        let Some(service) = services::name_service(view) else {
            continue;
        };
        let servers = services::pods(view, service).unwrap_or_default();
        let is_up = servers.iter().any(|pod| pod.is_ready());
        let finding = match elsewhere(pod, service) {
            Some(field) if is_service => Finding::new(
                Class::DnsUnavailable,
                workload.reference.clone(),
                workload.culprit(field),
                failing.since,
                format!(
                    "{} does not ask the cluster's name service, and {text} does not resolve",
                    workload.reference,
                ),
            )
            .remedy(
                "Let the pod use the cluster's name service",
                format!("kubectl edit {}", workload.reference.kubectl()),
            ),
            // That there is no such name, the name service itself said.
            None if !is_up && said.meaning != Meaning::NoSuchName => {
                let server = servers.first().map(|pod| view.workload(pod).reference);
                let server = server.unwrap_or_else(|| services::reference(service));
                Finding::new(
                    Class::DnsUnavailable,
                    workload.reference.clone(),
                    server.clone().whole(),
                    failing.since,
                    format!("{server}, the cluster's name service, has no ready pod, and {text} does not resolve for {}", workload.reference),
                )
                .explained_by([server.clone()])
                .explained_by(dependency::workloads(service, view))
                .remedy("See why its pods are not ready", format!("kubectl describe {}", server.kubectl()))
            }
            _ => {
                let node = pod.node.as_deref();
                let caches = node.map(|node| agents::unready_name_caches(node, view));
                let Some(cache) = caches.into_iter().flatten().next() else {
                    continue;
                };
                Finding::new(
                    Class::DnsUnavailable,
                    workload.reference.clone(),
                    cache.clone().whole(),
                    failing.since,
                    format!("{cache}, which resolves names on the node of {}, is not ready there, and {text} does not resolve", workload.reference),
                )
                .explained_by([cache.clone()])
                .remedy("See why its pods are not ready", format!("kubectl describe {}", cache.kubectl()))
            }
        };
        let finding = finding
            .container(failing.container.name())
            .detail("name", name)
            .evidence(failing.quote(line))
            .evidence([failing.symptom.clone()]);
        findings.push(finding);
    }
}

/// The field that leads a pod's questions past the cluster's name service, if one does.
///
/// Source: `GetPodDNS` in `pkg/kubelet/network/dns/dns.go`.
fn elsewhere(pod: &Pod, service: &Service) -> Option<&'static str> {
    let spec = service.spec.as_ref();
    let address = spec.and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    let config = pod.spec.dns_config.as_ref();
    let mut servers = config.iter().flat_map(|config| config.nameservers.iter().flatten());
    match pod.spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "None" if !servers.any(|server| server == address) => Some("spec.dnsConfig.nameservers"),
        "Default" => Some("spec.dnsPolicy"),
        "ClusterFirst" if pod.spec.host_network == Some(true) => Some("spec.dnsPolicy"),
        _ => None,
    }
}
