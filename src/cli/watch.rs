//! `sandhog watch`: events as they happen, also when the daemon is started again in between.
use super::client::{Client, ClientError, Order};
use super::output::{self, plain};
use super::sse::{Event, Reader};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::time::Duration;

/// The daemon says something every 15 s, if only that it is there.
const SILENCE: Duration = Duration::from_secs(60);
/// Between two attempts to reach it again.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Begin behind this event; what the daemon no longer has is told as a gap
    #[arg(long, value_name = "[EPOCH-]ID")]
    since: Option<String>,
    /// Only events of this connection, and gaps
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Begin with the state of all connections
    #[arg(long)]
    snapshot: bool,
}

/// Until it is interrupted, or nobody reads any more.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    let mut since = args.since.clone();
    let mut connected = false;
    let mut tries = 0;
    loop {
        match open(client, since.as_deref(), args.snapshot && !connected) {
            Ok(events) => {
                if std::mem::replace(&mut tries, 0) > 0 {
                    eprintln!("sandhog: the daemon is back");
                }
                connected = true;
                if follow(events, &mut since, args, json) == End::NobodyReads {
                    return ExitCode::SUCCESS;
                }
            }
            Err(error) if !connected || matches!(error, ClientError::Refused(_)) => {
                return output::failed(&error, json);
            }
            Err(_) => {}
        }
        if tries == 0 {
            eprintln!("sandhog: the daemon is gone; waiting for it");
        }
        std::thread::park_timeout(AGAIN[tries.min(AGAIN.len() - 1)]);
        tries += 1;
    }
}

/// The stream of events.
pub(super) fn open(
    client: &Client,
    since: Option<&str>,
    snapshot: bool,
) -> Result<Reader<impl BufRead + use<>>, ClientError> {
    let query: Vec<_> = since
        .map(|id| format!("since={}", super::client::escape(id)))
        .into_iter()
        .chain(snapshot.then(|| "snapshot=1".into()))
        .collect();
    let path = if query.is_empty() { "/v1/events".into() } else { format!("/v1/events?{}", query.join("&")) };
    let order = Order::get(&path).header("accept", "text/event-stream").within(SILENCE);
    Ok(Reader::new(BufReader::new(client.send(order)?.into_reader())))
}

/// Why the stream is not read any further.
#[derive(Debug, PartialEq)]
enum End {
    Lost,
    NobodyReads,
}

fn follow(mut events: Reader<impl BufRead>, since: &mut Option<String>, args: &Args, json: bool) -> End {
    loop {
        let next = events.next();
        *since = events.last().map(str::to_owned).or(since.take());
        let Ok(Some(event)) = next else { return End::Lost };
        let told = document(&event);
        if !concerns(&told, args.connection.as_deref()) {
            continue;
        }
        let read = if json { output::json_line(&told) } else { output::text(&line(&told)) };
        if !read {
            return End::NobodyReads;
        }
    }
}

/// The event's document, which names its kind in any case.
fn document(event: &Event) -> Value {
    let data = serde_json::from_str(&event.data).unwrap_or_else(|_| Value::String(event.data.clone()));
    let mut document = match data {
        Value::Object(map) if event.event != "snapshot" => map,
        other => serde_json::Map::from_iter([("data".to_owned(), other)]),
    };
    document.entry("event").or_insert_with(|| event.event.clone().into());
    if let Some(id) = &event.id {
        document.entry("id").or_insert_with(|| id.as_str().into());
    }
    Value::Object(document)
}

/// A gap, and the state of all to begin with, concern everybody.
fn concerns(document: &Value, connection: Option<&str>) -> bool {
    let named = document.get("connection").and_then(Value::as_str);
    let of_all = matches!(document["event"].as_str(), Some("gap" | "snapshot"));
    connection.is_none_or(|wanted| of_all || named == Some(wanted))
}

fn line(document: &Value) -> String {
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(plain);
    let event = text("event").unwrap_or_default();
    let details = match event.as_str() {
        "gap" => gap(document),
        "snapshot" => {
            let connections = document["data"]["connections"].as_array().map_or(0, Vec::len);
            format!("{connections} connections")
        }
        _ => details(document),
    };
    let name = match (text("connection"), text("child")) {
        (Some(connection), Some(child)) => format!("{connection}/{child}"),
        (connection, _) => connection.unwrap_or_default(),
    };
    let id = document.get("id").and_then(Value::as_u64).map_or_else(String::new, |id| format!("#{id}"));
    let line = format!("{}  {id:<6} {event:<12} {name}  {details}", text("time").unwrap_or_default());
    line.trim().to_owned()
}

fn gap(document: &Value) -> String {
    let number = |key: &str| document.get(key).and_then(Value::as_u64);
    let between = match (number("from"), number("to")) {
        (Some(from), Some(to)) => format!(" (#{from} to #{to})"),
        _ => String::new(),
    };
    match number("lost") {
        Some(1) => format!("1 event is lost{between}"),
        Some(lost) => format!("{lost} events are lost{between}"),
        None => format!("events are lost{between}"),
    }
}

/// What an event says besides whose it is.
fn details(document: &Value) -> String {
    const HEAD: [&str; 6] = ["id", "epoch", "time", "event", "connection", "child"];
    let Value::Object(map) = document else { return String::new() };
    let said = map.iter().filter(|(key, value)| !HEAD.contains(&key.as_str()) && !value.is_null());
    let said = said.map(|(key, value)| match (key.as_str(), value) {
        ("failure", failure) => failure_text(failure),
        ("warning", warning) => format!("{}: {}", words(&warning["code"]), words(&warning["values"])),
        ("mtu", mtu) => format!("{} -> {} ({})", words(&mtu["old"]), words(&mtu["new"]), words(&mtu["reason"])),
        (key, value) => format!("{key}={}", words(value)),
    });
    said.collect::<Vec<_>>().join(" ")
}

fn failure_text(failure: &Value) -> String {
    let [code, explain, fix] =
        [&failure["code"], &failure["explain"]["en"], &failure["fix"][0]["text"]["en"]].map(words);
    let fix = if fix.is_empty() { fix } else { format!(" Fix: {fix}") };
    format!("{code}: {explain}{fix}")
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Null => String::new(),
        other => plain(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<u64>, event: &str, data: &str) -> Event {
        let id = id.map(|id| id.to_string());
        Event { id, event: event.into(), data: data.into() }
    }

    #[test]
    fn who_has_seen_nothing_yet_knows_where_to_go_on() {
        let args = Args { since: None, connection: None, snapshot: false };
        let mut since = None;
        assert_eq!(
            follow(Reader::new(&b": sandhog\nid: 9-5\n\n: still here\n\n"[..]), &mut since, &args, false),
            End::Lost
        );
        assert_eq!(since.as_deref(), Some("9-5"));
        // Another connection that ends before it says anything.
        assert_eq!(follow(Reader::new(&b""[..]), &mut since, &args, false), End::Lost);
        assert_eq!(since.as_deref(), Some("9-5"));
    }

    #[test]
    fn an_event_on_a_line() {
        let data = r#"{"id":7,"time":"2026-11-21T10:00:00Z","event":"failed","connection":"a","child":null,"why":null,
            "failure":{"code":"auth.failed","explain":{"en":"It \u001b refused."},"fix":[{"text":{"en":"Compare."}}]},"warning":null}"#;
        let line = line(&document(&event(Some(7), "failed", data)));
        assert_eq!(line, "2026-11-21T10:00:00Z  #7     failed       a  auth.failed: It \\u{1b} refused. Fix: Compare.");
    }

    #[test]
    fn a_gap_is_shown_whatever_is_asked_for() {
        let gap = document(&event(None, "gap", r#"{"lost":3,"from":5,"to":7}"#));
        assert!(concerns(&gap, Some("other")));
        assert_eq!(line(&gap), "gap            3 events are lost (#5 to #7)");
        let up = document(&event(Some(8), "up", r#"{"connection":"a"}"#));
        assert!(concerns(&up, Some("a")) && concerns(&up, None) && !concerns(&up, Some("b")));
    }

    #[test]
    fn the_kind_of_an_event_stands_in_its_document() {
        assert_eq!(document(&event(Some(1), "gap", "{}")), serde_json::json!({ "event": "gap", "id": "1" }));
        assert_eq!(document(&event(None, "x", "no json"))["data"], "no json");
        let snapshot = document(&event(None, "snapshot", r#"{"connections":[{}]}"#));
        assert_eq!(snapshot["data"]["connections"].as_array().unwrap().len(), 1);
    }
}
