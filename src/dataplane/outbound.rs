//! From the TUN to the wire, in packet order: read, look up, fit, seal, send. What is not carried is counted and, where the
//! sender can do something about it, answered.
use super::Upcall;
use super::fragment::Fragments;
use super::icmp::{self, Reason};
use super::limit::{Bucket, PerChild};
use super::segment::{Pieces, Segments};
use super::stats::Direction;
use super::train::{MAX_OCTETS, Track, Train};
use super::worker::{Ends, Shared};
use crate::esp::drop::Drop;
use crate::esp::tos;
use crate::io::{Datagrams, Destination, Tun, VnetHeader};
use crate::ipsec::path::{Path, inner_mtu};
use crate::ipsec::spd::{Action, PolicyEntry, Slot, Spd};
use crate::ipsec::tables::{Child, OutboundEntry};
use crate::wire::esp::{NEXT_HEADER_IPV4, NEXT_HEADER_IPV6};
use crate::wire::ip::{self, Flow, Packet};
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Packets or super-packets that are read before the sockets have their turn again.
const BATCH: usize = 64;
/// The largest packet, and one octet more to tell a longer one.
const READ: usize = 65_536;
/// Smallest MTU of IPv6 (RFC 8200 section 5).
const IPV6_MIN_MTU: usize = 1280;
/// ICMP answers of one worker.
const ANSWERS_PER_SECOND: u64 = 200;
const ANSWERS_AT_ONCE: u64 = 50;

/// A worker's sending half.
#[derive(Debug)]
pub struct Outbound {
    packet: Box<[u8]>,
    sealer: Sealer,
    answers: Bucket,
    acquires: PerChild,
    exhausted: PerChild,
}

/// Why a packet is not carried, and what its sender hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    drop: Drop,
    answer: Option<Reason>,
}

impl Refusal {
    const fn silent(drop: Drop) -> Self {
        Self { drop, answer: None }
    }
    const fn prohibited(drop: Drop) -> Self {
        Self { drop, answer: Some(Reason::Prohibited) }
    }
}

impl From<Drop> for Refusal {
    fn from(drop: Drop) -> Self {
        Self::silent(drop)
    }
}

type Children = Vec<Option<Arc<Child>>>;

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
            answers: Bucket::new(ANSWERS_PER_SECOND, ANSWERS_AT_ONCE),
            acquires: PerChild::default(),
            exhausted: PerChild::default(),
        }
    }

    /// Reads a device until it is empty or the batch is full, and sends what came of it. An error other than `WouldBlock` is the device's
    /// end.
    pub fn serve<D: Datagrams, T: Tun>(
        &mut self,
        now: Duration,
        device: usize,
        ends: &mut Ends<D, T>,
        shared: &Shared,
    ) -> std::io::Result<()> {
        let spd = shared.tables.spd.load();
        let children = shared.tables.children.load();
        let mut result = Ok(());
        let mut count = 0;
        while count < BATCH {
            let Some((_, tun)) = ends.devices.get_mut(device) else { break };
            match tun.read(&mut self.packet) {
                Ok((header, len)) => self.packet(now, device, &header, len, ends, (&spd, &children), shared),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    if e.kind() != ErrorKind::WouldBlock {
                        result = Err(e);
                    }
                    break;
                }
            }
            count += 1;
        }
        shared.stats.count_batch(Direction::Out, count);
        self.sealer.train.send(ends, &shared.stats);
        result
    }

    /// One packet or super-packet, from lookup to seal.
    #[allow(clippy::too_many_arguments, reason = "the tables are loaded once per batch, by the caller")]
    fn packet<D: Datagrams, T: Tun>(
        &mut self,
        now: Duration,
        device: usize,
        header: &VnetHeader,
        len: usize,
        ends: &mut Ends<D, T>,
        (spd, children): (&Spd, &Children),
        shared: &Shared,
    ) {
        let data = &self.packet[..len.min(READ)];
        let Ok(parsed) = ip::parse(data) else {
            return shared.stats.count_drops(Drop::Malformed, 1);
        };
        let policy = spd.lookup(ends.devices[device].0, &parsed.flow);
        let slot = policy.and_then(|policy| match policy.action {
            Action::Protect(slot) => Some(slot),
            Action::Pass | Action::Drop => None,
        });
        let child = slot.and_then(|slot| children.get(slot.0 as usize)?.as_deref());
        let refusal = match (policy, child) {
            (Some(policy), Some(child)) => {
                let result = self.sealer.protect(child, header, data, &parsed, ends, shared);
                match result {
                    Ok(()) => return,
                    Err(refusal) => {
                        self.tell(refusal.drop, policy, child.slot, children.len(), now, shared);
                        refusal
                    }
                }
            }
            (Some(policy), None) => {
                if let Some(slot) = slot {
                    self.tell(Drop::NoSa, policy, slot, children.len(), now, shared);
                }
                refuse(policy.action)
            }
            (None, _) => Refusal::prohibited(Drop::NoPolicy),
        };
        shared.stats.count_drops(refusal.drop, 1);
        if let Some(counter) = child.and_then(|child| child.counters.drops.get(refusal.drop as usize)) {
            counter.fetch_add(1, Relaxed);
        }
        if let Some(reason) = refusal.answer {
            self.answer(reason, len, &parsed, now, device, ends);
        }
    }

    /// The engine learns that an SA is wanted.
    fn tell(&mut self, drop: Drop, policy: &PolicyEntry, slot: Slot, slots: usize, now: Duration, shared: &Shared) {
        match drop {
            Drop::NoSa if self.acquires.take(slot, slots, now) => {
                shared.tell(Upcall::Acquire { name: policy.name.clone() });
            }
            Drop::SequenceExhausted if self.exhausted.take(slot, slots, now) => {
                shared.tell(Upcall::Exhausting { slot });
            }
            _ => {}
        }
    }

    /// Back through the TUN, if the packet may be answered and we have not said too much already.
    fn answer<D, T: Tun>(
        &mut self,
        reason: Reason,
        len: usize,
        parsed: &Packet,
        now: Duration,
        device: usize,
        ends: &mut Ends<D, T>,
    ) {
        let mut out = [0; icmp::MAX_ANSWER];
        let Some(len) = icmp::answer(reason, &self.packet[..len], parsed, &mut out) else { return };
        if !self.answers.take(now) {
            return;
        }
        if let Some((_, tun)) = ends.devices.get_mut(device) {
            // A device that does not take it has a full queue or is going away; the sender will ask again.
            let _ = tun.write(&VnetHeader::default(), &[IoSlice::new(&out[..len])]);
        }
    }
}

/// A policy without a child. What is to pass in the clear goes past this device by routing: a `pass` packet that still comes here has lost
/// its way, and giving it back to the host would send it here again and again. So it is refused, aloud, as if there were no policy.
fn refuse(action: Action) -> Refusal {
    match action {
        Action::Protect(_) => Refusal::silent(Drop::NoSa),
        Action::Pass => Refusal::prohibited(Drop::NoPolicy),
        Action::Drop => Refusal::prohibited(Drop::PolicyDrop),
    }
}

/// Cuts, seals and collects.
#[derive(Debug)]
struct Sealer {
    train: Train,
    /// A segment that must be fragmented.
    segment: Box<[u8]>,
}

/// How a packet fits its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// As it is, with this DF on the outer packet.
    Whole { dont_fragment: bool },
    /// As fragments of at most this many octets.
    Fragments(usize),
    /// Not at all; the sender should know this MTU.
    TooBig(u16),
}

impl Sealer {
    /// Through the child's present SA.
    ///
    /// With several workers, any of them seals for any SA. A peer whose window is narrow wants one that seals for it alone: the
    /// place to hand the packet over to that worker (its number is in the SPI's `WORKER_MASK`) is here, before any number is
    /// reserved.
    fn protect<D: Datagrams, T>(
        &mut self,
        child: &Child,
        header: &VnetHeader,
        data: &[u8],
        parsed: &Packet,
        ends: &mut Ends<D, T>,
        shared: &Shared,
    ) -> Result<(), Refusal> {
        let entry = child.outbound.load();
        let entry = entry.as_deref().ok_or(Refusal::silent(Drop::NoSa))?;
        admits(entry, &parsed.flow)?;
        let segments = Segments::new(header, data, parsed).map_err(|_| Drop::Malformed)?;
        let path = entry.path.load();
        let socket = ends.socket_for(path.encap, path.local, path.remote).ok_or(Drop::Device)?;
        let has_ports = entry.local_ts.iter().chain(&entry.remote_ts).any(|selector| selector.has_ports());
        let tos = tos::encapsulate(parsed.tos, child.copy_dscp);
        let destination =
            |dont_fragment| Destination { local: path.local, remote: path.remote, tos, dont_fragment };
        let (packets, bytes) = match fit(segments.len_of(0), parsed, inner_mtu(&path, &entry.sa).into(), has_ports) {
            Fit::Whole { dont_fragment } => {
                let track = Track { socket, to: destination(dont_fragment) };
                self.seal(&segments, entry, parsed, track, ends, shared)?
            }
            Fit::Fragments(mtu) => {
                let track = Track { socket, to: destination(false) };
                self.seal_fragments(&segments, mtu, entry, parsed, track, ends, shared)?
            }
            Fit::TooBig(mtu) => return Err(Refusal { drop: Drop::TooBig, answer: Some(Reason::TooBig(mtu)) }),
        };
        child.counters.packets_out.fetch_add(packets, Relaxed);
        child.counters.bytes_out.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Writes each piece where it is sent from and seals it there. Packets and octets of them.
    fn seal<D: Datagrams, T>(
        &mut self,
        pieces: &impl Pieces,
        entry: &OutboundEntry,
        parsed: &Packet,
        track: Track,
        ends: &mut Ends<D, T>,
        shared: &Shared,
    ) -> Result<(u64, u64), Refusal> {
        let sa = &entry.sa;
        let head = sa.head();
        let next_header = if parsed.flow.src.is_ipv4() { NEXT_HEADER_IPV4 } else { NEXT_HEADER_IPV6 };
        if sa.sealed_len(pieces.len_of(0)) > MAX_OCTETS {
            return Err(Drop::TooBig.into());
        }
        let count = u32::try_from(pieces.count()).map_err(|_| Drop::Malformed)?;
        let numbers = sa.reserve(count).map_err(|_| Drop::SequenceExhausted)?;
        let mut bytes = 0;
        for (i, seq) in numbers.enumerate() {
            let inner = pieces.len_of(i);
            let out = self.train.place(sa.sealed_len(inner), track, ends, &shared.stats);
            pieces.write(i, &mut out[head..head + inner]);
            sa.seal(seq, out, inner, next_header);
            bytes += inner as u64;
        }
        Ok((count.into(), bytes))
    }

    /// Each segment as fragments.
    #[allow(clippy::too_many_arguments, reason = "what `seal` takes, and the MTU")]
    fn seal_fragments<D: Datagrams, T>(
        &mut self,
        segments: &Segments<'_>,
        mtu: usize,
        entry: &OutboundEntry,
        parsed: &Packet,
        track: Track,
        ends: &mut Ends<D, T>,
        shared: &Shared,
    ) -> Result<(u64, u64), Refusal> {
        let mut sum = (0, 0);
        let mut segment = std::mem::take(&mut self.segment);
        let mut result = Ok(());
        for i in 0..segments.count() {
            let len = segments.len_of(i);
            segments.write(i, &mut segment[..len]);
            let one = Packet { len, ..*parsed };
            let sealed = Fragments::new(&segment[..len], &one, mtu)
                .ok_or(Refusal::silent(Drop::TooBig))
                .and_then(|fragments| self.seal(&fragments, entry, parsed, track, ends, shared));
            match sealed {
                Ok((packets, bytes)) => sum = (sum.0 + packets, sum.1 + bytes),
                Err(refusal) => {
                    result = Err(refusal);
                    break;
                }
            }
        }
        self.segment = segment;
        result.map(|()| sum)
    }
}

/// The SA in use may be narrower than its policy; what it may not carry, the peer would drop (RFC 4301 section 5.2).
fn admits(entry: &OutboundEntry, flow: &Flow) -> Result<(), Refusal> {
    let local = entry.local_ts.iter().any(|selector| selector.matches(flow.src, flow, flow.sport));
    let remote = entry.remote_ts.iter().any(|selector| selector.matches(flow.dst, flow, flow.dport));
    if local && remote {
        return Ok(());
    }
    let ports = || entry.local_ts.iter().chain(&entry.remote_ts).any(|selector| selector.has_ports());
    if flow.later_fragment && ports() {
        return Err(Drop::LaterFragment.into());
    }
    Err(Refusal::prohibited(Drop::SelectorMismatch))
}

/// `largest`: octets of the largest inner packet, `mtu`: what the path takes. IPv4 that may be fragmented is, before ESP; but where the
/// selectors have ports the peer could not check the fragments (RFC 4301 section 7.3), so there the outer packet is fragmented. So it is
/// for IPv6 on a path that is too narrow for IPv6's smallest packet (RFC 2473 section 7.1).
fn fit(largest: usize, parsed: &Packet, mtu: usize, has_ports: bool) -> Fit {
    let ipv4 = parsed.flow.src.is_ipv4();
    if largest <= mtu {
        return Fit::Whole { dont_fragment: parsed.dont_fragment };
    }
    if !ipv4 && largest <= IPV6_MIN_MTU {
        return Fit::Whole { dont_fragment: false };
    }
    match (parsed.dont_fragment || !ipv4, has_ports) {
        (true, _) => {
            let floor = if ipv4 { 68 } else { IPV6_MIN_MTU };
            Fit::TooBig(u16::try_from(mtu.max(floor)).unwrap_or(u16::MAX))
        }
        (false, true) => Fit::Whole { dont_fragment: false },
        (false, false) => Fit::Fragments(mtu),
    }
}
