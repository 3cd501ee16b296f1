//! Keyed MACs with their keys expanded once: HMAC (RFC 2104) over four hashes, and AES in CMAC or XCBC; what PRFs and integrity
//! algorithms share.
use super::aes_mac::{self, AesMac};
use hmac::{Hmac, KeyInit, Mac};
use ring::hmac as sha2;
use sha1::Sha1;
use std::array::from_fn;

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
        let [mac] = self.macs([parts]);
        out.copy_from_slice(&mac[..out.len()]);
    }

    /// The MACs of several messages, each of them parts one behind the other. Zeros follow a MAC that is shorter.
    pub(super) fn macs<const N: usize>(&self, messages: [&[&[u8]]; N]) -> [[u8; MAX_LEN]; N] {
        let mut out = [[0; MAX_LEN]; N];
        match self {
            Self::Sha1(key) => {
                for (parts, out) in messages.iter().zip(&mut out) {
                    let mut state = key.clone();
                    parts.iter().for_each(|part| state.update(part));
                    let mac = state.finalize().into_bytes();
                    out[..mac.len()].copy_from_slice(&mac);
                }
            }
            Self::Sha2(key) => {
                let mut states = from_fn(|_| sha2::Context::with_key(key));
                update(&mut states, messages, key.algorithm().digest_algorithm().block_len());
                for (state, out) in states.into_iter().zip(&mut out) {
                    let mac = state.sign();
                    out[..mac.as_ref().len()].copy_from_slice(mac.as_ref());
                }
            }
            Self::Aes(key) => {
                for (parts, out) in messages.iter().zip(&mut out) {
                    key.mac(parts, &mut out[..aes_mac::LEN]);
                }
            }
        }
        out
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

/// Feeds each message to its hash. Of several all advance by turns, a block each: every step of a hash waits for the one before it, and
/// meanwhile the processor begins with the next message's if that is near enough in the program.
fn update<const N: usize>(states: &mut [sha2::Context; N], messages: [&[&[u8]]; N], block: usize) {
    if let ([state], [parts]) = (&mut states[..], &messages[..]) {
        return parts.iter().for_each(|part| state.update(part));
    }
    let mut messages = messages.map(|parts| Blocks { parts, rest: &[], missing: block, block });
    let mut more = true;
    while std::mem::take(&mut more) {
        for (state, message) in states.iter_mut().zip(&mut messages) {
            if let Some(octets) = message.next() {
                state.update(octets);
                more = true;
            }
        }
    }
}

/// A message in pieces of which none reaches beyond the end of a block.
struct Blocks<'m> {
    parts: &'m [&'m [u8]],
    rest: &'m [u8],
    /// Octets to the end of the block.
    missing: usize,
    block: usize,
}

impl<'m> Iterator for Blocks<'m> {
    type Item = &'m [u8];

    fn next(&mut self) -> Option<&'m [u8]> {
        while self.rest.is_empty() {
            self.rest = self.parts.split_off_first()?;
        }
        let octets = self.rest.split_off(..self.rest.len().min(self.missing))?;
        self.missing -= octets.len();
        if self.missing == 0 {
            self.missing = self.block;
        }
        Some(octets)
    }
}
