//! How the engine looks after the MTUs of paths.
use super::Engine;
use crate::daemon::mtu::Changed;
use crate::ike::event::{Command, Input};
use std::time::Duration;

impl Engine {
    /// Takes in what ICMP and the routes say, and sends the probes whose turn it is.
    pub(super) fn watch_paths(&mut self, now: Duration, ready: &[u64]) {
        for report in self.hints.read(now, &self.poll, ready) {
            self.mtus.reported(now, &report);
        }
        self.hints.tick(now, &self.poll);
        for changed in self.mtus.tick(now) {
            self.mtu_changed(now, &changed);
        }
        while let Some((ike, size)) = self.mtus.next_probe(now) {
            self.feed(now, Input::Command(Command::Probe { ike, size }));
        }
    }

    /// Workers, and everybody who asks, have the new value from now on.
    pub(super) fn mtu_changed(&mut self, now: Duration, changed: &Changed) {
        self.pictures.touch(&changed.connection);
        self.parts.installer.set_mtu(changed.ike, changed.change.new);
        self.parts.journal.mtu(now, changed);
    }
}
