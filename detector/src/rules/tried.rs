//! What a failing container tries to connect to, by its own words and by what it was given.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ConfigMap, Service};

use crate::facts::{Container, Pod};
use crate::kubernetes::references::{Source, config_references};
use crate::kubernetes::services::{self, Host};
use crate::rules::failing::Failing;
use crate::rules::given;
use crate::signatures::{self, Endpoint, Meaning, default_port, endpoints};
use crate::verdict::{Culprit, Evidence, Reference};
use crate::view::View;

/// The most text of one ConfigMap that is searched for addresses, in bytes.
const MOST_TEXT: usize = 64 * 1024;

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// The line that says that the connection failed.
    Failure,
    /// Another of the last lines.
    Words,
    /// The container's specification, or a ConfigMap that it reads.
    Configuration,
}

/// An address that a container connects to.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// The host, as it is named.
    pub host: String,
    /// The port; none where nothing tells.
    pub port: Option<u16>,
    /// Where it was found.
    pub named: Named,
    /// What is said of it, where a line says so.
    pub meaning: Option<Meaning>,
    /// The line or field.
    pub evidence: Option<Evidence>,
    /// Whether it must be an address, and does not only look like one.
    pub is_sure: bool,
}

/// The addresses of its last words, those of failures first, the latest first.
pub(super) fn in_words(failing: &Failing<'_, '_>) -> Vec<Tried> {
    let mut tried: Vec<Tried> = Vec::new();
    let lines: Vec<(_, Vec<Endpoint>)> = failing
        .lines()
        .iter()
        .rev()
        .map(|line| (line, endpoints(&line.text)))
        .collect();
    for (line, said) in failing
        .said()
        .filter(|(_, said)| said.meaning.is_of_connection())
    {
        let named: Vec<Endpoint> = match said.field("host") {
            Some(host) if said.meaning.is_of_name() => {
                beside(as_given(host), said.number("port"), &line.text)
            }
            Some(host) => beside(host, said.number("port"), &line.text),
            None => endpoints(&line.text),
        };
        for endpoint in named {
            // Another line may name the port: that of a URL with the same host.
            let elsewhere = || {
                let all = lines.iter().flat_map(|(_, endpoints)| endpoints);
                let mut same = all.filter(|other| other.host == endpoint.host);
                same.find_map(|other| other.port)
            };
            tried.push(Tried {
                port: endpoint.port.or_else(elsewhere),
                host: endpoint.host,
                named: Named::Failure,
                meaning: Some(said.meaning),
                evidence: failing.quote(line),
                is_sure: endpoint.is_url,
            });
        }
    }
    for (line, endpoints) in lines {
        for endpoint in endpoints {
            let known = tried.iter().any(|other| {
                other.host == endpoint.host
                    && (other.port == endpoint.port || endpoint.port.is_none())
            });
            if !known {
                tried.push(Tried {
                    host: endpoint.host,
                    port: endpoint.port,
                    named: Named::Words,
                    meaning: None,
                    evidence: failing.quote(line),
                    is_sure: false,
                });
            }
        }
    }
    tried
}

/// The name that was looked for below one of the domains that every pod searches, as no object has
/// a name of these forms: `db.svc.cluster.local`, `db.cluster.local`.
fn as_given(host: &str) -> &str {
    match host.split_once('.') {
        Some((name, domain)) if domain.starts_with("svc.") || domain == "cluster.local" => name,
        _ => host,
    }
}

/// What a line says of a failed connection to this host. Where that is an address, the name that it
/// was resolved from may stand in the same line, which tells more: it comes first.
fn beside(host: &str, port: Option<u16>, line: &str) -> Vec<Endpoint> {
    let said = Endpoint {
        host: host.to_owned(),
        port,
        is_url: true,
    };
    let is_address = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if !is_address(host) {
        return vec![said];
    }
    let names = endpoints(line).into_iter().filter(|other| {
        other.is_url && !is_address(&other.host) && (other.port.is_none() || other.port == port)
    });
    let names = names.map(|other| Endpoint { port, ..other });
    names.chain([said]).collect()
}

/// An address in what a container was given, and the field that gives it.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The address.
    pub endpoint: Endpoint,
    /// The object and field to change.
    pub culprit: Culprit,
}

impl Given {
    /// The address as one that is connected to, by a container whose words mean this.
    pub(super) fn tried(&self, meaning: Option<Meaning>) -> Tried {
        Tried {
            host: self.endpoint.host.clone(),
            port: self.endpoint.port,
            named: Named::Configuration,
            meaning,
            evidence: None,
            is_sure: false,
        }
    }
}

/// The addresses that a container was given: by variables, command, arguments, and ConfigMaps.
pub(super) fn in_configuration(
    pod: &Pod,
    container: &Container<'_>,
    view: &View<'_>,
) -> Vec<Given> {
    let workload = view.workload(pod);
    let path = container.path();
    let mut given = Vec::new();
    let mut add = |text: &str, named: fn(&str) -> Vec<Endpoint>, culprit: &dyn Fn() -> Culprit| {
        let text = text.get(..MOST_TEXT).unwrap_or(text);
        let found = named(text).into_iter();
        given.extend(found.map(|endpoint| Given {
            endpoint,
            culprit: culprit(),
        }));
    };
    let variables = variables(pod, container, view);
    for (_, value, culprit) in &variables {
        add(value, endpoints, &|| culprit.clone());
    }
    for (list, texts) in [
        ("command", &container.spec.command),
        ("args", &container.spec.args),
    ] {
        for (index, text) in texts.iter().flatten().enumerate() {
            add(text, signatures::in_command, &|| {
                workload.culprit(&format!("{path}.{list}[{index}]"))
            });
        }
    }
    let mounted = |volume: &str| {
        container
            .spec
            .volume_mounts
            .iter()
            .flatten()
            .any(|mount| mount.name == volume)
    };
    for reference in config_references(pod) {
        let is_mounted = reference.volume.as_deref().is_some_and(mounted);
        if reference.source != Source::ConfigMap
            || !is_mounted
            || reference.name == "kube-root-ca.crt"
        {
            continue;
        }
        let map = view
            .get::<ConfigMap>(&pod.namespace, &reference.name)
            .found();
        for (key, value) in map.and_then(|map| map.data.as_ref()).into_iter().flatten() {
            let object = Reference::namespaced("ConfigMap", &pod.namespace, &reference.name);
            add(value, endpoints, &|| {
                object.clone().field(format!("data[{key:?}]"))
            });
        }
    }
    given.extend(pairs(&variables));
    given
}

/// The addresses that a container's own command names, its variables put in: what a script waits
/// for.
pub(super) fn in_command(pod: &Pod, container: &Container<'_>, view: &View<'_>) -> Vec<Given> {
    let texts = [&container.spec.command, &container.spec.args];
    let texts: Vec<&str> = texts
        .into_iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .collect();
    let variables = variables(pod, container, view);
    let command = expanded(&texts.join(" "), &variables);
    let workload = view.workload(pod);
    let named = signatures::in_command(&command)
        .into_iter()
        .map(|endpoint| {
            let variable =
                |(_, value, _): &&(String, String, Culprit)| value.contains(&endpoint.host);
            let holder = variables
                .iter()
                .find(variable)
                .map(|(.., culprit)| culprit.clone());
            Given {
                culprit: holder
                    .or_else(|| given::mention(container, &workload, &endpoint.host))
                    .unwrap_or_else(|| workload.culprit(&container.path())),
                endpoint,
            }
        });
    named.collect()
}

/// A command with its variables put in, as the kubelet does it for `$(NAME)` and a shell for
/// `$NAME` and `${NAME}`. What is not known stays.
fn expanded(command: &str, variables: &[(String, String, Culprit)]) -> String {
    let mut expanded = String::with_capacity(command.len());
    let mut rest = command;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (close, from) = match after.as_bytes().first() {
            Some(b'(') => (Some(')'), 1),
            Some(b'{') => (Some('}'), 1),
            _ => (None, 0),
        };
        let name = after.get(from..).unwrap_or_default();
        let length = name
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(name.len());
        let (name, tail) = name.split_at(length);
        let tail = match close {
            Some(close) => tail.strip_prefix(close),
            None => Some(tail),
        };
        let value = variables.iter().find(|(known, ..)| known == name);
        match (value, tail) {
            (Some((_, value, _)), Some(tail)) => {
                expanded.push_str(value);
                rest = tail;
            }
            _ => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The field of a variable whose value is exactly this host.
pub(super) fn holder_of(
    pod: &Pod,
    container: &Container<'_>,
    host: &str,
    view: &View<'_>,
) -> Option<Culprit> {
    let variables = variables(pod, container, view);
    let mut same = variables
        .into_iter()
        .filter(|(_, value, _)| value.eq_ignore_ascii_case(host));
    same.next().map(|(_, _, culprit)| culprit)
}

/// Whether a variable holds this host: one whose value is exactly that, or is not known and by its
/// name an address.
pub(super) fn may_hold(pod: &Pod, container: &Container<'_>, host: &str, view: &View<'_>) -> bool {
    const ADDRESSES: &[&str] = &[
        "URL",
        "URI",
        "DSN",
        "HOST",
        "ADDR",
        "ENDPOINT",
        "SERVER",
        "CONNECTION",
        "DATABASE",
    ];
    let names_an_address = |name: &str| {
        let upper = name.to_uppercase();
        ADDRESSES.iter().any(|part| upper.contains(part))
    };
    given::variables(pod, container, view)
        .iter()
        .any(|variable| match &variable.value {
            Some(value) => value.eq_ignore_ascii_case(host),
            None => names_an_address(&variable.name),
        })
}

/// The variables that a container was given in plain text, by name and value, with the fields that
/// give them.
fn variables(
    pod: &Pod,
    container: &Container<'_>,
    view: &View<'_>,
) -> Vec<(String, String, Culprit)> {
    let all = given::variables(pod, container, view).into_iter();
    all.filter_map(|variable| Some((variable.name, variable.value?, variable.culprit)))
        .collect()
}

/// Hosts and ports that stand in two variables: `DB_HOST` and `DB_PORT`.
fn pairs(variables: &[(String, String, Culprit)]) -> Vec<Given> {
    const HOSTS: &[&str] = &[
        "_HOST",
        "_HOSTNAME",
        "_SERVER",
        "_ADDR",
        "_ADDRESS",
        "_SERVICE",
    ];
    let is_host = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
            && text
                .bytes()
                .any(|byte| byte.is_ascii_alphabetic() || byte == b'.')
    };
    let named = variables.iter().filter_map(|(name, value, culprit)| {
        let upper = name.to_uppercase();
        let stem = match HOSTS.iter().find_map(|end| upper.strip_suffix(end)) {
            Some(stem) => stem.to_owned(),
            // libpq's own.
            None if upper == "PGHOST" => "PG".to_owned(),
            None => return None,
        };
        if !is_host(value) {
            return None;
        }
        let port = variables.iter().find_map(|(name, value, _)| {
            let upper = name.to_uppercase();
            let same = upper == format!("{stem}_PORT") || stem == "PG" && upper == "PGPORT";
            same.then(|| value.parse().ok())?
        });
        let scheme = stem.to_lowercase();
        let implied = [
            "postgres", "mysql", "redis", "mongodb", "amqp", "kafka", "nats",
        ]
        .into_iter()
        .find(|known| scheme.contains(known));
        let implied = implied.or((stem == "PG").then_some("postgres"));
        Some(Given {
            endpoint: Endpoint {
                host: value.clone(),
                port: port.or(implied.and_then(default_port)),
                is_url: true,
            },
            culprit: culprit.clone(),
        })
    });
    named.collect()
}

/// The port that is meant where none is named: a Service's only one.
pub(super) fn port_meant(tried: &Tried, host: &Host<'_>) -> Option<u16> {
    tried.port.or_else(|| match host {
        Host::Service(service) => only_port(service),
        _ => None,
    })
}

fn only_port(service: &Service) -> Option<u16> {
    let ports = service.spec.as_ref()?.ports.as_deref()?;
    match ports {
        [port] => u16::try_from(port.port).ok(),
        _ => None,
    }
}

/// Whether two names lead to the same: the same Service, pod or address.
pub(super) fn is_same(a: &Host<'_>, b: &Host<'_>) -> bool {
    match (a, b) {
        (Host::Service(a), Host::Service(b)) => services::reference(a) == services::reference(b),
        (Host::Pod(a), Host::Pod(b)) => a.reference() == b.reference(),
        (Host::Address(a), Host::Address(b)) => a == b,
        _ => false,
    }
}
