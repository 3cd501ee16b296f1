//! Links, addresses, routes and rules (rtnetlink), as blocking calls.
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        todo!()
    }
    /// All devices.
    pub fn links(&self) -> io::Result<Vec<Link>> {
        let _ = (&self.runtime, &self.handle);
        todo!()
    }
    /// The device with this name; `NotFound` if there is none.
    pub fn link(&self, name: &str) -> io::Result<Link> {
        let _ = name;
        todo!()
    }
    /// Creates a pair of devices joined by a cable.
    pub fn add_veth(&self, name: &str, peer: &str) -> io::Result<()> {
        let _ = (name, peer);
        todo!()
    }
    /// Removes a device. False if there was none.
    pub fn delete_link(&self, link: u32) -> io::Result<bool> {
        let _ = link;
        todo!()
    }
    /// Sets a device up or down.
    pub fn set_up(&self, link: u32, up: bool) -> io::Result<()> {
        let _ = (link, up);
        todo!()
    }
    /// Sets the largest packet.
    pub fn set_mtu(&self, link: u32, mtu: u32) -> io::Result<()> {
        let _ = (link, mtu);
        todo!()
    }
    /// Sets the length of the device's queue, in packets.
    pub fn set_queue_length(&self, link: u32, packets: u32) -> io::Result<()> {
        let _ = (link, packets);
        todo!()
    }
    /// Gives a device to another network namespace.
    pub fn move_link(&self, link: u32, namespace: BorrowedFd<'_>) -> io::Result<()> {
        let _ = (link, namespace);
        todo!()
    }
    /// All addresses of both families.
    pub fn addresses(&self) -> io::Result<Vec<Address>> {
        todo!()
    }
    /// Adds an address; IPv6 without duplicate detection. `AlreadyExists` if it is there.
    pub fn add_address(&self, address: &Address) -> io::Result<()> {
        let _ = address;
        todo!()
    }
    /// Removes an address. False if it was not there.
    pub fn delete_address(&self, address: &Address) -> io::Result<bool> {
        let _ = address;
        todo!()
    }
    /// All routes of both families and all tables, but not the cached ones.
    pub fn routes(&self) -> io::Result<Vec<Route>> {
        todo!()
    }
    /// Adds a route; `AlreadyExists` if there is one with this table, destination and metric.
    pub fn add_route(&self, route: &Route) -> io::Result<()> {
        let _ = route;
        todo!()
    }
    /// Adds a route or replaces the one with this table, destination and metric.
    pub fn replace_route(&self, route: &Route) -> io::Result<()> {
        let _ = route;
        todo!()
    }
    /// Removes this route; its protocol must agree, so that only the caller's own go. False if it was not there.
    pub fn delete_route(&self, route: &Route) -> io::Result<bool> {
        let _ = route;
        todo!()
    }
    /// All rules of both families.
    pub fn rules(&self) -> io::Result<Vec<Rule>> {
        todo!()
    }
    /// Adds a rule; `AlreadyExists` if there is an equal one.
    pub fn add_rule(&self, rule: &Rule) -> io::Result<()> {
        let _ = rule;
        todo!()
    }
    /// Removes this rule; its protocol must agree. False if it was not there.
    pub fn delete_rule(&self, rule: &Rule) -> io::Result<bool> {
        let _ = rule;
        todo!()
    }
}
