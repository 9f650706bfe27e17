//! `crashbook watch`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use crashbook_detector::Verdict;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::live::Live;
use super::{Format, complain, no_colour};
use crate::collect::Entry;
use crate::diagnose::text::{self, Colour, visible};

/// The schema of a line of JSON.
const SCHEMA: &str = "crashbook.dev/watch/v1";

/// Names the causes of what fails in the live cluster, as they come and go.
///
/// Read-only: nothing is ever written to the cluster. Ends with Ctrl-C, or when its reader has
/// gone away. Exit status: 2 when the cluster cannot be looked at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  crashbook watch                               the cluster of the current kubeconfig
  crashbook watch --context prod -n shop        one namespace of another
  crashbook watch --format json | jq .verdict   a line of JSON for each change")]
pub(super) struct Watch {
    #[command(flatten)]
    live: Live,
    /// In what form the changes are printed; for programs a line of JSON each.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What became of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Became {
    /// It stands from now on.
    Began,
    /// It stands, and says something else than before.
    Changed,
    /// It stands no longer.
    Ended,
}

/// One change, for programs.
#[derive(Debug, Serialize)]
struct Line<'a> {
    schema: &'static str,
    at: Timestamp,
    became: Became,
    verdict: &'a Verdict,
}

impl Watch {
    pub(super) fn run(self) -> ExitCode {
        let watched = Runtime::new()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(self.watch()));
        match watched {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                ExitCode::from(2)
            }
        }
    }

    async fn watch(self) -> anyhow::Result<()> {
        let collector = self.live.collect().await?;
        let mut timeline = collector.subscribe();
        let mut standing: Vec<Arc<Verdict>> = Vec::new();
        let mut read = 0;
        if timeline
            .borrow()
            .last()
            .is_none_or(|entry| entry.verdicts.is_empty())
        {
            eprintln!("nothing is found so far");
        }
        loop {
            let entries: Vec<Entry> = timeline.borrow_and_update()[read..].to_vec();
            read += entries.len();
            for entry in entries {
                let printed = changes(&standing, &entry.verdicts)
                    .into_iter()
                    .try_for_each(|(became, verdict)| self.print(became, verdict, entry.at));
                match printed {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    printed => printed?,
                }
                standing = entry.verdicts;
            }
            timeline.changed().await?;
        }
    }

    fn print(&self, became: Became, verdict: &Verdict, at: Timestamp) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.format == Format::Json {
            let line = Line {
                schema: SCHEMA,
                at,
                became,
                verdict,
            };
            serde_json::to_writer(&mut stdout, &line)?;
            writeln!(stdout)?;
            return stdout.flush();
        }
        let time = at.strftime("%H:%M:%SZ");
        let mut said = String::new();
        match became {
            Became::Began => {
                let colour = Colour(stdout.is_terminal() && !no_colour());
                text::verdict(&mut said, verdict, at, colour);
                said = format!("{time} {said}\n");
            }
            // The rest of what it says may change with every restart: that is for programs.
            Became::Changed => {}
            Became::Ended => {
                let subject = verdict.subject.to_string();
                said = format!("{time} over: {} {}\n\n", verdict.class, visible(&subject));
            }
        }
        stdout.write_all(said.as_bytes())?;
        stdout.flush()
    }
}

/// What lies between two moments: first what ended, then what began or changed.
fn changes<'a>(
    before: &'a [Arc<Verdict>],
    after: &'a [Arc<Verdict>],
) -> Vec<(Became, &'a Verdict)> {
    let within = |verdict: &Verdict, all: &'a [Arc<Verdict>]| {
        let identity = verdict.identity();
        all.iter().find(|other| other.identity() == identity)
    };
    let ended = before
        .iter()
        .filter(|verdict| within(verdict, after).is_none())
        .map(|verdict| (Became::Ended, &**verdict));
    let others = after
        .iter()
        .filter_map(|verdict| match within(verdict, before) {
            None => Some((Became::Began, &**verdict)),
            Some(old) if old != verdict => Some((Became::Changed, &**verdict)),
            Some(_) => None,
        });
    ended.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(class: &str, summary: &str) -> Arc<Verdict> {
        let pod = serde_json::json!({ "kind": "Pod", "namespace": "shop", "name": "api" });
        let mut culprit = pod.clone();
        culprit["field"] = serde_json::Value::Null;
        let verdict = serde_json::from_value(serde_json::json!({
            "class": class, "phase": "run", "subject": pod, "culprit": culprit, "affected": [],
            "detail": {}, "summary": summary, "evidence": [], "remedy": [],
            "confidence": "certain", "since": "2026-01-01T00:00:00Z",
        }));
        Arc::new(verdict.unwrap())
    }

    #[test]
    fn what_ends_is_told_before_what_begins() {
        let before = [verdict("oom-killed", "a"), verdict("exits-normally", "b")];
        let after = [verdict("oom-killed", "c"), verdict("port-in-use", "d")];
        let told: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|(became, verdict)| (became, verdict.summary.as_str()))
            .collect();
        let expected = [
            (Became::Ended, "b"),
            (Became::Changed, "c"),
            (Became::Began, "d"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_stays_as_it_is_is_not_told() {
        let standing = [verdict("oom-killed", "a")];
        assert!(changes(&standing, &standing).is_empty());
    }
}
