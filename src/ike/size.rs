//! How large a message of ours may be (RFC 7383 section 2.5.1).
use super::channel::Opened;
use crate::frozen::frozen;
use std::net::SocketAddr;
use std::time::Duration;

/// IP datagrams of this size pass nearly everywhere; they are tried first.
const FIRST: usize = 1280;
/// And these over IPv4 everywhere else. Every path of IPv6 takes `FIRST`.
const LAST_V4: usize = 576;
/// Headers of IPv4, IPv6, and of UDP with the non-ESP marker, which is not everywhere but costs little.
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8 + MARKER;
const MARKER: usize = 4;
/// A message of this size is never cut.
pub(super) const SMALLEST: usize = LAST_V4 - IPV4 - UDP;

/// What is known of the path as far as messages of IKE have to fit it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Both ends have announced IKEV2_FRAGMENTATION_SUPPORTED.
    pub agreed: bool,
    /// The largest message, if experience has made it smaller than the usual one.
    known: Option<usize>,
    /// The time from the last request to its answer: a round trip, or more if something was lost.
    pub round_trip: Option<Duration>,
    /// The largest probe that was answered in its full size, in octets of the IP packet.
    pub proven: u16,
}
frozen! { struct Size { agreed, known, round_trip, proven } }
impl Size {
    /// Of a new path.
    pub(super) fn new(agreed: bool) -> Self {
        Self { agreed, known: None, round_trip: None, proven: 0 }
    }
    /// The longest message towards `remote`; `usize::MAX`: fragments are not understood there.
    pub(super) fn room(self, remote: SocketAddr) -> usize {
        let usual = if remote.is_ipv4() { FIRST - IPV4 - UDP } else { FIRST - IPV6 - UDP };
        match self {
            Self { agreed: false, .. } => usize::MAX,
            Self { known, .. } => known.map_or(usual, |known| known.min(usual)),
        }
    }
    /// The longest message that every path takes towards `remote`; `usize::MAX`: fragments are not understood there.
    pub(super) fn smallest(mut self, remote: SocketAddr) -> usize {
        self.shrink(remote);
        self.room(remote)
    }
    /// Nobody answers: the smallest size from now on.
    pub(super) fn shrink(&mut self, remote: SocketAddr) {
        if remote.is_ipv4() {
            self.known = Some(SMALLEST);
        }
    }
    /// A message has come: if the peer cuts its messages smaller than we do, it may know why (RFC 7383 section 2.5.1).
    pub(super) fn learn(&mut self, opened: &Opened) {
        if let Some(largest) = opened.largest {
            self.heard(largest);
        }
    }
    /// The peer cuts its messages to this size.
    pub(super) fn heard(&mut self, largest: usize) {
        let largest = largest.max(SMALLEST);
        self.known = Some(self.known.map_or(largest, |known| known.min(largest)));
    }
    /// Another path, of which nothing is known.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.agreed);
    }
}
/// The length of a message in an IP packet of `packet` octets; `None`: there is none. `marked`: a non-ESP marker stands before it.
pub(super) fn message_in(packet: u16, remote: SocketAddr, marked: bool) -> Option<usize> {
    let headers = if remote.is_ipv4() { IPV4 } else { IPV6 } + UDP - if marked { 0 } else { MARKER };
    usize::from(packet).checked_sub(headers)
}
