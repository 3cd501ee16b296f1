//! How an inner packet fits its path: whole, in fragments, or not at all. Pure.
use super::icmp::Reason;
use super::outbound::Refusal;
use crate::esp::drop::Drop;
use crate::ipsec::fitting::OuterFragments;
use crate::ipsec::tables::OutboundEntry;
use crate::wire::ip::Packet;
use crate::wire::selector::Selector;

/// Smallest MTU of IPv6 (RFC 8200 section 5).
const IPV6_MIN_MTU: usize = 1280;
/// Smallest MTU of IPv4 (RFC 791 section 3.2).
const IPV4_MIN_MTU: usize = 68;

/// How a packet is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it is, with this DF on the outer packet.
    Whole {
        /// Nobody on the path may fragment it.
        dont_fragment: bool,
    },
    /// As fragments of at most this many octets, with DF on the outer packets.
    Fragments(usize),
}

impl Fit {
    /// DF of the outer packets.
    pub(super) fn dont_fragment(self) -> bool {
        self != Self::Whole { dont_fragment: false }
    }
}

/// `largest`: octets of the largest inner packet, `mtu`: what the path takes.
///
/// The outer packet has DF although the inner one may not have it (RFC 4301 section 8.1 leaves the choice): where the path takes less than
/// we think, the loss is told of and found, and does not become a life of outer fragments. IPv4 that may be fragmented is, before ESP; but
/// where the selectors have ports the peer could not check the fragments (RFC 4301 section 7.3), and transport mode carries none (RFC 4303
/// section 3.1.1), so there the outer packet is fragmented. So it is for IPv6 on a path that is too narrow for IPv6's smallest packet
/// (RFC 2473 section 7.1).
pub(super) fn fit(
    largest: usize,
    parsed: &Packet,
    mtu: usize,
    outer_fragments: OuterFragments,
    entry: &OutboundEntry,
) -> Result<Fit, Refusal> {
    let ipv4 = parsed.flow.src.is_ipv4();
    let auto = match outer_fragments {
        OuterFragments::Always => return Ok(Fit::Whole { dont_fragment: false }),
        OuterFragments::Auto => true,
        OuterFragments::Never => false,
    };
    if largest <= mtu {
        return Ok(Fit::Whole { dont_fragment: true });
    }
    if !ipv4 && largest <= IPV6_MIN_MTU {
        // A sender of IPv6 need not, and mostly will not, make anything smaller of it (RFC 8200 section 5).
        return if auto { Ok(Fit::Whole { dont_fragment: false }) } else { Err(Drop::TooBig.into()) };
    }
    let whole = entry.transport || entry.local_ts.iter().chain(&*entry.remote_ts).any(Selector::has_ports);
    match parsed.dont_fragment {
        false if whole && auto => Ok(Fit::Whole { dont_fragment: false }),
        false if !whole => Ok(Fit::Fragments(mtu)),
        _ => {
            let floor = if ipv4 { IPV4_MIN_MTU } else { IPV6_MIN_MTU };
            let mtu = u16::try_from(mtu.max(floor)).unwrap_or(u16::MAX);
            Err(Refusal { drop: Drop::TooBig, answer: Some(Reason::TooBig(mtu)) })
        }
    }
}
