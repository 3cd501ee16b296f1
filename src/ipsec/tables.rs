//! What the engine publishes and workers read: policies, SAs, children.
use super::path::Path;
use super::sad::Sad;
use super::spd::{DeviceId, Slot, Spd};
use crate::esp::outbound::OutboundSa;
use crate::wire::selector::Selector;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
/// A child as workers see it: its place is fixed, its outbound SA is exchanged by rekeys.
#[derive(Debug)]
pub struct Child {
    /// Place in the tables.
    pub slot: Slot,
    /// `connection/child`, for events and acquires.
    pub name: Arc<str>,
    /// Where its inner packets come from and go to.
    pub device: DeviceId,
    /// The SA to send on, if there is one.
    pub outbound: ArcSwapOption<OutboundEntry>,
    /// Copy the inner DSCP to the outer header.
    pub copy_dscp: bool,
    /// Counters over all SAs of this child.
    pub counters: ChildCounters,
}
/// Counters of a child; never go back over a rekey. Drops are counted here when the child is known.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ChildCounters {
    pub bytes_in: AtomicU64,
    pub packets_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub packets_out: AtomicU64,
    pub drops: Box<[AtomicU64]>,
}
/// The sending half with what was negotiated for it.
#[derive(Debug)]
pub struct OutboundEntry {
    /// Keys and sequence.
    pub sa: OutboundSa,
    /// Narrowed selectors on our side.
    pub local_ts: Vec<Selector>,
    /// Narrowed selectors on the peer's side.
    pub remote_ts: Vec<Selector>,
    /// The path of its IKE SA.
    pub path: Arc<ArcSwap<Path>>,
}
/// The published tables. The engine writes; a worker loads each once per batch.
#[derive(Debug)]
pub struct Tables {
    /// Policies.
    pub spd: ArcSwap<Spd>,
    /// Inbound SAs.
    pub sad: ArcSwap<Sad>,
    /// Children by slot.
    pub children: ArcSwap<Vec<Option<Arc<Child>>>>,
}
