//! Children whose networks get other names by a reload (`translate`).
use super::super::places::{Key, Places};
use super::Installer;
use super::policies::PolicyChange;
use crate::config::Config;
use crate::ike::event::{ChildId, Ended};
use crate::ipsec::sad;
use crate::ipsec::spd::Slot;
use crate::ipsec::tables::Child;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What is gone here carries nothing until it is rekeyed. If a peer has not agreed to that for so long, also when it was asked a second time, there
/// is another way.
const PATIENCE: Duration = Duration::from_secs(15);

/// A pair that is gone here, and not yet at the endpoint.
#[derive(Debug)]
pub(super) struct Withdrawn {
    pub(super) key: Key,
    pub(super) slot: Slot,
    pub(super) spi_in: u32,
    /// It should be gone at the endpoint, too, by then.
    pub(super) due: Duration,
}

impl Installer {
    /// Children that stay, but whose networks will have other names, lose their SAs here, at once and before any route changes: what the peer
    /// sends must not come out under a name that nothing protects any more, or hosts would answer in the clear. Whose they were, connection and
    /// child: the endpoint has them still and has to rekey them.
    pub fn withdraw_renamed(
        &mut self,
        now: Duration,
        config: &Config,
        places: &mut Places,
    ) -> BTreeSet<(Arc<str>, Arc<str>)> {
        let mut names = HashMap::new();
        for connection in &config.connections {
            for child in &connection.children {
                let key = Key { connection: connection.name.clone(), child: child.name.clone(), peer: 0 };
                names.insert(key.name(), child.translation);
            }
        }
        let is_renamed = |child: &&Arc<Child>| names.get(&child.name).is_some_and(|other| *other != child.translation);
        let slots: Vec<Slot> = self.tables.children.load().iter().filter(is_renamed).map(|child| child.slot).collect();
        slots.into_iter().flat_map(|slot| self.withdraw(now + PATIENCE, slot, places)).collect()
    }

    /// Takes all SAs of a slot out of the tables, also those that only receive for a while.
    fn withdraw(&mut self, due: Duration, slot: Slot, places: &mut Places) -> Option<(Arc<str>, Arc<str>)> {
        let (now, later) =
            std::mem::take(&mut self.retiring).into_iter().partition(|(_, spi)| sad::slot_of(*spi) == slot);
        self.retiring = later;
        let now: Vec<_> = now;
        now.into_iter().for_each(|(_, spi)| self.retire(spi, places));
        self.tables.swap_beside(slot, Vec::new());
        let mut of_slot = None;
        for id in self.by_slot.remove(&slot).unwrap_or_default() {
            let Some(sa) = self.installed.remove(&id) else { continue };
            self.tables.retire_inbound(sa.terms.spi_in);
            self.tables.discard(sa.outbound);
            self.changes.extend(sa.policy.map(|policy| PolicyChange { policy, comes: false }));
            of_slot = Some((sa.key.connection.clone(), sa.key.child.clone()));
            self.withdrawn.insert(id, Withdrawn { key: sa.key, slot, spi_in: sa.terms.spi_in, due });
        }
        self.send_on_best(slot);
        of_slot
    }

    /// Pairs that the endpoint should not have any more, and still has; they are told again after a while.
    pub fn overdue(&mut self, now: Duration) -> Vec<ChildId> {
        let overdue = self.withdrawn.iter_mut().filter(|(_, withdrawn)| withdrawn.due <= now);
        let mut ids: Vec<_> = overdue.map(|(id, withdrawn)| (withdrawn.due = now + PATIENCE, *id).1).collect();
        ids.sort_unstable();
        ids
    }

    /// When the next of them is overdue.
    pub(super) fn withdrawn_due(&self) -> Option<Duration> {
        self.withdrawn.values().map(|withdrawn| withdrawn.due).min()
    }

    /// The endpoint has let go of a pair, too.
    pub(super) fn forget_withdrawn(&mut self, id: ChildId, why: Ended, places: &mut Places) {
        let Some(Withdrawn { key, slot, spi_in, .. }) = self.withdrawn.remove(&id) else { return };
        places.removed(spi_in);
        if key.peer != 0 && why != Ended::Replaced && !self.by_slot.contains_key(&slot) {
            self.deserted.push((key, slot));
        }
    }
}
