//! Devices of connections' own (`interface = { ... }`): made here, moved into their namespaces, given addresses and a carrier; looked after,
//! and made anew when they were taken away. What happens to one concerns its connection alone.
mod handed;

use super::preflight;
use crate::config::{Config, Interface};
use crate::dataplane::devices::{Generation, Order, Orders};
use crate::ike::event::{ChildId, Event};
use crate::ike::policy::{ChildPolicy, DpdAction, StartAction};
use crate::io::fds::EventFd;
use crate::io::netlink::{Address, Netlink};
use crate::io::netns::Namespace;
use crate::io::tun::{Device, Hold, Queue};
use crate::ipsec::spd::DeviceId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Devices are looked at, and those that are missing are tried, this often.
const LOOK: Duration = Duration::from_secs(10);
/// One that was taken away is tried again after this time: whoever did it may be at work still. Each time that it does not last, twice as long.
const SOON: Duration = Duration::from_secs(1);
/// One that was there for so long did last.
const LASTING: Duration = Duration::from_secs(60);
/// So many are made in one turn: each takes the kernel some milliseconds, and peers wait for answers.
const AT_ONCE: usize = 16;
/// The number of a device that is gone is not another's before: nothing that came from it waits so long anywhere.
const REST: Duration = Duration::from_secs(60);
/// The number of a device that has none, as all are taken: no worker ever serves it, so what its connection protects goes nowhere.
const NOWHERE: DeviceId = DeviceId(u16::MAX);

/// What has become of one that is not there any more, or not where its connection wants it.
const TAKEN: &str = "was taken away";

/// Where nothing is negotiated: the smallest with which a device carries IPv6 (RFC 8200 section 5).
const LEAST_MTU: u32 = 1280;

/// The way to one worker: orders, and the bell that makes it look.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// About devices.
    pub orders: Arc<Orders<Queue>>,
    /// The worker's control.
    pub bell: Arc<EventFd>,
}

/// All devices of connections' own.
#[derive(Debug)]
pub struct Devices {
    inboxes: Vec<Inbox>,
    by_connection: BTreeMap<Arc<str>, Entry>,
    /// Numbers from 1; 0 is the gateway's device.
    next: u16,
    resting: VecDeque<(Duration, DeviceId)>,
    look_at: Duration,
    /// When there is anything to do; no later than `look_at`.
    due_at: Duration,
    news: Vec<Event>,
    /// Connections whose device is shown otherwise than before.
    changed: Vec<Arc<str>>,
}

/// The device of a connection, whether or not it is there.
#[derive(Debug)]
struct Entry {
    id: DeviceId,
    interface: Interface,
    mtu: u32,
    /// Families of its inner packets: IPv4, IPv6.
    families: (bool, bool),
    /// Packets may bring a child up, so they must come.
    traps: bool,
    /// Those that are up.
    children: BTreeSet<ChildId>,
    device: Option<Present>,
    /// So many times one was made.
    generation: Generation,
    /// The number of its namespace, if its path is that of a process: another process may have that path later.
    first: Option<(u64, u64)>,
    retry_at: Duration,
    /// When it was made last, and how long we waited for that after it had gone.
    made_at: Duration,
    waited: Duration,
    /// Why it is not there, or not as it should be.
    trouble: Option<String>,
    /// Settings of the host that would eat its packets.
    warnings: Vec<String>,
}

/// A device that is there.
#[derive(Debug)]
struct Present {
    hold: Hold,
    /// Its number in its namespace.
    link: u32,
    /// As it is called now.
    name: String,
}

impl Present {
    /// Its namespace is not the one that has the path now, or none has: somebody still holds it, but nobody finds it any more.
    fn is_elsewhere(&self, path: &Path) -> bool {
        match (self.hold.namespace(), Namespace::open(path)) {
            (Ok(has), Ok(wanted)) => has.is(&wanted).is_ok_and(|same| !same),
            (Ok(_), Err(error)) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Its name is free at once; it itself may go when the last worker has left it.
    fn delete(self, netns: Option<&Path>) {
        let delete = |netlink: &Netlink, link| netlink.delete_link(link).map(drop);
        if let Err(error) = self.ask(netns, delete) {
            tracing::debug!(%error, device = self.name, "a device was not deleted");
        }
    }

    /// Asks the kernel about it in the namespace where it is, whatever its path stands for by now; `ask` is told its number there.
    fn ask<T: Send>(
        &self,
        netns: Option<&Path>,
        ask: impl FnOnce(&Netlink, u32) -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let name = self.hold.name()?;
        // Kernels before 5.8 do not tell.
        let there = netns.map(|path| self.hold.namespace().or_else(|_| Namespace::open(path))).transpose()?;
        inside(there.as_ref(), |netlink| {
            let link = netlink.link(&name)?.index;
            if link == self.link { ask(netlink, link) } else { Err(io::ErrorKind::NotFound.into()) }
        })
    }
}

impl Devices {
    /// None yet; each will have one queue for each of these workers.
    pub fn new(inboxes: Vec<Inbox>) -> Self {
        Self {
            inboxes,
            by_connection: BTreeMap::new(),
            next: 1,
            resting: VecDeque::new(),
            look_at: Duration::ZERO,
            due_at: Duration::ZERO,
            news: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// Takes away what is not configured any more, and changes what is configured otherwise; `mtus` are those of connections' devices. What is to
    /// be made `tick` makes. The numbers of all devices by connection.
    pub fn configure(
        &mut self,
        now: Duration,
        config: &Config,
        mtus: &HashMap<Arc<str>, u32>,
    ) -> HashMap<Arc<str>, DeviceId> {
        let trapped = trapped(config);
        let mut before = std::mem::take(&mut self.by_connection);
        let mut wanted = Vec::new();
        for connection in &config.connections {
            let Some(interface) = &connection.interface else { continue };
            let known = before.remove(&connection.name);
            wanted.push((connection, interface, known));
        }
        // Names are free, and numbers at rest, before others may have them.
        for (connection, mut entry) in before {
            tracing::info!(%connection, device = entry.interface.name, "the device of a connection goes");
            self.take_away(&mut entry);
            if entry.id != NOWHERE {
                self.resting.push_back((now + REST, entry.id));
            }
        }
        for (connection, interface, known) in wanted {
            let mut entry = known.unwrap_or_else(|| Entry::new(NOWHERE, interface, now));
            let is_another = entry.interface != *interface;
            if entry.id == NOWHERE {
                entry.id = self.allocate(now).unwrap_or(NOWHERE);
            }
            let families =
                |ipv6| connection.children.iter().flat_map(|c| &c.local_ts).any(|s| s.start.is_ipv6() == ipv6);
            entry.families = (families(false), families(true));
            entry.change_carrier(|entry| entry.traps = trapped.contains(&connection.name));
            if (&entry.interface.name, &entry.interface.netns) != (&interface.name, &interface.netns) {
                self.take_away(&mut entry);
            }
            if let Err(error) = entry.change(interface, mtus.get(&connection.name).copied().unwrap_or(LEAST_MTU)) {
                tracing::warn!(connection = %connection.name, %error, "a device could not be changed; it is made anew");
                self.take_away(&mut entry);
            }
            if entry.device.is_none() {
                entry.retry_at = now;
                // Who reads the files again for another connection has not said that this one's path stands for what it did.
                entry.first = entry.first.filter(|_| !is_another);
            }
            self.by_connection.insert(connection.name.clone(), entry);
        }
        self.due_at = now;
        self.by_connection.iter().map(|(connection, entry)| (connection.clone(), entry.id)).collect()
    }

    /// Makes what is missing, and looks whether the others are still there, when it is time.
    pub fn tick(&mut self, now: Duration) {
        if now < self.due_at {
            return;
        }
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.look(now);
        }
        let due = |entry: &Entry| entry.device.is_none() && entry.retry_at <= now;
        let missing = self.by_connection.iter().filter(|(_, entry)| due(entry)).map(|(name, _)| name.clone());
        for connection in missing.take(AT_ONCE).collect::<Vec<_>>() {
            self.make(now, &connection);
        }
        let absent = self.by_connection.values().filter(|entry| entry.device.is_none());
        self.due_at = absent.map(|entry| entry.retry_at).fold(self.look_at, Duration::min);
    }

    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Duration> {
        (!self.by_connection.is_empty()).then_some(self.due_at)
    }

    /// Somebody has taken the connection down: whose namespace has its path now, if anybody's, is the one that is meant.
    pub fn confirm(&mut self, now: Duration, connection: &str) {
        let entry = self.by_connection.get_mut(connection).filter(|entry| entry.device.is_none());
        let Some(entry) = entry else { return };
        let there = entry.interface.netns.as_deref().and_then(|path| Namespace::open(path).ok()?.number().ok());
        (entry.first, entry.retry_at) = (there.or(entry.first), now);
        self.due_at = now;
    }

    /// A worker cannot read a device any more, and has let go of it. It may be late to tell, and another device there by now.
    pub fn lost(&mut self, now: Duration, id: DeviceId, generation: Generation) {
        let is_it = |entry: &Entry| (entry.id, entry.generation) == (id, generation);
        let found = self.by_connection.iter().find(|(_, entry)| is_it(entry));
        let Some((connection, Some(device))) = found.map(|(name, entry)| (name.clone(), &entry.device)) else { return };
        let what = if device.hold.name().is_ok() { "cannot be read any more" } else { TAKEN };
        self.gone(now, &connection, what);
    }

    /// Follows the children of connections: a device has a carrier while one is up.
    pub fn note(&mut self, event: &Event) {
        let (connection, id, up) = match event {
            Event::ChildUp(up) => (&up.connection, up.id, true),
            Event::ChildDown { connection, id, .. } => (connection, *id, false),
            _ => return,
        };
        self.follow(connection, id, up);
    }

    /// A child of a connection is up, or down.
    pub fn follow(&mut self, connection: &str, id: ChildId, up: bool) {
        let Some(entry) = self.by_connection.get_mut(connection) else { return };
        entry.change_carrier(|entry| {
            if up {
                entry.children.insert(id)
            } else {
                entry.children.remove(&id)
            };
        });
    }

    /// What is to be told since the last call.
    pub fn news(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.news)
    }

    /// The connections whose device came, went, was renamed or could not be made since the last call.
    pub fn changed(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// The name that the device of a connection has, and whether it is there.
    pub fn of(&self, connection: &str) -> Option<(&str, bool)> {
        let entry = self.by_connection.get(connection)?;
        let device = entry.device.as_ref();
        Some((device.map_or(&entry.interface.name, |device| &device.name), device.is_some()))
    }

    /// The numbers of those that are in our own namespace.
    pub fn links(&self) -> BTreeSet<u32> {
        let here = self.by_connection.values().filter(|entry| entry.interface.netns.is_none());
        here.filter_map(|entry| Some(entry.device.as_ref()?.link)).collect()
    }

    /// What is wrong with the device of a connection.
    pub fn warnings(&self, connection: &str) -> impl Iterator<Item = String> {
        let entry = self.by_connection.get(connection);
        entry.into_iter().flat_map(|entry| entry.trouble.iter().chain(&entry.warnings).cloned())
    }

    /// One that was never used, or has rested.
    fn allocate(&mut self, now: Duration) -> Option<DeviceId> {
        if let Some((_, id)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            return Some(id);
        }
        let id = DeviceId(self.next);
        self.next = self.next.checked_add(1)?;
        Some(id)
    }

    fn give(&self, mut order: impl FnMut(usize) -> Option<Order<Queue>>) {
        for (worker, inbox) in self.inboxes.iter().enumerate() {
            if let Some(order) = order(worker) {
                inbox.orders.give(order);
                inbox.bell.signal();
            }
        }
    }

    /// Workers leave it, and it goes.
    fn take_away(&self, entry: &mut Entry) {
        self.give(|_| Some(Order::Leave(entry.id)));
        if let Some(device) = entry.device.take() {
            device.delete(entry.interface.netns.as_deref());
        }
    }

    fn make(&mut self, now: Duration, connection: &Arc<str>) {
        let queues = self.inboxes.len();
        let Some(entry) = self.by_connection.get_mut(connection) else { return };
        self.changed.push(connection.clone());
        match entry.make(queues) {
            Ok(made) => {
                (entry.trouble, entry.made_at) = (None, now);
                let (name, netns) = (&entry.interface.name, entry.interface.namespace());
                let (id, generation) = (entry.id, entry.generation);
                tracing::info!(%connection, device = name, netns, "the device of a connection is there");
                let mut made = made.into_iter();
                self.give(|_| made.next().map(|queue| Order::Serve(id, generation, queue)));
            }
            Err(sentence) => {
                entry.retry_at = now + LOOK;
                // Told once, and shown for as long as it is so.
                if entry.trouble.as_ref() != Some(&sentence) {
                    let (connection, values) = (connection.clone(), vec![sentence.clone()]);
                    self.news.push(Event::Warning { connection, code: "interface.missing", values });
                    entry.trouble = Some(sentence);
                }
            }
        }
    }

    fn look(&mut self, now: Duration) {
        let all: Vec<_> = self.by_connection.keys().cloned().collect();
        all.iter().for_each(|connection| self.look_at_one(now, connection));
    }

    /// Whether it is still there, and what it is called.
    fn look_at_one(&mut self, now: Duration, connection: &Arc<str>) {
        let Some(entry) = self.by_connection.get_mut(connection) else { return };
        let Some(device) = &mut entry.device else { return };
        let elsewhere = entry.interface.netns.as_deref().is_some_and(|path| device.is_elsewhere(path));
        match device.hold.name().ok().filter(|_| !elsewhere) {
            Some(name) if name == device.name => {}
            Some(name) => {
                tracing::warn!(%connection, device = device.name, name, "the device of a connection was renamed");
                device.name = name;
                self.changed.push(connection.clone());
            }
            None => self.gone(now, connection, TAKEN),
        }
    }

    /// Nobody reads it, or nobody finds it: what is left of it goes, too.
    fn gone(&mut self, now: Duration, connection: &Arc<str>, what: &str) {
        let Some(entry) = self.by_connection.get_mut(connection) else { return };
        let Some(device) = entry.device.take() else { return };
        let sentence = format!("the device {} {what}; it is made anew", device.name);
        self.changed.push(connection.clone());
        device.delete(entry.interface.netns.as_deref());
        let lasted = now.saturating_sub(entry.made_at) >= LASTING;
        entry.waited = if lasted { SOON } else { (entry.waited * 2).clamp(SOON, LOOK) };
        entry.retry_at = now + entry.waited;
        self.due_at = self.due_at.min(entry.retry_at);
        let (id, values) = (entry.id, vec![sentence.clone()]);
        entry.trouble = Some(sentence);
        self.news.push(Event::Warning { connection: connection.clone(), code: "interface.lost", values });
        self.give(|_| Some(Order::Leave(id)));
    }
}

impl Entry {
    fn new(id: DeviceId, interface: &Interface, now: Duration) -> Self {
        Self {
            id,
            interface: interface.clone(),
            mtu: 0,
            families: (false, false),
            traps: false,
            children: BTreeSet::new(),
            device: None,
            generation: 0,
            first: None,
            retry_at: now,
            made_at: now,
            waited: Duration::ZERO,
            trouble: None,
            warnings: Vec::new(),
        }
    }

    /// Makes the device and puts it into its place: a queue for each worker. An error is a sentence that says what to do.
    fn make(&mut self, queues: usize) -> Result<Vec<Queue>, String> {
        if self.id == NOWHERE {
            return Err(
                "there are no more numbers for devices: use fewer, or reload a minute after others have gone".into()
            );
        }
        let namespace = self.namespace()?;
        let (name, netns) = (&self.interface.name, self.interface.netns.as_deref());
        // On its way it must not meet a name that is taken here.
        let made_as = if namespace.is_some() { format!("sandhog-{}", self.id.0) } else { name.clone() };
        let made = Device::create(&made_as, queues).map_err(|error| error.to_string())?;
        let hold = made.first().map(Queue::hold).ok_or("there are no workers")?;
        // Before it is up, so that no packet is let in for a moment.
        self.set_carrier(&hold);
        let said = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied if netns.is_some() => {
                preflight::grant("CAP_SYS_ADMIN", "devices in other network namespaces")
            }
            _ => format!("the device {name} could not be set up: {error}"),
        };
        if let Some(namespace) = &namespace {
            let netlink = Netlink::open().map_err(said)?;
            let link = netlink.link(&made_as).map_err(said)?.index;
            netlink.move_link(link, namespace.as_fd(), name).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => format!(
                    "there is a network device {name} already in {}: choose another name, or remove that one",
                    self.interface.namespace().unwrap_or_default()
                ),
                _ => said(error),
            })?;
        }
        let (addresses, mtu, (ipv4, ipv6)) = (&self.interface.addresses, self.mtu, self.families);
        let there = self.interface.namespace();
        let set_up = |netlink: &Netlink| {
            let link = netlink.link(name)?.index;
            netlink.set_mtu(link, mtu)?;
            addresses.iter().try_for_each(|address| netlink.add_address(&on(link, address)))?;
            netlink.set_up(link, true)?;
            Ok((link, preflight::of_device(name, there.as_deref(), ipv4, ipv6)))
        };
        let (link, warnings) = inside(namespace.as_ref(), set_up).map_err(said)?;
        // As wide as it travels.
        self.generation = (self.generation + 1) & (Generation::MAX >> 1);
        self.device = Some(Present { hold, link, name: name.clone() });
        self.warnings = warnings;
        Ok(made)
    }

    /// Where it shall be, if not with us. A path that stands for our own namespace would lead one tenant's packets among all others'.
    fn namespace(&mut self) -> Result<Option<Namespace>, String> {
        let Some(path) = self.interface.netns.as_deref() else { return Ok(None) };
        let refused = |error: &io::Error| self.no_namespace(error);
        let there = Namespace::open(path).map_err(|error| refused(&error))?;
        let number = there.number().map_err(|error| refused(&error))?;
        let name = self.interface.namespace().unwrap_or_default();
        if Namespace::current().and_then(|ours| ours.number()).is_ok_and(|ours| ours == number) {
            return Err(format!(
                "{name} is the network namespace of the gateway itself: name another, or leave netns out"
            ));
        }
        if path.starts_with("/proc") && *self.first.get_or_insert(number) != number {
            return Err(format!(
                "{name} is another network namespace than it was: take the connection down and up again if it is the one that is meant, or change netns"
            ));
        }
        Ok(Some(there))
    }

    fn no_namespace(&self, error: &io::Error) -> String {
        let name = self.interface.namespace().unwrap_or_default();
        match error.kind() {
            io::ErrorKind::NotFound if !name.starts_with('/') => {
                format!("there is no network namespace {name}: make it with `ip netns add {name}`")
            }
            // The unit's sandbox hides others' processes.
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if name.starts_with("/proc/") => format!(
                "{name} is no network namespace that the daemon can open: start what makes it and, as a confined daemon may not look into other processes, give it a name (`ip netns attach NAME PID`) and say netns = \"NAME\""
            ),
            io::ErrorKind::NotFound => format!("{name} is no network namespace: start what makes it"),
            _ => format!("the network namespace {name} cannot be opened: {error}"),
        }
    }

    /// Takes on what can be changed on a device that is there. After an error it may be half changed.
    fn change(&mut self, interface: &Interface, mtu: u32) -> io::Result<()> {
        let before = std::mem::replace(&mut self.interface, interface.clone());
        let mtu_before = std::mem::replace(&mut self.mtu, mtu);
        let Some(device) = &self.device else { return Ok(()) };
        let (old, new) = (&before.addresses, &interface.addresses);
        if (mtu, new) == (mtu_before, old) {
            return Ok(());
        }
        device.ask(interface.netns.as_deref(), |netlink, link| {
            if mtu != mtu_before {
                netlink.set_mtu(link, mtu)?;
            }
            let add = |address: &(IpAddr, u8)| match netlink.add_address(&on(link, address)) {
                // Somebody was there first.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                added => added,
            };
            // First what comes: with its last address a device loses all of its routes.
            new.iter().filter(|address| !old.contains(address)).try_for_each(add)?;
            for address in old.iter().filter(|address| !new.contains(address)) {
                netlink.delete_address(&on(link, address))?;
            }
            // And what has gone with one of its network.
            new.iter().try_for_each(add)
        })
    }

    fn carrier(&self) -> bool {
        self.traps || !self.children.is_empty()
    }

    /// Changes what the carrier depends on, and the carrier with it.
    fn change_carrier(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.carrier();
        change(self);
        if let Some(device) = self.device.as_ref().filter(|_| self.carrier() != before) {
            self.set_carrier(&device.hold);
        }
    }

    /// An old kernel has no carrier to set, and nothing is lost by that.
    fn set_carrier(&self, hold: &Hold) {
        let carrier = self.carrier();
        if let Err(error) = hold.set_carrier(carrier) {
            tracing::debug!(%error, carrier, device = self.interface.name, "the carrier was not set");
        }
    }
}

/// Asks the kernel within a network namespace, or ours. Nothing of it stays open: that would keep alive a namespace that others delete.
fn inside<T: Send>(there: Option<&Namespace>, ask: impl FnOnce(&Netlink) -> io::Result<T> + Send) -> io::Result<T> {
    match there {
        None => ask(&Netlink::open()?),
        Some(there) => there.run(|| ask(&Netlink::open()?))?,
    }
}

fn on(link: u32, &(addr, prefix_len): &(IpAddr, u8)) -> Address {
    Address { link, addr, prefix_len }
}

/// Connections of which packets may bring up a child, now or when a peer has died.
fn trapped(config: &Config) -> HashSet<Arc<str>> {
    let trap = |child: &Arc<ChildPolicy>| child.start == StartAction::Trap || child.dpd == DpdAction::Trap;
    let connections = config.policy.connections.iter();
    connections.filter(|connection| connection.children.iter().any(trap)).map(|c| c.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Source};
    use crate::io::host;
    use crate::io::netlink::Link;
    use crate::io::netns::fresh;
    use crate::io::{Tun, VnetHeader};
    use std::fs;

    const NOW: Duration = Duration::from_secs(1000);

    fn config(interfaces: &[(&str, &str)], start: &str) -> Config {
        let connection = |(name, interface): &(&str, &str)| {
            format!(
                "[connections.{name}]\nremote_addrs = [\"192.0.2.9\"]\ninterface = {{ {interface} }}\n\
                 [connections.{name}.children.all]\nlocal_ts = [\"0.0.0.0/0\"]\nremote_ts = [\"0.0.0.0/0\"]\nstart_action = \"{start}\"\n"
            )
        };
        let secret = "[secrets.s]\nid = [\"192.0.2.9\"]\nsecret = \"correct horse battery staple\"\n".to_owned();
        let text = interfaces.iter().map(connection).chain([secret]).collect();
        config::parse(&[Source { name: "a.toml".into(), text }], &config::secret::System).expect("valid")
    }

    /// Devices for two workers, and what these have been given.
    struct Bench {
        devices: Devices,
        inboxes: Vec<Inbox>,
        queues: Vec<BTreeMap<DeviceId, Queue>>,
    }
    impl Bench {
        fn new() -> Self {
            let inboxes = super::super::workers::inboxes(2).expect("inboxes");
            let queues = inboxes.iter().map(|_| BTreeMap::new()).collect();
            Self { devices: Devices::new(inboxes.clone()), inboxes, queues }
        }
        fn configure(&mut self, now: Duration, interfaces: &[(&str, &str)]) -> HashMap<Arc<str>, DeviceId> {
            self.configure_as(now, interfaces, "start")
        }
        fn configure_as(
            &mut self,
            now: Duration,
            interfaces: &[(&str, &str)],
            start: &str,
        ) -> HashMap<Arc<str>, DeviceId> {
            let config = config(interfaces, start);
            let mtus = config.connections.iter().map(|connection| (connection.name.clone(), 1400)).collect();
            let ids = self.devices.configure(now, &config, &mtus);
            self.tick(now);
            ids
        }
        fn tick(&mut self, now: Duration) {
            self.devices.tick(now);
            for (inbox, queues) in self.inboxes.iter().zip(&mut self.queues) {
                for order in inbox.orders.take() {
                    let (Order::Serve(id, ..) | Order::Leave(id)) = order;
                    queues.remove(&id);
                    if let Order::Serve(id, _, queue) = order {
                        queues.insert(id, queue);
                    }
                }
            }
        }
        /// The numbers that each worker serves.
        fn served(&self) -> Vec<Vec<u16>> {
            self.queues.iter().map(|queues| queues.keys().map(|id| id.0).collect()).collect()
        }
        fn told(&mut self) -> Vec<(String, String)> {
            let told = |event| match event {
                Event::Warning { connection, code, values } => (format!("{connection} {code}"), values.concat()),
                other => panic!("{other:?}"),
            };
            self.devices.news().into_iter().map(told).collect()
        }
        fn warnings(&self, connection: &str) -> String {
            // But for settings of the host that the test runs on.
            self.devices.warnings(connection).filter(|text| !text.contains("sysctl")).collect::<Vec<_>>().join("; ")
        }
    }

    fn link(name: &str) -> Option<Link> {
        Netlink::open().expect("netlink").link(name).ok()
    }

    fn addresses(name: &str) -> Vec<String> {
        let netlink = Netlink::open().expect("netlink");
        let link = netlink.link(name).expect("link").index;
        let mut all: Vec<_> = netlink.addresses().expect("list").into_iter().filter(|a| a.link == link).collect();
        all.retain(|address| !address.addr.to_string().starts_with("fe80"));
        let mut all: Vec<_> = all.iter().map(|a| format!("{}/{}", a.addr, a.prefix_len)).collect();
        all.sort();
        all
    }

    /// A namespace that has a name for as long as this lives: that of a thread of ours.
    fn named(namespace: &Namespace) -> (String, impl Drop + use<>) {
        struct Held(std::sync::mpsc::SyncSender<()>, Option<std::thread::JoinHandle<io::Result<()>>>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0 = std::sync::mpsc::sync_channel(0).0;
                let _ = self.1.take().expect("once").join().expect("no panic");
            }
        }
        let (held, until) = std::sync::mpsc::sync_channel::<()>(0);
        let (tell, told) = std::sync::mpsc::channel();
        let thread = namespace.spawn(move || {
            tell.send(fs::read_link("/proc/thread-self").expect("proc")).expect("told");
            let _ = until.recv();
        });
        let thread = thread.expect("thread");
        let path = told.recv().expect("path");
        (format!("/proc/{}/ns/net", path.display()), Held(held, Some(thread)))
    }

    #[test]
    fn devices_come_change_and_go_with_the_configuration() {
        fresh(|| {
            let mut bench = Bench::new();
            let (a, b) = (r#"name = "vti-a", addresses = ["10.0.0.1/30", "fd00::1/64"]"#, r#"name = "vti-b""#);
            let ids = bench.configure(NOW, &[("a", a), ("b", b)]);
            assert_eq!((ids["a"], ids["b"]), (DeviceId(1), DeviceId(2)));
            assert_eq!(bench.served(), [[1, 2], [1, 2]]);
            let made = link("vti-a").expect("made");
            assert_eq!((made.up, made.mtu), (true, 1400));
            assert_eq!(addresses("vti-a"), ["10.0.0.1/30", "fd00::1/64"]);
            // Another address: the device stays what it is.
            bench.configure(NOW, &[("a", r#"name = "vti-a", addresses = ["fd00::1/64", "10.0.0.5/30"]"#), ("b", b)]);
            assert_eq!(addresses("vti-a"), ["10.0.0.5/30", "fd00::1/64"]);
            assert_eq!(link("vti-a").map(|link| link.index), Some(made.index));
            // Its name goes to another connection, and it has another one.
            let ids = bench.configure(NOW, &[("a", r#"name = "vti-c""#), ("d", r#"name = "vti-a""#), ("b", b)]);
            assert_eq!((ids["a"], ids["b"], ids["d"]), (DeviceId(1), DeviceId(2), DeviceId(3)));
            assert!(link("vti-c").is_some() && link("vti-a").is_some_and(|link| link.index != made.index));
            assert_eq!((bench.served(), bench.told()), (vec![vec![1, 2, 3]; 2], vec![]));
            // A number is at rest before another has it.
            assert_eq!(bench.configure(NOW, &[("b", b)]).len(), 1);
            assert_eq!((bench.served(), link("vti-a"), link("vti-c")), (vec![vec![2]; 2], None, None));
            assert_eq!(bench.configure(NOW + REST / 2, &[("b", b), ("e", a)])["e"], DeviceId(4));
            assert_eq!(bench.configure(NOW + REST, &[("b", b), ("e", a), ("f", r#"name = "f""#)])["f"], DeviceId(1));
        });
    }

    /// Packets of its connection do not come to the gateway's device instead.
    #[test]
    fn without_a_number_a_device_is_nowhere() {
        fresh(|| {
            let mut bench = Bench::new();
            bench.devices.next = u16::MAX - 1;
            let [a, b, c] = [r#"name = "a""#, r#"name = "b""#, r#"name = "c""#];
            let ids = bench.configure(NOW, &[("a", a), ("b", b)]);
            assert_eq!((ids["a"], ids["b"]), (DeviceId(u16::MAX - 1), NOWHERE));
            assert_eq!((bench.served(), bench.devices.of("b")), (vec![vec![u16::MAX - 1]; 2], Some(("b", false))));
            assert!(bench.warnings("b").starts_with("there are no more numbers"), "{}", bench.warnings("b"));
            assert_eq!(bench.configure(NOW, &[("c", c)])["c"], NOWHERE);
            assert_eq!(bench.configure(NOW + REST, &[("c", c)])["c"], DeviceId(u16::MAX - 1));
            assert_eq!(bench.configure(NOW + REST, &[("c", c), ("b", b)])["b"], NOWHERE);
            assert_eq!((bench.served(), bench.warnings("c")), (vec![vec![u16::MAX - 1]; 2], String::new()));
        });
    }

    #[test]
    fn a_device_is_made_when_its_namespace_is_there_and_others_do_not_wait() {
        fresh(|| {
            let mut bench = Bench::new();
            let there = Namespace::create().expect("namespace");
            let (path, held) = named(&there);
            let text = format!(r#"name = "vti", addresses = ["10.0.0.1/30"], netns = "{path}""#);
            // Both tenants have the same name and address.
            let absent = r#"name = "vti", addresses = ["10.0.0.1/30"], netns = "sandhog-no-such-tenant""#;
            bench.configure(NOW, &[("a", absent), ("b", &text)]);
            assert_eq!(bench.served(), [[2], [2]]);
            assert_eq!(there.run(|| addresses("vti")).expect("enter"), ["10.0.0.1/30"]);
            assert_eq!((link("vti"), bench.devices.of("a")), (None, Some(("vti", false))));
            let sentence = "there is no network namespace sandhog-no-such-tenant: make it with `ip netns add sandhog-no-such-tenant`";
            assert_eq!(bench.warnings("a"), sentence);
            assert_eq!(bench.told(), [("a interface.missing".into(), sentence.to_owned())]);
            assert_eq!(bench.devices.deadline(), Some(NOW + LOOK));
            bench.tick(NOW + LOOK);
            assert_eq!(bench.told(), [], "told once");
            // The namespace of the other one goes, and its device with it.
            drop((there, held));
            while bench.devices.by_connection["b"].device.as_ref().is_some_and(|device| device.hold.name().is_ok()) {
                std::thread::yield_now();
            }
            bench.devices.lost(NOW + LOOK, DeviceId(2), 1);
            bench.tick(NOW + LOOK);
            assert_eq!(bench.served(), [[0_u16; 0]; 2]);
            assert_eq!(bench.told()[0].0, "b interface.lost");
            assert!(bench.warnings("b").contains("taken away"));
            assert_eq!(bench.devices.deadline(), Some(NOW + LOOK + SOON));
        });
    }

    /// Numbers of processes are used again; whose device it is that comes back, a person has to say.
    #[test]
    fn a_path_of_a_process_stands_for_one_namespace_and_never_for_ours() {
        fresh(|| {
            let mut bench = Bench::new();
            let text = |path: &str| format!(r#"name = "vti", netns = "{path}""#);
            bench.configure(NOW, &[("a", &text("/proc/thread-self/ns/net"))]);
            assert_eq!((bench.served(), link("vti")), (vec![vec![]; 2], None));
            assert!(bench.warnings("a").contains("the gateway itself"), "{}", bench.warnings("a"));
            let there = [(); 2].map(|()| Namespace::create().expect("namespace"));
            let (path, held) = named(&there[0]);
            bench.configure(NOW, &[("a", &text(&path))]);
            assert_eq!(bench.served(), [[1], [1]]);
            // As if it had been another one.
            let entry = bench.devices.by_connection.get_mut("a").expect("entry");
            entry.first = Some(there[1].number().expect("number"));
            bench.devices.lost(NOW, DeviceId(1), 1);
            bench.tick(NOW + SOON);
            assert_eq!(bench.served(), [[0_u16; 0]; 2]);
            assert!(bench.warnings("a").contains("another network namespace than it was"), "{}", bench.warnings("a"));
            // A reload for others says nothing of it.
            bench.configure(NOW + SOON, &[("a", &text(&path)), ("b", r#"name = "other""#)]);
            assert_eq!(bench.served(), [[2], [2]]);
            let warning = bench.warnings("a");
            assert!(warning.contains("another network namespace than it was: take the connection down"), "{warning}");
            bench.devices.confirm(NOW + SOON, "a");
            bench.tick(NOW + SOON);
            assert_eq!((bench.served(), bench.warnings("a")), (vec![vec![1, 2]; 2], String::new()));
            // Nobody is there when it is taken down: whoever comes then was not meant.
            bench.devices.by_connection.get_mut("a").expect("entry").first = Some((1, 1));
            drop(held);
            bench.tick(NOW + LOOK * 2);
            bench.devices.confirm(NOW + LOOK * 2, "a");
            assert_eq!(bench.devices.by_connection["a"].first, Some((1, 1)));
            // Another path does say something.
            let (path, held) = named(&there[0]);
            bench.configure(NOW + LOOK * 2, &[("a", &text(&path)), ("b", r#"name = "other""#)]);
            assert_eq!((bench.served(), bench.warnings("a")), (vec![vec![1, 2]; 2], String::new()));
            drop(held);
        });
    }

    /// The number of a process is used again while nobody is there, or another daemon has come since: it is the same for both.
    #[test]
    fn who_takes_over_knows_which_namespace_was_meant() {
        fresh(|| {
            let there = [(); 2].map(|()| Namespace::create().expect("namespace"));
            let ((path, first), (other, second)) = (named(&there[0]), named(&there[1]));
            let text = |path: &str| format!(r#"name = "vti", netns = "{path}""#);
            let mut old = Bench::new();
            old.configure(NOW, &[("a", &text(&path)), ("b", &text(&other)), ("c", r#"name = "ours""#)]);
            let mut known = old.devices.namespaces();
            let of = |name: &str, path: &str, at: usize| -> handed::Named {
                (name.into(), path.into(), there[at].number().expect("number"))
            };
            assert_eq!(known, [of("a", &path, 0), of("b", &other, 1)]);
            // As if the path had been that of another one.
            known[0].2 = there[1].number().expect("number");
            let mut new = Devices::new(old.inboxes.clone());
            let moved = text(&path).replace("vti", "vtj");
            new.configure(NOW, &config(&[("a", &text(&path)), ("b", &moved)], "start"), &HashMap::new());
            new.remember(known);
            assert_eq!(new.by_connection["b"].first, None, "another path stands for another");
            drop(old);
            new.tick(NOW);
            let warning = new.warnings("a").collect::<String>();
            assert!(warning.contains("another network namespace than it was"), "{warning}");
            drop((first, second));
        });
    }

    /// A socket of anybody keeps a namespace whose name is gone.
    #[test]
    fn a_device_leaves_a_namespace_that_has_lost_its_name() {
        fresh(|| {
            let mut bench = Bench::new();
            let there = Namespace::create().expect("namespace");
            let (path, held) = named(&there);
            let text = format!(r#"name = "vti", netns = "{path}""#);
            there.run(|| host::set_sysctl("net/ipv4/ip_forward", "0")).expect("enter").expect("set");
            bench.configure(NOW, &[("a", &text)]);
            let forwards = format!("in the network namespace {path}: net.ipv4.ip_forward is 0");
            assert!(bench.devices.warnings("a").any(|text| text.starts_with(&forwards)));
            bench.tick(NOW + LOOK);
            assert_eq!((bench.served(), there.run(|| link("vti").is_some()).expect("enter")), (vec![vec![1]; 2], true));
            drop(held);
            bench.tick(NOW + LOOK * 2);
            assert_eq!((bench.served(), bench.devices.of("a")), (vec![vec![]; 2], Some(("vti", false))));
            assert!(there.run(|| link("vti").is_none()).expect("enter"));
            assert_eq!(bench.told()[0].0, "a interface.lost");
        });
    }

    /// The path of its namespace stands for another one by now, which has a device with the same number: that is not ours to change.
    #[test]
    fn a_device_is_changed_where_it_is() {
        fresh(|| {
            let mut bench = Bench::new();
            let [there, elsewhere] = [(); 2].map(|()| Namespace::create().expect("namespace"));
            let path = std::env::temp_dir().join(format!("sandhog-netns-{}", std::process::id()));
            let names = [&there, &elsewhere].map(named);
            let point = |to: &str| {
                let _ = fs::remove_file(&path);
                std::os::unix::fs::symlink(to, &path).expect("link");
            };
            point(&names[0].0);
            let text =
                |addresses: &str| format!(r#"name = "vti", addresses = [{addresses}], netns = "{}""#, path.display());
            bench.configure(NOW, &[("a", &text(r#""10.0.0.1/30""#))]);
            let number = there.run(|| link("vti").expect("made").index).expect("enter");
            let occupy = || {
                let others = (1..100).map(|_| Device::create("other", 1).expect("create"));
                // The others go, and their name with them.
                others.into_iter().find(|_| link("other").expect("other").index == number)
            };
            let occupied = elsewhere.run(occupy).expect("enter").expect("a number");
            point(&names[1].0);
            bench.configure(NOW, &[("a", &text(r#""10.0.0.5/30""#))]);
            fs::remove_file(&path).expect("remove");
            assert_eq!(there.run(|| addresses("vti")).expect("enter"), ["10.0.0.5/30"]);
            assert_eq!(elsewhere.run(|| addresses("other")).expect("enter"), Vec::<String>::new());
            drop(occupied);
        });
    }

    /// What somebody else has done to it already is done, and what cannot be done is tried again with a new device.
    #[test]
    fn a_change_that_fails_is_made_up_for() {
        fresh(|| {
            let mut bench = Bench::new();
            bench.configure(NOW, &[("a", r#"name = "vti""#)]);
            let made = link("vti").expect("made").index;
            let netlink = Netlink::open().expect("netlink");
            netlink.add_address(&on(made, &("10.0.0.1".parse().expect("address"), 30))).expect("address");
            let two = r#"name = "vti", addresses = ["10.0.0.1/30", "10.0.0.5/30"]"#;
            bench.configure(NOW, &[("a", two)]);
            assert_eq!(
                (addresses("vti"), link("vti").map(|l| l.index)),
                (vec!["10.0.0.1/30".into(), "10.0.0.5/30".into()], Some(made))
            );
            assert!(netlink.delete_link(made).expect("delete"));
            bench.configure(NOW, &[("a", r#"name = "vti", addresses = ["10.0.0.9/30"]"#)]);
            assert_eq!((addresses("vti"), bench.served()), (vec!["10.0.0.9/30".into()], vec![vec![1]; 2]));
        });
    }

    #[test]
    fn what_was_deleted_is_made_anew_and_late_news_of_it_are_no_news() {
        fresh(|| {
            let mut bench = Bench::new();
            bench.configure(NOW, &[("a", r#"name = "vti-a""#), ("b", r#"name = "vti-b""#)]);
            let netlink = Netlink::open().expect("netlink");
            let before = link("vti-a").expect("made").index;
            assert!(netlink.delete_link(before).expect("delete"));
            let mut queue = bench.queues[0].remove(&DeviceId(1)).expect("a queue");
            assert_ne!(queue.read(&mut [0; 2000]).expect_err("gone").kind(), io::ErrorKind::WouldBlock);
            bench.devices.lost(NOW, DeviceId(1), 1);
            bench.tick(NOW);
            assert_eq!((bench.served(), bench.devices.of("a")), (vec![vec![2]; 2], Some(("vti-a", false))));
            bench.tick(NOW + SOON);
            assert_eq!(bench.served(), [[1, 2], [1, 2]]);
            assert_eq!((bench.devices.of("a"), bench.warnings("a")), (Some(("vti-a", true)), String::new()));
            bench.devices.lost(NOW + SOON, DeviceId(1), 1);
            bench.tick(NOW + SOON);
            assert_eq!((bench.served(), bench.told().len()), (vec![vec![1, 2]; 2], 1));
        });
    }

    /// Whatever a read says, nobody would read it again.
    #[test]
    fn a_device_that_cannot_be_read_is_made_anew() {
        fresh(|| {
            let mut bench = Bench::new();
            bench.configure(NOW, &[("a", r#"name = "vti""#)]);
            let before = link("vti").expect("made").index;
            bench.devices.lost(NOW, DeviceId(1), 1);
            bench.tick(NOW);
            assert_eq!((bench.served(), link("vti")), (vec![vec![]; 2], None));
            assert!(bench.told()[0].1.contains("cannot be read"));
            bench.tick(NOW + SOON);
            assert_eq!((bench.served(), bench.warnings("a")), (vec![vec![1]; 2], String::new()));
            let made = link("vti").expect("made anew").index;
            // The other worker is late.
            bench.devices.lost(NOW + SOON, DeviceId(1), 1);
            bench.tick(NOW + SOON);
            assert_eq!((link("vti").map(|link| link.index), before == made), (Some(made), false));
        });
    }

    /// What is wrong may stay so: nobody is told of it each second for ever.
    #[test]
    fn a_device_that_never_lasts_is_made_anew_less_and_less_often() {
        fresh(|| {
            let mut bench = Bench::new();
            bench.configure(NOW, &[("a", r#"name = "vti""#)]);
            let (mut now, mut waits) = (NOW, vec![]);
            for (generation, lasts) in (1..).zip([0, 0, 0, 0, 0, 0, 59, 60, 1].map(Duration::from_secs)) {
                now += lasts;
                bench.devices.lost(now, DeviceId(1), generation);
                let at = bench.devices.by_connection["a"].retry_at;
                waits.push((at - now).as_secs());
                assert!(bench.devices.deadline().is_some_and(|due| due <= at));
                now = at;
                bench.tick(now);
                assert_eq!(bench.served(), [[1], [1]]);
            }
            assert_eq!(waits, [1, 2, 4, 8, 10, 10, 10, 1, 2]);
        });
    }

    #[test]
    fn a_device_that_was_renamed_or_whose_name_is_taken() {
        fresh(|| {
            let mut bench = Bench::new();
            let netlink = Netlink::open().expect("netlink");
            netlink.add_veth("vti-b", "other").expect("veth");
            bench.configure(NOW, &[("a", r#"name = "vti-a""#), ("b", r#"name = "vti-b""#)]);
            assert!(
                bench.warnings("b").contains("there is a network device `vti-b` already"),
                "{}",
                bench.warnings("b")
            );
            assert_eq!(bench.served(), [[1], [1]]);
            let rename = ["link", "set", "dev", "vti-a", "down", "name", "mine"];
            assert!(std::process::Command::new("ip").args(rename).status().expect("ip").success());
            bench.tick(NOW + LOOK);
            assert_eq!((bench.devices.of("a"), bench.served()), (Some(("mine", true)), vec![vec![1]; 2]));
            assert!(netlink.delete_link(link("vti-b").expect("veth").index).expect("delete"));
            bench.tick(NOW + LOOK * 2);
            assert_eq!((bench.served(), bench.warnings("b")), (vec![vec![1, 2]; 2], String::new()));
            // Renamed or not, it goes when it is not configured any more.
            bench.configure(NOW + LOOK * 2, &[("b", r#"name = "vti-b""#)]);
            assert_eq!((link("mine"), bench.served()), (None, vec![vec![2]; 2]));
        });
    }

    #[test]
    fn a_carrier_is_there_while_a_child_is_up() {
        fresh(|| {
            let mut bench = Bench::new();
            bench.configure(NOW, &[("a", r#"name = "vti-a", addresses = ["10.0.0.1/24"]"#)]);
            let down = |id| Event::ChildDown {
                id: ChildId(id),
                connection: "a".into(),
                child: "all".into(),
                resource: None,
                why: crate::ike::event::Ended::ByPeer,
            };
            let sends = |bench: &mut Bench| {
                let socket = std::net::UdpSocket::bind("10.0.0.1:0").expect("bind");
                let _ = socket.send_to(b"hello", "10.0.0.2:2000");
                let queues = bench.queues.iter_mut().flat_map(|queues| queues.values_mut());
                let mut came = Vec::new();
                for queue in queues {
                    let mut buf = [0; 2000];
                    while let Ok((VnetHeader { .. }, len)) = queue.read(&mut buf) {
                        came.push(buf[..len].ends_with(b"hello"));
                    }
                }
                came.contains(&true)
            };
            assert!(!sends(&mut bench), "nothing is up");
            let entry = bench.devices.by_connection.get_mut("a").expect("entry");
            entry.children.insert(ChildId(1));
            entry.set_carrier(&entry.device.as_ref().expect("device").hold);
            // The kernel lets packets go a moment later.
            assert!((0..1_000_000).any(|_| sends(&mut bench)), "one is up");
            bench.devices.note(&down(2));
            assert!(sends(&mut bench), "another's end");
            bench.devices.note(&down(1));
            assert!((0..1_000_000).any(|_| !sends(&mut bench)), "none is up");
        });
    }

    /// Without a carrier no packet comes that could bring a child up.
    #[test]
    fn another_configuration_is_another_carrier() {
        fresh(|| {
            let mut bench = Bench::new();
            for (start, carrier) in [("start", false), ("trap", true), ("none", false)] {
                bench.configure_as(NOW, &[("a", r#"name = "vti""#)], start);
                assert_eq!(link("vti").map(|link| link.carrier), Some(carrier), "{start}");
            }
        });
    }
}
