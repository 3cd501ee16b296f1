//! What a worker counts. Each worker writes its own block, in cache lines of its own; anybody may read.
use crate::esp::drop::Drop;
use crate::esp::line::CACHE_LINE;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

#[cfg(test)]
mod tests {
    use super::*;

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
