//! The command line of crashbook.

use std::process::ExitCode;

use mimalloc::MiMalloc;

// Embedded clusters make and drop objects all the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    crashbook::cli::main()
}
