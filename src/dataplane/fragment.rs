//! Fragments of an inner IPv4 packet that is too large for the path and may be fragmented (RFC 791 section 3.2; RFC 4301
//! section 5.1 allows it before ESP, and for IPv4 only). Pure.
use super::segment::{Pieces, get16, put16};
use crate::wire::ip::{Packet, checksum_add, checksum_fold};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// A packet cut to an MTU.
#[derive(Debug)]
pub struct Fragments<'a> {
    packet: &'a [u8],
    /// Octets of header, options included.
    header: usize,
    /// Octets of payload in every fragment but the last, a multiple of 8.
    size: usize,
}

impl<'a> Fragments<'a> {
    /// `None` if it is not an IPv4 packet that may be fragmented, if not even 8 octets of payload fit, or if the offsets would leave 16 bits.
    pub fn new(data: &'a [u8], parsed: &Packet, mtu: usize) -> Option<Self> {
        let packet = data.get(..parsed.len)?;
        if !parsed.flow.src.is_ipv4() || parsed.dont_fragment {
            return None;
        }
        let header = usize::from(packet.first()? & 0xf) * 4;
        let size = mtu.checked_sub(header)? & !7;
        let end = usize::from(get16(packet, 6) & OFFSET) * 8 + packet.len().checked_sub(header)?;
        (size > 0 && end <= 65_535).then_some(Self { packet, header, size })
    }
}

impl Pieces for Fragments<'_> {
    fn count(&self) -> usize {
        (self.packet.len() - self.header).div_ceil(self.size).max(1)
    }

    fn len_of(&self, i: usize) -> usize {
        self.header + (self.packet.len() - self.header).saturating_sub(i * self.size).min(self.size)
    }

    fn write(&self, i: usize, out: &mut [u8]) {
        let len = out.len();
        let from = self.header + i * self.size;
        let to = from + len - self.header;
        out[..self.header].copy_from_slice(&self.packet[..self.header]);
        out[self.header..].copy_from_slice(&self.packet[from..to]);
        if i > 0 {
            blank_first_only_options(&mut out[20..self.header]);
        }
        let old = get16(self.packet, 6);
        let more = if to < self.packet.len() { MORE_FRAGMENTS } else { old & MORE_FRAGMENTS };
        put16(out, 6, more | ((old & OFFSET) + (i * self.size / 8) as u16));
        put16(out, 2, len as u16);
        put16(out, 10, 0);
        let sum = checksum_fold(checksum_add(0, &out[..self.header]));
        put16(out, 10, !sum);
    }
}

/// Only options whose first bit is set stand in later fragments (RFC 791 section 3.1); the others become no-operations, so that all
/// headers are of one length.
fn blank_first_only_options(options: &mut [u8]) {
    const END: u8 = 0;
    const NOP: u8 = 1;
    let mut at = 0;
    while at < options.len() && options[at] != END {
        let len = match options[at] {
            NOP => 1,
            _ => options.get(at + 1).map_or(0, |&len| usize::from(len)),
        };
        let end = at + len;
        if len == 0 || end > options.len() || (len == 1 && options[at] != NOP) {
            // Not a list of options: nobody could read on from here.
            options[at..].fill(NOP);
            return;
        }
        if options[at] & 0x80 == 0 {
            options[at..end].fill(NOP);
        }
        at = end;
    }
}
