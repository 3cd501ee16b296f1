//! How many octets ESP adds (RFC 4303 section 2).
use super::Cipher;
use super::drop::Drop;
use crate::wire::esp::{HEADER_LEN, padded_len};

/// Pad length and next header, the least that a trailer has.
const TRAILER_LEN: usize = 2;

/// The lengths of one suite, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    iv: usize,
    icv: usize,
    block: usize,
}

impl Layout {
    /// The lengths of `cipher`.
    pub fn of(cipher: Cipher) -> Self {
        Self { iv: cipher.iv_len(), icv: cipher.icv_len(), block: cipher.block() }
    }

    /// Octets in front of the payload: ESP header and IV.
    pub fn head(self) -> usize {
        HEADER_LEN + self.iv
    }

    /// Octets behind the ciphertext.
    pub fn icv(self) -> usize {
        self.icv
    }

    /// Octets of the whole ESP packet for a payload of `inner` octets.
    pub fn sealed_len(self, inner: usize) -> usize {
        self.head() + padded_len(inner, self.block) + self.icv
    }

    /// The largest payload that fits into an ESP packet of `esp` octets, 0 if none does.
    pub fn largest_inner(self, esp: usize) -> usize {
        let room = esp.saturating_sub(self.head() + self.icv);
        (room - room % self.block).saturating_sub(TRAILER_LEN)
    }

    /// `TooShort` unless `esp` octets can be one ESP packet: at least one block, and whole blocks.
    pub fn check(self, esp: usize) -> Result<(), Drop> {
        let text = esp.checked_sub(self.head() + self.icv).ok_or(Drop::TooShort)?;
        // A block is a power of two.
        if text == 0 || text & (self.block - 1) != 0 { Err(Drop::TooShort) } else { Ok(()) }
    }
}
