//! Deadlines: one per owner, the earliest first.
use crate::frozen::{Frozen, Reader, Thaw, Writer};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// At most one deadline per key.
#[derive(Debug)]
pub(super) struct Timers<K> {
    by_time: BTreeSet<(Duration, K)>,
    due: HashMap<K, Duration>,
}
impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), due: HashMap::new() }
    }
}
impl<K: Clone + Ord + Hash> Timers<K> {
    /// Replaces the key's deadline; `None` forgets it.
    pub(super) fn set(&mut self, key: K, at: Option<Duration>) {
        if self.due.get(&key).copied() == at {
            return;
        }
        if let Some(old) = self.due.remove(&key) {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.due.insert(key.clone(), at);
            self.by_time.insert((at, key));
        }
    }
    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }
    /// Takes one key that is due.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.due.remove(&key);
        Some(key)
    }
}
impl<K: Frozen + Clone + Ord + Hash> Frozen for Timers<K> {
    fn freeze(&self, out: &mut Writer) {
        let Self { by_time: _, due } = self;
        due.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let due = HashMap::<K, Duration>::thaw(input)?;
        let by_time = due.iter().map(|(key, at)| (*at, key.clone())).collect();
        Ok(Self { by_time, due })
    }
}
