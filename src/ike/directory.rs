//! The policy with indexes: connections by address, secrets by identity.
use super::event::Host;
use super::policy::{Connection, IdMatch, Policy, Remote};
use crate::crypto::cert::Trust;
use crate::crypto::secret::Secret;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::IdType;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is asked for every packet of a stranger looks so often where the names lead.
const LOOK: Duration = Duration::from_secs(1);

/// What is configured, and how to find it.
pub(super) struct Directory {
    /// As it was given.
    pub policy: Arc<Policy>,
    by_remote: HashMap<IpAddr, Vec<usize>>,
    named: Vec<usize>,
    /// Where the names lead, and when that was looked at.
    at_names: (Option<Duration>, HashSet<IpAddr>),
    any: Vec<usize>,
    secrets: HashMap<Id, Vec<usize>>,
    secrets_of_all: Vec<usize>,
}
impl Directory {
    /// Builds the indexes.
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        let mut d = Self {
            by_remote: HashMap::new(),
            named: Vec::new(),
            at_names: (None, HashSet::new()),
            any: Vec::new(),
            secrets: HashMap::new(),
            secrets_of_all: Vec::new(),
            policy: policy.clone(),
        };
        for (i, connection) in policy.connections.iter().enumerate() {
            for remote in &connection.remote_addrs {
                match remote {
                    Remote::Addr(addr) => d.by_remote.entry(*addr).or_default().push(i),
                    Remote::Name(_) => push_once(&mut d.named, i),
                    Remote::Any => push_once(&mut d.any, i),
                }
            }
        }
        for (i, secret) in policy.secrets.iter().enumerate() {
            for id in &secret.ids {
                match id {
                    IdMatch::Exact(id) => d.secrets.entry(canonical(id)).or_default().push(i),
                    IdMatch::Any => d.secrets_of_all.push(i),
                }
            }
        }
        d
    }
    /// The connections that a peer at `remote` that speaks to `local` may mean: those with its address first, then `%any`; in each
    /// group in the order of the configuration.
    pub(super) fn between(&self, local: IpAddr, remote: IpAddr, host: &mut dyn Host) -> Vec<Arc<Connection>> {
        let mut found = self.by_remote.get(&remote).cloned().unwrap_or_default();
        for &i in &self.named {
            let at = |r: &Remote| matches!(r, Remote::Name(name) if host.resolve(name).contains(&remote));
            if self.policy.connections[i].remote_addrs.iter().any(at) {
                found.push(i);
            }
        }
        found.sort_unstable();
        found.dedup();
        let others = self.any.iter().filter(|i| found.binary_search(i).is_err());
        let here = |c: &&Arc<Connection>| c.local_addrs.is_empty() || c.local_addrs.contains(&local);
        found.iter().chain(others).filter_map(|i| self.policy.connections.get(*i)).filter(here).cloned().collect()
    }
    /// True if the configuration has this address.
    pub(super) fn lists(&self, remote: IpAddr) -> bool {
        self.by_remote.contains_key(&remote)
    }
    /// The same, or one of its names leads there; that is looked at once a second.
    pub(super) fn has_peer_at(&mut self, now: Duration, remote: IpAddr, host: &mut dyn Host) -> bool {
        if self.lists(remote) {
            return true;
        }
        if self.at_names.0.is_none_or(|looked| now.saturating_sub(looked) >= LOOK) {
            let found = self.names().flat_map(|name| host.resolve(name)).collect();
            self.at_names = (Some(now), found);
        }
        self.at_names.1.contains(&remote)
    }
    /// True if a peer may be anywhere.
    pub(super) fn takes_anybody(&self) -> bool {
        !self.any.is_empty()
    }
    /// Nobody is known to be there, but somebody who has a name may have moved there.
    pub(super) fn may_have_moved(&self, remote: IpAddr, host: &mut dyn Host) -> bool {
        !self.lists(remote) && !self.names().any(|name| host.resolve(name).contains(&remote))
    }
    /// Has all names resolved anew. True if any answer is on its way.
    pub(super) fn ask_again(&self, host: &mut dyn Host) -> bool {
        self.names().filter(|name| host.resolve_again(name)).count() > 0
    }
    fn names(&self) -> impl Iterator<Item = &str> {
        let remotes = self.named.iter().filter_map(|i| self.policy.connections.get(*i)).flat_map(|c| &c.remote_addrs);
        remotes.filter_map(|remote| match remote {
            Remote::Name(name) => Some(&**name),
            _ => None,
        })
    }
    /// The secret between two identities: one that names the peer, at best both; then one for everybody.
    pub(super) fn secret(&self, local: &Id, remote: &Id) -> Option<&Secret> {
        let names_us = |i: usize| {
            let ours = |id: &IdMatch| matches!(id, IdMatch::Exact(id) if same_id(id, local));
            self.policy.secrets[i].ids.iter().any(ours)
        };
        let best = |list: &[usize]| list.iter().copied().find(|&i| names_us(i)).or(list.first().copied());
        let of_peer = self.secrets.get(&canonical(remote)).and_then(|list| best(list));
        of_peer.or_else(|| best(&self.secrets_of_all)).map(|i| &self.policy.secrets[i].secret)
    }
    /// The post-quantum pre-shared key with this PPK_ID: a secret of an identity that is a name, or no more than octets.
    pub(super) fn ppk(&self, id: &[u8]) -> Option<&Secret> {
        let kinds = [IdType::KEY_ID, IdType::FQDN, IdType::RFC822_ADDR];
        let of = |kind| self.secrets.get(&canonical(&Id { kind, data: id.to_vec() }))?.first();
        kinds.into_iter().find_map(of).map(|i| &self.policy.secrets[*i].secret)
    }
    /// Whom a connection believes about its peer's certificate, if anybody.
    pub(super) fn trust(&self, connection: &Connection) -> Option<&Arc<Trust>> {
        Some(&self.policy.credentials.get(&connection.name)?.remote.as_ref()?.trust)
    }
    /// The same, or nobody at all; and the hosts whose revocation lists it fetches from anywhere.
    pub(super) fn believed(&self, connection: &Connection) -> (Arc<Trust>, Arc<[String]>) {
        let credentials = self.policy.credentials.get(&connection.name).and_then(|c| c.remote.as_ref());
        credentials.map_or_else(Default::default, |c| (c.trust.clone(), c.crl_hosts.clone()))
    }
    /// True if another connection is configured for the same pair of identities (R36).
    pub(super) fn shares_ids(&self, connection: &Connection) -> bool {
        self.policy.connections.iter().any(|c| {
            c.name != connection.name && c.local_id == connection.local_id && c.remote_id == connection.remote_id
        })
    }
}

/// Connections are looked at in order, so that the same one can only be the last.
fn push_once(list: &mut Vec<usize>, i: usize) {
    if list.last() != Some(&i) {
        list.push(i);
    }
}
/// Identities are compared octet by octet, names without regard to ASCII case, distinguished names without regard to the string types.
pub(super) fn same_id(a: &Id, b: &Id) -> bool {
    a.kind == b.kind
        && match a.kind {
            IdType::FQDN | IdType::RFC822_ADDR => a.data.eq_ignore_ascii_case(&b.data),
            IdType::DER_ASN1_DN => a.data == b.data || a.to_string() == b.to_string(),
            _ => a.data == b.data,
        }
}
/// True if this identity is what is expected. An empty one never is.
pub(super) fn fits(expected: &IdMatch, id: &Id) -> bool {
    !id.data.is_empty()
        && match expected {
            IdMatch::Exact(e) => same_id(e, id),
            IdMatch::Any => true,
        }
}
/// The identity that an address stands for.
pub(super) fn id_of(addr: IpAddr) -> Id {
    match addr {
        IpAddr::V4(ip) => Id { kind: IdType::IPV4_ADDR, data: ip.octets().to_vec() },
        IpAddr::V6(ip) => Id { kind: IdType::IPV6_ADDR, data: ip.octets().to_vec() },
    }
}
/// The form under which equal identities are equal keys.
pub(super) fn canonical(id: &Id) -> Id {
    let data = match id.kind {
        IdType::FQDN | IdType::RFC822_ADDR => id.data.to_ascii_lowercase(),
        IdType::DER_ASN1_DN => id.to_string().into_bytes(),
        _ => id.data.clone(),
    };
    Id { kind: id.kind, data }
}

/// The proposals of all candidates, list by list. Most connections have the same one, which is looked at once.
pub(super) fn proposals(candidates: &[Arc<Connection>]) -> Vec<&[Proposal]> {
    let mut lists: Vec<&[Proposal]> = Vec::new();
    for connection in candidates {
        if !lists.contains(&connection.proposals.as_slice()) {
            lists.push(&connection.proposals);
        }
    }
    lists
}
