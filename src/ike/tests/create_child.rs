//! Both ends ask for the same child: it is no rekey, and yet one of the two is too many. As in a collision of rekeys the lowest of the four
//! nonces decides (RFC 7296 section 2.8.1).
use super::*;
use crate::ike::event::{Ended, Input, Usage};
use wire::Datagram;

fn up_lan() -> Command {
    Command::Up { connection: "net".into(), child: Some("lan".into()) }
}
/// An IKE SA without a child. (The private values of this group are not as long as a nonce.) where both have asked for the same one; these are their requests, caught. The first octet of all nonces is
/// 0xff, but for one: N1 is that of Alice's request, N2 that of Bob's, N3 that of his response, N4 that of hers.
fn both_ask(lowest: usize) -> (World, Datagram, Datagram) {
    let mut world = idle();
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.a.host.nonces = [n(1), n(4)].into();
    world.b.host.nonces = [n(2), n(3)].into();
    world.command_a(up_lan());
    world.command_b(up_lan());
    let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
    (world, of_a, of_b)
}
/// An IKE SA without a child. (The private values of this group are not as long as a nonce.)
fn idle() -> World {
    let pfs = |policy| with_child(policy, |c| c.proposals = esp("aes128gcm16-ecp384"));
    let mut world = tunnel_of(pfs(alice()), pfs(bob()));
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    for peer in [&mut world.a, &mut world.b] {
        assert!(peer.children().is_empty());
        peer.events.retain(|e| !matches!(e, Event::ChildUp(_) | Event::ChildDown { .. }));
    }
    world
}
/// One child, and it is Alice's if she has won; of the other one nobody was told that it has failed.
fn assert_one(world: &World, lowest: usize) {
    assert_one_tunnel(world);
    assert_eq!(world.a.children()[0].initiator, lowest == 2 || lowest == 4, "variant {lowest}");
    for peer in [&world.a, &world.b] {
        let replaced = |e: &Event| !matches!(e, Event::ChildDown { why, .. } if *why != Ended::Replaced);
        assert!(peer.failures().is_empty() && peer.events.iter().all(replaced));
    }
}

#[test]
fn r04_both_ends_create_the_same_child() {
    for lowest in 1..=4 {
        let (mut world, of_a, of_b) = both_ask(lowest);
        world.deliver(&of_a);
        world.deliver(&of_b);
        world.pass(seconds(1));
        assert_one(&world, lowest);
    }
}
/// The request of the one is so late that the other one has its child already: it is the same collision.
#[test]
fn r04_a_late_request_for_a_child_that_is_there_is_a_collision() {
    for lowest in 1..=4 {
        let (mut world, of_a, of_b) = both_ask(lowest);
        world.deliver(&of_a);
        world.pass_on(BOB);
        assert_eq!(world.a.children().len(), 1);
        world.deliver(&of_b);
        world.pass(seconds(1));
        assert_one(&world, lowest);
    }
}
/// Alice's exchange is done while she still computes what Bob's request needs.
#[test]
fn r04_the_same_while_the_other_ones_secret_is_being_computed() {
    for lowest in 1..=4 {
        let (mut world, of_a, of_b) = both_ask(lowest);
        world.a.held = Some(Vec::new());
        world.deliver(&of_b);
        world.deliver(&of_a);
        world.pass_on(BOB);
        let mut jobs = world.a.held.take().unwrap();
        jobs.reverse();
        assert_eq!(jobs.len(), 2);
        for (job, work) in jobs {
            let done = work.run();
            world.input_a(Input::Computed { job, done });
        }
        world.pass(seconds(1));
        assert_one(&world, lowest);
    }
}
/// Alice's has won, and is used up before Bob hears that his has lost: his is the one that stays.
#[test]
fn what_has_lost_is_in_use_again_when_the_winner_is_deleted() {
    for lowest in [2, 4] {
        let (mut world, of_a, of_b) = both_ask(lowest);
        world.deliver(&of_b);
        let late = world.catch(ALICE);
        world.deliver(&of_a);
        world.pass_on(BOB);
        assert_eq!(world.a.children().len(), 2);
        let won = world.b.children()[0].id;
        world.input_b(Input::EspUsage(&[Usage { id: won, bytes: 0, packets: 0, sequence_permille: 1000 }]));
        world.deliver(&late);
        world.pass(seconds(60));
        assert_one_tunnel(&world);
        assert!(world.b.children()[0].initiator, "Bob's own");
        assert!(world.a.endpoint.common.links["net"].wishes[0].wanted, "nobody has refused it");
    }
}
/// The same, and his comes so late that nothing is sent on it from the beginning: that would be a tunnel for one direction.
#[test]
fn what_never_was_sent_on_is_rekeyed_when_it_is_in_use_again() {
    for lowest in [2, 4] {
        let (mut world, of_a, of_b) = both_ask(lowest);
        world.deliver(&of_a);
        world.pass_on(BOB);
        world.deliver(&of_b);
        let late = world.catch(ALICE);
        let silent = world.a.children().into_iter().filter(|c| c.inbound_only).count();
        assert_eq!((silent, world.a.children().len()), (1, 2));
        let won = world.b.children()[0].id;
        world.input_b(Input::EspUsage(&[Usage { id: won, bytes: 0, packets: 0, sequence_permille: 1000 }]));
        world.deliver(&late);
        world.pass(seconds(9));
        assert_one_tunnel(&world);
        assert!(!world.a.children()[0].inbound_only && !world.b.children()[0].inbound_only);
        world.pass(seconds(60));
        assert_one_tunnel(&world);
    }
}
/// What comes after another request was made by somebody who knew: that is a second child, and no collision.
#[test]
fn a_child_that_is_asked_for_on_purpose_is_no_collision() {
    let mut world = idle();
    // A request of Bob's tells that he knows the child: here it is his liveness check.
    let quiet =
        with(with_child(alice(), |c| c.proposals = esp("aes128gcm16-ecp384")), |c| c.dpd_delay = Duration::ZERO);
    world.command_a(Command::SetPolicy(Arc::new(quiet)));
    world.command_a(up_lan());
    world.pass(seconds(1));
    world.pass(seconds(40));
    assert_one_tunnel(&world);
    world.each_established(BOB, |est| est.children.clear());
    world.command_b(up_lan());
    world.pass(seconds(20));
    assert_eq!((world.a.children().len(), world.b.children().len()), (2, 2), "Bob has been told of the first one only");
}
/// Nobody asks for what he is about to have.
#[test]
fn no_request_for_a_child_whose_secret_is_being_computed() {
    let mut world = idle();
    world.command_a(up_lan());
    world.b.held = Some(Vec::new());
    world.pass_on(ALICE);
    world.command_b(up_lan());
    assert_eq!(world.in_the_air(BOB), 0);
    for (job, work) in world.b.held.take().unwrap() {
        let done = work.run();
        world.input_b(Input::Computed { job, done });
    }
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}
