//! Super-packets to packets: what TSO and USO leave to the device, done while copying into the ESP buffer (pure).
//!
//! The checksum field of a packet with a partial checksum holds the sum of the pseudo-header, with the length of the whole
//! super-packet (that is what Linux writes, and what its own segmentation relies on). We go on from that sum instead of
//! from the addresses, so that a routing header, whose pseudo-header has another destination, comes out right, too.
use crate::io::{Gso, VnetHeader};
use crate::wire::ip::{Packet, checksum_add, checksum_copy, checksum_fold};

/// The offload header and the packet do not belong together; the packet is counted as malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("impossible offload header")]
pub struct Impossible;

/// One packet in the pieces that it leaves as.
pub trait Pieces {
    /// How many; at least one.
    fn count(&self) -> usize;
    /// Octets of piece `i`, which is below `count`. None is longer than the first.
    fn len_of(&self, i: usize) -> usize;
    /// Writes piece `i` to `out`, which is `len_of(i)` octets.
    fn write(&self, i: usize, out: &mut [u8]);
}

/// A packet or super-packet as read from the TUN, checked, and what must be done to each segment.
#[derive(Debug)]
pub struct Segments<'a> {
    packet: &'a [u8],
    work: Work,
    ipv4: bool,
    /// Where the upper-layer header starts.
    l4: usize,
    /// Octets of all headers, which every segment has.
    headers: usize,
    /// Payload octets of every segment but the last.
    size: usize,
    /// Sum of what is the same in every IPv4 header.
    ip_sum: u64,
    /// Sum of what is the same in every pseudo-header and upper-layer header.
    l4_sum: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Nothing: the packet is complete.
    Copy,
    /// Sum from `start` to the end, put at `at`.
    Checksum {
        start: usize,
        at: usize,
    },
    Tcp,
    Udp,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

impl<'a> Segments<'a> {
    /// Checks the offload header against the packet. `data` is what the TUN gave and `parsed` what `wire::ip::parse` found in it.
    pub fn new(header: &VnetHeader, data: &'a [u8], parsed: &Packet) -> Result<Self, Impossible> {
        let packet = data.get(..parsed.len).ok_or(Impossible)?;
        let ipv4 = parsed.flow.src.is_ipv4();
        let whole = |work| Self {
            packet,
            work,
            ipv4,
            l4: parsed.l4,
            headers: packet.len(),
            size: packet.len().max(1),
            ip_sum: 0,
            l4_sum: 0,
        };
        let l4_header = match header.gso {
            Gso::None if !header.needs_csum => return Ok(whole(Work::Copy)),
            Gso::None => {
                let start = usize::from(header.csum_start);
                let at = start + usize::from(header.csum_offset);
                if start < parsed.l4 || at + 2 > packet.len() {
                    return Err(Impossible);
                }
                return Ok(whole(Work::Checksum { start, at }));
            }
            Gso::TcpV4 | Gso::TcpV6 => {
                if (header.gso == Gso::TcpV4) != ipv4 || parsed.flow.proto != TCP || header.csum_offset != 16 {
                    return Err(Impossible);
                }
                let offset = packet.get(parsed.l4 + 12).ok_or(Impossible)?;
                usize::from(offset >> 4) * 4
            }
            Gso::UdpL4 => {
                if parsed.flow.proto != UDP || header.csum_offset != 6 {
                    return Err(Impossible);
                }
                8
            }
        };
        let work = if header.gso == Gso::UdpL4 { Work::Udp } else { Work::Tcp };
        let headers = parsed.l4 + l4_header;
        let fits = header.gso_size > 0
            && header.needs_csum
            && usize::from(header.csum_start) == parsed.l4
            && usize::from(header.hdr_len) <= packet.len()
            && (work == Work::Udp || l4_header >= 20)
            && headers <= packet.len()
            && !parsed.fragment;
        if !fits {
            return Err(Impossible);
        }
        let l4_sum = l4_constant(&packet[parsed.l4..headers], packet.len() - parsed.l4, work);
        let ip_sum = if ipv4 { ip_constant(&packet[..parsed.l4]) } else { 0 };
        Ok(Self { packet, work, ipv4, l4: parsed.l4, headers, size: header.gso_size.into(), ip_sum, l4_sum })
    }

    fn write_segment(&self, i: usize, out: &mut [u8]) {
        let from = self.headers + i * self.size;
        let to = (from + self.size).min(self.packet.len());
        out[..self.headers].copy_from_slice(&self.packet[..self.headers]);
        self.fix_ip(i, out);
        let l4_len = out.len() - self.l4;
        let sum = checksum_copy(self.l4_sum + l4_len as u64, &self.packet[from..to], &mut out[self.headers..]);
        let l4 = &mut out[self.l4..];
        if self.work == Work::Udp {
            put16(l4, 4, l4_len as u16);
            put16(l4, 6, udp_checksum(sum + l4_len as u64));
            return;
        }
        let seq = get32(l4, 4).wrapping_add((i * self.size) as u32);
        l4[4..8].copy_from_slice(&seq.to_be_bytes());
        if i > 0 {
            l4[13] &= !CWR;
        }
        if to < self.packet.len() {
            l4[13] &= !(FIN | PSH);
        }
        let sum = sum + u64::from(seq >> 16) + u64::from(seq & 0xffff) + u64::from(get16(l4, 12));
        put16(l4, 16, !checksum_fold(sum));
    }

    /// Length, and for IPv4 identification (one more per segment, as Linux does) and header checksum.
    fn fix_ip(&self, i: usize, out: &mut [u8]) {
        let len = out.len();
        if !self.ipv4 {
            put16(out, 4, (len - 40) as u16);
            return;
        }
        let id = get16(out, 4).wrapping_add(i as u16);
        put16(out, 2, len as u16);
        put16(out, 4, id);
        put16(out, 10, !checksum_fold(self.ip_sum + len as u64 + u64::from(id)));
    }
}

impl Pieces for Segments<'_> {
    fn count(&self) -> usize {
        (self.packet.len() - self.headers).div_ceil(self.size).max(1)
    }

    fn len_of(&self, i: usize) -> usize {
        let from = self.headers + i * self.size;
        self.headers + self.packet.len().saturating_sub(from).min(self.size)
    }

    fn write(&self, i: usize, out: &mut [u8]) {
        match self.work {
            Work::Copy => out.copy_from_slice(self.packet),
            Work::Checksum { start, at } => {
                out.copy_from_slice(self.packet);
                let sum = checksum_add(0, &out[start..]);
                // Of the two protocols that come here only UDP has its checksum at 6, and there 0 means that there is none.
                put16(out, at, if at - start == 6 { udp_checksum(sum) } else { !checksum_fold(sum) });
            }
            Work::Tcp | Work::Udp => self.write_segment(i, out),
        }
    }
}

/// Sum of an IPv4 header without length, identification and checksum.
fn ip_constant(header: &[u8]) -> u64 {
    let sum = checksum_add(0, &header[..2]);
    let sum = checksum_add(sum, &header[6..10]);
    checksum_add(sum, &header[12..])
}

/// Sum of the pseudo-header without the length (taken out of what stands in the checksum field) and of the upper-layer header
/// without the fields that differ between segments.
fn l4_constant(header: &[u8], len: usize, work: Work) -> u64 {
    let (check, rest) = match work {
        Work::Udp => (6, checksum_add(0, &header[..4])),
        _ => {
            let sum = checksum_add(0, &header[..4]);
            let sum = checksum_add(sum, &header[8..12]);
            let sum = checksum_add(sum, &header[14..16]);
            (16, checksum_add(sum, &header[18..]))
        }
    };
    rest + u64::from(get16(header, check)) + u64::from(!(len as u16))
}

/// RFC 768: a sum of zero travels as all ones, because zero means that there is none.
fn udp_checksum(sum: u64) -> u16 {
    match !checksum_fold(sum) {
        0 => 0xffff,
        sum => sum,
    }
}

/// Reads 16 bits in network order.
pub(super) fn get16(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([data[at], data[at + 1]])
}

/// Reads 32 bits in network order.
pub(super) fn get32(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

/// Writes 16 bits in network order.
pub(super) fn put16(data: &mut [u8], at: usize, value: u16) {
    data[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
