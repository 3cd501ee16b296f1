//! Traffic selectors as ranges: contain, overlap, narrow (RFC 7296 sections 2.9 and 3.13.1, RFC 4301 section 4.4.1).
use super::ip::Flow;
use std::net::IpAddr;

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
    /// All of one prefix, any protocol.
    pub fn prefix(addr: IpAddr, len: u8) -> Self {
        let _ = (addr, len);
        todo!()
    }
    /// The one prefix that it is exactly, if it is one.
    pub fn as_prefix(&self) -> Option<(IpAddr, u8)> {
        todo!()
    }
    /// The prefixes that make up the range, at most 254.
    pub fn prefixes(&self) -> Vec<(IpAddr, u8)> {
        todo!()
    }
    /// Everything of `other` is in here.
    pub fn contains(&self, other: &Self) -> bool {
        let _ = other;
        todo!()
    }
    /// What both have.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let _ = other;
        todo!()
    }
    /// The packet end (address, port) is in here. `ports` as in `Flow` for this end; a non-first fragment matches any-port and OPAQUE selectors only.
    pub fn matches(&self, addr: IpAddr, flow: &Flow, port: u16) -> bool {
        let _ = (addr, flow, port);
        todo!()
    }
    /// True if it names ports, so that non-first fragments cannot be checked (RFC 4301 section 7.3).
    pub fn has_ports(&self) -> bool {
        todo!()
    }
}
impl std::fmt::Display for Selector {
    /// `10.2.0.0/16[tcp/443]`, `10.0.0.1-10.0.0.9`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for Selector {
    type Err = String;
    /// The form of `Display`; a bare address is a host.
    fn from_str(s: &str) -> Result<Self, String> {
        let _ = s;
        todo!()
    }
}
/// The responder's choice: what of the peer's offer our policy allows, in the offer's order, without duplicates (RFC 7296 section 2.9). Empty = TS_UNACCEPTABLE.
pub fn narrow(offered: &[Selector], ours: &[Selector]) -> Vec<Selector> {
    let _ = (offered, ours);
    todo!()
}
/// The initiator's check: not empty, and each of `answer` lies inside one of `offered`.
pub fn is_subset(answer: &[Selector], offered: &[Selector]) -> bool {
    let _ = (answer, offered);
    todo!()
}
