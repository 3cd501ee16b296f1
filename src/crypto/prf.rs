//! Pseudorandom functions and prf+ (RFC 7296 sections 2.13 and 2.14).
use super::hmac::{Hash, HmacKey, MAX_LEN};
use super::secret::Secret;
use crate::wire::registry::PrfId;
use zeroize::Zeroizing;
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
    /// Strongest first.
    pub const ALL: [Self; 4] = [Self::HmacSha512, Self::HmacSha384, Self::HmacSha256, Self::HmacSha1];

    /// From its number.
    pub fn from_id(id: PrfId) -> Option<Self> {
        Self::ALL.into_iter().find(|prf| prf.id() == id)
    }
    /// Its number.
    pub fn id(self) -> PrfId {
        match self {
            Self::HmacSha1 => PrfId::HMAC_SHA1,
            Self::HmacSha256 => PrfId::HMAC_SHA2_256,
            Self::HmacSha384 => PrfId::HMAC_SHA2_384,
            Self::HmacSha512 => PrfId::HMAC_SHA2_512,
        }
    }
    /// Preferred key length and output length, in octets.
    #[allow(clippy::len_without_is_empty, reason = "a property of the algorithm")]
    pub fn len(self) -> usize {
        self.hash().len()
    }
    /// prf(key, parts concatenated).
    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        let mut out = vec![0; self.len()];
        HmacKey::new(self.hash(), key).mac(parts, &mut out);
        Secret::new(out)
    }
    /// prf+(key, seed), `len` octets; at most 255 blocks (RFC 7296 section 2.13): more panics.
    pub fn plus(self, key: &[u8], seed: &[&[u8]], len: usize) -> Secret {
        assert!(len <= 255 * self.len(), "prf+ of {len} octets");
        let key = HmacKey::new(self.hash(), key);
        let mut previous = Zeroizing::new([0; MAX_LEN]);
        let mut out = vec![0; len];
        for (number, block) in (1u8..).zip(out.chunks_mut(self.len())) {
            let chained = if number == 1 { &[][..] } else { &previous[..self.len()] };
            let number = [number];
            let parts: Vec<&[u8]> = [chained].into_iter().chain(seed.iter().copied()).chain([&number[..]]).collect();
            let mut next = Zeroizing::new([0; MAX_LEN]);
            key.mac(&parts, &mut next[..self.len()]);
            block.copy_from_slice(&next[..block.len()]);
            previous = next;
        }
        Secret::new(out)
    }
    fn hash(self) -> Hash {
        match self {
            Self::HmacSha1 => Hash::Sha1,
            Self::HmacSha256 => Hash::Sha256,
            Self::HmacSha384 => Hash::Sha384,
            Self::HmacSha512 => Hash::Sha512,
        }
    }
}
