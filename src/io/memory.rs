//! The same traits over queues in memory, for tests, benches and simulation.
use super::{Datagrams, Destination, ReceiveBatch, Tun, VnetHeader};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// A train as it lies in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Train {
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// TOS or traffic class.
    pub tos: u8,
    /// DF was asked for.
    pub dont_fragment: bool,
    /// Octets of each datagram but the last.
    pub segment: usize,
    /// The datagrams, one behind the other.
    pub data: Vec<u8>,
}
impl Train {
    /// The datagrams of the train.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks(self.segment.max(1))
    }
}

/// How a [`Port`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// Trains travel whole; otherwise they are taken apart, as where GSO is refused or GRO is off.
    pub trains: bool,
    /// Datagrams that are longer fail with EMSGSIZE if DF was asked for.
    pub mtu: usize,
    /// Every so many datagrams one is lost; 0: none.
    pub lose_every: usize,
    /// What the queue of the other end holds, in trains; what does not fit is lost.
    pub capacity: usize,
}
impl Default for Knobs {
    fn default() -> Self {
        Self { trains: true, mtu: 65_535, lose_every: 0, capacity: 4096 }
    }
}

type Queue<T> = Arc<Mutex<VecDeque<T>>>;

/// One end of a wire. What one end sends the other receives.
#[derive(Clone, Debug)]
pub struct Port {
    /// How it behaves when it sends.
    pub knobs: Knobs,
    incoming: Queue<Train>,
    outgoing: Queue<Train>,
}
impl Port {
    /// Two ends.
    pub fn pair(knobs: Knobs) -> (Self, Self) {
        let (a, b) = (Queue::default(), Queue::default());
        (Self { knobs, incoming: a.clone(), outgoing: b.clone() }, Self { knobs, incoming: b, outgoing: a })
    }
    /// Puts a train into this end's receive queue, as if it had come in.
    pub fn inject(&self, train: Train) {
        let _ = train;
        todo!()
    }
    /// Takes what this end has sent and the other has not received yet.
    pub fn sent(&self) -> Vec<Train> {
        let _ = &self.outgoing;
        todo!()
    }
}
impl Datagrams for Port {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        let _ = (batch, &self.incoming);
        todo!()
    }
    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        let _ = (to, data, segment);
        todo!()
    }
}

/// A TUN device's queue: what the test pushes is read, and what is written the test pops.
#[derive(Clone, Debug)]
pub struct Device {
    /// What [`Tun::offloads`] answers; a write that needs more fails with EINVAL, as in the kernel.
    pub offloads: (bool, bool),
    to_read: Queue<(VnetHeader, Vec<u8>)>,
    written: Queue<(VnetHeader, Vec<u8>)>,
}
impl Device {
    /// An empty one.
    pub fn new(offloads: (bool, bool)) -> Self {
        Self { offloads, to_read: Queue::default(), written: Queue::default() }
    }
    /// The host sends a packet into the device.
    pub fn push(&self, header: VnetHeader, packet: Vec<u8>) {
        let _ = (header, packet, &self.to_read);
        todo!()
    }
    /// The next packet that the host received from the device.
    pub fn pop(&self) -> Option<(VnetHeader, Vec<u8>)> {
        let _ = &self.written;
        todo!()
    }
}
impl Tun for Device {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        let _ = buf;
        todo!()
    }
    fn write(&mut self, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        let _ = (header, parts);
        todo!()
    }
    fn offloads(&self) -> (bool, bool) {
        self.offloads
    }
}
