//! What the front does when something has happened. It decides and does nothing itself: words, ends of children, signals and the time go in, acts come out.
//!
//! Words come on two ways, of which neither waits for the other, and an end comes on a third: only what one of them has said is in order, and is there
//! before its end. So an heir may have ended before the daemon's commit to it is heard of.
use super::{AFTER_COMMIT, BEFORE_COMMIT, Order, PARTING, Word};
use crate::io::fds::Signal;
use std::time::Duration;

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The daemon at work has said this.
    Daemon(Word),
    /// Its heir has; what the daemon had said by then came before.
    Heir(Word),
    /// An heir was started, as [`Act::Begin`] wants it.
    Begun { pid: u32, serial: u64 },
    /// A daemon was, as [`Act::Afresh`] wants it.
    Started { pid: u32 },
    /// A child has ended, and how; what it had said came before.
    Ended { pid: u32, how: String },
    /// We were sent this.
    Signalled(Signal),
    /// It is later.
    Time,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub(super) enum Act {
    /// Say this to the service manager.
    Tell(Tell),
    /// Say this to the daemon at work.
    Say(Order),
    /// Start an heir, or say why there is none.
    Begin,
    /// Kill a child. It may have ended by now.
    Kill(u32),
    /// Pass a signal on to a child. It may have ended by now.
    Pass(u32, Signal),
    /// The heir is the daemon at work from now on.
    Adopt,
    /// The heir has ended.
    Forget,
    /// Start a daemon that knows nothing, and this is why. It is the one at work from now on.
    Afresh(String),
    /// Become the executable of the daemon at work.
    Succeed,
    /// End as the child that has ended.
    End,
}

/// News for the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// A daemon is at work.
    Ready,
    /// It is alive still.
    Alive,
    /// An heir was started.
    Upgrading,
    /// It is the daemon.
    Upgraded,
    /// It has ended, and the daemon goes on.
    Unchanged,
    /// It has ended, and a daemon is started that knows nothing.
    Afresh,
    /// The end was asked for.
    Stopping,
}

/// Where it all stands.
#[derive(Debug)]
pub(super) struct Course {
    /// The daemon at work; nobody once it has handed over and ended.
    daemon: Option<u32>,
    heir: Option<Heir>,
    /// The daemon before, until it has ended, and when it must have.
    parting: Option<(u32, Duration)>,
    /// The last heir that has ended uncommitted, and how: the daemon may have committed to it before it knew.
    vain: Option<(u64, String)>,
    /// The daemon at work has another executable than we.
    behind: bool,
    /// The end was asked for.
    stopping: bool,
    /// A daemon that was started since then, which will hear of it when it listens.
    untold: bool,
    /// The daemon at work has said that it is ready. Before that a Hangup may end it, as it ends whoever has not asked for it.
    ready: bool,
    /// A Hangup has come of which who is ready next may know nothing: it has read the files before, and who was told of it may have handed over.
    reread: bool,
}

/// A daemon that is to take over.
#[derive(Debug)]
struct Heir {
    pid: u32,
    serial: u64,
    deadline: Duration,
    committed: bool,
    /// Nothing that it says counts any more.
    killed: bool,
}
impl Heir {
    fn kill(&mut self, acts: &mut Vec<Act>) {
        // Its end is heard of like any other.
        acts.push(Act::Kill(self.pid));
        (self.killed, self.deadline) = (true, Duration::MAX);
    }
}

impl Course {
    /// With a daemon that was started.
    pub(super) fn new(daemon: u32) -> Self {
        let (heir, parting, vain) = (None, None, None);
        let (behind, stopping, untold, ready, reread) = (false, false, false, false, false);
        Self { daemon: Some(daemon), heir, parting, vain, behind, stopping, untold, ready, reread }
    }

    /// With a daemon that is at work.
    pub(super) fn resumed(daemon: u32) -> Self {
        Self { ready: true, ..Self::new(daemon) }
    }

    /// The daemon at work, unless it has handed over and ended.
    pub(super) fn daemon(&self) -> Option<u32> {
        self.daemon
    }

    /// When it is time for [`Happened::Time`].
    pub(super) fn deadline(&self) -> Option<Duration> {
        let dues = [self.heir.as_ref().map(|heir| heir.deadline), self.parting.map(|(_, at)| at)];
        dues.into_iter().flatten().min().filter(|at| *at != Duration::MAX)
    }

    /// What is to be done because of it.
    pub(super) fn handle(&mut self, now: Duration, happened: Happened) -> Vec<Act> {
        let mut acts = Vec::new();
        match happened {
            Happened::Daemon(word) => self.daemon_says(now, word, &mut acts),
            Happened::Heir(word) => self.heir_says(now, word, &mut acts),
            Happened::Begun { pid, serial } => {
                let deadline = now + BEFORE_COMMIT;
                // Who asks for another has not committed to the one before.
                self.vain = None;
                self.heir = Some(Heir { pid, serial, deadline, committed: false, killed: false });
                acts.push(Act::Tell(Tell::Upgrading));
            }
            Happened::Started { pid } => {
                (self.daemon, self.untold) = (Some(pid), self.stopping);
                (self.ready, self.reread) = (false, false);
            }
            Happened::Ended { pid, how } => self.ended(now, pid, how, &mut acts),
            Happened::Signalled(signal) => self.signalled(signal, &mut acts),
            Happened::Time => self.time(now, &mut acts),
        }
        // The last thing of an upgrade, and nothing that waits gets lost by it.
        if self.behind && self.heir.is_none() && self.parting.is_none() && !self.stopping {
            self.behind = false;
            acts.push(Act::Succeed);
        }
        acts
    }

    fn daemon_says(&mut self, now: Duration, word: Word, acts: &mut Vec<Act>) {
        match word {
            Word::Ready => {
                acts.push(Act::Tell(Tell::Ready));
                self.ready = true;
                if let Some(daemon) = self.daemon.filter(|_| std::mem::take(&mut self.untold)) {
                    acts.push(Act::Pass(daemon, Signal::Terminate));
                }
                self.pass_again(acts);
            }
            Word::Alive => acts.push(Act::Tell(Tell::Alive)),
            Word::Upgrade => acts.push(match self.obstacle() {
                Some(sentence) => Act::Say(Order::Refused { sentence: sentence.into() }),
                None => Act::Begin,
            }),
            Word::Committed { serial } => {
                if let Some(heir) = self.heir.as_mut().filter(|heir| heir.serial == serial && !heir.committed) {
                    heir.committed = true;
                    if !heir.killed {
                        heir.deadline = now + AFTER_COMMIT;
                    }
                } else if let Some((_, why)) = self.vain.take_if(|(vain, _)| *vain == serial) {
                    self.start_afresh(now, why, acts);
                }
            }
            // Whatever it does: it has read keys that are not its own.
            Word::Failed { serial } => {
                if let Some(heir) = self.heir.as_mut().filter(|heir| heir.serial == serial && !heir.committed) {
                    heir.kill(acts);
                }
            }
        }
    }

    /// What may have been lost when it came.
    fn pass_again(&mut self, acts: &mut Vec<Act>) {
        if let Some(daemon) = self.daemon.filter(|_| std::mem::take(&mut self.reread)) {
            acts.push(Act::Pass(daemon, Signal::Hangup));
        }
    }

    /// Why there cannot be an heir now.
    fn obstacle(&self) -> Option<&'static str> {
        if self.heir.is_some() || self.parting.is_some() {
            return Some("an upgrade is under way: wait for its end");
        }
        self.stopping.then_some("the daemon is stopping")
    }

    fn heir_says(&mut self, now: Duration, word: Word, acts: &mut Vec<Act>) {
        let Some(heir) = self.heir.as_mut().filter(|heir| !heir.killed) else { return };
        match word {
            Word::Alive => acts.push(Act::Tell(Tell::Alive)),
            Word::Ready if heir.committed => {
                self.parting = self.daemon.replace(heir.pid).map(|before| (before, now + PARTING));
                (self.heir, self.behind, self.ready) = (None, true, true);
                acts.extend([Act::Adopt, Act::Tell(Tell::Upgraded)]);
                self.pass_again(acts);
            }
            // Nothing else is for an heir to say.
            Word::Ready | Word::Upgrade | Word::Committed { .. } | Word::Failed { .. } => heir.kill(acts),
        }
    }

    fn ended(&mut self, now: Duration, pid: u32, how: String, acts: &mut Vec<Act>) {
        if self.parting.take_if(|(parting, _)| *parting == pid).is_some() {
            return;
        }
        if self.daemon == Some(pid) {
            match &mut self.heir {
                // As it should; who waits for the heir waits for no other.
                Some(heir) if heir.committed => self.daemon = None,
                heir => {
                    heir.iter_mut().for_each(|heir| heir.kill(acts));
                    acts.push(Act::End);
                }
            }
            return;
        }
        let Some(heir) = self.heir.take_if(|heir| heir.pid == pid) else { return };
        acts.push(Act::Forget);
        let sentence = format!("the new executable {how}");
        if heir.committed {
            return self.start_afresh(now, sentence, acts);
        }
        // Who was told of a Hangup goes on, or somebody begins who reads the files.
        self.reread &= !self.ready;
        self.vain = Some((heir.serial, sentence.clone()));
        acts.push(Act::Say(Order::Failed { serial: heir.serial, sentence }));
        if !self.stopping {
            acts.push(Act::Tell(Tell::Unchanged));
        }
    }

    /// The keys are forgotten.
    fn start_afresh(&mut self, now: Duration, why: String, acts: &mut Vec<Act>) {
        self.heir.iter_mut().for_each(|heir| heir.kill(acts));
        // The old one has nothing left but its end.
        if let Some(daemon) = self.daemon.take() {
            acts.push(Act::Kill(daemon));
            self.parting = Some((daemon, now + PARTING));
        }
        acts.extend([Act::Tell(Tell::Afresh), Act::Afresh(why)]);
    }

    fn signalled(&mut self, signal: Signal, acts: &mut Vec<Act>) {
        match signal {
            Signal::Child => return,
            Signal::Terminate | Signal::Interrupt => {
                self.stopping = true;
                acts.push(Act::Tell(Tell::Stopping));
                if let Some(heir) = self.heir.as_mut().filter(|heir| !heir.committed && !heir.killed) {
                    heir.kill(acts);
                }
            }
            Signal::Hangup => {}
        }
        // Who is committed to has listened since before it was.
        let heir = self.heir.as_ref().filter(|heir| heir.committed).map(|heir| heir.pid);
        if signal == Signal::Hangup && heir.is_none() {
            self.reread |= self.heir.is_some() || !self.ready;
            if !self.ready {
                return;
            }
        }
        if let Some(pid) = heir.or(self.daemon) {
            self.untold &= signal == Signal::Hangup;
            acts.push(Act::Pass(pid, signal));
        }
    }

    fn time(&mut self, now: Duration, acts: &mut Vec<Act>) {
        if let Some(heir) = self.heir.as_mut().filter(|heir| heir.deadline <= now) {
            heir.kill(acts);
        }
        if let Some((pid, at)) = self.parting.as_mut().filter(|(_, at)| *at <= now) {
            acts.push(Act::Kill(*pid));
            *at = Duration::MAX;
        }
    }
}

#[cfg(test)]
mod tests;
