//! What leaves together: equal datagrams to one destination, sealed where they are sent from.
use super::stats::WorkerStats;
use super::worker::Ends;
use crate::esp::drop::Drop;
use crate::io::{Datagrams, Destination};
use std::io::ErrorKind;

/// Datagrams in a train: what every kernel with UDP_SEGMENT takes.
pub const MAX_DATAGRAMS: usize = 64;
/// Octets in a train, and so in one datagram: an IPv6 packet of 65,535 octets, or an IPv4 one, less the headers.
pub const MAX_OCTETS: usize = 65_535 - 40 - 8;

/// Where a train goes: a socket of the worker, and the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Index among the worker's sockets.
    pub socket: usize,
    /// Addresses, TOS, DF.
    pub to: Destination,
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

    /// Room for one more datagram of `len` octets, at most `MAX_OCTETS`. Sends what is there first if it cannot stand behind that: another
    /// destination, TOS or DF, a longer one, one behind a shorter one, or too many.
    pub fn place<D: Datagrams, T>(
        &mut self,
        len: usize,
        track: Track,
        ends: &mut Ends<D, T>,
        stats: &WorkerStats,
    ) -> &mut [u8] {
        let fits = self.track == Some(track)
            && len <= self.segment
            && self.len == self.count * self.segment
            && self.count < MAX_DATAGRAMS
            && self.len + len <= MAX_OCTETS;
        if !fits {
            self.send(ends, stats);
            self.track = Some(track);
            self.segment = len;
        }
        let from = self.len;
        self.len += len;
        self.count += 1;
        &mut self.buf[from..from + len]
    }

    /// Sends what is there.
    pub fn send<D: Datagrams, T>(&mut self, ends: &mut Ends<D, T>, stats: &WorkerStats) {
        let count = std::mem::take(&mut self.count);
        let len = std::mem::take(&mut self.len);
        let (Some(track), true) = (self.track.take(), count > 0) else { return };
        let Some(socket) = ends.sockets.get_mut(track.socket) else { return };
        let (sent, reason) = match socket.io.send(&track.to, &self.buf[..len], self.segment) {
            Ok(sent) => (sent, Drop::Device),
            Err(e) if e.kind() == ErrorKind::WouldBlock => (0, Drop::QueueFull),
            Err(_) => (0, Drop::Device),
        };
        stats.count_drops(reason, count.saturating_sub(sent) as u64);
    }
}

impl Default for Train {
    fn default() -> Self {
        Self::new()
    }
}
