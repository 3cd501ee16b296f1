//! What the API says, exactly as interface.md writes it. Clients read these types, too, so that both ends agree.
//!
//! Absent values are `null`, never missing, so that a script can rely on every key.
use crate::config::remedy::{Fix, Names, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The document of `sandhog --json status` and `GET /v1/connections`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Every configured connection, in the order of the configuration.
    pub connections: Vec<Connection>,
}
/// What to do with a connection or child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Verb {
    Up,
    Down,
    Rekey,
}
impl Verb {
    /// The last segment of its path, and the command of the client.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Rekey => "rekey",
        }
    }
}
/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub enum ConnectionState {
    Down,
    Connecting,
    Up,
    Closing,
    Failed,
}
/// State of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub enum ChildState {
    Down,
    Routed,
    Connecting,
    Up,
    Rekeying,
    Closing,
}
/// What a child does with its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum ChildMode {
    Tunnel,
    Transport,
    Pass,
    Drop,
}
macro_rules! names {
    ($type:ident: $($variant:ident = $name:literal),*) => {
        impl $type {
            /// The name in the JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}
names!(MonitorState: Unknown = "unknown", Passing = "passing", Failing = "failing");
names!(ConnectionState: Down = "down", Connecting = "connecting", Up = "up", Closing = "closing", Failed = "failed");
names!(ChildState: Down = "down", Routed = "routed", Connecting = "connecting", Up = "up", Rekeying = "rekeying", Closing = "closing");

/// One configured connection; the flat fields are those of its current IKE SA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Connection {
    pub name: String,
    /// The vendor's preset that stands in for what it does not give.
    #[serde(default)]
    pub profile: Option<String>,
    pub state: ConnectionState,
    /// When it reached this state, RFC 3339.
    pub since: Option<String>,
    pub local: Option<String>,
    pub remote: Option<String>,
    pub local_id: Option<String>,
    pub remote_id: Option<String>,
    pub ike: Option<Ike>,
    /// One entry per configured child, whatever its SAs are doing.
    pub children: Vec<Child>,
    /// All IKE SAs.
    pub sas: Vec<IkeSa>,
    /// The peers of a `%any` connection.
    pub peers: Vec<Peer>,
    pub last_failure: Option<Failure>,
    /// Until when our own certificate is good, RFC 3339; `null` with a pre-shared key.
    pub certificate_until: Option<String>,
    /// Its own device; `null` on the gateway's.
    #[serde(default)]
    pub interface: Option<Interface>,
    pub warnings: Vec<String>,
}
impl Connection {
    /// One that nothing is known of but its name.
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            profile: None,
            state: ConnectionState::Down,
            since: None,
            local: None,
            remote: None,
            local_id: None,
            remote_id: None,
            ike: None,
            children: Vec::new(),
            sas: Vec::new(),
            peers: Vec::new(),
            last_failure: None,
            certificate_until: None,
            interface: None,
            warnings: Vec::new(),
        }
    }
}
/// The device of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Interface {
    /// As it is called now.
    pub name: String,
    /// The network namespace that it is in; `null` in the daemon's own.
    pub netns: Option<String>,
    /// It is there; if not, `warnings` say why.
    pub present: bool,
}
/// What was negotiated for an IKE SA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Ike {
    pub spi_i: String,
    pub spi_r: String,
    pub initiator: bool,
    pub proposal: Option<String>,
    /// Seconds until we rekey it; `null` if nothing is planned.
    pub rekey_in_s: Option<u64>,
    /// `none`, `local`, `remote`, `both`: who is behind a NAT.
    pub nat: String,
    /// A post-quantum preshared key went into its keys (RFC 8784).
    #[serde(default)]
    pub ppk: bool,
}
/// One IKE SA with its addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct IkeSa {
    pub id: u64,
    pub state: ConnectionState,
    pub since: Option<String>,
    pub local: String,
    pub remote: String,
    pub local_id: Option<String>,
    pub remote_id: Option<String>,
    /// Addresses that the peer gave us.
    pub vips: Vec<String>,
    /// Addresses that we gave the peer, out of our pools.
    pub leases: Vec<String>,
    #[serde(flatten)]
    pub ike: Ike,
}
/// One peer of a `%any` connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Peer {
    pub id: u32,
    pub state: ConnectionState,
    pub since: Option<String>,
    pub remote: String,
    pub remote_id: Option<String>,
    pub children: Vec<Child>,
}
/// One configured child; the flat fields are those of its current SA, the counters those of all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Child {
    pub name: String,
    pub mode: ChildMode,
    pub state: ChildState,
    /// It is to be up: `start_action = "start"`.
    #[serde(default)]
    pub wanted: bool,
    pub spi_in: Option<String>,
    pub spi_out: Option<String>,
    pub proposal: Option<String>,
    /// ESP travels in UDP.
    pub encap: Option<bool>,
    /// As negotiated; as configured while there is no SA.
    pub local_ts: Vec<String>,
    pub remote_ts: Vec<String>,
    /// This side's own names for them, if it has any.
    #[serde(default)]
    pub translate: Option<Translate>,
    /// Largest inner packet, octets.
    pub mtu: Option<u16>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub drops: BTreeMap<String, u64>,
    pub rekey_in_s: Option<u64>,
    pub sas: Vec<ChildSa>,
    /// Whether traffic passes, if the child has a monitor.
    #[serde(default)]
    pub monitor: Option<Monitor>,
}
/// What probes through a child say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Monitor {
    pub target: String,
    /// Our end; `null` while there is none.
    pub source: Option<String>,
    pub state: MonitorState,
    /// When it came to this state, RFC 3339.
    pub since: String,
    /// Smoothed round-trip time; `null` before the first answer.
    pub rtt_ms: Option<f64>,
    pub rtt_last_ms: Option<f64>,
    /// Of the last hundred probes, as the other extreme and `loss_percent`.
    pub rtt_min_ms: Option<f64>,
    pub rtt_max_ms: Option<f64>,
    pub loss_percent: f64,
    pub sent: u64,
    pub received: u64,
}
/// Whether traffic passes through a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub enum MonitorState {
    Unknown,
    Passing,
    Failing,
}
/// This side's names for the networks of a child; none where they are those of the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Translate {
    pub local: Option<String>,
    pub remote: Option<String>,
}
/// One pair of ESP SAs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct ChildSa {
    pub id: u64,
    pub state: ChildState,
    pub since: Option<String>,
    pub spi_in: String,
    pub spi_out: String,
    pub proposal: Option<String>,
    pub esn: bool,
    /// The worker that it is for, if it is for one alone (RFC 9611).
    #[serde(default)]
    pub resource: Option<u32>,
}
/// What went wrong last (peers.md section 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Failure {
    /// Of the diagnosis in `/v1/diagnoses` that says this.
    #[serde(default)]
    pub id: Option<u64>,
    pub time: String,
    /// `null` while it is not known whose it is.
    #[serde(default)]
    pub connection: Option<String>,
    #[serde(default)]
    pub child: Option<String>,
    pub phase: String,
    /// What we were: `initiator` or `responder`.
    #[serde(default)]
    pub side: String,
    pub code: String,
    pub certainty: String,
    pub candidates: Vec<String>,
    /// Our values, each under what it is.
    pub local: BTreeMap<String, Vec<String>>,
    /// The peer's, told from our side: its `local_ts` is what it wants for our networks.
    pub peer: BTreeMap<String, Vec<String>>,
    pub differing: Vec<String>,
    pub notify: Option<String>,
    pub explain: Text,
    /// Ways to mend it, the best first; one of them is enough. Where the cause is not known, those for each candidate.
    pub fix: Vec<Fix>,
    pub names: Names,
}
/// A diagnosis, as often as it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Diagnosis {
    #[serde(flatten)]
    pub failure: Failure,
    /// So often it was made; `time` is when it was made last.
    pub count: u64,
    /// When it was made first, RFC 3339.
    pub first: String,
}
/// `GET /v1/diagnoses`: the last ones, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Diagnoses {
    pub diagnoses: Vec<Diagnosis>,
}
/// `GET /v1/connections/{name}/why`: what is wrong now, the worst first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Why {
    pub connection: String,
    pub state: ConnectionState,
    pub diagnoses: Vec<Diagnosis>,
}
/// `GET /v1/info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Info {
    pub version: String,
    pub pid: u32,
    /// When the daemon started, RFC 3339.
    pub started: String,
    pub config: String,
    pub device: String,
    pub workers: u16,
    pub listen: Vec<String>,
    /// Where IKE is answered without the marker of the port that it shares with ESP: addresses and ports.
    #[serde(default)]
    pub ike: Vec<String>,
    /// The device that the daemon's sockets are bound to, if they are to one.
    #[serde(default)]
    pub bind_device: Option<String>,
    /// ESP may travel as protocol 50; if not, it goes in UDP only (CAP_NET_RAW is missing).
    #[serde(default)]
    pub raw_esp: bool,
    /// Host settings that would eat packets, with the fix.
    pub warnings: Vec<String>,
}
/// `GET /v1/sas`: the SAs of all connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Sas {
    pub ike: Vec<NamedIkeSa>,
    pub children: Vec<NamedChildSa>,
}
/// An IKE SA and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct NamedIkeSa {
    pub connection: String,
    #[serde(flatten)]
    pub sa: IkeSa,
}
/// A pair of ESP SAs and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct NamedChildSa {
    pub connection: String,
    pub child: String,
    #[serde(flatten)]
    pub sa: ChildSa,
}
impl From<&Status> for Sas {
    fn from(status: &Status) -> Self {
        let mut all = Self::default();
        for connection in &status.connections {
            let name = &connection.name;
            all.ike.extend(connection.sas.iter().map(|sa| NamedIkeSa { connection: name.clone(), sa: sa.clone() }));
            for child in connection.children.iter().chain(connection.peers.iter().flat_map(|peer| &peer.children)) {
                all.children.extend(child.sas.iter().map(|sa| NamedChildSa {
                    connection: name.clone(),
                    child: child.name.clone(),
                    sa: sa.clone(),
                }));
            }
        }
        all
    }
}
/// `GET /v1/stats`: counters of the daemon as a whole; they never go back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Stats {
    pub uptime_s: u64,
    /// What the engine did with IKE datagrams.
    pub engine: BTreeMap<String, u64>,
    /// Packets of all children and of none, by the reason of their drop.
    pub drops: BTreeMap<String, u64>,
    /// For each worker how full its batches were: by direction (`in`, `out`; `handed`: how deep the queue of what others hand over had
    /// become) how many had 2^i to 2^(i+1)-1 packets, for each i.
    #[serde(default)]
    pub batches: Vec<BTreeMap<String, Vec<u64>>>,
}
/// One event of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Event {
    /// Counts up by one from 1; a gap means that events were lost.
    pub id: u64,
    /// Which daemon counted: another number at each start.
    #[serde(default)]
    pub epoch: u64,
    pub time: String,
    /// `up`, `down`, `moved` for who follows where traffic goes; `audit`: somebody changed something through the API, or tried to; in detail `ike.up`, `ike.down`, `ike.rekeyed`, `child.up`, `child.down`,
    /// `path.changed`, `addresses`, `mtu`, `warning`, `monitor`, `failed`, `probe`, `probed`, and `noticed`: what works, though not as configured, with what differs in `failure`.
    pub event: String,
    pub connection: Option<String>,
    pub child: Option<String>,
    /// The worker that the child is for, if it is for one alone (RFC 9611).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<u32>,
    /// Of `up`, `down` and `moved`: the outer address and port at our end, and at the peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Why it ended: `by_us`, `by_peer`, `replaced`, `expired`, `peer_dead`, `failed`; of a `monitor`: `failing` or `passing`; of a `probe`: which exchange, and what for.
    pub why: Option<String>,
    pub failure: Option<Failure>,
    pub warning: Option<Warning>,
    /// What an outer path carries is another size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<MtuChange>,
    /// Of the configuration: which revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Of an `audit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audited>,
}
/// A write through the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Audited {
    pub uid: u32,
    /// The client's process, if the kernel tells.
    pub pid: Option<i32>,
    pub role: String,
    /// Verb and path, of a long one the beginning.
    pub request: String,
    /// The status of the answer.
    pub status: u16,
    /// The code of the problem, if it was one.
    pub code: Option<String>,
    /// So many refused writes of this user before it were not told each.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}
fn is_zero(n: &u64) -> bool {
    *n == 0
}
/// Another path MTU: octets of the largest outer packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct MtuChange {
    pub old: u16,
    pub new: u16,
    /// `probe`; `hint`: a probe that an ICMP message was the reason for; `route`.
    pub reason: String,
}
/// What works and will not for ever: a certificate that ends soon, a revocation list that is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Warning {
    pub code: String,
    /// Which certificate and when it ends, or where no list was found.
    pub values: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(value: &serde_json::Value) -> Vec<String> {
        value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    }

    fn ike() -> Ike {
        Ike {
            spi_i: "1".into(),
            spi_r: "2".into(),
            initiator: true,
            proposal: None,
            rekey_in_s: None,
            nat: "none".into(),
            ppk: false,
        }
    }

    fn child() -> Child {
        Child {
            name: "lan".into(),
            mode: ChildMode::Tunnel,
            state: ChildState::Up,
            wanted: true,
            spi_in: Some("c1a2b3c4".into()),
            spi_out: None,
            proposal: None,
            encap: Some(true),
            local_ts: vec!["10.1.0.0/16".into()],
            remote_ts: vec![],
            translate: None,
            mtu: Some(1422),
            bytes_in: 0,
            bytes_out: 0,
            packets_in: 0,
            packets_out: 0,
            drops: BTreeMap::from([("replayed".into(), 0)]),
            rekey_in_s: None,
            sas: vec![],
            monitor: None,
        }
    }

    fn connection() -> Connection {
        Connection {
            name: "hangzhou".into(),
            profile: None,
            state: ConnectionState::Up,
            since: None,
            local: None,
            remote: None,
            local_id: None,
            remote_id: None,
            ike: Some(ike()),
            children: vec![child()],
            sas: vec![],
            peers: vec![],
            last_failure: None,
            certificate_until: None,
            interface: None,
            warnings: vec![],
        }
    }

    /// The keys of interface.md's example, in sorted order; ours besides: `mode`.
    #[test]
    fn keys_are_those_of_the_interface() {
        let value = serde_json::to_value(Status { connections: vec![connection()] }).unwrap();
        let connection = &value["connections"][0];
        assert_eq!(
            keys(connection),
            [
                "certificate_until",
                "children",
                "ike",
                "interface",
                "last_failure",
                "local",
                "local_id",
                "name",
                "peers",
                "profile",
                "remote",
                "remote_id",
                "sas",
                "since",
                "state",
                "warnings"
            ]
        );
        assert_eq!(keys(&connection["ike"]), ["initiator", "nat", "ppk", "proposal", "rekey_in_s", "spi_i", "spi_r"]);
        assert_eq!(
            keys(&connection["children"][0]),
            [
                "bytes_in",
                "bytes_out",
                "drops",
                "encap",
                "local_ts",
                "mode",
                "monitor",
                "mtu",
                "name",
                "packets_in",
                "packets_out",
                "proposal",
                "rekey_in_s",
                "remote_ts",
                "sas",
                "spi_in",
                "spi_out",
                "state",
                "translate",
                "wanted"
            ]
        );
        assert_eq!(connection["state"], json!("up"));
        assert_eq!(connection["last_failure"], json!(null));
    }

    #[test]
    fn keys_of_a_failure_are_those_of_the_interface() {
        let failure = Failure {
            id: None,
            time: String::new(),
            connection: None,
            child: None,
            phase: "ike_auth".into(),
            side: "initiator".into(),
            code: "auth.failed".into(),
            certainty: "likely".into(),
            candidates: vec![],
            local: BTreeMap::new(),
            peer: BTreeMap::new(),
            differing: vec![],
            notify: None,
            explain: Text::default(),
            fix: vec![],
            names: Names::default(),
        };
        assert_eq!(
            keys(&serde_json::to_value(failure).unwrap()),
            [
                "candidates",
                "certainty",
                "child",
                "code",
                "connection",
                "differing",
                "explain",
                "fix",
                "id",
                "local",
                "names",
                "notify",
                "peer",
                "phase",
                "side",
                "time"
            ]
        );
    }

    #[test]
    fn state_names_are_those_of_the_json() {
        use ConnectionState as C;
        for state in [C::Down, C::Connecting, C::Up, C::Closing, C::Failed] {
            assert_eq!(serde_json::to_value(state).unwrap(), json!(state.name()));
        }
        use ChildState as S;
        for state in [S::Down, S::Routed, S::Connecting, S::Up, S::Rekeying, S::Closing] {
            assert_eq!(serde_json::to_value(state).unwrap(), json!(state.name()));
        }
    }

    #[test]
    fn sas_lists_what_every_connection_has() {
        let mut one = connection();
        one.sas.push(IkeSa {
            id: 7,
            state: ConnectionState::Up,
            since: None,
            local: "192.0.2.1:500".into(),
            remote: "203.0.113.7:500".into(),
            local_id: None,
            remote_id: None,
            vips: vec![],
            leases: vec![],
            ike: ike(),
        });
        let sas = Sas::from(&Status { connections: vec![one] });
        let value = serde_json::to_value(&sas).unwrap();
        assert_eq!(value["ike"][0]["connection"], "hangzhou");
        assert_eq!(value["ike"][0]["spi_i"], "1");
        assert_eq!(value["ike"][0]["id"], 7);
        assert!(sas.children.is_empty());
    }
}
