//! A folder of our own, by its descriptor: files that nobody else may read, and that are whole after a power cut if they are there at all.
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// An open folder. Whatever has its name by now, it is the one that was looked at.
#[derive(Debug)]
pub struct Folder {
    handle: File,
}
impl Folder {
    /// Opens a folder, and makes it, for its owner alone, where it is missing.
    ///
    /// # Errors
    /// It is a link or something else, others may write in it, it belongs to neither root nor us, or it cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            // A link to a folder is refused below, in words of its own.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let handle = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
            if path.is_symlink() {
                io::Error::other("it is a symbolic link: name the folder that it points to")
            } else {
                error
            }
        })?;
        check(&handle, us(), 0o022, "others may write in it", Metadata::is_dir)?;
        Ok(Self { handle })
    }

    /// A folder in this one, closed to others.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn inside(&self, name: &str) -> io::Result<Self> {
        Self::open(&self.path(name)?)
    }

    /// Contents of a file, `None` if there is none.
    ///
    /// # Errors
    /// It is longer than `most`, a link or something else, open to others or somebody else's, or it cannot be read.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(self.path(name)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let found = check(&file, us(), 0o077, "it is open to others", Metadata::is_file)?;
        // Room for all of it from the beginning: what grows leaves copies behind.
        let mut octets = Vec::with_capacity(found.len().min(most) as usize + 64);
        file.take(most + 1).read_to_end(&mut octets)?;
        if octets.len() as u64 > most {
            return Err(io::Error::other(format!("it is larger than {most} octets")));
        }
        Ok(Some(octets))
    }

    /// Octets of a file, `None` if there is none.
    ///
    /// # Errors
    /// When the system says no.
    pub fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match std::fs::symlink_metadata(self.path(name)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => Ok(Some(found?.len())),
        }
    }

    /// Makes a file that was not there, and waits until its contents are on the disk. Its name is there for good only after [`Self::sync`].
    ///
    /// # Errors
    /// It was there, or it cannot be written; then a part of it may be left.
    pub fn create(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        let flags = libc::O_NOFOLLOW;
        let path = self.path(name)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)?;
        file.write_all(octets)?;
        file.sync_all()
    }

    /// Gives a file another name, whose file it replaces at once.
    ///
    /// # Errors
    /// When the system says no.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from)?, self.path(to)?)
    }

    /// Takes a file away; none is no error.
    ///
    /// # Errors
    /// When the system says no.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Names of what is in it, sorted.
    ///
    /// # Errors
    /// When the system says no.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.base())? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    /// Waits until the names are on the disk.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Locks a file, which is made where it is missing, for as long as it is held; `None` if somebody else has it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn lock(&self, name: &str) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(self.path(name)?)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn base(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.handle.as_raw_fd()).into()
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || matches!(name, "." | "..") || !name.chars().all(plain) {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("{name:?} is no name of a file of ours")));
        }
        Ok(self.base().join(name))
    }
}

/// The user and the group that we are.
fn us() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// What is known of a file that is what it should be. A kubelet opens what is in a volume to the pod's group (`fsGroup`), at worst at each mount: what is
/// ours and open to nobody but our own group is closed again.
fn check(
    file: &File,
    us: (u32, u32),
    closed: u32,
    open: &str,
    is_one: impl Fn(&Metadata) -> bool,
) -> io::Result<Metadata> {
    let mut found = file.metadata()?;
    let (uid, gid) = us;
    // Of root's group there may be others.
    let of_our_group = gid != 0 && (found.uid(), found.gid()) == us && found.mode() & closed & 0o007 == 0;
    if found.mode() & closed != 0 && of_our_group && is_one(&found) {
        file.set_permissions(Permissions::from_mode(found.mode() & 0o700))?;
        found = file.metadata()?;
    }
    let wrong = if !is_one(&found) {
        "it is something else"
    } else if found.mode() & closed != 0 {
        open
    } else if ![0, uid].contains(&found.uid()) {
        "it belongs to somebody else"
    } else {
        return Ok(found);
    };
    Err(io::Error::other(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{set_permissions, write};
    use std::os::unix::fs::{chown, symlink};

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_there_and_closed_to_others() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/state");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(folder.read("one", 10).unwrap(), None);
        folder.create("new", b"two").unwrap();
        folder.create("new", b"three").unwrap_err();
        folder.rename("new", "one").unwrap();
        folder.sync().unwrap();
        assert_eq!(folder.read("one", 3).unwrap().unwrap(), b"two");
        assert_eq!(folder.names().unwrap(), ["one"]);
        assert_eq!((mode(&path), mode(&path.join("one"))), (0o700, 0o600));
        folder.inside("secrets").unwrap();
        assert_eq!(mode(&path.join("secrets")), 0o700);
        folder.remove("one").unwrap();
        folder.remove("one").unwrap();
    }

    #[test]
    fn what_others_could_have_changed_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let folder = Folder::open(&path).unwrap();
        let refused = |error: io::Error| error.to_string();
        folder.create("one", b"long").unwrap();
        assert!(refused(folder.read("one", 3).unwrap_err()).contains("larger"));
        set_permissions(path.join("one"), Permissions::from_mode(0o604)).unwrap();
        assert_eq!(refused(folder.read("one", 9).unwrap_err()), "it is open to others");
        symlink("one", path.join("link")).unwrap();
        folder.read("link", 9).unwrap_err();
        folder.create("link", b"").unwrap_err();
        for name in ["", "..", "a/b", "a\0b"] {
            assert_eq!(folder.create(name, b"").unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        set_permissions(&path, Permissions::from_mode(0o707)).unwrap();
        assert_eq!(refused(Folder::open(&path).unwrap_err()), "others may write in it");
        symlink(&path, place.path().join("linked")).unwrap();
        assert!(refused(Folder::open(&place.path().join("linked")).unwrap_err()).contains("symbolic link"));
        write(place.path().join("file"), b"").unwrap();
        Folder::open(&place.path().join("file")).unwrap_err();
    }

    #[test]
    fn what_is_open_to_our_own_group_alone_is_closed_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        write(&path, b"").unwrap();
        // Root may say whose it is; anybody else is not of root's group.
        let (uid, gid) = us();
        let us = (uid, if gid == 0 { 4242 } else { gid });
        chown(&path, None, Some(us.1)).unwrap();
        let file = File::open(&path).unwrap();
        let looked = |us, wide| {
            set_permissions(&path, Permissions::from_mode(wide)).unwrap();
            check(&file, us, 0o077, "open", Metadata::is_file).map_err(|error| error.to_string())?;
            Ok::<_, String>(mode(&path))
        };
        assert_eq!(looked(us, 0o2660), Ok(0o600));
        assert_eq!(looked(us, 0o600), Ok(0o600));
        // as soon as there could be somebody else it stays as it was, and is refused
        for (us, wide) in [(us, 0o664), ((uid, us.1 + 1), 0o660), ((uid + 1, us.1), 0o660), ((uid, 0), 0o660)] {
            assert_eq!(looked(us, wide), Err("open".into()), "{us:?}, {wide:o}");
            assert_eq!(mode(&path), wide & 0o777);
        }
    }

    #[test]
    fn a_lock_has_one_holder() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let held = folder.lock("lock").unwrap();
        assert!(held.is_some() && folder.lock("lock").unwrap().is_none());
        drop(held);
        assert!(folder.lock("lock").unwrap().is_some());
    }
}
