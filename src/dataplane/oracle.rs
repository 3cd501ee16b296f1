//! Cutting and merging as others do it (tun-rs), to hold ours against; for tests and fuzzing alone.
use crate::io::{Gso, VnetHeader};
use tun_rs::{GROTable, VIRTIO_NET_HDR_LEN, VirtioNetHdr};

/// The segments of a super-packet, which has payload, an offload header that is right also in the length of all headers, and the sum of
/// the pseudo-header that belongs to the addresses of its IP header.
pub fn cut(header: &VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    let gso_type = match header.gso {
        Gso::TcpV4 => tun_rs::VIRTIO_NET_HDR_GSO_TCPV4,
        Gso::TcpV6 => tun_rs::VIRTIO_NET_HDR_GSO_TCPV6,
        Gso::UdpL4 => tun_rs::VIRTIO_NET_HDR_GSO_UDP_L4,
        Gso::None => 0,
    };
    let theirs = VirtioNetHdr {
        flags: 1,
        gso_type,
        hdr_len: header.hdr_len,
        gso_size: header.gso_size,
        csum_start: header.csum_start,
        csum_offset: header.csum_offset,
    };
    let (headers, size) = (usize::from(header.hdr_len), usize::from(header.gso_size));
    let count = (packet.len() - headers).div_ceil(size);
    let mut out = vec![vec![0; packet.len().min(headers + size)]; count];
    let mut sizes = vec![0; count];
    let mut input = packet.to_vec();
    let ipv6 = packet[0] >> 4 == 6;
    let n = tun_rs::gso_split(&mut input, theirs, &mut out, &mut sizes, 0, ipv6).expect("tun-rs takes it");
    out.into_iter().zip(sizes).take(n).map(|(buf, len)| buf[..len].to_vec()).collect()
}

/// What these packets become for a device that takes super-packets of both kinds: offload headers and octets.
pub fn merge(packets: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>)> {
    /// What stands in front of a packet that has become part of another one.
    const UNTOUCHED: [u8; VIRTIO_NET_HDR_LEN] = [0xee; VIRTIO_NET_HDR_LEN];
    let room = |packet: &Vec<u8>| {
        let mut buf = Vec::with_capacity(65_536 + VIRTIO_NET_HDR_LEN);
        buf.extend([&UNTOUCHED[..], packet].concat());
        buf
    };
    let mut bufs: Vec<Vec<u8>> = packets.iter().map(room).collect();
    GROTable::new().apply_gro(&mut bufs, VIRTIO_NET_HDR_LEN, true).expect("tun-rs takes them");
    let written = bufs.iter().filter_map(|buf| buf.split_at_checked(VIRTIO_NET_HDR_LEN));
    written.filter(|(head, _)| *head != UNTOUCHED).map(|(head, packet)| (header(head), packet.to_vec())).collect()
}

fn header(encoded: &[u8]) -> VnetHeader {
    let theirs = VirtioNetHdr::decode(encoded).expect("long enough");
    VnetHeader {
        needs_csum: theirs.flags == 1,
        gso: match theirs.gso_type {
            tun_rs::VIRTIO_NET_HDR_GSO_TCPV4 => Gso::TcpV4,
            tun_rs::VIRTIO_NET_HDR_GSO_TCPV6 => Gso::TcpV6,
            tun_rs::VIRTIO_NET_HDR_GSO_UDP_L4 => Gso::UdpL4,
            _ => Gso::None,
        },
        hdr_len: theirs.hdr_len,
        gso_size: theirs.gso_size,
        csum_start: theirs.csum_start,
        csum_offset: theirs.csum_offset,
    }
}
