//! Limits under attack: who is refused, who has to show a cookie, and who loses what it has.
use super::hostile::{anybody, newcomer};
use super::wire::Datagram;
use super::*;
use crate::ike::event::Input;
use crate::wire::message::Message;
use crate::wire::payload::Payload;
use crate::wire::registry::NotifyType;
use std::net::SocketAddr;

fn ask(world: &mut World, from: &str) -> Vec<Datagram> {
    let d = newcomer(world, SocketAddr::new(addr(from), 500));
    world.b.handle(world.now, Input::Datagram { local: d.to, remote: d.from, data: &d.data })
}
fn of_source(world: &World, from: &str) -> usize {
    world.b.endpoint.sas.values().filter(|sa| sa.core.remote.ip() == addr(from)).count()
}

#[test]
fn when_there_is_no_room_the_busiest_source_loses_first() {
    let mut policy = anybody();
    (policy.limits.half_open, policy.limits.half_open_per_source) = (20, 16);
    (policy.limits.cookie_threshold, policy.limits.cookie_per_source) = (1000, 1000);
    let mut world = World::new(alice(), policy);
    let busy = "198.51.100.1";
    for _ in 0..30 {
        ask(&mut world, busy);
    }
    assert_eq!(of_source(&world, busy), 16, "no source gets more");
    let oldest = world.b.endpoint.sas.keys().min().copied().unwrap();
    for i in 2..=20 {
        assert_eq!(ask(&mut world, &format!("198.51.100.{i}")).len(), 1, "source {i} is answered");
        assert!(world.b.endpoint.sas.len() <= 20);
    }
    assert!(!world.b.endpoint.sas.contains_key(&oldest), "the oldest one went");
    assert_eq!(of_source(&world, busy), 1, "the others have one each");
    assert!((2..=20).all(|i| of_source(&world, &format!("198.51.100.{i}")) == 1));
    // Who has as many as anybody gets no more, who has none does.
    assert!(ask(&mut world, busy).is_empty());
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
    world.pass(seconds(40));
    assert_eq!((world.b.endpoint.sas.len(), world.b.endpoint.common.admission.half_open()), (1, 0));
}

#[test]
fn while_too_much_is_being_computed_newcomers_need_a_cookie() {
    let mut policy = anybody();
    policy.limits.compute_queue = 0;
    let mut world = World::new(alice(), policy);
    let answers = ask(&mut world, "198.51.100.1");
    let message = Message::parse(&answers[0].data).unwrap();
    assert!(matches!(&message.payloads[0], Payload::Notify(n) if n.kind == NotifyType::COOKIE), "{message:?}");
    assert!(world.b.endpoint.sas.is_empty());
}

/// Each of them may be the peer that has a name and has moved: it is looked for, but not once for each.
#[test]
fn strangers_do_not_make_us_ask_for_names_for_ever() {
    let named = with(bob(), |c| c.remote_addrs = vec![Remote::Name("alice.example".into())]);
    let mut world = World::new(alice(), named);
    world.b.host.asked = true;
    let mut answered = Vec::new();
    for i in 0..300 {
        answered.push(ask(&mut world, &format!("198.51.100.{}", i % 200 + 1)).len());
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.b.host.questions, 3, "in 30 s");
    // While the answer may be on its way nobody is refused, and then everybody is.
    assert_eq!((answered[..50].iter().sum::<usize>(), answered[50..100].iter().sum::<usize>()), (0, 50));
    // Who has the address is let in though he was taken for a stranger a moment ago.
    world.b.host.names.insert("alice.example".into(), vec![addr(ALICE)]);
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
}
