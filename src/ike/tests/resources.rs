//! Children for one resource each, beside a fallback (RFC 9611): who asks for them and how many there are, what a peer that does not know of them
//! sees, and what rekeys, collisions and Deletes make of them.
use super::limits::child_of;
use super::rekey_child::{ROLES, down_lan, ended, lan};
use super::*;
use crate::crypto::work::Done;
use crate::ike::event::{ChildId, Ended, Input};
use crate::ike::resources::Group;
use crate::ike::sa::Task;
use crate::wire::payload::{Delete, Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};

const NOBODY: Option<u32> = None;

/// So many resources at each end, and the child as an end has it.
fn policies(of_alice: u32, of_bob: u32) -> (Policy, Policy) {
    let having = |policy, resources| with_child(policy, |c| c.resources = resources);
    (having(alice(), of_alice), having(bob(), of_bob))
}
/// `a` has asked for the tunnel, and all is there.
fn tunnels(a: &str, of_alice: u32, of_bob: u32) -> World {
    let (alice, bob) = policies(of_alice, of_bob);
    let mut world = World::new(alice, bob);
    world.command(a, up());
    world.pass(seconds(5));
    world.log.clear();
    world
}
/// What the children of an end are for, in order.
fn resources(peer: &Peer) -> Vec<Option<u32>> {
    let mut all: Vec<_> = peer.children().iter().map(|c| c.resource).collect();
    all.sort_unstable();
    all
}
fn of(peer: &Peer, resource: Option<u32>) -> &ChildUp {
    peer.children().into_iter().find(|c| c.resource == resource).expect("there is one")
}
/// A fallback, and one for each of so many resources; both ends have the same, and nothing has failed.
fn assert_group(world: &World, beside: u32) {
    let expected: Vec<_> = std::iter::once(NOBODY).chain((0..beside).map(Some)).collect();
    assert_eq!((resources(&world.a), resources(&world.b)), (expected.clone(), expected));
    for one in world.a.children() {
        let other = world.b.children().into_iter().find(|o| o.spi_in == one.spi_out).expect("Bob has it, too");
        assert_mirrored(one, other);
        assert_eq!(one.resource.is_some(), other.resource.is_some(), "the fallback is the same at both ends");
    }
    for peer in [&world.a, &world.b] {
        assert_eq!((peer.failures(), peer.host.spis.len()), (Vec::new(), beside as usize + 1));
    }
}
fn info(data: &[u8]) -> Payload {
    Payload::Notify(Notify::new(NotifyType::SA_RESOURCE_INFO, data))
}
fn delete_of(spi: u32) -> [Payload; 1] {
    let spis = vec![spi];
    [Payload::Delete(Delete { protocol: ProtocolId::ESP, spis })]
}

/// RFC 9611 section 3: whoever asks for the fallback asks for the others, until it has as many as it wants, or the other end wants no more.
#[test]
fn as_many_children_as_both_ends_want() {
    for (a, b) in ROLES {
        for (of_alice, of_bob) in [(3, 3), (2, 4), (4, 2), (1, 1), (16, 16), (40, 16)] {
            let world = tunnels(a, of_alice, of_bob);
            assert_group(&world, of_alice.min(of_bob));
            assert!(world.peer(a).children().iter().all(|c| c.initiator && !c.inbound_only && c.replaces.is_none()));
            assert!(world.peer(b).children().iter().all(|c| !c.initiator));
        }
    }
}
/// Neither end goes beyond its limits, whatever the configuration says.
#[test]
fn no_more_than_the_limits_say() {
    for roles in ROLES {
        let (mut alice, bob) = policies(8, 8);
        alice.limits.per_resource = 2;
        let mut world = World::new(alice, bob);
        world.command(roles.0, up());
        world.pass(seconds(5));
        assert_group(&world, 2);
    }
}
/// The first exchange says that there is such a thing, and nothing else; the others say which resource it is for. A peer that does not know of it
/// is asked for nothing more.
#[test]
fn what_is_said_and_when() {
    let mut world = tunnels(ALICE, 2, 2);
    world.command_a(down_lan());
    world.pass(seconds(1));
    world.command_a(up());
    let mut said = Vec::new();
    while world.in_the_air(ALICE) > 0 {
        let message = world.catch(ALICE);
        let inside = world.bob_reads(&message);
        said.push(inside.notify(NotifyType::SA_RESOURCE_INFO).map(|n| (n.protocol.0, n.spi.len(), n.data.clone())));
        world.deliver(&message);
        let answer = world.catch(BOB);
        assert!(world.alice_reads(&answer).notify(NotifyType::SA_RESOURCE_INFO).is_some());
        world.deliver(&answer);
    }
    let text = |text: &str| Some((0, 0, text.as_bytes().to_vec()));
    assert_eq!(said, [text(""), text("worker 0"), text("worker 1")]);
    for (of_alice, of_bob) in [(4, 0), (0, 4), (0, 0)] {
        for (a, _) in ROLES {
            let mut world = tunnels(a, of_alice, of_bob);
            world.pass(seconds(120));
            assert_group(&world, 0);
            assert!(world.sent_by(a).iter().all(|d| !d.is(ExchangeType::CREATE_CHILD_SA, false)));
        }
    }
}
/// What a resource is called is for people: of any length, or of none.
#[test]
fn the_name_of_a_resource_means_nothing() {
    for data in [vec![], vec![0; 4], vec![b'x'; 64], vec![0xff; 300]] {
        let mut world = tunnels(BOB, 1, 3);
        world.pass(seconds(1));
        let request = [child_of(0x1111, "10.1.0.0/16", "10.2.0.0/16"), vec![info(&data)]].concat();
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request).unwrap();
        assert!(answer.sa.is_some() && answer.notify(NotifyType::SA_RESOURCE_INFO).is_some());
        assert_eq!(resources(&world.b), [None, Some(0), Some(1)]);
    }
}
/// TS_MAX_QUEUE: no error, no failure, and nobody asks again as long as the IKE SA lives, also not after rekeys.
#[test]
fn max_queue_ends_the_asking() {
    for (a, b) in ROLES {
        let (of_alice, of_bob) = if a == ALICE { (4, 2) } else { (2, 4) };
        let (alice, bob) = policies(of_alice, of_bob);
        let mut world = World::new(alice, bob);
        world.command(a, up());
        let refusals = |world: &World| {
            let requests = world.sent_by(a).iter().filter(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)).count();
            requests - 2
        };
        world.pass(seconds(2));
        assert_eq!(refusals(&world), 1);
        world.pass(seconds(300));
        assert_eq!(refusals(&world), 1, "asked again");
        world.log.clear();
        for command in [lan(), rekey(None)] {
            world.command(a, command.clone());
            world.command(b, command);
            world.pass(seconds(60));
        }
        assert_group(&world, 2);
        let rekeys = world.sent_by(a).iter().filter(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)).count();
        assert!(rekeys <= 5, "a rekey of each child and of the IKE SA: {rekeys}");
    }
}
/// Another refusal ends it, too, and is told once; TEMPORARY_FAILURE only puts it off.
#[test]
fn other_refusals() {
    for (kind, beside, failures) in [
        (NotifyType::NO_ADDITIONAL_SAS, 0, vec!["child.refused"]),
        (NotifyType::NO_PROPOSAL_CHOSEN, 0, vec!["proposal.esp"]),
        (NotifyType::TEMPORARY_FAILURE, 2, vec![]),
    ] {
        let (alice, bob) = policies(2, 2);
        let mut world = World::new(alice, bob);
        world.command_a(up());
        world.pass_on(ALICE);
        world.pass_on(BOB);
        world.pass_on(ALICE);
        world.pass_on(BOB);
        let request = world.catch(ALICE);
        world.bob_answers(&request, &[Payload::Notify(Notify::new(kind, Vec::new()))]);
        assert_eq!(world.in_the_air(ALICE), 0, "nobody asks at once");
        world.pass(seconds(120));
        assert_eq!(world.a.failures(), failures);
        assert_eq!(resources(&world.b).len(), 1 + beside);
        assert!(world.a.children().iter().any(|c| c.resource.is_none()));
    }
}
/// Each is rekeyed by itself, by either end, and stays what it is.
#[test]
fn a_rekey_keeps_what_a_child_is_for() {
    for (a, b) in ROLES {
        let mut world = tunnels(ALICE, 2, 2);
        for resource in [NOBODY, Some(0), Some(1)] {
            let (old, theirs) = (of(world.peer(a), resource).id, of(world.peer(a), resource).spi_out);
            let others: Vec<_> = world.peer(a).children().iter().map(|c| c.id).filter(|id| *id != old).collect();
            let there = world.peer(b).children().into_iter().find(|c| c.spi_in == theirs).unwrap().resource;
            world.each_established(a, |est| est.plan(Task::RekeyChild(old)));
            world.command(a, up());
            world.pass(seconds(300));
            assert_group(&world, 2);
            let new = of(world.peer(a), resource);
            assert_eq!((new.replaces, ended(world.peer(a)).last()), (Some(old), Some(&(old, Ended::Replaced))));
            let mirror = world.peer(b).children().into_iter().find(|c| c.spi_in == new.spi_out).unwrap();
            assert_eq!((mirror.resource, mirror.replaces.is_some()), (there, true));
            let left: Vec<_> = world.peer(a).children().iter().map(|c| c.id).filter(|id| *id != new.id).collect();
            assert_eq!(left, others, "the others are as before");
        }
        assert!(ended(&world.a).iter().chain(&ended(&world.b)).all(|(_, why)| *why == Ended::Replaced));
    }
}
/// Both ends rekey all of them at once, in any order of the nonces.
#[test]
fn rekeys_of_all_by_both_ends() {
    let mut world = tunnels(ALICE, 3, 3);
    for round in 0..20 {
        world.weather.jitter = round * 20;
        world.command_a(lan());
        world.command_b(lan());
        world.pass(seconds(60));
        assert_group(&world, 3);
    }
    assert!(ended(&world.a).iter().chain(&ended(&world.b)).all(|(_, why)| *why == Ended::Replaced));
}
/// A rekey of the IKE SA and a new one in its place.
#[test]
fn with_the_ike_sa() {
    for (a, _) in ROLES {
        let mut world = tunnels(ALICE, 2, 2);
        let before: Vec<_> = world.a.children().iter().map(|c| c.id).collect();
        world.command(a, rekey(None));
        world.pass(seconds(60));
        assert_group(&world, 2);
        assert_eq!(world.a.children().iter().map(|c| c.id).collect::<Vec<_>>(), before);
        let id = *world.a.endpoint.sas.keys().next().unwrap();
        world.a.endpoint.common.renew.push(id);
        world.pass(seconds(120));
        assert_group(&world, 2);
        assert!(world.a.children().iter().all(|c| !before.contains(&c.id)), "all of them are new");
    }
}
/// An IKE SA without a child where both have asked for the same one; these are their requests, caught. (The private values of this group are not as
/// long as a nonce.)
fn both_ask(lowest: usize) -> (World, wire::Datagram, wire::Datagram) {
    let (alice, bob) = policies(2, 2);
    let pfs = |policy| with_child(policy, |c| c.proposals = esp("aes128gcm16-ecp384"));
    let mut world = World::new(pfs(alice), pfs(bob));
    world.command_a(up());
    world.pass(seconds(5));
    world.command_a(down_lan());
    world.pass(seconds(5));
    for peer in [&mut world.a, &mut world.b] {
        assert!(peer.children().is_empty());
        peer.events.retain(|e| !matches!(e, Event::ChildUp(_) | Event::ChildDown { .. }));
    }
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.a.host.nonces = [n(1), n(4)].into();
    world.b.host.nonces = [n(2), n(3)].into();
    let up_lan = || Command::Up { connection: "net".into(), child: Some("lan".into()) };
    world.command_a(up_lan());
    world.command_b(up_lan());
    let (of_a, of_b) = (world.catch(ALICE), world.catch(BOB));
    (world, of_a, of_b)
}
/// R4: both ends ask for the fallback at once. One of the two stays and the children beside it are none of that, whoever asks for them and
/// however late the requests come.
#[test]
fn r04_only_fallbacks_collide() {
    for lowest in 1..=4 {
        for late in [false, true] {
            let (mut world, of_a, of_b) = both_ask(lowest);
            world.deliver(&of_a);
            if late {
                // Alice has her fallback, and has asked for the first one beside it.
                world.pass_on(BOB);
                world.pass_on(ALICE);
            }
            world.deliver(&of_b);
            world.pass(seconds(300));
            assert_group(&world, 2);
            let all = || ended(&world.a).into_iter().chain(ended(&world.b));
            assert_eq!((all().count(), all().all(|(_, why)| why == Ended::Replaced)), (2, true), "one is too many");
            let fallback = of(&world.a, NOBODY).initiator;
            assert_eq!(fallback, lowest == 2 || lowest == 4, "variant {lowest}");
        }
    }
}
/// Both ends ask for one more at once: each gets what it has asked for, and neither is taken for the other.
#[test]
fn two_requests_for_one_more_are_no_collision() {
    let (alice, bob) = policies(4, 4);
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass_on(ALICE);
    world.pass_on(BOB);
    world.pass_on(ALICE);
    world.pass_on(BOB);
    world.each_established(BOB, |est| est.children[0].group = Some(Group::of_ours()));
    let of_a = world.catch(ALICE);
    world.command_b(lan());
    world.command_b(up());
    world.pass_on(BOB);
    world.pass_on(ALICE);
    world.pass_on(BOB);
    world.pass_on(ALICE);
    let of_b = world.catch(BOB);
    world.deliver(&of_a);
    world.deliver(&of_b);
    world.pass(seconds(300));
    assert_group(&world, 4);
    assert!(ended(&world.a).iter().all(|(_, why)| *why == Ended::Replaced) && ended(&world.a).len() == 1);
}
/// Nobody asks for less than the fallback carries, as a worker would send what it does not. For more: that is narrowed.
#[test]
fn one_more_carries_what_the_fallback_does() {
    let mut world = tunnels(ALICE, 1, 3);
    world.command_a(down_lan());
    world.pass(seconds(5));
    let ask = |world: &mut World, remote: &str, spi, data: &[u8]| {
        let request = [child_of(spi, "10.1.0.0/16", remote), vec![info(data)]].concat();
        world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request).unwrap()
    };
    assert!(ask(&mut world, "10.2.8.0/22", 0x1111, b"").sa.is_some());
    let answer = ask(&mut world, "10.2.8.0/24", 0x2222, b"worker 0");
    assert!(answer.sa.is_none() && answer.notify(NotifyType::TS_UNACCEPTABLE).is_some());
    assert_eq!((resources(&world.b), world.b.failures()), (vec![None], vec!["ts.mismatch"]));
    assert!(ask(&mut world, "10.2.0.0/16", 0x3333, b"worker 0").sa.is_some());
    let (fallback, beside) = (of(&world.b, NOBODY), of(&world.b, Some(0)));
    assert_eq!((&beside.local_ts, &beside.remote_ts), (&fallback.local_ts, &fallback.remote_ts));
    assert_eq!(world.b.host.spis.len(), 2);
}
/// Where we have one child the peer may have several: each comes up, and none is taken for one beside the first.
#[test]
fn another_child_of_the_peers_is_none_for_a_resource() {
    let mut world = tunnels(ALICE, 1, 3);
    world.command_a(down_lan());
    world.pass(seconds(5));
    for (remote, spi) in [("10.2.8.0/24", 0x1111), ("10.2.9.0/24", 0x2222), ("10.2.0.0/16", 0x3333)] {
        let request = [child_of(spi, "10.1.0.0/16", remote), vec![info(b"")]].concat();
        let answer = world.alice_asks(ExchangeType::CREATE_CHILD_SA, &request).unwrap();
        assert!(answer.sa.is_some(), "{remote}");
    }
    assert_eq!(resources(&world.b), [None; 3]);
    let ranges: Vec<_> = world.b.children().iter().map(|child| child.local_ts.clone()).collect();
    assert!(ranges.iter().enumerate().all(|(i, ts)| !ranges[..i].contains(ts)), "{ranges:?}");
}
/// So long Bob's answer to all that Alice asks for is TEMPORARY_FAILURE. Returns how often.
fn put_off(world: &mut World, time: Duration) -> usize {
    let (until, mut count) = (world.now + time, 0);
    world.drop = |d| d.from.ip() == addr(ALICE) && d.is(ExchangeType::CREATE_CHILD_SA, false);
    while world.now < until {
        world.log.clear();
        world.pass(seconds(1));
        let asked = world.log.iter().map(|(_, d)| d.clone()).rfind(world.drop);
        if let Some(request) = asked {
            world.bob_answers(&request, &[Payload::Notify(Notify::new(NotifyType::TEMPORARY_FAILURE, Vec::new()))]);
            count += 1;
        }
    }
    world.drop = |_| false;
    count
}
/// R22: nothing depends on one for a resource, and so it may be put off for ever, also the rekey of it. It is tried now and then.
#[test]
fn r22_what_is_only_for_a_resource_never_costs_the_tunnel() {
    for rekeyed in [false, true] {
        let mut world = tunnels(ALICE, 2, 2);
        let (fallback, one) = (of(&world.a, NOBODY).id, of(&world.a, Some(1)).id);
        let now = world.now;
        world.each_established(ALICE, |est| match rekeyed {
            true => est.plan(Task::RekeyChild(one)),
            false => est.child_mut(one).unwrap().life.end = Some(now),
        });
        world.command_a(up());
        let count = put_off(&mut world, seconds(900));
        assert!((10..30).contains(&count), "asked {count} times");
        assert_eq!(of(&world.a, NOBODY).id, fallback);
        assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
        world.pass(seconds(120));
        assert_group(&world, 2);
    }
}
/// We have too much to compute, for the first key exchange or the one after it: it is made later.
#[test]
fn too_much_to_compute_only_puts_it_off() {
    for exchanges in 1..=2 {
        let (alice, bob) = policies(2, 2);
        let pfs = |policy| with_child(policy, |c| c.proposals = esp("aes128gcm16-x25519-ke1_mlkem512"));
        let mut world = World::new(pfs(alice), pfs(bob));
        world.command_a(up());
        world.pass(seconds(5));
        assert_group(&world, 2);
        let (one, now) = (of(&world.a, Some(1)).id, world.now);
        world.each_established(ALICE, |est| est.child_mut(one).unwrap().life.end = Some(now));
        world.a.held = Some(Vec::new());
        world.command_a(up());
        for number in 1..=exchanges {
            while world.a.held.as_ref().unwrap().is_empty() {
                assert!(world.turn(world.now + seconds(60)));
            }
            if number == exchanges {
                let (job, _) = world.a.held.take().unwrap().remove(0);
                world.input_a(Input::Computed { job, done: Done::Refused });
            } else {
                world.compute(ALICE);
            }
        }
        world.pass(seconds(120));
        assert_eq!(world.a.failures(), ["limit.compute_queue"]);
        assert_eq!((resources(&world.a).len(), resources(&world.b).len()), (3, 3));
    }
}
/// What is beside a fallback that goes is not sent on from the moment that its Delete is.
#[test]
fn what_goes_with_the_fallback_is_not_sent_on() {
    let mut world = tunnels(ALICE, 2, 2);
    let mut beside: Vec<_> = world.b.children().iter().filter(|c| c.resource.is_some()).map(|c| c.id).collect();
    let spi = of(&world.a, NOBODY).spi_in;
    assert!(world.alice_asks(ExchangeType::INFORMATIONAL, &delete_of(spi)).is_some());
    assert_eq!(world.b.children().len(), 2);
    let leaving = |e: &Event| if let Event::ChildLeaving { id } = e { Some(*id) } else { None };
    let mut told: Vec<_> = world.b.events.iter().filter_map(leaving).collect();
    beside.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, beside);
}
/// The user takes the child down: all of them go, and come back with it.
#[test]
fn the_user_takes_all_of_them_down() {
    for (a, _) in ROLES {
        let mut world = tunnels(ALICE, 2, 2);
        world.command(a, down_lan());
        world.pass(seconds(5));
        assert!(world.a.children().is_empty() && world.b.children().is_empty());
        assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
        world.command(a, up());
        world.pass(seconds(30));
        assert_group(&world, 2);
    }
}
/// The peer deletes one: the others go on, and it is not asked for again.
#[test]
fn the_peer_deletes_one() {
    let mut world = tunnels(ALICE, 2, 2);
    let id = world.b.children().into_iter().find(|c| c.resource == Some(0)).unwrap().id;
    world.each_established(BOB, |est| est.leave(id, Ended::ByUs));
    world.command_b(up());
    world.pass(seconds(300));
    assert_eq!((resources(&world.a).len(), resources(&world.b)), (2, vec![None, Some(1)]));
    assert_eq!((world.a.host.spis.len(), world.b.host.spis.len()), (2, 2));
    assert!(world.a.failures().is_empty());
}
/// The peer deletes the fallback alone: what is beside it goes, too, and so it does if only our own lifetime of it has ended.
#[test]
fn nothing_is_left_without_the_fallback() {
    for by_peer in [true, false] {
        let mut world = tunnels(ALICE, 3, 3);
        if by_peer {
            let spi = of(&world.a, NOBODY).spi_in;
            let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &delete_of(spi)).unwrap();
            assert_eq!(answer.deletes.len(), 1);
            world.each_established(ALICE, |est| est.children.clear());
            world.pass(seconds(2));
            assert!(world.b.children().is_empty(), "Bob has deleted the others");
            assert_eq!(ended(&world.b).len(), 4);
        } else {
            let id = of(&world.b, NOBODY).id;
            let now = world.now;
            world.each_established(BOB, |est| est.child_mut(id).unwrap().life.end = Some(now));
            world.pass(seconds(60));
            assert!(world.a.children().is_empty() && world.b.children().is_empty());
        }
    }
}
/// The Delete of the fallback crosses a request for one beside it, or its answer.
#[test]
fn the_fallback_goes_while_one_more_is_made() {
    for (a, b) in ROLES {
        for caught in [false, true] {
            let (alice, bob) = policies(2, 2);
            let mut world = World::new(alice, bob);
            world.command(a, up());
            world.pass_on(a);
            world.pass_on(b);
            world.pass_on(a);
            world.pass_on(b);
            let request = world.catch(a);
            if caught {
                world.deliver(&request);
            }
            world.command(b, down_lan());
            if !caught {
                world.pass_on(b);
                world.deliver(&request);
            }
            world.pass(seconds(600));
            assert!(world.a.children().is_empty() && world.b.children().is_empty(), "{:?}", resources(&world.a));
            assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
        }
    }
}
/// Whoever cannot have one rekeyed loses that one, and not the IKE SA.
#[test]
fn one_that_expires_takes_nothing_with_it() {
    let mut world = tunnels(ALICE, 2, 2);
    let (id, now): (ChildId, _) = (of(&world.a, Some(1)).id, world.now);
    world.each_established(ALICE, |est| {
        let life = &mut est.child_mut(id).unwrap().life;
        (life.end, life.failures) = (Some(now), 3);
    });
    world.pass(seconds(60));
    assert_group(&world, 2);
    assert_eq!(ended(&world.a), [(id, Ended::Expired)]);
}
/// The peer is dead: all come back.
#[test]
fn after_a_restart_all_are_there_again() {
    for forgets in [ALICE, BOB] {
        let (alice, bob) = policies(2, 2);
        let start = |policy| with_child(policy, |c| c.start = StartAction::Start);
        let mut world = World::new(start(alice), bob.clone());
        world.pass(seconds(5));
        assert_group(&world, 2);
        let now = world.now;
        let peer = world.peer_mut(forgets);
        peer.endpoint = crate::ike::endpoint::Endpoint::new(now, &mut peer.host);
        peer.events.clear();
        peer.host.spis.clear();
        let policy = if forgets == ALICE { start(policies(2, 2).0) } else { bob };
        world.command(forgets, Command::SetPolicy(Arc::new(policy)));
        world.pass(seconds(400));
        assert_eq!(
            (resources(&world.a), resources(&world.b)),
            (vec![None, Some(0), Some(1)], vec![None, Some(0), Some(1)])
        );
    }
}
