//! Which cluster answers, and whether its nodes do.

use std::{path::Path, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{
    Api, Client, Config, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait,
};
use tokio::time::timeout;

use super::BackendError;
use crate::journal::Target;

/// How long a node may take to be Ready once its kubelet runs.
const READY: Duration = Duration::from_secs(60);

/// How long a cluster may take to say who it is.
const ANSWER: Duration = Duration::from_secs(10);

/// Reaches the cluster of a journal. None if it is no more: it does not exist, or another one has
/// its name.
pub(crate) async fn reach(target: &Target) -> Result<Option<Client>, BackendError> {
    let Some(client) = connect(&target.kubeconfig, &target.context).await? else {
        return Ok(None);
    };
    Ok((cluster_uid(&client).await? == target.uid).then_some(client))
}

/// A client by a kubeconfig; none where there is no such file.
pub(crate) async fn connect(path: &Path, context: &str) -> Result<Option<Client>, BackendError> {
    let wrong = |problem: String| BackendError::Kubeconfig {
        path: path.to_owned(),
        problem,
    };
    if !path.exists() {
        return Ok(None);
    }
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| wrong(error.to_string()))?;
    let options = KubeConfigOptions {
        context: Some(context.to_owned()),
        ..Default::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| wrong(format!("context {context}: {error}")))?;
    config.connect_timeout = Some(ANSWER);
    // An eviction that a budget forbids is answered with 429, for as long as one asks.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(client))
}

/// The uid of the Namespace `kube-system`, which tells one cluster from another.
pub(crate) async fn cluster_uid(client: &Client) -> Result<String, BackendError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let asked = timeout(ANSWER, api.get("kube-system")).await;
    let namespace = asked
        .map_err(|_| BackendError::Late {
            what: "the API server has not answered".to_owned(),
            seconds: ANSWER.as_secs(),
            last: String::new(),
        })?
        .map_err(BackendError::api("read Namespace kube-system"))?;
    Ok(namespace.uid().unwrap_or_default())
}

/// Whether a node is Ready, and bears no taint of a node that is not, or was not just now.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten();
    let ready = ready
        .filter(|condition| condition.type_ == "Ready")
        .any(|ready| ready.status == "True");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let gone = [
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    ];
    ready
        && !taints
            .into_iter()
            .flatten()
            .any(|taint| gone.contains(&taint.key.as_str()))
}

/// Waits until a node is Ready and no taint says otherwise.
pub(crate) async fn node_ready(client: &Client, node: &str) -> Result<(), BackendError> {
    let ready = |node: Option<&Node>| node.is_some_and(is_ready);
    let waited = wait::await_condition(Api::<Node>::all(client.clone()), node, ready);
    late(READY, format!("node {node} is not Ready"), waited)
        .await?
        .map(drop)
        .map_err(|error| BackendError::Answer {
            what: format!("watch node {node}"),
            problem: error.to_string(),
        })
}

/// Waits so long; what did not happen is told by `what`.
pub(crate) async fn late<T>(
    within: Duration,
    what: String,
    future: impl Future<Output = T>,
) -> Result<T, BackendError> {
    timeout(within, future)
        .await
        .map_err(|_| BackendError::Late {
            what,
            seconds: within.as_secs(),
            last: String::new(),
        })
}
