//! The `sandhog` program: talks to the daemon.
use std::process::ExitCode;

fn main() -> ExitCode {
    sandhog::cli::main()
}
