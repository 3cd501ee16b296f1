//! The AEADs of the fast path: AES-GCM with a 16-octet ICV (RFC 4106, 5282) and ChaCha20-Poly1305 (RFC 7634), by ring.
//!
//! All of them have a salt of 4 octets at the end of the key material, an IV of 8 that travels, and a nonce of salt and
//! IV.
use super::cipher::BadIcv;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// Octets of IV that travel (RFC 4106 section 3.1, RFC 7634 section 2).
pub(super) const IV_LEN: usize = 8;
/// Octets of ICV.
pub(super) const ICV_LEN: usize = 16;
/// Octets of salt at the end of the key material (RFC 4106 section 8.1, RFC 7634 section 2).
pub(super) const SALT_LEN: usize = 4;

/// The three AEADs.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    Gcm128,
    Gcm256,
    ChaCha20Poly1305,
}

/// An expanded key with its salt.
pub(super) struct AeadKey {
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
}

impl AeadKey {
    /// `material`: the key, then the salt. Panics if the length is not the algorithm's.
    pub(super) fn new(algorithm: Algorithm, material: &[u8]) -> Self {
        let (key, salt) = material.split_last_chunk().expect("a salt");
        let algorithm = match algorithm {
            Algorithm::Gcm128 => &AES_128_GCM,
            Algorithm::Gcm256 => &AES_256_GCM,
            Algorithm::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        Self { key: LessSafeKey::new(UnboundKey::new(algorithm, key).expect("key length")), salt: *salt }
    }

    /// Seals `buf` = room for the IV, plaintext, room for the ICV.
    pub(super) fn seal(&self, counter: u64, aad: &[u8], buf: &mut [u8]) {
        let (iv, rest) = buf.split_first_chunk_mut::<IV_LEN>().expect("room for the IV");
        let (text, icv) = rest.split_last_chunk_mut::<ICV_LEN>().expect("room for the ICV");
        *iv = counter.to_be_bytes();
        // Sealing fails beyond 2^36 octets only.
        let tag = self.key.seal_in_place_separate_tag(self.nonce(*iv), Aad::from(aad), text).expect("packet size");
        icv.copy_from_slice(tag.as_ref());
    }

    /// Opens `buf` = IV, ciphertext, ICV.
    pub(super) fn open(&self, aad: &[u8], buf: &mut [u8]) -> Result<(), BadIcv> {
        let (iv, sealed) = buf.split_first_chunk_mut::<IV_LEN>().ok_or(BadIcv)?;
        self.key.open_in_place(self.nonce(*iv), Aad::from(aad), sealed).map_err(|_| BadIcv)?;
        Ok(())
    }

    fn nonce(&self, iv: [u8; IV_LEN]) -> Nonce {
        let mut nonce = [0; SALT_LEN + IV_LEN];
        nonce[..SALT_LEN].copy_from_slice(&self.salt);
        nonce[SALT_LEN..].copy_from_slice(&iv);
        Nonce::assume_unique_for_key(nonce)
    }
}
