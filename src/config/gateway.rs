//! The `[gateway]` table.
use super::keys::{self, Fields};
use super::report::Report;
use super::secret::Secrets;
use super::text::{Entry, Node, Value};
use super::{Gateway, Log, LogFormat, LogLevel, LogTarget, OnExit, hook, value};
use crate::ike::policy::{Limits, Ports, Retransmit};
use std::net::IpAddr;
use std::time::Duration;

/// Levels by name.
const LEVELS: [(&str, LogLevel); 6] = [
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// The table, with what goes into the policy.
pub(super) struct Read {
    pub gateway: Gateway,
    pub retransmit: Retransmit,
    pub limits: Limits,
}

/// Reads the table; what is absent or broken has its default.
pub(super) fn read(report: &mut Report<'_>, entries: &[Entry], from: &dyn Secrets) -> Read {
    let fields = Fields::of(report, &keys::GATEWAY, entries);
    let mut gateway = Gateway::default();
    set(&mut gateway.listen, fields.read(report, "listen", listen));
    set(&mut gateway.ports, fields.read(report, "ports", ports));
    set(&mut gateway.workers, fields.read(report, "workers", |r, n| value::integer(r, n, 0..=16)));
    set(&mut gateway.pin_workers, fields.read(report, "pin_workers", value::boolean));
    set(&mut gateway.sandbox, fields.read(report, "sandbox", value::boolean));
    set(&mut gateway.device, fields.read(report, "device", value::device));
    set(&mut gateway.route_table, fields.read(report, "route_table", route_table));
    set(&mut gateway.mark, fields.read(report, "mark", |r, n| value::integer(r, n, 1..=u32::MAX.into())));
    gateway.bind_device = fields.read(report, "bind_device", value::device);
    let on_exit = [("closed", OnExit::Closed), ("open", OnExit::Open)];
    set(&mut gateway.on_exit, fields.read(report, "on_exit", |r, n| value::choice(r, n, &on_exit)));
    set(&mut gateway.control_socket, fields.read(report, "control_socket", socket_path));
    set(&mut gateway.observe_socket, fields.read(report, "observe_socket", socket_path));
    set(&mut gateway.state_dir, fields.read(report, "state_dir", value::path));
    gateway.metrics = fields.read(report, "metrics", value::socket);
    gateway.hook = fields.read(report, "hook", |r, n| hook::read(r, n, from));
    set(&mut gateway.log, fields.read(report, "log", log));
    let retransmit = fields.read(report, "retransmit", retransmit).unwrap_or_default();
    let limits = fields.read(report, "limits", limits).unwrap_or_default();
    if let Some(socket) = fields.entry("observe_socket").or(fields.entry("control_socket"))
        && gateway.control_socket == gateway.observe_socket
    {
        let hint = "the read-only socket needs a path of its own";
        report.error(socket.node.at, "socket.same", "control_socket and observe_socket are the same", hint);
    }
    if let Some(bound) = fields.entry("bind_device").filter(|_| gateway.bind_device.as_ref() == Some(&gateway.device)) {
        let hint = "the uplink or VRF that our own packets leave by";
        report.error(bound.node.at, "device.same", "a tunnel cannot be the way to its own end", hint);
    }
    Read { gateway, retransmit, limits }
}

/// Level of one connection.
pub(super) fn level(report: &mut Report<'_>, node: &Node) -> Option<LogLevel> {
    value::choice(report, node, &LEVELS)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn listen(report: &mut Report<'_>, node: &Node) -> Option<Vec<IpAddr>> {
    let given = value::list_of_some(report, node, |report, node| {
        let address = value::address(report, node)?;
        if address.is_multicast() || address == IpAddr::from([255; 4]) {
            let message = format!("nobody can listen on {address}");
            return report.refuse(
                node.at,
                "listen.address",
                message,
                "an address of this host, or \"0.0.0.0\" and \"::\"",
            );
        }
        Some(address)
    })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (address, at) in given {
        if addresses.contains(&address) {
            report.error(at, "value.duplicate", format!("{address} is listed twice"), "remove one of the two");
        }
        addresses.push(address);
    }
    Some(addresses)
}

fn ports(report: &mut Report<'_>, node: &Node) -> Option<Ports> {
    let fields = Fields::of_node(report, &keys::PORTS, node)?;
    let mut port = |key| fields.read(report, key, |r, n| value::integer(r, n, 1..=65_535));
    let default = Ports::default();
    let ports = Ports { ike: port("ike").unwrap_or(default.ike), natt: port("natt").unwrap_or(default.natt) };
    if ports.ike == ports.natt {
        let hint = "IKE alone and IKE beside ESP need two ports: 500 and 4500 (RFC 3948)";
        return report.refuse(node.at, "ports.same", "ike and natt are the same port", hint);
    }
    Some(ports)
}

/// The outer option says whether it could be read, the inner one whether there is a table.
fn route_table(report: &mut Report<'_>, node: &Node) -> Option<Option<u32>> {
    if matches!(&node.value, Value::String(_)) {
        return value::choice(report, node, &[("none", None)]);
    }
    let table: u32 = value::integer(report, node, 1..=u32::MAX.into())?;
    if (253..=255).contains(&table) {
        let message = format!("table {table} belongs to the host");
        return report.refuse(node.at, "table.reserved", message, "a table of its own, such as 220, or \"none\"");
    }
    Some(Some(table))
}

/// Paths of Unix sockets have at most 107 octets.
fn socket_path(report: &mut Report<'_>, node: &Node) -> Option<std::path::PathBuf> {
    let path = value::path(report, node)?;
    if path.as_os_str().len() > 107 {
        return report.refuse(
            node.at,
            "value.path",
            "the path of a socket has at most 107 octets",
            "choose a shorter one",
        );
    }
    Some(path)
}

fn log(report: &mut Report<'_>, node: &Node) -> Option<Log> {
    let fields = Fields::of_node(report, &keys::LOG, node)?;
    let formats = [
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("journald", LogFormat::Journald),
        ("syslog", LogFormat::Syslog),
    ];
    let level = fields.read(report, "level", level).unwrap_or_default();
    let format = fields.read(report, "format", |r, n| value::choice(r, n, &formats)).unwrap_or_default();
    let target = fields.read(report, "target", log_target).unwrap_or_default();
    let fits = match format {
        LogFormat::Text | LogFormat::Json => target == LogTarget::Usual,
        LogFormat::Journald => !matches!(target, LogTarget::Udp(_)),
        LogFormat::Syslog => true,
    };
    if let Some(entry) = fields.entry("target").filter(|_| !fits) {
        let hint = "text and json go to stderr, journald to a Unix socket, syslog to a Unix socket or by UDP";
        report.error(entry.node.at, "log.target", "messages of this format do not go there", hint);
    }
    Some(Log { level, format, target })
}

fn log_target(report: &mut Report<'_>, node: &Node) -> Option<LogTarget> {
    let given = value::string(report, node)?;
    if let Some(socket) = given.strip_prefix("udp:") {
        return match socket.parse::<std::net::SocketAddr>() {
            Ok(socket) if socket.port() != 0 => Some(LogTarget::Udp(socket)),
            _ => {
                let message = format!("{socket:?} is not an address with a port");
                report.refuse(
                    node.at,
                    "value.address",
                    message,
                    "write \"udp:192.0.2.1:514\" or \"udp:[2001:db8::1]:514\"",
                )
            }
        };
    }
    socket_path(report, node).map(LogTarget::Local)
}

fn retransmit(report: &mut Report<'_>, node: &Node) -> Option<Retransmit> {
    let fields = Fields::of_node(report, &keys::RETRANSMIT, node)?;
    let mut times = Retransmit::default();
    set(&mut times.first, fields.read(report, "first", interval));
    set(&mut times.max, fields.read(report, "max", interval));
    set(&mut times.factor, fields.read(report, "factor", factor));
    set(&mut times.tries, fields.read(report, "tries", |r, n| value::integer(r, n, 1..=100)));
    if times.first > times.max {
        let at = fields.entry("first").or(fields.entry("max")).map_or(node.at, |e| e.node.at);
        let hint = format!("first is at most max, which is {:?}", times.max);
        return report.refuse(at, "retransmit.order", format!("first ({:?}) is longer than max", times.first), hint);
    }
    Some(times)
}

/// A time that is not zero.
fn interval(report: &mut Report<'_>, node: &Node) -> Option<Duration> {
    let time = value::duration(report, node)?;
    if time.is_zero() {
        return report.refuse(node.at, "value.range", "this cannot be zero", "such as \"500ms\"");
    }
    Some(time)
}

fn factor(report: &mut Report<'_>, node: &Node) -> Option<f64> {
    let factor = match &node.value {
        Value::Integer(i) => *i as f64,
        Value::Float(f) => *f,
        _ => return value::wrong(report, node, "a number", "such as 1.6"),
    };
    if (1.0..=10.0).contains(&factor) {
        return Some(factor);
    }
    report.refuse(
        node.at,
        "retransmit.factor",
        format!("{factor} is out of range"),
        "from 1.0 (always the same) to 10.0",
    )
}

fn limits(report: &mut Report<'_>, node: &Node) -> Option<Limits> {
    let fields = Fields::of_node(report, &keys::LIMITS, node)?;
    let mut limits = Limits::default();
    for (key, place, most) in [
        ("half_open", &mut limits.half_open, 1 << 20),
        ("half_open_per_source", &mut limits.half_open_per_source, 1 << 20),
        ("cookie_threshold", &mut limits.cookie_threshold, 1 << 20),
        ("cookie_per_source", &mut limits.cookie_per_source, 1 << 20),
        ("connections", &mut limits.connections, 1 << 20),
        ("per_identity", &mut limits.per_identity, 1 << 20),
        ("children", &mut limits.children, 1 << 16),
        ("per_resource", &mut limits.per_resource, 1 << 16),
        // A message of IKE is never larger than a UDP datagram, reassembled or not, by far.
        ("reassembly_bytes", &mut limits.reassembly_bytes, 1 << 24),
        ("compute_queue", &mut limits.compute_queue, 1 << 16),
    ] {
        set(place, fields.read(report, key, |r, n| limit(r, n, most)));
    }
    let failures = fields.read(report, "auth_failures_per_minute", |r, n| limit(r, n, 1 << 20));
    set(&mut limits.auth_failures_per_minute, failures.map(|n| n as u32));
    // Where only half_open is given, what depends on it follows.
    for (key, place) in
        [("cookie_threshold", &mut limits.cookie_threshold), ("half_open_per_source", &mut limits.half_open_per_source)]
    {
        if *place > limits.half_open {
            if let Some(entry) = fields.entry(key) {
                let hint = format!("at most half_open, which is {}", limits.half_open);
                report.error(entry.node.at, "limit.order", format!("{key} would never be reached"), hint);
            }
            *place = limits.half_open;
        }
    }
    Some(limits)
}

/// A limit is never zero: that would not be a limit but a refusal of everything.
fn limit(report: &mut Report<'_>, node: &Node, most: i128) -> Option<usize> {
    if matches!(node.value, Value::Integer(0)) {
        return report.refuse(node.at, "limit.zero", "a limit of 0 would refuse everybody", "write at least 1");
    }
    value::integer(report, node, 1..=most)
}
