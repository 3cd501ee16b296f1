//! What is measured. Labels come from the configuration and from lists of our own, never from the wire, so that nobody outside can make series.
use super::Scrape;
use super::exposition::{Family, Kind, Samples};
use super::meter::{Figure, Tally};
use crate::control::types::{Child, ChildState, Connection, ConnectionState, MonitorState};
use crate::dataplane::stats::Direction;
use jiff::Timestamp;
use std::net::IpAddr;

/// How the samples of a family are found.
#[derive(Clone, Copy)]
pub enum Source {
    /// All at once.
    Once(fn(&Scrape, &mut Samples<'_>)),
    /// Connection by connection, of what does not change all the time.
    Each(fn(&Connection, &mut Samples<'_>)),
    /// The same with the counters of children.
    Counted(fn(&Connection, &mut Samples<'_>)),
    /// The same, of what is counted for metrics alone.
    Tallied(fn(&Connection, &Tally, &mut Samples<'_>)),
}

const fn family(kind: Kind, name: &'static str, help: &'static str) -> Family {
    Family { name, kind, help }
}
const fn gauge(name: &'static str, help: &'static str) -> Family {
    family(Kind::Gauge, name, help)
}
const fn counter(name: &'static str, help: &'static str) -> Family {
    family(Kind::Counter, name, help)
}

use Source::{Counted, Each, Once, Tallied};

/// All families, in the order in which they are shown.
pub const FAMILIES: &[(Family, Source)] = &[
    (
        family(Kind::Info, "sandhog_build", "What runs here"),
        Once(|_, out| {
            out.put(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        }),
    ),
    (
        gauge("sandhog_config_revision", "Revision of the configuration in force, 0 without revisions"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::ConfigRevision));
        }),
    ),
    (
        counter("sandhog_config_changes", "Configurations that were applied, the first one included, or refused"),
        Once(|from, out| {
            out.put(&[("result", "applied")], from.meter.get(Figure::ConfigApplied));
            out.put(&[("result", "refused")], from.meter.get(Figure::ConfigRefused));
        }),
    ),
    (
        gauge("sandhog_connection_state", "1 for the state that a configured connection is in, 0 for the others"),
        Each(|of, out| {
            for state in CONNECTION_STATES {
                out.put(&[("connection", &of.name), ("state", state.name())], of.state == state);
            }
        }),
    ),
    (
        gauge("sandhog_connection_up", "1 while a configured connection has an IKE SA"),
        Each(|of, out| {
            out.put(&[("connection", &of.name)], of.state == ConnectionState::Up);
        }),
    ),
    (
        gauge("sandhog_connection_up_since_seconds", "When its IKE SA was authenticated, seconds since 1970"),
        Each(|of, out| {
            if let Some(at) = of.since.as_deref().filter(|_| of.state == ConnectionState::Up).and_then(unix) {
                out.put(&[("connection", &of.name)], at);
            }
        }),
    ),
    (
        gauge("sandhog_connection_ike_sas", "IKE SAs of a connection, whatever their state"),
        Each(|of, out| {
            out.put(&[("connection", &of.name)], of.sas.len() as u64);
        }),
    ),
    (
        gauge("sandhog_connection_nat", "1 while somebody is behind a NAT on the way to the peer"),
        Each(|of, out| {
            if let Some(ike) = &of.ike {
                out.put(&[("connection", &of.name)], ike.nat != "none");
            }
        }),
    ),
    (
        gauge(
            "sandhog_connection_certificate_expiry_timestamp_seconds",
            "When our own certificate ends, seconds since 1970",
        ),
        Each(|of, out| {
            if let Some(at) = of.certificate_until.as_deref().and_then(unix) {
                out.put(&[("connection", &of.name)], at);
            }
        }),
    ),
    (
        gauge("sandhog_connection_failing", "1 while the last failure has not been made good"),
        Each(|of, out| {
            out.put(&[("connection", &of.name)], of.last_failure.is_some());
        }),
    ),
    (
        gauge(
            "sandhog_connection_last_failure_timestamp_seconds",
            "Code of the last failure since the start, and when it was",
        ),
        Tallied(|of, tally, out| {
            if let Some((code, at)) = tally.last {
                out.put(&[("connection", &of.name), ("code", code)], at.as_secs_f64());
            }
        }),
    ),
    (
        counter("sandhog_handshakes", "IKE SAs that came up, by who began them"),
        Tallied(|of, tally, out| {
            for (role, n) in ["initiator", "responder"].into_iter().zip(tally.handshakes) {
                out.put(&[("connection", &of.name), ("role", role)], n);
            }
        }),
    ),
    (
        counter("sandhog_handshake_seconds", "What those took together, from the first message on"),
        Tallied(|of, tally, out| {
            out.put(&[("connection", &of.name)], tally.handshake_time.as_secs_f64());
        }),
    ),
    (
        counter("sandhog_rekeys", "New keys of IKE SAs and of children"),
        Tallied(|of, tally, out| {
            for (kind, n) in ["ike", "child"].into_iter().zip(tally.rekeys) {
                out.put(&[("connection", &of.name), ("kind", kind)], n);
            }
        }),
    ),
    (
        counter("sandhog_failures", "Failed exchanges, by phase and code"),
        Tallied(|of, tally, out| {
            for ((phase, code), n) in &tally.failures {
                out.put(&[("connection", &of.name), ("phase", phase), ("code", code)], *n);
            }
        }),
    ),
    (
        counter("sandhog_ike_ended", "IKE SAs that ended, by reason"),
        Tallied(|of, tally, out| {
            for (reason, n) in &tally.ended {
                out.put(&[("connection", &of.name), ("reason", reason)], *n);
            }
        }),
    ),
    (
        gauge("sandhog_child_state", "1 for the state that a configured child is in, 0 for the others"),
        Each(|of, out| {
            for child in &of.children {
                for state in CHILD_STATES {
                    out.put(
                        &[("connection", &of.name), ("child", &child.name), ("state", state.name())],
                        child.state == state,
                    );
                }
            }
        }),
    ),
    (
        gauge("sandhog_child_up", "1 while a configured child has keys"),
        Each(|of, out| {
            each_child(of, out, |child| Some(u64::from(matches!(child.state, ChildState::Up | ChildState::Rekeying))));
        }),
    ),
    (
        gauge("sandhog_child_wanted", "1 for a child with start_action = start"),
        Tallied(|of, tally, out| {
            each_child(of, out, |child| Some(u64::from(tally.wanted.contains(child.name.as_str()))));
        }),
    ),
    (
        gauge("sandhog_child_sas", "Pairs of ESP SAs of a child, whatever their state"),
        Each(|of, out| {
            each_child(of, out, |child| Some(child.sas.len() as u64));
        }),
    ),
    (
        counter("sandhog_child_bytes", "Octets of inner packets, over all SAs that a child ever had"),
        Counted(|of, out| {
            for child in &of.children {
                let labels =
                    |direction| [("connection", of.name.as_str()), ("child", &child.name), ("direction", direction)];
                out.put(&labels("in"), child.bytes_in);
                out.put(&labels("out"), child.bytes_out);
            }
        }),
    ),
    (
        counter("sandhog_child_packets", "Inner packets, over all SAs that a child ever had"),
        Counted(|of, out| {
            for child in &of.children {
                let labels =
                    |direction| [("connection", of.name.as_str()), ("child", &child.name), ("direction", direction)];
                out.put(&labels("in"), child.packets_in);
                out.put(&labels("out"), child.packets_out);
            }
        }),
    ),
    (
        counter(
            "sandhog_child_drops",
            "Packets of a child that were dropped, by reason; a reason is shown from its first packet on",
        ),
        Counted(|of, out| {
            for child in &of.children {
                for (reason, n) in child.drops.iter().filter(|(_, n)| **n > 0) {
                    out.put(&[("connection", &of.name), ("child", &child.name), ("reason", reason)], *n);
                }
            }
        }),
    ),
    (
        gauge("sandhog_child_mtu_bytes", "Largest inner packet that the path takes in one piece"),
        Each(|of, out| {
            each_child(of, out, |child| child.mtu.map(u64::from));
        }),
    ),
    (
        gauge("sandhog_monitor_passing", "1 while probes through a child are answered, 0 while they are not"),
        Each(|of, out| {
            each_child(of, out, |child| {
                let state = child.monitor.as_ref()?.state;
                (state != MonitorState::Unknown).then_some(u64::from(state == MonitorState::Passing))
            });
        }),
    ),
    (
        gauge("sandhog_monitor_rtt_seconds", "Smoothed round-trip time of probes"),
        Each(|of, out| {
            each_child(of, out, |child| Some(child.monitor.as_ref()?.rtt_ms? / 1e3));
        }),
    ),
    (
        gauge("sandhog_monitor_loss_ratio", "Part of the last hundred probes that was lost"),
        Each(|of, out| {
            each_child(of, out, |child| Some(child.monitor.as_ref()?.loss_percent / 100.0));
        }),
    ),
    (
        counter("sandhog_monitor_probes", "Probes that were sent"),
        Each(|of, out| {
            each_child(of, out, |child| Some(child.monitor.as_ref()?.sent));
        }),
    ),
    (
        counter("sandhog_monitor_answers", "Probes that were answered"),
        Each(|of, out| {
            each_child(of, out, |child| Some(child.monitor.as_ref()?.received));
        }),
    ),
    (
        gauge("sandhog_pool_addresses", "Addresses of a pool"),
        Once(|from, out| {
            for pool in from.meter.pools() {
                out.put(&[("pool", &pool.name)], size(pool.range));
            }
        }),
    ),
    (
        gauge("sandhog_pool_addresses_used", "Addresses of a pool that peers have"),
        Once(|from, out| {
            let leases = from.board.iter().flat_map(|piece| &piece.shown().sas).flat_map(|sa| &sa.leases);
            let leases: Vec<IpAddr> = leases.filter_map(|lease| lease.parse().ok()).collect();
            for pool in from.meter.pools() {
                let used = leases.iter().filter(|addr| pool.range.0 <= **addr && **addr <= pool.range.1).count();
                out.put(&[("pool", &pool.name)], used as u64);
            }
        }),
    ),
    (
        counter("sandhog_drops", "Dropped packets of all children and of none, by worker and reason"),
        Once(|from, out| {
            for (n, worker) in from.meter.workers().iter().enumerate() {
                for (reason, drops) in worker.all_drops() {
                    out.put(&[("worker", &n.to_string()), ("reason", reason)], drops);
                }
            }
        }),
    ),
    (
        counter("sandhog_worker_batches", "Batches of packets; handed: those that came from another worker"),
        Once(|from, out| {
            for (n, worker) in from.meter.workers().iter().enumerate() {
                for (name, direction) in [("in", Direction::In), ("out", Direction::Out), ("handed", Direction::Handed)]
                {
                    let batches = worker.batches(direction).iter().sum::<u64>();
                    out.put(&[("worker", &n.to_string()), ("direction", name)], batches);
                }
            }
        }),
    ),
    (
        counter("sandhog_worker_junk", "Datagrams that are neither ESP nor IKE nor a keepalive"),
        Once(|from, out| {
            for (n, worker) in from.meter.workers().iter().enumerate() {
                out.put(&[("worker", &n.to_string())], worker.junk());
            }
        }),
    ),
    (
        counter("sandhog_worker_upcalls_lost", "What a worker could not tell the engine"),
        Once(|from, out| {
            for (n, worker) in from.meter.workers().iter().enumerate() {
                out.put(&[("worker", &n.to_string())], worker.upcalls_lost());
            }
        }),
    ),
    (
        counter("sandhog_ike_datagrams", "IKE datagrams: received; junk and overflowed of those; unsent"),
        Once(|from, out| {
            for (result, figure) in [
                ("received", Figure::IkeReceived),
                ("junk", Figure::IkeJunk),
                ("overflowed", Figure::IkeOverflowed),
                ("unsent", Figure::IkeUnsent),
            ] {
                out.put(&[("result", result)], from.meter.get(figure));
            }
        }),
    ),
    (
        gauge("sandhog_ike_half_open", "IKE SAs of peers that have not authenticated yet"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::HalfOpen));
        }),
    ),
    (
        gauge("sandhog_ike_established", "IKE SAs that are established"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::Established));
        }),
    ),
    (
        counter("sandhog_handshakes_started", "Attempts at an IKE SA: ours, and those of peers that were answered"),
        Once(|from, out| {
            out.put(&[("role", "initiator")], from.meter.get(Figure::Attempts));
            out.put(&[("role", "responder")], from.meter.get(Figure::Newcomers));
        }),
    ),
    (
        counter("sandhog_ike_retransmissions", "Requests of IKE that were sent again"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::Retransmissions));
        }),
    ),
    (
        counter("sandhog_ike_cookies", "Newcomers that were asked for a cookie"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::Cookies));
        }),
    ),
    (
        counter("sandhog_stranger_failures", "Failures of peers that belong to no connection, by phase and code"),
        Once(|from, out| {
            from.meter.strangers(|tally| {
                for ((phase, code), n) in &tally.failures {
                    out.put(&[("phase", phase), ("code", code)], *n);
                }
            });
        }),
    ),
    (
        family(
            Kind::Histogram,
            "sandhog_handshake_duration_seconds",
            "From the first message to an authenticated IKE SA",
        ),
        Once(|from, out| {
            out.histogram(&from.meter.handshakes.read());
        }),
    ),
    (
        family(Kind::Histogram, "sandhog_rekey_duration_seconds", "From our request to new keys of a child"),
        Once(|from, out| {
            out.histogram(&from.meter.rekeys.read());
        }),
    ),
    (
        family(Kind::Histogram, "sandhog_engine_turn_duration_seconds", "How long a turn of the engine took"),
        Once(|from, out| {
            out.histogram(&from.meter.turns.read());
        }),
    ),
    (
        gauge("sandhog_engine_turn_longest_seconds", "The longest turn of the engine since the start"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::LongestTurn) as f64 / 1e6);
        }),
    ),
    (
        gauge("sandhog_api_clients", "Clients of the API, this one included"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::ApiClients));
        }),
    ),
    (
        counter("sandhog_events_lost", "Events that slow readers have missed"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::EventsLost));
        }),
    ),
    (
        counter(
            "sandhog_log_messages_lost",
            "Messages of the log that nobody took in time, or that were like others before them",
        ),
        Once(|from, out| {
            out.put(&[("why", "dropped")], from.meter.get(Figure::LogDropped));
            out.put(&[("why", "suppressed")], from.meter.get(Figure::LogSuppressed));
        }),
    ),
    (
        counter("sandhog_hook_changes_lost", "Changes that a slow hook was not told of"),
        Once(|from, out| {
            out.put(&[], from.meter.get(Figure::HookLost));
        }),
    ),
    (
        counter("process_cpu_seconds", "Processor time of the daemon"),
        Once(|from, out| {
            from.process.iter().for_each(|process| out.put(&[], process.cpu));
        }),
    ),
    (
        gauge("process_resident_memory_bytes", "Memory of the daemon"),
        Once(|from, out| {
            from.process.iter().for_each(|process| out.put(&[], process.resident));
        }),
    ),
    (
        gauge("process_threads", "Threads of the daemon"),
        Once(|from, out| {
            from.process.iter().for_each(|process| out.put(&[], process.threads));
        }),
    ),
    (
        gauge("process_open_fds", "Open descriptors of the daemon"),
        Once(|from, out| {
            from.process.and_then(|process| process.descriptors).into_iter().for_each(|n| out.put(&[], n));
        }),
    ),
    (
        gauge("process_start_time_seconds", "When the daemon was started, seconds since 1970"),
        Once(|from, out| {
            from.process.and_then(|process| process.start_time()).into_iter().for_each(|at| out.put(&[], at));
        }),
    ),
];

const CONNECTION_STATES: [ConnectionState; 5] = [
    ConnectionState::Down,
    ConnectionState::Connecting,
    ConnectionState::Up,
    ConnectionState::Closing,
    ConnectionState::Failed,
];
const CHILD_STATES: [ChildState; 6] = [
    ChildState::Down,
    ChildState::Routed,
    ChildState::Connecting,
    ChildState::Up,
    ChildState::Rekeying,
    ChildState::Closing,
];

fn each_child<N: Into<super::exposition::Number>>(
    of: &Connection,
    out: &mut Samples<'_>,
    value: impl Fn(&Child) -> Option<N>,
) {
    for child in &of.children {
        if let Some(value) = value(child) {
            out.put(&[("connection", &of.name), ("child", &child.name)], value);
        }
    }
}

/// Seconds since 1970.
fn unix(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<Timestamp>().ok()?.as_second()).ok()
}

/// How many addresses there are from the first to the last.
fn size((first, last): (IpAddr, IpAddr)) -> f64 {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => f64::from(last.to_bits().saturating_sub(first.to_bits())) + 1.0,
        (IpAddr::V6(first), IpAddr::V6(last)) => last.to_bits().saturating_sub(first.to_bits()) as f64 + 1.0,
        _ => 0.0,
    }
}
