//! `sandhog check`: validates a configuration without a daemon.
use super::output;
use crate::config;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    valid: bool,
    findings: &'a [config::Finding],
}

/// 0 if the configuration is valid, else 2.
pub fn run(file: &Path, json: bool) -> ExitCode {
    let (valid, findings) = match config::load(file) {
        Ok(config) => (true, config.warnings),
        Err(errors) => (false, errors.0),
    };
    if json {
        output::json(&Report { valid, findings: &findings });
    } else {
        if !findings.is_empty() {
            eprintln!("{}", config::error::render(&findings, std::io::stderr().is_terminal() && output::color()));
        }
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(config::Severity::Error), count(config::Severity::Warning));
        if valid {
            output::text(&format!("{}: valid{}", file.display(), with(warnings, "warning")));
        } else {
            eprintln!("{}: refused{}", file.display(), with(errors, "error"));
        }
    }
    if valid { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

fn with(count: usize, word: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!(", 1 {word}"),
        n => format!(", {n} {word}s"),
    }
}
