use std::fmt::Write;

use crate::run::outcome::{Outcome, Run, Suite};

/// The report for a person: a line for each run, and below it all that is wrong.
pub fn text(suite: &Suite) -> String {
    let mut text = String::new();
    let width = suite
        .scenarios
        .iter()
        .map(|run| run.name.len())
        .max()
        .unwrap_or_default();
    for run in &suite.scenarios {
        run_lines(&mut text, run, width);
    }
    for stray in &suite.unattributed {
        let verdict = &stray.verdict;
        let _ = writeln!(
            text,
            "unattributed: {}: {}",
            verdict.identity(),
            verdict.summary
        );
    }
    for why in &suite.why {
        let _ = writeln!(text, "error: {why}");
    }
    let _ = writeln!(text, "{}", sum(suite));
    text
}

/// How many runs ended in which way, in one line.
fn sum(suite: &Suite) -> String {
    let outcomes = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::Invalid,
        Outcome::Error,
        Outcome::Skip,
    ];
    let counted = outcomes.iter().filter_map(|outcome| {
        let count = suite
            .scenarios
            .iter()
            .filter(|run| run.outcome == *outcome)
            .count();
        (count > 0).then(|| format!("{count} {outcome}"))
    });
    let counted: Vec<_> = counted.collect();
    let seconds = seconds(suite.took_ms);
    if counted.is_empty() {
        return format!("nothing was run, in {seconds}");
    }
    format!("{} in {seconds}", counted.join(", "))
}

fn run_lines(text: &mut String, run: &Run, width: usize) {
    let _ = write!(
        text,
        "{:<7} {:<width$}  {}",
        run.outcome,
        run.name,
        seconds(run.took_ms())
    );
    if let Some(verdict) = run
        .verdicts
        .first()
        .filter(|_| run.outcome == Outcome::Pass)
    {
        let _ = write!(text, "  {}", verdict.class);
    }
    let times = &run.times;
    let parts = [
        ("symptom after", times.inject_to_symptom_ms),
        ("verdict after", times.inject_to_verdict_ms),
        ("of its signal", times.signal_to_verdict_ms),
        ("recovered after", times.fix_to_recovered_ms),
        ("clear after", times.recovered_to_clear_ms),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter_map(|(what, millis)| Some(format!("{what} {} ms", (*millis)?)))
        .collect();
    if !parts.is_empty() {
        let _ = write!(text, "  ({})", parts.join(", "));
    }
    text.push('\n');
    for why in &run.why {
        indent(text, why);
    }
    if let Some(kept) = &run.kept {
        indent(text, &format!("kept: look at it by `{}`", kept.look));
        indent(text, &format!("      end it by `{}`", kept.end));
    }
    if let Some(story) = run.story.as_ref().filter(|_| run.outcome > Outcome::Pass) {
        indent(text, story);
    }
}

fn indent(text: &mut String, lines: &str) {
    for line in lines.lines() {
        let _ = writeln!(text, "        {line}");
    }
}

fn seconds(millis: i64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
