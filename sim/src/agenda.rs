//! What is to be done, and when.

use std::collections::BTreeMap;

use jiff::Timestamp;

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
    /// Events that are too old are dropped.
    Events,
    /// Something that a kubelet does.
    Kubelet(crate::kubelet::Task),
}

/// What is to be done, in the order of time, then of the asking.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    due: BTreeMap<(Timestamp, u64), Work>,
    when: BTreeMap<Work, (Timestamp, u64)>,
    asked: u64,
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
