//! What is counted for metrics alone. The engine writes, the API's thread reads; neither waits for the other longer than for one entry.
use super::histogram::Histogram;
use crate::dataplane::stats::WorkerStats;
use crate::ike::status::Counts;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers of the daemon as a whole.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Figure { $($(#[$doc])* $name,)* }
        const FIGURES: usize = [$(Figure::$name,)*].len();
    };
}
figures! {
    /// IKE datagrams taken in.
    IkeReceived,
    /// Too short, or what nobody sends.
    IkeJunk,
    /// Found their lane full.
    IkeOverflowed,
    /// Could not be sent.
    IkeUnsent,
    /// Changes that the hook was not told of.
    HookLost,
    /// Half-open IKE SAs.
    HalfOpen,
    /// IKE SAs that are established.
    Established,
    /// Attempts of ours.
    Attempts,
    /// Attempts of peers that got as far as a half-open IKE SA.
    Newcomers,
    /// Requests sent again.
    Retransmissions,
    /// Cookies asked for.
    Cookies,
    /// Longest turn of the engine, microseconds.
    LongestTurn,
    /// Configurations that were put in force.
    ConfigApplied,
    /// Those that were refused.
    ConfigRefused,
    /// The revision in force, if there are any.
    ConfigRevision,
    /// Clients of the API at the moment.
    ApiClients,
    /// Events that readers have missed.
    EventsLost,
    /// Messages of the log that nobody took in time.
    LogDropped,
    /// Messages of the log that were like others before them.
    LogSuppressed,
}

/// What one connection has been through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// IKE SAs that came up: of those that we began, and of those that the peer did.
    pub handshakes: [u64; 2],
    /// What they took, together.
    pub handshake_time: Duration,
    /// Rekeys of IKE SAs, and of children.
    pub rekeys: [u64; 2],
    /// Failures by phase and code.
    pub failures: BTreeMap<(&'static str, &'static str), u64>,
    /// The code of the last one, and when it was by the wall clock.
    pub last: Option<(&'static str, Duration)>,
    /// IKE SAs that ended, by reason.
    pub ended: BTreeMap<&'static str, u64>,
    /// Children that the configuration wants up all the time.
    pub wanted: BTreeSet<Arc<str>>,
}

/// Whose a failure is that belongs to no connection.
const NOBODY: &str = "";

/// All that is counted.
#[derive(Debug)]
pub struct Meter {
    figures: [AtomicU64; FIGURES],
    tallies: Mutex<BTreeMap<Arc<str>, Tally>>,
    pools: Mutex<Vec<Pool>>,
    workers: Mutex<Vec<Arc<WorkerStats>>>,
    /// From the first message to an IKE SA that is up.
    pub handshakes: Histogram,
    /// From our request to new keys of a child.
    pub rekeys: Histogram,
    /// Turns of the engine.
    pub turns: Histogram,
}
/// A pool of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// Its first and last address.
    pub range: (IpAddr, IpAddr),
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            figures: std::array::from_fn(|_| AtomicU64::new(0)),
            tallies: Mutex::default(),
            pools: Mutex::default(),
            workers: Mutex::default(),
            handshakes: Histogram::new(&[
                5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
            ]),
            rekeys: Histogram::new(&[1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000]),
            turns: Histogram::new(&[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000]),
        }
    }
}

impl Meter {
    /// A figure as it is now.
    pub fn get(&self, figure: Figure) -> u64 {
        self.figures[figure as usize].load(Relaxed)
    }
    /// It is this from now on.
    pub fn set(&self, figure: Figure, value: u64) {
        self.figures[figure as usize].store(value, Relaxed);
    }
    /// It is so much more.
    pub fn add(&self, figure: Figure, more: u64) {
        self.figures[figure as usize].fetch_add(more, Relaxed);
    }
    /// It is one less.
    pub fn less(&self, figure: Figure) {
        self.figures[figure as usize].fetch_sub(1, Relaxed);
    }
    /// What the endpoint has counted.
    pub fn ike(&self, counts: &Counts) {
        for (figure, value) in [
            (Figure::HalfOpen, counts.half_open),
            (Figure::Established, counts.established),
            (Figure::Attempts, counts.attempts),
            (Figure::Newcomers, counts.newcomers),
            (Figure::Retransmissions, counts.retransmissions),
            (Figure::Cookies, counts.cookies),
        ] {
            self.set(figure, value);
        }
    }
    /// A turn of the engine took so long.
    pub fn turn(&self, took: Duration) {
        self.turns.note(took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.figures[Figure::LongestTurn as usize].fetch_max(micros, Relaxed);
    }
    /// An IKE SA is up; `ours`: we began it.
    pub fn handshake(&self, connection: &Arc<str>, ours: bool, took: Duration) {
        self.handshakes.note(took);
        self.of(connection, |tally| {
            tally.handshakes[usize::from(!ours)] += 1;
            tally.handshake_time += took;
        });
    }
    /// An IKE SA has a successor.
    pub fn ike_rekeyed(&self, connection: &Arc<str>) {
        self.of(connection, |tally| tally.rekeys[0] += 1);
    }
    /// A child has new keys; if it was we who asked, so long after that.
    pub fn child_rekeyed(&self, connection: &Arc<str>, took: Option<Duration>) {
        self.of(connection, |tally| tally.rekeys[1] += 1);
        took.into_iter().for_each(|took| self.rekeys.note(took));
    }
    /// An attempt failed; of nobody that we know if there is no connection.
    pub fn failed(&self, connection: Option<&Arc<str>>, phase: &'static str, code: &'static str, wall: Duration) {
        self.of(connection.unwrap_or(&NOBODY.into()), |tally| {
            *tally.failures.entry((phase, code)).or_default() += 1;
            tally.last = Some((code, wall));
        });
    }
    /// An IKE SA is down.
    pub fn ended(&self, connection: &Arc<str>, why: &'static str) {
        self.of(connection, |tally| *tally.ended.entry(why).or_default() += 1);
    }
    fn of(&self, connection: &Arc<str>, change: impl FnOnce(&mut Tally)) {
        let mut tallies = lock(&self.tallies);
        match tallies.get_mut(connection) {
            Some(tally) => change(tally),
            None => change(tallies.entry(connection.clone()).or_default()),
        }
    }
    /// Shows what a connection has been through. The engine waits meanwhile, if it has something to add.
    pub fn tally<T>(&self, connection: &str, show: impl FnOnce(&Tally) -> T) -> T {
        match lock(&self.tallies).get(connection) {
            Some(tally) => show(tally),
            None => show(&Tally::default()),
        }
    }
    /// The same of what belongs to nobody in the configuration.
    pub fn strangers<T>(&self, show: impl FnOnce(&Tally) -> T) -> T {
        self.tally(NOBODY, show)
    }
    /// The configuration is another: connections and which of their children shall be up, and pools. Who is not in it is forgotten.
    pub fn configure(&self, connections: impl Iterator<Item = (Arc<str>, BTreeSet<Arc<str>>)>, pools: Vec<Pool>) {
        let mut tallies = lock(&self.tallies);
        let mut before = std::mem::take(&mut *tallies);
        let kept = connections.map(|(name, wanted)| {
            let tally = before.remove(&name).unwrap_or_default();
            (name, Tally { wanted, ..tally })
        });
        *tallies = kept.collect();
        tallies.extend(before.remove_entry(NOBODY));
        *lock(&self.pools) = pools;
    }
    /// The pools of the configuration.
    pub fn pools(&self) -> Vec<Pool> {
        lock(&self.pools).clone()
    }
    /// These count packets.
    pub fn set_workers(&self, workers: Vec<Arc<WorkerStats>>) {
        *lock(&self.workers) = workers;
    }
    /// What the workers count.
    pub fn workers(&self) -> Vec<Arc<WorkerStats>> {
        lock(&self.workers).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_the_configuration_is_forgotten() {
        let meter = Meter::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        meter.handshake(&a, true, Duration::from_millis(7));
        meter.handshake(&b, false, Duration::from_millis(7));
        meter.failed(None, "sa_init", "peer.unknown", Duration::from_secs(9));
        meter.configure([(b, BTreeSet::from(["lan".into()]))].into_iter(), Vec::new());
        assert_eq!(meter.tally("a", Tally::clone), Tally::default());
        assert_eq!(meter.tally("b", |tally| (tally.handshakes, tally.wanted.len())), ([0, 1], 1));
        assert_eq!(meter.strangers(|tally| tally.last), Some(("peer.unknown", Duration::from_secs(9))));
    }

    #[test]
    fn the_longest_turn_stays() {
        let meter = Meter::default();
        [3, 9, 2].into_iter().for_each(|ms| meter.turn(Duration::from_millis(ms)));
        assert_eq!((meter.get(Figure::LongestTurn), meter.turns.read().count), (9000, 3));
    }
}
