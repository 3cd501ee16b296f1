//! Echo requests and replies (RFC 792, RFC 4443) by a raw socket.
use super::sys::context;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

/// A non-blocking socket that sends echo requests from one address to another and sees their replies.
#[derive(Debug)]
pub struct Pinger {
    socket: Socket,
    ipv6: bool,
    ident: u16,
}

impl Pinger {
    /// Opens it; needs CAP_NET_RAW. `ident` tells its replies from those of others.
    pub fn open(local: IpAddr, remote: IpAddr, ident: u16) -> io::Result<Self> {
        let ipv6 = local.is_ipv6();
        let (domain, protocol) = if ipv6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))
            .map_err(|e| context(&e, "raw socket for ICMP"))?;
        socket.bind(&SocketAddr::new(local, 0).into())?;
        socket.connect(&SocketAddr::new(remote, 0).into())?;
        Ok(Self { socket, ipv6, ident })
    }

    /// Sends a request with `len` octets of data.
    pub fn send(&mut self, sequence: u16, len: usize) -> io::Result<()> {
        let mut message = vec![0; 8 + len];
        message[0] = if self.ipv6 { 128 } else { 8 };
        message[4..6].copy_from_slice(&self.ident.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        for (i, octet) in message[8..].iter_mut().enumerate() {
            *octet = i as u8;
        }
        // The kernel fills in the checksum of ICMPv6, which covers the addresses.
        if !self.ipv6 {
            let checksum = checksum(&message);
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        self.socket.send_with_flags(&message, libc::MSG_NOSIGNAL).map(drop)
    }

    /// The sequence number of the next reply that is there, without waiting.
    pub fn receive(&mut self) -> io::Result<Option<u16>> {
        let mut buf = vec![0; 65_536];
        loop {
            let len = match self.socket.read(&mut buf) {
                Ok(len) => len,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if let Some(sequence) = self.reply(&buf[..len]) {
                return Ok(Some(sequence));
            }
        }
    }

    /// The sequence number, if this is a reply to us. IPv4 raw sockets deliver the IP header, too.
    fn reply(&self, packet: &[u8]) -> Option<u16> {
        let header = if self.ipv6 { 0 } else { usize::from(packet.first()? & 0xf) * 4 };
        let &[kind, 0, _, _, i0, i1, s0, s1] = packet.get(header..)?.first_chunk()? else { return None };
        let ours = kind == if self.ipv6 { 129 } else { 0 } && [i0, i1] == self.ident.to_be_bytes();
        ours.then_some(u16::from_be_bytes([s0, s1]))
    }
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
    use super::super::netns::fresh;
    use super::*;
    use std::time::Duration;

    #[test]
    fn replies_are_told_from_requests_and_other_pingers() {
        fresh(|| {
            for address in ["127.0.0.1", "::1"] {
                let address = address.parse().expect("address");
                let mut ours = Pinger::open(address, address, 7).expect("open");
                let mut other = Pinger::open(address, address, 8).expect("open");
                let poll = Poll::new().expect("poll");
                poll.add(&ours, 0).expect("add");
                other.send(99, 0).expect("send");
                for sequence in [1, 2] {
                    ours.send(sequence, 1001).expect("send");
                    let received = loop {
                        poll.wait(&mut Vec::new(), Some(Duration::from_secs(5))).expect("wait");
                        if let Some(sequence) = ours.receive().expect("receive") {
                            break sequence;
                        }
                    };
                    assert_eq!(received, sequence);
                }
                assert_eq!(ours.receive().expect("receive"), None);
            }
        });
    }
}
