//! The simulated wire: two endpoints, a clock, and what happens to datagrams between them. Everything follows from the seed.
use super::super::channel::Channel;
use super::super::endpoint::Endpoint;
use super::super::event::{Command, Event, Host, Input, Output};
use super::super::exchange::Contents;
use super::super::policy::{Connection, Policy};
use super::super::sa::{Core, Established, Phase};

use super::{ALICE, BOB, addr};
use crate::crypto::cert::Crl;
use crate::crypto::rng::{Rng, SeededRng};
use crate::crypto::work::Work;
use crate::wire::message::Header;
use crate::wire::payload::Payload;
use crate::wire::registry::ExchangeType;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A host that answers from memory.
pub(super) struct TestHost {
    rng: SeededRng,
    pub addr: IpAddr,
    /// Its further addresses.
    pub others: Vec<IpAddr>,
    next_spi: u32,
    /// SPIs that were taken and not given back.
    pub spis: BTreeSet<u32>,
    pub names: HashMap<String, Vec<IpAddr>>,
    /// What they are once an answer to being asked again has come, and that one is on its way.
    pub renamed: HashMap<String, Vec<IpAddr>>,
    pub asked: bool,
    /// How often any was asked for again.
    pub questions: usize,
    /// No SPI is left.
    pub no_spis: bool,
    /// The wall clock.
    pub clock: Duration,
    /// First octets of what comes next with the length of a nonce.
    pub nonces: VecDeque<u8>,
}
impl Host for TestHost {
    fn random(&mut self, out: &mut [u8]) {
        self.rng.fill(out);
        if out.len() == 32
            && let Some(first) = self.nonces.pop_front()
        {
            out[0] = first;
        }
    }
    fn allocate_spi(&mut self, _connection: &str, _child: &str, _peer: u32, _resource: Option<u32>) -> Option<u32> {
        if self.no_spis {
            return None;
        }
        self.next_spi += 1;
        self.spis.insert(self.next_spi);
        Some(self.next_spi)
    }
    fn release_spi(&mut self, spi: u32) {
        assert!(self.spis.remove(&spi), "released twice: {spi}");
    }
    fn local_addr(&mut self, _remote: IpAddr) -> Option<IpAddr> {
        Some(self.addr)
    }
    fn local_addrs(&mut self) -> Vec<IpAddr> {
        [&[self.addr], self.others.as_slice()].concat()
    }
    fn resolve(&mut self, name: &str) -> Vec<IpAddr> {
        self.names.get(name).cloned().unwrap_or_default()
    }
    fn resolve_again(&mut self, name: &str) -> bool {
        self.questions += 1;
        self.asked |= self.renamed.contains_key(name);
        self.asked
    }
    fn reaches(&mut self, local: IpAddr, _remote: IpAddr) -> bool {
        self.local_addrs().contains(&local)
    }
    fn unix_time(&mut self) -> Duration {
        self.clock
    }
}

/// One endpoint with its host and all that it has said.
pub(super) struct Peer {
    pub endpoint: Endpoint,
    pub host: TestHost,
    pub events: Vec<Event>,
    pub keepalives: Vec<Duration>,
    pub computed: usize,
    /// Computations are kept here until somebody does them.
    pub held: Option<Vec<(u64, Work)>>,
    /// What was to be fetched, and what comes when it is.
    pub fetches: Vec<Vec<String>>,
    pub served: Vec<Arc<Crl>>,
}
impl Peer {
    pub(super) fn new(addr: IpAddr, seed: u64) -> Self {
        let first = 0x1000 * (seed as u32 % 1000 + 1);
        let mut host = TestHost {
            rng: SeededRng::new(seed),
            addr,
            others: Vec::new(),
            next_spi: first,
            spis: BTreeSet::new(),
            names: HashMap::new(),
            renamed: HashMap::new(),
            asked: false,
            questions: 0,
            no_spis: false,
            clock: crate::crypto::cert::tests::NOW,
            nonces: VecDeque::new(),
        };
        Self {
            endpoint: Endpoint::new(Duration::ZERO, &mut host),
            host,
            events: Vec::new(),
            keepalives: Vec::new(),
            computed: 0,
            held: None,
            fetches: Vec::new(),
            served: Vec::new(),
        }
    }
    /// Hands it one input and returns what it sends. Computations are done at once.
    pub(super) fn handle(&mut self, now: Duration, input: Input<'_>) -> Vec<Datagram> {
        let mut sent = Vec::new();
        self.endpoint.handle(now, input, &mut self.host);
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { local, remote, data, dont_fragment } => {
                    sent.push(Datagram { from: local, to: remote, data, dont_fragment });
                }
                Output::Keepalive { .. } => self.keepalives.push(now),
                Output::Event(event) => {
                    if let Event::ChildDown { .. } = &event {
                        let spi = self
                            .children()
                            .iter()
                            .find(|c| matches!(&event, Event::ChildDown { id, .. } if *id == c.id))
                            .map(|c| c.spi_in);
                        self.host.release_spi(spi.expect("a child that was up"));
                    }
                    self.events.push(event);
                }
                Output::Compute { job, work } => {
                    self.computed += 1;
                    if let Some(held) = &mut self.held {
                        held.push((job, work));
                        continue;
                    }
                    let done = work.run();
                    self.endpoint.handle(now, Input::Computed { job, done }, &mut self.host);
                }
                Output::Fetch { job, urls, .. } => {
                    self.fetches.push(urls);
                    let crls = self.served.clone();
                    self.endpoint.handle(now, Input::Fetched { job, crls }, &mut self.host);
                }
            }
        }
        if reborn() {
            self.endpoint.reborn();
        }
        sent
    }
}

impl Peer {
    /// Hands it a datagram while the computations take their time. Returns how many of them there are now.
    pub(super) fn handle_only(&mut self, now: Duration, d: &Datagram) -> usize {
        self.endpoint.handle(now, Input::Datagram { local: d.to, remote: d.from, data: &d.data }, &mut self.host);
        self.endpoint.common.jobs.len()
    }
    /// The computations are done.
    pub(super) fn finish(&mut self, now: Duration) -> Vec<Datagram> {
        self.handle(now, Input::Timer)
    }
}

/// `SANDHOG_FREEZE=every`: after every input another process goes on with the endpoint.
fn reborn() -> bool {
    static REBORN: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var("SANDHOG_FREEZE").is_ok_and(|when| when == "every"));
    *REBORN
}

/// A datagram on the wire.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub data: Vec<u8>,
    pub dont_fragment: bool,
}
impl Datagram {
    pub(super) fn header(&self) -> Header {
        Header::parse(&self.data).expect("we send whole messages")
    }
    pub(super) fn is(&self, exchange: ExchangeType, response: bool) -> bool {
        let h = self.header();
        h.exchange == exchange && h.response == response
    }
}

/// What the wire does to datagrams, in percent and milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub loss: u8,
    pub duplicate: u8,
    pub delay: u64,
    /// So much more delay for some, which reorders.
    pub jitter: u64,
}

/// Alice and Bob, and the wire between them.
pub(super) struct World {
    pub now: Duration,
    pub a: Peer,
    pub b: Peer,
    pub weather: Weather,
    /// Alice is behind this address: ports become port + offset.
    pub nat: Option<(IpAddr, u16)>,
    /// Which of her addresses is.
    pub nat_of: IpAddr,
    /// Every datagram that was sent, before the wire did anything to it.
    pub log: Vec<(Duration, Datagram)>,
    /// Datagrams that this says yes to are lost.
    pub drop: fn(&Datagram) -> bool,
    /// So many milliseconds more these take.
    pub slow: fn(&Datagram) -> u64,
    flying: BTreeMap<(Duration, u64), Datagram>,
    count: u64,
    rng: SeededRng,
}
impl World {
    /// Both with their policies, on a perfect wire.
    pub(super) fn new(alice: Policy, bob: Policy) -> Self {
        Self::seeded(1, alice, bob)
    }
    pub(super) fn seeded(seed: u64, alice: Policy, bob: Policy) -> Self {
        let mut world = Self {
            now: Duration::from_secs(1000),
            a: Peer::new(addr(ALICE), 2 * seed),
            b: Peer::new(addr(BOB), 2 * seed + 1),
            weather: Weather::default(),
            nat: None,
            nat_of: addr(ALICE),
            log: Vec::new(),
            drop: |_| false,
            slow: |_| 0,
            flying: BTreeMap::new(),
            count: 0,
            rng: SeededRng::new(seed ^ 0x5eed),
        };
        world.b.host.next_spi += 0x100_0000;
        world.command_b(Command::SetPolicy(Arc::new(bob)));
        world.command_a(Command::SetPolicy(Arc::new(alice)));
        world
    }
    /// One of the ends, by its address.
    pub(super) fn peer(&self, who: &str) -> &Peer {
        if who == ALICE { &self.a } else { &self.b }
    }
    /// The same.
    pub(super) fn peer_mut(&mut self, who: &str) -> &mut Peer {
        if who == ALICE { &mut self.a } else { &mut self.b }
    }
    /// Gives a command to one of the ends.
    pub(super) fn command(&mut self, who: &str, command: Command) {
        if who == ALICE { self.command_a(command) } else { self.command_b(command) }
    }
    /// Changes what only a test may change.
    pub(super) fn each_established(&mut self, who: &str, mut change: impl FnMut(&mut Established)) {
        for sa in self.peer_mut(who).endpoint.sas.values_mut() {
            if let Phase::Established(est) = &mut sa.phase {
                change(est);
            }
        }
    }
    /// The policy of what is established is another one now, as if it had always been.
    pub(super) fn reconfigure(&mut self, who: &str, change: impl Fn(&mut Connection)) {
        self.each_established(who, |est| {
            let mut connection = (*est.connection).clone();
            change(&mut connection);
            for child in &mut est.children {
                if let Some(policy) = connection.children.iter().find(|p| p.name == child.policy.name) {
                    child.policy = policy.clone();
                }
            }
            est.connection = Arc::new(connection);
        });
    }
    /// One end has forgotten its children.
    pub(super) fn lose_children(&mut self, who: &str) {
        self.each_established(who, |est| est.children.clear());
    }
    /// Both ends have come to this message id.
    pub(super) fn jump_ids(&mut self, next: u32) {
        for peer in [&mut self.a, &mut self.b] {
            peer.endpoint.sas.values_mut().for_each(|sa| sa.core.window.jump(next));
        }
    }
    pub(super) fn command_a(&mut self, command: Command) {
        self.input_a(Input::Command(command));
    }
    pub(super) fn command_b(&mut self, command: Command) {
        self.input_b(Input::Command(command));
    }
    pub(super) fn input_a(&mut self, input: Input<'_>) {
        let sent = self.a.handle(self.now, input);
        self.send(sent);
    }
    pub(super) fn input_b(&mut self, input: Input<'_>) {
        let sent = self.b.handle(self.now, input);
        self.send(sent);
    }
    /// Does the first computation that this end has to wait for.
    pub(super) fn compute(&mut self, who: &str) {
        let held = self.peer_mut(who).held.as_mut().expect("they are held back");
        let (job, work) = held.remove(0);
        let input = Input::Computed { job, done: work.run() };
        if who == ALICE { self.input_a(input) } else { self.input_b(input) }
    }
    /// Puts datagrams on the wire.
    pub(super) fn send(&mut self, datagrams: Vec<Datagram>) {
        for datagram in datagrams {
            self.log.push((self.now, datagram.clone()));
            if (self.drop)(&datagram) {
                continue;
            }
            let copies = if self.percent(self.weather.duplicate) { 2 } else { 1 };
            for _ in 0..copies {
                if self.percent(self.weather.loss) {
                    continue;
                }
                let jitter = if self.weather.jitter == 0 { 0 } else { self.random() % self.weather.jitter };
                let at = self.now + Duration::from_millis(self.weather.delay + jitter + (self.slow)(&datagram));
                self.count += 1;
                if let Some(translated) = self.translate(datagram.clone()) {
                    self.flying.insert((at, self.count), translated);
                }
            }
        }
    }
    /// `None`: the NAT has no such mapping.
    fn translate(&self, mut d: Datagram) -> Option<Datagram> {
        if let Some((outside, offset)) = self.nat {
            if d.from.ip() == self.nat_of {
                d.from = SocketAddr::new(outside, d.from.port() + offset);
            }
            if d.to.ip() == outside {
                let port = d.to.port().checked_sub(offset).filter(|p| [500, 4500].contains(p))?;
                d.to = SocketAddr::new(self.nat_of, port);
            }
        }
        Some(d)
    }
    /// Delivers what is in the air and runs timers until `until`; stops early when nothing is left to do.
    pub(super) fn run(&mut self, until: Duration) {
        while self.turn(until) {}
        self.now = self.now.max(until);
    }
    /// Lets so much time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.run(self.now + time);
    }
    /// One delivery or one deadline. False if the next one is later than `until`.
    pub(super) fn turn(&mut self, until: Duration) -> bool {
        let delivery = self.flying.keys().next().map(|k| k.0);
        let times = [delivery, self.a.endpoint.next_deadline(), self.b.endpoint.next_deadline()];
        let Some(next) = times.into_iter().flatten().min().filter(|next| *next <= until) else { return false };
        self.now = self.now.max(next);
        if delivery == Some(next) {
            let (_, d) = self.flying.pop_first().expect("there is one");
            self.deliver(&d);
        } else {
            self.input_a(Input::Timer);
            self.input_b(Input::Timer);
        }
        true
    }
    /// Gives a datagram to whom it is addressed.
    pub(super) fn deliver(&mut self, d: &Datagram) {
        let input = Input::Datagram { local: d.to, remote: d.from, data: &d.data };
        if self.a.host.local_addrs().contains(&d.to.ip()) {
            self.input_a(input);
        } else if self.b.host.local_addrs().contains(&d.to.ip()) {
            self.input_b(input);
        }
    }
    /// Takes everything out of the air.
    pub(super) fn hold(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.flying).into_values().collect()
    }
    /// Takes the first message out of the air that this end has sent.
    pub(super) fn catch(&mut self, from: &str) -> Datagram {
        let found = self.flying.iter().find(|(_, d)| d.from.ip() == addr(from)).map(|(key, _)| *key);
        let key = found.unwrap_or_else(|| panic!("nothing of {from} is in the air"));
        self.flying.remove(&key).expect("it was found")
    }
    /// Delivers the first message that this end has sent, and nothing else.
    pub(super) fn pass_on(&mut self, from: &str) -> Datagram {
        let datagram = self.catch(from);
        self.deliver(&datagram);
        datagram
    }
    /// How much of this end is in the air.
    pub(super) fn in_the_air(&self, from: &str) -> usize {
        self.flying.values().filter(|d| d.from.ip() == addr(from)).count()
    }
    /// What was sent from an address.
    pub(super) fn sent_by(&self, from: &str) -> Vec<&Datagram> {
        self.log.iter().map(|(_, d)| d).filter(|d| d.from.ip() == addr(from)).collect()
    }
    /// Alice says something of her own under her keys. Returns what is inside Bob's response, if there is one.
    pub(super) fn alice_asks(&mut self, exchange: ExchangeType, payloads: &[Payload]) -> Option<Contents> {
        let request = self.alice_seals(exchange, payloads);
        let sent =
            self.b.handle(self.now, Input::Datagram { local: request.to, remote: request.from, data: &request.data });
        let now = self.now;
        let (core, channel) = self.alices();
        let response = sent.iter().find(|d| d.header().response && d.header().exchange == exchange)?;
        core.settle(now);
        let opened = channel.open_within(now, 65_536, &response.data).ok()?;
        Contents::inside(&opened.inner).ok()
    }
    /// Bob's response to a request of Alice, with what he likes in it.
    pub(super) fn bob_answers(&mut self, request: &Datagram, payloads: &[Payload]) {
        let (core, channel) = self.bobs();
        let header = core.header(request.header().exchange, request.header().id, true);
        let sealed = channel.seal(header, payloads, usize::MAX);
        core.window.respond(sealed.clone());
        let data = sealed.datagrams()[0].clone();
        self.deliver(&Datagram { from: request.to, to: request.from, data, dont_fragment: false });
    }
    /// What Bob reads in a message of Alice.
    pub(super) fn bob_reads(&mut self, message: &Datagram) -> Contents {
        let now = self.now;
        let (_, channel) = self.bobs();
        let opened = channel.open_within(now, 65_536, &message.data).expect("it is sealed for him");
        Contents::inside(&opened.inner).expect("it is well-formed")
    }
    /// What Alice reads in a message of Bob.
    pub(super) fn alice_reads(&mut self, message: &Datagram) -> Contents {
        let now = self.now;
        let (_, channel) = self.alices();
        let opened = channel.open_within(now, 65_536, &message.data).expect("it is sealed for her");
        Contents::inside(&opened.inner).expect("it is well-formed")
    }
    /// The request alone.
    pub(super) fn alice_seals(&mut self, exchange: ExchangeType, payloads: &[Payload]) -> Datagram {
        let (core, channel) = self.alices();
        let header = core.header(exchange, core.window.next_id(), false);
        let data = channel.seal(header, payloads, usize::MAX).datagrams()[0].clone();
        Datagram { from: core.local, to: core.remote, data, dont_fragment: false }
    }
    /// The same in fragments, so that no message is longer than `room`; with this id.
    pub(super) fn alice_cuts(&mut self, id: u32, payloads: &[Payload], room: usize) -> Vec<Datagram> {
        let (core, channel) = self.alices();
        let header = core.header(ExchangeType::INFORMATIONAL, id, false);
        let (from, to) = (core.local, core.remote);
        let sealed = channel.seal(header, payloads, room);
        sealed.datagrams().iter().map(|data| Datagram { from, to, data: data.clone(), dont_fragment: false }).collect()
    }
    /// Gives Bob a datagram of Alice, and returns what he sends.
    pub(super) fn bob_gets(&mut self, d: &Datagram) -> Vec<Datagram> {
        self.b.handle(self.now, Input::Datagram { local: d.to, remote: d.from, data: &d.data })
    }
    /// Alice's IKE SA, and what protects it.
    pub(super) fn alices(&mut self) -> (&mut Core, &mut Channel) {
        let sa = self.a.endpoint.sas.values_mut().next().expect("an IKE SA");
        (&mut sa.core, sa.phase.channel().expect("an IKE SA with keys"))
    }
    /// Bob's.
    pub(super) fn bobs(&mut self) -> (&mut Core, &mut Channel) {
        let sa = self.b.endpoint.sas.values_mut().next().expect("an IKE SA");
        (&mut sa.core, sa.phase.channel().expect("an IKE SA with keys"))
    }
    pub(super) fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.rng.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
    fn percent(&mut self, n: u8) -> bool {
        n > 0 && self.random() % 100 < u64::from(n)
    }
}
