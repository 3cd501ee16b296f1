//! The front: the process that was started. It starts the daemon, and its successor when the daemon asks for one. Here it hears and does; what it does
//! is decided in [`super::course`].
use super::channel::{hear, say};
use super::course::{Act, Course, Happened, Tell};
use super::{Order, Word};
use crate::daemon::clock;
use crate::io::channel::Channel;
use crate::io::fds::{Poll, Signals, monotonic};
use crate::io::notify::{self, Notify};
use crate::io::{executable, privileges, spawn};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

/// The hidden flag with which the front starts a daemon, followed by the number of its end of the channel.
pub const DAEMON_FLAG: &str = "--daemon-of-front";
/// The hidden flag with which it starts itself again, followed by what [`Resumed`] reads.
pub const RESUME_FLAG: &str = "--resume-front";

const SIGNALS: u64 = 0;
const DAEMON: u64 = 1;
const HEIR: u64 = 2;

/// What a front that has become another executable goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    channel: i32,
    pid: u32,
    path: PathBuf,
}
impl std::str::FromStr for Resumed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or("CHANNEL:PID:PATH");
        let channel = next()?.parse().map_err(|_| "no number of a descriptor")?;
        let pid = next()?.parse().map_err(|_| "no number of a process")?;
        Ok(Self { channel, pid, path: next()?.into() })
    }
}

/// Runs until the daemon has ended, and ends as it did.
pub fn run(arguments: Vec<OsString>, resumed: Option<Resumed>) -> ExitCode {
    spawn::set_name(c"sandhogd");
    // It has no keys, but the same environment, where `secret_env` may be, and dies of what the daemon has died of. What it starts may have capabilities
    // of its file: more than that it gives up nothing.
    if let Err(error) = privileges::no_cores() {
        eprintln!("sandhogd: a core of the front could hold secrets of the environment: {error}");
    }
    // Nor are those for a swap device. Where that cannot be had the daemon says so.
    privileges::lock_memory();
    match Front::new(arguments, resumed).and_then(|mut front| front.run()) {
        Ok(status) => end_like(status),
        Err(error) => {
            eprintln!("sandhogd: {error}");
            ExitCode::from(1)
        }
    }
}

/// Whoever waits for us sees what became of the daemon.
fn end_like(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal() {
        spawn::die_by(signal);
    }
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The front.
#[derive(Debug)]
struct Front {
    /// Of a daemon.
    arguments: Vec<OsString>,
    /// Where the executable lay when we were started, and its successors are.
    path: PathBuf,
    signals: Signals,
    poll: Poll,
    notify: Notify,
    alive: Option<Duration>,
    course: Course,
    /// To the daemon at work.
    daemon: Channel,
    /// To its heir, and what that runs.
    heir: Option<(Channel, File)>,
    /// What we become in the end.
    successor: Option<File>,
}

/// A daemon that was started.
#[derive(Debug)]
struct Daemon {
    pid: u32,
    channel: Channel,
}

impl Front {
    fn new(arguments: Vec<OsString>, resumed: Option<Resumed>) -> io::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let ours = std::process::id();
        // A front that has become another executable has closed them before.
        if resumed.is_none() {
            let closed =
                notify::close_listeners(variable("LISTEN_FDS").as_deref(), variable("LISTEN_PID").as_deref(), ours);
            if closed > 0 {
                eprintln!(
                    "sandhogd: {closed} descriptors that the service manager has kept were closed unread: nobody has announced them, so they are no state"
                );
            }
        }
        let signals = Signals::with_children()?;
        let poll = Poll::new()?;
        poll.add(&signals, SIGNALS)?;
        let notify = Notify::to(std::env::var_os("NOTIFY_SOCKET").as_deref());
        let alive = notify::watchdog(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref(), ours);
        let (path, course, daemon) = match resumed {
            Some(Resumed { channel, pid, path }) => (path, Course::resumed(pid), Channel::inherited(channel)?),
            None => {
                let path = executable::own_path()?;
                let Daemon { pid, channel } = start(&executable::own(), &arguments, &first(alive, None), None)?;
                (path, Course::new(pid), channel)
            }
        };
        poll.add(&daemon, DAEMON)?;
        let (heir, successor) = (None, None);
        Ok(Self { arguments, path, signals, poll, notify, alive, course, daemon, heir, successor })
    }

    /// How the daemon has ended.
    fn run(&mut self) -> io::Result<ExitStatus> {
        let mut ready = Vec::new();
        loop {
            self.hear()?;
            while let Some(signal) = self.signals.next() {
                self.happened(Happened::Signalled(signal))?;
            }
            while let Some((pid, status)) = spawn::reap_any() {
                // What was said before an end comes before it.
                self.hear()?;
                if self.happened(Happened::Ended { pid, how: ending(status) })? {
                    return Ok(status);
                }
            }
            self.happened(Happened::Time)?;
            let timeout = self.course.deadline().map(|at| at.saturating_sub(clock::now()));
            self.poll.wait(&mut ready, timeout)?;
        }
    }

    /// All that was said.
    fn hear(&mut self) -> io::Result<()> {
        loop {
            self.hear_daemon()?;
            let Some(word) = self.next(HEIR) else { return Ok(()) };
            // What led to it was said before it, but perhaps a moment after we had listened.
            self.hear_daemon()?;
            self.happened(Happened::Heir(word))?;
        }
    }

    fn hear_daemon(&mut self) -> io::Result<()> {
        while let Some(word) = self.next(DAEMON) {
            self.happened(Happened::Daemon(word))?;
        }
        Ok(())
    }

    /// Does what is to be done because of it. True if it is the end.
    fn happened(&mut self, happened: Happened) -> io::Result<bool> {
        let mut end = false;
        for act in self.course.handle(clock::now(), happened) {
            end |= matches!(act, Act::End);
            if let Some(happened) = self.act(act)? {
                end |= self.happened(happened)?;
            }
        }
        Ok(end)
    }

    /// Whoever a signal is for may have ended by now: that is heard of next.
    fn act(&mut self, act: Act) -> io::Result<Option<Happened>> {
        match act {
            Act::Tell(what) => self.notify.tell(&lines(what)),
            Act::Say(order) => drop(say(&self.daemon, &order, &[])),
            Act::Kill(pid) => drop(spawn::kill_one(pid)),
            Act::Pass(pid, signal) => drop(spawn::forward(pid, signal)),
            Act::Begin => match self.begin() {
                Ok(begun) => return Ok(Some(begun)),
                Err(sentence) => drop(say(&self.daemon, &Order::Refused { sentence }, &[])),
            },
            Act::Adopt => {
                if let Some((channel, program)) = self.heir.take() {
                    self.listen_to(channel);
                    self.successor = Some(program);
                }
            }
            Act::Forget => self.heir = None,
            Act::Afresh(why) => {
                eprintln!("sandhogd: {why} after it had taken over: everything is negotiated anew");
                // Our own executable is known to work.
                let order = first(self.alive, Some(why));
                let Daemon { pid, channel } = start(&executable::own(), &self.arguments, &order, None)?;
                self.poll.add(&channel, DAEMON)?;
                self.listen_to(channel);
                return Ok(Some(Happened::Started { pid }));
            }
            Act::Succeed => self.succeed(),
            Act::End => {}
        }
        Ok(None)
    }

    /// The one before goes with its last descriptor, which is ours, or went before.
    fn listen_to(&mut self, daemon: Channel) {
        let _ = self.poll.remove(&self.daemon);
        self.daemon = daemon;
    }

    /// What a daemon has to say. What cannot be understood was not said; who is gone is not listened to any more, and its end is heard of in another way.
    fn next(&self, who: u64) -> Option<Word> {
        let heir = || self.heir.as_ref().map(|(channel, _)| channel);
        let channel = if who == DAEMON { &self.daemon } else { heir()? };
        loop {
            match hear(channel) {
                Ok(Some((word, _))) => return Some(word),
                Ok(None) => {
                    let _ = self.poll.remove(channel);
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(_) => return None,
            }
        }
    }

    /// Starts an heir of the daemon.
    fn begin(&mut self) -> Result<Happened, String> {
        let program = executable::open(&self.path)?;
        let failed = |error: io::Error| format!("{} could not be started: {error}", self.path.display());
        let serial = serial();
        let (old, new) = Channel::pair().map_err(failed)?;
        let order = Order::Take { alive_ms: milliseconds(self.alive), serial };
        let daemon = start(&executable::path_of(&program), &self.arguments, &order, Some(&new)).map_err(failed)?;
        drop(new);
        let Daemon { pid, channel } = daemon;
        let prepared =
            self.poll.add(&channel, HEIR).and_then(|()| say(&self.daemon, &Order::Give { serial }, &[old.as_fd()]));
        if let Err(error) = prepared {
            // Its end is nobody's business.
            let _ = spawn::kill_one(pid);
            return Err(failed(error));
        }
        self.heir = Some((channel, program));
        Ok(Happened::Begun { pid, serial })
    }

    /// Becomes the executable of the daemon at work, if that is another. If it cannot, it stays what it is, which works as well.
    fn succeed(&mut self) {
        let (Some(program), Some(pid)) = (self.successor.take(), self.course.daemon()) else { return };
        let channel = self.daemon.as_fd();
        let mut command = Command::new(executable::path_of(&program));
        let what = format!("{}:{pid}:{}", std::os::fd::AsRawFd::as_raw_fd(&channel), self.path.display());
        command.arg0(&self.path).args(&self.arguments).arg(RESUME_FLAG).arg(what);
        let error = spawn::become_program(&mut command, channel);
        eprintln!("sandhogd: the front stays the executable that it is: {error}");
    }
}

/// As the service manager reads it.
fn lines(what: Tell) -> String {
    match what {
        Tell::Ready => "READY=1".into(),
        Tell::Alive => "WATCHDOG=1".into(),
        Tell::Upgrading => format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=upgrading", monotonic().as_micros()),
        Tell::Upgraded => "READY=1\nSTATUS=upgraded".into(),
        Tell::Unchanged => "READY=1\nSTATUS=an upgrade has failed; nothing was changed".into(),
        Tell::Afresh => "STATUS=an upgrade has failed; everything is negotiated anew".into(),
        Tell::Stopping => "STOPPING=1".into(),
    }
}

/// Starts a daemon that gets this order first, and with it an end of a channel.
fn start(program: &Path, arguments: &[OsString], order: &Order, beside: Option<&Channel>) -> io::Result<Daemon> {
    let (channel, its) = Channel::pair()?;
    let beside: Vec<_> = beside.iter().map(|channel| channel.as_fd()).collect();
    say(&channel, order, &beside)?;
    let mut command = Command::new(program);
    let number = spawn::with_descriptor(&mut command, its.as_fd());
    command.arg0("sandhogd").args(arguments).arg(DAEMON_FLAG).arg(number.to_string());
    for name in notify::VARIABLES {
        command.env_remove(name);
    }
    let pid = command.spawn()?.id();
    Ok(Daemon { pid, channel })
}

fn first(alive: Option<Duration>, lost: Option<String>) -> Order {
    Order::Start { alive_ms: milliseconds(alive), lost }
}

fn milliseconds(time: Option<Duration>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time.as_millis()).ok())
}

/// No two are alike: nanoseconds since boot, and only this process gives them out.
fn serial() -> u64 {
    u64::try_from(clock::now().as_nanos()).unwrap_or(u64::MAX)
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("has ended with exit code {code}"),
        (None, Some(9)) => "did not get on and was killed".into(),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_front_goes_on_with_is_read_again() {
        let read: Resumed = "7:1234:/usr/bin/a:b".parse().unwrap();
        assert_eq!(read, Resumed { channel: 7, pid: 1234, path: "/usr/bin/a:b".into() });
        for wrong in ["", "7", "7:8", "x:8:/a", "7:x:/a", "7:-1:/a"] {
            assert!(wrong.parse::<Resumed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ends_are_told_apart() {
        assert_eq!(ending(ExitStatus::from_raw(2 << 8)), "has ended with exit code 2");
        assert_eq!(ending(ExitStatus::from_raw(9)), "did not get on and was killed");
        assert_eq!(ending(ExitStatus::from_raw(11)), "was ended by signal 11");
    }

    #[test]
    fn serials_never_repeat() {
        let first = serial();
        assert!((0..100).all(|_| serial() > first));
    }
}
