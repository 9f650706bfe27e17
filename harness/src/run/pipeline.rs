//! One run of one scenario, from its preflight to its sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crashbook_detector::kubernetes::quantity::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::attribution::Owned;
use super::cluster::Cluster;
use super::detector::Detector;
use super::health;
use super::judge::{self, Judgement, Marks};
use super::outcome::{Begun, Kept, Outcome, Run, Stage, Times};
use super::proof::{self, Ground, Shown};
use super::sight::{History, Sight, Version};
use super::signals::signals;
use super::stop::{Stop, causes};
use super::story;
use super::verbs::Hand;
use crate::backend::{self, Backend, BackendError, GENERAL};
use crate::claims::{self, Claim, Guard, Hold};
use crate::clock;
use crate::journal::{Journal, RUN_LABEL, Undo};
use crate::progress::Progress;
use crate::recover;
use crate::scenario::{
    Context, NodeFacts, ObjectName, Pool, Proof, Rendered, Scenario, ServiceFacts, Sharing, Verb,
};
use crate::state::State;

/// How long the API server may take to make a namespace fit for pods.
const NAMESPACE: Duration = Duration::from_secs(30);

/// How long a node that was lent may take to be as it was.
const NODES: Duration = Duration::from_secs(60);

/// How long a step may take until the cluster has answered: a kubelet that is started again is
/// waited for.
const STEP: Duration = Duration::from_secs(120);

/// How long the API server may take to say that it lives.
const ALIVE: Duration = Duration::from_secs(5);

/// How long a watch may fail before the cluster counts as gone.
const TROUBLE: Duration = Duration::from_secs(10);

/// What the runs of a suite share.
pub struct Bench {
    /// Where journals and claims are.
    pub state: State,
    /// Where the cluster comes from.
    pub backend: Arc<dyn Backend>,
    /// Its nodes, as they were when it was reached.
    pub pools: BTreeMap<Pool, NodeFacts>,
    /// Its API.
    pub cluster: Cluster,
    /// The detector under test, which watches it.
    pub detector: Detector,
    /// What the runs of this process have for themselves, once they have it.
    pub owners: Mutex<Vec<Owned>>,
    /// Whether incidents are left standing.
    pub keep: bool,
}

/// Tells who waits how a run gets on.
pub type Tell = Arc<dyn Fn(Stage, &str) + Send + Sync>;

/// Runs a scenario. Whatever happens, what was done is undone, unless the incident is kept.
pub async fn run(scenario: &Scenario, bench: &Bench, tell: Tell) -> Run {
    let name = scenario.name();
    let mut run = Run::begin(name, bench.backend.name(), clock::now());
    tell(Stage::Preflight, "");
    if let Some(lack) = bench.backend.lacks(&scenario.spec) {
        run.end(Outcome::Skip, lack);
        return run;
    }
    let journal = match bench.backend.journal(&bench.state, &run_name(name)) {
        Ok(journal) => journal,
        Err(error) => {
            run.end(Outcome::Error, error.to_string());
            return run;
        }
    };
    let mut course = Course {
        bench,
        scenario,
        tell,
        namespace: journal.run(),
        journal,
        sight: Sight::default(),
        guard: None,
        owned: Owned::default(),
        rendered: None,
        pools: BTreeMap::new(),
        services: BTreeMap::new(),
        lent: BTreeMap::new(),
        marks: None,
        run,
    };
    let went = course.go().await;
    course.judge(went);
    if course.is_to_be_kept() {
        course.keep();
    } else {
        course.sweep().await;
    }
    course.run.ended = clock::now();
    course.run
}

/// What a run of a scenario is called, but for its random end: fit for the name of a namespace, and
/// no longer than [`Journal::open`] allows.
fn run_name(scenario: &str) -> String {
    let mut name = format!("crashbook-{}", scenario.replace('/', "-"));
    name.truncate(50);
    name.truncate(name.trim_end_matches('-').len());
    name
}

/// How many runs at once a processor of the nodes bears: of each, one or two containers start, and
/// the API server and the detector follow it all.
const RUNS_A_PROCESSOR: usize = 4;

/// How many runs that have nothing for themselves may run at once. A node's processors are those of
/// its host, which all nodes of a kind cluster share.
fn slots(pools: &BTreeMap<Pool, NodeFacts>) -> usize {
    let processors = pools.get(GENERAL).and_then(|pool| {
        let processors: Quantity = pool.capacity.get("cpu")?.parse().ok()?;
        usize::try_from(processors.ceil()).ok()
    });
    RUNS_A_PROCESSOR * processors.unwrap_or(1).max(1)
}

/// A run that is under way.
struct Course<'a> {
    bench: &'a Bench,
    scenario: &'a Scenario,
    tell: Tell,
    namespace: String,
    journal: Journal,
    sight: Sight,
    guard: Option<Guard>,
    owned: Owned,
    rendered: Option<Rendered>,
    pools: BTreeMap<Pool, NodeFacts>,
    services: BTreeMap<String, ServiceFacts>,
    /// The nodes that the run has for itself, as they were before.
    lent: BTreeMap<String, Value>,
    marks: Option<Marks>,
    run: Run,
}

impl Course<'_> {
    async fn go(&mut self) -> Result<(), Stop> {
        let claim = self.claim().await?;
        // Nobody else uses by now what was claimed.
        self.pools = self.bench.backend.pools().await?;
        self.services().await?;
        let rendered = self.scenario.render(&self.context())?;
        self.rendered = Some(rendered.clone());
        self.own(&rendered, &claim)?;
        self.lend().await?;
        self.images(&rendered).await?;

        self.begin(Stage::Baseline);
        let healthy = self.baseline(&rendered).await?;
        self.settle(&healthy).await?;
        let mut marks = Marks::healthy(clock::now());
        self.marks = Some(marks);
        clock::tick().await;

        self.begin(Stage::Inject);
        let since = self.sight.mark();
        let begun = Instant::now();
        let injected = clock::now();
        marks.injected = Some(injected);
        self.marks = Some(marks);
        let limits = &rendered.spec.limits;
        let by = begun + limits.symptom;
        self.steps(&rendered, &rendered.spec.inject, since, by)
            .await?;

        self.begin(Stage::Symptom);
        let shown = self.symptom(&rendered, since, by).await?;
        marks.symptom = Some(shown.at);
        self.marks = Some(marks);

        self.begin(Stage::Verdict);
        self.settle(&shown.versions).await?;
        self.verdict(&rendered, &marks).await?;
        self.run.signals =
            (self.sight).look(|history| signals(history, &self.owned, since, injected));
        if self.bench.keep {
            return Ok(());
        }
        clock::tick().await;

        self.begin(Stage::Fix);
        let since = self.sight.mark();
        let begun = Instant::now();
        marks.fixed = Some(clock::now());
        self.marks = Some(marks);
        let by = begun + limits.recovered;
        let made = self.steps(&rendered, &rendered.spec.fix, since, by).await?;
        let fixed = clock::now();

        self.begin(Stage::Recovery);
        let shown = self.recovery(&rendered, since, &made, by).await?;
        marks.recovered = Some(shown.at.max(fixed));
        self.marks = Some(marks);
        self.settle(&shown.versions).await?;
        self.cleared(&rendered, &marks).await
    }

    fn begin(&mut self, stage: Stage) {
        self.run.stages.push(Begun {
            stage,
            at: clock::now(),
        });
        (self.tell)(stage, "");
    }

    fn stage(&self) -> Stage {
        self.run
            .stages
            .last()
            .map_or(Stage::Preflight, |begun| begun.stage)
    }

    /// Tells lines of progress as those of this run.
    fn progress(&self) -> Progress {
        let (tell, stage) = (self.tell.clone(), self.stage());
        Progress::new(move |line| tell(stage, line))
    }

    /// Waits until the run may have what it needs for itself.
    async fn claim(&mut self) -> Result<Claim, Stop> {
        let needs = &self.scenario.spec.needs;
        let pools = &self.bench.pools;
        let nodes = |pool: &str| {
            pools
                .get(pool)
                .map(|pool| pool.names.clone())
                .unwrap_or_default()
        };
        let mut claim = Claim::default();
        if needs.cluster == Sharing::Exclusive {
            claim.cluster = Hold::Exclusive;
        }
        claim
            .nodes
            .extend(nodes(GENERAL).into_iter().map(|node| (node, Hold::Shared)));
        if let Some(pool) = &needs.node {
            claim
                .nodes
                .extend(nodes(pool).into_iter().map(|node| (node, Hold::Exclusive)));
        }
        let context = &self.bench.backend.target().context;
        let progress = self.progress();
        // A cluster that only this process can reach has this run alone.
        if self.bench.backend.kubeconfig().is_some() {
            let slots = slots(pools);
            let held = claims::acquire(
                &self.bench.state,
                context,
                &self.journal,
                &claim,
                slots,
                &progress,
            );
            self.guard = Some(held.await?);
        }
        (self.tell)(Stage::Preflight, "");
        Ok(claim)
    }

    fn context(&self) -> Context {
        Context {
            namespace: self.namespace.clone(),
            node: self.pools.clone(),
            service: self.services.clone(),
        }
    }

    /// Makes the containers beside the cluster, and starts those that run from the beginning.
    async fn services(&mut self) -> Result<(), Stop> {
        let (backend, progress) = (&self.bench.backend, self.progress());
        let services = self.scenario.render_services(&self.context())?;
        for (name, service) in &services {
            let files = self.scenario.service_files(service);
            let made = backend.make_service(&self.journal, name, service, &files, &progress);
            self.services.insert(name.clone(), made.await?);
        }
        let needed = &self.scenario.spec.needs.services;
        for (name, service) in services.iter().filter(|(name, _)| needed.contains(name)) {
            backend
                .start_service(&self.journal, name, service, &progress)
                .await?;
        }
        Ok(())
    }

    /// Makes known what is this run's, before anything of it is there.
    fn own(&mut self, rendered: &Rendered, claim: &Claim) -> Result<(), Stop> {
        let alone = claim
            .nodes
            .iter()
            .filter(|(_, hold)| **hold == Hold::Exclusive);
        self.owned = Owned {
            namespace: self.namespace.clone(),
            nodes: alone.map(|(node, _)| node.clone()).collect(),
            objects: BTreeSet::new(),
            whole_cluster: claim.cluster == Hold::Exclusive,
        };
        for object in rendered.objects() {
            let (resource, scope) = self.bench.cluster.resource(object)?;
            if scope == kube::discovery::Scope::Cluster {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                self.owned.objects.insert((resource.kind, name.to_owned()));
            }
        }
        let mut owners = self
            .bench
            .owners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        owners.push(self.owned.clone());
        Ok(())
    }

    /// Notes what the nodes are like that the run has for itself, once they are well.
    async fn lend(&mut self) -> Result<(), Stop> {
        if self.owned.nodes.is_empty() {
            return Ok(());
        }
        let (node, _) = self.bench.cluster.kind("Node")?;
        self.sight.watch(&self.bench.cluster.client, &node, None);
        let nodes = self.owned.nodes.clone();
        let well = |history: &History| {
            let standing: BTreeMap<_, _> = standing_nodes(history, &nodes);
            match nodes
                .iter()
                .find(|name| !standing.get(*name).is_some_and(is_well))
            {
                Some(name) => Err(format!("node {name} is not well")),
                None => Ok(standing
                    .into_iter()
                    .map(|(k, v)| (k, node_state(v)))
                    .collect()),
            }
        };
        let by = Instant::now() + NODES;
        self.lent = self.wait(by, well, Stop::Error).await?;
        Ok(())
    }

    /// Sees to it that the nodes have the images.
    async fn images(&self, rendered: &Rendered) -> Result<(), Stop> {
        let (backend, progress) = (&self.bench.backend, self.progress());
        let mut needed = rendered.needed_images();
        let mut all = rendered.images();
        for service in self.services.values() {
            // The nodes pull them from there.
            let is_elsewhere = |image: &String| !image.starts_with(&format!("{}:", service.host));
            needed.retain(is_elsewhere);
            all.retain(is_elsewhere);
        }
        backend.images(&needed, &progress).await?;
        for image in all.difference(&needed) {
            // That it cannot be had may be the fault: then the nodes say so, and if it is not, the
            // symptom does not come.
            match backend.images(&[image.clone()].into(), &progress).await {
                Err(error @ BackendError::Command { .. }) => progress.say(error.to_string()),
                result => result?,
            }
        }
        Ok(())
    }

    fn hand<'a>(&'a self, rendered: &'a Rendered) -> Hand<'a> {
        Hand {
            scenario: rendered,
            cluster: &self.bench.cluster,
            backend: self.bench.backend.as_ref(),
            journal: &self.journal,
            namespace: &self.namespace,
            pools: &self.pools,
            sight: &self.sight,
        }
    }

    /// Makes the namespace and the baseline in it, and waits until it is healthy.
    async fn baseline(&mut self, rendered: &Rendered) -> Result<Vec<Version>, Stop> {
        let client = &self.bench.cluster.client;
        let namespace = self.namespace.clone();
        let _ = self.journal.record(Undo::DeleteNamespace {
            namespace: namespace.clone(),
        })?;
        let object: Namespace = serde_json::from_value(json!({
            "metadata": { "name": namespace, "labels": { (RUN_LABEL): namespace } }
        }))
        .map_err(|error| Stop::Error(format!("namespace {namespace}: {error}")))?;
        let api: Api<Namespace> = Api::all(client.clone());
        let (params, what) = (
            PostParams::default(),
            format!("create namespace {namespace}"),
        );
        answered(async { api.create(&params, &object).await.map_err(Stop::api(what)) }).await?;
        self.watch(rendered)?;

        // Pods are refused until their account is there, and wait for their certificate.
        let ready = |history: &History| {
            let has = |kind, name| {
                let mut standing = history.standing(kind);
                standing.any(|(_, object)| object["metadata"]["name"] == name)
            };
            match has("ServiceAccount", "default") && has("ConfigMap", "kube-root-ca.crt") {
                true if history.is_listed() => Ok(()),
                _ => Err(format!("namespace {namespace} is not ready for pods")),
            }
        };
        self.wait(Instant::now() + NAMESPACE, ready, Stop::Error)
            .await?;

        let by = Instant::now() + rendered.spec.limits.baseline;
        let hand = self.hand(rendered);
        let made = answered(hand.write_all(rendered.baseline(), false)).await?;
        let healthy = |history: &History| {
            self.delivered(&made, history)?;
            let mut shown = health::baseline(rendered.baseline(), history, &namespace)?;
            for proof in &rendered.spec.healthy {
                let holds = proof::holds(proof, &self.ground(history, 0));
                shown.push(holds.ok_or_else(|| format!("not seen: {}", story::proof(proof)))?);
            }
            Ok(Shown::all(shown)
                .map(|all| all.versions)
                .unwrap_or_default())
        };
        let late = |last| Stop::Invalid(format!("the baseline is not healthy: {last}"));
        self.wait(by, healthy, late).await
    }

    /// Begins to watch all that proofs are about.
    fn watch(&self, rendered: &Rendered) -> Result<(), Stop> {
        let cluster = &self.bench.cluster;
        let mut wanted: BTreeSet<(String, Option<String>)> = BTreeSet::new();
        let own = |kind: &str| (kind.to_owned(), Some(self.namespace.clone()));
        wanted.extend(["Pod", "Event", "ServiceAccount", "ConfigMap"].map(own));
        wanted.extend(health::kinds(rendered.baseline()).map(own));
        let spec = &rendered.spec;
        let waits = spec
            .inject
            .iter()
            .chain(&spec.fix)
            .filter_map(|verb| match verb {
                Verb::Wait(proof) => Some(proof),
                _ => None,
            });
        let proofs = spec
            .healthy
            .iter()
            .chain(&spec.symptom)
            .chain(&spec.recovered)
            .chain(waits);
        let of = |name: &ObjectName| {
            let namespace = name.namespace_in(&self.namespace).map(str::to_owned);
            (name.kind.clone(), namespace)
        };
        for proof in proofs {
            match proof {
                Proof::Event(event) => {
                    // What is about an object without a namespace is told in `default`.
                    let about = event.regarding.namespace_in(&self.namespace);
                    let namespace = about.unwrap_or("default").to_owned();
                    wanted.insert(("Event".to_owned(), Some(namespace)));
                }
                Proof::Condition(condition) => {
                    wanted.insert(of(&condition.object));
                }
                Proof::Field(field) => {
                    wanted.insert(of(&field.object));
                }
                Proof::Available(name) | Proof::Deleted(name) => {
                    wanted.insert(of(name));
                }
                Proof::Endpoints(_) => {
                    wanted.insert(own("EndpointSlice"));
                }
                Proof::Log(log) => self.sight.read_logs(&cluster.client, &self.namespace, log),
                Proof::Number(number) => {
                    let nodes = self.pools.get(&number.node).map(|pool| pool.names.clone());
                    self.sight
                        .read_summaries(&cluster.client, nodes.unwrap_or_default());
                }
                Proof::Pod(_) | Proof::Container(_) | Proof::Replaced(_) | Proof::Refused(_) => {}
            }
        }
        for (kind, namespace) in wanted {
            let (resource, _) = cluster.kind(&kind)?;
            self.sight
                .watch(&cluster.client, &resource, namespace.as_deref());
        }
        Ok(())
    }

    fn ground<'a>(&'a self, history: &'a History, mark: usize) -> Ground<'a> {
        Ground {
            history,
            mark,
            namespace: &self.namespace,
            pools: &self.pools,
        }
    }

    /// Whether the harness's watches have delivered what its own steps made.
    fn delivered(&self, made: &[Version], history: &History) -> Result<(), String> {
        let is_watched = |version: &&Version| {
            let mut standing = history.standing(&version.kind);
            standing.any(|(_, object)| object["metadata"]["uid"] == version.uid)
        };
        match made
            .iter()
            .filter(is_watched)
            .find(|version| !history.has_delivered(version))
        {
            Some(version) => Err(format!("{}/{} is not seen yet", version.kind, version.name)),
            None => Ok(()),
        }
    }

    /// Does the steps of an injection or a fix, in order.
    async fn steps(
        &self,
        rendered: &Rendered,
        steps: &[Verb],
        since: usize,
        by: Instant,
    ) -> Result<Vec<Version>, Stop> {
        let mut made = Vec::new();
        for step in steps {
            if let Verb::Wait(proof) = step {
                self.seen(std::slice::from_ref(proof), since, by).await?;
            } else {
                made.extend(answered(self.hand(rendered).act(step)).await?);
            }
        }
        Ok(made)
    }

    /// Waits until each of these proofs was seen since a mark.
    async fn seen(&self, proofs: &[Proof], since: usize, by: Instant) -> Result<Shown, Stop> {
        let look = |history: &History| {
            let ground = self.ground(history, since);
            let shown = proofs
                .iter()
                .map(|proof| proof::seen(proof, &ground).ok_or_else(|| story::proof(proof)));
            let shown: Vec<_> = shown.collect::<Result<_, _>>()?;
            let nothing = Shown {
                at: clock::now(),
                versions: Vec::new(),
            };
            Ok(Shown::all(shown).unwrap_or(nothing))
        };
        let late = |last| Stop::Invalid(format!("never seen: {last}"));
        self.wait(by, look, late).await
    }

    async fn symptom(&self, rendered: &Rendered, since: usize, by: Instant) -> Result<Shown, Stop> {
        self.seen(&rendered.spec.symptom, since, by)
            .await
            .map_err(|stop| match stop {
                Stop::Invalid(why) => Stop::Invalid(format!("the symptom did not come: {why}")),
                stop => stop,
            })
    }

    /// Waits until the detector has seen what the harness has.
    async fn settle(&self, versions: &[Version]) -> Result<(), Stop> {
        let settled = self.bench.detector.settled(versions).await;
        settled.map_err(|error| Stop::Error(error.to_string()))
    }

    /// Waits for the expected verdicts, at most for their budget, and for as long as the fault is
    /// to stand.
    async fn verdict(&self, rendered: &Rendered, marks: &Marks) -> Result<(), Stop> {
        let spec = &rendered.spec;
        let symptom = marks.symptom.unwrap_or(marks.healthy);
        let within = spec.expect.iter().map(|expected| expected.within).max();
        let by = self.instant(symptom) + within.unwrap_or_default();
        let answered = || {
            let judgement = self.judgement(rendered, marks, clock::now());
            let answers = &judgement.answers;
            answers
                .iter()
                .all(|a| a.as_ref().is_some_and(|a| a.came.is_some()))
                .then_some(())
        };
        self.wait_for_detector(by, answered).await?;
        self.wait_for_detector(self.instant(symptom) + spec.limits.stands, || None::<()>)
            .await?;
        Ok(())
    }

    async fn recovery(
        &self,
        rendered: &Rendered,
        since: usize,
        made: &[Version],
        by: Instant,
    ) -> Result<Shown, Stop> {
        let look = |history: &History| {
            self.delivered(made, history)?;
            let ground = self.ground(history, since);
            let shown = rendered
                .spec
                .recovered
                .iter()
                .map(|proof| proof::holds(proof, &ground).ok_or_else(|| story::proof(proof)));
            let shown: Vec<_> = shown.collect::<Result<_, _>>()?;
            let nothing = Shown {
                at: clock::now(),
                versions: Vec::new(),
            };
            Ok(Shown::all(shown).unwrap_or(nothing))
        };
        let late = |last| Stop::Invalid(format!("the fix does not heal: not seen: {last}"));
        self.wait(by, look, late).await
    }

    /// Waits until no verdict is left, at most for as long as one may stand.
    async fn cleared(&self, rendered: &Rendered, marks: &Marks) -> Result<(), Stop> {
        let recovered = marks.recovered.unwrap_or(marks.healthy);
        let by = self.instant(recovered) + rendered.spec.limits.clear;
        let is_clear = || {
            let part = self.bench.detector.part(&self.owned);
            part.last()
                .is_none_or(|last| last.verdicts.is_empty())
                .then_some(())
        };
        self.wait_for_detector(by, is_clear).await
    }

    /// The instant of the runtime's clock that a time of day is.
    fn instant(&self, time: Timestamp) -> Instant {
        let (instant, now) = (Instant::now(), clock::now());
        let ago = Duration::try_from(time.duration_until(now)).unwrap_or_default();
        instant.checked_sub(ago).unwrap_or(instant)
    }

    /// Waits until the harness's own watches show something; `late` says what it means if they do
    /// not, from what was missing last.
    async fn wait<T>(
        &self,
        by: Instant,
        mut look: impl FnMut(&History) -> Result<T, String>,
        late: impl FnOnce(String) -> Stop,
    ) -> Result<T, Stop> {
        let mut changes = self.sight.changes();
        loop {
            changes.mark_unchanged();
            let last = match self.sight.look(&mut look) {
                Ok(found) => return Ok(found),
                Err(last) => last,
            };
            (self.tell)(self.stage(), &last);
            let trouble = self.sight.trouble();
            let until = trouble
                .as_ref()
                .map_or(by, |trouble| by.min(self.instant(trouble.since) + TROUBLE));
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(until) => {
                    self.alive().await?;
                    return Err(match trouble {
                        Some(trouble) if Instant::now() < by => {
                            Stop::Error(format!("what proves it cannot be watched: {}", trouble.why))
                        }
                        _ => late(last),
                    });
                }
            }
        }
    }

    /// Waits until the detector's timeline shows something, or until it is too late for that.
    async fn wait_for_detector<T>(
        &self,
        by: Instant,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<(), Stop> {
        let mut changes = self.bench.detector.changes();
        loop {
            changes.mark_unchanged();
            if look().is_some() {
                return Ok(());
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(by) => return self.alive().await,
            }
        }
    }

    /// Whether the cluster is there still: what does not come from one that is gone is nobody
    /// else's fault.
    async fn alive(&self) -> Result<(), Stop> {
        let gone = |why: String| {
            Stop::Error(format!(
                "the cluster does not answer any more: {why}; is its control plane running?"
            ))
        };
        let asked = self.bench.cluster.client.apiserver_version();
        match tokio::time::timeout(ALIVE, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(gone(causes(&error))),
            Err(_) => Err(gone(format!("no answer within {} s", ALIVE.as_secs()))),
        }
    }

    fn judgement(&self, rendered: &Rendered, marks: &Marks, until: Timestamp) -> Judgement {
        let part = self.bench.detector.part(&self.owned);
        let marks = Marks {
            swept: until,
            ..*marks
        };
        let spec = &rendered.spec;
        judge::judge(
            &part,
            &spec.expect,
            &self.namespace,
            &marks,
            spec.limits.clear,
        )
    }

    /// Says what came of the run, from how far it got and what the detector said.
    fn judge(&mut self, went: Result<(), Stop>) {
        let now = clock::now();
        self.run.namespace = Some(self.namespace.clone());
        if let (Some(rendered), Some(marks)) = (&self.rendered, &self.marks) {
            let judgement = self.judgement(rendered, marks, now);
            self.run.times = times(marks, &judgement, &self.bench.detector);
            self.run.verdicts = self.bench.detector.verdicts(&self.owned, marks.healthy);
            let is_whole = matches!(went, Ok(()) | Err(Stop::Invalid(_)));
            self.run.wrong = if is_whole {
                judgement.wrong
            } else {
                Vec::new()
            };
            for wrong in self.run.wrong.clone() {
                self.run.end(Outcome::Fail, wrong.to_string());
            }
            self.marks = Some(Marks {
                swept: now,
                ..*marks
            });
        }
        let stage = self.stage();
        match went {
            Ok(()) => {}
            Err(Stop::Skip(why)) => self.run.end(Outcome::Skip, why),
            Err(Stop::Invalid(why)) => self.run.end(Outcome::Invalid, format!("{stage}: {why}")),
            Err(Stop::Error(why)) => self.run.end(Outcome::Error, format!("{stage}: {why}")),
        }
        if self.run.outcome > Outcome::Pass {
            let part = self.bench.detector.part(&self.owned);
            let story = self.sight.look(|history| {
                let expect = self
                    .rendered
                    .as_ref()
                    .map(|rendered| rendered.spec.expect.as_slice());
                story::tell(
                    &self.run,
                    self.marks.as_ref(),
                    expect.unwrap_or_default(),
                    &part,
                    history,
                )
            });
            self.run.story = Some(story);
        }
    }

    fn is_to_be_kept(&self) -> bool {
        let is_injected = self.marks.is_some_and(|marks| marks.injected.is_some());
        self.bench.keep && is_injected
    }

    /// Leaves the incident standing, and says how to look at it and how to end it.
    fn keep(&mut self) {
        let state = self.bench.state.dir().display();
        let end = format!(
            "crashbook recover --state-dir {state} --kept {}",
            self.namespace
        );
        if let Err(error) = self.journal.keep(&end) {
            self.run.end(Outcome::Error, error.to_string());
        }
        let kubeconfig = self.bench.backend.kubeconfig();
        let by = kubeconfig.map(|path| format!(" --kubeconfig {}", path.display()));
        let by = by.unwrap_or_default();
        self.run.kept = Some(Kept {
            kubeconfig: kubeconfig.map(ToOwned::to_owned),
            look: format!("kubectl{by} -n {} get pods,events", self.namespace),
            end,
        });
    }

    /// Undoes all that was done, and sees to it that the cluster is as before.
    async fn sweep(&mut self) {
        self.begin(Stage::Sweep);
        let progress = self.progress();
        let backend = Some(self.bench.backend.as_ref());
        let (_, failed) = recover::undo(&self.bench.state, &self.journal, backend, &progress).await;
        self.run.left = failed.iter().map(|failure| causes(failure)).collect();
        if self.run.left.is_empty() && !self.lent.is_empty() {
            let (lent, nodes) = (&self.lent, &self.owned.nodes);
            let as_before = |history: &History| {
                let standing = standing_nodes(history, nodes);
                let changed = lent.iter().find(|(name, before)| {
                    standing.get(*name).map(|node| node_state(node)).as_ref() != Some(before)
                });
                match changed {
                    None => Ok(()),
                    Some((name, before)) => Err(format!(
                        "node {name} is {}, and was {before} before",
                        standing
                            .get(name)
                            .map(|node| node_state(node))
                            .unwrap_or_default(),
                    )),
                }
            };
            let by = Instant::now() + NODES;
            if let Err(stop) = self.wait(by, as_before, Stop::Error).await {
                self.run.left.push(stop.to_string());
            }
        }
        for left in self.run.left.clone() {
            self.run
                .end(Outcome::Error, format!("sweep: not undone: {left}"));
        }
        self.guard = None;
    }
}

/// Waits for a step's answer, for a while.
async fn answered<T>(step: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let late = || {
        Stop::Error(format!(
            "no answer of the cluster within {} s",
            STEP.as_secs()
        ))
    };
    tokio::time::timeout(STEP, step).await.map_err(|_| late())?
}

/// The nodes of these names, as they were seen last.
fn standing_nodes<'a>(
    history: &'a History,
    nodes: &BTreeSet<String>,
) -> BTreeMap<String, &'a Value> {
    history
        .standing("Node")
        .filter_map(|(_, node)| Some((node["metadata"]["name"].as_str()?.to_owned(), &**node)))
        .filter(|(name, _)| nodes.contains(name))
        .collect()
}

/// Whether a node is ready, under no pressure, and takes pods.
fn is_well(node: &&Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let taints = node["spec"]["taints"].as_array();
    let mut taints = taints.into_iter().flatten();
    conditions.all(|condition| {
        let wanted = if condition["type"] == "Ready" {
            "True"
        } else {
            "False"
        };
        condition["status"] == wanted
    }) && taints.all(|taint| taint["key"] == backend::POOL)
}

/// What of a node is as before when a run has ended: all that somebody sets, and the conditions.
fn node_state(node: &Value) -> Value {
    let parts = |list: &Value, keys: &[&str]| {
        let list = list.as_array().into_iter().flatten();
        let list = list.map(|item| {
            keys.iter()
                .map(|key| item[*key].clone())
                .collect::<Vec<_>>()
        });
        list.collect::<Vec<_>>()
    };
    json!({
        "labels": node["metadata"]["labels"],
        "unschedulable": node["spec"]["unschedulable"],
        "taints": parts(&node["spec"]["taints"], &["key", "value", "effect"]),
        "conditions": parts(&node["status"]["conditions"], &["type", "status"]),
        "allocatable": node["status"]["allocatable"],
    })
}

/// The times of a run, from its marks and what answered its expectations.
fn times(marks: &Marks, judgement: &Judgement, detector: &Detector) -> Times {
    let millis = |from: Option<Timestamp>, to: Option<Timestamp>| {
        i64::try_from(from?.duration_until(to?).as_millis()).ok()
    };
    let answers: Option<Vec<_>> = judgement.answers.iter().map(Option::as_ref).collect();
    let answers = answers.unwrap_or_default();
    let came: Option<Vec<_>> = answers.iter().map(|answer| answer.came).collect();
    let came = came.and_then(|came| came.into_iter().max());
    let cleared: Option<Vec<_>> = answers.iter().map(|answer| answer.cleared).collect();
    let cleared = cleared.and_then(|cleared| cleared.into_iter().max());
    let prompt = answers
        .iter()
        .filter_map(|answer| detector.promptness(answer.came?));
    let prompt: Vec<_> = prompt.collect();
    Times {
        inject_to_symptom_ms: millis(marks.injected, marks.symptom),
        symptom_to_verdict_ms: millis(marks.symptom, came),
        inject_to_verdict_ms: millis(marks.injected, came),
        signal_to_verdict_ms: prompt.iter().map(|prompt| prompt.signal_ms).max(),
        fix_to_recovered_ms: millis(marks.fixed, marks.recovered),
        recovered_to_clear_ms: marks
            .recovered
            .and_then(|_| millis(marks.recovered, cleared)),
        fetch_ms: prompt.iter().map(|prompt| prompt.fetch_ms).max(),
    }
}
