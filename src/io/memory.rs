//! The same traits over queues in memory, for tests, benches and simulation.
use super::mmsg::SLOT;
use super::udp::TRAIN_OCTETS;
use super::{Datagrams, Destination, Gso, ReceiveBatch, Received, Tun, VnetHeader, queue_of};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Trains travel whole, up to 64 datagrams; otherwise they are taken apart, as where GSO is refused or GRO is off.
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
type Packets = Queue<(VnetHeader, Vec<u8>)>;

/// A queue is whole whatever its last user did.
fn lock<T>(queue: &Queue<T>) -> MutexGuard<'_, VecDeque<T>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One end of a wire. What one end sends the other receives.
#[derive(Clone, Debug)]
pub struct Port {
    /// How it behaves when it sends.
    pub knobs: Knobs,
    offered: usize,
    incoming: Queue<Train>,
    outgoing: Queue<Train>,
    /// Buffers of trains that were received, to be used again: a bench measures no allocator.
    spare: Queue<Vec<u8>>,
}

impl Port {
    /// Two ends.
    pub fn pair(knobs: Knobs) -> (Self, Self) {
        let (a, b, spare) = (Queue::default(), Queue::default(), Queue::default());
        let left = Self { knobs, offered: 0, incoming: a, outgoing: b, spare };
        let right = Self { incoming: left.outgoing.clone(), outgoing: left.incoming.clone(), ..left.clone() };
        (left, right)
    }

    /// Puts a train into this end's receive queue, as if it had come in.
    pub fn inject(&self, train: Train) {
        lock(&self.incoming).push_back(train);
    }

    /// Takes what this end has sent and the other has not received yet.
    pub fn sent(&self) -> Vec<Train> {
        lock(&self.outgoing).drain(..).collect()
    }

    /// Counts a datagram; true if it is the one to lose.
    fn loses(&mut self) -> bool {
        self.offered += 1;
        self.knobs.lose_every != 0 && self.offered.is_multiple_of(self.knobs.lose_every)
    }
}

impl Datagrams for Port {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.datagrams.clear();
        for offset in (0..batch.slots()).map(|slot| slot * SLOT) {
            let Some(train) = lock(&self.incoming).pop_front() else { break };
            let len = train.data.len().min(SLOT);
            batch.buf[offset..offset + len].copy_from_slice(&train.data[..len]);
            let segment = train.segment.min(len);
            let (remote, local) = (train.source, train.destination);
            batch.datagrams.push(Received { remote, local, offset, len, segment, tos: train.tos });
            lock(&self.spare).push_back(train.data);
        }
        Ok(())
    }

    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        if to.dont_fragment && segment.min(data.len()) > self.knobs.mtu {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let segment = segment.max(1);
        let whole = self.knobs.trains && self.knobs.lose_every == 0;
        let per_train = if whole { (TRAIN_OCTETS / segment).clamp(1, 64) } else { 1 };
        for datagrams in data.chunks(per_train * segment) {
            if self.loses() || lock(&self.outgoing).len() >= self.knobs.capacity {
                continue;
            }
            let mut copy = lock(&self.spare).pop_front().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(datagrams);
            let (source, destination) = (to.local, to.remote);
            let Destination { tos, dont_fragment, .. } = *to;
            lock(&self.outgoing).push_back(Train { source, destination, tos, dont_fragment, segment, data: copy });
        }
        Ok(data.len().div_ceil(segment))
    }
}

/// A TUN device's queue: what the test pushes is read, and what is written the test pops.
#[derive(Clone, Debug)]
pub struct Device {
    /// What [`Tun::offloads`] answers; a write that needs more fails with EINVAL, as in the kernel.
    pub offloads: (bool, bool),
    to_read: Packets,
    /// Of all queues of the device.
    written: Arc<[Packets]>,
    /// Which of them this is.
    index: usize,
}

impl Device {
    /// An empty one.
    pub fn new(offloads: (bool, bool)) -> Self {
        Self { offloads, to_read: Queue::default(), written: [Packets::default()].into(), index: 0 }
    }

    /// The queues of one device.
    pub fn queues(count: usize, offloads: (bool, bool)) -> Vec<Self> {
        let written: Arc<[_]> = (0..count).map(|_| Packets::default()).collect();
        (0..count).map(|index| Self { written: written.clone(), index, ..Self::new(offloads) }).collect()
    }

    /// The host sends a packet into the device.
    pub fn push(&self, header: VnetHeader, packet: Vec<u8>) {
        lock(&self.to_read).push_back((header, packet));
    }

    /// The next packet that the host received from the device.
    pub fn pop(&self) -> Option<(VnetHeader, Vec<u8>)> {
        lock(&self.written[self.index]).pop_front()
    }
}

impl Tun for Device {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        let (header, packet) = lock(&self.to_read).pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let len = packet.len().min(buf.len());
        buf[..len].copy_from_slice(&packet[..len]);
        Ok((header, len))
    }

    fn write(&mut self, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        self.write_to(self.index, header, parts)
    }

    fn write_flow(&mut self, flow: u32, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        self.write_to(queue_of(flow, self.written.len()), header, parts)
    }

    fn offloads(&self) -> (bool, bool) {
        self.offloads
    }
}

impl Device {
    fn write_to(&self, queue: usize, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        let allowed = match header.gso {
            Gso::None => true,
            Gso::TcpV4 | Gso::TcpV6 => self.offloads.0,
            Gso::UdpL4 => self.offloads.1,
        };
        if !allowed {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let packet = parts.iter().flat_map(|part| part.iter().copied()).collect();
        lock(&self.written[queue]).push_back((*header, packet));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(dont_fragment: bool) -> Destination {
        let (local, remote) = ("192.0.2.1:4500".parse().expect("a"), "192.0.2.2:4500".parse().expect("b"));
        Destination { local, remote, tos: 3, dont_fragment }
    }

    #[test]
    fn trains_travel_whole_or_apart() {
        for (trains, expected) in [(true, vec![25]), (false, vec![10, 10, 5])] {
            let (mut left, mut right) = Port::pair(Knobs { trains, ..Knobs::default() });
            assert_eq!(left.send(&to(false), &[7; 25], 10).expect("send"), 3);
            let mut batch = ReceiveBatch::new(4);
            right.receive(&mut batch).expect("receive");
            assert_eq!(batch.datagrams.iter().map(|d| d.len).collect::<Vec<_>>(), expected);
            assert!(
                batch
                    .datagrams
                    .iter()
                    .all(|d| d.remote == to(false).local && d.local == to(false).remote && d.tos == 3)
            );
            assert_eq!(batch.datagrams[0].segment, 10);
            right.receive(&mut batch).expect("receive");
            assert!(batch.datagrams.is_empty());
        }
    }

    #[test]
    fn knobs_lose_refuse_and_overflow() {
        let (mut left, right) = Port::pair(Knobs { lose_every: 3, ..Knobs::default() });
        left.send(&to(false), &[0, 1, 2, 3, 4, 5, 6], 1).expect("send");
        assert_eq!(left.sent().iter().map(|t| t.data[0]).collect::<Vec<_>>(), [0, 1, 3, 4, 6]);
        drop(right);
        let (mut left, _right) = Port::pair(Knobs { mtu: 100, capacity: 1, ..Knobs::default() });
        assert_eq!(left.send(&to(true), &[0; 101], 101).expect_err("too long").raw_os_error(), Some(libc::EMSGSIZE));
        left.send(&to(false), &[0; 101], 101).expect("fragmented");
        left.send(&to(true), &[0; 100], 101).expect("lost");
        assert_eq!(left.sent().len(), 1);
    }

    #[test]
    fn a_device_refuses_what_was_not_agreed() {
        let mut device = Device::new((true, false));
        device.push(VnetHeader::default(), vec![1, 2, 3]);
        let mut buf = [0; 8];
        assert_eq!(device.read(&mut buf).expect("read"), (VnetHeader::default(), 3));
        assert_eq!(device.read(&mut buf).expect_err("empty").kind(), io::ErrorKind::WouldBlock);
        let udp = VnetHeader { gso: Gso::UdpL4, ..VnetHeader::default() };
        assert!(device.write(&udp, &[]).is_err());
        let tcp = VnetHeader { gso: Gso::TcpV4, ..VnetHeader::default() };
        device.write(&tcp, &[io::IoSlice::new(&[1]), io::IoSlice::new(&[2, 3])]).expect("write");
        assert_eq!(device.pop(), Some((tcp, vec![1, 2, 3])));
    }
}
