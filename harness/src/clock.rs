//! The harness's time of day: the one clock by which everything it sees is dated.

use std::{cell::Cell, sync::OnceLock, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

thread_local! {
    /// When the time of day of this thread began, and what it was, where it has one of its own.
    static OWN: Cell<Option<(Instant, Timestamp)>> = const { Cell::new(None) };
}

/// The time of day. It never runs backwards: it is that of the machine when it was first asked
/// for, plus what has passed since by the runtime's clock; or that of an [`Epoch`].
pub fn now() -> Timestamp {
    static START: OnceLock<(Instant, Timestamp)> = OnceLock::new();
    let machine = || *START.get_or_init(|| (Instant::now(), Timestamp::now()));
    let (start, time) = OWN.get().unwrap_or_else(machine);
    SignedDuration::try_from(start.elapsed())
        .ok()
        .and_then(|passed| time.checked_add(passed).ok())
        .unwrap_or(time)
}

/// Lets the clock go on, so that what comes next comes later. Nothing is waited for: in virtual time
/// what follows would else fall into the same instant, and nobody could say any more what came first.
pub async fn tick() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A time of day of its own for this thread, as long as this lives: for a runtime that runs on
/// this thread alone, and whose clock is paused.
#[derive(Debug)]
#[must_use = "the time of day is the machine's again when this is dropped"]
pub struct Epoch(());

impl Epoch {
    /// Lets it be this time now. Must be called within the runtime.
    pub fn begin(time: Timestamp) -> Self {
        OWN.set(Some((Instant::now(), time)));
        Self(())
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        OWN.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_epoch_runs_by_the_runtimes_clock() {
        let epoch = Epoch::begin(Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(now().as_second(), 3600);
        let before = now();
        tick().await;
        assert!(now() > before);
        drop(epoch);
        assert!(now().as_second() > 1_000_000_000);
    }
}
