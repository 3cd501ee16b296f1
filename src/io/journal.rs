//! Messages to systemd's journal.
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

/// Sends one message in the journal's own form; what is too large for a datagram goes as a sealed file in memory, as the journal wants it.
///
/// # Errors
/// The journal is gone, or takes nothing.
pub fn send(socket: &UnixDatagram, message: &[u8]) -> io::Result<()> {
    match socket.send(message) {
        Err(error) if [Some(libc::EMSGSIZE), Some(libc::ENOBUFS)].contains(&error.raw_os_error()) => {
            send_file(socket, message)
        }
        sent => sent.map(drop),
    }
}

fn send_file(socket: &UnixDatagram, message: &[u8]) -> io::Result<()> {
    let mut file = File::from(memfd_create(c"sandhog-log", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(message)?;
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    let (descriptors, nothing) = ([file.as_raw_fd()], [IoSlice::new(&[])]);
    let passed = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(socket.as_raw_fd(), &nothing, &passed, MsgFlags::empty(), None).map(drop).map_err(Errno::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::io::Read;
    use std::os::fd::{FromRawFd, OwnedFd};

    /// The file that came, if one did.
    fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> (usize, Option<File>) {
        let mut control = nix::cmsg_space!([i32; 1]);
        let mut into = [std::io::IoSliceMut::new(buffer)];
        let got = recvmsg::<()>(socket.as_raw_fd(), &mut into, Some(&mut control), MsgFlags::empty()).unwrap();
        let passed = got.cmsgs().unwrap().find_map(|message| match message {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
        (got.bytes, passed.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    #[test]
    fn a_large_message_comes_as_a_sealed_file() {
        let (ours, journal) = UnixDatagram::pair().unwrap();
        let mut buffer = vec![0; 1000];
        send(&ours, b"MESSAGE=small\n").unwrap();
        let (len, file) = receive(&journal, &mut buffer);
        assert!(file.is_none());
        assert_eq!(&buffer[..len], b"MESSAGE=small\n");

        let large = vec![b'x'; 8 << 20];
        send(&ours, &large).unwrap();
        let (len, file) = receive(&journal, &mut buffer);
        let mut file = file.expect("a file");
        let mut text = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut text).unwrap();
        assert_eq!((len, text == large), (0, true));
        assert!(file.write_all(b"y").is_err(), "it is sealed");
    }
}
