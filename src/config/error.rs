//! Findings: what is wrong, where, and what to write instead.
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
    /// Octets of the file that are meant.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Stable code: `key.unknown`, `proposal.weak` ...
    pub code: &'static str,
    /// What is wrong. Never shows a secret.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    /// The line with secrets blotted out, for the renderer.
    #[serde(skip)]
    pub(super) excerpt: String,
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

/// Findings for people, also for warnings. Colour only if `color`.
pub fn render(findings: &[Finding], color: bool) -> String {
    let _ = (findings, color);
    todo!()
}
