//! Logging. Who logs never waits: a message is put into a bounded queue, and a thread of its own brings it to where it goes; what finds the queue
//! full is lost, counted and told of. What the network can cause is logged once in a while ([`limit`]), and never per packet.
//!
//! A message says whose it is by its field `connection`; each connection may have a level of its own. All text, whoever wrote it, goes through
//! [`record::clean`]: it has no control characters in it and a bounded length.
mod format;
mod limit;
mod outlet;
mod queue;
mod record;

use crate::config::{Config, Log, LogLevel};
use crate::io::fds;
use arc_swap::ArcSwap;
use limit::Often;
use outlet::Outlet;
use queue::Queue;
use record::Record;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// The target of messages that peers and strangers can cause as often as they like: of those that are alike one is logged at a time.
pub const WIRE: &str = "sandhog::wire";
/// The target of what somebody with the right to it has changed: all of it is logged.
pub const AUDIT: &str = "sandhog::audit";
/// What is left of the queue at the end gets this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

static LOGGER: OnceLock<Arc<Shared>> = OnceLock::new();

/// Starts logging; the first call in a process wins.
pub fn start(config: &Config) {
    let shared = Arc::new(Shared { settings: ArcSwap::from_pointee(Settings::of(config)), queue: Queue::default() });
    if LOGGER.set(shared.clone()).is_err() {
        return;
    }
    // Only a second call fails, and then there is logging.
    let _ = tracing::subscriber::set_global_default(Logger(shared.clone()));
    let started = std::thread::Builder::new().name("log".into()).spawn(move || write(&shared));
    if let Err(error) = started {
        eprintln!("nothing will be logged: {error}");
    }
}

/// Levels, format and target of another configuration, from now on.
pub fn set(config: &Config) {
    let Some(shared) = LOGGER.get() else { return };
    shared.settings.store(Arc::new(Settings::of(config)));
    tracing::callsite::rebuild_interest_cache();
}

/// Waits, but not for ever, until everything that was said is written.
pub fn finish() {
    if let Some(shared) = LOGGER.get() {
        shared.queue.finish(LAST_WORDS);
    }
}

/// What was logged and is not to be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Messages that nobody took in time.
    pub dropped: u64,
    /// Messages that were like others before them.
    pub suppressed: u64,
}
/// What was lost since the start.
pub fn lost() -> Lost {
    LOGGER.get().map_or(Lost::default(), |shared| shared.queue.lost())
}

/// What is logged, and how.
#[derive(Debug)]
struct Settings {
    log: Log,
    connections: HashMap<Arc<str>, LogLevel>,
    /// The least severe of all levels.
    most: LogLevel,
}
impl Settings {
    fn of(config: &Config) -> Self {
        let log = config.gateway.log.clone();
        let level = |connection: &crate::config::ConnectionConfig| Some((connection.name.clone(), connection.log?));
        let connections: HashMap<_, _> = config.connections.iter().filter_map(level).collect();
        let most = connections.values().copied().chain([log.level]).max().unwrap_or_default();
        Self { log, connections, most }
    }
    /// Of a connection, or of one of its peers (`NAME#ID`).
    fn level(&self, connection: Option<&str>) -> LogLevel {
        let own = connection.and_then(|name| {
            self.connections.get(name).or_else(|| self.connections.get(name.rsplit_once('#').map_or(name, |(n, _)| n)))
        });
        own.copied().unwrap_or(self.log.level)
    }
}

#[derive(Debug)]
struct Shared {
    settings: ArcSwap<Settings>,
    queue: Queue,
}

/// Brings the queue to where it goes, for as long as the process lives.
fn write(shared: &Shared) {
    // Otherwise the kernel would choose this thread for them, and end us.
    if let Err(error) = fds::ignore_signals() {
        eprintln!("signals: {error}");
    }
    let mut outlet = Outlet::default();
    while let Some(record) = shared.queue.next() {
        if !outlet.write(&shared.settings.load().log, &record) {
            shared.queue.unwritten(&record);
        }
    }
}

struct Logger(Arc<Shared>);
impl Logger {
    /// Of other crates warnings are enough.
    fn wants(&self, metadata: &Metadata<'_>, level: LogLevel) -> bool {
        let level = if is_ours(metadata) { level } else { level.min(LogLevel::Warn) };
        severity(*metadata.level()) <= level
    }
}
impl Subscriber for Logger {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.wants(metadata, self.0.settings.load().most)
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(filter(self.0.settings.load().most))
    }
    fn event(&self, event: &Event<'_>) {
        let record = Record::of(event, is_ours(event.metadata()));
        if self.wants(event.metadata(), self.0.settings.load().level(record.connection())) {
            let often = match event.metadata().target() {
                AUDIT => Often::Always,
                WIRE => Often::Seldom,
                _ if is_ours(event.metadata()) => Often::Usually,
                _ => Often::Seldom,
            };
            self.0.queue.put(super::clock::now(), event.metadata().callsite(), often, record);
        }
    }
    // Nothing of ours has spans: a message carries whose it is.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() == Some("sandhog")
}

fn severity(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConnectionConfig;

    fn logger(config: &Config) -> (Arc<Shared>, impl Subscriber + Send + Sync + use<>) {
        let shared =
            Arc::new(Shared { settings: ArcSwap::from_pointee(Settings::of(config)), queue: Queue::default() });
        (shared.clone(), Logger(shared))
    }
    fn config(level: LogLevel, connections: &[(&str, LogLevel)]) -> Config {
        let connection = |(name, level): &(&str, LogLevel)| ConnectionConfig {
            name: (*name).into(),
            profile: None,
            interface: None,
            children: Vec::new(),
            log: Some(*level),
            keylog: None,
        };
        let nothing = crate::config::parse(&[], &crate::config::secret::System).unwrap();
        let gateway = crate::config::Gateway { log: Log { level, ..Log::default() }, ..Default::default() };
        Config { gateway, connections: connections.iter().map(connection).collect(), ..nothing }
    }
    fn said(shared: &Shared) -> Vec<String> {
        std::iter::from_fn(|| shared.queue.try_next()).map(|record| record.message).collect()
    }

    #[test]
    fn a_connection_has_a_level_of_its_own() {
        let (shared, subscriber) =
            logger(&config(LogLevel::Warn, &[("loud", LogLevel::Debug), ("mute", LogLevel::Off)]));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("1: no");
            tracing::warn!("2");
            tracing::debug!(connection = "loud", "3");
            tracing::trace!(connection = "loud", "4: no");
            tracing::info!(connection = %"loud#7", "5");
            tracing::error!(connection = "mute", "6: no");
            tracing::info!(connection = "other", "7: no");
            tracing::warn!(connection = "other", "8");
            tracing::info!(target: "hickory_proto", "9: no");
            tracing::warn!(target: "hickory_proto", "10");
        });
        assert_eq!(said(&shared), ["2", "3", "5", "8", "10"]);
    }

    #[test]
    fn levels_change_while_it_runs() {
        let (shared, subscriber) = logger(&config(LogLevel::Off, &[]));
        tracing::subscriber::with_default(subscriber, || {
            let say = |n: u8| tracing::info!(connection = "a", "{n}");
            say(1);
            shared.settings.store(Arc::new(Settings::of(&config(LogLevel::Off, &[("a", LogLevel::Info)]))));
            tracing::callsite::rebuild_interest_cache();
            say(2);
            shared.settings.store(Arc::new(Settings::of(&config(LogLevel::Off, &[]))));
            tracing::callsite::rebuild_interest_cache();
            say(3);
        });
        assert_eq!(said(&shared), ["2"]);
    }

    #[test]
    fn what_somebody_has_changed_is_said_each_time() {
        let (shared, subscriber) = logger(&config(LogLevel::Info, &[]));
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..200 {
                tracing::info!(target: AUDIT, n, "audit");
                tracing::info!(n, "refused");
            }
        });
        let said = said(&shared);
        assert_eq!(said.iter().filter(|message| *message == "audit").count(), 200);
        assert!(said.len() < 300 && shared.queue.lost().suppressed > 100);
    }

    #[test]
    fn what_the_network_can_cause_is_said_once_for_each_connection_and_code() {
        let (shared, subscriber) = logger(&config(LogLevel::Info, &[]));
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..30 {
                let code = if n % 2 == 0 { "ike.junk" } else { "auth.failed" };
                tracing::warn!(target: WIRE, connection = "a", code, n, "failed");
            }
            tracing::warn!(target: WIRE, connection = "b", code = "auth.failed", "failed");
        });
        assert_eq!(said(&shared).len(), 3);
        assert_eq!(shared.queue.lost(), Lost { dropped: 0, suppressed: 28 });
    }
}
