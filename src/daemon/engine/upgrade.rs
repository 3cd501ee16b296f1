//! What the engine does for an upgrade.
use super::{End, Engine, Parts};
use crate::control::request::Reply;
use crate::control::upgrade::{Refusal, Upgrade};
use crate::daemon::frozen::{self, Stamp};
use crate::daemon::handover::give::News;
use crate::daemon::handover::take::Taken;
use crate::daemon::hook::Hook;
use crate::daemon::{ceiling, clock, is_shared};
use crate::io::memory_file::{self, Wiped};
use std::os::fd::AsFd;
use std::time::Duration;

/// What could not be put into place is tried again after this.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// A hook has so long to hear of everything before an upgrade goes on, which is looked at this often.
const HOOKS: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// Who waits to hear whether there will be an upgrade.
pub(super) type Waiting = Vec<Reply<Result<Box<Upgrade>, Refusal>>>;

impl Engine {
    /// Asks for another daemon.
    pub(super) fn upgrade(&mut self, now: Duration, reply: Reply<Result<Box<Upgrade>, Refusal>>) {
        let begun = if self.stop_at.is_some() { Err(Refusal::Stopping) } else { self.giver.begin(now) };
        match begun {
            Ok(()) => self.upgraders.push(reply),
            // Nobody may be listening any more.
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    /// Follows an upgrade that is under way.
    pub(super) fn follow_upgrade(&mut self, now: Duration, ready: &[u64]) {
        for news in self.giver.turn(now, ready, &self.poll) {
            let upgrade = Box::new(self.giver.last().clone());
            match news {
                News::Begun => {
                    tracing::info!("the installed executable was started and is to take over");
                    self.parts.journal.tell_upgrade(now, "upgrade.begun", None);
                    self.upgraders.drain(..).for_each(|reply| drop(reply.send(Ok(upgrade.clone()))));
                }
                News::Refused(sentence) => {
                    tracing::error!("no upgrade: {sentence}");
                    self.parts.journal.tell_upgrade(now, "upgrade.failed", Some(&sentence));
                    let refused = Refusal::Executable(sentence);
                    self.upgraders.drain(..).for_each(|reply| drop(reply.send(Err(refused.clone()))));
                }
                News::Failed(sentence) => self.tell_failed(now, sentence, Refusal::Executable),
                // The front may have told of its end in the same turn.
                News::Wanted if self.stop_at.is_none() && self.giver.serial().is_some() => self.lend(now),
                News::Prepared => self.prepared = Some(now + HOOKS),
                News::Wanted => {}
                News::Alone => {
                    tracing::error!("who has started this daemon is gone: it ends");
                    self.end = Some(End::Alone);
                }
            }
        }
        self.hand_over_in_turn(now);
    }

    /// The hook hears of what has changed here before it hears of what changes there, unless it takes too long.
    fn hand_over_in_turn(&mut self, now: Duration) {
        let Some(until) = self.prepared else { return };
        let late = self.parts.hook.as_ref().map_or(0, Hook::under_way);
        if self.giver.serial().is_none() || self.stop_at.is_some() {
            self.prepared = None;
        } else if late == 0 || until <= now {
            self.prepared = None;
            if late > 0 {
                tracing::warn!(
                    late,
                    "the hook is too slow: it may hear of these changes after later ones, or not at all"
                );
            }
            self.hand_over(now);
        }
    }

    /// When to look whether it is its turn.
    pub(super) fn turn_at(&self, now: Duration) -> Option<Duration> {
        self.prepared.map(|until| until.min(now + LOOK))
    }

    /// The workers begin, or go on where another daemon's have stopped: when that was.
    ///
    /// # Errors
    /// A sentence.
    pub fn begin(&mut self) -> Result<Duration, String> {
        self.parts.workers.go_on().map_err(|error| format!("workers: {error}"))?;
        Ok(clock::now())
    }

    /// All that this daemon cannot be without is there, and since `begun` packets pass: the front hears of it. From here on it has no other to fall back on,
    /// so nothing that goes wrong ends it.
    pub fn ready(&mut self, begun: Duration, taken: Option<&Taken>) {
        self.giver.ready(begun, taken);
        if let Some(Taken { version, pid, sas: (ikes, children), .. }) = taken {
            let pause_ms = self.giver.last().pause_ms;
            tracing::info!(before = version, pid, ikes, children, pause_ms, "took over from another daemon");
            self.parts.journal.tell_upgrade(clock::now(), "upgrade.done", None);
            // They are on our device already: the daemon before has put them there.
            self.parts.network.adopt(&self.leases.ours());
            self.unsettled = Some(Duration::ZERO);
            self.settle_in(clock::now());
        }
        if let Some(why) = &self.giver.last().error {
            self.parts.journal.tell_upgrade(clock::now(), "upgrade.lost", Some(why));
        }
    }

    /// Routes and addresses are in place, as the other daemon has left them, and stay so until this is done: they are ours from then on, and follow our
    /// configuration.
    pub(super) fn settle_in(&mut self, now: Duration) {
        if self.unsettled.is_none_or(|at| at > now) {
            return;
        }
        let Parts { network, config, .. } = &mut self.parts;
        // Without what is wanted nothing may be taken away for not being wanted: that begins with the device.
        let done = network.configure(config).and_then(|()| network.attach(ceiling::of_device(config, is_shared)));
        match done {
            Ok(()) => {
                network.give(&self.leases.ours());
                self.unsettled = None;
            }
            Err(error) => {
                tracing::error!(%error, "routes stay as the daemon before has left them; they are looked at again in a moment");
                self.unsettled = Some(now + SETTLE_AGAIN);
            }
        }
    }

    /// How much there is to be found by who takes over: IKE SAs and pairs of ESP SAs.
    pub fn sas(&self) -> (u64, u64) {
        (self.endpoint.counts().established, self.parts.installer.pairs().count() as u64)
    }

    /// The other one gets what is open and makes itself ready, while we go on.
    fn lend(&mut self, now: Duration) {
        if let Err(sentence) = self.lend_all(now) {
            self.call_off(now, sentence);
        }
    }

    fn lend_all(&mut self, now: Duration) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("what is open cannot be handed over: {error}");
        // Workers show theirs while they are at rest, which is for a moment.
        let paused = self.pause(now);
        let all = self.descriptors().into_iter().map(|(kind, descriptor)| Ok((kind, descriptor.try_clone_to_owned()?)));
        let all = all.collect::<std::io::Result<Vec<_>>>();
        self.go_on();
        let _paused = paused?;
        let (kinds, all): (Vec<_>, Vec<_>) = all.map_err(failed)?.into_iter().unzip();
        let gateway = &self.parts.config.gateway;
        let list = frozen::list(&kinds, gateway.route_table, &gateway.state_dir);
        let list = memory_file::write(list.expose()).map_err(failed)?;
        self.giver.offer(&self.parts.doors, &all, &list)
    }

    /// Another configuration is to be in force than the one that the other has read, or may be reading.
    pub(super) fn overtake(&mut self, now: Duration) {
        if self.giver.is_under_way() {
            self.call_off(now, "the configuration has changed meanwhile: upgrade again".into());
        }
    }

    fn call_off(&mut self, now: Duration, sentence: String) {
        self.giver.failed(sentence.clone());
        self.tell_failed(now, sentence, Refusal::Overtaken);
    }

    fn tell_failed(&mut self, now: Duration, sentence: String, refusal: fn(String) -> Refusal) {
        tracing::error!("the upgrade has failed, nothing was changed: {sentence}");
        self.parts.journal.tell_upgrade(now, "upgrade.failed", Some(&sentence));
        // Who has asked for it waits still if the front has not answered yet, or never did.
        let refused = refusal(sentence);
        self.upgraders.drain(..).for_each(|reply| drop(reply.send(Err(refused.clone()))));
    }

    /// Hands over, or goes on as if nothing had been.
    fn hand_over(&mut self, now: Duration) {
        // Who has been heard until now is heard by us: what is to be up or down is part of the state, and another configuration calls this off. Who
        // comes later gets no answer, and the keeper takes back what it has written.
        self.signals(now);
        self.requests(now);
        if self.stop_at.is_some() || !self.giver.is_under_way() {
            return;
        }
        let stopped = clock::now();
        match self.give_all(stopped) {
            Ok(()) => {
                tracing::info!("another daemon has taken over");
                self.end = Some(End::HandedOver);
            }
            Err(sentence) => {
                self.go_on();
                let waited_ms = (clock::now() - stopped).as_millis() as u64;
                tracing::debug!(waited_ms, "packets have waited");
                self.call_off(now, sentence);
            }
        }
    }

    /// An error leaves all with us; there is none behind the point of no return.
    fn give_all(&mut self, stopped: Duration) -> Result<(), String> {
        let serial = self.giver.serial().ok_or("nobody waits for it")?;
        let memory = |error: std::io::Error| format!("the state cannot be written: {error}");
        let paused = self.pause(stopped)?;
        let state = self.freeze(&paused).map_err(|error| format!("the state cannot be written: {error}"))?;
        // Nothing is left of it when this returns, whatever it returns.
        let state = Wiped::write(state.write(&Stamp::now(serial)).expose()).map_err(memory)?;
        let entrusted = self.giver.entrust(state.as_fd(), self.sas())?;
        let announced = self.giver.announce(entrusted)?;
        // Before the other may seal.
        let shut = announced.shut(&self.parts.installer);
        self.giver.commit(stopped, shut);
        Ok(())
    }
}
