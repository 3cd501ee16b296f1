//! Prefixes that nothing in the configuration uses: what to propose where networks have the same addresses.
use super::Gateway;
use super::connection::Connection;
use crate::ike::policy::Remote;
use crate::ipsec::translate::Prefix;
use crate::wire::selector::Selector;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where to look, in this order: addresses that providers share (RFC 6598), which few have at home, then private ones (RFC 1918).
const SPACES: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// In the first of them, but clouds have their name servers, metadata and mirrors there.
const SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(100, 100, 0, 0), 16);
/// So many unique local prefixes are tried.
const TRIES: u32 = 16;

/// What is in use.
pub(super) struct Space {
    used: Vec<Selector>,
}

impl Space {
    /// All addresses that a configuration names.
    pub(super) fn of(gateway: &Gateway, connections: &[Connection]) -> Self {
        let mut used = vec![Selector::prefix(SERVICES.0.into(), SERVICES.1)];
        let host = |addr: &IpAddr| Selector::prefix(*addr, 128);
        used.extend(gateway.listen.iter().filter(|addr| !addr.is_unspecified()).map(host));
        for connection in connections {
            let policy = &connection.policy;
            let remotes = policy.remote_addrs.iter().filter_map(|remote| match remote {
                Remote::Addr(addr) => Some(addr),
                _ => None,
            });
            used.extend(policy.local_addrs.iter().chain(&policy.vips).chain(remotes).map(host));
            let pools = policy.pools.iter();
            used.extend(pools.map(|pool| Selector { end: pool.last, ..Selector::prefix(pool.first, 128) }));
            let addresses = connection.interface.iter().flat_map(|(interface, _)| &interface.addresses);
            used.extend(addresses.map(|(addr, len)| Selector::prefix(*addr, *len)));
            for child in connection.children.iter().map(|child| &child.config) {
                used.extend(child.local_ts.iter().chain(&child.remote_ts).copied());
                used.extend(child.local_here().into_iter().chain(child.remote_here()));
            }
        }
        // What means everywhere, or nearly so, is not where anybody lives.
        used.retain(|ts| ts.as_prefix().is_none_or(|(addr, len)| len >= if addr.is_ipv4() { 8 } else { 16 }));
        Self { used }
    }

    /// A free prefix of the family and length of `like`, and in use from now on; for IPv6 one that `name` determines. `None` if there is none.
    pub(super) fn take(&mut self, like: Prefix, name: &str) -> Option<Prefix> {
        let found = match like.0 {
            IpAddr::V4(_) => SPACES.iter().find_map(|space| self.first_v4(*space, like.1))?,
            IpAddr::V6(_) => {
                // Of a single host: the first address means all routers (RFC 4291 section 2.6.1).
                let host = u128::from(like.1 == 128);
                let prefix = |n| Selector::prefix(Ipv6Addr::from_bits(unique_local(name, n) | host).into(), like.1);
                (0..TRIES).map(prefix).find(|prefix| like.1 >= 16 && self.is_free(prefix))?
            }
        };
        self.used.push(found);
        found.as_prefix()
    }

    fn is_free(&self, prefix: &Selector) -> bool {
        !self.used.iter().any(|used| overlap(used, prefix))
    }

    /// The lowest one in a space. One host has no address that may be the name of a network or reach all of its hosts.
    fn first_v4(&self, (first, within): (Ipv4Addr, u8), len: u8) -> Option<Selector> {
        if len < within {
            return None;
        }
        let end = u64::from(first.to_bits()) + (1 << (32 - within));
        let size = 1u64 << (32 - len);
        let mut at = u64::from(first.to_bits());
        while at < end {
            let prefix = Selector::prefix(Ipv4Addr::from_bits(at as u32).into(), len);
            match self.used.iter().filter(|used| overlap(used, &prefix)).map(|used| used.end).max() {
                None if len == 32 && [0, 255].contains(&(at & 255)) => at += 1,
                // Behind the last address of what is in the way.
                Some(IpAddr::V4(last)) => at = (u64::from(last.to_bits()) / size + 1) * size,
                _ => return Some(prefix),
            }
        }
        None
    }
}

/// Whether they have an address in common.
pub(super) fn overlap(a: &Selector, b: &Selector) -> bool {
    a.start.is_ipv4() == b.start.is_ipv4() && a.start <= b.end && b.start <= a.end
}

/// A prefix of RFC 4193 whose 40 bits are a hash (FNV-1a) instead of random, so that it is the same whenever it is proposed.
fn unique_local(name: &str, n: u32) -> u128 {
    let octets = name.bytes().chain(n.to_be_bytes());
    let hash =
        octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3));
    0xfd << 120 | u128::from(hash >> 24) << 80
}
