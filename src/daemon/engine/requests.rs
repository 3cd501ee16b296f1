//! What the API asks of the engine, and the picture of the state that it answers with.
use super::{Engine, FRESH, Parts};
use crate::control::request::{Adopt, Change, Refusal, Request};
use crate::control::types::{Status, Verb};
use crate::daemon::status::View;
use crate::ike::diagnose::{Certainty, Failure, Phase};
use crate::ike::event::{Command, Input};
use crate::ike::status::State;
use std::sync::Arc;
use std::time::Duration;

impl Engine {
    pub(super) fn request(&mut self, now: Duration, request: Request) {
        // Who asked may have gone away.
        match request {
            Request::Info(reply) => drop(reply.send(self.info())),
            Request::Status(reply) => drop(reply.send(self.status(now))),
            Request::Stats(reply) => drop(reply.send(self.stats(now))),
            Request::Change(change) => self.change(now, change),
            Request::Upgrade(reply) => self.upgrade(now, reply),
            Request::LastUpgrade(reply) => drop(reply.send(Box::new(self.giver.last().clone()))),
            Request::Adopt(Adopt { config, reply, .. }) => drop(reply.send(self.adopt(now, *config))),
            Request::News(news) => {
                self.meter_news(&news);
                self.parts.journal.tell_config(now, &news);
                self.parts.notes = news.notes;
            }
        }
    }

    fn change(&mut self, now: Duration, change: Change) {
        let found = self.parts.config.connections.iter().find(|connection| connection.name == change.connection);
        let refusal = match (found, &change.child) {
            (None, _) => Some(Refusal::UnknownConnection),
            (Some(found), Some(name)) if !found.children.iter().any(|child| child.name == *name) => {
                Some(Refusal::UnknownChild)
            }
            _ if self.stop_at.is_some() => Some(Refusal::Stopping),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return drop(change.reply.send(Err(refusal)));
        }
        if change.verb != Verb::Rekey {
            self.end_hold(&change.connection);
        }
        let (connection, child) = (change.connection.clone(), change.child.clone());
        let command = match change.verb {
            Verb::Up => Command::Up { connection, child },
            Verb::Rekey => Command::Rekey { connection, child },
            Verb::Down => {
                if child.is_none() {
                    self.parts.devices.confirm(now, &connection);
                }
                self.traps.remove(&connection, child.as_deref());
                Command::Down { connection, child }
            }
        };
        // First in the list, then the order: it may fail at once.
        let status = self.status(now);
        if !self.pending.add(now, change, &status) {
            return;
        }
        self.dirty = true;
        self.feed(now, Input::Command(command));
    }

    pub(super) fn answer_pending(&mut self, now: Duration) {
        let due = self.pending.deadline().is_some_and(|at| at <= now);
        if due {
            self.note_silence(now);
        }
        if !self.pending.is_empty() && (self.dirty || due) {
            let status = self.status(now);
            self.pending.check(now, &status);
        }
    }

    /// Who gives up waiting while we still transmit is told why, and so is everybody who asks later: the endpoint will know of a failure
    /// only when its last retransmission has gone unanswered.
    fn note_silence(&mut self, now: Duration) {
        let status = self.endpoint.status();
        for (connection, since) in self.pending.overdue(now) {
            let Some(found) = status.iter().find(|status| status.name == connection) else { continue };
            let silent = found.sas.iter().find(|sa| sa.state == State::Connecting && sa.initiator);
            let known = found.last_failure.as_ref().is_some_and(|failure| failure.time >= since);
            let Some(sa) = silent.filter(|_| !known) else { continue };
            let phase = if sa.spi_r.is_none() { Phase::SaInit } else { Phase::IkeAuth };
            let mut failure = Failure::new(now, phase, true, "net.no_response");
            failure.certainty = Certainty::Likely;
            failure.connection = Some(connection.clone());
            failure.remote = Some(sa.remote);
            self.dirty = true;
            self.noted.insert(connection, failure);
        }
    }

    /// A picture of now; one that is a moment old if nothing happened since but packets.
    pub(super) fn status(&mut self, now: Duration) -> Arc<Status> {
        if self.dirty || self.picture.0 + FRESH <= now {
            let Parts { config, installer, devices, host, .. } = &self.parts;
            let (places, leases, probes) = (&host.places, &self.leases, &self.probes);
            let view = View { config, installer, devices, places, leases, probes, now };
            let mut ike = self.endpoint.status();
            for status in &mut ike {
                let noted = self.noted.get(&status.name);
                let newer =
                    |noted: &&Failure| status.last_failure.as_ref().is_none_or(|known| known.time <= noted.time);
                if let Some(noted) = noted.filter(newer) {
                    status.last_failure = Some(noted.clone());
                }
            }
            self.picture = (now, Arc::new(view.status(&ike)));
            self.dirty = false;
        }
        self.picture.1.clone()
    }
}
