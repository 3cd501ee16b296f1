//! Additional key exchanges (RFC 9370) by IKE_INTERMEDIATE, when the IKE SA is made (RFC 9242).
use super::wire::{Datagram, Weather};
use super::*;
use crate::ike::sa::Phase;
use crate::wire::message::Message;
use crate::wire::payload::{Ke, Notify, Payload};
use crate::wire::registry::{ExchangeType, KeId, NotifyType};

const HYBRID: &str = "aes128gcm16-prfsha256-x25519-ke1_mlkem768";

fn world(proposals: &str) -> World {
    let set = |policy| with(policy, |c| (c.proposals, c.fragmentation) = (ike(proposals), false));
    World::new(set(alice()), set(bob()))
}
pub(super) fn exchanges(world: &World) -> Vec<(ExchangeType, u32, bool)> {
    let of = |d: &Datagram| (d.header().exchange, d.header().id, d.header().response);
    world.log.iter().map(|(_, d)| of(d)).collect()
}
use ExchangeType as X;

#[test]
fn an_intermediate_exchange_stands_between_ike_sa_init_and_ike_auth() {
    let mut world = world(HYBRID);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    let expected = [
        (X::IKE_SA_INIT, 0, false),
        (X::IKE_SA_INIT, 0, true),
        (X::IKE_INTERMEDIATE, 1, false),
        (X::IKE_INTERMEDIATE, 1, true),
        (X::IKE_AUTH, 2, false),
        (X::IKE_AUTH, 2, true),
    ];
    assert_eq!(exchanges(&world), expected);
    assert_eq!((world.a.computed, world.b.computed), (2, 2), "each half once");
    let proposal = world.a.endpoint.status()[0].sas[0].proposal.clone().unwrap();
    assert_eq!(keyword::proposal(&proposal), HYBRID);
    // The IKE SA works under its last keys.
    world.command_a(down());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
}

#[test]
fn every_method_and_up_to_seven_of_them() {
    for (additional, count) in [
        ("ke1_mlkem512", 1),
        ("ke3_mlkem1024", 1),
        ("ke1_ecp256-ke2_ecp384-ke3_modp2048", 3),
        ("ke1_mlkem768-ke1_none", 1),
        ("ke1_none-ke2_mlkem768", 1),
        ("ke1_none", 0),
        ("ke1_mlkem512-ke2_mlkem768-ke3_mlkem1024-ke4_ecp256-ke5_ecp384-ke6_modp2048-ke7_modp1024", 7),
    ] {
        let mut world = world(&format!("aes256-sha384-x25519-{additional}"));
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        let intermediate = exchanges(&world).iter().filter(|(x, _, r)| *x == X::IKE_INTERMEDIATE && !r).count();
        assert_eq!(intermediate, count, "{additional}");
    }
}

/// AUTH covers the messages before they are cut (RFC 9242 section 3.3.2), and a lost fragment has all of them sent again.
#[test]
fn hybrid_establishments_in_fragments_and_bad_weather() {
    for seed in 0..100 {
        let set = |policy| with(policy, |c| c.proposals = ike("aes128gcm16-prfsha256-x25519-ke1_mlkem1024-ke2_ecp256"));
        let mut world = World::seeded(seed, set(alice()), set(bob()));
        world.weather = Weather { loss: 15, duplicate: 20, delay: 50, jitter: 100 };
        world.command_a(up());
        let until = world.now + seconds(90);
        while (world.a.children().is_empty() || world.b.children().is_empty()) && world.turn(until) {}
        assert!(!world.a.children().is_empty() && !world.b.children().is_empty(), "seed {seed}");
        let (a, b) = (world.a.children(), world.b.children());
        assert_mirrored(a[0], b[0]);
        let largest = world.log.iter().map(|(_, d)| d.data.len()).max();
        assert!(largest.unwrap() < 1500, "{largest:?}");
    }
}

#[test]
fn a_lost_response_is_sent_again_and_nothing_is_computed_twice() {
    let mut world = world(HYBRID);
    world.drop = |d| d.is(X::IKE_INTERMEDIATE, true);
    world.command_a(up());
    world.pass(seconds(3));
    let sent: Vec<_> = world.log.iter().filter(|(_, d)| d.header().exchange == X::IKE_INTERMEDIATE).collect();
    assert!(sent.len() >= 6, "{}", sent.len());
    for (_, d) in &sent {
        let first = sent.iter().find(|(_, f)| f.header().response == d.header().response).unwrap();
        assert_eq!(first.1.data, d.data, "octet for octet (R24)");
    }
    assert_eq!(world.b.computed, 2);
    world.drop = |_| false;
    world.pass(seconds(10));
    assert_one_tunnel(&world);
    assert_eq!(world.b.computed, 2);
}

#[test]
fn a_late_duplicate_of_the_request_is_answered_as_before() {
    let mut world = world(HYBRID);
    world.drop = |d| d.is(X::IKE_AUTH, false);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let request = world.log.iter().find(|(_, d)| d.is(X::IKE_INTERMEDIATE, false)).unwrap().1.clone();
    let before = world.log.len();
    world.deliver(&request);
    let again = &world.log[before..];
    let first = world.log.iter().find(|(_, d)| d.is(X::IKE_INTERMEDIATE, true)).unwrap();
    assert_eq!(again.iter().map(|(_, d)| &d.data).collect::<Vec<_>>(), [&first.1.data]);
    // One octet off, and it is as if it had never come.
    let mut forged = request;
    *forged.data.last_mut().unwrap() ^= 1;
    let before = world.log.len();
    world.deliver(&forged);
    assert_eq!(world.log.len(), before);
}

/// RFC 9370 section 2.2.1: to a peer that cannot do it, the proposals without.
#[test]
fn a_peer_without_additional_exchanges_takes_the_proposal_without() {
    let set = |policy, list| with(policy, |c| c.proposals = ike(list));
    let both = "aes128gcm16-prfsha256-x25519-ke1_mlkem768,aes128gcm16-prfsha256-x25519";
    for (a, b) in [(both, "aes128gcm16-prfsha256-x25519"), ("aes128gcm16-prfsha256-x25519", both)] {
        let mut world = World::new(set(alice(), a), set(bob(), b));
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        assert_eq!(world.log.len(), 4);
    }
    let mut world = World::new(set(alice(), HYBRID), set(bob(), "aes128gcm16-prfsha256-x25519"));
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.failures().first()), (0, Some(&"proposal.ke")));
}

/// The message without one of its notifies.
fn without(d: &Datagram, kind: NotifyType) -> Datagram {
    let mut message = Message::parse(&d.data).unwrap();
    message.payloads.retain(|p| !matches!(p, Payload::Notify(n) if n.kind == kind));
    Datagram { data: message.encode(), ..d.clone() }
}

#[test]
fn without_the_announcement_nothing_additional_is_chosen_or_accepted() {
    // Neither by Bob, who sees a proposal without beside it ..
    let both = "aes128gcm16-prfsha256-x25519-ke1_mlkem768,aes128gcm16-prfsha256-x25519";
    let mut world = world(both);
    world.drop = |d| d.is(X::IKE_SA_INIT, false);
    world.command_a(up());
    let request = without(&world.log[0].1, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED);
    world.deliver(&request);
    let response = Message::parse(&world.log[1].1.data).unwrap();
    let Payload::Sa(chosen) = &response.payloads[0] else { panic!("{response:?}") };
    assert_eq!((chosen[0].number, keyword::proposal(&chosen[0]).as_str()), (2, "aes128gcm16-prfsha256-x25519"));
    // .. nor by Alice, whatever Bob chose.
    let mut world = self::world(HYBRID);
    world.drop = |d| d.is(X::IKE_SA_INIT, true);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let response = without(&world.log[1].1, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED);
    world.deliver(&response);
    assert_eq!((world.a.failures(), world.a.computed), (vec!["answer.not_offered"], 0));
}

/// Alice's own words under the keys that she has.
fn alice_says(world: &mut World, exchange: ExchangeType, id: u32, payloads: &[Payload]) -> Datagram {
    let sa = world.a.endpoint.sas.values_mut().next().unwrap();
    let header = sa.core.header(exchange, id, false);
    let (from, to) = (sa.core.local, sa.core.remote);
    let sealed = sa.phase.channel().unwrap().seal(header, payloads, usize::MAX);
    Datagram { from, to, data: sealed.datagrams()[0].clone(), dont_fragment: false }
}

#[test]
fn a_public_value_that_is_none_ends_the_attempt_and_costs_nothing() {
    let key = vec![0xff; 1184];
    for ke in [
        Ke { group: KeId::ML_KEM_768, data: key.clone() },
        Ke { group: KeId::ML_KEM_768, data: vec![1; 1183] },
        Ke { group: KeId::ML_KEM_768, data: Vec::new() },
        Ke { group: KeId::ML_KEM_512, data: vec![1; 800] },
        Ke { group: KeId::CURVE25519, data: vec![9; 32] },
    ] {
        let mut world = world(HYBRID);
        world.drop = |d| d.is(X::IKE_INTERMEDIATE, false);
        world.command_a(up());
        world.pass(Duration::from_millis(100));
        let bad = alice_says(&mut world, X::IKE_INTERMEDIATE, 1, &[Payload::Ke(ke.clone())]);
        world.deliver(&bad);
        assert_eq!(world.b.computed, 1, "{:?}: g^ir alone", ke.group);
        assert_eq!(world.b.failures(), ["message.malformed"]);
        // Also a good one is refused now, with the same octets.
        let good = world.log.iter().find(|(_, d)| d.is(X::IKE_INTERMEDIATE, false)).unwrap().1.clone();
        world.deliver(&good);
        let answers: Vec<_> = world.log.iter().filter(|(_, d)| d.is(X::IKE_INTERMEDIATE, true)).collect();
        assert_eq!((answers.len(), &answers[0].1.data, world.b.computed), (2, &answers[1].1.data, 1));
        world.pass(seconds(1));
        assert_eq!(world.a.last_failure().unwrap().code, "peer.refused");
        assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    }
}

#[test]
fn nothing_comes_before_its_turn() {
    let mut world = world("aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke2_ecp256");
    world.drop = |d| d.is(X::IKE_INTERMEDIATE, false);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let good = world.log.iter().find(|(_, d)| d.is(X::IKE_INTERMEDIATE, false)).unwrap().1.clone();
    let (spi, answers) = (Ke { group: KeId::ECP_256, data: vec![4; 64] }, world.sent_by(BOB).len());
    for (exchange, id) in
        [(X::IKE_AUTH, 1), (X::IKE_AUTH, 2), (X::CREATE_CHILD_SA, 1), (X::INFORMATIONAL, 1), (X::IKE_INTERMEDIATE, 2)]
    {
        let early = alice_says(&mut world, exchange, id, &[Payload::Ke(spi.clone())]);
        world.deliver(&early);
        assert_eq!((world.sent_by(BOB).len(), world.b.failures().len()), (answers, 0), "{exchange} {id}");
    }
    world.deliver(&good);
    assert_eq!(world.sent_by(BOB).len(), answers + 1);
    let third = alice_says(&mut world, X::IKE_INTERMEDIATE, 3, &[]);
    world.deliver(&third);
    world.drop = |_| false;
    world.pass(seconds(5));
    assert_one_tunnel(&world);
    assert_eq!(world.b.computed, 3);
}

#[test]
fn an_answer_that_is_none_ends_the_attempt() {
    for payloads in [
        vec![],
        vec![Payload::Ke(Ke { group: KeId::ML_KEM_768, data: vec![1; 1087] })],
        vec![Payload::Ke(Ke { group: KeId::ML_KEM_512, data: vec![1; 768] })],
        vec![Payload::Notify(Notify::new(NotifyType::INVALID_SYNTAX, []))],
    ] {
        let mut world = world(HYBRID);
        world.drop = |d| d.is(X::IKE_INTERMEDIATE, true);
        world.command_a(up());
        world.pass(Duration::from_millis(100));
        let sa = world.b.endpoint.sas.values_mut().next().unwrap();
        let header = sa.core.header(X::IKE_INTERMEDIATE, 1, true);
        let Phase::HalfOpen(half) = &mut sa.phase else { panic!("half-open") };
        let sealed = half.previous.as_mut().unwrap().seal(header, &payloads, usize::MAX);
        let (from, to) = (sa.core.local, sa.core.remote);
        world.deliver(&Datagram { from, to, data: sealed.datagrams()[0].clone(), dont_fragment: false });
        assert_eq!(world.a.failures().len(), 1, "{payloads:?}");
        assert_eq!(world.a.computed, 1);
    }
}

/// A ciphertext for another key is no error by itself (FIPS 203): the keys differ, so the response to IKE_AUTH never opens.
#[test]
fn a_ciphertext_of_somebody_else_leads_nowhere() {
    let mut world = world(HYBRID);
    world.drop = |d| d.is(X::IKE_INTERMEDIATE, true);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let sa = world.b.endpoint.sas.values_mut().next().unwrap();
    let header = sa.core.header(X::IKE_INTERMEDIATE, 1, true);
    let Phase::HalfOpen(half) = &mut sa.phase else { panic!("half-open") };
    let ke = Payload::Ke(Ke { group: KeId::ML_KEM_768, data: vec![7; 1088] });
    let sealed = half.previous.as_mut().unwrap().seal(header, &[ke], usize::MAX);
    let (from, to) = (sa.core.local, sa.core.remote);
    world.deliver(&Datagram { from, to, data: sealed.datagrams()[0].clone(), dont_fragment: false });
    world.drop = |_| false;
    world.pass(seconds(5));
    assert_eq!((world.a.ikes(), world.b.ikes(), world.b.failures().len()), (0, 0, 0));
}
