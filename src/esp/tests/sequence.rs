use super::super::sequence::Sequence;

const LAST_SHORT: u64 = u32::MAX as u64;

#[test]
fn the_first_number_is_one_and_runs_join() {
    let sequence = Sequence::new(false, 1);
    assert_eq!(sequence.take(1), Some(1..2));
    assert_eq!(sequence.take(64), Some(2..66));
    assert_eq!(sequence.take(0), Some(66..66));
    assert_eq!(sequence.next(), 66);
}

#[test]
fn without_esn_the_last_number_is_the_last_of_32_bits() {
    let sequence = Sequence::new(false, LAST_SHORT - 1);
    assert_eq!(sequence.take(3), None, "all or none");
    assert_eq!(sequence.left(), 2, "a refusal takes nothing");
    assert_eq!(sequence.take(2), Some(LAST_SHORT - 1..LAST_SHORT + 1));
    assert_eq!((sequence.take(1), sequence.take(u32::MAX), sequence.left()), (None, None, 0));
}

#[test]
fn with_esn_the_boundary_of_32_bits_is_crossed_and_that_of_64_is_not() {
    let sequence = Sequence::new(true, LAST_SHORT);
    assert_eq!(sequence.take(2), Some(LAST_SHORT..LAST_SHORT + 2));
    let sequence = Sequence::new(true, u64::MAX - 3);
    assert_eq!(sequence.take(4), None);
    assert_eq!(sequence.take(3), Some(u64::MAX - 3..u64::MAX));
    assert_eq!((sequence.take(1), sequence.take(u32::MAX)), (None, None));
}

#[test]
fn a_start_out_of_range_gives_no_number_out_of_range() {
    assert_eq!(Sequence::new(false, 0).take(1), Some(1..2), "0 is never sent");
    assert_eq!(Sequence::new(false, u64::MAX).take(1), None);
    assert_eq!(Sequence::new(true, u64::MAX).take(1), None);
}

#[test]
fn threads_that_fight_for_the_last_numbers_get_each_once() {
    let sequence = Sequence::new(false, LAST_SHORT - 9_999);
    let run = || std::iter::from_fn(|| sequence.take(7)).flatten().collect::<Vec<u64>>();
    let mut taken: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    taken.sort_unstable();
    assert!(taken.iter().copied().eq(LAST_SHORT - 9_999..LAST_SHORT - 9_999 + taken.len() as u64));
    assert_eq!(taken.len(), 9_996, "what is left is less than a run");
}
