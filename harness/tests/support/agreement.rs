//! Whether the embedded cluster shows what kind shows: what the verdicts of the same scenario rest
//! on must be worded the same, but for names, addresses and amounts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crashbook::run::outcome::Run;
use crashbook_detector::verdict::Verdict;
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
        (format!(r"-{LETTERS}{{6,10}}-{LETTERS}{{5}}\b"), "-END"),
        (format!(r"-{LETTERS}{{5,10}}\b"), "-END"),
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

/// What a verdict rests on: the words, by the kind and the field that they were read from.
fn signals(verdict: &Verdict) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut signals: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for evidence in &verdict.evidence {
        let place = (evidence.object.kind.clone(), fold(&evidence.field));
        signals
            .entry(place)
            .or_default()
            .insert(fold(&evidence.quote));
    }
    signals
}

/// Where the two differ, one line each.
pub fn differences(kind: &Run, sim: &Run) -> Vec<String> {
    let mut differences = Vec::new();
    let key = |verdict: &Verdict| fold(&verdict.identity().to_string());
    for verdict in &kind.verdicts {
        let name = key(verdict);
        let Some(other) = sim.verdicts.iter().find(|other| key(other) == name) else {
            differences.push(format!("{name}: not on the embedded cluster"));
            continue;
        };
        let (here, there) = (signals(verdict), signals(other));
        let mut shared = 0;
        for (place, words) in &here {
            let Some(others) = there.get(place) else {
                continue;
            };
            shared += 1;
            if words.is_disjoint(others) {
                let (kind, field) = place;
                differences.push(format!(
                    "{name}: {kind} {field} is on kind {words:?}, on the embedded cluster {others:?}"
                ));
            }
        }
        if shared == 0 && !here.is_empty() {
            differences.push(format!(
                "{name}: rests on kind on {:?}, on the embedded cluster on {:?}",
                here.keys(),
                there.keys()
            ));
        }
    }
    differences
}
