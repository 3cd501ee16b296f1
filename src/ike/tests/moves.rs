//! NAT mappings that change without MOBIKE (R37), and who must not profit from it.
use super::super::event::{IkePath, Input, Seen};
use super::*;
use crate::wire::registry::ExchangeType;
use std::net::SocketAddr;
use wire::Datagram;

/// The NAT, and somebody who listens at the wire.
const NAT: &str = "198.51.100.1";
const THIRD: &str = "192.0.2.66";

fn tunnel() -> World {
    tunnel_with(alice(), |_| ())
}
fn tunnel_with(alice: Policy, bobs: impl FnOnce(&mut Connection)) -> World {
    let anywhere = with(bob(), |c| c.remote_addrs = vec![Remote::Any]);
    let mut world = World::new(alice, with(anywhere, bobs));
    world.nat = Some((addr(NAT), 1000));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world
}
fn end(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr(ip), port)
}
fn moved(peer: &Peer) -> Vec<IkePath> {
    let path = |e: &Event| if let Event::PathChanged { path, .. } = e { Some(*path) } else { None };
    peer.events.iter().filter_map(path).collect()
}

#[test]
fn r37_a_new_mapping_is_taken_over_from_a_new_request() {
    let mut world = tunnel();
    world.nat = Some((addr(NAT), 2000));
    world.pass(seconds(32));
    let remotes: Vec<_> = moved(&world.b).iter().map(|p| p.remote).collect();
    assert_eq!(remotes, [end(NAT, 6500)], "within one liveness interval");
    assert!(moved(&world.a).is_empty());
    assert_one_tunnel(&world);
}

/// Bob talks all the time, and Alice, too, if she `talks`. So long after they have begun her NAT's mapping changes; Bob, who does not go by ESP
/// and never asks, reaches her again after this.
fn back_after(talks: bool, moment: Duration, dpd_delay: Duration) -> Duration {
    let step = Duration::from_millis(5);
    let alice = with(alice(), |c| c.dpd_delay = dpd_delay);
    let look = alice.look_interval();
    let mut world = tunnel_with(alice, |c| c.dpd_delay = Duration::ZERO);
    let (spi, begin) = (world.a.children()[0].spi_in, world.now);
    let (mut since, mut heard) = (begin, false);
    loop {
        if world.now == begin + moment {
            world.nat = Some((addr(NAT), 2000));
        }
        let outside = end(NAT, 4500 + world.nat.unwrap().1);
        let reached = world.bobs().0.remote == outside;
        if reached && world.now > begin + moment {
            return world.now - (begin + moment);
        }
        heard |= reached;
        if world.now >= since + look {
            let came = std::mem::take(&mut heard);
            let spis = |said: bool| if said { vec![spi] } else { vec![] };
            world.input_a(Input::EspSeen(&Seen {
                since,
                heard: spis(came),
                unanswered: spis(talks && !came),
                sent: spis(talks),
            }));
            since = world.now;
        }
        world.pass(step);
    }
}

/// And never later than one interval, at whatever moment.
#[test]
fn r37_the_peer_reaches_us_at_a_new_mapping_within_one_liveness_interval() {
    let ms = Duration::from_millis;
    for delay in [2, 5, 30].map(seconds) {
        for part in (0..160).step_by(3) {
            let moment = ms((delay.as_millis() as u64 * part / 80).next_multiple_of(5));
            let both = back_after(true, moment, delay);
            assert!(both <= delay * 5 / 8 + ms(10), "{both:?} of {delay:?}, {moment:?} after they began");
            let one_way = back_after(false, moment, delay);
            assert!(one_way <= delay, "{one_way:?} of {delay:?}, {moment:?} after Bob began");
        }
    }
}

#[test]
fn r37_or_from_authentic_esp() {
    let mut world = tunnel();
    let spi = world.b.children()[0].spi_in;
    world.input_b(Input::EspMoved { spi, remote: end(NAT, 7777) });
    assert_eq!(moved(&world.b).iter().map(|p| p.remote).collect::<Vec<_>>(), [end(NAT, 7777)]);
    // The other family cannot be reached from where we are, and an SPI that nobody has says nothing.
    world.input_b(Input::EspMoved { spi, remote: "[2001:db8::1]:4500".parse().unwrap() });
    world.input_b(Input::EspMoved { spi: 1, remote: end(NAT, 8888) });
    assert_eq!(moved(&world.b).len(), 1);
}

#[test]
fn r37_only_of_a_peer_behind_a_nat_and_only_if_we_are_not() {
    // No NAT.
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.pass(seconds(1));
    let spi = world.b.children()[0].spi_in;
    assert!(!world.b.children()[0].path.may_move);
    world.input_b(Input::EspMoved { spi, remote: end(THIRD, 4500) });
    let mut d = world.alice_seals(ExchangeType::INFORMATIONAL, &[]);
    d.from = end(THIRD, 500);
    assert_eq!(world.bob_gets(&d).len(), 1, "answered, no more");
    assert!(moved(&world.b).is_empty());
    // We are behind one, too.
    let mut world = tunnel();
    world.bobs().0.nat.local = true;
    let spi = world.b.children()[0].spi_in;
    world.input_b(Input::EspMoved { spi, remote: end(THIRD, 4500) });
    assert!(moved(&world.b).is_empty());
    // And Alice, who is behind it, does not follow Bob.
    let spi = world.a.children()[0].spi_in;
    world.input_a(Input::EspMoved { spi, remote: end(THIRD, 4500) });
    assert!(moved(&world.a).is_empty());
}

/// Everything that was ever said is said again, from a third address: nothing moves, and what is answered goes to whom it was meant for.
#[test]
fn r37_hijack_old_authentic_messages_from_a_third_address_move_nothing() {
    let mut world = tunnel();
    world.pass(seconds(200));
    // But for IKE_SA_INIT, which is nobody's and begins something new.
    let protected = |d: &&Datagram| d.header().exchange != ExchangeType::IKE_SA_INIT;
    let old: Vec<Datagram> = world.log.iter().map(|(_, d)| d).filter(protected).cloned().collect();
    assert!(old.len() > 10);
    let state = |world: &mut World| (world.alices().0.remote, world.bobs().0.remote);
    let before = state(&mut world);
    for d in &old {
        for port in [500, 4500] {
            let from = end(THIRD, port);
            let to = if d.from.ip() == addr(ALICE) { end(BOB, d.to.port()) } else { end(ALICE, d.to.port() % 1000) };
            let input = Input::Datagram { local: to, remote: from, data: &d.data };
            if to.ip() == addr(BOB) { world.input_b(input) } else { world.input_a(input) }
        }
    }
    assert_eq!((moved(&world.a), moved(&world.b)), (vec![], vec![]));
    assert_eq!(state(&mut world), before);
    world.pass(seconds(60));
    assert_one_tunnel(&world);
    assert_eq!((moved(&world.a), moved(&world.b)), (vec![], vec![]));
}

/// The last request, not yet seen by Bob, comes from the thief first: it is authentic and new. RFC 7296 section 2.23 lets it move the IKE
/// SA; the next one of Alice moves it back.
#[test]
fn r37_a_stolen_message_is_undone_by_the_next_one() {
    let mut world = tunnel();
    world.pass(seconds(28));
    world.log.clear();
    world.drop = |d| d.from.ip() == addr(ALICE);
    world.pass(seconds(2));
    let stolen = world.sent_by(ALICE).into_iter().find(|d| d.is(ExchangeType::INFORMATIONAL, false)).unwrap().clone();
    world.bob_gets(&Datagram { from: end(THIRD, 4500), to: end(BOB, 4500), ..stolen });
    assert_eq!(moved(&world.b).last().unwrap().remote, end(THIRD, 4500));
    world.drop = |_| false;
    world.pass(seconds(60));
    assert_eq!(moved(&world.b).last().unwrap().remote, end(NAT, 5500));
    assert_one_tunnel(&world);
}
