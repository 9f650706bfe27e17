use std::fs;

use anyhow::Context;
use clap::Args;

use super::{Exit, print, scenarios::Scenarios};
use crate::scenario::skeleton;

/// Writes the folder of a new scenario, to be filled in.
#[derive(Debug, Args)]
pub(super) struct New {
    /// Its name, in kebab-case: `missing-configmap`
    name: String,
    #[command(flatten)]
    scenarios: Scenarios,
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let files = match skeleton(&self.name) {
            Ok(files) => files,
            Err(invalid) => {
                super::complain(&invalid.into());
                return Ok(Exit::Usage);
            }
        };
        let parent = self.scenarios.folder();
        let folder = parent.join(&self.name);
        let cannot = || format!("cannot make the folder {}", folder.display());
        fs::create_dir_all(&parent).with_context(cannot)?;
        // Never over one that is there.
        fs::create_dir(&folder).with_context(cannot)?;
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        print(&format!(
            "{} is there: fill it in, `crashbook lint {}` says what is left\n",
            folder.display(),
            self.name
        ));
        Ok(Exit::Pass)
    }
}
