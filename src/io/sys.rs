//! The few system calls that every module here makes.
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The result of a system call that says -1 for "look at errno".
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// [`check`] for calls that return lengths.
pub(super) fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// A new descriptor from a system call that makes one.
pub(super) fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A socket that is closed on exec and does not block.
pub(super) fn socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) })
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

/// Reads an option whose value is a plain C value.
pub(super) fn option<T: Copy>(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` octets into `value`.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) })?;
    if len as usize != size_of::<T>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the kernel has written all of it; all callers ask for integers and structs of integers, for which any bits are a value.
    Ok(unsafe { value.assume_init() })
}

/// Asks for socket buffers of `octets`, beyond the host's limit where we may.
pub(super) fn set_buffers(fd: BorrowedFd<'_>, octets: libc::c_int) {
    for (force, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        if set_option(fd, libc::SOL_SOCKET, force, octets).is_err() {
            // Smaller buffers cost speed, not correctness.
            let _ = set_option(fd, libc::SOL_SOCKET, plain, octets);
        }
    }
}

/// One instruction of a classic BPF program.
pub(super) const fn bpf(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Attaches a classic BPF program by the option `name`.
pub(super) fn attach(fd: BorrowedFd<'_>, name: libc::c_int, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(fd, libc::SOL_SOCKET, name, libc::sock_fprog { len, filter: program.as_mut_ptr() })
}

/// An error of the same kind with a sentence in front.
pub(super) fn context(error: &io::Error, what: impl std::fmt::Display) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
