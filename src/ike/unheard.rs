//! The children that we have answered the peer with last. An answer may be on its way, or lost: until something proves that the peer has it, the
//! peer does not know the child, so that what it says of it then says nothing about the child's end (RFC 7296 sections 1.4.1 and 2.25).
use super::child::ChildState;
use super::common::Cx;
use super::event::ChildId;
use super::sa::{Core, Established, Task};
use std::time::Duration;

/// A Delete that the peer did not understand is sent again after this; the wait doubles.
const AGAIN: Duration = Duration::from_secs(1);
/// The doubt ends after this, or when the peer would give up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child that the peer may not know yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unheard {
    child: ChildId,
    /// A request with this id, or a later one, proves that the peer knows it.
    proof: u32,
    until: Duration,
    wait: Duration,
    /// Our Delete came before our answer: it is sent again then.
    again: Option<Duration>,
}

impl Established {
    /// Our answer to the request that is expected is this child.
    pub(super) fn answers_with(&mut self, cx: &Cx<'_>, core: &Core, child: ChildId) {
        let until = cx.now + cx.patience().min(PATIENCE);
        self.unheard.reserve_exact(1);
        self.unheard.push(Unheard { child, proof: core.window.proof_id(), until, wait: AGAIN, again: None });
    }
    /// The peer asks with this id, which proves that it has the answers to the requests a window before it; those are few.
    pub(super) fn heard(&mut self, id: u32) {
        while let Some(i) = self.unheard.iter().position(|unheard| unheard.proof <= id) {
            if let Unheard { child, again: Some(_), .. } = self.unheard.remove(i) {
                self.delete_again(child);
            }
        }
    }
    /// The peer may not know this child yet.
    pub(super) fn is_unheard(&self, now: Duration, child: ChildId) -> bool {
        self.unheard.iter().any(|unheard| unheard.child == child && now < unheard.until)
    }
    /// The peer has not understood our Delete of a child that was unheard of when it was sent: it is sent again, at once if the peer has got
    /// our answer meanwhile.
    pub(super) fn was_not_understood(&mut self, now: Duration, id: ChildId) {
        match self.unheard.iter_mut().find(|unheard| unheard.child == id) {
            Some(unheard) => {
                unheard.again = Some(now + unheard.wait);
                unheard.wait *= 2;
            }
            None => self.delete_again(id),
        }
    }
    /// When a Delete is sent again.
    pub(super) fn delete_again_at(&self) -> Option<Duration> {
        self.unheard.iter().filter_map(|unheard| unheard.again).min()
    }
    /// Sends it if it is time to.
    pub(super) fn delete_again_when_due(&mut self, now: Duration) {
        let due = |unheard: &mut Unheard| unheard.again.take_if(|at| *at <= now).map(|_| unheard.child);
        while let Some(child) = self.unheard.iter_mut().find_map(due) {
            self.delete_again(child);
        }
    }
    fn delete_again(&mut self, id: ChildId) {
        let Some(child) = self.child_mut(id) else { return };
        if let ChildState::Closing(why) = child.state {
            child.state = ChildState::Leaving(why);
            self.plan(Task::DeleteChild(id));
        }
    }
}
