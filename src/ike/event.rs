//! What the endpoint says: the only way that `ike` speaks to the rest.
use super::diagnose::Failure;
use super::examine::{Examined, NotNow, Question};
use crate::crypto::cert::Crl;
use crate::crypto::cipher::Cipher;
use crate::crypto::secret::Secret;
use crate::crypto::work::{Done, Work};
use crate::wire::message::IkeSpi;
use crate::wire::payload::Proposal;
use crate::wire::selector::Selector;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// An IKE SA, for us; never used twice in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IkeId(pub u64);
/// A child SA pair, for us; never used twice in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId(pub u64);

/// What the endpoint needs of its host; the answers come from memory, at once.
pub trait Host: Send {
    /// Random octets.
    fn random(&mut self, out: &mut [u8]);
    /// A fresh inbound ESP SPI for a child of this connection. `peer` tells the peers of one `%any` connection apart (0 otherwise);
    /// `resource` is what the child is for, if it is for one (RFC 9611).
    fn allocate_spi(&mut self, connection: &str, child: &str, peer: u32, resource: Option<u32>) -> Option<u32>;
    /// So many resources there are that a child can be for (RFC 9611): workers.
    fn resources(&self) -> u32 {
        u32::MAX
    }
    /// The SPI will never be installed. (That of an installed child is free after its `ChildDown` and the grace that follows it.)
    fn release_spi(&mut self, spi: u32);
    /// The local address that the routes choose towards `remote`.
    fn local_addr(&mut self, remote: IpAddr) -> Option<IpAddr>;
    /// All addresses of this host that a peer could reach, the most important first (MOBIKE tells the peer of them).
    fn local_addrs(&mut self) -> Vec<IpAddr> {
        Vec::new()
    }
    /// Known addresses of a name; asking starts resolving it, and so does asking after they have become old.
    fn resolve(&mut self, name: &str) -> Vec<IpAddr>;
    /// Whoever has this name is silent, so that what is known of it may not be true any more: it is resolved anew, unless that was a moment ago.
    /// True: an answer, or that there is none, is on its way (`Input::Resolved`).
    fn resolve_again(&mut self, _name: &str) -> bool {
        false
    }
    /// This host itself has the address.
    fn is_ours(&mut self, addr: IpAddr) -> bool {
        self.local_addrs().contains(&addr)
    }
    /// The host has the address `local`, and a way from there to `remote`.
    fn reaches(&mut self, _local: IpAddr, _remote: IpAddr) -> bool {
        true
    }
    /// The wall clock, since 1970: certificates are judged by it. A host without one believes no certificate.
    fn unix_time(&mut self) -> Duration {
        Duration::ZERO
    }
}

/// What is wanted of one peer: of one child, or of its IKE SA.
#[derive(Clone, Debug)]
pub enum PeerOrder {
    /// Take it down, politely.
    Down(Option<Arc<str>>),
    /// Rekey it.
    Rekey(Option<Arc<str>>),
}
/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// An IKE message, without the non-ESP marker. `local` holds the port that it came to.
    Datagram {
        /// Our end.
        local: SocketAddr,
        /// The sender.
        remote: SocketAddr,
        /// The message.
        data: &'a [u8],
    },
    /// Nothing but the time.
    Timer,
    /// From a user or the configuration.
    Command(Command),
    /// The result of a `Compute`.
    Computed {
        /// Which job.
        job: u64,
        /// What came of it.
        done: Done,
    },
    /// The result of a `Fetch`.
    Fetched {
        /// Which job.
        job: u64,
        /// Lists that came; which of them are genuine the endpoint finds out.
        crls: Vec<Arc<Crl>>,
    },
    /// An authentic ESP packet of this IKE SA's children came from another source (R37). The endpoint decides.
    EspMoved {
        /// Inbound SPI.
        spi: u32,
        /// New source.
        remote: SocketAddr,
    },
    /// What became of ESP lately, if something did. It is looked for every [`Policy::look_interval`](super::policy::Policy::look_interval).
    EspSeen(&'a Seen),
    /// How much has travelled on child SAs so far: what `rekey_bytes`, `rekey_packets` and the sequence space are compared with. Comes at
    /// least every two seconds.
    EspUsage(&'a [Usage]),
    /// A packet came with an inbound SPI that we have offered and have no keys for: the peer has answered, and its answer is late or lost (R3).
    LarvalHit(u32),
    /// An ESP packet of at least 40 octets came with an inbound SPI that belongs to nothing here: its sender may not know that we have lost it.
    UnknownSpi {
        /// The SPI.
        spi: u32,
        /// Our end; port 0 for raw ESP.
        local: SocketAddr,
        /// The sender; port 0 for raw ESP.
        remote: SocketAddr,
    },
    /// Local addresses have come or gone, or routes have changed: the host is asked for what there is now.
    AddrsChanged,
    /// These names have been resolved, or could not be.
    Resolved(&'a [String]),
    /// A packet for a child without an SA.
    Acquire {
        /// Connection.
        connection: Arc<str>,
        /// Child.
        child: Arc<str>,
    },
}
/// What has been seen of ESP since it was last looked at. Child SAs are named by their inbound SPIs.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When that was: everything seen is younger.
    pub since: Duration,
    /// Authentic packets came: the peer lives.
    pub heard: Vec<u32>,
    /// Packets were sent, and none came.
    pub unanswered: Vec<u32>,
    /// Packets were sent, whatever came.
    pub sent: Vec<u32>,
}
impl Seen {
    /// There was no ESP.
    pub fn is_empty(&self) -> bool {
        self.heard.is_empty() && self.unanswered.is_empty() && self.sent.is_empty()
    }
}
/// What has travelled on a pair of ESP SAs, both directions together.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Usage {
    pub id: ChildId,
    pub bytes: u64,
    pub packets: u64,
    /// Of the sequence numbers of the sending direction, in thousandths; 1000: none is left.
    pub sequence_permille: u16,
}
/// A command.
#[derive(Clone, Debug)]
pub enum Command {
    /// New policy (start-up, reload). What is up takes it on, or is made anew, as `adopt` says; `Endpoint::adopted` tells which.
    SetPolicy(Arc<super::policy::Policy>),
    /// Bring up a connection with all its children, or one child.
    Up {
        /// Connection.
        connection: Arc<str>,
        /// Child, or all.
        child: Option<Arc<str>>,
    },
    /// Take down, politely.
    Down {
        /// Connection.
        connection: Arc<str>,
        /// Child, or all with the IKE SA.
        child: Option<Arc<str>>,
    },
    /// Rekey a child, or the IKE SA.
    Rekey {
        /// Connection.
        connection: Arc<str>,
        /// Child, or the IKE SA.
        child: Option<Arc<str>>,
    },
    /// What is wanted of one peer of a connection that has several.
    OfPeer {
        /// Connection.
        connection: Arc<str>,
        /// Number of the peer.
        peer: u32,
        /// What.
        order: PeerOrder,
    },
    /// Make the IKE SAs of a connection anew, with the children that are up: nothing passes through them.
    Restart {
        /// Connection.
        connection: Arc<str>,
    },
    /// Make the IKE SA of a child anew, if the child is in use: it carries nothing, and cannot be rekeyed. A peer that we cannot call has to come
    /// again.
    Remake {
        /// Which.
        child: ChildId,
    },
    /// Take a connection down until it is released, or somebody says `Up` or `Down` of it: others have its traffic meanwhile. What was wanted of
    /// its children before is wanted again then, and those that are up now come up.
    Hold {
        /// Connection.
        connection: Arc<str>,
    },
    /// The end of that.
    Release {
        /// Connection.
        connection: Arc<str>,
    },
    /// Find out whether an outer IP packet of `size` octets reaches the peer and is answered: an INFORMATIONAL request of that size with DF and,
    /// if it is not answered soon, the same request made smaller (RFC 7383 section 2.5.2), so that a narrow path does no harm. Each command is
    /// answered by one `Event::Probed`; at once if there is no such IKE SA, or if it is ending, being rekeyed or moving. Packets of more than 9,216
    /// octets are not tried.
    Probe {
        /// Which.
        ike: IkeId,
        /// Octets of the IP packet, its header included.
        size: u16,
    },
    /// Find out what the peer of a connection takes (`examine`): `Event::Examined` or `Event::NotExamined`.
    Examine {
        /// Connection.
        connection: Arc<str>,
    },
    /// Delete everything politely; `Event::Drained` follows when all peers have answered or 2 s have passed.
    Shutdown,
}
/// What goes out, in order.
#[derive(Debug)]
pub enum Output {
    /// Send an IKE message from `local` to `remote`. The non-ESP marker is the sender's job, if `local`'s port is the NAT-T port.
    Transmit {
        /// Our end.
        local: SocketAddr,
        /// The peer.
        remote: SocketAddr,
        /// The message, without marker.
        data: Vec<u8>,
        /// In one piece or not at all: no router and no system may fragment it. If it is too large even for the device, it is lost like any other.
        dont_fragment: bool,
    },
    /// Send one octet 0xff.
    Keepalive {
        /// Our end.
        local: SocketAddr,
        /// The peer.
        remote: SocketAddr,
    },
    /// Compute this somewhere else, and come back with `Input::Computed`.
    Compute {
        /// Number of the job.
        job: u64,
        /// What to compute.
        work: Work,
    },
    /// Fetch these revocation lists, whose addresses stand in certificates of a chain that has been verified, and come back with
    /// `Input::Fetched`, also with none. Never from an address of our own, a private or a link-local one, unless the host is allowed.
    Fetch {
        /// Number of the job.
        job: u64,
        /// At most three, `http` alone.
        urls: Vec<String>,
        /// Hosts that may be anywhere.
        allowed: Arc<[String]>,
    },
    /// Something happened.
    Event(Event),
}
/// Outer addresses of an IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkePath {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// ESP goes in UDP.
    pub udp: bool,
    /// A moved source of authentic ESP may be reported by `Input::EspMoved`.
    pub may_move: bool,
}
/// Keys of one direction.
#[derive(Clone, Debug)]
pub struct DirectionKeys {
    /// Encryption key, an AEAD's salt at its end.
    pub encr: Secret,
    /// Integrity key.
    pub integ: Secret,
}
/// The keys of an IKE SA, for somebody who reads a capture of it.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct KeyLog {
    pub connection: Arc<str>,
    pub spi_i: IkeSpi,
    pub spi_r: IkeSpi,
    pub cipher: Cipher,
    /// SK_ei and SK_ai.
    pub initiator: DirectionKeys,
    /// SK_er and SK_ar.
    pub responder: DirectionKeys,
}
/// A negotiated pair of ESP SAs.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ChildUp {
    pub ike: IkeId,
    pub id: ChildId,
    pub connection: Arc<str>,
    pub child: Arc<str>,
    pub peer: u32,
    pub spi_in: u32,
    pub spi_out: u32,
    pub cipher: Cipher,
    pub esn: bool,
    pub keys_in: DirectionKeys,
    pub keys_out: DirectionKeys,
    /// Transport mode: no inner header (RFC 4303 section 3.1.1).
    pub transport: bool,
    /// Of transport mode behind a NAT: source and destination of the peer's packets as it writes them, which its checksums were made with
    /// (RFC 3948 section 3.1.2).
    pub nat_original: Option<(IpAddr, IpAddr)>,
    pub local_ts: Vec<Selector>,
    pub remote_ts: Vec<Selector>,
    pub path: IkePath,
    /// What was chosen, for people.
    pub proposal: Proposal,
    /// We sent the request.
    pub initiator: bool,
    /// The child that it takes the place of (a rekey).
    pub replaces: Option<ChildId>,
    /// The resource that it is for, below `Host::resources` (RFC 9611); `None`: it is an ordinary child, or the fallback of those.
    pub resource: Option<u32>,
    /// It has lost a collision of two rekeys and will be deleted: what comes on it is taken, nothing is sent on it.
    pub inbound_only: bool,
}
/// Why something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Ended {
    ByUs,
    ByPeer,
    Replaced,
    PeerDead,
    Failed,
    /// Its lifetime is over, and nothing has taken its place.
    Expired,
}
/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An IKE SA is authenticated.
    IkeUp {
        /// Which.
        ike: IkeId,
        /// Connection.
        connection: Arc<str>,
        /// Peer number.
        peer: u32,
    },
    /// It is gone; its children ended before.
    IkeDown {
        /// Which.
        ike: IkeId,
        /// Connection.
        connection: Arc<str>,
        /// Why.
        why: Ended,
    },
    /// A new IKE SA has taken the place of one: all its children, its peer and its outer addresses are the new one's now. The old one ends
    /// without `IkeDown`, the new one began without `IkeUp`.
    IkeRekeyed {
        /// Before.
        old: IkeId,
        /// From now on.
        new: IkeId,
        /// Connection.
        connection: Arc<str>,
        /// Peer number.
        peer: u32,
    },
    /// Install both directions, in the order of design.md, "Order of a rekey".
    ChildUp(Box<ChildUp>),
    /// Remove both directions (inbound after 5 s of grace when `why` is `Replaced`).
    ChildDown {
        /// Which.
        id: ChildId,
        /// Connection.
        connection: Arc<str>,
        /// Child.
        child: Arc<str>,
        /// The resource that it was for (RFC 9611).
        resource: Option<u32>,
        /// Why.
        why: Ended,
    },
    /// The peer is asked to delete a child that another one has the place of, or that is for one resource: it may do so any moment, and nothing is
    /// sent on it any more.
    ChildLeaving {
        /// Which.
        id: ChildId,
    },
    /// The outer addresses changed.
    PathChanged {
        /// Which.
        ike: IkeId,
        /// Now.
        path: IkePath,
    },
    /// What became of a `Command::Probe`.
    Probed {
        /// Which.
        ike: IkeId,
        /// As it was asked for.
        size: u16,
        /// As it was sent: the same, or up to 15 octets less where IKE's cipher works by blocks.
        sent: u16,
        /// A request as large as that was answered; or it was not, but the same request was as soon as it was smaller, or it is not risked because
        /// one like it may have been the end of an IKE SA less than an hour ago. `None`: it is not known. It was not tried, or nothing has come
        /// through for a while, or the IKE SA has ended, moved or been rekeyed meanwhile.
        fits: Option<bool>,
    },
    /// An inbound SPI that we have offered and have no keys for yet: packets for it are kept for a moment (design.md, "Order of a rekey").
    /// `ChildUp` with this `spi_in`, or `Host::release_spi`, ends it.
    Larval {
        /// Our SPI.
        spi: u32,
    },
    /// Addresses that the peer has given us, or that we have given the peer (configuration payload). They go with the IKE SA.
    Addresses {
        /// Which.
        ike: IkeId,
        /// Connection.
        connection: Arc<str>,
        /// Ours, to be installed; empty if we are the one that gives.
        ours: Vec<IpAddr>,
        /// The peer's.
        theirs: Vec<IpAddr>,
    },
    /// An IKE SA has keys, and its connection asks for them to be written down (`keylog`).
    KeyLog(Box<KeyLog>),
    /// An attempt failed, or the peer refused.
    Failed(Box<Failure>),
    /// It works, though not as an end has it in its configuration: `ts.narrowed`, `lifetime.peer_shorter` ... Once for as long as it is so.
    Noticed(Box<Failure>),
    /// It works, but not as it should, or not for long: `auth.cert.expires`, `auth.cert.crl_missing`.
    Warning {
        /// Connection.
        connection: Arc<str>,
        /// What, as in a failure.
        code: &'static str,
        /// What it is about.
        values: Vec<String>,
    },
    /// What came of a `Command::Examine`.
    Examined(Box<Examined>),
    /// It has not begun, or was broken off.
    NotExamined {
        /// Connection.
        connection: Arc<str>,
        /// Why.
        why: NotNow,
    },
    /// A question of an examination leaves now.
    Examining {
        /// Connection.
        connection: Arc<str>,
        /// Which; its answer is not there yet.
        question: Question,
    },
    /// After `Command::Shutdown`: nothing is left.
    Drained,
}
