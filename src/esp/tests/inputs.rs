//! Of the 83 inputs that broke other gateways (`ike::tests::inputs` has the rest) those that are ESP.
use super::super::drop::Drop;
use super::super::inbound::InboundSa;
use super::super::layout::Layout;
use super::hostile::{receive, sealed_raw};
use super::{Cipher, pair, params, sealed};
use crate::crypto::cipher::PacketKey;

#[test]
fn input_69_padding_is_no_longer_than_it_must_be() {
    for cipher in Cipher::all() {
        let (outbound, _) = pair(&params(cipher, false), 1, 64);
        let layout = Layout::of(cipher);
        let unit = if cipher.is_aead() { 4 } else { 16 };
        for len in 0..100 {
            let least = (len + 2usize).next_multiple_of(unit);
            assert_eq!(outbound.sealed_len(len), layout.head() + least + layout.icv(), "{cipher:?} {len}");
        }
    }
}

#[test]
fn input_70_pad_length_beyond_the_packet_under_a_right_icv() {
    for cipher in Cipher::all() {
        let params = params(cipher, false);
        let sa = InboundSa::new(&params, 64);
        for len in [16, 32, 240, 256] {
            for pad in [len - 1, 254, 255] {
                let mut plain = vec![0; len];
                (plain[len - 2], plain[len - 1]) = (pad as u8, 4);
                let result = receive(&sa, &mut sealed_raw(&params, 1, &plain));
                assert_eq!(result, Err(Drop::BadPadding), "{cipher:?} {len} {pad}");
            }
        }
    }
}

#[test]
fn input_71_padding_that_does_not_count_from_one() {
    for cipher in Cipher::all() {
        let params = params(cipher, false);
        let sa = InboundSa::new(&params, 64);
        for (padding, fine) in [([1, 2, 3], true), ([0, 0, 0], false), ([1, 2, 4], false), ([3, 2, 1], false)] {
            let plain = [&[0x45; 11][..], &padding, &[3, 4]].concat();
            assert_eq!(receive(&sa, &mut sealed_raw(&params, 1, &plain)).is_ok(), fine, "{cipher:?} {padding:?}");
        }
    }
}

#[test]
fn input_72_packets_too_short_for_anything() {
    for cipher in Cipher::all() {
        let (_, sa) = pair(&params(cipher, false), 1, 64);
        let layout = Layout::of(cipher);
        for len in 0..=64 {
            let result = receive(&sa, &mut vec![1; len]);
            let short = len <= layout.head() + layout.icv();
            assert!(matches!(result, Err(Drop::TooShort | Drop::BadIcv)), "{cipher:?} {len}");
            assert!(!short || result == Err(Drop::TooShort), "{cipher:?} {len}: {result:?}");
        }
    }
}

#[test]
fn input_73_the_largest_packet_there_is() {
    for cipher in Cipher::all() {
        let (outbound, sa) = pair(&params(cipher, false), 1, 64);
        let inner: Vec<u8> = (0..65_535u32).map(|i| i as u8).collect();
        let mut packet = sealed(&outbound, 1, &inner, 4);
        let opened = sa.open(1, &mut packet).unwrap();
        assert_eq!(packet[opened.payload], inner, "{cipher:?}");
    }
}

/// RFC 4303 section 2.2.1, RFC 4106 section 5: the whole number stands in the AAD of an AEAD, and behind the packet for an integrity algorithm.
#[test]
fn input_74_extended_numbers_are_covered_where_the_rfcs_say() {
    let seq: u64 = (1 << 32) + 5;
    for cipher in Cipher::all() {
        let params = params(cipher, true);
        let (outbound, _) = pair(&params, seq, 64);
        let packet = sealed(&outbound, seq, b"payload", 4);
        assert_eq!(packet[4..8], [0, 0, 0, 5], "the high half does not travel");
        let key = PacketKey::new(cipher, params.encr.expose(), params.integ.expose(), [0; 16]);
        let (spi, high, low) = (&packet[..4], [0, 0, 0, 1], &packet[4..8]);
        let open = |front: &[u8], behind: &[u8]| key.open(front, &mut packet[8..].to_vec(), behind).is_ok();
        if cipher.is_aead() {
            assert!(open(&[spi, &high, low].concat(), &[]) && !open(&[spi, low].concat(), &[]), "{cipher:?}");
        } else {
            assert!(open(&[spi, low].concat(), &high) && !open(&[spi, low].concat(), &[]), "{cipher:?}");
        }
    }
}
