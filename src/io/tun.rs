//! TUN devices with several queues and the virtio-net offload header.
use super::sys::{check, check_len, socket};
use super::{Gso, Tun, VnetHeader};
use std::ffi::CStr;
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

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
    #[error(
        "there is a network device `{0}` already that is not ours: choose another name (`device = ...`) or stop what uses it"
    )]
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
        let other = |e| Error::Other(name.into(), e);
        if !(1..=256).contains(&queues) {
            return Err(other(io::Error::new(io::ErrorKind::InvalidInput, "a device has 1 to 256 queues")));
        }
        let request = request(name).ok_or_else(|| Error::BadName(name.into()))?;
        // A multi-queue device of another process would let us join in: the first queue must make the device.
        let first = attach(name, request, libc::IFF_TUN_EXCL)?;
        // A device without owner takes further queues from anybody who can open /dev/net/tun.
        // SAFETY: no pointers.
        ioctl(&first, libc::TUNSETOWNER, unsafe { libc::geteuid() } as _).map_err(other)?;
        let size = HEADER as libc::c_int;
        // SAFETY: the kernel reads one int.
        check(unsafe { libc::ioctl(first.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const size) }).map_err(other)?;
        let (tcp, udp) = set_offloads(&first);
        set_queue_length(request).map_err(other)?;
        let mut all = vec![Queue { fd: first, tcp, udp }];
        for _ in 1..queues {
            all.push(Queue { fd: attach(name, request, 0)?, tcp, udp });
        }
        Ok(all)
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
fn attach(name: &str, mut request: libc::ifreq, extra: libc::c_int) -> Result<OwnedFd, Error> {
    const PATH: &CStr = c"/dev/net/tun";
    // SAFETY: a path that ends with NUL.
    let fd = super::sys::owned(unsafe { libc::open(PATH.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK) });
    let fd = fd.map_err(|e| match e.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Error::Missing,
        Some(libc::EACCES | libc::EPERM) => Error::NoPermission,
        _ => Error::Other(name.into(), e),
    })?;
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE | extra;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the kernel reads and writes the request, which is ours.
    match check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }) {
        Ok(_) => Ok(fd),
        Err(e) => Err(match e.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Error::NoPermission,
            Some(libc::EBUSY | libc::EEXIST) => Error::Taken(name.into()),
            // What the kernel answers for a device of another kind or with other flags.
            Some(libc::EINVAL) => Error::Taken(name.into()),
            _ => Error::Other(name.into(), e),
        }),
    }
}

/// Asks for as many offloads as the kernel has: (TCP, UDP).
fn set_offloads(fd: &OwnedFd) -> (bool, bool) {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    let udp = tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6;
    if ioctl(fd, libc::TUNSETOFFLOAD, udp as _).is_ok() {
        (true, true)
    } else if ioctl(fd, libc::TUNSETOFFLOAD, tcp as _).is_ok() {
        (true, false)
    } else {
        (false, false)
    }
}

/// An ioctl with a plain number.
fn ioctl(fd: &OwnedFd, request: libc::c_ulong, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the requests that are made here take their argument as a number, not as a pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, value) }).map(drop)
}

/// Makes the device's queue longer.
fn set_queue_length(mut request: libc::ifreq) -> io::Result<()> {
    let any = socket(libc::AF_INET, libc::SOCK_DGRAM, 0).or_else(|_| socket(libc::AF_INET6, libc::SOCK_DGRAM, 0))?;
    request.ifr_ifru.ifru_metric = QUEUE_LENGTH;
    // SAFETY: the kernel reads the name and the length in the request.
    check(unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCSIFTXQLEN as _, &raw const request) }).map(drop)
}

/// One queue of a device; what is read carries the offload header.
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
    tcp: bool,
    udp: bool,
}
impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Tun for Queue {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        loop {
            let mut header = [0; HEADER];
            let parts = [
                libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: HEADER },
                libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() },
            ];
            // SAFETY: both parts point at buffers of their length, which are ours until the call returns.
            match check_len(unsafe { libc::readv(self.fd.as_raw_fd(), parts.as_ptr(), 2) }) {
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
        if parts.len() > MAX_PARTS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let encoded = encode(header);
        let mut vectors = [const { MaybeUninit::<io::IoSlice<'_>>::uninit() }; MAX_PARTS + 1];
        vectors[0].write(io::IoSlice::new(&encoded));
        for (to, from) in vectors[1..].iter_mut().zip(parts) {
            to.write(*from);
        }
        loop {
            // SAFETY: the first 1 + parts.len() vectors are written; an IoSlice is an iovec by std's promise; the kernel only reads.
            let result =
                unsafe { libc::writev(self.fd.as_raw_fd(), vectors.as_ptr().cast(), parts.len() as libc::c_int + 1) };
            match check_len(result) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }

    fn offloads(&self) -> (bool, bool) {
        (self.tcp, self.udp)
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
