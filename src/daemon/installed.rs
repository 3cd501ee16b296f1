//! A pair of SAs that workers have, and what has travelled on it.
use super::install::Ordered;
use super::places::Key;
use crate::ike::event::{ChildId, Seen, Usage};
use crate::ipsec::sad::InboundEntry;
use crate::ipsec::spd::Slot;
use crate::ipsec::tables::OutboundEntry;
use crate::wire::selector::Selector;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A pair of SAs in the tables.
#[derive(Debug)]
pub struct Installed {
    /// Whose.
    pub key: Key,
    /// Where.
    pub slot: Slot,
    /// The worker that it is for (RFC 9611); `None`: for all.
    pub resource: Option<u32>,
    /// As it was negotiated, without the keys.
    pub terms: Terms,
    /// Its sending half.
    pub outbound: Arc<OutboundEntry>,
    /// Its receiving half.
    pub(super) inbound: Arc<InboundEntry>,
    /// Highest sequence number that had come, and next one to be sent, when it was last looked at.
    pub(super) seen: (u64, u64),
    /// Packets, both directions, that were told of.
    pub(super) told: u64,
    /// Order of arrival: the youngest that may send, sends.
    pub(super) age: u64,
    /// Send on it from then on; `None`: now.
    pub(super) takeover: Option<Duration>,
    /// That of a peer; the others' are configured. Of the SAs of one child with the same selectors one has it for all.
    pub(super) policy: Option<Ordered>,
}

/// What was negotiated.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Inbound SPI.
    pub spi_in: u32,
    /// Outbound SPI.
    pub spi_out: u32,
    /// In strongSwan's keywords.
    pub proposal: String,
    /// Extended sequence numbers.
    pub esn: bool,
    /// What it takes the place of.
    pub replaces: Option<ChildId>,
}

/// The selectors of an SA, local and remote, by the names that policies know: those of this side.
pub(super) fn here(inbound: &InboundEntry) -> (Arc<[Selector]>, Arc<[Selector]>) {
    let InboundEntry { local_ts, remote_ts, child, .. } = inbound;
    match &child.translation {
        None => (local_ts.clone(), remote_ts.clone()),
        Some(names) => (
            local_ts.iter().filter_map(|ts| names.local_here(ts)).collect(),
            remote_ts.iter().filter_map(|ts| names.remote_here(ts)).collect(),
        ),
    }
}

impl Installed {
    /// What has come and what was sent since it was last asked.
    pub(super) fn look(&mut self, seen: &mut Seen) {
        let now = (self.inbound.sa.highest(), self.outbound.sa.next());
        let before = std::mem::replace(&mut self.seen, now);
        if now.1 > before.1 {
            seen.sent.push(self.terms.spi_in);
        }
        if now.0 > before.0 {
            seen.heard.push(self.terms.spi_in);
        } else if now.1 > before.1 {
            seen.unanswered.push(self.terms.spi_in);
        }
    }

    /// `None` if nothing has changed since it was last asked.
    pub(super) fn usage(&mut self, id: ChildId) -> Option<Usage> {
        let (next, left) = (self.outbound.sa.next(), self.outbound.sa.left());
        let sent = next.saturating_sub(1);
        let packets = sent.saturating_add(self.inbound.traffic.packets.load(Relaxed));
        if std::mem::replace(&mut self.told, packets) == packets {
            return None;
        }
        let bytes = self.inbound.traffic.bytes.load(Relaxed) + self.outbound.traffic.bytes.load(Relaxed);
        let all = u128::from(sent) + u128::from(left);
        // 1000 only when none is left: so it is rounded down.
        let sequence_permille = (u128::from(sent) * 1000).checked_div(all).map_or(1000, |part| part as u16);
        Some(Usage { id, bytes, packets, sequence_permille })
    }
}
