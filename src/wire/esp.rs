//! ESP header and trailer (RFC 4303 section 2).
/// SPI and sequence number.
pub const HEADER_LEN: usize = 8;
/// Next header of a dummy packet (RFC 4303 section 2.6).
pub const NEXT_HEADER_DUMMY: u8 = 59;
/// Next header of tunnelled IPv4.
pub const NEXT_HEADER_IPV4: u8 = 4;
/// Next header of tunnelled IPv6.
pub const NEXT_HEADER_IPV6: u8 = 41;
/// Pad length and next header.
const TRAILER_LEN: usize = 2;
/// Pad length and next header end on a 4-octet boundary whatever the cipher (RFC 4303 section 2.4).
const ALIGNMENT: usize = 4;
/// The padding octets 1, 2, 3, ... that every packet ends with.
const PADDING: [u8; 255] = {
    let mut padding = [0; 255];
    let mut i = 0;
    while i < padding.len() {
        padding[i] = i as u8 + 1;
        i += 1;
    }
    padding
};

/// SPI and the 32 bits of the sequence number that travel. `None` if shorter than the header.
pub fn parse_header(packet: &[u8]) -> Option<(u32, u32)> {
    let (spi, rest) = packet.split_first_chunk()?;
    let (seq, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*spi), u32::from_be_bytes(*seq)))
}
/// Writes the header; nothing if `packet` is shorter than one.
pub fn write_header(packet: &mut [u8], spi: u32, seq: u32) {
    if let Some(header) = packet.first_chunk_mut::<HEADER_LEN>() {
        *header = (u64::from(spi) << 32 | u64::from(seq)).to_be_bytes();
    }
}
/// Length with padding and trailer (pad length and next header octets) of `len` octets, for a cipher of this block size, a power of two (at
/// least 4).
pub fn padded_len(len: usize, block: usize) -> usize {
    debug_assert!(block.is_power_of_two());
    // A division would be felt.
    let mask = block.max(ALIGNMENT) - 1;
    (len + TRAILER_LEN + mask) & !mask
}
/// Writes padding 1, 2, 3, ..., pad length and next header behind `len` octets of `buf`; `buf` ends with the trailer and is
/// at most 257 octets longer than `len`.
pub fn write_trailer(buf: &mut [u8], len: usize, next_header: u8) {
    let Some([padding @ .., pad_len, last]) = buf.get_mut(len..) else {
        return debug_assert!(false, "no room for the trailer");
    };
    let Some(pattern) = PADDING.get(..padding.len()) else {
        return debug_assert!(false, "padding does not fit its length octet");
    };
    padding.copy_from_slice(pattern);
    *pad_len = pattern.len() as u8;
    *last = next_header;
}
/// Reads and checks the trailer of a decrypted payload (padding must be 1, 2, 3, ...; RFC 4303 section 2.4 lets a receiver
/// demand it, and only packets with a right ICV come this far): length of the payload, next header.
pub fn parse_trailer(plain: &[u8]) -> Option<(usize, u8)> {
    let [rest @ .., pad_len, next_header] = plain else { return None };
    let pattern = PADDING.get(..usize::from(*pad_len))?;
    let payload = rest.strip_suffix(pattern)?;
    Some((payload.len(), *next_header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn header_of_every_length() {
        for len in 0..64 {
            assert_eq!(parse_header(&vec![0; len]).is_some(), len >= HEADER_LEN);
            write_header(&mut vec![0; len], 1, 2);
        }
        let mut packet = [0; 9];
        write_header(&mut packet, 0x0102_0304, 0x0506_0708);
        assert_eq!(packet, [1, 2, 3, 4, 5, 6, 7, 8, 0]);
        assert_eq!(parse_header(&packet), Some((0x0102_0304, 0x0506_0708)));
    }

    /// VPP's template_ipsec: a pad length beyond the packet; ODP 1283: padding that is not 1, 2, 3.
    #[test]
    fn bad_trailers() {
        assert_eq!(parse_trailer(&[]), None);
        assert_eq!(parse_trailer(&[4]), None);
        assert_eq!(parse_trailer(&[0, 4]), Some((0, 4)));
        assert_eq!(parse_trailer(&[1, 2, 255, 4]), None);
        assert_eq!(parse_trailer(&[1, 2, 3, 3, 4]), Some((0, 4)));
        assert_eq!(parse_trailer(&[1, 2, 3, 4, 4]), None);
        assert_eq!(parse_trailer(&[1, 1, 2, 4]), None);
        assert_eq!(parse_trailer(&[0, 0, 2, 4]), None);
    }

    #[test]
    fn longest_padding() {
        let mut buf = vec![0; 3 + 255 + 2];
        write_trailer(&mut buf, 3, 41);
        assert_eq!(parse_trailer(&buf), Some((3, 41)));
        assert_eq!(buf[3 + 254], 255);
    }

    proptest! {
        #[test]
        fn round_trip(len in 0usize..2000, block in prop::sample::select(vec![1usize, 4, 8, 16]), next in any::<u8>()) {
            let mut buf = vec![0; padded_len(len, block)];
            prop_assert!(buf.len().is_multiple_of(block.max(4)) && buf.len() >= len + 2 && buf.len() < len + 2 + block.max(4));
            write_trailer(&mut buf, len, next);
            prop_assert_eq!(parse_trailer(&buf), Some((len, next)));
        }
        #[test]
        fn never_panics(plain in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some((len, _)) = parse_trailer(&plain) { prop_assert!(len + 2 <= plain.len()) }
        }
    }
}
