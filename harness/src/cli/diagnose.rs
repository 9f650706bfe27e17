//! `crashbook diagnose`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use crashbook_detector::Report;
use jiff::Timestamp;

use super::{Format, complain};
use crate::clock;
use crate::diagnose::text::{self, Colour, visible};
use crate::diagnose::{self, Error, PassedOver};

/// Names the causes of what fails in a recorded cluster state.
///
/// Exit status: 0 when nothing was found, 1 when there are verdicts, 2 when the input cannot be
/// read.
#[derive(Debug, Args)]
pub(super) struct Diagnose {
    /// A folder, a file or a .tar.gz with the objects and logs of a cluster; `-` for standard
    /// input.
    path: PathBuf,
    /// In what form the verdicts are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Diagnose {
    pub(super) fn run(self) -> ExitCode {
        let input = match diagnose::read(&self.path, clock::now()) {
            Ok(input) => input,
            Err(error) => {
                if let Error::Nothing { passed_over, .. } = &error {
                    tell(passed_over);
                }
                complain(&error.into());
                return ExitCode::from(2);
            }
        };
        tell(&input.passed_over);
        let now = input.now;
        let report = diagnose::report(input);
        match print(&report, now, self.format) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                complain(&anyhow::Error::new(error).context("the report cannot be written"));
                ExitCode::from(2)
            }
            _ => ExitCode::from(u8::from(!report.verdicts.is_empty())),
        }
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

/// Whether the user asked for no colour, see <https://no-color.org>.
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
