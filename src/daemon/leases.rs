//! Addresses that configuration payloads have given out (RFC 7296 section 3.15): to us, to be installed, and to peers, to be shown. They
//! go with their IKE SA.
use crate::frozen::frozen;
use crate::ike::event::{Event, IkeId};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Of one IKE SA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The peer gave them to us.
    pub ours: Vec<IpAddr>,
    /// We gave them to the peer.
    pub theirs: Vec<IpAddr>,
}

/// By IKE SA.
#[derive(Debug, Default)]
pub struct Leases {
    by_ike: HashMap<IkeId, Lease>,
}
frozen! {
    struct Leases { by_ike }
    struct Lease { ours, theirs }
}
impl Leases {
    /// Follows what happens. True if we have other addresses now.
    pub fn note(&mut self, event: &Event) -> bool {
        let before = self.ours();
        match event {
            Event::Addresses { ike, ours, theirs, .. } => {
                let mut ours = ours.clone();
                ours.retain(|addr| !addr.is_unspecified() && !addr.is_multicast() && !addr.is_loopback());
                self.by_ike.insert(*ike, Lease { ours, theirs: theirs.clone() });
            }
            Event::IkeRekeyed { old, new, .. } => {
                if let Some(lease) = self.by_ike.remove(old) {
                    self.by_ike.entry(*new).or_insert(lease);
                }
            }
            Event::IkeDown { ike, .. } => drop(self.by_ike.remove(ike)),
            _ => return false,
        }
        before != self.ours()
    }
    /// Those of one IKE SA.
    pub fn of(&self, ike: IkeId) -> Option<&Lease> {
        self.by_ike.get(&ike)
    }
    /// All that we have been given.
    pub fn ours(&self) -> BTreeSet<IpAddr> {
        self.by_ike.values().flat_map(|lease| lease.ours.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ike::event::Ended;

    fn given(ike: u64, ours: &[&str]) -> Event {
        let ours = ours.iter().map(|addr| addr.parse().unwrap()).collect();
        Event::Addresses { ike: IkeId(ike), connection: "a".into(), ours, theirs: vec![] }
    }
    fn down(ike: u64) -> Event {
        Event::IkeDown { ike: IkeId(ike), connection: "a".into(), why: Ended::ByPeer }
    }

    #[test]
    fn an_address_stays_as_long_as_some_ike_sa_has_it() {
        let mut leases = Leases::default();
        assert!(leases.note(&given(1, &["10.9.0.7", "fd09::7"])));
        assert!(!leases.note(&given(2, &["10.9.0.7"])), "make before break");
        assert!(leases.note(&down(1)), "fd09::7 is gone");
        assert_eq!(leases.ours(), BTreeSet::from(["10.9.0.7".parse().unwrap()]));
        let (old, new) = (IkeId(2), IkeId(3));
        assert!(!leases.note(&Event::IkeRekeyed { old, new, connection: "a".into(), peer: 0 }), "inherited");
        assert!(!leases.note(&down(2)) && leases.of(new).is_some());
        assert!(leases.note(&down(3)) && leases.ours().is_empty());
        assert!(!leases.note(&down(3)));
    }

    #[test]
    fn what_no_host_can_have_is_not_installed() {
        assert!(!Leases::default().note(&given(1, &["0.0.0.0", "::", "224.0.0.1", "127.0.0.1", "::1"])));
    }
}
