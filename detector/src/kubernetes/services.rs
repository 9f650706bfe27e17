//! Where the addresses lead that programs are given: to a Service and the pods behind it, to a
//! pod, or out of the cluster.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::{EndpointSlice, Pod};
use crate::kubernetes::connection::{End, addresses_of};
use crate::verdict::Reference;
use crate::view::{Lookup, View};

/// What a host name or address leads to, seen from a pod.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A Service of the cluster.
    Service(&'a Service),
    /// One pod: by its own address, or by its name below a headless Service.
    Pod(&'a Pod),
    /// An address that is no Service's and no known pod's.
    Address(IpAddr),
    /// A name that is no Service's: of the world outside, as far as can be told.
    Outside,
    /// A name that only a Service can have, and there is none.
    NoService,
    /// The pod itself.
    Itself,
    /// It cannot be told.
    Unknown,
}

/// Something that answers for a Service: a pod, or an address that was put in by hand.
#[derive(Clone, Copy, Debug)]
pub struct Backend<'a> {
    /// The end of connections to it.
    pub end: End<'a>,
    /// The port that the Service's port is translated to.
    pub port: u16,
    /// Whether connections are sent there now.
    pub is_ready: bool,
}

/// Tells what a host leads to, seen from a pod.
pub fn host<'a>(view: &View<'a>, pod: &Pod, host: &str) -> Host<'a> {
    let host = host
        .trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        if address.is_loopback() || address.is_unspecified() || addresses_of(pod).contains(&address)
        {
            return Host::Itself;
        }
        return by_address(view, pod, address);
    }
    let alias = pod.spec.host_aliases.iter().flatten().find(|alias| {
        alias
            .hostnames
            .iter()
            .flatten()
            .any(|name| name.eq_ignore_ascii_case(&host))
    });
    if let Some(alias) = alias {
        return alias
            .ip
            .parse()
            .map_or(Host::Unknown, |address| by_address(view, pod, address));
    }
    if host == "localhost" || host == pod.name {
        return Host::Itself;
    }
    let found = by_name(view, pod, &host);
    // A name that stands for another of the cluster leads to where that does.
    match found {
        Host::Service(service) => match stands_for(view, pod, service) {
            Some(other @ (Host::Service(_) | Host::Pod(_))) => other,
            _ => found,
        },
        _ => found,
    }
}

/// What the name leads to that a Service of type ExternalName stands for.
pub fn stands_for<'a>(view: &View<'a>, pod: &Pod, service: &Service) -> Option<Host<'a>> {
    let name = external_name(service)?.trim_end_matches('.').to_lowercase();
    Some(by_name(view, pod, &name))
}

fn by_name<'a>(view: &View<'a>, pod: &Pod, host: &str) -> Host<'a> {
    let parts: Vec<&str> = host.split('.').collect();
    let (names, in_cluster) = match parts.iter().position(|part| *part == "svc") {
        Some(at) if at >= 2 => (parts.get(..at).unwrap_or_default(), true),
        _ => (parts.as_slice(), false),
    };
    match *names {
        [name] => match view.get::<Service>(&pod.namespace, name) {
            Lookup::Found(service) => Host::Service(service),
            Lookup::Absent => Host::NoService,
            Lookup::Unknown => Host::Unknown,
        },
        [name, namespace] => match view.get::<Service>(namespace, name) {
            Lookup::Found(service) => Host::Service(service),
            other => {
                // A pod below a headless Service of the same namespace, which may not be there yet.
                if let Some(found) = below(view, &pod.namespace, name, namespace) {
                    return Host::Pod(found);
                }
                if let Some(service) = above(view, &pod.namespace, name, namespace) {
                    return Host::Service(service);
                }
                match other {
                    Lookup::Absent if in_cluster => Host::NoService,
                    Lookup::Unknown if in_cluster => Host::Unknown,
                    // `example.com` has the same form; and a network outside may have names of its
                    // own that end like a namespace.
                    _ => Host::Outside,
                }
            }
        },
        [name, service, namespace] => match below(view, namespace, name, service) {
            Some(found) => Host::Pod(found),
            // The pod may not be there yet.
            None if in_cluster => match view.get::<Service>(namespace, service) {
                Lookup::Found(service) => Host::Service(service),
                Lookup::Absent => Host::NoService,
                Lookup::Unknown => Host::Unknown,
            },
            None => above(view, namespace, name, service).map_or(Host::Outside, Host::Service),
        },
        _ => Host::Outside,
    }
}

/// The pod of this name that a headless Service names.
fn below<'a>(view: &View<'a>, namespace: &str, pod: &str, service: &str) -> Option<&'a Pod> {
    view.get::<Service>(namespace, service).found()?;
    let found = view.get::<Pod>(namespace, pod).found()?;
    (found.spec.subdomain.as_deref() == Some(service)).then_some(found)
}

/// The headless Service below which a pod of a set would have this name: `db-0`.
fn above<'a>(view: &View<'a>, namespace: &str, pod: &str, service: &str) -> Option<&'a Service> {
    let (_, ordinal) = pod.rsplit_once('-')?;
    let is_of_set = ordinal.parse::<u32>().is_ok();
    let service = view.get::<Service>(namespace, service).found()?;
    (is_of_set && is_headless(service)).then_some(service)
}

fn by_address<'a>(view: &View<'a>, pod: &Pod, address: IpAddr) -> Host<'a> {
    if let Some(service) = view.services_at(address).next() {
        return Host::Service(service);
    }
    let is_own = |other: &&Pod| other.namespace == pod.namespace;
    let alive = || view.pods_at(address).filter(|other| !other.is_finished());
    // Pods on the host's network share their address: those of the same namespace are meant.
    let on_host = || {
        let mut pods = view.in_namespace::<Pod>(&pod.namespace);
        pods.find(|other| !other.is_finished() && addresses_of(other).contains(&address))
    };
    let found = alive()
        .find(is_own)
        .or_else(|| alive().next())
        .or_else(on_host);
    found.map_or(Host::Address(address), Host::Pod)
}

/// The cluster's name service, by the names that distributions give it.
pub fn name_service<'a>(view: &View<'a>) -> Option<&'a Service> {
    [
        ("kube-system", "kube-dns"),
        ("kube-system", "coredns"),
        ("kube-system", "rke2-coredns-rke2-coredns"),
        ("openshift-dns", "dns-default"),
    ]
    .into_iter()
    .find_map(|(namespace, name)| view.get::<Service>(namespace, name).found())
}

/// The port of a Service that a program connects to.
pub fn port_of(service: &Service, port: u16) -> Option<&ServicePort> {
    let mut ports = service.spec.as_ref()?.ports.iter().flatten();
    ports.find(|declared| declared.port == i32::from(port))
}

/// Whether the Service has no address of its own: programs connect to its pods themselves.
pub fn is_headless(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// The Service below which a pod has its name.
pub fn governing<'a>(view: &View<'a>, pod: &Pod) -> Option<&'a Service> {
    let name = pod.spec.subdomain.as_deref()?;
    view.get::<Service>(&pod.namespace, name).found()
}

/// Whether the name of a headless Service, or of a pod below it, leads to this pod.
pub fn is_published(service: &Service, pod: &Pod) -> bool {
    let spec = service.spec.as_ref();
    let with_unready = spec.and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    pod.is_ready() && pod.deleting.is_none() || with_unready
}

/// The name outside that the Service stands for, where it is of type ExternalName.
pub fn external_name(service: &Service) -> Option<&str> {
    let spec = service.spec.as_ref()?;
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    spec.external_name.as_deref().filter(|_| is_external)
}

/// Refers to a Service.
pub fn reference(service: &Service) -> Reference {
    let metadata = &service.metadata;
    Reference::namespaced(
        "Service",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// The pods that a Service's selector picks, but those that have ended; none where it has no
/// selector.
pub fn pods<'a>(view: &View<'a>, service: &Service) -> Option<Vec<&'a Pod>> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    if selector.is_empty() {
        return None;
    }
    let picked = view.pods_with(namespace, selector).into_iter();
    Some(picked.filter(|pod| !pod.is_finished()).collect())
}

/// The port of a pod that a Service's port is translated to; none where it names one that the pod
/// lacks.
///
/// Source: `FindPort` in `pkg/api/v1/pod/util.go`.
pub fn target_port(pod: &Pod, port: &ServicePort) -> Option<u16> {
    match &port.target_port {
        None => u16::try_from(port.port).ok(),
        Some(IntOrString::Int(0)) => u16::try_from(port.port).ok(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => match name.parse() {
            Ok(number) => Some(number),
            Err(_) => named_port(pod, name, port.protocol.as_deref().unwrap_or("TCP")),
        },
    }
}

/// The number of a pod's port of this name and protocol.
pub fn named_port(pod: &Pod, name: &str, protocol: &str) -> Option<u16> {
    let is_it = |port: &&k8s_openapi::api::core::v1::ContainerPort| {
        port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol
    };
    u16::try_from(pod.ports().find(is_it)?.container_port).ok()
}

/// What answers for a Service on a port: the pods that it selects, or else what its slices list.
pub fn backends<'a>(view: &View<'a>, service: &Service, port: &ServicePort) -> Vec<Backend<'a>> {
    if let Some(pods) = pods(view, service) {
        return pods
            .into_iter()
            .filter_map(|pod| {
                Some(Backend {
                    end: End::of(pod),
                    port: target_port(pod, port)?,
                    is_ready: pod.is_ready() && pod.deleting.is_none(),
                })
            })
            .collect();
    }
    let mut backends = Vec::new();
    for slice in slices(view, service) {
        let name = port.name.as_deref().unwrap_or_default();
        let named = slice.ports.iter().find(|(listed, _)| **listed == *name);
        let Some(number) = named.and_then(|(_, number)| u16::try_from((*number)?).ok()) else {
            continue;
        };
        backends.extend(slice.endpoints.iter().map(|(address, is_ready)| Backend {
            end: End::at(*address),
            port: number,
            is_ready: *is_ready,
        }));
    }
    backends
}

/// The slices that list a Service's endpoints.
pub fn slices<'a>(view: &View<'a>, service: &Service) -> Vec<&'a EndpointSlice> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let name = service.metadata.name.as_deref().unwrap_or_default();
    view.in_namespace::<EndpointSlice>(namespace)
        .filter(|slice| slice.service.as_deref() == Some(name))
        .collect()
}
