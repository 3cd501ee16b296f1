//! Networks with the same addresses: two children that want the same packets, and two sides that look alike. Judged by the names that networks
//! have here, and where it can be told a free prefix is proposed.
use super::child::Child;
use super::connection::Connection;
use super::free::{self, Space};
use super::report::Report;
use super::text::At;
use super::{ChildConfig, Gateway, Mode, translate};
use crate::wire::selector::{ANY_PORTS, Selector};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A policy in the search for overlaps.
struct Policy<'c> {
    at: At,
    /// The connection, if it has a device of its own.
    device: Option<&'c str>,
    name: String,
    child: &'c ChildConfig,
    /// Its selectors by the names that they have here.
    local: Vec<Selector>,
    remote: Vec<Selector>,
}
impl<'c> Policy<'c> {
    fn of(connection: &'c Connection, child: &'c Child) -> Self {
        let name = format!("{}/{}", connection.policy.name, child.config.name);
        let (local, remote) = (child.config.local_here(), child.config.remote_here());
        let device = connection.own_device.then_some(&*connection.policy.name);
        Self { at: child.at, device, name, child: &child.config, local, remote }
    }
}

/// Two children of one device may want the same packet only if their priorities say which one gets it.
pub(super) fn check(report: &mut Report<'_>, gateway: &Gateway, connections: &[Connection]) {
    let policies: Vec<Policy<'_>> = connections
        .iter()
        .flat_map(|c| c.children.iter().map(move |child| (c, child)))
        .filter(|(_, child)| child.sound)
        .map(|(c, child)| Policy::of(c, child))
        .collect();
    let mut space = Space::of(gateway, connections);
    policies.iter().for_each(|policy| both_sides(report, policy, &mut space));
    let mut found: BTreeSet<(usize, usize)> = BTreeSet::new();
    // By device and first address: only neighbours whose ranges reach each other are compared.
    let mut ranges: Vec<(&Selector, usize)> =
        policies.iter().enumerate().flat_map(|(i, p)| p.remote.iter().map(move |ts| (ts, i))).collect();
    ranges.sort_by_key(|(ts, i)| (policies[*i].device, ts.start));
    for (k, (remote, i)) in ranges.iter().enumerate() {
        let device = policies[*i].device;
        let reached = |(other, j): &&(&Selector, usize)| policies[*j].device == device && other.start <= remote.end;
        for (other, j) in ranges[k + 1..].iter().take_while(reached) {
            let (first, second) = (*i.min(j), *i.max(j));
            if first == second || found.contains(&(first, second)) {
                continue;
            }
            let (a, b) = (&policies[first], &policies[second]);
            let pair = if i < j { (*remote, *other) } else { (*other, *remote) };
            if a.child.priority == b.child.priority && clash(a, b, pair) {
                found.insert((first, second));
            }
        }
    }
    for (i, j) in found {
        let (earlier, later) = if policies[i].at < policies[j].at { (i, j) } else { (j, i) };
        let (earlier, later) = (&policies[earlier], &policies[later]);
        let message = format!("`{}` and `{}` would take the same packets", later.name, earlier.name);
        let mut hint = format!("give one of them a higher priority; the other is at {}", report.place(earlier.at));
        if let Some(free) = another_name(later, &mut space) {
            let names = later.child.translation.map_or([None; 2], |translation| translation.here());
            let local = names[0].map(|local| format!("local = \"{}\", ", translate::shown(local))).unwrap_or_default();
            let instead = if names == [None; 2] { "" } else { "instead of the other one " };
            hint += &format!(
                "; if they are two networks with the same addresses, translate = {{ {local}remote = \"{free}\" }} {instead}in `{}`: hosts here \
                 then find its network at {free}, and its peer changes nothing",
                later.name
            );
        }
        report.error(later.at, "ts.overlap", message, hint);
    }
}

/// Whether both want a packet towards these remote selectors, and nothing decides between them.
fn clash(a: &Policy<'_>, b: &Policy<'_>, (remote_a, remote_b): (&Selector, &Selector)) -> bool {
    if remote_a.intersect(remote_b).is_none() {
        return false;
    }
    let except = |policy: &Policy<'_>| matches!(policy.child.mode, Mode::Pass | Mode::Drop);
    a.local.iter().flat_map(|l| b.local.iter().map(move |m| (l, m))).any(|(local_a, local_b)| {
        // An exception inside what it excepts from is meant: the longest match decides.
        let alike = same_prefix(remote_a, remote_b) && same_prefix(local_a, local_b);
        local_a.intersect(local_b).is_some() && (alike || except(a) == except(b))
    })
}

/// A free prefix for what the peer's side of a child may be called here.
fn another_name(policy: &Policy<'_>, space: &mut Space) -> Option<String> {
    let [wire] = policy.child.remote_ts[..] else { return None };
    if policy.child.mode != Mode::Tunnel {
        return None;
    }
    let prefix = wire.as_prefix()?;
    space.take(prefix, &policy.name).map(translate::shown)
}

/// Hosts of one side must not take those of the other for their neighbours. A wide network on both sides is usual, and one within the other: what is nearer
/// is narrower.
fn both_sides(report: &mut Report<'_>, policy: &Policy<'_>, space: &mut Space) {
    if policy.child.mode != Mode::Tunnel {
        return;
    }
    let names = policy.child.translation.map_or([None; 2], |translation| translation.here());
    let confused = |(local, remote): &(&Selector, &Selector)| {
        let within = local.start <= remote.start && remote.end <= local.end;
        let same = (local.start, local.end) == (remote.start, remote.end) && is_narrow(local);
        same || names[1].is_some() && free::overlap(local, remote) || names[0].is_some() && within
    };
    let pairs = || policy.local.iter().flat_map(|local| policy.remote.iter().map(move |remote| (local, remote)));
    let Some((local, remote)) = pairs().find(confused) else { return };
    let Policy { at, name, .. } = policy;
    if names != [None; 2] {
        let message = format!("on this side `{name}` calls both ends alike: {} and {}", bare(local), bare(remote));
        let free = another_name(policy, space);
        let hint = free.map_or("prefixes for translate that have nothing in common".into(), |free| {
            format!("translate.remote = \"{free}\", which nothing else here uses")
        });
        return report.error(*at, "translate.overlap", message, hint);
    }
    let same = bare(local);
    let message = format!("both sides of `{name}` are {same}: hosts take those of the other side for neighbours");
    let mut free = |name: &str| space.take(local.as_prefix()?, name).map(translate::shown);
    let hint = match [free(name), free(&format!("{name} remote"))] {
        [Some(ours), Some(theirs)] => format!(
            "{}local_ts = [\"{ours}{}\"], remote_ts = [\"{remote}\"] and translate = {{ local = \"{same}\", remote = \"{theirs}\" }}: hosts here \
             then find the other side at {theirs}, and are {ours} over there, which is what the peer's remote_ts must be",
            if pairs().nth(1).is_some() { "a child of its own for this pair, with " } else { "" },
            local.to_string().trim_start_matches(&same),
        ),
        _ => "other addresses for one of the two networks".into(),
    };
    report.error(*at, "ts.overlap", message, hint);
}

/// No more addresses than a /16 of IPv4 or a /48 of IPv6 has.
fn is_narrow(ts: &Selector) -> bool {
    match (ts.start, ts.end) {
        (IpAddr::V4(start), IpAddr::V4(end)) => end.to_bits() - start.to_bits() < 1 << 16,
        (IpAddr::V6(start), IpAddr::V6(end)) => end.to_bits() - start.to_bits() < 1 << 80,
        _ => false,
    }
}

/// Its addresses without protocol and ports, as people write them.
fn bare(ts: &Selector) -> String {
    Selector { proto: 0, ports: ANY_PORTS, ..*ts }.to_string()
}

/// One prefix is in both, so that the length of the match does not tell them apart.
fn same_prefix(a: &Selector, b: &Selector) -> bool {
    let of_b = b.prefixes();
    a.prefixes().iter().any(|prefix| of_b.contains(prefix))
}
