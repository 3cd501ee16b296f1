//! What a start that is refused goes by: all that the revision in force says of what is protected.
use super::revision;
use crate::config::document::Desired;
use crate::config::{self, Config, Errors, Gateway};
use crate::daemon::store::Store;
use crate::daemon::store::disk::Folders;
use std::path::Path;

/// What was in force when a daemon last ran with these files, as far as routes and the guard go; `None` if nothing ever was. Nothing is changed there.
/// Where something was and nobody can read it, the files as they are now say it best.
///
/// # Errors
/// A sentence: nobody knows what it was.
pub fn outline(path: &Path) -> Result<Option<Config>, String> {
    let known = config::state_dir(path);
    let state_dir = known.clone().unwrap_or(Gateway::default().state_dir);
    match in_force(path, &state_dir) {
        // There may be one elsewhere. What the files say may as well never have been in force.
        Ok(None) if known.is_none() => Err(format!("{} does not say for certain what state_dir is", path.display())),
        Err(why) => of_files(path).map(Some).map_err(|_| why),
        found => found,
    }
}

fn in_force(path: &Path, state_dir: &Path) -> Result<Option<Config>, String> {
    // To look at a folder makes it.
    if matches!(state_dir.try_exists(), Ok(false)) {
        return Ok(None);
    }
    let said = |why: String| format!("{}: {why}", state_dir.display());
    let disk = Folders::look(state_dir).map_err(|error| said(error.to_string()))?;
    let store = Store::look(Box::new(disk)).map_err(|error| said(error.to_string()))?;
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
