//! So many attempts at one address at a time and no more: whoever answers many at once wants cookies, or lets what is too much fall, and what
//! fell waits for its retransmission. An attempt that is not answered soon makes room for others; it goes on all the same.
use super::event::IkeId;
use crate::frozen::frozen;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Attempts at one address at a time; as many half-open IKE SAs of one source strongSwan allows.
const AT_ONCE: usize = 5;
/// An attempt counts for so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who wants to begin an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    /// A connection without an IKE SA.
    Link(Arc<str>),
    /// One that is to be made anew from scratch, and whether it is lost.
    Renewal(IkeId, bool),
    /// One whose peer is silent: it may be elsewhere.
    Elsewhere(IkeId),
}

/// Attempts of ours that are under way, and those that wait for one of them to come to its end.
#[derive(Debug, Default)]
pub(super) struct Calls {
    places: HashMap<IpAddr, Place>,
    /// Where each is under way.
    of: HashMap<IkeId, IpAddr>,
}
#[derive(Debug, Default)]
struct Place {
    /// And since when.
    under_way: BTreeMap<IkeId, Duration>,
    queue: VecDeque<Caller>,
    waiting: HashSet<Caller>,
}
frozen! {
    struct Calls { places, of }
    struct Place { under_way, queue, waiting }
}

impl Calls {
    /// True if an attempt may begin. If not, `wake` names the caller when it is its turn.
    pub(super) fn may_begin(&mut self, remote: IpAddr, caller: Caller) -> bool {
        let Some(place) = self.places.get_mut(&remote) else { return true };
        if place.under_way.len() < AT_ONCE {
            return true;
        }
        if place.waiting.insert(caller.clone()) {
            place.queue.push_back(caller);
        }
        false
    }
    /// True if it waits for its turn.
    pub(super) fn keeps_waiting(&self, caller: &Caller) -> bool {
        self.places.values().any(|place| place.waiting.contains(caller))
    }
    /// An attempt is under way since then.
    pub(super) fn began(&mut self, since: Duration, remote: IpAddr, id: IkeId) {
        self.of.insert(id, remote);
        self.places.entry(remote).or_default().under_way.insert(id, since);
    }
    /// It has come to its end, well or not.
    pub(super) fn ended(&mut self, id: IkeId) {
        let Some(remote) = self.of.remove(&id) else { return };
        let Some(place) = self.places.get_mut(&remote) else { return };
        place.under_way.remove(&id);
        if place.under_way.is_empty() && place.queue.is_empty() {
            self.places.remove(&remote);
        }
    }
    /// Those whose turn it is. They ask again.
    pub(super) fn wake(&mut self, now: Duration) -> Vec<Caller> {
        let mut woken = Vec::new();
        let Self { places, of } = self;
        for place in places.values_mut().filter(|place| !place.queue.is_empty()) {
            place.under_way.retain(|id, since| {
                let counts = *since + PATIENCE > now;
                if !counts {
                    of.remove(id);
                }
                counts
            });
            let room = AT_ONCE.saturating_sub(place.under_way.len());
            for caller in place.queue.drain(..room.min(place.queue.len())) {
                // It may wait elsewhere, too, and keeps its place there.
                place.waiting.remove(&caller);
                woken.push(caller);
            }
        }
        places.retain(|_, place| !place.under_way.is_empty() || !place.queue.is_empty());
        woken
    }
    /// When an attempt is not waited for any more.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let waited_for = self.places.values().filter(|place| !place.queue.is_empty());
        waited_for.filter_map(|place| place.under_way.values().min()).min().map(|since| *since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_at_a_time_and_each_for_a_second_at_most() {
        let (mut calls, now) = (Calls::default(), Duration::from_secs(10));
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let link = |n: u64| Caller::Link(format!("c{n}").into());
        let ask = |calls: &mut Calls, now, remote, n| {
            let may = calls.may_begin(remote, link(n));
            if may {
                calls.began(now, remote, IkeId(n));
            }
            may
        };
        assert_eq!((0..8).filter(|n| ask(&mut calls, now, here, *n)).count(), 5);
        assert!(!ask(&mut calls, now, here, 6), "it waits already");
        assert!(ask(&mut calls, now, there, 100), "elsewhere is room");
        assert_eq!((calls.wake(now), calls.deadline()), (vec![], Some(now + PATIENCE)));
        calls.ended(IkeId(2));
        assert_eq!(calls.wake(now), [link(5)]);
        assert!(ask(&mut calls, now + PATIENCE / 2, here, 5) && !ask(&mut calls, now, here, 8));
        // The first four are not waited for any more; in the order in which they came.
        assert_eq!(calls.wake(now + PATIENCE), [link(6), link(7), link(8)]);
        assert!([6, 7, 8].iter().all(|n| ask(&mut calls, now + PATIENCE, here, *n)));
        (0..9).chain([100]).for_each(|n| calls.ended(IkeId(n)));
        assert!(calls.places.is_empty() && calls.of.is_empty() && calls.deadline().is_none());
    }

    /// As after a name has been resolved anew.
    #[test]
    fn who_waits_at_two_places_has_one_turn_at_each() {
        let (mut calls, now) = (Calls::default(), Duration::from_secs(10));
        let [here, there]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|addr| addr.parse().unwrap());
        for (place, first) in [(here, 0), (there, 10)] {
            (first..first + 5).for_each(|n| calls.began(now, place, IkeId(n)));
            assert!(!calls.may_begin(place, Caller::Link("both".into())));
        }
        // Room at one of them.
        calls.ended(IkeId(0));
        let woken = calls.wake(now);
        assert_eq!(woken, [Caller::Link("both".into())]);
        assert!(calls.keeps_waiting(&woken[0]) && !calls.may_begin(there, Caller::Link("both".into())));
        // The other place is free altogether: it is named once.
        (10..15).for_each(|n| calls.ended(IkeId(n)));
        assert_eq!(calls.wake(now), woken);
        assert!(!calls.keeps_waiting(&woken[0]));
    }
}
