//! The network: addresses, names, Services and policies, and who answers whom.
//!
//! A connection is decided when it is made, by the cluster's state: the name, the Service behind
//! it, its ready endpoints, the policies of both ends, and who listens there. What a policy does
//! not allow is dropped, and the client waits as long as it will; where nobody listens, it is
//! refused at once.

mod names;
mod policy;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::kinds::Kind;
use crate::kubelet::{Pod, Reference, Task};
use crate::program::files::{File, Files};
use crate::program::net::{Answering, KERNEL_PATIENCE, ROUND_TRIP, Reply, Request, Serving};
use crate::store::{Key, Store};
use crate::value::{at, int, is_true, list, text};
use crate::world::World;

pub(crate) use names::resolve;

/// The addresses that were given away.
#[derive(Debug, Default)]
pub(crate) struct Network {
    services: u32,
    /// Counts connections to Services: their endpoints take turns.
    turns: usize,
    /// What runs beside the cluster, by name: the address.
    pub(crate) beside: std::collections::BTreeMap<String, String>,
}

impl Network {
    /// The next address for a Service.
    pub(crate) fn next_service_ip(&mut self, store: &Store) -> String {
        loop {
            self.services += 1;
            let number = self.services + 10;
            let ip = format!("10.96.{}.{}", number / 250, number % 250 + 1);
            let taken = store
                .list(Kind::Service, None)
                .any(|service| text(service, "/spec/clusterIP") == ip);
            if !taken {
                return ip;
            }
        }
    }

    /// The first node port from which on all are free.
    pub(crate) fn next_node_port(&self, store: &Store) -> i64 {
        let used = store
            .list(Kind::Service, None)
            .flat_map(|service| list(service, "/spec/ports"))
            .filter_map(|port| int(port, "/nodePort"))
            .max();
        used.map_or(30000, |port| port + 1)
    }

    /// Whether a Service has somebody ready behind it.
    pub(crate) fn has_endpoints(&self, world: &World, home: &str, service: &str) -> bool {
        world
            .store
            .list(Kind::EndpointSlice, Some(home))
            .filter(|slice| text(slice, "/metadata/labels/kubernetes.io~1service-name") == service)
            .flat_map(|slice| list(slice, "/endpoints"))
            .any(|endpoint| is_true(endpoint, "/conditions/ready"))
    }
}

/// By what a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Where a connection arrives.
enum Arrival {
    /// At a pod, or at what runs beside the cluster: by uid.
    At(String),
    /// Nobody listens there.
    Refused,
    /// It is lost on the way.
    Dropped,
}

/// A pod connects to a host and port: how long it takes, and what comes of it.
pub(crate) fn connect(
    world: &mut World,
    from: &str,
    host: &str,
    port: u16,
    request: &Request,
    patience: Option<Duration>,
) -> (Duration, Reply) {
    let (time, found) = resolve(world, from, host);
    let addresses = match found {
        Ok(addresses) => addresses,
        Err(reply) => return (time, reply),
    };
    let protocol = match request {
        Request::Udp => Protocol::Udp,
        _ => Protocol::Tcp,
    };
    let mut last = Reply::Refused;
    for address in addresses {
        let (arrival, port) = arrive(world, from, &address, port, protocol);
        let reply = match arrival {
            Arrival::At(uid) => answer(world, &uid, port, request),
            Arrival::Refused => Reply::Refused,
            Arrival::Dropped => Reply::Timeout,
        };
        match reply {
            Reply::Refused => last = reply,
            Reply::Timeout => return (time + patience.unwrap_or(KERNEL_PATIENCE), Reply::Timeout),
            reply => return (time + ROUND_TRIP, reply),
        }
    }
    (time + ROUND_TRIP, last)
}

/// A node's kubelet connects to a host and port.
pub(crate) fn from_node(
    world: &mut World,
    node: &str,
    host: &str,
    port: u16,
    request: &Request,
) -> Reply {
    let address = match host {
        "localhost" => "127.0.0.1",
        host if is_address(host) => host,
        _ => return Reply::Unresolved,
    };
    if address.starts_with("127.") {
        let own =
            world.kubelets.pods.values().find(|pod| {
                pod.host_network && pod.node == node && pod.listeners.contains_key(&port)
            });
        return match own.map(|pod| pod.uid.clone()) {
            Some(uid) => answer(world, &uid, port, request),
            None => Reply::Refused,
        };
    }
    match at_address(world, address, port) {
        Arrival::At(uid) => answer(world, &uid, port, request),
        Arrival::Refused => Reply::Refused,
        Arrival::Dropped => Reply::Timeout,
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

/// Who is at an address that is no Service's.
fn at_address(world: &World, address: &str, port: u16) -> Arrival {
    if let Some(uid) = world.kubelets.by_address.get(address) {
        let listens = world
            .kubelets
            .pods
            .get(uid)
            .is_some_and(|pod| pod.listeners.contains_key(&port));
        return match listens {
            true => Arrival::At(uid.clone()),
            false => Arrival::Refused,
        };
    }
    let node = world
        .kubelets
        .nodes
        .iter()
        .find(|(_, node)| node.address == address);
    let Some((name, _)) = node else {
        // Of what runs beside the cluster the place stays when it is stopped.
        let is_place = world.network.beside.values().any(|place| place == address);
        return if is_place {
            Arrival::Refused
        } else {
            Arrival::Dropped
        };
    };
    let there = world
        .kubelets
        .pods
        .values()
        .find(|pod| pod.host_network && pod.node == *name && pod.listeners.contains_key(&port));
    match there {
        Some(pod) => Arrival::At(pod.uid.clone()),
        None => Arrival::Refused,
    }
}

/// Follows a pod's connection to where it arrives, and at which port.
fn arrive(
    world: &mut World,
    from: &str,
    address: &str,
    port: u16,
    protocol: Protocol,
) -> (Arrival, u16) {
    if address.starts_with("127.") {
        let listens = world
            .kubelets
            .pods
            .get(from)
            .is_some_and(|pod| pod.listeners.contains_key(&port));
        let arrival = match listens {
            true => Arrival::At(from.to_owned()),
            false => Arrival::Refused,
        };
        return (arrival, port);
    }
    let service = world
        .store
        .list(Kind::Service, None)
        .find(|service| text(service, "/spec/clusterIP") == address)
        .cloned();
    let (address, port) = match service {
        None => (address.to_owned(), port),
        Some(service) => match endpoint(world, &service, port, protocol) {
            Translated::To(address, port) => (address, port),
            Translated::Nobody => return (Arrival::Refused, port),
            Translated::NoSuchPort => return (Arrival::Dropped, port),
        },
    };
    if !policy::allows(world, from, &address, port, protocol) {
        return (Arrival::Dropped, port);
    }
    (at_address(world, &address, port), port)
}

enum Translated {
    To(String, u16),
    Nobody,
    NoSuchPort,
}

/// The endpoint of a Service that a connection goes to.
fn endpoint(world: &mut World, service: &Value, port: u16, protocol: Protocol) -> Translated {
    let wanted = list(service, "/spec/ports").iter().find(|one| {
        int(one, "/port") == Some(i64::from(port)) && text(one, "/protocol") == protocol.name()
    });
    let Some(wanted) = wanted else {
        return Translated::NoSuchPort;
    };
    let port_name = text(wanted, "/name");
    let home = crate::value::namespace(service);
    let name = crate::value::name(service);
    let mut found = Vec::new();
    for slice in slices(world, home, name) {
        let number = list(&slice, "/ports")
            .iter()
            .find(|one| text(one, "/name") == port_name && protocol_of(one) == protocol.name())
            .and_then(|one| u16::try_from(int(one, "/port")?).ok());
        let Some(number) = number else {
            continue;
        };
        for endpoint in list(&slice, "/endpoints") {
            if is_true(endpoint, "/conditions/ready") {
                let addresses = list(endpoint, "/addresses").iter();
                found.extend(addresses.filter_map(|one| Some((one.as_str()?.to_owned(), number))));
            }
        }
    }
    if found.is_empty() {
        return Translated::Nobody;
    }
    world.network.turns += 1;
    let (address, port) = found.swap_remove(world.network.turns % found.len());
    Translated::To(address, port)
}

fn protocol_of(port: &Value) -> &str {
    match text(port, "/protocol") {
        "" => "TCP",
        protocol => protocol,
    }
}

/// The EndpointSlices of a Service.
fn slices(world: &World, home: &str, service: &str) -> Vec<Arc<Value>> {
    world
        .store
        .list(Kind::EndpointSlice, Some(home))
        .filter(|slice| text(slice, "/metadata/labels/kubernetes.io~1service-name") == service)
        .cloned()
        .collect()
}

/// What whoever listens there answers.
fn answer(world: &mut World, uid: &str, port: u16, request: &Request) -> Reply {
    let now = world.now();
    let Some(pod) = world.kubelets.pods.get_mut(uid) else {
        return Reply::Refused;
    };
    let Some(listener) = pod.listeners.get(&port).cloned() else {
        return Reply::Refused;
    };
    let index = listener.container;
    if let Some(process) = listener.once {
        pod.listeners.remove(&port);
        let run = pod.containers[index].run.as_mut();
        if let Some(process_of) = run.and_then(|run| run.process.as_mut()) {
            process_of.accepted(process);
        }
        world.kubelet_at(now, Task::Run(uid.to_owned(), index));
    }
    let Some(pod) = world.kubelets.pods.get(uid) else {
        return Reply::Refused;
    };
    match (request, listener.serving) {
        (
            Request::Http { path },
            Serving::Files {
                root,
                paths,
                runs_programs,
            },
        ) => {
            if runs_programs && path.starts_with("/cgi-bin/") {
                return from_program(world, uid, index, port, path);
            }
            let own = paths
                .into_iter()
                .filter(|(begin, ..)| path.starts_with(begin.as_str()));
            match own.max_by_key(|(begin, ..)| begin.len()) {
                Some((_, status, body)) => Reply::Http { status, body },
                None => from_files(pod, index, &root, path),
            }
        }
        (
            Request::Http { path },
            Serving::Http {
                status,
                body,
                paths,
            },
        ) => {
            let bare = path.split('?').next().unwrap_or(path);
            let own = paths.into_iter().find(|(one, ..)| one == bare);
            let (_, status, body) = own.unwrap_or((String::new(), status, body));
            Reply::Http { status, body }
        }
        (Request::Http { .. }, Serving::Tcp(said)) => spoken_http(&said),
        (Request::Http { .. }, _) => Reply::NotHttp(String::new()),
        (Request::Sql { .. }, Serving::Sql(server)) => session(request, &server),
        (Request::Sql { .. }, Serving::Tcp(said)) => Reply::NotHttp(said),
        (Request::Sql { .. }, _) => Reply::NotHttp(String::new()),
        (Request::Tcp | Request::Udp, Serving::Tcp(said)) => Reply::Accepted(said),
        (Request::Tcp | Request::Udp, _) => Reply::Accepted(String::new()),
    }
}

/// Reads an answer that somebody wrote by hand.
fn spoken_http(said: &str) -> Reply {
    let status = said
        .strip_prefix("HTTP/1")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.trim().parse().ok());
    match status {
        Some(status) => {
            let body = said.split_once("\r\n\r\n").or(said.split_once("\n\n"));
            let body = body.map_or("", |(_, body)| body).to_owned();
            Reply::Http { status, body }
        }
        None => Reply::NotHttp(said.to_owned()),
    }
}

/// Gives a request to the server, which starts the program that answers it.
fn from_program(world: &mut World, uid: &str, index: usize, port: u16, path: &str) -> Reply {
    let now = world.now();
    let pod = world.kubelets.pods.get(uid);
    let Some(run) = pod.and_then(|pod| pod.containers[index].run.as_ref()) else {
        return Reply::Refused;
    };
    let answer = Answering::default();
    let request = (port, path.to_owned(), answer.clone());
    run.container.state().requests.push(request);
    world.kubelet_at(now, Task::Run(uid.to_owned(), index));
    Reply::Later(answer)
}

fn from_files(pod: &Pod, index: usize, root: &str, path: &str) -> Reply {
    let Some(run) = pod.containers[index].run.as_ref() else {
        return Reply::Refused;
    };
    let state = run.container.state();
    let bare = path.split('?').next().unwrap_or(path);
    let mut place = Files::absolute("", &format!("{root}/{bare}"));
    if state.files.find(&place) == Some(File::Directory) {
        place.push_str("/index.html");
    }
    match state.files.read(&place) {
        Ok(content) => Reply::Http {
            status: 200,
            body: content.text,
        },
        Err(_) => Reply::Http {
            status: 404,
            body: String::new(),
        },
    }
}

/// Whether a database server lets somebody in.
fn session(request: &Request, server: &crate::program::net::Sql) -> Reply {
    let Request::Sql {
        user,
        password,
        database,
    } = request
    else {
        return Reply::NotHttp(String::new());
    };
    let Some(session) = server.begin() else {
        return Reply::Denied("FATAL:  sorry, too many clients already".to_owned());
    };
    let known = server.users.iter().find(|(name, _)| name == user);
    match (known, password) {
        // Who is trusted needs none.
        (Some((_, right)), _) if right.is_empty() => {}
        (Some((_, right)), Some(given)) if right == given => {}
        (_, None) => return Reply::Denied("fe_sendauth: no password supplied".to_owned()),
        _ => {
            return Reply::Denied(format!(
                "FATAL:  password authentication failed for user \"{user}\""
            ));
        }
    }
    if !server.databases.iter().any(|name| name == database) {
        return Reply::Denied(format!("FATAL:  database \"{database}\" does not exist"));
    }
    Reply::Session(session)
}

/// A node pulls an image from a registry: gives what the image really is, or why it cannot be had.
pub(crate) fn pull(
    world: &World,
    image: &Reference,
    credentials: &[(String, String)],
) -> Result<String, String> {
    let full = image.full();
    let failed = |why: &str| {
        Err(format!(
            "failed to pull and unpack image {full:?}: failed to resolve reference {full:?}: {why}"
        ))
    };
    let host = match image.host.as_str() {
        "docker.io" => "registry-1.docker.io",
        host => host,
    };
    let (bare, port) = match host.rsplit_once(':') {
        Some((bare, port)) => (bare, port.parse().unwrap_or(443)),
        None => (host, 443),
    };
    let version = &image.version[1..];
    let registry = world.kubelets.registries.get(bare);
    let scheme = if registry.is_some() { "http" } else { "https" };
    let url = format!(
        "{scheme}://{host}/v2/{}/manifests/{version}",
        image.repository
    );
    let asked = |why: &str| failed(&format!("failed to do request: Head {url:?}: {why}"));
    let address = match world.network.beside.get(bare) {
        Some(address) => address.clone(),
        None if is_address(bare) => bare.to_owned(),
        None => {
            return asked(&format!(
                "dial tcp: lookup {bare} on 172.18.0.1:53: no such host"
            ));
        }
    };
    match at_address(world, &address, port) {
        Arrival::At(_) => {}
        Arrival::Refused => {
            return asked(&format!(
                "dial tcp {address}:{port}: connect: connection refused"
            ));
        }
        Arrival::Dropped => return asked(&format!("dial tcp {address}:{port}: i/o timeout")),
    }
    let Some(registry) = registry else {
        return asked("http: server gave HTTP response to HTTPS client");
    };
    if let Some((user, password)) = &registry.credentials {
        // containerd 1.6, as the nodes have it, asks without credentials where it has none; only later
        // versions say that there are none.
        let is_known = credentials
            .iter()
            .any(|(name, secret)| name == user && secret == password);
        if !is_known {
            return failed(&format!(
                "pulling from host {host} failed with status code [manifests {version}]: 401 \
                 Unauthorized"
            ));
        }
    }
    let wanted = format!("{}{}", image.repository, image.version);
    match registry.images.get(&wanted) {
        Some(source) => Ok(source.clone()),
        None => Err(format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image {full:?}: failed to \
             resolve reference {full:?}: {full}: not found"
        )),
    }
}

/// The address and port of the cluster's API.
const API: (&str, u16) = ("172.18.0.2", 6443);

/// Whether policies let a pod reach the cluster's API.
pub(crate) fn reaches_api(world: &World, from: &str) -> bool {
    policy::allows(world, from, API.0, API.1, Protocol::Tcp)
}

/// The pod of an address, as the API has it.
fn pod_at(world: &World, address: &str) -> Option<Arc<Value>> {
    let uid = world.kubelets.by_address.get(address)?;
    let pod = world.kubelets.pods.get(uid)?;
    world.store.get(Kind::Pod, &pod.key).cloned()
}

/// A pod, as the API has it.
fn object_of(world: &World, uid: &str) -> Option<Arc<Value>> {
    let pod = world.kubelets.pods.get(uid)?;
    world.store.get(Kind::Pod, &pod.key).cloned()
}

/// The labels of a namespace.
fn namespace_labels(world: &World, name: &str) -> Value {
    let namespace = world.store.get(Kind::Namespace, &Key::new("", name));
    namespace.map_or(Value::Null, |namespace| {
        at(namespace, "/metadata/labels").clone()
    })
}
