//! From the TUN to the wire, in packet order: read, look up, hand over, fit, seal, send. What is not carried is counted and, where the
//! sender can do something about it, answered.
use super::Upcall;
use super::fit::{Fit, fit};
use super::fragment::Fragments;
use super::gather::{Added, Gathering};
use super::hold::Held;
use super::home::{Arrived, Parcel};
use super::icmp::{self, Reason};
use super::limit::{Bucket, PerChild};
use super::mss;
use super::segment::{Pieces, Segments};
use super::stats::{Direction, Sample};
use super::tap;
use super::train::{Sealed, Sealing, Tapped, Track, Train};
use super::transport::{self, Payload};
use super::worker::{Ends, Shared};
use crate::esp::drop::Drop;
use crate::esp::tos;
use crate::io::{Datagrams, Destination, Tun, VnetHeader};
use crate::ipsec::path::Path;
use crate::ipsec::spd::{Action, DeviceId, Found, Slot, Spd};
use crate::ipsec::tables::{Child, Children, OutboundEntry};
use crate::ipsec::translate::Way;
use crate::wire::esp::{NEXT_HEADER_DUMMY, NEXT_HEADER_IPV4, NEXT_HEADER_IPV6};
use crate::wire::ip::{self, Flow, Packet};
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

/// Packets or super-packets, and octets, that are read before the sockets have their turn again: acknowledgements do not wait for more.
const BATCH: usize = 64;
const BATCH_OCTETS: usize = 1 << 18;
/// Room for the largest packet: an IPv6 header, which its length does not count.
const READ: usize = 65_535 + 40;
/// ICMP answers of one worker, of each kind: a flood of what is prohibited must not keep a path MTU from being told.
const ANSWERS_PER_SECOND: u64 = 200;
const ANSWERS_AT_ONCE: u64 = 50;

/// With fewer sequence numbers left the engine hears of it: minutes at full speed.
const EXHAUSTING: u64 = 1 << 28;

/// A worker's sending half.
#[derive(Debug)]
pub struct Outbound {
    packet: Box<[u8]>,
    sealer: Sealer,
    refusals: Bucket,
    too_big: Bucket,
    acquires: PerChild,
    exhausting: PerChild,
    held: Held,
    gathering: Gathering,
    /// By the worker that they are for.
    leaving: Vec<Parcel>,
    arrived: Arrived,
    /// Others may have handed over more than the last turn took.
    more: bool,
}

/// What is the same for all packets of a batch.
struct Batch<'a, D, T> {
    now: Duration,
    device: DeviceId,
    ends: &'a mut Ends<D, T>,
    spd: &'a Spd,
    children: &'a Children,
    shared: &'a Shared,
    tap: Option<&'a tap::Open>,
}

/// Why a packet is not carried, and what its sender hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) drop: Drop,
    pub(super) answer: Option<Reason>,
}

impl Refusal {
    const fn prohibited(drop: Drop) -> Self {
        Self { drop, answer: Some(Reason::Prohibited) }
    }
}

impl From<Drop> for Refusal {
    fn from(drop: Drop) -> Self {
        Self { drop, answer: None }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbound {
    /// With all buffers that it needs.
    pub fn new() -> Self {
        Self {
            packet: vec![0; READ].into_boxed_slice(),
            sealer: Sealer { train: Train::new(), segment: vec![0; READ].into_boxed_slice() },
            refusals: Bucket::new(ANSWERS_PER_SECOND, ANSWERS_AT_ONCE),
            too_big: Bucket::new(ANSWERS_PER_SECOND, ANSWERS_AT_ONCE),
            acquires: PerChild::default(),
            exhausting: PerChild::default(),
            held: Held::default(),
            gathering: Gathering::default(),
            leaving: Vec::new(),
            arrived: Arrived::default(),
            more: false,
        }
    }

    /// Reads a device until it is empty or the batch is full, and sends what came of it. An error is the device's end.
    pub fn serve<D: Datagrams, T: Tun>(
        &mut self,
        now: Duration,
        device: DeviceId,
        ends: &mut Ends<D, T>,
        shared: &Shared,
    ) -> std::io::Result<()> {
        self.release(now, ends, shared);
        let (spd, children) = (shared.tables.spd.load(), shared.tables.children.load());
        let tap = shared.open_tap(now);
        let mut batch = Batch { now, device, ends, spd: &spd, children: &children, shared, tap: tap.as_ref() };
        let mut result = Ok(());
        let (mut count, mut octets) = (0, 0);
        let mut packet = std::mem::take(&mut self.packet);
        while count < BATCH && octets < BATCH_OCTETS {
            // It may have been left since it was ready.
            let Some(tun) = batch.ends.devices.get_mut(device) else { break };
            match tun.read(&mut packet) {
                Ok((header, len)) => {
                    self.packet(&header, &mut packet[..len.min(READ)], &mut batch);
                    octets += len;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
            count += 1;
        }
        self.packet = packet;
        self.hand_over(&children, shared);
        self.sealer.train.send(ends, &shared.stats);
        shared.stats.count_batch(Direction::Out, count);
        result
    }

    /// Gives the other workers what is theirs.
    fn hand_over(&mut self, children: &Children, shared: &Shared) {
        for (to, parcel) in self.leaving.iter_mut().enumerate().filter(|(_, parcel)| !parcel.is_empty()) {
            shared.team.hand_over(to, parcel);
            for (packet, data) in parcel.iter() {
                let packets = packet.header.packets(data.len());
                shared.stats.count_drops(Drop::QueueFull, packets);
                if let Some(child) = children.get(packet.slot) {
                    child.counters.record_drops(Drop::QueueFull, packets);
                }
            }
            parcel.clear();
        }
    }

    /// Sends what other workers have handed over, as if it had been read here, and as much at a time. True if there may be more.
    pub fn take_over<D: Datagrams, T: Tun>(&mut self, now: Duration, ends: &mut Ends<D, T>, shared: &Shared) -> bool {
        let (spd, children) = (shared.tables.spd.load(), shared.tables.children.load());
        let (mut count, mut octets) = (0, 0);
        let mut arrived = std::mem::take(&mut self.arrived);
        let tap = shared.open_tap(now);
        self.more = loop {
            if count >= BATCH || octets >= BATCH_OCTETS {
                break true;
            }
            let Some((packet, data)) = arrived.next(&shared.team, &shared.stats) else { break false };
            count += 1;
            octets += data.len();
            let device = packet.device;
            if ends.devices.get_mut(device).is_none() {
                shared.stats.count_drops(Drop::Device, packet.header.packets(data.len()));
                continue;
            }
            let tap = tap.as_ref();
            let mut batch = Batch { now, device, ends, spd: &spd, children: &children, shared, tap };
            self.packet(&packet.header, data, &mut batch);
        };
        self.arrived = arrived;
        // Who lives somewhere else since they were looked up.
        self.hand_over(&children, shared);
        self.sealer.train.send(ends, &shared.stats);
        self.more
    }

    /// Takes on what waited for an SA that is there now, and gives up what has waited for too long.
    pub fn release<D: Datagrams, T: Tun>(&mut self, now: Duration, ends: &mut Ends<D, T>, shared: &Shared) {
        if self.held.is_empty() {
            return;
        }
        let (spd, children) = (shared.tables.spd.load(), shared.tables.children.load());
        let worker = shared.team.index();
        let tap = shared.open_tap(now);
        let has_sa = |slot| children.get(slot).is_some_and(|child| child.outbound_for(worker).is_some());
        while let Some(packets) = self.held.release(has_sa) {
            for mut packet in packets {
                let (device, tap) = (packet.device, tap.as_ref());
                let mut batch = Batch { now, device, ends, spd: &spd, children: &children, shared, tap };
                self.packet(&packet.header, &mut packet.data, &mut batch);
            }
        }
        self.hand_over(&children, shared);
        self.sealer.train.send(ends, &shared.stats);
        self.held.expire(now, |slot, count| {
            shared.stats.count_drops(Drop::NoSa, count);
            if let Some(child) = children.get(slot) {
                child.counters.record_drops(Drop::NoSa, count);
            }
        });
    }

    /// Nothing that came from this device is carried any more: its number may soon be another's.
    pub fn forget(&mut self, device: DeviceId, shared: &Shared) {
        let children = shared.tables.children.load();
        self.held.forget(device, |slot, count| {
            shared.stats.count_drops(Drop::Device, count);
            if let Some(child) = children.get(slot) {
                child.counters.record_drops(Drop::Device, count);
            }
        });
        shared.stats.count_drops(Drop::Device, self.gathering.forget(device));
    }

    /// When `release` is due though nothing has happened, or `take_over`: at once.
    pub fn deadline(&self) -> Option<Duration> {
        if self.more { Some(Duration::ZERO) } else { self.held.deadline() }
    }

    /// One dummy packet on the present SA of a child, unless something was sent on it: so the peer learns that it is in use (R3).
    pub fn announce<D: Datagrams, T>(&mut self, now: Duration, slot: Slot, ends: &mut Ends<D, T>, shared: &Shared) {
        let children = shared.tables.children.load();
        let Some(child) = children.get(slot) else { return };
        let entry = child.outbound.load();
        let Some(entry) = entry.as_deref().filter(|entry| entry.sa.next() == 1) else { return };
        let path = entry.path.load();
        let Ok(track) = track(&path, 0, true, ends) else { return };
        let tap = shared.open_tap(now);
        let tap = tap.as_ref().map(|open| Tapped { open, child: &child.name, inner: false });
        let sealing = Sealing { sa: &entry.sa, next_header: NEXT_HEADER_DUMMY, track, tap };
        let mut sealed = Sealed::default();
        if let Err(reason) = self.sealer.train.seal(&Payload(&[]), &sealing, ends, &shared.stats, &mut sealed) {
            shared.stats.count_drops(reason, 1);
        }
        self.sealer.train.send(ends, &shared.stats);
    }

    /// One packet or super-packet, or a fragment.
    fn packet<D: Datagrams, T: Tun>(&mut self, header: &VnetHeader, data: &mut [u8], batch: &mut Batch<'_, D, T>) {
        let Ok(parsed) = ip::parse(data) else {
            return batch.shared.stats.count_drops(Drop::Malformed, 1);
        };
        if !parsed.fragment {
            return self.carry(header, data, &parsed, batch);
        }
        batch.shared.stats.count_drops(Drop::LaterFragment, self.gathering.expire(batch.now));
        match self.gathering.add(batch.device, data, &parsed) {
            Added::Unknown => self.carry(header, data, &parsed, batch),
            Added::Waits => {}
            Added::Broken => batch.shared.stats.count_drops(Drop::LaterFragment, 1),
            Added::Whole(mut whole) => {
                let Ok(parsed) = ip::parse(&whole) else {
                    return batch.shared.stats.count_drops(Drop::Malformed, 1);
                };
                // Its sender has cut it, so it may be cut again, also if it is IPv6.
                let parsed = Packet { dont_fragment: false, ..parsed };
                self.carry(&VnetHeader::default(), &mut whole, &parsed, batch);
            }
        }
    }

    /// From lookup to seal.
    fn carry<D: Datagrams, T: Tun>(
        &mut self,
        header: &VnetHeader,
        data: &mut [u8],
        parsed: &Packet,
        batch: &mut Batch<'_, D, T>,
    ) {
        let found = batch.spd.lookup(batch.device, &parsed.flow);
        let slot = found.and_then(|found| match found.action {
            Action::Protect(slot) => Some(slot),
            Action::Pass | Action::Drop => None,
        });
        let child = slot.and_then(|slot| batch.children.get(slot)).map(Arc::as_ref);
        // Looked at once: if it went between two looks, the packet would be sealed on the SA for all, and not by the home worker.
        let own = child.and_then(|child| child.own(batch.shared.team.index()));
        if let Some(child) = child
            && let Some(home) = batch.shared.team.home(child)
            && own.is_none()
        {
            if self.leaving.len() <= home {
                self.leaving.resize_with(batch.shared.team.len(), Parcel::default);
            }
            return self.leaving[home].push(child.slot, batch.device, header, data);
        }
        let result = permit(found, &parsed.flow).and_then(|()| child.ok_or(Drop::NoSa.into())).and_then(|child| {
            let outbound = own.unwrap_or_else(|| child.outbound.load());
            let entry = outbound.as_deref().ok_or(Drop::NoSa)?;
            self.sealer.protect(child, entry, header, data, parsed, batch)
        });
        let left = match result {
            Ok(left) => left,
            Err(refusal) => {
                if !self.hold(refusal, header, data, child, batch) && !self.gather(refusal, data, parsed, batch) {
                    self.refuse(refusal, data, parsed, child, batch);
                }
                if refusal.drop == Drop::NoSa
                    && let (Some(found), Some(slot)) = (found, slot)
                    && self.acquires.take(slot, batch.now)
                {
                    batch.shared.tell(Upcall::Acquire { name: found.policy.name.clone() });
                }
                if refusal.drop == Drop::SequenceExhausted { 0 } else { u64::MAX }
            }
        };
        if left < EXHAUSTING
            && let Some(slot) = slot
            && self.exhausting.take(slot, batch.now)
        {
            batch.shared.tell(Upcall::Exhausting { slot });
        }
    }

    /// True if the packet waits now for an SA of its child.
    fn hold<D, T>(
        &mut self,
        refusal: Refusal,
        header: &VnetHeader,
        data: &[u8],
        child: Option<&Child>,
        batch: &Batch<'_, D, T>,
    ) -> bool {
        let child = child.filter(|child| refusal.drop == Drop::NoSa && child.settings().waits);
        child.is_some_and(|child| self.held.keep(batch.now, child.slot, batch.device, header, data))
    }

    /// True if this is the first fragment of a packet for transport mode, and waits for the others.
    fn gather<D, T>(&mut self, refusal: Refusal, data: &[u8], parsed: &Packet, batch: &Batch<'_, D, T>) -> bool {
        refusal.drop == Drop::LaterFragment
            && !parsed.flow.later_fragment
            && self.gathering.begin(batch.now, batch.device, data, parsed)
    }

    /// Counts it, and answers through the TUN if the packet may be answered and we have not said too much already.
    fn refuse<D, T: Tun>(
        &mut self,
        refusal: Refusal,
        data: &[u8],
        parsed: &Packet,
        child: Option<&Child>,
        batch: &mut Batch<'_, D, T>,
    ) {
        batch.shared.stats.count_drops(refusal.drop, 1);
        if let Some(child) = child {
            child.counters.record_drop(refusal.drop);
        }
        let slot = child.map(|child| child.slot);
        let (reason, flow, len, device) = (refusal.drop, parsed.flow, parsed.len, batch.device);
        batch.shared.stats.samples().keep(|| Sample { reason, flow, len, device, slot, inbound: false });
        let Some(reason) = refusal.answer else { return };
        let mut out = [0; icmp::MAX_ANSWER];
        let Some(len) = icmp::answer(reason, data, parsed, &mut out) else { return };
        let limit = match reason {
            Reason::Prohibited => &mut self.refusals,
            Reason::TooBig(_) => &mut self.too_big,
        };
        if limit.take(batch.now) {
            // A device that does not take it has a full queue or is going away; the sender will ask again.
            let tun = batch.ends.devices.get_mut(batch.device);
            let _ = tun.map(|tun| tun.write(&VnetHeader::default(), &[IoSlice::new(&out[..len])]));
        }
    }
}

/// What the policy says. What is to pass in the clear goes past this device by routing: a `pass` packet that still comes here has lost its
/// way, and giving it back to the host would send it here again and again. So it is refused, aloud, as if there were no policy.
fn permit(found: Option<Found<'_>>, flow: &Flow) -> Result<(), Refusal> {
    let found = found.ok_or(Refusal::prohibited(Drop::NoPolicy))?;
    if found.policy.later_fragment_forbidden(flow) {
        return Err(Drop::LaterFragment.into());
    }
    match found.action {
        Action::Protect(_) => Ok(()),
        Action::Pass => Err(Refusal::prohibited(Drop::NoPolicy)),
        Action::Drop => Err(Refusal::prohibited(Drop::PolicyDrop)),
    }
}

/// Cuts, seals and collects.
#[derive(Debug)]
struct Sealer {
    train: Train,
    /// A segment that must be fragmented.
    segment: Box<[u8]>,
}

impl Sealer {
    /// Through an SA of the child's. How many sequence numbers that has left.
    fn protect<D: Datagrams, T>(
        &mut self,
        child: &Child,
        entry: &OutboundEntry,
        header: &VnetHeader,
        data: &mut [u8],
        parsed: &Packet,
        batch: &mut Batch<'_, D, T>,
    ) -> Result<u64, Refusal> {
        // The SA in use may be narrower than its policy. What it may not carry, the peer would drop (RFC 4301 section 5.2).
        let flow = match &child.translation {
            None => Ok(parsed.flow),
            Some(translation) => translation.flow_of(Way::Outward, data, parsed).ok_or(Drop::SelectorMismatch),
        };
        let admitted = flow.and_then(|flow| match entry.admits(&flow) {
            Ok(()) => Ok(None),
            Err(drop) => child.beside(&flow).map(Some).ok_or(drop),
        });
        let beside = admitted.map_err(|drop| match drop {
            Drop::SelectorMismatch => Refusal::prohibited(drop),
            _ => drop.into(),
        })?;
        let entry = beside.as_deref().unwrap_or(entry);
        let segments = Segments::new(header, data, parsed).map_err(|_| Drop::Malformed)?;
        let path = entry.path.load();
        let (outside, next_header) = match (entry.transport, parsed.flow.src.is_ipv4()) {
            (true, _) if parsed.fragment => return Err(Drop::LaterFragment.into()),
            (true, _) => transport::header(data, parsed),
            (false, true) => (0, NEXT_HEADER_IPV4),
            (false, false) => (0, NEXT_HEADER_IPV6),
        };
        let settings = child.settings();
        let mtu = settings.fitting.mtu(usize::from(path.inner_mtu(entry.sa.params().cipher)) + outside);
        let fit = fit(segments.len_of(0), parsed, mtu, settings.fitting.outer_fragments, entry)?;
        // Who is refused hears of the packet as it was: it is changed only now.
        let segments = if child.translation.is_some() || mss::announces(data, parsed) {
            adapt(child, header, data, parsed, mtu);
            Segments::new(header, data, parsed).map_err(|_| Drop::Malformed)?
        } else {
            segments
        };
        let tos = if entry.transport { parsed.tos } else { tos::encapsulate(parsed.tos, settings.copy_dscp) };
        let track = track(&path, tos, fit.dont_fragment(), batch.ends)?;
        // The payloads of transport mode are no packets; those are shown where they still are.
        let tap = batch.tap.map(|open| Tapped { open, child: &child.name, inner: !entry.transport });
        let sealing = Sealing { sa: &entry.sa, next_header, track, tap };
        let mut sealed = Sealed::default();
        let result = match fit {
            Fit::Whole { .. } if entry.transport => {
                self.seal_payloads(&segments, outside, &sealing, batch, &mut sealed)
            }
            Fit::Whole { .. } => self.train.seal(&segments, &sealing, batch.ends, &batch.shared.stats, &mut sealed),
            Fit::Fragments(mtu) => self.seal_fragments(&segments, mtu, parsed, &sealing, batch, &mut sealed),
        };
        // What was sealed leaves, also if there were no numbers for the rest.
        child.counters.add_out(sealed.bytes, sealed.packets);
        entry.traffic.add(sealed.bytes, sealed.packets);
        result?;
        Ok(entry.sa.left())
    }

    /// Each segment without its first octets, the IP header.
    fn seal_payloads<D: Datagrams, T>(
        &mut self,
        segments: &Segments<'_>,
        outside: usize,
        sealing: &Sealing<'_>,
        batch: &mut Batch<'_, D, T>,
        sealed: &mut Sealed,
    ) -> Result<(), Drop> {
        for i in 0..segments.count() {
            let len = segments.len_of(i);
            let segment = &mut self.segment[..len];
            segments.write(i, segment);
            if let Some(tap) = sealing.tap {
                tap.open.inner(tap.child, true, &[segment]);
            }
            let payload = Payload(segment.get(outside..).ok_or(Drop::Malformed)?);
            self.train.seal(&payload, sealing, batch.ends, &batch.shared.stats, sealed)?;
            sealed.bytes += outside as u64;
        }
        Ok(())
    }

    /// Each segment as fragments.
    fn seal_fragments<D: Datagrams, T>(
        &mut self,
        segments: &Segments<'_>,
        mtu: usize,
        parsed: &Packet,
        sealing: &Sealing<'_>,
        batch: &mut Batch<'_, D, T>,
        sealed: &mut Sealed,
    ) -> Result<(), Drop> {
        for i in 0..segments.count() {
            let len = segments.len_of(i);
            let segment = &mut self.segment[..len];
            segments.write(i, segment);
            let fragments = Fragments::new(segment, &Packet { len, ..*parsed }, mtu).ok_or(Drop::TooBig)?;
            self.train.seal(&fragments, sealing, batch.ends, &batch.shared.stats, sealed)?;
        }
        Ok(())
    }
}

/// Gives the packet what it has on the wire alone: the names there, and an MSS that fits the path.
fn adapt(child: &Child, header: &VnetHeader, data: &mut [u8], parsed: &Packet, mtu: usize) {
    let partial = header.is_partial(parsed.l4);
    if mss::announces(data, parsed)
        && let Some(most) = child.settings().fitting.mss(mtu, parsed.flow.src.is_ipv4())
    {
        mss::clamp(&mut data[parsed.l4..parsed.len], most, partial);
    }
    if let Some(translation) = &child.translation {
        translation.packet(Way::Outward, data, parsed, partial);
    }
}

fn track<D, T>(path: &Path, tos: u8, dont_fragment: bool, ends: &Ends<D, T>) -> Result<Track, Drop> {
    let socket = ends.socket_for(path.encap, path.local, path.remote).ok_or(Drop::Device)?;
    Ok(Track { socket, to: Destination { local: path.local, remote: path.remote, tos, dont_fragment } })
}
