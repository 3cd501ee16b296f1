//! What is wanted of one connection, and what has become of it.
use super::diagnose::Failure;
use super::directory::canonical;
use super::event::IkeId;
use super::policy::{Connection, Remote, StartAction};
use super::ways::{Home, Stuck, Way};
use crate::frozen::frozen;
use crate::wire::message::IkeSpi;
use crate::wire::payload::Id;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// So many things are told of what works.
const MAX_NOTICES: usize = 16;

/// A connection at run time.
pub(super) struct Link {
    pub connection: Arc<Connection>,
    /// One per child, in its order.
    pub wishes: Vec<Wish>,
    /// It is held down, and this is wanted when it is released.
    pub held: Option<Vec<Wish>>,
    /// Its IKE SAs, from the first request on if we initiate, from IKE_AUTH on if we respond.
    pub sas: BTreeSet<IkeId>,
    pub last_failure: Option<Failure>,
    /// What is not as it should be with what works.
    pub notices: Vec<Failure>,
    /// Attempts to set up an IKE SA.
    pub ike: Retry,
    /// The last attempt failed, and nothing has come up since.
    pub failed: bool,
    /// No larger probes than this are risked until then.
    pub fragile: Option<(u16, Duration)>,
    /// Which of the ways is tried next.
    pub next_way: usize,
    /// Attempts that we have begun, and where each goes.
    pub tries: BTreeMap<IkeId, Way>,
    /// Where one of those has failed while there were others: nobody tries that again before there are none.
    pub given_up: Vec<Way>,
    /// There is no way, and why: a name is asked for, or was and has no address, or the host has none.
    pub stuck: Option<Stuck>,
    /// When the first of our own addresses is tried again.
    pub home: Home,
    /// Established IKE SAs by peer.
    peers: HashMap<Id, Peer>,
    /// Whose an established IKE SA is.
    peer_of: HashMap<IkeId, Id>,
    /// Numbers of peers that are gone, below the highest one in use or used before.
    free: BTreeSet<u32>,
}
#[derive(Default)]
struct Peer {
    number: u32,
    /// One, as a rule.
    sas: Vec<Sibling>,
}
frozen! {
    struct Link {
        connection, wishes, held, sas, last_failure, notices, ike, failed, fragile, next_way, tries, given_up, stuck, home, peers,
        peer_of, free
    }
    struct Peer { number, sas }
}
/// An established IKE SA with the same peer.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    pub ike: IkeId,
    /// What we call ourselves.
    pub local: Id,
    pub created: Duration,
    pub since: Duration,
    /// Of the one that was authenticated, whatever it was rekeyed to: by it both ends know which of two goes.
    pub spi_i: IkeSpi,
    /// We began that one.
    pub initiator: bool,
}
/// What is wanted of one child.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    /// It shall be up.
    pub wanted: bool,
    /// It is tried until it is up, again and again.
    pub persistent: bool,
    /// A packet for it brings it up.
    pub trap: bool,
    /// The user took it down, and only the user brings it up again.
    pub down: bool,
    /// Its group was tried since the configuration is as it is (peers.md).
    pub rehearsed: bool,
    pub retry: Retry,
}
/// When the next attempt may be made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    pub at: Duration,
    pub failures: u32,
}
impl Retry {
    /// The wait doubles from 1 s to 60 s.
    pub(super) fn failed(&mut self, now: Duration) {
        self.at = now + Duration::from_secs(1 << self.failures.min(6)).min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
    }
    pub(super) fn now(now: Duration) -> Self {
        Self { at: now, failures: 0 }
    }
}

impl Link {
    /// What its configuration wants of it.
    pub(super) fn new(connection: Arc<Connection>, now: Duration) -> Self {
        let ours = !connection.remote_addrs.contains(&Remote::Any) && !connection.remote_addrs.is_empty();
        let wish = |start| {
            let wanted = ours && start == StartAction::Start;
            Wish {
                wanted,
                persistent: wanted,
                trap: start != StartAction::None,
                retry: Retry::now(now),
                ..Wish::default()
            }
        };
        Self {
            wishes: connection.children.iter().map(|c| wish(c.start)).collect(),
            held: None,
            connection,
            sas: BTreeSet::new(),
            last_failure: None,
            notices: Vec::new(),
            ike: Retry::now(now),
            failed: false,
            fragile: None,
            next_way: 0,
            tries: BTreeMap::new(),
            given_up: Vec::new(),
            stuck: None,
            home: Home::default(),
            peers: HashMap::new(),
            peer_of: HashMap::new(),
            free: BTreeSet::new(),
        }
    }
    /// Another configuration of the same connection: what was wanted of a child that stays is wanted still, unless it shall begin otherwise. What
    /// waited after a failure waits no longer. `up`: which of its children are.
    pub(super) fn adopt(&mut self, connection: Arc<Connection>, now: Duration, up: &[bool]) {
        let held = self.held.take();
        let is_held = held.is_some();
        let before = held.unwrap_or_else(|| std::mem::take(&mut self.wishes));
        let mut wishes = Self::new(connection.clone(), now).wishes;
        for ((policy, wish), up) in connection.children.iter().zip(&mut wishes).zip(up) {
            let mut of_it = self.connection.children.iter().zip(&before);
            let Some((was, old)) = of_it.find(|(was, _)| was.name == policy.name) else { continue };
            let rehearsed = old.rehearsed && was.proposals == policy.proposals;
            let kept = match was.start == policy.start {
                true => old.clone(),
                false => Wish {
                    wanted: wish.wanted || old.wanted && *up,
                    down: old.down && policy.start != StartAction::Start,
                    ..wish.clone()
                },
            };
            *wish = Wish { rehearsed, retry: Retry::now(now), ..kept };
        }
        (self.wishes, self.connection) = (wishes, connection);
        (self.ike, self.next_way, self.stuck, self.home) = (Retry::now(now), 0, None, Home::default());
        self.given_up.clear();
        if is_held {
            self.hold();
        }
    }
    /// Remembers what is to be told as long as it is so; true if it is new.
    pub(super) fn notice(&mut self, failure: &Failure) -> bool {
        let about = |known: &Failure| known.code == failure.code && known.child == failure.child;
        let same = |known: &Failure| known.local == failure.local && known.peer == failure.peer;
        let known = self.notices.iter().position(about).map(|at| self.notices.remove(at));
        if known.is_none() && self.notices.len() == MAX_NOTICES {
            self.notices.remove(0);
        }
        let news = known.filter(same);
        self.notices.push(news.clone().unwrap_or_else(|| failure.clone()));
        news.is_none()
    }
    /// What was told of this child is so no more; true if anything was.
    pub(super) fn settled(&mut self, child: &str) -> bool {
        let before = self.notices.len();
        self.notices.retain(|known| known.child.as_deref() != Some(child));
        self.notices.len() < before
    }
    /// True if we can begin: a peer that may be anywhere has to come to us.
    pub(super) fn can_initiate(&self) -> bool {
        self.connection.remote_addrs.iter().any(|r| !matches!(r, Remote::Any))
    }
    /// The wish for a child, by name.
    pub(super) fn wish(&mut self, child: &str) -> Option<&mut Wish> {
        let i = self.connection.children.iter().position(|c| &*c.name == child)?;
        self.wishes.get_mut(i)
    }
    /// Nothing is wanted until it is released.
    pub(super) fn hold(&mut self) {
        let before = self.wishes.clone();
        self.held.get_or_insert(before);
        for wish in &mut self.wishes {
            (wish.wanted, wish.persistent, wish.down) = (false, false, true);
        }
    }
    /// What was wanted before it was held down is wanted again.
    pub(super) fn release(&mut self, now: Duration) {
        let Some(before) = self.held.take() else { return };
        self.wishes = before;
        self.wishes.iter_mut().for_each(|wish| wish.retry = Retry::now(now));
        self.ike = Retry::now(now);
    }
    /// An attempt has failed: what was asked for once is given up, the rest waits.
    pub(super) fn attempt_failed(&mut self, now: Duration) {
        self.failed = true;
        self.ike.failed(now);
        for wish in &mut self.wishes {
            wish.wanted = wish.persistent;
        }
    }
    /// Established IKE SAs between these two: under another name of ours it is another pair (RFC 7296 section 2.4).
    pub(super) fn of_pair(&self, local: &Id, remote: &Id) -> Vec<Sibling> {
        let (local, peer) = (canonical(local), self.peers.get(&canonical(remote)));
        let sas = peer.into_iter().flat_map(|peer| &peer.sas);
        sas.filter(|sa| canonical(&sa.local) == local).cloned().collect()
    }
    /// An IKE SA with this peer is established. Returns the peer's number: 0, but for peers of `%any`.
    pub(super) fn established(&mut self, sa: Sibling, id: &Id) -> u32 {
        self.failed = false;
        self.ike.at = sa.since;
        self.sas.insert(sa.ike);
        self.tries.remove(&sa.ike);
        self.given_up.clear();
        self.next_way = 0;
        let many = self.connection.remote_addrs.contains(&Remote::Any);
        let id = canonical(id);
        let next = (self.peers.len() + self.free.len()) as u32 + 1;
        let peer = self.peers.entry(id.clone()).or_insert_with(|| {
            let number = if many { self.free.pop_first().unwrap_or(next) } else { 0 };
            Peer { number, sas: Vec::new() }
        });
        self.peer_of.insert(sa.ike, id);
        peer.sas.reserve_exact(1);
        peer.sas.push(sa);
        peer.number
    }
    /// An IKE SA is gone.
    pub(super) fn closed(&mut self, ike: IkeId) {
        self.sas.remove(&ike);
        self.tries.remove(&ike);
        if self.tries.is_empty() {
            self.given_up.clear();
        }
        let Some(id) = self.peer_of.remove(&ike) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.sas.retain(|sa| sa.ike != ike);
        if peer.sas.is_empty() {
            if peer.number > 0 {
                self.free.insert(peer.number);
            }
            self.peers.remove(&id);
        }
    }
    /// An IKE SA was rekeyed: the new one stands where the old one stood.
    pub(super) fn rekeyed(&mut self, old: IkeId, new: IkeId) {
        if self.sas.remove(&old) {
            self.sas.insert(new);
        }
        let Some(id) = self.peer_of.remove(&old) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(sibling) = peer.sas.iter_mut().find(|sa| sa.ike == old) {
            sibling.ike = new;
        }
        self.peer_of.insert(new, id);
    }
    /// It has an established IKE SA.
    pub(super) fn is_up(&self) -> bool {
        !self.peers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::registry::IdType;

    #[test]
    fn the_lowest_free_number_is_a_new_peers() {
        let mut link = Link::new(Arc::new(connection()), Duration::ZERO);
        let id = |n: u64| Id { kind: IdType::KEY_ID, data: n.to_be_bytes().into() };
        let (us, others) = (id(100), id(101));
        let sibling = |n| Sibling {
            ike: IkeId(n),
            local: us.clone(),
            created: Duration::ZERO,
            since: Duration::ZERO,
            spi_i: IkeSpi([1; 8]),
            initiator: false,
        };
        let numbers: Vec<u32> = (1..=5).map(|n| link.established(sibling(n), &id(n))).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(link.established(sibling(6), &id(2)), 2, "the same peer again");
        for gone in [2, 4, 5] {
            link.closed(IkeId(gone));
        }
        assert_eq!((link.of_pair(&us, &id(2)).len(), link.of_pair(&others, &id(2)).len()), (1, 0));
        assert_eq!([7, 8, 9].map(|n| link.established(sibling(n), &id(n))), [4, 5, 6]);
        (1..10).for_each(|n| link.closed(IkeId(n)));
        assert!(!link.is_up() && link.established(sibling(10), &id(10)) == 1);
    }
    fn connection() -> Connection {
        Connection {
            name: "any".into(),
            local_addrs: Vec::new(),
            remote_addrs: vec![Remote::Any],
            proposals: Vec::new(),
            local_id: None,
            remote_id: super::super::policy::IdMatch::Any,
            encap: Default::default(),
            dpd_delay: Duration::ZERO,
            keepalive: Duration::ZERO,
            rekey_time: Duration::ZERO,
            local_auth: Default::default(),
            remote_auth: Default::default(),
            reauth_time: Duration::ZERO,
            over_time: Duration::ZERO,
            rand_time: None,
            rekey: Default::default(),
            fragmentation: true,
            mobike: false,
            childless: Default::default(),
            rehearse: false,
            ppk: None,
            vips: Vec::new(),
            pools: Vec::new(),
            keylog: false,
            unique: Default::default(),
            children: Vec::new(),
        }
    }
}
