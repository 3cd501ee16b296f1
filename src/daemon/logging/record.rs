//! One message as it was said.
use crate::config::LogLevel;
use crate::wire::payload::is_hostile;
use jiff::Timestamp;
use std::fmt::{Debug, Write};
use tracing::Event;
use tracing::field::{Field, Visit};

/// Longest value of a field, octets.
const MAX_VALUE: usize = 2048;
/// Longest message: the errors of a configuration are a long one.
const MAX_MESSAGE: usize = 32 * 1024;
/// Most fields.
const MAX_FIELDS: usize = 32;

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub time: Timestamp,
    pub level: LogLevel,
    /// Of one line, or, if it is ours, of several.
    pub message: String,
    pub fields: Vec<(&'static str, Value)>,
}
/// Value of a field. Text is clean.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}
impl Value {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Signed(n) => n.to_string(),
            Self::Unsigned(n) => n.to_string(),
            Self::Float(n) => n.to_string(),
            Self::Bool(yes) => yes.to_string(),
        }
    }
}

impl Record {
    /// `ours`: its message may have several lines.
    pub(super) fn of(event: &Event<'_>, ours: bool) -> Self {
        let level = super::severity(*event.metadata().level());
        let mut record = Self::new(level, String::new());
        event.record(&mut Reader { record: &mut record, ours });
        record
    }
    pub(super) fn new(level: LogLevel, message: String) -> Self {
        Self { time: crate::daemon::clock::wall(), level, message, fields: Vec::new() }
    }
    /// The text of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|(field, value)| match value {
            Value::Text(text) if *field == name => Some(text.as_str()),
            _ => None,
        })
    }
    /// Whose it is.
    pub(super) fn connection(&self) -> Option<&str> {
        self.get("connection")
    }
    /// Octets of memory, about.
    pub(super) fn size(&self) -> usize {
        let value = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
        128 + self.message.len() + self.fields.iter().map(|(_, v)| 48 + value(v)).sum::<usize>()
    }
}

struct Reader<'r> {
    record: &'r mut Record,
    ours: bool,
}
impl Reader<'_> {
    fn text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.record.message = if self.ours {
                let lines: Vec<_> = text.lines().map(|line| clean(line, MAX_MESSAGE)).collect();
                cut(lines.join("\n"), MAX_MESSAGE)
            } else {
                clean(text, MAX_VALUE)
            };
        } else {
            self.value(field, Value::Text(clean(text, MAX_VALUE)));
        }
    }
    fn value(&mut self, field: &Field, value: Value) {
        if self.record.fields.len() < MAX_FIELDS {
            self.record.fields.push((field.name(), value));
        }
    }
}
impl Visit for Reader<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Bounded(String::new());
        // It is cut when it is too long.
        let _ = write!(text, "{value:?}");
        self.text(field, &text.0);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, Value::Signed(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, Value::Unsigned(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, Value::Float(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, Value::Bool(value));
    }
}

/// Takes no more than could be kept.
struct Bounded(String);
impl Write for Bounded {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        if self.0.len() > MAX_MESSAGE {
            return Err(std::fmt::Error);
        }
        self.0.push_str(s);
        Ok(())
    }
}

/// Text without what would move a terminal's cursor, begin another line, or hide or reorder what is around it, of so many octets at most.
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hostile(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        if out.len() > most {
            return cut(out, most);
        }
    }
    out
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_writes_is_one_harmless_line() {
        let hostile = "gw\n2026 ERROR forged\r\u{1b}[2J\u{7f}\u{9b}31m\u{202e}txt.exe\u{2028}\u{0}\u{200b}";
        let text = clean(hostile, 1000);
        assert_eq!(text, r"gw\n2026 ERROR forged\r\u{1b}[2J\u{7f}\u{9b}31m\u{202e}txt.exe\u{2028}\u{0}\u{200b}");
        assert_eq!(clean("Zürich 広州 ok", 1000), "Zürich 広州 ok");
    }

    #[test]
    fn nothing_is_longer_than_it_may_be() {
        assert_eq!(clean(&"ü".repeat(4000), 5), "üü…");
        assert_eq!(clean("\n\n\n", 5), "\\n\\n\\…");
        assert!(clean(&"\u{0}".repeat(1 << 20), MAX_VALUE).len() <= MAX_VALUE + 3);
    }
}
