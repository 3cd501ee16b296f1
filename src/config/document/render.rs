//! What the API owns as TOML, for the reader of files: there is one reader for all. Where it finds something, the place is turned into a JSON pointer again.
use super::value::Value;
use super::{Kind, Object, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// Text, and where each key begins in it.
#[derive(Default)]
pub(super) struct Rendered {
    pub text: String,
    spots: Vec<(usize, String)>,
}

impl Rendered {
    /// All of these objects; their places only if they are asked for.
    pub(super) fn of<'o>(objects: impl Iterator<Item = &'o Arc<Object>>, places: bool) -> Self {
        let mut rendered = Self::default();
        for object in objects {
            let mut way = Vec::from([object.key.kind.table().to_owned()]);
            if object.key.kind != Kind::Gateway {
                way.push(object.key.name.to_string());
            }
            rendered.section(&mut way, &object.body, object.key.kind, places);
        }
        rendered
    }

    /// The pointer of what stands at an offset.
    pub(super) fn pointer(&self, offset: usize) -> Option<&str> {
        let after = self.spots.partition_point(|(start, _)| *start <= offset);
        self.spots.get(after.checked_sub(1)?).map(|(_, pointer)| pointer.as_str())
    }

    fn spot(&mut self, way: &[String], places: bool) {
        if places {
            self.spots.push((self.text.len(), json::pointer(way)));
        }
    }

    /// A table under a header of its own, children behind it. `json` has seen to it that objects and children are tables.
    fn section(&mut self, way: &mut Vec<String>, body: &Value, kind: Kind, places: bool) {
        self.spot(way, places);
        let header: Vec<String> = way.iter().map(|key| quoted_key(key)).collect();
        let _ = writeln!(self.text, "[{}]", header.join("."));
        let is_children = |key: &str, value: &Value| {
            kind == Kind::Connection && way.len() == 2 && key == "children" && !value.table().is_empty()
        };
        let (children, plain): (Vec<_>, Vec<_>) = body.table().iter().partition(|(key, value)| is_children(key, value));
        for (key, value) in plain {
            self.entry(way, key, value, places);
            self.text.push('\n');
        }
        for (name, child) in children.iter().flat_map(|(_, children)| children.table()) {
            way.extend(["children".into(), name.clone()]);
            self.section(way, child, kind, places);
            way.truncate(2);
        }
    }

    fn entry(&mut self, way: &mut Vec<String>, key: &str, value: &Value, places: bool) {
        way.push(key.into());
        self.spot(way, places);
        let _ = write!(self.text, "{} = ", quoted_key(key));
        self.value(way, value, places);
        way.pop();
    }

    fn value(&mut self, way: &mut Vec<String>, value: &Value, places: bool) {
        match value {
            Value::String(s) => quote(&mut self.text, s),
            // They came as text.
            Value::Hidden(secret) => quote(&mut self.text, &String::from_utf8_lossy(secret.expose())),
            Value::Integer(i) => {
                let _ = write!(self.text, "{i}");
            }
            Value::Float(f) => {
                let _ = write!(self.text, "{f:?}");
            }
            Value::Bool(b) => {
                let _ = write!(self.text, "{b}");
            }
            Value::Array(items) => {
                self.text.push('[');
                for (n, item) in items.iter().enumerate() {
                    self.text.push_str(if n == 0 { "" } else { ", " });
                    way.push(n.to_string());
                    self.spot(way, places);
                    self.value(way, item, places);
                    way.pop();
                }
                self.text.push(']');
            }
            Value::Table(table) => {
                self.text.push('{');
                for (n, (key, value)) in table.iter().enumerate() {
                    self.text.push_str(if n == 0 { " " } else { ", " });
                    self.entry(way, key, value, places);
                }
                self.text.push_str(" }");
            }
        }
    }
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if bare {
        return key.into();
    }
    let mut out = String::new();
    quote(&mut out, key);
    out
}

/// A basic string on one line.
fn quote(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\U{:08X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
