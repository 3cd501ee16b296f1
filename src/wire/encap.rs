//! What one UDP datagram is (RFC 3948 section 2, RFC 7296 section 2.23).
use super::{esp, message};

/// A classified datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// An IKE message, without the non-ESP marker; at least a header long.
    Ike(&'a [u8]),
    /// An ESP packet, at least a header long, SPI above 255.
    Esp(&'a [u8]),
    /// One octet 0xff.
    Keepalive,
    /// Anything else.
    Junk,
}
/// The four zero octets in front of IKE on port 4500.
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];
/// SPIs up to this one are reserved (RFC 4303 section 2.1); 0 is the marker.
const LAST_RESERVED_SPI: u32 = 255;

/// Classifies what came to the port for NAT traversal.
pub fn classify(data: &[u8]) -> Datagram<'_> {
    if let Some(ike) = data.strip_prefix(&NON_ESP_MARKER) {
        return if ike.len() >= message::HEADER_LEN { Datagram::Ike(ike) } else { Datagram::Junk };
    }
    match esp::parse_header(data) {
        Some((spi, _)) if spi > LAST_RESERVED_SPI => Datagram::Esp(data),
        None if data == [0xff] => Datagram::Keepalive,
        _ => Datagram::Junk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_length_is_junk_but_the_keepalive() {
        for fill in [0, 1, 0x7f, 0xff] {
            for len in 0..8 {
                let data = vec![fill; len];
                let keepalive = fill == 0xff && len == 1;
                assert_eq!(
                    classify(&data),
                    if keepalive { Datagram::Keepalive } else { Datagram::Junk },
                    "{fill} {len}"
                );
            }
        }
    }

    #[test]
    fn ike_needs_the_marker_and_a_header() {
        let data = [0; 4 + 28];
        assert_eq!(classify(&data), Datagram::Ike(&data[4..]));
        assert_eq!(classify(&data[..31]), Datagram::Junk);
        assert_eq!(classify(&data[..4]), Datagram::Junk);
    }

    #[test]
    fn reserved_spis_are_junk() {
        for (spi, esp) in [(1u32, false), (255, false), (256, true), (u32::MAX, true)] {
            let mut data = [0; 8];
            data[..4].copy_from_slice(&spi.to_be_bytes());
            assert_eq!(classify(&data), if esp { Datagram::Esp(&data) } else { Datagram::Junk }, "{spi}");
        }
    }
}
