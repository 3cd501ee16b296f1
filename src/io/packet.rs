//! Looking at what a device carries (AF_PACKET).
use super::sys::{self, check, context};
use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use socket2::{Domain, Socket, Type};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

const ETH_P_ALL: u16 = 3;
/// An address that says nothing yet.
const NOWHERE: libc::sockaddr_ll = libc::sockaddr_ll {
    sll_family: libc::AF_PACKET as _,
    sll_protocol: 0,
    sll_ifindex: 0,
    sll_hatype: 0,
    sll_pkttype: 0,
    sll_halen: 0,
    sll_addr: [0; 8],
};

/// Sees all IP packets and other frames of one device, in both directions, as copies.
#[derive(Debug)]
pub struct Sniffer {
    socket: Socket,
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
        // Protocol 0 until it is bound, so that nothing of other devices comes in between.
        let socket =
            Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), None).map_err(|e| context(&e, "packet socket"))?;
        sys::set_buffers(&socket, 8 << 20);
        let name = libc::sockaddr_ll { sll_protocol: ETH_P_ALL.to_be(), sll_ifindex: link as _, ..NOWHERE };
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `name` is an address of `len` octets that the kernel reads.
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), len) })?;
        Ok(Self { socket })
    }

    /// The next frame that is there, cut to `buf`.
    pub fn next(&mut self, buf: &mut [u8]) -> io::Result<Option<Frame>> {
        let mut name = NOWHERE;
        let mut name_len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        loop {
            // SAFETY: the kernel writes at most the lengths given of `buf` and `name`.
            let result = unsafe {
                let to = (&raw mut name).cast();
                libc::recvfrom(self.socket.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), 0, to, &raw mut name_len)
            };
            return match Errno::result(result) {
                Ok(len) => {
                    let len = buf.len().min(len as usize);
                    let outgoing = name.sll_pkttype == libc::PACKET_OUTGOING;
                    Ok(Some(Frame { protocol: u16::from_be(name.sll_protocol), outgoing, len }))
                }
                Err(Errno::EAGAIN) => Ok(None),
                Err(Errno::EINTR) => continue,
                Err(e) => Err(e.into()),
            };
        }
    }

    /// Frames that did not fit into the socket's buffer since the last call.
    pub fn missed(&self) -> io::Result<u64> {
        Ok(getsockopt(&self.socket, sys::PacketStatistics)?.tp_drops.into())
    }
}

impl AsFd for Sniffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fds::Poll;
    use super::super::netns::fresh;
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    #[test]
    fn what_passes_a_device_is_seen_in_both_directions() {
        fresh(|| {
            let mut sniffer = Sniffer::open(1).expect("open");
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
            socket.send_to(b"hello", socket.local_addr().expect("address")).expect("send");
            let poll = Poll::new().expect("poll");
            poll.add(&sniffer, 0).expect("add");
            let (mut buf, mut seen) = ([0; 2048], Vec::new());
            while seen.len() < 2 {
                poll.wait(&mut Vec::new(), Some(Duration::from_secs(5))).expect("wait");
                let frame = sniffer.next(&mut buf).expect("read").expect("a frame in time");
                assert_eq!((frame.protocol, &buf[28..frame.len]), (0x0800, &b"hello"[..]));
                seen.push(frame.outgoing);
            }
            seen.sort();
            assert_eq!(seen, [false, true]);
        });
    }
}
