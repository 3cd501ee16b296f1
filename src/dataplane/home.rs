//! The way to a child's home worker. Towards a peer with a narrow window all that leaves on an SA must leave in order, so one worker seals it
//! all, and the others hand over to it what their queues of the device bring. They look it up; the home worker does everything else, so
//! no sequence number is reserved before a packet is where it is sealed.
//!
//! Between two workers there is one parcel. Whoever hands over puts a batch into it, all at once, and rings if it was empty; the home
//! worker takes it whole and leaves an empty one. So there is a lock, a copy and a wake-up per batch, the buffers go round, and what
//! waits is bounded: what does not fit is dropped. The home worker seals a batch of it at a time, as of a device, between which its sockets have
//! their turn.
use super::stats::{Direction, WorkerStats};
use crate::esp::line::Line;
use crate::io::VnetHeader;
use crate::io::fds::EventFd;
use crate::ipsec::spd::{DeviceId, Slot};
use crate::ipsec::tables::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Packets or super-packets that wait between two workers, and their octets: a millisecond's worth at 8 Gbit/s.
pub const MAX_PACKETS: usize = 1024;
/// See [`MAX_PACKETS`].
pub const MAX_OCTETS: usize = 1 << 20;
/// What a parcel keeps room for, when a burst is over that needed more: about a batch.
const KEPT_PACKETS: usize = 64;
const KEPT_OCTETS: usize = MAX_OCTETS / 4;

/// A worker's place among all workers, and the ways between them. By default it is alone.
#[derive(Clone, Debug, Default)]
pub struct Team {
    index: usize,
    inboxes: Arc<[Inbox]>,
}

/// What waits for one worker.
#[derive(Debug)]
struct Inbox {
    bell: Arc<EventFd>,
    /// By the worker that it comes from.
    parcels: Box<[Line<Mutex<Parcel>>]>,
}

impl Team {
    /// One for each bell, which wakes its worker.
    pub fn of(bells: &[Arc<EventFd>]) -> Vec<Self> {
        let parcels = || bells.iter().map(|_| Line::default()).collect();
        let inboxes: Arc<[_]> = bells.iter().map(|bell| Inbox { bell: bell.clone(), parcels: parcels() }).collect();
        (0..bells.len()).map(|index| Self { index, inboxes: inboxes.clone() }).collect()
    }

    /// Which worker it is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many workers there are, at least 1.
    pub fn len(&self) -> usize {
        self.inboxes.len().max(1)
    }

    /// A worker without others.
    pub fn is_empty(&self) -> bool {
        self.inboxes.is_empty()
    }

    /// The other worker that must seal for this child; `None` if this one may.
    pub fn home(&self, child: &Child) -> Option<usize> {
        child.settings().home.map(usize::from).filter(|home| *home != self.index && *home < self.inboxes.len())
    }

    /// Hands a batch over; what does not fit stays in `parcel`.
    pub fn hand_over(&self, to: usize, parcel: &mut Parcel) {
        let Some(inbox) = self.inboxes.get(to) else { return };
        let Some(mut waiting) = inbox.parcels.get(self.index).map(|of| lock(of)) else { return };
        let idle = waiting.is_empty();
        waiting.take_in(parcel);
        drop(waiting);
        // Who finds a parcel takes all of it, so one that was not empty has been rung for.
        if idle {
            inbox.bell.signal();
        }
    }

    /// Puts what has come from a worker into `parcel`, which is empty.
    pub fn take(&self, from: usize, parcel: &mut Parcel) {
        let waiting = self.inboxes.get(self.index).and_then(|inbox| inbox.parcels.get(from));
        if let Some(waiting) = waiting.filter(|_| from != self.index) {
            std::mem::swap(&mut *lock(waiting), parcel);
        }
    }
}

/// A parcel is whole whatever its last user did.
fn lock(parcel: &Mutex<Parcel>) -> MutexGuard<'_, Parcel> {
    parcel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Packets on their way, one behind the other.
#[derive(Debug, Default)]
pub struct Parcel {
    packets: Vec<Packet>,
    data: Vec<u8>,
}

/// A packet or super-packet as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The child that it is for, as far as its first reader saw.
    pub slot: Slot,
    /// Where it came from.
    pub device: DeviceId,
    /// How the kernel gave it to us.
    pub header: VnetHeader,
    len: usize,
}

impl Parcel {
    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Packets or super-packets.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Puts a packet behind the others.
    pub fn push(&mut self, slot: Slot, device: DeviceId, header: &VnetHeader, data: &[u8]) {
        self.packets.push(Packet { slot, device, header: *header, len: data.len() });
        self.data.extend_from_slice(data);
    }

    /// What is in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Packet, &[u8])> {
        let mut rest = &self.data[..];
        self.packets.iter().map(move |packet| {
            let (data, behind) = rest.split_at(packet.len);
            rest = behind;
            (packet, data)
        })
    }

    /// Makes it empty. Its memory stays for the next packets, unless it is much more than these have needed.
    pub fn clear(&mut self) {
        let spare = !self.is_empty() && self.data.len() < self.data.capacity() / 8;
        self.packets.clear();
        self.data.clear();
        if spare {
            self.packets.shrink_to(KEPT_PACKETS);
            self.data.shrink_to(KEPT_OCTETS);
        }
    }

    /// Moves as much as fits, in order, from the front of `other`.
    fn take_in(&mut self, other: &mut Self) {
        if self.is_empty() && other.len() <= MAX_PACKETS && other.data.len() <= MAX_OCTETS {
            std::mem::swap(self, other);
            return;
        }
        let (mut count, mut octets) = (0, 0);
        for packet in &other.packets {
            let fits = self.len() + count < MAX_PACKETS && self.data.len() + octets + packet.len <= MAX_OCTETS;
            if !fits {
                break;
            }
            count += 1;
            octets += packet.len;
        }
        self.packets.extend(other.packets.drain(..count));
        self.data.extend_from_slice(&other.data[..octets]);
        other.data.drain(..octets);
    }
}

/// What a worker has taken from the others and not looked at yet.
#[derive(Debug, Default)]
pub struct Arrived {
    /// Empty, or from worker `from`.
    parcel: Parcel,
    from: usize,
    /// Packets of the parcel that are done, and their octets.
    done: (usize, usize),
}

impl Arrived {
    /// The next packet: of the parcel that is open, or of the next worker's. `None` if nothing waits, from nobody.
    pub fn next(&mut self, team: &Team, stats: &WorkerStats) -> Option<(Packet, &mut [u8])> {
        if self.done.0 >= self.parcel.len() {
            self.open_next(team, stats);
        }
        let (count, octets) = self.done;
        let packet = *self.parcel.packets.get(count)?;
        self.done = (count + 1, octets + packet.len);
        Some((packet, &mut self.parcel.data[octets..octets + packet.len]))
    }

    /// The next parcel, if there is one. All workers have their turn.
    fn open_next(&mut self, team: &Team, stats: &WorkerStats) {
        self.parcel.clear();
        self.done = (0, 0);
        for _ in 0..team.len() {
            self.from = (self.from + 1) % team.len();
            team.take(self.from, &mut self.parcel);
            if !self.parcel.is_empty() {
                return stats.count_batch(Direction::Handed, self.parcel.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::settings::Settings;

    fn team(workers: usize) -> (Vec<Team>, Vec<Arc<EventFd>>) {
        let bells: Vec<_> = (0..workers).map(|_| Arc::new(EventFd::new().unwrap())).collect();
        (Team::of(&bells), bells)
    }

    fn parcel(packets: impl IntoIterator<Item = Vec<u8>>) -> Parcel {
        let mut parcel = Parcel::default();
        for data in packets {
            parcel.push(Slot(1), DeviceId(2), &VnetHeader::default(), &data);
        }
        parcel
    }

    fn contents(parcel: &Parcel) -> Vec<Vec<u8>> {
        parcel.iter().map(|(_, data)| data.to_vec()).collect()
    }

    fn taken(team: &Team, from: usize) -> Vec<Vec<u8>> {
        let mut parcel = Parcel::default();
        team.take(from, &mut parcel);
        contents(&parcel)
    }

    #[test]
    fn what_is_handed_over_arrives_in_order_at_its_worker_only_and_rings_once() {
        let (team, bells) = team(3);
        team[0].hand_over(2, &mut parcel([vec![1; 9], vec![]]));
        assert!(bells[2].drain());
        team[0].hand_over(2, &mut parcel([vec![2; 5]]));
        team[1].hand_over(2, &mut parcel([vec![3]]));
        assert!(bells[2].drain() && !bells[0].drain() && !bells[1].drain());
        assert!(taken(&team[1], 0).is_empty() && taken(&team[0], 2).is_empty());
        assert_eq!(taken(&team[2], 0), [vec![1; 9], vec![], vec![2; 5]]);
        assert_eq!(taken(&team[2], 1), [[3]]);
        // Nothing is left, so the next one rings again; what is there already has rung.
        team[0].hand_over(2, &mut parcel([vec![4]]));
        assert!(bells[2].drain());
        team[0].hand_over(2, &mut parcel([vec![5]]));
        assert!(!bells[2].drain());
        assert_eq!(taken(&team[2], 0), [[4], [5]]);
    }

    #[test]
    fn what_does_not_fit_stays_with_who_hands_over() {
        for (packets, len, fit) in [(MAX_PACKETS, 1, MAX_PACKETS), (20, 60_000, MAX_OCTETS / 60_000)] {
            let (team, _) = team(2);
            let mut all = (0..).map(|i: u32| [&i.to_be_bytes()[..], &vec![7; len]].concat());
            let fit = fit.min(MAX_OCTETS / (len + 4));
            team[0].hand_over(1, &mut parcel(all.by_ref().take(fit - 1)));
            let mut rest = parcel(all.take(packets));
            team[0].hand_over(1, &mut rest);
            assert_eq!(rest.len(), packets - 1);
            let number = |data: &[u8]| u32::from_be_bytes(data[..4].try_into().unwrap());
            assert_eq!(contents(&rest).first().map(|data| number(data)), Some(fit as u32));
            let came: Vec<_> = taken(&team[1], 0).iter().map(|data| number(data)).collect();
            assert_eq!(came, (0..fit as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_has_come_is_given_out_worker_by_worker() {
        let (team, _) = team(3);
        let stats = WorkerStats::default();
        let mut arrived = Arrived::default();
        let mut next = || arrived.next(&team[1], &stats).map(|(_, data)| data.to_vec());
        assert_eq!(next(), None);
        team[0].hand_over(1, &mut parcel([vec![1], vec![], vec![2, 2]]));
        team[2].hand_over(1, &mut parcel([vec![3]]));
        assert_eq!(next(), Some(vec![3]));
        assert_eq!(next(), Some(vec![1]));
        // Neither overtakes what came before it, nor takes another's turn.
        team[0].hand_over(1, &mut parcel([vec![4]]));
        team[2].hand_over(1, &mut parcel([vec![5]]));
        let rest: Vec<_> = std::iter::from_fn(next).collect();
        assert_eq!(rest, [vec![], vec![2, 2], vec![5], vec![4]]);
        let mut batches = [0; 16];
        (batches[0], batches[1]) = (3, 1);
        assert_eq!(stats.batches(Direction::Handed), batches);
    }

    #[test]
    fn a_parcel_that_was_large_once_becomes_small_again() {
        let large = || (0..MAX_OCTETS / 1000).map(|_| vec![7; 1000]);
        let mut parcel = parcel(large());
        let room = parcel.data.capacity();
        assert!(room >= MAX_OCTETS / 1000 * 1000);
        let use_for = |parcel: &mut Parcel, packets: &mut dyn Iterator<Item = Vec<u8>>| {
            packets.for_each(|data| parcel.push(Slot(1), DeviceId(2), &VnetHeader::default(), &data));
            parcel.clear();
            parcel.data.capacity()
        };
        // Neither for as long as much goes through it, nor when it goes back empty.
        parcel.clear();
        assert_eq!([use_for(&mut parcel, &mut large()), use_for(&mut parcel, &mut std::iter::empty())], [room; 2]);
        assert!(use_for(&mut parcel, &mut large().take(3)) <= KEPT_OCTETS);
        assert!(parcel.packets.capacity() <= KEPT_PACKETS);
    }

    #[test]
    fn who_is_alone_or_at_home_seals() {
        let child = |home| {
            let live = Settings { home, ..Settings::default() }.into();
            Child { live, ..Child::new(Slot(1), "a/b".into(), DeviceId(0), true) }
        };
        assert_eq!(Team::default().home(&child(Some(3))), None);
        let (team, _) = team(4);
        assert_eq!((team[3].home(&child(Some(3))), team[2].home(&child(Some(3)))), (None, Some(3)));
        assert_eq!((team[2].home(&child(None)), team[2].home(&child(Some(4)))), (None, None));
    }
}
