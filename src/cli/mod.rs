//! The `sandhog` program: one file per command. Exit codes: 0 done; 1 it failed; 2 wrong usage or invalid configuration; 3 the daemon
//! cannot be reached (interface.md, "Programs").
pub mod client;

mod apply;
mod bugreport;
mod capture;
mod change;
mod check;
mod completion;
mod demo;
mod health;
mod http;
pub mod import;
mod man;
mod matching;
mod output;
mod peer_config;
mod pki;
mod plan;
mod probe;
mod profiles;
mod revisions;
mod sas;
mod secret;
mod source;
mod sse;
mod status;
mod table;
mod target;
mod top;
mod upgrade;
mod watch;
mod why;

use crate::control::types::Verb;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use target::Target;

/// How a connection is named.
const TARGET: &str = "NAME[#PEER][/CHILD]";
/// Where the daemon's socket is unless a flag or `SANDHOG_SOCKET` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/sandhog/control.sock";

/// Talk to the IPsec gateway sandhogd.
#[derive(Debug, Parser)]
#[command(name = "sandhog", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    /// Control socket of the daemon [default: $SANDHOG_SOCKET, else /run/sandhog/control.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print one JSON document, or one per line for streams, and nothing else
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}
/// Names of all commands, for who looks whether there is one.
#[cfg(test)]
pub(crate) fn commands() -> Vec<String> {
    let command = <Cli as clap::CommandFactory>::command();
    command.get_subcommands().map(|sub| sub.get_name().to_owned()).chain(["help".to_owned()]).collect()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show connections, their SAs and counters, and what failed last
    ///
    /// Where the terminal is narrow, columns are left out in this order: SUITE, LOCAL TS, OUT, IN, REMOTE TS, PEER.
    #[command(
        after_help = "Examples:\n  sandhog status\n  sandhog status office#2 -v\n  sandhog --json status | jq '.connections[].state'"
    )]
    Status {
        /// Only this connection, peer or child
        #[arg(value_name = TARGET)]
        name: Option<Target>,
        /// The daemon, its counters, and every SA, too
        #[arg(long, short)]
        verbose: bool,
    },
    /// List the IKE SAs and the child SAs of all connections
    #[command(after_help = "Example:\n  sandhog sas")]
    Sas,
    /// Show connections, rates, drops and failures live
    ///
    /// Keys: q quits, the arrows move and choose the column that sorts, r reverses, / filters, Enter shows one connection.
    ///
    /// Where the terminal is narrow, columns are left out: what says nothing at present first, then RTT, CHILDREN, DROPS, OUT/s, IN/s.
    #[command(after_help = "Example:\n  sandhog top --interval 5")]
    Top(top::Args),
    /// Show events as they happen; a lost daemon is waited for
    #[command(after_help = "Examples:\n  sandhog watch\n  sandhog --json watch --since 1200 --connection office")]
    Watch(watch::Args),
    /// Copy packets into a pcapng file: ESP and IKE, or what stands inside, with the connection and child that it belongs to
    ///
    /// It ends by time, size, Ctrl-C, or when nobody reads; the file is whole in any case, and says how many packets there was no room for. For root
    /// and the daemon's user only.
    #[command(
        after_help = "Examples:\n  sandhog capture office --inner --seconds 10 --out office.pcapng\n  sandhog capture --inner --outer | tshark -r -"
    )]
    Capture(capture::Args),
    /// Bring up a connection or one child, and wait for it
    #[command(after_help = "Examples:\n  sandhog up office\n  sandhog up office/lan --timeout 5")]
    Up(ChangeArgs),
    /// Take down a connection or one child, or one peer of a connection that has several, and wait for it
    #[command(after_help = "Examples:\n  sandhog down office\n  sandhog down roadwarriors#3")]
    Down(ChangeArgs),
    /// Rekey a child, or the IKE SA of a connection, and wait for it
    #[command(after_help = "Examples:\n  sandhog rekey office\n  sandhog rekey office/lan")]
    Rekey(ChangeArgs),
    /// Tell what is wrong with a connection: both sides' values, how sure that is, and what to change on which side
    ///
    /// Exit code 0 if nothing is wrong, 1 if something is.
    #[command(
        after_help = "Examples:\n  sandhog why office\n  sandhog why office --lang zh\n  sandhog why office --probe\n  sandhog --json why office | jq '.diagnoses[0].fix'\n  sandhog why --codes"
    )]
    Why(why::Args),
    /// Replace the running daemon by the installed executable, without losing an SA or a packet
    #[command(after_help = "Examples:\n  sandhog upgrade\n  sandhog --json upgrade")]
    Upgrade,
    /// Tell whether the gateway works, for probes: exit code 0 if all is well, else 1, and 3 without a daemon
    ///
    /// IKE is asked with one datagram at the daemon's own port, as a stranger would: a message of a later version, which is answered and leaves nothing behind. Without --ike and
    /// --tunnels both are asked.
    #[command(
        after_help = "Examples:\n  sandhog health\n  sandhog health --ike --timeout 5\n  sandhog --json health --tunnels"
    )]
    Health(health::Args),
    /// Validate a configuration without a daemon
    ///
    /// Root can read what the daemon cannot: where the package's user `sandhogd` could not read a file, that is a warning with the command that mends it; of a user named by --user it
    /// is an error.
    #[command(
        after_help = "Examples:\n  sandhog check /etc/sandhog/sandhog.toml\n  sandhog check --user sandhogd /etc/sandhog/sandhog.toml"
    )]
    Check {
        /// Whether this user could read all of it
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// The main file; `conf.d/*.toml` beside it is read, too
        file: PathBuf,
    },
    /// Show what a configuration would change, and what that would interrupt; nothing is changed
    #[command(after_help = "Examples:\n  sandhog plan\n  sandhog plan branch.toml\n  sandhog --json plan | jq .impact")]
    Plan {
        /// A configuration, which replaces what was put over the API [default: the daemon's own files as they are now]
        file: Option<PathBuf>,
    },
    /// Put a configuration into force, as the plan that is shown first says
    #[command(after_help = "Examples:\n  sandhog apply\n  sandhog apply --confirm 60 && sandhog confirm")]
    Apply {
        /// A configuration, which replaces what was put over the API [default: the daemon's own files as they are now]
        file: Option<PathBuf>,
        /// Undo it after so many seconds unless `sandhog confirm` keeps it
        #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(10..=3600))]
        confirm: Option<u64>,
        /// Do not ask before traffic is interrupted
        #[arg(long, short)]
        yes: bool,
    },
    /// Keep what was applied with --confirm
    #[command(after_help = "Example:\n  sandhog confirm")]
    Confirm,
    /// Bring the revision before, or any other, back; what waits to be confirmed is undone at once
    #[command(after_help = "Examples:\n  sandhog rollback\n  sandhog rollback --revision 12 --confirm 60")]
    Rollback {
        /// Which one, as `sandhog revisions` numbers them
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
        /// Undo that after so many seconds unless `sandhog confirm` keeps it
        #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(10..=3600))]
        confirm: Option<u64>,
    },
    /// Let the daemon read its own files again
    #[command(after_help = "Example:\n  sandhog reload")]
    Reload,
    /// List what was in force, and who changed it when
    #[command(after_help = "Example:\n  sandhog revisions")]
    Revisions,
    /// Show a tunnel between two gateways on this machine: pings, TCP, and nothing left behind
    #[command(after_help = "Example:\n  sudo sandhog demo --keep")]
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
    #[command(
        after_help = "Examples:\n  sandhog pki ca --name 'Example VPN' --out ca\n  sandhog pki issue --ca ca --name gw1.example --out gw1\n  sandhog pki revoke --ca ca gw1/gw1.example.pem"
    )]
    Pki {
        #[command(subcommand)]
        command: pki::Command,
    },
    /// Write what the other end's administrator has to enter, from the configuration of this end
    ///
    /// One suite, the selectors and identities the other way round, lifetimes that go with ours. Where the pre-shared key belongs stands a placeholder, unless --with-secret asks for
    /// the key itself: then the files are read with the rights of whoever asks, as the daemon hands no secret out. What the other end cannot be told is an error that says what to change.
    #[command(
        name = "peer-config",
        after_help = "Examples:\n  sandhog peer-config office --format strongswan\n  sandhog peer-config hangzhou --format aliyun --address 192.0.2.1\n  sudo sandhog peer-config office --format h3c --with-secret --out office.txt"
    )]
    PeerConfig(peer_config::Args),
    /// List the presets for vendors' gateways, or show what one stands for, why, where that is from, and what to set at the vendor's side
    ///
    /// What is shown of one is TOML, with the reasons as comments. No daemon is asked.
    #[command(
        after_help = "Examples:\n  sandhog profiles\n  sandhog profiles aliyun --lang zh\n  sandhog --json profiles aws | jq '.settings'"
    )]
    Profiles(profiles::Args),
    /// Tell which child would carry a packet, and why
    #[command(after_help = "Example:\n  sandhog match 10.1.0.7 10.2.0.9 tcp 443")]
    Match(matching::Args),
    /// Translate a swanctl.conf into TOML and secret files
    ///
    /// Tells of each key what became of it. Exit code 0: all of it is translated or can be left out, and the result is valid.
    #[command(after_help = "Example:\n  sandhog import /etc/swanctl/swanctl.conf --out /etc/sandhog")]
    Import(import::Args),
    /// Make a strong pre-shared key
    #[command(after_help = "Examples:\n  sandhog secret\n  sandhog secret --out /etc/sandhog/office.psk")]
    Secret(secret::Args),
    /// Collect what somebody needs in order to help, in a tar file, without secrets
    #[command(after_help = "Example:\n  sudo sandhog bugreport --anonymous --out report.tar")]
    Bugreport(bugreport::Args),
    /// Print a manual page, or write all of them
    #[command(
        after_help = "Examples:\n  sandhog man sandhog.toml.5 | man -l -\n  sandhog man --out /usr/share/man/man1"
    )]
    Man(man::Args),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  sandhog completion bash > /etc/bash_completion.d/sandhog")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}
#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// A connection, one of its children, or one of its peers as `status` numbers them
    #[arg(value_name = TARGET)]
    name: Target,
    /// How long to wait, in seconds
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=600))]
    timeout: u64,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let client = client::Client::new(socket(cli.socket));
    match cli.command {
        Command::Status { name, verbose } => status::run(&client, name.as_ref(), verbose, cli.json),
        Command::Sas => sas::run(&client, cli.json),
        Command::Top(args) => top::run(&client, &args, cli.json),
        Command::Watch(args) => watch::run(&client, &args, cli.json),
        Command::Capture(args) => capture::run(&client, &args, cli.json),
        Command::Up(args) => change::run(&client, Verb::Up, &args.name, args.timeout, cli.json),
        Command::Down(args) => change::run(&client, Verb::Down, &args.name, args.timeout, cli.json),
        Command::Rekey(args) => change::run(&client, Verb::Rekey, &args.name, args.timeout, cli.json),
        Command::Why(args) => why::run(&client, &args, cli.json),
        Command::Upgrade => upgrade::run(&client, cli.json),
        Command::Health(args) => health::run(&client, &args, cli.json),
        Command::Check { user, file } => check::run(&file, user.as_deref(), cli.json),
        Command::Plan { file } => plan::run(&client, file.as_deref(), cli.json),
        Command::Apply { file, confirm, yes } => {
            apply::run(&client, file.as_deref(), apply::Terms { confirm, yes, json: cli.json })
        }
        Command::Confirm => apply::confirm(&client, cli.json),
        Command::Rollback { revision, confirm } => apply::rollback(&client, revision, confirm, cli.json),
        Command::Reload => apply::reload(&client, cli.json),
        Command::Revisions => revisions::run(&client, cli.json),
        Command::Demo { keep } => demo::run(keep, cli.json),
        Command::DemoGateway { config } => demo::gateway(config),
        Command::Pki { command } => pki::run(command, cli.json),
        Command::PeerConfig(args) => peer_config::run(&client, &args, cli.json),
        Command::Profiles(args) => profiles::run(&args, cli.json),
        Command::Match(args) => matching::run(&client, &args, cli.json),
        Command::Import(args) => import::run(&args, cli.json),
        Command::Secret(args) => secret::run(&args, cli.json),
        Command::Bugreport(args) => bugreport::run(&client, &args, cli.json),
        Command::Man(args) => man::run::<Cli>(&args),
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

    /// Whoever adds a command shows how it is used.
    #[test]
    fn tidy_help_every_command_has_an_example() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example") && help.contains("sandhog "), "{} has none", command.get_name());
        }
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
