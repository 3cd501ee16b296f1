//! IPv4 and IPv6 headers and the five-tuple behind them (RFC 791, RFC 8200); hostile input.
use std::net::IpAddr;

/// What policies look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper-layer protocol (behind IPv6 extension headers).
    pub proto: u8,
    /// Source port; ICMP: type << 8 | code, in both ports.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// A fragment that is not the first: `sport` and `dport` are 0 and mean nothing.
    pub later_fragment: bool,
}
/// One IP packet, its lengths checked against the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Addresses, protocol, ports.
    pub flow: Flow,
    /// Length that the header tells; what lies behind it in the buffer is TFC padding.
    pub len: usize,
    /// Offset of the upper-layer header (behind all IPv6 extension headers; equal to `len` if there is none).
    pub l4: usize,
    /// Type of service / traffic class octet.
    pub tos: u8,
    /// DF of IPv4 (true for IPv6).
    pub dont_fragment: bool,
    /// It is a fragment, the first or a later one.
    pub fragment: bool,
}
/// Why bytes are not an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed IP packet")]
pub struct Malformed;

/// Reads one packet.
pub fn parse(data: &[u8]) -> Result<Packet, Malformed> {
    let _ = data;
    todo!()
}
/// The ones' complement sum of RFC 1071 over `data`, added to `sum`, not folded (16-bit big-endian words; odd tail padded with 0).
pub fn checksum_add(sum: u64, data: &[u8]) -> u64 {
    let _ = (sum, data);
    todo!()
}
/// Folds a sum to 16 bits (not complemented).
pub fn checksum_fold(sum: u64) -> u16 {
    let _ = sum;
    todo!()
}
