//! Childless initiation (RFC 6023) in both roles.
use super::*;
use crate::ike::policy::Childless;
use crate::wire::payload::{Auth, IdPayload, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use stranger::Stranger;

fn with_childless(policy: Policy, childless: Childless) -> Policy {
    with(policy, |c| c.childless = childless)
}
fn world(alice_is: Childless, bob_is: Childless) -> World {
    let mut world = World::new(with_childless(alice(), alice_is), with_childless(bob(), bob_is));
    world.command_a(up());
    world.pass(seconds(2));
    world
}
fn creates(world: &World) -> usize {
    world.sent_by(ALICE).iter().filter(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)).count()
}

#[test]
fn rfc6023_the_first_child_comes_by_create_child_sa_where_both_want_it_so() {
    use Childless::{Allow, Force, Never, Prefer};
    for (ours, theirs, later) in [
        (Allow, Allow, false),
        (Never, Allow, false),
        (Prefer, Allow, true),
        (Prefer, Never, false),
        (Force, Allow, true),
        (Force, Prefer, true),
        (Prefer, Force, true),
    ] {
        let world = world(ours, theirs);
        assert_one_tunnel(&world);
        assert_eq!(creates(&world), usize::from(later), "{ours:?} {theirs:?}");
    }
}

#[test]
fn rfc6023_who_insists_on_it_gives_up_where_it_is_not_known() {
    let world = world(Childless::Force, Childless::Never);
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    assert!(world.a.failures().contains(&"childless.unsupported"));
    assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
}

/// A responder that insists on it refuses the child of IKE_AUTH, not the IKE SA (R28): the child is tried again, and then it may be.
#[test]
fn rfc6023_a_responder_that_insists_gets_the_child_later() {
    let mut world = world(Childless::Allow, Childless::Force);
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
    world.pass(seconds(10));
    assert_one_tunnel(&world);
    assert_eq!(creates(&world), 1);
}

/// Who is configured here is not told before somebody has proven to be him, whatever is left out.
#[test]
fn rfc6023_without_a_child_unknown_and_wrong_get_the_same_answer() {
    for (name, bob_is) in [("alice", Childless::Allow), ("alice", Childless::Never), ("carol", Childless::Allow)] {
        let mut world = World::new(alice(), with_childless(bob(), bob_is));
        let mut stranger = Stranger::like_alice().meets(&mut world);
        let id = IdPayload::from(name_id(name));
        let wrong = Auth { data: vec![7; 32], ..stranger.auth(&id) };
        let request = [Payload::IdI(id), Payload::Auth(wrong)];
        let answer = stranger.asks(&mut world, ExchangeType::IKE_AUTH, &request);
        assert_eq!(answer.error(), Some(NotifyType::AUTHENTICATION_FAILED), "{name} {bob_is:?}");
    }
}

/// Whoever was not told that it may leaves nothing out.
#[test]
fn rfc6023_without_the_word_of_the_responder_an_ike_auth_without_child_is_malformed() {
    let mut world = World::new(with_childless(alice(), Childless::Prefer), with_childless(bob(), Childless::Allow));
    // Bob changes his mind after he has announced it.
    world.drop = |d| d.is(ExchangeType::IKE_AUTH, false);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    world.command_b(Command::SetPolicy(Arc::new(with_childless(bob(), Childless::Never))));
    world.drop = |_| false;
    world.pass(seconds(2));
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    assert!(world.b.failures().contains(&"message.incomplete"));
}
