//! What the engine does when a monitor says that nothing passes through a child, or something does again.
use super::Engine;
use crate::config::MonitorAction;
use crate::crypto::rng::SystemRng;
use crate::daemon::probes::{News, TOKENS, What};
use crate::ike::event::{Command, Input};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A connection that others take over from stays down for this long before it is tried again.
const HOLD: Duration = Duration::from_secs(60);

/// Connections that stay down for a while, with the children that come up again then.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<Arc<str>, Hold>);
#[derive(Debug)]
struct Hold {
    until: Duration,
    children: Vec<Arc<str>>,
}
impl Holds {
    /// When the first of them is over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.0.values().map(|hold| hold.until).min()
    }
    fn over(&self, now: Duration) -> Option<Arc<str>> {
        self.0.iter().find(|(_, hold)| hold.until <= now).map(|(name, _)| name.clone())
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
            for child in self.end_hold(&connection) {
                self.order_up(now, &connection, child);
            }
        }
    }
    fn on_news(&mut self, now: Duration, News { connection, child, what }: News) {
        self.dirty = true;
        match what {
            What::Failing(failure) => self.parts.journal.tell_monitor(now, &connection, &child, Some(&failure)),
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
    fn hold(&mut self, now: Duration, connection: Arc<str>) {
        tracing::warn!(%connection, seconds = HOLD.as_secs(), "nothing passes: the connection stays down for a while");
        let children = self.probes.children_up(&connection);
        self.parts.installer.withhold(&connection);
        self.holds.0.insert(connection.clone(), Hold { until: now + HOLD, children });
        self.feed(now, Input::Command(Command::Down { connection, child: None }));
    }
    /// Somebody else decides about the connection from now on. The children that would have come up by themselves.
    pub(super) fn end_hold(&mut self, connection: &str) -> Vec<Arc<str>> {
        let Some(hold) = self.holds.0.remove(connection) else { return Vec::new() };
        self.parts.installer.restore(connection);
        self.dirty = true;
        hold.children
    }
    /// After a reload: what is still monitored so stays down, and keeps its policies away; the rest comes back.
    pub(super) fn review_holds(&mut self, now: Duration) {
        let names: Vec<Arc<str>> = self.holds.0.keys().cloned().collect();
        for connection in names {
            let found = self.parts.config.connections.iter().find(|config| config.name == connection);
            let fails_over = |child: &crate::config::ChildConfig| {
                child.monitor.is_some_and(|monitor| monitor.action == MonitorAction::Failover)
            };
            if found.is_some_and(|config| config.children.iter().any(fails_over)) {
                self.parts.installer.withhold(&connection);
                continue;
            }
            let configured: Vec<_> = found.iter().flat_map(|config| &config.children).map(|c| c.name.clone()).collect();
            for child in self.end_hold(&connection).into_iter().filter(|child| configured.contains(child)) {
                self.order_up(now, &connection, child);
            }
        }
    }
    fn order_up(&mut self, now: Duration, connection: &Arc<str>, child: Arc<str>) {
        let connection = connection.clone();
        self.feed(now, Input::Command(Command::Up { connection, child: Some(child) }));
    }
}
