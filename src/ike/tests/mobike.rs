//! MOBIKE (RFC 4555, R38): who may move an IKE SA, when traffic follows, and how fast.
use super::super::event::{IkePath, Input};
use super::stranger::Stranger;
use super::*;
use crate::ike::event::Ended;
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::net::SocketAddr;
use wire::Datagram;

/// Where Alice goes, and where Bob can be reached as well.
const AWAY: &str = "198.51.100.9";
const BACKDOOR: &str = "203.0.113.99";

fn mobile(policy: Policy) -> Policy {
    with(policy, |c| {
        c.mobike = true;
        c.local_addrs.clear();
    })
}
fn tunnel_of(alice: Policy, bob: Policy) -> World {
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world.log.clear();
    world
}
fn tunnel() -> World {
    tunnel_of(mobile(alice()), mobile(bob()))
}
/// Alice is somewhere else from now on, and knows it.
fn go(world: &mut World, to: &str) {
    world.a.host.addr = addr(to);
    world.input_a(Input::AddrsChanged);
}
fn end(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr(ip), port)
}
/// Where ESP goes now.
fn path(peer: &Peer) -> IkePath {
    let last = |path, event: &Event| match event {
        Event::ChildUp(up) => Some(up.path),
        Event::PathChanged { path, .. } => Some(*path),
        _ => path,
    };
    peer.events.iter().fold(None, last).expect("a path")
}
fn moves(peer: &Peer) -> usize {
    peer.events.iter().filter(|e| matches!(e, Event::PathChanged { .. })).count()
}
fn notify(kind: NotifyType, data: &[u8]) -> Payload {
    Payload::Notify(Notify::new(kind, data))
}
fn update() -> Payload {
    notify(NotifyType::UPDATE_SA_ADDRESSES, &[])
}
/// Alice says something from an address that may not be hers; what Bob sends.
fn says_from(world: &mut World, from: SocketAddr, payloads: &[Payload]) -> Vec<Datagram> {
    let mut d = world.alice_seals(ExchangeType::INFORMATIONAL, payloads);
    d.from = from;
    let sent = world.bob_gets(&d);
    let now = world.now;
    world.alices().0.settle(now);
    sent
}
/// What is inside Bob's answer.
fn inside(world: &mut World, sent: &[Datagram]) -> Vec<NotifyType> {
    let answer = sent.iter().find(|d| d.header().response).expect("an answer");
    let (now, (_, channel)) = (world.now, world.alices());
    let opened = channel.open_within(now, 65_536, &answer.data).expect("from Bob");
    let kind = |p: &Payload| if let Payload::Notify(n) = p { Some(n.kind) } else { None };
    opened.inner.payloads().unwrap().iter().filter_map(kind).collect()
}

#[test]
fn r38_alice_moves_and_esp_follows_within_two_seconds() {
    let mut world = tunnel();
    go(&mut world, AWAY);
    let since = world.now;
    world.pass(seconds(1));
    let away = IkePath { local: end(AWAY, 4500), remote: end(BOB, 4500), udp: false, may_move: false };
    assert_eq!(path(&world.a), away);
    assert_eq!(path(&world.b), IkePath { local: away.remote, remote: away.local, ..away });
    assert!(world.log.iter().all(|(at, _)| *at < since + seconds(2)));
    assert_eq!((moves(&world.a), moves(&world.b), world.a.ikes(), world.b.ikes()), (1, 1, 1, 1));
    // Back again: Alice has answered there once, so nobody asks her.
    world.log.clear();
    go(&mut world, ALICE);
    world.pass(seconds(1));
    assert_eq!((path(&world.a).local, path(&world.b).remote), (end(ALICE, 4500), end(ALICE, 4500)));
    let asked = world.sent_by(BOB).iter().filter(|d| d.is(ExchangeType::INFORMATIONAL, false)).count();
    assert_eq!(asked, 0);
}

#[test]
fn r38_even_when_the_wire_loses_and_delays() {
    for seed in 0..20 {
        let mut world = World::seeded(seed, mobile(alice()), mobile(bob()));
        world.command_a(up());
        world.pass(seconds(1));
        world.weather = wire::Weather { loss: 20, duplicate: 20, delay: 20, jitter: 100 };
        for to in [AWAY, ALICE, "198.51.100.10"] {
            go(&mut world, to);
            world.pass(seconds(30));
            assert_eq!((path(&world.a).local, path(&world.b).remote), (end(to, 4500), end(to, 4500)), "{seed}");
        }
        assert_one_tunnel(&world);
    }
}

#[test]
fn r38_a_request_that_is_in_flight_goes_with_alice() {
    let mut world = tunnel();
    world.drop = |d| d.to.ip() == addr(ALICE);
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(Duration::from_millis(100));
    go(&mut world, AWAY);
    world.pass(seconds(1));
    assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
    let (core, _) = world.bobs();
    assert_eq!(core.remote, end(AWAY, 4500));
}

#[test]
fn r38_port_4500_from_ike_auth_on() {
    for (ours, theirs) in [(true, true), (false, true), (true, false)] {
        let set = |policy, mobike| with(policy, |c| c.mobike = mobike);
        let mut world = World::new(set(alice(), ours), set(bob(), theirs));
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        let port = if ours { 4500 } else { 500 };
        for (_, d) in world.log.iter().filter(|(_, d)| d.header().exchange == ExchangeType::IKE_AUTH) {
            assert_eq!((d.from.port(), d.to.port()), (port, port));
        }
        assert!(!path(&world.a).udp && !path(&world.b).udp, "ESP needs no UDP without a NAT");
        assert_eq!(world.alices().0.mobile.agreed, ours && theirs);
        assert_eq!(world.bobs().0.mobile.agreed, ours && theirs);
    }
}

#[test]
fn r38_without_the_word_nothing_moves() {
    let mut world = tunnel();
    let before = path(&world.b);
    let sent = says_from(&mut world, end(AWAY, 4500), &[]);
    assert_eq!(sent.iter().map(|d| d.to).collect::<Vec<_>>(), [end(AWAY, 4500)], "answered to where it came from");
    assert_eq!((path(&world.b), moves(&world.b), world.bobs().0.remote), (before, 0, before.remote));
    // And with it, but without MOBIKE, neither.
    let mut world = tunnel_of(alice(), bob());
    let sent = says_from(&mut world, end(AWAY, 500), &[update()]);
    assert_eq!((sent.len(), moves(&world.b), world.bobs().0.remote), (1, 0, end(ALICE, 500)));
}

#[test]
fn r38_the_responder_cannot_move_it() {
    let mut world = tunnel();
    let (core, channel) = world.bobs();
    let header = core.header(ExchangeType::INFORMATIONAL, core.window.next_id(), false);
    let data = channel.seal(header, &[update()], usize::MAX).datagrams()[0].clone();
    world.deliver(&Datagram { from: end(BACKDOOR, 4500), to: end(ALICE, 4500), data, dont_fragment: false });
    world.pass(seconds(1));
    assert_eq!((moves(&world.a), world.alices().0.remote), (0, end(BOB, 4500)));
}

#[test]
fn r38_traffic_follows_only_to_where_alice_has_answered() {
    let mut world = tunnel();
    let before = path(&world.b);
    // Who holds Alice's keys says that she is where somebody else is.
    world.drop = |d| d.to.ip() == addr(AWAY);
    says_from(&mut world, end(AWAY, 4500), &[update()]);
    world.pass(seconds(1));
    assert_eq!((path(&world.b), moves(&world.b)), (before, 0));
    // A further child made meanwhile does not flow there either.
    assert_eq!(world.bobs().0.path(), before);
    // Nobody answers there: Bob asks where she was before, too, and all is as it was.
    world.pass(seconds(20));
    assert_eq!((path(&world.b), world.bobs().0.remote, moves(&world.b)), (before, before.remote, 0));
    assert_one_tunnel(&world);
}

#[test]
fn r38_a_wrong_cookie_closes_the_ike_sa() {
    for cookie in [None, Some([7; 16])] {
        let mut world = tunnel();
        let asked = says_from(&mut world, end(AWAY, 4500), &[update()]);
        let request = asked.iter().find(|d| d.is(ExchangeType::INFORMATIONAL, false)).expect("is she there?").clone();
        assert_eq!(request.to, end(AWAY, 4500));
        let (core, channel) = world.alices();
        let header = core.header(ExchangeType::INFORMATIONAL, request.header().id, true);
        let payloads: Vec<_> = cookie.iter().map(|c| notify(NotifyType::COOKIE2, c)).collect();
        let data = channel.seal(header, &payloads, usize::MAX).datagrams()[0].clone();
        world.deliver(&Datagram { from: request.to, to: request.from, data, dont_fragment: false });
        world.pass(seconds(10));
        assert!(world.b.failures().contains(&"mobike.cookie"));
        let down = |e: &Event| matches!(e, Event::IkeDown { why: Ended::Failed, .. });
        assert!(world.b.events.iter().any(down));
    }
}

#[test]
fn r38_further_addresses_are_few_and_nothing_goes_there_of_itself() {
    let mut world = tunnel();
    let further = |n: u8| notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[198, 51, 100, n]);
    let many: Vec<_> = (1..100).map(further).collect();
    says_from(&mut world, end(ALICE, 4500), &many);
    let junk = [
        notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[1, 2, 3]),
        notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[224, 0, 0, 1]),
        notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[127, 0, 0, 1]),
        notify(NotifyType::ADDITIONAL_IP6_ADDRESS, &[0; 16]),
    ];
    says_from(&mut world, end(ALICE, 4500), &junk);
    assert_eq!(world.bobs().0.mobile.known().len(), 8);
    // Alice is gone: Bob looks for her where she was, and nowhere else.
    world.drop = |_| true;
    world.log.clear();
    world.pass(seconds(200));
    let sent = world.sent_by(BOB);
    assert!(!sent.is_empty() && sent.iter().all(|d| d.to.ip() == addr(ALICE)));
    let mut world = tunnel();
    says_from(&mut world, end(ALICE, 4500), &many);
    says_from(&mut world, end(ALICE, 4500), &[notify(NotifyType::NO_ADDITIONAL_ADDRESSES, &[])]);
    assert!(world.bobs().0.mobile.known().is_empty());
}

#[test]
fn r38_bobs_further_address_is_tried_when_he_does_not_answer_where_he_was() {
    let mut world = World::new(mobile(alice()), mobile(bob()));
    world.b.host.others = vec![addr(BACKDOOR)];
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world.drop = |d| d.to.ip() == addr(BOB) || d.from.ip() == addr(BOB);
    world.pass(seconds(40));
    assert_eq!((path(&world.a).remote, path(&world.b).local), (end(BACKDOOR, 4500), end(BACKDOOR, 4500)));
    assert_one_tunnel(&world);
}

#[test]
fn r38_bob_tells_when_his_addresses_change() {
    let mut world = tunnel();
    world.b.host.others = vec![addr(BACKDOOR)];
    world.input_b(Input::AddrsChanged);
    world.pass(seconds(1));
    assert_eq!(world.alices().0.mobile.known(), [addr(BACKDOOR)]);
    // The address in use goes away: Bob sends from the other, and Alice follows.
    (world.b.host.addr, world.b.host.others) = (addr(BACKDOOR), Vec::new());
    world.input_b(Input::AddrsChanged);
    world.pass(seconds(2));
    assert_eq!((path(&world.a).remote, path(&world.b).local), (end(BACKDOOR, 4500), end(BACKDOOR, 4500)));
    assert_one_tunnel(&world);
}

#[test]
fn r38_bobs_only_address_is_another_one() {
    let mut world = tunnel();
    world.b.host.addr = addr(BACKDOOR);
    world.input_b(Input::AddrsChanged);
    world.pass(seconds(2));
    assert_eq!((path(&world.a).remote, path(&world.b).local), (end(BACKDOOR, 4500), end(BACKDOOR, 4500)));
    assert_one_tunnel(&world);
}

#[test]
fn r38_an_address_that_nobody_can_have_is_refused() {
    let mut world = tunnel();
    for ip in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1", BOB] {
        let sent = says_from(&mut world, end(ip, 4500), &[update()]);
        assert!(inside(&mut world, &sent).contains(&NotifyType::UNACCEPTABLE_ADDRESSES), "{ip}");
        assert_eq!((moves(&world.b), world.bobs().0.remote), (0, end(ALICE, 4500)));
    }
}

#[test]
fn r38_a_nat_where_none_may_be() {
    let mut world = tunnel();
    for (real, ok) in [(AWAY, true), (ALICE, false)] {
        let said = [update(), no_nats(end(real, 4500), end(BOB, 4500))];
        let before = world.bobs().0.remote;
        let sent = says_from(&mut world, end(AWAY, 4500), &said);
        let told = inside(&mut world, &sent).contains(&NotifyType::UNEXPECTED_NAT_DETECTED);
        assert_eq!(told, !ok);
        assert_eq!(world.bobs().0.remote, if ok { end(AWAY, 4500) } else { before });
    }
}

/// The same in IKE_AUTH, of a peer without NAT traversal (RFC 4555 section 3.9).
#[test]
fn r38_a_nat_where_none_may_be_in_ike_auth() {
    for (real, ok) in [(ALICE, true), (AWAY, false)] {
        let mut world = World::new(mobile(alice()), mobile(bob()));
        let mut stranger = Stranger::like_alice().meets(&mut world);
        let said = [status(NotifyType::MOBIKE_SUPPORTED), no_nats(end(real, 500), end(BOB, 500))];
        let request = [stranger.proof(), said.to_vec()].concat();
        let answer = stranger.asks(&mut world, ExchangeType::IKE_AUTH, &request);
        let told = answer.payloads().contains(&status(NotifyType::UNEXPECTED_NAT_DETECTED));
        assert_eq!((told, world.bobs().0.mobile.agreed), (!ok, ok), "{answer:?}");
    }
}
#[test]
fn r38_an_initiator_begins_anew_when_its_addresses_were_touched() {
    let mut world = World::new(mobile(alice()), mobile(bob()));
    world.command_a(up());
    let mut bob = Stranger::like_bob();
    let sent = bob.answers(&mut world, |_| {});
    let asked = bob.opens(&sent[0]).expect("it is sealed");
    assert!(asked.contains(&no_nats(end(ALICE, 500), end(BOB, 500))), "{asked:?}");
    let touched = [status(NotifyType::MOBIKE_SUPPORTED), status(NotifyType::UNEXPECTED_NAT_DETECTED)];
    let proof = [bob.proof(), touched.to_vec()].concat();
    let next = bob.replies(&mut world, &sent[0], &proof);
    assert_eq!((world.a.ikes(), world.a.failures()), (0, vec!["mobike.nat"]));
    // Bob believes that all is well, and hears that it is not.
    let told = bob.opens(&next[0]).expect("it is sealed");
    assert_eq!(told, [status(NotifyType::AUTHENTICATION_FAILED)]);
}
fn status(kind: NotifyType) -> Payload {
    notify(kind, &[])
}
fn no_nats(from: SocketAddr, to: SocketAddr) -> Payload {
    let ip = |a: SocketAddr| if let std::net::IpAddr::V4(ip) = a.ip() { ip.octets() } else { panic!("IPv4") };
    let data = [&ip(from)[..], &ip(to), &from.port().to_be_bytes(), &to.port().to_be_bytes()].concat();
    notify(NotifyType::NO_NATS_ALLOWED, &data)
}

#[test]
fn r38_a_nat_is_looked_for_again_after_the_move() {
    let mut world = tunnel();
    assert!(!path(&world.a).udp);
    world.nat_of = addr("10.0.0.5");
    world.nat = Some((addr(AWAY), 0));
    go(&mut world, "10.0.0.5");
    world.pass(seconds(2));
    let (a, b) = (path(&world.a), path(&world.b));
    assert!(a.udp && b.udp);
    assert_eq!((a.local, b.remote), (end("10.0.0.5", 4500), end(AWAY, 4500)));
    // And out of it again.
    world.nat = None;
    go(&mut world, ALICE);
    world.pass(seconds(2));
    assert!(!path(&world.a).udp && !path(&world.b).udp);
}

#[test]
fn r37_with_mobike_a_new_mapping_of_the_nat_is_noticed_by_the_liveness_check() {
    let anywhere = with(mobile(bob()), |c| c.remote_addrs = vec![Remote::Any]);
    let mut world = World::new(mobile(alice()), anywhere);
    world.nat = Some((addr(AWAY), 1000));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_eq!((path(&world.b).remote, path(&world.b).may_move), (end(AWAY, 5500), false));
    world.nat = Some((addr(AWAY), 2000));
    world.pass(seconds(32));
    assert_eq!((path(&world.b).remote, moves(&world.b)), (end(AWAY, 6500), 1));
    assert_one_tunnel(&world);
    world.pass(seconds(100));
    assert_eq!(moves(&world.b), 1, "once");
}

/// RFC 4555 section 3.5: an answer that comes late, to an update for an address that was left since, moves nothing.
#[test]
fn r38_a_late_answer_to_an_earlier_move() {
    let mut world = tunnel();
    world.weather.delay = 300;
    go(&mut world, AWAY);
    world.pass(Duration::from_millis(900));
    go(&mut world, "198.51.100.10");
    world.pass(seconds(5));
    assert_eq!((path(&world.a).local, path(&world.b).remote), (end("198.51.100.10", 4500), end("198.51.100.10", 4500)));
    assert_one_tunnel(&world);
}

/// Who began the first IKE SA moves, whoever has rekeyed it since (RFC 4555 section 1.3).
#[test]
fn r38_after_a_rekey_by_bob_it_is_still_alice_who_moves() {
    let mut world = tunnel();
    world.command_b(Command::Rekey { connection: "net".into(), child: None });
    world.pass(seconds(2));
    assert!(!world.alices().0.initiator, "Bob began this one");
    go(&mut world, AWAY);
    world.pass(seconds(2));
    assert_eq!((path(&world.a).local, path(&world.b).remote), (end(AWAY, 4500), end(AWAY, 4500)));
    let (core, channel) = world.bobs();
    let header = core.header(ExchangeType::INFORMATIONAL, core.window.next_id(), false);
    let data = channel.seal(header, &[update()], usize::MAX).datagrams()[0].clone();
    world.deliver(&Datagram { from: end(BACKDOOR, 4500), to: end(AWAY, 4500), data, dont_fragment: false });
    world.pass(seconds(1));
    assert_eq!(world.alices().0.remote, end(BOB, 4500));
}
