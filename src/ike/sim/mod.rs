//! The simulator: endpoints with a clock each, and a wire that loses, delays, reorders, duplicates and partitions. Users, policies and
//! misfortunes are drawn from a seed, and so is everything else: the same seed is the same run, octet for octet.
//!
//! A run is a storm, in which everything may happen; then the wire heals, and after a bounded time both ends must agree, have what they
//! want, and lose no packet over any number of rekeys; then everybody stops, and nothing may be left.
//!
//! What must hold all the time stands in `check`; when a packet may be lost stands at `World::lost`.
mod check;
mod dice;
mod host;
mod operations;
mod plan;
mod sealed;
mod tables;
mod world;

pub use world::Summary;

use crate::crypto::secret;
use crate::ike::event::{Command, IkeId};
use dice::Dice;
use plan::{Plan, Weather};
use std::collections::BTreeMap;
use std::time::Duration;
use world::World;

/// After the wire has healed, both ends agree within this time: what is dead is noticed (liveness, and the last retransmission), what
/// waits after a failure does so for a minute at most, and then there is time for another attempt.
const SETTLED: Duration = Duration::from_secs(200);
/// Then rekeys go on for this time, and nothing is lost.
const CALM: Duration = Duration::from_secs(40);
/// Nobody is busy for longer than this when nothing is wrong: what the other end has to delete, and does not, we delete after 10 s.
const BUSY: Duration = Duration::from_secs(20);
const FINE: Weather = Weather { loss: 0, duplicate: 0, delay: 5, jitter: 20 };

/// Plays a seed. Panics when something does not hold. `talkative`: tells on stderr what happens.
pub fn run(seed: u64, talkative: bool) -> Summary {
    play(Dice::seeded(seed), talkative, 0)
}
/// The same, but that after so many inputs each time another process goes on with an endpoint: it makes no difference but in the IVs.
pub fn run_reborn(seed: u64, every: u64) -> Summary {
    play(Dice::seeded(seed), false, every)
}
/// A fuzz target: a run whose decisions are these octets. It ends with them.
pub fn operations(data: &[u8]) -> Summary {
    play(Dice::of_octets(data), false, 0)
}
/// A fuzz target: octets inside a protected message. Returns the stage of its receiver, 0 to 3, and whether the message was opened and
/// something came of it; `None` if they are too few.
pub fn sealed(data: &[u8]) -> Option<(usize, bool)> {
    sealed::play(data).map(|reached| (reached.stage as usize, reached.effect))
}

/// Seeds of `sealed`.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    sealed::seeds()
}

/// Endpoints as octets at some moments of a run, without the name and the version before them: seeds of `thaw`.
#[cfg(test)]
pub(crate) fn frozen() -> Vec<Vec<u8>> {
    let mut dice = Dice::seeded(7);
    let plan = Plan { fair: true, weather: FINE, narrow: None, edits: false, ..Plan::new(&mut dice) };
    let mut world = World::new(plan, &mut dice, false);
    let mut seeds = Vec::new();
    for _ in 0..4 {
        let connections: Vec<_> = world.machines[0].policy.connections.iter().map(|one| one.name.clone()).collect();
        for connection in connections {
            world.command(0, Command::Up { connection, child: None });
        }
        let next = world.now + Duration::from_millis(60);
        world.run(next);
        let endpoints = world.machines.iter().filter_map(|machine| machine.endpoint.as_ref());
        seeds.extend(endpoints.map(|endpoint| {
            let frozen = endpoint.freeze().expect("everything was polled");
            frozen.octets()[super::frozen::HEAD..].to_vec()
        }));
    }
    seeds
}

fn play(mut dice: Dice, talkative: bool, reborn_every: u64) -> Summary {
    let before = secret::alive();
    let plan = Plan::new(&mut dice);
    if talkative {
        eprintln!("{plan:#?}");
    }
    let (fair, storm, pace) = (plan.fair, plan.storm, plan.pace);
    // By dice of its own: a run without probes is what it was before there were any.
    let mut probing = plan.narrow.map(|narrow| Dice::seeded(narrow as u64));
    let mut editing = plan.edits.then(|| Dice::seeded(storm.as_millis() as u64));
    let mut world = World::new(plan, &mut dice, talkative);
    world.machines.iter_mut().for_each(|machine| machine.reborn_every = reborn_every);
    while world.now < storm && !dice.is_spent() {
        let next = world.now + dice.between(Duration::ZERO, 2 * pace);
        quietly(&mut world, next, fair);
        operations::one(&mut world, &mut dice, fair);
        if let Some(dice) = &mut probing {
            operations::probe(&mut world, dice);
        }
        if let Some(dice) = &mut editing {
            operations::adopt(&mut world, dice, fair);
        }
    }
    world.heal(FINE);
    world.traffic = Some(Duration::from_secs(1));
    let settled = world.now + SETTLED;
    world.run(settled);
    world.traffic = Some(Duration::from_millis(200));
    world.strict = true;
    let agreed = quietly(&mut world, settled + CALM, true);
    assert!(agreed, "nobody has a moment of peace");
    stop(&mut world);
    let summary = world.summary;
    drop(world);
    assert_eq!(secret::alive(), before, "secrets are left when everything is gone");
    summary
}
/// Runs until then. Whenever nobody is busy all must agree, and from the first such moment on no packet may be lost. What a rekey has left
/// behind does not count, but may not stay for long: where both ends rekey every few seconds there is always some of it.
/// Returns whether there was one.
fn quietly(world: &mut World, until: Duration, check: bool) -> bool {
    if !check {
        world.run(until);
        return false;
    }
    let (mut last, mut any) = (world.now, false);
    // What is left of IKE SAs, and since when: each of them, as the next may be rekeyed before the one before is gone.
    let mut left: BTreeMap<(usize, IkeId), Duration> = BTreeMap::new();
    while world.now < until {
        world.run((world.now + Duration::from_millis(50)).min(until));
        let leftovers =
            || world.machines.iter().enumerate().flat_map(|(i, m)| check::leftovers(m).map(move |id| (i, id)));
        left = leftovers().map(|one| (one, left.get(&one).copied().unwrap_or(world.now))).collect();
        let old = left.iter().find(|(_, since)| world.now - **since >= BUSY);
        assert!(!world.strict || old.is_none(), "an IKE SA that is not in use stays: {old:?}");
        let busy: Vec<_> = world.machines.iter().filter_map(check::busy_with).collect();
        if !(world.is_silent() && busy.is_empty()) {
            assert!(!world.strict || world.now - last < BUSY, "somebody has been busy since {last:?}: {busy:?}");
            continue;
        }
        last = world.now;
        match check::agree(&world.machines, world.now) {
            Ok(()) => (any, world.strict) = (true, true),
            Err(why) => assert!(!world.strict, "{why}"),
        }
    }
    any
}
/// Everybody stops, and nothing is left.
fn stop(world: &mut World) {
    (world.strict, world.traffic) = (false, None);
    for machine in 0..world.machines.len() {
        world.command(machine, Command::Shutdown);
    }
    let until = world.now + Duration::from_secs(10);
    world.run(until);
    world.machines.iter().for_each(check::empty);
    let with = secret::alive();
    world.machines.iter_mut().for_each(|m| m.endpoint = None);
    let without = secret::alive();
    // An endpoint that has nothing to do has one of its own, the key of its SPIs.
    assert_eq!(with - without, world.machines.len(), "secrets are left of what is gone");
}

#[cfg(test)]
mod tests;
