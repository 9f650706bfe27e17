//! What a client meets at an API server that is overloaded, restarted, or behind a proxy: so that
//! it can be seen to bear that.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use crate::Cluster;
use crate::error::Refusal;

/// The trouble that the API makes.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// With which status requests are answered, and how many still are.
    refuses: Mutex<(u16, u32)>,
    /// How much longer lists take.
    slow: Mutex<Duration>,
    /// How often all watches were cut.
    cut: watch::Sender<u32>,
}

impl Cluster {
    /// Answers so many of the next requests with a status such as 429 or 500.
    pub fn refuse(&self, status: u16, requests: u32) {
        *lock(&self.shared.trouble.refuses) = (status, requests);
    }

    /// Lets lists take so much longer, by tokio's clock.
    pub fn slow_lists(&self, by: Duration) {
        *lock(&self.shared.trouble.slow) = by;
    }

    /// Ends every watch that is open.
    pub fn cut_watches(&self) {
        self.shared.trouble.cut.send_modify(|times| *times += 1);
    }

    /// The refusal that the next request meets, if any.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let (status, left) = &mut *lock(&self.shared.trouble.refuses);
        *left = left.checked_sub(1)?;
        Some(match *status {
            429 => {
                let mut refusal = Refusal::plain(
                    429,
                    "TooManyRequests",
                    "the server has received too many requests and has asked us to try again later",
                );
                refusal.details = json!({ "retryAfterSeconds": 1 });
                refusal
            }
            503 => Refusal::plain(
                503,
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            status => {
                let mut refusal = Refusal::internal("it was told to fail");
                refusal.code = status;
                refusal
            }
        })
    }

    pub(super) fn slowness(&self) -> Duration {
        *lock(&self.shared.trouble.slow)
    }

    pub(super) fn cuts(&self) -> watch::Receiver<u32> {
        self.shared.trouble.cut.subscribe()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
