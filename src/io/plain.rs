//! Files that somebody else has put there: opened once, and looked at by the descriptor.
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file for reading; a pipe in its place keeps nobody waiting. With `links` it may be reached through a link in the last place.
///
/// # Errors
/// It is something else, or the system says no.
pub fn open(path: &Path, links: bool) -> io::Result<(File, Metadata)> {
    let follow = if links { 0 } else { libc::O_NOFOLLOW };
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | follow).open(path);
    let file = opened.map_err(|error| match links {
        false if path.is_symlink() => io::Error::other("it is a symbolic link; name the file that it points to"),
        _ => error,
    })?;
    let found = file.metadata()?;
    if found.is_file() { Ok((file, found)) } else { Err(io::Error::other("it is not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_pipe_a_folder_and_a_link_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        symlink(at("file"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = |name: &str, links| open(&at(name), links).map(drop).map_err(|error| error.to_string());
        assert_eq!((said("file", false), said("link", true)), (Ok(()), Ok(())));
        assert!(said("link", false).unwrap_err().contains("symbolic link"));
        // It would wait for somebody who writes.
        assert!(said("pipe", true).unwrap_err().contains("not a regular file"));
        assert!(said(".", true).is_err() && said("absent", true).is_err());
    }
}
