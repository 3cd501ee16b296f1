//! From the wire: what is let in and what is not.
use super::build::*;
use super::copies::{assert_each_once, inner};
use super::gateway::*;
use crate::dataplane::Upcall;
use crate::dataplane::stats::Direction;
use crate::esp::drop::Drop;
use crate::io::memory::Train;
use crate::ipsec::path::{Encap, Path};
use proptest::prelude::*;
use std::sync::Arc;

#[test]
fn what_was_received_is_not_received_again() {
    let copies = prop::collection::vec((0u8..30, any::<bool>()), 1..240);
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&copies, |order| {
            let (_, mut right) = pair(&Setup::default());
            let sa = right.peer_sa();
            let sealed: Vec<Vec<u8>> = (0..30).map(|i| right.forge(&sa, u64::from(i) + 1, &inner(i), 4)).collect();
            let mut train: Vec<Vec<u8>> = Vec::new();
            for (i, last) in &order {
                train.push(sealed[usize::from(*i)].clone());
                if *last || train.len() == 64 {
                    right.port.inject(right.train(&std::mem::take(&mut train)));
                }
            }
            if !train.is_empty() {
                right.port.inject(right.train(&train));
            }
            (0..order.len() / 16 + 1).for_each(|_| right.turn());
            let arrived: Vec<u8> = order.iter().map(|(i, _)| *i).collect();
            let copies = assert_each_once(&mut right, &arrived);
            prop_assert_eq!(right.stats.drops(Drop::Replayed), copies);
            prop_assert_eq!(right.child.counters.dropped(Drop::Replayed), copies);
            Ok(())
        })
        .unwrap();
}

/// Each case beside two good packets, which arrive.
#[test]
fn what_must_not_come_in_is_counted_by_name() {
    let good = [inner(1), inner(2)];
    let mut cut_short = inner(3);
    cut_short[3] = 200;
    let spoofed = Build { src: 1, ..Build::udp(false, 64) }.packet();
    let mut wrong_source = spoofed.clone();
    wrong_source[12] = 11;
    let mut wrong_destination = spoofed.clone();
    wrong_destination[16] = 11;
    let v6 = Build::udp(true, 64).packet();
    let mut chain = Build { extension: true, ..Build::udp(true, 64) }.packet();
    chain[41] = 200;
    let mut half_chain = Build { extension: true, ..Build::udp(true, 64) }.packet()[..44].to_vec();
    half_chain[5] = 4;
    let mut no_chain = half_chain[..40].to_vec();
    no_chain[5] = 0;
    let cases: [(&str, Vec<u8>, u8, Option<Drop>); 13] = [
        ("an IPv6 chain that is cut off", half_chain, 41, Some(Drop::Malformed)),
        ("an IPv6 chain without a beginning", no_chain, 41, Some(Drop::Malformed)),
        ("an IPv6 chain that leads out of it", chain, 41, Some(Drop::Malformed)),
        ("a wrong inner source", wrong_source, 4, Some(Drop::SelectorMismatch)),
        ("a wrong inner destination", wrong_destination, 4, Some(Drop::SelectorMismatch)),
        ("a dummy", vec![1, 2, 3], 59, Some(Drop::Dummy)),
        ("an empty dummy", vec![], 59, Some(Drop::Dummy)),
        ("transport mode", inner(3), 17, Some(Drop::BadNextHeader)),
        ("IPv4 that says IPv6", inner(3), 41, Some(Drop::BadNextHeader)),
        ("IPv6 that says IPv4", v6, 4, Some(Drop::BadNextHeader)),
        ("nothing", vec![], 4, Some(Drop::Malformed)),
        ("longer than it is", cut_short, 4, Some(Drop::Malformed)),
        ("TFC padding", [inner(3), vec![0xee; 333]].concat(), 4, None),
    ];
    for (what, payload, next_header, reason) in cases {
        let (_, mut right) = pair(&Setup::default());
        let sa = right.peer_sa();
        for (seq, data, next_header) in [(1, &good[0], 4), (2, &payload, next_header), (3, &good[1], 4)] {
            right.port.inject(right.train(&[right.forge(&sa, seq, data, next_header)]));
        }
        right.turn();
        let expected = match reason {
            Some(_) => good.to_vec(),
            None => vec![good[0].clone(), inner(3), good[1].clone()],
        };
        assert_eq!(right.delivered(), expected, "{what}");
        assert_eq!(right.drops(), reason.map(|reason| (reason, 1)).into_iter().collect::<Vec<_>>(), "{what}");
        let of_child = |reason| right.child.counters.dropped(reason);
        assert!(reason.is_none_or(|reason| of_child(reason) == 1), "{what}");
    }
}

#[test]
fn damaged_packets_do_not_open() {
    let (_, mut right) = pair(&Setup::default());
    let sa = right.peer_sa();
    let packet = right.forge(&sa, 1, &inner(1), 4);
    for at in 4..packet.len() {
        let mut damaged = packet.clone();
        damaged[at] ^= 0x10;
        right.port.inject(right.train(&[damaged]));
    }
    for len in 8..packet.len() {
        right.port.inject(right.train(&[packet[..len].to_vec()]));
    }
    (0..20).for_each(|_| right.turn());
    assert!(right.host.pop().is_none());
    assert_eq!(right.stats.drops(Drop::BadIcv) + right.stats.drops(Drop::TooShort), (2 * packet.len() - 12) as u64);
    right.port.inject(right.train(&[packet]));
    right.turn();
    assert_eq!(right.delivered(), [inner(1)]);
}

#[test]
fn what_is_not_esp_goes_its_way() {
    let (_, mut right) = pair(&Setup::default());
    let ike = [[0; 4].as_slice(), &[7; 28]].concat();
    right.port.inject(right.train(std::slice::from_ref(&ike)));
    right.port.inject(right.train(&[vec![0xff]]));
    right.port.inject(right.train(&[vec![0, 0, 0, 200, 0, 0, 0, 1, 9, 9, 9, 9]]));
    right.port.inject(right.train(&[vec![1, 2, 3]]));
    right.port.inject(right.train(&[vec![]]));
    right.port.inject(right.train(&[vec![9; 100]]));
    // Not told twice in a second, nor of one that is smaller than the answer.
    right.port.inject(right.train(&[vec![9; 100]]));
    right.port.inject(right.train(&[vec![8; 47]]));
    right.turn();
    let path = right.path.load();
    let told = right.told();
    let [Upcall::Ike { local, remote, data }, Upcall::UnknownSpi { spi, local: here, remote: there }] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((*local, *remote, &data[..]), (path.local, path.remote, &ike[4..]));
    assert_eq!((*spi, *here, *there), (0x0909_0909, path.local, path.remote));
    assert_eq!((right.drops(), right.stats.junk()), (vec![(Drop::UnknownSpi, 3)], 3));
    assert!(right.host.pop().is_none());
}

#[test]
fn ike_within_a_train_is_found() {
    let (_, mut right) = pair(&Setup::default());
    let esp = right.forge(&right.peer_sa(), 1, &inner(1), 4);
    let ike = [&[0; 4], vec![7; esp.len() - 4].as_slice()].concat();
    right.port.inject(right.train(&[ike.clone(), esp.clone(), ike, esp]));
    right.turn();
    assert!(matches!(&right.told()[..], [Upcall::Ike { .. }, Upcall::Ike { .. }, Upcall::FirstPacket { .. }]));
    assert_eq!(right.delivered(), [inner(1)]);
}

/// On a raw socket there is no marker: all of it is ESP.
#[test]
fn raw_packets_are_esp_or_junk() {
    let (_, mut right) = pair(&Setup { encap: Encap::Raw, ..Setup::default() });
    for data in [vec![0; 40], vec![0xff], vec![9; 40], right.forge(&right.peer_sa(), 1, &inner(1), 4)] {
        right.port.inject(right.train(&[data]));
    }
    right.turn();
    assert_eq!((right.stats.junk(), right.stats.drops(Drop::UnknownSpi)), (2, 1));
    assert_eq!(right.delivered(), [inner(1)]);
}

#[test]
fn the_first_packet_is_told_once() {
    let (_, mut right) = pair(&Setup::default());
    let sa = right.peer_sa();
    let mut bad = right.forge(&sa, 1, &inner(1), 4);
    bad[20] ^= 1;
    right.port.inject(right.train(&[bad]));
    right.turn();
    assert!(right.told().is_empty());
    for seq in [5, 1, 6] {
        right.port.inject(right.train(&[right.forge(&sa, seq, &inner(1), 59)]));
        right.turn();
    }
    let told = right.told();
    assert!(matches!(told[..], [Upcall::FirstPacket { spi: RIGHT_SPI }]), "{told:?}");
}

/// R37: only what is authentic and new, and only if the peer may move.
#[test]
fn a_peer_that_moved_is_told() {
    let elsewhere = "192.0.2.99:61000".parse().unwrap();
    for (may_move, encap) in [(true, Encap::Udp), (false, Encap::Udp), (true, Encap::Raw)] {
        let (_, mut right) = pair(&Setup { may_move, encap, ..Setup::default() });
        let sa = right.peer_sa();
        let mut arrive = |seq: u64, damage: bool, moved: bool| {
            let mut packet = right.forge(&sa, seq, &inner(1), 4);
            packet[20] ^= u8::from(damage);
            let train = right.train(&[packet]);
            right.port.inject(Train { source: if moved { elsewhere } else { train.source }, ..train });
            right.turn();
            right.told().into_iter().filter(|told| matches!(told, Upcall::Moved { .. })).collect::<Vec<_>>()
        };
        let expected = may_move && encap == Encap::Udp;
        assert!(arrive(10, false, false).is_empty());
        assert!(arrive(11, true, true).is_empty(), "not authentic");
        assert!(arrive(10, false, true).is_empty(), "a replay");
        assert!(arrive(9, false, true).is_empty(), "behind the newest");
        let told = arrive(12, false, true);
        match &told[..] {
            [Upcall::Moved { spi: RIGHT_SPI, remote }] if expected => assert_eq!(*remote, elsewhere),
            [] if !expected => {}
            _ => panic!("{told:?}"),
        }
        let path = Path { remote: elsewhere, ..**right.path.load() };
        right.path.store(Arc::new(path));
        let packet = right.forge(&sa, 13, &inner(1), 4);
        right.port.inject(right.train(&[packet]));
        right.turn();
        assert!(right.told().is_empty(), "known now");
    }
}

#[test]
fn a_full_channel_loses_upcalls_and_nothing_else() {
    let (_, mut right) = pair(&Setup::default());
    for _ in 0..100 {
        right.port.inject(right.train(&[[[0; 4].as_slice(), &[7; 28]].concat()]));
    }
    right.port.inject(right.train(&[right.forge(&right.peer_sa(), 1, &inner(1), 4)]));
    (0..10).for_each(|_| right.turn());
    // 64 fit; one more was the first packet's.
    assert_eq!((right.told().len(), right.stats.upcalls_lost()), (64, 37));
    assert_eq!(right.delivered(), [inner(1)]);
}

#[test]
fn a_later_fragment_needs_a_child_without_ports() {
    let mut later = inner(1);
    later[7] = 10;
    let sum = {
        later[10..12].fill(0);
        !sum16(&later[..20], 0)
    };
    later[10..12].copy_from_slice(&sum.to_be_bytes());
    for (right_ts, reason) in [("10.2.0.0/24", None), ("10.2.0.0/24[udp/443]", Some(Drop::LaterFragment))] {
        let (_, mut right) = pair(&Setup { right: selectors(&[right_ts]), ..Setup::default() });
        right.port.inject(right.train(&[right.forge(&right.peer_sa(), 1, &later, 4)]));
        right.turn();
        assert_eq!(right.drops(), reason.map(|reason| (reason, 1)).into_iter().collect::<Vec<_>>());
        assert_eq!(right.delivered().len(), usize::from(reason.is_none()));
    }
}

#[test]
fn a_device_of_another_worker_is_none_of_ours() {
    let (_, mut right) = pair(&Setup::default());
    right.worker.ends.devices.remove(DEVICE);
    right.port.inject(right.train(&[right.forge(&right.peer_sa(), 1, &inner(1), 4)]));
    right.turn();
    assert_eq!(right.drops(), [(Drop::Device, 1)]);
}

#[test]
fn batches_are_counted_by_size() {
    let (_, mut right) = pair(&Setup::default());
    let sa = right.peer_sa();
    let train: Vec<Vec<u8>> = (1..=5).map(|seq| right.forge(&sa, seq, &inner(1), 4)).collect();
    right.port.inject(right.train(&train));
    right.turn();
    right.turn();
    assert_eq!(right.stats.batches(Direction::In)[..4], [0, 0, 1, 0]);
}
