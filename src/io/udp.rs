//! UDP sockets: batches, trains (GSO, GRO), addresses and TOS by control message, steering among a group of sockets.
use super::cut::Cutter;
use super::mmsg::{self, Patience, Receiver};
use super::sys::{self, bpf, context};
use super::{Datagrams, Destination, ReceiveBatch, outside};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use socket2::{Domain, SockFilter, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Datagrams of one train (UDP_MAX_SEGMENTS of older kernels).
const TRAIN_DATAGRAMS: usize = 64;
/// Octets of one train: with the headers of UDP, IPv6, VLAN and Ethernet it is below 64 KiB, where the kernel would cut it before the device does.
pub const TRAIN_OCTETS: usize = 65_535 - 8 - 40 - 18;
/// Trains that go out as single datagrams after a refusal, before GSO is tried again.
const RETRY_AFTER: u32 = 1024;
/// Destinations that are remembered as refusing.
const REFUSING: usize = 64;
/// Octets of socket buffers: 6.7 ms of 10 Gbit/s.
const BUFFERS: usize = 8 << 20;

/// How to open sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// SO_MARK of what we send; needs CAP_NET_ADMIN or CAP_NET_RAW.
    pub mark: Option<u32>,
    /// Receive trains (UDP_GRO). Off for sockets that see IKE only.
    pub gro: bool,
}

/// An unconnected, non-blocking socket of one family (an IPv6 one is IPv6 only).
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
    receiver: Receiver,
    dont_fragment: Option<bool>,
    patience: Patience,
    mark: Option<u32>,
    /// For IPv6 that may be fragmented, once there was some.
    cutter: Option<Cutter>,
    /// One for each destination at most.
    refusing: Vec<Refusal>,
}

/// A destination whose path refused a train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    remote: SocketAddr,
    /// Octets of a segment: trains of shorter ones may still be taken.
    from: usize,
    /// After how many trains to try again.
    trains: u32,
}

impl UdpSocket {
    /// Binds one socket. `AddrInUse` with a sentence that names the port if anybody has it. Port 0: any; see [`local_addr`](Self::local_addr).
    pub fn bind(local: SocketAddr, options: Options) -> io::Result<Self> {
        Self::open(local, options, false).map_err(|e| explain(&e, local))
    }

    /// Binds a group that shares `local`: the first socket is the engine's, one more for each of `workers` (1 to 16). The kernel gives a datagram
    /// that begins with four zero octets or is shorter than four to the engine's, any other to worker `(SPI & 0xf) % workers`; a GRO train
    /// goes whole to the worker of its first datagram. Fails with `AddrInUse` if anybody has the port, even one that would share it.
    pub fn bind_group(local: SocketAddr, options: Options, workers: u8) -> io::Result<Vec<Self>> {
        if !(1..=16).contains(&workers) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a group has 1 to 16 workers"));
        }
        // Two daemons of one user would share the port and each get half of the packets: a socket that does not share finds out.
        let local = Self::open(local, Options::default(), false).map_err(|e| explain(&e, local))?.local;
        let mut group = Vec::with_capacity(usize::from(workers) + 1);
        for _ in 0..=workers {
            group.push(Self::open(local, options, true).map_err(|e| explain(&e, local))?);
        }
        if let Some(any) = group.first() {
            let mut steering = steering(workers);
            // A SockFilter is a sock_filter by socket2's promise.
            let program = libc::sock_fprog { len: steering.len() as _, filter: steering.as_mut_ptr().cast() };
            setsockopt(any, sockopt::AttachReusePortCbpf, &program)?;
        }
        Ok(group)
    }

    fn open(local: SocketAddr, options: Options, shared: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking(), None)?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if shared {
            socket.set_reuse_port(true)?;
        }
        outside::bind(&socket)?;
        if let Some(mark) = options.mark {
            socket.set_mark(mark)?;
        }
        if options.gro {
            // Without it (before Linux 5.0) datagrams come one by one.
            let _ = setsockopt(&socket, sockopt::UdpGroSegment, &true);
        }
        mmsg::set_receive_info(&socket, local.is_ipv6())?;
        sys::set_buffers(&socket, BUFFERS);
        socket.bind(&local.into())?;
        let local = local_address(&socket)?;
        let (receiver, patience) = (Receiver::new(), Patience::default());
        let (mark, cutter, refusing) = (options.mark, None, Vec::new());
        Ok(Self { socket, local, receiver, dont_fragment: None, patience, mark, cutter, refusing })
    }

    /// A socket that another process has bound, as [`Self::bind`] or [`Self::bind_group`] does with these options: what it was given there it has.
    pub fn adopt(socket: OwnedFd, options: Options) -> io::Result<Self> {
        let socket = Socket::from(socket);
        let local = local_address(&socket)?;
        let (receiver, patience) = (Receiver::new(), Patience::default());
        let (mark, cutter, refusing) = (options.mark, None, Vec::new());
        Ok(Self { socket, local, receiver, dont_fragment: None, patience, mark, cutter, refusing })
    }

    /// It receives trains.
    pub fn takes_trains(&self) -> bool {
        getsockopt(&self.socket, sockopt::UdpGroSegment).unwrap_or_default()
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends one datagram from `local` (an unspecified address leaves the choice to the kernel): fragmented if it must be (over IPv6 so
    /// that every path takes it), or with DF: then one that is larger than the device's MTU is lost, as it would be anywhere else on its way.
    pub fn send_to(&mut self, local: IpAddr, remote: SocketAddr, data: &[u8], dont_fragment: bool) -> io::Result<()> {
        let to = Destination { local: SocketAddr::new(local, self.local.port()), remote, tos: 0, dont_fragment };
        if let Some(cutter) = self.cutter(&to, data.len()) {
            cutter.renew_patience();
            return cutter.send_one(&to, data);
        }
        self.set_dont_fragment(dont_fragment)?;
        match mmsg::send_one(&self.socket, &mut self.patience, &mmsg::Address::new(&to, None), data) {
            Err(e) if dont_fragment && e.raw_os_error() == Some(libc::EMSGSIZE) => {}
            sent => sent?,
        }
        // Whoever sends one by one can wait for each.
        self.patience.renew();
        Ok(())
    }

    /// What cuts such datagrams, if they have to be cut here.
    fn cutter(&mut self, to: &Destination, segment: usize) -> Option<&mut Cutter> {
        if !Cutter::is_for(to, segment) {
            return None;
        }
        super::cut::ready(&mut self.cutter, libc::IPPROTO_UDP as u8, self.mark)
    }

    fn set_dont_fragment(&mut self, on: bool) -> io::Result<()> {
        if self.dont_fragment != Some(on) {
            mmsg::set_dont_fragment(&self.socket, self.local.is_ipv6(), on)?;
            self.dont_fragment = Some(on);
        }
        Ok(())
    }

    /// Whether this destination refuses trains of such segments for now; counts the one that is about to go out.
    fn refuses(&mut self, remote: SocketAddr, segment: usize) -> bool {
        let refuses = |refusal: &Refusal| refusal.remote == remote && refusal.from <= segment;
        let Some(i) = self.refusing.iter().position(refuses) else { return false };
        self.refusing[i].trains -= 1;
        if self.refusing[i].trains == 0 {
            self.refusing.swap_remove(i);
        }
        true
    }

    /// Of segments of `from` octets and more.
    fn remember_refusal(&mut self, remote: SocketAddr, from: usize) {
        self.refusing.retain(|refusal| refusal.remote != remote);
        if self.refusing.len() == REFUSING {
            self.refusing.swap_remove(0);
        }
        self.refusing.push(Refusal { remote, from, trains: RETRY_AFTER });
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Datagrams for UdpSocket {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        self.receiver.receive(&self.socket, self.local, batch)
    }

    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        let local = SocketAddr::new(to.local.ip(), self.local.port());
        if let Some(cutter) = self.cutter(to, segment) {
            return cutter.send(&Destination { local, ..*to }, data, segment);
        }
        let per_train = (TRAIN_OCTETS / segment.max(1)).clamp(1, TRAIN_DATAGRAMS);
        self.set_dont_fragment(to.dont_fragment)?;
        let mut sent = 0;
        for train in data.chunks(per_train * segment.max(1)) {
            let datagrams = train.len().div_ceil(segment.max(1));
            match self.send_train(to, train, segment) {
                Ok(n) if n == datagrams => sent += n,
                Ok(n) => return Ok(sent + n),
                Err(e) if mmsg::is_full(&e) || sent > 0 => return Ok(sent),
                Err(e) => return Err(e),
            }
        }
        Ok(sent)
    }

    fn renew_patience(&mut self) {
        self.patience.renew();
        self.cutter.iter_mut().for_each(Cutter::renew_patience);
    }
}

impl UdpSocket {
    /// Sends what fits into one message with UDP_SEGMENT, or datagram by datagram.
    fn send_train(&mut self, to: &Destination, train: &[u8], segment: usize) -> io::Result<usize> {
        if train.len() > segment
            && let Ok(size) = u16::try_from(segment)
            && !self.refuses(to.remote, segment)
        {
            match mmsg::send_one(&self.socket, &mut self.patience, &mmsg::Address::new(to, Some(size)), train) {
                Ok(()) => return Ok(train.len().div_ceil(segment)),
                // No checksum offload on the way out.
                Err(e) if e.raw_os_error() == Some(libc::EIO) => self.remember_refusal(to.remote, 0),
                // No GSO at all. But before Linux 6.14 it is also what segments get that are longer than the MTU: with DF they cannot have been
                // if they go out now, and else shorter ones must not suffer for it.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                    let sent = mmsg::send_each(
                        &self.socket,
                        &mut self.patience,
                        &mmsg::Address::new(to, None),
                        train,
                        segment,
                    )?;
                    if sent > 0 {
                        self.remember_refusal(to.remote, if to.dont_fragment { 0 } else { segment });
                    }
                    return Ok(sent);
                }
                // The segments are longer than the MTU: they are fragmented, or fail, one by one.
                Err(e) if e.raw_os_error() == Some(libc::EMSGSIZE) => {}
                Err(e) => return Err(e),
            }
        }
        mmsg::send_each(&self.socket, &mut self.patience, &mmsg::Address::new(to, None), train, segment)
    }
}

/// Index in a group: 0 for the engine, else 1 + worker. The program sees the UDP payload; a load behind its end makes it return 0.
fn steering(workers: u8) -> [SockFilter; 7] {
    use libc::{BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_MOD, BPF_RET, BPF_W};
    [
        bpf(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
        bpf(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 0),
        bpf(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf),
        bpf(BPF_ALU | BPF_MOD | BPF_K, 0, 0, u32::from(workers)),
        bpf(BPF_ALU | BPF_ADD | BPF_K, 0, 0, 1),
        bpf(BPF_RET | BPF_A, 0, 0, 0),
        bpf(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

/// Says what to do about the usual reasons why a socket cannot be had.
fn explain(error: &io::Error, local: SocketAddr) -> io::Error {
    let (kind, what) = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => (
            error.kind(),
            format!(
                "UDP port {} of {} is taken: stop the other IKE daemon or VPN, or choose other `ports`",
                local.port(),
                local.ip()
            ),
        ),
        Some(libc::EADDRNOTAVAIL) => (error.kind(), format!("{} is not an address of this host", local.ip())),
        Some(libc::EACCES) => (
            error.kind(),
            format!("not allowed to use UDP port {}: run as root or with CAP_NET_BIND_SERVICE", local.port()),
        ),
        Some(libc::EPERM) => (error.kind(), "not allowed to mark packets: run as root or with CAP_NET_ADMIN".into()),
        Some(libc::EAFNOSUPPORT) => (io::ErrorKind::Unsupported, format!("this kernel has no {}", family(local))),
        _ => return context(error, format_args!("UDP port {} of {}", local.port(), local.ip())),
    };
    io::Error::new(kind, what)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv6() { "IPv6" } else { "IPv4" }
}

/// What the routes say about a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTo {
    /// The address that we would send from.
    pub source: IpAddr,
    /// MTU of the path as the kernel knows it.
    pub mtu: u32,
}

/// Asks the routes how marked packets would reach `remote`, without sending anything.
pub fn route_to(remote: IpAddr, mark: Option<u32>) -> io::Result<RouteTo> {
    let any: IpAddr = if remote.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::open(SocketAddr::new(any, 0), Options { mark, gro: false }, false)?.socket;
    // The port means nothing, but zero is refused by some kernels.
    socket.connect(&SocketAddr::new(remote, 4500).into())?;
    let mtu = match remote {
        IpAddr::V4(_) => getsockopt(&socket, sockopt::IpMtu)?,
        IpAddr::V6(_) => getsockopt(&socket, sys::Ipv6Mtu)?,
    };
    Ok(RouteTo { source: local_address(&socket)?.ip(), mtu: mtu.unsigned_abs() })
}

/// True if the host has the address `local`, and marked packets from it have a way to `remote`; also if that cannot be found out now. Nothing is
/// sent.
pub fn reaches(local: IpAddr, remote: IpAddr, mark: Option<u32>) -> bool {
    let socket = UdpSocket::open(SocketAddr::new(local, 0), Options { mark, gro: false }, false);
    let found = socket.and_then(|socket| socket.socket.connect(&SocketAddr::new(remote, 4500).into()));
    found.err().is_none_or(|error| !is_no(&error))
}
/// This is about addresses and routes. Anything else, such as a lack of descriptors or of rights, says nothing about them.
fn is_no(error: &io::Error) -> bool {
    // The host has no such address or family, or not the device that we are bound to.
    let here = [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT, libc::ENODEV];
    // There is no route, or one that is `unreachable`, `prohibit` or `blackhole`.
    let routes = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL];
    error.raw_os_error().is_some_and(|error| here.contains(&error) || routes.contains(&error))
}

#[cfg(test)]
mod tests {
    use super::super::Received;
    use super::super::fds::Poll;
    use super::super::netlink::Netlink;
    use super::super::netns::fresh;
    use super::super::sys::set_option;
    use super::*;
    use std::time::Duration;

    fn any_port(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().expect("address"), 0)
    }

    fn receiver(address: &str, gro: bool) -> UdpSocket {
        UdpSocket::bind(any_port(address), Options { mark: None, gro }).expect("bind")
    }

    fn to(from: &UdpSocket, to: &UdpSocket) -> Destination {
        Destination { local: from.local_addr(), remote: to.local_addr(), tos: 0, dont_fragment: false }
    }

    /// What is there, after waiting for the first of it.
    fn received(socket: &mut UdpSocket) -> (Vec<Received>, Vec<Vec<u8>>) {
        let poll = Poll::new().expect("poll");
        poll.add(socket, 0).expect("add");
        let mut batch = ReceiveBatch::new(96);
        poll.wait(&mut Vec::new(), Some(Duration::from_secs(5))).expect("wait");
        socket.receive(&mut batch).expect("receive");
        let data = batch.datagrams.iter().map(|d| batch.buf[d.offset..d.offset + d.len].to_vec()).collect();
        (batch.datagrams, data)
    }

    #[test]
    fn a_train_arrives_whole_with_gro_and_apart_without() {
        fresh(|| {
            for address in ["127.0.0.1", "::1"] {
                let mut sender = receiver(address, false);
                let data: Vec<u8> = (0..10_500_u32).map(|i| i as u8).collect();
                let mut whole = receiver(address, true);
                assert_eq!(sender.send(&to(&sender, &whole), &data, 1000).expect("send"), 11);
                let (trains, bytes) = received(&mut whole);
                assert_eq!((trains[0].len, trains[0].segment, trains.len()), (10_500, 1000, 1));
                assert_eq!(bytes[0], data);
                let mut apart = receiver(address, false);
                assert_eq!(sender.send(&to(&sender, &apart), &data, 1000).expect("send"), 11);
                let (datagrams, bytes) = received(&mut apart);
                assert_eq!(datagrams.len(), 11);
                assert!(datagrams.iter().all(|d| d.segment == d.len));
                assert_eq!(bytes.concat(), data);
                assert_eq!(sender.refusing, []);
            }
        });
    }

    #[test]
    fn as_much_as_a_train_holds_leaves_at_once() {
        fresh(|| {
            for (address, segment) in [("127.0.0.1", 1472), ("::1", 1452)] {
                let (mut sender, mut other) = (receiver(address, false), receiver(address, true));
                let count = TRAIN_OCTETS / segment;
                let whole = Destination { dont_fragment: true, ..to(&sender, &other) };
                assert_eq!(sender.send(&whole, &vec![7; count * segment], segment).expect("send"), count);
                let (trains, _) = received(&mut other);
                assert_eq!(trains.iter().map(|t| t.len / segment).collect::<Vec<_>>(), [count], "{address}");
            }
            // What a worker of the data path fills a train with: 45 datagrams over IPv6, not 44 and one.
            assert_eq!([1472, 1452].map(|segment| TRAIN_OCTETS / segment), [44, 45]);
        });
    }

    #[test]
    fn more_than_one_train_and_more_than_one_batch() {
        fresh(|| {
            let (mut sender, mut other) = (receiver("127.0.0.1", false), receiver("127.0.0.1", true));
            let data: Vec<u8> = (0..200_000_u32).map(|i| (i / 7) as u8).collect();
            assert_eq!(sender.send(&to(&sender, &other), &data, 1400).expect("send"), 143);
            let (trains, bytes) = received(&mut other);
            assert!(trains.len() >= 4 && trains.iter().all(|t| t.len <= TRAIN_OCTETS));
            assert_eq!(bytes.concat(), data);
            let mut plain = receiver("127.0.0.1", false);
            assert_eq!(sender.send(&to(&sender, &plain), &data[..190], 2).expect("send"), 95);
            assert_eq!(received(&mut plain).1.concat(), data[..190]);
        });
    }

    #[test]
    fn a_refusal_falls_back_to_single_datagrams_and_is_forgotten() {
        fresh(|| {
            let (mut sender, mut other) = (receiver("127.0.0.1", false), receiver("127.0.0.1", true));
            // The kernel refuses trains without checksums with EINVAL.
            set_option(sender.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).expect("no checksums");
            let destination = Destination { dont_fragment: true, ..to(&sender, &other) };
            assert_eq!(sender.send(&destination, &[5; 30], 10).expect("send"), 3);
            assert_eq!(received(&mut other).0.len(), 3);
            assert_eq!(sender.refusing, [Refusal { remote: other.local_addr(), from: 0, trains: RETRY_AFTER }]);
            set_option(sender.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 0).expect("checksums");
            for _ in 0..RETRY_AFTER {
                assert_eq!(sender.send(&destination, &[5; 30], 10).expect("send"), 3);
                assert_eq!(received(&mut other).0.len(), 3);
            }
            assert_eq!(sender.send(&destination, &[5; 30], 10).expect("send"), 3);
            assert_eq!(received(&mut other).0.len(), 1, "a train again");
            assert_eq!(sender.refusing, []);
        });
    }

    /// What older kernels answer to segments that are longer than the MTU must not cost shorter ones their GSO; nor may each train cost a
    /// refused call where there is none.
    #[test]
    fn a_refusal_that_may_be_for_length_is_remembered_for_that_length() {
        fresh(|| {
            let (mut sender, mut other) = (receiver("127.0.0.1", false), receiver("127.0.0.1", true));
            set_option(sender.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).expect("no checksums");
            let may_be_fragmented = to(&sender, &other);
            assert_eq!(sender.send(&may_be_fragmented, &[5; 30], 10).expect("send"), 3);
            assert_eq!(received(&mut other).0.len(), 3);
            set_option(sender.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 0).expect("checksums");
            for (segment, arrive) in [(9, 1), (10, 3), (9, 1), (11, 3)] {
                assert_eq!(sender.send(&may_be_fragmented, &vec![5; 3 * segment], segment).expect("send"), 3);
                assert_eq!(received(&mut other).0.len(), arrive, "{segment}");
            }
            // Shorter ones are refused, too, and then it is for them.
            set_option(sender.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).expect("no checksums");
            assert_eq!(sender.send(&may_be_fragmented, &[5; 12], 4).expect("send"), 3);
            assert_eq!(received(&mut other).0.len(), 3);
            assert_eq!(sender.refusing, [Refusal { remote: other.local_addr(), from: 4, trains: RETRY_AFTER }]);
        });
    }

    /// Nobody listens: the error message that comes back is about what has been sent, not about what follows.
    #[test]
    fn an_icmp_error_costs_no_datagram() {
        fresh(|| {
            for address in ["127.0.0.1", "::1"] {
                let (mut sender, mut other) = (receiver(address, false), receiver(address, false));
                let nobody = { to(&sender, &receiver(address, false)) };
                for segment in [10, 30] {
                    assert_eq!(sender.send(&nobody, &[5; 30], segment).expect("send"), 30 / segment);
                    assert_eq!(sender.send(&to(&sender, &other), &[5; 30], segment).expect("send"), 30 / segment);
                    assert_eq!(received(&mut other).0.len(), 30 / segment);
                    sender.send(&nobody, &[5; 30], segment).expect("send");
                    other.send(&to(&other, &sender), b"answer", 6).expect("send");
                    assert_eq!(received(&mut sender).1, [b"answer"]);
                }
            }
        });
    }

    /// Nobody answers for the neighbour, so what is sent stays in the send buffer.
    #[test]
    fn a_full_buffer_takes_a_part_of_a_train_and_is_waited_for_once() {
        fresh(|| {
            super::super::netns::unanswered("10.9.0.1");
            let mut sender = receiver("10.9.0.1", false);
            sender.socket.set_send_buffer_size(10_000).expect("buffer");
            // Three messages, of which the first alone is more than the buffer.
            let remote = "10.9.0.2:4500".parse().expect("address");
            let destination = Destination { local: sender.local, remote, tos: 0, dont_fragment: true };
            let sent = sender.send(&destination, &[5; 130_000], 1000).expect("a part");
            assert!(sent > 0 && sent < 130, "{sent}");
            assert!(sender.patience.is_spent());
            for _ in 0..10 {
                assert_eq!(sender.send(&destination, &[5; 3000], 1000).expect("nothing"), 0);
                assert_eq!(sender.send(&destination, &[5; 1000], 1000).expect("nothing"), 0);
            }
        });
    }

    #[test]
    fn addresses_and_tos_are_told_and_obeyed() {
        fresh(|| {
            let mut any = receiver("0.0.0.0", false);
            let mut sender = receiver("0.0.0.0", false);
            let local = SocketAddr::new([127, 0, 0, 9].into(), sender.local_addr().port());
            let remote = SocketAddr::new([127, 0, 0, 5].into(), any.local_addr().port());
            sender.send(&Destination { local, remote, tos: 0xb7, dont_fragment: true }, b"abcde", 5).expect("send");
            let (datagrams, data) = received(&mut any);
            assert_eq!((datagrams[0].remote, datagrams[0].local, datagrams[0].tos), (local, remote, 0xb7));
            assert_eq!(data, [b"abcde"]);
            sender.send_to(local.ip(), remote, b"f", false).expect("send");
            assert_eq!(received(&mut any).0[0].remote, local);
            let (mut six, mut other) = (receiver("::", false), receiver("::1", false));
            let remote = SocketAddr::new("::1".parse().expect("address"), six.local_addr().port());
            let local = other.local_addr();
            other.send(&Destination { local, remote, tos: 0xb7, dont_fragment: true }, b"abcde", 5).expect("send");
            let (datagrams, _) = received(&mut six);
            assert_eq!((datagrams[0].remote, datagrams[0].local, datagrams[0].tos), (local, remote, 0xb7));
        });
    }

    #[test]
    fn df_decides_between_fragments_and_an_error() {
        fresh(|| {
            Netlink::open().expect("netlink").set_mtu(1, 1500).expect("mtu");
            for address in ["127.0.0.1", "::1"] {
                let (mut sender, mut other) = (receiver(address, false), receiver(address, false));
                let mut destination = to(&sender, &other);
                assert_eq!(sender.send(&destination, &[1; 6000], 3000).expect("fragments"), 2);
                assert_eq!(received(&mut other).0.len(), 2);
                destination.dont_fragment = true;
                let error = sender.send(&destination, &[1; 6000], 3000).expect_err("too long");
                assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
                assert_eq!(sender.send(&destination, &[1; 2000], 1000).expect("fits"), 2);
                let (local, remote) = (destination.local.ip(), destination.remote);
                sender.send_to(local, remote, &[1; 3000], true).expect("lost");
                sender.send_to(local, remote, &[1; 1400], true).expect("fits");
                sender.send_to(local, remote, &[1; 3000], false).expect("IKE is fragmented");
                let lengths: Vec<_> = received(&mut other).0.iter().map(|d| d.len).collect();
                assert_eq!(lengths, [1000, 1000, 1400, 3000]);
            }
        });
    }

    /// A device of 1500 octets says nothing about the path behind it.
    #[test]
    fn a_message_over_ipv6_is_cut_for_every_path_unless_it_has_df() {
        let counter = |name: &str| {
            let counters = std::fs::read_to_string("/proc/thread-self/net/snmp6").expect("counters");
            let line = counters.lines().find_map(|line| line.strip_prefix(name)).expect("a counter");
            line.trim().parse::<u32>().expect("a number")
        };
        fresh(|| {
            Netlink::open().expect("netlink").set_mtu(1, 1500).expect("mtu");
            let (mut sender, mut other) = (receiver("::1", false), receiver("::1", false));
            let remote = other.local_addr();
            // What comes in as fragments is counted before it is whole again.
            for (len, dont_fragment, pieces) in [(1232, false, 0), (1233, false, 2), (1400, true, 0), (2800, false, 3)]
            {
                let before = counter("Ip6ReasmReqds");
                sender.send_to(remote.ip(), remote, &vec![len as u8 | 1; len], dont_fragment).expect("send");
                let (datagrams, data) = received(&mut other);
                assert_eq!((datagrams.len(), datagrams[0].remote), (1, sender.local_addr()));
                assert_eq!(data, [vec![len as u8 | 1; len]]);
                assert_eq!(counter("Ip6ReasmReqds") - before, pieces, "{len}");
            }
        });
    }

    #[test]
    fn the_kernel_steers_by_marker_and_spi() {
        fresh(|| {
            for (address, workers) in [("127.0.0.1", 3), ("::1", 16), ("127.0.0.1", 1)] {
                let options = Options { mark: Some(0xdc), gro: true };
                let mut group = UdpSocket::bind_group(any_port(address), options, workers).expect("group");
                let mut sender = receiver(address, false);
                let destination = to(&sender, &group[0]);
                let mut expect = |data: &[u8], index: usize| {
                    sender.send(&destination, data, data.len()).expect("send");
                    assert_eq!(received(&mut group[index]).1, [data], "{data:?}");
                };
                expect(&[0xff], 0);
                expect(&[1, 2, 3], 0);
                expect(&[0, 0, 0, 0, 9, 9, 9, 9], 0);
                for spi in 0x1234_5670_u32..0x1234_5680 {
                    let data = [&spi.to_be_bytes()[..], &[0; 8]].concat();
                    expect(&data, 1 + (spi as usize & 0xf) % usize::from(workers));
                }
            }
        });
    }

    #[test]
    fn a_taken_port_is_said_even_if_it_could_be_shared() {
        fresh(|| {
            let group = UdpSocket::bind_group(any_port("127.0.0.1"), Options::default(), 2).expect("group");
            let taken = group[0].local_addr();
            for error in [
                UdpSocket::bind_group(taken, Options::default(), 2).expect_err("taken"),
                UdpSocket::bind(taken, Options::default()).expect_err("taken"),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
                assert!(error.to_string().contains(&taken.port().to_string()), "{error}");
            }
            let foreign = UdpSocket::bind(any_port("192.0.2.77"), Options::default()).expect_err("not ours");
            assert!(foreign.to_string().contains("192.0.2.77"), "{foreign}");
            assert!(UdpSocket::bind_group(any_port("127.0.0.1"), Options::default(), 17).is_err());
            // Both families may have the same port.
            UdpSocket::bind(SocketAddr::new("::".parse().expect("address"), taken.port()), Options::default())
                .expect("IPv6");
        });
    }

    #[test]
    fn who_has_no_descriptors_left_has_addresses_still() {
        let is_no = |error| super::is_no(&io::Error::from_raw_os_error(error));
        let silent = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EPERM, libc::EAGAIN, libc::EINTR];
        assert_eq!(silent.map(is_no), [false; 7]);
        let said = [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT, libc::ENODEV, libc::ENETUNREACH];
        assert_eq!(said.map(is_no), [true; 4]);
        fresh(|| {
            let here = [127, 0, 0, 1].into();
            assert!(reaches(here, [127, 0, 0, 77].into(), None));
            assert!(!reaches(here, [192, 0, 2, 1].into(), None));
            assert!(!reaches([192, 0, 2, 7].into(), [127, 0, 0, 77].into(), None));
            for kind in ["unreachable", "prohibit", "blackhole"] {
                let add = ["route", "add", kind, "198.51.100.0/24"];
                assert!(std::process::Command::new("ip").args(add).status().expect("ip").success());
                assert!(!reaches(here, [198, 51, 100, 1].into(), None), "{kind}");
                let delete = ["route", "delete", kind, "198.51.100.0/24"];
                assert!(std::process::Command::new("ip").args(delete).status().expect("ip").success());
            }
        });
    }

    #[test]
    fn routes_are_asked_without_sending() {
        fresh(|| {
            let route = route_to([127, 0, 0, 77].into(), Some(0xdc)).expect("route");
            assert_eq!(route, RouteTo { source: [127, 0, 0, 1].into(), mtu: 65_535 });
            assert!(route_to([192, 0, 2, 1].into(), None).is_err());
        });
    }
}
