//! The scenarios side by side: what `crashbook list` and `docs/scenarios.md` show.

use std::collections::BTreeMap;

use super::spec::{Sharing, Spec};
use super::{Catalogue, Scenario};

/// One scenario in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The phases of the classes that it expects.
    pub phase: String,
    /// The classes that it expects.
    pub class: String,
    /// What it needs of a cluster.
    pub needs: String,
    /// The failure in one line.
    pub title: String,
}

impl Scenario {
    /// The scenario in a few words.
    pub fn row(&self) -> Row {
        let classes = || self.classes();
        let mut phases: Vec<String> = classes().map(|class| class.phase().to_string()).collect();
        phases.dedup();
        let classes: Vec<&str> = classes().map(|class| class.name()).collect();
        let or_none = |words: String| {
            if words.is_empty() {
                "none".to_owned()
            } else {
                words
            }
        };
        Row {
            name: self.spec.name.clone(),
            phase: or_none(phases.join(", ")),
            class: or_none(classes.join(", ")),
            needs: needs(&self.spec).join(", "),
            title: self.spec.title.clone(),
        }
    }
}

/// What a scenario needs of a cluster, in words.
fn needs(spec: &Spec) -> Vec<String> {
    let needs = &spec.needs;
    let mut words = Vec::new();
    if needs.cluster == Sharing::Exclusive {
        words.push("the whole cluster".to_owned());
    }
    if let Some(pool) = &needs.node {
        words.push(format!("a {pool} node"));
    }
    if needs.workers > 1 {
        words.push(format!("{} workers", needs.workers));
    }
    if needs.network_policy {
        words.push("network policies".to_owned());
    }
    if needs.node_stats {
        words.push("node statistics".to_owned());
    }
    words.extend(spec.services.keys().map(|name| format!("{name} beside it")));
    words
}

const INTRODUCTION: &str = "# Scenarios

Each is a folder of [`scenarios/`](../scenarios): the fault, its proof, the verdict that a detector must give, the documented fix, and a README that teaches the case. This page is generated from them (`CRASHBOOK_UPDATE=1 cargo test -p crashbook --lib`). The seconds are those of a run on kind, from the baseline to the end, as `crashbook run --variants --seconds docs/seconds.json` wrote them down.
";

impl Catalogue {
    /// The recipes of the justfile, one for each scenario.
    pub fn recipes(&self) -> String {
        let mut recipes = String::new();
        for scenario in self.iter() {
            let (name, title) = (scenario.name(), &scenario.spec.title);
            recipes += &format!("\n# {title}.\n[group('scenarios')]\n{name}: (run \"{name}\")\n");
        }
        recipes
    }

    /// The page `docs/scenarios.md`, with how many seconds each was measured to take.
    pub fn page(&self, seconds: &BTreeMap<String, u64>) -> String {
        let mut page = INTRODUCTION.to_owned();
        let rows: Vec<Row> = self.iter().map(Scenario::row).collect();
        for phase in ["preparation", "initialization", "run"] {
            let mut rows = rows
                .iter()
                .filter(|row| row.phase.starts_with(phase))
                .peekable();
            if rows.peek().is_some() {
                page += &format!("\n## {}{}\n\n", phase[..1].to_uppercase(), &phase[1..]);
                page += &table(rows, seconds);
            }
        }
        let mut rest = rows.iter().filter(|row| row.phase == "none").peekable();
        if rest.peek().is_some() {
            page += "\n## Where nothing may be said\n\n";
            page += &table(rest, seconds);
        }
        page
    }
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>, seconds: &BTreeMap<String, u64>) -> String {
    let mut table = String::from(
        "| scenario | what happens | class | needs | seconds |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let Row {
            name,
            class,
            needs,
            title,
            ..
        } = row;
        let class = class.replace(", ", "`, `");
        let took = seconds.get(name).map_or(String::new(), u64::to_string);
        table += &format!(
            "| [{name}](../scenarios/{name}/README.md) | {title} | `{class}` | {needs} | {took} |\n"
        );
    }
    table
}
