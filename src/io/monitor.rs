//! News of the kernel that links, addresses or routes have changed (rtnetlink's multicast groups).
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Links, addresses, routes and rules of both families.
const GROUPS: libc::c_int = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE
    | RULES;
/// Those of rules: RTNLGRP_IPV4_RULE and RTNLGRP_IPV6_RULE.
const RULES: libc::c_int = 1 << (8 - 1) | 1 << (19 - 1);

/// Readable when something has changed in the network namespace of the thread that opened it. It does not say what: who wants to know asks,
/// and what was lost in a full queue is asked for as well.
#[derive(Debug)]
pub struct Monitor(OwnedFd);
impl Monitor {
    /// Listens from now on.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS as u32))?;
        Ok(Self(fd))
    }
    /// Takes all news in. True if there were any.
    pub fn drain(&self) -> bool {
        let mut buf = [0; 8192];
        let mut news = false;
        loop {
            match recv(self.0.as_raw_fd(), &mut buf, MsgFlags::empty()) {
                // A full queue has lost some, and is news itself.
                Ok(1..) | Err(nix::errno::Errno::ENOBUFS) => news = true,
                Ok(0) | Err(_) => return news,
            }
        }
    }
}
impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::{Address, Netlink, Route, Rule};
    use super::super::netns::fresh;
    use super::*;

    #[test]
    fn addresses_and_routes_are_news_once() {
        fresh(|| {
            let netlink = Netlink::open().expect("netlink");
            netlink.set_up(1, true).expect("up");
            let monitor = Monitor::open().expect("monitor");
            monitor.drain();
            assert!(!monitor.drain(), "nothing has changed");
            let address = Address { link: 1, addr: [192, 0, 2, 1].into(), prefix_len: 24 };
            netlink.add_address(&address).expect("add");
            assert!(monitor.drain(), "a new address");
            assert!(!monitor.drain(), "once");
            let route = Route { link: Some(1), ..Route::new(([198, 51, 100, 0].into(), 24), 83) };
            netlink.add_route(&route).expect("route");
            assert!(monitor.drain(), "a new route");
            for ipv6 in [false, true] {
                netlink.add_rule(&Rule::new(ipv6, 3000, 254, 83)).expect("rule");
                assert!(monitor.drain(), "a new rule");
            }
        });
    }
}
