//! What ICMP says about the size of packets that we have sent (RFC 792, RFC 1191 section 4, RFC 4443 section 3.2). Anybody can write such
//! a message: what is read here is a claim, no more.
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
