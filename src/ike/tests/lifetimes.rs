//! What is used up: by time, by what has travelled, by a leap of the clock.
use super::super::event::{Input, Usage};
use super::rekey_ike::current;
use super::*;
use crate::ike::event::Ended;
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};

fn short(policy: Policy, rekey: u64, by: policy::RekeyBy) -> Policy {
    let policy = with_child(policy, |c| c.rekey_time = seconds(rekey));
    with(policy, |c| (c.rekey, c.rand_time, c.dpd_delay) = (by, Some(Duration::ZERO), Duration::ZERO))
}
fn downs(peer: &Peer) -> Vec<Ended> {
    let why = |e: &Event| if let Event::ChildDown { why, .. } = e { Some(*why) } else { None };
    peer.events.iter().filter_map(why).collect()
}
fn usage(peer: &Peer, change: impl Fn(&mut Usage)) -> Usage {
    let mut usage = Usage { id: peer.children()[0].id, bytes: 0, packets: 0, sequence_permille: 0 };
    change(&mut usage);
    usage
}

#[test]
fn a_child_is_rekeyed_by_time_and_chance_takes_off_up_to_a_tenth() {
    let mut times = Vec::new();
    for seed in 1..30 {
        let policy =
            |policy| with_child(with(policy, |c| c.dpd_delay = Duration::ZERO), |c| c.rekey_time = seconds(1000));
        let mut world = World::seeded(seed, policy(alice()), with(bob(), |c| c.dpd_delay = Duration::ZERO));
        world.command_a(up());
        let begin = world.now;
        while downs(&world.a).is_empty() {
            assert!(world.turn(begin + seconds(1001)));
        }
        times.push((world.now - begin).as_secs());
        assert_one_tunnel(&world);
        assert!(world.a.children()[0].initiator);
    }
    assert!(times.iter().all(|t| (900..=1000).contains(t)), "{times:?}");
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(most - least > 50, "{times:?}");
}
/// Both ends in phase, again and again, and one child in the end (issue: the storm).
#[test]
fn both_ends_rekey_in_phase_for_an_hour() {
    let storm = |policy: Policy| {
        let policy = short(policy, 4, policy::RekeyBy::Both);
        with(policy, |c| c.rekey_time = seconds(11))
    };
    let mut world = World::new(storm(alice()), storm(bob()));
    (world.weather.delay, world.weather.jitter) = (20, 60);
    world.command_a(up());
    world.pass(seconds(2));
    let mut lost = 0;
    for _ in 0..3600 {
        world.pass(seconds(1));
        lost += usize::from(world.a.children().is_empty() || world.b.children().is_empty());
        assert!(world.a.children().len() <= 6 && world.a.endpoint.sas.len() <= 6);
    }
    assert_eq!(lost, 0, "there was always a child");
    let collisions = world.a.events.iter().filter(|e| matches!(e, Event::ChildUp(up) if up.inbound_only)).count();
    assert!(collisions >= 30, "{collisions}");
    assert!(!world.a.events.iter().any(|e| matches!(e, Event::IkeDown { .. })));
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty(), "{:?}", world.a.failures());
}

/// R35: nobody rekeys it, so it is deleted; and as it is wanted, made anew.
#[test]
fn r35_a_child_is_not_used_after_its_lifetime() {
    let mut world = tunnel_of(short(alice(), 100, policy::RekeyBy::Peer), short(bob(), 5000, policy::RekeyBy::Peer));
    world.drop = |_| true;
    world.pass(seconds(128));
    assert_eq!(world.a.children().len(), 1);
    world.pass(seconds(2));
    assert_eq!(downs(&world.a), [Ended::Expired], "at once, without waiting for the peer");
    world.drop = |_| false;
    world.pass(seconds(10));
    assert_one_tunnel(&world);
    assert_eq!(world.a.ikes(), 1);
}
/// How many children each end had at the worst moment of so many seconds.
fn least(world: &mut World, time: u64) -> (usize, usize) {
    let (end, mut least) = (world.now + seconds(time), (usize::MAX, usize::MAX));
    while world.now < end {
        world.pass(Duration::from_millis(100));
        least = (least.0.min(world.a.children().len()), least.1.min(world.b.children().len()));
    }
    least
}
/// R35, RFC 7296 section 2.8: if rekeys have failed, only an IKE SA from scratch helps; it is there before the old one ends.
#[test]
fn r35_a_child_that_cannot_be_rekeyed_is_made_from_scratch() {
    let bob = short(with_child(bob(), |c| c.proposals = esp("aes128gcm16-modp2048")), 5000, policy::RekeyBy::Peer);
    let alice = short(with_child(alice(), |c| c.proposals = esp("aes128gcm16-ecp256")), 100, policy::RekeyBy::Both);
    let mut world = tunnel_of(alice, bob);
    let old = world.a.children()[0].spi_in;
    world.pass(seconds(112));
    assert_eq!(world.a.children()[0].spi_in, old, "as long as it lives it lives");
    let failures = world.a.failures();
    assert!(!failures.is_empty() && failures.iter().all(|code| *code == "pfs.mismatch"), "{failures:?}");
    assert_eq!(least(&mut world, 20), (1, 1), "make before break");
    assert_one_tunnel(&world);
    assert_ne!(world.a.children()[0].spi_in, old);
    assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeDown { why: Ended::Replaced, .. })));
}
/// A rekey is the peer's affair, and it does not see to it: nothing but an IKE SA from scratch is tried, and in time. The IKE SA likewise.
#[test]
fn what_the_peer_has_not_rekeyed_is_made_from_scratch() {
    let alice_of = |child, ike| with(short(alice(), child, policy::RekeyBy::Peer), |c| c.rekey_time = seconds(ike));
    for (alice, at) in
        [(alice_of(100, 0), 110), (alice_of(0, 100), 110), (with(alice_of(0, 100), |c| c.over_time = seconds(4)), 98)]
    {
        let mut world = tunnel_of(alice, short(bob(), 5000, policy::RekeyBy::Peer));
        let (ike, child) = (current(&world.a).remove(0), world.a.children()[0].spi_in);
        world.log.clear();
        world.pass(seconds(at));
        assert!(world.sent_by(ALICE).is_empty(), "left to the peer");
        assert_eq!(least(&mut world, 25), (1, 1), "make before break");
        assert_one_tunnel(&world);
        assert!(current(&world.a)[0] != ike && world.a.children()[0].spi_in != child);
        assert!(!world.sent_by(ALICE).iter().any(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)));
    }
}
/// A peer that refuses it is not asked again and again.
#[test]
fn the_last_call_is_made_twice_at_most() {
    let mut world = tunnel_of(short(alice(), 100, policy::RekeyBy::Peer), short(bob(), 5000, policy::RekeyBy::Peer));
    let other =
        Policy { secrets: vec![secret(&["alice", "bob"], "another")], ..short(bob(), 5000, policy::RekeyBy::Peer) };
    world.command_b(Command::SetPolicy(other.into()));
    world.log.clear();
    world.pass(seconds(129));
    let calls = world.sent_by(ALICE).into_iter().filter(|d| d.is(ExchangeType::IKE_SA_INIT, false)).count();
    assert_eq!((calls, world.a.children().len()), (2, 1));
}

/// R35: what was replaced has no grace behind the end of its lifetime, whoever was to delete it.
#[test]
fn r35_a_replaced_child_ends_with_its_lifetime() {
    let mut world = tunnel_of(short(alice(), 100, policy::RekeyBy::Peer), short(bob(), 100, policy::RekeyBy::Peer));
    // Nothing is made from scratch.
    world.drop = |d| d.is(ExchangeType::IKE_SA_INIT, false);
    world.pass(seconds(126));
    world.command_a(rekey(Some("lan")));
    world.pass_on(ALICE);
    world.pass_on(BOB);
    world.catch(ALICE);
    world.drop = |_| true;
    world.pass(seconds(6));
    assert_eq!((downs(&world.a), downs(&world.b)), (vec![Ended::Expired], vec![Ended::Expired]));
    world.drop = |_| false;
    world.pass(seconds(10));
    assert_one_tunnel(&world);
}

#[test]
fn a_child_is_rekeyed_by_octets_packets_and_sequence_numbers() {
    let limits = |policy| with_child(policy, |c| (c.rekey_bytes, c.rekey_packets) = (1_000_000, 1000));
    let fine = |u: &mut Usage| (u.bytes, u.packets, u.sequence_permille) = (999_999, 999, 749);
    let due: [fn(&mut Usage); 3] = [|u| u.bytes = 1_000_000, |u| u.packets = 1000, |u| u.sequence_permille = 750];
    let over: [fn(&mut Usage); 3] = [|u| u.bytes = 2_000_000, |u| u.packets = 2000, |u| u.sequence_permille = 1000];
    for (due, over) in due.into_iter().zip(over) {
        let mut world = tunnel_of(limits(alice()), bob());
        let old = world.a.children()[0].id;
        let report = usage(&world.a, fine);
        world.input_a(Input::EspUsage(&[report]));
        world.pass(seconds(1));
        assert!(world.log.is_empty());
        let report = usage(&world.a, due);
        world.input_a(Input::EspUsage(&[report]));
        world.input_a(Input::EspUsage(&[report]));
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        assert_eq!((world.a.children()[0].replaces, world.log.len()), (Some(old), 4), "once");
        // R35: what is used up is not used on, whatever the peer says.
        let report = usage(&world.a, over);
        world.drop = |_| true;
        world.input_a(Input::EspUsage(&[report]));
        assert!(world.a.children().is_empty());
        world.drop = |_| false;
        world.pass(seconds(10));
        assert_one_tunnel(&world);
    }
}
/// Who leaves rekeys to the peer leaves these to it, too; what is used up ends all the same, alone.
#[test]
fn a_child_that_the_peer_rekeys_is_rekeyed_by_the_peer_alone() {
    let limits = |policy| with_child(policy, |c| c.rekey_bytes = 1000);
    let mut world = tunnel_of(with(limits(alice()), |c| c.rekey = policy::RekeyBy::Peer), bob());
    for (bytes, downs_now) in [(1000, vec![]), (2000, vec![Ended::Expired])] {
        let report = usage(&world.a, |u| u.bytes = bytes);
        world.input_a(Input::EspUsage(&[report]));
        assert_eq!(world.sent_by(ALICE).iter().filter(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)).count(), 0);
        assert_eq!(downs(&world.a), downs_now);
    }
    world.pass(seconds(5));
    assert_one_tunnel(&world);
    assert!(!world.a.events.iter().any(|e| matches!(e, Event::IkeDown { .. })));
}
/// R22: not at once, whatever has planned it once more meanwhile.
#[test]
fn r22_what_is_put_off_is_not_asked_for_at_once() {
    let quiet = |policy| with(policy, |c| c.dpd_delay = Duration::ZERO);
    for what in [Some("lan"), None] {
        let mut world = tunnel_of(quiet(alice()), quiet(bob()));
        world.command_a(rekey(what));
        let request = world.catch(ALICE);
        world.command_a(rekey(what));
        if what.is_some() {
            let report = usage(&world.a, |u| u.sequence_permille = 750);
            world.input_a(Input::EspUsage(&[report]));
        }
        world.bob_answers(&request, &put_off());
        world.pass(Duration::from_millis(1900));
        assert_eq!(world.sent_by(ALICE).len(), 1);
        world.pass(seconds(10));
        assert_one_tunnel(&world);
        assert_eq!(world.sent_by(ALICE).len(), 3, "asked again, and the old one deleted");
    }
}
/// The same for what is due because message ids end.
#[test]
fn r22_what_is_put_off_waits_when_ids_end_too() {
    let quiet = |policy| with(policy, |c| c.dpd_delay = Duration::ZERO);
    let mut world = tunnel_of(quiet(alice()), quiet(bob()));
    world.jump_ids(u32::MAX - 0x8000);
    world.command_a(rekey(None));
    let request = world.catch(ALICE);
    // Something else has its time before it may be tried again.
    let soon = world.now + seconds(1);
    world.each_established(ALICE, |est| est.children[0].life.renew = Some(soon));
    world.bob_answers(&request, &put_off());
    world.pass(Duration::from_millis(1900));
    let rekeys = |world: &World| world.a.events.iter().filter(|e| matches!(e, Event::IkeRekeyed { .. })).count();
    assert_eq!((downs(&world.a), rekeys(&world)), (vec![Ended::Replaced], 0));
    world.pass(seconds(5));
    assert_eq!(rekeys(&world), 1);
}
fn put_off() -> [Payload; 1] {
    [Payload::Notify(Notify::new(NotifyType::TEMPORARY_FAILURE, Vec::new()))]
}
/// R35: nor are the children of an IKE SA that has ended, whether its peer answers or not.
#[test]
fn r35_children_end_with_the_lifetime_of_their_ike_sa() {
    let policy = with(alice(), |c| {
        (c.rekey_time, c.over_time, c.rand_time) = (seconds(100), seconds(20), Some(Duration::ZERO));
        (c.rekey, c.dpd_delay) = (policy::RekeyBy::Peer, Duration::ZERO);
    });
    let mut world = tunnel_of(policy, bob());
    world.pass(seconds(105));
    world.drop = |_| true;
    world.pass(seconds(13));
    assert_eq!(world.a.children().len(), 1);
    world.pass(seconds(2));
    assert_eq!((downs(&world.a), world.a.ikes()), (vec![Ended::Expired], 1), "at once, without waiting for the peer");
    world.drop = |_| false;
    world.pass(seconds(10));
    assert_one_tunnel(&world);
}
#[test]
fn what_is_said_of_a_child_that_is_gone_means_nothing() {
    let mut world = tunnel_of(alice(), bob());
    let report = usage(&world.a, |u| u.sequence_permille = 1000);
    world.command_a(rekey(Some("lan")));
    world.pass(seconds(1));
    world.input_a(Input::EspUsage(&[report]));
    assert_one_tunnel(&world);
}

/// The machine was suspended for an hour: the first thing is to ask whether the peer lives.
#[test]
fn after_a_leap_of_the_clock_the_peer_is_asked_first() {
    let mut world = tunnel_of(alice(), with(bob(), |c| c.dpd_delay = Duration::ZERO));
    // A request is in flight, and as good as given up.
    world.drop = |_| true;
    world.command_a(rekey(None));
    world.pass(seconds(80));
    world.hold();
    world.drop = |_| false;
    world.log.clear();
    world.now += seconds(3000);
    world.input_a(Input::Timer);
    assert_eq!(world.sent_by(ALICE).len(), 1, "once more, and not more");
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    // Nothing in flight.
    world.log.clear();
    world.now += seconds(3000);
    world.input_a(Input::Timer);
    assert!(world.sent_by(ALICE)[0].is(ExchangeType::INFORMATIONAL, false));
    assert_eq!(world.sent_by(ALICE).len(), 1);
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}
/// What has ended meanwhile is not used any more, not even for what comes in first.
#[test]
fn after_a_leap_of_the_clock_nothing_is_used_that_has_ended() {
    let mut world = tunnel_of(short(alice(), 1000, policy::RekeyBy::Both), bob());
    world.now += seconds(1200);
    world.input_a(Input::Timer);
    assert_eq!(downs(&world.a), [Ended::Expired], "the child is over");
    world.pass(seconds(5));
    assert_one_tunnel(&world);
    assert_eq!(world.a.ikes(), 1);
    world.log.clear();
    world.now += seconds(6 * 3600);
    world.input_a(Input::Timer);
    assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeDown { why: Ended::Expired, .. })));
    assert!(world.sent_by(ALICE).iter().all(|d| d.is(ExchangeType::IKE_SA_INIT, false)), "silently, and anew");
    world.pass(seconds(5));
    assert_eq!((world.a.children().len(), world.a.ikes(), world.b.ikes()), (1, 1, 1));
}

/// Several IKE SAs notice it in the same order in every run.
#[test]
fn a_leap_of_the_clock_has_the_same_order_in_every_run() {
    let mut policy = alice();
    for n in 1..6 {
        policy.connections.push(Arc::new(Connection { name: format!("net{n}").into(), ..connection(ALICE, BOB) }));
    }
    let mut bob = with(bob(), |c| (c.unique, c.dpd_delay) = (Unique::Never, Duration::ZERO));
    bob.limits.per_identity = 10;
    let names: Vec<_> = policy.connections.iter().map(|c| c.name.clone()).collect();
    let mut world = World::new(policy, bob);
    names.into_iter().for_each(|connection| world.command_a(Command::Up { connection, child: None }));
    world.pass(seconds(1));
    assert_eq!(world.a.ikes(), 6);
    world.log.clear();
    world.now += seconds(1000);
    world.input_a(Input::Timer);
    let order = |world: &World| {
        let of = |d: &wire::Datagram| world.a.endpoint.common.by_spi[&d.header().spi_i];
        world.sent_by(ALICE).into_iter().map(of).collect::<Vec<_>>()
    };
    let leapt = order(&world);
    assert!(leapt.len() == 6 && leapt.is_sorted(), "{leapt:?}");
}

/// R3: ESP for what we have only offered shows that our request was answered.
#[test]
fn r03_esp_on_a_larval_spi_has_the_request_sent_again_once() {
    let mut world = tunnel_of(alice(), bob());
    world.command_a(rekey(Some("lan")));
    let larval =
        world.a.events.iter().rev().find_map(|e| if let Event::Larval { spi } = e { Some(*spi) } else { None });
    let request = world.pass_on(ALICE);
    world.catch(BOB);
    let spi = larval.unwrap();
    assert_eq!(world.b.children()[1].spi_out, spi);
    for _ in 0..3 {
        world.input_a(Input::LarvalHit(spi));
    }
    world.input_a(Input::LarvalHit(12345));
    let again = world.hold();
    assert_eq!(again, std::slice::from_ref(&request));
    world.deliver(&again[0]);
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world.log.clear();
    world.input_a(Input::LarvalHit(spi));
    assert!(world.log.is_empty(), "it is no larva any more");
}

/// A wrong group shows some seconds after the child is up, and not an hour later; the child that works goes on to work.
#[test]
fn the_rehearsal_of_a_group() {
    let rehearsing = |list: &str| with(with_child(alice(), |c| c.proposals = esp(list)), |c| c.rehearse = true);
    let bob = || with_child(bob(), |c| c.proposals = esp("aes128gcm16-ecp256"));
    for (list, good) in [("aes128gcm16-ecp256", true), ("aes128gcm16-modp2048", false)] {
        let mut world = tunnel_of(rehearsing(list), bob());
        let first = world.a.children()[0].id;
        world.pass(seconds(4));
        assert_eq!(world.log.len(), 0, "not at once");
        world.pass(seconds(60));
        assert_one_tunnel(&world);
        let now = world.a.children()[0].id;
        assert_eq!((now == first, world.a.failures()), (!good, if good { vec![] } else { vec!["pfs.mismatch"] }));
        let rekeys =
            |world: &World| world.log.iter().filter(|(_, d)| d.is(ExchangeType::CREATE_CHILD_SA, false)).count();
        assert_eq!(rekeys(&world), 1, "only once");
        // The same connection again: it is known by now.
        world.command_a(down());
        world.pass(seconds(1));
        world.command_a(up());
        world.pass(seconds(60));
        assert_eq!(rekeys(&world), 1);
        // Other suites are tried anew.
        let more = format!("{list},{}", list.replace("128", "256"));
        world.command_a(Command::SetPolicy(Arc::new(rehearsing(&more))));
        world.pass(seconds(60));
        assert_eq!(rekeys(&world), 1, "what is up need not be");
        world.command_a(down());
        world.pass(seconds(1));
        world.command_a(up());
        world.pass(seconds(60));
        assert_eq!(rekeys(&world), 2);
    }
    // Never where the peer refuses our rekeys, without a group, where it is not wanted, or by a responder.
    let never = [
        with(rehearsing("aes128gcm16-ecp256"), |c| c.rekey = policy::RekeyBy::Peer),
        with_child(rehearsing("aes128gcm16"), |c| c.rekey_packets = 0),
        with(rehearsing("aes128gcm16-ecp256"), |c| c.rehearse = false),
    ];
    for alice in never {
        let mut world = tunnel_of(alice, with_child(bob(), |c| c.proposals = esp("aes128gcm16-ecp256,aes128gcm16")));
        world.pass(seconds(20));
        assert!(world.log.is_empty());
    }
    let mut world =
        tunnel_of(with_child(alice(), |c| c.proposals = esp("aes128gcm16-ecp256")), with(bob(), |c| c.rehearse = true));
    world.pass(seconds(20));
    assert!(world.log.is_empty());
}
