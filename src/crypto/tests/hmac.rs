//! HMAC over bare block functions, one message and several by turns, against ring's, and what RFC 4231 prints of long keys.
use super::unhex;
use crate::crypto::mac::{Algorithm, MAX_LEN, MacKey, WAYS};
use ring::hmac;

const ALGORITHMS: [(Algorithm, hmac::Algorithm); 4] = [
    (Algorithm::HmacSha1, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
    (Algorithm::HmacSha256, hmac::HMAC_SHA256),
    (Algorithm::HmacSha384, hmac::HMAC_SHA384),
    (Algorithm::HmacSha512, hmac::HMAC_SHA512),
];

fn counting(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

fn ours(algorithm: Algorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = vec![0; algorithm.len()];
    MacKey::new(algorithm, key).mac(parts, &mut mac);
    mac
}

fn rings(algorithm: hmac::Algorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
}

/// RFC 4231 sections 4.7 and 4.8.
#[test]
fn rfc4231_keys_longer_than_a_block() {
    let (first, both) = (
        &b"Test Using Larger Than Block-Size Key - Hash Key First"[..],
        &b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed \
           before being used by the HMAC algorithm."[..],
    );
    let cases = [
        (Algorithm::HmacSha256, first, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        (Algorithm::HmacSha256, both, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
        (
            Algorithm::HmacSha384,
            first,
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        ),
        (
            Algorithm::HmacSha384,
            both,
            "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e",
        ),
        (
            Algorithm::HmacSha512,
            first,
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352
                  6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        ),
        (
            Algorithm::HmacSha512,
            both,
            "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944
                  b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
        ),
    ];
    for (algorithm, message, mac) in cases {
        assert_eq!(ours(algorithm, &[0xaa; 131], &[message]), unhex(mac), "{algorithm:?}");
    }
}

/// Around every edge: of a block, of what is left in it for the length, of parts.
#[test]
fn messages_of_every_length_in_every_two_parts() {
    for (algorithm, theirs) in ALGORITHMS {
        let key = MacKey::new(algorithm, b"key");
        for len in 0..=300 {
            let message = counting(len);
            let expected = rings(theirs, b"key", &message);
            for at in (0..=len).step_by(1 + len / 40) {
                let (front, back) = message.split_at(at);
                let mut mac = vec![0; algorithm.len()];
                key.mac(&[front, &[], back], &mut mac);
                assert_eq!(mac, expected, "{algorithm:?}, {at} of {len}");
            }
        }
    }
}

#[test]
fn keys_of_every_length() {
    for (algorithm, theirs) in ALGORITHMS {
        for len in 0..=300 {
            let key = counting(len);
            assert_eq!(ours(algorithm, &key, &[b"text"]), rings(theirs, &key, b"text"), "{algorithm:?}, {len}");
        }
    }
}

/// Of unlike lengths, so that some end before others; each in a front as ESP has it, a body, and a tail. What is behind a MAC stays.
#[test]
fn several_by_turns_are_what_each_is_alone() {
    let front = [1, 2, 3, 4, 5, 6, 7, 8];
    for (algorithm, theirs) in ALGORITHMS {
        let key = MacKey::new(algorithm, b"key");
        for len in 0..400 {
            let bodies = [counting(len), counting(399 - len), counting(len / 7), counting(1448)];
            let tails = [&[][..], &[1, 2, 3, 4], &[9; 70], &[5, 6, 7, 8]];
            let messages: [[&[u8]; 3]; WAYS] = std::array::from_fn(|i| [&front, &bodies[i][..], tails[i]]);
            for count in 0..=WAYS {
                let mut macs = [[0xee; MAX_LEN]; WAYS];
                key.macs(&messages[..count], &mut macs);
                for (mac, message) in macs.iter().zip(&messages[..count]) {
                    assert_eq!(mac[..algorithm.len()], rings(theirs, b"key", &message.concat()), "{algorithm:?} {len}");
                    assert!(mac[algorithm.len()..].iter().all(|octet| *octet == 0xee));
                }
                assert!(macs[count..].iter().all(|mac| *mac == [0xee; MAX_LEN]));
            }
        }
    }
}
