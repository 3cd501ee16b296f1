//! Tests of the whole: a generator of valid configurations, faults of known classes in them, and single cases.
mod cases;
mod credentials;
mod devices;
mod document;
mod draw;
mod drawn;
mod faults;
mod files;
mod generated;
mod plan;
mod secrets;
mod translate;
mod valid;

use super::secret::Refusal;
use super::{Config, Errors, Secrets, Source};
use crate::crypto::secret::Secret;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Secret files and an environment that exist in a test only.
#[derive(Default)]
pub(super) struct Fake {
    pub files: BTreeMap<PathBuf, Result<Vec<u8>, Refusal>>,
    pub env: BTreeMap<String, Vec<u8>>,
}
impl Secrets for Fake {
    fn file(&self, path: &Path) -> Result<Secret, Refusal> {
        let missing = Refusal { code: "secret.file", message: "no such file".into(), hint: "name another".into() };
        self.files.get(path).cloned().unwrap_or(Err(missing)).map(Secret::new)
    }
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.env.get(name).cloned()
    }
    fn program(&self, path: &Path) -> Result<(), Refusal> {
        let missing = Refusal { code: "hook.program", message: "no such file".into(), hint: "name another".into() };
        if path.starts_with("/missing") { Err(missing) } else { Ok(()) }
    }
    fn user(&self, name: &str) -> Option<(u32, u32)> {
        (name == "nobody").then_some((65_534, 65_534))
    }
}

/// One file without secrets elsewhere.
pub(in crate::config) fn parse(text: &str) -> Result<Config, Errors> {
    super::parse(&[Source { name: "/etc/sandhog/sandhog.toml".into(), text: text.into() }], &Fake::default())
}

/// `code@line` of all errors of one file.
#[track_caller]
pub(in crate::config) fn errors(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err("this should be refused");
    errors.0.iter().map(|e| format!("{}@{}", e.code, e.line)).collect()
}
