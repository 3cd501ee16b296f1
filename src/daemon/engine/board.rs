//! The picture that the API gets. A piece of it is made anew only when its connection was touched and somebody asks; ten thousand of them are
//! made a few at a time, so that no IKE message waits for the whole.
use super::{Engine, Parts};
use crate::config::Config;
use crate::control::board::{Board, Piece};
use crate::control::request::Reply;
use crate::daemon::clock;
use crate::daemon::status::View;
use crate::ike::diagnose::Failure;
use crate::ike::status::ConnectionStatus;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The engine spends so long on pieces before it looks at everything else again.
const SLICE: Duration = Duration::from_millis(2);
/// What changes without anybody telling, such as figures of monitors, is looked at again after this time.
const FRESH: Duration = Duration::from_millis(100);

/// The pieces, and which are to be made anew.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    board: Arc<Board>,
    /// Where in the policy each connection of the configuration is: those without children that IKE negotiates are not in it.
    policies: Vec<Option<usize>>,
    /// In the order in which they were touched, each once.
    touched: VecDeque<usize>,
    is_touched: Vec<bool>,
    /// How many have left the queue.
    made: u64,
    /// Who gets the board when so many have left it.
    asked: VecDeque<(u64, Reply<Arc<Board>>)>,
    /// They change by themselves, and were last looked at then.
    restless: Vec<usize>,
    looked: Duration,
}
impl Pictures {
    /// Other connections, or the same ones with other settings.
    pub(super) fn configure(&mut self, config: &Config) {
        let policies = config.policy.connections.iter().enumerate();
        let policies: HashMap<&str, usize> = policies.map(|(at, policy)| (&*policy.name, at)).collect();
        let old = std::mem::take(&mut self.board);
        let piece = |name: &str| old.get(name).cloned().unwrap_or_else(|| Arc::new(Piece::unknown(name)));
        self.board = Arc::new(Board::new(config.connections.iter().map(|connection| piece(&connection.name))));
        self.policies = config.connections.iter().map(|c| policies.get(&*c.name).copied()).collect();
        let changes = |(at, connection): (usize, &crate::config::ConnectionConfig)| {
            let changes =
                connection.keylog.is_some() || connection.children.iter().any(|child| child.monitor.is_some());
            changes.then_some(at)
        };
        self.restless = config.connections.iter().enumerate().filter_map(changes).collect();
        self.made += self.touched.len() as u64;
        self.touched.clear();
        self.is_touched = vec![false; config.connections.len()];
        self.touch_all();
        let all = self.made + self.touched.len() as u64;
        self.asked.iter_mut().for_each(|(from, _)| *from = all);
    }
    /// Something about a connection is another way than it was.
    pub(super) fn touch(&mut self, connection: &str) {
        if let Some(place) = self.board.place(connection) {
            self.touch_at(place);
        }
    }
    /// Something about all of them may be.
    pub(super) fn touch_all(&mut self) {
        (0..self.is_touched.len()).for_each(|place| self.touch_at(place));
    }
    fn touch_at(&mut self, place: usize) {
        if !std::mem::replace(&mut self.is_touched[place], true) {
            self.touched.push_back(place);
        }
    }
    /// Somebody waits, and there is something to do.
    pub(super) fn are_awaited(&self) -> bool {
        !self.asked.is_empty()
    }
    fn ask(&mut self, now: Duration, reply: Reply<Arc<Board>>) {
        if self.looked + FRESH <= now {
            self.looked = now;
            for at in 0..self.restless.len() {
                self.touch_at(self.restless[at]);
            }
        }
        self.asked.push_back((self.made + self.touched.len() as u64, reply));
    }
    /// The next piece to be made, if somebody waits for it.
    fn next(&mut self) -> Option<usize> {
        self.answer();
        if self.asked.is_empty() {
            return None;
        }
        let place = self.touched.pop_front()?;
        self.made += 1;
        self.is_touched[place] = false;
        Some(place)
    }
    fn answer(&mut self) {
        while let Some((_, reply)) = self.asked.pop_front_if(|(from, _)| *from <= self.made) {
            // Who asked may have gone away.
            let _ = reply.send(self.board.clone());
        }
    }
    fn put(&mut self, place: usize, piece: Piece) {
        // Whoever has the board keeps the one that it has.
        Arc::make_mut(&mut self.board).put(place, piece);
    }
}

impl Engine {
    /// Hands out the board as soon as it shows everything that has happened until now.
    pub(super) fn hand_out(&mut self, now: Duration, reply: Reply<Arc<Board>>) {
        self.gather();
        self.pictures.ask(now, reply);
    }

    /// Goes on with the picture for a while.
    pub(super) fn paint(&mut self) {
        if !self.pictures.are_awaited() {
            return;
        }
        let until = clock::now() + SLICE;
        while let Some(place) = self.pictures.next() {
            self.paint_one(place);
            if clock::now() >= until {
                return;
            }
        }
    }

    /// One connection as it is now.
    pub(super) fn picture(&mut self, connection: &str) -> Option<Arc<Piece>> {
        self.gather();
        let place = self.pictures.board.place(connection)?;
        if self.pictures.is_touched[place] {
            // It stays in the queue, whose numbers others wait for.
            self.paint_one(place);
        }
        self.pictures.board.at(place).cloned()
    }

    /// What was touched since the last time.
    fn gather(&mut self) {
        for connection in self.endpoint.changed() {
            self.pictures.touch(&connection);
        }
        for connection in self.parts.devices.changed() {
            self.pictures.touch(&connection);
        }
    }

    fn paint_one(&mut self, place: usize) {
        let Parts { config, installer, devices, host, .. } = &self.parts;
        let (leases, probes, keylog, history) = (&self.leases, &self.probes, &self.keylog, &self.history);
        let view = View { config, installer, devices, places: &host.places, leases, probes, keylog, history };
        let Some(connection) = config.connections.get(place) else { return };
        let policy = self.pictures.policies[place].and_then(|at| config.policy.connections.get(at));
        let status = self.status_of(&connection.name);
        let piece = view.piece(connection, policy.map(|policy| &**policy), status.as_ref());
        self.pictures.put(place, piece);
    }

    /// What the endpoint says of a connection, and what we know before it does.
    pub(super) fn status_of(&self, connection: &str) -> Option<ConnectionStatus> {
        let mut status = self.endpoint.status_of(connection)?;
        if let Some(noted) = self.noted.get(connection) {
            let newer = |known: &Failure| known.time <= noted.time;
            if status.last_failure.as_ref().is_none_or(newer) {
                status.last_failure = Some(noted.clone());
            }
        }
        Some(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn pictures(connections: usize) -> Pictures {
        let mut pictures = Pictures {
            board: Arc::new(Board::new((0..connections).map(|n| Arc::new(Piece::unknown(&format!("c{n}")))))),
            is_touched: vec![false; connections],
            ..Pictures::default()
        };
        pictures.touch_all();
        pictures
    }
    fn asked(pictures: &mut Pictures) -> oneshot::Receiver<Arc<Board>> {
        let (reply, answer) = oneshot::channel();
        pictures.ask(Duration::ZERO, reply);
        answer
    }

    #[test]
    fn nothing_is_made_for_nobody() {
        let mut pictures = pictures(3);
        assert_eq!(pictures.next(), None);
        assert!(!pictures.are_awaited());
    }

    #[test]
    fn who_asks_gets_what_had_happened_until_then_and_need_not_wait_for_more() {
        let mut pictures = pictures(3);
        let mut first = asked(&mut pictures);
        assert_eq!(pictures.next(), Some(0));
        pictures.touch("c0");
        pictures.touch("c2");
        let mut second = asked(&mut pictures);
        assert_eq!([pictures.next(), pictures.next()], [Some(1), Some(2)]);
        assert!(first.try_recv().is_err());
        assert_eq!(pictures.next(), Some(0));
        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        assert_eq!(pictures.next(), None);
        assert!(second.try_recv().is_ok());
    }

    #[test]
    fn the_board_that_somebody_has_stays_as_it_is() {
        let mut pictures = pictures(3);
        let mut answer = asked(&mut pictures);
        while pictures.next().is_some() {}
        let board = answer.try_recv().unwrap();
        pictures.put(1, Piece::new(crate::control::types::Connection::unknown("another"), Vec::new()));
        assert_eq!(board.at(1).unwrap().shown().name, "c1");
        assert_eq!(pictures.board.at(1).unwrap().shown().name, "another");
    }
}
