//! How often messages that are alike are logged. Alike are those of one place in the code with the same connection, child and code: all three are
//! from the configuration or from our own list, so a peer cannot make itself new ones.
use super::record::{Record, Value};
use crate::config::LogLevel;
use std::collections::HashMap;
use std::time::Duration;
use tracing::callsite::Identifier;

/// Messages are counted so long, from the first one of their kind on.
const WINDOW: Duration = Duration::from_secs(10);
/// So many of a kind are logged in that time,
const MOST: u32 = 50;
/// and of those that the network can cause.
const MOST_OF_NETWORK: u32 = 1;
/// How often messages that are alike are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Often {
    /// Each: who looks for who has done what finds it.
    Always,
    /// As usual.
    Usually,
    /// The network can cause them.
    Seldom,
}

/// Kinds that are told apart; more share one for each place in the code.
const MAX_KINDS: usize = 4096;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Kind {
    place: Identifier,
    connection: Box<str>,
    child: Box<str>,
    code: Box<str>,
}

#[derive(Debug)]
struct Window {
    until: Duration,
    said: u32,
    suppressed: u64,
    level: LogLevel,
    message: String,
}

#[derive(Debug, Default)]
pub(super) struct Limiter {
    windows: HashMap<Kind, Window>,
    /// The first end of a window in which something was suppressed.
    due: Option<Duration>,
    /// When those that are over were taken out.
    swept: Duration,
    /// All that was ever suppressed.
    pub suppressed: u64,
}

impl Limiter {
    /// Whether it is logged.
    pub(super) fn admit(&mut self, now: Duration, place: Identifier, often: Often, record: &Record) -> bool {
        let most = match often {
            Often::Always => return true,
            Often::Usually => MOST,
            Often::Seldom => MOST_OF_NETWORK,
        };
        let text = |name| record.get(name).unwrap_or_default();
        // All peers of a connection are one.
        let connection = text("connection").split('#').next().unwrap_or_default();
        let (child, code) = (text("child"), text("code"));
        let mut kind = Kind { place, connection: connection.into(), child: child.into(), code: code.into() };
        if now >= self.swept + WINDOW {
            self.swept = now;
            self.windows.retain(|_, window| window.until > now || window.suppressed > 0);
        }
        if self.windows.len() >= MAX_KINDS && !self.windows.contains_key(&kind) {
            kind = Kind { connection: "".into(), child: "".into(), code: "".into(), ..kind };
        }
        let fresh =
            || Window { until: now + WINDOW, said: 0, suppressed: 0, level: record.level, message: String::new() };
        let window = self.windows.entry(kind).or_insert_with(fresh);
        if window.until <= now && window.suppressed == 0 {
            *window = fresh();
        }
        if window.said < most {
            window.said += 1;
            return true;
        }
        if window.suppressed == 0 {
            window.message.clone_from(&record.message);
            self.due = Some(self.due.map_or(window.until, |due| due.min(window.until)));
        }
        window.suppressed += 1;
        self.suppressed += 1;
        false
    }

    /// When there is something to tell of what was not logged.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due
    }

    /// What was not logged, when its time is over.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Record> {
        let mut told = Vec::new();
        self.windows.retain(|kind, window| {
            if window.until > now {
                return true;
            }
            if window.suppressed > 0 {
                told.push(tell(kind, window));
            }
            false
        });
        self.due = self.windows.values().filter(|window| window.suppressed > 0).map(|window| window.until).min();
        told
    }
}

fn tell(kind: &Kind, window: &Window) -> Record {
    let mut record = Record::new(window.level, format!("{} (and more like it)", window.message));
    for (name, value) in [("connection", &kind.connection), ("child", &kind.child), ("code", &kind.code)] {
        if !value.is_empty() {
            record.fields.push((name, Value::Text(value.to_string())));
        }
    }
    record.fields.push(("suppressed", Value::Unsigned(window.suppressed)));
    record
}
