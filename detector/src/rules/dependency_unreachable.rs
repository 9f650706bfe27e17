//! What a program connects to is down, refuses the connection, or is not there, and no policy
//! explains it.
//!
//! # What it finds
//!
//! A container that fails because it cannot connect to what it needs: a Service without a ready
//! pod, a port that nothing listens on, a name or address that leads nowhere.
//!
//! # How it tells
//!
//! A container's last run failed, or it runs and goes on failing, and its last words, of all that
//! is understood, are of a connection or a name. What they name, or else the only address among
//! what it was given, is looked up: its Service has no ready pod, or does not exist, or answers
//! that nothing listens. The name of a headless Service, and those of the pods below it, resolve
//! while a pod is ready. Of a target outside the cluster only the words tell; where they name none,
//! and it was given nothing else, it is `possible`. A container that is refused by its own pod, of
//! which nothing is to listen there, was given a wrong address. What is ready again since the run
//! ended is no trouble any more. An init container that runs on and says nothing
//! waits for what its command names, such as `until nc -z db 5432; do sleep 2; done`.
//!
//! # Not before
//!
//! The second failure, a Job's first: programs start before what they depend on. Not while a pod
//! behind the Service is starting, for 30 s, or for 5 s while no node is found for it. Of an init
//! container that says nothing, 60 s after its start. Over when
//! what it connects to is ready, or the present run has outlasted twice the last plus 10 s.
//!
//! # Looks like
//!
//! - `network-policy-blocks-egress`, `network-policy-blocks-ingress`: policies admit no way.
//! - `service-selector-unmatched`, `service-port-mismatch`: the Service is to blame, and this
//!   becomes a part of its verdict; so it does of the verdict on the workload behind it.
//! - `dns-unavailable`: names do not resolve though the Service exists.
//! - `dependency-refusing`, `login-refused`: it answers, and refuses.
//!
//! # Remedy
//!
//! Bring up what it connects to, or correct the address.

use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use crate::facts::{Container, ContainerRole, Pod};
use crate::finding::Finding;
use crate::kubernetes::services::{self, Host};
use crate::object::Kind;
use crate::rules::failing::{self, Failing};
use crate::rules::tried::{self, Given, Named, Tried};
use crate::rules::{Judge, Need, Rule, agents, dependency, policy, target_port};
use crate::signatures::Meaning;
use crate::verdict::{Class, Confidence, Culprit, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::DependencyUnreachable,
    needs: &[Need::Words],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let missed = missed(pod, view).into_iter();
    findings.extend(missed.map(|(failing, found)| finding(pod, &failing, found, view)));
}

/// The containers of a pod that cannot connect, and what to: those that say so, and those that
/// wait without a word.
pub(super) fn missed<'a, 'p>(
    pod: &'p Pod,
    view: &View<'a>,
) -> Vec<(Failing<'a, 'p>, Found<'a>)> {
    let mut missed = Vec::new();
    for failing in failing::containers(pod, view) {
        let Some((_, said)) = failing.main_if(Meaning::is_of_connection) else {
            continue;
        };
        if !failing.is_lasting(pod) || policy::is_mended(pod, &failing, view) {
            continue;
        }
        let given = tried::in_configuration(pod, &failing.container, view);
        let found = in_words(pod, &failing, &given, view)
            .or_else(|| in_configuration(pod, &failing, said.meaning, &given, view));
        // Programs that serve well look for news of themselves: only what one was told to connect
        // to is missed by it.
        let is_missed = |found: &Found<'_>| {
            failing.ended.is_some()
                || !failing.container.is_ready()
                || !found.is_news
                || tried::may_hold(pod, &failing.container, &found.host, view)
        };
        let found = found.filter(is_missed);
        missed.extend(found.map(|found| (failing, found)));
    }
    for waiting in failing::waiting(pod, view) {
        let awaited = tried::in_command(pod, &waiting.container, view);
        let found = not_there(pod, &awaited, view);
        missed.extend(found.map(|found| (waiting, found)));
    }
    missed
}

/// The first of the addresses that a command waits for which is down, or the name of no Service.
/// Of one outside the cluster nothing is known: it may be a long download.
fn not_there<'a>(pod: &Pod, awaited: &[Given], view: &View<'a>) -> Option<Found<'a>> {
    awaited.iter().find_map(|one| {
        let host = services::host(view, pod, &one.endpoint.host);
        if !matches!(host, Host::Service(_) | Host::Pod(_) | Host::NoService) {
            return None;
        }
        let tried = Tried { named: Named::Failure, is_sure: true, ..one.tried(None) };
        if policy::is_blocked(pod, &tried, host, view) {
            return None;
        }
        let found = found(pod, &tried, host, awaited, view)?;
        Some(Found { confidence: Confidence::Likely, ..found })
    })
}

/// What does not answer.
pub(super) struct Found<'a> {
    /// The Service that it is, and the port that is meant.
    pub service: Option<(&'a Service, Option<u16>)>,
    host: String,
    target: Value,
    text: String,
    port: Option<u16>,
    culprit: Option<Culprit>,
    because: &'static str,
    confidence: Confidence,
    /// Whether it lies outside the cluster, and nothing that the container was given names it.
    is_news: bool,
    evidence: Vec<Evidence>,
    explained_by: Vec<Reference>,
}

fn in_words<'a>(
    pod: &Pod,
    failing: &Failing<'_, '_>,
    given: &[Given],
    view: &View<'a>,
) -> Option<Found<'a>> {
    let failed = tried::in_words(failing);
    let mut failed = failed
        .iter()
        .filter(|tried| tried.named == Named::Failure || tried.named == Named::Words);
    failed.find_map(|tried| {
        let host = services::host(view, pod, &tried.host);
        if matches!(host, Host::Itself) {
            return at_home(pod, failing, tried, given);
        }
        // Programs that were given a name tell of the address that it led to.
        let is_given = given.iter().any(|one| one.endpoint.host.eq_ignore_ascii_case(&tried.host));
        let meant = match host {
            Host::Address(_) if !is_given => {
                only_service(pod, tried.port, given, view).or_else(|| only_outside(pod, given, view))
            }
            _ => None,
        };
        match meant {
            Some(meant) => {
                let tried = Tried {
                    host: meant.endpoint.host.clone(),
                    port: tried.port.or(meant.endpoint.port),
                    ..tried.clone()
                };
                let host = match services::host(view, pod, &meant.endpoint.host) {
                    service @ Host::Service(_) => service,
                    _ => host,
                };
                found(pod, &tried, host, given, view)
            }
            None => found(pod, tried, host, given, view),
        }
    })
}

/// The pod itself, where a container that ended was refused and nothing of the pod is to listen
/// there: what it connects to is elsewhere. Containers that are in trouble themselves may be what
/// does not listen.
fn at_home<'a>(
    pod: &Pod,
    failing: &Failing<'_, '_>,
    tried: &Tried,
    given: &[Given],
) -> Option<Found<'a>> {
    let port = tried.port?;
    let is_declared = pod.ports().any(|declared| declared.container_port == i32::from(port));
    let is_in_trouble = |container: &Container<'_>| {
        container.role != ContainerRole::Init
            && container.name() != failing.container.name()
            && !container.is_ready()
    };
    if failing.ended.is_none()
        || tried.named != Named::Failure
        || tried.meaning != Some(Meaning::Refused)
        || is_declared
        || pod.containers().any(|one| is_in_trouble(&one))
    {
        return None;
    }
    let same = given.iter().find(|one| {
        one.endpoint.host.eq_ignore_ascii_case(&tried.host) && one.endpoint.port == Some(port)
    });
    let named = given.iter().find(|one| {
        one.endpoint.port == Some(port) && is_loopback(&one.endpoint.host)
    });
    Some(Found {
        service: None,
        host: tried.host.clone(),
        target: json!(tried.host),
        text: format!("{}:{port}", tried.host),
        port: Some(port),
        culprit: same.or(named).map(|one| one.culprit.clone()),
        because: "is the pod itself, where nothing listens",
        confidence: Confidence::Likely,
        is_news: false,
        evidence: Vec::new(),
        explained_by: Vec::new(),
    })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The only Service of all that it was given with this port: an address that nothing has any more
/// may be the one that it had.
fn only_service<'g>(
    pod: &Pod,
    port: Option<u16>,
    given: &'g [Given],
    view: &View<'_>,
) -> Option<&'g Given> {
    let host = |one: &Given| services::host(view, pod, &one.endpoint.host);
    let is_service = |one: &&Given| {
        port.is_some()
            && tried::port_meant(&one.tried(None), &host(one)) == port
            && matches!(host(one), Host::Service(_))
    };
    let mut meant = given.iter().filter(is_service);
    let first = meant.next()?;
    meant.all(|other| tried::is_same(&host(first), &host(other))).then_some(first)
}

/// The only name of all that it was given which leads out of the cluster.
fn only_outside<'g>(pod: &Pod, given: &'g [Given], view: &View<'_>) -> Option<&'g Given> {
    let is_outside = |one: &&Given| {
        one.endpoint.is_url && matches!(services::host(view, pod, &one.endpoint.host), Host::Outside)
    };
    let mut outside = given.iter().filter(is_outside);
    let first = outside.next()?;
    let host = &first.endpoint.host;
    outside.all(|other| other.endpoint.host == *host).then_some(first)
}

/// The only thing that is down of all that it was given, where its words name nothing.
fn in_configuration<'a>(
    pod: &Pod,
    failing: &Failing<'_, '_>,
    meaning: Meaning,
    given: &[Given],
    view: &View<'a>,
) -> Option<Found<'a>> {
    let mut all: Vec<(Host<'a>, Found<'a>)> = Vec::new();
    for one in given {
        let host = services::host(view, pod, &one.endpoint.host);
        // A name that does not resolve is one that no Service has.
        if let Host::NoService = host
            && meaning.is_of_name()
            && one.endpoint.host.contains('.')
            && all.iter().all(|(_, found)| found.host != one.endpoint.host)
        {
            let tried = Tried { named: Named::Failure, is_sure: true, ..one.tried(Some(meaning)) };
            all.extend(found(pod, &tried, host, given, view).map(|found| (host, found)));
            continue;
        }
        if !matches!(host, Host::Service(_)) || all.iter().any(|(other, _)| tried::is_same(other, &host)) {
            continue;
        }
        let tried = one.tried(Some(meaning));
        if let Some(found) = found(pod, &tried, host, given, view) {
            all.push((host, found));
        }
    }
    // Nothing that it was given is in the cluster: what ended it must be the one outside. Of those
    // that run on some lose connections now and then.
    let is_inside = |one: &Given| {
        let host = services::host(view, pod, &one.endpoint.host);
        matches!(host, Host::Service(_) | Host::Pod(_) | Host::NoService | Host::Unknown)
    };
    if failing.ended.is_some() && all.is_empty() && !given.iter().any(is_inside) {
        let one = only_outside(pod, given, view)?;
        let tried = Tried { named: Named::Failure, is_sure: true, ..one.tried(Some(meaning)) };
        let found = found(pod, &tried, Host::Outside, given, view)?;
        return Some(Found { confidence: Confidence::Possible, ..found });
    }
    match all.len() {
        1 => all.pop().map(|(_, found)| Found { confidence: Confidence::Likely, ..found }),
        _ => None,
    }
}

fn found<'a>(
    pod: &Pod,
    tried: &Tried,
    host: Host<'a>,
    given: &[Given],
    view: &View<'a>,
) -> Option<Found<'a>> {
    let is_name = tried.meaning.is_some_and(Meaning::is_of_name);
    let failed = tried.named == Named::Failure;
    let port = tried::port_meant(tried, &host);
    let given_port = || {
        let same = |one: &&Given| one.endpoint.host.eq_ignore_ascii_case(&tried.host);
        given.iter().filter(same).find_map(|one| one.endpoint.port)
    };
    let port = match host {
        Host::Outside | Host::Address(_) => port.or_else(given_port),
        _ => port,
    };
    let holder = || {
        let same_port = |one: &&Given| one.endpoint.host.eq_ignore_ascii_case(&tried.host)
            && (one.endpoint.port == port || one.endpoint.port.is_none() || port.is_none());
        // Its words may name the address that a name was resolved to.
        let leads_there = |one: &&Given| {
            one.endpoint.port == port
                && tried::is_same(&services::host(view, pod, &one.endpoint.host), &host)
        };
        let holder = given.iter().find(same_port).or_else(|| given.iter().find(leads_there));
        holder.map(|one| one.culprit.clone())
    };
    let text = match port {
        Some(port) => format!("{}:{port}", tried.host),
        None => tried.host.clone(),
    };
    let wrong_address = |because, confidence| Found {
        service: None,
        host: tried.host.clone(),
        target: json!(tried.host),
        text: text.clone(),
        port,
        culprit: holder(),
        because,
        confidence,
        is_news: matches!(host, Host::Outside | Host::Address(_)) && holder().is_none(),
        evidence: Vec::new(),
        explained_by: Vec::new(),
    };
    match host {
        // That the name does not resolve has another reason, but where it leads to the pods
        // themselves, and there are none.
        Host::Service(service) if is_name && is_resolved(service, tried, view) => None,
        Host::Service(service) => {
            let reference = services::reference(service);
            let is_declared = port.is_none_or(|port| services::port_of(service, port).is_some());
            if let Some(other) = services::stands_for(view, pod, service) {
                let (because, confidence) = match other {
                    Host::NoService => (
                        "stands for a name that no Service has",
                        Confidence::Certain,
                    ),
                    _ => ("does not answer", Confidence::Likely),
                };
                return failed.then(|| Found {
                    target: json!(reference),
                    culprit: Some(reference.clone().field("spec.externalName")),
                    ..wrong_address(because, confidence)
                });
            }
            let pods = services::pods(view, service);
            if !is_declared && !services::is_headless(service) {
                // The words must say so: an address that only looks like one proves nothing.
                return failed.then(|| Found {
                    target: json!(reference),
                    culprit: holder().or(Some(reference.clone().field("spec.ports"))),
                    explained_by: vec![reference.clone()],
                    ..wrong_address("has no such port", Confidence::Certain)
                });
            }
            let is_ready = match &pods {
                Some(pods) => {
                    if pods.is_empty() && !view.is_listed(Kind::Pod, &namespace_of(service)) {
                        return None;
                    }
                    let port = port.and_then(|port| services::port_of(service, port));
                    // A port whose name the pods lack leads to none of them.
                    let leads_to = |pod: &Pod| {
                        port.is_none_or(|port| services::target_port(pod, port).is_some())
                    };
                    (pods.iter()).any(|pod| pod.is_ready() && pod.deleting.is_none() && leads_to(pod))
                }
                None => {
                    let port = port.and_then(|port| services::port_of(service, port))?;
                    let listed = view.is_listed(Kind::EndpointSlice, &namespace_of(service));
                    !listed || services::backends(view, service, port).iter().any(|one| one.is_ready)
                }
            };
            let is_refused = tried.meaning == Some(Meaning::Refused);
            let leads_nowhere = || {
                let port = port.and_then(|port| services::port_of(service, port));
                port.zip(pods.as_deref()).is_some_and(|(port, pods)| {
                    target_port::leads_nowhere(service, port, pods, failed)
                })
            };
            // Without its node's proxy no Service answers a pod.
            let node = pod.node.as_deref();
            let proxies = node.map_or(Vec::new(), |node| agents::unready_proxies(node, view));
            let answers = is_ready && !is_refused && proxies.is_empty() && !leads_nowhere();
            if answers || dependency::is_coming_up(service, view) {
                return None;
            }
            let (because, confidence) = if is_ready && is_refused {
                ("refuses the connection", Confidence::Likely)
            } else if is_ready {
                ("does not answer", Confidence::Possible)
            } else {
                ("has no ready pod", Confidence::Certain)
            };
            Some(Found {
                service: Some((service, port)),
                target: json!(reference),
                culprit: Some(reference.whole()),
                evidence: vec![state_of(service, pods.as_deref().unwrap_or_default())],
                explained_by: dependency::explainers(service, view).into_iter().chain(proxies).collect(),
                ..wrong_address(because, confidence)
            })
        }
        Host::Pod(other) => {
            let is_refused = tried.meaning == Some(Meaning::Refused);
            let above = services::governing(view, other).filter(|_| is_name);
            let is_picked = |service| {
                let pods = services::pods(view, service).unwrap_or_default();
                pods.iter().any(|pod| pod.uid == other.uid)
            };
            if let Some(service) = above.filter(|service| !is_picked(service)) {
                return found(pod, tried, Host::Service(service), given, view);
            }
            let has_name = above.is_none_or(|service| {
                tried.meaning == Some(Meaning::NoNameService) || services::is_published(service, other)
            });
            if !failed
                || is_name && has_name
                || other.is_ready() && !is_refused
                || dependency::is_starting(other, view)
            {
                return None;
            }
            let reference = view.workload(other).reference;
            Some(Found {
                target: json!(reference),
                culprit: Some(reference.whole()),
                explained_by: dependency::of_pod(other, view),
                ..wrong_address("does not answer", Confidence::Likely)
            })
        }
        Host::NoService if failed && tried.is_sure => {
            let namespaced = tried.host.contains('.') || holder().is_some() || is_name;
            namespaced.then(|| wrong_address("is the name of no Service", Confidence::Certain))
        }
        Host::Outside if failed && tried.is_sure => {
            // That no name resolves is not for the name to answer for.
            if tried.meaning == Some(Meaning::NoNameService) {
                return None;
            }
            Some(wrong_address("does not answer", Confidence::Likely))
        }
        Host::Address(_) if failed && tried.is_sure && !is_name => {
            Some(wrong_address("does not answer", Confidence::Likely))
        }
        _ => None,
    }
}

/// Whether the name of a Service resolves, as far as the Service goes: that of a headless one does
/// while pods are ready, and that of an alias as far as the other does. That the name service does
/// not answer is not for it to explain.
fn is_resolved(service: &Service, tried: &Tried, view: &View<'_>) -> bool {
    if tried.meaning == Some(Meaning::NoNameService) {
        return true;
    }
    if services::external_name(service).is_some() {
        return false; // It stands for another, which may not resolve.
    }
    let pods = services::pods(view, service);
    !services::is_headless(service)
        || pods.is_none_or(|pods| pods.iter().any(|pod| services::is_published(service, pod)))
}

/// Whether the last run of a container failed of what is just starting.
pub(super) fn is_awaited(pod: &Pod, failing: &Failing<'_, '_>, view: &View<'_>) -> bool {
    if failing.main_if(Meaning::is_of_connection).is_none() {
        return false;
    }
    let named = tried::in_words(failing).into_iter().map(|tried| tried.host);
    let given = tried::in_configuration(pod, &failing.container, view);
    let given = given.into_iter().map(|given| given.endpoint.host);
    named.chain(given).any(|name| match services::host(view, pod, &name) {
        Host::Service(service) => dependency::is_coming_up(service, view),
        _ => false,
    })
}

fn namespace_of(service: &Service) -> String {
    service.metadata.namespace.clone().unwrap_or_default()
}

fn state_of(service: &Service, pods: &[&Pod]) -> Evidence {
    let ready = pods.iter().filter(|pod| pod.is_ready()).count();
    Evidence {
        object: services::reference(service),
        field: "spec.selector".to_owned(),
        quote: format!("selects {} pods, of which {ready} are ready", pods.len()),
        at: None,
    }
}

fn finding(pod: &Pod, failing: &Failing<'_, '_>, found: Found<'_>, view: &View<'_>) -> Finding {
    let workload = view.workload(pod);
    let name = failing.container.name();
    let line = failing.main();
    let culprit = found
        .culprit
        .or_else(|| tried::holder_of(pod, &failing.container, &found.host, view))
        .unwrap_or_else(|| workload.culprit(&failing.container.path()));
    let summary = format!(
        "Container {name} of {} cannot connect to {}, which {}",
        workload.reference, found.text, found.because,
    );
    let command = match culprit.object.kind.as_str() {
        "Service" => format!("kubectl describe {}", culprit.object.kubectl()),
        _ => format!("kubectl edit {}", culprit.object.kubectl()),
    };
    let step = match culprit.object.kind.as_str() {
        "Service" => "Bring up what answers for it",
        _ => "Correct the address, or bring up what it leads to",
    };
    Finding::new(
        Class::DependencyUnreachable,
        workload.reference,
        culprit,
        failing.since,
        summary,
    )
    .container(name)
    .confidence(found.confidence)
    .detail("target", found.target)
    .detail("port", found.port)
    .detail("error", line.map(|(line, _)| line.text.trim().to_owned()))
    .evidence(line.and_then(|(line, _)| failing.quote(line)))
    .evidence(found.evidence)
    .evidence([failing.symptom.clone()])
    .explained_by(found.explained_by)
    .remedy(step, command)
}
