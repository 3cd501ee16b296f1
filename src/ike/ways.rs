//! From where to where: the addresses of both ends in order of preference, and what follows when they come, go or fall silent.
//!
//! With MOBIKE an IKE SA moves (`exchange::mobike`). Without it a new one is made from scratch in the place of the old one: at once where the
//! old one has lost its address, beside it where the peer is silent there. Whichever is answered first goes on.
use super::calls::Caller;
use super::child::ChildState;
use super::common::Cx;
use super::demand::Attempt;
use super::diagnose::{Failure, Phase as Where};
use super::endpoint::Endpoint;
use super::event::{Ended, Host, IkeId};
use super::exchange::mobike;
use super::link::Link;
use super::policy::{Connection, Remote};
use super::sa::{Core, Established, IkeSa, Phase, Standing};
use crate::frozen::frozen;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Addresses of a peer that are looked at.
const MAX_REMOTES: usize = 8;
/// Attempts of one connection at a time.
const MAX_TRIES: usize = 4;
/// The first of our addresses is tried again when it has been there, or was tried last, for so long; the wait doubles,
const HOME_AGAIN: Duration = Duration::from_secs(10);
/// but not beyond this.
const MAX_HOME: Duration = Duration::from_secs(300);
/// Where we have been for so long we are at home: the next wait is the shortest again.
const SETTLED: Duration = Duration::from_secs(60);
/// So long we wait for the addresses of a name.
const RESOLVING: Duration = Duration::from_secs(10);

/// Our address and the peer's.
pub(super) type Way = (IpAddr, IpAddr);

/// Why there is no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// A name is being asked for, and that is waited for until then.
    Asking(Duration),
    /// That was told.
    Told,
}
/// The first of our addresses that is configured, and the way back to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Home {
    /// We are elsewhere, and look again then.
    pub at: Option<Duration>,
    wait: Duration,
    /// We are there since then.
    since: Option<Duration>,
}
frozen! { struct Home { at, wait, since } }
impl Home {
    /// We are there.
    fn is_here(&mut self, now: Duration) {
        self.at = None;
        self.since.get_or_insert(now);
    }
    /// We are elsewhere.
    fn is_away(&mut self, now: Duration) {
        if self.since.take().is_some_and(|since| now.saturating_sub(since) >= SETTLED) {
            self.wait = Duration::ZERO;
        }
        let wait = self.wait.max(HOME_AGAIN);
        self.at.get_or_insert(now + wait);
    }
    /// It is tried now.
    fn tries(&mut self, now: Duration) {
        self.wait = (self.wait.max(HOME_AGAIN) * 2).min(MAX_HOME);
        self.at = Some(now + self.wait);
    }
    /// It has come back to this host, perhaps: however often it was tried in vain before.
    fn may_be_back(&mut self, now: Duration) {
        if self.at.is_some() {
            self.wait = Duration::ZERO;
            self.at = Some(now + HOME_AGAIN);
        }
    }
}

/// Where a connection's IKE SA can go from here.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// The best first: each of the peer's addresses, from each of ours.
    pub list: Vec<Way>,
    /// The peer has an address, and it is our own.
    own: Option<IpAddr>,
    /// The peer has an address.
    found: bool,
}
impl Ways {
    /// As the host sees it now.
    pub(super) fn of(connection: &Connection, host: &mut dyn Host) -> Self {
        let mut ways = Self::default();
        let mut remotes: Vec<IpAddr> = Vec::new();
        for remote in &connection.remote_addrs {
            let found = match remote {
                Remote::Addr(addr) => vec![*addr],
                Remote::Name(name) => host.resolve(name),
                Remote::Any => Vec::new(),
            };
            for addr in found {
                if host.is_ours(addr) {
                    ways.own = Some(addr);
                } else if !remotes.contains(&addr) && remotes.len() < MAX_REMOTES {
                    remotes.push(addr);
                }
            }
        }
        ways.found = !remotes.is_empty();
        for remote in remotes {
            ways.list.extend(locals(connection, remote, host).into_iter().map(|local| (local, remote)));
        }
        ways
    }
    /// Why there are none.
    fn failure(&self, now: Duration, connection: &Connection) -> Failure {
        let names = connection.remote_addrs.iter().filter_map(|remote| match remote {
            Remote::Name(name) => Some(name.clone()),
            Remote::Addr(_) | Remote::Any => None,
        });
        let (code, ours, theirs): (_, Vec<String>, Vec<String>) = match self.own {
            _ if self.found => {
                ("net.no_route", connection.local_addrs.iter().map(ToString::to_string).collect(), Vec::new())
            }
            Some(own) => ("net.own_address", names.collect(), vec![own.to_string()]),
            None => ("net.no_address", names.collect(), Vec::new()),
        };
        Failure::new(now, Where::SaInit, true, code).between("addresses", ours, theirs)
    }
}
/// Our addresses for a peer's, the best first: those of the configuration that can be used, or what the routes say.
pub(super) fn locals(connection: &Connection, remote: IpAddr, host: &mut dyn Host) -> Vec<IpAddr> {
    if connection.local_addrs.is_empty() {
        return host.local_addr(remote).into_iter().collect();
    }
    let usable = |local: &&IpAddr| local.is_ipv4() == remote.is_ipv4() && host.reaches(**local, remote);
    connection.local_addrs.iter().filter(usable).copied().collect()
}
fn way(core: &Core) -> Way {
    (core.local.ip(), core.remote.ip())
}

impl Endpoint {
    /// The way of the next attempt; without one, when to look again.
    pub(super) fn next_way(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>) -> Result<Way, Duration> {
        let Some(link) = self.common.links.get_mut(name) else { return Err(Duration::MAX) };
        let connection = link.connection.clone();
        let ways = Ways::of(&connection, host);
        let turn = link.next_way;
        if let Some(way) = ways.list.get(turn.checked_rem(ways.list.len()).unwrap_or_default()) {
            link.stuck = None;
            return Ok(*way);
        }
        // That takes a moment, and is no failure yet.
        let until = if let Some(Stuck::Asking(until)) = link.stuck { until } else { now + RESOLVING };
        if now < until && ask_again(&connection, host) {
            link.stuck = Some(Stuck::Asking(until));
            link.ike.at = until;
            return Err(until);
        }
        link.stuck = Some(Stuck::Told);
        link.attempt_failed(now);
        let at = link.ike.at;
        Cx { now, host, common: &mut self.common }.fail(ways.failure(now, &connection), Some(&connection));
        Err(at)
    }
    /// Names have been resolved: whoever waits for one of them, or for a peer that has it and is silent, looks again.
    pub(super) fn on_resolved(&mut self, now: Duration, host: &mut dyn Host, names: &[String]) {
        let is = |r: &Remote| matches!(r, Remote::Name(name) if names.iter().any(|n| **n == **name));
        let named = |link: &&Link| link.connection.remote_addrs.iter().any(is);
        let mut links: Vec<_> = self.common.links.values().filter(named).map(|l| l.connection.name.clone()).collect();
        links.sort_unstable();
        for name in links {
            let Some(link) = self.common.links.get_mut(&name) else { continue };
            if matches!(link.stuck, Some(Stuck::Asking(_))) {
                link.ike.at = now;
                self.common.touched.insert(name);
                continue;
            }
            self.unstick(now, host, &name);
            let Some(link) = self.common.links.get(&name) else { continue };
            for id in link.sas.clone() {
                if self.sas.get(&id).is_some_and(|sa| sa.core.window.is_silent()) {
                    self.step(now, host, id, |cx, sa| {
                        mobike::found(cx, &mut sa.core);
                        Ok(())
                    });
                    self.look_elsewhere(now, host, id);
                }
            }
        }
    }
    /// A connection without a way may have one now.
    fn unstick(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>) {
        let Some(link) = self.common.links.get_mut(name).filter(|link| link.stuck.is_some()) else { return };
        if !Ways::of(&link.connection, host).list.is_empty() {
            link.stuck = None;
            link.ike = super::link::Retry::now(now);
            self.common.touched.insert(name.clone());
        }
    }
    /// The host has other addresses or routes now.
    pub(super) fn on_addrs_changed(&mut self, now: Duration, host: &mut dyn Host) {
        let mut names: Vec<_> = self.common.links.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            self.unstick(now, host, &name);
            if let Some(link) = self.common.links.get_mut(&name) {
                link.home.may_be_back(now);
            }
        }
        for id in self.ids() {
            let mut leaves = None;
            self.step(now, host, id, |cx, sa| match &mut sa.phase {
                Phase::Established(est) if sa.core.mobile.agreed => {
                    mobike::addresses_changed(cx, &mut sa.core, est);
                    Ok(())
                }
                Phase::Established(est) => {
                    leaves = leaving(cx, &sa.core, est);
                    Ok(())
                }
                // From where it was begun no answer will come.
                _ if sa.core.initiator && has_lost(cx, &sa.core) => {
                    cx.common.touched.extend(sa.core.connection.clone());
                    Err(Ended::Replaced)
                }
                _ => Ok(()),
            });
            if let Some((way, lost)) = leaves
                && self.common.calls.may_begin(way.1, Caller::Renewal(id, lost))
            {
                self.renew_on(now, host, id, way, lost);
            }
        }
    }
    /// Somebody is silent: the peer may be elsewhere, or be reached from elsewhere. Or somebody was answered, and nobody needs to look any more.
    pub(super) fn look_around(&mut self, now: Duration, host: &mut dyn Host) {
        for id in std::mem::take(&mut self.common.answered) {
            self.call_off(now, host, id);
        }
        for id in std::mem::take(&mut self.common.silent) {
            let name = self.sas.get(&id).and_then(|sa| sa.core.connection.as_ref());
            if let Some(link) = name.and_then(|name| self.common.links.get(name)) {
                // The answer does not ask again: one question to each of its requests that time asks for.
                ask_again(&link.connection, host);
            }
            self.look_elsewhere(now, host, id);
        }
    }
    /// This one is silent: from another of our addresses, or at another of the peer's, there may be an answer.
    pub(super) fn look_elsewhere(&mut self, now: Duration, host: &mut dyn Host, id: IkeId) {
        let Some(IkeSa { core, phase }) = self.sas.get(&id).filter(|sa| sa.core.window.is_silent()) else { return };
        let Some(link) = core.connection.as_ref().and_then(|name| self.common.links.get(name)) else { return };
        if !link.can_initiate() {
            return;
        }
        let renews = core.replaces.filter(|old| self.sas.contains_key(old));
        let beside = |other: &IkeId| match self.sas.get(other).map(|sa| &sa.phase) {
            Some(Phase::Established(est)) => est.closing.is_none() && est.since >= core.created,
            _ => false,
        };
        let (replaces, child) = match phase {
            Phase::Established(est) if !is_tied(core, est) => (Some(id), None),
            Phase::Established(_) => return,
            // One that renews what works has no hurry.
            _ if renews.is_some() && !core.abandons => return,
            // Nor has one beside which another one has come up.
            _ if renews.is_none() && link.sas.iter().any(beside) => return,
            Phase::Proving(proving) if !proving.is_silent(now, core) => return,
            phase => match brings(phase) {
                Some(child) => (renews, Some(child)),
                None => return,
            },
        };
        let (here, abandons, name) = (way(core), core.abandons, link.connection.name.clone());
        let old = renews.and_then(|old| self.sas.get(&old)).map(|old| self::way(&old.core));
        let tried = |way: &Way| {
            *way == here || Some(*way) == old || link.tries.values().chain(&link.given_up).any(|tried| tried == way)
        };
        let ways = Ways::of(&link.connection, host).list;
        let turn = link.next_way;
        let in_turn = (0..ways.len()).map(|i| turn.wrapping_add(i));
        let next =
            in_turn.filter_map(|i| Some((i, *ways.get(i.checked_rem(ways.len())?)?))).find(|(_, way)| !tried(way));
        let Some((turn, way)) = next.filter(|_| link.tries.len() < MAX_TRIES) else { return };
        if !self.common.calls.may_begin(way.1, Caller::Elsewhere(id)) {
            return;
        }
        if let Some(link) = self.common.links.get_mut(&name) {
            link.next_way = turn.wrapping_add(1);
        }
        match (replaces, child) {
            (Some(old), None) => self.renew_on(now, host, old, way, true),
            (replaces, Some(child)) => {
                self.attempt(now, host, &name, Attempt { child, way, replaces, abandons });
            }
            (None, None) => {}
        }
    }
    /// This one was answered: of those that look elsewhere for the same peer none is needed that has not been answered, too. If it is
    /// established, none is that could still have the peer forget it; but one that has said who it is may be all that the peer has.
    fn call_off(&mut self, now: Duration, host: &mut dyn Host, id: IkeId) {
        let Some(IkeSa { core, phase }) = self.sas.get(&id) else { return };
        let Some(link) = core.connection.as_ref().and_then(|name| self.common.links.get(name)) else { return };
        let (established, new) = match phase {
            Phase::Established(est) => (true, est.since == now),
            _ => (false, false),
        };
        if link.tries.is_empty() {
            return;
        }
        // An answer that was on its way to an address that is gone is the last one.
        let (local, remote) = way(core);
        let stays = host.reaches(local, remote);
        let renews = |core: &Core| core.replaces.filter(|old| self.sas.contains_key(old));
        let needless = |other: &IkeId| {
            let Some(IkeSa { core: theirs, phase }) = self.sas.get(other) else { return false };
            let rival = new && renews(theirs) == renews(core);
            match phase {
                Phase::Opening(_) if !established => true,
                Phase::Opening(_) | Phase::Agreeing(_) | Phase::Mixing(_) => {
                    rival || (stays && theirs.replaces == Some(id) && theirs.abandons)
                }
                // What it has said lately is older than what this one has.
                Phase::Proving(proving) => rival && proving.is_silent(now, theirs),
                _ => false,
            }
        };
        let others: Vec<IkeId> = link.tries.keys().copied().filter(|other| *other != id && needless(other)).collect();
        for other in others {
            self.step(now, host, other, |_, _| Err(Ended::Replaced));
        }
    }
    /// A new IKE SA in the place of one, on this way. `lost`: the old one will not be heard any more.
    fn renew_on(&mut self, now: Duration, host: &mut dyn Host, old: IkeId, way: Way, lost: bool) {
        let Some(IkeSa { core, phase: Phase::Established(est) }) = self.sas.get(&old) else { return };
        let Some(link) = self.common.links.get(&est.connection.name) else { return };
        // One that was answered will take its place, or has.
        let comes = |id: &IkeId| match self.sas.get(id) {
            Some(IkeSa { core, phase }) if core.replaces == Some(old) => match phase {
                Phase::Opening(_) => false,
                Phase::Established(_) => true,
                _ => !lost,
            },
            _ => false,
        };
        if is_tied(core, est) || link.sas.iter().any(comes) {
            return;
        }
        let up = est.children.iter().find(|c| c.state == ChildState::Up).map(|c| c.policy.name.clone());
        let Some(child) = up.filter(|_| !link.tries.values().any(|tried| *tried == way)) else { return };
        let name = est.connection.name.clone();
        self.attempt(now, host, &name, Attempt { child, way, replaces: Some(old), abandons: lost });
    }
    /// Where several of our addresses are configured, the first of them is tried again after a while. Returns when.
    pub(super) fn go_home(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>) -> Option<Duration> {
        let link = self.common.links.get_mut(name).filter(|link| link.connection.local_addrs.len() > 1)?;
        let used = |id: &IkeId| match self.sas.get(id) {
            Some(IkeSa { core, phase: Phase::Established(est) })
                if est.closing.is_none() && est.standing == Standing::Current =>
            {
                Some((*id, core))
            }
            _ => None,
        };
        let (id, core) = link.sas.iter().rev().find_map(used)?;
        let (local, remote) = way(core);
        let first = link.connection.local_addrs.iter().find(|addr| addr.is_ipv4() == remote.is_ipv4()).copied()?;
        if local == first {
            link.home.is_here(now);
            return None;
        }
        link.home.is_away(now);
        if link.home.at.is_some_and(|at| at <= now) {
            link.home.tries(now);
            let best = locals(&link.connection, remote, host).first().copied().filter(|best| *best != local);
            let moves = core.mobile.agreed;
            if let Some(best) = best.filter(|_| moves) {
                self.step(now, host, id, |cx, sa| {
                    if let Phase::Established(est) = &mut sa.phase {
                        mobike::try_home(cx, &mut sa.core, est, best);
                    }
                    Ok(())
                });
            } else if let Some(best) = best {
                self.renew_on(now, host, id, (best, remote), false);
            }
        }
        self.common.links.get(name)?.home.at
    }
}

/// The child that comes with an attempt that waits for an answer.
fn brings(phase: &Phase) -> Option<Arc<str>> {
    match phase {
        Phase::Opening(opening) => Some(opening.child.clone()),
        Phase::Mixing(mixing) => Some(mixing.child()),
        Phase::Proving(proving) => proving.child(),
        Phase::Agreeing(_) | Phase::HalfOpen(_) | Phase::Established(_) | Phase::Moving => None,
    }
}
/// An established IKE SA that stays where it is, or moves by itself.
fn is_tied(core: &Core, est: &Established) -> bool {
    core.mobile.agreed || est.closing.is_some() || est.standing != Standing::Current
}
/// Has all names of a connection resolved anew. True if any answer is on its way.
fn ask_again(connection: &Connection, host: &mut dyn Host) -> bool {
    let mut asked = false;
    for remote in &connection.remote_addrs {
        if let Remote::Name(name) = remote {
            asked |= host.resolve_again(name);
        }
    }
    asked
}
fn has_lost(cx: &mut Cx<'_>, core: &Core) -> bool {
    let (local, remote) = way(core);
    !cx.host.reaches(local, remote)
}
/// The way on which an IKE SA without MOBIKE has to be made anew, if it has to, and whether it is lost where it is.
pub(super) fn leaving(cx: &mut Cx<'_>, core: &Core, est: &Established) -> Option<(Way, bool)> {
    let link = cx.common.links.get(&est.connection.name).filter(|link| link.can_initiate())?;
    let connection = link.connection.clone();
    // Where a peer that has called us has found us is its choice, whoever has rekeyed that since.
    let began = link.of_pair(&est.local_id, &est.remote_id).iter().any(|sa| sa.ike == core.id && sa.initiator);
    if is_tied(core, est) {
        return None;
    }
    let (local, remote) = way(core);
    let lost = has_lost(cx, core);
    let from = locals(&connection, remote, cx.host).first().copied();
    // What the routes say counts at once; preferences can wait.
    match from.filter(|from| *from != local && (lost || connection.local_addrs.is_empty())) {
        Some(from) if lost || began => Some(((from, remote), lost)),
        Some(_) => None,
        None if lost => {
            Ways::of(&connection, cx.host).list.into_iter().find(|way| *way != (local, remote)).map(|way| (way, true))
        }
        None => None,
    }
}
