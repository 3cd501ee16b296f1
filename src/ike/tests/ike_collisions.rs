//! Rekeys of the IKE SA by both ends at once, and while the other end deletes it. Plays after the exchange tests of strongSwan (their names are
//! kept) and RFC 7296 sections 2.8.2 and 2.25.2.
use super::rekey_ike::*;
use super::*;
use crate::ike::sa::{Phase, Standing};
use crate::wire::registry::ExchangeType;
use wire::Datagram;

/// Per rekey a nonce is drawn and then a private value, in both roles.
fn nonces(world: &mut World, (a, b): (&str, &str), lowest: usize) {
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.peer_mut(a).host.nonces = [n(1), 0x55, n(4), 0x55].into();
    world.peer_mut(b).host.nonces = [n(2), 0x55, n(3), 0x55].into();
}
/// Both have asked, and these are their requests, caught.
pub(super) fn both_ask((a, b): (&str, &str), lowest: usize) -> (World, (String, String, bool), Datagram, Datagram) {
    let mut world = tunnel();
    let old = current(&world.a).remove(0);
    nonces(&mut world, (a, b), lowest);
    world.command(a, rekey(None));
    world.command(b, rekey(None));
    let (of_a, of_b) = (world.catch(a), world.catch(b));
    (world, old, of_a, of_b)
}
fn first_wins(lowest: usize) -> bool {
    lowest == 2 || lowest == 4
}

#[test]
fn collision() {
    for lowest in 1..=4 {
        let (mut world, old, of_a, of_b) = both_ask((ALICE, BOB), lowest);
        world.deliver(&of_a);
        world.deliver(&of_b);
        for peer in [&world.a, &world.b] {
            assert_eq!(all(peer), 2, "the old one, and that of the other end");
            let rival = |est: &crate::ike::sa::Established| matches!(est.standing, Standing::Rival(_));
            let rivals =
                peer.endpoint.sas.values().filter(|sa| matches!(&sa.phase, Phase::Established(est) if rival(est)));
            assert_eq!(rivals.count(), 1, "R16: answered as usual, and not decided");
        }
        world.pass(seconds(1));
        assert_rekeyed(&world, &old);
        assert_eq!(current(&world.a)[0].2, first_wins(lowest), "variant {lowest}");
        assert_eq!(world.log.len(), 8, "two rekeys, two Deletes");
        assert_works(&mut world);
    }
}
/// Both are refused for their group first, and only the nonces of the second round count.
#[test]
fn collision_ke_invalid() {
    for lowest in 1..=4 {
        let (mut world, old) = refused_groups(lowest);
        let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&of_a);
        world.deliver(&of_b);
        world.pass(seconds(1));
        assert_rekeyed(&world, &old);
        assert_eq!(current(&world.a)[0].2, first_wins(lowest), "variant {lowest}");
    }
}
/// One of the second requests is late: to the other end it looks as if there were no collision.
#[test]
fn collision_ke_invalid_delayed_retry() {
    for (late, other) in ROLES {
        for lowest in [1, 2, 4] {
            let (mut world, old) = refused_groups(lowest);
            let held = world.catch(late);
            world.pass_on(other);
            world.pass_on(late);
            let delete = world.catch(other);
            world.deliver(&held);
            let refusal = world.catch(other);
            world.deliver(&refusal);
            world.deliver(&delete);
            world.pass(seconds(60));
            assert_rekeyed(&world, &old);
            assert!(!current(world.peer(late))[0].2);
        }
    }
}
/// Each end has asked with a group that the other one refuses, and has asked again: these requests are in the air.
fn refused_groups(lowest: usize) -> (World, (String, String, bool)) {
    let groups = |groups: &str| ike(&format!("aes128gcm16-prfsha256-{groups}"));
    let both = |policy| with(policy, |c| c.proposals = groups("x25519-ecp256"));
    let mut world = tunnel_of(both(alice()), both(bob()));
    let old = current(&world.a).remove(0);
    world.each_established(ALICE, |est| est.life.failures = 1);
    world.each_established(BOB, |est| est.life.failures = 1);
    world.command_a(rekey(None));
    world.command_b(rekey(None));
    let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
    for end in [ALICE, BOB] {
        world.reconfigure(end, |c| c.proposals = groups("ecp256"));
    }
    world.deliver(&of_a);
    world.deliver(&of_b);
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    // An ECP private value is 32 octets, too.
    world.a.host.nonces = [n(1), 0x55, n(4), 0x55].into();
    world.b.host.nonces = [n(2), 0x55, n(3), 0x55].into();
    world.pass_on(ALICE);
    world.pass_on(BOB);
    (world, old)
}

/// The answer to the first one is late. If the second one has won, its Delete of the old one tells the first one to forget its own rekey, and
/// the redundant one that the second one has made times out; if it has lost, it deletes its own, and the late answer is an answer.
#[test]
fn collision_delayed_response() {
    for roles in ROLES {
        for lowest in 1..=4 {
            let ((mut world, old, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            world.deliver(&of_a);
            let late = world.catch(b);
            world.deliver(&of_b);
            world.pass_on(a);
            let delete = world.pass_on(b);
            assert!(delete.is(ExchangeType::INFORMATIONAL, false));
            world.pass_on(a);
            world.deliver(&late);
            world.pass(seconds(200));
            assert_rekeyed(&world, &old);
            assert_eq!(current(world.peer(a))[0].2, first_wins(lowest), "variant {lowest}");
            assert_works(&mut world);
        }
    }
}
/// What the first one was asked to do meanwhile it does on the IKE SA that has won.
#[test]
fn collision_delayed_response_and_a_child_is_taken_down() {
    for roles in ROLES {
        let ((mut world, _, of_a, of_b), (a, b)) = (both_ask(roles, 1), roles);
        world.command(a, Command::Down { connection: "net".into(), child: Some("lan".into()) });
        world.deliver(&of_a);
        let _late = world.catch(b);
        world.deliver(&of_b);
        world.pass(seconds(200));
        assert_eq!((rekeyed(&world.a), all(&world.a), all(&world.b)), (1, 1, 1));
        assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
    }
}
/// The second one has decided and uses its new IKE SA for the children at once, before the first one knows: it has to ask again.
#[test]
fn collision_delayed_response_and_the_winner_goes_on() {
    for roles in ROLES {
        let ((mut world, _, of_a, of_b), (a, b)) = (both_ask(roles, 1), roles);
        world.deliver(&of_a);
        let _late = world.catch(b);
        world.deliver(&of_b);
        world.pass_on(a);
        let _delete = world.catch(b);
        world.command(b, rekey(Some("lan")));
        let request = world.pass_on(b);
        assert!(request.is(ExchangeType::CREATE_CHILD_SA, false));
        assert_eq!(
            (rekeyed(world.peer(a)), world.in_the_air(a)),
            (1, 0),
            "it moves the child, and does not answer yet"
        );
        world.pass(seconds(200));
        assert_one_tunnel(&world);
        assert_eq!((all(&world.a), all(&world.b)), (1, 1));
        assert!(!current(world.peer(a))[0].2);
    }
}
/// R18: the request of the first one never arrives; the Delete of the old one ends its retransmission.
#[test]
fn collision_dropped_request() {
    for roles in ROLES {
        for lowest in [1, 2, 4] {
            let ((mut world, old, _lost, of_b), (a, _)) = (both_ask(roles, lowest), roles);
            world.deliver(&of_b);
            world.pass(Duration::from_millis(100));
            let sent = world.sent_by(a).len();
            world.pass(seconds(20));
            assert_rekeyed(&world, &old);
            assert!(!current(world.peer(a))[0].2);
            assert_eq!(world.sent_by(a).len(), sent, "it stops asking");
        }
    }
}
/// It arrives when the second one is deleting the old one: TEMPORARY_FAILURE, which comes when the old one is gone.
#[test]
fn collision_delayed_request() {
    for roles in ROLES {
        for lowest in [1, 2, 4] {
            let ((mut world, old, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            world.deliver(&of_b);
            world.pass_on(a);
            let delete = world.catch(b);
            world.deliver(&of_a);
            let refusal = world.catch(b);
            world.deliver(&delete);
            world.deliver(&refusal);
            world.pass(seconds(60));
            assert_rekeyed(&world, &old);
            assert!(!current(world.peer(a))[0].2);
        }
    }
}
/// Or before: then it is not tried again either.
#[test]
fn collision_delayed_request_and_delete() {
    for roles in ROLES {
        for lowest in [1, 2, 4] {
            let ((mut world, old, of_a, of_b), (a, b)) = (both_ask(roles, lowest), roles);
            world.deliver(&of_b);
            world.pass_on(a);
            let delete = world.catch(b);
            world.deliver(&of_a);
            world.pass_on(b);
            assert_eq!(rekeyed(world.peer(a)), 1, "R7: it knows what the refusal means");
            world.deliver(&delete);
            world.pass(seconds(60));
            assert_rekeyed(&world, &old);
            assert!(!current(world.peer(a))[0].2);
        }
    }
}
/// R17, R18: one rekeys what the other one deletes.
#[test]
fn collision_delete() {
    for (a, b) in ROLES {
        for delete_first in [true, false] {
            let mut world = tunnel();
            world.command(a, rekey(None));
            world.command(b, down());
            let (ask, delete) = (world.catch(a), world.catch(b));
            world.deliver(&ask);
            let refusal = world.catch(b);
            for message in if delete_first { [&delete, &refusal] } else { [&refusal, &delete] } {
                world.deliver(message);
            }
            world.pass(seconds(60));
            assert_eq!((all(&world.a), all(&world.b)), (0, 0));
            assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
            assert!(world.a.endpoint.common.by_spi.is_empty() && world.b.endpoint.common.by_spi.is_empty());
        }
    }
}
/// R17: nor does it begin while the Delete has to wait for the answer to our own rekey. Without the Delete this were R16.
#[test]
fn r17_no_rekey_of_what_is_to_be_closed() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, rekey(None));
        world.command(b, rekey(None));
        world.command(b, down());
        let (of_a, of_b) = (world.catch(a), world.catch(b));
        let computed = world.peer(b).computed;
        world.deliver(&of_a);
        let refusal = world.catch(b);
        assert!(refusal.is(ExchangeType::CREATE_CHILD_SA, true) && refusal.data.len() < of_a.data.len() / 2);
        assert_eq!((all(world.peer(b)), world.peer(b).computed), (1, computed), "nothing is computed, nothing is made");
        world.deliver(&of_b);
        world.deliver(&refusal);
        world.pass(seconds(60));
        assert_eq!((all(&world.a), all(&world.b)), (0, 0));
    }
}
/// The Delete is lost for a while.
#[test]
fn collision_delete_drop_delete() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, rekey(None));
        world.command(b, down());
        world.catch(b);
        world.pass_on(a);
        world.pass_on(b);
        assert_eq!(world.peer(a).ikes(), 1, "put off, not given up");
        world.pass(seconds(60));
        assert_eq!((all(&world.a), all(&world.b)), (0, 0));
    }
}
