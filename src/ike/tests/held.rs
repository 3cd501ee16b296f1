//! A connection that is held down for a while, because others have its traffic.
use super::*;
use crate::ike::event::Input;

fn hold() -> Command {
    Command::Hold { connection: "net".into() }
}
fn release() -> Command {
    Command::Release { connection: "net".into() }
}
fn only(child: &str) -> Command {
    Command::Up { connection: "net".into(), child: Some(child.into()) }
}
/// Children of all kinds, and what Alice has: `lan`, which packets bring up, and `old`, which somebody has brought up.
fn several() -> World {
    let with_more = |policy: Policy, trap: bool| {
        with(policy, |c| {
            let (local, remote) = if trap { (1, 2) } else { (2, 1) };
            let more = |name: &str, third: u32| {
                child(name, &format!("10.{local}{third}.0.0/16"), &format!("10.{remote}{third}.0.0/16"))
            };
            c.children = vec![c.children[0].clone(), more("trap", 1), more("old", 2), more("off", 3)];
            for (child, start) in c.children.iter_mut().zip([StartAction::Trap, StartAction::Trap]).filter(|_| trap) {
                let mut other = ChildPolicy::clone(child);
                other.start = start;
                *child = Arc::new(other);
            }
        })
    };
    let mut world = World::new(with_more(alice(), true), with_more(bob(), false));
    world.input_a(acquire("lan"));
    world.command_a(only("old"));
    world.pass(seconds(1));
    assert_eq!(names(&world), ["lan", "old"]);
    world
}
fn acquire(child: &str) -> Input<'static> {
    Input::Acquire { connection: "net".into(), child: child.into() }
}
fn names(world: &World) -> Vec<String> {
    let mut names: Vec<_> = world.a.children().iter().map(|child| child.child.to_string()).collect();
    names.sort();
    names
}

/// Nothing brings it up meanwhile; then what was up comes up, and what packets may bring up they may again.
#[test]
fn a_hold_is_forgotten_when_it_is_over() {
    for again in [false, true] {
        let mut world = several();
        world.command_a(hold());
        world.pass(seconds(5));
        world.input_a(acquire("lan"));
        world.input_a(acquire("trap"));
        if again {
            // The peer has brought it up meanwhile.
            world.command_b(only("lan"));
            world.pass(seconds(1));
            assert_eq!(names(&world), ["lan"]);
            world.command_a(hold());
        }
        world.pass(seconds(55));
        assert_eq!((names(&world).len(), world.a.ikes()), (0, 0));
        world.command_a(release());
        world.pass(seconds(1));
        assert_eq!(names(&world), ["lan", "old"]);
        world.input_a(acquire("trap"));
        world.input_a(acquire("off"));
        world.pass(seconds(1));
        assert_eq!(names(&world), ["lan", "old", "trap"]);
    }
}

/// What the user says counts at once, and what he has said before stays.
#[test]
fn who_says_up_or_down_ends_it() {
    let mut world = several();
    world.command_a(Command::Down { connection: "net".into(), child: Some("lan".into()) });
    world.pass(seconds(1));
    world.command_a(hold());
    world.pass(seconds(5));
    world.command_a(only("off"));
    world.pass(seconds(1));
    assert_eq!(names(&world), ["off", "old"]);
    world.input_a(acquire("lan"));
    world.pass(seconds(1));
    assert_eq!(names(&world), ["off", "old"], "the user wants it down");
    world.command_a(hold());
    world.pass(seconds(5));
    world.command_a(down());
    world.pass(seconds(1));
    for command in [release(), release()] {
        world.command_a(command);
        world.pass(seconds(60));
        assert_eq!(world.a.ikes(), 0);
    }
}

/// A reload makes the connection another one; it is held as before, and what its new configuration wants comes when it is released.
#[test]
fn another_configuration_does_not_end_it() {
    let mut world = several();
    world.command_a(hold());
    world.pass(seconds(5));
    let other = with_child(alice(), |c| (c.start, c.rekey_time) = (StartAction::Start, seconds(1800)));
    world.command_a(Command::SetPolicy(Arc::new(other)));
    world.input_a(acquire("lan"));
    world.pass(seconds(30));
    assert_eq!(world.a.ikes(), 0);
    world.command_a(release());
    world.pass(seconds(1));
    assert_eq!(names(&world), ["lan"]);
}
