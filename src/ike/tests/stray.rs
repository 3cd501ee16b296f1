//! What belongs to no SA: a peer that has lost everything says so, and is believed as far as it can be.
use super::super::endpoint::Endpoint;
use super::super::event::Input;
use super::super::status::State;
use super::*;
use crate::wire::message::{Header, IkeSpi, Message};
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::net::SocketAddr;

/// A tunnel of Alice's, then Bob is killed and started anew; nobody else knows.
fn after_a_crash(alice: Policy, bob: Policy) -> World {
    let mut world = tunnel_of(alice, bob.clone());
    world.pass(seconds(3));
    world.b.endpoint = Endpoint::new(world.now, &mut world.b.host);
    world.b.events.clear();
    world.b.host.spis.clear();
    world.command_b(Command::SetPolicy(Arc::new(bob)));
    world
}
/// An ESP packet of Alice's comes to Bob, who has nothing for it.
fn esp_of_alice(world: &mut World) {
    let spi = world.a.children()[0].spi_out;
    let (local, remote) = (SocketAddr::new(addr(BOB), 0), SocketAddr::new(addr(ALICE), 0));
    world.input_b(Input::UnknownSpi { spi, local, remote });
}
fn notify(world: &World, from: &str) -> Vec<(NotifyType, bool)> {
    let clear = |d: &&wire::Datagram| d.is(ExchangeType::INFORMATIONAL, d.header().response);
    let mut found = Vec::new();
    for datagram in world.sent_by(from).into_iter().filter(clear) {
        if let Some(Payload::Notify(notify)) =
            Message::parse(&datagram.data).ok().and_then(|m| m.payloads.first().cloned())
        {
            found.push((notify.kind, datagram.header().response));
        }
    }
    found
}

/// RFC 7296 sections 1.5 and 2.21.4: two hints and three unanswered questions, and the old IKE SA stays until another one is authenticated.
#[test]
fn a_peer_that_has_lost_everything_is_called_anew_beside_what_it_has_lost() {
    let mut world = after_a_crash(alice(), bob());
    esp_of_alice(&mut world);
    world.pass(Duration::from_millis(1200));
    assert_eq!(notify(&world, BOB)[0], (NotifyType::INVALID_SPI, false));
    assert_eq!(notify(&world, BOB)[1..], [(NotifyType::INVALID_IKE_SPI, true); 2]);
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 0), "it is only asked so far");
    world.pass(Duration::from_millis(300));
    assert_eq!(world.b.ikes(), 1);
    let newest = world.a.children().into_iter().max_by_key(|child| child.id).unwrap().clone();
    assert_mirrored(&newest, world.b.children()[0]);
    assert!(world.a.failures().is_empty());
    world.pass(seconds(60));
    assert_one_tunnel(&world);
}

/// Whatever a stranger says, a peer that answers is asked no more often than every two seconds, and nothing is made anew.
#[test]
fn who_lives_is_asked_and_nothing_else_follows() {
    let mut world = tunnel_of(alice(), with(bob(), |c| c.dpd_delay = Duration::ZERO));
    world.pass(seconds(3));
    let (spi, ike) = (world.a.children()[0].spi_out, world.alices().0.id);
    let (from, to) = (SocketAddr::new(addr(BOB), 500), SocketAddr::new(addr(ALICE), 500));
    let header = Header {
        spi_i: IkeSpi::NONE,
        spi_r: IkeSpi::NONE,
        ..world.alices().0.header(ExchangeType::INFORMATIONAL, 0, false)
    };
    for _ in 0..100 {
        let lost = Notify::new(NotifyType::INVALID_SPI, spi.to_be_bytes());
        let data = Message { header, payloads: vec![Payload::Notify(lost)] }.encode();
        world.deliver(&wire::Datagram { from, to, data, dont_fragment: false });
        // And the same of the IKE SA, as if it were the answer to what is in flight.
        let (core, _) = world.alices();
        let header =
            Header { initiator: false, ..core.header(ExchangeType::INFORMATIONAL, core.window.next_id(), true) };
        let denied = Notify::new(NotifyType::INVALID_IKE_SPI, []);
        let data = Message { header, payloads: vec![Payload::Notify(denied)] }.encode();
        world.deliver(&wire::Datagram { from, to, data, dont_fragment: false });
        world.pass(Duration::from_millis(100));
    }
    let asked = world.sent_by(ALICE).len();
    assert!((4..=5).contains(&asked), "{asked}");
    assert_one_tunnel(&world);
    assert_eq!(world.alices().0.id, ike);
}

/// It says nothing about SPIs that are not Alice's, and from elsewhere nobody listens.
#[test]
fn only_the_peer_may_say_that_it_has_lost_what_we_send_on() {
    let mut world = tunnel_of(alice(), bob());
    world.pass(seconds(3));
    let spi = world.a.children()[0].spi_out;
    let to = SocketAddr::new(addr(ALICE), 500);
    let header = world.alices().0.header(ExchangeType::INFORMATIONAL, 0, false);
    let header = Header { spi_i: IkeSpi::NONE, spi_r: IkeSpi::NONE, ..header };
    for (from, data) in [
        (BOB, (spi + 1).to_be_bytes().to_vec()),
        ("203.0.113.8", spi.to_be_bytes().to_vec()),
        (BOB, vec![1]),
        (BOB, vec![]),
    ] {
        let data =
            Message { header, payloads: vec![Payload::Notify(Notify::new(NotifyType::INVALID_SPI, data))] }.encode();
        world.deliver(&wire::Datagram { from: SocketAddr::new(addr(from), 500), to, data, dont_fragment: false });
    }
    assert!(world.log.is_empty());
}

/// RFC 7296 section 2.21.4: the same SPIs, exchange and id, and nothing about what was not a protected request. Neither is larger than what it
/// answers, and nobody makes us say it for ever.
#[test]
fn what_is_said_about_strays_is_small_and_not_said_too_often() {
    let mut world = after_a_crash(alice(), bob());
    let request = world.alice_seals(ExchangeType::INFORMATIONAL, &[]);
    let sent = world.bob_gets(&request);
    let (asked, answer) = (request.header(), sent[0].header());
    assert_eq!((sent.len(), sent[0].to, sent[0].from), (1, request.from, request.to));
    assert_eq!(
        (answer.spi_i, answer.spi_r, answer.id, answer.exchange),
        (asked.spi_i, asked.spi_r, asked.id, asked.exchange)
    );
    assert!(answer.response && !answer.initiator && sent[0].data.len() <= request.data.len());
    // Not about a response, nor about what is in the clear, nor to somebody whom no connection is with.
    let mut response = request.clone();
    response.data[19] |= 0x20;
    let clear =
        Message { header: asked, payloads: vec![Payload::Notify(Notify::new(NotifyType::INVALID_IKE_SPI, []))] };
    let clear = wire::Datagram { data: clear.encode(), ..request.clone() };
    let stranger = wire::Datagram { from: SocketAddr::new(addr("198.51.100.1"), 500), ..request.clone() };
    for nothing in [response, clear, stranger] {
        assert!(world.bob_gets(&nothing).is_empty(), "{nothing:?}");
    }
    // The answer has 36 octets.
    let mut small = request.clone();
    small.data.truncate(35);
    small.data[27] = 35;
    assert!(world.bob_gets(&small).is_empty());
    let said = (0..5000).filter(|_| !world.bob_gets(&request).is_empty()).count();
    assert!((1900..=2000).contains(&said), "{said}");
    // That nothing is left for the one kind does not silence the other.
    let esp = |world: &mut World, from: &str| {
        let (local, remote) = (SocketAddr::new(addr(BOB), 0), SocketAddr::new(addr(from), 0));
        world.b.handle(world.now, Input::UnknownSpi { spi: 0x0909_0909, local, remote }).len()
    };
    assert_eq!(esp(&mut world, ALICE), 1);
    // What strangers make us say costs newcomers no cookie.
    world.command_a(rekey(None));
    world.log.clear();
    world.pass(Duration::from_millis(10));
    assert!(world.sent_by(BOB).is_empty());
    let said = Message::parse(&sent[0].data).unwrap();
    assert!(
        matches!(&said.payloads[..], [Payload::Notify(n)] if n.kind == NotifyType::INVALID_IKE_SPI && n.data.is_empty())
    );
}

/// A peer of the configuration learns that Bob has lost everything however many others come from wherever.
#[test]
fn strangers_leave_peers_what_is_said_to_them() {
    for others in [&[Remote::Any][..], &[]] {
        let bob = with(bob(), |c| c.remote_addrs.extend_from_slice(others));
        let mut world = after_a_crash(alice(), bob);
        let request = world.alice_seals(ExchangeType::INFORMATIONAL, &[]);
        let stranger = wire::Datagram { from: SocketAddr::new(addr("198.51.100.1"), 500), ..request.clone() };
        for _ in 0..5000 {
            world.bob_gets(&stranger);
        }
        assert!(world.bob_gets(&stranger).is_empty(), "enough is enough");
        assert_eq!(world.bob_gets(&request).len(), 1, "{others:?}");
    }
}

/// Also one whose name is in the configuration, wherever it leads by now.
#[test]
fn who_has_a_name_is_no_stranger() {
    let bob = with(bob(), |c| c.remote_addrs = vec![Remote::Name("alice.example".into()), Remote::Any]);
    let mut world = after_a_crash(alice(), bob);
    let request = world.alice_seals(ExchangeType::INFORMATIONAL, &[]);
    let stranger = wire::Datagram { from: SocketAddr::new(addr("198.51.100.1"), 500), ..request.clone() };
    for names in [vec![], vec![addr("203.0.113.7"), addr(ALICE)]] {
        let known = !names.is_empty();
        world.b.host.names.insert("alice.example".into(), names);
        world.pass(seconds(1));
        for _ in 0..5000 {
            world.bob_gets(&stranger);
        }
        assert!(world.bob_gets(&stranger).is_empty(), "enough is enough");
        assert_eq!(!world.bob_gets(&request).is_empty(), known);
    }
}

/// 200 connections between two addresses, and Bob takes 16 half-open ones of one source and wants cookies from the fourth on: they come up one
/// after the other without waiting for any retransmission.
#[test]
fn many_attempts_at_one_address_are_paced() {
    let many = |local, remote| {
        let one = |n: usize| {
            let mut c = connection(local, remote);
            c.name = format!("net{n}").into();
            let id = |id: &Id| name_id(&format!("{}{n}", String::from_utf8_lossy(&id.data)));
            c.local_id = c.local_id.as_ref().map(id);
            if let IdMatch::Exact(remote) = &c.remote_id {
                c.remote_id = IdMatch::Exact(id(remote));
            }
            Arc::new(c)
        };
        let mut policy = policy(connection(local, remote));
        policy.connections = (0..200).map(one).collect();
        policy.secrets[0].ids = vec![IdMatch::Any];
        policy
    };
    let start = |mut policy: Policy| {
        for c in &mut policy.connections {
            let mut changed = (**c).clone();
            let mut child = (*changed.children[0]).clone();
            child.start = StartAction::Start;
            changed.children[0] = Arc::new(child);
            *c = Arc::new(changed);
        }
        policy
    };
    let mut world = World::new(start(many(ALICE, BOB)), many(BOB, ALICE));
    world.weather.delay = 10;
    world.pass(seconds(4));
    assert_eq!((world.a.ikes(), world.b.ikes()), (200, 200));
    let resent = world.sent_by(ALICE).len() > 200 * 3;
    assert!(!resent, "{} messages", world.sent_by(ALICE).len());
    // While nobody answers all of them begin, five in a second.
    let mut world = World::new(start(many(ALICE, BOB)), many(BOB, ALICE));
    world.drop = |_| true;
    let begun = |world: &World| world.a.endpoint.sas.len();
    world.pass(Duration::from_millis(900));
    assert_eq!(begun(&world), 5);
    // Nobody sees more of it than that it takes longer.
    assert!(world.a.endpoint.status().iter().all(|connection| connection.state == State::Connecting));
    world.pass(seconds(10));
    assert_eq!(begun(&world), 55);
    world.drop = |_| false;
    world.pass(seconds(12));
    assert_eq!((world.a.ikes(), world.b.ikes()), (200, 200));
}
