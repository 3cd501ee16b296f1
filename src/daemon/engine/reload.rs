//! The files are read again.
use super::Engine;
use crate::config;
use crate::ike::event::{Command, Input};
use std::time::Duration;

impl Engine {
    /// Reads the files again; what is wrong with them leaves everything as it is.
    pub(super) fn reload(&mut self, now: Duration) {
        let config = match config::load(&self.parts.path) {
            Ok(config) => config,
            Err(errors) => return tracing::error!("the configuration is refused, nothing was changed:\n{errors}"),
        };
        match self.adopt(now, config) {
            Ok(adopted) => {
                adopted.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                tracing::info!("the configuration was read again");
            }
            Err(error) => tracing::error!("{error}"),
        }
    }

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
