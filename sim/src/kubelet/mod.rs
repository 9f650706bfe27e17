//! The kubelets: the life of pods on their nodes.
//!
//! Each pod that is bound to a node is *synced*: its status is written as its containers are now,
//! then what is missing is done, one attempt at a time. What containers do by themselves is seen
//! once a second, as the kubelet's own look at its runtime is. What failed is tried again with the
//! kubelet's back-offs.
//!
//! Source: `pkg/kubelet/{kubelet,kubelet_pods,pod_workers}.go`,
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go`.

mod access;
mod admit;
mod beside;
mod container;
mod environment;
mod images;
mod logs;
mod node;
mod pod;
mod probes;
mod stats;
mod status;
mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{after, since};
use crate::kinds::Kind;
use crate::program::Images;
use crate::program::files::Volume;
use crate::random::Random;
use crate::store::{Change, What};
use crate::value::{at, deleting, text, uid};
use crate::world::World;

pub use beside::Beside;
pub(crate) use beside::{has_printed, serves, start as start_beside, stop as stop_beside};
pub(crate) use images::{Reference, Registry};
pub(crate) use logs::LogQuery;
pub(crate) use node::{Node, boot, fault};
pub use node::{NodeFault, Resource};
pub(crate) use pod::{Pod, hostname};
use probes::Probing;
pub(crate) use stats::{Answer, ask};

/// How soon a kubelet hears of what changed.
const HEARD: Duration = Duration::from_millis(5);
/// After how long a pod whose last attempt failed is synced again, and up to half as long besides.
const RETRY: Duration = Duration::from_secs(10);

/// A kubelet's work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    /// A pod is brought nearer to what it should be.
    Sync(String),
    /// The processes of a pod's container go on.
    Run(String, usize),
    /// A container is asked how it is.
    Probe(String, usize, Probing),
    /// A container that was told to end is ended.
    Kill(String, usize),
    /// A node says that it is there.
    Renew(String),
    /// A node says how it is.
    Report(String),
    /// A node looks whether it runs short of something.
    Housekeeping(String),
}

/// What the kubelets know.
#[derive(Debug, Default)]
pub(crate) struct Kubelets {
    /// By name.
    pub(crate) nodes: BTreeMap<String, Node>,
    /// By uid.
    pub(crate) pods: BTreeMap<String, Pod>,
    /// Pods by their address: those of the host's network are not among them.
    pub(crate) by_address: BTreeMap<String, String>,
    /// What images are, and what their programs do.
    pub(crate) images: Images,
    /// Registries by host and port.
    pub(crate) registries: BTreeMap<String, Registry>,
    /// What is in volumes that outlive their pods, by what they are.
    pub(crate) lasting: BTreeMap<String, Volume>,
    /// Moves with what others wait for besides objects: lines of logs, and faults.
    pub(crate) stirs: u64,
}

/// How long to wait after failures.
///
/// Source: `staging/src/k8s.io/client-go/util/flowcontrol/backoff.go`.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff(Option<(Duration, Timestamp)>);

impl Backoff {
    const FIRST: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_secs(300);

    /// How long must be waited after a failure at a time, if it is not over yet.
    fn remains(&self, failed: Timestamp, now: Timestamp) -> Option<Duration> {
        let (length, updated) = self.0?;
        let is_over = since(failed, updated) > Self::MOST * 2 || since(now, failed) >= length;
        (!is_over).then_some(length)
    }

    /// The next failure is waited for longer.
    fn step(&mut self, now: Timestamp) {
        let length = match self.0 {
            Some((length, updated)) if since(now, updated) <= Self::MOST * 2 => {
                (length * 2).min(Self::MOST)
            }
            _ => Self::FIRST,
        };
        self.0 = Some((length, now));
    }
}

/// A time, and up to half as much besides.
fn jittered(random: &mut Random, time: Duration) -> Duration {
    let part = u32::try_from(random.next() % 1000).unwrap_or(0);
    time + time * part / 2000
}

impl World {
    pub(crate) fn kubelet_at(&mut self, time: Timestamp, task: Task) {
        self.agenda.at(time, crate::agenda::Work::Kubelet(task));
    }

    fn kubelet_in(&mut self, time: Duration, task: Task) {
        let time = after(self.now(), time);
        self.kubelet_at(time, task);
    }
}

/// Hears of what changed.
pub(crate) fn notice(world: &mut World, change: &Change) {
    if change.kind != Kind::Pod {
        return;
    }
    let pod = &change.object;
    let node = text(pod, "/spec/nodeName");
    if node.is_empty() || !world.kubelets.nodes.contains_key(node) {
        return;
    }
    let is_news = match &change.before {
        _ if change.what == What::Deleted => true,
        None => true,
        Some(before) => {
            text(before, "/spec/nodeName").is_empty()
                || at(before, "/metadata/generation") != at(pod, "/metadata/generation")
                || deleting(before) != deleting(pod)
                || at(before, "/metadata/deletionGracePeriodSeconds")
                    != at(pod, "/metadata/deletionGracePeriodSeconds")
                || at(before, "/metadata/annotations") != at(pod, "/metadata/annotations")
        }
    };
    if is_news {
        world.kubelet_in(HEARD, Task::Sync(uid(pod).to_owned()));
        let known = world.kubelets.pods.contains_key(uid(pod));
        if !known && change.what != What::Deleted {
            let pod = Pod::new(pod, world.now());
            world.kubelets.pods.insert(pod.uid.clone(), pod);
        }
    }
}

/// Does a kubelet's work.
pub(crate) fn perform(world: &mut World, task: Task) {
    match task {
        Task::Sync(uid) => pod::sync(world, &uid),
        Task::Run(uid, container) => container::run(world, &uid, container),
        Task::Probe(uid, container, probing) => probes::probe(world, &uid, container, probing),
        Task::Kill(uid, container) => container::kill(world, &uid, container),
        Task::Renew(node) => node::renew(world, &node),
        Task::Report(node) => node::report(world, &node),
        Task::Housekeeping(node) => node::housekeeping(world, &node),
    }
}

/// Asks for a look at a pod when its kubelet next looks at the runtime: it does once a second.
fn relist(world: &mut World, uid: &str) {
    let Some(pod) = world.kubelets.pods.get(uid) else {
        return;
    };
    // Each node has a beat of its own.
    let beat = pod.node.bytes().map(u64::from).sum::<u64>() * 37 % 1000;
    let now = world.now();
    let passed = u64::try_from(now.as_millisecond().rem_euclid(1000)).unwrap_or(0);
    let wait = (beat + 1000 - passed - 1) % 1000 + 1;
    world.kubelet_at(
        after(now, Duration::from_millis(wait)),
        Task::Sync(uid.to_owned()),
    );
}
