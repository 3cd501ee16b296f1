//! A program that is to be run with our privileges: looked at and opened once, so that what runs is what was looked at.
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// Group and others may write.
const WRITABLE: u32 = 0o022;
/// In such a folder nobody moves what is somebody else's.
const STICKY: u32 = 0o1000;
/// The program of this process.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Somebody may run it.
const RUNNABLE: u32 = 0o111;

/// Opens a program that nobody but root can have put there: it and all folders on its way belong to root and are closed to the writing of others.
///
/// # Errors
/// A sentence that says what is wrong and what to do.
pub fn open(path: &Path) -> Result<File, String> {
    open_as(path, 0)
}

fn open_as(path: &Path, owner: u32) -> Result<File, String> {
    let mut so_far = PathBuf::from("/");
    let said = |at: &Path, error: io::Error| format!("{} cannot be opened: {error}", at.display());
    let mut there = open_one(&so_far).map_err(|error| said(&so_far, error))?;
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return Err(format!("{} is no absolute path", path.display()));
    }
    for part in parts {
        let Component::Normal(name) = part else { return Err(format!("{} is no plain path", path.display())) };
        check(&so_far, &there, owner, true)?;
        so_far.push(name);
        // By its descriptor, so that it is in the folder that was looked at, whatever has its name by now.
        let inside = Path::new("/proc/self/fd").join(there.as_raw_fd().to_string()).join(name);
        there = open_one(&inside).map_err(|error| said(&so_far, error))?;
    }
    check(&so_far, &there, owner, false)?;
    Ok(there)
}

fn open_one(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)
}

fn check(path: &Path, file: &File, owner: u32, is_folder: bool) -> Result<(), String> {
    let name = path.display();
    let found = file.metadata().map_err(|error| format!("{name}: {error}"))?;
    match wrong(&found, owner, is_folder) {
        None => Ok(()),
        Some(what) => Err(format!("{name} {what}")),
    }
}

fn wrong(found: &Metadata, owner: u32, is_folder: bool) -> Option<String> {
    let mode = found.mode();
    if found.is_symlink() {
        Some("is a symbolic link by now: install the file itself there".into())
    } else if is_folder && !found.is_dir() {
        Some("is no folder".into())
    } else if !is_folder && !found.is_file() {
        Some("is no file: install sandhogd there again".into())
    } else if ![0, owner].contains(&found.uid()) {
        Some(format!("belongs to user {}, who could put any program there: `chown root` it", found.uid()))
    } else if mode & WRITABLE != 0 && !(is_folder && mode & STICKY != 0) {
        Some("can be written by others than its owner: `chmod go-w` it".into())
    } else if !is_folder && mode & RUNNABLE == 0 {
        Some("cannot be executed: `chmod a+x` it".into())
    } else {
        None
    }
}

/// Where the program of this process was when it was started.
pub fn own_path() -> io::Result<PathBuf> {
    std::fs::read_link(OWN_PROGRAM)
}

/// The program of this process, whatever lies at its path by now.
pub fn own() -> PathBuf {
    OWN_PROGRAM.into()
}

/// The path by which an opened program is started.
pub fn path_of(file: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    struct Place(tempfile::TempDir);
    impl Place {
        fn new() -> Self {
            let place = tempfile::tempdir().unwrap();
            let here = Self(place);
            fs::create_dir(here.at("bin")).unwrap();
            here.set("bin", 0o755);
            fs::copy("/bin/true", here.at("bin/program")).unwrap();
            here.set("bin/program", 0o755);
            here
        }
        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
        fn set(&self, name: &str, mode: u32) {
            fs::set_permissions(self.at(name), Permissions::from_mode(mode)).unwrap();
        }
        fn open(&self) -> Result<File, String> {
            open_as(&self.at("bin/program"), fs::metadata(self.0.path()).unwrap().uid())
        }
    }

    #[test]
    fn what_was_opened_runs_though_another_has_its_name() {
        let place = Place::new();
        let opened = place.open().unwrap();
        fs::remove_file(place.at("bin/program")).unwrap();
        fs::copy("/bin/false", place.at("bin/program")).unwrap();
        assert!(Command::new(path_of(&opened)).status().unwrap().success());
    }

    #[test]
    fn what_others_could_have_put_there_is_refused() {
        let place = Place::new();
        place.set("bin/program", 0o775);
        assert!(place.open().unwrap_err().contains("bin/program can be written by others"));
        place.set("bin/program", 0o644);
        assert!(place.open().unwrap_err().contains("cannot be executed"));
        place.set("bin/program", 0o755);
        place.set("bin", 0o757);
        assert!(place.open().unwrap_err().contains("bin can be written by others"));
        place.set("bin", 0o1777);
        assert!(place.open().is_ok());
        fs::rename(place.at("bin/program"), place.at("bin/moved")).unwrap();
        assert!(place.open().unwrap_err().contains("No such file"));
        symlink(place.at("bin/moved"), place.at("bin/program")).unwrap();
        assert!(place.open().unwrap_err().contains("symbolic link"));
        fs::remove_file(place.at("bin/program")).unwrap();
        fs::create_dir(place.at("bin/program")).unwrap();
        assert!(place.open().unwrap_err().contains("is no file"));
        for path in ["relative", "/a/../b"] {
            assert!(open(Path::new(path)).is_err());
        }
    }

    #[test]
    fn another_owner_is_named() {
        let place = Place::new();
        let owner = fs::metadata(place.at("bin")).unwrap().uid();
        let found = fs::metadata(place.at("bin/program")).unwrap();
        assert_eq!(wrong(&found, owner, false), None);
        if owner != 0 {
            assert!(open(&place.at("bin/program")).unwrap_err().contains("chown root"));
        } else {
            std::os::unix::fs::chown(place.at("bin/program"), Some(65_534), None).unwrap();
            assert!(place.open().unwrap_err().contains("belongs to user 65534"));
        }
    }
}
