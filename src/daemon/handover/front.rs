//! The front: the process that was started. It starts the daemon, and its successor when the daemon asks for one.
use super::channel::{hear, say};
use super::{AFTER_COMMIT, BEFORE_COMMIT, Order, PARTING, Word};
use crate::daemon::clock;
use crate::io::channel::Channel;
use crate::io::fds::{Poll, Signal, Signals};
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
    daemon: Daemon,
    heir: Option<Heir>,
    /// The daemon before, until it has ended, and when it must have.
    parting: Option<(u32, Duration)>,
    /// The last heir that has ended uncommitted, and how: the daemon may have committed to it before it knew.
    vain: Option<(u64, String)>,
    /// What we become when that is gone.
    successor: Option<File>,
    stopping: bool,
}

/// A daemon that was started.
#[derive(Debug)]
struct Daemon {
    pid: u32,
    channel: Channel,
}

/// A daemon that is to take over.
#[derive(Debug)]
struct Heir {
    daemon: Daemon,
    program: File,
    serial: u64,
    deadline: Duration,
    committed: bool,
    /// Nothing that it says counts any more.
    killed: bool,
}
impl Heir {
    /// Its end is heard of like any other.
    fn kill(&mut self) {
        let _ = spawn::kill_one(self.daemon.pid);
        self.killed = true;
    }
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
        let (path, daemon) = match resumed {
            Some(Resumed { channel, pid, path }) => (path, Daemon { pid, channel: Channel::inherited(channel)? }),
            None => {
                let path = executable::own_path()?;
                (path, start(&executable::own(), &arguments, &first(alive, None), None)?)
            }
        };
        poll.add(&daemon.channel, DAEMON)?;
        let (heir, parting, vain, successor, stopping) = (None, None, None, None, false);
        Ok(Self { arguments, path, signals, poll, notify, alive, daemon, heir, parting, vain, successor, stopping })
    }

    /// How the daemon has ended.
    fn run(&mut self) -> io::Result<ExitStatus> {
        let mut ready = Vec::new();
        loop {
            self.hear()?;
            while let Some(signal) = self.signals.next() {
                self.signal(signal);
            }
            while let Some((pid, status)) = spawn::reap_any() {
                if let Some(status) = self.ended(pid, status)? {
                    return Ok(status);
                }
            }
            self.deadlines();
            if self.parting.is_none() && self.heir.is_none() {
                self.succeed();
            }
            let dues = [self.heir.as_ref().map(|heir| heir.deadline), self.parting.map(|(_, at)| at)];
            let timeout = dues.into_iter().flatten().min().map(|at| at.saturating_sub(clock::now()));
            self.poll.wait(&mut ready, timeout)?;
        }
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Child => return,
            Signal::Terminate | Signal::Interrupt => {
                self.stopping = true;
                self.notify.tell("STOPPING=1");
                if let Some(heir) = self.heir.as_mut().filter(|heir| !heir.committed) {
                    heir.kill();
                }
            }
            Signal::Hangup => {}
        }
        let heir = self.heir.as_ref().filter(|heir| heir.committed).map(|heir| heir.daemon.pid);
        // It may have ended by now, and that is said next.
        let _ = spawn::forward(heir.unwrap_or(self.daemon.pid), signal);
    }

    fn hear(&mut self) -> io::Result<()> {
        self.hear_daemon()?;
        while let Some(word) = self.next(HEIR) {
            if word == Word::Ready {
                // The commit comes before it, but on another way, which was looked at a moment ago.
                self.hear_daemon()?;
            }
            let Some(heir) = self.heir.as_mut().filter(|heir| !heir.killed) else { continue };
            match word {
                Word::Alive => self.notify.tell("WATCHDOG=1"),
                Word::Ready if heir.committed => self.adopt(),
                // Nothing else is for an heir to say.
                _ => heir.kill(),
            }
        }
        Ok(())
    }

    fn hear_daemon(&mut self) -> io::Result<()> {
        while let Some(word) = self.next(DAEMON) {
            match word {
                Word::Ready => self.notify.tell("READY=1"),
                Word::Alive => self.notify.tell("WATCHDOG=1"),
                Word::Upgrade => {
                    if let Err(sentence) = self.begin() {
                        let _ = say(&self.daemon.channel, &Order::Refused { sentence }, &[]);
                    }
                }
                Word::Committed { serial } => {
                    if let Some(heir) = self.heir.as_mut().filter(|heir| heir.serial == serial) {
                        heir.committed = true;
                        heir.deadline = clock::now() + AFTER_COMMIT;
                    } else if let Some((_, why)) = self.vain.take_if(|(vain, _)| *vain == serial) {
                        self.start_afresh(why)?;
                    }
                }
                // Whatever it does: it has read keys that are not its own.
                Word::Failed { serial } => {
                    if let Some(heir) = self.heir.as_mut().filter(|heir| heir.serial == serial && !heir.committed) {
                        heir.kill();
                    }
                }
            }
        }
        Ok(())
    }

    /// What a daemon has to say. What cannot be understood was not said; who is gone is not listened to any more, and its end is heard of in another way.
    fn next(&self, who: u64) -> Option<Word> {
        let daemon = if who == DAEMON { Some(&self.daemon) } else { self.heir.as_ref().map(|heir| &heir.daemon) };
        let channel = &daemon?.channel;
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
    fn begin(&mut self) -> Result<(), String> {
        if self.heir.is_some() || self.parting.is_some() {
            return Err("an upgrade is under way: wait for its end".into());
        }
        if self.stopping {
            return Err("the daemon is stopping".into());
        }
        let program = executable::open(&self.path)?;
        let failed = |error: io::Error| format!("{} could not be started: {error}", self.path.display());
        let serial = serial();
        let (old, new) = Channel::pair().map_err(failed)?;
        let order = Order::Take { alive_ms: milliseconds(self.alive), serial };
        let daemon = start(&executable::path_of(&program), &self.arguments, &order, Some(&new)).map_err(failed)?;
        drop(new);
        let prepared = self
            .poll
            .add(&daemon.channel, HEIR)
            .and_then(|()| say(&self.daemon.channel, &Order::Give { serial }, &[old.as_fd()]));
        if let Err(error) = prepared {
            // Its end is nobody's business.
            let _ = spawn::kill_one(daemon.pid);
            return Err(failed(error));
        }
        self.notify.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=upgrading",
            crate::io::fds::monotonic().as_micros()
        ));
        let deadline = clock::now() + BEFORE_COMMIT;
        self.heir = Some(Heir { daemon, program, serial, deadline, committed: false, killed: false });
        Ok(())
    }

    /// The heir is the daemon from now on.
    fn adopt(&mut self) {
        let Some(Heir { daemon, program, .. }) = self.heir.take() else { return };
        // It goes with its last descriptor, which is ours, or went before.
        let _ = self.poll.remove(&self.daemon.channel);
        let before = std::mem::replace(&mut self.daemon, daemon);
        if before.pid != 0 {
            self.parting = Some((before.pid, clock::now() + PARTING));
        }
        self.successor = Some(program);
        self.notify.tell("READY=1\nSTATUS=upgraded");
    }

    /// Some child has ended: what we end with, if that was the last.
    fn ended(&mut self, pid: u32, status: ExitStatus) -> io::Result<Option<ExitStatus>> {
        // What was said before an end comes before it.
        self.hear()?;
        if self.parting.is_some_and(|(parting, _)| parting == pid) {
            self.parting = None;
            return Ok(None);
        }
        if pid == self.daemon.pid {
            match &self.heir {
                Some(heir) if heir.committed => {
                    // As it should; who waits for the heir waits for no other.
                    self.daemon.pid = 0;
                    return Ok(None);
                }
                Some(heir) => drop(spawn::kill_one(heir.daemon.pid)),
                None => {}
            }
            return Ok(Some(status));
        }
        let Some(heir) = self.heir.take_if(|heir| heir.daemon.pid == pid) else { return Ok(None) };
        let sentence = format!("the new executable {}", ending(status));
        if heir.committed {
            self.start_afresh(sentence)?;
        } else {
            let failed = Order::Failed { serial: heir.serial, sentence: sentence.clone() };
            let _ = say(&self.daemon.channel, &failed, &[]);
            self.vain = Some((heir.serial, sentence));
            self.notify.tell("READY=1\nSTATUS=an upgrade has failed; nothing was changed");
        }
        Ok(None)
    }

    /// The keys are forgotten. It is our own executable that is started: that one is known to work.
    fn start_afresh(&mut self, why: String) -> io::Result<()> {
        eprintln!("sandhogd: {why} after it had taken over: everything is negotiated anew");
        self.notify.tell("STATUS=an upgrade has failed; everything is negotiated anew");
        if let Some(heir) = &mut self.heir {
            heir.kill();
        }
        // The old one has nothing left but its end.
        if self.daemon.pid != 0 {
            let _ = spawn::kill_one(self.daemon.pid);
            self.parting = Some((self.daemon.pid, clock::now() + PARTING));
        }
        let _ = self.poll.remove(&self.daemon.channel);
        let order = first(self.alive, Some(why));
        self.daemon = start(&executable::own(), &self.arguments, &order, None)?;
        self.poll.add(&self.daemon.channel, DAEMON)?;
        if self.stopping {
            let _ = spawn::forward(self.daemon.pid, Signal::Terminate);
        }
        Ok(())
    }

    fn deadlines(&mut self) {
        let now = clock::now();
        if let Some(heir) = self.heir.as_mut().filter(|heir| heir.deadline <= now) {
            heir.kill();
            heir.deadline = Duration::MAX;
        }
        if let Some((pid, at)) = self.parting.as_mut().filter(|(_, at)| *at <= now) {
            let _ = spawn::kill_one(*pid);
            *at = Duration::MAX;
        }
    }

    /// Becomes the executable of the daemon at work, if that is another. If it cannot, it stays what it is, which works as well.
    fn succeed(&mut self) {
        let Some(program) = self.successor.take() else { return };
        let channel = self.daemon.channel.as_fd();
        let mut command = Command::new(executable::path_of(&program));
        let what = format!("{}:{}:{}", std::os::fd::AsRawFd::as_raw_fd(&channel), self.daemon.pid, self.path.display());
        command.arg0(&self.path).args(&self.arguments).arg(RESUME_FLAG).arg(what);
        let error = spawn::become_program(&mut command, channel);
        eprintln!("sandhogd: the front stays the executable that it is: {error}");
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
