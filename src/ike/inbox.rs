//! Fragments of the peer's messages until they are whole (RFC 7383 section 2.6). All of one IKE SA share one limit of octets.
use super::channel::{Inner, OpenError, Opened};
use crate::frozen::frozen;
use crate::wire::fragment::{Gathered, Reassembly};
use crate::wire::message::{Header, MAX_MESSAGE};
use crate::wire::payload::Skf;
use std::net::SocketAddr;
use std::time::Duration;

/// Messages that are gathered at the same time: a window of requests, and the response that we wait for.
const MAX_GATHERING: usize = super::window::SIZE as usize + 1;
/// What is not whole after this time is forgotten; the peer sends it again, or has given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What has come of messages that are not whole, and whole requests whose turn has not come.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    gathering: Vec<Gathering>,
    early: Vec<Early>,
}
/// A request that came before one with a lower id.
#[derive(Debug)]
pub(super) struct Early {
    pub inner: Inner,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}
#[derive(Debug)]
struct Gathering {
    /// Requests and responses have numbers of their own.
    key: (bool, u32),
    since: Duration,
    parts: Reassembly,
    largest: usize,
}
frozen! {
    struct Inbox { gathering, early }
    struct Gathering { key, since, parts, largest }
}

impl Inbox {
    /// True if the fragment would be of use; asked before its ICV is looked at, so that replays cost nothing.
    pub(super) fn wants(&self, header: &Header, skf: &Skf) -> bool {
        match self.gathering.iter().find(|g| g.key == key(header)) {
            Some(gathering) => gathering.parts.wants(skf.number, skf.total),
            None => Reassembly::new(MAX_MESSAGE).wants(skf.number, skf.total),
        }
    }
    /// Takes the plaintext of a fragment **whose ICV was right**. Whoever exceeds `limit` octets loses the message that did it.
    pub(super) fn insert(
        &mut self,
        now: Duration,
        limit: usize,
        header: Header,
        skf: &Skf,
        plain: Vec<u8>,
    ) -> Result<Opened, OpenError> {
        self.tidy(now);
        let key = key(&header);
        let all = self.octets();
        let at = match self.gathering.iter().position(|g| g.key == key) {
            Some(at) => at,
            None if self.gathering.len() == MAX_GATHERING => return Err(OpenError::Icv),
            None => {
                let parts = Reassembly::new(MAX_MESSAGE);
                self.gathering.push(Gathering { key, since: now, parts, largest: 0 });
                self.gathering.len() - 1
            }
        };
        let gathering = &mut self.gathering[at];
        let anew = gathering.parts.total() < skf.total;
        let held = if anew { 0 } else { gathering.parts.octets() };
        gathering.largest = if anew { 0 } else { gathering.largest }.max(header.length as usize);
        let largest = Some(gathering.largest);
        let too_much = all - gathering.parts.octets() + held + plain.len() > limit;
        match gathering.parts.insert(skf.number, skf.total, skf.first, plain) {
            _ if too_much => self.gathering.remove(at),
            Gathered::Waiting | Gathered::Dropped => return Err(OpenError::Waiting),
            Gathered::TooLong => self.gathering.remove(at),
            Gathered::Complete(first, octets) => {
                self.gathering.remove(at);
                return Ok(Opened { inner: Inner { header, first, octets }, largest, head: None });
            }
        };
        Err(OpenError::Waiting)
    }
    /// Keeps a request until its turn comes. What exceeds `limit` octets has to come again.
    pub(super) fn park(&mut self, limit: usize, early: Early) {
        let known = self.early.iter().any(|e| e.inner.header.id == early.inner.header.id);
        if !known && self.early.len() < MAX_GATHERING && self.octets() + early.inner.octets.len() <= limit {
            self.early.push(early);
        }
    }
    /// The request with this id, if it is there already.
    pub(super) fn next(&mut self, id: u32) -> Option<Early> {
        let at = self.early.iter().position(|e| e.inner.header.id == id)?;
        Some(self.early.swap_remove(at))
    }
    /// Octets held.
    pub(super) fn octets(&self) -> usize {
        let fragments: usize = self.gathering.iter().map(|g| g.parts.octets()).sum();
        fragments + self.early.iter().map(|e| e.inner.octets.len()).sum::<usize>()
    }
    /// The message has come in one piece.
    pub(super) fn forget(&mut self, header: &Header) {
        self.gathering.retain(|g| g.key != key(header));
    }
    /// When `tidy` has something to do.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.gathering.iter().map(|g| g.since + PATIENCE).min()
    }
    /// Forgets what did not become whole in time.
    pub(super) fn tidy(&mut self, now: Duration) {
        self.gathering.retain(|g| now < g.since + PATIENCE);
    }
}
fn key(header: &Header) -> (bool, u32) {
    (header.response, header.id)
}
