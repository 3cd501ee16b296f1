//! What a daemon that goes on in the place of another one gets open from it: packets wait in the sockets and in the queues of the devices meanwhile,
//! and none of them is lost with the process that was there before.
//!
//! They travel in the order of a list of what they are, which is part of the state.
use super::devices::Devices;
use super::sockets::Sockets;
use super::workers::Workers;
use crate::dataplane::devices::Generation;
use crate::dataplane::worker::{Outer, Socket};
use crate::frozen::frozen;
use crate::io::outside;
use crate::io::raw_esp::RawEsp;
use crate::io::tun::{Device, Queue};
use crate::io::udp::{Options, UdpSocket};
use crate::ipsec::path::Encap;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What one of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A socket of the engine.
    Engine {
        /// It brings trains.
        gro: bool,
    },
    /// A socket of a worker.
    Worker {
        /// Which worker's.
        index: u8,
        /// What it carries.
        encap: Encap,
        /// Where.
        local: IpAddr,
    },
    /// The next queue of the gateway's device.
    Queue,
    /// The next queue of a connection's own device.
    Own {
        /// Whose.
        connection: Arc<str>,
        /// The how-many-th device of it: one that is made anew has the same name, and maybe the same number.
        generation: Generation,
    },
}
frozen! { enum Kind { 0 = Engine { gro }, 1 = Worker { index, encap, local }, 2 = Queue, 3 = Own { connection, generation } } }

/// All that are handed over, while no worker is at work.
pub fn of<'a>(sockets: &'a Sockets, workers: &'a Workers, devices: &'a Devices) -> Vec<(Kind, BorrowedFd<'a>)> {
    let mut all: Vec<_> =
        sockets.iter().map(|socket| (Kind::Engine { gro: socket.takes_trains() }, socket.as_fd())).collect();
    for (index, sockets) in (0..).zip(workers.sockets()) {
        let kind = |socket: &Socket<Outer>| Kind::Worker { index, encap: socket.encap, local: socket.local };
        all.extend(sockets.iter().map(|socket| (kind(socket), socket.io.as_fd())));
    }
    all.extend(workers.queues().map(|queue| (Kind::Queue, queue)));
    let own = |(connection, generation, queue): (&Arc<str>, _, _)| {
        (Kind::Own { connection: connection.clone(), generation }, queue)
    };
    all.extend(devices.queues().map(own));
    all
}

/// The sockets of each worker.
pub type OfWorkers = Vec<Vec<Socket<Outer>>>;

/// What came from another daemon, sorted.
#[derive(Debug, Default)]
pub struct Inherited {
    engine: Vec<(bool, OwnedFd)>,
    workers: BTreeMap<u8, Vec<(Encap, IpAddr, OwnedFd)>>,
    queues: Vec<OwnedFd>,
    own: BTreeMap<Arc<str>, Vec<OwnedFd>>,
}
impl Inherited {
    /// Of descriptors and what they are.
    pub fn sort(all: Vec<(Kind, OwnedFd)>) -> Self {
        let mut this = Self::default();
        for (kind, descriptor) in all {
            match kind {
                Kind::Engine { gro } => this.engine.push((gro, descriptor)),
                Kind::Worker { index, encap, local } => {
                    this.workers.entry(index).or_default().push((encap, local, descriptor));
                }
                Kind::Queue => this.queues.push(descriptor),
                Kind::Own { connection, .. } => this.own.entry(connection).or_default().push(descriptor),
            }
        }
        this
    }
    /// How many workers there were; there are to be as many again.
    pub fn workers(&self) -> usize {
        self.queues.len()
    }
    /// Whether all sockets leave with this mark, and by this device or any, as the kernel has it.
    ///
    /// # Errors
    /// They are no sockets.
    pub fn leave_by(&self, mark: u32, device: Option<&str>) -> io::Result<bool> {
        let workers = self.workers.values().flatten().map(|(_, _, socket)| socket);
        for socket in self.engine.iter().map(|(_, socket)| socket).chain(workers) {
            let (has, bound) = outside::of(socket)?;
            if (has, bound.as_deref()) != (mark, device) {
                return Ok(false);
            }
        }
        Ok(true)
    }
    /// The sockets of the engine, and those of each worker.
    ///
    /// # Errors
    /// They are no such sockets.
    pub fn sockets(&mut self, mark: u32) -> io::Result<(Vec<UdpSocket>, OfWorkers)> {
        let mark = Some(mark);
        let engine = std::mem::take(&mut self.engine).into_iter();
        let engine =
            engine.map(|(gro, socket)| UdpSocket::adopt(socket, Options { mark, gro })).collect::<Result<_, _>>()?;
        let mut workers = Vec::new();
        for index in 0..self.workers() {
            let theirs = u8::try_from(index).ok().and_then(|index| self.workers.remove(&index)).unwrap_or_default();
            let adopt = |(encap, local, socket)| {
                let io = match encap {
                    Encap::Udp => Outer::Udp(UdpSocket::adopt(socket, Options { mark, gro: true })?),
                    Encap::Raw => Outer::Raw(RawEsp::adopt(socket, local, mark)),
                };
                Ok(Socket { encap, local, io })
            };
            workers.push(theirs.into_iter().map(adopt).collect::<io::Result<_>>()?);
        }
        Ok((engine, workers))
    }
    /// The queues of the gateway's device, one for each worker.
    pub fn queues(&mut self) -> Vec<Queue> {
        Device::adopt(std::mem::take(&mut self.queues))
    }
    /// The queues of a connection's own device.
    pub fn own(&mut self) -> impl Iterator<Item = (Arc<str>, Vec<Queue>)> {
        std::mem::take(&mut self.own).into_iter().map(|(connection, queues)| (connection, Device::adopt(queues)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Datagrams, Destination, ReceiveBatch};
    use std::net::{SocketAddr, UdpSocket as Std};

    /// What came while nobody was there is read by whoever has the descriptor then.
    #[test]
    fn what_waits_in_a_socket_is_not_lost() {
        let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let group = UdpSocket::bind_group(here, Options { mark: None, gro: true }, 1).unwrap();
        let local = group[0].local_addr();
        let peer = Std::bind(here).unwrap();
        // With the zero marker it is the engine's, with worker bits the worker's.
        peer.send_to(&[0, 0, 0, 0, 1, 2, 3, 4], local).unwrap();
        peer.send_to(&[1, 2, 3, 4, 0, 0, 0, 1], local).unwrap();
        let kinds = vec![
            Kind::Engine { gro: true },
            Kind::Worker { index: 0, encap: Encap::Udp, local: local.ip() },
            Kind::Queue,
        ];
        let descriptors = |socket: &UdpSocket| socket.as_fd().try_clone_to_owned().unwrap();
        let (pipe, _) = io::pipe().unwrap();
        let all = vec![descriptors(&group[0]), descriptors(&group[1]), pipe.into()];
        drop(group);
        let mut inherited = Inherited::sort(kinds.into_iter().zip(all).collect());
        assert_eq!(inherited.workers(), 1);
        assert!(inherited.leave_by(0, None).unwrap());
        let (mut engine, mut workers) = inherited.sockets(0).unwrap();
        let mut batch = ReceiveBatch::new(4);
        engine[0].receive(&mut batch).unwrap();
        assert_eq!((batch.datagrams.len(), batch.datagrams[0].local), (1, local));
        workers[0][0].io.receive(&mut batch).unwrap();
        assert_eq!(&batch.buf[batch.datagrams[0].offset..][..4], [1, 2, 3, 4]);
        // And it sends from the same port.
        let to = Destination { local, remote: peer.local_addr().unwrap(), tos: 0, dont_fragment: true };
        workers[0][0].io.send(&to, b"out", 3).unwrap();
        let mut buf = [0; 8];
        assert_eq!(peer.recv_from(&mut buf).unwrap(), (3, local));
    }
}
