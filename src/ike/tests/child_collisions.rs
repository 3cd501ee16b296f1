//! Rekeys of a child by both ends at once, and while the other end deletes it or does something to the IKE SA. Plays after the exchange tests of
//! strongSwan (their names are kept) and RFC 7296 sections 2.8.1 and 2.25.1.
use super::rekey_child::*;
use super::*;
use crate::ike::event::{Ended, Input, Usage};
use crate::ike::sa::Phase;
use crate::wire::payload::Payload;
use crate::wire::registry::ExchangeType;
use wire::Datagram;

/// N1 is the nonce of the first one's request, N2 that of the second one's, N3 that of the second one's response, N4 that of the first
/// one's response; one of them is the lowest.
fn nonces(world: &mut World, (a, b): (&str, &str), lowest: usize) {
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.peer_mut(a).host.nonces = [n(1), n(4)].into();
    world.peer_mut(b).host.nonces = [n(2), n(3)].into();
}
/// Both have asked, and these are their requests, caught.
fn both_ask((a, b): (&str, &str), lowest: usize) -> (World, Datagram, Datagram) {
    let mut world = tunnel();
    nonces(&mut world, (a, b), lowest);
    world.command(a, lan());
    world.command(b, lan());
    let (of_a, of_b) = (world.catch(a), world.catch(b));
    (world, of_a, of_b)
}
fn first_wins(lowest: usize) -> bool {
    lowest == 2 || lowest == 4
}

/// And `collision`: of all that is made the child with the lowest nonce goes, and who has made it deletes it.
#[test]
fn r04_the_lowest_of_four_nonces_loses() {
    for lowest in 1..=4 {
        let (mut world, of_a, of_b) = both_ask((ALICE, BOB), lowest);
        let old = world.a.children()[0].spi_in;
        world.deliver(&of_a);
        world.deliver(&of_b);
        world.pass_on(ALICE);
        world.pass_on(BOB);
        assert_eq!((world.a.children().len(), world.b.children().len()), (3, 3), "R6: old, Alice's and Bob's");
        world.pass(seconds(1));
        assert_rekeyed(&world, old);
        assert_eq!(world.a.children()[0].initiator, first_wins(lowest), "variant {lowest}");
        let both = world.a.events.iter().chain(&world.b.events);
        let lost = both.filter(|e| matches!(e, Event::ChildUp(up) if up.inbound_only && up.initiator));
        assert_eq!(lost.count(), 1, "who has lost does not send on it");
        assert!(ended(&world.a).iter().chain(&ended(&world.b)).all(|(_, why)| *why == Ended::Replaced));
        assert_eq!(world.log.len(), 8, "two rekeys, two Deletes");
    }
}
/// What decides are octets from the front, of all four, and a prefix is lower.
#[test]
fn r04_a_nonce_that_is_a_prefix_is_lower() {
    for (alices_is_lower, first) in [(true, 0x00), (false, 0x00), (false, 0xfe)] {
        let mut world = tunnel();
        let old = world.a.children()[0].spi_in;
        // Bob's Ni and his Nr, and between them hers; Alice's Nr.
        world.b.host.nonces = [first, 0xff].into();
        world.a.host.nonces = [0xff].into();
        world.command_b(lan());
        let bobs = world.catch(BOB);
        let mut nonce = world.alice_reads(&bobs).nonce.unwrap();
        if alices_is_lower {
            nonce.truncate(16)
        } else {
            nonce.push(0)
        }
        world.deliver(&bobs);
        let answer = world.catch(ALICE);
        let mut request = super::limits::rekey_request(old, 0x1111);
        request.retain(|p| !matches!(p, Payload::Nonce(_)));
        request.push(Payload::Nonce(nonce));
        assert!(world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request).unwrap().sa.is_some());
        world.deliver(&answer);
        let lost = world.b.events.iter().any(|e| matches!(e, Event::ChildUp(up) if up.inbound_only && up.initiator));
        assert_eq!(lost, !alices_is_lower, "{first:#x}");
    }
}

/// Alice's own exchange is done while she still computes what Bob's request needs.
#[test]
fn r04_the_same_while_the_other_ones_secret_is_being_computed() {
    for lowest in 1..=4 {
        let mut world = tunnel_with("aes128gcm16-ecp384", "aes128gcm16-ecp384");
        let old = world.a.children()[0].spi_in;
        nonces(&mut world, (ALICE, BOB), lowest);
        world.command_a(lan());
        world.command_b(lan());
        world.a.held = Some(Vec::new());
        let of_a = world.catch(ALICE);
        world.pass_on(BOB);
        world.deliver(&of_a);
        world.pass_on(BOB);
        let mut jobs = world.a.held.take().unwrap();
        assert_eq!(jobs.len(), 2);
        jobs.reverse();
        for (job, work) in jobs {
            let done = work.run();
            world.input_a(Input::Computed { job, done });
        }
        world.pass(seconds(1));
        assert_rekeyed(&world, old);
        assert_eq!(world.a.children()[0].initiator, first_wins(lowest), "variant {lowest}");
    }
}

/// The answer to the first one is late: the second one has decided already, and its Delete comes first.
#[test]
fn collision_delayed_response() {
    for roles in ROLES {
        for lowest in 1..=4 {
            let ((mut world, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            let old = world.a.children()[0].spi_in;
            world.deliver(&of_a);
            let late = world.catch(b);
            world.deliver(&of_b);
            world.pass_on(a);
            let delete = world.pass_on(b);
            assert!(delete.is(ExchangeType::INFORMATIONAL, false), "of the old one or of its own new one");
            world.pass_on(a);
            world.deliver(&late);
            world.pass(seconds(1));
            assert_rekeyed(&world, old);
            assert_eq!(world.peer(a).children()[0].initiator, first_wins(lowest), "variant {lowest}");
        }
    }
}
/// And the user of the second one takes the child down before the late answer arrives.
#[test]
fn collision_delayed_response_delete() {
    for roles in ROLES {
        for lowest in 1..=4 {
            let ((mut world, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            world.deliver(&of_a);
            let late = world.catch(b);
            world.deliver(&of_b);
            world.pass_on(a);
            world.pass_on(b);
            world.pass_on(a);
            world.command(b, down_lan());
            world.pass_on(b);
            world.pass_on(a);
            world.deliver(&late);
            world.pass(seconds(1));
            assert_none(&world);
        }
    }
}

/// What has won is used up before Bob hears that he has lost. He keeps his own, which is all that he has, and deletes what had won: from that
/// Alice learns which one stays. (A leap of the clock does the same: simulator, seeds 18614 and 24114.)
#[test]
fn what_has_lost_is_in_use_again_when_the_winner_is_deleted() {
    for (lowest, delete_first) in [(2, false), (2, true), (4, false), (4, true)] {
        let (mut world, of_a, of_b) = both_ask((ALICE, BOB), lowest);
        let old = world.a.children()[0].spi_in;
        world.deliver(&of_b);
        let late = world.catch(ALICE);
        world.deliver(&of_a);
        world.pass_on(BOB);
        let delete = world.catch(ALICE);
        let won = world.b.children()[1].id;
        world.input_b(Input::EspUsage(&[Usage { id: won, bytes: 0, packets: 0, sequence_permille: 1000 }]));
        for message in if delete_first { [&delete, &late] } else { [&late, &delete] } {
            world.deliver(message);
        }
        world.pass(seconds(1));
        assert_rekeyed(&world, old);
        assert!(world.b.children()[0].initiator, "Bob's own");
        world.pass(seconds(60));
        let kept = world.a.children()[0].spi_in;
        assert!(world.b.children()[0].spi_out == kept, "and it stays");
        world.command_b(lan());
        world.pass(seconds(60));
        assert_rekeyed(&world, kept);
    }
}

/// R5: the first one's request is late: the second one has rekeyed and is deleting the old one. Its TEMPORARY_FAILURE and its Delete arrive in
/// both orders.
#[test]
fn collision_delayed_request() {
    for roles in ROLES {
        for (lowest, delete_first) in [2, 4, 1].into_iter().flat_map(|n| [(n, true), (n, false)]) {
            let ((mut world, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            let old = world.a.children()[0].spi_in;
            world.deliver(&of_b);
            world.pass_on(a);
            let delete = world.catch(b);
            world.deliver(&of_a);
            let refusal = world.catch(b);
            for message in if delete_first { [&delete, &refusal] } else { [&refusal, &delete] } {
                world.deliver(message);
            }
            world.pass(seconds(60));
            assert_rekeyed(&world, old);
            assert!(!world.peer(a).children()[0].initiator, "the only rekey that was answered");
        }
    }
}
/// The late request arrives when the old one is gone: CHILD_SA_NOT_FOUND, and nothing is made of it.
#[test]
fn collision_delayed_request_more() {
    for roles in ROLES {
        for lowest in [1, 2, 4] {
            let ((mut world, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            let old = world.a.children()[0].spi_in;
            world.deliver(&of_b);
            for from in [a, b, a] {
                world.pass_on(from);
            }
            world.deliver(&of_a);
            world.pass(seconds(60));
            assert_rekeyed(&world, old);
            let made = world.a.events.iter().chain(&world.b.events).filter(|e| matches!(e, Event::ChildUp(_)));
            assert_eq!(made.count(), 4, "two pairs: the first one, and that of the rekey");
        }
    }
}
/// And the new one is deleted as well.
#[test]
fn collision_delayed_request_more_delete() {
    for roles in ROLES {
        for lowest in [1, 2, 4] {
            let ((mut world, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            world.deliver(&of_b);
            for from in [a, b, a] {
                world.pass_on(from);
            }
            world.command(b, down_lan());
            for from in [b, a] {
                world.pass_on(from);
            }
            world.deliver(&of_a);
            world.pass(seconds(60));
            assert_none(&world);
        }
    }
}

/// Both are refused for their group, and both ask again: only the nonces of the second round count.
#[test]
fn collision_ke_invalid() {
    for lowest in 1..=4 {
        let mut world = refused_groups(lowest);
        let old = world.a.children()[0].spi_in;
        let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&of_a);
        world.deliver(&of_b);
        world.pass(seconds(1));
        assert_rekeyed(&world, old);
        assert_eq!(world.a.children()[0].initiator, first_wins(lowest), "variant {lowest}");
    }
}
/// One of the second requests is late: to the other end it looks as if there were no collision.
#[test]
fn collision_ke_invalid_delayed_retry() {
    for (late, other) in ROLES {
        for lowest in [1, 2, 4] {
            let mut world = refused_groups(lowest);
            let old = world.a.children()[0].spi_in;
            let held = world.catch(late);
            world.pass_on(other);
            world.pass_on(late);
            let delete = world.catch(other);
            world.deliver(&held);
            let refusal = world.catch(other);
            world.deliver(&refusal);
            world.deliver(&delete);
            world.pass(seconds(60));
            assert_rekeyed(&world, old);
            assert!(!world.peer(late).children()[0].initiator);
        }
    }
}
/// Each end has asked with a group that the other one refuses, and has asked again: these requests are in the air.
fn refused_groups(lowest: usize) -> World {
    let mut world = tunnel_with("aes128gcm16-x25519-ecp256", "aes128gcm16-ecp256-x25519");
    // Alice takes ecp256 only if nothing else is offered, Bob x25519.
    let group = |peer: &mut Peer, list: &str| {
        for sa in peer.endpoint.sas.values_mut() {
            let Phase::Established(est) = &mut sa.phase else { continue };
            let connection = &est.connection;
            let mut child = (*connection.children[0]).clone();
            child.proposals = esp(list);
            let connection = Connection { children: vec![Arc::new(child.clone())], ..(**connection).clone() };
            est.connection = Arc::new(connection);
            est.children[0].policy = Arc::new(child);
        }
    };
    world.command_a(lan());
    world.command_b(lan());
    let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
    group(&mut world.a, "aes128gcm16-x25519");
    group(&mut world.b, "aes128gcm16-ecp256");
    world.deliver(&of_a);
    world.deliver(&of_b);
    group(&mut world.a, "aes128gcm16-x25519-ecp256");
    group(&mut world.b, "aes128gcm16-ecp256-x25519");
    // Nonce and private value, in this order for a request and for a response.
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.a.host.nonces = [n(1), 0x55, n(4), 0x55].into();
    world.b.host.nonces = [n(2), 0x55, n(3), 0x55].into();
    world.pass_on(ALICE);
    world.pass_on(BOB);
    world
}

/// Who has lost deletes the old one, too, which is not its business.
#[test]
fn collision_responder_incorrect_delete() {
    // Alice has the lowest nonce.
    let (mut world, of_b, of_a) = both_ask((BOB, ALICE), 2);
    let old_a = world.a.children()[0].spi_in;
    world.deliver(&of_a);
    world.deliver(&of_b);
    let late = world.catch(ALICE);
    world.pass_on(BOB);
    // She knows that she has lost; in the place of her Delete another one leaves.
    world.catch(ALICE);
    let said = world.alice_asks(ExchangeType::INFORMATIONAL, &[delete(&[old_a])]);
    assert!(said.is_some_and(|c| c.deletes.len() == 1));
    world.deliver(&late);
    let new: Vec<_> = world.b.children().iter().map(|c| (c.initiator, c.inbound_only)).collect();
    assert_eq!(new, [(false, false), (true, false)], "Bob's own has won and is used; Alice will delete hers");
}

/// R10, R13: one rekeys what the other one deletes.
#[test]
fn collision_delete() {
    for (a, b) in ROLES {
        for delete_first in [true, false] {
            let mut world = tunnel();
            world.command(a, lan());
            world.command(b, down_lan());
            let (ask, delete) = (world.catch(a), world.catch(b));
            world.deliver(&ask);
            let refusal = world.catch(b);
            for message in if delete_first { [&delete, &refusal] } else { [&refusal, &delete] } {
                world.deliver(message);
            }
            let answer = world.pass_on(a);
            assert_eq!(answer.data.len(), delete.data.len(), "R13: with a Delete payload");
            world.pass(seconds(60));
            assert_none(&world);
        }
    }
}
/// The Delete is lost for a while: the rekey is tried again later, and finds nothing to do.
#[test]
fn collision_delete_drop_delete() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, lan());
        world.command(b, down_lan());
        world.catch(b);
        world.pass_on(a);
        world.pass_on(b);
        assert_eq!(world.peer(a).children().len(), 1, "put off, not given up");
        world.pass(seconds(60));
        assert_none(&world);
    }
}
/// The rekey is lost for a while: when it arrives the child is gone.
#[test]
fn collision_delete_drop_rekey() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, lan());
        world.command(b, down_lan());
        world.catch(a);
        world.pass_on(b);
        world.pass_on(a);
        world.pass(seconds(60));
        assert_none(&world);
    }
}
/// strongSwan 1458: the responder deletes the new child before its answer has arrived.
#[test]
fn collision_delete_delayed_response() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, lan());
        world.pass_on(a);
        let late = world.catch(b);
        world.command(b, down_lan());
        let delete = world.pass_on(b);
        let empty = world.pass_on(a);
        assert!(empty.data.len() < delete.data.len(), "the new one is unknown yet; the old one is named");
        world.deliver(&late);
        world.pass(seconds(60));
        assert_none(&world);
    }
}

/// R15, R20: both are put off, both try again, and both succeed.
#[test]
fn collision_ike_rekey() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        let old = world.a.children()[0].spi_in;
        world.command(a, lan());
        world.command(b, rekey(None));
        world.pass(Duration::from_millis(100));
        assert_eq!(world.a.children()[0].spi_in, old);
        assert_eq!(world.log.len(), 4, "nobody tries again at once");
        world.pass(seconds(30));
        assert_rekeyed(&world, old);
        assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
    }
}
/// R17 for children: one rekeys a child, the other one deletes the IKE SA.
#[test]
fn collision_ike_delete() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, lan());
        world.command(b, down());
        world.pass(seconds(1));
        assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
        assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
        assert!(world.a.children().is_empty() && world.b.children().is_empty());
    }
}
