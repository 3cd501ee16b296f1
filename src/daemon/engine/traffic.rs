//! What the engine does when a monitor says that nothing passes through a child, or something does again.
use super::Engine;
use crate::config::MonitorAction;
use crate::crypto::rng::SystemRng;
use crate::daemon::probes::{News, TOKENS, What};
use crate::frozen::frozen;
use crate::ike::event::{Command, Input};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A connection that others take over from stays down for this long before it is tried again.
const HOLD: Duration = Duration::from_secs(60);

/// Connections that stay down for a while, and until when.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<Arc<str>, Duration>);
frozen! { struct Holds(until) }
impl Holds {
    /// When the first of them is over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.0.values().copied().min()
    }
    /// Them.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }
    fn over(&self, now: Duration) -> Option<Arc<str>> {
        self.0.iter().find(|(_, until)| **until <= now).map(|(name, _)| name.clone())
    }
}

impl Engine {
    /// Replies first: what has come in time is not lost because we looked late.
    pub(super) fn probe(&mut self, now: Duration, ready: &[u64]) {
        let mut news = Vec::new();
        for token in ready.iter().filter(|token| **token >= TOKENS) {
            self.probes.receive(now, *token, &mut news);
        }
        self.probes.tick(now, &self.parts.network, &self.poll, &mut SystemRng, &mut news);
        for one in news {
            self.on_news(now, one);
        }
        while let Some(connection) = self.holds.over(now) {
            tracing::info!(%connection, "tried again");
            self.release(now, connection);
        }
    }
    fn on_news(&mut self, now: Duration, News { connection, child, what }: News) {
        self.pictures.touch(&connection);
        match what {
            What::Failing(failure) => {
                self.history.note(&failure);
                self.parts.journal.tell_monitor(now, &connection, &child, Some(&failure));
            }
            What::Passing => self.parts.journal.tell_monitor(now, &connection, &child, None),
            What::Act(_) if self.stop_at.is_some() => {}
            What::Act(MonitorAction::None) => {}
            What::Act(MonitorAction::Restart) => {
                tracing::warn!(%connection, %child, "nothing passes: the connection is made anew");
                self.feed(now, Input::Command(Command::Restart { connection }));
            }
            What::Act(MonitorAction::Failover) => self.hold(now, connection),
        }
    }
    /// Takes a connection down for a while and leaves its packets to other policies; without one for them they are refused.
    pub(super) fn hold(&mut self, now: Duration, connection: Arc<str>) {
        tracing::warn!(%connection, seconds = HOLD.as_secs(), "nothing passes: the connection stays down for a while");
        self.parts.installer.withhold(&connection);
        self.holds.0.insert(connection.clone(), now + HOLD);
        self.feed(now, Input::Command(Command::Hold { connection }));
    }
    /// It comes up again, and its packets come back to it.
    fn release(&mut self, now: Duration, connection: Arc<str>) {
        self.end_hold(&connection);
        self.feed(now, Input::Command(Command::Release { connection }));
    }
    /// Its packets come back to it. The endpoint follows by itself when somebody says what is wanted of the connection.
    pub(super) fn end_hold(&mut self, connection: &str) {
        if self.holds.0.remove(connection).is_some() {
            self.parts.installer.restore(connection);
            self.pictures.touch(connection);
        }
    }
    /// After a reload, or when another daemon had another configuration: what is still monitored so stays down, and keeps its policies away; the rest comes back.
    pub(super) fn review_holds(&mut self, now: Duration) {
        let names: Vec<Arc<str>> = self.holds.0.keys().cloned().collect();
        for connection in names {
            let found = self.parts.config.connections.iter().find(|config| config.name == connection);
            let fails_over = |child: &crate::config::ChildConfig| {
                child.monitor.is_some_and(|monitor| monitor.action == MonitorAction::Failover)
            };
            if found.is_some_and(|config| config.children.iter().any(fails_over)) {
                self.parts.installer.withhold(&connection);
            } else {
                self.release(now, connection);
            }
        }
    }
}
