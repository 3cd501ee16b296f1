//! The one declarative document: what files and the API want together, object by object, each with its owner.
//!
//! An *object* is the gateway, a connection with its children, a secret or a pool. It belongs to the file that it stands in, or to the API; never to both. Files
//! come first, in their order, then what the API has, in the order in which it was written: the order of connections says which is tried first.
//!
//! In JSON a document has the keys and values that the TOML has:
//! `{"gateway": {}, "connections": {"NAME": {"children": {"NAME": {}}}}, "secrets": {"NAME": {}}, "pools": {"NAME": {}}}`. Whatever is shown of it shows
//! `"***"` in the place of a secret; sent back, that means "unchanged".
//!
//! The API's objects are read by the reader of files, as TOML that is made of them, so that both are held to the same rules. Its findings name the place as a JSON
//! pointer. No path comes in that way: what a file holds is sent itself (`owner.path`).
mod json;
mod outline;
mod paths;
mod render;
mod value;

use super::error::{Errors, Finding};
use super::report::Report;
use super::secret::Secrets;
use super::text::{self, At};
use super::{Config, Source, parse};
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
pub use json::LARGEST;
use render::Rendered;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;
use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use value::{REDACTED, Table, Value};

/// The name of what is no file, for findings.
pub const API: &str = "(api)";

/// The four kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum Kind {
    Gateway,
    Connection,
    Secret,
    Pool,
}
impl Kind {
    /// In the order in which a document shows them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Connection, Self::Secret, Self::Pool];

    /// The top-level key.
    pub fn table(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Connection => "connections",
            Self::Secret => "secrets",
            Self::Pool => "pools",
        }
    }
    fn of_one(self) -> &'static str {
        match self {
            Self::Gateway => "the gateway",
            Self::Connection => "a connection or child",
            Self::Secret => "a secret",
            Self::Pool => "a pool",
        }
    }
}

/// Which object. It is shown as `gateway`, `connections.NAME` ...
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its name; empty for the gateway, of which there is one.
    pub name: Arc<str>,
}
impl Key {
    /// The gateway.
    pub fn gateway() -> Self {
        Self { kind: Kind::Gateway, name: "".into() }
    }
    /// A connection.
    pub fn connection(name: &str) -> Self {
        Self { kind: Kind::Connection, name: name.into() }
    }
    /// A secret.
    pub fn secret(name: &str) -> Self {
        Self { kind: Kind::Secret, name: name.into() }
    }
    /// A pool.
    pub fn pool(name: &str) -> Self {
        Self { kind: Kind::Pool, name: name.into() }
    }
    /// Where it is in the JSON (RFC 6901).
    pub fn pointer(&self) -> String {
        match self.kind {
            Kind::Gateway => json::pointer(&["gateway"]),
            kind => json::pointer(&[kind.table(), &self.name]),
        }
    }
}
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Gateway => f.write_str("gateway"),
            kind => write!(f, "{}.{}", kind.table(), self.name),
        }
    }
}

/// Whose an object is: only its owner changes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// It stands in this file.
    File(PathBuf),
    /// It came over the control socket.
    Api,
}

/// One object. It serializes as its body, secrets redacted.
#[derive(Clone, Debug)]
pub struct Object {
    /// Which one.
    pub key: Key,
    /// Whose it is.
    pub owner: Owner,
    /// Where it begins in its file, from 1; 0 if it is the API's.
    pub line: usize,
    body: Value,
}
impl Object {
    /// Its keys and values.
    pub fn body(&self) -> &Value {
        &self.body
    }
    /// Says the same, whoever owns it.
    pub fn same(&self, other: &Self) -> bool {
        self.body.same(&other.body, false)
    }
    /// The keyed hash of what it says.
    pub fn digest(&self, key: &[u8; 32]) -> [u8; 32] {
        // Room for a secret from the beginning: what grows leaves copies behind.
        let mut octets = Vec::with_capacity(4096);
        Value::String(self.key.to_string()).canonical(false, &mut octets);
        self.body.canonical(false, &mut octets);
        mac(key, octets)
    }
    /// Something secret stands in it, and not in a file of its own.
    pub(super) fn holds_secret(&self) -> bool {
        let mut found = false;
        self.hidden(|_, _| found = true);
        found
    }
    fn hidden<'o>(&'o self, mut found: impl FnMut(String, &'o Secret)) {
        self.body.hidden(&mut Vec::new(), &mut |way, secret| found(self.key.pointer() + &json::pointer(way), secret));
    }
}
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body.serialize(serializer)
    }
}

/// A whole document. It serializes as JSON, secrets redacted, and its `Debug` has names only.
#[derive(Clone, Default)]
pub struct Desired {
    files: Arc<[Source]>,
    /// In the order in which they count.
    objects: Vec<Arc<Object>>,
    index: HashMap<Key, usize>,
}

impl Desired {
    fn new(files: Arc<[Source]>, objects: Vec<Arc<Object>>) -> Self {
        let index = objects.iter().enumerate().map(|(n, object)| (object.key.clone(), n)).collect();
        Self { files, objects, index }
    }

    /// What files say. They are read no further than to know which objects there are: [`Self::check`] tells what is wrong with those.
    ///
    /// # Errors
    /// What is no TOML, is given twice or stands nowhere.
    pub fn from_sources(sources: &[Source]) -> Result<Self, Errors> {
        let mut report = Report::new(sources);
        let mut document = text::Document::read(sources, &mut report);
        let mut objects = Vec::new();
        let mut add = |report: &Report<'_>, key: Key, at: At, mut body: Value| {
            let (file, line) = report.spot(at);
            body.hide(key.kind);
            objects.push(Arc::new(Object { key, owner: Owner::File(file.into()), line, body }));
        };
        if let Some(first) = document.gateway.first() {
            let at = first.at;
            add(&report, Key::gateway(), at, Value::Table(value::table(take(&mut document.gateway))));
        }
        let tables = [
            (Kind::Connection, take(&mut document.connections)),
            (Kind::Secret, take(&mut document.secrets)),
            (Kind::Pool, take(&mut document.pools)),
        ];
        for (kind, entries) in tables {
            for entry in entries {
                add(&report, Key { kind, name: entry.key.into() }, entry.at, entry.node.into());
            }
        }
        let (errors, _) = report.finish();
        if errors.is_empty() { Ok(Self::new(sources.into(), objects)) } else { Err(Errors(errors)) }
    }

    /// What the API says, all of it the API's. Redacted values stay as they are until [`Self::merge_redacted`].
    ///
    /// # Errors
    /// What is no JSON, is given twice, or is too much.
    pub fn from_json(octets: &[u8]) -> Result<Self, Errors> {
        json::document(octets)
    }

    /// What the API says of one object, as [`Self::from_json`].
    ///
    /// # Errors
    /// As above.
    pub fn of_object(key: &Key, octets: &[u8]) -> Result<Self, Errors> {
        Ok(Self::new(Arc::default(), vec![json::one(key, octets)?]))
    }

    /// All objects in the order in which they count.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.iter()
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(*self.index.get(key)?)
    }

    /// It was read from this file, among others.
    pub fn has_file(&self, path: &Path) -> bool {
        self.files.iter().any(|source| source.name == path)
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.iter().filter(move |object| object.key.kind == kind)
    }

    fn of_api(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.iter().filter(|object| object.owner == Owner::Api)
    }

    /// As JSON, secrets redacted.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the API owns, as [`Self::to_json`]: files are kept where they are.
    pub fn api_json(&self) -> String {
        serde_json::to_string(&Shown(self, true)).unwrap_or_default()
    }

    /// As sources for [`parse`]: the files as they were read, then what the API owns.
    pub fn to_sources(&self) -> Vec<Source> {
        let mut sources = self.files.to_vec();
        if self.of_api().next().is_some() {
            sources.push(Source { name: API.into(), text: Rendered::of(self.of_api(), false).text });
        }
        sources
    }

    /// Parses and checks all of it.
    ///
    /// # Errors
    /// Whatever is wrong with it; what is the API's with a JSON pointer instead of a line.
    pub fn check(&self, secrets: &dyn Secrets) -> Result<Config, Errors> {
        let foreign: Vec<Finding> = self.of_api().flat_map(|object| paths::refuse(object)).collect();
        if !foreign.is_empty() {
            return Err(Errors(foreign));
        }
        match parse(&self.to_sources(), secrets) {
            Ok(mut config) => {
                self.locate(&mut config.warnings);
                Ok(config)
            }
            Err(mut errors) => {
                self.locate(&mut errors.0);
                Err(errors)
            }
        }
    }

    /// Findings about what the API owns get the pointer of what is meant.
    fn locate(&self, findings: &mut [Finding]) {
        let is_api = |finding: &&mut Finding| finding.file == Path::new(API);
        let mut of_api = findings.iter_mut().filter(is_api).peekable();
        if of_api.peek().is_none() {
            return;
        }
        let rendered = Rendered::of(self.of_api(), true);
        for finding in of_api {
            finding.pointer = Some(rendered.pointer(finding.span.start).unwrap_or_default().into());
            (finding.line, finding.column, finding.excerpt) = (0, 0, None);
        }
    }

    /// Redacted values become what they are in force.
    ///
    /// # Errors
    /// `secret.redacted`: a value says "unchanged", and there is none.
    pub fn merge_redacted(&mut self, in_force: &Self) -> Result<(), Errors> {
        self.restore(|key, way| in_force.get(key)?.body.at(way))
    }

    /// The same from elsewhere: `known` is asked for each redacted value, by the JSON pointer of it.
    ///
    /// # Errors
    /// As above.
    pub fn restore_secrets(&mut self, known: impl Fn(&str) -> Option<Secret>) -> Result<(), Errors> {
        self.restore(|key, way| known(&(key.pointer() + &json::pointer(way))))
    }

    fn restore(&mut self, known: impl Fn(&Key, &[String]) -> Option<Secret>) -> Result<(), Errors> {
        let mut findings = Vec::new();
        for object in &mut self.objects {
            let mut redacted = false;
            object.body.hidden(&mut Vec::new(), &mut |_, secret| redacted |= secret.expose() == REDACTED.as_bytes());
            if !redacted || object.owner != Owner::Api {
                continue;
            }
            let object = Arc::make_mut(object);
            let key = object.key.clone();
            if let Err(way) = object.body.reveal(&mut Vec::new(), &|way| known(&key, way)) {
                let pointer = key.pointer() + &json::pointer(&way);
                let message = format!("{REDACTED:?} leaves a secret unchanged, and there is none");
                findings.push(Finding::of_object(pointer, "secret.redacted", message, "send the secret"));
            }
        }
        if findings.is_empty() { Ok(()) } else { Err(Errors(findings)) }
    }

    /// All secrets that stand in what the API owns, each with its JSON pointer: for a store that keeps them apart from the document.
    pub fn api_secrets(&self) -> Vec<(String, Secret)> {
        let mut secrets = Vec::new();
        for object in self.of_api() {
            object.hidden(|pointer, secret| secrets.push((pointer, secret.clone())));
        }
        secrets
    }

    /// The JSON pointer of the first secret that stands here itself, right or wrong, and not as "unchanged".
    pub fn tells_secret(&self) -> Option<String> {
        let mut told = None;
        for object in self.objects() {
            object.hidden(|pointer, secret| {
                if secret.expose() != REDACTED.as_bytes() {
                    told.get_or_insert(pointer);
                }
            });
        }
        told
    }

    /// Has the same secrets, for the same identities, whoever owns them.
    pub fn same_secrets(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.secret_parts(), other.secret_parts());
        ours.len() == theirs.len()
            && (ours.drain())
                .all(|(pointer, part)| theirs.remove(&pointer).is_some_and(|other| part.same(&other, false)))
    }

    /// Secrets with all that they say, and what else is hidden, each with its JSON pointer.
    fn secret_parts(&self) -> HashMap<String, Value> {
        let mut parts = HashMap::new();
        for object in self.objects() {
            if object.key.kind == Kind::Secret {
                parts.insert(object.key.pointer(), object.body.clone());
            } else {
                object.hidden(|pointer, secret| drop(parts.insert(pointer, Value::Hidden(secret.clone()))));
            }
        }
        parts
    }

    /// The document in which the API wants all of `wanted`, and nothing else. Files keep what they own; `wanted` may repeat it unchanged.
    ///
    /// # Errors
    /// `owner.file`: `wanted` has something else for an object of a file; `secret.redacted`.
    pub fn put(&self, mut wanted: Self) -> Result<Self, Errors> {
        wanted.merge_redacted(self)?;
        let mut objects: Vec<Arc<Object>> = self.objects.iter().filter(|o| o.owner != Owner::Api).cloned().collect();
        let mut findings = Vec::new();
        for object in wanted.objects {
            match self.get(&object.key) {
                Some(present) if present.owner == Owner::Api => {
                    objects.push(if present.same(&object) { present.clone() } else { object });
                }
                Some(present) if present.same(&object) => {}
                Some(present) => findings.push(owned(present)),
                None => objects.push(object),
            }
        }
        if findings.is_empty() { Ok(Self::new(self.files.clone(), objects)) } else { Err(Errors(findings)) }
    }

    /// The document in which the API wants these objects so, and all else stays.
    ///
    /// # Errors
    /// `owner.file`; `secret.redacted`.
    pub fn put_beside(&self, mut wanted: Self) -> Result<Self, Errors> {
        wanted.merge_redacted(self)?;
        let mut objects = self.objects.clone();
        for object in wanted.objects {
            match self.index.get(&object.key).and_then(|n| objects.get_mut(*n)) {
                Some(present) if present.same(&object) => {}
                Some(present) if present.owner != Owner::Api => return Err(Errors(vec![owned(present)])),
                Some(present) => *present = object,
                None => objects.push(object),
            }
        }
        Ok(Self::new(self.files.clone(), objects))
    }

    /// The same of one object.
    ///
    /// # Errors
    /// As above; what is no JSON.
    #[cfg(test)]
    pub fn put_object(&self, key: &Key, octets: &[u8]) -> Result<Self, Errors> {
        self.put_beside(Self::of_object(key, octets)?)
    }

    /// The document without an object of the API's; `None` if there is no such object.
    ///
    /// # Errors
    /// `owner.file`.
    pub fn delete_object(&self, key: &Key) -> Result<Option<Self>, Errors> {
        match self.get(key) {
            None => Ok(None),
            Some(present) if present.owner != Owner::Api => Err(Errors(vec![owned(present)])),
            Some(_) => {
                let objects = self.objects.iter().filter(|object| object.key != *key).cloned().collect();
                Ok(Some(Self::new(self.files.clone(), objects)))
            }
        }
    }

    /// The document in which files say this, and the API's objects stay.
    ///
    /// # Errors
    /// As [`Self::from_sources`]; `owner.file`: a file has an object of the API's.
    pub fn with_files(&self, sources: &[Source]) -> Result<Self, Errors> {
        let files = Self::from_sources(sources)?;
        let findings: Vec<Finding> =
            self.of_api().filter_map(|object| Some(owned_twice(files.get(&object.key)?))).collect();
        if !findings.is_empty() {
            return Err(Errors(findings));
        }
        let objects = files.objects.into_iter().chain(self.of_api().cloned()).collect();
        Ok(Self::new(files.files, objects))
    }
}

impl fmt::Debug for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.objects.iter().map(|object| object.key.to_string())).finish()
    }
}

/// All of it, or what the API owns.
struct Shown<'d>(&'d Desired, bool);
impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = |kind| self.0.of_kind(kind).filter(|object| !self.1 || object.owner == Owner::Api);
        let mut map = serializer.serialize_map(None)?;
        for kind in Kind::ALL {
            match (kind, shown(kind).next()) {
                (_, None) => {}
                (Kind::Gateway, Some(gateway)) => map.serialize_entry(kind.table(), &**gateway)?,
                (_, Some(_)) => map.serialize_entry(kind.table(), &Named(|| shown(kind)))?,
            }
        }
        map.end()
    }
}
impl Serialize for Desired {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown(self, false).serialize(serializer)
    }
}

/// Objects by name.
struct Named<F>(F);
impl<'o, I: Iterator<Item = &'o Arc<Object>>, F: Fn() -> I> Serialize for Named<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)().map(|object| (&*object.key.name, &**object)))
    }
}

/// The keyed hash of what a document says, whoever owns it: an ETag that tells no secret.
pub fn digest(document: &Desired, key: &[u8; 32]) -> [u8; 32] {
    let mut octets = Vec::new();
    for kind in Kind::ALL {
        let mut objects: Vec<&Arc<Object>> = document.of_kind(kind).collect();
        if kind != Kind::Connection {
            objects.sort_by(|a, b| a.key.name.cmp(&b.key.name));
        }
        objects.into_iter().for_each(|object| octets.extend(object.digest(key)));
    }
    mac(key, octets)
}

fn mac(key: &[u8; 32], octets: Vec<u8>) -> [u8; 32] {
    let octets = Secret::new(octets);
    let mut out = [0; 32];
    out.copy_from_slice(Prf::HmacSha256.mac(key, &[octets.expose()]).expose());
    out
}

/// Only the file changes what it owns.
fn owned(object: &Object) -> Finding {
    let place = place(object);
    let message = format!("`{}` stands in {place}, and only there it can be changed", object.key);
    let hint = "edit the file and `sandhog reload`, or take it out there and send it again";
    Finding { pointer: Some(object.key.pointer()), ..of_file(object, message, hint) }
}

fn owned_twice(object: &Object) -> Finding {
    let message = format!("`{}` came over the API, and stands in {}, too", object.key, place(object));
    of_file(object, message, "delete one of the two: an object has one owner")
}

fn of_file(object: &Object, message: String, hint: &str) -> Finding {
    let file = match &object.owner {
        Owner::File(file) => file.clone(),
        Owner::Api => API.into(),
    };
    let finding = Finding::of_file(file, "owner.file", message, hint);
    Finding { line: object.line, column: usize::from(object.line > 0), ..finding }
}

fn place(object: &Object) -> String {
    match &object.owner {
        Owner::File(file) => format!("{}:{}", file.display(), object.line),
        Owner::Api => API.into(),
    }
}
