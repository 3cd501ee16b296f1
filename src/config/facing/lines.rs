//! A text line by line, with comments.
use super::Facing;

/// Lines under way.
pub(super) struct Lines {
    text: String,
    /// What begins a comment.
    comment: &'static str,
    /// Written by the header.
    depth: usize,
}
impl Lines {
    pub(super) fn new(comment: &'static str) -> Self {
        Self { text: String::new(), comment, depth: 0 }
    }
    /// One that says who has written this, and what is to be known.
    pub(super) fn with_header(comment: &'static str, facing: &Facing, what: &str) -> Self {
        let mut lines = Self::new(comment);
        lines.note(&header(facing, what));
        super::text::advice(facing).iter().for_each(|advice| lines.note(advice));
        lines
    }
    /// Lines further in from here on.
    pub(super) fn deeper(&mut self) {
        self.depth += 1;
    }
    /// And back.
    pub(super) fn back(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
    /// A line. What comes from the configuration was made harmless before.
    pub(super) fn put(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        (0..self.depth).for_each(|_| self.text.push_str("  "));
        self.text.push_str(line);
        self.text.push('\n');
    }
    /// A comment, whatever is in it.
    pub(super) fn note(&mut self, text: &str) {
        let comment = self.comment;
        self.put(format!("{comment} {}", harmless(text)));
    }
    /// An empty line, and a comment.
    pub(super) fn block(&mut self, text: &str) {
        self.text.push('\n');
        self.note(text);
    }
    pub(super) fn text(self) -> String {
        self.text
    }
}

/// The first line of all formats.
pub(super) fn header(facing: &Facing, what: &str) -> String {
    format!("Written by sandhog for connection {}: {what}", facing.connection)
}

/// Without what could end a comment.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || "\u{2028}\u{2029}".contains(c) { ' ' } else { c }).collect()
}
