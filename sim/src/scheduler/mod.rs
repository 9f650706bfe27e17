//! The scheduler: gives pods their nodes.
//!
//! Pods wait in the order of their priorities, then of their coming. One that fits nowhere sleeps
//! until something changes that could help it, or five minutes have passed. There is no back-off
//! while the scheduler is idle: since v1.33 it takes pods that back off when no other is there.
//!
//! Source: `pkg/scheduler/schedule_one.go`, `pkg/scheduler/backend/queue/scheduling_queue.go`.

mod facts;
mod filters;
mod preemption;
mod volumes;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use facts::{NodeFacts, selects, tolerates};
use facts::{NodeInfo, PodFacts};
use filters::{Counted, Refused, fits, why};
use preemption::{Candidate, Outcome};
use volumes::{Choice, Volumes};

use crate::agenda::Work;
use crate::clock::{after, seconds, since};
use crate::controllers::volumes as claims;
use crate::kinds::Kind;
use crate::store::{Change, Key, Store, What};
use crate::value::{at, deleting, int, list, remove, set, text};
use crate::world::{Deletion, World, put_condition};

/// What its pods call it, and its events.
const NAME: &str = "default-scheduler";
/// How soon it sees what changed.
const SEEN: Duration = Duration::from_millis(5);
/// How many pods it looks at in one go, and how long that takes.
const BATCH: usize = 100;
const PACE: Duration = Duration::from_millis(1);
/// How long a pod sleeps at most.
const SLEEP: Duration = Duration::from_secs(300);
/// How long it waits for the volumes of a pod.
const BINDING: Duration = Duration::from_secs(600);
/// How many characters of a message an event may have.
const NOTE: usize = 1024;

/// What the scheduler knows.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    nodes: BTreeMap<String, NodeInfo>,
    /// The pods that are on nodes, and on which.
    placed: BTreeMap<Key, String>,
    /// Those of them that keep others away.
    standoffish: BTreeMap<Key, String>,
    waiting: BTreeMap<Key, Waiting>,
    /// The pods to be looked at: the highest priority first, then the longest wait.
    active: BTreeSet<(i64, u64, Key)>,
    /// Those that fitted nowhere,
    sleepers: BTreeSet<Key>,
    /// and since when, the longest first. Some may have been woken.
    asleep: VecDeque<(Timestamp, Key, u64)>,
    /// The pods that each node was promised to.
    promises: BTreeMap<String, BTreeSet<Key>>,
    /// The pods that wait for their volumes: where they will be, and how long they wait.
    binding: BTreeMap<Key, (String, Timestamp)>,
    /// Where the next search begins, so that all nodes are looked at in turn.
    begin: usize,
    count: u64,
}

/// A pod without a node.
#[derive(Debug)]
struct Waiting {
    facts: Arc<PodFacts>,
    number: u64,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Active,
    /// What it was refused for.
    Asleep(u16),
    Gated,
    Binding,
}

/// Why a pod fits nowhere.
struct Unfit {
    message: String,
    why: u16,
    outcome: Option<Outcome>,
}

/// Why no node is available, as Kubernetes counts it.
fn explain<'a>(all: usize, reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counted.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counted
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    parts.sort();
    let mut message = format!("0/{all} nodes are available:");
    if !parts.is_empty() {
        message += &format!(" {}.", parts.join(", "));
    }
    message
}

/// Notes what changed, and asks for work if a pod should be looked at.
pub(crate) fn notice(world: &mut World, change: &Change) {
    let World {
        scheduler, store, ..
    } = world;
    match change.kind {
        Kind::Pod => scheduler.pod(store, change),
        Kind::Node => scheduler.node(store, change),
        Kind::PersistentVolumeClaim if change.what != What::Deleted => {
            let key = Key::of(&change.object);
            let uses = |facts: &PodFacts| {
                facts.key.namespace == key.namespace
                    && facts.claims.iter().any(|(claim, _)| *claim == key.name)
            };
            scheduler.wake(why::VOLUMES, |facts| uses(facts));
            scheduler.wake_binding(uses);
        }
        Kind::PersistentVolume | Kind::StorageClass if change.what != What::Deleted => {
            scheduler.wake(why::VOLUMES, |_| true);
        }
        _ => return,
    }
    if !scheduler.active.is_empty() {
        let time = after(world.now(), SEEN);
        world.agenda.at(time, Work::Schedule);
    }
}

/// Looks at the pods that wait.
pub(crate) fn run(world: &mut World) {
    let mut scheduler = std::mem::take(&mut world.scheduler);
    for _ in 0..BATCH {
        let Some((_, _, key)) = scheduler.active.pop_first() else {
            break;
        };
        scheduler.attempt(world, &key);
    }
    if !scheduler.active.is_empty() {
        let time = after(world.now(), PACE);
        world.agenda.at(time, Work::Schedule);
    }
    world.scheduler = scheduler;
}

/// Wakes the pods that have slept too long, and gives up on volumes that do not come.
pub(crate) fn flush(world: &mut World) {
    let now = world.now();
    let mut scheduler = std::mem::take(&mut world.scheduler);
    while let Some((time, _, _)) = scheduler.asleep.front()
        && since(now, *time) >= SLEEP
    {
        let Some((_, key, number)) = scheduler.asleep.pop_front() else {
            break;
        };
        if scheduler.sleeps(&key, number) {
            scheduler.activate(&key);
        }
    }
    let late: Vec<Key> = scheduler
        .binding
        .iter()
        .filter(|(_, (_, until))| *until <= now)
        .map(|(key, _)| key.clone())
        .collect();
    for key in late {
        scheduler.binding.remove(&key);
        scheduler.unplace(&key);
        if let Some(waiting) = scheduler.waiting.get(&key) {
            let facts = waiting.facts.clone();
            let message = "running PreBind plugin \"VolumeBinding\": binding volumes: context \
                           deadline exceeded";
            scheduler.tell(world, &facts, "SchedulerError", message, None);
            scheduler.sleep(world, &key, why::VOLUMES);
        }
    }
    if !scheduler.active.is_empty() {
        world.agenda.at(after(now, SEEN), Work::Schedule);
    }
    let next = scheduler
        .asleep
        .front()
        .map(|(time, _, _)| after(*time, SLEEP));
    let next = next
        .into_iter()
        .chain(scheduler.binding.values().map(|(_, until)| *until))
        .min();
    if let Some(next) = next {
        world.agenda.at(next, Work::Reschedule);
    }
    world.scheduler = scheduler;
}

impl Scheduler {
    /// Notes a change of a pod.
    fn pod(&mut self, store: &Store, change: &Change) {
        let pod = &change.object;
        let key = Key::of(pod);
        let gone = change.what == What::Deleted
            || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        let node = text(pod, "/spec/nodeName");
        if !gone && !node.is_empty() {
            self.binding.remove(&key);
            self.forget(&key);
            let known = self.placed.get(&key).is_some_and(|known| known == node)
                && change
                    .before
                    .as_ref()
                    .is_some_and(|before| same_for_others(before, pod));
            if !known {
                let facts = Arc::new(PodFacts::of(pod));
                self.place(&facts, node);
                self.wake(why::PODS | why::SPREAD, |waiting| {
                    concerns(waiting, &facts, store)
                });
            }
            return;
        }
        if (gone || !self.binding.contains_key(&key))
            && let Some(facts) = self.unplace(&key)
        {
            self.wake(why::RESOURCES, |_| true);
            self.wake(why::VOLUMES, |waiting| !waiting.claims.is_empty());
            self.wake(why::PORTS, |waiting| {
                let taken = |port| facts.ports.iter().any(|taken| taken.conflicts(port));
                waiting.ports.iter().any(taken)
            });
            self.wake(why::PODS | why::SPREAD, |waiting| {
                concerns(waiting, &facts, store)
            });
        }
        let ours = text(pod, "/spec/schedulerName") == NAME;
        if gone || !ours {
            self.binding.remove(&key);
            if let Some(waiting) = self.forget(&key)
                && !waiting.facts.promised.is_empty()
            {
                self.wake(why::RESOURCES, |_| true);
            }
            return;
        }
        let gated = !list(pod, "/spec/schedulingGates").is_empty();
        if let Some(waiting) = self.waiting.get(&key) {
            let changed = change.before.as_ref().is_some_and(|before| {
                at(before, "/spec") != at(pod, "/spec") || !same_for_others(before, pod)
            });
            let rests = matches!(waiting.state, State::Asleep(_) | State::Gated);
            if changed || waiting.facts.promised != text(pod, "/status/nominatedNodeName") {
                self.renew(pod);
            }
            if changed && !gated && rests {
                self.activate(&key);
            }
            return;
        }
        self.count += 1;
        let waiting = Waiting {
            facts: Arc::new(PodFacts::of(pod)),
            number: self.count,
            state: State::Gated,
        };
        self.waiting.insert(key.clone(), waiting);
        self.renew(pod);
        if !gated {
            self.activate(&key);
        }
    }

    /// Notes a change of a node.
    fn node(&mut self, store: &Store, change: &Change) {
        let name = crate::value::name(&change.object).to_owned();
        if change.what == What::Deleted {
            self.nodes.remove(&name);
            self.wake(why::SPREAD | why::PODS, |_| true);
            return;
        }
        let after = NodeFacts::of(&change.object);
        let Some(info) = self.nodes.get_mut(&name) else {
            let mut info = NodeInfo::new(after.clone());
            for pod in store.pods_on(&name) {
                if self.placed.get(&Key::of(&pod)) == Some(&name) {
                    info.put(&Arc::new(PodFacts::of(&pod)));
                }
            }
            self.nodes.insert(name, info);
            self.wake_for_node(None, &after);
            return;
        };
        if info.node == after {
            return;
        }
        let before = std::mem::replace(&mut info.node, after.clone());
        self.wake_for_node(Some(&before), &after);
    }

    /// Wakes the pods that a new or changed node may help.
    fn wake_for_node(&mut self, before: Option<&NodeFacts>, after: &NodeFacts) {
        let had = |was: &dyn Fn(&NodeFacts) -> bool| before.is_some_and(was);
        let same_labels = before.is_some_and(|before| before.labels == after.labels);
        let roomier = before.is_none_or(|before| {
            let more = |now: &facts::Amounts, then: &facts::Amounts| {
                now.cpu > then.cpu
                    || now.memory > then.memory
                    || now.storage > then.storage
                    || now.other.iter().any(|(resource, amount)| {
                        *amount > then.other.get(resource).copied().unwrap_or(0)
                    })
            };
            more(&after.allocatable, &before.allocatable) || after.most_pods > before.most_pods
        });
        self.wake(why::NODES, |_| true);
        self.wake(why::RESOURCES, |pod| {
            roomier && NodeInfo::new(after.clone()).lacks(pod).is_none()
        });
        self.wake(why::TAINTS, |pod| {
            !pod.kept_by(after) && !had(&|node| !pod.kept_by(node))
        });
        self.wake(why::CORDON, |_| {
            !after.unschedulable && !had(&|node| !node.unschedulable)
        });
        self.wake(why::AFFINITY, |pod| {
            pod.selects(after) && !had(&|node| pod.selects(node))
        });
        let fresh = before.is_none();
        self.wake(why::VOLUMES | why::SPREAD | why::PODS, |_| !same_labels);
        self.wake(why::PORTS | why::NAME, |_| fresh);
    }

    /// Wakes sleeping pods that were refused for one of some reasons, and that a change may help.
    fn wake(&mut self, reasons: u16, helps: impl Fn(&PodFacts) -> bool) {
        let helped = |waiting: &Waiting| match waiting.state {
            State::Asleep(why) => why & reasons != 0 && helps(&waiting.facts),
            _ => false,
        };
        let woken: Vec<Key> = self
            .sleepers
            .iter()
            .filter(|key| self.waiting.get(*key).is_some_and(helped))
            .cloned()
            .collect();
        for key in woken {
            self.activate(&key);
        }
    }

    /// Looks again at pods that wait for their volumes.
    fn wake_binding(&mut self, helps: impl Fn(&PodFacts) -> bool) {
        for key in self.binding.keys() {
            if let Some(waiting) = self.waiting.get(key)
                && helps(&waiting.facts)
            {
                let place = (-waiting.facts.priority, waiting.number, key.clone());
                self.active.insert(place);
            }
        }
    }

    fn activate(&mut self, key: &Key) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            self.count += 1;
            waiting.number = self.count;
            waiting.state = State::Active;
            self.sleepers.remove(key);
            self.active
                .insert((-waiting.facts.priority, waiting.number, key.clone()));
        }
    }

    fn sleeps(&self, key: &Key, number: u64) -> bool {
        self.waiting.get(key).is_some_and(|waiting| {
            waiting.number == number && matches!(waiting.state, State::Asleep(_))
        })
    }

    fn sleep(&mut self, world: &mut World, key: &Key, why: u16) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.state = State::Asleep(why);
            self.sleepers.insert(key.clone());
            let now = world.now();
            self.asleep.push_back((now, key.clone(), waiting.number));
            world.agenda.at(after(now, SLEEP), Work::Reschedule);
        }
    }

    /// Reads a waiting pod anew.
    fn renew(&mut self, pod: &Value) {
        let facts = Arc::new(PodFacts::of(pod));
        let Some(waiting) = self.waiting.get_mut(&facts.key) else {
            return;
        };
        let before = std::mem::replace(&mut waiting.facts, facts.clone());
        self.break_promise(&before);
        if !facts.promised.is_empty() {
            let promised = self.promises.entry(facts.promised.clone()).or_default();
            promised.insert(facts.key.clone());
        }
    }

    fn break_promise(&mut self, pod: &PodFacts) {
        if let Some(promised) = self.promises.get_mut(&pod.promised) {
            promised.remove(&pod.key);
            if promised.is_empty() {
                self.promises.remove(&pod.promised);
            }
        }
    }

    /// Takes a pod out of the queue.
    fn forget(&mut self, key: &Key) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.break_promise(&waiting.facts);
        self.sleepers.remove(key);
        self.active
            .remove(&(-waiting.facts.priority, waiting.number, key.clone()));
        Some(waiting)
    }

    fn place(&mut self, facts: &Arc<PodFacts>, node: &str) {
        self.unplace(&facts.key);
        self.placed.insert(facts.key.clone(), node.to_owned());
        if !facts.apart.is_empty() {
            self.standoffish.insert(facts.key.clone(), node.to_owned());
        }
        if let Some(info) = self.nodes.get_mut(node) {
            info.put(facts);
        }
    }

    fn unplace(&mut self, key: &Key) -> Option<Arc<PodFacts>> {
        let node = self.placed.remove(key)?;
        self.standoffish.remove(key);
        self.nodes.get_mut(&node)?.take(key)
    }

    /// A node as a pod finds it: with the more important pods on it that it was promised to.
    fn with_promised(&self, node: &str, pod: &PodFacts) -> Option<NodeInfo> {
        let info = self.nodes.get(node)?;
        Some(self.seen(info, pod).into_owned())
    }

    fn seen<'a>(&self, info: &'a NodeInfo, pod: &PodFacts) -> Cow<'a, NodeInfo> {
        let mut seen = Cow::Borrowed(info);
        if !self.promises.is_empty() {
            for waiting in self.promised(&info.node.name) {
                if waiting.facts.priority >= pod.priority && waiting.facts.key != pod.key {
                    seen.to_mut().put(&waiting.facts);
                }
            }
        }
        seen
    }

    /// The pods that a node was promised to.
    fn promised(&self, node: &str) -> impl Iterator<Item = &Waiting> {
        let keys = self.promises.get(node);
        keys.into_iter()
            .flatten()
            .filter_map(|key| self.waiting.get(key))
    }

    /// Tries to find a node for one pod.
    fn attempt(&mut self, world: &mut World, key: &Key) {
        let Some(facts) = self.waiting.get(key).map(|waiting| waiting.facts.clone()) else {
            return;
        };
        let Some(pod) = world.store.get(Kind::Pod, key).cloned() else {
            return;
        };
        if let Some((node, _)) = self.binding.get(key).cloned() {
            if facts.claims.iter().all(|(claim, _)| {
                let claim = Key::new(&key.namespace, claim);
                let claim = world.store.get(Kind::PersistentVolumeClaim, &claim);
                claim.is_some_and(|claim| claims::bound(claim))
            }) {
                self.binding.remove(key);
                self.bind(world, &facts, &node);
            }
            return;
        }
        if deleting(&pod) {
            let message = format!("skip schedule deleting pod: {}/{}", key.namespace, key.name);
            world.event(NAME, "", &pod, "Warning", "FailedScheduling", &message);
            self.forget(key);
            return;
        }
        match self.find(&world.store, &facts) {
            Ok((node, volumes)) => self.assume(world, &facts, &node, &volumes),
            Err(unfit) => self.fail(world, &facts, unfit),
        }
    }

    /// Finds the best node for a pod.
    fn find(&mut self, store: &Store, pod: &PodFacts) -> Result<(String, Volumes), Unfit> {
        let all = self.nodes.len();
        if all == 0 {
            return Err(Unfit {
                message: "no nodes available to schedule pods".to_owned(),
                why: why::NODES,
                outcome: None,
            });
        }
        let used = |claim: &Key| {
            self.nodes.values().any(|info| {
                info.pods.values().any(|other| {
                    other.key.namespace == claim.namespace
                        && other.claims.iter().any(|(name, _)| *name == claim.name)
                })
            })
        };
        let volumes = Volumes::of(store, pod, used).map_err(|message| Unfit {
            // What follows is what the plugin for devices has to say of a search that it had no
            // part in.
            message: format!("0/{all} nodes are available: {message}. not found"),
            why: why::VOLUMES,
            outcome: None,
        })?;
        let counted = Counted::of(self, store, pod, &BTreeSet::new());
        if let Some(info) = self.nodes.get(&pod.promised)
            && fits(pod, &self.seen(info, pod), &counted, &volumes, store).is_ok()
        {
            return Ok((pod.promised.clone(), volumes));
        }
        let infos: Vec<&NodeInfo> = match &pod.named {
            Some(named) => named
                .iter()
                .filter_map(|name| self.nodes.get(name))
                .collect(),
            None => self.nodes.values().collect(),
        };
        let enough = match all {
            ..100 => all,
            _ => 100.max(all * 50usize.saturating_sub(all / 125).max(5) / 100),
        };
        let mut fitting = Vec::new();
        let mut refused: BTreeMap<String, Refused> = BTreeMap::new();
        let mut looked = 0;
        for turn in 0..infos.len() {
            let info = infos[(self.begin + turn) % infos.len()];
            looked += 1;
            match fits(pod, &self.seen(info, pod), &counted, &volumes, store) {
                Ok(()) => fitting.push(info),
                Err(why) => drop(refused.insert(info.node.name.clone(), why)),
            }
            if fitting.len() >= enough {
                break;
            }
        }
        let best = self
            .best(store, pod, &fitting)
            .map(|info| info.node.name.clone());
        self.begin = (self.begin + looked) % all;
        if let Some(best) = best {
            return Ok((best, volumes));
        }
        let reasons = refused.values().flat_map(|refused| &refused.reasons);
        let unnamed = std::iter::repeat_n(
            "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            all - refused.len(),
        );
        let mut message = explain(all, reasons.map(String::as_str).chain(unnamed));
        let mut why = refused.values().fold(0, |all, refused| all | refused.why);
        if pod.named.is_some() {
            why |= why::AFFINITY;
        }
        let outcome = self.preempt(store, pod, &volumes, &refused);
        let more = match &outcome {
            Outcome::Room(_) => None,
            Outcome::Waits(why) => Some(*why),
            Outcome::Helpless(why) => Some(why.as_str()),
        };
        if let Some(more) = more {
            message += &format!(" no new claims to deallocate, preemption: {more}");
        }
        Err(Unfit {
            message,
            why,
            outcome: Some(outcome),
        })
    }

    /// The best of the nodes that a pod fits on; of equals, the one with the fewest pods.
    fn best<'a>(
        &self,
        store: &Store,
        pod: &PodFacts,
        infos: &[&'a NodeInfo],
    ) -> Option<&'a NodeInfo> {
        if infos.len() < 2 {
            return infos.first().copied();
        }
        let of = |score: &dyn Fn(&NodeInfo) -> i64| -> Vec<i64> {
            infos.iter().map(|info| score(info)).collect()
        };
        let disliked = of(&|info| {
            let soft = |taint: &&Value| text(taint, "/effect") == "PreferNoSchedule";
            let taints = info.node.taints.iter().filter(soft);
            -i64::try_from(taints.filter(|taint| !pod.tolerates(taint)).count()).unwrap_or(0)
        });
        let liked = of(&|info| pod.likes(&info.node));
        let near = self.likings(store, pod, infos);
        let crowded = self.crowds(pod, infos);
        let parts = [
            (3, scaled(disliked)),
            (2, scaled(liked)),
            (2, scaled(near)),
            (2, scaled(crowded)),
        ];
        let total = |index: usize| -> i64 {
            let parts: i64 = parts
                .iter()
                .map(|(weight, scores)| weight * scores[index])
                .sum();
            parts + infos[index].room(pod)
        };
        let best = (0..infos.len()).max_by_key(|index| {
            let pods = infos[*index].pods.len();
            (
                total(*index),
                std::cmp::Reverse(pods),
                std::cmp::Reverse(*index),
            )
        })?;
        infos.get(best).copied()
    }

    /// How much a pod would like to be near those that are around each node.
    fn likings(&self, store: &Store, pod: &PodFacts, infos: &[&NodeInfo]) -> Vec<i64> {
        if pod.liked.is_empty() {
            return vec![0; infos.len()];
        }
        let mut domains: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for info in self.nodes.values() {
            for (weight, term) in &pod.liked {
                let Some(value) = info.node.label(&term.topology) else {
                    continue;
                };
                let there = info.pods.values().filter(|other| term.means(other, store));
                let there = i64::try_from(there.count()).unwrap_or(0);
                *domains.entry((&term.topology, value)).or_default() += weight * there;
            }
        }
        let topologies: BTreeSet<&str> = pod
            .liked
            .iter()
            .map(|(_, term)| term.topology.as_str())
            .collect();
        let sum = |info: &&NodeInfo| {
            topologies
                .iter()
                .filter_map(|key| domains.get(&(*key, info.node.label(key)?)))
                .sum()
        };
        infos.iter().map(sum).collect()
    }

    /// How many pods like it are around each node, as a score: fewer are better.
    fn crowds(&self, pod: &PodFacts, infos: &[&NodeInfo]) -> Vec<i64> {
        let mut scores: Vec<i64> = infos.iter().map(|info| -info.siblings(pod)).collect();
        for constraint in pod.spread.iter().filter(|spread| !spread.hard) {
            let mut domains: BTreeMap<&str, i64> = BTreeMap::new();
            for info in self.nodes.values() {
                let Some(value) = info.node.label(&constraint.topology) else {
                    continue;
                };
                let alike = info.pods.values().filter(|other| {
                    other.key.namespace == pod.key.namespace
                        && constraint
                            .labels
                            .as_ref()
                            .is_some_and(|labels| labels.matches(&other.labels))
                });
                *domains.entry(value).or_default() += i64::try_from(alike.count()).unwrap_or(0);
            }
            for (score, info) in scores.iter_mut().zip(infos) {
                let there = info.node.label(&constraint.topology);
                *score -= there
                    .and_then(|value| domains.get(value))
                    .copied()
                    .unwrap_or(0);
            }
        }
        scores
    }

    /// Takes a node for a pod, and binds it there as soon as its volumes are bound.
    fn assume(&mut self, world: &mut World, pod: &Arc<PodFacts>, node: &str, volumes: &Volumes) {
        self.place(pod, node);
        if volumes.settled() {
            self.bind(world, pod, node);
            return;
        }
        let choices = self
            .nodes
            .get(node)
            .and_then(|info| volumes.choose(&world.store, &info.node));
        for choice in choices.into_iter().flatten() {
            match choice {
                Choice::Volume(claim, volume) => claims::promise(world, &claim, &volume),
                Choice::Provision(claim) => {
                    world.modify(Kind::PersistentVolumeClaim, &claim, |claim| {
                        let path = "/metadata/annotations/volume.kubernetes.io~1selected-node";
                        set(claim, path, node);
                    });
                }
            }
        }
        let until = after(world.now(), BINDING);
        self.binding
            .insert(pod.key.clone(), (node.to_owned(), until));
        if let Some(waiting) = self.waiting.get_mut(&pod.key) {
            waiting.state = State::Binding;
        }
        world.agenda.at(until, Work::Reschedule);
    }

    fn bind(&mut self, world: &mut World, pod: &Arc<PodFacts>, node: &str) {
        let before = world.store.get(Kind::Pod, &pod.key).cloned();
        if world.bind(&pod.key, node).is_err() {
            // It is gone, or somebody else bound it: its changes tell.
            self.unplace(&pod.key);
            self.forget(&pod.key);
            return;
        }
        self.forget(&pod.key);
        if let Some(before) = before {
            let message = format!(
                "Successfully assigned {}/{} to {node}",
                pod.key.namespace, pod.key.name
            );
            world.event(NAME, "", &before, "Normal", "Scheduled", &message);
        }
    }

    /// Tells that a pod fits nowhere, and makes others go where that helps.
    fn fail(&mut self, world: &mut World, pod: &Arc<PodFacts>, unfit: Unfit) {
        let promise = match &unfit.outcome {
            Some(Outcome::Room(candidate)) => {
                for victim in &candidate.victims {
                    warn(world, victim);
                }
                Some(candidate.node.clone())
            }
            Some(Outcome::Helpless(_)) => Some(String::new()),
            Some(Outcome::Waits(_)) | None => None,
        };
        self.tell(world, pod, "Unschedulable", &unfit.message, promise);
        self.sleep(world, &pod.key, unfit.why);
        if let Some(Outcome::Room(candidate)) = unfit.outcome {
            self.make_room(world, pod, &candidate);
        }
    }

    /// Writes down why a pod has no node yet, and which it is promised.
    fn tell(
        &mut self,
        world: &mut World,
        pod: &PodFacts,
        reason: &str,
        message: &str,
        promise: Option<String>,
    ) {
        let Some(object) = world.store.get(Kind::Pod, &pod.key).cloned() else {
            return;
        };
        let note: String = message.chars().take(NOTE).collect();
        world.event(NAME, "", &object, "Warning", "FailedScheduling", &note);
        let now = seconds(world.now());
        let condition = json!({ "type": "PodScheduled", "status": "False", "reason": reason,
            "message": message });
        let told = world.modify(Kind::Pod, &pod.key, |pod| {
            put_condition(pod, condition, &now);
            match promise.as_deref() {
                Some("") => drop(remove(pod, "/status/nominatedNodeName")),
                Some(node) => set(pod, "/status/nominatedNodeName", node),
                None => {}
            }
        });
        if let Some(told) = told {
            self.renew(&told);
        }
    }

    fn make_room(&mut self, world: &mut World, pod: &PodFacts, candidate: &Candidate) {
        let lesser: Vec<Key> = self
            .promised(&candidate.node)
            .filter(|waiting| waiting.facts.priority < pod.priority)
            .map(|waiting| waiting.facts.key.clone())
            .collect();
        for key in lesser {
            world.modify(Kind::Pod, &key, |pod| {
                remove(pod, "/status/nominatedNodeName");
            });
            self.activate(&key);
        }
        for victim in &candidate.victims {
            let Some(object) = world.store.get(Kind::Pod, &victim.key).cloned() else {
                continue;
            };
            if deleting(&object) {
                continue;
            }
            // Gone already is as good as deleted.
            let _gone = world.delete(Kind::Pod, &victim.key, &Deletion::default());
            let message = format!("Preempted by pod {} on node {}", pod.uid, candidate.node);
            world.event(NAME, "", &object, "Normal", "Preempted", &message);
        }
    }
}

/// Tells a pod that it has to go.
fn warn(world: &mut World, victim: &PodFacts) {
    let going = world
        .store
        .get(Kind::Pod, &victim.key)
        .is_none_or(|pod| deleting(pod));
    if !going {
        let message = format!("{NAME}: preempting to accommodate a higher priority pod");
        let condition = json!({ "type": "DisruptionTarget", "status": "True",
            "reason": "PreemptionByScheduler", "message": message });
        world.set_condition(Kind::Pod, &victim.key, condition);
    }
}

/// Whether two states of a pod are the same to other pods.
fn same_for_others(before: &Value, after: &Value) -> bool {
    int(before, "/metadata/generation") == int(after, "/metadata/generation")
        && at(before, "/metadata/labels") == at(after, "/metadata/labels")
        && deleting(before) == deleting(after)
        && at(before, "/spec/nodeName") == at(after, "/spec/nodeName")
}

/// Whether where one pod is matters to where another may be.
fn concerns(waiting: &PodFacts, other: &PodFacts, store: &Store) -> bool {
    waiting
        .near
        .iter()
        .chain(&waiting.apart)
        .any(|term| term.means(other, store))
        || other.apart.iter().any(|term| term.means(waiting, store))
        || waiting.key.namespace == other.key.namespace
            && waiting.spread.iter().any(|constraint| {
                constraint
                    .labels
                    .as_ref()
                    .is_some_and(|labels| labels.matches(&other.labels))
            })
}

/// Scores, from 0 for the lowest to 100 for the highest.
fn scaled(mut scores: Vec<i64>) -> Vec<i64> {
    let (least, most) = (
        scores.iter().copied().min().unwrap_or(0),
        scores.iter().copied().max().unwrap_or(0),
    );
    for score in &mut scores {
        *score = match most - least {
            0 => 0,
            span => (*score - least) * 100 / span,
        };
    }
    scores
}
