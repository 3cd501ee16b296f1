//! `[gateway] hook`: a program that is told of changes.
use super::keys::{self, Fields};
use super::report::Report;
use super::secret::{Refusal, Secrets};
use super::text::Node;
use super::{Hook, value};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who runs it unless said otherwise.
const USER: &str = "nobody";
/// So long it may take unless said otherwise,
const TIMEOUT: Duration = Duration::from_secs(10);
/// and if it is,
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// Folders and symbolic links on the way to it; the kernel follows no more than 40 links either.
const MOST_STEPS: usize = 256;

/// Reads the table.
pub(super) fn read(report: &mut Report<'_>, node: &Node, from: &dyn Secrets) -> Option<Hook> {
    let fields = Fields::of_node(report, &keys::HOOK, node)?;
    let Some(entry) = fields.entry("command") else {
        let hint = "command = [\"/usr/local/sbin/notify\"], with arguments if it needs some";
        return report.refuse(node.at, "hook.command", "the hook has no command", hint);
    };
    let command = fields.read(report, "command", |r, n| command(r, n, from));
    let user = match fields.entry("user") {
        Some(entry) => user_of(report, &entry.node, from),
        None => from.user(USER).or_else(|| {
            let hint = "add user = \"...\": who runs the hook";
            report.refuse(entry.at, "hook.user", format!("this machine has no user `{USER}`"), hint)
        }),
    };
    let timeout = match fields.entry("timeout") {
        Some(entry) => timeout(report, &entry.node),
        None => Some(TIMEOUT),
    };
    let (uid, gid) = user?;
    Some(Hook { command: command?, uid, gid, timeout: timeout? })
}

fn command(report: &mut Report<'_>, node: &Node, from: &dyn Secrets) -> Option<Vec<String>> {
    let mut first = true;
    let words = value::list_of_some(report, node, |report, node| {
        if !std::mem::take(&mut first) {
            let word = value::string(report, node)?;
            return if word.contains('\0') {
                report.refuse(node.at, "hook.command", "an argument cannot contain a zero octet", "leave it out")
            } else {
                Some(word.to_owned())
            };
        }
        let path = value::path(report, node)?;
        if let Err(Refusal { code, message, hint }) = from.program(&path) {
            return report.refuse(node.at, code, message, hint);
        }
        value::string(report, node).map(str::to_owned)
    })?;
    Some(words.into_iter().map(|(word, _)| word).collect())
}
fn user_of(report: &mut Report<'_>, node: &Node, from: &dyn Secrets) -> Option<(u32, u32)> {
    let name = value::string(report, node)?;
    from.user(name).or_else(|| {
        let hint = "a user of /etc/passwd; \"nobody\" has the fewest rights";
        report.refuse(node.at, "hook.user", format!("this machine has no user {name:?}"), hint)
    })
}
fn timeout(report: &mut Report<'_>, node: &Node) -> Option<Duration> {
    let time = value::duration(report, node)?;
    if (SHORTEST..=LONGEST).contains(&time) {
        return Some(time);
    }
    report.refuse(node.at, "value.range", format!("{time:?} is out of range"), "from \"1s\" to \"5m\"")
}

/// A program that nobody but root and who runs the daemon can change or exchange.
pub(super) fn program(path: &Path) -> Result<(), Refusal> {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return refuse(format!("cannot find {shown}: {error}"), "the path of a program"),
    };
    if !found.is_file() || found.mode() & 0o111 == 0 {
        return refuse(format!("{shown} is not a program"), format!("chmod +x {shown}, or name another"));
    }
    if found.mode() & 0o022 != 0 {
        return refuse(
            format!("others can change {shown} (mode {:03o})", found.mode() & 0o777),
            format!("chmod go-w {shown}"),
        );
    }
    let (us, _) = super::own::ids();
    owned(path, &found, us)?;
    way(path, us)
}
/// All folders and links that lead to a program, as the kernel goes: who may write into a folder, or owns it, can exchange what it holds.
fn way(path: &Path, us: u32) -> Result<(), Refusal> {
    let mut at = PathBuf::from("/");
    let reversed = |path: &Path| path.iter().rev().map(OsStr::to_owned).collect::<Vec<OsString>>();
    let mut steps = reversed(path);
    for _ in 0..MOST_STEPS {
        let Some(step) = steps.pop() else { return Ok(()) };
        if step == ".." {
            at.pop();
            continue;
        }
        // The `/` of an absolute path takes the place of all that was there.
        let next = at.join(step);
        let unseen = |error| refuse(format!("cannot look at {}: {error}", next.display()), "the path of a program");
        let found = match next.symlink_metadata() {
            Ok(found) => found,
            Err(error) => return unseen(error),
        };
        owned(&next, &found, us)?;
        if found.is_symlink() {
            match fs::read_link(&next) {
                Ok(target) => steps.extend(reversed(&target)),
                Err(error) => return unseen(error),
            }
            continue;
        }
        // In one with the sticky bit only its owner can put another file in the place of one.
        if found.is_dir() && found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0 {
            let folder = next.display();
            return refuse(format!("others can change what is in {folder}"), format!("chmod go-w {folder}"));
        }
        at = next;
    }
    refuse(format!("{} leads through too many folders and links", path.display()), "a shorter way to the program")
}
fn owned(path: &Path, found: &fs::Metadata, us: u32) -> Result<(), Refusal> {
    if [0, us].contains(&found.uid()) {
        return Ok(());
    }
    let shown = path.display();
    let link = if found.is_symlink() { "-h " } else { "" };
    refuse(format!("{shown} belongs to user {}", found.uid()), format!("chown {link}root {shown}"))
}
fn refuse(message: String, hint: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal { code: "hook.program", message, hint: hint.into() })
}
/// Number and group of a user, by the text of `/etc/passwd`.
pub(super) fn user(name: &str, passwd: &str) -> Option<(u32, u32)> {
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| !name.is_empty() && fields.first() == Some(&name))?;
    Some((found.get(2)?.parse().ok()?, found.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:\nbroken:x:y\n\n";
        assert_eq!(user("nobody", passwd), Some((65_534, 65_533)));
        assert_eq!(["nobo", "", "broken", "x"].map(|name| user(name, passwd)), [None; 4]);
    }

    #[test]
    fn a_program_that_others_can_change_is_not_run() {
        let folder = std::env::temp_dir().join(format!("sandhog-program-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let path = folder.join("hook");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let judge = |of_folder: u32, of_file: u32| {
            fs::set_permissions(&folder, Permissions::from_mode(of_folder)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(of_file)).unwrap();
            program(&path).map_err(|refusal| refusal.hint)
        };
        assert_eq!(judge(0o755, 0o755), Ok(()));
        assert_eq!(judge(0o1777, 0o700), Ok(()));
        assert!(judge(0o755, 0o644).unwrap_err().contains("chmod +x"));
        assert!(judge(0o755, 0o775).unwrap_err().contains("go-w"));
        assert!(judge(0o777, 0o755).unwrap_err().contains("go-w"));
        assert!(program(&folder).is_err() && program(Path::new("/nonexistent/hook")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
    #[test]
    fn nobody_else_owns_what_leads_to_a_program() {
        let folder = std::env::temp_dir().join(format!("sandhog-way-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let [real, open, links] = ["real", "open", "links"].map(|name| folder.join(name));
        for made in [&folder, &real, &open, &links] {
            fs::create_dir(made).unwrap();
            fs::set_permissions(made, Permissions::from_mode(0o755)).unwrap();
        }
        for made in [&real, &open] {
            fs::write(made.join("hook"), "#!/bin/sh\n").unwrap();
            fs::set_permissions(made.join("hook"), Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        // A link in a safe folder to one that others can write into, one the other way about, and one that only passes through.
        symlink("../real/hook", links.join("good")).unwrap();
        symlink(open.join("hook"), links.join("bad")).unwrap();
        symlink("../open/link", links.join("through")).unwrap();
        symlink(real.join("hook"), open.join("link")).unwrap();
        symlink("../real", links.join("folder")).unwrap();
        let judge = |name: &str| program(&links.join(name)).map_err(|refusal| refusal.message);
        assert_eq!([judge("good"), judge("folder/hook"), judge("folder/../real/hook")], [Ok(()), Ok(()), Ok(())]);
        for name in ["bad", "through", "folder/../open/hook"] {
            assert!(judge(name).unwrap_err().contains("others can change what is in"), "{name}");
        }
        match chown(&real, Some(65_534), None) {
            Ok(()) => {
                assert!(judge("good").unwrap_err().contains("/real belongs to user 65534"), "{:?}", judge("good"))
            }
            Err(error) => eprintln!("SKIPPED: a folder of another user: {error}"),
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
