//! What Calico's own policies say of a connection: ordered rules that allow or deny, for endpoints
//! that its selectors pick.
//!
//! Source: `projectcalico/calico: api/pkg/apis/projectcalico/v3/networkpolicy.go` and
//! `libcalico-go/lib/selector`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use serde::Deserialize;
use serde_json::Value;

use crate::facts::{CalicoNetworkSet, GlobalCalicoNetworkSet, Pod};
use crate::kubernetes::connection::{
    Cidr, Connection, Direction, End, all, any, has_port_named, namespace_labels,
};
use crate::kubernetes::selector::Labels;
use crate::object::Described;
use crate::view::View;

/// How deep the brackets of a selector may lie in one another.
const MAX_DEPTH: usize = 32;

/// A policy's specification, as far as it is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    tier: Option<String>,
    order: Option<f64>,
    selector: Option<String>,
    namespace_selector: Option<String>,
    service_account_selector: Option<String>,
    types: Option<Vec<String>>,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    action: String,
    protocol: Option<Value>,
    not_protocol: Option<Value>,
    icmp: Option<Value>,
    http: Option<Value>,
    source: Option<Entity>,
    destination: Option<Entity>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entity {
    nets: Option<Vec<String>>,
    not_nets: Option<Vec<String>>,
    selector: Option<String>,
    not_selector: Option<String>,
    namespace_selector: Option<String>,
    ports: Option<Vec<Value>>,
    not_ports: Option<Vec<Value>>,
    service_accounts: Option<ServiceAccounts>,
    services: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceAccounts {
    names: Option<Vec<String>>,
    selector: Option<String>,
}

/// Something that selectors pick.
enum Picked<'a> {
    Pod(&'a Pod),
    /// A set of addresses, with its labels and, if it lies in one, its namespace.
    Set(Labels, Option<&'a str>),
}

/// What a policy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A rule allows it.
    Allow,
    /// A rule denies it by name.
    Deny,
    /// A rule leaves it to the next tier.
    Pass,
    /// No rule tells of it.
    Silent,
    /// It cannot be told: a rule that cannot be evaluated may allow it.
    MayAllow,
    /// It cannot be told: a rule that cannot be evaluated may deny it.
    MayDeny,
}

impl Spec {
    /// Reads a specification; one that does not have its form selects nothing.
    pub(super) fn of(spec: &Value) -> Self {
        Self::deserialize(spec).unwrap_or_default()
    }

    pub(super) fn tier(&self) -> &str {
        self.tier.as_deref().unwrap_or("default")
    }

    /// Its place among the policies of its tier: those without one come last.
    pub(super) fn order(&self) -> f64 {
        self.order.unwrap_or(f64::INFINITY)
    }

    fn rules(&self, direction: Direction) -> &[Rule] {
        let rules = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        rules.as_deref().unwrap_or_default()
    }

    pub(super) fn has_rules(&self, direction: Direction) -> bool {
        !self.rules(direction).is_empty()
    }

    /// How much its selector asks of a pod.
    pub(super) fn specificity(&self) -> usize {
        let selector = self.selector.as_deref().unwrap_or_default();
        parse(selector).map_or(0, |expression| expression.size())
    }

    /// Whether it is for this direction.
    pub(super) fn applies(&self, direction: Direction) -> bool {
        match &self.types {
            Some(types) if !types.is_empty() => types.iter().any(|type_| type_ == direction.name()),
            _ => match direction {
                Direction::Egress => self.has_rules(Direction::Egress),
                Direction::Ingress => {
                    self.has_rules(Direction::Ingress) || !self.has_rules(Direction::Egress)
                }
            },
        }
    }

    /// Whether it selects a pod: of its own namespace, or, without one, of those that it selects.
    pub(super) fn selects(&self, namespace: Option<&str>, pod: &Pod, view: &View<'_>) -> bool {
        let in_namespace = match (namespace, &self.namespace_selector) {
            (Some(namespace), _) => pod.namespace == namespace,
            (None, Some(selector)) => {
                namespace_matches(selector, &pod.namespace, view) == Some(true)
            }
            (None, None) => true,
        };
        let selector = self.selector.as_deref().unwrap_or_default();
        let account = self.service_account_selector.as_deref().unwrap_or_default();
        in_namespace
            && (account.is_empty() || account_matches(account, pod, view) == Some(true))
            && matches(selector, &labels_of(pod)) == Some(true)
    }

    /// What its rules for this direction say, the first that matches.
    pub(super) fn answer(
        &self,
        namespace: Option<&str>,
        direction: Direction,
        connection: &Connection<'_>,
        view: &View<'_>,
    ) -> Answer {
        for rule in self.rules(direction) {
            match (
                rule.action.as_str(),
                rule.matches(namespace, connection, view),
            ) {
                ("Log", _) | (_, Some(false)) => {}
                ("Allow", Some(true)) => return Answer::Allow,
                ("Deny", Some(true)) => return Answer::Deny,
                ("Pass", Some(true)) => return Answer::Pass,
                ("Deny", None) => return Answer::MayDeny,
                _ => return Answer::MayAllow,
            }
        }
        Answer::Silent
    }
}

impl Rule {
    fn matches(
        &self,
        namespace: Option<&str>,
        connection: &Connection<'_>,
        view: &View<'_>,
    ) -> Option<bool> {
        let protocol = |asked: &Value| is_protocol(asked, connection.protocol);
        let source = self.source.as_ref();
        let destination = self.destination.as_ref();
        let is_plain = self.icmp.is_none() && self.http.is_none();
        all([
            Some(self.protocol.as_ref().is_none_or(protocol)),
            Some(!self.not_protocol.as_ref().is_some_and(protocol)),
            is_plain.then_some(true),
            // From which port it comes is not known.
            source
                .is_none_or(|source| source.ports.is_none())
                .then_some(true),
            source.map_or(Some(true), |one| {
                one.matches(namespace, connection.sender, view)
            }),
            destination.map_or(Some(true), |one| {
                one.matches(namespace, connection.receiver, view)
            }),
            destination.map_or(Some(true), |one| one.port_matches(connection)),
        ])
    }
}

fn is_protocol(asked: &Value, protocol: &str) -> bool {
    let number = match protocol {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        _ => return false,
    };
    match asked {
        Value::String(name) => name.eq_ignore_ascii_case(protocol),
        other => other.as_u64() == Some(number),
    }
}

impl Entity {
    fn matches(&self, namespace: Option<&str>, end: End<'_>, view: &View<'_>) -> Option<bool> {
        let within = |nets: &Option<Vec<String>>| {
            let nets = nets.as_ref()?;
            let addresses = end.addresses();
            if addresses.is_empty() {
                return Some(None);
            }
            Some(any(addresses.iter().flat_map(|address| {
                nets.iter()
                    .map(|net| Cidr::parse(net).map(|net| net.contains(*address)))
            })))
        };
        let not_selected = match given(&self.not_selector) {
            None => Some(true),
            Some(selector) => {
                let is = self.any_picked(end, view, |picked| matches(selector, &picked.labels()));
                is.map(|is| !is)
            }
        };
        let asks = [&self.selector, &self.namespace_selector];
        let asks = asks.into_iter().any(|selector| given(selector).is_some())
            || self.service_accounts.is_some()
            || namespace.is_some() && given(&self.not_selector).is_some();
        let selected = || self.any_picked(end, view, |picked| self.picks(namespace, picked, view));
        all([
            within(&self.nets).unwrap_or(Some(true)),
            within(&self.not_nets).map_or(Some(true), |inside| inside.map(|inside| !inside)),
            if asks { selected() } else { Some(true) },
            not_selected,
            self.services.is_none().then_some(true),
        ])
    }

    /// Whether something holds of any that an end is: its pod, and the sets that hold its address.
    fn any_picked(
        &self,
        end: End<'_>,
        view: &View<'_>,
        holds: impl Fn(&Picked<'_>) -> Option<bool>,
    ) -> Option<bool> {
        let addresses = end.addresses();
        let contains = |nets: &[String]| {
            if addresses.is_empty() {
                return None; // Any set may hold it.
            }
            Some(
                nets.iter()
                    .filter_map(|net| Cidr::parse(net))
                    .any(|net| addresses.iter().any(|address| net.contains(*address))),
            )
        };
        if end.pod.is_none() && addresses.is_empty() && !end.is_outside {
            return None;
        }
        let pod = end.pod.map(|pod| holds(&Picked::Pod(pod)));
        let own = view.all::<CalicoNetworkSet>().map(|set| {
            let picked = Picked::Set(set.labels(), Some(set.meta().namespace));
            all([contains(set.nets()), holds(&picked)])
        });
        let global = view.all::<GlobalCalicoNetworkSet>().map(|set| {
            let picked = Picked::Set(set.labels(), None);
            all([contains(set.nets()), holds(&picked)])
        });
        any(pod.into_iter().chain(own).chain(global))
    }

    /// Whether its selectors pick this, but for what they must not.
    ///
    /// Source: `GetEntityRuleSelector` in
    /// `libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go`.
    fn picks(&self, namespace: Option<&str>, picked: &Picked<'_>, view: &View<'_>) -> Option<bool> {
        let in_namespace = match (given(&self.namespace_selector), picked) {
            (Some(selector), Picked::Pod(pod)) => namespace_matches(selector, &pod.namespace, view),
            (Some(selector), Picked::Set(_, Some(of))) => namespace_matches(selector, of, view),
            (Some(selector), Picked::Set(_, None)) => Some(parse(selector)? == Expression::Global),
            // Labels alone are those of the policy's own namespace.
            (None, Picked::Pod(pod)) => {
                Some(namespace.is_none_or(|namespace| pod.namespace == namespace))
            }
            (None, Picked::Set(_, of)) => Some(namespace.is_none() || *of == namespace),
        };
        let of_account = match (&self.service_accounts, picked) {
            (None, _) => Some(true),
            (Some(_), Picked::Set(..)) => Some(false),
            (Some(accounts), Picked::Pod(pod)) => {
                let names = accounts.names.as_deref().unwrap_or_default();
                let is_named = names.is_empty() || names.iter().any(|name| name == account_of(pod));
                let selector = given(&accounts.selector);
                all([
                    Some(is_named),
                    selector.map_or(Some(true), |selector| account_matches(selector, pod, view)),
                ])
            }
        };
        let selector = given(&self.selector);
        all([
            in_namespace,
            of_account,
            selector.map_or(Some(true), |selector| matches(selector, &picked.labels())),
        ])
    }

    fn port_matches(&self, connection: &Connection<'_>) -> Option<bool> {
        let listed = |ports: &Option<Vec<Value>>| {
            Some(ports.as_ref()?.iter().any(|port| is_port(port, connection)))
        };
        Some(listed(&self.ports).unwrap_or(true) && !listed(&self.not_ports).unwrap_or(false))
    }
}

/// Whether the connection's port is this one: a number, a range such as `8000:8100`, or a name.
fn is_port(port: &Value, connection: &Connection<'_>) -> bool {
    let Some(text) = port.as_str() else {
        return port.as_u64() == Some(connection.port.into());
    };
    let number = |text: &str| text.trim().parse::<u16>().ok();
    match text.split_once(':') {
        Some((first, last)) => number(first)
            .zip(number(last))
            .is_some_and(|(first, last)| (first..=last).contains(&connection.port)),
        None => match number(text) {
            Some(number) => number == connection.port,
            None => has_port_named(connection, text),
        },
    }
}

impl Picked<'_> {
    /// The labels, with those that Calico adds.
    fn labels(&self) -> Labels {
        match self {
            Picked::Pod(pod) => labels_of(pod),
            Picked::Set(labels, namespace) => {
                let mut labels = labels.clone();
                let namespace = namespace.map(str::to_owned);
                labels
                    .extend(namespace.map(|name| ("projectcalico.org/namespace".to_owned(), name)));
                labels
            }
        }
    }
}

/// A selector that is not empty.
fn given(selector: &Option<String>) -> Option<&str> {
    selector.as_deref().filter(|text| !text.trim().is_empty())
}

/// A pod's labels, with those that Calico adds.
fn labels_of(pod: &Pod) -> Labels {
    let mut labels: Labels = (*pod.labels).clone();
    let own = [
        ("projectcalico.org/namespace", pod.namespace.as_str()),
        ("projectcalico.org/orchestrator", "k8s"),
        ("projectcalico.org/serviceaccount", account_of(pod)),
    ];
    labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    labels
}

fn account_of(pod: &Pod) -> &str {
    let account = pod.spec.service_account_name.as_deref();
    account.filter(|name| !name.is_empty()).unwrap_or("default")
}

/// Whether a selector picks labels; none where it does not parse.
fn matches(selector: &str, labels: &Labels) -> Option<bool> {
    Some(parse(selector)?.holds(labels))
}

/// Whether a selector picks the service account of a pod; none where that is not known.
fn account_matches(selector: &str, pod: &Pod, view: &View<'_>) -> Option<bool> {
    let name = account_of(pod);
    let account = view.get::<ServiceAccount>(&pod.namespace, name).found()?;
    let mut labels = account.metadata.labels.clone().unwrap_or_default();
    labels.insert("projectcalico.org/name".to_owned(), name.to_owned());
    matches(selector, &labels)
}

fn namespace_matches(selector: &str, namespace: &str, view: &View<'_>) -> Option<bool> {
    let expression = parse(selector)?;
    if expression == Expression::Global {
        return Some(false);
    }
    namespace_labels(view, namespace, |labels| {
        let mut labels = labels.clone();
        labels.insert("projectcalico.org/name".to_owned(), namespace.to_owned());
        expression.holds(&labels)
    })
}

/// A selector, such as `app == 'web' && has(tier)`.
#[derive(Clone, Debug, PartialEq)]
enum Expression {
    All,
    Global,
    Has(String),
    Compare(String, Comparison, Vec<String>),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    In,
    NotIn,
    Contains,
    StartsWith,
    EndsWith,
}

impl Expression {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Expression::All => true,
            Expression::Global => false,
            Expression::Has(key) => labels.contains_key(key),
            Expression::Compare(key, comparison, values) => {
                let have = labels.get(key);
                let any = |holds: fn(&str, &str) -> bool| {
                    have.is_some_and(|have| values.iter().any(|value| holds(have, value)))
                };
                match comparison {
                    Comparison::In => any(|have, value| have == value),
                    Comparison::NotIn => have.is_none_or(|have| !values.contains(have)),
                    Comparison::Contains => any(|have, value| have.contains(value)),
                    Comparison::StartsWith => any(|have, value| have.starts_with(value)),
                    Comparison::EndsWith => any(|have, value| have.ends_with(value)),
                }
            }
            Expression::Not(inner) => !inner.holds(labels),
            Expression::And(parts) => parts.iter().all(|part| part.holds(labels)),
            Expression::Or(parts) => parts.iter().any(|part| part.holds(labels)),
        }
    }

    fn size(&self) -> usize {
        match self {
            Expression::All | Expression::Global => 0,
            Expression::Has(_) | Expression::Compare(..) => 1,
            Expression::Not(inner) => inner.size(),
            Expression::And(parts) | Expression::Or(parts) => parts.iter().map(Self::size).sum(),
        }
    }
}

/// Reads a selector; an empty one picks all, one that does not parse is none.
fn parse(text: &str) -> Option<Expression> {
    let mut parser = Parser { rest: text.trim() };
    if parser.rest.is_empty() {
        return Some(Expression::All);
    }
    let expression = parser.alternatives(0)?;
    parser.rest.trim_start().is_empty().then_some(expression)
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        let Some(after) = rest.strip_prefix(token) else {
            return false;
        };
        self.rest = after;
        true
    }

    /// A word of letters, followed by no other.
    fn take_word(&mut self, word: &str) -> bool {
        let before = self.rest;
        let is_whole = self.take(word) && !self.rest.starts_with(is_of_key);
        if !is_whole {
            self.rest = before;
        }
        is_whole
    }

    fn alternatives(&mut self, depth: usize) -> Option<Expression> {
        let mut parts = vec![self.conjunction(depth)?];
        while self.take("||") {
            parts.push(self.conjunction(depth)?);
        }
        Some(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Expression::Or(parts)
        })
    }

    fn conjunction(&mut self, depth: usize) -> Option<Expression> {
        let mut parts = vec![self.term(depth)?];
        while self.take("&&") {
            parts.push(self.term(depth)?);
        }
        Some(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Expression::And(parts)
        })
    }

    fn term(&mut self, depth: usize) -> Option<Expression> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.take("!") {
            return Some(Expression::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.alternatives(depth + 1)?;
            return self.take(")").then_some(inner);
        }
        let key = self.key()?;
        if matches!(key, "all" | "has" | "global") && self.take("(") {
            let expression = match key {
                "all" => Expression::All,
                "global" => Expression::Global,
                _ => Expression::Has(self.key()?.to_owned()),
            };
            return self.take(")").then_some(expression);
        }
        let compare = |comparison, values| Expression::Compare(key.to_owned(), comparison, values);
        if self.take("==") || self.take("=") {
            return Some(compare(Comparison::In, vec![self.text()?]));
        }
        if self.take("!=") {
            return Some(compare(Comparison::NotIn, vec![self.text()?]));
        }
        if self.take_word("not") {
            return self
                .take_word("in")
                .then(|| self.set())?
                .map(|set| compare(Comparison::NotIn, set));
        }
        if self.take_word("in") {
            return Some(compare(Comparison::In, self.set()?));
        }
        if self.take_word("contains") {
            return Some(compare(Comparison::Contains, vec![self.text()?]));
        }
        let starts = self.take_word("starts");
        if (starts || self.take_word("ends")) && self.take_word("with") {
            let comparison = if starts {
                Comparison::StartsWith
            } else {
                Comparison::EndsWith
            };
            return Some(compare(comparison, vec![self.text()?]));
        }
        None
    }

    fn key(&mut self) -> Option<&'t str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c| !is_of_key(c)).unwrap_or(rest.len());
        let (key, rest) = rest.split_at(end);
        self.rest = rest;
        (!key.is_empty()).then_some(key)
    }

    fn text(&mut self) -> Option<String> {
        let quote = ['\'', '"']
            .into_iter()
            .find(|quote| self.take(&quote.to_string()))?;
        let (text, rest) = self.rest.split_once(quote)?;
        self.rest = rest;
        Some(text.to_owned())
    }

    fn set(&mut self) -> Option<Vec<String>> {
        let mut values = Vec::new();
        if !self.take("{") {
            return None;
        }
        while !self.take("}") {
            values.push(self.text()?);
            if !self.take(",") {
                return self.take("}").then_some(values);
            }
        }
        Some(values)
    }
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        let labels: Labels = [("app", "web"), ("tier", "front-end")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        for (selector, expected) in [
            ("", Some(true)),
            ("all()", Some(true)),
            ("global()", Some(false)),
            ("app == 'web'", Some(true)),
            ("app==\"web\"&&has(tier)", Some(true)),
            ("app != 'web' || has(none)", Some(false)),
            ("!has(none)", Some(true)),
            ("!(app == 'web' && tier == 'back')", Some(true)),
            ("app in {'api', 'web'}", Some(true)),
            ("app not in { 'web' }", Some(false)),
            ("none not in {'x'}", Some(true)),
            ("tier starts with 'front'", Some(true)),
            ("tier ends with 'front'", Some(false)),
            ("tier contains 't-e'", Some(true)),
            ("inner == 'x'", Some(false)),
            ("app ==", None),
            ("app == 'web' &&", None),
            ("app == 'web')", None),
            (&"(".repeat(10_000), None),
        ] {
            let holds = parse(selector).map(|expression| expression.holds(&labels));
            assert_eq!(
                holds,
                expected,
                "{}",
                selector.get(..40).unwrap_or(selector)
            );
        }
    }
}
