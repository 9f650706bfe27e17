//! What the harness itself has seen of a run's cluster: proofs rest on this, never on the detector.
//!
//! Much of what proves a symptom is transient, so every version that a watch delivers is kept, in
//! the order of arrival.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, LogParams};
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock;
use crate::scenario::LogProof;

/// Names one version of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The kind.
    pub kind: String,
    /// The namespace; none for objects of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The unique id.
    pub uid: String,
    /// The `metadata.resourceVersion`.
    pub resource_version: String,
}

impl Version {
    /// Of an object as the API gave it.
    pub fn of(kind: &str, object: &Value) -> Self {
        let text = |key: &str| object["metadata"][key].as_str().map(str::to_owned);
        Self {
            kind: kind.to_owned(),
            namespace: text("namespace"),
            name: text("name").unwrap_or_default(),
            uid: text("uid").unwrap_or_default(),
            resource_version: text("resourceVersion").unwrap_or_default(),
        }
    }

    /// The version as a number, by which the versions of one object are in order.
    ///
    /// Source: KEP-5504, which makes the comparison part of the API.
    pub fn number(&self) -> u64 {
        self.resource_version.parse().unwrap_or_default()
    }
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum What {
    /// An object is there in this form.
    Applied(Arc<Value>),
    /// An object is gone; this was its last form.
    Deleted(Arc<Value>),
    /// A container printed a line.
    Line {
        /// The pod, as it was when the reading of the log began.
        pod: Arc<Value>,
        /// The container.
        container: String,
        /// When it was printed, by the node's clock.
        printed: Option<Timestamp>,
        /// The line.
        line: String,
    },
    /// The eviction of a pod was refused by a PodDisruptionBudget.
    Refused(Arc<Value>),
    /// A kubelet's `stats/summary`.
    Summary {
        /// The node.
        node: String,
        /// The summary.
        summary: Arc<Value>,
    },
}

/// Something seen, and when it arrived here.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When it arrived.
    pub at: Timestamp,
    /// The kind of object; `Pod` for a line and for a refusal, `Node` for a summary.
    pub kind: String,
    /// What was seen.
    pub what: What,
}

/// Everything that was seen, in the order of arrival.
#[derive(Clone, Debug, Default)]
pub struct History {
    sightings: Vec<Sighting>,
    standing: BTreeMap<Key, usize>,
    /// Each watch, by kind and namespace, and whether it has told all there is.
    watches: BTreeMap<(String, Option<String>), bool>,
}

/// An object, by kind, namespace and name.
type Key = (String, String, String);

fn key(kind: &str, object: &Value) -> Key {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    (
        kind.to_owned(),
        text("namespace").to_owned(),
        text("name").to_owned(),
    )
}

impl History {
    /// Adds what was seen last.
    pub fn push(&mut self, sighting: Sighting) {
        match &sighting.what {
            What::Applied(object) => {
                let key = key(&sighting.kind, object);
                self.standing.insert(key, self.sightings.len());
            }
            What::Deleted(object) => {
                self.standing.remove(&key(&sighting.kind, object));
            }
            _ => {}
        }
        self.sightings.push(sighting);
    }

    /// How many sightings there are: the mark from which the next ones count.
    pub fn len(&self) -> usize {
        self.sightings.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.sightings.is_empty()
    }

    /// Whether every watch has told all there is.
    pub fn is_listed(&self) -> bool {
        self.watches.values().all(|listed| *listed)
    }

    /// What was seen since a mark.
    pub fn since(&self, mark: usize) -> &[Sighting] {
        self.sightings.get(mark..).unwrap_or_default()
    }

    /// The objects of a kind that are there now, in the form seen last, with their sighting.
    pub fn standing<'a>(
        &'a self,
        kind: &'a str,
    ) -> impl Iterator<Item = (&'a Sighting, &'a Arc<Value>)> {
        let from = (kind.to_owned(), String::new(), String::new());
        self.standing
            .range(from..)
            .take_while(move |((of, _, _), _)| of == kind)
            .filter_map(|(_, index)| {
                let sighting = self.sightings.get(*index)?;
                match &sighting.what {
                    What::Applied(object) => Some((sighting, object)),
                    _ => None,
                }
            })
    }

    /// Whether this version of an object, or a later one, was seen, or the object is gone.
    pub fn has_delivered(&self, version: &Version) -> bool {
        self.sightings.iter().rev().any(|sighting| {
            let (What::Applied(object) | What::Deleted(object)) = &sighting.what else {
                return false;
            };
            let seen = Version::of(&sighting.kind, object);
            seen.uid == version.uid && seen.number() >= version.number()
        })
    }

    /// The objects of a kind in a namespace that are not in a new list, as gone.
    fn vanish(
        &mut self,
        at: Timestamp,
        kind: &str,
        namespace: Option<&str>,
        listed: &BTreeSet<Key>,
    ) {
        let gone: Vec<Arc<Value>> = self
            .standing(kind)
            .map(|(_, object)| object.clone())
            .filter(|object| {
                let key = key(kind, object);
                namespace.is_none_or(|namespace| namespace == key.1) && !listed.contains(&key)
            })
            .collect();
        for object in gone {
            self.push(Sighting {
                at,
                kind: kind.to_owned(),
                what: What::Deleted(object),
            });
        }
    }
}

/// A watch that fails, and since when.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// Why, in the client's words.
    pub why: String,
}

/// A run's own watches. They end when this is dropped.
#[derive(Debug)]
pub struct Sight {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    history: History,
    troubles: BTreeMap<(String, Option<String>), Trouble>,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A panic elsewhere must not keep a run from telling what it saw.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Sight {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                seen: Mutex::default(),
                changed: watch::channel(0).0,
            }),
            tasks: Mutex::default(),
        }
    }
}

impl Sight {
    /// Watches a kind, in one namespace or everywhere. One that is watched already is not watched
    /// twice.
    pub fn watch(&self, client: &kube::Client, resource: &ApiResource, namespace: Option<&str>) {
        let of = (resource.kind.clone(), namespace.map(str::to_owned));
        let is_new = self.shared.change(|seen| {
            let is_new = !seen.history.watches.contains_key(&of);
            seen.history.watches.entry(of.clone()).or_insert(false);
            is_new
        });
        if !is_new {
            return;
        }
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
            None => Api::all_with(client.clone(), resource),
        };
        let shared = self.shared.clone();
        self.spawn(async move { follow(api, of, &shared).await });
    }

    /// Reads the logs of the containers that this proof is about, as they come and go. The pods of
    /// the namespace must be watched.
    pub fn read_logs(&self, client: &kube::Client, namespace: &str, proof: &LogProof) {
        let api: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), namespace);
        let (proof, shared) = (proof.clone(), self.shared.clone());
        self.spawn(async move { read_logs(api, proof, shared).await });
    }

    /// Reads the statistics of these nodes' kubelets again and again.
    pub fn read_summaries(&self, client: &kube::Client, nodes: Vec<String>) {
        for node in nodes {
            let (client, shared) = (client.clone(), self.shared.clone());
            self.spawn(async move { read_summaries(client, node, &shared).await });
        }
    }

    /// Adds what was seen by other means than a watch.
    pub fn saw(&self, kind: &str, what: What) {
        let at = clock::now();
        let kind = kind.to_owned();
        self.shared
            .change(|seen| seen.history.push(Sighting { at, kind, what }));
    }

    /// Looks at what was seen so far. Nothing is seen meanwhile: to look again while looking would
    /// wait for ever.
    pub fn look<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.shared.lock().history)
    }

    /// The mark from which what comes next counts.
    pub fn mark(&self) -> usize {
        self.look(History::len)
    }

    /// The longest trouble of a watch, while it lasts.
    pub fn trouble(&self) -> Option<Trouble> {
        let seen = self.shared.lock();
        seen.troubles
            .values()
            .min_by_key(|trouble| trouble.since)
            .cloned()
    }

    /// Tells of every change, for who waits.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(task);
    }
}

/// Follows one watch for ever.
async fn follow(api: Api<DynamicObject>, of: (String, Option<String>), shared: &Shared) {
    use kube::runtime::WatchStreamExt;
    let (kind, namespace) = of.clone();
    let mut listed = BTreeSet::new();
    let mut events = watcher(api, watcher::Config::default())
        .default_backoff()
        .boxed();
    while let Some(event) = events.next().await {
        let at = clock::now();
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let why = error.to_string();
                shared.change(|seen| {
                    let since = Trouble {
                        since: at,
                        why: String::new(),
                    };
                    seen.troubles.entry(of.clone()).or_insert(since).why = why;
                });
                continue;
            }
        };
        let saw = |what| Sighting {
            at,
            kind: kind.clone(),
            what,
        };
        shared.change(|seen| {
            if !matches!(event, watcher::Event::Init) {
                seen.troubles.remove(&of);
            }
            match event {
                watcher::Event::Init => listed.clear(),
                watcher::Event::InitApply(object) => {
                    let object = Arc::new(lean(object));
                    let key = key(&kind, &object);
                    let known = seen.history.standing.get(&key).and_then(|index| {
                        match &seen.history.sightings.get(*index)?.what {
                            What::Applied(known) => Some(Version::of(&kind, known)),
                            _ => None,
                        }
                    });
                    if known != Some(Version::of(&kind, &object)) {
                        seen.history.push(saw(What::Applied(object)));
                    }
                    listed.insert(key);
                }
                watcher::Event::InitDone => {
                    seen.history
                        .vanish(at, &kind, namespace.as_deref(), &listed);
                    seen.history.watches.insert(of.clone(), true);
                }
                watcher::Event::Apply(object) => {
                    seen.history
                        .push(saw(What::Applied(Arc::new(lean(object)))));
                }
                watcher::Event::Delete(object) => {
                    seen.history
                        .push(saw(What::Deleted(Arc::new(lean(object)))));
                }
            }
        });
    }
}

/// An object without what no proof reads and makes it long.
fn lean(mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    if object
        .types
        .as_ref()
        .is_some_and(|types| types.kind == "Secret")
    {
        object.data = Value::Null;
    }
    serde_json::to_value(&object).unwrap_or_default()
}

/// A run of a container: the container's id in its pod.
type Run = (String, String);

/// Starts a reading for each run of each container that the proof is about.
async fn read_logs(
    api: Api<k8s_openapi::api::core::v1::Pod>,
    proof: LogProof,
    shared: Arc<Shared>,
) {
    let mut changed = shared.changed.subscribe();
    let mut begun: BTreeSet<Run> = BTreeSet::new();
    let mut readings = JoinSet::new();
    loop {
        let pods: Vec<Arc<Value>> = {
            let seen = shared.lock();
            let pods = seen.history.standing("Pod");
            pods.map(|(_, pod)| pod.clone()).collect()
        };
        for pod in pods {
            if !proof.pods.matches(&labels(&pod)) {
                continue;
            }
            for (container, id, previous) in runs(&pod) {
                let is_meant = proof
                    .container
                    .as_ref()
                    .is_none_or(|name| *name == container);
                if is_meant && begun.insert((container.clone(), id)) {
                    let (api, pod, shared) = (api.clone(), pod.clone(), shared.clone());
                    readings.spawn(async move {
                        read_log(&api, pod, container, previous, &shared).await;
                    });
                }
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// The runs whose logs can be read: the container, its id, and whether it is the run before the
/// present one.
fn runs(pod: &Value) -> Vec<(String, String, bool)> {
    let kinds = [
        "initContainerStatuses",
        "containerStatuses",
        "ephemeralContainerStatuses",
    ];
    let statuses = kinds
        .iter()
        .filter_map(|kind| pod["status"][kind].as_array())
        .flatten();
    let mut runs = Vec::new();
    for status in statuses {
        let name = status["name"].as_str().unwrap_or_default();
        let id = |state: &Value| state["containerID"].as_str().map(str::to_owned);
        let running = &status["state"]["running"];
        let present = if running.is_object() {
            status["containerID"].as_str().map(str::to_owned)
        } else {
            id(&status["state"]["terminated"])
        };
        // While the container waits to start again, the log at hand is that of the last run.
        let is_waiting = status["state"]["waiting"].is_object();
        let last = id(&status["lastState"]["terminated"]);
        runs.extend(last.map(|id| (name.to_owned(), id, !is_waiting)));
        runs.extend(present.map(|id| (name.to_owned(), id, false)));
    }
    runs
}

/// Reads one log to its end. A log that cannot be read is none: what it would have proven is
/// waited for in the next run of the container, up to the limit.
async fn read_log(
    api: &Api<k8s_openapi::api::core::v1::Pod>,
    pod: Arc<Value>,
    container: String,
    previous: bool,
    shared: &Shared,
) {
    let params = LogParams {
        container: Some(container.clone()),
        follow: !previous,
        previous,
        timestamps: true,
        ..LogParams::default()
    };
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let Ok(stream) = api.log_stream(name, &params).await else {
        return;
    };
    let mut lines = futures::io::AsyncBufReadExt::lines(stream);
    while let Ok(Some(line)) = lines.try_next().await {
        let line = crashbook_detector::facts::LogLine::parse(line.as_bytes());
        let at = clock::now();
        let what = What::Line {
            pod: pod.clone(),
            container: container.clone(),
            printed: line.at,
            line: line.text,
        };
        let kind = "Pod".to_owned();
        shared.change(|seen| seen.history.push(Sighting { at, kind, what }));
    }
}

/// The statistics change once in about ten seconds, and nothing tells of it.
const SUMMARY_PERIOD: std::time::Duration = std::time::Duration::from_secs(2);

async fn read_summaries(client: kube::Client, node: String, shared: &Shared) {
    let mut ticks = tokio::time::interval(SUMMARY_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Ok(summary) = super::cluster::summary(&client, &node).await {
            let at = clock::now();
            let what = What::Summary {
                node: node.clone(),
                summary: Arc::new(summary),
            };
            let kind = "Node".to_owned();
            shared.change(|seen| seen.history.push(Sighting { at, kind, what }));
        }
    }
}

/// The labels of an object.
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object["metadata"]["labels"].as_object();
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
