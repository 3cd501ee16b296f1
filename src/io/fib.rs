//! What the routes and devices say of the way to an address (RTM_GETROUTE), without what the kernel has been told since: it takes ICMP messages
//! about our packets at their word, also forged ones, and a socket's IP_MTU repeats them.
use super::outside;
use super::sys::context;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::AddressFamily as Family;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteMetric};
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
