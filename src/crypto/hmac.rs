//! HMAC (RFC 2104) with its key expanded once, over the four hashes that PRFs and integrity algorithms share.
use ::hmac::{Hmac, KeyInit, Mac};
use ring::hmac as sha2;
use sha1::Sha1;

/// The hash underneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}
impl Hash {
    /// Octets of output.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}
/// The longest output.
pub(super) const MAX_LEN: usize = Hash::Sha512.len();

/// Inner and outer state after the padded key: a MAC costs no further key setup.
pub(super) enum HmacKey {
    /// ring has SHA-1 for legacy use only, and slower than the processor's own instructions.
    Sha1(Hmac<Sha1>),
    Sha2(sha2::Key),
}
impl HmacKey {
    /// Any length of key.
    pub(super) fn new(hash: Hash, key: &[u8]) -> Self {
        let algorithm = match hash {
            Hash::Sha1 => return Self::Sha1(Hmac::new_from_slice(key).expect("HMAC takes any key")),
            Hash::Sha256 => sha2::HMAC_SHA256,
            Hash::Sha384 => sha2::HMAC_SHA384,
            Hash::Sha512 => sha2::HMAC_SHA512,
        };
        Self::Sha2(sha2::Key::new(algorithm, key))
    }

    /// The MAC of the parts, one behind the other; a shorter `out` takes its leftmost octets. `out` is at most the
    /// hash's length.
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
