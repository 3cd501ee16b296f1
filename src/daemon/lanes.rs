//! Two bounded lanes for IKE datagrams: those of IKE SAs that we know are served first, and a flood of strangers costs them nothing but the
//! time to look at it.
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Datagrams of known SAs that wait; far more than peers send while one turn lasts.
const KNOWN: usize = 8192;
/// Datagrams of strangers that wait. Small, so that none is older than its sender's patience when it is served.
const STRANGERS: usize = 2048;
/// Octets that wait in a lane: thousands of usual messages, and few enough of the largest.
const OCTETS: usize = 8 << 20;
/// Strangers that are served before the sockets are looked at again.
pub const BUDGET: usize = 64;

/// An IKE message without marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Our end.
    pub local: SocketAddr,
    /// The sender.
    pub remote: SocketAddr,
    /// The message.
    pub data: Vec<u8>,
}

/// First in, first out, bounded by octets.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Waiting>,
    octets: usize,
}
impl Lane {
    fn pop(&mut self) -> Option<Waiting> {
        let message = self.queue.pop_front()?;
        self.octets -= message.data.len();
        Some(message)
    }
}

/// The lanes, and what they counted.
#[derive(Debug, Default)]
pub struct Lanes {
    known: Lane,
    strangers: Lane,
    served: usize,
    /// Taken in.
    pub received: u64,
    /// Too short, or what nobody sends.
    pub junk: u64,
    /// Found their lane full.
    pub overflowed: u64,
}
impl Lanes {
    /// Takes a message in; copied only if its lane has room.
    pub fn push(&mut self, ours: bool, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
        self.received += 1;
        let (lane, limit) = if ours { (&mut self.known, KNOWN) } else { (&mut self.strangers, STRANGERS) };
        if lane.queue.len() < limit && lane.octets + data.len() <= OCTETS {
            lane.octets += data.len();
            lane.queue.push_back(Waiting { local, remote, data: data.to_vec() });
        } else {
            self.overflowed += 1;
        }
    }
    /// A new turn: strangers have their budget again.
    pub fn refill(&mut self) {
        self.served = 0;
    }
    /// The next message: known SAs first, then strangers within the budget.
    pub fn pop(&mut self) -> Option<Waiting> {
        if let Some(message) = self.known.pop() {
            return Some(message);
        }
        if self.served == BUDGET {
            return None;
        }
        let message = self.strangers.pop()?;
        self.served += 1;
        Some(message)
    }
    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.known.queue.is_empty() && self.strangers.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(lanes: &mut Lanes, ours: bool, data: &[u8]) {
        let addr = SocketAddr::from(([192, 0, 2, 1], 500));
        lanes.push(ours, addr, addr, data);
    }

    #[test]
    fn known_sas_come_before_any_number_of_strangers() {
        let mut lanes = Lanes::default();
        for _ in 0..STRANGERS + 10 {
            push(&mut lanes, false, b"stranger");
        }
        push(&mut lanes, true, b"ours");
        assert_eq!(lanes.pop().unwrap().data, b"ours");
        assert_eq!(lanes.overflowed, 10);
    }

    #[test]
    fn large_messages_do_not_fill_the_memory() {
        let mut lanes = Lanes::default();
        let large = vec![0; 60_000];
        for ours in [true, false] {
            for _ in 0..STRANGERS {
                push(&mut lanes, ours, &large);
            }
        }
        let waiting = std::iter::from_fn(|| {
            lanes.refill();
            lanes.pop()
        });
        let octets: usize = waiting.map(|message| message.data.len()).sum();
        assert!((2 * OCTETS - 2 * large.len()..=2 * OCTETS).contains(&octets), "{octets}");
        push(&mut lanes, false, &large);
        assert!(!lanes.is_empty(), "there is room again");
    }

    #[test]
    fn strangers_are_served_within_their_budget_for_each_turn() {
        let mut lanes = Lanes::default();
        for _ in 0..2 * BUDGET {
            push(&mut lanes, false, b"stranger");
        }
        assert_eq!(std::iter::from_fn(|| lanes.pop()).count(), BUDGET);
        assert!(!lanes.is_empty());
        lanes.refill();
        assert_eq!(std::iter::from_fn(|| lanes.pop()).count(), BUDGET);
        assert!(lanes.is_empty());
    }
}
