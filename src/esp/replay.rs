//! The sliding window of sequence numbers (RFC 4303 section 3.4.3 and appendix A, RFC 6479), 64 to 65,536 wide.
//!
//! The bitmap is a ring that is not shifted, as in RFC 6479. It has two views: `Seen` is read by any worker without a lock, to refuse
//! early what is surely old; `Window` is the one writer, and its answer counts.
use super::atomic::{AtomicU64, Ordering};
use super::drop::Drop;
use std::sync::Arc;

/// Narrowest window, in packets.
pub const MIN_WINDOW: u32 = 64;
/// Widest window, in packets.
pub const MAX_WINDOW: u32 = 65_536;

/// Proof that the ICV of the packet with this number was right; only `inbound::open` makes one.
#[derive(Debug)]
pub struct Authentic(pub(super) u64);
impl Authentic {
    /// The full sequence number.
    pub fn seq(&self) -> u64 {
        self.0
    }
}

/// The window.
#[derive(Debug)]
pub struct Window {
    seen: Arc<Seen>,
}

/// What a window has seen, for another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) size: u32,
    pub(super) highest: u64,
    /// The words of the ring that are in use.
    pub(super) words: Vec<u64>,
}

impl Window {
    /// How many numbers it holds.
    pub fn size(&self) -> u32 {
        u32::try_from(self.seen.size).unwrap_or(u32::MAX)
    }

    /// `size` is rounded up to a multiple of 64, and kept within `MIN_WINDOW` and `MAX_WINDOW`.
    pub fn new(size: u32) -> Self {
        Self { seen: Arc::new(Seen::new(size)) }
    }

    /// Commits a number that is proven: `Replayed` or `TooOld`, else it is marked. True if it is the highest so far.
    pub fn commit(&mut self, proof: &Authentic) -> Result<bool, Drop> {
        self.check(proof.seq())?;
        Ok(self.seen.mark(proof.seq()))
    }

    /// A cheap look without marking.
    pub fn check(&self, seq: u64) -> Result<(), Drop> {
        self.seen.check(seq)
    }

    /// Highest number committed, 0 before the first.
    pub fn highest(&self) -> u64 {
        self.seen.highest()
    }

    /// What it has seen.
    pub fn snapshot(&self) -> Snapshot {
        let seen = &self.seen;
        let words = (0..seen.words).map(|word| seen.ring[word / WORDS].0[word % WORDS].load(Ordering::Relaxed));
        Snapshot { size: seen.size as u32, highest: seen.highest(), words: words.collect() }
    }

    /// A window that has seen that; `None` if no window can have.
    pub fn restore(snapshot: &Snapshot) -> Option<Self> {
        let Snapshot { size, highest, words } = snapshot;
        if !(MIN_WINDOW..=MAX_WINDOW).contains(size) {
            return None;
        }
        let seen = Seen::new(*size);
        if seen.size != u64::from(*size) || seen.words != words.len() {
            return None;
        }
        seen.highest.store(*highest, Ordering::Relaxed);
        for (word, bits) in words.iter().enumerate() {
            seen.ring[word / WORDS].0[word % WORDS].store(*bits, Ordering::Relaxed);
        }
        Some(Self { seen: Arc::new(seen) })
    }

    /// The view for readers without the window's lock.
    pub(super) fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }
}

/// What was committed. A reader beside the writer may see a commit half done: the bits of the numbers up to a new highest, but not the
/// highest itself. A bit serves again only for a number at least one window higher, so what such a reader takes for replayed is too old.
///
/// Two SAs side by side in memory have other workers as a rule, so neither this nor the ring shares a cache line with anything else.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Seen {
    size: u64,
    highest: AtomicU64,
    /// Words of the ring that are in use: a power of two.
    words: usize,
    /// The bit of a number is its value modulo the bits of the words: at least `size`.
    ring: Box<[Words]>,
}

/// Words of the ring in one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Words([AtomicU64; WORDS]);
const WORDS: usize = 8;

impl Seen {
    fn new(size: u32) -> Self {
        let size = size.clamp(MIN_WINDOW, MAX_WINDOW).next_multiple_of(64);
        let words = (size.next_power_of_two() / 64) as usize;
        let line = || Words(std::array::from_fn(|_| AtomicU64::new(0)));
        let ring = (0..words.div_ceil(WORDS)).map(|_| line()).collect();
        Self { size: size.into(), highest: AtomicU64::new(0), words, ring }
    }

    /// Highest number committed, 0 before the first.
    pub(super) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }

    /// Not too old and not seen. Numbers start at 1, so 0 lies left of every window.
    pub(super) fn check(&self, seq: u64) -> Result<(), Drop> {
        let highest = self.highest.load(Ordering::Acquire);
        if seq > highest {
            Ok(())
        } else if seq == 0 || highest - seq >= self.size {
            Err(Drop::TooOld)
        } else if self.word(seq).load(Ordering::Relaxed) & bit(seq) != 0 {
            Err(Drop::Replayed)
        } else {
            Ok(())
        }
    }

    /// The 64-bit number of which only the low half travels: the one that is not left of the window and less than 2^32 numbers right of
    /// its lower bound (RFC 4303 appendix A2.2, both cases). `TooOld` where that would be a number before 0 or behind 2^64-1.
    pub(super) fn extend(&self, low: u32) -> Result<u64, Drop> {
        let bottom = i128::from(self.highest.load(Ordering::Relaxed)) - i128::from(self.size - 1);
        let seq = bottom + i128::from(low.wrapping_sub(bottom as u32));
        u64::try_from(seq).map_err(|_| Drop::TooOld)
    }

    /// Marks a number that was checked; the caller is the one writer. True if it is the highest so far.
    fn mark(&self, seq: u64) -> bool {
        let highest = self.highest.load(Ordering::Relaxed);
        if seq > highest {
            self.forget(highest + 1, seq);
        }
        let word = self.word(seq);
        word.store(word.load(Ordering::Relaxed) | bit(seq), Ordering::Relaxed);
        if seq > highest {
            self.highest.store(seq, Ordering::Release);
        }
        seq > highest
    }

    /// Clears the bits of `first..=last`.
    fn forget(&self, first: u64, last: u64) {
        if last - first >= self.words as u64 * 64 {
            self.ring.iter().flat_map(|line| &line.0).for_each(|word| word.store(0, Ordering::Relaxed));
            return;
        }
        let mut from = first;
        loop {
            let to = last.min(from | 63);
            let bits = (u64::MAX << (from % 64)) & (u64::MAX >> (63 - to % 64));
            let word = self.word(from);
            word.store(word.load(Ordering::Relaxed) & !bits, Ordering::Relaxed);
            if to == last {
                return;
            }
            from = to + 1;
        }
    }

    fn word(&self, seq: u64) -> &AtomicU64 {
        let word = (seq / 64) as usize & (self.words - 1);
        &self.ring[word / WORDS].0[word % WORDS]
    }
}

fn bit(seq: u64) -> u64 {
    1 << (seq % 64)
}
