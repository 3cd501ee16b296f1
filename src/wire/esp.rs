//! ESP header and trailer (RFC 4303 section 2).
/// SPI and sequence number.
pub const HEADER_LEN: usize = 8;
/// Next header of a dummy packet (RFC 4303 section 2.6).
pub const NEXT_HEADER_DUMMY: u8 = 59;
/// Next header of tunnelled IPv4.
pub const NEXT_HEADER_IPV4: u8 = 4;
/// Next header of tunnelled IPv6.
pub const NEXT_HEADER_IPV6: u8 = 41;
/// SPI and the 32 bits of the sequence number that travel. `None` if shorter than the header.
pub fn parse_header(packet: &[u8]) -> Option<(u32, u32)> {
    let _ = packet;
    todo!()
}
/// Writes the header.
pub fn write_header(packet: &mut [u8], spi: u32, seq: u32) {
    let _ = (packet, spi, seq);
    todo!()
}
/// Length with padding and trailer (pad length and next header octets) of `len` octets, for a cipher of this block size (at least 4).
pub fn padded_len(len: usize, block: usize) -> usize {
    let _ = (len, block);
    todo!()
}
/// Writes padding 1, 2, 3, ..., pad length and next header behind `len` octets of `buf`; `buf` ends with the trailer.
pub fn write_trailer(buf: &mut [u8], len: usize, next_header: u8) {
    let _ = (buf, len, next_header);
    todo!()
}
/// Reads and checks the trailer of a decrypted payload (padding must be 1, 2, 3, ...): length of the payload, next header.
pub fn parse_trailer(plain: &[u8]) -> Option<(usize, u8)> {
    let _ = plain;
    todo!()
}
