//! The life of the cluster: made, found warm, replaced, deleted.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Kind, check,
    config::Plan,
    engine::{self, Container, Engine},
};
use crate::{
    backend::{BackendError, reach},
    child,
    claims::{Hold, Lock},
    journal::{Journal, Target, Undo},
    progress::Progress,
    recover::{self, Which},
    state::State,
};

/// The environment variable that chooses the node image.
const NODE_IMAGE: &str = "KIND_NODE_IMAGE";

/// How long a new cluster may take until all of it is ready, once kind has made it.
const NEW: Duration = Duration::from_secs(120);

/// How long a warm cluster may take to show that it is healthy.
const WARM: Duration = Duration::from_secs(10);

/// How long what a former run did to the nodes may still show: a pressure condition outlives its
/// cause.
const SETTLED: Duration = Duration::from_secs(45);

/// How the cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Compute its sizes as if the host had so much memory, in bytes.
    pub host_memory: Option<u64>,
}

/// What is known of the warm cluster, in the state folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Warm {
    /// Tells its configuration from others.
    config: String,
    /// The node image that was asked for, if one was.
    node_image: Option<String>,
    /// Its node containers, with the ids of their images.
    nodes: BTreeMap<String, String>,
    /// The cluster itself.
    target: Target,
    /// The ids of the images that were loaded, by name.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
}

impl Warm {
    fn path(state: &State) -> PathBuf {
        state.cluster().join("cluster.json")
    }

    /// What is known of it; nothing where nothing that makes sense is.
    pub(super) fn read(state: &State) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(state)).ok()?).ok()
    }

    /// Writes it, all or nothing.
    pub(super) fn write(&self, state: &State) -> Result<(), BackendError> {
        let path = Self::path(state);
        let text = serde_json::to_vec_pretty(self).map_err(|error| BackendError::Answer {
            what: path.display().to_string(),
            problem: error.to_string(),
        })?;
        let new = path.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(BackendError::file(&path))
    }
}

/// Gives the state folder's cluster: the warm one if it is healthy, clean and of this
/// configuration, else a new one in its place. Waits for whoever is making or deleting it.
/// What dead runs left is undone first.
///
/// If this future is dropped, what it did so far is left to [`recover::recover`].
pub async fn up(
    state: &State,
    options: &Options,
    progress: &Progress,
) -> Result<Kind, BackendError> {
    let engine = Engine::find().await?;
    let memory = engine.memory().await?;
    let plan = Plan::new(memory, options.host_memory.unwrap_or(memory))?;
    let name = state.cluster_name();
    let lock = Lock::lifecycle(state);
    let waits = || {
        progress.say(format!(
            "waiting for another run to be done with cluster {name}"
        ))
    };
    let mut gate = lock.gate(waits).await?;
    if !gate.alone()? {
        // Others use it, so it was found healthy, and is not theirs alone to be clean.
        match usable(state, &engine, &plan, &name).await {
            Ok((warm, client)) => {
                let in_use = gate.share().await?;
                return finish(state, engine, &plan, warm, client, in_use, false).await;
            }
            Err(error) => {
                progress.say(format!(
                    "cluster {name} has to be replaced once the runs that use it end: {error}"
                ));
                gate.wait_alone().await?;
            }
        }
    }
    let recovery = recover::undo_dead(state, &Which::Lost, gate.held(), progress).await?;
    let mut left = recovery.failed;
    let warm = async {
        let (warm, client) = usable(state, &engine, &plan, &name).await?;
        if let Some(failure) = left.pop() {
            return Err(failure.source);
        }
        check::ready(&client, WARM).await?;
        check::clean(state, &client, SETTLED).await?;
        check::settings(&client, &plan, WARM).await?;
        Ok((warm, client))
    };
    let existing = engine.cluster(&name).await?;
    let (warm, client, created) = match warm.await {
        Ok((warm, client)) => (warm, client, false),
        Err(error) => {
            if !existing.is_empty() {
                progress.say(format!("replacing cluster {name}: {error}"));
            }
            // What was changed in the old cluster goes with it.
            recover::undo_dead(state, &Which::Clusters, gate.held(), progress).await?;
            if !existing.is_empty() {
                delete(&engine, state, &name, &creator(state), NEW).await?;
            }
            recover::undo_dead(state, &Which::InClusters, gate.held(), progress).await?;
            let (warm, client) = create(state, &engine, &plan, &name, progress).await?;
            (warm, client, true)
        }
    };
    let in_use = gate.share().await?;
    finish(state, engine, &plan, warm, client, in_use, created).await
}

async fn finish(
    state: &State,
    engine: Engine,
    plan: &Plan,
    warm: Warm,
    client: kube::Client,
    in_use: fs::File,
    created: bool,
) -> Result<Kind, BackendError> {
    let pools = check::pools_now(&client).await?;
    if let Some(pool) = plan.kubelets.keys().find(|pool| !pools.contains_key(*pool)) {
        return Err(BackendError::Answer {
            what: "the cluster's nodes".to_owned(),
            problem: format!("none is of the pool {pool}"),
        });
    }
    Ok(Kind {
        state: state.clone(),
        engine,
        client,
        kubeconfig: warm.target.kubeconfig.clone(),
        target: warm.target,
        pools,
        created,
        in_use,
    })
}

/// The warm cluster, if there is one of this configuration, its containers run, and its API server
/// answers; else why it cannot be used.
async fn usable(
    state: &State,
    engine: &Engine,
    plan: &Plan,
    name: &str,
) -> Result<(Warm, kube::Client), BackendError> {
    let no = |problem: &str| BackendError::Answer {
        what: format!("cluster {name}"),
        problem: problem.to_owned(),
    };
    let warm = Warm::read(state).ok_or_else(|| no("it was never made whole"))?;
    if warm.config != plan.hash() {
        return Err(no(
            "it was made of another configuration, or for another host memory",
        ));
    }
    let image = node_image();
    if warm.node_image != image {
        return Err(no("it was made of another node image"));
    }
    let containers = engine.cluster(name).await?;
    if let Some(container) = containers.iter().find(|container| !container.running) {
        return Err(no(&format!(
            "node container {} does not run",
            container.name
        )));
    }
    if nodes(&containers) != warm.nodes {
        return Err(no("some of its node containers are not there"));
    }
    if let Some(image) = image
        && let Some(id) = engine.image(&image).await
        && let name = engine::full_name(&image)
        && warm.nodes.values().any(|node| *node != id && *node != name)
    {
        return Err(no("its node image has changed since"));
    }
    let client = reach::reach(&warm.target).await?;
    let client = client.ok_or_else(|| no("another cluster answers in its place"))?;
    Ok((warm, client))
}

fn nodes(containers: &[Container]) -> BTreeMap<String, String> {
    containers
        .iter()
        .map(|found| (found.name.clone(), found.image.clone()))
        .collect()
}

fn node_image() -> Option<String> {
    env::var(NODE_IMAGE).ok().filter(|image| !image.is_empty())
}

fn creator(state: &State) -> PathBuf {
    state.cluster().join("create.child")
}

fn kubeconfig(state: &State) -> PathBuf {
    state.cluster().join("kubeconfig")
}

/// Makes the cluster. On failure all of it is deleted again.
async fn create(
    state: &State,
    engine: &Engine,
    plan: &Plan,
    name: &str,
    progress: &Progress,
) -> Result<(Warm, kube::Client), BackendError> {
    let journal = Journal::open(state, "cluster", None)?;
    let undo = Undo::DeleteCluster {
        cluster: name.to_owned(),
        creator: creator(state),
    };
    let entry = journal.record(undo)?;
    match make(state, engine, plan, name, progress).await {
        Ok((warm, client)) => {
            warm.write(state)?;
            journal.keep("crashbook down")?;
            drop(entry);
            Ok((warm, client))
        }
        Err(error) => {
            let (_, failed) = recover::undo(state, &journal, None, progress).await;
            for failure in failed {
                tracing::warn!("{failure}");
            }
            Err(error)
        }
    }
}

async fn make(
    state: &State,
    engine: &Engine,
    plan: &Plan,
    name: &str,
    progress: &Progress,
) -> Result<(Warm, kube::Client), BackendError> {
    progress.say(format!("creating cluster {name}"));
    let config = state.cluster().join("kind-config.json");
    fs::write(&config, &plan.text).map_err(BackendError::file(&config))?;
    let kubeconfig = kubeconfig(state);
    let image = node_image();
    let mut args = vec![
        "create".into(),
        "cluster".into(),
        "--name".into(),
        name.into(),
    ];
    args.extend(["--config".into(), config.into()]);
    args.extend(["--kubeconfig".into(), kubeconfig.clone().into_os_string()]);
    args.extend(["--wait".into(), "0s".into()]);
    if let Some(image) = &image {
        args.extend(["--image".into(), image.into()]);
    }
    let output = state.cluster().join("create.log");
    let command = format!("kind create cluster --name {name}");
    engine::held(
        &creator(state),
        &output,
        "kind",
        &args,
        &engine.env(),
        command,
    )
    .await?;
    progress.say(format!("cluster {name} is made: waiting for its nodes"));
    let context = format!("kind-{name}");
    let client = reach::connect(&kubeconfig, &context)
        .await?
        .ok_or_else(|| BackendError::Kubeconfig {
            path: kubeconfig.clone(),
            problem: "kind wrote none".to_owned(),
        })?;
    check::ready(&client, NEW).await?;
    check::settings(&client, plan, NEW).await?;
    check::clean(state, &client, SETTLED).await?;
    let warm = Warm {
        config: plan.hash(),
        node_image: image,
        nodes: nodes(&engine.cluster(name).await?),
        target: Target {
            kubeconfig,
            context,
            kind: Some(name.to_owned()),
            uid: reach::cluster_uid(&client).await?,
        },
        images: BTreeMap::new(),
    };
    Ok((warm, client))
}

/// Deletes the state folder's cluster, also half a one, once no run uses it any more, and undoes
/// what dead runs left besides. Says whether there was one.
pub async fn down(state: &State, progress: &Progress) -> Result<bool, BackendError> {
    let name = state.cluster_name();
    let waits = || progress.say(format!("waiting for the runs that use cluster {name}"));
    let lock = Lock::lifecycle(state)
        .acquire(Hold::Exclusive, waits)
        .await?;
    let engine = Engine::find().await?;
    let there = !engine.cluster(&name).await?.is_empty();
    let recovery = recover::undo_dead(state, &Which::Clusters, Some(&lock), progress).await?;
    if let Some(failure) = recovery.failed.into_iter().next() {
        return Err(failure.source);
    }
    // A cluster of this name without a journal is one that the folder forgot.
    delete(&engine, state, &name, &creator(state), NEW).await?;
    // What was kept in it is gone with it.
    recover::undo_dead(state, &Which::InClusters, Some(&lock), progress).await?;
    Ok(there)
}

/// Ends the `kind create` that may still be at work, and deletes the cluster and what the state
/// folder knows of it.
pub(crate) async fn delete(
    engine: &Engine,
    state: &State,
    cluster: &str,
    creator: &Path,
    within: Duration,
) -> Result<(), BackendError> {
    // One that a killed process began deletes by name: it must not meet the next cluster.
    let deleter = state.cluster().join("delete.child");
    child_gone(&deleter, within).await?;
    // Only kind itself is killed: a container that its children are making would else come to
    // light after everything was deleted. Most of them end when their node is gone.
    let mut at_work = child::kill(creator, true)
        .await
        .map_err(BackendError::file(creator))?;
    loop {
        if !engine.cluster(cluster).await?.is_empty() {
            let kubeconfig = kubeconfig(state);
            // A killed kind leaves the lock with which it guards the file.
            let _ = fs::remove_file(state.cluster().join("kubeconfig.lock"));
            let mut args = vec![
                "delete".into(),
                "cluster".into(),
                "--name".into(),
                cluster.into(),
            ];
            args.extend(["--kubeconfig".into(), kubeconfig.into_os_string()]);
            let output = state.cluster().join("delete.log");
            let command = format!("kind delete cluster --name {cluster}");
            engine::held(&deleter, &output, "kind", &args, &engine.env(), command).await?;
        }
        if !std::mem::take(&mut at_work) {
            break;
        }
        child_gone(creator, within).await?;
    }
    let known = fs::read_dir(state.cluster()).map_err(BackendError::file(&state.cluster()))?;
    for file in known.flatten() {
        fs::remove_file(file.path()).map_err(BackendError::file(&file.path()))?;
    }
    Ok(())
}

/// Waits until a child that was killed, and all that it started, is gone.
pub(crate) async fn child_gone(lock: &Path, within: Duration) -> Result<(), BackendError> {
    match timeout(within, child::gone(lock.to_owned())).await {
        Ok(result) => result.map_err(BackendError::file(lock)),
        Err(_) => Err(BackendError::Late {
            what: format!("the process that holds {} has not ended", lock.display()),
            seconds: within.as_secs(),
            last: String::new(),
        }),
    }
}

/// The configuration that [`up`] would give to kind on this host; where no engine tells how much
/// memory it has, on one with as much as the options say.
pub async fn print_config(options: &Options) -> Result<String, BackendError> {
    let memory = async { Engine::find().await?.memory().await };
    let memory = match (memory.await, options.host_memory) {
        (Err(_), Some(as_if)) => as_if,
        (memory, _) => memory?,
    };
    Ok(Plan::new(memory, options.host_memory.unwrap_or(memory))?.text)
}
