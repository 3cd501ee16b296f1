//! Brings the kernel's routes, rules and guard to what was planned, and takes away only what is ours.
use super::backstop;
use super::clock;
use super::prefix::{self, Prefix};
use super::routes::{self, Numbers, PROTOCOL, Plan};
use super::site::{self, HostAddress, Pair, Site};
use crate::config::{Config, Gateway, OnExit};
use crate::ike::policy::{Ports, Remote};
use crate::io::netlink::{Address, Netlink, Route, RouteKind, Rule};
use crate::io::{nft, udp};
use crate::wire::selector::Selector;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// The host's addresses are looked at this often.
const GLANCE: Duration = Duration::from_secs(10);
/// All of it is looked at again after this, though the kernel tells of changes.
const REFRESH: Duration = Duration::from_secs(60);

/// What stands between the host's packets and the clear.
#[derive(Debug)]
pub struct Network {
    netlink: Netlink,
    table: Option<u32>,
    mark: u32,
    ports: Ports,
    device: String,
    /// The device or VRF that our own packets leave by.
    uplink: Option<String>,
    link: Option<u32>,
    /// Routes, rules and the guard are ours alone: what was not planned may go.
    settled: bool,
    pairs: Vec<Pair>,
    ends: Ends,
    /// Addresses that peers have given us, on our device; `true`: it was we who put it there.
    given: BTreeMap<IpAddr, bool>,
    applied: Option<Site>,
    /// The guard could be put into place.
    guarded: bool,
    glance_at: Duration,
    refresh_at: Duration,
    /// Somebody hears when links, addresses, routes or rules change, and says so by `hurry`.
    pub is_told: bool,
    /// What could not be put into place, for status.
    pub warnings: Vec<String>,
    /// Devices of connections' own: their addresses are within tunnels.
    pub aside: BTreeSet<u32>,
}

/// The addresses of the host.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Where peers may reach us: not those of loopback, of a protected network, of our own device or of one without a cable.
    pub outer: Vec<IpAddr>,
    /// All of them.
    pub all: HashSet<IpAddr>,
    /// Those of devices that are up and have no cable.
    pub unplugged: HashSet<IpAddr>,
}

/// Outer ends that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ends {
    local: BTreeSet<IpAddr>,
    remote: BTreeSet<IpAddr>,
    /// Some peer can be anywhere.
    anywhere: bool,
}

impl Ends {
    fn extend(&mut self, others: &Self) {
        self.local.extend(&others.local);
        self.remote.extend(&others.remote);
        self.anywhere |= others.anywhere;
    }
}

impl Network {
    /// Nothing is changed yet. `AddrInUse` if another daemon is at work here: each would take the other's rules and guard for its own.
    pub fn open(gateway: &Gateway) -> io::Result<Self> {
        let this = Self::open_beside(gateway)?;
        if let Some(route) = this.netlink.routes(PROTOCOL)?.iter().find(|route| leads_into_device(route)) {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, rival(route)));
        }
        Ok(this)
    }
    /// The same for who takes over from a daemon that is at work.
    pub fn open_beside(gateway: &Gateway) -> io::Result<Self> {
        Ok(Self {
            netlink: Netlink::open()?,
            table: gateway.route_table,
            mark: gateway.mark,
            ports: gateway.ports,
            device: gateway.device.clone(),
            uplink: gateway.bind_device.clone(),
            link: None,
            settled: false,
            pairs: Vec::new(),
            ends: Ends::default(),
            given: BTreeMap::new(),
            applied: None,
            guarded: false,
            glance_at: Duration::ZERO,
            refresh_at: Duration::ZERO,
            is_told: false,
            warnings: Vec::new(),
            aside: BTreeSet::new(),
        })
    }
    /// What the configuration protects from now on. Before there is a device, nothing is taken away and a guard that is there stays: it
    /// may be that of another daemon, and we may yet find that the ports are taken.
    pub fn configure(&mut self, config: &Config) -> io::Result<()> {
        self.want(site::pairs(config), ends(config))
    }
    /// The same, and what was protected before stays so.
    pub fn extend(&mut self, config: &Config) -> io::Result<()> {
        let mut pairs = site::pairs(config);
        pairs.extend_from_slice(&self.pairs);
        let mut ends = ends(config);
        ends.extend(&self.ends);
        self.want(pairs, ends)
    }
    /// Nothing is to be done where that is what there is; if somebody else has changed it, `tick` sees that.
    fn want(&mut self, mut pairs: Vec<Pair>, ends: Ends) -> io::Result<()> {
        pairs.sort_unstable_by_key(|pair| (pair.local, pair.remote, pair.priority, pair.treatment));
        pairs.dedup();
        if self.applied.is_some() && (&pairs, &ends) == (&self.pairs, &self.ends) {
            return Ok(());
        }
        let before = (std::mem::replace(&mut self.pairs, pairs), std::mem::replace(&mut self.ends, ends));
        self.applied = None;
        let result = self.refresh();
        if result.is_err() {
            // What was protected stays wanted: the next look at the host puts it back. But as long as what is there is of the daemon before, we know
            // of nothing else that is protected: with nothing wanted `leave` would open all of it.
            if self.settled {
                (self.pairs, self.ends) = before;
            }
            self.applied = None;
        }
        result
    }
    /// Brings our device up with an MTU and sends what is protected into it.
    pub fn attach(&mut self, mtu: u32) -> io::Result<()> {
        let link = self.netlink.link(&self.device)?.index;
        self.netlink.set_mtu(link, mtu)?;
        self.netlink.set_up(link, true)?;
        self.link = Some(link);
        self.settled = true;
        self.applied = None;
        self.refresh()
    }
    /// The host's addresses have changed: `tick` looks at them at once.
    pub fn hurry(&mut self) {
        (self.glance_at, self.refresh_at) = (Duration::ZERO, Duration::ZERO);
    }
    /// The addresses that the host has now.
    pub fn addresses(&self) -> Addresses {
        let found = self.netlink.addresses().unwrap_or_default();
        let links = self.netlink.links().unwrap_or_default();
        let uplink = self.uplink.as_ref().map(|name| links.iter().find(|l| l.name == *name).map(|l| l.index));
        let reachable = |link: u32| match uplink {
            None => true,
            Some(uplink) => {
                uplink == Some(link)
                    || links.iter().any(|l| l.index == link && l.master.is_some() && l.master == uplink)
            }
        };
        let unplugged = |link: u32| links.iter().any(|l| l.index == link && l.up && !l.carrier);
        let inside = |addr: IpAddr| {
            let host = prefix::host(addr);
            let networks =
                self.pairs.iter().map(|pair| pair.local).filter(|local| !prefix::is_wide(*local) && *local != host);
            networks.into_iter().any(|network| prefix::contains(network, host))
        };
        let local = |addr: IpAddr| match addr {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
        };
        let ours = |link: u32| Some(link) == self.link || self.aside.contains(&link);
        let mut addresses = Addresses::default();
        for Address { link, addr, .. } in found {
            addresses.all.insert(addr);
            if unplugged(link) {
                addresses.unplugged.insert(addr);
            } else if !ours(link) && reachable(link) && !local(addr) && !inside(addr) {
                addresses.outer.push(addr);
            }
        }
        addresses
    }
    /// The address of this host that a packet of its own to `target` has as its source, as one of these selectors: as the routes choose it
    /// (an address that a peer gave us first, an outer one last).
    pub fn source_within(&self, local_ts: &[Selector], target: IpAddr) -> Option<IpAddr> {
        let site = self.applied.as_ref()?;
        let holds = |addr: &IpAddr| {
            let alike = addr.is_ipv4() == target.is_ipv4();
            alike
                && local_ts
                    .iter()
                    .any(|ts| ts.start.is_ipv4() == target.is_ipv4() && ts.start <= *addr && *addr <= ts.end)
        };
        let given = site.given.iter().copied().filter(holds).min();
        let own = || site.addresses.iter().map(|address| address.addr).filter(holds);
        given.or_else(|| own().filter(|addr| !site.outer.contains(addr)).min()).or_else(|| own().min())
    }
    /// Puts the addresses that peers have given us on our device, and takes away those that are not wanted any more, if it was we who put them
    /// there. What the gateway itself sends through the tunnel has them as its source from then on.
    pub fn give(&mut self, wanted: &BTreeSet<IpAddr>) {
        let Some(link) = self.link else { return };
        let address = |addr: IpAddr| Address { link, addr, prefix_len: prefix::host(addr).1 };
        for addr in wanted {
            if self.given.contains_key(addr) {
                continue;
            }
            match self.netlink.add_address(&address(*addr)) {
                Ok(()) => drop(self.given.insert(*addr, true)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => drop(self.given.insert(*addr, false)),
                Err(error) => tracing::error!(%addr, %error, "an address that a peer gave us could not be installed"),
            }
        }
        let gone: Vec<_> =
            self.given.iter().map(|(addr, set)| (*addr, *set)).filter(|(a, _)| !wanted.contains(a)).collect();
        for (addr, set) in gone {
            self.given.remove(&addr);
            if set && let Err(error) = self.netlink.delete_address(&address(addr)) {
                tracing::error!(%addr, %error, "an address that a peer gave us could not be removed");
            }
        }
        if let Err(error) = self.refresh() {
            tracing::error!(%error, "routes could not follow an address that a peer gave us");
        }
    }
    /// These addresses are on our device already: the daemon before has put them there.
    pub fn adopt(&mut self, given: &BTreeSet<IpAddr>) {
        self.given.extend(given.iter().map(|addr| (*addr, true)));
    }
    /// Follows the host's addresses, and puts back what others have taken away, when it is time to look.
    pub fn tick(&mut self, now: Duration) {
        if now < self.glance_at {
            return;
        }
        let intact = now < self.refresh_at && self.is_told && self.applied.is_some();
        let result = if intact { self.glance() } else { self.refresh() };
        if let Err(error) = result {
            tracing::error!(%error, "routes could not be brought up to date");
        }
    }
    /// When `tick` is due.
    pub fn deadline(&self) -> Duration {
        self.glance_at
    }
    /// A clean stop: leaves what keeps packets in, or takes all of it away.
    pub fn leave(&mut self, on_exit: OnExit) -> io::Result<()> {
        self.link = None;
        // They went with the device.
        self.given.clear();
        self.settled = true;
        if on_exit == OnExit::Open || self.pairs.is_empty() {
            self.apply(&Plan::default())?;
            nft::delete(backstop::TABLE)?;
            tracing::info!("routes, rules and the guard were removed");
            return Ok(());
        }
        let site = self.site()?;
        self.applied = None;
        self.apply_site(&site)?;
        tracing::info!(
            "protected destinations stay unreachable (on_exit = \"closed\"). To open them: {}",
            opening(self.table.unwrap_or_default(), &self.plan(&site))
        );
        Ok(())
    }

    /// Nobody tells of tables of nftables: whether ours is there.
    fn glance(&mut self) -> io::Result<()> {
        let wanted = self.applied.as_ref().is_some_and(|site| site.protected().next().is_some());
        if wanted && !(self.guarded && nft::exists(backstop::TABLE).unwrap_or(false)) {
            return self.refresh();
        }
        self.glance_at = clock::now() + GLANCE;
        Ok(())
    }

    fn refresh(&mut self) -> io::Result<()> {
        let now = clock::now();
        (self.glance_at, self.refresh_at) = (now + GLANCE, now + REFRESH);
        let site = self.site()?;
        self.apply_site(&site)?;
        self.applied = Some(site);
        Ok(())
    }

    fn apply_site(&mut self, site: &Site) -> io::Result<()> {
        self.warnings.clear();
        // The guard first: it needs no routes, and the routes let packets in that it judges. They keep packets in, also where it cannot be had.
        let guarded = self.guard(site);
        if self.table.is_some() {
            let plan = self.plan(site);
            let changed = self.apply(&plan)?;
            if changed > 0 && self.applied.as_ref() == Some(site) {
                tracing::warn!(changed, "somebody else has removed routes or rules of ours; they were put back");
            }
        } else if site.protected().next().is_some() {
            self.warnings.push(
                "route_table = \"none\": nothing keeps packets for protected destinations from leaving in the clear but your own routes"
                    .into(),
            );
        }
        guarded
    }

    fn plan(&self, site: &Site) -> Plan {
        let numbers = |table| Numbers { table, mark: self.mark, device: self.link };
        self.table.map_or_else(Plan::default, |table| routes::plan(site, numbers(table)))
    }

    fn guard(&mut self, site: &Site) -> io::Result<()> {
        let unchanged = self.applied.as_ref() == Some(site);
        let there = (unchanged || !self.settled) && nft::exists(backstop::TABLE).unwrap_or(false);
        if there || unchanged && site.protected().next().is_none() {
            return Ok(());
        }
        let guard = backstop::plan(site, &self.device, self.ports);
        if unchanged && self.guarded {
            tracing::warn!("somebody else has removed the nftables table of ours; it was put back");
        }
        let result = if guard.protected.is_empty() {
            nft::delete(backstop::TABLE).map(drop)
        } else {
            nft::replace(backstop::TABLE, &guard)
        };
        self.guarded = result.is_ok();
        match result {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.warnings.push(
                    "the kernel has no nftables: packets that come in the clear with protected addresses are not dropped (load nf_tables)".into(),
                );
                Ok(())
            }
            result => result,
        }
    }

    /// How many steps it took. What protects does not wait for what cannot be done; but then nothing is removed.
    fn apply(&self, plan: &Plan) -> io::Result<usize> {
        let present = Plan { routes: self.netlink.routes(PROTOCOL)?, rules: self.netlink.rules()? };
        let adds = |change: &Change| matches!(change, Change::PutRoute(_) | Change::AddRule(_));
        let mut result = Ok(0);
        for change in changes(&present, plan) {
            if !adds(&change) && (!self.settled || result.is_err()) {
                continue;
            }
            let done = match &change {
                Change::PutRoute(route) => self.netlink.replace_route(route),
                Change::AddRule(rule) => match self.netlink.add_rule(rule) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    result => result,
                },
                Change::DeleteRule(rule) => self.netlink.delete_rule(rule).map(drop),
                Change::DeleteRoute(route) => self.netlink.delete_route(route).map(drop),
            };
            result = result.and_then(|steps| done.map(|()| steps + 1));
        }
        result
    }

    fn site(&self) -> io::Result<Site> {
        let own = self.link;
        let lo = |addr: IpAddr| addr.is_loopback();
        let addresses = self.netlink.addresses()?.into_iter().filter(|a| Some(a.link) != own && !lo(a.addr));
        let addresses = addresses.map(|a| HostAddress {
            link: a.link,
            addr: a.addr,
            network: prefix::network(a.addr, a.prefix_len),
        });
        let mut outer: Vec<IpAddr> = self.ends.local.iter().copied().collect();
        outer.extend(self.ends.remote.iter().filter_map(|&remote| self.source_to(remote)));
        if self.ends.anywhere {
            outer.extend(ANYWHERE.iter().filter_map(|remote| self.source_to(*remote)));
        }
        let given = self.given.keys().copied().collect();
        Ok(Site { given, ..Site::new(self.pairs.clone(), addresses.collect(), outer) })
    }

    fn source_to(&self, remote: IpAddr) -> Option<IpAddr> {
        udp::route_to(remote, Some(self.mark)).ok().map(|route| route.source).filter(|source| !source.is_loopback())
    }
}

/// Addresses that only a default route leads to (RFC 5737, RFC 3849): whoever may come from anywhere is answered from where they lead.
const ANYWHERE: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)),
];

fn ends(config: &Config) -> Ends {
    let mut ends = Ends::default();
    ends.local.extend(config.gateway.listen.iter().filter(|addr| !addr.is_unspecified()));
    for connection in &config.policy.connections {
        ends.local.extend(connection.local_addrs.iter().filter(|addr| !addr.is_unspecified()));
        for remote in &connection.remote_addrs {
            match remote {
                Remote::Addr(addr) => {
                    ends.remote.insert(*addr);
                }
                Remote::Name(_) | Remote::Any => ends.anywhere = true,
            }
        }
    }
    ends
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    PutRoute(Route),
    AddRule(Rule),
    DeleteRule(Rule),
    DeleteRoute(Route),
}

/// The steps from what is there to what is planned: first what protects more, then what protects less, so that there is no moment in
/// between at which a packet that is protected before and after is not.
fn changes(present: &Plan, wanted: &Plan) -> Vec<Change> {
    let routes: Vec<_> = present.routes.iter().filter(|route| route.protocol == PROTOCOL).collect();
    let rules: Vec<_> = present.rules.iter().filter(|rule| rule.protocol == PROTOCOL).collect();
    // There may be thousands of each.
    let place = |route: &Route| (route.table, route.destination, route.metric);
    let mut by_place: HashMap<_, Vec<&Route>> = HashMap::new();
    routes.iter().for_each(|route| by_place.entry(place(route)).or_default().push(route));
    let (there, planned): (HashSet<&Rule>, HashSet<&Rule>) =
        (rules.iter().copied().collect(), wanted.rules.iter().collect());
    let places: HashSet<_> = wanted.routes.iter().map(place).collect();
    let is_there =
        |route: &Route| by_place.get(&place(route)).is_some_and(|at| at.iter().any(|there| same(there, route)));
    let put = wanted.routes.iter().filter(|route| !is_there(route));
    let add = wanted.rules.iter().filter(|rule| !there.contains(rule));
    let drop_rules = rules.iter().filter(|rule| !planned.contains(*rule));
    let drop_routes = routes.iter().filter(|route| !places.contains(&place(route)));
    put.map(|route| Change::PutRoute(*route))
        .chain(add.map(|rule| Change::AddRule(rule.clone())))
        .chain(drop_rules.map(|rule| Change::DeleteRule((*rule).clone())))
        .chain(drop_routes.map(|route| Change::DeleteRoute(**route)))
        .collect()
}

/// The kernel tells a device for routes that have none of their own.
fn same(there: &Route, wanted: &Route) -> bool {
    let link = if wanted.kind == RouteKind::Unicast { there.link } else { wanted.link };
    Route { link, gateway: wanted.gateway, ..*there } == *wanted
}

/// A route that its daemon has: it goes with the device, and the device goes with the process.
fn leads_into_device(route: &Route) -> bool {
    route.protocol == PROTOCOL && route.kind == RouteKind::Unicast && route.metric == routes::DEVICE_METRIC
}

fn rival(route: &Route) -> String {
    let (addr, len) = route.destination;
    let table = route.table;
    format!(
        "another sandhogd protects {addr}/{len} here (table {table}): stop it first, or put its connections and these into one configuration"
    )
}

/// Commands that open what a clean stop leaves closed.
fn opening(table: u32, plan: &Plan) -> String {
    let mut commands = vec![format!("nft delete table inet {}", backstop::TABLE)];
    for (ipv6, flag) in [(false, ""), (true, " -6")] {
        let of_family = |prefix: Prefix| prefix.0.is_ipv6() == ipv6;
        if plan.rules.iter().any(|rule| rule.ipv6 == ipv6) {
            commands.push(format!("ip{flag} rule flush protocol {PROTOCOL}"));
        }
        if plan.routes.iter().any(|route| of_family(route.destination)) {
            commands.push(format!("ip{flag} route flush table {table} protocol {PROTOCOL}"));
        }
    }
    commands.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::site::tests::site;
    use super::*;

    fn planned(pairs: &[&str], device: Option<u32>) -> Plan {
        let site = site(pairs, &[(3, "10.1.0.1/24")], &["192.0.2.1"]);
        routes::plan(&site, Numbers { table: 220, mark: 0xdc, device })
    }

    #[test]
    fn what_keeps_packets_in_comes_before_what_leads_them() {
        let steps = changes(&Plan::default(), &planned(&["10.1.0.0/16 > 10.2.0.0/16"], Some(9)));
        let kinds: Vec<_> = steps
            .iter()
            .map(|step| match step {
                Change::PutRoute(route) => format!("{:?}", route.kind),
                Change::AddRule(_) => "rule".into(),
                _ => "removed".into(),
            })
            .collect();
        assert_eq!(kinds, ["Prohibit", "Unicast", "rule", "rule", "rule"]);
    }

    #[test]
    fn what_was_left_is_adopted() {
        let left = planned(&["10.1.0.0/16 > 10.2.0.0/16"], None);
        assert_eq!(changes(&left, &left), []);
        let steps = changes(&left, &planned(&["10.1.0.0/16 > 10.2.0.0/16"], Some(9)));
        assert!(matches!(steps.as_slice(), [Change::PutRoute(route)] if route.link == Some(9)), "{steps:?}");
    }

    #[test]
    fn a_dead_device_is_replaced_and_never_leaves_a_gap() {
        let before = planned(&["10.1.0.0/16 > 10.2.0.0/16"], Some(9));
        let steps = changes(&before, &planned(&["10.1.0.0/16 > 10.2.0.0/16"], Some(10)));
        assert!(matches!(steps.as_slice(), [Change::PutRoute(route)] if route.link == Some(10)), "{steps:?}");
    }

    /// With ten thousand connections, of which one comes, one is another and one goes: the work is that of looking at each once.
    #[test]
    fn of_many_only_what_differs_is_touched() {
        let pair = |n: u32| format!("10.0.{}.{}/32 > 10.1.{}.{}/32", n >> 8, n & 255, n >> 8, n & 255);
        let many = |range: std::ops::Range<u32>| {
            let pairs: Vec<String> = range.map(pair).collect();
            planned(&pairs.iter().map(String::as_str).collect::<Vec<_>>(), Some(9))
        };
        let (before, after) = (many(0..20_000), many(1..20_001));
        // One rule stands for the pairs of so many.
        assert_eq!((before.routes.len(), before.rules.len()), (40_000, 2));
        let steps = changes(&before, &after);
        assert_eq!(steps.len(), 4, "{steps:?}");
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn only_ours_is_removed_and_last() {
        let mut before = planned(&["10.1.0.0/16 > 10.2.0.0/16"], Some(9));
        before.routes.push(Route { table: 220, ..Route::new(prefix::prefix("10.9.0.0/16"), 3) });
        before.rules.push(Rule::new(false, 220, 220, 3));
        let steps = changes(&before, &planned(&["10.1.0.0/16 > 10.3.0.0/16"], Some(9)));
        let first_removal =
            steps.iter().position(|step| matches!(step, Change::DeleteRule(_) | Change::DeleteRoute(_))).unwrap();
        assert!(steps[first_removal..].iter().all(|step| !matches!(step, Change::PutRoute(_) | Change::AddRule(_))));
        let foreign = |step: &Change| match step {
            Change::DeleteRule(rule) => rule.protocol != PROTOCOL,
            Change::DeleteRoute(route) => route.protocol != PROTOCOL,
            _ => false,
        };
        assert!(!steps.iter().any(foreign));
        let removed = changes(&before, &Plan::default());
        assert_eq!(removed.len(), before.routes.len() + before.rules.len() - 2);
    }

    #[test]
    fn a_daemon_at_work_is_seen_and_what_one_left_is_adopted() {
        let running = planned(&["10.1.0.0/16 > 10.2.0.0/16"], Some(9)).routes;
        assert!(running.iter().any(leads_into_device));
        let left = planned(&["0.0.0.0/0 > 0.0.0.0/0"], None).routes;
        assert!(left.len() > 1 && !left.iter().any(leads_into_device), "{left:?}");
    }

    /// Another configuration: what it protects is protected at once, and what the one before protected until it is not needed any more.
    #[test]
    fn what_comes_is_protected_before_what_goes_is_given_up() {
        crate::io::netns::fresh(|| {
            let config = |nets: &[u8]| {
                let child = |net: &u8| {
                    format!(
                        "[connections.a.children.c{net}]\nmode = \"drop\"\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.{net}.0.0/16\"]\n"
                    )
                };
                let source = crate::config::Source { name: "a.toml".into(), text: nets.iter().map(child).collect() };
                crate::config::parse(&[source], &crate::config::secret::System).expect("valid")
            };
            let gateway = Gateway::default();
            let mut network = Network::open(&gateway).expect("open");
            let queues = crate::io::tun::Device::create(&gateway.device, 1).expect("device");
            network.configure(&config(&[2, 3])).expect("configure");
            network.attach(1400).expect("attach");
            let protected = |network: &Network| {
                let routes = network.netlink.routes(PROTOCOL).expect("routes").into_iter();
                let nets: BTreeSet<_> = routes.map(|route| route.destination.0.to_string()).collect();
                nets.into_iter().collect::<Vec<_>>().join(" ")
            };
            assert_eq!(protected(&network), "10.2.0.0 10.3.0.0");
            network.extend(&config(&[3, 4])).expect("extend");
            assert_eq!(protected(&network), "10.2.0.0 10.3.0.0 10.4.0.0");
            network.configure(&config(&[3, 4])).expect("configure");
            assert_eq!(protected(&network), "10.3.0.0 10.4.0.0");
            drop(queues);
        });
    }

    /// Who has taken over and can put nothing into place yet knows what is protected all the same, when it has to end.
    #[test]
    fn who_has_not_settled_leaves_closed_what_the_daemon_before_has_protected() {
        crate::io::netns::fresh(|| {
            let gateway = Gateway::default();
            let mut before = Network::open(&gateway).expect("open");
            let queues = crate::io::tun::Device::create(&gateway.device, 1).expect("device");
            let pairs = site(&["10.1.0.0/16 > 10.2.0.0/16"], &[], &[]).pairs;
            before.want(pairs.clone(), Ends::default()).expect("routes");
            before.attach(1400).expect("attach");
            let guarded = nft::exists(backstop::TABLE).unwrap_or(false);
            let rules = |network: &Network| {
                network.netlink.rules().expect("rules").iter().filter(|rule| rule.protocol == PROTOCOL).count()
            };
            let ruled = rules(&before);
            assert!(ruled > 0);

            let mut heir = Network::open_beside(&gateway).expect("open");
            // The kernel takes no destination with bits behind its length.
            let broken = Pair { remote: ("10.4.0.1".parse().unwrap(), 16), ..pairs[0] };
            assert!(heir.want([pairs, vec![broken]].concat(), Ends::default()).is_err());
            drop(queues);
            let _ = heir.leave(OnExit::Closed);
            let routes = heir.netlink.routes(PROTOCOL).expect("routes");
            let closed =
                |route: &Route| route.kind == RouteKind::Prohibit && route.destination == prefix::prefix("10.2.0.0/16");
            assert!(routes.iter().any(closed), "{routes:?}");
            assert!(rules(&heir) >= ruled, "none has gone");
            assert_eq!(nft::exists(backstop::TABLE).unwrap_or(false), guarded);
            // Whoever wants it open has it open.
            heir.leave(OnExit::Open).expect("leave");
            assert_eq!((rules(&heir), heir.netlink.routes(PROTOCOL).expect("routes")), (0, vec![]));
        });
    }

    #[test]
    fn what_others_take_away_is_put_back() {
        crate::io::netns::fresh(|| {
            let gateway = Gateway::default();
            let mut network = Network::open(&gateway).expect("open");
            let queues = crate::io::tun::Device::create(&gateway.device, 1).expect("device");
            network.pairs = site(&["10.1.0.0/16 > 10.2.0.0/16", "fd00:1::/64 > fd00:2::/64"], &[], &[]).pairs;
            network.attach(1400).expect("attach");
            let present = |network: &Network| Plan {
                routes: network.netlink.routes(PROTOCOL).expect("routes"),
                rules: network.netlink.rules().expect("rules").into_iter().filter(|r| r.protocol == PROTOCOL).collect(),
            };
            let before = present(&network);
            assert!(before.rules.len() == 6 && before.routes.len() == 4, "{before:?}");
            assert_eq!(network.apply(&network.plan(&network.site().expect("site"))).expect("apply"), 0, "steady");
            let again = Network::open(&gateway).expect_err("another daemon");
            assert!(again.to_string().contains("another sandhogd protects 10.2.0.0/16"), "{again}");
            before.rules.iter().for_each(|rule| assert!(network.netlink.delete_rule(rule).expect("rule")));
            before.routes.iter().for_each(|route| assert!(network.netlink.delete_route(route).expect("route")));
            let guarded = nft::delete(backstop::TABLE).is_ok_and(|there| there);
            network.tick(Duration::MAX);
            let sorted = |mut plan: Plan| {
                plan.rules.sort_by_key(|rule| (rule.ipv6, rule.priority));
                plan.routes.sort_by_key(|route| (route.destination, route.metric));
                plan
            };
            assert_eq!(sorted(present(&network)), sorted(before));
            assert_eq!(nft::exists(backstop::TABLE).is_ok_and(|there| there), guarded);
            drop(queues);
        });
    }

    #[test]
    fn peers_reach_us_where_our_own_packets_leave_and_not_within_tunnels() {
        crate::io::netns::fresh(|| {
            let mut network = Network::open(&Gateway::default()).expect("open");
            network.netlink.add_veth("wan", "vti").expect("veth");
            let link = |network: &Network, name: &str| network.netlink.link(name).expect(name).index;
            for (name, addr) in [("wan", [192, 0, 2, 1]), ("vti", [10, 9, 0, 1])] {
                let address = Address { link: link(&network, name), addr: addr.into(), prefix_len: 24 };
                network.netlink.add_address(&address).expect("address");
                network.netlink.set_up(address.link, true).expect("up");
            }
            let outer = |network: &Network| {
                let mut outer: Vec<_> = network.addresses().outer.iter().map(ToString::to_string).collect();
                outer.sort();
                outer.join(" ")
            };
            assert_eq!(outer(&network), "10.9.0.1 192.0.2.1");
            network.aside = BTreeSet::from([link(&network, "vti")]);
            assert_eq!(outer(&network), "192.0.2.1");
            network.aside.clear();
            for (uplink, expected) in [("wan", "192.0.2.1"), ("vti", "10.9.0.1"), ("not there", "")] {
                network.uplink = Some(uplink.into());
                assert_eq!(outer(&network), expected);
            }
        });
    }

    #[test]
    fn addresses_that_peers_give_come_and_go_and_routes_follow() {
        crate::io::netns::fresh(|| {
            let gateway = Gateway::default();
            let mut network = Network::open(&gateway).expect("open");
            let queues = crate::io::tun::Device::create(&gateway.device, 1).expect("device");
            network.pairs = site(&["0.0.0.0/0 > 10.2.0.0/16", "fd09::/64 > fd00:2::/64"], &[], &[]).pairs;
            network.attach(1400).expect("attach");
            let foreign = Address { link: network.link.unwrap(), addr: "10.9.0.8".parse().unwrap(), prefix_len: 32 };
            network.netlink.add_address(&foreign).expect("somebody else's");
            let give = |network: &mut Network, addrs: &[&str]| {
                network.give(&addrs.iter().map(|addr| addr.parse().unwrap()).collect());
                let routes = network.netlink.routes(PROTOCOL).expect("routes");
                let device = routes.iter().filter(|route| route.kind == RouteKind::Unicast);
                let mut sources: Vec<_> =
                    device.filter_map(|route| route.source).map(|addr| addr.to_string()).collect();
                sources.sort();
                let addresses = network.netlink.addresses().expect("addresses");
                let own = addresses.iter().filter(|a| Some(a.link) == network.link).map(|a| a.addr.to_string());
                let mut own: Vec<_> = own.filter(|addr| !addr.starts_with("fe80")).collect();
                own.sort();
                (own.join(" "), sources.join(" "))
            };
            let shown = |own: &str, sources: &str| (own.to_owned(), sources.to_owned());
            assert_eq!(
                give(&mut network, &["10.9.0.7", "fd09::7"]),
                shown("10.9.0.7 10.9.0.8 fd09::7", "10.9.0.7 fd09::7")
            );
            assert_eq!(give(&mut network, &["10.9.0.8"]), shown("10.9.0.8", "10.9.0.8"));
            assert_eq!(give(&mut network, &[]), shown("10.9.0.8", ""), "it was not ours");
            drop(queues);
        });
    }

    #[test]
    fn the_operator_is_told_how_to_open() {
        let text = opening(220, &planned(&["10.1.0.0/16 > 10.2.0.0/16"], None));
        assert_eq!(
            text,
            "nft delete table inet sandhog; ip rule flush protocol 83; ip route flush table 220 protocol 83"
        );
    }
}
