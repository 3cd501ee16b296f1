//! What routes, rules and the guard are planned from: the pairs of prefixes that the configuration names, and the host's own addresses.
use super::prefix::{self, Prefix};
use crate::config::{Config, Mode};
use crate::wire::selector::Selector;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What happens to packets of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// They belong into the device: children of IKE, and `mode = "drop"`.
    Protect,
    /// `mode = "pass"`: in the clear.
    Pass,
}
/// One local and one remote prefix of a child. Protocols and ports are the data plane's: here they are not told apart, so that nothing
/// escapes whose ports cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// On our side.
    pub local: Prefix,
    /// On the peer's side, of the same family.
    pub remote: Prefix,
    /// Higher wins among equally long matches.
    pub priority: i32,
    /// What happens.
    pub treatment: Treatment,
}
impl Pair {
    /// Both prefixes mean "everywhere".
    pub fn is_wide(&self) -> bool {
        prefix::is_wide(self.local) && prefix::is_wide(self.remote)
    }
    /// They have packets in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        prefix::overlap(self.local, other.local) && prefix::overlap(self.remote, other.remote)
    }
    /// The order in which policies are asked: the longest remote prefix, the longest local one, the highest priority, protection.
    pub fn precedence(&self) -> impl Ord + use<> {
        use std::cmp::Reverse;
        (Reverse(self.remote.1), Reverse(self.local.1), Reverse(self.priority), self.treatment)
    }
}

/// An address of the host and the network that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The device.
    pub link: u32,
    /// The address.
    pub addr: IpAddr,
    /// Its network.
    pub network: Prefix,
}

/// Where we stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// All pairs, in the order in which policies are asked.
    pub pairs: Vec<Pair>,
    /// Addresses of the host, but those of loopback and of our own device.
    pub addresses: Vec<HostAddress>,
    /// Our ends of IKE and ESP.
    pub outer: Vec<IpAddr>,
    /// Addresses on our device that peers have given us.
    pub given: BTreeSet<IpAddr>,
}
impl Site {
    /// Puts `pairs` in order.
    pub fn new(mut pairs: Vec<Pair>, addresses: Vec<HostAddress>, mut outer: Vec<IpAddr>) -> Self {
        pairs.sort_by_key(Pair::precedence);
        pairs.dedup();
        outer.sort();
        outer.dedup();
        Self { pairs, addresses, outer, given: BTreeSet::new() }
    }
    /// The pairs that belong into the device.
    pub fn protected(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|pair| pair.treatment == Treatment::Protect)
    }
    /// The outer addresses that a selector takes in only because it is large, towards everywhere: what comes from them stays outside, or the
    /// operator's SSH would end. A selector that names such an address alone means it.
    pub fn exempt(&self) -> impl Iterator<Item = IpAddr> {
        self.outer.iter().copied().filter(|&outer| {
            let host = prefix::host(outer);
            let everywhere = || self.protected().filter(|pair| prefix::is_wide(pair.remote));
            everywhere().any(|pair| prefix::contains(pair.local, host)) && !everywhere().any(|pair| pair.local == host)
        })
    }
    /// The host's networks that lie on our side of a pair although its remote selector contains them: what is on the wire beside us is local.
    pub fn connected<'a>(&'a self, pair: &'a Pair) -> impl Iterator<Item = &'a HostAddress> {
        self.addresses.iter().filter(|address| {
            let network = address.network;
            prefix::overlap(pair.local, network) && prefix::contains(pair.remote, network) && pair.remote != network
        })
    }
    /// A device that carries our end of IKE and ESP.
    pub fn is_outer_link(&self, link: u32) -> bool {
        self.addresses.iter().any(|address| address.link == link && self.outer.contains(&address.addr))
    }
}

/// The pairs of a configuration, by the names that they have here. Selectors of two families never make one. What a connection with a device of
/// its own carries is what the operator's routes lead there: we have none for it.
pub fn pairs(config: &Config) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let shared = config.connections.iter().filter(|connection| connection.interface.is_none());
    for child in shared.flat_map(|connection| &connection.children) {
        let treatment = match child.mode {
            // Transport mode, too: what the two hosts say to each other goes into the device, and what we make of it is marked.
            Mode::Tunnel | Mode::Transport | Mode::Drop => Treatment::Protect,
            Mode::Pass => Treatment::Pass,
        };
        // A hole for some ports would be one for all: such packets stay inside, where they are refused.
        let wanted = |selector: &&Selector| treatment == Treatment::Protect || tells_no_ports(selector);
        let locals: Vec<_> = child.local_here().iter().filter(wanted).flat_map(Selector::prefixes).collect();
        let remotes: Vec<_> = child.remote_here().iter().filter(wanted).flat_map(Selector::prefixes).collect();
        for &local in &locals {
            let same_family = remotes.iter().filter(|remote| remote.0.is_ipv4() == local.0.is_ipv4());
            pairs.extend(same_family.map(|&remote| Pair { local, remote, priority: child.priority, treatment }));
        }
    }
    pairs
}

/// All protocols and ports of its addresses.
pub fn tells_no_ports(selector: &Selector) -> bool {
    selector.proto == 0 && selector.ports == (0, u16::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::prefix::prefix;
    use super::*;

    /// A site from text: pairs `local > remote` (protect) or `local ~ remote` (pass), addresses `link addr/len`.
    pub fn site(pairs: &[&str], addresses: &[(u32, &str)], outer: &[&str]) -> Site {
        let pair = |text: &&str| {
            let (treatment, (local, remote)) = match text.split_once(" > ") {
                Some(parts) => (Treatment::Protect, parts),
                None => (Treatment::Pass, text.split_once(" ~ ").unwrap()),
            };
            Pair { local: prefix(local), remote: prefix(remote), priority: 0, treatment }
        };
        let address = |&(link, text): &(u32, &str)| {
            let (addr, len) = prefix(text);
            HostAddress { link, addr, network: super::prefix::network(addr, len) }
        };
        let addrs = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Site::new(pairs.iter().map(pair).collect(), addresses.iter().map(address).collect(), addrs(outer))
    }

    #[test]
    fn a_pass_child_with_ports_opens_nothing() {
        let text = r#"
            [connections.a.children.ssh]
            mode = "pass"
            priority = 10
            local_ts = ["10.1.0.0/16[tcp]", "10.1.0.0/16"]
            remote_ts = ["10.2.0.0/16[tcp/22]", "10.3.0.0/16"]
            [connections.a.children.none]
            mode = "drop"
            local_ts = ["10.1.0.0/16[tcp]"]
            remote_ts = ["10.2.0.0/16[tcp/23]"]
        "#;
        let source = crate::config::Source { name: "a.toml".into(), text: text.into() };
        let config = crate::config::parse(&[source], &crate::config::secret::System).unwrap();
        let pairs: Vec<_> = pairs(&config).iter().map(|pair| (pair.remote, pair.treatment)).collect();
        let expected = [(prefix("10.3.0.0/16"), Treatment::Pass), (prefix("10.2.0.0/16"), Treatment::Protect)];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn routes_and_the_guard_know_the_names_of_this_side() {
        let text = r#"
            [connections.a]
            remote_addrs = ["203.0.113.7"]
            [connections.a.children.b]
            local_ts = ["198.18.1.0/24"]
            remote_ts = ["10.0.0.0/24"]
            translate = { local = "10.0.0.0/24", remote = "172.31.2.0/24" }
            [secrets.a]
            id = ["203.0.113.7"]
            secret = "correct horse battery staple 7Q"
        "#;
        let source = crate::config::Source { name: "a.toml".into(), text: text.into() };
        let config = crate::config::parse(&[source], &crate::config::secret::System).unwrap();
        let pairs: Vec<_> = pairs(&config).iter().map(|pair| (pair.local, pair.remote)).collect();
        assert_eq!(pairs, [(prefix("10.0.0.0/24"), prefix("172.31.2.0/24"))]);
    }

    #[test]
    fn what_is_routed_by_others_makes_no_pairs() {
        let text = r#"
            [connections.a]
            interface = { name = "vti0" }
            [connections.a.children.none]
            mode = "drop"
            local_ts = ["0.0.0.0/0"]
            remote_ts = ["10.0.0.0/8"]
        "#;
        let of = |text: String| {
            let source = crate::config::Source { name: "a.toml".into(), text };
            pairs(&crate::config::parse(&[source], &crate::config::secret::System).unwrap()).len()
        };
        assert_eq!(of(text.into()), 0);
        assert_eq!(of(text.replace("interface", "#")), 1);
    }

    #[test]
    fn transport_mode_protects_its_two_hosts() {
        let text = r#"
            [connections.a]
            remote_addrs = ["203.0.113.7"]
            [connections.a.children.b]
            mode = "transport"
            local_ts = ["192.0.2.1[tcp]"]
            remote_ts = ["203.0.113.7[tcp/443]"]
            [secrets.a]
            id = ["203.0.113.7"]
            secret = "correct horse battery staple 7Q"
        "#;
        let source = crate::config::Source { name: "a.toml".into(), text: text.into() };
        let config = crate::config::parse(&[source], &crate::config::secret::System).unwrap();
        let pair = Pair {
            local: prefix("192.0.2.1/32"),
            remote: prefix("203.0.113.7/32"),
            priority: 0,
            treatment: Treatment::Protect,
        };
        assert_eq!(pairs(&config), [pair]);
    }

    #[test]
    fn longest_match_first() {
        let site = site(&["0.0.0.0/0 > 0.0.0.0/0", "10.1.0.0/16 > 10.2.0.0/16", "10.0.0.0/8 > 10.2.0.0/16"], &[], &[]);
        let locals: Vec<_> = site.pairs.iter().map(|pair| pair.local.1).collect();
        assert_eq!(locals, [16, 8, 0]);
    }

    #[test]
    fn an_outer_address_is_exempt_unless_it_is_meant() {
        let exempt = |pairs: &[&str]| site(pairs, &[], &["192.0.2.1"]).exempt().count();
        assert_eq!(exempt(&["0.0.0.0/0 > 0.0.0.0/0"]), 1);
        assert_eq!(exempt(&["192.0.2.0/24 > 0.0.0.0/0"]), 1);
        assert_eq!(exempt(&["192.0.2.1/32 > 0.0.0.0/0"]), 0);
        assert_eq!(exempt(&["192.0.2.1/32 > 0.0.0.0/0", "0.0.0.0/0 > 0.0.0.0/0"]), 0);
        assert_eq!(exempt(&["10.1.0.0/16 > 0.0.0.0/0"]), 0);
        assert_eq!(exempt(&["0.0.0.0/0 > 10.2.0.0/16"]), 0);
    }
}
