//! What we answer to the sender of a packet that we do not carry (RFC 4301 section 5.1.1, RFC 1191, RFC 4443). Pure.
use super::segment::put16;
use crate::wire::ip::{Packet, checksum_add, checksum_fold};
use std::net::IpAddr;

/// Why the packet is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No policy or SA lets it through.
    Prohibited,
    /// It is larger than this many octets, and may not be fragmented.
    TooBig(u16),
}

/// Longest answer: what an IPv6 host must take, and more than the 576 octets of IPv4 (RFC 4443 section 3.1, RFC 1812 section 4.3.2.3).
pub const MAX_ANSWER: usize = 1280;
const MAX_ANSWER_V4: usize = 576;

const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;

/// Writes the answer to `out` and tells its length; `None` if the packet must not be answered.
///
/// It comes from the packet's own destination: the one address that surely has its route through this device, so that reverse path
/// filters let it in. An address of the gateway itself would be a martian on the TUN.
pub fn answer(reason: Reason, data: &[u8], parsed: &Packet, out: &mut [u8; MAX_ANSWER]) -> Option<usize> {
    let packet = data.get(..parsed.len)?;
    if !may_answer(packet, parsed) {
        return None;
    }
    match (parsed.flow.dst, parsed.flow.src) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let quoted = packet.len().min(MAX_ANSWER_V4 - 28);
            let len = 28 + quoted;
            out[..28].fill(0);
            out[28..len].copy_from_slice(&packet[..quoted]);
            // Precedence "internetwork control" (RFC 1812 section 4.3.2.5), DF with identification 0 (RFC 6864), TTL 64.
            out[..12].copy_from_slice(&[0x45, 0xc0, 0, 0, 0, 0, 0x40, 0, 64, ICMP, 0, 0]);
            put16(out, 2, len as u16);
            out[12..16].copy_from_slice(&from.octets());
            out[16..20].copy_from_slice(&to.octets());
            let sum = checksum_fold(checksum_add(0, &out[..20]));
            put16(out, 10, !sum);
            out[20] = 3;
            match reason {
                Reason::Prohibited => out[21] = 13,
                Reason::TooBig(mtu) => {
                    out[21] = 4;
                    put16(out, 26, mtu);
                }
            }
            let sum = checksum_fold(checksum_add(0, &out[20..len]));
            put16(out, 22, !sum);
            Some(len)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let quoted = packet.len().min(MAX_ANSWER - 48);
            let len = 48 + quoted;
            out[..48].fill(0);
            out[48..len].copy_from_slice(&packet[..quoted]);
            out[0] = 0x60;
            put16(out, 4, (8 + quoted) as u16);
            (out[6], out[7]) = (ICMP_V6, 64);
            out[8..24].copy_from_slice(&from.octets());
            out[24..40].copy_from_slice(&to.octets());
            match reason {
                Reason::Prohibited => (out[40], out[41]) = (1, 1),
                Reason::TooBig(mtu) => {
                    out[40] = 2;
                    put16(out, 46, mtu);
                }
            }
            let pseudo = pseudo_header(from.into(), to.into(), ICMP_V6, 8 + quoted);
            let sum = checksum_fold(checksum_add(pseudo, &out[40..len]));
            put16(out, 42, !sum);
            Some(len)
        }
        _ => None,
    }
}

/// RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e): never about an error message, a later fragment, or a packet from or to
/// an address that is not one host's.
fn may_answer(packet: &[u8], parsed: &Packet) -> bool {
    let flow = &parsed.flow;
    if flow.later_fragment || !is_host(flow.src) || !is_host(flow.dst) {
        return false;
    }
    let kind = packet.get(parsed.l4).copied();
    match flow.proto {
        // Echo, timestamp, information and mask, requests and replies, and router discovery. An unknown type may be an error.
        ICMP => matches!(kind, Some(0 | 8 | 9 | 10 | 13..=18)),
        // Errors have the first bit clear; a redirect (137) is treated like one.
        ICMP_V6 => kind.is_some_and(|kind| kind >= 128 && kind != 137),
        _ => true,
    }
}

fn is_host(addr: IpAddr) -> bool {
    // Net 0, and class E with the broadcast address at its end (RFC 1812 section 4.3.2.7).
    let nobodys = matches!(addr, IpAddr::V4(a) if a.octets()[0] == 0 || a.octets()[0] >= 240);
    !(addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() || nobodys)
}

/// The sum of the pseudo-header for an upper-layer packet of `len` octets between the addresses (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub(super) fn pseudo_header(src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> u64 {
    let add = |sum, addr| match addr {
        IpAddr::V4(a) => checksum_add(sum, &a.octets()),
        IpAddr::V6(a) => checksum_add(sum, &a.octets()),
    };
    let len = len as u64;
    add(add(u64::from(proto) + (len >> 16) + (len & 0xffff), src), dst)
}
