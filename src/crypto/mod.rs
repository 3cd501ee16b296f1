//! The transforms; the only importer of crypto crates.
//!
//! `cipher` is what a packet meets: one [`cipher::PacketKey`] seals or opens it, by `aead`, by `cbc` (`chains`) with a `mac` (`hmac` over `sha`, or
//! `aes_mac`), or by `aes_aead`.
//! `sign` and `cert` tell who is there, `work` is what of all that takes long.
//! `ke` and `prf` make the keys, `rng` the randomness, and `secret` holds what nobody may read.
mod aead;
mod aes;
mod aes_aead;
mod aes_mac;
mod cbc;
pub mod cert;
mod chains;
pub mod cipher;
pub mod digest;
mod gmac;
mod hmac;
pub mod integ;
pub mod issue;
pub mod ke;
mod mac;
pub mod prf;
pub mod rng;
pub mod secret;
mod sha;
pub mod sign;
#[cfg(test)]
mod tests;
pub mod work;

use subtle::ConstantTimeEq;

/// Compares without telling where the difference is. Lengths are no secret: unequal ones are unequal at once.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
