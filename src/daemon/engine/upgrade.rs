//! What the engine does for an upgrade.
use super::{End, Engine};
use crate::control::request::Reply;
use crate::control::upgrade::{Refusal, Upgrade};
use crate::daemon::clock;
use crate::daemon::handover::give::News;
use std::time::Duration;

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
                News::Failed(sentence) => {
                    tracing::error!("the upgrade has failed, nothing was changed: {sentence}");
                    self.parts.journal.tell_upgrade(now, "upgrade.failed", Some(&sentence));
                }
                News::Wanted if self.stop_at.is_some() => {}
                News::Wanted => self.hand_over(now),
                News::Alone => {
                    tracing::error!("who has started this daemon is gone: it ends");
                    self.end = Some(End::Alone);
                }
            }
        }
    }

    /// The point of no return.
    fn hand_over(&mut self, now: Duration) {
        match self.giver.commit(clock::now()) {
            Ok(()) => {
                tracing::info!("another daemon takes over");
                self.end = Some(End::HandedOver);
            }
            Err(sentence) => {
                tracing::error!("the upgrade has failed, nothing was changed: {sentence}");
                self.parts.journal.tell_upgrade(now, "upgrade.failed", Some(&sentence));
            }
        }
    }
}
