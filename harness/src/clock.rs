//! The harness's time of day: the one clock by which everything it sees is dated.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The time of day. It never runs backwards: it is that of the machine when it was first asked
/// for, plus what has passed since by the runtime's clock.
pub fn now() -> Timestamp {
    static START: OnceLock<(Instant, Timestamp)> = OnceLock::new();
    let (start, time) = *START.get_or_init(|| (Instant::now(), Timestamp::now()));
    SignedDuration::try_from(start.elapsed())
        .ok()
        .and_then(|passed| time.checked_add(passed).ok())
        .unwrap_or(time)
}
