//! `sequence` and `replay` under every order of two threads that the memory model allows. The files are compiled a second time, with
//! loom's atomics.
use super::super::drop;

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}
#[path = "../replay.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "the same file with other atomics; not all of it is tried here")]
mod replay;
#[path = "../sequence.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "the same file with other atomics; not all of it is tried here")]
mod sequence;

use loom::sync::Mutex;
use loom::thread;
use replay::{Authentic, Window};
use sequence::Sequence;
use std::sync::Arc;

#[test]
fn no_number_goes_to_two_threads_and_the_last_ones_are_not_overrun() {
    loom::model(|| {
        let sequence = Arc::new(Sequence::new(false, (1 << 32) - 5));
        let other = Arc::clone(&sequence);
        let thread = thread::spawn(move || [other.take(2), other.take(2)]);
        let mut runs: Vec<_> = [sequence.take(3), sequence.take(2)].into_iter().flatten().collect();
        runs.extend(thread.join().unwrap().into_iter().flatten());
        runs.sort_by_key(|run| run.start);
        assert!(runs.windows(2).all(|pair| pair[0].end == pair[1].start), "{runs:?}");
        assert_eq!(runs[0].start, (1 << 32) - 5);
        assert!(runs.last().unwrap().end <= 1 << 32);
        assert_eq!(sequence.next(), runs.last().unwrap().end);
    });
}

#[test]
fn a_reader_beside_the_writer_never_refuses_a_fresh_number() {
    loom::model(|| {
        let mut window = Window::new(64);
        window.commit(&Authentic(5)).unwrap();
        window.commit(&Authentic(67)).unwrap();
        let seen = window.seen();
        // 69 has the bit that 5 left behind: it must be gone before 70 shows as the highest.
        let reader = thread::spawn(move || (seen.check(69), seen.check(10)));
        window.commit(&Authentic(70)).unwrap();
        assert_eq!(reader.join().unwrap(), (Ok(()), Ok(())));
    });
}

/// Two workers have copies of the same packets, within their batches and across. Each prechecks and opens its batch, then takes the window
/// once and commits.
#[test]
fn what_two_workers_get_is_delivered_once() {
    loom::model(|| {
        let mut window = Window::new(64);
        window.commit(&Authentic(5)).unwrap();
        let (seen, window) = (window.seen(), Arc::new(Mutex::new(window)));
        let worker = |batch: [u64; 2]| {
            let (seen, window) = (Arc::clone(&seen), Arc::clone(&window));
            move || {
                // The ICV of each of them is right.
                let opened: Vec<_> = batch.into_iter().filter(|seq| seen.check(*seq).is_ok()).map(Authentic).collect();
                let mut window = window.lock().unwrap();
                opened.iter().filter(|proof| window.commit(proof).is_ok()).map(Authentic::seq).collect::<Vec<_>>()
            }
        };
        let other = thread::spawn(worker([6, 6]));
        let mut delivered = worker([68, 6])();
        delivered.extend(other.join().unwrap());
        delivered.sort();
        assert_eq!(delivered, [6, 68]);
    });
}
