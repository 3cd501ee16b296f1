//! A document as the store keeps it: the files' texts and each secret of the API in files of their own, here their references.
use crate::config::Source;
use crate::config::document::{API, Desired};
use crate::crypto::secret::Secret;
use crate::daemon::store::{Error, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    files: Vec<KeptFile>,
    /// JSON, its secrets `"***"`. As text: the order of its keys counts.
    api: String,
    /// By their JSON pointers.
    secrets: BTreeMap<String, String>,
}
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    name: PathBuf,
    /// There may be secrets in it.
    text: String,
}

/// The document with references, and what they refer to.
pub(super) fn pack(store: &Store, desired: &Desired) -> (String, Vec<Secret>) {
    let mut contents = Vec::new();
    let mut refer = |secret: Secret| {
        let reference = store.reference(&secret);
        contents.push(secret);
        reference
    };
    let sources = desired.to_sources();
    let files = (sources.iter().filter(|source| source.name != Path::new(API)))
        .map(|source| KeptFile {
            name: source.name.clone(),
            text: refer(Secret::new(source.text.clone().into_bytes())),
        })
        .collect();
    let secrets = desired.api_secrets().into_iter().map(|(pointer, secret)| (pointer, refer(secret))).collect();
    let kept = Kept { files, api: desired.api_json(), secrets };
    (serde_json::to_string(&kept).unwrap_or_default(), contents)
}

/// The document of a revision: the files as they were then, and what the API wanted.
pub(super) fn unpack(store: &Store, number: u64) -> Result<Desired, String> {
    let kept = read(store, number)?;
    let files = kept.files.iter().map(|file| {
        let text = store.secret(&file.text).map_err(|error| error.to_string())?;
        let text = String::from_utf8(text.expose().to_vec()).map_err(|error| error.to_string())?;
        Ok(Source { name: file.name.clone(), text })
    });
    let files = files.collect::<Result<Vec<Source>, String>>()?;
    with_api(store, &kept, &files)
}

/// What the API wanted in a revision, beside other files.
pub(super) fn beside(store: &Store, number: u64, files: &[Source]) -> Result<Desired, String> {
    with_api(store, &read(store, number)?, files)
}

fn read(store: &Store, number: u64) -> Result<Kept, String> {
    let text = store.document(number).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|_| Error::Damaged(format!("revision {number}")).to_string())
}

fn with_api(store: &Store, kept: &Kept, files: &[Source]) -> Result<Desired, String> {
    let files = Desired::from_sources(files).map_err(|errors| errors.to_string())?;
    let mut api = Desired::from_json(kept.api.as_bytes()).map_err(|errors| errors.to_string())?;
    let known = |pointer: &str| store.secret(kept.secrets.get(pointer)?).ok();
    api.restore_secrets(known).map_err(|errors| errors.to_string())?;
    files.put(api).map_err(|errors| errors.to_string())
}
