//! NetworkPolicies.
//!
//! Source: the API's documentation of `networking.k8s.io/v1`: a pod that a policy selects for a
//! direction is cut off in it but for what the rules of all policies together allow.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::Value;

use super::{Protocol, namespace_labels, object_of, pod_at};
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::value::{at, int, list, namespace, text};
use crate::world::World;

/// Whether policies allow a pod to connect to an address, as it is after a Service's translation.
pub(super) fn allows(
    world: &World,
    from: &str,
    address: &str,
    port: u16,
    protocol: Protocol,
) -> bool {
    let Some(sender_pod) = world.kubelets.pods.get(from) else {
        return true;
    };
    // What is on its node's network, or beside the cluster, is no policy's.
    let sender = (!sender_pod.host_network)
        .then(|| object_of(world, from))
        .flatten();
    let own = sender_pod.address.as_deref() == Some(address);
    if own {
        return true;
    }
    let receiver = pod_at(world, address);
    let from_address = sender_pod.address.clone().unwrap_or_default();
    if let Some(sender) = &sender {
        let end = End {
            address,
            pod: receiver.as_ref(),
        };
        if !direction(
            world,
            sender,
            "Egress",
            &end,
            receiver.as_ref(),
            port,
            protocol,
        ) {
            return false;
        }
    }
    if let Some(receiver) = &receiver {
        if sender.is_none() {
            // A node reaches its own pods; what comes from elsewhere is looked at.
            let same_node = text(receiver, "/spec/nodeName") == sender_pod.node;
            if same_node {
                return true;
            }
        }
        let end = End {
            address: &from_address,
            pod: sender.as_ref(),
        };
        return direction(
            world,
            receiver,
            "Ingress",
            &end,
            Some(receiver),
            port,
            protocol,
        );
    }
    true
}

/// The other end of a connection.
struct End<'a> {
    address: &'a str,
    pod: Option<&'a Arc<Value>>,
}

fn direction(
    world: &World,
    pod: &Value,
    direction: &str,
    other: &End<'_>,
    receiver: Option<&Arc<Value>>,
    port: u16,
    protocol: Protocol,
) -> bool {
    let mut is_cut_off = false;
    for policy in world.store.list(Kind::NetworkPolicy, Some(namespace(pod))) {
        let selects =
            Labels::of(at(policy, "/spec/podSelector")).is_some_and(|labels| labels.select(pod));
        if !selects || !has_type(policy, direction) {
            continue;
        }
        is_cut_off = true;
        let (rules, peers) = match direction {
            "Egress" => ("/spec/egress", "/to"),
            _ => ("/spec/ingress", "/from"),
        };
        let allowed = list(policy, rules).iter().any(|rule| {
            is_port(list(rule, "/ports"), receiver, port, protocol)
                && is_peer(world, namespace(policy), list(rule, peers), other)
        });
        if allowed {
            return true;
        }
    }
    !is_cut_off
}

fn has_type(policy: &Value, direction: &str) -> bool {
    let types = list(policy, "/spec/policyTypes");
    if types.is_empty() {
        return direction == "Ingress" || !list(policy, "/spec/egress").is_empty();
    }
    types.iter().any(|one| one == direction)
}

fn is_port(ports: &[Value], receiver: Option<&Arc<Value>>, port: u16, protocol: Protocol) -> bool {
    if ports.is_empty() {
        return true;
    }
    let port = i64::from(port);
    ports.iter().any(|allowed| {
        let of = match text(allowed, "/protocol") {
            "" => "TCP",
            of => of,
        };
        if of != protocol.name() {
            return false;
        }
        match at(allowed, "/port") {
            Value::Null => true,
            Value::String(name) => receiver.is_some_and(|pod| {
                list(pod, "/spec/containers")
                    .iter()
                    .flat_map(|container| list(container, "/ports"))
                    .any(|one| {
                        text(one, "/name") == name && int(one, "/containerPort") == Some(port)
                    })
            }),
            first => {
                let Some(first) = first.as_i64() else {
                    return false;
                };
                let last = int(allowed, "/endPort").unwrap_or(first);
                (first..=last).contains(&port)
            }
        }
    })
}

fn is_peer(world: &World, home: &str, peers: &[Value], other: &End<'_>) -> bool {
    if peers.is_empty() {
        return true;
    }
    peers.iter().any(|peer| {
        let block = at(peer, "/ipBlock");
        if block.is_object() {
            let excepted = list(block, "/except")
                .iter()
                .filter_map(Value::as_str)
                .any(|cidr| contains(cidr, other.address));
            return contains(text(block, "/cidr"), other.address) && !excepted;
        }
        let Some(pod) = other.pod else {
            return false;
        };
        let spaces = at(peer, "/namespaceSelector");
        let in_space = match Labels::of(spaces) {
            Some(labels) => labels.matches(&namespace_labels(world, namespace(pod))),
            None => namespace(pod) == home,
        };
        let pods = at(peer, "/podSelector");
        in_space && Labels::of(pods).is_none_or(|labels| labels.select(pod))
    })
}

/// Whether an address is in a block such as `10.0.0.0/8`.
fn contains(cidr: &str, address: &str) -> bool {
    let Some((network, length)) = cidr.split_once('/') else {
        return false;
    };
    let parsed = (
        network.parse::<Ipv4Addr>(),
        length.parse::<u32>(),
        address.parse::<Ipv4Addr>(),
    );
    let (Ok(network), Ok(length), Ok(address)) = parsed else {
        return false;
    };
    let mask = u32::MAX
        .checked_shl(32_u32.saturating_sub(length))
        .unwrap_or(0);
    u32::from(network) & mask == u32::from(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_addresses() {
        for (cidr, address, expected) in [
            ("10.0.0.0/8", "10.244.1.2", true),
            ("10.0.0.0/16", "10.244.1.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("1.2.3.4/32", "1.2.3.5", false),
            ("nonsense", "1.2.3.4", false),
            ("fd00::/8", "1.2.3.4", false),
        ] {
            assert_eq!(contains(cidr, address), expected, "{cidr} {address}");
        }
    }
}
