use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::scenarios::Scenarios;
use super::{ClusterOptions, Exit, Global, complain, interruptible};
use crate::backend::{Backend, BackendError, kind};
use crate::progress::Progress;
use crate::report::{self, Live};
use crate::run::outcome::{Outcome, Suite};
use crate::run::stop::causes;
use crate::run::suite;
use crate::scenario::Scenario;
use crate::state::State;

/// Injects failures and proves that the detector names each cause, in time.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The scenarios to run [default: all]
    names: Vec<String>,
    /// Where to run them
    #[arg(long, value_enum, default_value_t = On::Kind)]
    on: On,
    /// Leave the incidents standing, and say how to look at them and how to end them
    #[arg(long)]
    keep: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    scenarios: Scenarios,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// Where scenarios run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    /// A kind cluster: the warm one, or one that is made
    Kind,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// crashbook.dev/run/v1
    Json,
    /// JUnit XML
    Junit,
}

impl Run {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let scenarios = match self.scenarios() {
            Ok(scenarios) => scenarios,
            Err(exit) => return Ok(exit),
        };
        let state = global.state()?;
        let names: Vec<_> = scenarios.iter().map(|s| s.name().to_owned()).collect();
        let live = Arc::new(Live::new(&names));
        let suite = interruptible(&state, async {
            let suite = match self.backend(&state).await {
                Ok(backend) => {
                    let tell: suite::Tell = {
                        let live = live.clone();
                        Arc::new(move |name, stage, text| live.tell(name, stage, text))
                    };
                    suite::run(scenarios, backend, state.clone(), self.keep, tell).await
                }
                Err(error) => suite::failed(&names, "kind", &causes(&error)),
            };
            Ok(suite)
        })?;
        live.clear();
        let Some(suite) = suite else {
            return Ok(Exit::Interrupted);
        };
        super::print(&self.report(&suite)?);
        Ok(exit(suite.outcome))
    }

    /// The scenarios that are meant; what is wrong with them, or with their names, is told.
    fn scenarios(&self) -> Result<Vec<Scenario>, Exit> {
        let catalogue = self.scenarios.load().ok_or(Exit::Invalid)?;
        match catalogue.find(&self.names) {
            Ok(found) => Ok(found.into_iter().cloned().collect()),
            Err(unknown) => {
                complain(&unknown.into());
                Err(Exit::Usage)
            }
        }
    }

    async fn backend(&self, state: &State) -> Result<Arc<dyn Backend>, BackendError> {
        let progress = Progress::terminal();
        match self.on {
            On::Kind => Ok(Arc::new(
                kind::up(state, &(&self.cluster).into(), &progress).await?,
            )),
        }
    }

    fn report(&self, suite: &Suite) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Text => report::text(suite),
            Format::Json => report::json(suite)?,
            Format::Junit => report::junit(suite)?,
        })
    }
}

fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Pass | Outcome::Skip => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Invalid => Exit::Invalid,
        Outcome::Error => Exit::Error,
    }
}
