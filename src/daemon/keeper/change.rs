//! What changes what is in force: apply, confirm, undo, roll back.
use super::deadline;
use super::{InForce, Keeper, Made, answer, read_files, revision};
use crate::config::System;
use crate::config::document::digest;
use crate::control::config::{Applied, From, Terms, Who};
use crate::control::problem::Problem;
use crate::daemon::store::{self, Draft, Pending, Store};

impl Keeper {
    /// Nothing may be changed on top of something that waits to be confirmed, nor on top of something that the client has not seen.
    pub(super) fn guard(&mut self, terms: &Terms) -> Result<(), Problem> {
        self.reopen();
        if let Some(pending) = self.pending() {
            return Err(answer::pending(&deadline::shown(pending, &(self.now)())));
        }
        match terms.base.as_deref().map(str::trim) {
            None | Some("*") => Ok(()),
            Some(base) if base.trim_matches('"') == self.in_force.etag => Ok(()),
            Some(_) => Err(answer::moved("what is in force is not what the header If-Match names")),
        }
    }

    pub(super) fn apply_from(&mut self, from: From, terms: &Terms) -> Result<Applied, Problem> {
        self.guard(terms)?;
        let (made, what) = match from {
            From::Plan(id) => {
                let mut plans = self.plans.iter().enumerate();
                let found = plans.find(|(_, plan)| plan.id == id && !self.is_old(plan));
                let (at, found) = found.ok_or_else(|| answer::unknown_plan(&id))?;
                // Whoever may not apply it leaves it to who may.
                if !found.of_files {
                    self.guard_secrets(&found.to, terms.admin)?;
                }
                let made = self.plans.remove(at).ok_or_else(|| answer::unknown_plan(&id))?;
                if made.base != self.in_force.etag {
                    return Err(answer::moved("something else came into force since this plan was made"));
                }
                if made.of_files {
                    (self.as_promised(self.read_again(made)?)?, "reload")
                } else {
                    (self.as_promised(made)?, "apply")
                }
            }
            From::Files => (self.make_from(From::Files, terms.admin)?, "reload"),
            from => (self.make_from(from, terms.admin)?, "apply"),
        };
        self.apply(made, terms, what, None)
    }

    /// What a plan of files has read may have been taken out of them since, a secret among it.
    fn read_again(&self, made: Made) -> Result<Made, Problem> {
        let now = self.make_from(From::Files, true)?;
        if now.id != made.id {
            return Err(answer::moved("the files were changed since this plan was made"));
        }
        Ok(Made { plan: made.plan, ..now })
    }

    /// The plan as of now: what is up may be more than it was, and then the client has agreed to something else.
    fn as_promised(&self, made: Made) -> Result<Made, Problem> {
        let promised = made.plan.impact();
        let made = self.made(made.to, made.of_files);
        if made.plan.impact() > promised {
            return Err(answer::moved("more would be interrupted than when this plan was made: more is up by now"));
        }
        Ok(made)
    }

    fn is_old(&self, made: &Made) -> bool {
        made.at + super::PLAN_LIFE <= (self.now)().boot
    }

    /// To the disk, then into force; if the engine refuses, back.
    pub(super) fn apply(
        &mut self,
        made: Made,
        terms: &Terms,
        what: &str,
        restores: Option<u64>,
    ) -> Result<Applied, Problem> {
        let waiting = made.plan.needs_restart();
        let lenient = made.of_files || restores.is_some();
        if !made.of_files {
            self.guard_secrets(&made.to, terms.admin)?;
        }
        if !waiting.is_empty() && !lenient {
            return Err(answer::needs_restart(&waiting));
        }
        let touched = answer::steps(&made.plan, self.port.status().as_deref());
        let previous = self.number();
        let committed = self.commit(&made, terms, what, restores)?;
        let Made { to, plan, of_files, .. } = made;
        let adopted = match self.port.adopt(to.config.clone(), plan) {
            Ok(adopted) => adopted,
            Err(why) => {
                self.abandon(committed, previous);
                self.tell("config.refused", committed, format!("{what}: {why}"));
                return Err(answer::not_adopted(&why));
            }
        };
        let before = std::mem::replace(&mut self.in_force, to);
        self.before = self.pending().is_some().then_some(before);
        self.plans.clear();
        if of_files {
            (self.differs, self.refused) = (false, None);
            self.restart = waiting;
        } else if restores.is_some() {
            self.compare();
        }
        self.tell("config.applied", committed, format!("{what} by {}", by(terms.who)));
        let mut warnings = adopted.warnings;
        warnings.extend(self.in_force.config.warnings.iter().map(answer::warning));
        warnings.extend(self.storeless.as_ref().map(|why| format!("no revision is kept: {why}")));
        Ok(self.applied(touched, warnings))
    }

    /// A secret comes, goes, is another one or another's: that is for admins. What the files say whoever writes the files has decided.
    fn guard_secrets(&self, to: &InForce, admin: bool) -> Result<(), Problem> {
        if admin || self.in_force.desired.same_secrets(&to.desired) { Ok(()) } else { Err(answer::not_your_secrets()) }
    }

    /// A revision of what is to be in force; `None`: there is no need of one, or no place.
    fn commit(
        &mut self,
        made: &Made,
        terms: &Terms,
        what: &str,
        restores: Option<u64>,
    ) -> Result<Option<u64>, Problem> {
        let now = (self.now)();
        let Some(store) = &mut self.store else {
            return match (&self.storeless, terms.confirm) {
                // As it always was: the files are read again.
                (_, None) if made.of_files => Ok(None),
                (why, _) => Err(answer::storeless(why.as_deref().unwrap_or_default())),
            };
        };
        let in_force = store.current().map(|meta| (meta.number, meta.digest == made.to.etag));
        let same = in_force.is_some_and(|(_, same)| same) && store.files() == made.to.files;
        if same && terms.confirm.is_none() {
            return Ok(None);
        }
        let pending = match (terms.confirm, in_force) {
            (None, _) => None,
            (Some(seconds), Some((previous, _))) => Some(deadline::after(seconds, previous, &now)),
            (Some(_), None) => return Err(answer::storeless("there is no revision that could come back")),
        };
        let draft = draft(store, &made.to, now.unix, terms.who, what, restores);
        store.commit(draft, pending).map(Some).map_err(|error| answer::not_kept(&error))
    }

    /// What came to the disk and not into force.
    fn abandon(&mut self, committed: Option<u64>, previous: Option<u64>) {
        let (Some(store), Some(_), Some(previous)) = (&mut self.store, committed, previous) else { return };
        if let Err(error) = store.take_back(previous, self.in_force.files.clone()) {
            tracing::error!(%error, "the revision that was refused is still the one that a start would take");
        }
    }

    pub(super) fn confirm(&mut self, who: Who) -> Result<Applied, Problem> {
        if self.is_heir {
            return Err(answer::storeless("the daemon before has not let go of state_dir yet: try again"));
        }
        if self.pending().is_none() {
            return Err(answer::nothing_pending());
        }
        if let Some(store) = &mut self.store {
            store.confirm().map_err(|error| answer::not_kept(&error))?;
        }
        self.before = None;
        self.retry = None;
        self.tell("config.confirmed", self.number(), format!("by {}", by(who)));
        Ok(self.applied(Vec::new(), Vec::new()))
    }

    /// What waited to be confirmed goes, and what was before comes back.
    pub(super) fn undo(&mut self, who: Who, admin: bool, why: &str) -> Result<Applied, Problem> {
        let (Some(store), Some(Pending { previous, .. })) = (&self.store, self.pending().cloned()) else {
            return Err(answer::nothing_pending());
        };
        let files = self.files_at(store, previous);
        let to = match &self.before {
            Some(before) => InForce { files, ..before.clone() },
            None => self.of_revision(store, previous, files)?,
        };
        self.guard_secrets(&to, admin)?;
        let made = self.made(to, true);
        let touched = answer::steps(&made.plan, self.port.status().as_deref());
        let adopted = self.port.adopt(made.to.config.clone(), made.plan).map_err(|why| answer::not_adopted(&why))?;
        let undone = self.number();
        if let Some(store) = &mut self.store
            && let Err(error) = store.take_back(previous, made.to.files.clone())
        {
            // A start does it: the time is over, and is so still then.
            tracing::error!(%error, "that the previous revision is in force again could not be written down");
            store.regard_taken_back(previous, made.to.files.clone());
        }
        self.in_force = made.to;
        self.before = None;
        self.plans.clear();
        self.compare();
        self.tell("config.rolled_back", undone, format!("{why}, by {}; revision {previous} is in force", by(who)));
        Ok(self.applied(touched, adopted.warnings))
    }

    /// What the files are taken to have said when a revision comes back: if it was the files that changed, what they say now is what is not wanted.
    fn files_at(&self, store: &Store, previous: u64) -> String {
        let then = store.revisions().map(|(meta, _)| meta).find(|meta| meta.number == previous);
        match then {
            Some(meta) if meta.files == self.in_force.files => meta.files.clone(),
            _ => read_files(&self.path, &self.key).map_or_else(|_| self.in_force.files.clone(), |(_, files)| files),
        }
    }

    fn of_revision(&self, store: &Store, number: u64, files: String) -> Result<InForce, Problem> {
        let desired = revision::unpack(store, number).map_err(|why| answer::not_restorable(number, &why))?;
        let config = desired.check(&System).map_err(|errors| answer::refused(&errors))?;
        let etag = hex::encode(digest(&desired, &self.key));
        Ok(InForce { desired, config, etag, files })
    }

    pub(super) fn rollback(&mut self, number: Option<u64>, terms: &Terms) -> Result<Applied, Problem> {
        if self.pending().is_some() && number.is_none() {
            return self.undo(terms.who, terms.admin, "rolled back");
        }
        self.guard(terms)?;
        let Some(store) = &self.store else {
            return Err(answer::storeless(self.storeless.as_deref().unwrap_or_default()));
        };
        let number = number.or_else(|| store.previous()).ok_or_else(answer::no_revision)?;
        if !store.revisions().any(|(meta, _)| meta.number == number) {
            // It may be there and of a newer version: the store says which.
            return Err(match store.document(number) {
                Err(store::Error::Missing(_)) | Ok(_) => answer::unknown_revision(number),
                Err(error) => answer::not_restorable(number, &error.to_string()),
            });
        }
        let now = read_files(&self.path, &self.key).map_or_else(|_| self.in_force.files.clone(), |(_, files)| files);
        let to = self.of_revision(store, number, now)?;
        let made = self.made(to, false);
        self.apply(made, terms, "rollback", Some(number))
    }

    /// Whether the files say something else than what is in force.
    pub(super) fn compare(&mut self) {
        let same = read_files(&self.path, &self.key).is_ok_and(|(sources, _)| {
            let files = self.in_force.desired.with_files(&sources);
            files.is_ok_and(|files| hex::encode(digest(&files, &self.key)) == self.in_force.etag)
        });
        self.differs = !same;
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.store.as_ref()?.current().map(|meta| meta.number)
    }

    fn applied(&self, changes: Vec<crate::control::config::Step>, warnings: Vec<String>) -> Applied {
        let confirm_until = self.pending().map(|pending| deadline::shown(pending, &(self.now)()));
        Applied { revision: self.number(), etag: self.in_force.etag.clone(), confirm_until, changes, warnings }
    }
}

/// The revision that a document becomes.
pub(super) fn draft(store: &Store, to: &InForce, time: u64, who: Who, what: &str, restores: Option<u64>) -> Draft {
    let (document, secrets) = revision::pack(store, &to.desired);
    let who = store::Who { uid: who.uid, pid: who.pid };
    Draft {
        time,
        who,
        what: what.into(),
        digest: to.etag.clone(),
        files: to.files.clone(),
        restores,
        document,
        secrets,
    }
}

fn by(who: Who) -> String {
    match (who.uid, who.pid) {
        (Some(uid), Some(pid)) => format!("uid {uid} (process {pid})"),
        (Some(uid), None) => format!("uid {uid}"),
        (None, _) => "the daemon".into(),
    }
}
