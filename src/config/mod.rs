//! Text to policy: the TOML of interface.md becomes [`Policy`] and what the daemon installs, or a list of findings with file, line, column and a hint.
//!
//! Nothing is applied unless all of it is valid, and every fault of a file is reported, not only the first. Secrets never appear in a finding.
pub mod error;
pub mod remedy;
pub mod secret;

pub use error::{Errors, Finding, Severity};
pub use secret::{Secrets, System};

use crate::ike::policy::{Policy, Ports};
use crate::wire::selector::Selector;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file of the configuration.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it came from, for messages and for the order of precedence.
    pub name: PathBuf,
    /// TOML.
    pub text: String,
}

/// A configuration that has been checked as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `[gateway]` table.
    pub gateway: Gateway,
    /// What the IKE endpoint is told.
    pub policy: Arc<Policy>,
    /// What the daemon installs, in the order of `policy.connections` (same names, same order).
    pub connections: Vec<ConnectionConfig>,
    /// What is allowed but unwise.
    pub warnings: Vec<Finding>,
}

/// The `[gateway]` table without what belongs to [`Policy`] (`retransmit`, `limits`).
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Outer addresses to listen on.
    pub listen: Vec<IpAddr>,
    /// UDP ports, as in [`Policy::ports`].
    pub ports: Ports,
    /// Dataplane threads, 0 to 16; 0 = one per usable core.
    pub workers: u16,
    /// TUN device of policy-based children.
    pub device: String,
    /// Routing table of our routes; `None` = leave routes alone.
    pub route_table: Option<u32>,
    /// Mark on our own outer packets, never 0.
    pub mark: u32,
    /// What a clean stop leaves for protected destinations.
    pub on_exit: OnExit,
    /// Socket of the control API.
    pub control_socket: PathBuf,
    /// Its read-only twin.
    pub observe_socket: PathBuf,
    /// Revisions and the like.
    pub state_dir: PathBuf,
    /// Prometheus; off unless set.
    pub metrics: Option<SocketAddr>,
    /// Logging.
    pub log: Log,
}
impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: vec![IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])],
            ports: Ports::default(),
            workers: 0,
            device: "sandhog0".into(),
            route_table: Some(220),
            mark: 0xdc,
            on_exit: OnExit::Closed,
            control_socket: "/run/sandhog/control.sock".into(),
            observe_socket: "/run/sandhog/observe.sock".into(),
            state_dir: "/var/lib/sandhog".into(),
            metrics: None,
            log: Log::default(),
        }
    }
}

/// What a clean stop leaves for protected destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnExit {
    /// Unreachable.
    #[default]
    Closed,
    /// Whatever the host's routes say.
    Open,
}

/// Logging, of the gateway or of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Log {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// Form of the lines.
    pub format: LogFormat,
}
/// Log levels, most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}
impl LogLevel {
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
    Journald,
}

/// What the daemon needs of a connection besides the IKE policy of the same name.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Vendor preset.
    pub profile: Option<String>,
    /// All children, also those that IKE never sees (`pass`, `drop`), in the order of the configuration.
    pub children: Vec<ChildConfig>,
    /// Log level of this connection, if it has its own.
    pub log: Option<LogLevel>,
}

/// What a child does with its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum Mode {
    #[default]
    Tunnel,
    Transport,
    Pass,
    Drop,
}

/// Path of a child's packets.
#[derive(Clone, Debug)]
pub struct ChildConfig {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// What it does.
    pub mode: Mode,
    /// Higher wins among equally long matches.
    pub priority: i32,
    /// Selectors on our side.
    pub local_ts: Vec<Selector>,
    /// Selectors on the peer's side.
    pub remote_ts: Vec<Selector>,
    /// Copy the inner DSCP to the outer header.
    pub copy_dscp: bool,
    /// Our replay window in packets, 64 to 65,536.
    pub replay_window: u32,
    /// What we assume of the peer's, in packets.
    pub peer_window: u32,
    /// Inner MTU; `None` = found out.
    pub mtu: Option<u16>,
    /// TCP MSS clamp; `None` = from the MTU.
    pub mss: Option<u16>,
}

/// Reads `path` and `conf.d/*.toml` beside it (in the order of their names), and their secrets.
///
/// # Errors
/// Whatever is wrong with the files, all of it.
pub fn load(path: &Path) -> Result<Config, Errors> {
    let _ = path;
    todo!()
}

/// Parses and checks sources that were already read; files and the environment are reached through `secrets` alone.
///
/// # Errors
/// Whatever is wrong with the sources, all of it.
pub fn parse(sources: &[Source], secrets: &dyn Secrets) -> Result<Config, Errors> {
    let _ = (sources, secrets);
    todo!()
}
