//! From seal to commit: what is sent once is delivered once, whatever the wire does.
use super::super::drop::Drop;
use super::super::inbound::InboundSa;
use super::super::outbound::OutboundSa;
use super::{cases, pair, params, sealed};
use crate::esp::Cipher;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// One train through one SA, as a worker does it: precheck all, open all, then the window once. The numbers that were delivered.
fn receive(sa: &InboundSa, train: &[Vec<u8>]) -> Vec<u64> {
    let open = |packet: &Vec<u8>| {
        let seq = sa.precheck(packet).ok()?;
        Some(sa.open(seq, &mut packet.clone()).expect("a right ICV").proof)
    };
    let proofs: Vec<_> = train.iter().filter_map(open).collect();
    let mut window = sa.window();
    proofs.into_iter().filter(|proof| window.commit(proof).is_ok()).map(|proof| proof.seq()).collect()
}

/// Takes the receiver to where `first` is next: more than 2^32 numbers at once it cannot follow.
fn catch_up(outbound: &OutboundSa, inbound: &InboundSa, first: u64) {
    for seq in [first / 2, first - 1].into_iter().filter(|seq| *seq > 0) {
        assert_eq!(receive(inbound, &[sealed(outbound, seq, b"", 59)]), [seq]);
    }
}

#[test]
fn every_suite_with_and_without_esn_for_every_length() {
    for cipher in Cipher::all() {
        for (esn, first) in [(false, 1), (true, 1), (true, (1 << 32) - 2)] {
            let (outbound, inbound) = pair(&params(cipher, esn), first, 64);
            catch_up(&outbound, &inbound, first);
            for len in (0..70).chain([1399, 1400, 65_535]) {
                let inner: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let seq = outbound.reserve(1).unwrap().start;
                let mut packet = sealed(&outbound, seq, &inner, 4);
                assert_eq!(inbound.precheck(&packet), Ok(seq), "{cipher:?} {len}");
                let opened = inbound.open(seq, &mut packet).unwrap();
                assert_eq!((&packet[opened.payload.clone()], opened.next_header), (&inner[..], 4), "{cipher:?} {len}");
                assert_eq!(inbound.window().commit(&opened.proof), Ok(true));
            }
        }
    }
}

#[test]
fn with_esn_the_high_half_is_authenticated() {
    for cipher in Cipher::all() {
        let (outbound, inbound) = pair(&params(cipher, true), 5, 64);
        let packet = sealed(&outbound, 5, b"payload", 4);
        assert_eq!(inbound.open(5 + (1 << 32), &mut packet.clone()).unwrap_err(), Drop::BadIcv, "{cipher:?}");
        assert!(inbound.open(5, &mut packet.clone()).is_ok());
        let (_, without) = pair(&params(cipher, false), 5, 64);
        assert_eq!(
            without.open(5, &mut packet.clone()).unwrap_err(),
            Drop::BadIcv,
            "{cipher:?}: other coverage without ESN"
        );
    }
}

#[test]
fn sealed_packets_have_no_iv_in_common() {
    for cipher in Cipher::all() {
        let (outbound, _) = pair(&params(cipher, false), 1, 64);
        let ivs: Vec<Vec<u8>> =
            (1..200).map(|seq| sealed(&outbound, seq, b"same", 4)[8..outbound.head()].to_vec()).collect();
        let distinct: std::collections::BTreeSet<_> = ivs.iter().collect();
        assert_eq!(distinct.len(), ivs.len(), "{cipher:?}");
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// Copies may come in any train; a packet that is not too old when its first copy comes is delivered once.
    #[test]
    fn a_packet_that_comes_one_to_eight_times_is_delivered_once(
        copies in prop::collection::vec((1..=8usize, 0..48u32), 1..60),
        train in 1..40usize,
        esn in any::<bool>(),
        first in prop::sample::select(vec![1u64, (1 << 32) - 40]),
    ) {
        let first = if esn { first } else { 1 };
        let (outbound, inbound) = pair(&params(Cipher::AesGcm256, esn), first, 64);
        catch_up(&outbound, &inbound, first);
        // Each copy is late by up to 47 places, so none falls out of a window of 64.
        let mut wire: Vec<(u64, Vec<u8>)> = Vec::new();
        for (place, (count, late)) in copies.iter().enumerate() {
            let seq = first + place as u64;
            let packet = sealed(&outbound, seq, &[place as u8; 40], 4);
            wire.extend((0..*count).map(|copy| (seq + u64::from(*late) * copy as u64 / 8, packet.clone())));
        }
        wire.sort_by_key(|(time, _)| *time);
        let packets: Vec<Vec<u8>> = wire.into_iter().map(|(_, packet)| packet).collect();
        let mut delivered: BTreeMap<u64, usize> = BTreeMap::new();
        for train in packets.chunks(train) {
            for seq in receive(&inbound, train) {
                *delivered.entry(seq).or_default() += 1;
            }
        }
        let expected: BTreeMap<u64, usize> = (first..first + copies.len() as u64).map(|seq| (seq, 1)).collect();
        prop_assert_eq!(delivered, expected);
    }
}

#[test]
fn workers_that_get_the_same_packets_deliver_each_once() {
    let (outbound, inbound) = pair(&params(Cipher::AesGcm128, true), 1, 65_536);
    let packets: Vec<Vec<u8>> = (1..=2000).map(|seq| sealed(&outbound, seq, b"payload", 4)).collect();
    let delivered = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for train in packets.chunks(50) {
                    let seqs = receive(&inbound, train);
                    delivered.lock().unwrap().extend(seqs);
                }
            });
        }
    });
    let mut delivered = delivered.into_inner().unwrap();
    delivered.sort_unstable();
    assert!(delivered.into_iter().eq(1..=2000));
}
