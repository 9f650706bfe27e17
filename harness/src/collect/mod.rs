//! The detector, fed live: watches, logs and numbers of a cluster become observations, the engine
//! judges them, and each change of what stands is kept with its time.
//!
//! ```no_run
//! # async fn example(client: kube::Client) -> Result<(), crashbook::collect::NotSettled> {
//! use std::time::Duration;
//! use crashbook::collect::{self, Options};
//!
//! let collector = collect::start(client, Options::default());
//! collector.settled(&[], Duration::from_secs(30)).await?; // everything is listed
//! let timeline = collector.timeline();
//! # Ok(()) }
//! ```
//!
//! Nothing is ever written to the cluster.

mod logs;
mod numbers;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crashbook_detector::{Engine, Kind, Object, Observation, Report, Verdict};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::GetParams;
use kube::client::Body;
use kube::core::Request;
use tokio::sync::{mpsc, oneshot, watch as cell};
use tokio::task::{AbortHandle, JoinSet};

use self::logs::{Plan, Wanted};
use self::numbers::Suspects;
pub(crate) use self::watch::NOT_SERVED;
use self::watch::{Seen, What};
use crate::clock;

/// How many observations are taken in before the engine is asked, where as many are queued.
const MAX_BATCH: usize = 4096;
/// How many logs and numbers are fetched at once.
const MAX_FETCHES: usize = 8;
/// How long the first lists may take before verdicts are given without those that are missing.
const FIRST_LISTS: SignedDuration = SignedDuration::from_secs(20);
/// How far the server's clock may be off before times are corrected by it; it tells whole seconds.
const SKEW: SignedDuration = SignedDuration::from_secs(2);
/// How long the server may take to tell its time.
const SKEW_DEADLINE: Duration = Duration::from_secs(3);

/// What a collector looks at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The one namespace whose objects are watched; all where none is named. What lies in no
    /// namespace is watched in any case.
    pub namespace: Option<String>,
    /// Whether kubelets are asked for numbers, of nodes under suspicion, through the API server.
    pub node_stats: bool,
}

/// One change of what stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When the engine had judged.
    pub at: Timestamp,
    /// What stands from then on.
    pub verdicts: Vec<Arc<Verdict>>,
    /// What the change rests on.
    pub signal: Signal,
}

impl Entry {
    /// How long the engine took from the signal on, without what was fetched meanwhile.
    pub fn latency(&self) -> SignedDuration {
        self.at
            .duration_since(self.signal.at)
            .saturating_sub(self.signal.fetch)
    }
}

/// What a change rests on. Of several at once it is the one that took longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// When an observation arrived at this process, or a deadline fell due; of what had to be
    /// fetched, when that which called for it did.
    pub at: Timestamp,
    /// How long the fetch took, from its start to the arrival of its end; zero without one.
    pub fetch: SignedDuration,
}

/// A version of an object that the detector is to have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The object's kind.
    pub kind: Kind,
    /// Its namespace; empty for objects of the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its `metadata.resourceVersion`; of a deleted object, that of the deletion.
    pub resource_version: String,
}

/// What was still missing when the time was up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the detector has not seen everything: {}", .0.join("; "))]
pub struct NotSettled(pub Vec<String>);

/// What a collector cannot see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blind {
    /// The kinds that cannot be read, and why.
    pub kinds: BTreeMap<Kind, String>,
    /// The kinds that could not be listed so far, for a reason that may pass, if one is known.
    pub waiting: BTreeMap<Kind, Option<String>>,
    /// The latest reasons why other things could not be read: a node's numbers, a malformed
    /// object.
    pub other: Vec<String>,
}

/// Watches a cluster until it is dropped.
#[derive(Debug)]
pub struct Collector {
    commands: mpsc::UnboundedSender<Command>,
    timeline: cell::Receiver<Vec<Entry>>,
    driver: AbortHandle,
}

/// Starts to watch a cluster. Must be called within a tokio runtime.
pub fn start(client: Client, options: Options) -> Collector {
    let (commands, commanded) = mpsc::unbounded_channel();
    let (timeline, read) = cell::channel(Vec::new());
    let driver = tokio::spawn(drive(client, options, commanded, timeline));
    Collector {
        commands,
        timeline: read,
        driver: driver.abort_handle(),
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Collector {
    /// Every change of what stands so far. The first entry comes once all kinds were listed.
    pub fn timeline(&self) -> Vec<Entry> {
        self.timeline.borrow().clone()
    }

    /// The timeline as it grows: only ever at its end.
    pub fn subscribe(&self) -> cell::Receiver<Vec<Entry>> {
        self.timeline.clone()
    }

    /// Waits until the detector has seen at least these versions, every kind that can be read is
    /// listed, the logs that were called for are fetched, and no deadline is due; gives the time
    /// at which that was so. What stands then is what the detector says of this state.
    ///
    /// # Errors
    ///
    /// When it is not so within this time: what was missing at the end.
    pub async fn settled(
        &self,
        versions: &[Version],
        timeout: Duration,
    ) -> Result<Timestamp, NotSettled> {
        let (reply, answer) = oneshot::channel();
        let until = later(
            clock::now(),
            SignedDuration::try_from(timeout).unwrap_or_default(),
        );
        self.send(Command::Settled(Waiting {
            versions: versions.to_vec(),
            until,
            reply,
        }));
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Everything there is to say now; none if the collector has failed.
    pub async fn report(&self) -> Option<Report> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Report(reply));
        answer.await.ok()
    }

    /// What cannot be seen now; none if the collector has failed.
    pub async fn blind(&self) -> Option<Blind> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Blind(reply));
        answer.await.ok()
    }

    fn send(&self, command: Command) {
        // If the driver is gone, so is the other end of the reply.
        let _ = self.commands.send(command);
    }
}

fn stopped() -> NotSettled {
    NotSettled(vec!["the collector has stopped".to_owned()])
}

fn later(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[derive(Debug)]
enum Command {
    Settled(Waiting),
    Report(oneshot::Sender<Report>),
    Blind(oneshot::Sender<Blind>),
}

#[derive(Debug)]
struct Waiting {
    versions: Vec<Version>,
    until: Timestamp,
    reply: oneshot::Sender<Result<Timestamp, NotSettled>>,
}

/// How far the watch of a kind has come.
#[derive(Debug, Default)]
struct Progress {
    is_listed: bool,
    unreadable: Option<String>,
    trouble: Option<String>,
    /// The newest version that was seen. A watch tells them in their order.
    version: u64,
}

impl Progress {
    fn is_done(&self) -> bool {
        self.is_listed || self.unreadable.is_some()
    }
}

/// Something to fetch, and what called for it.
#[derive(Debug)]
struct Errand {
    called: Timestamp,
    what: Task,
}

#[derive(Debug)]
enum Task {
    Log(Wanted),
    Numbers(numbers::Wanted),
}

/// What came of an errand.
#[derive(Debug)]
struct Fetched {
    signal: Signal,
    what: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Log(
        Wanted,
        Result<Vec<crashbook_detector::facts::LogLine>, String>,
    ),
    Numbers(String, Result<Vec<Observation>, String>),
}

struct Driver {
    client: Client,
    options: Options,
    /// What is added to this machine's time to get the server's.
    skew: SignedDuration,
    engine: Engine,
    watches: BTreeMap<Kind, Progress>,
    is_primed: bool,
    began: Timestamp,
    logs: Plan,
    suspects: Suspects,
    queue: std::collections::VecDeque<Errand>,
    fetches: JoinSet<Fetched>,
    /// How many logs of ended runs are asked for and not yet here.
    called_for: usize,
    other_troubles: std::collections::VecDeque<String>,
    waiting: Vec<Waiting>,
    timeline: cell::Sender<Vec<Entry>>,
    last: Vec<Arc<Verdict>>,
}

async fn drive(
    client: Client,
    options: Options,
    mut commands: mpsc::UnboundedReceiver<Command>,
    timeline: cell::Sender<Vec<Entry>>,
) {
    // No verdict is to wait for that.
    let ready = tokio::task::spawn_blocking(crashbook_detector::signatures::prepare);
    let skew = tokio::time::timeout(SKEW_DEADLINE, skew(&client)).await;
    let _ = ready.await;
    let (to, mut seen) = mpsc::unbounded_channel();
    let mut watches = JoinSet::new();
    for kind in Kind::ALL.iter().copied() {
        let namespace = options.namespace.clone();
        watches.spawn(watch::watch(client.clone(), kind, namespace, to.clone()));
    }
    let mut driver = Driver {
        client,
        options,
        skew: skew.ok().flatten().unwrap_or_default(),
        engine: Engine::new(),
        watches: Kind::ALL
            .iter()
            .map(|kind| (*kind, Progress::default()))
            .collect(),
        is_primed: false,
        began: clock::now(),
        logs: Plan::default(),
        suspects: Suspects::default(),
        queue: std::collections::VecDeque::new(),
        fetches: JoinSet::new(),
        called_for: 0,
        other_troubles: std::collections::VecDeque::new(),
        waiting: Vec::new(),
        timeline,
        last: Vec::new(),
    };
    loop {
        let mut signals = Vec::new();
        let until_due = driver.until_due();
        tokio::select! {
            biased;
            Some(first) = seen.recv() => {
                driver.see(first, &mut signals);
                for _ in 1..MAX_BATCH {
                    let Ok(next) = seen.try_recv() else { break };
                    driver.see(next, &mut signals);
                }
            }
            Some(fetched) = driver.fetches.join_next() => {
                if let Ok(fetched) = fetched {
                    driver.take(fetched, &mut signals);
                }
            }
            command = commands.recv() => match command {
                Some(command) => driver.obey(command),
                None => return,
            },
            () = tokio::time::sleep(until_due) => {}
        }
        driver.judge(&mut signals);
        driver.fall_due();
        driver.fetch();
        driver.answer(seen.is_empty());
    }
}

impl Driver {
    /// The server's time of day.
    fn now(&self) -> Timestamp {
        later(clock::now(), self.skew)
    }

    /// How long nothing is to be done by itself.
    fn until_due(&mut self) -> Duration {
        let now = clock::now();
        let theirs = [
            self.engine.next_deadline(),
            self.logs.next_due(),
            self.suspects.next_due(),
        ];
        let theirs = theirs
            .into_iter()
            .flatten()
            .map(|due| later(due, -self.skew));
        let ours = self.waiting.iter().map(|waiting| waiting.until);
        let lists = (!self.is_primed).then(|| later(self.began, FIRST_LISTS));
        let due = theirs.chain(ours).chain(lists).min();
        due.map_or(Duration::from_secs(3600), |due| {
            Duration::try_from(due.duration_since(now)).unwrap_or_default()
        })
    }

    fn see(&mut self, seen: Seen, signals: &mut Vec<Signal>) {
        let now = self.now();
        let Some(progress) = self.watches.get_mut(&seen.kind) else {
            return;
        };
        let (observation, version) = match seen.what {
            What::Observation(observation, version) => (observation, version),
            What::Trouble(because) => {
                tracing::warn!(kind = %seen.kind, because, "cannot be watched for now");
                progress.trouble = Some(because);
                return;
            }
            What::Malformed(because) => {
                self.trouble(because);
                return;
            }
        };
        progress.version = progress.version.max(version.unwrap_or_default());
        match &observation {
            Observation::Listed { .. } => {
                progress.is_listed = true;
                progress.unreadable = None;
                progress.trouble = None;
            }
            Observation::Unreadable { because, .. } => {
                progress.unreadable = Some(because.clone());
            }
            _ => {}
        }
        let mut known = Vec::new();
        match &observation {
            Observation::Applied(Object::Pod(pod)) => {
                let (wanted, logs) = self.logs.see(pod, now);
                known = logs;
                self.called_for += wanted.len();
                self.queue.extend(wanted.into_iter().map(|wanted| Errand {
                    called: seen.arrival,
                    what: Task::Log(wanted),
                }));
                self.suspects.see_pod(pod, now);
            }
            Observation::Deleted(Object::Pod(pod)) => {
                self.logs.forget(pod);
                self.suspects.forget(pod);
            }
            Observation::Applied(Object::Event(event)) => self.suspects.see_event(event, now),
            Observation::Applied(Object::Node(node)) => self.suspects.see_node(node, now),
            _ => {}
        }
        signals.push(Signal {
            at: seen.arrival,
            fetch: SignedDuration::ZERO,
        });
        self.engine.observe(observation, now);
        for log in known {
            self.engine.observe(log, now);
        }
    }

    fn take(&mut self, fetched: Fetched, signals: &mut Vec<Signal>) {
        let now = self.now();
        signals.push(fetched.signal);
        match fetched.what {
            Outcome::Log(wanted, lines) => {
                self.called_for -= usize::from(wanted.is_of_ended_run());
                if let Some(observation) = self.logs.fetched(wanted, lines) {
                    self.engine.observe(observation, now);
                }
            }
            Outcome::Numbers(_, Ok(numbers)) => {
                for observation in numbers {
                    self.engine.observe(observation, now);
                }
            }
            Outcome::Numbers(node, Err(because)) => {
                self.trouble(format!("the numbers of Node {node}: {because}"));
            }
        }
    }

    fn trouble(&mut self, because: String) {
        tracing::warn!("{because}");
        if !self.other_troubles.contains(&because) {
            if self.other_troubles.len() == 20 {
                self.other_troubles.pop_front();
            }
            self.other_troubles.push_back(because);
        }
    }

    /// Asks the engine what stands, and keeps it if it has changed.
    fn judge(&mut self, signals: &mut Vec<Signal>) {
        if let Some(due) = self.engine.next_deadline()
            && due <= self.now()
        {
            signals.push(Signal {
                at: later(due, -self.skew),
                fetch: SignedDuration::ZERO,
            });
        }
        self.engine.advance(self.now());
        let is_late = clock::now() >= later(self.began, FIRST_LISTS);
        let was_primed = self.is_primed;
        self.is_primed |= is_late || self.watches.values().all(Progress::is_done);
        if !self.is_primed {
            return;
        }
        let verdicts = self.engine.verdicts();
        let is_same = verdicts.len() == self.last.len()
            && verdicts
                .iter()
                .zip(&self.last)
                .all(|(new, old)| *new == **old);
        if was_primed && is_same {
            return;
        }
        let verdicts: Vec<Arc<Verdict>> = verdicts
            .iter()
            .map(|verdict| {
                let old = self.last.iter().find(|old| ***old == *verdict);
                old.cloned().unwrap_or_else(|| Arc::new(verdict.clone()))
            })
            .collect();
        let at = clock::now();
        let waited = |signal: &Signal| at.duration_since(signal.at).saturating_sub(signal.fetch);
        let signal = signals
            .iter()
            .copied()
            .max_by_key(waited)
            .unwrap_or(Signal {
                at,
                fetch: SignedDuration::ZERO,
            });
        self.last.clone_from(&verdicts);
        self.timeline.send_modify(|timeline| {
            timeline.push(Entry {
                at,
                verdicts,
                signal,
            });
        });
    }

    /// Calls for what is to be looked at from time to time.
    fn fall_due(&mut self) {
        let now = self.now();
        let called = clock::now();
        if self.logs.next_due().is_some_and(|due| due <= now) {
            let due = self.logs.due(now).into_iter().map(Task::Log);
            self.queue.extend(due.map(|what| Errand { called, what }));
        }
        if self.suspects.next_due().is_some_and(|due| due <= now) {
            let wanted = self.suspects.due(now);
            if self.options.node_stats {
                let due = wanted.into_iter().map(Task::Numbers);
                self.queue.extend(due.map(|what| Errand { called, what }));
            }
        }
    }

    /// Sets out for what was called for, a few at a time.
    fn fetch(&mut self) {
        while self.fetches.len() < MAX_FETCHES {
            let Some(Errand { called, what }) = self.queue.pop_front() else {
                return;
            };
            let client = self.client.clone();
            self.fetches.spawn(async move {
                let began = clock::now();
                let what = match what {
                    Task::Log(mut wanted) => {
                        let lines = logs::fetch(&client, &mut wanted).await;
                        Outcome::Log(wanted, lines)
                    }
                    Task::Numbers(wanted) => {
                        let numbers = numbers::fetch(&client, &wanted).await;
                        Outcome::Numbers(wanted.node, numbers)
                    }
                };
                let signal = Signal {
                    at: called,
                    fetch: clock::now().duration_since(began),
                };
                Fetched { signal, what }
            });
        }
    }

    fn obey(&mut self, command: Command) {
        // Whoever asked may have gone meanwhile.
        match command {
            Command::Settled(waiting) => self.waiting.push(waiting),
            Command::Report(reply) => {
                let _ = reply.send(self.engine.report());
            }
            Command::Blind(reply) => {
                let _ = reply.send(self.blind());
            }
        }
    }

    fn blind(&self) -> Blind {
        let mut blind = Blind {
            other: self.other_troubles.iter().cloned().collect(),
            ..Blind::default()
        };
        for (kind, progress) in &self.watches {
            match &progress.unreadable {
                Some(because) => {
                    blind.kinds.insert(*kind, because.clone());
                }
                None if !progress.is_listed => {
                    blind.waiting.insert(*kind, progress.trouble.clone());
                }
                None => {}
            }
        }
        blind
    }

    /// Answers those who wait, where what they wait for has come or their time is up.
    fn answer(&mut self, is_drained: bool) {
        if self.waiting.is_empty() {
            return;
        }
        let now = clock::now();
        for waiting in std::mem::take(&mut self.waiting) {
            let missing = self.missing(&waiting.versions, is_drained);
            if missing.is_empty() {
                let _ = waiting.reply.send(Ok(now));
            } else if waiting.until <= now {
                let _ = waiting.reply.send(Err(NotSettled(missing)));
            } else if !waiting.reply.is_closed() {
                self.waiting.push(waiting);
            }
        }
    }

    fn missing(&mut self, versions: &[Version], is_drained: bool) -> Vec<String> {
        let mut missing = Vec::new();
        for (kind, progress) in &self.watches {
            if !progress.is_done() {
                let because = progress
                    .trouble
                    .as_deref()
                    .unwrap_or("the list has not come");
                missing.push(format!("{kind} is not listed: {because}"));
            }
        }
        for version in versions {
            let progress = self.watches.get(&version.kind);
            let wanted: u64 = version.resource_version.parse().unwrap_or(u64::MAX);
            if progress.is_none_or(|progress| progress.version < wanted) {
                missing.push(version.to_string());
            }
        }
        if self.called_for > 0 {
            missing.push(format!("{} logs that are being fetched", self.called_for));
        }
        let now = self.now();
        if self.engine.next_deadline().is_some_and(|due| due <= now) {
            missing.push("a deadline that is due".to_owned());
        }
        if !is_drained {
            missing.push("observations that are queued".to_owned());
        }
        missing
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
            resource_version,
        } = self;
        match namespace.as_str() {
            "" => write!(f, "{kind} {name} at version {resource_version}"),
            _ => write!(f, "{kind} {namespace}/{name} at version {resource_version}"),
        }
    }
}

/// By how much the server's clock is ahead of this machine's, where that is worth a correction.
async fn skew(client: &Client) -> Option<SignedDuration> {
    let request = Request::new("/api").get("v1", &GetParams::default()).ok()?;
    let asked = clock::now();
    let response = client.send(request.map(Body::from)).await.ok()?;
    let passed = clock::now().duration_since(asked);
    let date = response.headers().get("date")?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    // It was cut to whole seconds, and came half of the way ago.
    let date = later(date, SignedDuration::from_millis(500));
    let skew = date.duration_since(later(asked, passed / 2));
    if skew.abs() < SKEW {
        return None;
    }
    tracing::warn!("this machine's clock and the API server's differ by {skew:#}");
    Some(skew)
}
