//! What holds for every cipher: what was sealed opens, nothing else does, and nothing shows a key.
use super::{counting_key, packet};
use crate::crypto::cipher::{BadIcv, Cipher, PacketKey};
use crate::crypto::constant_time_eq;
use crate::crypto::integ::Integ;
use crate::crypto::prf::Prf;
use crate::wire::registry::{EncrId, IntegId, PrfId};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// ESN's high half, which only CBC with HMAC authenticates behind the ciphertext.
fn tail(cipher: Cipher) -> &'static [u8] {
    if cipher.is_aead() { &[] } else { &[0, 0, 0, 5] }
}

#[test]
fn no_flipped_bit_opens() {
    for cipher in Cipher::all() {
        let (key, text, aad) = (counting_key(cipher), [0x5a; 32], [0x11; 12]);
        let mut sealed = packet(cipher, &text);
        key.seal(77, &aad, &mut sealed, tail(cipher));
        let whole = [&aad, &sealed[..], tail(cipher)].concat();
        for bit in 0..whole.len() * 8 {
            let mut forged = whole.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let (aad, rest) = forged.split_at_mut(aad.len());
            let (buf, tail) = rest.split_at_mut(sealed.len());
            assert_eq!(key.open(aad, buf, tail), Err(BadIcv), "{cipher:?}, bit {bit}");
            let clear = buf[cipher.iv_len()..][..text.len()] == text;
            assert!(!clear || !cipher.encrypts(), "plaintext left behind by {cipher:?}");
        }
        let range = key.open(&aad, &mut sealed, tail(cipher)).unwrap();
        assert_eq!(sealed[range], text, "{cipher:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(7296),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_sealed_opens_and_what_was_changed_does_not(
        cipher in proptest::sample::select(Cipher::all()),
        counter: u64,
        blocks in 0usize..100,
        aad in proptest::collection::vec(any::<u8>(), 0..40),
        flip in any::<proptest::sample::Index>(),
        octet: u8,
    ) {
        let key = counting_key(cipher);
        let text = vec![octet; blocks * cipher.block()];
        let mut sealed = packet(cipher, &text);
        key.seal(counter, &aad, &mut sealed, tail(cipher));

        let (mut forged_aad, mut forged) = (aad.clone(), sealed.clone());
        let bit = flip.index((aad.len() + sealed.len()) * 8);
        match bit / 8 {
            at if at < aad.len() => forged_aad[at] ^= 1 << (bit % 8),
            at => forged[at - aad.len()] ^= 1 << (bit % 8),
        }
        prop_assert_eq!(key.open(&forged_aad, &mut forged, tail(cipher)), Err(BadIcv));
        let range = key.open(&aad, &mut sealed, tail(cipher)).unwrap();
        prop_assert_eq!(&sealed[range], &text[..]);
    }
}

#[test]
fn no_truncated_or_lengthened_packet_opens() {
    for cipher in Cipher::all() {
        let key = counting_key(cipher);
        let mut sealed = packet(cipher, &[0x5a; 48]);
        key.seal(1, b"aad", &mut sealed, tail(cipher));
        for len in 0..sealed.len() {
            assert_eq!(key.open(b"aad", &mut sealed.clone()[..len], tail(cipher)), Err(BadIcv), "{cipher:?}, {len}");
            assert_eq!(
                key.open(b"aad", &mut sealed.clone()[len + 1..], tail(cipher)),
                Err(BadIcv),
                "{cipher:?}, {len}"
            );
        }
        let mut longer = [&sealed[..], &[0; 16]].concat();
        assert_eq!(key.open(b"aad", &mut longer, tail(cipher)), Err(BadIcv), "{cipher:?}");
    }
}

/// An ICV that is right over something that is no whole number of blocks: a peer's mistake, not a panic of ours.
#[test]
fn cbc_refuses_odd_lengths_under_a_right_icv() {
    let cipher = Cipher::AesCbc { key_bits: 128, integ: Integ::HmacSha256_128 };
    let key = PacketKey::new(cipher, &[1; 16], &[2; 32], [3; 16]);
    for len in 0..64 {
        let sent = vec![0; len];
        let icv = Prf::HmacSha256.mac(&[2; 32], &[&sent]);
        let mut buf = [&sent, &icv.expose()[..16]].concat();
        assert_eq!(key.open(&[], &mut buf, &[]).is_ok(), len > 0 && len % 16 == 0, "{len}");
    }
}

#[test]
fn an_aeads_iv_is_the_counter() {
    for cipher in Cipher::all().into_iter().filter(|cipher| cipher.is_aead()) {
        let mut sealed = packet(cipher, b"text");
        counting_key(cipher).seal(0x0102_0304_0506_0708, &[], &mut sealed, &[]);
        assert_eq!(sealed[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

/// AES-128 of the counter as one block under the IV key. The answers are of the all-zero key: AES(0) and AES(1).
#[test]
fn cbc_ivs_are_an_encrypted_counter() {
    for cipher in Cipher::all().into_iter().filter(|cipher| !cipher.is_aead()) {
        let (encr, integ) = (vec![1; cipher.encr_key_len()], vec![2; cipher.integ_key_len()]);
        let key = PacketKey::new(cipher, &encr, &integ, [0; 16]);
        for (counter, iv) in [(0, "66e94bd4ef8a2c3b884cfa59ca342b2e"), (1, "58e2fccefa7e3061367f1d57a4e7455a")] {
            let mut sealed = packet(cipher, &[0; 16]);
            key.seal(counter, &[], &mut sealed, &[]);
            assert_eq!(hex::encode(&sealed[..16]), iv);
        }
        let other = PacketKey::new(cipher, &encr, &integ, [1; 16]);
        let mut sealed = packet(cipher, &[0; 16]);
        other.seal(0, &[], &mut sealed, &[]);
        assert_ne!(hex::encode(&sealed[..16]), "66e94bd4ef8a2c3b884cfa59ca342b2e", "the IV key matters");
    }
}

#[test]
fn the_lengths_of_every_cipher() {
    let lengths = |cipher: Cipher| {
        (cipher.encr_key_len(), cipher.integ_key_len(), cipher.iv_len(), cipher.icv_len(), cipher.block())
    };
    let cbc = |key_bits, integ| lengths(Cipher::AesCbc { key_bits, integ });
    assert_eq!(lengths(Cipher::AesGcm128), (20, 0, 8, 16, 4));
    assert_eq!(lengths(Cipher::AesGcm192), (28, 0, 8, 16, 4));
    assert_eq!(lengths(Cipher::AesGcm256), (36, 0, 8, 16, 4));
    assert_eq!(lengths(Cipher::ChaCha20Poly1305), (36, 0, 8, 16, 4));
    for icv_len in [8, 12] {
        assert_eq!(lengths(Cipher::AesGcmShort { key_bits: 192, icv_len }), (28, 0, 8, icv_len.into(), 4));
    }
    for icv_len in [8, 12, 16] {
        assert_eq!(lengths(Cipher::AesCcm { key_bits: 128, icv_len }), (19, 0, 8, icv_len.into(), 4));
        assert_eq!(lengths(Cipher::AesCcm { key_bits: 256, icv_len }), (35, 0, 8, icv_len.into(), 4));
    }
    assert_eq!(lengths(Cipher::AesGmac { key_bits: 256 }), (36, 0, 8, 16, 4));
    assert_eq!(cbc(256, Integ::AesCmac96), (32, 16, 16, 12, 16));
    assert_eq!(cbc(128, Integ::AesXcbc96), (16, 16, 16, 12, 16));
    assert_eq!(cbc(128, Integ::HmacSha1_96), (16, 20, 16, 12, 16));
    assert_eq!(cbc(192, Integ::HmacSha256_128), (24, 32, 16, 16, 16));
    assert_eq!(cbc(256, Integ::HmacSha384_192), (32, 48, 16, 24, 16));
    assert_eq!(cbc(256, Integ::HmacSha512_256), (32, 64, 16, 32, 16));
}

#[test]
fn a_cipher_is_what_its_transforms_say() {
    for cipher in Cipher::all() {
        assert_eq!(Cipher::new(cipher.encr_id(), cipher.key_bits(), cipher.integ()), Some(cipher));
    }
    let sha256 = Integ::from_id(IntegId::HMAC_SHA2_256_128);
    assert!(sha256.is_some() && Integ::from_id(IntegId::NONE).is_none());
    for (encr, key_bits, integ) in [
        (EncrId::AES_GCM_16, Some(256), sha256),
        (EncrId::AES_GCM_16, None, None),
        (EncrId::AES_GCM_16, Some(512), None),
        (EncrId::AES_GCM_8, Some(256), sha256),
        (EncrId::AES_CCM_16, None, None),
        (EncrId::AES_CCM_8, Some(64), None),
        (EncrId::NULL_AUTH_AES_GMAC, Some(128), sha256),
        (EncrId::NULL_AUTH_AES_GMAC, None, None),
        (EncrId::NULL, None, None),
        (EncrId::NULL, Some(128), None),
        (EncrId::AES_CBC, Some(256), None),
        (EncrId::AES_CBC, None, sha256),
        (EncrId::AES_CBC, Some(0), sha256),
        (EncrId::CHACHA20_POLY1305, Some(256), None),
        (EncrId::CHACHA20_POLY1305, None, sha256),
        (EncrId::NULL, None, sha256),
        (EncrId(65000), None, None),
    ] {
        assert_eq!(Cipher::new(encr, key_bits, integ), None, "{encr} {key_bits:?} {integ:?}");
    }
}

#[test]
fn transforms_have_ianas_numbers() {
    assert_eq!(Prf::ALL.map(|prf| prf.id().0), [7, 6, 5, 8, 4, 2]);
    assert_eq!(Integ::ALL.map(|integ| integ.id().0), [14, 13, 12, 8, 5, 2]);
    assert_eq!(Cipher::all().len(), 3 * 6 + 3 + 2 * 3 + 3 * 3 + 3 + 1);
    assert!(Prf::ALL.into_iter().all(|prf| Prf::from_id(prf.id()) == Some(prf)));
    assert!(Integ::ALL.into_iter().all(|integ| Integ::from_id(integ.id()) == Some(integ)));
    assert_eq!((Prf::from_id(PrfId::HMAC_MD5), Integ::from_id(IntegId::HMAC_MD5_96)), (None, None));
}

#[test]
fn debug_shows_no_key() {
    for cipher in Cipher::all() {
        assert_eq!(format!("{:?}", counting_key(cipher)), format!("PacketKey({cipher:?})"));
    }
}

#[test]
fn a_key_may_be_shared_among_workers() {
    fn shared<T: Send + Sync>() {}
    shared::<PacketKey>();
}

#[test]
fn compares_octets_and_lengths() {
    assert!(constant_time_eq(b"", b"") && constant_time_eq(b"same", b"same"));
    assert!(!constant_time_eq(b"same", b"sane") && !constant_time_eq(b"same", b"sam") && !constant_time_eq(b"", b"s"));
}
