//! From TUN to TUN.
use super::build::*;
use super::fragment::reassemble;
use super::gateway::*;
use super::segment::segments;
use crate::crypto::integ::Integ;
use crate::esp::Cipher;
use crate::io::VnetHeader;
use crate::io::memory::{Knobs, Train};
use crate::ipsec::path::Encap;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

const CBC: Cipher = Cipher::AesCbc { key_bits: 256, integ: Integ::HmacSha256_128 };

/// Every kind of address and encapsulation, with and without trains and offloads.
fn setups() -> Vec<Setup> {
    let mut all = Vec::new();
    for ipv6_outer in [false, true] {
        for encap in [Encap::Udp, Encap::Raw] {
            for (cipher, esn) in [(Cipher::AesGcm256, true), (Cipher::ChaCha20Poly1305, false), (CBC, true)] {
                for trains in [true, false] {
                    let offloads = (trains, trains);
                    let knobs = Knobs { trains, ..Knobs::default() };
                    all.push(Setup { ipv6_outer, encap, cipher, esn, offloads, knobs, ..Setup::default() });
                }
            }
        }
    }
    all
}

fn spi_and_seq(datagram: &[u8]) -> [u8; 8] {
    datagram[..8].try_into().unwrap()
}

#[test]
fn what_the_host_sends_the_other_host_gets() {
    for setup in setups() {
        let (mut left, mut right) = pair(&setup);
        let mut sent = Vec::new();
        for ipv6 in [false, true] {
            let tcp = Build { flags: ACK | PSH, id: 1000, ..Build::tcp(ipv6, 40_001) };
            let udp = Build { sport: 99, ..Build::udp(ipv6, 9_999) };
            let single = Build { sport: 5, ..Build::udp(ipv6, 1) };
            let odd = Build { sport: 6, extension: true, ..Build::tcp(ipv6, 333) };
            for (header, packet) in [
                (tcp.gso(1300), tcp.partial()),
                (udp.gso(1201), udp.partial()),
                (single.needs_csum(), single.partial()),
                (VnetHeader::default(), odd.packet()),
            ] {
                sent.extend(segments(&header, &packet).unwrap());
                left.host.push(header, packet);
            }
        }
        left.turn();
        while right.delivered_bytes() < sent.iter().map(|p| p.len() as u64).sum() {
            let before = right.delivered_bytes();
            right.turn();
            assert_ne!(right.delivered_bytes(), before, "{setup:?}: {:?} {:?}", left.drops(), right.drops());
        }
        let mut delivered = right.delivered();
        delivered.iter().for_each(|packet| {
            if packet[6] != 60 {
                assert_sound(packet)
            }
        });
        sent.sort();
        delivered.sort();
        assert_eq!(sent, delivered, "{setup:?}");
        assert_eq!((left.drops(), right.drops()), (vec![], vec![]));
        let count = sent.len() as u64;
        assert_eq!(left.child.counters.packets_out.load(Relaxed), count);
        assert_eq!(right.child.counters.packets_in.load(Relaxed), count);
    }
}

impl Gateway {
    fn delivered_bytes(&self) -> u64 {
        self.child.counters.bytes_in.load(Relaxed)
    }
}

/// 65,507 octets in one datagram: fragmented in front of the tunnel, whole behind it.
#[test]
fn the_largest_udp_datagram_crosses() {
    for ipv6_outer in [false, true] {
        let (mut left, mut right) = pair(&Setup { ipv6_outer, ..Setup::default() });
        let build = Build { dont_fragment: false, ..Build::udp(false, 65_507) };
        left.host.push(build.needs_csum(), build.partial());
        left.turn();
        (0..10).for_each(|_| right.turn());
        let whole = reassemble(&right.delivered()).expect("complete");
        assert_eq!(whole.payload, build.packet()[20..]);
        assert_eq!((left.drops(), right.drops()), (vec![], vec![]));
    }
}

#[test]
fn no_number_leaves_twice_and_numbers_leave_in_order() {
    let (mut left, _right) = pair(&Setup::default());
    let mut seen = HashSet::new();
    let mut last = 0;
    for turn in 0..20 {
        for flow in 0..70 {
            let build = Build { sport: flow, ..Build::tcp(flow % 2 == 0, 500 * usize::from(flow) + turn) };
            left.host.push(build.gso(1360), build.partial());
        }
        left.turn();
        for datagram in left.port.sent().iter().flat_map(Train::datagrams) {
            let header = spi_and_seq(datagram);
            let seq = u32::from_be_bytes(header[4..].try_into().unwrap());
            assert!(seen.insert(header));
            assert!(seq > last, "{seq} behind {last}");
            last = seq;
        }
    }
    assert!(seen.len() > 3_000);
}

#[test]
fn trains_are_of_one_size_one_tos_and_at_most_64() {
    let (mut left, _right) = pair(&Setup::default());
    let push = |left: &Gateway, payload: usize, tos: u8| {
        left.host.push(VnetHeader::default(), Build { tos, ..Build::udp(false, payload) }.packet());
    };
    let lengths = |left: &mut Gateway| {
        left.turn();
        left.port.sent().iter().map(|train| train.datagrams().map(<[u8]>::len).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    // 28 octets of IP and UDP, 34 of ESP: multiples of 4.
    for payload in [100, 100, 60, 100, 104, 104] {
        push(&left, payload, 0);
    }
    assert_eq!(lengths(&mut left), [vec![164, 164, 124], vec![164], vec![168, 168]]);
    for tos in [0, 0, 2, 2, 0] {
        push(&left, 100, tos);
    }
    assert_eq!(lengths(&mut left), [vec![164, 164], vec![164, 164], vec![164]]);
    let build = Build::udp(true, 150);
    left.host.push(build.gso(1), build.partial());
    assert_eq!(lengths(&mut left).iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 22]);
    for payload in [60_000, 5_000, 5_000] {
        let build = Build { sport: 1, ..Build::tcp(true, payload) };
        left.host.push(build.gso(1380), build.partial());
    }
    for train in lengths(&mut left) {
        assert!(train.len() <= 64 && train.iter().sum::<usize>() < 65_507);
        assert!(train[..train.len() - 1].iter().all(|len| *len == train[0]) && train[train.len() - 1] <= train[0]);
    }
}

#[test]
fn a_train_of_two_sas_reaches_both() {
    let (mut left, mut right) = pair(&Setup::default());
    let other = RIGHT_SPI | 0x0100_0000;
    right.receive_on(other);
    let mut sent = Vec::new();
    let mut datagrams = Vec::new();
    for i in 0..40 {
        left.send_on(if i % 2 == 0 { RIGHT_SPI } else { other });
        // A fresh SA begins at one; skip what the SPI has had.
        let entry = left.child.outbound.load_full().unwrap();
        entry.sa.reserve(i / 2).unwrap();
        let packet = Build { sport: (i % 3) as u16, ..Build::udp(true, 100) }.packet();
        sent.push(packet.clone());
        datagrams
            .extend(left.send(VnetHeader::default(), packet).iter().flat_map(Train::datagrams).map(<[u8]>::to_vec));
    }
    datagrams.sort_by_key(Vec::len);
    for train in datagrams.chunk_by(|a, b| a.len() == b.len()) {
        right.port.inject(right.train(train));
    }
    right.turn();
    let mut delivered = right.delivered();
    sent.sort();
    delivered.sort();
    assert_eq!(sent, delivered);
    assert_eq!(right.drops(), []);
}

/// RFC 6040 figure 4 inward; outward the field is copied.
#[test]
fn congestion_marks_cross_both_ways() {
    const NOT_ECT: u8 = 0;
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    let table = [
        (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
        (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
        (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
        (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
    ];
    for ipv6 in [false, true] {
        for copy_dscp in [false, true] {
            for (inner, row) in table {
                for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                    let (mut left, mut right) = pair(&Setup { copy_dscp, ..Setup::default() });
                    let build = Build { tos: 0xb8 | inner, ..Build::udp(ipv6, 100) };
                    let [mut train] = left.send(build.needs_csum(), build.partial()).try_into().unwrap();
                    assert_eq!(train.tos, if copy_dscp { build.tos } else { inner });
                    train.tos = train.tos & !3 | outer;
                    right.port.inject(train);
                    right.turn();
                    let expected: Vec<_> =
                        expected.map(|ecn| Build { tos: 0xb8 | ecn, ..build.clone() }.packet()).into_iter().collect();
                    assert_eq!(right.delivered(), expected, "inner {inner}, outer {outer}");
                }
            }
        }
    }
}
