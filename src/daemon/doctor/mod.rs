//! What is wrong with a connection: the last diagnoses of its negotiations, as far as they are not over, and what is found when somebody asks.
mod history;
pub mod host;
pub mod traffic;

pub use history::{History, Told};

use super::status::is_over;
use crate::config::ConnectionConfig;
use crate::ike::diagnose::{Failure, Phase};
use crate::ike::policy::{self, Remote};
use crate::ike::status::ConnectionStatus;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What is to be looked at: one connection as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The time of this look.
    pub now: Duration,
    /// As it is configured.
    pub config: &'a ConnectionConfig,
    /// As IKE has it, if it has children that are negotiated.
    pub policy: Option<&'a policy::Connection>,
    /// Its SAs.
    pub status: Option<&'a ConnectionStatus>,
    /// What went wrong until now.
    pub history: &'a History,
    /// What the monitors of its children say.
    pub not_passing: Option<&'a Failure>,
}
impl Case<'_> {
    /// All that is wrong now, the worst first: why there is no tunnel, or why nothing passes through it.
    pub fn examine(&self) -> Vec<Told> {
        let monitored = self.not_passing.map(|failure| self.told(failure));
        // What works is the least that can be wrong.
        let notices = self.status.into_iter().flat_map(|status| &status.notices).map(|failure| self.told(failure));
        self.negotiations().into_iter().chain(monitored).chain(notices).collect()
    }

    /// The last failure of the connection as a whole, then those of its children, as far as nothing has succeeded since.
    fn negotiations(&self) -> Vec<Told> {
        let sas = self.status.map_or(&[][..], |status| &status.sas);
        let remotes = self.policy.map_or(&[][..], |policy| &policy.remote_addrs);
        let responds_only = remotes.iter().all(|remote| matches!(remote, Remote::Any));
        let mut seen: BTreeSet<Option<Arc<str>>> = BTreeSet::new();
        let mut found: Vec<Told> = self
            .history
            .of(&self.config.name)
            .filter(|told| !is_over(&told.failure, sas, responds_only))
            // Whether packets pass is asked of who looks at them now.
            .filter(|told| told.failure.phase != Phase::Traffic)
            .filter(|told| !self.status.is_some_and(|status| status.notices.iter().any(|notice| told.is_of(notice))))
            .filter(|told| seen.insert(told.failure.child.clone()))
            .cloned()
            .collect();
        // What ends the whole connection is worse than what ends a child, and what came after it has not mended it.
        found.sort_by_key(|told| (told.failure.child.is_some(), std::cmp::Reverse(told.failure.time)));
        found
    }
    /// As it stands in the history.
    fn told(&self, failure: &Failure) -> Told {
        self.history.iter().find(|told| told.is_of(failure)).cloned().unwrap_or_else(|| Told::once(failure.clone()))
    }
}
