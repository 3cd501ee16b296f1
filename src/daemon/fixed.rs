//! Settings that workers read in a child itself. All but its other names of networks become others while it has SAs.
use super::places::Places;
use crate::config::ChildConfig;
use crate::ipsec::settings::Settings;
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
    live: Settings,
    /// Nothing that a worker has taken out of a packet may come back under another name: it changes when there is no SA.
    translation: Option<Translation>,
    resources: bool,
}

impl Fixed {
    /// As it is configured, for a child in this slot; of a child that is not configured any more, the least.
    pub(super) fn configured(settings: Option<&ChildConfig>, slot: Slot, places: &Places) -> Self {
        let wide = settings.is_some_and(|child| child.peer_window >= WIDE_WINDOW);
        let live = Settings {
            copy_dscp: settings.is_some_and(|child| child.copy_dscp),
            fitting: settings.map(ChildConfig::fitting).unwrap_or_default(),
            waits: settings.is_some_and(|child| child.waits),
            home: (!wide).then(|| places.worker(slot)),
        };
        let resources = settings.is_some_and(|child| child.resources > 0);
        Self { live, translation: settings.and_then(|child| child.translation), resources }
    }

    /// The child is for other names.
    pub(super) fn is_for_others(&self, child: &Child) -> bool {
        self.translation != child.translation
    }

    /// The child takes on all others.
    pub(super) fn put(&self, child: &Child, places: &Places) {
        child.live.set(self.live);
        if self.resources {
            child.make_room(places.workers());
        }
    }

    /// A child with these, without SAs.
    pub(super) fn child(self, slot: Slot, name: Arc<str>, device: DeviceId, places: &Places) -> Child {
        let child = Child { translation: self.translation, ..Child::new(slot, name, device, false) };
        self.put(&child, places);
        child
    }
}
