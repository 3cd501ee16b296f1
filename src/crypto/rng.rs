//! Randomness as an argument.
/// A source of unpredictable octets.
pub trait Rng: Send {
    /// Fills the whole of `out`.
    fn fill(&mut self, out: &mut [u8]);
}
/// The operating system's generator.
#[derive(Debug, Default)]
pub struct SystemRng;
impl Rng for SystemRng {
    fn fill(&mut self, out: &mut [u8]) {
        let _ = out;
        todo!()
    }
}
/// A seeded generator for tests and simulation: the same seed, the same octets (ChaCha20 keystream).
#[derive(Debug)]
pub struct SeededRng;
impl SeededRng {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        let _ = seed;
        todo!()
    }
}
impl Rng for SeededRng {
    fn fill(&mut self, out: &mut [u8]) {
        let _ = out;
        todo!()
    }
}
