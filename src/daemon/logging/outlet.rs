//! Where messages go. Only the writer's thread comes here, so it may wait.
use super::format;
use super::record::Record;
use crate::config::{Log, LogFormat, LogTarget};
use crate::daemon::clock;
use crate::io::{host, journal};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// Where systemd's journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// A socket that is not there is looked for again after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open way out.
#[derive(Debug)]
enum Way {
    /// Without the lock of [`io::stderr`]: while its reader does not read, nobody else must wait for it.
    Stderr {
        file: File,
        colour: bool,
    },
    Journal(UnixDatagram),
    Local(UnixDatagram),
    Udp(UdpSocket),
}

/// Where messages go, opened as it is needed.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    log: Log,
    way: Option<Way>,
    /// The socket could not be had; stderr is used until then.
    again_at: Option<Duration>,
    host: String,
}

impl Outlet {
    /// Writes a message; whether somebody took it.
    pub(super) fn write(&mut self, log: &Log, record: &Record) -> bool {
        if self.log != *log {
            *self = Self { log: log.clone(), ..Self::default() };
        }
        if self.again_at.is_some_and(|at| at <= clock::now()) {
            (self.way, self.again_at) = (None, None);
        }
        if self.send(record).is_ok() {
            return true;
        }
        // Its reader may have been started anew.
        self.way = None;
        self.send(record).is_ok()
    }

    fn send(&mut self, record: &Record) -> io::Result<()> {
        if self.way.is_none() {
            self.way = Some(self.open()?);
        }
        let (host, again) = (&self.host, self.again_at.is_some());
        match self.way.as_mut() {
            None => Ok(()),
            Some(Way::Stderr { file, .. }) if self.log.format == LogFormat::Json => {
                file.write_all(format::json(record).as_bytes())
            }
            // The journal that reads our stderr knows the time.
            Some(Way::Stderr { file, colour }) => {
                let time = !again || self.log.format != LogFormat::Journald;
                file.write_all(format::text(record, time, *colour).as_bytes())
            }
            Some(Way::Journal(socket)) => journal::send(socket, &format::journal(record)),
            Some(Way::Local(socket)) => {
                socket.send(format::syslog(record, host, std::process::id()).as_bytes()).map(drop)
            }
            Some(Way::Udp(socket)) => {
                socket.send(format::syslog(record, host, std::process::id()).as_bytes()).map(drop)
            }
        }
    }

    fn open(&mut self) -> io::Result<Way> {
        let way = match (self.log.format, &self.log.target) {
            (LogFormat::Text | LogFormat::Json, _) => return stderr(),
            (LogFormat::Journald, LogTarget::Local(path)) => local(path).map(Way::Journal),
            (LogFormat::Journald, _) => local(Path::new(JOURNAL)).map(Way::Journal),
            (LogFormat::Syslog, LogTarget::Udp(to)) => udp(*to).map(Way::Udp),
            (LogFormat::Syslog, LogTarget::Local(path)) => local(path).map(Way::Local),
            (LogFormat::Syslog, LogTarget::Usual) => local(Path::new(SYSLOG)).map(Way::Local),
        };
        self.host = host::name().unwrap_or_else(|| "-".into());
        way.or_else(|_| {
            self.again_at = Some(clock::now() + PATIENCE);
            stderr()
        })
    }
}

/// Where syslog daemons listen.
const SYSLOG: &str = "/dev/log";

fn stderr() -> io::Result<Way> {
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    Ok(Way::Stderr { file, colour })
}

fn local(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

fn udp(to: std::net::SocketAddr) -> io::Result<UdpSocket> {
    let any: std::net::SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    fn record(message: &str) -> Record {
        Record::new(LogLevel::Info, message.into())
    }
    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = vec![0; 4096];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// A syslog daemon that is started anew has another socket of the same name.
    #[test]
    fn a_reader_that_comes_back_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log { format: LogFormat::Syslog, target: LogTarget::Local(path.clone()), ..Log::default() };
        let mut outlet = Outlet::default();
        for n in 0..2 {
            let reader = UnixDatagram::bind(&path).unwrap();
            assert!(outlet.write(&log, &record(&n.to_string())));
            assert!(received(&reader).ends_with(&format!(" - - {n}")));
            drop(reader);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn another_format_and_target_count_from_the_next_message_on() {
        let folder = tempfile::tempdir().unwrap();
        let bind = |name: &str| {
            let path = folder.path().join(name);
            (UnixDatagram::bind(&path).unwrap(), path)
        };
        let ((first, at_first), (second, at_second)) = (bind("first"), bind("second"));
        let mut outlet = Outlet::default();
        let log = |format, path: &std::path::PathBuf| Log {
            format,
            target: LogTarget::Local(path.clone()),
            ..Log::default()
        };
        assert!(outlet.write(&log(LogFormat::Journald, &at_first), &record("one")));
        assert!(outlet.write(&log(LogFormat::Syslog, &at_second), &record("two")));
        assert!(received(&first).starts_with("MESSAGE=one\nPRIORITY=6\n"));
        assert!(received(&second).starts_with("<30>1 "));
    }

    #[test]
    fn syslog_by_udp() {
        let reader = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = LogTarget::Udp(reader.local_addr().unwrap());
        let log = Log { format: LogFormat::Syslog, target, ..Log::default() };
        assert!(Outlet::default().write(&log, &record("hello")));
        let mut buffer = [0; 1000];
        let len = reader.recv(&mut buffer).unwrap();
        assert!(buffer[..len].ends_with(b" - - hello"));
    }
}
