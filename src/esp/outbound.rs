//! From the inner packet to the wire: reserve, seal.
use super::layout::Layout;
use super::line::CACHE_LINE;
use super::sequence::Sequence;
use super::{Covered, SaParams};
use crate::crypto::cipher::{Body, FEW, PacketKey, SEALED_TOGETHER};
use crate::wire::esp;
use std::array::from_fn;
use std::ops::Range;

/// The sending half of a child. Shared by workers.
#[derive(Debug)]
pub struct OutboundSa {
    params: SaParams,
    key: PacketKey,
    layout: Layout,
    aead: bool,
    sequence: Sequence,
}

const _: () = assert!(align_of::<Sequence>() >= CACHE_LINE && size_of::<Sequence>() == CACHE_LINE);

/// The sequence numbers are used up: rekey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequence numbers exhausted")]
pub struct Exhausted;

impl OutboundSa {
    /// A fresh SA whose first number is 1. `iv_key` as in `PacketKey::new`.
    pub fn new(params: &SaParams, iv_key: [u8; 16]) -> Self {
        Self::resume(params, iv_key, 1)
    }

    /// An SA whose key was in use before: `first` must be above every number that was ever sealed with it.
    pub fn resume(params: &SaParams, iv_key: [u8; 16], first: u64) -> Self {
        Self {
            key: PacketKey::new(params.cipher, params.encr.expose(), params.integ.expose(), iv_key),
            layout: Layout::of(params.cipher),
            aead: params.cipher.is_aead(),
            sequence: Sequence::new(params.esn, first),
            params: params.clone(),
        }
    }

    /// Takes the next `n` sequence numbers (the first is 1). All or none; never given back.
    /// The last one is 2^32-1, with extended sequence numbers 2^64-2.
    pub fn reserve(&self, n: u32) -> Result<Range<u64>, Exhausted> {
        self.sequence.take(n).ok_or(Exhausted)
    }

    /// Nothing is sealed with it any more, by any thread that has not reserved by now: somebody else goes on with the key. What would have been
    /// the next number.
    pub fn shut(&self) -> u64 {
        self.sequence.shut()
    }

    /// Octets in front of the inner packet: ESP header and IV.
    pub fn head(&self) -> usize {
        self.layout.head()
    }

    /// Octets of the whole ESP packet for an inner packet of `inner` octets.
    pub fn sealed_len(&self, inner: usize) -> usize {
        self.layout.sealed_len(inner)
    }

    /// Seals in place: `packet` is `sealed_len(inner)` octets with the inner packet at `head()`. Writes header, IV, trailer and ICV.
    /// `seq` comes from `reserve`, each for one packet: sealing two with one number breaks the cipher.
    pub fn seal(&self, seq: u64, packet: &mut [u8], inner: usize, next_header: u8) {
        self.seal_with(seq, seq, packet, inner, next_header);
    }

    /// Seals packets as `seal` does, under the numbers from `first` on; each comes with the octets of its inner packet. An AEAD takes
    /// them one by one, so each is sealed before the next is asked for; CBC seals several side by side.
    pub fn seal_run<'p>(
        &self,
        first: u64,
        packets: impl ExactSizeIterator<Item = (&'p mut [u8], usize)>,
        next_header: u8,
    ) {
        let count = packets.len();
        let mut packets = (first..).zip(packets).map(|(seq, (packet, inner))| (seq, packet, inner));
        if self.aead || count == 1 {
            return packets.for_each(|(seq, packet, inner)| self.seal(seq, packet, inner, next_header));
        }
        if count <= FEW {
            self.seal_batch::<FEW>(&mut packets, next_header);
        } else {
            while self.seal_batch::<SEALED_TOGETHER>(&mut packets, next_header) == SEALED_TOGETHER {}
        }
    }

    /// Seals at most `BATCH` of the packets together; how many.
    fn seal_batch<'p, const BATCH: usize>(
        &self,
        packets: &mut impl Iterator<Item = (u64, &'p mut [u8], usize)>,
        next_header: u8,
    ) -> usize {
        let mut covered = [Covered::default(); BATCH];
        let mut count = 0;
        let packets: [(u64, &mut [u8]); BATCH] = from_fn(|i| {
            let Some((seq, packet, inner)) = packets.next() else { return (0, &mut [][..]) };
            covered[i] = self.frame(seq, packet, inner, next_header);
            count += 1;
            (seq, &mut packet[esp::HEADER_LEN..])
        });
        let mut packets = packets.into_iter().zip(&covered);
        let mut bodies: [Body<'_>; BATCH] = from_fn(|_| {
            packets.next().map(|((counter, text), covered)| covered.body(counter, text)).unwrap_or_default()
        });
        self.key.seal_many(&mut bodies[..count]);
        count
    }

    /// `counter` is what the IV is made of: the sequence number, but in published vectors.
    pub(super) fn seal_with(&self, counter: u64, seq: u64, packet: &mut [u8], inner: usize, next_header: u8) {
        let covered = self.frame(seq, packet, inner, next_header);
        self.key.seal(counter, covered.front(), &mut packet[esp::HEADER_LEN..], covered.behind());
    }

    /// Header and trailer.
    fn frame(&self, seq: u64, packet: &mut [u8], inner: usize, next_header: u8) -> Covered {
        debug_assert_eq!(packet.len(), self.sealed_len(inner));
        esp::write_header(packet, self.params.spi, seq as u32);
        let text = self.layout.head()..packet.len() - self.layout.icv();
        esp::write_trailer(&mut packet[text], inner, next_header);
        Covered::new(self.params.spi, seq, self.params.esn, self.aead)
    }

    /// SPI.
    pub fn spi(&self) -> u32 {
        self.params.spi
    }

    /// What it was made from.
    pub fn params(&self) -> &SaParams {
        &self.params
    }

    /// The lengths of its suite.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The number that the next packet gets.
    pub fn next(&self) -> u64 {
        self.sequence.next()
    }

    /// How many packets can still be sealed.
    pub fn left(&self) -> u64 {
        self.sequence.left()
    }
}
