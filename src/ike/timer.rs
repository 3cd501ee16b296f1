//! Deadlines: one per owner, the earliest first.
use crate::frozen::{Frozen, Reader, Thaw, Writer};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// What may as well be done a little earlier is done together with others of its kind: a thousand idle IKE SAs wake the daemon four times a second.
const GATHER: Duration = Duration::from_millis(250);
/// Not what comes again after less than so many of these.
const LEAST_GATHERED: u32 = 16;

/// A deadline that comes again after `every`, or somewhat earlier, but never later.
pub(super) fn gathered(at: Duration, every: Duration) -> Duration {
    if every < GATHER * LEAST_GATHERED {
        return at;
    }
    let surplus = at.as_nanos() % GATHER.as_nanos();
    at.saturating_sub(Duration::from_nanos(u64::try_from(surplus).unwrap_or(0)))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_about_the_same_time_is_done_together_and_never_late() {
        let ms = Duration::from_millis;
        let of = |at, every| gathered(ms(at), ms(every)).as_millis();
        assert_eq!(
            [of(50_000, 20_000), of(50_001, 20_000), of(50_249, 30_000), of(50_250, 30_000)],
            [50_000, 50_000, 50_000, 50_250]
        );
        // A quarter of a second is much of one.
        assert_eq!([of(50_001, 1000), of(50_001, 3999), of(50_001, 4000)], [50_001, 50_001, 50_000]);
        assert_eq!(gathered(Duration::MAX, ms(20_000)).as_millis() % 250, 0);
    }
}
