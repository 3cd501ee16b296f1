//! What the API asks of the engine.
use super::Engine;
use crate::control::request::{Adopt, Change, Refusal, Request};
use crate::control::types::Verb;
use crate::ike::diagnose::{Certainty, Failure, Phase};
use crate::ike::event::{Command, Input, PeerOrder};
use crate::ike::status::State;
use std::time::Duration;

impl Engine {
    /// All that have come.
    pub(super) fn requests(&mut self, now: Duration) {
        while let Ok(request) = self.parts.requests.try_recv() {
            self.request(now, request);
        }
    }

    fn request(&mut self, now: Duration, request: Request) {
        // Who asked may have gone away.
        match request {
            Request::Info(reply) => drop(reply.send(self.info())),
            Request::Board(reply) => self.hand_out(now, reply),
            Request::Diagnoses(of, reply) => drop(reply.send(self.diagnoses(of.as_deref()))),
            Request::Why(name, reply) => self.tell_why(now, &name, reply),
            Request::Probe(name, reply) => self.examine(now, name, reply),
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
            _ if change.peer.is_some() && change.verb == Verb::Up => Some(Refusal::PeerCalls),
            _ if self.stop_at.is_some() => Some(Refusal::Stopping),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return drop(change.reply.send(Err(refusal)));
        }
        if change.verb != Verb::Rekey && change.peer.is_none() {
            self.end_hold(&change.connection);
        }
        let (connection, child) = (change.connection.clone(), change.child.clone());
        let command = match (change.verb, change.peer) {
            (Verb::Up, _) => Command::Up { connection, child },
            (Verb::Rekey, None) => Command::Rekey { connection, child },
            (Verb::Rekey, Some(peer)) => Command::OfPeer { connection, peer, order: PeerOrder::Rekey(child) },
            (Verb::Down, Some(peer)) => Command::OfPeer { connection, peer, order: PeerOrder::Down(child) },
            (Verb::Down, None) => {
                if child.is_none() {
                    self.parts.devices.confirm(now, &connection);
                }
                self.traps.remove(&connection, child.as_deref());
                Command::Down { connection, child }
            }
        };
        // First in the list, then the order: it may fail at once.
        let before = self.picture(&change.connection);
        if !self.pending.add(now, change, before.as_ref().map(|piece| piece.shown())) {
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
            let mut pending = std::mem::take(&mut self.pending);
            pending.check(now, |connection| self.picture(connection));
            self.pending = pending;
        }
        self.dirty = false;
    }

    /// Who gives up waiting while we still transmit is told why, and so is everybody who asks later: the endpoint will know of a failure
    /// only when its last retransmission has gone unanswered.
    fn note_silence(&mut self, now: Duration) {
        let overdue: Vec<_> = self.pending.overdue(now).collect();
        for (connection, since) in overdue {
            let Some(found) = self.endpoint.status_of(&connection) else { continue };
            let silent = found.sas.iter().find(|sa| sa.state == State::Connecting && sa.initiator);
            let known = found.last_failure.as_ref().is_some_and(|failure| failure.time >= since);
            let Some(sa) = silent.filter(|_| !known) else { continue };
            let phase = if sa.spi_r.is_none() { Phase::SaInit } else { Phase::IkeAuth };
            let mut failure = Failure::new(now, phase, true, "net.no_response");
            failure.certainty = Certainty::Likely;
            failure.connection = Some(connection.clone());
            failure.remote = Some(sa.remote);
            self.pictures.touch(&connection);
            self.history.note(&failure);
            self.noted.insert(connection, failure);
        }
    }
}
