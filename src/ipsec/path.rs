//! Where a child's outer packets go, and how large they get on the way.
use crate::esp::Cipher;
use crate::esp::layout::Layout;
use std::net::SocketAddr;

/// Octets of an IPv4 header without options: we send none.
const IPV4_LEN: usize = 20;
/// Octets of an IPv6 header without extension headers: we send none.
const IPV6_LEN: usize = 40;
/// Octets of a UDP header.
const UDP_LEN: usize = 8;

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

impl Path {
    /// The largest inner packet that crosses this path whole under `cipher`, in octets.
    pub fn inner_mtu(&self, cipher: Cipher) -> u16 {
        inner_mtu(self.mtu, self.remote.is_ipv6(), self.encap, cipher)
    }
}

/// Octets of the outer IP packet for an inner packet of `inner` octets.
pub fn outer_len(inner: usize, ipv6_outer: bool, encap: Encap, cipher: Cipher) -> usize {
    headers_len(ipv6_outer, encap) + Layout::of(cipher).sealed_len(inner)
}

/// The largest inner packet whose outer packet is at most `path_mtu` octets; 0 if there is none.
pub fn inner_mtu(path_mtu: u16, ipv6_outer: bool, encap: Encap, cipher: Cipher) -> u16 {
    let esp = usize::from(path_mtu).saturating_sub(headers_len(ipv6_outer, encap));
    u16::try_from(Layout::of(cipher).largest_inner(esp)).unwrap_or(u16::MAX)
}

fn headers_len(ipv6_outer: bool, encap: Encap) -> usize {
    let ip = if ipv6_outer { IPV6_LEN } else { IPV4_LEN };
    match encap {
        Encap::Udp => ip + UDP_LEN,
        Encap::Raw => ip,
    }
}
