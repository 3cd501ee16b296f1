//! The syntax of strongSwan's settings files: sections, values, quotes, comments, includes, and references to other sections.
//!
//! No message shows a value: it may be a secret.
use std::path::{Path, PathBuf};

/// Sections in sections.
const MAX_DEPTH: usize = 16;
/// Files that include each other.
const MAX_INCLUDES: usize = 10;
/// References that follow each other.
const MAX_REFERENCES: usize = 8;
/// Sections and values, also those that a reference repeats.
const MAX_ITEMS: usize = 100_000;
/// Octets of names and values that references may repeat.
const MAX_COPIED: usize = 64 << 20;

/// Where included files come from.
pub trait Files {
    /// All files that a pattern names, in order: their names and what is in them.
    ///
    /// # Errors
    /// Why one cannot be read.
    fn read(&mut self, pattern: &Path) -> Result<Vec<(PathBuf, String)>, String>;
}

/// A value or a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `key = value`.
    Value(String),
    /// `name { ... }`.
    Section(Section),
}

/// What stands between two braces, or in all files together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// In the order in which they were named first.
    pub items: Vec<(String, Item)>,
    references: Vec<String>,
}
impl Section {
    /// A value that says something.
    pub fn value(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Item::Value(value)) if !value.is_empty() => Some(value),
            _ => None,
        }
    }
    /// A section in it.
    pub fn section(&self, name: &str) -> Option<&Self> {
        match self.get(name) {
            Some(Item::Section(section)) => Some(section),
            _ => None,
        }
    }
    /// All sections in it.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.items.iter().filter_map(|(name, item)| match item {
            Item::Section(section) => Some((name.as_str(), section)),
            Item::Value(_) => None,
        })
    }
    fn get(&self, key: &str) -> Option<&Item> {
        self.items.iter().find(|(name, _)| name == key).map(|(_, item)| item)
    }

    /// A later value takes the place of an earlier one; sections of one name are one.
    fn set(&mut self, name: String, value: String) {
        match self.items.iter_mut().find(|(known, _)| *known == name) {
            Some((_, item)) => *item = Item::Value(value),
            None => self.items.push((name, Item::Value(value))),
        }
    }
    fn enter(&mut self, name: &str) -> &mut Self {
        let at = self.items.iter().position(|(known, item)| known == name && matches!(item, Item::Section(_)));
        let at = at.unwrap_or_else(|| {
            self.items.retain(|(known, _)| known != name);
            self.items.push((name.to_owned(), Item::Section(Self::default())));
            self.items.len() - 1
        });
        match &mut self.items[at].1 {
            Item::Section(section) => section,
            // What stands there was a section a moment ago.
            Item::Value(_) => unreachable!("a section was put there"),
        }
    }
}

/// Reads a text with all that it includes, and follows the references.
///
/// # Errors
/// What is wrong, with file and line.
pub fn parse(name: &Path, text: &str, files: &mut dyn Files) -> Result<Section, String> {
    let mut root = Section::default();
    let mut budget = MAX_ITEMS;
    file(name, text, &mut root, 0, &mut Shared { files, budget: &mut budget, includes: 0 })?;
    let mut copies = Copies { root: &root, items: MAX_ITEMS, octets: MAX_COPIED };
    copies.flatten(&root, 0)
}

struct Shared<'f> {
    files: &'f mut dyn Files,
    budget: &'f mut usize,
    includes: usize,
}

/// The contents of a file: what is included in a section at this depth belongs to it.
fn file(name: &Path, text: &str, into: &mut Section, depth: usize, shared: &mut Shared<'_>) -> Result<(), String> {
    let mut parser = Parser { name, text, at: 0, outer: depth, shared };
    parser.section(into, depth)
}

struct Parser<'p, 'f> {
    name: &'p Path,
    text: &'p str,
    at: usize,
    /// Where the file itself stands.
    outer: usize,
    shared: &'p mut Shared<'f>,
}
impl Parser<'_, '_> {
    fn section(&mut self, into: &mut Section, depth: usize) -> Result<(), String> {
        loop {
            self.skip(true);
            match self.peek() {
                None if depth == self.outer => return Ok(()),
                None => return Err(self.wrong("a section is not closed: } is missing")),
                Some('}') if depth == self.outer => return Err(self.wrong("there is a } without a section")),
                Some('}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => self.statement(into, depth)?,
            }
        }
    }

    fn statement(&mut self, into: &mut Section, depth: usize) -> Result<(), String> {
        let quoted = self.peek() == Some('"');
        let name = if quoted { self.quoted()? } else { self.word("#{}:,=\"\n\t\r ")? };
        self.skip(false);
        match self.peek() {
            Some('=') => {
                self.at += 1;
                let value = self.value()?;
                self.count()?;
                into.set(name, value);
                Ok(())
            }
            _ if name == "include" && !quoted && !matches!(self.peek(), Some('{' | ':')) => self.include(into, depth),
            Some(':') => {
                self.at += 1;
                let references = self.references()?;
                self.open(&name, references, into, depth)
            }
            _ => self.open(&name, Vec::new(), into, depth),
        }
    }

    fn open(&mut self, name: &str, references: Vec<String>, into: &mut Section, depth: usize) -> Result<(), String> {
        self.skip(true);
        if self.peek() != Some('{') {
            return Err(self.wrong("expected =, : or { behind a name"));
        }
        if depth + 1 >= MAX_DEPTH {
            return Err(self.wrong("sections are nested too deep"));
        }
        self.at += 1;
        self.count()?;
        let section = into.enter(name);
        section.references.extend(references);
        self.section(section, depth + 1)
    }

    fn references(&mut self) -> Result<Vec<String>, String> {
        let mut list = Vec::new();
        loop {
            self.skip(true);
            match self.peek() {
                Some('{') => return Ok(list),
                Some(',') => self.at += 1,
                Some('"') => list.push(self.quoted()?),
                _ => list.push(self.word("#{},\"\n\t\r ")?),
            }
            self.count()?;
        }
    }

    /// Words and quoted texts up to the end of the line, a comment or a brace, with one blank between them.
    fn value(&mut self) -> Result<String, String> {
        let mut value = String::new();
        loop {
            self.skip(false);
            let part = match self.peek() {
                None | Some('\n' | '#' | '}') => return Ok(value),
                Some('"') => self.quoted()?,
                Some(_) => self.word("#}\"\n\t\r ")?,
            };
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(&part);
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '"' => return Ok(text),
                '\\' => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('b') => text.push('\u{8}'),
                    Some('f') => text.push('\u{c}'),
                    // A line that goes on.
                    Some('\n') => {}
                    Some('\r') => {
                        if self.peek() == Some('\n') {
                            self.at += 1;
                        }
                    }
                    Some(other) => text.push(other),
                    None => break,
                },
                other => text.push(other),
            }
        }
        self.at = start;
        Err(self.wrong("a quoted text is not closed"))
    }

    fn include(&mut self, into: &mut Section, depth: usize) -> Result<(), String> {
        let pattern = self.value()?;
        if pattern.is_empty() {
            return Err(self.wrong("include names no file"));
        }
        if self.shared.includes + 1 > MAX_INCLUDES {
            return Err(self.wrong("files include each other too deep"));
        }
        let pattern = self.name.parent().unwrap_or(Path::new("")).join(pattern);
        let found = self.shared.files.read(&pattern).map_err(|error| self.wrong(&error))?;
        self.shared.includes += 1;
        for (name, text) in found {
            self.count()?;
            file(&name, &text, into, depth, self.shared)?;
        }
        self.shared.includes -= 1;
        Ok(())
    }

    fn word(&mut self, ends: &str) -> Result<String, String> {
        let rest = &self.text[self.at..];
        let len = rest.find(|c| ends.contains(c)).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.wrong("a name is missing"));
        }
        self.at += len;
        Ok(rest[..len].to_owned())
    }

    /// Blanks, and, if `lines`, line ends and comments.
    fn skip(&mut self, lines: bool) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\n') if lines => self.at += 1,
                Some('#') if lines => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }
    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }
    fn count(&mut self) -> Result<(), String> {
        match self.shared.budget.checked_sub(1) {
            Some(left) => {
                *self.shared.budget = left;
                Ok(())
            }
            None => Err(self.wrong("this is more than a configuration has")),
        }
    }
    fn wrong(&self, what: &str) -> String {
        let line = self.text[..self.at].matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.name.display())
    }
}

/// Sections with what they refer to.
struct Copies<'r> {
    root: &'r Section,
    items: usize,
    octets: usize,
}
impl Copies<'_> {
    fn flatten(&mut self, section: &Section, followed: usize) -> Result<Section, String> {
        let mut flat = Section::default();
        for (name, item) in &section.items {
            let item = match item {
                Item::Value(value) => {
                    self.spend(name.len() + value.len())?;
                    Item::Value(value.clone())
                }
                Item::Section(section) => {
                    self.spend(name.len())?;
                    Item::Section(self.flatten(section, followed)?)
                }
            };
            flat.items.push((name.clone(), item));
        }
        for reference in &section.references {
            if followed == MAX_REFERENCES {
                return Err(format!("references lead in circles, or too far: {reference:?}"));
            }
            let found = reference.split('.').try_fold(self.root, |section, name| section.section(name));
            let found = found.ok_or_else(|| format!("there is no section {reference:?} to refer to"))?;
            let other = self.flatten(found, followed + 1)?;
            inherit(&mut flat, other);
        }
        Ok(flat)
    }

    fn spend(&mut self, octets: usize) -> Result<(), String> {
        let left = self.items.checked_sub(1).zip(self.octets.checked_sub(octets));
        (self.items, self.octets) = left.ok_or("references make more of this than a configuration has")?;
        Ok(())
    }
}

/// What `section` does not say itself.
fn inherit(section: &mut Section, from: Section) {
    for (name, item) in from.items {
        match (section.items.iter_mut().find(|(known, _)| *known == name), item) {
            (None, item) => section.items.push((name, item)),
            (Some((_, Item::Section(own))), Item::Section(other)) => inherit(own, other),
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shelf(Vec<(&'static str, &'static str)>);
    impl Files for Shelf {
        fn read(&mut self, pattern: &Path) -> Result<Vec<(PathBuf, String)>, String> {
            let prefix = pattern.to_str().unwrap().trim_end_matches("*.conf");
            let found = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
            Ok(found.map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect())
        }
    }

    fn read(text: &str) -> Result<Section, String> {
        let shelf = vec![
            ("/etc/swanctl/conf.d/a.conf", "a { x = 1\n include b.conf\n }"),
            ("/etc/swanctl/conf.d/b.conf", "y = 2"),
            ("/etc/swanctl/loop.conf", "include loop.conf"),
        ];
        parse(Path::new("/etc/swanctl/swanctl.conf"), text, &mut Shelf(shelf))
    }

    fn value(text: &str, path: &str) -> Option<String> {
        let root = read(text).unwrap();
        let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut section = &root;
        for name in sections.split('.').filter(|name| !name.is_empty()) {
            section = section.section(name)?;
        }
        section.value(key).map(str::to_owned)
    }

    #[test]
    fn values_end_with_their_line_a_comment_or_the_section() {
        assert_eq!(value("a { b { c = d e   f # no\n g = h } }", "a.b.c").as_deref(), Some("d e f"));
        assert_eq!(value("a { b { c = d e   f # no\n g = h } }", "a.b.g").as_deref(), Some("h"));
        assert_eq!(value("a = x { y = z\nb = 1", "a").as_deref(), Some("x { y = z"));
        assert_eq!(value("a\n{\n b=1\n}", "a.b").as_deref(), Some("1"));
        assert_eq!(value("a =\nb = 1", "a"), None);
        assert_eq!(value("a = 1\na = 2", "a").as_deref(), Some("2"));
        assert_eq!(value("a { b = 1 }\na { c = 2 }", "a.b").as_deref(), Some("1"));
    }

    #[test]
    fn quotes_keep_what_would_end_a_value() {
        assert_eq!(value(r##"a = "x # y } \" \\ \n\t" z"##, "a").as_deref(), Some("x # y } \" \\ \n\t z"));
        assert_eq!(value("a = \"one \\\ntwo\"", "a").as_deref(), Some("one two"));
        assert_eq!(value("\"a b\" { c = 1 }", "a b.c").as_deref(), Some("1"));
    }

    #[test]
    fn includes_are_relative_to_their_file() {
        assert_eq!(value("include conf.d/*.conf", "a.x").as_deref(), Some("1"));
        assert_eq!(value("include conf.d/*.conf", "a.y").as_deref(), Some("2"));
        assert_eq!(value("include { a = 1 }", "include.a").as_deref(), Some("1"));
        assert!(read("include loop.conf").unwrap_err().contains("too deep"));
    }

    #[test]
    fn references_fill_what_is_not_said() {
        let text = "base { a = 1\n b = 1\n in { x = 1\n y = 1 } }\nother { a = 2\n c = 2 }\n\
                    top { mine : base, other { b = 3\n in { x = 3 } } }";
        for (key, expected) in [("a", "1"), ("b", "3"), ("c", "2"), ("in.x", "3"), ("in.y", "1")] {
            assert_eq!(value(text, &format!("top.mine.{key}")).as_deref(), Some(expected), "{key}");
        }
        assert!(read("a : b { }").unwrap_err().contains("no section"));
        assert!(read("a : b { }\nb : a { }").unwrap_err().contains("circles"));
    }

    #[test]
    fn references_cannot_grow_without_bound() {
        let mut text = String::from("s0 { a = 1 }\n");
        for i in 1..15 {
            let before = format!("s{}", i - 1);
            let inner: Vec<_> = (0..8).map(|n| format!("x{n} : {before} {{ }}")).collect();
            text.push_str(&format!("s{i} {{ {} }}\n", inner.join("\n")));
        }
        assert!(read(&text).unwrap_err().contains("more of this"));
    }

    #[test]
    fn what_is_broken_is_told_with_its_line_and_without_secrets() {
        for text in
            ["a {", "}", "a { b", "a = \"hush", "= 1", "a : { b = 1", "{ }", "include", "a = 1\nb c = 2", ", = 1"]
        {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("/etc/swanctl/swanctl.conf:") && !error.contains("hush"), "{text:?}: {error}");
        }
        assert!(read(&"a {".repeat(1000)).unwrap_err().contains("too deep"));
    }
}
