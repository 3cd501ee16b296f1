//! Raw sockets for IP protocol 50: ESP without UDP.
use super::{Datagrams, Destination, ReceiveBatch};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Which SPIs a worker's socket takes: those with `(SPI & 0xf) % workers == index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This worker, less than `workers`.
    pub index: u8,
    /// All workers, 1 to 16.
    pub workers: u8,
}

/// A non-blocking raw socket of one family.
#[derive(Debug)]
pub struct RawEsp {
    fd: OwnedFd,
    local: IpAddr,
}
impl RawEsp {
    /// Opens a socket for packets to `local` (may be unspecified). `Ok(None)` if the process may not have raw sockets.
    pub fn open(local: IpAddr, share: Share, mark: Option<u32>) -> io::Result<Option<Self>> {
        let _ = (local, share, mark);
        todo!()
    }
    /// Where it is bound.
    pub fn local_addr(&self) -> IpAddr {
        self.local
    }
}
impl AsFd for RawEsp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
impl Datagrams for RawEsp {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        let _ = batch;
        todo!()
    }
    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        let _ = (to, data, segment);
        todo!()
    }
}
