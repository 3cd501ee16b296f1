//! Messages over a channel of ours, as JSON: few and short, and the two ends may be of different versions.
use crate::daemon::clock;
use crate::io::channel::Channel;
use crate::io::fds::Poll;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// Longest message of this kind.
const LONGEST: usize = 16 * 1024;
/// Who is busy is looked at again after this.
const LOOK: Duration = Duration::from_millis(1);

/// Says something, with descriptors beside it.
///
/// # Errors
/// The other end is gone, or does not read.
pub fn say<T: Serialize>(channel: &Channel, what: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    channel.send(&serde_json::to_vec(what)?, descriptors)
}

/// The same, and waits until the other end has room for it.
///
/// # Errors
/// The other end is gone, or does not read until `deadline`.
pub fn say_by<T: Serialize>(
    channel: &Channel,
    what: &T,
    descriptors: &[BorrowedFd<'_>],
    deadline: Duration,
) -> io::Result<()> {
    let (poll, mut ready) = (Poll::new()?, Vec::new());
    loop {
        match say(channel, what, descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && clock::now() < deadline => {
                // Room is not waited for, but looked for: it is there in a moment.
                poll.wait(&mut ready, Some(LOOK))?;
            }
            said => return said,
        }
    }
}

/// What the other end has said; `None` if it is gone.
///
/// # Errors
/// `WouldBlock` if it has said nothing yet; `InvalidData` if it cannot be understood.
pub fn hear<T: DeserializeOwned>(channel: &Channel) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let Some(message) = channel.receive()? else { return Ok(None) };
    if message.data.len() > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Also what ends too early, which is another kind of error elsewhere.
    let what =
        serde_json::from_slice(&message.data).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some((what, message.descriptors)))
}

/// The same, and waits for it.
///
/// # Errors
/// `TimedOut` if nothing comes until `deadline`; `InvalidData` if it cannot be understood.
pub fn await_one<T: DeserializeOwned>(channel: &Channel, deadline: Duration) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let (poll, mut ready) = (Poll::new()?, Vec::new());
    poll.add(channel, 0)?;
    loop {
        match hear(channel) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            heard => return heard,
        }
        let left = deadline.saturating_sub(clock::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        poll.wait(&mut ready, Some(left))?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Order, Word};
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_nonsense_is_not() {
        let (one, other) = Channel::pair().unwrap();
        assert_eq!(hear::<Word>(&other).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        say(&one, &Word::Committed { serial: u64::MAX }, &[]).unwrap();
        assert_eq!(hear::<Word>(&other).unwrap().unwrap().0, Word::Committed { serial: u64::MAX });
        for nonsense in [&b"{"[..], b"\"Dance\"", b"\xff\xff", &[b' '; LONGEST + 1]] {
            one.send(nonsense, &[]).unwrap();
            assert_eq!(hear::<Word>(&other).unwrap_err().kind(), io::ErrorKind::InvalidData, "{nonsense:?}");
        }
        drop(one);
        assert!(hear::<Word>(&other).unwrap().is_none());
    }

    #[test]
    fn who_waits_is_not_kept_waiting_by_the_dead_or_the_silent() {
        let (one, other) = Channel::pair().unwrap();
        assert_eq!(await_one::<Order>(&other, Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        say(&one, &Order::Give { serial: 3 }, &[]).unwrap();
        let heard = await_one::<Order>(&other, Duration::MAX).unwrap().unwrap().0;
        assert!(matches!(heard, Order::Give { serial: 3 }));
        drop(one);
        assert!(await_one::<Order>(&other, Duration::MAX).unwrap().is_none());
    }
}
