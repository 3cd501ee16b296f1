//! Where a child's outer packets go.
use std::net::SocketAddr;
/// How ESP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encap {
    /// In UDP (RFC 3948).
    Udp,
    /// IP protocol 50; the ports of the addresses mean nothing.
    Raw,
}
/// Outer addresses of an IKE SA and its children. One per IKE SA, replaced when an address moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Encapsulation of what we send; both kinds are received at any time (R37).
    pub encap: Encap,
    /// A changed source of an authentic packet may be taken over: the peer is behind a NAT and we are not (R37).
    pub may_move: bool,
    /// Largest outer IP packet.
    pub mtu: u16,
}
