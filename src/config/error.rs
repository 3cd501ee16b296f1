//! Findings: what is wrong, where, and what to write instead.
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use std::ops::Range;
use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is accepted, but unwise.
    Warning,
}

/// One fault of one file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 if the file as a whole is meant.
    pub column: usize,
    /// In what came over the API: the object and key, a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Octets of the file that are meant.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Stable code: `key.unknown`, `proposal.weak` ...
    pub code: &'static str,
    /// What is wrong. Never shows a secret.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    /// The line, if it may be shown.
    #[serde(skip)]
    pub(super) excerpt: Option<Excerpt>,
}
impl Finding {
    /// About a file as a whole.
    pub(super) fn of_file(file: PathBuf, code: &'static str, message: String, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        let (severity, span) = (Severity::Error, 0..0);
        Self { severity, file, line: 0, column: 0, pointer: None, span, code, message, hint, excerpt: None }
    }
    /// About something that came over the API.
    pub(super) fn of_object(pointer: String, code: &'static str, message: String, hint: impl Into<String>) -> Self {
        Self { pointer: Some(pointer), ..Self::of_file(super::document::API.into(), code, message, hint) }
    }
}

/// A line with secrets blotted out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub text: String,
    /// What is meant, in octets of `text`.
    pub span: Range<usize>,
}

/// All faults of a configuration, in the order of files and lines.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Errors(pub Vec<Finding>);
impl Errors {
    /// For people: excerpts with what is wrong underlined. Colour only if `color`.
    pub fn render(&self, color: bool) -> String {
        render(&self.0, color)
    }
}
impl std::fmt::Display for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(false))
    }
}
impl std::error::Error for Errors {}

/// Findings for people, also for warnings. Colour only if `color`, that is, on a terminal.
pub fn render(findings: &[Finding], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for finding in findings {
        text.push_str(&one(finding, &renderer));
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len());
    text
}

fn one(finding: &Finding, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let path = match &finding.pointer {
        Some(pointer) => format!("{}: {pointer}", finding.file.display()),
        None => finding.file.display().to_string(),
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code);
    let group = match &finding.excerpt {
        Some(excerpt) => {
            let mark = AnnotationKind::Primary.span(excerpt.span.clone());
            let snippet = Snippet::source(excerpt.text.as_str()).line_start(finding.line).path(path.as_str());
            title.element(snippet.annotation(mark))
        }
        None if finding.line > 0 => {
            title.element(Origin::path(path.as_str()).line(finding.line).char_column(finding.column))
        }
        None => title.element(Origin::path(path.as_str())),
    };
    renderer.render(&[group.element(Level::HELP.message(finding.hint.as_str()))])
}
