//! One container of a pod: its runs, and what starts and ends them.
//!
//! Source: `pkg/kubelet/kuberuntime/{kuberuntime_manager,kuberuntime_container}.go`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::logs::Logs;
use super::pod::{Listener, Next, Pod, tell};
use super::probes::{self, Probes, Probing};
use super::{Backoff, Task, environment, images, relist};
use crate::clock::{after, seconds, since};
use crate::program;
use crate::program::net::{Answering, Reply, Request, Serving};
use crate::program::process::{Kernel, ListenError, Process};
use crate::quantity;
use crate::value::{at, int, list, text};
use crate::world::World;

/// How long it takes to start a container that was made.
const START: Duration = Duration::from_millis(60);
/// How long it takes to make a container anew: meanwhile its last run is what it shows.
const MAKE: Duration = Duration::from_millis(200);

/// When a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Before the pod's others, to its end.
    Init,
    /// From before the others on, beside them.
    Sidecar,
    Main,
}

/// What a kubelet knows of a container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) run: Option<Run>,
    /// How its latest run ended, and the one before.
    pub(crate) ended: Option<Value>,
    pub(crate) ended_before: Option<Value>,
    pub(crate) restarts: i64,
    /// Why it was not started when that was last tried.
    pub(crate) waiting: Option<(&'static str, String)>,
    /// The image as its node has it: its name and digest.
    pub(crate) image: Option<(String, String)>,
    restart: Backoff,
    /// When its next run is made.
    making: Option<Timestamp>,
    pub(crate) pull: images::Pull,
    pub(crate) probes: Probes,
    pub(crate) logs: Logs,
}

/// One run of a container.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) since: Timestamp,
    /// Away while its processes have their turn.
    pub(crate) process: Option<Process>,
    /// What its processes share.
    pub(crate) container: Arc<program::process::Container>,
    pub(crate) memory_limit: Option<u64>,
    /// When it is ended, where it was told to end.
    pub(crate) deadline: Option<Timestamp>,
    /// Whether one of its processes was ended for want of memory.
    starved: bool,
    /// The time of the processor that it had used when that was last measured, and how much of it
    /// in a second, in billionths.
    measured: (Timestamp, Duration),
    pub(crate) nano_cores: u64,
}

impl Run {
    pub(super) fn new(id: String, since: Timestamp, process: Process) -> Self {
        Self {
            id,
            since,
            container: process.container.clone(),
            process: Some(process),
            memory_limit: None,
            deadline: None,
            starved: false,
            measured: (since, Duration::ZERO),
            nano_cores: 0,
        }
    }

    /// Measures how much it uses of the processor.
    pub(super) fn measure(&mut self, now: Timestamp) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.count(now);
        let used = process.processor.used.time;
        let (time, before) = std::mem::replace(&mut self.measured, (now, used));
        let passed = since(now, time).as_nanos().max(1);
        let share = used.saturating_sub(before).as_nanos() * 1_000_000_000 / passed;
        self.nano_cores = u64::try_from(share).unwrap_or(u64::MAX);
    }
}

impl Container {
    pub(crate) fn new(name: &str, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            role,
            run: None,
            ended: None,
            ended_before: None,
            restarts: 0,
            waiting: None,
            image: None,
            restart: Backoff::default(),
            making: None,
            pull: images::Pull::default(),
            probes: Probes::default(),
            logs: Logs::default(),
        }
    }

    /// The code with which its latest run ended, if it does not run.
    pub(crate) fn exit_code(&self) -> Option<i64> {
        match self.run {
            Some(_) => None,
            None => self
                .ended
                .as_ref()
                .and_then(|ended| int(ended, "/exitCode")),
        }
    }

    /// Whether it is to be started, of a pod with this restart policy.
    pub(super) fn is_missing(&self, policy: &str) -> bool {
        match (self.run.is_some(), self.exit_code(), self.role) {
            (true, ..) => false,
            (false, None, _) | (false, Some(_), Role::Sidecar) => true,
            (false, Some(0), Role::Init) => false,
            (false, Some(code), _) => match policy {
                "Never" => false,
                "OnFailure" => code != 0,
                _ => true,
            },
        }
    }
}

/// Starts the containers that should run and do not, each once.
pub(crate) fn start_what_is_missing(world: &mut World, pod: &mut Pod, object: &Value) -> Next {
    let runtime = world
        .kubelets
        .nodes
        .get(&pod.node)
        .is_some_and(|node| node.runtime_runs);
    if !runtime {
        return Next::Retry;
    }
    let policy = text(object, "/spec/restartPolicy").to_owned();
    let mut missing = Vec::new();
    let mut initialized = true;
    for (index, container) in pod.containers.iter().enumerate() {
        match container.role {
            Role::Init if container.exit_code() == Some(0) => {}
            Role::Init => {
                if container.is_missing(&policy) {
                    missing.push(index);
                }
                initialized = false;
            }
            Role::Sidecar => {
                if container.is_missing(&policy) {
                    missing.push(index);
                }
                // Those that ran once do not hold up the others again.
                initialized = container.ended.is_some()
                    || container.run.is_some() && container.probes.started;
            }
            Role::Main => {}
        }
        if !initialized {
            break;
        }
    }
    if initialized {
        let mains = pod.containers.iter().enumerate();
        missing.extend(
            mains
                .filter(|(_, container)| {
                    container.role == Role::Main && container.is_missing(&policy)
                })
                .map(|(index, _)| index),
        );
    }
    // Those that were started the last time are seen to run only now.
    for index in 0..pod.containers.len() {
        probes::begin(world, pod, object, index);
    }
    if !missing.is_empty() {
        images::missing_secrets(world, pod, object);
    }
    let mut next = Next::Wait;
    for index in missing {
        let before = pod.containers[index].waiting.clone();
        let started = match start(world, pod, object, index) {
            Ok(Some(wait)) => {
                next = Next::In(wait);
                continue;
            }
            Ok(None) => Ok(()),
            Err(waiting) => Err(waiting),
        };
        pod.containers[index].waiting = started.err();
        let moved = pod.containers[index].waiting.as_ref().map(|now| now.0)
            != before.as_ref().map(|before| before.0);
        let then = match moved || pod.containers[index].waiting.is_none() {
            true => Next::Look,
            false => Next::Retry,
        };
        next = match (next, then) {
            (Next::In(wait), _) => Next::In(wait),
            (Next::Look, _) | (_, Next::Look) => Next::Look,
            _ => Next::Retry,
        };
    }
    next
}

type Waiting = (&'static str, String);

/// Starts a container, or says how long it takes yet to make it, or why it cannot be started.
fn start(
    world: &mut World,
    pod: &mut Pod,
    object: &Value,
    index: usize,
) -> Result<Option<Duration>, Waiting> {
    let now = world.now();
    let spec = pod.spec(object, index).clone();
    let name = pod.containers[index].name.clone();
    if let Some(ended) = &pod.containers[index].ended {
        let finished = text(ended, "/finishedAt").parse().unwrap_or(now);
        if let Some(length) = pod.containers[index].restart.remains(finished, now) {
            let full = pod.full_name();
            let message = format!("Back-off restarting failed container {name} in pod {full}");
            tell(world, pod, Some(index), "Warning", "BackOff", &message);
            let length = go_duration(length);
            return Err((
                "CrashLoopBackOff",
                format!("back-off {length} restarting failed container={name} pod={full}"),
            ));
        }
        let made = *pod.containers[index]
            .making
            .get_or_insert_with(|| after(now, MAKE));
        if made > now {
            return Ok(Some(since(made, now)));
        }
        pod.containers[index].making = None;
        pod.containers[index].restart.step(now);
    }
    let image = images::ensure(world, pod, object, index)?;
    let config = environment::of(world, pod, object, index, &image)
        .map_err(|message| failed(world, pod, index, "CreateContainerConfigError", message))?;
    pod.containers[index].image = Some((image.name.clone(), image.id.clone()));
    let created = config.container;
    let begun = pod.containers[index].ended.is_some();
    let argv = &config.argv;
    if argv.is_empty() {
        let id = hex(world);
        let message = format!(
            "failed to generate container \"{id}\" spec: failed to generate spec: no command \
             specified"
        );
        return Err(failed(world, pod, index, "CreateContainerError", message));
    }
    let message = format!("Created container: {name}");
    tell(world, pod, Some(index), "Normal", "Created", &message);
    if begun {
        pod.containers[index].restarts += 1;
    }
    let id = format!("containerd://{}", hex(world));
    let declared: Vec<u16> = list(&spec, "/ports")
        .iter()
        .filter(|port| text(port, "/protocol") != "UDP")
        .filter_map(|port| u16::try_from(int(port, "/containerPort")?).ok())
        .collect();
    let found = config.broken_mount.map_or_else(
        || program::load(&image.facts, &created, argv, &declared),
        Err,
    );
    pod.containers[index].logs.begin();
    pod.containers[index].probes = Probes::new(&spec);
    let program = match found {
        Ok(program) => program,
        Err(why) => {
            let message = format!(
                "failed to create containerd task: failed to create shim task: OCI runtime create \
                 failed: runc create failed: unable to start container process: {why}: unknown"
            );
            let ended = json!({ "containerID": id, "exitCode": 128, "reason": "StartError",
                "message": message, "startedAt": "1970-01-01T00:00:00Z",
                "finishedAt": seconds(now) });
            let container = &mut pod.containers[index];
            container.ended_before = container.ended.replace(ended);
            return Err(failed(world, pod, index, "RunContainerError", message));
        }
    };
    let message = format!("Started container {name}");
    tell(world, pod, Some(index), "Normal", "Started", &message);
    let mut process = Process::new(Arc::new(created), program);
    if let Some(nanos) = limit(&spec, "cpu") {
        process.processor.limit(nanos as f64 / 1e9);
    }
    let mut run = Run::new(id, now, process);
    run.memory_limit = limit(&spec, "memory").map(units);
    pod.containers[index].run = Some(run);
    world.kubelet_in(START, Task::Run(pod.uid.clone(), index));
    Ok(None)
}

fn failed(
    world: &mut World,
    pod: &Pod,
    index: usize,
    reason: &'static str,
    message: String,
) -> Waiting {
    let error = format!("Error: {message}");
    tell(world, pod, Some(index), "Warning", "Failed", &error);
    (reason, message)
}

/// A limit of a container, in billionths.
pub(crate) fn limit(spec: &Value, resource: &str) -> Option<quantity::Nanos> {
    quantity::of(at(spec, &format!("/resources/limits/{resource}"))).filter(|limit| *limit > 0)
}

/// Whole units of an amount.
pub(crate) fn units(nanos: quantity::Nanos) -> u64 {
    u64::try_from(nanos / 1_000_000_000).unwrap_or(0)
}

fn hex(world: &mut World) -> String {
    (0..4)
        .map(|_| format!("{:016x}", world.random.next()))
        .collect()
}

/// A span as Go writes it: `10s`, `2m40s`, `5m0s`.
fn go_duration(span: Duration) -> String {
    match (span.as_secs() / 60, span.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// What the cluster does for the processes of one container.
struct Ground<'a> {
    world: &'a mut World,
    uid: &'a str,
    index: usize,
    /// Whether they may serve the ports below 1024.
    may_bind: bool,
}

impl Kernel for Ground<'_> {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        request: &Request,
        patience: Option<Duration>,
    ) -> (Duration, Reply) {
        let (time, reply) =
            crate::network::connect(self.world, self.uid, host, port, request, patience);
        if let Reply::Later(answer) = &reply {
            answer.tell(Task::Run(self.uid.to_owned(), self.index));
        }
        (time, reply)
    }

    fn resolve(&mut self, name: &str) -> (Duration, Result<Vec<String>, Reply>) {
        crate::network::resolve(self.world, self.uid, name)
    }

    fn listen(
        &mut self,
        port: u16,
        serving: Serving,
        once: Option<u32>,
    ) -> Result<(), ListenError> {
        let Some(pod) = self.world.kubelets.pods.get(self.uid) else {
            return Ok(());
        };
        if port < 1024 && !self.may_bind {
            return Err(ListenError::Denied);
        }
        if pod.host_network {
            let (node, uid) = (pod.node.as_str(), self.uid);
            let taken = self.world.kubelets.pods.values().any(|other| {
                other.host_network
                    && other.node == node
                    && !node.is_empty()
                    && other.uid != uid
                    && other.listeners.contains_key(&port)
            });
            if taken {
                return Err(ListenError::InUse);
            }
        }
        let index = self.index;
        let Some(pod) = self.world.kubelets.pods.get_mut(self.uid) else {
            return Ok(());
        };
        if let Some(taken) = pod.listeners.get(&port)
            && (taken.container != index || taken.once.is_none() || once.is_none())
        {
            return Err(ListenError::InUse);
        }
        pod.listeners.insert(
            port,
            Listener {
                container: index,
                serving,
                once,
            },
        );
        self.world.kubelets.stirs += 1;
        Ok(())
    }

    fn api(&mut self, verb: &str, resource: &str) -> (Duration, Result<Vec<String>, String>) {
        super::access::ask(self.world, self.uid, verb, resource)
    }
}

fn run_of<'a>(world: &'a mut World, uid: &str, index: usize) -> Option<&'a mut Run> {
    let pod = world.kubelets.pods.get_mut(uid)?;
    pod.containers.get_mut(index)?.run.as_mut()
}

/// Lets a container's processes go on.
pub(crate) fn run(world: &mut World, uid: &str, index: usize) {
    let Some(mut process) = run_of(world, uid, index).and_then(|run| run.process.take()) else {
        return;
    };
    let may_bind = {
        let container = &process.container;
        let capabilities = container.capabilities.iter();
        container.user == 0 && container.capabilities.is_empty()
            || capabilities
                .into_iter()
                .any(|one| one == "NET_BIND_SERVICE" || one == "ALL")
    };
    let held = process.memory();
    let mut ended = process.run(&mut Ground {
        world: &mut *world,
        uid,
        index,
        may_bind,
    });
    let has_grown = process.memory() > held;
    let Some(run) = run_of(world, uid, index) else {
        return;
    };
    while ended.is_none()
        && let Some(limit) = run.memory_limit
        && process.memory() > limit
    {
        // The kernel ends the biggest process of the container.
        run.starved = true;
        let biggest = process.biggest().0;
        if biggest == 1 {
            ended = Some(137);
        } else {
            process.kill(biggest, 137);
            let next = process.run(&mut Ground {
                world: &mut *world,
                uid,
                index,
                may_bind,
            });
            ended = next;
            break;
        }
    }
    let lines = std::mem::take(&mut process.container.state().lines);
    world.kubelets.stirs += u64::try_from(lines.len()).unwrap_or(0);
    let next = process.next();
    let Some(run) = run_of(world, uid, index) else {
        return;
    };
    let again = run
        .memory_limit
        .is_some_and(|limit| process.memory() > limit);
    let answered = std::mem::take(&mut process.container.state().answered);
    run.process = Some(process);
    let Some(pod) = world.kubelets.pods.get_mut(uid) else {
        return;
    };
    pod.containers[index].logs.add(lines);
    let node = pod.node.clone();
    tell_answered(world, answered);
    if let Some(code) = ended {
        finished(world, uid, index, code);
        return;
    }
    let next = if again { Some(world.now()) } else { next };
    if let Some(next) = next {
        world.kubelet_at(next, Task::Run(uid.to_owned(), index));
    }
    if has_grown {
        keep_within_node(world, &node);
    }
}

/// Tells those who wait for answers that they are given.
fn tell_answered(world: &mut World, answered: Vec<Answering>) {
    let now = world.now();
    for task in answered.iter().filter_map(Answering::waits) {
        world.kubelet_at(now, task);
    }
}

/// Ends what all pods of a node hold of its memory beyond what is theirs together, as the kernel
/// does: one process after the other, the one first that holds most above what it was promised.
///
/// Source: `pkg/kubelet/qos/policy.go`, `pkg/kubelet/cm/node_container_manager_linux.go`; the
/// kernel's `mm/oom_kill.c`, `oom_badness`.
fn keep_within_node(world: &mut World, name: &str) {
    let Some(node) = world.kubelets.nodes.get(name) else {
        return;
    };
    let capacity = node.config.memory();
    let most = node.config.memory_of_pods();
    loop {
        let mut sum: u64 = 0;
        let mut worst: Option<(i128, String, usize, u32)> = None;
        for pod in world.kubelets.pods.values().filter(|pod| pod.node == name) {
            for (index, container) in pod.containers.iter().enumerate() {
                let run = container.run.as_ref();
                let Some(process) = run.and_then(|run| run.process.as_ref()) else {
                    continue;
                };
                sum = sum.saturating_add(process.memory());
                let (number, held) = process.biggest();
                let Some(object) = super::pod::object(world, pod) else {
                    continue;
                };
                let promised = oom_score_adjustment(&object, pod.spec(&object, index), capacity);
                let bad = i128::from(held) + i128::from(promised) * i128::from(most) / 1000;
                if worst.as_ref().is_none_or(|(worst, ..)| bad > *worst) {
                    worst = Some((bad, pod.uid.clone(), index, number));
                }
            }
        }
        let Some((_, uid, index, number)) = worst.filter(|_| sum > most) else {
            return;
        };
        let now = world.now();
        let Some(run) = run_of(world, &uid, index) else {
            return;
        };
        run.starved = true;
        if number == 1 {
            finished(world, &uid, index, 137);
        } else if let Some(process) = &mut run.process {
            process.kill(number, 137);
            world.kubelet_at(now, Task::Run(uid, index));
        }
    }
}

/// How much sooner than others a container's processes are ended for want of memory.
///
/// Source: `pkg/kubelet/qos/policy.go`.
fn oom_score_adjustment(pod: &Value, container: &Value, capacity: u64) -> i64 {
    const GUARANTEED: i64 = -997;
    const BEST_EFFORT: i64 = 1000;
    if super::admit::is_critical(pod) {
        return GUARANTEED;
    }
    match text(pod, "/status/qosClass") {
        "Guaranteed" => GUARANTEED,
        "BestEffort" => BEST_EFFORT,
        _ => {
            let asked = quantity::of(at(container, "/resources/requests/memory"));
            let asked = i128::from(units(asked.unwrap_or(0)));
            let score = 1000 - 1000 * asked / i128::from(capacity.max(1));
            let score = i64::try_from(score).unwrap_or(0);
            score.clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
        }
    }
}

/// A container's run has ended.
fn finished(world: &mut World, uid: &str, index: usize, code: i32) {
    let now = world.now();
    let Some(pod) = world.kubelets.pods.get_mut(uid) else {
        return;
    };
    let answered = close(pod, index, code, now);
    let hurry = pod.ending.is_some();
    tell_answered(world, answered);
    if hurry {
        world.kubelet_in(Duration::from_millis(20), Task::Sync(uid.to_owned()));
    } else {
        relist(world, uid);
    }
}

/// Writes down how a run ended, and gives the answers that will not be given any more.
fn close(pod: &mut Pod, index: usize, code: i32, now: Timestamp) -> Vec<Answering> {
    pod.listeners
        .retain(|_, listener| listener.container != index);
    let container = &mut pod.containers[index];
    let Some(mut run) = container.run.take() else {
        return Vec::new();
    };
    let mut message = String::new();
    if let Some(process) = run.process.take() {
        let mut state = process.container.state();
        let left = std::mem::take(&mut state.lines);
        message = state
            .files
            .read("/dev/termination-log")
            .map(|content| content.text)
            .unwrap_or_default();
        drop(state);
        container.logs.add(left);
    }
    let reason = match code {
        _ if run.starved => "OOMKilled",
        0 => "Completed",
        _ => "Error",
    };
    if message.is_empty() && code != 0 && container.probes.falls_back_to_log {
        message = container.logs.tail(80, 2048);
    }
    let mut ended = json!({ "containerID": run.id, "exitCode": code, "reason": reason,
        "startedAt": seconds(run.since), "finishedAt": seconds(now) });
    if !message.is_empty() {
        let kept: String = message.chars().take(4096).collect();
        crate::value::set(&mut ended, "/message", kept);
    }
    container.ended_before = container.ended.replace(ended);
    container.probes.end();
    std::mem::take(&mut run.container.state().answered)
}

/// Tells a container to end, and ends it when its grace is over.
pub(crate) fn stop(
    world: &mut World,
    pod: &mut Pod,
    index: usize,
    grace: i64,
    message: Option<&str>,
) {
    let now = world.now();
    if pod.containers[index].run.is_none() {
        return;
    }
    if let Some(message) = message {
        tell(world, pod, Some(index), "Normal", "Killing", message);
    }
    let Some(run) = &mut pod.containers[index].run else {
        return;
    };
    let deadline = after(now, Duration::from_secs(grace.max(1).unsigned_abs()));
    run.deadline = Some(run.deadline.map_or(deadline, |old| old.min(deadline)));
    if let Some(process) = &mut run.process {
        process.terminate();
    }
    world.kubelet_at(now, Task::Run(pod.uid.clone(), index));
    world.kubelet_at(deadline, Task::Kill(pod.uid.clone(), index));
}

/// Ends a container whose grace is over.
pub(crate) fn kill(world: &mut World, uid: &str, index: usize) {
    let now = world.now();
    let Some(run) = run_of(world, uid, index) else {
        return;
    };
    match run.deadline {
        Some(deadline) if deadline <= now => finished(world, uid, index, 137),
        Some(deadline) => world.kubelet_at(deadline, Task::Kill(uid.to_owned(), index)),
        None => {}
    }
}

/// Ends a pod's containers: sidecars after all others.
pub(crate) fn end_all(world: &mut World, pod: &mut Pod, grace: i64, is_news: bool) {
    let others = pod
        .containers
        .iter()
        .any(|container| container.run.is_some() && container.role != Role::Sidecar);
    for index in 0..pod.containers.len() {
        let container = &pod.containers[index];
        if container.run.is_none() || container.role == Role::Sidecar && others {
            continue;
        }
        let told = container
            .run
            .as_ref()
            .is_some_and(|run| run.deadline.is_some());
        if told && !is_news {
            continue;
        }
        let message = format!("Stopping container {}", container.name);
        let message = (!told).then_some(message);
        stop(world, pod, index, grace, message.as_deref());
    }
}

/// Ends a container of which nobody hears any more.
pub(crate) fn discard(world: &mut World, pod: &mut Pod, index: usize) {
    pod.listeners
        .retain(|_, listener| listener.container != index);
    if let Some(mut run) = pod.containers[index].run.take() {
        run.process = None;
        let answered = std::mem::take(&mut run.container.state().answered);
        tell_answered(world, answered);
    }
}

/// Ends a container because a probe says so. It is started again as any that ended.
pub(crate) fn restart(world: &mut World, pod: &mut Pod, object: &Value, index: usize, of: Probing) {
    let spec = pod.spec(object, index).clone();
    let probe = at(&spec, of.field());
    let grace = match int(probe, "/terminationGracePeriodSeconds") {
        Some(grace) => grace,
        None => super::pod::grace_of(object),
    };
    let name = &pod.containers[index].name;
    let message = match of {
        Probing::Startup => format!("Container {name} failed startup probe, will be restarted"),
        _ => format!("Container {name} failed liveness probe, will be restarted"),
    };
    stop(world, pod, index, grace, Some(&message));
}

/// How long the container's present run has lasted.
pub(crate) fn age(container: &Container, now: Timestamp) -> Duration {
    container
        .run
        .as_ref()
        .map_or(Duration::ZERO, |run| since(now, run.since))
}
