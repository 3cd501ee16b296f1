//! Pseudorandom functions and prf+ (RFC 7296 sections 2.13 and 2.14).
use super::secret::Secret;
use crate::wire::registry::PrfId;
/// A PRF that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the transforms")]
pub enum Prf {
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
}
impl Prf {
    /// From its number.
    pub fn from_id(id: PrfId) -> Option<Self> {
        let _ = id;
        todo!()
    }
    /// Its number.
    pub fn id(self) -> PrfId {
        todo!()
    }
    /// Preferred key length and output length, in octets.
    pub fn len(self) -> usize {
        todo!()
    }
    /// prf(key, parts concatenated).
    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        let _ = (key, parts);
        todo!()
    }
    /// prf+(key, seed), `len` octets; at most 255 blocks (RFC 7296 section 2.13).
    pub fn plus(self, key: &[u8], seed: &[&[u8]], len: usize) -> Secret {
        let _ = (key, seed, len);
        todo!()
    }
}
