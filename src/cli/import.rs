//! `sandhog import`: a swanctl.conf becomes TOML and files with secrets, in a folder.
mod child;
mod files;
mod report;
mod secrets;
pub mod syntax;
mod translate;

use super::output::{self, plain};
use super::table::{Column, Table};
use crate::config::{self, permissions};
use report::{Fate, Note};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to read, and where to write.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The swanctl.conf; certificates and keys are looked for in the folders beside it
    file: PathBuf,
    /// A folder for sandhog.toml and secrets/; it must not have them yet
    #[arg(long, value_name = "DIR", default_value = "sandhog-imported")]
    out: PathBuf,
}

/// Where certificates and keys lie.
pub(super) trait Credentials {
    /// A file of swanctl's folder, or an absolute path.
    fn path(&self, folder: &str, name: &str) -> PathBuf;
    /// All files of a folder.
    fn all(&self, folder: &str) -> Vec<PathBuf>;
    /// The private key of a certificate.
    ///
    /// # Errors
    /// Why there is none.
    fn key_of(&self, certificate: &Path) -> Result<PathBuf, String>;
}

/// What `--json` prints.
#[derive(Debug, serde::Serialize)]
struct Report {
    /// Nothing is refused, and the result is valid.
    complete: bool,
    files: Vec<PathBuf>,
    keys: Vec<Note>,
    findings: Vec<config::Finding>,
}

/// 0 if all of it is translated or can be left out, 1 if something is refused, 2 if there is nothing to read.
pub(super) fn run(args: &Args, json: bool) -> ExitCode {
    let report = match import(args) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("sandhog import: {}", plain(&error));
            return ExitCode::from(2);
        }
    };
    if json {
        output::json(&report);
    } else {
        show(&report);
    }
    if report.complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn import(args: &Args) -> Result<Report, String> {
    let folder = std::path::absolute(args.file.parent().unwrap_or(Path::new(""))).map_err(|e| e.to_string())?;
    let named = |error: io::Error| format!("{}: {error}", args.file.display());
    let text = files::read(&args.file).map_err(named)?;
    let root = syntax::parse(&args.file, &text, &mut files::Disk::default())?;
    let done = translate::translate(&root, &files::Folders(folder));
    let written = files::write(&args.out, &done.toml, &done.secrets)?;
    let (valid, findings) = match config::load(&written[0]) {
        Ok(config) => (true, config.warnings.into_iter().chain(permissions::readable_by_daemon(&written[0])).collect()),
        Err(errors) => (false, errors.0),
    };
    Ok(Report { complete: valid && done.refused == 0, files: written, keys: done.notes, findings })
}

fn show(report: &Report) {
    for (fate, title) in [(Fate::Translated, "Translated"), (Fate::Dropped, "Left out"), (Fate::Refused, "Refused")] {
        let mut table = Table::new(&[Column::new(title, 0), Column::new("", 1)]);
        let notes: Vec<_> = report.keys.iter().filter(|note| note.fate == fate).collect();
        notes.iter().for_each(|note| table.push([plain(&note.key), plain(&note.why)]));
        if !notes.is_empty() {
            output::text(&format!("{}\n", table.render(output::width())));
        }
    }
    if !report.findings.is_empty() {
        eprintln!("{}", config::error::render(&report.findings, false));
    }
    let files: Vec<_> = report.files.iter().map(|path| path.display().to_string()).collect();
    let state = if report.complete { "valid" } else { "not complete: look at what is refused" };
    output::text(&format!("Written: {}\nThe result is {state}.", files.join(", ")));
}

/// Reads and translates a text that includes nothing: what the fuzzer does.
pub fn fuzz(text: &str) {
    struct Nothing;
    impl syntax::Files for Nothing {
        fn read(&mut self, _: &Path) -> Result<Vec<(PathBuf, String)>, String> {
            Ok(Vec::new())
        }
    }
    impl Credentials for Nothing {
        fn path(&self, folder: &str, name: &str) -> PathBuf {
            Path::new(folder).join(name)
        }
        fn all(&self, _: &str) -> Vec<PathBuf> {
            Vec::new()
        }
        fn key_of(&self, _: &Path) -> Result<PathBuf, String> {
            Err("there is none".into())
        }
    }
    if let Ok(root) = syntax::parse(Path::new("swanctl.conf"), text, &mut Nothing) {
        let done = translate::translate(&root, &Nothing);
        // Whatever it says, it is TOML.
        assert!(done.toml.parse::<toml::Table>().is_ok(), "{}", done.toml);
    }
}

#[cfg(test)]
mod tests;
