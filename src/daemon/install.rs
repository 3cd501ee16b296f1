//! `ike::Event` to tables: the only place where a negotiated child becomes an SA that carries packets. The order of a rekey lives here
//! (design.md, "Order of a rekey").
//!
//! A responder goes on sending on the old SA until the peer has proved that it uses the new one: an authentic packet on it, the end of the
//! old one (that its Delete came, or that ours leaves), or 30 s. Of the SAs that are for one worker alone (RFC 9611) each is taken into use by
//! itself; until then the worker sends on the one that is for all. Who replaced a child keeps its old inbound SA 5 s more for what is still on its way.
mod frozen;
mod policies;
mod renamed;

use super::fixed::Fixed;
use super::installed::{self, Installed, Terms};
use super::places::{Key, Places};
use crate::config::{ChildConfig, Config, Mode};
use crate::crypto::rng::Rng;
use crate::esp::SaParams;
use crate::esp::inbound::InboundSa;
use crate::esp::outbound::OutboundSa;
use crate::ike::event::{ChildId, ChildUp, DirectionKeys, Ended, IkeId, IkePath, Seen, Usage};
use crate::ipsec::path::{Encap, Path};
use crate::ipsec::sad::{self, InboundEntry};
use crate::ipsec::spd::{Action, DeviceId, PolicyEntry, Slot};
use crate::ipsec::tables::{Child, OutboundEntry, Tables, Traffic};
use arc_swap::{ArcSwap, ArcSwapOption};
pub(super) use policies::Ordered;
use policies::PolicyChange;
use renamed::Withdrawn;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
#[cfg(test)]
pub(super) use {frozen::seeds, tests::offer};

/// A responder takes the new SA into use after this time at the latest. The peer may have lost our answer, and asks again after 4 s, then 11 s
/// (strongSwan): what is sent on the new SA until then is lost, and the old one is as good.
pub const TAKEOVER: Duration = Duration::from_secs(30);
/// A replaced inbound SA lives on for this time.
pub const GRACE: Duration = Duration::from_secs(5);
/// When an SA that has lost a collision, or is being deleted, is taken into use.
const NEVER: Duration = Duration::MAX;
/// Of a child that is not configured any more.
const DEFAULT_WINDOW: u32 = 4096;

/// Writes the tables.
#[derive(Debug)]
pub struct Installer {
    tables: Arc<Tables>,
    device: DeviceId,
    /// By connection, where it is another.
    devices: HashMap<Arc<str>, DeviceId>,
    /// The largest outer packet of a path of which nothing is known yet.
    mtu: fn(&IkePath, u32) -> u16,
    mark: u32,
    /// Policies of the configuration, each with its order.
    configured: HashMap<Key, Ordered>,
    settings: HashMap<(Arc<str>, Arc<str>), ChildConfig>,
    installed: BTreeMap<ChildId, Installed>,
    /// One each, and more during a rekey: with many thousands nothing may look at all of them for one that comes or goes.
    by_slot: HashMap<Slot, Vec<ChildId>>,
    /// Those that wait for their takeover, or did.
    takeovers: Vec<(Duration, ChildId)>,
    /// What has changed since policies were published. Those of peers that come and go are published together at the next `tick`.
    changes: Vec<PolicyChange>,
    /// Children of peers without an SA, which go when no policy names them.
    deserted: Vec<(Key, Slot)>,
    paths: HashMap<IkeId, Arc<ArcSwap<Path>>>,
    retiring: Vec<(Duration, u32)>,
    withdrawn: HashMap<ChildId, Withdrawn>,
    arrivals: u64,
}

impl Installer {
    /// Writes to `tables`; policies are those of `device`, but for connections that have their own; `mtu` tells the largest outer packet of a path for packets with `mark`.
    pub fn new(tables: Arc<Tables>, device: DeviceId, mtu: fn(&IkePath, u32) -> u16, mark: u32) -> Self {
        Self {
            tables,
            device,
            devices: HashMap::new(),
            mtu,
            mark,
            configured: HashMap::new(),
            settings: HashMap::new(),
            installed: BTreeMap::new(),
            by_slot: HashMap::new(),
            takeovers: Vec::new(),
            changes: Vec::new(),
            deserted: Vec::new(),
            paths: HashMap::new(),
            retiring: Vec::new(),
            withdrawn: HashMap::new(),
            arrivals: 0,
        }
    }
    /// The tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }
    /// The pair with this name, if it is installed.
    pub fn get(&self, id: ChildId) -> Option<&Installed> {
        self.installed.get(&id)
    }

    /// The devices of connections that have one of their own, from the next `configure` on.
    pub fn follow_devices(&mut self, devices: HashMap<Arc<str>, DeviceId>) {
        self.devices = devices;
    }

    fn device_of(&self, connection: &str) -> DeviceId {
        self.devices.get(connection).copied().unwrap_or(self.device)
    }

    /// Publishes the children and policies of a configuration, and takes away what is not in it any more. Children that stay keep slot,
    /// counters and SAs, and their policies if those are still the same.
    pub fn configure(&mut self, config: &Config, places: &mut Places) {
        let (mut before, mut new) = (std::mem::take(&mut self.configured), Vec::new());
        self.settings.clear();
        for connection in &config.connections {
            for child in &connection.children {
                let key = Key { connection: connection.name.clone(), child: child.name.clone(), peer: 0 };
                self.settings.insert((key.connection.clone(), key.child.clone()), child.clone());
                let policy = PolicyEntry {
                    name: key.name(),
                    local: child.local_here().into(),
                    remote: child.remote_here().into(),
                    priority: child.priority,
                    action: self.action(child, &key, places, &mut new),
                };
                let present = before.remove(&key);
                self.configured_policy(key, present, policy);
            }
        }
        self.tables.insert_children(new);
        self.changes.extend(before.into_values().map(|policy| PolicyChange { policy, comes: false }));
        self.follow_settings(places);
        let stays = |key: &Key| self.configured.contains_key(&Key { peer: 0, ..key.clone() });
        let gone: Vec<_> = places.all().filter(|(key, _)| !stays(key)).map(|(key, slot)| (key.clone(), slot)).collect();
        for (_, slot) in &gone {
            self.tables.swap_beside(*slot, Vec::new());
            for id in self.by_slot.remove(slot).unwrap_or_default() {
                let Some(sa) = self.installed.remove(&id) else { continue };
                places.removed(sa.terms.spi_in);
                self.tables.discard(sa.outbound);
                self.changes.extend(sa.policy.map(|policy| PolicyChange { policy, comes: false }));
            }
        }
        // No policy may name a slot that has no child any more.
        self.publish_policies();
        for (key, slot) in gone {
            self.tables.remove_child(slot);
            places.leave(&key, &self.tables);
        }
    }

    /// What the policy of a child does; a protected child gets its slot. Without one its packets must not be left to a wider policy, which might
    /// let them pass in the clear.
    fn action(&self, child: &ChildConfig, key: &Key, places: &mut Places, new: &mut Vec<Arc<Child>>) -> Action {
        match child.mode {
            Mode::Tunnel | Mode::Transport => self.placed(key, Some(child), places, new).map_or_else(
                || {
                    tracing::error!(connection = %key.connection, child = %key.child, "there are too many children: what this one is for is dropped");
                    Action::Drop
                },
                Action::Protect,
            ),
            Mode::Pass => Action::Pass,
            Mode::Drop => Action::Drop,
        }
    }

    /// The slot of a child with the child in it, which takes on its settings; but other names of its networks when it has no SA.
    fn place(&self, key: &Key, settings: Option<&ChildConfig>, places: &mut Places) -> Option<Slot> {
        let mut new = Vec::new();
        let slot = self.placed(key, settings, places, &mut new);
        new.into_iter().for_each(|child| self.tables.insert_child(child));
        slot
    }

    /// The same, but a child that is not there yet goes into `new`, and is the caller's to put there.
    fn placed(
        &self,
        key: &Key,
        settings: Option<&ChildConfig>,
        places: &mut Places,
        new: &mut Vec<Arc<Child>>,
    ) -> Option<Slot> {
        let slot = places.slot(key)?;
        let fixed = Fixed::configured(settings, slot, places);
        let present = self.tables.children.load().get(slot).cloned();
        if let Some(child) = &present
            && (!fixed.is_for_others(child) || self.by_slot.contains_key(&slot))
        {
            fixed.put(child, places);
            return Some(slot);
        }
        let child = fixed.child(slot, key.name(), self.device_of(&key.connection), places);
        if let Some(before) = present {
            child.counters.add_in(before.counters.bytes_in.load(Relaxed), before.counters.packets_in.load(Relaxed));
            child.counters.add_out(before.counters.bytes_out.load(Relaxed), before.counters.packets_out.load(Relaxed));
            for (drops, before) in child.counters.drops.iter().zip(&before.counters.drops) {
                drops.store(before.load(Relaxed), Relaxed);
            }
        }
        new.push(Arc::new(child));
        Some(slot)
    }

    fn setting(&self, key: &Key) -> Option<&ChildConfig> {
        self.settings.get(&(key.connection.clone(), key.child.clone()))
    }

    /// Installs both directions: inbound at once; outbound at once, unless we are the responder and another SA carries this child: that may
    /// be a rekey or a reauthentication, and the peer has what we send on only when it has our answer.
    pub fn child_up(&mut self, now: Duration, up: &ChildUp, places: &mut Places, rng: &mut dyn Rng) {
        let key = Key { connection: up.connection.clone(), child: up.child.clone(), peer: up.peer };
        let settings = self.setting(&key);
        let window = settings.map_or(DEFAULT_WINDOW, |child| child.replay_window);
        let priority = settings.map_or(0, |child| child.priority);
        let Some(slot) = self.place(&key, settings, places) else { return };
        let Some(child) = self.tables.children.load().get(slot).cloned() else { return };
        let (local_ts, remote_ts): (Arc<[_]>, Arc<[_]>) = (up.local_ts.clone().into(), up.remote_ts.clone().into());
        let inbound = InboundEntry {
            spi: up.spi_in,
            sa: InboundSa::new(&params(up, up.spi_in, &up.keys_in), window),
            child,
            local_ts: local_ts.clone(),
            remote_ts: remote_ts.clone(),
            check_fragments: true,
            mode: if up.transport { sad::Mode::Transport { sent: up.nat_original } } else { sad::Mode::Tunnel },
            traffic: Traffic::default(),
        };
        let inbound = Arc::new(inbound);
        self.tables.publish_inbound(inbound.clone());
        places.installed(up.spi_in);
        let mut iv_key = [0; 16];
        rng.fill(&mut iv_key);
        let sa = OutboundSa::new(&params(up, up.spi_out, &up.keys_out), iv_key);
        let path = self.path(up.ike, &up.path);
        let replaces = up.replaces.filter(|old| self.installed.contains_key(old));
        self.arrivals += 1;
        let here = installed::here(&inbound);
        let has_it = |sa: &Installed| {
            let policy = sa.policy.as_ref().map(|present| &present.policy);
            policy.is_some_and(|policy| policy.local == here.0 && policy.remote == here.1)
        };
        let policy = (up.peer != 0 && !self.of_slot(slot).any(has_it)).then(|| {
            let (name, local, remote) = (inbound.child.name.clone(), here.0.clone(), here.1.clone());
            let policy = Arc::new(PolicyEntry { name, local, remote, priority, action: Action::Protect(slot) });
            Ordered { device: self.device_of(&up.connection), order: up.id.0, policy }
        });
        self.changes.extend(policy.clone().map(|policy| PolicyChange { policy, comes: true }));
        let installed = Installed {
            key,
            slot,
            resource: up.resource,
            terms: Terms {
                spi_in: up.spi_in,
                spi_out: up.spi_out,
                proposal: crate::wire::keyword::proposal(&up.proposal),
                esn: up.esn,
                replaces,
            },
            outbound: Arc::new(OutboundEntry {
                sa,
                local_ts,
                remote_ts,
                path,
                transport: up.transport,
                traffic: Traffic::default(),
            }),
            inbound,
            seen: (0, 1),
            told: 0,
            age: self.arrivals,
            takeover: match up.inbound_only {
                true => Some(NEVER),
                false => (!up.initiator && self.by_slot.contains_key(&slot)).then(|| now + TAKEOVER),
            },
            policy,
        };
        self.takeovers.extend(installed.takeover.filter(|at| *at != NEVER).map(|at| (at, up.id)));
        self.installed.insert(up.id, installed);
        let of_slot = self.by_slot.entry(slot).or_default();
        of_slot.reserve_exact(1);
        of_slot.push(up.id);
        self.send_on_best(slot);
    }

    /// The peer is asked to delete it: it only receives from now on. If all that is left is one that waits until the peer proves that it has it,
    /// that one sends: what is sent on it may be lost, what is sent on this one will be.
    pub fn child_leaving(&mut self, id: ChildId) {
        let Some(leaving) = self.installed.get_mut(&id) else { return };
        leaving.takeover = Some(NEVER);
        let slot = leaving.slot;
        self.send_on_best(slot);
    }

    /// Removes both directions; the inbound one lives on for a while if the child was replaced, also if the peer has replaced it by one of
    /// another IKE SA: its Delete may overtake packets.
    pub fn child_down(&mut self, now: Duration, id: ChildId, why: Ended, places: &mut Places) {
        let Some(gone) = self.installed.remove(&id) else {
            return self.forget_withdrawn(id, why, places);
        };
        let left = self.by_slot.entry(gone.slot).or_default();
        left.retain(|other| *other != id);
        // The Delete of the old one is the proof that the peer uses the new one.
        for other in left.iter() {
            let other = self.installed.get_mut(other).filter(|sa| sa.terms.replaces == Some(id));
            other.into_iter().filter(|sa| sa.takeover != Some(NEVER)).for_each(|sa| sa.takeover = None);
        }
        let deserted = left.is_empty();
        if deserted {
            self.by_slot.remove(&gone.slot);
        }
        self.send_on_best(gone.slot);
        self.tables.discard(gone.outbound);
        if why == Ended::Replaced || why == Ended::ByPeer && !deserted {
            self.retiring.push((now + GRACE, gone.terms.spi_in));
        } else {
            self.retire(gone.terms.spi_in, places);
        }
        if let Some(policy) = gone.policy {
            self.leave_policy(gone.slot, policy);
            if deserted && why != Ended::Replaced {
                self.deserted.push((gone.key, gone.slot));
            }
        }
    }

    /// The IKE SA is gone, its children before it.
    pub fn ike_down(&mut self, ike: IkeId) {
        self.paths.remove(&ike);
    }

    /// Another IKE SA has the children now: the path is the same.
    pub fn ike_rekeyed(&mut self, old: IkeId, new: IkeId) {
        if let Some(path) = self.paths.remove(&old) {
            self.paths.insert(new, path);
        }
    }

    /// The outer addresses of an IKE SA and its children are others now.
    pub fn path_changed(&mut self, ike: IkeId, path: &IkePath) {
        let new = self.path_of(path);
        if let Some(path) = self.paths.get(&ike) {
            path.store(Arc::new(new));
        }
    }

    /// The outer path of an IKE SA that has, or had, children.
    pub fn outer_path(&self, ike: IkeId) -> Option<Path> {
        self.paths.get(&ike).map(|path| **path.load())
    }

    /// The largest outer packet of its path is another one.
    pub fn set_mtu(&self, ike: IkeId, mtu: u16) {
        if let Some(path) = self.paths.get(&ike) {
            path.store(Arc::new(Path { mtu, ..**path.load() }));
        }
    }

    /// An authentic packet came on this SA: the peer has it.
    pub fn first_packet(&mut self, spi: u32) {
        let slot = sad::slot_of(spi);
        for id in self.by_slot.get(&slot).into_iter().flatten() {
            let sa = self.installed.get_mut(id).filter(|sa| sa.terms.spi_in == spi && sa.takeover != Some(NEVER));
            sa.into_iter().for_each(|sa| sa.takeover = None);
        }
        self.send_on_best(slot);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration, places: &mut Places) {
        let mut due = Vec::new();
        self.retiring.retain(|&(at, spi)| {
            if at <= now {
                due.push(spi);
            }
            at > now
        });
        due.into_iter().for_each(|spi| self.retire(spi, places));
        let mut slots = Vec::new();
        let installed = &mut self.installed;
        self.takeovers.retain(|(at, id)| {
            let waiting = installed.get_mut(id).filter(|sa| sa.takeover.is_some_and(|at| at != NEVER));
            waiting.is_some_and(|sa| {
                if *at <= now {
                    sa.takeover = None;
                    slots.push(sa.slot);
                }
                sa.takeover.is_some()
            })
        });
        slots.into_iter().for_each(|slot| self.send_on_best(slot));
        self.follow_peers(places);
        places.sweep(&self.tables);
    }

    /// When `tick` is due, or `overdue`.
    pub fn deadline(&self) -> Option<Duration> {
        let moments = self.retiring.iter().map(|(at, _)| *at).chain(self.takeovers.iter().map(|(at, _)| *at));
        moments.chain(self.withdrawn_due()).min()
    }

    /// There is a child.
    pub fn has_any(&self) -> bool {
        !self.installed.is_empty()
    }

    /// What was seen of ESP since the last call, which was at `since`, and what has travelled on each pair on which anything has. Looks at all
    /// there are, so both at once.
    pub fn look(&mut self, since: Duration) -> (Seen, Vec<Usage>) {
        let mut seen = Seen { since, ..Seen::default() };
        let mut usage = Vec::new();
        for (id, sa) in &mut self.installed {
            sa.look(&mut seen);
            usage.extend(sa.usage(*id));
        }
        (seen, usage)
    }

    /// All pairs.
    pub fn all(&self) -> impl Iterator<Item = &Installed> {
        self.installed.values()
    }

    /// The pairs on which something came that could not be opened.
    pub fn faulty(&self) -> Vec<(ChildId, &Installed)> {
        let pairs = self.installed.iter().map(|(id, sa)| (*id, sa));
        pairs.filter(|(_, sa)| sa.inbound.traffic.faults.are_any()).collect()
    }

    /// What has travelled on the pairs of one child, as in [`Self::look`].
    pub fn usage(&mut self, slot: Slot) -> Vec<Usage> {
        let of_slot = self.by_slot.get(&slot).into_iter().flatten();
        of_slot.filter_map(|id| self.installed.get_mut(id)?.usage(*id)).collect()
    }

    /// An offered SPI without keys, until it is installed or given up.
    pub fn larval(&self, spi: u32) {
        self.tables.larvae.insert(spi);
    }

    /// The slot of a pair that has just taken the place of another, if its peer does not know yet that we use it (R3). What is for one worker
    /// alone the peer need not know of at once: its own worker has another SA to send on.
    pub fn unheard(&self, up: &ChildUp) -> Option<Slot> {
        let sa = self.installed.get(&up.id)?;
        let replaces = up.initiator && !up.inbound_only && sa.terms.replaces.is_some();
        (replaces && sa.resource.is_none()).then_some(sa.slot)
    }

    fn retire(&self, spi: u32, places: &mut Places) {
        self.tables.retire_inbound(spi);
        places.removed(spi);
    }

    /// The youngest SA of the slot that need not wait any more is the one to send on; if there is none, the youngest that waits. A worker has
    /// the youngest of its own that need not wait; if there is none, the one for all.
    fn send_on_best(&self, slot: Slot) {
        let children = self.tables.children.load();
        let Some(child) = children.get(slot) else { return };
        let usable =
            |resource| self.of_slot(slot).filter(move |sa| sa.resource == resource && sa.takeover != Some(NEVER));
        let differs = |present: &ArcSwapOption<OutboundEntry>, best: &Option<Arc<OutboundEntry>>| {
            present.load().as_ref().map(Arc::as_ptr) != best.as_ref().map(Arc::as_ptr)
        };
        let best = usable(None).max_by_key(|sa| (sa.takeover.is_none(), sa.age)).map(|sa| sa.outbound.clone());
        let beside = self.beside(slot);
        let pointers = |all: &[Arc<OutboundEntry>]| all.iter().map(Arc::as_ptr).collect::<Vec<_>>();
        let present = child.beside.load().as_ref().map_or_else(Vec::new, |present| pointers(present));
        let (other, none) = (present != pointers(&beside), beside.is_empty());
        // Workers read meanwhile: with the list every packet finds its SA, whichever is the one in use. So it is the first to come and the last to go.
        if other && !none {
            self.tables.swap_beside(slot, beside);
        }
        if differs(&child.outbound, &best) {
            self.tables.swap_outbound(slot, best);
        }
        for (worker, present) in (0..).zip(child.resources()) {
            let own = usable(Some(worker)).filter(|sa| sa.takeover.is_none());
            let best = own.max_by_key(|sa| sa.age).map(|sa| sa.outbound.clone());
            if differs(present, &best) {
                self.tables.swap_resource(slot, worker as usize, best);
            }
        }
        if other && none {
            self.tables.swap_beside(slot, Vec::new());
        }
    }

    /// Of each pair of selectors the SA to send on, the best first. None if all SAs have the same: what one may not carry, none may.
    fn beside(&self, slot: Slot) -> Vec<Arc<OutboundEntry>> {
        let selectors = |sa: &Installed| (sa.outbound.local_ts.clone(), sa.outbound.remote_ts.clone());
        let mut pairs = self.of_slot(slot).filter(|sa| sa.takeover != Some(NEVER)).map(selectors);
        let first = pairs.next();
        if pairs.all(|other| first.as_ref() == Some(&other)) {
            return Vec::new();
        }
        let usable = self.of_slot(slot).filter(|sa| sa.resource.is_none() && sa.takeover != Some(NEVER));
        let mut all: Vec<_> = usable.collect();
        all.sort_by_key(|sa| Reverse((sa.takeover.is_none(), sa.age)));
        let mut known = Vec::new();
        all.retain(|sa| {
            let is_new = !known.contains(&selectors(sa));
            if is_new {
                known.push(selectors(sa));
            }
            is_new
        });
        all.into_iter().map(|sa| sa.outbound.clone()).collect()
    }

    fn of_slot(&self, slot: Slot) -> impl Iterator<Item = &Installed> {
        self.by_slot.get(&slot).into_iter().flatten().filter_map(|id| self.installed.get(id))
    }

    fn path(&mut self, ike: IkeId, path: &IkePath) -> Arc<ArcSwap<Path>> {
        if let Some(present) = self.paths.get(&ike) {
            return present.clone();
        }
        let new = Arc::new(ArcSwap::from_pointee(self.path_of(path)));
        self.paths.insert(ike, new.clone());
        new
    }

    fn path_of(&self, path: &IkePath) -> Path {
        Path {
            local: path.local,
            remote: path.remote,
            encap: if path.udp { Encap::Udp } else { Encap::Raw },
            may_move: path.may_move,
            mtu: (self.mtu)(path, self.mark),
        }
    }
}

fn params(up: &ChildUp, spi: u32, keys: &DirectionKeys) -> SaParams {
    SaParams { spi, cipher: up.cipher, encr: keys.encr.clone(), integ: keys.integ.clone(), esn: up.esn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cipher::Cipher;
    use crate::crypto::rng::SeededRng;
    use crate::crypto::secret::Secret;
    use crate::esp::drop::Drop;
    use crate::ipsec::fitting::{Fitting, Mss, OuterFragments};
    use crate::ipsec::settings::Settings;
    use crate::wire::ip::Flow;
    use crate::wire::payload::Proposal;
    use crate::wire::registry::ProtocolId;
    use std::net::SocketAddr;

    pub(super) const NOW: Duration = Duration::from_secs(100);

    /// A pair of SAs of the child `a/b` as it is when it has come up.
    pub(in crate::daemon) fn offer(places: &mut Places, id: u64, initiator: bool, replaces: Option<u64>) -> ChildUp {
        let (connection, child): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let key = Key { connection: connection.clone(), child: child.clone(), peer: 0 };
        let spi_in = places.allocate_spi(&key, id as u32).unwrap();
        let keys = || DirectionKeys { encr: Secret::new(vec![7; 20]), integ: Secret::default() };
        let addr = |last| SocketAddr::from(([192, 0, 2, last], 4500));
        ChildUp {
            ike: IkeId(1),
            id: ChildId(id),
            connection,
            child,
            peer: 0,
            spi_in,
            spi_out: 1000 + id as u32,
            cipher: Cipher::AesGcm128,
            esn: false,
            keys_in: keys(),
            keys_out: keys(),
            transport: false,
            nat_original: None,
            local_ts: vec!["10.1.0.0/16".parse().unwrap()],
            remote_ts: vec!["10.2.0.0/16".parse().unwrap()],
            path: IkePath { local: addr(1), remote: addr(2), udp: true, may_move: false },
            proposal: Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![], transforms: vec![] },
            initiator,
            replaces: replaces.map(ChildId),
            resource: None,
            inbound_only: false,
        }
    }
    pub(super) struct Bench {
        pub installer: Installer,
        pub places: Places,
        pub rng: SeededRng,
    }
    impl Bench {
        pub fn new() -> Self {
            let installer = Installer::new(Arc::new(Tables::new()), DeviceId(0), |_, _| 1500, 0xdc);
            Self { installer, places: Places::new(1, &mut SeededRng::new(1)), rng: SeededRng::new(1) }
        }
        /// A pair of SAs of the one child; its inbound SPI.
        pub fn up(&mut self, id: u64, initiator: bool, replaces: Option<u64>) -> u32 {
            let up = self.offer(id, initiator, replaces);
            self.installer.child_up(NOW, &up, &mut self.places, &mut self.rng);
            up.spi_in
        }
        pub fn offer(&mut self, id: u64, initiator: bool, replaces: Option<u64>) -> ChildUp {
            offer(&mut self.places, id, initiator, replaces)
        }
        pub fn down(&mut self, id: u64, why: Ended) {
            self.installer.child_down(NOW, ChildId(id), why, &mut self.places);
        }
        pub fn tick(&mut self, at: Duration) {
            self.installer.tick(at, &mut self.places);
        }
        /// The SPI that the child sends with.
        pub fn sends(&self) -> Option<u32> {
            let children = self.installer.tables.children.load();
            let child = children.iter().next()?;
            child.outbound.load().as_ref().map(|entry| entry.sa.spi())
        }
        pub fn receives(&self, spi: u32) -> bool {
            self.installer.tables.sad.knows(spi)
        }
        pub fn pair(&self, id: u64) -> (Arc<OutboundEntry>, Arc<InboundEntry>) {
            let sa = self.installer.get(ChildId(id)).unwrap();
            (sa.outbound.clone(), sa.inbound.clone())
        }
    }

    impl Bench {
        /// Four workers, and room for an SA of its own for each of the first two.
        fn with_resources() -> Self {
            let mut bench = Self { places: Places::new(4, &mut SeededRng::new(1)), ..Self::new() };
            bench.installer.configure(&resources(2), &mut bench.places);
            bench
        }
        /// A pair for one worker alone; its inbound SPI.
        fn up_for(&mut self, worker: u32, id: u64, initiator: bool, replaces: Option<u64>) -> u32 {
            let key = Key { connection: "a".into(), child: "b".into(), peer: 0 };
            let spi_in = self.places.allocate_spi_for(&key, worker, id as u32).unwrap();
            let up = ChildUp { spi_in, resource: Some(worker), ..self.offer(id, initiator, replaces) };
            self.installer.child_up(NOW, &up, &mut self.places, &mut self.rng);
            spi_in
        }
        /// What each of three workers sends with.
        fn sends_by_worker(&self) -> [u32; 3] {
            let children = self.installer.tables.children.load();
            let child = children.iter().next().unwrap();
            [0, 1, 2].map(|worker| child.outbound_for(worker).as_ref().map_or(0, |entry| entry.sa.spi()))
        }
    }

    /// A configuration with one child, and SAs of its own for so many workers.
    fn resources(workers: u8) -> Config {
        let text = format!(
            "[connections.a]\nremote_addrs = [\"192.0.2.9\"]\n[connections.a.children.b]\nper_resource_sas = {workers}\n\
             local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n\
             [secrets.s]\nid = [\"192.0.2.9\"]\nsecret = \"correct horse battery staple\"\n"
        );
        let source = crate::config::Source { name: "a.toml".into(), text };
        crate::config::parse(&[source], &crate::config::secret::System).unwrap()
    }

    /// What workers read of a child is what the configuration says, whether it has SAs or not, also those of a `%any` connection's peers; the
    /// SAs are the same.
    #[test]
    fn children_with_sas_take_on_other_settings() {
        let mut bench = Bench { places: Places::new(4, &mut SeededRng::new(1)), ..Bench::new() };
        let reload = |bench: &mut Bench, workers, settings: fn(&mut ChildConfig)| {
            let mut config = resources(workers);
            settings(&mut config.connections[0].children[0]);
            bench.installer.configure(&config, &mut bench.places);
        };
        reload(&mut bench, 0, |_| {});
        bench.up(1, true, None);
        let peer = Key { connection: "a".into(), child: "b".into(), peer: 1 };
        let spi_in = bench.places.allocate_spi(&peer, 7).unwrap();
        let up = ChildUp { peer: 1, spi_in, ..bench.offer(2, true, None) };
        bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
        let before = [1, 2].map(|id| bench.pair(id).1);
        assert!(before.iter().all(|sa| sa.child.resources().is_empty() && sa.child.settings().copy_dscp));
        reload(&mut bench, 2, |child| {
            (child.copy_dscp, child.mtu, child.mss, child.waits) = (false, Some(1300), Mss::Off, false);
            (child.peer_window, child.outer_fragments) = (4096, OuterFragments::Never);
        });
        let fitting = Fitting { mtu: Some(1300), mss: Mss::Off, outer_fragments: OuterFragments::Never };
        for (id, before) in [1, 2].into_iter().zip(before) {
            let (_, inbound) = bench.pair(id);
            assert!(Arc::ptr_eq(&inbound, &before));
            let settings = Settings { copy_dscp: false, fitting, waits: false, home: None };
            assert_eq!((inbound.child.settings(), inbound.child.resources().len()), (settings, 4), "{id}");
        }
    }

    /// What the peer sends must never come out by a name that is not protected any more: the SAs go before the routes do.
    #[test]
    fn other_names_of_networks_end_the_sas_that_have_the_old_ones() {
        for peer in [0, 1] {
            let mut bench = Bench::new();
            bench.installer.configure(&translated("172.31.2.0/24", ""), &mut bench.places);
            let key = Key { connection: "a".into(), child: "b".into(), peer };
            let up = |bench: &mut Bench, id: u64, replaces: Option<u64>| {
                let spi_in = bench.places.allocate_spi(&key, id as u32).unwrap();
                let (local_ts, remote_ts) =
                    (vec!["10.1.0.0/16".parse().unwrap()], vec!["10.0.0.0/24".parse().unwrap()]);
                let up = ChildUp { peer, spi_in, local_ts, remote_ts, ..bench.offer(id, true, replaces) };
                bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
                spi_in
            };
            let old = up(&mut bench, 1, None);
            let last = up(&mut bench, 2, Some(1));
            bench.down(1, Ended::Replaced);
            assert!(bench.receives(old) && bench.receives(last));
            // Other settings leave it alone.
            let (same, other) = (translated("172.31.2.0/24", "mss = 1300"), translated("172.31.3.0/24", ""));
            assert!(bench.installer.withdraw_renamed(NOW, &same, &mut bench.places).is_empty() && bench.receives(last));
            let renamed = bench.installer.withdraw_renamed(NOW, &other, &mut bench.places);
            assert_eq!(renamed, [("a".into(), "b".into())].into());
            assert!(!bench.receives(old) && !bench.receives(last) && bench.installer.get(ChildId(2)).is_none());
            assert_eq!(bench.sends(), None);
            bench.installer.configure(&other, &mut bench.places);
            assert!(bench.places.holds(last), "the endpoint has it still");
            // The slot is kept for what takes the place of it, whatever comes in between.
            let spi_in = bench.places.allocate_spi(&key, 3).unwrap();
            bench.tick(NOW);
            assert_eq!(bench.places.find(&key), Some(sad::slot_of(spi_in)));
            let new = up(&mut bench, 3, Some(2));
            bench.down(2, Ended::Replaced);
            bench.tick(NOW);
            assert!(bench.receives(new) && !bench.places.holds(last));
            let (_, remote) = installed::here(&bench.pair(3).1);
            assert_eq!(remote[0].to_string(), "172.31.3.0/24");
            assert_eq!((bench.installer.deadline(), bench.installer.overdue(NOW + GRACE * 60)), (None, vec![]));
            // If nothing ever does, the endpoint is asked for another way, and the slot of a peer goes.
            bench.installer.withdraw_renamed(NOW, &same, &mut bench.places);
            bench.tick(NOW + GRACE);
            let due = bench.installer.deadline().expect("it is waited for");
            assert_eq!(bench.installer.overdue(due - GRACE), []);
            assert_eq!(bench.installer.overdue(due), [ChildId(3)]);
            assert_eq!(bench.installer.overdue(due), []);
            assert_eq!(bench.installer.overdue(due * 2), [ChildId(3)], "it is there still");
            bench.installer.configure(&same, &mut bench.places);
            bench.down(3, Ended::PeerDead);
            bench.tick(NOW);
            assert_eq!(bench.places.find(&key).is_some(), peer == 0);
        }
    }

    fn translated(remote: &str, more: &str) -> Config {
        let text = format!(
            "[connections.a]\nremote_addrs = [\"192.0.2.9\"]\n[connections.a.children.b]\nlocal_ts = [\"10.1.0.0/16\"]\n\
             remote_ts = [\"10.0.0.0/24\"]\ntranslate = {{ remote = \"{remote}\" }}\n{more}\n\
             [secrets.s]\nid = [\"192.0.2.9\"]\nsecret = \"correct horse battery staple\"\n"
        );
        let source = crate::config::Source { name: "a.toml".into(), text };
        crate::config::parse(&[source], &crate::config::secret::System).unwrap()
    }

    /// Its packets must not meet a wider policy that lets them pass.
    #[test]
    fn a_child_without_a_slot_drops() {
        let mut bench = Bench { places: Places::full(), ..Bench::new() };
        bench.installer.configure(&resources(0), &mut bench.places);
        let policies: Vec<_> = bench.installer.configured.values().map(|present| present.policy.action).collect();
        assert_eq!(policies, [Action::Drop]);
    }

    /// A worker sends on its own SA from when it may, and else on that for all; the peer's packets for it come to it.
    #[test]
    fn each_worker_has_its_own_sa_or_the_one_for_all() {
        let mut bench = Bench::with_resources();
        bench.up(1, true, None);
        assert_eq!(bench.sends_by_worker(), [1001, 1001, 1001]);
        let first = bench.up_for(0, 2, true, None);
        let second = bench.up_for(1, 3, true, None);
        assert_eq!((first & sad::WORKER_MASK, second & sad::WORKER_MASK), (0, 1));
        assert_eq!(sad::slot_of(first), sad::slot_of(second));
        assert!(bench.receives(first) && bench.receives(second));
        assert_eq!(bench.sends_by_worker(), [1002, 1003, 1001]);
        bench.down(2, Ended::ByPeer);
        assert_eq!(bench.sends_by_worker(), [1001, 1003, 1001]);
        assert!(bench.receives(first), "there is another one, so packets may be on their way");
        bench.down(3, Ended::ByUs);
        bench.down(1, Ended::ByUs);
        assert_eq!(bench.sends_by_worker(), [0, 0, 0]);
        assert!(!bench.receives(second));
    }
    /// A responder waits for the proof that the peer has it, as with any other SA (R3), but has another one to send on meanwhile.
    #[test]
    fn an_own_sa_is_used_when_the_peer_has_it() {
        let mut bench = Bench::with_resources();
        bench.up(1, false, None);
        let own = bench.up_for(0, 2, false, None);
        bench.up_for(1, 3, false, None);
        assert_eq!(bench.sends_by_worker(), [1001, 1001, 1001]);
        bench.installer.first_packet(own);
        assert_eq!(bench.sends_by_worker(), [1002, 1001, 1001]);
        bench.tick(NOW + TAKEOVER);
        assert_eq!(bench.sends_by_worker(), [1002, 1003, 1001]);
    }
    /// Each is rekeyed by itself, in the order of any other rekey, and the SA for all, too.
    #[test]
    fn rekeys_of_one_workers_sa() {
        let mut bench = Bench::with_resources();
        bench.up(1, true, None);
        bench.up_for(0, 2, true, None);
        bench.up_for(1, 3, true, None);
        bench.up_for(0, 4, true, Some(2));
        assert_eq!(bench.sends_by_worker(), [1004, 1003, 1001], "an initiator at once");
        bench.down(2, Ended::Replaced);
        let new = bench.up_for(1, 5, false, Some(3));
        assert_eq!(bench.sends_by_worker(), [1004, 1003, 1001], "a responder later");
        bench.installer.first_packet(new);
        assert_eq!(bench.sends_by_worker(), [1004, 1005, 1001]);
        bench.up_for(1, 6, false, Some(5));
        bench.down(3, Ended::Replaced);
        assert_eq!(bench.sends_by_worker(), [1004, 1005, 1001]);
        bench.down(5, Ended::Replaced);
        assert_eq!(bench.sends_by_worker(), [1004, 1006, 1001], "the Delete of the old one is a proof");
        bench.up(7, false, Some(1));
        assert_eq!(bench.sends_by_worker(), [1004, 1006, 1001]);
        bench.down(1, Ended::Replaced);
        assert_eq!(bench.sends_by_worker(), [1004, 1006, 1007]);
        bench.installer.child_leaving(ChildId(6));
        assert_eq!(bench.sends_by_worker(), [1004, 1007, 1007], "nothing on what the peer may have deleted");
    }

    /// What has lost a collision receives, and never sends, whatever comes on it and whoever goes.
    #[test]
    fn what_has_lost_a_collision_only_receives() {
        let mut bench = Bench::new();
        bench.up(1, true, None);
        bench.up(2, false, Some(1));
        let lost = ChildUp { inbound_only: true, ..bench.offer(3, true, Some(1)) };
        bench.installer.child_up(NOW, &lost, &mut bench.places, &mut bench.rng);
        assert!(bench.receives(lost.spi_in));
        assert_eq!((bench.sends(), bench.installer.deadline()), (Some(1001), Some(NOW + TAKEOVER)));
        bench.installer.first_packet(lost.spi_in);
        bench.down(1, Ended::Replaced);
        assert_eq!(bench.sends(), Some(1002));
        bench.tick(NOW + TAKEOVER * 100);
        assert_eq!(bench.sends(), Some(1002));
        bench.down(2, Ended::ByPeer);
        assert_eq!(bench.sends(), None);
    }

    /// A rekeyed IKE SA has the children and the path of the one before.
    #[test]
    fn the_path_moves_with_the_ike_sa() {
        let mut bench = Bench::new();
        bench.up(1, true, None);
        bench.installer.ike_rekeyed(IkeId(1), IkeId(2));
        bench.installer.ike_down(IkeId(1));
        let addr = |last| SocketAddr::from(([192, 0, 2, last], 4500));
        let path = IkePath { local: addr(1), remote: addr(77), udp: true, may_move: false };
        bench.installer.path_changed(IkeId(2), &path);
        let path = || bench.installer.get(ChildId(1)).unwrap().outbound.path.load().remote;
        assert_eq!(path(), addr(77));
    }

    #[test]
    fn a_new_child_carries_both_ways_at_once_in_either_role() {
        for initiator in [true, false] {
            let mut bench = Bench::new();
            let spi = bench.up(1, initiator, None);
            assert!(bench.receives(spi));
            assert_eq!(bench.sends(), Some(1001));
            assert_eq!(bench.installer.deadline(), None);
        }
    }

    #[test]
    fn the_initiator_of_a_rekey_sends_on_the_new_sa_at_once() {
        let mut bench = Bench::new();
        let old = bench.up(1, true, None);
        let new = bench.up(2, true, Some(1));
        assert_eq!(bench.sends(), Some(1002));
        assert!(bench.receives(old) && bench.receives(new));
        // What it deletes it never sends on again.
        bench.installer.child_leaving(ChildId(1));
        bench.down(2, Ended::ByPeer);
        assert_eq!(bench.sends(), None);
        assert!(bench.receives(old));
    }

    #[test]
    fn the_responder_of_a_rekey_goes_on_sending_on_the_old_sa() {
        let rekeyed = || {
            let mut bench = Bench::new();
            bench.up(1, false, None);
            let new = bench.up(2, false, Some(1));
            assert!(bench.receives(new));
            assert_eq!(bench.sends(), Some(1001));
            (bench, new)
        };
        // Until a packet arrives on the new one,
        let (mut bench, new) = rekeyed();
        bench.installer.first_packet(new);
        assert_eq!(bench.sends(), Some(1002));
        // or the old one ends,
        let (mut bench, _) = rekeyed();
        bench.down(1, Ended::Replaced);
        assert_eq!(bench.sends(), Some(1002));
        // or time is over.
        let (mut bench, _) = rekeyed();
        assert_eq!(bench.installer.deadline(), Some(NOW + TAKEOVER));
        bench.tick(NOW + TAKEOVER - Duration::from_millis(1));
        assert_eq!(bench.sends(), Some(1001));
        bench.tick(NOW + TAKEOVER);
        assert_eq!(bench.sends(), Some(1002));
    }

    #[test]
    fn a_replaced_inbound_sa_lives_on_and_any_other_end_is_at_once() {
        let mut bench = Bench::new();
        let old = bench.up(1, true, None);
        let new = bench.up(2, true, Some(1));
        bench.down(1, Ended::Replaced);
        bench.tick(NOW + GRACE - Duration::from_millis(1));
        assert!(bench.receives(old));
        bench.tick(NOW + GRACE);
        assert!(!bench.receives(old));
        bench.down(2, Ended::ByPeer);
        assert!(!bench.receives(new));
        assert_eq!(bench.sends(), None);
    }

    #[test]
    fn of_two_equal_children_the_younger_sends_until_it_ends() {
        let mut bench = Bench::new();
        bench.up(1, false, None);
        bench.up(2, true, None);
        assert_eq!(bench.sends(), Some(1002));
        bench.down(2, Ended::ByUs);
        assert_eq!(bench.sends(), Some(1001));
    }

    /// The peer has narrowed the child to several (RFC 7296 section 2.9).
    #[test]
    fn of_two_children_with_other_selectors_each_sends_its_own() {
        let mut bench = Bench::new();
        let of = |bench: &Bench, last: u8| {
            let children = bench.installer.tables.children.load();
            let child = children.iter().next().unwrap();
            let (src, dst) = ([10, 1, 0, 1].into(), [10, 2, 0, last].into());
            let flow = Flow { src, dst, proto: 17, sport: 7, dport: 7, later_fragment: false };
            let used = child.outbound.load_full().filter(|entry| entry.admits(&flow).is_ok());
            used.or_else(|| child.beside(&flow)).map(|entry| entry.sa.spi())
        };
        for (id, last, replaces) in [(1, 1, None), (2, 2, None), (3, 1, Some(1))] {
            let mut up = bench.offer(id, true, replaces);
            up.remote_ts = vec![format!("10.2.0.{last}/32").parse().unwrap()];
            bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
        }
        assert_eq!([1, 2, 3].map(|last| of(&bench, last)), [Some(1003), Some(1002), None]);
        bench.down(1, Ended::Replaced);
        assert_eq!([1, 2].map(|last| of(&bench, last)), [Some(1003), Some(1002)]);
        bench.down(3, Ended::ByPeer);
        assert_eq!([1, 2].map(|last| of(&bench, last)), [None, Some(1002)]);
        bench.installer.child_leaving(ChildId(2));
        assert_eq!(of(&bench, 2), None, "it only receives");
    }

    /// A worker's own SA (RFC 9611) has the selectors of one of several: what it may not carry goes on the one for all, which is the best.
    #[test]
    fn what_a_workers_own_sa_may_not_carry_goes_on_the_one_for_all() {
        let mut bench = Bench::with_resources();
        let up = |bench: &mut Bench, id: u64, last: u8, resource: Option<u32>| {
            let mut up = bench.offer(id, true, None);
            if let Some(worker) = resource {
                let key = Key { connection: "a".into(), child: "b".into(), peer: 0 };
                up.spi_in = bench.places.allocate_spi_for(&key, worker, id as u32).unwrap();
            }
            up.remote_ts = vec![format!("10.2.0.{last}/32").parse().unwrap()];
            bench.installer.child_up(NOW, &ChildUp { resource, ..up }, &mut bench.places, &mut bench.rng);
        };
        let of = |bench: &Bench, worker: usize| {
            let children = bench.installer.tables.children.load();
            let child = children.iter().next().unwrap();
            [1, 2].map(|last| {
                let (src, dst) = ([10, 1, 0, 1].into(), [10, 2, 0, last].into());
                let flow = Flow { src, dst, proto: 17, sport: 7, dport: 7, later_fragment: false };
                let used = child.outbound_for(worker).clone().filter(|entry| entry.admits(&flow).is_ok());
                used.or_else(|| child.beside(&flow)).map_or(0, |entry| entry.sa.spi())
            })
        };
        let listed = |bench: &Bench| {
            let children = bench.installer.tables.children.load();
            children.iter().next().unwrap().beside.load().as_ref().map_or(0, |all| all.len())
        };
        up(&mut bench, 1, 1, None);
        up(&mut bench, 2, 1, Some(0));
        assert_eq!((of(&bench, 0), of(&bench, 1), listed(&bench)), ([1002, 0], [1001, 0], 0), "there is nothing else");
        up(&mut bench, 3, 2, None);
        assert_eq!((of(&bench, 0), of(&bench, 1), listed(&bench)), ([1002, 1003], [1001, 1003], 2));
        bench.down(1, Ended::ByPeer);
        assert_eq!((of(&bench, 0), of(&bench, 1), listed(&bench)), ([1002, 1003], [0, 1003], 1));
        bench.down(2, Ended::ByPeer);
        assert_eq!((of(&bench, 0), listed(&bench)), ([0, 1003], 0));
    }

    /// A worker reads what it sends on while another SA takes its place.
    #[test]
    fn a_rekey_takes_nothing_away_from_other_selectors() {
        let mut bench = Bench::new();
        let up = |bench: &mut Bench, id: u64, last: u8, replaces: Option<u64>| {
            let mut up = bench.offer(id, true, replaces);
            up.remote_ts = vec![format!("10.2.0.{last}/32").parse().unwrap()];
            bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
        };
        up(&mut bench, 1, 1, None);
        up(&mut bench, 2, 2, None);
        let child = bench.pair(1).1.child.clone();
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = over.clone();
        let worker = std::thread::spawn(move || {
            let flow = |last| {
                let (src, dst) = ([10, 1, 0, 1].into(), [10, 2, 0, last].into());
                Flow { src, dst, proto: 17, sport: 7, dport: 7, later_fragment: false }
            };
            let flows = [1, 2].map(flow);
            let carries = |flow: &Flow| {
                let used = child.outbound.load();
                used.as_ref().is_some_and(|entry| entry.admits(flow).is_ok()) || child.beside(flow).is_some()
            };
            let mut dropped = 0;
            while !seen.load(Relaxed) {
                dropped += flows.iter().filter(|flow| !carries(flow)).count();
            }
            dropped
        });
        for id in 3..300 {
            // Now of the one, now of the other.
            up(&mut bench, id, if id % 2 == 1 { 1 } else { 2 }, Some(id - 2));
            bench.down(id - 2, Ended::Replaced);
            bench.tick(NOW + GRACE);
        }
        over.store(true, Relaxed);
        assert_eq!(worker.join().unwrap(), 0);
    }

    /// Both ends have made the same child, and ours has lost: we delete it, and nothing has proved yet that the peer has the other one.
    #[test]
    fn nothing_is_sent_on_what_the_peer_is_asked_to_delete() {
        let mut bench = Bench::new();
        let ours = bench.up(1, true, None);
        bench.up(2, false, None);
        assert_eq!(bench.sends(), Some(1001));
        bench.installer.child_leaving(ChildId(1));
        assert_eq!((bench.sends(), bench.receives(ours)), (Some(1002), true));
        bench.installer.first_packet(ours);
        bench.tick(NOW + TAKEOVER * 2);
        assert_eq!(bench.sends(), Some(1002));
    }

    #[test]
    fn what_waited_for_its_takeover_and_is_asked_to_go_never_sends() {
        let mut bench = Bench::new();
        bench.up(1, false, None);
        bench.up(2, false, Some(1));
        bench.up(3, true, Some(2));
        bench.installer.child_leaving(ChildId(2));
        bench.down(3, Ended::ByPeer);
        bench.down(1, Ended::Replaced);
        bench.tick(NOW + TAKEOVER);
        assert_eq!(bench.sends(), None);
    }

    /// As in a reauthentication by the peer: what is sent on the new SA before it has our answer would be lost.
    #[test]
    fn the_responder_of_an_equal_child_goes_on_sending_on_the_old_sa() {
        for why in [None, Some(Ended::ByPeer), Some(Ended::PeerDead)] {
            let mut bench = Bench::new();
            let old = bench.up(1, true, None);
            let new = bench.up(2, false, None);
            assert!(bench.receives(new));
            assert_eq!(bench.sends(), Some(1001));
            match why {
                None => bench.installer.first_packet(new),
                Some(why) => bench.down(1, why),
            }
            assert_eq!(bench.sends(), Some(1002));
            // What is under way still arrives, unless the peer is known to send no more.
            assert_eq!(bench.receives(old), why != Some(Ended::PeerDead));
            bench.tick(NOW + GRACE);
            assert_eq!(bench.receives(old), why.is_none());
        }
    }

    #[test]
    fn the_initiator_of_a_rekey_has_to_be_heard_of() {
        for (initiator, replaces, unheard) in [(true, true, true), (false, true, false), (true, false, false)] {
            let mut bench = Bench::new();
            bench.up(1, true, None);
            let up = bench.offer(2, initiator, replaces.then_some(1));
            bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
            assert_eq!(bench.installer.unheard(&up).is_some(), unheard, "{initiator} {replaces}");
        }
    }

    #[test]
    fn what_is_sent_is_unanswered_until_something_comes() {
        let mut bench = Bench::new();
        let spi = bench.up(1, true, None);
        let (outbound, inbound) = bench.pair(1);
        let mut seen = || {
            let (seen, _) = bench.installer.look(NOW);
            assert_eq!(seen.since, NOW);
            (seen.heard, seen.unanswered)
        };
        let nothing = (vec![], vec![]);
        assert_eq!(seen(), nothing);
        outbound.sa.reserve(3).unwrap();
        assert_eq!((seen(), seen()), ((vec![], vec![spi]), nothing.clone()), "told once");
        outbound.sa.reserve(1).unwrap();
        let peer = OutboundSa::new(inbound.sa.params(), [0; 16]);
        let mut packet = vec![0; peer.sealed_len(20)];
        peer.seal(7, &mut packet, 20, 4);
        let proof = inbound.sa.open(7, &mut packet).unwrap().proof;
        inbound.sa.window().commit(&proof).unwrap();
        assert_eq!((seen(), seen()), ((vec![spi], vec![]), nothing), "told once");
    }

    #[test]
    fn usage_is_told_by_sa_and_when_there_is_any() {
        let mut bench = Bench::new();
        bench.up(1, true, None);
        assert!(bench.installer.look(NOW).1.is_empty());
        let told = |bench: &mut Bench| -> Vec<_> {
            let (_, usage) = bench.installer.look(NOW);
            usage.iter().map(|u| (u.id.0, u.bytes, u.packets, u.sequence_permille)).collect()
        };
        let (outbound, inbound) = bench.pair(1);
        outbound.sa.reserve(3).unwrap();
        outbound.traffic.add(300, 3);
        inbound.traffic.add(50, 1);
        assert_eq!(told(&mut bench), [(1, 350, 4, 0)]);
        assert!(told(&mut bench).is_empty());
        bench.up(2, true, Some(1));
        outbound.sa.reserve(u32::MAX / 2).unwrap();
        bench.pair(2).1.traffic.add(7, 1);
        assert_eq!(told(&mut bench), [(1, 350, u64::from(u32::MAX / 2) + 4, 500), (2, 7, 1, 0)]);
        let all = outbound.sa.left() as u32;
        outbound.sa.reserve(all - 1).unwrap();
        assert_eq!(told(&mut bench)[0].3, 999);
        outbound.sa.reserve(1).unwrap();
        assert_eq!(told(&mut bench)[0].3, 1000);
    }

    /// And that is told once, whoever asks.
    #[test]
    fn usage_of_one_child_is_that_of_its_pairs() {
        let mut bench = Bench::new();
        for peer in [1, 2] {
            let key = Key { connection: "a".into(), child: "b".into(), peer };
            let spi_in = bench.places.allocate_spi(&key, 7).unwrap();
            let up = ChildUp { peer, spi_in, ..bench.offer(peer.into(), true, None) };
            bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
            bench.pair(peer.into()).0.sa.reserve(3).unwrap();
        }
        let slot = bench.installer.get(ChildId(2)).unwrap().slot;
        let ids = |usage: Vec<Usage>| usage.into_iter().map(|usage| usage.id.0).collect::<Vec<_>>();
        assert_eq!(ids(bench.installer.usage(slot)), [2]);
        assert_eq!(ids(bench.installer.look(NOW).1), [1]);
    }

    #[test]
    fn an_offered_spi_is_larval_until_it_is_installed() {
        let mut bench = Bench::new();
        let up = bench.offer(1, true, None);
        bench.installer.larval(up.spi_in);
        assert!(bench.installer.tables.larvae.contains(up.spi_in));
        bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
        assert!(!bench.installer.tables.larvae.contains(up.spi_in) && bench.receives(up.spi_in));
    }

    /// The policies of all that have come and gone are published at once, and a child goes only after the policy that names it.
    #[test]
    fn peers_get_and_lose_their_policies_at_the_next_tick() {
        let mut bench = Bench::new();
        let slots: Vec<Slot> = (1..=3)
            .map(|peer| {
                let mut up = bench.offer(u64::from(peer), false, None);
                up.peer = peer;
                let key = Key { connection: up.connection.clone(), child: up.child.clone(), peer };
                up.spi_in = bench.places.allocate_spi(&key, peer).unwrap();
                up.remote_ts = vec![format!("10.2.{peer}.0/24").parse().unwrap()];
                bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
                bench.places.find(&key).unwrap()
            })
            .collect();
        let policy = |bench: &Bench, peer: u8| {
            let flow = crate::wire::ip::Flow {
                src: [10, 1, 0, 1].into(),
                dst: [10, 2, peer, 1].into(),
                proto: 17,
                sport: 1,
                dport: 2,
                later_fragment: false,
            };
            bench.installer.tables.spd.load().lookup(DeviceId(0), &flow).map(|entry| entry.action)
        };
        let child = |bench: &Bench, slot: Slot| bench.installer.tables.children.load().get(slot).is_some();
        assert_eq!(policy(&bench, 1), None);
        bench.tick(NOW);
        assert_eq!(policy(&bench, 1), Some(Action::Protect(slots[0])));
        assert_eq!(policy(&bench, 3), Some(Action::Protect(slots[2])));
        bench.down(1, Ended::ByPeer);
        assert!(child(&bench, slots[0]));
        bench.tick(NOW);
        assert_eq!((policy(&bench, 1), child(&bench, slots[0])), (None, false));
        assert!(policy(&bench, 2).is_some() && child(&bench, slots[1]));
        // One that comes back before that stays where it is.
        let key = Key { connection: "a".into(), child: "b".into(), peer: 2 };
        bench.down(2, Ended::ByPeer);
        let again = ChildUp { peer: 2, ..bench.offer(4, false, None) };
        let again = ChildUp { spi_in: bench.places.allocate_spi(&key, 9).unwrap(), ..again };
        bench.installer.child_up(NOW, &again, &mut bench.places, &mut bench.rng);
        bench.tick(NOW);
        assert!(child(&bench, slots[1]) && bench.places.find(&key) == Some(slots[1]));
    }

    /// A child of this peer comes, and goes; its slot.
    fn come_and_go(bench: &mut Bench, peer: u32) -> Slot {
        let key = Key { connection: "a".into(), child: "b".into(), peer };
        let spi_in = bench.places.allocate_spi(&key, peer).unwrap();
        let up = ChildUp { peer, spi_in, ..bench.offer(u64::from(peer), false, None) };
        bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
        bench.tick(NOW);
        bench.down(peer.into(), Ended::ByPeer);
        bench.tick(NOW);
        sad::slot_of(spi_in)
    }

    /// What peers leave is used again, whatever others do: here one has rekeyed, and does not delete the old SA.
    #[test]
    fn slots_are_used_again_during_a_rekey() {
        let mut bench = Bench::new();
        bench.up(1, true, None);
        bench.up(2, true, Some(1));
        let slots: std::collections::HashSet<Slot> = (10..200).map(|peer| come_and_go(&mut bench, peer)).collect();
        assert!(slots.len() < 100, "{}", slots.len());
    }

    /// However an SA ends, if a worker reads it at that moment, the engine frees it later.
    #[test]
    fn a_worker_is_never_the_last_to_hold_an_sa() {
        let ends: [fn(&mut Bench); 3] = [
            |bench| bench.down(1, Ended::ByPeer),
            |bench| {
                bench.up(2, true, Some(1));
                bench.down(1, Ended::Replaced);
            },
            |bench| bench.installer.configure(&Config { connections: vec![], ..config(0, false) }, &mut bench.places),
        ];
        for end in ends {
            let mut bench = Bench::new();
            bench.up(1, true, None);
            let child = bench.pair(1).1.child.clone();
            let worker = child.outbound.load();
            let sa = Arc::downgrade(worker.as_ref().unwrap());
            end(&mut bench);
            bench.tick(NOW);
            drop(worker);
            assert_eq!(sa.strong_count(), 1);
            bench.tick(NOW);
            assert_eq!(sa.strong_count(), 0);
        }
    }

    /// All SAs of a child that have the same selectors have one policy, until the last of them goes.
    #[test]
    fn one_policy_is_for_all_with_the_same_selectors() {
        let mut bench = Bench::new();
        let key = Key { connection: "a".into(), child: "b".into(), peer: 1 };
        let up = |bench: &mut Bench, id, remote_ts: &str| {
            let spi_in = bench.places.allocate_spi(&key, id as u32).unwrap();
            let remote_ts = vec![remote_ts.parse().unwrap()];
            let up = ChildUp { peer: 1, spi_in, remote_ts, ..bench.offer(id, false, None) };
            bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
        };
        let changes = |bench: &mut Bench| {
            let changes: Vec<_> =
                bench.installer.changes.iter().map(|change| (change.policy.order, change.comes)).collect();
            bench.tick(NOW);
            changes
        };
        (1..=3).for_each(|id| up(&mut bench, id, "10.2.0.0/16"));
        up(&mut bench, 4, "10.3.0.0/16");
        assert_eq!(changes(&mut bench), [(1, true), (4, true)]);
        for id in [1, 3] {
            bench.down(id, Ended::ByPeer);
            assert_eq!(changes(&mut bench), []);
        }
        bench.down(2, Ended::ByPeer);
        assert_eq!(changes(&mut bench), [(1, false)]);
        bench.down(4, Ended::ByPeer);
        assert_eq!(changes(&mut bench), [(4, false)]);
        assert_eq!(bench.places.find(&key), None);
    }

    /// A configuration whose child `b` has this priority and takes anybody in; another child beside it, or none.
    fn config(priority: i32, other: bool) -> Config {
        let child = |name: &str, remote: &str| {
            format!(
                "[connections.a.children.{name}]\nmode = \"drop\"\npriority = {priority}\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"{remote}\"]\n"
            )
        };
        let text = child("b", "10.2.0.0/16") + &if other { child("c", "10.3.0.0/16") } else { String::new() };
        let source = crate::config::Source { name: "a.toml".into(), text };
        crate::config::parse(&[source], &crate::config::secret::System).unwrap()
    }

    /// What a peer has made of the selectors on the wire, policies know by the names that it has here; SAs know the wire.
    #[test]
    fn the_policies_of_peers_have_the_names_of_this_side() {
        let text = r#"
            [connections.a]
            remote_addrs = ["%any"]
            remote = { id = "r" }
            [connections.a.children.b]
            local_ts = ["198.18.1.0/24"]
            remote_ts = ["10.0.0.0/16"]
            translate = { local = "10.0.0.0/24", remote = "172.31.0.0/16" }
            [secrets.s]
            id = ["r"]
            secret = "correct horse battery staple"
        "#;
        let source = crate::config::Source { name: "a.toml".into(), text: text.into() };
        let config = crate::config::parse(&[source], &crate::config::secret::System).unwrap();
        let mut bench = Bench::new();
        bench.installer.configure(&config, &mut bench.places);
        let slot_of = |bench: &Bench, dst: [u8; 4]| {
            let (src, dst) = ([10, 0, 0, 3].into(), dst.into());
            let flow = crate::wire::ip::Flow { src, dst, proto: 17, sport: 1, dport: 2, later_fragment: false };
            let spd = bench.installer.tables.spd.load();
            spd.lookup(DeviceId(0), &flow).map(|found| match found.action {
                Action::Protect(slot) => slot,
                other => panic!("{other:?}"),
            })
        };
        let any = slot_of(&bench, [172, 31, 1, 5]).expect("the configured policy");
        assert_eq!(slot_of(&bench, [10, 0, 1, 5]), None);
        let key = Key { connection: "a".into(), child: "b".into(), peer: 1 };
        for id in [1, 2] {
            let spi_in = bench.places.allocate_spi(&key, id as u32).unwrap();
            let (local_ts, remote_ts) = (vec!["198.18.1.0/24".parse().unwrap()], vec!["10.0.1.0/24".parse().unwrap()]);
            let up = ChildUp { peer: 1, spi_in, local_ts, remote_ts, ..bench.offer(id, false, None) };
            bench.installer.child_up(NOW, &up, &mut bench.places, &mut bench.rng);
        }
        bench.tick(NOW);
        let peer = slot_of(&bench, [172, 31, 1, 5]).expect("the peer's policy");
        assert_ne!(peer, any);
        assert_eq!((slot_of(&bench, [172, 31, 2, 5]), slot_of(&bench, [10, 0, 1, 5])), (Some(any), None));
        assert_eq!(bench.pair(1).0.remote_ts[0].to_string(), "10.0.1.0/24");
        // It is one for both of its SAs, and goes with the last.
        bench.down(1, Ended::ByPeer);
        bench.tick(NOW);
        assert_eq!(slot_of(&bench, [172, 31, 1, 5]), Some(peer));
        bench.down(2, Ended::ByPeer);
        bench.tick(NOW);
        assert_eq!(slot_of(&bench, [172, 31, 1, 5]), Some(any));
    }

    /// No policy names a child that the configuration has taken away, and those that stay are what they were.
    #[test]
    fn another_configuration_changes_what_is_another() {
        let mut bench = Bench::new();
        let policy = |bench: &Bench, dst: [u8; 4]| {
            let flow = crate::wire::ip::Flow {
                src: [10, 1, 0, 1].into(),
                dst: dst.into(),
                proto: 17,
                sport: 1,
                dport: 2,
                later_fragment: false,
            };
            let spd = bench.installer.tables.spd.load();
            spd.lookup(DeviceId(0), &flow).map(|found| (found.action, found.policy.priority))
        };
        bench.installer.configure(&config(0, true), &mut bench.places);
        let key = Key { connection: "a".into(), child: "b".into(), peer: 1 };
        let spi_in = bench.places.allocate_spi(&key, 1).unwrap();
        let remote_ts = vec!["10.2.1.0/24".parse().unwrap()];
        let peer = ChildUp { peer: 1, spi_in, remote_ts, ..bench.offer(1, false, None) };
        bench.installer.child_up(NOW, &peer, &mut bench.places, &mut bench.rng);
        bench.tick(NOW);
        let Some((Action::Protect(slot), 0)) = policy(&bench, [10, 2, 1, 1]) else { panic!() };
        assert_eq!(
            (policy(&bench, [10, 2, 2, 1]), policy(&bench, [10, 3, 0, 1])),
            (Some((Action::Drop, 0)), Some((Action::Drop, 0)))
        );
        bench.installer.configure(&config(7, false), &mut bench.places);
        assert_eq!(policy(&bench, [10, 2, 1, 1]), Some((Action::Protect(slot), 7)));
        assert_eq!((policy(&bench, [10, 2, 2, 1]), policy(&bench, [10, 3, 0, 1])), (Some((Action::Drop, 7)), None));
        bench.installer.configure(&Config { connections: vec![], ..config(7, false) }, &mut bench.places);
        assert_eq!((policy(&bench, [10, 2, 1, 1]), policy(&bench, [10, 2, 2, 1])), (None, None));
        assert!(bench.installer.tables.children.load().get(slot).is_none() && !bench.receives(peer.spi_in));
    }

    /// While they are withheld others may take their place: they come back once, and go for good.
    #[test]
    fn withheld_policies_come_back_once() {
        let mut bench = Bench::new();
        let priority = |bench: &Bench| {
            let (src, dst) = ("10.1.0.1".parse().unwrap(), "10.2.0.1".parse().unwrap());
            let flow = crate::wire::ip::Flow { src, dst, proto: 17, sport: 1, dport: 2, later_fragment: false };
            let spd = bench.installer.tables.spd.load();
            spd.lookup(DeviceId(0), &flow).map(|found| found.policy.priority)
        };
        bench.installer.configure(&config(0, false), &mut bench.places);
        bench.installer.withhold("a");
        assert_eq!(priority(&bench), None);
        bench.installer.configure(&config(7, false), &mut bench.places);
        bench.installer.restore("a");
        assert_eq!(priority(&bench), Some(7));
        bench.installer.configure(&config(3, false), &mut bench.places);
        assert_eq!(priority(&bench), Some(3));
        bench.installer.configure(&Config { connections: vec![], ..config(3, false) }, &mut bench.places);
        assert_eq!(priority(&bench), None);
    }

    #[test]
    fn counters_never_go_back() {
        let mut bench = Bench::new();
        let key = Key { connection: "a".into(), child: "b".into(), peer: 0 };
        let slot = bench.installer.place(&key, None, &mut bench.places).unwrap();
        let counters = |bench: &Bench| {
            let child = bench.installer.tables.children.load().get(slot).cloned().unwrap();
            child.counters.record_drop(Drop::NoSa);
            child.counters.add_in(7, 1);
            (child.counters.dropped(Drop::NoSa), child.counters.bytes_in.load(Relaxed))
        };
        assert_eq!(counters(&bench), (1, 7));
        let text = "[connections.a.children.b]\nmode = \"drop\"\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n";
        let source = crate::config::Source { name: "a.toml".into(), text: text.into() };
        let config = crate::config::parse(&[source], &crate::config::secret::System).unwrap();
        let other = config.connections[0].children[0].clone();
        assert!(other.copy_dscp);
        assert_eq!(bench.installer.place(&key, Some(&other), &mut bench.places), Some(slot));
        assert_eq!(counters(&bench), (2, 14));
    }

    #[test]
    fn towards_a_narrow_window_one_worker_seals_and_it_is_the_one_of_the_spis() {
        let mut bench = Bench { places: Places::new(3, &mut SeededRng::new(1)), ..Bench::new() };
        let text = "[connections.a.children.b]\nmode = \"drop\"\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n";
        let source = crate::config::Source { name: "a.toml".into(), text: text.into() };
        let config = crate::config::parse(&[source], &crate::config::secret::System).unwrap();
        let mut homes = std::collections::HashSet::new();
        for (peer, peer_window) in [64, 1023, 32, 1024, 65_536, 64].into_iter().enumerate() {
            let key = Key { connection: "a".into(), child: "b".into(), peer: peer as u32 };
            let settings = ChildConfig { peer_window, ..config.connections[0].children[0].clone() };
            let slot = bench.installer.place(&key, Some(&settings), &mut bench.places).unwrap();
            let spi = bench.places.allocate_spi(&key, 77).unwrap();
            let child = bench.installer.tables.children.load().get(slot).cloned().unwrap();
            let home = (spi & sad::WORKER_MASK) as u8;
            assert_eq!(child.settings().home, (peer_window < 1024).then_some(home), "{peer_window}");
            assert_eq!((slot.0 % 3) as u8, home, "peer {peer}");
            assert!(homes.insert(home) || peer > 2, "the next has another one");
        }
    }

    #[test]
    fn a_path_moves_with_its_ike_sa() {
        let mut bench = Bench::new();
        bench.up(1, true, None);
        let moved = SocketAddr::from(([198, 51, 100, 9], 4501));
        let path = IkePath { local: moved, remote: moved, udp: false, may_move: true };
        bench.installer.path_changed(IkeId(1), &path);
        let path = **bench.installer.get(ChildId(1)).unwrap().outbound.path.load();
        assert_eq!((path.remote, path.encap), (moved, Encap::Raw));
        bench.installer.set_mtu(IkeId(1), 1400);
        assert_eq!(bench.installer.outer_path(IkeId(1)), Some(Path { mtu: 1400, ..path }));
        assert_eq!(bench.installer.get(ChildId(1)).unwrap().outbound.path.load().mtu, 1400);
    }

    /// Packets of one device never meet the children of another, and what comes goes to the device that the connection has now.
    #[test]
    fn children_follow_the_device_of_their_connection() {
        let mut bench = Bench::new();
        bench.installer.configure(&resources(0), &mut bench.places);
        bench.up(1, true, None);
        let flow = crate::wire::ip::Flow {
            src: "10.1.0.1".parse().unwrap(),
            dst: "10.2.0.1".parse().unwrap(),
            proto: 17,
            sport: 1,
            dport: 2,
            later_fragment: false,
        };
        let on = |bench: &Bench| {
            let spd = bench.installer.tables.spd.load();
            let found: Vec<_> = (0..4).filter(|id| spd.lookup(DeviceId(*id), &flow).is_some()).collect();
            (found, bench.pair(1).1.child.device().0)
        };
        assert_eq!(on(&bench), (vec![0], 0));
        for device in [2, 3] {
            bench.installer.follow_devices(HashMap::from([("a".into(), DeviceId(device))]));
            bench.installer.configure(&resources(0), &mut bench.places);
            assert_eq!(on(&bench), (vec![device], device));
        }
        bench.installer.follow_devices(HashMap::new());
        bench.installer.configure(&resources(0), &mut bench.places);
        assert_eq!(on(&bench), (vec![0], 0));
    }
}
