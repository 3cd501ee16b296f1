//! Octets that go from one process of ours to another and lie in no file: memory with a descriptor, read once and wiped.
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

/// Longest that is read.
const LONGEST: u64 = 1 << 32;

/// Writes octets into memory of their own, whose length nobody can change any more.
pub fn write(octets: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"sandhog", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(octets)?;
    file.rewind()?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
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
    file.rewind()?;
    io::copy(&mut io::repeat(0).take(len), &mut file)?;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

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
