//! Key exchange: the private value is given as octets (design: handover, known answers).
use super::rng::Rng;
use super::secret::Secret;
use crate::wire::registry::KeId;
/// A group that we have: 31, 19, 20, 14, 15, 16, and 2 and 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(KeId);
/// A peer's public value that must not be used (RFC 6989, RFC 8031 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid public value: {0}")]
pub struct BadPublic(pub &'static str);
impl Group {
    /// From its number.
    pub fn from_id(id: KeId) -> Option<Self> {
        let _ = id;
        todo!()
    }
    /// Its number.
    pub fn id(self) -> KeId {
        self.0
    }
    /// Octets of a public value on the wire.
    pub fn public_len(self) -> usize {
        todo!()
    }
    /// A private value in range from fresh randomness.
    pub fn private(self, rng: &mut dyn Rng) -> Secret {
        let _ = rng;
        todo!()
    }
    /// Our public value, full length, leading zeros kept.
    pub fn public(self, private: &Secret) -> Vec<u8> {
        let _ = private;
        todo!()
    }
    /// Length and range of a peer's value, cheaply (1 < y < p-1; on the curve): before any expensive step.
    pub fn check(self, public: &[u8]) -> Result<(), BadPublic> {
        let _ = public;
        todo!()
    }
    /// g^ir, full length, leading zeros kept (RFC 7296 section 2.14; x coordinate for ECP). The check is repeated here.
    pub fn agree(self, private: &Secret, public: &[u8]) -> Result<Secret, BadPublic> {
        let _ = (private, public);
        todo!()
    }
}
