//! What is wrong with a connection, for who asks.
use super::Engine;
use crate::control::types::{Diagnosis, Why};
use crate::daemon::doctor::Case;
use crate::daemon::status;
use std::time::Duration;

impl Engine {
    /// What went wrong lately, the newest first.
    pub(super) fn diagnoses(&self, of: Option<&str>) -> Vec<Diagnosis> {
        let history = self.history.iter();
        let of_it = history.filter(|told| of.is_none() || told.failure.connection.as_deref() == of);
        of_it.map(status::diagnosis).collect()
    }

    /// What is wrong now. `None`: there is no such connection.
    pub(super) fn why(&mut self, now: Duration, name: &str) -> Option<Why> {
        let piece = self.picture(name)?;
        let config = &self.parts.config;
        let connection = config.connections.iter().find(|connection| *connection.name == *name)?;
        let policy = config.policy.connections.iter().find(|policy| *policy.name == *name);
        let status = self.status_of(name);
        let case = Case {
            now,
            config: connection,
            policy: policy.map(|policy| &**policy),
            status: status.as_ref(),
            history: &self.history,
            not_passing: self.probes.of(name).1,
        };
        let diagnoses = case.examine().iter().map(status::diagnosis).collect();
        Some(Why { connection: name.into(), state: piece.shown().state, diagnoses })
    }
}
