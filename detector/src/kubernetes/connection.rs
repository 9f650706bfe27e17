//! Connections, and what every kind of policy asks of them: their ends, ports and addresses.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Namespace;

use crate::facts::Pod;
use crate::kubernetes::selector::Labels;
use crate::view::View;

/// The direction of a connection, seen from the pod that policies select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The pod receives.
    Ingress,
    /// The pod sends.
    Egress,
}

impl Direction {
    /// The name as `policyTypes` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "Ingress",
            Direction::Egress => "Egress",
        }
    }
}

/// One end of a connection; where neither is known, it may be anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct End<'a> {
    /// The pod, where it is one.
    pub pod: Option<&'a Pod>,
    /// The address, where it is not a pod's.
    pub address: Option<IpAddr>,
    /// Whether it is known to lie outside the cluster.
    pub is_outside: bool,
}

impl<'a> End<'a> {
    /// A pod's end.
    pub fn of(pod: &'a Pod) -> Self {
        Self {
            pod: Some(pod),
            ..Self::default()
        }
    }

    /// An end that is no pod.
    pub fn at(address: IpAddr) -> Self {
        Self {
            address: Some(address),
            ..Self::default()
        }
    }

    /// An end outside the cluster, at an address that is not known.
    pub fn outside() -> Self {
        Self {
            is_outside: true,
            ..Self::default()
        }
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let of_pod = self.pod.map(addresses_of).unwrap_or_default();
        self.address.into_iter().chain(of_pod).collect()
    }
}

/// The addresses of a pod.
pub fn addresses_of(pod: &Pod) -> Vec<IpAddr> {
    pod.status.addresses.to_vec()
}

/// A connection that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Where it comes from.
    pub sender: End<'a>,
    /// Where it goes to.
    pub receiver: End<'a>,
    /// The receiver's port, after the Service's translation.
    pub port: u16,
    /// The protocol, in capitals: `TCP`.
    pub protocol: &'a str,
}

/// Whether the receiver is a pod that calls the port by this name.
pub(super) fn has_port_named(connection: &Connection<'_>, name: &str) -> bool {
    let mut ports = connection.receiver.pod.into_iter().flat_map(Pod::ports);
    ports.any(|port| {
        port.name.as_deref() == Some(name)
            && port.container_port == i32::from(connection.port)
            && port.protocol.as_deref().unwrap_or("TCP") == connection.protocol
    })
}

/// Whether something holds of a namespace's labels; none where they are not known.
pub(super) fn namespace_labels(
    view: &View<'_>,
    name: &str,
    holds: impl Fn(&Labels) -> bool,
) -> Option<bool> {
    let known = view.get::<Namespace>("", name).found();
    let mut labels = known
        .and_then(|known| known.metadata.labels.clone())
        .unwrap_or_default();
    // Every namespace has this one.
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    let holds_now = holds(&labels);
    // Of one that was not seen only this label is known; an empty selector asks for none.
    (known.is_some() || holds_now).then_some(holds_now)
}

/// A range of addresses.
pub(super) struct Cidr {
    network: u128,
    bits: u32,
    is_v6: bool,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, or a bare address; none where it is neither.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let (network, width) = number(address);
        let bits = length.unwrap_or(width);
        (bits <= width).then_some(Self {
            network,
            bits,
            is_v6: width == 128,
        })
    }

    /// Whether the address lies in it.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (address, width) = number(address);
        let shift = width - self.bits;
        self.is_v6 == (width == 128) && (shift >= 128 || address >> shift == self.network >> shift)
    }
}

fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

/// Whether any holds; none where none is known to and some might.
pub(super) fn any(answers: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut all_known = true;
    for answer in answers {
        match answer {
            Some(true) => return Some(true),
            Some(false) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(false)
}

/// Whether all hold; none where none is known not to and some might not.
pub(super) fn all(answers: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    any(answers.into_iter().map(|answer| answer.map(|holds| !holds))).map(|fails| !fails)
}
