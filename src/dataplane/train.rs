//! What leaves together: equal datagrams to one destination, sealed where they are sent from.
use super::segment::Pieces;
use super::stats::WorkerStats;
use super::tap;
use super::worker::Ends;
use crate::esp::drop::Drop;
use crate::esp::outbound::OutboundSa;
use crate::io::udp::TRAIN_OCTETS;
use crate::io::{Datagrams, Destination};
use crate::ipsec::path::Encap;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

/// Datagrams in a train: what every kernel with UDP_SEGMENT takes.
pub const MAX_DATAGRAMS: usize = 64;
/// Octets in one datagram: an IPv6 packet of 65,535 octets, or an IPv4 one, less the headers.
pub const MAX_OCTETS: usize = 65_535 - 40 - 8;
const _: () = assert!(TRAIN_OCTETS <= MAX_OCTETS, "a train fits into the buffer");

/// Where a train goes: a socket of the worker, and the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Index among the worker's sockets.
    pub socket: usize,
    /// Addresses, TOS, DF.
    pub to: Destination,
}

/// How a packet is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The SA.
    pub sa: &'a OutboundSa,
    /// Next header: the version of the inner packet.
    pub next_header: u8,
    /// Where it goes.
    pub track: Track,
    /// Who captures.
    pub tap: Option<Tapped<'a>>,
}

/// What whoever captures sees of what is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'a> {
    /// Who that is.
    pub open: &'a tap::Open,
    /// Whose packets they are: `connection/child`.
    pub child: &'a Arc<str>,
    /// The pieces are packets as they are, which were not shown yet.
    pub inner: bool,
}

/// What was sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Pieces.
    pub packets: u64,
    /// Their inner octets.
    pub bytes: u64,
}

/// The train that is being made up. Datagrams leave in the order of `place`.
#[derive(Debug)]
pub struct Train {
    buf: Box<[u8]>,
    len: usize,
    /// Octets of each datagram but the last.
    segment: usize,
    count: usize,
    track: Option<Track>,
}

impl Train {
    /// An empty one.
    pub fn new() -> Self {
        Self { buf: vec![0; MAX_OCTETS].into_boxed_slice(), len: 0, segment: 0, count: 0, track: None }
    }

    /// Writes each piece where it is sent from and seals it there; adds what was sealed to `sealed`. Numbers are reserved for one train at most,
    /// when there is room for it: what other workers reserve meanwhile can overtake no more than that. `TooBig` if a sealed piece would be longer
    /// than a datagram: nothing is sealed then. `SequenceExhausted`: nothing of the train that there are too few numbers for.
    pub fn seal<D: Datagrams, T>(
        &mut self,
        pieces: &impl Pieces,
        sealing: &Sealing<'_>,
        ends: &mut Ends<D, T>,
        stats: &WorkerStats,
        sealed: &mut Sealed,
    ) -> Result<(), Drop> {
        let Sealing { sa, next_header, track, tap } = *sealing;
        let head = sa.head();
        if sa.sealed_len(pieces.len_of(0)) > MAX_OCTETS {
            return Err(Drop::TooBig);
        }
        let count = pieces.count();
        let mut done = 0;
        while done < count {
            let lens = (done..count).map(|i| sa.sealed_len(pieces.len_of(i)));
            let (datagrams, octets) = self.place(lens, track, ends, stats);
            let Ok(numbers) = sa.reserve(datagrams as u32) else {
                (self.count, self.len) = (self.count - datagrams, octets.start);
                return Err(Drop::SequenceExhausted);
            };
            let room = self.buf[octets.clone()].chunks_mut(self.segment.max(1));
            let packets = room.zip(done..count).map(|(packet, i)| {
                let inner = pieces.len_of(i);
                pieces.write(i, &mut packet[head..head + inner]);
                if let Some(tap) = tap.filter(|tap| tap.inner) {
                    tap.open.inner(tap.child, true, &[&packet[head..head + inner]]);
                }
                sealed.bytes += inner as u64;
                (packet, inner)
            });
            sa.seal_run(numbers.start, packets, next_header);
            if let (Some(tap), Some(socket)) = (tap, ends.sockets.get(track.socket)) {
                show(&tap, &track.to, socket.encap, self.buf[octets].chunks(self.segment.max(1)));
            }
            sealed.packets += datagrams as u64;
            done += datagrams;
        }
        Ok(())
    }

    /// Makes room for so many of the next datagrams, of these lengths and at most `MAX_OCTETS` each, as stand in one train: at least for one. How
    /// many, and where. Sends what is there first if that one cannot stand behind it.
    fn place<D: Datagrams, T>(
        &mut self,
        lens: impl Iterator<Item = usize>,
        track: Track,
        ends: &mut Ends<D, T>,
        stats: &WorkerStats,
    ) -> (usize, Range<usize>) {
        let mut lens = lens.peekable();
        let mut next = lens.next();
        if let Some(len) = next
            && !self.fits(len, track)
        {
            self.send(ends, stats);
            self.track = Some(track);
            self.segment = len;
        }
        let (count, from) = (self.count, self.len);
        // The first has its place now, if only because it is too long for any train.
        while let Some(len) = next {
            self.len += len;
            self.count += 1;
            next = lens.next_if(|len| self.fits(*len, track));
        }
        (self.count - count, from..self.len)
    }

    /// It can stand behind what is there: same destination, TOS and DF, no longer than the others, none of which is shorter, and not one
    /// too many.
    fn fits(&self, len: usize, track: Track) -> bool {
        self.track == Some(track)
            && len <= self.segment
            && self.len == self.count * self.segment
            && self.count < MAX_DATAGRAMS
            && self.len + len <= TRAIN_OCTETS
    }

    /// Sends what is there.
    pub fn send<D: Datagrams, T>(&mut self, ends: &mut Ends<D, T>, stats: &WorkerStats) {
        let count = std::mem::take(&mut self.count);
        let len = std::mem::take(&mut self.len);
        let (Some(track), true) = (self.track.take(), count > 0) else { return };
        let Some(socket) = ends.sockets.get_mut(track.socket) else { return };
        let (sent, reason) = match socket.io.send(&track.to, &self.buf[..len], self.segment) {
            // What a full buffer leaves of a train.
            Ok(sent) => (sent, Drop::QueueFull),
            Err(e) if e.kind() == ErrorKind::WouldBlock => (0, Drop::QueueFull),
            Err(_) => (0, Drop::Device),
        };
        stats.count_drops(reason, count.saturating_sub(sent) as u64);
    }
}

/// Whether or not the system takes them.
fn show<'d>(tap: &Tapped<'_>, to: &Destination, encap: Encap, datagrams: impl Iterator<Item = &'d [u8]>) {
    let Destination { local, remote, tos, .. } = *to;
    for data in datagrams {
        let datagram = tap::Datagram { local, remote, encap, tos, marked: false, data };
        tap.open.esp(Some(tap.child), true, datagram);
    }
}

impl Default for Train {
    fn default() -> Self {
        Self::new()
    }
}
