//! The one counter of an outbound SA. It is also what the IV of an AEAD is made of, so no number may be given out twice, whatever the
//! threads do (RFC 4303 sections 2.2 and 3.3.3, RFC 4106 section 2).
use super::atomic::{AtomicU64, Ordering};
use std::ops::Range;

/// Every worker that seals writes it: a cache line of its own keeps the key and all else of the SA out of that.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Sequence {
    next: AtomicU64,
    /// One behind the last number that may be used; `next` never passes it.
    end: u64,
}

impl Sequence {
    /// Numbers from `first` to 2^32-1 or, with `esn`, to 2^64-2 (2^64-1 is given up so that the end of a run is always a number).
    pub(super) fn new(esn: bool, first: u64) -> Self {
        let end = if esn { u64::MAX } else { 1 << 32 };
        Self { next: AtomicU64::new(first.clamp(1, end)), end }
    }

    /// Takes the next `n` numbers, all or none. A compare loop and no `fetch_add`: an addition that came too far could not be taken back.
    pub(super) fn take(&self, n: u32) -> Option<Range<u64>> {
        let after = |next: u64| next.checked_add(u64::from(n)).filter(|after| *after <= self.end);
        let first = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).ok()?;
        Some(first..first + u64::from(n))
    }

    /// From now on no number is taken any more, by whomever. What would have been the next.
    pub(super) fn shut(&self) -> u64 {
        self.next.swap(self.end, Ordering::Relaxed)
    }

    /// The number that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        self.end - self.next()
    }
}
