//! Which change of which key does what: a row for each key of `keys.rs`.
//!
//! A row judges what is meant, not what is written, so that a default that changes with another key is seen, and another spelling is nothing.
use super::{ChildUp, IkeUp, Impact};
use crate::config::{ChildConfig, Config, ConnectionConfig, Mode};
use crate::crypto::cert::Trust;
use crate::ike::policy::{ChildPolicy, Connection, Credentials, EncapPolicy, IdMatch, PpkPolicy, Remote};
use crate::wire::keyword;
use crate::wire::payload::{Proposal, Transform};
use crate::wire::registry::{ProtocolId, TransformType};
use crate::wire::selector::{Selector, is_subset};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One key.
pub struct Row<J> {
    /// Its name; `local.id` for one of a table.
    pub key: &'static str,
    /// The strongest impact that a change of it can have.
    pub bound: Impact,
    /// Why it is that.
    pub why: &'static str,
    pub(super) judge: J,
}

/// A connection as it is meant.
#[derive(Clone, Copy)]
pub struct Meaning<'a> {
    pub(super) config: &'a ConnectionConfig,
    /// If it negotiates anything.
    pub(super) policy: Option<&'a Connection>,
    pub(super) credentials: Option<&'a Credentials>,
}
impl Meaning<'_> {
    pub(super) fn same(&self, other: &Self) -> bool {
        let (a, b) = (self.credentials, other.credentials);
        self.config == other.config && self.policy == other.policy && own(a) == own(b) && same_trust(a, b)
    }
}

/// A connection before and after.
pub struct Two<'a> {
    pub(super) old: Meaning<'a>,
    pub(super) new: Meaning<'a>,
    /// What is up, if anybody knows.
    pub(super) up: Option<&'a [IkeUp]>,
}
/// A child as it is meant.
#[derive(Clone, Copy)]
pub struct Child<'a> {
    pub(super) config: &'a ChildConfig,
    /// If it is negotiated.
    pub(super) policy: Option<&'a ChildPolicy>,
}
/// A child before and after.
pub struct TwoChildren<'a> {
    pub(super) old: Child<'a>,
    pub(super) new: Child<'a>,
    /// What is up of its connection, if anybody knows.
    pub(super) up: Option<&'a [IkeUp]>,
}

type OfGateway = fn(&Config, &Config) -> Impact;
type OfConnection = fn(&Two<'_>) -> Impact;
type OfChild = fn(&TwoChildren<'_>) -> Impact;

const fn row<J>(key: &'static str, bound: Impact, why: &'static str, judge: J) -> Row<J> {
    Row { key, bound, why, judge }
}

fn when(differs: bool, impact: Impact) -> Impact {
    if differs { impact } else { Impact::None }
}

/// A row about what is compared by itself.
macro_rules! differs {
    ($impact:expr, |$config:ident| $value:expr) => {
        |old, new| {
            let of = |$config: &Config| $value;
            when(of(old) != of(new), $impact)
        }
    };
}

const NEEDS_RESTART: Impact = Impact::InterruptsTraffic;

/// `[gateway]`. What interrupts traffic here needs a restart: a running daemon cannot change it.
pub const GATEWAY: &[Row<OfGateway>] = &[
    row("listen", NEEDS_RESTART, "sockets are opened once", differs!(NEEDS_RESTART, |c| c.gateway.listen.clone())),
    row("ports.ike", NEEDS_RESTART, "sockets are opened once", differs!(NEEDS_RESTART, |c| c.gateway.ports.ike)),
    row("ports.natt", NEEDS_RESTART, "sockets are opened once", differs!(NEEDS_RESTART, |c| c.gateway.ports.natt)),
    row("workers", NEEDS_RESTART, "SPIs name workers", differs!(NEEDS_RESTART, |c| c.gateway.workers)),
    row("sandbox", NEEDS_RESTART, "a filter is never taken off", differs!(NEEDS_RESTART, |c| c.gateway.sandbox)),
    row("pin_workers", NEEDS_RESTART, "threads are placed once", differs!(NEEDS_RESTART, |c| c.gateway.pin_workers)),
    row("device", NEEDS_RESTART, "routes lead into it", differs!(NEEDS_RESTART, |c| c.gateway.device.clone())),
    row("route_table", NEEDS_RESTART, "routes stand in it", differs!(NEEDS_RESTART, |c| c.gateway.route_table)),
    row("mark", NEEDS_RESTART, "rules know our packets by it", differs!(NEEDS_RESTART, |c| c.gateway.mark)),
    row(
        "bind_device",
        NEEDS_RESTART,
        "sockets are opened once",
        differs!(NEEDS_RESTART, |c| c.gateway.bind_device.clone()),
    ),
    row("on_exit", Impact::Live, "counts at the end", differs!(Impact::Live, |c| c.gateway.on_exit)),
    row("control_socket", NEEDS_RESTART, "opened once", differs!(NEEDS_RESTART, |c| c.gateway.control_socket.clone())),
    row("observe_socket", NEEDS_RESTART, "opened once", differs!(NEEDS_RESTART, |c| c.gateway.observe_socket.clone())),
    row("state_dir", NEEDS_RESTART, "revisions lie in it", differs!(NEEDS_RESTART, |c| c.gateway.state_dir.clone())),
    row("metrics", NEEDS_RESTART, "opened once", differs!(NEEDS_RESTART, |c| c.gateway.metrics)),
    row(
        "hook.command",
        NEEDS_RESTART,
        HOOK,
        differs!(NEEDS_RESTART, |c| c.gateway.hook.as_ref().map(|h| h.command.clone())),
    ),
    row("hook.user", NEEDS_RESTART, HOOK, differs!(NEEDS_RESTART, |c| c.gateway.hook.as_ref().map(|h| (h.uid, h.gid)))),
    row("hook.timeout", NEEDS_RESTART, HOOK, differs!(NEEDS_RESTART, |c| c.gateway.hook.as_ref().map(|h| h.timeout))),
    row("log.level", Impact::Live, "the next line", differs!(Impact::Live, |c| c.gateway.log.level)),
    row("log.format", Impact::Live, "the next line", differs!(Impact::Live, |c| c.gateway.log.format)),
    row("log.target", Impact::Live, "the next line", differs!(Impact::Live, |c| c.gateway.log.target.clone())),
    row("retransmit.first", Impact::Live, REQUEST, differs!(Impact::Live, |c| c.policy.retransmit.first)),
    row("retransmit.factor", Impact::Live, REQUEST, differs!(Impact::Live, |c| c.policy.retransmit.factor)),
    row("retransmit.max", Impact::Live, REQUEST, differs!(Impact::Live, |c| c.policy.retransmit.max)),
    row("retransmit.tries", Impact::Live, REQUEST, differs!(Impact::Live, |c| c.policy.retransmit.tries)),
    row("limits.half_open", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.half_open)),
    row(
        "limits.half_open_per_source",
        Impact::Live,
        COMER,
        differs!(Impact::Live, |c| c.policy.limits.half_open_per_source),
    ),
    row("limits.cookie_threshold", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.cookie_threshold)),
    row("limits.cookie_per_source", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.cookie_per_source)),
    row("limits.connections", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.connections)),
    row("limits.per_identity", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.per_identity)),
    row("limits.children", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.children)),
    row("limits.per_resource", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.per_resource)),
    row(
        "limits.auth_failures_per_minute",
        Impact::Live,
        COMER,
        differs!(Impact::Live, |c| c.policy.limits.auth_failures_per_minute),
    ),
    row("limits.reassembly_bytes", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.reassembly_bytes)),
    row("limits.compute_queue", Impact::Live, COMER, differs!(Impact::Live, |c| c.policy.limits.compute_queue)),
];
const HOOK: &str = "who runs it was made before the daemon lost the right to";
const REQUEST: &str = "the next request is sent so";
const COMER: &str = "counts for who comes next; nobody is sent away";

/// A running daemon cannot change this key of `[gateway]`.
pub fn needs_restart(key: &str) -> bool {
    GATEWAY.iter().any(|row| row.bound == NEEDS_RESTART && (row.key == key || row.key.split('.').next() == Some(key)))
}

/// A row about what IKE is told.
macro_rules! policy {
    ($field:ident) => {
        |two| {
            let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
            when(old.$field != new.$field, Impact::Live)
        }
    };
}

/// A connection's own keys.
pub const CONNECTION: &[Row<OfConnection>] = &[
    row("profile", Impact::None, "what it stands for is judged key by key", |_| Impact::None),
    row(
        "local_addrs",
        Impact::RestartIke,
        "an address that may not be ours any more, or not the first, which is gone to before long",
        local_addrs,
    ),
    row("remote_addrs", Impact::RestartIke, "the peer may be elsewhere", remote_addrs),
    row(
        "proposals",
        Impact::RestartIke,
        "a suite that is not allowed any more; else from the next rekey on",
        proposals,
    ),
    row("local.auth", Impact::RestartIke, "who we are is proven otherwise", |two| demanded(two, |p| p.local_auth)),
    row("local.id", Impact::RestartIke, "the peer knows us by another name", local_id),
    row("local.certs", Impact::Live, NEXT_AUTH, |two| {
        let chain = |m: &Meaning<'_>| m.credentials.and_then(|c| c.local.as_ref()).map(|own| own.chain.clone());
        when(chain(&two.old) != chain(&two.new), Impact::Live)
    }),
    row("local.key", Impact::Live, NEXT_AUTH, |_| Impact::None),
    row("local.padding", Impact::Live, NEXT_AUTH, |two| {
        when(own(two.old.credentials).map(|o| o.1) != own(two.new.credentials).map(|o| o.1), Impact::Live)
    }),
    row("remote.auth", Impact::RestartIke, "who the peer is is proven otherwise", |two| {
        demanded(two, |p| p.remote_auth)
    }),
    row("remote.id", Impact::RestartIke, "the peer that is there is not the one that is meant", remote_id),
    row("remote.cacerts", Impact::Live, NEXT_AUTH, |two| {
        let of = |m: &Meaning<'_>| trust_of(m).map(|trust| trust.authorities().cloned().collect::<Vec<_>>());
        when(of(&two.old) != of(&two.new), Impact::Live)
    }),
    row("remote.crls", Impact::Live, NEXT_AUTH, |two| {
        let of = |m: &Meaning<'_>| trust_of(m).map(Trust::lists).unwrap_or_default();
        when(of(&two.old) != of(&two.new), Impact::Live)
    }),
    row("remote.revocation", Impact::Live, NEXT_AUTH, |two| {
        let of = |m: &Meaning<'_>| m.credentials.and_then(|c| c.remote.as_ref()).map(|peer| peer.trust.revocation());
        when(of(&two.old) != of(&two.new), Impact::Live)
    }),
    row("remote.crl_hosts", Impact::Live, NEXT_AUTH, |two| {
        let of = |m: &Meaning<'_>| m.credentials.and_then(|c| c.remote.as_ref()).map(|peer| peer.crl_hosts.clone());
        when(of(&two.old) != of(&two.new), Impact::Live)
    }),
    row("rekey_time", Impact::Live, TIMER, policy!(rekey_time)),
    row("reauth_time", Impact::Live, TIMER, policy!(reauth_time)),
    row("over_time", Impact::Live, TIMER, policy!(over_time)),
    row("rand_time", Impact::Live, TIMER, policy!(rand_time)),
    row("rekey", Impact::Live, TIMER, policy!(rekey)),
    row("dpd_delay", Impact::Live, TIMER, policy!(dpd_delay)),
    row("keepalive", Impact::Live, TIMER, policy!(keepalive)),
    row("encap", Impact::RestartIke, "agreed on in IKE_SA_INIT", encap),
    row(
        "fragmentation",
        Impact::Live,
        "off at once; on with the next IKE SA, as it is agreed on",
        policy!(fragmentation),
    ),
    row("mobike", Impact::Live, NEXT_IKE, policy!(mobike)),
    row("childless", Impact::Live, NEXT_IKE, policy!(childless)),
    row("rehearse", Impact::Live, NEXT_IKE, policy!(rehearse)),
    row("ppk.id", Impact::RestartIke, "keys without the secret that is demanded", |two| ppk(two, |p| p.id.clone())),
    row("ppk.required", Impact::RestartIke, "keys without the secret that is demanded", |two| ppk(two, |p| p.required)),
    row("unique", Impact::Live, "counts when the next IKE SA comes up", policy!(unique)),
    row("vips", Impact::RestartIke, "addresses are asked for in IKE_AUTH", |two| {
        let none = two.up.is_some_and(|up| up.iter().all(|sa| sa.vips.is_empty()));
        let gone = two.new.policy.is_some_and(|policy| policy.vips.is_empty());
        if none && gone {
            demanded(two, |p| p.vips.clone()).min(Impact::Live)
        } else {
            demanded(two, |p| p.vips.clone())
        }
    }),
    row("pools", Impact::Live, "who has an address keeps it, who comes next gets one of these", policy!(pools)),
    row("interface.name", Impact::InterruptsTraffic, DEVICE, |two| {
        let of = |m: &Meaning<'_>| m.config.interface.as_ref().map(|i| i.name.clone());
        when(of(&two.old) != of(&two.new), Impact::InterruptsTraffic)
    }),
    row(
        "interface.addresses",
        Impact::InterruptsTraffic,
        "set on the device that is there; with the last IPv4 address the kernel takes its routes away",
        addresses,
    ),
    row("interface.netns", Impact::InterruptsTraffic, DEVICE, |two| {
        let of = |m: &Meaning<'_>| m.config.interface.as_ref().and_then(|i| i.netns.clone());
        when(of(&two.old) != of(&two.new), Impact::InterruptsTraffic)
    }),
    row("keylog.path", Impact::Live, "the next keys are written there", keylog),
    row("keylog.until", Impact::Live, "the next keys are written until then", keylog),
    row("log.level", Impact::Live, "the next line", |two| when(two.old.config.log != two.new.config.log, Impact::Live)),
    row("children", Impact::Live, "each is an object of its own; their order is who is tried first", |_| Impact::None),
];
const DEVICE: &str = "a device is made anew, and routes into it are gone";
const NEXT_AUTH: &str = "counts from the next IKE_AUTH on";
const NEXT_IKE: &str = "agreed on when an IKE SA begins: counts from the next one on";
const TIMER: &str = "timers follow";

/// A child's keys.
pub const CHILD: &[Row<OfChild>] = &[
    row("local_ts", Impact::RestartChild, "selectors are agreed on when a child is made", |two| {
        selectors(two, two.old.config.local_ts != two.new.config.local_ts)
    }),
    row("remote_ts", Impact::RestartChild, "selectors are agreed on when a child is made", |two| {
        selectors(two, two.old.config.remote_ts != two.new.config.remote_ts)
    }),
    row("ts_mode", Impact::RestartChild, "one child becomes several, or several one", |_| Impact::None),
    row(
        "esp_proposals",
        Impact::RekeyChild,
        "a suite that is not allowed any more; a group counts from the next rekey on",
        esp_proposals,
    ),
    row(
        "mode",
        Impact::InterruptsTraffic,
        "between tunnel and transport the child is made anew; what passes or is dropped has no SA",
        mode,
    ),
    row("priority", Impact::Live, "the policy is looked up so", |two| {
        when(two.old.config.priority != two.new.config.priority, Impact::Live)
    }),
    row("rekey_time", Impact::Live, TIMER, |two| negotiated(two, |p| p.rekey_time, Impact::Live)),
    row("rekey_bytes", Impact::Live, TIMER, |two| negotiated(two, |p| p.rekey_bytes, Impact::Live)),
    row("rekey_packets", Impact::Live, TIMER, |two| negotiated(two, |p| p.rekey_packets, Impact::Live)),
    row(
        "per_resource_sas",
        Impact::RestartChild,
        "whether others may stand beside a child is said when it is made",
        resources,
    ),
    row("start_action", Impact::Live, "what is up stays up", |two| negotiated(two, |p| p.start, Impact::Live)),
    row("dpd_action", Impact::Live, "counts when the peer is dead", |two| negotiated(two, |p| p.dpd, Impact::Live)),
    row("replay_window", Impact::RekeyChild, "an SA has its window from the beginning", |two| {
        kept(two, |c| c.replay_window, Impact::RekeyChild)
    }),
    row("peer_window", Impact::Live, "the next packet is sealed so", |two| kept(two, |c| c.peer_window, Impact::Live)),
    row("mtu", Impact::Live, NEXT_PACKET, |two| kept(two, |c| c.mtu, Impact::Live)),
    row("mss", Impact::Live, NEXT_PACKET, |two| kept(two, |c| c.mss, Impact::Live)),
    row("outer_fragments", Impact::Live, NEXT_PACKET, |two| kept(two, |c| c.outer_fragments, Impact::Live)),
    row("copy_dscp", Impact::Live, NEXT_PACKET, |two| kept(two, |c| c.copy_dscp, Impact::Live)),
    row("translate.local", Impact::RestartChild, TRANSLATE, |two| {
        kept(two, |c| c.translation.map(|t| t.here()[0]), Impact::RestartChild)
    }),
    row("translate.remote", Impact::RestartChild, TRANSLATE, |two| {
        kept(two, |c| c.translation.map(|t| t.here()[1]), Impact::RestartChild)
    }),
    row("monitor.target", Impact::Live, PROBE, |two| kept(two, |c| c.monitor.map(|m| m.target), Impact::Live)),
    row("monitor.source", Impact::Live, PROBE, |two| kept(two, |c| c.monitor.map(|m| m.source), Impact::Live)),
    row("monitor.interval", Impact::Live, PROBE, |two| kept(two, |c| c.monitor.map(|m| m.interval), Impact::Live)),
    row("monitor.loss", Impact::Live, PROBE, |two| kept(two, |c| c.monitor.map(|m| m.loss), Impact::Live)),
    row("monitor.action", Impact::Live, PROBE, |two| kept(two, |c| c.monitor.map(|m| m.action), Impact::Live)),
];
const NEXT_PACKET: &str = "the next packet is made to fit so";
const TRANSLATE: &str = "what comes in under the old name may not come out any more: the SAs are withdrawn at once";
const PROBE: &str = "the next probe";

/// Keys of a secret, with the impact of each.
pub const SECRET: &[(&str, Impact, &str)] = &[
    ("id", Impact::Live, NEXT_AUTH),
    ("secret", Impact::Live, NEXT_AUTH),
    ("secret_file", Impact::Live, NEXT_AUTH),
    ("secret_env", Impact::Live, NEXT_AUTH),
];
/// Keys of a pool, with the impact of each.
pub const POOL: &[(&str, Impact, &str)] = &[("addrs", Impact::Live, "who has an address keeps it")];

fn local_addrs(two: &Two<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    if old.local_addrs == new.local_addrs {
        return Impact::None;
    }
    // From another one that is allowed it goes to the first before long; which that is by the route nobody knows here.
    let is_at_home = |sa: &IkeUp| {
        let first = new.local_addrs.iter().find(|addr| addr.is_ipv4() == sa.remote.is_ipv4());
        first == Some(&sa.local)
    };
    let stays = two.up.is_some_and(|up| up.iter().all(is_at_home));
    if stays { Impact::Live } else { Impact::RestartIke }
}

/// One peer or many: each of many has a number, and so have its children.
fn remote_addrs(two: &Two<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    if old.remote_addrs == new.remote_addrs {
        return Impact::None;
    }
    let [before, any] = [old, new].map(|policy| policy.remote_addrs.contains(&Remote::Any));
    // Of a name nobody knows here what it stands for: who has it may be there by it.
    let all_stay = old.remote_addrs.iter().all(|remote| new.remote_addrs.contains(remote));
    let is_there = |sa: &IkeUp| new.remote_addrs.contains(&Remote::Addr(sa.remote));
    let stays = before == any && (all_stay || two.up.is_some_and(|up| up.iter().all(is_there)));
    if stays { Impact::Live } else { Impact::RestartIke }
}

fn local_id(two: &Two<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    if old.local_id == new.local_id {
        return Impact::None;
    }
    let is_it = |sa: &IkeUp| match &new.local_id {
        Some(id) => sa.local_id == id.to_string(),
        None => sa.local_id == sa.local.to_string(),
    };
    let stays = two.up.is_some_and(|up| up.iter().all(is_it));
    if stays { Impact::Live } else { Impact::RestartIke }
}

fn remote_id(two: &Two<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    if old.remote_id == new.remote_id {
        return Impact::None;
    }
    let stays = match &new.remote_id {
        IdMatch::Any => true,
        IdMatch::Exact(id) => two.up.is_some_and(|up| up.iter().all(|sa| sa.remote_id == id.to_string())),
    };
    if stays { Impact::Live } else { Impact::RestartIke }
}

fn proposals(two: &Two<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    if old.proposals == new.proposals {
        return Impact::None;
    }
    let stays = match two.up {
        Some(up) => up.iter().all(|sa| allows(&new.proposals, &sa.proposal)),
        None => contains(&new.proposals, &old.proposals, true),
    };
    if stays { Impact::Live } else { Impact::RestartIke }
}

fn esp_proposals(two: &TwoChildren<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    if old.proposals == new.proposals {
        return Impact::None;
    }
    // Another group counts from the next rekey on: a child that came with its IKE SA has none, so that none says what was meant.
    let suits = |child: &ChildUp| {
        keyword::parse(ProtocolId::ESP, &child.proposal).is_ok_and(|suite| contains(&new.proposals, &[suite], false))
    };
    let stays = match two.up {
        Some(up) => of_child(up, two.new.config).all(suits),
        None => contains(&new.proposals, &old.proposals, false),
    };
    if stays { Impact::Live } else { Impact::RekeyChild }
}

/// What is up of a child.
fn of_child<'a>(up: &'a [IkeUp], child: &ChildConfig) -> impl Iterator<Item = &'a ChildUp> {
    up.iter().flat_map(|sa| &sa.children).filter(|present| *present.name == *child.name)
}

/// A suite that was agreed on would be again.
fn allows(list: &[Proposal], suite: &str) -> bool {
    keyword::parse(ProtocolId::IKE, suite).is_ok_and(|suite| contains(list, std::slice::from_ref(&suite), true))
}

/// Whatever was chosen of `inner` may be chosen of `outer`, whether or not key exchanges count.
fn contains(outer: &[Proposal], inner: &[Proposal], exchanges: bool) -> bool {
    let counts = |t: &&Transform| exchanges || !t.kind.is_key_exchange();
    let kinds = |p: &Proposal| p.transforms.iter().filter(counts).map(|t| t.kind).collect::<BTreeSet<TransformType>>();
    let within = |inner: &Proposal, outer: &Proposal| {
        let known = |t: &Transform| outer.transforms.contains(t);
        kinds(inner) == kinds(outer) && inner.transforms.iter().filter(counts).all(known)
    };
    inner.iter().all(|inner| outer.iter().any(|outer| within(inner, outer)))
}

fn encap(two: &Two<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    if old.encap == new.encap {
        return Impact::None;
    }
    // What the peer was made to believe it goes on believing, and that is allowed.
    let stays = new.encap == EncapPolicy::Auto || two.up.is_some_and(|up| up.iter().all(|sa| sa.udp));
    if stays { Impact::Live } else { Impact::RestartIke }
}

fn ppk<T: PartialEq + Default>(two: &Two<'_>, of: fn(&PpkPolicy) -> T) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    let part = |policy: &Connection| policy.ppk.as_ref().map(of).unwrap_or_default();
    if part(old) == part(new) {
        return Impact::None;
    }
    let same_id = old.ppk.as_ref().map(|ppk| &ppk.id) == new.ppk.as_ref().map(|ppk| &ppk.id);
    let has_it = same_id && two.up.is_some_and(|up| up.iter().all(|sa| sa.ppk));
    let stays = has_it || new.ppk.as_ref().is_none_or(|ppk| !ppk.required);
    if stays { Impact::Live } else { Impact::RestartIke }
}

/// About what an IKE SA has from its beginning.
fn demanded<T: PartialEq>(two: &Two<'_>, of: fn(&Connection) -> T) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    when(of(old) != of(new), Impact::RestartIke)
}

/// Whether the connection's packets have another device.
pub(super) fn moves_device(old: &Meaning<'_>, new: &Meaning<'_>) -> bool {
    let of = |m: &Meaning<'_>| m.config.interface.as_ref().map(|i| (i.name.clone(), i.netns.clone()));
    of(old) != of(new)
}

/// One address must stay all the time. One that is in the network of another goes with that.
fn addresses(two: &Two<'_>) -> Impact {
    let of = |m: &Meaning<'_>| m.config.interface.as_ref().map(|interface| interface.addresses.clone());
    let (Some(old), Some(new)) = (of(&two.old), of(&two.new)) else { return Impact::None };
    let network = |(addr, len): &(IpAddr, u8)| match addr {
        IpAddr::V4(v4) => Some((u32::from(*v4).checked_shr(32 - u32::from(*len)).unwrap_or(0), *len)),
        IpAddr::V6(_) => None,
    };
    let gone: Vec<_> = old.iter().filter(|address| !new.contains(address)).filter_map(network).collect();
    let stays = gone.is_empty() || new.iter().filter_map(network).any(|network| !gone.contains(&network));
    when(old != new, if stays { Impact::Live } else { Impact::InterruptsTraffic })
}

fn keylog(two: &Two<'_>) -> Impact {
    when(two.old.config.keylog != two.new.config.keylog, Impact::Live)
}

/// Our chain, and how it signs.
fn own(credentials: Option<&Credentials>) -> Option<(&[crate::crypto::cert::Certificate], bool)> {
    let own = credentials?.local.as_ref()?;
    Some((&own.chain, own.pss))
}

fn same_trust(a: Option<&Credentials>, b: Option<&Credentials>) -> bool {
    match (a.and_then(|c| c.remote.as_ref()), b.and_then(|c| c.remote.as_ref())) {
        (None, None) => true,
        (Some(a), Some(b)) => a.trust.same(&b.trust) && a.crl_hosts == b.crl_hosts,
        _ => false,
    }
}

fn trust_of<'a>(of: &Meaning<'a>) -> Option<&'a Trust> {
    Some(&of.credentials?.remote.as_ref()?.trust)
}

fn selectors(two: &TwoChildren<'_>, differ: bool) -> Impact {
    let (old, new) = (two.old.config, two.new.config);
    let same = |a: &[Selector], b: &[Selector]| a == b || is_subset(a, b) && is_subset(b, a);
    let meant = same(&old.local_ts, &new.local_ts) && same(&old.remote_ts, &new.remote_ts);
    let restarts = two.old.policy.is_some() && two.new.policy.is_some() && !meant;
    when(differ, if restarts { Impact::RestartChild } else { Impact::Live })
}

/// Where there may be others beside it already, some come or go.
fn resources(two: &TwoChildren<'_>) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    let may = old.resources > 0 || new.resources == 0;
    when(old.resources != new.resources, if may { Impact::Live } else { Impact::RestartChild })
}

fn mode(two: &TwoChildren<'_>) -> Impact {
    let (old, new) = (two.old.config.mode, two.new.config.mode);
    let protects = |mode| matches!(mode, Mode::Tunnel | Mode::Transport);
    match (old, new) {
        _ if old == new => Impact::None,
        _ if protects(old) && protects(new) => Impact::RestartChild,
        // Nothing was carried.
        (Mode::Drop, _) => Impact::Live,
        _ => Impact::InterruptsTraffic,
    }
}

/// About what IKE is told of a child.
fn negotiated<T: PartialEq>(two: &TwoChildren<'_>, of: fn(&ChildPolicy) -> T, impact: Impact) -> Impact {
    let (Some(old), Some(new)) = (two.old.policy, two.new.policy) else { return Impact::None };
    when(of(old) != of(new), impact)
}

/// About what the daemon installs of a child that has SAs before and after.
fn kept<T: PartialEq>(two: &TwoChildren<'_>, of: fn(&ChildConfig) -> T, impact: Impact) -> Impact {
    let protects = two.old.policy.is_some() && two.new.policy.is_some();
    when(protects && of(two.old.config) != of(two.new.config), impact)
}
