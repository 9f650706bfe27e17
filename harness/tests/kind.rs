//! Every scenario on a real kind cluster, as a test `kind::NAME`, a variant as
//! `kind::NAME::VARIANT`.
//!
//! All run at once, as far as their claims allow; where each runs in a process of its own, the
//! processes share the cluster. It is the warm one of the state folder, `CRASHBOOK_STATE_DIR` or
//! the usual one, and stays warm: `crashbook down` deletes it.
//!
//! Variants take as long again, and so are run on demand: `--include-ignored`. So are the trials
//! `agreement::NAME`, which compare what each shows there with what it shows on the embedded
//! cluster.
//!
//! Where no container engine or no kind is there, the tests are ignored and their kind says why;
//! with `CI=true` they fail instead.

#[path = "support/agreement.rs"]
mod agreement;
#[path = "support/kubectl.rs"]
mod kubectl;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use agreement::{Record, named};
use crashbook::backend::{Backend, kind};
use crashbook::progress::Progress;
use crashbook::report;
use crashbook::run::outcome::{Outcome, Run, Suite};
use crashbook::run::suite::{self, Session, Tell};
use crashbook::scenario::{Catalogue, Scenario};
use crashbook::state::State;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

/// Why a trial is not run unless it is asked for.
const ON_DEMAND: &str = "on demand";

/// What the trials of this process share, from the first one on.
struct Shared {
    runtime: Runtime,
    session: Mutex<Option<Arc<Session>>>,
    kubeconfig: PathBuf,
}

static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    let scenarios = match Catalogue::built_in() {
        Ok(scenarios) => scenarios,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    let is_ci = env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
    let lacking = match Runtime::new() {
        Ok(runtime) if !is_ci => runtime.block_on(kind::lacking()),
        _ => None,
    };
    let mut all: Vec<_> = scenarios.with_variants().cloned().collect();
    all.sort_by_key(suite::order);
    let mut trials = Vec::new();
    for scenario in &all {
        let run = scenario.clone();
        let trial = Trial::test(named("kind", scenario), move || passes(&run).map(drop));
        trials.push(match lacking {
            Some(lacking) => trial.with_kind(lacking).with_ignored_flag(true),
            None if scenario.name().contains('/') => {
                trial.with_kind(ON_DEMAND).with_ignored_flag(true)
            }
            None => trial,
        });
    }
    for scenario in all {
        let name = named("agreement", &scenario);
        let trial = Trial::test(name, move || agrees(&scenario, &passes(&scenario)?));
        let why = lacking.unwrap_or(ON_DEMAND);
        trials.push(trial.with_kind(why).with_ignored_flag(true));
    }
    let trial = Trial::test("agreement::kubectl", kubectl_agrees);
    let why = lacking.unwrap_or(ON_DEMAND);
    trials.push(trial.with_kind(why).with_ignored_flag(true));
    // The claims decide what really runs at once.
    args.test_threads.get_or_insert(trials.len().max(1));
    let conclusion = libtest_mimic::run(&args, trials);
    let is_sound = close();
    if is_sound {
        conclusion.exit_code()
    } else {
        ExitCode::FAILURE
    }
}

fn passes(scenario: &Scenario) -> Result<Run, Failed> {
    let shared = SHARED.get_or_init(open).as_ref().map_err(Failed::from)?;
    let session = shared.session.lock();
    let session = session.unwrap_or_else(PoisonError::into_inner).clone();
    let session = session.ok_or("the session is over")?;
    let tell: Tell = Arc::new(|_, _, _| ());
    let run = shared.runtime.block_on(session.run(scenario, &tell));
    match run.outcome {
        Outcome::Pass => Ok(run),
        _ => Err(story(run).into()),
    }
}

/// Whether the embedded cluster shows of this scenario what kind has shown. With
/// `CRASHBOOK_UPDATE=1`, what kind has shown is kept as the record that the embedded cluster is
/// compared with where there is no kind.
fn agrees(scenario: &Scenario, run: &Run) -> Result<(), Failed> {
    let record = Record::of(run);
    if env::var_os("CRASHBOOK_UPDATE").is_some() {
        fs::write(Record::path(scenario.name()), record.to_string())?;
    }
    let suite = agreement::on_embedded(scenario, 1)?;
    let mut runs = suite.scenarios.iter();
    runs.try_for_each(|sim| record.agrees(&Record::of(sim)))
}

/// Whether kubectl is answered as it was when that was recorded; with `CRASHBOOK_UPDATE=1`, records
/// it.
fn kubectl_agrees() -> Result<(), Failed> {
    if !kubectl::is_there() {
        return Err(
            "the answers are compared with those of kubectl v1.34, which is not there".into(),
        );
    }
    let shared = SHARED.get_or_init(open).as_ref().map_err(Failed::from)?;
    let answers = kubectl::answers(&shared.kubeconfig)?;
    if env::var_os("CRASHBOOK_UPDATE").is_some() {
        fs::write(kubectl::RECORD, &answers)?;
    }
    kubectl::agree(&answers)
}

fn open() -> Result<Shared, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let runtime = Runtime::new().map_err(|error| text(&error))?;
    let (session, kubeconfig) = runtime.block_on(async {
        let dir = env::var_os("CRASHBOOK_STATE_DIR").map(PathBuf::from);
        let state = State::open(dir.as_deref()).map_err(|error| text(&error))?;
        let cluster = kind::up(&state, &kind::Options::default(), &Progress::silent()).await;
        let cluster = cluster.map_err(|error| text(&error))?;
        let kubeconfig = cluster.kubeconfig().map(ToOwned::to_owned);
        let session = Session::open(Arc::new(cluster), state, false).await;
        let session = session.map_err(|stop| text(&stop))?;
        Ok::<_, String>((session, kubeconfig.unwrap_or_default()))
    })?;
    Ok(Shared {
        runtime,
        session: Mutex::new(Some(Arc::new(session))),
        kubeconfig,
    })
}

/// What a person needs to know of a run that did not pass.
fn story(run: Run) -> String {
    report::text(&Suite::new(vec![run], Vec::new(), Vec::new(), 0))
}

/// Looks for what no run owns, and for what is left behind; says whether there is nothing.
fn close() -> bool {
    let Some(Ok(shared)) = SHARED.get() else {
        return true;
    };
    let session = shared.session.lock();
    let session = session.unwrap_or_else(PoisonError::into_inner).take();
    let Some(session) = session.and_then(Arc::into_inner) else {
        return true;
    };
    let suite = shared.runtime.block_on(session.close(Vec::new()));
    if suite.outcome > Outcome::Pass {
        eprintln!("{}", report::text(&suite));
    }
    suite.outcome <= Outcome::Pass
}
