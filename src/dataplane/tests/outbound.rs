//! From the TUN: what is carried, what is refused, and who is told.
use super::build::*;
use super::gateway::*;
use crate::dataplane::Upcall;
use crate::dataplane::worker::{Ends, Shared, Socket, Worker};
use crate::esp::drop::Drop;
use crate::io::memory::{Knobs, Port, Train};
use crate::io::{Datagrams, Destination, ReceiveBatch, VnetHeader};
use crate::ipsec::path::{Encap, Path, outer_len};
use crate::ipsec::spd::{Action, Spd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Type and code of an ICMP or ICMPv6 message, and its MTU.
fn icmp(packet: &[u8]) -> (u8, u8, u16) {
    assert_sound(packet);
    let at = if packet[0] >> 4 == 4 { 20 } else { 40 };
    (packet[at], packet[at + 1], u16::from_be_bytes([packet[at + 6], packet[at + 7]]))
}

#[test]
fn what_no_policy_wants_is_refused_aloud() {
    for (action, reason) in
        [(None, Drop::NoPolicy), (Some(Action::Pass), Drop::NoPolicy), (Some(Action::Drop), Drop::PolicyDrop)]
    {
        for (ipv6, expected) in [(false, (3, 13, 0)), (true, (1, 1, 0))] {
            let (mut left, _) = pair(&Setup::default());
            match action {
                None => left.tables.publish_policies(Spd::default()),
                Some(action) => left.policies(action),
            }
            let packet = Build::udp(ipv6, 100).packet();
            assert_eq!(left.send(VnetHeader::default(), packet), []);
            assert_eq!(left.drops(), [(reason, 1)]);
            let answers = left.delivered();
            assert_eq!(answers.iter().map(|answer| icmp(answer)).collect::<Vec<_>>(), [expected]);
        }
    }
}

/// Each kind for itself.
#[test]
fn answers_are_limited() {
    let (mut left, _) = pair(&Setup { left: selectors(&["10.1.0.0/24"]), ..Setup::default() });
    let mut answers = |second: u64| {
        left.now = Duration::from_secs(second);
        for _ in 0..300 {
            left.host.push(VnetHeader::default(), Build::udp(true, 100).packet());
            left.host.push(VnetHeader::default(), Build::udp(false, 1500).packet());
        }
        (0..20).for_each(|_| left.turn());
        let kinds: Vec<_> = left.delivered().iter().map(|answer| (icmp(answer).0, icmp(answer).1)).collect();
        [(1, 1), (3, 4)].map(|expected| kinds.iter().filter(|kind| **kind == expected).count())
    };
    assert_eq!([answers(0), answers(0), answers(1)], [[50, 50], [0, 0], [50, 50]]);
}

#[test]
fn an_sa_is_asked_for_once_a_second() {
    let (mut left, _) = pair(&Setup::default());
    left.tables.swap_outbound(SLOT, None);
    let mut asked = |ms: u64| {
        left.now = Duration::from_millis(ms);
        (0..3).for_each(|_| assert_eq!(left.send(VnetHeader::default(), Build::udp(true, 9).packet()), []));
        let names = left.told().into_iter().map(|told| match told {
            Upcall::Acquire { name } => name.to_string(),
            other => panic!("{other:?}"),
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(asked(0), ["office/lan"]);
    assert!(asked(999).is_empty());
    assert_eq!(asked(1000), ["office/lan"]);
    assert_eq!((left.drops(), left.child.counters.dropped(Drop::NoSa)), (vec![(Drop::NoSa, 9)], 9));
    // A policy may come before its child.
    left.tables.remove_child(SLOT);
    left.now = Duration::from_secs(9);
    left.send(VnetHeader::default(), Build::udp(true, 9).packet());
    assert!(matches!(&left.told()[..], [Upcall::Acquire { .. }]));
}

#[test]
fn the_sa_in_use_decides() {
    let narrow = Setup { right: selectors(&["10.2.0.7", "fd02::/64"]), ..Setup::default() };
    let (mut left, _) = pair(&Setup::default());
    let (other, _) = pair(&narrow);
    left.tables.swap_outbound(SLOT, other.child.outbound.load_full());
    let to = |dst: u8| Build { dst, ..Build::udp(false, 50) }.packet();
    assert_eq!(left.send(VnetHeader::default(), to(7)).len(), 1);
    assert_eq!(left.send(VnetHeader::default(), to(8)), []);
    assert_eq!(left.drops(), [(Drop::SelectorMismatch, 1)]);
    assert_eq!(icmp(&left.delivered()[0]), (3, 13, 0));
}

/// A peer may narrow one child to several SAs.
#[test]
fn what_the_sa_in_use_may_not_carry_goes_on_one_beside_it() {
    let (mut left, _) = pair(&Setup::default());
    let entry = |right: &str, spi| pair(&Setup { right: selectors(&[right]), ..Setup::default() }).0.entry(spi);
    let [used, beside, wider] =
        [("10.2.0.7", 0x7777), ("10.2.0.8", 0x8888), ("10.2.0.8/31", 0x9999)].map(|(ts, spi)| entry(ts, spi));
    left.tables.swap_outbound(SLOT, Some(used));
    left.tables.swap_beside(SLOT, vec![beside, wider]);
    let spi = |train: &Train| u32::from_be_bytes(*train.data.first_chunk().unwrap());
    let to = |dst: u8| Build { dst, ..Build::udp(false, 50) }.packet();
    let mut sent = |dst| left.send(VnetHeader::default(), to(dst)).iter().map(spi).collect::<Vec<_>>();
    assert_eq!([7, 8, 9, 10].map(&mut sent), [vec![0x7777], vec![0x8888], vec![0x9999], vec![]]);
    assert_eq!(left.drops(), [(Drop::SelectorMismatch, 1)]);
    left.tables.swap_beside(SLOT, vec![]);
    assert_eq!(left.send(VnetHeader::default(), to(8)), []);
}

#[test]
fn a_child_with_ports_carries_no_later_fragments() {
    let mut later = Build::udp(false, 100).packet();
    later[7] = 10;
    let (mut left, _) = pair(&Setup { right: selectors(&["10.2.0.0/24[udp/443]"]), ..Setup::default() });
    assert_eq!(left.send(VnetHeader::default(), later.clone()), []);
    assert_eq!(left.drops(), [(Drop::LaterFragment, 1)]);
    assert!(left.host.pop().is_none());
    // Nor is it let through, or refused, by a policy that would have to know its ports.
    left.policies(Action::Drop);
    assert_eq!(left.send(VnetHeader::default(), later.clone()), []);
    assert_eq!(left.drops(), [(Drop::LaterFragment, 2)]);
    let (mut left, _) = pair(&Setup::default());
    assert_eq!(left.send(VnetHeader::default(), later).len(), 1);
}

/// A packet of exactly the inner MTU fills the outer one; one octet more is too big.
#[test]
fn the_path_is_filled_and_not_overfilled() {
    for ipv6_outer in [false, true] {
        for ipv6 in [false, true] {
            let setup = Setup { ipv6_outer, ..Setup::default() };
            let (mut left, _) = pair(&setup);
            let mtu = left.path.load().inner_mtu(setup.cipher);
            let of_len = |len: u16| {
                let build = Build::udp(ipv6, 0);
                Build::udp(ipv6, usize::from(len) - build.headers())
            };
            let [train] = left.send(VnetHeader::default(), of_len(mtu).packet()).try_into().unwrap();
            let outer = outer_len(mtu.into(), ipv6_outer, setup.encap, setup.cipher);
            assert!(train.dont_fragment && (1497..=1500).contains(&outer), "{outer}");
            assert_eq!(left.send(VnetHeader::default(), of_len(mtu + 1).packet()), []);
            let expected = if ipv6 { (2, 0, mtu) } else { (3, 4, mtu) };
            assert_eq!(left.delivered().iter().map(|answer| icmp(answer)).collect::<Vec<_>>(), [expected]);
            assert_eq!(left.drops(), [(Drop::TooBig, 1)]);
            let tcp = Build::tcp(ipv6, 9000);
            let fits = usize::from(mtu) - tcp.headers();
            assert_eq!(left.send(tcp.gso(fits + 1), tcp.partial()), []);
            assert_eq!(icmp(&left.delivered()[0]), expected);
            assert!(!left.send(tcp.gso(fits), tcp.partial()).is_empty());
        }
    }
}

#[test]
fn what_may_be_fragmented_is() {
    let build = Build { dont_fragment: false, ..Build::udp(false, 4000) };
    let (mut left, mut right) = pair(&Setup::default());
    let trains = left.send(VnetHeader::default(), build.packet());
    assert_eq!(trains.iter().flat_map(Train::datagrams).count(), 3);
    assert!(trains.iter().all(|train| train.dont_fragment));
    assert!(trains.iter().flat_map(Train::datagrams).all(|datagram| datagram.len() <= 1472));
    trains.into_iter().for_each(|train| right.port.inject(train));
    right.turn();
    assert_eq!(super::fragment::reassemble(&right.delivered()).unwrap().payload, build.packet()[20..]);
    // With ports in the selectors the peer could not check the fragments: the outer packet is fragmented.
    let (mut left, mut right) = pair(&Setup { right: selectors(&["10.2.0.0/24[udp/443]"]), ..Setup::default() });
    let [train] = left.send(VnetHeader::default(), build.packet()).try_into().unwrap();
    assert!(!train.dont_fragment && train.data.len() > 4000);
    right.port.inject(train);
    right.turn();
    assert_eq!(right.delivered(), [build.packet()]);
    assert_eq!((left.drops(), right.drops()), (vec![], vec![]));
}

/// A path narrower than IPv6 allows: 1280 octets cross in a fragmented outer packet, more is refused with 1280.
#[test]
fn ipv6_has_its_smallest_mtu_on_any_path() {
    let (mut left, _) = pair(&Setup { mtu: 1000, ..Setup::default() });
    let of_len = |len: usize| Build::udp(true, len - 48).packet();
    let [train] = left.send(VnetHeader::default(), of_len(1280)).try_into().unwrap();
    assert!(!train.dont_fragment);
    let [train] = left.send(VnetHeader::default(), of_len(900)).try_into().unwrap();
    assert!(train.dont_fragment);
    assert_eq!(left.send(VnetHeader::default(), of_len(1281)), []);
    assert_eq!(icmp(&left.delivered()[0]), (2, 0, 1280));
}

#[test]
fn numbers_that_run_out_are_told_of() {
    let (mut left, _) = pair(&Setup { first: u64::from(u32::MAX) - 9, ..Setup::default() });
    let build = Build::udp(false, 800);
    assert_eq!(left.send(build.gso(100), build.partial()).len(), 1);
    assert!(matches!(left.told()[..], [Upcall::Exhausting { slot: SLOT }]));
    left.now = Duration::from_secs(1);
    // Two are left, three are wanted: none is taken.
    let build = Build::udp(false, 300);
    assert_eq!(left.send(build.gso(100), build.partial()), []);
    assert!(matches!(left.told()[..], [Upcall::Exhausting { slot: SLOT }]));
    assert_eq!(left.drops(), [(Drop::SequenceExhausted, 1)]);
    let build = Build::udp(false, 200);
    let [train] = left.send(build.gso(100), build.partial()).try_into().unwrap();
    let numbers: Vec<u32> = train.datagrams().map(|d| u32::from_be_bytes(d[4..8].try_into().unwrap())).collect();
    assert_eq!(numbers, [u32::MAX - 1, u32::MAX]);
    assert!(left.told().is_empty());
}

/// They run out in the middle of a super-packet: what has numbers leaves and is counted, and no number comes twice.
#[test]
fn what_has_numbers_leaves() {
    for fragments in [false, true] {
        let mtu = if fragments { 120 } else { 1500 };
        let (mut left, _) = pair(&Setup { first: u64::from(u32::MAX) - 99, mtu, ..Setup::default() });
        let build = Build { dont_fragment: false, ..Build::udp(false, 150 * 50) };
        let mut trains = left.send(build.gso(50), build.partial());
        let sent = left.child.counters.packets_out.load(Relaxed);
        // Fragments have a number each, packets those of a train.
        assert_eq!(sent, if fragments { 100 } else { 64 });
        assert_eq!(
            left.child.counters.bytes_out.load(Relaxed),
            if fragments { 50 * (50 + 28) + 50 * 20 } else { 64 * (50 + 28) }
        );
        assert_eq!(left.drops(), [(Drop::SequenceExhausted, 1)]);
        let build = Build::udp(false, 36 * 10);
        if !fragments {
            trains.extend(left.send(build.gso(10), build.partial()));
        }
        let numbers = trains.iter().flat_map(Train::datagrams).map(|d| u32::from_be_bytes(d[4..8].try_into().unwrap()));
        assert!(numbers.eq(u32::MAX - 99..=u32::MAX));
    }
}

#[test]
fn garbage_from_the_device_is_dropped() {
    let (mut left, _) = pair(&Setup::default());
    let build = Build::tcp(false, 3000);
    let v6 = Build { extension: true, ..Build::tcp(true, 3000) };
    // An IPv6 chain that leads out of the packet, in every way: beside its end, far beyond, and without one.
    let chain =
        |octets: &[u8]| [&v6.partial()[..4], &[0, octets.len() as u8, 60], &v6.partial()[7..40], octets].concat();
    // What a device with raised limits could give: 200 KiB that say nothing about their length, cut to the buffer.
    let long = |mut packet: Vec<u8>, at: usize| {
        packet[at..at + 2].fill(0);
        packet.resize(200_000, 0);
        packet
    };
    let long_offset = |build: &Build| {
        let mut packet = build.partial();
        packet[build.l4() + 12] = 0xf0;
        packet
    };
    let short = Build::tcp(false, 10);
    let garbage = [
        (VnetHeader::default(), vec![]),
        (VnetHeader::default(), vec![0x45; 19]),
        (VnetHeader::default(), vec![0; 100]),
        (VnetHeader { gso_size: 0, ..build.gso(100) }, build.partial()),
        (VnetHeader { needs_csum: false, ..build.gso(100) }, build.partial()),
        (VnetHeader { hdr_len: u16::MAX, ..build.gso(100) }, build.partial()),
        (VnetHeader { csum_start: u16::MAX, ..build.gso(100) }, build.partial()),
        (VnetHeader { csum_start: 9999, ..build.needs_csum() }, build.partial()),
        (short.gso(5), long_offset(&short)),
        (VnetHeader { csum_start: 41, ..v6.gso(100) }, v6.partial()),
        (v6.gso(100), v6.partial()[..47].to_vec()),
        (VnetHeader::default(), chain(&[])),
        (VnetHeader::default(), chain(&[6])),
        (VnetHeader::default(), chain(&[6, 1, 0, 0, 0, 0, 0, 0])),
        (VnetHeader::default(), chain(&[6, 255, 0, 0, 0, 0, 0, 0])),
        (VnetHeader::default(), chain(&[44, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0])),
        (VnetHeader::default(), chain(&[60, 0, 0, 0, 0, 0, 0, 0].repeat(20))),
        (build.gso(100), long(build.partial(), 2)),
        (v6.gso(100), long(v6.partial(), 4)),
    ];
    let count = garbage.len() as u64;
    for (i, (header, packet)) in garbage.into_iter().enumerate() {
        assert_eq!(left.send(header, packet), [], "{i}");
    }
    assert_eq!(left.drops(), [(Drop::Malformed, count)]);
}

/// An IPv6 packet is up to 65,575 octets long.
#[test]
fn the_largest_super_packet_fits_into_the_buffer() {
    let (mut left, _) = pair(&Setup::default());
    let build = Build::udp(true, 65_527);
    let trains = left.send(build.gso(1200), build.partial());
    assert_eq!((trains.iter().flat_map(Train::datagrams).count(), left.drops()), (55, vec![]));
}

/// A datagram may be longer than a train: it leaves alone, in order, as long as an IP packet can hold it.
#[test]
fn the_longest_datagrams_leave_alone() {
    let (mut left, mut right) = pair(&Setup { right: selectors(&["10.2.0.0/24[udp/443]"]), ..Setup::default() });
    let of_len = |len: usize| Build { dont_fragment: false, ..Build::udp(false, len - 28) }.packet();
    // 34 octets of ESP and padding to a multiple of 4; a train ends at 65,469, a datagram at 65,487.
    let packets = [100, 100, 65_434, 65_438, 65_450, 100, 100].map(of_len);
    packets.iter().for_each(|packet| left.host.push(VnetHeader::default(), packet.clone()));
    left.turn();
    let trains = left.port.sent();
    let lengths: Vec<Vec<usize>> = trains.iter().map(|train| train.datagrams().map(<[u8]>::len).collect()).collect();
    assert_eq!(lengths, [vec![136, 136], vec![65_468], vec![65_472], vec![65_484], vec![136, 136]]);
    trains.into_iter().for_each(|train| right.port.inject(train));
    right.turn();
    assert_eq!(right.delivered(), packets);
    assert_eq!(left.send(VnetHeader::default(), of_len(65_456)), []);
    assert_eq!(left.drops(), [(Drop::TooBig, 1)]);
}

#[test]
fn without_a_socket_for_it_a_packet_is_dropped() {
    let (mut left, _) = pair(&Setup::default());
    left.worker.ends.sockets[0].local = "192.0.2.77".parse().unwrap();
    assert_eq!(left.send(VnetHeader::default(), Build::udp(false, 9).packet()), []);
    assert_eq!(left.drops(), [(Drop::Device, 1)]);
}

#[test]
fn a_socket_that_refuses_is_counted() {
    let mut setup = Setup::default();
    setup.knobs.mtu = 100;
    let (mut left, _) = pair(&setup);
    let build = Build::udp(false, 1000);
    assert_eq!(left.send(build.gso(200), build.partial()), []);
    assert_eq!(left.drops(), [(Drop::Device, 5)]);
}

/// Both kinds of socket are there; the path says which sends.
#[test]
fn the_path_chooses_the_socket() {
    let (mut left, _) = pair(&Setup::default());
    let (raw, _other) = Port::pair(Knobs::default());
    let any = left.worker.ends.sockets[0].local;
    left.worker.ends.sockets.insert(0, Socket { encap: Encap::Raw, local: any, io: raw.clone() });
    let packet = Build::udp(false, 100).packet();
    assert_eq!((left.send(VnetHeader::default(), packet.clone()).len(), raw.sent().len()), (1, 0));
    left.path.store(Arc::new(Path { encap: Encap::Raw, ..**left.path.load() }));
    assert_eq!((left.send(VnetHeader::default(), packet).len(), raw.sent().len()), (0, 1));
}

/// A socket that notes what it is given: octets in all and of each datagram.
#[derive(Default)]
struct Notes(Vec<(usize, usize)>);

impl Datagrams for Notes {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> std::io::Result<()> {
        batch.datagrams.clear();
        Ok(())
    }
    fn send(&mut self, _to: &Destination, data: &[u8], segment: usize) -> std::io::Result<usize> {
        self.0.push((data.len(), segment));
        Ok(data.len().div_ceil(segment))
    }
}

#[test]
fn a_train_is_what_the_kernel_takes() {
    let (left, _) = pair(&Setup::default());
    let sockets = vec![Socket { encap: Encap::Udp, local: "0.0.0.0".parse().unwrap(), io: Notes::default() }];
    let devices = [(DEVICE, left.host.clone())].into_iter().collect();
    let shared = Shared {
        tables: left.tables.clone(),
        upcalls: sync_channel(1).0,
        stats: left.stats.clone(),
        orders: Arc::default(),
        team: Default::default(),
        tap: Arc::default(),
    };
    let mut worker = Worker::new(Ends { sockets, devices }, shared);
    let small = Build::udp(false, 130);
    left.host.push(small.gso(1), small.partial());
    let large = Build::tcp(false, 60_000);
    left.host.push(large.gso(1340), large.partial());
    left.host.push(large.gso(1340), large.partial());
    worker.turn(Duration::ZERO);
    let trains = std::mem::take(&mut worker.ends.sockets[0].io.0);
    assert_eq!(trains.iter().map(|(len, segment)| len.div_ceil(*segment)).collect::<Vec<_>>(), [64, 64, 2, 45, 45]);
    assert!(trains.iter().all(|(len, _)| *len < 65_488));
}
