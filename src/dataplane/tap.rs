//! Copies of packets for whoever captures them. While nobody does, a burst costs one relaxed load, and nothing is allocated or copied.
//!
//! What stands inside of ESP is copied as it stands there: with the names of the wire, behind segmentation, before it is checked. What is outside
//! is copied as the sockets give and take it, and gets an IP and a UDP header that say what the sockets tell of it. Each worker, and the
//! engine, writes into a lane of its own, which is bounded, and never waits for its reader: what does not fit is counted.
use super::icmp::pseudo_header;
use super::segment::put16;
use super::transport::{HEADER, Header};
use crate::esp::line::Line;
use crate::ipsec::path::Encap;
use crate::wire::encap::NON_ESP_MARKER;
use crate::wire::ip::{checksum_add, checksum_fold};
use arc_swap::{ArcSwap, Guard};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// Octets and packets that wait in a lane: what a reader that looks every 20 ms gets at 1.6 Gbit/s.
const LANE_OCTETS: usize = 4 << 20;
/// See [`LANE_OCTETS`].
const LANE_PACKETS: usize = 16_384;
const UDP: u8 = 17;
const ESP: u8 = 50;
const UDP_LEN: usize = 8;

/// Where packets pass that somebody may want to see. Shared by all workers and the engine.
#[derive(Debug, Default)]
pub struct Tap {
    on: AtomicBool,
    captures: ArcSwap<Vec<Arc<Capture>>>,
    /// Keeps two writers apart.
    writing: Mutex<()>,
}

impl Tap {
    /// From now on packets are copied for this one, too.
    pub fn add(&self, capture: Arc<Capture>) {
        self.change(|captures| captures.push(capture));
    }

    /// No packet is copied for this one any more, once the bursts that are under way are over.
    pub fn remove(&self, capture: &Arc<Capture>) {
        self.change(|captures| captures.retain(|other| !Arc::ptr_eq(other, capture)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Capture>>)) {
        let _one = lock(&self.writing);
        let mut captures = Vec::clone(&self.captures.load());
        change(&mut captures);
        let on = !captures.is_empty();
        self.captures.store(Arc::new(captures));
        self.on.store(on, Relaxed);
    }

    /// For one burst at `now`, whose packets go into this lane of each capture; `None` if nobody captures.
    pub fn open(&self, now: Duration, lane: usize) -> Option<Open> {
        // Who captures sees the beginning of a burst, or the next one: nothing depends on it.
        self.on.load(Relaxed).then(|| Open { now, lane, captures: self.captures.load() })
    }
}

/// Whose packets, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those of one connection.
    pub connection: Option<Arc<str>>,
    /// Those of one of its children.
    pub child: Option<Arc<str>>,
    /// What is outside: ESP and IKE.
    pub outer: bool,
    /// What is inside, in the clear.
    pub inner: bool,
    /// At most so many octets of each packet.
    pub snaplen: usize,
}

impl Wanted {
    /// The packets of a child, named `connection/child`.
    fn has(&self, name: &str) -> bool {
        let Some(connection) = self.connection.as_deref() else { return true };
        let of = name.strip_prefix(connection).and_then(|rest| rest.strip_prefix('/'));
        of.is_some_and(|child| self.child.as_deref().is_none_or(|wanted| wanted == child))
    }
}

/// Where a packet was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plane {
    /// On its way between the gateways.
    Outer,
    /// Inside of ESP, of this child.
    Inner(Arc<str>),
}

/// A packet that was copied. Its octets stand behind those of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, by the workers' clock.
    pub at: Duration,
    /// Where.
    pub plane: Plane,
    /// We sent it.
    pub outgoing: bool,
    /// How long it is.
    pub len: usize,
    /// How much of it was copied.
    pub kept: usize,
}

/// What has come into a lane.
#[derive(Debug, Default)]
pub struct Held {
    /// In their order.
    pub packets: Vec<Packet>,
    /// Of all of them.
    pub octets: Vec<u8>,
}

/// One capture: what is wanted, and what waits for its reader.
#[derive(Debug)]
pub struct Capture {
    wanted: Wanted,
    lanes: Box<[Line<Lane>]>,
}

#[derive(Debug, Default)]
struct Lane {
    held: Mutex<Held>,
    /// Packets for which there was no room.
    missed: Mutex<BTreeMap<Plane, u64>>,
    /// All of them.
    all_missed: AtomicU64,
}

impl Capture {
    /// With so many lanes.
    pub fn new(wanted: Wanted, lanes: usize) -> Self {
        Self { wanted, lanes: (0..lanes).map(|_| Line::default()).collect() }
    }

    /// What it is for.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Takes what is there, one for each lane; who brings the last ones back saves their memory.
    pub fn take(&self, held: &mut Vec<Held>) {
        held.resize_with(self.lanes.len(), Held::default);
        for (lane, held) in self.lanes.iter().zip(held) {
            held.packets.clear();
            held.octets.clear();
            std::mem::swap(&mut *lock(&lane.held), held);
        }
    }

    /// How many packets there was no room for until now.
    pub fn count_missed(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.all_missed.load(Relaxed)).sum()
    }

    /// The same by where they were seen, for when the capture is over.
    pub fn missed(&self) -> BTreeMap<Plane, u64> {
        let mut sum = BTreeMap::new();
        for lane in &self.lanes {
            lock(&lane.missed).iter().for_each(|(plane, count)| *sum.entry(plane.clone()).or_default() += count);
        }
        sum
    }

    /// A packet that stands in pieces.
    fn keep(&self, lane: usize, at: Duration, plane: &Plane, outgoing: bool, parts: &[&[u8]]) {
        let Some(lane) = self.lanes.get(lane) else { return };
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let kept = len.min(self.wanted.snaplen);
        if lane.keep(Packet { at, plane: plane.clone(), outgoing, len, kept }, parts).is_none() {
            lane.all_missed.fetch_add(1, Relaxed);
            // Nobody else takes this lock before the capture is over.
            if let Ok(mut missed) = lane.missed.try_lock() {
                *missed.entry(plane.clone()).or_default() += 1;
            }
        }
    }
}

impl Lane {
    fn keep(&self, packet: Packet, parts: &[&[u8]]) -> Option<()> {
        let mut held = match self.held.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if held.packets.len() >= LANE_PACKETS || held.octets.len() + packet.kept > LANE_OCTETS {
            return None;
        }
        let mut left = packet.kept;
        for part in parts {
            let some = &part[..part.len().min(left)];
            held.octets.extend_from_slice(some);
            left -= some.len();
        }
        held.packets.push(packet);
        Some(())
    }
}

/// What is inside is whole whatever its last user did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The captures of one burst.
#[derive(Debug)]
pub struct Open {
    now: Duration,
    lane: usize,
    captures: Guard<Arc<Vec<Arc<Capture>>>>,
}

/// A datagram between the gateways.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// What it travels in.
    pub encap: Encap,
    /// TOS or traffic class.
    pub tos: u8,
    /// A marker of four zeros stands in front of it.
    pub marked: bool,
    /// Its octets.
    pub data: &'a [u8],
}

impl Open {
    /// A packet inside of ESP, in pieces.
    pub fn inner(&self, child: &Arc<str>, outgoing: bool, parts: &[&[u8]]) {
        let wanted = |capture: &&Arc<Capture>| capture.wanted.inner && capture.wanted.has(child);
        let mut plane = None;
        for capture in self.captures.iter().filter(wanted) {
            let plane = plane.get_or_insert_with(|| Plane::Inner(child.clone()));
            capture.keep(self.lane, self.now, plane, outgoing, parts);
        }
    }

    /// A datagram with ESP, of a child, or of nobody that we know.
    pub fn esp(&self, child: Option<&str>, outgoing: bool, datagram: Datagram<'_>) {
        let of = |wanted: &Wanted| child.map_or(wanted.connection.is_none(), |child| wanted.has(child));
        self.outer(of, outgoing, datagram);
    }

    /// A datagram with IKE. `of`: whether it is one of this connection's.
    pub fn ike(&self, of: impl Fn(&str) -> bool, outgoing: bool, datagram: Datagram<'_>) {
        self.outer(|wanted| wanted.connection.as_deref().is_none_or(&of), outgoing, datagram);
    }

    fn outer(&self, of: impl Fn(&Wanted) -> bool, outgoing: bool, datagram: Datagram<'_>) {
        let wanted = |capture: &&Arc<Capture>| capture.wanted.outer && of(&capture.wanted);
        let mut head = None;
        for capture in self.captures.iter().filter(wanted) {
            // None that came or went has addresses of two families, or is too long.
            let Some(head) = head.get_or_insert_with(|| Head::of(&datagram, outgoing)) else { return };
            capture.keep(self.lane, self.now, &Plane::Outer, outgoing, &[&head.octets[..head.len], datagram.data]);
        }
    }
}

/// What stands before a datagram on the wire, as far as its socket tells: the identification, for one, is not known.
struct Head {
    octets: [u8; HEADER + UDP_LEN + NON_ESP_MARKER.len()],
    len: usize,
}

impl Head {
    fn of(datagram: &Datagram<'_>, outgoing: bool) -> Option<Self> {
        let Datagram { local, remote, encap, tos, marked, data } = *datagram;
        let (from, to) = if outgoing { (local, remote) } else { (remote, local) };
        let mut head = Self { octets: [0; _], len: 0 };
        let marker = if marked { &NON_ESP_MARKER[..] } else { &[] };
        let (proto, outside) = match encap {
            Encap::Udp => (UDP, UDP_LEN),
            Encap::Raw => (ESP, 0),
        };
        let len = outside + marker.len() + data.len();
        head.push(Header::new(from.ip(), to.ip(), proto, tos, len).ok()?.octets());
        if encap == Encap::Udp {
            let udp = head.len;
            head.push(&[0; UDP_LEN]);
            put16(&mut head.octets, udp, from.port());
            put16(&mut head.octets, udp + 2, to.port());
            put16(&mut head.octets, udp + 4, u16::try_from(len).ok()?);
            // IPv6 wants one; with IPv4 there may be none, and a zero says so.
            if from.is_ipv6() {
                let sum = checksum_add(pseudo_header(from.ip(), to.ip(), UDP, len), &head.octets[udp..udp + UDP_LEN]);
                let sum = !checksum_fold(checksum_add(checksum_add(sum, marker), data));
                put16(&mut head.octets, udp + 6, if sum == 0 { 0xffff } else { sum });
            }
        }
        head.push(marker);
        Some(head)
    }

    fn push(&mut self, octets: &[u8]) {
        self.octets[self.len..self.len + octets.len()].copy_from_slice(octets);
        self.len += octets.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip;

    fn wanted() -> Wanted {
        Wanted { outer: true, inner: true, snaplen: 65_535, ..Wanted::default() }
    }

    fn all(capture: &Capture) -> Vec<(Packet, Vec<u8>)> {
        let mut held = Vec::new();
        capture.take(&mut held);
        held.iter()
            .flat_map(|held| {
                let mut octets = &held.octets[..];
                held.packets.iter().map(move |packet| {
                    let (own, rest) = octets.split_at(packet.kept);
                    octets = rest;
                    (packet.clone(), own.to_vec())
                })
            })
            .collect()
    }

    fn tapped(wanted: Wanted) -> (Tap, Arc<Capture>) {
        let (tap, capture) = (Tap::default(), Arc::new(Capture::new(wanted, 2)));
        tap.add(capture.clone());
        (tap, capture)
    }

    fn datagram(data: &[u8], ipv6: bool) -> Datagram<'_> {
        let [local, remote] =
            if ipv6 { ["[2001:db8::1]:4500", "[2001:db8::2]:4501"] } else { ["192.0.2.1:4500", "192.0.2.2:4501"] };
        let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
        Datagram { local, remote, encap: Encap::Udp, tos: 0x2e << 2, marked: false, data }
    }

    #[test]
    fn nobody_who_captures_is_nobody_for_whom_it_is_open() {
        let (tap, capture) = tapped(wanted());
        assert!(tap.open(Duration::ZERO, 0).is_some());
        let other = Arc::new(Capture::new(wanted(), 2));
        tap.add(other.clone());
        tap.remove(&capture);
        tap.open(Duration::ZERO, 1).unwrap().inner(&"a/b".into(), true, &[b"x"]);
        assert_eq!((all(&capture).len(), all(&other).len()), (0, 1));
        tap.remove(&other);
        assert!(tap.open(Duration::ZERO, 0).is_none());
    }

    #[test]
    fn a_connection_is_no_prefix_of_another() {
        let of = |connection: &str, child: Option<&str>| Wanted {
            connection: Some(connection.into()),
            child: child.map(Into::into),
            ..wanted()
        };
        for (wanted, name, has) in [
            (wanted(), "office/lan", true),
            (of("office", None), "office/lan", true),
            (of("office", None), "office2/lan", false),
            (of("off", None), "office/lan", false),
            (of("office", Some("lan")), "office/lan", true),
            (of("office", Some("la")), "office/lan", false),
        ] {
            assert_eq!(wanted.has(name), has, "{wanted:?} {name}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_copied_and_no_more_of_it() {
        let (tap, capture) = tapped(Wanted { connection: Some("a".into()), outer: false, snaplen: 5, ..wanted() });
        let open = tap.open(Duration::from_secs(3), 1).unwrap();
        open.inner(&"a/b".into(), true, &[b"abcd", b"efgh"]);
        open.inner(&"b/b".into(), true, &[b"no"]);
        open.esp(Some("a/b"), true, datagram(b"no", false));
        open.esp(None, true, datagram(b"no", false));
        let got = all(&capture);
        let plane = Plane::Inner("a/b".into());
        let packet = Packet { at: Duration::from_secs(3), plane, outgoing: true, len: 8, kept: 5 };
        assert_eq!(got, [(packet, b"abcde".to_vec())]);
        assert!(all(&capture).is_empty() && capture.missed().is_empty());
    }

    #[test]
    fn ike_and_strangers_are_of_no_connection_unless_somebody_says_so() {
        let (tap, every) = tapped(wanted());
        let one = Arc::new(Capture::new(Wanted { connection: Some("a".into()), ..wanted() }, 2));
        tap.add(one.clone());
        let open = tap.open(Duration::ZERO, 0).unwrap();
        open.esp(None, false, datagram(b"stranger", false));
        open.ike(|_| false, false, datagram(b"ike", false));
        open.ike(|name| name == "a", false, datagram(b"own", false));
        assert_eq!((all(&every).len(), all(&one).len()), (3, 1));
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_belongs() {
        let (tap, capture) = tapped(wanted());
        let open = tap.open(Duration::ZERO, 0).unwrap();
        let large = vec![7; 60_000];
        for _ in 0..100 {
            open.inner(&"a/b".into(), true, &[&large]);
        }
        let fit = LANE_OCTETS / large.len();
        assert_eq!(capture.missed(), [(Plane::Inner("a/b".into()), 100 - fit as u64)].into());
        // The other lane has room of its own, and this one again when it was emptied.
        tap.open(Duration::ZERO, 1).unwrap().inner(&"a/b".into(), true, &[&large]);
        assert_eq!(all(&capture).len(), fit + 1);
        for _ in 0..LANE_PACKETS + 3 {
            open.esp(None, false, datagram(b"", false));
        }
        assert_eq!((all(&capture).len(), capture.missed()[&Plane::Outer]), (LANE_PACKETS, 3));
        assert_eq!(capture.count_missed(), 100 - fit as u64 + 3);
    }

    #[test]
    fn whoever_reads_at_the_moment_is_not_waited_for() {
        let (tap, capture) = tapped(wanted());
        let reading = capture.lanes[0].held.lock().unwrap();
        tap.open(Duration::ZERO, 0).unwrap().inner(&"a/b".into(), true, &[b"x"]);
        drop(reading);
        assert_eq!((all(&capture).len(), capture.missed().values().sum::<u64>()), (0, 1));
    }

    #[test]
    fn a_datagram_gets_headers_that_parse() {
        for (ipv6, outgoing, encap, marked) in [
            (false, true, Encap::Udp, false),
            (false, false, Encap::Udp, true),
            (true, true, Encap::Udp, true),
            (true, false, Encap::Raw, false),
            (false, true, Encap::Raw, false),
        ] {
            let (tap, capture) = tapped(wanted());
            let datagram = Datagram { encap, marked, ..datagram(b"12345678901", ipv6) };
            tap.open(Duration::ZERO, 0).unwrap().esp(None, outgoing, datagram);
            let (packet, octets) = all(&capture).remove(0);
            let parsed = ip::parse(&octets).unwrap();
            assert_eq!((packet.len, parsed.len, parsed.tos), (octets.len(), octets.len(), datagram.tos));
            let (src, dst) =
                if outgoing { (datagram.local, datagram.remote) } else { (datagram.remote, datagram.local) };
            assert_eq!((parsed.flow.src, parsed.flow.dst), (src.ip(), dst.ip()));
            let behind = &octets[parsed.l4..];
            assert!(octets.ends_with(b"12345678901"));
            if encap == Encap::Raw {
                assert_eq!((parsed.flow.proto, behind.len()), (ESP, 11));
                continue;
            }
            assert_eq!((parsed.flow.proto, parsed.flow.sport, parsed.flow.dport), (UDP, src.port(), dst.port()));
            assert_eq!(&behind[8..], [if marked { &[0; 4][..] } else { &[] }, b"12345678901"].concat());
            let sum = checksum_fold(checksum_add(pseudo_header(src.ip(), dst.ip(), UDP, behind.len()), behind));
            assert_eq!(sum == 0xffff, ipv6, "with IPv4 there is none: {}", behind[6]);
        }
    }
}
