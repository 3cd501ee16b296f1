//! The AEADs that ring does not have: AES-GCM with 192-bit keys or a shorter ICV (RFC 4106), AES-CCM (RFC 4309, 5282) and AES-GMAC
//! (RFC 4543).
use super::aead::{IV_LEN, SALT_LEN};
use super::aes::AesEnc;
use super::cipher::{BadIcv, Cipher};
use super::constant_time_eq;
use super::gmac::GmacKey;
use aes_gcm::AesGcm;
use aes_gcm::aead::array::typenum::Unsigned;
use aes_gcm::aead::consts::{U8, U11, U12, U16};
use aes_gcm::aead::{AeadInOut, Nonce, Tag};
use ccm::Ccm;

/// Salt and IV.
const NONCE_LEN: usize = SALT_LEN + IV_LEN;

/// An expanded key with its salt.
pub(super) struct AesAeadKey {
    mode: Mode,
    /// CCM's has three octets (RFC 4309 section 7.1), which stand at the end.
    salt: [u8; SALT_LEN],
    icv_len: usize,
}
/// By length of the ICV.
enum Mode {
    Gcm8(AesGcm<AesEnc, U12, U8>),
    Gcm12(AesGcm<AesEnc, U12, U12>),
    Gcm16(AesGcm<AesEnc, U12, U16>),
    Ccm8(Ccm<AesEnc, U8, U11>),
    Ccm12(Ccm<AesEnc, U12, U11>),
    Ccm16(Ccm<AesEnc, U16, U11>),
    Gmac(GmacKey),
}

impl AesAeadKey {
    /// `material`: the key, then the salt. Panics if the lengths are not the cipher's, or the cipher is none of these.
    pub(super) fn new(cipher: Cipher, material: &[u8]) -> Self {
        let (key, tail) = material.split_at(material.len() - cipher.salt_len());
        let mut salt = [0; SALT_LEN];
        salt[SALT_LEN - tail.len()..].copy_from_slice(tail);
        let aes = AesEnc::new(key);
        let mode = match (cipher, cipher.icv_len()) {
            (Cipher::AesGcm192, _) => Mode::Gcm16(aes.into()),
            (Cipher::AesGcmShort { .. }, 8) => Mode::Gcm8(aes.into()),
            (Cipher::AesGcmShort { .. }, _) => Mode::Gcm12(aes.into()),
            (Cipher::AesCcm { .. }, 8) => Mode::Ccm8(aes.into()),
            (Cipher::AesCcm { .. }, 12) => Mode::Ccm12(aes.into()),
            (Cipher::AesCcm { .. }, _) => Mode::Ccm16(aes.into()),
            (Cipher::AesGmac { .. }, _) => Mode::Gmac(GmacKey::new(aes)),
            _ => panic!("{cipher:?} is none of these"),
        };
        Self { mode, salt, icv_len: cipher.icv_len() }
    }

    /// Seals `buf` = room for the IV, plaintext, room for the ICV.
    pub(super) fn seal(&self, counter: u64, aad: &[u8], buf: &mut [u8]) {
        let (sent, icv) = buf.split_at_mut(buf.len() - self.icv_len);
        let (iv, text) = sent.split_first_chunk_mut::<IV_LEN>().expect("room for the IV");
        *iv = counter.to_be_bytes();
        let nonce = &self.nonce(*iv);
        match &self.mode {
            Mode::Gcm8(key) => seal(key, nonce, aad, text, icv),
            Mode::Gcm12(key) => seal(key, nonce, aad, text, icv),
            Mode::Gcm16(key) => seal(key, nonce, aad, text, icv),
            Mode::Ccm8(key) => seal(key, nonce, aad, text, icv),
            Mode::Ccm12(key) => seal(key, nonce, aad, text, icv),
            Mode::Ccm16(key) => seal(key, nonce, aad, text, icv),
            Mode::Gmac(key) => icv.copy_from_slice(&key.tag(nonce, &[aad, sent])),
        }
    }

    /// Opens `buf` = IV, ciphertext, ICV.
    pub(super) fn open(&self, aad: &[u8], buf: &mut [u8]) -> Result<(), BadIcv> {
        let (sent, icv) = buf.split_at_mut_checked(buf.len().saturating_sub(self.icv_len)).ok_or(BadIcv)?;
        let (iv, text) = sent.split_first_chunk_mut::<IV_LEN>().ok_or(BadIcv)?;
        let nonce = &self.nonce(*iv);
        match &self.mode {
            Mode::Gcm8(key) => open(key, nonce, aad, text, icv),
            Mode::Gcm12(key) => open(key, nonce, aad, text, icv),
            Mode::Gcm16(key) => open(key, nonce, aad, text, icv),
            Mode::Ccm8(key) => open(key, nonce, aad, text, icv),
            Mode::Ccm12(key) => open(key, nonce, aad, text, icv),
            Mode::Ccm16(key) => open(key, nonce, aad, text, icv),
            Mode::Gmac(key) if constant_time_eq(&key.tag(nonce, &[aad, sent]), icv) => Ok(()),
            Mode::Gmac(_) => Err(BadIcv),
        }
    }

    fn nonce(&self, iv: [u8; IV_LEN]) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[..SALT_LEN].copy_from_slice(&self.salt);
        nonce[SALT_LEN..].copy_from_slice(&iv);
        nonce
    }
}

fn seal<A: AeadInOut>(key: &A, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8], icv: &mut [u8]) {
    // Sealing fails beyond 2^32 octets only.
    let tag = key.encrypt_inout_detached(own::<A>(nonce), aad, text.into()).expect("packet size");
    icv.copy_from_slice(&tag);
}

fn open<A: AeadInOut>(key: &A, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8], icv: &[u8]) -> Result<(), BadIcv> {
    let icv = <&Tag<A>>::try_from(icv).map_err(|_| BadIcv)?;
    key.decrypt_inout_detached(own::<A>(nonce), aad, text.into(), icv).map_err(|_| BadIcv)
}

/// As much of the nonce as the algorithm takes: CCM's has one octet of salt less.
fn own<A: AeadInOut>(nonce: &[u8; NONCE_LEN]) -> &Nonce<A> {
    nonce[NONCE_LEN - A::NonceSize::USIZE..].try_into().expect("the length of this nonce")
}
