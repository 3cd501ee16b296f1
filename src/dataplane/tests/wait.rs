//! What comes before its SA waits for it, on either side, and not for ever.
use super::build::*;
use super::gateway::*;
use crate::dataplane::worker::Source;
use crate::dataplane::{Upcall, hold, park};
use crate::esp::drop::Drop;
use crate::io::VnetHeader;
use crate::io::memory::Train;
use crate::ipsec::spd::Action;
use std::time::Duration;

fn packet(i: u16) -> Vec<u8> {
    Build { sport: i, ..Build::udp(false, 64) }.packet()
}

/// A right side that has offered its SPI and has no keys yet.
fn larval() -> Gateway {
    let (_, right) = pair(&Setup::default());
    right.tables.retire_inbound(RIGHT_SPI);
    right.tables.larvae.insert(RIGHT_SPI);
    right
}

#[test]
fn packets_that_are_ahead_of_their_keys_are_opened_when_those_are_there() {
    let mut right = larval();
    let sa = right.peer_sa();
    for seq in 1..=3 {
        right.port.inject(right.train(&[right.forge(&sa, seq, &packet(seq as u16), 4)]));
    }
    right.turn();
    assert!(matches!(right.told()[..], [Upcall::Larval { spi: RIGHT_SPI }]), "once");
    assert!(right.delivered().is_empty() && right.drops().is_empty());
    right.receive_on(RIGHT_SPI);
    // What comes with them stands behind them.
    right.port.inject(right.train(&[right.forge(&sa, 4, &packet(4), 4)]));
    right.worker.serve(right.now, Source::Socket(0)).unwrap();
    assert_eq!(right.delivered(), [packet(1), packet(2), packet(3), packet(4)]);
    assert!(right.drops().is_empty() && !right.tables.larvae.contains(RIGHT_SPI));
    assert!(matches!(right.told()[..], [Upcall::FirstPacket { spi: RIGHT_SPI }]));
}

#[test]
fn they_wait_for_a_second_and_there_is_an_end_to_the_room() {
    let mut right = larval();
    let sa = right.peer_sa();
    for seq in 1..=300 {
        right.port.inject(right.train(&[right.forge(&sa, seq, &packet(1), 4)]));
    }
    (0..20).for_each(|_| right.turn());
    assert_eq!(right.drops(), [(Drop::QueueFull, 300 - park::MAX_PACKETS as u64)]);
    assert_eq!(right.worker.deadline(), Some(park::PATIENCE));
    right.now = park::PATIENCE - Duration::from_millis(1);
    right.turn();
    assert_eq!(right.stats.drops(Drop::UnknownSpi), 0);
    right.now = park::PATIENCE;
    right.turn();
    assert_eq!(right.stats.drops(Drop::UnknownSpi), park::MAX_PACKETS as u64);
    assert_eq!(right.worker.deadline(), None);
    right.receive_on(RIGHT_SPI);
    right.turn();
    assert!(right.delivered().is_empty());
}

#[test]
fn an_spi_that_was_given_up_is_unknown() {
    let mut right = larval();
    right.tables.larvae.remove(RIGHT_SPI);
    right.port.inject(right.train(&[right.forge(&right.peer_sa(), 1, &packet(1), 4)]));
    right.turn();
    assert_eq!(right.drops(), [(Drop::UnknownSpi, 1)]);
    assert!(matches!(right.told()[..], [Upcall::UnknownSpi { spi: RIGHT_SPI, .. }]));
}

/// A left side whose child has no SA.
fn trapped() -> Gateway {
    let (left, _) = pair(&Setup { waits: true, ..Setup::default() });
    left.tables.swap_outbound(SLOT, None);
    left
}

fn ports(trains: &[Train], right: &mut Gateway) -> Vec<u16> {
    trains.iter().for_each(|train| right.port.inject(train.clone()));
    right.turn();
    right.delivered().iter().map(|packet| u16::from_be_bytes([packet[20], packet[21]])).collect()
}

#[test]
fn the_packets_that_bring_a_child_up_go_through_it() {
    let mut left = trapped();
    let (_, mut right) = pair(&Setup::default());
    for i in 1..=3 {
        assert_eq!(left.send(VnetHeader::default(), packet(i)), []);
    }
    assert!(matches!(&left.told()[..], [Upcall::Acquire { .. }]));
    assert!(left.drops().is_empty());
    left.send_on(RIGHT_SPI);
    left.host.push(VnetHeader::default(), packet(4));
    left.worker.serve(left.now, Source::Device(DEVICE)).unwrap();
    let trains = left.port.sent();
    assert_eq!(ports(&trains, &mut right), [1, 2, 3, 4]);
    assert_eq!(left.worker.deadline(), None);
}

#[test]
fn they_wait_for_five_seconds_and_no_child_takes_all_the_room() {
    let mut left = trapped();
    for i in 0..100 {
        left.send(VnetHeader::default(), packet(i));
    }
    let refused = 100 - hold::PER_CHILD as u64;
    assert_eq!((left.drops(), left.child.counters.dropped(Drop::NoSa)), (vec![(Drop::NoSa, refused)], refused));
    left.now = hold::PATIENCE - Duration::from_millis(1);
    left.turn();
    assert_eq!(left.stats.drops(Drop::NoSa), refused);
    left.now = hold::PATIENCE;
    left.turn();
    assert_eq!((left.stats.drops(Drop::NoSa), left.child.counters.dropped(Drop::NoSa)), (100, 100));
    left.send_on(RIGHT_SPI);
    left.turn();
    assert_eq!(left.port.sent(), []);
}

#[test]
fn large_packets_take_more_of_the_room() {
    let mut left = trapped();
    let build = Build::tcp(false, 60_000);
    for _ in 0..3 {
        left.send(build.gso(1000), build.partial());
    }
    assert_eq!(left.drops(), [(Drop::NoSa, 1)]);
}

#[test]
fn what_has_waited_asks_its_policy_again() {
    let mut left = trapped();
    left.send(VnetHeader::default(), packet(1));
    left.policies(Action::Drop);
    left.send_on(RIGHT_SPI);
    left.turn();
    assert_eq!((left.port.sent(), left.drops()), (vec![], vec![(Drop::PolicyDrop, 1)]));
}

#[test]
fn one_dummy_says_that_an_sa_is_in_use_unless_something_else_has() {
    let (mut left, mut right) = pair(&Setup::default());
    left.orders.announce(SLOT);
    left.turn();
    left.turn();
    let trains = left.port.sent();
    assert_eq!(trains.iter().flat_map(Train::datagrams).count(), 1);
    assert!(ports(&trains, &mut right).is_empty());
    assert!(matches!(right.told()[..], [Upcall::FirstPacket { spi: RIGHT_SPI }]));
    assert_eq!((left.drops(), right.drops()), (vec![], vec![(Drop::Dummy, 1)]));
    left.orders.announce(SLOT);
    left.turn();
    assert_eq!(left.port.sent(), []);
}
