//! What ICMP says about the size of packets that we have sent (RFC 792, RFC 1191 section 4, RFC 4443 section 3.2). Anybody can write such
//! a message: what is read here is a claim, no more.
use super::outside;
use super::sys::{bpf, context, set_buffers, set_option};
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Octets of the receive buffer: what a flood brings beyond it the kernel drops.
const BUFFER: usize = 32_768;
/// Octets of a message that are looked at: two IP headers with all options, and what stands behind them.
const LOOK: usize = 192;

const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
const UDP: u8 = 17;
const ESP: u8 = 50;
const ICMP_HEADER: usize = 8;
const IPV6_HEADER: usize = 40;
/// Options of raw sockets (linux/icmp.h, linux/icmpv6.h): types whose bit is set do not come in.
const ICMP_FILTER: libc::c_int = 1;
const ICMPV6_FILTER: libc::c_int = 1;

/// Somebody says that a packet of ours was too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Source of the packet.
    pub local: IpAddr,
    /// Its destination.
    pub remote: IpAddr,
    /// What it carried.
    pub quoted: Quoted,
    /// Octets of the largest packet, it says; 0 if it does not say (routers before RFC 1191).
    pub mtu: u16,
}
/// What stands behind the IP header of the packet that was too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// UDP, with its ports.
    Udp {
        /// Ours.
        local: u16,
        /// The peer's.
        remote: u16,
    },
    /// ESP.
    Esp {
        /// The SPI, one of the peer's.
        spi: u32,
    },
}

/// A non-blocking raw socket that gets such messages of one family, and nothing else.
#[derive(Debug)]
pub struct IcmpWatch {
    socket: Socket,
    ipv6: bool,
}

impl IcmpWatch {
    /// Opens it; needs CAP_NET_RAW.
    pub fn open(ipv6: bool) -> io::Result<Self> {
        let (domain, protocol) = if ipv6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))
            .map_err(|e| context(&e, "raw socket for ICMP"))?;
        outside::bind(&socket)?;
        if ipv6 {
            let mut types = [u32::MAX; 8];
            types[0] &= !(1 << PACKET_TOO_BIG);
            set_option(socket.as_fd(), libc::IPPROTO_ICMPV6, ICMPV6_FILTER, types)?;
        } else {
            set_option(socket.as_fd(), libc::SOL_RAW, ICMP_FILTER, !(1_u32 << UNREACHABLE))?;
            socket.attach_filter(&filter())?;
        }
        set_buffers(&socket, BUFFER);
        Ok(Self { socket, ipv6 })
    }

    /// Takes up to `most` messages in, and hands over what they say. False if there may be more.
    pub fn read(&self, most: usize, mut tell: impl FnMut(Report)) -> bool {
        let mut buf = [0; LOOK];
        for _ in 0..most {
            match recv(self.socket.as_raw_fd(), &mut buf, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => parse(self.ipv6, &buf[..len.min(LOOK)]).into_iter().for_each(&mut tell),
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
        false
    }
}

impl AsFd for IcmpWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Only what is about sizes, of all that cannot be delivered. The message is behind the IP header.
fn filter() -> [SockFilter; 5] {
    use libc::{BPF_B, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET};
    [
        bpf(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0),
        bpf(BPF_LD | BPF_B | BPF_IND, 0, 0, 1),
        bpf(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, FRAGMENTATION_NEEDED.into()),
        bpf(BPF_RET | BPF_K, 0, 0, u32::MAX),
        bpf(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

/// A message as a raw socket delivers it: of IPv4 with its IP header. `None` if it is no claim about a packet that can have been ours.
pub fn parse(ipv6: bool, data: &[u8]) -> Option<Report> {
    if ipv6 { parse_v6(data) } else { parse_v4(data) }
}

fn parse_v4(data: &[u8]) -> Option<Report> {
    let (_, message) = split_v4(data)?;
    let &[UNREACHABLE, FRAGMENTATION_NEEDED, _, _, _, _, m0, m1] = message.first_chunk::<ICMP_HEADER>()? else {
        return None;
    };
    let (header, payload) = split_v4(&message[ICMP_HEADER..])?;
    // What is no first fragment begins with anything.
    let later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    let address = |at: usize| Ipv4Addr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    Some(Report {
        local: address(12).into(),
        remote: address(16).into(),
        quoted: quoted(header[9], payload).filter(|_| !later)?,
        mtu: u16::from_be_bytes([m0, m1]),
    })
}

/// The fixed part of an IPv4 header, and what follows all of it.
fn split_v4(data: &[u8]) -> Option<(&[u8; 20], &[u8])> {
    let header: &[u8; 20] = data.first_chunk()?;
    let len = usize::from(header[0] & 0xf) * 4;
    (header[0] >> 4 == 4 && len >= 20).then_some((header, data.get(len..)?))
}

fn parse_v6(data: &[u8]) -> Option<Report> {
    let &[PACKET_TOO_BIG, _, _, _, m0, m1, m2, m3] = data.first_chunk::<ICMP_HEADER>()? else { return None };
    let header: &[u8; IPV6_HEADER] = data.get(ICMP_HEADER..)?.first_chunk()?;
    let address = |at: usize| header[at..].first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
    if header[0] >> 4 != 6 {
        return None;
    }
    Some(Report {
        local: address(8)?.into(),
        remote: address(24)?.into(),
        quoted: quoted(header[6], data.get(ICMP_HEADER + IPV6_HEADER..)?)?,
        mtu: u16::try_from(u32::from_be_bytes([m0, m1, m2, m3])).unwrap_or(u16::MAX),
    })
}

fn quoted(protocol: u8, payload: &[u8]) -> Option<Quoted> {
    let &[a, b, c, d] = payload.first_chunk()?;
    match protocol {
        UDP => Some(Quoted::Udp { local: u16::from_be_bytes([a, b]), remote: u16::from_be_bytes([c, d]) }),
        ESP => Some(Quoted::Esp { spi: u32::from_be_bytes([a, b, c, d]) }),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::fds::Poll;
    use super::super::netlink::{Address, Netlink};
    use super::super::netns::{Namespace, fresh};
    use super::super::packet::Sniffer;
    use super::super::raw_esp::{RawEsp, Share};
    use super::super::udp::{self, Options, UdpSocket};
    use super::super::{Datagrams, Destination, fib};
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    const PORTS: Quoted = Quoted::Udp { local: 4500, remote: 4501 };
    const SPI: Quoted = Quoted::Esp { spi: 0x1234_5678 };

    /// Ours and the peer's, of one family.
    fn ends(ipv6: bool) -> [IpAddr; 2] {
        if ipv6 { ["fd07::1", "fd07::2"] } else { ["10.7.0.1", "10.7.0.2"] }.map(|a| a.parse().expect("address"))
    }

    /// A message of ICMP as one writes it, about a packet from `ends[0]` to `ends[1]`.
    fn message(ends: [IpAddr; 2], quoted: Quoted, mtu: u16) -> Vec<u8> {
        let (protocol, behind) = match quoted {
            Quoted::Udp { local, remote } => (UDP, [local.to_be_bytes(), remote.to_be_bytes()].concat()),
            Quoted::Esp { spi } => (ESP, spi.to_be_bytes().to_vec()),
        };
        let mut message = match ends {
            [IpAddr::V4(local), IpAddr::V4(remote)] => {
                let [m0, m1] = mtu.to_be_bytes();
                let head = [UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, 0, 0, m0, m1];
                let ip = [0x45, 0, 5, 0, 0, 0, 0x40, 0, 60, protocol, 0, 0];
                [&head[..], &ip, &local.octets(), &remote.octets(), &behind].concat()
            }
            [IpAddr::V6(local), IpAddr::V6(remote)] => {
                let [m0, m1] = mtu.to_be_bytes();
                let (head, ip) = ([PACKET_TOO_BIG, 0, 0, 0, 0, 0, m0, m1], [0x60, 0, 0, 0, 4, 0, protocol, 60]);
                [&head[..], &ip, &local.octets(), &remote.octets(), &behind].concat()
            }
            _ => panic!("two families"),
        };
        message.extend([0; 8]);
        message
    }

    /// For the fuzz target: each begins with its family.
    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let outer = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 9, 9, 9, 9, 8, 8, 8, 8];
        let one = |ipv6: bool, quoted| {
            let outer: &[u8] = if ipv6 { &[] } else { &outer };
            [&[u8::from(ipv6)], outer, &message(ends(ipv6), quoted, 1300)].concat()
        };
        vec![one(false, PORTS), one(false, SPI), one(true, PORTS), one(true, SPI)]
    }

    /// Sends it to the first of `ends`, from the present namespace.
    fn forge(ends: [IpAddr; 2], mut message: Vec<u8>) {
        let ipv6 = ends[0].is_ipv6();
        let (domain, protocol) = if ipv6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        if !ipv6 {
            let sum: u32 = message.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
            let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("raw socket");
        socket.send_to(&message, &SocketAddr::new(ends[0], 0).into()).expect("send");
    }

    /// A link to another namespace, with the addresses of both families on both ends; its number here.
    fn neighbour() -> (Namespace, u32) {
        let netlink = Netlink::open().expect("netlink");
        netlink.add_veth("near", "far").expect("veth");
        let other = Namespace::create().expect("namespace");
        netlink.move_link(netlink.link("far").expect("far").index, other.as_fd(), "far").expect("move");
        let dress = |name: &str, which: usize| {
            let netlink = Netlink::open().expect("netlink");
            let link = netlink.link(name).expect("link").index;
            netlink.set_up(link, true).expect("up");
            for (ipv6, prefix_len) in [(false, 24), (true, 64)] {
                netlink.add_address(&Address { link, addr: ends(ipv6)[which], prefix_len }).expect("address");
            }
            link
        };
        other.run(|| dress("far", 1)).expect("enter");
        let near = dress("near", 0);
        (other, near)
    }

    fn wait(poll: &Poll) {
        let mut ready = Vec::new();
        poll.wait(&mut ready, Some(Duration::from_secs(5))).expect("wait");
        assert!(!ready.is_empty(), "nothing came");
    }

    #[test]
    fn what_is_about_sizes_comes_in_and_nothing_else() {
        fresh(|| {
            let (other, _) = neighbour();
            for ipv6 in [false, true] {
                let (watch, ends) = (IcmpWatch::open(ipv6).expect("open"), ends(ipv6));
                let poll = Poll::new().expect("poll");
                poll.add(&watch, 0).expect("add");
                let mut unreachable = message(ends, PORTS, 700);
                (unreachable[0], unreachable[1]) = if ipv6 { (1, 4) } else { (3, 3) };
                let messages = [unreachable, message(ends, PORTS, 1290), message(ends, SPI, 0)];
                other.run(|| messages.into_iter().for_each(|message| forge(ends, message))).expect("enter");
                let mut reports = Vec::new();
                while reports.len() < 2 {
                    wait(&poll);
                    watch.read(1, |report| reports.push(report));
                }
                let report = |quoted, mtu| Report { local: ends[0], remote: ends[1], quoted, mtu };
                assert_eq!(reports, [report(PORTS, 1290), report(SPI, 0)]);
                assert!(watch.read(1, |report| panic!("{report:?}")), "that was all");
            }
        });
    }

    /// What a flood brings is taken in small portions, out of a buffer that is soon full.
    #[test]
    fn a_flood_ends_in_a_small_buffer() {
        fresh(|| {
            let (other, _) = neighbour();
            let (watch, ends) = (IcmpWatch::open(false).expect("open"), ends(false));
            assert!(watch.socket.recv_buffer_size().expect("size") <= 2 * BUFFER);
            let poll = Poll::new().expect("poll");
            poll.add(&watch, 0).expect("add");
            other.run(|| (0..100).for_each(|_| forge(ends, message(ends, PORTS, 68)))).expect("enter");
            for _ in 0..4 {
                wait(&poll);
                let mut count = 0;
                assert!(!watch.read(1, |_| count += 1));
                assert_eq!(count, 1, "as many as were asked for");
            }
        });
    }

    /// Lengths of what leaves on the link, from the first that is there until nothing more comes: packets of UDP and ESP, and fragments of them.
    fn left(sniffer: &mut Sniffer) -> Vec<usize> {
        let (mut buf, mut lengths) = ([0; 2048], Vec::new());
        let poll = Poll::new().expect("poll");
        poll.add(sniffer, 0).expect("add");
        while lengths.is_empty() {
            wait(&poll);
            while let Some(frame) = sniffer.next(&mut buf).expect("read") {
                let protocol = if frame.protocol == 0x0800 { buf[9] } else { buf[6] };
                if frame.outgoing && [UDP, ESP, 44].contains(&protocol) {
                    lengths.push(frame.len);
                }
            }
        }
        lengths
    }

    /// The kernel believes a forged message, as `route_to` shows. We do not: neither is a packet refused or fragmented for it, nor does what we
    /// take for the route's MTU move.
    #[test]
    fn a_forged_message_moves_nothing_that_we_look_at() {
        fresh(|| {
            let (other, near) = neighbour();
            for (ipv6, esp) in [(false, false), (false, true), (true, false), (true, true)] {
                let ends = ends(ipv6);
                let [local, remote] = [SocketAddr::new(ends[0], 4500), SocketAddr::new(ends[1], 4501)];
                let mut socket: Box<dyn Datagrams> = if esp {
                    Box::new(RawEsp::open(ends[0], Share { index: 0, workers: 1 }, None).expect("open").expect("root"))
                } else {
                    Box::new(UdpSocket::bind(local, Options::default()).expect("bind"))
                };
                let mut sniffer = Sniffer::open(near).expect("sniffer");
                let mut send = |len: usize, dont_fragment| {
                    let to = Destination { local, remote, tos: 0, dont_fragment };
                    assert_eq!(socket.send(&to, &vec![0x12; len], len).expect("send"), 1);
                    left(&mut sniffer)
                };
                let headers = if ipv6 { 40 } else { 20 } + if esp { 0 } else { 8 };
                assert_eq!(send(100, true), [100 + headers]);
                let lie = if ipv6 { 1290 } else { 700 };
                let quoted = if esp { Quoted::Esp { spi: 0x1212_1212 } } else { PORTS };
                // Else this test shows nothing. The kernel takes it in when it comes to it.
                let believed = (0..1000).any(|_| {
                    other.run(|| forge(ends, message(ends, quoted, lie))).expect("enter");
                    udp::route_to(ends[1], None).expect("route").mtu == u32::from(lie)
                });
                assert!(believed, "esp: {esp}");
                assert_eq!(fib::mtu_towards(ends[1], Some(ends[0]), 0).expect("route"), 1500);
                assert_eq!(send(1400, true), [1400 + headers], "esp: {esp}");
                // IPv6 cannot be fragmented on the way, so it is here, and to what passes everywhere.
                let may_be_fragmented = send(1400, false);
                let expected = if ipv6 { vec![1280, 1400 + headers + 16 + 40 - 1280] } else { vec![1400 + headers] };
                assert_eq!(may_be_fragmented, expected, "esp: {esp}");
            }
        });
    }

    #[test]
    fn what_cannot_be_about_a_packet_of_ours_is_nothing() {
        for ipv6 in [false, true] {
            let outer =
                if ipv6 { vec![] } else { vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 9, 9, 9, 9, 8, 8, 8, 8] };
            let good = [outer.clone(), message(ends(ipv6), SPI, 1300)].concat();
            let parsed = parse(ipv6, &good).expect("good");
            assert_eq!((parsed.mtu, parsed.quoted, parsed.local), (1300, SPI, ends(ipv6)[0]));
            let inner = outer.len() + ICMP_HEADER;
            let protocol = inner + if ipv6 { 6 } else { 9 };
            for (at, value) in [(outer.len(), 11), (inner, 0x54), (protocol, 6)] {
                let mut bad = good.clone();
                bad[at] = value;
                assert_eq!(parse(ipv6, &bad), None, "octet {at} = {value}");
            }
            let needed = inner + if ipv6 { 44 } else { 24 };
            for len in 0..good.len() {
                assert_eq!(parse(ipv6, &good[..len]).is_some(), len >= needed, "{len}");
            }
        }
        let mut later = [vec![0x45; 20], message(ends(false), PORTS, 1300)].concat();
        assert!(parse(false, &later).is_some());
        later[20 + ICMP_HEADER + 7] = 1;
        assert_eq!(parse(false, &later), None, "a later fragment");
        let mut options = [vec![0x46; 24], message(ends(false), PORTS, 1300)].concat();
        assert!(parse(false, &options).is_some());
        options[0] = 0x44;
        assert_eq!(parse(false, &options), None);
        let mut huge = message(ends(true), PORTS, 1);
        huge[4] = 1;
        assert_eq!(parse(true, &huge).map(|report| report.mtu), Some(u16::MAX));
    }
}
