//! The transforms; the only importer of crypto crates.
pub mod aead;
pub mod cbc;
pub mod cipher;
pub mod digest;
pub mod integ;
pub mod ke;
pub mod prf;
pub mod rng;
pub mod secret;
/// Compares without telling where the difference is.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    let _ = (a, b);
    todo!()
}
