//! From the wire to the TUN, in packet order: receive, classify, open, commit, check, deliver.
//!
//! A batch is put in order by SPI, so that each SA meets its packets as one run: one lookup, a lock of its window for every few
//! packets, one pass of merging. Within an SA the order of arrival stays.
use super::Upcall;
use super::burst::Burst;
use super::limit::{Bucket, PerSpi};
use super::merge::Merge;
use super::mss;
use super::park::{Parked, Parking};
use super::spread;
use super::stats::{Direction, Sample};
use super::tap;
use super::transport::{Header, fix_checksum};
use super::worker::{Ends, Shared};
use crate::esp::drop::Drop;
use crate::esp::inbound::{Inner, Opened, tunnel_payload};
use crate::esp::tos;
use crate::io::{Datagrams, ReceiveBatch, Received, Tun, VnetHeader};
use crate::ipsec::path::Encap;
use crate::ipsec::sad::{InboundEntry, Mode, slot_of};
use crate::ipsec::translate::Way;
use crate::wire::encap::{Datagram, classify};
use crate::wire::esp::parse_header;
use crate::wire::ip::Packet;
use std::io::{ErrorKind, IoSlice};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Trains in one batch.
const SLOTS: usize = 16;
/// Packets of a run that are opened and looked at before the next ones are: they are still in the nearest cache then.
const PART: usize = 16;
/// Packets for which there is room without allocating: 64 in each train.
const PACKETS: usize = SLOTS * 64;
/// Octets of what is answered to a packet that belongs to nothing here: an IKE header, a notification with an SPI, and a UDP header, which raw
/// ESP has not.
const DENIAL: usize = 28 + 12 + 8;
/// So many such packets a worker tells of in a second at most.
const UNKNOWN_RATE: u64 = 500;

/// A worker's receiving half: buffers only, all state is in the SAs.
#[derive(Debug)]
pub struct Inbound {
    batch: ReceiveBatch,
    packets: Vec<EspPacket>,
    opened: Vec<(Opened, EspPacket)>,
    merge: Merge,
    parked: Parked,
    pub(super) burst: Burst,
    /// What is told of packets that belong to nothing here.
    unknowns: (PerSpi, Bucket),
}

/// An ESP packet in the batch's buffer.
#[derive(Clone, Copy, Debug)]
struct EspPacket {
    spi: u32,
    at: usize,
    len: usize,
    /// Which train or datagram it came in.
    datagram: usize,
}

impl EspPacket {
    fn range(&self) -> Range<usize> {
        self.at..self.at + self.len
    }
}

impl Default for Inbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbound {
    /// With all buffers that it needs.
    pub fn new() -> Self {
        Self {
            batch: ReceiveBatch::new(SLOTS),
            packets: Vec::with_capacity(PACKETS),
            opened: Vec::with_capacity(PACKETS),
            merge: Merge::new(PACKETS),
            parked: Parked::default(),
            burst: Burst::default(),
            unknowns: (PerSpi::default(), Bucket::new(UNKNOWN_RATE, UNKNOWN_RATE)),
        }
    }

    /// Receives one batch from a socket and takes all of it to its end.
    pub fn serve<D: Datagrams, T: Tun>(
        &mut self,
        now: Duration,
        socket: usize,
        ends: &mut Ends<D, T>,
        shared: &Shared,
    ) {
        self.release(now, ends, shared);
        let Some(socket) = ends.sockets.get_mut(socket) else { return };
        let encap = socket.encap;
        // An error is one that the network reported about an earlier datagram; what did arrive is in the batch, and nothing older.
        self.batch.datagrams.clear();
        let _ = socket.io.receive(&mut self.batch);
        self.take(now, encap, ends, shared);
    }

    /// Takes on what was parked and can be opened now, and gives up what has waited for too long.
    pub fn release<D: Datagrams, T: Tun>(&mut self, now: Duration, ends: &mut Ends<D, T>, shared: &Shared) {
        if self.parked.is_empty() {
            return;
        }
        loop {
            let known = |spi| shared.tables.sad.knows(spi);
            let Some(encap) = self.parked.refill(&mut self.batch, known) else { break };
            self.take(now, encap, ends, shared);
        }
        shared.stats.count_drops(Drop::UnknownSpi, self.parked.expire(now));
    }

    /// When `release` is due though nothing has happened.
    pub fn deadline(&self) -> Option<Duration> {
        self.parked.deadline()
    }

    /// Takes what is in the batch to its end.
    fn take<D: Datagrams, T: Tun>(&mut self, now: Duration, encap: Encap, ends: &mut Ends<D, T>, shared: &Shared) {
        let tap = shared.open_tap(now);
        self.classify(encap, shared);
        shared.stats.count_batch(Direction::In, self.packets.len());
        // Offsets grow with arrival, so this is stable; a batch of one SA is in order already and costs one pass.
        self.packets.sort_unstable_by_key(|p| (p.spi, p.at));
        let mut from = 0;
        while let Some(first) = self.packets.get(from) {
            let spi = first.spi;
            let len = self.packets[from..].partition_point(|p| p.spi == spi);
            match shared.tables.sad.slot(slot_of(spi)).get(spi) {
                Some(entry) => self.run(entry, from..from + len, encap, ends, shared, tap.as_ref()),
                None => self.unknown(now, spi, from..from + len, encap, shared, tap.as_ref()),
            }
            from += len;
        }
    }

    /// Takes trains apart. IKE goes to the engine, a keepalive proves nothing and is ignored (RFC 3948 section 2.3).
    fn classify(&mut self, encap: Encap, shared: &Shared) {
        self.packets.clear();
        for (index, received) in self.batch.datagrams.iter().enumerate() {
            let Some(train) = self.batch.buf.get(received.offset..received.offset + received.len) else { continue };
            if train.is_empty() {
                shared.stats.count_junk();
            }
            for (i, data) in train.chunks(received.segment.max(1)).enumerate() {
                let esp = match encap {
                    Encap::Raw => Datagram::Esp(data),
                    Encap::Udp => classify(data),
                };
                match esp {
                    Datagram::Esp(data) => match parse_header(data) {
                        // RFC 4303 section 2.1: 0 is never on the wire, up to 255 are reserved.
                        Some((spi, _)) if spi > 255 => self.packets.push(EspPacket {
                            spi,
                            at: received.offset + i * received.segment.max(1),
                            len: data.len(),
                            datagram: index,
                        }),
                        _ => shared.stats.count_junk(),
                    },
                    Datagram::Ike(data) => upcall_ike(received, data, shared),
                    Datagram::Keepalive => {}
                    Datagram::Junk => shared.stats.count_junk(),
                }
            }
        }
    }

    /// Packets whose SPI is in no table that we saw. It may be larval; or have been so until a moment ago, and then we are about to be told.
    fn unknown(
        &mut self,
        now: Duration,
        spi: u32,
        run: Range<usize>,
        encap: Encap,
        shared: &Shared,
        tap: Option<&tap::Open>,
    ) {
        let tables = &shared.tables;
        if !tables.larvae.contains(spi) && !tables.sad.knows(spi) {
            self.show(tap, None, run.clone(), encap);
            self.tell_unknown(now, spi, run.start, shared);
            return shared.stats.count_drops(Drop::UnknownSpi, run.len() as u64);
        }
        for packet in &self.packets[run] {
            let from = &self.batch.datagrams[packet.datagram];
            match self.parked.keep(now, spi, encap, from, &self.batch.buf[packet.range()]) {
                Parking::First => shared.tell(Upcall::Larval { spi }),
                Parking::Behind => {}
                Parking::Full => shared.stats.count_drops(Drop::QueueFull, 1),
            }
        }
    }

    /// Its sender may not know that we have lost the SA; what we answer is no larger than the packet.
    fn tell_unknown(&mut self, now: Duration, spi: u32, packet: usize, shared: &Shared) {
        let Some(packet) = self.packets.get(packet).filter(|packet| packet.len >= DENIAL) else { return };
        let (each, all) = &mut self.unknowns;
        if each.take(spi, now) && all.take(now) {
            let from = &self.batch.datagrams[packet.datagram];
            shared.tell(Upcall::UnknownSpi { spi, local: from.local, remote: from.remote });
        }
    }

    /// To whoever captures. What waits for its SA is shown when that is there.
    fn show(&self, tap: Option<&tap::Open>, child: Option<&str>, run: Range<usize>, encap: Encap) {
        let Some(tap) = tap else { return };
        for packet in &self.packets[run] {
            let Received { local, remote, tos, .. } = self.batch.datagrams[packet.datagram];
            let data = &self.batch.buf[packet.range()];
            tap.esp(child, false, tap::Datagram { local, remote, encap, tos, marked: false, data });
        }
    }

    /// All packets of one SA in this batch.
    fn run<D: Datagrams, T: Tun>(
        &mut self,
        entry: &InboundEntry,
        run: Range<usize>,
        encap: Encap,
        ends: &mut Ends<D, T>,
        shared: &Shared,
        tap: Option<&tap::Open>,
    ) {
        self.show(tap, Some(&entry.child.name), run.clone(), encap);
        let mut device = ends.devices.get_mut(entry.child.device());
        let mut newest = None;
        for from in run.clone().step_by(PART) {
            self.open(entry, from..run.end.min(from + PART), shared);
            newest = self.commit(entry, shared).or(newest);
            let Some(device) = device.as_deref_mut() else {
                self.opened.iter().for_each(|_| count_drop(entry, Drop::Device, shared));
                continue;
            };
            match entry.mode {
                Mode::Tunnel => self.check(entry, device.offloads(), shared, tap),
                Mode::Transport { sent } => self.deliver_payloads(entry, sent, device, shared, tap),
            }
        }
        if let Some(newest) = newest {
            let source = self.batch.datagrams[newest.datagram];
            upcall_moved(entry, &source, encap, shared);
        }
        if let Some(device) = device {
            self.deliver(entry, device, shared);
        }
    }

    /// Verifies and decrypts in place what is not old or replayed at first sight.
    fn open(&mut self, entry: &InboundEntry, run: Range<usize>, shared: &Shared) {
        self.opened.clear();
        let mut short = None;
        let (mut rest, mut at) = (&mut self.batch.buf[..], 0);
        let packets = self.packets[run].iter().map(|packet| {
            // They are sorted by their place.
            let (data, behind) = std::mem::take(&mut rest)[packet.at - at..].split_at_mut(packet.len);
            (rest, at) = (behind, packet.at + packet.len);
            (*packet, data)
        });
        entry.sa.open_run(packets, |packet, result| match result {
            Ok(opened) => self.opened.push((opened, packet)),
            Err(reason) => {
                match reason {
                    Drop::TooShort => short = Some(packet),
                    Drop::BadIcv => drop(entry.traffic.faults.icv.fetch_add(1, Relaxed)),
                    _ => {}
                }
                count_drop(entry, reason, shared);
            }
        });
        if let Some(packet) = short
            && entry.traffic.faults.try_cut()
            && entry.sa.is_cut(&self.batch.buf[packet.range()])
        {
            entry.traffic.faults.cut.fetch_add(1, Relaxed);
        }
    }

    /// Takes the window and keeps only what is new to it: of two copies that were opened, one (RFC 4303 section 3.4.3). The packet that
    /// advanced the window last, if one did.
    fn commit(&mut self, entry: &InboundEntry, shared: &Shared) -> Option<EspPacket> {
        if self.opened.is_empty() {
            return None;
        }
        let mut newest = None;
        let mut window = entry.sa.window();
        let first = window.highest() == 0;
        self.opened.retain(|(opened, packet)| match window.commit(&opened.proof) {
            Ok(highest) => {
                if highest {
                    newest = Some(*packet);
                }
                true
            }
            Err(reason) => {
                count_drop(entry, reason, shared);
                false
            }
        });
        drop(window);
        if first && newest.is_some() {
            shared.tell(Upcall::FirstPacket { spi: entry.spi });
        }
        newest
    }

    /// What the SA may carry goes to the merger.
    fn check(&mut self, entry: &InboundEntry, offloads: (bool, bool), shared: &Shared, tap: Option<&tap::Open>) {
        let outer = &self.batch.datagrams;
        for (opened, packet) in &self.opened {
            let data = &mut self.batch.buf[packet.range()];
            if let Some(tap) = tap
                && let Ok(inner) = tunnel_payload(opened, data)
            {
                tap.inner(&entry.child.name, false, &[&data[inner.range]]);
            }
            match check_inner(entry, opened, data, outer[packet.datagram].tos) {
                Ok(inner) => self.merge.push(&self.batch.buf, packet.at + inner.range.start, &inner.ip, offloads),
                Err(reason) => {
                    count_drop(entry, reason, shared);
                    let data = &self.batch.buf[packet.range()];
                    if reason == Drop::SelectorMismatch
                        && let Ok(inner) = tunnel_payload(opened, data)
                    {
                        sample(entry, reason, &inner, shared);
                    }
                }
            }
        }
    }

    /// Writes packets of transport mode to the device, each with a new IP header in front.
    fn deliver_payloads<T: Tun>(
        &mut self,
        entry: &InboundEntry,
        sent: Option<(IpAddr, IpAddr)>,
        device: &mut T,
        shared: &Shared,
        tap: Option<&tap::Open>,
    ) {
        let (mut packets, mut bytes) = (0, 0);
        let spreads = entry.child.spreads();
        for (opened, packet) in &self.opened {
            let outer = &self.batch.datagrams[packet.datagram];
            let data = &mut self.batch.buf[packet.range()];
            let written = rebuild(entry, opened, data, outer, sent).and_then(|(header, payload)| {
                let parts = [IoSlice::new(header.octets()), IoSlice::new(payload)];
                if let Some(tap) = tap {
                    tap.inner(&entry.child.name, false, &[header.octets(), payload]);
                }
                write(device, spreads, &VnetHeader::default(), &parts).map_err(|e| refused(&e))?;
                if self.burst.count(header.octets(), 1) {
                    std::thread::yield_now();
                }
                Ok(header.octets().len() + payload.len())
            });
            match written {
                Ok(len) => {
                    packets += 1;
                    bytes += len as u64;
                }
                Err(reason) => count_drop(entry, reason, shared),
            }
        }
        entry.child.counters.add_in(bytes, packets);
        entry.traffic.add(bytes, packets);
    }

    /// Writes to the device, neighbours of one flow as one.
    fn deliver<T: Tun>(&mut self, entry: &InboundEntry, device: &mut T, shared: &Shared) {
        let (mut packets, mut bytes) = (0, 0);
        let spreads = entry.child.spreads();
        self.merge.write(&mut self.batch.buf, |header, parts, count| {
            match write(device, spreads, header, parts) {
                Ok(()) => {
                    packets += count as u64;
                    // Headers count for every packet, as they do for the sender.
                    let merged = (count as u64 - 1) * u64::from(header.hdr_len);
                    bytes += merged + parts.iter().map(|part| part.len() as u64).sum::<u64>();
                    if self.burst.count(parts.first().map_or(&[], |first| first), count) {
                        std::thread::yield_now();
                    }
                }
                Err(e) => {
                    let reason = refused(&e);
                    for _ in 0..count {
                        count_drop(entry, reason, shared);
                    }
                }
            }
        });
        entry.child.counters.add_in(bytes, packets);
        entry.traffic.add(bytes, packets);
    }
}

/// A packet of transport mode: the header that it gets, and its payload with a right checksum.
fn rebuild<'p>(
    entry: &InboundEntry,
    opened: &Opened,
    packet: &'p mut [u8],
    outer: &Received,
    sent: Option<(IpAddr, IpAddr)>,
) -> Result<(Header, &'p [u8]), Drop> {
    let payload = packet.get_mut(opened.payload.clone()).ok_or(Drop::Malformed)?;
    let seen = (outer.remote.ip(), outer.local.ip());
    let header = Header::new(seen.0, seen.1, opened.next_header, outer.tos, payload.len())?;
    let parsed = header.parse(payload)?;
    if parsed.fragment {
        return Err(Drop::LaterFragment);
    }
    entry.admits(&parsed.flow)?;
    if let Some(sent) = sent {
        fix_checksum(payload, opened.next_header, sent, seen);
    }
    let outside = header.octets().len();
    if let Some(tcp) = payload.get_mut(parsed.l4 - outside..)
        && mss::announces(tcp, &Packet { l4: 0, ..parsed })
    {
        clamp(entry, tcp, outside, parsed.flow.src.is_ipv4());
    }
    Ok((header, payload))
}

/// The inner packet is whole, of the version that the next header says, within the selectors, which are the wire's, and has survived
/// congestion. Its ECN field takes on what the outer header says, and its addresses the names that they have here. The hop limit stays: the kernel forwards from the TUN and counts it down there.
fn check_inner(entry: &InboundEntry, opened: &Opened, packet: &mut [u8], outer_tos: u8) -> Result<Inner, Drop> {
    let mut inner = tunnel_payload(opened, packet)?;
    entry.admits(&inner.ip.flow)?;
    let tos = tos::decapsulate(inner.ip.tos, outer_tos)?;
    let inside = &mut packet[inner.range.clone()];
    if tos != inner.ip.tos {
        tos::set(inside, tos);
    }
    if mss::announces(inside, &inner.ip) {
        clamp(entry, &mut inside[inner.ip.l4..], 0, inner.ip.flow.src.is_ipv4());
    }
    if let Some(translation) = &entry.child.translation {
        let flow = translation.packet(Way::Inward, inside, &inner.ip, false);
        inner.ip.flow = flow.ok_or(Drop::SelectorMismatch)?;
    }
    Ok(inner)
}

/// What the peer's host announces in `tcp` is what ours will send it: no more than our path takes. `outside`: octets of the IP header, if it
/// stays outside of ESP.
fn clamp(entry: &InboundEntry, tcp: &mut [u8], outside: usize, ipv4: bool) {
    let outbound = entry.child.outbound.load();
    let Some(outbound) = outbound.as_deref() else { return };
    let path = outbound.path.load().inner_mtu(outbound.sa.params().cipher);
    let fitting = entry.child.settings().fitting;
    if let Some(most) = fitting.mss(fitting.mtu(usize::from(path) + outside), ipv4) {
        mss::clamp(tcp, most, false);
    }
}

/// To the worker's own queue of the device; or, where the child's flows are spread, to the queue of the worker that shall serve this flow.
fn write<T: Tun>(device: &mut T, spreads: bool, header: &VnetHeader, parts: &[IoSlice<'_>]) -> std::io::Result<()> {
    if spreads { device.write_flow(spread::flow(parts), header, parts) } else { device.write(header, parts) }
}

/// Why the device did not take a packet.
fn refused(error: &std::io::Error) -> Drop {
    if error.kind() == ErrorKind::WouldBlock { Drop::QueueFull } else { Drop::Device }
}

fn upcall_ike(received: &Received, data: &[u8], shared: &Shared) {
    shared.tell(Upcall::Ike { local: received.local, remote: received.remote, data: data.to_vec() });
}

/// The peer has moved (R37): its NAT gave it another address or port. A raw packet has no port, and with a NAT there is no raw ESP.
fn upcall_moved(entry: &InboundEntry, source: &Received, encap: Encap, shared: &Shared) {
    let outbound = entry.child.outbound.load();
    let Some(path) = outbound.as_ref().map(|outbound| outbound.path.load()) else { return };
    if encap == Encap::Udp && path.may_move && path.remote != source.remote {
        shared.tell(Upcall::Moved { spi: entry.spi, remote: source.remote });
    }
}

/// For who looks at what is dropped.
fn sample(entry: &InboundEntry, reason: Drop, inner: &Inner, shared: &Shared) {
    let (flow, len) = (inner.ip.flow, inner.ip.len);
    let (device, slot) = (entry.child.device(), Some(entry.child.slot));
    shared.stats.samples().keep(|| Sample { reason, flow, len, device, slot, inbound: true });
}

/// In the child's counters and in the worker's, which has the sum over all children and none.
fn count_drop(entry: &InboundEntry, reason: Drop, shared: &Shared) {
    shared.stats.count_drops(reason, 1);
    entry.child.counters.record_drop(reason);
}
