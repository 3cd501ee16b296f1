//! NAT detection (RFC 7296 section 2.23).
use crate::crypto::digest::sha1;
use crate::wire::message::IkeSpi;
use crate::wire::payload::Notify;
use crate::wire::registry::NotifyType;
use std::net::{IpAddr, SocketAddr};

/// Where address translation was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Nat {
    /// Our address changes on its way to the peer.
    pub local: bool,
    /// The peer's changes on its way to us.
    pub remote: bool,
    /// We made the peer believe in one (`encap = "always"`).
    pub forged: bool,
    /// The peer does NAT traversal.
    pub spoken: bool,
    /// Our address as the peer saw it, hashed: another hash with the same SPIs is another mapping (RFC 4555 section 3.8).
    pub seen_as: Option<[u8; 20]>,
}
impl Nat {
    /// ESP goes in UDP.
    pub(super) fn udp(self) -> bool {
        self.local || self.remote || self.forged
    }
    /// `none`, `local`, `remote`, `both`.
    pub(super) fn name(self) -> &'static str {
        match (self.local, self.remote) {
            (false, false) => "none",
            (true, false) => "local",
            (false, true) => "remote",
            (true, true) => "both",
        }
    }
}

/// Both notifications. A forged source (random octets) makes the peer believe that we are behind a NAT.
pub(super) fn notifies(
    spis: (IkeSpi, IkeSpi),
    local: SocketAddr,
    remote: SocketAddr,
    forged: Option<[u8; 20]>,
) -> [Notify; 2] {
    let source = forged.unwrap_or_else(|| hash(spis, local));
    [
        Notify::new(NotifyType::NAT_DETECTION_SOURCE_IP, source),
        Notify::new(NotifyType::NAT_DETECTION_DESTINATION_IP, hash(spis, remote)),
    ]
}

/// Reads the peer's notifications. A peer that sends none does not do NAT traversal: nothing is detected.
pub(super) fn detect(
    notifies: &[Notify],
    spis: (IkeSpi, IkeSpi),
    local: SocketAddr,
    remote: SocketAddr,
    forged: bool,
) -> Nat {
    let said = |kind| notifies.iter().filter(move |n| n.kind == kind);
    let is = |kind, addr| {
        let expected = hash(spis, addr);
        said(kind).any(|n| n.data == expected)
    };
    let (source, destination) = (NotifyType::NAT_DETECTION_SOURCE_IP, NotifyType::NAT_DETECTION_DESTINATION_IP);
    if said(source).next().is_none() || said(destination).next().is_none() {
        return Nat::default();
    }
    let seen_as = seen_as(notifies);
    Nat { local: !is(destination, local), remote: !is(source, remote), forged, spoken: true, seen_as }
}
/// Our address as the peer says to see it, hashed.
pub(super) fn seen_as(notifies: &[Notify]) -> Option<[u8; 20]> {
    let said = notifies.iter().find(|n| n.kind == NotifyType::NAT_DETECTION_DESTINATION_IP)?;
    said.data.as_slice().try_into().ok()
}

/// SHA-1(SPIi | SPIr | address | port).
fn hash(spis: (IkeSpi, IkeSpi), addr: SocketAddr) -> [u8; 20] {
    let port = addr.port().to_be_bytes();
    match addr.ip() {
        IpAddr::V4(ip) => sha1(&[&spis.0.0, &spis.1.0, &ip.octets(), &port]),
        IpAddr::V6(ip) => sha1(&[&spis.0.0, &spis.1.0, &ip.octets(), &port]),
    }
}
