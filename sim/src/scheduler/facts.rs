//! What scheduling needs to know of pods and nodes, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission;
use crate::kinds::Kind;
use crate::quantity::{self, Nanos};
use crate::selector::Labels;
use crate::store::{Key, Store};
use crate::value::{
    at, controller, deleting, entries, int, is_true, list, name, namespace, text, uid,
};

/// What is asked for where a container does not say, as scores count it.
const USUAL_CPU: i64 = 100;
const USUAL_MEMORY: i64 = 200 << 20;

/// Amounts of resources: thousandths of cores, bytes, and numbers of all else.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Amounts {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) storage: i64,
    pub(crate) other: BTreeMap<String, i64>,
}

impl Amounts {
    fn of(amounts: BTreeMap<String, Nanos>) -> Self {
        let mut all = Self::default();
        for (resource, amount) in amounts {
            // Amounts are bounded where they are read: they fit.
            let units = |of: i128| i64::try_from((amount + of - 1) / of).unwrap_or(i64::MAX);
            match resource.as_str() {
                "cpu" => all.cpu = units(1_000_000),
                "memory" => all.memory = units(quantity::whole(1)),
                "ephemeral-storage" => all.storage = units(quantity::whole(1)),
                "pods" => {}
                _ => drop(all.other.insert(resource, units(quantity::whole(1)))),
            }
        }
        all
    }

    /// Adds amounts, or takes them away.
    pub(crate) fn add(&mut self, other: &Self, sign: i64) {
        self.cpu = self.cpu.saturating_add(sign * other.cpu);
        self.memory = self.memory.saturating_add(sign * other.memory);
        self.storage = self.storage.saturating_add(sign * other.storage);
        for (resource, amount) in &other.other {
            let all = self.other.entry(resource.clone()).or_default();
            *all = all.saturating_add(sign * amount);
        }
    }
}

/// A term of a node affinity.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    labels: Labels,
    fields: Labels,
}

impl Term {
    /// A term that asks for nothing, or that cannot be read, matches nothing.
    fn of(term: &Value) -> Option<Self> {
        let labels = Labels::of(&json!({ "matchExpressions": at(term, "/matchExpressions") }))?;
        let fields = Labels::of(&json!({ "matchExpressions": at(term, "/matchFields") }))?;
        (!labels.is_empty() || !fields.is_empty()).then_some(Self { labels, fields })
    }

    fn matches(&self, node: &NodeFacts) -> bool {
        self.labels.matches(&node.labels) && self.fields.matches(&node.fields)
    }
}

/// Whether one of the terms of a node selector matches a node.
pub(crate) fn selects(selector: &Value, node: &NodeFacts) -> bool {
    list(selector, "/nodeSelectorTerms")
        .iter()
        .filter_map(Term::of)
        .any(|term| term.matches(node))
}

/// A term of an affinity between pods.
#[derive(Clone, Debug)]
pub(crate) struct Near {
    labels: Option<Labels>,
    namespaces: BTreeSet<String>,
    of_namespaces: Option<Labels>,
    pub(crate) topology: String,
}

impl Near {
    fn of(term: &Value, pod: &Value) -> Self {
        let namespaces: BTreeSet<String> = list(term, "/namespaces")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let of_namespaces = Labels::of(at(term, "/namespaceSelector"));
        let own = namespaces.is_empty() && of_namespaces.is_none();
        Self {
            labels: Labels::of(&with_keys(term, pod)),
            namespaces: if own {
                BTreeSet::from([namespace(pod).to_owned()])
            } else {
                namespaces
            },
            of_namespaces,
            topology: text(term, "/topologyKey").to_owned(),
        }
    }

    /// Whether a pod is one of those that the term means.
    pub(crate) fn means(&self, pod: &PodFacts, store: &Store) -> bool {
        let home = &pod.key.namespace;
        let there = self.namespaces.contains(home)
            || self.of_namespaces.as_ref().is_some_and(|labels| {
                store
                    .get(Kind::Namespace, &Key::new("", home))
                    .is_some_and(|home| labels.select(home))
            });
        there
            && self
                .labels
                .as_ref()
                .is_some_and(|labels| labels.matches(&pod.labels))
    }
}

/// The label selector of a term, with what `matchLabelKeys` takes over from the pod.
fn with_keys(term: &Value, pod: &Value) -> Value {
    let mut selector = at(term, "/labelSelector").clone();
    for (keys, operator) in [("/matchLabelKeys", "In"), ("/mismatchLabelKeys", "NotIn")] {
        for key in list(term, keys).iter().filter_map(Value::as_str) {
            let Some(value) = at(pod, "/metadata/labels").get(key) else {
                continue;
            };
            let mut all = list(&selector, "/matchExpressions").to_vec();
            all.push(json!({ "key": key, "operator": operator, "values": [value] }));
            crate::value::set(&mut selector, "/matchExpressions", all);
        }
    }
    selector
}

/// A constraint on how pods spread.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    pub(crate) labels: Option<Labels>,
    pub(crate) topology: String,
    pub(crate) max_skew: i64,
    pub(crate) min_domains: usize,
    pub(crate) hard: bool,
    pub(crate) ignore_affinity: bool,
    pub(crate) honor_taints: bool,
}

/// A port of a node that a pod takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostPort {
    ip: String,
    protocol: String,
    port: i64,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

/// What scheduling needs to know of a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodFacts {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) labels: Value,
    /// Whether it is being deleted.
    pub(crate) leaving: bool,
    /// Whether it makes nobody go.
    pub(crate) gentle: bool,
    /// The node that it was promised, or empty.
    pub(crate) promised: String,
    pub(crate) priority: i64,
    pub(crate) requests: Amounts,
    /// What it asks for as scores count it: no container asks for nothing.
    pub(crate) usual: (i64, i64),
    pub(crate) ports: Vec<HostPort>,
    pub(crate) tolerations: Vec<Value>,
    selector: Labels,
    required: Option<Vec<Term>>,
    /// The only nodes that its affinity can mean, where it names them.
    pub(crate) named: Option<BTreeSet<String>>,
    preferred: Vec<(i64, Term)>,
    pub(crate) near: Vec<Near>,
    pub(crate) apart: Vec<Near>,
    /// Preferences, with their weights: those against others are negative.
    pub(crate) liked: Vec<(i64, Near)>,
    pub(crate) spread: Vec<Spread>,
    /// The claims that it uses, and whether they are made for it.
    pub(crate) claims: Vec<(String, bool)>,
    pub(crate) owner: String,
}

impl PodFacts {
    pub(crate) fn of(pod: &Value) -> Self {
        let affinity = at(pod, "/spec/affinity");
        let terms = at(
            affinity,
            "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
        );
        let pods = |path: &str| -> Vec<Near> {
            list(affinity, path)
                .iter()
                .map(|term| Near::of(term, pod))
                .collect()
        };
        let mut liked = Vec::new();
        for (kind, sign) in [("podAffinity", 1), ("podAntiAffinity", -1)] {
            let path = format!("/{kind}/preferredDuringSchedulingIgnoredDuringExecution");
            for one in list(affinity, &path) {
                let weight = sign * int(one, "/weight").unwrap_or(0);
                liked.push((weight, Near::of(at(one, "/podAffinityTerm"), pod)));
            }
        }
        let preferred = list(
            affinity,
            "/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution",
        )
        .iter()
        .filter_map(|one| Some((int(one, "/weight")?, Term::of(at(one, "/preference"))?)))
        .collect();
        let containers = list(pod, "/spec/containers")
            .iter()
            .chain(list(pod, "/spec/initContainers"));
        let ports = containers
            .flat_map(|container| list(container, "/ports"))
            .filter_map(|port| {
                Some(HostPort {
                    ip: text(port, "/hostIP").to_owned(),
                    protocol: text(port, "/protocol").to_owned(),
                    port: int(port, "/hostPort").filter(|port| *port > 0)?,
                })
            })
            .collect();
        let claims = list(pod, "/spec/volumes").iter().filter_map(|volume| {
            let claim = text(volume, "/persistentVolumeClaim/claimName");
            if !claim.is_empty() {
                return Some((claim.to_owned(), false));
            }
            let made = !at(volume, "/ephemeral").is_null();
            made.then(|| (format!("{}-{}", name(pod), text(volume, "/name")), true))
        });
        let requests = Amounts::of(admission::sum(pod, "/resources/requests"));
        let usual = usual(pod, &requests);
        Self {
            key: Key::of(pod),
            priority: int(pod, "/spec/priority").unwrap_or(0),
            usual,
            requests,
            ports,
            tolerations: list(pod, "/spec/tolerations").to_vec(),
            selector: Labels::of_map(at(pod, "/spec/nodeSelector")),
            required: (!terms.is_null()).then(|| {
                list(terms, "/nodeSelectorTerms")
                    .iter()
                    .filter_map(Term::of)
                    .collect()
            }),
            named: named(terms),
            preferred,
            near: pods("/podAffinity/requiredDuringSchedulingIgnoredDuringExecution"),
            apart: pods("/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution"),
            liked,
            spread: spread(pod),
            claims: claims.collect(),
            owner: controller(pod)
                .map_or("", |owner| text(owner, "/uid"))
                .to_owned(),
            uid: uid(pod).to_owned(),
            labels: at(pod, "/metadata/labels").clone(),
            leaving: deleting(pod),
            gentle: text(pod, "/spec/preemptionPolicy") == "Never",
            promised: text(pod, "/status/nominatedNodeName").to_owned(),
        }
    }

    /// Whether it asks for this node: its name, its labels, its affinity.
    pub(crate) fn selects(&self, node: &NodeFacts) -> bool {
        self.selector.matches(&node.labels)
            && self
                .required
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// How much it would like a node.
    pub(crate) fn likes(&self, node: &NodeFacts) -> i64 {
        let liked = self.preferred.iter().filter(|(_, term)| term.matches(node));
        liked.map(|(weight, _)| weight).sum()
    }

    /// Whether it tolerates a taint.
    pub(crate) fn tolerates(&self, taint: &Value) -> bool {
        self.tolerations
            .iter()
            .any(|toleration| tolerates(toleration, taint))
    }

    /// Whether a taint keeps it from a node.
    pub(crate) fn kept_by(&self, node: &NodeFacts) -> bool {
        node.taints.iter().any(|taint| {
            matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute") && !self.tolerates(taint)
        })
    }

    /// Whether cordons do not matter to it.
    pub(crate) fn tolerates_cordon(&self) -> bool {
        self.tolerates(
            &json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }),
        )
    }
}

/// Whether a toleration is of a taint.
///
/// Source: `staging/src/k8s.io/component-helpers/scheduling/corev1/helpers.go`.
pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (effect, key) = (text(toleration, "/effect"), text(toleration, "/key"));
    if !effect.is_empty() && effect != text(taint, "/effect") {
        return false;
    }
    if !key.is_empty() && key != text(taint, "/key") {
        return false;
    }
    match text(toleration, "/operator") {
        "" | "Equal" => !key.is_empty() && text(toleration, "/value") == text(taint, "/value"),
        "Exists" => true,
        _ => false,
    }
}

fn usual(pod: &Value, requests: &Amounts) -> (i64, i64) {
    let (mut cpu, mut memory) = (requests.cpu, requests.memory);
    for container in list(pod, "/spec/containers") {
        if at(container, "/resources/requests/cpu").is_null() {
            cpu += USUAL_CPU;
        }
        if at(container, "/resources/requests/memory").is_null() {
            memory += USUAL_MEMORY;
        }
    }
    (cpu, memory)
}

/// The nodes that every term of an affinity names. Daemons' pods name theirs.
fn named(terms: &Value) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let terms = list(terms, "/nodeSelectorTerms");
    for term in terms {
        let mut of_term: Option<BTreeSet<String>> = None;
        for field in list(term, "/matchFields") {
            if text(field, "/key") != "metadata.name" || text(field, "/operator") != "In" {
                continue;
            }
            let values: BTreeSet<String> = list(field, "/values")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            of_term = Some(match of_term {
                Some(before) => before.intersection(&values).cloned().collect(),
                None => values,
            });
        }
        all.extend(of_term?);
    }
    (!terms.is_empty()).then_some(all)
}

fn spread(pod: &Value) -> Vec<Spread> {
    list(pod, "/spec/topologySpreadConstraints")
        .iter()
        .map(|constraint| Spread {
            labels: Labels::of(&with_keys(constraint, pod)),
            topology: text(constraint, "/topologyKey").to_owned(),
            max_skew: int(constraint, "/maxSkew").unwrap_or(1),
            min_domains: int(constraint, "/minDomains")
                .and_then(|least| usize::try_from(least).ok())
                .unwrap_or(1),
            hard: text(constraint, "/whenUnsatisfiable") != "ScheduleAnyway",
            ignore_affinity: text(constraint, "/nodeAffinityPolicy") == "Ignore",
            honor_taints: text(constraint, "/nodeTaintsPolicy") == "Honor",
        })
        .collect()
}

/// What scheduling needs to know of a node itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeFacts {
    pub(crate) name: String,
    pub(crate) labels: Value,
    fields: Value,
    pub(crate) taints: Vec<Value>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Amounts,
    pub(crate) most_pods: usize,
}

impl NodeFacts {
    pub(crate) fn of(node: &Value) -> Self {
        let amounts = admission::amounts(node, "/status/allocatable");
        let most = amounts
            .get("pods")
            .map_or(0, |pods| pods / quantity::whole(1));
        Self {
            name: name(node).to_owned(),
            labels: at(node, "/metadata/labels").clone(),
            fields: json!({ "metadata.name": name(node) }),
            taints: list(node, "/spec/taints").to_vec(),
            unschedulable: is_true(node, "/spec/unschedulable"),
            allocatable: Amounts::of(amounts),
            most_pods: usize::try_from(most).unwrap_or(0),
        }
    }

    /// The value of one of its labels.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).and_then(Value::as_str)
    }

    /// Its labels.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        entries(&self.labels, "").filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }
}

/// A node and the pods on it.
#[derive(Clone, Debug)]
pub(crate) struct NodeInfo {
    pub(crate) node: NodeFacts,
    pub(crate) pods: BTreeMap<Key, Arc<PodFacts>>,
    pub(crate) requested: Amounts,
    usual: (i64, i64),
    /// How many of its pods each controller owns.
    owners: BTreeMap<String, i64>,
    /// The pods on it that take ports of the node.
    with_ports: BTreeSet<Key>,
}

impl NodeInfo {
    pub(crate) fn new(node: NodeFacts) -> Self {
        Self {
            node,
            pods: BTreeMap::new(),
            requested: Amounts::default(),
            usual: (0, 0),
            owners: BTreeMap::new(),
            with_ports: BTreeSet::new(),
        }
    }

    pub(crate) fn put(&mut self, pod: &Arc<PodFacts>) {
        self.take(&pod.key);
        self.requested.add(&pod.requests, 1);
        self.usual.0 += pod.usual.0;
        self.usual.1 += pod.usual.1;
        *self.owners.entry(pod.owner.clone()).or_default() += 1;
        if !pod.ports.is_empty() {
            self.with_ports.insert(pod.key.clone());
        }
        self.pods.insert(pod.key.clone(), pod.clone());
    }

    pub(crate) fn take(&mut self, key: &Key) -> Option<Arc<PodFacts>> {
        let pod = self.pods.remove(key)?;
        self.requested.add(&pod.requests, -1);
        self.usual.0 -= pod.usual.0;
        self.usual.1 -= pod.usual.1;
        if let Some(count) = self.owners.get_mut(&pod.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&pod.owner);
            }
        }
        self.with_ports.remove(key);
        Some(pod)
    }

    /// How many of its pods have the owner of this one.
    pub(crate) fn siblings(&self, pod: &PodFacts) -> i64 {
        if pod.owner.is_empty() {
            return 0;
        }
        self.owners.get(&pod.owner).copied().unwrap_or(0)
    }

    /// Whether a pod on it takes a port that this one wants.
    pub(crate) fn port_taken(&self, pod: &PodFacts) -> bool {
        !pod.ports.is_empty()
            && self
                .with_ports
                .iter()
                .filter_map(|key| self.pods.get(key))
                .flat_map(|other| &other.ports)
                .any(|taken| pod.ports.iter().any(|wanted| wanted.conflicts(taken)))
    }

    /// What is too little for a pod, and whether it would be on the empty node too.
    ///
    /// Source: `pkg/scheduler/framework/plugins/noderesources/fit.go`.
    pub(crate) fn lacks(&self, pod: &PodFacts) -> Option<(Vec<String>, bool)> {
        let (mut lacking, mut hopeless) = (Vec::new(), false);
        if self.pods.len() >= self.node.most_pods {
            lacking.push("Too many pods".to_owned());
        }
        let (wanted, all, used) = (&pod.requests, &self.node.allocatable, &self.requested);
        let mut check = |resource: &str, wanted: i64, all: i64, used: i64| {
            if wanted > 0 && wanted > all.saturating_sub(used) {
                lacking.push(format!("Insufficient {resource}"));
                hopeless |= wanted > all;
            }
        };
        check("cpu", wanted.cpu, all.cpu, used.cpu);
        check("memory", wanted.memory, all.memory, used.memory);
        check(
            "ephemeral-storage",
            wanted.storage,
            all.storage,
            used.storage,
        );
        for (resource, amount) in &wanted.other {
            let of = |amounts: &Amounts| amounts.other.get(resource).copied().unwrap_or(0);
            check(resource, *amount, of(all), of(used));
        }
        (!lacking.is_empty()).then_some((lacking, hopeless))
    }

    /// How empty and how even the node would be with a pod on it, of 200.
    ///
    /// Source: `least_allocated.go` and `balanced_allocation.go` in the plugin `noderesources`.
    pub(crate) fn room(&self, pod: &PodFacts) -> i64 {
        let share = |all: i64, used: i64| {
            if all <= 0 {
                return 1.0;
            }
            (used as f64 / all as f64).min(1.0)
        };
        let all = &self.node.allocatable;
        let least = share(all.cpu, self.usual.0 + pod.usual.0)
            + share(all.memory, self.usual.1 + pod.usual.1);
        let uneven = share(all.cpu, self.requested.cpu + pod.requests.cpu)
            - share(all.memory, self.requested.memory + pod.requests.memory);
        ((1.0 - least / 2.0) * 100.0) as i64 + ((1.0 - uneven.abs() / 2.0) * 100.0) as i64
    }
}
