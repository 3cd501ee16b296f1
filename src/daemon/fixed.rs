//! Settings that workers read in a child itself: they stay as they are while it has SAs.
use super::places::Places;
use crate::config::ChildConfig;
use crate::ipsec::fitting::Fitting;
use crate::ipsec::spd::{DeviceId, Slot};
use crate::ipsec::tables::Child;
use crate::ipsec::translate::Translation;
use std::sync::Arc;

/// Towards a peer whose window is narrower one worker seals all. Of several, one may have reserved the numbers of a train (up to 64) that the
/// others overtake until it leaves: while it is sealed, and while a full send buffer is waited for, a millisecond at most.
const WIDE_WINDOW: u32 = 1024;

/// What of a child's configuration is in the child.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    copy_dscp: bool,
    fitting: Fitting,
    translation: Option<Translation>,
    waits: bool,
    home: Option<u8>,
    resources: u32,
}

impl Fixed {
    /// As it is configured, for a child in this slot; of a child that is not configured any more, the least.
    pub(super) fn configured(settings: Option<&ChildConfig>, slot: Slot, places: &Places) -> Self {
        let wide = settings.is_some_and(|child| child.peer_window >= WIDE_WINDOW);
        Self {
            copy_dscp: settings.is_some_and(|child| child.copy_dscp),
            fitting: settings.map(ChildConfig::fitting).unwrap_or_default(),
            translation: settings.and_then(|child| child.translation),
            waits: settings.is_some_and(|child| child.waits),
            home: (!wide).then(|| places.worker(slot)),
            resources: settings.map_or(0, |child| child.resources).min(places.workers()),
        }
    }

    /// As it is in a child.
    pub(super) fn of(child: &Child) -> Self {
        let &Child { copy_dscp, fitting, translation, waits, home, .. } = child;
        Self { copy_dscp, fitting, translation, waits, home, resources: child.resources.len() as u32 }
    }

    /// A child with these, without SAs.
    pub(super) fn child(self, slot: Slot, name: Arc<str>, device: DeviceId) -> Child {
        let child = Child::new(slot, name, device, self.copy_dscp).with_resources(self.resources);
        let Self { fitting, translation, waits, home, .. } = self;
        Child { fitting, translation, waits, home, ..child }
    }
}
