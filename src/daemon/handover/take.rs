//! The daemon's side of the front, and what a new daemon does to take over.
use super::channel::{await_one, hear, say};
use super::{Answer, BEFORE_COMMIT, Offer, Order, Word};
use crate::daemon::clock;
use crate::io::channel::Channel;
use crate::io::spawn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The first order is there before the daemon is.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Formats of the state that this executable reads; the last is the one that it writes.
pub const FORMATS: &[u16] = &[1];

/// The way to the front.
#[derive(Debug)]
pub struct Front {
    channel: Channel,
    alive: Option<Duration>,
}
impl Front {
    #[cfg(test)]
    pub(super) fn over(channel: Channel, alive: Option<Duration>) -> Self {
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
    heritage: Option<Heritage>,
    /// Why there is nothing to take over, though there was to be something.
    pub lost: Option<String>,
}

/// The way to the daemon that hands over.
#[derive(Debug)]
struct Heritage {
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
        let (alive_ms, heritage, lost) = match first {
            Some((Order::Start { alive_ms, lost }, _)) => (alive_ms, None, lost),
            Some((Order::Take { alive_ms, serial }, beside)) => {
                let pipe = beside.into_iter().next().map(Channel::received).ok_or(io::ErrorKind::InvalidData);
                (alive_ms, Some(Heritage { pipe: pipe.map_err(|kind| failed(kind.into()))?, serial }), None)
            }
            _ => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
        };
        let front = Front { channel, alive: alive_ms.map(Duration::from_millis) };
        Ok(Self { front: Some(front), heritage, lost })
    }

    /// Another daemon is still at work, and hands over to us.
    pub fn is_heir(&self) -> bool {
        self.heritage.is_some()
    }

    /// Whoever waits for us to take over waits in vain.
    pub fn refuse(&mut self, sentence: &str) {
        if let Some(Heritage { pipe, .. }) = self.heritage.take() {
            // If nobody hears it, nobody waits.
            let _ = say(&pipe, &Answer::Refused { sentence: sentence.into() }, &[]);
        }
    }

    /// Waits until another daemon has handed over, if one is to.
    ///
    /// # Errors
    /// A sentence: it has not, and goes on itself.
    pub fn take(&mut self) -> Result<Option<Taken>, String> {
        let Some(Heritage { pipe, serial: announced }) = &self.heritage else { return Ok(None) };
        let failed = |error: io::Error| format!("the daemon at work does not hand over: {error}");
        let hello = Answer::Hello { version: env!("CARGO_PKG_VERSION").into(), formats: FORMATS.into() };
        say(pipe, &hello, &[]).map_err(failed)?;
        match await_one(pipe, clock::now() + BEFORE_COMMIT).map_err(failed)? {
            Some((Offer::Commit { serial, stopped_ms, version, pid }, _)) if serial == *announced => {
                self.heritage = None;
                Ok(Some(Taken { version, pid, stopped: Duration::from_millis(stopped_ms) }))
            }
            Some((Offer::Commit { .. }, _)) => Err("what is handed over was not announced".into()),
            None => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heir() -> (Entrance, Channel) {
        let (pipe, old) = Channel::pair().unwrap();
        (Entrance { heritage: Some(Heritage { pipe, serial: 7 }), ..Entrance::default() }, old)
    }
    fn commit(serial: u64) -> Offer {
        Offer::Commit { serial, stopped_ms: 1500, version: "0.0.9".into(), pid: 12 }
    }

    #[test]
    fn who_has_nobody_to_take_over_from_begins() {
        assert_eq!(Entrance::of(None).unwrap().take(), Ok(None));
    }

    #[test]
    fn an_heir_says_who_it_is_and_takes_what_was_announced() {
        let (mut heir, old) = heir();
        say(&old, &commit(7), &[]).unwrap();
        let taken = heir.take().unwrap().unwrap();
        assert_eq!(taken, Taken { version: "0.0.9".into(), pid: 12, stopped: Duration::from_millis(1500) });
        let (Answer::Hello { formats, .. }, _) = hear::<Answer>(&old).unwrap().unwrap() else { panic!() };
        assert_eq!(formats, FORMATS);
        assert_eq!(heir.take(), Ok(None), "once");
    }

    #[test]
    fn what_was_not_announced_is_not_taken() {
        let (mut heir, old) = heir();
        say(&old, &commit(8), &[]).unwrap();
        assert!(heir.take().unwrap_err().contains("not announced"));
    }

    #[test]
    fn who_goes_without_a_commit_keeps_everything() {
        let (mut heir, old) = heir();
        drop(old);
        assert!(heir.take().is_err());
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
