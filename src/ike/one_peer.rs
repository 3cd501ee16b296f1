//! Orders about one peer of a connection that has several: the others, and what is wanted of the connection, are left alone.
use super::child::ChildState;
use super::endpoint::Endpoint;
use super::event::{Ended, Host, IkeId, PeerOrder};
use super::sa::{CLOSING_TIME, Phase, Task};
use std::time::Duration;

impl Endpoint {
    /// Does what is wanted of one peer.
    pub(super) fn of_peer(&mut self, now: Duration, host: &mut dyn Host, of: (&str, u32), order: PeerOrder) {
        match order {
            PeerOrder::Down(child) => self.down_peer(now, host, of, child.as_deref()),
            PeerOrder::Rekey(child) => self.rekey_peer(now, host, of, child.as_deref()),
        }
    }
    /// Takes its IKE SA down, or one child of it.
    fn down_peer(&mut self, now: Duration, host: &mut dyn Host, of: (&str, u32), child: Option<&str>) {
        for id in self.sas_of_peer(of) {
            let Some(name) = child else {
                self.close(now, host, id, CLOSING_TIME);
                continue;
            };
            self.step(now, host, id, |cx, sa| {
                let Phase::Established(est) = &mut sa.phase else { return Ok(()) };
                let ids: Vec<_> = est.children.iter().filter(|c| *c.policy.name == *name).map(|c| c.id).collect();
                ids.into_iter().for_each(|id| est.leave(id, Ended::ByUs));
                est.pump(cx, &mut sa.core);
                Ok(())
            });
        }
    }
    /// Rekeys its IKE SA, or one child of it.
    fn rekey_peer(&mut self, now: Duration, host: &mut dyn Host, of: (&str, u32), child: Option<&str>) {
        for id in self.sas_of_peer(of) {
            self.step(now, host, id, |cx, sa| {
                let Phase::Established(est) = &mut sa.phase else { return Ok(()) };
                match child {
                    None if est.closing.is_none() => est.plan(Task::RekeyIke),
                    None => {}
                    Some(name) => {
                        let up = est.children.iter().filter(|c| c.state == ChildState::Up && *c.policy.name == *name);
                        let ids: Vec<_> = up.map(|c| c.id).collect();
                        ids.into_iter().for_each(|id| est.plan(Task::RekeyChild(id)));
                    }
                }
                est.pump(cx, &mut sa.core);
                Ok(())
            });
        }
    }

    /// In the same order in every run.
    fn sas_of_peer(&self, (connection, peer): (&str, u32)) -> Vec<IkeId> {
        let of_it = |id: &IkeId| matches!(self.sas.get(id).map(|sa| &sa.phase), Some(Phase::Established(est)) if est.peer == peer);
        self.common.links.get(connection).map_or(Vec::new(), |link| link.sas.iter().copied().filter(of_it).collect())
    }
}
