//! The installed SAs for the process that goes on with them: with their slots, SPIs, windows, counters and deadlines (design: Nonces).
//!
//! It is written when all workers have been joined, and read into tables that nobody serves yet. Policies are made anew from the configuration;
//! only those of peers, which came with their SAs, are in it.
use super::super::installed::{Installed, Terms};
use super::super::places::Key;
use super::policies::{Ordered, PolicyChange};
use super::renamed::Withdrawn;
use super::{Installer, NEVER};
use crate::crypto::rng::Rng;
use crate::esp::frozen::Outgoing;
use crate::frozen::{Frozen, Reader, Thaw, Writer, frozen};
use crate::ike::event::{ChildId, IkeId};
use crate::ipsec::path::Path;
use crate::ipsec::sad::{self, InboundEntry};
use crate::ipsec::settings::Settings;
use crate::ipsec::spd::{Action, DeviceId, PolicyEntry, Slot};
use crate::ipsec::tables::{Child, ChildCounters, OutboundEntry};
use crate::wire::selector::Selector;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

frozen! {
    struct Key { connection, child, peer }
    struct Terms { spi_in, spi_out, proposal, esn, replaces }
    struct Withdrawn { key, slot, spi_in, due }
}

/// The path of an IKE SA and its children.
type SharedPath = Arc<ArcSwap<Path>>;
/// Children by their slots.
type BySlot = HashMap<Slot, Arc<Child>>;
/// Paths by their place in memory, for the SAs that share them.
type Numbers = HashMap<usize, u32>;

impl Installer {
    /// Everything but the policies of the configuration. No worker is at work.
    pub fn freeze(&self, out: &mut Writer) {
        let Self {
            tables,
            device: _,
            devices: _,
            mtu: _,
            mark: _,
            configured: _,
            settings: _,
            installed,
            by_slot,
            takeovers,
            // Those that go are gone there, those that come stand in their SAs.
            changes: _,
            deserted,
            paths,
            retiring,
            withdrawn,
            arrivals,
        } = self;
        let children = tables.children.load();
        out.count(children.iter().count());
        children.iter().for_each(|child| freeze_child(child, out));
        let numbers = freeze_paths(paths, installed, out);
        out.count(installed.len());
        for (id, sa) in installed {
            id.freeze(out);
            freeze_installed(sa, &numbers, out);
        }
        by_slot.freeze(out);
        let takeovers: Vec<_> = takeovers.iter().map(|(at, id)| (timed(*at), *id)).collect();
        takeovers.freeze(out);
        deserted.freeze(out);
        let closing = |spi| tables.sad.slot(sad::slot_of(spi)).get(spi).cloned();
        let closing: Vec<_> = retiring.iter().filter_map(|(at, spi)| Some((*at, closing(*spi)?))).collect();
        out.count(closing.len());
        for (at, entry) in closing {
            at.freeze(out);
            freeze_inbound(&entry, out);
        }
        tables.larvae.all().freeze(out);
        withdrawn.freeze(out);
        arrivals.freeze(out);
    }

    /// Reads it into tables in which nothing is yet; `configure` is to follow.
    ///
    /// # Errors
    /// It is not what [`Self::freeze`] has written.
    pub fn thaw(&mut self, input: &mut Reader<'_>, rng: &mut dyn Rng) -> Result<(), Thaw> {
        let mut children = HashMap::new();
        for _ in 0..input.count()? {
            let child = Arc::new(thaw_child(input)?);
            children.insert(child.slot, child);
        }
        self.tables.insert_children(children.values().cloned());
        let paths = self.thaw_paths(input)?;
        for _ in 0..input.count()? {
            let id = ChildId::thaw(input)?;
            let sa = self.thaw_installed(input, (&children, &paths), rng)?;
            self.tables.publish_inbound(sa.inbound.clone());
            self.installed.insert(id, sa);
        }
        self.by_slot = Frozen::thaw(input)?;
        self.takeovers = <Vec<(Option<Duration>, ChildId)>>::thaw(input)?
            .into_iter()
            .map(|(at, id)| (at.unwrap_or(NEVER), id))
            .collect();
        self.deserted = Frozen::thaw(input)?;
        for _ in 0..input.count()? {
            let at = Duration::thaw(input)?;
            let entry = Arc::new(thaw_inbound(input, &children)?);
            self.retiring.push((at, entry.spi));
            self.tables.publish_inbound(entry);
        }
        <Vec<u32>>::thaw(input)?.into_iter().for_each(|spi| self.tables.larvae.insert(spi));
        self.withdrawn = Frozen::thaw(input)?;
        self.arrivals = Frozen::thaw(input)?;
        children.keys().for_each(|slot| self.send_on_best(*slot));
        Ok(())
    }

    /// From now on nothing is sealed with the keys of these SAs here, by no thread: another process goes on with them.
    pub fn shut(&self) {
        self.installed.values().for_each(|sa| _ = sa.outbound.sa.shut());
    }

    /// All pairs that are installed.
    pub fn pairs(&self) -> impl Iterator<Item = (ChildId, &Key)> {
        self.installed.iter().map(|(id, sa)| (*id, &sa.key))
    }

    fn thaw_paths(&mut self, input: &mut Reader<'_>) -> Result<Vec<SharedPath>, Thaw> {
        let mut paths = Vec::new();
        for (ike, path) in <Vec<(Option<IkeId>, Path)>>::thaw(input)? {
            let path = Arc::new(ArcSwap::from_pointee(path));
            if let Some(ike) = ike {
                self.paths.insert(ike, path.clone());
            }
            paths.push(path);
        }
        Ok(paths)
    }

    fn thaw_installed(
        &mut self,
        input: &mut Reader<'_>,
        (children, paths): (&BySlot, &[SharedPath]),
        rng: &mut dyn Rng,
    ) -> Result<Installed, Thaw> {
        let (key, slot, resource) = <(Key, Slot, Option<u32>)>::thaw(input)?;
        let terms = Terms::thaw(input)?;
        let inbound = Arc::new(thaw_inbound(input, children)?);
        if inbound.child.slot != slot || inbound.spi != terms.spi_in {
            return Err(Thaw::Value("SA"));
        }
        let mut iv_key = [0; 16];
        rng.fill(&mut iv_key);
        let sa = Outgoing::thaw(input)?.resume(iv_key);
        let path = paths.get(u32::thaw(input)? as usize).ok_or(Thaw::Value("path"))?;
        let outbound = OutboundEntry {
            sa,
            local_ts: inbound.local_ts.clone(),
            remote_ts: inbound.remote_ts.clone(),
            path: path.clone(),
            transport: Frozen::thaw(input)?,
            traffic: Frozen::thaw(input)?,
        };
        let (mut seen, told, age) = <((u64, u64), u64, u64)>::thaw(input)?;
        // The numbers that were skipped were not sent.
        seen.1 = outbound.sa.next();
        let takeover = match bool::thaw(input)? {
            true => Some(NEVER),
            false => Frozen::thaw(input)?,
        };
        let policy =
            Option::<(u64, i32, Vec<Selector>, Vec<Selector>)>::thaw(input)?.map(|(order, priority, local, remote)| {
                let name = inbound.child.name.clone();
                let (local, remote) = (local.into(), remote.into());
                let policy = Arc::new(PolicyEntry { name, local, remote, priority, action: Action::Protect(slot) });
                Ordered { device: self.device_of(&key.connection), order, policy }
            });
        self.changes.extend(policy.clone().map(|policy| PolicyChange { policy, comes: true }));
        let outbound = Arc::new(outbound);
        Ok(Installed { key, slot, resource, terms, outbound, inbound, seen, told, age, takeover, policy })
    }
}
/// `None`: never.
fn timed(at: Duration) -> Option<Duration> {
    Some(at).filter(|at| *at != NEVER)
}
/// Those of IKE SAs, and those that only SAs have any more. Their numbers.
fn freeze_paths(
    paths: &HashMap<IkeId, Arc<ArcSwap<Path>>>,
    installed: &BTreeMap<ChildId, Installed>,
    out: &mut Writer,
) -> Numbers {
    let (mut numbers, mut all) = (HashMap::new(), Vec::new());
    let of_ikes = paths.iter().map(|(ike, path)| (Some(*ike), path));
    for (ike, path) in of_ikes.chain(installed.values().map(|sa| (None, &sa.outbound.path))) {
        numbers.entry(Arc::as_ptr(path) as usize).or_insert_with(|| {
            all.push((ike, **path.load()));
            all.len() as u32 - 1
        });
    }
    all.freeze(out);
    numbers
}
fn freeze_installed(sa: &Installed, paths: &Numbers, out: &mut Writer) {
    let Installed { key, slot, resource, terms, outbound, inbound, seen, told, age, takeover, policy } = sa;
    (key.clone(), *slot, *resource).freeze(out);
    terms.freeze(out);
    freeze_inbound(inbound, out);
    // The selectors are those of the other half.
    let OutboundEntry { sa, local_ts: _, remote_ts: _, path, transport, traffic } = &**outbound;
    Outgoing::of(sa).freeze(out);
    paths.get(&(Arc::as_ptr(path) as usize)).copied().unwrap_or(u32::MAX).freeze(out);
    transport.freeze(out);
    traffic.freeze(out);
    (*seen, *told, *age).freeze(out);
    let never = *takeover == Some(NEVER);
    never.freeze(out);
    if !never {
        takeover.freeze(out);
    }
    let policy = policy.as_ref().map(|Ordered { device: _, order, policy }| {
        let PolicyEntry { name: _, local, remote, priority, action: _ } = &**policy;
        (*order, *priority, local.to_vec(), remote.to_vec())
    });
    policy.freeze(out);
}
fn freeze_inbound(entry: &InboundEntry, out: &mut Writer) {
    let InboundEntry { spi, sa, child, local_ts, remote_ts, check_fragments, mode, traffic } = entry;
    spi.freeze(out);
    sa.freeze(out);
    child.slot.freeze(out);
    local_ts.to_vec().freeze(out);
    remote_ts.to_vec().freeze(out);
    check_fragments.freeze(out);
    mode.freeze(out);
    traffic.freeze(out);
}
fn thaw_inbound(input: &mut Reader<'_>, children: &BySlot) -> Result<InboundEntry, Thaw> {
    let spi = Frozen::thaw(input)?;
    let sa = Frozen::thaw(input)?;
    let child = children.get(&Slot::thaw(input)?).cloned().ok_or(Thaw::Value("slot"))?;
    if sad::slot_of(spi) != child.slot {
        return Err(Thaw::Value("SPI"));
    }
    Ok(InboundEntry {
        spi,
        sa,
        child,
        local_ts: <Vec<Selector>>::thaw(input)?.into(),
        remote_ts: <Vec<Selector>>::thaw(input)?.into(),
        check_fragments: Frozen::thaw(input)?,
        mode: Frozen::thaw(input)?,
        traffic: Frozen::thaw(input)?,
    })
}
/// A child without its SAs.
fn freeze_child(child: &Child, out: &mut Writer) {
    let Child { slot, name, device, outbound: _, beside: _, resources: _, live, translation, counters } = child;
    let Settings { copy_dscp, fitting, waits, home } = live.get();
    slot.freeze(out);
    name.freeze(out);
    device.load(Relaxed).freeze(out);
    (child.resources().len() as u32).freeze(out);
    copy_dscp.freeze(out);
    fitting.freeze(out);
    translation.freeze(out);
    waits.freeze(out);
    home.freeze(out);
    // Themselves, whoever else holds them.
    ChildCounters::freeze(counters, out);
}
fn thaw_child(input: &mut Reader<'_>) -> Result<Child, Thaw> {
    let slot = Slot::thaw(input)?;
    let name = Arc::<str>::thaw(input)?;
    let device = DeviceId(u16::thaw(input)?);
    let resources = u32::thaw(input)?;
    if slot.0 >= sad::MAX_SLOTS || resources > sad::WORKER_MASK + 1 {
        return Err(Thaw::Value("slot"));
    }
    let child = Child::new(slot, name, device, false);
    child.make_room(resources);
    let (copy_dscp, fitting) = (Frozen::thaw(input)?, Frozen::thaw(input)?);
    let translation = Frozen::thaw(input)?;
    let (waits, home) = (Frozen::thaw(input)?, Frozen::thaw(input)?);
    child.live.set(Settings { copy_dscp, fitting, waits, home });
    Ok(Child { translation, counters: Arc::new(ChildCounters::thaw(input)?), ..child })
}

/// Some states of it.
#[cfg(test)]
pub(in crate::daemon) fn seeds() -> Vec<(Installer, crate::daemon::places::Places)> {
    let mut bench = super::tests::Bench::new();
    bench.up(1, true, None);
    bench.up(2, false, Some(1));
    bench.up(3, true, Some(2));
    bench.down(2, crate::ike::event::Ended::Replaced);
    let empty = super::tests::Bench::new();
    [bench, empty].into_iter().map(|bench| (bench.installer, bench.places)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, NOW};
    use super::*;
    use crate::crypto::rng::SeededRng;
    use crate::daemon::places::Places;
    use crate::frozen::Known;
    use crate::ike::event::Ended;

    /// Another process goes on with it.
    fn handed_over(old: &Bench) -> Result<Bench, Thaw> {
        let mut out = Writer::new("installer", 1);
        old.installer.freeze(&mut out);
        old.places.freeze(&mut out);
        let known = Known::default();
        let mut input = Reader::new(out.octets(), "installer", 1, &known)?;
        let mut new = Bench::new();
        new.rng = SeededRng::new(99);
        new.installer.thaw(&mut input, &mut new.rng)?;
        new.places = Places::thaw(&mut input)?;
        input.finish().map(|()| new)
    }

    #[test]
    fn a_rekey_goes_on_where_it_was() {
        let mut old = Bench::new();
        let first = old.up(1, true, None);
        let second = old.up(2, false, Some(1));
        let third = old.up(3, true, None);
        old.down(3, Ended::Replaced);
        old.pair(1).0.sa.reserve(1000).unwrap();
        old.installer.larval(0x7000);
        let mut new = handed_over(&old).unwrap();
        assert_eq!((new.sends(), new.installer.deadline()), (old.sends(), old.installer.deadline()));
        assert!([first, second, third].into_iter().all(|spi| new.receives(spi)));
        assert!(new.installer.tables().larvae.contains(0x7000));
        // Behind the gap, and the old one is shut.
        assert_eq!(new.pair(1).0.sa.next(), 1001 + crate::esp::frozen::GAP);
        old.installer.shut();
        assert!([1, 2].iter().all(|id| old.pair(*id).0.sa.reserve(1).is_err()));
        // The answer to a Delete, the end of the grace, SPIs that are held.
        new.down(1, Ended::Replaced);
        assert_eq!(new.sends(), Some(1002));
        assert!(new.places.holds(first) && new.receives(first));
        new.tick(NOW + super::super::GRACE);
        assert!(!new.receives(first) && !new.receives(third) && new.receives(second));
        assert!(!new.places.holds(first) && new.places.holds(second));
    }

    #[test]
    fn a_path_is_one_for_all_its_sas_and_counters_go_on() {
        let mut old = Bench::new();
        old.up(1, true, None);
        old.up(2, true, None);
        let (outbound, inbound) = old.pair(2);
        outbound.traffic.add(1500, 1);
        inbound.child.counters.add_in(3000, 2);
        inbound.child.counters.record_drop(crate::esp::drop::Drop::Replayed);
        let new = handed_over(&old).unwrap();
        let paths = [1, 2].map(|id| new.pair(id).0.path.clone());
        assert!(Arc::ptr_eq(&paths[0], &paths[1]));
        assert_eq!(new.installer.outer_path(IkeId(1)), old.installer.outer_path(IkeId(1)));
        let (outbound, inbound) = new.pair(2);
        assert_eq!(outbound.traffic.bytes.load(Relaxed), 1500);
        assert_eq!(inbound.child.counters.packets_in.load(Relaxed), 2);
        assert_eq!(inbound.child.counters.dropped(crate::esp::drop::Drop::Replayed), 1);
    }

    /// What may only receive still may only receive.
    #[test]
    fn who_never_sends_never_sends() {
        let mut old = Bench::new();
        old.up(1, true, None);
        old.installer.child_leaving(ChildId(1));
        assert_eq!(old.sends(), None);
        let new = handed_over(&old).unwrap();
        assert_eq!((new.sends(), new.installer.deadline()), (None, None));
    }

    #[test]
    fn damage_is_an_error() {
        let mut old = Bench::new();
        old.up(1, true, None);
        let mut out = Writer::new("installer", 1);
        old.installer.freeze(&mut out);
        let known = Known::default();
        // Behind the name and the version.
        for at in 15..out.octets().len() {
            for value in [0, 1, 0x80, 0xff] {
                let mut octets = out.octets().to_vec();
                octets[at] = value;
                let mut input = Reader::new(&octets, "installer", 1, &known).unwrap();
                let mut new = Bench::new();
                let _ = new.installer.thaw(&mut input, &mut new.rng);
            }
            let mut input = Reader::new(&out.octets()[..at], "installer", 1, &known).unwrap();
            let mut new = Bench::new();
            assert!(new.installer.thaw(&mut input, &mut new.rng).is_err(), "{at}");
        }
    }
}
