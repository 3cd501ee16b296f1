//! What is wanted: policy and commands change it, and `reconcile` compares it with what there is.
use super::calls::Caller;
use super::child::{Child, ChildState};
use super::common::Cx;
use super::diagnose::{Failure, Phase as Where};
use super::endpoint::{Endpoint, Owner};
use super::event::{ChildId, Ended, Host, IkeId};
use super::exchange::ike_sa_init;
use super::link::{Link, Retry};
use super::policy::{DpdAction, StartAction};
use super::sa::{CLOSING_TIME, IkeSa, Phase, Task};
use super::ways::Way;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// So long a shutdown waits for the peers.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);
/// An IKE SA that lived this long was a success: the next attempt needs no patience.
const STABLE: Duration = Duration::from_secs(60);

impl Endpoint {
    /// Wants a connection with all its children, or one child.
    pub(super) fn up(&mut self, now: Duration, connection: &str, child: Option<&str>) {
        let link = self.common.links.get_mut(connection);
        let known = link.filter(|l| child.is_none_or(|c| l.connection.children.iter().any(|p| &*p.name == c)));
        let Some(link) = known else {
            let mut failure = Failure::new(now, Where::SaInit, true, "config.unknown");
            failure.connection = Some(connection.into());
            failure.child = child.map(Into::into);
            return self.report(failure);
        };
        if !link.can_initiate() {
            let mut failure = Failure::new(now, Where::SaInit, true, "config.respond_only");
            failure.connection = Some(connection.into());
            return self.report(failure);
        }
        link.release(now);
        for (policy, wish) in link.connection.children.iter().zip(&mut link.wishes) {
            if child.is_none_or(|c| *policy.name == *c) {
                (wish.wanted, wish.down) = (true, false);
                wish.persistent |= policy.start == StartAction::Start;
                wish.retry = Retry::now(now);
            }
        }
        link.ike = Retry::now(now);
        self.common.touched.insert(connection.into());
    }
    /// No longer wants it, and takes it down.
    pub(super) fn down(&mut self, now: Duration, host: &mut dyn Host, connection: &str, child: Option<&str>) {
        let Some(link) = self.common.links.get_mut(connection) else {
            let mut failure = Failure::new(now, Where::SaInit, true, "config.unknown");
            failure.connection = Some(connection.into());
            return self.report(failure);
        };
        link.failed = false;
        link.release(now);
        for (policy, wish) in link.connection.children.iter().zip(&mut link.wishes) {
            if child.is_none_or(|c| *policy.name == *c) {
                (wish.wanted, wish.persistent, wish.down) = (false, false, true);
            }
        }
        let wanted = link.wishes.iter().any(|w| w.wanted);
        let sas: Vec<IkeId> = link.sas.iter().copied().collect();
        for id in sas {
            match child {
                None => self.close(now, host, id, CLOSING_TIME),
                Some(name) => self.step(now, host, id, |cx, sa| {
                    // An attempt may bring up the other children; of this one `install` takes care.
                    if !matches!(sa.phase, Phase::Established(_)) && !wanted {
                        return Err(Ended::ByUs);
                    }
                    if let Phase::Established(est) = &mut sa.phase {
                        let makes =
                            |t: &Task| matches!(t, Task::CreateChild(n) | Task::CreateResource(n) if **n == *name);
                        est.queue.retain(|t| !makes(t));
                        let ids: Vec<_> =
                            est.children.iter().filter(|c| *c.policy.name == *name).map(|c| c.id).collect();
                        ids.into_iter().for_each(|id| est.leave(id, Ended::ByUs));
                        est.pump(cx, &mut sa.core);
                    }
                    Ok(())
                }),
            }
        }
        self.common.touched.insert(connection.into());
    }
    /// Takes what is up down and makes it anew at once, as if the peer had been dead; what a peer made that we cannot call stays.
    pub(super) fn restart(&mut self, now: Duration, host: &mut dyn Host, connection: &str) {
        let Some(link) = self.common.links.get_mut(connection).filter(|link| link.can_initiate()) else { return };
        for (policy, wish) in link.connection.children.iter().zip(&mut link.wishes) {
            if has(&self.sas, &link.sas, &policy.name) && !wish.down {
                (wish.wanted, wish.persistent) = (true, true);
                wish.retry = Retry::now(now);
            }
        }
        link.ike = Retry::now(now);
        let sas: Vec<IkeId> = link.sas.iter().copied().collect();
        for id in sas {
            if matches!(self.sas.get(&id).map(|sa| &sa.phase), Some(Phase::Established(_))) {
                self.close(now, host, id, CLOSING_TIME);
            }
        }
        self.common.touched.insert(connection.into());
    }
    /// Makes the IKE SA that has this child anew, as above; one that we cannot call goes, so that the peer comes again.
    pub(super) fn remake(&mut self, now: Duration, host: &mut dyn Host, child: ChildId) {
        let connection = |sa: &IkeSa| match &sa.phase {
            Phase::Established(est) if est.closing.is_none() => {
                est.child(child).filter(|c| c.state == ChildState::Up).map(|_| est.connection.name.clone())
            }
            _ => None,
        };
        let Some((id, name)) = self.sas.iter().find_map(|(id, sa)| Some((*id, connection(sa)?))) else { return };
        match self.common.links.get(&name).is_some_and(Link::can_initiate) {
            true => self.restart(now, host, &name),
            false => self.close(now, host, id, CLOSING_TIME),
        }
    }
    /// Takes it down until it is released.
    pub(super) fn hold(&mut self, now: Duration, host: &mut dyn Host, connection: &str) {
        let Some(link) = self.common.links.get_mut(connection) else { return };
        let wishes = link.held.as_mut().unwrap_or(&mut link.wishes);
        for (policy, wish) in link.connection.children.iter().zip(wishes) {
            wish.wanted |= has(&self.sas, &link.sas, &policy.name) && !wish.down;
        }
        link.hold();
        link.failed = false;
        let sas: Vec<IkeId> = link.sas.iter().copied().collect();
        sas.into_iter().for_each(|id| self.close(now, host, id, CLOSING_TIME));
        self.common.touched.insert(connection.into());
    }
    /// What was wanted before is wanted again.
    pub(super) fn release(&mut self, now: Duration, connection: &str) {
        if let Some(link) = self.common.links.get_mut(connection) {
            link.release(now);
            self.common.touched.insert(connection.into());
        }
    }
    /// Rekeys the IKE SAs of a connection, or a child.
    pub(super) fn rekey(&mut self, now: Duration, host: &mut dyn Host, connection: &str, child: Option<&str>) {
        let sas = self.common.links.get(connection).map_or(Vec::new(), |link| link.sas.iter().copied().collect());
        for id in sas {
            self.step(now, host, id, |cx, sa| {
                let Phase::Established(est) = &mut sa.phase else { return Ok(()) };
                let named = |c: &&Child| c.state == ChildState::Up && child.is_some_and(|name| *c.policy.name == *name);
                let children: Vec<_> = est.children.iter().filter(named).map(|c| c.id).collect();
                children.into_iter().for_each(|id| est.plan(Task::RekeyChild(id)));
                if child.is_none() && est.closing.is_none() {
                    est.plan(Task::RekeyIke);
                }
                est.pump(cx, &mut sa.core);
                Ok(())
            });
        }
    }
    /// Takes everything down.
    pub(super) fn begin_shutdown(&mut self, now: Duration, host: &mut dyn Host) {
        for link in self.common.links.values_mut() {
            // Also when a peer is faster with its Delete, and when we have been told that we are done.
            link.wishes.iter_mut().for_each(|w| (w.wanted, w.persistent) = (false, false));
        }
        self.shutdown = Some(now + SHUTDOWN_TIME);
        self.timers.set(Owner::Shutdown, self.shutdown);
        for id in self.ids() {
            self.close(now, host, id, SHUTDOWN_TIME);
        }
    }
    /// All IKE SAs, in the same order in every run.
    pub(super) fn ids(&self) -> Vec<IkeId> {
        let mut ids: Vec<_> = self.sas.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
    /// Takes one IKE SA down: politely if the peer knows it, else at once.
    pub(super) fn close(&mut self, now: Duration, host: &mut dyn Host, id: IkeId, patience: Duration) {
        self.step(now, host, id, |cx, sa| match &mut sa.phase {
            Phase::Established(est) => {
                est.close(cx.now, Ended::ByUs, patience);
                est.pump(cx, &mut sa.core);
                Ok(())
            }
            _ => Err(Ended::ByUs),
        });
    }
    /// A packet waits for a child: wanted once, if packets may bring it up at all. The wait after a failure counts, so traffic alone makes no storm.
    pub(super) fn on_acquire(&mut self, _now: Duration, connection: &str, child: &str) {
        let Some(link) = self.common.links.get_mut(connection).filter(|l| l.can_initiate()) else { return };
        if let Some(wish) = link.wish(child).filter(|w| w.trap && !w.down) {
            wish.wanted = true;
            self.common.touched.insert(connection.into());
        }
    }
    /// A child of the connection is up, or about to be.
    pub(super) fn has(&self, link: &Link, child: &str) -> bool {
        has(&self.sas, &link.sas, child)
    }
    fn report(&mut self, failure: Failure) {
        use super::event::{Event, Output};
        self.common.out.push_back(Output::Event(Event::Failed(Box::new(failure))));
    }

    /// Brings one connection nearer to what is wanted of it, and sets its next deadline.
    pub(super) fn reconcile(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>) {
        self.common.show(Some(name));
        let Some(link) = self.common.links.get(name).filter(|l| l.can_initiate()) else { return };
        // One that is being examined goes on afterwards.
        if self.common.exams.has(name) {
            return;
        }
        let mut missing: Vec<(Arc<str>, Duration)> = Vec::new();
        let (mut usable, mut under_way) = (None, false);
        for id in &link.sas {
            match self.sas.get(id).map(|sa| &sa.phase) {
                Some(Phase::Established(est)) if est.closing.is_none() => usable = Some(*id),
                Some(Phase::Established(_)) | None => {}
                Some(_) => under_way = true,
            }
        }
        for (child, wish) in link.connection.children.iter().zip(&link.wishes).filter(|(_, w)| w.wanted) {
            if !has(&self.sas, &link.sas, &child.name) {
                missing.push((child.name.clone(), wish.retry.at));
            }
        }
        let first = missing.first().map(|(child, _)| child.clone());
        let mut next = None;
        if let Some(id) = usable.filter(|_| first.is_some()) {
            let due: Vec<_> = missing.iter().filter(|(_, at)| *at <= now).map(|(child, _)| child.clone()).collect();
            next = missing.iter().map(|(_, at)| *at).filter(|at| *at > now).min();
            self.step(now, host, id, |cx, sa| {
                if let Phase::Established(est) = &mut sa.phase {
                    due.into_iter().for_each(|child| est.plan(Task::CreateChild(child)));
                    est.pump(cx, &mut sa.core);
                }
                Ok(())
            });
        } else if let Some(first) = first.filter(|_| !under_way && self.shutdown.is_none()) {
            next = match link.ike.at {
                at if at > now => Some(at),
                _ => self.initiate(now, host, name, first),
            };
        }
        let home = self.go_home(now, host, name);
        self.timers.set(Owner::Link(name.clone()), next.into_iter().chain(home).min());
    }
    /// Begins an IKE SA. Returns when to try again if there is nobody to send to.
    fn initiate(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>, child: Arc<str>) -> Option<Duration> {
        match self.next_way(now, host, name) {
            Ok(way) if self.common.calls.may_begin(way.1, Caller::Link(name.clone())) => {
                if let Some(link) = self.common.links.get_mut(name) {
                    link.next_way = link.next_way.wrapping_add(1);
                }
                self.attempt(now, host, name, Attempt { child, way, replaces: None, abandons: false });
            }
            Ok(_) => {}
            Err(at) => {
                let link = self.common.links.get(name)?;
                return link.wishes.iter().any(|w| w.wanted).then_some(at);
            }
        }
        None
    }
    /// Begins an IKE SA as told.
    pub(super) fn attempt(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>, attempt: Attempt) {
        let Some(link) = self.common.links.get(name).filter(|_| self.shutdown.is_none()) else { return };
        let (connection, port) = (link.connection.clone(), self.common.directory.policy.ports.ike);
        let Attempt { child, way, replaces, abandons } = attempt;
        let ends = (SocketAddr::new(way.0, port), SocketAddr::new(way.1, port));
        let mut cx = Cx { now, host, common: &mut self.common };
        let Some(mut sa) = ike_sa_init::request(&mut cx, connection, child, ends) else { return };
        (sa.core.replaces, sa.core.abandons) = (replaces, abandons);
        if let Some(link) = cx.common.links.get_mut(name) {
            link.sas.insert(sa.core.id);
            link.tries.insert(sa.core.id, way);
        }
        self.register(sa);
    }
}
/// One of these IKE SAs of a connection has the child, or is about to.
fn has(sas: &HashMap<IkeId, IkeSa>, of_it: &BTreeSet<IkeId>, child: &str) -> bool {
    of_it.iter().any(|id| match sas.get(id).map(|sa| &sa.phase) {
        Some(Phase::Established(est)) => est.closing.is_none() && est.has_or_makes(child),
        _ => false,
    })
}

/// An IKE SA from scratch.
pub(super) struct Attempt {
    /// The child that goes with it.
    pub child: Arc<str>,
    pub way: Way,
    /// In the place of this one,
    pub replaces: Option<IkeId>,
    /// which is lost.
    pub abandons: bool,
}

impl Link {
    /// An established IKE SA has ended, after this time and with these children: what is wanted of them now.
    pub(super) fn lost(&mut self, now: Duration, why: Ended, lived: Duration, children: &[Arc<str>]) {
        if lived >= STABLE {
            self.ike.failures = 0;
        }
        if matches!(why, Ended::PeerDead | Ended::ByPeer | Ended::Failed) {
            self.ike.failed(now);
        }
        let connection = self.connection.clone();
        for (policy, wish) in connection.children.iter().zip(&mut self.wishes) {
            match why {
                Ended::PeerDead if children.contains(&policy.name) && !wish.down => {
                    let restart = policy.dpd == DpdAction::Restart;
                    (wish.wanted, wish.persistent) = (restart, restart);
                    wish.trap = match policy.dpd {
                        DpdAction::Restart => wish.trap,
                        DpdAction::Trap => true,
                        DpdAction::Clear => policy.start == StartAction::Trap,
                    };
                }
                Ended::ByPeer | Ended::Failed => wish.wanted = wish.persistent,
                Ended::PeerDead | Ended::ByUs | Ended::Replaced | Ended::Expired => {}
            }
        }
    }
}
