//! UDP sockets: batches, trains (GSO, GRO), addresses and TOS by control message, steering among a group of sockets.
use super::{Datagrams, Destination, ReceiveBatch};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How to open sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// SO_MARK of what we send; needs CAP_NET_ADMIN or CAP_NET_RAW.
    pub mark: Option<u32>,
    /// Receive trains (UDP_GRO). Off for sockets that see IKE only.
    pub gro: bool,
}

/// An unconnected, non-blocking socket of one family (an IPv6 one is IPv6 only).
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    local: SocketAddr,
}
impl UdpSocket {
    /// Binds one socket. `AddrInUse` with a sentence that names the port if anybody has it. Port 0: any; see [`local_addr`](Self::local_addr).
    pub fn bind(local: SocketAddr, options: Options) -> io::Result<Self> {
        let _ = (local, options);
        todo!()
    }
    /// Binds a group that shares `local`: the first socket is the engine's, one more for each of `workers` (1 to 16). The kernel gives a datagram
    /// that begins with four zero octets or is shorter than four to the engine's, any other to worker `(SPI & 0xf) % workers`; a GRO train
    /// goes whole to the worker of its first datagram. Fails with `AddrInUse` if anybody has the port, even one that would share it.
    pub fn bind_group(local: SocketAddr, options: Options, workers: u8) -> io::Result<Vec<Self>> {
        let _ = (local, options, workers);
        todo!()
    }
    /// Where it is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
    /// Sends one datagram from `local` (its port is ignored, an unspecified address leaves the choice to the kernel), fragmented if it must be.
    pub fn send_to(&mut self, local: IpAddr, remote: SocketAddr, data: &[u8]) -> io::Result<()> {
        let _ = (local, remote, data);
        todo!()
    }
}
impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
impl Datagrams for UdpSocket {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        let _ = batch;
        todo!()
    }
    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        let _ = (to, data, segment);
        todo!()
    }
}

/// What the routes say about a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTo {
    /// The address that we would send from.
    pub source: IpAddr,
    /// MTU of the path as the kernel knows it.
    pub mtu: u32,
}
/// Asks the routes how marked packets would reach `remote`, without sending anything.
pub fn route_to(remote: IpAddr, mark: Option<u32>) -> io::Result<RouteTo> {
    let _ = (remote, mark);
    todo!()
}
