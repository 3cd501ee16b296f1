//! What routes and devices allow: how large an outer packet may be at most, and how large an inner one is that fits whatever is negotiated.
use crate::config::Config;
use crate::crypto::cipher::Cipher;
use crate::crypto::integ::Integ;
use crate::ike::event::IkePath;
use crate::ike::policy::{ChildPolicy, Connection, Remote};
use crate::io::fib;
use crate::ipsec::path::{Encap, inner_mtu};
use crate::wire::payload::Proposal;
use crate::wire::registry::{EncrId, IntegId, TransformType};
use std::net::IpAddr;

/// What nearly every device takes.
const USUAL: u16 = 1500;
/// The smallest MTU with which a device carries IPv6 (RFC 8200 section 5).
const LEAST: u16 = 1280;
/// No device may have more; nobody has.
const MOST: u16 = 65_000;

/// The largest outer packet of a path, as far as its route and the device say; `None`: there is no route.
pub fn of_path(path: &IkePath, mark: u32) -> Option<u16> {
    towards(path.remote.ip(), Some(path.local.ip()).filter(|local| !local.is_unspecified()), mark)
}

/// The same for a path that may have to be used before it has a route.
pub fn of_new_path(path: &IkePath, mark: u32) -> u16 {
    of_path(path, mark).unwrap_or(USUAL)
}

/// The MTU of a device for the connections that `uses` picks: what each of their children says, or what surely crosses the ways to the peers
/// that are known, in UDP, whichever proposal is chosen. The least of all.
pub fn of_device(config: &Config, uses: impl Fn(&str) -> bool) -> u32 {
    let mark = config.gateway.mark;
    let listens = |ipv6| config.gateway.listen.iter().any(|addr| addr.is_ipv6() == ipv6);
    let fits = |connection: &Connection| -> Vec<(u16, bool)> {
        let way = |remote: &Remote| match remote {
            Remote::Addr(addr) => (towards(*addr, None, mark).unwrap_or(USUAL), addr.is_ipv6()),
            // It may be anywhere.
            Remote::Name(_) | Remote::Any => (USUAL, listens(true)),
        };
        connection.remote_addrs.iter().map(way).collect()
    };
    let mut least = None::<u16>;
    for connection in config.policy.connections.iter().filter(|connection| uses(&connection.name)) {
        let settings = config.connections.iter().find(|settings| settings.name == connection.name);
        let said = |child: &ChildPolicy| {
            settings.and_then(|s| s.children.iter().find(|settings| settings.name == child.name)?.mtu)
        };
        let ways = fits(connection);
        for child in &connection.children {
            let exact = ways.iter().map(|(mtu, ipv6)| worst(child, *mtu, *ipv6)).min().unwrap_or(LEAST).max(LEAST);
            let mtu = said(child).map_or(exact, |said| said.min(exact));
            least = Some(least.map_or(mtu, |least| least.min(mtu)));
        }
    }
    least.unwrap_or(LEAST).min(MOST).into()
}

fn towards(remote: IpAddr, local: Option<IpAddr>, mark: u32) -> Option<u16> {
    let found = fib::mtu_towards(remote, local, mark);
    let mtu = found.inspect_err(|error| tracing::debug!(%error, "no MTU is known of a path")).ok()?;
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// The largest packet that fits under every cipher that may be negotiated.
fn worst(child: &ChildPolicy, path_mtu: u16, ipv6: bool) -> u16 {
    let header = if ipv6 { 40 } else { 20 };
    // In transport mode the packet's own header is the outer one.
    let outside = if child.transport { header } else { 0 };
    let ciphers = child.proposals.iter().flat_map(ciphers);
    ciphers.map(|cipher| inner_mtu(path_mtu, ipv6, Encap::Udp, cipher) + outside).min().unwrap_or(LEAST)
}

fn ciphers(proposal: &Proposal) -> Vec<Cipher> {
    let of = |kind| proposal.transforms.iter().filter(move |transform| transform.kind == kind);
    let mut integs: Vec<_> = of(TransformType::INTEG).map(|t| Integ::from_id(IntegId(t.id))).collect();
    // A combined-mode cipher comes without.
    integs.push(None);
    let all = of(TransformType::ENCR).flat_map(|encr| {
        integs.iter().filter_map(|integ| Cipher::new(EncrId(encr.id), encr.key_bits, *integ)).collect::<Vec<_>>()
    });
    all.collect()
}
