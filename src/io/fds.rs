//! Event descriptors, waiting with a deadline, signals, clocks of the system, and who is at the other end of a socket.
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{self, EfdFlags};
use nix::sys::signal::{self, SigSet};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{getsockopt, sockopt};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Wakes another thread's [`Poll::wait`].
#[derive(Debug)]
pub struct EventFd(eventfd::EventFd);
impl EventFd {
    /// A descriptor that is not signalled.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd::EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    /// Makes it readable; any number of calls before [`drain`](Self::drain) count as one. Never blocks.
    pub fn signal(&self) {
        // The only failure, a full counter, means that it is signalled already.
        let _ = self.0.write(1);
    }

    /// Makes it unreadable. True if it had been signalled.
    pub fn drain(&self) -> bool {
        self.0.read().is_ok()
    }
}
impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A set of descriptors to wait for, each with the caller's token (epoll, level-triggered).
#[derive(Debug)]
pub struct Poll(Epoll);
impl Poll {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Waits for `fd` becoming readable (or closed). The descriptor must stay open for as long as it is in the set.
    pub fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.0.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Takes a descriptor out.
    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(fd)?)
    }

    /// Waits until something is readable or `timeout` has passed (`None`: for ever; rounded up to milliseconds), and puts the tokens of
    /// what is readable into `ready`, which is cleared first. Nothing is ready after a timeout or an interrupting signal.
    pub fn wait(&self, ready: &mut Vec<u64>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let timeout = timeout.map(|t| t.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(EpollTimeout::MAX));
        let mut events = [EpollEvent::empty(); 32];
        match self.0.wait(&mut events, timeout) {
            Ok(count) => ready.extend(events.iter().take(count).map(EpollEvent::data)),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
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
    /// SIGCHLD, for who has asked for it.
    Child,
}

/// SIGTERM, SIGINT and SIGHUP as a descriptor. Blocks them in the calling thread and those that it starts later: make it first in `main`.
#[derive(Debug)]
pub struct Signals(SignalFd);
impl Signals {
    /// Blocks the signals and collects them.
    pub fn new() -> io::Result<Self> {
        Self::of([signal::SIGTERM, signal::SIGINT, signal::SIGHUP].into_iter().collect())
    }

    /// The same with SIGCHLD, for who starts processes and waits for nothing else.
    pub fn with_children() -> io::Result<Self> {
        Self::of([signal::SIGTERM, signal::SIGINT, signal::SIGHUP, signal::SIGCHLD].into_iter().collect())
    }

    fn of(set: SigSet) -> io::Result<Self> {
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next pending signal, without waiting.
    pub fn next(&self) -> Option<Signal> {
        let number = self.0.read_signal().ok()??.ssi_signo;
        match signal::Signal::try_from(number as i32) {
            Ok(signal::SIGTERM) => Some(Signal::Terminate),
            Ok(signal::SIGINT) => Some(Signal::Interrupt),
            Ok(signal::SIGHUP) => Some(Signal::Hangup),
            Ok(signal::SIGCHLD) => Some(Signal::Child),
            _ => None,
        }
    }
}
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Leaves the signals that a daemon acts on to the other threads: for one that is started before [`Signals`].
pub fn ignore_signals() -> io::Result<()> {
    let set: SigSet = [signal::SIGTERM, signal::SIGINT, signal::SIGHUP].into_iter().collect();
    Ok(set.thread_block()?)
}

/// Waits until nobody has the other end of a terminal, a pipe or a socket any more.
pub fn wait_for_hangup(fd: &impl AsFd) -> io::Result<()> {
    loop {
        // Asked for nothing, it tells of a hangup all the same.
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::empty())], PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            done => return Ok(done.map(drop)?),
        }
    }
}

/// CLOCK_BOOTTIME: counts through suspend, never goes back, zero at boot.
pub fn boot_time() -> Duration {
    // It cannot fail: every kernel since 2.6.39 has this clock.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// CLOCK_MONOTONIC, as systemd wants it; everything else here counts through suspend.
pub fn monotonic() -> Duration {
    // As for the other one.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
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
    let peer = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
}

/// Asks a process that we started to end, as Ctrl-C or `kill` would.
pub fn terminate(child: &std::process::Child) -> io::Result<()> {
    // The child has not been waited for while somebody holds it, so the number is still its own.
    let pid = i32::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(signal::kill(Pid::from_raw(pid), signal::SIGTERM)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn an_event_is_seen_once_however_often_it_was_signalled() {
        let (poll, event, mut ready) = (Poll::new().expect("poll"), EventFd::new().expect("event"), vec![99]);
        poll.add(&event, 7).expect("add");
        poll.wait(&mut ready, Some(Duration::ZERO)).expect("wait");
        assert!(ready.is_empty());
        event.signal();
        event.signal();
        poll.wait(&mut ready, None).expect("wait");
        assert_eq!(ready, [7]);
        assert!(event.drain());
        assert!(!event.drain());
        event.signal();
        poll.remove(&event).expect("remove");
        poll.wait(&mut ready, Some(Duration::ZERO)).expect("wait");
        assert!(ready.is_empty());
    }

    #[test]
    fn an_event_wakes_another_thread() {
        let (poll, event) = (Poll::new().expect("poll"), EventFd::new().expect("event"));
        poll.add(&event, 1).expect("add");
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                let mut ready = Vec::new();
                poll.wait(&mut ready, None).expect("wait");
                ready
            });
            event.signal();
            assert_eq!(sleeper.join().expect("no panic"), [1]);
        });
    }

    #[test]
    fn signals_become_readable() {
        // On a thread of its own, which is the only one that blocks the signal; raise() sends it to this thread.
        std::thread::spawn(|| {
            let signals = Signals::new().expect("signals");
            assert_eq!(signals.next(), None);
            // SAFETY: the signal is blocked, so that nothing happens but its being pending.
            unsafe { libc::raise(libc::SIGHUP) };
            assert_eq!(signals.next(), Some(Signal::Hangup));
            assert_eq!(signals.next(), None);
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn the_other_end_of_a_socket_is_this_process() {
        let (a, _b) = UnixStream::pair().expect("pair");
        assert_eq!(peer_credentials(&a).expect("credentials").pid, std::process::id() as i32);
    }

    #[test]
    fn a_hangup_is_waited_for() {
        let (a, b) = UnixStream::pair().expect("pair");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_for_hangup(&a));
            // what comes in is none
            io::Write::write_all(&mut &b, b"x").expect("write");
            drop(b);
            waiter.join().expect("no panic").expect("told");
        });
    }

    #[test]
    fn time_does_not_go_back() {
        let first = boot_time();
        assert!(first > Duration::ZERO && boot_time() >= first);
    }
}
