//! `translate` of a child: this side's own names for its networks.
use super::keys::{self, Fields};
use super::report::Report;
use super::text::Node;
use super::{Mode, free, value};
use crate::ipsec::translate::{Names, Prefix, Translation};
use crate::wire::selector::Selector;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Not addresses of hosts in a network: "this host", loopback, multicast and what is reserved.
const NO_HOSTS: [(IpAddr, u8); 6] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 3),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// Reads it; `None` if it is absent or broken. `local` and `remote` are the selectors, empty where those are broken.
pub(super) fn read(
    report: &mut Report<'_>,
    fields: &Fields<'_>,
    mode: Mode,
    local: &[Selector],
    remote: &[Selector],
) -> Option<Translation> {
    let entry = fields.entry("translate")?;
    if mode != Mode::Tunnel {
        let message = "names are translated in tunnels only";
        return report.refuse(entry.at, "translate.mode", message, "remove translate, or use mode = \"tunnel\"");
    }
    let before = report.errors();
    let table = Fields::of_node(report, &keys::TRANSLATE, &entry.node)?;
    let absent = |key| table.entry(key).is_none();
    if absent("local") && absent("remote") {
        if report.errors() > before {
            return None;
        }
        let hint = "translate = { local = \"10.0.0.0/24\", remote = \"172.31.2.0/24\" }, or one of both";
        return report.refuse(entry.node.at, "value.empty", "this table is empty", hint);
    }
    let local_names = table.read(report, "local", |r, n| side(r, n, "local_ts", local));
    let remote_names = table.read(report, "remote", |r, n| side(r, n, "remote_ts", remote));
    let sound = absent("local") == local_names.is_none() && absent("remote") == remote_names.is_none();
    if sound { Translation::new(local_names, remote_names) } else { None }
}

/// The names of one side, whose selectors `key` has.
fn side(report: &mut Report<'_>, node: &Node, key: &str, selectors: &[Selector]) -> Option<Names> {
    let here = value::prefix(report, node, false)?;
    if NO_HOSTS
        .iter()
        .any(|(addr, len)| free::overlap(&Selector::prefix(*addr, *len), &Selector::prefix(here.0, here.1)))
    {
        let message = format!("no host can have an address in all of {}", shown(here));
        return report.refuse(
            node.at,
            "translate.hosts",
            message,
            "a prefix of addresses for hosts: \"172.31.2.0/24\"",
        );
    }
    let wire = match selectors {
        [] => return None,
        [one] => one.as_prefix().filter(|(_, len)| *len > 0),
        _ => None,
    };
    let Some(wire) = wire else {
        let message = format!("{key} is not one prefix, to whose addresses those of {} belong one by one", shown(here));
        let hint = format!("one prefix in {key}, and a child for each other one");
        return report.refuse(node.at, "translate.prefix", message, hint);
    };
    if wire.0.is_ipv4() != here.0.is_ipv4() {
        let message = format!("{} and {key} are of different address families", shown(here));
        let hint = format!("a prefix of {} bits in the family of {}", wire.1, shown(wire));
        return report.refuse(node.at, "translate.family", message, hint);
    }
    if wire.1 != here.1 {
        let message = format!("{} and {}, which {key} names, differ in size", shown(here), shown(wire));
        let hint = format!("write \"{}\"", shown((value::mask(here.0, wire.1), wire.1)));
        return report.refuse(node.at, "translate.size", message, hint);
    }
    Some(Names { here, wire })
}

/// As people write it.
pub(super) fn shown((addr, len): Prefix) -> String {
    format!("{addr}/{len}")
}
