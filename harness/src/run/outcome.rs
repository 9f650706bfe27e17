//! What came of a run.

use std::fmt;
use std::path::PathBuf;

use crashbook_detector::verdict::Verdict;
use jiff::Timestamp;
use serde::Serialize;

use super::attribution::Stray;
use super::judge::Wrong;
use super::signals::Signal;

/// How a run ended. The later is the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The backend lacks what the scenario needs.
    Skip,
    /// The detector was right, and in time.
    Pass,
    /// The detector was wrong or late.
    Fail,
    /// The scenario is broken: its baseline, its symptom or its recovery never came.
    Invalid,
    /// The environment failed.
    Error,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Skip => "skip",
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Invalid => "invalid",
            Outcome::Error => "error",
        })
    }
}

/// How long things took, in milliseconds; null for what did not come about. Of several expected
/// verdicts the last to come, and the last to go, counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// From the beginning of the injection to the symptom.
    pub inject_to_symptom_ms: Option<i64>,
    /// From the symptom to the verdict; negative where the verdict came first.
    pub symptom_to_verdict_ms: Option<i64>,
    /// From the beginning of the injection to the verdict.
    pub inject_to_verdict_ms: Option<i64>,
    /// From the latest of what the verdict rests on to the verdict: the detector's own time.
    pub signal_to_verdict_ms: Option<i64>,
    /// From the beginning of the fix to the recovery.
    pub fix_to_recovered_ms: Option<i64>,
    /// From the recovery to the end of the verdict; negative where that came first.
    pub recovered_to_clear_ms: Option<i64>,
    /// How much of the detector's time went into fetching logs and numbers.
    pub fetch_ms: Option<i64>,
}

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The scenario is checked against the cluster, and gets what it claims.
    Preflight,
    /// The healthy state is made.
    Baseline,
    /// The fault is brought about.
    Inject,
    /// The fault is to show.
    Symptom,
    /// The detector is to name it.
    Verdict,
    /// The documented fix is made.
    Fix,
    /// It is to heal, and the verdict to go.
    Recovery,
    /// Everything is undone.
    Sweep,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Preflight => "preflight",
            Stage::Baseline => "baseline",
            Stage::Inject => "inject",
            Stage::Symptom => "symptom",
            Stage::Verdict => "verdict",
            Stage::Fix => "fix",
            Stage::Recovery => "recovery",
            Stage::Sweep => "sweep",
        })
    }
}

/// A stage that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Begun {
    /// The stage.
    pub stage: Stage,
    /// When.
    pub at: Timestamp,
}

/// An incident that was left standing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The kubeconfig that reaches the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// A command that looks at it.
    pub look: String,
    /// The command that ends it.
    pub end: String,
}

/// What came of one run of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The scenario's name.
    pub name: String,
    /// The backend.
    pub backend: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not pass, one line each.
    pub why: Vec<String>,
    /// What the detector did wrong.
    pub wrong: Vec<Wrong>,
    /// Every verdict of this run, in its last form, in the order in which they came.
    pub verdicts: Vec<Verdict>,
    /// How long things took.
    #[serde(flatten)]
    pub times: Times,
    /// The run's namespace, which bears the run's name.
    pub namespace: Option<String>,
    /// The stages, as they were begun.
    pub stages: Vec<Begun>,
    /// When it was over.
    pub ended: Timestamp,
    /// The incident, where it was left standing.
    pub kept: Option<Kept>,
    /// What could not be undone.
    pub left: Vec<String>,
    /// Where it did not pass: the scenario's last states, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
    /// What the cluster showed of the fault, for who compares clusters.
    #[serde(skip)]
    pub signals: Vec<Signal>,
}

impl Run {
    /// A run that is about to begin, as if it had passed.
    pub fn begin(name: &str, backend: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            backend: backend.to_owned(),
            outcome: Outcome::Pass,
            why: Vec::new(),
            wrong: Vec::new(),
            verdicts: Vec::new(),
            times: Times::default(),
            namespace: None,
            stages: vec![Begun {
                stage: Stage::Preflight,
                at: now,
            }],
            ended: now,
            kept: None,
            left: Vec::new(),
            story: None,
            signals: Vec::new(),
        }
    }

    /// Makes the outcome this one, unless it is worse already, and says why.
    pub fn end(&mut self, outcome: Outcome, why: impl Into<String>) {
        let is_skip = outcome == Outcome::Skip && self.outcome == Outcome::Pass;
        self.outcome = if is_skip {
            outcome
        } else {
            self.outcome.max(outcome)
        };
        self.why.push(why.into());
    }

    /// How long it took once it had what it needs for itself, in seconds; none where it never had.
    pub fn busy_seconds(&self) -> Option<u64> {
        let begun = self
            .stages
            .iter()
            .find(|begun| begun.stage == Stage::Baseline)?;
        u64::try_from(begun.at.duration_until(self.ended).as_secs()).ok()
    }

    /// How long it took in all, in milliseconds.
    pub fn took_ms(&self) -> i64 {
        let begun = self.stages.first().map_or(self.ended, |stage| stage.at);
        i64::try_from(begun.duration_until(self.ended).as_millis()).unwrap_or(i64::MAX)
    }
}

/// What came of many runs.
#[derive(Clone, Debug, Serialize)]
pub struct Suite {
    /// Always [`Suite::SCHEMA`].
    pub schema: String,
    /// The worst of the runs' outcomes, and of what is said beside them.
    pub outcome: Outcome,
    /// Why, where it is no run's doing.
    pub why: Vec<String>,
    /// The runs, in the order of the scenarios.
    pub scenarios: Vec<Run>,
    /// Verdicts that nobody owns.
    pub unattributed: Vec<Stray>,
    /// How long all of it took.
    pub took_ms: i64,
}

impl Suite {
    /// The name and version of the report's form.
    pub const SCHEMA: &str = "crashbook.dev/run/v1";

    /// Puts the runs together.
    pub fn new(
        scenarios: Vec<Run>,
        unattributed: Vec<Stray>,
        why: Vec<String>,
        took_ms: i64,
    ) -> Self {
        let worst = scenarios.iter().map(|run| run.outcome).max();
        let mut outcome = worst.unwrap_or(Outcome::Pass).max(Outcome::Pass);
        if !unattributed.is_empty() {
            outcome = outcome.max(Outcome::Fail);
        }
        if !why.is_empty() {
            outcome = Outcome::Error;
        }
        Self {
            schema: Self::SCHEMA.to_owned(),
            outcome,
            why,
            scenarios,
            unattributed,
            took_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_counts() {
        let check = |outcomes: &[Outcome], worst: Outcome| {
            let runs = outcomes.iter().map(|outcome| {
                let mut run = Run::begin("a", "kind", Timestamp::UNIX_EPOCH);
                run.end(*outcome, "because");
                assert_eq!(run.outcome, *outcome);
                run
            });
            let suite = Suite::new(runs.collect(), vec![], vec![], 0);
            assert_eq!(suite.outcome, worst, "{outcomes:?}");
        };
        use Outcome::{Error, Fail, Invalid, Pass, Skip};
        check(&[], Pass);
        check(&[Skip], Pass);
        check(&[Pass, Skip], Pass);
        check(&[Pass, Fail], Fail);
        check(&[Invalid, Fail, Pass], Invalid);
        check(&[Error, Invalid], Error);
    }

    #[test]
    fn what_is_said_first_is_not_made_better() {
        let mut run = Run::begin("a", "kind", Timestamp::UNIX_EPOCH);
        run.end(Outcome::Invalid, "one");
        run.end(Outcome::Fail, "two");
        assert_eq!(run.outcome, Outcome::Invalid);
        assert_eq!(run.why, ["one", "two"]);
    }
}
