//! The two shapes of packet protection, AEAD and CBC with HMAC, as one value; for ESP and for IKE's SK.
use super::integ::Integ;
use crate::wire::registry::EncrId;

/// What protects a packet: an encryption transform with its key length and, unless it is an AEAD, an integrity transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the transforms")]
pub enum Cipher {
    AesGcm128,
    AesGcm192,
    AesGcm256,
    ChaCha20Poly1305,
    AesCbc { key_bits: u16, integ: Integ },
}
impl Cipher {
    /// `key_bits` as in the transform's attribute; `None` if we have no such combination.
    pub fn new(encr: EncrId, key_bits: Option<u16>, integ: Option<Integ>) -> Option<Self> {
        let _ = (encr, key_bits, integ);
        todo!()
    }
    /// One algorithm for both jobs.
    pub fn is_aead(self) -> bool {
        todo!()
    }
    /// Octets of encryption key in the key material, an AEAD's salt of 4 included.
    pub fn encr_key_len(self) -> usize {
        todo!()
    }
    /// Octets of integrity key, 0 for an AEAD.
    pub fn integ_key_len(self) -> usize {
        todo!()
    }
    /// IV octets that travel: 8 for an AEAD, 16 for CBC.
    pub fn iv_len(self) -> usize {
        todo!()
    }
    /// ICV octets that travel.
    pub fn icv_len(self) -> usize {
        todo!()
    }
    /// What a plaintext with its trailer must be a multiple of in ESP: 4 or 16.
    pub fn block(self) -> usize {
        todo!()
    }
}
/// The ICV is wrong. Nothing of the buffer may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong ICV")]
pub struct BadIcv;

/// An expanded key for one direction. No `Debug` of the key, wiped when dropped as far as the libraries do.
pub struct PacketKey {
    cipher: Cipher,
}
impl std::fmt::Debug for PacketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PacketKey({:?})", self.cipher)
    }
}
impl PacketKey {
    /// `encr` with the salt at its end (RFC 4106 section 8.1); `iv_key`: random, makes CBC's IVs unpredictable (AES_k(counter)); unused by AEADs and by keys that only open.
    /// Panics if a length is not the cipher's: callers cut key material by the cipher's own lengths.
    pub fn new(cipher: Cipher, encr: &[u8], integ: &[u8], iv_key: [u8; 16]) -> Self {
        let _ = (cipher, encr, integ, iv_key);
        todo!()
    }
    /// The cipher.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }
    /// Seals in place. `buf` = room for the IV, plaintext (already padded), room for the ICV. `counter` never repeats for one key: the AEAD's IV, or what CBC's IV is made of.
    /// `aad`: authenticated in front of the IV. `tail`: authenticated behind the ciphertext but not sent (CBC with HMAC and ESN: the high 32 bits, RFC 4303 section 2.2.1; empty for an AEAD).
    pub fn seal(&self, counter: u64, aad: &[u8], buf: &mut [u8], tail: &[u8]) {
        let _ = (counter, aad, buf, tail);
        todo!()
    }
    /// Opens `buf` = IV, ciphertext, ICV in place and returns the range of `buf` that holds the plaintext. Too short, or no multiple of the block: `BadIcv`.
    /// A MAC is compared in constant time, and before anything is decrypted.
    pub fn open(&self, aad: &[u8], buf: &mut [u8], tail: &[u8]) -> Result<std::ops::Range<usize>, BadIcv> {
        let _ = (aad, buf, tail);
        todo!()
    }
}
