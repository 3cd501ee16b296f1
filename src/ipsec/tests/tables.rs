use super::super::path::{Encap, Path};
use super::super::spd::{Action, DeviceId, PolicyEntry, Slot, Spd};
use super::super::tables::{OutboundEntry, SlotPool, Tables, Traffic};
use super::*;
use crate::esp::drop::Drop;
use crate::esp::outbound::OutboundSa;
use arc_swap::ArcSwap;
use std::sync::atomic::Ordering;

fn outbound(spi: u32) -> Arc<OutboundEntry> {
    let end = "192.0.2.1:4500".parse().unwrap();
    let path = Path { local: end, remote: end, encap: Encap::Udp, may_move: false, mtu: 1500 };
    Arc::new(OutboundEntry {
        sa: OutboundSa::new(&sa_params(spi), [0; 16]),
        local_ts: selectors(&["10.1.0.0/16"]).into(),
        remote_ts: selectors(&["10.2.0.0/16"]).into(),
        path: Arc::new(ArcSwap::from_pointee(path)),
        transport: false,
        traffic: Traffic::default(),
    })
}

#[test]
fn a_child_comes_rekeys_and_goes() {
    let tables = Tables::new();
    let lan = child(Slot(300));
    tables.insert_child(Arc::clone(&lan));
    assert!(Arc::ptr_eq(tables.children.load().get(Slot(300)).unwrap(), &lan));
    assert!([0, 299, 301, 556, u32::MAX].map(Slot).iter().all(|slot| tables.children.load().get(*slot).is_none()));

    let (old, new) = (0x0100_12c0, 0x0200_12c0);
    tables.publish_inbound(inbound(old, &lan));
    assert_eq!(tables.swap_outbound(Slot(300), Some(outbound(0xaaaa))), None);
    tables.publish_inbound(inbound(new, &lan));
    assert_eq!(tables.swap_outbound(Slot(300), Some(outbound(0xbbbb))), Some(0xaaaa));
    assert!(tables.sad.knows(old) && tables.sad.knows(new));
    assert_eq!(lan.outbound.load().as_ref().unwrap().sa.spi(), 0xbbbb);
    assert!(tables.retire_inbound(old));
    assert!(!tables.retire_inbound(old));
    assert!(!tables.sad.knows(old));

    tables.children.load().get(Slot(300)).unwrap().counters.add_in(70, 7);
    let gone = tables.remove_child(Slot(300)).unwrap();
    let sum = tables.gone(&gone.name).unwrap();
    assert_eq!(sum.bytes_in.load(std::sync::atomic::Ordering::Relaxed), 70, "what it has counted stays");
    assert!(Arc::ptr_eq(&gone, &lan));
    assert!(!tables.sad.knows(new));
    assert!(lan.outbound.load().is_none());
    assert!(tables.remove_child(Slot(300)).is_none());
    assert_eq!(tables.swap_outbound(Slot(300), Some(outbound(1))), None);
    assert_eq!(tables.children.load().iter().count(), 0);
}

#[test]
fn one_child_going_leaves_its_neighbours() {
    let tables = Tables::new();
    let children: Vec<_> = (0..600).map(|slot| child(Slot(slot))).collect();
    for child in &children {
        tables.insert_child(Arc::clone(child));
        tables.publish_inbound(inbound(0x0100_0000 | child.slot.0 << 4, child));
    }
    tables.remove_child(Slot(255)).unwrap();
    let (sad, now) = (&tables.sad, tables.children.load());
    for slot in 0..600 {
        assert_eq!(now.get(Slot(slot)).is_some(), slot != 255);
        assert_eq!(sad.knows(0x0100_0000 | slot << 4), slot != 255);
    }
    assert_eq!(now.iter().count(), 599);
}

#[test]
fn many_children_come_at_once_and_who_reads_sees_all_or_none() {
    let tables = Tables::new();
    tables.insert_child(child(Slot(700)));
    let before = tables.children.load();
    tables.insert_children((0..701).rev().step_by(2).map(|slot| child(Slot(slot))));
    let now = tables.children.load();
    assert_eq!((before.iter().count(), now.iter().count()), (1, 351));
    assert!((0..701).all(|slot| now.get(Slot(slot)).is_some() == (slot % 2 == 0)));
    assert!(!Arc::ptr_eq(before.get(Slot(700)).unwrap(), now.get(Slot(700)).unwrap()));
    tables.insert_children([]);
    assert_eq!(tables.children.load().iter().count(), 351);
}

#[test]
fn what_a_worker_reads_is_freed_by_the_engine_later() {
    let tables = Tables::new();
    let lan = child(Slot(0));
    tables.insert_child(Arc::clone(&lan));
    tables.publish_inbound(inbound(0x0100_0000, &lan));
    let ours = outbound(0xaaaa);
    tables.swap_outbound(Slot(0), Some(Arc::clone(&ours)));
    let worker = (tables.sad.slot(Slot(0)), tables.children.load(), lan.outbound.load(), tables.spd.load());
    let sa = Arc::downgrade(worker.0.get(0x0100_0000).unwrap());
    let sending = Arc::downgrade(worker.2.as_ref().unwrap());

    tables.retire_inbound(0x0100_0000);
    tables.swap_outbound(Slot(0), None);
    assert_eq!(tables.replaced(), 1, "the SA to send on is ours as yet");
    tables.discard(ours);
    tables.publish_policies(Spd::default());
    tables.remove_child(Slot(0)).unwrap();
    assert_eq!((tables.replaced(), tables.free()), (4, 0), "a worker is still reading");
    assert!(worker.0.get(0x0100_0000).is_some());
    drop(worker);
    assert_eq!((sa.strong_count(), sending.strong_count()), (1, 1), "the worker was not the last");
    assert_eq!((tables.free(), tables.replaced()), (4, 4));
    assert_eq!((sa.strong_count(), sending.strong_count()), (0, 0));
}

#[test]
fn what_nobody_reads_is_freed_at_once() {
    let tables = Tables::new();
    let reading = tables.children.load();
    let lan = child(Slot(0));
    tables.insert_child(Arc::clone(&lan));
    let (ours, theirs) = (outbound(0xaaaa), inbound(0x0100_0000, &lan));
    let (sending, receiving) = (Arc::downgrade(&ours), Arc::downgrade(&theirs));
    tables.publish_inbound(theirs);
    tables.discard(ours);
    tables.retire_inbound(0x0100_0000);
    assert_eq!((sending.strong_count(), receiving.strong_count()), (0, 0), "whatever waits before them");
    assert_eq!((tables.replaced(), tables.free()), (1, 0));
    drop(reading);
    assert_eq!(tables.free(), 1);
}

#[test]
fn policies_are_published_whole() {
    let tables = Tables::new();
    let entry = PolicyEntry {
        name: "office/lan".into(),
        local: selectors(&["10.1.0.0/16"]).into(),
        remote: selectors(&["10.2.0.0/16"]).into(),
        priority: 0,
        action: Action::Protect(Slot(5)),
    };
    let flow = flow("10.1.0.1", "10.2.0.1", 6, 1, 2);
    assert!(tables.spd.load().lookup(DeviceId(0), &flow).is_none());
    tables.publish_policies(Spd::new([(DeviceId(0), entry)]));
    assert_eq!(tables.spd.load().lookup(DeviceId(0), &flow).unwrap().action, Action::Protect(Slot(5)));
}

#[test]
fn drops_are_counted_by_name() {
    let lan = child(Slot(0));
    for (times, reason) in Drop::ALL.iter().enumerate() {
        (0..times).for_each(|_| lan.counters.record_drop(*reason));
    }
    for (times, reason) in Drop::ALL.iter().enumerate() {
        assert_eq!(lan.counters.dropped(*reason), times as u64, "{}", reason.name());
    }
    lan.counters.add_in(1400, 1);
    lan.counters.add_in(100, 2);
    lan.counters.add_out(7, 3);
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &lan.counters;
    let all = [&counters.bytes_in, &counters.packets_in, &counters.bytes_out, &counters.packets_out].map(read);
    assert_eq!(all, [1500, 3, 7, 3]);
}

#[test]
fn a_slot_is_not_given_out_again_soon() {
    let mut pool = SlotPool::new(0);
    assert_eq!((pool.allocate(), pool.allocate()), (Some(Slot(0)), Some(Slot(1))));
    pool.release(Slot(0));
    let next: Vec<Slot> = (0..100).map(|_| pool.allocate().unwrap()).collect();
    assert!(!next.contains(&Slot(0)));
    next.iter().for_each(|slot| pool.release(*slot));
    assert_eq!(pool.allocate(), Some(Slot(0)), "the one that rested longest");
}

#[test]
fn another_start_begins_with_other_slots() {
    let first = |random| SlotPool::new(random).allocate().unwrap();
    let of_all: std::collections::HashSet<Slot> = (0..100_000).map(first).collect();
    assert_eq!(of_all.len(), (super::super::sad::MAX_SLOTS / 256) as usize);
}

#[test]
fn the_last_slots_are_used_before_it_gives_up() {
    let mut pool = SlotPool::new(u32::MAX);
    let all: std::collections::HashSet<Slot> = std::iter::from_fn(|| pool.allocate()).collect();
    assert_eq!(all.len(), super::super::sad::MAX_SLOTS as usize, "each once");
    assert!(all.iter().all(|slot| slot.0 < super::super::sad::MAX_SLOTS));
    pool.release(Slot(77));
    assert_eq!((pool.allocate(), pool.allocate()), (Some(Slot(77)), None));
}
