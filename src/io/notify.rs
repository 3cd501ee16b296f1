//! What systemd wants to hear of a service (sd_notify(3)), and what it hands to one (sd_listen_fds(3)).
use std::ffi::OsStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Variables by which systemd speaks to the process that it has started, and to no other.
pub const VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
/// The first descriptor that it hands over.
const FIRST: RawFd = 3;
/// No unit has more.
const MOST: RawFd = 4096;

/// The way to systemd, if it has started us.
#[derive(Debug, Default)]
pub struct Notify(Option<(UnixDatagram, SocketAddr)>);
impl Notify {
    /// To the socket that `NOTIFY_SOCKET` names: a path, or an abstract name behind an `@`.
    pub fn to(name: Option<&OsStr>) -> Self {
        Self(name.filter(|name| !name.is_empty()).and_then(|name| open(name).ok()))
    }

    /// Whether anybody is to hear anything.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Tells it: lines of `NAME=value`. Nothing is said if nobody wants to hear it, and who does not take it has his reasons.
    pub fn tell(&self, lines: &str) {
        if let Some((socket, address)) = &self.0 {
            let _ = socket.send_to_addr(lines.as_bytes(), address);
        }
    }
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = UnixDatagram::unbound()?;
    // It must never wait for systemd, which may be waiting for us.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// How often systemd wants to hear `WATCHDOG=1`, if it does: half of the time after which it would lose patience. `ours` is this process's number.
pub fn watchdog(usec: Option<&str>, pid: Option<&str>, ours: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(ours));
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0 && is_ours)?;
    Some(Duration::from_micros(usec / 2))
}

/// Closes what systemd has kept for us or opened for us: how many descriptors that were. Call it before anything is opened, once.
///
/// Nothing is kept by systemd on our behalf, and what nobody announced is no state: who has them back after a crash has no use for them.
pub fn close_listeners(fds: Option<&str>, pid: Option<&str>, ours: u32) -> usize {
    if pid.and_then(|pid| pid.parse().ok()) != Some(ours) {
        return 0;
    }
    let count = fds.and_then(|fds| fds.parse::<RawFd>().ok()).unwrap_or(0).clamp(0, MOST);
    for number in FIRST..FIRST + count {
        // SAFETY: it takes numbers; who has none there says so.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0 {
            // SAFETY: it is open, systemd has opened it for us, and nothing else was opened yet.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    count.unsigned_abs() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_hears_it_and_others_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let there = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(Some(path.as_os_str()));
        notify.tell("READY=1\nSTATUS=well");
        let mut buf = [0; 64];
        let len = there.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"READY=1\nSTATUS=well");
        drop(there);
        notify.tell("STOPPING=1");
        for nobody in [None, Some(""), Some("relative"), Some("vsock:2:1234")] {
            let notify = Notify::to(nobody.map(OsStr::new));
            assert!(!notify.is_wanted());
            notify.tell("READY=1");
        }
    }

    #[test]
    fn abstract_names_are_heard_too() {
        let name = format!("sandhog-notify-{}", std::process::id());
        let there = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notify::to(Some(OsStr::new(&format!("@{name}")))).tell("READY=1");
        let mut buf = [0; 64];
        assert_eq!(there.recv(&mut buf).unwrap(), 7);
    }

    #[test]
    fn the_watchdog_is_for_one_process() {
        assert_eq!(watchdog(Some("20000000"), Some("7"), 7), Some(Duration::from_secs(10)));
        assert_eq!(watchdog(Some("20000000"), None, 7), Some(Duration::from_secs(10)));
        for (usec, pid) in [(None, None), (Some("0"), None), (Some("x"), None), (Some("9"), Some("8"))] {
            assert_eq!(watchdog(usec, pid, 7), None);
        }
    }

    #[test]
    fn descriptors_of_another_process_are_not_ours() {
        assert_eq!(close_listeners(Some("2"), Some("8"), 7), 0);
        assert_eq!(close_listeners(Some("2"), None, 7), 0);
        assert_eq!(close_listeners(Some("-1"), Some("7"), 7), 0);
        assert_eq!(close_listeners(None, Some("7"), 7), 0);
    }
}
