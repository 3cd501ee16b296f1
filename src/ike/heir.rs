//! When one IKE SA takes the place of another: by a rekey it inherits the children, after a reauthentication it has made them anew.
use super::child::Child;
use super::common::{Cx, How, Redundant};
use super::endpoint::Endpoint;
use super::event::{Ended, Event, Host, IkeId, IkePath};
use super::exchange::{delete, rekey_ike};
use super::sa::{Asked, Established, IkeSa, Phase, RELIEF_TIME, Standing, Task};
use std::collections::VecDeque;
use std::time::Duration;

/// What one IKE SA leaves to another.
pub(super) struct Estate {
    pub from: IkeId,
    pub to: IkeId,
    pub children: Vec<Child>,
    pub queue: VecDeque<Task>,
    pub leave_at: Option<Duration>,
    /// The one that it was to relieve.
    pub relieves: Option<IkeId>,
    /// Where ESP travels so far.
    pub path: IkePath,
}

impl Established {
    /// Gives back what was being negotiated when the IKE SA ends.
    pub(super) fn abandon(&mut self, cx: &mut Cx<'_>) {
        match self.asked.take() {
            Some(Asked::Create(asked)) => asked.abandon(cx),
            Some(Asked::DeleteSpi { spi, release: true } | Asked::Examine(spi)) => cx.host.release_spi(spi),
            _ => {}
        }
        if let Some(answering) = self.answering.take() {
            answering.pending.agreed.release(cx);
        }
        self.drop_half_done(cx, |_| true);
        for task in self.queue.drain(..) {
            if let Task::DeleteSpi { spi, release: true } = task {
                cx.host.release_spi(spi);
            }
        }
    }
    /// The one that has inherited from this one is rekeyed itself. A Delete of this one may still be on its way, or lost, but it is not waited for
    /// as long as before, and not at all for those that were before this one: a peer cannot make us keep one for each of its rekeys.
    pub(super) fn hurries(&mut self, cx: &mut Cx<'_>) {
        let soon = cx.now + RELIEF_TIME;
        match &mut self.closing {
            Some((_, until)) => *until = soon.min(*until),
            None => self.leave_at = Some(self.leave_at.map_or(soon, |at| at.min(soon))),
        }
        if let Some(older) = self.older.take() {
            cx.common.redundant.push(Redundant { ike: older, how: How::Silently });
        }
    }
}

impl Endpoint {
    /// New IKE SAs begin, and inherit what was left to them.
    pub(super) fn succeed(&mut self, now: Duration, host: &mut dyn Host) {
        for sa in std::mem::take(&mut self.common.born) {
            let id = sa.core.id;
            self.common.established += 1;
            self.register(sa);
            self.pump(now, host, id);
        }
        for estate in std::mem::take(&mut self.common.estates) {
            self.inherit(now, host, estate);
        }
        for old in std::mem::take(&mut self.common.conceded) {
            self.step(now, host, old, |cx, sa| {
                if let Phase::Established(est) = &mut sa.phase
                    && est.closing.is_none()
                    && let Some(rival) = est.rival(cx)
                {
                    rekey_ike::give_way(cx, &sa.core, est, rival);
                }
                Ok(())
            });
        }
    }
    fn inherit(&mut self, now: Duration, host: &mut dyn Host, estate: Estate) {
        let Estate { from, to, children, queue, leave_at, relieves, path } = estate;
        let Some(IkeSa { core, phase: Phase::Established(est) }) = self.sas.get_mut(&to) else {
            return self.escheat(now, host, from, children);
        };
        est.standing = Standing::Current;
        self.common.leases.rekeyed(from, to);
        (est.older, est.leave_at, est.relieves) = (Some(from), leave_at, relieves);
        for child in &children {
            self.common.by_child.insert(child.spi_in, to);
            self.common.by_id.insert(child.id, to);
        }
        est.children.extend(children);
        est.queue.extend(queue);
        if est.is_outdated() {
            self.common.renew.push(to);
        }
        let (connection, peer) = (est.connection.name.clone(), est.peer);
        let mut others = Vec::new();
        if let Some(link) = self.common.links.get_mut(&connection) {
            link.rekeyed(from, to);
            others.extend(link.of_pair(&est.local_id, &est.remote_id).iter().map(|sibling| sibling.ike));
            if link.can_initiate() {
                others.extend(&link.sas);
            }
        }
        self.common.emit(Event::IkeRekeyed { old: from, new: to, connection: connection.clone(), peer });
        if core.path() != path {
            let path = core.path();
            self.common.emit(Event::PathChanged { ike: to, path });
        }
        self.common.touched.insert(connection);
        self.replaced_instead(&others, from, to);
        self.pump(now, host, to);
    }
    /// Who was to take the place of the one takes that of the other.
    fn replaced_instead(&mut self, others: &[IkeId], from: IkeId, to: IkeId) {
        for id in others {
            let Some(sa) = self.sas.get_mut(id) else { continue };
            let relieves = match &mut sa.phase {
                Phase::Established(est) => est.relieves.as_mut(),
                _ => None,
            };
            sa.core.replaces.iter_mut().chain(relieves).filter(|old| **old == from).for_each(|old| *old = to);
        }
        self.common.relieved.iter_mut().filter(|(old, _)| *old == from).for_each(|(old, _)| *old = to);
    }
    /// There is no heir any more: children end with the IKE SA that they were of.
    fn escheat(&mut self, now: Duration, host: &mut dyn Host, from: IkeId, children: Vec<Child>) {
        self.step(now, host, from, |cx, sa| {
            let Phase::Established(est) = &mut sa.phase else { return Ok(()) };
            est.children = children;
            est.standing = Standing::Current;
            while !est.children.is_empty() {
                delete::remove(cx, est, 0, Ended::Failed);
            }
            Err(Ended::Failed)
        });
    }
    fn pump(&mut self, now: Duration, host: &mut dyn Host, id: IkeId) {
        self.step(now, host, id, |cx, sa| {
            if let Phase::Established(est) = &mut sa.phase {
                est.pump(cx, &mut sa.core);
            }
            Ok(())
        });
    }
}
