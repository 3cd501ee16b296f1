//! Liveness, dead peers, reconnecting.
use super::super::event::{Input, Seen};
use super::*;
use crate::ike::event::Ended;
use crate::wire::registry::ExchangeType;

fn tunnel(alice: Policy, bob: Policy) -> World {
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world.log.clear();
    world
}
fn without_dpd(policy: Policy) -> Policy {
    with(policy, |c| c.dpd_delay = Duration::ZERO)
}

#[test]
fn only_silence_is_asked_about() {
    let mut world = tunnel(alice(), without_dpd(bob()));
    world.pass(seconds(95));
    let checks =
        |world: &World| world.sent_by(ALICE).iter().filter(|d| d.is(ExchangeType::INFORMATIONAL, false)).count();
    assert_eq!(checks(&world), 3);
    assert_eq!(world.sent_by(BOB).len(), 3, "answers");
    let spi = world.a.children()[0].spi_in;
    for _ in 0..20 {
        let seen = Seen { since: world.now, heard: vec![spi, 12345], unanswered: vec![spi], ..Seen::default() };
        world.input_a(Input::EspSeen(&seen));
        world.pass(seconds(20));
    }
    assert_eq!(checks(&world), 3, "ESP is a sign of life");
}

/// Both have the same delay and heard each other at the same moments: what one asks is a sign of its life, so that the other need not.
#[test]
fn one_of_two_asks_for_both() {
    let asked =
        |world: &World, end| world.sent_by(end).iter().filter(|d| d.is(ExchangeType::INFORMATIONAL, false)).count();
    for (caller, called) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut world = World::new(alice(), bob());
        world.command(caller, up());
        world.pass(seconds(1));
        world.log.clear();
        world.pass(seconds(299));
        assert_eq!((asked(&world, caller), asked(&world, called)), (10, 0));
        // Where the one does not, the other does.
        let quiet = without_dpd(if caller == ALICE { alice() } else { bob() });
        world.command(caller, Command::SetPolicy(Arc::new(quiet)));
        world.log.clear();
        world.pass(seconds(300));
        assert_eq!((asked(&world, caller), asked(&world, called)), (0, 9));
    }
}

/// RFC 7296 section 2.4: what is only sent may go into a black hole.
#[test]
fn what_is_sent_and_not_answered_is_asked_about_sooner_and_not_too_often() {
    let mut world = tunnel(alice(), without_dpd(bob()));
    let spi = world.a.children()[0].spi_in;
    let checks = |world: &World| -> Vec<u64> {
        let by_alice = world.log.iter().filter(|(_, d)| d.from.ip() == addr(ALICE));
        by_alice.map(|(at, _)| (*at - seconds(1000)).as_secs()).collect()
    };
    let unanswered = |world: &mut World, since| {
        world.input_a(Input::EspSeen(&Seen { since, heard: vec![], unanswered: vec![spi], ..Seen::default() }));
    };
    // One that was sent before the last sign of life says nothing.
    let since = world.now - seconds(2);
    unanswered(&mut world, since);
    world.pass(seconds(28));
    assert!(checks(&world).is_empty());
    world.pass(seconds(1));
    assert_eq!(checks(&world), [30]);
    // One is enough, and it has half the time from the last look before it.
    world.pass(seconds(5));
    let since = world.now - seconds(2);
    unanswered(&mut world, since);
    world.pass(seconds(12));
    assert_eq!(checks(&world), [30]);
    world.pass(seconds(1));
    assert_eq!(checks(&world), [30, 48]);
    // However much goes one way, the answers to the checks count.
    world.log.clear();
    for _ in 0..150 {
        let since = world.now;
        world.pass(seconds(2));
        unanswered(&mut world, since);
    }
    assert!((15..=20).contains(&checks(&world).len()), "{:?} in 300 s", checks(&world));
}

#[test]
fn esp_is_looked_at_often_enough_for_the_shortest_delay() {
    let look = |delays: &[u64]| {
        let mut policy = alice();
        let of = |delay: &u64| with(alice(), |c| c.dpd_delay = Duration::from_millis(*delay)).connections.remove(0);
        policy.connections = delays.iter().map(of).collect();
        policy.look_interval().as_millis()
    };
    let cases: [(&[u64], u128); 6] =
        [(&[], 2000), (&[0], 2000), (&[30_000], 2000), (&[30_000, 5000, 0], 625), (&[2000], 250), (&[1], 100)];
    for (delays, every) in cases {
        assert_eq!(look(delays), every, "{delays:?}");
    }
}

#[test]
fn a_dead_peer_is_given_up_and_tried_again() {
    let mut world = tunnel(alice(), bob());
    world.drop = |_| true;
    world.pass(seconds(30 + 90));
    assert_eq!((world.a.ikes(), world.a.children().len()), (0, 0));
    assert!(world.a.events.iter().any(|e| matches!(e, Event::ChildDown { why: Ended::PeerDead, .. })));
    assert!(world.a.failures().contains(&"dpd.no_response"));
    world.pass(seconds(300));
    world.drop = |_| false;
    world.pass(seconds(70));
    assert_one_tunnel(&world);
}

#[test]
fn what_a_dead_peer_means_is_a_matter_of_policy() {
    for dpd in [DpdAction::Clear, DpdAction::Trap] {
        let mut world = tunnel(with_child(alice(), |c| c.dpd = dpd), with_child(bob(), |c| c.dpd = DpdAction::Clear));
        world.drop = |_| true;
        world.pass(seconds(200));
        assert_eq!(world.a.ikes(), 0);
        let before = world.sent_by(ALICE).len();
        world.pass(seconds(600));
        assert_eq!(world.sent_by(ALICE).len(), before, "{dpd:?}: not on its own");
        world.drop = |_| false;
        world.pass(seconds(200));
        // A packet wakes what is trapped.
        world.input_a(Input::Acquire { connection: "net".into(), child: "lan".into() });
        world.pass(seconds(1));
        assert_eq!(world.a.ikes(), usize::from(dpd == DpdAction::Trap), "{dpd:?}");
    }
}

#[test]
fn what_shall_be_up_is_tried_for_ever_with_back_off() {
    let mut alice = with_child(alice(), |c| c.start = StartAction::Start);
    alice.retransmit.tries = 0;
    let mut world = World::new(alice, bob());
    world.drop = |_| true;
    world.pass(seconds(600));
    let by_alice = world.log.iter().filter(|(_, d)| d.from.ip() == addr(ALICE));
    let times: Vec<u64> = by_alice.map(|(at, _)| at.as_millis() as u64).collect();
    let gaps: Vec<u64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert_eq!(gaps[..7], [1500, 2500, 4500, 8500, 16_500, 32_500, 60_500]);
    world.command_a(down());
    let before = world.log.len();
    world.pass(seconds(600));
    assert_eq!(world.log.len(), before, "down is down");
    world.drop = |_| false;
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    // Bob takes it down; Alice's configuration wants it.
    world.command_b(down());
    world.pass(seconds(30));
    assert_one_tunnel(&world);
}

#[test]
fn a_trap_is_sprung_by_a_packet_and_waits_after_a_failure() {
    let mut alice = with_child(alice(), |c| c.start = StartAction::Trap);
    alice.retransmit.tries = 0;
    let mut world = World::new(alice, bob());
    world.pass(seconds(10));
    assert!(world.log.is_empty());
    world.drop = |_| true;
    for _ in 0..100 {
        world.input_a(Input::Acquire { connection: "net".into(), child: "lan".into() });
        world.pass(Duration::from_millis(100));
    }
    assert!(world.log.len() <= 5, "packets alone make no storm: {}", world.log.len());
    world.drop = |_| false;
    world.pass(seconds(60));
    world.input_a(Input::Acquire { connection: "net".into(), child: "lan".into() });
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}

#[test]
fn the_remote_addresses_take_turns() {
    let mut alice = with_child(
        with(alice(), |c| c.remote_addrs = vec![Remote::Addr(addr("203.0.113.99")), Remote::Addr(addr(BOB))]),
        |c| {
            c.start = StartAction::Start;
        },
    );
    alice.retransmit.tries = 2;
    let mut world = World::new(alice, bob());
    world.pass(seconds(20));
    assert_one_tunnel(&world);
}

#[test]
fn a_packet_brings_up_only_what_packets_may() {
    let acquire = || Input::Acquire { connection: "net".into(), child: "lan".into() };
    for (start, may) in [(StartAction::None, false), (StartAction::Trap, true), (StartAction::Start, true)] {
        let mut world = World::new(with_child(alice(), |c| c.start = start), bob());
        world.input_a(acquire());
        world.pass(seconds(1));
        assert_eq!(world.a.children().len(), usize::from(may), "{start:?}");
        // What the user has brought up once and taken down stays down.
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
        world.pass(seconds(1));
        for _ in 0..3 {
            world.input_a(acquire());
            world.pass(seconds(30));
        }
        assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0), "{start:?}");
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
    }
}

#[test]
fn a_child_taken_down_while_it_comes_up_goes_down() {
    let one = || Command::Down { connection: "net".into(), child: Some("lan".into()) };
    // While IKE_SA_INIT is under way, nothing else is wanted of the connection.
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.command_a(one());
    world.pass(seconds(60));
    assert_eq!((world.a.ikes(), world.a.children().len(), world.b.endpoint.sas.len()), (0, 0, 0));
    // While CREATE_CHILD_SA is under way.
    let mut world = tunnel(alice(), bob());
    world.command_a(one());
    world.pass(seconds(1));
    world.command_a(up());
    world.command_a(one());
    world.pass(seconds(2));
    assert_eq!((world.a.ikes(), world.a.children().len(), world.b.children().len()), (1, 0, 0));
    assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
}

#[test]
fn a_child_taken_down_stays_down_when_the_peer_is_dead() {
    let mut world = tunnel(alice(), with_child(bob(), |c| c.dpd = DpdAction::Clear));
    world.drop = |_| true;
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(200));
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    world.drop = |_| false;
    world.pass(seconds(200));
    assert_eq!(world.a.ikes(), 0, "Bob's configuration wants nothing, Alice's user neither");
}

/// R25: who proves nothing kills nothing. INVALID_IKE_SPI in the clear makes Alice ask Bob, and not often.
#[test]
fn r25_an_unprotected_invalid_ike_spi_only_makes_alice_ask() {
    use crate::wire::message::{Header, Message};
    use crate::wire::payload::{Notify, Payload};
    use crate::wire::registry::NotifyType;
    let mut world = tunnel(alice(), without_dpd(bob()));
    world.pass(seconds(6));
    let says = |world: &mut World, kind, response| {
        let (core, _) = world.alices();
        let header = core.header(ExchangeType::INFORMATIONAL, core.window.next_id(), response);
        let header = Header { initiator: false, ..header };
        let data = Message { header, payloads: vec![Payload::Notify(Notify::new(kind, []))] }.encode();
        let (from, to) = (core.remote, core.local);
        world.deliver(&wire::Datagram { from, to, data, dont_fragment: false });
    };
    let asked = |world: &World| world.sent_by(ALICE).len();
    for kind in [NotifyType::AUTHENTICATION_FAILED, NotifyType::INVALID_SYNTAX, NotifyType::INVALID_SPI] {
        says(&mut world, kind, true);
    }
    says(&mut world, NotifyType::INVALID_IKE_SPI, false);
    assert_eq!(asked(&world), 0);
    for _ in 0..100 {
        says(&mut world, NotifyType::INVALID_IKE_SPI, true);
        world.pass(Duration::from_millis(100));
    }
    assert!((1..=5).contains(&asked(&world)), "{}", asked(&world));
    assert_one_tunnel(&world);
    // If it is true, the answer never comes, and that is what counts.
    world.pass(seconds(10));
    world.drop = |d| d.from.ip() == addr(BOB);
    says(&mut world, NotifyType::INVALID_IKE_SPI, true);
    world.pass(seconds(100));
    assert!(world.a.failures().contains(&"dpd.no_response"));
}
