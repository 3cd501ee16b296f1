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
use crate::frozen::{Frozen, Reader, Thaw, Writer};
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

/// Replies that are read in a turn, of one monitor: who is asked may send more.
const MOST_REPLIES: usize = 64;

/// Whose.
type Key = (Arc<str>, Arc<str>);

/// All monitors.
#[derive(Debug, Default)]
pub struct Probes {
    probes: BTreeMap<u64, Probe>,
    /// Their tokens, by connection and child.
    tokens: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u64>>,
    /// When each of them is due: with hundreds nothing may look at all of them in each turn.
    due: BTreeSet<(Duration, u64)>,
    /// Children that are up, monitored or not: a reload may begin to.
    up: HashMap<Key, BTreeSet<ChildId>>,
    next: u64,
    /// What another daemon has found out, until we know what is monitored.
    found: HashMap<Key, Found>,
}
/// Whom it has asked, what it thinks, and why.
type Found = (IpAddr, Watch, Option<Failure>);
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
    /// As the list of all has it.
    due: Option<Duration>,
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
    /// What is known of all of them. Their sockets are made anew.
    pub fn freeze(&self, out: &mut Writer) {
        out.count(self.probes.len());
        for Probe { key, settings, watch, failure, .. } in self.probes.values() {
            (key.clone(), settings.target).freeze(out);
            watch.freeze(out);
            failure.freeze(out);
        }
    }
    /// Goes on with it; [`Self::configure`] is to follow.
    ///
    /// # Errors
    /// It is not what [`Self::freeze`] has written.
    pub fn thaw(&mut self, input: &mut Reader<'_>) -> Result<(), Thaw> {
        for _ in 0..input.count()? {
            let (key, target) = Frozen::thaw(input)?;
            self.found.insert(key, (target, Frozen::thaw(input)?, Frozen::thaw(input)?));
        }
        Ok(())
    }
    /// The monitors of a configuration from now on; one that is as before goes on.
    pub fn configure(&mut self, now: Duration, config: &Config, poll: &Poll) {
        let mut before: HashMap<Key, (u64, Probe)> = HashMap::new();
        for (token, probe) in std::mem::take(&mut self.probes) {
            before.insert(probe.key.clone(), (token, probe));
        }
        self.tokens.clear();
        self.due.clear();
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
                    self.add(token, probe);
                    continue;
                }
                let found = self.found.remove(&key).filter(|(target, ..)| *target == settings.target);
                let (watch, failure) = found.map_or((None, None), |(_, watch, failure)| (Some(watch), failure));
                let mut watch = watch.map_or_else(|| Watch::new(&settings, now), |watch| watch.go_on(&settings, now));
                if self.up.contains_key(&key) {
                    watch.up(now);
                }
                let local_ts = child.local_here();
                let (due, pinger, source, trouble) = (None, None, None, None);
                let probe =
                    Probe { key, settings, device, interface, local_ts, watch, due, pinger, source, trouble, failure };
                self.next += 1;
                self.add(TOKENS + self.next, probe);
            }
        }
        self.found.clear();
        before.into_values().for_each(|(_, mut probe)| probe.close(poll));
    }
    /// Follows which children are up. The socket of a monitor that waits for its child, or for its device, is closed: as long as it is open the
    /// network namespace that it is in lives on.
    pub fn note(&mut self, now: Duration, event: &Event, poll: &Poll) {
        let (connection, child, is_up) = match event {
            Event::ChildUp(up) => {
                self.is_up(&up.connection, &up.child, up.id);
                (&up.connection, &up.child, true)
            }
            Event::ChildDown { id, connection, child, .. } => {
                let key = (connection.clone(), child.clone());
                let Some(ids) = self.up.get_mut(&key) else { return };
                ids.remove(id);
                if !ids.is_empty() {
                    return;
                }
                self.up.remove(&key);
                (connection, child, false)
            }
            Event::Warning { connection, code: "interface.lost", .. } => {
                for token in self.tokens.get(connection).into_iter().flat_map(BTreeMap::values) {
                    self.probes.get_mut(token).into_iter().for_each(|probe| probe.close(poll));
                }
                return;
            }
            _ => return,
        };
        let Some(token) = self.token(connection, child) else { return };
        let Some(probe) = self.probes.get_mut(&token) else { return };
        if is_up {
            probe.watch.up(now);
        } else {
            probe.watch.down(now);
            probe.close(poll);
        }
        self.schedule(token);
    }
    /// A child is up, whoever was told so then.
    pub fn is_up(&mut self, connection: &Arc<str>, child: &Arc<str>, id: ChildId) {
        self.up.entry((connection.clone(), child.clone())).or_default().insert(id);
    }
    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }
    /// Takes in what has come to one socket.
    pub fn receive(&mut self, now: Duration, token: u64, news: &mut Vec<News>) {
        if let Some(probe) = self.probes.get_mut(&token) {
            probe.receive(now, news);
        }
        self.schedule(token);
    }
    /// Does what is due.
    pub fn tick(&mut self, now: Duration, network: &Network, poll: &Poll, rng: &mut dyn Rng, news: &mut Vec<News>) {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, token)| *token);
        for token in due.collect::<Vec<_>>() {
            let Some(probe) = self.probes.get_mut(&token) else { continue };
            match probe.open(token, network, poll) {
                Ok(()) => probe.tick(now, poll, rng, news),
                Err(trouble) => {
                    probe.watch.hinder(now);
                    probe.tell_trouble(trouble);
                }
            }
            self.schedule(token);
        }
    }
    /// The monitor of a child as the API shows it.
    pub fn shown(&self, connection: &str, child: &str) -> Option<types::Monitor> {
        self.probes.get(&self.token(connection, child)?).map(Probe::shown)
    }
    /// What the API says of a connection: why there are no probes, and the last failure of a child that nothing passes.
    pub fn of(&self, connection: &str) -> (Vec<String>, Option<&Failure>) {
        let tokens = || self.tokens.get(connection).into_iter().flat_map(BTreeMap::values);
        let probes = || tokens().filter_map(|token| self.probes.get(token));
        let failure = probes().filter_map(|probe| probe.failure.as_ref()).max_by_key(|failure| failure.time);
        (probes().filter_map(|probe| probe.trouble.clone()).collect(), failure)
    }

    fn token(&self, connection: &str, child: &str) -> Option<u64> {
        self.tokens.get(connection)?.get(child).copied()
    }
    fn add(&mut self, token: u64, probe: Probe) {
        let (connection, child) = probe.key.clone();
        self.tokens.entry(connection).or_default().insert(child, token);
        self.probes.insert(token, Probe { due: None, ..probe });
        self.schedule(token);
    }
    /// Its watch has changed.
    fn schedule(&mut self, token: u64) {
        let Some(probe) = self.probes.get_mut(&token) else { return };
        let at = probe.watch.deadline();
        if let Some(before) = std::mem::replace(&mut probe.due, at) {
            self.due.remove(&(before, token));
        }
        self.due.extend(at.map(|at| (at, token)));
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
            _ => no_probe(child, &error),
        };
        // The low half of the token tells ours from each other; others' pings carry no token of ours.
        let open = || Pinger::open(source, target, token as u16, Some(&self.device));
        let pinger = match self.interface.as_ref().and_then(|interface| interface.netns.as_deref()) {
            Some(path) => Namespace::open(path).and_then(|namespace| namespace.run(open)?),
            None => open(),
        };
        let pinger = pinger.map_err(failed)?;
        poll.add(&pinger, token).map_err(failed)?;
        (self.pinger, self.source) = (Some(pinger), Some(source));
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
    /// Reads what is there, but not for ever. An error is that of a probe that somebody refused.
    fn receive(&mut self, now: Duration, news: &mut Vec<News>) {
        let Some(pinger) = &mut self.pinger else { return };
        let mut again = false;
        for _ in 0..MOST_REPLIES {
            match pinger.receive() {
                Ok(Some(reply)) => again |= self.watch.reply(now, reply.sequence, reply.data),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        if again {
            self.failure = None;
            news.push(self.news(What::Passing));
        }
    }
    /// What has come is read before anything is taken for lost: the poll does not tell of all sockets at once.
    fn tick(&mut self, now: Duration, poll: &Poll, rng: &mut dyn Rng, news: &mut Vec<News>) {
        self.receive(now, news);
        let due = self.watch.tick(now, || {
            let mut token = [0; TOKEN];
            rng.fill(&mut token);
            token
        });
        self.follow(now, due, poll, news);
    }
    fn follow(&mut self, now: Duration, due: Due, poll: &Poll, news: &mut Vec<News>) {
        if let Some((sequence, token)) = due.probe
            && let Some(pinger) = &mut self.pinger
        {
            // The first error may be that of a probe before, which somebody on the way has refused.
            match pinger.send(sequence, &token).or_else(|_| pinger.send(sequence, &token)) {
                Ok(()) => self.trouble = None,
                // That says nothing of the tunnel. Our address or device may have gone: the next one tries anew.
                Err(error) => {
                    self.close(poll);
                    self.watch.hinder(now);
                    self.tell_trouble(no_probe(&self.key.1, &error));
                }
            }
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
        let ours = vec![format!("{from}{target}: {loss} probes every {interval:?}")];
        failure.between("probes", ours, vec!["no answer".into()])
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

fn no_probe(child: &str, error: &io::Error) -> String {
    format!("monitor.no_source: no probe can leave for {child}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Gateway;
    use crate::crypto::cipher::Cipher;
    use crate::crypto::rng::SeededRng;
    use crate::ike::event::{ChildUp, DirectionKeys, Ended, IkeId, IkePath};
    use crate::io::netlink::{Address, Netlink};
    use crate::io::netns::fresh;
    use crate::wire::payload::Proposal;
    use crate::wire::registry::ProtocolId;
    use std::net::SocketAddr;

    const INTERVAL: Duration = Duration::from_secs(2);

    /// Monitors of children `a/0`, `a/1` and so on, with targets on this host; one loss is enough.
    struct Bench {
        netlink: Netlink,
        network: Network,
        poll: Poll,
        probes: Probes,
        now: Duration,
    }
    impl Bench {
        fn new(children: u8) -> Self {
            let netlink = Netlink::open().expect("netlink");
            for addr in ["10.1.0.1", "10.2.0.0", "10.2.0.1", "10.2.0.2"] {
                let address = Address { link: 1, addr: addr.parse().unwrap(), prefix_len: 32 };
                netlink.add_address(&address).expect("an address");
            }
            let network = Network::open(&Gateway::default()).expect("network");
            let (poll, now) = (Poll::new().expect("poll"), Duration::from_secs(100));
            let mut bench = Self { netlink, network, poll, probes: Probes::default(), now };
            bench.configure(children, "1");
            bench
        }
        fn configure(&mut self, children: u8, loss: &str) {
            let mut text = "[connections.a]\nremote_addrs = [\"192.0.2.9\"]\n[secrets.s]\nid = [\"192.0.2.9\"]\nsecret = \"correct horse battery staple\"\n".to_owned();
            for child in 0..children.max(1) {
                text += &format!(
                    "[connections.a.children.{child}]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.{child}\"]\n\
                     monitor = {{ target = \"10.2.0.{child}\", source = \"10.1.0.1\", loss = {loss} }}\n"
                );
            }
            let source = config::Source { name: "a.toml".into(), text };
            let mut config = config::parse(&[source], &config::secret::System).expect("valid");
            config.gateway.device = "lo".into();
            config.connections.truncate(usize::from(children));
            self.probes.configure(self.now, &config, &self.poll);
        }
        fn note(&mut self, event: &Event) {
            self.probes.note(self.now, event, &self.poll);
            self.check();
        }
        fn up(&mut self, child: u8) {
            let keys = || DirectionKeys { encr: Default::default(), integ: Default::default() };
            let end = SocketAddr::from(([192, 0, 2, 1], 4500));
            let up = ChildUp {
                ike: IkeId(1),
                id: ChildId(child.into()),
                connection: "a".into(),
                child: child.to_string().into(),
                peer: 0,
                spi_in: 1000,
                spi_out: 2000,
                cipher: Cipher::AesGcm128,
                esn: false,
                keys_in: keys(),
                keys_out: keys(),
                transport: false,
                nat_original: None,
                local_ts: vec![],
                remote_ts: vec![],
                path: IkePath { local: end, remote: end, udp: true, may_move: false },
                proposal: Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![], transforms: vec![] },
                initiator: true,
                replaces: None,
                resource: None,
                inbound_only: false,
            };
            self.note(&Event::ChildUp(Box::new(up)));
        }
        fn down(&mut self, child: u8) {
            let (connection, name) = ("a".into(), child.to_string().into());
            let (id, why) = (ChildId(child.into()), Ended::ByUs);
            self.note(&Event::ChildDown { id, connection, child: name, resource: None, why });
        }
        /// So much later, without a look at what the poll says.
        fn tick(&mut self, after: Duration) -> Vec<News> {
            self.now += after;
            let mut news = Vec::new();
            self.probes.tick(self.now, &self.network, &self.poll, &mut SeededRng::new(1), &mut news);
            self.check();
            news
        }
        /// Until the replies of so many are there.
        fn wait(&self, replies: usize) {
            let mut ready = Vec::new();
            while ready.len() < replies {
                self.poll.wait(&mut ready, Some(Duration::from_secs(10))).expect("wait");
                assert!(!ready.is_empty(), "no reply");
            }
        }
        fn monitor(&self, child: u8) -> types::Monitor {
            self.probes.shown("a", &child.to_string()).expect("a monitor")
        }
        fn open(&self) -> usize {
            self.probes.probes.values().filter(|probe| probe.pinger.is_some()).count()
        }
        /// The list of what is due says what the monitors say.
        fn check(&self) {
            let deadlines = self.probes.probes.values().filter_map(|probe| probe.watch.deadline());
            assert_eq!(self.probes.deadline(), deadlines.min());
            assert_eq!(self.probes.due.len(), self.probes.probes.values().filter(|p| p.due.is_some()).count());
        }
    }

    #[test]
    fn a_reply_that_is_there_counts_however_late_anybody_looks() {
        fresh(|| {
            let mut bench = Bench::new(3);
            (0..3).for_each(|child| bench.up(child));
            assert!(bench.tick(Duration::ZERO).is_empty());
            bench.wait(3);
            assert!(bench.tick(INTERVAL * 3 / 4).is_empty());
            for child in 0..3 {
                let monitor = bench.monitor(child);
                assert_eq!((monitor.state, monitor.sent, monitor.received), (MonitorState::Passing, 1, 1));
            }
        });
    }

    #[test]
    fn what_cannot_be_sent_is_no_loss() {
        fresh(|| {
            let mut bench = Bench::new(1);
            bench.up(0);
            bench.tick(Duration::ZERO);
            bench.wait(1);
            bench.netlink.set_up(1, false).expect("down");
            assert!(bench.tick(INTERVAL).is_empty());
            assert_eq!((bench.open(), bench.monitor(0).received, bench.probes.of("a").0.len()), (0, 1, 1));
            bench.netlink.set_up(1, true).expect("up");
            for _ in 0..2 {
                assert!(bench.tick(INTERVAL / 2).is_empty());
            }
            bench.wait(1);
            bench.tick(INTERVAL / 2);
            let monitor = bench.monitor(0);
            assert_eq!((monitor.state, monitor.received, monitor.loss_percent), (MonitorState::Passing, 2, 0.0));
            assert!(bench.probes.of("a").0.is_empty());
        });
    }

    /// An open socket would keep a network namespace alive that everybody has left.
    #[test]
    fn who_waits_for_a_child_or_a_device_has_no_socket() {
        fresh(|| {
            let mut bench = Bench::new(3);
            (0..3).for_each(|child| bench.up(child));
            bench.tick(Duration::ZERO);
            assert_eq!(bench.open(), 3);
            bench.down(1);
            assert_eq!(bench.open(), 2);
            let lost = |connection: &str| Event::Warning {
                connection: connection.into(),
                code: "interface.lost",
                values: vec![],
            };
            bench.note(&lost("other"));
            assert_eq!(bench.open(), 2);
            bench.note(&lost("a"));
            assert_eq!(bench.open(), 0);
            bench.tick(INTERVAL);
            assert_eq!(bench.open(), 2, "they try again");
        });
    }

    #[test]
    fn each_is_looked_at_when_it_is_due() {
        fresh(|| {
            let mut bench = Bench::new(4);
            assert_eq!(bench.probes.deadline(), None);
            for child in [2, 0, 1] {
                bench.up(child);
                bench.tick(Duration::from_millis(100));
            }
            assert_eq!(bench.probes.deadline(), Some(bench.now - Duration::from_millis(200) + INTERVAL / 2));
            bench.down(2);
            bench.configure(3, "1");
            bench.check();
            bench.configure(2, "5");
            bench.check();
            assert!(bench.tick(INTERVAL).is_empty());
            let sent: Vec<_> = (0..2).map(|child| bench.monitor(child).sent).collect();
            assert_eq!((sent, bench.probes.shown("a", "2").is_none()), (vec![1, 1], true));
            bench.configure(0, "1");
            assert_eq!((bench.probes.deadline(), bench.probes.of("a").0.len()), (None, 0));
        });
    }
}
