//! Which routes and rules a site needs, as a pure plan (design.md, "Clear text").
//!
//! Table T (`route_table`) holds, for each protected destination, the way into our device and, with the worst metric, a `prohibit` that
//! outlives us: when the device vanishes with the process, packets are refused instead of taking the default route in the clear. Rules
//! send packets there, asked in this order:
//!
//! | rule | why |
//! | --- | --- |
//! | `fwmark M lookup main` | our own IKE and ESP never enter the tunnel that they make |
//! | `from L to R lookup main`, or `T` | a `pass` child within a wider protected one, and protected ones within that |
//! | `to R lookup T` | destinations narrower than everywhere, also of the gateway itself, which takes a source address inside local_ts; of many, where none is everywhere, `lookup T` once |
//! | `from OUTER lookup main` | see below |
//! | `from L lookup T` | hosts behind us, by their source |
//! | `not fwmark M lookup T` | only if both selectors mean everywhere |
//!
//! **Selectors that mean everywhere** would take the answers of the operator's SSH, which comes from anywhere to an outer address of
//! ours: those addresses look up main first. So a selector that is merely large does not protect what the gateway itself sends from an
//! outer address (one that names that address alone does, and then the operator's way in must come through the tunnel); what narrower
//! children protect is still theirs, because their `to` rule stands before. The gateway's own packets without a source address get one
//! that is not an outer one, if the host has any, and so go into the tunnel. Networks on the host's own links are thrown back to main:
//! local wins over remote where a packet is both, or a packet that came out of the tunnel for a host beside us would go into it again.
use super::prefix::{self, Prefix};
use super::site::{Pair, Site, Treatment};
use crate::io::netlink::{Route, RouteKind, Rule};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

/// Who made it: only routes and rules with this protocol number are ever removed.
pub const PROTOCOL: u8 = 83;
/// Of our device's routes.
pub const DEVICE_METRIC: u32 = 100;
/// Of what is left when the device is gone.
pub const BACKSTOP_METRIC: u32 = u32::MAX;
const MAIN: u32 = 254;
/// With more pairs than this, and none to everywhere, there is one rule for all of them.
const MANY: usize = 64;

/// Places of the rules; all before main (32,766) and behind local (0).
mod place {
    pub(super) const MARKED: u32 = 2200;
    pub(super) const EXACT: u32 = 2201;
    pub(super) const LAST_EXACT: u32 = 2499;
    pub(super) const TO: u32 = 2500;
    pub(super) const OUTER: u32 = 2510;
    pub(super) const FROM: u32 = 2520;
    pub(super) const UNMARKED: u32 = 2530;
}

/// Numbers that the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Routing table.
    pub table: u32,
    /// Mark of our own packets.
    pub mark: u32,
    /// Our device, while it exists.
    pub device: Option<u32>,
}

/// Routes and rules as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Without duplicates; backstops first, then throws, then the device's.
    pub routes: Vec<Route>,
    /// Without duplicates.
    pub rules: Vec<Rule>,
}

/// Plans for a site.
pub fn plan(site: &Site, numbers: Numbers) -> Plan {
    Plan { routes: routes(site, numbers), rules: rules(site, numbers) }
}

fn routes(site: &Site, numbers: Numbers) -> Vec<Route> {
    let route = |destination, kind| Route { kind, table: numbers.table, ..Route::new(destination, PROTOCOL) };
    let mut locals: BTreeMap<Prefix, Vec<Prefix>> = BTreeMap::new();
    site.protected().for_each(|pair| locals.entry(pair.remote).or_default().push(pair.local));
    let remotes: BTreeSet<Prefix> = locals.keys().copied().collect();
    let backstops =
        remotes.iter().map(|&remote| Route { metric: BACKSTOP_METRIC, ..route(remote, RouteKind::Prohibit) });
    let mut thrown: BTreeSet<Prefix> =
        site.protected().flat_map(|pair| site.connected(pair)).map(|address| address.network).collect();
    thrown.extend(site.protected().filter(|pair| pair.is_wide()).flat_map(|pair| link_scope(pair.remote)));
    thrown.retain(|network| !remotes.contains(network));
    let throws = thrown.iter().map(|&network| Route { metric: DEVICE_METRIC, ..route(network, RouteKind::Throw) });
    let device = locals.iter().filter(|_| numbers.device.is_some()).map(|(&remote, locals)| Route {
        metric: DEVICE_METRIC,
        link: numbers.device,
        source: source(site, locals),
        ..route(remote, RouteKind::Unicast)
    });
    backstops.chain(throws).chain(device).collect()
}

/// What never leaves a link, in the family of `remote`: neighbour discovery must not end in the tunnel.
fn link_scope(remote: Prefix) -> Vec<Prefix> {
    match remote.0 {
        IpAddr::V4(_) => vec![(IpAddr::from([224, 0, 0, 0]), 24)],
        IpAddr::V6(_) => {
            vec![(IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10), (IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 0]), 16)]
        }
    }
}

/// An address that a peer gave us, if the local selectors towards a destination have it; else the lowest address of the host inside of them, but
/// not an outer one if the selector is only large.
fn source(site: &Site, locals: &[Prefix]) -> Option<IpAddr> {
    let inside = |addr: IpAddr| {
        locals.iter().any(|local| {
            prefix::contains(*local, prefix::host(addr)) && !(prefix::is_wide(*local) && site.outer.contains(&addr))
        })
    };
    let selected = |addr: &&IpAddr| locals.iter().any(|local| prefix::contains(*local, prefix::host(**addr)));
    if let Some(given) = site.given.iter().find(selected) {
        return Some(*given);
    }
    let link_local = |addr: &IpAddr| matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local());
    site.addresses.iter().map(|address| address.addr).filter(|addr| !link_local(addr) && inside(*addr)).min()
}

fn rules(site: &Site, numbers: Numbers) -> Vec<Rule> {
    let mut rules = Rules { list: Vec::new(), known: HashSet::new(), numbers };
    for family in [false, true] {
        let pairs: Vec<_> = site.pairs.iter().filter(|pair| pair.local.0.is_ipv6() == family).copied().collect();
        let protected = || pairs.iter().filter(|pair| pair.treatment == Treatment::Protect);
        if protected().next().is_none() {
            continue;
        }
        let mark = Some(numbers.mark);
        rules.add(Rule { mark, ..rules.to_main(family, place::MARKED) });
        for (priority, pair) in (place::EXACT..).zip(exact(&pairs)) {
            // Rules of one priority are asked in the order in which they came, and a reload mixes that: no hole may be among them.
            if priority > place::LAST_EXACT && pair.treatment == Treatment::Pass {
                continue;
            }
            let priority = priority.min(place::LAST_EXACT);
            let rule = match pair.treatment {
                Treatment::Protect => rules.to_table(family, priority),
                Treatment::Pass => rules.to_main(family, priority),
            };
            let narrowed = |prefix: Prefix| (prefix.1 > 0).then_some(prefix);
            rules.add(Rule { from: narrowed(pair.local), to: narrowed(pair.remote), ..rule });
        }
        // The table has no way but those, so that one rule says the same. Every packet that comes in is held against all rules.
        let one_for_all = protected().count() > MANY && protected().all(|pair| !prefix::is_wide(pair.remote));
        if one_for_all {
            rules.add(rules.to_table(family, place::TO));
            continue;
        }
        for pair in protected().filter(|pair| !prefix::is_wide(pair.remote)) {
            rules.add(Rule { to: Some(pair.remote), ..rules.to_table(family, place::TO) });
        }
        for outer in site.exempt().filter(|outer| outer.is_ipv6() == family) {
            rules.add(Rule { from: Some(prefix::host(outer)), ..rules.to_main(family, place::OUTER) });
        }
        for pair in protected().filter(|pair| !prefix::is_wide(pair.local)) {
            rules.add(Rule { from: Some(pair.local), ..rules.to_table(family, place::FROM) });
        }
        if protected().any(Pair::is_wide) {
            rules.add(Rule { invert: true, mark, ..rules.to_table(family, place::UNMARKED) });
        }
    }
    rules.list
}

/// `pass` pairs that a rule for protected ones would take, and the protected ones over those which are asked before, in order. A rule `to R`
/// takes whatever goes to R, also from where nothing is protected.
fn exact(pairs: &[Pair]) -> Vec<Pair> {
    if pairs.iter().all(|pair| pair.treatment == Treatment::Protect) {
        return Vec::new();
    }
    let holes = |at: usize| {
        let pass = &pairs[at];
        let takes = |(later, other): (usize, &Pair)| {
            let by_destination = !prefix::is_wide(other.remote) && prefix::overlap(other.remote, pass.remote);
            other.treatment == Treatment::Protect && (by_destination || later > at && other.overlaps(pass))
        };
        pairs.iter().enumerate().any(takes)
    };
    let cuts = |at: usize| {
        pairs
            .iter()
            .enumerate()
            .skip(at + 1)
            .any(|(later, pass)| pass.treatment == Treatment::Pass && holes(later) && pass.overlaps(&pairs[at]))
    };
    let wanted = |&at: &usize| match pairs[at].treatment {
        Treatment::Pass => holes(at),
        Treatment::Protect => cuts(at),
    };
    (0..pairs.len()).filter(wanted).map(|at| pairs[at]).collect()
}

struct Rules {
    list: Vec<Rule>,
    known: HashSet<Rule>,
    numbers: Numbers,
}
impl Rules {
    fn to_main(&self, ipv6: bool, priority: u32) -> Rule {
        Rule::new(ipv6, priority, MAIN, PROTOCOL)
    }
    fn to_table(&self, ipv6: bool, priority: u32) -> Rule {
        Rule::new(ipv6, priority, self.numbers.table, PROTOCOL)
    }
    fn add(&mut self, rule: Rule) {
        if self.known.insert(rule.clone()) {
            self.list.push(rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::site::tests::site;
    use super::*;

    const NUMBERS: Numbers = Numbers { table: 220, mark: 0xdc, device: Some(9) };

    fn show_rules(site: &Site) -> Vec<String> {
        let text = |prefix: Prefix| format!("{}/{}", prefix.0, prefix.1);
        let show = |rule: &Rule| {
            let mut parts = vec![rule.priority.to_string()];
            parts.extend(rule.mark.map(|_| if rule.invert { "unmarked" } else { "marked" }.to_owned()));
            parts.extend(rule.from.map(|from| format!("from {}", text(from))));
            parts.extend(rule.to.map(|to| format!("to {}", text(to))));
            parts.push(if rule.table == MAIN { "main".into() } else { "T".into() });
            parts.join(" ")
        };
        plan(site, NUMBERS).rules.iter().map(show).collect()
    }

    fn show_routes(site: &Site, numbers: Numbers) -> Vec<String> {
        let show = |route: &Route| {
            let source = route.source.map(|source| format!(" src {source}")).unwrap_or_default();
            format!("{:?} {}/{}{source}", route.kind, route.destination.0, route.destination.1).to_lowercase()
        };
        plan(site, numbers).routes.iter().map(show).collect()
    }

    #[test]
    fn many_networks_need_one_rule() {
        let pairs: Vec<String> = (0..=MANY).map(|n| format!("10.1.{n}.0/24 > 10.2.{n}.0/24")).collect();
        let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
        let hosts = [(2, "192.0.2.1/24")];
        assert_eq!(show_rules(&site(&pairs, &hosts, &["192.0.2.1"])), ["2200 marked main", "2500 T"]);
        assert_eq!(show_rules(&site(&pairs[1..], &hosts, &["192.0.2.1"])).len(), 1 + 2 * MANY);
        let wide = [&pairs[..], &["10.3.0.0/24 > 0.0.0.0/0"]].concat();
        let rules = show_rules(&site(&wide, &hosts, &["192.0.2.1"]));
        assert!(rules.len() > 2 * MANY && !rules.contains(&"2500 T".to_owned()));
    }

    #[test]
    fn two_networks() {
        let site = site(
            &["10.1.0.0/16 > 10.2.0.0/16"],
            &[(2, "192.0.2.1/24"), (3, "10.1.0.9/24"), (3, "10.1.0.1/24")],
            &["192.0.2.1"],
        );
        assert_eq!(show_rules(&site), ["2200 marked main", "2500 to 10.2.0.0/16 T", "2520 from 10.1.0.0/16 T"]);
        assert_eq!(show_routes(&site, NUMBERS), ["prohibit 10.2.0.0/16", "unicast 10.2.0.0/16 src 10.1.0.1"]);
    }

    #[test]
    fn without_the_device_only_what_outlives_us_is_there() {
        let site = site(&["10.1.0.0/16 > 10.2.0.0/16"], &[(3, "10.1.0.1/24")], &[]);
        assert_eq!(show_routes(&site, Numbers { device: None, ..NUMBERS }), ["prohibit 10.2.0.0/16"]);
        let backstop = plan(&site, NUMBERS).routes[0];
        assert_eq!((backstop.metric, backstop.protocol, backstop.table), (u32::MAX, PROTOCOL, 220));
    }

    #[test]
    fn a_network_towards_everywhere_keeps_its_neighbours_and_the_operators_ssh() {
        let site = site(&["10.1.0.0/16 > 0.0.0.0/0"], &[(2, "192.0.2.1/24"), (3, "10.1.0.1/24")], &["192.0.2.1"]);
        // Answers from 192.0.2.1 match no rule and go by main.
        assert_eq!(show_rules(&site), ["2200 marked main", "2520 from 10.1.0.0/16 T"]);
        assert_eq!(
            show_routes(&site, NUMBERS),
            ["prohibit 0.0.0.0/0", "throw 10.1.0.0/24", "unicast 0.0.0.0/0 src 10.1.0.1"]
        );
    }

    #[test]
    fn everywhere_to_everywhere_keeps_the_operators_ssh() {
        let site = site(
            &["0.0.0.0/0 > 0.0.0.0/0", "::/0 > ::/0"],
            &[(2, "192.0.2.1/24"), (3, "10.1.0.1/24"), (2, "2001:db8::1/64"), (2, "fe80::1/64")],
            &["192.0.2.1", "2001:db8::1"],
        );
        assert_eq!(
            show_rules(&site),
            [
                "2200 marked main",
                "2510 from 192.0.2.1/32 main",
                "2530 unmarked T",
                "2200 marked main",
                "2510 from 2001:db8::1/128 main",
                "2530 unmarked T"
            ]
        );
        assert_eq!(
            show_routes(&site, NUMBERS),
            [
                "prohibit 0.0.0.0/0",
                "prohibit ::/0",
                "throw 10.1.0.0/24",
                "throw 192.0.2.0/24",
                "throw 224.0.0.0/24",
                "throw 2001:db8::/64",
                "throw fe80::/10",
                "throw fe80::/64",
                "throw ff02::/16",
                // The gateway's own packets come from an address that is not exempt, or the second lookup would let them go in the clear.
                "unicast 0.0.0.0/0 src 10.1.0.1",
                "unicast ::/0"
            ]
        );
    }

    #[test]
    fn halves_of_everywhere_are_everywhere() {
        let site = site(&["0.0.0.0/0 > 0.0.0.0/1", "0.0.0.0/0 > 128.0.0.0/1"], &[], &["192.0.2.1"]);
        assert_eq!(show_rules(&site), ["2200 marked main", "2510 from 192.0.2.1/32 main", "2530 unmarked T"]);
    }

    #[test]
    fn a_narrow_child_is_asked_before_outer_addresses_are_let_go() {
        let site = site(&["0.0.0.0/0 > 0.0.0.0/0", "192.0.2.0/24 > 10.2.0.0/16"], &[], &["192.0.2.1"]);
        let rules = show_rules(&site);
        let at = |text: &str| rules.iter().position(|rule| rule.contains(text)).unwrap();
        assert!(at("to 10.2.0.0/16 T") < at("from 192.0.2.1/32 main"));
    }

    #[test]
    fn an_outer_address_that_is_named_alone_is_protected() {
        let site = site(&["192.0.2.1/32 > 0.0.0.0/0"], &[(2, "192.0.2.1/24")], &["192.0.2.1"]);
        assert_eq!(show_rules(&site), ["2200 marked main", "2520 from 192.0.2.1/32 T"]);
        assert!(show_routes(&site, NUMBERS).contains(&"unicast 0.0.0.0/0 src 192.0.2.1".to_owned()));
    }

    #[test]
    fn a_pass_child_is_a_hole_and_what_is_protected_inside_of_it_is_none() {
        let site = site(
            &[
                "10.1.0.0/16 > 10.0.0.0/8",
                "10.1.0.0/16 ~ 10.2.0.0/16",
                "10.1.0.0/16 > 10.2.3.0/24",
                "10.9.0.0/16 > 10.7.0.0/16",
            ],
            &[],
            &[],
        );
        let rules = show_rules(&site);
        assert_eq!(
            rules[..3],
            ["2200 marked main", "2201 from 10.1.0.0/16 to 10.2.3.0/24 T", "2202 from 10.1.0.0/16 to 10.2.0.0/16 main"]
        );
        assert!(rules[3..].iter().all(|rule| !rule.ends_with("main")));
    }

    #[test]
    fn a_pass_child_beside_a_protected_one_with_the_same_destination_passes() {
        let site =
            site(&["10.1.0.0/16 > 10.2.3.0/24", "10.9.0.0/16 ~ 10.2.0.0/16", "10.1.0.0/16 > 10.2.0.0/16"], &[], &[]);
        let rules = show_rules(&site);
        let at = |text: &str| rules.iter().position(|rule| rule.contains(text)).unwrap();
        assert!(at("from 10.9.0.0/16 to 10.2.0.0/16 main") < at(" to 10.2.3.0/24 T"), "{rules:?}");
        assert_eq!(rules.iter().filter(|rule| rule.ends_with("main")).count(), 2);
    }

    #[test]
    fn more_holes_than_places_stay_closed() {
        let pass: Vec<_> = (0..200).map(|i| format!("10.1.0.0/16 ~ 10.{i}.0.0/16")).collect();
        let cuts = (0..200).map(|i| format!("10.1.0.0/24 > 10.{i}.9.0/24"));
        let all: Vec<_> = cuts.chain(pass).chain(["10.1.0.0/16 > 10.0.0.0/8".into()]).collect();
        let site = site(&all.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[]);
        let rules = plan(&site, NUMBERS).rules;
        let of = |priority| rules.iter().filter(move |rule| rule.priority == priority);
        let holes: Vec<_> = rules.iter().filter(|rule| rule.table == MAIN && rule.mark.is_none()).collect();
        assert_eq!(holes.len(), (place::LAST_EXACT - place::EXACT) as usize + 1 - 200);
        assert!(holes.iter().all(|hole| of(hole.priority).count() == 1));
    }

    #[test]
    fn a_pass_child_that_nothing_protected_lies_under_needs_no_rule() {
        let site = site(&["10.1.0.0/16 ~ 10.2.0.0/16", "10.1.0.0/16 > 10.3.0.0/16"], &[], &[]);
        assert!(!show_rules(&site).iter().any(|rule| rule.contains("10.2.0.0")));
    }

    #[test]
    fn a_protected_network_that_is_also_on_a_link_stays_protected() {
        let site = site(&["10.1.0.0/16 > 10.1.5.0/24"], &[(3, "10.1.5.1/24"), (3, "10.1.0.1/16")], &[]);
        assert_eq!(show_routes(&site, NUMBERS), ["prohibit 10.1.5.0/24", "unicast 10.1.5.0/24 src 10.1.0.1"]);
    }

    #[test]
    fn nothing_protected_needs_nothing() {
        assert_eq!(plan(&site(&["10.1.0.0/16 ~ 0.0.0.0/0"], &[], &["192.0.2.1"]), NUMBERS), Plan::default());
    }
}
