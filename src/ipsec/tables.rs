//! What the engine publishes and workers read: policies, SAs, children.
use super::admit::{End, admits};
use super::larval::Larvae;
use super::path::Path;
use super::sad::{InboundEntry, Sad};
use super::settings::{Live, Settings};
use super::spd::{DeviceId, Slot, Spd};
use super::translate::Translation;
use crate::esp::drop::Drop;
use crate::esp::line::CACHE_LINE;
use crate::esp::outbound::OutboundSa;
use crate::frozen::frozen;
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A child as workers see it: its place is fixed, its outbound SA is exchanged by rekeys.
#[derive(Debug)]
pub struct Child {
    /// Place in the tables.
    pub slot: Slot,
    /// `connection/child`, for events and acquires.
    pub name: Arc<str>,
    /// Number of the device that its inner packets come from and go to: see [`Self::device()`].
    pub device: AtomicU16,
    /// The SA to send on, if there is one.
    pub outbound: ArcSwapOption<OutboundEntry>,
    /// Where SAs have different selectors, one of each, the best first: the peer may have narrowed one child to several (RFC 7296 section 2.9).
    pub beside: ArcSwapOption<Vec<Arc<OutboundEntry>>>,
    /// By worker, the SAs that are for it alone (RFC 9611); there are no places before they are wanted.
    pub resources: OnceLock<Box<[ArcSwapOption<OutboundEntry>]>>,
    /// What may change while it carries packets.
    pub live: Live,
    /// This side's own names for its networks.
    pub translation: Option<Translation>,
    /// Counters over all SAs of this child.
    pub counters: Arc<ChildCounters>,
}

impl Child {
    /// A child without SAs, whose packets do not wait for one and which any worker may seal.
    pub fn new(slot: Slot, name: Arc<str>, device: DeviceId, copy_dscp: bool) -> Self {
        Self {
            slot,
            name,
            device: AtomicU16::new(device.0),
            outbound: ArcSwapOption::empty(),
            beside: ArcSwapOption::empty(),
            resources: OnceLock::new(),
            live: Settings { copy_dscp, ..Settings::default() }.into(),
            translation: None,
            counters: Arc::default(),
        }
    }
}

impl Child {
    /// The device that its inner packets come from and go to.
    pub fn device(&self) -> DeviceId {
        DeviceId(self.device.load(Ordering::Relaxed))
    }

    /// From now on another one, also for the SAs that it has.
    pub fn set_device(&self, device: DeviceId) {
        self.device.store(device.0, Ordering::Relaxed);
    }

    /// The settings that it has now.
    pub fn settings(&self) -> Settings {
        self.live.get()
    }

    /// From now on there is room for SAs of so many workers. There is room for no others later.
    pub fn make_room(&self, workers: u32) {
        if workers > 0 {
            self.resources.get_or_init(|| (0..workers).map(|_| ArcSwapOption::empty()).collect());
        }
    }

    /// By worker, the SAs that are for it alone.
    pub fn resources(&self) -> &[ArcSwapOption<OutboundEntry>] {
        self.resources.get().map_or(&[], |own| own)
    }

    /// The SA that is for this worker alone, if it has one.
    pub fn own(&self, worker: usize) -> Option<Guard<Option<Arc<OutboundEntry>>>> {
        self.resources().get(worker).map(|own| own.load()).filter(|own| own.is_some())
    }

    /// The SA to send on what the one in use may not carry, if there is one.
    pub fn beside(&self, flow: &Flow) -> Option<Arc<OutboundEntry>> {
        self.beside.load().as_ref()?.iter().find(|entry| entry.admits(flow).is_ok()).cloned()
    }

    /// What this worker sends on: the SA that is for it alone, or else the one for all.
    pub fn outbound_for(&self, worker: usize) -> Guard<Option<Arc<OutboundEntry>>> {
        self.own(worker).unwrap_or_else(|| self.outbound.load())
    }

    /// Its flows may be served by any worker: none has to seal for it, and none has an SA of it to itself.
    pub fn spreads(&self) -> bool {
        self.settings().home.is_none() && self.resources().iter().all(|own| own.load().is_none())
    }
}

/// So many names of children that are gone are remembered.
const MOST_GONE: usize = 1 << 16;

/// Counters of a child; never go back over a rekey. Drops are counted here when the child is known, which is until a packet is sealed: what a
/// socket does not take is in its worker's counters only. In cache lines of their own: the rest of the child is read for every packet.
#[derive(Debug)]
#[repr(align(64))]
#[allow(missing_docs, reason = "the names say it")]
pub struct ChildCounters {
    pub bytes_in: AtomicU64,
    pub packets_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub packets_out: AtomicU64,
    /// In the order of `Drop::ALL`.
    pub drops: Box<[AtomicU64]>,
}

impl ChildCounters {
    /// All zero.
    pub fn new() -> Self {
        Self {
            bytes_in: AtomicU64::new(0),
            packets_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            packets_out: AtomicU64::new(0),
            drops: Drop::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts inner packets that were delivered, several at a time.
    pub fn add_in(&self, bytes: u64, packets: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        self.packets_in.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts inner packets that were sealed, those of a super-packet at once.
    pub fn add_out(&self, bytes: u64, packets: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        self.packets_out.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts one packet that was dropped.
    pub fn record_drop(&self, reason: Drop) {
        self.record_drops(reason, 1);
    }

    /// Counts packets that were dropped.
    pub fn record_drops(&self, reason: Drop, packets: u64) {
        self.drops[reason as usize].fetch_add(packets, Ordering::Relaxed);
    }

    /// Adds all that another one has counted.
    fn add(&self, other: &Self) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.add_in(read(&other.bytes_in), read(&other.packets_in));
        self.add_out(read(&other.bytes_out), read(&other.packets_out));
        for (sum, drops) in self.drops.iter().zip(&other.drops) {
            sum.fetch_add(read(drops), Ordering::Relaxed);
        }
    }

    /// Packets dropped for this reason.
    pub fn dropped(&self, reason: Drop) -> u64 {
        self.drops[reason as usize].load(Ordering::Relaxed)
    }

    /// Packets dropped, with the name of each reason.
    pub fn named_drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Drop::ALL.iter().map(|reason| (reason.name(), self.dropped(*reason)))
    }
}

impl Default for ChildCounters {
    fn default() -> Self {
        Self::new()
    }
}

/// What has travelled on one SA; in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
#[allow(missing_docs, reason = "the names say it")]
pub struct Traffic {
    /// Octets of inner packets.
    pub bytes: AtomicU64,
    pub packets: AtomicU64,
    /// What was wrong with packets that came on it.
    pub faults: Faults,
}

/// What was wrong with packets of one SA; from it the doctor tells wrong keys from a bad line. An heir begins anew.
#[derive(Debug, Default)]
pub struct Faults {
    /// Their ICV was wrong.
    pub icv: AtomicU64,
    /// Their ICV was the right one, cut to 96 bits.
    pub cut: AtomicU64,
    /// So many were held against that.
    tried: AtomicU64,
}

/// So many packets of an SA are held against another ICV: it is one that peers have from the first packet on, or never.
const TRIES: u64 = 16;

impl Faults {
    /// Something was wrong.
    pub fn are_any(&self) -> bool {
        self.icv.load(Ordering::Relaxed) > 0 || self.cut.load(Ordering::Relaxed) > 0
    }

    /// Whether one more is worth the trouble.
    pub fn try_cut(&self) -> bool {
        self.tried.load(Ordering::Relaxed) < TRIES && self.tried.fetch_add(1, Ordering::Relaxed) < TRIES
    }
}

const _: () = assert!(align_of::<Traffic>() >= CACHE_LINE && align_of::<ChildCounters>() >= CACHE_LINE);

impl Traffic {
    /// Counts a run of packets.
    pub fn add(&self, bytes: u64, packets: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.packets.fetch_add(packets, Ordering::Relaxed);
    }
}

/// The sending half with what was negotiated for it.
#[derive(Debug)]
pub struct OutboundEntry {
    /// Keys and sequence.
    pub sa: OutboundSa,
    /// Narrowed selectors on our side.
    pub local_ts: Arc<[Selector]>,
    /// Narrowed selectors on the peer's side.
    pub remote_ts: Arc<[Selector]>,
    /// The path of its IKE SA.
    pub path: Arc<ArcSwap<Path>>,
    /// Transport mode: what is sealed is the packet without its IP header (RFC 4303 section 3.1.1).
    pub transport: bool,
    /// What it has carried.
    pub traffic: Traffic,
}

impl OutboundEntry {
    /// The check before sealing: what was negotiated may be narrower than the policy (RFC 4301 section 4.4.1). Source within `local_ts`,
    /// destination within `remote_ts`. `SelectorMismatch`, `LaterFragment`.
    pub fn admits(&self, flow: &Flow) -> Result<(), Drop> {
        let source = End { addr: flow.src, port: flow.sport, selectors: &self.local_ts };
        let destination = End { addr: flow.dst, port: flow.dport, selectors: &self.remote_ts };
        admits([source, destination], flow, false)
    }
}

/// Children by slot; pages of 256 slots, immutable; a change replaces one page.
#[derive(Clone, Debug, Default)]
pub struct Children {
    pages: Vec<Option<Arc<ChildPage>>>,
}

type ChildPage = [Option<Arc<Child>>; PAGE_SLOTS];
const PAGE_SLOTS: usize = 256;

impl Children {
    /// The child of a slot.
    pub fn get(&self, slot: Slot) -> Option<&Arc<Child>> {
        let (page, place) = (slot.0 as usize / PAGE_SLOTS, slot.0 as usize % PAGE_SLOTS);
        self.pages.get(page)?.as_ref()?[place].as_ref()
    }

    /// All children, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Child>> {
        self.pages.iter().flatten().flat_map(|page| page.iter().flatten())
    }

    /// A copy with another child, or none, in each of these slots.
    fn with(&self, changes: impl IntoIterator<Item = (Slot, Option<Arc<Child>>)>) -> Self {
        let mut pages = self.pages.clone();
        for (slot, child) in changes {
            let (page, place) = (slot.0 as usize / PAGE_SLOTS, slot.0 as usize % PAGE_SLOTS);
            if pages.len() <= page {
                pages.resize(page + 1, None);
            }
            let slots = pages[page].get_or_insert_with(|| Arc::new([const { None }; PAGE_SLOTS]));
            // Each page is copied once: the copy is nobody else's yet.
            let slots: &mut ChildPage = Arc::make_mut(slots);
            let goes = child.is_none();
            slots[place] = child;
            if goes && slots.iter().all(Option::is_none) {
                pages[page] = None;
            }
        }
        Self { pages }
    }
}

/// The published tables. The engine writes, through the methods below; a worker loads each once per batch.
#[derive(Debug, Default)]
pub struct Tables {
    /// Policies.
    pub spd: ArcSwap<Spd>,
    /// Inbound SAs.
    pub sad: Sad,
    /// Children by slot.
    pub children: ArcSwap<Children>,
    /// SPIs that are not in `sad` yet.
    pub larvae: Larvae,
    /// Also keeps two writers apart.
    replaced: Mutex<Replaced>,
    /// What children that are gone have counted, by name: peers that come and go are one child for who adds up.
    gone: Mutex<HashMap<Arc<str>, Arc<ChildCounters>>>,
}

impl Tables {
    /// Nothing in them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Publishes other policies.
    pub fn publish_policies(&self, spd: Spd) {
        let mut replaced = self.write();
        replaced.keep(self.spd.swap(Arc::new(spd)));
    }

    /// Publishes a child in its slot.
    pub fn insert_child(&self, child: Arc<Child>) {
        self.insert_children([child]);
    }

    /// The same of many, with one copy of what is there.
    pub fn insert_children(&self, all: impl IntoIterator<Item = Arc<Child>>) {
        let mut replaced = self.write();
        let children = self.children.load().with(all.into_iter().map(|child| (child.slot, Some(child))));
        replaced.keep(self.children.swap(Arc::new(children)));
    }

    /// Takes a child away with all of its SAs. The policies that name its slot must have gone before.
    pub fn remove_child(&self, slot: Slot) -> Option<Arc<Child>> {
        let mut replaced = self.write();
        let child = self.children.load().get(slot).cloned()?;
        child.resources().iter().chain([&child.outbound]).for_each(|outbound| outbound.store(None));
        if let Some(beside) = child.beside.swap(None) {
            replaced.keep(beside);
        }
        if let Some(sas) = self.sad.clear(slot) {
            replaced.keep(sas);
        }
        let children = self.children.load().with([(slot, None)]);
        replaced.keep(self.children.swap(Arc::new(children)));
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        // Names are the configuration's; whoever changes those again and again loses old sums, and no memory.
        if gone.len() >= MOST_GONE && !gone.contains_key(&child.name) {
            gone.clear();
        }
        gone.entry(child.name.clone()).or_default().add(&child.counters);
        Some(child)
    }

    /// What children of this name that are gone have counted.
    pub fn gone(&self, name: &str) -> Option<Arc<ChildCounters>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// From now on packets with this SPI are opened; it is not larval any more.
    pub fn publish_inbound(&self, entry: Arc<InboundEntry>) {
        let mut replaced = self.write();
        let spi = entry.spi;
        let before = self.sad.insert(entry);
        self.larvae.remove(spi);
        if let Some(before) = before {
            replaced.keep(before);
        }
    }

    /// From now on packets with this SPI are unknown. False if they were already.
    pub fn retire_inbound(&self, spi: u32) -> bool {
        let mut replaced = self.write();
        let gone = self.sad.remove(spi);
        gone.map(|gone| replaced.keep(gone)).is_some()
    }

    /// From now on the child sends on this SA, or on none. The SPI of the one before; `None` also if there is no child. Whoever publishes an
    /// outbound SA holds it as well, for it may be used again, and hands it to [`Self::discard`] in the end.
    pub fn swap_outbound(&self, slot: Slot, entry: Option<Arc<OutboundEntry>>) -> Option<u32> {
        let _writing = self.write();
        let before = self.children.load().get(slot)?.outbound.swap(entry);
        before.map(|entry| entry.sa.spi())
    }

    /// From now on this worker sends on this SA for the child, or on the one that is for all. As above.
    pub fn swap_resource(&self, slot: Slot, worker: usize, entry: Option<Arc<OutboundEntry>>) {
        let _writing = self.write();
        if let Some(own) = self.children.load().get(slot).and_then(|child| child.resources().get(worker)) {
            own.store(entry);
        }
    }

    /// From now on the child sends on these what the SA in use may not carry. Before one of them is discarded.
    pub fn swap_beside(&self, slot: Slot, all: Vec<Arc<OutboundEntry>>) {
        let mut replaced = self.write();
        let children = self.children.load();
        let Some(child) = children.get(slot) else { return };
        if let Some(before) = child.beside.swap((!all.is_empty()).then(|| Arc::new(all))) {
            replaced.keep(before);
        }
    }

    /// The engine holds this SA no longer, and no child will send on it again: freed when no worker reads it.
    pub fn discard(&self, outbound: Arc<OutboundEntry>) {
        self.write().keep(outbound);
    }

    /// How many were replaced up to now of those that have to be kept: [`Self::free`] tells when they are free.
    pub fn replaced(&self) -> u64 {
        let replaced = self.write();
        replaced.freed + replaced.kept.len() as u64
    }

    /// Frees what was replaced and no worker reads any more, oldest first. How many are freed up to now: no worker can still act on those.
    pub fn free(&self) -> u64 {
        let mut replaced = self.write();
        replaced.free();
        replaced.freed
    }

    fn write(&self) -> MutexGuard<'_, Replaced> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was replaced while a worker read it, oldest first. Kept until none does, so that it is the engine that frees it (and wipes its keys);
/// workers read for the time of a batch, so it is never much.
#[derive(Debug, Default)]
struct Replaced {
    kept: VecDeque<Arc<dyn Any + Send + Sync>>,
    /// So many were kept before these.
    freed: u64,
}

impl Replaced {
    fn keep(&mut self, replaced: Arc<dyn Any + Send + Sync>) {
        self.free();
        if is_read(&replaced) {
            self.kept.push_back(replaced);
        }
    }

    fn free(&mut self) {
        while self.kept.pop_front_if(|oldest| !is_read(oldest)).is_some() {
            self.freed += 1;
        }
    }
}

/// What was replaced gets no new readers, so its count only falls.
fn is_read(replaced: &Arc<dyn Any + Send + Sync>) -> bool {
    Arc::strong_count(replaced) > 1
}

/// A released slot rests until so many others were released after it.
const RESTING: usize = 64;

/// Hands out the slots of children. Used by the engine only.
#[derive(Debug, Default)]
pub struct SlotPool {
    /// The first that is handed out.
    first: u32,
    /// How many were, without those that came back.
    handed: u32,
    released: VecDeque<Slot>,
}
frozen! { struct SlotPool { first, handed, released } }

impl SlotPool {
    /// All are free; `random` says where it begins. A daemon after this one has other slots, and so other SPIs: the eight bits that SPIs of one slot
    /// differ in would let one in 256 of its SAs have the SPI of an old one.
    pub fn new(random: u32) -> Self {
        let pages = super::sad::MAX_SLOTS / PAGE_SLOTS as u32;
        Self { first: random % pages * PAGE_SLOTS as u32, ..Self::default() }
    }

    /// A free slot; `None` if all `sad::MAX_SLOTS` are taken.
    pub fn allocate(&mut self) -> Option<Slot> {
        if self.released.len() > RESTING || self.handed == super::sad::MAX_SLOTS {
            return self.released.pop_front();
        }
        self.handed += 1;
        Some(Slot((self.first + self.handed - 1) % super::sad::MAX_SLOTS))
    }

    /// The child is gone from the tables and the policies, and `Tables::free` has said that no worker reads what was replaced before that.
    pub fn release(&mut self, slot: Slot) {
        self.released.push_back(slot);
    }
}
