//! Looking at what a device carries (AF_PACKET).
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Sees all IP packets and other frames of one device, in both directions, as copies.
#[derive(Debug)]
pub struct Sniffer {
    fd: OwnedFd,
}
/// One frame without its link-layer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// EtherType: 0x0800, 0x86dd, 0x0806.
    pub protocol: u16,
    /// We sent it; otherwise it came in.
    pub outgoing: bool,
    /// Octets in the caller's buffer.
    pub len: usize,
}
impl Sniffer {
    /// Opens a non-blocking one on the device with this index; needs CAP_NET_RAW.
    pub fn open(link: u32) -> io::Result<Self> {
        let _ = link;
        todo!()
    }
    /// The next frame that is there, cut to `buf`.
    pub fn next(&mut self, buf: &mut [u8]) -> io::Result<Option<Frame>> {
        let _ = buf;
        todo!()
    }
}
impl AsFd for Sniffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
