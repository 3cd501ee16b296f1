//! Known answers for what is made of AES: MACs and PRFs from their RFCs, CCM, short ICVs and GMAC from Python's `cryptography`.
use super::{packet, unhex};
use crate::crypto::cipher::{Cipher, PacketKey};
use crate::crypto::integ::Integ;
use crate::crypto::mac::{Algorithm, MacKey};
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use crate::wire::registry::EncrId;

fn counting(len: u8) -> Vec<u8> {
    (0..len).collect()
}

fn mac(algorithm: Algorithm, key: &[u8], message: &[u8], expected: &str) {
    let key = MacKey::new(algorithm, key);
    let mut out = vec![0; 16];
    key.mac(&[message], &mut out);
    assert_eq!(hex::encode(&out), expected);
    for cut in 0..=message.len() {
        let (front, back) = message.split_at(cut);
        assert!(key.verify(&[front, &[], back], &out), "cut at {cut}");
        // The ICV is the beginning (RFC 4494 section 2, RFC 3566 section 4.3).
        assert!(key.verify(&[front, back], &out[..12]), "cut at {cut}");
    }
}

/// RFC 4493 section 4.
#[test]
fn rfc4493_cmac() {
    let key = unhex("2b7e1516 28aed2a6 abf71588 09cf4f3c");
    let message = unhex(
        "6bc1bee2 2e409f96 e93d7e11 7393172a ae2d8a57 1e03ac9c 9eb76fac 45af8e51
         30c81c46 a35ce411 e5fbc119 1a0a52ef f69f2445 df4f9b17 ad2b417b e66c3710",
    );
    for (len, expected) in [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ] {
        mac(Algorithm::AesCmac, &key, &message[..len], expected);
    }
}

/// RFC 3566 section 4.6.
#[test]
fn rfc3566_xcbc() {
    for (len, expected) in [
        (0, "75f0251d528ac01c4573dfd584d79f29"),
        (3, "5b376580ae2f19afe7219ceef172756f"),
        (16, "d2a246fa349b68a79998a4394ff7a263"),
        (20, "47f51b4564966215b8985c63055ed308"),
        (32, "f54f0ec8d2b9f3d36807734bd5283fd4"),
        (34, "becbb3bccdb518a30677d5481fb6b4d8"),
    ] {
        mac(Algorithm::AesXcbc, &counting(16), &counting(len), expected);
    }
    mac(Algorithm::AesXcbc, &counting(16), &[0; 1000], "f0dafee895db30253761103b5d84528f");
}

#[test]
fn integrity_is_cut_to_96_bits() {
    assert_eq!([Integ::AesCmac96, Integ::AesXcbc96].map(|integ| (integ.key_len(), integ.icv_len())), [(16, 12); 2]);
}

/// RFC 4434 section 2.1 and RFC 4615 section 4: keys of 16, 10 and 18 octets.
#[test]
fn prfs_take_keys_of_any_length() {
    let long = [&counting(16)[..], &[0xed, 0xcb]].concat();
    for (prf, key, expected) in [
        (Prf::AesXcbc, counting(16), "47f51b4564966215b8985c63055ed308"),
        (Prf::AesXcbc, counting(10), "0fa087af7d866e7653434e602fdde835"),
        (Prf::AesXcbc, long.clone(), "8cd3c93ae598a9803006ffb67c40e9e4"),
        (Prf::AesCmac, counting(16), "980ae87b5f4c9c5214f5b6a8455e4c2d"),
        (Prf::AesCmac, counting(10), "290d9e112edb09ee141fcf64c0b72f3d"),
        (Prf::AesCmac, long, "84a348a4a45d235babfffc0d2b4da09a"),
    ] {
        assert_eq!(hex::encode(prf.mac(&key, &[&counting(20)]).expose()), expected, "{prf:?} {}", key.len());
        let (front, back) = (&counting(20)[..7], &counting(20)[7..]);
        assert_eq!(hex::encode(prf.mac(&key, &[front, back]).expose()), expected, "{prf:?} in parts");
        assert_eq!(prf.len(), 16);
    }
}

/// RFC 7296 section 2.14: of the nonces 64 bits each for these two, all of both for the others.
#[test]
fn skeyseed_takes_half_of_a_fixed_key_from_each_nonce() {
    let (ni, nr, g_ir) = ([1; 32], [2; 20], Secret::new(vec![3; 32]));
    for prf in Prf::ALL {
        let fixed = matches!(prf, Prf::AesCmac | Prf::AesXcbc);
        let key = if fixed { [&ni[..8], &nr[..8]].concat() } else { [&ni[..], &nr].concat() };
        assert_eq!(prf.skeyseed(&ni, &nr, &g_ir).expose(), prf.mac(&key, &[g_ir.expose()]).expose(), "{prf:?}");
    }
}

/// prf+ feeds on the PRF alone, with a key that need not be 16 octets (a pre-shared key in RFC 8784).
#[test]
fn prf_plus_is_made_of_the_prf() {
    for prf in [Prf::AesCmac, Prf::AesXcbc] {
        let key = [7; 37];
        let first = prf.mac(&key, &[b"seed", &[1]]);
        let second = prf.mac(&key, &[first.expose(), b"seed", &[2]]);
        let both = [first.expose(), &second.expose()[..5]].concat();
        assert_eq!(prf.plus(&key, &[b"se", b"ed"], 21).expose(), both);
    }
}

/// Computed by `AESCCM` and `AESGCM` of Python's cryptography: key 00 01 .., salt a0 a1 .., IV b0 .. b7, AAD 10 .. 1b, text 40 .. 64;
/// for GMAC the AAD is all of it (RFC 4543 section 3.3), and the text stays as it is.
#[test]
fn combined_modes_as_python_has_them() {
    let cases = [
        (
            EncrId::AES_CCM_8,
            128,
            "f959d0742a5c1e95bf5e4ac760f129f9e12a8a2c3dd4379ce8e87a9057b486c689a32c24274d099b728845b73d",
        ),
        (
            EncrId::AES_CCM_12,
            128,
            "f959d0742a5c1e95bf5e4ac760f129f9e12a8a2c3dd4379ce8e87a9057b486c689a32c2427e9c0fc0104f60147fa24df19",
        ),
        (
            EncrId::AES_CCM_16,
            128,
            "f959d0742a5c1e95bf5e4ac760f129f9e12a8a2c3dd4379ce8e87a9057b486c689a32c2427bbeccb09f7add1be71494a4f543ab159",
        ),
        (
            EncrId::AES_GCM_8,
            128,
            "30ae6037c69a713b7aadbdc4d9e5a9f89b35d6c6ba8277239c1e2cfd71b54fd2772e35411475c87cb9f7a36de6",
        ),
        (
            EncrId::AES_GCM_12,
            128,
            "30ae6037c69a713b7aadbdc4d9e5a9f89b35d6c6ba8277239c1e2cfd71b54fd2772e35411475c87cb9f7a36de68a5bcf97",
        ),
        (
            EncrId::AES_GCM_16,
            128,
            "30ae6037c69a713b7aadbdc4d9e5a9f89b35d6c6ba8277239c1e2cfd71b54fd2772e35411475c87cb9f7a36de68a5bcf97886c0712",
        ),
        (
            EncrId::NULL_AUTH_AES_GMAC,
            128,
            "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60616263646d13ab75e1af15114850649ffeb4d987",
        ),
        (
            EncrId::AES_CCM_8,
            192,
            "478e948220553b6b69d4e58dddd32c0458999823ad4f6d54cc9e0d0533982cd06c43e575f73bbd71019530c4ed",
        ),
        (
            EncrId::AES_CCM_12,
            192,
            "478e948220553b6b69d4e58dddd32c0458999823ad4f6d54cc9e0d0533982cd06c43e575f74362e9be8f66196b354bdc7f",
        ),
        (
            EncrId::AES_CCM_16,
            192,
            "478e948220553b6b69d4e58dddd32c0458999823ad4f6d54cc9e0d0533982cd06c43e575f75c2d2819648ea7751b1e86f412e3c60f",
        ),
        (
            EncrId::AES_GCM_8,
            192,
            "c663be1031c48bd76d15ba7e24c3c58b850abbf826e401e3570335bef8b81eb6e8f078f2dac947f0caa012eb57",
        ),
        (
            EncrId::AES_GCM_12,
            192,
            "c663be1031c48bd76d15ba7e24c3c58b850abbf826e401e3570335bef8b81eb6e8f078f2dac947f0caa012eb575c5ecccf",
        ),
        (
            EncrId::AES_GCM_16,
            192,
            "c663be1031c48bd76d15ba7e24c3c58b850abbf826e401e3570335bef8b81eb6e8f078f2dac947f0caa012eb575c5ecccf43091811",
        ),
        (
            EncrId::NULL_AUTH_AES_GMAC,
            192,
            "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f6061626364bbb5f9ce2e1291c22f2fbf86c05fdd8a",
        ),
        (
            EncrId::AES_CCM_8,
            256,
            "c978459defd5820bd04005cc14937117e29e81e4a1c849c253cb2025669de6dcc5ffdb0f2033b5396d523dc5dd",
        ),
        (
            EncrId::AES_CCM_12,
            256,
            "c978459defd5820bd04005cc14937117e29e81e4a1c849c253cb2025669de6dcc5ffdb0f207691678abe20e2121b9336ca",
        ),
        (
            EncrId::AES_CCM_16,
            256,
            "c978459defd5820bd04005cc14937117e29e81e4a1c849c253cb2025669de6dcc5ffdb0f20a7acc2f82d1ab5a19313825c0807a3c8",
        ),
        (
            EncrId::AES_GCM_8,
            256,
            "ef20ade7e90989ae9c9efba58dff04a39cf1019e7cda065be413da74fa417f529e422f95953fe29128bd6e89e1",
        ),
        (
            EncrId::AES_GCM_12,
            256,
            "ef20ade7e90989ae9c9efba58dff04a39cf1019e7cda065be413da74fa417f529e422f95953fe29128bd6e89e1ec7b8290",
        ),
        (
            EncrId::AES_GCM_16,
            256,
            "ef20ade7e90989ae9c9efba58dff04a39cf1019e7cda065be413da74fa417f529e422f95953fe29128bd6e89e1ec7b82904f66ae33",
        ),
        (
            EncrId::NULL_AUTH_AES_GMAC,
            256,
            "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60616263640477989e6d7017720038b06a0912b79b",
        ),
    ];
    let (aad, text): (Vec<u8>, Vec<u8>) = ((0x10..0x1c).collect(), (0x40..0x65).collect());
    for (encr, bits, expected) in cases {
        let cipher = Cipher::new(encr, Some(bits), None).unwrap();
        let salt = &[0xa0, 0xa1, 0xa2, 0xa3][..cipher.salt_len()];
        let key = PacketKey::new(cipher, &[&counting((bits / 8) as u8), salt].concat(), &[], [0; 16]);
        let mut buf = packet(cipher, &text);
        key.seal(0xb0b1_b2b3_b4b5_b6b7, &aad, &mut buf, &[]);
        assert_eq!(hex::encode(&buf), format!("b0b1b2b3b4b5b6b7{expected}"), "{cipher:?}");
        let range = key.open(&aad, &mut buf, &[]).unwrap();
        assert_eq!(buf[range], text, "{cipher:?}");
    }
}
