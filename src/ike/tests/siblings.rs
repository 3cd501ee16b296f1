//! Two IKE SAs with one peer: which of them goes, when, and what becomes of its children.
use super::*;
use crate::ike::event::Ended;
use crate::wire::registry::ExchangeType;
use wire::Datagram;

/// Both have begun an IKE SA of their own, and both are in the air with IKE_AUTH. Returns whose will go, and the other end.
fn both_begin() -> (World, &'static str, &'static str) {
    let start = |policy| with_child(policy, |c| c.start = StartAction::Start);
    let mut world = World::new(start(alice()), start(bob()));
    let spi_of = |world: &World, end| world.sent_by(end)[0].header().spi_i;
    let alice_goes = spi_of(&world, ALICE) < spi_of(&world, BOB);
    // IKE_SA_INIT, and its answer.
    for _ in 0..2 {
        world.pass_on(ALICE);
        world.pass_on(BOB);
    }
    if alice_goes { (world, ALICE, BOB) } else { (world, BOB, ALICE) }
}
/// The loser's IKE SA is up at both ends, the winner's at the loser alone: the answer that tells the winner is returned.
fn one_is_behind() -> (World, &'static str, &'static str, Datagram) {
    let (mut world, loser, winner) = both_begin();
    world.pass_on(loser);
    world.pass_on(winner);
    assert_eq!((world.peer(loser).ikes(), world.peer(winner).ikes()), (1, 1));
    world.pass_on(winner);
    assert_eq!((world.peer(loser).ikes(), world.peer(winner).ikes()), (2, 1));
    let answer = world.catch(loser);
    assert!(answer.is(ExchangeType::IKE_AUTH, true));
    (world, loser, winner, answer)
}
fn ends_of_children(peer: &Peer) -> Vec<Ended> {
    let why = |e: &Event| if let Event::ChildDown { why, .. } = e { Some(*why) } else { None };
    peer.events.iter().filter_map(why).collect()
}

/// The peer may still be asking for the answer that makes the other one: until it has that one, it needs this one.
#[test]
fn the_redundant_one_goes_when_the_peer_has_the_other_one() {
    let (mut world, loser, winner, answer) = one_is_behind();
    for asked in world.hold() {
        world.deliver(&asked);
    }
    assert_eq!((world.peer(loser).ikes(), world.peer(winner).ikes()), (2, 1), "nothing has gone");
    assert!(world.in_the_air(winner) == 0 || !world.catch(winner).is(ExchangeType::INFORMATIONAL, true));
    world.deliver(&answer);
    world.pass(seconds(5));
    assert_one_tunnel(&world);
    // What travels on the one that is gone still arrives.
    for peer in [&world.a, &world.b] {
        assert_eq!(ends_of_children(peer), [Ended::Replaced]);
    }
}
/// It is rekeyed before it can go: then its successor goes.
#[test]
fn the_redundant_one_goes_whatever_it_was_rekeyed_to() {
    let (mut world, loser, winner, answer) = one_is_behind();
    let questions = world.hold();
    world.command(winner, rekey(None));
    world.pass_on(winner);
    world.pass_on(loser);
    assert!(world.peer(winner).events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
    world.deliver(&answer);
    questions.iter().for_each(|question| world.deliver(question));
    world.pass(seconds(60));
    assert_one_tunnel(&world);
}
/// The other one is rekeyed by the one whose own is not up yet: what counts is who has begun them, and under which SPI.
#[test]
fn the_redundant_one_goes_though_the_other_one_was_rekeyed_first() {
    let (mut world, loser, winner) = both_begin();
    let late = world.catch(loser);
    world.pass_on(winner);
    world.pass_on(loser);
    world.command(loser, rekey(None));
    world.pass(Duration::from_millis(100));
    assert!(world.peer(loser).events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
    world.deliver(&late);
    world.pass(seconds(60));
    assert_one_tunnel(&world);
}
/// It was to be deleted for the sake of another one, and that one is gone: there is no reason any more.
#[test]
fn an_older_one_stays_if_the_newer_one_does_not() {
    for after_a_rekey in [false, true] {
        let mut world = tunnel_of(alice(), bob());
        let at = world.now + seconds(5);
        world.each_established(BOB, |est| est.leave_at = Some(at));
        if after_a_rekey {
            world.command_b(rekey(None));
        }
        world.pass(seconds(10));
        assert_one_tunnel(&world);
        assert!(ends_of_children(&world.a).is_empty());
    }
}
