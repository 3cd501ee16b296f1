//! Probes of the path: how large they are, what becomes of them, and that they do no harm (RFC 7383 section 2.5.2).
use super::super::event::{Ended, IkeId, Input};
use super::*;
use crate::wire::fragment::SKF_HEADER_LEN;
use crate::wire::message::HEADER_LEN;
use crate::wire::registry::{ExchangeType, PayloadType};
use std::collections::BTreeMap;
use wire::Datagram;

/// What the narrow path takes.
const NARROW: usize = 1400;

/// Octets of the IP packet.
fn outer(d: &Datagram) -> usize {
    let marker = if d.from.port() == 500 { 0 } else { 4 };
    d.data.len() + marker + 8 + if d.from.is_ipv4() { 20 } else { 40 }
}
fn ike_of(world: &mut World) -> IkeId {
    world.alices().0.id
}
fn ask(world: &mut World, size: u16) {
    let ike = ike_of(world);
    world.command_a(Command::Probe { ike, size });
}
fn answers(peer: &Peer) -> Vec<(u16, Option<bool>)> {
    let probed = |e: &Event| if let Event::Probed { size, fits, .. } = e { Some((*size, *fits)) } else { None };
    peer.events.iter().filter_map(probed).collect()
}
fn requests(world: &World) -> Vec<(Duration, &Datagram)> {
    let ours = world.log.iter().filter(|(_, d)| d.from.ip() == addr(ALICE) && d.is(ExchangeType::INFORMATIONAL, false));
    ours.map(|(at, d)| (*at, d)).collect()
}
fn is_fragment(d: &Datagram) -> bool {
    d.header().first == PayloadType::SKF
}
/// The policy for a host with this address and a peer with that.
fn at(policy: Policy, local: &str, remote: &str) -> Policy {
    with(policy, |c| (c.local_addrs, c.remote_addrs) = (vec![addr(local)], vec![Remote::Addr(addr(remote))]))
}
fn tunnel() -> World {
    tunnel_of(alice(), bob())
}
/// What is longer than the path and may not be fragmented is lost.
fn narrow(d: &Datagram) -> bool {
    d.dont_fragment && outer(d) > NARROW
}
/// A quick exchange, so that the round trip is known.
fn measured(delay: u64) -> World {
    let mut world = tunnel();
    world.weather.delay = delay;
    world.pass(seconds(31));
    assert!(!requests(&world).is_empty(), "a liveness check");
    world.log.clear();
    world
}
/// After all that has happened both can do everything.
fn assert_unharmed(world: &mut World) {
    world.drop = |_| false;
    world.pass(seconds(5));
    let before = world.a.children()[0].id;
    world.command_a(rekey(Some("lan")));
    world.pass(seconds(5));
    assert_one_tunnel(world);
    assert_ne!(world.a.children()[0].id, before);
}

/// No IV comes twice but with the same octets.
fn assert_sealed_once(world: &World) {
    let mut ivs = BTreeMap::new();
    for (_, d) in world.log.iter().filter(|(_, d)| d.header().exchange != ExchangeType::IKE_SA_INIT) {
        let at = HEADER_LEN + if is_fragment(d) { SKF_HEADER_LEN } else { 4 };
        let before = ivs.insert((d.header().spi_i, d.header().initiator, d.data[at..at + 8].to_vec()), d.data.clone());
        assert!(before.is_none_or(|before| before == d.data), "an IV twice: {:?}", d.header());
    }
}

#[test]
fn the_packet_has_the_size_that_was_asked_for() {
    let suites = [
        ("aes128gcm16-prfsha256-x25519", 1),
        ("chacha20poly1305-prfsha512-x25519", 1),
        ("aes256-sha512-prfsha256-x25519", 16),
        ("aes128-sha1-x25519", 16),
    ];
    let six = ("2001:db8:1::1", "2001:db8:2::7");
    for (suite, block) in suites {
        for (marked, ends) in [(false, (ALICE, BOB)), (true, (ALICE, BOB)), (false, six), (true, six)] {
            let both = |policy| {
                with(policy, |c| {
                    c.proposals = ike(suite);
                    c.encap = if marked { EncapPolicy::Always } else { EncapPolicy::Auto };
                })
            };
            let mut world = World::new(both(at(alice(), ends.0, ends.1)), both(at(bob(), ends.1, ends.0)));
            (world.a.host.addr, world.b.host.addr) = (addr(ends.0), addr(ends.1));
            world.command_a(up());
            world.pass(seconds(1));
            for size in (1280..1300).chain([576, 1399, 1500, 9000, 9216]) {
                world.log.clear();
                ask(&mut world, size);
                world.pass(seconds(2));
                let [(_, request), (_, answer)] = &world.log[..] else { panic!("{suite} {size}: {:?}", world.log) };
                assert_eq!(request.from.port(), if marked { 4500 } else { 500 });
                assert!(request.dont_fragment && !answer.dont_fragment && !is_fragment(request));
                let outer = outer(request);
                let size = usize::from(size);
                assert!(outer <= size && size < outer + block, "{suite} {ends:?} {marked}: {outer} for {size}");
                let sent = |e: &Event| if let Event::Probed { sent, .. } = e { Some(usize::from(*sent)) } else { None };
                assert_eq!(world.a.events.iter().rev().find_map(sent), Some(outer), "and that is told");
            }
            assert!(answers(&world.a).len() == 25 && answers(&world.a).iter().all(|(_, fits)| *fits == Some(true)));
        }
    }
}

#[test]
fn it_is_one_notification_that_nobody_knows_and_the_answer_is_empty() {
    let mut world = tunnel();
    ask(&mut world, 1500);
    let request = world.catch(ALICE);
    let inside = world.bob_reads(&request);
    let [notify] = &inside.notifies[..] else { panic!("{inside:?}") };
    assert!((40_960..=65_535).contains(&notify.kind.0), "private use, and a status");
    assert_eq!((notify.protocol, notify.spi.len()), (ProtocolId(0), 0));
    assert!(notify.data.len() > 1400 && notify.data.iter().all(|octet| *octet == 0));
    world.deliver(&request);
    let answer = world.catch(BOB);
    let inside = world.alice_reads(&answer);
    assert!(inside.notifies.is_empty() && inside.deletes.is_empty());
    assert!(answer.data.len() < 100);
}

#[test]
fn a_request_as_large_as_udp_can_carry_is_answered() {
    let mut world = tunnel();
    let octets = 65_535 - 20 - 8 - 4 - 28 - 4 - 8 - 16 - 1 - 8;
    let padding = crate::wire::payload::Notify::new(crate::wire::registry::NotifyType(50_000), vec![0; octets]);
    let answer = world.alice_asks(ExchangeType::INFORMATIONAL, &[crate::wire::payload::Payload::Notify(padding)]);
    assert!(answer.expect("an answer").notifies.is_empty());
}

#[test]
fn on_a_narrow_path_the_same_request_arrives_in_fragments() {
    let mut world = measured(50);
    world.drop = narrow;
    ask(&mut world, 1500);
    let asked = world.now;
    world.pass(seconds(3));
    assert_eq!(answers(&world.a), [(1500, Some(false))]);
    let sent = requests(&world);
    let times: Vec<_> = sent.iter().map(|(at, _)| (*at - asked).as_millis()).collect();
    assert_eq!(times, [0, 250, 500, 500, 500, 500], "twice, then three fragments, and once more");
    assert_eq!(sent[0].1, sent[1].1, "octet for octet");
    assert!(sent[..2].iter().all(|(_, d)| d.dont_fragment && outer(d) == 1500 && !is_fragment(d)));
    assert!(sent[2..5].iter().all(|(_, d)| !d.dont_fragment && outer(d) <= 576 && is_fragment(d)));
    assert!(!sent[5].1.dont_fragment && sent[5].1.data == sent[0].1.data);
    assert!(sent.iter().all(|(_, d)| d.header().id == sent[0].1.header().id));
    assert_sealed_once(&world);
    // It was not a matter of the path as such: the next messages are as large as ever.
    let (core, _) = world.alices();
    assert_eq!(core.size.room(core.remote), 1280 - 32);
    ask(&mut world, NARROW as u16);
    world.pass(seconds(1));
    assert_eq!(answers(&world.a)[1..], [(1400, Some(true))]);
    assert_unharmed(&mut world);
}

#[test]
fn a_peer_that_knows_no_fragments_gets_the_same_octets_without_df() {
    let mut world = tunnel_of(with(alice(), |c| c.fragmentation = false), bob());
    world.drop = narrow;
    ask(&mut world, 1500);
    world.pass(seconds(3));
    assert_eq!(answers(&world.a), [(1500, Some(false))]);
    let sent = requests(&world);
    let df: Vec<_> = sent.iter().map(|(_, d)| d.dont_fragment).collect();
    assert_eq!(df, [true, true, false]);
    assert!(sent.iter().all(|(_, d)| d.data == sent[0].1.data));
    assert_unharmed(&mut world);
}

/// Debian's strongSwan takes a fragmented INFORMATIONAL for something else.
#[test]
fn a_peer_that_takes_no_fragments_though_it_has_said_so_gets_what_ip_has_cut() {
    let mut world = tunnel();
    world.drop = |d| narrow(d) || is_fragment(d);
    ask(&mut world, 1500);
    world.pass(seconds(2));
    assert_eq!(answers(&world.a), [(1500, Some(false))]);
    assert_unharmed(&mut world);
}

/// And some paths swallow what IP has cut: who does not answer a request in any form may yet be alive.
#[test]
fn a_request_that_gets_through_in_no_form_costs_an_ike_sa_but_no_tunnel() {
    let mut world = tunnel();
    world.drop = |d| outer(d) > NARROW || is_fragment(d);
    let old = ike_of(&mut world);
    ask(&mut world, 1500);
    let child = world.a.children()[0].id;
    world.pass(seconds(3));
    assert_one_tunnel(&world);
    assert_ne!(ike_of(&mut world), old);
    let told = |f: &dyn Fn(&Event) -> bool| world.a.events.iter().position(f).unwrap();
    let comes = told(&|e| matches!(e, Event::ChildUp(up) if up.id != child));
    assert!(comes < told(&|e| matches!(e, Event::ChildDown { id, .. } if *id == child)), "the new one is there before");
    assert_eq!((answers(&world.a), world.a.failures().len()), (vec![(1500, None)], 0));
    // What may have been too large is not sent again, but what nearly all paths take is.
    world.log.clear();
    for size in [1500, 1381, 1380] {
        ask(&mut world, size);
    }
    world.pass(seconds(1));
    assert_eq!(answers(&world.a)[1..], [(1500, Some(false)), (1381, Some(false)), (1380, Some(true))]);
    assert!(requests(&world).iter().all(|(_, d)| outer(d) <= 1380));
    world.pass(seconds(3600));
    world.drop = |_| false;
    ask(&mut world, 1500);
    world.pass(seconds(1));
    assert_eq!(answers(&world.a)[4..], [(1500, Some(true))], "but an hour later perhaps");
    // Who has answered one like it before is dead if it does not now, and nothing is held against the path.
    world.drop = |_| true;
    ask(&mut world, 1500);
    world.pass(seconds(100));
    world.drop = |_| false;
    world.pass(seconds(100));
    assert_one_tunnel(&world);
    ask(&mut world, 1500);
    world.pass(seconds(1));
    assert_eq!(answers(&world.a)[5..], [(1500, None), (1500, Some(true))]);
}

/// Each IKE SA that goes that way teaches more.
#[test]
fn the_narrower_the_path_the_more_careful() {
    let mut world = tunnel();
    world.drop = |d| outer(d) > 1300 || is_fragment(d);
    for size in [1500, 1380, 1340, 1280] {
        ask(&mut world, size);
        world.pass(seconds(4));
    }
    assert_eq!(answers(&world.a), [(1500, None), (1380, None), (1340, Some(false)), (1280, Some(true))]);
    assert_one_tunnel(&world);
    assert_eq!(world.a.failures().len(), 0);
}

#[test]
fn one_of_two_is_enough() {
    let mut world = measured(20);
    ask(&mut world, 1500);
    assert_eq!(world.hold().len(), 1, "lost");
    world.pass(seconds(1));
    assert_eq!((answers(&world.a), requests(&world).len()), (vec![(1500, Some(true))], 2));
}

#[test]
fn it_waits_as_long_as_the_path_is() {
    // A satellite: 800 ms there and back.
    let mut world = measured(400);
    ask(&mut world, 1500);
    world.pass(seconds(2));
    assert_eq!((answers(&world.a), requests(&world).len()), (vec![(1500, Some(true))], 1));
    world.drop = narrow;
    let asked = world.now;
    ask(&mut world, 1500);
    world.pass(seconds(10));
    assert_eq!(answers(&world.a)[1..], [(1500, Some(false))]);
    let smaller = requests(&world).into_iter().find(|(_, d)| is_fragment(d)).expect("in the end").0;
    assert_eq!((smaller - asked).as_millis(), 3000, "and no longer");
    assert_unharmed(&mut world);
}

#[test]
fn a_silent_peer_dies_as_usual_and_nothing_is_said_of_the_size() {
    let mut world = tunnel();
    world.drop = |_| true;
    ask(&mut world, 1500);
    let asked = world.now;
    while world.a.ikes() == 1 {
        assert!(world.turn(asked + seconds(200)), "somebody notices");
    }
    assert_eq!(answers(&world.a), [(1500, None)]);
    assert!(world.a.failures().contains(&"dpd.no_response"));
    assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeDown { why: Ended::PeerDead, .. })));
    let usual = super::super::window::patience(&Retransmit::default());
    assert_eq!(world.now - asked, Duration::from_millis(500) + usual);
    assert_sealed_once(&world);
}

#[test]
fn after_a_long_silence_the_size_need_not_have_been_the_reason() {
    let mut world = tunnel();
    world.drop = |_| true;
    ask(&mut world, 1500);
    world.pass(seconds(8));
    world.drop = |_| false;
    world.pass(seconds(8));
    assert_eq!(answers(&world.a), [(1500, None)]);
    assert_one_tunnel(&world);
    assert_unharmed(&mut world);
}

#[test]
fn one_at_a_time_and_in_order() {
    let mut world = tunnel();
    world.drop = narrow;
    ask(&mut world, 1500);
    ask(&mut world, 1300);
    ask(&mut world, 1300);
    assert_eq!(requests(&world).len(), 1);
    world.pass(seconds(3));
    assert_eq!(answers(&world.a), [(1500, Some(false)), (1300, Some(true)), (1300, Some(true))]);
}

#[test]
fn it_waits_for_the_window_and_others_wait_for_it_only_a_moment() {
    let mut world = measured(20);
    world.drop = narrow;
    world.command_a(rekey(Some("lan")));
    ask(&mut world, 1500);
    world.command_a(rekey(Some("lan")));
    let (asked, before) = (world.now, world.a.children()[0].id);
    assert!(requests(&world).is_empty());
    world.pass(seconds(2));
    assert_eq!(answers(&world.a), [(1500, Some(false))]);
    assert_ne!(world.a.children()[0].id, before);
    world.command_a(rekey(None));
    world.pass(seconds(1));
    ask(&mut world, 1500);
    world.command_a(rekey(Some("lan")));
    let creates =
        |world: &World| world.sent_by(ALICE).iter().filter(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)).count();
    let before = creates(&world);
    world.pass(Duration::from_millis(700));
    assert_eq!(creates(&world), before + 1, "since {asked:?}");
    assert_unharmed(&mut world);
}

#[test]
fn nothing_is_known_of_what_cannot_be_asked() {
    let mut world = tunnel();
    world.command_a(Command::Probe { ike: IkeId(4711), size: 1500 });
    for size in [0, 20, 60, 9217, 65_535] {
        ask(&mut world, size);
    }
    let none = [1500, 0, 20, 60, 9217, 65_535].map(|size| (size, None));
    assert_eq!(answers(&world.a), none);
    assert!(world.log.is_empty());
    // While it is being rekeyed, and while it goes.
    world.a.events.retain(|e| !matches!(e, Event::Probed { .. }));
    world.command_a(rekey(None));
    ask(&mut world, 1500);
    assert_eq!(answers(&world.a), [(1500, None)]);
    world.pass(seconds(1));
    world.command_a(down());
    ask(&mut world, 1400);
    assert_eq!(answers(&world.a), [(1500, None), (1400, None)]);
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    // Nor while it comes up.
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    let ike = *world.a.endpoint.sas.keys().next().unwrap();
    world.command_a(Command::Probe { ike, size: 1500 });
    assert_eq!(answers(&world.a), [(1500, None)]);
}

#[test]
fn bob_rekeys_the_ike_sa_while_alice_probes_it() {
    let mut world = tunnel();
    world.drop = narrow;
    let old = ike_of(&mut world);
    ask(&mut world, 1500);
    ask(&mut world, 1300);
    world.command_b(rekey(None));
    world.pass(Duration::from_millis(100));
    assert_eq!(answers(&world.a), [(1500, None), (1300, None)]);
    assert!(world.a.events.iter().any(|e| matches!(e, Event::IkeRekeyed { old: o, .. } if *o == old)));
    let told = |f: fn(&Event) -> bool| world.a.events.iter().position(f).unwrap();
    assert!(told(|e| matches!(e, Event::Probed { .. })) < told(|e| matches!(e, Event::IkeRekeyed { .. })));
    world.pass(seconds(5));
    assert_one_tunnel(&world);
    assert_unharmed(&mut world);
}

#[test]
fn who_takes_it_all_down_does_not_wait_for_a_probe() {
    let mut world = measured(20);
    world.drop = narrow;
    ask(&mut world, 1500);
    ask(&mut world, 1300);
    world.command_a(down());
    assert_eq!(answers(&world.a), [(1500, None), (1300, None)]);
    world.pass(Duration::from_millis(100));
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0), "the request in its small form, then the Delete");
}

#[test]
fn a_path_that_changes_is_another_one() {
    let mobile = |policy| {
        with(policy, |c| {
            c.mobike = true;
            c.local_addrs.clear();
        })
    };
    let mut world = tunnel_of(mobile(alice()), mobile(bob()));
    world.drop = narrow;
    ask(&mut world, 1500);
    world.a.host.addr = addr("198.51.100.9");
    world.input_a(Input::AddrsChanged);
    ask(&mut world, 1400);
    assert_eq!(answers(&world.a)[0], (1500, None));
    world.pass(seconds(1));
    assert_eq!(world.bobs().0.remote.ip(), addr("198.51.100.9"), "the request was small at once");
    assert_eq!(answers(&world.a).len(), 2);
    ask(&mut world, 1400);
    world.pass(seconds(1));
    assert_eq!(answers(&world.a).last(), Some(&(1400, Some(true))));
    // The one who did not begin probes the peer that has moved.
    let ike = world.bobs().0.id;
    world.command_b(Command::Probe { ike, size: 1500 });
    world.a.host.addr = addr(ALICE);
    world.input_a(Input::AddrsChanged);
    world.pass(seconds(1));
    assert_eq!(answers(&world.b), [(1500, None)]);
    assert_unharmed(&mut world);
}

#[test]
fn loss_says_the_wrong_thing_now_and_then_and_does_no_harm() {
    for seed in 0..20 {
        let mut world = World::seeded(seed, alice(), bob());
        world.command_a(up());
        world.pass(seconds(1));
        world.weather = wire::Weather { loss: 30, duplicate: 20, delay: 20, jitter: 300 };
        world.drop = narrow;
        for (i, size) in [1500, 1300, 1401, 1400].into_iter().enumerate() {
            ask(&mut world, size);
            world.pass(seconds(40));
            let (asked, fits) = answers(&world.a)[i];
            assert_eq!(asked, size);
            assert!(fits != Some(true) || size <= NARROW as u16, "what did not arrive is not answered");
        }
        assert_one_tunnel(&world);
        assert_sealed_once(&world);
    }
}
