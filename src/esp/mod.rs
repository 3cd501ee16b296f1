//! ESP on one packet or one batch: no threads, sockets or tables (RFC 4303, 4106, 7634, 3602, 6479, 6040).
pub mod drop;
pub mod frozen;
pub mod inbound;
pub mod layout;
pub mod line;
pub mod outbound;
pub mod replay;
mod sequence;
#[cfg(test)]
mod tests;
pub mod tos;

use crate::crypto::cipher::Body;
pub use crate::crypto::cipher::Cipher;
use crate::crypto::secret::Secret;

/// The atomics of `replay` and `sequence`; `tests::loom` compiles the same files with loom's.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

/// What one direction of a child needs to exist.
#[derive(Clone, Debug)]
pub struct SaParams {
    /// SPI on the wire.
    pub spi: u32,
    /// Suite.
    pub cipher: Cipher,
    /// Encryption key, an AEAD's salt at its end.
    pub encr: Secret,
    /// Integrity key, empty for an AEAD.
    pub integ: Secret,
    /// Extended sequence numbers.
    pub esn: bool,
}

/// What the ICV covers besides IV and ciphertext. With extended sequence numbers the high 32 bits, which do not travel, stand between
/// SPI and low bits for an AEAD (RFC 4106 section 5), and behind the ciphertext for a separate MAC (RFC 4303 section 2.2.1).
#[derive(Clone, Copy, Default)]
struct Covered {
    front: [u8; 12],
    front_len: usize,
    behind: [u8; 4],
    behind_len: usize,
}

impl Covered {
    fn new(spi: u32, seq: u64, esn: bool, aead: bool) -> Self {
        let mut front = [0; 12];
        front[..4].copy_from_slice(&spi.to_be_bytes());
        let high = ((seq >> 32) as u32).to_be_bytes();
        let low = (seq as u32).to_be_bytes();
        let front_len = if esn && aead {
            front[4..8].copy_from_slice(&high);
            front[8..].copy_from_slice(&low);
            12
        } else {
            front[4..8].copy_from_slice(&low);
            8
        };
        Self { front, front_len, behind: high, behind_len: if esn && !aead { 4 } else { 0 } }
    }

    fn front(&self) -> &[u8] {
        &self.front[..self.front_len]
    }

    fn behind(&self) -> &[u8] {
        &self.behind[..self.behind_len]
    }

    /// The rest of the packet with what is covered beside it.
    fn body<'p>(&'p self, counter: u64, buf: &'p mut [u8]) -> Body<'p> {
        Body { counter, aad: self.front(), buf, tail: self.behind() }
    }
}
