//! Which connections NetworkPolicies admit: Kubernetes' own, and Calico's.
//!
//! Policies see the addresses and ports of pods: those that a Service's are translated to.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use crate::facts::{CalicoPolicy, GlobalCalicoPolicy, Pod};
use crate::kubernetes::calico::{self, Answer};
use crate::kubernetes::connection::{
    Cidr, Connection, Direction, End, all, any, has_port_named, namespace_labels,
};
use crate::kubernetes::selector::{self, Labels};
use crate::object::{Described, Kind, Meta};
use crate::verdict::{Evidence, Reference};
use crate::view::View;

/// A policy of any of the kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes and Calico document their kinds")]
pub enum Policy<'a> {
    Kubernetes(&'a NetworkPolicy),
    Calico(&'a CalicoPolicy),
    GlobalCalico(&'a GlobalCalicoPolicy),
}

/// The place of Kubernetes' policies among Calico's.
///
/// Source: `projectcalico/calico: libcalico-go/lib/backend/k8s/conversion`.
const KUBERNETES_ORDER: f64 = 1000.0;

impl<'a> Policy<'a> {
    fn meta(self) -> Meta<'a> {
        match self {
            Policy::Kubernetes(policy) => Meta::of(&policy.metadata),
            Policy::Calico(policy) => policy.meta(),
            Policy::GlobalCalico(policy) => policy.meta(),
        }
    }

    /// Refers to the policy.
    pub fn reference(self) -> Reference {
        let meta = self.meta();
        match self {
            Policy::Kubernetes(_) | Policy::Calico(_) => {
                Reference::namespaced("NetworkPolicy", meta.namespace, meta.name)
            }
            Policy::GlobalCalico(_) => Reference::cluster("GlobalNetworkPolicy", meta.name),
        }
    }

    /// The specification of one of Calico's, with the namespace that it is for.
    fn calico(self) -> Option<(Option<&'a str>, calico::Spec)> {
        match self {
            Policy::Kubernetes(_) => None,
            Policy::Calico(policy) => Some((
                Some(policy.meta().namespace),
                calico::Spec::of(&policy.spec),
            )),
            Policy::GlobalCalico(policy) => Some((None, calico::Spec::of(&policy.spec))),
        }
    }

    /// Whether it has any rule for the direction: one without denies all and admits nothing.
    pub fn has_rules(self, direction: Direction) -> bool {
        if let Some((_, spec)) = self.calico() {
            return spec.has_rules(direction);
        }
        let Policy::Kubernetes(policy) = self else {
            return false;
        };
        policy.spec.as_ref().is_some_and(|spec| match direction {
            Direction::Ingress => spec.ingress.as_ref().is_some_and(|rules| !rules.is_empty()),
            Direction::Egress => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        })
    }

    /// Its rules for the direction, as evidence.
    pub fn evidence(self, direction: Direction) -> Evidence {
        let name = match direction {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        };
        let rules = match (self, direction) {
            (Policy::Kubernetes(policy), Direction::Egress) => {
                json!(policy.spec.as_ref().and_then(|spec| spec.egress.as_ref()))
            }
            (Policy::Kubernetes(policy), Direction::Ingress) => {
                json!(policy.spec.as_ref().and_then(|spec| spec.ingress.as_ref()))
            }
            (Policy::Calico(policy), _) => policy.spec[name].clone(),
            (Policy::GlobalCalico(policy), _) => policy.spec[name].clone(),
        };
        Evidence {
            object: self.reference(),
            field: format!("spec.{name}"),
            quote: rules.to_string(),
            at: None,
        }
    }

    /// How much its selector asks of a pod.
    fn specificity(self) -> usize {
        if let Some((_, spec)) = self.calico() {
            return spec.specificity();
        }
        let Policy::Kubernetes(policy) = self else {
            return 0;
        };
        let spec = policy.spec.as_ref();
        let selector = spec.and_then(|spec| spec.pod_selector.as_ref());
        selector.map_or(0, |selector| {
            let labels = selector.match_labels.as_ref();
            labels.map_or(0, |labels| labels.len())
                + selector.match_expressions.as_ref().map_or(0, Vec::len)
        })
    }
}

/// What the policies that select a pod say of a connection.
#[derive(Clone, Debug)]
pub struct Ruling<'a> {
    /// Whether it is admitted; none where that cannot be told.
    pub admits: Option<bool>,
    /// The policies that select the pod in this direction.
    pub policies: Vec<Policy<'a>>,
    /// The one whose rule denies it by name.
    pub denied_by: Option<Policy<'a>>,
}

impl<'a> Ruling<'a> {
    /// The policy to change: the one that denies it by name; else one with rules and not a bare
    /// default deny, with the most specific selector, the newest, the first by name.
    pub fn culprit(&self, direction: Direction) -> Option<Policy<'a>> {
        let rank = |policy: &Policy<'a>| {
            let meta = policy.meta();
            (
                policy.has_rules(direction),
                policy.specificity(),
                meta.created,
                std::cmp::Reverse(meta.name),
            )
        };
        self.denied_by.or_else(|| {
            self.policies
                .iter()
                .copied()
                .max_by(|a, b| rank(a).cmp(&rank(b)))
        })
    }
}

/// Says what the policies that select a pod, one end of the connection, make of it.
pub fn ruling<'a>(
    view: &View<'a>,
    pod: &Pod,
    direction: Direction,
    connection: &Connection<'_>,
) -> Ruling<'a> {
    let policies = selecting(view, pod, direction);
    let itself = match direction {
        Direction::Ingress => connection.sender.pod,
        Direction::Egress => connection.receiver.pod,
    };
    let is_itself =
        itself.is_some_and(|other| (&other.namespace, &other.name) == (&pod.namespace, &pod.name));
    if policies.is_empty() || is_itself {
        return Ruling {
            admits: Some(true),
            policies,
            denied_by: None,
        };
    }
    let (admits, denied_by) = judged(view, &policies, direction, connection);
    // A policy that was not seen might admit it.
    let admits = match admits {
        Some(false) if !view.is_listed(Kind::NetworkPolicy, &pod.namespace) => None,
        other => other,
    };
    Ruling {
        admits,
        policies,
        denied_by,
    }
}

/// Asks the policies in their order, tier by tier: the first answer counts, and what no policy of
/// a tier tells of is denied.
fn judged<'a>(
    view: &View<'_>,
    policies: &[Policy<'a>],
    direction: Direction,
    connection: &Connection<'_>,
) -> (Option<bool>, Option<Policy<'a>>) {
    let tier = |policy: &Policy<'_>| policy.calico().map(|(_, spec)| spec.tier().to_owned());
    let tier = |policy: &Policy<'_>| tier(policy).unwrap_or_else(|| "default".to_owned());
    let (mut may_allow, mut may_deny) = (false, false);
    for policies in policies.chunk_by(|a, b| tier(a) == tier(b)) {
        let mut is_passed = false;
        for policy in policies {
            let answer = match (policy, policy.calico()) {
                (Policy::Kubernetes(policy), _) => {
                    match admits(view, policy, direction, connection) {
                        Some(true) => Answer::Allow,
                        Some(false) => Answer::Silent,
                        None => Answer::MayAllow,
                    }
                }
                (_, Some((namespace, spec))) => spec.answer(namespace, direction, connection, view),
                (_, None) => Answer::Silent,
            };
            match answer {
                Answer::Allow => return ((!may_deny).then_some(true), None),
                Answer::Deny => return ((!may_allow).then_some(false), Some(*policy)),
                Answer::Pass => {
                    is_passed = true;
                    break;
                }
                Answer::Silent => {}
                Answer::MayAllow => may_allow = true,
                Answer::MayDeny => may_deny = true,
            }
        }
        if !is_passed {
            return ((!may_allow).then_some(false), None);
        }
    }
    ((!may_deny).then_some(true), None)
}

/// The policies that select a pod in this direction: without any, all is admitted.
///
/// A pod on its node's own network is selected by none.
pub fn selecting<'a>(view: &View<'a>, pod: &Pod, direction: Direction) -> Vec<Policy<'a>> {
    if pod.spec.host_network == Some(true) {
        return Vec::new();
    }
    let own = view
        .in_namespace::<NetworkPolicy>(&pod.namespace)
        .filter(|policy| applies(policy, direction) && selects(policy, &pod.labels))
        .map(Policy::Kubernetes);
    let calico = view.in_namespace::<CalicoPolicy>(&pod.namespace);
    // Calico's API server lists Kubernetes' own once more.
    let calico = calico
        .filter(|policy| !policy.meta().name.starts_with("knp."))
        .map(Policy::Calico);
    let global = view.all::<GlobalCalicoPolicy>().map(Policy::GlobalCalico);
    let is_for_pod = |policy: &Policy<'_>| {
        let spec = policy.calico();
        spec.is_some_and(|(namespace, spec)| {
            spec.applies(direction) && spec.selects(namespace, pod, view)
        })
    };
    let mut selecting: Vec<Policy<'a>> = own.collect();
    let of_calico: Vec<Policy<'a>> = calico.chain(global).filter(is_for_pod).collect();
    if !of_calico.is_empty() {
        selecting.extend(of_calico);
        let place = |policy: &Policy<'_>| match policy.calico() {
            Some((_, spec)) => (spec.tier().to_owned(), spec.order()),
            None => ("default".to_owned(), KUBERNETES_ORDER),
        };
        selecting.sort_by(|a, b| {
            let ((of_a, a), (of_b, b), names) =
                (place(a), place(b), (a.meta().name, b.meta().name));
            (of_a == "default", of_a)
                .cmp(&(of_b == "default", of_b))
                .then(a.total_cmp(&b))
                .then_with(|| names.0.cmp(names.1))
        });
    }
    selecting
}

/// Source: `policyTypes` in `staging/src/k8s.io/api/networking/v1/types.go`.
fn applies(policy: &NetworkPolicy, direction: Direction) -> bool {
    let Some(spec) = &policy.spec else {
        return false;
    };
    match &spec.policy_types {
        Some(types) if !types.is_empty() => types.iter().any(|type_| type_ == direction.name()),
        _ => match direction {
            Direction::Ingress => true,
            Direction::Egress => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        },
    }
}

fn selects(policy: &NetworkPolicy, labels: &Labels) -> bool {
    let spec = policy.spec.as_ref();
    let selector = spec.and_then(|spec| spec.pod_selector.as_ref());
    selector.is_none() || selector::matches(selector, labels)
}

fn admits(
    view: &View<'_>,
    policy: &NetworkPolicy,
    direction: Direction,
    connection: &Connection<'_>,
) -> Option<bool> {
    let spec = policy.spec.as_ref()?;
    let namespace = Meta::of(&policy.metadata).namespace;
    let rule = |peers: &Option<Vec<NetworkPolicyPeer>>,
                ports: &Option<Vec<NetworkPolicyPort>>,
                peer: End<'_>| {
        let mut all_peers = peers.as_deref().unwrap_or_default().iter();
        let mut all_ports = ports.as_deref().unwrap_or_default().iter();
        all([
            (all_ports.len() == 0 || all_ports.any(|port| port_matches(port, connection))).into(),
            if all_peers.len() == 0 {
                Some(true)
            } else {
                any(all_peers
                    .by_ref()
                    .map(|rule| peer_matches(view, namespace, rule, peer)))
            },
        ])
    };
    match direction {
        Direction::Ingress => any(spec
            .ingress
            .iter()
            .flatten()
            .map(|admitted| rule(&admitted.from, &admitted.ports, connection.sender))),
        Direction::Egress => any(spec
            .egress
            .iter()
            .flatten()
            .map(|admitted| rule(&admitted.to, &admitted.ports, connection.receiver))),
    }
}

fn port_matches(port: &NetworkPolicyPort, connection: &Connection<'_>) -> bool {
    if port.protocol.as_deref().unwrap_or("TCP") != connection.protocol {
        return false;
    }
    let tried = i32::from(connection.port);
    match &port.port {
        None => true,
        Some(IntOrString::Int(first)) => match port.end_port {
            Some(last) => (*first..=last).contains(&tried),
            None => *first == tried,
        },
        Some(IntOrString::String(name)) => match name.parse::<i32>() {
            Ok(number) => number == tried,
            Err(_) => has_port_named(connection, name),
        },
    }
}

fn peer_matches(
    view: &View<'_>,
    namespace: &str,
    peer: &NetworkPolicyPeer,
    end: End<'_>,
) -> Option<bool> {
    if let Some(block) = &peer.ip_block {
        let addresses = end.addresses();
        if addresses.is_empty() {
            return None;
        }
        let inside = |cidr: &str, address| Cidr::parse(cidr).map(|cidr| cidr.contains(address));
        return any(addresses.into_iter().map(|address| {
            let excepted = block
                .except
                .iter()
                .flatten()
                .map(|cidr| inside(cidr, address));
            all([inside(&block.cidr, address), any(excepted).map(|is| !is)])
        }));
    }
    let Some(pod) = end.pod else {
        // Selectors pick pods: an address is none of them, and of an unknown end nothing is known.
        return (end.is_outside || end.address.is_some()).then_some(false);
    };
    let in_namespace = match &peer.namespace_selector {
        None => Some(pod.namespace == namespace),
        Some(selector) => namespace_labels(view, &pod.namespace, |labels| {
            selector::matches(Some(selector), labels)
        }),
    };
    let selected =
        peer.pod_selector.is_none() || selector::matches(peer.pod_selector.as_ref(), &pod.labels);
    match all([in_namespace, Some(selected)]) {
        // What comes from the node's own network shows the node's address.
        Some(true) if pod.spec.host_network == Some(true) => None,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::memory::Memory;
    use crate::object::Object;
    use crate::observation::Observation;

    fn pod(namespace: &str, app: &str, ip: &str) -> Pod {
        let value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": namespace, "name": app, "labels": { "app": app } },
            "spec": { "containers": [{ "name": "app", "ports": [
                { "name": "http", "containerPort": 3100 },
            ]}]},
            "status": { "podIP": ip },
        });
        match Object::decode(value).unwrap() {
            Object::Pod(pod) => Pod::clone(&pod),
            other => panic!("{other:?}"),
        }
    }

    /// Whether these specifications, of policies in `shop`, admit a connection from `shop/web` to
    /// port 3100 of `logs/loki`.
    fn check(direction: Direction, specs: &[Value], expected: Option<bool>) {
        let mut memory = Memory::default();
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let namespace = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": name, "labels": { "team": name } },
            })
        };
        let mut objects = vec![namespace("shop"), namespace("logs")];
        let home = match direction {
            Direction::Egress => "shop",
            Direction::Ingress => "logs",
        };
        for (index, spec) in specs.iter().enumerate() {
            objects.push(json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": { "namespace": home, "name": format!("p{index}") },
                "spec": spec,
            }));
        }
        for object in objects {
            memory.observe(
                Observation::Applied(Object::decode(object).unwrap()),
                now,
                false,
            );
        }
        let kind = Kind::NetworkPolicy;
        memory.observe(
            Observation::Listed {
                kind,
                namespace: None,
            },
            now,
            false,
        );
        let view = View::new(&memory, now);
        let (web, loki) = (
            pod("shop", "web", "10.244.1.5"),
            pod("logs", "loki", "10.244.2.16"),
        );
        let connection = Connection {
            sender: End::of(&web),
            receiver: End::of(&loki),
            port: 3100,
            protocol: "TCP",
        };
        let selected = match direction {
            Direction::Egress => &web,
            Direction::Ingress => &loki,
        };
        let ruling = ruling(&view, selected, direction, &connection);
        assert_eq!(ruling.admits, expected, "{specs:?}");
    }

    fn egress(rules: Value) -> Value {
        json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": rules })
    }

    #[test]
    fn a_pod_that_no_policy_selects_may_do_all() {
        check(Direction::Egress, &[], Some(true));
        let other = json!({ "podSelector": { "matchLabels": { "app": "db" } }, "egress": [] });
        check(Direction::Egress, &[other], Some(true));
    }

    #[test]
    fn policy_types_have_defaults() {
        check(
            Direction::Egress,
            &[json!({ "podSelector": {} })],
            Some(true),
        );
        check(
            Direction::Ingress,
            &[json!({ "podSelector": {} })],
            Some(false),
        );
        let rules = json!({ "podSelector": {}, "egress": [{ "ports": [{ "port": 53 }] }] });
        check(Direction::Egress, &[rules], Some(false));
        check(Direction::Egress, &[egress(json!([]))], Some(false));
    }

    #[test]
    fn policies_are_a_union() {
        let some = egress(json!([{ "ports": [{ "port": 53, "protocol": "UDP" }] }]));
        let port = egress(json!([{ "ports": [{ "port": 3100 }] }]));
        check(Direction::Egress, std::slice::from_ref(&some), Some(false));
        check(Direction::Egress, &[some, port], Some(true));
    }

    #[test]
    fn ports() {
        let port = |port: Value| egress(json!([{ "ports": [port] }]));
        for (entry, expected) in [
            (json!({ "port": 3100 }), true),
            (json!({ "port": 3101 }), false),
            (json!({ "port": 3100, "protocol": "UDP" }), false),
            (json!({ "port": 3000, "endPort": 3200 }), true),
            (json!({ "port": 3000, "endPort": 3099 }), false),
            (json!({ "port": "http" }), true),
            (json!({ "port": "grpc" }), false),
            (json!({ "protocol": "TCP" }), true),
        ] {
            check(Direction::Egress, &[port(entry)], Some(expected));
        }
    }

    #[test]
    fn peers() {
        let selector = |key: &str, value: &str| json!({ "matchLabels": { key: value } });
        let loki = selector("app", "loki");
        for (peer, expected) in [
            (json!({ "podSelector": loki }), false),
            (json!({ "namespaceSelector": {} }), true),
            (
                json!({ "namespaceSelector": selector("team", "logs") }),
                true,
            ),
            (
                json!({ "namespaceSelector": selector("team", "shop") }),
                false,
            ),
            (
                json!({ "namespaceSelector": {}, "podSelector": loki }),
                true,
            ),
            (
                json!({ "namespaceSelector": {}, "podSelector": selector("app", "db") }),
                false,
            ),
            (json!({ "ipBlock": { "cidr": "10.244.0.0/16" } }), true),
            (json!({ "ipBlock": { "cidr": "10.96.0.0/12" } }), false),
            (
                json!({ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"] } }),
                false,
            ),
            (
                json!({ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["10.1.0.0/16"] } }),
                true,
            ),
            (json!({ "ipBlock": { "cidr": "::/0" } }), false),
        ] {
            check(
                Direction::Egress,
                &[egress(json!([{ "to": [peer] }]))],
                Some(expected),
            );
        }
        let broken = egress(json!([{ "to": [{ "ipBlock": { "cidr": "10.0.0.0/99" } }] }]));
        check(Direction::Egress, &[broken], None);
    }

    #[test]
    fn peers_and_ports_of_one_rule_must_both_match() {
        let rule = json!([
            { "to": [{ "namespaceSelector": {} }], "ports": [{ "port": 53 }] },
            { "to": [{ "podSelector": {} }], "ports": [{ "port": 3100 }] },
        ]);
        check(Direction::Egress, &[egress(rule)], Some(false));
    }

    #[test]
    fn the_receiver_looks_at_the_sender() {
        let from = |peer: Value| json!({ "podSelector": {}, "ingress": [{ "from": [peer] }] });
        let web = json!({ "matchLabels": { "app": "web" } });
        check(
            Direction::Ingress,
            &[from(json!({ "podSelector": web }))],
            Some(false),
        );
        let both = json!({ "podSelector": web, "namespaceSelector": {} });
        check(Direction::Ingress, &[from(both)], Some(true));
    }
}
