//! What the routes and devices say of the way to an address (RTM_GETROUTE), without what the kernel has been told since: it takes ICMP messages
//! about our packets at their word, also forged ones, and a socket's IP_MTU repeats them.
use super::outside;
use super::sys::context;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::AddressFamily as Family;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// Octets of an answer: that about a device is the longest, with some KiB.
const ANSWER: usize = 32_768;

/// The largest packet that the configured route to `remote`, and the device that it leads to, take: of a packet with this mark, from `local` if
/// that is known. Of several next hops the least.
pub fn mtu_towards(remote: IpAddr, local: Option<IpAddr>, mark: u32) -> io::Result<u32> {
    let kernel = Kernel::open()?;
    let route = kernel.route(remote, local, mark).map_err(|e| context(&e, format_args!("route to {remote}")))?;
    let mut mtu = None;
    let mut links = Vec::new();
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Oif(link) => links.push(link),
            RouteAttribute::MultiPath(hops) => links.extend(hops.iter().map(|hop| hop.interface_index)),
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics
                    .iter()
                    .find_map(|metric| if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None });
            }
            _ => {}
        }
    }
    for link in links {
        mtu = Some(kernel.link_mtu(link)?.min(mtu.unwrap_or(u32::MAX)));
    }
    mtu.filter(|mtu| *mtu > 0).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no way to {remote}")))
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It leaves by this device.
    Out {
        /// Number of the device.
        link: u32,
        /// Next hop, unless it is the destination itself.
        gateway: Option<IpAddr>,
        /// The table that says so.
        table: u32,
    },
    /// It is for this host.
    Local,
    /// No table knows the way, or one says that it is not to be taken.
    Refused,
    /// Its source is not believed, or it may not be forwarded: the kernel does not tell these apart in all versions.
    NotForwarded,
}

/// What the kernel does with a packet from `from` to `to` that it makes itself or, with `input`, that comes in by this device: rules, routes,
/// forwarding and the check of its source are asked as for a real one.
pub fn way(from: IpAddr, to: IpAddr, input: Option<u32>) -> io::Result<Way> {
    let bits = if to.is_ipv6() { 128 } else { 32 };
    let mut question = RouteMessage::default();
    question.header.address_family = if to.is_ipv6() { Family::Inet6 } else { Family::Inet };
    (question.header.destination_prefix_length, question.header.source_prefix_length) = (bits, bits);
    // Else all of them are said to be the main one.
    question.header.flags = RouteFlags::LookupTable;
    question.attributes = vec![RouteAttribute::Destination(to.into()), RouteAttribute::Source(from.into())];
    question.attributes.extend(input.map(RouteAttribute::Iif));
    match Kernel::open()?.ask(RouteNetlinkMessage::GetRoute(question)) {
        Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(leads(&route)),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EXDEV | libc::EHOSTUNREACH | libc::EINVAL) if input.is_some() => Ok(Way::NotForwarded),
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL | libc::ESRCH) => {
                Ok(Way::Refused)
            }
            _ => Err(context(&error, format_args!("way from {from} to {to}"))),
        },
    }
}

fn leads(route: &RouteMessage) -> Way {
    let mut way = (None, None, u32::from(route.header.table));
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(link) => way.0 = Some(*link),
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => way.1 = Some((*gateway).into()),
            RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => way.1 = Some((*gateway).into()),
            RouteAttribute::Table(table) => way.2 = *table,
            _ => {}
        }
    }
    match (route.header.kind, way) {
        (RouteType::Local | RouteType::Anycast, _) => Way::Local,
        (RouteType::Unicast, (Some(link), gateway, table)) => Way::Out { link, gateway, table },
        _ => Way::Refused,
    }
}

/// A connection to the kernel for one question after the other: it has answered when the question has been sent.
struct Kernel(OwnedFd);

impl Kernel {
    fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        Ok(Self(socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?))
    }

    fn ask(&self, question: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        let mut message = NetlinkMessage::from(question);
        message.header.flags = NLM_F_REQUEST;
        message.finalize();
        let mut buf = vec![0; message.buffer_len().max(ANSWER)];
        message.serialize(&mut buf);
        send(self.0.as_raw_fd(), &buf[..message.buffer_len()], MsgFlags::empty())?;
        let len = recv(self.0.as_raw_fd(), &mut buf, MsgFlags::empty())?;
        let answer = NetlinkMessage::deserialize(&buf[..len]).map_err(|e| io::Error::other(e.to_string()))?;
        match answer.payload {
            NetlinkPayload::InnerMessage(answer) => Ok(answer),
            NetlinkPayload::Error(error) => Err(error.to_io()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The entry of the routing table, not what has been learned for this one destination.
    fn route(&self, remote: IpAddr, local: Option<IpAddr>, mark: u32) -> io::Result<RouteMessage> {
        let bits = if remote.is_ipv6() { 128 } else { 32 };
        let mut question = RouteMessage::default();
        question.header.address_family = if remote.is_ipv6() { Family::Inet6 } else { Family::Inet };
        question.header.destination_prefix_length = bits;
        question.header.flags = RouteFlags::FibMatch;
        question.attributes = vec![RouteAttribute::Destination(remote.into()), RouteAttribute::Mark(mark)];
        question.attributes.extend(outside::link()?.map(RouteAttribute::Oif));
        if let Some(local) = local {
            question.header.source_prefix_length = bits;
            question.attributes.push(RouteAttribute::Source(local.into()));
        }
        match self.ask(RouteNetlinkMessage::GetRoute(question))? {
            RouteNetlinkMessage::NewRoute(route) => Ok(route),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn link_mtu(&self, link: u32) -> io::Result<u32> {
        let mut question = LinkMessage::default();
        question.header.index = link;
        question.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let RouteNetlinkMessage::NewLink(found) = self.ask(RouteNetlinkMessage::GetLink(question))? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mtu = found.attributes.iter().find_map(|a| if let LinkAttribute::Mtu(mtu) = a { Some(*mtu) } else { None });
        mtu.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::{Address, Netlink, Route};
    use super::super::netns::fresh;
    use super::*;

    const PROTOCOL: u8 = 83;

    fn mtu(remote: &str) -> Option<u32> {
        mtu_towards(remote.parse().expect("address"), None, 0xdc).ok()
    }

    /// A gateway between `lan` and `wan`.
    #[test]
    fn the_kernel_says_what_becomes_of_a_packet() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            let ip = |text: &str| text.parse::<IpAddr>().expect("address");
            for (name, peer, addr) in [("lan", "host", "10.1.0.1"), ("wan", "net", "192.0.2.1")] {
                netlink.add_veth(name, peer).expect("veth");
                let [near, far] = [name, peer].map(|name| netlink.link(name).expect(name).index);
                for link in [near, far] {
                    netlink.set_up(link, true).expect("up");
                }
                netlink.add_address(&Address { link: near, addr: ip(addr), prefix_len: 24 }).expect("address");
            }
            let [lan, wan] = ["lan", "wan"].map(|name| netlink.link(name).expect(name).index);
            let set = |name: &str, value: &str| super::super::host::set_sysctl(name, value).expect("sysctl");
            let through = || way(ip("10.1.0.2"), ip("10.2.0.2"), Some(lan)).expect("answer");
            set("net/ipv4/ip_forward", "1");
            for device in ["all", "lan", "wan"] {
                set(&format!("net/ipv4/conf/{device}/rp_filter"), "0");
            }
            assert_eq!(way(ip("10.1.0.1"), ip("10.2.0.2"), None).expect("answer"), Way::Refused, "no route");
            let base = Route::new((ip("10.2.0.0"), 16), PROTOCOL);
            netlink.add_route(&Route { gateway: Some(ip("192.0.2.9")), table: 100, ..base }).expect("route");
            netlink.add_rule(&super::super::netlink::Rule::new(false, 100, 100, PROTOCOL)).expect("rule");
            let out = Way::Out { link: wan, gateway: Some(ip("192.0.2.9")), table: 100 };
            assert_eq!((through(), way(ip("10.1.0.1"), ip("10.2.0.2"), None).expect("answer")), (out, out));
            assert_eq!(way(ip("10.2.0.2"), ip("10.1.0.1"), Some(wan)).expect("answer"), Way::Local);
            set("net/ipv4/ip_forward", "0");
            assert_eq!(through(), Way::NotForwarded);
            set("net/ipv4/ip_forward", "1");
            set("net/ipv4/conf/lan/rp_filter", "1");
            assert_eq!(through(), out);
            // What comes by the wrong device.
            assert_eq!(way(ip("10.2.0.9"), ip("10.2.0.2"), Some(lan)).expect("answer"), Way::NotForwarded);
        });
    }

    #[test]
    fn the_device_or_the_route_limits() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            netlink.add_veth("near", "far").expect("veth");
            let [near, far] = ["near", "far"].map(|name| netlink.link(name).expect(name).index);
            for link in [near, far] {
                netlink.set_up(link, true).expect("up");
            }
            assert_eq!((mtu("127.0.0.1"), mtu("::1")), (Some(65_536), Some(65_536)));
            for (addr, prefix_len, beyond, gateway) in
                [("10.7.0.1", 24, ("10.8.0.0", 16), "10.7.0.2"), ("fd07::1", 64, ("fd08::", 64), "fd07::2")]
            {
                let [addr, net, gateway]: [IpAddr; 3] = [addr, beyond.0, gateway].map(|a| a.parse().expect("address"));
                assert_eq!(mtu(beyond.0), None, "no route");
                netlink.add_address(&Address { link: near, addr, prefix_len }).expect("address");
                let route = Route { gateway: Some(gateway), ..Route::new((net, beyond.1), PROTOCOL) };
                netlink.add_route(&route).expect("route");
                netlink.set_mtu(near, 1500).expect("mtu");
                assert_eq!((mtu(beyond.0), mtu_towards(net, Some(addr), 0).ok()), (Some(1500), Some(1500)));
                netlink.set_mtu(near, 1400).expect("mtu");
                assert_eq!(mtu(beyond.0), Some(1400));
                let mut question = Kernel::open().expect("kernel").route(net, None, 0).expect("route");
                question.header.flags = RouteFlags::empty();
                question.attributes.retain(|a| !matches!(a, RouteAttribute::CacheInfo(_)));
                question.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(1333)]));
                assert!(netlink.delete_route(&route).expect("delete"));
                let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(question));
                message.header.flags = NLM_F_REQUEST | rtnetlink::packet_core::NLM_F_CREATE;
                message.finalize();
                let mut buf = vec![0; message.buffer_len()];
                message.serialize(&mut buf);
                send(Kernel::open().expect("kernel").0.as_raw_fd(), &buf, MsgFlags::empty())
                    .expect("route with an MTU");
                assert_eq!(mtu(beyond.0), Some(1333));
            }
        });
    }
}
