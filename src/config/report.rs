//! Collects findings, and makes lines and excerpts of them at the end, when it is known what must not be shown.
use super::Source;
use super::error::{Excerpt, Finding, Severity};
use super::text::At;
use std::collections::BTreeSet;
use std::ops::Range;

/// What stands in place of a secret.
const BLOT: &str = "…";

/// Findings under way.
pub(super) struct Report<'s> {
    sources: &'s [Source],
    /// Where each line of each file starts.
    lines: Vec<Vec<usize>>,
    findings: Vec<(At, Severity, &'static str, String, String)>,
    errors: usize,
    blots: Vec<At>,
    presets: Vec<(At, &'static str)>,
    distrusted: BTreeSet<usize>,
}

impl<'s> Report<'s> {
    pub(super) fn new(sources: &'s [Source]) -> Self {
        let starts = |s: &Source| std::iter::once(0).chain(s.text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        let lines = sources.iter().map(starts).collect();
        let (findings, blots, presets, distrusted) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        Self { sources, lines, findings, errors: 0, blots, presets, distrusted }
    }

    /// Something for which the configuration is refused.
    pub(super) fn error(&mut self, at: At, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.errors += 1;
        self.findings.push((at, Severity::Error, code, message.into(), hint.into()));
    }

    /// The same, as the result of a reader that has nothing to give.
    pub(super) fn refuse<T>(
        &mut self,
        at: At,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.error(at, code, message, hint);
        None
    }

    /// Something unwise.
    pub(super) fn warn(&mut self, at: At, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push((at, Severity::Warning, code, message.into(), hint.into()));
    }

    /// How many errors there are: a part is sound if reading it added none.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// These octets are never shown.
    pub(super) fn blot(&mut self, at: At) {
        self.blots.push(at);
    }

    /// What stands here is from a profile: findings about it say so.
    pub(super) fn preset(&mut self, at: At, profile: &'static str) {
        self.presets.push((at, profile));
    }

    /// This file does not parse, so that nobody knows where its secrets are: wherever one could be, nothing is shown.
    pub(super) fn distrust(&mut self, file: usize) {
        self.distrusted.insert(file);
    }

    /// `file:line`, for hints.
    pub(super) fn place(&self, at: At) -> String {
        let source = &self.sources[at.file];
        if source.name == std::path::Path::new(super::document::API) {
            // Its lines are nobody's: the header says which object it is.
            let until = source.text[at.start..].find('\n').map_or(source.text.len(), |n| at.start + n);
            let header = source.text[..until].lines().rev().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
            return format!("`{}` of the API", header.unwrap_or_default());
        }
        format!("{}:{}", source.name.display(), self.line(at).0)
    }

    /// File and line.
    pub(super) fn spot(&self, at: At) -> (&'s std::path::Path, usize) {
        (&self.sources[at.file].name, self.line(at).0)
    }

    /// Part of a string's content as octets of the file, or the whole string where escapes make that impossible.
    pub(super) fn inside(&self, at: At, content: &str, (offset, len): (usize, usize)) -> At {
        let raw = self.sources[at.file].text.get(at.start + 1..at.end.saturating_sub(1));
        if raw != Some(content) || offset + len > content.len() {
            return at;
        }
        At { start: at.start + 1 + offset, end: at.start + 1 + offset + len, ..at }
    }

    /// Directory of a file, for relative paths in it.
    pub(super) fn directory(&self, file: usize) -> &'s std::path::Path {
        self.sources[file].name.parent().unwrap_or(std::path::Path::new(""))
    }

    /// Errors and warnings, each in the order of files and lines.
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<Finding>) {
        let mut findings = std::mem::take(&mut self.findings);
        findings.sort_by_key(|(at, ..)| (at.file, at.start));
        findings.into_iter().map(|f| self.finding(f)).partition(|f| f.severity == Severity::Error)
    }

    fn finding(&self, found: (At, Severity, &'static str, String, String)) -> Finding {
        let (at, severity, code, mut message, hint) = found;
        if let Some((_, profile)) = self.presets.iter().find(|(preset, _)| *preset == at) {
            message += &format!(" (from profile {profile})");
        }
        let source = &self.sources[at.file];
        let (line, range) = self.line(at);
        let column = source.text[range.start..at.start].chars().count() + 1;
        let excerpt = if self.distrusted.contains(&at.file) && may_hold_secret(&source.text, range.start) {
            None
        } else {
            Some(self.excerpt(at, range))
        };
        let span = at.start..at.end;
        Finding { severity, file: source.name.clone(), line, column, pointer: None, span, code, message, hint, excerpt }
    }

    /// Number (from 1) and octets, without its end, of the line in which something starts.
    fn line(&self, at: At) -> (usize, Range<usize>) {
        let starts = &self.lines[at.file];
        let number = starts.partition_point(|start| *start <= at.start);
        let end = starts.get(number).map_or(self.sources[at.file].text.len(), |next| next - 1);
        (number, starts[number - 1]..end)
    }

    /// The line of a finding with blots, and what is meant in it.
    fn excerpt(&self, at: At, range: Range<usize>) -> Excerpt {
        let text = &self.sources[at.file].text;
        let mut blots: Vec<Range<usize>> = (self.blots.iter())
            .filter(|b| b.file == at.file && b.start < range.end && b.end > range.start)
            .map(|b| b.start.max(range.start)..b.end.min(range.end))
            .collect();
        blots.sort_by_key(|b| (b.start, std::cmp::Reverse(b.end)));
        let mut shown = String::new();
        let (mut from, mut start, mut end) = (range.start, None, None);
        blots.push(range.end..range.end);
        for blot in blots {
            if blot.start < from {
                from = from.max(blot.end);
                continue;
            }
            let base = shown.len();
            let place = |octet: usize| (from..=blot.start).contains(&octet).then(|| base + octet - from);
            start = start.or_else(|| place(at.start));
            end = end.or_else(|| place(at.end));
            shown.push_str(&text[from..blot.start]);
            if !blot.is_empty() {
                start = start.or_else(|| blot.contains(&at.start).then_some(shown.len()));
                shown.push_str(BLOT);
                end = end.or_else(|| blot.contains(&at.end).then_some(shown.len()));
            }
            from = blot.end;
        }
        let start = start.unwrap_or(0);
        Excerpt { span: start..end.unwrap_or(shown.len()).max(start), text: shown }
    }
}

/// Whether the line at `start` of a file that does not parse may hold a part of a secret: since the last harmless section header something spoke of secrets. An
/// escape could hide the word.
fn may_hold_secret(text: &str, start: usize) -> bool {
    let end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let mut suspect = false;
    for line in text[..end].lines() {
        let lower = line.to_ascii_lowercase();
        let speaks = lower.contains("secret") || lower.contains("private key") || line.contains('\\');
        let header = line.trim_start().starts_with('[') && !line.contains(['=', '"', '\'']) && line.contains(']');
        suspect = speaks || (suspect && !header);
    }
    suspect
}
