//! One table under `[connections]`.
use super::child::{self, Child};
use super::keys::{self, Fields};
use super::peer::{self, Ends};
use super::report::Report;
use super::text::{At, Entry, Value};
use super::{ConnectionConfig, LogLevel, gateway, later, proposal, value};
use crate::ike::policy::{self, EncapPolicy, IdMatch, Unique};
use crate::wire::keyword;
use crate::wire::registry::ProtocolId;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A connection as far as it could be read.
pub(super) struct Connection {
    /// Its key.
    pub at: At,
    /// Nothing is wrong with it by itself.
    pub sound: bool,
    /// At least one child is for IKE.
    pub negotiates: bool,
    pub policy: policy::Connection,
    /// `unique`, if it is given.
    pub unique: Option<Unique>,
    pub local_addrs: Vec<(IpAddr, At)>,
    pub children: Vec<Child>,
    pub log: Option<LogLevel>,
}
impl Connection {
    /// What the daemon installs.
    pub(super) fn config(&self) -> ConnectionConfig {
        ConnectionConfig {
            name: self.policy.name.clone(),
            profile: None,
            children: self.children.iter().map(|child| child.config.clone()).collect(),
            log: self.log,
        }
    }
}

/// Reads a connection; `None` if it is not even a table.
pub(super) fn read(report: &mut Report<'_>, entry: &Entry, pools: &[Entry]) -> Option<Connection> {
    let before = report.errors();
    value::name(report, entry);
    let fields = Fields::of_node(report, &keys::CONNECTION, &entry.node)?;
    let ends = peer::read(report, &fields);
    let children = children(report, entry, &fields, ends.respond_only());
    let negotiates = children.iter().any(Child::negotiates);
    if negotiates {
        demand_peer(report, entry, &fields, &ends);
    }
    later::connection(report, &fields, pools);
    let unique = [("replace", Unique::Replace), ("keep", Unique::Keep), ("never", Unique::Never)];
    let unique = fields.read(report, "unique", |r, n| value::choice(r, n, &unique));
    let log = fields.read(report, "log", |report, node| {
        let log = Fields::of_node(report, &keys::CONNECTION_LOG, node)?;
        log.read(report, "level", gateway::level)
    });
    let policy = policy(report, entry, &fields, &ends, &children);
    Some(Connection {
        at: entry.at,
        sound: report.errors() == before,
        negotiates,
        policy: policy::Connection { unique: unique.unwrap_or_default(), ..policy },
        unique,
        local_addrs: ends.local_addrs.unwrap_or_default(),
        children,
        log,
    })
}

fn children(report: &mut Report<'_>, entry: &Entry, fields: &Fields<'_>, respond_only: bool) -> Vec<Child> {
    let entries = match fields.entry("children").map(|children| &children.node) {
        None => &[][..],
        Some(node) => match &node.value {
            Value::Table(entries) => entries,
            _ => {
                value::wrong::<()>(report, node, "a table", "[connections.NAME.children.CHILD] starts a child");
                return Vec::new();
            }
        },
    };
    if entries.is_empty() {
        let hint = format!("add [connections.{}.children.NAME] with local_ts and remote_ts", entry.key);
        report.error(entry.at, "child.none", format!("`{}` has no children: nothing would travel", entry.key), hint);
    }
    entries.iter().filter_map(|child| child::read(report, child, respond_only)).collect()
}

/// Where and who the peer is must be clear before IKE can speak with it.
fn demand_peer(report: &mut Report<'_>, entry: &Entry, fields: &Fields<'_>, ends: &Ends) {
    let Some(addrs) = fields.entry("remote_addrs") else {
        let hint = "add remote_addrs = [\"203.0.113.7\"], or [\"%any\"] to respond only";
        report.error(entry.at, "address.missing", format!("`{}` does not say where its peer is", entry.key), hint);
        return;
    };
    let id_given = fields.entry("remote").is_some_and(|remote| match &remote.node.value {
        Value::Table(side) => side.iter().any(|field| field.key == "id"),
        _ => true,
    });
    // Beside `%any` it is that mixture that is wrong.
    let mixed = ends.remote_addrs.iter().flatten().any(|(remote, _)| *remote == policy::Remote::Any);
    if ends.remote_addrs.is_some() && ends.remote_id.is_none() && !id_given && !mixed {
        let hint = "add remote = { id = \"...\" }: what the peer says that it is";
        let message = "only a single address is an identity by itself";
        report.error(addrs.node.at, "id.needed", message, hint);
    }
}

fn policy(
    report: &mut Report<'_>,
    entry: &Entry,
    fields: &Fields<'_>,
    ends: &Ends,
    children: &[Child],
) -> policy::Connection {
    let mut time =
        |key: &str, default: u64| fields.read(report, key, value::duration).unwrap_or(Duration::from_secs(default));
    let (rekey_time, rand_time) = (time("rekey_time", 4 * 3600), time("rand_time", 0));
    let (dpd_delay, keepalive) = (time("dpd_delay", 30), time("keepalive", 20));
    if let Some(rand) = fields.entry("rand_time")
        && rand_time > rekey_time
    {
        let hint = format!("at most rekey_time, which is {rekey_time:?}");
        report.error(rand.node.at, "time.order", "rand_time is longer than rekey_time", hint);
    }
    let encap = [("auto", EncapPolicy::Auto), ("always", EncapPolicy::Always)];
    policy::Connection {
        name: entry.key.as_str().into(),
        local_addrs: ends.local_addrs.iter().flatten().map(|(address, _)| *address).collect(),
        remote_addrs: ends.remote_addrs.iter().flatten().map(|(remote, _)| remote.clone()).collect(),
        proposals: fields
            .read(report, "proposals", |r, n| proposal::list(r, n, ProtocolId::IKE))
            .unwrap_or_else(|| keyword::defaults(ProtocolId::IKE)),
        local_id: ends.local_id.clone(),
        remote_id: ends.remote_id.clone().unwrap_or(IdMatch::Any),
        encap: fields.read(report, "encap", |r, n| value::choice(r, n, &encap)).unwrap_or_default(),
        dpd_delay,
        keepalive,
        rekey_time,
        local_auth: Default::default(),
        remote_auth: Default::default(),
        reauth_time: Duration::ZERO,
        over_time: Duration::ZERO,
        rand_time: fields.entry("rand_time").map(|_| rand_time),
        rekey: Default::default(),
        fragmentation: true,
        mobike: false,
        childless: Default::default(),
        rehearse: false,
        ppk: None,
        vips: Vec::new(),
        pools: Vec::new(),
        keylog: false,
        unique: Unique::default(),
        children: children.iter().filter_map(|child| child.policy.clone()).map(Arc::new).collect(),
    }
}
