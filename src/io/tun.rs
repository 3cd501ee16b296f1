//! TUN devices with several queues and the virtio-net offload header.
use super::{Tun, VnetHeader};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no TUN, or a container hides it.
    #[error(
        "/dev/net/tun is missing: load the module with `modprobe tun`, or give the container the device (`--device /dev/net/tun`)"
    )]
    Missing,
    /// Not allowed to open it or to make devices.
    #[error("not allowed to create network devices: run as root or with CAP_NET_ADMIN")]
    NoPermission,
    /// Another process or another kind of device has the name.
    #[error(
        "there is a network device `{0}` already that is not ours: choose another name (`device = ...`) or stop what uses it"
    )]
    Taken(String),
    /// Empty, too long (15 octets at most), or with a slash, percent sign, white space or NUL in it.
    #[error("`{0}` is not a name for a network device: 1 to 15 characters, no slash, percent sign or space")]
    BadName(String),
    /// Anything else.
    #[error("network device `{0}`: {1}")]
    Other(String, #[source] io::Error),
}

/// Makes devices.
#[derive(Debug)]
pub struct Device;
impl Device {
    /// Creates a device with `queues` (1 to 256) non-blocking queues, not yet up. It vanishes when the last queue is closed.
    pub fn create(name: &str, queues: usize) -> Result<Vec<Queue>, Error> {
        let _ = (name, queues);
        todo!()
    }
}

/// One queue of a device; what is read carries the offload header.
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
    tcp: bool,
    udp: bool,
}
impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
impl Tun for Queue {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        let _ = buf;
        todo!()
    }
    fn write(&mut self, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        let _ = (header, parts);
        todo!()
    }
    fn offloads(&self) -> (bool, bool) {
        (self.tcp, self.udp)
    }
}
