//! Echo requests and replies (RFC 792, RFC 4443) by a raw socket.
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A non-blocking socket that sends echo requests from one address to another and sees their replies.
#[derive(Debug)]
pub struct Pinger {
    fd: OwnedFd,
}
impl Pinger {
    /// Opens it; needs CAP_NET_RAW. `ident` tells its replies from those of others.
    pub fn open(local: IpAddr, remote: IpAddr, ident: u16) -> io::Result<Self> {
        let _ = (local, remote, ident);
        todo!()
    }
    /// Sends a request with `len` octets of data.
    pub fn send(&mut self, sequence: u16, len: usize) -> io::Result<()> {
        let _ = (sequence, len);
        todo!()
    }
    /// The sequence number of the next reply that is there, without waiting.
    pub fn receive(&mut self) -> io::Result<Option<u16>> {
        todo!()
    }
}
impl AsFd for Pinger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
