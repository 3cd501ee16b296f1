//! What users and misfortune do to a machine.
use super::dice::Dice;
use super::world::World;
use crate::crypto::ke::NULL_GROUPS;
use crate::ike::event::{Command, IkeId};
use crate::ike::policy::{Connection, DpdAction, EncapPolicy, Policy};
use crate::wire::payload::{Proposal, Transform};
use crate::wire::registry::TransformType;
use crate::wire::selector::Selector;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// One operation. `fair`: none that may cost a packet.
pub(super) fn one(world: &mut World, dice: &mut Dice, fair: bool) {
    let machine = dice.below(world.machines.len() as u64) as usize;
    let policy = world.machines[machine].policy.clone();
    if policy.connections.is_empty() {
        return;
    }
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
    if dice.percent(50) && !policy.connections.is_empty() {
        let mut connection = (*policy.connections[0]).clone();
        connection.dpd_delay = dice.millis(3000..20_000);
        policy.connections[0] = Arc::new(connection);
    }
    policy
}
/// Now and then the configuration is another one: of one end, so that the other one's still fits, or what both have comes and goes.
/// `fair`: nothing that may cost a packet.
pub(super) fn adopt(world: &mut World, dice: &mut Dice, fair: bool) {
    if !dice.percent(30) || !world.machines.iter().all(|machine| machine.is_awake(world.now)) {
        return;
    }
    let machine = dice.below(world.machines.len() as u64) as usize;
    if !fair && dice.percent(20) {
        return come_and_go(world, dice, machine);
    }
    let mut policy = (*world.machines[machine].policy).clone();
    if policy.connections.is_empty() {
        return come_and_go(world, dice, machine);
    }
    let which = dice.below(policy.connections.len() as u64) as usize;
    edit(dice, Arc::make_mut(&mut policy.connections[which]), fair);
    set_policy(world, machine, policy);
}
fn set_policy(world: &mut World, machine: usize, policy: Policy) {
    let policy = Arc::new(policy);
    world.machines[machine].policy = policy.clone();
    world.command(machine, Command::SetPolicy(policy));
}
/// The last child of a connection, or the connection, at both ends.
fn come_and_go(world: &mut World, dice: &mut Dice, machine: usize) {
    let planned = world.machines[machine].planned.clone();
    let name = dice.pick(&planned.connections).name.clone();
    let whole = dice.percent(30);
    let there = world.machines[machine].policy.connections.iter().find(|c| c.name == name).cloned();
    let goes = there
        .is_some_and(|c| planned.connections.iter().any(|p| p.name == name && p.children.len() == c.children.len()));
    for machine in 0..world.machines.len() {
        let (mut policy, planned) =
            ((*world.machines[machine].policy).clone(), world.machines[machine].planned.clone());
        let Some(mut connection) = planned.connections.iter().find(|c| c.name == name).cloned() else { continue };
        policy.connections.retain(|c| c.name != name);
        if goes && !whole {
            let children = &mut Arc::make_mut(&mut connection).children;
            let left = children.len().saturating_sub(1).max(1);
            children.truncate(left);
        }
        if !(goes && whole) {
            policy.connections.push(connection);
        }
        set_policy(world, machine, policy);
    }
}
fn edit(dice: &mut Dice, connection: &mut Connection, fair: bool) {
    let at = dice.below(connection.children.len() as u64) as usize;
    let child = Arc::make_mut(&mut connection.children[at]);
    match dice.below(8) {
        0 => connection.dpd_delay = dice.millis(3000..20_000),
        1 => connection.rekey_time = dice.millis(7000..40_000),
        2 => child.rekey_time = dice.millis(if fair { 60_000..120_000 } else { 3000..30_000 }),
        3 => child.proposals = groups(dice, &child.proposals),
        4 => connection.proposals = groups(dice, &connection.proposals),
        5 => {
            let ts = if dice.percent(50) { &mut child.local_ts } else { &mut child.remote_ts };
            // A half of it, or all.
            let len = if dice.percent(50) { 25 } else { 24 };
            *ts = vec![Selector::prefix(ts[0].start, len)];
        }
        6 => connection.encap = *dice.pick(&[EncapPolicy::Auto, EncapPolicy::Always]),
        _ => child.dpd = *dice.pick(&[DpdAction::Restart, DpdAction::Trap, DpdAction::Clear]),
    }
}
/// The same suite with its groups in another order, or without one that not everybody has.
fn groups(dice: &mut Dice, proposals: &[Proposal]) -> Vec<Proposal> {
    let mut proposal = proposals[0].clone();
    let before = proposal.transforms.len();
    proposal.transforms.retain(|t| t.kind != TransformType::KE);
    if proposal.transforms.len() < before {
        let order = dice.pick::<&[usize]>(&[&[0], &[0, 1], &[1, 0]]);
        let group =
            |g: &usize| Transform { kind: TransformType::KE, id: NULL_GROUPS[*g].0, key_bits: None, foreign: false };
        proposal.transforms.extend(order.iter().map(group));
    }
    vec![proposal]
}
