//! Additional key exchanges (RFC 9370) by IKE_FOLLOWUP_KE, when the IKE SA or a child is made anew. The scenarios with names as in protocol.md
//! section 2.2 are strongSwan's.
use super::intermediate::exchanges;
use super::wire::Weather;
use super::*;
use crate::ike::sa::Phase;
use crate::wire::payload::{Ke, Notify, Payload};
use crate::wire::registry::{ExchangeType, KeId, NotifyType};
use ExchangeType as X;

/// Both with additional key exchanges everywhere.
pub(super) fn followed() -> World {
    followed_by("x25519-ke1_mlkem512", "x25519-ke1_mlkem512")
}
fn followed_by(alices: &str, bobs: &str) -> World {
    let set = |policy, list: &str| {
        let policy = with(policy, |c| {
            (c.proposals, c.fragmentation) = (ike(&format!("aes128gcm16-prfsha256-{list}")), false);
        });
        with_child(policy, |c| c.proposals = esp(&format!("aes128gcm16-{list}")))
    };
    tunnel_of(set(alice(), alices), set(bob(), bobs))
}
/// N1 is Alice's Ni, N2 Bob's Ni, N3 Bob's Nr for Alice, N4 Alice's Nr for Bob; one of them is the lowest. After each nonce comes a
/// private value.
pub(super) fn nonces(world: &mut World, lowest: usize) {
    let n = |k| if k == lowest { 0x00 } else { 0xff };
    world.a.host.nonces = [n(1), 0x55, n(4)].into();
    world.b.host.nonces = [n(2), 0x55, n(3)].into();
}
/// A rekey of the IKE SA, or of the child.
pub(super) fn again(of_ike: bool) -> Command {
    rekey(if of_ike { None } else { Some("lan") })
}
/// SPIs that tell a rekeyed SA from the old one.
pub(super) fn spis(world: &World, of_ike: bool) -> (String, u32) {
    let ike = &world.a.endpoint.status()[0].sas;
    let current = ike.iter().map(|sa| sa.spi_i.to_string()).collect();
    if of_ike { (current, 0) } else { (String::new(), world.a.children()[0].spi_in) }
}
/// One IKE SA with one child at both ends, other ones than before, and nothing left of what they replace or of what came to nothing.
#[track_caller]
pub(super) fn assert_renewed(world: &World, of_ike: bool, old: &(String, u32)) {
    assert_one_tunnel(world);
    assert_ne!(&spis(world, of_ike), old);
    for peer in [&world.a, &world.b] {
        assert_eq!(peer.failures(), [""; 0]);
        assert_eq!(peer.host.spis.len(), 1, "every SPI was given back");
        assert_eq!((peer.endpoint.sas.len(), peer.endpoint.common.by_spi.len()), (1, 1));
        let Phase::Established(est) = &peer.endpoint.sas.values().next().unwrap().phase else { panic!("established") };
        assert!(est.half_done.is_empty() && est.asked.is_none() && est.answering.is_none());
    }
}
/// Who asked for the one that is in use.
fn is_alices(world: &World, of_ike: bool) -> bool {
    if of_ike { world.a.endpoint.status()[0].sas[0].initiator } else { world.a.children()[0].initiator }
}
fn followups_of(world: &World, from: &str) -> usize {
    world.sent_by(from).iter().filter(|d| d.is(X::IKE_FOLLOWUP_KE, false)).count()
}

#[test]
fn regular_multi_ke() {
    for (of_ike, alice_begins) in [(false, true), (false, false), (true, true), (true, false)] {
        let mut world = followed();
        let old = spis(&world, of_ike);
        if alice_begins {
            world.command_a(again(of_ike));
        } else {
            world.command_b(again(of_ike));
        }
        world.pass(seconds(1));
        assert_renewed(&world, of_ike, &old);
        assert_eq!(is_alices(&world, of_ike), alice_begins);
        let order: Vec<_> = exchanges(&world).iter().map(|(x, _, _)| *x).collect();
        let [create, follow, inform] = [X::CREATE_CHILD_SA, X::IKE_FOLLOWUP_KE, X::INFORMATIONAL];
        assert_eq!(order, [create, create, follow, follow, inform, inform]);
        // It works, and once more.
        let old = spis(&world, of_ike);
        world.command_b(again(of_ike));
        world.pass(seconds(1));
        assert_renewed(&world, of_ike, &old);
    }
}

#[test]
fn as_many_exchanges_as_were_agreed_on() {
    let all = "x25519-ke1_mlkem512-ke2_mlkem768-ke3_ecp256-ke4_ecp384-ke5_modp1024-ke6_modp2048-ke7_mlkem1024";
    for of_ike in [false, true] {
        let mut world = followed_by(all, all);
        let old = spis(&world, of_ike);
        world.command_a(again(of_ike));
        world.pass(seconds(1));
        assert_renewed(&world, of_ike, &old);
        assert_eq!(followups_of(&world, ALICE), 7);
    }
}

#[test]
fn child_create_multi_ke() {
    let more = |policy, l: &str, r: &str| {
        with(policy, |c| {
            let mut second = (*child("two", l, r)).clone();
            second.proposals = esp("aes128gcm16-x25519-ke1_mlkem512-ke2_ecp256");
            c.children.push(Arc::new(second));
        })
    };
    let mut world = World::new(more(alice(), "10.3.0.0/16", "10.4.0.0/16"), more(bob(), "10.4.0.0/16", "10.3.0.0/16"));
    world.command_a(up());
    world.pass(seconds(1));
    let (a, b) = (world.a.children(), world.b.children());
    assert_eq!((a.len(), b.len()), (2, 2));
    for child in a {
        assert_mirrored(child, b.iter().find(|c| c.child == child.child).unwrap());
    }
    assert_eq!(followups_of(&world, ALICE), 2);
}

#[test]
fn regular_ke_invalid_multi_ke() {
    for alice_begins in [true, false] {
        let (both, one) = ("x25519-ecp256-ke1_mlkem512", "ecp256-ke1_mlkem512");
        let mut world = if alice_begins { followed_by(both, one) } else { followed_by(one, both) };
        let old = spis(&world, false);
        if alice_begins {
            world.command_a(again(false));
        } else {
            world.command_b(again(false));
        }
        world.pass(seconds(1));
        assert_renewed(&world, false, &old);
        assert_eq!(world.log.len(), 8, "twice, and followed up once");
    }
}

#[test]
fn collision_multi_ke() {
    for (of_ike, lowest) in [false, true].into_iter().flat_map(|of_ike| (1..=4).map(move |n| (of_ike, n))) {
        let mut world = followed();
        let old = spis(&world, of_ike);
        nonces(&mut world, lowest);
        world.command_a(again(of_ike));
        world.command_b(again(of_ike));
        let (a, b) = (world.catch(ALICE), world.catch(BOB));
        world.deliver(&a);
        world.deliver(&b);
        world.pass(seconds(1));
        assert_renewed(&world, of_ike, &old);
        let alice_won = lowest == 2 || lowest == 4;
        assert_eq!(is_alices(&world, of_ike), alice_won, "variant {lowest}");
        let counts = (followups_of(&world, ALICE), followups_of(&world, BOB));
        assert_eq!(counts, if alice_won { (1, 0) } else { (0, 1) }, "who has lost stops");
        assert_eq!(world.log.len(), 8, "two rekeys, one of them followed up, and one delete");
        world.pass(seconds(200));
        assert_eq!(world.sent_by(ALICE).iter().filter(|d| d.is(X::CREATE_CHILD_SA, false)).count(), 1);
    }
}

/// Alice's rekeys are followed up, Bob's are not; both ask at once, and have each other's request.
pub(super) fn mixed(of_ike: bool, lowest: usize) -> (World, (String, u32)) {
    // The IKE SA keeps the suite that it has, so that there Bob has begun it all with less.
    let mut world = if of_ike {
        let set = |policy, list| with(policy, |c| (c.proposals, c.fragmentation) = (ike(list), false));
        let both = "aes128gcm16-prfsha256-x25519-ke1_none-ke1_mlkem512";
        tunnel_of(set(alice(), both), set(bob(), both))
    } else {
        followed_by("x25519-ke1_mlkem512-ke1_none", "x25519-ke1_none-ke1_mlkem512")
    };
    let old = spis(&world, of_ike);
    nonces(&mut world, lowest);
    if of_ike {
        // Only what we allow is chosen: the first refusal makes her offer everything again.
        let Phase::Established(est) = &mut world.a.endpoint.sas.values_mut().next().unwrap().phase else { panic!() };
        est.proposal = ike("aes128gcm16-prfsha256-x25519-ke1_mlkem512").remove(0);
    }
    world.command_a(again(of_ike));
    world.command_b(again(of_ike));
    let (a, b) = (world.catch(ALICE), world.catch(BOB));
    world.deliver(&a);
    world.deliver(&b);
    (world, old)
}
#[test]
fn collision_mixed() {
    for (of_ike, lowest) in [false, true].into_iter().flat_map(|of_ike| (1..=4).map(move |n| (of_ike, n))) {
        let (mut world, old) = mixed(of_ike, lowest);
        world.pass(seconds(10));
        assert_renewed(&world, of_ike, &old);
        let alice_won = lowest == 2 || lowest == 4;
        assert_eq!(is_alices(&world, of_ike), alice_won, "variant {lowest}");
        assert_eq!((followups_of(&world, ALICE), followups_of(&world, BOB)), (usize::from(alice_won), 0));
    }
}

/// Bob hears the end of his own exchange first, and goes on if he has won; what Alice hears late changes nothing.
#[test]
fn collision_delayed_response_multi_ke() {
    for (of_ike, lowest) in [false, true].into_iter().flat_map(|of_ike| (1..=4).map(move |n| (of_ike, n))) {
        for after_delete in [false, true] {
            let mut world = followed();
            let old = spis(&world, of_ike);
            nonces(&mut world, lowest);
            world.command_a(again(of_ike));
            world.command_b(again(of_ike));
            let (a, b) = (world.catch(ALICE), world.catch(BOB));
            world.deliver(&a);
            let late = world.catch(BOB);
            world.deliver(&b);
            world.pass_on(ALICE);
            let bob_won = lowest == 1 || lowest == 3;
            if !bob_won {
                assert_eq!((world.in_the_air(ALICE), world.in_the_air(BOB)), (0, 0), "Bob has stopped");
                world.deliver(&late);
            } else if after_delete {
                world.pass(Duration::from_millis(400));
                world.deliver(&late);
            } else {
                world.pass_on(BOB);
                world.deliver(&late);
            }
            world.pass(seconds(2));
            assert_renewed(&world, of_ike, &old);
            assert_eq!(is_alices(&world, of_ike), !bob_won, "variant {lowest}");
        }
    }
}

/// Bob has not seen Alice's request when he goes on: to him there is no collision, and Alice gives up hers.
#[test]
fn collision_delayed_request_multi_ke() {
    for (of_ike, lowest) in [false, true].into_iter().flat_map(|of_ike| [1, 2, 4].map(move |n| (of_ike, n))) {
        for order in 0..3 {
            let mut world = followed();
            let old = spis(&world, of_ike);
            nonces(&mut world, lowest);
            world.command_a(again(of_ike));
            let late = world.catch(ALICE);
            world.command_b(again(of_ike));
            world.pass_on(BOB);
            world.pass_on(ALICE);
            // Between the key exchanges.
            let followup = world.catch(BOB);
            assert!(followup.is(X::IKE_FOLLOWUP_KE, false));
            world.deliver(&late);
            let refusal = world.catch(BOB);
            match order {
                0 => {
                    world.deliver(&refusal);
                    world.deliver(&followup);
                }
                1 => {
                    world.deliver(&followup);
                    world.deliver(&refusal);
                }
                _ => {
                    world.deliver(&followup);
                    world.pass(Duration::from_millis(400));
                    world.deliver(&refusal);
                }
            }
            world.pass(seconds(2));
            assert_renewed(&world, of_ike, &old);
            assert!(!is_alices(&world, of_ike), "variant {lowest}, order {order}");
            world.pass(seconds(200));
            assert_renewed(&world, of_ike, &old);
            let begun = world.sent_by(ALICE).iter().filter(|d| d.is(X::CREATE_CHILD_SA, false)).count();
            assert_eq!(
                begun,
                world.log.iter().filter(|(_, d)| d.data == late.data).count(),
                "and she does not try again"
            );
        }
    }
}

#[test]
fn collision_delete_multi_ke() {
    for (of_ike, alice_begins) in [(false, true), (false, false), (true, true), (true, false)] {
        let mut world = followed();
        let down = Command::Down { connection: "net".into(), child: if of_ike { None } else { Some("lan".into()) } };
        let (first, second) = if alice_begins { (ALICE, BOB) } else { (BOB, ALICE) };
        if alice_begins {
            world.command_a(again(of_ike));
        } else {
            world.command_b(again(of_ike));
        }
        world.pass_on(first);
        world.pass_on(second);
        let followup = world.catch(first);
        if alice_begins {
            world.command_b(down);
        } else {
            world.command_a(down);
        }
        world.deliver(&followup);
        world.pass(seconds(5));
        assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
        assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
        let ikes = if of_ike { 0 } else { 1 };
        assert_eq!((world.a.endpoint.sas.len(), world.b.endpoint.sas.len()), (ikes, ikes));
        assert_eq!(world.a.endpoint.common.by_spi.len(), ikes);
    }
}

/// The responder has forgotten it: that is no reason to end anything, the old one stays, and it is tried again.
#[test]
fn state_not_found() {
    for of_ike in [false, true] {
        let mut world = followed();
        let old = spis(&world, of_ike);
        world.command_a(again(of_ike));
        world.pass_on(ALICE);
        world.pass_on(BOB);
        let Peer { endpoint, host, .. } = &mut world.b;
        let id = *endpoint.sas.keys().next().unwrap();
        endpoint.step(world.now, host, id, |cx, sa| {
            let Phase::Established(est) = &mut sa.phase else { panic!("established") };
            assert_eq!(est.half_done.len(), 1);
            est.drop_half_done(cx, |_| true);
            Ok(())
        });
        world.pass_on(ALICE);
        world.pass_on(BOB);
        assert_eq!(spis(&world, of_ike), old, "the old one stays");
        assert_eq!((world.a.ikes(), world.b.ikes(), world.a.host.spis.len(), world.b.host.spis.len()), (1, 1, 1, 1));
        world.pass(seconds(200));
        assert_renewed(&world, of_ike, &old);
    }
}

/// Half-done for ever is nothing.
#[test]
fn what_nobody_goes_on_with_is_forgotten() {
    for of_ike in [false, true] {
        let mut world = followed();
        world.drop = |d| d.is(X::IKE_FOLLOWUP_KE, false);
        world.command_a(again(of_ike));
        world.pass(Duration::from_millis(100));
        let half_done = |world: &World| {
            let of = |sa: &crate::ike::sa::IkeSa| match &sa.phase {
                Phase::Established(est) => est.half_done.len(),
                _ => 0,
            };
            world.b.endpoint.sas.values().map(of).sum::<usize>()
        };
        assert_eq!(half_done(&world), 1);
        // Alice gives up, and with it the IKE SA, and begins another.
        world.pass(seconds(400));
        assert_eq!(half_done(&world), 0);
        assert_one_tunnel(&world);
        for peer in [&world.a, &world.b] {
            assert_eq!((peer.endpoint.sas.len(), peer.host.spis.len(), peer.endpoint.common.by_spi.len()), (1, 1, 1));
        }
    }
}

#[test]
fn a_followup_that_belongs_to_nothing_changes_nothing() {
    let mut world = followed();
    let old = spis(&world, false);
    let ke = Payload::Ke(Ke { group: KeId::ML_KEM_512, data: vec![1; 800] });
    for link in [Vec::new(), vec![0x42], vec![7; 16]] {
        let notify = Payload::Notify(Notify::new(NotifyType::ADDITIONAL_KEY_EXCHANGE, link));
        let answer = world.alice_asks(X::IKE_FOLLOWUP_KE, &[ke.clone(), notify]).unwrap();
        assert_eq!(answer.error().map(|n| n.kind), Some(NotifyType::STATE_NOT_FOUND));
    }
    let answer = world.alice_asks(X::IKE_FOLLOWUP_KE, std::slice::from_ref(&ke)).unwrap();
    assert_eq!(answer.error().map(|n| n.kind), Some(NotifyType::STATE_NOT_FOUND));
    assert_eq!((spis(&world, false), world.b.ikes()), (old, 1));
}

#[test]
fn rekeys_with_additional_exchanges_in_bad_weather() {
    for seed in 0..60 {
        let mut world = followed();
        let of_ike = seed % 2 == 0;
        for round in 0..3 {
            world.weather = Weather { loss: 15, duplicate: 15, delay: 20, jitter: 200 };
            (0..seed + round).for_each(|_| _ = world.random());
            world.command_a(again(of_ike));
            world.pass(Duration::from_millis(seed * 7));
            world.command_b(again(of_ike));
            world.pass(seconds(20));
            world.weather = Weather::default();
            world.pass(seconds(120));
            assert_one_tunnel(&world);
        }
    }
}
