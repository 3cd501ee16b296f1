//! The MTU of each outer path: which [`Pmtu`] hears what, and whose probe goes out next. A path is that of an IKE SA and its children, and stays
//! itself over rekeys.
use super::install::Installer;
use crate::ike::event::{ChildId, ChildUp, IkeId, IkePath, Seen, Usage};
use crate::io::icmp_watch::{Quoted, Report};
use crate::ipsec::pmtu::{Change, Pmtu};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Probes that are on their way at a time, of all IKE SAs: when thousands come up at once, others wait.
const PROBES: usize = 128;
/// A probe that could not be sent is sent again after this time.
const AGAIN: Duration = Duration::from_secs(1);
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
    by_inbound: HashMap<u32, PathId>,
    by_outbound: HashMap<u32, Vec<PathId>>,
    /// They want a probe.
    waiting: VecDeque<PathId>,
    /// Their probe was not sent, and is due then.
    later: VecDeque<(Duration, PathId)>,
    on_their_way: usize,
    /// Their routes are to be looked at.
    review: VecDeque<PathId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PathId(u64);

#[derive(Debug)]
struct Watched {
    ike: IkeId,
    connection: Arc<str>,
    path: IkePath,
    pmtu: Pmtu,
    probe: Probe,
    /// SPIs, inbound and outbound.
    children: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    None,
    /// In one of the queues.
    Waits,
    /// Its fate says nothing if it was sent on another path than the present one.
    Sent { stale: bool },
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
            by_inbound: HashMap::new(),
            by_outbound: HashMap::new(),
            waiting: VecDeque::new(),
            later: VecDeque::new(),
            on_their_way: 0,
            review: VecDeque::new(),
        }
    }

    /// A child is installed, the first of its path or another one.
    pub fn child_up(&mut self, now: Duration, up: &ChildUp, installer: &Installer) {
        let id = match self.by_ike.get(&up.ike) {
            Some(id) => *id,
            None => {
                let Some(path) = installer.path_of(up.ike) else { return };
                self.last += 1;
                let id = PathId(self.last);
                let watched = Watched {
                    ike: up.ike,
                    connection: up.connection.clone(),
                    path: up.path,
                    pmtu: Pmtu::new(now, path.mtu, path.remote.is_ipv6()),
                    probe: Probe::None,
                    children: Vec::new(),
                };
                self.paths.insert(id, watched);
                self.by_ike.insert(up.ike, id);
                self.by_remote.entry(up.path.remote).or_default().push(id);
                id
            }
        };
        if let Some(watched) = self.paths.get_mut(&id) {
            watched.children.push((up.spi_in, up.spi_out));
            self.by_inbound.insert(up.spi_in, id);
            self.by_outbound.entry(up.spi_out).or_default().push(id);
        }
        self.ask(id);
    }

    /// It is about to be taken out of the tables.
    pub fn child_down(&mut self, child: ChildId, installer: &Installer) {
        let Some(spi_in) = installer.get(child).map(|sa| sa.terms.spi_in) else { return };
        let Some(id) = self.by_inbound.get(&spi_in).copied() else { return };
        let Some(watched) = self.paths.get_mut(&id) else { return };
        if let Some(at) = watched.children.iter().position(|(inbound, _)| *inbound == spi_in) {
            let spis = watched.children.swap_remove(at);
            self.forget_child(id, spis);
        }
    }

    /// Another IKE SA has the path.
    pub fn ike_rekeyed(&mut self, old: IkeId, new: IkeId) {
        let Some(id) = self.by_ike.remove(&old) else { return };
        let Some(watched) = self.paths.get_mut(&id) else { return };
        watched.ike = new;
        self.by_ike.insert(new, id);
        // The answer would name the old one, and is not waited for.
        if let Probe::Sent { .. } = watched.probe {
            watched.probe = Probe::None;
            self.on_their_way -= 1;
            self.ask(id);
        }
    }

    /// It is gone, and its path with it.
    pub fn ike_down(&mut self, ike: IkeId) {
        let Some(id) = self.by_ike.remove(&ike) else { return };
        let Some(watched) = self.paths.remove(&id) else { return };
        if let Probe::Sent { .. } = watched.probe {
            self.on_their_way -= 1;
        }
        remove(&mut self.by_remote, &watched.path.remote, id);
        watched.children.into_iter().for_each(|spis| self.forget_child(id, spis));
    }

    /// The path of an IKE SA leads elsewhere: of another one nothing is known. Behind the same addresses with another port it is the same.
    pub fn path_changed(&mut self, now: Duration, ike: IkeId, path: &IkePath, installer: &mut Installer) {
        let Some(id) = self.by_ike.get(&ike).copied() else { return };
        let Some(watched) = self.paths.get_mut(&id) else { return };
        let before = std::mem::replace(&mut watched.path, *path);
        remove(&mut self.by_remote, &before.remote, id);
        self.by_remote.entry(path.remote).or_default().push(id);
        if (before.local.ip(), before.remote.ip()) != (path.local.ip(), path.remote.ip())
            && let Some(new) = installer.path_of(ike)
        {
            watched.pmtu = Pmtu::new(now, new.mtu, new.remote.is_ipv6());
            if let Probe::Sent { stale } = &mut watched.probe {
                *stale = true;
            }
        }
        installer.set_mtu(ike, watched.pmtu.mtu());
        self.ask(id);
    }

    /// What was seen of ESP, and how much has travelled.
    pub fn seen(&mut self, now: Duration, seen: &Seen, usage: &[Usage], installer: &Installer) {
        let used = usage.iter().filter_map(|usage| Some(installer.get(usage.id)?.terms.spi_in));
        let used: Vec<_> = used.map(|spi| (spi, Pmtu::used as fn(&mut Pmtu, Duration))).collect();
        let unanswered = seen.unanswered.iter().map(|spi| (*spi, Pmtu::unanswered as _));
        for (spi, hear) in used.into_iter().chain(unanswered) {
            let Some(id) = self.by_inbound.get(&spi).copied() else { continue };
            let Some(watched) = self.paths.get_mut(&id) else { continue };
            hear(&mut watched.pmtu, now);
            self.ask(id);
        }
    }

    /// Somebody says by ICMP that a packet was too large. It counts if the packet can have been one of ours: from one end of a path to the other,
    /// with its ports or the SPI of a child there.
    pub fn reported(&mut self, now: Duration, report: &Report) {
        let ids = match report.quoted {
            Quoted::Udp { remote, .. } => self.by_remote.get(&SocketAddr::new(report.remote, remote)),
            Quoted::Esp { spi } => self.by_outbound.get(&spi),
        };
        for id in ids.cloned().into_iter().flatten() {
            let Some(watched) = self.paths.get_mut(&id) else { continue };
            let path = watched.path;
            let ours = match report.quoted {
                Quoted::Udp { local, .. } => local == path.local.port(),
                Quoted::Esp { .. } => !path.udp,
            };
            if ours && (report.local, report.remote) == (path.local.ip(), path.remote.ip()) {
                watched.pmtu.hint(now, report.mtu);
                self.ask(id);
            }
        }
    }

    /// Routes or devices have changed: they are looked at in the next turns.
    pub fn review(&mut self) {
        self.review = self.paths.keys().copied().collect();
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) -> Vec<Changed> {
        while let Some((_, id)) = self.later.pop_front_if(|(at, _)| *at <= now) {
            self.waiting.push_back(id);
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
        changes
    }

    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Duration> {
        if !self.review.is_empty() {
            return Some(Duration::ZERO);
        }
        self.later.front().map(|(at, _)| *at)
    }

    /// A probe to be sent: the IKE SA, and octets of the outer packet.
    pub fn next(&mut self) -> Option<(IkeId, u16)> {
        while self.on_their_way < PROBES {
            let id = self.waiting.pop_front()?;
            let Some(watched) = self.paths.get_mut(&id) else { continue };
            let Some(size) = watched.pmtu.wanted() else {
                watched.probe = Probe::None;
                continue;
            };
            watched.probe = Probe::Sent { stale: false };
            self.on_their_way += 1;
            return Some((watched.ike, size));
        }
        None
    }

    /// What became of a probe.
    pub fn probed(&mut self, now: Duration, ike: IkeId, size: u16, fits: Option<bool>) -> Option<Changed> {
        let id = *self.by_ike.get(&ike)?;
        let watched = self.paths.get_mut(&id)?;
        let Probe::Sent { stale } = watched.probe else { return None };
        self.on_their_way -= 1;
        watched.probe = Probe::None;
        let Some(fits) = fits.filter(|_| !stale) else {
            watched.probe = Probe::Waits;
            self.later.push_back((now + AGAIN, id));
            return None;
        };
        tracing::debug!(connection = %watched.connection, remote = %watched.path.remote, size, fits, "path MTU probe");
        let changed = watched.pmtu.probed(now, size, fits).map(|change| watched.changed(change));
        self.ask(id);
        changed
    }

    /// Lets a path wait for its turn if it wants a probe.
    fn ask(&mut self, id: PathId) {
        let Some(watched) = self.paths.get_mut(&id) else { return };
        if watched.probe == Probe::None && watched.pmtu.wanted().is_some() {
            watched.probe = Probe::Waits;
            self.waiting.push_back(id);
        }
    }

    fn forget_child(&mut self, id: PathId, (spi_in, spi_out): (u32, u32)) {
        self.by_inbound.remove(&spi_in);
        remove(&mut self.by_outbound, &spi_out, id);
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
        with_key.swap_remove(at);
    }
    if with_key.is_empty() {
        paths.remove(key);
    }
}
