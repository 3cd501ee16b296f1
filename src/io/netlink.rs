//! Links, addresses, routes and rules (rtnetlink), as blocking calls.
use super::sys::context;
use futures_util::{Stream, TryStreamExt};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::sys::AsyncSocket;
use rtnetlink::{IpVersion, LinkMessageBuilder, LinkUnspec, LinkVeth};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Largest packet, octets.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Something is at the other end of the cable.
    pub carrier: bool,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<u32>,
}
/// An address on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The device.
    pub link: u32,
    /// The address.
    pub addr: IpAddr,
    /// Length of its network's prefix.
    pub prefix_len: u8,
}
/// What a route does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends on.
    #[default]
    Unicast,
    /// Ends the search in this table.
    Throw,
    /// Refuses with "administratively prohibited".
    Prohibit,
    /// Refuses with "host unreachable".
    Unreachable,
    /// Discards silently.
    Blackhole,
    /// Any other kind; only seen in listings.
    Other(u8),
}
/// A route. Two are the same object for the kernel if table, destination and metric agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub destination: (IpAddr, u8),
    /// What it does.
    pub kind: RouteKind,
    /// Table; 254 is main.
    pub table: u32,
    /// Who made it (RTPROT_*).
    pub protocol: u8,
    /// Lower wins. 0 means 1024 in IPv6.
    pub metric: u32,
    /// Device.
    pub link: Option<u32>,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Source address of packets that have none yet.
    pub source: Option<IpAddr>,
}
impl Route {
    /// A unicast route in the main table without device, with metric 0.
    pub fn new(destination: (IpAddr, u8), protocol: u8) -> Self {
        Self {
            destination,
            kind: RouteKind::Unicast,
            table: 254,
            protocol,
            metric: 0,
            link: None,
            gateway: None,
            source: None,
        }
    }
}
/// A rule of policy routing that looks a table up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// It is of IPv6.
    pub ipv6: bool,
    /// Place; lower is asked first.
    pub priority: u32,
    /// Table to look up; 254 is main.
    pub table: u32,
    /// Who made it (RTPROT_*).
    pub protocol: u8,
    /// Matches packets that do *not* match the rest.
    pub invert: bool,
    /// Packets with this mark.
    pub mark: Option<u32>,
    /// Sources.
    pub from: Option<(IpAddr, u8)>,
    /// Destinations.
    pub to: Option<(IpAddr, u8)>,
    /// Packets that came in by the device with this name (`lo`: our own).
    pub input: Option<String>,
}
impl Rule {
    /// A rule that matches everything.
    pub fn new(ipv6: bool, priority: u32, table: u32, protocol: u8) -> Self {
        Self { ipv6, priority, table, protocol, invert: false, mark: None, from: None, to: None, input: None }
    }
}

/// A connection to the kernel, in the network namespace of the thread that opened it. Not to be used inside of an async runtime.
/// Errors keep the kind of the kernel's answer and say what was tried.
#[derive(Debug)]
pub struct Netlink {
    runtime: tokio::runtime::Runtime,
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// Connects.
    pub fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let handle = {
            let _inside = runtime.enter();
            let (mut connection, handle, _) = rtnetlink::new_connection()?;
            // Listings then hold what was asked for and no more. Kernels before 4.20 do not know it, and list all.
            let _ = connection.socket_mut().socket_ref().set_netlink_get_strict_chk(true);
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    /// All devices.
    pub fn links(&self) -> io::Result<Vec<Link>> {
        let messages = self.list("devices", self.handle.link().get().execute())?;
        Ok(messages.into_iter().map(read_link).collect())
    }

    /// The device with this name; `NotFound` if there is none.
    pub fn link(&self, name: &str) -> io::Result<Link> {
        let request = self.handle.link().get().match_name(name.to_owned()).execute().try_collect::<Vec<_>>();
        let found = match self.runtime.block_on(request) {
            Ok(messages) => messages.into_iter().next().map(read_link),
            Err(e) if code(&e) == Some(libc::ENODEV) => None,
            Err(e) => return Err(context(&plain(e), format_args!("device {name}"))),
        };
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no network device {name}")))
    }

    /// Creates a pair of devices joined by a cable.
    pub fn add_veth(&self, name: &str, peer: &str) -> io::Result<()> {
        let request = self.handle.link().add(LinkVeth::new(name, peer).build()).execute();
        self.ask(format_args!("add the veth pair {name}, {peer}"), request)
    }

    /// Removes a device. False if there was none.
    pub fn delete_link(&self, link: u32) -> io::Result<bool> {
        self.ask_delete(format_args!("delete device {link}"), self.handle.link().del(link).execute())
    }

    /// Sets a device up or down.
    pub fn set_up(&self, link: u32, up: bool) -> io::Result<()> {
        self.change_link(link, |builder| if up { builder.up() } else { builder.down() })
    }

    /// Sets the largest packet.
    pub fn set_mtu(&self, link: u32, mtu: u32) -> io::Result<()> {
        self.change_link(link, |builder| builder.mtu(mtu))
    }

    /// Sets the length of the device's queue, in packets.
    pub fn set_queue_length(&self, link: u32, packets: u32) -> io::Result<()> {
        self.change_link(link, |builder| builder.txqueuelen(packets))
    }

    /// Gives a device to another network namespace, where it has this name. `AlreadyExists` if another one has it there.
    pub fn move_link(&self, link: u32, namespace: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.change_link(link, |builder| builder.setns_by_fd(namespace.as_raw_fd()).name(name.to_owned()))
    }

    fn change_link(
        &self,
        link: u32,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> io::Result<()> {
        let message = change(LinkUnspec::new_with_index(link)).build();
        self.ask(format_args!("change device {link}"), self.handle.link().change(message).execute())
    }

    /// All addresses of both families.
    pub fn addresses(&self) -> io::Result<Vec<Address>> {
        let messages = self.list("addresses", self.handle.address().get().execute())?;
        Ok(messages.iter().filter_map(read_address).collect())
    }

    /// Adds an address; IPv6 without duplicate detection. `AlreadyExists` if it is there.
    pub fn add_address(&self, address: &Address) -> io::Result<()> {
        let Address { link, addr, prefix_len } = *address;
        let mut request = self.handle.address().add(link, addr, prefix_len);
        if addr.is_ipv6() {
            let no_detection = AddressFlags::from_bits_retain(libc::IFA_F_NODAD);
            request.message_mut().attributes.push(AddressAttribute::Flags(no_detection));
        }
        self.ask(format_args!("add address {addr}/{prefix_len} to device {link}"), request.execute())
    }

    /// Removes an address. False if it was not there.
    pub fn delete_address(&self, address: &Address) -> io::Result<bool> {
        let Address { link, addr, prefix_len } = *address;
        let mut message = AddressMessage::default();
        message.header.family = family(addr.is_ipv6());
        message.header.prefix_len = prefix_len;
        message.header.index = link;
        message.attributes.push(AddressAttribute::Local(addr));
        let what = format_args!("delete address {addr}/{prefix_len} from device {link}");
        self.ask_delete(what, self.handle.address().del(message).execute())
    }

    /// The routes that `protocol` made, of both families and all tables. The kernel picks them out, so that a large table of others costs little.
    pub fn routes(&self, protocol: u8) -> io::Result<Vec<Route>> {
        let mut routes = Vec::new();
        for ipv6 in [false, true] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = family(ipv6);
            filter.header.protocol = RouteProtocol::from(protocol);
            let messages = self.list("routes", self.handle.route().get(filter).execute())?;
            let found = messages.iter().filter_map(|message| read_route(message, ipv6));
            routes.extend(found.filter(|route| route.protocol == protocol));
        }
        Ok(routes)
    }

    /// Adds a route; `AlreadyExists` if there is one with this table, destination and metric.
    pub fn add_route(&self, route: &Route) -> io::Result<()> {
        let message = write_route(route)?;
        self.ask(format_args!("add {route}"), self.handle.route().add(message).execute())
    }

    /// Adds a route or replaces the one with this table, destination and metric.
    pub fn replace_route(&self, route: &Route) -> io::Result<()> {
        let message = write_route(route)?;
        self.ask(format_args!("add {route}"), self.handle.route().add(message).replace().execute())
    }

    /// Removes this route; its protocol must agree, so that only the caller's own go; metric 0 means any. False if it was not there.
    pub fn delete_route(&self, route: &Route) -> io::Result<bool> {
        let message = write_route(route)?;
        self.ask_delete(format_args!("delete {route}"), self.handle.route().del(message).execute())
    }

    /// All rules of both families.
    pub fn rules(&self) -> io::Result<Vec<Rule>> {
        let mut rules = Vec::new();
        for (ipv6, version) in [(false, IpVersion::V4), (true, IpVersion::V6)] {
            let messages = self.list("rules", self.handle.rule().get(version).execute())?;
            rules.extend(messages.iter().map(|message| read_rule(message, ipv6)));
        }
        Ok(rules)
    }

    /// Adds a rule; `AlreadyExists` if there is an equal one.
    pub fn add_rule(&self, rule: &Rule) -> io::Result<()> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = write_rule(rule)?;
        self.ask(format_args!("add {rule}"), request.execute())
    }

    /// Removes this rule; its protocol must agree. What the rule leaves open (a mark, a source) the kernel does not compare: give rules that differ
    /// in such priorities of their own. False if it was not there.
    pub fn delete_rule(&self, rule: &Rule) -> io::Result<bool> {
        self.ask_delete(format_args!("delete {rule}"), self.handle.rule().del(write_rule(rule)?).execute())
    }

    fn ask(
        &self,
        what: impl std::fmt::Display,
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> io::Result<()> {
        self.runtime.block_on(request).map_err(|e| context(&plain(e), what))
    }

    /// False if the kernel knows no such object.
    fn ask_delete(
        &self,
        what: impl std::fmt::Display,
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> io::Result<bool> {
        match self.runtime.block_on(request) {
            Ok(()) => Ok(true),
            Err(e) => match code(&e) {
                Some(libc::ESRCH | libc::ENOENT | libc::ENODEV | libc::EADDRNOTAVAIL) => Ok(false),
                _ => Err(context(&plain(e), what)),
            },
        }
    }

    fn list<T>(&self, what: &str, request: impl Stream<Item = Result<T, rtnetlink::Error>>) -> io::Result<Vec<T>> {
        // A family that the kernel lacks has no objects.
        match self.runtime.block_on(request.try_collect()) {
            Err(e) if matches!(code(&e), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => Ok(Vec::new()),
            other => other.map_err(|e| context(&plain(e), format_args!("list {what}"))),
        }
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (addr, len) = self.destination;
        write!(f, "route to {addr}/{len} in table {} with metric {}", self.table, self.metric)
    }
}
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = if self.ipv6 { "IPv6" } else { "IPv4" };
        write!(f, "{family} rule {} for table {}", self.priority, self.table)
    }
}

/// The errno of the kernel's answer.
fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    }
}

fn plain(error: rtnetlink::Error) -> io::Error {
    code(&error).map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error)
}

fn family(ipv6: bool) -> AddressFamily {
    if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn any(ipv6: bool) -> IpAddr {
    if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

fn read_link(message: LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let carrier = message.header.flags.contains(LinkFlags::LowerUp);
    let mut link = Link { index: message.header.index, name: String::new(), mtu: 0, up, carrier, master: None };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(master) => link.master = Some(master),
            _ => {}
        }
    }
    link
}

/// `Local` is our end and `Address` that of the other, where they differ.
fn read_address(message: &AddressMessage) -> Option<Address> {
    let local =
        message.attributes.iter().find_map(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    let other =
        message.attributes.iter().find_map(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None });
    Some(Address { link: message.header.index, addr: local.or(other)?, prefix_len: message.header.prefix_len })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

/// RTM_F_CLONED: an entry of the cache, not a route.
const CLONED: u32 = 0x200;

fn read_route(message: &RouteMessage, ipv6: bool) -> Option<Route> {
    let header = &message.header;
    if header.flags.bits() & CLONED != 0 {
        return None;
    }
    let mut route = Route::new((any(ipv6), header.destination_prefix_length), header.protocol.into());
    route.table = header.table.into();
    route.kind = match header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Throw => RouteKind::Throw,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::BlackHole => RouteKind::Blackhole,
        other => RouteKind::Other(other.into()),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination.0 = ip(address)?,
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Oif(link) => route.link = Some(*link),
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            _ => {}
        }
    }
    Some(route)
}

fn write_route(route: &Route) -> io::Result<RouteMessage> {
    let (destination, len) = route.destination;
    let ipv6 = destination.is_ipv6();
    let same = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_ipv6() == ipv6);
    if len > bits(destination) || !same(route.gateway) || !same(route.source) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{route} does not fit together")));
    }
    let mut message = RouteMessage::default();
    message.header.address_family = family(ipv6);
    message.header.destination_prefix_length = len;
    message.header.protocol = RouteProtocol::from(route.protocol);
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Throw => RouteType::Throw,
        RouteKind::Prohibit => RouteType::Prohibit,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Other(kind) => RouteType::from(kind),
    };
    // Gateways are only looked for behind routes of a narrower scope.
    let direct = route.kind == RouteKind::Unicast && route.gateway.is_none() && !ipv6;
    message.header.scope = if direct { RouteScope::Link } else { RouteScope::Universe };
    let attributes = &mut message.attributes;
    if len > 0 {
        attributes.push(RouteAttribute::Destination(destination.into()));
    }
    attributes.push(RouteAttribute::Table(route.table));
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    attributes.extend(route.link.map(RouteAttribute::Oif));
    attributes.extend(route.gateway.map(|ip| RouteAttribute::Gateway(ip.into())));
    attributes.extend(route.source.map(|ip| RouteAttribute::PrefSource(ip.into())));
    Ok(message)
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv6() { 128 } else { 32 }
}

fn read_rule(message: &RuleMessage, ipv6: bool) -> Rule {
    let header = &message.header;
    let mut rule = Rule::new(ipv6, 0, header.table.into(), 0);
    rule.invert = header.flags.contains(RuleFlags::Invert);
    // A prefix of length 0 comes without its address.
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Protocol(protocol) => rule.protocol = (*protocol).into(),
            RuleAttribute::FwMark(mark) => rule.mark = Some(*mark),
            RuleAttribute::Source(ip) => rule.from = Some((*ip, header.src_len)),
            RuleAttribute::Destination(ip) => rule.to = Some((*ip, header.dst_len)),
            RuleAttribute::Iifname(name) => rule.input = Some(name.clone()),
            _ => {}
        }
    }
    rule
}

fn write_rule(rule: &Rule) -> io::Result<RuleMessage> {
    let fits =
        |prefix: Option<(IpAddr, u8)>| prefix.is_none_or(|(ip, len)| ip.is_ipv6() == rule.ipv6 && len <= bits(ip));
    if !fits(rule.from) || !fits(rule.to) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{rule} does not fit together")));
    }
    let mut message = RuleMessage::default();
    message.header.family = family(rule.ipv6);
    message.header.action = RuleAction::ToTable;
    if rule.invert {
        message.header.flags = RuleFlags::Invert;
    }
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Table(rule.table));
    attributes.push(RuleAttribute::Protocol(rule.protocol.into()));
    attributes.extend(rule.mark.map(RuleAttribute::FwMark));
    if let Some((ip, len)) = rule.from.filter(|(_, len)| *len > 0) {
        message.header.src_len = len;
        attributes.push(RuleAttribute::Source(ip));
    }
    if let Some((ip, len)) = rule.to.filter(|(_, len)| *len > 0) {
        message.header.dst_len = len;
        attributes.push(RuleAttribute::Destination(ip));
    }
    attributes.extend(rule.input.clone().map(RuleAttribute::Iifname));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::super::netns::{Namespace, fresh};
    use super::*;
    use std::os::fd::AsFd;

    const OURS: u8 = 83;

    fn prefix(text: &str) -> (IpAddr, u8) {
        let (ip, len) = text.split_once('/').expect("prefix");
        (ip.parse().expect("address"), len.parse().expect("length"))
    }

    #[test]
    fn links() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            netlink.add_veth("left", "right").expect("veth");
            assert_eq!(netlink.add_veth("left", "other").expect_err("twice").kind(), io::ErrorKind::AlreadyExists);
            let left = netlink.link("left").expect("left");
            assert!(!left.up);
            netlink.set_mtu(left.index, 1400).expect("mtu");
            netlink.set_up(left.index, true).expect("up");
            netlink.set_queue_length(left.index, 77).expect("queue");
            assert_eq!(netlink.link("left").expect("left"), Link { mtu: 1400, up: true, ..left.clone() });
            assert_eq!(netlink.links().expect("links").len(), 3);
            let other = Namespace::create().expect("namespace");
            let right = netlink.link("right").expect("right");
            netlink.move_link(right.index, other.as_fd(), "right").expect("move");
            assert_eq!(netlink.link("right").expect_err("gone").kind(), io::ErrorKind::NotFound);
            let there = other.run(|| Netlink::open().and_then(|n| n.link("right"))).expect("enter");
            assert_eq!(there.expect("there").name, "right");
            assert!(netlink.delete_link(left.index).expect("delete"));
            assert!(!netlink.delete_link(left.index).expect("not there"));
        });
    }

    #[test]
    fn addresses() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            for text in ["192.0.2.1/24", "10.0.0.1/32", "2001:db8::1/64"] {
                let (addr, prefix_len) = prefix(text);
                let address = Address { link: 1, addr, prefix_len };
                netlink.add_address(&address).expect("add");
                assert_eq!(netlink.add_address(&address).expect_err("twice").kind(), io::ErrorKind::AlreadyExists);
                assert!(netlink.addresses().expect("list").contains(&address));
                // Without duplicate detection it can be used at once.
                super::super::udp::UdpSocket::bind((addr, 0).into(), super::super::udp::Options::default())
                    .expect("usable");
                assert!(netlink.delete_address(&address).expect("delete"));
                assert!(!netlink.delete_address(&address).expect("not there"));
            }
            let missing = Address { link: 999, addr: [192, 0, 2, 1].into(), prefix_len: 24 };
            let error = netlink.add_address(&missing).expect_err("no device");
            assert!(error.to_string().contains("192.0.2.1/24"), "{error}");
        });
    }

    #[test]
    fn routes() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            netlink.add_veth("left", "right").expect("veth");
            let link = netlink.link("left").expect("left").index;
            netlink.set_up(link, true).expect("up");
            netlink.set_up(netlink.link("right").expect("right").index, true).expect("up");
            for (own, gateway, wide) in [
                ("10.1.0.1/24", "10.1.0.2", "10.2.0.0/16"),
                ("fd00:1::1/64", "fd00:1::2", "fd00:2::/32"),
                ("10.9.0.1/24", "10.9.0.2", "0.0.0.0/0"),
            ] {
                let (addr, prefix_len) = prefix(own);
                netlink.add_address(&Address { link, addr, prefix_len }).expect("address");
                let base = Route { table: 220, metric: 100, ..Route::new(prefix(wide), OURS) };
                let device = Route { link: Some(link), source: Some(addr), ..base };
                netlink.add_route(&device).expect("add");
                assert_eq!(netlink.add_route(&device).expect_err("twice").kind(), io::ErrorKind::AlreadyExists);
                let via = Route { gateway: Some(gateway.parse().expect("gateway")), ..device };
                netlink.replace_route(&via).expect("replace");
                let ours = || -> Vec<Route> { netlink.routes(OURS).expect("list") };
                assert_eq!(ours(), [via]);
                assert!(!netlink.delete_route(&Route { protocol: 84, ..via }).expect("another's"));
                let backstop = Route { kind: RouteKind::Prohibit, metric: 4_000_000, ..base };
                netlink.add_route(&backstop).expect("backstop");
                assert!(netlink.delete_route(&via).expect("delete"));
                assert!(!netlink.delete_route(&via).expect("gone"));
                let left = ours();
                assert_eq!(left.len(), 1);
                assert_eq!(Route { link: None, ..left[0] }, backstop);
                assert!(netlink.delete_route(&backstop).expect("delete"));
                for kind in [RouteKind::Throw, RouteKind::Unreachable, RouteKind::Blackhole] {
                    let route = Route { kind, table: 70_000, ..base };
                    netlink.add_route(&route).expect("add");
                    assert_eq!(ours().len(), 1);
                    assert_eq!(Route { link: None, ..ours()[0] }, route);
                    assert!(netlink.delete_route(&route).expect("delete"));
                }
            }
        });
    }

    #[test]
    fn rules() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            for ipv6 in [false, true] {
                let (from, to) = if ipv6 { ("fd00:1::/64", "fd00:2::/64") } else { ("10.1.0.0/16", "10.2.0.0/16") };
                let plain = Rule::new(ipv6, 100, 220, OURS);
                let all = [
                    Rule { mark: Some(0xdc), table: 254, priority: 90, ..plain.clone() },
                    Rule { mark: Some(0xdc), invert: true, priority: 91, ..plain.clone() },
                    Rule { from: Some(prefix(from)), priority: 92, table: 70_000, ..plain.clone() },
                    Rule { to: Some(prefix(to)), input: Some("lo".into()), priority: 93, ..plain.clone() },
                    plain,
                ];
                for rule in &all {
                    netlink.add_rule(rule).expect("add");
                    assert_eq!(netlink.add_rule(rule).expect_err("twice").kind(), io::ErrorKind::AlreadyExists);
                }
                let ours: Vec<_> = netlink
                    .rules()
                    .expect("list")
                    .into_iter()
                    .filter(|r| r.protocol == OURS && r.ipv6 == ipv6)
                    .collect();
                assert_eq!(ours, all);
                for rule in &all {
                    assert!(!netlink.delete_rule(&Rule { protocol: 84, ..rule.clone() }).expect("another's"));
                    assert!(netlink.delete_rule(rule).expect("delete"));
                    assert!(!netlink.delete_rule(rule).expect("gone"));
                }
            }
            assert!(netlink.rules().expect("list").iter().any(|r| r.table == 254 && r.priority == 32_766));
        });
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let route = Route { gateway: Some(Ipv6Addr::LOCALHOST.into()), ..Route::new(prefix("10.0.0.0/8"), OURS) };
        assert!(write_route(&route).is_err());
        assert!(write_route(&Route::new(prefix("10.0.0.0/33"), OURS)).is_err());
        assert!(write_rule(&Rule { from: Some(prefix("10.0.0.0/8")), ..Rule::new(true, 1, 1, OURS) }).is_err());
    }
}
