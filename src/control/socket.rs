//! The sockets of the API as files: one daemon for each, stale ones are replaced, nobody but the daemon's user and one group may connect.
use crate::io::acl;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Why there is no socket; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody holds the lock.
    #[error(
        "another sandhogd already serves {0}: stop it first, or, in another network namespace, give this one its own `control_socket` and `observe_socket`"
    )]
    Taken(PathBuf),
    /// There is something else in its place.
    #[error("{0} exists and is not a socket: remove it, or choose another path for ours")]
    NotASocket(PathBuf),
    /// Too long for the kernel, not allowed, no space ...
    #[error("cannot open the socket {0}: {1}{way}", way = way_out(.0, .1))]
    Io(PathBuf, #[source] io::Error),
}

/// What to do about a folder that cannot be written.
fn way_out(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound => format!(
            ": {folder} must exist and be writable for the daemon's user; in the sandbox of the systemd unit that takes a drop-in with [Service] ReadWritePaths={folder}, or choose a path in /run/sandhog"
        ),
        _ => String::new(),
    }
}

impl Error {
    /// Somebody holds the lock, who may be about to end.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(_))
    }
}

/// A bound socket with its lock; the socket file goes away when it is dropped, the lock file stays.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
    /// Held for as long as the process lives, even after kill -9 of it nothing is left locked.
    lock: File,
    /// The file is not to be removed.
    stays: bool,
}
impl ControlSocket {
    /// Takes the lock beside `path` and binds `path` for its owner and `group` (mode 0660), or, without one, for its owner alone (0600).
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn bind(path: &Path, group: Option<u32>) -> Result<Self, Error> {
        let failed = |error| Error::Io(path.to_owned(), error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = lock(path)?;
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(failed)?,
            Ok(_) => return Err(Error::NotASocket(path.to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        if let Some(group) = group {
            let given = std::os::unix::fs::chown(path, None, Some(group));
            let given = given.and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(0o660)));
            // The unit's sandbox has no chown.
            if let Err(error) = given.or_else(|_| acl::share(path, group)) {
                tracing::warn!(%error, path = ?path, group, "the socket cannot be given to its group: its members cannot use it");
            }
        }
        listener.set_nonblocking(true).map_err(failed)?;
        let owner = std::fs::metadata(path).map_err(failed)?.uid();
        Ok(Self { listener, path: path.to_owned(), owner, lock, stays: false })
    }
    /// One that another daemon has bound at `path`, and the lock that it holds. The file is that one's until [`Self::keep`].
    ///
    /// # Errors
    /// It is bound elsewhere.
    pub fn adopt(path: &Path, listener: OwnedFd, lock: OwnedFd) -> io::Result<Self> {
        let listener = UnixListener::from(listener);
        if listener.local_addr()?.as_pathname() != Some(path) {
            let what =
                format!("the configuration wants a socket at {}: that changes with a restart only", path.display());
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        }
        let owner = std::fs::metadata(path)?.uid();
        Ok(Self { listener, path: path.to_owned(), owner, stays: true, lock: lock.into() })
    }
    /// Second handles of the listener and the lock, for [`Self::adopt`].
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn twins(&self) -> io::Result<Vec<OwnedFd>> {
        Ok(vec![self.listener.try_clone()?.into(), self.lock.try_clone()?.into()])
    }
    /// The file is ours: it goes when this is dropped.
    pub fn keep(&mut self) {
        self.stays = false;
    }
    /// The file stays when this is dropped: it is another daemon's.
    pub fn leave(&mut self) {
        self.stays = true;
    }
    /// A second handle of the listener, non-blocking.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
    /// The daemon's user: who made the file.
    pub fn owner(&self) -> u32 {
        self.owner
    }
}
impl Drop for ControlSocket {
    fn drop(&mut self) {
        if !self.stays {
            // Nothing can be done about a failure, and the next start replaces what is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name);
    let file = open.map_err(|error| Error::Io(path.to_owned(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Taken(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::Io(path.to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/control.sock");
        let first = ControlSocket::bind(&path, None).unwrap();
        let error = ControlSocket::bind(&path, None).unwrap_err();
        assert!(matches!(error, Error::Taken(_)));
        assert!(error.to_string().contains("stop it first"));
        drop(first);
        assert!(!path.exists());
        ControlSocket::bind(&path, None).unwrap();
    }

    #[test]
    fn another_daemon_goes_on_with_socket_and_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let mut first = ControlSocket::bind(&path, None).unwrap();
        let [listener, lock] = <[OwnedFd; 2]>::try_from(first.twins().unwrap()).unwrap();
        let twins = || first.twins().unwrap().pop().unwrap();
        assert!(ControlSocket::adopt(&folder.path().join("other"), listener.try_clone().unwrap(), twins()).is_err());
        let mut second = ControlSocket::adopt(&path, listener, lock).unwrap();
        second.keep();
        first.leave();
        drop(first);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(ControlSocket::bind(&path, None).unwrap_err().is_taken());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = ControlSocket::bind(&path, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
    }

    #[test]
    fn a_group_may_connect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let own = std::fs::metadata(folder.path()).unwrap().gid();
        let socket = ControlSocket::bind(&path, Some(own)).unwrap();
        let file = std::fs::metadata(&path).unwrap();
        assert_eq!((file.permissions().mode() & 0o777, file.gid()), (0o660, own));
        drop(socket);
    }

    /// As in the unit's sandbox.
    #[test]
    fn a_folder_that_cannot_be_written_is_told_with_the_way_out() {
        for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            let sentence = Error::Io("/srv/vpn/control.sock".into(), kind.into()).to_string();
            assert!(sentence.contains("[Service] ReadWritePaths=/srv/vpn,"), "{sentence}");
        }
        let sentence = Error::Io("/srv/vpn/control.sock".into(), ErrorKind::AddrInUse.into()).to_string();
        assert!(!sentence.contains("ReadWritePaths"), "{sentence}");
    }

    #[test]
    fn another_kind_of_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path, None), Err(Error::NotASocket(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
