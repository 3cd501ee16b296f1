//! What the engine counts and measures for metrics.
use super::Engine;
use crate::control::metrics::meter::{Figure, Pool};
use crate::control::request::News;
use crate::daemon::journal::reason;
use crate::daemon::{clock, logging};
use crate::dataplane::stats::WorkerStats;
use crate::ike::event::Event;
use crate::ike::policy::StartAction;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// So many requests for children are remembered,
const MAX_ASKED: usize = 16_384;
/// and so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// When we asked for which child, by its inbound SPI.
#[derive(Debug, Default)]
pub(super) struct Asked(HashMap<u32, Duration>);
impl Asked {
    fn note(&mut self, now: Duration, spi: u32) {
        if self.0.len() >= MAX_ASKED {
            self.0.retain(|_, at| *at + PATIENCE > now);
        }
        if self.0.len() < MAX_ASKED {
            self.0.insert(spi, now);
        }
    }
    fn take(&mut self, now: Duration, spi: u32) -> Option<Duration> {
        self.0.remove(&spi).map(|at| now.saturating_sub(at))
    }
}

impl Engine {
    /// Counts what happened.
    pub(super) fn measure(&mut self, now: Duration, event: &Event) {
        let meter = &self.parts.meter;
        match event {
            Event::IkeUp { ike, connection, .. } => {
                if let Some((at, ours)) = self.endpoint.begun(*ike) {
                    meter.handshake(connection, ours, now.saturating_sub(at));
                }
            }
            Event::IkeRekeyed { connection, .. } => meter.ike_rekeyed(connection),
            Event::IkeDown { connection, why, .. } => meter.ended(connection, reason(*why)),
            Event::Larval { spi } => self.asked.note(now, *spi),
            Event::ChildUp(up) => {
                let took = self.asked.take(now, up.spi_in);
                if up.replaces.is_some() {
                    meter.child_rekeyed(&up.connection, took);
                }
            }
            Event::Failed(failure) => {
                meter.failed(failure.connection.as_ref(), failure.phase.name(), failure.code, clock::unix());
            }
            _ => {}
        }
    }

    /// After each turn.
    pub(super) fn meter_turn(&self, took: Duration) {
        let (meter, workers, lost) = (&self.parts.meter, &self.parts.workers.stats, logging::lost());
        let sum = |count: fn(&WorkerStats) -> u64| workers.iter().map(|worker| count(worker)).sum::<u64>();
        meter.turn(took);
        meter.ike(&self.endpoint.counts());
        for (figure, value) in [
            (Figure::IkeReceived, self.lanes.received),
            (Figure::IkeJunk, self.lanes.junk + sum(WorkerStats::junk)),
            (Figure::IkeOverflowed, self.lanes.overflowed),
            (Figure::IkeUnsent, self.parts.sockets.unsent),
            (Figure::HookLost, self.parts.hook.as_ref().map_or(0, |hook| hook.lost)),
            (Figure::LogDropped, lost.dropped),
            (Figure::LogSuppressed, lost.suppressed),
        ] {
            meter.set(figure, value);
        }
    }

    /// What became of a configuration.
    pub(super) fn meter_news(&self, news: &News) {
        if news.event == "config.refused" {
            self.parts.meter.add(Figure::ConfigRefused, 1);
        }
    }

    /// The configuration is another.
    pub(super) fn meter_config(&self) {
        let config = &self.parts.config;
        let mut connections: BTreeMap<_, _> =
            config.connections.iter().map(|connection| (connection.name.clone(), Default::default())).collect();
        let mut pools: Vec<Pool> = Vec::new();
        for policy in &config.policy.connections {
            let wanted = policy.children.iter().filter(|child| child.start == StartAction::Start);
            connections.insert(policy.name.clone(), wanted.map(|child| child.name.clone()).collect());
            pools.extend(policy.pools.iter().map(|p| Pool { name: p.name.clone(), range: (p.first, p.last) }));
        }
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        pools.dedup();
        self.parts.meter.add(Figure::ConfigApplied, 1);
        self.parts.meter.configure(connections.into_iter(), pools);
    }
}
