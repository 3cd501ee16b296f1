//! The picture of all connections that the engine hands out: one piece for each, made anew only when something of its connection has changed.
//! What changes all the time, counters and the seconds that are left, is read when somebody asks, on the thread that answers.
use super::types::{Child, Connection, Status};
use crate::ipsec::tables::ChildCounters;
use axum::body::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pieces that share a place: a board that differs from another one by a few pieces shares the other places with it.
const PAGE: usize = 256;

/// All connections, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Board {
    pages: Vec<Arc<Vec<Arc<Piece>>>>,
    by_name: Arc<HashMap<Arc<str>, usize>>,
}
impl Board {
    /// Of these connections, each with its piece.
    pub fn new(pieces: impl IntoIterator<Item = Arc<Piece>>) -> Self {
        let pieces: Vec<_> = pieces.into_iter().collect();
        let by_name = pieces.iter().enumerate().map(|(at, piece)| (piece.shown.name.as_str().into(), at)).collect();
        Self { pages: pieces.chunks(PAGE).map(|page| Arc::new(page.to_vec())).collect(), by_name: Arc::new(by_name) }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
    /// Where a connection stands.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
    /// The piece at a place.
    pub fn at(&self, place: usize) -> Option<&Arc<Piece>> {
        self.pages.get(place / PAGE)?.get(place % PAGE)
    }
    /// One connection.
    pub fn get(&self, name: &str) -> Option<&Arc<Piece>> {
        self.at(self.place(name)?)
    }
    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Piece>> {
        self.pages.iter().flat_map(|page| page.iter())
    }
    /// All of it as it is now.
    pub fn status(&self, now: Duration) -> Status {
        Status { connections: self.iter().map(|piece| piece.now(now)).collect() }
    }
    /// Another piece for the connection at a place.
    pub fn put(&mut self, place: usize, piece: Piece) {
        if let Some(page) = self.pages.get_mut(place / PAGE)
            && let Some(old) = Arc::make_mut(page).get_mut(place % PAGE)
        {
            *old = Arc::new(piece);
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Piece {
    /// As it was when it was made: counters are zero, and `rekey_in_s` is *when*, in milliseconds of the daemon's clock.
    shown: Connection,
    /// The counters of each child, in the order of [`children`].
    counters: Vec<Vec<Arc<ChildCounters>>>,
    text: Mutex<Option<(u128, Bytes)>>,
}
impl Piece {
    /// `shown`: with `rekey_in_s` as a moment in milliseconds; `counters`: for each child, then for the children of each peer.
    pub fn new(shown: Connection, counters: Vec<Vec<Arc<ChildCounters>>>) -> Self {
        Self { shown, counters, text: Mutex::default() }
    }
    /// Nothing is known of it yet but its name.
    pub fn unknown(name: &str) -> Self {
        Self::new(Connection::unknown(name), Vec::new())
    }
    /// What does not change all the time: everything but counters and `rekey_in_s`.
    pub fn shown(&self) -> &Connection {
        &self.shown
    }
    /// As it is now.
    pub fn now(&self, now: Duration) -> Connection {
        let mut connection = self.shown.clone();
        let now = now.as_millis();
        rekeys(&mut connection).for_each(|at| *at = left(*at, now));
        for (child, counters) in children(&mut connection).zip(&self.counters) {
            counters.iter().for_each(|counters| count(child, counters));
        }
        connection
    }
    /// The same as JSON. It is kept for as long as it stays the same: many may read a long list, and few connections of it carry anything.
    pub fn text(&self, now: Duration) -> Bytes {
        let stamp = self.stamp(now);
        let mut kept = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, text)) = &*kept
            && *of == stamp
        {
            return text.clone();
        }
        let text = Bytes::from(serde_json::to_vec(&self.now(now)).unwrap_or_default());
        *kept = Some((stamp, text.clone()));
        text
    }
    /// Another number when counters have grown or another second has come that is shown.
    fn stamp(&self, now: Duration) -> u128 {
        let counters = self.counters.iter().flatten();
        let sum: u128 = counters
            .map(|c| {
                let packets = c.packets_in.load(Relaxed).wrapping_add(c.packets_out.load(Relaxed));
                u128::from(c.drops.iter().fold(packets, |sum, drops| sum.wrapping_add(drops.load(Relaxed))))
            })
            .sum();
        // Each SA has its own fraction of a second: to be exact is not worth more than a tenth of one.
        let tenths = if self.is_timed() { now.as_millis() / 100 } else { 0 };
        sum << 64 | tenths
    }
    fn is_timed(&self) -> bool {
        let Connection { ike, sas, children, peers, .. } = &self.shown;
        let kids = |children: &[Child]| children.iter().any(|child| child.rekey_in_s.is_some());
        ike.iter().chain(sas.iter().map(|sa| &sa.ike)).any(|ike| ike.rekey_in_s.is_some())
            || kids(children)
            || peers.iter().any(|peer| kids(&peer.children))
    }
}

/// The children of a connection, then those of each of its peers.
fn children(connection: &mut Connection) -> impl Iterator<Item = &mut Child> {
    connection.children.iter_mut().chain(connection.peers.iter_mut().flat_map(|peer| &mut peer.children))
}

fn rekeys(connection: &mut Connection) -> impl Iterator<Item = &mut u64> {
    let Connection { ike, sas, children, peers, .. } = connection;
    let ikes = ike.iter_mut().chain(sas.iter_mut().map(|sa| &mut sa.ike)).map(|ike| &mut ike.rekey_in_s);
    let children = children.iter_mut().chain(peers.iter_mut().flat_map(|peer| &mut peer.children));
    ikes.chain(children.map(|child| &mut child.rekey_in_s)).flatten()
}

/// Seconds from now until a moment in milliseconds.
fn left(at: u64, now: u128) -> u64 {
    u64::try_from(u128::from(at).saturating_sub(now) / 1000).unwrap_or(u64::MAX)
}

fn count(child: &mut Child, counters: &ChildCounters) {
    child.bytes_in += counters.bytes_in.load(Relaxed);
    child.bytes_out += counters.bytes_out.load(Relaxed);
    child.packets_in += counters.packets_in.load(Relaxed);
    child.packets_out += counters.packets_out.load(Relaxed);
    let names: &mut BTreeMap<String, u64> = &mut child.drops;
    for (name, drops) in counters.named_drops() {
        if let Some(sum) = names.get_mut(name) {
            *sum += drops;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(names: usize) -> Board {
        Board::new((0..names).map(|n| Arc::new(Piece::unknown(&format!("c{n}")))))
    }

    #[test]
    fn another_piece_leaves_the_board_that_somebody_has_as_it_was() {
        let old = board(1000);
        let mut new = old.clone();
        let place = new.place("c700").unwrap();
        let mut shown = Connection::unknown("c700");
        shown.warnings.push("look".into());
        new.put(place, Piece::new(shown, Vec::new()));
        assert_eq!(new.get("c700").unwrap().shown().warnings, ["look"]);
        assert!(old.get("c700").unwrap().shown().warnings.is_empty());
        let shared = old.pages.iter().zip(&new.pages).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, 3, "of four pages one is another");
        assert_eq!(new.iter().map(|piece| piece.shown().name.clone()).nth(999).as_deref(), Some("c999"));
        assert_eq!((old.len(), old.get("nobody").is_none()), (1000, true));
    }

    #[test]
    fn seconds_are_those_that_are_left_when_somebody_asks() {
        let mut shown = Connection::unknown("a");
        shown.children.push(serde_json::from_value(serde_json::json!({
            "name": "b", "mode": "tunnel", "state": "up", "local_ts": [], "remote_ts": [], "bytes_in": 0, "bytes_out": 0, "packets_in": 0,
            "packets_out": 0, "drops": {}, "sas": [], "rekey_in_s": 100_900
        })).unwrap());
        let piece = Piece::new(shown, Vec::new());
        let left = |at| piece.now(Duration::from_millis(at)).children[0].rekey_in_s;
        assert_eq!([left(900), left(901), left(100_900), left(200_000)], [Some(100), Some(99), Some(0), Some(0)]);
        let text = |at| String::from_utf8(piece.text(Duration::from_millis(at)).to_vec()).unwrap();
        assert!(text(900).contains("\"rekey_in_s\":100") && text(5900).contains("\"rekey_in_s\":95"));
    }

    #[test]
    fn a_text_is_kept_until_something_is_counted() {
        let counters = Arc::new(ChildCounters::new());
        let mut shown = Connection::unknown("a");
        shown.children.push(serde_json::from_value(serde_json::json!({
            "name": "b", "mode": "tunnel", "state": "up", "local_ts": [], "remote_ts": [], "bytes_in": 0, "bytes_out": 0, "packets_in": 0,
            "packets_out": 0, "drops": { "replayed": 0 }, "sas": []
        })).unwrap());
        let piece = Piece::new(shown, vec![vec![counters.clone()]]);
        let first = piece.text(Duration::ZERO);
        assert_eq!(first.as_ptr(), piece.text(Duration::from_secs(9)).as_ptr());
        counters.packets_in.store(3, Relaxed);
        counters.bytes_in.store(300, Relaxed);
        let then = String::from_utf8(piece.text(Duration::ZERO).to_vec()).unwrap();
        assert!(then.contains("\"packets_in\":3") && then.contains("\"bytes_in\":300"), "{then}");
    }
}
