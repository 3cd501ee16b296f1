//! IPv6 packets in fragments that are made here (RFC 8200 section 4.5): no router makes them, and the kernel does only where ICMP has told it
//! to, which may be lost, or a lie.
use super::sys::{self, context};
use super::{Destination, mmsg, outside};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

/// Smallest MTU of IPv6 (RFC 8200 section 5): fragments of this size pass everywhere.
const LEAST_MTU: usize = 1280;
const HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;
const FRAGMENT: u8 = 44;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// Octets of a packet in each fragment but the last: whole words of eight.
const PART: usize = (LEAST_MTU - HEADER - FRAGMENT_HEADER) / 8 * 8;
/// Octets of the socket's buffers.
const BUFFERS: usize = 1 << 20;

/// A socket for packets of one protocol that are written whole, with their header.
#[derive(Debug)]
pub(super) struct Cutter {
    socket: Socket,
    protocol: u8,
    /// Keys of the identifications of messages, which nobody can foresee then (RFC 7739).
    keys: RandomState,
    /// What is behind the header of one packet, and one fragment.
    packet: Vec<u8>,
    fragment: Vec<u8>,
}

/// Opens the cutter of a socket if it has none yet. `None`: there can be none, and the kernel does what it can.
pub(super) fn ready(cutter: &mut Option<Cutter>, protocol: u8, mark: Option<u32>) -> Option<&mut Cutter> {
    if cutter.is_none() {
        *cutter = Cutter::open(protocol, mark).ok();
    }
    cutter.as_mut()
}

impl Cutter {
    /// Packets leave with this mark. An error, too, if the process may not have raw sockets.
    pub(super) fn open(protocol: u8, mark: Option<u32>) -> io::Result<Self> {
        let raw = Protocol::from(libc::IPPROTO_RAW);
        let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(raw))
            .map_err(|e| context(&e, "raw socket for fragments"))?;
        if let Some(mark) = mark {
            socket.set_mark(mark)?;
        }
        outside::bind(&socket)?;
        sys::set_buffers(&socket, BUFFERS);
        Ok(Self { socket, protocol, keys: RandomState::new(), packet: Vec::new(), fragment: Vec::new() })
    }

    /// A datagram of so many octets towards there may be fragmented, and has to be where the path takes no more than it must.
    pub(super) fn is_for(to: &Destination, segment: usize) -> bool {
        let addresses =
            matches!((to.local.ip(), to.remote.ip()), (IpAddr::V6(local), IpAddr::V6(_)) if !local.is_unspecified());
        !to.dont_fragment && addresses && segment + UDP_HEADER + HEADER > LEAST_MTU
    }

    /// As [`Datagrams::send`](super::Datagrams::send) sends ESP. What does not go out as a whole counts as lost.
    pub(super) fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        let mut sent = 0;
        for datagram in data.chunks(segment.max(1)) {
            // It begins with SPI and sequence number: no two packets of an SA have the same, and who has not seen one knows none (RFC 7739).
            let identification = match datagram.first_chunk() {
                Some(&[a, b, c, d, e, f, g, h]) => u32::from_be_bytes([a, b, c, d]) ^ u32::from_be_bytes([e, f, g, h]),
                None => 0,
            };
            match self.send_one(to, datagram, identification) {
                Ok(()) => sent += 1,
                Err(e) if mmsg::is_full(&e) || sent > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(sent)
    }

    /// Sends one message of IKE. All of an IKE SA begin alike, and those of IKE_SA_INIT end alike.
    pub(super) fn send_message(&mut self, to: &Destination, message: &[u8]) -> io::Result<()> {
        let identification = self.keys.hash_one(message) as u32;
        self.send_one(to, message, identification)
    }

    fn send_one(&mut self, to: &Destination, datagram: &[u8], identification: u32) -> io::Result<()> {
        let (IpAddr::V6(local), IpAddr::V6(remote)) = (to.local.ip(), to.remote.ip()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.packet.clear();
        if self.protocol == UDP {
            let len = u16::try_from(UDP_HEADER + datagram.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            let words = [to.local.port(), to.remote.port(), len, 0];
            self.packet.extend(words.into_iter().flat_map(u16::to_be_bytes));
        }
        self.packet.extend_from_slice(datagram);
        if self.protocol == UDP {
            let checksum = checksum(local, remote, &self.packet);
            self.packet[6..8].copy_from_slice(&checksum.to_be_bytes());
        }
        let mut name = to.remote;
        name.set_port(0);
        let name = SockAddr::from(name);
        let parts = self.packet.len().div_ceil(PART);
        for (i, part) in self.packet.chunks(PART).enumerate() {
            let more = i + 1 < parts;
            let fragment = &mut self.fragment;
            fragment.clear();
            let tos = u32::from(to.tos);
            fragment.extend(((6 << 28) | (tos << 20)).to_be_bytes());
            fragment.extend(((FRAGMENT_HEADER + part.len()) as u16).to_be_bytes());
            fragment.extend([FRAGMENT, 64]);
            fragment.extend(local.octets());
            fragment.extend(remote.octets());
            fragment.extend([self.protocol, 0]);
            fragment.extend(((i * PART) as u16 | u16::from(more)).to_be_bytes());
            fragment.extend(identification.to_be_bytes());
            fragment.extend_from_slice(part);
            self.socket.send_to_with_flags(fragment, &name, libc::MSG_NOSIGNAL)?;
        }
        Ok(())
    }
}

/// Of UDP over IPv6, where it may not be left out (RFC 8200 section 8.1).
fn checksum(local: Ipv6Addr, remote: Ipv6Addr, packet: &[u8]) -> u16 {
    let words = |octets: &[u8]| -> u64 {
        octets.chunks(2).map(|w| u64::from(w[0]) << 8 | w.get(1).map_or(0, |low| u64::from(*low))).sum()
    };
    let mut sum =
        words(&local.octets()) + words(&remote.octets()) + packet.len() as u64 + u64::from(UDP) + words(packet);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    match !(sum as u16) {
        0 => 0xffff,
        checksum => checksum,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fds::Poll;
    use super::super::netns::fresh;
    use super::super::raw_esp::{RawEsp, Share};
    use super::super::udp::{Options, UdpSocket};
    use super::super::{Datagrams, ReceiveBatch};
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    /// The kernel at the other end puts them together again, and checks the sum.
    #[test]
    fn fragments_are_one_packet_at_the_other_end() {
        fresh(|| {
            let loopback = "::1".parse().expect("address");
            let ends: [SocketAddr; 2] = [4500, 4501].map(|port| SocketAddr::new(loopback, port));
            let esp =
                || RawEsp::open(loopback, Share { index: 0, workers: 1 }, Some(0xdc)).expect("open").expect("root");
            let udp = |end| UdpSocket::bind(end, Options { mark: Some(0xdc), gro: false }).expect("bind");
            let pairs: [[Box<dyn Sockets>; 2]; 2] =
                [[Box::new(udp(ends[0])), Box::new(udp(ends[1]))], [Box::new(esp()), Box::new(esp())]];
            for [mut sender, mut receiver] in pairs {
                let to = Destination { local: ends[0], remote: ends[1], tos: 0x2e, dont_fragment: false };
                let poll = Poll::new().expect("poll");
                poll.add(&receiver.fd(), 0).expect("add");
                for len in [1300, 1233, 2464, 2465, 9001, 40_000] {
                    let data: Vec<u8> = (0..2 * len).map(|i: usize| (i % 251) as u8 | 1).collect();
                    assert_eq!(sender.send(&to, &data, len).expect("send"), 2);
                    let (mut batch, mut got) = (ReceiveBatch::new(8), Vec::<u8>::new());
                    while got.len() < data.len() {
                        poll.wait(&mut Vec::new(), Some(Duration::from_secs(5))).expect("wait");
                        receiver.receive(&mut batch).expect("receive");
                        assert!(!batch.datagrams.is_empty(), "nothing came");
                        for d in &batch.datagrams {
                            assert_eq!((d.len, d.tos, d.remote.ip()), (len, 0x2e, loopback));
                            got.extend(&batch.buf[d.offset..d.offset + d.len]);
                        }
                    }
                    assert!(got == data, "{len}");
                }
            }
        });
    }

    trait Sockets: Datagrams {
        fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
    }
    impl<D: Datagrams + std::os::fd::AsFd> Sockets for D {
        fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.as_fd()
        }
    }

    /// Messages of IKE_SA_INIT end with what both ends support, and begin with SPIs that are on the wire.
    #[test]
    fn messages_that_begin_and_end_alike_have_identifications_of_their_own() {
        fresh(|| {
            let end = SocketAddr::new("::1".parse().expect("address"), 500);
            let to = Destination { local: end, remote: end, tos: 0, dont_fragment: false };
            let of_message = |cutter: &mut Cutter, nonce: u8| {
                let message = [[1; 1000], [nonce; 1000], [2; 1000]].concat();
                cutter.send_message(&to, &message).expect("send");
                <[u8; 4]>::try_from(&cutter.fragment[HEADER + 4..][..4]).expect("four octets")
            };
            let mut cutters = [(); 2].map(|()| Cutter::open(UDP, None).expect("open"));
            let [one, other] = &mut cutters;
            let sent = [of_message(one, 1), of_message(one, 2), of_message(other, 1)];
            assert!(sent[0] != sent[1] && sent[0] != sent[2] && sent[1] != sent[2], "{sent:?}");
        });
    }

    #[test]
    fn a_checksum_of_zero_is_written_otherwise() {
        let (local, remote) = ("::".parse().expect("address"), "::".parse().expect("address"));
        // Length and protocol are 8 and 17: the rest is what is missing to all ones.
        assert_eq!(checksum(local, remote, &[0xff, 0xff - 25, 0, 0, 0, 0, 0, 0]), 0xffff);
        assert_eq!(checksum(local, remote, &[0, 0, 0, 0, 0, 0, 0, 0]), !25);
    }
}
