//! Packets from the device for a child that has no SA yet: they wait until it has one, so that the packet that brings a tunnel up is not
//! lost. Each worker keeps its own; nothing here ever leaves but through an SA.
use crate::io::VnetHeader;
use crate::ipsec::spd::{DeviceId, Slot};
use std::collections::VecDeque;
use std::time::Duration;

/// Packets and octets of one child, and packets of all, in one worker.
pub const PER_CHILD: usize = 64;
const CHILD_OCTETS: usize = 128 * 1024;
const MAX_PACKETS: usize = 1024;
/// So long they wait.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What waits, by child and in the order of arrival.
#[derive(Debug, Default)]
pub struct Held {
    children: Vec<OfChild>,
    packets: usize,
}

#[derive(Debug)]
struct OfChild {
    slot: Slot,
    queue: VecDeque<Packet>,
    octets: usize,
}

/// A packet or super-packet as it was read.
#[derive(Debug)]
pub struct Packet {
    /// Where it came from.
    pub device: DeviceId,
    /// How the kernel gave it to us.
    pub header: VnetHeader,
    /// The packet.
    pub data: Vec<u8>,
    until: Duration,
}

impl Held {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Keeps a packet behind the others of its child; false if there is no room for it.
    pub fn keep(&mut self, now: Duration, slot: Slot, device: DeviceId, header: &VnetHeader, data: &[u8]) -> bool {
        let place = self.children.iter().position(|child| child.slot == slot);
        let (packets, octets) = place.map_or((0, 0), |at| (self.children[at].queue.len(), self.children[at].octets));
        if self.packets >= MAX_PACKETS || packets >= PER_CHILD || octets + data.len() > CHILD_OCTETS {
            return false;
        }
        let place = place.unwrap_or_else(|| {
            self.children.push(OfChild { slot, queue: VecDeque::new(), octets: 0 });
            self.children.len() - 1
        });
        let child = &mut self.children[place];
        child.queue.push_back(Packet { device, header: *header, data: data.to_vec(), until: now + PATIENCE });
        child.octets += data.len();
        self.packets += 1;
        true
    }

    /// All packets of a child that is `ready`.
    pub fn release(&mut self, ready: impl Fn(Slot) -> bool) -> Option<VecDeque<Packet>> {
        let place = self.children.iter().position(|child| ready(child.slot))?;
        let child = self.children.swap_remove(place);
        self.packets -= child.queue.len();
        Some(child.queue)
    }

    /// Forgets what came from a device: of which child, and how many.
    pub fn forget(&mut self, device: DeviceId, mut forgotten: impl FnMut(Slot, u64)) {
        for child in &mut self.children {
            let before = child.queue.len();
            child.queue.retain(|packet| packet.device != device);
            child.octets = child.queue.iter().map(|packet| packet.data.len()).sum();
            let count = before - child.queue.len();
            self.packets -= count;
            if count > 0 {
                forgotten(child.slot, count as u64);
            }
        }
        self.children.retain(|child| !child.queue.is_empty());
    }

    /// When the patience of the first one ends.
    pub fn deadline(&self) -> Option<Duration> {
        self.children.iter().filter_map(|child| Some(child.queue.front()?.until)).min()
    }

    /// Forgets those whose patience has ended: of which child, and how many.
    pub fn expire(&mut self, now: Duration, mut expired: impl FnMut(Slot, u64)) {
        for child in &mut self.children {
            let mut count = 0;
            while let Some(packet) = child.queue.pop_front_if(|packet| packet.until <= now) {
                child.octets -= packet.data.len();
                count += 1;
            }
            self.packets -= count;
            if count > 0 {
                expired(child.slot, count as u64);
            }
        }
        self.children.retain(|child| !child.queue.is_empty());
    }
}
