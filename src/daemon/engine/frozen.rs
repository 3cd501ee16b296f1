//! The engine stops where another one goes on.
use super::{End, Engine, Parts};
use crate::crypto::rng::SystemRng;
use crate::daemon::descriptors::{self, Kind};
use crate::daemon::frozen::State;
use crate::daemon::workers::Paused;
use crate::frozen::{Frozen, Known, Reader, Thaw, Writer};
use crate::ike::event::{ChildId, Input};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

const PART: &str = "engine";
const VERSION: u16 = 3;

impl Engine {
    /// The workers stop, and what they have said is heard; what came of that they still do. From here on nothing is sealed.
    ///
    /// # Errors
    /// A worker is gone: its sockets and its queue cannot be handed over, and nobody serves them here either, so the engine ends.
    pub fn pause(&mut self, now: Duration) -> Result<Paused, &'static str> {
        let paused = self.parts.workers.pause();
        self.settle(now);
        // Packets may have waited for what the last messages have brought, and peers may be told that it is in use.
        self.parts.workers.finish();
        self.settle(now);
        match paused {
            Some(paused) if self.end.is_none() => Ok(paused),
            _ => {
                tracing::error!(
                    "a worker has ended, or the network device was taken away; stopping, so that all can be set up anew"
                );
                self.end = Some(End::LostDevice);
                Err("a worker has ended")
            }
        }
    }

    /// Nothing has come of it: the workers go on.
    pub fn go_on(&mut self) {
        self.parts.journal.go_on();
        if let Err(error) = self.parts.workers.go_on() {
            tracing::error!(%error, "the workers cannot go on; stopping, so that all can be set up anew");
            self.end = Some(End::LostDevice);
        }
    }

    /// What goes with the state, in the order of its list, while the workers have paused.
    pub fn descriptors(&self) -> Vec<(Kind, BorrowedFd<'_>)> {
        descriptors::of(&self.parts.sockets, &self.parts.workers, &self.parts.devices)
    }

    /// Takes in what others have said that will not be heard again: the workers, which have been joined, and messages that were read already.
    /// What waits in sockets and devices stays there.
    fn settle(&mut self, now: Duration) {
        for upcall in self.parts.workers.last_words() {
            self.upcall(now, upcall);
        }
        self.lanes.refill();
        while let Some(message) = self.lanes.pop() {
            let (local, remote, data) = (message.local, message.remote, &message.data);
            self.feed(now, Input::Datagram { local, remote, data });
            self.lanes.refill();
        }
    }

    /// All that is known; nothing is changed by it.
    ///
    /// # Errors
    /// It cannot be written now.
    pub fn freeze(&self, _: &Paused) -> Result<State, Thaw> {
        let endpoint = self.endpoint.freeze()?.finish();
        let tables = State::tables(&self.parts.installer, &self.parts.host.places);
        let mut out = Writer::new(PART, VERSION);
        self.mtus.freeze(&mut out);
        self.leases.freeze(&mut out);
        self.changes.freeze(&mut out);
        self.traps.freeze(&mut out);
        self.holds.freeze(&mut out);
        self.probes.freeze(&mut out);
        self.noted.freeze(&mut out);
        self.history.freeze(&mut out);
        (self.started, self.looked).freeze(&mut out);
        self.parts.devices.namespaces().freeze(&mut out);
        self.parts.journal.freeze(&mut out);
        let descriptors = self.descriptors().into_iter().map(|(kind, _)| kind).collect();
        Ok(State { descriptors, endpoint, tables, engine: out.finish() })
    }

    /// Goes on with the state of another engine; the tables are empty. Nothing is sent before `run`, where the policy follows.
    ///
    /// # Errors
    /// It is no state of an engine.
    pub fn resume(&mut self, now: Duration, state: &State) -> Result<(), Thaw> {
        let Parts { installer, host, config, .. } = &mut self.parts;
        host.places = state.install(installer, &mut SystemRng)?;
        installer.configure(config, &mut host.places);
        let known = Known::default();
        let mut input = Reader::new(state.engine.expose(), PART, VERSION, &known)?;
        self.mtus = self.mtus.thaw(&mut input)?;
        self.leases = Frozen::thaw(&mut input)?;
        self.changes = Frozen::thaw(&mut input)?;
        self.traps = Frozen::thaw(&mut input)?;
        self.holds = Frozen::thaw(&mut input)?;
        self.probes.thaw(&mut input)?;
        // Before a packet could meet them. Those that are no holds by our configuration `begin_policy` ends.
        self.holds.names().for_each(|connection| self.parts.installer.withhold(connection));
        self.noted = Frozen::thaw(&mut input)?;
        self.history = Frozen::thaw(&mut input)?;
        (self.started, self.looked) = Frozen::thaw(&mut input)?;
        self.parts.devices.remember(Frozen::thaw(&mut input)?);
        self.parts.journal.thaw(&mut input)?;
        input.finish()?;
        self.endpoint = state.endpoint(&self.parts.config)?;
        let pairs: Vec<(ChildId, Arc<str>, Arc<str>)> =
            self.parts.installer.pairs().map(|(id, key)| (id, key.connection.clone(), key.child.clone())).collect();
        for (id, connection, child) in pairs {
            self.parts.devices.follow(&connection, id, true);
            self.probes.is_up(&connection, &child, id);
        }
        self.parts.network.give(&self.leases.ours());
        self.mtus.review();
        self.changed_at = Some(now);
        Ok(())
    }
}
