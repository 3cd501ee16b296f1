//! What the engine tells of itself: version, settings, counters.
use super::Engine;
use crate::control::types::{Info, Stats};
use crate::daemon::clock;
use crate::daemon::sockets::{self, NO_RAW_ESP};
use crate::dataplane::stats::{Direction, WorkerStats};
use crate::esp::drop::Drop;
use std::collections::BTreeMap;
use std::time::Duration;

impl Engine {
    /// What runs here.
    pub(super) fn info(&self) -> Info {
        let gateway = &self.parts.config.gateway;
        let warnings = [&self.parts.notes, &self.parts.warnings, &self.parts.network.warnings];
        let raw_esp = self.parts.sockets.raw_esp;
        let lacking = (!raw_esp).then(|| NO_RAW_ESP.to_owned());
        let unmetered = self.parts.metrics.as_ref().and_then(|metrics| metrics.trouble());
        let plain = sockets::wanted(gateway).filter(|addr| addr.port() == gateway.ports.ike);
        Info {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started: clock::rfc3339(self.started),
            config: self.parts.path.display().to_string(),
            device: gateway.device.clone(),
            workers: u16::try_from(self.parts.workers.stats.len()).unwrap_or(u16::MAX),
            listen: gateway.listen.iter().map(ToString::to_string).collect(),
            ike: plain.map(|addr| addr.to_string()).collect(),
            bind_device: gateway.bind_device.clone(),
            raw_esp,
            warnings: warnings.into_iter().flatten().cloned().chain(lacking).chain(unmetered).collect(),
        }
    }

    /// What was counted since the start.
    pub(super) fn stats(&self, now: Duration) -> Stats {
        let workers = &self.parts.workers.stats;
        let sum = |count: &dyn Fn(&WorkerStats) -> u64| workers.iter().map(|w| count(w)).sum();
        let engine = [
            ("ike_received", self.lanes.received),
            ("ike_junk", self.lanes.junk),
            ("ike_overflowed", self.lanes.overflowed),
            ("ike_unsent", self.parts.sockets.unsent),
            ("hook_lost", self.parts.hook.as_ref().map_or(0, |hook| hook.lost)),
            ("worker_junk", sum(&|worker| worker.junk())),
            ("upcalls_lost", sum(&|worker| worker.upcalls_lost())),
        ];
        let drops = Drop::ALL.iter().map(|drop| (drop.name().to_owned(), sum(&|worker| worker.drops(*drop))));
        Stats {
            uptime_s: (now - self.started).as_secs(),
            engine: engine.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
            drops: drops.collect(),
            batches: workers.iter().map(|worker| batches(worker)).collect(),
        }
    }
}

/// How full the batches of a worker were.
fn batches(worker: &WorkerStats) -> BTreeMap<String, Vec<u64>> {
    let directions = [("in", Direction::In), ("out", Direction::Out), ("handed", Direction::Handed)];
    directions.map(|(name, direction)| (name.to_owned(), worker.batches(direction).to_vec())).into()
}
