//! Prefix translation: this side's own names for the networks of a child, one to one between prefixes of one size. Pure.
//!
//! What travels on the wire, and what SAs are made for, are the wire's names; hosts, routes and policies here know this side's. A packet is
//! translated as a whole, before it is cut or after it was opened. The bits of a prefix that are exchanged are the same in every address, so
//! every checksum changes by the same number (RFC 1624; as in RFC 6296, but the checksum follows the addresses).
use crate::frozen::frozen;
use crate::wire::ip::{self, Flow, Packet, Quoted, checksum_add, checksum_fold, checksum_update};
use crate::wire::selector::Selector;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and a length in bits; what is behind them is zero.
pub type Prefix = (IpAddr, u8);

/// A prefix under both of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// What it is called on this side.
    pub here: Prefix,
    /// What it is called on the wire, and so by the peer.
    pub wire: Prefix,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From this side to the wire.
    Outward,
    /// From the wire to this side.
    Inward,
}

/// The names of both sides of a child, of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    ipv6: bool,
    local: Map,
    remote: Map,
    /// What a sum over the addresses changes by on its way outward, in ones' complement.
    change: u16,
}

/// One side. Without another name: no bit is exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Map {
    /// The bits of the prefix.
    mask: u128,
    here: u128,
    wire: u128,
}
frozen! {
    struct Translation { ipv6, local, remote, change }
    struct Map { mask, here, wire }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const UDPLITE: u8 = 136;

/// Where the checksum stands in an ICMP or ICMPv6 message, and where the packet that an error is about.
const ICMP_CHECKSUM: usize = 2;
const QUOTE: usize = 8;
/// No checksum of an upper layer is further in than this.
const LAST_CHECKSUM: usize = 18;

impl Translation {
    /// `None` stands for a side whose names are those of the wire. Neither side, prefixes of two sizes or of two families, and a prefix of
    /// length 0, give none.
    pub fn new(local: Option<Names>, remote: Option<Names>) -> Option<Self> {
        let first = local.or(remote)?;
        let ipv6 = first.here.0.is_ipv6();
        let fits = |names: &Names| {
            let families = [names.here, names.wire].map(|(addr, _)| addr.is_ipv6());
            families == [ipv6; 2] && names.here.1 == names.wire.1 && names.here.1 > 0
        };
        if !local.iter().chain(&remote).all(fits) {
            return None;
        }
        let [local, remote] = [local, remote].map(|names| names.map(Map::of).unwrap_or_default());
        let change = local.change() + remote.change();
        Some(Self { ipv6, local, remote, change: checksum_fold(change) })
    }

    /// This side's names for the local and the remote prefix, where they are others than the wire's.
    pub fn here(&self) -> [Option<Prefix>; 2] {
        [self.local, self.remote].map(|map| {
            let len = map.mask.count_ones() as u8;
            (len > 0).then(|| (address(map.here, self.ipv6), len))
        })
    }

    /// A selector of our side on the wire, as it is called here. `None` if there is no name for all of it.
    pub fn local_here(&self, wire: &Selector) -> Option<Selector> {
        self.selector(self.local, wire)
    }

    /// The same of the peer's side.
    pub fn remote_here(&self, wire: &Selector) -> Option<Selector> {
        self.selector(self.remote, wire)
    }

    fn selector(&self, map: Map, wire: &Selector) -> Option<Selector> {
        let here = |addr| self.translate(map, Way::Inward, addr);
        Some(Selector { start: here(wire.start)?, end: here(wire.end)?, ..*wire })
    }

    /// The flow of a packet by its other names. `None` if it has none, or if a routing header leads the packet on: the addresses in there would
    /// stay, and one of them counts in its checksum.
    pub fn flow_of(&self, way: Way, data: &[u8], parsed: &Packet) -> Option<Flow> {
        if ip::is_led_on(data, parsed) { None } else { self.flow(way, &parsed.flow) }
    }

    /// The same flow by its other names; outward the source is ours, inward the destination is. `None` if one of its ends has none.
    pub fn flow(&self, way: Way, flow: &Flow) -> Option<Flow> {
        let (source, destination) = self.ends(way);
        let src = self.translate(source, way, flow.src)?;
        let dst = self.translate(destination, way, flow.dst)?;
        Some(Flow { src, dst, ..*flow })
    }

    /// Gives a packet or super-packet, of which `parsed` was read, its other names. `partial`: the checksum of its upper layer holds the sum of
    /// the pseudo-header only. The flow that it is now; `None`, and nothing changed, if [`Self::flow_of`] has none.
    pub fn packet(&self, way: Way, data: &mut [u8], parsed: &Packet, partial: bool) -> Option<Flow> {
        let flow = self.flow_of(way, data, parsed)?;
        let packet = data.get_mut(..parsed.len)?;
        let change = match way {
            Way::Outward => self.change,
            Way::Inward => !self.change,
        };
        put_addresses(packet, flow.src, flow.dst)?;
        if !self.ipv6 {
            update(packet, 10, 0, change.into());
        }
        if flow.later_fragment {
            return Some(flow);
        }
        let upper = &mut packet[parsed.l4..];
        match checksum_at(flow.proto, self.ipv6).and_then(|at| upper.get_mut(at..at + 2)) {
            Some(sum) if partial => {
                let sum_of_pseudo_header = u64::from(u16::from_be_bytes([sum[0], sum[1]])) + u64::from(change);
                sum.copy_from_slice(&checksum_fold(sum_of_pseudo_header).to_be_bytes());
            }
            Some(sum) => update_upper(sum, flow.proto, 0, change.into()),
            None => {}
        }
        if is_error(flow.proto, self.ipv6, upper) {
            self.error(way, upper, partial);
        }
        Some(flow)
    }

    /// The packet that an ICMP error is about went the other way: its source is this error's destination's side. Ends of it that have no
    /// other name stay, for a router may quote what it likes.
    fn error(&self, way: Way, icmp: &mut [u8], partial: bool) {
        let Some((head, quote)) = icmp.split_at_mut_checked(QUOTE) else { return };
        let Ok(Quoted { src, dst, proto, l4, len, .. }) = ip::parse_quoted(quote) else { return };
        if src.is_ipv6() != self.ipv6 {
            return;
        }
        let quote = &mut quote[..len];
        let (destination, source) = self.ends(way);
        let new_src = self.translate(source, way, src).unwrap_or(src);
        let new_dst = self.translate(destination, way, dst).unwrap_or(dst);
        let sum = |ends: [IpAddr; 2]| ends.iter().fold(0, |sum, addr| sum_of(sum, *addr));
        let (old, new) = (sum([src, dst]), sum([new_src, new_dst]));
        let covered = len.min(l4 + LAST_CHECKSUM);
        let before = checksum_add(0, &quote[..covered]);
        if put_addresses(quote, new_src, new_dst).is_none() {
            return;
        }
        if !self.ipv6 {
            update(quote, 10, old, new);
        }
        if let Some(at) = checksum_at(proto, self.ipv6)
            && let Some(sum) = quote.get_mut(l4..).and_then(|upper| upper.get_mut(at..at + 2))
        {
            update_upper(sum, proto, old, new);
        }
        if !partial {
            update(head, ICMP_CHECKSUM, before, checksum_add(0, &quote[..covered]));
        }
    }

    /// The sides of source and destination.
    fn ends(&self, way: Way) -> (Map, Map) {
        match way {
            Way::Outward => (self.local, self.remote),
            Way::Inward => (self.remote, self.local),
        }
    }

    fn translate(&self, map: Map, way: Way, addr: IpAddr) -> Option<IpAddr> {
        let bits = match addr {
            IpAddr::V4(addr) if !self.ipv6 => addr.to_bits().into(),
            IpAddr::V6(addr) if self.ipv6 => addr.to_bits(),
            _ => return None,
        };
        let (from, to) = match way {
            Way::Outward => (map.here, map.wire),
            Way::Inward => (map.wire, map.here),
        };
        (bits & map.mask == from).then(|| address(bits & !map.mask | to, self.ipv6))
    }
}

impl Map {
    fn of(names: Names) -> Self {
        let bits = |(addr, len): Prefix| {
            let (bits, width) = match addr {
                IpAddr::V4(addr) => (u128::from(addr.to_bits()), 32),
                IpAddr::V6(addr) => (addr.to_bits(), 128),
            };
            let all = u128::MAX >> (128 - width);
            let mask = all & !u128::MAX.checked_shr(128 - width + u32::from(len)).unwrap_or(0);
            (bits & mask, mask)
        };
        let ((here, mask), (wire, _)) = (bits(names.here), bits(names.wire));
        Self { mask, here, wire }
    }

    /// Of a sum that an address is in: the wire's bits come, and those of this side go. None of the others carries over into them.
    fn change(&self) -> u64 {
        let sum = |bits: u128| checksum_fold(checksum_add(0, &bits.to_be_bytes()));
        u64::from(sum(self.wire)) + u64::from(!sum(self.here))
    }
}

fn address(bits: u128, ipv6: bool) -> IpAddr {
    if ipv6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}

fn sum_of(sum: u64, addr: IpAddr) -> u64 {
    match addr {
        IpAddr::V4(addr) => checksum_add(sum, &addr.octets()),
        IpAddr::V6(addr) => checksum_add(sum, &addr.octets()),
    }
}

/// `None`, and nothing is done, if there is no room for them.
fn put_addresses(packet: &mut [u8], src: IpAddr, dst: IpAddr) -> Option<()> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let ends = packet.get_mut(12..20)?;
            ends[..4].copy_from_slice(&src.octets());
            ends[4..].copy_from_slice(&dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let ends = packet.get_mut(8..40)?;
            ends[..16].copy_from_slice(&src.octets());
            ends[16..].copy_from_slice(&dst.octets());
        }
        _ => return None,
    }
    Some(())
}

/// Where the upper layer has a checksum that counts the addresses in. ICMP of IPv4 and SCTP have theirs over themselves alone.
fn checksum_at(proto: u8, ipv6: bool) -> Option<usize> {
    match proto {
        TCP => Some(16),
        UDP | UDPLITE | DCCP => Some(6),
        ICMPV6 if ipv6 => Some(ICMP_CHECKSUM),
        _ => None,
    }
}

/// RFC 792, RFC 4443 section 2.1: destination unreachable, source quench, time exceeded, parameter problem, and packet too big.
fn is_error(proto: u8, ipv6: bool, upper: &[u8]) -> bool {
    match (proto, ipv6, upper.first()) {
        (ICMP, false, Some(kind)) => matches!(kind, 3 | 4 | 11 | 12),
        (ICMPV6, true, Some(kind)) => matches!(kind, 1..=4),
        _ => false,
    }
}

fn update(data: &mut [u8], at: usize, before: u64, after: u64) {
    if let Some(sum) = data.get_mut(at..at + 2) {
        let new = checksum_update(u16::from_be_bytes([sum[0], sum[1]]), before, after);
        sum.copy_from_slice(&new.to_be_bytes());
    }
}

/// In UDP zero means that there is none, and none is made of it. A sum that comes out as zero travels as all ones (RFC 768; RFC 3828 section
/// 3.1 for UDP-Lite, where there always is one).
fn update_upper(sum: &mut [u8], proto: u8, before: u64, after: u64) {
    if proto == UDP && *sum == [0; 2] {
        return;
    }
    update(sum, 0, before, after);
    if matches!(proto, UDP | UDPLITE) && *sum == [0; 2] {
        sum.fill(0xff);
    }
}
