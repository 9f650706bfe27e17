//! Every scenario on an embedded cluster, as a test `sim::NAME`: each on a cluster, a runtime and a
//! clock of its own, without a container engine. What it shows of the fault is compared with what
//! kind showed, as it is recorded in `tests/agreement`.

#[path = "support/agreement.rs"]
mod agreement;
#[path = "support/kubectl.rs"]
mod kubectl;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use agreement::{Record, named};
use crashbook::report;
use crashbook::run::embedded::Incident;
use crashbook::run::outcome::{Outcome, Run};
use crashbook::scenario::{Catalogue, Scenario};
use crashbook::state::State;
use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{ApiGroup, Discovery, verbs};
use libtest_mimic::{Arguments, Failed, Trial};

/// Scenarios that do not show all that kind shows, and why: `agreement::NAME` compares them, on
/// demand. docs/embedded-cluster.md tells more.
const DIFFERING: &[(&str, &str)] = &[
    (
        "cpu-limit",
        "when a throttled program answers is a matter of turns",
    ),
    (
        "loud-but-healthy",
        "a Job runs for no time that could be seen",
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
    let trials = scenarios.with_variants().cloned().map(|scenario| {
        let name = named("sim", &scenario);
        let differs = DIFFERING.iter().any(|(name, _)| *name == scenario.name());
        let trial = move || match differs {
            true => passes(&scenario).map(drop),
            false => agrees(&scenario),
        };
        Trial::test(name, trial)
    });
    let mut trials: Vec<_> = trials.collect();
    // Each twice: all of them would take as long as all other trials together.
    for scenario in scenarios.with_variants().step_by(5) {
        let name = named("same_bytes", scenario);
        let scenario = scenario.clone();
        trials.push(Trial::test(name, move || is_the_same_again(&scenario)));
    }
    for scenario in scenarios.iter() {
        let name = named("stands", scenario);
        let scenario = scenario.clone();
        trials.push(Trial::test(name, move || stands(&scenario)));
    }
    for scenario in scenarios.iter() {
        let Some((_, why)) = DIFFERING.iter().find(|(name, _)| *name == scenario.name()) else {
            continue;
        };
        let name = named("agreement", scenario);
        let scenario = scenario.clone();
        let trial = Trial::test(name, move || agrees(&scenario));
        trials.push(trial.with_kind(*why).with_ignored_flag(true));
    }
    let trial = Trial::test("agreement::kubectl", kubectl_agrees);
    trials.push(match kubectl::is_there() {
        true => trial,
        false => trial.with_kind("no kubectl v1.34").with_ignored_flag(true),
    });
    libtest_mimic::run(&args, trials).exit_code()
}

fn passes(scenario: &Scenario) -> Result<Run, Failed> {
    let mut suite = agreement::on_embedded(scenario, 1)?;
    match suite.scenarios.pop() {
        Some(run) if suite.outcome == Outcome::Pass && run.outcome == Outcome::Pass => Ok(run),
        run => {
            suite.scenarios.extend(run);
            Err(report::text(&suite).into())
        }
    }
}

/// Whether the same seed gives the same bytes, whatever comes of it.
fn is_the_same_again(scenario: &Scenario) -> Result<(), Failed> {
    let told =
        || -> Result<String, Failed> { Ok(report::json(&agreement::on_embedded(scenario, 7)?)?) };
    let (first, second) = (told()?, told()?);
    let differing = first.lines().zip(second.lines()).find(|(a, b)| a != b);
    match differing {
        None if first == second => Ok(()),
        None => Err("one report is longer than the other".into()),
        Some((a, b)) => Err(format!("the same seed told once\n{a}\nand once\n{b}").into()),
    }
}

/// Whether a cluster in which its fault stands can be looked at, as `crashbook serve` lets one: what it
/// serves is discovered, and all of it is listed.
fn stands(scenario: &Scenario) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let state = State::open(Some(dir.path()))?;
    let epoch = crashbook_sim::Config::default().epoch;
    let (incident, _) = Incident::stand_since(Some(scenario), 1, &state, epoch)?;
    let suite = incident.suite.as_ref().ok_or("no scenario was run")?;
    let run = suite.scenarios.first().ok_or("no scenario was run")?;
    if run.outcome != Outcome::Pass || run.kept.is_none() {
        return Err(report::text(suite).into());
    }
    let namespace = run.namespace.clone().unwrap_or_default();
    let kinds = incident.run(1.0, async |cluster| -> Result<BTreeSet<String>, Failed> {
        let client = kube::Client::new(cluster.router(), "default");
        let discovery = Discovery::new(client.clone()).run().await?;
        let mut of_it = BTreeSet::new();
        for (resource, capabilities) in discovery.groups().flat_map(ApiGroup::recommended_resources)
        {
            if !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let listed = all.list(&ListParams::default()).await?;
            let mut own = listed
                .items
                .iter()
                .filter_map(|one| one.metadata.namespace.as_deref());
            if own.any(|one| one == namespace) {
                of_it.insert(resource.kind);
            }
        }
        Ok(of_it)
    })?;
    match kinds.contains("ServiceAccount") && kinds.len() > 1 {
        true => Ok(()),
        false => Err(format!("of the incident there are only {kinds:?}").into()),
    }
}

/// Whether it passes, and shows of the fault what kind showed, where that is recorded: variants are
/// not.
fn agrees(scenario: &Scenario) -> Result<(), Failed> {
    let run = passes(scenario)?;
    let path = Record::path(scenario.name());
    if !path.exists() {
        let name = scenario.name();
        return match name.contains('/') {
            true => Ok(()),
            false => Err(format!(
                "{name} passes, and what kind shows of it is not recorded: \
                 CRASHBOOK_UPDATE=1 cargo test --test kind -- --include-ignored agreement::{name}"
            )
            .into()),
        };
    }
    let record: Record = fs::read_to_string(path)?.parse()?;
    record.agrees(&Record::of(&run))
}

/// Whether kubectl is answered as on kind.
fn kubectl_agrees() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let serve = Command::new(env!("CARGO_BIN_EXE_crashbook"))
        .args(["serve", "--speed", "4", "--state-dir"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut serve = Served(serve);
    let said = serve.0.stdout.take().map(BufReader::new);
    let mut lines = said
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(Result::ok);
    let kubeconfig =
        lines.find_map(|line| line.strip_prefix("export KUBECONFIG=").map(PathBuf::from));
    kubectl::agree(&kubectl::answers(&kubeconfig.ok_or("nothing is served")?)?)
}

/// A program that ends when this is dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
