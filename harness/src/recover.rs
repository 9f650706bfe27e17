//! Undoes what runs did, from their journals: a run's own sweep, and the recovery of those that
//! were killed.

use std::{fs, path::Path, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{
    Api, Client, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
        PropagationPolicy,
    },
    core::{GroupVersionKind, TypeMeta},
    discovery,
    runtime::wait::{self, conditions},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    backend::{
        Backend, BackendError,
        kind::{self, Engine},
        reach::{self, late},
    },
    child,
    claims::Lock,
    journal::{self, Entry, Journal, RUN_LABEL, Reference, Target, Undo},
    progress::Progress,
    state::State,
};

/// How long an object may take to go: a pod's usual grace period is 30 s, and a namespace ends
/// when all of its objects have.
const GONE: Duration = Duration::from_secs(120);

/// How long the taint of a node that others change meanwhile may take to go.
const REMOVED: Duration = Duration::from_secs(60);

/// How long what a killed program has started may take to end by itself.
const CHILD: Duration = Duration::from_secs(120);

/// What a recovery did.
#[derive(Debug, Default)]
pub struct Recovery {
    /// What was undone: the run, and the change.
    pub undone: Vec<(String, Undo)>,
    /// What could not be undone.
    pub failed: Vec<Failure>,
    /// The runs whose changes stay because they were kept, and the command that ends each.
    pub kept: Vec<(String, String)>,
    /// The runs that live.
    pub alive: Vec<String>,
}

/// A change that could not be undone.
#[derive(Debug, thiserror::Error)]
#[error("{run}: cannot {undo}: {source}")]
pub struct Failure {
    /// The run that made it.
    pub run: String,
    /// How it should have been undone.
    pub undo: Undo,
    /// Why it could not.
    pub source: BackendError,
}

/// Which of the dead runs' changes to undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those that nobody kept.
    Lost,
    /// Those, and what this run kept.
    Kept(String),
    /// All, also warm clusters.
    All,
    /// The making of kind clusters alone, kept or not.
    Clusters,
    /// Those that nobody kept, and what was kept in kind clusters.
    InClusters,
}

impl Which {
    fn wants(&self, journal: &Journal) -> bool {
        let lost = journal.kept().is_none();
        match self {
            Self::Lost => lost,
            Self::Kept(run) => lost || *run == journal.run(),
            Self::All => true,
            Self::Clusters => journal
                .pending()
                .iter()
                .any(|(_, undo)| matches!(undo, Undo::DeleteCluster { .. })),
            Self::InClusters => {
                lost || journal.target().is_some_and(|target| target.kind.is_some())
            }
        }
    }
}

/// Undoes what dead runs left. Where a kind cluster does not answer any more, it is deleted: what
/// was changed in it is gone with it.
pub async fn recover(
    state: &State,
    which: &Which,
    progress: &Progress,
) -> Result<Recovery, BackendError> {
    let mut recovery = undo_dead(state, which, None, progress).await?;
    let broken: Vec<_> = recovery
        .failed
        .iter()
        .filter(|failure| is_lost(&failure.source))
        .collect();
    if !broken.is_empty() {
        let lost: Vec<_> = broken.iter().map(|failure| failure.run.clone()).collect();
        let clusters = journal::read_all(state);
        let of_ours = clusters.iter().any(|found| {
            lost.contains(&found.record.header.run)
                && found
                    .record
                    .header
                    .target
                    .as_ref()
                    .is_some_and(|target| target.kind.is_some())
        });
        if of_ours {
            progress.say(format!(
                "cluster {} does not answer: deleting it",
                state.cluster_name()
            ));
            kind::down(state, progress).await?;
            let more = undo_dead(state, which, None, progress).await?;
            recovery.failed = more.failed;
            recovery.undone.extend(more.undone);
        }
    }
    Ok(recovery)
}

/// Whether the failure is that of a cluster that cannot be reached, rather than of one object.
fn is_lost(error: &BackendError) -> bool {
    match error {
        BackendError::Kubeconfig { .. } | BackendError::Late { .. } => true,
        BackendError::Api { source, .. } => !matches!(**source, kube::Error::Api(_)),
        BackendError::Command { said, .. } => said.contains("is not running"),
        _ => false,
    }
}

/// Undoes what dead runs left. `lifecycle` is the lock on the cluster's life, where the caller
/// holds it already: clusters are deleted under it alone.
pub(crate) async fn undo_dead(
    state: &State,
    which: &Which,
    lifecycle: Option<&fs::File>,
    progress: &Progress,
) -> Result<Recovery, BackendError> {
    let mut recovery = Recovery::default();
    let mut own = None;
    for path in journal::paths(state)? {
        if lifecycle.is_none() && own.is_none() && makes_a_cluster(&path, which) {
            let waits = || progress.say("waiting for the runs that use the cluster");
            own = Some(
                Lock::lifecycle(state)
                    .acquire(crate::claims::Hold::Exclusive, waits)
                    .await?,
            );
        }
        let Some(journal) = Journal::adopt(state, &path)? else {
            if let Some(name) = path.file_stem() {
                recovery.alive.push(name.to_string_lossy().into_owned());
            }
            continue;
        };
        if !which.wants(&journal) {
            if let Some(how) = journal.kept() {
                recovery.kept.push((journal.run(), how));
            }
            continue;
        }
        let (undone, failed) = undo(state, &journal, None, progress).await;
        recovery
            .undone
            .extend(undone.into_iter().map(|undo| (journal.run(), undo)));
        recovery.failed.extend(failed);
    }
    Ok(recovery)
}

/// Whether a cluster will be deleted for this journal.
fn makes_a_cluster(path: &Path, which: &Which) -> bool {
    fs::read_to_string(path).is_ok_and(|text| {
        text.contains(r#""undo":"delete-cluster""#)
            && (*which == Which::All || !text.contains(r#"{"kept":"#))
    })
}

/// Undoes all that is pending in a journal, the latest first; gives what was undone and what could
/// not be. One failure does not keep the others from being undone. `backend` is the run's own, where
/// it undoes itself what it did: a cluster without a kubeconfig is reached by it alone.
pub async fn undo(
    state: &State,
    journal: &Journal,
    backend: Option<&dyn Backend>,
    progress: &Progress,
) -> (Vec<Undo>, Vec<Failure>) {
    let run = journal.run();
    let backend = backend.filter(|backend| backend.kubeconfig().is_none());
    let undoing = Undoing {
        state,
        run: &run,
        target: journal.target(),
        backend,
        engine: OnceCell::new(),
        client: OnceCell::new_with(backend.map(|backend| Some(backend.client()))),
    };
    let (mut undone, mut failed) = (Vec::new(), Vec::new());
    let mut end = |entry: Entry, undo: Undo, result: Result<(), BackendError>| match result
        .and_then(|()| Ok(entry.done()?))
    {
        Ok(()) => undone.push(undo),
        Err(source) => failed.push(Failure {
            run: run.clone(),
            undo,
            source,
        }),
    };
    // An object outside the namespace can be held by one within, as a volume is by its claim, so
    // all are asked to go before one is waited for.
    let mut leaving = Vec::new();
    for (entry, undo) in journal.pending() {
        progress.say(format!("{run}: {undo}"));
        let result = match &undo {
            Undo::DeleteObject { object } => match undoing.begin_to_delete(object).await {
                Ok(Some(object)) => {
                    leaving.push((entry, undo, object));
                    continue;
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
            undo => undoing.undo(undo).await,
        };
        end(entry, undo, result);
    }
    for (entry, undo, (api, name, uid)) in leaving {
        let result = gone(api, &name, &uid, &undo.to_string()).await;
        end(entry, undo, result);
    }
    (undone, failed)
}

struct Undoing<'a> {
    state: &'a State,
    run: &'a str,
    target: Option<Target>,
    backend: Option<&'a dyn Backend>,
    engine: OnceCell<Engine>,
    client: OnceCell<Option<Client>>,
}

impl Undoing<'_> {
    async fn engine(&self) -> Result<&Engine, BackendError> {
        self.engine.get_or_try_init(Engine::find).await
    }

    /// The run's cluster; none where it is no more.
    async fn client(&self) -> Result<Option<&Client>, BackendError> {
        let client = self.client.get_or_try_init(|| async {
            let Some(target) = &self.target else {
                return Ok(None);
            };
            if let Some(cluster) = &target.kind
                && self.engine().await?.cluster(cluster).await?.is_empty()
            {
                return Ok(None);
            }
            reach::reach(target).await
        });
        Ok(client.await?.as_ref())
    }

    /// The engine, where this node's container exists and is of the run's cluster.
    async fn node(&self, node: &str) -> Result<Option<&Engine>, BackendError> {
        let Some(cluster) = self
            .target
            .as_ref()
            .and_then(|target| target.kind.as_deref())
        else {
            return Ok(None);
        };
        let engine = self.engine().await?;
        let there = engine
            .cluster(cluster)
            .await?
            .iter()
            .any(|container| container.name == node);
        Ok((there && self.client().await?.is_some()).then_some(engine))
    }

    async fn undo(&self, undo: &Undo) -> Result<(), BackendError> {
        let undone = self.backend.and_then(|backend| backend.undo(undo));
        if let Some(undone) = undone {
            return undone.await;
        }
        match undo {
            Undo::DeleteCluster { cluster, creator } => {
                kind::delete(self.engine().await?, self.state, cluster, creator, CHILD).await
            }
            Undo::EndChild { lock, .. } => {
                child::kill(lock, false)
                    .await
                    .map_err(BackendError::file(lock))?;
                kind::child_gone(lock, CHILD).await
            }
            Undo::RemovePath { path } => remove(path).map_err(BackendError::file(path)),
            Undo::RemoveContainer { container } => {
                let engine = self.engine().await?;
                engine
                    .ask(&["rm", "--force", "--volumes", container])
                    .await
                    .map(drop)
                    .or_else(|error| match &error {
                        BackendError::Command { said, .. } if kind::is_gone(said) => Ok(()),
                        _ => Err(error),
                    })
            }
            Undo::ForgetRegistry { node, registry } => {
                let Some(engine) = self.node(node).await? else {
                    return Ok(());
                };
                kind::forget_registry(engine, node, registry).await
            }
            Undo::StopUnit { node, unit } => {
                let Some(engine) = self.node(node).await? else {
                    return Ok(());
                };
                kind::stop_unit(engine, node, unit).await
            }
            Undo::RemoveFill { node, path } => {
                let Some(engine) = self.node(node).await? else {
                    return Ok(());
                };
                engine.on_node(node, &["rm", "-rf", path]).await.map(drop)
            }
            Undo::StartUnit { node, unit } => {
                let Some(engine) = self.node(node).await? else {
                    return Ok(());
                };
                kind::start_unit(engine, node, unit).await?;
                self.node_ready(node).await
            }
            Undo::RestoreKubelet { node, flags } => {
                let Some(engine) = self.node(node).await? else {
                    return Ok(());
                };
                kind::set_flags(engine, node, flags).await?;
                self.node_ready(node).await
            }
            Undo::DeleteNamespace { namespace } => self.delete_namespace(namespace).await,
            Undo::DeleteObject { object } => match self.begin_to_delete(object).await? {
                Some((api, name, uid)) => gone(api, &name, &uid, &undo.to_string()).await,
                None => Ok(()),
            },
            Undo::RestoreObject { object } => self.restore(object).await,
            Undo::Uncordon { node } => {
                let Some(client) = self.client().await? else {
                    return Ok(());
                };
                let patch = Patch::Merge(json!({ "spec": { "unschedulable": null } }));
                let api: Api<Node> = Api::all(client.clone());
                match api.patch(node, &PatchParams::default(), &patch).await {
                    Ok(_) => Ok(()),
                    Err(error) if is(&error, 404) => Ok(()),
                    Err(error) => Err(BackendError::api(format!("uncordon node {node}"))(error)),
                }
            }
            Undo::RemoveTaint { node, key, effect } => self.remove_taint(node, key, effect).await,
        }
    }

    async fn node_ready(&self, node: &str) -> Result<(), BackendError> {
        match self.client().await? {
            Some(client) => reach::node_ready(client, node).await,
            None => Ok(()),
        }
    }

    async fn delete_namespace(&self, name: &str) -> Result<(), BackendError> {
        let Some(client) = self.client().await? else {
            return Ok(());
        };
        let api: Api<Namespace> = Api::all(client.clone());
        let what = || format!("delete Namespace {name}");
        let found = api.get_opt(name).await.map_err(BackendError::api(what()))?;
        match found {
            Some(found)
                if found
                    .labels()
                    .get(RUN_LABEL)
                    .is_some_and(|run| run == self.run) =>
            {
                let uid = found.uid().unwrap_or_default();
                delete(&api, name, &uid)
                    .await
                    .map_err(BackendError::api(what()))?;
                gone(api, name, &uid, &what()).await
            }
            _ => Ok(()),
        }
    }

    /// Asks an object to go. Gives where it is, its name and its uid; none if it is gone, or is
    /// not the run's.
    async fn begin_to_delete(
        &self,
        object: &Reference,
    ) -> Result<Option<(Api<DynamicObject>, String, String)>, BackendError> {
        let Some(client) = self.client().await? else {
            return Ok(None);
        };
        let namespace = object.namespace.as_deref();
        let Some(api) = dynamic(client, &object.api_version, &object.kind, namespace).await? else {
            return Ok(None);
        };
        let what = || format!("delete {object}");
        let found = api
            .get_opt(&object.name)
            .await
            .map_err(BackendError::api(what()))?;
        let Some(found) = found else { return Ok(None) };
        let uid = found.uid().unwrap_or_default();
        let ours = match &object.uid {
            Some(known) => *known == uid,
            None => found
                .labels()
                .get(RUN_LABEL)
                .is_some_and(|run| run == self.run),
        };
        if !ours {
            return Ok(None);
        }
        delete(&api, &object.name, &uid)
            .await
            .map_err(BackendError::api(what()))?;
        Ok(Some((api, object.name.clone(), uid)))
    }

    async fn restore(&self, object: &Value) -> Result<(), BackendError> {
        let Some(client) = self.client().await? else {
            return Ok(());
        };
        let malformed = |error: serde_json::Error| BackendError::Answer {
            what: "an object in the journal".to_owned(),
            problem: error.to_string(),
        };
        let before: DynamicObject = serde_json::from_value(object.clone()).map_err(malformed)?;
        let TypeMeta { api_version, kind } = before.types.clone().unwrap_or_default();
        let name = before.name_any();
        let namespace = before.namespace();
        let Some(api) = dynamic(client, &api_version, &kind, namespace.as_deref()).await? else {
            return Ok(());
        };
        let what = || format!("restore {kind} {name}");
        let restored = async {
            loop {
                let mut wanted = before.clone();
                let meta = &mut wanted.metadata;
                (
                    meta.managed_fields,
                    meta.creation_timestamp,
                    meta.generation,
                ) = (None, None, None);
                (meta.uid, meta.resource_version) = (None, None);
                let result = match api.get_opt(&name).await? {
                    Some(now) => {
                        (meta.uid, meta.resource_version) = (now.uid(), now.resource_version());
                        api.replace(&name, &PostParams::default(), &wanted).await
                    }
                    None => api.create(&PostParams::default(), &wanted).await,
                };
                match result {
                    // Someone else wrote, created or deleted it between our two requests.
                    Err(error) if is(&error, 409) => {}
                    result => return result.map(drop),
                }
            }
        };
        late(
            GONE,
            format!("{what} did not succeed", what = what()),
            restored,
        )
        .await?
        .map_err(BackendError::api(what()))
    }

    async fn remove_taint(&self, node: &str, key: &str, effect: &str) -> Result<(), BackendError> {
        let Some(client) = self.client().await? else {
            return Ok(());
        };
        let api: Api<Node> = Api::all(client.clone());
        let removed = async {
            loop {
                let Some(mut found) = api.get_opt(node).await? else {
                    return Ok(());
                };
                let Some(taints) = found.spec.as_mut().and_then(|spec| spec.taints.as_mut()) else {
                    return Ok(());
                };
                let before = taints.len();
                taints.retain(|taint| taint.key != key || taint.effect != effect);
                if taints.len() == before {
                    return Ok(());
                }
                match api.replace(node, &PostParams::default(), &found).await {
                    Err(error) if is(&error, 409) => {} // Its kubelet reported in between.
                    result => return result.map(drop),
                }
            }
        };
        let what = format!("remove taint {key} from node {node}");
        late(REMOVED, format!("{what} did not succeed"), removed)
            .await?
            .map_err(BackendError::api(what))
    }
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// The API of a kind; none where the cluster does not know the kind, so that no object of it can
/// be there.
async fn dynamic(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Result<Option<Api<DynamicObject>>, BackendError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let resource: ApiResource = match discovery::pinned_kind(client, &gvk).await {
        Ok((resource, _)) => resource,
        Err(error) if is(&error, 404) => return Ok(None),
        Err(kube::Error::Discovery(kube::error::DiscoveryError::MissingKind(_))) => {
            return Ok(None);
        }
        Err(error) => return Err(BackendError::api(format!("look for kind {kind}"))(error)),
    };
    Ok(Some(match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }))
}

async fn delete<K>(api: &Api<K>, name: &str, uid: &str) -> kube::Result<()>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..Default::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        // Gone already, or another object has the name by now.
        Err(error) if is(&error, 404) || is(&error, 409) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn gone<K>(api: Api<K>, name: &str, uid: &str, what: &str) -> Result<(), BackendError>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let waited = wait::await_condition(api, name, conditions::is_deleted(uid));
    late(GONE, format!("{what}: it is still there"), waited)
        .await?
        .map(drop)
        .map_err(|error| BackendError::Answer {
            what: what.to_owned(),
            problem: error.to_string(),
        })
}

fn remove(path: &Path) -> std::io::Result<()> {
    let result = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
