//! SAs by SPI. Our SPIs hold the slot's home worker, the slot, a generation and random bits; never 0-255:
//!
//! ```text
//!  31        28 27        24 23                             4 3         0
//! +------------+------------+--------------------------------+-----------+
//! |   random   | generation |              slot              |  worker   |
//! +------------+------------+--------------------------------+-----------+
//! ```
//!
//! The worker depends on the slot alone, or is the resource that the SA is for (RFC 9611), so the steering of a child does not change with its
//! rekeys. The slot makes the lookup two array
//! accesses. Generation and random bits keep a late packet of an old SA, or of a daemon before this one, away from a new SA.
use super::admit::{End, admits};
use super::spd::Slot;
use super::tables::{Child, Traffic};
use crate::esp::drop::Drop;
use crate::esp::inbound::InboundSa;
use crate::frozen::frozen;
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use arc_swap::{ArcSwapOption, Guard};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};

/// Bits of an SPI that tell the home worker: `spi & WORKER_MASK`; the same for all SPIs of one child, or of one of its resources.
pub const WORKER_MASK: u32 = 0xf;
/// So many children can have SAs at a time.
pub const MAX_SLOTS: u32 = 1 << 20;
/// SPIs up to this are reserved (RFC 4303 section 2.1).
const LAST_RESERVED: u32 = 255;
const SLOT_SHIFT: u32 = 4;
const TAG_SHIFT: u32 = 24;
const PAGE_SLOTS: u32 = 1024;

/// The slot that an SPI of ours names.
pub fn slot_of(spi: u32) -> Slot {
    Slot((spi >> SLOT_SHIFT) & (MAX_SLOTS - 1))
}

/// One inbound SA with the child that it belongs to.
#[derive(Debug)]
pub struct InboundEntry {
    /// SPI.
    pub spi: u32,
    /// Keys and window.
    pub sa: InboundSa,
    /// Its child.
    pub child: Arc<Child>,
    /// Narrowed selectors on our side: where inner packets may go.
    pub local_ts: Arc<[Selector]>,
    /// Narrowed selectors on the peer's side: where inner packets may come from.
    pub remote_ts: Arc<[Selector]>,
    /// Non-first fragments, which cannot be compared with ports, are dropped where a selector names ports. False only where both sides
    /// agreed to carry them (NON_FIRST_FRAGMENTS_ALSO, RFC 4301 section 7.3).
    pub check_fragments: bool,
    /// What stands in its packets.
    pub mode: Mode,
    /// What it has carried.
    pub traffic: Traffic,
}

/// What stands in the packets of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// IP packets.
    #[default]
    Tunnel,
    /// What is behind the IP header of a packet between the two outer addresses (RFC 4303 section 3.1.1). Where a NAT changed those: source
    /// and destination as the sender wrote them, which its checksums were made with (RFC 3948 section 3.1.2).
    Transport {
        /// As the sender saw them; `None` if nothing was changed.
        sent: Option<(std::net::IpAddr, std::net::IpAddr)>,
    },
}

impl InboundEntry {
    /// The check after opening (RFC 4301 section 5.2, step 4): source within `remote_ts`, destination within `local_ts`.
    /// `SelectorMismatch`, `LaterFragment`.
    pub fn admits(&self, flow: &Flow) -> Result<(), Drop> {
        let source = End { addr: flow.src, port: flow.sport, selectors: &self.remote_ts };
        let destination = End { addr: flow.dst, port: flow.dport, selectors: &self.local_ts };
        admits([source, destination], flow, !self.check_fragments)
    }
}

/// SPI to SA: by slot the SAs that a child has at this moment, which a change exchanges as one, whatever the other slots hold. Slots stand in
/// pages, which are made when they are needed, and stay.
#[derive(Debug)]
pub struct Sad {
    pages: Box<[OnceLock<Page>]>,
}

type Page = Box<[ArcSwapOption<Sas>]>;

/// All inbound SAs of a child: one, and more during a rekey.
pub(super) type Sas = Vec<Arc<InboundEntry>>;

/// The SAs of one child as they were when it was asked for.
#[derive(Debug)]
pub struct SlotSas(Option<Guard<Option<Arc<Sas>>>>);

impl SlotSas {
    /// The SA of an SPI of this child.
    pub fn get(&self, spi: u32) -> Option<&Arc<InboundEntry>> {
        self.iter().find(|sa| sa.spi == spi)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<InboundEntry>> {
        self.0.iter().filter_map(|sas| sas.as_deref()).flatten()
    }
}

impl Default for Sad {
    fn default() -> Self {
        Self { pages: (0..MAX_SLOTS / PAGE_SLOTS).map(|_| OnceLock::new()).collect() }
    }
}

impl Sad {
    /// The SAs of a child.
    pub fn slot(&self, slot: Slot) -> SlotSas {
        SlotSas(self.place(slot).map(ArcSwapOption::load))
    }

    /// There is an SA with this SPI.
    pub fn knows(&self, spi: u32) -> bool {
        self.slot(slot_of(spi)).get(spi).is_some()
    }

    /// One more SA; it takes the place of one with the same SPI. What is to be freed when nobody reads it any more. Two writers must not
    /// meet, here and below.
    pub(super) fn insert(&self, entry: Arc<InboundEntry>) -> Option<Arc<Sas>> {
        let slot = slot_of(entry.spi);
        let empty = || (0..PAGE_SLOTS).map(|_| ArcSwapOption::empty()).collect();
        let page = self.pages[(slot.0 / PAGE_SLOTS) as usize].get_or_init(empty);
        let present = self.slot(slot);
        let others = present.iter().filter(|sa| sa.spi != entry.spi).cloned();
        let sas = others.chain([entry.clone()]).collect();
        page[(slot.0 % PAGE_SLOTS) as usize].swap(Some(Arc::new(sas)))
    }

    /// This SPI goes. What is to be freed; `None` if it was not there.
    pub(super) fn remove(&self, spi: u32) -> Option<Arc<Sas>> {
        let present = self.slot(slot_of(spi));
        present.get(spi)?;
        let left: Sas = present.iter().filter(|sa| sa.spi != spi).cloned().collect();
        self.place(slot_of(spi))?.swap((!left.is_empty()).then(|| Arc::new(left)))
    }

    /// All SAs of a child go. What is to be freed.
    pub(super) fn clear(&self, slot: Slot) -> Option<Arc<Sas>> {
        self.place(slot)?.swap(None)
    }

    fn place(&self, slot: Slot) -> Option<&ArcSwapOption<Sas>> {
        self.pages.get((slot.0 / PAGE_SLOTS) as usize)?.get()?.get((slot.0 % PAGE_SLOTS) as usize)
    }
}

/// A released SPI rests for so many allocations, of any slot. Far fewer than the 256 SPIs of a slot, so resting ones alone can never
/// use it up.
pub const RESTING: u64 = 64;

/// Hands out SPIs. Used by the engine only.
#[derive(Debug)]
pub struct SpiPool {
    workers: u32,
    /// In use or half-closed.
    held: HashSet<u32>,
    /// Released, but not free yet.
    resting: HashSet<u32>,
    /// Those, and the allocation before which each may be used again; in that order.
    until: VecDeque<(u64, u32)>,
    allocations: u64,
    generations: HashMap<Slot, u32>,
}
frozen! { struct SpiPool { workers, held, resting, until, allocations, generations } }

impl SpiPool {
    /// `workers`: 1 to 16.
    pub fn new(workers: u8) -> Self {
        Self {
            workers: u32::from(workers).clamp(1, WORKER_MASK + 1),
            held: HashSet::new(),
            resting: HashSet::new(),
            until: VecDeque::new(),
            allocations: 0,
            generations: HashMap::new(),
        }
    }

    /// The home worker of a slot, below the number of workers.
    pub fn worker(&self, slot: Slot) -> u32 {
        slot.0 % self.workers
    }

    /// How many workers there are, 1 to 16.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// A fresh SPI for this slot and its home worker: not in use, not half-closed, not released lately. `random` comes from the system's
    /// generator. `None` if the slot is not below `MAX_SLOTS` or has no SPI left.
    pub fn allocate(&mut self, slot: Slot, random: u32) -> Option<u32> {
        self.allocate_for(slot, self.worker(slot), random)
    }

    /// The same for another worker of this slot. `None` also if there is no such worker.
    pub fn allocate_for(&mut self, slot: Slot, worker: u32, random: u32) -> Option<u32> {
        if slot.0 >= MAX_SLOTS || worker >= self.workers {
            return None;
        }
        self.wake();
        let last = self.generations.get(&slot).copied().unwrap_or(random >> 4);
        let generations = (1..=16).map(|step| (last + step) % 16);
        let tags = generations
            .flat_map(|generation| (0..16).map(move |step| (((random & 0xf) + step) % 16) << 4 | generation));
        let base = slot.0 << SLOT_SHIFT | worker;
        let taken = |spi: &u32| self.held.contains(spi) || self.resting.contains(spi);
        let spi = tags.map(|tag| tag << TAG_SHIFT | base).find(|spi| *spi > LAST_RESERVED && !taken(spi))?;
        self.held.insert(spi);
        self.generations.insert(slot, (spi >> TAG_SHIFT) % 16);
        self.allocations += 1;
        Some(spi)
    }

    /// It was handed out and not released.
    pub fn holds(&self, spi: u32) -> bool {
        self.held.contains(&spi)
    }

    /// Both directions are closed: it may be used again, after `RESTING` more allocations. Unknown SPIs are ignored.
    pub fn release(&mut self, spi: u32) {
        if self.held.remove(&spi) {
            self.resting.insert(spi);
            self.until.push_back((self.allocations + RESTING, spi));
        }
    }

    fn wake(&mut self) {
        while let Some((_, spi)) = self.until.pop_front_if(|(until, _)| *until <= self.allocations) {
            self.resting.remove(&spi);
        }
    }
}
