//! The last diagnoses, those that repeat themselves as one.
use crate::frozen::frozen;
use crate::ike::diagnose::Failure;
use std::collections::VecDeque;
use std::time::Duration;

/// As many are kept in all, and of each connection; strangers, of whom no connection is known, count as one.
const MOST: usize = 256;
const MOST_OF_ONE: usize = 16;

/// One diagnosis, and how often it was made in a row of nothing else about the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Counts up from 1 over all connections.
    pub id: u64,
    /// When it was made for the first time.
    pub first: Duration,
    /// How often.
    pub count: u64,
    /// What it says; its time is the last one.
    pub failure: Failure,
}
impl Told {
    /// One that is in no history.
    pub fn once(failure: Failure) -> Self {
        Self { id: 0, first: failure.time, count: 1, failure }
    }
    /// It says the same, whenever that was.
    pub fn is_of(&self, other: &Failure) -> bool {
        // A peer behind a NAT calls from another port each time.
        let end = |failure: &Failure| failure.remote.map(|remote| remote.ip());
        let (known, time, remote) = (&self.failure, other.time, other.remote);
        end(known) == end(other) && Failure { time, remote, ..known.clone() } == *other
    }
}

/// The last diagnoses, the newest last.
#[derive(Debug, Default)]
pub struct History {
    told: VecDeque<Told>,
    last: u64,
}
frozen! {
    struct Told { id, first, count, failure }
    struct History { told, last }
}
impl History {
    /// Another one was made.
    pub fn note(&mut self, failure: &Failure) {
        let again = self.told.iter().position(|told| told.is_of(failure)).and_then(|at| self.told.remove(at));
        if let Some(told) = again {
            self.told.push_back(Told { count: told.count + 1, failure: failure.clone(), ..told });
            return;
        }
        let of_it = |told: &Told| told.failure.connection == failure.connection;
        let full = self.told.iter().filter(|told| of_it(told)).count() >= MOST_OF_ONE;
        let oldest = if full { self.told.iter().position(of_it) } else { (self.told.len() >= MOST).then_some(0) };
        if let Some(oldest) = oldest {
            self.told.remove(oldest);
        }
        self.last += 1;
        self.told.push_back(Told { id: self.last, ..Told::once(failure.clone()) });
    }
    /// All, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().rev()
    }
    /// Those of one connection, the newest first.
    pub fn of(&self, connection: &str) -> impl Iterator<Item = &Told> {
        self.iter().filter(move |told| told.failure.connection.as_deref() == Some(connection))
    }
    /// The number of what says the same as this.
    pub fn id_of(&self, failure: &Failure) -> Option<u64> {
        self.iter().find(|told| told.is_of(failure)).map(|told| told.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ike::diagnose::Phase;

    fn failure(connection: Option<&str>, code: &'static str, at: u64) -> Failure {
        let failure = Failure::new(Duration::from_secs(at), Phase::SaInit, true, code);
        Failure { connection: connection.map(Into::into), remote: Some(([192, 0, 2, 1], at as u16).into()), ..failure }
    }
    fn shown(history: &History, connection: &str) -> Vec<(u64, u64, u64, u64)> {
        let figures = |told: &Told| (told.id, told.count, told.first.as_secs(), told.failure.time.as_secs());
        history.of(connection).map(figures).collect()
    }

    #[test]
    fn what_repeats_itself_is_one_with_a_count_and_moves_to_the_front() {
        let mut history = History::default();
        for (code, at) in [("proposal.ike", 1), ("proposal.ike", 5), ("auth.failed", 7), ("proposal.ike", 9)] {
            history.note(&failure(Some("a"), code, at));
        }
        assert_eq!(shown(&history, "a"), [(1, 3, 1, 9), (2, 1, 7, 7)]);
        assert_eq!(history.id_of(&failure(Some("a"), "auth.failed", 40)), Some(2));
        // Other values are another diagnosis.
        history.note(&failure(Some("a"), "proposal.ike", 11).ours("proposals", "aes256"));
        assert_eq!(history.of("a").next().map(|told| told.id), Some(3));
    }
    #[test]
    fn neither_a_connection_nor_strangers_push_the_others_out() {
        let mut history = History::default();
        history.note(&failure(Some("quiet"), "auth.psk", 1));
        for at in 0..1000 {
            history.note(&failure(None, "peer.unknown", at).theirs("proposals", at));
            history.note(&failure(Some("loud"), "proposal.ike", at).theirs("proposals", at));
        }
        assert_eq!(shown(&history, "quiet").len(), 1);
        assert_eq!(shown(&history, "loud").len(), MOST_OF_ONE);
        for other in 0..1000 {
            history.note(&failure(Some(&format!("c{other}")), "auth.psk", other));
        }
        assert_eq!(history.iter().count(), MOST);
        assert_eq!(history.iter().next().map(|told| told.id), Some(3001));
    }
}
