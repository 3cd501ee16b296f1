//! Rekeys of the IKE SA: alone, and both ends at once. Plays after the exchange tests of strongSwan and RFC 7296 section 2.8.2.
use super::*;
use crate::ike::sa::{Phase, Standing};

/// SPIs of the IKE SAs that an end has in use (initiator's, responder's), and whether it is their original initiator.
fn current(peer: &Peer) -> Vec<(String, String, bool)> {
    let status = peer.endpoint.status().remove(0);
    status.sas.iter().map(|sa| (sa.spi_i.to_string(), sa.spi_r.to_string(), sa.initiator)).collect()
}
/// All of them, whatever they are good for.
fn all(peer: &Peer) -> usize {
    peer.endpoint.sas.len()
}
fn assert_rekeyed(world: &World, old: &(String, String, bool)) {
    assert_one_tunnel(world);
    let (a, b) = (current(&world.a), current(&world.b));
    assert_eq!((a.len(), b.len(), all(&world.a), all(&world.b)), (1, 1, 1, 1));
    assert_eq!((&a[0].0, &a[0].1, a[0].2), (&b[0].0, &b[0].1, !b[0].2));
    assert!(a[0].0 != old.0 && a[0].1 != old.1, "new SPIs on both sides");
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
    for peer in [&world.a, &world.b] {
        assert!(!peer.events.iter().any(|e| matches!(e, Event::IkeDown { .. } | Event::ChildDown { .. })));
        assert_eq!(peer.events.iter().filter(|e| matches!(e, Event::IkeRekeyed { .. })).count(), 1);
        assert_eq!(peer.endpoint.common.by_spi.len(), 1, "every SPI was given back");
        assert_eq!(peer.endpoint.common.established, 1);
    }
}
/// The IKE SA works, both ways: children are rekeyed on it, and it counts from 0.
fn assert_works(world: &mut World) {
    world.log.clear();
    world.command_a(rekey(Some("lan")));
    world.pass(seconds(1));
    assert_eq!(world.log[0].1.header().id, 0, "message ids begin anew");
    world.command_b(rekey(Some("lan")));
    world.pass(seconds(1));
    assert_one_tunnel(world);
}

#[test]
fn regular() {
    for alice_begins in [true, false] {
        let mut world = tunnel_of(alice(), bob());
        let old = current(&world.a).remove(0);
        if alice_begins {
            world.command_a(rekey(None));
        } else {
            world.command_b(rekey(None));
        }
        world.pass(seconds(1));
        assert_rekeyed(&world, &old);
        assert_eq!(current(&world.a)[0].2, alice_begins, "who has begun this rekey is the original initiator");
        assert_eq!(world.log.len(), 4, "the rekey, and the Delete");
        assert_works(&mut world);
    }
}

/// Per rekey an initiator draws a nonce and then a private value, a responder as well; so N1 and N2 come first.
fn nonces(world: &mut World, lowest: usize) {
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.a.host.nonces = [n(1), 0x55, n(4)].into();
    world.b.host.nonces = [n(2), 0x55, n(3)].into();
}

#[test]
fn collision() {
    for lowest in 1..=4 {
        let mut world = tunnel_of(alice(), bob());
        let old = current(&world.a).remove(0);
        nonces(&mut world, lowest);
        world.command_a(rekey(None));
        world.command_b(rekey(None));
        let (a, b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&a);
        world.deliver(&b);
        for peer in [&world.a, &world.b] {
            assert_eq!(all(peer), 2, "the old one, and that of the other end");
            let rivals = peer.endpoint.sas.values().filter(
                |sa| matches!(&sa.phase, Phase::Established(est) if matches!(est.standing, Standing::Rival(_))),
            );
            assert_eq!(rivals.count(), 1);
        }
        world.pass(seconds(1));
        assert_rekeyed(&world, &old);
        assert_eq!(current(&world.a)[0].2, lowest == 2 || lowest == 4, "variant {lowest}");
        assert_works(&mut world);
    }
}

#[test]
fn the_keys_of_the_next_one_are_shown_too_where_the_policy_asks_for_it() {
    let logged = |policy| with(policy, |c| c.keylog = true);
    let mut world = World::new(logged(alice()), logged(bob()));
    world.command_a(up());
    world.pass(seconds(1));
    world.command_a(rekey(None));
    world.pass(seconds(1));
    let last = |peer: &Peer| {
        let shown = peer.events.iter().filter_map(|e| if let Event::KeyLog(keys) = e { Some(keys) } else { None });
        let shown: Vec<_> = shown.map(|k| (k.spi_i, k.spi_r, k.initiator.encr.expose().to_vec())).collect();
        (shown.len(), shown.last().cloned().unwrap())
    };
    assert_eq!(last(&world.a), last(&world.b));
    let (count, (spi_i, ..)) = last(&world.a);
    assert_eq!((count, spi_i.to_string()), (2, current(&world.a)[0].0.clone()));
}
