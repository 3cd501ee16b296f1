//! What users and misfortune do to a machine.
use super::dice::Dice;
use super::world::World;
use crate::ike::event::{Command, IkeId};
use crate::ike::policy::Policy;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// One operation. `fair`: none that may cost a packet.
pub(super) fn one(world: &mut World, dice: &mut Dice, fair: bool) {
    let machine = dice.below(world.machines.len() as u64) as usize;
    let policy = world.machines[machine].policy.clone();
    let connection = dice.pick(&policy.connections).clone();
    let child = dice.pick(&connection.children).name.clone();
    let name = connection.name.clone();
    match dice.below(if fair { 45 } else { 100 }) {
        0..20 => both(world, dice, machine, Command::Rekey { connection: name, child: Some(child) }),
        20..35 => both(world, dice, machine, Command::Rekey { connection: name, child: None }),
        35..40 => world.command(machine, Command::Up { connection: name, child: None }),
        40..45 => world.command(machine, Command::Up { connection: name, child: Some(child) }),
        45..55 => world.command(machine, Command::Down { connection: name, child: Some(child) }),
        55..60 => world.command(machine, Command::Down { connection: name, child: None }),
        60..64 => world.crash(machine, dice.millis(0..20_000)),
        64..67 => {
            world.command(machine, Command::Shutdown);
            let wait = world.now + Duration::from_secs(3);
            world.run(wait);
            world.crash(machine, dice.millis(0..5000));
        }
        67..71 => world.sleep(machine, dice.millis(1000..40_000)),
        71..74 => world.jump(machine, dice.millis(1000..60_000)),
        74..80 => {
            let way = *dice.pick(&[(true, true), (true, false), (false, true)]);
            world.cut(machine, dice.millis(500..30_000), way);
        }
        80..87 => world.move_away(machine, Ipv4Addr::new(198, 51, 100, dice.below(250) as u8).into()),
        87..90 if world.machines[machine].is_awake(world.now) => {
            let policy = Arc::new(changed(dice, &policy));
            world.machines[machine].policy = policy.clone();
            world.command(machine, Command::SetPolicy(policy));
        }
        _ => {
            let weather = &mut world.weather;
            (weather.loss, weather.duplicate, weather.jitter) = (dice.below(21), dice.below(21), dice.below(1500));
        }
    }
}
/// Somebody wants to know what the path takes, often of more than one size, and now and then of an IKE SA that is not there.
pub(super) fn probe(world: &mut World, dice: &mut Dice) {
    if !dice.percent(40) {
        return;
    }
    let machine = dice.below(world.machines.len() as u64) as usize;
    let mut known: Vec<IkeId> = world.machines[machine].ikes.keys().copied().collect();
    known.push(IkeId(1_000_000));
    for _ in 0..=dice.below(2) {
        let ike = known[dice.below(known.len() as u64) as usize];
        world.command(machine, Command::Probe { ike, size: 400 + dice.below(1200) as u16 });
    }
}
/// Often the other end does the same at the same time.
fn both(world: &mut World, dice: &mut Dice, machine: usize, command: Command) {
    if dice.percent(50) {
        let other = (machine + 1) % world.machines.len();
        world.command_in(dice.millis(0..300), other, command.clone());
    }
    world.command(machine, command);
}
/// As it was, or with a connection that differs a little.
fn changed(dice: &mut Dice, policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    if dice.percent(50) {
        let mut connection = (*policy.connections[0]).clone();
        connection.dpd_delay = dice.millis(3000..20_000);
        policy.connections[0] = Arc::new(connection);
    }
    policy
}
