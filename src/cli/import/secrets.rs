//! swanctl's `secrets` in TOML and in files.
//!
//! With swanctl a secret belongs to all its identities together, with us to each peer by itself: so our own identities are left out.
use super::report::{Fate, Notes, Reader};
use super::syntax::Section;
use super::translate::{array, table_name};
use crate::crypto::secret::Secret;
use base64::Engine as _;
use std::collections::{BTreeMap, BTreeSet};

/// A file with nothing but a secret.
#[derive(Debug)]
pub(super) struct SecretFile {
    pub name: String,
    pub octets: Secret,
}

/// Who the ends of the translated connections are.
#[derive(Debug, Default)]
pub(super) struct Owners {
    ours: BTreeSet<String>,
    theirs: BTreeSet<String>,
    /// Identities of peers by ours.
    peers: BTreeMap<String, BTreeSet<String>>,
}
impl Owners {
    /// Addresses of both ends, and their identities if they are given.
    pub(super) fn add(
        &mut self,
        local: &[String],
        remote: &[String],
        (local_id, remote_id): (Option<String>, Option<String>),
    ) {
        let ours: Vec<_> = local_id.map_or_else(|| local.to_vec(), |id| vec![id]);
        let theirs: Vec<_> = remote_id.map_or_else(|| remote.to_vec(), |id| vec![id]);
        for one in &ours {
            self.peers.entry(one.clone()).or_default().extend(theirs.iter().cloned());
        }
        self.ours.extend(ours);
        self.theirs.extend(theirs);
    }

    /// Whose a secret with these identities is.
    fn of<'i>(&'i self, ids: &[&'i str]) -> BTreeSet<&'i str> {
        let named: BTreeSet<_> =
            ids.iter().copied().filter(|id| self.theirs.contains(*id) || !self.ours.contains(*id)).collect();
        if !named.is_empty() {
            return named;
        }
        let of_ours: BTreeSet<_> =
            ids.iter().filter_map(|id| self.peers.get(*id)).flatten().map(String::as_str).collect();
        if of_ours.is_empty() { BTreeSet::from(["%any"]) } else { of_ours }
    }
}

/// TOML of all secrets, and their files.
pub(super) fn translate(notes: &mut Notes, owners: &Owners, secrets: &Section) -> (String, Vec<SecretFile>) {
    let (mut toml, mut files) = (String::new(), Vec::<SecretFile>::new());
    // Which of the files an identity has.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let top = Reader::top("secrets", secrets);
    for secret in top.sections("") {
        let kind = secret.name;
        if !kind.starts_with("ike") && !kind.starts_with("ppk") {
            notes.add(secret.path.clone(), Fate::Dropped, reason(kind));
            continue;
        }
        let Some(octets) = secret.take("secret").and_then(octets) else {
            notes.add(
                secret.key("secret"),
                Fate::Refused,
                "there is none, or its 0x or 0s is not followed by hex or base64",
            );
            continue;
        };
        let ids: Vec<_> = secret.values("id").into_iter().map(|(_, id)| id).filter(|id| !id.is_empty()).collect();
        let whose = if kind.starts_with("ppk") { ids.into_iter().collect() } else { owners.of(&ids) };
        let (free, held): (Vec<&str>, Vec<&str>) = whose.into_iter().partition(|id| !taken.contains_key(*id));
        if held.iter().any(|id| files[taken[*id]].octets.expose() != octets.expose()) {
            let why = format!("{} has another secret already: with us one identity has one secret", held.join(", "));
            notes.add(secret.path.clone(), Fate::Refused, why);
        }
        if free.is_empty() {
            continue;
        }
        taken.extend(free.iter().map(|id| ((*id).to_owned(), files.len())));
        let mut name = table_name(kind);
        while files.iter().any(|file| file.name == name) {
            name.push('_');
        }
        let ids: Vec<_> = free.iter().map(|id| (*id).to_owned()).collect();
        toml.push_str(&format!("\n[secrets.{name}]\nid = {}\nsecret_file = \"secrets/{name}\"\n", array(&ids)));
        notes.add(secret.key("secret"), Fate::Translated, format!("secrets/{name}"));
        notes.add(secret.key("id"), Fate::Translated, format!("the peer's: {}", ids.join(", ")));
        files.push(SecretFile { name, octets });
        secret.finish(notes, &[]);
    }
    (toml, files)
}

/// As is, or after `0x` and `0s`.
fn octets(text: &str) -> Option<Secret> {
    let octets = match (text.strip_prefix("0x"), text.strip_prefix("0s")) {
        (Some(digits), _) => hex::decode(digits).ok(),
        (_, Some(encoded)) => base64::engine::general_purpose::STANDARD.decode(encoded).ok(),
        _ => Some(text.as_bytes().to_vec()),
    };
    octets.map(Secret::new)
}

fn reason(kind: &str) -> &'static str {
    match kind {
        _ if ["eap", "xauth", "ntlm"].iter().any(|prefix| kind.starts_with(prefix)) => "no EAP, no XAuth",
        _ if kind.starts_with("token") => "no tokens",
        _ => "keys are read without a passphrase: `openssl pkey -in KEY -out NEW` writes one that has none",
    }
}
