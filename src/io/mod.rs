//! The operating system; the only place of `unsafe`, each block with its `// SAFETY:`.
#![allow(unsafe_code, reason = "ioctl, control messages, BPF: this is the one address of unsafe")]
pub mod acl;
pub mod channel;
mod cut;
pub mod executable;
pub mod fds;
pub mod fib;
pub mod folder;
pub mod host;
pub mod icmp_watch;
pub mod journal;
pub mod marked;
pub mod memory;
pub mod memory_file;
mod mmsg;
pub mod monitor;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod notify;
pub mod outside;
pub mod packet;
pub mod peer;
pub mod ping;
pub mod plain;
pub mod private;
pub mod privileges;
pub mod raw_esp;
pub mod sandbox;
pub mod spawn;
mod sys;
pub mod tun;
pub mod udp;

use std::net::SocketAddr;

/// One inner packet or super-packet read from a device, or to be written to one: the virtio-net header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// Checksum is partial and must be completed (VIRTIO_NET_HDR_F_NEEDS_CSUM).
    pub needs_csum: bool,
    /// What kind of super-packet.
    pub gso: Gso,
    /// Length of all headers of a super-packet (a hint of the kernel: check it).
    pub hdr_len: u16,
    /// Payload octets per segment.
    pub gso_size: u16,
    /// Where checksumming starts.
    pub csum_start: u16,
    /// Where the checksum is, from `csum_start`.
    pub csum_offset: u16,
}
impl VnetHeader {
    /// The checksum of the header that starts at `l4` is partial: it holds the sum of the pseudo-header.
    pub fn is_partial(&self, l4: usize) -> bool {
        self.needs_csum && usize::from(self.csum_start) == l4
    }
    /// How many packets a super-packet of `len` octets is on the wire, as far as this header says.
    pub fn packets(&self, len: usize) -> u64 {
        let payload = len.saturating_sub(self.hdr_len.into());
        if self.gso == Gso::None { 1 } else { payload.div_ceil(usize::from(self.gso_size).max(1)).max(1) as u64 }
    }
}
/// Kind of super-packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are virtio's")]
pub enum Gso {
    #[default]
    None,
    TcpV4,
    TcpV6,
    UdpL4,
}

/// One received datagram or train of equal datagrams (UDP GRO), in a worker's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Sender (port 0 for raw ESP).
    pub remote: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// Offset in the batch's buffer.
    pub offset: usize,
    /// Octets in all.
    pub len: usize,
    /// Octets of each datagram of the train but the last; `len` if there is one only.
    pub segment: usize,
    /// TOS or traffic class of the outer header.
    pub tos: u8,
}
/// Where an outgoing train goes and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Our address (and port, for UDP).
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// TOS or traffic class.
    pub tos: u8,
    /// DF of IPv4; IPv6 may not be fragmented here either.
    pub dont_fragment: bool,
}
/// Outer datagrams, UDP or raw ESP. Workers are generic over it; `memory` has another.
pub trait Datagrams {
    /// Receives what is there without waiting: clears `batch`, appends. Returns when the queue is empty or `batch` is full.
    fn receive(&mut self, batch: &mut ReceiveBatch) -> std::io::Result<()>;
    /// Sends `data` as datagrams of `segment` octets each (the last may be shorter) in order; falls back to single sends where GSO is refused. The number of datagrams that went out.
    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> std::io::Result<usize>;
    /// Lets `send` wait once more for a full buffer, for 1 ms at most; what finds it full after that is lost at once.
    fn renew_patience(&mut self) {}
}
/// A queue of a TUN device.
pub trait Tun {
    /// Reads one packet or super-packet without waiting; `WouldBlock` if there is none. Returns the octets in `buf`.
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<(VnetHeader, usize)>;
    /// Writes one packet or super-packet that stands in pieces.
    fn write(&mut self, header: &VnetHeader, parts: &[std::io::IoSlice<'_>]) -> std::io::Result<()>;
    /// The same into the queue that `flow` chooses among all of the device: equal numbers choose the same one. What the host sends on that flow
    /// comes out of it from then on. A queue that knows of no others writes to itself.
    fn write_flow(&mut self, flow: u32, header: &VnetHeader, parts: &[std::io::IoSlice<'_>]) -> std::io::Result<()> {
        let _ = flow;
        self.write(header, parts)
    }
    /// What the kernel agreed to: (TCP super-packets, UDP super-packets) may be written.
    fn offloads(&self) -> (bool, bool);
}
/// Which of so many queues a flow chooses.
fn queue_of(flow: u32, queues: usize) -> usize {
    ((u64::from(flow) * queues as u64) >> 32) as usize
}
/// A worker's receive buffer: storage and what stands where.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// Storage.
    pub buf: Vec<u8>,
    /// What was received.
    pub datagrams: Vec<Received>,
}
impl ReceiveBatch {
    /// For `slots` datagrams or trains of up to 64 KiB each.
    pub fn new(slots: usize) -> Self {
        Self { buf: vec![0; slots * 65_536], datagrams: Vec::with_capacity(slots) }
    }
    /// How many fit.
    pub fn slots(&self) -> usize {
        self.buf.len() / 65_536
    }
}
