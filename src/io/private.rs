//! Files that nobody else may read.
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Appends `octets` at once to a file in a folder; both are made where they are missing, for their owner alone.
///
/// # Errors
/// The folder or the file is a link or something else, is open to others, or belongs to neither root nor us; or it cannot be written.
pub fn append(folder: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    let opened = self::folder(folder)?;
    // By its descriptor, so that it is the folder that was looked at, whatever has its name by now.
    let path = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    check(&file, "the file", |found| found.is_file() && found.nlink() == 1)?;
    file.write_all(octets)
}

/// Opens a folder, which is made where it is missing, for its owner alone.
///
/// # Errors
/// As [`append`] for the folder.
pub fn folder(folder: &Path) -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(folder)?;
    check(&opened, "the folder", Metadata::is_dir)?;
    Ok(opened)
}

fn check(file: &File, what: &str, is_one: impl Fn(&Metadata) -> bool) -> io::Result<()> {
    let found = file.metadata()?;
    let ours = nix::unistd::geteuid().as_raw();
    let wrong = if !is_one(&found) {
        "is none"
    } else if found.mode() & 0o077 != 0 {
        "is open to others"
    } else if ![0, ours].contains(&found.uid()) {
        "belongs to somebody else"
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!("{what} {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, read, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_is_appended_only_its_owner_can_read() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("keys");
        append(&folder, "table", b"one\n").unwrap();
        append(&folder, "table", b"two\n").unwrap();
        assert_eq!(read(folder.join("table")).unwrap(), b"one\ntwo\n");
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("table"))), (0o700, 0o600));
    }

    #[test]
    fn nothing_is_written_where_others_could_read_it_or_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("keys");
        let refused = |folder: &Path| append(folder, "table", b"key").unwrap_err().to_string();
        append(&folder, "other", b"").unwrap();
        set_permissions(&folder, Permissions::from_mode(0o750)).unwrap();
        assert_eq!(refused(&folder), "the folder is open to others");
        set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();

        write(folder.join("table"), b"").unwrap();
        set_permissions(folder.join("table"), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(refused(&folder), "the file is open to others");
        set_permissions(folder.join("table"), Permissions::from_mode(0o600)).unwrap();
        std::fs::hard_link(folder.join("table"), place.path().join("twin")).unwrap();
        assert_eq!(refused(&folder), "the file is none");
        std::fs::remove_file(folder.join("table")).unwrap();
        assert_eq!(read(place.path().join("twin")).unwrap(), b"");

        symlink(place.path().join("elsewhere"), folder.join("table")).unwrap();
        refused(&folder);
        assert!(!place.path().join("elsewhere").exists());
        symlink(&folder, place.path().join("linked")).unwrap();
        refused(&place.path().join("linked"));
        refused(&place.path().join("missing/folder"));
        refused(&folder.join("other"));
    }
}
