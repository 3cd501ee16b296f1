//! Larval SPIs: we have offered them and have no keys for them yet. The peer has, as soon as it answers, and its first packets may come
//! before its answer: workers keep them for a moment. Looked at only for packets whose SPI is not in the SAD.
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// The set. Changed by the engine, asked by workers.
#[derive(Debug, Default)]
pub struct Larvae {
    spis: RwLock<HashSet<u32>>,
    /// How many, so that nobody takes the lock for nothing.
    count: AtomicUsize,
}

impl Larvae {
    /// Offered from now on.
    pub fn insert(&self, spi: u32) {
        let mut spis = self.write();
        spis.insert(spi);
        self.count.store(spis.len(), Ordering::Release);
    }

    /// Installed, or given up.
    pub fn remove(&self, spi: u32) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut spis = self.write();
            spis.remove(&spi);
            self.count.store(spis.len(), Ordering::Release);
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<u32> {
        self.spis.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Packets with this SPI may become good.
    pub fn contains(&self, spi: u32) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self.spis.read().unwrap_or_else(PoisonError::into_inner).contains(&spi)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashSet<u32>> {
        self.spis.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_spi_is_larval_from_its_offer_to_its_end() {
        let larvae = Larvae::default();
        assert!(!larvae.contains(7));
        larvae.insert(7);
        larvae.insert(8);
        larvae.insert(7);
        assert!(larvae.contains(7) && larvae.contains(8) && !larvae.contains(9));
        larvae.remove(7);
        larvae.remove(9);
        assert!(!larvae.contains(7) && larvae.contains(8));
        larvae.remove(8);
        assert!(!larvae.contains(8));
    }
}
