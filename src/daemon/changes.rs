//! What a controller wants to know of connections: that a child is up or down, and that the outer addresses are others. Rekeys are none of it.
use crate::frozen::frozen;
use crate::ike::event::{ChildId, ChildUp, Ended, Event, IkeId, IkePath};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A child carries traffic that had no SA before.
    Up,
    /// A child has no SA any more.
    Down,
    /// The outer addresses of a connection with children that are up are others now.
    Moved,
}
impl Kind {
    /// `up`, `down` or `moved`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Moved => "moved",
        }
    }
}
/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub kind: Kind,
    /// Connection, with `#` and the peer's number where it has several.
    pub connection: String,
    /// Child; none when the connection has moved.
    pub child: Option<Arc<str>>,
    /// Our end, and the peer's.
    pub ends: (SocketAddr, SocketAddr),
    /// Why a child is down.
    pub why: Option<Ended>,
}

/// A connection and the number of its peer.
type Peer = (Arc<str>, u32);

/// What is up, and where.
#[derive(Debug, Default)]
pub struct Changes {
    peers: HashMap<Peer, Place>,
    children: HashMap<ChildId, (Peer, Arc<str>)>,
}
#[derive(Debug)]
struct Place {
    /// The IKE SA that says where it is.
    ike: IkeId,
    ends: (SocketAddr, SocketAddr),
    /// Children, and how many SAs each has.
    up: BTreeMap<Arc<str>, usize>,
}
frozen! {
    struct Changes { peers, children }
    struct Place { ike, ends, up }
}

impl Changes {
    /// What an event has changed.
    pub fn note(&mut self, event: &Event) -> Vec<Change> {
        match event {
            Event::ChildUp(up) => self.up(up),
            Event::ChildDown { id, why, .. } => self.down(*id, *why).into_iter().collect(),
            Event::IkeRekeyed { old, new, .. } => {
                self.peers.values_mut().filter(|place| place.ike == *old).for_each(|place| place.ike = *new);
                Vec::new()
            }
            Event::PathChanged { ike, path } => {
                let found = self.peers.iter_mut().find(|(_, place)| place.ike == *ike);
                found.and_then(|(peer, place)| place.moves(peer, path)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
    fn up(&mut self, up: &ChildUp) -> Vec<Change> {
        let peer = (up.connection.clone(), up.peer);
        let ends = (up.path.local, up.path.remote);
        let place = self.peers.entry(peer.clone()).or_insert(Place { ike: up.ike, ends, up: BTreeMap::new() });
        let mut changes: Vec<Change> = place.moves(&peer, &up.path).into_iter().collect();
        place.ike = up.ike;
        let sas = place.up.entry(up.child.clone()).or_default();
        *sas += 1;
        if *sas == 1 {
            changes.push(change(Kind::Up, &peer, Some(up.child.clone()), ends));
        }
        self.children.insert(up.id, (peer, up.child.clone()));
        changes
    }
    fn down(&mut self, id: ChildId, why: Ended) -> Option<Change> {
        let (peer, child) = self.children.remove(&id)?;
        let place = self.peers.get_mut(&peer)?;
        let sas = place.up.get_mut(&child)?;
        *sas -= 1;
        if *sas > 0 {
            return None;
        }
        place.up.remove(&child);
        let ends = place.ends;
        if place.up.is_empty() {
            self.peers.remove(&peer);
        }
        Some(Change { why: Some(why), ..change(Kind::Down, &peer, Some(child), ends) })
    }
}
impl Place {
    fn moves(&mut self, peer: &Peer, path: &IkePath) -> Option<Change> {
        let ends = (path.local, path.remote);
        let moved = std::mem::replace(&mut self.ends, ends) != ends;
        moved.then(|| change(Kind::Moved, peer, None, ends))
    }
}
fn change(kind: Kind, (connection, number): &Peer, child: Option<Arc<str>>, ends: (SocketAddr, SocketAddr)) -> Change {
    let connection = if *number == 0 { connection.to_string() } else { format!("{connection}#{number}") };
    Change { kind, connection, child, ends, why: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cipher::Cipher;
    use crate::crypto::secret::Secret;
    use crate::ike::event::DirectionKeys;
    use crate::wire::payload::Proposal;
    use crate::wire::registry::ProtocolId;

    fn path(local: u8) -> IkePath {
        let remote = SocketAddr::from(([203, 0, 113, 7], 4500));
        IkePath { local: SocketAddr::from(([192, 0, 2, local], 4500)), remote, udp: false, may_move: false }
    }
    fn up(ike: u64, id: u64, child: &str, local: u8) -> Event {
        let keys = || DirectionKeys { encr: Secret::default(), integ: Secret::default() };
        Event::ChildUp(Box::new(ChildUp {
            ike: IkeId(ike),
            id: ChildId(id),
            connection: "net".into(),
            child: child.into(),
            peer: 0,
            spi_in: 1,
            spi_out: 2,
            cipher: Cipher::AesGcm128,
            esn: false,
            keys_in: keys(),
            keys_out: keys(),
            transport: false,
            nat_original: None,
            local_ts: Vec::new(),
            remote_ts: Vec::new(),
            path: path(local),
            proposal: Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![], transforms: vec![] },
            initiator: true,
            replaces: None,
            resource: None,
            inbound_only: false,
        }))
    }
    fn down(id: u64) -> Event {
        let (connection, child) = ("net".into(), "".into());
        Event::ChildDown { id: ChildId(id), connection, child, resource: None, why: Ended::PeerDead }
    }
    fn told(changes: &mut Changes, event: Event) -> Vec<String> {
        let shown =
            |c: Change| format!("{} {} {:?} {}", c.kind.name(), c.connection, c.child.as_deref(), c.ends.0.ip());
        changes.note(&event).into_iter().map(shown).collect()
    }

    #[test]
    fn rekeys_are_nothing_and_a_move_is_told_once() {
        let mut changes = Changes::default();
        assert_eq!(told(&mut changes, up(1, 1, "lan", 1)), ["up net Some(\"lan\") 192.0.2.1"]);
        assert_eq!(told(&mut changes, up(1, 2, "two", 1)), ["up net Some(\"two\") 192.0.2.1"]);
        assert!(told(&mut changes, up(1, 3, "lan", 1)).is_empty());
        assert!(told(&mut changes, down(1)).is_empty());
        // From scratch at another address, before the old one goes.
        assert_eq!(told(&mut changes, up(2, 4, "lan", 2)), ["moved net None 192.0.2.2"]);
        assert!(told(&mut changes, up(2, 5, "two", 2)).is_empty());
        assert!(told(&mut changes, down(2)).is_empty() && told(&mut changes, down(3)).is_empty());
        // By MOBIKE, after a rekey of the IKE SA.
        changes.note(&Event::IkeRekeyed { old: IkeId(2), new: IkeId(9), connection: "net".into(), peer: 0 });
        let moved = |local| Event::PathChanged { ike: IkeId(9), path: path(local) };
        assert_eq!(told(&mut changes, moved(3)), ["moved net None 192.0.2.3"]);
        assert!(told(&mut changes, moved(3)).is_empty());
        assert!(told(&mut changes, Event::PathChanged { ike: IkeId(2), path: path(4) }).is_empty(), "nobody's");
        assert_eq!(told(&mut changes, down(4)), ["down net Some(\"lan\") 192.0.2.3"]);
        assert_eq!(told(&mut changes, down(5)), ["down net Some(\"two\") 192.0.2.3"]);
        assert!(told(&mut changes, down(5)).is_empty() && changes.peers.is_empty() && changes.children.is_empty());
    }
}
