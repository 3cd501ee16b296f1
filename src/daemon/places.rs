//! Which slot a child has in the tables, and which SPIs are its own.
use crate::crypto::rng::Rng;
use crate::frozen::{Frozen, Reader, Thaw, Writer};
use crate::ipsec::sad::{SpiPool, WORKER_MASK};
use crate::ipsec::spd::Slot;
use crate::ipsec::tables::{SlotPool, Tables};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// A child of a connection, for each of the peers of a `%any` connection (0 otherwise).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Connection.
    pub connection: Arc<str>,
    /// Child.
    pub child: Arc<str>,
    /// Peer.
    pub peer: u32,
}
impl Key {
    /// Of the tables and of acquires: `connection/child`.
    pub fn name(&self) -> Arc<str> {
        format!("{}/{}", self.connection, self.child).into()
    }
}

/// Slots and SPIs in use.
#[derive(Debug)]
pub struct Places {
    slots: SlotPool,
    spis: SpiPool,
    by_key: HashMap<Key, Slot>,
    by_connection: HashMap<Arc<str>, HashSet<Key>>,
    /// Gone from the tables, and how much had been replaced there by then: until that is freed, a worker may still act on the slot.
    leaving: VecDeque<(u64, Slot)>,
    /// SPIs of installed SAs: they are free when their SA has left the tables.
    installed: HashSet<u32>,
}
/// When it is thawed no worker is at work: slots that waited for one are free.
impl Frozen for Places {
    fn freeze(&self, out: &mut Writer) {
        // The keys of a connection are found among all.
        let Self { slots, spis, by_key, by_connection: _, leaving, installed } = self;
        slots.freeze(out);
        spis.freeze(out);
        by_key.freeze(out);
        leaving.freeze(out);
        installed.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (slots, spis, by_key) = <(SlotPool, SpiPool, HashMap<Key, Slot>)>::thaw(input)?;
        if !(1..=WORKER_MASK + 1).contains(&spis.workers()) {
            return Err(Thaw::Value("number of workers"));
        }
        let leaving = <VecDeque<(u64, Slot)>>::thaw(input)?;
        let mut by_connection: HashMap<Arc<str>, HashSet<Key>> = HashMap::new();
        for key in by_key.keys() {
            by_connection.entry(key.connection.clone()).or_default().insert(key.clone());
        }
        let (fresh, installed) = (VecDeque::new(), Frozen::thaw(input)?);
        let mut this = Self { slots, spis, by_key, by_connection, leaving: fresh, installed };
        leaving.into_iter().for_each(|(_, slot)| this.slots.release(slot));
        Ok(this)
    }
}
impl Places {
    /// All are free. `workers`: 1 to 16.
    pub fn new(workers: u8, rng: &mut dyn Rng) -> Self {
        let mut random = [0; 4];
        rng.fill(&mut random);
        Self {
            slots: SlotPool::new(u32::from_le_bytes(random)),
            spis: SpiPool::new(workers),
            by_key: HashMap::new(),
            by_connection: HashMap::new(),
            leaving: VecDeque::new(),
            installed: HashSet::new(),
        }
    }
    /// No slot is free.
    #[cfg(test)]
    pub(super) fn full() -> Self {
        let mut places = Self::new(1, &mut crate::crypto::rng::SeededRng::new(1));
        while places.slots.allocate().is_some() {}
        places
    }
    /// The slot of a child; a new one if it has none. `None` if all are taken.
    pub fn slot(&mut self, key: &Key) -> Option<Slot> {
        if let Some(slot) = self.by_key.get(key) {
            return Some(*slot);
        }
        let slot = self.slots.allocate()?;
        self.by_key.insert(key.clone(), slot);
        self.by_connection.entry(key.connection.clone()).or_default().insert(key.clone());
        Some(slot)
    }
    /// The home worker of a slot: its SPIs have the same.
    pub fn worker(&self, slot: Slot) -> u8 {
        // At most 16 workers.
        self.spis.worker(slot) as u8
    }
    /// The slot of a child that has one.
    pub fn find(&self, key: &Key) -> Option<Slot> {
        self.by_key.get(key).copied()
    }
    /// Every child that has a slot.
    pub fn all(&self) -> impl Iterator<Item = (&Key, Slot)> {
        self.by_key.iter().map(|(key, slot)| (key, *slot))
    }
    /// Those of one connection.
    pub fn of(&self, connection: &str) -> impl Iterator<Item = (&Key, Slot)> {
        let keys = self.by_connection.get(connection).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.find(key)?)))
    }
    /// The child is gone from the tables; its slot is free when no worker can see it any more.
    pub fn leave(&mut self, key: &Key, tables: &Tables) {
        let slot = self.by_key.remove(key);
        if let Some(keys) = self.by_connection.get_mut(&key.connection) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_connection.remove(&key.connection);
            }
        }
        self.leaving.extend(slot.map(|slot| (tables.replaced(), slot)));
    }
    /// Frees what was replaced in the tables, and the slots of children that had left before.
    pub fn sweep(&mut self, tables: &Tables) {
        let freed = tables.free();
        while let Some((_, slot)) = self.leaving.pop_front_if(|(replaced, _)| *replaced <= freed) {
            self.slots.release(slot);
        }
    }
    /// A fresh SPI for a child.
    pub fn allocate_spi(&mut self, key: &Key, random: u32) -> Option<u32> {
        let slot = self.slot(key)?;
        self.spis.allocate(slot, random)
    }
    /// The same for one worker of it alone (RFC 9611).
    pub fn allocate_spi_for(&mut self, key: &Key, worker: u32, random: u32) -> Option<u32> {
        let slot = self.slot(key)?;
        self.spis.allocate_for(slot, worker, random)
    }
    /// How many workers there are.
    pub fn workers(&self) -> u32 {
        self.spis.workers()
    }
    /// It will never be installed. (That of an installed SA is free after [`Self::removed`].)
    pub fn release_spi(&mut self, spi: u32) {
        if !self.installed.contains(&spi) {
            self.spis.release(spi);
        }
    }
    /// It was handed out and not given back.
    pub fn holds(&self, spi: u32) -> bool {
        self.spis.holds(spi)
    }
    /// An SA has this SPI.
    pub fn installed(&mut self, spi: u32) {
        self.installed.insert(spi);
    }
    /// The SA is gone from the tables.
    pub fn removed(&mut self, spi: u32) {
        if self.installed.remove(&spi) {
            self.spis.release(spi);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::rng::SeededRng;
    use crate::ipsec::sad::{RESTING, slot_of};
    use crate::ipsec::spd::Spd;

    fn key(peer: u32) -> Key {
        Key { connection: "a".into(), child: "b".into(), peer }
    }

    /// Whether `spi` is handed out again after so many allocations that every SPI of the slot that is free had its turn.
    fn is_free(places: &mut Places, spi: u32) -> bool {
        (0..8 * RESTING as u32).any(|turn| {
            let got = places.allocate_spi(&key(0), turn >> 4);
            got.inspect(|&got| places.release_spi(got));
            got == Some(spi)
        })
    }

    #[test]
    fn a_slot_stays_with_its_child() {
        let mut places = Places::new(1, &mut SeededRng::new(1));
        let slot = places.slot(&key(0));
        assert_eq!(places.slot(&key(0)), slot);
        assert_ne!(places.slot(&key(1)), slot);
        let spi = places.allocate_spi(&key(0), 7).unwrap();
        assert_eq!(Some(slot_of(spi)), slot);
        assert_eq!(&*key(0).name(), "a/b");
    }

    #[test]
    fn an_installed_spi_is_not_free_before_its_sa_is_gone() {
        let mut places = Places::new(1, &mut SeededRng::new(1));
        let spi = places.allocate_spi(&key(0), 7).unwrap();
        places.installed(spi);
        places.release_spi(spi);
        assert!(!is_free(&mut places, spi));
        places.removed(spi);
        assert!(is_free(&mut places, spi));
    }

    #[test]
    fn an_spi_that_was_never_installed_is_free_at_once() {
        let mut places = Places::new(1, &mut SeededRng::new(1));
        let spi = places.allocate_spi(&key(0), 7).unwrap();
        assert!(places.holds(spi));
        places.release_spi(spi);
        assert!(!places.holds(spi));
        assert!(is_free(&mut places, spi));
    }

    #[test]
    fn a_slot_that_was_left_is_swept() {
        let mut places = Places::new(1, &mut SeededRng::new(1));
        let slot = places.slot(&key(0));
        places.leave(&key(0), &Tables::new());
        assert_eq!(places.find(&key(0)), None);
        places.sweep(&Tables::new());
        assert!(places.leaving.is_empty());
        assert_ne!(places.slot(&key(0)), slot, "a released slot rests");
    }

    /// With many peers there is hardly a moment when nothing at all that was replaced is being read.
    #[test]
    fn a_slot_waits_for_what_was_replaced_before_it_was_left_and_for_no_more() {
        let (mut places, tables) = (Places::new(1, &mut SeededRng::new(1)), Tables::new());
        let left = |places: &mut Places| {
            places.sweep(&tables);
            places.leaving.len()
        };
        (0..2).for_each(|peer| _ = places.slot(&key(peer)));
        let first = tables.spd.load();
        tables.publish_policies(Spd::default());
        places.leave(&key(0), &tables);
        let second = tables.spd.load();
        tables.publish_policies(Spd::default());
        places.leave(&key(1), &tables);
        assert_eq!(left(&mut places), 2);
        drop(first);
        assert_eq!(left(&mut places), 1);
        drop(second);
        assert_eq!(left(&mut places), 0);
    }
}
