//! TOML to a tree in which every key and every value knows where it stands.
use super::Source;
use super::pem;
use super::report::Report;
use crate::crypto::secret::Secret;
use std::collections::HashMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Octets of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub file: usize,
    pub start: usize,
    pub end: usize,
}
impl At {
    fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// A value and where it stands; of a table under a header that is the header.
#[derive(Clone)]
pub(super) struct Node {
    pub at: At,
    pub value: Value,
}

/// What TOML has. Not `Debug`: a string may be a secret.
#[derive(Clone)]
pub(super) enum Value {
    String(String),
    Integer(i128),
    Float(f64),
    Bool(bool),
    Time,
    Array(Vec<Node>),
    Table(Vec<Entry>),
}
impl Value {
    /// For messages, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "true or false",
            Self::Time => "a date or time",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
    /// The entries of a table; none if it is none.
    pub(super) fn table(&self) -> &[Entry] {
        match self {
            Self::Table(entries) => entries,
            _ => &[],
        }
    }
    /// The same, to be added to.
    pub(super) fn table_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match self {
            Self::Table(entries) => Some(entries),
            _ => None,
        }
    }
    /// The entry of a key of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.table().iter().find(|entry| entry.key == key)
    }
    /// The elements of an array; none if it is none.
    pub(super) fn items(&self) -> &[Node] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }
}

/// A key with its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub key: String,
    pub at: At,
    pub node: Node,
}

/// All files merged: what stands under each of the four top-level keys, in the order of files and lines.
#[derive(Default)]
pub(super) struct Document {
    /// Where each key of each of them stands first.
    seen: HashMap<(String, String), At>,
    pub gateway: Vec<Entry>,
    pub connections: Vec<Entry>,
    pub secrets: Vec<Entry>,
    pub pools: Vec<Entry>,
    /// False if a file is broken, so that what is missing may stand in the broken part.
    pub whole: bool,
}

impl Drop for Document {
    /// What has been made of a secret is wiped by whoever has it.
    fn drop(&mut self) {
        self.secrets.iter_mut().for_each(|entry| wipe(&mut entry.node, &|_| true));
        self.connections.iter_mut().for_each(|entry| wipe(&mut entry.node, &pem::holds_key));
    }
}

/// Wipes the strings that are secret.
fn wipe(node: &mut Node, secret: &dyn Fn(&str) -> bool) {
    match &mut node.value {
        Value::String(s) if secret(s) => drop(Secret::new(std::mem::take(s).into_bytes())),
        Value::Array(items) => items.iter_mut().for_each(|item| wipe(item, secret)),
        Value::Table(entries) => entries.iter_mut().for_each(|entry| wipe(&mut entry.node, secret)),
        _ => {}
    }
}

impl Document {
    /// Reads and merges all sources.
    pub(super) fn read(sources: &[Source], report: &mut Report<'_>) -> Self {
        let before = report.errors();
        let mut document = Self::default();
        for (file, source) in sources.iter().enumerate() {
            for entry in tree(file, &source.text, report) {
                match entry.key.as_str() {
                    "secrets" => conceal(&entry.node, report),
                    _ => conceal_keys(&entry.node, report),
                }
                document.merge(entry, report);
            }
        }
        document.whole = report.errors() == before;
        document
    }

    fn merge(&mut self, entry: Entry, report: &mut Report<'_>) {
        let into = match entry.key.as_str() {
            "gateway" => &mut self.gateway,
            "connections" => &mut self.connections,
            "secrets" => &mut self.secrets,
            "pools" => &mut self.pools,
            _ => {
                super::keys::unknown(report, &super::keys::TOP, &entry);
                return;
            }
        };
        let Value::Table(entries) = entry.node.value else {
            report.blot(entry.node.at);
            let message = format!("`{}` is a table, not {}", entry.key, entry.node.value.kind());
            report.error(entry.at, "value.type", message, format!("start a section with [{}]", entry.key));
            return;
        };
        for new in entries {
            let first = *self.seen.entry((entry.key.clone(), new.key.clone())).or_insert(new.at);
            if first == new.at {
                into.push(new);
                continue;
            }
            let message = format!("`{}.{}` is given twice", entry.key, new.key);
            let hint = format!("it is given first in {}; remove one of the two", report.place(first));
            report.blot(new.node.at);
            report.error(new.at, "key.duplicate", message, hint);
        }
    }
}

/// One file's top level. Syntax errors end the file; a duplicate key does not, its first value counts.
fn tree(file: usize, text: &str, report: &mut Report<'_>) -> Vec<Entry> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken = false;
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let at = At::new(file, span);
        if error.message() == "duplicate key" {
            let key = text.get(at.start..at.end).unwrap_or_default();
            let message = format!("`{key}` is given twice in one table");
            report.error(at, "key.duplicate", message, "keep one of the two");
            report.distrust(file);
        } else if !broken {
            broken = true;
            let message = format!("this is not TOML: {}", error.message());
            report.error(
                at,
                "toml.syntax",
                message,
                "strings stand in \"quotes\", lists in [ ], one `key = value` per line",
            );
            report.distrust(file);
        }
    }
    if broken { Vec::new() } else { entries(file, table.into_inner()) }
}

/// What a file says of where revisions are kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There.
    Said(String),
    /// Nothing.
    Default,
    /// Something that is no place, or it may do so where it is broken or mistyped.
    Unknown,
}

/// `[gateway] state_dir` of a file that may be broken elsewhere.
pub(super) fn state_dir(text: &str) -> Place {
    let (table, errors) = DeTable::parse_recoverable(text);
    let (mut said, mut certain) = (None, errors.is_empty());
    for (key, value) in table.get_ref() {
        certain &= super::keys::TOP.knows(key.get_ref());
        match value.get_ref() {
            DeValue::Table(gateway) if key.get_ref() == "gateway" => {
                certain &= gateway.keys().all(|key| super::keys::GATEWAY.knows(key.get_ref()));
                said = gateway.iter().find(|(key, _)| key.get_ref() == "state_dir").map(|(_, value)| value.get_ref());
            }
            value => certain &= matches!(value, DeValue::Table(_)),
        }
    }
    match said {
        Some(DeValue::String(path)) => Place::Said(path.to_string()),
        None if certain => Place::Default,
        _ => Place::Unknown,
    }
}

/// Everything below `secrets` is blotted out, whatever its type, but for what says whose a secret is and where it lies.
fn conceal(node: &Node, report: &mut Report<'_>) {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                if !matches!(entry.key.as_str(), "id" | "secret_file" | "secret_env") {
                    conceal(&entry.node, report);
                }
            }
        }
        _ => report.blot(node.at),
    }
}

/// A private key is blotted out wherever it stands, also where none belongs.
fn conceal_keys(node: &Node, report: &mut Report<'_>) {
    match &node.value {
        Value::String(s) if pem::holds_key(s) => report.blot(node.at),
        Value::Array(items) => items.iter().for_each(|item| conceal_keys(item, report)),
        Value::Table(entries) => entries.iter().for_each(|entry| conceal_keys(&entry.node, report)),
        _ => {}
    }
}

fn entries(file: usize, table: DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| {
            let at = At::new(file, key.span());
            Entry { key: key.into_inner().into_owned(), at, node: node(file, value.span(), value.into_inner()) }
        })
        .collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn node(file: usize, span: Range<usize>, value: DeValue<'_>) -> Node {
    let value = match value {
        DeValue::String(s) => Value::String(s.into_owned()),
        // What does not fit in 128 bits is out of every range that we have.
        DeValue::Integer(i) => Value::Integer(i128::from_str_radix(i.as_str(), i.radix()).unwrap_or(i128::MAX)),
        DeValue::Float(f) => Value::Float(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Bool(b),
        DeValue::Datetime(_) => Value::Time,
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|v| node(file, v.span(), v.into_inner())).collect())
        }
        DeValue::Table(table) => Value::Table(entries(file, table)),
    };
    Node { at: At::new(file, span), value }
}
