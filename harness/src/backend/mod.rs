//! The clusters that scenarios run on. Everything above speaks to a [`kube::Client`], and asks a
//! [`Backend`] only for what no API server gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use futures::{FutureExt, future::BoxFuture};

use crate::{
    claims::ClaimError,
    journal::{Journal, JournalError, Target, Undo},
    progress::Progress,
    scenario::{NodeFacts, NodeFault, Pool, Service, ServiceFacts, Spec, Verb},
    state::State,
    yaml,
};

pub mod context;
pub mod kind;
pub(crate) mod reach;
pub mod sim;

/// A cluster, and the ways to break it that its API does not have.
pub trait Backend: Send + Sync {
    /// The backend's name, as after `--on`: `sim`, `kind`, `context`.
    fn name(&self) -> &'static str;

    /// A client of the cluster's API.
    fn client(&self) -> kube::Client;

    /// The kubeconfig that reaches the cluster, for a program beside crashbook; its current
    /// context is the cluster's.
    fn kubeconfig(&self) -> Option<&Path>;

    /// Whether crashbook made the cluster: all that is in it is its own.
    fn is_own(&self) -> bool;

    /// Begins the journal of a run, whose name is `what` with an end that makes it unique.
    fn journal(&self, state: &State, what: &str) -> Result<Journal, JournalError> {
        Journal::open(state, what, Some(self.target()))
    }

    /// The cluster, for [`Journal::open`] and [`crate::claims::acquire`].
    fn target(&self) -> &Target;

    /// The first node of each pool, with the names of all, by the pool's name. What can be used up
    /// there is as of now.
    fn pools<'a>(&'a self) -> BoxFuture<'a, Result<BTreeMap<Pool, NodeFacts>, BackendError>>;

    /// What the cluster lacks of what this scenario needs: the reason to skip it.
    fn lacks(&self, scenario: &Spec) -> Option<String>;

    /// Sees to it that every node can start containers of these images without a registry. An
    /// image that is there is not loaded again.
    fn images<'a>(
        &'a self,
        images: &'a BTreeSet<String>,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Does this to the nodes of a pool. What has to be undone is in the journal first.
    fn node<'a>(
        &'a self,
        journal: &'a Journal,
        fault: &'a NodeFault,
    ) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Makes a container beside the cluster, with these files at these paths in it, and does not
    /// start it yet: where it will be found.
    fn make_service<'a>(
        &'a self,
        _: &'a Journal,
        name: &'a str,
        _: &'a Service,
        _: &'a BTreeMap<String, String>,
        _: &'a Progress,
    ) -> BoxFuture<'a, Result<ServiceFacts, BackendError>> {
        async move { Err(BackendError::no_services(self.name(), name)) }.boxed()
    }

    /// Starts a container that was made, and waits until it serves.
    fn start_service<'a>(
        &'a self,
        _: &'a Journal,
        name: &'a str,
        _: &'a Service,
        _: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async move { Err(BackendError::no_services(self.name(), name)) }.boxed()
    }

    /// Stops a container that was made: from then on nobody listens there.
    fn stop_service<'a>(
        &'a self,
        _: &'a Journal,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async move { Err(BackendError::no_services(self.name(), name)) }.boxed()
    }

    /// Undoes what [`node`](Self::node) did, where that is not done by the journal alone: none for
    /// a cluster that outlives the process, since [`crate::recover`] must know how.
    fn undo<'a>(&'a self, _: &'a Undo) -> Option<BoxFuture<'a, Result<(), BackendError>>> {
        None
    }
}

/// The label of a node, and the key of its taint, that name its pool. Nodes of the pool
/// [`GENERAL`] have no taint, so that they take any pod.
pub const POOL: &str = "crashbook.dev/pool";

/// The pool of the nodes that take any pod.
pub const GENERAL: &str = "general";

/// What a cluster of these pools, whose nodes crashbook may break, lacks for a scenario.
fn lacks(pools: &BTreeMap<Pool, NodeFacts>, scenario: &Spec) -> Option<String> {
    let steps = scenario.inject.iter().chain(&scenario.fix);
    let faults = steps.filter_map(|step| match step {
        Verb::Node(fault) => Some(fault.pool()),
        _ => None,
    });
    let mut needed = scenario.needs.node.iter().chain(faults);
    if let Some(pool) = needed.find(|pool| !pools.contains_key(*pool)) {
        return Some(no_pool(pools, pool));
    }
    let workers = pools.get(GENERAL).map_or(0, |facts| facts.names.len());
    let wanted = scenario.needs.workers as usize;
    (workers < wanted).then(|| format!("it has {workers} general workers, and {wanted} are needed"))
}

/// The names of a pool's nodes.
fn nodes<'a>(
    pools: &'a BTreeMap<Pool, NodeFacts>,
    backend: &'static str,
    pool: &str,
) -> Result<&'a [String], BackendError> {
    let facts = pools.get(pool).ok_or_else(|| BackendError::Unable {
        backend,
        what: format!("use a node of the pool {pool}"),
        why: no_pool(pools, pool),
    })?;
    Ok(&facts.names)
}

fn no_pool(pools: &BTreeMap<Pool, NodeFacts>, pool: &str) -> String {
    let pools: Vec<_> = pools.keys().map(String::as_str).collect();
    format!(
        "the pools are {}, and {pool} is none of them",
        pools.join(", ")
    )
}

/// Why a backend cannot do what it was asked to. Each message names the thing, the cause and,
/// where crashbook knows it, the next step.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The backend has no such way.
    #[error("{backend} cannot {what}: {why}")]
    Unable {
        /// The backend's name.
        backend: &'static str,
        /// What was asked.
        what: String,
        /// Why not.
        why: String,
    },
    /// A program is not installed.
    #[error("`{program}` is not on the PATH: {next}")]
    NoProgram {
        /// The program.
        program: String,
        /// What to do.
        next: &'static str,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed:\n  {said}{}", next.map(|next| format!("\n{next}")).unwrap_or_default())]
    Command {
        /// The program and its arguments.
        command: String,
        /// The end of what it printed.
        said: String,
        /// What to do.
        next: Option<&'static str>,
    },
    /// A program does not come to an end.
    #[error("`{command}` has not ended after {seconds} s: does the container engine still answer?")]
    Silent {
        /// The program and its arguments.
        command: String,
        /// For how long it was waited.
        seconds: u64,
    },
    /// A program's or a server's answer makes no sense.
    #[error("{what}: {problem}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The API server refuses, or does not answer.
    #[error("{what}: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// A kubeconfig does not lead to a cluster.
    #[error("kubeconfig {path}: {problem}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Something did not come about in time.
    #[error("{what} after {seconds} s{last}")]
    Late {
        /// What did not: `node a is not Ready`.
        what: String,
        /// For how long it was waited.
        seconds: u64,
        /// What was seen last, after a colon, or nothing.
        last: String,
    },
    /// A setting of the configuration did not take effect.
    #[error(
        "{place}: {setting} is {got} and should be {want}: the setting did not take effect; is the node image or kind of a version that crashbook does not know?"
    )]
    Setting {
        /// Where: a node, or a component.
        place: String,
        /// Which.
        setting: String,
        /// What it should be.
        want: String,
        /// What it is.
        got: String,
    },
    /// The state folder cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A configuration is not what it should be.
    #[error("kind-config.yaml: {0}")]
    Config(#[from] yaml::Error),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A claim cannot be had.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

impl BackendError {
    /// For a backend that has no containers beside its cluster.
    fn no_services(backend: &'static str, name: &str) -> Self {
        Self::Unable {
            backend,
            what: format!("run {name} beside the cluster"),
            why: "it has no containers there".to_owned(),
        }
    }

    /// For a program that is not installed.
    pub(crate) fn no_program(program: &str) -> Self {
        let next = match program {
            "kind" => "install kind, https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
            "sh" => "a POSIX shell is needed",
            _ => "install Docker, Podman or nerdctl, and start it",
        };
        Self::NoProgram {
            program: program.to_owned(),
            next,
        }
    }

    /// For a program that could not be started.
    pub(crate) fn started(program: &str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            Self::no_program(program)
        } else {
            Self::Start {
                program: program.to_owned(),
                source,
            }
        }
    }

    /// For a request to the API.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        |source| Self::Api {
            what,
            source: Box::new(source),
        }
    }

    /// For a file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}

/// What to do about a failure that a program told in these words.
pub(crate) fn next_step(said: &str) -> Option<&'static str> {
    let steps = [
        (
            "no space left on device",
            "The disk is full: make room, `docker system df` shows what the engine uses.",
        ),
        (
            "ENOSPC",
            "The disk is full: make room, `docker system df` shows what the engine uses.",
        ),
        (
            "too many open files",
            "The host's limits are too low: https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files",
        ),
        (
            "port is already allocated",
            "Another program uses the port: end it, or the cluster that has it.",
        ),
        (
            "address already in use",
            "Another program uses the port: end it, or the cluster that has it.",
        ),
        (
            "Cannot connect to the Docker daemon",
            "Start the container engine, and try again.",
        ),
        (
            "Cannot connect to Podman",
            "Start the container engine, and try again.",
        ),
        (
            "cannot access containerd socket",
            "Start the container engine, and try again.",
        ),
        (
            "/v2/",
            "The image's registry does not answer: is the image's name right? One that the engine has is not pulled.",
        ),
        (
            "permission denied while trying to connect",
            "This user may not use the container engine: add it to the engine's group.",
        ),
        (
            "already exist for a cluster with the name",
            "Delete what is left of it: `crashbook down`.",
        ),
        (
            "pull access denied",
            "Is the image's name right? Set KIND_NODE_IMAGE for another node image.",
        ),
        (
            "manifest unknown",
            "Is the image's tag right? Set KIND_NODE_IMAGE for another node image.",
        ),
        (
            "failed to pull image",
            "No registry answers, or it lacks the image: KIND_NODE_IMAGE chooses a node image that the engine has.",
        ),
        (
            "executable file not found",
            "A program that is needed is not installed.",
        ),
    ];
    steps
        .iter()
        .find(|(words, _)| said.contains(words))
        .map(|(_, step)| *step)
}
