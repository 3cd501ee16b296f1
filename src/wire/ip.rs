//! IPv4 and IPv6 headers and the five-tuple behind them (RFC 791, RFC 8200); hostile input.
use std::net::IpAddr;

/// What policies look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper-layer protocol (behind IPv6 extension headers); in a later IPv6 fragment what its fragment header says.
    pub proto: u8,
    /// Source port; ICMP: type << 8 | code, in both ports; Mobility: type << 8, in both. 0 for protocols without ports.
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
    /// It is a fragment, the first or a later one; also an IPv6 packet with a fragment header that holds all of it (RFC 6946).
    pub fragment: bool,
}
/// Why bytes are not an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed IP packet")]
pub struct Malformed;

/// Reads one packet.
pub fn parse(data: &[u8]) -> Result<Packet, Malformed> {
    match data.first().map(|b| b >> 4) {
        Some(4) => parse_v4(data),
        Some(6) => parse_v6(data),
        _ => Err(Malformed),
    }
}
/// A packet of IPv6 that is to visit other addresses before or after its present destination: it has a routing header with segments left (RFC 8200
/// section 4.4). `parsed` was read of it.
pub fn is_led_on(data: &[u8], parsed: &Packet) -> bool {
    // Most have no extension headers at all.
    if parsed.flow.src.is_ipv4() || parsed.l4 <= V6_HEADER_LEN {
        return false;
    }
    let packet = data.get(..parsed.len).unwrap_or_default();
    packet.get(6).and_then(|first| extensions(packet, *first).ok()).is_some_and(|chain| chain.led_on)
}
/// What an ICMP error says of the packet that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper-layer protocol; 59, which is none, if it is not quoted or in another fragment.
    pub proto: u8,
    /// Offset of the upper-layer header, at most `len`.
    pub l4: usize,
    /// Octets of the packet that are there: it may be cut off anywhere behind its first header.
    pub len: usize,
}

/// Reads the beginning of a packet.
pub fn parse_quoted(data: &[u8]) -> Result<Quoted, Malformed> {
    let told = |at: usize| data.get(at..at + 2).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])));
    match data.first().map(|b| b >> 4) {
        Some(4) => {
            let header: &[u8; 20] = data.first_chunk().ok_or(Malformed)?;
            let len = told(2).unwrap_or(0).min(data.len());
            let l4 = usize::from(header[0] & 0x0f) * 4;
            if l4 < header.len() || len < header.len() {
                return Err(Malformed);
            }
            let later = u16::from_be_bytes([header[6], header[7]]) & OFFSET_V4 != 0;
            let (proto, l4) = if later || l4 > len { (NO_NEXT_HEADER, len) } else { (header[9], l4) };
            let src = IpAddr::from([header[12], header[13], header[14], header[15]]);
            let dst = IpAddr::from([header[16], header[17], header[18], header[19]]);
            Ok(Quoted { src, dst, proto, l4, len })
        }
        Some(6) => {
            let header: &[u8; V6_HEADER_LEN] = data.first_chunk().ok_or(Malformed)?;
            let len = (V6_HEADER_LEN + told(4).unwrap_or(0)).min(data.len());
            let chain = extensions(&data[..len], header[6]).ok();
            let seen = chain.filter(|chain| !chain.later_fragment && chain.l4 <= len);
            let [src, dst] = ends_v6(header);
            let (proto, l4) = seen.map_or((NO_NEXT_HEADER, len), |chain| (chain.proto, chain.l4));
            Ok(Quoted { src, dst, proto, l4, len })
        }
        _ => Err(Malformed),
    }
}
/// The ones' complement sum of RFC 1071 over `data`, added to `sum`, not folded (16-bit big-endian words; odd tail padded with 0, so that only the last
/// piece of a sum may have an odd length).
pub fn checksum_add(sum: u64, data: &[u8]) -> u64 {
    let mut words_sum = WordsSum::default();
    data.as_chunks::<8>().0.iter().for_each(|word| words_sum.add(*word));
    words_sum.onto(sum, data)
}
/// `checksum_add` of what is copied from `data` to `out`, in one pass. Panics if they differ in length.
pub fn checksum_copy(sum: u64, data: &[u8], out: &mut [u8]) -> u64 {
    assert_eq!(data.len(), out.len(), "copied octets");
    let ((words, tail), (out_words, out_tail)) = (data.as_chunks(), out.as_chunks_mut());
    let mut words_sum = WordsSum::default();
    for (word, out) in words.iter().zip(out_words) {
        *out = *word;
        words_sum.add(*word);
    }
    out_tail.copy_from_slice(tail);
    words_sum.onto(sum, data)
}
/// Folds a sum to 16 bits (not complemented).
pub fn checksum_fold(mut sum: u64) -> u16 {
    while sum > u64::from(u16::MAX) {
        sum = (sum >> 16) + (sum & u64::from(u16::MAX));
    }
    sum as u16
}
/// A checksum when some of the words that it covers have become others, whose sums are `before` and `after` (RFC 1624 section 3).
pub fn checksum_update(checksum: u16, before: u64, after: u64) -> u16 {
    !checksum_fold(u64::from(!checksum) + u64::from(!checksum_fold(before)) + u64::from(checksum_fold(after)))
}
/// Protocols in whose first octets `Flow` finds ports, or a type and a code instead (RFC 4301 section 4.4.1.1).
pub fn has_ports(proto: u8) -> bool {
    matches!(proto, TCP | UDP | DCCP | SCTP | UDPLITE | MOBILITY) || is_icmp(proto)
}
/// ICMP of IPv4 or IPv6.
pub fn is_icmp(proto: u8) -> bool {
    matches!(proto, ICMP | ICMPV6)
}

/// 2^16 is 1 in this arithmetic, so words of any multiple of 16 bits add up to the same; and swapping the octets of the sum is swapping
/// those of every word (RFC 1071 section 2), so the loop, which the compiler makes vectors of, adds in the machine's order.
#[derive(Default)]
struct WordsSum {
    /// Of the words, modulo 2^64.
    all: u64,
    /// Of their upper halves; that of the lower ones is what these leave of `all`.
    high: u64,
}

impl WordsSum {
    #[inline(always)]
    fn add(&mut self, word: [u8; 8]) {
        let word = u64::from_ne_bytes(word);
        self.all = self.all.wrapping_add(word);
        self.high += word >> 32;
    }

    /// With what is behind the last whole word of `data`, and a sum in network order.
    fn onto(mut self, sum: u64, data: &[u8]) -> u64 {
        let tail = data.len() % 8;
        let last = match data.last_chunk() {
            // Out of the last eight octets: what was copied piece by piece could not be read as one word at once.
            Some(last) => u64::from_be_bytes(*last).checked_shl(64 - 8 * tail as u32).unwrap_or(0).to_be_bytes(),
            None => {
                let mut last = [0; 8];
                last[..tail].copy_from_slice(data);
                last
            }
        };
        self.add(last);
        let low = self.all.wrapping_sub(self.high << 32);
        let native = checksum_fold(low + self.high);
        (sum >> 32) + (sum & u64::from(u32::MAX)) + u64::from(u16::from_be_bytes(native.to_ne_bytes()))
    }
}

/// ICMP (RFC 792).
pub const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
/// ICMPv6 (RFC 4443).
pub const ICMPV6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;
const SCTP: u8 = 132;
const MOBILITY: u8 = 135;
const UDPLITE: u8 = 136;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
/// Where a routing header says how many.
const SEGMENTS_LEFT: usize = 3;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// No sane packet has more extension headers.
const MAX_EXTENSIONS: usize = 16;
const V6_HEADER_LEN: usize = 40;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_V4: u16 = 0x1fff;

fn parse_v4(data: &[u8]) -> Result<Packet, Malformed> {
    let header: &[u8; 20] = data.first_chunk().ok_or(Malformed)?;
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let l4 = usize::from(header[0] & 0x0f) * 4;
    if l4 < header.len() || l4 > len || len > data.len() {
        return Err(Malformed);
    }
    let place = u16::from_be_bytes([header[6], header[7]]);
    let offset = usize::from(place & OFFSET_V4) * 8;
    let fragment = place & (OFFSET_V4 | MORE_FRAGMENTS) != 0;
    if fragment && offset + len > usize::from(u16::MAX) {
        return Err(Malformed);
    }
    let src = IpAddr::from([header[12], header[13], header[14], header[15]]);
    let dst = IpAddr::from([header[16], header[17], header[18], header[19]]);
    let flow = flow(src, dst, header[9], offset != 0, &data[l4..len])?;
    Ok(Packet { flow, len, l4, tos: header[1], dont_fragment: place & DONT_FRAGMENT != 0, fragment })
}

fn parse_v6(data: &[u8]) -> Result<Packet, Malformed> {
    let header: &[u8; V6_HEADER_LEN] = data.first_chunk().ok_or(Malformed)?;
    let len = V6_HEADER_LEN + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let packet = data.get(..len).ok_or(Malformed)?;
    let chain = extensions(packet, header[6])?;
    let [src, dst] = ends_v6(header);
    let flow = flow(src, dst, chain.proto, chain.later_fragment, packet.get(chain.l4..).ok_or(Malformed)?)?;
    let tos = header[0] << 4 | header[1] >> 4;
    Ok(Packet { flow, len, l4: chain.l4, tos, dont_fragment: true, fragment: chain.fragment })
}

/// Source and destination of an IPv6 header.
fn ends_v6(header: &[u8; V6_HEADER_LEN]) -> [IpAddr; 2] {
    let [mut src, mut dst] = [[0; 16]; 2];
    src.copy_from_slice(&header[8..24]);
    dst.copy_from_slice(&header[24..]);
    [src.into(), dst.into()]
}

/// What stands between an IPv6 header and the upper layer.
struct Chain {
    proto: u8,
    l4: usize,
    fragment: bool,
    later_fragment: bool,
    /// There is a routing header with segments left.
    led_on: bool,
}

/// Walks the extension headers of `packet`. ESP and AH count as upper layers: what is behind them is another policy's.
fn extensions(packet: &[u8], first: u8) -> Result<Chain, Malformed> {
    let mut chain = Chain { proto: first, l4: V6_HEADER_LEN, fragment: false, later_fragment: false, led_on: false };
    for _ in 0..MAX_EXTENSIONS {
        match chain.proto {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let [next, len] = *packet.get(chain.l4..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
                chain.led_on |=
                    chain.proto == ROUTING && packet.get(chain.l4 + SEGMENTS_LEFT).is_none_or(|left| *left > 0);
                chain.proto = next;
                chain.l4 += (usize::from(len) + 1) * 8;
            }
            FRAGMENT => {
                let [next, _, high, low] = *packet.get(chain.l4..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
                let place = u16::from_be_bytes([high, low]);
                chain.proto = next;
                chain.l4 += 8;
                chain.fragment = true;
                chain.later_fragment = place >> 3 != 0;
                if usize::from(place & !7) + packet.len().checked_sub(chain.l4).ok_or(Malformed)?
                    > usize::from(u16::MAX)
                {
                    return Err(Malformed);
                }
                // What follows in a later fragment is in the middle of something.
                if chain.later_fragment {
                    return Ok(chain);
                }
            }
            NO_NEXT_HEADER => return Ok(Chain { l4: packet.len(), ..chain }),
            _ => return Ok(chain),
        }
    }
    Err(Malformed)
}

/// Ports, or type and code, from the beginning of the upper layer. A packet too short for its own ports is malformed: a
/// policy could neither match nor exclude it.
fn flow(src: IpAddr, dst: IpAddr, proto: u8, later_fragment: bool, upper: &[u8]) -> Result<Flow, Malformed> {
    let (sport, dport) = match (proto, upper) {
        _ if later_fragment || !has_ports(proto) => (0, 0),
        (ICMP | ICMPV6, [kind, code, ..]) => (u16::from_be_bytes([*kind, *code]), u16::from_be_bytes([*kind, *code])),
        (ICMP | ICMPV6, _) => return Err(Malformed),
        (MOBILITY, [_, _, kind, ..]) => (u16::from_be_bytes([*kind, 0]), u16::from_be_bytes([*kind, 0])),
        (_, [a, b, c, d, ..]) => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
        _ => return Err(Malformed),
    };
    Ok(Flow { src, dst, proto, sport, dport, later_fragment })
}

#[cfg(test)]
mod tests;
