//! Clients that wait for `up` or `down`.
use crate::control::request::{Change, Refusal};
use crate::control::types::{Child, ChildMode, ChildState, Connection, ConnectionState, Direction, Failure, Status};
use std::sync::Arc;
use std::time::Duration;

/// Clients that wait at a time; more are refused.
const MAX: usize = 256;

/// Who waits, and until when.
#[derive(Debug, Default)]
pub struct Pending {
    /// Until when, and who.
    list: Vec<(Duration, Change)>,
}
impl Pending {
    /// Waits from now on; a client that does not want to wait is told at once that its order was taken.
    pub fn add(&mut self, now: Duration, change: Change) {
        if change.timeout.is_zero() {
            answer(change, Ok(()));
        } else if self.list.len() == MAX {
            answer(change, Err(Refusal::Stopping));
        } else {
            self.list.push((now + change.timeout, change));
        }
    }
    /// Somebody waits.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// When the next one gives up.
    pub fn deadline(&self) -> Option<Duration> {
        self.list.iter().map(|(until, _)| *until).min()
    }
    /// The connections that somebody waited for in vain to come up, and since when.
    pub fn overdue(&self, now: Duration) -> impl Iterator<Item = (Arc<str>, Duration)> {
        let late = self.list.iter().filter(move |(until, change)| *until <= now && change.direction == Direction::Up);
        late.map(|(until, change)| (change.connection.clone(), until.saturating_sub(change.timeout)))
    }
    /// An attempt of ours failed: whoever waits for it need not wait any longer.
    pub fn failed(&mut self, connection: &str, child: Option<&str>, failure: &Failure) {
        self.answer(|_, change| {
            let child_fits = match (&change.child, child) {
                (Some(wanted), Some(failed)) => **wanted == *failed,
                _ => true,
            };
            let fits = change.direction == Direction::Up && *change.connection == *connection && child_fits;
            fits.then(|| Err(Refusal::Failed(Box::new(failure.clone()))))
        });
    }
    /// Answers those whose wish has come true, and those whose time is over.
    pub fn check(&mut self, now: Duration, status: &Status) {
        self.answer(|until, change| {
            let found = status.connections.iter().find(|connection| *connection.name == *change.connection);
            match found {
                None => Some(Err(Refusal::UnknownConnection)),
                Some(connection) if reached(change, connection) => Some(Ok(())),
                Some(connection) if until <= now => {
                    Some(Err(Refusal::TimedOut(connection.last_failure.clone().map(Box::new))))
                }
                Some(_) => None,
            }
        });
    }
    /// Everybody is told that we stop.
    pub fn stop(&mut self) {
        self.answer(|_, _| Some(Err(Refusal::Stopping)));
    }

    fn answer(&mut self, mut verdict: impl FnMut(Duration, &Change) -> Option<Result<(), Refusal>>) {
        for (until, change) in std::mem::take(&mut self.list) {
            // Who went away is not waited for.
            if change.reply.is_closed() {
                continue;
            }
            match verdict(until, &change) {
                Some(result) => answer(change, result),
                None => self.list.push((until, change)),
            }
        }
    }
}

fn answer(change: Change, result: Result<(), Refusal>) {
    // A client that went away needs no answer.
    let _ = change.reply.send(result);
}

fn reached(change: &Change, connection: &Connection) -> bool {
    let wanted = |child: &&Child| change.child.as_ref().is_none_or(|name| **name == *child.name);
    let mut children = connection.children.iter().filter(wanted);
    let carries = |child: &Child| matches!(child.state, ChildState::Up | ChildState::Rekeying);
    let idle = |child: &Child| matches!(child.state, ChildState::Down | ChildState::Routed);
    // Children that IKE never sees are routed, and all that they will ever be.
    match (change.direction, &change.child) {
        (Direction::Up, None) => {
            let ready = |child: &Child| carries(child) || is_static(child);
            connection.state == ConnectionState::Up && children.all(ready)
        }
        (Direction::Up, Some(_)) => children.all(|child| carries(child) || is_static(child)),
        (Direction::Down, None) => {
            matches!(connection.state, ConnectionState::Down | ConnectionState::Failed) && children.all(idle)
        }
        (Direction::Down, Some(_)) => children.all(idle),
    }
}

/// A `pass` or `drop` child: there is nothing to bring up.
fn is_static(child: &Child) -> bool {
    matches!(child.mode, ChildMode::Pass | ChildMode::Drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

    fn status(state: &str, children: &[(&str, &str)]) -> Status {
        let child = |(name, state): &(&str, &str)| {
            serde_json::json!({ "name": name, "mode": "tunnel", "state": state, "local_ts": [], "remote_ts": [], "bytes_in": 0, "bytes_out": 0,
                "packets_in": 0, "packets_out": 0, "drops": {}, "sas": [] })
        };
        let children: Vec<_> = children.iter().map(child).collect();
        serde_json::from_value(
            serde_json::json!({ "connections": [ { "name": "a", "state": state, "children": children,
            "sas": [], "peers": [], "warnings": [] } ] }),
        )
        .unwrap()
    }

    fn wait(pending: &mut Pending, direction: Direction, child: Option<&str>) -> Receiver<Result<(), Refusal>> {
        let (reply, answer) = oneshot::channel();
        let timeout = Duration::from_secs(30);
        pending.add(
            Duration::ZERO,
            Change { direction, connection: "a".into(), child: child.map(Into::into), timeout, reply },
        );
        answer
    }

    fn failure(code: &str) -> Failure {
        Failure {
            time: String::new(),
            phase: String::new(),
            code: code.into(),
            certainty: String::new(),
            candidates: vec![],
            local: vec![],
            peer: vec![],
            differing: vec![],
            notify: None,
            explain: String::new(),
            fix: String::new(),
        }
    }

    #[test]
    fn up_waits_for_all_children_or_the_one_that_was_named() {
        let mut pending = Pending::default();
        let mut all = wait(&mut pending, Direction::Up, None);
        let mut one = wait(&mut pending, Direction::Up, Some("x"));
        pending.check(Duration::ZERO, &status("up", &[("x", "up"), ("y", "connecting")]));
        assert_eq!(one.try_recv().unwrap(), Ok(()));
        assert_eq!(all.try_recv(), Err(TryRecvError::Empty));
        pending.check(Duration::ZERO, &status("up", &[("x", "up"), ("y", "rekeying")]));
        assert_eq!(all.try_recv().unwrap(), Ok(()));
        assert!(pending.is_empty());
    }

    #[test]
    fn down_waits_until_nothing_is_left() {
        let mut pending = Pending::default();
        let mut all = wait(&mut pending, Direction::Down, None);
        pending.check(Duration::ZERO, &status("down", &[("x", "closing")]));
        assert_eq!(all.try_recv(), Err(TryRecvError::Empty));
        pending.check(Duration::ZERO, &status("down", &[("x", "routed")]));
        assert_eq!(all.try_recv().unwrap(), Ok(()));
    }

    #[test]
    fn a_failure_ends_the_waiting_of_those_whom_it_concerns() {
        let mut pending = Pending::default();
        let mut all = wait(&mut pending, Direction::Up, None);
        let mut other = wait(&mut pending, Direction::Up, Some("y"));
        let mut down = wait(&mut pending, Direction::Down, None);
        pending.failed("a", Some("x"), &failure("ts.mismatch"));
        pending.failed("b", None, &failure("auth.failed"));
        assert!(matches!(all.try_recv(), Ok(Err(Refusal::Failed(failure))) if failure.code == "ts.mismatch"));
        assert_eq!(other.try_recv(), Err(TryRecvError::Empty));
        pending.failed("a", None, &failure("auth.failed"));
        assert!(matches!(other.try_recv(), Ok(Err(Refusal::Failed(failure))) if failure.code == "auth.failed"));
        assert_eq!(down.try_recv(), Err(TryRecvError::Empty));
    }

    #[test]
    fn patience_ends_with_what_is_known() {
        let mut pending = Pending::default();
        let mut all = wait(&mut pending, Direction::Up, None);
        assert_eq!(pending.deadline(), Some(Duration::from_secs(30)));
        assert_eq!(pending.overdue(Duration::from_secs(29)).count(), 0);
        let overdue: Vec<_> = pending.overdue(Duration::from_secs(30)).collect();
        assert_eq!(overdue, [("a".into(), Duration::ZERO)]);
        let mut status = status("connecting", &[]);
        pending.check(Duration::from_secs(29), &status);
        assert_eq!(all.try_recv(), Err(TryRecvError::Empty));
        status.connections[0].last_failure = Some(failure("net.no_response"));
        pending.check(Duration::from_secs(30), &status);
        assert!(
            matches!(all.try_recv(), Ok(Err(Refusal::TimedOut(Some(failure)))) if failure.code == "net.no_response")
        );
    }

    #[test]
    fn nobody_waits_for_a_client_that_went_away_or_did_not_want_to() {
        let mut pending = Pending::default();
        drop(wait(&mut pending, Direction::Up, None));
        pending.check(Duration::ZERO, &status("down", &[]));
        assert!(pending.is_empty());
        let (reply, mut answer) = oneshot::channel();
        let timeout = Duration::ZERO;
        pending.add(
            Duration::ZERO,
            Change { direction: Direction::Up, connection: "a".into(), child: None, timeout, reply },
        );
        assert_eq!(answer.try_recv().unwrap(), Ok(()));
    }
}
