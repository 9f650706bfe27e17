use clap::Args;

use super::{Exit, Global, interruptible, tell};
use crate::{
    progress::Progress,
    recover::{self, Which},
};

/// Undoes what killed runs left behind. Runs that live, warm clusters and incidents that were kept
/// are left alone.
#[derive(Debug, Args)]
pub(super) struct Recover {
    /// End this incident too, which `run --keep` left standing
    #[arg(long, value_name = "RUN", conflicts_with = "all")]
    kept: Option<String>,
    /// End all that was kept: every incident, and the warm cluster
    #[arg(long)]
    all: bool,
}

impl Recover {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let state = global.state()?;
        let which = match self.kept {
            Some(run) => Which::Kept(run),
            None if self.all => Which::All,
            None => Which::Lost,
        };
        let progress = Progress::terminal();
        let recovery = interruptible(&state, async {
            Ok(recover::recover(&state, &which, &progress).await?)
        })?;
        let Some(recovery) = recovery else {
            return Ok(Exit::Interrupted);
        };
        tell(&recovery);
        for (run, how_to_end) in &recovery.kept {
            progress.say(format!("{run} is kept: `{how_to_end}` ends it"));
        }
        for run in &recovery.alive {
            progress.say(format!("{run} lives: left alone"));
        }
        if let Which::Kept(run) = &which
            && !recovery.undone.iter().any(|(undone, _)| undone == run)
            && recovery.failed.is_empty()
        {
            anyhow::bail!("nothing was kept by a run {run}: {}", names(&recovery.kept));
        }
        Ok(if recovery.failed.is_empty() {
            Exit::Pass
        } else {
            Exit::Error
        })
    }
}

fn names(kept: &[(String, String)]) -> String {
    if kept.is_empty() {
        return "nothing is kept".to_owned();
    }
    let names: Vec<_> = kept.iter().map(|(run, _)| run.as_str()).collect();
    format!("kept are {}", names.join(", "))
}
