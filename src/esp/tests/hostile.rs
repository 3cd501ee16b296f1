//! What a peer with the right keys, or nobody with any, may send: a named drop, never a panic.
use super::super::drop::Drop;
use super::super::inbound::{InboundSa, tunnel_payload};
use super::super::layout::Layout;
use super::{cases, pair, params, sealed};
use crate::crypto::cipher::PacketKey;
use crate::esp::{Cipher, Covered, SaParams};
use proptest::prelude::*;

/// Seals `plain` as it is: padding and trailer are the sender's invention.
pub(super) fn sealed_raw(params: &SaParams, seq: u64, plain: &[u8]) -> Vec<u8> {
    let layout = Layout::of(params.cipher);
    let mut packet = vec![0; layout.head() + plain.len() + layout.icv()];
    crate::wire::esp::write_header(&mut packet, params.spi, seq as u32);
    packet[layout.head()..layout.head() + plain.len()].copy_from_slice(plain);
    let key = PacketKey::new(params.cipher, params.encr.expose(), params.integ.expose(), [9; 16]);
    let covered = Covered::new(params.spi, seq, params.esn, params.cipher.is_aead());
    key.seal(seq, covered.front(), &mut packet[8..], covered.behind());
    packet
}

pub(super) fn receive(sa: &InboundSa, packet: &mut [u8]) -> Result<(u64, std::ops::Range<usize>, u8), Drop> {
    let seq = sa.precheck(packet)?;
    let opened = sa.open(seq, packet)?;
    Ok((opened.proof.seq(), opened.payload, opened.next_header))
}

#[test]
fn every_short_length_has_a_name() {
    for cipher in Cipher::all() {
        for esn in [false, true] {
            let (_, sa) = pair(&params(cipher, esn), 1, 64);
            let layout = Layout::of(cipher);
            for len in 0..=128 {
                for fill in [0x00, 0x01, 0x7f] {
                    let whole = len > layout.head() + layout.icv()
                        && (len - layout.head() - layout.icv()).is_multiple_of(cipher.block());
                    let expected = match (whole, fill) {
                        (false, _) => Drop::TooShort,
                        (true, 0) => Drop::TooOld,
                        (true, _) => Drop::BadIcv,
                    };
                    let mut packet = vec![fill; len];
                    assert_eq!(receive(&sa, &mut packet), Err(expected), "{cipher:?} {len} of {fill}");
                    // Also where precheck was left out.
                    assert!(matches!(sa.open(1, &mut vec![fill; len]), Err(Drop::TooShort | Drop::BadIcv)));
                }
            }
        }
    }
}

/// Peers that cut the ICV of SHA2-256 to 96 bits, as a draft had it.
#[test]
fn an_icv_that_was_cut_is_told_from_anything_else() {
    use crate::crypto::integ::Integ;
    for cipher in Cipher::all() {
        for esn in [false, true] {
            let params = params(cipher, esn);
            let (outbound, sa) = pair(&params, 1, 64);
            // Numbers with high bits, where they do not travel.
            let first = if esn { 7 << 32 } else { 7 };
            sa.window().commit(&crate::esp::replay::Authentic(first)).unwrap();
            let packet = sealed(&outbound, first + 5, &[0x45; 40], 4);
            let mut cut = packet[..packet.len() - 4].to_vec();
            let with_sha256 = cipher.integ() == Some(Integ::HmacSha256_128);
            assert_eq!(sa.is_cut(&cut), with_sha256, "{cipher:?}");
            assert!(!sa.is_cut(&packet) && !sa.is_cut(&cut[..cut.len() - 16]) && !sa.is_cut(&[]));
            cut[30] ^= 1;
            assert!(!sa.is_cut(&cut));
        }
    }
}

#[test]
fn every_changed_octet_is_a_bad_icv() {
    for cipher in Cipher::all() {
        let (outbound, sa) = pair(&params(cipher, false), 1, 64);
        let packet = sealed(&outbound, 1, &[0x45; 40], 4);
        for place in 0..packet.len() {
            let mut changed = packet.clone();
            changed[place] ^= 0x01;
            // A changed SPI does not come here on the wire, but must not matter: the SA's own is covered.
            let expected = if place < 4 { Ok(()) } else { Err(Drop::BadIcv) };
            let seq = sa.precheck(&changed);
            let result = seq.and_then(|seq| sa.open(seq, &mut changed).map(|_| ()));
            let expected = if place == 7 { Err(Drop::TooOld) } else { expected };
            assert_eq!(result, expected, "{cipher:?} {place}");
        }
        assert_eq!(sa.window().highest(), 0);
    }
}

#[test]
fn padding_is_checked_behind_a_right_icv() {
    for cipher in Cipher::all() {
        let params = params(cipher, false);
        let sa = InboundSa::new(&params, 64);
        let block = |text: &[u8]| {
            let mut block = vec![0x45; 16 - text.len()];
            block.extend(text);
            block
        };
        let good: [(&[u8], usize); 4] = [
            (&[0, 4], 14),
            (&[1, 1, 4], 13),
            (&[1, 2, 3, 3, 4], 11),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 14, 4], 0),
        ];
        for (text, len) in good {
            let (_, payload, next) = receive(&sa, &mut sealed_raw(&params, 1, &block(text))).unwrap();
            assert_eq!((payload.len(), next), (len, 4), "{cipher:?} {text:?}");
        }
        let bad: [&[u8]; 6] = [&[0, 1, 4], &[2, 1, 4], &[1, 1, 2, 4], &[1, 3, 2, 4], &[15, 4], &[255, 4]];
        for text in bad {
            let result = receive(&sa, &mut sealed_raw(&params, 1, &block(text)));
            assert_eq!(result, Err(Drop::BadPadding), "{cipher:?} {text:?}");
        }
    }
}

/// An IPv4 packet of this length, UDP.
fn ipv4(len: u16) -> Vec<u8> {
    let mut packet = vec![0; len.into()];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[8] = 64;
    packet[9] = 17;
    packet[12..16].copy_from_slice(&[10, 2, 0, 1]);
    packet[16..20].copy_from_slice(&[10, 1, 0, 1]);
    packet
}

/// An IPv6 packet of this length, UDP.
fn ipv6(len: u16) -> Vec<u8> {
    let mut packet = vec![0; len.into()];
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&(len - 40).to_be_bytes());
    packet[6] = 17;
    packet[7] = 64;
    packet[8] = 0xfd;
    packet[24] = 0xfd;
    packet
}

fn inner(payload: &[u8], next_header: u8) -> Result<Vec<u8>, Drop> {
    let (outbound, sa) = pair(&params(Cipher::AesGcm256, false), 1, 64);
    let mut packet = sealed(&outbound, 1, payload, next_header);
    let opened = sa.open(1, &mut packet).unwrap();
    tunnel_payload(&opened, &packet).map(|inner| packet[inner.range].to_vec())
}

#[test]
fn the_inner_header_tells_the_length_and_the_rest_is_tfc_padding() {
    for (packet, next_header) in [(ipv4(60), 4), (ipv6(80), 41)] {
        assert_eq!(inner(&packet, next_header), Ok(packet.clone()));
        let padded = [&packet[..], &[0xaa; 333]].concat();
        assert_eq!(inner(&padded, next_header), Ok(packet.clone()));
        assert_eq!(inner(&packet[..packet.len() - 1], next_header), Err(Drop::Malformed), "less than it says");
        for len in 0..20 {
            assert_eq!(inner(&packet[..len], next_header), Err(Drop::Malformed), "{len}");
        }
    }
}

#[test]
fn the_next_header_must_be_that_of_a_tunnel_and_of_what_is_inside() {
    assert_eq!(inner(&ipv4(60), 41), Err(Drop::BadNextHeader));
    assert_eq!(inner(&ipv6(80), 4), Err(Drop::BadNextHeader));
    for next_header in (0..=255).filter(|next| ![4, 41, 59].contains(next)) {
        assert_eq!(inner(&ipv4(60), next_header), Err(Drop::BadNextHeader), "{next_header}");
    }
    for payload in [&b""[..], &[0; 100], &ipv4(60)] {
        assert_eq!(inner(payload, 59), Err(Drop::Dummy));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_octets_are_a_named_drop(
        mut packet in prop::collection::vec(any::<u8>(), 0..300), cipher in prop::sample::select(Cipher::all()), esn in any::<bool>(), seq in any::<u64>(),
    ) {
        let (_, sa) = pair(&params(cipher, esn), 1, 64);
        prop_assert!(receive(&sa, &mut packet.clone()).is_err());
        prop_assert!(sa.open(seq, &mut packet).is_err());
    }

    #[test]
    fn any_octets_with_a_right_icv_are_a_payload_or_a_named_drop(
        plain in prop::collection::vec(any::<u8>(), 1..20).prop_map(|blocks| blocks.repeat(16)), cipher in prop::sample::select(Cipher::all()), next in prop::sample::select(vec![4u8, 41, 59, 6]),
    ) {
        let params = params(cipher, false);
        let sa = InboundSa::new(&params, 64);
        let mut packet = sealed_raw(&params, 1, &plain);
        match sa.open(1, &mut packet) {
            Ok(mut opened) => {
                opened.next_header = next;
                let len = opened.payload.len();
                if let Ok(inner) = tunnel_payload(&opened, &packet) {
                    prop_assert!(inner.range.len() <= len);
                }
            }
            Err(reason) => prop_assert_eq!(reason, Drop::BadPadding),
        }
    }
}
