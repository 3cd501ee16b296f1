//! Threads and queues: what a packet goes through. Read inbound.rs and outbound.rs from the top; they are in packet order.
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
    /// The SA's sequence numbers are near their end.
    Exhausting {
        /// Slot of the child.
        slot: crate::ipsec::spd::Slot,
    },
}
