//! Containers beside the cluster, on the network of its nodes.
//!
//! Each is two containers: one that keeps a place on the network, with a name and an address, and
//! does nothing, and the service itself in that place. So a service that is stopped is a host on
//! which nobody listens, and one that is started again is found where it was.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
    time::timeout,
};

use super::{
    Kind,
    engine::{Engine, full_name, last_lines},
    images,
};
use crate::{
    backend::{BackendError, GENERAL},
    journal::{Journal, RUN_LABEL, Undo},
    progress::Progress,
    scenario::{Registry, Service, ServiceFacts, ServiceReady, Text},
};

/// How long a service may take to serve: less than a short command of the engine may.
const READY: Duration = Duration::from_secs(50);

/// Where containerd looks for how to speak to a registry, each time it pulls an image.
///
/// Source: containerd, docs/hosts.md.
const REGISTRIES: &str = "/etc/containerd/certs.d";

fn container(journal: &Journal, name: &str) -> String {
    format!("{}-{name}", journal.run())
}

fn place(journal: &Journal, name: &str) -> String {
    format!("{}-{name}-place", journal.run())
}

/// The name by which pods and nodes find it: no other run's service has it.
fn host(journal: &Journal, name: &str) -> String {
    format!("{name}.{}", journal.run())
}

/// Makes the container, with its files, and its place, and tells the nodes of a registry.
pub(super) async fn make(
    kind: &Kind,
    journal: &Journal,
    name: &str,
    service: &Service,
    files: &BTreeMap<String, String>,
    progress: &Progress,
) -> Result<ServiceFacts, BackendError> {
    let engine = &kind.engine;
    images::have(&kind.state, engine, journal, &service.image, progress).await?;
    let address = keep_place(kind, journal, name).await?;
    let host = host(journal, name);

    let (container, place) = (container(journal, name), place(journal, name));
    let _ = journal.record(Undo::RemoveContainer {
        container: container.clone(),
    })?;
    let network = format!("container:{place}");
    let label = format!("{RUN_LABEL}={}", journal.run());
    let mut args = vec!["create", "--name", &container, "--label", &label];
    args.extend(["--network", &network]);
    let variables: Vec<_> = service
        .env
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    for variable in &variables {
        args.extend(["--env", variable]);
    }
    let image = full_name(&service.image);
    args.push(&image);
    args.extend(service.args.iter().map(String::as_str));
    engine.ask(&args).await?;
    if !files.is_empty() {
        let archive = archive(files).map_err(|error| wrong(name, error.to_string()))?;
        let to = format!("{container}:/");
        engine.feed(&["cp", "-", &to], archive).await?;
    }
    if service.registry.is_some() {
        let at = format!("{host}:{}", port(name, service)?);
        tell_nodes(kind, journal, &at).await?;
    }
    Ok(ServiceFacts { host, address })
}

/// Starts it, waits until it serves, and pushes what a registry is to hold.
pub(super) async fn start(
    kind: &Kind,
    journal: &Journal,
    name: &str,
    service: &Service,
    progress: &Progress,
) -> Result<(), BackendError> {
    progress.say(format!("starting {name}, {}", service.image));
    let (engine, container) = (&kind.engine, container(journal, name));
    engine.ask(&["start", &container]).await?;
    let wait = ["wait", &container];
    tokio::select! {
        serves = timeout(READY, serves(engine, journal, name, &service.ready)) => serves.map_err(
            |_| BackendError::Late {
                what: format!("service {name} does not serve"),
                seconds: READY.as_secs(),
                last: String::new(),
            },
        )??,
        ended = engine.ask(&wait) => {
            let said = engine.logs(&container).await.unwrap_or_default();
            let code = ended?;
            let problem = format!("it ended with {}:\n  {}", code.trim(), last_lines(&said));
            return Err(wrong(name, problem));
        }
    }
    if let Some(registry) = &service.registry {
        let at = format!("{}:{}", host(journal, name), port(name, service)?);
        push(kind, registry, &at, progress).await?;
    }
    Ok(())
}

/// Stops it at once, as a crash would. Its place stays.
pub(super) async fn stop(kind: &Kind, journal: &Journal, name: &str) -> Result<(), BackendError> {
    let container = container(journal, name);
    kind.engine.ask(&["kill", &container]).await.map(drop)
}

/// Keeps a place on the nodes' network; gives its address. The container is made of the nodes' own
/// image, which is there on every engine.
async fn keep_place(kind: &Kind, journal: &Journal, name: &str) -> Result<String, BackendError> {
    let engine = &kind.engine;
    let node = &kind.nodes(GENERAL)?[0];
    let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}\n{{end}}{{.Image}}";
    let text = engine.ask(&["inspect", "--format", format, node]).await?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let (Some(network), Some(image)) = (lines.next(), lines.next_back()) else {
        let problem = format!("node {node} is on no network");
        return Err(wrong(name, problem));
    };
    let (place, host) = (place(journal, name), host(journal, name));
    let _ = journal.record(Undo::RemoveContainer {
        container: place.clone(),
    })?;
    let label = format!("{RUN_LABEL}={}", journal.run());
    let mut args = vec!["run", "--detach", "--name", &place, "--label", &label];
    args.extend(["--network", network, "--network-alias", &host]);
    args.extend(["--entrypoint", "sleep", image, "infinity"]);
    engine.ask(&args).await?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = engine.ask(&["inspect", "--format", format, &place]).await?;
    Ok(address.trim().to_owned())
}

/// An archive of files, by the paths at which a container is to see them.
fn archive(files: &BTreeMap<String, String>) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path.trim_start_matches('/'), text.as_bytes())?;
    }
    archive.into_inner()
}

/// Waits until it serves.
async fn serves(
    engine: &Engine,
    journal: &Journal,
    name: &str,
    ready: &ServiceReady,
) -> Result<(), BackendError> {
    let container = container(journal, name);
    let (script, port) = match ready {
        ServiceReady::Log(text) => return says(engine, &container, text).await,
        ServiceReady::Tcp(port) => (r#"exec 3<>"/dev/tcp/$0/$1""#, port),
        ServiceReady::Http(port) => (
            r#"exec 3<>"/dev/tcp/$0/$1" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 &&
               read -r -t 5 line <&3 && [[ $line == HTTP/* ]]"#,
            port,
        ),
    };
    // The place has the service's network, and the tools of a node.
    let script = format!("until ({script}) 2>/dev/null; do sleep 0.2; done");
    let (place, port) = (place(journal, name), port.to_string());
    let asks = ["exec", &place, "bash", "-c", &script, "localhost", &port];
    engine.ask(&asks).await.map(drop)
}

/// Waits until the container has said this since it was started.
async fn says(engine: &Engine, container: &str, text: &Text) -> Result<(), BackendError> {
    let format = ["inspect", "--format", "{{.State.StartedAt}}", container];
    let started = engine.ask(&format).await?;
    let mut following = Command::new(engine.program())
        .args(["logs", "--follow", "--since", started.trim(), container])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| BackendError::started(engine.program(), error))?;
    let (stdout, stderr) = (following.stdout.take(), following.stderr.take());
    tokio::select! {
        true = is_said(stdout, text) => Ok(()),
        true = is_said(stderr, text) => Ok(()),
        // That the container has ended is told by who waits for that.
        else => std::future::pending().await,
    }
}

async fn is_said(by: Option<impl AsyncRead + Unpin>, text: &Text) -> bool {
    let Some(by) = by else {
        return false;
    };
    let mut lines = BufReader::new(by).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if text.is_in(&line) {
            return true;
        }
    }
    false
}

/// The port at which a registry serves.
fn port(name: &str, service: &Service) -> Result<u16, BackendError> {
    match service.ready {
        ServiceReady::Tcp(port) | ServiceReady::Http(port) => Ok(port),
        ServiceReady::Log(_) => Err(wrong(
            name,
            "a registry is to be known by its port: expected `ready: { http: PORT }`".to_owned(),
        )),
    }
}

/// Tells the containerd of every node to speak to this registry without TLS.
async fn tell_nodes(kind: &Kind, journal: &Journal, at: &str) -> Result<(), BackendError> {
    let hosts = format!(
        "server = \"http://{at}\"\n\n[host.\"http://{at}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
    );
    let script = r#"mkdir -p "$0" && printf %s "$1" >"$0/hosts.toml""#;
    let folder = format!("{REGISTRIES}/{at}");
    for node in kind.pools.values().flat_map(|facts| &facts.names) {
        let _ = journal.record(Undo::ForgetRegistry {
            node: node.clone(),
            registry: at.to_owned(),
        })?;
        let write = ["sh", "-c", script, &folder, &hosts];
        kind.engine.on_node(node, &write).await?;
    }
    Ok(())
}

/// Undoes what a node was told of a registry, and removes the images that it has from there.
pub(crate) async fn forget_registry(
    engine: &Engine,
    node: &str,
    registry: &str,
) -> Result<(), BackendError> {
    let script = r#"rm -rf "$0/$1"
        ctr --namespace k8s.io images list --quiet | grep --fixed-strings "$1/" |
        xargs --no-run-if-empty ctr --namespace k8s.io images remove"#;
    let forget = ["bash", "-c", script, REGISTRIES, registry];
    engine.on_node(node, &forget).await.map(drop)
}

/// Pushes images to a registry, from a node that has them.
async fn push(
    kind: &Kind,
    registry: &Registry,
    at: &str,
    progress: &Progress,
) -> Result<(), BackendError> {
    let local = registry.push.values().cloned().collect();
    images::load(kind, &local, progress).await?;
    let node = &kind.nodes(GENERAL)?[0];
    let user = registry.user.as_ref().map(|user| {
        let password = registry.password.as_deref().unwrap_or_default();
        format!("{user}:{password}")
    });
    for (remote, local) in &registry.push {
        progress.say(format!("pushing {remote}"));
        let (remote, local) = (format!("{at}/{remote}"), full_name(local));
        let mut push = vec!["ctr", "--namespace", "k8s.io", "images", "push"];
        push.push("--plain-http");
        if let Some(user) = &user {
            push.extend(["--user", user]);
        }
        push.extend([remote.as_str(), &local]);
        kind.engine.on_node(node, &push).await?;
    }
    Ok(())
}

fn wrong(name: &str, problem: String) -> BackendError {
    BackendError::Answer {
        what: format!("service {name}"),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn files_are_where_the_container_is_to_see_them() {
        let files = BTreeMap::from([("/auth/htpasswd".to_owned(), "a:b\n".to_owned())]);
        let archive = archive(&files).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let mut entry = entries.next().unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a:b\n");
        assert_eq!(entry.path().unwrap().to_str(), Some("auth/htpasswd"));
    }
}
