//! What the detector knows: the last state of every object, what happened to those that are gone,
//! and what programs printed and kubelets measured.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Service};

use crate::facts::symbol::Symbols;
use crate::facts::{self, Event, Log, Pod, Run, Symbol};
use crate::index::Index;
use crate::key::Key;
use crate::kubernetes::scheduling::Nodes;
use crate::object::{Kind, Object, Resource};
use crate::observation::{NodeStats, Observation, PeriodsByContainer};

/// How long the last state of a deleted pod, and the time of a change, are remembered.
pub const MEMORY_OF_THE_GONE: SignedDuration = SignedDuration::from_mins(10);

/// The keys of what has changed, where anyone wants to know.
struct Touched {
    wanted: bool,
    keys: Vec<Key>,
}

impl Touched {
    fn push(&mut self, key: impl FnOnce() -> Key) {
        if self.wanted {
            self.keys.push(key());
        }
    }

    fn extend(&mut self, keys: impl FnOnce() -> Vec<Key>) {
        if self.wanted {
            self.keys.extend(keys());
        }
    }
}

/// Names an object of a known kind within a [`Memory`].
pub(crate) type Id = (Kind, String, String);

impl Object {
    pub(crate) fn id(&self) -> Id {
        let meta = self.meta();
        let (namespace, name) = (meta.namespace.to_owned(), meta.name.to_owned());
        (self.kind(), namespace, name)
    }
}

/// A pod that is no longer there.
#[derive(Clone, Debug, PartialEq)]
pub struct Gone {
    /// Its last state.
    pub pod: Arc<Pod>,
    /// When it was seen to be gone.
    pub at: Timestamp,
    /// Whether a watch said that it was deleted; else it was missing from a new list, and its last
    /// state may be long outdated.
    pub deleted: bool,
}

/// A container's log, or that it cannot be had.
pub(crate) type FetchedLog = Result<Log, Missing>;

/// A log that cannot be had.
#[derive(Debug)]
pub(crate) struct Missing {
    /// The id of the run's container, where it is known.
    pub(crate) container_id: Option<String>,
    /// Why, in the server's words.
    pub(crate) because: String,
}

/// An object in its place among those of its kind and namespace.
#[derive(Debug)]
struct ByName(Object);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name()
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name().cmp(other.0.name())
    }
}

fn share<T: PartialEq>(own: &mut Arc<T>, latest: &Arc<T>) {
    if **own == **latest {
        *own = latest.clone();
    }
}

/// A container's run that ended.
#[derive(Debug)]
struct EndedRun {
    id: String,
    length: SignedDuration,
    /// Whether the kernel killed it for memory, as far as the runtime knew.
    oom_killed: bool,
}

/// The logs of a pod, by container and run.
type LogsOfPod = BTreeMap<(String, Run), FetchedLog>;

/// Everything that was observed.
#[derive(Debug, Default)]
pub struct Memory {
    objects: BTreeMap<Kind, BTreeMap<String, BTreeSet<ByName>>>,
    listed: BTreeMap<Kind, BTreeSet<Option<String>>>,
    unreadable: BTreeMap<Kind, String>,
    pods_on: Index<Pod>,
    /// By the unique ids of their controllers.
    pods_of: Index<Pod>,
    nominated_to: Index<Pod>,
    /// None until someone asks: it would have each pod, and hardly anyone asks.
    pods_at: OnceLock<Index<Pod>>,
    services_at: Index<Service>,
    /// None until someone asks: it would grow with every other event that is fed.
    events_about: OnceLock<Index<Event>>,
    /// The event that was seen last: those of one object mostly follow one another.
    latest_event: Option<Arc<Event>>,
    nodes: Nodes,
    symbols: Symbols,
    gone: BTreeMap<String, BTreeMap<String, Gone>>,
    gone_from: BTreeMap<String, BTreeSet<(String, String)>>,
    changed: BTreeMap<Id, Timestamp>,
    /// When the oldest of `gone` and `changed` is to be forgotten.
    forget_at: Option<Timestamp>,
    /// What containers printed, by namespace and pod, then by container and run.
    logs: BTreeMap<String, BTreeMap<String, LogsOfPod>>,
    /// The last runs of containers that ended, by pod and container.
    runs: BTreeMap<(String, String), BTreeMap<String, Vec<EndedRun>>>,
    stats: BTreeMap<String, (Timestamp, NodeStats)>,
    periods: BTreeMap<String, Vec<(Timestamp, PeriodsByContainer)>>,
}

impl Memory {
    /// Takes in what was observed, and gives the keys of what has changed by it: none where they are
    /// not wanted, for they take longer than all the rest.
    pub(crate) fn observe(
        &mut self,
        observation: Observation,
        now: Timestamp,
        wanted: bool,
    ) -> Vec<Key> {
        let mut touched = Touched {
            wanted,
            keys: Vec::new(),
        };
        match observation {
            Observation::Applied(object) => self.apply(object, now, &mut touched),
            Observation::Deleted(object) => {
                let (kind, namespace, name) = object.id();
                self.apply(object, now, &mut touched);
                self.remove(kind, &namespace, &name, now, true, &mut touched);
            }
            Observation::Vanished {
                kind,
                namespace,
                name,
            } => {
                self.remove(kind, &namespace, &name, now, false, &mut touched);
            }
            Observation::Listed { kind, namespace } => {
                self.unreadable.remove(&kind);
                if self.listed.entry(kind).or_default().insert(namespace) {
                    touched.push(|| Key::of_kind(kind));
                }
            }
            Observation::Unreadable { kind, because } => {
                if self.unreadable.insert(kind, because).is_none() {
                    touched.push(|| Key::of_kind(kind));
                }
            }
            Observation::Log(log) => {
                touched.push(|| Key::logs_of(&log.namespace, &log.pod));
                let namespace = self.logs.entry(log.namespace.clone()).or_default();
                let pod = namespace.entry(log.pod.clone()).or_default();
                pod.insert((log.container.clone(), log.run), Ok(log));
            }
            Observation::LogUnavailable {
                namespace,
                pod,
                container,
                run,
                container_id,
                because,
            } => {
                touched.push(|| Key::logs_of(&namespace, &pod));
                let pod = self
                    .logs
                    .entry(namespace)
                    .or_default()
                    .entry(pod)
                    .or_default();
                // A log that could be had once is worth more than none.
                let of = (container, run);
                if pod.get(&of).is_none_or(Result::is_err) {
                    let missing = Missing {
                        container_id,
                        because,
                    };
                    pod.insert(of, Err(missing));
                }
            }
            Observation::NodeStats { node, stats } => {
                touched.push(|| Key::stats_of(&node));
                self.stats.insert(node, (now, stats));
            }
            Observation::CpuPeriods { node, periods } => {
                touched.push(|| Key::stats_of(&node));
                let samples = self.periods.entry(node).or_default();
                samples.retain(|(at, _)| now.duration_since(*at) < MEMORY_OF_THE_GONE);
                samples.push((now, periods));
            }
        }
        touched.keys
    }

    /// Forgets what is too long gone, and gives the keys of what that changes.
    pub(crate) fn forget(&mut self, now: Timestamp) -> Vec<Key> {
        let mut touched = Vec::new();
        if self.forget_at.is_none_or(|at| now < at) {
            return touched;
        }
        let gone_from = &mut self.gone_from;
        self.gone.retain(|namespace, pods| {
            let before = pods.len();
            pods.retain(|uid, gone| {
                let kept = now.duration_since(gone.at) < MEMORY_OF_THE_GONE;
                if let Some(node) = gone.pod.node.as_ref().filter(|_| !kept) {
                    touched.push(Key::gone_from(node));
                    let id = (namespace.clone(), uid.clone());
                    drop_from(gone_from.entry(node.to_string()), &id);
                }
                kept
            });
            if pods.len() != before {
                touched.push(Key::gone_in(namespace));
            }
            !pods.is_empty()
        });
        self.changed
            .retain(|_, at| now.duration_since(*at) < MEMORY_OF_THE_GONE);
        let gone = self
            .gone
            .values()
            .flat_map(BTreeMap::values)
            .map(|gone| gone.at);
        let oldest = gone.chain(self.changed.values().copied()).min();
        self.forget_at = oldest.and_then(|at| at.checked_add(MEMORY_OF_THE_GONE).ok());
        touched
    }

    fn apply(&mut self, mut object: Object, now: Timestamp, touched: &mut Touched) {
        self.share(&mut object);
        let mut old = self.put(object.clone());
        if let Some(same) = old.take_if(|old| *old == object) {
            self.put(same); // It is what stands in the indexes.
            return;
        }
        let kind = object.kind();
        let meta = object.meta();
        let (namespace, name) = (meta.namespace, meta.name);
        match &old {
            // Deleted and created again under the same name, and the watch missed it.
            Some(before) if before.meta().uid != meta.uid => {
                self.bury(before, now, false, touched);
                old = None;
            }
            Some(before) if matters_lately(before, &object) => {
                self.changed.insert(object.id(), now);
                self.remember_until(now);
            }
            _ => {}
        }
        if let Some(old) = &old {
            touched.extend(|| sought_keys(old));
            self.unindex(old);
        }
        if place(&mut self.nodes, old.as_ref(), Some(&object)) {
            touched.push(Key::scheduling);
        }
        touched.push(|| Key::object(kind, namespace, name));
        touched.push(|| Key::in_namespace(kind, namespace));
        touched.push(|| Key::of_kind(kind));
        touched.extend(|| sought_keys(&object));
        if let Object::Pod(pod) = &object {
            self.remember_runs(pod);
        }
        self.index(&object);
    }

    /// Puts an object in the place of its former state, which is given back.
    fn put(&mut self, object: Object) -> Option<Object> {
        let of_kind = self.objects.entry(object.kind()).or_default();
        match of_kind.get_mut(object.meta().namespace) {
            Some(objects) => objects.replace(ByName(object)).map(|old| old.0),
            None => {
                let namespace = object.meta().namespace.to_owned();
                of_kind.insert(namespace, BTreeSet::from([ByName(object)]));
                None
            }
        }
    }

    fn remove(
        &mut self,
        kind: Kind,
        namespace: &str,
        name: &str,
        now: Timestamp,
        deleted: bool,
        touched: &mut Touched,
    ) {
        let of_kind = self.objects.get_mut(&kind);
        let objects = of_kind.and_then(|namespaces| namespaces.get_mut(namespace));
        if let Some(ByName(object)) = objects.and_then(|objects| objects.take(name)) {
            self.bury(&object, now, deleted, touched);
        }
    }

    /// Takes in that an object is gone.
    fn bury(&mut self, object: &Object, now: Timestamp, deleted: bool, touched: &mut Touched) {
        self.unindex(object);
        if place(&mut self.nodes, Some(object), None) {
            touched.push(Key::scheduling);
        }
        let kind = object.kind();
        let meta = object.meta();
        let (namespace, name) = (meta.namespace, meta.name);
        if matters_when_gone(kind) {
            self.changed.insert(object.id(), now);
            self.remember_until(now);
        }
        touched.push(|| Key::object(kind, namespace, name));
        touched.push(|| Key::in_namespace(kind, namespace));
        touched.push(|| Key::of_kind(kind));
        touched.extend(|| sought_keys(object));
        if let Object::Pod(pod) = object {
            touched.push(|| Key::gone_in(namespace));
            let id = (namespace.to_owned(), name.to_owned());
            if let Some(logs) = self.logs.get_mut(namespace) {
                logs.remove(name);
            }
            self.runs.remove(&id);
            if let Some(node) = &pod.node {
                touched.push(|| Key::gone_from(node));
                self.gone_from
                    .entry(node.to_string())
                    .or_default()
                    .insert((namespace.to_owned(), pod.uid.clone()));
            }
            self.remember_until(now);
            self.gone.entry(namespace.to_owned()).or_default().insert(
                pod.uid.clone(),
                Gone {
                    pod: pod.clone(),
                    at: now,
                    deleted,
                },
            );
        }
    }

    /// A pod's status tells of one or two runs of a container; whether the present one outlasts
    /// the others shows against a few more.
    fn remember_runs(&mut self, pod: &Pod) {
        const MOST: usize = 3;
        for container in pod.containers() {
            for run in container.ended() {
                let Some(run_id) = &run.container_id else {
                    continue;
                };
                let runs = self
                    .runs
                    .entry((pod.namespace.clone(), pod.name.clone()))
                    .or_default()
                    .entry(container.name().to_owned())
                    .or_default();
                if runs.iter().all(|one| one.id != *run_id) {
                    runs.push(EndedRun {
                        id: run_id.clone(),
                        length: facts::duration(run),
                        oom_killed: run.reason.as_deref() == Some("OOMKilled"),
                    });
                    if runs.len() > MOST {
                        runs.remove(0);
                    }
                }
            }
        }
    }

    fn remember_until(&mut self, now: Timestamp) {
        if self.forget_at.is_none() {
            self.forget_at = now.checked_add(MEMORY_OF_THE_GONE).ok();
        }
    }

    /// Lets what is the same in many objects be held once: of pods what the latest one of their
    /// controller has, of events what they tell of.
    fn share(&mut self, object: &mut Object) {
        match object {
            Object::Pod(pod) => {
                let pod = Arc::make_mut(pod);
                if let Some(node) = &mut pod.node {
                    self.symbols.share(node);
                }
                pod.status.share(&mut self.symbols);
                let controller = pod.controller.as_ref();
                let siblings = controller.map(|owner| Key::pods_of(&owner.uid));
                let Some(latest) = siblings.and_then(|key| self.pods_of.latest(key)) else {
                    return;
                };
                share(&mut pod.spec, &latest.spec);
                share(&mut pod.labels, &latest.labels);
                share(&mut pod.annotations, &latest.annotations);
                pod.status.share_names(&latest.status);
                if pod.controller == latest.controller {
                    pod.controller.clone_from(&latest.controller);
                }
            }
            Object::Event(event) => {
                let latest = self.latest_event.as_deref();
                Arc::make_mut(event).share(&mut self.symbols, latest);
                self.latest_event = Some(event.clone());
            }
            _ => {}
        }
    }

    fn index(&mut self, object: &Object) {
        match object {
            Object::Pod(pod) => {
                self.pods_on.insert(node_key(pod), pod);
                self.pods_of.insert(controller_key(pod), pod);
                self.nominated_to.insert(nominated_key(pod), pod);
                if let Some(pods_at) = self.pods_at.get_mut() {
                    pods_at.insert(address_keys(pod), pod);
                }
            }
            Object::Event(event) => {
                if let Some(events_about) = self.events_about.get_mut() {
                    events_about.insert([event_key(event)], event);
                }
            }
            Object::Service(service) => self.services_at.insert(service_keys(service), service),
            _ => {}
        }
    }

    fn unindex(&mut self, object: &Object) {
        match object {
            Object::Pod(pod) => {
                self.pods_on.remove(node_key(pod), pod);
                self.pods_of.remove(controller_key(pod), pod);
                self.nominated_to.remove(nominated_key(pod), pod);
                if let Some(pods_at) = self.pods_at.get_mut() {
                    pods_at.remove(address_keys(pod), pod);
                }
            }
            Object::Event(event) => {
                if let Some(events_about) = self.events_about.get_mut() {
                    events_about.remove([event_key(event)], event);
                }
            }
            Object::Service(service) => self.services_at.remove(service_keys(service), service),
            _ => {}
        }
    }

    fn pods_by_address(&self) -> &Index<Pod> {
        self.pods_at.get_or_init(|| {
            let pods = self.of_kind(Kind::Pod).filter_map(Pod::of);
            Index::of(pods, address_keys)
        })
    }

    fn events_by_object(&self) -> &Index<Event> {
        self.events_about.get_or_init(|| {
            let events = self.of_kind(Kind::Event).filter_map(Event::of);
            Index::of(events, |event| [event_key(event)])
        })
    }

    pub(crate) fn get_object(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let object = self.placed(kind, namespace)?.get(name)?;
        Some(&object.0)
    }

    fn placed(&self, kind: Kind, namespace: &str) -> Option<&BTreeSet<ByName>> {
        self.objects.get(&kind)?.get(namespace)
    }

    pub(crate) fn get<T: Resource>(&self, namespace: &str, name: &str) -> Option<&T> {
        let object = self.get_object(T::KIND, namespace, name)?;
        T::of(object).map(Arc::as_ref)
    }

    pub(crate) fn in_namespace<'a, T: Resource>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        self.in_namespace_from(namespace, "")
    }

    /// The objects of a namespace from this name on.
    pub(crate) fn in_namespace_from<'a, T: Resource>(
        &'a self,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let from = (Bound::Included(name), Bound::Unbounded);
        let objects = self.placed(T::KIND, namespace);
        let objects = objects.map(|objects| objects.range::<str, _>(from));
        let objects = objects.into_iter().flatten();
        objects.filter_map(|object| T::of(&object.0).map(Arc::as_ref))
    }

    pub(crate) fn all<'a, T: Resource>(&'a self) -> impl Iterator<Item = &'a T> + use<'a, T> {
        self.of_kind(T::KIND).filter_map(T::of).map(Arc::as_ref)
    }

    /// Whether any object of the kind is known.
    pub(crate) fn has_any(&self, kind: Kind) -> bool {
        self.of_kind(kind).next().is_some()
    }

    /// The namespaces that any object lies in; empty for objects of the whole cluster.
    pub(crate) fn namespaces(&self) -> BTreeSet<&str> {
        let kinds = self.objects.values();
        kinds.flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    /// The objects of a kind in a namespace, in the order of their names.
    pub(crate) fn of_kind_in(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &Object> {
        let objects = self.placed(kind, namespace).into_iter().flatten();
        objects.map(|object| &object.0)
    }

    /// The objects of a kind, in the order of their namespaces and names.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> + Clone {
        let namespaces = self
            .objects
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values);
        namespaces.flatten().map(|object| &object.0)
    }

    /// Whether an absence of this kind means something in this namespace.
    pub(crate) fn is_listed(&self, kind: Kind, namespace: &str) -> bool {
        self.listed.get(&kind).is_some_and(|scopes| {
            scopes.contains(&None) || scopes.contains(&Some(namespace.to_owned()))
        })
    }

    /// Whether the kind was listed in all namespaces.
    pub(crate) fn is_listed_everywhere(&self, kind: Kind) -> bool {
        self.listed
            .get(&kind)
            .is_some_and(|scopes| scopes.contains(&None))
    }

    /// Whether the kind was listed at all, be it in one namespace.
    pub(crate) fn is_listed_anywhere(&self, kind: Kind) -> bool {
        self.listed
            .get(&kind)
            .is_some_and(|scopes| !scopes.is_empty())
    }

    pub(crate) fn why_unreadable(&self, kind: Kind) -> Option<&str> {
        self.unreadable.get(&kind).map(String::as_str)
    }

    pub(crate) fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.pods_on.sorted(Key::pods_on(node))
    }

    pub(crate) fn pods_at<'a>(
        &'a self,
        address: IpAddr,
    ) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.pods_by_address().sorted(Key::at(address))
    }

    pub(crate) fn services_at<'a>(
        &'a self,
        address: IpAddr,
    ) -> impl Iterator<Item = &'a Service> + use<'a> {
        self.services_at.sorted(Key::at(address))
    }

    pub(crate) fn pods_of<'a>(
        &'a self,
        controller_uid: &str,
    ) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.pods_of.sorted(Key::pods_of(controller_uid))
    }

    pub(crate) fn nominated_to<'a>(
        &'a self,
        node: &str,
    ) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.nominated_to.sorted(Key::nominated_to(node))
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    pub(crate) fn events_about<'a>(
        &'a self,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = &'a Event> + use<'a> {
        let key = Key::events_about(kind, namespace, name);
        self.events_by_object().sorted(key)
    }

    pub(crate) fn gone_in<'a>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Gone> + use<'a> {
        self.gone
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    pub(crate) fn gone_from<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Gone> + use<'a> {
        let ids = self.gone_from.get(node).into_iter().flatten();
        let node = node.to_owned();
        ids.filter_map(|(namespace, uid)| self.gone.get(namespace)?.get(uid))
            // Pods of an input without unique ids take each other's place.
            .filter(move |gone| gone.pod.node.as_deref() == Some(&*node))
    }

    /// When any object of a kind in a namespace was last seen to change in what can break others,
    /// or to go.
    pub(crate) fn changed_in(&self, kind: Kind, namespace: &str) -> Option<Timestamp> {
        let first = (kind, namespace.to_owned(), String::new());
        let of_namespace = |id: &Id| id.0 == kind && id.1 == namespace;
        let changes = self
            .changed
            .range(first..)
            .take_while(|(id, _)| of_namespace(id));
        changes.map(|(_, at)| *at).max()
    }

    pub(crate) fn changed(&self, kind: Kind, namespace: &str, name: &str) -> Option<Timestamp> {
        self.changed
            .get(&(kind, namespace.to_owned(), name.to_owned()))
            .copied()
    }

    pub(crate) fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        run: Run,
    ) -> Option<&FetchedLog> {
        let pod = self.logs.get(namespace)?.get(pod)?;
        pod.get(&(container.to_owned(), run))
    }

    pub(crate) fn has_log(&self, namespace: &str, pod: &str) -> bool {
        let logs = self.logs.get(namespace).and_then(|pods| pods.get(pod));
        logs.is_some_and(|logs| logs.values().any(Result::is_ok))
    }

    /// How long the longest of a container's last runs took, of those that were seen to have ended.
    pub(crate) fn longest_run(
        &self,
        pod: &Pod,
        container: &str,
        but: Option<&str>,
    ) -> Option<SignedDuration> {
        let runs = self.ended_runs(pod, container).iter();
        let counted = runs.filter(|run| Some(run.id.as_str()) != but);
        counted.map(|run| run.length).max()
    }

    /// Whether one of a container's last runs was killed for memory, of those that were seen to have
    /// ended.
    pub(crate) fn was_oom_killed(&self, pod: &Pod, container: &str) -> bool {
        let mut runs = self.ended_runs(pod, container).iter();
        runs.any(|run| run.oom_killed)
    }

    fn ended_runs(&self, pod: &Pod, container: &str) -> &[EndedRun] {
        let id = (pod.namespace.clone(), pod.name.clone());
        let runs = self.runs.get(&id).and_then(|runs| runs.get(container));
        runs.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn stats(&self, node: &str) -> Option<&(Timestamp, NodeStats)> {
        self.stats.get(node)
    }

    pub(crate) fn has_stats(&self) -> bool {
        !self.stats.is_empty()
    }

    pub(crate) fn cpu_periods(&self, node: &str) -> &[(Timestamp, PeriodsByContainer)] {
        self.periods.get(node).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn has_cpu_periods(&self) -> bool {
        !self.periods.is_empty()
    }
}

fn drop_from(entry: Entry<'_, String, BTreeSet<(String, String)>>, id: &(String, String)) {
    if let Entry::Occupied(mut ids) = entry {
        ids.get_mut().remove(id);
        if ids.get().is_empty() {
            ids.remove();
        }
    }
}

/// Tells the scheduler's view of the nodes that an object has another state; whether that changes
/// anything there.
fn place(nodes: &mut Nodes, old: Option<&Object>, new: Option<&Object>) -> bool {
    match (old, new) {
        (_, Some(Object::Node(node))) => nodes.set(&name_of(node), Some(node)),
        (Some(Object::Node(node)), None) => nodes.set(&name_of(node), None),
        (Some(Object::Pod(old)), None) => nodes.replace(Some(old), None),
        (None, Some(Object::Pod(new))) => nodes.replace(None, Some(new)),
        (Some(Object::Pod(old)), Some(Object::Pod(new))) => nodes.replace(Some(old), Some(new)),
        _ => false,
    }
}

fn name_of(node: &Node) -> String {
    node.metadata.name.clone().unwrap_or_default()
}

/// The node that an unbound pod is to take once its pods of lower priority have left.
fn nominated(pod: &Pod) -> Option<&Symbol> {
    let name = pod.status.nominated_node_name.as_ref()?;
    (pod.node.is_none() && !name.is_empty()).then_some(name)
}

/// The addresses that a pod has for itself.
fn own_addresses(pod: &Pod) -> &[IpAddr] {
    match pod.spec.host_network {
        Some(true) => &[],
        _ => &pod.status.addresses,
    }
}

/// The addresses of a Service in the cluster; a headless one has none.
fn cluster_addresses(service: &Service) -> Vec<IpAddr> {
    let spec = service.spec.as_ref();
    let first = spec.and_then(|spec| spec.cluster_ip.as_ref());
    let more = spec.and_then(|spec| spec.cluster_ips.as_ref());
    let texts = first.into_iter().chain(more.into_iter().flatten());
    let mut addresses: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
    addresses.dedup();
    addresses
}

fn node_key(pod: &Pod) -> Option<Key> {
    pod.node.as_deref().map(Key::pods_on)
}

fn controller_key(pod: &Pod) -> Option<Key> {
    let controller = pod.controller.as_ref();
    controller.map(|owner| Key::pods_of(&owner.uid))
}

fn nominated_key(pod: &Pod) -> Option<Key> {
    nominated(pod).map(|node| Key::nominated_to(node))
}

fn address_keys(pod: &Pod) -> impl Iterator<Item = Key> {
    own_addresses(pod).iter().map(|address| Key::at(*address))
}

fn service_keys(service: &Service) -> impl Iterator<Item = Key> {
    cluster_addresses(service).into_iter().map(Key::at)
}

fn event_key(event: &Event) -> Key {
    Key::events_about(&event.about.kind, &event.about.namespace, &event.about.name)
}

/// The keys by which the object is looked for, beside its name, namespace and kind.
fn sought_keys(object: &Object) -> Vec<Key> {
    match object {
        Object::Pod(pod) => {
            let labels = pod.labels.iter();
            let labels = labels.map(|(key, value)| Key::pods_labelled(&pod.namespace, key, value));
            (node_key(pod).into_iter())
                .chain(controller_key(pod))
                .chain(nominated_key(pod))
                .chain(address_keys(pod))
                .chain(labels)
                .collect()
        }
        Object::Event(event) => vec![event_key(event)],
        Object::Service(service) => service_keys(service).collect(),
        _ => Vec::new(),
    }
}

/// Whether it can mend what runs that such an object is gone: a policy blocks no more.
fn matters_when_gone(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NetworkPolicy
            | Kind::CalicoPolicy
            | Kind::GlobalCalicoPolicy
            | Kind::CalicoNetworkSet
            | Kind::GlobalCalicoNetworkSet
    )
}

/// Whether the difference is one that can break what runs: "what changed before it broke".
fn matters_lately(old: &Object, new: &Object) -> bool {
    match (old, new) {
        (Object::ConfigMap(old), Object::ConfigMap(new)) => {
            (&old.data, &old.binary_data) != (&new.data, &new.binary_data)
        }
        (Object::Secret(_), Object::Secret(_)) => true,
        (Object::NetworkPolicy(old), Object::NetworkPolicy(new)) => old.spec != new.spec,
        (Object::CalicoPolicy(old), Object::CalicoPolicy(new)) => old.spec != new.spec,
        (Object::GlobalCalicoPolicy(old), Object::GlobalCalicoPolicy(new)) => old.spec != new.spec,
        (Object::CalicoNetworkSet(old), Object::CalicoNetworkSet(new)) => {
            (old.nets(), old.labels()) != (new.nets(), new.labels())
        }
        (Object::GlobalCalicoNetworkSet(old), Object::GlobalCalicoNetworkSet(new)) => {
            (old.nets(), old.labels()) != (new.nets(), new.labels())
        }
        // What is left out of their templates counts as well: the generation tells.
        (Object::Deployment(old), Object::Deployment(new)) => {
            old.spec != new.spec || old.metadata.generation != new.metadata.generation
        }
        (Object::StatefulSet(old), Object::StatefulSet(new)) => {
            old.spec != new.spec || old.metadata.generation != new.metadata.generation
        }
        (Object::DaemonSet(old), Object::DaemonSet(new)) => {
            old.spec != new.spec || old.metadata.generation != new.metadata.generation
        }
        (Object::Service(old), Object::Service(new)) => old.spec != new.spec,
        _ => false,
    }
}
