//! A child is up and nothing passes: why. Facts in, diagnoses out; `host` gathers the facts.
//!
//! False alarms are worse than silence: where packets pass both ways nothing is said but of packets that were refused before our eyes, and a
//! setting alone is no fault as long as traffic was carried. "Proven" is what was seen happening; what a look-up says would happen is likely.
use crate::dataplane::stats::Sample;
use crate::esp::drop::Drop;
use crate::ike::diagnose::{Certainty, Failure, Phase};
use crate::ipsec::sad::InboundEntry;
use crate::wire::ip::Flow;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Packets, delivered and sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// To our hosts.
    pub inwards: u64,
    /// To the peer.
    pub outwards: u64,
}

/// What was seen of one child in a look.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Facts {
    pub time: Duration,
    pub connection: Arc<str>,
    pub child: Arc<str>,
    pub remote: Option<SocketAddr>,
    pub initiator: bool,
    /// By the names that networks have here.
    pub local_ts: Vec<String>,
    pub remote_ts: Vec<String>,
    pub device: String,
    /// Where the device is, if it is not where we are.
    pub netns: Option<String>,
    /// Another child of the device has some of the peer's networks, too.
    pub shared: bool,
    /// The table that leads into the device, and the mark of what it is not asked for; `None`: what leads there is not ours.
    pub table: Option<(u32, u32)>,
    /// ESP is not in UDP.
    pub raw: bool,
    /// The largest inner packet that is carried whole.
    pub mtu: u16,
    pub sa: Sa,
    /// Since the child exists.
    pub ever: Passed,
    /// During the look, as all that follows.
    pub now: Passed,
    /// Packets left of the replay window, and how wide that is.
    pub too_old: u64,
    pub window: u32,
    /// Packets that were too big, in the first half and in the second.
    pub too_big: [u64; 2],
    /// Packets of its device and its own that were refused.
    pub refused: Vec<Sample>,
    pub host: Host,
}

/// What is known of the SA in use since it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sa {
    /// Some packet could be opened.
    pub opened: bool,
    /// The ICV of so many was wrong.
    pub icv: u64,
    /// That of so many was cut to 96 bits.
    pub cut: u64,
}

impl Sa {
    /// As it is now.
    pub fn of(inbound: &InboundEntry) -> Self {
        let faults = &inbound.traffic.faults;
        Self { opened: inbound.sa.highest() > 0, icv: faults.icv.load(Relaxed), cut: faults.cut.load(Relaxed) }
    }
}

/// What the host says.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Addresses of its own.
    pub own: HashSet<IpAddr>,
    /// Where its packets were seen.
    pub hops: Option<Hops>,
    /// Packets that rp_filter has dropped.
    pub filtered: Option<u64>,
    /// A packet to the peer's network, and one from there, as the kernel would treat them now.
    pub trials: [Option<Trial>; 2],
    /// Chains of firewalls, by the place where packets meet them.
    pub chains: HashMap<&'static str, Vec<String>>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

impl Host {
    fn chains(&self, place: &str) -> impl Iterator<Item = String> {
        self.chains.get(place).cloned().unwrap_or_default().into_iter()
    }
}

/// Packets that were seen at the beginning of a place, and at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Before everybody.
    pub first: u64,
    /// Behind everybody.
    pub last: u64,
}
impl Seen {
    /// Somebody there takes all, and that is so many at least.
    fn eaten(self, least: u64) -> bool {
        self.first >= least && self.last == 0
    }
}

/// Packets between the two networks of a child, by place and direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Hops {
    /// From our network to the peer's.
    pub prerouting: Seen,
    /// Into our device, and past it.
    pub forward: Seen,
    pub forward_past: u64,
    /// Of this host.
    pub output: Seen,
    pub output_past: u64,
    /// Into our device, with a source in our network.
    pub postrouting: Seen,
    /// Into our device at the end, with whatever source.
    pub leaving: u64,
    /// Of those with a source in our network: what has to be answered.
    pub asked: u64,
    /// From our network to the peer's, by whatever way.
    pub answers: u64,
    /// Of those that came in: what is too long for our device and must not be cut, in the first half of the look, and in all of it.
    pub big_half: u64,
    pub big: u64,
    /// From our device.
    pub in_prerouting: Seen,
    pub in_input: Seen,
    pub in_forward: Seen,
    pub in_asked: u64,
}

/// A packet that could be, and what would become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Trial {
    pub from: IpAddr,
    pub to: IpAddr,
    /// The device that it comes in by; `None`: this host makes it.
    pub input: Option<String>,
    pub fate: Fate,
    /// Settings of that device.
    pub forwarding: Option<bool>,
    pub rp_filter: Option<u8>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes where it should.
    Right,
    /// It leaves by another device.
    Elsewhere {
        /// Which.
        device: String,
        /// By which table.
        table: u32,
    },
    /// There is no way.
    Refused,
    /// It is not forwarded, or its source is not believed.
    Dropped,
}

/// Fewer packets may be what a firewall is there for, or what somebody sends to a host that is not there.
const MANY: u64 = 3;

/// What is wrong, worst first.
pub fn judge(facts: &Facts) -> Vec<Failure> {
    let unopened = unopened(facts.time, facts.initiator, facts.sa).map(|failure| facts.about(failure));
    let mut found: Vec<Failure> = [unopened, replay(facts), too_big(facts)].into_iter().flatten().collect();
    let passes = facts.now.inwards > 0 && facts.now.outwards > 0;
    if passes {
        found.extend(selectors(facts));
        return found;
    }
    let before = found.len();
    if let Some(hops) = &facts.host.hops {
        found.extend(masquerade(facts, hops).or_else(|| outwards(facts, hops)));
        found.extend(inwards(facts, hops));
    }
    if !found.iter().any(|failure| failure.code == "traffic.masquerade") {
        found.extend(selectors(facts));
    }
    if found.len() == before && before == 0 {
        found.extend(silence(facts).or_else(|| would_be(facts)));
    }
    found.dedup_by_key(|failure| failure.code);
    found
}

impl Facts {
    fn proven(&self, code: &'static str) -> Failure {
        self.about(Failure::new(self.time, Phase::Traffic, self.initiator, code))
    }
    fn about(&self, mut failure: Failure) -> Failure {
        failure.connection = Some(self.connection.clone());
        failure.child = Some(self.child.clone());
        failure.remote = self.remote;
        failure.local.put("netns", self.netns.iter().cloned().collect());
        failure
    }
    fn likely(&self, candidates: &[&'static str]) -> Option<Failure> {
        let mut failure = self.proven(candidates.first()?);
        failure.certainty = Certainty::Likely;
        failure.candidates = candidates.to_vec();
        Some(self.unseen(failure))
    }
    /// It has worked.
    fn carried(&self) -> bool {
        self.ever.inwards > 0 && self.ever.outwards > 0
    }
    /// Of so many lost packets something is said. Where nothing ever worked one is enough: who tries it may send one in a second.
    fn least(&self) -> u64 {
        if self.carried() { MANY } else { 1 }
    }
    /// What was not looked at belongs to what is only likely.
    fn unseen(&self, mut failure: Failure) -> Failure {
        failure.local.put("unseen", self.host.unseen.clone());
        failure
    }
}

/// Ours alone.
fn with(mut failure: Failure, what: &'static str, values: impl IntoIterator<Item = String>) -> Failure {
    failure.local.put(what, values.into_iter().collect());
    failure
}

fn packets(number: u64, what: &str) -> String {
    format!("{number} {what}")
}

/// Nothing of what comes on an SA can be opened, from its first packet on. One wrong packet anybody can send.
pub fn unopened(time: Duration, initiator: bool, Sa { opened, icv, cut }: Sa) -> Option<Failure> {
    let failure = |code| Failure::new(time, Phase::Traffic, initiator, code);
    match (opened, cut, icv) {
        (false, 1.., _) => {
            Some(failure("esp.truncation").between("icv", vec!["128 bits".into()], vec!["96 bits".into()]))
        }
        (false, 0, 2..) => {
            let mut failure = failure("esp.keys");
            (failure.certainty, failure.candidates) = (Certainty::Likely, vec!["esp.keys"]);
            Some(with(failure, "packets", [packets(icv, "with a wrong ICV"), "0 opened".into()]))
        }
        _ => None,
    }
}

/// What comes is older than the window. A few are what any network does.
fn replay(facts: &Facts) -> Option<Failure> {
    let many = facts.too_old >= 10 && facts.too_old * 4 >= facts.now.inwards;
    let failure = facts.likely(&["replay.window"]).filter(|_| many)?;
    let failure =
        with(failure, "packets", [packets(facts.too_old, "too old"), packets(facts.now.inwards, "delivered")]);
    Some(with(failure, "replay_window", [facts.window.to_string()]))
}

/// A host goes on sending what is too big although it was told: who hears it sends smaller ones at once.
fn too_big(facts: &Facts) -> Option<Failure> {
    let found = |packets: String| {
        let failure = facts.likely(&["mtu.black_hole"])?;
        Some(with(with(failure, "packets", [packets]), "mtu", [facts.mtu.to_string()]))
    };
    // The kernel does not give such packets to the device. Some are what a look for the path's MTU sends.
    if let Some(hops) = facts.host.hops
        && hops.big_half >= 2
        && hops.big >= hops.big_half + 2
        && hops.big * 5 >= hops.prerouting.last
    {
        return found(packets(hops.big, "too long that must not be cut"));
    }
    let of = |sample: &&Sample| sample.reason == Drop::TooBig;
    let first = facts.refused.iter().find(of)?;
    let same = facts.refused.iter().filter(of).filter(|other| ends(&other.flow) == ends(&first.flow)).count();
    let [before, after] = facts.too_big;
    let often = same >= 3 && (before + after) * 5 >= facts.now.outwards;
    if before == 0 || after == 0 || !often {
        return None;
    }
    found(format!("{}, {} octets", told(&first.flow), first.len))
}

fn ends(flow: &Flow) -> (IpAddr, IpAddr) {
    (flow.src, flow.dst)
}

fn told(flow: &Flow) -> String {
    let proto = match flow.proto {
        1 | 58 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        other => other.to_string(),
    };
    let port = if matches!(flow.proto, 6 | 17) { format!("/{}", flow.dport) } else { String::new() };
    format!("{} > {} {proto}{port}", flow.src, flow.dst)
}

/// Packets came to us that no child may carry, or came out of the tunnel and must not. A single one may be a stray.
fn selectors(facts: &Facts) -> Option<Failure> {
    let of = |sample: &&Sample| matches!(sample.reason, Drop::NoPolicy | Drop::SelectorMismatch);
    let often = |sample: &&Sample| {
        let same =
            |other: &&Sample| (other.inbound, ends(&other.flow)) == (sample.inbound, ends(&sample.flow)) && of(other);
        facts.refused.iter().filter(same).count() >= 2
    };
    let meant = |sample: &&Sample| !sample.flow.dst.is_multicast() && !is_link_local(sample.flow.src);
    let sample = facts.refused.iter().filter(of).filter(meant).find(often)?;
    let failure = if is_ours(facts, sample) {
        facts.likely(&["traffic.masquerade", "traffic.selectors"])?
    } else {
        facts.proven("traffic.selectors")
    };
    let (ours, theirs) = match sample.inbound {
        true => (vec![], vec![told(&sample.flow)]),
        false => (vec![told(&sample.flow)], vec![]),
    };
    let failure = failure.between("packets", ours, theirs);
    let failure = with(failure, "local_ts", facts.local_ts.clone());
    Some(with(with(failure, "remote_ts", facts.remote_ts.clone()), "device", [facts.device.clone()]))
}

fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_link_local() || addr.is_unspecified() || addr.is_broadcast(),
        IpAddr::V6(addr) => addr.is_unicast_link_local() || addr.is_unspecified(),
    }
}

/// A packet into the tunnel has an address of this host for its source: it made it itself, or it has put it there.
fn is_ours(facts: &Facts, sample: &Sample) -> bool {
    let changes = facts.host.chains("postrouting").next().is_some();
    !sample.inbound && changes && facts.host.own.contains(&sample.flow.src)
}

/// Somebody changes sources on the way into our device.
fn masquerade(facts: &Facts, hops: &Hops) -> Option<Failure> {
    if !hops.postrouting.eaten(facts.least()) || hops.leaving == 0 {
        return None;
    }
    // What leaves for networks that another child has, too, may be its own.
    let failure = match hops.postrouting.first >= MANY && !facts.shared {
        true => facts.proven("traffic.masquerade"),
        false => facts.likely(&["traffic.masquerade", "traffic.firewall"])?,
    };
    let seen = [
        packets(hops.postrouting.first, "had a source in local_ts"),
        packets(hops.leaving, "had another behind the rules that change sources"),
    ];
    let failure = with(failure, "packets", seen);
    Some(with(with(failure, "firewall", facts.host.chains("postrouting")), "device", [facts.device.clone()]))
}

/// From our hosts to our device, place by place; the first one that takes all.
fn outwards(facts: &Facts, hops: &Hops) -> Option<Failure> {
    let past = hops.forward_past + hops.output_past;
    if past > 0 && hops.forward.first + hops.output.first == 0 {
        let failure = with(facts.proven("traffic.route"), "packets", [packets(past, "past the device")]);
        return Some(routes(failure, facts, 0));
    }
    for (place, seen) in [("forward", hops.forward), ("output", hops.output), ("postrouting", hops.postrouting)] {
        if seen.eaten(facts.least()) && !(place == "postrouting" && hops.leaving > 0) {
            return firewall(facts, true, place, seen.first);
        }
    }
    // Whoever changes destinations there hides them from us.
    if hops.prerouting.eaten(facts.least()) {
        return firewall(facts, false, "prerouting", hops.prerouting.first);
    }
    let lost = hops.prerouting.last > hops.big && hops.forward.first + hops.forward_past == 0;
    lost.then(|| not_forwarded(facts, hops.prerouting.last, 0)).flatten()
}

/// From our device to our hosts, and who answers there.
fn inwards(facts: &Facts, hops: &Hops) -> Option<Failure> {
    let (forward, input) = (hops.in_forward, hops.in_input);
    if hops.in_prerouting.eaten(facts.least()) {
        return firewall(facts, false, "prerouting", hops.in_prerouting.first);
    }
    if hops.in_prerouting.last > 0 && forward.first + input.first == 0 {
        return not_forwarded(facts, hops.in_prerouting.last, 1);
    }
    for (place, seen, other) in [("forward", forward, input), ("input", input, forward)] {
        if seen.eaten(facts.least()) && other.last == 0 {
            return firewall(facts, true, place, seen.first);
        }
    }
    let unanswered = hops.in_asked >= facts.least() && hops.answers == 0;
    let failure = facts.likely(&["traffic.no_answer"]).filter(|_| unanswered)?;
    Some(with(failure, "packets", [packets(hops.in_asked, "that ask, given to our hosts"), "0 answers".into()]))
}

/// Where a tunnel has worked what is lost may be lost on purpose. `certain`: only a firewall is able to do that.
fn firewall(facts: &Facts, certain: bool, place: &str, seen: u64) -> Option<Failure> {
    let failure = match certain && seen >= MANY && !facts.carried() {
        true => facts.proven("traffic.firewall"),
        false => facts.likely(&["traffic.firewall"])?,
    };
    let failure = with(failure, "packets", [packets(seen, &format!("before the rules of {place}, 0 behind them"))]);
    let failure = with(failure, "place", [place.to_owned()]);
    Some(with(with(failure, "firewall", facts.host.chains(place)), "device", [facts.device.clone()]))
}

/// The kernel takes packets between two places: `way` 0 is out, 1 is back.
fn not_forwarded(facts: &Facts, seen: u64, way: usize) -> Option<Failure> {
    let trial = facts.host.trials[way].as_ref();
    let filtered = facts.host.filtered.unwrap_or(0) > 0;
    let dropped = trial.is_some_and(|trial| trial.fate == Fate::Dropped);
    let strict = trial.is_some_and(|trial| trial.rp_filter == Some(1));
    let checked = trial.is_some_and(|trial| matches!(trial.rp_filter, Some(1 | 2)));
    let failure = if trial.is_some_and(|trial| trial.forwarding == Some(false)) {
        facts.proven("traffic.forwarding")
    } else if filtered && checked && dropped {
        facts.proven("traffic.rp_filter")
    } else if filtered || strict && dropped {
        // The host counts what it filters for all devices together.
        facts.likely(&["traffic.rp_filter", "traffic.route"])?
    } else if trial.is_some_and(|trial| trial.fate == Fate::Refused) {
        facts.likely(&["traffic.route"])?
    } else {
        facts.likely(&["traffic.route", "traffic.rp_filter", "traffic.forwarding"])?
    };
    let failure = with(failure, "packets", [packets(seen, "that came in and were not forwarded")]);
    Some(settings(routes(failure, facts, way), facts, way))
}

/// What was asked of the kernel, and what it said.
fn routes(failure: Failure, facts: &Facts, way: usize) -> Failure {
    let Some(trial) = &facts.host.trials[way] else { return failure };
    let by = trial.input.as_ref().map(|device| format!(" in by {device}")).unwrap_or_default();
    let fate = match &trial.fate {
        Fate::Right => return with(failure, "device", [facts.device.clone()]),
        Fate::Elsewhere { device, table } => format!("leaves by {device}, table {table}"),
        Fate::Refused => "no route".into(),
        Fate::Dropped => "dropped".into(),
    };
    let failure = with(failure, "routes", [format!("{} > {}{by}: {fate}", trial.from, trial.to)]);
    let failure = with(failure, "table", facts.table.map(|(table, _)| table.to_string()));
    let failure = with(failure, "mark", facts.table.map(|(_, mark)| format!("{mark:#x}")));
    with(with(failure, "remote_ts", facts.remote_ts.clone()), "device", [facts.device.clone()])
}

fn settings(failure: Failure, facts: &Facts, way: usize) -> Failure {
    let Some(Trial { input: Some(device), forwarding, rp_filter, to, .. }) = &facts.host.trials[way] else {
        return failure;
    };
    let values = match (failure.code, to.is_ipv4(), forwarding, rp_filter) {
        ("traffic.forwarding", true, Some(false), _) => vec!["net.ipv4.ip_forward = 0".into()],
        ("traffic.forwarding", false, Some(false), _) => vec!["net.ipv6.conf.all.forwarding = 0".into()],
        ("traffic.rp_filter", _, _, Some(value)) => vec![format!("net.ipv4.conf.{device}.rp_filter = {value}")],
        _ => vec![],
    };
    with(failure, "settings", values)
}

/// What our hosts ask leaves, and nothing comes.
fn silence(facts: &Facts) -> Option<Failure> {
    let asked =
        facts.host.hops.map_or(facts.now.outwards >= 3 && facts.ever.inwards == 0, |hops| hops.asked >= facts.least());
    if facts.now.outwards == 0 || facts.now.inwards > 0 || !asked {
        return None;
    }
    // IKE passes, in UDP. Where ESP is in the same UDP, few things tell them apart.
    let candidates = match facts.raw && !facts.sa.opened {
        true => ["net.esp_blocked", "traffic.one_way"],
        false => ["traffic.one_way", "net.esp_blocked"],
    };
    let failure = facts.likely(&candidates)?;
    let failure = failure.between("packets", vec![packets(facts.now.outwards, "sent"), "0 received".into()], vec![]);
    Some(with(failure, "encapsulation", [if facts.raw { "esp".into() } else { "udp".to_owned() }]))
}

/// Nothing was on its way. A child that has carried something both ways is idle, and that is no fault.
fn would_be(facts: &Facts) -> Option<Failure> {
    let idle = facts.now == Passed::default();
    let hops = facts.host.hops.unwrap_or_default();
    if !idle || hops != Hops::default() || facts.carried() {
        return None;
    }
    let [out, back] = &facts.host.trials;
    let wrong = |trial: &Trial| match trial.fate {
        Fate::Right => None,
        Fate::Dropped if trial.forwarding == Some(false) => Some("traffic.forwarding"),
        Fate::Dropped if trial.rp_filter == Some(1) => Some("traffic.rp_filter"),
        Fate::Elsewhere { .. } | Fate::Refused | Fate::Dropped => Some("traffic.route"),
    };
    let carried = [facts.ever.outwards > 0, facts.ever.inwards > 0];
    let mut ways = [out, back].into_iter().zip(carried).enumerate();
    let (way, code) = ways.find_map(|(way, (trial, carried))| {
        let code = trial.as_ref().filter(|_| !carried).and_then(wrong)?;
        Some((way, code))
    })?;
    let failure = facts.likely(&[code])?;
    Some(settings(routes(failure, facts, way), facts, way))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::spd::{DeviceId, Slot};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
    /// A child between 10.1.0.0/24 and 10.2.0.0/24 that has carried packets both ways, and carries none now.
    fn idle() -> Facts {
        let right = |from, to, input: &str| Trial {
            from: ip(from),
            to: ip(to),
            input: Some(input.into()),
            fate: Fate::Right,
            forwarding: Some(true),
            rp_filter: Some(0),
        };
        Facts {
            time: Duration::from_secs(100),
            connection: "a".into(),
            child: "lan".into(),
            remote: Some(([203, 0, 113, 7], 4500).into()),
            initiator: true,
            local_ts: vec!["10.1.0.0/24".into()],
            remote_ts: vec!["10.2.0.0/24".into()],
            device: "sandhog0".into(),
            netns: None,
            shared: false,
            table: Some((220, 0xdc)),
            raw: false,
            mtu: 1422,
            sa: Sa { opened: true, icv: 0, cut: 0 },
            ever: Passed { inwards: 50, outwards: 60 },
            now: Passed::default(),
            too_old: 0,
            window: 4096,
            too_big: [0, 0],
            refused: vec![],
            host: Host {
                own: [ip("10.1.0.1"), ip("192.0.2.1")].into(),
                hops: Some(Hops::default()),
                filtered: Some(0),
                trials: [Some(right("10.1.0.2", "10.2.0.1", "eth1")), Some(right("10.2.0.1", "10.1.0.2", "sandhog0"))],
                chains: [("forward", vec!["ip filter FORWARD (policy drop)".to_owned()])].into(),
                unseen: vec![],
            },
        }
    }
    fn all(count: u64) -> Seen {
        Seen { first: count, last: count }
    }
    fn none(count: u64) -> Seen {
        Seen { first: count, last: 0 }
    }
    /// A host of ours asks through all places, 10 times, and is answered.
    fn busy() -> Facts {
        let (prerouting, forward, postrouting) = (all(10), all(10), all(10));
        let (in_prerouting, in_forward) = (all(10), all(10));
        let hops = Hops {
            prerouting,
            forward,
            postrouting,
            in_prerouting,
            in_forward,
            leaving: 10,
            asked: 10,
            answers: 10,
            ..Hops::default()
        };
        let now = Passed { inwards: 10, outwards: 10 };
        Facts { now, host: Host { hops: Some(hops), ..idle().host }, ..idle() }
    }
    /// The same, but what leaves is not answered, and only so many places are reached.
    fn asking(change: impl FnOnce(&mut Hops)) -> Facts {
        let mut facts = busy();
        let hops = facts.host.hops.as_mut().unwrap();
        (hops.in_prerouting, hops.in_forward) = (all(0), all(0));
        change(hops);
        let outwards = if hops.postrouting.last > 0 { 10 } else { 0 };
        facts.now = Passed { inwards: 0, outwards };
        facts
    }
    /// Hosts behind the peer ask, and get no answer.
    fn asked(change: impl FnOnce(&mut Hops)) -> Facts {
        let mut hops = Hops { in_prerouting: all(10), in_forward: all(10), in_asked: 10, ..Hops::default() };
        change(&mut hops);
        Facts { now: Passed { inwards: 10, outwards: 0 }, host: Host { hops: Some(hops), ..idle().host }, ..idle() }
    }
    fn sample(reason: Drop, src: &str, dst: &str, inbound: bool) -> Sample {
        let flow = Flow { src: ip(src), dst: ip(dst), proto: 1, sport: 0, dport: 0, later_fragment: false };
        Sample { reason, flow, len: 1500, device: DeviceId(0), slot: inbound.then_some(Slot(1)), inbound }
    }
    fn refused(facts: Facts, reason: Drop, src: &str, dst: &str, inbound: bool) -> Facts {
        Facts { refused: vec![sample(reason, src, dst, inbound); 3], ..facts }
    }
    fn trial(mut facts: Facts, way: usize, change: impl FnOnce(&mut Trial)) -> Facts {
        change(facts.host.trials[way].as_mut().unwrap());
        facts
    }
    fn nothing_yet(facts: Facts) -> Facts {
        Facts { ever: Passed::default(), sa: Sa::default(), ..facts }
    }
    fn codes(facts: &Facts) -> Vec<(&'static str, bool)> {
        judge(facts).iter().map(|f| (f.code, f.certainty == Certainty::Proven)).collect()
    }

    #[test]
    fn a_healthy_tunnel_is_not_talked_about() {
        let past = Fate::Elsewhere { device: "eth0".into(), table: 254 };
        let mut late = busy();
        // What is still on its way at the end of the look, and a stray.
        late.host.hops.as_mut().unwrap().asked = 11;
        late.refused = vec![sample(Drop::NoPolicy, "10.1.0.2", "10.9.0.1", false)];
        let one_way_for_ever = Facts { now: Passed { inwards: 0, outwards: 9 }, ..asking(|hops| hops.asked = 0) };
        for (name, facts) in [
            ("idle", idle()),
            ("never used", nothing_yet(idle())),
            ("busy", busy()),
            ("late", late),
            ("without a look at the host", Facts { host: Host::default(), ..busy() }),
            ("idle without a look at the host", Facts { host: Host::default(), ..nothing_yet(idle()) }),
            ("datagrams that nobody answers", one_way_for_ever),
            ("datagrams to us that nobody answers", asked(|hops| hops.in_asked = 0)),
            (
                "no forwarding, and none is needed",
                trial(idle(), 0, |t| (t.fate, t.forwarding) = (Fate::Dropped, Some(false))),
            ),
            ("another route while it works", trial(busy(), 0, |t| t.fate = past.clone())),
            ("a strict host", trial(busy(), 1, |t| t.rp_filter = Some(1))),
            ("somebody forges", Facts { sa: Sa { opened: true, icv: 7, cut: 0 }, ..busy() }),
            ("a few late packets", Facts { too_old: 9, ..busy() }),
            (
                "a host learns the mtu",
                Facts { too_big: [9, 0], ..refused(busy(), Drop::TooBig, "10.1.0.2", "10.2.0.2", false) },
            ),
            (
                "a look for the path's mtu",
                asking(|hops| (hops.big_half, hops.big, hops.prerouting, hops.asked) = (2, 4, all(40), 0)),
            ),
            (
                "a firewall refuses what it is there for, to the peer",
                asking(|hops| *hops = Hops { prerouting: all(2), forward: none(2), ..Hops::default() }),
            ),
            (
                "a firewall refuses what it is there for, from the peer",
                asked(|hops| (hops.in_forward, hops.in_asked) = (none(2), 0)),
            ),
            ("one asks a host that is not there", asking(|hops| hops.asked = 2)),
            ("one asks a host that is not here", asked(|hops| hops.in_asked = 2)),
            ("multicast", refused(busy(), Drop::NoPolicy, "10.1.0.2", "224.0.0.251", false)),
        ] {
            assert_eq!(judge(&facts), [], "{name}");
        }
    }

    #[test]
    fn each_way_to_carry_nothing_has_its_name() {
        let past = Fate::Elsewhere { device: "eth0".into(), table: 254 };
        let no_forwarding = |t: &mut Trial| (t.fate, t.forwarding) = (Fate::Dropped, Some(false));
        let strict = |t: &mut Trial| (t.fate, t.rp_filter) = (Fate::Dropped, Some(1));
        let stops_in_routing = |hops: &mut Hops| *hops = Hops { prerouting: all(9), ..Hops::default() };
        let stopped = |count: u64| {
            move |hops: &mut Hops| {
                *hops = Hops { prerouting: all(count), forward: none(count), ..Hops::default() };
            }
        };
        let loose = |t: &mut Trial| (t.fate, t.rp_filter) = (Fate::Dropped, Some(2));
        let filtered = |facts: Facts| Facts { host: Host { filtered: Some(9), ..facts.host.clone() }, ..facts };
        let blind = |facts: Facts| Facts { host: Host { hops: None, ..facts.host.clone() }, ..facts };
        let unanswered = || asking(|_| {});
        let cases = [
            ("esp.truncation", true, Facts { sa: Sa { opened: false, icv: 0, cut: 2 }, ..unanswered() }),
            ("esp.keys", false, Facts { sa: Sa { opened: false, icv: 2, cut: 0 }, ..unanswered() }),
            ("replay.window", false, Facts { too_old: 10, ..busy() }),
            (
                "mtu.black_hole",
                false,
                Facts { too_big: [2, 2], ..refused(busy(), Drop::TooBig, "10.1.0.2", "10.2.0.2", false) },
            ),
            (
                "mtu.black_hole",
                false,
                asking(|hops| *hops = Hops { prerouting: all(9), big_half: 4, big: 9, ..Hops::default() }),
            ),
            ("traffic.selectors", true, refused(idle(), Drop::NoPolicy, "10.9.0.2", "10.2.0.2", false)),
            ("traffic.selectors", true, refused(busy(), Drop::SelectorMismatch, "10.7.0.2", "10.1.0.2", true)),
            ("traffic.masquerade", true, asking(|hops| hops.postrouting = none(10))),
            ("traffic.masquerade", false, nothing_yet(asking(|hops| hops.postrouting = none(2)))),
            ("traffic.masquerade", false, Facts { shared: true, ..asking(|hops| hops.postrouting = none(10)) }),
            (
                "traffic.route",
                true,
                asking(|hops| *hops = Hops { prerouting: all(9), forward_past: 9, ..Hops::default() }),
            ),
            ("traffic.route", true, asking(|hops| *hops = Hops { output_past: 9, ..Hops::default() })),
            ("traffic.firewall", true, nothing_yet(asking(stopped(9)))),
            ("traffic.firewall", false, nothing_yet(asking(stopped(2)))),
            ("traffic.firewall", false, asking(stopped(9))),
            ("traffic.firewall", true, nothing_yet(asking(|hops| *hops = Hops { output: none(9), ..Hops::default() }))),
            ("traffic.firewall", false, asking(|hops| *hops = Hops { prerouting: none(9), ..Hops::default() })),
            ("traffic.firewall", true, nothing_yet(asked(|hops| hops.in_forward = none(9)))),
            ("traffic.firewall", false, asked(|hops| hops.in_forward = none(9))),
            ("traffic.firewall", true, nothing_yet(asked(|hops| (hops.in_forward, hops.in_input) = (all(0), none(9))))),
            ("traffic.forwarding", true, trial(asking(stops_in_routing), 0, no_forwarding)),
            ("traffic.rp_filter", true, filtered(trial(asking(stops_in_routing), 0, strict))),
            ("traffic.rp_filter", false, trial(asked(|hops| hops.in_forward = all(0)), 1, strict)),
            ("traffic.rp_filter", true, filtered(trial(asked(|hops| hops.in_forward = all(0)), 1, loose))),
            ("traffic.rp_filter", false, filtered(asked(|hops| hops.in_forward = all(0)))),
            ("traffic.rp_filter", false, filtered(trial(asking(stops_in_routing), 0, |t| t.rp_filter = Some(1)))),
            ("traffic.route", false, trial(asking(stops_in_routing), 0, |t| t.fate = Fate::Refused)),
            ("traffic.no_answer", false, asked(|_| {})),
            ("traffic.one_way", false, unanswered()),
            ("traffic.one_way", false, Facts { raw: true, ..unanswered() }),
            ("net.esp_blocked", false, Facts { raw: true, ..nothing_yet(unanswered()) }),
            ("traffic.one_way", false, blind(nothing_yet(unanswered()))),
            ("traffic.route", false, trial(nothing_yet(idle()), 0, |t| t.fate = past)),
            ("traffic.forwarding", false, trial(nothing_yet(idle()), 0, no_forwarding)),
            ("traffic.rp_filter", false, trial(nothing_yet(idle()), 1, strict)),
        ];
        for (at, (code, proven, facts)) in cases.iter().enumerate() {
            assert_eq!(codes(facts), [(*code, *proven)], "case {at}");
        }
    }

    #[test]
    fn a_source_that_is_our_own_was_put_there_by_a_firewall() {
        let mut facts = refused(idle(), Drop::NoPolicy, "192.0.2.1", "10.2.0.2", false);
        assert_eq!(codes(&facts), [("traffic.selectors", true)], "nobody changes sources here");
        facts.host.chains.insert("postrouting", vec!["ip nat POSTROUTING".into()]);
        assert_eq!(codes(&facts), [("traffic.masquerade", false)]);
        facts.host.hops = asking(|hops| hops.postrouting = none(10)).host.hops;
        assert_eq!(codes(&facts), [("traffic.masquerade", true)]);
    }

    #[test]
    fn values_say_what_was_seen_and_where() {
        let mut facts = asking(|hops| *hops = Hops { prerouting: all(9), forward: none(9), ..Hops::default() });
        let failure = judge(&facts).remove(0);
        assert_eq!(failure.local.get("packets"), ["9 before the rules of forward, 0 behind them"]);
        assert_eq!(failure.local.get("firewall"), ["ip filter FORWARD (policy drop)"]);
        assert_eq!((failure.connection.as_deref(), failure.child.as_deref()), (Some("a"), Some("lan")));
        assert_eq!((failure.phase, failure.remote), (Phase::Traffic, facts.remote));
        facts = trial(nothing_yet(idle()), 0, |t| (t.fate, t.forwarding) = (Fate::Dropped, Some(false)));
        let failure = judge(&facts).remove(0);
        assert_eq!(failure.local.get("settings"), ["net.ipv4.ip_forward = 0"]);
        assert_eq!(failure.local.get("routes"), ["10.1.0.2 > 10.2.0.1 in by eth1: dropped"]);
        facts = Facts { host: Host { unseen: vec!["routes: no".into()], ..Host::default() }, ..nothing_yet(busy()) };
        (facts.now, facts.sa) = (Passed { inwards: 0, outwards: 9 }, Sa::default());
        assert_eq!(judge(&facts).remove(0).local.get("unseen"), ["routes: no"], "where nobody could look it says so");
    }
}
