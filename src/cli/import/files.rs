//! The files of an import: what is included, certificates and their keys, and what is written.
use super::secrets::SecretFile;
use super::{Credentials, syntax};
use crate::config::permissions;
use crate::crypto::cert::Certificate;
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Largest file, and all that are included together, octets.
const MAX_FILE: u64 = 16 << 20;
const MAX_ALL: u64 = 64 << 20;
/// Files of one folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// A text of bounded size.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE { Err(io::Error::other("it is larger than 16 MiB")) } else { Ok(text) }
}

/// Included files.
#[derive(Debug, Default)]
pub(super) struct Disk {
    read: u64,
}
impl syntax::Files for Disk {
    fn read(&mut self, pattern: &Path) -> Result<Vec<(PathBuf, String)>, String> {
        let mut found = Vec::new();
        for path in matching(pattern) {
            let text = read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            self.read += text.len() as u64;
            if self.read > MAX_ALL {
                return Err("what is included is larger than 64 MiB".into());
            }
            found.push((path, text));
        }
        Ok(found)
    }
}

/// `*` and `?` in the last part of a path; a path without them names itself.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let mut found = entries(pattern.parent().unwrap_or(Path::new(".")));
    found.retain(|path| {
        let entry = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        !entry.starts_with('.') && glob(name.as_bytes(), entry.as_bytes())
    });
    found
}

/// Files of a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).take(MAX_ENTRIES);
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

fn glob(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last star stands, and how much of the name it has taken.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// swanctl's folders, which are beside its file.
#[derive(Debug)]
pub(super) struct Folders(pub PathBuf);
impl Credentials for Folders {
    fn path(&self, folder: &str, name: &str) -> PathBuf {
        // An absolute name stays as it is.
        self.0.join(folder).join(name)
    }
    fn all(&self, folder: &str) -> Vec<PathBuf> {
        entries(&self.0.join(folder))
    }
    fn key_of(&self, certificate: &Path) -> Result<PathBuf, String> {
        let failed = |error: String| format!("{}: {error}", certificate.display());
        let octets = fs::read(certificate).map_err(|error| failed(error.to_string()))?;
        let chain = Certificate::read(&octets).map_err(failed)?;
        let public = chain.first().ok_or_else(|| failed("no certificate".into()))?;
        let public = public.key().map_err(|error| failed(error.to_string()))?;
        let keys = ["private", "pkcs8", "rsa", "ecdsa", "ed25519"].into_iter().flat_map(|folder| self.all(folder));
        let belongs = |path: &PathBuf| {
            let octets = fs::read(path).map(Secret::new);
            octets.is_ok_and(|octets| SigningKey::read(octets.expose()).is_ok_and(|key| key.belongs_to(public)))
        };
        let found = keys.into_iter().find(belongs);
        found.ok_or_else(|| failed("no private key beside it belongs to it, or it has a passphrase".into()))
    }
}

/// Writes what is not there yet: the TOML first.
pub(super) fn write(out: &Path, toml: &str, secrets: &[SecretFile]) -> Result<Vec<PathBuf>, String> {
    let folder = out.join("secrets");
    let named = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    permissions::create_folder(&folder).map_err(|error| named(&folder, error))?;
    let mut written = vec![out.join("sandhog.toml")];
    permissions::create_secret(&written[0], toml.as_bytes()).map_err(|error| named(&written[0], error))?;
    for secret in secrets {
        let path = folder.join(&secret.name);
        // One line end behind a secret is no part of it.
        let octets = Secret::concat(&[secret.octets.expose(), b"\n"]);
        permissions::create_secret(&path, octets.expose()).map_err(|error| named(&path, error))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, fits) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf~", false),
            ("a?c*", "abcd", true),
            ("*a*b", "xaxxb", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let secrets = || vec![SecretFile { name: "ike-a".into(), octets: Secret::new(b"x".to_vec()) }];
        let written = write(&out, "a = 1", &secrets()).unwrap();
        for path in &written {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read(&written[1]).unwrap(), b"x\n");
        assert!(write(&out, "a = 2", &secrets()).unwrap_err().contains("sandhog.toml"));
    }
}
