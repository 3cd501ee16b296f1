//! The index against a search of everything.
use super::super::spd::{Action, DeviceId, PolicyEntry, Slot, Spd};
use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

fn policy(name: &str, local: &[&str], remote: &[&str], priority: i32) -> PolicyEntry {
    let (local, remote) = (selectors(local).into(), selectors(remote).into());
    PolicyEntry { name: name.into(), local, remote, priority, action: Action::Protect(Slot(0)) }
}

fn spd(policies: Vec<PolicyEntry>) -> Spd {
    Spd::new(policies.into_iter().map(|policy| (DeviceId(3), policy)))
}

fn found<'a>(spd: &'a Spd, flow: &Flow) -> Option<&'a str> {
    spd.lookup(DeviceId(3), flow).map(|found| &*found.policy.name)
}

fn holds(prefix: (IpAddr, u8), address: IpAddr) -> bool {
    Selector::prefix(prefix.0, prefix.1).contains(&Selector::prefix(address, if address.is_ipv4() { 32 } else { 128 }))
}

/// Longest remote prefix, longest local prefix, priority, order: over all pairs of all prefixes of all selectors of all policies.
fn search<'a>(policies: impl IntoIterator<Item = (u64, &'a PolicyEntry)>, flow: &Flow) -> Option<u64> {
    let admits = |selector: &Selector, address: IpAddr, port: u16| match flow.later_fragment {
        true => Selector { ports: (0, 65_535), ..*selector }.matches(address, flow, port),
        false => selector.matches(address, flow, port),
    };
    let longest = |selector: &Selector, address: IpAddr| {
        selector.prefixes().into_iter().filter(|prefix| holds(*prefix, address)).map(|(_, len)| len).max()
    };
    let mut best = None;
    for (order, policy) in policies {
        for remote in policy.remote.iter().filter(|remote| admits(remote, flow.dst, flow.dport)) {
            for local in policy.local.iter().filter(|local| admits(local, flow.src, flow.sport)) {
                let lengths = longest(remote, flow.dst).zip(longest(local, flow.src));
                best = best.max(lengths.map(|(remote, local)| (remote, local, policy.priority, Reverse(order))));
            }
        }
    }
    best.map(|(.., Reverse(order))| order)
}

/// Addresses of a small world, so that much overlaps.
fn address(v6: bool, low: u8) -> IpAddr {
    if v6 { IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, low]) } else { IpAddr::from([10, 0, 0, low]) }
}

fn selector(v6: bool) -> impl Strategy<Value = Selector> {
    let ports = prop_oneof![3 => Just((0, 65_535)), 1 => Just((80, 80)), 1 => Just((100, 200)), 1 => Just((65_535, 0))];
    let proto = prop_oneof![3 => Just(0u8), 1 => Just(6u8), 1 => Just(17u8)];
    let block = prop_oneof![
        4 => (any::<u8>(), 0..=8u8).prop_map(move |(low, len)| {
            let len = len + if v6 { 120 } else { 24 };
            let prefix = Selector::prefix(address(v6, low), len);
            (prefix.start, prefix.end)
        }),
        1 => Just(Selector::prefix(address(v6, 0), 0)).prop_map(|all| (all.start, all.end)),
        2 => (any::<u8>(), any::<u8>()).prop_map(move |(a, b)| (address(v6, a.min(b)), address(v6, a.max(b)))),
    ];
    (block, proto, ports).prop_map(|((start, end), proto, ports)| {
        let ports = if proto == 0 && ports != (65_535, 0) { (0, 65_535) } else { ports };
        Selector { proto, ports, start, end }
    })
}

fn policies() -> impl Strategy<Value = Vec<PolicyEntry>> {
    let side =
        || prop_oneof![3 => Just(false), 1 => Just(true)].prop_flat_map(|v6| prop::collection::vec(selector(v6), 1..3));
    let policy = (side(), side(), 0..3i32).prop_map(|(local, remote, priority)| PolicyEntry {
        name: "p".into(),
        local: local.into(),
        remote: remote.into(),
        priority,
        action: Action::Pass,
    });
    prop::collection::vec(policy, 0..60)
}

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let port = || prop::sample::select(vec![0u16, 80, 100, 150, 201]);
    let flow = (
        any::<bool>(),
        any::<u8>(),
        any::<u8>(),
        prop::sample::select(vec![1u8, 6, 17]),
        port(),
        port(),
        any::<bool>(),
    );
    let flow = flow.prop_map(|(v6, src, dst, proto, sport, dport, fragment)| {
        let flow = Flow { src: address(v6, src), dst: address(v6, dst), proto, sport, dport, later_fragment: false };
        if fragment { later(flow) } else { flow }
    });
    prop::collection::vec(flow, 40)
}

/// The order of what is found: the slot of each policy is its order here.
fn order(spd: &Spd, flow: &Flow) -> Option<u64> {
    let found = spd.lookup(DeviceId(3), flow)?;
    assert_eq!(found.action, found.policy.action);
    let Action::Protect(Slot(order)) = found.action else { panic!("{found:?}") };
    Some(order.into())
}

fn numbered(policies: Vec<PolicyEntry>) -> Vec<Arc<PolicyEntry>> {
    let number = |(slot, policy)| Arc::new(PolicyEntry { action: Action::Protect(Slot(slot)), ..policy });
    (0..).zip(policies).map(number).collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_lookup_finds_what_a_search_of_everything_finds(policies in policies(), flows in flows()) {
        let policies = numbered(policies);
        let spd = spd(policies.iter().map(|policy| PolicyEntry::clone(policy)).collect());
        for flow in flows {
            let expected = search((0..).zip(policies.iter().map(Arc::as_ref)), &flow);
            prop_assert_eq!(order(&spd, &flow), expected, "{:?}", flow);
            prop_assert!(spd.lookup(DeviceId(2), &flow).is_none());
            prop_assert!(spd.lookup(DeviceId(u16::MAX), &flow).is_none());
        }
    }

    /// Policies come and go, each some times, and nobody who has an older clone sees it.
    #[test]
    fn what_has_changed_is_found_as_if_all_had_been_made_anew(
        policies in policies(),
        changes in prop::collection::vec(any::<prop::sample::Index>(), 0..150),
        flows in flows(),
    ) {
        prop_assume!(!policies.is_empty());
        let policies = numbered(policies);
        let mut present = BTreeMap::new();
        let mut spd = Spd::default();
        let mut before = None;
        for (n, change) in changes.iter().enumerate() {
            if n == changes.len() / 2 {
                before = Some((spd.clone(), present.clone()));
            }
            let place = change.index(policies.len());
            let (policy, order) = (&policies[place], place as u64);
            if present.remove(&order).is_some() {
                spd.remove(DeviceId(3), order, policy);
            } else {
                spd.insert(DeviceId(3), order, policy);
                present.insert(order, policy);
            }
        }
        for (spd, present) in [Some((spd, present)), before].into_iter().flatten() {
            for flow in &flows {
                let expected = search(present.iter().map(|(order, policy)| (*order, &***policy)), flow);
                prop_assert_eq!(order(&spd, flow), expected, "{:?}", flow);
            }
        }
    }
}

/// Also where it is the first of a page of rules.
#[test]
fn what_is_added_twice_is_there_once() {
    let name = |n: u32| format!("10.{}.{}.0/24", n >> 8, n & 255);
    let policies: Vec<_> = (0..300).map(|n| Arc::new(policy(&name(n), &["10.1.0.0/16"], &[&name(n)], 0))).collect();
    let mut spd = Spd::default();
    let numbered = || (0..).zip(&policies);
    for _ in 0..2 {
        numbered().for_each(|(order, policy)| spd.insert(DeviceId(3), order, policy));
    }
    let other = Arc::new(PolicyEntry { action: Action::Drop, ..PolicyEntry::clone(&policies[7]) });
    spd.insert(DeviceId(3), 7, &other);
    let to = |n: u32| flow("10.1.0.1", &name(n).replace("0/24", "1"), 17, 1, 2);
    let found = |spd: &Spd, n: u32| spd.lookup(DeviceId(3), &to(n)).map(|found| found.action);
    let protect = Some(Action::Protect(Slot(0)));
    assert_eq!((found(&spd, 7), found(&spd, 8), found(&spd, 299)), (Some(Action::Drop), protect, protect));
    numbered().for_each(|(order, policy)| spd.remove(DeviceId(3), order, policy));
    assert!((0..300).all(|n| found(&spd, n).is_none()));
}

#[test]
fn many_local_prefixes_for_one_remote_prefix() {
    let mut policies: Vec<PolicyEntry> =
        (0..=255).map(|net| policy(&format!("net{net}"), &[&format!("10.{net}.0.0/16")], &["0.0.0.0/0"], 0)).collect();
    policies.push(policy("all", &["10.0.0.0/8"], &["0.0.0.0/0"], 9));
    policies.push(policy("host", &["10.7.0.1"], &["0.0.0.0/0"], -9));
    policies.push(policy("dns", &["10.7.0.0/16"], &["0.0.0.0/0[udp/53]"], 1));
    policies.push(policy("remote", &["0.0.0.0/0"], &["192.0.2.0/24"], 0));
    let spd = spd(policies);
    for (src, dst, proto, dport, expected) in [
        ("10.5.1.1", "8.8.8.8", 6, 1, Some("net5")),
        ("10.7.0.1", "8.8.8.8", 6, 1, Some("host")),
        ("10.7.0.2", "8.8.8.8", 17, 53, Some("dns")),
        ("10.7.0.2", "8.8.8.8", 17, 54, Some("net7")),
        ("10.7.0.1", "192.0.2.1", 6, 1, Some("remote")),
        ("11.0.0.1", "8.8.8.8", 6, 1, None),
        ("11.0.0.1", "192.0.2.255", 6, 1, Some("remote")),
    ] {
        assert_eq!(found(&spd, &flow(src, dst, proto, 9, dport)), expected, "{src} {dst}");
    }
}

#[test]
fn a_longer_prefix_that_does_not_take_the_packet_leaves_it_to_a_shorter_one() {
    let spd = spd(vec![
        policy("wide", &["0.0.0.0/0"], &["0.0.0.0/0"], 0),
        policy("web", &["10.1.0.0/16"], &["10.2.0.0/16[tcp/443]"], 0),
        policy("edge", &["0.0.0.0/0"], &["255.255.255.255"], 0),
    ]);
    assert_eq!(found(&spd, &flow("10.1.0.1", "10.2.0.1", 6, 5, 443)), Some("web"));
    assert_eq!(found(&spd, &flow("10.1.0.1", "10.2.0.1", 6, 5, 80)), Some("wide"));
    assert_eq!(found(&spd, &flow("10.9.0.1", "10.2.0.1", 6, 5, 443)), Some("wide"));
    assert_eq!(found(&spd, &flow("10.9.0.1", "255.255.255.255", 6, 5, 443)), Some("edge"));
}

#[test]
fn a_later_fragment_is_not_left_to_a_wider_policy() {
    let spd = spd(vec![
        policy("clear", &["0.0.0.0/0"], &["0.0.0.0/0"], 0),
        policy("web", &["10.1.0.0/16"], &["10.2.0.0/16[tcp/443]"], 0),
        policy("mixed", &["10.1.0.0/16"], &["10.3.0.0/16[tcp/443]", "10.3.0.0/16[udp]"], 0),
    ]);
    let lookup = |flow: Flow| {
        let policy = spd.lookup(DeviceId(3), &flow).unwrap().policy;
        (&*policy.name, policy.later_fragment_forbidden(&flow))
    };
    assert_eq!(lookup(later(flow("10.1.0.1", "10.2.0.1", 6, 0, 0))), ("web", true));
    assert_eq!(lookup(flow("10.1.0.1", "10.2.0.1", 6, 5, 443)), ("web", false));
    assert_eq!(lookup(later(flow("10.1.0.1", "10.2.0.1", 17, 0, 0))), ("clear", false), "not its protocol");
    assert_eq!(lookup(later(flow("10.1.0.1", "10.3.0.1", 6, 0, 0))), ("mixed", true));
    assert_eq!(lookup(later(flow("10.1.0.1", "10.3.0.1", 17, 0, 0))), ("mixed", false), "any port will do");
}

#[test]
fn a_hundred_thousand_children() {
    let policies = (0..100_000u32).map(|place| {
        let remote = Selector::prefix(IpAddr::from((0x0b00_0000 + (place << 8)).to_be_bytes()), 24);
        let name = "child".into();
        let (local, action) = (selectors(&["10.0.0.0/8"]).into(), Action::Protect(Slot(place)));
        (DeviceId(0), PolicyEntry { name, local, remote: [remote].into(), priority: 0, action })
    });
    let spd = Spd::new(policies);
    for place in (0..100_000u32).step_by(997) {
        let dst = IpAddr::from((0x0b00_0000 + (place << 8) + place % 256).to_be_bytes());
        let flow = Flow { dst, ..flow("10.0.0.1", "0.0.0.0", 6, 1, 2) };
        assert_eq!(spd.lookup(DeviceId(0), &flow).map(|policy| policy.action), Some(Action::Protect(Slot(place))));
    }
}
