//! Access for a group besides the file's own, by a list (acl(5)): for whoever may not give the file to that group, as in the sandbox of our unit.
use super::sys::check;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the kernel keeps such a list, and the version of its form.
const NAME: &std::ffi::CStr = c"system.posix_acl_access";
const VERSION: u32 = 2;
/// Whose an entry is.
const OWNER: u16 = 0x01;
const OWN_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;
/// An entry that names nobody.
const NOBODY: u32 = u32::MAX;
const READ_WRITE: u16 = 6;

/// Its owner and the members of `group` may read and write a file, nobody else.
///
/// # Errors
/// It is somebody else's, or its file system knows no such lists.
pub fn share(path: &Path, group: u32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let entries = [
        (OWNER, READ_WRITE, NOBODY),
        (OWN_GROUP, 0, NOBODY),
        (GROUP, READ_WRITE, group),
        (MASK, READ_WRITE, NOBODY),
        (OTHERS, 0, NOBODY),
    ];
    let mut list = VERSION.to_le_bytes().to_vec();
    for (whose, what, id) in entries {
        list.extend_from_slice(&whose.to_le_bytes());
        list.extend_from_slice(&what.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    // SAFETY: two strings that end in zero, and octets with their number.
    check(unsafe { libc::setxattr(path.as_ptr(), NAME.as_ptr(), list.as_ptr().cast(), list.len(), 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_group_is_let_in_without_being_given_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let before = path.metadata().unwrap();
        match share(&path, 4711) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return eprintln!("skipped: no such lists here");
            }
            done => done.unwrap(),
        }
        let after = path.metadata().unwrap();
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        // What stands for the group is the most that anybody but the owner has: the list's mask.
        assert_eq!(after.mode() & 0o777, 0o660);
        assert!(share(&folder.path().join("none"), 4711).is_err());
    }
}
