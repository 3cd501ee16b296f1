//! Collisions of rekeys that end otherwise than by their nonces: one of the exchanges fails, or what they are about is taken down meanwhile.
use super::ike_collisions::both_ask;
use super::multi_ke::{again, assert_renewed, followed, mixed, nonces};
use super::*;
use crate::ike::life::Life;
use crate::wire::payload::{Ke, Notify, Payload, Proposal};
use crate::wire::registry::{ExchangeType, KeId, NotifyType};

const ROLES: [(&str, &str); 2] = [(ALICE, BOB), (BOB, ALICE)];

fn assert_nothing_left(peer: &Peer) {
    assert_eq!((peer.ikes(), peer.children().len(), peer.host.spis.len()), (0, 0, 0), "{:?}", peer.events);
    let common = &peer.endpoint.common;
    assert_eq!((peer.endpoint.sas.len(), common.by_spi.len()), (0, 0));
    assert_eq!((common.by_child.len(), common.by_id.len(), common.established), (0, 0, 0));
}

/// The peer's rekey of the IKE SA is between its key exchanges when the IKE SA ends: there is no heir.
#[test]
fn what_is_half_done_inherits_nothing() {
    for by_peer in [false, true] {
        let mut world = followed();
        nonces(&mut world, 2);
        world.command_a(again(true));
        world.command_b(again(true));
        let (_lost, of_b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&of_b);
        if by_peer {
            world.command_b(down());
            world.pass_on(ALICE);
            assert!(world.pass_on(BOB).is(ExchangeType::INFORMATIONAL, false));
        } else {
            world.hold();
            world.drop = |_| true;
            world.pass(seconds(100));
            world.command_a(down());
        }
        assert_nothing_left(&world.a);
    }
}

/// R17: what the user takes down while it is being rekeyed does not live on in what the peer has made of it.
#[test]
fn what_is_taken_down_does_not_live_on_in_the_peers_rekey() {
    for roles in ROLES {
        let ((mut world, _, of_a, of_b), (a, b)) = (both_ask(roles, 1), roles);
        world.deliver(&of_b);
        world.pass_on(a);
        let delete = world.catch(b);
        world.command(a, down());
        world.deliver(&of_a);
        assert!(world.pass_on(b).is(ExchangeType::CREATE_CHILD_SA, true), "refused");
        world.pass(seconds(3));
        world.deliver(&delete);
        world.pass(seconds(200));
        assert_nothing_left(&world.a);
        assert_nothing_left(&world.b);
    }
}
/// The same where the own rekey stops before its additional key exchange.
#[test]
fn what_is_taken_down_does_not_live_on_in_the_peers_rekey_multi_ke() {
    let mut world = followed();
    nonces(&mut world, 1);
    world.command_a(again(true));
    world.command_b(again(true));
    let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
    world.deliver(&of_a);
    let late = world.catch(BOB);
    world.deliver(&of_b);
    for (from, exchange) in [(ALICE, ExchangeType::CREATE_CHILD_SA), (BOB, ExchangeType::IKE_FOLLOWUP_KE)] {
        assert!(world.pass_on(from).is(exchange, from == ALICE));
    }
    world.pass_on(ALICE);
    let _delete = world.catch(BOB);
    world.command_a(down());
    world.deliver(&late);
    world.pass(seconds(200));
    assert_nothing_left(&world.a);
    assert_nothing_left(&world.b);
}

/// Our own rekey ends badly, and the IKE SA with it: what the peer has made of it meanwhile does not stay half-open.
#[test]
fn a_rival_ends_with_what_it_was_to_replace() {
    let sa = |list: &str| {
        let proposals = ike(list).into_iter().map(|p| Proposal { spi: vec![7; 8], ..p }).collect();
        Payload::Sa(proposals)
    };
    let ke = |octet| Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![octet; 32] });
    let (nonce, fine) = (Payload::Nonce(vec![7; 32]), sa("aes128gcm16-prfsha256-x25519"));
    for answer in [
        vec![fine.clone(), Payload::Nonce(vec![7; 3]), ke(9)],
        vec![sa("aes256gcm16-prfsha256-x25519"), nonce.clone(), ke(9)],
        vec![fine, nonce, ke(0)],
    ] {
        let (mut world, _, of_a, of_b) = both_ask((ALICE, BOB), 1);
        world.deliver(&of_b);
        world.catch(ALICE);
        world.bob_answers(&of_a, &answer);
        world.pass(seconds(200));
        assert_nothing_left(&world.a);
        assert_nothing_left(&world.b);
    }
}

/// Who has lost to what is half done tries again if the peer does not go on with that.
#[test]
fn who_loses_to_what_is_never_finished_tries_again() {
    for of_ike in [false, true] {
        let (mut world, old) = mixed(of_ike, 2);
        world.drop = |d| d.is(ExchangeType::IKE_FOLLOWUP_KE, false);
        world.pass(Duration::from_millis(300));
        let sent: Vec<_> = world.sent_by(ALICE).into_iter().cloned().collect();
        let followup = sent.iter().find(|d| d.is(ExchangeType::IKE_FOLLOWUP_KE, false)).unwrap();
        world.bob_answers(followup, &[Payload::Notify(Notify::new(NotifyType::STATE_NOT_FOUND, Vec::new()))]);
        // And Alice has no mind to try it once more.
        world.each_established(ALICE, |est| {
            est.life = Life::default();
            est.children.iter_mut().for_each(|child| child.life = Life::default());
        });
        world.drop = |_| false;
        world.pass(seconds(130));
        assert_renewed(&world, of_ike, &old);
        let asked = |from| world.sent_by(from).iter().filter(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)).count();
        assert_eq!((asked(ALICE), asked(BOB)), (1, 2));
    }
}
