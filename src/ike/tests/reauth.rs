//! Reauthentication (RFC 7296 section 2.8.3, RFC 4478): make before break.
use super::ppk::{ppk, using};
use super::*;
use crate::ike::event::Ended;
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};

fn two(policy: Policy, local: &str, remote: &str) -> Policy {
    with(policy, |c| {
        c.children.push(child("two", local, remote));
        c.rand_time = Some(Duration::ZERO);
    })
}
fn both() -> (Policy, Policy) {
    (two(alice(), "10.3.0.0/16", "10.4.0.0/16"), two(bob(), "10.4.0.0/16", "10.3.0.0/16"))
}
/// Each child of a peer that the other one has, too, with the same keys.
fn shared(a: &Peer, b: &Peer) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for child in a.children() {
        if b.children().iter().any(|c| c.spi_in == child.spi_out && c.spi_out == child.spi_in) {
            names.push(child.child.to_string());
        }
    }
    names.sort();
    names.dedup();
    names
}
fn inits(world: &World) -> usize {
    world.log.iter().filter(|(_, d)| d.is(ExchangeType::IKE_SA_INIT, false)).count()
}
/// Runs until Alice has authenticated once more; at every step both children are there at both ends.
fn run_until_renewed(world: &mut World, until: Duration) {
    let before = inits(world);
    while inits(world) == before {
        assert!(world.turn(until), "nothing happens until {until:?}");
        assert_eq!(shared(&world.a, &world.b), ["lan", "two"]);
    }
    let end = world.now + seconds(30);
    while world.turn(end) {
        assert_eq!(shared(&world.a, &world.b), ["lan", "two"], "{:?}", world.now);
    }
    world.now = end;
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
    assert_eq!((world.a.children().len(), world.b.children().len()), (2, 2));
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
}

/// R8, and the responder's `unique = replace` does not cut the children that the new IKE SA does not have yet.
#[test]
fn r08_reauthentication_makes_before_it_breaks() {
    for unique in [Unique::Replace, Unique::Never] {
        let (alice, bob) = both();
        let mut world = World::new(with(alice, |c| c.reauth_time = seconds(300)), with(bob, |c| c.unique = unique));
        world.weather.delay = 15;
        world.command_a(up());
        world.pass(seconds(5));
        world.log.clear();
        for round in 1..=3 {
            let begin = world.now;
            run_until_renewed(&mut world, begin + seconds(400));
            assert_eq!(inits(&world), round);
            assert!(world.now - begin > seconds(250));
        }
        let rekeys = world.a.events.iter().any(|e| matches!(e, Event::ChildUp(up) if up.replaces.is_some()));
        assert!(!rekeys, "without REKEY_SA");
        let replaced = |e: &&Event| matches!(e, Event::IkeDown { why: Ended::Replaced, .. });
        assert_eq!(world.a.events.iter().filter(replaced).count(), 3);
        let leaving = |e: &&Event| matches!(e, Event::ChildLeaving { .. });
        let told = world.a.events.iter().chain(&world.b.events).filter(leaving).count();
        assert_eq!(told, 2 * 3, "whoever asks for the end of the old one does not send on its children");
    }
}
/// R8: the children come before the old IKE SA goes also where the new one is rekeyed at once (R41).
#[test]
fn r08_also_when_the_new_one_is_rekeyed_before_it_has_all_children() {
    let (alice, bob) = both();
    let alice = with(using(alice, ppk("one", true)), |c| c.reauth_time = seconds(300));
    let mut world = World::new(alice, with(using(bob, ppk("one", false)), |c| c.unique = Unique::Never));
    world.weather.delay = 15;
    world.command_a(up());
    world.pass(seconds(5));
    world.log.clear();
    let begin = world.now;
    run_until_renewed(&mut world, begin + seconds(400));
    assert_eq!(inits(&world), 1);
}
/// The peer rekeys the IKE SA while another one is made in its place: what has come of it is what goes in the end, and is not made anew
/// once more. `late`: the other one is established, and makes its children.
#[test]
fn what_is_rekeyed_meanwhile_is_replaced_all_the_same() {
    for late in [false, true] {
        let (alice, bob) = both();
        let mut world =
            World::new(with(alice, |c| c.reauth_time = seconds(300)), with(bob, |c| c.unique = Unique::Never));
        world.command_a(up());
        world.pass(seconds(5));
        world.log.clear();
        let until = world.now + seconds(400);
        let next = if late { ExchangeType::CREATE_CHILD_SA } else { ExchangeType::IKE_SA_INIT };
        while !world.log.iter().any(|(_, d)| d.is(next, false)) {
            assert!(world.turn(until));
        }
        let held = world.catch(ALICE);
        world.command_b(rekey(None));
        world.pass(Duration::from_millis(300));
        assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
        world.deliver(&held);
        world.pass(seconds(60));
        assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
        assert_eq!((world.a.children().len(), world.b.children().len()), (2, 2));
        assert_eq!(shared(&world.a, &world.b), ["lan", "two"]);
        let spis: std::collections::BTreeSet<_> = world
            .log
            .iter()
            .filter(|(_, d)| d.is(ExchangeType::IKE_SA_INIT, false))
            .map(|(_, d)| d.header().spi_i.0)
            .collect();
        assert_eq!(spis.len(), 1, "once");
    }
}
/// An authentication outlives rekeys, and still ends.
#[test]
fn a_rekey_does_not_prolong_the_authentication() {
    let (alice, bob) = both();
    let alice = with(alice, |c| (c.reauth_time, c.rekey_time) = (seconds(300), seconds(70)));
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(5));
    world.log.clear();
    let begin = world.now;
    run_until_renewed(&mut world, begin + seconds(400));
    let rekeys = world.a.events.iter().filter(|e| matches!(e, Event::IkeRekeyed { .. })).count();
    assert!(rekeys >= 4 && (290..340).contains(&(world.now - begin).as_secs()), "{rekeys}");
}
/// RFC 4478: a responder says how long it believes, in IKE_AUTH or later, and the initiator proves itself again before that is over.
#[test]
fn a_responder_asks_for_reauthentication() {
    let (alice, bob) = both();
    let mut world = World::new(alice, with(bob, |c| c.reauth_time = seconds(300)));
    world.command_a(up());
    world.pass(seconds(5));
    world.log.clear();
    let begin = world.now;
    run_until_renewed(&mut world, begin + seconds(300));
    assert!(world.b.endpoint.sas.values().all(|sa| !sa.core.initiator));
    // By an INFORMATIONAL, from Alice to Bob this time: Bob began nothing, but he can.
    let (alice, bob) = both();
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(5));
    let lifetime = |seconds: u32| vec![Payload::Notify(Notify::new(NotifyType::AUTH_LIFETIME, seconds.to_be_bytes()))];
    world.alice_asks(ExchangeType::INFORMATIONAL, &lifetime(1000)).unwrap();
    world.log.clear();
    let begin = world.now;
    run_until_renewed(&mut world, begin + seconds(1000));
    assert!((world.now - begin).as_secs() > 700);
}
/// A peer that asks for it all the time does not get it all the time, and what is no lifetime is none.
#[test]
fn reauthentication_is_not_asked_for_in_a_storm() {
    let (alice, bob) = both();
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(5));
    world.log.clear();
    for data in [vec![], vec![0; 3], vec![0; 5], vec![0; 400]] {
        let notify = Payload::Notify(Notify::new(NotifyType::AUTH_LIFETIME, data));
        world.alice_asks(ExchangeType::INFORMATIONAL, &[notify]).unwrap();
    }
    world.pass(seconds(100));
    assert_eq!(inits(&world), 0);
    let zero = Payload::Notify(Notify::new(NotifyType::AUTH_LIFETIME, vec![0; 4]));
    world.alice_asks(ExchangeType::INFORMATIONAL, &[zero]).unwrap();
    world.pass(seconds(40));
    assert_eq!(inits(&world), 0);
    world.pass(seconds(30));
    assert_eq!(inits(&world), 1);
}
/// It fails for a while: what there is goes on until its time is over.
#[test]
fn a_reauthentication_that_fails_costs_nothing_until_the_end() {
    let (alice, bob) = both();
    let alice = with(alice, |c| (c.reauth_time, c.over_time) = (seconds(300), seconds(200)));
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(5));
    world.drop = |d| d.is(ExchangeType::IKE_SA_INIT, false);
    world.pass(seconds(450));
    assert_eq!((world.a.children().len(), world.a.ikes()), (2, 1));
    assert_eq!(world.a.state(), crate::ike::status::State::Up);
    world.drop = |_| false;
    world.pass(seconds(200));
    assert_eq!((world.a.children().len(), world.a.ikes(), world.b.ikes(), world.b.children().len()), (2, 1, 1, 2));
}
/// The responder's own end: it does not believe for ever.
#[test]
fn r35_an_authentication_that_is_not_renewed_ends() {
    let (alice, bob) = both();
    let bob = with(bob, |c| c.reauth_time = seconds(300));
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(5));
    world.each_established(ALICE, |est| est.authentication = Default::default());
    world.command_a(Command::Down { connection: "net".into(), child: Some("two".into()) });
    world.pass(seconds(320));
    assert_eq!(world.b.ikes(), 1);
    world.pass(seconds(12));
    assert!(world.b.events.iter().any(|e| matches!(e, Event::IkeDown { why: Ended::Expired, .. })));
}
/// R8: what left on the old children just before the new ones were there must not meet a peer that has deleted them.
#[test]
fn r08_what_is_on_its_way_arrives_before_the_old_one_goes() {
    let (alice, bob) = both();
    let mut world = World::new(with(alice, |c| c.reauth_time = seconds(300)), with(bob, |c| c.unique = Unique::Never));
    world.command_a(up());
    world.pass(seconds(5));
    let until = world.now + seconds(400);
    while world.a.children().len() < 4 {
        assert!(world.turn(until));
    }
    let complete = world.now;
    world.log.clear();
    while !world.log.iter().any(|(_, d)| d.is(ExchangeType::INFORMATIONAL, false)) {
        assert!(world.turn(until));
    }
    assert!((500..600).contains(&(world.now - complete).as_millis()), "{:?}", world.now - complete);
}
