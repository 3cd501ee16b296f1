//! The window against a naive model, and the guess of the high bits against the RFC's own 32-bit arithmetic.
use super::super::drop::Drop;
use super::super::replay::{Authentic, Window};
use super::cases;
use proptest::prelude::*;
use std::collections::HashSet;

/// What the window promises, without a bitmap.
struct Model {
    size: u64,
    highest: u64,
    seen: HashSet<u64>,
}

impl Model {
    fn commit(&mut self, seq: u64) -> Result<bool, Drop> {
        if seq == 0 || seq <= self.highest && self.highest - seq >= self.size {
            Err(Drop::TooOld)
        } else if !self.seen.insert(seq) {
            Err(Drop::Replayed)
        } else {
            let highest = seq > self.highest;
            self.highest = self.highest.max(seq);
            Ok(highest)
        }
    }
}

/// Asked for, and what it becomes.
const SIZES: [(u32, u64); 9] = [
    (0, 64),
    (1, 64),
    (64, 64),
    (65, 128),
    (200, 256),
    (1000, 1024),
    (4096, 4096),
    (65_536, 65_536),
    (u32::MAX, 65_536),
];

/// Distances from the highest number: mostly near, the edges of the window, leaps over the whole ring.
fn step(size: u64) -> impl Strategy<Value = i64> {
    let size = size as i64;
    prop_oneof![
        4 => -70..70i64,
        2 => (-3..4i64).prop_map(move |d| d - size),
        2 => -size - 70..size + 70,
        1 => size..3 * size,
        1 => (-2..3i64).prop_map(|d| d + (1 << 32)),
    ]
}

fn scenario() -> impl Strategy<Value = (u32, u64, u64, Vec<i64>)> {
    let start = prop_oneof![
        Just(1),
        1..200_000u64,
        (1 << 32) - 70_000..(1 << 32) + 70_000u64,
        u64::MAX - 300_000..u64::MAX - 200_000
    ];
    (prop::sample::select(SIZES.to_vec()), start).prop_flat_map(|((asked, size), start)| {
        (Just(asked), Just(size), Just(start), prop::collection::vec(step(size), 1..400))
    })
}

/// RFC 4303 appendix A2.2 in its own words: 32-bit variables, two cases. `None` where the high half would fall below 0 or wrap.
fn appendix_a2(th: u32, tl: u32, w: u32, seql: u32) -> Option<u64> {
    let bl = tl.wrapping_sub(w).wrapping_add(1);
    let seqh = if tl >= w - 1 {
        if seql >= bl { Some(th) } else { th.checked_add(1) }
    } else if seql >= bl {
        th.checked_sub(1)
    } else {
        Some(th)
    };
    seqh.map(|seqh| u64::from(seqh) << 32 | u64::from(seql))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn the_window_is_the_model((asked, size, start, steps) in scenario()) {
        let mut window = Window::new(asked);
        let mut model = Model { size, highest: 0, seen: HashSet::new() };
        let sequence = std::iter::once(0).chain(steps);
        for (place, step) in sequence.enumerate() {
            let seq = if place == 0 { start } else { model.highest.saturating_add_signed(step) };
            let expected = model.commit(seq);
            prop_assert_eq!(window.check(seq), expected.map(|_| ()), "check {} of {}", seq, model.highest);
            prop_assert_eq!(window.commit(&Authentic(seq)), expected, "commit {} of {}", seq, model.highest);
            prop_assert_eq!(window.highest(), model.highest);
        }
    }

    #[test]
    fn the_high_bits_are_those_of_appendix_a2(
        th in prop_oneof![0..3u32, u32::MAX - 1..=u32::MAX, any::<u32>()],
        tl in prop_oneof![0..70_000u32, u32::MAX - 70_000..=u32::MAX, any::<u32>()],
        seql in any::<u32>(),
        near in -70_000..70_000i32,
        (asked, size) in prop::sample::select(SIZES.to_vec()),
    ) {
        let mut window = Window::new(asked);
        let highest = u64::from(th) << 32 | u64::from(tl);
        prop_assume!(highest != 0);
        window.commit(&Authentic(highest)).unwrap();
        for seql in [seql, tl.wrapping_add_signed(near)] {
            let expected = appendix_a2(th, tl, size as u32, seql).ok_or(Drop::TooOld);
            prop_assert_eq!(window.seen().extend(seql), expected);
        }
    }
}

#[test]
fn a_window_over_the_boundary_of_32_bits() {
    let mut window = Window::new(64);
    let edge = 1u64 << 32;
    for seq in [edge - 20, edge + 10] {
        assert_eq!(window.commit(&Authentic(seq)), Ok(true));
    }
    let seen = window.seen();
    assert_eq!(seen.extend(11), Ok(edge + 11), "ahead");
    assert_eq!(seen.extend(9), Ok(edge + 9), "behind, same half");
    assert_eq!(seen.extend(u32::MAX), Ok(edge - 1), "behind, other half");
    assert_eq!(seen.extend((edge - 53) as u32), Ok(edge - 53), "the lowest of the window");
    assert_eq!(
        seen.extend((edge - 54) as u32),
        Ok(2 * edge - 54),
        "left of it: taken for one far ahead, whose ICV is wrong"
    );
    assert_eq!(window.commit(&Authentic(edge - 20)), Err(Drop::Replayed));
    assert_eq!(window.commit(&Authentic(edge - 53)), Ok(false));
    assert_eq!(window.commit(&Authentic(edge - 54)), Err(Drop::TooOld));
}

#[test]
fn before_the_first_packet_there_is_no_past() {
    let window = Window::new(64);
    assert_eq!(window.seen().extend(1), Ok(1));
    assert_eq!(window.seen().extend(u32::MAX - 63), Ok(u64::from(u32::MAX) - 63));
    assert_eq!(window.seen().extend(u32::MAX - 62), Err(Drop::TooOld), "a number before 0");
    assert_eq!(window.check(0), Err(Drop::TooOld));
}

#[test]
fn behind_the_last_number_there_is_none() {
    let mut window = Window::new(64);
    window.commit(&Authentic(u64::MAX - 5)).unwrap();
    assert_eq!(window.seen().extend(u32::MAX), Ok(u64::MAX));
    assert_eq!(window.seen().extend(0), Err(Drop::TooOld), "it must not wrap");
    assert_eq!(window.commit(&Authentic(u64::MAX)), Ok(true));
    assert_eq!(window.commit(&Authentic(u64::MAX)), Err(Drop::Replayed));
}
