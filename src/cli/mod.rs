//! The `sandhog` program: one file per command. Exit codes: 0 done; 1 it failed; 2 wrong usage or invalid configuration; 3 the daemon
//! cannot be reached (interface.md, "Programs").
pub mod client;

mod change;
mod check;
mod completion;
mod demo;
mod output;
mod pki;
mod status;
mod upgrade;

use crate::control::types::Verb;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the daemon's socket is unless a flag or `SANDHOG_SOCKET` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/sandhog/control.sock";

/// Talk to the IPsec gateway sandhogd.
#[derive(Debug, Parser)]
#[command(name = "sandhog", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    /// Control socket of the daemon [default: $SANDHOG_SOCKET, else /run/sandhog/control.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}
#[derive(Debug, Subcommand)]
enum Command {
    /// Show connections, their SAs and counters, and what failed last
    Status {
        /// Only this connection
        name: Option<String>,
    },
    /// Bring up a connection or one child, and wait for it
    Up(ChangeArgs),
    /// Take down a connection or one child, and wait for it
    Down(ChangeArgs),
    /// Rekey a child, or the IKE SA of a connection, and wait for it
    Rekey(ChangeArgs),
    /// Replace the running daemon by the installed executable, without losing an SA or a packet
    Upgrade,
    /// Validate a configuration without a daemon
    Check {
        /// The main file; `conf.d/*.toml` beside it is read, too
        file: PathBuf,
    },
    /// Show a tunnel between two gateways on this machine: pings, TCP, and nothing left behind
    Demo {
        /// Leave it running until Ctrl-C, and tell how to enter
        #[arg(long)]
        keep: bool,
    },
    /// One of the two gateways of the demonstration
    #[command(name = demo::GATEWAY_COMMAND, hide = true)]
    DemoGateway {
        /// Its configuration
        config: PathBuf,
    },
    /// An authority in a folder: certificates for gateways, and their revocation
    Pki {
        #[command(subcommand)]
        command: pki::Command,
    },
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: completion::Shell,
    },
}
#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// CONNECTION or CONNECTION/CHILD
    #[arg(value_name = "NAME[/CHILD]")]
    name: String,
    /// How long to wait, in seconds
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=600))]
    timeout: u64,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let client = client::Client::new(socket(cli.socket));
    match cli.command {
        Command::Status { name } => status::run(&client, name.as_deref(), cli.json),
        Command::Up(args) => change::run(&client, Verb::Up, &args.name, args.timeout, cli.json),
        Command::Down(args) => change::run(&client, Verb::Down, &args.name, args.timeout, cli.json),
        Command::Rekey(args) => change::run(&client, Verb::Rekey, &args.name, args.timeout, cli.json),
        Command::Upgrade => upgrade::run(&client, cli.json),
        Command::Check { file } => check::run(&file, cli.json),
        Command::Demo { keep } => demo::run(keep, cli.json),
        Command::DemoGateway { config } => demo::gateway(config),
        Command::Pki { command } => pki::run(command, cli.json),
        Command::Completion { shell } => completion::run::<Cli>(shell),
    }
}

fn socket(flag: Option<PathBuf>) -> PathBuf {
    let from_environment = || std::env::var_os("SANDHOG_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
    flag.or_else(from_environment).unwrap_or_else(|| DEFAULT_SOCKET.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_behind_the_command() {
        for args in [["sandhog", "--json", "status"], ["sandhog", "status", "--json"]] {
            assert!(Cli::try_parse_from(args).unwrap().json);
        }
        assert!(Cli::try_parse_from(["sandhog", "up", "a", "--timeout", "601"]).is_err());
    }

    #[test]
    fn a_flag_wins_over_the_default_socket() {
        assert_eq!(socket(Some("/x".into())), PathBuf::from("/x"));
    }
}
