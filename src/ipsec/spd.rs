//! Policies: which packet is protected by which child, passes, or is dropped (RFC 4301 section 4.4.1).
use super::admit::{End, admits};
use super::prefix::Address;
use super::rules::{Rule, Rules};
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use std::net::IpAddr;
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

/// One policy: seen from inside, `local` is the source of outgoing packets. Selectors behind the first 65,536 of a side are not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyEntry {
    /// Connection and child, `office/lan`.
    pub name: Arc<str>,
    /// Selectors on our side.
    pub local: Arc<[Selector]>,
    /// Selectors on the peer's side.
    pub remote: Arc<[Selector]>,
    /// Higher wins among equally long matches.
    pub priority: i32,
    /// What to do.
    pub action: Action,
}

impl PolicyEntry {
    /// True for a non-first fragment whose addresses and protocol this policy claims, but whose ports it would have to know: it is
    /// dropped (RFC 4301 section 7.3), and by no means left to a wider policy, which might let it pass in the clear.
    pub fn later_fragment_forbidden(&self, flow: &Flow) -> bool {
        // The packet says so, and the policy need not be looked at.
        if !flow.later_fragment {
            return false;
        }
        let local = End { addr: flow.src, port: flow.sport, selectors: &self.local };
        let remote = End { addr: flow.dst, port: flow.dport, selectors: &self.remote };
        admits([local, remote], flow, false).is_err()
    }
}

/// All policies of all devices. Longest match of the remote prefix, then of the local one, then priority, then the lowest order. A range
/// counts as the prefixes that make it up. A clone is cheap, and shares what is not changed.
#[derive(Clone, Debug, Default)]
pub struct Spd {
    devices: Vec<Device>,
}

/// What a packet is to do.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// What its policy says.
    pub action: Action,
    /// Which that is.
    pub policy: &'a PolicyEntry,
}

impl Spd {
    /// Builds from a list.
    pub fn new(policies: impl IntoIterator<Item = (DeviceId, PolicyEntry)>) -> Self {
        let mut spd = Self::default();
        for (order, (device, policy)) in (0..).zip(policies) {
            spd.insert(device, order, &Arc::new(policy));
        }
        spd
    }

    /// Adds a policy.
    pub fn insert(&mut self, device: DeviceId, order: u64, policy: &Arc<PolicyEntry>) {
        let device = usize::from(device.0);
        if self.devices.len() <= device {
            self.devices.resize_with(device + 1, Device::default);
        }
        let Device { v4, v6 } = &mut self.devices[device];
        Rule::of(policy, order).into_iter().for_each(|rule| v4.insert(rule));
        Rule::of(policy, order).into_iter().for_each(|rule| v6.insert(rule));
    }

    /// Takes away a policy that was added with these arguments.
    pub fn remove(&mut self, device: DeviceId, order: u64, policy: &Arc<PolicyEntry>) {
        let Some(Device { v4, v6 }) = self.devices.get_mut(usize::from(device.0)) else { return };
        Rule::of(policy, order).iter().for_each(|rule| v4.remove(rule));
        Rule::of(policy, order).iter().for_each(|rule| v6.remove(rule));
    }

    /// The policy of an outgoing packet (`flow.src` is local). Ask its `later_fragment_forbidden` before using it: for a non-first
    /// fragment ports are not compared. Does not allocate.
    pub fn lookup(&self, device: DeviceId, flow: &Flow) -> Option<Found<'_>> {
        let device = self.devices.get(usize::from(device.0))?;
        match (flow.src, flow.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => device.v4.lookup(src.to_bits(), dst.to_bits(), flow).map(Found::from),
            (IpAddr::V6(src), IpAddr::V6(dst)) => device.v6.lookup(src.to_bits(), dst.to_bits(), flow).map(Found::from),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Device {
    v4: Rules<u32>,
    v6: Rules<u128>,
}

impl<'a, A: Address> From<&'a Rule<A>> for Found<'a> {
    fn from(rule: &'a Rule<A>) -> Self {
        Self { action: rule.action, policy: &rule.policy }
    }
}
