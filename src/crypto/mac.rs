//! Keyed MACs with their keys expanded once: HMAC (RFC 2104) over four hashes, and AES in CMAC or XCBC; what PRFs and integrity
//! algorithms share.
use super::aes_mac::{self, AesMac};
use super::hmac::{self, Hmac};
use super::sha::{Sha1, Sha256, Sha384, Sha512};

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

/// As many messages as a MAC gains from being handed together.
pub(super) const WAYS: usize = hmac::WAYS;

/// An expanded key: a MAC costs no further key setup. Wiped when dropped.
pub(super) enum MacKey {
    Sha1(Hmac<Sha1, 64>),
    Sha256(Hmac<Sha256, 64>),
    Sha384(Hmac<Sha384, 128>),
    Sha512(Hmac<Sha512, 128>),
    Aes(AesMac),
}
impl MacKey {
    /// HMAC takes any length of key. Panics if a key for AES has not 16 octets.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Self {
        let aes = || key.try_into().expect("a key of 16 octets");
        match algorithm {
            Algorithm::HmacSha1 => Self::Sha1(Hmac::new(key)),
            Algorithm::HmacSha256 => Self::Sha256(Hmac::new(key)),
            Algorithm::HmacSha384 => Self::Sha384(Hmac::new(key)),
            Algorithm::HmacSha512 => Self::Sha512(Hmac::new(key)),
            Algorithm::AesCmac => Self::Aes(AesMac::cmac(aes())),
            Algorithm::AesXcbc => Self::Aes(AesMac::xcbc(aes())),
        }
    }

    /// The MAC of the parts, one behind the other; a shorter `out` takes its leftmost octets. `out` is at most the
    /// algorithm's length. It may become a key: nothing of it is left elsewhere.
    pub(super) fn mac(&self, parts: &[&[u8]], out: &mut [u8]) {
        match self {
            Self::Sha1(key) => key.mac(parts, out),
            Self::Sha256(key) => key.mac(parts, out),
            Self::Sha384(key) => key.mac(parts, out),
            Self::Sha512(key) => key.mac(parts, out),
            Self::Aes(key) => key.mac(parts, out),
        }
    }

    /// The MACs of at most [`WAYS`] messages, each of them parts one behind the other, for packets: they are no secrets. Of a MAC that
    /// is shorter than its place `out` keeps what follows.
    pub(super) fn macs<const PARTS: usize>(&self, messages: &[[&[u8]; PARTS]], out: &mut [[u8; MAX_LEN]]) {
        match self {
            Self::Sha1(key) => key.macs(messages, out),
            Self::Sha256(key) => key.macs(messages, out),
            Self::Sha384(key) => key.macs(messages, out),
            Self::Sha512(key) => key.macs(messages, out),
            Self::Aes(key) => {
                for (parts, out) in messages.iter().zip(out) {
                    key.mac(parts, &mut out[..aes_mac::LEN]);
                }
            }
        }
    }

    /// True if `icv` is the MAC's beginning.
    #[cfg(test)]
    pub(super) fn verify(&self, parts: &[&[u8]], icv: &[u8]) -> bool {
        let mut ours = [0; MAX_LEN];
        let ours = &mut ours[..icv.len()];
        self.mac(parts, ours);
        super::constant_time_eq(ours, icv)
    }
}
