//! Collisions of rekeys that end otherwise than by their nonces: one of the exchanges fails, or what they are about is taken down meanwhile.
use super::multi_ke::{again, followed, nonces};
use super::*;
use crate::wire::registry::ExchangeType;

fn assert_nothing_left(peer: &Peer) {
    assert_eq!((peer.ikes(), peer.children().len(), peer.host.spis.len()), (0, 0, 0), "{:?}", peer.events);
    let common = &peer.endpoint.common;
    assert_eq!((peer.endpoint.sas.len(), common.by_spi.len()), (0, 0));
    assert_eq!((common.by_child.len(), common.by_id.len(), common.established), (0, 0, 0));
}

/// The peer's rekey of the IKE SA is between its key exchanges when the IKE SA ends: there is no heir.
#[test]
fn what_is_half_done_inherits_nothing() {
    for by_peer in [false, true] {
        let mut world = followed();
        nonces(&mut world, 2);
        world.command_a(again(true));
        world.command_b(again(true));
        let (_lost, of_b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&of_b);
        if by_peer {
            world.command_b(down());
            world.pass_on(ALICE);
            assert!(world.pass_on(BOB).is(ExchangeType::INFORMATIONAL, false));
        } else {
            world.hold();
            world.drop = |_| true;
            world.pass(seconds(100));
            world.command_a(down());
        }
        assert_nothing_left(&world.a);
    }
}
