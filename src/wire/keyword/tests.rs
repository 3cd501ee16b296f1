use super::*;
use proptest::prelude::*;

const IKE: ProtocolId = ProtocolId::IKE;
const ESP: ProtocolId = ProtocolId::ESP;

fn ids(p: &Proposal, kind: TransformType) -> Vec<u16> {
    of(p, kind).map(|t| t.id).collect()
}
fn t(kind: TransformType, id: u16, key_bits: Option<u16>) -> Transform {
    Transform { kind, id, key_bits, foreign: false }
}

#[test]
fn suites_that_peers_use() {
    let p = parse(IKE, "aes256gcm16-prfsha384-ecp384").unwrap();
    let expected = [
        t(TransformType::ENCR, EncrId::AES_GCM_16.0, Some(256)),
        t(TransformType::PRF, PrfId::HMAC_SHA2_384.0, None),
        t(TransformType::KE, KeId::ECP_384.0, None),
    ];
    assert_eq!((p.number, p.protocol, p.spi.len(), p.transforms.as_slice()), (1, IKE, 0, &expected[..]));
    let p = parse(ESP, "aes128-sha1-modp1024").unwrap();
    let expected = [
        t(TransformType::ENCR, EncrId::AES_CBC.0, Some(128)),
        t(TransformType::INTEG, IntegId::HMAC_SHA1_96.0, None),
        t(TransformType::KE, KeId::MODP_1024.0, None),
        t(TransformType::ESN, EsnId::NO.0, None),
    ];
    assert_eq!(p.transforms, expected);
    assert_eq!(
        parse(ESP, "chacha20poly1305").unwrap().transforms[0],
        t(TransformType::ENCR, EncrId::CHACHA20_POLY1305.0, None)
    );
}

#[test]
fn order_within_a_type_is_the_strings() {
    let p = parse(IKE, "modp2048-sha512-aes128-x25519-aes256-sha256").unwrap();
    assert_eq!(of(&p, TransformType::ENCR).map(|t| t.key_bits).collect::<Vec<_>>(), [Some(128), Some(256)]);
    assert_eq!(ids(&p, TransformType::KE), [KeId::MODP_2048.0, KeId::CURVE25519.0]);
    assert_eq!(
        ids(&p, TransformType::PRF),
        [PrfId::HMAC_SHA2_512.0, PrfId::HMAC_SHA2_256.0],
        "derived in the order of the integrity algorithms"
    );
    assert_eq!(ids(&parse(ESP, "aes256gcm16-esn-noesn").unwrap(), TransformType::ESN), [1, 0]);
    assert_eq!(ids(&parse(ESP, "aes256gcm16-x25519-none").unwrap(), TransformType::KE), [31, 0]);
}

#[test]
fn other_spellings() {
    for (other, ours) in [
        ("aes-sha2_256-curve25519", "aes128-sha256-prfsha256-x25519"),
        ("aes128-sha-modp1536", "aes128-sha1-prfsha1-modp1536"),
        ("aes192gcm128-prfsha512-modp4096", "aes192gcm16-prfsha512-modp4096"),
        ("aes256-sha384-prfsha256-ecp256", "aes256-sha384-prfsha256-ecp256"),
        ("aes128ccm128-prfaescmac-ecp521", "aes128ccm16-prfaescmac-ecp521"),
        ("aes256-aesxcbc-aescmac-modp6144", "aes256-aesxcbc-aescmac-prfaesxcbc-prfaescmac-modp6144"),
    ] {
        assert_eq!(proposal(&parse(IKE, other).unwrap()), ours);
    }
    assert_eq!(proposal(&parse(ESP, "aes256-sha256-modp2048").unwrap()), "aes256-sha256-modp2048");
    assert_eq!(proposal(&parse(ESP, "noesn-esn-aes256gcm").unwrap()), "aes256gcm16-noesn-esn");
    assert_eq!(
        proposal(&parse(ESP, "aes128gcm64-aes192ccm96-aes256gmac").unwrap()),
        "aes128gcm8-aes192ccm12-aes256gmac"
    );
}

/// RFC 9370, in strongSwan's words.
#[test]
fn additional_key_exchanges() {
    let text = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_mlkem1024-ke1_none-ke3_ecp384";
    let p = parse(IKE, text).unwrap();
    assert_eq!(ids(&p, TransformType::ADDKE1), [KeId::ML_KEM_768.0, KeId::ML_KEM_1024.0, KeId::NONE.0]);
    assert_eq!(ids(&p, TransformType::ADDKE3), [KeId::ECP_384.0]);
    assert_eq!(proposal(&p), text);
    let p = parse(ESP, "ke7_x25519-aes256-sha256-esn-modp2048-ke2_mlkem512").unwrap();
    assert_eq!(proposal(&p), "aes256-sha256-modp2048-ke2_mlkem512-ke7_x25519-esn");
    assert!(parse(IKE, "aes256-sha256-x25519-modp2048-ke1_x25519").is_ok(), "there is a choice without a repetition");
    assert!(parse(IKE, "aes256-sha256-x25519-ke1_none-ke2_none").is_ok());
}

#[test]
fn what_is_refused_and_why() {
    for (protocol, text, code, at, hint) in [
        (IKE, "aes256-sha265-modp2048", "keyword.unknown", (7, 6), "`sha256`"),
        (IKE, "AES256-sha256-modp2048", "keyword.unknown", (0, 6), "`aes256`"),
        (IKE, "aes256-sha256-modp2048!", "keyword.unknown", (14, 9), "`modp2048`"),
        (IKE, "aes256--sha256", "keyword.unknown", (7, 0), "single hyphens"),
        (IKE, "", "keyword.unknown", (0, 0), "single hyphens"),
        (IKE, "gibberishgibberish", "keyword.unknown", (0, 18), "strongSwan's keywords"),
        (IKE, "aes256,sha256", "keyword.unknown", (0, 13), "strongSwan's keywords"),
        (IKE, "3des-sha1-modp1024", "keyword.unsupported", (0, 4), "`aes128`"),
        (IKE, "aes256ctr-sha1-modp1024", "keyword.unsupported", (0, 9), "`aes256`"),
        (ESP, "camellia192ccm16", "keyword.unsupported", (0, 16), "`aes192gcm16`"),
        (IKE, "aes192gmac-prfsha256-x25519", "proposal.null_in_ike", (0, 10), "`aes192gcm16`"),
        (ESP, "aes128gmac-aescmac", "proposal.aead_with_integ", (11, 7), "`aes128gmac`"),
        (ESP, "aes128ccm8-aes128-sha256", "proposal.mixed_aead", (11, 6), "two proposals"),
        (ESP, "null-sha256", "keyword.unsupported", (0, 4), "`aes128gcm16`"),
        (ESP, "aes256-sha256_96", "keyword.unsupported", (7, 9), "`sha256`"),
        (IKE, "aes256-md5-modp2048", "keyword.unsupported", (7, 3), "`sha256`"),
        (IKE, "aes256-sha256-ecp512bp", "keyword.unsupported", (14, 8), "`ecp384`"),
        (IKE, "aes256-sha256-mlkem768", "keyword.unsupported", (14, 8), "`x25519-ke1_mlkem768`"),
        (ESP, "aes256gcm16-mlkem512", "keyword.unsupported", (12, 8), "`x25519-ke1_mlkem512`"),
        (IKE, "aes256-sha256-x25519-ke1_x448", "keyword.unsupported", (21, 8), "`ke1_x25519`"),
        (IKE, "aes256-sha256-ke1_mlkem768", "proposal.no_ke", (14, 12), "x25519"),
        (ESP, "aes256gcm16-none-ke1_mlkem768", "proposal.no_ke", (17, 12), "x25519"),
        (IKE, "aes256-sha256-x25519-ke1_x25519", "keyword.duplicate", (21, 10), "another"),
        (IKE, "aes256-sha256-x25519-ke1_mlkem768-ke3_mlkem768", "keyword.duplicate", (34, 12), "another"),
        (IKE, "aes256-sha256-x25519-ke1_mlkem768-ke1_mlkem768", "keyword.duplicate", (34, 12), "leave it out"),
        (IKE, "aes256-sha256-x25519-ke1_sha256", "keyword.unknown", (21, 10), "keywords"),
        (IKE, "aes256-sha256-x25519-ke8_mlkem768", "keyword.unknown", (21, 12), "keywords"),
        (IKE, "aes256-aes256-sha256-x25519", "keyword.duplicate", (7, 6), "leave it out"),
        (IKE, "sha256-prfsha256-x25519", "proposal.no_encr", (0, 23), "`aes256gcm16-prfsha256-x25519`"),
        (IKE, "aes256-prfsha256-x25519", "proposal.no_integ", (0, 23), "`aes256-prfsha256-x25519-sha256`"),
        (ESP, "aes256", "proposal.no_integ", (0, 6), "`aes256-sha256`"),
        (IKE, "aes256-sha256", "proposal.no_ke", (0, 13), "`aes256-sha256-x25519`"),
        (IKE, "aes256gcm16-x25519", "proposal.no_prf", (0, 18), "`aes256gcm16-x25519-prfsha256`"),
        (IKE, "aes256gcm16-sha384-ecp384", "proposal.aead_with_integ", (12, 6), "`prfsha384`"),
        (
            IKE,
            "aes256gcm16-sha384-prfsha384-ecp384",
            "proposal.aead_with_integ",
            (12, 6),
            "`aes256gcm16-prfsha384-ecp384`",
        ),
        (ESP, "aes256gcm16-sha384", "proposal.aead_with_integ", (12, 6), "`aes256gcm16`"),
        (ESP, "aes256gcm16-aes256-sha256", "proposal.mixed_aead", (12, 6), "two proposals"),
        (IKE, "aes256-chacha20poly1305-sha256-x25519", "proposal.mixed_aead", (7, 16), "two proposals"),
        (ESP, "aes256-sha256-prfsha256", "proposal.prf_in_esp", (14, 9), "leave it out"),
        (IKE, "aes256-sha256-x25519-esn", "proposal.esn_in_ike", (21, 3), "leave it out"),
        (IKE, "aes256-sha256-none", "proposal.none_in_ike", (14, 4), "x25519"),
    ] {
        let e = parse(protocol, text).expect_err(text);
        assert_eq!((e.code, e.at), (code, at), "{text}: {e}");
        assert!(e.hint.contains(hint), "{text}: {}", e.hint);
    }
}

/// A hint of a whole proposal is one that is accepted.
#[test]
fn hints_can_be_written() {
    for (protocol, text) in [
        (IKE, "aes256-sha256"),
        (IKE, "aes256gcm16-x25519"),
        (ESP, "aes256"),
        (IKE, "aes256-x25519"),
        (IKE, "aes256gcm16-sha384-prfsha384-ecp384"),
        (ESP, "aes256gcm16-sha1"),
    ] {
        let hint = parse(protocol, text).unwrap_err().hint;
        let written = hint.split('`').nth(1).unwrap();
        assert!(parse(protocol, written).is_ok(), "{text}: {hint}");
    }
}

#[test]
fn transforms_of_a_peer() {
    for (transform_, text) in [
        (t(TransformType::ENCR, EncrId::TRIPLE_DES.0, None), "3des"),
        (t(TransformType::ENCR, EncrId::AES_CBC.0, None), "encr_12"),
        (t(TransformType::ENCR, EncrId::AES_CBC.0, Some(64)), "encr_12_64"),
        (t(TransformType::ENCR, 99, None), "encr_99"),
        (t(TransformType::PRF, 99, None), "prf_99"),
        (t(TransformType::INTEG, 99, None), "integ_99"),
        (t(TransformType::INTEG, 0, None), "integ_0"),
        (t(TransformType::KE, 1025, None), "ke_1025"),
        (t(TransformType::ESN, 7, None), "esn_7"),
        (t(TransformType::ADDKE1, KeId::ML_KEM_768.0, None), "ke1_mlkem768"),
        (t(TransformType::ADDKE7, 99, None), "ke7_ke_99"),
        (t(TransformType(77), 3, None), "type77_3"),
        (Transform { foreign: true, ..t(TransformType::KE, KeId::MODP_2048.0, None) }, "modp2048?"),
    ] {
        assert_eq!(transform(&transform_), text);
    }
}

#[test]
fn defaults_are_strong_and_complete() {
    for protocol in [IKE, ESP] {
        let all = defaults(protocol);
        assert_eq!(all.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 2]);
        for p in &all {
            assert_eq!(parse(protocol, &proposal(p)).map(|q| q.transforms), Ok(p.transforms.clone()));
            const ENCR: [EncrId; 3] = [EncrId::AES_GCM_16, EncrId::CHACHA20_POLY1305, EncrId::AES_CBC];
            assert!(of(p, TransformType::ENCR).all(|t| ENCR.contains(&EncrId(t.id))));
            assert!(of(p, TransformType::INTEG).all(|t| t.id >= IntegId::HMAC_SHA2_256_128.0));
            assert!(of(p, TransformType::PRF).all(|t| (5..=7).contains(&t.id)));
            assert!(of(p, TransformType::KE).all(|t| t.id > KeId::MODP_1536.0));
            assert_eq!(of(p, TransformType::KE).next().is_some(), protocol == IKE);
            assert_eq!(of(p, TransformType::ESN).count(), if protocol == ESP { 2 } else { 0 });
        }
    }
}

#[test]
fn every_word_is_found_and_supported_ones_say_themselves() {
    for word in words::all() {
        let found = words::find(word.text).unwrap();
        assert_eq!(found.transform, word.transform, "{} stands there twice", word.text);
        if let Fit::Instead(other) = word.fit {
            assert!(matches!(words::find(other), Some(Word { fit: Fit::Runs, .. })), "{}: {other}", word.text);
        }
        if word.transform.kind == TransformType::KE {
            let (kind, same) = words::find_additional(&format!("ke7_{}", word.text)).unwrap();
            assert_eq!((kind, same.transform), (TransformType::ADDKE7, word.transform));
        }
    }
}

proptest! {
    #[test]
    fn round_trip(text in "(aes(128|192|256)?(gcm16)?|chacha20poly1305|sha(1|256|384|512)|prfsha(1|256|384|512)|x25519|modp(1024|2048)|ecp256|none|ke[127]_(mlkem768|x25519|none)|esn|noesn)(-(aes(128|192|256)?(gcm16)?|chacha20poly1305|sha(1|256|384|512)|prfsha(1|256|384|512)|x25519|modp(1024|2048)|ecp256|none|ke[127]_(mlkem768|x25519|none)|esn|noesn)){0,6}") {
        for protocol in [IKE, ESP] {
            match parse(protocol, &text) {
                Ok(p) => prop_assert_eq!(parse(protocol, &proposal(&p)), Ok(p)),
                Err(e) => prop_assert!(e.at.0 + e.at.1 <= text.len() && !e.hint.is_empty()),
            }
        }
    }
    #[test]
    fn never_panics(text in "\\PC{0,60}") {
        for protocol in [IKE, ESP] {
            if let Err(e) = parse(protocol, &text) { prop_assert!(text.get(e.at.0..e.at.0 + e.at.1).is_some()) }
        }
    }
}
