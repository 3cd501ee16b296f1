//! The files of a configuration.
use super::document::Desired;
use super::permissions::Trusted;
use super::text::Place;
use super::{Config, Errors, Finding, Gateway, Source, System, parse};
use crate::io::plain;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Largest file of a configuration, in octets, and largest thing that is kept of one.
pub const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads `path` and `conf.d/*.toml` beside it (in the order of their names), and their secrets.
///
/// # Errors
/// Whatever is wrong with the files, all of it.
pub fn load(path: &Path) -> Result<Config, Errors> {
    parse(&given(path)?, &System)
}

/// Reads `path` and `conf.d/*.toml` beside it, and looks no further into them. For the daemon: whatever lies there, nothing keeps it waiting.
///
/// # Errors
/// Which of them cannot be read.
pub fn sources(path: &Path) -> Result<Vec<Source>, Errors> {
    read(path, regular)
}

/// The same for whoever names the file in a command and waits for its end: `path` may be a pipe, such as `/dev/stdin`, which can be read once.
///
/// # Errors
/// Which of them cannot be read.
pub fn given(path: &Path) -> Result<Vec<Source>, Errors> {
    read(path, |path| {
        let file = File::open(path)?;
        let found = file.metadata()?;
        Ok((file, found))
    })
}

type Opened = io::Result<(File, Metadata)>;

fn regular(path: &Path) -> Opened {
    plain::open(path, true)
}

/// `main` opens the first of them.
fn read(path: &Path, main: fn(&Path) -> Opened) -> Result<Vec<Source>, Errors> {
    let mut paths = vec![path.to_path_buf()];
    let mut findings = Vec::new();
    let beside = beside(path);
    match more(&beside) {
        Ok(more) => paths.extend(more),
        Err(error) => findings.push(unreadable(&beside, &error)),
    }
    let mut sources = Vec::new();
    let opens = std::iter::once(main).chain(std::iter::repeat(regular as fn(&Path) -> Opened));
    for (path, open) in paths.into_iter().zip(opens) {
        match text(open(&path)) {
            Ok((text, found)) => {
                let source = Source { name: path, text };
                findings.extend(exposed(&source, &found));
                sources.push(source);
            }
            Err(error) => findings.push(unreadable(&path, &error)),
        }
    }
    if findings.is_empty() { Ok(sources) } else { Err(Errors(findings)) }
}

/// Where a configuration that is refused keeps its revisions: as what can be read of it says; the default only if all of it can be read, and nothing that is
/// mistyped may have meant another place.
pub fn state_dir(path: &Path) -> Option<PathBuf> {
    let beside = more(&beside(path));
    let mut certain = beside.is_ok();
    let mut said = None;
    for path in std::iter::once(path.to_path_buf()).chain(beside.unwrap_or_default()) {
        let read = text(regular(&path)).ok().map(|(text, _)| super::text::state_dir(&Source { text, name: path }.text));
        match read {
            Some(Place::Said(place)) if said.as_ref().is_some_and(|before| *before != place) => return None,
            Some(Place::Said(place)) => said = Some(place),
            Some(Place::Default) => {}
            Some(Place::Unknown) | None => certain = false,
        }
    }
    match said.map(PathBuf::from) {
        Some(said) => said.is_absolute().then_some(said),
        None => certain.then(|| Gateway::default().state_dir),
    }
}

fn beside(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join("conf.d")
}

fn unreadable(path: &Path, error: &io::Error) -> Finding {
    let message = format!("cannot read {}: {error}", path.display());
    Finding::of_file(
        path.into(),
        "file.unreadable",
        message,
        "a text file in UTF-8 that the daemon may read; --config FILE names another",
    )
}

/// The files of `conf.d`, sorted; none if there is no such folder.
fn more(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn text(opened: Opened) -> io::Result<(String, Metadata)> {
    let (file, found) = opened?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok((text, found))
}

/// A file with a secret in it is closed to others as the file of a secret is.
fn exposed(source: &Source, found: &Metadata) -> Option<Finding> {
    let refusal = Trusted::here().closed(&source.name, found).err()?;
    // What does not parse is refused for that.
    let document = Desired::from_sources(std::slice::from_ref(source)).ok()?;
    let object = document.objects().find(|object| object.holds_secret())?;
    let message = format!("{}, and has a secret in it: `{}`", refusal.message, object.key);
    let hint = format!("{}, or name a file with `secret_file` or `key`", refusal.hint);
    let finding = Finding::of_file(source.name.clone(), refusal.code, message, hint);
    Some(Finding { line: object.line, column: usize::from(object.line > 0), ..finding })
}
