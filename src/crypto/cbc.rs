//! AES-CBC (RFC 3602) with unpredictable IVs, under a MAC over what it made (encrypt, then MAC). A block is also the length of the IV
//! that travels (RFC 3602 sections 2.4 and 3).
use super::aes::{Aes, BLOCK};
use super::cipher::BadIcv;
use super::integ::Integ;
use super::mac::MacKey;
use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InOutBuf, InnerIvInit, KeyInit};

/// Expanded keys: encryption, integrity, and the one that makes IVs.
pub(super) struct CbcKey {
    aes: Aes,
    /// RFC 3602 section 3 wants IVs that nobody can foresee, and no counters: so they are a counter, encrypted under a
    /// key of their own.
    iv: Aes128Enc,
    mac: MacKey,
    icv_len: usize,
}

impl CbcKey {
    /// Panics if a key has not the length of an AES key or of the integrity algorithm.
    pub(super) fn new(encr: &[u8], integ: Integ, integ_key: &[u8], iv_key: [u8; BLOCK]) -> Self {
        assert_eq!(integ_key.len(), integ.key_len(), "integrity key length");
        Self {
            aes: Aes::new(encr),
            iv: Aes128Enc::new(&iv_key.into()),
            mac: MacKey::new(integ.mac(), integ_key),
            icv_len: integ.icv_len(),
        }
    }

    /// Seals `buf` = room for the IV, plaintext of whole blocks, room for the ICV.
    pub(super) fn seal(&self, counter: u64, aad: &[u8], buf: &mut [u8], tail: &[u8]) {
        let (sent, icv) = buf.split_at_mut(buf.len() - self.icv_len);
        let (iv, text) = sent.split_first_chunk_mut::<BLOCK>().expect("room for the IV");
        *iv = self.iv(counter);
        encrypt(&self.aes, iv, text);
        self.mac.mac(&[aad, sent, tail], icv);
    }

    /// Opens `buf` = IV, ciphertext, ICV.
    pub(super) fn open(&self, aad: &[u8], buf: &mut [u8], tail: &[u8]) -> Result<(), BadIcv> {
        let (sent, icv) = buf.split_at_mut_checked(buf.len().saturating_sub(self.icv_len)).ok_or(BadIcv)?;
        if sent.len() < BLOCK || !sent.len().is_multiple_of(BLOCK) || !self.mac.verify(&[aad, sent, tail], icv) {
            return Err(BadIcv);
        }
        let (iv, text) = sent.split_first_chunk_mut::<BLOCK>().ok_or(BadIcv)?;
        decrypt(&self.aes, iv, text);
        Ok(())
    }

    fn iv(&self, counter: u64) -> [u8; BLOCK] {
        let mut block = u128::from(counter).to_be_bytes().into();
        self.iv.encrypt_block(&mut block);
        block.into()
    }
}

/// AES-CBC of whole blocks, in place.
pub(super) fn encrypt(aes: &Aes, iv: &[u8; BLOCK], text: &mut [u8]) {
    let (blocks, rest) = InOutBuf::from(text).into_chunks();
    assert!(rest.is_empty(), "a plaintext of whole blocks");
    cbc::Encryptor::inner_iv_init(aes, iv.into()).encrypt_blocks_inout(blocks);
}
/// The other way.
pub(super) fn decrypt(aes: &Aes, iv: &[u8; BLOCK], text: &mut [u8]) {
    let (blocks, rest) = InOutBuf::from(text).into_chunks();
    assert!(rest.is_empty(), "a ciphertext of whole blocks");
    cbc::Decryptor::inner_iv_init(aes, iv.into()).decrypt_blocks_inout(blocks);
}
