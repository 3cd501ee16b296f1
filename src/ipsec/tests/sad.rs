use super::super::sad::{MAX_SLOTS, RESTING, Sad, SpiPool, WORKER_MASK, slot_of};
use super::*;
use std::collections::HashSet;

#[test]
fn an_sa_is_found_by_its_whole_spi_alone() {
    let mut pool = SpiPool::new(3);
    let slots = [0, 1, 2, 255, 256, 257, 100_000, MAX_SLOTS - 1];
    let sad = Sad::default();
    let mut entries = Vec::new();
    for slot in slots.map(Slot) {
        let child = child(slot);
        for _ in 0..3 {
            let entry = inbound(pool.allocate(slot, 0x9e37_79b9).unwrap(), &child);
            let before = sad.slot(slot);
            sad.insert(Arc::clone(&entry));
            assert!(before.get(entry.spi).is_none(), "what is being read does not change");
            entries.push(entry);
        }
        assert_eq!(sad.slot(slot).iter().count(), 3);
    }
    for entry in &entries {
        assert!(Arc::ptr_eq(sad.slot(slot_of(entry.spi)).get(entry.spi).unwrap(), entry));
        for bit in 0..32 {
            let other = entry.spi ^ 1 << bit;
            let known = entries.iter().any(|entry| entry.spi == other);
            assert_eq!(sad.knows(other), known, "{other:08x}");
        }
    }
    for spi in [0, 1, 255, u32::MAX] {
        assert!(!sad.knows(spi));
    }
    for (gone, entry) in entries.iter().enumerate() {
        assert!(sad.remove(entry.spi).is_some() && sad.remove(entry.spi).is_none());
        for (place, entry) in entries.iter().enumerate() {
            assert_eq!(sad.knows(entry.spi), place > gone);
        }
    }
}

#[test]
fn one_spi_is_one_sa() {
    let child = child(Slot(7));
    let (first, second) = (inbound(0x0100_0070, &child), inbound(0x0100_0070, &child));
    let sad = Sad::default();
    sad.insert(first);
    sad.insert(Arc::clone(&second));
    assert!(Arc::ptr_eq(sad.slot(Slot(7)).get(0x0100_0070).unwrap(), &second));
    assert_eq!(sad.slot(Slot(7)).iter().count(), 1);
    sad.remove(0x0100_0070);
    assert!(!sad.knows(0x0100_0070));
}

#[test]
fn an_spi_names_slot_and_worker_and_is_never_reserved() {
    for workers in 1..=16u8 {
        let mut pool = SpiPool::new(workers);
        for slot in (0..40).chain([4095, 65_536, MAX_SLOTS - 1]).map(Slot) {
            let spis: Vec<u32> = (0..20).map(|random| pool.allocate(slot, random).unwrap()).collect();
            for spi in spis {
                assert_eq!(slot_of(spi), slot);
                assert_eq!(spi & WORKER_MASK, pool.worker(slot));
                assert!(pool.worker(slot) < workers.into());
                assert!(spi > 255, "{spi}");
            }
        }
    }
    assert_eq!(SpiPool::new(1).allocate(Slot(MAX_SLOTS), 0), None);
}

#[test]
fn a_slot_gives_out_all_its_spis_once_and_then_none() {
    for (slot, count) in [(Slot(0), 255), (Slot(15), 255), (Slot(16), 256)] {
        let mut pool = SpiPool::new(1);
        let spis: HashSet<u32> = (0..count).map(|_| pool.allocate(slot, 0).expect("one is left")).collect();
        assert_eq!(spis.len(), count);
        assert_eq!(pool.allocate(slot, 0), None);
        assert!(pool.allocate(Slot(17), 0).is_some());
    }
}

#[test]
fn a_released_spi_rests() {
    let mut pool = SpiPool::new(1);
    let spis: Vec<u32> = (0..256).map(|_| pool.allocate(Slot(20), 5).unwrap()).collect();
    pool.release(spis[3]);
    pool.release(spis[3]);
    for other in 0..RESTING {
        assert_eq!(pool.allocate(Slot(20), 5), None, "after {other} others");
        pool.allocate(Slot(21), 5).unwrap();
    }
    assert_eq!(pool.allocate(Slot(20), 5), Some(spis[3]));
    assert_eq!(pool.allocate(Slot(20), 5), None, "it was released twice, but is one");
}

#[test]
fn a_child_that_rekeys_forever_always_gets_an_spi_and_no_recent_one() {
    let mut pool = SpiPool::new(4);
    let mut recent: Vec<u32> = Vec::new();
    for random in 0..10_000u32 {
        let spi = pool.allocate(Slot(9), random.wrapping_mul(0x9e37_79b9)).unwrap();
        assert!(!recent.iter().rev().take(RESTING as usize).any(|other| *other == spi));
        recent.push(spi);
        if recent.len() > 2 {
            pool.release(recent[recent.len() - 3]);
        }
    }
}

#[test]
fn releasing_what_was_never_given_out_changes_nothing() {
    let mut pool = SpiPool::new(1);
    for spi in [0, 1, 0xdead_beef] {
        pool.release(spi);
    }
    assert!(pool.allocate(Slot(0), 0).is_some());
}

/// As when a connection goes with all of its peers. If each looked at those before it, this would take minutes.
#[test]
fn many_are_released_at_once() {
    let mut pool = SpiPool::new(1);
    let spis: Vec<u32> = (0..200_000).map(|slot| pool.allocate(Slot(slot), slot).unwrap()).collect();
    spis.iter().for_each(|spi| pool.release(*spi));
    spis.iter().for_each(|spi| pool.release(*spi));
    assert!(spis.iter().all(|spi| !pool.holds(*spi)));
    let again: Vec<u32> = (0..=RESTING as u32).map(|_| pool.allocate(Slot(0), spis[0] >> 20).unwrap()).collect();
    assert!(again.iter().all(|spi| pool.holds(*spi) && !spis.contains(spi)));
}

#[test]
fn generations_follow_each_other_and_the_random_bits_are_taken_over() {
    let mut pool = SpiPool::new(1);
    let tags: Vec<u32> = (0..5).map(|_| pool.allocate(Slot(1), 0xab).unwrap() >> 24).collect();
    assert_eq!(tags, [0xbb, 0xbc, 0xbd, 0xbe, 0xbf], "random bits b, the first generation after a");
}
