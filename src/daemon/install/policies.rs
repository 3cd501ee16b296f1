//! Which policies there are: those of the configuration, and those of peers, which come and go with their SAs.
use super::super::fixed::Fixed;
use super::super::installed::{self, Installed};
use super::super::places::{Key, Places};
use super::Installer;
use crate::ipsec::spd::{DeviceId, PolicyEntry, Slot, Spd};
use std::sync::Arc;

/// A policy comes or goes.
#[derive(Debug)]
pub(super) struct PolicyChange {
    pub(super) policy: Ordered,
    pub(super) comes: bool,
}
/// A policy with its place.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Ordered {
    pub(super) device: DeviceId,
    pub(super) order: u64,
    pub(super) policy: Arc<PolicyEntry>,
}
/// The policies of peers come before those of the configuration.
const CONFIGURED: u64 = 1 << 63;

impl Installer {
    /// The configured policies of a connection go, so that its packets are left to others, or refused if there are none. Once.
    pub fn withhold(&mut self, connection: &str) {
        self.show(connection, false);
    }
    /// They come back.
    pub fn restore(&mut self, connection: &str) {
        self.show(connection, true);
    }
    fn show(&mut self, connection: &str, comes: bool) {
        let of_it = self.configured.iter().filter(|(key, _)| *key.connection == *connection);
        let changes = of_it.map(|(_, policy)| PolicyChange { policy: policy.clone(), comes });
        self.changes.extend(changes);
        self.publish_policies();
    }

    /// A policy of the configuration, and the one of the same child that was there before.
    pub(super) fn configured_policy(&mut self, key: Key, before: Option<Ordered>, policy: PolicyEntry) {
        let device = self.device_of(&key.connection);
        let policy = match before {
            Some(before) if *before.policy == policy && before.device == device => before,
            before => {
                let order = before.as_ref().map_or_else(|| self.next_order(), |before| before.order);
                let policy = Ordered { device, order, policy: Arc::new(policy) };
                self.changes.extend(before.map(|policy| PolicyChange { policy, comes: false }));
                self.changes.push(PolicyChange { policy: policy.clone(), comes: true });
                policy
            }
        };
        self.configured.insert(key, policy);
    }

    fn next_order(&mut self) -> u64 {
        self.arrivals += 1;
        CONFIGURED | self.arrivals
    }

    /// Children that stay take on their settings, also those of peers; they may have another device than before, and the policies of peers have
    /// its and the priority of their child.
    pub(super) fn follow_settings(&mut self, places: &Places) {
        let children = self.tables.children.load();
        for (key, slot) in places.all() {
            let Some(child) = children.get(slot) else { continue };
            child.set_device(self.device_of(&key.connection));
            if let Some(settings) = self.setting(key) {
                Fixed::configured(Some(settings), slot, places).put(child, places);
            }
        }
        let Self { installed, settings, changes, devices, device, .. } = self;
        for sa in installed.values_mut() {
            let Some(present) = &mut sa.policy else { continue };
            let child = settings.get(&(sa.key.connection.clone(), sa.key.child.clone()));
            let priority = child.map_or(0, |child| child.priority);
            let device = *devices.get(&sa.key.connection).unwrap_or(device);
            if (present.policy.priority, present.device) == (priority, device) {
                continue;
            }
            changes.push(PolicyChange { policy: present.clone(), comes: false });
            present.device = device;
            present.policy = Arc::new(PolicyEntry { priority, ..PolicyEntry::clone(&present.policy) });
            changes.push(PolicyChange { policy: present.clone(), comes: true });
        }
    }

    /// Those that are there with what has changed. What has not is shared, but not the list of it: that is copied once for all changes, and with
    /// 100,000 policies most of what one change costs.
    pub(super) fn publish_policies(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        let mut spd = Spd::clone(&self.tables.spd.load());
        for PolicyChange { policy: Ordered { device, order, policy }, comes } in self.changes.drain(..) {
            match comes {
                true => spd.insert(device, order, &policy),
                false => spd.remove(device, order, &policy),
            }
        }
        self.tables.publish_policies(spd);
    }

    /// To another SA of the slot with these selectors; if there is none, the policy goes.
    pub(super) fn leave_policy(&mut self, slot: Slot, policy: Ordered) {
        let of = (policy.policy.local.clone(), policy.policy.remote.clone());
        let for_it = |sa: &Installed| installed::here(&sa.inbound) == of;
        let heir = self.by_slot.get(&slot).into_iter().flatten().find(|id| self.installed.get(id).is_some_and(for_it));
        match heir.and_then(|id| self.installed.get_mut(id)) {
            Some(heir) => heir.policy = Some(policy),
            None => self.changes.push(PolicyChange { policy, comes: false }),
        }
    }

    /// The policies of peers as they are now; then the children that nobody needs any more go.
    pub(super) fn follow_peers(&mut self, places: &mut Places) {
        if self.changes.is_empty() && self.deserted.is_empty() {
            return;
        }
        self.publish_policies();
        for (key, slot) in std::mem::take(&mut self.deserted) {
            if !self.by_slot.contains_key(&slot) && places.find(&key) == Some(slot) {
                self.tables.remove_child(slot);
                places.leave(&key, &self.tables);
            }
        }
    }
}
