//! Rekeys of a child by one end: alone and with trouble (`child_collisions`: both ends at once). Plays after the exchange tests of strongSwan (their names are kept), RFC 7296
//! sections 2.8.1 and 2.25.1, and what was seen in the field.
use super::*;
use crate::ike::event::{ChildId, Ended, Input};
use crate::ike::sa::Phase;
use crate::wire::payload::{Delete, Payload};
use crate::wire::registry::ExchangeType;

/// The one who begins, and the other one; each play is played in both roles.
pub(super) const ROLES: [(&str, &str); 2] = [(ALICE, BOB), (BOB, ALICE)];

/// What an end has heard of its children going down.
pub(super) fn ended(peer: &Peer) -> Vec<(ChildId, Ended)> {
    let down = |e: &Event| if let Event::ChildDown { id, why, .. } = e { Some((*id, *why)) } else { None };
    peer.events.iter().filter_map(down).collect()
}
pub(super) fn lan() -> Command {
    rekey(Some("lan"))
}
pub(super) fn down_lan() -> Command {
    Command::Down { connection: "net".into(), child: Some("lan".into()) }
}
pub(super) fn tunnel() -> World {
    tunnel_of(alice(), bob())
}
/// Bob and Alice with these proposals for ESP.
pub(super) fn tunnel_with(of_alice: &str, of_bob: &str) -> World {
    let policy = |policy, list: &str| with_child(policy, |c| c.proposals = esp(list));
    tunnel_of(policy(alice(), of_alice), policy(bob(), of_bob))
}
fn assert_quiet(world: &World) {
    assert!(
        world.a.failures().is_empty() && world.b.failures().is_empty(),
        "{:?} {:?}",
        world.a.failures(),
        world.b.failures()
    );
}
/// One child at both ends, the same, and it is another one than this; nothing is left of anything else.
pub(super) fn assert_rekeyed(world: &World, old: u32) {
    assert_one_tunnel(world);
    assert_ne!(world.a.children()[0].spi_in, old);
    assert_quiet(world);
    assert_no_leftovers(world, 1);
}
/// No child at either end, and the IKE SA is up.
pub(super) fn assert_none(world: &World) {
    assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
    assert_no_leftovers(world, 0);
}
fn assert_no_leftovers(world: &World, children: usize) {
    for peer in [&world.a, &world.b] {
        assert_eq!(peer.host.spis.len(), children, "every SPI was given back");
        for sa in peer.endpoint.sas.values() {
            let Phase::Established(est) = &sa.phase else { panic!("not established") };
            assert_eq!((est.children.len(), est.queue.len(), est.asked.is_none()), (children, 0, true));
        }
    }
}

#[test]
fn regular() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        let old = world.peer(a).children()[0].clone();
        world.command(a, lan());
        world.pass(seconds(1));
        assert_rekeyed(&world, old.spi_in);
        let new = world.peer(a).children()[0];
        assert_eq!((new.replaces, new.initiator), (Some(old.id), true));
        assert_eq!(ended(world.peer(a)), [(old.id, Ended::Replaced)]);
        assert_eq!(ended(world.peer(b)).len(), 1);
        let senders: Vec<IpAddr> = world.log.iter().map(|(_, d)| d.from.ip()).collect();
        assert_eq!(senders, [a, b, a, b].map(addr), "who has begun deletes the old one");
    }
}

/// Alice's user has taken the child down once, and Bob has brought it up again: when she rekeys it it stays.
#[test]
fn a_child_that_the_peer_has_brought_up_again_outlives_a_rekey() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, down_lan());
        world.pass(seconds(1));
        world.command(b, up());
        world.pass(seconds(1));
        let old = world.a.children()[0].spi_in;
        world.command(a, lan());
        world.pass(seconds(1));
        assert_rekeyed(&world, old);
    }
}

/// Bob rekeys the child that Alice has asked for before she has heard of it.
#[test]
fn a_request_that_overtakes_the_answer_it_builds_on_is_put_off() {
    let mut world = tunnel_of(alice(), bob());
    let old = world.a.children()[0].clone();
    world.command_a(lan());
    world.pass_on(ALICE);
    let answer = world.catch(BOB);
    world.command_b(lan());
    world.pass_on(BOB);
    world.pass_on(ALICE);
    assert_eq!(world.b.children().len(), 2, "the new one is not taken for lost");
    world.deliver(&answer);
    world.pass(seconds(200));
    assert_rekeyed(&world, old.spi_in);
}

/// R9 does not hold for a child that the peer does not know *yet*: our answer, which makes it, is late.
#[test]
fn a_rekey_that_overtakes_the_answer_it_builds_on_is_tried_again() {
    use crate::wire::payload::Notify;
    use crate::wire::registry::NotifyType;
    let mut world = tunnel();
    let old = world.a.children()[0].spi_in;
    world.command_b(lan());
    world.pass_on(BOB);
    let answer = world.catch(ALICE);
    let new = world.a.children()[1].spi_in;
    world.command_a(lan());
    let request = world.catch(ALICE);
    world.bob_answers(&request, &[Payload::Notify(Notify::new(NotifyType::CHILD_SA_NOT_FOUND, Vec::new()))]);
    world.deliver(&answer);
    world.pass(seconds(1));
    assert_rekeyed(&world, old);
    assert_eq!(world.a.children()[0].spi_in, new);
    world.pass(seconds(10));
    assert_rekeyed(&world, new);
}

/// R3: ESP for the SPI of a pending request says that the answer is late or lost.
#[test]
fn r03_a_packet_that_is_ahead_of_its_keys_asks_again_at_once() {
    let mut world = tunnel_of(alice(), bob());
    let old = world.a.children()[0].spi_in;
    world.command_a(lan());
    let offered = world.a.host.spis.iter().copied().find(|spi| *spi != old).unwrap();
    let request = world.catch(ALICE);
    world.deliver(&request);
    world.catch(BOB);
    assert!(world.a.endpoint.status()[0].sas[0].children[0].rekeying);
    for (spi, again) in [(old, false), (7, false), (offered, true)] {
        let sent = world.a.handle(world.now, Input::LarvalHit(spi));
        assert_eq!(sent, if again { vec![request.clone()] } else { vec![] }, "octet for octet");
        world.send(sent);
    }
    // The answer, once more, ends it.
    world.pass(Duration::from_millis(100));
    assert_rekeyed(&world, old);
}

/// R26b: the responder names its group, the old child lives on, and the initiator asks again with that group.
#[test]
fn regular_ke_invalid() {
    for (a, list) in [
        (ALICE, ["aes128gcm16-x25519-ecp256", "aes128gcm16-ecp256"]),
        (BOB, ["aes128gcm16-ecp256", "aes128gcm16-x25519-ecp256"]),
    ] {
        let mut world = tunnel_with(list[0], list[1]);
        let old = world.a.children()[0].spi_in;
        world.command(a, lan());
        world.pass(seconds(1));
        assert_rekeyed(&world, old);
        assert_eq!(world.log.len(), 6, "refused, rekeyed, deleted");
        // From now on the group is in use, and there is nothing to find out.
        world.log.clear();
        world.command(a, lan());
        world.pass(seconds(1));
        assert_eq!(world.log.len(), 4);
    }
}

/// No group in common shows at the first rekey only. The child is there again with an IKE SA from scratch, whoever is to begin that.
#[test]
fn what_cannot_be_rekeyed_can_be_made_anew() {
    for anywhere in [false, true] {
        let group = |policy, list: &str| with_child(policy, |c| c.proposals = esp(list));
        let alice = with_child(group(alice(), "aes128gcm16-x25519"), |c| c.start = StartAction::Start);
        let bob = with(group(bob(), "aes128gcm16-ecp256"), |c| {
            c.remote_addrs = if anywhere { vec![policy::Remote::Any] } else { c.remote_addrs.clone() };
        });
        let mut world = tunnel_of(alice, bob);
        let end = if anywhere { BOB } else { ALICE };
        let old = world.peer(end).children()[0].id;
        world.command(end, lan());
        world.pass(seconds(1));
        assert_eq!((world.peer(end).failures().len(), world.peer(end).children()[0].id), (1, old), "refused");
        world.command(end, Command::Remake { child: ChildId(old.0 + 100) });
        world.pass(seconds(1));
        assert_eq!(ended(world.peer(end)), [], "it is not there");
        world.command(end, Command::Remake { child: old });
        world.pass(seconds(30));
        assert_one_tunnel(&world);
        assert_eq!(ended(world.peer(end)).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [old]);
        // What has no child any more stays as it is.
        world.command(end, Command::Remake { child: old });
        world.pass(seconds(1));
        assert_one_tunnel(&world);
    }
}

/// The responder's own time to rekey comes while it waits for the Delete.
#[test]
fn regular_responder_ignore_soft_expire() {
    let mut world = World::new(
        alice(),
        with(with_child(bob(), |c| c.rekey_time = seconds(100)), |c| c.rand_time = Some(Duration::ZERO)),
    );
    world.command_a(up());
    world.pass(Duration::from_millis(99_900));
    let old = world.a.children()[0].spi_in;
    world.command_a(lan());
    world.pass_on(ALICE);
    world.pass_on(BOB);
    let delete = world.catch(ALICE);
    let before = world.sent_by(BOB).len();
    world.pass(Duration::from_millis(300));
    assert_eq!(world.sent_by(BOB).len(), before, "Bob does not rekey what is rekeyed");
    world.deliver(&delete);
    world.pass(seconds(1));
    assert_rekeyed(&world, old);
}

/// The lifetime of the old one ends at the responder while it waits for the Delete: no second Delete, and the late one is answered empty.
#[test]
fn regular_responder_handle_hard_expire() {
    // He cannot call, so he makes nothing from scratch.
    let bob = with(with_child(bob(), |c| c.rekey_time = seconds(100)), |c| {
        (c.rekey, c.remote_addrs) = (policy::RekeyBy::Peer, vec![policy::Remote::Any]);
    });
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(126));
    let old = world.b.children()[0].id;
    world.command_a(lan());
    world.pass_on(ALICE);
    world.pass_on(BOB);
    let delete = world.catch(ALICE);
    world.drop = |d| d.from.ip() == addr(ALICE);
    let before = world.sent_by(BOB).len();
    world.pass(seconds(6));
    assert_eq!(ended(&world.b), [(old, Ended::Expired)], "no grace: its time is over");
    assert_eq!(world.sent_by(BOB).len(), before);
    world.drop = |_| false;
    world.deliver(&delete);
    let answer = world.sent_by(BOB).last().map(|d| d.data.len());
    assert_eq!(answer, Some(delete.data.len() - 12), "without a Delete payload");
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_no_leftovers(&world, 1);
}

/// The new child is deleted by the responder's user before the old one is deleted: both Deletes cross.
#[test]
fn regular_responder_delete() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, lan());
        world.pass_on(a);
        world.pass_on(b);
        world.command(b, down_lan());
        world.pass(seconds(1));
        assert_none(&world);
    }
}

/// R9: the peer does not have the child any more.
#[test]
fn regular_responder_lost_sa() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        let old = world.peer(a).children()[0].clone();
        world.lose_children(b);
        world.command(a, lan());
        world.pass(seconds(1));
        assert_eq!(ended(world.peer(a)), [(old.id, Ended::ByPeer)]);
        let new = world.peer(a).children()[0];
        assert_eq!((new.replaces, new.initiator, world.peer(b).children().len()), (None, true, 2), "made anew");
        let requests = world.log.iter().filter(|(_, d)| d.is(ExchangeType::INFORMATIONAL, false)).count();
        assert_eq!(requests, 0, "it goes without a word");
    }
}

/// strongSwan 1896 and others: the responder deletes the old one before its answer has arrived.
#[test]
fn regular_responder_incorrect_delete() {
    let mut world = tunnel();
    let (old_a, old_b) = (world.a.children()[0].spi_in, world.b.children()[0].id);
    world.command_b(lan());
    world.pass_on(BOB);
    let answer = world.catch(ALICE);
    let said = world.alice_asks(ExchangeType::INFORMATIONAL, &[delete(&[old_a])]).unwrap();
    assert_eq!(said.deletes.len(), 1, "R13");
    world.deliver(&answer);
    let (new_a, new_b) = (world.a.children()[1].clone(), world.b.children()[0].clone());
    assert_mirrored(&new_a, &new_b);
    assert_eq!(ended(&world.b), [(old_b, Ended::ByPeer)]);
    assert_eq!(world.in_the_air(BOB), 0, "nothing is left to be deleted");
}

#[test]
fn regular_delete_timeout() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, lan());
        world.pass_on(a);
        world.pass_on(b);
        world.drop = |_| true;
        world.hold();
        world.pass(seconds(120));
        assert_eq!(world.peer(a).ikes(), 0, "given up");
        let mut down: Vec<ChildId> = ended(world.peer(a)).into_iter().map(|(id, _)| id).collect();
        assert_eq!(down.len(), 2);
        down.dedup();
        assert_eq!(down.len(), 2, "each has gone down once");
    }
}
pub(super) fn delete(spis: &[u32]) -> Payload {
    Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: spis.to_vec() })
}
