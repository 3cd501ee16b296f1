//! Known answers from outside, by source, and what must hold for every transform.
mod aes;
mod batches;
mod cavp;
mod hmac;
mod mlkem;
mod packets;
mod properties;
mod rfc;
mod wycheproof;

use super::aes::Aes;
use super::chains::{self, Chain};
use super::cipher::{Cipher, PacketKey};

/// A key made of counting octets, so that no two parts of it are alike.
fn counting_key(cipher: Cipher) -> PacketKey {
    let octets: Vec<u8> = (0..=255).collect();
    let (encr, rest) = octets.split_at(cipher.encr_key_len());
    PacketKey::new(cipher, encr, &rest[..cipher.integ_key_len()], [0xa5; 16])
}

/// Room for IV, `text` and ICV.
fn packet(cipher: Cipher, text: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; cipher.iv_len() + text.len() + cipher.icv_len()];
    buf[cipher.iv_len()..][..text.len()].copy_from_slice(text);
    buf
}

/// Hexadecimal as RFCs print it: spaces and line ends do not count.
fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).expect("hexadecimal")
}

/// AES-CBC of whole blocks, in place.
fn encrypt(aes: &Aes, iv: &[u8; 16], text: &mut [u8]) {
    chains::encrypt(aes, &mut [Chain::new(iv, text)]);
}
fn decrypt(aes: &Aes, iv: &[u8; 16], text: &mut [u8]) {
    let mut sent = [iv, &*text].concat();
    chains::decrypt(aes, [sent.as_chunks_mut().0].into_iter());
    assert_eq!(&sent[..16], iv, "the IV stays");
    text.copy_from_slice(&sent[16..]);
}
