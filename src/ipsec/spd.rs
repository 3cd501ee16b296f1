//! Policies: which packet is protected by which child, passes, or is dropped (RFC 4301 section 4.4.1).
use super::admit::{End, admits, matches_without_ports};
use super::prefixes::{Address, Prefix, Prefixes};
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use std::cmp::Reverse;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// A TUN device; policies are kept per device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub u16);

/// Place of a child in the tables: stays with the child over rekeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Through this child; if it has no SA, an acquire.
    Protect(Slot),
    /// In the clear, back to the host.
    Pass,
    /// Away with it.
    Drop,
}

/// One policy: seen from inside, `local` is the source of outgoing packets.
#[derive(Clone, Debug)]
pub struct PolicyEntry {
    /// Connection and child, `office/lan`.
    pub name: Arc<str>,
    /// Selectors on our side.
    pub local: Vec<Selector>,
    /// Selectors on the peer's side.
    pub remote: Vec<Selector>,
    /// Higher wins among equally long matches.
    pub priority: i32,
    /// What to do.
    pub action: Action,
}

impl PolicyEntry {
    /// True for a non-first fragment whose addresses and protocol this policy claims, but whose ports it would have to know: it is
    /// dropped (RFC 4301 section 7.3), and by no means left to a wider policy, which might let it pass in the clear.
    pub fn later_fragment_forbidden(&self, flow: &Flow) -> bool {
        let local = End { addr: flow.src, port: flow.sport, selectors: &self.local };
        let remote = End { addr: flow.dst, port: flow.dport, selectors: &self.remote };
        flow.later_fragment && admits([local, remote], flow, false).is_err()
    }
}

/// All policies of all devices; immutable once built. Longest match of the remote prefix, then of the local one, then priority, then the
/// order in which they were given. A range counts as the prefixes that make it up.
#[derive(Debug, Default)]
pub struct Spd {
    entries: Vec<PolicyEntry>,
    devices: Vec<Option<Box<Device>>>,
}

impl Spd {
    /// Builds from a list.
    pub fn new(entries: impl IntoIterator<Item = (DeviceId, PolicyEntry)>) -> Self {
        let (ids, entries): (Vec<DeviceId>, Vec<PolicyEntry>) = entries.into_iter().unzip();
        let mut rules: Vec<Rules> = Vec::new();
        for (place, (id, entry)) in ids.iter().zip(&entries).enumerate() {
            let device = usize::from(id.0);
            if rules.len() <= device {
                rules.resize_with(device + 1, Rules::default);
            }
            collect(entry, place as u32, &mut rules[device].v4);
            collect(entry, place as u32, &mut rules[device].v6);
        }
        let devices = rules.into_iter().map(|rules| Device::new(rules, &entries)).collect();
        Self { entries, devices }
    }

    /// The policy of an outgoing packet (`flow.src` is local). Ask its `later_fragment_forbidden` before using it: for a non-first
    /// fragment ports are not compared. Does not allocate.
    pub fn lookup(&self, device: DeviceId, flow: &Flow) -> Option<&PolicyEntry> {
        let device = self.devices.get(usize::from(device.0))?.as_deref()?;
        let entry = match (flow.src, flow.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => device.v4.lookup(&self.entries, src.to_bits(), dst.to_bits(), flow),
            (IpAddr::V6(src), IpAddr::V6(dst)) => device.v6.lookup(&self.entries, src.to_bits(), dst.to_bits(), flow),
            _ => None,
        };
        entry.map(|place| &self.entries[place as usize])
    }

    /// Policies that neither the length of a match nor the priority tells apart for some packet: for each such policy the one that
    /// comes before it and wins, and itself.
    pub fn overlaps(&self) -> Vec<(&PolicyEntry, &PolicyEntry)> {
        let devices = self.devices.iter().flatten();
        let mut pairs: Vec<(u32, u32)> = devices
            .flat_map(|device| [device.v4.overlaps(&self.entries), device.v6.overlaps(&self.entries)])
            .flatten()
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
            .into_iter()
            .map(|(first, second)| (&self.entries[first as usize], &self.entries[second as usize]))
            .collect()
    }

    /// All policies in the order in which they were given.
    pub fn entries(&self) -> &[PolicyEntry] {
        &self.entries
    }
}

#[derive(Debug)]
struct Device {
    v4: Family<u32>,
    v6: Family<u128>,
}

impl Device {
    /// `None` for a device without policies.
    fn new(rules: Rules, entries: &[PolicyEntry]) -> Option<Box<Self>> {
        let some = !rules.v4.is_empty() || !rules.v6.is_empty();
        some.then(|| Box::new(Self { v4: Family::new(rules.v4, entries), v6: Family::new(rules.v6, entries) }))
    }
}

/// What a device is built from.
#[derive(Default)]
struct Rules {
    v4: Vec<Rule<u32>>,
    v6: Vec<Rule<u128>>,
}

/// One pair of prefixes of one policy.
#[derive(Debug)]
struct Rule<A> {
    remote: Prefix<A>,
    local: Prefix<A>,
    entry: u32,
    /// Places of the selectors that the prefixes are of.
    selectors: (u32, u32),
    /// Neither protocol nor ports: the addresses decide.
    plain: bool,
}

impl<A: Address> Rule<A> {
    fn admits(&self, entries: &[PolicyEntry], flow: &Flow) -> bool {
        if self.plain {
            return true;
        }
        let (local, remote) = self.selectors(entries);
        if flow.later_fragment {
            matches_without_ports(local, flow.src, flow) && matches_without_ports(remote, flow.dst, flow)
        } else {
            local.matches(flow.src, flow, flow.sport) && remote.matches(flow.dst, flow, flow.dport)
        }
    }

    fn selectors<'a>(&self, entries: &'a [PolicyEntry]) -> (&'a Selector, &'a Selector) {
        let entry = &entries[self.entry as usize];
        (&entry.local[self.selectors.0 as usize], &entry.remote[self.selectors.1 as usize])
    }

    /// Some packet is for both.
    fn meets(&self, other: &Self, entries: &[PolicyEntry]) -> bool {
        let (local, remote) = self.selectors(entries);
        let (other_local, other_remote) = other.selectors(entries);
        self.entry != other.entry
            && entries[self.entry as usize].priority == entries[other.entry as usize].priority
            && local.intersect(other_local).is_some()
            && remote.intersect(other_remote).is_some()
    }
}

/// With more rules than this for one remote prefix, the local prefixes get an index of their own.
const FEW: usize = 16;

/// The policies of one device and address family: remote prefixes, and behind each a run of rules in the order of preference.
#[derive(Debug)]
struct Family<A> {
    remotes: Prefixes<A>,
    /// The rules of each remote prefix.
    runs: Box<[Run<A>]>,
    rules: Box<[Rule<A>]>,
}

#[derive(Debug)]
struct Run<A> {
    rules: Range<u32>,
    locals: Option<Box<Locals<A>>>,
}

/// An index of the local prefixes of one run, with the rules of each.
#[derive(Debug)]
struct Locals<A> {
    prefixes: Prefixes<A>,
    groups: Box<[Range<u32>]>,
}

impl<A: Address> Family<A> {
    fn new(mut rules: Vec<Rule<A>>, entries: &[PolicyEntry]) -> Self {
        // Of one remote prefix: longer local prefixes first, those of the same prefix together, then priority.
        rules.sort_by_key(|rule| {
            let local = rule.local;
            (rule.remote, local.width(), local.first, Reverse(entries[rule.entry as usize].priority), rule.entry)
        });
        let runs: Vec<(Prefix<A>, Range<u32>)> = runs(&rules, 0, |rule| rule.remote);
        let prefixes: Vec<Prefix<A>> = runs.iter().map(|(prefix, _)| *prefix).collect();
        let run = |(_, run): (_, Range<u32>)| {
            let locals = (run.len() > FEW).then(|| Box::new(Locals::new(&rules, run.clone())));
            Run { rules: run, locals }
        };
        Self { remotes: Prefixes::new(&prefixes), runs: runs.into_iter().map(run).collect(), rules: rules.into() }
    }

    fn lookup(&self, entries: &[PolicyEntry], src: A, dst: A, flow: &Flow) -> Option<u32> {
        let admitting = |rules: &Range<u32>| {
            let rules = &self.rules[rules.start as usize..rules.end as usize];
            rules.iter().find(|rule| rule.local.contains(src) && rule.admits(entries, flow)).map(|rule| rule.entry)
        };
        self.remotes.around(dst).find_map(|remote| match &self.runs[remote] {
            Run { rules, locals: None } => admitting(rules),
            Run { locals: Some(locals), .. } => {
                locals.prefixes.around(src).find_map(|local| admitting(&locals.groups[local]))
            }
        })
    }

    fn overlaps(&self, entries: &[PolicyEntry]) -> Vec<(u32, u32)> {
        let groups = self.rules.chunk_by(|a, b| a.remote == b.remote && a.local == b.local);
        let pairs = groups.flat_map(|group| {
            group.iter().enumerate().filter_map(|(place, rule)| {
                group[..place]
                    .iter()
                    .find(|earlier| earlier.meets(rule, entries))
                    .map(|earlier| (earlier.entry, rule.entry))
            })
        });
        pairs.collect()
    }
}

impl<A: Address> Locals<A> {
    fn new(rules: &[Rule<A>], run: Range<u32>) -> Self {
        let mut groups = runs(&rules[run.start as usize..run.end as usize], run.start, |rule| rule.local);
        groups.sort_by_key(|(prefix, _)| *prefix);
        let prefixes: Vec<Prefix<A>> = groups.iter().map(|(prefix, _)| *prefix).collect();
        Self { prefixes: Prefixes::new(&prefixes), groups: groups.into_iter().map(|(_, group)| group).collect() }
    }
}

/// Neighbours with the same prefix; `offset` is the place of the first rule.
fn runs<A: Address>(rules: &[Rule<A>], offset: u32, key: fn(&Rule<A>) -> Prefix<A>) -> Vec<(Prefix<A>, Range<u32>)> {
    let mut start = offset;
    let chunks = rules.chunk_by(move |a, b| key(a) == key(b));
    chunks
        .map(|chunk| {
            let run = start..start + chunk.len() as u32;
            start = run.end;
            (key(&chunk[0]), run)
        })
        .collect()
}

/// Adds the rules of one policy in one address family.
fn collect<A: Address>(entry: &PolicyEntry, place: u32, rules: &mut Vec<Rule<A>>) {
    let locals: Vec<(usize, Prefix<A>)> = prefixes_of(&entry.local);
    for (remote_ts, remote) in prefixes_of::<A>(&entry.remote) {
        for &(local_ts, local) in &locals {
            let any = |s: &Selector| s.proto == 0 && s.ports == (0, u16::MAX);
            let plain = any(&entry.local[local_ts]) && any(&entry.remote[remote_ts]);
            rules.push(Rule { remote, local, entry: place, selectors: (local_ts as u32, remote_ts as u32), plain });
        }
    }
}

fn prefixes_of<A: Address>(selectors: &[Selector]) -> Vec<(usize, Prefix<A>)> {
    let prefixes = |(place, selector): (usize, &Selector)| {
        selector
            .prefixes()
            .into_iter()
            .filter_map(move |(addr, len)| Some((place, Prefix::new(addr, len)?)))
            .collect::<Vec<_>>()
    };
    selectors.iter().enumerate().flat_map(prefixes).collect()
}
