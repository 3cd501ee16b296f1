//! DSCP and ECN between inner and outer headers (RFC 6040, RFC 4301 section 5.1.2).
use super::drop::Drop;

/// The two ECN bits of a TOS or traffic class octet (RFC 3168 section 5).
const ECN: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// The outer octet for an inner one: ECN in normal mode (copied, RFC 6040 section 4.1), DSCP copied if asked, else 0.
pub fn encapsulate(inner_tos: u8, copy_dscp: bool) -> u8 {
    if copy_dscp { inner_tos } else { inner_tos & ECN }
}

/// The inner octet to deliver (RFC 6040 figure 4; DSCP of the inner header stays). `EcnDrop` if the flow does not know ECN and the path
/// is congested.
pub fn decapsulate(inner_tos: u8, outer_tos: u8) -> Result<u8, Drop> {
    let ecn = match (inner_tos & ECN, outer_tos & ECN) {
        (NOT_ECT, CE) => return Err(Drop::EcnDrop),
        (NOT_ECT, _) => NOT_ECT,
        (_, CE) | (CE, _) => CE,
        (_, ECT_1) | (ECT_1, _) => ECT_1,
        _ => ECT_0,
    };
    Ok(inner_tos & !ECN | ecn)
}

/// Writes an octet into an IP packet, with the IPv4 checksum kept right (RFC 1624, equation 3). The packet has been parsed; what is too
/// short for a header stays as it is.
pub fn set(packet: &mut [u8], tos: u8) {
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => {
            let before = u16::from_be_bytes([packet[0], packet[1]]);
            let after = u16::from_be_bytes([packet[0], tos]);
            let checksum = u16::from_be_bytes([packet[10], packet[11]]);
            packet[1] = tos;
            packet[10..12].copy_from_slice(&replace(checksum, before, after).to_be_bytes());
        }
        Some(6) if packet.len() >= 40 => {
            packet[0] = packet[0] & 0xf0 | tos >> 4;
            packet[1] = packet[1] & 0x0f | tos << 4;
        }
        _ => {}
    }
}

/// The checksum after one 16-bit word changed.
fn replace(checksum: u16, before: u16, after: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!before) + u32::from(after);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
