//! How long something took, in classes.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Anybody may add, anybody may read.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds of the classes in microseconds; one more class is for the rest.
    bounds: &'static [u64],
    classes: Vec<AtomicU64>,
    micros: AtomicU64,
}
/// What a histogram shows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Upper bounds in seconds, and how many are not above.
    pub buckets: Vec<(f64, u64)>,
    /// All.
    pub count: u64,
    /// What they took together, seconds.
    pub sum: f64,
}
impl Histogram {
    /// With classes up to these bounds, ascending, in microseconds.
    pub fn new(bounds: &'static [u64]) -> Self {
        let classes = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, classes, micros: AtomicU64::new(0) }
    }
    /// One more.
    pub fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = self.bounds.partition_point(|bound| *bound < micros);
        self.classes[class].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }
    /// Its sum of buckets is its count, whoever adds meanwhile.
    pub fn read(&self) -> Reading {
        let mut count = 0;
        let mut counts = self.classes.iter().map(|class| {
            count += class.load(Relaxed);
            count
        });
        let buckets = self.bounds.iter().map(|bound| *bound as f64 / 1e6).zip(&mut counts).collect();
        let rest = counts.next();
        Reading { buckets, count: rest.unwrap_or_default(), sum: self.micros.load(Relaxed) as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_all_buckets_that_are_not_below() {
        let histogram = Histogram::new(&[1_000, 10_000]);
        for micros in [1, 1_000, 1_001, 10_001, 90_000_000] {
            histogram.note(Duration::from_micros(micros));
        }
        let expected = Reading { buckets: vec![(0.001, 2), (0.01, 3)], count: 5, sum: 90.012003 };
        assert_eq!(histogram.read(), expected);
    }
}
