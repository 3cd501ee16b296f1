//! One table under a connection's `children`.
use super::keys::{self, Fields};
use super::report::Report;
use super::text::{At, Entry, Node, Value};
use super::{ChildConfig, Mode, monitor, proposal, translate, value};
use crate::ike::policy::{ChildPolicy, DpdAction, StartAction};
use crate::ipsec::fitting::{LEAST_MSS, Mss, OuterFragments};
use crate::wire::keyword;
use crate::wire::registry::ProtocolId;
use crate::wire::selector::Selector;
use std::net::IpAddr;
use std::time::Duration;

/// Most selectors of one side: their number has one octet (RFC 7296 section 3.13).
const MOST_SELECTORS: usize = 255;

const OUTER_FRAGMENTS: [(&str, OuterFragments); 3] =
    [("auto", OuterFragments::Auto), ("always", OuterFragments::Always), ("never", OuterFragments::Never)];

/// A child as far as it could be read.
pub(super) struct Child {
    /// Its key.
    pub at: At,
    /// Nothing is wrong with it by itself.
    pub sound: bool,
    pub config: ChildConfig,
    /// What IKE is told, unless IKE never sees it.
    pub policy: Option<ChildPolicy>,
}
impl Child {
    /// IKE makes SAs for it.
    pub(super) fn negotiates(&self) -> bool {
        self.policy.is_some()
    }
}

/// Reads a child: one, or with `ts_mode = "per_pair"` as many as there are pairs. None if it is not even a table.
pub(super) fn read(report: &mut Report<'_>, entry: &Entry, respond_only: bool) -> Vec<Child> {
    let before = report.errors();
    value::name(report, entry);
    let Some(fields) = Fields::of_node(report, &keys::CHILD, &entry.node) else { return Vec::new() };
    let mode = mode(report, &fields);
    let (local_ts, remote_ts) = selectors(report, entry, &fields);
    if mode == Mode::Transport {
        demand_hosts(report, &fields, [("local_ts", &local_ts), ("remote_ts", &remote_ts)]);
    }
    let mut config = ChildConfig {
        name: entry.key.as_str().into(),
        written: entry.key.as_str().into(),
        mode,
        priority: fields
            .read(report, "priority", |r, n| value::integer(r, n, i32::MIN.into()..=i32::MAX.into()))
            .unwrap_or(0),
        waits: false,
        copy_dscp: fields.read(report, "copy_dscp", value::boolean).unwrap_or(true),
        replay_window: fields.read(report, "replay_window", |r, n| value::integer(r, n, 64..=65_536)).unwrap_or(4096),
        peer_window: fields.read(report, "peer_window", |r, n| value::integer(r, n, 1..=65_536)).unwrap_or(64),
        resources: fields.read(report, "per_resource_sas", |r, n| value::integer(r, n, 0..=16)).unwrap_or(0),
        mtu: mtu(report, &fields, local_ts.iter().chain(&remote_ts)),
        mss: fields.read(report, "mss", mss).unwrap_or_default(),
        outer_fragments: fields
            .read(report, "outer_fragments", |r, n| value::choice(r, n, &OUTER_FRAGMENTS))
            .unwrap_or_default(),
        translation: translate::read(report, &fields, mode, &local_ts, &remote_ts),
        monitor: None,
        local_ts,
        remote_ts,
    };
    if matches!(mode, Mode::Tunnel | Mode::Transport) {
        // Without its broken names nobody knows what is called what.
        let unknown = fields.entry("translate").is_some() && config.translation.is_none();
        let here = if unknown { Default::default() } else { (config.local_here(), config.remote_here()) };
        config.monitor = monitor::read(report, &fields, (&here.0, &here.1), respond_only);
    }
    let policy = match mode {
        Mode::Tunnel | Mode::Transport => Some(policy(report, &fields, &config, respond_only)),
        Mode::Pass | Mode::Drop => {
            refuse_negotiated(report, &fields);
            None
        }
    };
    config.waits =
        policy.as_ref().is_some_and(|policy| policy.start != StartAction::None || policy.dpd == DpdAction::Trap);
    let modes = [("together", false), ("per_pair", true)];
    let per_pair = fields.read(report, "ts_mode", |r, n| value::choice(r, n, &modes)) == Some(true);
    let child = Child { at: entry.at, sound: report.errors() == before, config, policy };
    if per_pair && mode != Mode::Pass && mode != Mode::Drop { pairs(child) } else { vec![child] }
}

/// One child for each pair of selectors of one family, `NAME-1` and so on; a single pair keeps its name.
fn pairs(child: Child) -> Vec<Child> {
    let ChildConfig { local_ts, remote_ts, .. } = &child.config;
    let pairs: Vec<_> = (local_ts.iter())
        .flat_map(|local| remote_ts.iter().map(move |remote| (*local, *remote)))
        .filter(|(local, remote)| local.start.is_ipv4() == remote.start.is_ipv4())
        .collect();
    if pairs.len() < 2 {
        return vec![child];
    }
    let one = |(n, (local, remote)): (usize, &(Selector, Selector))| {
        let (name, local_ts, remote_ts) =
            (format!("{}-{}", child.config.name, n + 1).into(), vec![*local], vec![*remote]);
        let mut config = ChildConfig { name, local_ts, remote_ts, ..child.config.clone() };
        // Its target is in one of them.
        config.monitor = config.monitor.filter(|monitor| monitor.fits(&config));
        let policy = child.policy.clone().map(|policy| ChildPolicy {
            name: config.name.clone(),
            local_ts: config.local_ts.clone(),
            remote_ts: config.remote_ts.clone(),
            ..policy
        });
        Child { at: child.at, sound: child.sound, config, policy }
    };
    pairs.iter().enumerate().map(one).collect()
}

fn mode(report: &mut Report<'_>, fields: &Fields<'_>) -> Mode {
    let modes = [("tunnel", Mode::Tunnel), ("transport", Mode::Transport), ("pass", Mode::Pass), ("drop", Mode::Drop)];
    fields.read(report, "mode", |r, n| value::choice(r, n, &modes)).unwrap_or_default()
}

/// Transport mode protects what two hosts say to each other: the inner addresses are the outer ones (RFC 4301 section 4.1).
fn demand_hosts(report: &mut Report<'_>, fields: &Fields<'_>, sides: [(&str, &Vec<Selector>); 2]) {
    for (key, selectors) in sides {
        let first = selectors.first().map(|first| first.start);
        let one_host = |ts: &Selector| Some(ts.start) == first && ts.start == ts.end;
        if let Some(entry) = fields.entry(key)
            && !selectors.iter().all(one_host)
        {
            let hint = "the address of the host on that side: \"192.0.2.1\", or \"192.0.2.1[tcp/443]\"";
            let message = format!("transport mode is between two hosts, and {key} is more than one");
            report.error(entry.node.at, "ts.hosts", message, hint);
            return;
        }
    }
}

fn policy(report: &mut Report<'_>, fields: &Fields<'_>, config: &ChildConfig, respond_only: bool) -> ChildPolicy {
    let (start, dpd) = actions(report, fields, respond_only);
    let rekey_time = fields.read(report, "rekey_time", value::duration);
    ChildPolicy {
        name: config.name.clone(),
        local_ts: config.local_ts.clone(),
        remote_ts: config.remote_ts.clone(),
        proposals: fields
            .read(report, "esp_proposals", |r, n| proposal::list(r, n, ProtocolId::ESP))
            .unwrap_or_else(|| keyword::defaults(ProtocolId::ESP)),
        start,
        dpd,
        transport: config.mode == Mode::Transport,
        rekey_time: rekey_time.unwrap_or(Duration::from_secs(3600)),
        rekey_bytes: fields.read(report, "rekey_bytes", value::size).unwrap_or(0),
        rekey_packets: fields
            .read(report, "rekey_packets", |r, n| value::integer(r, n, 0..=u64::MAX.into()))
            .unwrap_or(0),
        resources: config.resources,
    }
}

/// Towards `%any` nothing can be started, so the defaults differ there.
fn actions(report: &mut Report<'_>, fields: &Fields<'_>, respond_only: bool) -> (StartAction, DpdAction) {
    let start = [("start", StartAction::Start), ("trap", StartAction::Trap), ("none", StartAction::None)];
    let start = fields.read(report, "start_action", |r, n| value::choice(r, n, &start));
    let dpd = [("restart", DpdAction::Restart), ("trap", DpdAction::Trap), ("clear", DpdAction::Clear)];
    let dpd = fields.read(report, "dpd_action", |r, n| value::choice(r, n, &dpd));
    if !respond_only {
        return (start.unwrap_or_default(), dpd.unwrap_or_default());
    }
    let message = "a peer at \"%any\" cannot be called: nobody knows where it is";
    if let (Some(StartAction::Start), Some(entry)) = (start, fields.entry("start_action")) {
        report.error(entry.node.at, "start.any", message, "start_action = \"none\" or \"trap\"");
    }
    if let (Some(DpdAction::Restart), Some(entry)) = (dpd, fields.entry("dpd_action")) {
        report.error(entry.node.at, "start.any", message, "dpd_action = \"clear\" or \"trap\"");
    }
    (start.unwrap_or(StartAction::None), dpd.unwrap_or(DpdAction::Clear))
}

/// Nothing is negotiated for what passes in the clear or is dropped.
fn refuse_negotiated(report: &mut Report<'_>, fields: &Fields<'_>) {
    for key in keys::CHILD.others(&keys::POLICY) {
        if let Some(entry) = fields.entry(key) {
            let message = format!("`{key}` means nothing where nothing is negotiated");
            report.error(entry.at, "mode.key", message, "remove it, or use mode = \"tunnel\"");
        }
    }
}

fn selectors(report: &mut Report<'_>, entry: &Entry, fields: &Fields<'_>) -> (Vec<Selector>, Vec<Selector>) {
    let mut side = |key: &str| {
        if fields.entry(key).is_none() {
            let message = format!("`{}` has no {key}", entry.key);
            report.error(entry.at, "ts.missing", message, format!("add {key} = [\"10.1.0.0/16\"]"));
        }
        fields.read(report, key, side)
    };
    let (Some(local), Some(remote)) = (side("local_ts"), side("remote_ts")) else { return Default::default() };
    for (these, those, other) in [(&local, &remote, "remote_ts"), (&remote, &local, "local_ts")] {
        let lonely = these.iter().find(|(ts, _)| !those.iter().any(|(o, _)| o.start.is_ipv4() == ts.start.is_ipv4()));
        if let Some((ts, at)) = lonely {
            let family = if ts.start.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!("{ts} is {family}, and nothing in {other} is");
            report.error(*at, "ts.family", message, format!("add an {family} network to {other}, or remove this one"));
            break;
        }
    }
    let plain = |list: Vec<(Selector, At)>| list.into_iter().map(|(ts, _)| ts).collect();
    (plain(local), plain(remote))
}

fn side(report: &mut Report<'_>, node: &Node) -> Option<Vec<(Selector, At)>> {
    let list = value::list_of_some(report, node, selector)?;
    if list.len() > MOST_SELECTORS {
        return report.refuse(
            node.at,
            "ts.too_many",
            "more than 255 selectors",
            "several children, or larger networks",
        );
    }
    Some(list)
}

fn selector(report: &mut Report<'_>, node: &Node) -> Option<Selector> {
    let given = value::string(report, node)?;
    let (network, narrowed) = given.split_at(given.find('[').unwrap_or(given.len()));
    let parts = network.split_once('/').and_then(|(a, l)| Some((a.parse::<IpAddr>().ok()?, l.parse::<u8>().ok()?)));
    if let Some((address, len)) = parts
        && len <= value::bits(address)
        && value::mask(address, len) != address
    {
        let hint = format!("write \"{}/{len}{narrowed}\"", value::mask(address, len));
        return report.refuse(node.at, "ts.host_bits", format!("{given:?} has bits beyond its length"), hint);
    }
    given.parse().map_or_else(
        |error: String| {
            let hint = "write \"10.2.0.0/16\", \"10.0.0.1-10.0.0.9\" or \"10.2.0.0/16[tcp/443]\"";
            report.refuse(node.at, "ts.invalid", error, hint)
        },
        Some,
    )
}

/// IPv6 does not work below 1280 (RFC 8200 section 5).
fn mtu<'s>(report: &mut Report<'_>, fields: &Fields<'_>, mut ts: impl Iterator<Item = &'s Selector>) -> Option<u16> {
    let entry = fields.entry("mtu")?;
    let mtu = auto(report, &entry.node, 576..=65_535)??;
    if mtu < 1280 && ts.any(|ts| ts.start.is_ipv6()) {
        return report.refuse(entry.node.at, "mtu.ipv6", "IPv6 needs an MTU of 1280", "at least 1280, or \"auto\"");
    }
    Some(mtu)
}

/// A number or `auto`.
fn auto(report: &mut Report<'_>, node: &Node, range: std::ops::RangeInclusive<i128>) -> Option<Option<u16>> {
    match node.value {
        Value::String(_) => value::choice(report, node, &[("auto", None)]),
        _ => value::integer(report, node, range).map(Some),
    }
}

fn mss(report: &mut Report<'_>, node: &Node) -> Option<Mss> {
    match node.value {
        Value::String(_) => value::choice(report, node, &[("auto", Mss::Auto), ("off", Mss::Off)]),
        _ => value::integer(report, node, LEAST_MSS.into()..=65_495).map(Mss::Most),
    }
}
