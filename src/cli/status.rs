//! `sandhog status`: connections, their children, counters, and what failed last.
use super::client::{Client, ClientError, Order};
use super::output::{self, octets, plain};
use super::table::{Column, Table};
use super::target::Target;
use crate::control::types::{Child, ChildState, Connection, Failure, Info, Monitor, Status};
use std::process::ExitCode;

mod verbose;

/// What stands in the table, and what leaves first where the terminal is narrow: the highest number (`help` says it in words).
const COLUMNS: [Column; 8] = [
    Column::new("CONNECTION", 0),
    Column::new("STATE", 0),
    Column::new("PEER", 1),
    Column::new("LOCAL TS", 5),
    Column::new("REMOTE TS", 2),
    Column::new("SUITE", 6),
    Column::number("IN", 3),
    Column::number("OUT", 4),
];

/// Prints all connections, one, or one peer of it.
pub fn run(client: &Client, target: Option<&Target>, verbose: bool, json: bool) -> ExitCode {
    let done = match target {
        None if json && !verbose => output::pass(client, Order::get("/v1/connections")),
        _ => show(client, target, verbose, json),
    };
    done.map_or_else(|error| output::failed(&error, json), |()| ExitCode::SUCCESS)
}

fn show(client: &Client, target: Option<&Target>, verbose: bool, json: bool) -> Result<(), ClientError> {
    let status = fetch(client, target)?;
    let more = verbose.then(|| verbose::fetch(client)).transpose()?;
    if json {
        match &more {
            Some(more) => output::json(
                &serde_json::json!({ "connections": status.connections, "info": more.info, "stats": more.stats }),
            ),
            None => output::json(&status),
        }
        return Ok(());
    }
    let mut text = render(&status, output::width(), output::color());
    if let Some(more) = more {
        text = format!("{}\n{}\n{}", more.head(), text.trim_end(), verbose::sas(&status));
    } else if target.is_none() {
        // Whoever looks whether all is well is to see that the files are not what is in force.
        let info: Info = client.get("/v1/info")?;
        text = format!("{}\n{}", text.trim_end(), verbose::warnings(&info));
    }
    output::text(text.trim_end());
    Ok(())
}

/// All, one connection, or one connection with no more of it than one peer or child.
pub fn fetch(client: &Client, target: Option<&Target>) -> Result<Status, ClientError> {
    let Some(target) = target else { return client.get("/v1/connections") };
    let mut connection: Connection = client.get(&target.connection_path())?;
    if let Some(id) = target.peer {
        connection.peers.retain(|peer| peer.id == id);
        let peer =
            connection.peers.first().ok_or_else(|| unknown(format!("{:?} has no peer #{id}", target.connection)))?;
        connection.sas.retain(|sa| sa.remote == peer.remote && sa.remote_id == peer.remote_id);
        connection.children.clone_from(&peer.children);
    }
    if let Some(name) = &target.child {
        let of_it = |children: &mut Vec<Child>| children.retain(|child| child.name == *name);
        of_it(&mut connection.children);
        connection.peers.iter_mut().for_each(|peer| of_it(&mut peer.children));
        if connection.children.is_empty() {
            return Err(unknown(format!("{:?} has no child {name:?}", target.connection)));
        }
    }
    Ok(Status { connections: vec![connection] })
}

/// What the daemon would say of it.
fn unknown(detail: String) -> ClientError {
    let problem = crate::control::problem::Problem::not_found("");
    let problem = crate::control::problem::Problem { detail: format!("connection {detail}"), ..problem };
    let document = serde_json::to_value(&problem).unwrap_or_default();
    ClientError::Refused(Box::new(super::client::Refused { problem, document }))
}

/// All of one connection, for `top`.
pub fn detail(connection: &Connection, width: usize) -> String {
    let status = Status { connections: vec![connection.clone()] };
    format!("{}{}", render(&status, Some(width), false), verbose::sas(&status))
}

fn render(status: &Status, width: Option<usize>, color: bool) -> String {
    if status.connections.is_empty() {
        return "no connections are configured".into();
    }
    let mut table = Table::new(&COLUMNS);
    let mut notes = String::new();
    for connection in &status.connections {
        table.push(connection_row(connection));
        for child in &connection.children {
            table.push(child_row(child));
        }
        for peer in &connection.peers {
            let name = format!("  #{} {}", peer.id, plain(peer.remote_id.as_deref().unwrap_or("")));
            let row = [name.as_str(), peer.state.name(), &peer.remote, "", "", "", "", ""];
            table.push(row.map(str::to_owned));
        }
        notes.push_str(&connection_notes(connection));
    }
    let table = table.render(width);
    let table = if color { paint(&table) } else { table };
    format!("{table}\n{notes}")
}

fn connection_row(connection: &Connection) -> [String; 8] {
    let remote = connection.remote.clone().unwrap_or_default();
    let peer = match &connection.remote_id {
        Some(id) if !remote.starts_with(id.as_str()) => format!("{remote} {}", plain(id)),
        _ => remote,
    };
    let suite = connection.ike.as_ref().and_then(|ike| ike.proposal.clone()).unwrap_or_default();
    let name = plain(&connection.name);
    let none = String::new;
    // Where selectors stand that a connection has none of.
    let profile = connection.profile.as_ref().map_or_else(none, |profile| format!("profile {}", plain(profile)));
    [name, connection.state.name().into(), peer, device(connection), profile, suite, none(), none()]
}

/// The device of its own, which stands where selectors stand that say little beside it.
fn device(connection: &Connection) -> String {
    let Some(interface) = &connection.interface else { return String::new() };
    let there = if interface.present { "" } else { " (missing)" };
    let place = interface.netns.as_deref().map(|netns| format!(" in {}", plain(netns))).unwrap_or_default();
    format!("dev {}{place}{there}", plain(&interface.name))
}

fn child_row(child: &Child) -> [String; 8] {
    let list = |selectors: &[String]| selectors.join(", ");
    // Where this side has names of its own: those, and what they are on the wire.
    let names = |here: Option<&String>, wire: &[String]| match here {
        Some(here) => format!("{here} = {}", list(wire)),
        None => list(wire),
    };
    let (local, remote) = match &child.translate {
        Some(translate) => (translate.local.as_ref(), translate.remote.as_ref()),
        None => (None, None),
    };
    [
        format!("  {}", plain(&child.name)),
        child.state.name().into(),
        match child.encap {
            Some(true) => "ESP in UDP".into(),
            Some(false) => "ESP".into(),
            None => String::new(),
        },
        names(local, &child.local_ts),
        names(remote, &child.remote_ts),
        child.proposal.clone().unwrap_or_default(),
        octets(child.bytes_in),
        octets(child.bytes_out),
    ]
}

fn connection_notes(connection: &Connection) -> String {
    let mut notes = String::new();
    let name = plain(&connection.name);
    if let Some(failure) = &connection.last_failure {
        notes.push_str(&failure_note(&name, failure));
    }
    for (child, monitor) in connection.children.iter().filter_map(|child| Some((child, child.monitor.as_ref()?))) {
        notes.push_str(&monitor_note(&name, &plain(&child.name), monitor));
    }
    let carries = |child: &&Child| matches!(child.state, ChildState::Up | ChildState::Rekeying);
    for child in connection.children.iter().filter(carries) {
        // A dummy is no loss: it says that the peer uses a new SA, or hides how much it has to say.
        let lost = |(why, n): &(&String, &u64)| **n > 0 && *why != "dummy";
        let drops: Vec<_> = child.drops.iter().filter(lost).map(|(why, n)| format!("{why} {n}")).collect();
        if !drops.is_empty() {
            notes.push_str(&format!("\n{name}/{}: dropped: {}\n", plain(&child.name), drops.join(", ")));
        }
    }
    for warning in &connection.warnings {
        notes.push_str(&format!("\n{name}: warning: {}\n", plain(warning)));
    }
    notes
}

fn monitor_note(connection: &str, child: &str, monitor: &Monitor) -> String {
    let rtt = monitor.rtt_ms.map_or_else(String::new, |rtt| format!(", {rtt:.1} ms"));
    let Monitor { state, since, loss_percent, target, .. } = monitor;
    let (state, since, target) = (state.name(), plain(since), plain(target));
    format!("\n{connection}/{child}: monitor {target}: {state} since {since}{rtt}, {loss_percent} % lost\n")
}

fn failure_note(name: &str, failure: &Failure) -> String {
    let mut note =
        format!("\n{name}: {} ({}, {}) at {}\n", failure.code, failure.phase, failure.certainty, failure.time);
    note.push_str(&format!("  {}\n", plain(&failure.explain.en)));
    for (whose, values) in [("ours", &failure.local), ("theirs", &failure.peer)] {
        for (what, values) in values {
            note.push_str(&format!("  {whose}: {} {}\n", plain(what), plain(&values.join(", "))));
        }
    }
    if let Some(fix) = failure.fix.first() {
        note.push_str(&format!("  fix: {}\n", plain(&fix.text.en)));
    }
    note.push_str(&format!("  more: sandhog why {name}\n"));
    note
}

/// Colours the first state that stands in a line of the table.
fn paint(table: &str) -> String {
    const COLORS: [(&str, u8); 9] = [
        ("up", 32),
        ("routed", 36),
        ("connecting", 33),
        ("rekeying", 33),
        ("closing", 33),
        ("failed", 31),
        ("down", 31),
        ("STATE", 1),
        ("CONNECTION", 1),
    ];
    let paint_line = |line: &str| {
        let word = line.split_whitespace().nth(1).unwrap_or_default();
        match COLORS.iter().find(|(name, _)| *name == word) {
            Some((name, code)) => line.replacen(&format!(" {name} "), &format!(" \x1b[{code}m{name}\x1b[0m "), 1),
            None => line.to_owned(),
        }
    };
    table.lines().map(paint_line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::Interface;

    fn status() -> Status {
        let monitor = serde_json::json!({ "target": "10.2.0.1", "source": null, "state": "failing", "since": "2026-11-21T10:00:00Z",
            "rtt_ms": 1.25, "rtt_last_ms": 1.0, "rtt_min_ms": 1.0, "rtt_max_ms": 2.0, "loss_percent": 2.5, "sent": 40, "received": 39 });
        serde_json::from_value(serde_json::json!({ "connections": [ {
            "name": "hangzhou", "profile": "aliyun", "state": "failed", "since": null, "local": null, "remote": "203.0.113.7:4500",
            "local_id": null, "remote_id": "gw.example\u{1b}[2J", "ike": null,
            "children": [ { "name": "lan", "mode": "tunnel", "state": "routed", "spi_in": null, "spi_out": null, "proposal": null, "encap": null,
                "local_ts": ["10.1.0.0/16"], "remote_ts": ["10.2.0.0/16", "10.3.0.0/16"], "mtu": null, "bytes_in": 2048, "bytes_out": 0,
                "packets_in": 1, "packets_out": 0, "drops": {}, "rekey_in_s": null, "sas": [], "monitor": monitor } ],
            "sas": [], "peers": [],
            "last_failure": { "time": "2026-11-21T10:00:00Z", "phase": "ike_auth", "code": "auth.failed", "certainty": "likely",
                "candidates": [], "local": { "local_id": ["a"] }, "peer": {}, "differing": [], "notify": null, "explain": { "en": "It refused.", "zh": "" }, "names": { "aliyun": "", "tencent": "" },
                "fix": [ { "side": "us", "path": null, "set": null, "command": null, "text": { "en": "Compare.", "zh": "" } } ] },
            "warnings": [] } ] }))
        .unwrap()
    }

    #[test]
    fn what_matters_is_in_the_table() {
        let text = render(&status(), None, false);
        for part in [
            "hangzhou",
            "failed",
            "203.0.113.7:4500",
            "profile aliyun",
            "  lan",
            "routed",
            "2.0 KiB",
            "auth.failed",
            "fix: Compare.",
            "hangzhou/lan: monitor 10.2.0.1: failing since 2026-11-21T10:00:00Z, 1.2 ms, 2.5 % lost",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "a peer's escape sequence, or a colour where there is no terminal");
    }

    #[test]
    fn the_table_fits_a_narrow_terminal() {
        let text = render(&status(), Some(80), false);
        let table = text.split("\n\n").next().unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_device_of_its_own_is_named() {
        let mut status = status();
        status.connections[0].profile = None;
        let interface = |netns: Option<&str>, present| {
            Some(Interface { name: "vti-hz".into(), netns: netns.map(str::to_owned), present })
        };
        for (interface, shown) in [
            (interface(None, true), "dev vti-hz\n"),
            (interface(Some("tenant-a"), true), "dev vti-hz in tenant-a\n"),
            (interface(Some("tenant-a"), false), "dev vti-hz in tenant-a (missing)"),
        ] {
            status.connections[0].interface = interface;
            let text = render(&status, None, false);
            assert!(text.contains(shown), "{shown:?} is missing in\n{text}");
        }
    }

    #[test]
    fn colours_only_the_state() {
        let text = render(&status(), None, true);
        assert!(text.contains("\u{1b}[31mfailed\u{1b}[0m") && text.contains("\u{1b}[36mrouted\u{1b}[0m"), "{text}");
    }

    #[test]
    fn nothing_configured_is_said() {
        assert_eq!(render(&Status::default(), None, false), "no connections are configured");
    }
}
