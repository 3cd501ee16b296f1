//! What one UDP datagram is (RFC 3948 section 2, RFC 7296 section 2.23).
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
/// Classifies what came to the port for NAT traversal.
pub fn classify(data: &[u8]) -> Datagram<'_> {
    let _ = data;
    todo!()
}
