//! The MSS option of TCP's SYN and SYN-ACK (RFC 9293 section 3.7.1), lowered to what the path takes in one piece. Pure. A SYN without the
//! option stays as it is: 536 octets, its default, fit any path.
use super::segment::{get16, put16};
use crate::wire::ip::{Packet, checksum_update};

const TCP: u8 = 6;
const SYN: u8 = 0x02;
/// Octets of a header without options.
const HEADER: usize = 20;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;
/// Kinds of options.
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;

/// It is a TCP segment that may announce an MSS.
pub fn announces(packet: &[u8], parsed: &Packet) -> bool {
    parsed.flow.proto == TCP
        && !parsed.flow.later_fragment
        && packet.get(parsed.l4 + FLAGS).is_some_and(|flags| flags & SYN != 0)
}

/// Lowers what `tcp`, from its header on, announces. `partial`: the checksum field holds the sum of the pseudo-header alone, to which
/// options do not belong; whoever completes it counts them in.
pub fn clamp(tcp: &mut [u8], most: u16, partial: bool) {
    let Some(len) = tcp.get(HEADER - 8).map(|offset| usize::from(offset >> 4) * 4) else { return };
    if len > tcp.len() {
        return;
    }
    let mut at = HEADER;
    while at < len {
        let size = match (tcp[at], tcp[..len].get(at + 1)) {
            (END, _) => return,
            (NO_OPERATION, _) => 1,
            (_, Some(&size @ 2..)) if at + usize::from(size) <= len => usize::from(size),
            _ => return,
        };
        if tcp[at] == MSS && size == 4 {
            lower(tcp, at + 2, most, partial);
        }
        at += size;
    }
}

/// The number at `at`, which is in the header.
fn lower(tcp: &mut [u8], at: usize, most: u16, partial: bool) {
    let before = get16(tcp, at);
    if before <= most {
        return;
    }
    put16(tcp, at, most);
    if partial {
        return;
    }
    // Behind an odd number of octets its halves belong to two words: as a sum that is the same as one word with its octets swapped.
    let word = |value: u16| u64::from(if at.is_multiple_of(2) { value } else { value.swap_bytes() });
    let sum = checksum_update(get16(tcp, CHECKSUM), word(before), word(most));
    put16(tcp, CHECKSUM, sum);
}
