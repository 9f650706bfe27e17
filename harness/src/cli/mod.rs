//! The command line of crashbook. Results go to stdout, all else to stderr.

mod diagnose;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Injects every documented Kubernetes failure into a cluster and proves that a detector names the
/// cause, in time.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Diagnose(diagnose::Diagnose),
}

/// In what form a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Diagnose(command) => command.run(),
    }
}

/// Tells an error and what caused it, on stderr.
fn complain(error: &anyhow::Error) {
    let text = format!("{error:#}");
    eprintln!("error: {}", crate::diagnose::text::visible(&text));
}
