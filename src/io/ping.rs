//! Echo requests and replies (RFC 792, RFC 4443) by a raw socket.
use super::sys::context;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

/// Packets of others that are passed over in one look.
const MOST_OTHERS: usize = 64;

/// A reply to an echo request of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The request's.
    pub sequence: u16,
    /// What the request carried, if the replier is honest.
    pub data: &'a [u8],
}

/// A non-blocking socket that sends echo requests from one address to another and sees their replies.
#[derive(Debug)]
pub struct Pinger {
    socket: Socket,
    ipv6: bool,
    ident: u16,
    buf: Vec<u8>,
}

impl Pinger {
    /// Opens it; needs CAP_NET_RAW. `ident` tells its replies from those of others. With `device` nothing leaves or arrives by another one.
    /// `AddrNotAvailable` if `local` is no address of this host.
    pub fn open(local: IpAddr, remote: IpAddr, ident: u16, device: Option<&str>) -> io::Result<Self> {
        let ipv6 = local.is_ipv6();
        let (domain, protocol) = if ipv6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))
            .map_err(|e| context(&e, "raw socket for ICMP"))?;
        if let Some(device) = device {
            socket.bind_device(Some(device.as_bytes())).map_err(|e| context(&e, "SO_BINDTODEVICE"))?;
        }
        socket.bind(&SocketAddr::new(local, 0).into())?;
        socket.connect(&SocketAddr::new(remote, 0).into())?;
        Ok(Self { socket, ipv6, ident, buf: vec![0; 65_536] })
    }

    /// Sends a request with this data.
    pub fn send(&mut self, sequence: u16, data: &[u8]) -> io::Result<()> {
        let mut message = vec![0; 8];
        message[0] = if self.ipv6 { 128 } else { 8 };
        message[4..6].copy_from_slice(&self.ident.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        message.extend_from_slice(data);
        // The kernel fills in the checksum of ICMPv6, which covers the addresses.
        if !self.ipv6 {
            let checksum = checksum(&message);
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        self.socket.send_with_flags(&message, libc::MSG_NOSIGNAL).map(drop)
    }

    /// The next reply that is there, without waiting. Of what else travels between the two so much is looked at, and no more, that the
    /// caller has its turn again soon.
    pub fn receive(&mut self) -> io::Result<Option<Reply<'_>>> {
        for _ in 0..MOST_OTHERS {
            let len = match self.socket.read(&mut self.buf) {
                Ok(len) => len,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if let Some(sequence) = reply(self.ipv6, self.ident, &self.buf[..len]) {
                let data = self.buf.get(header(self.ipv6, &self.buf[..len]) + 8..len).unwrap_or_default();
                return Ok(Some(Reply { sequence, data }));
            }
        }
        Ok(None)
    }
}

/// The sequence number, if this is a reply to the requests with `ident`.
fn reply(ipv6: bool, ident: u16, packet: &[u8]) -> Option<u16> {
    let &[kind, 0, _, _, i0, i1, s0, s1] = packet.get(header(ipv6, packet)..)?.first_chunk()? else { return None };
    let ours = kind == if ipv6 { 129 } else { 0 } && [i0, i1] == ident.to_be_bytes();
    ours.then_some(u16::from_be_bytes([s0, s1]))
}

/// Octets before the message: IPv4 raw sockets deliver the IP header, too.
fn header(ipv6: bool, packet: &[u8]) -> usize {
    if ipv6 { 0 } else { packet.first().map_or(0, |first| usize::from(first & 0xf) * 4) }
}

impl AsFd for Pinger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// RFC 1071.
fn checksum(data: &[u8]) -> u16 {
    let sum: u32 = data.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::super::fds::Poll;
    use super::super::netns::{fresh, unanswered};
    use super::*;
    use std::time::Duration;

    #[test]
    fn replies_are_told_from_requests_and_other_pingers() {
        fresh(|| {
            for address in ["127.0.0.1", "::1"] {
                let address = address.parse().expect("address");
                let mut ours = Pinger::open(address, address, 7, None).expect("open");
                let mut other = Pinger::open(address, address, 8, Some("lo")).expect("open");
                let poll = Poll::new().expect("poll");
                poll.add(&ours, 0).expect("add");
                other.send(99, &[]).expect("send");
                for sequence in [1, 2] {
                    let sent = vec![sequence as u8; 1001];
                    ours.send(sequence, &sent).expect("send");
                    let received = loop {
                        poll.wait(&mut Vec::new(), Some(Duration::from_secs(5))).expect("wait");
                        if let Some(Reply { sequence, data }) = ours.receive().expect("receive") {
                            break (sequence, data.to_vec());
                        }
                    };
                    assert_eq!(received, (sequence, sent));
                }
                assert_eq!(ours.receive().expect("receive"), None);
            }
        });
    }

    #[test]
    fn what_comes_by_another_device_is_not_seen() {
        fresh(|| {
            unanswered("192.0.2.1");
            let (near, stranger) = ("192.0.2.1".parse().expect("address"), "192.0.2.99".parse().expect("address"));
            let mut bound = Pinger::open(near, near, 7, Some("far")).expect("open");
            let mut free = Pinger::open(near, near, 7, None).expect("open");
            // What goes to an address of our own counts as come by the device that has it.
            free.send(1, b"data").expect("send");
            let poll = Poll::new().expect("poll");
            poll.add(&free, 0).expect("add");
            loop {
                poll.wait(&mut Vec::new(), Some(Duration::from_secs(5))).expect("wait");
                if free.receive().expect("receive").is_some() {
                    break;
                }
            }
            assert_eq!(bound.receive().expect("receive"), None);
            let nobody = Pinger::open(stranger, near, 7, None).expect_err("not ours");
            assert_eq!(nobody.kind(), io::ErrorKind::AddrNotAvailable);
        });
    }
}
