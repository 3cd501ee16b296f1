//! What stands under a key, whoever wrote it. What is secret is of a kind of its own, so that nothing prints it by accident.
use super::Kind;
use crate::config::pem::is_inline;
use crate::config::text::{self, Entry};
use crate::crypto::secret::Secret;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::collections::HashMap;

/// What stands in place of a secret wherever a document is shown; sent back, it means "unchanged".
pub const REDACTED: &str = "***";
/// Tables with more keys are compared by way of a map.
const FEW: usize = 16;

/// Keys with their values, in the order in which they were written.
pub type Table = Vec<(String, Value)>;

/// A value of a document. Neither `Debug` nor serialization shows what is hidden.
#[derive(Clone)]
#[allow(missing_docs, reason = "the names are those of TOML")]
pub enum Value {
    String(String),
    /// A secret.
    Hidden(Secret),
    Integer(i128),
    Float(f64),
    Bool(bool),
    Array(Vec<Value>),
    Table(Table),
}

impl Value {
    /// Means the same as written; the order of keys says nothing, but where `ordered`, as the order of children does.
    pub(in crate::config) fn same(&self, other: &Self, ordered: bool) -> bool {
        match (self, other) {
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Hidden(a), Self::Hidden(b)) => a.expose() == b.expose(),
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b, false)),
            (Self::Table(a), Self::Table(b)) => same_table(a, b, ordered),
            _ => false,
        }
    }

    /// What a table has under a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.table().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The keys of a table; what is none has none.
    pub fn table(&self) -> &[(String, Self)] {
        match self {
            Self::Table(table) => table,
            _ => &[],
        }
    }

    /// In canonical form: the same octets for all that is the same, each part with its kind and length.
    pub(super) fn canonical(&self, ordered: bool, out: &mut Vec<u8>) {
        let mut put = |kind: u8, octets: &[u8]| {
            out.push(kind);
            out.extend((octets.len() as u64).to_be_bytes());
            out.extend(octets);
        };
        match self {
            Self::String(s) => put(b's', s.as_bytes()),
            Self::Hidden(secret) => put(b'x', secret.expose()),
            Self::Integer(i) => put(b'i', &i.to_be_bytes()),
            Self::Float(f) => put(b'f', &f.to_bits().to_be_bytes()),
            Self::Bool(b) => put(b'b', &[u8::from(*b)]),
            Self::Array(items) => {
                put(b'a', &(items.len() as u64).to_be_bytes());
                items.iter().for_each(|item| item.canonical(false, out));
            }
            Self::Table(table) => {
                put(b't', &(table.len() as u64).to_be_bytes());
                let mut entries: Vec<&(String, Self)> = table.iter().collect();
                if !ordered {
                    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                for (key, value) in entries {
                    Self::String(key.clone()).canonical(false, out);
                    value.canonical(key == "children", out);
                }
            }
        }
    }

    /// Hides what is secret in an object of this kind.
    pub(super) fn hide(&mut self, kind: Kind) {
        let Self::Table(table) = self else {
            return if kind == Kind::Secret {
                self.hide_all()
            };
        };
        for (key, value) in table {
            match (kind, key.as_str()) {
                (Kind::Secret, "id" | "secret_file" | "secret_env") => {}
                (Kind::Secret, _) => value.hide_all(),
                (Kind::Connection, "local") => value.hide_keys(),
                _ => {}
            }
        }
    }

    /// A private key that stands here as it is, and not by the name of its file.
    fn hide_keys(&mut self) {
        let Self::Table(table) = self else { return };
        for (key, value) in table {
            let inline = matches!(value, Self::String(s) if is_inline(s) || s == REDACTED);
            if key == "key" && inline {
                value.hide_all();
            }
        }
    }

    fn hide_all(&mut self) {
        match self {
            Self::String(s) => *self = Self::Hidden(Secret::new(std::mem::take(s).into_bytes())),
            Self::Array(items) => items.iter_mut().for_each(Self::hide_all),
            Self::Table(table) => table.iter_mut().for_each(|(_, value)| value.hide_all()),
            Self::Hidden(_) | Self::Integer(_) | Self::Float(_) | Self::Bool(_) => {}
        }
    }

    /// The secret at the end of a way.
    pub(super) fn at(&self, way: &[String]) -> Option<Secret> {
        match (self, way) {
            (Self::Hidden(secret), []) => Some(secret.clone()),
            (Self::Array(items), [n, rest @ ..]) => items.get(n.parse::<usize>().ok()?)?.at(rest),
            (Self::Table(_), [key, rest @ ..]) => self.get(key)?.at(rest),
            _ => None,
        }
    }

    /// All that is hidden, with the way to it.
    pub(super) fn hidden<'v>(&'v self, way: &mut Vec<String>, found: &mut dyn FnMut(&[String], &'v Secret)) {
        match self {
            Self::Hidden(secret) => found(way, secret),
            Self::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    way.push(n.to_string());
                    item.hidden(way, found);
                    way.pop();
                }
            }
            Self::Table(table) => {
                for (key, value) in table {
                    way.push(key.clone());
                    value.hidden(way, found);
                    way.pop();
                }
            }
            Self::String(_) | Self::Integer(_) | Self::Float(_) | Self::Bool(_) => {}
        }
    }

    /// Sets what is hidden and says only that it is as it was. `Err`: there is nothing that it could be; its way.
    pub(super) fn reveal(
        &mut self,
        way: &mut Vec<String>,
        known: &dyn Fn(&[String]) -> Option<Secret>,
    ) -> Result<(), Vec<String>> {
        match self {
            Self::Hidden(secret) if secret.expose() == REDACTED.as_bytes() => match known(way) {
                Some(known) => *secret = known,
                None => return Err(way.clone()),
            },
            Self::Array(items) => {
                for (n, item) in items.iter_mut().enumerate() {
                    way.push(n.to_string());
                    item.reveal(way, known)?;
                    way.pop();
                }
            }
            Self::Table(table) => {
                for (key, value) in table {
                    way.push(key.clone());
                    value.reveal(way, known)?;
                    way.pop();
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn same_table(a: &[(String, Value)], b: &[(String, Value)], ordered: bool) -> bool {
    if a.len() != b.len() || ordered && a.iter().zip(b).any(|((a, _), (b, _))| a != b) {
        return false;
    }
    let same = |key: &str, a: &Value, b: &Value| a.same(b, key == "children");
    if ordered {
        return a.iter().zip(b).all(|((key, a), (_, b))| same(key, a, b));
    }
    if b.len() <= FEW {
        return a.iter().all(|(key, a)| b.iter().any(|(other, b)| key == other && same(key, a, b)));
    }
    let map: HashMap<&str, &Value> = b.iter().map(|(key, value)| (key.as_str(), value)).collect();
    a.iter().all(|(key, a)| map.get(key.as_str()).is_some_and(|b| same(key, a, b)))
}

impl std::fmt::Debug for Value {
    /// Without the values: some are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(table) => f.debug_set().entries(table.iter().map(|(key, _)| key)).finish(),
            _ => f.write_str("value"),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(s) => serializer.serialize_str(s),
            Self::Hidden(_) => serializer.serialize_str(REDACTED),
            Self::Integer(i) => match (i64::try_from(*i), u64::try_from(*i)) {
                (Ok(i), _) => serializer.serialize_i64(i),
                (_, Ok(i)) => serializer.serialize_u64(i),
                // No key takes it.
                _ => serializer.serialize_f64(*i as f64),
            },
            Self::Float(f) => serializer.serialize_f64(*f),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Self::Table(table) => {
                let mut map = serializer.serialize_map(Some(table.len()))?;
                table.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl From<text::Node> for Value {
    fn from(node: text::Node) -> Self {
        match node.value {
            text::Value::String(s) => Self::String(s),
            text::Value::Integer(i) => Self::Integer(i),
            text::Value::Float(f) => Self::Float(f),
            text::Value::Bool(b) => Self::Bool(b),
            // No key takes one, so that no document with one is ever in force.
            text::Value::Time => Self::String("a date or time".into()),
            text::Value::Array(items) => Self::Array(items.into_iter().map(Into::into).collect()),
            text::Value::Table(entries) => Self::Table(table(entries)),
        }
    }
}

/// The entries of a table without their places.
pub(super) fn table(entries: Vec<Entry>) -> Table {
    entries.into_iter().map(|entry| (entry.key, entry.node.into())).collect()
}
