//! Transport mode: what the host sends to the peer itself, without an IP header of its own inside.
use super::build::*;
use super::gateway::*;
use super::segment::segments;
use crate::dataplane::gather::{MAX_OPEN, PATIENCE};
use crate::dataplane::inbound::Inbound;
use crate::esp::drop::Drop;
use crate::io::VnetHeader;
use crate::io::memory::Train;
use crate::ipsec::path::{Encap, Path};
use crate::ipsec::sad::Mode;
use std::net::IpAddr;
use std::sync::Arc;

pub fn transport(ipv6: bool) -> Setup {
    let hosts = if ipv6 { ["fd01::1", "fd02::1"] } else { ["10.1.0.1", "10.2.0.1"] };
    let [left, right] = hosts.map(|host| selectors(&[host]));
    Setup { ipv6_outer: ipv6, left, right, mode: Mode::Transport { sent: None }, ..Setup::default() }
}

/// Two hosts whose outer addresses are those of the packets that [`Build`] makes.
pub fn hosts(setup: &Setup) -> (Gateway, Gateway) {
    let (left, right) = pair(setup);
    let addr = |text: &str| std::net::SocketAddr::new(text.parse().unwrap(), 4500);
    let ends = if setup.ipv6_outer { ["fd01::1", "fd02::1"] } else { ["10.1.0.1", "10.2.0.1"] };
    let [local, remote] = ends.map(addr);
    left.path.store(Arc::new(Path { local, remote, ..**left.path.load() }));
    right.path.store(Arc::new(Path { local: remote, remote: local, ..**right.path.load() }));
    (left, right)
}

/// A packet with the header that it gets at the other end.
pub fn rebuilt(packet: &[u8]) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        let mut packet = packet.to_vec();
        packet[7] = 64;
        return packet;
    }
    let header = usize::from(packet[0] & 15) * 4;
    let mut packet = [&packet[..20], &packet[header..]].concat();
    let len = packet.len() as u16;
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[4..9].copy_from_slice(&[0, 0, 0x40, 0, 64]);
    packet[10..12].fill(0);
    let sum = !sum16(&packet[..20], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn carry(trains: Vec<Train>, right: &mut Gateway) -> Vec<Vec<u8>> {
    trains.into_iter().for_each(|train| right.port.inject(train));
    right.turn();
    right.delivered()
}

#[test]
fn a_packet_arrives_with_a_header_of_its_own() {
    for ipv6 in [false, true] {
        for encap in [Encap::Udp, Encap::Raw] {
            let (mut left, mut right) = hosts(&Setup { encap, ..transport(ipv6) });
            for build in [Build::udp(ipv6, 100), Build { extension: true, tos: 0xb8, ..Build::tcp(ipv6, 333) }] {
                let trains = left.send(VnetHeader::default(), build.packet());
                let sealed = trains[0].data.len();
                assert!(sealed < build.packet().len() + 8 + 8 + 16 + 8, "{sealed}: no inner header");
                assert_eq!(trains[0].tos, build.tos);
                let delivered = carry(trains, &mut right);
                assert_eq!(delivered, [rebuilt(&build.packet())]);
                assert_sound(&delivered[0]);
            }
            assert_eq!((left.drops(), right.drops()), (vec![], vec![]));
        }
    }
}

#[test]
fn super_packets_leave_as_packets() {
    for ipv6 in [false, true] {
        let (mut left, mut right) = hosts(&transport(ipv6));
        for build in [Build::tcp(ipv6, 9000), Build::udp(ipv6, 5000)] {
            let expected = segments(&build.gso(1000), &build.partial()).unwrap();
            let trains = left.send(build.gso(1000), build.partial());
            let delivered = carry(trains, &mut right);
            assert_eq!(delivered, expected.iter().map(|segment| rebuilt(segment)).collect::<Vec<_>>());
            delivered.iter().for_each(|packet| assert_sound(packet));
        }
        let counters = (left.child.counters.packets_out.load(std::sync::atomic::Ordering::Relaxed), right.drops());
        assert_eq!(counters, (14, vec![]));
    }
}

#[test]
fn only_what_the_selectors_name_comes_in() {
    let narrow = Setup { right: selectors(&["10.2.0.1[tcp/443]"]), ..transport(false) };
    for (build, good) in [
        (Build::tcp(false, 10), true),
        (Build { dport: 80, ..Build::tcp(false, 10) }, false),
        (Build::udp(false, 10), false),
    ] {
        let (_, mut right) = hosts(&narrow);
        let (proto, payload) = (build.packet()[9], build.packet()[20..].to_vec());
        let train = right.train(&[right.forge(&right.peer_sa(), 1, &payload, proto)]);
        let delivered = carry(vec![train], &mut right);
        assert_eq!(delivered.len(), usize::from(good));
        let expected = if good { vec![] } else { vec![(Drop::SelectorMismatch, 1)] };
        assert_eq!(right.drops(), expected);
    }
    // Nor from another address than the selectors': an outer header is not protected.
    let (_, mut right) = hosts(&transport(false));
    let payload = Build::tcp(false, 10).packet()[20..].to_vec();
    let train = right.train(&[right.forge(&right.peer_sa(), 1, &payload, 6)]);
    let train = Train { source: "10.1.0.9:4500".parse().unwrap(), ..train };
    assert!(carry(vec![train], &mut right).is_empty());
    assert_eq!(right.drops(), [(Drop::SelectorMismatch, 1)]);
}

#[test]
fn what_is_no_payload_is_dropped() {
    for (payload, next_header, reason) in
        [(vec![], 59, Drop::Dummy), (vec![1, 2], 6, Drop::Malformed), (vec![0xee; 65_000], 17, Drop::SelectorMismatch)]
    {
        let (_, mut right) = hosts(&Setup { right: selectors(&["10.2.0.1[tcp]"]), ..transport(false) });
        let train = right.train(&[right.forge(&right.peer_sa(), 1, &payload, next_header)]);
        assert!(carry(vec![train], &mut right).is_empty());
        assert_eq!(right.drops(), [(reason, 1)]);
    }
    // A fragment header of IPv6 inside.
    let (_, mut right) = hosts(&transport(true));
    let fragment = [&[17, 0, 0, 1, 0, 0, 0, 7][..], &[0; 64]].concat();
    let train = right.train(&[right.forge(&right.peer_sa(), 1, &fragment, 44)]);
    assert!(carry(vec![train], &mut right).is_empty());
    assert_eq!(right.drops(), [(Drop::LaterFragment, 1)]);
}

/// As the host cuts it for its device: the header in front of each, `size` octets of what is behind it.
pub fn cut(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let ipv6 = packet[0] >> 4 == 6;
    let (header, payload) = packet.split_at(if ipv6 { 40 } else { usize::from(packet[0] & 15) * 4 });
    let count = payload.len().div_ceil(size);
    let pieces = payload.chunks(size).enumerate().map(|(i, chunk)| {
        let (offset, more) = ((i * size / 8) as u16, i + 1 < count);
        let mut fragment = header.to_vec();
        if ipv6 {
            let place = (offset << 3 | u16::from(more)).to_be_bytes();
            fragment.extend([header[6], 0, place[0], place[1], 0, 0, 0, 99]);
            fragment[6] = 44;
            fragment[4..6].copy_from_slice(&(8 + chunk.len() as u16).to_be_bytes());
        } else {
            fragment[6..8].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
            fragment[2..4].copy_from_slice(&((header.len() + chunk.len()) as u16).to_be_bytes());
        }
        [fragment.as_slice(), chunk].concat()
    });
    pieces.collect()
}

/// One after the other; what went out.
fn send_all(left: &mut Gateway, packets: impl IntoIterator<Item = Vec<u8>>) -> Vec<Train> {
    packets.into_iter().flat_map(|packet| left.send(VnetHeader::default(), packet)).collect()
}

/// RFC 4303 section 3.1.1: ESP carries whole packets here, and the outer packet is what is cut.
#[test]
fn what_the_host_has_cut_is_put_together_and_cut_outside() {
    for ipv6 in [false, true] {
        for encap in [Encap::Udp, Encap::Raw] {
            let narrow = if ipv6 { "fd02::1[udp/443]" } else { "10.2.0.1[udp/443]" };
            let (mut left, mut right) = hosts(&Setup { encap, right: selectors(&[narrow]), ..transport(ipv6) });
            let [large, other] =
                [4000, 3000].map(|len| Build { dont_fragment: false, ..Build::udp(ipv6, len) }.packet());
            let trains = send_all(&mut left, cut(&large, 1368));
            assert!(trains.len() == 1 && !trains[0].dont_fragment);
            let delivered = carry(trains, &mut right);
            assert_eq!(delivered, [rebuilt(&large)]);
            assert_sound(&delivered[0]);
            // Nor does one that was cut too small, or one that was never cut.
            assert_eq!(carry(send_all(&mut left, cut(&other, 800)), &mut right), [rebuilt(&other)]);
            if !ipv6 {
                assert_eq!(carry(send_all(&mut left, [large.clone()]), &mut right), [rebuilt(&large)]);
            }
            assert_eq!((left.drops(), right.drops()), (vec![], vec![]));
        }
    }
}

#[test]
fn what_cannot_be_put_together_is_dropped_by_name() {
    let packet = |id: u16| Build { dont_fragment: false, id, ..Build::udp(false, 4000) }.packet();
    for (leave_out, drops) in [(0, 3), (1, 2), (2, 1), (3, 0)] {
        let (mut left, mut right) = hosts(&transport(false));
        let mut pieces = cut(&packet(7), 1008);
        assert_eq!(pieces.len(), 4);
        pieces.remove(leave_out);
        assert!(send_all(&mut left, pieces).is_empty());
        // It does not stand in the way of another one, not even of one with its number.
        assert_eq!(carry(send_all(&mut left, cut(&packet(7), 1008)), &mut right), [rebuilt(&packet(7))]);
        left.now += PATIENCE;
        assert_eq!(carry(send_all(&mut left, cut(&packet(8), 1008)), &mut right), [rebuilt(&packet(8))]);
        let expected = if drops == 0 { vec![] } else { vec![(Drop::LaterFragment, drops)] };
        assert_eq!(left.drops(), expected);
    }
}

#[test]
fn so_many_are_put_together_at_a_time_and_no_longer_than_a_second() {
    let (mut left, mut right) = hosts(&transport(false));
    let pieces = |id: u16| cut(&Build { dont_fragment: false, id, ..Build::udp(false, 2000) }.packet(), 1368);
    let firsts = (0..=MAX_OPEN as u16).map(|id| pieces(id).swap_remove(0));
    assert!(send_all(&mut left, firsts).is_empty());
    assert_eq!(left.drops(), [(Drop::LaterFragment, 1)]);
    let last = |id: u16| pieces(id).swap_remove(1);
    assert_eq!(carry(send_all(&mut left, [last(3)]), &mut right).len(), 1);
    left.now += PATIENCE;
    assert!(send_all(&mut left, [last(4)]).is_empty());
    // All that were open, and the one that came too late.
    assert_eq!(left.drops(), [(Drop::LaterFragment, 1 + MAX_OPEN as u64 - 1 + 1)]);
}

/// A header of options that only the first fragment has makes the sum longer than a length field can say.
#[test]
fn the_longest_packet_is_as_long_as_its_length_field_says() {
    for (extension, reason) in [(false, Drop::TooBig), (true, Drop::LaterFragment)] {
        let (mut left, _) = hosts(&transport(false));
        let fragment = |extension: bool, from: u16, len: usize, more: bool| {
            let packet = Build { dont_fragment: false, extension, ..Build::udp(false, len - 8) }.packet();
            let mut piece = cut(&packet, len).swap_remove(0);
            piece[6..8].copy_from_slice(&((from / 8) | (u16::from(more) << 13)).to_be_bytes());
            piece
        };
        let pieces = (0..8).map(|i| fragment(extension, i * 8000, 8000, true));
        assert!(send_all(&mut left, pieces).is_empty());
        assert_eq!(left.drops(), []);
        assert!(send_all(&mut left, [fragment(false, 64_000, 1515, false)]).is_empty());
        assert_eq!(left.drops(), [(reason, 1)]);
    }
}

/// A packet fills the outer one; one octet more is too big.
#[test]
fn the_path_is_filled_and_not_overfilled() {
    for ipv6 in [false, true] {
        let (mut left, _) = hosts(&transport(ipv6));
        let cipher = crate::esp::Cipher::AesGcm256;
        let mtu = usize::from(left.path.load().inner_mtu(cipher)) + if ipv6 { 40 } else { 20 };
        let of_len = |len: usize| Build::udp(ipv6, len - Build::udp(ipv6, 0).headers()).packet();
        let [train] = left.send(VnetHeader::default(), of_len(mtu)).try_into().unwrap();
        let outer = train.data.len() + if ipv6 { 48 } else { 28 };
        assert!(train.dont_fragment && (1497..=1500).contains(&outer), "{outer}");
        assert_eq!(left.send(VnetHeader::default(), of_len(mtu + 1)), []);
        let answer = &left.delivered()[0];
        let at = if ipv6 { 46 } else { 26 };
        assert_eq!(usize::from(u16::from_be_bytes([answer[at], answer[at + 1]])), mtu);
    }
}

/// RFC 3948 section 3.1.2: the sender made its checksum with the addresses that it saw.
#[test]
fn a_checksum_is_made_right_for_the_addresses_that_we_see() {
    let sent: (IpAddr, IpAddr) = ("10.1.0.1".parse().unwrap(), "10.2.0.1".parse().unwrap());
    for build in [Build::tcp(false, 99), Build::udp(false, 99), Build { payload: vec![], ..Build::udp(false, 0) }] {
        for fixed in [true, false] {
            let mode = Mode::Transport { sent: fixed.then_some(sent) };
            let (left, right) = (selectors(&["198.51.100.7"]), selectors(&["192.0.2.2"]));
            let (_, mut right) = pair(&Setup { left, right, mode, ..transport(false) });
            let packet = build.packet();
            let train = right.train(&[right.forge(&right.peer_sa(), 1, &packet[20..], packet[9])]);
            let train = Train { source: "198.51.100.7:1025".parse().unwrap(), ..train };
            let delivered = carry(vec![train], &mut right);
            assert_eq!(delivered[0][12..20], [198, 51, 100, 7, 192, 0, 2, 2]);
            assert_eq!(std::panic::catch_unwind(|| assert_sound(&delivered[0])).is_ok(), fixed);
        }
    }
    // No checksum stays none.
    let mut datagram = Build::udp(false, 9).packet()[20..].to_vec();
    datagram[6..8].fill(0);
    crate::dataplane::transport::fix_checksum(&mut datagram, 17, sent, ("1.2.3.4".parse().unwrap(), sent.1));
    assert_eq!(datagram[6..8], [0, 0]);
}

/// In either mode what has no window counts, and TCP does not, not even where nothing is there to merge.
#[test]
fn only_what_has_no_window_makes_a_burst() {
    for transported in [false, true] {
        let (_, mut right) = if transported { hosts(&transport(false)) } else { pair(&Setup::default()) };
        let packets = [Build::udp(false, 8), Build::tcp(false, 0), Build::udp(false, 9), Build::tcp(false, 5)];
        for (seq, build) in (1..).zip(&packets) {
            let packet = build.packet();
            let (payload, next) = if transported { (&packet[20..], packet[9]) } else { (&packet[..], 4) };
            right.port.inject(right.train(&[right.forge(&right.peer_sa(), seq, payload, next)]));
        }
        let (shared, _told) = right.share(right.stats.clone());
        let mut inbound = Inbound::new();
        inbound.serve(right.now, 0, &mut right.worker.ends, &shared);
        assert_eq!((right.delivered().len(), inbound.burst.0), (4, 2), "{transported}");
    }
}
