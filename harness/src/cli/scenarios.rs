//! Where the scenarios come from, for every command that reads them.

use std::path::PathBuf;

use clap::Args;

use crate::{
    diagnose::text::visible,
    scenario::{Catalogue, Problems},
};

/// Where the scenarios come from.
#[derive(Clone, Debug, Args)]
pub(super) struct Scenarios {
    /// Read the scenarios from this folder [default: the folder `scenarios` here, else the ones
    /// built in]
    #[arg(long, value_name = "DIR", env = "CRASHBOOK_SCENARIOS")]
    scenarios: Option<PathBuf>,
}

impl Scenarios {
    /// Reads them all. Mistakes are told on stderr, and nothing is given then.
    pub(super) fn load(&self) -> Option<Catalogue> {
        Catalogue::open(self.scenarios.as_deref())
            .inspect_err(tell)
            .ok()
    }

    /// The folder to write a new scenario into.
    pub(super) fn folder(self) -> PathBuf {
        self.scenarios.unwrap_or_else(|| "scenarios".into())
    }
}

/// Tells mistakes in scenarios, on stderr.
pub(super) fn tell(problems: &Problems) {
    for line in problems.to_string().lines() {
        eprintln!("{}", visible(line));
    }
}
