use clap::Args;

use super::{Exit, Global, interruptible};
use crate::{backend::kind, progress::Progress};

/// Deletes the kind cluster.
#[derive(Debug, Args)]
pub(super) struct Down {}

impl Down {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let state = global.state()?;
        let progress = Progress::terminal();
        let down = interruptible(&state, async { Ok(kind::down(&state, &progress).await?) })?;
        let name = state.cluster_name();
        progress.say(match down {
            None => return Ok(Exit::Interrupted),
            Some(true) => format!("cluster {name} is deleted"),
            Some(false) => format!("there is no cluster {name}"),
        });
        Ok(Exit::Pass)
    }
}
