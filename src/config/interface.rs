//! `interface = { ... }`: a device of a connection's own.
use super::keys::{self, Fields};
use super::report::Report;
use super::text::{At, Node};
use super::value;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Where iproute2 keeps the network namespaces that have a name, and the same folder by its older name.
const NAMED: &str = "/run/netns";
const NAMED_BEFORE: &str = "/var/run/netns";

/// The device of a connection: what the kernel routes into it is for that connection's children, and for no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name of the device, where it ends up.
    pub name: String,
    /// Addresses on it, each with the length of its network.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The network namespace that it is moved into; `None`: it stays in ours.
    pub netns: Option<PathBuf>,
}
impl Interface {
    /// The name of its namespace, or the path if it has no name.
    pub fn namespace(&self) -> Option<String> {
        let path = self.netns.as_deref()?;
        Some(path.strip_prefix(NAMED).unwrap_or(path).display().to_string())
    }
}

/// The device, and where its name stands.
pub(super) type Placed = (Interface, At);

pub(super) fn read(report: &mut Report<'_>, node: &Node) -> Option<Placed> {
    let before = report.errors();
    let fields = Fields::of_node(report, &keys::INTERFACE, node)?;
    let Some(named) = fields.entry("name") else {
        let hint = "add name = \"...\": the device that routes lead into";
        return report.refuse(node.at, "interface.name", "a device needs a name", hint);
    };
    let name = fields.read(report, "name", value::device);
    let addresses = fields.read(report, "addresses", |report, node| value::list(report, node, address));
    let netns = fields.read(report, "netns", netns);
    let mut unique: Vec<(IpAddr, u8)> = Vec::new();
    for (address, at) in addresses.unwrap_or_default() {
        if unique.iter().any(|(addr, _)| *addr == address.0) {
            report.error(at, "value.duplicate", format!("{} is listed twice", address.0), "remove one of the two");
        }
        unique.push(address);
    }
    let sound = report.errors() == before;
    let interface = Interface { name: name?, addresses: unique, netns };
    sound.then_some((interface, named.node.at))
}

/// One that a host can have, in a network that is not nearly everywhere: the kernel makes a route for it.
fn address(report: &mut Report<'_>, node: &Node) -> Option<(IpAddr, u8)> {
    let (addr, len) = value::prefix(report, node, true)?;
    if addr.is_multicast() || addr.is_unspecified() || addr.is_loopback() || addr == IpAddr::from([255; 4]) {
        let hint = "an address of this end with its length: \"169.254.10.1/30\"";
        return report.refuse(node.at, "interface.address", format!("no device can have the address {addr}"), hint);
    }
    let (least, ends) = match addr {
        IpAddr::V4(a) => (8, len < 31 && [0, u32::MAX >> len].contains(&(a.to_bits() & u32::MAX >> len))),
        IpAddr::V6(_) => (16, false),
    };
    if len < least {
        let message = format!("a network of length {len} would draw everything into the tunnel");
        let hint = format!("its length, at least {least}; what else goes there is for routes to say");
        return report.refuse(node.at, "interface.address", message, hint);
    }
    if ends {
        let message = format!("{addr} is the first or last address of its network, which no device can have");
        return report.refuse(node.at, "interface.address", message, "one between them: \"169.254.10.1/30\"");
    }
    Some((addr, len))
}

/// A name of `ip netns`, or an absolute path.
fn netns(report: &mut Report<'_>, node: &Node) -> Option<PathBuf> {
    let given = value::string(report, node)?;
    let plain = !given.is_empty() && !given.contains(['/', '\0']) && given != "." && given != "..";
    if plain {
        return Some(Path::new(NAMED).join(given));
    }
    if given.starts_with('/') && !given.contains('\0') {
        if given.starts_with("/proc/") {
            let message = format!(
                "{given} can be opened only by a daemon that may look into that process, which that of the packaged unit never may"
            );
            let hint = "give the namespace a name, `ip netns attach NAME PID`, and say netns = \"NAME\"";
            report.warn(node.at, "interface.process", message, hint);
        }
        let named = Path::new(given).strip_prefix(NAMED_BEFORE);
        return Some(named.map_or_else(|_| given.into(), |name| Path::new(NAMED).join(name)));
    }
    let message = format!("{given:?} is no network namespace");
    let hint = "a name that `ip netns add NAME` made, or an absolute path such as \"/run/netns/tenant-a\"";
    report.refuse(node.at, "interface.netns", message, hint)
}
