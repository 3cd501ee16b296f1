//! What routes and devices allow: how large an outer packet may be at most, and how large an inner one is that fits whatever is negotiated.
use crate::config::{Config, ConnectionConfig, Gateway};
use crate::crypto::cipher::Cipher;
use crate::crypto::integ::Integ;
use crate::ike::event::IkePath;
use crate::ike::policy::{ChildPolicy, Connection, Remote};
use crate::io::fib;
use crate::ipsec::path::{Encap, inner_mtu};
use crate::ipsec::pmtu::LARGEST;
use crate::wire::payload::Proposal;
use crate::wire::registry::{EncrId, IntegId, TransformType};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What nearly every device takes.
const USUAL: u16 = 1500;
/// The smallest MTU with which a device carries IPv6 (RFC 8200 section 5).
const LEAST: u16 = 1280;

/// The largest outer packet of a path, as far as its route and the device say; `None`: there is no route.
pub fn of_path(path: &IkePath, mark: u32) -> Option<u16> {
    towards(path.remote.ip(), Some(path.local.ip()).filter(|local| !local.is_unspecified()), mark)
}

/// The same for a path that may have to be used before it has a route.
pub fn of_new_path(path: &IkePath, mark: u32) -> u16 {
    of_path(path, mark).unwrap_or(USUAL)
}

/// The MTU of a device for the connections that are on it: what each of their children says, or what surely crosses the ways to the peers
/// that are known, in UDP, whichever proposal is chosen. The least of all.
pub fn of_device(config: &Config, on_it: impl Fn(&ConnectionConfig) -> bool) -> u32 {
    by_connection(config, on_it).map(|(_, mtu)| mtu).min().unwrap_or(LEAST).into()
}

/// The same of each connection that has a device of its own.
pub fn of_own_devices(config: &Config) -> HashMap<Arc<str>, u32> {
    by_connection(config, |connection| connection.interface.is_some()).map(|(name, mtu)| (name, mtu.into())).collect()
}

fn by_connection(config: &Config, on_it: impl Fn(&ConnectionConfig) -> bool) -> impl Iterator<Item = (Arc<str>, u16)> {
    let on_it: HashMap<_, _> = config.connections.iter().filter(|c| on_it(c)).map(|c| (&c.name, c)).collect();
    let of = move |connection: &Arc<Connection>| {
        Some((connection.name.clone(), of_children(&config.gateway, on_it.get(&connection.name)?, connection)?))
    };
    config.policy.connections.iter().filter_map(of)
}

fn of_children(gateway: &Gateway, settings: &ConnectionConfig, connection: &Connection) -> Option<u16> {
    let listens = |ipv6| gateway.listen.iter().any(|addr| addr.is_ipv6() == ipv6);
    let way = |remote: &Remote| match remote {
        Remote::Addr(addr) => (towards(*addr, None, gateway.mark).unwrap_or(USUAL), addr.is_ipv6()),
        // It may be anywhere.
        Remote::Name(_) | Remote::Any => (USUAL, listens(true)),
    };
    let ways: Vec<_> = connection.remote_addrs.iter().map(way).collect();
    let said = |child: &ChildPolicy| settings.children.iter().find(|settings| settings.name == child.name)?.mtu;
    let of_child = |child: &Arc<ChildPolicy>| {
        let exact = ways.iter().map(|(mtu, ipv6)| worst(child, *mtu, *ipv6)).min().unwrap_or(LEAST).max(LEAST);
        said(child).map_or(exact, |said| said.min(exact))
    };
    connection.children.iter().map(of_child).min()
}

fn towards(remote: IpAddr, local: Option<IpAddr>, mark: u32) -> Option<u16> {
    let found = fib::mtu_towards(remote, local, mark);
    let mtu = found.inspect_err(|error| tracing::debug!(%error, "no MTU is known of a path")).ok()?;
    Some(u16::try_from(mtu).unwrap_or(u16::MAX).min(LARGEST))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse, secret};
    use crate::io::netns::fresh;

    fn source(connections: &str) -> Source {
        let secrets = "[secrets.s]\nid = [\"%any\"]\nsecret = \"correct horse battery staple\"\n";
        Source { name: "a.toml".into(), text: format!("{connections}{secrets}") }
    }

    /// Where peers cannot be reached their paths count as Ethernet.
    fn device(connections: &str) -> u32 {
        of_device(&parse(&[source(connections)], &secret::System).unwrap(), |_| true)
    }

    fn connection(name: &str, remote: &str, child: &str) -> String {
        let net = 2 + name.len();
        format!(
            "[connections.{name}]\nremote_addrs = [\"{remote}\"]\nremote = {{ id = \"gw\" }}\n[connections.{name}.children.lan]\n\
             local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.{net}.0.0/16\"]\n{child}\n"
        )
    }

    /// As AWS tells its customers, with NAT traversal.
    #[test]
    fn the_device_takes_what_fits_whatever_is_negotiated() {
        fresh(|| {
            let one = |remote, child: &str| device(&connection("a", remote, child));
            let gcm = "esp_proposals = [\"aes256gcm16\"]";
            assert_eq!(one("192.0.2.1", gcm), 1438);
            assert_eq!(one("192.0.2.1", "esp_proposals = [\"aes256-sha512\"]"), 1406);
            assert_eq!(one("192.0.2.1", "esp_proposals = [\"aes256gcm16\", \"aes128-sha256-sha512\"]"), 1406);
            assert_eq!(one("2001:db8::1", gcm), 1418);
            assert_eq!(one("gw.example.com", gcm), 1418, "it may be anywhere");
            let and = |more: &str| format!("{gcm}\n{more}");
            assert_eq!(one("192.0.2.1", &and("mtu = 1400")), 1400);
            assert_eq!(one("192.0.2.1", &and("mtu = 600")), 600);
            assert_eq!(one("192.0.2.1", &and("mtu = 9000")), 1438, "it is a bound, not a wish");
            let both = connection("a", "192.0.2.1", gcm) + &connection("bb", "192.0.2.2", &and("mtu = 1390"));
            assert_eq!(device(&both), 1390);
            assert_eq!(device("[gateway]\nlisten = [\"0.0.0.0\"]\n"), 1280, "nothing is to be carried");
            let v4 = "[gateway]\nlisten = [\"0.0.0.0\"]\n".to_owned() + &connection("a", "gw.example.com", gcm);
            assert_eq!(device(&v4), 1438);
            let config = parse(&[source(&both)], &secret::System).unwrap();
            assert_eq!(of_device(&config, |connection| &*connection.name == "a"), 1438, "a device of its own");
        });
    }

    #[test]
    fn a_path_is_as_large_as_its_device() {
        fresh(|| {
            let lo = IkePath {
                local: ([127, 0, 0, 1], 4500).into(),
                remote: ([127, 0, 0, 2], 4500).into(),
                udp: true,
                may_move: false,
            };
            assert_eq!((of_path(&lo, 0xdc), of_new_path(&lo, 0xdc)), (Some(LARGEST), LARGEST));
            let nowhere = IkePath { local: ([0, 0, 0, 0], 4500).into(), remote: ([192, 0, 2, 1], 4500).into(), ..lo };
            assert_eq!((of_path(&nowhere, 0xdc), of_new_path(&nowhere, 0xdc)), (None, USUAL));
        });
    }
}
