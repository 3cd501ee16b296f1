//! Packets that came before the keys of their SA: they wait for a moment, and are opened when it is there (design.md, "Order of a rekey").
//! Each worker keeps its own. Only packets with a larval SPI ever come here, so nothing on the usual way allocates.
use crate::io::{ReceiveBatch, Received};
use crate::ipsec::path::Encap;
use std::collections::VecDeque;
use std::time::Duration;

/// Packets that wait in one worker, of all SPIs together, and their octets.
pub const MAX_PACKETS: usize = 256;
const MAX_OCTETS: usize = 512 * 1024;
/// So long they wait.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What waits, in the order of arrival.
#[derive(Debug, Default)]
pub struct Parked {
    packets: VecDeque<Packet>,
    octets: usize,
}

#[derive(Debug)]
struct Packet {
    spi: u32,
    until: Duration,
    encap: Encap,
    from: Received,
    data: Vec<u8>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parking {
    /// The first one of its SPI: its peer is ahead of us.
    First,
    /// Behind others of its SPI.
    Behind,
    /// There is no room.
    Full,
}

impl Parked {
    /// Keeps a packet. `from` tells where it came from and to.
    pub fn keep(&mut self, now: Duration, spi: u32, encap: Encap, from: &Received, data: &[u8]) -> Parking {
        if self.packets.len() >= MAX_PACKETS || self.octets + data.len() > MAX_OCTETS {
            return Parking::Full;
        }
        let first = !self.packets.iter().any(|packet| packet.spi == spi);
        self.octets += data.len();
        self.packets.push_back(Packet { spi, until: now + PATIENCE, encap, from: *from, data: data.to_vec() });
        if first { Parking::First } else { Parking::Behind }
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// When the patience of the first one ends.
    pub fn deadline(&self) -> Option<Duration> {
        self.packets.front().map(|packet| packet.until)
    }

    /// Fills a batch, as if they were received just now, with packets whose SPI is `known`, in order and all of one encapsulation, as far as
    /// there is room. `None` if there is none.
    pub fn refill(&mut self, batch: &mut ReceiveBatch, known: impl Fn(u32) -> bool) -> Option<Encap> {
        batch.datagrams.clear();
        let (mut encap, mut used, mut full) = (None, 0, false);
        self.packets.retain(|packet| {
            let fits = encap.is_none_or(|encap| encap == packet.encap) && used + packet.data.len() <= batch.buf.len();
            if full || !known(packet.spi) {
                return true;
            }
            if !fits {
                // What is behind it must not overtake it.
                full = true;
                return true;
            }
            encap = Some(packet.encap);
            let len = packet.data.len();
            batch.buf[used..used + len].copy_from_slice(&packet.data);
            batch.datagrams.push(Received { offset: used, len, segment: len, ..packet.from });
            used += len;
            false
        });
        self.octets -= used;
        encap
    }

    /// Forgets those whose patience has ended, and tells how many.
    pub fn expire(&mut self, now: Duration) -> u64 {
        let mut expired = 0;
        while let Some(packet) = self.packets.pop_front_if(|packet| packet.until <= now) {
            self.octets -= packet.data.len();
            expired += 1;
        }
        expired
    }
}
