//! The container engine under kind: docker, podman or nerdctl, by its command line.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{Seek, Write},
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use tokio::{process::Command, time::timeout};

use crate::{
    backend::{BackendError, next_step},
    child,
    journal::{Journal, Undo},
    state::State,
};

/// The environment variable by which kind is told its engine.
const PROVIDER: &str = "KIND_EXPERIMENTAL_PROVIDER";

/// How long a short command may take: one that only asks, or starts and stops something.
const SHORT: Duration = Duration::from_secs(60);

/// The container engine that kind uses.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    program: String,
}

/// A container of a cluster, or beside one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its name.
    pub name: String,
    /// Whether its processes run.
    pub running: bool,
    /// The id of the image it was made from, or, under nerdctl, its name.
    pub image: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    image: String,
    state: Running,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Running {
    running: bool,
    #[serde(default)]
    paused: bool,
}

impl Engine {
    /// The engine that kind is told to use, else the first that answers, in kind's order.
    ///
    /// Source: kind, `pkg/internal/runtime` and `pkg/cluster/provider.go`, `DetectNodeProvider`.
    pub(crate) async fn find() -> Result<Self, BackendError> {
        if let Ok(program) = env::var(PROVIDER)
            && ["docker", "podman", "nerdctl", "finch", "nerdctl.lima"].contains(&program.as_str())
        {
            let engine = Self { program };
            engine.answers().await?;
            return Ok(engine);
        }
        let mut first = None;
        for program in ["docker", "nerdctl", "podman"] {
            let engine = Self {
                program: program.to_owned(),
            };
            match engine.answers().await {
                Ok(()) => return Ok(engine),
                // One that is installed and does not answer says more than one that is not there.
                Err(error @ BackendError::NoProgram { .. }) => {
                    first.get_or_insert(error);
                }
                Err(error) => {
                    if !matches!(first, Some(BackendError::Command { .. })) {
                        first = Some(error);
                    }
                }
            }
        }
        Err(first.unwrap_or_else(|| BackendError::no_program("docker")))
    }

    async fn answers(&self) -> Result<(), BackendError> {
        self.ask(&["version"]).await.map(drop)
    }

    /// The engine's program.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// What kind must be told so that it uses this engine too.
    pub(crate) fn env(&self) -> [(&'static str, &str); 1] {
        [(PROVIDER, &self.program)]
    }

    /// Runs a short command of the engine, and gives what it prints.
    pub(crate) async fn ask(&self, args: &[&str]) -> Result<String, BackendError> {
        short(&self.program, args, &[]).await
    }

    /// Runs a short command that reads this.
    pub(crate) async fn feed(&self, args: &[&str], input: Vec<u8>) -> Result<String, BackendError> {
        let file = tempfile::tempfile()
            .and_then(|mut file| {
                file.write_all(&input)?;
                file.rewind()?;
                Ok(file)
            })
            .map_err(BackendError::file(&env::temp_dir()))?;
        output(&self.program, args, &[], Stdio::from(file)).await
    }

    /// What a container has printed, to stdout and to stderr.
    pub(crate) async fn logs(&self, container: &str) -> Result<String, BackendError> {
        let script = r#""$0" logs "$1" 2>&1"#;
        short("sh", &["-c", script, &self.program, container], &[]).await
    }

    /// Runs a command on a node.
    pub(crate) async fn on_node(
        &self,
        node: &str,
        command: &[&str],
    ) -> Result<String, BackendError> {
        let mut args = vec!["exec", "--privileged", node];
        args.extend(command);
        self.ask(&args).await
    }

    /// The memory of the engine's host, in bytes: what every node takes for its own.
    pub(crate) async fn memory(&self) -> Result<u64, BackendError> {
        let format = if self.program == "podman" {
            "{{.Host.MemTotal}}"
        } else {
            "{{.MemTotal}}"
        };
        let text = self.ask(&["info", "--format", format]).await?;
        text.trim().parse().map_err(|_| BackendError::Answer {
            what: format!("`{} info`", self.program),
            problem: format!("gives {:?} as the host's memory", text.trim()),
        })
    }

    /// The containers of a kind cluster, by name; none where there is no such cluster.
    pub(crate) async fn cluster(&self, name: &str) -> Result<Vec<Container>, BackendError> {
        let label = format!("label=io.x-k8s.kind.cluster={name}");
        let found: Vec<Inspected> = loop {
            let ps = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &label];
            let ids = self.ask(&ps).await?;
            let ids: Vec<&str> = ids.split_whitespace().collect();
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let mut args = vec!["inspect", "--type", "container"];
            args.extend(ids);
            match self.lists(&args).await {
                // One of them was removed in between, or is only just being made.
                Err(BackendError::Command { said, .. }) if is_gone(&said) => {}
                found => break found?,
            }
        };
        let mut containers: Vec<_> = found
            .into_iter()
            .map(|found| Container {
                name: found.name.trim_start_matches('/').to_owned(),
                running: found.state.running && !found.state.paused,
                image: found.image,
            })
            .collect();
        containers.sort_by(|one, two| one.name.cmp(&two.name));
        Ok(containers)
    }

    /// The id of an image that the engine has.
    pub(crate) async fn image(&self, name: &str) -> Option<String> {
        let format = ["image", "inspect", "--format", "{{.Id}}", name];
        let id = self.ask(&format).await.ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// What a command gives as one list, or, as nerdctl does, as one for each of what is asked for.
    async fn lists<T: DeserializeOwned>(&self, args: &[&str]) -> Result<Vec<T>, BackendError> {
        let text = self.ask(args).await?;
        let lists = serde_json::Deserializer::from_str(&text).into_iter::<Vec<T>>();
        let lists: Result<Vec<_>, _> = lists.collect();
        let all = lists.map_err(|error| BackendError::Answer {
            what: format!("`{} {}`", self.program, args.join(" ")),
            problem: error.to_string(),
        })?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Whether containers find each other, and pods find containers, by names.
    pub(crate) fn gives_names(&self) -> bool {
        matches!(self.program.as_str(), "docker" | "podman")
    }
}

/// Runs a program that ends soon, and gives what it prints to stdout.
pub(crate) async fn short(
    program: &str,
    args: &[&str],
    envs: &[(&str, &str)],
) -> Result<String, BackendError> {
    output(program, args, envs, Stdio::null()).await
}

async fn output(
    program: &str,
    args: &[&str],
    envs: &[(&str, &str)],
    stdin: Stdio,
) -> Result<String, BackendError> {
    let command = || [&[program], args].concat().join(" ");
    let mut started = Command::new(program);
    started
        .args(args)
        .envs(envs.iter().copied())
        .stdin(stdin)
        .kill_on_drop(true);
    started.process_group(0);
    let output = match timeout(SHORT, started.output()).await {
        Err(_) => {
            return Err(BackendError::Silent {
                command: command(),
                seconds: SHORT.as_secs(),
            });
        }
        Ok(Err(error)) => return Err(BackendError::started(program, error)),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if said.trim().is_empty() {
            String::from_utf8_lossy(&output.stdout)
        } else {
            said
        };
        return Err(BackendError::Command {
            command: command(),
            said: last_lines(&said),
            next: next_step(&said),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program that may take long, journalled: what it is, and then that it has ended.
pub(crate) async fn long(
    state: &State,
    journal: &Journal,
    program: &str,
    args: &[OsString],
    envs: &[(&str, &str)],
) -> Result<(), BackendError> {
    let words = args.iter().map(|word| word.to_string_lossy());
    let command = std::iter::once(program.into())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ");
    let name = format!("{}-{}", journal.run(), journal.number());
    let lock = state.tmp().join(format!("{name}.child"));
    let output = state.tmp().join(format!("{name}.log"));
    let file = journal.record(Undo::RemovePath {
        path: output.clone(),
    })?;
    let entry = journal.record(Undo::EndChild {
        lock: lock.clone(),
        command: command.clone(),
    })?;
    let result = held(&lock, &output, program, args, envs, command).await;
    for path in [&lock, &output] {
        let _ = fs::remove_file(path);
    }
    entry.done()?;
    file.done()?;
    result
}

/// Runs a program that holds a lock while it lives: see [`child::run`]. Whoever calls has written
/// down how to end it.
pub(crate) async fn held(
    lock: &Path,
    output: &Path,
    program: &str,
    args: &[OsString],
    envs: &[(&str, &str)],
    command: String,
) -> Result<(), BackendError> {
    let status = child::run(lock, output, program, args, envs)
        .await
        .map_err(|error| BackendError::started(program, error))?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read(output).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    if status.code() == Some(127) && said.contains("not found") {
        return Err(BackendError::no_program(program));
    }
    let next = next_step(&said);
    let said = if said.trim().is_empty() {
        // Programs that fail say why: it went into a file.
        let place = output.display();
        format!("{status}, and not a word in {place}: is the disk full?")
    } else {
        last_lines(&said)
    };
    Err(BackendError::Command {
        command,
        said,
        next,
    })
}

/// An image's name as containerd has it, with its registry: Podman is not to choose one, or to take
/// an image that it built itself, which the nodes would have under another name.
///
/// Source: github.com/distribution/reference, normalize.go, `splitDockerDomain`.
pub(super) fn full_name(image: &str) -> String {
    match image.split_once('/') {
        Some((domain, _)) if domain.contains(['.', ':']) || domain == "localhost" => {
            image.to_owned()
        }
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

/// Whether the engine says that there is no such container.
pub(crate) fn is_gone(said: &str) -> bool {
    said.to_lowercase().contains("no such container")
}

/// The end of what a program said: programs say last why they failed.
pub(crate) fn last_lines(text: &str) -> String {
    let mut lines: Vec<_> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.len() > 8 {
        lines.drain(..lines.len() - 8);
    }
    lines.join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_given_as_several_lists_is_read_as_one() {
        let engine = Engine {
            program: "printf".to_owned(),
        };
        for text in ["[1, 2]", "[1]\n[2]\n"] {
            let lists = engine.lists::<u8>(&[text]).await;
            assert_eq!(lists.unwrap(), [1, 2], "{text}");
        }
    }

    #[test]
    fn a_name_gets_its_registry() {
        for (name, full) in [
            ("busybox:1.37", "docker.io/library/busybox:1.37"),
            ("shop/app:1", "docker.io/shop/app:1"),
            ("localhost/app:1", "localhost/app:1"),
            ("registry:5000/app:1", "registry:5000/app:1"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ] {
            assert_eq!(full_name(name), full);
        }
    }
}
