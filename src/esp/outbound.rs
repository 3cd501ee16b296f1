//! From the inner packet to the wire: reserve, seal.
use super::SaParams;
use std::ops::Range;
/// The sending half of a child. Shared by workers.
#[derive(Debug)]
pub struct OutboundSa {
    params: SaParams,
}
/// The sequence numbers are used up: rekey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequence numbers exhausted")]
pub struct Exhausted;
impl OutboundSa {
    /// `iv_key` as in `PacketKey::new`.
    pub fn new(params: &SaParams, iv_key: [u8; 16]) -> Self {
        let _ = (params, iv_key);
        todo!()
    }
    /// Takes the next `n` sequence numbers (the first is 1). All or none; never given back.
    pub fn reserve(&self, n: u32) -> Result<Range<u64>, Exhausted> {
        let _ = n;
        todo!()
    }
    /// Octets in front of the inner packet: ESP header and IV.
    pub fn head(&self) -> usize {
        todo!()
    }
    /// Octets of the whole ESP packet for an inner packet of `inner` octets.
    pub fn sealed_len(&self, inner: usize) -> usize {
        let _ = inner;
        todo!()
    }
    /// Seals in place: `packet` is `sealed_len(inner)` octets with the inner packet at `head()`. Writes header, IV, trailer and ICV.
    pub fn seal(&self, seq: u64, packet: &mut [u8], inner: usize, next_header: u8) {
        let _ = (seq, packet, inner, next_header);
        todo!()
    }
    /// SPI.
    pub fn spi(&self) -> u32 {
        self.params.spi
    }
}
