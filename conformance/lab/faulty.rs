//! A new executable for `sandhog upgrade` that fails where it is told to. It stands between the front and the daemon at work on one side and a true daemon of its
//! own on the other, passes on what they say, and at the chosen point ends or hangs. The file `fault` beside it says `exit|hang|stop POINT PROGRAM PID`, where
//! PID is the daemon at work: `stop` lets that one stand still (SIGSTOP) and goes on itself. The points:
//!
//! | point | the commit | what has been |
//! | --- | --- | --- |
//! | `begin` | before | nothing: there is no daemon of its own |
//! | `hello` | before | that has read its configuration |
//! | `list` | before | it was given the descriptors, and does not know which are what |
//! | `prepared` | before | all is ready but for the state, and nobody hears of it |
//! | `state` | before | what is handed over has come, and was not read |
//! | `read` | before | it was read, and nobody hears of it |
//! | `commit` | after | the keys are the daemon's of its own, which never hears of it |
//! | `ready` | after | that is at work with them, and nobody hears of it; it is so for a moment before an exit, and until somebody ends it in a hang |
use sandhog::daemon::handover::channel::{await_one, say};
use sandhog::daemon::handover::front::DAEMON_FLAG;
use sandhog::daemon::handover::{Answer, Offer, Order, Word};
use sandhog::io::channel::Channel;
use sandhog::io::fds::Poll;
use sandhog::io::{executable, spawn};
use std::error::Error;
use std::os::fd::AsFd;
use std::process::{Child, Command, exit};
use std::time::Duration;

/// So long it is at work before it ends.
const AT_WORK: Duration = Duration::from_millis(300);
const CODE: i32 = 3;
/// The ways from here on are between the daemon at work and its successor.
const BETWEEN: u64 = 2;

/// What is asked for.
struct Fault {
    how: String,
    point: String,
    program: String,
    at_work: i32,
}
impl Fault {
    fn read() -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(executable::own_path()?.with_file_name("fault"))?;
        let [how, point, program, pid] = text.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err("HOW POINT PROGRAM PID".into());
        };
        Ok(Self { how: how.into(), point: point.into(), program: program.into(), at_work: pid.parse()? })
    }

    /// Fails, if this is the point.
    fn at(&self, point: &str, child: Option<&Child>) -> Result<(), Box<dyn Error>> {
        if self.point != point {
            return Ok(());
        }
        eprintln!("faulty: {}s at {point}", self.how);
        let stop = |pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP);
        if self.how == "stop" {
            return Ok(stop(self.at_work)?);
        }
        if self.how == "exit" {
            if point == "ready" {
                Poll::new()?.wait(&mut Vec::new(), Some(AT_WORK))?;
            }
            // What is left of it ends with us.
            exit(CODE);
        }
        if let Some(child) = child.filter(|_| point != "ready") {
            stop(i32::try_from(child.id())?)?;
        }
        loop {
            std::thread::park();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    spawn::end_with_parent()?;
    let fault = Fault::read()?;
    fault.at("begin", None)?;
    let mut arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = arguments.pop().ok_or("no channel")?;
    if arguments.pop().as_deref() != Some(DAEMON_FLAG) {
        return Err("it is no daemon that was asked for".into());
    }
    let front = Channel::inherited(number.parse()?)?;
    let Some((Order::Take { alive_ms, serial }, beside)) = await_one(&front, Duration::MAX)? else {
        return Err("nobody hands over".into());
    };
    let old = beside.into_iter().next().map(Channel::received).ok_or("no way to the daemon at work")?;

    let (to_child, its_front) = Channel::pair()?;
    let (pipe, its_pipe) = Channel::pair()?;
    say(&to_child, &Order::Take { alive_ms, serial }, &[its_pipe.as_fd()])?;
    drop(its_pipe);
    let mut command = Command::new(&fault.program);
    let number = spawn::with_descriptor(&mut command, its_front.as_fd());
    let child = command.args(arguments).arg(DAEMON_FLAG).arg(number.to_string()).spawn()?;
    drop(its_front);

    let ways = [(&front, &to_child), (&to_child, &front), (&old, &pipe), (&pipe, &old)];
    let (poll, mut ready, mut committed) = (Poll::new()?, Vec::new(), false);
    for (token, (from, _)) in (0..).zip(ways) {
        poll.add(from, token)?;
    }
    loop {
        poll.wait(&mut ready, None)?;
        for token in &ready {
            let (from, to) = ways[usize::try_from(*token)?];
            let message = match from.receive()? {
                Some(message) => message,
                // The daemon that was at work has ended, as it should.
                None if committed && *token >= BETWEEN => {
                    poll.remove(from)?;
                    continue;
                }
                None => return Err("somebody is gone".into()),
            };
            if let Some(point) = point(*token, &message.data) {
                committed |= point == "commit";
                fault.at(point, Some(&child))?;
            }
            to.send(&message.data, &message.descriptors.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
        }
    }
}

/// What a message is the sign of.
fn point(way: u64, data: &[u8]) -> Option<&'static str> {
    match way {
        1 => matches!(serde_json::from_slice(data).ok()?, Word::Ready).then_some("ready"),
        2 => match serde_json::from_slice(data).ok()? {
            Offer::List => Some("list"),
            Offer::State { .. } => Some("state"),
            Offer::Commit { .. } => Some("commit"),
            _ => None,
        },
        3 => match serde_json::from_slice(data).ok()? {
            Answer::Hello { .. } => Some("hello"),
            Answer::Read { .. } => Some("read"),
            Answer::Prepared => Some("prepared"),
            Answer::Refused { .. } => None,
        },
        _ => None,
    }
}
