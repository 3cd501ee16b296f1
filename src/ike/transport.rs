//! Transport mode (RFC 7296 sections 1.3.1 and 2.23.1): a child between the two hosts themselves. Behind a NAT each end means by an address
//! what the other one calls otherwise; what is written in the selectors is put into our own words before anything is compared with it.
use super::sa::Core;
use crate::frozen::frozen;
use crate::wire::selector::Selector;
use std::net::IpAddr;

/// The ends of an IKE SA as we see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hosts {
    local: IpAddr,
    remote: IpAddr,
    /// Our address is another one to the peer.
    local_nat: bool,
    remote_nat: bool,
}
frozen! { struct Hosts { local, remote, local_nat, remote_nat } }
/// Selectors in our words, and what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub local: Vec<Selector>,
    pub remote: Vec<Selector>,
    /// Source and destination of the peer's packets as it writes them, if a NAT changes them: what its checksums are made with
    /// (RFC 3948 section 3.1.2).
    pub sent: Option<(IpAddr, IpAddr)>,
}

impl Hosts {
    /// Of this IKE SA, where ESP travels.
    pub(super) fn of(core: &Core) -> Self {
        let path = core.path();
        let (local, remote) = (path.local.ip(), path.remote.ip());
        Self { local, remote, local_nat: core.nat.local, remote_nat: core.nat.remote }
    }
    /// Of our selectors what is between the two hosts: exactly one address on each side (RFC 7296 section 2.23.1).
    pub(super) fn narrow(&self, local: &[Selector], remote: &[Selector]) -> (Vec<Selector>, Vec<Selector>) {
        let only = |ts: &[Selector], host: IpAddr| {
            ts.iter().filter_map(|s| s.intersect(&Selector::prefix(host, 128))).collect()
        };
        (only(local, self.local), only(remote, self.remote))
    }
    /// The peer's selectors: ours in `local`, its own in `remote`. `None` if they are not of one address each.
    pub(super) fn read(&self, local: &[Selector], remote: &[Selector]) -> Option<Seen> {
        let (ours, theirs) = (one(local)?, one(remote)?);
        let put = |ts: &[Selector], nat: bool, host: IpAddr| -> Vec<Selector> {
            ts.iter().map(|s| if nat { Selector { start: host, end: host, ..*s } } else { *s }).collect()
        };
        let sent = (theirs, ours);
        Some(Seen {
            local: put(local, self.local_nat, self.local),
            remote: put(remote, self.remote_nat, self.remote),
            sent: (sent != (self.remote, self.local)).then_some(sent),
        })
    }
}
/// The one address of all these selectors.
fn one(ts: &[Selector]) -> Option<IpAddr> {
    let first = ts.first()?.start;
    ts.iter().all(|s| s.start == first && s.end == first).then_some(first)
}
