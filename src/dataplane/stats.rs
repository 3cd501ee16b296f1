//! What a worker counts. Each worker writes its own block, in cache lines of its own; anybody may read.
use crate::esp::drop::Drop;
use crate::esp::line::CACHE_LINE;
use crate::ipsec::spd::{DeviceId, Slot};
use crate::wire::ip::Flow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Batches are counted by the binary logarithm of their packets: 1, 2-3, 4-7, ... , 2^15 and more.
pub const BATCH_CLASSES: usize = 16;

/// Counters of one worker since its start.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    drops: [AtomicU64; Drop::ALL.len()],
    batches_in: [AtomicU64; BATCH_CLASSES],
    batches_out: [AtomicU64; BATCH_CLASSES],
    batches_handed: [AtomicU64; BATCH_CLASSES],
    junk: AtomicU64,
    upcalls_lost: AtomicU64,
    /// What was dropped, for who looks at this moment.
    samples: Samples,
}

// Two lines: processors like to fetch the neighbour, too.
const _: () = assert!(align_of::<WorkerStats>() == 2 * CACHE_LINE);

/// Which way a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the wire.
    In,
    /// From the TUN.
    Out,
    /// From another worker: how deep its queue had become.
    Handed,
}

impl Default for WorkerStats {
    fn default() -> Self {
        Self {
            drops: std::array::from_fn(|_| AtomicU64::new(0)),
            batches_in: std::array::from_fn(|_| AtomicU64::new(0)),
            batches_out: std::array::from_fn(|_| AtomicU64::new(0)),
            batches_handed: std::array::from_fn(|_| AtomicU64::new(0)),
            junk: AtomicU64::new(0),
            upcalls_lost: AtomicU64::new(0),
            samples: Samples::default(),
        }
    }
}

impl WorkerStats {
    /// Packets dropped for this reason, of known children or not.
    pub fn drops(&self, reason: Drop) -> u64 {
        self.drops[reason as usize].load(Relaxed)
    }

    /// The same of all reasons, by their public names.
    pub fn all_drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Drop::ALL.iter().map(|reason| (reason.name(), self.drops(*reason)))
    }

    /// Datagrams that are neither ESP nor IKE nor a keepalive.
    pub fn junk(&self) -> u64 {
        self.junk.load(Relaxed)
    }

    /// Which packets are dropped.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Upcalls that found the channel full.
    pub fn upcalls_lost(&self) -> u64 {
        self.upcalls_lost.load(Relaxed)
    }

    /// Batches of 2^i to 2^(i+1)-1 packets, for each i.
    pub fn batches(&self, direction: Direction) -> [u64; BATCH_CLASSES] {
        let classes = self.classes(direction);
        std::array::from_fn(|i| classes[i].load(Relaxed))
    }

    fn classes(&self, direction: Direction) -> &[AtomicU64; BATCH_CLASSES] {
        match direction {
            Direction::In => &self.batches_in,
            Direction::Out => &self.batches_out,
            Direction::Handed => &self.batches_handed,
        }
    }

    pub(super) fn count_drops(&self, reason: Drop, n: u64) {
        self.drops[reason as usize].fetch_add(n, Relaxed);
    }

    pub(super) fn count_junk(&self) {
        self.junk.fetch_add(1, Relaxed);
    }

    pub(super) fn count_lost_upcall(&self) {
        self.upcalls_lost.fetch_add(1, Relaxed);
    }

    pub(super) fn count_batch(&self, direction: Direction, packets: usize) {
        let Some(class) = packets.checked_ilog2() else { return };
        let classes = self.classes(direction);
        classes[(class as usize).min(BATCH_CLASSES - 1)].fetch_add(1, Relaxed);
    }
}

/// A packet that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Why.
    pub reason: Drop,
    /// Its ends, by the names that they have on the wire if it came from there.
    pub flow: Flow,
    /// Its octets.
    pub len: usize,
    /// The device that it came from, or was for.
    pub device: DeviceId,
    /// Its child, if it has one.
    pub slot: Option<Slot>,
    /// It came from the wire.
    pub inbound: bool,
}

/// So many are kept for one look.
const SAMPLES: usize = 32;

/// Packets that were dropped while somebody looked. A worker that nobody looks at reads one flag for each drop.
#[derive(Debug, Default)]
pub struct Samples {
    /// Some look has not all yet; changes under the lock only.
    wanted: AtomicBool,
    looks: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    last: u64,
    open: Vec<Look>,
}

/// What is kept for one who looks.
#[derive(Debug)]
struct Look {
    number: u64,
    device: DeviceId,
    kept: Vec<Sample>,
}

impl Looks {
    fn want(&self) -> bool {
        self.open.iter().any(|look| look.kept.len() < SAMPLES)
    }
}

impl Samples {
    /// From now on some of this device are kept, until the look of this number ends.
    pub fn begin(&self, device: DeviceId) -> u64 {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.last += 1;
        let number = looks.last;
        looks.open.push(Look { number, device, kept: Vec::new() });
        self.wanted.store(true, Relaxed);
        number
    }

    /// A look ends: what was kept for it.
    pub fn end(&self, number: u64) -> Vec<Sample> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let at = looks.open.iter().position(|look| look.number == number);
        let kept = at.map(|at| looks.open.swap_remove(at).kept).unwrap_or_default();
        self.wanted.store(looks.want(), Relaxed);
        kept
    }

    pub(super) fn keep(&self, sample: impl FnOnce() -> Sample) {
        // Who reads them is not waited for.
        if self.wanted.load(Relaxed)
            && let Ok(mut looks) = self.looks.try_lock()
        {
            let sample = sample();
            let of_it = looks.open.iter_mut().filter(|look| look.device == sample.device);
            of_it.filter(|look| look.kept.len() < SAMPLES).for_each(|look| look.kept.push(sample));
            self.wanted.store(looks.want(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_kept_while_somebody_looks_and_no_more_than_that() {
        let samples = Samples::default();
        let end = std::net::IpAddr::from([10, 0, 0, 1]);
        let flow = Flow { src: end, dst: end, proto: 1, sport: 0, dport: 0, later_fragment: false };
        let sample =
            |len| Sample { reason: Drop::NoPolicy, flow, len, device: DeviceId(0), slot: None, inbound: false };
        samples.keep(|| unreachable!("nobody looks"));
        let first = samples.begin(DeviceId(0));
        (0..40).for_each(|len| samples.keep(|| sample(len)));
        samples.keep(|| unreachable!("who looks has enough"));
        let second = samples.begin(DeviceId(0));
        (50..52).for_each(|len| samples.keep(|| sample(len)));
        let lengths = |look| samples.end(look).iter().map(|sample| sample.len).collect::<Vec<_>>();
        assert_eq!(lengths(first), (0..32).collect::<Vec<_>>());
        samples.keep(|| sample(52));
        assert_eq!(lengths(second), [50, 51, 52], "the end of one look is not that of another");
        samples.keep(|| unreachable!("nobody looks"));
        assert_eq!(samples.end(second), []);
    }

    #[test]
    fn who_looks_at_one_device_is_not_told_of_others() {
        let samples = Samples::default();
        let end = std::net::IpAddr::from([10, 0, 0, 1]);
        let flow = Flow { src: end, dst: end, proto: 1, sport: 0, dport: 0, later_fragment: false };
        let sample = |device| Sample {
            reason: Drop::NoPolicy,
            flow,
            len: 1,
            device: DeviceId(device),
            slot: None,
            inbound: false,
        };
        let (zero, one) = (samples.begin(DeviceId(0)), samples.begin(DeviceId(1)));
        (0..99).for_each(|_| samples.keep(|| sample(1)));
        samples.keep(|| sample(0));
        assert_eq!((samples.end(zero), samples.end(one).len()), (vec![sample(0)], SAMPLES));
    }

    #[test]
    fn a_batch_falls_into_the_class_of_its_size() {
        let stats = WorkerStats::default();
        for packets in [0, 1, 2, 3, 4, 65_535, 1 << 40] {
            stats.count_batch(Direction::In, packets);
        }
        let mut expected = [0; BATCH_CLASSES];
        (expected[0], expected[1], expected[2], expected[15]) = (1, 2, 1, 2);
        assert_eq!(stats.batches(Direction::In), expected);
        assert_eq!(stats.batches(Direction::Out), [0; BATCH_CLASSES]);
    }
}
