//! What a cluster is made of.

use jiff::Timestamp;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time of day at the start.
    pub epoch: Timestamp,
    /// How many of the cluster's seconds pass in one of tokio's clock.
    pub speed: f64,
    /// What names, uids and addresses are made from: the same seed gives the same.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            epoch: Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH),
            speed: 1.0,
            seed: 1,
        }
    }
}
