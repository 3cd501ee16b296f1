//! Text to policy: the TOML of interface.md becomes [`Policy`] and what the daemon installs, or a list of findings with file, line, column and a hint.
//!
//! Nothing is applied unless all of it is valid, and every fault of a file is reported, not only the first. Secrets never appear in a finding.
mod check;
mod child;
mod connection;
mod credentials;
pub mod document;
pub mod error;
pub mod facing;
mod files;
mod free;
mod gateway;
mod hook;
mod interface;
pub mod keylog;
mod keys;
pub mod manual;
mod monitor;
mod overlap;
mod own;
mod peer;
pub mod pem;
pub mod permissions;
pub mod plan;
mod pool;
pub mod profiles;
mod proposal;
pub mod remedy;
mod report;
pub mod secret;
#[cfg(test)]
mod tests;
mod text;
mod translate;
mod value;

pub use error::{Errors, Finding, Severity};
pub use files::{LARGEST as LARGEST_FILE, given, load, sources, state_dir};
pub use interface::Interface;
pub use monitor::{Monitor, MonitorAction};
pub use secret::{Secrets, System, Withheld};

use crate::ike::policy::{Policy, Ports};
use crate::ipsec::fitting::{Fitting, Mss, OuterFragments};
use crate::ipsec::translate::Translation;
use crate::wire::selector::Selector;
use connection::Connection;
use report::Report;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use text::Document;

/// One file of the configuration.
#[derive(Clone)]
pub struct Source {
    /// Where it came from, for messages and for the order of precedence.
    pub name: PathBuf,
    /// TOML.
    pub text: String,
}
impl Drop for Source {
    /// There may be secrets in it.
    fn drop(&mut self) {
        drop(crate::crypto::secret::Secret::new(std::mem::take(&mut self.text).into_bytes()));
    }
}
impl std::fmt::Debug for Source {
    /// Without the text: there may be secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({}, {} octets)", self.name.display(), self.text.len())
    }
}

/// A configuration that has been checked as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `[gateway]` table.
    pub gateway: Gateway,
    /// What the IKE endpoint is told. A connection all of whose children pass or drop is not in there: it has no peer.
    pub policy: Arc<Policy>,
    /// What the daemon installs, all connections in the order of the configuration; those in `policy` have the same name.
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
    /// Each stays on a core of its own, if there are enough.
    pub pin_workers: bool,
    /// What the daemon may ask of the kernel is limited to what a gateway needs (seccomp, landlock).
    pub sandbox: bool,
    /// TUN device of policy-based children.
    pub device: String,
    /// Routing table of our routes; `None` = leave routes alone.
    pub route_table: Option<u32>,
    /// Mark on our own outer packets, never 0.
    pub mark: u32,
    /// The device or VRF that they leave by; `None` = as the routes say.
    pub bind_device: Option<String>,
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
    /// A program that is told of changes.
    pub hook: Option<Hook>,
    /// Logging.
    pub log: Log,
}
impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: vec![IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])],
            ports: Ports::default(),
            workers: 0,
            pin_workers: true,
            sandbox: true,
            device: "sandhog0".into(),
            route_table: Some(220),
            mark: 0xdc,
            bind_device: None,
            on_exit: OnExit::Closed,
            control_socket: "/run/sandhog/control.sock".into(),
            observe_socket: "/run/sandhog/observe.sock".into(),
            state_dir: "/var/lib/sandhog".into(),
            metrics: None,
            hook: None,
            log: Log::default(),
        }
    }
}

/// A program that is told of changes, without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// An absolute path, then arguments.
    pub command: Vec<String>,
    /// Who runs it; 0: who runs the daemon.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// It is killed after this, 1 s to 5 min.
    pub timeout: Duration,
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

/// Logging of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Log {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// Form of the lines.
    pub format: LogFormat,
    /// Where they go.
    pub target: LogTarget,
}
/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Wherever those of the format usually go: stderr, the journal's socket, `/dev/log`.
    #[default]
    Usual,
    /// A Unix datagram socket.
    Local(PathBuf),
    /// A syslog server.
    Udp(SocketAddr),
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
    Syslog,
}

/// What the daemon needs of a connection besides the IKE policy of the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Vendor preset.
    pub profile: Option<String>,
    /// A device of its own, for what is routed into it.
    pub interface: Option<Interface>,
    /// All children, also those that IKE never sees (`pass`, `drop`), in the order of the configuration.
    pub children: Vec<ChildConfig>,
    /// Log level of this connection, if it has its own.
    pub log: Option<LogLevel>,
    /// Its keys are written down.
    pub keylog: Option<keylog::Keylog>,
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

/// One child as the daemon installs it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildConfig {
    /// As the engine calls it: `NAME-1` and so on, where `ts_mode = "per_pair"` makes several of one.
    pub name: Arc<str>,
    /// Name in the configuration.
    pub written: Arc<str>,
    /// What it does.
    pub mode: Mode,
    /// Higher wins among equally long matches.
    pub priority: i32,
    /// Selectors on our side, as they are on the wire; in transport mode one address.
    pub local_ts: Vec<Selector>,
    /// Selectors on the peer's side, as they are on the wire.
    pub remote_ts: Vec<Selector>,
    /// Packets wait for a moment where there is no SA for them: one may come, by itself or because of them.
    pub waits: bool,
    /// Copy the inner DSCP to the outer header.
    pub copy_dscp: bool,
    /// Our replay window in packets, 64 to 65,536.
    pub replay_window: u32,
    /// What we assume of the peer's, in packets.
    pub peer_window: u32,
    /// So many SAs for one worker each, 0 to 16 (RFC 9611).
    pub resources: u32,
    /// Inner MTU; `None` = found out.
    pub mtu: Option<u16>,
    /// TCP MSS clamp.
    pub mss: Mss,
    /// Which outer packets may be fragmented.
    pub outer_fragments: OuterFragments,
    /// This side's own names for its networks.
    pub translation: Option<Translation>,
    /// Probes that tell whether traffic passes.
    pub monitor: Option<Monitor>,
}
impl ChildConfig {
    /// How its packets are made to fit.
    pub fn fitting(&self) -> Fitting {
        Fitting { mtu: self.mtu, mss: self.mss, outer_fragments: self.outer_fragments }
    }
    /// The selectors of our side by the names that they have here: what hosts, routes and policies know.
    pub fn local_here(&self) -> Vec<Selector> {
        let here = |ts: &Selector| self.translation.map_or(Some(*ts), |translation| translation.local_here(ts));
        self.local_ts.iter().filter_map(here).collect()
    }
    /// The same of the peer's side.
    pub fn remote_here(&self) -> Vec<Selector> {
        let here = |ts: &Selector| self.translation.map_or(Some(*ts), |translation| translation.remote_here(ts));
        self.remote_ts.iter().filter_map(here).collect()
    }
}

/// Parses and checks sources that were already read; files and the environment are reached through `secrets` alone.
///
/// # Errors
/// Whatever is wrong with the sources, all of it.
pub fn parse(sources: &[Source], secrets: &dyn Secrets) -> Result<Config, Errors> {
    let mut report = Report::new(sources);
    let mut document = Document::read(sources, &mut report);
    profiles::expand(&mut report, &mut document.connections);

    let before = report.errors();
    let from = secrets;
    let gateway = gateway::read(&mut report, &document.gateway, from);
    let gateway_sound = report.errors() == before;

    let before = report.errors();
    let secrets = secret::read(&mut report, &document.secrets, from);
    let secrets_sound = report.errors() == before;

    let pools = pool::Pools::read(&mut report, &document.pools, !document.whole);
    let mut connections: Vec<Connection> =
        (document.connections.iter()).filter_map(|entry| connection::read(&mut report, entry, &pools, from)).collect();
    if document.whole {
        if secrets_sound {
            check::secrets(&mut report, &connections, &secrets);
            check::ppks(&mut report, &connections, &secrets);
            // What stands in a secret's place says nothing of it.
            if !from.withholds() {
                profiles::secrets(&mut report, &connections, &secrets, &document.secrets);
            }
        }
        if gateway_sound {
            check::listening(&mut report, &gateway.gateway, &connections);
            check::limits(&mut report, &gateway.limits, &connections);
            check::interfaces(&mut report, &gateway.gateway, &connections);
            check::monitors(&mut report, &gateway.gateway, &connections);
        }
        overlap::check(&mut report, &gateway.gateway, &connections);
    }
    check::unique(&mut connections);

    let (errors, warnings) = report.finish();
    if !errors.is_empty() {
        return Err(Errors(errors));
    }
    let policy = Policy {
        ports: gateway.gateway.ports,
        retransmit: gateway.retransmit,
        limits: gateway.limits,
        connections: connections.iter().filter(|c| c.negotiates).map(|c| Arc::new(c.policy.clone())).collect(),
        secrets,
        credentials: connections.iter().filter_map(Connection::credentials).collect(),
    };
    let connections = connections.iter().map(Connection::config).collect();
    Ok(Config { gateway: gateway.gateway, policy: Arc::new(policy), connections, warnings })
}
