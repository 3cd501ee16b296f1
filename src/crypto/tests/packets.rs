//! ESP packets that others sealed, from OpenDataPlane's tests: read from `SANDHOG_VECTORS`, as their licence keeps them
//! out of the project.
use super::unhex;
use crate::crypto::cipher::{BadIcv, Cipher, PacketKey};
use crate::crypto::integ::Integ;
use serde_json::Value;
use std::io::{Write, stderr};

#[test]
fn packets_of_opendataplane_open() {
    let Ok(folder) = std::env::var("SANDHOG_VECTORS") else {
        // Not by eprintln!, which a passing test would keep to itself.
        let _ = writeln!(stderr(), "SKIPPED: SANDHOG_VECTORS is not set, OpenDataPlane's ESP packets are not tried");
        return;
    };
    let file = std::fs::read_to_string(format!("{folder}/odp/esp_vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&file).unwrap();
    let tried = vectors["inbound_cases"].as_array().unwrap().iter().filter_map(|case| open(&vectors, case)).count();
    assert_eq!(tried, 10, "four with CBC and HMAC, five with GCM, one with ChaCha20-Poly1305");
}

/// `None` if the case has no algorithm of ours.
fn open(vectors: &Value, case: &Value) -> Option<()> {
    let parameters: Vec<&str> = case["sa_params"][0].as_str()?.split(", ").collect();
    let key = |at: usize| unhex(vectors["keys"][parameters[at].trim_start_matches('&')].as_str().unwrap_or_default());
    let (encr, integ_key, salt) = (key(6), key(8), key(9));
    let cbc = |integ| Cipher::AesCbc { key_bits: encr.len() as u16 * 8, integ };
    let cipher = match (parameters[5], parameters[7], encr.len()) {
        ("ODP_CIPHER_ALG_AES_CBC", "ODP_AUTH_ALG_SHA1_HMAC", _) => cbc(Integ::HmacSha1_96),
        ("ODP_CIPHER_ALG_AES_CBC", "ODP_AUTH_ALG_SHA256_HMAC", _) => cbc(Integ::HmacSha256_128),
        ("ODP_CIPHER_ALG_AES_CBC", "ODP_AUTH_ALG_SHA384_HMAC", _) => cbc(Integ::HmacSha384_192),
        ("ODP_CIPHER_ALG_AES_CBC", "ODP_AUTH_ALG_SHA512_HMAC", _) => cbc(Integ::HmacSha512_256),
        ("ODP_CIPHER_ALG_AES_GCM", _, 16) => Cipher::AesGcm128,
        ("ODP_CIPHER_ALG_AES_GCM", _, 32) => Cipher::AesGcm256,
        ("ODP_CIPHER_ALG_CHACHA20_POLY1305", _, _) => Cipher::ChaCha20Poly1305,
        _ => return None,
    };
    let data = |list: &str| Some(unhex(vectors["packets"][case[list][0].as_str()?]["data"].as_str()?));
    let (received, expected) = (data("pkt_in")?, data("pkt_res")?);

    const ETHERNET: usize = 14;
    let header = usize::from(received[ETHERNET] & 15) * 4;
    let (esp, sealed) = (&received[ETHERNET + header..][..8], &received[ETHERNET + header + 8..]);
    let key = PacketKey::new(cipher, &[encr, salt].concat(), &integ_key, [0; 16]);
    let mut buf = sealed.to_vec();
    let range = key.open(esp, &mut buf, &[]).unwrap_or_else(|e| panic!("{}: {e}", case["name"]));
    let (text, &[padding, next]) = buf[range].split_last_chunk().unwrap();
    let text = &text[..text.len() - usize::from(padding)];
    assert!([1, 4, 59].contains(&next), "{}", case["name"]);
    assert!(expected.ends_with(text), "{}", case["name"]);

    let mut buf = sealed.to_vec();
    buf[cipher.iv_len()] ^= 1;
    assert_eq!(key.open(esp, &mut buf, &[]), Err(BadIcv));
    Some(())
}
