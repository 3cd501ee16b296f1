//! How often a worker may say something. Time is an argument.
use crate::ipsec::sad::MAX_SLOTS;
use crate::ipsec::spd::Slot;
use std::time::Duration;

/// A token bucket.
#[derive(Debug)]
pub struct Bucket {
    per_second: u64,
    burst: u64,
    /// When the bucket would be full again.
    full_at: Duration,
}

impl Bucket {
    /// `per_second` and `burst` are at least 1.
    pub fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second: per_second.max(1), burst: burst.max(1), full_at: Duration::ZERO }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Duration) -> bool {
        let cost = Duration::from_nanos(1_000_000_000 / self.per_second);
        let full_at = self.full_at.max(now) + cost;
        let granted = full_at <= now + cost * u32::try_from(self.burst).unwrap_or(u32::MAX);
        if granted {
            self.full_at = full_at;
        }
        granted
    }
}

/// Once per second for each child.
#[derive(Debug, Default)]
pub struct PerChild {
    next: Vec<Duration>,
}

impl PerChild {
    /// True if this slot may speak now; one that no table can hold never may.
    pub fn take(&mut self, slot: Slot, now: Duration) -> bool {
        let place = slot.0 as usize;
        if self.next.len() <= place && slot.0 < MAX_SLOTS {
            self.next.resize(place + 1, Duration::ZERO);
        }
        let Some(next) = self.next.get_mut(place) else { return false };
        let granted = now >= *next;
        if granted {
            *next = now + Duration::from_secs(1);
        }
        granted
    }
}

/// Places of a table of SPIs that belong to nothing here.
const PLACES: usize = 4096;

/// Once per second for each of many SPIs, as far as a small table tells them apart: nobody can make it grow, and who speaks most does not
/// speak for all.
#[derive(Debug)]
pub struct PerSpi {
    next: Box<[Duration]>,
}

impl Default for PerSpi {
    fn default() -> Self {
        Self { next: vec![Duration::ZERO; PLACES].into() }
    }
}

impl PerSpi {
    /// True if this SPI may be spoken of now.
    pub fn take(&mut self, spi: u32, now: Duration) -> bool {
        // The high bits of a product depend on all bits of its factors.
        let place = spi.wrapping_mul(0x9e37_79b1) as usize >> 20;
        let Some(next) = self.next.get_mut(place) else { return false };
        let granted = now >= *next;
        if granted {
            *next = now + Duration::from_secs(1);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(10, 3);
        let mut granted = |ms| (0..100).filter(|_| bucket.take(Duration::from_millis(ms))).count();
        assert_eq!([granted(0), granted(99), granted(100), granted(350), granted(9_000)], [3, 0, 1, 2, 3]);
    }

    #[test]
    fn each_child_speaks_once_a_second() {
        let mut limit = PerChild::default();
        let mut take = |slot, ms| limit.take(Slot(slot), Duration::from_millis(ms));
        assert!(take(0, 0) && take(1, 10) && !take(0, 999) && take(0, 1000) && !take(1, 1009) && take(1, 1010));
        assert!(!take(MAX_SLOTS, 5000));
    }

    #[test]
    fn each_spi_is_spoken_of_once_a_second_and_few_hinder_each_other() {
        let mut limit = PerSpi::default();
        let spis = || (0..200u32).map(|n| 0x8000_0000 + n * 0x1_0007);
        let at = |ms| Duration::from_millis(ms);
        let first: Vec<_> = spis().filter(|spi| limit.take(*spi, at(5000))).collect();
        assert!(first.len() > 180, "{}", first.len());
        assert_eq!(spis().filter(|spi| limit.take(*spi, at(5999))).count(), 0);
        assert_eq!(first.iter().filter(|spi| limit.take(**spi, at(6000))).count(), first.len());
        assert!((0..100_000).filter(|spi| limit.take(*spi, at(7000))).count() <= PLACES);
        assert!(limit.next.len() == PLACES && !limit.take(u32::MAX, at(7000)));
    }
}
