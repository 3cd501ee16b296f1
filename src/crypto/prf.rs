//! Pseudorandom functions and prf+ (RFC 7296 sections 2.13 and 2.14).
use super::aes_mac;
use super::mac::{Algorithm, MAX_LEN, MacKey};
use super::secret::Secret;
use crate::wire::registry::PrfId;
use std::cmp::Ordering;
use zeroize::Zeroizing;
/// A PRF that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the transforms")]
pub enum Prf {
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
    AesCmac,
    AesXcbc,
}
impl Prf {
    /// Strongest first.
    pub const ALL: [Self; 6] =
        [Self::HmacSha512, Self::HmacSha384, Self::HmacSha256, Self::AesCmac, Self::AesXcbc, Self::HmacSha1];

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
            Self::AesCmac => PrfId::AES128_CMAC,
            Self::AesXcbc => PrfId::AES128_XCBC,
        }
    }
    /// Preferred key length and output length, in octets.
    #[allow(clippy::len_without_is_empty, reason = "a property of the algorithm")]
    pub fn len(self) -> usize {
        self.algorithm().len()
    }
    /// prf(key, parts concatenated). Any length of key.
    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        let mut out = vec![0; self.len()];
        self.key(key).mac(parts, &mut out);
        Secret::new(out)
    }
    /// AUTH by a pre-shared key: prf(prf(key, "Key Pad for IKEv2"), what is signed) (RFC 7296 section 2.15).
    pub fn by_shared_key(self, key: &Secret, signed: &[u8]) -> Secret {
        let key = self.mac(key.expose(), &[b"Key Pad for IKEv2"]);
        self.mac(key.expose(), &[signed])
    }
    /// prf+(key, seed), `len` octets; at most 255 blocks (RFC 7296 section 2.13): more panics.
    pub fn plus(self, key: &[u8], seed: &[&[u8]], len: usize) -> Secret {
        assert!(len <= 255 * self.len(), "prf+ of {len} octets");
        let key = self.key(key);
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
    /// SKEYSEED = prf(Ni | Nr, g^ir) of a first IKE SA. Of the nonces the two AES PRFs take the first 8 octets each, because their
    /// key counts as one of fixed length here (RFC 7296 section 2.14, RFC 4434 and RFC 4615 section 1).
    pub fn skeyseed(self, ni: &[u8], nr: &[u8], g_ir: &Secret) -> Secret {
        let half = match self {
            Self::AesCmac | Self::AesXcbc => aes_mac::LEN / 2,
            _ => usize::MAX,
        };
        let first = |nonce: &[u8]| nonce[..nonce.len().min(half)].to_vec();
        let key = Secret::new([first(ni), first(nr)].concat());
        self.mac(key.expose(), &[g_ir.expose()])
    }
    /// Where AES takes 16 octets only, other lengths become 16: with CMAC by a CMAC under the zero key (RFC 4615 section 3), with XCBC
    /// by zeros behind a shorter and a MAC under the zero key of a longer one (RFC 4434 section 2).
    fn key(self, key: &[u8]) -> MacKey {
        let algorithm = self.algorithm();
        let mut fixed = Zeroizing::new([0; aes_mac::LEN]);
        match (self, key.len().cmp(&aes_mac::LEN)) {
            (Self::AesXcbc, Ordering::Less) => fixed[..key.len()].copy_from_slice(key),
            (Self::AesXcbc | Self::AesCmac, Ordering::Less | Ordering::Greater) => {
                MacKey::new(algorithm, &*fixed).mac(&[key], &mut *fixed);
            }
            _ => return MacKey::new(algorithm, key),
        }
        MacKey::new(algorithm, &*fixed)
    }
    fn algorithm(self) -> Algorithm {
        match self {
            Self::HmacSha1 => Algorithm::HmacSha1,
            Self::HmacSha256 => Algorithm::HmacSha256,
            Self::HmacSha384 => Algorithm::HmacSha384,
            Self::HmacSha512 => Algorithm::HmacSha512,
            Self::AesCmac => Algorithm::AesCmac,
            Self::AesXcbc => Algorithm::AesXcbc,
        }
    }
}
