//! Integrity algorithms (RFC 2404, RFC 4868, RFC 4494, RFC 3566).
use super::mac::Algorithm;
use crate::wire::registry::IntegId;
/// An integrity algorithm that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the transforms")]
pub enum Integ {
    HmacSha1_96,
    HmacSha256_128,
    HmacSha384_192,
    HmacSha512_256,
    AesCmac96,
    AesXcbc96,
}
impl Integ {
    /// Strongest first.
    pub const ALL: [Self; 6] = [
        Self::HmacSha512_256,
        Self::HmacSha384_192,
        Self::HmacSha256_128,
        Self::AesCmac96,
        Self::AesXcbc96,
        Self::HmacSha1_96,
    ];

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
            Self::AesCmac96 => IntegId::AES_CMAC_96,
            Self::AesXcbc96 => IntegId::AES_XCBC_96,
        }
    }
    /// Key length in octets: the hash's output (RFC 4868 section 2.1.1), or AES's 16.
    pub fn key_len(self) -> usize {
        self.mac().len()
    }
    /// ICV length in octets: half of the hash's output (RFC 4868 section 2.1), 12 with SHA-1 (RFC 2404 section 2) and AES (RFC 4494,
    /// RFC 3566).
    pub fn icv_len(self) -> usize {
        match self {
            Self::HmacSha1_96 | Self::AesCmac96 | Self::AesXcbc96 => 12,
            _ => self.mac().len() / 2,
        }
    }
    pub(super) fn mac(self) -> Algorithm {
        match self {
            Self::HmacSha1_96 => Algorithm::HmacSha1,
            Self::HmacSha256_128 => Algorithm::HmacSha256,
            Self::HmacSha384_192 => Algorithm::HmacSha384,
            Self::HmacSha512_256 => Algorithm::HmacSha512,
            Self::AesCmac96 => Algorithm::AesCmac,
            Self::AesXcbc96 => Algorithm::AesXcbc,
        }
    }
}
