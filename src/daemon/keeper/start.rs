//! What a start takes: the files, what the API has put, and what is known of the last time.
//!
//! | on the disk | what comes into force |
//! | --- | --- |
//! | nothing | what the files say |
//! | a revision, and the files are as they were then | that revision: if it was brought back, the files say something else, and that is warned of |
//! | a revision, and the files have been changed since | the files, and what the API has put |
//! | the same, and the files are refused | that revision: a gateway that is down helps nobody to mend them |
//! | a revision that is damaged, and what is lost of it is needed | nothing: what is older may let in who is not to come in any more |
//! | a revision that waits to be confirmed | the same, and it goes on waiting |
//! | one that nobody confirmed in time | the revision before it |
//! | a revision of the daemon that this one takes over from | that revision, whatever the files say by now: it is in force |
use super::change::draft;
use super::deadline::{self, Moment};
use super::port::Nobody;
use super::{AGAIN, InForce, Keeper, SOON, answer, fingerprint, revision};
use crate::config::document::{Desired, Key, Value, digest};
use crate::config::{self, Config, Errors, Gateway, Source, System};
use crate::control::config::{Order, Who};
use crate::control::metrics::meter::{Figure, Meter};
use crate::control::request::Engine;
use crate::crypto::rng::SystemRng;
use crate::crypto::secret::Secret;
use crate::daemon::store::disk::Folders;
use crate::daemon::store::{Error, Store, WAY_OUT};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

/// What to start with.
#[derive(Debug)]
pub struct Begun {
    /// All of it, checked.
    pub config: Config,
    /// What whoever asks for `/v1/info` is to know of it.
    pub notes: Vec<String>,
    keeper: Keeper,
    /// What was found, for the log.
    said: Vec<String>,
    /// Undone because nobody confirmed it in time, and what is in force instead.
    undone: Option<(u64, u64)>,
    /// Which revision is in force.
    revision: Option<u64>,
}
impl Begun {
    /// Says what was found.
    pub fn log(&self) {
        self.said.iter().for_each(|sentence| tracing::warn!("{sentence}"));
        self.keeper.refusal().iter().for_each(|sentence| tracing::error!("{sentence}"));
    }
    #[cfg(test)]
    pub(super) fn keeper(self) -> Keeper {
        self.keeper
    }
    #[cfg(test)]
    pub(super) fn revision(&self) -> Option<u64> {
        self.revision
    }
    #[cfg(test)]
    pub(super) fn undone(&self) -> Option<(u64, u64)> {
        self.undone
    }
    /// Starts the keeper beside a running engine.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(self, engine: Engine, orders: Receiver<Order>, meter: Arc<Meter>) -> std::io::Result<JoinHandle<()>> {
        let Self { mut keeper, undone, revision, .. } = self;
        keeper.port = Box::new(engine);
        meter.set(Figure::ConfigRevision, revision.unwrap_or(0));
        keeper.meter = meter;
        if let Some(refused) = keeper.refusal() {
            keeper.tell("config.refused", None, format!("start: {refused}"));
        }
        if let Some((undone, revision)) = undone {
            let why = format!("not confirmed in time; revision {revision} is in force");
            keeper.tell("config.rolled_back", Some(undone), why);
        }
        keeper.start(orders)
    }
}

/// Why there is no start.
#[derive(Debug)]
pub enum NoStart {
    /// The configuration is refused.
    Refused(Errors),
    /// Something else, in a sentence.
    Sentence(String),
}
impl From<Errors> for NoStart {
    fn from(errors: Errors) -> Self {
        Self::Refused(errors)
    }
}

/// In one line.
fn first(Errors(findings): &Errors) -> String {
    let more = findings.len().saturating_sub(1);
    let first = findings.first().map(answer::warning).unwrap_or_default();
    if more == 0 { first } else { format!("{first} (and {more} more)") }
}

/// Reads the files and `state_dir`.
///
/// The heir of a daemon that is still at work only looks at what that one has open, and opens it itself when that one has gone.
///
/// # Errors
/// The files are refused, or `state_dir` is of a newer version or what was in force is damaged there, or an heir cannot read it.
pub fn begin(path: &Path, is_heir: bool) -> Result<Begun, NoStart> {
    begin_at(path, is_heir, Moment::now)
}

/// The same by other clocks.
pub(super) fn begin_at(path: &Path, is_heir: bool, now: fn() -> Moment) -> Result<Begun, NoStart> {
    let sources = config::sources(path);
    let desired = sources.as_ref().map_err(Errors::clone).and_then(|sources| Desired::from_sources(sources));
    let state_dir = match &desired {
        // Whoever has taken the file away wants no gateway of it.
        Err(errors) if matches!(path.try_exists(), Ok(false)) => return Err(NoStart::Refused(errors.clone())),
        desired => state_dir(path, desired)?,
    };
    let opened = if is_heir { look(&state_dir) } else { open_soon(&state_dir).map(Some) };
    let (store, storeless) = match opened {
        Ok(store) => (store, None),
        Err(error @ (Error::Newer { .. } | Error::InForce { .. })) => return Err(NoStart::Sentence(error.to_string())),
        // What the API has put is in there, and the daemon at work has it: it must not get lost by an upgrade.
        Err(error)
            if is_heir && !matches!(state_dir.symlink_metadata(), Err(none) if none.kind() == ErrorKind::NotFound) =>
        {
            return Err(NoStart::Sentence(format!("{}: {error}", state_dir.display())));
        }
        Err(error) => (None, Some(format!("{}: {error}", state_dir.display()))),
    };
    let key = store.as_ref().map_or_else(process_key, key);
    let files = match &sources {
        Ok(sources) => fingerprint(&key, sources),
        Err(_) => store.as_ref().map_or_else(String::new, |store| store.files().to_owned()),
    };
    let files = Files { path: path.to_owned(), sources: sources.unwrap_or_default(), desired, hash: files };
    from(files, Found { state_dir, store, storeless, key, is_heir }, now)
}

/// The files as they are now.
struct Files {
    path: PathBuf,
    sources: Vec<Source>,
    /// What they say, or why nobody knows.
    desired: Result<Desired, Errors>,
    /// Keyed; of those that cannot be read, what it was when they were in force.
    hash: String,
}

/// The store, or why there is none.
struct Found {
    state_dir: PathBuf,
    store: Option<Store>,
    storeless: Option<String>,
    key: [u8; 32],
    /// It is another's, to look at.
    is_heir: bool,
}

fn from(files: Files, found: Found, now: fn() -> Moment) -> Result<Begun, NoStart> {
    let Found { state_dir, mut store, storeless, key, is_heir } = found;
    let mut said: Vec<String> = storeless.iter().map(|why| format!("no revisions are kept: {why}")).collect();
    let mut undone = None;
    if let Some(store) = &mut store {
        said.append(&mut store.warnings);
        undone = if is_heir { None } else { expired(store, &files.hash, &now()) };
        if let Some((number, previous)) = undone {
            said.push(format!(
                "revision {number} was not confirmed in time and is undone: revision {previous} is in force"
            ));
        }
    }
    let Chosen { desired, config, differs, refused, hash } = match &store {
        Some(store) if is_heir => inherit(store, &files, &key)?,
        Some(store) => choose(store, &files, &key, &mut said)?,
        None => of_files(&files, files.desired.clone().map_err(NoStart::Refused))?,
    };
    let etag = hex::encode(digest(&desired, &key));
    let in_force = InForce { desired, config: config.clone(), etag, files: hash };
    if let Some(store) = store.as_mut().filter(|_| !is_heir) {
        note(store, &in_force, &now(), &mut said);
    }
    let revision = store.as_ref().and_then(|store| store.current()).map(|meta| meta.number);
    if is_heir {
        store = None;
    }
    // Where this daemon has looked, whatever is to be after a restart.
    let gateway = Gateway { state_dir: state_dir.clone(), ..config.gateway };
    let config = Config { gateway, ..config };
    let keeper = Keeper {
        path: files.path,
        state_dir,
        store,
        key,
        port: Box::new(Nobody),
        now,
        in_force,
        before: None,
        plans: VecDeque::new(),
        storeless,
        is_heir,
        again: SOON,
        differs,
        refused,
        restart: Vec::new(),
        retry: None,
        meter: Arc::default(),
    };
    let notes = keeper.notes();
    Ok(Begun { config, notes, keeper, said, undone, revision })
}

/// A revision that nobody confirmed in time goes: it and what comes back.
fn expired(store: &mut Store, files: &str, now: &Moment) -> Option<(u64, u64)> {
    let pending = store.pending().filter(|pending| deadline::left(pending, now).is_zero())?;
    let (previous, number) = (pending.previous, store.current()?.number);
    let of = |number| store.revisions().map(|(meta, _)| meta).find(|meta| meta.number == number);
    // If the files were changed for it, they are not what is wanted.
    let known = of(previous)?.files.clone();
    let files = if store.files() == known { known } else { files.to_owned() };
    if store.take_back(previous, files.clone()).is_err() {
        // It is not on the disk, and this start goes by it: at the next one the time is over, too.
        store.regard_taken_back(previous, files);
    }
    Some((number, previous))
}

/// What comes into force.
struct Chosen {
    desired: Desired,
    config: Config,
    /// The files say something else.
    differs: bool,
    /// Why it is not them.
    refused: Option<String>,
    /// The files that are known then, keyed.
    hash: String,
}

/// The files, and what stands beside them.
fn of_files(files: &Files, desired: Result<Desired, NoStart>) -> Result<Chosen, NoStart> {
    let desired = desired?;
    let config = desired.check(&System)?;
    Ok(Chosen { desired, config, differs: false, refused: None, hash: files.hash.clone() })
}

/// The revision in force, the files, or what there is where neither can be used.
fn choose(store: &Store, files: &Files, key: &[u8; 32], said: &mut Vec<String>) -> Result<Chosen, NoStart> {
    let beside = beside(store, files);
    let Some(in_force) = store.current() else { return of_files(files, beside) };
    let as_kept = beside.as_ref().is_ok_and(|desired| hex::encode(digest(desired, key)) == in_force.digest);
    if !as_kept && store.files() == files.hash && files.desired.is_ok() {
        // What they say was taken out of force, and damage does not bring it back.
        let (desired, config) = kept(store, in_force.number)?;
        said.push(format!("revision {} is in force, which is not what the files say", in_force.number));
        return Ok(Chosen { desired, config, differs: true, refused: None, hash: files.hash.clone() });
    }
    // The files have been changed while nobody was looking, and what the API has put must not get lost because of that.
    let why = match of_files(files, beside) {
        Err(NoStart::Refused(why)) => why,
        chosen => return chosen,
    };
    match kept(store, in_force.number) {
        // A store that was found without the files may be that of other files.
        Ok((desired, config)) if desired.has_file(&files.path) => {
            let refused = Some(first(&why));
            Ok(Chosen { desired, config, differs: false, refused, hash: store.files().to_owned() })
        }
        _ => Err(NoStart::Refused(why)),
    }
}

/// What is in force in the daemon before; an edit of the files that nobody has put into force waits on.
fn inherit(store: &Store, files: &Files, key: &[u8; 32]) -> Result<Chosen, NoStart> {
    let beside = beside(store, files);
    let Some(in_force) = store.current() else { return of_files(files, beside) };
    let number = in_force.number;
    let desired = revision::unpack(store, number).map_err(|why| NoStart::Sentence(unusable(number, &why)))?;
    let config = desired.check(&System)?;
    let differs = !beside.is_ok_and(|desired| hex::encode(digest(&desired, key)) == in_force.digest);
    Ok(Chosen { desired, config, differs, refused: None, hash: store.files().to_owned() })
}

/// The files as they are now, and what the API has put.
fn beside(store: &Store, files: &Files) -> Result<Desired, NoStart> {
    let desired = files.desired.as_ref().map_err(|errors| NoStart::Refused(errors.clone()))?;
    let Some(in_force) = store.current() else { return Ok(desired.clone()) };
    let number = in_force.number;
    revision::beside(store, number, &files.sources).or_else(|_| match revision::unpack(store, number) {
        // It is whole, and the files have what is the API's.
        Ok(kept) => kept.with_files(&files.sources).map_err(NoStart::Refused),
        Err(damage) => Err(damaged(number, &damage)),
    })
}

/// The revision in force, and none in its place: what is older may let in who is not to come in any more.
fn kept(store: &Store, number: u64) -> Result<(Desired, Config), NoStart> {
    let desired = revision::unpack(store, number).map_err(|why| damaged(number, &why))?;
    let config = desired.check(&System)?;
    Ok((desired, config))
}

/// There is no start from what is left of it.
fn damaged(number: u64, why: &str) -> NoStart {
    NoStart::Sentence(format!("{}; {WAY_OUT}", unusable(number, why)))
}

fn unusable(number: u64, why: &str) -> String {
    format!("revision {number} cannot be used: {why}")
}

/// What is in force is a revision, too.
fn note(store: &mut Store, in_force: &InForce, now: &Moment, said: &mut Vec<String>) {
    let same = store.current().is_some_and(|meta| meta.digest == in_force.etag) && store.files() == in_force.files;
    if same {
        return;
    }
    let pending = store.pending().cloned();
    let draft = draft(store, in_force, now.unix, Who::default(), "start", None);
    if let Err(error) = store.commit(draft, pending) {
        said.push(format!("no revision of this start is kept: {error}"));
    }
}

impl Keeper {
    /// A disk that was full or missing at the start may be there now.
    pub(super) fn reopen(&mut self) {
        if self.store.is_some() {
            return;
        }
        let folders = Folders::open(&self.state_dir);
        // The daemon before has not gone yet; it has its time.
        let is_taken = matches!(&folders, Err(error) if error.kind() == ErrorKind::WouldBlock);
        if self.is_heir && is_taken && self.again < AGAIN {
            return;
        }
        let opened = of_folders(folders).map_err(|error| error.to_string()).and_then(|store| {
            let of_disk = store.current().map(|meta| meta.digest.clone());
            let ours = hex::encode(digest(&self.in_force.desired, &key(&store)));
            match of_disk {
                Some(of_disk) if of_disk != ours && !self.is_heir => {
                    Err("it holds another configuration: restart to take it".to_owned())
                }
                _ => Ok(store),
            }
        });
        match opened {
            Err(why) => {
                let why = format!("{}: {why}", self.state_dir.display());
                if self.is_heir && self.storeless.as_ref() != Some(&why) {
                    tracing::warn!("no revisions are kept: {why}");
                }
                self.storeless = Some(why);
            }
            Ok(mut store) => {
                // An heir has seen it before: what has been edited since is not in force.
                if self.key != key(&store) {
                    self.key = key(&store);
                    self.in_force.etag = hex::encode(digest(&self.in_force.desired, &self.key));
                    self.in_force.files =
                        super::read_files(&self.path, &self.key).map(|(_, files)| files).unwrap_or_default();
                }
                note(&mut store, &self.in_force, &(self.now)(), &mut Vec::new());
                (self.store, self.storeless, self.is_heir) = (Some(store), None, false);
                self.plans.clear();
            }
        }
    }
}

/// How often a start looks whether the one before has let go, and how long it waits in between.
const LOOKS: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(20);

/// Waits for the one before: what was killed holds its lock until the last of it has gone, a program that it was just starting among it.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel tells nobody that a lock is free without taking it, for however long that takes"
)]
fn open_soon(state_dir: &Path) -> Result<Store, Error> {
    for _ in 0..LOOKS {
        match Folders::open(state_dir) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(BETWEEN),
            opened => return of_folders(opened),
        }
    }
    open(state_dir)
}

fn open(state_dir: &Path) -> Result<Store, Error> {
    of_folders(Folders::open(state_dir))
}

fn of_folders(opened: std::io::Result<Folders>) -> Result<Store, Error> {
    let disk = opened.map_err(|error| {
        let error = match error.kind() {
            ErrorKind::WouldBlock => {
                std::io::Error::other("another sandhogd has it: give this one its own `state_dir`")
            }
            _ => error,
        };
        Error::Io { what: "state_dir".into(), error }
    })?;
    Store::open(Box::new(disk), &mut SystemRng)
}

fn look(state_dir: &Path) -> Result<Option<Store>, Error> {
    let failed = |error| Error::Io { what: "state_dir".into(), error };
    Store::look(Box::new(Folders::look(state_dir).map_err(failed)?))
}

/// Where revisions are kept. Files that are refused and may mean another place than the default do not begin with what was in force there once.
fn state_dir(path: &Path, desired: &Result<Desired, Errors>) -> Result<PathBuf, Errors> {
    let desired = desired.as_ref().map_err(Errors::clone);
    let gateway = desired.as_ref().ok().and_then(|desired| desired.get(&Key::gateway()));
    match gateway.and_then(|gateway| gateway.body().get("state_dir")) {
        Some(Value::String(said)) if said.starts_with('/') => return Ok(said.into()),
        _ => {}
    }
    match config::state_dir(path) {
        Some(said) => Ok(said),
        None => desired?.check(&System).map(|config| config.gateway.state_dir),
    }
}

fn key(store: &Store) -> [u8; 32] {
    let mut key = [0; 32];
    let octets = store.key().expose();
    let n = octets.len().min(key.len());
    key[..n].copy_from_slice(&octets[..n]);
    key
}

/// For as long as the process lives.
fn process_key() -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(Secret::random(32, &mut SystemRng).expose());
    key
}
