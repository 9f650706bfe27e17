//! The report for people: the cause first, what it rests on as a short chain, then the fix.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crashbook_detector::verdict::{Confidence, Evidence};
use crashbook_detector::{Report, Verdict};
use jiff::Timestamp;

/// How many things that suffer, and pieces of evidence, are named of one verdict.
const MAX_NAMED: usize = 5;
/// How much of a quote is shown, in characters.
const MAX_QUOTE: usize = 240;

/// Whether the text is coloured. It says the same without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub bool);

impl Colour {
    fn paint(self, code: &'static str, text: impl fmt::Display) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    fn bold(self, text: impl fmt::Display) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: impl fmt::Display) -> String {
        self.paint("2", text)
    }
}

/// The text with whatever could steer a terminal or mislead a reader made visible: control
/// characters, and those that turn the direction of writing.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Writes a report: every verdict, then how many classes could not be decided.
pub fn report(report: &Report, now: Timestamp, colour: Colour) -> String {
    let mut text = String::new();
    for verdict in &report.verdicts {
        self::verdict(&mut text, verdict, now, colour);
        text.push('\n');
    }
    if report.verdicts.is_empty() {
        text.push_str("Nothing found.\n");
    }
    not_evaluable(&mut text, report, colour);
    text
}

/// Writes one verdict.
pub fn verdict(text: &mut String, verdict: &Verdict, now: Timestamp, colour: Colour) {
    let code = match verdict.confidence {
        Confidence::Certain => "1;31",
        Confidence::Likely => "1;33",
        Confidence::Possible => "1;36",
    };
    let class = colour.paint(code, verdict.class);
    let subject = verdict.subject.to_string();
    let subject = colour.bold(visible(&subject));
    let age = ago(verdict.since, now);
    line(
        text,
        format_args!(
            "{class}  {subject}  {}",
            colour.dim(format_args!("{}, {age}", verdict.confidence))
        ),
    );
    line(text, format_args!("  {}", visible(&verdict.summary)));
    if verdict.culprit.object != verdict.subject || verdict.culprit.field.is_some() {
        let culprit = verdict.culprit.object.to_string();
        let field = verdict.culprit.field.as_deref();
        let field = field.map_or(String::new(), |field| format!(", {}", visible(field)));
        line(
            text,
            format_args!("  {} {}{field}", colour.dim("culprit "), visible(&culprit)),
        );
    }
    if !verdict.affected.is_empty() {
        let named: Vec<String> = verdict
            .affected
            .iter()
            .take(MAX_NAMED)
            .map(|affected| visible(&affected.to_string()).into_owned())
            .collect();
        let more = match verdict.affected.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        line(
            text,
            format_args!("  {} {}{more}", colour.dim("affected"), named.join(", ")),
        );
    }
    let mut label = "evidence";
    for evidence in verdict.evidence.iter().take(MAX_NAMED) {
        line(
            text,
            format_args!(
                "  {} {}",
                colour.dim(label),
                self::evidence(evidence, now, colour)
            ),
        );
        label = "        ";
    }
    let mut label = "fix     ";
    for remedy in &verdict.remedy {
        line(
            text,
            format_args!("  {} {}", colour.dim(label), visible(&remedy.text)),
        );
        label = "        ";
        if let Some(command) = &remedy.command {
            line(
                text,
                format_args!("           {}", colour.paint("36", visible(command))),
            );
        }
    }
}

fn evidence(evidence: &Evidence, now: Timestamp, colour: Colour) -> String {
    let object = evidence.object.to_string();
    let mut quote: String = evidence.quote.chars().take(MAX_QUOTE).collect();
    if quote.len() < evidence.quote.len() {
        quote.push_str(" ...");
    }
    let age = evidence
        .at
        .map_or(String::new(), |at| format!(" ({})", ago(at, now)));
    format!(
        "{}, {}: {}{}",
        visible(&object),
        visible(&evidence.field),
        visible(&quote),
        colour.dim(age),
    )
}

fn not_evaluable(text: &mut String, report: &Report, colour: Colour) {
    if report.not_evaluable.is_empty() {
        return;
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for missing in &report.not_evaluable {
        match reasons
            .iter_mut()
            .find(|(because, _)| *because == missing.because)
        {
            Some((_, classes)) => classes.push(missing.class.name()),
            None => reasons.push((&missing.because, vec![missing.class.name()])),
        }
    }
    line(
        text,
        format_args!("{}", colour.dim("Could not be decided:")),
    );
    for (because, classes) in reasons {
        line(
            text,
            format_args!("  {} ({})", classes.join(", "), visible(because)),
        );
    }
}

fn line(text: &mut String, line: fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{line}");
}

/// How long before now a time lies, in the largest unit that says enough: `3 min ago`.
fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs();
    match seconds {
        ..-1 => format!("at {time}"),
        -1..=1 => "just now".to_owned(),
        2..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
