//! `sandhog status -v`: the daemon itself, its counters, and every SA.
use crate::cli::client::{Client, ClientError};
use crate::cli::output::{plain, seconds};
use crate::control::types::{Child, Connection, Info, Stats, Status};
use std::collections::BTreeMap;

/// The daemon.
#[derive(Debug)]
pub(super) struct More {
    pub(super) info: Info,
    pub(super) stats: Stats,
}

pub(super) fn fetch(client: &Client) -> Result<More, ClientError> {
    Ok(More { info: client.get("/v1/info")?, stats: client.get("/v1/stats")? })
}

impl More {
    /// What stands above the table.
    pub(super) fn head(&self) -> String {
        let Self { info, stats } = self;
        let mut text = format!(
            "sandhogd {}, process {}, up for {}, {} workers, device {}\nconfiguration {}, listening on {}, raw ESP {}\n",
            plain(&info.version),
            info.pid,
            seconds(stats.uptime_s),
            info.workers,
            plain(&info.device),
            plain(&info.config),
            plain(&info.listen.join(", ")),
            if info.raw_esp { "available" } else { "unavailable" }
        );
        text.push_str(&counters("engine", &stats.engine));
        text.push_str(&counters("dropped", &stats.drops));
        text.push_str(&warnings(info));
        text
    }
}

/// What the daemon has to say of its configuration and of the host.
pub(super) fn warnings(info: &Info) -> String {
    info.warnings.iter().map(|warning| format!("warning: {}\n", plain(warning))).collect()
}

/// Those that counted anything.
fn counters(what: &str, counters: &BTreeMap<String, u64>) -> String {
    let counted: Vec<_> = counters.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if counted.is_empty() { String::new() } else { format!("{what}: {}\n", counted.join(", ")) }
}

/// What stands below it: each SA on a line or two.
pub(super) fn sas(status: &Status) -> String {
    let mut text = String::new();
    for connection in &status.connections {
        ike(&mut text, connection);
        let of_peers = connection.peers.iter().flat_map(|peer| &peer.children);
        let children: Vec<_> =
            if connection.peers.is_empty() { connection.children.iter().collect() } else { of_peers.collect() };
        children.into_iter().for_each(|child| esp(&mut text, &connection.name, child));
    }
    text
}

fn ike(text: &mut String, connection: &Connection) {
    for sa in &connection.sas {
        let role = if sa.ike.initiator { "initiator" } else { "responder" };
        text.push_str(&format!(
            "\n{}: IKE SA #{}, {}, {role}, {} <-> {}\n  {} <-> {}, SPIs {} {}, {}\n",
            plain(&connection.name),
            sa.id,
            sa.state.name(),
            sa.local,
            sa.remote,
            plain(sa.local_id.as_deref().unwrap_or("?")),
            plain(sa.remote_id.as_deref().unwrap_or("?")),
            sa.ike.spi_i,
            sa.ike.spi_r,
            sa.ike.proposal.as_deref().unwrap_or("no keys yet")
        ));
        let since = sa.since.as_ref().map(|since| format!("since {since}"));
        let nat = (sa.ike.nat != "none").then(|| format!("NAT: {}", sa.ike.nat));
        let inner: Vec<_> = sa.vips.iter().chain(&sa.leases).map(String::as_str).collect();
        let inner = (!inner.is_empty()).then(|| format!("inner addresses {}", inner.join(", ")));
        let ppk = sa.ike.ppk.then(|| "post-quantum key".to_owned());
        let said = [since, rekey(sa.ike.rekey_in_s), nat, ppk, inner];
        let said: Vec<_> = said.into_iter().flatten().collect();
        if !said.is_empty() {
            text.push_str(&format!("  {}\n", said.join(", ")));
        }
    }
}

fn esp(text: &mut String, connection: &str, child: &Child) {
    let (connection, name) = (plain(connection), plain(&child.name));
    for sa in &child.sas {
        let proposal = sa.proposal.as_deref().unwrap_or("no keys yet");
        let esn = if sa.esn { ", ESN" } else { "" };
        let resource = sa.resource.map(|resource| format!(", worker {resource}")).unwrap_or_default();
        text.push_str(&format!(
            "\n{connection}/{name}: child SA #{}, {}, in {} out {}, {proposal}{esn}{resource}\n",
            sa.id,
            sa.state.name(),
            sa.spi_in,
            sa.spi_out
        ));
    }
    if !child.sas.is_empty() {
        let mtu = child.mtu.map(|mtu| format!("MTU {mtu}"));
        let packets = format!("packets {} in, {} out", child.packets_in, child.packets_out);
        let said: Vec<_> = [Some(packets), mtu, rekey(child.rekey_in_s)].into_iter().flatten().collect();
        text.push_str(&format!("  {}\n", said.join(", ")));
    }
}

fn rekey(after: Option<u64>) -> Option<String> {
    after.map(|after| format!("rekeyed in {}", seconds(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sa_and_what_counted() {
        let ike = serde_json::json!({ "id": 3, "state": "up", "since": "2026-11-21T10:00:00Z", "local": "192.0.2.1:4500", "remote": "203.0.113.7:4500",
            "local_id": "a\u{1b}", "remote_id": null, "vips": ["10.9.0.1"], "leases": [], "spi_i": "11", "spi_r": "22", "initiator": true,
            "proposal": "aes256", "rekey_in_s": 3700, "nat": "local" });
        let sa = serde_json::json!({ "id": 4, "state": "up", "since": null, "spi_in": "c1a2b3c4", "spi_out": "0f000000", "proposal": "aes128", "esn": true });
        let child = serde_json::json!({ "name": "lan", "mode": "tunnel", "state": "up", "local_ts": [], "remote_ts": [], "bytes_in": 0, "bytes_out": 0,
            "packets_in": 5, "packets_out": 6, "drops": {}, "sas": [sa], "mtu": 1400 });
        let status: Status = serde_json::from_value(
            serde_json::json!({ "connections": [ { "name": "a", "state": "up", "sas": [ike], "children": [child],
            "peers": [], "warnings": [] } ] }),
        )
        .unwrap();
        let text = sas(&status);
        for part in [
            "IKE SA #3, up, initiator",
            "SPIs 11 22",
            "rekeyed in 1 h 1 min",
            "NAT: local",
            "10.9.0.1",
            "a\\u{1b}",
            "in c1a2b3c4 out 0f000000",
            "aes128, ESN",
            "packets 5 in, 6 out, MTU 1400",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        let counted = BTreeMap::from([("replayed".to_owned(), 3), ("dummy".to_owned(), 0)]);
        assert_eq!(counters("dropped", &counted), "dropped: replayed 3\n");
    }
}
