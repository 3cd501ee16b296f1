//! Raw sockets for IP protocol 50: ESP without UDP.
//!
//! The kernel copies every ESP packet to every such socket, so each worker's has a filter; there is neither GSO nor GRO.
use super::cut::Cutter;
use super::mmsg::{self, Patience, Receiver};
use super::sys::{self, bpf, context};
use super::{Datagrams, Destination, ReceiveBatch, Received, outside};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Octets of socket buffers.
const BUFFERS: usize = 8 << 20;

/// Which SPIs a worker's socket takes: those with `(SPI & 0xf) % workers == index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This worker, less than `workers`.
    pub index: u8,
    /// All workers, 1 to 16.
    pub workers: u8,
}

/// A non-blocking raw socket of one family.
#[derive(Debug)]
pub struct RawEsp {
    socket: Socket,
    local: IpAddr,
    receiver: Receiver,
    dont_fragment: Option<bool>,
    patience: Patience,
    mark: Option<u32>,
    /// For IPv6 that may be fragmented, once there was some.
    cutter: Option<Cutter>,
}

impl RawEsp {
    /// Opens a socket for packets to `local` (may be unspecified). `Ok(None)` if the process may not have raw sockets.
    pub fn open(local: IpAddr, share: Share, mark: Option<u32>) -> io::Result<Option<Self>> {
        if share.index >= share.workers || share.workers > 16 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there are 1 to 16 workers, counted from 0"));
        }
        let (ipv6, address) = (local.is_ipv6(), SocketAddr::new(local, 0));
        let protocol = Protocol::from(libc::IPPROTO_ESP);
        let socket = match Socket::new(Domain::for_address(address), Type::RAW.nonblocking(), Some(protocol)) {
            Ok(socket) => socket,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(e) => return Err(context(&e, "raw socket for ESP")),
        };
        socket.attach_filter(&filter(ipv6, share))?;
        if ipv6 {
            mmsg::set_receive_info(&socket, ipv6)?;
        }
        outside::bind(&socket)?;
        if let Some(mark) = mark {
            socket.set_mark(mark)?;
        }
        sys::set_buffers(&socket, BUFFERS);
        socket.bind(&address.into()).map_err(|e| context(&e, format_args!("raw ESP on {local}")))?;
        let (receiver, patience) = (Receiver::new(), Patience::default());
        Ok(Some(Self { socket, local, receiver, dont_fragment: None, patience, mark, cutter: None }))
    }

    /// A socket that another process has opened as [`Self::open`] does: its filter goes with it.
    pub fn adopt(socket: OwnedFd, local: IpAddr, mark: Option<u32>) -> Self {
        let (receiver, patience) = (Receiver::new(), Patience::default());
        Self { socket: Socket::from(socket), local, receiver, dont_fragment: None, patience, mark, cutter: None }
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> IpAddr {
        self.local
    }
}

impl AsFd for RawEsp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Datagrams for RawEsp {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        self.receiver.receive(&self.socket, SocketAddr::new(self.local, 0), batch)?;
        let ReceiveBatch { buf, datagrams } = batch;
        // The port of an IPv6 raw socket's peer is the protocol number.
        datagrams.iter_mut().for_each(|d| d.remote.set_port(0));
        if self.local.is_ipv4() {
            datagrams.retain_mut(|d| strip_ipv4(buf, d).is_some());
        }
        Ok(())
    }

    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        if Cutter::is_for(to, segment)
            && let Some(cutter) = super::cut::ready(&mut self.cutter, libc::IPPROTO_ESP as u8, self.mark)
        {
            return cutter.send(to, data, segment);
        }
        if self.dont_fragment != Some(to.dont_fragment) {
            mmsg::set_dont_fragment(&self.socket, self.local.is_ipv6(), to.dont_fragment)?;
            self.dont_fragment = Some(to.dont_fragment);
        }
        let mut to = *to;
        to.remote.set_port(0);
        match mmsg::send_each(&self.socket, &mut self.patience, &mmsg::Address::new(&to, None), data, segment) {
            Err(e) if mmsg::is_full(&e) => Ok(0),
            other => other,
        }
    }

    fn renew_patience(&mut self) {
        self.patience.renew();
        self.cutter.iter_mut().for_each(Cutter::renew_patience);
    }
}

/// Takes the IPv4 header off, which raw sockets deliver, and keeps what it says. `None` for what is not a whole packet.
fn strip_ipv4(buf: &[u8], received: &mut Received) -> Option<()> {
    let packet = buf.get(received.offset..received.offset + received.len)?;
    let fixed: &[u8; 20] = packet.first_chunk()?;
    let header = usize::from(fixed[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if fixed[0] >> 4 != 4 || header < 20 || total < header || total > packet.len() {
        return None;
    }
    received.tos = fixed[1];
    received.local.set_ip(IpAddr::from([fixed[16], fixed[17], fixed[18], fixed[19]]));
    received.offset += header;
    received.len = total - header;
    received.segment = received.len;
    Some(())
}

/// Accepts a worker's SPIs. The SPI is behind the IP header in IPv4, with its options, and first in IPv6. A load behind the end drops the packet.
fn filter(ipv6: bool, share: Share) -> [SockFilter; 7] {
    use libc::{
        BPF_ALU, BPF_AND, BPF_B, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MOD, BPF_MSH, BPF_RET,
        BPF_W,
    };
    let header_length =
        if ipv6 { bpf(BPF_LDX | BPF_W | BPF_IMM, 0, 0, 0) } else { bpf(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0) };
    [
        header_length,
        bpf(BPF_LD | BPF_W | BPF_IND, 0, 0, 0),
        bpf(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf),
        bpf(BPF_ALU | BPF_MOD | BPF_K, 0, 0, u32::from(share.workers)),
        bpf(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, u32::from(share.index)),
        bpf(BPF_RET | BPF_K, 0, 0, u32::MAX),
        bpf(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fds::Poll;
    use super::super::netns::fresh;
    use super::super::sys::set_option;
    use super::*;
    use std::time::Duration;

    fn open(address: &str, index: u8, workers: u8) -> RawEsp {
        RawEsp::open(address.parse().expect("address"), Share { index, workers }, Some(0xdc))
            .expect("open")
            .expect("root")
    }

    fn received(socket: &mut RawEsp) -> (Vec<Received>, Vec<Vec<u8>>) {
        let poll = Poll::new().expect("poll");
        poll.add(socket, 0).expect("add");
        let mut batch = ReceiveBatch::new(96);
        poll.wait(&mut Vec::new(), Some(Duration::from_secs(5))).expect("wait");
        socket.receive(&mut batch).expect("receive");
        let data = batch.datagrams.iter().map(|d| batch.buf[d.offset..d.offset + d.len].to_vec()).collect();
        (batch.datagrams, data)
    }

    fn destination(address: &str) -> Destination {
        let address = SocketAddr::new(address.parse().expect("address"), 4500);
        Destination { local: address, remote: address, tos: 0x2d, dont_fragment: true }
    }

    fn packet(spi: u32, fill: u8) -> Vec<u8> {
        [&spi.to_be_bytes()[..], &[fill; 28]].concat()
    }

    #[test]
    fn packets_arrive_without_header_and_at_their_worker_only() {
        fresh(|| {
            for (address, options) in [("127.0.0.1", false), ("127.0.0.1", true), ("::1", false)] {
                let mut workers: Vec<_> = (0..3).map(|index| open(address, index, 3)).collect();
                let mut sender = open(address, 0, 1);
                if options {
                    // Three no-operations and an end: the SPI is at 24 instead of 20.
                    set_option(sender.as_fd(), libc::IPPROTO_IP, libc::IP_OPTIONS, [1_u8, 1, 1, 0]).expect("options");
                }
                let data: Vec<u8> = (0x100_u32..0x110).flat_map(|spi| packet(spi, spi as u8)).collect();
                assert_eq!(sender.send(&destination(address), &data, 32).expect("send"), 16);
                for (index, worker) in workers.iter_mut().enumerate() {
                    let (datagrams, bytes) = received(worker);
                    let expected: Vec<_> = (0x100_u32..0x110)
                        .filter(|spi| (spi & 0xf) as usize % 3 == index)
                        .map(|s| packet(s, s as u8))
                        .collect();
                    assert_eq!(bytes, expected);
                    for d in datagrams {
                        let ip = address.parse().expect("address");
                        assert_eq!((d.remote, d.local, d.tos), (SocketAddr::new(ip, 0), SocketAddr::new(ip, 0), 0x2d));
                        assert_eq!(d.segment, 32);
                    }
                }
            }
        });
    }

    #[test]
    fn df_decides_between_fragments_and_an_error() {
        fresh(|| {
            super::super::netlink::Netlink::open().expect("netlink").set_mtu(1, 1500).expect("mtu");
            for address in ["127.0.0.1", "::1"] {
                let mut socket = open(address, 0, 1);
                let long = [7; 4000];
                let error = socket.send(&destination(address), &long, 4000).expect_err("too long");
                assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
                let may = Destination { dont_fragment: false, ..destination(address) };
                assert_eq!(socket.send(&may, &long, 4000).expect("fragments"), 1);
                assert_eq!(received(&mut socket).1, [long]);
            }
        });
    }

    /// Nobody answers for the neighbour, so what is sent stays in the send buffer. Of a raw socket the kernel says ENOBUFS then.
    #[test]
    fn a_full_buffer_takes_a_part_of_a_train() {
        fresh(|| {
            super::super::netns::unanswered("10.9.0.1");
            let mut sender = open("10.9.0.1", 0, 1);
            sender.socket.set_send_buffer_size(10_000).expect("buffer");
            let destination = Destination { local: SocketAddr::new(sender.local, 0), ..destination("10.9.0.2") };
            let sent = sender.send(&destination, &[5; 64_000], 1000).expect("a part");
            assert!(sent > 0 && sent < 64, "{sent}");
            assert_eq!(sender.send(&destination, &[5; 3000], 1000).expect("nothing"), 0);
        });
    }

    #[test]
    fn ipv4_headers_that_lie_are_refused() {
        let good: Vec<u8> =
            [&[0x46, 7, 0, 28, 0, 0, 0, 0, 64, 50, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 0][..], &[9; 6]].concat();
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let strip = |bytes: &[u8]| {
            let mut d = Received { remote: any, local: any, offset: 0, len: bytes.len(), segment: bytes.len(), tos: 0 };
            strip_ipv4(bytes, &mut d).map(|()| d)
        };
        let d = strip(&good).expect("good");
        assert_eq!((d.offset, d.len, d.segment, d.tos), (24, 4, 4, 7));
        assert_eq!(d.local, SocketAddr::from(([5, 6, 7, 8], 0)));
        for (at, value) in [(0, 0x66), (0, 0x44), (0, 0x48), (3, 31), (3, 23), (2, 1)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(strip(&bad), None, "octet {at} = {value:#x}");
        }
        assert_eq!(strip(&good[..19]), None);
    }

    #[test]
    fn shares_are_checked() {
        assert!(RawEsp::open([127, 0, 0, 1].into(), Share { index: 2, workers: 2 }, None).is_err());
        assert!(RawEsp::open([127, 0, 0, 1].into(), Share { index: 0, workers: 17 }, None).is_err());
    }
}
