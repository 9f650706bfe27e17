//! Which nodes pod affinity, anti-affinity and topology spread leave.
//!
//! Source: `pkg/scheduler/framework/plugins/interpodaffinity/filtering.go` and
//! `pkg/scheduler/framework/plugins/podtopologyspread/filtering.go`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Namespace, PodAffinityTerm, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::facts::Pod;
use crate::kubernetes::scheduling::{self, NodeShape};
use crate::kubernetes::selector::{self, Labels};
use crate::view::View;

/// One term that a node must satisfy.
pub(super) struct Constraint {
    /// Its path from the pod's root.
    pub field: String,
    /// What it asks, in words.
    pub text: String,
    key: String,
    rule: Rule,
}

/// What a term asks of the node's domain: the value of the node's label of the term's key.
enum Rule {
    /// The domain is one of these; any, where none is given.
    OneOf(Option<BTreeSet<String>>),
    /// The domain is none of these.
    NoneOf(BTreeSet<String>),
    /// One more pod in the domain keeps it within this of the emptiest.
    Spread {
        pods: BTreeMap<String, i64>,
        fewest: i64,
        more: i64,
        most_skew: i64,
    },
}

impl Constraint {
    /// Whether a node satisfies it.
    pub fn holds(&self, node: &NodeShape) -> bool {
        let domain = node.labels.get(&self.key);
        match (&self.rule, domain) {
            (Rule::OneOf(None), domain) => domain.is_some(),
            (Rule::OneOf(Some(domains)), Some(domain)) => domains.contains(domain),
            (Rule::NoneOf(domains), Some(domain)) => !domains.contains(domain),
            (Rule::NoneOf(_), None) => true,
            (
                Rule::Spread {
                    pods,
                    fewest,
                    more,
                    most_skew,
                },
                Some(domain),
            ) => {
                let here = pods.get(domain).copied().unwrap_or(0);
                here + more - fewest <= *most_skew
            }
            (Rule::OneOf(Some(_)) | Rule::Spread { .. }, None) => false,
        }
    }
}

/// The terms that a pod's node must satisfy, as the pods are now; or, if those that are being
/// deleted are left out, as they will be soon.
///
/// Of other pods' anti-affinity, only that of pods of the same namespace is looked at.
pub(super) fn constraints(pod: &Pod, with_leaving: bool, view: &View<'_>) -> Vec<Constraint> {
    let mut found = Vec::new();
    let affinity = pod.spec.affinity.as_ref();
    let wanted = affinity
        .and_then(|affinity| affinity.pod_affinity.as_ref())
        .and_then(|wanted| {
            wanted
                .required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    let unwanted = affinity
        .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
        .and_then(|unwanted| {
            unwanted
                .required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    let counts = |other: &Pod| {
        other.node.is_some() && !other.is_finished() && (with_leaving || other.deleting.is_none())
    };
    if let Some(terms) = wanted {
        let terms: Vec<Term<'_>> = terms.iter().map(|term| Term::of(term, pod, view)).collect();
        let matching: Vec<&Pod> = terms
            .first()
            .map(|term| term.pods(view))
            .unwrap_or_default()
            .into_iter()
            .filter(|other| counts(other) && terms.iter().all(|term| term.matches(other)))
            .collect();
        // The first of a group that wants to be together may go anywhere.
        let is_first = matching.is_empty() && terms.iter().all(|term| term.matches(pod));
        for (index, term) in terms.iter().enumerate() {
            let domains = (!is_first).then(|| domains(&matching, term.key, view));
            found.push(Constraint {
                field: field("podAffinity", index),
                text: format!("a pod of {} in its {}", term.text, term.key),
                key: term.key.to_owned(),
                rule: Rule::OneOf(domains),
            });
        }
    }
    for (index, term) in unwanted.into_iter().flatten().enumerate() {
        let term = Term::of(term, pod, view);
        let matching = term.pods(view).into_iter();
        let matching: Vec<&Pod> = matching
            .filter(|other| counts(other) && term.matches(other))
            .collect();
        found.push(Constraint {
            field: field("podAntiAffinity", index),
            text: format!("no pod of {} in its {}", term.text, term.key),
            key: term.key.to_owned(),
            rule: Rule::NoneOf(domains(&matching, term.key, view)),
        });
    }
    let spread = pod
        .spec
        .topology_spread_constraints
        .iter()
        .flatten()
        .enumerate();
    let hard: Vec<(usize, &TopologySpreadConstraint)> = spread
        .filter(|(_, constraint)| constraint.when_unsatisfiable == "DoNotSchedule")
        .collect();
    for (index, constraint) in &hard {
        found.push(spread_constraint(pod, *index, constraint, &hard, view));
    }
    found.extend(of_others(pod, counts, view));
    found
}

fn field(kind: &str, index: usize) -> String {
    format!("spec.affinity.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}]")
}

/// The anti-affinity of pods that are there already, where it is against this one.
fn of_others(pod: &Pod, counts: impl Fn(&Pod) -> bool, view: &View<'_>) -> Option<Constraint> {
    // Looking at all pods of the namespace is worth it only for pods that something keeps apart:
    // a message of the scheduler says so.
    let condition = pod.condition("PodScheduled")?;
    let message = condition.message.as_deref()?;
    if !message.contains("existing pods anti-affinity rules") {
        return None;
    }
    let mut against: Option<(String, BTreeSet<String>)> = None;
    for other in view
        .in_namespace::<Pod>(&pod.namespace)
        .filter(|other| counts(other))
    {
        let affinity = other.spec.affinity.as_ref();
        let terms = affinity
            .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
            .and_then(|terms| {
                terms
                    .required_during_scheduling_ignored_during_execution
                    .as_ref()
            });
        let Some(node) = other.node.as_deref().and_then(|node| view.node_shape(node)) else {
            continue;
        };
        for term in terms.into_iter().flatten() {
            let matching = Term::of(term, other, view).matches(pod);
            let (Some(domain), true) = (node.labels.get(&term.topology_key), matching) else {
                continue;
            };
            let (key, domains) =
                against.get_or_insert_with(|| (term.topology_key.clone(), BTreeSet::new()));
            if *key == term.topology_key {
                domains.insert(domain.clone());
            }
        }
    }
    let (key, domains) = against?;
    Some(Constraint {
        field: "metadata.labels".to_owned(),
        text: format!("no pod in its {key} that keeps pods of such labels away"),
        key,
        rule: Rule::NoneOf(domains),
    })
}

/// A term with what it means for the pod that it stands in.
struct Term<'t> {
    key: &'t str,
    selector: Option<LabelSelector>,
    namespaces: BTreeSet<String>,
    text: String,
}

impl<'t> Term<'t> {
    fn of(term: &'t PodAffinityTerm, pod: &Pod, view: &View<'_>) -> Self {
        let named = term.namespaces.iter().flatten().cloned();
        let mut namespaces: BTreeSet<String> = named.collect();
        match &term.namespace_selector {
            Some(asked) => {
                let matching = view.all::<Namespace>().filter(|namespace| {
                    let labels = namespace.metadata.labels.clone().unwrap_or_default();
                    selector::matches(Some(asked), &labels)
                });
                namespaces.extend(matching.filter_map(|all| all.metadata.name.clone()));
            }
            None if namespaces.is_empty() => {
                namespaces.insert(pod.namespace.clone());
            }
            None => {}
        }
        let selector = with_own_values(
            term.label_selector.as_ref(),
            term.match_label_keys.as_deref(),
            &pod.labels,
        );
        let text = selector.as_ref().map(selector::text).unwrap_or_default();
        Self {
            key: &term.topology_key,
            selector,
            namespaces,
            text,
        }
    }

    fn matches(&self, pod: &Pod) -> bool {
        self.namespaces.contains(&pod.namespace)
            && selector::matches(self.selector.as_ref(), &pod.labels)
    }

    fn pods<'v>(&self, view: &View<'v>) -> Vec<&'v Pod> {
        let namespaces = self.namespaces.iter();
        namespaces
            .flat_map(|namespace| view.in_namespace::<Pod>(namespace))
            .collect()
    }
}

/// The selector, narrowed to what has the pod's own values of these labels.
fn with_own_values(
    selector: Option<&LabelSelector>,
    keys: Option<&[String]>,
    labels: &Labels,
) -> Option<LabelSelector> {
    let mut selector = selector?.clone();
    for key in keys.unwrap_or_default() {
        if let Some(value) = labels.get(key) {
            let equalities = selector.match_labels.get_or_insert_default();
            equalities.insert(key.clone(), value.clone());
        }
    }
    Some(selector)
}

/// The values of a label on the nodes of these pods.
fn domains(pods: &[&Pod], key: &str, view: &View<'_>) -> BTreeSet<String> {
    let nodes = pods
        .iter()
        .filter_map(|pod| view.node_shape(pod.node.as_deref()?));
    nodes
        .filter_map(|node| node.labels.get(key).cloned())
        .collect()
}

fn spread_constraint(
    pod: &Pod,
    index: usize,
    constraint: &TopologySpreadConstraint,
    all: &[(usize, &TopologySpreadConstraint)],
    view: &View<'_>,
) -> Constraint {
    let key = &constraint.topology_key;
    let selector = with_own_values(
        constraint.label_selector.as_ref(),
        constraint.match_label_keys.as_deref(),
        &pod.labels,
    );
    let heeds_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
    let heeds_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    let counts = |node: &NodeShape| {
        all.iter()
            .all(|(_, other)| node.labels.contains_key(&other.topology_key))
            && (!heeds_affinity || scheduling::selects(&pod.spec, node))
            && (!heeds_taints || scheduling::tolerates_all(&pod.spec, node))
    };
    let nodes: BTreeMap<&str, &String> = view
        .node_shapes()
        .filter(|node| counts(node))
        .filter_map(|node| Some((node.name.as_str(), node.labels.get(key)?)))
        .collect();
    let mut pods: BTreeMap<String, i64> = nodes
        .values()
        .map(|domain| ((*domain).clone(), 0))
        .collect();
    for other in view.in_namespace::<Pod>(&pod.namespace) {
        let matching = selector::matches(selector.as_ref(), &other.labels)
            && !other.is_finished()
            && other.deleting.is_none();
        let domain = other.node.as_deref().and_then(|node| nodes.get(node));
        if let (Some(domain), true) = (domain, matching) {
            *pods.entry((*domain).clone()).or_default() += 1;
        }
    }
    let asked = constraint
        .min_domains
        .and_then(|asked| usize::try_from(asked).ok());
    let is_short_of_domains = asked.is_some_and(|asked| pods.len() < asked);
    let fewest = if is_short_of_domains {
        None
    } else {
        pods.values().copied().min()
    };
    let text = selector.as_ref().map(selector::text).unwrap_or_default();
    Constraint {
        field: format!("spec.topologySpreadConstraints[{index}]"),
        text: format!(
            "at most {} more pods of {text} than in any other {key}",
            constraint.max_skew
        ),
        key: key.clone(),
        rule: Rule::Spread {
            fewest: fewest.unwrap_or(0),
            more: i64::from(selector::matches(selector.as_ref(), &pod.labels)),
            most_skew: i64::from(constraint.max_skew),
            pods,
        },
    }
}
