//! A socket pair between two processes of ours: whole messages, in order, with descriptors beside them.
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, getsockopt, recvmsg, sendmsg,
    socketpair, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// So many descriptors go with one message (SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 253;
/// Longest message.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// One end; never waits. The other end's death is the end of the messages.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What came at once.
#[derive(Debug)]
pub struct Message {
    /// Octets.
    pub data: Vec<u8>,
    /// What came beside them, closed by an exec.
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Two ends.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(one), Self(other)))
    }

    /// An end that this process was started with; only the first who asks for a number may have it.
    ///
    /// # Errors
    /// It is not open, or no such socket.
    pub fn inherited(number: RawFd) -> io::Result<Self> {
        if number <= libc::STDERR_FILENO {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: whoever started us opened it for this, and nobody else here uses the number; if it is not open, that is found out next.
        let end = unsafe { BorrowedFd::borrow_raw(number) };
        let kind = getsockopt(&end, sockopt::SockType)?;
        if kind != SockType::SeqPacket {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a channel"));
        }
        // SAFETY: it is open, as was just seen, and from here on it has one owner.
        let end = unsafe { OwnedFd::from_raw_fd(number) };
        // Programs that we start have no business with it.
        // SAFETY: it takes two numbers.
        super::sys::check(unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
        Ok(Self(end))
    }

    /// An end that came beside a message.
    pub fn received(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Sends a message. `WouldBlock` if the other end has too many that it has not read, `BrokenPipe` if it is gone.
    pub fn send(&self, data: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let beside = [ControlMessage::ScmRights(&numbers)];
        let beside = if numbers.is_empty() { &[][..] } else { &beside[..] };
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(data)], beside, MsgFlags::MSG_NOSIGNAL, None) {
                Err(Errno::EINTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }

    /// The next message; `None` when the other end is gone and all was read. `WouldBlock` if there is none yet.
    ///
    /// # Errors
    /// `InvalidData` for a message that is too long; its descriptors are closed.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut data = vec![0; MAX_MESSAGE];
        let mut space = cmsg_space!([RawFd; MAX_DESCRIPTORS]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let (len, cut, descriptors) = {
            let mut parts = [IoSliceMut::new(&mut data)];
            let received = loop {
                match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                    // Who died with messages of ours unread says so this way, once, and before what it had said: that is read next.
                    Err(Errno::EINTR | Errno::ECONNRESET) => {}
                    received => break received?,
                }
            };
            let mut descriptors = Vec::new();
            for message in received.cmsgs()? {
                if let ControlMessageOwned::ScmRights(numbers) = message {
                    // SAFETY: the kernel has just opened them for us, and nobody else knows their numbers.
                    descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
                }
            }
            let cut = received.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
            (received.bytes, cut, descriptors)
        };
        if cut {
            return Err(io::ErrorKind::InvalidData.into());
        }
        data.truncate(len);
        // We send no empty ones.
        Ok((len > 0).then_some(Message { data, descriptors }))
    }
}
impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn messages_stay_whole_and_end_with_their_sender() {
        let (one, other) = Channel::pair().unwrap();
        assert_eq!(other.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        one.send(b"first", &[]).unwrap();
        one.send(b"second", &[]).unwrap();
        assert_eq!(other.receive().unwrap().unwrap().data, b"first");
        drop(one);
        assert_eq!(other.receive().unwrap().unwrap().data, b"second");
        assert!(other.receive().unwrap().is_none());
        assert_eq!(other.send(b"third", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn who_dies_without_reading_has_ended_too() {
        let (one, other) = Channel::pair().unwrap();
        other.send(b"never read", &[]).unwrap();
        one.send(b"last words", &[]).unwrap();
        drop(one);
        assert_eq!(other.receive().unwrap().unwrap().data, b"last words");
        assert!(other.receive().unwrap().is_none());
    }

    #[test]
    fn descriptors_come_with_their_message() {
        let (one, other) = Channel::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        one.send(b"a pipe", &[writer.as_fd()]).unwrap();
        drop(writer);
        let message = other.receive().unwrap().unwrap();
        let [writer] = <[OwnedFd; 1]>::try_from(message.descriptors).unwrap();
        std::fs::File::from(writer).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn as_many_descriptors_as_the_kernel_takes() {
        let (one, other) = Channel::pair().unwrap();
        let many = vec![one.as_fd(); MAX_DESCRIPTORS];
        one.send(b"x", &many).unwrap();
        assert_eq!(other.receive().unwrap().unwrap().descriptors.len(), MAX_DESCRIPTORS);
    }

    #[test]
    fn what_is_no_channel_is_not_taken_for_one() {
        assert!(Channel::inherited(0).is_err());
        assert!(Channel::inherited(-1).is_err());
        assert!(Channel::inherited(1_000_000).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Channel::inherited(file.as_raw_fd()).is_err());
        assert!(file.metadata().is_ok(), "it stays open");
    }
}
