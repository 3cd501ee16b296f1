//! The engine stops where another one goes on.
use super::{Engine, Parts};
use crate::crypto::rng::SystemRng;
use crate::daemon::descriptors::{self, Kind};
use crate::daemon::frozen::State;
use crate::frozen::{Frozen, Known, Reader, Thaw, Writer};
use crate::ike::event::{ChildId, Input};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

const PART: &str = "engine";
const VERSION: u16 = 1;

impl Engine {
    /// The workers stop, and what they have said is heard. From here on nothing is sealed.
    ///
    /// # Errors
    /// A worker is gone: its sockets and its queue cannot be handed over.
    pub fn pause(&mut self, now: Duration) -> Result<(), &'static str> {
        let all = self.parts.workers.pause();
        self.settle(now);
        if all { Ok(()) } else { Err("a worker has ended") }
    }

    /// Nothing has come of it: the workers go on.
    pub fn go_on(&mut self) {
        self.parts.journal.go_on();
        if let Err(error) = self.parts.workers.go_on() {
            tracing::error!(%error, "the workers cannot go on");
        }
    }

    /// What goes with the state, in the order of its list, while the workers have paused.
    pub fn descriptors(&self) -> Vec<(Kind, BorrowedFd<'_>)> {
        descriptors::of(&self.parts.sockets, &self.parts.workers, &self.parts.devices)
    }

    /// Another daemon goes on with everything, from the commit on that follows: nobody here seals with these keys again.
    pub fn shut(&self) {
        self.parts.installer.shut();
    }

    /// Takes in what others have said that will not be heard again: the workers, which have been joined, and messages that were read already.
    /// What waits in sockets and devices stays there.
    fn settle(&mut self, now: Duration) {
        while let Some(upcall) = self.parts.workers.next() {
            self.upcall(now, upcall);
        }
        self.lanes.refill();
        while let Some(message) = self.lanes.pop() {
            let (local, remote, data) = (message.local, message.remote, &message.data);
            self.feed(now, Input::Datagram { local, remote, data });
            self.lanes.refill();
        }
    }

    /// All that is known, after `pause`; nothing is changed by it.
    ///
    /// # Errors
    /// It cannot be written now.
    pub fn freeze(&self) -> Result<State, Thaw> {
        let endpoint = self.endpoint.freeze()?.finish();
        let tables = State::tables(&self.parts.installer, &self.parts.host.places);
        let mut out = Writer::new(PART, VERSION);
        self.mtus.freeze(&mut out);
        self.leases.freeze(&mut out);
        self.changes.freeze(&mut out);
        self.traps.freeze(&mut out);
        self.holds.freeze(&mut out);
        self.noted.freeze(&mut out);
        (self.started, self.looked).freeze(&mut out);
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
        self.noted = Frozen::thaw(&mut input)?;
        (self.started, self.looked) = Frozen::thaw(&mut input)?;
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
