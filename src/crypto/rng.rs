//! Randomness as an argument.
use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

/// A source of unpredictable octets.
pub trait Rng: Send {
    /// Fills the whole of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// The operating system's generator. Panics if there is none: nothing of ours is safe then.
#[derive(Debug, Default)]
pub struct SystemRng;
impl Rng for SystemRng {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system's random generator");
    }
}

/// A seeded generator for tests and simulation, never for keys that protect anything: a 64-bit seed can be guessed.
/// The same seed gives the same octets however they are cut up: AES-128 of a counter, the seed as its key.
#[derive(Debug)]
pub struct SeededRng {
    aes: Aes128Enc,
    counter: u128,
    block: [u8; BLOCK],
    /// Octets of `block` already given out.
    used: usize,
}
const BLOCK: usize = 16;

impl SeededRng {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; BLOCK];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        Self { aes: Aes128Enc::new(&key.into()), counter: 0, block: [0; BLOCK], used: BLOCK }
    }
}
impl Rng for SeededRng {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            if self.used == BLOCK {
                let mut block = self.counter.to_be_bytes().into();
                self.aes.encrypt_block(&mut block);
                self.block = block.into();
                self.counter += 1;
                self.used = 0;
            }
            *octet = self.block[self.used];
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(rng: &mut dyn Rng, cuts: &[usize]) -> Vec<u8> {
        let mut out = vec![0; cuts.iter().sum()];
        let mut rest = out.as_mut_slice();
        for &n in cuts {
            let (now, later) = rest.split_at_mut(n);
            rng.fill(now);
            rest = later;
        }
        out
    }

    #[test]
    fn a_seed_fixes_the_octets_however_they_are_cut() {
        let whole = take(&mut SeededRng::new(7), &[100]);
        assert_eq!(whole, take(&mut SeededRng::new(7), &[1, 0, 15, 16, 17, 51]));
        assert_ne!(whole, take(&mut SeededRng::new(8), &[100]));
        assert_ne!(whole[..16], whole[16..32], "the counter counts");
    }

    #[test]
    fn the_seeded_octets_are_aes_of_a_counter() {
        // AES-128 of zeros under a key of zeros: the hash key of GCM's test case 1.
        assert_eq!(hex::encode(take(&mut SeededRng::new(0), &[16])), "66e94bd4ef8a2c3b884cfa59ca342b2e");
    }

    #[test]
    fn the_system_gives_other_octets_each_time() {
        let first = take(&mut SystemRng, &[32]);
        assert_ne!(first, take(&mut SystemRng, &[32]));
        assert_ne!(first, [0; 32]);
    }
}
