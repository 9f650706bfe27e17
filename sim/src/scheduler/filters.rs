//! Which nodes a pod can be on, and why not.
//!
//! Source: `pkg/scheduler/framework/plugins/`.

use std::collections::{BTreeMap, BTreeSet};

use super::Scheduler;
use super::facts::{NodeInfo, PodFacts};
use super::volumes::Volumes;
use crate::store::{Key, Store};

/// What a pod was refused for, as one bit each: what has to change before it is tried again.
pub(crate) mod why {
    pub(crate) const CORDON: u16 = 1;
    pub(crate) const NAME: u16 = 1 << 1;
    pub(crate) const TAINTS: u16 = 1 << 2;
    pub(crate) const AFFINITY: u16 = 1 << 3;
    pub(crate) const PORTS: u16 = 1 << 4;
    pub(crate) const RESOURCES: u16 = 1 << 5;
    pub(crate) const VOLUMES: u16 = 1 << 6;
    pub(crate) const SPREAD: u16 = 1 << 7;
    pub(crate) const PODS: u16 = 1 << 8;
    /// Nothing was looked at: any node helps.
    pub(crate) const NODES: u16 = 1 << 9;
}

/// Why a node does not do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) why: u16,
    pub(crate) reasons: Vec<String>,
    /// Whether it would still not do with less on it.
    pub(crate) hopeless: bool,
}

fn refused(why: u16, reason: &str, hopeless: bool) -> Result<(), Refused> {
    Err(Refused {
        why,
        reasons: vec![reason.to_owned()],
        hopeless,
    })
}

type Domain = (String, String);

/// What is counted over all nodes before any of them is looked at.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// For each hard constraint: the matching pods by domain.
    spread: Vec<BTreeMap<String, i64>>,
    /// The domains that the pods there keep this one from,
    barred: BTreeSet<Domain>,
    /// those where the pods are that it must be near,
    near: BTreeMap<Domain, i64>,
    /// and those where the pods are that it must be apart from.
    apart: BTreeSet<Domain>,
    first: bool,
}

impl Counted {
    /// Counts what the constraints of a pod need, as if some pods were not there.
    pub(crate) fn of(
        scheduler: &Scheduler,
        store: &Store,
        pod: &PodFacts,
        gone: &BTreeSet<Key>,
    ) -> Self {
        let mut counted = Self::default();
        for (key, node) in &scheduler.standoffish {
            let (Some(other), Some(info)) = (
                scheduler
                    .nodes
                    .get(node)
                    .and_then(|info| info.pods.get(key)),
                scheduler.nodes.get(node),
            ) else {
                continue;
            };
            if gone.contains(key) {
                continue;
            }
            for term in &other.apart {
                if term.means(pod, store)
                    && let Some(value) = info.node.label(&term.topology)
                {
                    let domain = (term.topology.clone(), value.to_owned());
                    counted.barred.insert(domain);
                }
            }
        }
        let hard: Vec<_> = pod.spread.iter().filter(|spread| spread.hard).collect();
        counted.spread = vec![BTreeMap::new(); hard.len()];
        if hard.is_empty() && pod.near.is_empty() && pod.apart.is_empty() {
            return counted;
        }
        for info in scheduler.nodes.values() {
            let node = &info.node;
            let pods = || info.pods.values().filter(|pod| !gone.contains(&pod.key));
            let everywhere = hard.iter().all(|c| node.label(&c.topology).is_some());
            for (constraint, domains) in hard.iter().zip(&mut counted.spread) {
                let Some(value) = node.label(&constraint.topology) else {
                    continue;
                };
                if !everywhere
                    || !constraint.ignore_affinity && !pod.selects(node)
                    || constraint.honor_taints && pod.kept_by(node)
                {
                    continue;
                }
                let matching = pods()
                    .filter(|other| {
                        other.key.namespace == pod.key.namespace
                            && !other.leaving
                            && constraint
                                .labels
                                .as_ref()
                                .is_some_and(|labels| labels.matches(&other.labels))
                    })
                    .count();
                *domains.entry(value.to_owned()).or_default() +=
                    i64::try_from(matching).unwrap_or(i64::MAX);
            }
            if pod.near.is_empty() && pod.apart.is_empty() {
                continue;
            }
            for other in pods() {
                if !pod.near.is_empty() && pod.near.iter().all(|term| term.means(other, store)) {
                    for term in &pod.near {
                        if let Some(value) = node.label(&term.topology) {
                            let domain = (term.topology.clone(), value.to_owned());
                            *counted.near.entry(domain).or_default() += 1;
                        }
                    }
                }
                for term in pod.apart.iter().filter(|term| term.means(other, store)) {
                    if let Some(value) = node.label(&term.topology) {
                        let domain = (term.topology.clone(), value.to_owned());
                        counted.apart.insert(domain);
                    }
                }
            }
        }
        // The first of pods that want to be near each other may be anywhere.
        counted.first =
            counted.near.is_empty() && pod.near.iter().all(|term| term.means(pod, store));
        counted
    }
}

/// Whether a pod can be on a node, or the first reason why not.
pub(crate) fn fits(
    pod: &PodFacts,
    info: &NodeInfo,
    counted: &Counted,
    volumes: &Volumes,
    store: &Store,
) -> Result<(), Refused> {
    let node = &info.node;
    if node.unschedulable && !pod.tolerates_cordon() {
        return refused(why::CORDON, "node(s) were unschedulable", true);
    }
    if pod.kept_by(node) {
        return refused(why::TAINTS, "node(s) had untolerated taint(s)", true);
    }
    if !pod.selects(node) {
        let reason = "node(s) didn't match Pod's node affinity/selector";
        return refused(why::AFFINITY, reason, true);
    }
    if info.port_taken(pod) {
        let reason = "node(s) didn't have free ports for the requested pod ports";
        return refused(why::PORTS, reason, false);
    }
    if let Some((reasons, hopeless)) = info.lacks(pod) {
        return Err(Refused {
            why: why::RESOURCES,
            reasons,
            hopeless,
        });
    }
    if volumes.taken() {
        let reason = "node has pod using PersistentVolumeClaim with the same name and \
                      ReadWriteOncePod access mode";
        return refused(why::VOLUMES, reason, false);
    }
    let reasons = volumes.refusals(store, node);
    if !reasons.is_empty() {
        return Err(Refused {
            why: why::VOLUMES,
            reasons: reasons.into_iter().map(str::to_owned).collect(),
            hopeless: true,
        });
    }
    spreads(pod, info, counted)?;
    near_others(pod, info, counted)
}

fn spreads(pod: &PodFacts, info: &NodeInfo, counted: &Counted) -> Result<(), Refused> {
    let hard = pod.spread.iter().filter(|spread| spread.hard);
    for (constraint, domains) in hard.zip(&counted.spread) {
        let Some(value) = info.node.label(&constraint.topology) else {
            let reason =
                "node(s) didn't match pod topology spread constraints (missing required label)";
            return refused(why::SPREAD, reason, true);
        };
        let itself = constraint
            .labels
            .as_ref()
            .is_some_and(|selector| selector.matches(&pod.labels));
        let least = if domains.len() < constraint.min_domains {
            0
        } else {
            domains.values().copied().min().unwrap_or(0)
        };
        let there = domains.get(value).copied().unwrap_or(0);
        if there + i64::from(itself) - least > constraint.max_skew {
            let reason = "node(s) didn't match pod topology spread constraints";
            return refused(why::SPREAD, reason, false);
        }
    }
    Ok(())
}

fn near_others(pod: &PodFacts, info: &NodeInfo, counted: &Counted) -> Result<(), Refused> {
    let domain = |topology: &str| {
        let value = info.node.label(topology)?;
        Some((topology.to_owned(), value.to_owned()))
    };
    let near = pod.near.iter().all(|term| {
        domain(&term.topology)
            .is_some_and(|domain| counted.first || counted.near.contains_key(&domain))
    });
    if !near {
        return refused(why::PODS, "node(s) didn't match pod affinity rules", true);
    }
    let apart = pod
        .apart
        .iter()
        .all(|term| domain(&term.topology).is_none_or(|domain| !counted.apart.contains(&domain)));
    if !apart {
        let reason = "node(s) didn't match pod anti-affinity rules";
        return refused(why::PODS, reason, false);
    }
    let barred = !counted.barred.is_empty()
        && info
            .node
            .labels()
            .any(|(key, value)| counted.barred.contains(&(key.to_owned(), value.to_owned())));
    if barred {
        let reason = "node(s) didn't satisfy existing pods anti-affinity rules";
        return refused(why::PODS, reason, false);
    }
    Ok(())
}
