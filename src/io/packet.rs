//! Looking at what a device carries (AF_PACKET).
use super::sys::{check, check_len, context, option, set_buffers, socket};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const ETH_P_ALL: u16 = 3;

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
        // Protocol 0 until it is bound, so that nothing of other devices comes in between.
        let fd = socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0).map_err(|e| context(&e, "packet socket"))?;
        set_buffers(fd.as_fd(), 8 << 20);
        // SAFETY: a struct of integers.
        let mut name: libc::sockaddr_ll = unsafe { zeroed() };
        name.sll_family = libc::AF_PACKET as _;
        name.sll_protocol = ETH_P_ALL.to_be();
        name.sll_ifindex = link as _;
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `name` is an address of `len` octets that the kernel reads.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const name).cast(), len) })?;
        Ok(Self { fd })
    }

    /// The next frame that is there, cut to `buf`.
    pub fn next(&mut self, buf: &mut [u8]) -> io::Result<Option<Frame>> {
        // SAFETY: a struct of integers.
        let mut name: libc::sockaddr_ll = unsafe { zeroed() };
        let mut name_len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        loop {
            // SAFETY: the kernel writes at most the lengths given of `buf` and `name`.
            let result = unsafe {
                let to = (&raw mut name).cast();
                libc::recvfrom(self.fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), 0, to, &raw mut name_len)
            };
            return match check_len(result) {
                Ok(len) => {
                    let outgoing = name.sll_pkttype == libc::PACKET_OUTGOING;
                    Ok(Some(Frame { protocol: u16::from_be(name.sll_protocol), outgoing, len: len.min(buf.len()) }))
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
        }
    }

    /// Frames that did not fit into the socket's buffer since the last call.
    pub fn missed(&self) -> io::Result<u64> {
        let statistics: libc::tpacket_stats = option(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
        Ok(statistics.tp_drops.into())
    }
}

impl AsFd for Sniffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
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
