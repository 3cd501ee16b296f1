//! Traffic selectors as ranges: contain, overlap, narrow (RFC 7296 sections 2.9 and 3.13.1, RFC 4301 section 4.4.1).
use super::ip::{self, Flow};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Every port, and what has none.
pub const ANY_PORTS: (u16, u16) = (0, 65535);
/// OPAQUE: only what has no port, or one that cannot be seen (RFC 7296 section 3.13.1).
pub const OPAQUE_PORTS: (u16, u16) = (65535, 0);

/// One traffic selector. `start` and `end` are of one family and `start <= end` (parsing refuses others).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// IP protocol, 0 = any.
    pub proto: u8,
    /// First and last port; ICMP: type and code (RFC 7296 section 3.13.1). (0, 65535) = any; (65535, 0) = OPAQUE.
    pub ports: (u16, u16),
    /// First address.
    pub start: IpAddr,
    /// Last address.
    pub end: IpAddr,
}
impl Selector {
    /// All of one prefix, any protocol; host bits of `addr` are cleared, and a length beyond the address is a host.
    pub fn prefix(addr: IpAddr, len: u8) -> Self {
        let host = host_mask(addr, len);
        let bits = to_bits(addr);
        Self { proto: 0, ports: ANY_PORTS, start: from_bits(addr, bits & !host), end: from_bits(addr, bits | host) }
    }
    /// The one prefix that it is exactly, if it is one.
    pub fn as_prefix(&self) -> Option<(IpAddr, u8)> {
        let (start, end) = (to_bits(self.start), to_bits(self.end));
        let host = start ^ end;
        let aligned = host & host.wrapping_add(1) == 0 && start & host == 0;
        aligned.then(|| (self.start, width(self.start) - (128 - host.leading_zeros()) as u8))
    }
    /// The prefixes that make up the range, at most 254.
    pub fn prefixes(&self) -> Vec<(IpAddr, u8)> {
        let (mut next, end) = (to_bits(self.start), to_bits(self.end));
        let mut out = Vec::new();
        while next <= end {
            // The longest run that begins here: as long as the alignment of `next` and what is left allow.
            let left = (end - next).saturating_add(1).ilog2();
            let bits = next
                .trailing_zeros()
                .min(if end - next == u128::MAX { 128 } else { left })
                .min(width(self.start).into());
            out.push((from_bits(self.start, next), width(self.start) - bits as u8));
            let Some(after) = 1u128.checked_shl(bits).and_then(|size| next.checked_add(size)) else { break };
            next = after;
        }
        out
    }
    /// Everything of `other` is in here.
    pub fn contains(&self, other: &Self) -> bool {
        self.intersect(other).as_ref() == Some(other)
    }
    /// What both have.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let proto = match (self.proto, other.proto) {
            (0, p) | (p, 0) => p,
            (a, b) if a == b => a,
            _ => return None,
        };
        let ports = match (self.ports, other.ports) {
            (ANY_PORTS, ports) | (ports, ANY_PORTS) => ports,
            (OPAQUE_PORTS, OPAQUE_PORTS) => OPAQUE_PORTS,
            (OPAQUE_PORTS, _) | (_, OPAQUE_PORTS) => return None,
            (a, b) => (a.0.max(b.0), a.1.min(b.1)),
        };
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        let fits = self.start.is_ipv4() == other.start.is_ipv4()
            && start <= end
            && (ports.0 <= ports.1 || ports == OPAQUE_PORTS);
        fits.then_some(Self { proto, ports, start, end })
    }
    /// The packet end (address, port) is in here. `ports` as in `Flow` for this end; a non-first fragment matches any-port and OPAQUE selectors only.
    #[inline]
    pub fn matches(&self, addr: IpAddr, flow: &Flow, port: u16) -> bool {
        let ports = match self.ports {
            ANY_PORTS => true,
            OPAQUE_PORTS => flow.later_fragment || !ip::has_ports(flow.proto),
            (first, last) => !flow.later_fragment && ip::has_ports(flow.proto) && first <= port && port <= last,
        };
        ports && (self.proto == 0 || self.proto == flow.proto) && self.start <= addr && addr <= self.end
    }
    /// True if it names ports, so that non-first fragments cannot be checked (RFC 4301 section 7.3).
    pub fn has_ports(&self) -> bool {
        self.ports != ANY_PORTS && self.ports != OPAQUE_PORTS
    }
}

/// The responder's choice: what of the peer's offer our policy allows, in the offer's order, without what another one of
/// the choice holds already (RFC 7296 section 2.9). At most 255, more fit into no payload. Empty = TS_UNACCEPTABLE.
pub fn narrow(offered: &[Selector], ours: &[Selector]) -> Vec<Selector> {
    let mut chosen = Vec::<Selector>::new();
    for common in offered.iter().flat_map(|o| ours.iter().filter_map(|p| o.intersect(p))) {
        if chosen.iter().any(|c| c.contains(&common)) {
            continue;
        }
        chosen.retain(|c| !common.contains(c));
        if chosen.len() < super::payload::MAX_SELECTORS {
            chosen.push(common);
        }
    }
    chosen
}
/// The initiator's check: not empty, and each of `answer` lies inside one of `offered`.
pub fn is_subset(answer: &[Selector], offered: &[Selector]) -> bool {
    !answer.is_empty() && answer.iter().all(|a| offered.iter().any(|o| o.contains(a)))
}

fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}
fn to_bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}
fn from_bits(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}
fn host_mask(family: IpAddr, len: u8) -> u128 {
    let host = u32::from(width(family).saturating_sub(len));
    u128::MAX.checked_shr(128 - host).unwrap_or(0)
}

/// Protocols that people name; the first name of a number is the one that we write.
const PROTOCOLS: &[(&str, u8)] = &[
    ("any", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

impl fmt::Display for Selector {
    /// `10.2.0.0/16[tcp/443]`, `10.0.0.1-10.0.0.9`; ICMP: `[icmp/8]` a type with all its codes, `[icmp/3.4]` a type and a code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_prefix() {
            Some((addr, len)) => write!(f, "{addr}/{len}")?,
            None => write!(f, "{}-{}", self.start, self.end)?,
        }
        if self.proto == 0 && self.ports == ANY_PORTS {
            return Ok(());
        }
        match PROTOCOLS.iter().find(|(_, number)| *number == self.proto) {
            Some((name, _)) => write!(f, "[{name}")?,
            None => write!(f, "[{}", self.proto)?,
        }
        let (first, last) = self.ports;
        match self.ports {
            ANY_PORTS => {}
            OPAQUE_PORTS => f.write_str("/opaque")?,
            _ if ip::is_icmp(self.proto) => match (first.to_be_bytes(), last.to_be_bytes()) {
                ([kind, 0], [other, 255]) if kind == other => write!(f, "/{kind}")?,
                ([kind, 0], [other, 255]) => write!(f, "/{kind}-{other}")?,
                ([kind, code], _) if first == last => write!(f, "/{kind}.{code}")?,
                ([kind, code], [last_kind, last_code]) => write!(f, "/{kind}.{code}-{last_kind}.{last_code}")?,
            },
            _ if first == last => write!(f, "/{first}")?,
            _ => write!(f, "/{first}-{last}")?,
        }
        f.write_str("]")
    }
}
impl FromStr for Selector {
    type Err = String;
    /// The form of `Display`; a bare address is a host, `any` and numbers stand for protocols, `any` and `opaque` for ports. `Err` says what is wrong and what to write.
    fn from_str(s: &str) -> Result<Self, String> {
        let (addresses, rest) = match s.split_once('[') {
            Some((addresses, rest)) => {
                (addresses, Some(rest.strip_suffix(']').ok_or_else(|| format!("`{s}`: `]` expected at the end"))?))
            }
            None => (s, None),
        };
        let (start, end) = address_range(addresses)?;
        let (proto, ports) = rest.map_or(Ok((0, ANY_PORTS)), protocol_and_ports)?;
        Ok(Self { proto, ports, start, end })
    }
}

fn address_range(s: &str) -> Result<(IpAddr, IpAddr), String> {
    let address = |a: &str| a.parse::<IpAddr>().map_err(|_| format!("`{a}` is not an IP address"));
    if let Some((start, end)) = s.split_once('-') {
        return match (address(start)?, address(end)?) {
            (start, end) if start.is_ipv4() != end.is_ipv4() => Err(format!("`{s}` mixes IPv4 and IPv6")),
            (start, end) if start > end => Err(format!("`{s}` ends before it starts: write {end}-{start}")),
            range => Ok(range),
        };
    }
    let Some((addr, len)) = s.split_once('/') else { return address(s).map(|a| (a, a)) };
    let addr = address(addr)?;
    let len = len
        .parse()
        .ok()
        .filter(|len| *len <= width(addr))
        .ok_or_else(|| format!("`{len}` is not a prefix length of 0 to {}", width(addr)))?;
    let prefix = Selector::prefix(addr, len);
    if prefix.start != addr {
        return Err(format!(
            "`{s}` has bits set behind the prefix: write {}/{len}, or {addr} for the host",
            prefix.start
        ));
    }
    Ok((prefix.start, prefix.end))
}

fn protocol_and_ports(s: &str) -> Result<(u8, (u16, u16)), String> {
    let (proto, ports) = s.split_once('/').unwrap_or((s, "any"));
    let named = PROTOCOLS.iter().find(|(name, _)| *name == proto).map(|(_, number)| *number);
    let proto = match named.or_else(|| proto.parse().ok()) {
        Some(number) => number,
        None if proto.is_empty() => 0,
        None => {
            return Err(format!(
                "unknown protocol `{proto}`: write tcp, udp, icmp, ipv6-icmp, sctp, gre or its number"
            ));
        }
    };
    let range = match ports {
        "any" => ANY_PORTS,
        "opaque" => OPAQUE_PORTS,
        _ => {
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let range = if ip::is_icmp(proto) {
                kind_and_code(first, 0).zip(kind_and_code(last, 255))
            } else {
                first.parse().ok().zip(last.parse().ok())
            };
            range.ok_or_else(|| match ip::is_icmp(proto) {
                true => format!("`{ports}` is not an ICMP type (8), type and code (3.4) or a range of them"),
                false => format!("`{ports}` is not a port or a range of ports: write a number of 0 to 65535, 1024-65535, any or opaque"),
            })?
        }
    };
    if range.0 > range.1 && ports != "opaque" {
        return Err(format!("`{ports}` ends before it starts"));
    }
    Ok((proto, range))
}

/// `3` or `3.4`; without a code it is `code`.
fn kind_and_code(s: &str, code: u8) -> Option<u16> {
    let (kind, code) = match s.split_once('.') {
        Some((kind, code)) => (kind, code.parse().ok()?),
        None => (s, code),
    };
    Some(u16::from_be_bytes([kind.parse().ok()?, code]))
}

#[cfg(test)]
mod tests;
