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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6040 figure 4, row by row (inner), columns Not-ECT, ECT(0), ECT(1), CE (outer); `None` = drop.
    const FIGURE_4: [(u8, [Option<u8>; 4]); 4] = [
        (0b00, [Some(0b00), Some(0b00), Some(0b00), None]),
        (0b10, [Some(0b10), Some(0b10), Some(0b01), Some(0b11)]),
        (0b01, [Some(0b01), Some(0b01), Some(0b01), Some(0b11)]),
        (0b11, [Some(0b11), Some(0b11), Some(0b11), Some(0b11)]),
    ];
    const COLUMNS: [u8; 4] = [0b00, 0b10, 0b01, 0b11];

    #[test]
    fn every_cell_of_figure_4_under_any_dscp() {
        for (inner, row) in FIGURE_4 {
            for (outer, expected) in COLUMNS.into_iter().zip(row) {
                for (inner_dscp, outer_dscp) in [(0, 0), (0xb8, 0), (0, 0xb8), (0x28, 0xfc)] {
                    let expected = expected.map(|ecn| inner_dscp | ecn).ok_or(Drop::EcnDrop);
                    assert_eq!(
                        decapsulate(inner_dscp | inner, outer_dscp | outer),
                        expected,
                        "{inner:02b} {outer:02b}"
                    );
                }
            }
        }
    }

    #[test]
    fn ecn_is_copied_and_dscp_if_asked() {
        for tos in 0..=255 {
            assert_eq!(encapsulate(tos, true), tos);
            assert_eq!(encapsulate(tos, false), tos & 3);
        }
    }

    /// The checksum as RFC 1071 has it, over the whole header.
    fn checksum(header: &[u8]) -> u16 {
        let sum: u32 = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        !((folded & 0xffff) + (folded >> 16)) as u16
    }

    #[test]
    fn an_octet_is_written_and_the_ipv4_checksum_stays_right() {
        for id in (0..=u16::MAX).step_by(257).chain([0xffff, 0xfffe, 0xba47]) {
            for (before, after) in [(0, 3), (3, 0), (0xb8, 0xbb), (0xff, 0), (0, 0xff), (7, 7)] {
                let mut packet =
                    [0x45, before, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 2, 3, 10, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8];
                packet[4..6].copy_from_slice(&id.to_be_bytes());
                let right = checksum(&packet[..20]);
                packet[10..12].copy_from_slice(&right.to_be_bytes());
                let rest = packet[20..].to_vec();
                set(&mut packet, after);
                assert_eq!((packet[1], checksum(&packet[..20])), (after, 0), "{id:04x} {before:02x} {after:02x}");
                assert_eq!(packet[20..], rest);
            }
        }
    }

    #[test]
    fn an_ipv6_traffic_class_lies_across_two_octets() {
        let mut packet = [0u8; 40];
        packet[..4].copy_from_slice(&[0x61, 0x2a, 0xbc, 0xde]);
        set(&mut packet, 0xb9);
        assert_eq!(packet[..4], [0x6b, 0x9a, 0xbc, 0xde]);
    }

    #[test]
    fn what_is_no_packet_stays_as_it_is() {
        for len in 0..40 {
            for first in [0x00, 0x45, 0x60, 0xf0] {
                let mut packet = vec![first; len];
                if first == 0x45 && len >= 20 {
                    continue;
                }
                set(&mut packet, 0xff);
                assert_eq!(packet, vec![first; len]);
            }
        }
    }
}
