//! AES-CBC (RFC 3602) with unpredictable IVs, under an HMAC over what it made (encrypt, then MAC).
use super::cipher::BadIcv;
use super::hmac::HmacKey;
use super::integ::Integ;
use aes::cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InOutBuf, InnerIvInit, KeyInit};
use aes::{Aes128, Aes128Enc, Aes192, Aes256};

/// Octets of a block, and of the IV that travels (RFC 3602 sections 2.4 and 3).
pub(super) const BLOCK: usize = 16;

/// Expanded keys: encryption, integrity, and the one that makes IVs.
pub(super) struct CbcKey {
    aes: Aes,
    /// RFC 3602 section 3 wants IVs that nobody can foresee, and no counters: so they are a counter, encrypted under a
    /// key of their own.
    iv: Aes128Enc,
    hmac: HmacKey,
    icv_len: usize,
}

impl CbcKey {
    /// Panics if a key has not the length of an AES key or of the integrity algorithm.
    pub(super) fn new(encr: &[u8], integ: Integ, integ_key: &[u8], iv_key: [u8; BLOCK]) -> Self {
        assert_eq!(integ_key.len(), integ.key_len(), "integrity key length");
        Self {
            aes: Aes::new(encr),
            iv: Aes128Enc::new(&iv_key.into()),
            hmac: HmacKey::new(integ.hash(), integ_key),
            icv_len: integ.icv_len(),
        }
    }

    /// Seals `buf` = room for the IV, plaintext of whole blocks, room for the ICV.
    pub(super) fn seal(&self, counter: u64, aad: &[u8], buf: &mut [u8], tail: &[u8]) {
        let (sent, icv) = buf.split_at_mut(buf.len() - self.icv_len);
        let (iv, text) = sent.split_first_chunk_mut::<BLOCK>().expect("room for the IV");
        *iv = self.iv(counter);
        self.aes.encrypt(iv, text);
        self.hmac.mac(&[aad, sent, tail], icv);
    }

    /// Opens `buf` = IV, ciphertext, ICV.
    pub(super) fn open(&self, aad: &[u8], buf: &mut [u8], tail: &[u8]) -> Result<(), BadIcv> {
        let (sent, icv) = buf.split_at_mut_checked(buf.len().saturating_sub(self.icv_len)).ok_or(BadIcv)?;
        if sent.len() < BLOCK || !sent.len().is_multiple_of(BLOCK) || !self.hmac.verify(&[aad, sent, tail], icv) {
            return Err(BadIcv);
        }
        let (iv, text) = sent.split_first_chunk_mut::<BLOCK>().ok_or(BadIcv)?;
        self.aes.decrypt(iv, text);
        Ok(())
    }

    fn iv(&self, counter: u64) -> [u8; BLOCK] {
        let mut block = u128::from(counter).to_be_bytes().into();
        self.iv.encrypt_block(&mut block);
        block.into()
    }
}

/// AES with its key schedule expanded, by key length.
pub(super) enum Aes {
    Bits128(Aes128),
    Bits192(Aes192),
    Bits256(Aes256),
}
impl Aes {
    pub(super) fn new(key: &[u8]) -> Self {
        match key.len() {
            16 => Self::Bits128(Aes128::new_from_slice(key).expect("16 octets")),
            24 => Self::Bits192(Aes192::new_from_slice(key).expect("24 octets")),
            32 => Self::Bits256(Aes256::new_from_slice(key).expect("32 octets")),
            len => panic!("an AES key of {len} octets"),
        }
    }
    pub(super) fn encrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) {
        match self {
            Self::Bits128(aes) => encrypt(cbc::Encryptor::inner_iv_init(aes, iv.into()), text),
            Self::Bits192(aes) => encrypt(cbc::Encryptor::inner_iv_init(aes, iv.into()), text),
            Self::Bits256(aes) => encrypt(cbc::Encryptor::inner_iv_init(aes, iv.into()), text),
        }
    }
    pub(super) fn decrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) {
        match self {
            Self::Bits128(aes) => decrypt(cbc::Decryptor::inner_iv_init(aes, iv.into()), text),
            Self::Bits192(aes) => decrypt(cbc::Decryptor::inner_iv_init(aes, iv.into()), text),
            Self::Bits256(aes) => decrypt(cbc::Decryptor::inner_iv_init(aes, iv.into()), text),
        }
    }
}
fn encrypt(mut chain: impl BlockModeEncrypt, text: &mut [u8]) {
    let (blocks, rest) = InOutBuf::from(text).into_chunks();
    assert!(rest.is_empty(), "a plaintext of whole blocks");
    chain.encrypt_blocks_inout(blocks);
}
fn decrypt(mut chain: impl BlockModeDecrypt, text: &mut [u8]) {
    let (blocks, rest) = InOutBuf::from(text).into_chunks();
    assert!(rest.is_empty(), "a ciphertext of whole blocks");
    chain.decrypt_blocks_inout(blocks);
}
