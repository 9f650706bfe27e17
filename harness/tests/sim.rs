//! Every scenario on an embedded cluster, as a test `sim::NAME`: each on a cluster, a runtime and a
//! clock of its own, without a container engine.

use std::process::ExitCode;
use std::sync::Arc;

use crashbook::report;
use crashbook::run::embedded;
use crashbook::run::outcome::Outcome;
use crashbook::run::suite::Tell;
use crashbook::scenario::{Catalogue, Scenario};
use crashbook::state::State;
use libtest_mimic::{Arguments, Failed, Trial};

/// Scenarios that do not pass yet, and what stands against it: they are ignored, with this as their
/// kind.
const NOT_YET: &[(&str, &str)] = &[
    ("cpu-limit", "what a CGI script computes takes no time"),
    (
        "name-service-down",
        "another verdict stands until the first client fails",
    ),
    (
        "node-out-of-memory",
        "what a kubelet reserves cannot be changed",
    ),
];

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let scenarios = match Catalogue::built_in() {
        Ok(scenarios) => scenarios,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    let trials = scenarios.iter().cloned().map(|scenario| {
        let name = format!("sim::{}", scenario.name());
        let not_yet = NOT_YET.iter().find(|(name, _)| *name == scenario.name());
        let trial = Trial::test(name, move || trial(&scenario));
        match not_yet {
            Some((_, why)) => trial.with_kind(*why).with_ignored_flag(true),
            None => trial,
        }
    });
    libtest_mimic::run(&args, trials.collect()).exit_code()
}

fn trial(scenario: &Scenario) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let state = State::open(Some(dir.path()))?;
    let tell: Tell = Arc::new(|_, _, _| ());
    let suite = embedded::one(scenario, 1, &state, &tell);
    match suite.outcome {
        Outcome::Pass
            if suite
                .scenarios
                .iter()
                .all(|run| run.outcome == Outcome::Pass) =>
        {
            Ok(())
        }
        _ => Err(report::text(&suite).into()),
    }
}
