//! Rekeys of the IKE SA: alone, with trouble, and both ends at once. Plays after the exchange tests of strongSwan (their names are kept), RFC 7296
//! sections 2.8.2 and 2.25.2, and what was seen in the field.
use super::*;
use crate::ike::event::Ended;
use crate::wire::payload::{Delete, Ke, Notify, Payload, Proposal};
use crate::wire::registry::{ExchangeType, KeId, NotifyType, PrfId, TransformType};
use wire::Datagram;

pub(super) const ROLES: [(&str, &str); 2] = [(ALICE, BOB), (BOB, ALICE)];

/// SPIs of the IKE SAs that an end has in use (initiator's, responder's), and whether it is their original initiator.
pub(super) fn current(peer: &Peer) -> Vec<(String, String, bool)> {
    let status = peer.endpoint.status().remove(0);
    status.sas.iter().map(|sa| (sa.spi_i.to_string(), sa.spi_r.to_string(), sa.initiator)).collect()
}
/// All of them, whatever they are good for.
pub(super) fn all(peer: &Peer) -> usize {
    peer.endpoint.sas.len()
}
pub(super) fn tunnel() -> World {
    let quiet = |policy| with(policy, |c| c.dpd_delay = Duration::ZERO);
    tunnel_of(quiet(alice()), quiet(bob()))
}
pub(super) fn rekeyed(peer: &Peer) -> usize {
    peer.events.iter().filter(|e| matches!(e, Event::IkeRekeyed { .. })).count()
}
/// Both ends have the same one IKE SA, another one than before, with the child that was there; nobody has heard of anything going down.
pub(super) fn assert_rekeyed(world: &World, old: &(String, String, bool)) {
    assert_one_tunnel(world);
    let (a, b) = (current(&world.a), current(&world.b));
    assert_eq!((a.len(), b.len(), all(&world.a), all(&world.b)), (1, 1, 1, 1));
    assert_eq!((&a[0].0, &a[0].1, a[0].2), (&b[0].0, &b[0].1, !b[0].2));
    assert!(a[0].0 != old.0 && a[0].1 != old.1, "new SPIs on both sides");
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
    for peer in [&world.a, &world.b] {
        assert!(!peer.events.iter().any(|e| matches!(e, Event::IkeDown { .. } | Event::ChildDown { .. })));
        assert_eq!(rekeyed(peer), 1);
        assert_eq!(peer.endpoint.common.by_spi.len(), 1, "every SPI was given back");
        assert_eq!(peer.endpoint.common.established, 1);
        let child = peer.children()[0].spi_in;
        assert_eq!(peer.endpoint.common.by_child.get(&child), peer.endpoint.sas.keys().next(), "the child has moved");
    }
}
/// The IKE SA works both ways: children are rekeyed on it, and ids count from 0.
pub(super) fn assert_works(world: &mut World) {
    for (a, _) in ROLES {
        world.log.clear();
        world.command(a, rekey(Some("lan")));
        world.pass(seconds(1));
        assert_eq!(world.log[0].1.header().id, 0, "message ids begin anew");
        assert_one_tunnel(world);
    }
}

#[test]
fn regular() {
    for (a, _) in ROLES {
        let mut world = tunnel();
        let old = current(&world.a).remove(0);
        world.command(a, rekey(None));
        world.pass(seconds(1));
        assert_rekeyed(&world, &old);
        assert!(current(world.peer(a))[0].2, "who has begun this rekey is the original initiator");
        assert_eq!(world.log.len(), 4, "the rekey, and the Delete");
        assert_works(&mut world);
    }
}
/// Our SPIs carry the tag after a rekey, too, so that workers know them.
#[test]
fn new_spis_are_known_without_a_table() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, rekey(None));
        world.pass(seconds(1));
        world.log.clear();
        world.command(a, rekey(Some("lan")));
        world.pass(seconds(1));
        let requests =
            |from| world.log.iter().find(|(_, d)| d.from.ip() == addr(from)).map(|(_, d)| d.data.clone()).unwrap();
        assert!(world.peer(b).endpoint.is_ours(&requests(a)) && world.peer(a).endpoint.is_ours(&requests(b)));
    }
}

/// The responder wants another group than the one in use; and what is in use is offered alone at first.
#[test]
fn regular_ke_invalid() {
    for (a, _) in ROLES {
        let both = |policy| with(policy, |c| c.proposals = ike("aes128gcm16-prfsha256-x25519-ecp256"));
        let mut world = tunnel_of(both(alice()), both(bob()));
        let old = current(&world.a).remove(0);
        // The initiator has forgotten that a rekey was tried, the responder has only one group now.
        let only = ike("aes128gcm16-prfsha256-ecp256");
        world.reconfigure(if a == ALICE { BOB } else { ALICE }, |c| c.proposals = only.clone());
        world.each_established(a, |est| est.life.failures = 1);
        world.command(a, rekey(None));
        world.pass(seconds(1));
        assert_rekeyed(&world, &old);
        assert_eq!(world.log.len(), 6, "refused, rekeyed, deleted");
        assert_works(&mut world);
    }
}

/// A rekey never changes the PRF, whatever both ends allow: peers do not agree on which one makes the new keys (R2).
#[test]
fn r02_a_rekey_never_changes_the_prf() {
    let both = |policy| {
        with(policy, |c| c.proposals = ike("aes128gcm16-prfsha256-prfsha384-x25519,aes256gcm16-prfsha512-x25519"))
    };
    let mut world = tunnel_of(both(alice()), both(bob()));
    // Even after a failure only what has this PRF is offered.
    world.each_established(ALICE, |est| {
        est.life.failures = 1;
        let ours = crate::ike::negotiate::renewal(&est.proposal, &est.connection.proposals, true);
        let prfs: Vec<u16> =
            ours.iter().flat_map(|p| &p.transforms).filter(|t| t.kind == TransformType::PRF).map(|t| t.id).collect();
        assert!(!prfs.is_empty() && prfs.iter().all(|id| *id == PrfId::HMAC_SHA2_256.0), "{prfs:?}");
    });
    for (list, good) in [
        ("aes128gcm16-prfsha384-x25519", false),
        ("aes256gcm16-prfsha512-x25519", false),
        ("aes128gcm16-prfsha256-x25519", true),
    ] {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &ike_request(list, KeId::CURVE25519)).unwrap();
        assert_eq!(answer.notify(NotifyType::NO_PROPOSAL_CHOSEN).is_none(), good, "{list}");
    }
}
/// The key exchange is mandatory: group NONE is neither taken nor left out (R2).
#[test]
fn r02_a_rekey_of_the_ike_sa_always_exchanges_keys() {
    let mut world = tunnel();
    let none = |mut payloads: Vec<Payload>, id: Option<u16>| {
        if let Payload::Sa(p) = &mut payloads[0] {
            p[0].transforms.retain_mut(|t| {
                t.id = if t.kind == TransformType::KE { id.unwrap_or(0) } else { t.id };
                t.kind != TransformType::KE || id.is_some()
            });
        }
        payloads
    };
    let fine = ike_request("aes128gcm16-prfsha256-x25519", KeId::CURVE25519);
    for request in [none(fine.clone(), Some(0)), none(fine.clone(), None)] {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request).unwrap();
        assert!(answer.notify(NotifyType::NO_PROPOSAL_CHOSEN).is_some());
    }
    // Without a KE payload, or with one of another group, our group is named (R26b).
    let mut another = fine.clone();
    another[2] = Payload::Ke(Ke { group: KeId::ECP_256, data: vec![4; 64] });
    for request in [fine[..2].to_vec(), another] {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request).unwrap();
        let group = answer.notify(NotifyType::INVALID_KE_PAYLOAD).map(|n| n.data.clone());
        assert_eq!(group, Some(KeId::CURVE25519.0.to_be_bytes().to_vec()));
    }
    // An SPI of 4 octets, or of zeros, is none.
    for spi in [vec![1; 4], vec![0; 8]] {
        let mut request = fine.clone();
        if let Payload::Sa(p) = &mut request[0] {
            p[0].spi = spi;
        }
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request);
        assert!(answer.is_none_or(|a| a.sa.is_none()));
        if world.b.ikes() == 0 {
            world = tunnel();
        }
    }
    assert_eq!((all(&world.b), rekeyed(&world.b)), (1, 0));
}
/// What Alice may ask for.
fn ike_request(list: &str, group: KeId) -> Vec<Payload> {
    let proposals: Vec<Proposal> = ike(list).into_iter().map(|p| Proposal { spi: vec![7; 8], ..p }).collect();
    let x25519 = crate::crypto::ke::Group::from_id(group).unwrap();
    let private = x25519.private(&mut crate::crypto::rng::SeededRng::new(3));
    let ke = Ke { group, data: x25519.public(&private) };
    vec![Payload::Sa(proposals), Payload::Nonce(vec![7; 32]), Payload::Ke(ke)]
}

/// R7: of what is rekeyed already nothing begins any more; and its Delete ends it at once and silently.
#[test]
fn r07_nothing_begins_on_what_is_rekeyed() {
    let mut world = tunnel();
    let child = world.a.children()[0].spi_in;
    let fine = ike_request("aes128gcm16-prfsha256-x25519", KeId::CURVE25519);
    let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &fine).unwrap();
    assert!(answer.sa.is_some() && answer.ke.is_some());
    assert_eq!((all(&world.b), rekeyed(&world.b)), (2, 1));
    let again = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &fine).unwrap();
    assert!(again.notify(NotifyType::TEMPORARY_FAILURE).is_some());
    // The child is the new one's: here it is unknown.
    let delete = Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![child] });
    let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &[delete]).unwrap();
    assert!(answer.deletes.is_empty() && world.b.children().len() == 1);
    let delete = Payload::Delete(Delete { protocol: ProtocolId::IKE, spis: Vec::new() });
    assert!(world.alice_asks(ExchangeType::INFORMATIONAL, &[delete]).is_some());
    assert_eq!((all(&world.b), world.b.ikes(), world.b.children().len()), (1, 1, 1));
}
/// R7: who inherits waits for the Delete of the old one, but not for ever.
#[test]
fn r07_an_old_ike_sa_that_nobody_deletes_is_deleted_after_a_while() {
    let mut world = tunnel();
    let fine = ike_request("aes128gcm16-prfsha256-x25519", KeId::CURVE25519);
    world.alice_asks(ExchangeType::CREATE_CHILD_SA, &fine).unwrap();
    assert_eq!(all(&world.b), 2);
    world.pass(seconds(180));
    let deletes = world.sent_by(BOB).iter().filter(|d| d.is(ExchangeType::INFORMATIONAL, false)).count();
    assert_eq!(deletes, 1);
    world.pass(seconds(6));
    assert_eq!((all(&world.b), world.b.children().len()), (1, 1));
}

/// The Delete of the old one is lost, and the peer rekeys the new one at once: that is no answer.
#[test]
fn r07_an_old_ike_sa_gets_its_delete_although_the_new_one_is_rekeyed() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, rekey(None));
        world.pass_on(a);
        world.pass_on(b);
        let lost = world.catch(a);
        world.command(b, rekey(None));
        world.pass(seconds(2));
        assert_eq!((rekeyed(&world.a), rekeyed(&world.b)), (2, 2));
        let again = world.sent_by(a).into_iter().filter(|d| d.data == lost.data).count();
        let answers = world.sent_by(b).into_iter().filter(|d| {
            let (answer, delete) = (d.header(), lost.header());
            answer.response && (answer.spi_i, answer.id) == (delete.spi_i, delete.id)
        });
        assert_eq!((again, answers.count()), (2, 1));
        assert_eq!((all(&world.a), all(&world.b)), (1, 1));
        assert_works(&mut world);
    }
}
/// Who rekeys again and again and never deletes cannot make us keep them all.
#[test]
fn r07_only_the_last_old_ike_sas_wait_for_their_deletes() {
    let mut world = tunnel();
    for round in 1..=20 {
        world.command_a(rekey(None));
        world.pass_on(ALICE);
        world.pass_on(BOB);
        world.catch(ALICE);
        assert_eq!(rekeyed(&world.b), round);
        assert!(all(&world.a) <= 3 && all(&world.b) <= 3, "{} {}", all(&world.a), all(&world.b));
    }
    world.pass(seconds(200));
    assert_eq!((all(&world.a), all(&world.b)), (1, 1));
    assert_works(&mut world);
}

/// R15: a child is being made by the one who shall answer.
#[test]
fn r15_no_rekey_while_children_change() {
    let two =
        |policy: Policy, local: &str, remote: &str| with(policy, |c| c.children.push(child("two", local, remote)));
    for (a, b) in ROLES {
        let mut world =
            World::new(two(alice(), "10.3.0.0/16", "10.4.0.0/16"), two(bob(), "10.4.0.0/16", "10.3.0.0/16"));
        world.command_a(Command::Up { connection: "net".into(), child: Some("lan".into()) });
        world.pass(seconds(1));
        let old = current(&world.a).remove(0);
        world.command(b, Command::Up { connection: "net".into(), child: Some("two".into()) });
        let create = world.catch(b);
        assert!(create.is(ExchangeType::CREATE_CHILD_SA, false));
        world.command(a, rekey(None));
        world.pass_on(a);
        let refusal = world.catch(b);
        world.deliver(&create);
        world.deliver(&refusal);
        world.pass(Duration::from_millis(100));
        assert_eq!((rekeyed(&world.a), world.a.children().len()), (0, 1), "both are put off (R20)");
        world.pass(seconds(30));
        assert_ne!(current(&world.a)[0], old);
        assert_eq!((world.a.children().len(), world.b.children().len()), (2, 2), "and both are done in the end");
    }
}
/// R21: a child may be deleted meanwhile.
#[test]
fn r21_a_child_is_deleted_while_the_ike_sa_is_rekeyed() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, rekey(None));
        world.command(b, Command::Down { connection: "net".into(), child: Some("lan".into()) });
        let (ask, delete) = (world.catch(a), world.catch(b));
        world.deliver(&delete);
        assert_eq!(world.peer(a).children().len(), 0);
        let answer = world.catch(a);
        assert_eq!(answer.data.len(), delete.data.len(), "with a Delete payload");
        world.deliver(&ask);
        let refusal = world.pass_on(b);
        assert!(refusal.is(ExchangeType::CREATE_CHILD_SA, true) && rekeyed(world.peer(a)) == 0, "R15");
        world.deliver(&answer);
        world.pass(seconds(30));
        assert_eq!(
            (rekeyed(&world.a), rekeyed(&world.b), world.a.children().len(), world.b.children().len()),
            (1, 1, 0, 0)
        );
    }
}

/// The peer may not have our answer yet to its rekey of a child: it would never get it on an IKE SA that is gone, and keep the old child, into
/// which nobody sends. (In storms with strongSwan 5.9.8, which drops a response whose ID is that of a request that it is busy with.)
#[test]
fn the_ike_sa_is_not_rekeyed_before_the_peer_has_finished_its_rekey_of_a_child() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(b, rekey(Some("lan")));
        world.pass_on(b);
        world.catch(a); // lost
        world.command(a, rekey(None));
        assert!(world.hold().is_empty(), "it waits");
        world.pass(seconds(60));
        assert_eq!((rekeyed(&world.a), rekeyed(&world.b)), (1, 1));
        let spis = |peer: &Peer| peer.children().iter().map(|c| (c.spi_in, c.spi_out)).collect::<Vec<_>>();
        let swapped: Vec<_> = spis(&world.b).iter().map(|&(i, o)| (o, i)).collect();
        assert_eq!((spis(&world.a).len(), spis(&world.a)), (1, swapped), "both have the new child");
    }
}

/// strongSwan 3042: the link goes away in the middle of a rekey, wherever that is, and comes back.
#[test]
fn a_link_that_bounces_does_not_cost_the_new_ike_sa() {
    for (a, _) in ROLES {
        for lost_from in 0..6 {
            for outage in [1, 7, 20] {
                let mut world = tunnel();
                let old = current(&world.a).remove(0);
                world.command(a, rekey(None));
                for _ in 0..lost_from {
                    world.turn(world.now);
                }
                world.hold();
                world.drop = |_| true;
                world.pass(seconds(outage));
                world.drop = |_| false;
                world.pass(seconds(250));
                assert_rekeyed(&world, &old);
            }
        }
    }
}

/// R22: who is put off for minutes closes the IKE SA.
#[test]
fn r22_put_off_for_minutes() {
    let mut world = tunnel();
    world.command_a(rekey(None));
    let mut asked = Vec::new();
    let end = world.now + seconds(1000);
    while world.a.ikes() == 1 {
        let Some(request) = world.hold().into_iter().find(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)) else {
            assert!(world.turn(end));
            continue;
        };
        asked.push(world.now);
        assert!(asked.len() < 50, "it does not go on for ever");
        world.bob_answers(&request, &[Payload::Notify(Notify::new(NotifyType::TEMPORARY_FAILURE, Vec::new()))]);
        if asked.last() > asked.first().map(|first| *first + seconds(170)).as_ref() {
            world.pass(seconds(6));
        }
    }
    let waits: Vec<u64> = asked.windows(2).map(|w| (w[1] - w[0]).as_secs()).collect();
    assert!(waits.iter().all(|wait| (2..=90).contains(wait)), "never at once: {waits:?}");
    assert!(asked.len() >= 5 && *asked.last().unwrap() - asked[0] >= seconds(180));
}

/// R34: a peer that makes no further SAs gets a second IKE SA, and loses the first one then.
#[test]
fn r34_no_additional_sas() {
    for what in [None, Some("lan")] {
        let mut world = tunnel();
        let (old, child) = (current(&world.a).remove(0), world.a.children()[0].spi_in);
        world.command_a(rekey(what));
        let request = world.catch(ALICE);
        world.bob_answers(&request, &[Payload::Notify(Notify::new(NotifyType::NO_ADDITIONAL_SAS, Vec::new()))]);
        let mut least = usize::MAX;
        for _ in 0..40 {
            world.turn(world.now + seconds(1));
            least = least.min(world.a.children().len()).min(world.b.children().len());
        }
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        assert_eq!(least, 1, "make before break");
        assert!(current(&world.a)[0] != old && world.a.children()[0].spi_in != child);
        assert_eq!((all(&world.a), all(&world.b)), (1, 1));
    }
}

/// R35: the IKE SA ends with its lifetime, whatever became of rekeys, and is made anew if it is wanted.
#[test]
fn r35_an_ike_sa_ends_with_its_lifetime() {
    let short = |policy| {
        with(policy, |c| {
            (c.rekey_time, c.over_time, c.rand_time) = (seconds(100), seconds(20), Some(Duration::ZERO));
            c.rekey = policy::RekeyBy::Peer;
        })
    };
    let mut world = tunnel_of(short(alice()), short(bob()));
    let old = current(&world.a).remove(0);
    world.pass(seconds(105));
    assert_eq!(current(&world.a)[0], old, "both leave the rekey to the other one");
    world.drop = |_| true;
    world.pass(seconds(18));
    world.drop = |_| false;
    world.pass(seconds(10));
    assert_one_tunnel(&world);
    assert_ne!(current(&world.a)[0], old);
    assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeDown { why: Ended::Expired, .. })));
}
/// By time, with what chance takes off it, and by one end only where it is told so.
#[test]
fn the_ike_sa_is_rekeyed_by_time() {
    for (rekey, first) in [(policy::RekeyBy::Both, 88..=100), (policy::RekeyBy::Peer, 178..=200)] {
        let mut world = tunnel_of(
            with(alice(), |c| (c.rekey_time, c.over_time, c.rekey) = (seconds(100), seconds(300), rekey)),
            with(bob(), |c| c.rekey_time = seconds(200)),
        );
        let begin = world.now;
        while rekeyed(&world.a) == 0 {
            assert!(world.turn(begin + seconds(300)));
        }
        assert!(first.contains(&(world.now - begin).as_secs()), "{:?}", world.now - begin);
        world.pass(seconds(1));
        assert_one_tunnel(&world);
    }
}
/// Before message ids run out (RFC 7296 section 2.2).
#[test]
fn r24_rekeyed_before_ids_end() {
    let mut world = tunnel_of(alice(), with(bob(), |c| c.dpd_delay = Duration::ZERO));
    world.jump_ids(u32::MAX - 0x8000);
    world.command_a(rekey(Some("lan")));
    world.pass(seconds(5));
    world.pass(seconds(40));
    assert_eq!((rekeyed(&world.a), rekeyed(&world.b)), (1, 1));
    assert_one_tunnel(&world);
}
/// The peer says of old packets nothing to the new IKE SA: numbers and keys are others.
#[test]
fn what_was_said_on_the_old_one_means_nothing_on_the_new_one() {
    let mut world = tunnel();
    world.command_a(rekey(None));
    world.pass(seconds(1));
    let log: Vec<Datagram> = world.log.iter().map(|(_, d)| d.clone()).collect();
    world.log.clear();
    for datagram in &log {
        world.deliver(datagram);
    }
    assert!(world.log.iter().all(|(_, datagram)| is_denial(datagram)));
    assert_works(&mut world);
}

#[test]
fn the_keys_of_the_next_one_are_shown_too_where_the_policy_asks_for_it() {
    let logged = |policy| with(policy, |c| c.keylog = true);
    let mut world = World::new(logged(alice()), logged(bob()));
    world.command_a(up());
    world.pass(seconds(1));
    world.command_a(rekey(None));
    world.pass(seconds(1));
    let last = |peer: &Peer| {
        let shown = peer.events.iter().filter_map(|e| if let Event::KeyLog(keys) = e { Some(keys) } else { None });
        let shown: Vec<_> = shown.map(|k| (k.spi_i, k.spi_r, k.initiator.encr.expose().to_vec())).collect();
        (shown.len(), shown.last().cloned().unwrap())
    };
    assert_eq!(last(&world.a), last(&world.b));
    let (count, (spi_i, ..)) = last(&world.a);
    assert_eq!((count, spi_i.to_string()), (2, current(&world.a)[0].0.clone()));
}
