//! What the routes and devices say of the way to an address (RTM_GETROUTE), without what the kernel has been told since: it takes ICMP messages
//! about our packets at their word, also forged ones, and a socket's IP_MTU repeats them.
use super::sys::context;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
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
                mtu = metrics.iter().find_map(|metric| if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None });
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
        question.header.address_family = if remote.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }.into();
        question.header.destination_prefix_length = bits;
        question.header.flags = RouteFlags::FibMatch;
        question.attributes = vec![RouteAttribute::Destination(remote.into()), RouteAttribute::Mark(mark)];
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
