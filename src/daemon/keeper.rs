//! The keeper: the one thread that reads the files of the configuration and writes `state_dir`.
//!
//! A configuration comes into force in this order: all of it is checked; it is brought to the disk as a revision; the engine adopts it; the
//! answer goes out. If the engine refuses, the revision before is in force again. So after kill -9 at any moment a start finds the old
//! configuration or the new one, and never something between.
//!
//! With a time limit the revision before comes back unless somebody confirms. The limit is on the disk, too: it goes on over a restart, and
//! one that has passed meanwhile is honoured by the start.
mod answer;
mod change;
mod deadline;
mod outline;
mod port;
mod revision;
mod standing;
mod start;
#[cfg(test)]
mod tests;
#[cfg(test)]
use start::begin_at;

pub use outline::outline;
pub use start::{Begun, NoStart, begin};

use super::privileges;
use super::store::{self, Store};
use crate::config::document::{Desired, Key, Owner, digest};
use crate::config::plan::{self, Side};
use crate::config::{self, Config, Errors, Source, System};
use crate::control::config::{Exists, From, Kind, Object, Order, Plan, Shown, Terms, Who};
use crate::control::metrics::meter::{Figure, Meter};
use crate::control::problem::Problem;
use crate::control::request::News;
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use deadline::Moment;
use port::Port;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Plans that can still be applied, and for how long.
const PLANS: usize = 4;
const PLAN_LIFE: Duration = Duration::from_secs(600);
/// A limit is looked at this often, whatever the clock of the wait does in between (it stands still in suspend).
const LOOK: Duration = Duration::from_secs(10);
/// What could not be undone is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);
/// An heir looks after this whether the store is free, and then after twice as long each time.
const SOON: Duration = Duration::from_millis(50);

/// A document and what it means.
#[derive(Clone, Debug)]
struct InForce {
    desired: Desired,
    config: Config,
    /// Of the document, keyed.
    etag: String,
    /// Of the files as they were when they were read for it, keyed.
    files: String,
}

/// A document that may come into force.
#[derive(Debug)]
struct Made {
    /// Names it.
    id: String,
    /// What it was made from.
    base: String,
    to: InForce,
    plan: plan::Plan,
    /// The files say so: what a running daemon cannot change is warned of, not refused.
    of_files: bool,
    at: Duration,
}

/// The keeper's state.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    state_dir: PathBuf,
    store: Option<Store>,
    /// Hashes what is shown: the store's own key, or one for as long as the process lives.
    key: [u8; 32],
    port: Box<dyn Port>,
    now: fn() -> Moment,
    in_force: InForce,
    /// What comes back if nobody confirms; after a restart it is on the disk only.
    before: Option<InForce>,
    plans: VecDeque<Made>,
    /// Why nothing is kept.
    storeless: Option<String>,
    /// The store is still another's, who is about to go.
    is_heir: bool,
    /// It is looked at again after this.
    again: Duration,
    /// What is in force is not what the files say.
    differs: bool,
    /// Why the files were refused when this daemon started: a revision is in force in their place.
    refused: Option<String>,
    /// Keys of `[gateway]` that wait for a restart.
    restart: Vec<String>,
    /// What could not be undone is tried again then.
    retry: Option<Duration>,
    /// Shows which revision is in force.
    meter: Arc<Meter>,
}
impl Keeper {
    /// Starts the thread. It ends when nobody can give it orders any more.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(mut self, orders: Receiver<Order>) -> std::io::Result<JoinHandle<()>> {
        Builder::new().name("keeper".into()).spawn(move || {
            loop {
                match orders.recv_timeout(self.wait()) {
                    Ok(order) => self.handle(order),
                    Err(RecvTimeoutError::Timeout) => self.again = (self.again * 2).min(AGAIN),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                self.tick();
            }
        })
    }

    /// How long nothing is due.
    fn wait(&self) -> Duration {
        let idle = if self.is_heir { self.again } else { Duration::from_secs(3600) };
        let Some(pending) = self.pending() else { return idle };
        let now = (self.now)();
        let due =
            deadline::left(pending, &now).max(self.retry.map_or(Duration::ZERO, |at| at.saturating_sub(now.boot)));
        due.min(LOOK)
    }

    /// What waits to be confirmed.
    fn pending(&self) -> Option<&store::Pending> {
        self.store.as_ref()?.pending()
    }

    /// Undoes what nobody has confirmed in time, and shows what is in force.
    fn tick(&mut self) {
        if self.is_heir {
            self.reopen();
        }
        self.undo_late();
        // An heir that has not opened the store has seen there what is in force.
        if !self.is_heir {
            self.meter.set(Figure::ConfigRevision, self.number().unwrap_or(0));
        }
    }

    fn undo_late(&mut self) {
        let now = (self.now)();
        let Some(pending) = self.pending() else { return };
        if !deadline::left(pending, &now).is_zero() || self.retry.is_some_and(|at| at > now.boot) {
            return;
        }
        self.retry = None;
        if let Err(problem) = self.undo(Who::default(), true, "not confirmed in time") {
            self.retry = Some(now.boot + AGAIN);
            tracing::error!(why = ?problem.detail, "what was not confirmed could not be undone; it is tried again");
        }
    }

    fn handle(&mut self, order: Order) {
        if self.is_heir {
            self.reopen();
        }
        // Who asked may have gone away.
        match order {
            Order::Get(reply) => drop(reply.send(Ok(self.shown()))),
            Order::Plan { from, admin, reply } => drop(reply.send(self.plan(from, admin))),
            Order::Apply { from, terms, reply } => drop(reply.send(self.apply_from(from, &terms))),
            Order::Confirm { who, reply } => drop(reply.send(self.confirm(who))),
            Order::Rollback { revision, terms, reply } => drop(reply.send(self.rollback(revision, &terms))),
            Order::Revisions(reply) => drop(reply.send(Ok(self.revisions()))),
            Order::PutObject { object, body, terms, reply } => {
                drop(reply.send(self.put_object(&object, &body, &terms)));
            }
            Order::DeleteObject { object, terms, reply } => drop(reply.send(self.delete_object(&object, &terms))),
            Order::HasSecret { name, reply } => drop(reply.send(self.has_secret(name))),
            Order::Reload => self.reload(),
        }
    }

    fn shown(&self) -> Shown {
        Shown { document: self.in_force.desired.to_json().into_bytes(), etag: self.in_force.etag.clone() }
    }

    fn has_secret(&self, name: String) -> Result<Exists, Problem> {
        let object = self.in_force.desired.get(&Key::secret(&name)).ok_or_else(|| answer::no_secret(&name))?;
        let file = match &object.owner {
            Owner::File(file) => Some(file.display().to_string()),
            Owner::Api => None,
        };
        Ok(Exists { name, file })
    }

    /// A plan, kept for a while.
    fn plan(&mut self, from: From, admin: bool) -> Result<Plan, Problem> {
        let made = self.make_from(from, admin)?;
        let answer = answer::plan(&made, self.port.status().as_deref());
        let now = (self.now)().boot;
        self.plans.retain(|kept| kept.id != made.id && kept.at + PLAN_LIFE > now);
        self.plans.push_front(made);
        self.plans.truncate(PLANS);
        Ok(answer)
    }

    fn make_from(&self, from: From, admin: bool) -> Result<Made, Problem> {
        match from {
            From::Files => {
                let sources = config::sources(&self.path).map_err(|errors| answer::refused(&errors))?;
                let desired = self.in_force.desired.with_files(&sources).map_err(|errors| answer::refused(&errors))?;
                self.make(desired, fingerprint(&self.key, &sources), true)
            }
            From::Document(octets) => {
                let wanted = Desired::from_json(octets.expose()).map_err(|errors| answer::refused(&errors))?;
                mute(&wanted, admin)?;
                let desired = self.in_force.desired.put(wanted).map_err(|errors| answer::refused(&errors))?;
                self.make(desired, self.in_force.files.clone(), false)
            }
            From::Plan(id) => Err(answer::unknown_plan(&id)),
        }
    }

    /// Checks a document and says what it would change.
    fn make(&self, desired: Desired, files: String, of_files: bool) -> Result<Made, Problem> {
        let config = desired.check(&System).map_err(|errors| answer::refused(&errors))?;
        let etag = hex::encode(digest(&desired, &self.key));
        Ok(self.made(InForce { desired, config, etag, files }, of_files))
    }

    fn made(&self, to: InForce, of_files: bool) -> Made {
        let mut plan = {
            let status = self.port.status();
            let standing = |name: &str| standing::of(status.as_deref()?, name);
            let old = Side { document: &self.in_force.desired, config: &self.in_force.config };
            plan::plan(old, Side { document: &to.desired, config: &to.config }, &standing)
        };
        privileges::mark(&mut plan, &to.config);
        let base = self.in_force.etag.clone();
        let bound =
            Prf::HmacSha256.mac(&self.key, &[b"plan", base.as_bytes(), to.etag.as_bytes(), to.files.as_bytes()]);
        let id = hex::encode(&bound.expose()[..16]);
        Made { id, base, to, plan, of_files, at: (self.now)().boot }
    }

    fn put_object(
        &mut self,
        object: &Object,
        body: &Secret,
        terms: &Terms,
    ) -> Result<crate::control::config::Applied, Problem> {
        self.guard(terms)?;
        let wanted = Desired::of_object(&key_of(object), body.expose()).map_err(|errors| answer::refused(&errors))?;
        mute(&wanted, terms.admin)?;
        let desired = self.in_force.desired.put_beside(wanted).map_err(|errors| answer::refused(&errors))?;
        let made = self.make(desired, self.in_force.files.clone(), false)?;
        self.apply(made, terms, "apply", None)
    }

    fn delete_object(&mut self, object: &Object, terms: &Terms) -> Result<crate::control::config::Applied, Problem> {
        self.guard(terms)?;
        let key = key_of(object);
        let desired = self.in_force.desired.delete_object(&key).map_err(|errors| answer::refused(&errors))?;
        let made = self.make(desired.ok_or_else(|| answer::no_object(&key))?, self.in_force.files.clone(), false)?;
        self.apply(made, terms, "apply", None)
    }

    /// The files are read again because of a signal.
    fn reload(&mut self) {
        match self.apply_from(From::Files, &Terms::default()) {
            Ok(applied) => {
                applied.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                tracing::info!("the configuration was read again");
            }
            Err(problem) => {
                for found in problem.findings.iter().flat_map(|findings| &findings.0) {
                    tracing::error!(file = ?found.file, line = found.line, code = ?found.code, "{}", found.message.escape_debug());
                }
                tracing::error!("the configuration is refused: {}", problem.detail);
                self.tell("config.refused", None, format!("reload: {}", problem.code));
            }
        }
    }

    fn tell(&self, event: &'static str, revision: Option<u64>, why: String) {
        self.port.tell(News { event, revision, why, notes: self.notes() });
    }

    /// That the files are refused, and what is in force in their place by now.
    fn refusal(&self) -> Option<String> {
        let (why, number) = (self.refused.as_ref()?, self.number()?);
        Some(format!(
            "the files are refused, and revision {number} is in force in their place; mend them (`sandhog check` says more) and `sandhog reload`: {why}"
        ))
    }

    /// What is to be known of what is in force.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(self.storeless.as_ref().map(|why| format!("no revisions are kept: {why}")));
        notes.extend(self.refusal());
        if self.differs && self.refused.is_none() {
            notes.push(
                "what is in force is not what the files say: `sandhog plan` shows the difference, `sandhog reload` takes the files".into(),
            );
        }
        if let Some(pending) = self.pending() {
            let until = deadline::shown(pending, &(self.now)());
            notes.push(format!("what is in force is undone at {until} unless you run `sandhog confirm`"));
        }
        if !self.restart.is_empty() {
            notes.push(format!("these wait for a restart: {}", self.restart.join(", ")));
        }
        notes
    }
}

fn key_of(object: &Object) -> Key {
    match object.kind {
        Kind::Connection => Key::connection(&object.name),
        Kind::Secret => Key::secret(&object.name),
    }
}

/// Whoever may not know secrets sends none: what comes of a guess that is compared with the one in force tells whether it is right.
fn mute(wanted: &Desired, admin: bool) -> Result<(), Problem> {
    match wanted.tells_secret() {
        Some(pointer) if !admin => Err(answer::no_secrets_of_yours(&pointer)),
        _ => Ok(()),
    }
}

/// The keyed hash of files with their names.
fn fingerprint(key: &[u8; 32], sources: &[Source]) -> String {
    let mut octets = Vec::new();
    for source in sources {
        for part in [source.name.as_os_str().as_encoded_bytes(), source.text.as_bytes()] {
            octets.extend((part.len() as u64).to_be_bytes());
            octets.extend(part);
        }
    }
    let octets = Secret::new(octets);
    hex::encode(Prf::HmacSha256.mac(key, &[b"files", octets.expose()]).expose())
}

/// What the files are to say, and their hash.
fn read_files(path: &std::path::Path, key: &[u8; 32]) -> Result<(Vec<Source>, String), Errors> {
    let sources = config::sources(path)?;
    let hash = fingerprint(key, &sources);
    Ok((sources, hash))
}
