//! Integrity algorithms (RFC 2404, RFC 4868).
use super::hmac::Hash;
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
    /// Strongest first.
    pub const ALL: [Self; 4] = [Self::HmacSha512_256, Self::HmacSha384_192, Self::HmacSha256_128, Self::HmacSha1_96];

    /// From its number.
    pub fn from_id(id: IntegId) -> Option<Self> {
        Self::ALL.into_iter().find(|integ| integ.id() == id)
    }
    /// Its number.
    pub fn id(self) -> IntegId {
        match self {
            Self::HmacSha1_96 => IntegId::HMAC_SHA1_96,
            Self::HmacSha256_128 => IntegId::HMAC_SHA2_256_128,
            Self::HmacSha384_192 => IntegId::HMAC_SHA2_384_192,
            Self::HmacSha512_256 => IntegId::HMAC_SHA2_512_256,
        }
    }
    /// Key length in octets: the hash's output (RFC 4868 section 2.1.1).
    pub fn key_len(self) -> usize {
        self.hash().len()
    }
    /// ICV length in octets: half of the hash's output (RFC 4868 section 2.1), 12 with SHA-1 (RFC 2404 section 2).
    pub fn icv_len(self) -> usize {
        match self {
            Self::HmacSha1_96 => 12,
            _ => self.hash().len() / 2,
        }
    }
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::HmacSha1_96 => Hash::Sha1,
            Self::HmacSha256_128 => Hash::Sha256,
            Self::HmacSha384_192 => Hash::Sha384,
            Self::HmacSha512_256 => Hash::Sha512,
        }
    }
}
