//! DSCP and ECN between inner and outer headers (RFC 6040, RFC 4301 section 5.1.2).
use super::drop::Drop;
/// The outer octet for an inner one: ECN in normal mode (copied), DSCP copied if asked, else 0.
pub fn encapsulate(inner_tos: u8, copy_dscp: bool) -> u8 {
    let _ = (inner_tos, copy_dscp);
    todo!()
}
/// The inner octet to deliver (RFC 6040 figure 4; DSCP of the inner header stays).
pub fn decapsulate(inner_tos: u8, outer_tos: u8) -> Result<u8, Drop> {
    let _ = (inner_tos, outer_tos);
    todo!()
}
/// Writes an octet into an IP packet, with the IPv4 checksum kept right. The packet has been parsed.
pub fn set(packet: &mut [u8], tos: u8) {
    let _ = (packet, tos);
    todo!()
}
