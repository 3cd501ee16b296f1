//! Event descriptors, waiting with a deadline, signals, clocks of the system, and who is at the other end of a socket.
use super::sys::{check, check_len, option, owned};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Wakes another thread's [`Poll::wait`].
#[derive(Debug)]
pub struct EventFd(OwnedFd);
impl EventFd {
    /// A descriptor that is not signalled.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    /// Makes it readable; any number of calls before [`drain`](Self::drain) count as one. Never blocks.
    pub fn signal(&self) {
        let one = 1_u64;
        // SAFETY: eight octets are read from `one`. The only failure, a full counter, means that it is signalled already.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Makes it unreadable. True if it had been signalled.
    pub fn drain(&self) -> bool {
        let mut count = 0_u64;
        // SAFETY: eight octets are written to `count`.
        let result = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
        result > 0
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
        // SAFETY: no pointers.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    /// Waits for `fd` becoming readable (or closed). The descriptor must stay open for as long as it is in the set.
    pub fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: the kernel reads one event.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_fd().as_raw_fd(), &raw mut event)
        })
        .map(drop)
    }

    /// Takes a descriptor out.
    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        let none = std::ptr::null_mut();
        // SAFETY: the kernel looks at no event when it removes.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_fd().as_raw_fd(), none) })
            .map(drop)
    }

    /// Waits until something is readable or `timeout` has passed (`None`: for ever; rounded up to milliseconds), and puts the tokens of
    /// what is readable into `ready`, which is cleared first. Nothing is ready after a timeout or an interrupting signal.
    pub fn wait(&self, ready: &mut Vec<u64>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let milliseconds = match timeout {
            None => -1,
            Some(t) => libc::c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX),
        };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 32];
        // SAFETY: the kernel writes at most that many events.
        let result = check(unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), events.len() as _, milliseconds)
        });
        match result {
            Ok(count) => ready.extend(events.iter().take(count as usize).map(|event| event.u64)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
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
}

/// SIGTERM, SIGINT and SIGHUP as a descriptor. Blocks them in the calling thread and those that it starts later: make it first in `main`.
#[derive(Debug)]
pub struct Signals(OwnedFd);
impl Signals {
    /// Blocks the signals and collects them.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the set is ours, initialised by sigemptyset and only read by the others.
        unsafe {
            let mut set: libc::sigset_t = zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            owned(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)).map(Self)
        }
    }

    /// The next pending signal, without waiting.
    pub fn next(&self) -> Option<Signal> {
        // SAFETY: a struct of integers, as large as one record, which the kernel writes.
        let info = unsafe {
            let mut info: libc::signalfd_siginfo = zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let len = check_len(libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size)).ok()?;
            (len == size).then_some(info)?
        };
        match info.ssi_signo as libc::c_int {
            libc::SIGTERM => Some(Signal::Terminate),
            libc::SIGINT => Some(Signal::Interrupt),
            libc::SIGHUP => Some(Signal::Hangup),
            _ => None,
        }
    }
}
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// CLOCK_BOOTTIME: counts through suspend, never goes back, zero at boot.
pub fn boot_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec. It cannot fail: every kernel since 2.6.39 has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
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
    let raw: libc::ucred = option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED)?;
    Ok(Credentials { pid: raw.pid, uid: raw.uid, gid: raw.gid })
}

/// Asks a process that we started to end, as Ctrl-C or `kill` would.
pub fn terminate(child: &std::process::Child) -> io::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: no pointers; the child has not been waited for while somebody holds it, so the number is still its own.
    check(unsafe { libc::kill(pid, libc::SIGTERM) }).map(drop)
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
    fn time_does_not_go_back() {
        let first = boot_time();
        assert!(first > Duration::ZERO && boot_time() >= first);
    }
}
