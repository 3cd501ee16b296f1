//! Inner packets for tests, made and verified by plain code that shares nothing with what is tested.
use crate::io::{Gso, VnetHeader};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const CWR: u8 = 0x80;

/// A TCP or UDP packet from 10.1.0.`src` to 10.2.0.`dst`, or from fd01::`src` to fd02::`dst`.
#[derive(Clone, Debug)]
pub struct Build {
    pub ipv6: bool,
    pub tcp: bool,
    pub src: u8,
    pub dst: u8,
    pub sport: u16,
    pub dport: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    /// TCP options; a multiple of 4.
    pub options: Vec<u8>,
    pub id: u16,
    pub dont_fragment: bool,
    pub tos: u8,
    pub ttl: u8,
    /// IPv4: a router alert option; IPv6: a destination options header.
    pub extension: bool,
    pub payload: Vec<u8>,
}

impl Build {
    pub fn tcp(ipv6: bool, payload: usize) -> Self {
        Self {
            ipv6,
            tcp: true,
            src: 1,
            dst: 1,
            sport: 40_000,
            dport: 443,
            seq: 1_000_000,
            ack: 77,
            flags: ACK,
            window: 512,
            options: Vec::new(),
            id: 7,
            dont_fragment: true,
            tos: 0,
            ttl: 63,
            extension: false,
            payload: (0..payload).map(|i| (i * 31 % 251) as u8).collect(),
        }
    }

    pub fn udp(ipv6: bool, payload: usize) -> Self {
        Self { tcp: false, ..Self::tcp(ipv6, payload) }
    }

    /// Octets in front of the upper-layer header.
    pub fn l4(&self) -> usize {
        match (self.ipv6, self.extension) {
            (false, extension) => 20 + usize::from(extension) * 4,
            (true, extension) => 40 + usize::from(extension) * 8,
        }
    }

    /// Octets of all headers.
    pub fn headers(&self) -> usize {
        self.l4() + if self.tcp { 20 + self.options.len() } else { 8 }
    }

    /// A whole packet with right checksums.
    pub fn packet(&self) -> Vec<u8> {
        let mut packet = self.partial();
        let at = self.l4() + self.checksum_offset();
        let sum = match !sum16(&packet[self.l4()..], 0) {
            0 if !self.tcp => 0xffff,
            sum => sum,
        };
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// The same with a partial checksum, as the kernel hands out what it has not segmented or summed.
    pub fn partial(&self) -> Vec<u8> {
        let proto = if self.tcp { 6 } else { 17 };
        let len = self.headers() + self.payload.len();
        let l4_len = len - self.l4();
        let mut p = Vec::new();
        if self.ipv6 {
            p.extend([0x60 | self.tos >> 4, self.tos << 4, 0, 0]);
            p.extend(((len - 40) as u16).to_be_bytes());
            p.extend([if self.extension { 60 } else { proto }, self.ttl]);
            p.extend(self.addresses());
            if self.extension {
                p.extend([proto, 0, 1, 4, 0, 0, 0, 0]);
            }
        } else {
            p.extend([0x40 | (self.l4() / 4) as u8, self.tos]);
            p.extend((len as u16).to_be_bytes());
            p.extend(self.id.to_be_bytes());
            p.extend([if self.dont_fragment { 0x40 } else { 0 }, 0, self.ttl, proto, 0, 0]);
            p.extend(self.addresses());
            if self.extension {
                p.extend([0x94, 4, 0, 0]);
            }
            let sum = !sum16(&p, 0);
            p[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let pseudo = sum16(&self.addresses(), l4_len as u64 + u64::from(proto));
        p.extend(self.sport.to_be_bytes());
        p.extend(self.dport.to_be_bytes());
        if self.tcp {
            p.extend(self.seq.to_be_bytes());
            p.extend(self.ack.to_be_bytes());
            p.extend([((20 + self.options.len()) * 4) as u8, self.flags]);
            p.extend(self.window.to_be_bytes());
            p.extend(pseudo.to_be_bytes());
            p.extend([0, 0]);
            p.extend(&self.options);
        } else {
            p.extend((l4_len as u16).to_be_bytes());
            p.extend(pseudo.to_be_bytes());
        }
        p.extend(&self.payload);
        p
    }

    /// The offload header of a super-packet of segments with this payload.
    pub fn gso(&self, size: usize) -> VnetHeader {
        VnetHeader {
            gso: match (self.tcp, self.ipv6) {
                (false, _) => Gso::UdpL4,
                (true, false) => Gso::TcpV4,
                (true, true) => Gso::TcpV6,
            },
            gso_size: size as u16,
            hdr_len: self.headers() as u16,
            ..self.needs_csum()
        }
    }

    /// The offload header of a packet with a partial checksum.
    pub fn needs_csum(&self) -> VnetHeader {
        VnetHeader {
            needs_csum: true,
            csum_start: self.l4() as u16,
            csum_offset: self.checksum_offset() as u16,
            ..VnetHeader::default()
        }
    }

    fn checksum_offset(&self) -> usize {
        if self.tcp { 16 } else { 6 }
    }

    fn addresses(&self) -> Vec<u8> {
        if self.ipv6 {
            let host = |net, host| [[0xfd, net].as_slice(), &[0; 13], &[host]].concat();
            [host(1, self.src), host(2, self.dst)].concat()
        } else {
            vec![10, 1, 0, self.src, 10, 2, 0, self.dst]
        }
    }
}

/// RFC 1071, word by word.
pub fn sum16(data: &[u8], start: u64) -> u16 {
    let mut sum = start;
    for pair in data.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Every checksum of the packet is right, as etherparse computes them.
pub fn assert_sound(packet: &[u8]) {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    let sliced = SlicedPacket::from_ip(packet).expect("a packet");
    let transport = sliced.transport.expect("a transport header");
    let (right, found) = match (sliced.net.expect("an IP header"), &transport) {
        (NetSlice::Ipv4(ip), transport) => {
            let header = ip.header().to_header();
            assert_eq!(header.calc_header_checksum(), header.header_checksum, "IPv4 header checksum");
            match transport {
                TransportSlice::Tcp(tcp) => {
                    (tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()), tcp.checksum())
                }
                TransportSlice::Udp(udp) => {
                    (udp.to_header().calc_checksum_ipv4(&header, udp.payload()), udp.checksum())
                }
                TransportSlice::Icmpv4(icmp) => (Ok(icmp.icmp_type().calc_checksum(icmp.payload())), icmp.checksum()),
                other => panic!("{other:?}"),
            }
        }
        (NetSlice::Ipv6(ip), transport) => {
            let header = ip.header().to_header();
            match transport {
                TransportSlice::Tcp(tcp) => {
                    (tcp.to_header().calc_checksum_ipv6(&header, tcp.payload()), tcp.checksum())
                }
                TransportSlice::Udp(udp) => {
                    (udp.to_header().calc_checksum_ipv6(&header, udp.payload()), udp.checksum())
                }
                TransportSlice::Icmpv6(icmp) => {
                    let sum = icmp.icmp_type().calc_checksum(header.source, header.destination, icmp.payload());
                    (sum, icmp.checksum())
                }
                other => panic!("{other:?}"),
            }
        }
        (other, _) => panic!("{other:?}"),
    };
    assert_eq!(right.expect("a length that fits"), found, "upper-layer checksum");
}
