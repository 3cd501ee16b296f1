//! Keys of all kinds sign, and Project Wycheproof's cases are judged as it judges them.
use super::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use ring::signature::KeyPair as _;

/// Made for these tests.
pub const RSA_2048: &[u8] = include_bytes!("../testdata/rsa2048.pem");

fn keys() -> Vec<(SigningKey, PublicKey)> {
    let generated = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].map(|algorithm| {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let key = SigningKey::read(pair.serialize_pem().as_bytes()).unwrap();
        use rcgen::PublicKeyData as _;
        (key, PublicKey::from_spki(&pair.subject_public_key_info()).unwrap())
    });
    generated.into_iter().chain([rsa()]).collect()
}
fn rsa() -> (SigningKey, PublicKey) {
    let key = SigningKey::read(RSA_2048).unwrap();
    let octets = ring_pair().public_key().as_ref().to_vec();
    (key, PublicKey { kind: KeyKind::Rsa(2048), octets })
}
fn ring_pair() -> ring::signature::RsaKeyPair {
    use rustls_pki_types::pem::PemObject;
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from_pem_slice(RSA_2048).unwrap();
    ring::signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap()
}

const SCHEMES: [Scheme; 12] = [
    Scheme::Pkcs1(Hash::Sha256),
    Scheme::Pkcs1(Hash::Sha384),
    Scheme::Pkcs1(Hash::Sha512),
    Scheme::Pss(Hash::Sha256),
    Scheme::Pss(Hash::Sha384),
    Scheme::Pss(Hash::Sha512),
    Scheme::Ecdsa(Hash::Sha256),
    Scheme::Ecdsa(Hash::Sha384),
    Scheme::Ecdsa(Hash::Sha512),
    Scheme::EcdsaRaw,
    Scheme::Ed25519,
    Scheme::Pkcs1Sha1,
];

#[test]
fn what_a_key_signs_its_public_half_verifies_and_no_other() {
    for (key, public) in keys() {
        let mut signed = 0;
        for scheme in SCHEMES {
            let Some(signature) = key.sign(scheme, b"message") else { continue };
            signed += 1;
            assert_eq!(public.verify(scheme, b"message", &signature), Ok(()), "{scheme}");
            assert!(public.verify(scheme, b"massage", &signature).is_err());
            for other in SCHEMES.into_iter().filter(|other| *other != scheme) {
                assert!(public.verify(other, b"message", &signature).is_err(), "{scheme} as {other}");
            }
            for (_, other) in keys().iter().filter(|(_, p)| p.octets != public.octets) {
                assert!(other.verify(scheme, b"message", &signature).is_err());
            }
        }
        assert_eq!(
            signed,
            match key.kind() {
                KeyKind::Rsa(_) => 6,
                KeyKind::Ed25519 => 1,
                _ => 2,
            },
            "{key:?}"
        );
        assert!(key.belongs_to(&public));
        assert!(keys().iter().filter(|(_, p)| p.octets != public.octets).all(|(_, p)| !key.belongs_to(p)));
    }
}

/// R40.
#[test]
fn the_scheme_is_one_that_the_peer_has_announced() {
    let scheme = |i: usize, announced: Option<&[u16]>, pss| keys()[i].0.scheme_for(announced, pss);
    assert_eq!(scheme(0, Some(&[4, 3, 2]), true), Some(Scheme::Ecdsa(Hash::Sha256)));
    assert_eq!(scheme(0, Some(&[3, 4, 5]), true), None);
    assert_eq!(scheme(1, Some(&[2, 3]), true), Some(Scheme::Ecdsa(Hash::Sha384)));
    assert_eq!(scheme(2, Some(&[2, 3, 4]), true), None, "Ed25519 only with Identity");
    assert_eq!(scheme(2, Some(&[2, 5]), true), Some(Scheme::Ed25519));
    assert_eq!(scheme(3, Some(&[4, 3]), true), Some(Scheme::Pss(Hash::Sha384)));
    assert_eq!(scheme(3, Some(&[4]), false), Some(Scheme::Pkcs1(Hash::Sha512)));
    assert_eq!(scheme(3, Some(&[1]), true), None, "never SHA-1");
    // Methods 9 and 10 for who has announced nothing; method 1 would be SHA-1.
    assert_eq!(
        [0, 1, 2, 3].map(|i| scheme(i, None, true)),
        [Some(Scheme::EcdsaRaw), Some(Scheme::EcdsaRaw), None, None]
    );
    assert!(keys().iter().all(|(key, _)| key.scheme_for(Some(&[]), true).is_none()));
}

#[test]
fn private_keys_are_read_in_every_form_or_refused_with_the_reason() {
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let der = pair.serialize_der();
        // SEC1 is the OCTET STRING at the end of PKCS#8, which ring writes without attributes.
        let start = (0..der.len()).find(|&i| {
            der[i] == 0x04 && der[i..].len() < 256 && {
                let (len, head) = if der[i + 1] == 0x81 { (der[i + 2], 3) } else { (der[i + 1], 2) };
                usize::from(len) + head == der.len() - i
            }
        });
        let start = start.unwrap();
        let sec1 = &der[start + if der[start + 1] == 0x81 { 3 } else { 2 }..];
        let kind = SigningKey::read(&der).unwrap().kind();
        assert_eq!(SigningKey::read(pem("EC PRIVATE KEY", sec1).as_bytes()).unwrap().kind(), kind);
    }
    for (file, said) in [
        (&b""[..], "expected"),
        (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "expected"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n", "passphrase"),
        (
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAA==\n-----END RSA PRIVATE KEY-----\n",
            "passphrase",
        ),
        (b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "cannot be used"),
        (b"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n", "P-256"),
    ] {
        let error = SigningKey::read(file).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

/// CVE-2018-17540, 2017-9022 and 2026-14957: RSA keys that are none.
#[test]
fn inputs_18_19_32_rsa_keys_that_are_none() {
    let small = include_bytes!("../testdata/rsa1024.der");
    let certificate = crate::crypto::cert::Certificate::parse(small).unwrap();
    assert_eq!(certificate.key(), Err(&KeyFault::Size(1024)));
    let (key, public) = rsa();
    let signature = key.sign(Scheme::Pkcs1(Hash::Sha256), b"message").unwrap();
    let verifies = |octets: Vec<u8>| {
        let public = PublicKey { kind: KeyKind::Rsa(2048), octets };
        public.verify(Scheme::Pkcs1(Hash::Sha256), b"message", &signature).is_ok()
    };
    assert!(verifies(public.octets.clone()));
    let len = public.octets.len();
    let mut even = public.octets.clone();
    even[len - 6] &= 0xfe;
    assert!(!verifies(even), "an even modulus");
    for exponent in [[0, 0, 0], [0, 0, 1], [0, 0, 2], [1, 0, 0]] {
        let mut other = public.octets.clone();
        other[len - 3..].copy_from_slice(&exponent);
        assert!(!verifies(other), "{exponent:?}");
    }
    assert!(!verifies(vec![0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00]), "zeros");
}

/// CVE-2017-11185: a signature that is the modulus.
#[test]
fn input_21_a_signature_is_less_than_the_modulus() {
    let (_, public) = rsa();
    let len = public.octets.len();
    // RSAPublicKey: INTEGER of 257 octets, INTEGER of three.
    let modulus = &public.octets[len - 5 - 256..len - 5];
    for scheme in [Scheme::Pkcs1(Hash::Sha256), Scheme::Pss(Hash::Sha256), Scheme::Pkcs1Sha1] {
        assert!(public.verify(scheme, b"message", modulus).is_err());
        assert!(public.verify(scheme, b"message", &[0; 256]).is_err());
    }
}
