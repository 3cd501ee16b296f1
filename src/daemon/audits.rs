//! Writes through the API, told as lines of the log and as events. What was done is told each time; what was refused as well, but of a user who
//! tries again and again only now and then, with how many there were: events of tunnels are not to be pushed out of their ring by somebody who may
//! do nothing.
use super::journal::nothing;
use super::{clock, logging};
use crate::control::events::Ring;
use crate::control::gate::Audit;
use crate::control::types::{Audited, Event};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Refused writes of a user are counted so long, from the first one on,
const WINDOW: Duration = Duration::from_secs(10);
/// and so many of them told.
const MOST: u32 = 32;
/// Users that are told apart; more are one together.
const USERS: usize = 256;
const OTHERS: u32 = u32::MAX;

/// Tells them.
#[derive(Debug)]
pub struct Audits {
    ring: Arc<Ring>,
    refused: Mutex<HashMap<u32, Window>>,
}
#[derive(Debug)]
struct Window {
    until: Duration,
    told: u32,
    untold: u64,
}

impl Audits {
    /// As events of this ring.
    pub fn new(ring: Arc<Ring>) -> Self {
        Self { ring, refused: Mutex::default() }
    }

    /// Names in paths are whatever the client sent: the log escapes them.
    pub fn tell(&self, now: Duration, audit: Audit) {
        let Audit { caller, request, status, code } = &audit;
        let (uid, role) = (caller.uid, caller.role.name());
        let (pid, text, said) = (caller.pid, request.as_str(), code.as_deref());
        let more = if *status < 400 {
            tracing::info!(target: logging::AUDIT, uid, pid, role, request = text, status, code = said, "audit");
            0
        } else {
            tracing::info!(uid, pid, role, request = text, status, code = said, "audit");
            match self.admit(now, uid) {
                Some(more) => more,
                None => return,
            }
        };
        let audited = Audited {
            uid,
            pid,
            role: role.to_owned(),
            request: audit.request,
            status: audit.status,
            code: audit.code,
            more,
        };
        self.ring.push(Event { time: clock::rfc3339(now), audit: Some(audited), ..nothing("audit") });
    }

    /// How many before it were not told; `None`: nor is this one.
    fn admit(&self, now: Duration, uid: u32) -> Option<u64> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, window| window.until > now || window.untold > 0);
        let uid = if refused.len() < USERS || refused.contains_key(&uid) { uid } else { OTHERS };
        let window = refused.entry(uid).or_insert(Window { until: now + WINDOW, told: 0, untold: 0 });
        if window.until <= now {
            (window.until, window.told) = (now + WINDOW, 0);
        }
        if window.told == MOST {
            window.untold += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::access::{Caller, Role};

    fn audit(uid: u32, status: u16) -> Audit {
        let caller = Caller { role: Role::Observe, uid, pid: None };
        Audit { caller, request: "PUT /v1/config".into(), status, code: None }
    }
    fn told(ring: &Ring) -> Vec<(u32, u16, u64)> {
        let all = (0..ring.last()).map(|before| ring.told(before).remove(0).audit.unwrap());
        all.map(|audited| (audited.uid, audited.status, audited.more)).collect()
    }

    #[test]
    fn who_may_do_nothing_pushes_nothing_out() {
        let ring = Arc::new(Ring::new(9));
        let audits = Audits::new(ring.clone());
        let at = Duration::from_secs;
        (0..10_000).for_each(|_| audits.tell(at(1), audit(1000, 403)));
        assert_eq!(ring.last(), u64::from(MOST));
        // Nor does it keep others from being told.
        audits.tell(at(2), audit(1001, 409));
        (0..100).for_each(|_| audits.tell(at(2), audit(1000, 200)));
        let all = told(&ring);
        assert_eq!((all.len(), all[MOST as usize]), (MOST as usize + 101, (1001, 409, 0)));
        // Nothing is told without its number.
        audits.tell(at(11), audit(1000, 403));
        audits.tell(at(11), audit(1000, 403));
        assert_eq!(told(&ring)[MOST as usize + 101..], [(1000, 403, 10_000 - u64::from(MOST)), (1000, 403, 0)]);
    }

    #[test]
    fn users_that_are_told_apart_are_bounded() {
        let audits = Audits::new(Arc::new(Ring::new(9)));
        (0..10_000).for_each(|uid| audits.tell(Duration::from_secs(1), audit(uid, 403)));
        assert_eq!(audits.refused.lock().unwrap().len(), USERS + 1);
        audits.tell(Duration::from_secs(99), audit(1, 403));
        assert_eq!(audits.refused.lock().unwrap().len(), 2, "those of which there is something to tell, and this one");
    }
}
