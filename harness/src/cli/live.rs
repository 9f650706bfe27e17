//! The live cluster of the user's kubeconfig, which `diagnose` and `watch` look at.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use tokio::time::timeout;

use crate::collect::{self, Collector, NOT_SERVED};
use crate::diagnose::text::visible;
use crate::progress::Progress;

/// How long the API server may take to answer at all.
const ANSWER: Duration = Duration::from_secs(10);
/// How long everything may take to be listed, and logs to be fetched.
const SETTLED: Duration = Duration::from_secs(30);

/// Which cluster is looked at, and how much of it.
#[derive(Debug, Args)]
pub(super) struct Live {
    /// Look at the cluster of this context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Look at the objects of this namespace alone, besides those of the whole cluster
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Ask the kubelets for numbers, through the API server: what tells throttled CPU, and who
    /// uses up a node
    #[arg(long)]
    node_stats: bool,
}

impl Live {
    /// Begins to look, and waits until everything that may be seen has been. What may not is told
    /// on stderr. Nothing is ever written to the cluster.
    ///
    /// # Errors
    ///
    /// When there is no such cluster, or it does not answer.
    pub(super) async fn collect(&self) -> anyhow::Result<Collector> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        // Without a context that is asked for, a service account of a pod will do.
        let config = match &self.context {
            Some(_) => Config::from_kubeconfig(&options).await.map_err(Into::into),
            None => Config::infer().await.map_err(anyhow::Error::from),
        };
        let config = config.context("no cluster to look at (is KUBECONFIG right?)")?;
        let url = config.cluster_url.clone();
        let client = Client::try_from(config)?;
        let progress = Progress::terminal();
        progress.say(format!("asking {url}"));
        let version = timeout(ANSWER, client.apiserver_version()).await;
        let version = version
            .map_err(|_| anyhow::anyhow!("no answer in {} s", ANSWER.as_secs()))
            .and_then(|version| Ok(version?))
            .with_context(|| format!("the cluster at {url} does not answer"))?;
        progress.say(format!(
            "looking at Kubernetes {} at {url}",
            version.git_version
        ));
        let collector = collect::start(
            client,
            collect::Options {
                namespace: self.namespace.clone(),
                node_stats: self.node_stats,
            },
        );
        if let Err(late) = collector.settled(&[], SETTLED).await {
            eprintln!(
                "after {} s {}",
                SETTLED.as_secs(),
                visible(&late.to_string())
            );
        }
        if let Some(blind) = collector.blind().await {
            // What the cluster does not have is no loss.
            let kinds = blind.kinds.into_iter();
            for (kind, because) in kinds.filter(|(_, because)| because != NOT_SERVED) {
                eprintln!("not seen: {kind}: {}", visible(&because));
            }
        }
        Ok(collector)
    }
}
