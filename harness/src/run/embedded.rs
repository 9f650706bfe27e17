//! Scenarios on embedded clusters: each has a cluster, a runtime and a time of day of its own, so
//! that what comes of it depends on nothing else. Time is virtual: whatever is waited for comes at
//! once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use crashbook_sim::Cluster;
use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};

use super::outcome::Suite;
use super::stop::causes;
use super::suite::{self, Tell};
use crate::backend::{BackendError, sim::Sim};
use crate::clock::{self, Epoch};
use crate::scenario::Scenario;
use crate::state::State;

/// Runs scenarios, as many at a time as there are processors; their reports are in the order of
/// the scenarios. The same seed gives the same report.
pub fn run(scenarios: &[Scenario], seed: u64, state: &State, tell: &Tell) -> Suite {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Suite)>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(index) else {
                return;
            };
            let suite = one(scenario, seed, state, tell);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((index, suite));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..threads.min(scenarios.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    let (mut runs, mut unattributed, mut why, mut took) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (_, suite) in done {
        let of = suite
            .scenarios
            .first()
            .map_or("", |run| &run.name)
            .to_owned();
        why.extend(suite.why.into_iter().map(|why| format!("{of}: {why}")));
        runs.extend(suite.scenarios);
        unattributed.extend(suite.unattributed);
        took = took.max(suite.took_ms);
    }
    Suite::new(runs, unattributed, why, took)
}

/// Runs a scenario on a cluster of its own. Blocks, and must not be called within a runtime.
pub fn one(scenario: &Scenario, seed: u64, state: &State, tell: &Tell) -> Suite {
    let failed = |why: String| suite::failed(&[scenario.name().to_owned()], "sim", &why);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("cannot start a runtime: {error}")),
    };
    runtime.block_on(async {
        let epoch = crashbook_sim::Config::default().epoch;
        let _epoch = Epoch::begin(epoch);
        match Sim::start(seed, epoch).await {
            Ok(cluster) => {
                let scenarios = vec![scenario.clone()];
                suite::run(
                    scenarios,
                    Arc::new(cluster),
                    state.clone(),
                    false,
                    tell.clone(),
                )
                .await
            }
            Err(error) => failed(causes(&error)),
        }
    })
}

/// A runtime of one thread, whose clock is paused.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
}

/// A cluster of which the time of day is the machine's, in which a scenario's fault may stand.
pub struct Incident {
    runtime: Runtime,
    cluster: Cluster,
    /// What came of the scenario's run up to the verdict.
    pub suite: Option<Suite>,
}

impl Incident {
    /// Makes the cluster, and breaks it, in virtual time.
    ///
    /// # Errors
    ///
    /// When there can be no runtime, or no cluster.
    pub fn stand(
        scenario: Option<&Scenario>,
        seed: u64,
        state: &State,
    ) -> Result<Self, BackendError> {
        // The same seed takes as long again: the first time tells when the second must begin, so
        // that it ends now.
        let (_, took) = Self::stand_since(scenario, seed, state, Timestamp::now())?;
        let epoch = Timestamp::now()
            .checked_sub(took)
            .unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Self::stand_since(scenario, seed, state, epoch)?.0)
    }

    /// Makes the cluster, and breaks it, in virtual time that begins at an epoch. Tells how long that
    /// took of it.
    ///
    /// # Errors
    ///
    /// When there can be no runtime, or no cluster.
    pub fn stand_since(
        scenario: Option<&Scenario>,
        seed: u64,
        state: &State,
        epoch: Timestamp,
    ) -> Result<(Self, jiff::SignedDuration), BackendError> {
        let runtime = runtime().map_err(|error| BackendError::Unable {
            backend: "sim",
            what: "start a runtime".to_owned(),
            why: error.to_string(),
        })?;
        let (cluster, suite, took) = runtime.block_on(async {
            let _epoch = Epoch::begin(epoch);
            let sim = Arc::new(Sim::start(seed, epoch).await?);
            let cluster = sim.cluster().clone();
            let mut suite = None;
            if let Some(scenario) = scenario {
                let tell: Tell = Arc::new(|_, _, _| ());
                let scenarios = vec![scenario.clone()];
                suite = Some(suite::run(scenarios, sim, state.clone(), true, tell).await);
            }
            Ok::<_, BackendError>((cluster, suite, clock::now().duration_since(epoch)))
        })?;
        Ok((
            Self {
                runtime,
                cluster,
                suite,
            },
            took,
        ))
    }

    /// Lets the cluster's time pass so many times as fast as the machine's from now on, and does
    /// this meanwhile.
    pub fn run<T>(self, speed: f64, work: impl AsyncFnOnce(Cluster) -> T) -> T {
        self.runtime.block_on(async {
            tokio::time::resume();
            self.cluster.set_speed(speed);
            work(self.cluster).await
        })
    }
}
