use std::time::Instant;

use clap::Args;

use super::{ClusterOptions, Exit, Global, interruptible};
use crate::{
    backend::{Backend, kind},
    progress::Progress,
};

/// Makes the kind cluster, or checks the warm one.
#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Print the configuration that kind is given, and do nothing
    #[arg(long)]
    print_config: bool,
}

impl Up {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let options = (&self.cluster).into();
        if self.print_config {
            let text = tokio::runtime::Runtime::new()?.block_on(kind::print_config(&options))?;
            super::print(&text);
            return Ok(Exit::Pass);
        }
        let state = global.state()?;
        let started = Instant::now();
        let progress = Progress::terminal();
        let up = interruptible(&state, async {
            Ok(kind::up(&state, &options, &progress).await?)
        })?;
        let Some(cluster) = up else {
            return Ok(Exit::Interrupted);
        };
        let what = if cluster.created() {
            "created"
        } else {
            "warm and healthy"
        };
        progress.say(format!(
            "{what}, in {:.1} s",
            started.elapsed().as_secs_f64()
        ));
        let kubeconfig = cluster.kubeconfig().map(|path| path.display().to_string());
        super::print(&format!(
            "export KUBECONFIG={}\n",
            kubeconfig.unwrap_or_default()
        ));
        Ok(Exit::Pass)
    }
}
