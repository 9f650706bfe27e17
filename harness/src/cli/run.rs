use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::scenarios::Scenarios;
use super::{ClusterOptions, Exit, Global, complain, interruptible};
use crate::backend::{Backend, BackendError, context, kind};
use crate::progress::Progress;
use crate::report::{self, Live};
use crate::run::outcome::{Outcome, Suite};
use crate::run::stop::causes;
use crate::run::{embedded, suite};
use crate::scenario::Scenario;
use crate::state::State;

/// Injects failures and proves that the detector names each cause, in time.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The scenarios to run, a variant as SCENARIO/VARIANT [default: all but variants]
    names: Vec<String>,
    /// Run their variants too: the same failures with other names and other workloads
    #[arg(long)]
    variants: bool,
    /// Where to run them
    #[arg(long, value_enum, default_value_t = On::Sim)]
    on: On,
    /// What the embedded cluster's names, uids and addresses follow from: the same gives the same
    /// report
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Run them on the existing cluster of this context of the kubeconfig, as far as they need no
    /// access to nodes
    #[arg(
        long,
        value_name = "NAME",
        requires = "allow_cluster",
        conflicts_with = "on"
    )]
    context: Option<String>,
    /// Break things in the cluster of that context
    #[arg(long, requires = "context")]
    allow_cluster: bool,
    /// The cluster of that context keeps NetworkPolicies, even where that cannot be seen
    #[arg(long, requires = "context")]
    network_policy: bool,
    /// Leave the incidents standing, and say how to look at them and how to end them
    #[arg(long)]
    keep: bool,
    /// Write into this file how many seconds each scenario that passed took, beside those that are
    /// there: what docs/scenarios.md shows
    #[arg(long, value_name = "FILE")]
    seconds: Option<PathBuf>,
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
    /// An embedded cluster for each, in this process and in virtual time
    Sim,
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
        if self.keep && self.on() == "sim" {
            complain(&anyhow::anyhow!(
                "the embedded cluster ends with the command, so nothing can be kept: \
                 `crashbook serve --scenario NAME` leaves an incident standing for as long as it runs"
            ));
            return Ok(Exit::Usage);
        }
        let state = global.state()?;
        let suite = match self.on() {
            "sim" => self.embedded(&scenarios, &state),
            _ => self.on_a_cluster(scenarios, &state)?,
        };
        let Some(suite) = suite else {
            return Ok(Exit::Interrupted);
        };
        super::print(&self.report(&suite)?);
        if let Some(path) = &self.seconds {
            note_seconds(path, &suite)?;
        }
        Ok(exit(suite.outcome))
    }

    /// Runs them on embedded clusters, and says so.
    fn embedded(&self, scenarios: &[Scenario], state: &State) -> Option<Suite> {
        let names: Vec<_> = scenarios.iter().map(|s| s.name().to_owned()).collect();
        eprintln!(
            "on the embedded cluster, in virtual time; on a real one: `crashbook run{} --on kind`",
            self.names
                .iter()
                .map(|name| format!(" {name}"))
                .collect::<String>()
        );
        let (live, tell) = live(&names);
        let suite = embedded::run(scenarios, self.seed, state, &tell);
        live.clear();
        Some(suite)
    }

    /// Runs them on one cluster, side by side; none if it was interrupted.
    fn on_a_cluster(
        &self,
        scenarios: Vec<Scenario>,
        state: &State,
    ) -> anyhow::Result<Option<Suite>> {
        let names: Vec<_> = scenarios.iter().map(|s| s.name().to_owned()).collect();
        let (live, tell) = live(&names);
        let suite = interruptible(state, async {
            let suite = match self.backend(state).await {
                Ok(backend) => suite::run(scenarios, backend, state.clone(), self.keep, tell).await,
                Err(error) => suite::failed(&names, self.on(), &causes(&error)),
            };
            Ok(suite)
        })?;
        live.clear();
        Ok(suite)
    }

    /// The scenarios that are meant; what is wrong with them, or with their names, is told.
    fn scenarios(&self) -> Result<Vec<Scenario>, Exit> {
        let catalogue = self.scenarios.load().ok_or(Exit::Invalid)?;
        let found = catalogue.find(&self.names).map_err(|unknown| {
            complain(&unknown.into());
            Exit::Usage
        })?;
        let mut chosen = Vec::new();
        for scenario in found {
            chosen.push(scenario.clone());
            if self.variants {
                chosen.extend(scenario.variants().iter().cloned());
            }
        }
        Ok(chosen)
    }

    /// The backend's name.
    fn on(&self) -> &'static str {
        match (&self.context, self.on) {
            (Some(_), _) => "context",
            (None, On::Sim) => "sim",
            (None, On::Kind) => "kind",
        }
    }

    async fn backend(&self, state: &State) -> Result<Arc<dyn Backend>, BackendError> {
        if let Some(context) = &self.context {
            let options = context::Options {
                context: context.clone(),
                allow_cluster: self.allow_cluster,
                network_policy: self.network_policy,
            };
            return Ok(Arc::new(context::Context::open(state, &options).await?));
        }
        let progress = Progress::terminal();
        let cluster = kind::up(state, &(&self.cluster).into(), &progress).await?;
        Ok(Arc::new(cluster))
    }

    fn report(&self, suite: &Suite) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Text => report::text(suite),
            Format::Json => report::json(suite)?,
            Format::Junit => report::junit(suite)?,
        })
    }
}

/// Writes how long those that passed took into a file of such figures.
fn note_seconds(path: &Path, suite: &Suite) -> anyhow::Result<()> {
    let mut seconds = match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{}: expected names with seconds", path.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let passed = suite
        .scenarios
        .iter()
        .filter(|run| run.outcome == Outcome::Pass);
    seconds.extend(passed.filter_map(|run| Some((run.name.clone(), run.busy_seconds()?))));
    let text = format!("{:#}\n", serde_json::to_value(&seconds)?);
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Tells on the terminal how the runs of these scenarios get on.
fn live(names: &[String]) -> (Arc<Live>, suite::Tell) {
    let live = Arc::new(Live::new(names));
    let tell = live.clone();
    (
        live,
        Arc::new(move |name, stage, text| tell.tell(name, stage, text)),
    )
}

fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Pass | Outcome::Skip => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Invalid => Exit::Invalid,
        Outcome::Error => Exit::Error,
    }
}
