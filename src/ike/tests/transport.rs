//! Transport mode (RFC 7296 sections 1.3.1 and 2.23.1), plain and behind NATs.
use super::*;
use crate::wire::payload::{Notify, Payload, TrafficSelectors};
use crate::wire::registry::{ExchangeType, NotifyType};

const NAT: &str = "198.51.100.1";

fn transport(policy: Policy, local: &str, remote: &str) -> Policy {
    with_child(policy, |c| {
        c.transport = true;
        c.local_ts = vec![local.parse().unwrap()];
        c.remote_ts = vec![remote.parse().unwrap()];
    })
}
fn selectors(peer: &Peer) -> (Vec<String>, Vec<String>) {
    let child = peer.children()[0];
    let words = |ts: &[crate::wire::selector::Selector]| ts.iter().map(ToString::to_string).collect();
    (words(&child.local_ts), words(&child.remote_ts))
}
fn established(alice: Policy, bob: Policy, nat: bool) -> World {
    let mut world = World::new(alice, bob);
    if nat {
        world.nat = Some((addr(NAT), 1000));
    }
    world.command_a(up());
    world.pass(seconds(1));
    world
}

#[test]
fn the_two_hosts_and_what_travels_between_them() {
    let alice = transport(alice(), "0.0.0.0/0", "0.0.0.0/0[tcp/443]");
    let bob = transport(bob(), "203.0.113.0/24[tcp/443]", "192.0.2.1");
    let mut world = established(alice, bob, false);
    assert_one_tunnel(&world);
    for peer in [&world.a, &world.b] {
        assert!(peer.children()[0].transport);
        assert_eq!(peer.children()[0].nat_original, None);
    }
    assert_eq!(selectors(&world.a), (vec![format!("{ALICE}/32")], vec![format!("{BOB}/32[tcp/443]")]));
    // Rekeys by either side stay in it.
    for command in [World::command_a, World::command_b] {
        command(&mut world, Command::Rekey { connection: "net".into(), child: Some("lan".into()) });
        world.pass(seconds(2));
        assert_one_tunnel(&world);
        assert!(world.a.children()[0].transport && world.b.children()[0].transport);
    }
}

#[test]
fn behind_a_nat_each_end_has_its_own_words_and_knows_the_others() {
    let alice = transport(alice(), "0.0.0.0/0", "0.0.0.0/0");
    let bob = with(transport(bob(), "0.0.0.0/0", "0.0.0.0/0"), |c| c.remote_addrs = vec![Remote::Any]);
    let mut world = established(alice, bob, true);
    assert_eq!((world.a.children().len(), world.b.children().len()), (1, 1), "{:?}", world.b.failures());
    for _ in 0..2 {
        assert_eq!(selectors(&world.a), (vec![format!("{ALICE}/32")], vec![format!("{BOB}/32")]));
        assert_eq!(selectors(&world.b), (vec![format!("{BOB}/32")], vec![format!("{NAT}/32")]));
        let (a, b) = (world.a.children()[0], world.b.children()[0]);
        assert!(a.transport && b.transport && a.path.udp && b.path.udp);
        // Bob's packets are written from himself to the NAT, Alice's from herself to Bob: their checksums say so.
        assert_eq!(a.nat_original, Some((addr(BOB), addr(NAT))));
        assert_eq!(b.nat_original, Some((addr(ALICE), addr(BOB))));
        world.command_b(Command::Rekey { connection: "net".into(), child: Some("lan".into()) });
        world.pass(seconds(2));
    }
}

#[test]
fn only_who_asks_for_it_gets_it_and_who_wants_it_takes_nothing_else() {
    let (a, b) = ("192.0.2.1", "203.0.113.7");
    let tunnel = |policy, local: &str, remote: &str| {
        with_child(policy, |c| {
            c.local_ts = vec![local.parse().unwrap()];
            c.remote_ts = vec![remote.parse().unwrap()];
        })
    };
    // Bob has a tunnel: he does not grant transport mode, and Alice has what he made deleted.
    let mut world = established(transport(alice(), a, b), tunnel(bob(), b, a), false);
    assert!(world.a.children().is_empty());
    assert!(world.a.failures().contains(&"child.mode"));
    world.pass(Duration::from_millis(200));
    assert!(world.b.children().is_empty());
    // Alice asks for a tunnel: Bob has none.
    let world = established(tunnel(alice(), a, b), transport(bob(), b, a), false);
    assert!(world.a.children().is_empty() && world.b.children().is_empty());
    assert!(world.b.failures().contains(&"child.mode"));
}

/// R32: what was not asked for is no answer.
#[test]
fn transport_mode_that_was_not_asked_for_is_refused() {
    let mut world = established(alice(), bob(), false);
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    world.drop = |d| d.is(ExchangeType::CREATE_CHILD_SA, true);
    world.command_a(up());
    let request = world.hold().pop().expect("CREATE_CHILD_SA");
    let mut proposals = esp("aes128gcm16");
    proposals[0].spi = vec![0, 0, 0x47, 0x11];
    let ts = |s: &str| TrafficSelectors { ranges: vec![s.parse().unwrap()], unknown: 0 };
    world.bob_answers(
        &request,
        &[
            Payload::Sa(proposals),
            Payload::Nonce(vec![7; 32]),
            Payload::TsI(ts("10.1.0.0/16")),
            Payload::TsR(ts("10.2.0.0/16")),
            Payload::Notify(Notify::new(NotifyType::USE_TRANSPORT_MODE, [])),
        ],
    );
    assert!(world.a.children().is_empty());
    assert!(world.a.failures().contains(&"answer.not_offered"));
}

/// RFC 7296 section 2.23.1: exactly one address on each side.
#[test]
fn selectors_of_more_than_one_address_are_no_transport_mode() {
    let any = "0.0.0.0/0";
    let mut world = established(transport(alice(), any, any), transport(bob(), any, any), false);
    let mut ask = |ours: &str, theirs: &str| {
        let mut proposals = esp("aes128gcm16");
        proposals[0].spi = vec![0, 0, 0x47, 0x11];
        let ts = |s: &str| TrafficSelectors { ranges: s.split(',').map(|s| s.parse().unwrap()).collect(), unknown: 0 };
        let payloads = [
            Payload::Sa(proposals),
            Payload::Nonce(vec![7; 32]),
            Payload::TsI(ts(ours)),
            Payload::TsR(ts(theirs)),
            Payload::Notify(Notify::new(NotifyType::USE_TRANSPORT_MODE, [])),
        ];
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &payloads).expect("an answer");
        answer.notifies.first().map(|n| n.kind)
    };
    for (ours, theirs) in [(any, BOB), (ALICE, any), ("192.0.2.1,192.0.2.2", BOB), ("192.0.2.99", BOB)] {
        assert_eq!(ask(ours, theirs), Some(NotifyType::TS_UNACCEPTABLE), "{ours} {theirs}");
    }
    assert_eq!(ask(&format!("{ALICE},{ALICE}[udp/53]"), BOB), Some(NotifyType::USE_TRANSPORT_MODE));
}
