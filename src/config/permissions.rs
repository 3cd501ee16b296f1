//! Who may read the files of a configuration, and who may change them.
//!
//! The daemon of a package runs as a user of its own, and root writes the files: they belong to root, and the daemon's group may read them. So what is right for the
//! daemon is right for whoever checks, and the other way about.
use super::error::{Errors, Finding, Severity};
use super::secret::{Refusal, Secrets, System};
use super::{files, hook, own, parse};
use crate::crypto::secret::Secret;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// User and group of the daemon where a package has made them.
pub const DAEMON: &str = "sandhogd";

/// Whom a secret is open to anyway: root, us, and the daemon that we look at it for.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    users: Vec<u32>,
    /// Never root's own: there may be others in it.
    groups: Vec<u32>,
    /// How to give a file to the daemon, where it has a group.
    daemon: bool,
}
impl Trusted {
    /// By this process and the users of this machine.
    pub(super) fn here() -> Self {
        let (user, group) = own::ids();
        let daemon = (user == 0).then(|| System.user(DAEMON)).flatten().map(|(user, _)| user);
        Self::new([0, user].into_iter().chain(daemon), [Some(group), own::group(DAEMON)])
    }

    fn new(users: impl IntoIterator<Item = u32>, [own, daemon]: [Option<u32>; 2]) -> Self {
        let groups = own.into_iter().chain(daemon).filter(|group| *group != 0).collect();
        Self { users: users.into_iter().collect(), groups, daemon: daemon.is_some() }
    }

    /// Nobody else may read it, or write it.
    pub(super) fn closed(&self, path: &Path, found: &Metadata) -> Result<(), Refusal> {
        let open = if self.groups.contains(&found.gid()) { 0o037 } else { 0o077 };
        if found.mode() & open == 0 {
            return Ok(());
        }
        let shown = path.display();
        let message = format!("{shown} is open to others (mode {:03o})", found.mode() & 0o777);
        let hint = if self.daemon {
            format!("chown root:{DAEMON} {shown} && chmod 0640 {shown}")
        } else {
            format!("chmod 600 {shown}")
        };
        Err(Refusal { code: "secret.permissions", message, hint })
    }

    /// Nobody else can put another one in its place.
    pub(super) fn firm(&self, path: &Path, found: &Metadata) -> Result<(), Refusal> {
        let refuse = |message: String, hint: String| Err(Refusal { code: "secret.permissions", message, hint });
        let owned = |path: &Path, found: &Metadata| match self.users.contains(&found.uid()) {
            true => Ok(()),
            false => {
                let shown = path.display();
                refuse(format!("{shown} belongs to user {}", found.uid()), format!("chown root {shown}"))
            }
        };
        owned(path, found)?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let shown = folder.display();
        let Ok(found) = folder.metadata() else {
            return refuse(format!("cannot look at {shown}"), "a folder that the daemon may pass".into());
        };
        owned(folder, &found)?;
        let open = if self.groups.contains(&found.gid()) { 0o002 } else { 0o022 };
        // In one with the sticky bit only its owner can put another file in the place of one.
        if found.mode() & open != 0 && found.mode() & 0o1000 == 0 {
            return refuse(format!("others can change what is in {shown}"), format!("chmod go-w {shown}"));
        }
        Ok(())
    }
}

/// Makes a file for a secret that was not there: the daemon may read it, where there is one; nobody else may.
///
/// # Errors
/// It is there, or cannot be written.
pub fn create_secret(path: &Path, octets: &[u8]) -> io::Result<()> {
    create_for(path, octets, daemon_group())
}

fn create_for(path: &Path, octets: &[u8], group: Option<u32>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    give(&file, group, 0o640)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// Makes a folder for such files.
///
/// # Errors
/// When the system says no.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
        create_folder(parent)?;
    }
    DirBuilder::new().mode(0o700).create(path)?;
    give(&File::open(path)?, daemon_group(), 0o750)
}

fn give(file: &File, group: Option<u32>, mode: u32) -> io::Result<()> {
    let Some(group) = group else { return Ok(()) };
    fchown(file, None, Some(group))?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// The daemon's, if we may give something to it.
fn daemon_group() -> Option<u32> {
    if own::ids().0 == 0 { own::group(DAEMON) } else { None }
}

/// What of a configuration a user could not read, as findings with the way out; `None`: there is no such user.
///
/// # Errors
/// The configuration is refused.
pub fn readable_by(path: &Path, name: &str, severity: Severity) -> Result<Option<Vec<Finding>>, Errors> {
    let Some((user, group)) = System.user(name) else { return Ok(None) };
    let sources = files::sources(path)?;
    let noted = Noted { paths: RefCell::new(sources.iter().map(|source| source.name.clone()).collect()) };
    parse(&sources, &noted)?;
    let groups = own::groups_of(name, group);
    let reader = Reader { user, groups: &groups, group: own::group_name(group).unwrap_or_else(|| name.into()) };
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for path in noted.paths.into_inner() {
        for (place, hint) in reader.barriers(&path) {
            if seen.insert(place.clone()) {
                let message = format!("the daemon (user {name}) could not read {}", place.display());
                let finding = Finding::of_file(place, "file.not_for_daemon", message, hint);
                findings.push(Finding { severity, ..finding });
            }
        }
    }
    Ok(Some(findings))
}

/// The same of the daemon of a package, as root sees it, who can read everything; nothing where it is not told.
pub fn readable_by_daemon(path: &Path) -> Vec<Finding> {
    if own::ids().0 != 0 {
        return Vec::new();
    }
    readable_by(path, DAEMON, Severity::Warning).ok().flatten().unwrap_or_default()
}

/// Another user.
struct Reader<'r> {
    user: u32,
    groups: &'r [u32],
    group: String,
}
impl Reader<'_> {
    /// What keeps it from a file, and the way out.
    fn barriers(&self, path: &Path) -> Vec<(PathBuf, String)> {
        let mut barriers = Vec::new();
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for folder in whole.ancestors().skip(1) {
            if folder.metadata().is_ok_and(|found| !self.may(&found, 0o1)) {
                let shown = folder.display();
                let hint =
                    format!("chgrp {} {shown} && chmod g+x {shown}, or another folder: /etc/sandhog", self.group);
                barriers.push((folder.to_owned(), hint));
            }
        }
        if whole.metadata().is_ok_and(|found| !self.may(&found, 0o4)) {
            let shown = whole.display();
            let hint = format!("chown root:{} {shown} && chmod 0640 {shown}", self.group);
            barriers.push((whole, hint));
        }
        barriers
    }

    fn may(&self, found: &Metadata, bit: u32) -> bool {
        let shift = match found {
            _ if self.user == 0 => return true,
            found if found.uid() == self.user => 6,
            found if self.groups.contains(&found.gid()) => 3,
            _ => 0,
        };
        found.mode() >> shift & bit == bit
    }
}

/// The real files, and which of them were asked for.
struct Noted {
    paths: RefCell<Vec<PathBuf>>,
}
impl Secrets for Noted {
    fn file(&self, path: &Path) -> Result<Secret, Refusal> {
        self.paths.borrow_mut().push(path.to_owned());
        System.file(path)
    }
    fn certificate(&self, path: &Path) -> Result<Vec<u8>, Refusal> {
        self.paths.borrow_mut().push(path.to_owned());
        System.certificate(path)
    }
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        System.env(name)
    }
    fn program(&self, path: &Path) -> Result<(), Refusal> {
        hook::program(path)
    }
    fn user(&self, name: &str) -> Option<(u32, u32)> {
        System.user(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    fn file(path: &Path, mode: u32) -> Metadata {
        std::fs::write(path, "x").unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        path.metadata().unwrap()
    }

    #[test]
    fn the_daemons_group_may_read_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.psk");
        let (user, group) = (folder.path().metadata().unwrap().uid(), folder.path().metadata().unwrap().gid());
        let with = Trusted { users: vec![0, user], groups: vec![group], daemon: true };
        let without = Trusted::new([0, user], [Some(group.wrapping_add(1)), None]);
        for (mode, there, elsewhere) in [
            (0o600, true, true),
            (0o640, true, false),
            (0o660, false, false),
            (0o644, false, false),
            (0o400, true, true),
        ] {
            let found = file(&path, mode);
            assert_eq!(with.closed(&path, &found).is_ok(), there, "{mode:o}");
            assert_eq!(without.closed(&path, &found).is_ok(), elsewhere, "{mode:o}");
            std::fs::remove_file(&path).unwrap();
        }
        let found = file(&path, 0o644);
        assert!(with.closed(&path, &found).unwrap_err().hint.contains("chown root:sandhogd"));
        assert!(without.closed(&path, &found).unwrap_err().hint.starts_with("chmod 600"));
        assert!(Trusted::new([0], [Some(0), None]).groups.is_empty(), "of root's group there may be others");
    }

    #[test]
    fn who_could_put_another_in_its_place_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.psk");
        let found = file(&path, 0o600);
        let trusted = Trusted::new([0, found.uid()], [None, None]);
        let judge = |mode: u32| {
            std::fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            trusted.firm(&path, &found).map_err(|refusal| refusal.hint)
        };
        assert_eq!((judge(0o755), judge(0o1777)), (Ok(()), Ok(())));
        assert!(judge(0o777).unwrap_err().contains("chmod go-w"));
        assert!(judge(0o770).unwrap_err().contains("chmod go-w"));
        judge(0o700).unwrap();
        let other = Trusted::new([found.uid().wrapping_add(1)], [None, None]);
        assert!(other.firm(&path, &found).unwrap_err().message.contains("belongs to user"));
    }

    #[test]
    fn a_new_secret_is_for_the_daemon_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| folder.path().join(name).metadata().unwrap().mode() & 0o777;
        create_for(&folder.path().join("alone"), b"x", None).unwrap();
        let group = folder.path().metadata().unwrap().gid();
        create_for(&folder.path().join("shared"), b"x", Some(group)).unwrap();
        assert_eq!((mode("alone"), mode("shared")), (0o600, 0o640));
        assert!(create_for(&folder.path().join("alone"), b"y", None).is_err(), "it is there");
    }

    #[test]
    fn what_another_user_could_not_read_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let path = folder.path().join("a.psk");
        let found = file(&path, 0o600);
        let nobody = Reader { user: 65_534, groups: &[65_534], group: "nogroup".into() };
        let barriers = nobody.barriers(&path);
        assert!(barriers.iter().any(|(place, _)| place == folder.path()), "{barriers:?}");
        let (place, hint) = barriers.last().unwrap();
        assert!(*place == path && hint.contains("chown root:nogroup") && hint.contains("chmod 0640"), "{barriers:?}");
        let owner = Reader { user: found.uid(), groups: &[], group: "x".into() };
        assert!(owner.barriers(&path).is_empty());
        if chown(&path, None, Some(65_534)).is_ok() {
            std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
            assert!(nobody.barriers(&path).is_empty());
        }
    }
}
