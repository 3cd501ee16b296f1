//! AES with its key schedule expanded, whatever the length of the key; modes are built on it.
use aes::cipher::{
    BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
    consts::U16,
};
use aes::{Aes128, Aes128Enc, Aes192, Aes192Enc, Aes256, Aes256Enc};

/// Octets of a block.
pub(super) const BLOCK: usize = 16;

/// One direction, which is all that modes with a counter need.
pub(super) enum AesEnc {
    Bits128(Aes128Enc),
    Bits192(Aes192Enc),
    Bits256(Aes256Enc),
}
impl AesEnc {
    /// Panics if it is no AES key by its length.
    pub(super) fn new(key: &[u8]) -> Self {
        match key.len() {
            16 => Self::Bits128(Aes128Enc::new_from_slice(key).expect("16 octets")),
            24 => Self::Bits192(Aes192Enc::new_from_slice(key).expect("24 octets")),
            32 => Self::Bits256(Aes256Enc::new_from_slice(key).expect("32 octets")),
            len => panic!("an AES key of {len} octets"),
        }
    }
    /// One block.
    pub(super) fn encrypt(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let mut block = block.into();
        self.encrypt_block(&mut block);
        block.into()
    }
}
impl BlockSizeUser for AesEnc {
    type BlockSize = U16;
}
impl BlockCipherEncrypt for AesEnc {
    fn encrypt_with_backend(&self, f: impl BlockCipherEncClosure<BlockSize = U16>) {
        match self {
            Self::Bits128(aes) => aes.encrypt_with_backend(f),
            Self::Bits192(aes) => aes.encrypt_with_backend(f),
            Self::Bits256(aes) => aes.encrypt_with_backend(f),
        }
    }
}

/// Both directions.
pub(super) enum Aes {
    Bits128(Aes128),
    Bits192(Aes192),
    Bits256(Aes256),
}
impl Aes {
    /// Panics if it is no AES key by its length.
    pub(super) fn new(key: &[u8]) -> Self {
        match key.len() {
            16 => Self::Bits128(Aes128::new_from_slice(key).expect("16 octets")),
            24 => Self::Bits192(Aes192::new_from_slice(key).expect("24 octets")),
            32 => Self::Bits256(Aes256::new_from_slice(key).expect("32 octets")),
            len => panic!("an AES key of {len} octets"),
        }
    }
}
impl BlockSizeUser for Aes {
    type BlockSize = U16;
}
impl BlockCipherEncrypt for Aes {
    fn encrypt_with_backend(&self, f: impl BlockCipherEncClosure<BlockSize = U16>) {
        match self {
            Self::Bits128(aes) => aes.encrypt_with_backend(f),
            Self::Bits192(aes) => aes.encrypt_with_backend(f),
            Self::Bits256(aes) => aes.encrypt_with_backend(f),
        }
    }
}
impl BlockCipherDecrypt for Aes {
    fn decrypt_with_backend(&self, f: impl BlockCipherDecClosure<BlockSize = U16>) {
        match self {
            Self::Bits128(aes) => aes.decrypt_with_backend(f),
            Self::Bits192(aes) => aes.decrypt_with_backend(f),
            Self::Bits256(aes) => aes.decrypt_with_backend(f),
        }
    }
}
