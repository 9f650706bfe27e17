//! `crashbook diagnose`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use crashbook_detector::Report;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::live::Live;
use super::{Format, complain, no_colour};
use crate::clock;
use crate::diagnose::text::{self, Colour, visible};
use crate::diagnose::{self, Error, PassedOver};

/// Names the causes of what fails in a recorded cluster state, or in the live cluster.
///
/// A live cluster is only read. Exit status: 0 when nothing was found, 1 when there are verdicts, 2
/// when the input cannot be read, or the cluster does not answer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  crashbook diagnose                            the cluster of the current kubeconfig
  crashbook diagnose --context prod -n shop     one namespace of another
  crashbook diagnose support-bundle.tar.gz      a recorded state
  kubectl get all,events -A -o json | crashbook diagnose -")]
pub(super) struct Diagnose {
    /// A folder, a file or a .tar.gz with the objects and logs of a cluster; `-` for standard
    /// input [default: the live cluster]
    #[arg(conflicts_with = "Live")]
    path: Option<PathBuf>,
    #[command(flatten)]
    live: Live,
    /// In what form the verdicts are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Diagnose {
    pub(super) fn run(self) -> ExitCode {
        let (report, now) = match self.report() {
            Ok(report) => report,
            Err(error) => {
                complain(&error);
                return ExitCode::from(2);
            }
        };
        match print(&report, now, self.format) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                complain(&anyhow::Error::new(error).context("the report cannot be written"));
                ExitCode::from(2)
            }
            _ => ExitCode::from(u8::from(!report.verdicts.is_empty())),
        }
    }

    /// What the detector says, and of which time.
    fn report(&self) -> anyhow::Result<(Report, Timestamp)> {
        let Some(path) = &self.path else {
            let report = Runtime::new()?.block_on(async {
                let collector = self.live.collect().await?;
                let report = collector.report().await;
                report.ok_or_else(|| anyhow::anyhow!("the detector has failed"))
            });
            return Ok((report?, clock::now()));
        };
        let input = diagnose::read(path, clock::now()).inspect_err(|error| {
            if let Error::Nothing { passed_over, .. } = error {
                tell(passed_over);
            }
        })?;
        tell(&input.passed_over);
        let now = input.now;
        Ok((diagnose::report(input), now))
    }
}

fn tell(passed_over: &[PassedOver]) {
    for PassedOver { file, because } in passed_over {
        eprintln!("passed over: {}: {}", visible(file), visible(because));
    }
}

fn print(report: &Report, now: Timestamp, format: Format) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut stdout, report)?;
            writeln!(stdout)?;
        }
        Format::Text => {
            let colour = Colour(stdout.is_terminal() && !no_colour());
            stdout.write_all(text::report(report, now, colour).as_bytes())?;
        }
    }
    stdout.flush()
}
