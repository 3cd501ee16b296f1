//! Virtual addresses by the configuration payload (RFC 7296 sections 2.19 and 3.15), both roles.
use super::*;
use crate::ike::policy::Pool;
use crate::wire::payload::{Cfg, Payload};
use crate::wire::registry::{CfgAttr, CfgType, ExchangeType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Alice asks for these, and her child is from everywhere that she is.
fn traveller(vips: &[IpAddr]) -> Policy {
    let alice = with(alice(), |c| c.vips = vips.to_vec());
    with_child(alice, |c| c.local_ts = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()])
}
/// Bob gives from these pools.
fn office(pools: &[(&str, &str)]) -> Policy {
    let pool = |(i, (first, last)): (usize, &(&str, &str))| Pool {
        name: format!("pool{i}").into(),
        first: addr(first),
        last: addr(last),
    };
    let pools = pools.iter().enumerate().map(pool).collect();
    let bob = with(bob(), |c| c.pools = pools);
    with_child(bob, |c| c.remote_ts = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()])
}
fn established(alice: Policy, bob: Policy) -> World {
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    world
}
/// Ours and theirs, as the host was told last.
fn told(peer: &Peer) -> Option<(Vec<IpAddr>, Vec<IpAddr>)> {
    let addresses = |e: &Event| match e {
        Event::Addresses { ours, theirs, .. } => Some((ours.clone(), theirs.clone())),
        _ => None,
    };
    peer.events.iter().rev().find_map(addresses)
}

#[test]
fn alice_gets_an_address_and_the_child_is_from_it() {
    let mut world = established(traveller(&[ANY4]), office(&[("10.9.0.5", "10.9.0.9")]));
    assert_one_tunnel(&world);
    let given = vec![addr("10.9.0.5")];
    assert_eq!(told(&world.a), Some((given.clone(), vec![])));
    assert_eq!(told(&world.b), Some((vec![], given)));
    assert_eq!(world.a.children()[0].local_ts, ["10.9.0.5".parse().unwrap()]);
    assert_eq!(world.b.children()[0].remote_ts, ["10.9.0.5".parse().unwrap()]);
    // Again: the same address, and the same for the next child of this IKE SA.
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(world.a.children()[0].local_ts, ["10.9.0.5".parse().unwrap()]);
    world.command_a(down());
    world.pass(seconds(1));
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(told(&world.a).unwrap().0, [addr("10.9.0.5")]);
}

#[test]
fn both_families_and_an_address_of_choice_is_a_wish_only() {
    let pools = [("10.9.0.5", "10.9.0.9"), ("2001:db8:9::5", "2001:db8:9::9")];
    let world = established(traveller(&[addr("10.7.7.7"), ANY6]), office(&pools));
    assert_one_tunnel(&world);
    assert_eq!(told(&world.a).unwrap().0, [addr("10.9.0.5"), addr("2001:db8:9::5")]);
}

#[test]
fn a_rekey_of_the_ike_sa_keeps_the_address() {
    let mut world = established(traveller(&[ANY4]), office(&[("10.9.0.5", "10.9.0.5")]));
    for _ in 0..3 {
        world.command_a(Command::Rekey { connection: "net".into(), child: None });
        world.pass(seconds(2));
        world.command_b(Command::Rekey { connection: "net".into(), child: Some("lan".into()) });
        world.pass(seconds(2));
    }
    assert_eq!((world.a.children().len(), world.b.children().len()), (1, 1));
    assert_eq!(world.a.children()[0].local_ts, ["10.9.0.5".parse().unwrap()]);
    // It is still hers: the only one goes to nobody else until she is gone.
    let other = Pool { name: "pool0".into(), first: addr("10.9.0.5"), last: addr("10.9.0.5") };
    let leases = &mut world.b.endpoint.common.leases;
    assert_eq!(leases.take(&other, &name_id("carol"), super::super::event::IkeId(99)), None);
    world.command_a(down());
    world.pass(seconds(1));
    let leases = &mut world.b.endpoint.common.leases;
    assert_eq!(leases.take(&other, &name_id("carol"), super::super::event::IkeId(99)), Some(addr("10.9.0.5")));
}

/// R28: without an address there is no child, but there is an IKE SA.
#[test]
fn r28_no_address_is_left_or_none_was_asked_for() {
    for (vips, pools, code) in [
        (&[ANY6][..], [("10.9.0.5", "10.9.0.9")], "address.none_left"),
        (&[][..], [("10.9.0.5", "10.9.0.9")], "address.not_asked"),
    ] {
        let mut world = established(traveller(vips), office(&pools));
        assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1), "{code}");
        assert!(world.a.children().is_empty() && world.b.children().is_empty());
        assert!(world.b.failures().contains(&code), "{:?}", world.b.failures());
        assert!(world.a.failures().contains(&"address.refused"));
        assert_eq!(told(&world.b), None);
        world.command_a(down());
        world.pass(seconds(1));
        assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
    }
}

#[test]
fn who_asks_where_there_is_nothing_to_give_gets_nothing() {
    let world = established(traveller(&[ANY4]), bob());
    assert_one_tunnel(&world);
    assert_eq!((told(&world.a), told(&world.b)), (None, None));
}

/// What was not asked for is not taken: another family, more than asked for, and what no host can have.
#[test]
fn alice_takes_only_what_she_has_asked_for() {
    use crate::ike::exchange::Contents;
    use crate::ike::virtuals::given;
    let octets = |s: &str| match addr(s) {
        IpAddr::V4(ip) => (CfgAttr::INTERNAL_IP4_ADDRESS, ip.octets().to_vec()),
        IpAddr::V6(ip) => (CfgAttr::INTERNAL_IP6_ADDRESS, [&ip.octets()[..], &[64]].concat()),
    };
    let reply = |kind, list: &[&str]| Contents {
        cfg: Some(Cfg { kind, attributes: list.iter().map(|s| octets(s)).collect() }),
        ..Contents::default()
    };
    let asked = |vips: &[IpAddr]| traveller(vips).connections[0].clone();
    let list = ["127.0.0.1", "224.0.0.1", "0.0.0.0", "10.9.0.5", "10.9.0.6", "2001:db8::5", "::"];
    let all = reply(CfgType::REPLY, &list);
    assert_eq!(given(&asked(&[ANY4]), &all, &[]), [addr("10.9.0.5")]);
    assert_eq!(given(&asked(&[ANY4, ANY6]), &all, &[]), [addr("10.9.0.5"), addr("2001:db8::5")]);
    assert!(given(&asked(&[]), &all, &[]).is_empty());
    for kind in [CfgType::REQUEST, CfgType::SET, CfgType::ACK] {
        assert!(given(&asked(&[ANY4]), &reply(kind, &list), &[]).is_empty());
    }
}

/// Somebody else's address on our device takes what goes to it away from him: what a link has for itself, what this host has elsewhere, and
/// where a peer is.
#[test]
fn alice_takes_no_address_that_somebody_else_has() {
    let given = |address: &str| {
        let mut alice = traveller(&[ANY4]);
        let other = Connection {
            name: "other".into(),
            remote_addrs: vec![Remote::Addr(addr("198.51.100.7"))],
            ..connection(ALICE, BOB)
        };
        alice.connections.push(Arc::new(other));
        let mut world = World::new(alice, office(&[(address, address)]));
        world.a.host.others = vec![addr("10.7.0.1")];
        world.command_a(up());
        world.pass(seconds(1));
        assert_eq!(world.a.ikes(), 1, "{address}");
        told(&world.a).map(|(ours, _)| ours)
    };
    for address in ["169.254.1.1", "255.255.255.255", ALICE, BOB, "10.7.0.1", "198.51.100.7"] {
        assert_eq!(given(address), None, "{address}");
    }
    assert_eq!(given("10.7.0.2"), Some(vec![addr("10.7.0.2")]));
}

/// An address attribute of 1 to 3 octets (free5gc 984): malformed, whoever sends it.
#[test]
fn input_66_an_address_of_the_wrong_length() {
    for len in 1..=3 {
        let mut world = established(traveller(&[ANY4]), office(&[("10.9.0.5", "10.9.0.9")]));
        let cfg = Cfg { kind: CfgType::REQUEST, attributes: vec![(CfgAttr::INTERNAL_IP4_ADDRESS, vec![1; len])] };
        world.alice_asks(ExchangeType::INFORMATIONAL, &[Payload::Cfg(cfg)]);
        assert_eq!(world.b.ikes(), 0, "INVALID_SYNTAX ends it (R30)");
    }
}

/// MikroTik puts one into rekeys: a payload that is known, and means nothing there.
#[test]
fn a_configuration_payload_where_none_belongs_is_ignored() {
    let mut world = established(traveller(&[ANY4]), office(&[("10.9.0.5", "10.9.0.9")]));
    let ask =
        || Payload::Cfg(Cfg { kind: CfgType::REQUEST, attributes: vec![(CfgAttr::INTERNAL_IP4_ADDRESS, vec![])] });
    let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &[ask()]).expect("an answer");
    assert!(answer.cfg.is_none() && answer.notifies.is_empty());
    assert_eq!(world.b.events.iter().filter(|e| matches!(e, Event::Addresses { .. })).count(), 1);
    assert_one_tunnel(&world);
}
