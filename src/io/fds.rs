//! Event descriptors, waiting with a deadline, signals, clocks of the system, and who is at the other end of a socket.
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Wakes another thread's [`Poll::wait`].
#[derive(Debug)]
pub struct EventFd(OwnedFd);
impl EventFd {
    /// A descriptor that is not signalled.
    pub fn new() -> io::Result<Self> {
        todo!()
    }
    /// Makes it readable; any number of calls before [`drain`](Self::drain) count as one. Never blocks.
    pub fn signal(&self) {
        todo!()
    }
    /// Makes it unreadable. True if it had been signalled.
    pub fn drain(&self) -> bool {
        todo!()
    }
}
impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A set of descriptors to wait for, each with the caller's token (epoll, level-triggered).
#[derive(Debug)]
pub struct Poll(OwnedFd);
impl Poll {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        todo!()
    }
    /// Waits for `fd` becoming readable (or closed). The descriptor must stay open for as long as it is in the set.
    pub fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        let _ = (fd, token);
        todo!()
    }
    /// Takes a descriptor out.
    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        let _ = fd;
        todo!()
    }
    /// Waits until something is readable or `timeout` has passed (`None`: for ever; rounded up to milliseconds), and puts the tokens of
    /// what is readable into `ready`, which is cleared first. Nothing is ready after a timeout or an interrupting signal.
    pub fn wait(&self, ready: &mut Vec<u64>, timeout: Option<Duration>) -> io::Result<()> {
        let _ = (ready, timeout);
        todo!()
    }
}

/// A signal that a daemon acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGHUP.
    Hangup,
}
/// SIGTERM, SIGINT and SIGHUP as a descriptor. Blocks them in the calling thread and those that it starts later: make it first in `main`.
#[derive(Debug)]
pub struct Signals(OwnedFd);
impl Signals {
    /// Blocks the signals and collects them.
    pub fn new() -> io::Result<Self> {
        todo!()
    }
    /// The next pending signal, without waiting.
    pub fn next(&self) -> Option<Signal> {
        todo!()
    }
}
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// CLOCK_BOOTTIME: counts through suspend, never goes back, zero at boot.
pub fn boot_time() -> Duration {
    todo!()
}

/// Who is at the other end of a Unix socket (SO_PEERCRED).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process, as seen from here.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}
/// Reads the credentials of a connected Unix socket's other end.
pub fn peer_credentials(socket: &impl AsFd) -> io::Result<Credentials> {
    let _ = socket;
    todo!()
}
#[allow(unused)]
fn raw(fd: &impl AsFd) -> RawFd {
    fd.as_fd().as_raw_fd()
}
