//! The `sandhogd` program: the daemon, in the foreground, logging to stderr.
use clap::Parser;
use sandhog::daemon::handover::front::{self, Resumed};
use sandhog::daemon::{self, Options};
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
    /// How the front starts the daemon
    #[arg(long, hide = true, value_name = "DESCRIPTOR", conflicts_with_all = ["check", "clear"])]
    daemon_of_front: Option<i32>,
    /// How the front becomes another executable
    #[arg(long, hide = true, value_name = "STATE", conflicts_with_all = ["check", "clear", "daemon_of_front"])]
    resume_front: Option<Resumed>,
}

fn main() -> ExitCode {
    let Args { config, check, clear, daemon_of_front, resume_front } = Args::parse();
    if check || clear || daemon_of_front.is_some() {
        return daemon::run(Options { config, check, clear, channel: daemon_of_front });
    }
    front::run(vec!["--config".into(), config.into()], resume_front)
}
