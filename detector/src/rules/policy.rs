//! What the two rules of NetworkPolicies share: they differ only in the end of the connection
//! whose policies they look at.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

use crate::facts::{CalicoPolicy, GlobalCalicoPolicy, Pod};
use crate::finding::Finding;
use crate::kubernetes::connection::{Connection, Direction, End};
use crate::kubernetes::network_policy::{Policy, Ruling, ruling, selecting};
use crate::kubernetes::services::{self, Host};
use crate::object::{Described, Kind, Meta};
use crate::rules::dependency;
use crate::rules::failing::{self, Failing};
use crate::rules::tried::{self, Given, Named, Tried};
use crate::signatures::{self, Meaning};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::View;

/// The port of name services.
const DNS: u16 = 53;

/// Finds the connections of a pod that fail because policies at this end do not admit them.
pub(super) fn judge(direction: Direction, pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.spec.host_network == Some(true) && direction == Direction::Egress {
        return;
    }
    for failing in failing::containers(pod, view) {
        if direction == Direction::Egress && selecting(view, pod, direction).is_empty() {
            return;
        }
        if let Some(blocked) = first_blocked(direction, pod, &failing, view) {
            findings.push(finding(direction, pod, &failing, view, &blocked));
        }
    }
    for waiting in failing::waiting(pod, view) {
        let awaited = tried::in_command(pod, &waiting.container, view);
        if let Some(blocked) = first_blocked_of(direction, pod, awaited, view) {
            findings.push(finding(direction, pod, &waiting, view, &blocked));
        }
    }
}

/// How long it may take until every node knows that a pod behind a Service is ready.
const SPREADS: SignedDuration = SignedDuration::from_secs(5);

/// Whether the connection that the last run of a container failed of is open again: it leads to
/// pods that are ready, policies admit it, and that came about after the run ended, or its Service
/// is another since, or the run that followed has got past it. Where it failed of a name, the name
/// service is ready again since, or starting.
///
/// Until the container fails anew there is nothing left to explain.
pub(super) fn is_mended(pod: &Pod, failing: &Failing<'_, '_>, view: &View<'_>) -> bool {
    let main = failing.main().map(|(_, said)| said.meaning);
    let Some(ended) = failing
        .ended
        .filter(|_| main.is_none_or(Meaning::is_of_connection))
    else {
        return false;
    };
    let mut policies: Vec<Timestamp> = changes(&pod.namespace, view);
    let mut opened: Vec<Timestamp> = Vec::new();
    let mut is_any_open = false;
    let mut all_tried = tried::in_words(failing);
    // Its words name nothing: what it was given does.
    if all_tried.is_empty() && main.is_some() {
        let given = tried::in_configuration(pod, &failing.container, view);
        all_tried.extend(given.into_iter().map(|given| given.tried(main)));
    }
    for tried in all_tried {
        let host = services::host(view, pod, &tried.host);
        let Some((namespace, ends)) = receivers(&tried, &host, view) else {
            continue;
        };
        let ready: Vec<&Pod> = ends.into_iter().filter(|pod| pod.is_ready()).collect();
        if ready.is_empty() || is_blocked(pod, &tried, host, view) {
            return false;
        }
        is_any_open = true;
        if let Host::Service(service) = host {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            opened.extend(view.changed(Kind::Service, &namespace, name));
        }
        policies.extend(changes(&namespace, view));
        let since = ready.iter().filter_map(|pod| pod.condition("Ready"));
        let since = since.filter_map(|is| is.last_transition_time.as_ref());
        opened.extend(since.filter_map(|time| time.0.checked_add(SPREADS).ok()));
    }
    let is_name = main.is_some_and(Meaning::is_of_name);
    if let Some(service) = services::name_service(view).filter(|_| is_name) {
        if dependency::is_coming_up(service, view) {
            return true;
        }
        let servers = services::pods(view, service).unwrap_or_default();
        let ready = servers.iter().filter(|pod| pod.is_ready());
        let since = ready.filter_map(|pod| pod.condition("Ready")?.last_transition_time.as_ref());
        opened.extend(since.map(|time| time.0));
    }
    let is_name_blocked = || {
        [Direction::Egress, Direction::Ingress]
            .into_iter()
            .any(|direction| names_blocked(direction, pod, failing, view).is_some())
    };
    if !is_any_open || is_name && is_name_blocked() {
        return false;
    }
    let finished = ended.finished_at.as_ref().map(|time| time.0);
    let since_then = finished.is_some_and(|end| {
        // Objects tell of whole seconds: what came within the same one may have come later.
        policies.iter().any(|at| *at >= end) || opened.iter().any(|at| *at > end)
    });
    let present = view.words_of_present_run(pod, &failing.container);
    let last = present.as_ref().and_then(|words| words.lines.last());
    since_then || last.is_some_and(|line| signatures::read(&line.text).is_none())
}

/// Whether policies at either end admit no way from a pod to what it tried.
pub(super) fn is_blocked<'a>(pod: &Pod, tried: &Tried, host: Host<'a>, view: &View<'a>) -> bool {
    [Direction::Egress, Direction::Ingress]
        .into_iter()
        .any(|direction| blocked(direction, pod, tried, host, view).is_some())
}

/// When policies of a namespace came, changed or went.
fn changes(namespace: &str, view: &View<'_>) -> Vec<Timestamp> {
    let own = view.in_namespace::<NetworkPolicy>(namespace);
    let calico = view.in_namespace::<CalicoPolicy>(namespace);
    let global = view.all::<GlobalCalicoPolicy>();
    let created = (own.map(|policy| Meta::of(&policy.metadata).created))
        .chain(calico.map(|policy| policy.meta().created))
        .chain(global.map(|policy| policy.meta().created));
    let changed = [
        (Kind::NetworkPolicy, namespace),
        (Kind::CalicoPolicy, namespace),
        (Kind::GlobalCalicoPolicy, ""),
        (Kind::CalicoNetworkSet, namespace),
        (Kind::GlobalCalicoNetworkSet, ""),
    ]
    .map(|(kind, namespace)| view.changed_in(kind, namespace));
    created.chain(changed).flatten().collect()
}

/// The pods that an address leads to, and their namespace.
fn receivers<'a>(
    tried: &Tried,
    host: &Host<'a>,
    view: &View<'a>,
) -> Option<(String, Vec<&'a Pod>)> {
    match host {
        Host::Service(service) => {
            let port = tried::port_meant(tried, host)?;
            if !services::is_headless(service) {
                services::port_of(service, port)?;
            }
            let namespace = service.metadata.namespace.clone().unwrap_or_default();
            Some((namespace, services::pods(view, service)?))
        }
        Host::Pod(receiver) => Some((receiver.namespace.clone(), vec![receiver])),
        _ => None,
    }
}

/// A connection that policies do not admit.
struct Blocked<'a> {
    /// What it is to: a Service, a pod, or a name or address outside.
    receiver: Receiver,
    port: u16,
    protocol: &'static str,
    ruling: Ruling<'a>,
    confidence: Confidence,
    evidence: Option<Evidence>,
    /// The peer to admit.
    peer: Value,
}

enum Receiver {
    Object(Reference),
    Outside(String),
}

fn first_blocked<'a>(
    direction: Direction,
    pod: &Pod,
    failing: &Failing<'a, '_>,
    view: &View<'a>,
) -> Option<Blocked<'a>> {
    let main = failing.main().map(|(_, said)| said.meaning);
    if main.is_some_and(|meaning| !meaning.is_of_connection()) {
        return None; // Its own words give another reason.
    }
    if matches!(main, Some(Meaning::Refused | Meaning::NoSuchName)) {
        return None; // The connection, or the name service, was reached.
    }
    let is_of_name = main.is_some_and(Meaning::is_of_name);
    if is_of_name {
        return names_blocked(direction, pod, failing, view);
    }
    let in_words = tried::in_words(failing);
    // What answers, if only by refusing, is not blocked.
    let answered: Vec<Host<'_>> = in_words
        .iter()
        .filter(|tried| tried.meaning == Some(Meaning::Refused))
        .map(|tried| services::host(view, pod, &tried.host))
        .collect();
    let mut named_any = false;
    for tried in &in_words {
        let host = services::host(view, pod, &tried.host);
        if matches!(host, Host::Itself) || answered.iter().any(|other| tried::is_same(other, &host))
        {
            continue;
        }
        named_any |= matches!(host, Host::Service(_) | Host::Pod(_)) || tried.is_sure;
        if let Some(blocked) = blocked(direction, pod, tried, host, view) {
            return Some(blocked);
        }
    }
    if named_any {
        // What it connects to by name may be admitted, and the name service not.
        let is_resolved = in_words.iter().any(|tried| {
            tried.named == Named::Failure && tried.host.parse::<std::net::IpAddr>().is_ok()
        });
        let is_silent =
            matches!(main, None | Some(Meaning::TimedOut | Meaning::NotConnected)) && !is_resolved;
        return is_silent
            .then(|| names_blocked(direction, pod, failing, view))
            .flatten();
    }
    // Nothing in its words names an address: what it was given must do, if what it ends with can
    // come of a connection at all.
    let by_itself = |code: i32| matches!(code, 1..=124 | 255);
    if !failing.ended.is_none_or(|ended| by_itself(ended.exit_code)) || !failing.is_lasting(pod) {
        return None;
    }
    if failing.is_heard && main.is_none() {
        return None; // It said something, and nothing of connections.
    }
    let given = tried::in_configuration(pod, &failing.container, view);
    first_blocked_of(direction, pod, given, view)
}

/// The first of the addresses that a container was given which policies do not admit.
fn first_blocked_of<'a>(
    direction: Direction,
    pod: &Pod,
    given: Vec<Given>,
    view: &View<'a>,
) -> Option<Blocked<'a>> {
    given.into_iter().find_map(|given| {
        let field = given.culprit.field.clone().unwrap_or_default();
        let evidence = Evidence {
            object: given.culprit.object,
            field,
            quote: match given.endpoint.port {
                Some(port) => format!("{}:{port}", given.endpoint.host),
                None => given.endpoint.host.clone(),
            },
            at: None,
        };
        let tried = Tried {
            host: given.endpoint.host,
            port: given.endpoint.port,
            named: Named::Configuration,
            meaning: None,
            evidence: Some(evidence),
            is_sure: false,
        };
        let host = services::host(view, pod, &tried.host);
        blocked(direction, pod, &tried, host, view)
    })
}

/// The connection, if policies at this end admit no way to any of what answers there.
fn blocked<'a>(
    direction: Direction,
    pod: &Pod,
    tried: &Tried,
    host: Host<'a>,
    view: &View<'a>,
) -> Option<Blocked<'a>> {
    let port = tried::port_meant(tried, &host)?;
    let (receiver, ends, peer, protocol): (_, Vec<(End<'a>, u16, bool)>, _, _) = match host {
        Host::Service(service) => {
            let declared = services::port_of(service, port);
            let (ends, protocol) = match declared {
                Some(declared) => {
                    let backends = services::backends(view, service, declared);
                    let ends = backends
                        .into_iter()
                        .map(|one| (one.end, one.port, one.is_ready));
                    (ends.collect(), protocol_of(declared.protocol.as_deref()))
                }
                // The pods themselves are connected to, on any port.
                None if services::is_headless(service) => {
                    let pods = services::pods(view, service).unwrap_or_default();
                    let end = |pod: &'a Pod| (End::of(pod), port, pod.is_ready());
                    (pods.into_iter().map(end).collect(), "TCP")
                }
                // Nothing answers there, whatever policies say.
                None => return None,
            };
            let peer = peer_of_service(service, pod);
            (
                Receiver::Object(services::reference(service)),
                ends,
                peer,
                protocol,
            )
        }
        Host::Pod(receiver) => {
            let reference = view.workload(receiver).reference;
            let peer = peer_of_labels(&json!(&*receiver.labels), &receiver.namespace, pod);
            let ends = vec![(End::of(receiver), port, receiver.is_ready())];
            (Receiver::Object(reference), ends, peer, "TCP")
        }
        Host::Address(address) if tried.is_sure && tried.named == Named::Failure => {
            let width = if address.is_ipv4() { 32 } else { 128 };
            let peer = json!({ "ipBlock": { "cidr": format!("{address}/{width}") } });
            (
                Receiver::Outside(tried.host.clone()),
                vec![(End::at(address), port, true)],
                peer,
                "TCP",
            )
        }
        Host::Outside if tried.is_sure && tried.named == Named::Failure => {
            let peer = json!({ "ipBlock": { "cidr": "0.0.0.0/0" } });
            (
                Receiver::Outside(tried.host.clone()),
                vec![(End::outside(), port, true)],
                peer,
                "TCP",
            )
        }
        _ => return None,
    };
    let ruling = all_denied(direction, pod, &ends, protocol, view)?;
    let any_ready = ends.iter().any(|(_, _, is_ready)| *is_ready);
    let confidence = match tried.named {
        Named::Failure | Named::Words if any_ready => Confidence::Certain,
        _ => Confidence::Likely,
    };
    let (_, port, _) = *ends.first()?;
    Some(Blocked {
        receiver,
        port,
        protocol,
        ruling,
        confidence,
        evidence: tried.evidence.clone(),
        peer,
    })
}

/// The way to the name service, if policies do not admit it.
fn names_blocked<'a>(
    direction: Direction,
    pod: &Pod,
    failing: &Failing<'a, '_>,
    view: &View<'a>,
) -> Option<Blocked<'a>> {
    let is_default = pod
        .spec
        .dns_policy
        .as_deref()
        .is_none_or(|policy| matches!(policy, "ClusterFirst" | "ClusterFirstWithHostNet"));
    let service = services::name_service(view).filter(|_| is_default);
    let ends: Vec<(End<'a>, u16, bool)> = match service {
        Some(service) => {
            let pods = services::pods(view, service).unwrap_or_default();
            let target = |pod: &'a Pod| {
                let mut ports = service
                    .spec
                    .iter()
                    .flat_map(|spec| spec.ports.iter().flatten());
                let port = ports.find(|port| port.protocol.as_deref() == Some("UDP"))?;
                Some((
                    End::of(pod),
                    services::target_port(pod, port)?,
                    pod.is_ready(),
                ))
            };
            pods.into_iter().filter_map(target).collect()
        }
        None => Vec::new(),
    };
    if direction == Direction::Ingress && ends.is_empty() {
        return None;
    }
    // Where it is not known, any way to its port counts.
    let somewhere = vec![(End::default(), DNS, true)];
    let ends = if ends.is_empty() { somewhere } else { ends };
    let ruling = all_denied(direction, pod, &ends, "UDP", view)?;
    let line = failing
        .main_if(Meaning::is_of_name)
        .or_else(|| failing.main())
        .or_else(|| failing.said().next());
    let says_so = failing.main_if(Meaning::is_of_name).is_some();
    Some(Blocked {
        receiver: match service {
            Some(service) => Receiver::Object(services::reference(service)),
            None => Receiver::Outside("the name service".to_owned()),
        },
        port: DNS,
        protocol: "UDP",
        ruling,
        confidence: if says_so {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        evidence: line.and_then(|(line, _)| failing.quote(line)),
        peer: json!({ "namespaceSelector": {} }),
    })
}

/// The ruling, if all ends are known to be denied.
fn all_denied<'a>(
    direction: Direction,
    pod: &Pod,
    ends: &[(End<'a>, u16, bool)],
    protocol: &str,
    view: &View<'a>,
) -> Option<Ruling<'a>> {
    let mut first = None;
    for (end, port, _) in ends {
        let connection = Connection {
            sender: End::of(pod),
            receiver: *end,
            port: *port,
            protocol,
        };
        let ruled = match (direction, end.pod) {
            (Direction::Egress, _) => ruling(view, pod, direction, &connection),
            (Direction::Ingress, Some(receiver)) => ruling(view, receiver, direction, &connection),
            (Direction::Ingress, None) => return None,
        };
        if ruled.admits != Some(false) {
            return None;
        }
        first.get_or_insert(ruled);
    }
    first
}

fn protocol_of(protocol: Option<&str>) -> &'static str {
    match protocol {
        Some("UDP") => "UDP",
        Some("SCTP") => "SCTP",
        _ => "TCP",
    }
}

fn peer_of_service(service: &Service, sender: &Pod) -> Value {
    let selector = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    peer_of_labels(&json!(selector), namespace, sender)
}

fn peer_of_labels(labels: &Value, namespace: &str, other: &Pod) -> Value {
    let mut peer = json!({ "podSelector": { "matchLabels": labels } });
    if namespace != other.namespace {
        peer["namespaceSelector"] =
            json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    }
    peer
}

fn finding(
    direction: Direction,
    pod: &Pod,
    failing: &Failing<'_, '_>,
    view: &View<'_>,
    blocked: &Blocked<'_>,
) -> Finding {
    let workload = view.workload(pod);
    let policies = &blocked.ruling.policies;
    let culprit = blocked.ruling.culprit(direction);
    let object = culprit.map_or_else(|| workload.reference.clone(), Policy::reference);
    let (class, field) = match direction {
        Direction::Egress => (Class::NetworkPolicyBlocksEgress, "spec.egress"),
        Direction::Ingress => (Class::NetworkPolicyBlocksIngress, "spec.ingress"),
    };
    let (receiver, receiver_detail) = match &blocked.receiver {
        Receiver::Object(object) => (object.to_string(), json!(object)),
        Receiver::Outside(name) => (name.clone(), json!(name)),
    };
    let (port, protocol) = (blocked.port, blocked.protocol);
    let summary = match direction {
        Direction::Egress => format!(
            "{object} lets {} send nothing to {protocol} port {port} of {receiver}, which container {} needs",
            workload.reference,
            failing.container.name(),
        ),
        Direction::Ingress => format!(
            "{object} lets {receiver} receive nothing from {} on {protocol} port {port}, which container {} needs",
            workload.reference,
            failing.container.name(),
        ),
    };
    let rule = match direction {
        Direction::Egress => {
            json!({ "to": [blocked.peer], "ports": [{ "protocol": protocol, "port": port }] })
        }
        Direction::Ingress => {
            let sender = &blocked
                .ruling
                .policies
                .first()
                .map(|policy| policy.reference());
            let namespace = sender.as_ref().and_then(|policy| policy.namespace.clone());
            let mut peer = json!({ "podSelector": { "matchLabels": stable_labels(pod) } });
            if namespace.as_deref() != Some(&pod.namespace) {
                peer["namespaceSelector"] =
                    json!({ "matchLabels": { "kubernetes.io/metadata.name": pod.namespace } });
            }
            json!({ "from": [peer], "ports": [{ "protocol": protocol, "port": port }] })
        }
    };
    let quote = culprit.map(|policy| policy.evidence(direction));
    let command = match culprit {
        Some(Policy::Kubernetes(_)) => {
            let list = field.trim_start_matches("spec.");
            let has_rules = culprit.is_some_and(|policy| policy.has_rules(direction));
            let (path, value) = if has_rules {
                (format!("/spec/{list}/-"), rule)
            } else {
                (format!("/spec/{list}"), json!([rule]))
            };
            let patch = json!([{ "op": "add", "path": path, "value": value }]);
            format!(
                "kubectl patch {} --type=json -p='{patch}'",
                object.kubectl()
            )
        }
        // Calico's has a name that Kubernetes' own has too.
        _ => {
            let edit = format!("kubectl edit {}", object.kubectl());
            let group = match object.name.starts_with("default.") {
                true => "crd.projectcalico.org",
                false => "projectcalico.org",
            };
            edit.replace(" networkpolicy/", &format!(" networkpolicies.{group}/"))
        }
    };
    let references: Vec<Reference> = policies.iter().map(|policy| policy.reference()).collect();
    let mut finding = Finding::new(
        class,
        workload.reference.clone(),
        object.clone().field(field),
        failing.since,
        summary,
    )
    .container(failing.container.name())
    .confidence(blocked.confidence)
    .detail("receiver", receiver_detail)
    .detail("port", port)
    .detail("protocol", protocol)
    .detail("policies", json!(references))
    .evidence(blocked.evidence.clone())
    .evidence([failing.symptom.clone()])
    .evidence(quote)
    .remedy(format!("Admit {protocol} port {port} in {object}"), command);
    if direction == Direction::Ingress {
        finding = finding.detail_object("sender", &workload.reference);
    }
    finding
}

/// The labels that a workload's pods share.
fn stable_labels(pod: &Pod) -> Value {
    const OWN: &[&str] = &[
        "pod-template-hash",
        "controller-revision-hash",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "pod-template-generation",
    ];
    json!(
        pod.labels
            .iter()
            .filter(|(key, _)| !OWN.contains(&key.as_str()) && !key.contains("job-name"))
            .collect::<std::collections::BTreeMap<_, _>>()
    )
}
