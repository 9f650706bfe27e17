//! Whether the embedded cluster shows what kind shows of the same scenario: the same reasons, states,
//! conditions and events, in the same order, and verdicts that rest on the same words, but for
//! names, addresses and amounts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::LazyLock;

use crashbook::run::outcome::{Run, Stage};
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

fn fold(text: &str) -> String {
    let fold = |text: String, (pattern, place): &(Regex, &str)| {
        pattern.replace_all(&text, *place).into_owned()
    };
    FOLDS.iter().fold(text.to_owned(), fold)
}

/// How much later one cluster may show what the other does, in milliseconds: what one shows so
/// shortly before its fault was mended, the other may come too late to show.
const LATE: i64 = 3000;

/// What a cluster showed of a fault, and what the verdicts on it rest on.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// When the fix began, in milliseconds after the injection.
    end: i64,
    /// In the order in which each was shown first.
    shown: Vec<Shown>,
    /// The verdicts' evidence, by verdict, kind and field.
    evidence: BTreeMap<(String, String), BTreeSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    /// When, in milliseconds after the injection.
    at: i64,
    part: String,
    words: String,
}

/// The lines that a record's two parts are told apart by.
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
                Some(("event", _)) => fold(&signal.words),
                _ => signal.words.clone(),
            },
        });
        let shown = shown.filter(|shown| known.insert((shown.part.clone(), shown.words.clone())));
        let mut evidence: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for verdict in &run.verdicts {
            let name = fold(&verdict.identity().to_string());
            for piece in &verdict.evidence {
                let place = format!("{} {}", piece.object.kind, fold(&piece.field));
                let words = evidence.entry((name.clone(), place)).or_default();
                words.insert(fold(&piece.quote).replace(['\n', '\t'], " "));
            }
        }
        Self {
            end,
            shown: shown.collect(),
            evidence,
        }
    }

    /// Where a scenario's record of kind is.
    pub fn path(scenario: &str) -> PathBuf {
        let name = format!("{}.txt", scenario.replace('/', "--"));
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agreement")).join(name)
    }

    fn first(&self, of: &Shown) -> Option<i64> {
        let same = |shown: &&Shown| shown.part == of.part && shown.words == of.words;
        self.shown.iter().find(same).map(|shown| shown.at)
    }

    /// Where the embedded cluster differs from kind, one line each.
    pub fn differences(&self, sim: &Self) -> Vec<String> {
        let mut differences = self.differently_shown(sim);
        differences.extend(self.differently_ordered(sim));
        differences.extend(self.differently_founded(sim));
        differences
    }

    fn differently_shown(&self, sim: &Self) -> Vec<String> {
        let until = self.end.min(sim.end) - LATE;
        let mut differences = Vec::new();
        for (here, there, only) in [(self, sim, "kind"), (sim, self, "the embedded cluster")] {
            for shown in here.shown.iter().filter(|shown| shown.at <= until) {
                if there.first(shown).is_none() {
                    let Shown { at, part, words } = shown;
                    differences.push(format!("only on {only}, after {at} ms: {part}: {words}"));
                }
            }
        }
        differences
    }

    fn differently_ordered(&self, sim: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (index, later) in self.shown.iter().enumerate() {
            for sooner in &self.shown[..index] {
                let (Some(one), Some(other)) = (sim.first(sooner), sim.first(later)) else {
                    continue;
                };
                if sooner.at + LATE < later.at && one > other + LATE {
                    differences.push(format!(
                        "{}: {} after {} ms comes on kind before {}: {} after {} ms; on the \
                         embedded cluster after {one} and {other} ms",
                        sooner.part, sooner.words, sooner.at, later.part, later.words, later.at,
                    ));
                }
            }
        }
        differences
    }

    /// A verdict may rest on more here than there, but not on other words of the same field, nor on
    /// nothing that is the same.
    fn differently_founded(&self, sim: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, words) in &self.evidence {
            let (verdict, field) = place;
            let shared = shared.entry(verdict).or_default();
            match sim.evidence.get(place) {
                Some(others) if words.is_disjoint(others) => differences.push(format!(
                    "{verdict}: {field} is on kind {words:?}, on the embedded cluster {others:?}"
                )),
                Some(_) => *shared += 1,
                None => {}
            }
        }
        let unfounded = shared.iter().filter(|(_, shared)| **shared == 0);
        differences.extend(unfounded.map(|(verdict, _)| {
            format!("{verdict}: rests on nothing that the embedded cluster shows")
        }));
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
    let mut record = Record {
        end: 0,
        shown: Vec::new(),
        evidence: BTreeMap::new(),
    };
    let mut is_over = false;
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        let mut next = || fields.next().map(str::to_owned);
        let (first, part, words) = (next()?, next()?, next()?);
        if part == END {
            (record.end, is_over) = (first.parse().ok()?, true);
        } else if is_over {
            record
                .evidence
                .entry((first, part))
                .or_default()
                .insert(words);
        } else {
            record.shown.push(Shown {
                at: first.parse().ok()?,
                part,
                words,
            });
        }
    }
    is_over.then_some(record)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Shown { at, part, words } in &self.shown {
            writeln!(f, "{at}\t{part}\t{words}")?;
        }
        writeln!(f, "{}\t{END}\t", self.end)?;
        for ((verdict, place), words) in &self.evidence {
            for words in words {
                writeln!(f, "{verdict}\t{place}\t{words}")?;
            }
        }
        Ok(())
    }
}
