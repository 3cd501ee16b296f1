//! One machine: its endpoint, its clock, its address and its tables.
use super::tables::{Tables, Use};
use crate::crypto::rng::{Rng, SeededRng};
use crate::crypto::work::Work;
use crate::ike::endpoint::Endpoint;
use crate::ike::event::{Command, Event, Host, IkeId, Input, Output, Seen};
use crate::ike::policy::Policy;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A clock of its own: it may run fast or slow, and jump ahead, as one does that counts a suspension. It never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    ahead: Duration,
    /// Thousandths of the true speed.
    rate: u32,
}
impl Clock {
    pub(super) fn new(ahead: Duration, rate: u32) -> Self {
        Self { ahead, rate }
    }
    /// What it shows at this true time.
    pub(super) fn shows(&self, at: Duration) -> Duration {
        self.ahead + at * self.rate / 1000
    }
    /// The true time at which it shows this, or a moment later; now if that is past.
    pub(super) fn when(&self, shown: Duration) -> Duration {
        let nanos = shown.saturating_sub(self.ahead).as_nanos() * 1000;
        Duration::from_nanos(nanos.div_ceil(u128::from(self.rate)) as u64)
    }
    pub(super) fn jump(&mut self, by: Duration) {
        self.ahead += by;
    }
}
/// An address translator before a host: its ports are moved by an offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Translator {
    pub outside: IpAddr,
    pub offset: u16,
}
/// What the endpoint asks of its host.
pub(super) struct Net {
    rng: SeededRng,
    pub addr: IpAddr,
    /// Where it is in the end.
    pub home: IpAddr,
    pub tables: Tables,
    next_spi: u32,
}
impl Host for Net {
    fn random(&mut self, out: &mut [u8]) {
        self.rng.fill(out);
    }
    fn allocate_spi(&mut self, _connection: &str, _child: &str, _peer: u32, _resource: Option<u32>) -> Option<u32> {
        self.next_spi += 1;
        self.tables.spis.insert(self.next_spi, Use::Larval);
        Some(self.next_spi)
    }
    fn release_spi(&mut self, spi: u32) {
        let before = self.tables.spis.insert(spi, Use::Released);
        assert_eq!(before, Some(Use::Larval), "SPI {spi:08x} is given back");
    }
    fn local_addr(&mut self, _remote: IpAddr) -> Option<IpAddr> {
        Some(self.addr)
    }
    fn local_addrs(&mut self) -> Vec<IpAddr> {
        vec![self.addr]
    }
    fn reaches(&mut self, local: IpAddr, _remote: IpAddr) -> bool {
        local == self.addr
    }
    fn resolve(&mut self, _name: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// One machine.
pub(super) struct Machine {
    pub name: &'static str,
    /// `None` while it is being booted.
    pub endpoint: Option<Endpoint>,
    pub net: Net,
    pub clock: Clock,
    pub nat: Option<Translator>,
    pub policy: Arc<Policy>,
    /// As it was in the beginning.
    pub planned: Arc<Policy>,
    /// Counts the boots.
    pub life: u32,
    /// It does nothing and hears nothing until then.
    pub asleep: Duration,
    /// So much of its time has passed without it.
    pub missed: Duration,
    /// IKE SAs that are up, as the events tell it.
    pub ikes: BTreeMap<IkeId, Arc<str>>,
    /// Inbound SPIs of what has opened and of what has sealed packets, since this was last told.
    pub opened: Vec<u32>,
    pub sealed: Vec<u32>,
    /// When, by its clock.
    pub told: Duration,
    /// A shutdown is over.
    pub drained: bool,
    /// Probes that are not answered yet.
    pub probes: Vec<(IkeId, u16)>,
    /// After so many inputs each time another process goes on with the endpoint; 0: never.
    pub reborn_every: u64,
    inputs: u64,
}
/// What a step of a machine leads to elsewhere.
#[derive(Default)]
pub(super) struct Effects {
    /// From where, to where, what, and whether in one piece.
    pub sent: Vec<(SocketAddr, SocketAddr, Vec<u8>, bool)>,
    pub jobs: Vec<(u64, Work)>,
    pub events: Vec<Event>,
}

impl Machine {
    pub(super) fn new(name: &'static str, addr: IpAddr, number: u32, seed: u64, clock: Clock, policy: Policy) -> Self {
        let (rng, policy) = (SeededRng::new(seed), Arc::new(policy));
        Self {
            name,
            endpoint: None,
            net: Net { rng, addr, home: addr, tables: Tables::default(), next_spi: number << 24 },
            clock,
            nat: None,
            planned: policy.clone(),
            policy,
            life: 0,
            asleep: Duration::ZERO,
            missed: Duration::ZERO,
            ikes: BTreeMap::new(),
            opened: Vec::new(),
            sealed: Vec::new(),
            told: Duration::ZERO,
            drained: false,
            probes: Vec::new(),
            reborn_every: 0,
            inputs: 0,
        }
    }
    /// Power goes: everything is forgotten.
    pub(super) fn crash(&mut self) {
        self.endpoint = None;
        self.life += 1;
        self.ikes.clear();
        self.opened.clear();
        self.sealed.clear();
        self.probes.clear();
        self.net.tables.forget();
    }
    /// Power comes back.
    pub(super) fn boot(&mut self, now: Duration) -> Effects {
        self.drained = false;
        self.endpoint = Some(Endpoint::new(self.clock.shows(now), &mut self.net));
        self.handle(now, Input::Command(Command::SetPolicy(self.policy.clone())))
    }
    /// What was seen of ESP.
    pub(super) fn seen(&mut self, now: Duration) -> Seen {
        let since = std::mem::replace(&mut self.told, self.clock.shows(now));
        let (heard, mut unanswered) = (std::mem::take(&mut self.opened), std::mem::take(&mut self.sealed));
        let sent = unanswered.clone();
        unanswered.retain(|spi| !heard.contains(spi));
        Seen { since, heard, unanswered, sent }
    }
    /// It can hear and do something.
    pub(super) fn is_awake(&self, now: Duration) -> bool {
        self.endpoint.is_some() && self.asleep <= now
    }
    /// When it has something to do on its own.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let shown = self.endpoint.as_ref()?.next_deadline()?;
        Some(self.clock.when(shown).max(self.asleep))
    }
    /// Hands it one input, and does what it says.
    pub(super) fn handle(&mut self, now: Duration, input: Input<'_>) -> Effects {
        let mut effects = Effects::default();
        let shown = self.clock.shows(now);
        self.net.tables.tick(shown);
        let Some(endpoint) = &mut self.endpoint else { return effects };
        if let Input::Command(Command::Probe { ike, size }) = input {
            self.probes.push((ike, size));
        }
        endpoint.handle(shown, input, &mut self.net);
        let mut events = Vec::new();
        while let Some(output) = endpoint.poll() {
            match output {
                Output::Transmit { local, remote, data, dont_fragment } => {
                    effects.sent.push((local, remote, data, dont_fragment));
                }
                Output::Keepalive { .. } | Output::Fetch { .. } => {}
                Output::Compute { job, work } => effects.jobs.push((job, work)),
                Output::Event(event) => events.push(event),
            }
        }
        self.inputs += 1;
        if self.reborn_every > 0 && self.inputs.is_multiple_of(self.reborn_every) {
            endpoint.reborn();
        }
        events.iter().for_each(|event| self.note(shown, event));
        effects.events = events;
        effects
    }
    fn note(&mut self, now: Duration, event: &Event) {
        match event {
            Event::IkeUp { ike, connection, .. } => {
                assert!(self.ikes.insert(*ike, connection.clone()).is_none(), "an IKE SA comes up twice");
            }
            Event::IkeDown { ike, .. } => {
                assert!(self.ikes.remove(ike).is_some(), "an IKE SA goes down that was not up");
                let orphan = self.net.tables.pairs.values().find(|p| p.ike == *ike);
                assert!(orphan.is_none(), "an IKE SA goes down before its child {:?}", orphan.map(|p| &p.slot));
            }
            Event::IkeRekeyed { old, new, .. } => {
                let connection = self.ikes.remove(old).expect("what is rekeyed was up");
                self.ikes.insert(*new, connection);
                self.net.tables.pairs.values_mut().filter(|p| p.ike == *old).for_each(|p| p.ike = *new);
            }
            Event::ChildUp(up) => {
                assert!(self.ikes.contains_key(&up.ike), "a child of no IKE SA comes up");
                self.net.tables.child_up(now, up);
            }
            Event::ChildDown { id, why, .. } => self.net.tables.child_down(now, *id, *why),
            Event::ChildLeaving { id } => self.net.tables.child_leaving(*id),
            Event::PathChanged { ike, path } => self.net.tables.path_changed(*ike, *path),
            Event::Probed { ike, size, .. } => {
                let asked = self.probes.iter().position(|probe| *probe == (*ike, *size));
                self.probes.swap_remove(asked.expect("an answer to nothing, or a second one"));
            }
            Event::Drained => self.drained = true,
            Event::Larval { .. }
            | Event::Addresses { .. }
            | Event::KeyLog(_)
            | Event::Failed(_)
            | Event::Noticed(_)
            | Event::Examined(_)
            | Event::NotExamined { .. }
            | Event::Examining { .. }
            | Event::Warning { .. } => {}
        }
    }
}
