//! The command line: one file a command.
//!
//! Results go to stdout, what is logged and the progress to stderr.

mod diagnose;
mod down;
mod explain;
mod lint;
mod list;
mod live;
mod new;
mod recover;
mod run;
mod scenarios;
mod serve;
mod up;
mod watch;

use std::{
    io::IsTerminal,
    path::PathBuf,
    process::{self, ExitCode},
    time::Duration,
};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use crashbook_detector::kubernetes::quantity::{NotAQuantity, Quantity};
use tokio::{runtime::Runtime, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    journal,
    progress::Progress,
    recover::{Recovery, Which},
    state::State,
};

/// Injects every documented Kubernetes failure into a cluster and proves that a detector names
/// the cause, in time.
#[derive(Debug, Parser)]
#[command(name = "crashbook", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all passed, 1 the detector failed, 2 wrong usage, \
    3 a scenario is invalid, 4 the environment failed, 130 interrupted";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Keep clusters, kubeconfigs, journals and logs in this folder [default:
    /// $XDG_STATE_HOME/crashbook, or ~/.local/state/crashbook]
    #[arg(long, global = true, value_name = "DIR", env = "CRASHBOOK_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Log more to stderr; twice for everything. CRASHBOOK_LOG chooses by module
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// The state folder.
    pub fn state(&self) -> anyhow::Result<State> {
        Ok(State::open(self.state_dir.as_deref())?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Diagnose(diagnose::Diagnose),
    Watch(watch::Watch),
    /// Inject failures and prove that the detector names each cause, in time
    Run(run::Run),
    Serve(serve::Serve),
    /// Make the kind cluster, or check the warm one, and keep it
    Up(up::Up),
    /// Delete the kind cluster
    Down(down::Down),
    /// Undo what killed runs left behind
    Recover(recover::Recover),
    /// Tell what a class of verdict finds, and how
    Explain(explain::Explain),
    /// List the scenarios
    List(list::List),
    /// Check scenarios without a cluster
    Lint(lint::Lint),
    /// Write the folder of a new scenario, to be filled in
    New(new::New),
}

/// How a command ends, but for wrong usage, which is 2 and told by the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Pass = 0,
    /// The detector was wrong or late.
    Fail = 1,
    /// The command line, or a file that it names, makes no sense.
    Usage = 2,
    /// A scenario is broken.
    Invalid = 3,
    /// The environment failed: no cluster, no engine, no disk.
    Error = 4,
    /// Interrupted by its user.
    Interrupted = 130,
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

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Whoever asks tells of an answer that is an error: the client need not.
    let level = ["warn,kube_client::client=off", "crashbook=info", "debug"];
    let level = level[usize::from(cli.global.verbose.min(2))];
    let filter = EnvFilter::try_from_env("CRASHBOOK_LOG").unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_colour())
        .init();
    let result = match cli.command {
        Command::Diagnose(command) => return command.run(),
        Command::Watch(command) => return command.run(),
        Command::Run(command) => command.run(&cli.global),
        Command::Serve(command) => command.run(&cli.global),
        Command::Up(command) => command.run(&cli.global),
        Command::Down(command) => command.run(&cli.global),
        Command::Recover(command) => command.run(&cli.global),
        Command::Explain(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Lint(command) => command.run(),
        Command::New(command) => command.run(),
    };
    let exit = result.unwrap_or_else(|error| {
        complain(&error);
        Exit::Error
    });
    ExitCode::from(exit as u8)
}

/// Runs what may change a cluster. On the first interrupt it is dropped, with all its tasks, and
/// what it did is undone from its journals; on the second that is left to a later recovery. None
/// if it was interrupted.
pub fn interruptible<T>(
    state: &State,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    let runtime = Runtime::new()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = work => Some(done),
            Ok(()) = signal::ctrl_c() => None,
        }
    });
    // Tasks that still run hold journals, and a journal that is held is a run that lives.
    runtime.shutdown_timeout(Duration::from_secs(5));
    let Some(done) = done else {
        eprintln!("interrupted: undoing what was done (interrupt again to leave it)");
        let undone = Runtime::new()?.block_on(async {
            let progress = Progress::terminal();
            tokio::select! {
                undone = crate::recover::recover(state, &Which::Lost, &progress) => undone,
                Ok(()) = signal::ctrl_c() => {
                    leave(state);
                    process::exit(Exit::Interrupted as i32);
                }
            }
        })?;
        tell(&undone);
        return Ok(None);
    };
    done.map(Some)
}

/// Tells an error and what caused it, on stderr.
fn complain(error: &anyhow::Error) {
    let text = format!("error: {error:#}");
    for line in text.lines() {
        eprintln!("{}", crate::diagnose::text::visible(line));
    }
}

/// Whether the user asked for no colour, see <https://no-color.org>.
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Prints a result to stdout. A reader that has gone away is no error.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Says what is left, and how it is to be undone.
fn leave(state: &State) {
    eprintln!("left as it is:");
    for found in journal::read_all(state) {
        if found.record.kept.is_none() {
            for undo in found.record.pending.values().rev() {
                eprintln!("  {}: still to do: {undo}", found.record.header.run);
            }
        }
    }
    eprintln!("`crashbook recover` does that");
}

/// Says what a recovery did, and what it could not do.
fn tell(recovery: &Recovery) {
    for (run, undo) in &recovery.undone {
        eprintln!("{run}: undone: {undo}");
    }
    for failure in &recovery.failed {
        eprintln!("error: {failure}");
    }
    if !recovery.failed.is_empty() {
        eprintln!("`crashbook recover` tries again");
    }
}

/// Reads an amount of memory: `12Gi`.
fn bytes(text: &str) -> Result<u64, String> {
    let quantity: Quantity = text
        .parse()
        .map_err(|error: NotAQuantity| error.to_string())?;
    match u64::try_from(quantity.ceil()) {
        Ok(bytes) if bytes >= 1 << 30 => Ok(bytes),
        _ => Err(format!(
            "`{text}` is too little for a cluster: expected 1Gi or more"
        )),
    }
}

/// How the kind cluster is to be, for every command that may make it.
#[derive(Debug, Clone, Args)]
pub struct ClusterOptions {
    /// Size the kind cluster as if the host had so much memory, such as 12Gi
    #[arg(long, value_name = "QUANTITY", value_parser = bytes, env = "CRASHBOOK_HOST_MEMORY")]
    pub host_memory: Option<u64>,
}

impl From<&ClusterOptions> for crate::backend::kind::Options {
    fn from(options: &ClusterOptions) -> Self {
        Self {
            host_memory: options.host_memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn memory_is_read_as_kubernetes_writes_it() {
        assert_eq!(bytes("12Gi"), Ok(12 << 30));
        assert!(bytes("12").unwrap_err().contains("1Gi"));
        assert!(bytes("much").unwrap_err().contains("much"));
    }
}
