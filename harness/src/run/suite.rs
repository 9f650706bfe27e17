//! Many runs side by side on one cluster, watched by one detector.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crashbook_detector::verdict::{Identity, Verdict};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tokio::task::JoinSet;

use super::attribution::Strays;
use super::cluster::{Cluster, Inventory};
use super::detector::Detector;
use super::outcome::{Outcome, Run, Stage, Suite};
use super::pipeline::{self, Bench};
use super::stop::{Stop, causes};
use crate::backend::Backend;
use crate::claims::Hold;
use crate::clock;
use crate::journal::{self, RUN_LABEL};
use crate::scenario::{Scenario, Sharing};
use crate::state::State;

/// Tells how the run of a scenario gets on.
pub type Tell = Arc<dyn Fn(&str, Stage, &str) + Send + Sync>;

/// A cluster that runs share, and the one detector that watches it meanwhile.
pub struct Session {
    bench: Arc<Bench>,
    begun: Timestamp,
    /// What was there, where the cluster is crashbook's own.
    before: Option<Inventory>,
    guard: Arc<tokio::sync::Mutex<Guard>>,
    guarding: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Begins to watch a cluster.
    ///
    /// # Errors
    ///
    /// When the cluster does not answer.
    pub async fn open(backend: Arc<dyn Backend>, state: State, keep: bool) -> Result<Self, Stop> {
        let begun = clock::now();
        let silent = |why: String| Stop::Error(format!("the cluster does not answer: {why}"));
        let cluster = Cluster::discover(backend.client()).await;
        let cluster = cluster.map_err(|error| silent(causes(&error)))?;
        let pools = backend.pools().await?;
        let is_own = backend.is_own();
        let detector = Detector::start(backend.client(), is_own).await;
        let detector = detector.map_err(|error| silent(error.to_string()))?;
        let mut before = None;
        let mut guard = Guard::default();
        if is_own {
            let there = cluster.inventory().await;
            before = Some(there.map_err(|error| silent(causes(&error)))?);
        } else {
            let standing = detector.standing();
            guard
                .stood
                .extend(standing.iter().map(|verdict| verdict.identity()));
        }
        let bench = Arc::new(Bench {
            state,
            backend,
            pools,
            cluster,
            detector,
            owners: Mutex::default(),
            keep,
        });
        let guard = Arc::new(tokio::sync::Mutex::new(guard));
        let guarding = tokio::spawn({
            let (bench, guard) = (bench.clone(), guard.clone());
            async move {
                let mut changes = bench.detector.changes();
                while changes.changed().await.is_ok() {
                    guard.lock().await.look(&bench).await;
                }
            }
        });
        Ok(Self {
            bench,
            begun,
            before,
            guard,
            guarding,
        })
    }

    /// Runs a scenario. Others may run meanwhile, as far as their claims allow.
    pub async fn run(&self, scenario: &Scenario, tell: &Tell) -> Run {
        let (tell, name) = (tell.clone(), scenario.name().to_owned());
        let said = Arc::new(move |stage: Stage, text: &str| tell(&name, stage, text));
        pipeline::run(scenario, &self.bench, said).await
    }

    /// Ends it: puts the report of the runs together with the verdicts that nobody owns, and with
    /// what is in the cluster and was not before.
    pub async fn close(self, runs: Vec<Run>) -> Suite {
        self.guarding.abort();
        let mut guard = self.guard.lock().await;
        guard.look(&self.bench).await;
        let unattributed = std::mem::take(&mut guard.strays).left();
        let mut why = Vec::new();
        // Of an incident that is kept its objects are there still.
        if let Some(before) = self.before.filter(|_| !self.bench.keep) {
            match self.bench.cluster.inventory().await {
                Ok(after) => {
                    let left = after.more_than(&before).into_iter();
                    why.extend(left.map(|object| format!("left behind: {object}")));
                    let gone = after.less_than(&before).into_iter();
                    why.extend(gone.map(|object| format!("gone: {object} was there before")));
                }
                Err(error) => {
                    why.push(format!(
                        "what is left behind is not known: {}",
                        causes(&error)
                    ));
                }
            }
        }
        Suite::new(runs, unattributed, why, since(self.begun))
    }
}

/// Runs scenarios side by side, as far as their claims allow; their reports are in the order of the
/// scenarios.
pub async fn run(
    scenarios: Vec<Scenario>,
    backend: Arc<dyn Backend>,
    state: State,
    keep: bool,
    tell: Tell,
) -> Suite {
    let names: Vec<_> = scenarios.iter().map(|s| s.name().to_owned()).collect();
    let on = backend.name();
    let session = match Session::open(backend, state, keep).await {
        Ok(session) => Arc::new(session),
        Err(stop) => return failed(&names, on, &stop.to_string()),
    };
    // A task each: they are to run on all cores, and to end with the runtime.
    let mut running = JoinSet::new();
    let mut scenarios: Vec<_> = scenarios.into_iter().enumerate().collect();
    scenarios.sort_by_key(|(_, scenario)| order(scenario));
    for (index, scenario) in scenarios {
        let (session, tell) = (session.clone(), tell.clone());
        running.spawn(async move { (index, session.run(&scenario, &tell).await) });
    }
    let mut runs: Vec<_> = running.join_all().await;
    runs.sort_by_key(|(index, _)| *index);
    let runs = runs.into_iter().map(|(_, run)| run).collect();
    match Arc::into_inner(session) {
        Some(session) => session.close(runs).await,
        None => failed(&names, on, "a run has not ended"),
    }
}

/// Whose turn comes first: those that must have the whole cluster, so that it need not become empty
/// for them later; then those that share a node, of whom only one runs at a time.
pub fn order(scenario: &Scenario) -> impl Ord + use<> {
    let needs = &scenario.spec.needs;
    (needs.cluster == Sharing::Shared, needs.node.is_none())
}

/// The report of runs that could not even begin.
pub fn failed(names: &[String], backend: &str, why: &str) -> Suite {
    let runs = names.iter().map(|name| {
        let mut run = Run::begin(name, backend, clock::now());
        run.end(Outcome::Error, why);
        run
    });
    Suite::new(runs.collect(), Vec::new(), Vec::new(), 0)
}

fn since(begun: Timestamp) -> i64 {
    i64::try_from(begun.duration_until(clock::now()).as_millis()).unwrap_or(i64::MAX)
}

/// Looks out for verdicts that nobody owns.
#[derive(Debug, Default)]
struct Guard {
    /// How much of the timeline it has looked at.
    seen: usize,
    strays: Strays,
    /// The verdicts that stood before, where the cluster is not crashbook's own.
    stood: BTreeSet<Identity>,
    /// The namespaces of other processes' runs.
    namespaces: BTreeSet<String>,
    /// The nodes that other processes' runs have, or had, for themselves.
    nodes: BTreeSet<String>,
}

impl Guard {
    /// Looks at what came since the last look.
    async fn look(&mut self, bench: &Bench) {
        for (at, verdicts) in bench.detector.since(self.seen) {
            self.seen += 1;
            for verdict in verdicts {
                let identity = verdict.identity();
                let is_known = self.stood.contains(&identity) || self.strays.has(&identity);
                if !is_known && !is_ours(bench, &verdict) && !self.is_theirs(bench, &verdict).await
                {
                    self.strays.take(at, (*verdict).clone());
                }
            }
        }
    }

    /// Whether another process's run owns the verdict: by the journals of this state folder, or, for
    /// a process that has another, by the label of the namespace.
    async fn is_theirs(&mut self, bench: &Bench, verdict: &Verdict) -> bool {
        for found in journal::read_all(&bench.state) {
            if found.lives || found.record.kept.is_some() {
                let held = found.record.claim.into_iter();
                let alone = held.flat_map(|claim| claim.nodes);
                let alone = alone.filter(|(_, hold)| *hold == Hold::Exclusive);
                self.nodes.extend(alone.map(|(node, _)| node));
                self.namespaces.insert(found.record.header.run);
            }
        }
        let subject = &verdict.subject;
        let Some(namespace) = &subject.namespace else {
            return subject.kind == "Node" && self.nodes.contains(&subject.name);
        };
        if self.namespaces.contains(namespace) {
            return true;
        }
        let api: Api<Namespace> = Api::all(bench.cluster.client.clone());
        let labels = match api.get_opt(namespace).await {
            Ok(Some(found)) => found.metadata.labels.unwrap_or_default(),
            _ => return false,
        };
        let is_theirs = labels.contains_key(RUN_LABEL);
        if is_theirs {
            self.namespaces.insert(namespace.clone());
        }
        is_theirs
    }
}

/// Whether a run of this process owns the verdict.
fn is_ours(bench: &Bench, verdict: &Verdict) -> bool {
    let owners = bench.owners.lock().unwrap_or_else(PoisonError::into_inner);
    owners
        .iter()
        .any(|owned| owned.has(&verdict.subject, |_| false))
}
