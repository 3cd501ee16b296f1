//! Octets that are wiped when dropped and never printed.
use zeroize::Zeroizing;
/// A secret. `Debug` prints its length only.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);
impl Secret {
    /// Takes the octets.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
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
