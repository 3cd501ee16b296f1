//! The MTU of each outer path: which [`Pmtu`] hears what, and whose probe goes out next. A path is that of an IKE SA and its children, and stays
//! itself over rekeys.
use super::install::Installer;
use crate::frozen::{Frozen, Reader, Thaw, Writer, frozen};
use crate::ike::event::{ChildId, ChildUp, IkeId, IkePath, Seen, Usage};
use crate::io::icmp_watch::{Quoted, Report};
use crate::ipsec::pmtu::{Change, Pmtu, Why};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Probes that are on their way at a time, of all IKE SAs of which something is known or of all others: when thousands come up at once, some wait.
const PROBES: usize = 128;
/// For so long they count; then the peer is most likely dead, which takes minutes to be sure of, and others have their turn. An answer that comes
/// later is as good as any.
const PATIENCE: Duration = Duration::from_secs(5);
/// A probe that could not be sent is sent again after this time, and after twice of it when that fails, too, and so on.
const AGAIN: Duration = Duration::from_secs(1);
const DOUBLINGS: u32 = 6;
/// Routes that are looked at in one turn, when any has changed.
const LOOKS: usize = 32;

/// All paths.
#[derive(Debug)]
pub struct Mtus {
    /// What a path may carry at most by its route, for packets with `mark`.
    ceiling: fn(&IkePath, u32) -> Option<u16>,
    mark: u32,
    paths: HashMap<PathId, Watched>,
    /// Numbers of paths are never used twice.
    last: u64,
    by_ike: HashMap<IkeId, PathId>,
    by_remote: HashMap<SocketAddr, Vec<PathId>>,
    by_child: HashMap<ChildId, PathId>,
    by_inbound: HashMap<u32, ChildId>,
    by_outbound: HashMap<u32, Vec<PathId>>,
    /// Of paths of which nothing is known, and of those of which something is: dead peers, whose probes take minutes, must not keep new ones waiting.
    turns: [Turns; 2],
    /// Their probe was not sent, and is due then.
    later: BTreeSet<(Duration, PathId)>,
    /// Their routes are to be looked at.
    review: VecDeque<PathId>,
    /// Something has changed since these were queued: once more, then.
    again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct PathId(u64);

#[derive(Debug, Default)]
struct Turns {
    /// They want a probe.
    waiting: VecDeque<PathId>,
    /// Since when.
    on_their_way: BTreeSet<(Duration, PathId)>,
}

#[derive(Debug)]
struct Watched {
    ike: IkeId,
    connection: Arc<str>,
    path: IkePath,
    pmtu: Pmtu,
    probe: Probe,
    /// Some probe has had an end.
    known: bool,
    /// So many probes in a row could not be sent.
    unsent: u32,
    children: Vec<Child>,
}

#[derive(Clone, Copy, Debug)]
struct Child {
    id: ChildId,
    spi_in: u32,
    spi_out: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    None,
    /// In one of the queues.
    Waits,
    /// Its fate says nothing if it was sent on another path than the present one.
    Sent {
        stale: bool,
        /// Whose turn it was.
        known: bool,
        since: Duration,
    },
}
frozen! {
    struct PathId(number)
    struct Turns { waiting, on_their_way }
    struct Watched { ike, connection, path, pmtu, probe, known, unsent, children }
    struct Child { id, spi_in, spi_out }
    enum Probe { 0 = None, 1 = Waits, 2 = Sent { stale, known, since } }
}

/// The MTU of a path is another one.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Whose path it is.
    pub ike: IkeId,
    /// Its connection.
    pub connection: Arc<str>,
    /// Its far end.
    pub remote: SocketAddr,
    /// What has changed, and why.
    pub change: Change,
}

impl Mtus {
    /// `ceiling` tells what a path may carry by its route, for packets with `mark`.
    pub fn new(ceiling: fn(&IkePath, u32) -> Option<u16>, mark: u32) -> Self {
        Self {
            ceiling,
            mark,
            paths: HashMap::new(),
            last: 0,
            by_ike: HashMap::new(),
            by_remote: HashMap::new(),
            by_child: HashMap::new(),
            by_inbound: HashMap::new(),
            by_outbound: HashMap::new(),
            turns: Default::default(),
            later: BTreeSet::new(),
            review: VecDeque::new(),
            again: false,
        }
    }

    /// What is known, for the process that goes on with it.
    pub fn freeze(&self, out: &mut Writer) {
        let Self {
            ceiling: _,
            mark: _,
            paths,
            last,
            by_ike,
            by_remote,
            by_child,
            by_inbound,
            by_outbound,
            turns,
            later,
            review,
            again,
        } = self;
        paths.freeze(out);
        last.freeze(out);
        by_ike.freeze(out);
        by_remote.freeze(out);
        by_child.freeze(out);
        by_inbound.freeze(out);
        by_outbound.freeze(out);
        turns.freeze(out);
        later.freeze(out);
        review.freeze(out);
        again.freeze(out);
    }

    /// The same with what another process knew.
    ///
    /// # Errors
    /// It is not what [`Self::freeze`] has written.
    pub fn thaw(&self, input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Ok(Self {
            ceiling: self.ceiling,
            mark: self.mark,
            paths: Frozen::thaw(input)?,
            last: Frozen::thaw(input)?,
            by_ike: Frozen::thaw(input)?,
            by_remote: Frozen::thaw(input)?,
            by_child: Frozen::thaw(input)?,
            by_inbound: Frozen::thaw(input)?,
            by_outbound: Frozen::thaw(input)?,
            turns: Frozen::thaw(input)?,
            later: Frozen::thaw(input)?,
            review: Frozen::thaw(input)?,
            again: Frozen::thaw(input)?,
        })
    }

    /// A child is installed, the first of its path or another one.
    pub fn child_up(&mut self, now: Duration, up: &ChildUp, installer: &Installer) {
        let id = match self.by_ike.get(&up.ike) {
            Some(id) => *id,
            None => {
                let Some(path) = installer.outer_path(up.ike) else { return };
                self.last += 1;
                let id = PathId(self.last);
                let watched = Watched {
                    ike: up.ike,
                    connection: up.connection.clone(),
                    path: up.path,
                    pmtu: Pmtu::new(now, path.mtu, path.remote.is_ipv6()),
                    probe: Probe::None,
                    known: false,
                    unsent: 0,
                    children: Vec::new(),
                };
                self.paths.insert(id, watched);
                self.by_ike.insert(up.ike, id);
                self.by_remote.entry(up.path.remote).or_default().push(id);
                id
            }
        };
        if let Some(watched) = self.paths.get_mut(&id) {
            watched.children.push(Child { id: up.id, spi_in: up.spi_in, spi_out: up.spi_out });
            self.by_child.insert(up.id, id);
            self.by_inbound.insert(up.spi_in, up.id);
            self.by_outbound.entry(up.spi_out).or_default().push(id);
        }
        self.ask(id);
    }

    /// It is gone.
    pub fn child_down(&mut self, child: ChildId) {
        let Some(id) = self.by_child.get(&child).copied() else { return };
        let Some(watched) = self.paths.get_mut(&id) else { return };
        if let Some(at) = watched.children.iter().position(|other| other.id == child) {
            let gone = watched.children.swap_remove(at);
            self.forget_child(id, gone);
        }
    }

    /// Another IKE SA has the path.
    pub fn ike_rekeyed(&mut self, old: IkeId, new: IkeId) {
        let Some(id) = self.by_ike.remove(&old) else { return };
        let Some(watched) = self.paths.get_mut(&id) else { return };
        watched.ike = new;
        self.by_ike.insert(new, id);
        // The answer would name the old one, and is not waited for.
        if let Probe::Sent { known, since, .. } = watched.probe {
            watched.probe = Probe::None;
            self.turns[usize::from(known)].on_their_way.remove(&(since, id));
            self.ask(id);
        }
    }

    /// It is gone, and its path with it.
    pub fn ike_down(&mut self, ike: IkeId) {
        let Some(id) = self.by_ike.remove(&ike) else { return };
        let Some(watched) = self.paths.remove(&id) else { return };
        if let Probe::Sent { known, since, .. } = watched.probe {
            self.turns[usize::from(known)].on_their_way.remove(&(since, id));
        }
        remove(&mut self.by_remote, &watched.path.remote, id);
        watched.children.into_iter().for_each(|child| self.forget_child(id, child));
    }

    /// The path of an IKE SA leads elsewhere: of another one nothing is known. Behind the same addresses with another port it is the same.
    pub fn path_changed(&mut self, now: Duration, ike: IkeId, path: &IkePath, installer: &mut Installer) {
        let Some(id) = self.by_ike.get(&ike).copied() else { return };
        let Some(watched) = self.paths.get_mut(&id) else { return };
        let before = std::mem::replace(&mut watched.path, *path);
        remove(&mut self.by_remote, &before.remote, id);
        self.by_remote.entry(path.remote).or_default().push(id);
        if (before.local.ip(), before.remote.ip()) != (path.local.ip(), path.remote.ip())
            && let Some(new) = installer.outer_path(ike)
        {
            watched.pmtu = Pmtu::new(now, new.mtu, new.remote.is_ipv6());
            let known = std::mem::take(&mut watched.known);
            if let Probe::Sent { stale, .. } = &mut watched.probe {
                *stale = true;
            }
            // One that waits for its time (`later`) is in no queue.
            let [new, old] = &mut self.turns;
            if known && let Some(at) = old.waiting.iter().position(|other| *other == id) {
                old.waiting.remove(at);
                new.waiting.push_back(id);
            }
        }
        installer.set_mtu(ike, watched.pmtu.mtu());
        self.ask(id);
    }

    /// What was seen of ESP, and how much has travelled.
    pub fn seen(&mut self, now: Duration, seen: &Seen, usage: &[Usage]) {
        usage.iter().for_each(|usage| self.tell(usage.id, |pmtu| pmtu.used(now)));
        for spi_in in &seen.unanswered {
            let Some(child) = self.by_inbound.get(spi_in).copied() else { continue };
            self.tell(child, |pmtu| pmtu.unanswered(now));
        }
    }

    fn tell(&mut self, child: ChildId, what: impl FnOnce(&mut Pmtu)) {
        let Some(id) = self.by_child.get(&child).copied() else { return };
        let Some(watched) = self.paths.get_mut(&id) else { return };
        what(&mut watched.pmtu);
        self.ask(id);
    }

    /// Somebody says by ICMP that a packet was too large. It counts if the packet can have been one of ours: from one end of a path to the other,
    /// with its ports or the SPI of a child there. Where several IKE SAs have these ends one of them asks, and tells the others if it was true.
    pub fn reported(&mut self, now: Duration, report: &Report) {
        let ids = match report.quoted {
            Quoted::Udp { remote, .. } => self.by_remote.get(&SocketAddr::new(report.remote, remote)),
            Quoted::Esp { spi } => self.by_outbound.get(&spi),
        };
        let ours = |id: &&PathId| {
            let Some(Watched { path, .. }) = self.paths.get(id) else { return false };
            let quoted = match report.quoted {
                Quoted::Udp { local, .. } => local == path.local.port(),
                Quoted::Esp { .. } => !path.udp,
            };
            quoted && (report.local, report.remote) == (path.local.ip(), path.remote.ip())
        };
        let ours: Vec<_> = ids.into_iter().flatten().filter(ours).copied().collect();
        if ours.iter().any(|id| self.paths.get(id).is_some_and(|watched| watched.pmtu.is_deaf(now))) {
            return;
        }
        let Some(id) = ours.into_iter().find(|id| self.hint(now, *id, report.mtu)) else { return };
        let Some(remote) = self.paths.get(&id).map(|watched| watched.path.remote) else { return };
        // Another one is the next to ask: the peer of this one may be dead.
        remove(&mut self.by_remote, &remote, id);
        self.by_remote.entry(remote).or_default().push(id);
    }

    /// True if it was listened to.
    fn hint(&mut self, now: Duration, id: PathId, mtu: u16) -> bool {
        let heard = self.paths.get_mut(&id).is_some_and(|watched| watched.pmtu.hint(now, mtu));
        self.ask(id);
        heard
    }

    /// What ICMP has said of this path was true.
    fn pass_on(&mut self, now: Duration, id: PathId, mtu: u16) {
        let Some(path) = self.paths.get(&id).map(|watched| watched.path) else { return };
        for other in self.by_remote.get(&path.remote).cloned().into_iter().flatten() {
            if self.paths.get(&other).is_some_and(|watched| watched.path.local == path.local) {
                self.hint(now, other, mtu);
            }
        }
    }

    /// Routes or devices have changed: they are looked at in the next turns. However often that is, each has its turn.
    pub fn review(&mut self) {
        if self.review.is_empty() {
            self.review = self.paths.keys().copied().collect();
        } else {
            self.again = true;
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) -> Vec<Changed> {
        while let Some((_, id)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.pop_first();
            let known = self.paths.get(&id).is_some_and(|watched| watched.known);
            self.turns[usize::from(known)].waiting.push_back(id);
        }
        let mut changes = Vec::new();
        for _ in 0..LOOKS {
            let Some(id) = self.review.pop_front() else { break };
            let Some(watched) = self.paths.get_mut(&id) else { continue };
            // Without a route nothing is sent, whatever its size.
            let Some(mtu) = (self.ceiling)(&watched.path, self.mark) else { continue };
            let change = watched.pmtu.ceiling(now, mtu);
            changes.extend(change.map(|change| watched.changed(change)));
            self.ask(id);
        }
        if self.review.is_empty() && std::mem::take(&mut self.again) {
            self.review();
        }
        changes
    }

    /// When `tick` or `next_probe` is due.
    pub fn deadline(&self) -> Option<Duration> {
        if !self.review.is_empty() {
            return Some(Duration::ZERO);
        }
        let later = self.later.first().map(|(at, _)| *at);
        self.turns.iter().filter_map(Turns::deadline).chain(later).min()
    }

    /// A probe to be sent: the IKE SA, and octets of the outer packet.
    pub fn next_probe(&mut self, now: Duration) -> Option<(IkeId, u16)> {
        for (known, turns) in [false, true].into_iter().zip(&mut self.turns) {
            while turns.on_their_way.first().is_some_and(|(since, _)| *since + PATIENCE <= now) {
                turns.on_their_way.pop_first();
            }
            while turns.on_their_way.len() < PROBES
                && let Some(id) = turns.waiting.pop_front()
            {
                let Some(watched) = self.paths.get_mut(&id) else { continue };
                let Some(size) = watched.pmtu.wanted() else {
                    watched.probe = Probe::None;
                    continue;
                };
                watched.probe = Probe::Sent { stale: false, known, since: now };
                turns.on_their_way.insert((now, id));
                return Some((watched.ike, size));
            }
        }
        None
    }

    /// What became of a probe of `size` octets, `sent` of which were sent.
    pub fn probed(
        &mut self,
        now: Duration,
        ike: IkeId,
        (size, sent): (u16, u16),
        fits: Option<bool>,
    ) -> Option<Changed> {
        let id = *self.by_ike.get(&ike)?;
        let watched = self.paths.get_mut(&id)?;
        let Probe::Sent { stale, known, since } = watched.probe else { return None };
        self.turns[usize::from(known)].on_their_way.remove(&(since, id));
        watched.probe = Probe::None;
        let Some(fits) = fits.filter(|_| !stale) else {
            watched.probe = Probe::Waits;
            self.later.insert((now + AGAIN * 2_u32.pow(watched.unsent), id));
            watched.unsent = (watched.unsent + 1).min(DOUBLINGS);
            return None;
        };
        (watched.unsent, watched.known) = (0, true);
        tracing::debug!(connection = %watched.connection, remote = %watched.path.remote, size, fits, "path MTU probe");
        let changed = watched.pmtu.probed(now, size, sent, fits).map(|change| watched.changed(change));
        self.ask(id);
        if let Some(Change { new, why: Why::Hint, .. }) = changed.as_ref().map(|changed| changed.change) {
            self.pass_on(now, id, new);
        }
        changed
    }

    /// Lets a path wait for its turn if it wants a probe.
    fn ask(&mut self, id: PathId) {
        let Some(watched) = self.paths.get_mut(&id) else { return };
        if watched.probe == Probe::None && watched.pmtu.wanted().is_some() {
            watched.probe = Probe::Waits;
            self.turns[usize::from(watched.known)].waiting.push_back(id);
        }
    }

    fn forget_child(&mut self, id: PathId, child: Child) {
        self.by_child.remove(&child.id);
        // It may be another child's by now.
        if self.by_inbound.get(&child.spi_in) == Some(&child.id) {
            self.by_inbound.remove(&child.spi_in);
        }
        remove(&mut self.by_outbound, &child.spi_out, id);
    }
}

impl Turns {
    /// Somebody waits, and may go then.
    fn deadline(&self) -> Option<Duration> {
        let first = self.on_their_way.first().filter(|_| !self.waiting.is_empty());
        first.map(|(since, _)| *since + PATIENCE)
    }
}

impl Watched {
    fn changed(&self, change: Change) -> Changed {
        Changed { ike: self.ike, connection: self.connection.clone(), remote: self.path.remote, change }
    }
}

/// One of the paths with this key.
fn remove<K: std::hash::Hash + Eq>(paths: &mut HashMap<K, Vec<PathId>>, key: &K, id: PathId) {
    let Some(with_key) = paths.get_mut(key) else { return };
    if let Some(at) = with_key.iter().position(|other| *other == id) {
        with_key.remove(at);
    }
    if with_key.is_empty() {
        paths.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cipher::Cipher;
    use crate::crypto::rng::SeededRng;
    use crate::crypto::secret::Secret;
    use crate::daemon::places::{Key, Places};
    use crate::ike::event::{DirectionKeys, Ended};
    use crate::ipsec::pmtu::{CONFIRM, DEAF, DOUBT};
    use crate::ipsec::spd::DeviceId;
    use crate::ipsec::tables::Tables;
    use crate::wire::payload::Proposal;
    use crate::wire::registry::ProtocolId;

    const NOW: Duration = Duration::from_secs(100);

    fn end(last: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, last], port).into()
    }
    fn path(last: u8, udp: bool) -> IkePath {
        IkePath { local: end(1, 4500), remote: end(last, 4500), udp, may_move: false }
    }

    struct Bench {
        mtus: Mtus,
        installer: Installer,
        places: Places,
    }
    impl Bench {
        fn new() -> Self {
            let installer = Installer::new(Arc::new(Tables::new()), DeviceId(0), |_, _| 1500, 0);
            Self { mtus: Mtus::new(|_, _| Some(1400), 0), installer, places: Places::new(1, &mut SeededRng::new(1)) }
        }
        /// A child of this IKE SA, towards the peer with the number of the child; its SPI is 1000 and that number.
        fn up(&mut self, ike: u64, id: u64, udp: bool) {
            self.up_to(ike, id, id as u8, udp);
        }
        fn up_to(&mut self, ike: u64, id: u64, last: u8, udp: bool) {
            let (connection, child): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
            let key = Key { connection: connection.clone(), child: child.clone(), peer: id as u32 };
            let keys = || DirectionKeys { encr: Secret::new(vec![7; 20]), integ: Secret::default() };
            let up = ChildUp {
                ike: IkeId(ike),
                id: ChildId(id),
                connection,
                child,
                peer: key.peer,
                spi_in: self.places.allocate_spi(&key, id as u32).unwrap(),
                spi_out: 1000 + id as u32,
                cipher: Cipher::AesGcm128,
                esn: false,
                keys_in: keys(),
                keys_out: keys(),
                transport: false,
                nat_original: None,
                local_ts: vec!["10.1.0.0/16".parse().unwrap()],
                remote_ts: vec!["10.2.0.0/16".parse().unwrap()],
                path: path(last, udp),
                proposal: Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![], transforms: vec![] },
                initiator: true,
                replaces: None,
                resource: None,
                inbound_only: false,
            };
            self.installer.child_up(NOW, &up, &mut self.places, &mut SeededRng::new(1));
            self.mtus.child_up(NOW, &up, &self.installer);
        }
        fn down(&mut self, ike: u64, id: u64) {
            self.mtus.child_down(ChildId(id));
            self.installer.child_down(NOW, ChildId(id), Ended::ByPeer, &mut self.places);
            self.mtus.ike_down(IkeId(ike));
            self.installer.ike_down(IkeId(ike));
        }
        fn probed(&mut self, ike: u64, size: u16, fits: Option<bool>) -> Option<(u16, Why)> {
            let changed = self.mtus.probed(NOW, IkeId(ike), (size, size), fits)?;
            Some((changed.change.new, changed.change.why))
        }
        /// The first probe is answered.
        fn proven(&mut self, ike: u64) {
            assert_eq!(self.mtus.next_probe(NOW), Some((IkeId(ike), 1500)));
            assert_eq!(self.probed(ike, 1500, Some(true)), None);
            assert_eq!(self.mtus.next_probe(NOW), None);
        }
        fn hint(&mut self, quoted: Quoted, from: SocketAddr, to: SocketAddr) -> Option<(IkeId, u16)> {
            let report = Report { local: from.ip(), remote: to.ip(), quoted, mtu: 1300 };
            self.mtus.reported(NOW, &report);
            self.mtus.next_probe(NOW)
        }
        fn is_empty(&self) -> bool {
            let Mtus { paths, by_ike, by_remote, by_child, by_inbound, by_outbound, turns, .. } = &self.mtus;
            let maps = by_child.is_empty()
                && paths.is_empty()
                && by_ike.is_empty()
                && by_remote.is_empty()
                && by_inbound.is_empty();
            maps && by_outbound.is_empty() && turns.iter().all(|turns| turns.on_their_way.is_empty())
        }
    }

    #[test]
    fn a_path_is_probed_when_it_comes_and_forgotten_when_it_goes() {
        let mut bench = Bench::new();
        bench.up(1, 2, true);
        bench.up(2, 3, false);
        assert_eq!(
            (bench.mtus.next_probe(NOW), bench.mtus.next_probe(NOW)),
            (Some((IkeId(1), 1500)), Some((IkeId(2), 1500)))
        );
        assert_eq!(bench.mtus.next_probe(NOW), None, "one at a time");
        assert_eq!(bench.probed(1, 1500, Some(false)), None);
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(1), 1380)));
        assert_eq!(bench.probed(1, 1380, Some(true)), Some((1380, Why::Probe)));
        bench.down(1, 2);
        assert_eq!(bench.mtus.next_probe(NOW), None);
        bench.down(2, 3);
        assert!(bench.is_empty(), "{:?}", bench.mtus);
    }

    #[test]
    fn only_packets_of_ours_are_a_reason_to_look() {
        let mut bench = Bench::new();
        bench.up(1, 2, true);
        bench.up(2, 3, false);
        assert!(bench.mtus.next_probe(NOW).is_some() && bench.mtus.next_probe(NOW).is_some());
        bench.probed(1, 1500, Some(true));
        bench.probed(2, 1500, Some(true));
        let udp = |local, remote| Quoted::Udp { local, remote };
        for (quoted, from, to) in [
            (udp(4500, 4501), end(1, 0), end(2, 0)),
            (udp(4501, 4500), end(1, 0), end(2, 0)),
            (udp(4500, 4500), end(9, 0), end(2, 0)),
            (udp(4500, 4500), end(1, 0), end(9, 0)),
            (udp(4500, 4500), end(2, 0), end(1, 0)),
            (Quoted::Esp { spi: 1002 }, end(1, 0), end(2, 0)),
            (Quoted::Esp { spi: 1002 }, end(1, 0), end(3, 0)),
            (Quoted::Esp { spi: 1009 }, end(1, 0), end(3, 0)),
            (Quoted::Esp { spi: 1003 }, end(9, 0), end(3, 0)),
        ] {
            assert_eq!(bench.hint(quoted, from, to), None, "{quoted:?} {from} {to}");
        }
        assert_eq!(bench.hint(udp(4500, 4500), end(1, 0), end(2, 0)), Some((IkeId(1), 1500)));
        assert_eq!(bench.hint(Quoted::Esp { spi: 1003 }, end(1, 0), end(3, 0)), Some((IkeId(2), 1500)));
        assert_eq!(bench.probed(1, 1500, Some(true)), None);
        assert_eq!(bench.probed(2, 1500, Some(false)), None);
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(2), 1300)));
        assert_eq!(bench.probed(2, 1300, Some(true)), Some((1300, Why::Hint)));
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(2), 1308)));
        assert_eq!(bench.probed(2, 1308, Some(false)), None);
        assert_eq!(bench.hint(Quoted::Esp { spi: 1003 }, end(1, 0), end(3, 0)), None, "it is as small");
        bench.mtus.child_down(ChildId(3));
        assert_eq!(bench.mtus.by_outbound.get(&1003), None);
    }

    /// A reload takes a child out of the tables before its end is told; and its SPI may be another's by then.
    #[test]
    fn a_child_is_forgotten_whatever_the_tables_say() {
        let mut bench = Bench::new();
        bench.up(1, 2, false);
        let spi_in = bench.installer.get(ChildId(2)).unwrap().terms.spi_in;
        bench.installer.child_down(NOW, ChildId(2), Ended::ByPeer, &mut bench.places);
        bench.mtus.by_inbound.insert(spi_in, ChildId(9));
        bench.mtus.child_down(ChildId(2));
        assert_eq!(bench.mtus.by_inbound.remove(&spi_in), Some(ChildId(9)));
        bench.mtus.next_probe(NOW);
        assert!(bench.mtus.by_child.is_empty() && bench.mtus.by_outbound.is_empty());
        bench.mtus.ike_down(IkeId(1));
        assert!(bench.is_empty());
    }

    /// Whoever forges a message costs us one probe, however many IKE SAs there are between the two ends.
    #[test]
    fn one_path_asks_for_all_between_the_same_ends() {
        let mut bench = Bench::new();
        for ike in [1, 2, 3] {
            bench.up_to(ike, ike, 9, true);
            bench.proven(ike);
        }
        let hint = |bench: &mut Bench, now| {
            let quoted = Quoted::Udp { local: 4500, remote: 4500 };
            let report = Report { local: end(1, 0).ip(), remote: end(9, 0).ip(), quoted, mtu: 1300 };
            bench.mtus.reported(now, &report);
            std::iter::from_fn(|| bench.mtus.next_probe(NOW)).map(|(ike, _)| ike.0).collect::<Vec<_>>()
        };
        assert_eq!(hint(&mut bench, NOW), [1]);
        assert_eq!(hint(&mut bench, NOW), [0; 0]);
        assert_eq!(bench.probed(1, 1500, Some(true)), None);
        assert_eq!(hint(&mut bench, NOW), [0; 0], "it was wrong");
        // Each has its turn: that one's peer may be dead.
        assert_eq!(hint(&mut bench, NOW + DEAF), [2]);
        assert_eq!(bench.probed(2, 1500, Some(false)), None);
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(2), 1300)));
        assert!(bench.mtus.probed(NOW + DEAF, IkeId(2), (1300, 1300), Some(true)).is_some());
        let others: Vec<_> = std::iter::from_fn(|| bench.mtus.next_probe(NOW)).collect();
        assert_eq!(others, [(IkeId(2), 1308), (IkeId(3), 1500), (IkeId(1), 1500)], "it was true");
    }

    /// Thousands that come up together take turns.
    #[test]
    fn so_many_probes_are_on_their_way_and_no_more() {
        let mut bench = Bench::new();
        let count = 2 * PROBES as u64;
        (1..=count).for_each(|n| bench.up(n, n, true));
        let sent: Vec<_> = std::iter::from_fn(|| bench.mtus.next_probe(NOW)).collect();
        assert_eq!(sent.len(), PROBES);
        assert_eq!(bench.probed(1, 1500, Some(true)), None);
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(PROBES as u64 + 1), 1500)));
        bench.down(2, 2);
        assert!(bench.mtus.next_probe(NOW).is_some(), "it went with its probe");
        assert_eq!(bench.mtus.next_probe(NOW), None);
    }

    /// Whose peers are dead hold what they have for minutes.
    #[test]
    fn doubts_about_dead_peers_keep_no_new_path_waiting() {
        let mut bench = Bench::new();
        let count = PROBES as u64;
        (1..=count).for_each(|n| bench.up(n, n, true));
        while let Some((ike, _)) = bench.mtus.next_probe(NOW) {
            bench.probed(ike.0, 1500, Some(true));
        }
        let unanswered = (1..=count).map(|n| bench.installer.get(ChildId(n)).unwrap().terms.spi_in).collect();
        bench.mtus.seen(NOW + DOUBT, &Seen { unanswered, ..Seen::default() }, &[]);
        assert_eq!(std::iter::from_fn(|| bench.mtus.next_probe(NOW)).count(), PROBES);
        bench.up(count + 1, count + 1, true);
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(count + 1), 1500)));
        assert_eq!((bench.mtus.next_probe(NOW), bench.mtus.deadline()), (None, None));
    }

    /// Of another path nothing is known, whatever was known of the one before it: it leaves the queue of those.
    #[test]
    fn doubts_about_dead_peers_keep_nobody_waiting_who_has_moved() {
        let mut bench = Bench::new();
        let count = PROBES as u64 + 2;
        (1..=count).for_each(|n| bench.up(n, n, true));
        while let Some((ike, _)) = bench.mtus.next_probe(NOW) {
            bench.probed(ike.0, 1500, Some(true));
        }
        let unanswered = (1..count).map(|n| bench.installer.get(ChildId(n)).unwrap().terms.spi_in).collect();
        bench.mtus.seen(NOW + DOUBT, &Seen { unanswered, ..Seen::default() }, &[]);
        assert_eq!(std::iter::from_fn(|| bench.mtus.next_probe(NOW)).count(), PROBES);
        // One of them waits, the other has nothing to ask until then.
        for ike in [count - 1, count] {
            let path = IkePath { remote: end(201, 4500), ..path(2, true) };
            bench.installer.path_changed(IkeId(ike), &path);
            bench.mtus.path_changed(NOW, IkeId(ike), &path, &mut bench.installer);
            assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(ike), 1500)));
            assert_eq!((bench.mtus.next_probe(NOW), bench.mtus.deadline()), (None, None));
        }
        (1..=count).for_each(|n| bench.down(n, n));
        assert!(bench.is_empty());
    }

    /// Nor does it keep doubts about living ones waiting for so long.
    #[test]
    fn a_probe_without_an_answer_does_not_count_for_long_and_is_heard_late() {
        let mut bench = Bench::new();
        let count = PROBES as u64 + 1;
        (1..=count).for_each(|n| bench.up(n, n, true));
        while bench.mtus.next_probe(NOW).is_some() {}
        assert_eq!(bench.mtus.deadline(), Some(NOW + PATIENCE));
        assert_eq!(bench.mtus.next_probe(NOW + PATIENCE - Duration::from_millis(1)), None);
        assert_eq!(bench.mtus.next_probe(NOW + PATIENCE), Some((IkeId(count), 1500)));
        assert_eq!((bench.mtus.next_probe(NOW + PATIENCE), bench.mtus.deadline()), (None, None));
        assert_eq!(bench.probed(1, 1500, Some(false)), None);
        assert_eq!(bench.mtus.next_probe(NOW + PATIENCE), Some((IkeId(1), 1380)), "and once at a time");
        assert_eq!(bench.mtus.next_probe(NOW + PATIENCE), None);
        (1..=count).for_each(|n| bench.down(n, n));
        assert!(bench.is_empty());
    }

    #[test]
    fn a_probe_that_was_not_sent_is_sent_later() {
        let mut bench = Bench::new();
        bench.up(1, 2, true);
        bench.mtus.next_probe(NOW);
        assert_eq!(bench.probed(1, 1500, None), None);
        assert_eq!((bench.mtus.next_probe(NOW), bench.mtus.deadline()), (None, Some(NOW + AGAIN)));
        assert!(bench.mtus.tick(NOW + AGAIN).is_empty());
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(1), 1500)));
        // Nor is one that the IKE SA had no answer to when it was rekeyed.
        bench.mtus.ike_rekeyed(IkeId(1), IkeId(7));
        bench.installer.ike_rekeyed(IkeId(1), IkeId(7));
        assert_eq!(bench.probed(1, 1500, None), None);
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(7), 1500)));
        assert_eq!(bench.probed(7, 1500, None), None);
        assert_eq!(bench.mtus.deadline(), Some(NOW + 2 * AGAIN), "less and less often");
        bench.down(7, 2);
        assert!(bench.is_empty());
    }

    #[test]
    fn another_port_is_the_same_path_and_another_address_is_not() {
        let mut bench = Bench::new();
        bench.up(1, 2, true);
        bench.mtus.next_probe(NOW);
        assert_eq!(bench.probed(1, 1500, Some(false)), None);
        bench.mtus.next_probe(NOW);
        assert!(bench.probed(1, 1380, Some(true)).is_some());
        let change = |bench: &mut Bench, remote| {
            let path = IkePath { remote, ..path(2, true) };
            bench.installer.path_changed(IkeId(1), &path);
            bench.mtus.path_changed(NOW, IkeId(1), &path, &mut bench.installer);
            bench.installer.outer_path(IkeId(1)).unwrap().mtu
        };
        assert_eq!(change(&mut bench, end(2, 4999)), 1380);
        assert_eq!(bench.mtus.next_probe(NOW), Some((IkeId(1), 1500)));
        assert_eq!(change(&mut bench, end(8, 4500)), 1500);
        assert_eq!(bench.probed(1, 1500, Some(true)), None);
        assert_eq!(bench.mtus.next_probe(NOW), None, "its answer may be that of the old path");
        bench.mtus.tick(NOW + AGAIN);
        bench.proven(1);
        assert_eq!(bench.hint(Quoted::Udp { local: 4500, remote: 4500 }, end(1, 0), end(2, 0)), None);
        assert!(bench.hint(Quoted::Udp { local: 4500, remote: 4500 }, end(1, 0), end(8, 0)).is_some());
    }

    #[test]
    fn traffic_keeps_a_path_under_watch() {
        let mut bench = Bench::new();
        bench.up(1, 2, true);
        bench.proven(1);
        let spi = bench.installer.get(ChildId(2)).unwrap().terms.spi_in;
        let usage = [Usage { id: ChildId(2), bytes: 1, packets: 1, sequence_permille: 0 }];
        let silence = Seen { unanswered: vec![spi], ..Seen::default() };
        let mtus = &mut bench.mtus;
        mtus.seen(NOW + CONFIRM / 2, &Seen::default(), &usage);
        assert_eq!(mtus.next_probe(NOW), None);
        mtus.seen(NOW + CONFIRM, &Seen::default(), &usage);
        assert_eq!(mtus.next_probe(NOW), Some((IkeId(1), 1500)));
        mtus.probed(NOW, IkeId(1), (1500, 1500), Some(true));
        mtus.seen(NOW + DOUBT, &silence, &[]);
        assert_eq!(mtus.next_probe(NOW), Some((IkeId(1), 1500)));
    }

    #[test]
    fn routes_are_looked_at_again_a_few_at_a_time() {
        let mut bench = Bench::new();
        let count = LOOKS as u64 + 3;
        (1..=count).for_each(|n| bench.up(n, n, true));
        assert!(bench.mtus.tick(NOW).is_empty() && bench.mtus.deadline().is_none());
        bench.mtus.review();
        let first = bench.mtus.tick(NOW);
        assert_eq!(first.len(), LOOKS);
        let Changed { change, remote, .. } = &first[0];
        assert_eq!((*change, remote.ip().is_ipv4()), (Change { old: 1500, new: 1400, why: Why::Route }, true));
        assert_eq!(bench.mtus.deadline(), Some(Duration::ZERO));
        assert_eq!((bench.mtus.tick(NOW).len(), bench.mtus.deadline()), (3, None));
    }

    #[test]
    fn routes_that_change_all_the_time_keep_no_path_from_its_turn() {
        let mut bench = Bench::new();
        let count = 2 * LOOKS as u64;
        (1..=count).for_each(|n| bench.up(n, n, true));
        for _ in 0..2 {
            bench.mtus.review();
            assert_eq!(bench.mtus.tick(NOW).len(), LOOKS);
        }
        // What came meanwhile is looked at behind that.
        assert_eq!(bench.mtus.deadline(), Some(Duration::ZERO));
        assert!(bench.mtus.tick(NOW).is_empty() && bench.mtus.tick(NOW).is_empty());
        assert_eq!(bench.mtus.deadline(), None);
    }
}
