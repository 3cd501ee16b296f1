//! `state_dir`: what was in force, and what is, whole after a power cut at any moment.
//!
//! ```text
//! format              the version of this layout
//! key                 32 random octets for what is shown of secrets and of whole documents
//! current             which revision is in force, and until when it waits to be confirmed
//! revisions/NUMBER    who, when and what, and the document with references in place of secrets
//! secrets/REFERENCE   one secret each; the name is a keyed hash
//! ```
//! A file is written under another name, brought to the disk, renamed, and its folder brought to the disk. `current` comes last and is one
//! rename, so that there is always the old revision or the new one. What nobody refers to is taken away afterwards.
pub mod disk;
mod sealed;
#[cfg(test)]
mod tests;

use crate::crypto::prf::Prf;
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use disk::{Disk, Place};
use sealed::{FORMAT, seal, unseal};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Revisions that are kept, and octets of them with what they refer to; those that could still be needed are kept whatever they are.
const KEPT: usize = 50;
const KEPT_OCTETS: u64 = 64 << 20;
/// Largest revision, octets.
const LARGEST: u64 = 128 << 20;
/// Largest secret, octets: the text of a file is one.
const LARGEST_SECRET: u64 = crate::config::LARGEST_FILE;
/// Largest of the small ones, octets.
const LARGEST_OTHER: u64 = 1 << 20;
/// How a file is called until it is whole.
const NEW: &str = ".new";

/// What to do about a revision in force that is damaged.
pub const WAY_OUT: &str = "bring `state_dir` back from a backup, or move it away: then what the files say comes into force, and without what came over the API";

/// Why the store does not do it; each is a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// By its first line.
    #[error(
        "{name} was written by a newer Sandhog (format {format}, this one knows {FORMAT}); nothing was changed: start the newer version, or set another `state_dir`"
    )]
    Newer {
        /// Which file.
        name: String,
        /// Its format.
        format: u32,
    },
    /// Not as we wrote it.
    #[error("{0} is damaged")]
    Damaged(String),
    /// What is older may let in who is not to come in any more.
    #[error("revision {number}, the one in force, cannot be used: {why}; {WAY_OUT}")]
    InForce {
        /// Which one.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Never made, or not kept.
    #[error("there is no revision {0}; `sandhog revisions` lists those that there are")]
    Missing(u64),
    /// More than would be read back.
    #[error("{what} has {size} octets, and at most {most} are kept")]
    Large {
        /// What of it.
        what: &'static str,
        /// Its octets.
        size: u64,
        /// The limit.
        most: u64,
    },
    /// A secret of a revision is gone.
    #[error("a secret of this revision is not there any more")]
    NoSecret,
    /// Full, not allowed ...
    #[error("{what}: {error}")]
    Io {
        /// Which file.
        what: String,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Who asked for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// User, as the socket says; `None`: the daemon itself, or a signal.
    pub uid: Option<u32>,
    /// Process.
    pub pid: Option<i32>,
}

/// What is known of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Counts up, never used twice.
    pub number: u64,
    /// When it was made, seconds since 1970.
    pub time: u64,
    /// By whom.
    pub who: Who,
    /// How: `apply`, `reload`, `rollback` ...
    pub what: String,
    /// Of the document, keyed.
    pub digest: String,
    /// Of the files of the configuration as they were then, keyed.
    pub files: String,
    /// The revision that this one brought back.
    pub restores: Option<u64>,
    /// The files of its secrets.
    pub secrets: BTreeSet<String>,
}

/// A revision to be.
#[derive(Debug)]
pub struct Draft {
    /// When, seconds since 1970.
    pub time: u64,
    /// By whom.
    pub who: Who,
    /// How.
    pub what: String,
    /// Of the document, keyed.
    pub digest: String,
    /// Of the files, keyed.
    pub files: String,
    /// The revision that this one brings back.
    pub restores: Option<u64>,
    /// With references in place of secrets.
    pub document: String,
    /// What they refer to: [`Store::reference`] of each.
    pub secrets: Vec<Secret>,
}

/// Undone by itself, unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What comes back then.
    pub previous: u64,
    /// When, by the wall clock, seconds since 1970.
    pub unix: u64,
    /// When, by the clock that counts from boot, milliseconds.
    pub boot: u64,
    /// Which boot.
    pub boot_id: String,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    /// Its number; 0 before the first.
    revision: u64,
    /// The highest number ever used.
    latest: u64,
    /// The files of the configuration as they were when it came into force, keyed.
    files: String,
    pending: Option<Pending>,
    /// Those that were taken back before they were confirmed.
    undone: BTreeSet<u64>,
}

/// The open store.
#[derive(Debug)]
pub struct Store {
    disk: Box<dyn Disk>,
    key: Secret,
    current: Current,
    /// Intact ones and their octets.
    revisions: BTreeMap<u64, (Meta, u64)>,
    /// What was found wrong, and what was done about it.
    pub warnings: Vec<String>,
}
impl Store {
    /// Reads what is there; makes it where nothing is.
    ///
    /// # Errors
    /// It is of a newer version, or the disk cannot be read or, the first time, written.
    pub fn open(disk: Box<dyn Disk>, rng: &mut dyn Rng) -> Result<Self, Error> {
        let mut store = Self::empty(disk);
        store.read_format()?;
        store.read_key(rng)?;
        store.read_revisions()?;
        store.read_current()?;
        store.tidy();
        Ok(store)
    }

    /// Reads what somebody else has open, and leaves all of it as it is; `None` if there is nothing.
    ///
    /// # Errors
    /// It is of a newer version, or cannot be read.
    pub fn look(disk: Box<dyn Disk>) -> Result<Option<Self>, Error> {
        let mut store = Self::empty(disk);
        let there = |name| {
            let found = store.disk.read(Place::Top, name, LARGEST_OTHER).map_err(io_error(name));
            found.map(|octets| octets.map(Secret::new))
        };
        let (Some(_), Some(key)) = (there("format")?, there("key")?) else { return Ok(None) };
        store.read_format()?;
        store.key = key;
        store.read_revisions()?;
        store.read_current()?;
        Ok(Some(store))
    }

    fn empty(disk: Box<dyn Disk>) -> Self {
        Self {
            disk,
            key: Secret::default(),
            current: Current::default(),
            revisions: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// For keyed hashes of what must not be shown.
    pub fn key(&self) -> &Secret {
        &self.key
    }
    /// The revision in force, if there ever was one.
    pub fn current(&self) -> Option<&Meta> {
        self.revisions.get(&self.current.revision).map(|(meta, _)| meta)
    }
    /// The files as they were when it came into force, keyed.
    pub fn files(&self) -> &str {
        &self.current.files
    }
    /// What it waits for.
    pub fn pending(&self) -> Option<&Pending> {
        self.current.pending.as_ref()
    }
    /// All that are kept, the newest first, and whether it was taken back.
    pub fn revisions(&self) -> impl Iterator<Item = (&Meta, bool)> {
        self.revisions.values().rev().map(|(meta, _)| (meta, self.current.undone.contains(&meta.number)))
    }
    /// What a rollback goes back to: the last before the one whose contents are in force that says something else and was not taken back.
    pub fn previous(&self) -> Option<u64> {
        let in_force = self.current()?;
        let from = in_force.restores.unwrap_or(in_force.number);
        let older = self.revisions.range(..from).rev().map(|(_, (meta, _))| meta);
        let other = |meta: &&Meta| meta.digest != in_force.digest && !self.current.undone.contains(&meta.number);
        older.into_iter().find(other).map(|meta| meta.number)
    }

    /// The document of a revision, with its references.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn document(&self, number: u64) -> Result<String, Error> {
        let (_, document) = self.read_revision(&number.to_string())?.ok_or(Error::Missing(number))?;
        Ok(document)
    }
    /// A secret of a revision.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn secret(&self, reference: &str) -> Result<Secret, Error> {
        let found = self.disk.read(Place::Secrets, reference, LARGEST_SECRET);
        found.map_err(io_error(reference))?.map(Secret::new).ok_or(Error::NoSecret)
    }
    /// What stands for a secret in a document.
    pub fn reference(&self, secret: &Secret) -> String {
        hex::encode(Prf::HmacSha256.mac(self.key.expose(), &[b"secret", secret.expose()]).expose())
    }

    /// Brings a revision to the disk, and then into force; its number.
    ///
    /// # Errors
    /// When there is more of it than would be read back, or the disk does not take it: then all is as it was.
    pub fn commit(&mut self, draft: Draft, pending: Option<Pending>) -> Result<u64, Error> {
        let number = self.current.latest + 1;
        let references = draft.secrets.iter().map(|secret| self.reference(secret)).collect::<Vec<_>>();
        let Draft { time, who, what, digest, files, restores, document, secrets: contents } = draft;
        let secrets = references.iter().cloned().collect();
        let meta = Meta { number, time, who, what, digest, files: files.clone(), restores, secrets };
        let octets = seal("revision", &[&json(&meta), b"\n", document.as_bytes()]);
        let size = octets.len() as u64;
        bounded("what the API has", size, LARGEST)?;
        for secret in &contents {
            bounded("a file of the configuration, or a secret of the API,", secret.len() as u64, LARGEST_SECRET)?;
        }
        for (reference, secret) in references.iter().zip(&contents) {
            let kept = self.disk.read(Place::Secrets, reference, LARGEST_SECRET).ok().flatten().map(Secret::new);
            if kept.is_none_or(|kept| kept.expose() != secret.expose()) {
                self.put(Place::Secrets, reference, secret.expose())?;
            }
        }
        self.put(Place::Revisions, &number.to_string(), &octets)?;
        let next = Current { revision: number, latest: number, files, pending, undone: self.current.undone.clone() };
        if let Err(error) = self.point(next) {
            // Nobody refers to it, and the next start would take it away.
            let _ = self.disk.remove(Place::Revisions, &number.to_string());
            return Err(error);
        }
        self.revisions.insert(number, (meta, size));
        self.tidy();
        Ok(number)
    }

    /// What is in force stays.
    ///
    /// # Errors
    /// When the disk does not take it: then it still waits.
    pub fn confirm(&mut self) -> Result<(), Error> {
        let next = Current { pending: None, ..self.current.clone() };
        self.point(next)
    }

    /// What is in force was never wanted: another revision is in force again, and the files that stand now are known.
    ///
    /// # Errors
    /// When the disk does not take it: then all is as it was.
    pub fn take_back(&mut self, to: u64, files: String) -> Result<(), Error> {
        let mut next = Current { revision: to, files, pending: None, ..self.current.clone() };
        next.undone.insert(self.current.revision);
        self.point(next)
    }

    /// The same without the disk, which did not take it: what is written next says it.
    pub fn regard_taken_back(&mut self, to: u64, files: String) {
        let mut next = Current { revision: to, files, pending: None, ..self.current.clone() };
        next.undone.insert(self.current.revision);
        self.current = next;
    }

    fn point(&mut self, next: Current) -> Result<(), Error> {
        self.put(Place::Top, "current", &seal("current", &[&json(&next)]))?;
        self.current = next;
        Ok(())
    }

    /// A whole file under this name, or what was there before.
    fn put(&mut self, place: Place, name: &str, octets: &[u8]) -> Result<(), Error> {
        let new = format!("{name}{NEW}");
        let disk = &mut self.disk;
        let done = disk
            .remove(place, &new)
            .and_then(|()| disk.create(place, &new, octets))
            .and_then(|()| disk.rename(place, &new, name))
            .and_then(|()| disk.sync(place));
        if done.is_err() {
            // Room for the next try; what cannot be taken away the next start takes.
            let _ = disk.remove(place, &new);
        }
        done.map_err(io_error(name))
    }

    fn read_format(&mut self) -> Result<(), Error> {
        let found = self.disk.read(Place::Top, "format", LARGEST_OTHER).map_err(io_error("format"))?;
        let Some(octets) = found else { return self.put(Place::Top, "format", format!("{FORMAT}\n").as_bytes()) };
        let text = String::from_utf8_lossy(&octets);
        match text.trim().parse::<u32>() {
            Ok(format) if format > FORMAT => Err(Error::Newer { name: "state_dir".into(), format }),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Damaged("the file `format` of state_dir".into())),
        }
    }

    fn read_key(&mut self, rng: &mut dyn Rng) -> Result<(), Error> {
        let found = self.disk.read(Place::Top, "key", LARGEST_OTHER).map_err(io_error("key"))?;
        self.key = match found.map(Secret::new) {
            Some(key) if key.len() == 32 => key,
            found => {
                if found.is_some() {
                    self.warnings.push("the key of state_dir was damaged and is made anew: all ETags change".into());
                }
                let key = Secret::random(32, rng);
                self.put(Place::Top, "key", key.expose())?;
                key
            }
        };
        Ok(())
    }

    fn read_revisions(&mut self) -> Result<(), Error> {
        for name in self.disk.names(Place::Revisions).map_err(io_error("revisions"))? {
            if name.parse::<u64>().is_err() {
                continue;
            }
            match self.read_revision(&name) {
                Ok(Some((meta, document))) => {
                    self.revisions.insert(meta.number, (meta, document.len() as u64));
                }
                Ok(None) => {}
                // Only those of this version can be gone back to; the others are left as they are.
                Err(error) => self.warnings.push(error.to_string()),
            }
        }
        Ok(())
    }

    fn read_revision(&self, name: &str) -> Result<Option<(Meta, String)>, Error> {
        let shown = format!("revision {name}");
        let Some(octets) = self.disk.read(Place::Revisions, name, LARGEST).map_err(io_error(&shown))? else {
            return Ok(None);
        };
        let damaged = || Error::Damaged(shown.clone());
        let body = std::str::from_utf8(unseal("revision", &shown, &octets)?).map_err(|_| damaged())?;
        let (head, document) = body.split_once('\n').ok_or_else(damaged)?;
        let meta: Meta = serde_json::from_str(head).map_err(|_| damaged())?;
        if meta.number.to_string() == name { Ok(Some((meta, document.to_owned()))) } else { Err(damaged()) }
    }

    fn read_current(&mut self) -> Result<(), Error> {
        let found = self.disk.read(Place::Top, "current", LARGEST_OTHER).map_err(io_error("current"))?;
        let newest = self.revisions.last_key_value().map_or(0, |(number, _)| *number);
        let read = found.as_deref().map(|octets| {
            let body = unseal("current", "the file `current` of state_dir", octets)?;
            serde_json::from_slice::<Current>(body).map_err(|_| Error::Damaged("the file `current`".into()))
        });
        self.current = match read.transpose() {
            Ok(Some(current)) => current,
            // The first was never finished.
            Ok(None) if newest <= 1 => Current::default(),
            Ok(None) => {
                self.warnings.push(format!("`current` is gone from state_dir: revision {newest} is taken for it"));
                Current { revision: newest, latest: newest, ..Current::default() }
            }
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(error) => {
                self.warnings.push(format!("{error}: revision {newest}, the newest, is taken for the one in force"));
                Current { revision: newest, latest: newest, ..Current::default() }
            }
        };
        let Current { revision, pending, .. } = &self.current;
        if *revision == 0 || self.revisions.contains_key(revision) {
            return Ok(());
        }
        let why = match self.read_revision(&revision.to_string()) {
            // That is no damage.
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(error) => error.to_string(),
            Ok(_) => "it is gone".into(),
        };
        // Nobody has confirmed it, and without that this is what comes back.
        let before = pending.as_ref().map(|pending| pending.previous);
        let Some(before) = before.filter(|before| self.revisions.contains_key(before)) else {
            return Err(Error::InForce { number: *revision, why });
        };
        self.warnings.push(format!("revision {revision} was not confirmed and cannot be read; going on with {before}"));
        self.current = Current { revision: before, pending: None, ..self.current.clone() };
        Ok(())
    }

    /// Takes away what was never finished, what is too old, and secrets that nobody refers to. A failure costs room and nothing else.
    fn tidy(&mut self) {
        for place in [Place::Top, Place::Revisions, Place::Secrets] {
            for name in self.disk.names(place).unwrap_or_default().iter().filter(|name| name.ends_with(NEW)) {
                let _ = self.disk.remove(place, name);
            }
        }
        let latest = self.current.latest;
        let needed = [Some(self.current.revision), self.current.pending.as_ref().map(|p| p.previous), self.previous()];
        let (mut count, mut octets, mut counted) = (0, 0, BTreeSet::new());
        let mut gone: Vec<u64> = self.revisions.keys().copied().filter(|number| *number > latest).collect();
        for (number, (meta, size)) in self.revisions.range(..=latest).rev() {
            let more = meta.secrets.iter().filter(|reference| counted.insert(*reference));
            let more = more.filter_map(|reference| self.disk.size(Place::Secrets, reference).ok().flatten());
            (count, octets) = (count + 1, octets + size + more.sum::<u64>());
            if (count > KEPT || octets > KEPT_OCTETS) && !needed.contains(&Some(*number)) {
                gone.push(*number);
            }
        }
        for number in gone {
            if self.disk.remove(Place::Revisions, &number.to_string()).is_ok() {
                self.revisions.remove(&number);
                self.current.undone.remove(&number);
            }
        }
        self.tidy_secrets();
    }

    fn tidy_secrets(&mut self) {
        // What cannot be read may refer to any of them.
        let revisions = self.disk.names(Place::Revisions).unwrap_or_default();
        let unread = |name: &String| name.parse().is_ok_and(|number: u64| !self.revisions.contains_key(&number));
        if revisions.iter().any(unread) {
            return;
        }
        for name in self.disk.names(Place::Secrets).unwrap_or_default() {
            if !self.revisions.values().any(|(meta, _)| meta.secrets.contains(&name)) {
                let _ = self.disk.remove(Place::Secrets, &name);
            }
        }
    }
}

fn bounded(what: &'static str, size: u64, most: u64) -> Result<(), Error> {
    if size > most { Err(Error::Large { what, size, most }) } else { Ok(()) }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Plain structs of numbers and strings: there is nothing in them that JSON does not have.
    serde_json::to_vec(value).unwrap_or_default()
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let what = format!("{what} of state_dir");
    move |error| Error::Io { what, error }
}
