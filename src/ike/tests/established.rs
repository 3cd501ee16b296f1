//! An established IKE SA: deletes, rekeys by the peer, uniqueness, policy changes.
use super::*;
use crate::ike::event::{ChildId, Ended};
use crate::wire::payload::{Delete, Notify, Payload, TrafficSelectors};
use crate::wire::registry::{ExchangeType, NotifyType};
use crate::wire::selector::Selector;
use wire::Datagram;

/// A tunnel, and the SPIs of Alice's child (inbound, outbound).
fn tunnel() -> (World, u32, u32) {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.pass(seconds(1));
    let (i, o) = (world.a.children()[0].spi_in, world.a.children()[0].spi_out);
    world.log.clear();
    (world, i, o)
}
fn delete(protocol: ProtocolId, spis: &[u32]) -> Payload {
    Payload::Delete(Delete { protocol, spis: spis.to_vec() })
}
fn rekey(spi: u32) -> Payload {
    let spi = spi.to_be_bytes().to_vec();
    Payload::Notify(Notify { protocol: ProtocolId::ESP, spi, ..Notify::new(NotifyType::REKEY_SA, Vec::new()) })
}
/// SA, Ni, TSi and TSr of Alice's child, with this SPI.
fn request(spi: u32, suite: &str) -> Vec<Payload> {
    let mut proposals = esp(suite);
    proposals[0].spi = spi.to_be_bytes().to_vec();
    let ts = |s: &str| crate::wire::payload::TrafficSelectors { ranges: vec![s.parse().unwrap()], unknown: 0 };
    vec![
        Payload::Sa(proposals),
        Payload::Nonce(vec![7; 32]),
        Payload::TsI(ts("10.1.0.0/16")),
        Payload::TsR(ts("10.2.0.0/16")),
    ]
}
fn ended(peer: &Peer) -> Vec<Ended> {
    let why = |e: &Event| match e {
        Event::ChildDown { why, .. } | Event::IkeDown { why, .. } => Some(*why),
        _ => None,
    };
    peer.events.iter().filter_map(why).collect()
}

#[test]
fn the_deletes_name_each_ones_own_inbound_spis() {
    let (mut world, spi_in, spi_out) = tunnel();
    let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &[delete(ProtocolId::ESP, &[spi_in])]).unwrap();
    assert_eq!(answer.deletes, [Delete { protocol: ProtocolId::ESP, spis: vec![spi_out] }]);
    assert_eq!(ended(&world.b), [Ended::ByPeer]);
    // R14: unknown by now, so it is answered without a Delete.
    let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &[delete(ProtocolId::ESP, &[spi_in, 1, 0])]).unwrap();
    assert!(answer.deletes.is_empty() && answer.notifies.is_empty());
    assert_eq!(world.b.ikes(), 1);
}

#[test]
fn both_delete_the_same_child_and_the_answers_are_empty() {
    let (mut world, ..) = tunnel();
    let one = || Command::Down { connection: "net".into(), child: Some("lan".into()) };
    world.command_a(one());
    world.command_b(one());
    world.pass(seconds(1));
    assert_eq!((ended(&world.a), ended(&world.b)), (vec![Ended::ByUs], vec![Ended::ByUs]));
    let answers: Vec<usize> =
        world.log.iter().filter(|(_, d)| d.header().response).map(|(_, d)| d.data.len()).collect();
    let requests: Vec<usize> =
        world.log.iter().filter(|(_, d)| !d.header().response).map(|(_, d)| d.data.len()).collect();
    assert_eq!((answers.len(), requests.len()), (2, 2));
    assert!(answers.iter().all(|len| *len == requests[0] - 12), "no Delete payload of 12 octets: R12");
}

#[test]
fn a_delete_of_the_ike_sa_is_answered_empty_and_implies_the_children() {
    let (mut world, spi_in, _) = tunnel();
    // Several deletes in one message, the IKE SA last (libreswan 67).
    let both = [delete(ProtocolId::ESP, &[spi_in]), delete(ProtocolId::IKE, &[])];
    let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &both).unwrap();
    assert!(answer.deletes.is_empty());
    assert_eq!(ended(&world.b), [Ended::ByPeer, Ended::ByPeer]);
    assert!(world.b.host.spis.is_empty());
}

#[test]
fn both_delete_the_ike_sa() {
    let (mut world, ..) = tunnel();
    world.command_a(down());
    world.command_b(down());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    assert_eq!(ended(&world.a), [Ended::ByUs, Ended::ByUs]);
    assert!(world.log.len() <= 4);
}

#[test]
fn a_rekey_of_a_child_by_the_peer() {
    for suite in ["aes128gcm16", "aes256-sha256-modp2048"] {
        let bob = with_child(bob(), |c| c.proposals.extend(esp("aes256-sha256-modp2048")));
        let mut world = World::new(alice(), bob);
        world.command_a(up());
        world.pass(seconds(1));
        let old = world.a.children()[0].spi_in;
        let mut payloads = request(0x4711_4711, suite);
        payloads.insert(0, rekey(old));
        let mut private = None;
        if suite.contains("modp") {
            let group = crate::crypto::ke::Group::from_id(crate::wire::registry::KeId::MODP_2048).unwrap();
            let secret = group.private(&mut crate::crypto::rng::SeededRng::new(5));
            payloads.push(Payload::Ke(crate::wire::payload::Ke { group: group.id(), data: group.public(&secret) }));
            private = Some((group, secret));
        }
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads);
        // With a key exchange the answer leaves when g^ir is there, after the step.
        if private.is_none() {
            let answer = answer.unwrap();
            assert!(answer.sa.is_some() && answer.nonce.is_some() && answer.ke.is_none());
            let children = world.b.children();
            assert_eq!(children.len(), 2, "the old one stays until it is deleted");
            assert_eq!(children[1].replaces, Some(children[0].id));
            assert_eq!((children[1].spi_out, &*children[1].child), (0x4711_4711, "lan"));
            world.alice_asks(ExchangeType::INFORMATIONAL, &[delete(ProtocolId::ESP, &[old])]).unwrap();
            assert_eq!(ended(&world.b), [Ended::Replaced]);
        } else {
            assert_eq!(world.b.children().len(), 2);
        }
    }
}

#[test]
fn a_rekey_of_what_is_not_there_names_the_spi_again() {
    let (mut world, spi_in, _) = tunnel();
    let mut payloads = request(0x4711_4711, "aes128gcm16");
    payloads.insert(0, rekey(0xdead_beef));
    let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).unwrap();
    let notify = answer.notify(NotifyType::CHILD_SA_NOT_FOUND).unwrap();
    assert_eq!((notify.protocol, notify.spi.as_slice()), (ProtocolId::ESP, &[0xde, 0xad, 0xbe, 0xef][..]));
    // Of what is being deleted: not now (R10).
    world.drop = |d| d.from.ip() == addr(BOB);
    world.command_b(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    payloads[0] = rekey(spi_in);
    let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).unwrap();
    assert!(answer.notify(NotifyType::TEMPORARY_FAILURE).is_some());
    assert_eq!(world.b.host.spis.len(), 1);
}

#[test]
fn a_further_child_with_bad_values_gets_the_notify_of_its_own_kind() {
    let (mut world, ..) = tunnel();
    let mut ask = |payloads: &[Payload]| {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, payloads).unwrap();
        answer.notifies.first().map(|n| n.kind)
    };
    assert_eq!(ask(&request(0x4711, "aes256gcm16")), Some(NotifyType::NO_PROPOSAL_CHOSEN));
    assert_eq!(ask(&request(255, "aes128gcm16")), Some(NotifyType::NO_PROPOSAL_CHOSEN), "a reserved SPI");
    let mut elsewhere = request(0x4711, "aes128gcm16");
    elsewhere[3] = Payload::TsR(crate::wire::payload::TrafficSelectors {
        ranges: vec!["10.77.0.0/16".parse().unwrap()],
        unknown: 0,
    });
    assert_eq!(ask(&elsewhere), Some(NotifyType::TS_UNACCEPTABLE));
    assert_eq!(ask(&request(0x4711, "aes128gcm16")), None);
    assert_eq!((world.b.ikes(), world.b.children().len()), (1, 2));
}

#[test]
fn no_more_children_than_the_limit() {
    let mut bob = bob();
    bob.limits.children = 3;
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    for i in 0..5 {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request(0x4711 + i, "aes128gcm16")).unwrap();
        assert_eq!(answer.notify(NotifyType::NO_ADDITIONAL_SAS).is_some(), i >= 2);
    }
    assert_eq!((world.b.children().len(), world.b.host.spis.len()), (3, 3));
}

#[test]
fn a_repeated_request_gets_the_stored_response_and_a_forged_one_nothing() {
    let (mut world, ..) = tunnel();
    let request = world.alice_seals(ExchangeType::CREATE_CHILD_SA, &request(0x4711, "aes128gcm16"));
    let answer = |world: &mut World, d: &Datagram| {
        world.b.handle(world.now, super::super::event::Input::Datagram { local: d.to, remote: d.from, data: &d.data })
    };
    let first = answer(&mut world, &request);
    assert_eq!(first.len(), 1);
    assert_eq!(answer(&mut world, &request), first);
    assert_eq!(world.b.children().len(), 2, "it is done once");
    let mut forged = request.clone();
    *forged.data.last_mut().unwrap() ^= 1;
    assert!(answer(&mut world, &forged).is_empty(), "never by the header alone");
}

#[test]
fn what_does_not_parse_inside_ends_the_ike_sa() {
    let (mut world, ..) = tunnel();
    let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &[Payload::Nonce(vec![1; 32])]).unwrap();
    assert!(answer.notify(NotifyType::INVALID_SYNTAX).is_some());
    assert_eq!((world.b.ikes(), world.b.children().len()), (0, 0));
    assert_eq!(world.b.failures(), ["message.malformed"]);
}

#[test]
fn a_second_ike_sa_with_the_same_names_takes_the_place_of_the_first() {
    let (mut world, ..) = tunnel();
    // Alice has lost her memory, and says INITIAL_CONTACT.
    world.a = Peer::new(addr(ALICE), 77);
    world.pass(seconds(1));
    world.command_a(Command::SetPolicy(Arc::new(alice())));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_eq!(ended(&world.b), [Ended::Replaced, Ended::Replaced]);
    assert_eq!(world.log.len(), 4, "she does not have the old one, so no Delete for it");
}

#[test]
fn uniqueness_is_a_matter_of_policy() {
    for (unique, expected) in [(Unique::Keep, 1), (Unique::Never, 2)] {
        let mut world = World::new(alice(), with(bob(), |c| c.unique = unique));
        world.command_a(up());
        world.pass(seconds(1));
        let old = std::mem::replace(&mut world.a, Peer::new(addr(ALICE), 78));
        world.pass(seconds(1));
        world.command_a(Command::SetPolicy(Arc::new(with(alice(), |c| c.unique = Unique::Never))));
        world.command_a(up());
        world.pass(seconds(1));
        assert_eq!(world.b.ikes(), expected, "{unique:?}");
        assert_eq!(world.a.ikes(), expected - 1);
        assert_eq!(old.ikes(), 1);
    }
}

#[test]
fn both_begin_at_once_and_both_have_the_same_in_the_end() {
    let start = |policy| with_child(policy, |c| c.start = StartAction::Start);
    let mut world = World::new(start(alice()), start(bob()));
    world.weather.delay = 10;
    world.pass(seconds(30));
    let spis = |peer: &Peer, inbound: bool| {
        let mut spis: Vec<u32> = peer.children().iter().map(|c| if inbound { c.spi_in } else { c.spi_out }).collect();
        spis.sort_unstable();
        spis
    };
    assert_one_tunnel(&world);
    assert_eq!((world.a.ikes(), spis(&world.a, true)), (world.b.ikes(), spis(&world.b, false)));
    assert_eq!(spis(&world.a, false), spis(&world.b, true));
}

#[test]
fn a_new_policy_leaves_alone_what_is_the_same() {
    let (mut world, ..) = tunnel();
    world.command_a(Command::SetPolicy(Arc::new(alice())));
    world.pass(seconds(1));
    assert!(world.log.is_empty());
    assert_one_tunnel(&world);
}

#[test]
fn a_shutdown_is_polite_and_short() {
    let (mut world, ..) = tunnel();
    world.command_a(Command::Shutdown);
    world.pass(seconds(1));
    assert!(matches!(world.a.events.last(), Some(Event::Drained)));
    assert_eq!(ended(&world.b), [Ended::ByPeer, Ended::ByPeer]);
    // With a dead peer it takes 2 s.
    let (mut world, ..) = tunnel();
    world.drop = |_| true;
    let begin = world.now;
    world.command_a(Command::Shutdown);
    while !matches!(world.a.events.last(), Some(Event::Drained)) {
        assert!(world.turn(begin + seconds(10)));
    }
    assert_eq!(world.now - begin, seconds(2));
    assert!(world.a.host.spis.is_empty());
}

/// Alice has asked for `lan` by CREATE_CHILD_SA, and her request is on its way.
pub(super) fn asking(alice: Policy, bob: Policy) -> (World, Datagram) {
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    world.command_a(up());
    let request = world.hold().remove(0);
    assert!(request.is(ExchangeType::CREATE_CHILD_SA, false));
    (world, request)
}
/// What Bob would answer.
pub(super) fn granted() -> Vec<Payload> {
    request(0x4711_0815, "aes128gcm16")
}

#[test]
fn what_was_not_asked_for_is_refused_and_disowned() {
    let (mut world, request) = asking(alice(), bob());
    world.bob_answers(&request, &granted());
    assert_eq!(world.a.children().len(), 1, "the answer alone is fine");
    for kind in [NotifyType::USE_TRANSPORT_MODE, NotifyType::IPCOMP_SUPPORTED] {
        let (mut world, request) = asking(alice(), bob());
        let mut answer = granted();
        answer.push(Payload::Notify(Notify::new(kind, [1, 2, 3])));
        world.bob_answers(&request, &answer);
        assert_eq!((world.a.failures(), world.a.children().len()), (vec!["answer.not_offered"], 0));
        assert!(world.hold()[0].is(ExchangeType::INFORMATIONAL, false));
    }
}

/// Ranges that cost 62 prefixes each, as many as a responder likes: what it makes of our offer is bounded, too.
#[test]
fn an_answer_that_costs_too_many_rules_is_refused_and_disowned() {
    let wide = |policy, local, remote| with(policy, |c| c.children = vec![child("lan", local, remote)]);
    let range: Selector = "0.0.0.1-255.255.255.254".parse().unwrap();
    for (count, fine) in [(66, true), (67, false)] {
        let alice = wide(alice(), "0.0.0.0/0", "10.2.0.0/16");
        let (mut world, request) = asking(alice, wide(bob(), "10.2.0.0/16", "0.0.0.0/0"));
        let mut answer = granted();
        answer.retain(|payload| !matches!(payload, Payload::TsI(_)));
        let ranges = (1..=count).map(|proto| Selector { proto, ..range }).collect();
        answer.push(Payload::TsI(TrafficSelectors { ranges, unknown: 0 }));
        world.bob_answers(&request, &answer);
        assert_eq!(world.a.children().len(), usize::from(fine), "{:?}", world.a.failures());
        assert_eq!(world.a.failures(), if fine { vec![] } else { vec!["ts.mismatch"] });
    }
}

#[test]
fn a_public_value_that_is_none_ends_the_ike_sa_with_a_delete() {
    let with_ke = |policy| with_child(policy, |c| c.proposals = esp("aes128gcm16-x25519"));
    for value in [vec![0; 32], vec![9; 31]] {
        let (mut world, request) = asking(with_ke(alice()), with_ke(bob()));
        let mut answer = super::established::request(0x4711_0815, "aes128gcm16-x25519");
        answer.push(Payload::Ke(crate::wire::payload::Ke {
            group: crate::wire::registry::KeId::CURVE25519,
            data: value,
        }));
        world.bob_answers(&request, &answer);
        world.pass(seconds(1));
        assert_eq!(world.a.failures(), ["answer.not_offered"]);
        assert!(ended(&world.b).contains(&Ended::ByPeer), "Bob is told");
        assert!(world.a.host.spis.is_empty() && world.a.ikes() == 0);
    }
}

#[test]
fn what_is_still_to_be_disowned_gives_its_spi_back_when_the_ike_sa_goes() {
    let two = with(alice(), |c| c.children.push(child("two", "10.3.0.0/16", "10.4.0.0/16")));
    let mut world = World::new(two, bob());
    world.command_a(Command::Up { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    world.command_a(up());
    let request = world.hold().remove(0);
    let mut answer = granted();
    answer[3] = Payload::TsR(crate::wire::payload::TrafficSelectors {
        ranges: vec!["10.0.0.0/8".parse().unwrap()],
        unknown: 0,
    });
    // Behind the request for `two`.
    world.bob_answers(&request, &answer);
    assert_eq!(world.a.failures(), ["ts.widened"]);
    world.command_a(down());
    world.pass(seconds(10));
    assert_eq!((world.a.ikes(), world.a.host.spis.len()), (0, 0));
}

#[test]
fn when_no_spi_is_left_the_child_is_tried_again() {
    let (mut world, ..) = tunnel();
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    world.a.host.no_spis = true;
    world.command_a(up());
    assert_eq!(world.a.failures(), ["limit.spis"]);
    world.a.host.no_spis = false;
    world.pass(seconds(2));
    assert_one_tunnel(&world);
}

#[test]
fn a_bad_public_value_of_the_peer_is_named_and_ends_the_ike_sa() {
    let with_ke = |policy| with_child(policy, |c| c.proposals = esp("aes128gcm16-x25519"));
    let mut world = World::new(with_ke(alice()), with_ke(bob()));
    world.command_a(up());
    world.pass(seconds(1));
    let mut payloads = request(0x4711, "aes128gcm16-x25519");
    payloads.push(Payload::Ke(crate::wire::payload::Ke {
        group: crate::wire::registry::KeId::CURVE25519,
        data: vec![1; 31],
    }));
    let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).unwrap();
    assert!(answer.notify(NotifyType::INVALID_SYNTAX).is_some());
    assert_eq!((world.b.failures(), world.b.ikes()), (vec!["message.malformed"], 0));
}

/// What a capture is read with: only where it is asked for, and what both ends say is the same.
#[test]
fn keys_are_shown_only_where_the_policy_asks_for_it() {
    let keys = |peer: &wire::Peer| {
        let log = peer.events.iter().filter_map(|e| if let Event::KeyLog(keys) = e { Some(keys) } else { None });
        log.map(|k| {
            let octets = [&k.initiator.encr, &k.initiator.integ, &k.responder.encr, &k.responder.integ];
            (k.spi_i, k.spi_r, k.cipher, octets.map(|secret| secret.expose().to_vec()))
        })
        .collect::<Vec<_>>()
    };
    let logged = |policy| {
        with(policy, |c| {
            c.keylog = true;
            c.proposals = ike("aes128-sha256-x25519");
        })
    };
    let silent = |policy| with(policy, |c| c.proposals = ike("aes128-sha256-x25519"));
    for (alice, bob, told) in [
        (logged(alice()), logged(bob()), [1, 1]),
        (logged(alice()), silent(bob()), [1, 0]),
        (silent(alice()), logged(bob()), [0, 1]),
    ] {
        let mut world = World::new(alice, bob);
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        let (a, b) = (keys(&world.a), keys(&world.b));
        assert_eq!([a.len(), b.len()], told);
        if let (Some(a), Some(b)) = (a.first(), b.first()) {
            assert_eq!(a, b);
            assert_eq!(a.3.each_ref().map(Vec::len), [16, 32, 16, 32]);
            assert_ne!(a.3[0], a.3[2]);
        }
    }
}

/// To begin or to end a key log leaves the tunnel as it is; the next keys follow the new wish.
#[test]
fn a_key_log_begins_and_ends_without_a_new_tunnel() {
    let logged = |policy| with(policy, |c| c.keylog = true);
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.pass(seconds(1));
    world.command_a(Command::SetPolicy(Arc::new(logged(alice()))));
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    let shown = |world: &World| world.a.events.iter().filter(|e| matches!(e, Event::KeyLog(_))).count();
    assert_eq!(shown(&world), 0);
    for (policy, expected) in [(logged(alice()), 1), (alice(), 1)] {
        world.command_a(Command::SetPolicy(Arc::new(policy)));
        world.command_a(down());
        world.pass(seconds(1));
        world.command_a(up());
        world.pass(seconds(5));
        assert_one_tunnel(&world);
        assert_eq!(shown(&world), expected);
    }
}

fn left(peer: &Peer) -> Vec<ChildId> {
    peer.events.iter().filter_map(|e| if let Event::ChildLeaving { id } = e { Some(*id) } else { None }).collect()
}
fn gone(peer: &Peer) -> Vec<ChildId> {
    peer.events.iter().filter_map(|e| if let Event::ChildDown { id, .. } = e { Some(*id) } else { None }).collect()
}
/// Both ends ask for the same child at once: both answer, and one of the two stays, as after a rekey by both (R4).
#[test]
fn both_ask_for_the_same_child_and_one_stays() {
    let dmz = |policy: Policy, local, remote| with(policy, |c| c.children.push(child("dmz", local, remote)));
    let (mut by_alice, mut by_bob) = (0, 0);
    for seed in 1..20 {
        let (a, b) = (dmz(alice(), "10.3.0.0/16", "10.4.0.0/16"), dmz(bob(), "10.4.0.0/16", "10.3.0.0/16"));
        let mut world = World::seeded(seed, a, b);
        let one = |name: &str| Command::Up { connection: "net".into(), child: Some(name.into()) };
        world.command_a(one("lan"));
        world.pass(seconds(1));
        world.weather.delay = 50;
        world.command_a(one("dmz"));
        world.command_b(one("dmz"));
        world.pass(seconds(1));
        let (a, b) = (world.a.children(), world.b.children());
        assert_eq!((a.len(), b.len()), (2, 2), "seed {seed}: {:?}", world.a.events);
        assert_mirrored(a[1], b[1]);
        // Who has made the one that goes asks for its end, and does not send on it from then on.
        let (winner, loser) = if a[1].initiator { (&world.a, &world.b) } else { (&world.b, &world.a) };
        assert_eq!((left(winner).len(), left(loser)), (0, gone(loser)), "seed {seed}");
        assert_eq!((&*a[1].child, world.a.host.spis.len(), world.b.host.spis.len()), ("dmz", 2, 2));
        if a[1].initiator { by_alice += 1 } else { by_bob += 1 }
    }
    assert!(by_alice > 0 && by_bob > 0, "the nonces decide: {by_alice} {by_bob}");
}
