//! Addresses that we hand out (RFC 7296 section 3.15): who has which. The same identity gets the same address again, as long as nobody
//! else has needed it since.
use super::directory::canonical;
use super::event::IkeId;
use super::policy::Pool;
use crate::frozen::frozen;
use crate::wire::payload::Id;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Peers that are gone and whose address we still know, per pool.
const MAX_REMEMBERED: usize = 4096;

/// All pools.
#[derive(Debug, Default)]
pub(super) struct Leases {
    pools: HashMap<Arc<str>, Leased>,
}
/// One pool.
#[derive(Debug, Default)]
struct Leased {
    of: HashMap<Id, Lease>,
    taken: BTreeSet<IpAddr>,
    /// Those who are gone, the longest gone first.
    gone: VecDeque<Id>,
    next: u128,
}
#[derive(Debug)]
struct Lease {
    addr: IpAddr,
    sas: BTreeSet<IkeId>,
}
frozen! {
    struct Leases { pools }
    struct Leased { of, taken, gone, next }
    struct Lease { addr, sas }
}

impl Leases {
    /// An address of the pool for this peer, from now until the last of its IKE SAs ends. `None`: all are in use.
    pub(super) fn take(&mut self, pool: &Pool, peer: &Id, ike: IkeId) -> Option<IpAddr> {
        let leased = self.pools.entry(pool.name.clone()).or_default();
        let id = canonical(peer);
        let inside = |addr: IpAddr| pool.first <= addr && addr <= pool.last;
        if leased.of.get(&id).is_some_and(|lease| !inside(lease.addr)) {
            leased.forget(&id);
        }
        if let Some(lease) = leased.of.get_mut(&id) {
            lease.sas.insert(ike);
            leased.gone.retain(|gone| *gone != id);
            return Some(lease.addr);
        }
        let addr = leased.fresh(pool).or_else(|| {
            let oldest = leased.gone.front()?.clone();
            let addr = leased.forget(&oldest)?;
            Some(addr).filter(|addr| inside(*addr))
        })?;
        leased.taken.insert(addr);
        leased.of.insert(id, Lease { addr, sas: BTreeSet::from([ike]) });
        Some(addr)
    }
    /// A rekey: the new IKE SA holds what the old one held.
    pub(super) fn rekeyed(&mut self, old: IkeId, new: IkeId) {
        for lease in self.pools.values_mut().flat_map(|pool| pool.of.values_mut()) {
            if lease.sas.remove(&old) {
                lease.sas.insert(new);
            }
        }
    }
    /// An IKE SA has ended.
    pub(super) fn ended(&mut self, peer: &Id, ike: IkeId) {
        let id = canonical(peer);
        for leased in self.pools.values_mut() {
            let Some(lease) = leased.of.get_mut(&id) else { continue };
            if lease.sas.remove(&ike) && lease.sas.is_empty() {
                leased.gone.push_back(id.clone());
                if leased.gone.len() > MAX_REMEMBERED
                    && let Some(oldest) = leased.gone.front().cloned()
                {
                    leased.forget(&oldest);
                }
            }
        }
    }
}
impl Leased {
    /// The next address that nobody has or had lately.
    fn fresh(&mut self, pool: &Pool) -> Option<IpAddr> {
        let (first, last) = (bits(pool.first), bits(pool.last));
        let size = last.checked_sub(first)?.saturating_add(1);
        // With this many taken there is a free one among so many and one.
        for _ in 0..=self.taken.len() {
            let addr = addr(pool.first, first + self.next % size);
            self.next = (self.next + 1) % size;
            if !self.taken.contains(&addr) {
                return Some(addr);
            }
        }
        None
    }
    fn forget(&mut self, id: &Id) -> Option<IpAddr> {
        self.gone.retain(|gone| gone != id);
        let lease = self.of.remove(id)?;
        self.taken.remove(&lease.addr);
        Some(lease.addr)
    }
}
fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}
fn addr(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::registry::IdType;

    fn pool(first: &str, last: &str) -> Pool {
        Pool { name: "office".into(), first: first.parse().unwrap(), last: last.parse().unwrap() }
    }
    fn id(n: u64) -> Id {
        Id { kind: IdType::KEY_ID, data: n.to_be_bytes().into() }
    }

    #[test]
    fn an_address_stays_with_its_identity_until_somebody_else_needs_it() {
        let mut leases = Leases::default();
        let pool = pool("10.9.0.1", "10.9.0.3");
        let given: Vec<_> = (1..=4).map(|n| leases.take(&pool, &id(n), IkeId(n)).map(|a| a.to_string())).collect();
        assert_eq!(given, [Some("10.9.0.1".into()), Some("10.9.0.2".into()), Some("10.9.0.3".into()), None]);
        // Two IKE SAs of one peer: it is free when the last of them ends.
        assert_eq!(leases.take(&pool, &id(2), IkeId(20)), leases.take(&pool, &id(2), IkeId(2)));
        leases.ended(&id(2), IkeId(2));
        assert_eq!(leases.take(&pool, &id(4), IkeId(4)), None);
        leases.ended(&id(2), IkeId(20));
        // Back again before anybody else: the same.
        assert_eq!(leases.take(&pool, &id(2), IkeId(21)).unwrap().to_string(), "10.9.0.2");
        leases.ended(&id(2), IkeId(21));
        leases.ended(&id(1), IkeId(1));
        // The longest gone loses its address first.
        assert_eq!(leases.take(&pool, &id(4), IkeId(4)).unwrap().to_string(), "10.9.0.2");
        assert_eq!(leases.take(&pool, &id(1), IkeId(11)).unwrap().to_string(), "10.9.0.1");
        assert_eq!(leases.take(&pool, &id(2), IkeId(22)), None);
    }

    #[test]
    fn a_rekey_takes_the_lease_along_and_what_is_remembered_is_bounded() {
        let mut leases = Leases::default();
        let pool = pool("2001:db8::1", "2001:db8::ffff:ffff");
        let first = leases.take(&pool, &id(0), IkeId(1_000_000)).unwrap();
        leases.rekeyed(IkeId(1_000_000), IkeId(1_000_001));
        leases.ended(&id(0), IkeId(1_000_000));
        for n in 1..3 * MAX_REMEMBERED as u64 {
            let addr = leases.take(&pool, &id(n), IkeId(n)).unwrap();
            assert_ne!(addr, first);
            leases.ended(&id(n), IkeId(n));
        }
        assert!(leases.pools["office"].of.len() <= MAX_REMEMBERED + 1);
    }
}
