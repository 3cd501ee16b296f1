//! Where the simulator's decisions come from: a seed, or the octets of a fuzzer.
use crate::crypto::rng::{Rng, SeededRng};
use std::time::Duration;

/// Decides. The same seed, or the same octets, decide the same.
pub(super) struct Dice {
    /// Taken first.
    octets: Vec<u8>,
    by_octets: bool,
    used: usize,
    /// How many have got a seed.
    seeds: u64,
    rng: SeededRng,
}
impl Dice {
    pub(super) fn seeded(seed: u64) -> Self {
        Self { octets: Vec::new(), by_octets: false, used: 0, seeds: 0, rng: SeededRng::new(seed) }
    }
    /// Decides by these octets, and by a fixed seed when they are used up.
    pub(super) fn of_octets(octets: &[u8]) -> Self {
        Self { octets: octets.to_vec(), by_octets: true, used: 0, seeds: 0, rng: SeededRng::new(0) }
    }
    /// There were octets, and they are used up.
    pub(super) fn is_spent(&self) -> bool {
        self.by_octets && self.used >= self.octets.len()
    }
    /// 0 to n - 1; 0 if there is no choice.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        if n < 2 {
            return 0;
        }
        let mut bytes = [0; 8];
        let wanted = if n <= 256 { 1 } else { 8 };
        for byte in &mut bytes[..wanted] {
            match self.octets.get(self.used) {
                Some(octet) => *byte = *octet,
                None => {
                    self.rng.fill(&mut bytes[..wanted]);
                    break;
                }
            }
            self.used += 1;
        }
        u64::from_le_bytes(bytes) % n
    }
    pub(super) fn percent(&mut self, n: u64) -> bool {
        n > 0 && self.below(100) < n
    }
    /// At least `low`, below `high`; in milliseconds.
    pub(super) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_millis() as u64;
        low + Duration::from_millis(self.below(span))
    }
    /// Milliseconds in a range.
    pub(super) fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
    /// A seed for somebody else. Octets may repeat, but nobody gets the same as another one: machines that share their random numbers share
    /// their keys, whatever they do.
    pub(super) fn seed(&mut self) -> u64 {
        self.seeds += 1;
        let seed = self.below(u64::MAX);
        if self.by_octets { seed << 8 | self.seeds } else { seed }
    }
}
