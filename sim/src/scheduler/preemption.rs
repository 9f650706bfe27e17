//! Who has to go, so that a more important pod can run.
//!
//! Source: `pkg/scheduler/framework/preemption/preemption.go` and
//! `pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::PodFacts;
use super::filters::{Counted, Refused, fits};
use super::volumes::Volumes;
use super::{Scheduler, explain};
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::{Key, Store};
use crate::value::{at, entries, int, text};

/// A node, and who would have to go from it.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) node: String,
    /// The most important first.
    pub(crate) victims: Vec<Arc<PodFacts>>,
    /// How many of them a disruption budget protects.
    violations: usize,
}

/// What preemption can do for a pod.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Others make room.
    Room(Candidate),
    /// Nothing, and why. What the pod was promised before stays.
    Waits(&'static str),
    /// Nothing, and why, for good.
    Helpless(String),
}

impl Scheduler {
    /// Looks for pods that are less important than one that fits nowhere.
    pub(crate) fn preempt(
        &self,
        store: &Store,
        pod: &PodFacts,
        volumes: &Volumes,
        refused: &BTreeMap<String, Refused>,
    ) -> Outcome {
        if pod.gentle {
            return Outcome::Waits("not eligible due to preemptionPolicy=Never.");
        }
        let promised = pod.promised.as_str();
        let gone_for_good = refused
            .get(promised)
            .is_some_and(|refused| refused.hopeless);
        if let Some(info) = self.nodes.get(promised)
            && !gone_for_good
        {
            let leaving = info
                .pods
                .values()
                .filter(|other| other.priority < pod.priority && other.leaving)
                .any(|other| preempted(store, &other.key));
            if leaving {
                return Outcome::Waits(
                    "not eligible due to a terminating pod on the nominated node.",
                );
            }
        }
        let hopeful = refused.iter().filter(|(_, refused)| !refused.hopeless);
        let most = 100.max(self.nodes.len() / 10);
        let (mut candidates, mut reasons) = (Vec::new(), Vec::new());
        for (node, _) in hopeful {
            match self.victims(store, pod, volumes, node) {
                Ok(candidate) => candidates.push(candidate),
                Err(why) => reasons.push(why),
            }
            if candidates.len() >= most {
                break;
            }
        }
        let all = self.nodes.len();
        let order = |candidate: &Candidate| {
            let highest = candidate.victims.first().map_or(0, |first| first.priority);
            let sum: i64 = candidate
                .victims
                .iter()
                .map(|victim| victim.priority + i64::from(i32::MAX) + 1)
                .sum();
            let first = candidate
                .victims
                .iter()
                .filter(|victim| victim.priority == highest)
                .map(|victim| started(store, &victim.key))
                .min();
            (
                candidate.violations,
                highest,
                sum,
                candidate.victims.len(),
                std::cmp::Reverse(first),
            )
        };
        if let Some(best) = candidates.into_iter().min_by_key(order) {
            return Outcome::Room(best);
        }
        let unhelped = all - reasons.len();
        let rest = std::iter::repeat_n("Preemption is not helpful for scheduling", unhelped);
        let reasons = reasons.iter().flatten().map(String::as_str).chain(rest);
        Outcome::Helpless(explain(all, reasons))
    }

    /// The fewest and least important pods of a node that have to go.
    fn victims(
        &self,
        store: &Store,
        pod: &PodFacts,
        volumes: &Volumes,
        node: &str,
    ) -> Result<Candidate, Vec<String>> {
        let Some(mut info) = self.with_promised(node, pod) else {
            return Err(Vec::new());
        };
        let mut less: Vec<Arc<PodFacts>> = info
            .pods
            .values()
            .filter(|other| other.priority < pod.priority)
            .cloned()
            .collect();
        if less.is_empty() {
            return Err(vec![
                "No preemption victims found for incoming pod".to_owned(),
            ]);
        }
        let mut gone: BTreeSet<Key> = BTreeSet::new();
        for victim in &less {
            info.take(&victim.key);
            gone.insert(victim.key.clone());
        }
        let counted = Counted::of(self, store, pod, &gone);
        fits(pod, &info, &counted, volumes, store).map_err(|refused| refused.reasons)?;
        less.sort_by_key(|victim| importance(store, victim));
        let (protected, free) = protect(store, less);
        let mut victims = Vec::new();
        let mut violations = 0;
        for (one, protected) in protected
            .into_iter()
            .map(|one| (one, true))
            .chain(free.into_iter().map(|one| (one, false)))
        {
            info.put(&one);
            gone.remove(&one.key);
            let counted = Counted::of(self, store, pod, &gone);
            if fits(pod, &info, &counted, volumes, store).is_ok() {
                continue;
            }
            info.take(&one.key);
            gone.insert(one.key.clone());
            violations += usize::from(protected);
            victims.push(one);
        }
        victims.sort_by_key(|victim| importance(store, victim));
        Ok(Candidate {
            node: node.to_owned(),
            victims,
            violations,
        })
    }
}

/// Orders pods, the most important first.
fn importance(store: &Store, pod: &PodFacts) -> (std::cmp::Reverse<i64>, String) {
    (std::cmp::Reverse(pod.priority), started(store, &pod.key))
}

/// When a pod started; what has not yet started comes last.
fn started(store: &Store, key: &Key) -> String {
    let pod = store.get(Kind::Pod, key);
    match pod.map_or("", |pod| text(pod, "/status/startTime")) {
        "" => "~".to_owned(),
        time => time.to_owned(),
    }
}

fn preempted(store: &Store, key: &Key) -> bool {
    store.get(Kind::Pod, key).is_some_and(|pod| {
        crate::value::condition(pod, "DisruptionTarget").is_some_and(|condition| {
            text(condition, "/status") == "True"
                && text(condition, "/reason") == "PreemptionByScheduler"
        })
    })
}

/// Parts pods that no budget lets go from those that may go.
fn protect(store: &Store, pods: Vec<Arc<PodFacts>>) -> (Vec<Arc<PodFacts>>, Vec<Arc<PodFacts>>) {
    let mut budgets: Vec<_> = store
        .list(Kind::PodDisruptionBudget, None)
        .filter_map(|budget| {
            let labels = Labels::of(at(budget, "/spec/selector"))?;
            let allowed = int(budget, "/status/disruptionsAllowed").unwrap_or(0);
            (!labels.is_empty()).then_some((budget, labels, allowed))
        })
        .collect();
    pods.into_iter().partition(|pod| {
        let mut violated = false;
        for (budget, labels, allowed) in &mut budgets {
            let there = text(budget, "/metadata/namespace") == pod.key.namespace;
            let counted =
                entries(budget, "/status/disruptedPods").any(|(name, _)| *name == pod.key.name);
            if there && labels.matches(&pod.labels) && !counted {
                *allowed -= 1;
                violated |= *allowed < 0;
            }
        }
        violated
    })
}
