//! Integrity algorithms (RFC 2404, RFC 4868).
use crate::wire::registry::IntegId;
/// An integrity algorithm that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the transforms")]
pub enum Integ {
    HmacSha1_96,
    HmacSha256_128,
    HmacSha384_192,
    HmacSha512_256,
}
impl Integ {
    /// From its number.
    pub fn from_id(id: IntegId) -> Option<Self> {
        let _ = id;
        todo!()
    }
    /// Its number.
    pub fn id(self) -> IntegId {
        todo!()
    }
    /// Key length in octets.
    pub fn key_len(self) -> usize {
        todo!()
    }
    /// ICV length in octets.
    pub fn icv_len(self) -> usize {
        todo!()
    }
}
