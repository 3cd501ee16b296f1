//! JSON to a document. It comes from whoever may write to the socket: its size, depth and number of values are bounded, and nothing of it is repeated but
//! the names of keys.
use super::value::{Table, Value};
use super::{Desired, Key, Kind, Object, Owner};
use crate::config::error::{Errors, Finding};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Largest document, in octets.
pub const LARGEST: usize = 64 * 1024 * 1024;
/// Tables and arrays inside one another: an array in a table of a child has seven.
const DEEPEST: usize = 16;
/// Values, whatever they are.
const MOST_VALUES: usize = 8 * 1024 * 1024;
/// The keys of one table.
const MOST_KEYS: usize = 1 << 18;

/// The whole document.
pub(super) fn document(octets: &[u8]) -> Result<Desired, Errors> {
    let Value::Table(table) = read(octets)? else {
        return Err(refuse("", "value.type", "a configuration is an object", EXAMPLE));
    };
    let mut objects = Vec::new();
    let mut findings = Vec::new();
    for (key, value) in table {
        let kind = match key.as_str() {
            "gateway" => {
                objects.push(object(Key { kind: Kind::Gateway, name: "".into() }, value, &mut findings));
                continue;
            }
            "connections" => Kind::Connection,
            "secrets" => Kind::Secret,
            "pools" => Kind::Pool,
            _ => {
                let message = format!("there is no key {} in a configuration", shown(&key));
                findings.push(Finding::of_object(pointer(&[&key]), "key.unknown", message, EXAMPLE));
                continue;
            }
        };
        match value {
            Value::Table(table) => {
                let keys = table.into_iter().map(|(name, value)| (Key { kind, name: name.into() }, value));
                objects.extend(keys.map(|(key, value)| object(key, value, &mut findings)));
            }
            _ => {
                let message = format!("`{key}` is an object: a name and what has it");
                findings.push(Finding::of_object(pointer(&[&key]), "value.type", message, EXAMPLE));
            }
        }
    }
    if findings.is_empty() { Ok(Desired::new(Arc::default(), objects)) } else { Err(Errors(findings)) }
}

/// One object of it.
pub(super) fn one(key: &Key, octets: &[u8]) -> Result<Arc<Object>, Errors> {
    let mut findings = Vec::new();
    let object = object(key.clone(), read(octets)?, &mut findings);
    if findings.is_empty() { Ok(object) } else { Err(Errors(findings)) }
}

const EXAMPLE: &str = "{\"gateway\": {}, \"connections\": {\"NAME\": {}}, \"secrets\": {\"NAME\": {}}, \"pools\": {}}";

/// Objects and children are tables; what else is wrong with them the reader of files will find.
fn object(key: Key, mut body: Value, findings: &mut Vec<Finding>) -> Arc<Object> {
    body.hide(key.kind);
    let mut demand = |way: String, value: &Value| {
        if !matches!(value, Value::Table(_)) {
            let message = format!("{} is an object, and this is none", key.kind.of_one());
            findings.push(Finding::of_object(way, "value.type", message, "{\"key\": value, ...}"));
        }
    };
    demand(key.pointer(), &body);
    if key.kind == Kind::Connection {
        let children = body.get("children").map_or(&[][..], Value::table);
        children.iter().for_each(|(name, child)| demand(key.pointer() + &pointer(&["children", name]), child));
    }
    Arc::new(Object { key, owner: Owner::Api, line: 0, body })
}

fn read(octets: &[u8]) -> Result<Value, Errors> {
    if octets.len() > LARGEST {
        let message = format!("a configuration of more than {} MiB", LARGEST >> 20);
        return Err(refuse("", "json.large", &message, "change objects one by one"));
    }
    let room = Cell::new(MOST_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(octets);
    let seed = Seed { room: &room, depth: 0 };
    let read = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| {
        let hint = "one JSON document in UTF-8, with each key once";
        let message = format!("this cannot be read: {error}");
        let finding = Finding::of_object(String::new(), "json.syntax", message, hint);
        Errors(vec![Finding { line: error.line(), column: error.column(), ..finding }])
    })
}

fn refuse(pointer: &str, code: &'static str, message: &str, hint: &str) -> Errors {
    Errors(vec![Finding::of_object(pointer.into(), code, message.into(), hint)])
}

/// A key for a message: it may be anything.
fn shown(key: &str) -> String {
    let short: String = key.chars().take(64).collect();
    format!("{short:?}")
}

/// A JSON pointer (RFC 6901).
pub(super) fn pointer<S: AsRef<str>>(way: &[S]) -> String {
    way.iter().fold(String::new(), |mut pointer, key| {
        pointer.push('/');
        pointer.push_str(&key.as_ref().replace('~', "~0").replace('/', "~1"));
        pointer
    })
}

/// Reads one value; `room` is for all of them.
struct Seed<'r> {
    room: &'r Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    fn below(&self) -> Self {
        Self { room: self.room, depth: self.depth + 1 }
    }
    fn deeper<E: Error>(&self) -> Result<(), E> {
        if self.depth < DEEPEST { Ok(()) } else { Err(E::custom("it is nested too deeply")) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.room.get().checked_sub(1).ok_or_else(|| D::Error::custom("it has too many values"))?;
        self.room.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Err(E::custom("null is no value: leave the key out"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.below())? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let (mut table, mut seen) = (Table::new(), HashSet::new());
        while let Some(key) = map.next_key::<String>()? {
            if table.len() == MOST_KEYS {
                return Err(A::Error::custom("an object has too many keys"));
            }
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key {} stands twice in one object", shown(&key))));
            }
            table.push((key, map.next_value_seed(self.below())?));
        }
        Ok(Value::Table(table))
    }
}
