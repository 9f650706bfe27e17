//! The cluster's time of day.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time of the cluster: an epoch, plus what tokio's clock has run since. Its clones are
/// the same clock.
///
/// Under a runtime whose clock is paused this time is virtual: it leaps to whatever is awaited
/// next. Under a running clock it passes as the wall clock's does, or `speed` times as fast.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Setting>>);

/// The time at a moment of tokio's clock, and how fast it passes from then on.
#[derive(Clone, Copy, Debug)]
struct Setting {
    epoch: Timestamp,
    started: Instant,
    speed: f64,
}

impl Clock {
    /// A clock that shows `epoch` now, and of which `speed` seconds pass in a second of tokio's.
    ///
    /// A speed that is not a positive number counts as 1.
    pub fn new(epoch: Timestamp, speed: f64) -> Self {
        Self(Arc::new(Mutex::new(Setting {
            epoch,
            started: Instant::now(),
            speed: sound(speed),
        })))
    }

    fn setting(&self) -> Setting {
        // It is replaced as a whole: a panic elsewhere leaves it sound.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What time it is in the cluster.
    pub fn now(&self) -> Timestamp {
        let Setting {
            epoch,
            started,
            speed,
        } = self.setting();
        after(epoch, scaled(started.elapsed(), speed))
    }

    /// Lets it pass faster or slower from now on.
    pub(crate) fn set_speed(&self, speed: f64) {
        let setting = Setting {
            epoch: self.now(),
            started: Instant::now(),
            speed: sound(speed),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = setting;
    }

    /// The moment of tokio's clock at which it will be `time` in the cluster.
    pub fn instant(&self, time: Timestamp) -> Instant {
        let Setting { epoch, started, .. } = self.setting();
        let ahead = Duration::try_from(time.duration_since(epoch)).unwrap_or_default();
        started + self.real(ahead)
    }

    /// How long a span of the cluster's time takes on tokio's clock, at most a century.
    pub(crate) fn real(&self, span: Duration) -> Duration {
        // A far future would overflow tokio's clock: nobody waits longer than a century.
        let speed = self.setting().speed;
        scaled(span, speed.recip()).min(Duration::from_secs(100 * 365 * 24 * 3600))
    }
}

fn sound(speed: f64) -> f64 {
    if speed.is_finite() && speed > 0.0 {
        speed
    } else {
        1.0
    }
}

/// So many times a span; the longest that can be told if that is beyond it.
fn scaled(span: Duration, times: f64) -> Duration {
    if times == 1.0 {
        return span;
    }
    Duration::try_from_secs_f64(span.as_secs_f64() * times).unwrap_or(Duration::MAX)
}

/// The time `later` than `time`; the last that can be told if that is beyond it.
pub(crate) fn after(time: Timestamp, later: Duration) -> Timestamp {
    time.checked_add(later).unwrap_or(Timestamp::MAX)
}

/// How long after `earlier` it is, zero if it is not.
pub(crate) fn since(time: Timestamp, earlier: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(earlier)).unwrap_or_default()
}

/// A time as Kubernetes writes it in most fields: to the second.
pub(crate) fn seconds(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_leaps_to_what_is_awaited() {
        let clock = Clock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1.0);
        tokio::time::sleep_until(clock.instant("2026-01-01T05:00:00Z".parse().unwrap())).await;
        assert_eq!(seconds(clock.now()), "2026-01-01T05:00:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_faster_clock_passes_faster() {
        let clock = Clock::new("2026-01-01T00:00:00Z".parse().unwrap(), 60.0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(seconds(clock.now()), "2026-01-01T00:01:00Z");
        clock.set_speed(1.0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(seconds(clock.now()), "2026-01-01T00:01:01Z");
        let later = clock.instant("2026-01-01T00:01:03Z".parse().unwrap());
        assert_eq!(later, Instant::now() + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn no_span_and_no_speed_overflows() {
        for speed in [1.0, f64::MAX, f64::MIN_POSITIVE, 0.0, -1.0, f64::NAN] {
            let started = Instant::now();
            let clock = Clock::new(Timestamp::UNIX_EPOCH, speed);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(clock.now() > Timestamp::UNIX_EPOCH || speed == f64::MIN_POSITIVE);
            assert!(clock.instant(Timestamp::MAX) >= started);
            assert!(clock.real(Duration::MAX) <= Duration::from_secs(100 * 365 * 24 * 3600));
        }
    }

    #[test]
    fn times_are_written_to_the_second() {
        let time: Timestamp = "2026-01-01T00:00:00.0123456Z".parse().unwrap();
        assert_eq!(seconds(time), "2026-01-01T00:00:00Z");
    }
}
