//! Transport mode (RFC 4303 section 3.1.1): the IP header stays outside. Going out it is taken off, and the kernel makes another with the
//! same addresses; coming in it is made anew. Pure. Each packet for itself: nothing here is segmented or merged in trains.
use super::icmp::pseudo_header;
use super::segment::{Pieces, get16, put16};
use crate::esp::drop::Drop;
use crate::wire::esp::NEXT_HEADER_DUMMY;
use crate::wire::ip::{self, Packet, checksum_add, checksum_fold, checksum_update};
use std::net::IpAddr;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Longest IP header that is made here.
pub const HEADER: usize = 40;
/// Octets of a payload in which its ports must be found, behind extension headers if there are any.
const LOOK: usize = 256;
/// As the kernel's own packets have it.
const HOPS: u8 = 64;
const DONT_FRAGMENT: u8 = 0x40;

/// What is behind the IP header of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a>(pub &'a [u8]);

impl Pieces for Payload<'_> {
    fn count(&self) -> usize {
        1
    }
    fn len_of(&self, _: usize) -> usize {
        self.0.len()
    }
    fn write(&self, _: usize, out: &mut [u8]) {
        out.copy_from_slice(self.0);
    }
}

/// Octets of the header that is taken off, and the next header of ESP. IPv6 extension headers travel inside; IPv4 options are not carried.
pub fn header(packet: &[u8], parsed: &Packet) -> (usize, u8) {
    match packet.get(6) {
        Some(next) if parsed.flow.src.is_ipv6() => (40, *next),
        _ => (parsed.l4, parsed.flow.proto),
    }
}

/// An IP header for a payload.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    octets: [u8; HEADER],
    len: usize,
}

impl Header {
    /// Of a packet with this payload between two addresses. `Dummy`; `Malformed` if there can be none.
    pub fn new(src: IpAddr, dst: IpAddr, proto: u8, tos: u8, payload: usize) -> Result<Self, Drop> {
        if proto == NEXT_HEADER_DUMMY {
            return Err(Drop::Dummy);
        }
        let mut octets = [0; HEADER];
        let len = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let total = u16::try_from(20 + payload).map_err(|_| Drop::Malformed)?;
                // DF with identification 0 (RFC 6864).
                octets[..12].copy_from_slice(&[0x45, tos, 0, 0, 0, 0, DONT_FRAGMENT, 0, HOPS, proto, 0, 0]);
                put16(&mut octets, 2, total);
                octets[12..16].copy_from_slice(&src.octets());
                octets[16..20].copy_from_slice(&dst.octets());
                let sum = checksum_fold(checksum_add(0, &octets[..20]));
                put16(&mut octets, 10, !sum);
                20
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let payload = u16::try_from(payload).map_err(|_| Drop::Malformed)?;
                (octets[0], octets[1]) = (0x60 | tos >> 4, tos << 4);
                put16(&mut octets, 4, payload);
                (octets[6], octets[7]) = (proto, HOPS);
                octets[8..24].copy_from_slice(&src.octets());
                octets[24..40].copy_from_slice(&dst.octets());
                40
            }
            _ => return Err(Drop::Malformed),
        };
        Ok(Self { octets, len })
    }

    /// The header.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// What the packet is that begins with this header. Only the first octets of the payload are looked at.
    pub fn parse(&self, payload: &[u8]) -> Result<Packet, Drop> {
        let mut start = [0; HEADER + LOOK];
        let known = payload.len().min(LOOK);
        start[..self.len].copy_from_slice(self.octets());
        start[self.len..self.len + known].copy_from_slice(&payload[..known]);
        // As long as what is there, or it would be malformed.
        match self.len {
            20 => put16(&mut start, 2, (20 + known) as u16),
            _ => put16(&mut start, 4, known as u16),
        }
        let parsed = ip::parse(&start[..self.len + known]).map_err(|_| Drop::Malformed)?;
        Ok(Packet { len: self.len + payload.len(), ..parsed })
    }
}

/// Makes the checksum of TCP or UDP, which the sender made with its view of the addresses, right for ours (RFC 3948 section 3.1.2).
pub fn fix_checksum(payload: &mut [u8], proto: u8, sent: (IpAddr, IpAddr), seen: (IpAddr, IpAddr)) {
    let at = match proto {
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    if payload.len() < at + 2 {
        return;
    }
    let old = get16(payload, at);
    if proto == UDP && old == 0 {
        return;
    }
    let sum = |ends: (IpAddr, IpAddr)| pseudo_header(ends.0, ends.1, 0, 0);
    let new = match checksum_update(old, sum(sent), sum(seen)) {
        0 if proto == UDP => 0xffff,
        new => new,
    };
    put16(payload, at, new);
}
