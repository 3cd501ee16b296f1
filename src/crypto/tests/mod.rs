//! Known answers from outside, by source, and what must hold for every transform.
mod cavp;
mod mlkem;
mod packets;
mod properties;
mod rfc;

mod wycheproof;

use super::cipher::{Cipher, PacketKey};
use super::integ::Integ;

/// Everything that can protect a packet.
fn ciphers() -> Vec<Cipher> {
    let cbc = |key_bits| Integ::ALL.map(|integ| Cipher::AesCbc { key_bits, integ });
    let aeads = [Cipher::AesGcm128, Cipher::AesGcm192, Cipher::AesGcm256, Cipher::ChaCha20Poly1305];
    aeads.into_iter().chain([128, 192, 256].into_iter().flat_map(cbc)).collect()
}

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
