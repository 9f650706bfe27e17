use clap::Args;

use super::{Exit, print, scenarios::Scenarios};
use crate::scenario::{Row, Scenario};

/// Lists the scenarios.
#[derive(Debug, Args)]
pub(super) struct List {
    /// List their variants too
    #[arg(long)]
    variants: bool,
    #[command(flatten)]
    scenarios: Scenarios,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(catalogue) = self.scenarios.load() else {
            return Ok(Exit::Invalid);
        };
        let rows: Vec<Row> = match self.variants {
            true => catalogue.with_variants().map(Scenario::row).collect(),
            false => catalogue.iter().map(Scenario::row).collect(),
        };
        print(&table(&rows));
        Ok(Exit::Pass)
    }
}

/// The rows below a heading, in columns as wide as their words.
fn table(rows: &[Row]) -> String {
    let heading = ["SCENARIO", "PHASE", "CLASS", "NEEDS", "TITLE"].map(str::to_owned);
    let cells = rows.iter().cloned().map(|row| {
        let or_dash = |words: String| {
            if words.is_empty() {
                "-".to_owned()
            } else {
                words
            }
        };
        [
            row.name,
            row.phase,
            row.class,
            or_dash(row.needs),
            row.title,
        ]
    });
    let lines: Vec<[String; 5]> = std::iter::once(heading).chain(cells).collect();
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut table = String::new();
    for line in &lines {
        let cells: Vec<String> = std::iter::zip(line, widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        table += cells.join("  ").trim_end();
        table += "\n";
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_words() {
        let row = |name: &str, needs: &str| Row {
            name: name.into(),
            phase: "run".into(),
            class: "oom-killed".into(),
            needs: needs.into(),
            title: "A title".into(),
        };
        assert_eq!(
            table(&[row("a-long-name", ""), row("b", "a small node")]),
            "SCENARIO     PHASE  CLASS       NEEDS         TITLE\n\
             a-long-name  run    oom-killed  -             A title\n\
             b            run    oom-killed  a small node  A title\n"
        );
    }
}
