//! What an authenticated peer may say and hold (issue: limits that hold under attack), and oddities of rekeys that were seen in the field.
use super::*;
use crate::ike::event::Ended;
use crate::wire::payload::{Delete, Notify, Payload, TrafficSelectors};
use crate::wire::registry::{ExchangeType, NotifyType};

fn tunnel() -> World {
    tunnel_of(alice(), bob())
}
fn rekey_sa(protocol: ProtocolId, spi: u32) -> Payload {
    let spi = spi.to_be_bytes().to_vec();
    Payload::Notify(Notify { protocol, spi, ..Notify::new(NotifyType::REKEY_SA, Vec::new()) })
}
fn delete(spi: u32) -> Payload {
    Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![spi] })
}
fn selectors(list: &str) -> TrafficSelectors {
    TrafficSelectors { ranges: list.split(',').map(|s| s.parse().unwrap()).collect(), unknown: 0 }
}
/// SA, nonce, TSi and TSr of Alice's child, with this SPI.
pub(super) fn child_of(spi: u32, ts_i: &str, ts_r: &str) -> Vec<Payload> {
    let mut proposals = esp("aes128gcm16");
    proposals[0].spi = spi.to_be_bytes().to_vec();
    vec![
        Payload::Sa(proposals),
        Payload::Nonce(vec![7; 32]),
        Payload::TsI(selectors(ts_i)),
        Payload::TsR(selectors(ts_r)),
    ]
}
pub(super) fn rekey_request(old: u32, new: u32) -> Vec<Payload> {
    let mut payloads = child_of(new, "10.1.0.0/16", "10.2.0.0/16");
    payloads.insert(0, rekey_sa(ProtocolId::ESP, old));
    payloads
}

/// strongSwan 2945: the same child is rekeyed twice before it is deleted; and then what was made twice goes, one after the other.
#[test]
fn a_child_is_rekeyed_twice_before_it_is_deleted() {
    let mut world = tunnel();
    let (old, id) = (world.a.children()[0].spi_in, world.b.children()[0].id);
    for new in [0x1111, 0x2222] {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &rekey_request(old, new)).unwrap();
        assert!(answer.sa.is_some());
    }
    assert_eq!(world.b.children().len(), 3);
    for (spi, left) in [(old, 2), (0x1111, 1), (0x2222, 0), (0x2222, 0)] {
        world.alice_asks(ExchangeType::INFORMATIONAL, &[delete(spi)]).unwrap();
        assert_eq!(world.b.children().len(), left);
    }
    let replaced = |e: &Event| matches!(e, Event::ChildDown { id: gone, why: Ended::Replaced, .. } if *gone == id);
    assert!(world.b.events.iter().any(replaced));
}
/// The new one is deleted, and the old one is not: it is in use again.
#[test]
fn the_old_child_is_in_use_again_when_the_new_one_goes() {
    let mut world = tunnel();
    let old = world.a.children()[0].spi_in;
    world.alice_asks(ExchangeType::CREATE_CHILD_SA, &rekey_request(old, 0x1111)).unwrap();
    world.alice_asks(ExchangeType::INFORMATIONAL, &[delete(0x1111)]).unwrap();
    world.each_established(BOB, |est| assert!(est.has("lan")));
    world.command_b(rekey(Some("lan")));
    assert!(world.hold()[0].is(ExchangeType::CREATE_CHILD_SA, false));
}
/// What replaces is not what is added, but only once.
#[test]
fn children_are_bounded_however_they_are_asked_for() {
    let mut bob = bob();
    bob.limits.children = 3;
    let mut world = tunnel_of(alice(), bob);
    let old = world.a.children()[0].spi_in;
    let mut refused = 0;
    for i in 0..20 {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &rekey_request(old, 0x1000 + i)).unwrap();
        refused += usize::from(answer.notify(NotifyType::NO_ADDITIONAL_SAS).is_some());
    }
    assert_eq!((world.b.children().len(), refused), (3, 18));
    // Full, and what is up can still be rekeyed.
    let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &rekey_request(0x1000, 0x2000)).unwrap();
    assert!(answer.sa.is_some());
    // The peer owes us Deletes: what it does not delete we delete.
    world.drop = |d| d.from.ip() == addr(ALICE);
    world.pass(seconds(181));
    let deletes = world.sent_by(BOB).iter().filter(|d| d.is(ExchangeType::INFORMATIONAL, false)).count();
    assert!(deletes >= 1);
}
/// A peer that rekeys the IKE SA again and again and deletes nothing.
#[test]
fn ike_sas_are_bounded_however_often_they_are_rekeyed() {
    let quiet = |policy| with(policy, |c| c.dpd_delay = Duration::ZERO);
    let mut world = tunnel_of(quiet(alice()), quiet(bob()));
    world.drop = |d| d.is(ExchangeType::INFORMATIONAL, false);
    for _ in 0..20 {
        world.command_a(rekey(None));
        world.pass(seconds(2));
        for peer in [&world.a, &world.b] {
            assert!(peer.endpoint.sas.len() <= 3, "{}", peer.endpoint.sas.len());
        }
    }
    assert_one_tunnel(&world);
    assert_eq!(world.b.events.iter().filter(|e| matches!(e, Event::IkeRekeyed { .. })).count(), 20);
    world.drop = |_| false;
    world.pass(seconds(250));
    assert_eq!((world.a.endpoint.sas.len(), world.b.endpoint.sas.len()), (1, 1));
}

/// CVE-2023-38710: the answer does not copy a protocol that is none.
#[test]
fn a_rekey_of_another_protocol_finds_nothing() {
    for protocol in [0, 1, 2, 4, 255].map(ProtocolId) {
        let mut world = tunnel();
        let mut payloads = rekey_request(1, 0x1111);
        payloads[0] = rekey_sa(protocol, world.a.children()[0].spi_in);
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).unwrap();
        let notify = answer.notify(NotifyType::CHILD_SA_NOT_FOUND).unwrap();
        assert_eq!((notify.protocol, world.b.children().len()), (ProtocolId::ESP, 1));
    }
}
/// SPIs of other lengths name nothing either.
#[test]
fn a_rekey_with_an_spi_of_another_length_finds_nothing() {
    for spi in [vec![], vec![1], vec![0; 3], vec![1; 5], vec![1; 8], vec![1; 255]] {
        let mut world = tunnel();
        let mut payloads = rekey_request(1, 0x1111);
        let notify = Notify { protocol: ProtocolId::ESP, spi, ..Notify::new(NotifyType::REKEY_SA, Vec::new()) };
        payloads[0] = Payload::Notify(notify);
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).unwrap();
        assert!(answer.notify(NotifyType::CHILD_SA_NOT_FOUND).is_some() && world.b.ikes() == 1);
    }
}

/// R1, RFC 7296 section 2.9.2: what is in use stays in use. Windows asks for everything; less than before is not taken.
#[test]
fn r01_a_rekey_does_not_narrow() {
    for (ts_i, ts_r, good) in [
        ("10.1.0.0/16", "10.2.0.0/16", true),
        ("0.0.0.0/0", "0.0.0.0/0", true),
        ("10.0.0.0/8,192.168.0.0/16", "10.2.0.0/15", true),
        ("10.1.0.0/17", "10.2.0.0/16", false),
        ("10.1.0.0/16[tcp]", "10.2.0.0/16", false),
        ("10.1.0.5/32", "10.2.0.0/16", false),
        ("10.7.0.0/16", "10.2.0.0/16", false),
    ] {
        let mut world = tunnel();
        let mut payloads = child_of(0x1111, ts_i, ts_r);
        payloads.insert(0, rekey_sa(ProtocolId::ESP, world.a.children()[0].spi_in));
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).unwrap();
        assert_eq!(answer.notify(NotifyType::TS_UNACCEPTABLE).is_none(), good, "{ts_i} {ts_r}");
        if good {
            let said = (answer.ts_i.unwrap(), answer.ts_r.unwrap());
            assert_eq!(said, (selectors("10.1.0.0/16"), selectors("10.2.0.0/16")));
        }
        assert_eq!(world.b.children().len(), if good { 2 } else { 1 });
    }
}
/// The same of an answer: it is not taken, the peer deletes what it has made, and the old child lives on.
#[test]
fn r01_an_answer_that_narrows_is_not_taken() {
    for (ts_i, ts_r, code) in [
        ("10.1.0.0/17", "10.2.0.0/16", "ts.mismatch"),
        ("10.1.0.0/16", "10.2.0.0/16[udp]", "ts.mismatch"),
        ("10.0.0.0/8", "10.2.0.0/16", "ts.widened"),
    ] {
        let mut world = tunnel();
        let old = world.a.children()[0].id;
        world.command_a(rekey(Some("lan")));
        let request = world.catch(ALICE);
        world.bob_answers(&request, &child_of(0x1111, ts_i, ts_r));
        assert_eq!((world.a.failures(), world.a.children()[0].id), (vec![code], old));
        assert!(world.catch(ALICE).is(ExchangeType::INFORMATIONAL, false));
    }
}
/// R1: selectors and suite of a rekey are those in use, and nothing of a packet stands in front, whatever else the policy allows.
#[test]
fn r01_a_rekey_offers_what_is_in_use() {
    let wide = |policy, local: &str, remote: &str, list: &str| {
        with(policy, |c| {
            let wide = (*child("lan", local, remote)).clone();
            c.children = vec![Arc::new(ChildPolicy { proposals: esp(list), ..wide })];
        })
    };
    let alice = wide(alice(), "10.0.0.0/8", "10.0.0.0/8", "aes256gcm16-aes128gcm16-esn-noesn,aes128-sha256");
    let bob = wide(bob(), "10.2.0.0/16", "10.1.0.0/16", "aes128gcm16-noesn");
    let mut world = tunnel_of(alice, bob);
    world.each_established(ALICE, |est| {
        let child = &est.children[0];
        let used = (&child.proposal, &child.policy.proposals);
        let first = crate::ike::negotiate::renewal(used.0, used.1, false);
        assert_eq!(first.iter().map(keyword::proposal).collect::<Vec<_>>(), ["aes128gcm16"]);
        let later = crate::ike::negotiate::renewal(used.0, used.1, true);
        assert_eq!((later.len(), &later[0].transforms), (3, &first[0].transforms));
    });
    world.command_a(rekey(Some("lan")));
    let request = world.catch(ALICE);
    let asked = world.bob_reads(&request);
    assert_eq!((asked.ts_i.unwrap(), asked.ts_r.unwrap()), (selectors("10.1.0.0/16"), selectors("10.2.0.0/16")));
    assert_eq!(asked.sa.unwrap().iter().map(keyword::proposal).collect::<Vec<_>>(), ["aes128gcm16"]);
    let named = asked.notifies.iter().find(|n| n.kind == NotifyType::REKEY_SA).unwrap();
    let ours = world.a.children()[0].spi_in.to_be_bytes();
    assert_eq!((named.protocol, named.spi.as_slice(), named.data.len()), (ProtocolId::ESP, &ours[..], 0));
    world.deliver(&request);
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_eq!(world.a.children()[0].local_ts, selectors("10.1.0.0/16").ranges);
}

/// strongSwan 2477: our own rekey fails in a collision; what the peer has made is used, and nothing is tried again.
#[test]
fn what_the_peer_has_made_stays_when_our_own_rekey_fails() {
    for kind in [NotifyType::TS_UNACCEPTABLE, NotifyType::NO_PROPOSAL_CHOSEN, NotifyType::CHILD_SA_NOT_FOUND] {
        let mut world = tunnel();
        let old = world.a.children()[0].id;
        world.command_a(rekey(Some("lan")));
        world.command_b(rekey(Some("lan")));
        let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&of_b);
        world.bob_answers(&of_a, &[Payload::Notify(Notify::new(kind, Vec::new()))]);
        world.pass(seconds(60));
        assert_one_tunnel(&world);
        let new = world.a.children()[0];
        assert_eq!((new.replaces, new.initiator, new.inbound_only), (Some(old), false, false));
        assert!(world.a.failures().is_empty(), "R5: what is rekeyed is no failure");
        let why = world.a.events.iter().find_map(|e| match e {
            Event::ChildDown { id, why, .. } if *id == old => Some(*why),
            _ => None,
        });
        assert_eq!(why, Some(Ended::Replaced));
    }
}
/// What stands in the field beside a rekey and means nothing to us (MikroTik's configuration payload, notifies that nobody knows).
#[test]
fn known_payloads_in_unknown_places_and_unknown_notifies_are_ignored() {
    let mut world = tunnel();
    let mut payloads = rekey_request(world.a.children()[0].spi_in, 0x1111);
    payloads.insert(
        1,
        Payload::Cfg(crate::wire::payload::Cfg { kind: crate::wire::registry::CfgType(1), attributes: Vec::new() }),
    );
    payloads.push(Payload::Notify(Notify::new(NotifyType(45_000), [1, 2, 3])));
    payloads.push(Payload::Vendor(b"whoever".to_vec()));
    payloads.reverse();
    let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).unwrap();
    assert!(answer.sa.is_some() && world.b.children().len() == 2);
}
