//! The `[pools]`: addresses that are handed out to peers (configuration payload, RFC 7296 section 3.15).
use super::keys::{self, Fields};
use super::report::Report;
use super::text::{At, Entry, Node};
use super::value;
use crate::ike::policy;
use std::net::IpAddr;

/// All pools that the configuration names.
pub(super) struct Pools {
    list: Vec<(String, Option<policy::Pool>)>,
    /// Part of the configuration could not be read: there may be more.
    incomplete: bool,
}
impl Pools {
    /// Reads the section; one that is broken is known by its name, so that its fault is reported once.
    pub(super) fn read(report: &mut Report<'_>, entries: &[Entry], incomplete: bool) -> Self {
        let list: Vec<_> = entries.iter().map(|entry| (entry, pool(report, entry))).collect();
        refuse_overlaps(report, &list);
        Self { list: list.into_iter().map(|(entry, pool)| (entry.key.clone(), pool)).collect(), incomplete }
    }

    /// The names of a connection's `pools` as what they stand for.
    pub(super) fn named(&self, report: &mut Report<'_>, node: &Node) -> Option<Vec<policy::Pool>> {
        let pools = value::list(report, node, |report, node| self.reference(report, node))?;
        pools.into_iter().map(|(pool, _)| pool).collect()
    }

    /// `Some(None)`: it is there, but broken.
    fn reference(&self, report: &mut Report<'_>, node: &Node) -> Option<Option<policy::Pool>> {
        let name = value::string(report, node)?;
        if let Some((_, pool)) = self.list.iter().find(|(known, _)| known == name) {
            return Some(pool.clone());
        }
        if self.incomplete {
            return Some(None);
        }
        let hint = match keys::nearest(name, self.list.iter().map(|(known, _)| known.as_str())) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("add [pools.{name}] with its addrs"),
        };
        report.refuse(node.at, "reference.undefined", format!("there is no pool {name:?}"), hint)
    }
}

fn pool(report: &mut Report<'_>, entry: &Entry) -> Option<policy::Pool> {
    value::name(report, entry);
    let fields = Fields::of_node(report, &keys::POOL, &entry.node)?;
    if fields.entry("addrs").is_none() {
        let message = format!("the pool `{}` has no addresses", entry.key);
        return report.refuse(entry.at, "pool.empty", message, "add addrs = \"10.9.0.0/24\"");
    }
    let (first, last) = fields.read(report, "addrs", addresses)?;
    Some(policy::Pool { name: entry.key.as_str().into(), first, last })
}

/// A network without its own address and, in IPv4, without that of its broadcasts; or a range, which means what it says.
fn addresses(report: &mut Report<'_>, node: &Node) -> Option<(IpAddr, IpAddr)> {
    let given = value::string(report, node)?;
    let range = given.split_once('-').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    let (first, last) = match range {
        Some((first, last)) => (first, last),
        None => hosts(value::prefix(report, node, false)?),
    };
    if first.is_ipv4() != last.is_ipv4() || first > last {
        let message = format!("{given:?} is not a range of addresses");
        return report.refuse(node.at, "value.address", message, "the lower address first: \"10.9.0.10-10.9.0.99\"");
    }
    if [first, last].iter().any(|addr| addr.is_unspecified() || addr.is_multicast() || addr.is_loopback()) {
        let message = format!("{given:?} has addresses that no host can have");
        return report.refuse(node.at, "pool.address", message, "a network of your own, such as \"10.9.0.0/24\"");
    }
    Some((first, last))
}

fn hosts((network, len): (IpAddr, u8)) -> (IpAddr, IpAddr) {
    let host = |bits: u8| 1u128.checked_shl(u32::from(bits - len)).map_or(u128::MAX, |size| size - 1);
    match network {
        IpAddr::V4(a) => {
            let (first, last) = (a.to_bits(), a.to_bits() | host(32) as u32);
            let edge = u32::from(len < 31);
            (IpAddr::V4((first + edge).into()), IpAddr::V4((last - edge).into()))
        }
        // The first one is the routers' anycast address (RFC 4291 section 2.6.1).
        IpAddr::V6(a) => {
            let (first, last) = (a.to_bits(), a.to_bits() | host(128));
            (IpAddr::V6((first + u128::from(len < 127)).into()), IpAddr::V6(last.into()))
        }
    }
}

/// No address may be handed out twice.
fn refuse_overlaps(report: &mut Report<'_>, list: &[(&Entry, Option<policy::Pool>)]) {
    let mut pools: Vec<(&policy::Pool, At)> =
        list.iter().filter_map(|(entry, pool)| Some((pool.as_ref()?, entry.at))).collect();
    pools.sort_by_key(|(pool, _)| pool.first);
    let mut widest: Option<(&policy::Pool, At)> = None;
    for (pool, at) in pools {
        if let Some((other, place)) = widest.filter(|(other, _)| pool.first <= other.last) {
            let ((earlier, first), (later, second)) =
                if place < at { ((other, place), (pool, at)) } else { ((pool, at), (other, place)) };
            let message = format!("the pools `{}` and `{}` have addresses in common", later.name, earlier.name);
            let hint = format!("addresses that the other, at {}, does not have", report.place(first));
            report.error(second, "pool.overlap", message, hint);
        }
        if widest.is_none_or(|(other, _)| other.last < pool.last) {
            widest = Some((pool, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, parse};

    /// First and last address of the pool of a connection.
    fn range(addrs: &str) -> (String, String) {
        let text = format!(
            "[connections.a]\nremote_addrs = [\"%any\"]\npools = [\"p\"]\n[connections.a.children.b]\n\
             local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n\
             [secrets.a]\nid = [\"x\"]\nsecret = \"a long secret that nobody guesses\"\n[pools.p]\naddrs = \"{addrs}\"\n"
        );
        let config = parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let pool = &config.policy.connections[0].pools[0];
        assert_eq!(&*pool.name, "p");
        (pool.first.to_string(), pool.last.to_string())
    }

    #[test]
    fn a_network_is_handed_out_without_its_edges_and_a_range_whole() {
        for (addrs, first, last) in [
            ("10.9.0.0/24", "10.9.0.1", "10.9.0.254"),
            ("10.9.0.4/30", "10.9.0.5", "10.9.0.6"),
            ("10.9.0.4/31", "10.9.0.4", "10.9.0.5"),
            ("10.9.0.4/32", "10.9.0.4", "10.9.0.4"),
            ("10.0.0.0/8", "10.0.0.1", "10.255.255.254"),
            ("fd00::/120", "fd00::1", "fd00::ff"),
            ("fd00::8/127", "fd00::8", "fd00::9"),
            ("fd00::/8", "fd00::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("10.9.0.0 - 10.9.0.255", "10.9.0.0", "10.9.0.255"),
            ("fd00::1-fd00::1", "fd00::1", "fd00::1"),
        ] {
            assert_eq!(range(addrs), (first.into(), last.into()), "{addrs}");
        }
    }

    #[test]
    fn what_nobody_can_be_given_is_refused() {
        for (addrs, code) in [
            ("10.9.0.9-10.9.0.1", "value.address"),
            ("10.9.0.1-fd00::1", "value.address"),
            ("10.9.0.1", "value.address"),
            ("10.9.0.1/24", "ts.host_bits"),
            ("0.0.0.0-10.0.0.1", "pool.address"),
            ("224.0.0.0/24", "pool.address"),
            ("127.0.0.0/24", "pool.address"),
        ] {
            assert_eq!(errors(&format!("[pools.p]\naddrs = \"{addrs}\"\n")), [format!("{code}@2")], "{addrs}");
        }
    }

    #[test]
    fn no_address_is_in_two_pools() {
        let pools = |list: &[&str]| {
            let pool = |(n, addrs): (usize, &&str)| format!("[pools.p{n}]\naddrs = \"{addrs}\"\n");
            list.iter().enumerate().map(pool).collect::<String>()
        };
        assert!(parse(&pools(&["10.9.0.0/24", "10.9.1.0/24", "fd00::/64"])).is_ok());
        assert_eq!(errors(&pools(&["10.9.1.0/24", "10.9.0.0/16"])), ["pool.overlap@3"]);
        let wide = pools(&["10.0.0.0/8", "10.1.0.0/24", "10.200.0.0/24"]);
        assert_eq!(errors(&wide), ["pool.overlap@3", "pool.overlap@5"]);
    }
}
