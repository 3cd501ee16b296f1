//! Deletes of children and of the IKE SA, and creations, while other things happen. Plays after the exchange tests of strongSwan (their names
//! are kept) and RFC 7296 sections 1.4.1, 2.25.1 and 2.25.2.
use super::*;
use crate::ike::event::Ended;
use crate::wire::payload::{Delete, Payload};
use crate::wire::registry::ExchangeType;

const ROLES: [(&str, &str); 2] = [(ALICE, BOB), (BOB, ALICE)];

fn down_lan() -> Command {
    Command::Down { connection: "net".into(), child: Some("lan".into()) }
}
fn tunnel() -> World {
    tunnel_of(alice(), bob())
}
fn ended(peer: &Peer) -> Vec<Ended> {
    let why = |e: &Event| match e {
        Event::ChildDown { why, .. } | Event::IkeDown { why, .. } => Some(*why),
        _ => None,
    };
    peer.events.iter().filter_map(why).collect()
}
fn assert_no_child(world: &World) {
    assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
    assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
}

#[test]
fn child_delete_regular() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, down_lan());
        world.pass(seconds(1));
        assert_no_child(&world);
        assert_eq!((ended(world.peer(a)), ended(world.peer(b))), (vec![Ended::ByUs], vec![Ended::ByPeer]));
        assert_eq!(world.log.len(), 2);
        assert_eq!(world.log[0].1.data.len(), world.log[1].1.data.len(), "both name their SPI");
    }
}
/// R12: both Deletes cross, and the answers are empty.
#[test]
fn child_delete_collision() {
    let mut world = tunnel();
    world.command_a(down_lan());
    world.command_b(down_lan());
    world.pass(seconds(1));
    assert_no_child(&world);
    let answers = world.log.iter().filter(|(_, d)| d.header().response);
    let lengths: Vec<_> = answers.map(|(_, d)| d.data.len()).collect();
    assert_eq!(lengths, [world.log[0].1.data.len() - 12; 2]);
}
/// One of them is lost for a while; to its sender the other one looks like one that crosses, to the other end it is one of nothing.
#[test]
fn child_delete_collision_drop() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, down_lan());
        world.command(b, down_lan());
        world.catch(a);
        world.pass_on(b);
        world.pass_on(a);
        world.pass(seconds(10));
        assert_no_child(&world);
    }
}
/// R15, R21: the child goes, the rekey of the IKE SA is put off.
#[test]
fn child_delete_collision_ike_rekey() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, down_lan());
        world.command(b, rekey(None));
        world.pass(seconds(30));
        assert_no_child(&world);
        let rekeyed = |peer: &Peer| peer.events.iter().filter(|e| matches!(e, Event::IkeRekeyed { .. })).count();
        assert_eq!((rekeyed(&world.a), rekeyed(&world.b)), (1, 1));
    }
}
#[test]
fn child_delete_collision_ike_delete() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, down_lan());
        world.command(b, down());
        world.pass(seconds(10));
        assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
        assert_eq!(ended(world.peer(a)).len(), 2, "each is told once");
        assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
    }
}
#[test]
fn ike_delete_regular() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, down());
        world.pass(seconds(1));
        assert_eq!((world.a.endpoint.sas.len(), world.b.endpoint.sas.len()), (0, 0));
        assert_eq!((ended(world.peer(a)), ended(world.peer(b))), (vec![Ended::ByUs; 2], vec![Ended::ByPeer; 2]));
        assert_eq!(world.log.len(), 2);
    }
}
/// R19.
#[test]
fn ike_delete_both() {
    let mut world = tunnel();
    world.command_a(down());
    world.command_b(down());
    world.pass(seconds(1));
    assert_eq!((world.a.endpoint.sas.len(), world.b.endpoint.sas.len()), (0, 0));
    assert_eq!((ended(&world.a), ended(&world.b)), (vec![Ended::ByUs; 2], vec![Ended::ByUs; 2]));
    assert_eq!(world.log.iter().filter(|(_, d)| d.header().response).count(), 2);
}
/// R17, and the same for children: nothing begins on what is being closed.
#[test]
fn r17_nothing_begins_on_what_is_being_closed() {
    use crate::crypto::{ke::Group, rng::SeededRng};
    use crate::wire::payload::{Ke, Notify};
    use crate::wire::registry::{KeId, NotifyType};
    let mut world = tunnel();
    world.drop = |d| d.from.ip() == addr(BOB);
    world.command_b(down());
    let sa = |list: &str, protocol, spi: &[u8]| {
        let mut proposal = keyword::parse(protocol, list).unwrap();
        proposal.spi = spi.to_vec();
        Payload::Sa(vec![proposal])
    };
    let group = Group::from_id(KeId::CURVE25519).unwrap();
    let ke = Ke { group: group.id(), data: group.public(&group.private(&mut SeededRng::new(1))) };
    let of_ike = vec![
        sa("aes128gcm16-prfsha256-x25519", ProtocolId::IKE, &[7; 8]),
        Payload::Nonce(vec![7; 32]),
        Payload::Ke(ke),
    ];
    let ts = |s: &str| crate::wire::payload::TrafficSelectors { ranges: vec![s.parse().unwrap()], unknown: 0 };
    let of_child = vec![
        sa("aes128gcm16", ProtocolId::ESP, &[7; 4]),
        Payload::Nonce(vec![7; 32]),
        Payload::TsI(ts("10.1.0.0/16")),
        Payload::TsR(ts("10.2.0.0/16")),
    ];
    let spi = world.a.children()[0].spi_in.to_be_bytes().to_vec();
    let named = Notify { protocol: ProtocolId::ESP, spi, ..Notify::new(NotifyType::REKEY_SA, Vec::new()) };
    let rekey = [vec![Payload::Notify(named)], of_child.clone()].concat();
    for request in [of_ike, of_child, rekey] {
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request).unwrap();
        assert!(answer.notify(NotifyType::TEMPORARY_FAILURE).is_some());
        assert_eq!(world.b.computed, 1, "it costs nothing either: only the first g^ir was computed");
    }
}
#[test]
fn child_create_duplicate() {
    let mut world = tunnel();
    world.command_a(up());
    world.command_b(up());
    world.pass(seconds(30));
    assert_one_tunnel(&world);
    assert!(!world.log.iter().any(|(_, d)| d.is(ExchangeType::CREATE_CHILD_SA, false)));
}
/// R15, R20: both are put off, and both are done in the end.
#[test]
fn child_create_collision_ike_rekey() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, down_lan());
        world.pass(seconds(1));
        world.command(a, Command::Up { connection: "net".into(), child: Some("lan".into()) });
        world.command(b, rekey(None));
        world.pass(Duration::from_millis(100));
        assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
        world.pass(seconds(30));
        assert_one_tunnel(&world);
        assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
        let failures = [world.a.failures(), world.b.failures()].concat();
        assert!(failures.is_empty(), "R22: who has to wait has not failed, and `up` waits, too");
    }
}
/// R18: the peer has not seen our rekey of the IKE SA, and deletes it after its own one. What we still had to ask for is asked on the new one.
#[test]
fn child_delete_that_waits_for_an_ike_rekey_which_comes_to_nothing() {
    for (a, b) in ROLES {
        let mut world = tunnel();
        world.command(a, rekey(None));
        world.catch(a);
        world.command(a, down_lan());
        world.command(b, rekey(None));
        world.pass(Duration::from_millis(400));
        assert_no_child(&world);
        assert!(world.peer(a).events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
    }
}

/// Several children go in one exchange, whoever asks.
#[test]
fn several_children_in_one_delete() {
    let names = ["lan", "two", "three"];
    let more = |policy: Policy, (local, remote): (&str, &str)| {
        with(policy, |c| {
            for (i, name) in (1..).zip(&names[1..]) {
                c.children.push(child(name, &format!("{local}{i}.0/24"), &format!("{remote}{i}.0/24")));
            }
        })
    };
    for (a, b) in ROLES {
        let mut world = World::new(more(alice(), ("10.3.", "10.4.")), more(bob(), ("10.4.", "10.3.")));
        world.command_a(up());
        world.pass(seconds(1));
        assert_eq!(world.a.children().len(), 3);
        // Something is in flight, so that the Deletes have to wait for each other.
        world.command(a, rekey(Some("lan")));
        let ask = world.catch(a);
        world.log.clear();
        for name in names {
            world.command(a, Command::Down { connection: "net".into(), child: Some(name.into()) });
        }
        world.deliver(&ask);
        world.pass(seconds(1));
        assert_eq!((world.peer(a).children().len(), world.peer(b).children().len()), (0, 0));
        let requests = world.log.iter().filter(|(_, d)| d.is(ExchangeType::INFORMATIONAL, false));
        assert_eq!(requests.count(), 1, "the three old ones and the new one");
        assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
    }
}
/// Several payloads, SPIs that are unknown, reserved or named twice, other protocols, the IKE SA last (libreswan 67): all is processed.
#[test]
fn r23_every_delete_of_a_message_counts() {
    let mut world = tunnel();
    let spi = world.a.children()[0].spi_in;
    let delete = |protocol, spis: &[u32]| Payload::Delete(Delete { protocol, spis: spis.to_vec() });
    let several = [
        delete(ProtocolId::AH, &[spi]),
        delete(ProtocolId::ESP, &[7, 0xdead_beef]),
        delete(ProtocolId::ESP, &[spi, spi, spi]),
    ];
    let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &several).unwrap();
    let named: Vec<usize> = answer.deletes.iter().map(|d| d.spis.len()).collect();
    assert_eq!((named, world.b.children().len()), (vec![1], 0), "once");
}
/// R23: what the answer to a Delete names does not matter, nor that it names nothing or something else (pyikev2).
#[test]
fn the_answer_to_a_delete_is_an_answer_whatever_it_names() {
    for answer in [vec![], vec![Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![1, 2, 3] })]] {
        let mut world = tunnel();
        world.command_a(down_lan());
        let request = world.catch(ALICE);
        world.bob_answers(&request, &answer);
        assert_eq!((world.a.children().len(), world.a.ikes()), (0, 1));
    }
}
/// A Delete that has overtaken the answer which makes its child is forgotten by a peer that does not know the child yet: it is sent again,
/// after a while or as soon as the peer's next request shows that it has the answer.
#[test]
fn a_delete_that_overtakes_the_answer_it_is_about_is_sent_again() {
    for busy in [false, true] {
        let mut world = tunnel();
        world.command_b(rekey(Some("lan")));
        world.pass_on(BOB);
        let answer = world.catch(ALICE);
        world.command_a(down_lan());
        let delete = world.catch(ALICE);
        world.bob_answers(&delete, &[]);
        let kept = world.a.children().len();
        assert_eq!(kept, 1, "Bob will have it, so Alice keeps it until he has heard that she does not want it");
        if busy {
            // He deletes the old one, as his rekey is done.
            world.deliver(&answer);
            world.pass(Duration::from_millis(1));
        } else {
            world.drop = |d| d.from.ip() == addr(BOB);
            for _ in 0..2 {
                let until = world.now + seconds(10);
                while world.in_the_air(ALICE) == 0 && world.turn(until) {}
                let again = world.catch(ALICE);
                world.bob_answers(&again, &[]);
            }
            world.drop = |_| false;
            world.deliver(&answer);
            world.pass(seconds(10));
        }
        assert_no_child(&world);
    }
}
/// A peer that never gets to know the child is not asked for ever.
#[test]
fn a_delete_that_nobody_understands_is_sent_again_for_a_while_only() {
    let mut world = tunnel();
    world.command_b(rekey(Some("lan")));
    world.pass_on(BOB);
    world.catch(ALICE);
    world.drop = |d| d.from.ip() == addr(BOB);
    world.command_a(down_lan());
    let (begin, mut asked) = (world.now, 0);
    while world.in_the_air(ALICE) > 0 {
        let request = world.catch(ALICE);
        asked += 1;
        world.bob_answers(&request, &[]);
        let until = world.now + seconds(20);
        while world.in_the_air(ALICE) == 0 && world.turn(until) {}
    }
    assert_eq!(world.a.children().len(), 0);
    assert!(asked == 6 && world.now - begin < seconds(60), "{asked} in {:?}", world.now - begin);
}
/// libreswan 2184: a child that only one end has, beside the one that both have.
#[test]
fn a_child_that_only_one_end_has_goes_alone() {
    let mut world = tunnel();
    world.command_a(rekey(Some("lan")));
    world.pass_on(ALICE);
    // Bob's answer is lost, and Alice forgets that she has asked.
    world.catch(BOB);
    world.each_established(ALICE, |est| est.asked = None);
    assert_eq!((world.a.children().len(), world.b.children().len()), (1, 2));
    world.command_b(down_lan());
    // Bob has no sign that his answer has come, so he asks for its end several times.
    world.pass(seconds(60));
    assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
}
