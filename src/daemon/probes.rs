//! The monitors of all children: sockets that send the probes which [`monitor`](super::monitor) asks for, and what comes of it.
//!
//! A probe is a packet like any of a host behind us: unmarked, so that rules and routes send it into the device. Its socket is bound to that
//! device besides: whatever the routes say, it never leaves in the clear, and no reply that came around the tunnel counts.
use super::clock;
use super::monitor::{Due, Passing, TOKEN, Watch};
use super::network::Network;
use crate::config::{self, Config, Interface, MonitorAction};
use crate::control::types::{self, MonitorState};
use crate::crypto::rng::Rng;
use crate::ike::diagnose::{Failure, Phase};
use crate::ike::event::{ChildId, Event};
use crate::io::fds::Poll;
use crate::io::netns::Namespace;
use crate::io::ping::Pinger;
use crate::wire::selector::Selector;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The sockets' tokens in the engine's poll begin here.
pub const TOKENS: u64 = 1 << 32;

/// Whose.
type Key = (Arc<str>, Arc<str>);

/// All monitors.
#[derive(Debug, Default)]
pub struct Probes {
    probes: BTreeMap<u64, Probe>,
    /// Children that are up, monitored or not: a reload may begin to.
    up: HashMap<Key, BTreeSet<ChildId>>,
    next: u64,
}
#[derive(Debug)]
struct Probe {
    key: Key,
    settings: config::Monitor,
    device: String,
    /// Of the connection's own, perhaps in another namespace.
    interface: Option<Interface>,
    /// By the names that networks have here.
    local_ts: Vec<Selector>,
    watch: Watch,
    pinger: Option<Pinger>,
    source: Option<IpAddr>,
    /// Why no probe leaves, for people.
    trouble: Option<String>,
    /// Nothing passes.
    failure: Option<Failure>,
}

/// What a monitor has found out.
#[derive(Debug)]
pub struct News {
    /// Connection.
    pub connection: Arc<str>,
    /// Child.
    pub child: Arc<str>,
    /// What.
    pub what: What,
}
/// What a monitor has found out.
#[derive(Debug)]
pub enum What {
    /// Nothing passes any more.
    Failing(Box<Failure>),
    /// Something passes again.
    Passing,
    /// Nothing passes, and this is to be done.
    Act(MonitorAction),
}

impl Probes {
    /// The monitors of a configuration from now on; one that is as before goes on.
    pub fn configure(&mut self, now: Duration, config: &Config, poll: &Poll) {
        let mut before: HashMap<Key, (u64, Probe)> = HashMap::new();
        for (token, probe) in std::mem::take(&mut self.probes) {
            before.insert(probe.key.clone(), (token, probe));
        }
        for connection in &config.connections {
            for child in &connection.children {
                let Some(settings) = child.monitor else { continue };
                let key = (connection.name.clone(), child.name.clone());
                let interface = connection.interface.clone();
                let device = interface.as_ref().map_or(&config.gateway.device, |interface| &interface.name).clone();
                let same = |(_, old): &(u64, Probe)| {
                    let alike = old.settings == settings && old.local_ts == child.local_here();
                    alike && old.device == device && old.interface == interface
                };
                if let Some((token, probe)) = before.remove(&key).filter(same) {
                    self.probes.insert(token, probe);
                    continue;
                }
                let mut watch = Watch::new(&settings, now);
                if self.up.contains_key(&key) {
                    watch.up(now);
                }
                let local_ts = child.local_here();
                let (pinger, source, trouble, failure) = (None, None, None, None);
                let probe =
                    Probe { key, settings, device, interface, local_ts, watch, pinger, source, trouble, failure };
                self.next += 1;
                self.probes.insert(TOKENS + self.next, probe);
            }
        }
        before.into_values().for_each(|(_, mut probe)| probe.close(poll));
    }
    /// Follows which children are up.
    pub fn note(&mut self, now: Duration, event: &Event) {
        let (key, is_up) = match event {
            Event::ChildUp(up) => {
                let key = (up.connection.clone(), up.child.clone());
                self.up.entry(key.clone()).or_default().insert(up.id);
                (key, true)
            }
            Event::ChildDown { id, connection, child, .. } => {
                let key = (connection.clone(), child.clone());
                let Some(ids) = self.up.get_mut(&key) else { return };
                ids.remove(id);
                if !ids.is_empty() {
                    return;
                }
                self.up.remove(&key);
                (key, false)
            }
            _ => return,
        };
        for probe in self.probes.values_mut().filter(|probe| probe.key == key) {
            match is_up {
                true => probe.watch.up(now),
                false => probe.watch.down(now),
            }
        }
    }
    /// The children of a connection that are up.
    pub fn children_up(&self, connection: &str) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.up.keys().filter(|key| *key.0 == *connection).map(|key| key.1.clone()).collect();
        names.sort();
        names
    }
    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.probes.values().filter_map(|probe| probe.watch.deadline()).min()
    }
    /// Takes in what has come to one socket.
    pub fn receive(&mut self, now: Duration, token: u64, news: &mut Vec<News>) {
        if let Some(probe) = self.probes.get_mut(&token)
            && probe.receive(now)
        {
            news.push(probe.news(What::Passing));
        }
    }
    /// Does what is due.
    pub fn tick(&mut self, now: Duration, network: &Network, poll: &Poll, rng: &mut dyn Rng, news: &mut Vec<News>) {
        for (token, probe) in &mut self.probes {
            if probe.watch.deadline().is_none_or(|at| now < at) {
                continue;
            }
            if let Err(trouble) = probe.open(*token, network, poll) {
                probe.watch.hinder(now);
                probe.tell_trouble(trouble);
                continue;
            }
            let due = probe.watch.tick(now, || {
                let mut token = [0; TOKEN];
                rng.fill(&mut token);
                token
            });
            probe.follow(now, due, poll, news);
        }
    }
    /// The monitor of a child as the API shows it.
    pub fn shown(&self, connection: &str, child: &str) -> Option<types::Monitor> {
        let is = |probe: &&Probe| *probe.key.0 == *connection && *probe.key.1 == *child;
        self.probes.values().find(is).map(Probe::shown)
    }
    /// What the API says of a connection: why there are no probes, and the last failure of a child that nothing passes.
    pub fn of(&self, connection: &str) -> (Vec<String>, Option<&Failure>) {
        let probes = || self.probes.values().filter(|probe| *probe.key.0 == *connection);
        let failure = probes().filter_map(|probe| probe.failure.as_ref()).max_by_key(|failure| failure.time);
        (probes().filter_map(|probe| probe.trouble.clone()).collect(), failure)
    }
}

impl Probe {
    fn news(&self, what: What) -> News {
        News { connection: self.key.0.clone(), child: self.key.1.clone(), what }
    }

    /// Makes a socket if there is none. The error says what to do.
    fn open(&mut self, token: u64, network: &Network, poll: &Poll) -> Result<(), String> {
        if self.pinger.is_some() {
            return Ok(());
        }
        let (child, target) = (&self.key.1, self.settings.target);
        let Some(source) = self.settings.source.or_else(|| self.choose_source(network)) else {
            return Err(format!(
                "monitor.no_source: this host has no address in local_ts of {child} to ask {target} from, so nobody knows whether \
                 traffic passes; give it one (ip addr add ADDRESS dev lo), or name one of its addresses as monitor.source"
            ));
        };
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrNotAvailable => format!(
                "monitor.no_source: {source} of {child} is no address of this host; add it (ip addr add {source} dev lo), or name \
                 another one as monitor.source"
            ),
            _ => format!("monitor.no_source: no probe can leave for {child}: {error}"),
        };
        // The low half of the token tells ours from each other; others' pings carry no token of ours.
        let open = || Pinger::open(source, target, token as u16, Some(&self.device));
        let pinger = match self.interface.as_ref().and_then(|interface| interface.netns.as_deref()) {
            Some(path) => Namespace::open(path).and_then(|namespace| namespace.run(open)?),
            None => open(),
        };
        let pinger = pinger.map_err(failed)?;
        poll.add(&pinger, token).map_err(failed)?;
        (self.pinger, self.source, self.trouble) = (Some(pinger), Some(source), None);
        Ok(())
    }
    /// An address on the connection's own device, if there is one; else that which the routes choose.
    fn choose_source(&self, network: &Network) -> Option<IpAddr> {
        let target = self.settings.target;
        let holds = |addr: &IpAddr| {
            let within = |ts: &Selector| ts.start.is_ipv4() == addr.is_ipv4() && ts.start <= *addr && *addr <= ts.end;
            addr.is_ipv4() == target.is_ipv4() && self.local_ts.iter().any(within)
        };
        let on_device =
            self.interface.iter().flat_map(|interface| &interface.addresses).map(|(addr, _)| *addr).find(holds);
        let elsewhere = self.interface.as_ref().is_some_and(|interface| interface.netns.is_some());
        on_device.or_else(|| if elsewhere { None } else { network.source_within(&self.local_ts, target) })
    }
    fn close(&mut self, poll: &Poll) {
        if let Some(pinger) = self.pinger.take() {
            // The descriptor is closed either way.
            let _ = poll.remove(&pinger);
        }
    }
    /// Once for each.
    fn tell_trouble(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(connection = %self.key.0, "{trouble}");
            self.trouble = Some(trouble);
        }
    }
    /// Reads what is there. True if traffic passes again.
    fn receive(&mut self, now: Duration) -> bool {
        let Some(pinger) = &mut self.pinger else { return false };
        let mut again = false;
        // What cannot be read is lost.
        while let Ok(Some(reply)) = pinger.receive() {
            again |= self.watch.reply(now, reply.sequence, reply.data);
        }
        if again {
            self.failure = None;
        }
        again
    }
    fn follow(&mut self, now: Duration, due: Due, poll: &Poll, news: &mut Vec<News>) {
        if let Some((sequence, token)) = due.probe
            && let Some(pinger) = &mut self.pinger
            && let Err(error) = pinger.send(sequence, &token)
        {
            tracing::debug!(connection = %self.key.0, child = %self.key.1, %error, "a probe was not sent");
            // Its address or device may have gone: the next one tries anew. Where only the queue is full nothing is lost by that.
            self.close(poll);
        }
        if due.failing {
            let failure = self.failed(now);
            self.failure = Some(failure.clone());
            news.push(self.news(What::Failing(Box::new(failure))));
        }
        if due.act {
            news.push(self.news(What::Act(self.settings.action)));
        }
    }
    fn failed(&self, now: Duration) -> Failure {
        let config::Monitor { target, loss, interval, .. } = self.settings;
        let from = self.source.map_or_else(String::new, |source| format!("{source} to "));
        let mut failure = Failure::new(now, Phase::Traffic, false, "traffic.not_passing");
        failure.connection = Some(self.key.0.clone());
        failure.child = Some(self.key.1.clone());
        failure.between(vec![format!("{from}{target}: {loss} probes every {interval:?}")], vec!["no answer".into()])
    }
    fn shown(&self) -> types::Monitor {
        let (passing, since) = self.watch.passing();
        let figures = self.watch.figures();
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        types::Monitor {
            target: self.settings.target.to_string(),
            source: self.settings.source.or(self.source).map(|source| source.to_string()),
            state: match passing {
                Passing::Unknown => MonitorState::Unknown,
                Passing::Yes => MonitorState::Passing,
                Passing::No => MonitorState::Failing,
            },
            since: clock::rfc3339(since),
            rtt_ms: figures.rtt.map(|rtt| ms(rtt.smoothed)),
            rtt_last_ms: figures.rtt.map(|rtt| ms(rtt.last)),
            rtt_min_ms: figures.rtt.map(|rtt| ms(rtt.least)),
            rtt_max_ms: figures.rtt.map(|rtt| ms(rtt.most)),
            loss_percent: (figures.loss_percent * 10.0).round() / 10.0,
            sent: figures.sent,
            received: figures.received,
        }
    }
}
