//! Packets that are sealed and opened together are what they would be alone: CBC against a chain and a MAC that know of no batch.
use super::packet;
use crate::crypto::cipher::{BadIcv, Body, Cipher, FEW, PacketKey, SEALED_TOGETHER};
use crate::crypto::integ::Integ;
use crate::crypto::prf::Prf;
use aes::cipher::{BlockCipherEncrypt, BlockModeEncrypt, InOutBuf, InnerIvInit, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ring::hmac;

const ENCR: [u8; 36] = [0x3c; 36];
const INTEG: [u8; 64] = [0x77; 64];
const IV_KEY: [u8; 16] = [0xa5; 16];
const AAD: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn key(cipher: Cipher) -> PacketKey {
    PacketKey::new(cipher, &ENCR[..cipher.encr_key_len()], &INTEG[..cipher.integ_key_len()], IV_KEY)
}

/// ESN's high half, which only CBC with HMAC authenticates behind the ciphertext.
fn tail(cipher: Cipher) -> &'static [u8] {
    if cipher.is_aead() { &[] } else { &[0, 0, 0, 5] }
}

/// One packet, sealed by hand.
fn alone(cipher: Cipher, counter: u64, text: &[u8]) -> Vec<u8> {
    let Some(integ) = cipher.integ() else {
        let mut sealed = packet(cipher, text);
        key(cipher).seal(counter, &AAD, &mut sealed, &[]);
        return sealed;
    };
    let mut iv = u128::from(counter).to_be_bytes().into();
    Aes128::new(&IV_KEY.into()).encrypt_block(&mut iv);
    let mut text = text.to_vec();
    let blocks = InOutBuf::from(&mut text[..]).into_chunks().0;
    let encr = &ENCR[..cipher.encr_key_len()];
    match encr.len() {
        16 => cbc::Encryptor::inner_iv_init(Aes128::new_from_slice(encr).unwrap(), &iv).encrypt_blocks_inout(blocks),
        24 => cbc::Encryptor::inner_iv_init(Aes192::new_from_slice(encr).unwrap(), &iv).encrypt_blocks_inout(blocks),
        _ => cbc::Encryptor::inner_iv_init(Aes256::new_from_slice(encr).unwrap(), &iv).encrypt_blocks_inout(blocks),
    }
    let sent = [&iv[..], &text].concat();
    let (key, covered) = (&INTEG[..integ.key_len()], [&AAD[..], &sent, tail(cipher)].concat());
    let rings = |algorithm| hmac::sign(&hmac::Key::new(algorithm, key), &covered).as_ref().to_vec();
    let icv = match integ {
        Integ::HmacSha1_96 => rings(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Integ::HmacSha256_128 => rings(hmac::HMAC_SHA256),
        Integ::HmacSha384_192 => rings(hmac::HMAC_SHA384),
        Integ::HmacSha512_256 => rings(hmac::HMAC_SHA512),
        Integ::AesCmac96 => Prf::AesCmac.mac(key, &[&covered]).expose().to_vec(),
        Integ::AesXcbc96 => Prf::AesXcbc.mac(key, &[&covered]).expose().to_vec(),
    };
    [&sent, &icv[..cipher.icv_len()]].concat()
}

fn bodies<'p>(cipher: Cipher, first: u64, packets: &'p mut [Vec<u8>]) -> Vec<Body<'p>> {
    let body = |(counter, buf): (u64, &'p mut Vec<u8>)| Body { counter, aad: &AAD, buf, tail: tail(cipher) };
    (first..).zip(packets).map(body).collect()
}

/// Plaintexts of so many blocks each.
fn texts(cipher: Cipher, blocks: &[usize]) -> Vec<Vec<u8>> {
    let text = |(i, blocks): (usize, &usize)| (0..blocks * cipher.block()).map(|at| (at * 31 + i * 7) as u8).collect();
    blocks.iter().enumerate().map(text).collect()
}

fn sealed_together(cipher: Cipher, first: u64, texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = texts.iter().map(|text| packet(cipher, text)).collect();
    key(cipher).seal_many(&mut bodies(cipher, first, &mut packets));
    packets
}

/// What `open_many` says of each packet.
fn opened_together(cipher: Cipher, packets: &mut [Vec<u8>]) -> Vec<Result<Vec<u8>, BadIcv>> {
    let mut results = Vec::new();
    key(cipher).open_many(&mut bodies(cipher, 0, packets), |body, plain| {
        results.push(plain.map(|range| body.buf[range].to_vec()));
    });
    results
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(3602),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_batch_is_its_packets(
        cipher in proptest::sample::select(Cipher::all()),
        first in 0..u64::MAX / 2,
        blocks in proptest::collection::vec(0usize..90, 0..100),
    ) {
        let texts = texts(cipher, &blocks);
        let together = sealed_together(cipher, first, &texts);
        for ((counter, text), sealed) in (first..).zip(&texts).zip(&together) {
            prop_assert_eq!(hex::encode(sealed), hex::encode(alone(cipher, counter, text)));
        }
    }

    #[test]
    fn in_a_batch_exactly_the_wrong_ones_do_not_open(
        cipher in proptest::sample::select(Cipher::all()),
        packets in proptest::collection::vec((0usize..90, proptest::option::weighted(0.3, any::<u32>())), 1..40),
    ) {
        let (blocks, flips): (Vec<usize>, Vec<Option<u32>>) = packets.into_iter().unzip();
        let texts = texts(cipher, &blocks);
        let mut sealed = sealed_together(cipher, 9, &texts);
        for (packet, flip) in sealed.iter_mut().zip(&flips) {
            if let Some(flip) = flip {
                let bit = *flip as usize % (packet.len() * 8);
                packet[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let mut packets = sealed.clone();
        let opened = opened_together(cipher, &mut packets);
        prop_assert_eq!(opened.len(), texts.len());
        for ((((plain, flip), text), left), sealed) in opened.iter().zip(&flips).zip(&texts).zip(&packets).zip(&sealed) {
            if flip.is_some() {
                prop_assert_eq!(plain, &Err(BadIcv));
                prop_assert!(cipher.is_aead() || left == sealed, "nothing is decrypted before its ICV was right");
            } else {
                prop_assert_eq!(plain.as_ref(), Ok(text));
            }
        }
    }
}

/// One more and one less than go together, all of one length and the last one short, as a train is.
#[test]
fn trains_of_many_lengths() {
    for cipher in Cipher::all() {
        for count in (1..=2 * FEW + 1).chain([45, SEALED_TOGETHER - 1, SEALED_TOGETHER, 2 * SEALED_TOGETHER + 1]) {
            let mut blocks = vec![5; count];
            blocks[count - 1] = 2;
            let texts = texts(cipher, &blocks);
            let mut together = sealed_together(cipher, 1, &texts);
            for ((counter, text), sealed) in (1..).zip(&texts).zip(&together) {
                assert_eq!(sealed, &alone(cipher, counter, text), "{cipher:?} {count} {counter}");
            }
            let plain: Vec<_> = opened_together(cipher, &mut together).into_iter().map(Result::unwrap).collect();
            assert_eq!(plain, texts, "{cipher:?} {count}");
        }
    }
}

/// What cannot be a packet is wrong for itself, too.
#[test]
fn misshapen_packets_do_no_harm_to_others() {
    for cipher in Cipher::all() {
        let text = vec![0x5a; 64];
        let right = alone(cipher, 3, &text);
        let mut packets = Vec::new();
        for len in 0..right.len() {
            packets.extend([right[..len].to_vec(), right.clone()]);
        }
        for (i, plain) in opened_together(cipher, &mut packets).into_iter().enumerate() {
            let expected = if i % 2 == 0 { Err(BadIcv) } else { Ok(text.clone()) };
            assert_eq!(plain, expected, "{cipher:?} {i}");
        }
    }
}
