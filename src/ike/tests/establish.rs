//! Setting up: suites, roles, addresses, children.
use super::super::event::{Input, Seen};
use super::*;
use crate::ike::status::State;
use crate::wire::registry::{ExchangeType, NotifyType};
use wire::{Datagram, Weather};

#[test]
fn alice_brings_up_the_tunnel_and_takes_it_down() {
    let mut world = World::new(alice(), bob());
    assert_eq!(world.a.state(), State::Down);
    world.command_a(up());
    assert_eq!(world.a.state(), State::Connecting);
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_eq!((world.a.state(), world.b.state()), (State::Up, State::Up));
    assert_eq!(world.log.len(), 4, "two exchanges and nothing else");
    assert!(world.log.iter().all(|(_, d)| d.from.port() == 500), "no NAT: port 500");
    assert!(!world.a.children()[0].path.udp);
    world.command_a(down());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes(), world.a.children().len(), world.b.children().len()), (0, 0, 0, 0));
    assert_eq!((world.a.state(), world.b.state()), (State::Down, State::Down));
    assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty(), "all SPIs are given back");
    world.pass(seconds(600));
    assert_eq!(world.a.ikes(), 0, "what is down stays down");
}

#[test]
fn every_suite_of_the_table() {
    for suite in [
        "aes256gcm16-prfsha384-ecp384",
        "aes256-sha256-modp2048",
        "aes128-sha1-modp1024",
        "chacha20poly1305-prfsha256-x25519",
        "aes192-sha384-modp3072",
        "aes256-sha512-ecp256",
        "aes192gcm16-prfsha512-modp4096",
        "aes128-sha256-modp1536",
        "aes128ccm16-prfaesxcbc-ecp521",
        "aes256ccm8-prfaescmac-modp6144",
        "aes128-aescmac-x25519",
        "aes256-aesxcbc-modp8192",
        "aes192gcm8-prfsha256-x25519",
    ] {
        let set = |policy| with(policy, |c| c.proposals = ike(suite));
        let mut world = World::new(set(alice()), set(bob()));
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        let status = &world.a.endpoint.status()[0].sas[0];
        let mut ours = ike(suite)[0].transforms.clone();
        ours.retain(|t| status.proposal.as_ref().unwrap().transforms.contains(t));
        assert_eq!(ours, ike(suite)[0].transforms);
    }
}

#[test]
fn every_esp_suite_with_and_without_extended_sequence_numbers() {
    for suite in [
        "aes256gcm16-esn",
        "chacha20poly1305",
        "aes256-sha256",
        "aes128-sha1-esn",
        "aes192-sha512",
        "aes192gcm16-modp2048",
        "aes192ccm12-esn",
        "aes128gcm12",
        "aes256gmac-esn",
        "aes256-aesxcbc",
        "aes128-aescmac-esn",
    ] {
        let set = |policy| with_child(policy, |c| c.proposals = esp(suite));
        let mut world = World::new(set(alice()), set(bob()));
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        assert_eq!(world.a.children()[0].esn, suite.ends_with("-esn"), "{suite}");
    }
}

#[test]
fn every_kind_of_identity() {
    let ids = [
        Id { kind: IdType::IPV4_ADDR, data: vec![192, 0, 2, 1] },
        Id { kind: IdType::IPV6_ADDR, data: vec![7; 16] },
        name_id("alice.example"),
        Id { kind: IdType::RFC822_ADDR, data: b"alice@example".to_vec() },
        Id { kind: IdType::KEY_ID, data: vec![0, 1, 2, 255] },
        Id { kind: IdType::DER_ASN1_DN, data: vec![0x30, 0] },
    ];
    for id in ids {
        let secrets = vec![SharedSecret {
            ids: vec![IdMatch::Exact(id.clone()), IdMatch::Exact(name_id("bob"))],
            ..secret(&["x"], SECRET)
        }];
        let mut alice = with(alice(), |c| c.local_id = Some(id.clone()));
        let mut bob = with(bob(), |c| c.remote_id = IdMatch::Exact(id.clone()));
        (alice.secrets, bob.secrets) = (secrets.clone(), secrets);
        let mut world = World::new(alice, bob);
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        assert_eq!(world.b.endpoint.status()[0].sas[0].remote_id, Some(id));
    }
}

#[test]
fn an_address_is_the_identity_when_none_is_configured() {
    let id = |ip: &str| crate::ike::directory::id_of(addr(ip));
    let set = |mut policy: Policy, remote: &str| {
        policy.secrets[0].ids = vec![IdMatch::Exact(id(ALICE)), IdMatch::Exact(id(BOB))];
        with(policy, |c| {
            c.local_id = None;
            c.remote_id = IdMatch::Exact(id(remote));
        })
    };
    let mut world = World::new(set(alice(), BOB), set(bob(), ALICE));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}

#[test]
fn names_of_any_case_are_one_identity() {
    let mut bob = with(bob(), |c| c.remote_id = IdMatch::Exact(name_id("ALICE")));
    bob.secrets = vec![secret(&["Alice"], SECRET)];
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}

#[test]
fn the_secret_that_names_both_comes_before_the_one_for_everybody() {
    let mut bob = bob();
    let any = SharedSecret { ids: vec![IdMatch::Any], ..secret(&["any"], "for everybody") };
    bob.secrets = vec![any, secret(&["alice", "carol"], "with carol"), secret(&["alice", "bob"], SECRET)];
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}

#[test]
fn behind_a_nat_they_move_to_4500_and_alice_keeps_the_mapping_alive() {
    let nat = addr("198.51.100.9");
    let bob = with(bob(), |c| c.remote_addrs = vec![Remote::Any]);
    let mut world = World::new(alice(), bob);
    world.nat = Some((nat, 10_000));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    let ports: Vec<u16> = world.sent_by(ALICE).iter().map(|d| d.from.port()).collect();
    assert_eq!(ports, [500, 4500]);
    let (a, b) = (world.a.children()[0].path, world.b.children()[0].path);
    assert!(a.udp && b.udp && !a.may_move && b.may_move);
    assert_eq!(b.remote, (nat, 14_500).into());
    assert_eq!((world.a.endpoint.status()[0].sas[0].nat, world.b.endpoint.status()[0].sas[0].nat), ("local", "remote"));
    assert_eq!(world.b.children()[0].peer, 1);
    let before = world.now;
    world.pass(seconds(100));
    assert!(world.a.keepalives.len() >= 3 && world.b.keepalives.is_empty());
    let first = world.a.keepalives[0] - before;
    assert!(first >= seconds(18) && first <= seconds(20));
}

/// RFC 3948 section 4: a keepalive is for when nothing else was sent.
#[test]
fn esp_keeps_the_mapping_alive_as_well() {
    let bob = with(bob(), |c| c.remote_addrs = vec![Remote::Any]);
    let quiet = with(alice(), |c| c.dpd_delay = Duration::ZERO);
    let mut world = World::new(quiet, with(bob, |c| c.dpd_delay = Duration::ZERO));
    world.nat = Some((addr("198.51.100.9"), 10_000));
    world.command_a(up());
    world.pass(seconds(1));
    let spi = world.a.children()[0].spi_in;
    let mut last = world.now;
    for _ in 0..50 {
        last = world.now;
        world.pass(seconds(2));
        world.input_a(Input::EspSeen(&Seen { since: last, heard: vec![spi], sent: vec![spi], ..Seen::default() }));
    }
    assert!(world.a.keepalives.is_empty(), "{:?}", world.a.keepalives);
    // What only comes keeps no mapping of ours alive.
    for _ in 0..20 {
        let since = world.now;
        world.pass(seconds(2));
        world.input_a(Input::EspSeen(&Seen { since, heard: vec![spi], ..Seen::default() }));
    }
    let first = world.a.keepalives[0] - last;
    assert!(first >= seconds(18) && first <= seconds(20), "{first:?}");
}

#[test]
fn a_mapping_that_changes_is_followed() {
    let bob = with(bob(), |c| c.remote_addrs = vec![Remote::Any]);
    let mut world = World::new(alice(), bob);
    world.nat = Some((addr("198.51.100.9"), 10_000));
    world.command_a(up());
    world.pass(seconds(1));
    world.nat = Some((addr("198.51.100.9"), 20_000));
    // Alice asks whether Bob lives: an authentic request from elsewhere.
    world.pass(seconds(40));
    let moved = world
        .b
        .events
        .iter()
        .find_map(|e| if let Event::PathChanged { path, .. } = e { Some(path.remote) } else { None });
    assert_eq!(moved, Some((addr("198.51.100.9"), 24_500).into()));
    let spi = world.b.children()[0].spi_in;
    let elsewhere = (addr("198.51.100.9"), 34_500).into();
    world.input_b(super::super::event::Input::EspMoved { spi, remote: elsewhere });
    assert_eq!(world.b.endpoint.status()[0].sas[0].remote, elsewhere);
    // Alice sees no NAT around Bob: his address stays.
    let spi = world.a.children()[0].spi_in;
    world.input_a(super::super::event::Input::EspMoved { spi, remote: elsewhere });
    assert_eq!(world.a.endpoint.status()[0].sas[0].remote.ip(), addr(BOB));
}

#[test]
fn encapsulation_can_be_forced_from_either_side() {
    for (a, b) in [
        (EncapPolicy::Always, EncapPolicy::Auto),
        (EncapPolicy::Auto, EncapPolicy::Always),
        (EncapPolicy::Always, EncapPolicy::Always),
    ] {
        let mut world = World::new(with(alice(), |c| c.encap = a), with(bob(), |c| c.encap = b));
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        assert!(world.a.children()[0].path.udp);
        assert_eq!(world.b.children()[0].path.local.port(), 4500);
    }
}

#[test]
fn encapsulation_is_forced_whichever_connection_of_the_address_it_is() {
    let mut bob = bob();
    let mut other = (*bob.connections[0]).clone();
    (other.name, other.remote_id) = ("other".into(), IdMatch::Exact(name_id("carol")));
    bob.connections.insert(0, Arc::new(other));
    let mut always = (*bob.connections[1]).clone();
    always.encap = EncapPolicy::Always;
    bob.connections[1] = Arc::new(always);
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert!(world.b.children()[0].path.udp);
}

#[test]
fn the_wrong_group_costs_one_more_round() {
    let alice = with(alice(), |c| c.proposals = ike("aes128gcm16-prfsha256-modp2048-x25519"));
    let mut world = World::new(alice, bob());
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_eq!(world.log.len(), 6);
    let first = crate::wire::message::Message::parse(&world.log[0].1.data).unwrap();
    let again = crate::wire::message::Message::parse(&world.log[2].1.data).unwrap();
    assert_eq!(first.payloads[0], again.payloads[0], "the whole offer again");
    assert_eq!(first.header.spi_i, again.header.spi_i);
    assert_eq!(first.payloads[2], again.payloads[2], "the same nonce");
}

#[test]
fn a_cookie_comes_back_first_and_is_signed_with_everything_else() {
    let mut bob = bob();
    bob.limits.cookie_threshold = 0;
    let alice = with(alice(), |c| c.proposals = ike("aes128gcm16-prfsha256-modp2048-x25519"));
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    // COOKIE, then INVALID_KE_PAYLOAD: the cookie stays for the third request.
    assert_eq!(world.log.len(), 8);
    for request in [2, 4] {
        let message = crate::wire::message::Message::parse(&world.log[request].1.data).unwrap();
        let first = &message.payloads[0];
        assert!(matches!(first, crate::wire::payload::Payload::Notify(n) if n.kind == NotifyType::COOKIE), "{first:?}");
        assert!(message.header.spi_r.is_none() && message.header.id == 0);
    }
}

#[test]
fn all_children_of_a_connection_come_up_one_after_the_other() {
    let more = |policy, swap: bool| {
        with(policy, |c| {
            for i in 1..5 {
                let (l, r) = (format!("10.{}.0.0/16", 10 * i), format!("10.{}.0.0/16", 10 * i + 1));
                let mut new =
                    (*if swap { child(&format!("c{i}"), &r, &l) } else { child(&format!("c{i}"), &l, &r) }).clone();
                if i == 2 {
                    new.proposals = esp("aes128gcm16-modp2048");
                }
                c.children.push(Arc::new(new));
            }
        })
    };
    let mut world = World::new(more(alice(), false), more(bob(), true));
    world.command_a(up());
    world.pass(seconds(1));
    let (a, b) = (world.a.children(), world.b.children());
    assert_eq!((a.len(), b.len(), world.a.ikes()), (5, 5, 1));
    for child in a {
        let other = b.iter().find(|c| c.child == child.child).unwrap();
        assert_mirrored(child, other);
    }
    // One goes, the others stay.
    world.command_a(Command::Down { connection: "net".into(), child: Some("c3".into()) });
    world.pass(seconds(1));
    assert_eq!((world.a.children().len(), world.b.children().len(), world.a.ikes()), (4, 4, 1));
}

#[test]
fn the_group_of_a_further_child_is_found_by_invalid_ke_payload() {
    let more = |policy, groups: &str, l: &str, r: &str| {
        with(policy, |c| {
            let mut second = (*child("two", l, r)).clone();
            second.proposals = esp(groups);
            c.children.push(Arc::new(second));
        })
    };
    let alice = more(alice(), "aes128gcm16-modp2048-x25519", "10.3.0.0/16", "10.4.0.0/16");
    let bob = more(bob(), "aes128gcm16-x25519", "10.4.0.0/16", "10.3.0.0/16");
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.a.children().len(), world.b.children().len()), (2, 2));
    assert_eq!(world.log.len(), 8);
    assert!(world.a.host.spis.len() == 2 && world.b.host.spis.len() == 2);
}

#[test]
fn selectors_are_narrowed_to_what_both_allow() {
    let alice = with_child(alice(), |c| {
        c.local_ts = vec!["10.1.2.3".parse().unwrap(), "10.1.0.0/16".parse().unwrap(), "10.9.0.0/16".parse().unwrap()]
    });
    let bob = with_child(bob(), |c| c.local_ts = vec!["10.2.128.0/17".parse().unwrap()]);
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    let a = world.a.children()[0];
    assert_eq!(a.remote_ts, ["10.2.128.0/17".parse().unwrap()]);
    assert!(
        a.local_ts.contains(&"10.1.0.0/16".parse().unwrap())
            && !a.local_ts.iter().any(|s| s.to_string().starts_with("10.9"))
    );
}

#[test]
fn the_child_that_fits_exactly_is_chosen_before_the_one_that_fits_too() {
    let bob = with(bob(), |c| {
        c.children.insert(0, child("wide", "10.0.0.0/8", "10.0.0.0/8"));
        c.children.insert(0, child("part", "10.2.3.0/24", "10.1.0.0/16"));
    });
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(&*world.b.children()[0].child, "lan");
}

#[test]
fn the_child_of_the_packet_is_chosen_before_the_one_that_fits_in_part() {
    let alice =
        with_child(alice(), |c| c.remote_ts = vec!["10.2.1.5".parse().unwrap(), "10.2.0.0/16".parse().unwrap()]);
    let bob = with(bob(), |c| {
        c.children = vec![child("one", "10.2.0.0/24", "10.1.0.0/16"), child("two", "10.2.1.0/24", "10.1.0.0/16")];
    });
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(&*world.b.children()[0].child, "two");
}

#[test]
fn twenty_selectors_in_one_child() {
    let list = |n: u8| (0..20).map(|i| format!("10.{n}.{i}.0/24").parse().unwrap()).collect::<Vec<_>>();
    let alice = with_child(alice(), |c| (c.local_ts, c.remote_ts) = (list(1), list(2)));
    let bob = with_child(bob(), |c| (c.local_ts, c.remote_ts) = (list(2), list(1)));
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_eq!(world.a.children()[0].local_ts.len(), 20);
}

#[test]
fn the_name_of_a_peer_is_resolved_and_asked_again_until_it_is() {
    let alice = with_child(with(alice(), |c| c.remote_addrs = vec![Remote::Name("bob.example".into())]), |c| {
        c.start = StartAction::Start
    });
    let mut world = World::new(alice, bob());
    world.pass(seconds(3));
    assert_eq!(world.a.ikes(), 0);
    world.a.host.names.insert("bob.example".into(), vec![addr(BOB)]);
    world.pass(seconds(10));
    assert_one_tunnel(&world);
}

#[test]
fn a_thousand_establishments_in_bad_weather() {
    for seed in 0..1000 {
        let mut world = World::seeded(seed, alice(), bob());
        world.weather = Weather { loss: 20, duplicate: 10, delay: 200, jitter: 100 };
        let begin = world.now;
        world.command_a(up());
        let until = begin + seconds(60);
        while (world.a.children().is_empty() || world.b.children().is_empty()) && world.turn(until) {}
        assert!(
            !world.a.children().is_empty() && !world.b.children().is_empty(),
            "seed {seed}: not up within 60 s: {:?}",
            world.a.failures()
        );
        let (a, b) = (world.a.children(), world.b.children());
        assert_mirrored(a[0], b[0]);
        assert_retransmissions_are_identical(&world.log, seed);
    }
}
/// The same SPIs, exchange, id and direction, the same octets; but IKE_SA_INIT, which a cookie may change.
fn assert_retransmissions_are_identical(log: &[(Duration, Datagram)], seed: u64) {
    let mut seen = std::collections::HashMap::new();
    for (_, d) in log.iter().filter(|(_, d)| d.header().exchange != ExchangeType::IKE_SA_INIT) {
        let h = d.header();
        let known = seen.entry((h.spi_i, h.spi_r, h.initiator, h.response, h.id)).or_insert(&d.data);
        assert_eq!(*known, &d.data, "seed {seed}");
    }
}
