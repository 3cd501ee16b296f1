//! What became of each key.
use super::syntax::{Item, Section};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// It says the same in TOML.
    Translated,
    /// It is left out, and what it does is not done, or done in another way.
    Dropped,
    /// It cannot be left out: neither can what it belongs to be translated.
    Refused,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Note {
    /// `connections.office.local.auth`
    pub key: String,
    pub fate: Fate,
    /// What it is now, or why it is not.
    pub why: String,
}

/// All of them, in the order of the translation.
#[derive(Debug, Default)]
pub(super) struct Notes(pub Vec<Note>);
impl Notes {
    pub(super) fn add(&mut self, key: String, fate: Fate, why: impl Into<String>) {
        self.0.push(Note { key, fate, why: why.into() });
    }
    pub(super) fn refused(&self) -> usize {
        self.0.iter().filter(|note| note.fate == Fate::Refused).count()
    }
}

/// One section on the way through: what was looked at needs no other word.
pub(super) struct Reader<'s> {
    pub path: String,
    /// Its own.
    pub name: &'s str,
    section: &'s Section,
    seen: RefCell<BTreeSet<&'s str>>,
}
impl<'s> Reader<'s> {
    pub(super) fn new(path: String, name: &'s str, section: &'s Section) -> Self {
        Self { path, name, section, seen: RefCell::default() }
    }
    /// A section of the top level.
    pub(super) fn top(name: &'s str, section: &'s Section) -> Self {
        Self::new(name.to_owned(), name, section)
    }
    /// The path of a key.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
    /// A value, which its caller tells of.
    pub(super) fn take(&self, key: &str) -> Option<&'s str> {
        let (name, _) = self.section.items.iter().find(|(name, _)| name == key)?;
        self.seen.borrow_mut().insert(name);
        self.section.value(key)
    }
    /// A list of values with commas between them.
    pub(super) fn list(&self, key: &str) -> Option<Vec<&'s str>> {
        let list = self.take(key)?.split(',').map(str::trim).filter(|one| !one.is_empty());
        Some(list.collect())
    }
    /// Sections whose names begin like this: `local`, `local-1`, `local2`.
    pub(super) fn sections(&self, prefix: &str) -> Vec<Reader<'s>> {
        let found = self.section.sections().filter(|(name, _)| name.starts_with(prefix));
        found
            .map(|(name, section)| {
                self.seen.borrow_mut().insert(name);
                Reader::new(self.key(name), name, section)
            })
            .collect()
    }
    /// Values whose keys begin like this.
    pub(super) fn values(&self, prefix: &str) -> Vec<(&'s str, &'s str)> {
        let mut found = Vec::new();
        for (name, item) in &self.section.items {
            if let (true, Item::Value(value)) = (name.starts_with(prefix), item) {
                self.seen.borrow_mut().insert(name);
                found.push((name.as_str(), value.as_str()));
            }
        }
        found
    }
    /// What nobody looked at, by name; true: it is a section.
    pub(super) fn rest(&self) -> Vec<(&'s str, bool)> {
        let seen = self.seen.borrow();
        let unseen = self.section.items.iter().filter(|(name, _)| !seen.contains(name.as_str()));
        unseen.map(|(name, item)| (name.as_str(), matches!(item, Item::Section(_)))).collect()
    }
    /// Tells of all that nobody looked at, with the reasons of a table.
    pub(super) fn finish(&self, notes: &mut Notes, reasons: &[(&str, Fate, &str)]) {
        for (name, _) in self.rest() {
            let known = reasons.iter().find(|(key, ..)| *key == name);
            let (fate, why) =
                known.map_or((Fate::Dropped, "unknown to this translation"), |(_, fate, why)| (*fate, *why));
            notes.add(self.key(name), fate, why);
        }
    }
}
