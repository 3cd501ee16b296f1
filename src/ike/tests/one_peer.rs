//! One peer of a connection that anybody may use: the other peers do not notice.
use super::*;
use crate::ike::event::PeerOrder;

/// Bob takes calls from anywhere; Alice is his first peer.
fn world() -> World {
    let mut world = World::new(alice(), with(bob(), |c| c.remote_addrs = vec![Remote::Any]));
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.b.ikes(), world.b.children()[0].peer), (1, 1));
    world
}

fn peer(peer: u32, child: Option<&str>) -> [Command; 2] {
    let child: Option<Arc<str>> = child.map(Into::into);
    [PeerOrder::Down(child.clone()), PeerOrder::Rekey(child)].map(|order| Command::OfPeer {
        connection: "net".into(),
        peer,
        order,
    })
}

#[test]
fn another_peers_number_changes_nothing() {
    let mut world = world();
    let spi = world.b.children()[0].spi_in;
    for command in peer(2, None).into_iter().chain(peer(2, Some("lan"))) {
        world.command_b(command);
        world.pass(seconds(1));
    }
    assert_eq!((world.b.ikes(), world.b.children().len(), world.b.children()[0].spi_in), (1, 1, spi));
}

#[test]
fn its_child_is_rekeyed_and_taken_down_and_then_its_ike_sa() {
    let mut world = world();
    let spi = world.b.children()[0].spi_in;
    let [down, rekey] = peer(1, Some("lan"));
    world.command_b(rekey);
    world.pass(seconds(1));
    assert_ne!(world.b.children()[0].spi_in, spi);
    world.command_b(peer(1, None)[1].clone());
    world.pass(seconds(1));
    assert!(world.b.events.iter().any(|e| matches!(e, Event::IkeRekeyed { .. })));
    world.command_b(down);
    world.pass(Duration::from_millis(200));
    assert_eq!((world.b.ikes(), world.b.children().len()), (1, 0));
    world.command_b(peer(1, None)[0].clone());
    world.pass(Duration::from_millis(200));
    assert_eq!(world.b.ikes(), 0);
}
