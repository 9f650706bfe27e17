//! One pod, from its admission to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::container::{self, Container, Role};
use super::{RETRY, Task, admit, jittered, relist, status, volumes};
use crate::clock::{after, seconds, since};
use crate::kinds::Kind;
use crate::program::files::Volume;
use crate::program::net::Serving;
use crate::store::Key;
use crate::value::{deleting, int, is_true, list, name, text, uid};
use crate::world::{Deletion, World};

/// How long it takes to make a pod's sandbox.
const SANDBOX: Duration = Duration::from_millis(250);
/// How long it takes to mount what can be mounted.
const MOUNTS: Duration = Duration::from_millis(100);
/// How often the files of ConfigMaps and Secrets are made anew.
const REFRESH: Duration = Duration::from_secs(60);
/// How soon a pod that has ended is deleted after its last word.
const LAST: Duration = Duration::from_millis(500);

/// What a kubelet knows of a pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) stage: Stage,
    /// When its kubelet took it on.
    pub(crate) started: Option<Timestamp>,
    pub(crate) address: Option<String>,
    pub(crate) host_network: bool,
    /// Init containers come first.
    pub(crate) containers: Vec<Container>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) mounting: volumes::Mounting,
    /// Who listens on which port of the pod's network.
    pub(crate) listeners: BTreeMap<u16, Listener>,
    pub(crate) ending: Option<Ending>,
    /// When the files of its volumes were made.
    pub(crate) refreshed: Option<Timestamp>,
    /// When its sandbox may be tried again.
    sandbox_tried: Option<Timestamp>,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    New,
    Mounting,
    Sandbox,
    Running,
    /// All its containers have ended, and none will start again.
    Ended,
}

/// Who listens on a port.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) container: usize,
    pub(crate) serving: Serving,
    /// The process that waits for one connection.
    pub(crate) once: Option<u32>,
}

/// Why and how a pod ends before its containers do.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Seconds that its containers are given.
    pub(crate) grace: i64,
    /// What its status says of it.
    pub(crate) reason: Option<(String, String)>,
    /// The condition that it gets.
    pub(crate) condition: Option<Value>,
    pub(crate) is_begun: bool,
}

impl Pod {
    pub(crate) fn new(pod: &Value, _now: Timestamp) -> Self {
        let mut containers = Vec::new();
        for container in list(pod, "/spec/initContainers") {
            let role = match text(container, "/restartPolicy") {
                "Always" => Role::Sidecar,
                _ => Role::Init,
            };
            containers.push(Container::new(name_of(container), role));
        }
        for container in list(pod, "/spec/containers") {
            containers.push(Container::new(name_of(container), Role::Main));
        }
        Self {
            key: Key::of(pod),
            uid: uid(pod).to_owned(),
            node: text(pod, "/spec/nodeName").to_owned(),
            stage: Stage::New,
            started: None,
            address: None,
            host_network: is_true(pod, "/spec/hostNetwork"),
            containers,
            volumes: BTreeMap::new(),
            mounting: volumes::Mounting::default(),
            listeners: BTreeMap::new(),
            ending: None,
            refreshed: None,
            sandbox_tried: None,
        }
    }

    /// The container's own part of the pod's specification.
    pub(crate) fn spec<'a>(&self, pod: &'a Value, index: usize) -> &'a Value {
        let inits = list(pod, "/spec/initContainers");
        match inits.get(index) {
            Some(init) => init,
            None => list(pod, "/spec/containers")
                .get(index - inits.len())
                .unwrap_or(&Value::Null),
        }
    }

    /// How events name the container.
    pub(crate) fn part(&self, index: usize) -> String {
        let container = &self.containers[index];
        match container.role {
            Role::Main => format!("spec.containers{{{}}}", container.name),
            _ => format!("spec.initContainers{{{}}}", container.name),
        }
    }

    /// As the kubelet writes it: name, namespace and uid.
    pub(crate) fn full_name(&self) -> String {
        format!("{}_{}({})", self.key.name, self.key.namespace, self.uid)
    }

    /// Whether any of its containers runs.
    pub(crate) fn runs(&self) -> bool {
        self.containers
            .iter()
            .any(|container| container.run.is_some())
    }

    /// Ends it: its containers are told, and it is not started again.
    pub(crate) fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
        }
    }
}

fn name_of(container: &Value) -> &str {
    text(container, "/name")
}

/// The pod's object, if it is still this pod.
pub(crate) fn object(world: &World, pod: &Pod) -> Option<Arc<Value>> {
    let found = world.store.get(Kind::Pod, &pod.key)?;
    (uid(found) == pod.uid).then(|| found.clone())
}

/// Records an event of a pod, or of one of its containers.
pub(crate) fn tell(
    world: &mut World,
    pod: &Pod,
    container: Option<usize>,
    kind: &str,
    reason: &str,
    message: &str,
) {
    let Some(object) = object(world, pod) else {
        return;
    };
    let about = match container {
        Some(index) => crate::events::part(&object, &pod.part(index)),
        None => crate::events::reference(&object),
    };
    world.event("kubelet", &pod.node, &about, kind, reason, message);
}

/// Brings a pod nearer to what it should be.
pub(crate) fn sync(world: &mut World, uid: &str) {
    let Some(pod) = world.kubelets.pods.get(uid) else {
        return;
    };
    let node = world.kubelets.nodes.get(&pod.node);
    if !node.is_some_and(|node| node.kubelet_runs) {
        // It is synced again when its kubelet is back.
        return;
    }
    let Some(mut pod) = world.kubelets.pods.remove(uid) else {
        return;
    };
    let Some(object) = object(world, &pod) else {
        // Nobody is left to tell.
        for index in 0..pod.containers.len() {
            container::discard(world, &mut pod, index);
        }
        if let Some(address) = &pod.address {
            world.kubelets.by_address.remove(address);
        }
        return;
    };
    let again = go_on(world, &mut pod, &object);
    let is_gone = matches!(again, Next::Gone);
    if is_gone {
        if let Some(address) = &pod.address {
            world.kubelets.by_address.remove(address);
        }
        return;
    }
    world.kubelets.pods.insert(uid.to_owned(), pod);
    match again {
        Next::In(time) => world.kubelet_in(time, Task::Sync(uid.to_owned())),
        Next::Retry => {
            let time = jittered(&mut world.random, RETRY);
            world.kubelet_in(time, Task::Sync(uid.to_owned()));
        }
        Next::Look => relist(world, uid),
        Next::Wait | Next::Gone => {}
    }
}

/// When a pod is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// When something happens.
    Wait,
    In(Duration),
    /// After the time for attempts that failed.
    Retry,
    /// When the kubelet next looks at the runtime.
    Look,
    Gone,
}

fn go_on(world: &mut World, pod: &mut Pod, object: &Value) -> Next {
    let now = world.now();
    if pod.stage == Stage::Ended || matches!(text(object, "/status/phase"), "Succeeded" | "Failed")
    {
        pod.stage = Stage::Ended;
        return finish(world, pod, object);
    }
    if deleting(object) {
        let grace = int(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(30);
        match &mut pod.ending {
            Some(ending) if grace < ending.grace => {
                ending.grace = grace;
                ending.is_begun = false;
            }
            Some(_) => {}
            None => pod.end(Ending {
                grace,
                reason: None,
                condition: None,
                is_begun: false,
            }),
        }
    }
    if pod.stage == Stage::New {
        if pod.ending.is_none()
            && let Err((reason, message)) = admit::check(world, pod, object)
        {
            return reject(world, pod, object, &reason, &message);
        }
        pod.started.get_or_insert(now);
        pod.stage = Stage::Mounting;
        status::write(world, pod, object);
        if pod.ending.is_none() {
            return Next::In(MOUNTS);
        }
    }
    if let Some(limit) = int(object, "/spec/activeDeadlineSeconds")
        && let Some(started) = pod.started
        && pod.ending.is_none()
    {
        let limit = Duration::from_secs(limit.unsigned_abs());
        let passed = since(now, started);
        if passed >= limit {
            let message = "Pod was active on the node longer than the specified deadline";
            tell(world, pod, None, "Normal", "DeadlineExceeded", message);
            pod.end(Ending {
                grace: grace_of(object),
                reason: Some(("DeadlineExceeded".to_owned(), message.to_owned())),
                condition: None,
                is_begun: false,
            });
        } else {
            world.kubelet_in(limit - passed, Task::Sync(pod.uid.clone()));
        }
    }
    if pod.ending.is_some() {
        return end(world, pod, object);
    }
    status::write(world, pod, object);
    if pod.stage == Stage::Mounting {
        match volumes::mount(world, pod, object) {
            Some(next) => return Next::In(next),
            None => pod.stage = Stage::Sandbox,
        }
        return Next::In(SANDBOX);
    }
    if pod.stage == Stage::Sandbox {
        if let Some(tried) = pod.sandbox_tried
            && tried > now
        {
            return Next::In(since(tried, now));
        }
        if let Err(message) = sandbox(world, pod, object) {
            tell(
                world,
                pod,
                None,
                "Warning",
                "FailedCreatePodSandBox",
                &message,
            );
            let wait = jittered(&mut world.random, RETRY);
            pod.sandbox_tried = Some(after(now, wait));
            return Next::In(wait);
        }
        pod.stage = Stage::Running;
        pod.refreshed = Some(now);
    }
    if volumes::changes(object) {
        let refreshed = pod.refreshed.unwrap_or(now);
        if since(now, refreshed) >= REFRESH {
            volumes::refresh(world, pod, object);
            pod.refreshed = Some(now);
        }
        world.kubelet_in(REFRESH, Task::Sync(pod.uid.clone()));
    }
    let next = container::start_what_is_missing(world, pod, object);
    if status::phase(pod, object) == "Succeeded" || status::phase(pod, object) == "Failed" {
        pod.stage = Stage::Ended;
        status::write(world, pod, object);
        if let Some(address) = &pod.address {
            world.kubelets.by_address.remove(address);
        }
    }
    next
}

pub(crate) fn grace_of(object: &Value) -> i64 {
    int(object, "/spec/terminationGracePeriodSeconds").unwrap_or(30)
}

/// The handlers of RuntimeClasses that the runtime of kind's node image is configured with.
const HANDLERS: &[&str] = &["", "runc", "test-handler"];

/// Makes a pod's sandbox, with its address.
fn sandbox(world: &mut World, pod: &mut Pod, object: &Value) -> Result<(), String> {
    let class = text(object, "/spec/runtimeClassName");
    if !class.is_empty() {
        let Some(class) = world.find(Kind::RuntimeClass, "", class) else {
            return Err(format!(
                "Failed to create pod sandbox: runtimeclass.node.k8s.io {class:?} not found"
            ));
        };
        let handler = text(&class, "/handler");
        if !HANDLERS.contains(&handler) {
            return Err(format!(
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get \
                 sandbox runtime: no runtime for {handler:?} is configured"
            ));
        }
    }
    let kubelets = &mut world.kubelets;
    let node = kubelets.nodes.get_mut(&pod.node).ok_or("no such node")?;
    if !node.runtime_runs {
        return Err(format!(
            "Failed to create pod sandbox: {}",
            super::node::RUNTIME_GONE
        ));
    }
    let address = if pod.host_network {
        node.address.clone()
    } else {
        node.next_address(&kubelets.by_address)
            .ok_or_else(|| no_address(&pod.node))?
    };
    if !pod.host_network {
        let uid = pod.uid.clone();
        world.kubelets.by_address.insert(address.clone(), uid);
    }
    pod.address = Some(address);
    Ok(())
}

fn no_address(node: &str) -> String {
    format!(
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network \
         for sandbox: plugin type=\"ptp\" failed (add): failed to allocate for range 0: no IP \
         addresses available in range set of {node}"
    )
}

/// A pod that its node does not take.
fn reject(world: &mut World, pod: &mut Pod, object: &Value, reason: &str, message: &str) -> Next {
    tell(world, pod, None, "Warning", reason, message);
    let now = seconds(world.now());
    let full = format!("Pod was rejected: {message}");
    world.modify(Kind::Pod, &Key::of(object), |object| {
        crate::value::set(object, "/status/phase", "Failed");
        crate::value::set(object, "/status/reason", reason);
        crate::value::set(object, "/status/message", full);
        crate::value::set(object, "/status/startTime", now);
        if let Some(generation) = int(object, "/metadata/generation") {
            crate::value::set(object, "/status/observedGeneration", generation);
        }
    });
    pod.stage = Stage::Ended;
    Next::Wait
}

/// Ends a pod's containers, and then the pod.
fn end(world: &mut World, pod: &mut Pod, object: &Value) -> Next {
    let Some(ending) = pod.ending.clone() else {
        return Next::Wait;
    };
    let runtime = world
        .kubelets
        .nodes
        .get(&pod.node)
        .is_some_and(|node| node.runtime_runs);
    if pod.runs() && !runtime {
        let message = format!("error killing pod: {}", super::node::RUNTIME_GONE);
        tell(world, pod, None, "Warning", "FailedKillPod", &message);
        return Next::Retry;
    }
    container::end_all(world, pod, ending.grace, !ending.is_begun);
    if let Some(ending) = &mut pod.ending {
        ending.is_begun = true;
    }
    if pod.runs() {
        status::write(world, pod, object);
        return Next::Wait;
    }
    pod.stage = Stage::Ended;
    status::write(world, pod, object);
    if let Some(address) = &pod.address {
        world.kubelets.by_address.remove(address);
    }
    if deleting(object) {
        return Next::In(LAST);
    }
    Next::Wait
}

/// The last of a pod that has ended: once it is to be deleted, it is gone.
fn finish(world: &mut World, pod: &mut Pod, object: &Value) -> Next {
    if !deleting(object) {
        return Next::Wait;
    }
    let how = Deletion {
        grace: Some(0),
        uid: Some(pod.uid.clone()),
        ..Deletion::default()
    };
    // Who else deleted it did the same.
    let _gone = world.delete(Kind::Pod, &Key::of(object), &how);
    Next::Gone
}

/// The name of a pod's node, as its pods know it.
pub(crate) fn hostname(pod: &Pod, object: &Value) -> String {
    if pod.host_network {
        return pod.node.clone();
    }
    match text(object, "/spec/hostname") {
        "" => name(object).chars().take(63).collect(),
        hostname => hostname.to_owned(),
    }
}

/// Seconds of a probe or a pod, as a span.
pub(crate) fn span(value: &Value, path: &str, default: u64) -> Duration {
    let seconds = int(value, path).and_then(|seconds| u64::try_from(seconds).ok());
    Duration::from_secs(seconds.unwrap_or(default))
}
