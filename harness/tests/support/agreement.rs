//! Whether the embedded cluster shows what kind shows of the same scenario: the same reasons, states,
//! conditions, exit codes and events, in the same order, and the same verdicts, but for names,
//! addresses and amounts.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use crashbook::run::embedded;
use crashbook::run::outcome::{Run, Stage, Suite};
use crashbook::run::suite::Tell;
use crashbook::scenario::Scenario;
use crashbook::state::State;
use libtest_mimic::Failed;
use regex::Regex;

/// What differs from one cluster, or one run, to the next, and what is put in its place.
static FOLDS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    const LETTERS: &str = "[bcdfghjklmnpqrstvwxz2456789]";
    let folds = [
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".to_owned(),
            "UID",
        ),
        (
            r"crashbook(-[0-9a-f]{8})?-(worker\d*|control-plane)\b".to_owned(),
            "NODE",
        ),
        (
            format!(r"crashbook-[a-z0-9-]+-{LETTERS}{{6}}\b"),
            "NAMESPACE",
        ),
        (r"\d+\.\d+\.\d+\.\d+".to_owned(), "ADDRESS"),
        // What the nodes' resolver says of a name that is not there depends on what it asks itself:
        // with a way out the answer is that there is no such host, without one there is none.
        (
            r"(lookup \S+ on ADDRESS:)\S+: (no such host|read udp .*: i/o timeout)".to_owned(),
            "${1}N: NO ANSWER",
        ),
        // Of a name that the kubelet words as NAME_NAMESPACE too.
        (
            format!(r"-{LETTERS}{{6,10}}-{LETTERS}{{5}}(_|\b)"),
            "-END$1",
        ),
        (format!(r"-{LETTERS}{{5,10}}(_|\b)"), "-END$1"),
        (r"\d{4}-\d\d-\d\d[T ][\d:.]+( UTC|Z)?".to_owned(), "TIME"),
        (r"\d+(\.\d+)?(ms|m|s|Ki|Mi|Gi|%)?\b".to_owned(), "N"),
    ];
    let fold = |(pattern, place): (String, _)| (Regex::new(&pattern).expect("a pattern"), place);
    folds.into_iter().map(fold).collect()
});

/// A text without what differs from one cluster, or one run, to the next.
pub fn fold(text: &str) -> String {
    let fold = |text: String, (pattern, place): &(Regex, &str)| {
        pattern.replace_all(&text, *place).into_owned()
    };
    FOLDS.iter().fold(text.to_owned(), fold)
}

/// What the trial of a scenario is called.
pub fn named(prefix: &str, scenario: &Scenario) -> String {
    format!("{prefix}::{}", scenario.name().replace('/', "::"))
}

/// What comes of a scenario on an embedded cluster.
///
/// # Errors
///
/// When there can be no folder for its state.
pub fn on_embedded(scenario: &Scenario, seed: u64) -> Result<Suite, Failed> {
    let dir = tempfile::tempdir()?;
    let state = State::open(Some(dir.path()))?;
    let tell: Tell = Arc::new(|_, _, _| ());
    Ok(embedded::one(scenario, seed, &state, &tell))
}

/// How much later one cluster may show what the other does, in milliseconds: what one shows so
/// shortly before its fault was mended, the other may come too late to show.
const LATE: i64 = 3000;

/// What kind shows in some runs and not in others, and the embedded cluster never: a part of it, and
/// its words.
static RACES: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let races = [
        // The first probe comes before the program listens, or after the pod's network is gone.
        (
            "event Unhealthy",
            "^Readiness probe failed: .*(connection refused|is unreachable|EOF)$",
        ),
        // The last one comes after its container has exited, and before the kubelet knows of it.
        (
            "event Unhealthy",
            "^Readiness probe errored .* failed to exec in container: (container is in \
             CONTAINER_EXITED state|failed to load task: no running task found: .*)$",
        ),
    ];
    let race = |(part, words)| (part, Regex::new(words).expect("a pattern"));
    races.into_iter().map(race).collect()
});

/// What a cluster showed of a fault, and what was said of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// When the fix began, in milliseconds after the injection.
    end: i64,
    /// In the order in which each was shown first.
    shown: Vec<Shown>,
    /// The verdicts.
    verdicts: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    /// When, in milliseconds after the injection; none where it was there before.
    at: Option<i64>,
    part: String,
    words: String,
}

/// The line that a record's two parts are told apart by.
const END: &str = "the fix begins";

impl Record {
    /// Of a run that went to its end.
    pub fn of(run: &Run) -> Self {
        let begun = |stage| run.stages.iter().find(|begun| begun.stage == stage);
        let (from, to) = (begun(Stage::Inject), begun(Stage::Fix));
        let end = from.zip(to).map_or(0, |(from, to)| {
            let took = from.at.duration_until(to.at).as_millis();
            i64::try_from(took).unwrap_or(i64::MAX)
        });
        let mut known = BTreeSet::new();
        let shown = run.signals.iter().map(|signal| Shown {
            at: signal.at_ms,
            part: format!("{} {}", fold(&signal.object), signal.part),
            // Exit codes and reasons are the same to the letter.
            words: match signal.part.split_once(' ') {
                Some(("event", _)) => fold(&signal.words).replace(['\n', '\t'], " "),
                _ => signal.words.clone(),
            },
        });
        let shown = shown.filter(|shown| known.insert((shown.part.clone(), shown.words.clone())));
        let verdicts = run
            .verdicts
            .iter()
            .map(|verdict| fold(&verdict.identity().to_string()));
        Self {
            end,
            shown: shown.collect(),
            verdicts: verdicts.collect(),
        }
    }

    /// Where a scenario's record of kind is.
    pub fn path(scenario: &str) -> PathBuf {
        let name = format!("{}.txt", scenario.replace('/', "--"));
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agreement")).join(name)
    }

    fn first(&self, of: &Shown) -> Option<&Shown> {
        let same = |shown: &&Shown| shown.part == of.part && shown.words == of.words;
        self.shown.iter().find(same)
    }

    /// Whether the embedded cluster shows the same as this record of kind.
    ///
    /// # Errors
    ///
    /// Where it differs, one line each.
    pub fn agrees(&self, sim: &Self) -> Result<(), Failed> {
        match self.differences(sim).as_slice() {
            [] => Ok(()),
            some => Err(format!(
                "the embedded cluster disagrees with kind:\n{}",
                some.join("\n")
            )
            .into()),
        }
    }

    fn differences(&self, sim: &Self) -> Vec<String> {
        let mut differences = self.differently_shown(sim);
        differences.extend(self.differently_ordered(sim));
        if self.verdicts != sim.verdicts {
            let (kind, sim) = (&self.verdicts, &sim.verdicts);
            differences.push(format!(
                "said on kind {kind:?}, on the embedded cluster {sim:?}"
            ));
        }
        differences
    }

    fn differently_shown(&self, sim: &Self) -> Vec<String> {
        let until = self.end.min(sim.end) - LATE;
        let mut differences = Vec::new();
        for (here, there, only) in [(self, sim, "kind"), (sim, self, "the embedded cluster")] {
            for shown in &here.shown {
                let Shown {
                    at: Some(at),
                    part,
                    words,
                } = shown
                else {
                    continue;
                };
                let is_race = || {
                    let mut races = RACES.iter();
                    races.any(|(of, race)| part.ends_with(of) && race.is_match(words))
                };
                if *at <= until && there.first(shown).is_none() && !is_race() {
                    differences.push(format!("only on {only}, after {at} ms: {part}: {words}"));
                }
            }
        }
        differences
    }

    fn differently_ordered(&self, sim: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let at = |shown: &Shown| Some((shown.at?, sim.first(shown)?.at?));
        for (index, later) in self.shown.iter().enumerate() {
            let Some((later_here, later_there)) = at(later) else {
                continue;
            };
            for sooner in &self.shown[..index] {
                let Some((here, there)) = at(sooner) else {
                    continue;
                };
                if here + LATE < later_here && there > later_there + LATE {
                    differences.push(format!(
                        "{}: {} comes on kind before {}: {} ({here} and {later_here} ms), on the \
                         embedded cluster after it ({there} and {later_there} ms)",
                        sooner.part, sooner.words, later.part, later.words,
                    ));
                }
            }
        }
        differences
    }
}

impl FromStr for Record {
    type Err = &'static str;

    /// Reads what `to_string` wrote.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or("this is no record")
    }
}

fn parse(text: &str) -> Option<Record> {
    let mut lines = text.lines();
    let (mut shown, mut end) = (Vec::new(), None);
    for line in lines.by_ref() {
        let mut fields = line.splitn(3, '\t');
        let mut next = || fields.next().map(str::to_owned);
        let (at, part, words) = (next()?, next()?, next()?);
        let at = if at == "before" {
            None
        } else {
            Some(at.parse().ok()?)
        };
        if part == END {
            end = at;
            break;
        }
        shown.push(Shown { at, part, words });
    }
    Some(Record {
        end: end?,
        shown,
        verdicts: lines.map(str::to_owned).collect(),
    })
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Shown { at, part, words } in &self.shown {
            let at = at.map_or("before".to_owned(), |at| at.to_string());
            writeln!(f, "{at}\t{part}\t{words}")?;
        }
        writeln!(f, "{}\t{END}\t", self.end)?;
        for verdict in &self.verdicts {
            writeln!(f, "{verdict}")?;
        }
        Ok(())
    }
}
