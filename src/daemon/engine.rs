//! The engine thread: one input into the endpoint, drain its outputs, and again.
//!
//! In each turn: signals, what other threads have done, orders of the API, upcalls of the workers, the sockets, IKE messages (known SAs
//! first), timers. It waits for nothing but its one poll.
mod adopt;
mod board;
mod doctoring;
mod figures;
mod frozen;
mod metered;
mod paths;
#[cfg(test)]
mod played;
mod probing;
mod reload;
mod requests;
mod tapped;
mod traffic;
mod upgrade;

use super::DEVICE;
use super::ceiling;
use super::changes::Changes;
use super::clock;
use super::compute::{Job, Pool};
use super::devices::Devices;
use super::doctor::History;
use super::expiry;
use super::fetch::Fetcher;
use super::handover::DoorHandle;
use super::handover::give::Giver;
use super::handover::take::Front;
use super::hints::Hints;
use super::hook::Hook;
use super::host::DaemonHost;
use super::install::Installer;
use super::journal::Journal;
use super::keylog::Keylog;
use super::lanes::Lanes;
use super::leases::Leases;
use super::mtu::Mtus;
use super::network::Network;
use super::pending::Pending;
use super::probes::{self, Probes};
use super::sockets::Sockets;
use super::status;
use super::traps::Traps;
use super::workers::{UPCALLS, Workers};
use crate::config::Config;
use crate::config::remedy::Known;
use crate::control::config::Keeper;
use crate::control::metrics::listener::Listener;
use crate::control::metrics::meter::Meter;
use crate::control::request::Request;
use crate::crypto::rng::SystemRng;
use crate::dataplane::Upcall;
use crate::ike::diagnose::Failure;
use crate::ike::endpoint::Endpoint;
use crate::ike::event::{ChildId, Command, Event, Input, Output, Usage};
use crate::io::fds::{EventFd, Poll, Signal, Signals};
use crate::io::monitor::Monitor;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

const WAKE: u64 = 0;
const SIGNALS: u64 = 1;
const MONITOR: u64 = 2;
const ICMP: [u64; 2] = [3, 4];
const SOCKETS: u64 = 5;

/// Changes of addresses and routes come in crowds: so long after the first of them they are looked at together.
const SETTLE: Duration = Duration::from_millis(200);
/// Peers have this long to answer our last words; the endpoint itself gives them 2 s.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Two signals within this time are one.
const ONE_WORD: Duration = Duration::from_millis(250);

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// File of the configuration.
    pub path: PathBuf,
    /// The configuration in force.
    pub config: Config,
    /// The endpoint's host.
    pub host: DaemonHost,
    /// Writes the tables.
    pub installer: Installer,
    /// Routes, rules and the guard.
    pub network: Network,
    /// Of connections' own.
    pub devices: Devices,
    /// The engine's sockets.
    pub sockets: Sockets,
    /// Public-key work.
    pub pool: Pool,
    /// Revocation lists.
    pub fetcher: Fetcher,
    /// Somebody's program that is told of changes.
    pub hook: Option<Hook>,
    /// The data path.
    pub workers: Workers,
    /// From the API.
    pub requests: Receiver<Request>,
    /// Events.
    pub journal: Journal,
    /// What is counted for metrics.
    pub meter: Arc<Meter>,
    /// Signalled when a channel has something.
    pub wake: Arc<EventFd>,
    /// SIGTERM and its like.
    pub signals: Signals,
    /// Who has started us, and why there was nothing to take over if there was to be something.
    pub front: (Option<Front>, Option<String>),
    /// Ways to us, for who takes over.
    pub doors: Vec<DoorHandle>,
    /// For Prometheus.
    pub metrics: Option<Arc<Listener>>,
    /// Host settings that would eat packets.
    pub warnings: Vec<String>,
    /// What is to be known of the configuration in force.
    pub notes: Vec<String>,
    /// Reads the files again on SIGHUP.
    pub keeper: Keeper,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    parts: Parts,
    endpoint: Endpoint,
    poll: Poll,
    /// Tells of changes of addresses and routes, and when they are to be looked at.
    monitor: Option<Monitor>,
    changed_at: Option<Duration>,
    mtus: Mtus,
    hints: Hints,
    lanes: Lanes,
    pending: Pending,
    traps: Traps,
    leases: Leases,
    changes: Changes,
    keylog: Keylog,
    /// Monitors of children, and the connections that stay down because of them.
    probes: Probes,
    holds: traffic::Holds,
    started: Duration,
    /// ESP was looked at.
    looked: Duration,
    /// And is looked at again after this.
    look_interval: Duration,
    /// Certificates are looked at again.
    expiry_at: Duration,
    /// Something happened that somebody may be waiting for.
    dirty: bool,
    /// What the API shows of connections.
    pictures: board::Pictures,
    /// What we know of connections before the endpoint does.
    noted: HashMap<Arc<str>, Failure>,
    /// What went wrong until now.
    history: History,
    /// SAs on which nothing can be opened, that were told of.
    faulty: BTreeSet<ChildId>,
    asked: metered::Asked,
    /// Who waits for what a peer is asked.
    askers: HashMap<Arc<str>, probing::Asker>,
    /// When we stop whatever the peers say.
    stop_at: Option<Duration>,
    drained: bool,
    giver: Giver,
    /// Routes are as the daemon before has left them; they are made ours then.
    unsettled: Option<Duration>,
    /// An heir waits for what we know, and for so long for the hook.
    prepared: Option<Duration>,
    upgraders: upgrade::Waiting,
    /// Nothing more is done.
    end: Option<End>,
}

/// How the engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was told.
    Told,
    /// The device went away under it, or a worker that reads it.
    LostDevice,
    /// Another daemon goes on with all that was ours.
    HandedOver,
    /// Who has started us is gone.
    Alone,
}

impl Engine {
    /// Nothing happens before [`Self::run`].
    pub fn new(mut parts: Parts) -> io::Result<Self> {
        let now = clock::now();
        let poll = Poll::new()?;
        poll.add(&*parts.wake, WAKE)?;
        poll.add(&parts.signals, SIGNALS)?;
        for (token, socket) in (SOCKETS..).zip(parts.sockets.iter()) {
            poll.add(socket, token)?;
        }
        let monitor = Monitor::open()
            .inspect_err(|error| tracing::warn!(%error, "changes of addresses and routes will not be noticed"))
            .ok();
        if let Some(monitor) = &monitor {
            poll.add(monitor, MONITOR)?;
        }
        parts.network.is_told = monitor.is_some();
        parts.network.aside = parts.devices.links();
        parts.host.addresses = parts.network.addresses();
        let hints = Hints::open(&poll, ICMP)?;
        let (front, lost) = std::mem::take(&mut parts.front);
        let giver = Giver::new(now, &poll, front, lost)?;
        Ok(Self {
            mtus: Mtus::new(ceiling::of_path, parts.config.gateway.mark),
            hints,
            endpoint: Endpoint::new(now, &mut parts.host),
            keylog: Keylog::of(&parts.config),
            parts,
            poll,
            monitor,
            changed_at: None,
            lanes: Lanes::default(),
            pending: Pending::default(),
            traps: Traps::default(),
            leases: Leases::default(),
            changes: Changes::default(),
            probes: Probes::default(),
            holds: traffic::Holds::default(),
            started: now,
            looked: now,
            look_interval: Duration::MAX,
            expiry_at: now,
            dirty: true,
            pictures: board::Pictures::default(),
            noted: HashMap::new(),
            history: History::default(),
            faulty: BTreeSet::new(),
            asked: metered::Asked::default(),
            askers: HashMap::new(),
            stop_at: None,
            drained: false,
            giver,
            unsettled: None,
            prepared: None,
            upgraders: upgrade::Waiting::new(),
            end: None,
        })
    }

    /// Runs until a signal has ended it.
    pub fn run(&mut self) -> io::Result<End> {
        self.begin_policy(clock::now());
        let mut ready = Vec::new();
        loop {
            let timeout = self.timeout(clock::now());
            self.poll.wait(&mut ready, Some(timeout))?;
            let begun = clock::now();
            self.turn(begun, &ready);
            self.meter_turn(clock::now() - begun);
            if let Some(end) = self.end {
                return Ok(end);
            }
            if self.stop_at.is_some_and(|at| self.drained || at <= clock::now()) {
                return Ok(End::Told);
            }
        }
    }

    /// The configuration in force is that of the endpoint from here on, whatever it was handed over with.
    fn begin_policy(&mut self, now: Duration) {
        self.set_policy(now);
        drop(self.endpoint.adopted());
        self.review_holds(now);
    }

    fn set_policy(&mut self, now: Duration) {
        self.meter_config();
        let policy = self.parts.sockets.carry(&self.parts.config.policy);
        self.look_interval = policy.look_interval();
        self.probes.configure(now, &self.parts.config, &self.poll);
        self.pictures.configure(&self.parts.config);
        self.feed(now, Input::Command(Command::SetPolicy(policy)));
    }

    /// The parts, to be taken to pieces in order.
    pub fn into_parts(self) -> Parts {
        self.parts
    }

    fn turn(&mut self, now: Duration, ready: &[u64]) {
        if ready.contains(&SIGNALS) {
            self.signals(now);
        }
        // Whoever has something for us says so afterwards.
        if ready.contains(&WAKE) {
            self.parts.wake.drain();
            self.results(now);
            self.requests(now);
            self.upcalls(now);
        }
        for token in ready.iter().filter(|token| (SOCKETS..probes::TOKENS).contains(token)) {
            self.parts.sockets.receive((token - SOCKETS) as usize, &mut self.lanes, &self.endpoint);
        }
        if ready.contains(&MONITOR) && self.monitor.as_ref().is_some_and(Monitor::drain) {
            self.changed_at.get_or_insert(now + SETTLE);
        }
        self.lanes.refill();
        while let Some(message) = self.lanes.pop() {
            let (local, remote, data) = (message.local, message.remote, &message.data);
            self.show(now, false, (local, remote), data);
            self.feed(now, Input::Datagram { local, remote, data });
        }
        self.timers(now);
        self.probe(now, ready);
        self.watch_paths(now, ready);
        self.follow_upgrade(now, ready);
        self.answer_pending(now);
        self.paint();
    }

    /// How long nothing will be due.
    fn timeout(&self, now: Duration) -> Duration {
        if !self.lanes.is_empty() || self.pictures.are_awaited() {
            return Duration::ZERO;
        }
        let dues = [
            self.endpoint.next_deadline(),
            self.parts.installer.deadline(),
            self.pending.deadline(),
            self.stop_at,
            self.changed_at,
            self.mtus.deadline(),
            self.hints.deadline(),
            self.parts.installer.has_any().then(|| self.looked.saturating_add(self.look_interval)),
            Some(self.expiry_at),
            Some(self.parts.network.deadline()),
            self.probes.deadline(),
            self.holds.deadline(),
            self.parts.devices.deadline(),
            self.giver.deadline(),
            self.unsettled,
            self.turn_at(now),
        ];
        dues.into_iter().flatten().min().unwrap_or(now).saturating_sub(now)
    }

    fn feed(&mut self, now: Duration, input: Input<'_>) {
        self.endpoint.handle(now, input, &mut self.parts.host);
        for output in messages_last(std::iter::from_fn(|| self.endpoint.poll())) {
            match output {
                Output::Transmit { local, remote, data, dont_fragment } => {
                    self.show(now, true, (local, remote), &data);
                    self.parts.sockets.send(local, remote, &data, dont_fragment);
                }
                Output::Keepalive { local, remote } => self.parts.sockets.send_raw(local, remote, &[0xff], false),
                Output::Compute { job, work } => self.parts.pool.submit(Job { job, work }),
                Output::Fetch { job, urls, allowed } => self.parts.fetcher.ask(job, urls, allowed),
                Output::Event(event) => self.event(now, &event),
            }
        }
    }

    fn event(&mut self, now: Duration, event: &Event) {
        self.dirty = true;
        self.measure(now, event);
        self.parts.journal.tell(now, event);
        self.keylog.tell(event);
        for change in self.changes.note(event) {
            self.parts.journal.tell_change(now, &change);
            if let Some(hook) = &mut self.parts.hook {
                hook.tell(&change);
            }
        }
        self.traps.note(&self.parts.config.policy, event);
        self.probes.note(now, event, &self.poll);
        self.parts.devices.note(event);
        let Parts { installer, host, workers, network, .. } = &mut self.parts;
        if self.leases.note(event) {
            network.give(&self.leases.ours());
        }
        match event {
            Event::IkeUp { connection, .. } => drop(self.noted.remove(connection)),
            Event::IkeDown { ike, .. } => {
                installer.ike_down(*ike);
                self.mtus.ike_down(*ike);
            }
            Event::IkeRekeyed { old, new, .. } => {
                installer.ike_rekeyed(*old, *new);
                self.mtus.ike_rekeyed(*old, *new);
            }
            Event::ChildUp(up) => {
                installer.child_up(now, up, &mut host.places, &mut SystemRng);
                self.mtus.child_up(now, up, installer);
                workers.installed(installer.unheard(up));
            }
            Event::ChildDown { id, why, .. } => {
                self.mtus.child_down(*id);
                installer.child_down(now, *id, *why, &mut host.places);
            }
            Event::ChildLeaving { id } => installer.child_leaving(*id),
            Event::PathChanged { ike, path } => {
                installer.path_changed(*ike, path);
                self.mtus.path_changed(now, *ike, path, installer);
            }
            Event::Probed { ike, size, sent, fits } => {
                let changed = self.mtus.probed(now, *ike, (*size, *sent), *fits);
                changed.into_iter().for_each(|changed| self.mtu_changed(now, &changed));
            }
            Event::Failed(failure) => {
                self.history.note(failure);
                // What a peer tried and failed at is no answer to who waits for an attempt of ours.
                if let Some(connection) = failure.connection.as_deref().filter(|_| failure.initiator) {
                    let told = status::failure(
                        failure,
                        Known { secrets: &self.parts.config.policy.secrets, ..Known::default() },
                    );
                    self.pending.failed(connection, failure.child.as_deref(), &told);
                }
            }
            Event::Noticed(failure) => self.history.note(failure),
            // It may have been given up before we hear of it.
            Event::Larval { spi } if host.places.holds(*spi) => installer.larval(*spi),
            Event::Larval { .. } => {}
            Event::Examined(_) | Event::NotExamined { .. } => self.examined(event),
            Event::Examining { .. } => {}
            Event::Addresses { .. } | Event::KeyLog(_) | Event::Warning { .. } => {}
            Event::Drained => self.drained = true,
        }
    }

    fn signals(&mut self, now: Duration) {
        while let Some(signal) = self.parts.signals.next() {
            match signal {
                Signal::Hangup if self.parts.keeper.reload() => {}
                Signal::Hangup => tracing::warn!("too much is to be changed already: the files are not read again"),
                Signal::Child => {}
                Signal::Terminate | Signal::Interrupt if self.stop_at.is_some() => {
                    // One Ctrl-C comes from the terminal and, again, from who has started us.
                    self.drained |= self.stop_at.is_some_and(|at| at + ONE_WORD <= now + PATIENCE);
                }
                Signal::Terminate | Signal::Interrupt => {
                    tracing::info!("stopping: telling the peers");
                    self.stop_at = Some(now + PATIENCE);
                    self.pending.stop();
                    self.feed(now, Input::Command(Command::Shutdown));
                }
            }
        }
    }

    fn results(&mut self, now: Duration) {
        while let Some((job, done)) = self.parts.pool.next() {
            self.feed(now, Input::Computed { job, done });
        }
        while let Some((job, crls)) = self.parts.fetcher.next() {
            self.feed(now, Input::Fetched { job, crls });
        }
        if let names @ [_, ..] = self.parts.host.resolved().as_slice() {
            self.feed(now, Input::Resolved(names));
        }
    }

    /// As many as may wait at a time: workers that go on talking must not keep timers and sockets from their turn.
    fn upcalls(&mut self, now: Duration) {
        for _ in 0..UPCALLS {
            let Some(upcall) = self.parts.workers.next() else { return };
            self.upcall(now, upcall);
        }
        self.parts.wake.signal();
    }

    fn upcall(&mut self, now: Duration, upcall: Upcall) {
        match upcall {
            Upcall::Ike { local, remote, data } => {
                self.lanes.push(self.endpoint.is_ours(&data), local, remote, &data);
            }
            Upcall::Acquire { name } => {
                let Some((connection, child)) = name.split_once('/') else { return };
                if !self.traps.has(&self.parts.config.policy, &name) {
                    return;
                }
                self.dirty = true;
                self.feed(now, Input::Acquire { connection: connection.into(), child: child.into() });
            }
            Upcall::Moved { spi, remote } => self.feed(now, Input::EspMoved { spi, remote }),
            Upcall::FirstPacket { spi } => self.parts.installer.first_packet(spi),
            // The endpoint asked for this packet's keys: its answer is late or lost.
            Upcall::Larval { spi } => self.feed(now, Input::LarvalHit(spi)),
            Upcall::UnknownSpi { spi, local, remote } => self.feed(now, Input::UnknownSpi { spi, local, remote }),
            Upcall::Exhausting { slot } => {
                let usage = self.parts.installer.usage(slot);
                self.tell_usage(now, &usage);
            }
            Upcall::DeviceLost { device, generation } if device != DEVICE => {
                self.parts.devices.lost(now, device, generation);
            }
            Upcall::Mark => {}
            Upcall::DeviceLost { device, .. } => {
                tracing::error!(
                    device = device.0,
                    "the network device was taken away, or a worker ended; stopping, so that all can be set up anew"
                );
                self.end = Some(End::LostDevice);
            }
        }
    }

    fn timers(&mut self, now: Duration) {
        // First: it may be all that keeps a liveness check from being due.
        if now.saturating_sub(self.looked) >= self.look_interval {
            let since = std::mem::replace(&mut self.looked, now);
            let (seen, usage) = self.parts.installer.look(since);
            self.mtus.seen(now, &seen, &usage);
            if !seen.is_empty() {
                self.feed(now, Input::EspSeen(&seen));
            }
            self.tell_usage(now, &usage);
            self.watch_faults(now);
        }
        if self.endpoint.next_deadline().is_some_and(|at| at <= now) {
            self.dirty = true;
            self.feed(now, Input::Timer);
        }
        if self.changed_at.is_some_and(|at| at <= now) {
            self.changed_at = None;
            self.parts.network.aside = self.parts.devices.links();
            self.parts.host.addresses = self.parts.network.addresses();
            self.parts.network.hurry();
            self.mtus.review();
            self.feed(now, Input::AddrsChanged);
        }
        if self.expiry_at <= now {
            self.expiry_at = now + expiry::AGAIN;
            let events = expiry::events(&self.parts.config.policy, clock::unix());
            events.iter().for_each(|event| self.event(now, event));
            self.pictures.touch_all();
        }
        self.parts.installer.tick(now, &mut self.parts.host.places);
        self.remake_overdue(now);
        self.settle_in(now);
        self.parts.network.tick(now);
        self.parts.devices.tick(now);
        for event in self.parts.devices.news() {
            self.event(now, &event);
        }
    }

    fn tell_usage(&mut self, now: Duration, usage: &[Usage]) {
        if !usage.is_empty() {
            self.feed(now, Input::EspUsage(usage));
        }
    }
}

/// Everything else first: a peer acts on our answer as soon as it has it, so by then nothing may be sent on what it has deleted, and what it
/// was told of must be received.
fn messages_last(outputs: impl Iterator<Item = Output>) -> Vec<Output> {
    let is_message = |output: &Output| matches!(output, Output::Transmit { .. } | Output::Keepalive { .. });
    let (messages, mut ordered): (Vec<_>, Vec<_>) = outputs.partition(is_message);
    ordered.extend(messages);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our answer to a Delete comes out of the endpoint before the child's end.
    #[test]
    fn the_tables_follow_before_an_answer_leaves() {
        let end = std::net::SocketAddr::from(([192, 0, 2, 1], 4500));
        let message = |data: u8| Output::Transmit { local: end, remote: end, data: vec![data], dont_fragment: false };
        let outputs = [message(1), Output::Event(Event::Drained), message(2), Output::Event(Event::Larval { spi: 9 })];
        let ordered = messages_last(outputs.into_iter()).into_iter().map(|output| match output {
            Output::Transmit { data, .. } => format!("message {}", data[0]),
            Output::Event(event) => format!("{event:?}"),
            other => panic!("{other:?}"),
        });
        let ordered: Vec<_> = ordered.collect();
        assert_eq!(ordered, ["Drained", "Larval { spi: 9 }", "message 1", "message 2"]);
    }
}
