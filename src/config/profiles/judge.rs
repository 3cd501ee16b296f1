//! What stands beside a profile, held against what the vendor can do: as it is written, so that an error names its place.
use super::expand::negotiated;
use super::limits::{self, Found};
use super::{Limit, May, Profile};
use crate::config::report::Report;
use crate::config::text::{At, Entry, Node, Value};
use std::net::{IpAddr, Ipv4Addr};

/// Reports each contradiction; `at` is the key `profile`.
pub(super) fn judge(report: &mut Report<'_>, profile: &'static Profile, at: At, connection: &Value) {
    for limit in profile.limits {
        match limit.key.split_once(".*.") {
            Some((_, key)) => {
                for child in children(connection) {
                    of_child(report, Found { profile, limit, several: several(&child.node.value) }, child, key);
                }
            }
            None if limit.key == "children" => too_many(report, profile, limit, connection),
            None => {
                let mut at = Some(connection);
                let mut node = None;
                for key in limit.key.split('.') {
                    node = at.and_then(|table| table.get(key)).map(|entry| &entry.node);
                    at = node.map(|node| &node.value);
                }
                if let Some(node) = node {
                    limits::check(report, Found { profile, limit, several: false }, node);
                }
            }
        }
    }
    if profile.needs_id {
        who_we_are(report, profile, at, connection);
    }
}

fn of_child(report: &mut Report<'_>, found: Found, child: &Entry, key: &str) {
    if let Some(entry) = child.node.value.get(key) {
        limits::check(report, found, &entry.node);
    }
}

/// Children that IKE makes SAs for.
fn children(connection: &Value) -> impl Iterator<Item = &Entry> {
    let children = connection.get("children").map_or(&[][..], |children| children.node.value.table());
    children.iter().filter(|child| negotiated(&child.node.value))
}

/// More than one pair of networks.
fn several(child: &Value) -> bool {
    let count = |key| child.get(key).map_or(0, |entry| entry.node.value.items().len());
    count("local_ts") > 1 || count("remote_ts") > 1
}

fn too_many(report: &mut Report<'_>, profile: &Profile, limit: &Limit, connection: &Value) {
    let May::Count(most) = limit.may else { return };
    if let Some(child) = children(connection).nth(most) {
        let message =
            format!("one child more contradicts profile {:?}: {} {}", profile.name, profile.title.en, limit.why);
        let hint = "one child, with wider networks or with \"0.0.0.0/0\" on both sides and an interface for routes, or another connection";
        report.error(child.at, "profile.contradiction", message, hint);
    }
}

/// Behind a NAT one to one, as in a cloud, our address is one that the peer never sees.
fn who_we_are(report: &mut Report<'_>, profile: &Profile, at: At, connection: &Value) {
    let local = connection.get("local").map(|local| &local.node.value);
    let word = |key| local.and_then(|local| local.get(key)).map(|entry| &entry.node.value);
    let proven = matches!(word("auth"), Some(Value::String(auth)) if auth == "pubkey");
    let far = |remote: &Node| matches!(&remote.value, Value::String(remote) if remote != "%any" && !private(remote));
    if word("id").is_some() || proven || !list(connection, "remote_addrs").iter().any(far) {
        return;
    }
    let knows = format!("{} knows us by the address that it sees", profile.title.en);
    let hint = "add local = { id = \"198.51.100.1\" }: the public address, or whatever is entered there for this side";
    match list(connection, "local_addrs") {
        [] => {
            let message = format!(
                "{knows}, and without local.id we are the one that the route gives us, behind a NAT a private one"
            );
            report.warn(at, "id.default", message, hint);
        }
        locals => {
            let near = |local: &&Node| matches!(&local.value, Value::String(local) if private(local));
            if let Some(local) = locals.iter().find(near) {
                report.error(local.at, "id.needed", format!("{knows}, and this one is private"), hint);
            }
        }
    }
}

fn list<'v>(connection: &'v Value, key: &str) -> &'v [Node] {
    connection.get(key).map_or(&[], |entry| entry.node.value.items())
}

/// All of its peers are `%any`.
pub(super) fn respond_only(connection: &Value) -> bool {
    let remotes = list(connection, "remote_addrs");
    !remotes.is_empty() && remotes.iter().all(|remote| matches!(&remote.value, Value::String(any) if any == "%any"))
}

/// An address of no network that all can reach (RFC 1918, RFC 6598).
fn private(address: &str) -> bool {
    let shared = |a: Ipv4Addr| a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64;
    matches!(address.parse(), Ok(IpAddr::V4(a)) if a.is_private() || shared(a))
}
