use super::*;
use proptest::prelude::*;

#[test]
fn gathers_in_any_order() {
    let mut r = Reassembly::new(100);
    assert_eq!(r.insert(3, 3, PayloadType::NONE, b"ef".to_vec()), Gathered::Waiting);
    assert_eq!(r.insert(1, 3, PayloadType::IDI, b"ab".to_vec()), Gathered::Waiting);
    assert_eq!(r.octets(), 4);
    assert_eq!(
        r.insert(2, 3, PayloadType::NONE, b"cd".to_vec()),
        Gathered::Complete(PayloadType::IDI, b"abcdef".to_vec())
    );
    assert!(r.is_empty() && r.octets() == 0);
}

#[test]
fn only_the_first_tells_the_type() {
    let mut r = Reassembly::new(100);
    r.insert(2, 2, PayloadType::SA, vec![]);
    assert_eq!(r.insert(1, 2, PayloadType::IDI, vec![]), Gathered::Complete(PayloadType::IDI, vec![]));
}

#[test]
fn a_repetition_changes_nothing() {
    let mut r = Reassembly::new(100);
    r.insert(1, 2, PayloadType::IDI, b"ab".to_vec());
    assert!(!r.wants(1, 2) && r.wants(2, 2));
    assert_eq!(r.insert(1, 2, PayloadType::SA, b"xy".to_vec()), Gathered::Dropped);
    assert_eq!(
        r.insert(2, 2, PayloadType::NONE, b"cd".to_vec()),
        Gathered::Complete(PayloadType::IDI, b"abcd".to_vec())
    );
}

#[test]
fn impossible_numbers() {
    let mut r = Reassembly::new(100);
    for (number, total) in [(0, 0), (0, 1), (1, 0), (2, 1), (1, MAX_FRAGMENTS + 1), (u16::MAX, u16::MAX)] {
        assert!(!r.wants(number, total));
        assert_eq!(r.insert(number, total, PayloadType::IDI, vec![1]), Gathered::Dropped, "{number} {total}");
    }
    assert!(r.is_empty());
    assert_eq!(r.insert(MAX_FRAGMENTS, MAX_FRAGMENTS, PayloadType::NONE, vec![1]), Gathered::Waiting);
}

/// RFC 7383 section 2.6: a greater total starts over, a smaller one is dropped.
#[test]
fn a_changing_total() {
    let mut r = Reassembly::new(100);
    r.insert(1, 2, PayloadType::IDI, b"abc".to_vec());
    assert_eq!(r.insert(3, 3, PayloadType::NONE, b"f".to_vec()), Gathered::Waiting);
    assert_eq!(r.octets(), 1);
    assert_eq!(r.insert(2, 2, PayloadType::NONE, b"def".to_vec()), Gathered::Dropped);
    assert_eq!(r.insert(1, 1, PayloadType::IDI, b"x".to_vec()), Gathered::Dropped);
    assert_eq!(r.insert(1, 3, PayloadType::IDR, b"ab".to_vec()), Gathered::Waiting);
    assert_eq!(
        r.insert(2, 3, PayloadType::NONE, b"cde".to_vec()),
        Gathered::Complete(PayloadType::IDR, b"abcdef".to_vec())
    );
}

#[test]
fn the_limit_holds() {
    let mut r = Reassembly::new(10);
    assert_eq!(r.insert(1, 2, PayloadType::IDI, vec![0; 5]), Gathered::Waiting);
    assert_eq!(r.insert(2, 2, PayloadType::NONE, vec![0; 6]), Gathered::TooLong);
    assert!(r.is_empty() && r.octets() == 0);
    r.insert(1, 2, PayloadType::IDI, vec![0; 5]);
    assert!(matches!(r.insert(2, 2, PayloadType::NONE, vec![0; 5]), Gathered::Complete(_, whole) if whole.len() == 10));
    assert_eq!(Reassembly::new(usize::MAX).insert(1, 2, PayloadType::IDI, vec![0; MAX_MESSAGE + 1]), Gathered::TooLong);
}

#[test]
fn impossible_splits() {
    assert!(split(10, 0).is_none() && split(257, 1).is_none() && split(256, 1).is_some());
    assert!(split(0, 5).unwrap().eq(std::iter::once(0..0)));
    assert_eq!(split(11, 5).unwrap().collect::<Vec<_>>(), [0..5, 5..10, 10..11]);
}

proptest! {
    #[test]
    fn split_and_gather(whole in prop::collection::vec(any::<u8>(), 0..2000), room in 8usize..700, order in any::<prop::sample::Index>()) {
        let parts: Vec<_> = split(whole.len(), room).unwrap().collect();
        let total = parts.len() as u16;
        let turn = order.index(parts.len());
        let mut r = Reassembly::new(2000);
        let mut result = Gathered::Waiting;
        for i in (0..parts.len()).map(|i| (i + turn) % parts.len()) {
            prop_assert_eq!(&result, &Gathered::Waiting);
            prop_assert!(parts[i].len() <= room);
            let first = if i == 0 { PayloadType::IDI } else { PayloadType::NONE };
            result = r.insert(i as u16 + 1, total, first, whole[parts[i].clone()].to_vec());
        }
        prop_assert_eq!(result, Gathered::Complete(PayloadType::IDI, whole));
    }
    /// Whatever comes in, the buffer keeps its limit and never completes without every part.
    #[test]
    fn bounded(inserts in prop::collection::vec((0u16..6, 0u16..6, 0usize..40), 0..50)) {
        let mut r = Reassembly::new(60);
        for (number, total, len) in inserts {
            let result = r.insert(number, total, PayloadType::SA, vec![number as u8; len]);
            prop_assert!(r.octets() <= 60);
            if let Gathered::Complete(_, whole) = result { prop_assert!(whole.is_sorted() && r.is_empty()) }
        }
    }
}
