//! The shapes of packet protection, AEAD and CBC with a MAC, as one value; for ESP and for IKE's SK.
use super::aead::{self, AeadKey, Algorithm};
use super::aes;
use super::aes_aead::AesAeadKey;
use super::cbc::CbcKey;
use super::chains;
use super::integ::Integ;
use super::mac::WAYS;
use crate::wire::registry::EncrId;
use std::ops::Range;

/// What protects a packet: an encryption transform with its key length and, unless it is an AEAD, an integrity
/// transform. `key_bits` is 128, 192 or 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the transforms")]
pub enum Cipher {
    AesGcm128,
    AesGcm192,
    AesGcm256,
    ChaCha20Poly1305,
    AesCbc {
        key_bits: u16,
        integ: Integ,
    },
    /// An ICV of 8 or 12 octets.
    AesGcmShort {
        key_bits: u16,
        icv_len: u8,
    },
    /// An ICV of 8, 12 or 16 octets.
    AesCcm {
        key_bits: u16,
        icv_len: u8,
    },
    /// Integrity alone, for ESP alone (RFC 4543).
    AesGmac {
        key_bits: u16,
    },
}
impl Cipher {
    /// `key_bits` as in the transform's attribute; `None` if we have no such combination.
    /// A key length that cannot vary, ChaCha20's, has no attribute (RFC 7296 section 3.3.5), AES needs one (RFC 3602
    /// section 5.3, RFC 4106 section 8.4, RFC 4309 section 7.4, RFC 4543 section 5.3); an AEAD takes no integrity transform, CBC needs one.
    pub fn new(encr: EncrId, key_bits: Option<u16>, integ: Option<Integ>) -> Option<Self> {
        if (encr, key_bits, integ) == (EncrId::CHACHA20_POLY1305, None, None) {
            return Some(Self::ChaCha20Poly1305);
        }
        let key_bits = key_bits.filter(|bits| [128, 192, 256].contains(bits))?;
        match (encr, key_bits, integ) {
            (EncrId::AES_GCM_16, 128, None) => Some(Self::AesGcm128),
            (EncrId::AES_GCM_16, 192, None) => Some(Self::AesGcm192),
            (EncrId::AES_GCM_16, 256, None) => Some(Self::AesGcm256),
            (EncrId::AES_CBC, _, Some(integ)) => Some(Self::AesCbc { key_bits, integ }),
            (EncrId::AES_GCM_8, _, None) => Some(Self::AesGcmShort { key_bits, icv_len: 8 }),
            (EncrId::AES_GCM_12, _, None) => Some(Self::AesGcmShort { key_bits, icv_len: 12 }),
            (EncrId::AES_CCM_8, _, None) => Some(Self::AesCcm { key_bits, icv_len: 8 }),
            (EncrId::AES_CCM_12, _, None) => Some(Self::AesCcm { key_bits, icv_len: 12 }),
            (EncrId::AES_CCM_16, _, None) => Some(Self::AesCcm { key_bits, icv_len: 16 }),
            (EncrId::NULL_AUTH_AES_GMAC, _, None) => Some(Self::AesGmac { key_bits }),
            _ => None,
        }
    }
    /// The encryption transform.
    pub fn encr_id(self) -> EncrId {
        match self {
            Self::AesGcm128 | Self::AesGcm192 | Self::AesGcm256 => EncrId::AES_GCM_16,
            Self::ChaCha20Poly1305 => EncrId::CHACHA20_POLY1305,
            Self::AesCbc { .. } => EncrId::AES_CBC,
            Self::AesGcmShort { icv_len: 8, .. } => EncrId::AES_GCM_8,
            Self::AesGcmShort { .. } => EncrId::AES_GCM_12,
            Self::AesCcm { icv_len: 8, .. } => EncrId::AES_CCM_8,
            Self::AesCcm { icv_len: 12, .. } => EncrId::AES_CCM_12,
            Self::AesCcm { .. } => EncrId::AES_CCM_16,
            Self::AesGmac { .. } => EncrId::NULL_AUTH_AES_GMAC,
        }
    }
    /// The transform's key length attribute, in bits and without salt; `None` for ChaCha20, which has no such
    /// attribute.
    pub fn key_bits(self) -> Option<u16> {
        match self {
            Self::AesGcm128 => Some(128),
            Self::AesGcm192 => Some(192),
            Self::AesGcm256 => Some(256),
            Self::ChaCha20Poly1305 => None,
            Self::AesCbc { key_bits, .. }
            | Self::AesGcmShort { key_bits, .. }
            | Self::AesCcm { key_bits, .. }
            | Self::AesGmac { key_bits } => Some(key_bits),
        }
    }
    /// The integrity transform, `None` for an AEAD.
    pub fn integ(self) -> Option<Integ> {
        match self {
            Self::AesCbc { integ, .. } => Some(integ),
            _ => None,
        }
    }
    /// One algorithm for both jobs.
    pub fn is_aead(self) -> bool {
        self.integ().is_none()
    }
    /// False for GMAC, which IKE cannot use.
    pub fn encrypts(self) -> bool {
        !matches!(self, Self::AesGmac { .. })
    }
    /// Octets of encryption key in the key material, an AEAD's salt included.
    pub fn encr_key_len(self) -> usize {
        usize::from(self.key_bits().unwrap_or(256) / 8) + self.salt_len()
    }
    /// Octets of salt at the end of the key material: 4 for an AEAD, 3 for CCM (RFC 4309 section 7.1), 0 for CBC.
    pub fn salt_len(self) -> usize {
        match self {
            Self::AesCbc { .. } => 0,
            Self::AesCcm { .. } => aead::SALT_LEN - 1,
            _ => aead::SALT_LEN,
        }
    }
    /// Octets of integrity key, 0 for an AEAD.
    pub fn integ_key_len(self) -> usize {
        self.integ().map_or(0, Integ::key_len)
    }
    /// IV octets that travel: 8 for an AEAD, 16 for CBC.
    pub fn iv_len(self) -> usize {
        if self.is_aead() { aead::IV_LEN } else { aes::BLOCK }
    }
    /// ICV octets that travel.
    pub fn icv_len(self) -> usize {
        match self {
            Self::AesCbc { integ, .. } => integ.icv_len(),
            Self::AesGcmShort { icv_len, .. } | Self::AesCcm { icv_len, .. } => icv_len.into(),
            _ => aead::ICV_LEN,
        }
    }
    /// What a plaintext with its trailer must be a multiple of in ESP: 4 or 16.
    pub fn block(self) -> usize {
        if self.is_aead() { 4 } else { aes::BLOCK }
    }
    /// All that we have.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        const AES: [EncrId; 8] = [
            EncrId::AES_CBC,
            EncrId::AES_GCM_16,
            EncrId::AES_GCM_12,
            EncrId::AES_GCM_8,
            EncrId::AES_CCM_16,
            EncrId::AES_CCM_12,
            EncrId::AES_CCM_8,
            EncrId::NULL_AUTH_AES_GMAC,
        ];
        let integs = || [None].into_iter().chain(Integ::ALL.map(Some));
        let keyed = AES.iter().flat_map(|encr| [128, 192, 256].map(|bits| (*encr, Some(bits))));
        let all = keyed.chain([(EncrId::CHACHA20_POLY1305, None)]);
        all.flat_map(|(encr, bits)| integs().filter_map(move |integ| Self::new(encr, bits, integ))).collect()
    }
}
/// The ICV is wrong. Nothing of the buffer may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong ICV")]
pub struct BadIcv;

/// The most bodies that sealing gains from being handed together.
pub const SEALED_TOGETHER: usize = chains::CHAINS;
/// So many gain less from each other, and need the less room.
pub const FEW: usize = chains::FEW;
/// The most bodies that opening gains from being handed together: it is the MACs that gain, some at a time.
pub const OPENED_TOGETHER: usize = 4 * WAYS;

/// What is sealed or opened of one packet.
#[derive(Default)]
pub struct Body<'p> {
    /// What the IV is made of, for sealing.
    pub counter: u64,
    /// Authenticated in front of the IV (of an AEAD: beside it, the IV being part of the nonce).
    pub aad: &'p [u8],
    /// IV, text, ICV.
    pub buf: &'p mut [u8],
    /// Authenticated behind the ciphertext but not sent (CBC with HMAC and ESN: the high 32 bits, RFC 4303 section 2.2.1; empty for an
    /// AEAD).
    pub tail: &'p [u8],
}
impl<'p> Body<'p> {
    /// The `aad`, which for an AEAD is all that is authenticated beside the text.
    fn alone(&self) -> &'p [u8] {
        debug_assert!(self.tail.is_empty(), "an AEAD authenticates no tail");
        self.aad
    }
}

/// An expanded key for one direction. No `Debug` of the key, wiped when dropped as far as the libraries do.
pub struct PacketKey {
    cipher: Cipher,
    expanded: Expanded,
}
/// Boxed, so that moving a key leaves no copies of it behind.
enum Expanded {
    Aead(Box<AeadKey>),
    Cbc(Box<CbcKey>),
    AesAead(Box<AesAeadKey>),
}
impl std::fmt::Debug for PacketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PacketKey({:?})", self.cipher)
    }
}
impl PacketKey {
    /// `encr` with the salt at its end (RFC 4106 section 8.1); `iv_key`: random, makes CBC's IVs unpredictable
    /// (AES_k(counter)); unused by AEADs and by keys that only open. Panics if a length is not the cipher's: callers
    /// cut key material by the cipher's own lengths.
    pub fn new(cipher: Cipher, encr: &[u8], integ: &[u8], iv_key: [u8; 16]) -> Self {
        assert_eq!(encr.len(), cipher.encr_key_len(), "encryption key length");
        assert_eq!(integ.len(), cipher.integ_key_len(), "integrity key length");
        let aead = |algorithm| Expanded::Aead(Box::new(AeadKey::new(algorithm, encr)));
        let expanded = match cipher {
            Cipher::AesGcm128 => aead(Algorithm::Gcm128),
            Cipher::AesGcm256 => aead(Algorithm::Gcm256),
            Cipher::ChaCha20Poly1305 => aead(Algorithm::ChaCha20Poly1305),
            Cipher::AesCbc { integ: algorithm, .. } => {
                Expanded::Cbc(Box::new(CbcKey::new(encr, algorithm, integ, iv_key)))
            }
            _ => Expanded::AesAead(Box::new(AesAeadKey::new(cipher, encr))),
        };
        Self { cipher, expanded }
    }
    /// The cipher.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }
    /// Seals one body in place, as `seal_many` does.
    pub fn seal(&self, counter: u64, aad: &[u8], buf: &mut [u8], tail: &[u8]) {
        self.seal_many(&mut [Body { counter, aad, buf, tail }]);
    }
    /// Seals in place; an AEAD one after the other, CBC with its chains side by side. `buf` = room for the IV, plaintext (already
    /// padded), room for the ICV. `counter` never repeats for one key: the AEAD's IV, or what CBC's IV is made of. Never allocates.
    /// Panics if a `buf` is too short, or a CBC plaintext no multiple of its block: callers lay packets out by the cipher's own lengths.
    pub fn seal_many(&self, bodies: &mut [Body<'_>]) {
        match &self.expanded {
            Expanded::Cbc(key) => key.seal(bodies),
            Expanded::Aead(key) => bodies.iter_mut().for_each(|body| key.seal(body.counter, body.alone(), body.buf)),
            Expanded::AesAead(key) => bodies.iter_mut().for_each(|body| key.seal(body.counter, body.alone(), body.buf)),
        }
    }
    /// Opens one body in place, as `open_many` does, and returns the range of `buf` that holds the plaintext.
    pub fn open(&self, aad: &[u8], buf: &mut [u8], tail: &[u8]) -> Result<Range<usize>, BadIcv> {
        let mut result = Err(BadIcv);
        self.open_many(&mut [Body { counter: 0, aad, buf, tail }], |_, opened| result = opened);
        result
    }
    /// Opens `buf` = IV, ciphertext, ICV in place (`counter` means nothing here). `opened` hears of each, in their order: the range of
    /// `buf` that holds the plaintext, which may be empty, or `BadIcv`, also if it is too short or no multiple of CBC's block. What is
    /// wrong with one body is nothing to the others. A MAC is compared in constant time, and before anything is decrypted; an AEAD
    /// leaves no plaintext behind if the ICV is wrong. Never allocates.
    pub fn open_many(
        &self,
        bodies: &mut [Body<'_>],
        mut opened: impl FnMut(&mut Body<'_>, Result<Range<usize>, BadIcv>),
    ) {
        let (iv_len, icv_len) = (self.cipher.iv_len(), self.cipher.icv_len());
        let mut opened = |body: &mut Body<'_>, result: Result<(), BadIcv>| {
            let plain = result.map(|()| iv_len..body.buf.len() - icv_len);
            opened(body, plain);
        };
        match &self.expanded {
            Expanded::Cbc(key) => key.open(bodies, opened),
            Expanded::Aead(key) => bodies.iter_mut().for_each(|body| {
                let result = key.open(body.alone(), body.buf);
                opened(body, result);
            }),
            Expanded::AesAead(key) => bodies.iter_mut().for_each(|body| {
                let result = key.open(body.alone(), body.buf);
                opened(body, result);
            }),
        }
    }
}
