//! Who is at the other end of a Unix socket, and what groups are called.
use super::sys::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// More groups than this are those of nobody that we serve.
const MAX_GROUPS: usize = 65_536;

/// The supplementary groups that the peer had when it connected (SO_PEERGROUPS).
///
/// # Errors
/// When the kernel does not tell.
pub fn groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut list = vec![0u32; 64];
    loop {
        let octets = list.len() * size_of::<u32>();
        let mut len = libc::socklen_t::try_from(octets).map_err(|_| io::ErrorKind::InvalidInput)?;
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: `list` is valid for `len` octets, and the kernel writes no more than that; `len` is its own.
        let got = unsafe {
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERGROUPS, list.as_mut_ptr().cast(), &raw mut len)
        };
        let wanted = len as usize / size_of::<u32>();
        match check(got) {
            Ok(_) => {
                list.truncate(wanted);
                return Ok(list);
            }
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && (list.len()..=MAX_GROUPS).contains(&wanted) => {
                list.resize(wanted + 1, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The number of a group; `None` if there is no such group.
pub fn group(name: &str) -> Option<u32> {
    nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_ourselves_are_those_that_the_system_lists() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut expected: Vec<u32> = nix::unistd::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect();
        let mut found = groups(&socket).unwrap();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_group_that_is_not_there_has_no_number() {
        assert_eq!(group("root"), Some(0));
        assert_eq!(group("no such group at all"), None);
    }
}
