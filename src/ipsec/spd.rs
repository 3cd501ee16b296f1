//! Policies: which packet is protected by which child, passes, or is dropped (RFC 4301 section 4.4.1).
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use std::sync::Arc;
/// A TUN device; policies are kept per device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub u16);
/// Place of a child in the tables: stays with the child over rekeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);
/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Through this child; if it has no SA, an acquire.
    Protect(Slot),
    /// In the clear, back to the host.
    Pass,
    /// Away with it.
    Drop,
}
/// One policy: seen from inside, `local` is the source of outgoing packets.
#[derive(Clone, Debug)]
pub struct PolicyEntry {
    /// Connection and child, `office/lan`.
    pub name: Arc<str>,
    /// Selectors on our side.
    pub local: Vec<Selector>,
    /// Selectors on the peer's side.
    pub remote: Vec<Selector>,
    /// Higher wins among equally long matches.
    pub priority: i32,
    /// What to do.
    pub action: Action,
}
/// All policies of all devices; immutable once built. Longest match of the remote prefix, then of the local one, then priority.
#[derive(Debug, Default)]
pub struct Spd;
impl Spd {
    /// Builds from a list.
    pub fn new(entries: impl IntoIterator<Item = (DeviceId, PolicyEntry)>) -> Self {
        let _ = entries.into_iter();
        todo!()
    }
    /// The policy of an outgoing packet (`flow.src` is local).
    pub fn lookup(&self, device: DeviceId, flow: &Flow) -> Option<&PolicyEntry> {
        let _ = (device, flow);
        todo!()
    }
}
