//! Splitting and gathering encrypted fragments (RFC 7383); the cryptography of each is the caller's.
use super::message::MAX_MESSAGE;
use super::registry::PayloadType;
use std::ops::Range;

/// Octets between the IKE header and the IV of a fragment: payload header, number, total.
pub const SKF_HEADER_LEN: usize = 8;
/// A message in more fragments than this is refused: 64 KiB at the smallest sensible size, 256 octets each.
pub const MAX_FRAGMENTS: u16 = 256;

/// Where to cut `len` octets of inner payloads so that each fragment holds at most `room` of them. Number `i + 1` of the total is range `i`; the type of the
/// first inner payload goes into the first, NONE into the others (RFC 7383 section 2.5). `None` if that needs more than 256 fragments, or `room` is 0.
pub fn split(len: usize, room: usize) -> Option<impl ExactSizeIterator<Item = Range<usize>>> {
    if room == 0 || len.div_ceil(room) > MAX_FRAGMENTS.into() {
        return None;
    }
    // An empty message is one empty fragment.
    let total = len.div_ceil(room).max(1) as u16;
    Some((0..total).map(move |i| usize::from(i) * room..((usize::from(i) + 1) * room).min(len)))
}

/// The fragments of one message (one IKE SA, direction and message id) as they come in. It holds at most its limit of octets.
#[derive(Debug)]
pub struct Reassembly {
    limit: usize,
    first: PayloadType,
    /// One place per fragment; empty before the first one.
    parts: Vec<Option<Vec<u8>>>,
    octets: usize,
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// Kept; others are missing.
    Waiting,
    /// It was the last one: type of the first inner payload and all of the inner payloads. The buffer is empty again.
    Complete(PayloadType, Vec<u8>),
    /// Dropped: number or total are impossible, it was there already, or it belongs to an earlier, coarser split.
    Dropped,
    /// Over the limit: everything gathered so far is gone.
    TooLong,
}

impl Reassembly {
    /// An empty buffer for at most `limit` octets (and never more than a message may have).
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.min(MAX_MESSAGE), first: PayloadType::NONE, parts: Vec::new(), octets: 0 }
    }
    /// True if the fragment would be of use: asked before its ICV is checked, so that replays cost nothing (RFC 7383 section 2.6).
    pub fn wants(&self, number: u16, total: u16) -> bool {
        let possible = 1 <= number && number <= total && total <= MAX_FRAGMENTS;
        match usize::from(total).cmp(&self.parts.len()) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => possible && self.part(number).is_none(),
            std::cmp::Ordering::Greater => possible,
        }
    }
    /// Takes the plaintext of a fragment **whose ICV was right**. A greater total than before means that the peer split anew,
    /// finer: what is there is thrown away (RFC 7383 section 2.6).
    pub fn insert(&mut self, number: u16, total: u16, first: PayloadType, plain: Vec<u8>) -> Gathered {
        if !self.wants(number, total) {
            return Gathered::Dropped;
        }
        if usize::from(total) > self.parts.len() {
            self.clear();
            self.parts.resize(total.into(), None);
        }
        self.octets += plain.len();
        if self.octets > self.limit {
            self.clear();
            return Gathered::TooLong;
        }
        if number == 1 {
            self.first = first;
        }
        if let Some(place) = self.parts.get_mut(usize::from(number) - 1) {
            *place = Some(plain);
        }
        if self.parts.iter().any(Option::is_none) {
            return Gathered::Waiting;
        }
        let whole = self.parts.iter().flatten().flatten().copied().collect();
        let first = self.first;
        self.clear();
        Gathered::Complete(first, whole)
    }
    /// Nothing has been gathered.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
    /// Into how many fragments the peer has cut the message; 0 before the first one.
    pub fn total(&self) -> u16 {
        self.parts.len() as u16
    }
    /// Octets held.
    pub fn octets(&self) -> usize {
        self.octets
    }
    /// Type of the first inner payload, once the first fragment is there.
    pub fn first(&self) -> PayloadType {
        self.first
    }
    /// The fragments that are there, by their numbers.
    pub fn parts(&self) -> impl Iterator<Item = (u16, &[u8])> {
        (1..).zip(&self.parts).filter_map(|(number, part)| Some((number, part.as_deref()?)))
    }
    /// Throws everything away.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
    fn part(&self, number: u16) -> Option<&Vec<u8>> {
        self.parts.get(usize::from(number).checked_sub(1)?)?.as_ref()
    }
}

#[cfg(test)]
mod tests;
