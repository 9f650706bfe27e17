//! What is to be done, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;
use crate::kinds::Kind;
use crate::store::Key;

/// One piece of work of one of the cluster's parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Work {
    /// What a namespace needs, or what is left in it to delete.
    Namespace(Key),
    /// What depended on an object that is gone is collected.
    Collect(String),
    /// Pods are given nodes.
    Schedule,
    /// Pods that have waited too long are looked at again.
    Reschedule,
    /// A claim is bound, or told why not.
    Claim(Key),
    /// A volume follows its claim.
    Volume(String),
    /// Every node is looked at: who is silent, and for how long.
    NodeHealth,
    /// A node in trouble is tainted.
    Taints(String),
    /// A pod has to leave its tainted node.
    Evict(Key),
    /// Pods that nobody looks after are cleared away.
    PodGarbage,
    /// A disruption budget is counted anew.
    Budget(Key),
    /// A pod that was to go and did not is told that it stays.
    Spared(Key),
    /// Events that are too old are dropped.
    Events,
    /// Something that a kubelet does.
    Kubelet(crate::kubelet::Task),
    /// An object is brought to what it asks for.
    Sync(Kind, Key),
}

/// How soon failed work is tried again, and the longest that is waited when it fails on and on.
///
/// Source: `staging/src/k8s.io/client-go/util/workqueue/default_rate_limiters.go`.
const AGAIN: Duration = Duration::from_millis(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(1000);

/// What is to be done, in the order of time, then of the asking.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    due: BTreeMap<(Timestamp, u64), Work>,
    when: BTreeMap<Work, (Timestamp, u64)>,
    asked: u64,
    failures: BTreeMap<Work, u32>,
}

impl Agenda {
    /// Asks for work at a time. Work that is asked for twice is done once, at the earlier time.
    pub(crate) fn at(&mut self, time: Timestamp, work: Work) {
        if let Some(present) = self.when.get(&work) {
            if present.0 <= time {
                return;
            }
            self.due.remove(present);
        }
        self.asked += 1;
        self.due.insert((time, self.asked), work.clone());
        self.when.insert(work, (time, self.asked));
    }

    /// Asks for work again that has failed: each time in a row after twice as long.
    pub(crate) fn retry(&mut self, now: Timestamp, work: Work) {
        self.retry_within(now, work, AGAIN, AGAIN_AT_MOST);
    }

    /// Asks for work again that has failed, with its own first and longest wait.
    pub(crate) fn retry_within(
        &mut self,
        now: Timestamp,
        work: Work,
        first: Duration,
        most: Duration,
    ) {
        let failures = self.failures.entry(work.clone()).or_default();
        let wait = first.saturating_mul(1 << (*failures).min(20)).min(most);
        *failures += 1;
        self.at(after(now, wait), work);
    }

    /// Work has succeeded, or is no longer needed: when it fails again, it is soon tried again.
    pub(crate) fn forget(&mut self, work: &Work) {
        self.failures.remove(work);
    }

    /// When the next work is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(time, _)| *time)
    }

    /// Takes the next work that is due by now.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Work> {
        let first = *self.due.keys().next()?;
        if first.0 > now {
            return None;
        }
        let work = self.due.remove(&first)?;
        self.when.remove(&work);
        Some(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_and_in_order() {
        let time = |second| Timestamp::from_second(second).unwrap();
        let mut agenda = Agenda::default();
        agenda.at(time(5), Work::Namespace(Key::default()));
        agenda.at(time(3), Work::Collect(String::new()));
        agenda.at(time(2), Work::Namespace(Key::default()));
        agenda.at(time(9), Work::Collect(String::new()));
        assert_eq!(agenda.next(), Some(time(2)));
        assert_eq!(agenda.take(time(9)), Some(Work::Namespace(Key::default())));
        assert_eq!(agenda.take(time(9)), Some(Work::Collect(String::new())));
        assert_eq!(agenda.take(time(9)), None);
    }
}
