//! The command line of crashbook.

use std::process::ExitCode;

fn main() -> ExitCode {
    crashbook::cli::main()
}
