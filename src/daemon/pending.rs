//! Clients that wait for `up`, `down` or `rekey`.
use crate::control::board::Piece;
use crate::control::request::{Change, Refusal};
use crate::control::types::{Child, ChildMode, ChildState, Connection, ConnectionState, Failure, Peer, Verb};
use std::sync::Arc;
use std::time::Duration;

/// Clients that wait at a time; more are refused.
const MAX: usize = 256;

/// Who waits, and until when.
#[derive(Debug, Default)]
pub struct Pending {
    list: Vec<Wait>,
}
#[derive(Debug)]
struct Wait {
    until: Duration,
    change: Change,
    /// The highest number of an SA when it began; what a rekey makes has a higher one.
    newest: u64,
}
impl Pending {
    /// Waits from now on, `before` being the connection before anything is done. True if it shall be done; a client that does not want to
    /// wait is told at once that its order was taken.
    pub fn add(&mut self, now: Duration, change: Change, before: Option<&Connection>) -> bool {
        let sas = before.map(|connection| sas(&change, connection)).unwrap_or_default();
        if change.peer.is_some() && before.and_then(|connection| peer(&change, connection)).is_none() {
            answer(change, Err(Refusal::UnknownPeer));
            return false;
        }
        if change.verb == Verb::Rekey && !sas.iter().any(|(_, up)| *up) {
            answer(change, Err(Refusal::NotUp));
            return false;
        }
        if change.timeout.is_zero() {
            answer(change, Ok(()));
        } else if self.list.len() == MAX {
            answer(change, Err(Refusal::Stopping));
            return false;
        } else {
            let newest = sas.iter().map(|(id, _)| *id).max().unwrap_or(0);
            self.list.push(Wait { until: now + change.timeout, change, newest });
        }
        true
    }
    /// Somebody waits.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// When the next one gives up.
    pub fn deadline(&self) -> Option<Duration> {
        self.list.iter().map(|wait| wait.until).min()
    }
    /// The connections that somebody waited for in vain to come up, and since when.
    pub fn overdue(&self, now: Duration) -> impl Iterator<Item = (Arc<str>, Duration)> {
        let late = self.list.iter().filter(move |wait| wait.until <= now && wait.change.verb == Verb::Up);
        late.map(|wait| (wait.change.connection.clone(), wait.until.saturating_sub(wait.change.timeout)))
    }
    /// An attempt of ours failed: whoever waits for it need not wait any longer.
    pub fn failed(&mut self, connection: &str, child: Option<&str>, failure: &Failure) {
        self.answer(|Wait { change, .. }| {
            let child_fits = match (change.verb, &change.child, child) {
                (Verb::Up, Some(wanted), Some(failed)) => **wanted == *failed,
                (Verb::Up, ..) => true,
                (Verb::Rekey, wanted, failed) => wanted.as_deref() == failed,
                (Verb::Down, ..) => false,
            };
            let fits = *change.connection == *connection && child_fits;
            fits.then(|| Err(Refusal::Failed(Box::new(failure.clone()))))
        });
    }
    /// Answers those whose wish has come true, and those whose time is over.
    pub fn check(&mut self, now: Duration, mut picture: impl FnMut(&str) -> Option<Arc<Piece>>) {
        self.answer(|Wait { until, change, newest }| {
            let found = picture(&change.connection);
            match found.as_ref().map(|piece| piece.shown()) {
                None => Some(Err(Refusal::UnknownConnection)),
                Some(connection) if reached(change, *newest, connection) => Some(Ok(())),
                Some(connection) if *until <= now => {
                    Some(Err(Refusal::TimedOut(connection.last_failure.clone().map(Box::new))))
                }
                Some(_) => None,
            }
        });
    }
    /// Everybody is told that we stop.
    pub fn stop(&mut self) {
        self.answer(|_| Some(Err(Refusal::Stopping)));
    }

    fn answer(&mut self, mut verdict: impl FnMut(&Wait) -> Option<Result<(), Refusal>>) {
        for wait in std::mem::take(&mut self.list) {
            // Who went away is not waited for.
            if wait.change.reply.is_closed() {
                continue;
            }
            match verdict(&wait) {
                Some(result) => answer(wait.change, result),
                None => self.list.push(wait),
            }
        }
    }
}

fn answer(change: Change, result: Result<(), Refusal>) {
    // A client that went away needs no answer.
    let _ = change.reply.send(result);
}

fn reached(change: &Change, newest: u64, connection: &Connection) -> bool {
    if change.verb == Verb::Down && change.peer.is_some() {
        return peer(change, connection).is_none_or(|peer| is_down(change, peer));
    }
    let wanted = |child: &&Child| change.child.as_ref().is_none_or(|name| **name == *child.name);
    let mut children = connection.children.iter().filter(wanted);
    let carries = |child: &Child| matches!(child.state, ChildState::Up | ChildState::Rekeying);
    let idle = |child: &Child| matches!(child.state, ChildState::Down | ChildState::Routed);
    // Children that IKE never sees are routed, and all that they will ever be.
    match (change.verb, &change.child) {
        (Verb::Up, None) => {
            let ready = |child: &Child| carries(child) || is_static(child);
            connection.state == ConnectionState::Up && children.all(ready)
        }
        (Verb::Up, Some(_)) => children.all(|child| carries(child) || is_static(child)),
        (Verb::Down, None) => {
            matches!(connection.state, ConnectionState::Down | ConnectionState::Failed) && children.all(idle)
        }
        (Verb::Down, Some(_)) => children.all(idle),
        // Whatever was up then has given way to something new.
        (Verb::Rekey, _) => {
            let sas = sas(change, connection);
            let up = |new| sas.iter().any(|(id, up)| *up && (*id > newest) == new);
            up(true) && !up(false)
        }
    }
}

/// The peer that a change is about, as long as it is there.
fn peer<'c>(change: &Change, connection: &'c Connection) -> Option<&'c Peer> {
    connection.peers.iter().find(|peer| Some(peer.id) == change.peer)
}

/// Without the child that was to go, if it is not all of it.
fn is_down(change: &Change, peer: &Peer) -> bool {
    let idle = |child: &Child| matches!(child.state, ChildState::Down | ChildState::Routed);
    change.child.as_ref().is_some_and(|name| peer.children.iter().filter(|child| **name == *child.name).all(idle))
}

/// The SAs that a change is about, of all peers or of one: the child's, or the connection's own. Which of them are up.
fn sas(change: &Change, connection: &Connection) -> Vec<(u64, bool)> {
    let peer = peer(change, connection);
    let Some(name) = &change.child else {
        let of_it = connection.sas.iter().filter(|sa| peer.is_none_or(|peer| peer.remote == sa.remote));
        return of_it.map(|sa| (sa.id, sa.state == ConnectionState::Up)).collect();
    };
    let children = peer.map_or(&connection.children, |peer| &peer.children);
    let children = children.iter().filter(|child| **name == *child.name);
    let carries = |state| matches!(state, ChildState::Up | ChildState::Rekeying);
    children.flat_map(|child| &child.sas).map(|sa| (sa.id, carries(sa.state))).collect()
}

/// A `pass` or `drop` child: there is nothing to bring up.
fn is_static(child: &Child) -> bool {
    matches!(child.mode, ChildMode::Pass | ChildMode::Drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::Status;
    use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

    fn picture(status: &Status) -> impl Fn(&str) -> Option<Arc<Piece>> {
        let piece = status.connections.first().map(|connection| Arc::new(Piece::new(connection.clone(), Vec::new())));
        move |name| piece.clone().filter(|piece| piece.shown().name == name)
    }

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

    fn wait(pending: &mut Pending, verb: Verb, child: Option<&str>) -> Receiver<Result<(), Refusal>> {
        let (reply, answer) = oneshot::channel();
        let timeout = Duration::from_secs(30);
        let change = Change { verb, connection: "a".into(), peer: None, child: child.map(Into::into), timeout, reply };
        pending.add(Duration::ZERO, change, rekeyed(&[(7, "up")], &[(3, "up")]).connections.first());
        answer
    }

    /// IKE SAs of the connection, and SAs of its child x.
    fn rekeyed(ike: &[(u64, &str)], child: &[(u64, &str)]) -> Status {
        let mut status = status("up", &[("x", "up")]);
        let found = &mut status.connections[0];
        let sa = |(id, state): &(u64, &str), more: serde_json::Value| {
            let mut sa = serde_json::json!({ "id": id, "state": state, "spi_in": "", "spi_out": "", "esn": false });
            sa.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sa
        };
        let of_ike = serde_json::json!({ "local": "", "remote": "", "spi_i": "", "spi_r": "", "initiator": true, "nat": "none",
            "vips": [], "leases": [] });
        found.sas = ike.iter().map(|n| serde_json::from_value(sa(n, of_ike.clone())).unwrap()).collect();
        let none = serde_json::json!({});
        found.children[0].sas = child.iter().map(|n| serde_json::from_value(sa(n, none.clone())).unwrap()).collect();
        status
    }

    fn failure(code: &str) -> Failure {
        Failure {
            id: None,
            time: String::new(),
            connection: None,
            child: None,
            phase: String::new(),
            side: String::new(),
            code: code.into(),
            certainty: String::new(),
            candidates: vec![],
            local: Default::default(),
            peer: Default::default(),
            differing: vec![],
            notify: None,
            explain: Default::default(),
            fix: vec![],
            names: Default::default(),
        }
    }

    fn of_peers(ids: &[u32]) -> Status {
        let child = serde_json::json!({ "name": "b", "mode": "tunnel", "state": "up", "local_ts": [], "remote_ts": [], "bytes_in": 0, "bytes_out": 0,
            "packets_in": 0, "packets_out": 0, "drops": {}, "sas": [] });
        let peer = |id: &u32| serde_json::json!({ "id": id, "state": "up", "since": null, "remote": format!("192.0.2.{id}:500"), "remote_id": null, "children": [child] });
        let peers: Vec<_> = ids.iter().map(peer).collect();
        serde_json::from_value(serde_json::json!({ "connections": [ { "name": "a", "state": "up", "children": [child], "sas": [], "peers": peers,
            "warnings": [] } ] }))
        .unwrap()
    }

    #[test]
    fn one_peer_of_several_is_waited_for_alone() {
        let change = |peer| {
            let (reply, answer) = oneshot::channel();
            let timeout = Duration::from_secs(30);
            (Change { verb: Verb::Down, connection: "a".into(), peer: Some(peer), child: None, timeout, reply }, answer)
        };
        let connection = |ids: &[u32]| of_peers(ids).connections.remove(0);
        assert!(!reached(&change(2).0, 0, &connection(&[1, 2])), "it is still there");
        assert!(reached(&change(2).0, 0, &connection(&[1])), "the other one stays");
        let mut pending = Pending::default();
        let (unknown, mut answer) = change(3);
        assert!(!pending.add(Duration::ZERO, unknown, of_peers(&[1, 2]).connections.first()));
        assert_eq!(answer.try_recv(), Ok(Err(Refusal::UnknownPeer)));
    }

    #[test]
    fn up_waits_for_all_children_or_the_one_that_was_named() {
        let mut pending = Pending::default();
        let mut all = wait(&mut pending, Verb::Up, None);
        let mut one = wait(&mut pending, Verb::Up, Some("x"));
        pending.check(Duration::ZERO, picture(&status("up", &[("x", "up"), ("y", "connecting")])));
        assert_eq!(one.try_recv().unwrap(), Ok(()));
        assert_eq!(all.try_recv(), Err(TryRecvError::Empty));
        pending.check(Duration::ZERO, picture(&status("up", &[("x", "up"), ("y", "rekeying")])));
        assert_eq!(all.try_recv().unwrap(), Ok(()));
        assert!(pending.is_empty());
    }

    #[test]
    fn down_waits_until_nothing_is_left() {
        let mut pending = Pending::default();
        let mut all = wait(&mut pending, Verb::Down, None);
        pending.check(Duration::ZERO, picture(&status("down", &[("x", "closing")])));
        assert_eq!(all.try_recv(), Err(TryRecvError::Empty));
        pending.check(Duration::ZERO, picture(&status("down", &[("x", "routed")])));
        assert_eq!(all.try_recv().unwrap(), Ok(()));
    }

    #[test]
    fn a_rekey_waits_until_the_new_sa_has_taken_over() {
        let mut pending = Pending::default();
        let mut child = wait(&mut pending, Verb::Rekey, Some("x"));
        let mut ike = wait(&mut pending, Verb::Rekey, None);
        for (ikes, children) in [
            (&[(7, "up")][..], &[(3, "up")][..]),
            (&[(7, "up"), (8, "connecting")], &[(3, "rekeying"), (9, "connecting")]),
            (&[(7, "up"), (8, "up")], &[(3, "rekeying"), (9, "up")]),
            (&[], &[]),
        ] {
            pending.check(Duration::ZERO, picture(&rekeyed(ikes, children)));
            assert_eq!((child.try_recv(), ike.try_recv()), (Err(TryRecvError::Empty), Err(TryRecvError::Empty)));
        }
        pending.check(Duration::ZERO, picture(&rekeyed(&[(7, "up")], &[(3, "closing"), (9, "up")])));
        assert_eq!((child.try_recv().unwrap(), ike.try_recv()), (Ok(()), Err(TryRecvError::Empty)));
        pending.check(Duration::ZERO, picture(&rekeyed(&[(8, "up")], &[])));
        assert_eq!(ike.try_recv().unwrap(), Ok(()));
    }

    #[test]
    fn what_is_not_up_cannot_be_rekeyed() {
        let mut pending = Pending::default();
        for status in [rekeyed(&[(7, "connecting")], &[(3, "closing")]), Status::default()] {
            for child in [None, Some("x".into())] {
                let (reply, mut answer) = oneshot::channel();
                let timeout = Duration::from_secs(1);
                let change = Change { verb: Verb::Rekey, connection: "a".into(), peer: None, child, timeout, reply };
                assert!(!pending.add(Duration::ZERO, change, status.connections.first()));
                assert_eq!(answer.try_recv().unwrap(), Err(Refusal::NotUp));
            }
        }
    }

    #[test]
    fn a_rekey_is_ended_by_its_own_failure_only() {
        let mut pending = Pending::default();
        let mut child = wait(&mut pending, Verb::Rekey, Some("x"));
        let mut ike = wait(&mut pending, Verb::Rekey, None);
        pending.failed("a", Some("y"), &failure("pfs.mismatch"));
        assert_eq!((child.try_recv(), ike.try_recv()), (Err(TryRecvError::Empty), Err(TryRecvError::Empty)));
        pending.failed("a", Some("x"), &failure("pfs.mismatch"));
        assert!(matches!(child.try_recv(), Ok(Err(Refusal::Failed(failure))) if failure.code == "pfs.mismatch"));
        assert_eq!(ike.try_recv(), Err(TryRecvError::Empty));
        pending.failed("a", None, &failure("proposal.ike"));
        assert!(matches!(ike.try_recv(), Ok(Err(Refusal::Failed(_)))));
    }

    #[test]
    fn a_failure_ends_the_waiting_of_those_whom_it_concerns() {
        let mut pending = Pending::default();
        let mut all = wait(&mut pending, Verb::Up, None);
        let mut other = wait(&mut pending, Verb::Up, Some("y"));
        let mut down = wait(&mut pending, Verb::Down, None);
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
        let mut all = wait(&mut pending, Verb::Up, None);
        assert_eq!(pending.deadline(), Some(Duration::from_secs(30)));
        assert_eq!(pending.overdue(Duration::from_secs(29)).count(), 0);
        let overdue: Vec<_> = pending.overdue(Duration::from_secs(30)).collect();
        assert_eq!(overdue, [("a".into(), Duration::ZERO)]);
        let mut status = status("connecting", &[]);
        pending.check(Duration::from_secs(29), picture(&status));
        assert_eq!(all.try_recv(), Err(TryRecvError::Empty));
        status.connections[0].last_failure = Some(failure("net.no_response"));
        pending.check(Duration::from_secs(30), picture(&status));
        assert!(
            matches!(all.try_recv(), Ok(Err(Refusal::TimedOut(Some(failure)))) if failure.code == "net.no_response")
        );
    }

    #[test]
    fn nobody_waits_for_a_client_that_went_away_or_did_not_want_to() {
        let mut pending = Pending::default();
        drop(wait(&mut pending, Verb::Up, None));
        pending.check(Duration::ZERO, picture(&status("down", &[])));
        assert!(pending.is_empty());
        let (reply, mut answer) = oneshot::channel();
        let timeout = Duration::ZERO;
        let change = Change { verb: Verb::Up, connection: "a".into(), peer: None, child: None, timeout, reply };
        assert!(pending.add(Duration::ZERO, change, None));
        assert_eq!(answer.try_recv().unwrap(), Ok(()));
    }
}
