//! `sandhog match`: which child would carry a packet, and why.
use super::client::{Client, ClientError, Order};
use super::output::{self, plain};
use super::table::{Column, Table};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::process::ExitCode;

const COLUMNS: [Column; 6] = [
    Column::new("CHILD", 0),
    Column::new("ACTION", 0),
    Column::new("DEVICE", 3),
    Column::new("LOCAL TS", 2),
    Column::new("REMOTE TS", 1),
    Column::new("VERDICT", 0),
];

/// The packet, as hosts behind us send it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its source
    src: IpAddr,
    /// Its destination
    dst: IpAddr,
    /// tcp, udp, icmp, icmpv6, sctp, gre, ospf, or a number [default: an echo request]
    protocol: Option<String>,
    /// Its destination port
    #[arg(requires = "protocol")]
    port: Option<u16>,
}

/// 0 if a child carries it, 1 if none does.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    let answer: Result<Value, ClientError> =
        client.send(Order::post("/v1/match").json(&packet(args))).and_then(super::client::Answer::json);
    match answer {
        Ok(found) => {
            let none = found["matches"].as_array().is_none_or(Vec::is_empty);
            match json {
                true => output::json(&found),
                false => drop(output::text(&render(&found, output::width()))),
            }
            ExitCode::from(u8::from(none))
        }
        Err(error) => output::failed(&error, json),
    }
}

fn packet(args: &Args) -> Value {
    let mut packet = json!({ "src": args.src, "dst": args.dst });
    if let Some(protocol) = &args.protocol {
        packet["protocol"] = protocol.parse::<u8>().map_or_else(|_| json!(protocol.to_ascii_lowercase()), |n| json!(n));
    }
    if let Some(port) = args.port {
        packet["port"] = port.into();
    }
    packet
}

fn render(found: &Value, width: Option<usize>) -> String {
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    let list = |value: &Value| {
        value.as_array().map_or_else(String::new, |list| list.iter().map(text).collect::<Vec<_>>().join(", "))
    };
    let mut table = Table::new(&COLUMNS);
    for one in found["matches"].as_array().into_iter().flatten() {
        let device = one["device_of"].as_str().map_or_else(String::new, |name| format!("of {}", plain(name)));
        let child = format!("{}/{}", text(&one["connection"]), text(&one["child"]));
        let (local, remote) = (list(&one["local_ts"]), list(&one["remote_ts"]));
        table.push([child, text(&one["action"]), device, local, remote, text(&one["verdict"])]);
    }
    match found["matches"].as_array().is_none_or(Vec::is_empty) {
        true => text(&found["why"]),
        false => format!("{}\n\n{}", table.render(width), text(&found["why"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_by_name_and_by_number() {
        let args = |protocol: Option<&str>, port| Args {
            src: [10, 1, 0, 7].into(),
            dst: [10, 2, 0, 9].into(),
            protocol: protocol.map(Into::into),
            port,
        };
        assert_eq!(packet(&args(None, None)), json!({ "src": "10.1.0.7", "dst": "10.2.0.9" }));
        assert_eq!(packet(&args(Some("TCP"), Some(443)))["protocol"], "tcp");
        assert_eq!(packet(&args(Some("47"), None))["protocol"], 47);
    }

    #[test]
    fn the_child_and_the_reason_are_shown() {
        let found = json!({ "why": "The longest prefix wins.", "matches": [ { "device_of": null, "connection": "office", "child": "lan", "action": "protect",
            "priority": 0, "local_ts": ["10.1.0.0/16"], "remote_ts": ["10.2.0.0/16"], "verdict": "no_sa" } ] });
        let text = render(&found, Some(100));
        assert!(
            text.contains("office/lan") && text.contains("no_sa") && text.ends_with("The longest prefix wins."),
            "{text}"
        );
        assert_eq!(render(&json!({ "why": "Nothing does.", "matches": [] }), None), "Nothing does.");
    }
}
