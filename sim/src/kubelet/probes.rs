//! How kubelets ask containers whether they are well.
//!
//! Source: `pkg/kubelet/prober/{prober,worker}.go`.

use std::time::Duration;

use serde_json::Value;

use super::container::{self, Role};
use super::pod::{Pod, object, span, tell};
use super::{Task, relist};
use crate::clock::since;
use crate::program;
use crate::program::net::{Answering, Reply, Request};
use crate::program::process::Output;
use crate::value::{at, int, list, text};
use crate::world::World;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Probing {
    Startup,
    Liveness,
    Readiness,
}

impl Probing {
    const ALL: [Probing; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The field of a container that says how.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Startup => "/startupProbe",
            Self::Liveness => "/livenessProbe",
            Self::Readiness => "/readinessProbe",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What was asked of a container that has not answered yet, and when.
#[derive(Clone, Debug)]
struct Asked {
    since: jiff::Timestamp,
    of: Waiting,
}

#[derive(Clone, Debug)]
enum Waiting {
    /// A command was begun in it: the process, and what it prints.
    Command(u32, Output),
    /// An HTTP request.
    Http(Answering),
}

/// What is known of a container by asking.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    pub(crate) started: bool,
    pub(crate) ready: bool,
    /// Whether the end of the log stands for what the program says of its end.
    pub(crate) falls_back_to_log: bool,
    /// Whether the probes of this run have begun.
    begun: bool,
    /// Answers of one kind in a row, by what is asked.
    rows: [(bool, i64); 3],
    asked: [Option<Asked>; 3],
}

impl Probes {
    /// What is known before anything was asked.
    pub(crate) fn new(spec: &Value) -> Self {
        Self {
            started: at(spec, Probing::Startup.field()).is_null(),
            ready: at(spec, Probing::Readiness.field()).is_null(),
            falls_back_to_log: text(spec, "/terminationMessagePolicy") == "FallbackToLogsOnError",
            ..Self::default()
        }
    }

    /// The run is over.
    pub(crate) fn end(&mut self) {
        self.started = false;
        self.ready = false;
        self.begun = true;
    }
}

/// Begins to ask a container that runs.
pub(super) fn begin(world: &mut World, pod: &mut Pod, object: &Value, index: usize) {
    let container = &mut pod.containers[index];
    if container.run.is_none() || container.probes.begun {
        return;
    }
    if container.role == Role::Init {
        container.probes.begun = true;
        return;
    }
    container.probes.begun = true;
    let age = container::age(container, world.now());
    let spec = pod.spec(object, index).clone();
    for probing in Probing::ALL {
        let probe = at(&spec, probing.field());
        if !probe.is_null() {
            let delay = span(probe, "/initialDelaySeconds", 0);
            let task = Task::Probe(pod.uid.clone(), index, probing);
            let wait = delay.saturating_sub(age).max(Duration::from_millis(2));
            world.kubelet_in(wait, task);
        }
    }
}

enum Outcome {
    Success,
    Failure(String),
    /// It could not be asked: that counts for nothing.
    Error(String),
    /// It did not answer to the end: that counts as a failure.
    Broken(String),
    /// It has not answered yet.
    Later(Duration),
}

/// Asks a container once.
pub(super) fn probe(world: &mut World, uid: &str, index: usize, probing: Probing) {
    let Some(pod) = world.kubelets.pods.get(uid) else {
        return;
    };
    let Some(object) = object(world, pod) else {
        return;
    };
    let container = &pod.containers[index];
    let runs = container
        .run
        .as_ref()
        .is_some_and(|run| run.deadline.is_none());
    if !runs || pod.ending.is_some() && probing != Probing::Readiness {
        return;
    }
    let spec = pod.spec(&object, index).clone();
    let probe = at(&spec, probing.field()).clone();
    if probe.is_null() {
        return;
    }
    let period = span(&probe, "/periodSeconds", 10).max(Duration::from_secs(1));
    let again = Task::Probe(uid.to_owned(), index, probing);
    let kubelet = world
        .kubelets
        .nodes
        .get(&pod.node)
        .is_some_and(|node| node.kubelet_runs);
    let is_turn = match probing {
        Probing::Startup => !container.probes.started,
        _ => container.probes.started,
    };
    if !kubelet || !is_turn {
        if probing != Probing::Startup || !kubelet {
            world.kubelet_in(period, again);
        }
        return;
    }
    let delay = span(&probe, "/initialDelaySeconds", 0);
    let age = container::age(container, world.now());
    if age < delay {
        world.kubelet_in(delay - age, again);
        return;
    }
    let outcome = ask(world, uid, index, probing, &spec, &probe);
    if let Outcome::Later(time) = outcome {
        world.kubelet_in(time, again);
        return;
    }
    heard(world, uid, index, probing, &probe, &outcome);
    world.kubelet_in(period, again);
}

/// Takes in an answer.
fn heard(
    world: &mut World,
    uid: &str,
    index: usize,
    probing: Probing,
    probe: &Value,
    outcome: &Outcome,
) {
    let Some(mut pod) = world.kubelets.pods.remove(uid) else {
        return;
    };
    let good = match outcome {
        Outcome::Success => true,
        Outcome::Failure(why) => {
            let message = format!("{} probe failed: {why}", probing.name());
            tell(world, &pod, Some(index), "Warning", "Unhealthy", &message);
            false
        }
        Outcome::Error(why) => {
            let message = format!(
                "{} probe errored and resulted in unknown state: {why}",
                probing.name()
            );
            tell(world, &pod, Some(index), "Warning", "Unhealthy", &message);
            world.kubelets.pods.insert(uid.to_owned(), pod);
            return;
        }
        Outcome::Broken(why) => {
            let message = format!(
                "{} probe errored and resulted in failure state: {why}",
                probing.name()
            );
            tell(world, &pod, Some(index), "Warning", "Unhealthy", &message);
            false
        }
        Outcome::Later(_) => false,
    };
    let row = &mut pod.containers[index].probes.rows[probing as usize];
    *row = match *row {
        (last, count) if last == good => (good, count + 1),
        _ => (good, 1),
    };
    let count = row.1;
    let needed = match good {
        true => int(probe, "/successThreshold").unwrap_or(1),
        false => int(probe, "/failureThreshold").unwrap_or(3),
    };
    if count < needed {
        world.kubelets.pods.insert(uid.to_owned(), pod);
        return;
    }
    let probes = &mut pod.containers[index].probes;
    let mut moved = false;
    match (probing, good) {
        (Probing::Startup, true) => {
            probes.started = true;
            moved = true;
        }
        (Probing::Readiness, good) => {
            moved = probes.ready != good;
            probes.ready = good;
        }
        (Probing::Liveness, true) => {}
        (Probing::Startup | Probing::Liveness, false) => {
            probes.rows[probing as usize].1 = 0;
            if let Some(object) = object(world, &pod) {
                container::restart(world, &mut pod, &object, index, probing);
            }
        }
    }
    world.kubelets.pods.insert(uid.to_owned(), pod);
    if moved {
        world.kubelet_in(Duration::from_millis(1), Task::Sync(uid.to_owned()));
        if probing == Probing::Startup {
            for next in [Probing::Liveness, Probing::Readiness] {
                let task = Task::Probe(uid.to_owned(), index, next);
                world.kubelet_in(Duration::from_millis(2), task);
            }
        }
    } else {
        let waits = world
            .kubelets
            .pods
            .get(uid)
            .is_some_and(|pod| pod.containers[index].run.is_none());
        if waits {
            relist(world, uid);
        }
    }
}

/// The number of a port that a probe names.
fn port(spec: &Value, port: &Value) -> Result<u16, String> {
    let number = match port {
        Value::Number(number) => number.as_i64(),
        Value::String(name) => list(spec, "/ports")
            .iter()
            .find(|port| text(port, "/name") == name)
            .and_then(|port| int(port, "/containerPort"))
            .or_else(|| name.parse().ok()),
        _ => None,
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| match port {
            Value::String(name) => format!("couldn't find port: {name:?} in container"),
            other => format!("invalid port number: {other}"),
        })
}

fn ask(
    world: &mut World,
    uid: &str,
    index: usize,
    probing: Probing,
    spec: &Value,
    probe: &Value,
) -> Outcome {
    let timeout = span(probe, "/timeoutSeconds", 1).max(Duration::from_secs(1));
    if !at(probe, "/exec").is_null() {
        return command(world, uid, index, probing, probe, timeout);
    }
    let Some(pod) = world.kubelets.pods.get(uid) else {
        return Outcome::Error("the pod is gone".to_owned());
    };
    let own = pod.address.clone().unwrap_or_default();
    let node = pod.node.clone();
    for (field, is_http) in [("/httpGet", true), ("/tcpSocket", false), ("/grpc", false)] {
        let how = at(probe, field);
        if how.is_null() {
            continue;
        }
        let number = match port(spec, at(how, "/port")) {
            Ok(number) => number,
            Err(why) => return Outcome::Error(why),
        };
        let host = match text(how, "/host") {
            "" => own.clone(),
            host => host.to_owned(),
        };
        let path = text(how, "/path").to_owned();
        if is_http {
            return http(
                world,
                uid,
                index,
                probing,
                (how, &host, number, &path),
                timeout,
            );
        }
        let reply = crate::network::from_node(world, &node, &host, number, &Request::Tcp);
        let place = format!("{host}:{number}");
        let is_grpc = field == "/grpc";
        return match reply {
            Reply::Accepted(_) | Reply::NotHttp(_) | Reply::Http { .. } | Reply::Session(_) => {
                Outcome::Success
            }
            Reply::Timeout if is_grpc => Outcome::Failure(format!(
                "timeout: failed to connect service {place:?} within {}s: context deadline exceeded",
                timeout.as_secs()
            )),
            Reply::Timeout => Outcome::Failure(format!("dial tcp {place}: i/o timeout")),
            Reply::Unresolved | Reply::NoNameServer => {
                Outcome::Failure(format!("dial tcp: lookup {host}: no such host"))
            }
            _ if is_grpc => Outcome::Failure(format!(
                "error: service {place:?} is not reachable: dial tcp {place}: connect: connection \
                 refused"
            )),
            _ => Outcome::Failure(format!("dial tcp {place}: connect: connection refused")),
        };
    }
    Outcome::Success
}

/// Sends a request, or looks whether the one that was sent is answered.
///
/// Source: `pkg/probe/http/http.go`, `DoHTTPProbe`.
fn http(
    world: &mut World,
    uid: &str,
    index: usize,
    probing: Probing,
    (how, host, port, path): (&Value, &str, u16, &str),
    timeout: Duration,
) -> Outcome {
    let now = world.now();
    let Some(pod) = world.kubelets.pods.get_mut(uid) else {
        return Outcome::Error("the pod is gone".to_owned());
    };
    let asked = &mut pod.containers[index].probes.asked[probing as usize];
    let reply = match asked.take() {
        Some(Asked {
            since: began,
            of: Waiting::Http(answer),
        }) => match answer.reply() {
            Some(reply) => reply,
            None if since(now, began) < timeout => {
                let of = Waiting::Http(answer);
                *asked = Some(Asked { since: began, of });
                return Outcome::Later(timeout - since(now, began));
            }
            None if answer.has_begun() => {
                return Outcome::Broken(
                    "context deadline exceeded (Client.Timeout or context cancellation while \
                     reading body)"
                        .to_owned(),
                );
            }
            None => Reply::Timeout,
        },
        _ => {
            let node = pod.node.clone();
            let path = path.to_owned();
            crate::network::from_node(world, &node, host, port, &Request::Http { path })
        }
    };
    if let Reply::Later(answer) = reply {
        answer.tell(Task::Probe(uid.to_owned(), index, probing));
        if let Some(pod) = world.kubelets.pods.get_mut(uid) {
            let of = Waiting::Http(answer);
            pod.containers[index].probes.asked[probing as usize] = Some(Asked { since: now, of });
        }
        return Outcome::Later(timeout);
    }
    answered(how, host, port, path, &reply)
}

/// What an answer to a request means.
fn answered(how: &Value, host: &str, port: u16, path: &str, reply: &Reply) -> Outcome {
    let scheme = text(how, "/scheme").to_lowercase();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{host}:{port}{slash}{path}");
    let place = format!("{host}:{port}");
    match reply {
        Reply::Http { .. } | Reply::Accepted(_) | Reply::NotHttp(_) if scheme == "https" => {
            let first = match reply {
                Reply::Http { .. } => "http: server gave HTTP response to HTTPS client",
                _ => "EOF",
            };
            Outcome::Failure(format!("Get {url:?}: {first}"))
        }
        Reply::Http { status, .. } if (200..400).contains(status) => Outcome::Success,
        Reply::Http { status, .. } => {
            Outcome::Failure(format!("HTTP probe failed with statuscode: {status}"))
        }
        Reply::NotHttp(said) | Reply::Accepted(said) if !said.is_empty() => {
            let first = said.lines().next().unwrap_or("");
            Outcome::Failure(format!(
                "Get {url:?}: net/http: HTTP/1.x transport connection broken: malformed HTTP \
                 response {first:?}"
            ))
        }
        Reply::NotHttp(_) | Reply::Accepted(_) | Reply::Session(_) => {
            Outcome::Failure(format!("Get {url:?}: EOF"))
        }
        Reply::Timeout | Reply::Later(_) => Outcome::Failure(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
        Reply::Unresolved | Reply::NoNameServer => Outcome::Failure(format!(
            "Get {url:?}: dial tcp: lookup {host}: no such host"
        )),
        Reply::Refused | Reply::Denied(_) => Outcome::Failure(format!(
            "Get {url:?}: dial tcp {place}: connect: connection refused"
        )),
    }
}

/// Runs a command in the container.
fn command(
    world: &mut World,
    uid: &str,
    index: usize,
    probing: Probing,
    probe: &Value,
    timeout: Duration,
) -> Outcome {
    let now = world.now();
    let argv: Vec<String> = list(probe, "/exec/command")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let images = &world.kubelets.images;
    let Some(pod) = world.kubelets.pods.get(uid) else {
        return Outcome::Success;
    };
    let facts = pod.containers[index]
        .image
        .as_ref()
        .and_then(|(name, _)| {
            let node = world.kubelets.nodes.get(&pod.node)?;
            let source = node.images.get(name).map_or(name.as_str(), String::as_str);
            Some(images.facts(source))
        })
        .unwrap_or_default();
    let Some(pod) = world.kubelets.pods.get_mut(uid) else {
        return Outcome::Success;
    };
    let container = &mut pod.containers[index];
    let Some(process) = container.run.as_mut().and_then(|run| run.process.as_mut()) else {
        return Outcome::Success;
    };
    let pending = &mut container.probes.asked[probing as usize];
    let Some(Asked {
        since: began,
        of: Waiting::Command(number, output),
    }) = pending
    else {
        return match program::load_command(&facts, &process.container, &argv) {
            Ok(program) => {
                let output = Output::default();
                let number = process.spawn(program, Some(output.clone()));
                let of = Waiting::Command(number, output);
                *pending = Some(Asked { since: now, of });
                world.kubelet_at(now, Task::Run(uid.to_owned(), index));
                Outcome::Later(Duration::from_millis(20))
            }
            Err(why) => Outcome::Error(format!(
                "rpc error: code = Unknown desc = failed to exec in container: failed to start \
                 exec \"{uid}\": OCI runtime exec failed: exec failed: unable to start container \
                 process: {why}: unknown"
            )),
        };
    };
    let passed = since(now, *began);
    let outcome = match process.ended(*number) {
        Some(0) => Outcome::Success,
        Some(_) => {
            let said = output.lock().map(|said| said.clone());
            Outcome::Failure(said.unwrap_or_default())
        }
        None if passed >= timeout => {
            process.kill(*number, 137);
            Outcome::Failure(format!(
                "command timed out: {:?} timed out after {}s",
                argv.join(" "),
                timeout.as_secs()
            ))
        }
        None => return Outcome::Later((timeout - passed).min(Duration::from_millis(100))),
    };
    *pending = None;
    outcome
}
