//! What every module here needs of the system and neither `nix` nor `socket2` has.
use nix::sys::socket::{setsockopt, sockopt};
use nix::{getsockopt_impl, sockopt_impl};
use socket2::{SockFilter, Socket};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

sockopt_impl!(
    /// MTU of the path to where an IPv6 socket is connected.
    Ipv6Mtu,
    GetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU,
    libc::c_int
);
sockopt_impl!(
    /// Frames that a packet socket has seen and lost since this was read last.
    PacketStatistics,
    GetOnly,
    libc::SOL_PACKET,
    libc::PACKET_STATISTICS,
    libc::tpacket_stats
);

/// The result of a system call that says -1 for "look at errno".
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets an option whose value is a plain C value (int or a struct of the kernel's).
pub(super) fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: T,
) -> io::Result<()> {
    let (data, len) = ((&raw const value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: `value` lives until the call returns, and `len` is its size; the kernel only reads.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, data, len) }).map(drop)
}

/// Asks for socket buffers of `octets`, beyond the host's limit where we may. Smaller buffers cost speed, not correctness.
pub(super) fn set_buffers(socket: &Socket, octets: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &octets).is_err() {
        let _ = socket.set_recv_buffer_size(octets);
    }
    if setsockopt(socket, sockopt::SndBufForce, &octets).is_err() {
        let _ = socket.set_send_buffer_size(octets);
    }
}

/// One instruction of a classic BPF program.
pub(super) const fn bpf(code: u32, jt: u8, jf: u8, k: u32) -> SockFilter {
    SockFilter::new(code as u16, jt, jf, k)
}

/// An error of the same kind with a sentence in front.
pub(super) fn context(error: &io::Error, what: impl std::fmt::Display) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
