//! Between those who log and the thread that writes.
use super::Lost;
use super::limit::{Limiter, Often};
use super::record::{Record, Value};
use crate::config::LogLevel;
use crate::daemon::clock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::callsite::Identifier;

/// Messages that wait at most,
const MAX_RECORDS: usize = 8192;
/// and their octets.
const MAX_OCTETS: usize = 4 << 20;
/// The field that says how many were lost.
const LOST: &str = "lost_messages";

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// There is nothing left.
    emptied: Condvar,
}
#[derive(Debug, Default)]
struct State {
    records: VecDeque<Record>,
    octets: usize,
    limiter: Limiter,
    /// All that were ever lost, and those that were not told of yet.
    dropped: u64,
    untold: u64,
    /// The writer has taken one and not come back.
    writing: bool,
    finished: bool,
}

impl Queue {
    /// Never waits for whoever writes.
    pub(super) fn put(&self, now: Duration, place: Identifier, often: Often, record: Record) {
        let mut state = self.lock();
        if state.limiter.admit(now, place, often, &record) {
            state.push(record);
        }
        drop(state);
        // Also if it was suppressed: its count is told in a while.
        self.filled.notify_one();
    }

    /// The next one to write, when there is one; none when all is over.
    pub(super) fn next(&self) -> Option<Record> {
        let mut state = self.lock();
        state.writing = false;
        loop {
            if let Some(record) = state.take(clock::now()) {
                state.writing = true;
                return Some(record);
            }
            self.emptied.notify_all();
            if state.finished {
                return None;
            }
            state = match state.limiter.deadline() {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let pause = at.saturating_sub(clock::now()) + Duration::from_millis(1);
                    self.filled.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// One that was taken reached nobody.
    pub(super) fn unwritten(&self, record: &Record) {
        let mut state = self.lock();
        match record.fields.as_slice() {
            [(LOST, Value::Unsigned(untold))] => state.untold += untold,
            _ => state.lose(),
        }
    }

    /// Waits until all is written, at most so long.
    pub(super) fn finish(&self, patience: Duration) {
        let mut state = self.lock();
        state.finished = true;
        self.filled.notify_one();
        let busy = |state: &mut State| state.writing || !state.records.is_empty();
        drop(self.emptied.wait_timeout_while(state, patience, busy));
    }

    pub(super) fn lost(&self) -> Lost {
        let state = self.lock();
        Lost { dropped: state.dropped, suppressed: state.limiter.suppressed }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn try_next(&self) -> Option<Record> {
        self.lock().take(Duration::ZERO)
    }
}

impl State {
    fn push(&mut self, record: Record) {
        let size = record.size();
        if self.records.len() >= MAX_RECORDS || self.octets + size > MAX_OCTETS {
            return self.lose();
        }
        self.octets += size;
        self.records.push_back(record);
    }

    fn lose(&mut self) {
        self.dropped += 1;
        self.untold += 1;
    }

    fn take(&mut self, now: Duration) -> Option<Record> {
        // With the next one only: who takes nothing is not told of that again and again.
        if self.untold > 0 && !self.records.is_empty() && self.records.len() < MAX_RECORDS / 2 {
            let mut record = Record::new(LogLevel::Warn, "messages were lost: nobody took them in time".into());
            record.fields.push((LOST, Value::Unsigned(std::mem::take(&mut self.untold))));
            return Some(record);
        }
        if self.limiter.deadline().is_some_and(|at| at <= now) {
            self.limiter.due(now).into_iter().for_each(|record| self.push(record));
        }
        let record = self.records.pop_front()?;
        self.octets -= record.size();
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::callsite::{Callsite, DefaultCallsite};

    fn record(message: &str) -> Record {
        Record::new(LogLevel::Info, message.into())
    }
    /// Some place in the code.
    fn place() -> Identifier {
        static HERE: DefaultCallsite = DefaultCallsite::new(&META);
        static META: tracing::Metadata<'static> = tracing::metadata! {
            name: "here", target: "here", level: tracing::Level::INFO, fields: &[], callsite: &HERE, kind: tracing::metadata::Kind::EVENT
        };
        HERE.metadata().callsite()
    }

    #[test]
    fn whoever_logs_does_not_wait_for_who_writes_nothing() {
        let queue = Queue::default();
        for n in 0..10_000 {
            queue.lock().push(record(&n.to_string()));
        }
        assert_eq!(queue.lost().dropped, 10_000 - MAX_RECORDS as u64);
        queue.lock().records.truncate(2);
        let (told, next) = (queue.try_next().unwrap(), queue.try_next().unwrap());
        assert_eq!((told.fields, next.message.as_str()), (vec![(LOST, Value::Unsigned(1808))], "0"));
        // Nor does it take all memory.
        let queue = Queue::default();
        for _ in 0..100 {
            queue.lock().push(record(&"x".repeat(100_000)));
        }
        assert!(queue.lock().octets <= MAX_OCTETS && queue.lost().dropped > 50);
    }

    #[test]
    fn a_reader_that_is_gone_is_not_told_of_it_for_ever() {
        let queue = Queue::default();
        queue.unwritten(&record("one"));
        assert!(queue.try_next().is_none());
        queue.lock().push(record("two"));
        let told = queue.try_next().unwrap();
        assert_eq!(told.fields, [(LOST, Value::Unsigned(1))]);
        queue.unwritten(&told);
        assert_eq!(queue.lost().dropped, 1);
        assert_eq!(queue.try_next().unwrap().fields, [(LOST, Value::Unsigned(1))]);
        assert_eq!(queue.try_next().unwrap().message, "two");
    }

    #[test]
    fn what_was_not_logged_is_counted_and_told() {
        let queue = Queue::default();
        let at = Duration::from_secs;
        for n in 0..5 {
            let mut said = record(&format!("failed {n}"));
            said.fields.push(("connection", Value::Text(format!("a#{n}"))));
            queue.put(at(1), place(), Often::Seldom, said);
        }
        let take = |now| queue.lock().take(now).map(|record| (record.message, record.fields.last().cloned()));
        assert_eq!(take(at(2)).unwrap().0, "failed 0");
        assert_eq!(take(at(10)), None);
        assert_eq!(queue.lock().limiter.deadline(), Some(at(11)));
        let (message, suppressed) = take(at(11)).unwrap();
        assert_eq!(
            (message.as_str(), suppressed),
            ("failed 1 (and more like it)", Some(("suppressed", Value::Unsigned(4))))
        );
        queue.put(at(12), place(), Often::Seldom, record("failed 9"));
        assert_eq!(take(at(12)).unwrap().0, "failed 9");
        assert_eq!((take(at(99)), queue.lost().suppressed), (None, 4));
    }
}
