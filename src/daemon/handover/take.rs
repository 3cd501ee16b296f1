//! The daemon's side of the front, and what a new daemon does to take over.
use super::channel::{await_one, hear, say};
use super::{Answer, BEFORE_COMMIT, COMMITTING, Heritage, Offer, Order, Word};
use crate::crypto::secret::Secret;
use crate::daemon::clock;
use crate::daemon::descriptors::Kind;
use crate::daemon::frozen::{self, Stamp, State};
use crate::io::channel::Channel;
use crate::io::{memory_file, spawn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The first order is there before the daemon is.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Ways that lead to a daemon.
const DOORS: usize = 8;
/// Formats of the hand-over that this executable knows; the last is the one in which it hands over itself.
pub const FORMATS: &[u16] = &[5];

/// The way to the front.
#[derive(Debug)]
pub struct Front {
    channel: Channel,
    alive: Option<Duration>,
}
impl Front {
    #[cfg(test)]
    pub(in crate::daemon) fn over(channel: Channel, alive: Option<Duration>) -> Self {
        Self { channel, alive }
    }

    /// Says something to it.
    pub fn say(&self, word: &Word) -> io::Result<()> {
        say(&self.channel, word, &[])
    }

    /// What it wants; `None` if it is gone.
    ///
    /// # Errors
    /// `WouldBlock` if it wants nothing.
    pub fn hear(&self) -> io::Result<Option<(Order, Vec<OwnedFd>)>> {
        hear(&self.channel)
    }

    /// How often it wants to hear that we are alive.
    pub fn alive(&self) -> Option<Duration> {
        self.alive
    }
}
impl AsFd for Front {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// How a daemon begins.
#[derive(Debug, Default)]
pub struct Entrance {
    /// Without one there is no upgrade.
    pub front: Option<Front>,
    /// Who has something for us.
    giver: Option<Giver>,
    /// Why there is nothing to take over, though there was to be something.
    pub lost: Option<String>,
}

/// The way to the daemon that hands over.
#[derive(Debug)]
struct Giver {
    pipe: Channel,
    serial: u64,
}

/// What is known of a hand-over that has taken place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Version of who handed over.
    pub version: String,
    /// Its number.
    pub pid: u32,
    /// When its workers stopped.
    pub stopped: Duration,
    /// IKE SAs and pairs of ESP SAs that came from it.
    pub sas: (u64, u64),
}

impl Entrance {
    /// As the front wants it, if there is one: its channel has this number.
    ///
    /// # Errors
    /// A sentence.
    pub fn of(number: Option<i32>) -> Result<Self, String> {
        let Some(number) = number else { return Ok(Self::default()) };
        spawn::set_name(c"sandhogd");
        let failed =
            |error: io::Error| format!("this is how sandhogd starts itself; it does not work otherwise: {error}");
        spawn::end_with_parent().map_err(failed)?;
        let channel = Channel::inherited(number).map_err(failed)?;
        let first = await_one(&channel, clock::now() + AT_ONCE).map_err(failed)?;
        let (alive_ms, giver, lost) = match first {
            Some((Order::Start { alive_ms, lost }, _)) => (alive_ms, None, lost),
            Some((Order::Take { alive_ms, serial }, beside)) => {
                let pipe = beside.into_iter().next().map(Channel::received).ok_or(io::ErrorKind::InvalidData);
                (alive_ms, Some(Giver { pipe: pipe.map_err(|kind| failed(kind.into()))?, serial }), None)
            }
            _ => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
        };
        let front = Front { channel, alive: alive_ms.map(Duration::from_millis) };
        Ok(Self { front: Some(front), giver, lost })
    }

    /// Another daemon is still at work, and hands over to us.
    pub fn is_heir(&self) -> bool {
        self.giver.is_some()
    }

    /// Whoever waits for us to take over waits in vain.
    pub fn refuse(&mut self, sentence: &str) {
        if let Some(Giver { pipe, .. }) = self.giver.take() {
            // If nobody hears it, nobody waits.
            let _ = say(&pipe, &Answer::Refused { sentence: sentence.into() }, &[]);
        }
    }

    /// What another daemon has open, if one hands over. It goes on with all of it meanwhile.
    ///
    /// # Errors
    /// A sentence: it does not, and goes on itself.
    pub fn receive(&mut self) -> Result<Option<Heritage>, String> {
        let Some(Giver { pipe, .. }) = &self.giver else { return Ok(None) };
        let hello = Answer::Hello { version: env!("CARGO_PKG_VERSION").into(), formats: FORMATS.into() };
        say(pipe, &hello, &[]).map_err(failed)?;
        let (mut descriptors, mut doors, deadline) = (Vec::new(), Vec::new(), clock::now() + BEFORE_COMMIT);
        loop {
            match await_one(pipe, deadline).map_err(failed)? {
                Some((Offer::Door(door), beside)) if doors.len() < DOORS => doors.push((door, beside)),
                Some((Offer::Descriptors, beside)) => descriptors.extend(beside),
                Some((Offer::List, beside)) => {
                    let (kinds, route_table, state_dir) = read_list(beside)?;
                    if kinds.len() != descriptors.len() {
                        return Err("not all descriptors have come".into());
                    }
                    let descriptors = kinds.into_iter().zip(descriptors).collect();
                    return Ok(Some(Heritage { descriptors, doors, route_table, state_dir: state_dir.into() }));
                }
                Some(_) => return Err(failed(io::ErrorKind::InvalidData.into())),
                None => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// What the other daemon knows, if one hands over, once all else is ready. From now on packets wait. It still may keep all of it.
    ///
    /// # Errors
    /// A sentence: it does not, and goes on itself.
    pub fn state(&mut self) -> Result<Option<State>, String> {
        let Some(Giver { pipe, serial }) = &self.giver else { return Ok(None) };
        say(pipe, &Answer::Prepared, &[]).map_err(failed)?;
        match await_one(pipe, clock::now() + BEFORE_COMMIT).map_err(failed)? {
            Some((Offer::State { .. }, beside)) => read_state(only(beside)?, *serial).map(Some),
            Some(_) => Err(failed(io::ErrorKind::InvalidData.into())),
            None => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Says what was found, and waits until all of it is ours, if another daemon hands over.
    ///
    /// # Errors
    /// A sentence: it is not, and the other goes on itself.
    pub fn take(&mut self, sas: (u64, u64)) -> Result<Option<Taken>, String> {
        let Some(Giver { pipe, serial: announced }) = &self.giver else { return Ok(None) };
        say(pipe, &Answer::Read { sas }, &[]).map_err(failed)?;
        match await_one(pipe, clock::now() + COMMITTING).map_err(failed)? {
            Some((Offer::Commit { serial, stopped_ms, version, pid }, _)) if serial == *announced => {
                self.giver = None;
                Ok(Some(Taken { version, pid, stopped: Duration::from_millis(stopped_ms), sas }))
            }
            Some(_) => Err("what is handed over was not announced".into()),
            None => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

fn failed(error: io::Error) -> String {
    format!("the daemon at work does not hand over: {error}")
}

fn only(beside: Vec<OwnedFd>) -> Result<OwnedFd, String> {
    beside.into_iter().next().ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}

/// Reads it once and leaves nothing of it behind.
fn read(memory: OwnedFd) -> Result<Secret, String> {
    let mut octets = Secret::default();
    memory_file::read(memory, |from, len| {
        let mut all = vec![0; len];
        let read = from.read_exact(&mut all);
        octets = Secret::new(all);
        read
    })
    .map_err(failed)?;
    Ok(octets)
}

/// What descriptors are, the table of the routes, and where revisions are kept.
fn read_list(beside: Vec<OwnedFd>) -> Result<(Vec<Kind>, Option<u32>, String), String> {
    frozen::read_list(read(only(beside)?)?.expose()).map_err(|error| format!("what is handed over is refused: {error}"))
}

/// What was not announced is none.
fn read_state(memory: OwnedFd, serial: u64) -> Result<State, String> {
    let octets = read(memory)?;
    State::read(octets.expose(), &Stamp::now(serial))
        .map_err(|error| format!("what is handed over is refused: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn heir() -> (Entrance, Channel) {
        let (pipe, old) = Channel::pair().unwrap();
        (Entrance { giver: Some(Giver { pipe, serial: 7 }), ..Entrance::default() }, old)
    }
    fn commit(serial: u64) -> Offer {
        Offer::Commit { serial, stopped_ms: 1500, version: "0.0.9".into(), pid: 12 }
    }

    #[test]
    fn who_has_nobody_to_take_over_from_begins() {
        let mut entrance = Entrance::of(None).unwrap();
        assert!(entrance.receive().unwrap().is_none());
        assert_eq!(entrance.take((0, 0)), Ok(None));
    }

    #[test]
    fn an_heir_says_who_it_is_and_what_it_has_read_and_takes_what_was_announced() {
        let (mut heir, old) = heir();
        let list = || memory_file::write(frozen::list(&[Kind::Queue], Some(220), Path::new("/s")).expose()).unwrap();
        let (queue, _) = io::pipe().unwrap();
        say(&old, &Offer::Descriptors, &[queue.as_fd()]).unwrap();
        say(&old, &Offer::List, &[list().as_fd()]).unwrap();
        let heritage = heir.receive().unwrap().unwrap();
        assert!(matches!(heritage.descriptors[..], [(Kind::Queue, _)]) && heritage.route_table == Some(220));
        assert_eq!(heritage.state_dir, Path::new("/s"));
        let (Answer::Hello { formats, .. }, _) = hear::<Answer>(&old).unwrap().unwrap() else { panic!() };
        assert_eq!(formats, FORMATS);
        // Another time one is missing; and what is no state is none.
        say(&old, &Offer::List, &[list().as_fd()]).unwrap();
        assert!(heir.receive().unwrap_err().contains("not all"));
        hear::<Answer>(&old).unwrap();
        say(&old, &Offer::State { sas: (2, 3) }, &[]).unwrap();
        assert!(heir.state().is_err());
        assert!(matches!(hear::<Answer>(&old).unwrap().unwrap().0, Answer::Prepared));
        say(&old, &commit(7), &[]).unwrap();
        let taken = heir.take((2, 3)).unwrap().unwrap();
        let stopped = Duration::from_millis(1500);
        assert_eq!(taken, Taken { version: "0.0.9".into(), pid: 12, stopped, sas: (2, 3) });
        let (Answer::Read { sas: (2, 3) }, _) = hear::<Answer>(&old).unwrap().unwrap() else { panic!() };
        assert_eq!(heir.take((2, 3)), Ok(None), "once");
    }

    #[test]
    fn what_was_not_announced_is_not_taken() {
        let (mut heir, old) = heir();
        say(&old, &commit(8), &[]).unwrap();
        assert!(heir.take((0, 0)).unwrap_err().contains("not announced"));
    }

    /// A memory file with anything in it, or no memory at all.
    #[test]
    fn what_is_no_state_is_refused_and_wiped() {
        let memory = memory_file::write(b"no state at all").unwrap();
        let twin = memory.try_clone().unwrap();
        assert!(read_state(memory, 7).unwrap_err().contains("refused"));
        let left = std::fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&twin))).unwrap();
        assert_eq!(left, [0; 15]);
        assert!(read_state(std::io::pipe().unwrap().0.into(), 7).is_err());
        let (mut heir, old) = heir();
        say(&old, &Offer::State { sas: (0, 0) }, &[]).unwrap();
        assert!(heir.receive().is_err(), "not yet");
        say(&old, &Offer::State { sas: (0, 0) }, &[]).unwrap();
        assert!(heir.state().is_err());
    }

    #[test]
    fn who_goes_without_a_commit_keeps_everything() {
        let (mut heir, old) = heir();
        drop(old);
        assert!(heir.receive().is_err() && heir.state().is_err() && heir.take((0, 0)).is_err());
    }

    #[test]
    fn who_cannot_says_why() {
        let (mut heir, old) = heir();
        heir.refuse("the configuration is refused");
        let (Answer::Refused { sentence }, _) = hear::<Answer>(&old).unwrap().unwrap() else { panic!() };
        assert_eq!(sentence, "the configuration is refused");
        assert!(hear::<Answer>(&old).unwrap().is_none());
    }
}
