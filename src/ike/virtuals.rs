//! Virtual addresses by the configuration payload (RFC 7296 sections 2.19 and 3.15), both roles.
//!
//! With a virtual address, a child's selectors that mean everything mean this address, as `dynamic` does in swanctl: of ours if we have asked for
//! one, of the peer's if we have given it one. In the first request, before there is one, they still mean everything.
use super::common::Cx;
use super::error::Refusal;
use super::event::IkeId;
use super::exchange::Contents;
use super::policy::{ChildPolicy, Connection, Remote};
use super::sa::Core;
use crate::wire::payload::{Cfg, Id, Payload};
use crate::wire::registry::{CfgAttr, CfgType};
use crate::wire::selector::Selector;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Addresses that one side may have.
const MAX_ADDRESSES: usize = 8;

/// The virtual addresses of an IKE SA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Virtuals {
    pub ours: Vec<IpAddr>,
    pub theirs: Vec<IpAddr>,
}
impl Virtuals {
    /// A child as it is with these addresses.
    pub(super) fn of(&self, policy: &Arc<ChildPolicy>) -> Arc<ChildPolicy> {
        let (local_ts, remote_ts) = (put(&policy.local_ts, &self.ours), put(&policy.remote_ts, &self.theirs));
        match (local_ts, remote_ts) {
            (None, None) => policy.clone(),
            (local, remote) => Arc::new(ChildPolicy {
                local_ts: local.unwrap_or_else(|| policy.local_ts.clone()),
                remote_ts: remote.unwrap_or_else(|| policy.remote_ts.clone()),
                ..(**policy).clone()
            }),
        }
    }
}
/// Selectors of everything, or none at all, become those of the addresses; `None`: nothing changes.
fn put(ts: &[Selector], addrs: &[IpAddr]) -> Option<Vec<Selector>> {
    let wide = |s: &Selector| s.as_prefix().is_some_and(|(_, len)| len == 0);
    if addrs.is_empty() || !(ts.is_empty() || ts.iter().any(wide)) {
        return None;
    }
    let hosts = |s: &Selector| -> Vec<Selector> {
        let family = addrs.iter().filter(|addr| addr.is_ipv4() == s.start.is_ipv4());
        family.map(|addr| Selector { start: *addr, end: *addr, ..*s }).collect()
    };
    if ts.is_empty() {
        return Some(addrs.iter().map(|addr| Selector::prefix(*addr, 128)).collect());
    }
    Some(ts.iter().flat_map(|s| if wide(s) { hosts(s) } else { vec![*s] }).collect())
}

/// What an initiator asks for, if it asks for anything.
pub(super) fn request(connection: &Connection) -> Option<Payload> {
    let ask = |addr: &IpAddr| match addr {
        IpAddr::V4(ip) if ip.is_unspecified() => (CfgAttr::INTERNAL_IP4_ADDRESS, Vec::new()),
        IpAddr::V4(ip) => (CfgAttr::INTERNAL_IP4_ADDRESS, ip.octets().to_vec()),
        IpAddr::V6(ip) if ip.is_unspecified() => (CfgAttr::INTERNAL_IP6_ADDRESS, Vec::new()),
        IpAddr::V6(ip) => (CfgAttr::INTERNAL_IP6_ADDRESS, [&ip.octets()[..], &[128]].concat()),
    };
    let attributes: Vec<_> = connection.vips.iter().take(MAX_ADDRESSES).map(ask).collect();
    (!attributes.is_empty()).then_some(Payload::Cfg(Cfg { kind: CfgType::REQUEST, attributes }))
}
/// Outer addresses: ours, and those of all peers. Whatever has one of them as its inner address cuts off what goes there.
pub(super) fn outer(cx: &mut Cx<'_>, core: &Core) -> Vec<IpAddr> {
    let mut outer = cx.host.local_addrs();
    outer.extend([core.local.ip(), core.remote.ip()]);
    for remote in cx.policy().connections.iter().flat_map(|c| &c.remote_addrs) {
        outer.extend(if let Remote::Addr(addr) = remote { Some(*addr) } else { None });
    }
    outer
}
/// What the responder has given us: not more of a family than we have asked for, only what a host can have, and nothing of these.
pub(super) fn given(connection: &Connection, contents: &Contents, outer: &[IpAddr]) -> Vec<IpAddr> {
    let Some(cfg) = contents.cfg.as_ref().filter(|cfg| cfg.kind == CfgType::REPLY) else { return Vec::new() };
    let mut given = Vec::new();
    for addr in addresses(cfg).into_iter().flatten() {
        let of = |list: &[IpAddr]| list.iter().filter(|a| a.is_ipv4() == addr.is_ipv4()).count();
        let fine = is_inner(addr) && !outer.contains(&addr);
        if fine && !given.contains(&addr) && of(&given) < of(&connection.vips).min(MAX_ADDRESSES) {
            given.push(addr);
        }
    }
    given
}
/// An address that a router forwards to one host.
fn is_inner(addr: IpAddr) -> bool {
    let of_the_link = match addr {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(of_the_link || addr.is_unspecified() || addr.is_loopback() || addr.is_multicast())
}
/// What a responder gives, and its payload. Whoever may have an address of a pool must ask for one (FAILED_CP_REQUIRED), and where there is none
/// left there is no child either (INTERNAL_ADDRESS_FAILURE). Who asks where there is nothing to give gets nothing.
pub(super) fn give(
    cx: &mut Cx<'_>,
    connection: &Connection,
    peer: &Id,
    ike: IkeId,
    contents: &Contents,
) -> Result<(Vec<IpAddr>, Option<Payload>), Refusal> {
    if connection.pools.is_empty() {
        return Ok((Vec::new(), None));
    }
    let asked = contents.cfg.as_ref().filter(|cfg| cfg.kind == CfgType::REQUEST).map(families).unwrap_or_default();
    if asked.is_empty() {
        return Err(Refusal::NeedsConfiguration);
    }
    let mut given = Vec::new();
    for v4 in asked {
        let mut pools = connection.pools.iter().filter(|pool| pool.first.is_ipv4() == v4);
        given.extend(pools.find_map(|pool| cx.common.leases.take(pool, peer, ike)));
    }
    if given.is_empty() {
        return Err(Refusal::NoAddress);
    }
    let attribute = |addr: &IpAddr| match addr {
        IpAddr::V4(ip) => (CfgAttr::INTERNAL_IP4_ADDRESS, ip.octets().to_vec()),
        IpAddr::V6(ip) => (CfgAttr::INTERNAL_IP6_ADDRESS, [&ip.octets()[..], &[128]].concat()),
    };
    let attributes = given.iter().map(attribute).collect();
    Ok((given, Some(Payload::Cfg(Cfg { kind: CfgType::REPLY, attributes }))))
}
/// The families that are asked for, each once: IPv4 is `true`. Which address, the pool decides.
fn families(cfg: &Cfg) -> Vec<bool> {
    let has = |kind| cfg.attributes.iter().any(|(k, _)| *k == kind);
    let v4 = has(CfgAttr::INTERNAL_IP4_ADDRESS).then_some(true);
    v4.into_iter().chain(has(CfgAttr::INTERNAL_IP6_ADDRESS).then_some(false)).collect()
}
fn addresses(cfg: &Cfg) -> Vec<Option<IpAddr>> {
    let address = |(kind, value): &(CfgAttr, Vec<u8>)| match *kind {
        CfgAttr::INTERNAL_IP4_ADDRESS => value.first_chunk::<4>().map(|a| Ipv4Addr::from(*a).into()),
        CfgAttr::INTERNAL_IP6_ADDRESS => value.first_chunk::<16>().map(|a| Ipv6Addr::from(*a).into()),
        _ => None,
    };
    cfg.attributes.iter().map(address).collect()
}
