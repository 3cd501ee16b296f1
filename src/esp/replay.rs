//! The sliding window of sequence numbers (RFC 4303 section 3.4.3, RFC 6479), 64 to 65,536 wide.
use super::drop::Drop;
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
pub struct Window;
impl Window {
    /// `size` is rounded up to a multiple of 64.
    pub fn new(size: u32) -> Self {
        let _ = size;
        todo!()
    }
    /// Commits a number that is proven: `Replayed` or `TooOld`, else it is marked. True if it is the highest so far.
    pub fn commit(&mut self, proof: &Authentic) -> Result<bool, Drop> {
        let _ = proof;
        todo!()
    }
    /// A cheap look without marking.
    pub fn check(&self, seq: u64) -> Result<(), Drop> {
        let _ = seq;
        todo!()
    }
    /// Highest number committed.
    pub fn highest(&self) -> u64 {
        todo!()
    }
}
