use clap::Args;

use super::{
    Exit, print,
    scenarios::{self, Scenarios},
};
use crate::scenario::Problems;

/// Checks scenarios without a cluster.
#[derive(Debug, Args)]
pub(super) struct Lint {
    /// The scenarios, each with its variants; all of them if there is no name
    names: Vec<String>,
    #[command(flatten)]
    scenarios: Scenarios,
}

impl Lint {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(catalogue) = self.scenarios.load() else {
            return Ok(Exit::Invalid);
        };
        let chosen = match catalogue.find(&self.names) {
            Ok(chosen) => chosen,
            Err(unknown) => {
                super::complain(&unknown.into());
                return Ok(Exit::Usage);
            }
        };
        let mut problems = Problems::default();
        for scenario in &chosen {
            problems.take(scenario.lint());
            for variant in scenario.variants() {
                problems.take(variant.lint());
            }
        }
        if self.names.is_empty() {
            problems.take(catalogue.lint());
        }
        if !problems.0.is_empty() {
            scenarios::tell(&problems);
            return Ok(Exit::Invalid);
        }
        print(&match chosen[..] {
            [only] => format!("{} is sound\n", only.name()),
            _ => format!("{} scenarios are sound\n", chosen.len()),
        });
        Ok(Exit::Pass)
    }
}
