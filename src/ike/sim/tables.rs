//! A host's SAD as it follows from the events (design.md, "Order of a rekey"), and what has become of every SPI that it ever gave.
//! Written from the design and not from `daemon::install`, so that each is a witness of the other.
use crate::ike::event::{ChildId, ChildUp, Ended, IkeId, IkePath, Usage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A responder sends on the new SA after this time at the latest.
const TAKEOVER: Duration = Duration::from_secs(30);
/// A replaced inbound SA lives on for this time.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Connection, child, peer, and the resource that a pair of SAs is for (RFC 9611).
pub(super) type Slot = (Arc<str>, Arc<str>, u32, Option<u32>);
/// For the same packets.
fn alike(a: &Slot, b: &Slot) -> bool {
    (&a.0, &a.1, a.2) == (&b.0, &b.1, b.2)
}

/// A pair of SAs.
pub(super) struct Pair {
    pub slot: Slot,
    pub ike: IkeId,
    pub spi_in: u32,
    pub spi_out: u32,
    pub key_in: Vec<u8>,
    pub key_out: Vec<u8>,
    pub path: IkePath,
    /// Packets that it has sealed.
    pub sealed: u64,
    /// Order of arrival: the youngest that may send, sends.
    age: u64,
    takeover: Option<Duration>,
    replaces: Option<ChildId>,
    /// It lost a collision, or we delete it because another one has its place: it only opens what the other end may still send on it.
    pub inbound_only: bool,
}
impl Pair {
    /// As the data path counts it; its packets are all of one size.
    pub(super) fn usage(&self, id: ChildId) -> Usage {
        Usage { id, bytes: 100 * self.sealed, packets: self.sealed, sequence_permille: 0 }
    }
}
/// What an SPI of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Offered; there are no keys for it yet.
    Larval,
    /// There is an SA.
    Installed,
    /// Its child was replaced, and it takes what is still on its way. So much of its time the clock has left out.
    Grace { until: Duration, leapt: Duration },
    /// The grace is over, but would not be if the clock had not leapt: as if the machine had been suspended.
    Leapt(Duration),
    /// Its child is gone.
    Gone(Ended),
    /// Its child was replaced, and the grace is over.
    Replaced,
    /// It never got an SA.
    Released,
    /// Of a life before this one.
    Forgotten,
}
/// What becomes of an ESP packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// An authentic packet of this child; `true`: none that was sealed later has come before it.
    Opened(ChildId, bool),
    /// The SA has no keys yet: wait.
    Parked,
    /// There is no such SA.
    Lost(Use),
}
struct Inbound {
    key: Vec<u8>,
    child: ChildId,
    highest: u64,
}

/// The SAD of one host.
#[derive(Default)]
pub(super) struct Tables {
    pub pairs: BTreeMap<ChildId, Pair>,
    pub spis: BTreeMap<u32, Use>,
    inbound: BTreeMap<u32, Inbound>,
    /// Every key that ever sealed.
    sealing: BTreeSet<Vec<u8>>,
    arrivals: u64,
}
impl Tables {
    /// The machine begins anew: nothing is left but the memory of which SPIs and keys there were.
    pub(super) fn forget(&mut self) {
        self.pairs.clear();
        self.inbound.clear();
        self.spis.values_mut().for_each(|spi| *spi = Use::Forgotten);
    }
    /// SPIs that are neither free nor in the grace after their SA.
    pub(super) fn held(&self) -> Vec<u32> {
        self.spis.iter().filter(|(_, u)| matches!(u, Use::Larval | Use::Installed)).map(|(spi, _)| *spi).collect()
    }
    /// Inbound at once; outbound at once, unless we are the responder of a rekey.
    pub(super) fn child_up(&mut self, now: Duration, up: &ChildUp) {
        assert_eq!(
            self.spis.insert(up.spi_in, Use::Installed),
            Some(Use::Larval),
            "a child on an SPI that is not free"
        );
        let keys = |k: &crate::ike::event::DirectionKeys| [k.encr.expose(), k.integ.expose()].concat();
        let (key_in, key_out) = (keys(&up.keys_in), keys(&up.keys_out));
        assert_ne!(key_in, key_out, "one key for both directions");
        assert!(self.sealing.insert(key_out.clone()), "a key seals for a second time: {up:?}");
        self.arrivals += 1;
        let replaces = up.replaces.filter(|old| self.pairs.contains_key(old));
        let inbound = Inbound { key: key_in.clone(), child: up.id, highest: 0 };
        self.inbound.insert(up.spi_in, inbound);
        let slot = (up.connection.clone(), up.child.clone(), up.peer, up.resource);
        let carried = self.pairs.values().any(|p| alike(&p.slot, &slot));
        let pair = Pair {
            slot,
            ike: up.ike,
            spi_in: up.spi_in,
            spi_out: up.spi_out,
            key_in,
            key_out,
            path: up.path,
            sealed: 0,
            age: self.arrivals,
            takeover: (carried && !up.initiator).then_some(now + TAKEOVER),
            replaces,
            inbound_only: up.inbound_only,
        };
        assert!(self.pairs.insert(up.id, pair).is_none(), "a child comes up twice: {up:?}");
    }
    /// The peer may delete it any moment.
    pub(super) fn child_leaving(&mut self, id: ChildId) {
        self.pairs.get_mut(&id).expect("a child that we delete was up").inbound_only = true;
    }
    /// Both directions go; the inbound one lives on for a while if the child was replaced.
    pub(super) fn child_down(&mut self, now: Duration, id: ChildId, why: Ended) {
        let gone = self.pairs.remove(&id).expect("a child that goes down was up");
        for pair in self.pairs.values_mut().filter(|p| p.replaces == Some(id)) {
            pair.takeover = None;
        }
        // A Delete may overtake packets.
        let carried = self.pairs.values().any(|p| alike(&p.slot, &gone.slot));
        let grace = why == Ended::Replaced || why == Ended::ByPeer && carried;
        let becomes = if grace { Use::Grace { until: now + GRACE, leapt: Duration::ZERO } } else { Use::Gone(why) };
        if !grace {
            self.inbound.remove(&gone.spi_in);
        }
        self.spis.insert(gone.spi_in, becomes);
    }
    pub(super) fn path_changed(&mut self, ike: IkeId, path: IkePath) {
        self.pairs.values_mut().filter(|p| p.ike == ike).for_each(|p| p.path = path);
    }
    /// The child that a slot sends on: the youngest that need not wait any more, or else the youngest that waits. A resource need not wait: it has
    /// the fallback.
    pub(super) fn sending(&self, slot: &Slot) -> Option<ChildId> {
        let usable = self.pairs.iter().filter(|(_, p)| p.slot == *slot && !p.inbound_only);
        let usable = usable.filter(|(_, p)| p.slot.3.is_none() || p.takeover.is_none());
        usable.max_by_key(|(_, p)| (p.takeover.is_none(), p.age)).map(|(id, _)| *id)
    }
    /// Every slot with a pair.
    pub(super) fn slots(&self) -> BTreeSet<Slot> {
        self.pairs.values().map(|p| p.slot.clone()).collect()
    }
    /// A packet came, sealed under this key with this number.
    pub(super) fn open(&mut self, spi: u32, key: &[u8], number: u64) -> Fate {
        let Some(inbound) = self.inbound.get_mut(&spi) else {
            return match self.spis.get(&spi) {
                Some(Use::Larval) => Fate::Parked,
                Some(other) => Fate::Lost(*other),
                None => panic!("a packet for SPI {spi:08x}, which was never given"),
            };
        };
        assert_eq!(inbound.key, key, "the keys of SPI {spi:08x} differ");
        let newest = number > inbound.highest;
        inbound.highest = inbound.highest.max(number);
        let child = inbound.child;
        // The peer has the new SA: it may be sent on.
        if let Some(pair) = self.pairs.get_mut(&child) {
            pair.takeover = None;
        }
        Fate::Opened(child, newest)
    }
    /// What time brings.
    pub(super) fn tick(&mut self, now: Duration) {
        for pair in self.pairs.values_mut().filter(|p| p.takeover.is_some_and(|at| at <= now)) {
            pair.takeover = None;
        }
        for (spi, state) in &mut self.spis {
            match *state {
                Use::Grace { until, leapt } if until <= now => {
                    *state = if until + leapt > now { Use::Leapt(until + leapt) } else { Use::Replaced };
                    self.inbound.remove(spi);
                }
                Use::Leapt(until) if until <= now => *state = Use::Replaced,
                _ => {}
            }
        }
    }
    /// The clock leaps ahead. A grace goes by the clock, whatever the peer had the time to send: after a suspension keys live no longer than
    /// they should.
    pub(super) fn leap(&mut self, by: Duration) {
        for state in self.spis.values_mut() {
            if let Use::Grace { leapt: time, .. } | Use::Leapt(time) = state {
                *time += by;
            }
        }
    }
}
