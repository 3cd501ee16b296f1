//! What a start that is refused goes by: all that the revision in force says of what is protected.
use super::revision;
use crate::config::document::Desired;
use crate::config::{self, Config, Errors, Gateway};
use crate::daemon::store::Store;
use crate::daemon::store::disk::Folders;
use std::io::ErrorKind;
use std::path::Path;

/// What was in force when a daemon last ran with these files, as far as routes and the guard go; `None` if nothing ever was. Nothing is changed there.
/// Where something was and nobody can read it, the files as they are now say it best.
///
/// # Errors
/// A sentence: nobody knows what it was.
pub fn outline(path: &Path) -> Result<Option<Config>, String> {
    in_force(path).or_else(|why| of_files(path).map(Some).map_err(|_| why))
}

fn in_force(path: &Path) -> Result<Option<Config>, String> {
    let state_dir = config::state_dir(path).unwrap_or(Gateway::default().state_dir);
    let said = |why: String| format!("{}: {why}", state_dir.display());
    let store = match Folders::look(&state_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(said(error.to_string())),
        Ok(disk) => Store::look(Box::new(disk)).map_err(|error| said(error.to_string()))?,
    };
    let Some(store) = store else { return Ok(None) };
    let Some(number) = store.current().map(|meta| meta.number) else { return Ok(None) };
    let desired = revision::unpack(&store, number).map_err(said)?;
    // It may be that of other files.
    if !desired.has_file(path) {
        return Ok(None);
    }
    desired.outline().map(Some).map_err(|errors| said(errors.to_string()))
}

fn of_files(path: &Path) -> Result<Config, Errors> {
    Desired::from_sources(&config::sources(path)?)?.outline()
}
