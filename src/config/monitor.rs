//! `monitor` of a child: probes that tell whether traffic passes.
use super::keys::{self, Fields};
use super::report::Report;
use super::text::Node;
use super::{ChildConfig, value};
use crate::wire::ip;
use crate::wire::selector::{ANY_PORTS, Selector};
use std::net::IpAddr;
use std::time::Duration;

/// What is asked of a peer more often is a burden, and what is asked less often is no monitor.
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const USUAL_INTERVAL: Duration = Duration::from_secs(2);
const USUAL_LOSS: u32 = 3;

/// Echo requests through a child's tunnel, and what to do when they are not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Who answers: an address that packets reach through the child.
    pub target: IpAddr,
    /// Our end; `None`: the lowest address of the host that the child takes packets from.
    pub source: Option<IpAddr>,
    /// Time between two probes that are answered, 100 ms to 1 h.
    pub interval: Duration,
    /// So many in a row unanswered: traffic does not pass; 1 to 100.
    pub loss: u32,
    /// What is done about it.
    pub action: MonitorAction,
}

/// What is done about a tunnel that nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorAction {
    /// The IKE SA and its children are made anew.
    Restart,
    /// The connection goes down for a while, and leaves its packets to others.
    Failover,
    /// It is told, no more.
    None,
}

/// Reads it; selectors are by the names that networks have here. A peer at `%any` cannot be called, so its tunnel can only be watched.
pub(super) fn read(
    report: &mut Report<'_>,
    fields: &Fields<'_>,
    (local_ts, remote_ts): (&[Selector], &[Selector]),
    respond_only: bool,
) -> Option<Monitor> {
    let node = &fields.entry("monitor")?.node;
    let monitor = Fields::of_node(report, &keys::MONITOR, node)?;
    if monitor.entry("target").is_none() {
        let hint = "add target = \"...\": an address in remote_ts that answers pings";
        return report.refuse(node.at, "monitor.target", "nobody is named who should answer", hint);
    }
    let target = monitor.read(report, "target", |r, n| target(r, n, remote_ts));
    let source = monitor.read(report, "source", |r, n| source(r, n, local_ts, target));
    let interval = monitor.read(report, "interval", interval).unwrap_or(USUAL_INTERVAL);
    let loss = monitor.read(report, "loss", |r, n| value::integer(r, n, 1..=100)).unwrap_or(USUAL_LOSS);
    let action = monitor.read(report, "action", |r, n| action(r, n, respond_only));
    let usual = if respond_only { MonitorAction::None } else { MonitorAction::Restart };
    Some(Monitor { target: target?, source, interval, loss, action: action.unwrap_or(usual) })
}

impl Monitor {
    /// Its probes are packets of this child.
    pub(super) fn fits(&self, child: &ChildConfig) -> bool {
        let (local_ts, remote_ts) = (child.local_here(), child.remote_here());
        let local = local_ts.iter().any(|ts| echoes(ts, self.target) && self.source.is_none_or(|s| holds(ts, s)));
        local && remote_ts.iter().any(|ts| holds(ts, self.target) && echoes(ts, self.target))
    }
}

fn target(report: &mut Report<'_>, node: &Node, remote_ts: &[Selector]) -> Option<IpAddr> {
    let target = value::address(report, node)?;
    let code = "monitor.target";
    if target.is_multicast() || target.is_unspecified() || target.is_loopback() || target == IpAddr::from([255; 4]) {
        return report.refuse(
            node.at,
            code,
            format!("{target} is not one host of the peer's"),
            "the address of one host",
        );
    }
    if !remote_ts.is_empty() && !remote_ts.iter().any(|ts| holds(ts, target)) {
        let list: Vec<String> = remote_ts.iter().take(5).map(ToString::to_string).collect();
        let hint = format!("an address in {}", list.join(", "));
        let message = format!("nobody at the peer's is called {target} here: no probe would travel");
        return report.refuse(node.at, code, message, hint);
    }
    if !remote_ts.is_empty() && !remote_ts.iter().any(|ts| holds(ts, target) && echoes(ts, target)) {
        let hint = "add a selector for it without protocol, or with [icmp]";
        return report.refuse(node.at, code, "remote_ts does not let pings through to the target", hint);
    }
    Some(target)
}

fn source(report: &mut Report<'_>, node: &Node, local_ts: &[Selector], target: Option<IpAddr>) -> Option<IpAddr> {
    let source = value::address(report, node)?;
    if target.is_some_and(|target| target.is_ipv4() != source.is_ipv4()) {
        let message = "source and target are not of one family";
        return report.refuse(node.at, "ts.family", message, "two IPv4 addresses, or two IPv6 addresses");
    }
    if target == Some(source) {
        let message = format!("{source} would ask itself");
        return report.refuse(node.at, "monitor.source", message, "an address of this host, or leave it out");
    }
    if !local_ts.is_empty() && !local_ts.iter().any(|ts| holds(ts, source) && echoes(ts, source)) {
        let message = format!("pings of {source} do not belong to this child");
        let list: Vec<String> = local_ts.iter().take(5).map(ToString::to_string).collect();
        let hint = format!("an address of this host in {}, or leave it out", list.join(", "));
        return report.refuse(node.at, "monitor.source", message, hint);
    }
    Some(source)
}

fn interval(report: &mut Report<'_>, node: &Node) -> Option<Duration> {
    let interval = value::duration(report, node)?;
    if INTERVALS.contains(&interval) {
        return Some(interval);
    }
    report.refuse(node.at, "value.range", "this is no interval of probes", "from \"100ms\" to \"1h\"")
}

fn action(report: &mut Report<'_>, node: &Node, respond_only: bool) -> Option<MonitorAction> {
    let words =
        [("restart", MonitorAction::Restart), ("failover", MonitorAction::Failover), ("none", MonitorAction::None)];
    let action = value::choice(report, node, &words)?;
    if respond_only && action != MonitorAction::None {
        let message = "a peer at \"%any\" cannot be called: nobody could bring it back";
        return report.refuse(node.at, "start.any", message, "action = \"none\"");
    }
    Some(action)
}

fn holds(ts: &Selector, address: IpAddr) -> bool {
    ts.start.is_ipv4() == address.is_ipv4() && ts.start <= address && address <= ts.end
}

/// Echo requests and replies of this family match it: all of ICMP, or any protocol.
fn echoes(ts: &Selector, address: IpAddr) -> bool {
    let icmp = if address.is_ipv4() { ip::ICMP } else { ip::ICMPV6 };
    ts.start.is_ipv4() == address.is_ipv4() && (ts.proto == 0 || ts.proto == icmp) && ts.ports == ANY_PORTS
}
