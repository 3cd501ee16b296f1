//! The child that we have answered the peer with last. Our answer may be on its way, or lost: until something proves that the peer has it, the
//! peer does not know the child, so that what it says of it then says nothing about the child's end (RFC 7296 sections 1.4.1 and 2.25).
use super::child::ChildState;
use super::common::Cx;
use super::event::ChildId;
use super::sa::{Established, Task};
use crate::frozen::frozen;
use std::time::Duration;

/// A Delete that the peer did not understand is sent again after this; the wait doubles.
const AGAIN: Duration = Duration::from_secs(1);
/// The doubt ends after this, or when the peer would give up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child that the peer may not know yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unheard {
    child: ChildId,
    until: Duration,
    wait: Duration,
    /// Our Delete came before our answer: it is sent again then.
    again: Option<Duration>,
}
frozen! { struct Unheard { child, until, wait, again } }

impl Established {
    /// Our answer to the peer is this child.
    pub(super) fn answers_with(&mut self, cx: &Cx<'_>, child: ChildId) {
        let until = cx.now + cx.patience().min(PATIENCE);
        self.unheard = Some(Unheard { child, until, wait: AGAIN, again: None });
    }
    /// The peer's next request proves that it has our answer to the one before. (With several requests in flight it need not, but peers that have
    /// are rare, and to doubt for a whole window leaves those that never have in disagreement for long.)
    pub(super) fn heard(&mut self) {
        if let Some(Unheard { child, again: Some(_), .. }) = self.unheard.take() {
            self.delete_again(child);
        }
    }
    /// The peer may not know this child yet.
    pub(super) fn is_unheard(&self, now: Duration, child: ChildId) -> bool {
        self.unheard.is_some_and(|unheard| unheard.child == child && now < unheard.until)
    }
    /// The peer has not understood our Delete of a child that was unheard of when it was sent: it is sent again, at once if the peer has got
    /// our answer meanwhile.
    pub(super) fn was_not_understood(&mut self, now: Duration, id: ChildId) {
        match self.unheard.as_mut().filter(|unheard| unheard.child == id) {
            Some(unheard) => {
                unheard.again = Some(now + unheard.wait);
                unheard.wait *= 2;
            }
            None => self.delete_again(id),
        }
    }
    /// When the Delete is sent again.
    pub(super) fn delete_again_at(&self) -> Option<Duration> {
        self.unheard.and_then(|unheard| unheard.again)
    }
    /// Sends it if it is time to.
    pub(super) fn delete_again_when_due(&mut self, now: Duration) {
        if let Some(unheard) = &mut self.unheard
            && unheard.again.take_if(|at| *at <= now).is_some()
        {
            let child = unheard.child;
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
