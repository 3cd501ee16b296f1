//! `sandhog pki`: an authority in a folder, certificates for gateways, and revocation.
//!
//! The folder holds `ca.pem`, `ca.key`, `crl.pem` and `revoked`, one serial number and time in each line.
use super::output;
use crate::config::permissions;
use crate::crypto::cert::{Certificate, date};
use crate::crypto::issue::{self, Issuer, NewKey, Revoked, Validity, Wanted};
use crate::crypto::secret::Secret;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// Clocks differ: what is issued now is valid since an hour ago.
const EARLIER: Duration = Duration::from_secs(3600);

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a new authority
    Ca {
        /// Its name
        #[arg(long)]
        name: String,
        /// Folder for ca.pem, ca.key and crl.pem
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How long it is valid
        #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u64).range(1..=36500))]
        days: u64,
        /// Kind of its key
        #[arg(long, default_value = "ecdsa256")]
        key: Kind,
    },
    /// Issue a certificate for a gateway, and make its key
    Issue {
        /// Folder of the authority
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// Name of the gateway, and of the files NAME.pem and NAME.key
        #[arg(long)]
        name: String,
        /// Identities: addresses, names, user@name [default: the name]
        #[arg(long, value_name = "ID")]
        san: Vec<String>,
        /// Folder for the files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How long it is valid
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=36500))]
        days: u64,
        /// Kind of the key
        #[arg(long, default_value = "ecdsa256")]
        key: Kind,
        /// A private key that is there already (PEM, PKCS#8; RSA, too)
        #[arg(long, value_name = "FILE", conflicts_with = "key")]
        key_file: Option<PathBuf>,
        /// Where the revocation list will be
        #[arg(long, value_name = "URL")]
        crl: Option<String>,
    },
    /// Revoke a certificate, and renew the revocation list
    Revoke {
        /// Folder of the authority
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// How long the list is good
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: u64,
        /// The certificate
        file: PathBuf,
    },
    /// Renew the revocation list
    Crl {
        /// Folder of the authority
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// How long it is good
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: u64,
    },
    /// Show what is in a file of certificates
    Show {
        /// PEM or DER
        file: PathBuf,
    },
}
/// Kinds of keys that are made here.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Kind {
    Ecdsa256,
    Ecdsa384,
    Ed25519,
}
impl From<Kind> for NewKey {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ecdsa256 => Self::Ecdsa256,
            Kind::Ecdsa384 => Self::Ecdsa384,
            Kind::Ed25519 => Self::Ed25519,
        }
    }
}

/// Files that were written.
#[derive(serde::Serialize)]
struct Written {
    files: Vec<PathBuf>,
}
/// What a certificate says.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Shown {
    subject: String,
    issuer: String,
    serial: String,
    not_before: String,
    not_after: String,
    names: Vec<String>,
    key: String,
    authority: bool,
    crl: Vec<String>,
}

/// 0 if it was done, 1 if not.
pub(super) fn run(command: Command, json: bool) -> ExitCode {
    let now = Duration::from_secs(jiff::Timestamp::now().as_second().try_into().unwrap_or_default());
    let done = match command {
        Command::Show { file } => show(&file).map(|shown| tell_shown(&shown, json)),
        other => write(other, now).map(|files| tell_written(files, json)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandhog pki: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does it; the files that were written.
pub(super) fn write(command: Command, now: Duration) -> Result<Vec<PathBuf>, String> {
    let valid = |days: u64| Validity { from: now.saturating_sub(EARLIER), until: now + DAY * days as u32 };
    match command {
        Command::Ca { name, out, days, key } => {
            let made = issue::authority(&name, key.into(), valid(days))?;
            let key = made.key.ok_or("no key was made")?;
            folder(&out)?;
            let (ca, own) = (out.join("ca.pem"), out.join("ca.key"));
            create(&own, key.expose(), 0o600)?;
            create(&ca, made.certificate.as_bytes(), 0o644)?;
            let list = renew(&out, now, 30)?;
            Ok(vec![ca, own, list])
        }
        Command::Issue { ca, name, san, out, days, key, key_file, crl } => {
            if name.contains(['/', '\0']) || name.starts_with('.') {
                return Err(format!("{name:?} cannot be the name of a file"));
            }
            let names = if san.is_empty() { vec![name.clone()] } else { san };
            let given = key_file.map(|file| secret(&file)).transpose()?;
            let (kind, crl, validity) = (key.into(), crl.as_deref(), valid(days));
            let wanted = Wanted { name: &name, names: &names, key: given.as_ref(), kind, validity, crl };
            let issued = issuer(&ca)?.issue(&wanted)?;
            permissions::create_folder(&out).map_err(|e| format!("{}: {e}", out.display()))?;
            let (file, own) = (out.join(format!("{name}.pem")), out.join(format!("{name}.key")));
            let mut files = vec![file.clone()];
            if let Some(key) = issued.key {
                // Unlike the authority's, the daemon is to read it.
                permissions::create_secret(&own, key.expose()).map_err(|e| format!("{}: {e}", own.display()))?;
                files.push(own);
            }
            create(&file, issued.certificate.as_bytes(), 0o644)?;
            Ok(files)
        }
        Command::Revoke { ca, days, file } => {
            let issuer = issuer(&ca)?;
            let certificate = Certificate::read(&octets(&file)?)?.swap_remove(0);
            if certificate.issuer() != issuer.certificate().subject() {
                return Err(format!("{} is from another authority", file.display()));
            }
            let mut all = revoked(&ca)?;
            if all.iter().all(|known| known.serial != certificate.serial()) {
                all.push(Revoked { serial: certificate.serial().to_vec(), since: now });
                let line = |r: &Revoked| format!("{} {}\n", hex::encode(&r.serial), r.since.as_secs());
                replace(&ca.join("revoked"), all.iter().map(line).collect::<String>().as_bytes())?;
            }
            Ok(vec![ca.join("revoked"), renew(&ca, now, days)?])
        }
        Command::Crl { ca, days } => Ok(vec![renew(&ca, now, days)?]),
        Command::Show { .. } => Ok(Vec::new()),
    }
}
fn renew(ca: &Path, now: Duration, days: u64) -> Result<PathBuf, String> {
    let validity = Validity { from: now.saturating_sub(EARLIER), until: now + DAY * days as u32 };
    let list = issuer(ca)?.list(&revoked(ca)?, validity)?;
    let file = ca.join("crl.pem");
    replace(&file, list.as_bytes())?;
    Ok(file)
}
fn issuer(ca: &Path) -> Result<Issuer, String> {
    Issuer::load(&octets(&ca.join("ca.pem"))?, &secret(&ca.join("ca.key"))?)
}
fn revoked(ca: &Path) -> Result<Vec<Revoked>, String> {
    let file = ca.join("revoked");
    let lines = match fs::read_to_string(&file) {
        Ok(lines) => lines,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let one = |line: &str| {
        let (serial, since) = line.split_once(' ')?;
        let since = Duration::from_secs(since.parse::<u32>().ok()?.into());
        Some(Revoked { serial: hex::decode(serial).ok()?, since })
    };
    let all = lines.lines().map(|line| one(line).ok_or_else(|| format!("{}: broken line", file.display())));
    all.collect()
}

fn show(file: &Path) -> Result<Vec<Shown>, String> {
    let all = Certificate::read(&octets(file)?).map_err(|e| format!("{}: {e}", file.display()))?;
    let one = |c: &Certificate| Shown {
        subject: output::plain(&c.subject_text()),
        issuer: output::plain(&c.issuer_text()),
        serial: hex::encode(c.serial()),
        not_before: date(c.not_before()),
        not_after: date(c.not_after()),
        names: c.names().iter().map(|name| output::plain(&name.to_string())).collect(),
        key: c.key().map_or_else(ToString::to_string, |key| key.kind().to_string()),
        authority: c.is_marked_authority(),
        crl: c.crl_locations().iter().map(|url| output::plain(url)).collect(),
    };
    Ok(all.iter().map(one).collect())
}
fn tell_shown(shown: &[Shown], json: bool) {
    if json {
        return output::json(&shown);
    }
    for c in shown {
        let lines = [
            ("subject", c.subject.clone()),
            ("issuer", c.issuer.clone()),
            ("names", c.names.join(", ")),
            ("valid", format!("{} to {}", c.not_before, c.not_after)),
            ("key", c.key.clone()),
            ("serial", c.serial.clone()),
            ("revocation", c.crl.join(", ")),
        ];
        for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            output::text(&format!("{name:<11} {value}"));
        }
        output::text("");
    }
}
fn tell_written(files: Vec<PathBuf>, json: bool) {
    if json {
        return output::json(&Written { files });
    }
    for file in files {
        output::text(&format!("wrote {}", file.display()));
    }
}

fn folder(path: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| format!("{}: {e}", path.display()))
}
/// A new file; one that is there stays as it is.
fn create(path: &Path, octets: &[u8], mode: u32) -> Result<(), String> {
    let said = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(said)?;
    file.write_all(octets).and_then(|()| file.sync_all()).map_err(said)
}
/// A file that others may be reading: whole or as it was.
fn replace(path: &Path, octets: &[u8]) -> Result<(), String> {
    let beside = path.with_extension("new");
    let said = |e: std::io::Error| format!("{}: {e}", path.display());
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(said(error)),
        _ => create(&beside, octets, 0o644)?,
    }
    fs::rename(&beside, path).map_err(said)
}
fn octets(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}
fn secret(path: &Path) -> Result<Secret, String> {
    octets(path).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: Duration = Duration::from_secs(1_795_305_600);

    fn ca(out: &Path) -> Command {
        Command::Ca { name: "Test".into(), out: out.into(), days: 3650, key: Kind::Ecdsa256 }
    }
    fn gateway(ca: &Path, out: &Path) -> Command {
        Command::Issue {
            ca: ca.into(),
            name: "gw1.example".into(),
            san: vec!["gw1.example".into(), "192.0.2.1".into()],
            out: out.into(),
            days: 365,
            key: Kind::Ed25519,
            key_file: None,
            crl: Some("http://crl.example/ca.crl".into()),
        }
    }

    #[test]
    fn an_authority_a_gateway_and_a_revocation() {
        let folder = tempfile::tempdir().unwrap();
        let (authority, out) = (folder.path().join("ca"), folder.path().join("gw"));
        write(ca(&authority), NOW).unwrap();
        let files = write(gateway(&authority, &out), NOW).unwrap();
        assert_eq!(files, [out.join("gw1.example.pem"), out.join("gw1.example.key")]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&files[1]), mode(&authority.join("ca.key"))), (0o600, 0o600));
        let shown = show(&files[0]).unwrap().remove(0);
        assert_eq!((shown.subject.as_str(), shown.issuer.as_str()), ("CN=gw1.example", "CN=Test"));
        assert_eq!((shown.names, shown.key), (vec!["gw1.example".into(), "192.0.2.1".into()], "Ed25519".into()));
        assert!(!shown.authority && show(&authority.join("ca.pem")).unwrap()[0].authority);
        for _ in 0..2 {
            write(Command::Revoke { ca: authority.clone(), days: 30, file: files[0].clone() }, NOW).unwrap();
            assert_eq!(revoked(&authority).unwrap().len(), 1);
        }
        let list = crate::crypto::cert::Crl::read(&fs::read(authority.join("crl.pem")).unwrap()).unwrap();
        assert_eq!(list[0].next_update(), Some(NOW + DAY * 30));
    }

    #[test]
    fn no_key_is_ever_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (authority, out) = (folder.path().join("ca"), folder.path().join("gw"));
        write(ca(&authority), NOW).unwrap();
        write(gateway(&authority, &out), NOW).unwrap();
        let all = || {
            [authority.join("ca.key"), authority.join("ca.pem"), out.join("gw1.example.key")]
                .map(|f| fs::read(f).unwrap())
        };
        let before = all();
        assert!(write(ca(&authority), NOW).is_err());
        assert!(write(gateway(&authority, &out), NOW).is_err());
        assert_eq!(all(), before);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        write(ca(&one), NOW).unwrap();
        assert!(write(gateway(&two, &one), NOW).unwrap_err().contains("ca.pem"));
        let mut other = gateway(&one, &one);
        if let Command::Issue { name, .. } = &mut other {
            *name = "../x".into();
        }
        assert!(write(other, NOW).unwrap_err().contains("file"));
        assert!(show(&one.join("ca.key")).is_err());
        fs::write(one.join("revoked"), "xyz\n").unwrap();
        assert!(write(Command::Crl { ca: one, days: 1 }, NOW).unwrap_err().contains("broken"));
    }
}
