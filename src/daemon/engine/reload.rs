//! What a configuration that came into force has left to be done.
use super::Engine;
use crate::ike::event::{Command, Input};
use std::time::Duration;

impl Engine {
    /// A peer that has not let its child be rekeyed lets it be made: with the IKE SA there is no group to disagree on.
    pub(super) fn remake_overdue(&mut self, now: Duration) {
        for child in self.parts.installer.overdue(now) {
            let key = self.parts.installer.get(child).map(|sa| sa.key.clone());
            tracing::warn!(
                connection = key.as_ref().map(|key| &*key.connection),
                child = key.as_ref().map(|key| &*key.child),
                "a child that carries nothing could not be rekeyed: its IKE SA is made anew"
            );
            self.feed(now, Input::Command(Command::Remake { child }));
        }
    }
}
