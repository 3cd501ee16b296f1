//! Threads and queues: what a packet goes through. Read inbound.rs and outbound.rs from the top; they are in packet order.
//!
//! segment, merge, fragment, gather, fit, mss and icmp are pure: bytes in, bytes out. train collects what leaves together. park and hold
//! keep what came before its SA. burst says when others have a turn. spread says by which queue of the device a flow goes to the host. home takes
//! packets to the one worker that seals for their child. tap copies packets for whoever captures them. devices says how devices come and go. worker puts it together for one thread.
pub mod burst;
pub mod devices;
mod fit;
pub mod fragment;
pub mod gather;
pub mod hold;
pub mod home;
pub mod icmp;
pub mod inbound;
pub mod limit;
pub mod merge;
pub mod mss;
pub mod outbound;
pub mod park;
pub mod segment;
pub mod spread;
pub mod stats;
pub mod tap;
pub mod train;
pub mod transport;
pub mod worker;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
#[cfg(any(test, feature = "fuzzing"))]
pub mod oracle;
#[cfg(test)]
mod tests;

use crate::ipsec::spd::{DeviceId, Slot};
use std::net::SocketAddr;
use std::sync::Arc;
/// What a worker tells the engine, by a bounded channel; what does not fit is dropped and counted.
#[derive(Debug)]
pub enum Upcall {
    /// An IKE message on the NAT-T port, without marker.
    Ike {
        /// Our end.
        local: SocketAddr,
        /// The sender.
        remote: SocketAddr,
        /// The message.
        data: Vec<u8>,
    },
    /// A packet matched a policy whose child has no SA.
    Acquire {
        /// `connection/child`.
        name: Arc<str>,
    },
    /// An authentic packet that advanced the window came from another source than the path says (R37).
    Moved {
        /// Inbound SPI.
        spi: u32,
        /// New source.
        remote: SocketAddr,
    },
    /// The first authentic packet on this SA.
    FirstPacket {
        /// Inbound SPI.
        spi: u32,
    },
    /// A packet came with an SPI that we have offered and have no keys for: the answer to our request is late, or lost (R3).
    Larval {
        /// Our SPI.
        spi: u32,
    },
    /// A packet of at least 40 octets came with an SPI that belongs to nothing here; not every one is told of.
    UnknownSpi {
        /// The SPI.
        spi: u32,
        /// Our end; port 0 for raw ESP.
        local: SocketAddr,
        /// The sender; port 0 for raw ESP.
        remote: SocketAddr,
    },
    /// The SA's sequence numbers are near their end.
    Exhausting {
        /// Slot of the child.
        slot: Slot,
    },
    /// A device cannot be read any more; the worker has let go of it.
    DeviceLost {
        /// Which.
        device: DeviceId,
        /// That of the order to serve it.
        generation: devices::Generation,
    },
    /// No worker's: whoever has put it behind theirs sees that all before it have come through.
    Mark,
}
