//! The guard against packets that come in the clear and claim to be from behind the peer (design.md, "Clear text"), as a pure plan for the
//! nftables table `sandhog`. It outlives the daemon; only a clean stop with `on_exit = "open"` removes it.
//!
//! Dropped is what has a source in remote_ts and a destination in local_ts and did not come out of our device. The same places are left
//! open as in the routes (see there), or the gateway would be deaf where it may speak:
//! - to an outer address of ours, from everywhere, where no selector takes it in, or only one that means everywhere: the operator's SSH,
//!   ICMP errors for our own packets;
//! - IKE and ESP to an outer address of ours, also where a selector names this very address;
//! - between networks on our own links; from a network on an outer link only within that link;
//! - multicast, broadcast and link-local addresses, which no router forwards, where selectors mean everywhere: neighbour discovery, DHCP;
//! - `mode = "pass"` children, without what is protected inside of them.
use super::prefix::{self, Prefix};
use super::site::{Pair, Site, Treatment};
use crate::ike::policy::Ports;
use crate::io::nft::{self, Guard};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Name of the table.
pub const TABLE: &str = "sandhog";
const UDP: u8 = 17;
const ESP: u8 = 50;

/// The guard of a site; packets out of `device` pass, and IKE and ESP to our outer addresses.
pub fn plan(site: &Site, device: &str, ports: Ports) -> Guard {
    let pair = |source: Prefix, destination: Prefix| nft::Pair { source, destination };
    let protected: BTreeSet<_> = site.protected().map(|child| pair(child.remote, child.local)).collect();
    let mut exceptions = BTreeSet::new();
    for outer in site.exempt().chain(beside(site)) {
        exceptions.insert(pair(prefix::any(outer.is_ipv6()), prefix::host(outer)));
    }
    for child in site.protected() {
        exceptions.extend(neighbours(site, child));
        if child.is_wide() {
            let any = prefix::any(child.local.0.is_ipv6());
            exceptions.extend(not_forwarded(any).into_iter().map(|destination| pair(any, destination)));
            exceptions.extend(unrouted_sources(any).into_iter().map(|source| pair(source, any)));
        }
    }
    for (at, pass) in site.pairs.iter().enumerate().filter(|(_, pair)| pair.treatment == Treatment::Pass) {
        let before = site.pairs[..at].iter().filter(|pair| pair.treatment == Treatment::Protect);
        exceptions.extend(without(pass, before).into_iter().map(|part| pair(part.remote, part.local)));
    }
    Guard {
        devices: vec![device.to_owned()],
        open: carriers(site, ports),
        exceptions: exceptions.into_iter().collect(),
        protected: protected.into_iter().collect(),
    }
}

/// Outer addresses that no selector takes in. Nothing to them is dropped; but what carries the tunnels shall not be looked up among the
/// pairs of each shape before that is known.
fn beside(site: &Site) -> impl Iterator<Item = IpAddr> {
    let taken = |outer: IpAddr| site.protected().any(|child| prefix::contains(child.local, prefix::host(outer)));
    let any = site.protected().next().is_some();
    site.outer.iter().copied().filter(move |outer| any && !taken(*outer))
}

/// What carries the tunnel, where a protected selector takes in the address that it comes to: also where the selectors name the two
/// gateways themselves.
fn carriers(site: &Site, ports: Ports) -> Vec<nft::Open> {
    let taken = |outer: &Prefix| site.protected().any(|child| prefix::contains(child.local, *outer));
    let outer = site.outer.iter().copied().map(prefix::host).filter(taken);
    outer
        .flat_map(|destination| {
            let open = |protocol, port| nft::Open { destination, protocol, port };
            [open(ESP, None), open(UDP, Some(ports.ike)), open(UDP, Some(ports.natt))]
        })
        .collect()
}

/// From the networks on our links that `child` takes for remote, too.
fn neighbours(site: &Site, child: &Pair) -> Vec<nft::Pair> {
    site.connected(child)
        .filter_map(|address| {
            let within = if site.is_outer_link(address.link) {
                prefix::intersect(child.local, address.network)?
            } else {
                child.local
            };
            Some(nft::Pair { source: address.network, destination: within })
        })
        .collect()
}

fn not_forwarded(any: Prefix) -> Vec<Prefix> {
    match any.0 {
        IpAddr::V4(_) => vec![(IpAddr::from([224, 0, 0, 0]), 4), (IpAddr::from([255; 4]), 32)],
        IpAddr::V6(_) => vec![(IpAddr::from([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8)],
    }
}

fn unrouted_sources(any: Prefix) -> Vec<Prefix> {
    match any.0 {
        IpAddr::V4(_) => vec![],
        IpAddr::V6(_) => vec![(IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10)],
    }
}

/// What is left of `pass` when everything that is asked before it has taken its part.
fn without<'a>(pass: &Pair, before: impl Iterator<Item = &'a Pair>) -> Vec<Pair> {
    let mut left = vec![*pass];
    for taken in before {
        left = left.into_iter().flat_map(|part| cut(part, taken)).collect();
    }
    left
}

/// `part` without `taken`: what is left of the remote side, and of the local side where the remote sides overlap.
fn cut(part: Pair, taken: &Pair) -> Vec<Pair> {
    let (Some(remote), true) = (prefix::intersect(part.remote, taken.remote), part.overlaps(taken)) else {
        return vec![part];
    };
    let beside = prefix::subtract(part.remote, taken.remote).into_iter().map(|remote| Pair { remote, ..part });
    let under = prefix::subtract(part.local, taken.local).into_iter().map(|local| Pair { local, remote, ..part });
    beside.chain(under).collect()
}

#[cfg(test)]
mod tests {
    use super::super::prefix::prefix;
    use super::super::site::tests::site;
    use super::*;

    /// What the kernel does with a packet that did not come out of our device.
    fn passes(guard: &Guard, source: &str, destination: &str) -> bool {
        let host = |text: &str| prefix::host(text.parse().unwrap());
        let (source, destination) = (host(source), host(destination));
        let matches =
            |pair: &nft::Pair| prefix::contains(pair.source, source) && prefix::contains(pair.destination, destination);
        guard.exceptions.iter().any(matches) || !guard.protected.iter().any(matches)
    }

    fn check(site: &Site, cases: &[(&str, &str, bool)]) {
        let guard = plan(site, "sandhog0", Ports::default());
        for (source, destination, expected) in cases {
            assert_eq!(passes(&guard, source, destination), *expected, "{source} to {destination}: {guard:?}");
        }
    }

    #[test]
    fn two_networks() {
        let site = site(&["10.1.0.0/16 > 10.2.0.0/16"], &[(2, "192.0.2.1/24"), (3, "10.1.0.1/24")], &["192.0.2.1"]);
        check(
            &site,
            &[
                ("10.2.0.9", "10.1.0.5", false),
                ("10.2.0.9", "192.0.2.1", true),
                ("198.51.100.1", "10.1.0.5", true),
                ("203.0.113.7", "192.0.2.1", true),
            ],
        );
    }

    #[test]
    fn everywhere_to_everywhere() {
        let site = site(
            &["0.0.0.0/0 > 0.0.0.0/0", "::/0 > ::/0"],
            &[(2, "192.0.2.1/24"), (3, "10.1.0.1/24"), (4, "10.5.0.1/24"), (2, "2001:db8::1/64")],
            &["192.0.2.1", "2001:db8::1"],
        );
        check(
            &site,
            &[
                // the operator, the peer, and anybody's ICMP
                ("198.51.100.9", "192.0.2.1", true),
                ("203.0.113.7", "192.0.2.1", true),
                ("2001:db8:ffff::9", "2001:db8::1", true),
                // spoofed from outside
                ("10.2.0.9", "10.1.0.5", false),
                ("192.0.2.50", "10.1.0.5", false),
                ("2001:db8:2::9", "2001:db8:1::5", false),
                // the host's own links
                ("10.1.0.7", "10.1.0.1", true),
                ("10.1.0.7", "10.5.0.7", true),
                ("192.0.2.50", "192.0.2.7", true),
                // neighbours and DHCP
                ("fe80::2", "2001:db8::7", true),
                ("2001:db8::2", "ff02::1:ff00:1", true),
                ("0.0.0.0", "255.255.255.255", true),
            ],
        );
    }

    #[test]
    fn a_network_towards_everywhere() {
        let site = site(&["10.1.0.0/16 > 0.0.0.0/0"], &[(2, "192.0.2.1/24"), (3, "10.1.0.1/24")], &["192.0.2.1"]);
        check(
            &site,
            &[
                ("198.51.100.9", "192.0.2.1", true),
                ("10.2.0.9", "10.1.0.5", false),
                ("203.0.113.7", "10.1.0.5", false),
                ("10.1.0.7", "10.1.0.1", true),
                ("192.0.2.50", "10.1.0.5", false),
            ],
        );
    }

    #[test]
    fn an_outer_address_that_is_named_alone_hears_ike_and_esp_only() {
        for pairs in ["192.0.2.1/32 > 0.0.0.0/0", "192.0.2.1/32 > 203.0.113.7/32"] {
            let site = site(&[pairs], &[(2, "192.0.2.1/24")], &["192.0.2.1"]);
            check(&site, &[("203.0.113.7", "192.0.2.1", false)]);
            let open = plan(&site, "sandhog0", Ports::default()).open;
            let to = prefix("192.0.2.1/32");
            let expected = [(ESP, None), (UDP, Some(500)), (UDP, Some(4500))];
            assert_eq!(open, expected.map(|(protocol, port)| nft::Open { destination: to, protocol, port }));
        }
    }

    #[test]
    fn nothing_is_open_that_is_not_protected() {
        let site = site(&["10.1.0.0/16 > 10.2.0.0/16"], &[], &["192.0.2.1"]);
        assert_eq!(plan(&site, "sandhog0", Ports::default()).open, []);
    }

    #[test]
    fn a_pass_child_is_open_but_for_what_is_protected_inside() {
        let site = site(
            &["10.1.0.0/16 > 10.0.0.0/8", "10.1.0.0/16 ~ 10.2.0.0/16", "10.1.7.0/24 > 10.2.3.0/24"],
            &[],
            &["192.0.2.1"],
        );
        check(
            &site,
            &[
                ("10.2.0.9", "10.1.0.5", true),
                ("10.2.3.9", "10.1.7.5", false),
                ("10.2.3.9", "10.1.0.5", true),
                ("10.2.4.9", "10.1.7.5", true),
                ("10.3.0.9", "10.1.0.5", false),
            ],
        );
    }

    #[test]
    fn what_carries_the_tunnels_is_let_in_first() {
        let guard = |pairs: &[&str]| {
            plan(&site(pairs, &[], &["192.0.2.1", "10.1.0.1"]), "sandhog0", Ports::default()).exceptions
        };
        let to = |destination| nft::Pair { source: prefix("0.0.0.0/0"), destination: prefix(destination) };
        assert_eq!(guard(&["10.1.0.0/16 > 10.2.0.0/16"]), [to("192.0.2.1/32")], "the other is protected");
        assert_eq!(guard(&["10.3.0.0/16 > 10.2.0.0/16"]), [to("10.1.0.1/32"), to("192.0.2.1/32")]);
        assert_eq!(guard(&[]), []);
    }

    #[test]
    fn the_device_is_ours() {
        let guard = plan(&Site::default(), "sandhog0", Ports::default());
        assert_eq!(guard, Guard { devices: vec!["sandhog0".into()], ..Guard::default() });
    }
}
