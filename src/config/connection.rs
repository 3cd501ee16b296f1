//! One table under `[connections]`.
use super::child::{self, Child};
use super::interface::{self, Placed};
use super::keylog::{self, Keylog};
use super::keys::{self, Fields};
use super::peer::{self, Ends};
use super::pool::Pools;
use super::profiles::{self, Profile};
use super::report::Report;
use super::secret::Secrets;
use super::text::{At, Entry, Node, Value};
use super::{ConnectionConfig, LogLevel, Mode, gateway, proposal, value};
use crate::ike::policy::{self, Childless, Credentials, EncapPolicy, IdMatch, PpkPolicy, RekeyBy, Unique};
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
    /// What stands in for the keys that it does not give.
    pub profile: Option<&'static Profile>,
    /// `unique`, if it is given.
    pub unique: Option<Unique>,
    /// Certificates and keys, if a side uses them.
    pub credentials: Option<Arc<Credentials>>,
    pub local_addrs: Vec<(IpAddr, At)>,
    /// `interface` is given, sound or not.
    pub own_device: bool,
    pub interface: Option<Placed>,
    pub children: Vec<Child>,
    pub log: Option<LogLevel>,
    pub keylog: Option<Keylog>,
}
impl Connection {
    /// Certificates and keys under the connection's name, if it uses them.
    pub(super) fn credentials(&self) -> Option<(Arc<str>, Arc<Credentials>)> {
        Some((self.policy.name.clone(), self.credentials.clone()?))
    }
    /// What the daemon installs.
    pub(super) fn config(&self) -> ConnectionConfig {
        ConnectionConfig {
            name: self.policy.name.clone(),
            profile: self.profile.map(|profile| profile.name.to_owned()),
            interface: self.interface.as_ref().map(|(interface, _)| interface.clone()),
            children: self.children.iter().map(|child| child.config.clone()).collect(),
            log: self.log,
            keylog: self.keylog.clone(),
        }
    }
}

/// Reads a connection; `None` if it is not even a table.
pub(super) fn read(report: &mut Report<'_>, entry: &Entry, pools: &Pools, from: &dyn Secrets) -> Option<Connection> {
    let before = report.errors();
    value::name(report, entry);
    let fields = Fields::of_node(report, &keys::CONNECTION, &entry.node)?;
    let mut ends = peer::read(report, &fields, from);
    let children = children(report, entry, &fields, ends.respond_only());
    refuse_twins(report, &children);
    let negotiates = children.iter().any(Child::negotiates);
    if negotiates {
        demand_peer(report, entry, &fields, &ends);
    }
    refuse_given(report, &fields, &children);
    let profile = fields.read(report, "profile", profiles::read);
    let interface = fields.read(report, "interface", interface::read);
    if interface.is_some() {
        refuse_beside_device(report, &fields, &children);
    }
    let unique = [("replace", Unique::Replace), ("keep", Unique::Keep), ("never", Unique::Never)];
    let unique = fields.read(report, "unique", |r, n| value::choice(r, n, &unique));
    let log = fields.read(report, "log", |report, node| {
        let log = Fields::of_node(report, &keys::CONNECTION_LOG, node)?;
        log.read(report, "level", gateway::level)
    });
    let keylog = keylog::read(report, &fields);
    let credentials = ends.credentials.take();
    let policy = policy(report, entry, &fields, &ends, &children, pools);
    Some(Connection {
        at: entry.at,
        sound: report.errors() == before,
        negotiates,
        policy: policy::Connection { unique: unique.unwrap_or_default(), keylog: keylog.is_some(), ..policy },
        profile,
        unique,
        credentials: credentials.map(Arc::new),
        local_addrs: ends.local_addrs.unwrap_or_default(),
        own_device: fields.entry("interface").is_some(),
        interface,
        children,
        log,
        keylog,
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
    entries.iter().flat_map(|child| child::read(report, child, respond_only)).collect()
}

/// A child that was made of a pair may not have the name of another.
fn refuse_twins(report: &mut Report<'_>, children: &[Child]) {
    for (n, child) in children.iter().enumerate() {
        if let Some(twin) = children[..n].iter().find(|other| other.config.name == child.config.name) {
            let message =
                format!("`{}` is also the name of a child that `ts_mode = \"per_pair\"` makes", child.config.name);
            report.error(child.at.max(twin.at), "name.twice", message, "another name");
        }
    }
}

/// What the peer gives us is an address on the wire, and hosts here do not know it by that name.
fn refuse_given(report: &mut Report<'_>, fields: &Fields<'_>, children: &[Child]) {
    let asks =
        fields.entry("vips").is_some_and(|vips| !matches!(&vips.node.value, Value::Array(none) if none.is_empty()));
    let named = |child: &&Child| child.config.translation.is_some_and(|translation| translation.here()[0].is_some());
    if asks && let Some(child) = children.iter().find(named) {
        let message = format!(
            "`{}` translates our side's names, and `vips` asks the peer for an address there",
            child.config.name
        );
        report.error(child.at, "translate.vips", message, "remove vips, or translate.local");
    }
}

/// What makes no sense for a device that only the operator's routes lead into.
fn refuse_beside_device(report: &mut Report<'_>, fields: &Fields<'_>, children: &[Child]) {
    for child in children.iter().filter(|child| child.config.mode == Mode::Pass) {
        let message = format!("`{}` passes nothing: what goes past a device is not routed into it", child.config.name);
        report.error(child.at, "interface.pass", message, "leave it out, and route its packets elsewhere");
    }
    let asks = |vips: &&Entry| !matches!(&vips.node.value, Value::Array(list) if list.is_empty());
    if let Some(vips) = fields.entry("vips").filter(asks) {
        let message = "addresses that a peer gives are put on the gateway's device, not on one of a connection's own";
        report.error(vips.at, "interface.vips", message, "leave vips out, and name addresses in interface");
    }
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

/// Never, or a second at least: what became of ESP is looked for several times in that time.
fn dpd_delay(report: &mut Report<'_>, node: &Node) -> Option<Duration> {
    let delay = value::duration(report, node)?;
    if delay.is_zero() || delay >= Duration::from_secs(1) {
        return Some(delay);
    }
    report.refuse(node.at, "value.range", "this is less than a second", "\"1s\" or longer, or \"0s\" for never")
}

fn policy(
    report: &mut Report<'_>,
    entry: &Entry,
    fields: &Fields<'_>,
    ends: &Ends,
    children: &[Child],
    pools: &Pools,
) -> policy::Connection {
    let Lifetimes { rekey_time, reauth_time, over_time, rand_time } = lifetimes(report, fields);
    let mut time =
        |key: &str, default: u64| fields.read(report, key, value::duration).unwrap_or(Duration::from_secs(default));
    let keepalive = time("keepalive", 20);
    let dpd_delay = fields.read(report, "dpd_delay", dpd_delay).unwrap_or(Duration::from_secs(30));
    let encap = [("auto", EncapPolicy::Auto), ("always", EncapPolicy::Always)];
    let rekey = [("both", RekeyBy::Both), ("us", RekeyBy::Us), ("peer", RekeyBy::Peer)];
    let childless = [
        ("allow", Childless::Allow),
        ("prefer", Childless::Prefer),
        ("force", Childless::Force),
        ("never", Childless::Never),
    ];
    let rehearse = [("auto", true), ("never", false)];
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
        local_auth: ends.local_auth,
        remote_auth: ends.remote_auth,
        rekey_time,
        reauth_time,
        over_time,
        rand_time,
        rekey: fields.read(report, "rekey", |r, n| value::choice(r, n, &rekey)).unwrap_or_default(),
        fragmentation: fields.read(report, "fragmentation", value::boolean).unwrap_or(true),
        mobike: fields.read(report, "mobike", value::boolean).unwrap_or(false),
        childless: fields.read(report, "childless", |r, n| value::choice(r, n, &childless)).unwrap_or_default(),
        rehearse: fields.read(report, "rehearse", |r, n| value::choice(r, n, &rehearse)).unwrap_or(true),
        ppk: fields.read(report, "ppk", ppk),
        vips: fields.read(report, "vips", |r, n| vips(r, n, ends.respond_only())).unwrap_or_default(),
        pools: fields.read(report, "pools", |r, n| pools.named(r, n)).unwrap_or_default(),
        keylog: false,
        unique: Unique::default(),
        children: children.iter().filter_map(|child| child.policy.clone()).map(Arc::new).collect(),
    }
}

/// A post-quantum preshared key: its secret stands in `[secrets]` under this identity.
fn ppk(report: &mut Report<'_>, node: &Node) -> Option<PpkPolicy> {
    let fields = Fields::of_node(report, &keys::PPK, node)?;
    if fields.entry("id").is_none() {
        let hint = "add id = \"...\": the same at both ends, and the id of a secret";
        return report.refuse(node.at, "id.needed", "a post-quantum preshared key is known by its id", hint);
    }
    let id = fields.read(report, "id", value::id);
    let required = fields.read(report, "required", value::boolean).unwrap_or(false);
    Some(PpkPolicy { id: id?.data, required })
}

struct Lifetimes {
    rekey_time: Duration,
    reauth_time: Duration,
    over_time: Duration,
    rand_time: Option<Duration>,
}

fn lifetimes(report: &mut Report<'_>, fields: &Fields<'_>) -> Lifetimes {
    let mut time = |key: &str| fields.read(report, key, value::duration);
    let lifetimes = Lifetimes {
        rekey_time: time("rekey_time").unwrap_or(Duration::from_secs(4 * 3600)),
        reauth_time: time("reauth_time").unwrap_or_default(),
        over_time: time("over_time").unwrap_or_default(),
        rand_time: time("rand_time"),
    };
    let times = [("rekey_time", lifetimes.rekey_time), ("reauth_time", lifetimes.reauth_time)];
    if let Some((rand, entry)) = lifetimes.rand_time.zip(fields.entry("rand_time"))
        && let Some((key, time)) = times.into_iter().find(|(_, time)| !time.is_zero() && *time < rand)
    {
        let message = format!("rand_time is longer than {key}");
        report.error(entry.node.at, "time.order", message, format!("at most {key}, which is {time:?}"));
    }
    lifetimes
}

/// Addresses that we ask the peer for; unspecified: any of the family.
fn vips(report: &mut Report<'_>, node: &Node, respond_only: bool) -> Option<Vec<IpAddr>> {
    let vips = value::list(report, node, |report, node| {
        let address = value::address(report, node)?;
        if address.is_multicast() || address.is_loopback() {
            let hint = "\"0.0.0.0\" and \"::\" ask for any of their family";
            let message = format!("no peer gives out {address}");
            return report.refuse(node.at, "address.virtual", message, hint);
        }
        Some(address)
    })?;
    if respond_only && !vips.is_empty() {
        let hint = "pools = [\"NAME\"] hands addresses out";
        let message = "only who calls can ask for addresses, and \"%any\" is never called";
        return report.refuse(node.at, "start.any", message, hint);
    }
    Some(vips.into_iter().map(|(address, _)| address).collect())
}
