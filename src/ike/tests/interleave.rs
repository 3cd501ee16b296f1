//! Two operations at the same time, one at each end, and every order in which their messages can arrive (pyikev2's simultaneous exchanges,
//! libreswan's crossing streams): in the end both ends have the same.
use super::*;
use crate::ike::sa::{Phase, Standing};
use wire::Datagram;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    RekeyChild,
    RekeyIke,
    DeleteChild,
    DeleteIke,
    CreateChild,
}
const OPS: [Op; 5] = [Op::RekeyChild, Op::RekeyIke, Op::DeleteChild, Op::DeleteIke, Op::CreateChild];
impl Op {
    fn command(self) -> Command {
        let child = |name: &str| Some(name.into());
        let connection: Arc<str> = "net".into();
        match self {
            Self::RekeyChild => rekey(Some("lan")),
            Self::RekeyIke => rekey(None),
            Self::DeleteChild => Command::Down { connection, child: child("lan") },
            Self::DeleteIke => down(),
            Self::CreateChild => Command::Up { connection, child: child("two") },
        }
    }
}

fn two_children(policy: Policy, suite: &str, local: &str, remote: &str) -> Policy {
    with(policy, |c| {
        c.children.push(child("two", local, remote));
        for child in &mut c.children {
            Arc::make_mut(child).proposals = esp(suite);
        }
        c.dpd_delay = Duration::ZERO;
    })
}
fn world(seed: u64, suite: &str) -> World {
    let alice = two_children(alice(), suite, "10.3.0.0/16", "10.4.0.0/16");
    let bob = two_children(bob(), suite, "10.4.0.0/16", "10.3.0.0/16");
    let mut world = World::seeded(seed, alice, bob);
    world.command_a(Command::Up { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world
}

/// Plays both operations with the messages in the order that `choices` says (true: Alice's next one); what is not said is Bob's first.
/// Returns the choices that were made where there was one.
fn play(first: Op, second: Op, choices: &[bool]) -> (World, Vec<bool>) {
    let mut world = world(1, "aes128gcm16");
    world.command_a(first.command());
    world.command_b(second.command());
    let mut made = Vec::new();
    let (mut of_a, mut of_b): (Vec<Datagram>, Vec<Datagram>) = Default::default();
    for _ in 0..60 {
        for datagram in world.hold() {
            if datagram.from.ip() == addr(ALICE) { of_a.push(datagram) } else { of_b.push(datagram) }
        }
        let alices = match (of_a.is_empty(), of_b.is_empty()) {
            (true, true) => return (world, made),
            (false, false) => {
                let choice = choices.get(made.len()).copied().unwrap_or(false);
                made.push(choice);
                choice
            }
            (_, none_of_bob) => none_of_bob,
        };
        let datagram = if alices { of_a.remove(0) } else { of_b.remove(0) };
        world.deliver(&datagram);
    }
    panic!("{first:?} and {second:?} never end: {made:?}");
}
/// The same while computations take their time: each of them comes before or after any message. There are too many orders to play them all.
fn play_slowly(first: Op, second: Op, seed: u64) -> World {
    let mut world = world(seed, "aes128gcm16-x25519");
    (world.a.held, world.b.held) = (Some(Vec::new()), Some(Vec::new()));
    world.command_a(first.command());
    world.command_b(second.command());
    let (mut of_a, mut of_b): (Vec<Datagram>, Vec<Datagram>) = Default::default();
    for _ in 0..200 {
        for datagram in world.hold() {
            if datagram.from.ip() == addr(ALICE) { of_a.push(datagram) } else { of_b.push(datagram) }
        }
        let computes = |peer: &Peer| peer.held.as_ref().is_some_and(|held| !held.is_empty());
        let ready = [!of_a.is_empty(), !of_b.is_empty(), computes(&world.a), computes(&world.b)];
        let moves: Vec<usize> = (0..ready.len()).filter(|i| ready[*i]).collect();
        if moves.is_empty() {
            (world.a.held, world.b.held) = (None, None);
            return world;
        }
        match moves[world.random() as usize % moves.len()] {
            0 => world.deliver(&of_a.remove(0)),
            1 => world.deliver(&of_b.remove(0)),
            2 => world.compute(ALICE),
            _ => world.compute(BOB),
        }
    }
    panic!("{first:?} and {second:?} never end: {seed}");
}
/// Both ends have the same children, none twice, on the same IKE SA, and nothing is on its way.
fn assert_agreed(world: &World, what: &str) {
    let pairs = |peer: &Peer, inbound_first: bool| {
        let mut pairs: Vec<(String, u32, u32)> = peer
            .children()
            .iter()
            .map(|c| {
                (
                    c.child.to_string(),
                    if inbound_first { c.spi_in } else { c.spi_out },
                    if inbound_first { c.spi_out } else { c.spi_in },
                )
            })
            .collect();
        pairs.sort();
        pairs
    };
    let (a, b) = (pairs(&world.a, true), pairs(&world.b, false));
    assert_eq!(a, b, "{what}");
    let mut names: Vec<_> = a.iter().map(|(name, ..)| name).collect();
    names.dedup();
    assert_eq!(names.len(), a.len(), "{what}: a child twice");
    let spis = |peer: &Peer| {
        let mut spis: Vec<_> = peer.endpoint.sas.values().map(|sa| (sa.core.spi_i, sa.core.spi_r)).collect();
        spis.sort();
        spis
    };
    assert_eq!(spis(&world.a), spis(&world.b), "{what}");
    for peer in [&world.a, &world.b] {
        assert!(peer.endpoint.sas.len() <= 1, "{what}: {}", peer.endpoint.sas.len());
        assert_eq!(peer.endpoint.common.by_spi.len(), peer.endpoint.sas.len(), "{what}");
        assert_eq!(peer.endpoint.common.established, peer.endpoint.sas.len(), "{what}");
        assert_eq!((peer.host.spis.len(), peer.ikes()), (peer.children().len(), peer.endpoint.sas.len()), "{what}");
        for sa in peer.endpoint.sas.values() {
            let Phase::Established(est) = &sa.phase else { panic!("{what}: not established") };
            assert!(est.asked.is_none() && est.queue.is_empty() && est.standing == Standing::Current, "{what}");
            assert_eq!(est.children.len(), peer.children().len(), "{what}");
        }
    }
}
/// What has to be there in the end, if only these two were asked for.
fn expected(first: Op, second: Op) -> Option<usize> {
    let has = |op| first == op || second == op;
    if has(Op::DeleteIke) {
        // Whoever creates meanwhile may do so on a new IKE SA.
        return (!has(Op::CreateChild)).then_some(0);
    }
    Some(usize::from(!has(Op::DeleteChild)) + usize::from(has(Op::CreateChild)))
}

#[test]
fn every_order_of_two_operations() {
    let mut played = 0;
    for first in OPS {
        for second in OPS {
            let mut choices: Vec<bool> = Vec::new();
            loop {
                let (mut world, made) = play(first, second, &choices);
                let what = format!("{first:?} x {second:?} {made:?}");
                world.pass(seconds(200));
                assert_agreed(&world, &what);
                if let Some(children) = expected(first, second) {
                    assert_eq!(world.a.children().len(), children, "{what}");
                }
                played += 1;
                // The next order: the last choice that can still be the other one.
                choices = made;
                while choices.pop_if(|choice| *choice).is_some() {}
                match choices.last_mut() {
                    Some(last) => *last = true,
                    None => break,
                }
            }
        }
    }
    assert!(played > 100, "{played}");
}

#[test]
fn orders_of_two_operations_and_what_they_compute() {
    for (first, second) in OPS.into_iter().flat_map(|first| OPS.map(|second| (first, second))) {
        for seed in 1..=30 {
            let mut world = play_slowly(first, second, seed);
            let what = format!("{first:?} x {second:?}, seed {seed}");
            world.pass(seconds(200));
            assert_agreed(&world, &what);
            if let Some(children) = expected(first, second) {
                assert_eq!(world.a.children().len(), children, "{what}");
            }
        }
    }
}
