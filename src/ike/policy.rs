//! What we accept from whom; config must produce it.
use super::directory::same_id;
use crate::crypto::cert::{Certificate, Trust};
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::IdType;
use crate::wire::selector::Selector;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// In a `dpd_delay` ESP is looked at so many times, but
const LOOKS: u32 = 8;
/// not more often than every
const MIN_LOOK: Duration = Duration::from_millis(100);
/// nor more seldom than every
const MAX_LOOK: Duration = Duration::from_secs(2);
/// Everything that the endpoint is told. The default knows nobody and permits nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Our UDP ports: plain IKE, and IKE with ESP (500 and 4500).
    pub ports: Ports,
    /// Retransmission.
    pub retransmit: Retransmit,
    /// Limits.
    pub limits: Limits,
    /// Connections in the order of the configuration.
    pub connections: Vec<Arc<Connection>>,
    /// Pre-shared keys.
    pub secrets: Vec<SharedSecret>,
    /// Certificates and keys of the connections that use them, by the connection's name. New ones count from the next IKE_AUTH on;
    /// what is up stays up.
    pub credentials: HashMap<Arc<str>, Arc<Credentials>>,
}
impl Policy {
    /// How often the endpoint is to be told what was seen of ESP, between 0.1 s and 2 s: often enough for the shortest `dpd_delay`.
    pub fn look_interval(&self) -> Duration {
        let delays = self.connections.iter().map(|connection| connection.dpd_delay).filter(|delay| !delay.is_zero());
        delays.min().map_or(MAX_LOOK, |shortest| (shortest / LOOKS).clamp(MIN_LOOK, MAX_LOOK))
    }
}
/// What a connection proves itself with, and whom it believes.
#[derive(Debug, Default)]
pub struct Credentials {
    /// For `local_auth`.
    pub local: Option<OwnCredential>,
    /// For `remote_auth`.
    pub remote: Option<PeerCredential>,
}
/// Our certificate and key.
#[derive(Debug)]
pub struct OwnCredential {
    /// Our certificate, then those that lead from it to an authority.
    pub chain: Vec<Certificate>,
    /// Its private key.
    pub key: Arc<SigningKey>,
    /// An RSA key signs with RSASSA-PSS (RFC 8247 section 3.2); otherwise with PKCS#1 v1.5.
    pub pss: bool,
}
/// RFC 4945 section 3.1: the identity is in the subjectAltName, or is the whole subject; a common name is no identity.
pub fn vouches_for(certificate: &Certificate, id: &Id) -> bool {
    if id.kind == IdType::DER_ASN1_DN {
        return same_id(&Id { kind: id.kind, data: certificate.subject().to_vec() }, id);
    }
    certificate.names().iter().any(|name| same_id(&Id { kind: name.kind, data: name.data.clone() }, id))
}
/// Whom we believe about the peer.
#[derive(Debug)]
pub struct PeerCredential {
    /// Authorities and revocation.
    pub trust: Arc<Trust>,
    /// Hosts that revocation lists may be fetched from though their addresses are private or our own.
    pub crl_hosts: Arc<[String]>,
}
/// UDP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Ports {
    pub ike: u16,
    pub natt: u16,
}
impl Default for Ports {
    fn default() -> Self {
        Self { ike: 500, natt: 4500 }
    }
}
/// Retransmission times: `first * factor^n`, at most `max`, `tries` transmissions after the first one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Retransmit {
    pub first: Duration,
    pub factor: f64,
    pub max: Duration,
    pub tries: u32,
}
impl Default for Retransmit {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), factor: 1.6, max: Duration::from_secs(8), tries: 14 }
    }
}
/// Limits of interface.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub struct Limits {
    pub half_open: usize,
    pub half_open_per_source: usize,
    pub cookie_threshold: usize,
    pub cookie_per_source: usize,
    pub connections: usize,
    pub per_identity: usize,
    pub children: usize,
    pub per_resource: usize,
    pub auth_failures_per_minute: u32,
    pub reassembly_bytes: usize,
    pub compute_queue: usize,
}
impl Default for Limits {
    fn default() -> Self {
        Self {
            half_open: 4096,
            half_open_per_source: 16,
            cookie_threshold: 64,
            cookie_per_source: 3,
            connections: 131_072,
            per_identity: 4,
            children: 256,
            per_resource: 32,
            auth_failures_per_minute: 5,
            reassembly_bytes: 65_536,
            compute_queue: 256,
        }
    }
}
/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// An address.
    Addr(IpAddr),
    /// A name: `Host::resolve` knows its addresses.
    Name(String),
    /// Anywhere: respond only.
    Any,
}
/// Encapsulation of ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EncapPolicy {
    /// UDP if there is a NAT.
    #[default]
    Auto,
    /// UDP always, by making the peer believe in a NAT.
    Always,
}
/// What to do about an existing SA with the same IDs when a new one comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum Unique {
    #[default]
    Replace,
    Keep,
    Never,
}
/// An identity that is expected of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdMatch {
    /// Exactly this one.
    Exact(Id),
    /// Any (`%any`).
    Any,
}
/// One connection: one or more IKE SAs with their children.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Our addresses; empty: whatever the route says.
    pub local_addrs: Vec<IpAddr>,
    /// The peer's.
    pub remote_addrs: Vec<Remote>,
    /// IKE proposals in order of preference (numbers and SPIs are set when sending).
    pub proposals: Vec<Proposal>,
    /// Our identity; `None`: our address.
    pub local_id: Option<Id>,
    /// The peer's identity; the default is its address.
    pub remote_id: IdMatch,
    /// Encapsulation.
    pub encap: EncapPolicy,
    /// Liveness check after this much silence, or after half of it if nothing has come after an ESP packet of ours; zero: never.
    pub dpd_delay: Duration,
    /// NAT keepalive interval while we are behind a NAT; zero: never.
    pub keepalive: Duration,
    /// How each side proves who it is.
    pub local_auth: AuthKind,
    /// The peer's.
    pub remote_auth: AuthKind,
    /// Rekey of the IKE SA after this time; zero: never.
    pub rekey_time: Duration,
    /// Reauthentication after this time; zero: never.
    pub reauth_time: Duration,
    /// So long after `rekey_time` or `reauth_time` the IKE SA ends whatever became of it (R35); zero: a tenth of it, 30 s at least.
    pub over_time: Duration,
    /// Up to this is taken off `rekey_time` and `reauth_time`, at random; `None`: a tenth of it.
    pub rand_time: Option<Duration>,
    /// Who rekeys.
    pub rekey: RekeyBy,
    /// IKE fragmentation (RFC 7383).
    pub fragmentation: bool,
    /// MOBIKE (RFC 4555).
    pub mobike: bool,
    /// Childless initiation (RFC 6023).
    pub childless: Childless,
    /// Find a wrong PFS group early (peers.md).
    pub rehearse: bool,
    /// Post-quantum pre-shared key (RFC 8784).
    pub ppk: Option<PpkPolicy>,
    /// Virtual addresses that we ask for; unspecified: any of the family.
    pub vips: Vec<IpAddr>,
    /// Pools that the peer's addresses come from.
    pub pools: Vec<Pool>,
    /// Write the keys of this connection for Wireshark.
    pub keylog: bool,
    /// Uniqueness.
    pub unique: Unique,
    /// Children that IKE negotiates (tunnel mode), in the order of the configuration.
    pub children: Vec<Arc<ChildPolicy>>,
}
/// What to do at the start, and when a child goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum StartAction {
    #[default]
    Start,
    Trap,
    None,
}
/// What to do when the peer is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum DpdAction {
    #[default]
    Restart,
    Trap,
    Clear,
}
/// One child of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildPolicy {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Selectors on our side.
    pub local_ts: Vec<Selector>,
    /// Selectors on the peer's side.
    pub remote_ts: Vec<Selector>,
    /// ESP proposals in order of preference.
    pub proposals: Vec<Proposal>,
    /// At the start.
    pub start: StartAction,
    /// When the peer is dead.
    pub dpd: DpdAction,
    /// Transport instead of tunnel mode.
    pub transport: bool,
    /// Rekey after this time; zero: never. It ends a tenth later, 30 s at least (R35).
    pub rekey_time: Duration,
    /// Rekey after so many octets, both directions together; 0: never.
    pub rekey_bytes: u64,
    /// Rekey after so many packets; 0: never.
    pub rekey_packets: u64,
    /// So many children with the same selectors beside this one, each for one resource (RFC 9611); 0: none, and none for a peer. At most 16,
    /// `Limits::per_resource` and `Host::resources` are in use.
    pub resources: u32,
}
/// How a side proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AuthKind {
    /// A pre-shared key.
    #[default]
    Psk,
    /// A signature, and certificates. What it takes stands in `Policy::credentials` under the connection's name, so that it can be read
    /// anew without the connection being another.
    PublicKey,
}
/// Who rekeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum RekeyBy {
    #[default]
    Both,
    Us,
    Peer,
}
/// Childless initiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum Childless {
    #[default]
    Allow,
    Prefer,
    Force,
    Never,
}
/// A post-quantum pre-shared key: its secret stands in `Policy::secrets` under this identity (a KEY_ID).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PpkPolicy {
    /// PPK_ID.
    pub id: Vec<u8>,
    /// Without it there is no IKE SA.
    pub required: bool,
}
/// Addresses to hand out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// First address.
    pub first: IpAddr,
    /// Last address.
    pub last: IpAddr,
}
/// A pre-shared key and whose it is.
#[derive(Clone, Debug)]
pub struct SharedSecret {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Identities; `IdMatch::Any` matches all, but an exact match wins.
    pub ids: Vec<IdMatch>,
    /// The key.
    pub secret: Secret,
}
