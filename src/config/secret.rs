//! Pre-shared keys: the text itself, a file, or the environment.
use super::document::REDACTED;
use super::facing::{PLACEHOLDER, PPK_PLACEHOLDER};
use super::hook;
use super::keys::{self, Fields};
use super::permissions::Trusted;
use super::report::Report;
use super::text::{At, Entry, Node};
use super::value;
use crate::crypto::secret::Secret;
use crate::ike::policy::{IdMatch, SharedSecret};
use crate::io::plain;
use crate::wire::payload::Id;
use base64::Engine as _;
use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

/// Largest secret, wherever it comes from, in octets.
const LARGEST: u64 = 64 * 1024;
/// Largest file of certificates or revocation lists, in octets.
const LARGEST_LIST: u64 = 16 * 1024 * 1024;
/// A shorter one is warned of, in octets.
const STRONG: usize = 16;
/// What people write before they think of something better.
const GUESSED: [&str; 8] = ["changeme", "secret", "password", "passw0rd", "test", "testing", "psk", "12345678"];
/// What we write in the place of secrets.
const PLACEHOLDERS: [&str; 2] = [PLACEHOLDER, PPK_PLACEHOLDER];

/// Reads what the configuration points to; a test has its own.
pub trait Secrets {
    /// Contents of a secret file.
    ///
    /// # Errors
    /// Why not; never shows any of the contents.
    fn file(&self, path: &Path) -> Result<Secret, Refusal>;
    /// Contents of a file of certificates or revocation lists: no secret, so that others may read it.
    ///
    /// # Errors
    /// Why not.
    fn certificate(&self, path: &Path) -> Result<Vec<u8>, Refusal> {
        self.file(path).map(|file| file.expose().to_vec())
    }
    /// Value of an environment variable.
    fn env(&self, name: &str) -> Option<Vec<u8>>;
    /// Looks at a program that the daemon would run.
    ///
    /// # Errors
    /// Why it is not to be run.
    fn program(&self, path: &Path) -> Result<(), Refusal>;
    /// Number and group of a user of this machine.
    fn user(&self, name: &str) -> Option<(u32, u32)>;
    /// Nothing secret is opened: who reads the configuration wants to know what it says otherwise.
    fn withholds(&self) -> bool {
        false
    }
}

/// The real files, but no secrets: each is what stands in its place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Withheld;
impl Secrets for Withheld {
    fn file(&self, _: &Path) -> Result<Secret, Refusal> {
        Ok(Secret::new(REDACTED.into()))
    }
    fn certificate(&self, path: &Path) -> Result<Vec<u8>, Refusal> {
        System.certificate(path)
    }
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        Some(REDACTED.into())
    }
    fn program(&self, _: &Path) -> Result<(), Refusal> {
        Ok(())
    }
    fn user(&self, name: &str) -> Option<(u32, u32)> {
        System.user(name).or(Some((0, 0)))
    }
    fn withholds(&self) -> bool {
        true
    }
}

/// Why a secret file is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `secret.file` or `secret.permissions`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The real files and the real environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;
impl Secrets for System {
    /// Only a regular file of at most 64 KiB that belongs to root or to us, that nobody else may touch, but the daemon's own group may read, and that nobody
    /// else can exchange; never through a symbolic link in the last place.
    fn file(&self, path: &Path) -> Result<Secret, Refusal> {
        let shown = path.display();
        let refuse = |message: String, hint: &str| Refusal { code: "secret.file", message, hint: hint.into() };
        let failed = |error: std::io::Error| {
            refuse(
                format!("cannot read {shown}: {error}"),
                "a path that the daemon can read; relative ones start where this file is",
            )
        };
        let (file, opened) = plain::open(path, false).map_err(failed)?;
        let trusted = Trusted::here();
        trusted.closed(path, &opened)?;
        trusted.firm(path, &opened)?;
        // Room for all of it from the beginning: what grows leaves copies behind.
        let mut octets = Vec::with_capacity(opened.len().min(LARGEST) as usize + 64);
        file.take(LARGEST + 1).read_to_end(&mut octets).map_err(failed)?;
        if octets.len() as u64 > LARGEST {
            return Err(refuse(format!("{shown} is larger than 64 KiB"), "a secret is a few dozen octets"));
        }
        Ok(Secret::new(octets))
    }

    /// At most 16 MiB.
    fn certificate(&self, path: &Path) -> Result<Vec<u8>, Refusal> {
        let refuse = |message: String| Refusal {
            code: "file.unreadable",
            message,
            hint: "a path that the daemon can read; relative ones start where this file is".into(),
        };
        let failed = |error: std::io::Error| refuse(format!("cannot read {}: {error}", path.display()));
        let (file, _) = plain::open(path, true).map_err(failed)?;
        let mut octets = Vec::new();
        file.take(LARGEST_LIST + 1).read_to_end(&mut octets).map_err(failed)?;
        if octets.len() as u64 > LARGEST_LIST {
            return Err(refuse(format!("{} is larger than 16 MiB", path.display())));
        }
        Ok(octets)
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        use std::os::unix::ffi::OsStringExt;
        std::env::var_os(name).map(OsStringExt::into_vec)
    }

    fn program(&self, path: &Path) -> Result<(), Refusal> {
        hook::program(path)
    }

    fn user(&self, name: &str) -> Option<(u32, u32)> {
        hook::user(name, &std::fs::read_to_string("/etc/passwd").ok()?)
    }
}

/// All secrets, each broken one reported.
pub(super) fn read(report: &mut Report<'_>, entries: &[Entry], from: &dyn Secrets) -> Vec<SharedSecret> {
    let mut owners: HashMap<Option<Id>, &str> = HashMap::new();
    let mut secrets = Vec::new();
    for entry in entries {
        value::name(report, entry);
        let Some(fields) = Fields::of_node(report, &keys::SECRET, &entry.node) else { continue };
        let ids = ids(report, entry, &fields);
        for (id, at) in ids.iter().flatten() {
            let owner = match id {
                IdMatch::Exact(id) => Some(id.clone()),
                IdMatch::Any => None,
            };
            if let Some(other) = owners.insert(owner, &entry.key) {
                let message = format!("{} already has the secret `{other}`", shown(id));
                report.error(*at, "secret.duplicate", message, "one secret for each identity");
            }
        }
        if let (Some(ids), Some(secret)) = (ids, octets(report, entry, &fields, from)) {
            let ids = ids.into_iter().map(|(id, _)| id).collect();
            secrets.push(SharedSecret { name: entry.key.as_str().into(), ids, secret });
        }
    }
    secrets
}

/// An identity as the configuration writes it.
pub(super) fn shown(id: &IdMatch) -> String {
    match id {
        IdMatch::Exact(id) => id.to_string(),
        IdMatch::Any => "%any".into(),
    }
}

/// An identity of a peer, or `%any`.
pub(super) fn owner(report: &mut Report<'_>, node: &Node) -> Option<IdMatch> {
    if value::string(report, node)? == "%any" {
        return Some(IdMatch::Any);
    }
    value::id(report, node).map(IdMatch::Exact)
}

fn ids(report: &mut Report<'_>, entry: &Entry, fields: &Fields<'_>) -> Option<Vec<(IdMatch, At)>> {
    let Some(list) = fields.entry("id") else {
        let message = format!("the secret `{}` does not say whose it is", entry.key);
        return report.refuse(entry.at, "secret.no_id", message, "add id = [\"identity of the peer\"]");
    };
    let ids = value::list_of_some(report, &list.node, owner)?;
    for (_, at) in ids.iter().filter(|(id, _)| *id == IdMatch::Any) {
        let hint = "name the peers that have it, unless all of them do";
        report.warn(*at, "secret.any", "whoever has this secret may claim any identity", hint);
    }
    Some(ids)
}

fn octets(report: &mut Report<'_>, entry: &Entry, fields: &Fields<'_>, from: &dyn Secrets) -> Option<Secret> {
    let given: Vec<&Entry> =
        ["secret", "secret_file", "secret_env"].iter().filter_map(|key| fields.entry(key)).collect();
    let source = match given.as_slice() {
        [one] => *one,
        [] => {
            let message = format!("the secret `{}` has no value", entry.key);
            return report.refuse(entry.at, "secret.none", message, "add secret_file = \"/etc/sandhog/NAME.psk\"");
        }
        [.., last] => {
            let message = format!("the secret `{}` has more than one value", entry.key);
            let hint = "keep one of secret, secret_file and secret_env";
            return report.refuse(last.at, "secret.both", message, hint);
        }
    };
    let node = &source.node;
    let text = value::string(report, node)?;
    let secret = match source.key.as_str() {
        "secret" => Secret::new(inline(report, node, text)?),
        "secret_file" => file(report, node, text, from)?,
        _ => from.env(text).map(Secret::new).or_else(|| {
            let message = format!("there is no environment variable {text:?}");
            report.refuse(node.at, "secret.env", message, "set it for the daemon, or use secret_file")
        })?,
    };
    if secret.is_empty() {
        return report.refuse(node.at, "secret.empty", "this secret is empty", "`sandhog secret` makes a strong one");
    }
    if PLACEHOLDERS.iter().any(|text| text.as_bytes() == secret.expose()) {
        return report.refuse(
            node.at,
            "secret.placeholder",
            "this stands in the place of a secret, and everybody knows it",
            "put the secret here, or let `sandhog peer-config NAME --with-secret` write it at the other end",
        );
    }
    if secret.len() as u64 > LARGEST {
        return report.refuse(
            node.at,
            "secret.large",
            "this secret is larger than 64 KiB",
            "a secret is a few dozen octets",
        );
    }
    let guessed = GUESSED.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(secret.expose()));
    if secret.len() < STRONG || guessed {
        let message = "this secret can be guessed: whoever sees one handshake may try all short ones at leisure";
        report.warn(node.at, "secret.weak", message, "`sandhog secret` makes a strong one");
    }
    Some(secret)
}

/// As is, or `0x` and hex, or `0s` and base64.
fn inline(report: &mut Report<'_>, node: &Node, text: &str) -> Option<Vec<u8>> {
    let (octets, form) = if let Some(digits) = text.strip_prefix("0x") {
        (hex::decode(digits).ok(), "0x and an even number of hex digits")
    } else if let Some(encoded) = text.strip_prefix("0s") {
        (base64::engine::general_purpose::STANDARD.decode(encoded).ok(), "0s and base64 with its padding")
    } else {
        (Some(text.as_bytes().to_vec()), "")
    };
    let hint = "correct it, or use secret_file for a secret that begins like that";
    octets.or_else(|| report.refuse(node.at, "secret.encoding", format!("this is not {form}"), hint))
}

fn file(report: &mut Report<'_>, node: &Node, path: &str, from: &dyn Secrets) -> Option<Secret> {
    let path = report.directory(node.at.file).join(path);
    match from.file(&path) {
        Ok(file) => {
            let octets = file.expose();
            Some(Secret::new(octets.strip_suffix(b"\n").unwrap_or(octets).to_vec()))
        }
        Err(refusal) => report.refuse(node.at, refusal.code, refusal.message, refusal.hint),
    }
}
