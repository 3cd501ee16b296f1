//! What only shows when all parts are seen together. Only parts that are sound by themselves are looked at, so that one fault is reported once.
use super::connection::Connection;
use super::report::Report;
use super::{Gateway, secret, value};
use crate::ike::policy::{AuthKind, IdMatch, Limits, SharedSecret, Unique};
use crate::wire::payload::Id;
use crate::wire::registry::IdType;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Connections with a device of their own.
pub(super) const MAX_INTERFACES: usize = 4096;

/// Each connection that IKE negotiates needs the secret of its peer.
pub(super) fn secrets(report: &mut Report<'_>, connections: &[Connection], secrets: &[SharedSecret]) {
    let any = secrets.iter().any(|s| s.ids.contains(&IdMatch::Any));
    let mut owners: HashSet<&Id> = HashSet::new();
    for id in secrets.iter().flat_map(|s| &s.ids) {
        if let IdMatch::Exact(id) = id {
            owners.insert(id);
        }
    }
    let shared = |c: &Connection| [c.policy.local_auth, c.policy.remote_auth].contains(&AuthKind::Psk);
    for connection in connections.iter().filter(|c| c.sound && c.negotiates && shared(c)) {
        let wanted = &connection.policy.remote_id;
        let found = any
            || match wanted {
                IdMatch::Any => !secrets.is_empty(),
                IdMatch::Exact(id) => owners.contains(id),
            };
        if found {
            continue;
        }
        let wanted = secret::shown(wanted);
        let hint = if secrets.is_empty() {
            format!("add [secrets.ike-{}] with id = [{wanted:?}] and secret_file", connection.policy.name)
        } else {
            let known: Vec<String> = secrets.iter().flat_map(|s| &s.ids).take(5).map(secret::shown).collect();
            format!("there are secrets for {}; add one with id = [{wanted:?}]", known.join(", "))
        };
        let message = format!("`{}` has no secret for its peer {wanted}", connection.policy.name);
        report.error(connection.at, "secret.missing", message, hint);
    }
}

/// A post-quantum preshared key is the secret of a name, or of no more than octets.
pub(super) fn ppks(report: &mut Report<'_>, connections: &[Connection], secrets: &[SharedSecret]) {
    let names = [IdType::KEY_ID, IdType::FQDN, IdType::RFC822_ADDR];
    for connection in connections.iter().filter(|c| c.sound) {
        let Some(ppk) = &connection.policy.ppk else { continue };
        let is = |id: &IdMatch| matches!(id, IdMatch::Exact(id) if names.contains(&id.kind) && id.data == ppk.id);
        if !secrets.iter().flat_map(|s| &s.ids).any(is) {
            let message = format!("`{}` has no secret with the id of its ppk", connection.policy.name);
            let hint = format!("add [secrets.ppk-{}] with that id and secret_file", connection.policy.name);
            report.error(connection.at, "secret.missing", message, hint);
        }
    }
}

/// Where two connections share a pair of identities, one must not replace the other's SA: `unique` is "never" there unless it is given.
pub(super) fn unique(connections: &mut [Connection]) {
    let pair = |c: &Connection| -> Option<(Option<Id>, Vec<IpAddr>, Id)> {
        let IdMatch::Exact(remote) = &c.policy.remote_id else { return None };
        let single = match c.policy.local_addrs[..] {
            [address] => Some(Id::from(address)),
            _ => None,
        };
        let local = c.policy.local_id.clone().or(single);
        let addrs = if local.is_some() { Vec::new() } else { c.policy.local_addrs.clone() };
        c.negotiates.then(|| (local, addrs, remote.clone()))
    };
    let mut counts: HashMap<_, usize> = HashMap::new();
    for pair in connections.iter().filter_map(pair) {
        *counts.entry(pair).or_default() += 1;
    }
    for connection in connections {
        let shared = pair(connection).is_some_and(|pair| counts.get(&pair).is_some_and(|n| *n > 1));
        if shared && connection.unique.is_none() {
            connection.policy.unique = Unique::Never;
        }
    }
}

/// Local addresses are among those that the gateway listens on.
pub(super) fn listening(report: &mut Report<'_>, gateway: &Gateway, connections: &[Connection]) {
    for (address, at) in connections.iter().filter(|c| c.sound).flat_map(|c| &c.local_addrs) {
        let heard = |l: &IpAddr| l == address || (l.is_unspecified() && l.is_ipv4() == address.is_ipv4());
        if !gateway.listen.iter().any(heard) {
            let message = format!("the gateway does not listen on {address}");
            report.error(*at, "address.not_listening", message, "add it to [gateway] listen");
        }
    }
}

/// What is configured fits into what is allowed.
pub(super) fn limits(report: &mut Report<'_>, limits: &Limits, connections: &[Connection]) {
    if let Some(connection) = connections.get(limits.connections) {
        let message = format!("more connections than limits.connections allows ({})", limits.connections);
        report.error(connection.at, "limit.exceeded", message, "raise limits.connections");
    }
    for connection in connections {
        if let Some(child) = connection.children.get(limits.children) {
            let message = format!("more children than limits.children allows ({})", limits.children);
            report.error(child.at, "limit.exceeded", message, "raise limits.children");
        }
    }
}

/// Two devices of one network namespace have two names, and ours are no uplink. At most so many as there are numbers for, with some to spare.
pub(super) fn interfaces(report: &mut Report<'_>, gateway: &Gateway, connections: &[Connection]) {
    let mut names: HashMap<_, String> = HashMap::from([((None, &*gateway.device), "[gateway]".to_owned())]);
    let mut addresses: HashMap<_, (&str, u8)> = HashMap::new();
    let devices = connections.iter().filter_map(|c| Some((&*c.policy.name, c.interface.as_ref()?)));
    for (count, (connection, (interface, at))) in devices.enumerate() {
        if count == MAX_INTERFACES {
            let message = format!("more than {MAX_INTERFACES} connections have a device of their own");
            report.error(*at, "limit.exceeded", message, "let some share a device, or run another gateway");
        }
        let namespace = interface.netns.as_deref();
        if let Some(other) = names.insert((namespace, &interface.name), format!("`{connection}`")) {
            let message = format!("{other} has a device named `{}` already", interface.name);
            report.error(*at, "interface.twice", message, "each needs a name of its own in its namespace");
        }
        if namespace.is_none() && gateway.bind_device.as_ref() == Some(&interface.name) {
            let hint = "bind_device is the uplink or VRF that our own packets leave by";
            report.error(*at, "device.same", "a tunnel cannot be the way to its own end", hint);
        }
        for (addr, len) in &interface.addresses {
            // Without a network of its own an address may be on several: they are unnumbered. And each VRF has networks of its own.
            let network = |len: u8| len < value::bits(*addr);
            if let Some((other, before)) = addresses.insert((namespace, *addr), (connection, *len))
                && (network(*len) || network(before))
            {
                let message = format!("the device of `{other}` has the address {addr} already");
                let hint =
                    format!("another one, or {addr}/{} on both, or each in a VRF of its own", value::bits(*addr));
                report.warn(*at, "interface.address_twice", message, hint);
            }
        }
    }
}

/// Who answers a monitor is not this host.
pub(super) fn monitors(report: &mut Report<'_>, gateway: &Gateway, connections: &[Connection]) {
    for connection in connections.iter().filter(|c| c.sound) {
        let interface = connection.interface.as_ref().map(|(interface, _)| interface);
        let mut ours: HashSet<IpAddr> = interface.iter().flat_map(|i| &i.addresses).map(|(addr, _)| *addr).collect();
        // Another namespace is another host: our outer addresses mean something else there.
        if interface.is_none_or(|interface| interface.netns.is_none()) {
            ours.extend(connection.policy.local_addrs.iter().chain(&gateway.listen));
        }
        for child in &connection.children {
            if let Some(monitor) = child.config.monitor.filter(|monitor| ours.contains(&monitor.target)) {
                let message =
                    format!("the monitor of `{}` asks {}, an address of this host", child.config.name, monitor.target);
                report.error(child.at, "monitor.target", message, "an address behind the peer that answers pings");
            }
        }
    }
}
