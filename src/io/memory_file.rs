//! Octets that go from one process of ours to another and lie in no file: memory with a descriptor, read once and wiped.
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Longest that is read.
const LONGEST: u64 = 1 << 32;

/// Writes octets into memory of their own, whose length nobody can change any more.
pub fn write(octets: &[u8]) -> io::Result<OwnedFd> {
    let mut file = create()?;
    fill(&mut file, octets)?;
    Ok(file.into())
}

fn create() -> io::Result<File> {
    Ok(File::from(memfd_create(c"sandhog", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?))
}

fn fill(file: &mut File, octets: &[u8]) -> io::Result<()> {
    file.write_all(octets)?;
    file.rewind()?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&*file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

fn wipe(file: &mut File, len: u64) -> io::Result<()> {
    file.rewind()?;
    io::copy(&mut io::repeat(0).take(len), file).map(drop)
}

/// Such memory with keys in it. No swap device sees it where memory may be locked, and when this goes nothing is left in it, whoever has its descriptor.
#[derive(Debug)]
pub struct Wiped {
    file: File,
    len: u64,
    _pages: Option<Pages>,
}
impl Wiped {
    /// Writes them.
    pub fn write(octets: &[u8]) -> io::Result<Self> {
        let file = create()?;
        let len = octets.len() as u64;
        // Locked before there is anything in it.
        file.set_len(len)?;
        let pages = Pages::lock(&file, octets.len());
        let mut this = Self { file, len, _pages: pages };
        fill(&mut this.file, octets)?;
        Ok(this)
    }
}
impl AsFd for Wiped {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
impl Drop for Wiped {
    fn drop(&mut self) {
        // Nobody can make it shorter.
        let _ = wipe(&mut self.file, self.len);
    }
}

/// Pages of a file that stay in memory for as long as they are mapped, which nobody reads or writes through.
#[derive(Debug)]
struct Pages {
    at: *mut libc::c_void,
    len: usize,
}
impl Pages {
    /// `None` where that cannot be had.
    fn lock(file: &File, len: usize) -> Option<Self> {
        let (protection, fd) = (libc::PROT_READ, file.as_raw_fd());
        // SAFETY: a new mapping where the kernel finds room; an empty one is refused.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, fd, 0) };
        if at == libc::MAP_FAILED {
            return None;
        }
        let this = Self { at, len };
        // SAFETY: it is the mapping just made; where the limit is too low, it is not locked, and goes.
        (unsafe { libc::mlock(at, len) } == 0).then_some(this)
    }
}
impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: it is the mapping that `lock` made, and nothing points into it.
        unsafe { libc::munmap(self.at, self.len) };
    }
}

/// Reads all that is in such memory into `take`, and wipes it there.
///
/// # Errors
/// It is no such memory, or too long.
pub fn read(memory: OwnedFd, take: impl FnOnce(&mut dyn Read, usize) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::from(memory);
    // Only memory of this kind has seals.
    let seals = SealFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GET_SEALS)?);
    let len = file.metadata()?.len();
    if !seals.contains(SealFlag::F_SEAL_SHRINK) || len > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.rewind()?;
    let taken = take(&mut file, len as usize);
    wipe(&mut file, len)?;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_with_who_wrote_them() {
        let memory = Wiped::write(b"keys").unwrap();
        let mut other = File::from(memory.as_fd().try_clone_to_owned().unwrap());
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "keys");
        assert!(other.set_len(2).is_err(), "all of them can be wiped");
        drop(memory);
        let mut left = Vec::new();
        other.rewind().unwrap();
        other.read_to_end(&mut left).unwrap();
        assert_eq!(left, [0; 4]);
        assert!(Wiped::write(b"").is_ok());
    }

    #[test]
    fn it_is_read_once() {
        let memory = write(b"keys").unwrap();
        let mut other = File::from(memory.try_clone().unwrap());
        let mut text = String::new();
        read(memory, |from, len| {
            assert_eq!(len, 4);
            from.read_to_string(&mut text).map(drop)
        })
        .unwrap();
        assert_eq!(text, "keys");
        let mut left = Vec::new();
        other.rewind().unwrap();
        other.read_to_end(&mut left).unwrap();
        assert_eq!(left, [0; 4], "nothing of it is left");
        assert!(other.set_len(2).is_err());
        // A pipe is none.
        assert!(read(io::pipe().unwrap().0.into(), |_, _| Ok(())).is_err());
    }
}
