//! A run of packets through one SA is what its packets are one by one.
use super::super::drop::Drop;
use super::hostile::{receive, sealed_raw};
use super::{Cipher, cases, pair, params, sealed};
use proptest::prelude::*;

/// What is done to a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Whole,
    Flipped(usize),
    Cut(usize),
    /// With a trailer that cannot be.
    Odd,
    /// A number that was received before.
    Again,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Whole),
        1 => any::<usize>().prop_map(Fate::Flipped),
        1 => any::<usize>().prop_map(Fate::Cut),
        1 => Just(Fate::Odd),
        1 => Just(Fate::Again),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn sealed_together_as_alone(
        cipher in prop::sample::select(Cipher::all()),
        esn: bool,
        first in prop_oneof![Just(1u64), Just((1 << 32) - 20)],
        lens in prop::collection::vec(0usize..1500, 0..40),
    ) {
        let (sa, _) = pair(&params(cipher, esn), first, 64);
        let inner = |i: usize| vec![i as u8; lens[i]];
        let mut run: Vec<Vec<u8>> = (0..lens.len()).map(|i| {
            let mut room = vec![0; sa.sealed_len(lens[i])];
            room[sa.head()..][..lens[i]].copy_from_slice(&inner(i));
            room
        }).collect();
        let numbers = sa.reserve(lens.len() as u32);
        prop_assume!(numbers.is_ok());
        let numbers = numbers.unwrap();
        sa.seal_run(numbers.start, run.iter_mut().zip(&lens).map(|(room, len)| (&mut room[..], *len)), 4);
        for ((i, seq), packet) in numbers.enumerate().zip(run) {
            prop_assert_eq!(packet, sealed(&sa, seq, &inner(i), 4));
        }
    }

    #[test]
    fn opened_together_as_alone(
        cipher in prop::sample::select(Cipher::all()),
        esn: bool,
        packets in prop::collection::vec((0usize..1500, fates()), 0..40),
    ) {
        let params = params(cipher, esn);
        let (outbound, inbound) = pair(&params, 1, 64);
        let first = sealed(&outbound, 1, b"first", 4);
        let opened = inbound.open(1, &mut first.clone()).unwrap();
        inbound.window().commit(&opened.proof).unwrap();
        let mut run: Vec<Vec<u8>> = (2..).zip(&packets).map(|(seq, (len, fate))| {
            let mut packet = sealed(&outbound, seq, &vec![seq as u8; *len], 4);
            match fate {
                Fate::Whole => {}
                Fate::Flipped(bit) => {
                    // The SPI is not looked at: by it the SA was found.
                    let bit = 32 + bit % (packet.len() * 8 - 32);
                    packet[bit / 8] ^= 1 << (bit % 8);
                }
                Fate::Cut(to) => packet.truncate(to % packet.len()),
                Fate::Odd => packet = sealed_raw(&params, seq, &[0xee; 32]),
                Fate::Again => packet.clone_from(&first),
            }
            packet
        }).collect();
        let expected: Vec<_> = run.iter().map(|packet| receive(&inbound, &mut packet.clone())).collect();
        let mut results = vec![None; run.len()];
        let mut order = Vec::new();
        inbound.open_run(run.iter_mut().map(Vec::as_mut_slice).enumerate(), |i, opened| {
            order.extend(opened.is_ok().then_some(i));
            results[i] = Some(opened.map(|opened| (opened.proof.seq(), opened.payload, opened.next_header)));
        });
        let results: Vec<_> = results.into_iter().map(Option::unwrap).collect();
        prop_assert_eq!(&results, &expected);
        prop_assert!(order.is_sorted(), "in order");
        for (((seq, (len, fate)), packet), result) in (2..).zip(&packets).zip(&run).zip(results) {
            match (fate, result) {
                (Fate::Whole, Ok((_, payload, _))) => prop_assert_eq!(&packet[payload], &vec![seq as u8; *len]),
                (Fate::Whole, Err(reason)) => prop_assert!(false, "{reason:?}"),
                (Fate::Odd, result) => prop_assert_eq!(result, Err(Drop::BadPadding)),
                (Fate::Again, result) => prop_assert_eq!(result, Err(Drop::Replayed)),
                (_, result) => prop_assert!(result.is_err()),
            }
        }
    }
}
