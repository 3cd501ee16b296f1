//! Octets that are wiped when dropped and never printed.
use super::rng::Rng;
use zeroize::Zeroizing;
/// A secret. `Debug` prints its length only.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>, #[cfg(any(test, feature = "fuzzing"))] tally::One);
impl Secret {
    /// Takes the octets.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(
            Zeroizing::new(bytes),
            #[cfg(any(test, feature = "fuzzing"))]
            tally::One::default(),
        )
    }
    /// `len` octets of fresh randomness.
    pub fn random(len: usize, rng: &mut dyn Rng) -> Self {
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        Self::new(bytes)
    }
    /// All of these, one behind the other.
    pub fn concat(parts: &[&[u8]]) -> Self {
        Self::new(parts.concat())
    }
    /// Appends octets. What it grows out of is wiped.
    pub fn extend(&mut self, octets: &[u8]) {
        let len = self.len() + octets.len();
        if len > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(len.max(2 * self.0.capacity())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(octets);
    }
    /// As hexadecimal digits.
    pub fn hex(&self) -> Self {
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        let mut digits = Vec::with_capacity(2 * self.len());
        digits.extend(self.expose().iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]));
        Self::new(digits)
    }
    /// Shows them to whoever must compute with them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
    /// Length in octets.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// True if there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} octets)", self.0.len())
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub use tally::alive;
/// Counts secrets, so that the simulator can tell when one outlives its SA.
#[cfg(any(test, feature = "fuzzing"))]
mod tally {
    use std::cell::Cell;

    thread_local! {
        static ALIVE: Cell<usize> = const { Cell::new(0) };
    }
    /// Secrets that this thread has made, less those that it has dropped.
    pub fn alive() -> usize {
        ALIVE.get()
    }
    /// One secret.
    pub(super) struct One(());
    impl Default for One {
        fn default() -> Self {
            ALIVE.set(ALIVE.get().wrapping_add(1));
            Self(())
        }
    }
    impl Clone for One {
        fn clone(&self) -> Self {
            Self::default()
        }
    }
    impl Drop for One {
        fn drop(&mut self) {
            ALIVE.set(ALIVE.get().wrapping_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_and_no_octet() {
        let secret = Secret::new(vec![0xab, 171, b'k', b'e', b'y']);
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(5 octets) Secret(5 octets)");
        assert_eq!((secret.len(), secret.is_empty(), Secret::default().is_empty()), (5, false, true));
    }

    #[test]
    fn it_grows() {
        let mut secret = Secret::default();
        (0..100u8).for_each(|n| secret.extend(&[n; 3]));
        assert_eq!((secret.len(), &secret.expose()[297..]), (300, &[99; 3][..]));
    }
}
