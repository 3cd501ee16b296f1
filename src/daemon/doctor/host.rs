//! Gathers the facts about children that are up and carry nothing: counters at two moments, where the host's packets are seen meanwhile, what the
//! kernel would do with some. On a thread of its own, in the network namespace of the device: the engine waits for none of it.
use super::traffic::{self, Facts, Fate, Hops, Host, Passed, Sa, Trial};
use crate::daemon::clock;
use crate::daemon::prefix::{self, Prefix};
use crate::dataplane::stats::{Sample, WorkerStats};
use crate::esp::drop::Drop;
use crate::ike::diagnose::Failure;
use crate::io::fib::{self, Way};
use crate::io::host;
use crate::io::netlink::{Address, Link, Netlink};
use crate::io::netns::Namespace;
use crate::io::nft::count::{self, Chain, Counter, Counters, Hook, Test};
use crate::ipsec::path::Encap;
use crate::ipsec::sad::InboundEntry;
use crate::ipsec::spd::DeviceId;
use crate::ipsec::tables::{ChildCounters, OutboundEntry};
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// A look has two halves: who asks in the first has its answer in the second.
const HALF: Duration = Duration::from_secs(1);
/// Looks at a time; who comes then is told to come again.
const LOOKS: usize = 4;
/// Children of a connection that are looked at: of one with thousands of peers, some.
pub const MOST: usize = 8;
/// Pairs of networks of a child of which packets are counted.
const PAIRS: usize = 6;
/// The same of all children: each packet of the host meets all the counters.
const ALL_PAIRS: usize = 8;

/// What is to be looked at.
#[derive(Debug)]
pub struct Question {
    /// Connection.
    pub connection: Arc<str>,
    /// The device of its inner packets.
    pub device: (DeviceId, String),
    /// Where that is, if it is not where we are, and what people call that.
    pub netns: Option<(PathBuf, String)>,
    /// Of our own outer packets.
    pub mark: u32,
    /// The table that leads into the device, if that is ours to fill.
    pub table: Option<u32>,
    /// Those that are up.
    pub children: Vec<Ward>,
    /// Of all workers.
    pub stats: Vec<Arc<WorkerStats>>,
}

/// A child that is up.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Ward {
    pub child: Arc<str>,
    pub remote: SocketAddr,
    pub initiator: bool,
    /// By the names of this side.
    pub local: Vec<Selector>,
    pub remote_ts: Vec<Selector>,
    /// Another child of the device has some of `remote_ts`, too.
    pub shared: bool,
    pub counters: Arc<ChildCounters>,
    pub inbound: Arc<InboundEntry>,
    pub outbound: Arc<OutboundEntry>,
    pub window: u32,
    pub mtu: u16,
}

/// Looks that are under way.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Looks, for two seconds, and hands over what is wrong. At once and with nothing, if there is nothing to look at.
/// If too many look already nothing is handed over: "nothing is wrong" is not for who has not looked.
pub fn begin(question: Question, hand_over: impl FnOnce(Vec<Failure>) + Send + 'static) {
    if question.children.is_empty() {
        return hand_over(Vec::new());
    }
    // Without a ticket or a thread the answer's sender is dropped, and whoever waits is told.
    let Some(ticket) = Ticket::take() else { return };
    let _ = std::thread::Builder::new().name("doctor".into()).spawn(move || {
        hand_over(look(&question));
        drop(ticket);
    });
}

/// One look; it is over when this is dropped.
struct Ticket;
impl Ticket {
    fn take() -> Option<Self> {
        // Made before it is counted: to drop it gives the number back.
        let ticket = Self;
        (UNDER_WAY.fetch_add(1, Relaxed) < LOOKS).then_some(ticket)
    }
}
impl std::ops::Drop for Ticket {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Relaxed);
    }
}

fn look(question: &Question) -> Vec<Failure> {
    let Some((path, name)) = &question.netns else { return examine(question, Place::here(question)) };
    match Namespace::open(path).and_then(|namespace| namespace.run(|| examine(question, Place::here(question)))) {
        Ok(found) => found,
        Err(error) => examine(question, Place::unseen(format!("the network namespace {name}: {error}"))),
    }
}

/// All children at once.
fn examine(question: &Question, mut place: Place) -> Vec<Failure> {
    let samples: Vec<_> =
        question.stats.iter().map(|stats| (stats, stats.samples().begin(question.device.0))).collect();
    let before: Vec<_> = question.children.iter().map(Figures::of).collect();
    wait(HALF);
    let middle: Vec<_> = question.children.iter().map(Figures::of).collect();
    place.read(false);
    wait(HALF);
    place.read(true);
    let after: Vec<_> = question.children.iter().map(Figures::of).collect();
    let refused: Vec<Sample> = samples.iter().flat_map(|(stats, look)| stats.samples().end(*look)).collect();
    let filtered = place.filtered.and_then(|before| Some(host::reverse_path_filtered().ok()?.saturating_sub(before)));
    let mut found = Vec::new();
    for (at, ward) in question.children.iter().enumerate() {
        let figures = [&before[at], &middle[at], &after[at]];
        let host = Host { filtered, ..place.of(at, question, ward) };
        let concerned = |sample: &&Sample| concerns(question, ward, sample);
        let facts = facts(question, ward, figures, refused.iter().filter(concerned).copied().collect(), host);
        found.extend(traffic::judge(&facts));
    }
    found
}

fn wait(time: Duration) {
    let until = clock::now() + time;
    while let Some(left) = until.checked_sub(clock::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug)]
struct Figures {
    passed: Passed,
    too_old: u64,
    too_big: u64,
}
impl Figures {
    fn of(ward: &Ward) -> Self {
        let counters = &ward.counters;
        let passed =
            Passed { inwards: counters.packets_in.load(Relaxed), outwards: counters.packets_out.load(Relaxed) };
        Self { passed, too_old: counters.dropped(Drop::TooOld), too_big: counters.dropped(Drop::TooBig) }
    }
}

fn facts(
    question: &Question,
    ward: &Ward,
    [before, middle, after]: [&Figures; 3],
    refused: Vec<Sample>,
    host: Host,
) -> Facts {
    let texts = |selectors: &[Selector]| selectors.iter().map(ToString::to_string).collect();
    Facts {
        time: clock::now(),
        connection: question.connection.clone(),
        child: ward.child.clone(),
        remote: Some(ward.remote),
        initiator: ward.initiator,
        local_ts: texts(&ward.local),
        remote_ts: texts(&ward.remote_ts),
        device: question.device.1.clone(),
        netns: question.netns.as_ref().map(|(_, name)| name.clone()),
        shared: ward.shared,
        table: question.table.map(|table| (table, question.mark)),
        raw: ward.outbound.path.load().encap == Encap::Raw,
        mtu: ward.mtu,
        sa: Sa::of(&ward.inbound),
        ever: after.passed,
        now: Passed {
            inwards: after.passed.inwards.saturating_sub(before.passed.inwards),
            outwards: after.passed.outwards.saturating_sub(before.passed.outwards),
        },
        too_old: after.too_old.saturating_sub(before.too_old),
        window: ward.window,
        too_big: [(before, middle), (middle, after)].map(|(a, b)| b.too_big.saturating_sub(a.too_big)),
        refused,
        host,
    }
}

/// What was dropped has to do with this child: it is its own, or no child's and has one of its networks on one side.
fn concerns(question: &Question, ward: &Ward, sample: &Sample) -> bool {
    let has = |list: &[Selector], addr: IpAddr| {
        list.iter().any(|ts| ts.start.is_ipv4() == addr.is_ipv4() && ts.start <= addr && addr <= ts.end)
    };
    let Flow { src, dst, .. } = sample.flow;
    match sample.slot {
        Some(slot) => slot == ward.inbound.child.slot,
        None => sample.device == question.device.0 && (has(&ward.local, src) || has(&ward.remote_ts, dst)),
    }
}

/// What is seen of packets in one network namespace.
struct Place {
    /// For each child, where its counters are.
    counters: Option<(Counters, Vec<Slot>)>,
    hops: Vec<Hops>,
    filtered: Option<u64>,
    netlink: Option<(Netlink, Vec<Link>, Vec<Address>)>,
    chains: HashMap<&'static str, Vec<String>>,
    unseen: Vec<String>,
}

/// A child, the figure that a counter is for, and whether it counts to the end of the look.
type Slot = (usize, fn(&mut Hops) -> &mut u64, bool);

impl Place {
    fn unseen(why: String) -> Self {
        let (hops, chains) = (Vec::new(), HashMap::new());
        Self { counters: None, hops, filtered: None, netlink: None, chains, unseen: vec![why] }
    }

    /// Where the calling thread is.
    fn here(question: &Question) -> Self {
        let mut this = Self::unseen(String::new());
        this.unseen.clear();
        let asked = Netlink::open().and_then(|netlink| {
            let (links, addresses) = (netlink.links()?, netlink.addresses()?);
            Ok((netlink, links, addresses))
        });
        this.netlink = this.note("routes", asked);
        let device = this.netlink.iter().flat_map(|(_, links, _)| links).find(|link| link.name == question.device.1);
        let mtu = device.map_or(u32::MAX, |link| link.mtu);
        let most = (ALL_PAIRS / question.children.len().max(1)).clamp(1, PAIRS);
        if question.children.iter().any(|ward| pairs(ward).nth(most).is_some()) {
            this.unseen.push(format!("packets on their way: only of the first {most} pairs of networks of each child"));
        }
        let connected = this.connected(device.map(|link| link.index));
        let mut rules = Rules { question, mtu, most, connected, list: Vec::new(), slots: Vec::new() };
        question.children.iter().enumerate().for_each(|(at, ward)| rules.of_child(at, ward));
        // Daemons of several containers may be in one network namespace, with the same process id.
        let name = format!("sandhog-look-{:016x}", RandomState::new().build_hasher().finish());
        this.hops = vec![Hops::default(); question.children.len()];
        this.counters =
            this.note("packets on their way", Counters::place(&name, &rules.list)).map(|c| (c, rules.slots));
        this.filtered = this.note("what rp_filter drops", host::reverse_path_filtered());
        let hooks = [(Hook::Prerouting, "prerouting"), (Hook::Input, "input"), (Hook::Forward, "forward")];
        let hooks = hooks.into_iter().chain([(Hook::Output, "output"), (Hook::Postrouting, "postrouting")]);
        for (hook, name) in hooks {
            let chains = this.note("rules of firewalls", count::chains(hook)).unwrap_or_default();
            this.chains.insert(name, chains.iter().map(called).collect());
        }
        this.unseen.dedup();
        this
    }

    /// The networks that this host is in, but by the device.
    fn connected(&self, device: Option<u32>) -> Vec<Prefix> {
        let addresses = self.netlink.iter().flat_map(|(_, _, addresses)| addresses);
        let others = addresses.filter(|address| Some(address.link) != device);
        others.map(|address| prefix::network(address.addr, address.prefix_len)).collect()
    }

    fn note<T>(&mut self, what: &str, result: io::Result<T>) -> Option<T> {
        result.inspect_err(|error| self.unseen.push(format!("{what}: {error}"))).ok()
    }

    /// The counters as they are now: those that count for the first half, or those that count to the end.
    fn read(&mut self, end: bool) {
        let Some((counters, slots)) = &mut self.counters else { return };
        match counters.read() {
            Ok(values) => {
                for ((child, figure, late), value) in slots.iter().zip(values) {
                    if *late == end
                        && let Some(hops) = self.hops.get_mut(*child)
                    {
                        *figure(hops) += value;
                    }
                }
            }
            Err(error) => {
                self.counters = None;
                self.unseen.push(format!("packets on their way: {error}"));
            }
        }
    }

    /// What concerns one child.
    fn of(&self, at: usize, question: &Question, ward: &Ward) -> Host {
        let own = self.netlink.iter().flat_map(|(_, _, addresses)| addresses).map(|address| address.addr).collect();
        Host {
            own,
            hops: self.counters.as_ref().and_then(|_| self.hops.get(at).copied()),
            filtered: None,
            trials: self.trials(question, ward),
            chains: self.chains.clone(),
            unseen: self.unseen.clone(),
        }
    }

    /// A packet of a host of ours to the peer's network, and one back.
    fn trials(&self, question: &Question, ward: &Ward) -> [Option<Trial>; 2] {
        let Some((_, links, addresses)) = &self.netlink else { return [None, None] };
        let Some(device) = links.iter().find(|link| link.name == question.device.1) else { return [None, None] };
        let called = |index: u32| links.iter().find(|link| link.index == index).map(|link| link.name.clone());
        let connected = self.connected(Some(device.index));
        let Some((here, there, input)) = pairs(ward).take(PAIRS).find_map(|(local, remote)| {
            let there = first_of(remote).filter(|there| !is_near(prefix::host(*there), local, &connected))?;
            let there = Some(there).filter(|_| !prefix::is_wide(remote))?;
            let inside =
                addresses.iter().filter(|a| a.link != device.index && prefix::contains(local, prefix::host(a.addr)));
            let neighbour = |a: &Address| Some((neighbour(a, local, addresses)?, there, Some(a.link)));
            inside.clone().find_map(neighbour).or_else(|| inside.clone().next().map(|a| (a.addr, there, None)))
        }) else {
            return [None, None];
        };
        let out = self.trial(here, there, input.and_then(called), |way| match way {
            Way::Out { link, .. } if link == device.index => Fate::Right,
            Way::Out { link, table, .. } => Fate::Elsewhere { device: called(link).unwrap_or_default(), table },
            Way::Refused => Fate::Refused,
            Way::Local | Way::NotForwarded => Fate::Dropped,
        });
        let back = self.trial(there, here, Some(device.name.clone()), |way| match way {
            Way::Out { link, table, .. } if link == device.index => {
                Fate::Elsewhere { device: device.name.clone(), table }
            }
            Way::Out { .. } | Way::Local => Fate::Right,
            Way::Refused => Fate::Refused,
            Way::NotForwarded => Fate::Dropped,
        });
        [out, back]
    }

    fn trial(&self, from: IpAddr, to: IpAddr, input: Option<String>, fate: impl FnOnce(Way) -> Fate) -> Option<Trial> {
        let (netlink, ..) = self.netlink.as_ref()?;
        let link = input.as_ref().map(|device| netlink.link(device)).transpose().ok()?;
        let fate = fate(fib::way(from, to, link.map(|link| link.index)).ok()?);
        let number = |name: String| host::sysctl(&name).ok()?.parse::<u8>().ok();
        let forwarding = input.as_ref().and_then(|device| match to {
            IpAddr::V4(_) => number(format!("net/ipv4/conf/{device}/forwarding")),
            IpAddr::V6(_) => number("net/ipv6/conf/all/forwarding".into()),
        });
        let rp_filter = input.as_ref().filter(|_| to.is_ipv4()).and_then(|device| host::settings(device).rp_filter);
        Some(Trial { from, to, input, fate, forwarding: forwarding.map(|n| n != 0), rp_filter })
    }
}

/// As `nft` and people name it.
fn called(chain: &Chain) -> String {
    let Chain { family, table, name, drops } = chain;
    format!("{family} {table} {name}{}", if *drops { " (policy drop)" } else { "" })
}

/// Pairs of networks of one family.
fn pairs(ward: &Ward) -> impl Iterator<Item = (Prefix, Prefix)> {
    let remotes: Vec<_> = ward.remote_ts.iter().flat_map(Selector::prefixes).collect();
    let locals: Vec<_> = ward.local.iter().flat_map(Selector::prefixes).collect();
    locals.into_iter().flat_map(move |local| {
        let same: Vec<_> = remotes.iter().copied().filter(|remote| remote.0.is_ipv4() == local.0.is_ipv4()).collect();
        same.into_iter().map(move |remote| (local, remote))
    })
}

/// Something of the peer's network is beside us: packets from one of our hosts there rightly pass our device by.
fn is_near(remote: Prefix, local: Prefix, connected: &[Prefix]) -> bool {
    connected.iter().chain([&local]).any(|near| prefix::overlap(*near, remote))
}

/// The first host of a network.
fn first_of((addr, len): Prefix) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(ip) if len < 31 => ip.to_bits().checked_add(1).map(|bits| IpAddr::from(bits.to_be_bytes())),
        IpAddr::V6(ip) if len < 127 => ip.to_bits().checked_add(1).map(|bits| IpAddr::from(bits.to_be_bytes())),
        _ => Some(addr),
    }
}

/// A host beside one of our addresses, within the child's network.
fn neighbour(address: &Address, local: Prefix, all: &[Address]) -> Option<IpAddr> {
    let network = prefix::network(address.addr, address.prefix_len);
    let first = first_of(network).filter(|first| *first != network.0)?;
    let second = match first {
        IpAddr::V4(ip) => IpAddr::from((ip.to_bits().checked_add(1)?).to_be_bytes()),
        IpAddr::V6(ip) => IpAddr::from((ip.to_bits().checked_add(1)?).to_be_bytes()),
    };
    let good = |addr: &IpAddr| {
        let inside = [network, local].iter().all(|net| prefix::contains(*net, prefix::host(*addr)));
        inside && !all.iter().any(|other| other.addr == *addr)
    };
    [first, second].into_iter().find(good)
}

/// Counters for the places that [`Hops`] names.
struct Rules<'a> {
    question: &'a Question,
    /// Of the device.
    mtu: u32,
    /// Pairs of each child.
    most: usize,
    /// Networks that this host is in.
    connected: Vec<Prefix>,
    list: Vec<Counter>,
    slots: Vec<Slot>,
}

impl Rules<'_> {
    fn of_child(&mut self, child: usize, ward: &Ward) {
        let mut remotes = HashSet::new();
        for (local, remote) in pairs(ward).take(self.most) {
            let ours = [Test::From(local), Test::To(remote), Test::NotMarked(self.question.mark)];
            let wide = prefix::is_wide(local) || prefix::is_wide(remote);
            self.outwards(child, &ours, wide || is_near(remote, local, &self.connected));
            let theirs = [Test::From(remote), Test::To(local), self.device(Test::In)];
            self.inwards(child, &theirs, remote.0.is_ipv6());
            self.asked(
                child,
                (Hook::Postrouting, remote.0.is_ipv6()),
                &[&ours[..], &[self.device(Test::Out)]].concat(),
                |h| &mut h.asked,
            );
            if remotes.insert(remote) {
                let all = [Test::To(remote), Test::NotMarked(self.question.mark), self.device(Test::Out)];
                self.count(child, Hook::Postrouting, true, &all, |h| &mut h.leaving);
            }
        }
    }

    fn device(&self, test: fn(String, bool) -> Test) -> Test {
        test(self.question.device.1.clone(), true)
    }

    /// What goes to everywhere, or comes from there, may well take another way than ours.
    fn outwards(&mut self, child: usize, pair: &[Test], wide: bool) {
        let device = |is| Test::Out(self.question.device.1.clone(), is);
        let (here, past) = ([pair, &[device(true)]].concat(), [pair, &[device(false)]].concat());
        self.count(child, Hook::Forward, false, &here, |h| &mut h.forward.first);
        self.count(child, Hook::Forward, true, &here, |h| &mut h.forward.last);
        self.count(child, Hook::Output, false, &here, |h| &mut h.output.first);
        self.count(child, Hook::Output, true, &here, |h| &mut h.output.last);
        self.count(child, Hook::Postrouting, false, &here, |h| &mut h.postrouting.first);
        self.count(child, Hook::Postrouting, true, &here, |h| &mut h.postrouting.last);
        self.late(child, Hook::Output, pair, |h| &mut h.answers);
        self.late(child, Hook::Prerouting, pair, |h| &mut h.answers);
        if !wide {
            self.count(child, Hook::Prerouting, false, pair, |h| &mut h.prerouting.first);
            self.count(child, Hook::Prerouting, true, pair, |h| &mut h.prerouting.last);
            self.count(child, Hook::Forward, false, &past, |h| &mut h.forward_past);
            self.count(child, Hook::Output, false, &past, |h| &mut h.output_past);
            if let Ok(than) = u16::try_from(self.mtu) {
                let ipv6 = pair.iter().any(|test| matches!(test, Test::To((addr, _)) if addr.is_ipv6()));
                let long = [pair, &[Test::Longer { than, ipv6 }]].concat();
                self.count(child, Hook::Prerouting, false, &long, |h| &mut h.big_half);
                self.late(child, Hook::Prerouting, &long, |h| &mut h.big);
            }
        }
    }

    fn inwards(&mut self, child: usize, pair: &[Test], ipv6: bool) {
        self.count(child, Hook::Prerouting, false, pair, |h| &mut h.in_prerouting.first);
        self.count(child, Hook::Prerouting, true, pair, |h| &mut h.in_prerouting.last);
        self.count(child, Hook::Input, false, pair, |h| &mut h.in_input.first);
        self.count(child, Hook::Input, true, pair, |h| &mut h.in_input.last);
        self.count(child, Hook::Forward, false, pair, |h| &mut h.in_forward.first);
        self.count(child, Hook::Forward, true, pair, |h| &mut h.in_forward.last);
        for hook in [Hook::Input, Hook::Forward] {
            self.asked(child, (hook, ipv6), pair, |h| &mut h.in_asked);
        }
    }

    /// What has to be answered, behind everybody's rules.
    fn asked(&mut self, child: usize, (hook, ipv6): (Hook, bool), tests: &[Test], figure: fn(&mut Hops) -> &mut u64) {
        for what in [Test::Begins, Test::Echo { ipv6 }] {
            self.list.push(Counter { hook, last: true, tests: [tests, &[what]].concat() });
            self.slots.push((child, figure, false));
        }
    }

    /// What is seen at the end of a place counts to the end of the look: it may have been seen at the beginning in the first half.
    fn count(&mut self, child: usize, hook: Hook, last: bool, tests: &[Test], figure: fn(&mut Hops) -> &mut u64) {
        self.list.push(Counter { hook, last, tests: tests.to_vec() });
        self.slots.push((child, figure, last));
    }

    fn late(&mut self, child: usize, hook: Hook, tests: &[Test], figure: fn(&mut Hops) -> &mut u64) {
        self.list.push(Counter { hook, last: false, tests: tests.to_vec() });
        self.slots.push((child, figure, true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::prefix::prefix;

    #[test]
    fn a_network_of_the_peer_that_is_partly_ours_is_reached_past_the_device_too() {
        for (local, remote, connected, near) in [
            ("10.1.0.0/16", "10.0.0.0/8", vec![], true),
            ("10.0.0.0/8", "10.1.0.0/16", vec![], true),
            ("10.1.0.0/16", "172.16.0.0/12", vec!["172.20.1.0/24"], true),
            ("10.1.0.0/16", "172.16.9.0/24", vec!["172.16.0.0/12"], true),
            ("10.1.0.0/16", "10.2.0.0/16", vec!["10.1.1.0/24", "192.0.2.0/24"], false),
            ("2001:db8:1::/48", "2001:db8::/32", vec![], true),
            ("2001:db8:1::/48", "2001:db8:2::/48", vec!["fe80::/64", "10.0.0.0/8"], false),
        ] {
            let connected: Vec<_> = connected.into_iter().map(prefix).collect();
            assert_eq!(is_near(prefix(remote), prefix(local), &connected), near, "{local} {remote} {connected:?}");
        }
    }

    #[test]
    fn who_comes_when_too_many_look_does_not_look() {
        let tickets: Vec<_> = (0..LOOKS).map(|_| Ticket::take().unwrap()).collect();
        assert!(Ticket::take().is_none() && Ticket::take().is_none());
        drop(tickets);
        assert!(Ticket::take().is_some());
    }
}
