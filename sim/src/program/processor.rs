//! The processor time of one container, as the kernel gives it out.
//!
//! A limit is a quota in every period of 100 ms. What computes does so at full speed until the
//! quota is used up, and is stopped until the next period begins.
//!
//! Source: `pkg/kubelet/cm/helpers_linux.go`; the kernel's `Documentation/scheduler/sched-bwc.rst`.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{after, since};

/// The kubelet's `cpuCFSQuotaPeriod`.
const PERIOD: Duration = Duration::from_millis(100);
/// The least that the kernel takes for a quota.
const LEAST: Duration = Duration::from_millis(1);

/// What a container had of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// The time of one processor.
    pub(crate) time: Duration,
    /// In how many periods it computed, and in how many of them it was stopped.
    pub(crate) periods: u64,
    pub(crate) throttled_periods: u64,
    /// How long it was stopped, counted for every process that was.
    pub(crate) throttled: Duration,
}

/// Gives out the processor time of one container.
#[derive(Debug)]
pub(crate) struct Processor {
    /// How much it may have in each period, if not all it wants.
    pub(crate) quota: Option<Duration>,
    pub(crate) used: Used,
    /// Up to when its use is counted.
    counted: Timestamp,
    /// The end of the present period, how much of its quota is used up, and whether somebody was
    /// stopped in it.
    end: Timestamp,
    spent: Duration,
    stopped: bool,
}

impl Processor {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            quota: None,
            used: Used::default(),
            counted: now,
            end: now,
            spent: Duration::ZERO,
            stopped: false,
        }
    }

    /// Limits it to a share of one processor.
    pub(crate) fn limit(&mut self, share: f64) {
        self.quota = Some(PERIOD.mul_f64(share.max(0.0)).max(LEAST));
    }

    /// Counts up to now, since when so many compute, and says how much each of them has computed.
    pub(crate) fn advance(&mut self, now: Timestamp, many: u32) -> Duration {
        let from = self.counted;
        self.counted = from.max(now);
        if many == 0 || now <= from {
            return Duration::ZERO;
        }
        let Some(quota) = self.quota else {
            let passed = since(now, from);
            self.used.time += passed * many;
            return passed;
        };
        let mut each = Duration::ZERO;
        let mut time = from;
        while time < now {
            if time >= self.end {
                self.end = after(time, PERIOD);
                self.spent = Duration::ZERO;
                self.stopped = false;
                self.used.periods += 1;
            }
            let until = self.end.min(now);
            let passed = since(until, time);
            let runs = (quota.saturating_sub(self.spent) / many).min(passed);
            each += runs;
            self.spent += runs * many;
            self.used.time += runs * many;
            if runs < passed {
                self.used.throttled += (passed - runs) * many;
                self.used.throttled_periods += u64::from(!self.stopped);
                self.stopped = true;
            }
            time = until;
        }
        each
    }

    /// When each of so many will have computed for a time.
    pub(crate) fn ends(&self, time: Duration, many: u32) -> Timestamp {
        after(self.counted, self.takes(time, many))
    }

    /// How long it takes from what is counted until each of so many has computed for a time.
    fn takes(&self, time: Duration, many: u32) -> Duration {
        let Some(quota) = self.quota.filter(|_| many > 0) else {
            return time;
        };
        let rest = since(self.end, self.counted);
        let first = (quota.saturating_sub(self.spent) / many).min(rest);
        if time <= first {
            return time;
        }
        // The quota of whole periods, and the beginning of the last one.
        let each = (quota / many).clamp(Duration::from_nanos(1), PERIOD);
        let left = (time - first).as_nanos();
        let whole = (left - 1) / each.as_nanos();
        let last = left - whole * each.as_nanos();
        let nanos = whole
            .saturating_mul(PERIOD.as_nanos())
            .saturating_add(last)
            .min(u128::from(u64::MAX));
        rest + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn a_quota_stops_whoever_has_used_it_up() {
        // Share of a processor, how many compute, what each needs, how long that takes, and the
        // periods in which they computed and were stopped, all in milliseconds.
        for (share, many, needs, takes, periods, stopped) in [
            (1.0, 1, 20, 20, 1, 0),
            (0.5, 1, 20, 20, 1, 0),
            (0.05, 1, 20, 305, 4, 3),
            (0.05, 5, 20, 1901, 20, 19),
            (0.1, 2, 5, 5, 1, 0),
            (2.0, 4, 100, 150, 2, 1),
        ] {
            let began = Timestamp::UNIX_EPOCH;
            let mut processor = Processor::new(began);
            processor.limit(share);
            assert_eq!(
                processor.takes(millis(needs), many),
                millis(takes),
                "{share} {many}"
            );
            let had = processor.advance(after(began, millis(takes)), many);
            assert_eq!(had, millis(needs), "{share} {many}");
            let used = processor.used;
            assert_eq!(used.time, millis(needs) * many);
            assert_eq!(
                (used.periods, used.throttled_periods),
                (periods, stopped),
                "{share} {many}"
            );
        }
    }

    #[test]
    fn what_is_counted_in_between_changes_nothing() {
        let began = Timestamp::UNIX_EPOCH;
        let mut processor = Processor::new(began);
        processor.limit(0.05);
        let mut left = millis(20);
        for step in 1..=61 {
            left = left.saturating_sub(processor.advance(after(began, millis(step * 5)), 1));
        }
        assert_eq!(left, Duration::ZERO);
        assert_eq!(processor.used.throttled_periods, 3);
        // Who computes again later has a period of his own.
        processor.advance(after(began, millis(5000)), 0);
        assert_eq!(processor.takes(millis(5), 1), millis(5));
    }

    #[test]
    fn without_a_limit_nobody_waits_and_nothing_is_counted_in_periods() {
        let began = Timestamp::UNIX_EPOCH;
        let mut processor = Processor::new(began);
        assert_eq!(processor.takes(millis(7), 3), millis(7));
        assert_eq!(processor.advance(after(began, millis(7)), 3), millis(7));
        let used = Used {
            time: millis(21),
            ..Used::default()
        };
        assert_eq!(processor.used, used);
    }
}
