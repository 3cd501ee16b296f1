//! What the store asks of a file system, so that a test can take the power away at any moment.
use crate::io::folder::Folder;
use std::fs::File;
use std::io;
use std::path::Path;

/// Which folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// `state_dir` itself.
    Top,
    /// What was in force.
    Revisions,
    /// What no revision may hold.
    Secrets,
}

/// Three folders.
pub trait Disk: std::fmt::Debug + Send {
    /// Names of the files, sorted.
    ///
    /// # Errors
    /// When the system says no, as of all the others.
    fn names(&self, place: Place) -> io::Result<Vec<String>>;
    /// Contents of a file of at most so many octets, `None` if there is none.
    ///
    /// # Errors
    /// As [`Folder::read`].
    fn read(&self, place: Place, name: &str, most: u64) -> io::Result<Option<Vec<u8>>>;
    /// Octets of a file, `None` if there is none.
    ///
    /// # Errors
    /// As [`Folder::size`].
    fn size(&self, place: Place, name: &str) -> io::Result<Option<u64>>;
    /// A new file, whose contents are on the disk when this returns, and whose name need not be.
    ///
    /// # Errors
    /// As [`Folder::create`].
    fn create(&mut self, place: Place, name: &str, octets: &[u8]) -> io::Result<()>;
    /// Another name, at once.
    ///
    /// # Errors
    /// As [`Folder::rename`].
    fn rename(&mut self, place: Place, from: &str, to: &str) -> io::Result<()>;
    /// Takes a file away; none is no error.
    ///
    /// # Errors
    /// As [`Folder::remove`].
    fn remove(&mut self, place: Place, name: &str) -> io::Result<()>;
    /// Names are on the disk when this returns.
    ///
    /// # Errors
    /// As [`Folder::sync`].
    fn sync(&mut self, place: Place) -> io::Result<()>;
}

/// The real one.
#[derive(Debug)]
pub struct Folders {
    top: Folder,
    revisions: Folder,
    secrets: Folder,
    /// Held for as long as the process lives; who only looks has none.
    _lock: Option<File>,
}
impl Folders {
    /// Opens `state_dir`, makes what is missing, and locks it.
    ///
    /// # Errors
    /// As [`Folder::open`]; `WouldBlock` if another daemon has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let top = Folder::open(path)?;
        let lock = top.lock("lock")?.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(Self { revisions: top.inside("revisions")?, secrets: top.inside("secrets")?, top, _lock: Some(lock) })
    }
    /// The same of another daemon's, to look at only.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn look(path: &Path) -> io::Result<Self> {
        let top = Folder::open(path)?;
        Ok(Self { revisions: top.inside("revisions")?, secrets: top.inside("secrets")?, top, _lock: None })
    }
    fn of(&self, place: Place) -> &Folder {
        match place {
            Place::Top => &self.top,
            Place::Revisions => &self.revisions,
            Place::Secrets => &self.secrets,
        }
    }
}
impl Disk for Folders {
    fn names(&self, place: Place) -> io::Result<Vec<String>> {
        self.of(place).names()
    }
    fn read(&self, place: Place, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        self.of(place).read(name, most)
    }
    fn size(&self, place: Place, name: &str) -> io::Result<Option<u64>> {
        self.of(place).size(name)
    }
    fn create(&mut self, place: Place, name: &str, octets: &[u8]) -> io::Result<()> {
        self.of(place).create(name, octets)
    }
    fn rename(&mut self, place: Place, from: &str, to: &str) -> io::Result<()> {
        self.of(place).rename(from, to)
    }
    fn remove(&mut self, place: Place, name: &str) -> io::Result<()> {
        self.of(place).remove(name)
    }
    fn sync(&mut self, place: Place) -> io::Result<()> {
        self.of(place).sync()
    }
}
