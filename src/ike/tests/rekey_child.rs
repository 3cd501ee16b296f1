//! Rekeys of a child: alone, and both ends at once. Plays after the exchange tests of strongSwan and RFC 7296 section 2.8.1.
use super::*;
use crate::ike::event::{ChildId, Ended, Input};

/// What an end has heard of its children going down.
fn ended(peer: &Peer) -> Vec<(ChildId, Ended)> {
    let down = |e: &Event| if let Event::ChildDown { id, why, .. } = e { Some((*id, *why)) } else { None };
    peer.events.iter().filter_map(down).collect()
}
fn lan() -> Command {
    rekey(Some("lan"))
}
/// One child at both ends, the same, and it is another one than this.
fn assert_rekeyed(world: &World, old: u32) {
    assert_one_tunnel(world);
    assert_ne!(world.a.children()[0].spi_in, old);
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
    let live = |peer: &Peer| peer.host.spis.len();
    assert_eq!((live(&world.a), live(&world.b)), (1, 1), "every SPI was given back");
}

#[test]
fn regular() {
    for alice_begins in [true, false] {
        let mut world = tunnel_of(alice(), bob());
        let old = world.a.children()[0].clone();
        if alice_begins {
            world.command_a(lan());
        } else {
            world.command_b(lan());
        }
        world.pass(seconds(1));
        assert_rekeyed(&world, old.spi_in);
        let new = world.a.children()[0];
        assert_eq!((new.replaces, new.initiator), (Some(old.id), alice_begins));
        assert_eq!(ended(&world.a), [(old.id, Ended::Replaced)]);
        assert_eq!(ended(&world.b).len(), 1);
        let (first, second) = if alice_begins { (ALICE, BOB) } else { (BOB, ALICE) };
        let senders: Vec<IpAddr> = world.log.iter().map(|(_, d)| d.from.ip()).collect();
        assert_eq!(senders, [first, second, first, second].map(addr), "who began deletes the old one");
    }
}

/// R3: ESP for the SPI of a pending request says that the answer is late or lost.
#[test]
fn r03_a_packet_that_is_ahead_of_its_keys_asks_again_at_once() {
    let mut world = tunnel_of(alice(), bob());
    let old = world.a.children()[0].spi_in;
    world.command_a(lan());
    let offered = world.a.host.spis.iter().copied().find(|spi| *spi != old).unwrap();
    let request = world.catch(ALICE);
    world.deliver(&request);
    world.catch(BOB);
    assert!(world.a.endpoint.status()[0].sas[0].children[0].rekeying);
    for (spi, again) in [(old, false), (7, false), (offered, true)] {
        let sent = world.a.handle(world.now, Input::LarvalHit(spi));
        assert_eq!(sent, if again { vec![request.clone()] } else { vec![] }, "octet for octet");
        world.send(sent);
    }
    // The answer, once more, ends it.
    world.pass(Duration::from_millis(100));
    assert_rekeyed(&world, old);
}

/// N1 is Alice's Ni, N2 Bob's Ni, N3 Bob's Nr for Alice, N4 Alice's Nr for Bob; one of them is the lowest.
fn nonces(world: &mut World, lowest: usize) {
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.a.host.nonces = [n(1), n(4)].into();
    world.b.host.nonces = [n(2), n(3)].into();
}

#[test]
fn r04_the_lowest_of_four_nonces_loses() {
    for lowest in 1..=4 {
        let mut world = tunnel_of(alice(), bob());
        let old = world.a.children()[0].clone();
        nonces(&mut world, lowest);
        world.command_a(lan());
        world.command_b(lan());
        let (a, b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&a);
        world.deliver(&b);
        // R6: as long as there are two, both are there.
        world.pass_on(ALICE);
        world.pass_on(BOB);
        assert_eq!((world.a.children().len(), world.b.children().len()), (3, 3), "old, Alice's and Bob's");
        world.pass(seconds(1));
        assert_rekeyed(&world, old.spi_in);
        let alice_won = lowest == 2 || lowest == 4;
        assert_eq!(world.a.children()[0].initiator, alice_won, "variant {lowest}");
        let lost = world
            .a
            .events
            .iter()
            .chain(&world.b.events)
            .filter(|e| matches!(e, Event::ChildUp(up) if up.inbound_only && up.initiator));
        assert_eq!(lost.count(), 1, "who has lost does not send on it");
        assert!(ended(&world.a).iter().chain(&ended(&world.b)).all(|(_, why)| *why == Ended::Replaced));
        assert_eq!(world.log.len(), 8, "two rekeys, two deletes");
    }
}
