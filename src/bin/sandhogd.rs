//! The `sandhogd` program: the daemon, in the foreground, logging to stderr.
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// The IPsec gateway.
#[derive(Debug, Parser)]
#[command(name = "sandhogd", version)]
struct Args {
    /// Main file of the configuration; `conf.d/*.toml` beside it is read, too
    #[arg(long, value_name = "FILE", default_value = "/etc/sandhog/sandhog.toml")]
    config: PathBuf,
    /// Validate the configuration and exit: 0 if it is valid, else 2
    #[arg(long)]
    check: bool,
    /// Remove the routes, rules and guard that a stopped daemon has left in place, and exit
    #[arg(long, conflicts_with = "check")]
    clear: bool,
}

fn main() -> ExitCode {
    let Args { config, check, clear } = Args::parse();
    sandhog::daemon::run(sandhog::daemon::Options { config, check, clear })
}
