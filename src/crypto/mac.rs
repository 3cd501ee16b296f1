//! Keyed MACs with their keys expanded once: HMAC (RFC 2104) over four hashes, and AES in CMAC or XCBC; what PRFs and integrity
//! algorithms share.
use super::aes_mac::{self, AesMac};
use hmac::{Hmac, KeyInit, Mac};
use ring::hmac as sha2;
use sha1::Sha1;

/// The MAC underneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
    AesCmac,
    AesXcbc,
}
impl Algorithm {
    /// Octets of output.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
            Self::AesCmac | Self::AesXcbc => aes_mac::LEN,
        }
    }
}
/// The longest output.
pub(super) const MAX_LEN: usize = Algorithm::HmacSha512.len();

/// An expanded key: a MAC costs no further key setup.
pub(super) enum MacKey {
    /// ring has SHA-1 for legacy use only, and slower than the processor's own instructions.
    Sha1(Hmac<Sha1>),
    Sha2(sha2::Key),
    Aes(AesMac),
}
impl MacKey {
    /// HMAC takes any length of key. Panics if a key for AES has not 16 octets.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Self {
        let aes = || key.try_into().expect("a key of 16 octets");
        let hash = match algorithm {
            Algorithm::HmacSha1 => return Self::Sha1(Hmac::new_from_slice(key).expect("HMAC takes any key")),
            Algorithm::HmacSha256 => sha2::HMAC_SHA256,
            Algorithm::HmacSha384 => sha2::HMAC_SHA384,
            Algorithm::HmacSha512 => sha2::HMAC_SHA512,
            Algorithm::AesCmac => return Self::Aes(AesMac::cmac(aes())),
            Algorithm::AesXcbc => return Self::Aes(AesMac::xcbc(aes())),
        };
        Self::Sha2(sha2::Key::new(hash, key))
    }

    /// The MAC of the parts, one behind the other; a shorter `out` takes its leftmost octets. `out` is at most the
    /// algorithm's length.
    pub(super) fn mac(&self, parts: &[&[u8]], out: &mut [u8]) {
        let len = out.len();
        match self {
            Self::Sha1(key) => {
                let mut state = key.clone();
                parts.iter().for_each(|part| state.update(part));
                out.copy_from_slice(&state.finalize().into_bytes()[..len]);
            }
            Self::Sha2(key) => {
                let mut state = sha2::Context::with_key(key);
                parts.iter().for_each(|part| state.update(part));
                out.copy_from_slice(&state.sign().as_ref()[..len]);
            }
            Self::Aes(key) => key.mac(parts, out),
        }
    }

    /// True if `icv` is the MAC's beginning; takes the same time wherever it differs.
    pub(super) fn verify(&self, parts: &[&[u8]], icv: &[u8]) -> bool {
        let mut ours = [0; MAX_LEN];
        let ours = &mut ours[..icv.len()];
        self.mac(parts, ours);
        super::constant_time_eq(ours, icv)
    }
}
