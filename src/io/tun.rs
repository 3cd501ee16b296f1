//! TUN devices with several queues and the virtio-net offload header.
use super::netns::Namespace;
use super::{Gso, Tun, VnetHeader, queue_of};
use nix::errno::Errno;
use nix::unistd::geteuid;
use socket2::{Domain, Socket, Type};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

/// Octets of the offload header: a virtio_net_hdr without num_buffers, in the host's byte order (the kernel's default for TUN).
const HEADER: usize = 10;
/// Pieces of one write beside the offload header.
const MAX_PARTS: usize = 255;
/// Packets that wait in the kernel for us to read them; the default of 500 is too short for bursts.
const QUEUE_LENGTH: libc::c_int = 2048;

const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// The requests of linux/if_tun.h and linux/sockios.h that are made here.
mod ioctl {
    use libc::{c_int, ifreq};
    // The number of this one claims an int, so it cannot be made from its type.
    nix::ioctl_readwrite_bad!(set_iff, libc::TUNSETIFF, ifreq);
    nix::ioctl_write_int!(set_owner, b'T', 204);
    nix::ioctl_write_int!(set_offload, b'T', 208);
    // This one claims an unsigned int, and writes a whole request.
    nix::ioctl_read_bad!(get_iff, libc::TUNGETIFF, ifreq);
    nix::ioctl_write_ptr!(set_vnet_header_size, b'T', 216, c_int);
    nix::ioctl_write_ptr!(set_carrier, b'T', 226, c_int);
    nix::ioctl_none!(namespace, b'T', 227);
    nix::ioctl_write_ptr_bad!(set_queue_length, libc::SIOCSIFTXQLEN, ifreq);
}

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no TUN, or a container hides it.
    #[error(
        "/dev/net/tun is missing: load the module with `modprobe tun`, or give the container the device (`--device /dev/net/tun`)"
    )]
    Missing,
    /// Not allowed to open it or to make devices.
    #[error("not allowed to create network devices: run as root or with CAP_NET_ADMIN")]
    NoPermission,
    /// Another process or another kind of device has the name.
    #[error("there is a network device `{0}` already that is not ours: choose another name, or stop what uses it")]
    Taken(String),
    /// Empty, too long (15 octets at most), or with a slash, colon, percent sign, white space or control character in it, or `.` or `..`.
    #[error("`{0}` is not a name for a network device: 1 to 15 characters, no slash, colon, percent sign or space")]
    BadName(String),
    /// Anything else.
    #[error("network device `{0}`: {1}")]
    Other(String, #[source] io::Error),
}
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Missing => io::ErrorKind::NotFound,
            Error::NoPermission => io::ErrorKind::PermissionDenied,
            Error::Taken(_) => io::ErrorKind::AlreadyExists,
            Error::BadName(_) => io::ErrorKind::InvalidInput,
            Error::Other(_, e) => e.kind(),
        };
        Self::new(kind, error)
    }
}

/// Makes devices.
#[derive(Debug)]
pub struct Device;
impl Device {
    /// Creates a device with `queues` (1 to 256) non-blocking queues, not yet up. It vanishes when the last queue is closed.
    pub fn create(name: &str, queues: usize) -> Result<Vec<Queue>, Error> {
        let other = |e: io::Error| Error::Other(name.into(), e);
        if !(1..=256).contains(&queues) {
            return Err(other(io::Error::new(io::ErrorKind::InvalidInput, "a device has 1 to 256 queues")));
        }
        let request = request(name).ok_or_else(|| Error::BadName(name.into()))?;
        // A multi-queue device of another process would let us join in: the first queue must make the device.
        let first = attach(name, request, libc::IFF_TUN_EXCL)?;
        // A device without owner takes further queues from anybody who can open /dev/net/tun.
        // SAFETY: the first takes a number, and of the second the kernel reads one int.
        unsafe {
            ioctl::set_owner(first.as_raw_fd(), geteuid().as_raw().into()).map_err(|e| other(e.into()))?;
            ioctl::set_vnet_header_size(first.as_raw_fd(), &(HEADER as libc::c_int)).map_err(|e| other(e.into()))?;
        }
        let (tcp, udp) = set_offloads(&first);
        // Refused in a user namespace; a shorter queue loses bursts, no more.
        let _ = set_queue_length(request);
        let others = (1..queues).map(|_| attach(name, request, 0));
        let all: Arc<[_]> = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
        Ok((0..queues).map(|index| Queue { all: all.clone(), index, tcp, udp }).collect())
    }
}

impl Device {
    /// The queues of a device that another process has made, all of them and in their order.
    pub fn adopt(queues: Vec<OwnedFd>) -> Vec<Queue> {
        let all: Arc<[File]> = queues.into_iter().map(File::from).collect();
        // What the device does already; only whether it does is asked.
        let (tcp, udp) = all.first().map_or((false, false), set_offloads);
        (0..all.len()).map(|index| Queue { all: all.clone(), index, tcp, udp }).collect()
    }
}

/// A request that carries the name, if it is one.
fn request(name: &str) -> Option<libc::ifreq> {
    // SAFETY: a struct of integers and pointers.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let bad = |b: u8| matches!(b, b'/' | b':' | b'%') || b.is_ascii_whitespace() || b.is_ascii_control();
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name == "." || name == ".." || name.bytes().any(bad) {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Some(request)
}

/// Opens one queue of the device.
fn attach(name: &str, mut request: libc::ifreq, extra: libc::c_int) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let file = file.map_err(|e| match e.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Error::Missing,
        Some(libc::EACCES | libc::EPERM) => Error::NoPermission,
        _ => Error::Other(name.into(), e),
    })?;
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE | extra;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the kernel reads and writes the request, which is ours.
    match unsafe { ioctl::set_iff(file.as_raw_fd(), &raw mut request) } {
        Ok(_) => Ok(file),
        Err(Errno::EPERM | Errno::EACCES) => Err(Error::NoPermission),
        // EINVAL is what the kernel answers for a device of another kind or with other flags.
        Err(Errno::EBUSY | Errno::EEXIST | Errno::EINVAL) => Err(Error::Taken(name.into())),
        Err(e) => Err(Error::Other(name.into(), e.into())),
    }
}

/// Asks for as many offloads as the kernel has: (TCP, UDP).
fn set_offloads(file: &File) -> (bool, bool) {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    let udp = tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6;
    // SAFETY: it takes a number.
    let agreed = |offloads: u32| unsafe { ioctl::set_offload(file.as_raw_fd(), offloads.into()) }.is_ok();
    if agreed(udp) { (true, true) } else { (agreed(tcp), false) }
}

/// Makes the device's queue longer.
fn set_queue_length(mut request: libc::ifreq) -> io::Result<()> {
    let any = Socket::new(Domain::IPV4, Type::DGRAM, None).or_else(|_| Socket::new(Domain::IPV6, Type::DGRAM, None))?;
    request.ifr_ifru.ifru_metric = QUEUE_LENGTH;
    // SAFETY: the kernel reads the name and the length in the request.
    unsafe { ioctl::set_queue_length(any.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// One queue of a device; what is read carries the offload header. Anybody may write to any of them.
#[derive(Debug)]
pub struct Queue {
    /// Of the whole device.
    all: Arc<[File]>,
    /// Which of them this is.
    index: usize,
    tcp: bool,
    udp: bool,
}
impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}
impl Queue {
    fn file(&self) -> &File {
        &self.all[self.index]
    }
}

impl Queue {
    /// A hold on the device beside its queues.
    pub fn hold(&self) -> Hold {
        Hold(self.all.clone())
    }
}

/// Tells the kernel of a device, and asks about it, in whatever network namespace it is. The device lives for as long as this or a queue of it.
#[derive(Clone, Debug)]
pub struct Hold(Arc<[File]>);
impl Hold {
    /// The name that it has now. An error if it is gone: deleted, or its namespace with it.
    pub fn name(&self) -> io::Result<String> {
        // SAFETY: a struct of integers and pointers.
        let mut request: libc::ifreq = unsafe { zeroed() };
        // SAFETY: the kernel writes one request.
        unsafe { ioctl::get_iff(self.any()?, &raw mut request) }?;
        let name = request.ifr_name.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect::<Vec<_>>();
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// Its queues, in their order.
    pub fn queues(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(AsFd::as_fd)
    }

    /// The network namespace that it is in. Kernels before 5.8 do not tell.
    pub fn namespace(&self) -> io::Result<Namespace> {
        // SAFETY: it takes nothing, and returns a new descriptor, which is nobody else's.
        Ok(Namespace(unsafe { OwnedFd::from_raw_fd(ioctl::namespace(self.any()?)?) }))
    }

    /// Whether there is somebody at the other end: without carrier the host discards what it would send here, and routes over the device count as
    /// down. Kernels before 4.20 do not know it.
    pub fn set_carrier(&self, up: bool) -> io::Result<()> {
        // SAFETY: the kernel reads one int.
        unsafe { ioctl::set_carrier(self.any()?, &up.into()) }?;
        Ok(())
    }

    fn any(&self) -> io::Result<std::os::fd::RawFd> {
        Ok(self.0.first().ok_or(io::ErrorKind::NotFound)?.as_raw_fd())
    }
}

impl Tun for Queue {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        loop {
            let mut header = [0; HEADER];
            let mut parts = [io::IoSliceMut::new(&mut header), io::IoSliceMut::new(buf)];
            match self.file().read_vectored(&mut parts) {
                Ok(len) => {
                    // A kind of super-packet that was not asked for, or less than a header: nothing to be done with it.
                    if let (Some(header), Some(len)) = (decode(header), len.checked_sub(HEADER)) {
                        return Ok((header, len));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn write(&mut self, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        write(self.file(), header, parts)
    }

    fn write_flow(&mut self, flow: u32, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        write(&self.all[queue_of(flow, self.all.len())], header, parts)
    }

    fn offloads(&self) -> (bool, bool) {
        (self.tcp, self.udp)
    }
}

fn write(mut file: &File, header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
    if parts.len() > MAX_PARTS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let encoded = encode(header);
    let mut vectors = [const { MaybeUninit::<io::IoSlice<'_>>::uninit() }; MAX_PARTS + 1];
    vectors[0].write(io::IoSlice::new(&encoded));
    for (to, from) in vectors[1..].iter_mut().zip(parts) {
        to.write(*from);
    }
    // SAFETY: the first 1 + parts.len() vectors are written.
    let vectors = unsafe { vectors[..=parts.len()].assume_init_ref() };
    loop {
        match file.write_vectored(vectors) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

fn decode(raw: [u8; HEADER]) -> Option<VnetHeader> {
    let word = |i: usize| u16::from_ne_bytes([raw[i], raw[i + 1]]);
    let gso = match raw[1] & !GSO_ECN {
        GSO_NONE => Gso::None,
        GSO_TCPV4 => Gso::TcpV4,
        GSO_TCPV6 => Gso::TcpV6,
        GSO_UDP_L4 => Gso::UdpL4,
        _ => return None,
    };
    let needs_csum = raw[0] & NEEDS_CSUM != 0;
    Some(VnetHeader { needs_csum, gso, hdr_len: word(2), gso_size: word(4), csum_start: word(6), csum_offset: word(8) })
}

fn encode(header: &VnetHeader) -> [u8; HEADER] {
    let gso = match header.gso {
        Gso::None => GSO_NONE,
        Gso::TcpV4 => GSO_TCPV4,
        Gso::TcpV6 => GSO_TCPV6,
        Gso::UdpL4 => GSO_UDP_L4,
    };
    let mut raw = [if header.needs_csum { NEEDS_CSUM } else { 0 }, gso, 0, 0, 0, 0, 0, 0, 0, 0];
    for (i, word) in [header.hdr_len, header.gso_size, header.csum_start, header.csum_offset].into_iter().enumerate() {
        raw[2 + 2 * i..4 + 2 * i].copy_from_slice(&word.to_ne_bytes());
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::super::fds::Poll;
    use super::super::netlink::{Address, Netlink};
    use super::super::netns::fresh;
    use super::super::sys::{check, set_option};
    use super::*;
    use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
    use std::net::{IpAddr, Ipv6Addr, TcpStream, UdpSocket};
    use std::time::Duration;

    /// A device `tun0` that is up, with 10.0.0.1/24 and fd00::1/64.
    fn device(queues: usize) -> Vec<Queue> {
        let all = Device::create("tun0", queues).expect("create");
        let netlink = Netlink::open().expect("netlink");
        let link = netlink.link("tun0").expect("link").index;
        netlink.set_up(link, true).expect("up");
        for (addr, prefix_len) in [("10.0.0.1", 24), ("fd00::1", 64)] {
            netlink.add_address(&Address { link, addr: addr.parse().expect("address"), prefix_len }).expect("address");
        }
        all
    }

    /// The next packet with this IP protocol and not from the kernel's own chatter.
    fn next(queues: &mut [Queue], protocol: u8) -> (VnetHeader, Vec<u8>) {
        let poll = Poll::new().expect("poll");
        for (i, queue) in queues.iter().enumerate() {
            poll.add(queue, i as u64).expect("add");
        }
        let (mut ready, mut buf) = (Vec::new(), vec![0; 70_000]);
        loop {
            poll.wait(&mut ready, Some(Duration::from_secs(5))).expect("wait");
            let queue = &mut queues[*ready.first().expect("a packet in time") as usize];
            let (header, len) = queue.read(&mut buf).expect("read");
            let at = if buf[0] >> 4 == 4 { 9 } else { 6 };
            if buf[at] == protocol {
                return (header, buf[..len].to_vec());
            }
        }
    }

    #[test]
    fn names_are_checked() {
        for name in ["", ".", "..", "a/b", "a b", "tun%d", "a:b", "sixteen-letters-", "a\0b"] {
            assert!(matches!(Device::create(name, 1), Err(Error::BadName(_))), "{name:?}");
        }
        assert!(Device::create("tun0", 0).is_err() && Device::create("tun0", 257).is_err());
    }

    #[test]
    fn a_taken_name_is_said() {
        fresh(|| {
            let _held = Device::create("tun0", 2).expect("create");
            assert!(matches!(Device::create("tun0", 1), Err(Error::Taken(name)) if name == "tun0"));
            Netlink::open().expect("netlink").add_veth("veth0", "veth1").expect("veth");
            assert!(matches!(Device::create("veth0", 1), Err(Error::Taken(_))));
        });
    }

    #[test]
    fn a_device_goes_with_its_last_queue() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            let mut all = Device::create("tun0", 2).expect("create");
            all.pop();
            assert!(netlink.link("tun0").is_ok());
            all.pop();
            assert!(netlink.link("tun0").is_err());
        });
    }

    /// In another namespace, under another name, it is the same device, and its queues are what they were.
    #[test]
    fn a_device_is_moved_and_goes_with_its_namespace() {
        fresh(|| {
            let there = Namespace::create().expect("namespace");
            let netlink = Netlink::open().expect("netlink");
            let mut queues = Device::create("made", 2).expect("create");
            let hold = queues[0].hold();
            assert_eq!(hold.name().expect("name"), "made");
            netlink.move_link(netlink.link("made").expect("link").index, there.as_fd(), "tun0").expect("move");
            assert_eq!(hold.name().expect("name"), "tun0");
            assert!(hold.namespace().expect("namespace").is(&there).expect("compare"));
            let set_up = || {
                let netlink = Netlink::open().expect("netlink");
                let link = netlink.link("tun0").expect("link").index;
                netlink.set_up(link, true).expect("up");
                let address = Address { link, addr: "10.0.0.1".parse().expect("address"), prefix_len: 24 };
                netlink.add_address(&address).expect("address");
                UdpSocket::bind("10.0.0.1:1000").expect("bind")
            };
            let socket = there.run(set_up).expect("enter");
            socket.send_to(b"hello", "10.0.0.2:2000").expect("send");
            assert!(next(&mut queues, 17).1.ends_with(b"hello"));
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).udp(2000, 1000);
            builder.write(&mut packet, b"hello back").expect("build");
            queues[1].write(&VnetHeader::default(), &[io::IoSlice::new(&packet)]).expect("write");
            let mut buf = [0; 64];
            let len = socket.recv(&mut buf).expect("receive");
            assert_eq!(&buf[..len], b"hello back");
            // Neither the queues nor the hold keep the namespace.
            drop((socket, there));
            let poll = Poll::new().expect("poll");
            poll.add(&queues[1], 0).expect("add");
            let mut ready = Vec::new();
            while hold.name().is_ok() {
                poll.wait(&mut ready, Some(Duration::from_secs(5))).expect("wait");
            }
            let error = queues[1].read(&mut buf).expect_err("gone");
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn routes_see_the_carrier() {
        fresh(|| {
            let queues = device(1);
            let state = || {
                let out = std::process::Command::new("ip").args(["-o", "link", "show", "tun0"]).output();
                String::from_utf8_lossy(&out.expect("ip").stdout).into_owned()
            };
            queues[0].hold().set_carrier(false).expect("off");
            assert!(state().contains("NO-CARRIER"), "{}", state());
            queues[0].hold().set_carrier(true).expect("on");
            assert!(!state().contains("NO-CARRIER"), "{}", state());
        });
    }

    #[test]
    fn strangers_get_no_queue() {
        fresh(|| {
            let _held = Device::create("tun0", 1).expect("create");
            let refused = std::thread::spawn(|| {
                // SAFETY: no pointers; the raw call changes this thread only. Capabilities go with the user.
                check(unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) as libc::c_int })
                    .expect("setuid");
                matches!(attach("tun0", request("tun0").expect("name"), 0), Err(Error::NoPermission))
            });
            assert!(refused.join().expect("no panic"));
        });
    }

    #[test]
    fn what_the_host_sends_is_read() {
        fresh(|| {
            let mut queues = device(2);
            let (tcp, udp) = queues[0].offloads();
            assert!(tcp, "every kernel has TSO");
            let socket = UdpSocket::bind("10.0.0.1:1000").expect("bind");
            socket.send_to(b"hello", "10.0.0.2:2000").expect("send");
            let (header, packet) = next(&mut queues, 17);
            assert_eq!(
                (header.needs_csum, header.gso, header.csum_start, header.csum_offset),
                (true, Gso::None, 20, 6)
            );
            let sliced = SlicedPacket::from_ip(&packet).expect("packet");
            let Some(TransportSlice::Udp(datagram)) = sliced.transport else { panic!("no UDP") };
            assert_eq!((datagram.destination_port(), datagram.payload()), (2000, &b"hello"[..]));
            if udp {
                for (from, to) in [("10.0.0.1:0", "10.0.0.2:2000"), ("[fd00::1]:0", "[fd00::2]:2000")] {
                    let socket = UdpSocket::bind(from).expect("bind");
                    set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 1000).expect("segment");
                    socket.send_to(&[7; 10_500], to).expect("send");
                    let (header, packet) = next(&mut queues, 17);
                    assert_eq!((header.needs_csum, header.gso, header.gso_size), (true, Gso::UdpL4, 1000));
                    assert_eq!(packet.len(), 10_508 + if from.starts_with('[') { 40 } else { 20 });
                }
            }
        });
    }

    /// Ports spread what the host sends over the queues, but for fragments, of which only the first has any.
    #[test]
    fn all_fragments_of_a_packet_come_by_one_queue() {
        fresh(|| {
            let mut queues = device(8);
            let netlink = Netlink::open().expect("netlink");
            netlink.set_mtu(netlink.link("tun0").expect("link").index, 1500).expect("mtu");
            let mut buf = vec![0; 70_000];
            for (from, to, later) in [("10.0.0.1:0", "10.0.0.2:2000", 17), ("[fd00::1]:0", "[fd00::2]:2000", 44)] {
                // Which queues have something of it, for each length.
                let queues_of = [(1000, 17, 1), (4000, later, 3)].map(|(len, protocol, pieces)| {
                    let mut of = vec![0; queues.len()];
                    for _ in 0..32 {
                        let socket = UdpSocket::bind(from).expect("bind");
                        socket.send_to(&vec![7; len], to).expect("send");
                    }
                    for (queue, of) in queues.iter_mut().zip(&mut of) {
                        while let Ok((_, len)) = queue.read(&mut buf) {
                            let at = if buf[0] >> 4 == 4 { 9 } else { 6 };
                            *of += usize::from(len > at && buf[at] == protocol);
                        }
                    }
                    assert_eq!(of.iter().sum::<usize>(), 32 * pieces, "{from}");
                    of.iter().filter(|count| **count > 0).count()
                });
                assert!(queues_of[0] > 1 && queues_of[1] == 1, "{from}: {queues_of:?}");
            }
        });
    }

    #[test]
    fn what_is_written_the_host_receives() {
        fresh(|| {
            let mut queue = device(1).pop().expect("one");
            let socket = UdpSocket::bind("10.0.0.1:1000").expect("bind");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).udp(2000, 1000);
            builder.write(&mut packet, b"in pieces").expect("build");
            let (head, tail) = packet.split_at(31);
            queue.write(&VnetHeader::default(), &[io::IoSlice::new(head), io::IoSlice::new(tail)]).expect("write");
            let mut buf = [0; 4096];
            let (len, from) = socket.recv_from(&mut buf).expect("receive");
            assert_eq!((&buf[..len], from.to_string().as_str()), (&b"in pieces"[..], "10.0.0.2:2000"));
            assert!(queue.write(&VnetHeader::default(), &vec![io::IoSlice::new(&[]); MAX_PARTS + 1]).is_err());
            if !queue.offloads().1 {
                return;
            }
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).udp(2000, 1000);
            builder.write(&mut packet, &[7; 2500]).expect("build");
            // A partial checksum: the sum of the pseudo-header, not complemented.
            let sum: u32 = [0x0a00, 2, 0x0a00, 1, 17, 2508].iter().sum();
            packet[26..28].copy_from_slice(&(sum as u16).to_be_bytes());
            let header = VnetHeader {
                needs_csum: true,
                gso: Gso::UdpL4,
                hdr_len: 28,
                gso_size: 1000,
                csum_start: 20,
                csum_offset: 6,
            };
            queue.write(&header, &[io::IoSlice::new(&packet)]).expect("write a train");
            let lengths = [(); 3].map(|()| socket.recv_from(&mut buf).expect("receive").0);
            assert_eq!(lengths, [1000, 1000, 500]);
        });
    }

    /// The queue that a flow was written to last is the one that the host's answers come out of.
    #[test]
    fn answers_come_by_the_queue_that_was_written_to() {
        fresh(|| {
            let mut queues = device(8);
            let (mut buf, mut flows) = (vec![0; 70_000], Vec::new());
            for (from, to) in [("10.0.0.1:0", "10.0.0.2:2000"), ("[fd00::1]:0", "[fd00::2]:2000")] {
                let socket = UdpSocket::bind(from).expect("bind");
                socket.set_read_timeout(Some(Duration::from_millis(10))).expect("timeout");
                let port = socket.local_addr().expect("address").port();
                let mut packet = Vec::new();
                if from.starts_with('[') {
                    let (near, far) = ("fd00::1".parse::<Ipv6Addr>(), "fd00::2".parse::<Ipv6Addr>());
                    let (near, far) = (near.expect("near").octets(), far.expect("far").octets());
                    PacketBuilder::ipv6(far, near, 64).udp(2000, port).write(&mut packet, b"to us").expect("build");
                } else {
                    let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64);
                    builder.udp(2000, port).write(&mut packet, b"to us").expect("build");
                }
                flows.push((socket, to, packet));
            }
            for chosen in [0, 5, 7, 1, 6, 2, 4, 3] {
                for (socket, to, packet) in &flows {
                    // Whoever writes.
                    let writer = &mut queues[(chosen + 3) % 8];
                    let flow = ((chosen as u32) << 29) + 12_345;
                    // An IPv6 address receives a moment after it was added.
                    let arrives = (0..500).any(|_| {
                        let parts = [io::IoSlice::new(packet)];
                        writer.write_flow(flow, &VnetHeader::default(), &parts).expect("write");
                        socket.recv_from(&mut buf).is_ok()
                    });
                    assert!(arrives, "{to}");
                    socket.send_to(b"an answer", to).expect("send");
                    let answered: Vec<_> = (0..8)
                        .filter(|queue| {
                            std::iter::from_fn(|| {
                                queues[*queue].read(&mut buf).ok().map(|(_, len)| buf[..len].to_vec())
                            })
                            .filter(|packet| packet.ends_with(b"an answer"))
                            .count()
                                == 1
                        })
                        .collect();
                    assert_eq!(answered, [chosen], "{to}");
                }
            }
        });
    }

    #[test]
    fn a_connection_between_two_devices_moves_super_packets() {
        fresh(|| {
            let there = Namespace::create().expect("namespace");
            let mut near = device(1).pop().expect("near");
            let mut far = there
                .run(|| {
                    let queue = Device::create("tun0", 1).expect("create").pop().expect("far");
                    let netlink = Netlink::open().expect("netlink");
                    let link = netlink.link("tun0").expect("link").index;
                    netlink.set_up(link, true).expect("up");
                    let address = Address { link, addr: IpAddr::from([10, 0, 0, 2]), prefix_len: 24 };
                    netlink.add_address(&address).expect("address");
                    queue
                })
                .expect("enter");
            let listener = there.run(|| std::net::TcpListener::bind("10.0.0.2:3000")).expect("enter").expect("listen");
            let received =
                std::thread::spawn(move || io::copy(&mut listener.accept().expect("accept").0, &mut io::sink()));
            let here = Namespace::current().expect("here");
            let sender = here
                .spawn(|| {
                    let mut stream = TcpStream::connect("10.0.0.2:3000").expect("connect");
                    io::Write::write_all(&mut stream, &vec![5; 3_000_000]).expect("send");
                })
                .expect("thread");
            let poll = Poll::new().expect("poll");
            poll.add(&near, 0).expect("add");
            poll.add(&far, 1).expect("add");
            let (mut ready, mut buf, mut largest) = (Vec::new(), vec![0; 70_000], 0);
            while !received.is_finished() {
                poll.wait(&mut ready, Some(Duration::from_millis(20))).expect("wait");
                for token in ready.drain(..) {
                    let (from, to) = if token == 0 { (&mut near, &mut far) } else { (&mut far, &mut near) };
                    while let Ok((header, len)) = from.read(&mut buf) {
                        if header.gso == Gso::TcpV4 {
                            let sliced = SlicedPacket::from_ip(&buf[..len]).expect("packet");
                            assert!(matches!(sliced.net, Some(NetSlice::Ipv4(_))));
                            largest = largest.max(len);
                        }
                        // What a full queue loses TCP sends again.
                        let _ = to.write(&header, &[io::IoSlice::new(&buf[..len])]);
                    }
                }
            }
            sender.join().expect("no panic").expect("entered");
            assert_eq!(received.join().expect("no panic").expect("copy"), 3_000_000);
            assert!(largest > 20_000, "{largest}");
        });
    }
}
