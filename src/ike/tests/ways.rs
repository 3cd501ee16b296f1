//! Addresses of either end that come, go, fall silent or are others by now, where there is no MOBIKE, and where there is.
use super::super::event::{Input, Seen};
use super::*;
use crate::ike::event::Ended;
use crate::ike::exchange::Contents;
use crate::wire::message::Message;
use crate::wire::registry::{ExchangeType, NotifyType};
use std::net::SocketAddr;

/// Where Alice goes, or is as well; and where Bob is as well, or by now.
const AWAY: &str = "198.51.100.9";
const BACKDOOR: &str = "203.0.113.99";
const NAME: &str = "bob.example";

/// Alice takes what the routes say, and soon notices when Bob is silent.
fn roaming(policy: Policy) -> Policy {
    with(policy, |c| {
        c.local_addrs.clear();
        c.dpd_delay = seconds(2);
    })
}
/// Bob takes whom he knows from wherever.
fn anywhere() -> Policy {
    with(bob(), |c| {
        c.local_addrs.clear();
        c.remote_addrs = vec![Remote::Any];
        c.dpd_delay = Duration::ZERO;
    })
}
fn two_children(policy: Policy, local: &str, remote: &str) -> Policy {
    with(policy, |c| c.children.push(child("two", local, remote)))
}
fn named(policy: Policy) -> Policy {
    with(policy, |c| c.remote_addrs = vec![Remote::Name(NAME.into())])
}
/// Alice is somewhere else from now on, and knows it.
fn go(world: &mut World, to: &str, also: &[&str]) {
    world.a.host.addr = addr(to);
    world.a.host.others = also.iter().map(|a| addr(a)).collect();
    world.input_a(Input::AddrsChanged);
}
/// Time passes, in which what is asked of name servers is answered.
fn pass(world: &mut World, time: Duration) {
    let end = world.now + time;
    while world.now < end {
        world.pass(Duration::from_millis(50));
        for who in [ALICE, BOB] {
            let host = &mut world.peer_mut(who).host;
            if !std::mem::take(&mut host.asked) {
                continue;
            }
            let renamed = std::mem::take(&mut host.renamed);
            host.names.extend(renamed);
            let input = Input::Resolved(&[NAME.into()]);
            if who == ALICE { world.input_a(input) } else { world.input_b(input) }
        }
    }
}
/// What the two share last: Alice's end and Bob's.
fn ends(world: &World) -> Option<(SocketAddr, SocketAddr)> {
    let (a, b) = (world.a.children(), world.b.children());
    let last = a.last()?;
    b.iter().any(|c| c.spi_in == last.spi_out).then_some((last.path.local, last.path.remote))
}
fn is_between(world: &World, local: &str, remote: &str) -> bool {
    ends(world).is_some_and(|(l, r)| (l.ip(), r.ip()) == (addr(local), addr(remote)))
}
/// How long until they share something between these addresses. Alice sends all the time, and hears nothing.
fn until(world: &mut World, local: &str, remote: &str) -> Duration {
    let begin = world.now;
    let spi = world.a.children()[0].spi_in;
    while !is_between(world, local, remote) {
        assert!(world.now < begin + seconds(20), "{:?}", ends(world));
        world.input_a(Input::EspSeen(&Seen { since: begin, heard: vec![], unanswered: vec![spi], ..Seen::default() }));
        pass(world, Duration::from_millis(50));
    }
    world.now - begin
}
fn inits(world: &World, from: &str) -> usize {
    let first = |d: &&wire::Datagram| d.is(ExchangeType::IKE_SA_INIT, false);
    let spis = world.sent_by(from).into_iter().filter(first).map(|d| d.header().spi_i);
    let mut spis: Vec<_> = spis.map(|spi| spi.0).collect();
    spis.sort();
    spis.dedup();
    spis.len()
}
fn tunnel(alice: Policy, bob: Policy) -> World {
    let mut world = World::new(alice, bob);
    world.a.host.names.insert(NAME.into(), vec![addr(BOB)]);
    world.command_a(up());
    pass(&mut world, seconds(1));
    world.log.clear();
    world
}

#[test]
fn our_address_changes_and_a_new_ike_sa_is_there_at_once() {
    let mut world = tunnel(
        two_children(roaming(alice()), "10.3.0.0/16", "10.4.0.0/16"),
        two_children(anywhere(), "10.4.0.0/16", "10.3.0.0/16"),
    );
    for to in [AWAY, "198.51.100.10", ALICE] {
        go(&mut world, to, &[]);
        pass(&mut world, Duration::from_millis(100));
        assert!(is_between(&world, to, BOB), "{:?}", ends(&world));
        assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
        assert_eq!((world.a.children().len(), world.b.children().len()), (2, 2), "all of it, and nothing of before");
    }
    let ended: Vec<_> = world
        .a
        .events
        .iter()
        .filter_map(|e| if let Event::IkeDown { why, .. } = e { Some(*why) } else { None })
        .collect();
    assert_eq!(ended, [Ended::Replaced; 3], "nobody waits for what cannot come");
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
}

#[test]
fn also_when_the_wire_loses() {
    for seed in 0..20 {
        let mut world = World::seeded(seed, roaming(alice()), anywhere());
        world.command_a(up());
        world.pass(seconds(1));
        world.weather = wire::Weather { loss: 20, duplicate: 20, delay: 20, jitter: 100 };
        for to in [AWAY, ALICE, "198.51.100.10"] {
            go(&mut world, to, &[]);
            pass(&mut world, seconds(30));
            assert!(is_between(&world, to, BOB), "{seed}: {:?}", ends(&world));
        }
        assert_one_tunnel(&world);
    }
}

#[test]
fn an_attempt_from_an_address_that_is_gone_begins_anew() {
    let mut world = World::new(roaming(alice()), anywhere());
    world.drop = |d| d.from.ip() == addr(ALICE);
    world.command_a(up());
    pass(&mut world, seconds(1));
    go(&mut world, AWAY, &[]);
    pass(&mut world, Duration::from_millis(100));
    assert!(is_between(&world, AWAY, BOB));
    assert_one_tunnel(&world);
}

#[test]
fn a_route_from_another_of_our_addresses_is_followed_and_nothing_breaks() {
    let mut world = tunnel(roaming(alice()), anywhere());
    go(&mut world, AWAY, &[ALICE]);
    while !is_between(&world, AWAY, BOB) {
        pass(&mut world, Duration::from_millis(50));
        assert!(!world.a.children().is_empty());
    }
    pass(&mut world, seconds(2));
    assert_one_tunnel(&world);
    let first_contact = world.a.events.iter().any(|e| matches!(e, Event::IkeDown { why: Ended::PeerDead, .. }));
    assert!(!first_contact);
}

#[test]
fn the_peer_moves_and_its_name_tells_where() {
    for mobike in [false, true] {
        let set = |policy| with(policy, |c| c.mobike = mobike);
        let mut world = tunnel(set(named(roaming(alice()))), set(anywhere()));
        pass(&mut world, seconds(10));
        // Bob does not know, or would tell if he could.
        world.b.host.addr = addr(BACKDOOR);
        world.a.host.renamed.insert(NAME.into(), vec![addr(BACKDOOR)]);
        if mobike {
            let begin = world.now;
            let spi = world.a.children()[0].spi_in;
            while world.alices().0.remote.ip() != addr(BACKDOOR) {
                world.input_a(Input::EspSeen(&Seen {
                    since: begin,
                    heard: vec![],
                    unanswered: vec![spi],
                    ..Seen::default()
                }));
                pass(&mut world, Duration::from_millis(50));
                assert!(world.now < begin + seconds(4), "the IKE SA moves");
            }
            assert_eq!(world.a.ikes(), 1);
        } else {
            let back = until(&mut world, ALICE, BACKDOOR);
            assert!(back < Duration::from_millis(2500), "{back:?}");
            assert_eq!(inits(&world, ALICE), 1);
        }
        pass(&mut world, seconds(20));
        assert_one_tunnel(&world);
        assert!(world.a.failures().is_empty(), "{:?}", world.a.failures());
    }
}

#[test]
fn the_name_may_be_told_late() {
    let mut world = tunnel(named(roaming(alice())), anywhere());
    world.b.host.addr = addr(BACKDOOR);
    pass(&mut world, seconds(10));
    assert!(!is_between(&world, ALICE, BACKDOOR) && world.a.ikes() == 1);
    world.a.host.names.insert(NAME.into(), vec![addr(BACKDOOR)]);
    world.input_a(Input::Resolved(&[NAME.into()]));
    pass(&mut world, Duration::from_millis(100));
    assert!(is_between(&world, ALICE, BACKDOOR), "at once, not with the next retransmission");
}

/// Alice calls from somewhere else before Bob knows that her name is there now: he looks before he refuses.
#[test]
fn who_calls_may_be_somebody_who_has_moved() {
    let bob = with(anywhere(), |c| c.remote_addrs = vec![Remote::Name("alice.example".into())]);
    let mut world = World::new(roaming(alice()), bob);
    world.b.host.names.insert("alice.example".into(), vec![addr(ALICE)]);
    world.command_a(up());
    pass(&mut world, seconds(1));
    assert_one_tunnel(&world);
    world.b.host.renamed.insert("alice.example".into(), vec![addr(AWAY)]);
    go(&mut world, AWAY, &[]);
    pass(&mut world, seconds(2));
    assert!(is_between(&world, AWAY, BOB));
    assert!(world.a.failures().is_empty(), "{:?}", world.a.failures());
}

#[test]
fn a_name_without_an_address_is_asked_for_again_and_again() {
    let mut world = World::new(with_child(named(alice()), |c| c.start = StartAction::Start), anywhere());
    world.a.host.asked = true;
    for _ in 0..3000 {
        pass(&mut world, Duration::from_millis(200));
        world.a.host.asked = true;
    }
    let failures = world.a.failures();
    assert!(failures.iter().all(|code| *code == "net.no_address"), "{failures:?}");
    assert!((10..=20).contains(&failures.len()), "with back-off: {}", failures.len());
    assert_eq!(world.a.last_failure().unwrap().local.get("addresses"), [NAME]);
    assert!(world.log.is_empty());
    world.a.host.names.insert(NAME.into(), vec![addr(BOB)]);
    world.input_a(Input::Resolved(&[NAME.into()]));
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}

/// Many names are asked for at once: each answer is for those who wait for it, and only the last of one's own names is the end of waiting.
#[test]
fn who_waits_for_a_name_waits_for_no_other() {
    let two = |c: &mut Connection| c.remote_addrs = vec![Remote::Name(NAME.into()), Remote::Name("slow".into())];
    let mut world = World::new(with(alice(), two), anywhere());
    world.a.host.asked = true;
    world.command_a(up());
    world.pass(seconds(1));
    world.input_a(Input::Resolved(&["another".into()]));
    world.input_a(Input::Resolved(&[NAME.into()]));
    world.command_a(up());
    world.pass(seconds(8));
    assert!(world.a.failures().is_empty(), "the slow one is on its way");
    world.pass(seconds(2));
    assert_eq!(world.a.failures(), ["net.no_address"], "but not for ever");
    world.command_a(up());
    world.a.host.asked = false;
    world.input_a(Input::Resolved(&["slow".into()]));
    assert_eq!(world.a.failures().len(), 2, "nothing is left to wait for");
}

/// A hub with many spokes that have names and are gone: what is asked again is asked when it is its time.
#[test]
fn an_answer_without_news_makes_no_noise() {
    for mobike in [false, true] {
        let set = |policy| with(policy, |c| c.mobike = mobike);
        let mut world = tunnel(set(named(roaming(alice()))), set(anywhere()));
        world.a.host.names.insert(NAME.into(), vec![addr(BOB), addr(BACKDOOR)]);
        world.drop = |_| true;
        pass(&mut world, seconds(5));
        assert!(world.sent_by(ALICE).iter().any(|d| d.to.ip() == addr(BACKDOOR)), "she looks");
        world.log.clear();
        world.a.host.renamed.insert(NAME.into(), vec![addr(BOB)]);
        for name in [NAME, "another"] {
            (0..100).for_each(|_| world.input_a(Input::Resolved(&[name.into()])));
        }
        assert!(world.log.is_empty(), "{} messages, mobike = {mobike}", world.log.len());
        assert!(!world.a.host.asked, "an answer is no reason to ask");
        // But news are tried at once.
        world.a.host.names.insert(NAME.into(), vec![addr(BOB), addr("203.0.113.98")]);
        (0..100).for_each(|_| world.input_a(Input::Resolved(&[NAME.into()])));
        let news = world.sent_by(ALICE).iter().filter(|d| d.to.ip() == addr("203.0.113.98")).count();
        assert_eq!(news, 1, "mobike = {mobike}");
    }
}

#[test]
fn nobody_speaks_with_himself() {
    for mobike in [false, true] {
        let alice = with(named(alice()), |c| c.mobike = mobike);
        let mut world = World::new(alice, anywhere());
        world.a.host.names.insert(NAME.into(), vec![addr(ALICE)]);
        world.command_a(up());
        pass(&mut world, seconds(10));
        assert!(world.log.is_empty());
        assert_eq!(world.a.failures(), ["net.own_address"]);
        let failure = world.a.last_failure().unwrap();
        assert_eq!(
            (failure.local.get("addresses"), failure.peer.get("addresses")),
            (&[NAME.to_owned()][..], &[ALICE.to_owned()][..])
        );
        // Beside another one it is as if it were not there.
        world.a.host.names.insert(NAME.into(), vec![addr(ALICE), addr(BOB)]);
        world.command_a(up());
        pass(&mut world, seconds(1));
        assert_one_tunnel(&world);
    }
}

#[test]
fn no_address_of_ours_can_be_used() {
    let mut world = World::new(with_child(alice(), |c| c.start = StartAction::Start), bob());
    go(&mut world, AWAY, &[]);
    world.command_a(down());
    world.log.clear();
    world.command_a(up());
    pass(&mut world, seconds(100));
    let failures = world.a.failures();
    assert!(failures.len() > 3 && failures.iter().all(|code| *code == "net.no_route"), "{failures:?}");
    assert!(world.sent_by(ALICE).is_empty() && world.sent_by(AWAY).is_empty());
    // It comes, and whatever wait there was is over.
    go(&mut world, ALICE, &[]);
    pass(&mut world, Duration::from_millis(100));
    assert_one_tunnel(&world);
}

#[test]
fn who_does_not_answer_here_may_answer_there() {
    let many = |n: u8| (1..=n).map(|i| Remote::Addr(addr(&format!("203.0.113.{}", 100 + i))));
    for n in [1, 3] {
        let alice = with(alice(), |c| c.remote_addrs = many(n).chain([Remote::Addr(addr(BOB))]).collect());
        let mut world = World::new(alice, bob());
        world.command_a(up());
        pass(&mut world, Duration::from_millis(1400 * u64::from(n)));
        assert_one_tunnel(&world);
        assert_eq!(inits(&world, ALICE), usize::from(n) + 1);
        // The others are called off.
        world.log.clear();
        pass(&mut world, seconds(20));
        assert_eq!(inits(&world, ALICE), 0);
        assert!(world.a.failures().is_empty());
    }
}

#[test]
fn attempts_are_few_and_have_their_turn() {
    let nobody = (1..=8).map(|i| Remote::Addr(addr(&format!("203.0.113.{}", 100 + i))));
    let alice = with_child(with(alice(), |c| c.remote_addrs = nobody.collect()), |c| c.start = StartAction::Start);
    let mut world = World::new(alice, bob());
    let mut called = std::collections::BTreeSet::new();
    for _ in 0..6000 {
        pass(&mut world, Duration::from_millis(100));
        assert!(world.a.endpoint.sas.len() <= 4);
    }
    called.extend(world.sent_by(ALICE).iter().map(|d| d.to.ip()));
    assert_eq!(called.len(), 8);
}

/// Bob has a second address, which Alice tries while he is silent; he was only slow.
#[test]
fn a_short_silence_changes_nothing() {
    let alice = with(roaming(alice()), |c| c.remote_addrs.push(Remote::Addr(addr(BACKDOOR))));
    let mut world = tunnel(alice, anywhere());
    let before = ends(&world);
    world.drop = |d| d.to.ip() == addr(ALICE) || d.to.ip() == addr(BACKDOOR);
    pass(&mut world, seconds(4));
    assert_eq!(inits(&world, ALICE), 1, "she looks");
    world.drop = |d| d.to.ip() == addr(BACKDOOR);
    pass(&mut world, seconds(20));
    assert_eq!((ends(&world), world.a.endpoint.sas.len()), (before, 1));
    assert_one_tunnel(&world);
}

fn two_uplinks(mobike: bool) -> World {
    let alice = with(roaming(alice()), |c| {
        c.local_addrs = vec![addr(ALICE), addr(AWAY)];
        c.mobike = mobike;
    });
    let mut world = World::new(alice, with(anywhere(), |c| c.mobike = mobike));
    world.a.host.others = vec![addr(AWAY)];
    world.command_a(up());
    pass(&mut world, seconds(90));
    assert!(is_between(&world, ALICE, BOB), "the first is the best");
    world.log.clear();
    world
}
/// Where Alice's ESP leaves from.
fn uplink(world: &World) -> Option<IpAddr> {
    let last = |path, event: &Event| match event {
        Event::ChildUp(up) => Some(up.path),
        Event::PathChanged { path, .. } => Some(*path),
        _ => path,
    };
    world.a.events.iter().fold(None, last).map(|path| path.local.ip())
}

#[test]
fn an_uplink_that_goes_is_left_at_once_and_taken_again_when_it_has_been_there_for_a_while() {
    for mobike in [false, true] {
        let mut world = two_uplinks(mobike);
        go(&mut world, AWAY, &[]);
        pass(&mut world, Duration::from_millis(200));
        assert_eq!(uplink(&world), Some(addr(AWAY)), "mobike = {mobike}");
        assert_one_tunnel_of(&world);
        pass(&mut world, seconds(30));
        // It comes and goes.
        for _ in 0..10 {
            go(&mut world, AWAY, &[ALICE]);
            pass(&mut world, seconds(4));
            assert_eq!(uplink(&world), Some(addr(AWAY)));
            go(&mut world, AWAY, &[]);
            pass(&mut world, seconds(4));
        }
        go(&mut world, AWAY, &[ALICE]);
        pass(&mut world, seconds(9));
        assert_eq!(uplink(&world), Some(addr(AWAY)));
        for _ in 0..60 {
            pass(&mut world, Duration::from_millis(50));
            assert!(!world.a.children().is_empty() && !world.b.children().is_empty());
        }
        assert_eq!(uplink(&world), Some(addr(ALICE)), "mobike = {mobike}");
        assert_one_tunnel_of(&world);
        pass(&mut world, seconds(60));
        assert_eq!(uplink(&world), Some(addr(ALICE)));
        assert!(world.a.failures().is_empty(), "{:?}", world.a.failures());
    }
}

#[test]
fn an_uplink_that_swallows_everything_is_left_and_looked_at_again_more_and_more_seldom() {
    for mobike in [false, true] {
        let mut world = two_uplinks(mobike);
        world.drop = |d| d.from.ip() == addr(ALICE) || d.to.ip() == addr(ALICE);
        let begin = world.now;
        let spi = world.a.children()[0].spi_in;
        while uplink(&world) != Some(addr(AWAY)) {
            world.input_a(Input::EspSeen(&Seen {
                since: begin,
                heard: vec![],
                unanswered: vec![spi],
                ..Seen::default()
            }));
            pass(&mut world, Duration::from_millis(50));
            assert!(world.now < begin + seconds(4), "mobike = {mobike}");
        }
        pass(&mut world, seconds(1));
        assert_one_tunnel_of(&world);
        world.log.clear();
        for _ in 0..300 {
            pass(&mut world, seconds(2));
            assert_eq!(uplink(&world), Some(addr(AWAY)), "mobike = {mobike}");
        }
        let looks = if mobike {
            world.sent_by(ALICE).iter().filter(|d| d.is(ExchangeType::INFORMATIONAL, false)).count()
        } else {
            inits(&world, ALICE)
        };
        assert!((3..=30).contains(&looks), "{looks} looks in ten minutes, mobike = {mobike}");
        world.drop = |_| false;
        pass(&mut world, seconds(400));
        assert_eq!(uplink(&world), Some(addr(ALICE)), "mobike = {mobike}");
        assert_one_tunnel_of(&world);
    }
}
fn assert_one_tunnel_of(world: &World) {
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
    assert_eq!((world.a.children().len(), world.b.children().len()), (1, 1));
}

/// Only where the old one is lost is the peer told to forget it.
#[test]
fn what_is_lost_is_told_by_initial_contact() {
    for lost in [true, false] {
        let mut world = tunnel(roaming(alice()), anywhere());
        world.b.host.others = vec![];
        world.drop = |d| d.is(ExchangeType::IKE_AUTH, true);
        go(&mut world, AWAY, if lost { &[] } else { &[ALICE] });
        pass(&mut world, Duration::from_millis(100));
        let asked = world.sent_by(AWAY).into_iter().find(|d| d.is(ExchangeType::IKE_AUTH, false)).unwrap().clone();
        assert!(Message::parse(&asked.data).is_ok());
        let opened = reads_last(&mut world, &asked);
        assert_eq!(opened.notify(NotifyType::INITIAL_CONTACT).is_some(), lost);
    }
}
fn reads_last(world: &mut World, message: &wire::Datagram) -> Contents {
    let spi = message.header().spi_i;
    let (now, sas) = (world.now, world.b.endpoint.sas.values_mut());
    let mut of = sas.filter(|sa| sa.core.spi_i == spi);
    let channel = of.next().and_then(|sa| sa.phase.channel()).expect("Bob has it");
    let opened = channel.open_within(now, 65_536, &message.data).expect("it is sealed for him");
    Contents::inside(&opened.inner).expect("it is well-formed")
}

/// Alice calls Bob at two addresses, and soon notices when he is silent.
fn two_doors() -> World {
    let alice = with(roaming(alice()), |c| c.remote_addrs.push(Remote::Addr(addr(BACKDOOR))));
    let mut world = tunnel(alice, anywhere());
    world.b.host.others = vec![addr(BACKDOOR)];
    world
}

/// What was begun elsewhere meanwhile would have Bob forget what works again.
#[test]
fn a_late_answer_calls_off_what_is_already_answered_elsewhere() {
    for begins_anew in [false, true] {
        let mut world = two_doors();
        let before = ends(&world);
        world.a.held = Some(Vec::new());
        world.drop = |d| d.from.ip() == addr(BOB);
        pass(&mut world, seconds(5));
        assert_eq!(world.a.held.as_ref().unwrap().len(), 1, "Bob has answered at his other address");
        if begins_anew {
            // As after a leap of the clock.
            let now = world.now;
            world.a.endpoint.sas.values_mut().for_each(|sa| sa.core.window.again(now));
        }
        world.drop = |_| false;
        pass(&mut world, seconds(5));
        world.compute(ALICE);
        world.a.held = None;
        pass(&mut world, seconds(20));
        assert_eq!((ends(&world), world.a.endpoint.sas.len()), (before, 1));
        assert_one_tunnel(&world);
    }
}

/// However the times of two attempts lie, one does not begin where the other has just given up, for ever.
#[test]
fn attempts_on_several_ways_come_to_an_end() {
    let mut alice =
        with(alice(), |c| c.remote_addrs = [101, 102].map(|i| Remote::Addr(addr(&format!("203.0.113.{i}")))).into());
    alice.retransmit = policy::Retransmit { first: seconds(1), factor: 1.0, max: seconds(1), tries: 5 };
    let mut world = World::new(alice, bob());
    world.command_a(up());
    pass(&mut world, seconds(20));
    assert_eq!((inits(&world, ALICE), world.a.endpoint.sas.len()), (2, 0));
    assert_eq!(world.a.state(), crate::ike::status::State::Failed);
}

/// Bob answers who asks, and is silent when it comes to the proof; at his other address he is himself.
#[test]
fn who_is_silent_after_the_first_answer_may_answer_there() {
    let alice = with(alice(), |c| c.remote_addrs.push(Remote::Addr(addr(BACKDOOR))));
    let mut world = World::new(alice, anywhere());
    world.b.host.others = vec![addr(BACKDOOR)];
    world.drop = |d| d.to.ip() == addr(BOB) && d.is(ExchangeType::IKE_AUTH, false);
    world.command_a(up());
    pass(&mut world, seconds(5));
    assert!(is_between(&world, ALICE, BACKDOOR), "{:?}", ends(&world));
    assert_eq!(world.a.endpoint.sas.len(), 1, "and nobody asks at the first any more");
    pass(&mut world, seconds(200));
    assert_one_tunnel(&world);
    assert!(world.a.failures().is_empty(), "{:?}", world.a.failures());
}

/// Bob waits for a revocation list before he answers, for longer than Alice does before she asks at his other address; and then he has heard
/// there that there is nothing before it.
#[test]
fn of_two_that_are_answered_late_the_one_stays_that_the_peer_has() {
    for unique in [Unique::Replace, Unique::Never] {
        let set = |policy| with(policy, |c| c.unique = unique);
        let alice = two_children(set(roaming(alice())), "10.3.0.0/16", "10.4.0.0/16");
        let alice = with(alice, |c| c.remote_addrs.push(Remote::Addr(addr(BACKDOOR))));
        let mut world = World::new(alice, two_children(set(anywhere()), "10.4.0.0/16", "10.3.0.0/16"));
        world.b.host.others = vec![addr(BACKDOOR)];
        world.slow = |d| if d.is(ExchangeType::IKE_AUTH, false) { 6000 } else { 0 };
        world.command_a(up());
        pass(&mut world, seconds(6) + Duration::from_millis(500));
        assert!(is_between(&world, ALICE, BOB), "{:?}", ends(&world));
        assert_eq!((world.a.children().len(), inits(&world, ALICE)), (2, 2));
        for _ in 0..400 {
            pass(&mut world, Duration::from_millis(50));
            assert!(world.a.children().len() >= 2 && world.b.children().len() >= 2, "without a gap");
        }
        assert!(is_between(&world, ALICE, BACKDOOR), "{:?}", ends(&world));
        assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1), "{unique:?}");
        assert_eq!((world.a.children().len(), world.b.children().len()), (2, 2));
        assert_eq!(inits(&world, ALICE), 2);
        assert!(world.a.failures().is_empty() && world.b.failures().is_empty(), "{:?}", world.a.failures());
    }
}

/// What is taken down because its way is dead waits for an answer there; what takes its place does not.
#[test]
fn what_is_being_closed_keeps_nobody_from_looking_elsewhere() {
    let mut world = two_doors();
    world.drop = |d| [d.from.ip(), d.to.ip()].contains(&addr(BOB));
    world.command_a(Command::Restart { connection: "net".into() });
    pass(&mut world, seconds(2));
    assert!(is_between(&world, ALICE, BACKDOOR), "{:?}", ends(&world));
}

/// Signatures, lists and servers take their time: nobody is called elsewhere for it.
#[test]
fn who_proves_himself_may_take_a_moment() {
    let alice = with(roaming(alice()), |c| c.remote_addrs.push(Remote::Addr(addr(BACKDOOR))));
    let mut world = World::new(alice, anywhere());
    world.b.host.others = vec![addr(BACKDOOR)];
    world.slow = |d| if d.is(ExchangeType::IKE_AUTH, true) { 3000 } else { 0 };
    world.command_a(up());
    pass(&mut world, seconds(10));
    assert_eq!(inits(&world, ALICE), 1);
    assert_one_tunnel(&world);
}

/// An uplink by satellite is preferred all the same: its answer is not the first.
#[test]
fn an_uplink_that_is_slow_is_returned_to() {
    let mut world = two_uplinks(true);
    go(&mut world, AWAY, &[]);
    pass(&mut world, seconds(30));
    assert_eq!(uplink(&world), Some(addr(AWAY)));
    world.slow = |d| if [d.from.ip(), d.to.ip()].contains(&addr(ALICE)) { 400 } else { 0 };
    go(&mut world, AWAY, &[ALICE]);
    // Something else is in flight at that moment.
    while world.a.endpoint.sas.values().all(|sa| sa.core.mobile.trying.is_empty()) {
        pass(&mut world, Duration::from_millis(50));
    }
    pass(&mut world, seconds(5));
    assert_eq!(uplink(&world), Some(addr(ALICE)));
    assert_one_tunnel_of(&world);
}

/// The way back is tried just when the one in use goes silent, and neither answers: there is a third.
#[test]
fn an_uplink_that_is_tried_again_keeps_no_third_one_from_its_turn() {
    const THIRD: &str = "198.51.100.77";
    let alice = with(roaming(alice()), |c| {
        c.local_addrs = [ALICE, AWAY, THIRD].map(addr).into();
        c.mobike = true;
    });
    let mut world = World::new(alice, with(anywhere(), |c| c.mobike = true));
    go(&mut world, ALICE, &[AWAY, THIRD]);
    world.command_a(up());
    pass(&mut world, seconds(5));
    go(&mut world, AWAY, &[THIRD]);
    pass(&mut world, seconds(5));
    assert_eq!(uplink(&world), Some(addr(AWAY)));
    world.slow = |d| if [d.from.ip(), d.to.ip()].contains(&addr(ALICE)) { 400 } else { 0 };
    go(&mut world, AWAY, &[ALICE, THIRD]);
    while world.a.endpoint.sas.values().all(|sa| sa.core.mobile.trying.is_empty()) {
        pass(&mut world, Duration::from_millis(50));
    }
    world.drop = |d| ![d.from.ip(), d.to.ip()].contains(&addr(THIRD));
    pass(&mut world, seconds(5));
    assert_eq!(uplink(&world), Some(addr(THIRD)));
    world.drop = |_| false;
    assert_one_tunnel_of(&world);
}

/// Bob has called Alice where her routes do not begin.
#[test]
fn what_the_peer_began_stays_where_it_is() {
    let bob = with(bob(), |c| c.remote_addrs = vec![Remote::Addr(addr(AWAY))]);
    let mut world = World::new(roaming(alice()), bob);
    world.a.host.others = vec![addr(AWAY)];
    world.command_b(up());
    pass(&mut world, seconds(1));
    assert_one_tunnel(&world);
    for _ in 0..3 {
        go(&mut world, ALICE, &[AWAY]);
        pass(&mut world, seconds(2));
    }
    assert_eq!(inits(&world, ALICE), 0);
    // Also when we have rekeyed it.
    world.command_a(rekey(None));
    pass(&mut world, seconds(1));
    go(&mut world, ALICE, &[AWAY]);
    pass(&mut world, seconds(2));
    assert_eq!(inits(&world, ALICE), 0);
    assert_one_tunnel(&world);
    // Unless that address is gone.
    go(&mut world, ALICE, &[]);
    pass(&mut world, seconds(1));
    assert_eq!(inits(&world, ALICE), 1);
}

/// The routes change while another IKE SA is about to take the place of one: that one is not made anew once more.
#[test]
fn what_has_a_successor_is_not_made_anew_for_a_route() {
    let never = |policy| with(policy, |c| c.unique = Unique::Never);
    let alice = with(never(two_children(roaming(alice()), "10.3.0.0/16", "10.4.0.0/16")), |c| {
        (c.reauth_time, c.rand_time) = (seconds(300), Some(Duration::ZERO));
    });
    let mut world = tunnel(alice, never(two_children(anywhere(), "10.4.0.0/16", "10.3.0.0/16")));
    pass(&mut world, seconds(5));
    world.log.clear();
    let until = world.now + seconds(400);
    while !world.log.iter().any(|(_, d)| d.is(ExchangeType::CREATE_CHILD_SA, false)) {
        assert!(world.turn(until));
    }
    go(&mut world, AWAY, &[ALICE]);
    pass(&mut world, seconds(60));
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
    assert!(is_between(&world, AWAY, BOB));
}

/// Bob is somewhere else, and has lost everything: he says so from there.
#[test]
fn a_denial_is_believed_from_wherever_it_was_asked_for() {
    let alice = with(roaming(alice()), |c| {
        c.remote_addrs.push(Remote::Addr(addr(BACKDOOR)));
        c.mobike = true;
    });
    let anywhere = with(anywhere(), |c| c.mobike = true);
    let mut world = tunnel(alice, anywhere.clone());
    pass(&mut world, seconds(3));
    world.b.endpoint = crate::ike::endpoint::Endpoint::new(world.now, &mut world.b.host);
    world.b.events.clear();
    world.b.host.spis.clear();
    world.b.host.addr = addr(BACKDOOR);
    world.command_b(Command::SetPolicy(std::sync::Arc::new(anywhere)));
    pass(&mut world, seconds(8));
    assert!(is_between(&world, ALICE, BACKDOOR), "{:?}", ends(&world));
    pass(&mut world, seconds(20));
    assert_one_tunnel(&world);
}

/// What was to be replaced in peace is gone: now the attempt is all that there is.
#[test]
fn a_renewal_without_what_it_renews_looks_elsewhere_too() {
    let alice = with(with_child(roaming(alice()), |c| c.start = StartAction::Start), |c| {
        c.remote_addrs.push(Remote::Addr(addr(BACKDOOR)));
        (c.reauth_time, c.rand_time) = (seconds(300), Some(Duration::ZERO));
    });
    let mut world = tunnel(alice, anywhere());
    world.b.host.others = vec![addr(BACKDOOR)];
    world.drop = |d| d.to.ip() == addr(BOB) && d.is(ExchangeType::IKE_SA_INIT, false);
    while inits(&world, ALICE) == 0 {
        pass(&mut world, seconds(1));
    }
    pass(&mut world, seconds(10));
    assert_eq!((inits(&world, ALICE), world.a.ikes()), (1, 1), "there is no hurry");
    world.command_b(down());
    pass(&mut world, seconds(15));
    assert!(is_between(&world, ALICE, BACKDOOR), "{:?}", ends(&world));
    assert_one_tunnel(&world);
}

/// Where many IKE SAs between two are allowed, INITIAL_CONTACT is not said, and Bob has to hear of the end of the old one.
#[test]
fn what_is_lost_and_not_forgotten_is_deleted() {
    let never = |policy| with(policy, |c| c.unique = Unique::Never);
    let mut world = tunnel(never(roaming(alice())), never(anywhere()));
    go(&mut world, AWAY, &[]);
    pass(&mut world, seconds(5));
    assert!(is_between(&world, AWAY, BOB));
    assert_one_tunnel(&world);
    let mut world =
        tunnel(never(with(roaming(alice()), |c| c.remote_addrs.push(Remote::Addr(addr(BACKDOOR))))), never(anywhere()));
    world.b.host.others = vec![addr(BACKDOOR)];
    world.drop = |d| d.from.ip() == addr(BOB);
    pass(&mut world, seconds(20));
    assert!(is_between(&world, ALICE, BACKDOOR));
    assert_one_tunnel(&world);
}
