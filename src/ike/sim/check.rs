//! What must always hold, and what must hold when nothing is going on.
use super::host::Machine;
use super::tables::Slot;
use crate::ike::child::{Child, ChildState};
use crate::ike::event::{ChildId, Ended, IkeId};
use crate::ike::policy::Retransmit;
use crate::ike::sa::{Asked, Established, HALF_OPEN_LIFETIME, IkeSa, Phase, Standing, Task};
use crate::wire::message::{IkeSpi, Message};
use crate::wire::payload::Payload;
use crate::wire::registry::ExchangeType;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Protected messages: no IV twice under one key, but for the same octets again.
#[derive(Default)]
pub(super) struct Sealed(HashMap<Iv, Vec<u8>>);
/// Both SPIs, the direction, the message id, and the IV.
type Iv = (IkeSpi, IkeSpi, bool, u32, Vec<u8>);
impl Sealed {
    pub(super) fn message(&mut self, data: &[u8]) {
        let message = Message::parse(data).expect("we send whole messages");
        let body = match message.payloads.last() {
            Some(Payload::Encrypted(sk)) => &sk.body,
            Some(Payload::Fragment(skf)) => &skf.body,
            _ => return,
        };
        let header = &message.header;
        // After each IKE_INTERMEDIATE there are other keys; whose SPIs they are does not change.
        let stage = if header.exchange == ExchangeType::IKE_INTERMEDIATE { header.id } else { u32::MAX };
        let iv = body.get(..8).expect("an IV").to_vec();
        let before = self.0.insert((header.spi_i, header.spi_r, header.initiator, stage, iv), data.to_vec());
        assert!(before.is_none_or(|before| before == data), "an IV twice under one key: {header:?}");
    }
}

/// How long a request may go unanswered.
fn patience(times: &Retransmit) -> Duration {
    let wait = |n| times.first.mul_f64(times.factor.powi(n)).min(times.max);
    (0..=times.tries as i32).map(wait).sum::<Duration>() + Duration::from_secs(1)
}
/// COOKIE and INVALID_KE_PAYLOAD, three times each, begin the request anew.
const BEGINNINGS: u32 = 7;

/// After every step: the tables of an endpoint fit together, and nothing is older than it may become.
pub(super) fn machine(machine: &Machine, now: Duration) {
    let Some(endpoint) = &machine.endpoint else { return };
    let (common, sas, shown) = (&endpoint.common, &endpoint.sas, machine.clock.shows(now));
    let name = machine.name;
    let known = sas.iter().all(|(id, sa)| common.by_spi.get(&sa.core.our_spi()) == Some(id));
    assert!(known, "{name}: an IKE SA that is not found by its SPI");
    let half_open = sas.values().filter(|sa| matches!(sa.phase, Phase::HalfOpen(_))).count();
    assert_eq!(common.admission.half_open(), half_open, "{name}: half-open IKE SAs");
    let established: Vec<_> = sas.values().filter(|sa| matches!(sa.phase, Phase::Established(_))).collect();
    assert_eq!(common.established, established.len(), "{name}: established IKE SAs");
    // One that only waits for its Delete, or for a rekey to be decided, is none of the host's business.
    let known = established.iter().filter(|sa| machine.ikes.contains_key(&sa.core.id)).count();
    assert_eq!(machine.ikes.len(), known, "{name}: the events tell of an IKE SA that is not there");
    let children: BTreeSet<ChildId> = established.iter().flat_map(|sa| children_of(sa)).collect();
    assert!(children.iter().eq(machine.net.tables.pairs.keys()), "{name}: children and their SAs");
    assert_eq!(common.by_child.len(), children.len(), "{name}: inbound SPIs and children");
    let limit = patience(&machine.policy.retransmit) * BEGINNINGS + machine.missed;
    for sa in sas.values() {
        let age = shown.saturating_sub(sa.core.created);
        match &sa.phase {
            Phase::HalfOpen(_) => assert!(age <= HALF_OPEN_LIFETIME, "{name}: half-open for {age:?}"),
            Phase::Established(est) => {
                let waits = !sa.core.window.is_free() || common.jobs.values().any(|job| job.ike == sa.core.id);
                assert!(est.asked.is_none() || waits, "{name}: a request that nothing can end");
                let sent_on = |c: &&Child| machine.net.tables.pairs.get(&c.id).is_some_and(|pair| !pair.inbound_only);
                let gone = est.children.iter().find(|c| may_be_gone(est, c) && sent_on(c));
                assert!(gone.is_none(), "{name} sends on what the peer may have deleted: {gone:?}");
                let waits = waits || est.awaits_delete() && est.queue == [Task::RekeyIke];
                assert!(
                    est.queue.is_empty() || est.standing != Standing::Current || waits,
                    "{name}: requests that nothing sends"
                );
            }
            _ => assert!(age <= limit, "{name}: it has tried for {age:?}"),
        }
    }
}
/// We have asked the peer to delete it because another one has its place, or to delete its IKE SA.
fn may_be_gone(est: &Established, child: &Child) -> bool {
    let with_all = matches!((&est.asked, est.closing), (Some(Asked::DeleteIke), Some((Ended::Replaced, _))));
    with_all || child.state == ChildState::Closing(Ended::Replaced)
}
fn children_of(sa: &IkeSa) -> Vec<ChildId> {
    match &sa.phase {
        Phase::Established(est) => est.children.iter().map(|c| c.id).collect(),
        _ => Vec::new(),
    }
}

/// Established IKE SAs that are not in use: another one has their place, or has won.
pub(super) fn leftovers(machine: &Machine) -> impl Iterator<Item = IkeId> {
    let sas = machine.endpoint.iter().flat_map(|endpoint| endpoint.sas.values());
    sas.filter(|sa| is_left(machine, sa)).map(|sa| sa.core.id)
}
fn is_left(machine: &Machine, sa: &IkeSa) -> bool {
    matches!(sa.phase, Phase::Established(_)) && !machine.ikes.contains_key(&sa.core.id)
}
/// What it waits for; `None`: nothing.
pub(super) fn busy_with(machine: &Machine) -> Option<String> {
    let Some(endpoint) = &machine.endpoint else { return Some("booting".into()) };
    endpoint.sas.values().filter(|sa| !is_left(machine, sa)).find_map(|sa| match &sa.phase {
        Phase::Established(est) => {
            let child = est.children.iter().find(|c| c.state != ChildState::Up);
            let waits = [
                (!sa.core.window.is_free() || est.asked.is_some(), "an answer".into()),
                (est.answering.is_some(), "a computation".into()),
                (est.closing.is_some(), "the end of an IKE SA".into()),
                (est.leave_at.is_some(), "a Delete of an IKE SA that another one has the place of".into()),
                (!est.queue.is_empty(), format!("{:?}", est.queue)),
                (child.is_some(), format!("{child:?}")),
            ];
            waits.into_iter().find(|(waits, _)| *waits).map(|(_, what)| what)
        }
        _ => Some("a handshake".into()),
    })
}
/// The IKE SA of a child that is in use, if the other machine has it, too.
pub(super) fn share_an_ike_sa(machine: &Machine, child: ChildId, other: &Machine) -> bool {
    let (Some(here), Some(there)) = (&machine.endpoint, &other.endpoint) else { return false };
    let Some(sa) = here.sas.values().find(|sa| children_of(sa).contains(&child)) else { return false };
    // Its user has taken it down: the Delete may be faster than the answer that made it.
    let down = |est: &Established| est.child(child).is_some_and(|c| c.state == ChildState::Closing(Ended::ByUs));
    if matches!(&sa.phase, Phase::Established(est) if down(est)) {
        return false;
    }
    let is = |o: &&IkeSa| (o.core.spi_i, o.core.spi_r) == (sa.core.spi_i, sa.core.spi_r);
    there.sas.values().find(is).is_some_and(|o| matches!(&o.phase, Phase::Established(est) if est.closing.is_none()))
}

/// All machines are idle and nothing is on the wire: do they agree on what is in use, and is there what is wanted?
pub(super) fn agree(machines: &[Machine], now: Duration) -> Result<(), String> {
    let mut ikes: BTreeMap<(IkeSpi, IkeSpi), Vec<&str>> = BTreeMap::new();
    let mut pairs = BTreeMap::new();
    for machine in machines {
        let endpoint = machine.endpoint.as_ref().ok_or("somebody is not there")?;
        if endpoint.common.by_spi.len() != endpoint.sas.len() {
            return Err(format!("{} holds SPIs of no IKE SA", machine.name));
        }
        for sa in endpoint.sas.values().filter(|sa| !is_left(machine, sa)) {
            if let Phase::Established(est) = &sa.phase {
                is_complete(machine, est)?;
            }
            ikes.entry((sa.core.spi_i, sa.core.spi_r)).or_default().push(machine.name);
        }
        let tables = &machine.net.tables;
        let mut slots: BTreeSet<&Slot> = BTreeSet::new();
        for pair in tables.pairs.values() {
            if !slots.insert(&pair.slot) {
                return Err(format!("{} has {:?} twice", machine.name, pair.slot));
            }
            let (connection, child, peer, resource) = &pair.slot;
            if resource.is_none() && tables.sending(&pair.slot).is_none() {
                return Err(format!("{} has {:?} and does not send on it", machine.name, pair.slot));
            }
            let fallback = (connection.clone(), child.clone(), *peer, None);
            if !tables.pairs.values().any(|other| other.slot == fallback) {
                return Err(format!("{} has {:?} without a fallback", machine.name, pair.slot));
            }
            pairs.insert((pair.spi_in, pair.spi_out, &pair.key_in, &pair.key_out), machine.name);
        }
        let mut connections = BTreeSet::new();
        if let Some(twice) = machine.ikes.values().find(|c| !connections.insert(*c)) {
            return Err(format!("{} has two IKE SAs of {twice}", machine.name));
        }
        let used: Vec<u32> = tables.pairs.values().map(|p| p.spi_in).collect::<BTreeSet<_>>().into_iter().collect();
        if tables.held() != used {
            return Err(format!("{} holds {:x?} and uses {used:x?}", machine.name, tables.held()));
        }
        has_what_it_wants(machine, machine.clock.shows(now))?;
    }
    if let Some((spis, who)) = ikes.iter().find(|(_, who)| who.len() != 2) {
        return Err(format!("only {who:?} has the IKE SA {spis:?}"));
    }
    for ((spi_in, spi_out, key_in, key_out), name) in &pairs {
        if !pairs.contains_key(&(*spi_out, *spi_in, *key_out, *key_in)) {
            return Err(format!("only {name} has the child {spi_in:08x} {spi_out:08x}"));
        }
    }
    Ok(())
}
/// Beside each fallback are as many children as whoever has asked for it wants, unless the other end wants no more (RFC 9611); and at neither
/// end more.
fn is_complete(machine: &Machine, est: &Established) -> Result<(), String> {
    for child in &est.children {
        let beside = |c: &&Child| c.resource.is_some() && c.policy.name == child.policy.name;
        let there = est.children.iter().filter(beside).count();
        let wanted = child.policy.resources as usize;
        let asks = child.group.as_ref().is_some_and(|group| group.is_open() && group.deadline().is_none());
        if there > wanted || asks && there < wanted {
            return Err(format!(
                "{} has {there} children beside {}, and not {wanted}",
                machine.name, child.policy.name
            ));
        }
    }
    Ok(())
}
/// So often a child may have been refused when nothing is wrong, and its wait is not over: the peer was rekeying the IKE SA each time
/// (RFC 7296 section 2.25.2). Without any, a responder leaves the first word to the initiator for a while.
const PUT_OFF: u32 = 3;
fn has_what_it_wants(machine: &Machine, shown: Duration) -> Result<(), String> {
    let endpoint = machine.endpoint.as_ref().ok_or("it is not there")?;
    let fallbacks = machine.net.tables.pairs.values().filter(|p| p.slot.3.is_none());
    let up: BTreeSet<_> = fallbacks.map(|p| (p.slot.0.clone(), p.slot.1.clone())).collect();
    for link in endpoint.common.links.values().filter(|l| l.can_initiate()) {
        for (child, wish) in link.connection.children.iter().zip(&link.wishes) {
            let missing = wish.wanted && !up.contains(&(link.connection.name.clone(), child.name.clone()));
            let patient = wish.retry.at > shown && wish.retry.failures <= PUT_OFF;
            if missing && !patient {
                return Err(format!("{} wants {} {} and has it not", machine.name, link.connection.name, child.name));
            }
        }
    }
    Ok(())
}
/// After a shutdown: there is nothing left.
pub(super) fn empty(machine: &Machine) {
    let endpoint = machine.endpoint.as_ref().expect("it is there");
    let name = machine.name;
    assert!(machine.drained, "{name} was told to stop, and has not told that it has");
    assert!(endpoint.sas.is_empty() && endpoint.common.jobs.is_empty(), "{name}: IKE SAs are left");
    assert!(machine.net.tables.pairs.is_empty() && machine.ikes.is_empty(), "{name}: children are left");
    assert!(machine.net.tables.held().is_empty(), "{name} holds {:x?}", machine.net.tables.held());
    assert!(machine.probes.is_empty(), "{name}: nobody has answered {:?}", machine.probes);
    let links = &endpoint.common.links;
    assert!(links.values().all(|l| l.sas.is_empty()), "{name}: a connection remembers IKE SAs");
}
