//! The machines, the wire between them, and the true time. Everything follows from the dice.
use super::check;
use super::dice::Dice;
use super::host::{Clock, Effects, Machine, Translator};
use super::plan::{Plan, Weather};
use super::tables::{Fate, Slot, Use};
use crate::crypto::work::Done;
use crate::ike::event::{ChildId, Command, Ended, Event, Input, Usage};
use crate::wire::message::Header;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// An SA that is still larval keeps its packets for this time.
const PARKED: Duration = Duration::from_secs(1);
/// More steps at one moment than this are a loop.
const MAX_STEPS: u32 = 10_000;

/// Of IPv4, UDP and the marker, and what a block cipher leaves free, at most.
const HEADERS: usize = 20 + 8 + 4 + 16;

/// An ESP packet.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    sender: usize,
    child: ChildId,
    spi: u32,
    key: Vec<u8>,
    number: u64,
    udp: bool,
    /// It must arrive and be opened.
    strict: bool,
}
/// Something that will happen.
enum Item {
    Ike { from: SocketAddr, to: SocketAddr, data: Vec<u8> },
    Esp { from: SocketAddr, to: SocketAddr, packet: Packet },
    Computed { machine: usize, life: u32, job: u64, done: Done },
    Traffic(usize),
    Boot(usize),
    Unpark { machine: usize, life: u32, packet: Packet },
    Command(usize, Command),
}
/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inputs of all endpoints.
    pub steps: u64,
    /// IKE messages.
    pub messages: u64,
    /// ESP packets that were opened.
    pub opened: u64,
    /// ESP packets that found no SA, and a reason why.
    pub lost: u64,
    /// IKE SAs that came up.
    pub ikes: u64,
    /// Children that came up.
    pub children: u64,
    /// Those of them that took the place of another.
    pub rekeyed: u64,
    /// IKE SAs that took the place of another.
    pub ikes_rekeyed: u64,
    /// Probes that were answered.
    pub probes: u64,
    /// Of all messages, in order.
    pub digest: u64,
}

impl Summary {
    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            messages: self.messages + other.messages,
            opened: self.opened + other.opened,
            lost: self.lost + other.lost,
            ikes: self.ikes + other.ikes,
            children: self.children + other.children,
            rekeyed: self.rekeyed + other.rekeyed,
            ikes_rekeyed: self.ikes_rekeyed + other.ikes_rekeyed,
            probes: self.probes + other.probes,
            digest: self.digest ^ other.digest,
        }
    }
}

/// Everything.
pub(super) struct World {
    pub now: Duration,
    pub machines: Vec<Machine>,
    pub weather: Weather,
    /// IKE messages that are longer are lost if they may not be fragmented.
    narrow: Option<usize>,
    /// A packet that is sealed from now on must be opened.
    pub strict: bool,
    /// Lifetimes are long.
    fair: bool,
    /// How often packets come from every machine; `None`: no more.
    pub traffic: Option<Duration>,
    pub summary: Summary,
    /// So long a machine neither sends nor receives.
    cut: Vec<(Duration, Duration)>,
    agenda: BTreeMap<(Duration, u64), Item>,
    count: u64,
    dice: Dice,
    sealed: check::Sealed,
    talkative: bool,
}
impl World {
    /// All machines are booted.
    pub(super) fn new(plan: Plan, dice: &mut Dice, talkative: bool) -> Self {
        let machine = |(i, place): (usize, super::plan::Place)| {
            let clock = Clock::new(Duration::from_secs(1000 * (i as u64 + 1)), place.rate);
            let mut machine = Machine::new(place.name, place.addr, i as u32 + 1, dice.seed(), clock, place.policy);
            machine.nat = place.outside.map(|outside| Translator { outside, offset: 0 });
            machine
        };
        let machines: Vec<_> = plan.hosts.into_iter().enumerate().map(machine).collect();
        let mut world = Self {
            now: Duration::ZERO,
            cut: vec![Default::default(); machines.len()],
            machines,
            weather: plan.weather,
            narrow: plan.narrow,
            strict: false,
            fair: plan.fair,
            traffic: Some(Duration::from_millis(300)),
            summary: Summary::default(),
            agenda: BTreeMap::new(),
            count: 0,
            dice: Dice::seeded(dice.seed()),
            sealed: check::Sealed::default(),
            talkative,
        };
        for i in 0..world.machines.len() {
            world.at(Duration::ZERO, Item::Boot(i));
            world.at(Duration::from_millis(100 * i as u64), Item::Traffic(i));
        }
        world
    }
    /// Tells what happens, if somebody wants to know.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.talkative {
            eprintln!("{:>9.3} {}", self.now.as_secs_f64(), what());
        }
    }
    fn at(&mut self, at: Duration, item: Item) {
        self.count += 1;
        self.agenda.insert((at.max(self.now), self.count), item);
    }

    /// Everything that is due until then.
    pub(super) fn run(&mut self, until: Duration) {
        let (mut moment, mut steps) = (self.now, 0);
        loop {
            let item = self.agenda.keys().next().map(|k| k.0);
            let timer = self.machines.iter().filter_map(Machine::deadline).min();
            let Some(next) = [item, timer].into_iter().flatten().min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            steps = if self.now == moment { steps + 1 } else { 0 };
            moment = self.now;
            assert!(steps < MAX_STEPS, "the clock stands still at {moment:?}");
            if item == Some(next) {
                let (_, item) = self.agenda.pop_first().expect("there is one");
                self.take(item);
            } else {
                let due = |m: &Machine| m.deadline().is_some_and(|at| at <= self.now);
                let machine = self.machines.iter().position(due).expect("somebody has this deadline");
                self.input(machine, Input::Timer);
            }
        }
        self.now = until;
    }
    fn take(&mut self, item: Item) {
        match item {
            Item::Ike { from, to, data } => self.ike_arrives(from, to, &data),
            Item::Esp { from, to, packet } => self.esp_arrives(from, to, packet),
            Item::Computed { machine, life, job, done } => {
                let m = &self.machines[machine];
                match m.asleep > self.now {
                    _ if m.life != life => {}
                    // Nothing that was computed is lost by a sleep.
                    true => self.at(m.asleep, Item::Computed { machine, life, job, done }),
                    false => self.input(machine, Input::Computed { job, done }),
                }
            }
            Item::Traffic(machine) => self.traffic(machine),
            Item::Boot(machine) => {
                if self.machines[machine].endpoint.is_none() {
                    self.say(|| format!("{} boots", self.machines[machine].name));
                    let effects = self.machines[machine].boot(self.now);
                    self.follow(machine, effects);
                }
            }
            Item::Unpark { machine, life, packet } => {
                if self.machines[machine].life == life {
                    self.open(machine, packet, None);
                }
            }
            Item::Command(machine, command) => self.command(machine, command),
        }
    }

    /// One input of a machine, and what follows.
    pub(super) fn input(&mut self, machine: usize, input: Input<'_>) {
        if !self.machines[machine].is_awake(self.now) {
            return;
        }
        self.summary.steps += 1;
        let effects = self.machines[machine].handle(self.now, input);
        self.follow(machine, effects);
    }
    pub(super) fn command(&mut self, machine: usize, command: Command) {
        self.say(|| format!("{} is told {}", self.machines[machine].name, in_short(&command)));
        self.input(machine, Input::Command(command));
    }
    /// The same command to a machine a little later.
    pub(super) fn command_in(&mut self, after: Duration, machine: usize, command: Command) {
        self.at(self.now + after, Item::Command(machine, command));
    }
    fn follow(&mut self, machine: usize, effects: Effects) {
        let name = self.machines[machine].name;
        let mut changed = false;
        for event in &effects.events {
            self.say(|| format!("{name}: {}", describe(event)));
            match event {
                Event::IkeUp { .. } => self.summary.ikes += 1,
                Event::IkeRekeyed { .. } => self.summary.ikes_rekeyed += 1,
                Event::ChildUp(up) => {
                    self.summary.children += 1;
                    self.summary.rekeyed += u64::from(up.replaces.is_some());
                    changed = true;
                }
                Event::Probed { sent, fits, .. } => {
                    self.summary.probes += 1;
                    let narrow = self.narrow.is_some_and(|most| usize::from(*sent) > most + HEADERS);
                    assert!(*fits != Some(true) || !narrow, "{name} was answered what has not arrived");
                }
                Event::ChildDown { .. } | Event::ChildLeaving { .. } | Event::PathChanged { .. } => changed = true,
                _ => {}
            }
        }
        for (job, work) in effects.jobs {
            let (life, done) = (self.machines[machine].life, work.run());
            let after = self.dice.millis(0..30);
            self.at(self.now + after, Item::Computed { machine, life, job, done });
        }
        for (local, remote, data, dont_fragment) in effects.sent {
            if dont_fragment && self.narrow.is_some_and(|most| data.len() > most) {
                self.sealed.message(&data);
                continue;
            }
            self.send_ike(machine, local, remote, data);
        }
        check::machine(&self.machines[machine], self.now);
        if changed {
            self.seal(machine);
        }
    }

    // The wire.

    fn send_ike(&mut self, machine: usize, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        self.summary.messages += 1;
        self.summary.digest = digest(self.summary.digest, &data);
        self.sealed.message(&data);
        let Some(from) = self.leaves(machine, from, true) else { return };
        for at in self.flights() {
            self.at(at, Item::Ike { from, to, data: data.clone() });
        }
    }
    /// When copies arrive.
    fn flights(&mut self) -> Vec<Duration> {
        let copies = if self.dice.percent(self.weather.duplicate) { 2 } else { 1 };
        let mut at = Vec::new();
        for _ in 0..copies {
            if !self.dice.percent(self.weather.loss) {
                at.push(
                    self.now + Duration::from_millis(self.weather.delay + self.dice.below(self.weather.jitter + 1)),
                );
            }
        }
        at
    }
    /// The source as the world sees it; `None`: it does not get out.
    fn leaves(&self, machine: usize, from: SocketAddr, translatable: bool) -> Option<SocketAddr> {
        let m = &self.machines[machine];
        if from.ip() != m.net.addr || self.cut[machine].0 > self.now {
            return None;
        }
        match m.nat {
            Some(nat) if translatable => Some(SocketAddr::new(nat.outside, from.port() + nat.offset)),
            Some(_) => None,
            None => Some(from),
        }
    }
    /// Whose it is, and the destination as that machine sees it.
    fn enters(&self, to: SocketAddr, translatable: bool) -> Option<(usize, SocketAddr)> {
        let public = |m: &Machine| m.nat.map_or(m.net.addr, |nat| nat.outside);
        let machine = self.machines.iter().position(|m| public(m) == to.ip())?;
        let m = &self.machines[machine];
        if !m.is_awake(self.now) || self.cut[machine].1 > self.now {
            return None;
        }
        match m.nat {
            Some(nat) => {
                let port = to.port().checked_sub(nat.offset).filter(|p| translatable && [500, 4500].contains(p))?;
                Some((machine, SocketAddr::new(m.net.addr, port)))
            }
            None => Some((machine, to)),
        }
    }
    fn ike_arrives(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let Some((machine, local)) = self.enters(to, true) else { return };
        self.say(|| format!("  {} <- {from} {}", self.machines[machine].name, headline(data)));
        self.input(machine, Input::Datagram { local, remote: from, data });
    }

    // The traffic.

    /// A packet for every slot of a machine, and what the data path tells the endpoint.
    fn traffic(&mut self, machine: usize) {
        let Some(every) = self.traffic else { return };
        let after = every + self.dice.millis(0..50);
        self.at(self.now + after, Item::Traffic(machine));
        if !self.machines[machine].is_awake(self.now) {
            return;
        }
        self.seal(machine);
        let m = &mut self.machines[machine];
        let seen = m.seen(self.now);
        let usage: Vec<Usage> = m.net.tables.pairs.iter().map(|(id, pair)| pair.usage(*id)).collect();
        let policy = m.policy.clone();
        let up: Vec<Slot> = m.net.tables.slots().into_iter().collect();
        if !seen.is_empty() {
            self.input(machine, Input::EspSeen(&seen));
        }
        if !usage.is_empty() && self.dice.percent(10) {
            self.input(machine, Input::EspUsage(&usage));
        }
        for connection in &policy.connections {
            for child in &connection.children {
                let missing = !up.iter().any(|(c, n, _, r)| *c == connection.name && *n == child.name && r.is_none());
                if missing && self.dice.percent(10) {
                    let (connection, child) = (connection.name.clone(), child.name.clone());
                    self.input(machine, Input::Acquire { connection, child });
                }
            }
        }
    }
    fn seal(&mut self, machine: usize) {
        let m = &mut self.machines[machine];
        m.net.tables.tick(m.clock.shows(self.now));
        let mut packets = Vec::new();
        for slot in m.net.tables.slots() {
            let Some(child) = m.net.tables.sending(&slot) else { continue };
            let pair = m.net.tables.pairs.get_mut(&child).expect("it was found");
            pair.sealed += 1;
            m.sealed.push(pair.spi_in);
            let packet = Packet {
                sender: machine,
                child,
                spi: pair.spi_out,
                key: pair.key_out.clone(),
                number: pair.sealed,
                udp: pair.path.udp,
                strict: self.strict,
            };
            packets.push((pair.path, packet));
        }
        for (path, packet) in packets {
            let from = self.leaves(machine, path.local, packet.udp);
            let flights = if from.is_some() { self.flights() } else { Vec::new() };
            assert!(!self.strict || !flights.is_empty(), "{packet:?} does not get out to {}", path.remote);
            for at in flights {
                let from = from.expect("it flies");
                self.at(at, Item::Esp { from, to: path.remote, packet: packet.clone() });
            }
        }
    }
    fn esp_arrives(&mut self, from: SocketAddr, to: SocketAddr, packet: Packet) {
        match self.enters(to, packet.udp) {
            Some((machine, local)) => self.open(machine, packet, Some((local, from))),
            None => assert!(!packet.strict, "{packet:?} reaches nobody at {to}"),
        }
    }
    /// `ends`: it has just come there from there, and may be parked. Without, it has been.
    fn open(&mut self, machine: usize, packet: Packet, ends: Option<(SocketAddr, SocketAddr)>) {
        let m = &mut self.machines[machine];
        m.net.tables.tick(m.clock.shows(self.now));
        match m.net.tables.open(packet.spi, &packet.key, packet.number) {
            Fate::Opened(child, newest) => {
                self.summary.opened += 1;
                m.opened.push(packet.spi);
                let path = m.net.tables.pairs.get(&child).map(|p| p.path);
                if let (Some(path), Some((_, from))) = (path, ends)
                    && newest
                    && path.may_move
                    && path.remote != from
                {
                    self.input(machine, Input::EspMoved { spi: packet.spi, remote: from });
                }
            }
            Fate::Parked if ends.is_some() => {
                let life = m.life;
                let spi = packet.spi;
                self.at(self.now + PARKED, Item::Unpark { machine, life, packet });
                self.input(machine, Input::LarvalHit(spi));
            }
            Fate::Parked => self.lost(machine, &packet, Use::Larval),
            Fate::Lost(what) => {
                self.lost(machine, &packet, what);
                if let Some((local, remote)) = ends {
                    self.input(machine, Input::UnknownSpi { spi: packet.spi, local, remote });
                }
            }
        }
    }
    /// What one end seals the other can open, unless
    /// - the receiver has been restarted since it gave the SPI;
    /// - the receiver still waits for the answer to its request (the packet was parked, and the answer is lost or late);
    /// - the child was taken down on purpose or with its IKE SA, and the sender has not learnt of it yet;
    /// - the receiver has given up the IKE SA in the middle of the exchange that made the child;
    /// - the child has gone with an IKE SA that another one made redundant, and the Delete of it is lost, or there was none, as after an
    ///   INITIAL_CONTACT: the end that has not heard of it uses it on (the one that has sent the Delete does not, see `check`);
    /// - the receiver's clock has leapt over the rest of the grace.
    ///
    /// Never, once the SPI was replaced on an IKE SA that both still have, and its grace is over. For a strict packet none of them counts, but
    /// that the lifetime of the child has ended before a rekey got through (R35), where lifetimes are short.
    fn lost(&mut self, machine: usize, packet: &Packet, what: Use) {
        let (to, from) = (self.machines[machine].name, self.machines[packet.sender].name);
        self.say(|| format!("  {to} cannot open {:08x} of {from}: {what:?}", packet.spi));
        let expired = what == Use::Gone(Ended::Expired) && !self.fair;
        assert!(
            expired || !(packet.strict && self.strict),
            "{to} cannot open what {from} has sealed: {what:?}, {packet:?}"
        );
        let excused = match what {
            Use::Forgotten | Use::Larval => true,
            Use::Gone(why) => why != Ended::Replaced,
            Use::Released | Use::Replaced => {
                !check::share_an_ike_sa(&self.machines[packet.sender], packet.child, &self.machines[machine])
            }
            // In the storm only; and not for longer than the grace would have been.
            Use::Leapt(_) => true,
            Use::Installed | Use::Grace { .. } => false,
        };
        assert!(excused, "{to} cannot open what {from} has sealed: {what:?}, {packet:?}");
        self.summary.lost += 1;
    }

    // What is done to machines.

    /// It forgets everything, and is there again after a while.
    pub(super) fn crash(&mut self, machine: usize, boot_after: Duration) {
        self.say(|| format!("{} crashes", self.machines[machine].name));
        self.machines[machine].crash();
        self.at(self.now + boot_after, Item::Boot(machine));
    }
    pub(super) fn sleep(&mut self, machine: usize, time: Duration) {
        self.say(|| format!("{} sleeps for {time:?}", self.machines[machine].name));
        let m = &mut self.machines[machine];
        m.asleep = self.now + time;
        m.missed += 2 * time;
    }
    pub(super) fn jump(&mut self, machine: usize, time: Duration) {
        self.say(|| format!("{}'s clock jumps by {time:?}", self.machines[machine].name));
        let m = &mut self.machines[machine];
        m.net.tables.tick(m.clock.shows(self.now));
        m.net.tables.leap(time);
        m.clock.jump(time);
        m.missed += time;
    }
    /// Nothing gets out, or in, or both.
    pub(super) fn cut(&mut self, machine: usize, time: Duration, (out, into): (bool, bool)) {
        self.say(|| format!("{} is cut off for {time:?}: {out} {into}", self.machines[machine].name));
        let until = self.now + time;
        let cut = &mut self.cut[machine];
        *cut = (if out { until } else { cut.0 }, if into { until } else { cut.1 });
    }
    /// The translator forgets its mappings, or the machine gets another address.
    pub(super) fn move_away(&mut self, machine: usize, addr: IpAddr) {
        self.say(|| format!("{} moves", self.machines[machine].name));
        match &mut self.machines[machine].nat {
            Some(nat) => nat.offset = (nat.offset + 100) % 2000,
            None => {
                self.machines[machine].net.addr = addr;
                self.input(machine, Input::AddrsChanged);
            }
        }
    }
    /// The wire is as good as new, and everybody is there, where he belongs.
    pub(super) fn heal(&mut self, weather: Weather) {
        self.say(|| "the weather is fine".into());
        self.weather = weather;
        self.cut.fill(Default::default());
        for i in 0..self.machines.len() {
            self.machines[i].asleep = self.now;
            let net = &self.machines[i].net;
            if net.addr != net.home {
                self.move_away(i, net.home);
            }
        }
    }
    /// No IKE message is on its way.
    pub(super) fn is_silent(&self) -> bool {
        !self
            .agenda
            .values()
            .any(|i| matches!(i, Item::Ike { .. } | Item::Computed { .. } | Item::Boot(_) | Item::Command(..)))
    }
}

fn digest(before: u64, data: &[u8]) -> u64 {
    data.iter().fold(before, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}
fn headline(data: &[u8]) -> String {
    let Ok(h) = Header::parse(data) else { return "?".into() };
    let (kind, side) = (if h.response { "response" } else { "request" }, if h.initiator { "I" } else { "R" });
    format!("{} {kind} {} {side} {}_{} {} octets", h.exchange, h.id, h.spi_i, h.spi_r, data.len())
}
fn in_short(command: &Command) -> String {
    match command {
        Command::SetPolicy(_) => "a policy".into(),
        other => format!("{other:?}"),
    }
}
fn describe(event: &Event) -> String {
    match event {
        Event::ChildUp(up) => format!(
            "{:?} is up: {} {} {:?} of {:?}, in {:08x} out {:08x}, replaces {:?}, initiator {}",
            up.id, up.connection, up.child, up.resource, up.ike, up.spi_in, up.spi_out, up.replaces, up.initiator
        ),
        Event::Failed(f) => format!("failed: {} {:?} {:?}", f.code, f.phase, f.notify),
        other => format!("{other:?}"),
    }
}
