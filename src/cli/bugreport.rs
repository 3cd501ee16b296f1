//! `sandhog bugreport`: what somebody else needs in order to help, in one tar file, and no secrets.
//!
//! The daemon redacts its configuration itself. Nothing is read here that has a secret in it: no configuration file, no environment, no memory.
mod host;
mod mask;
mod tar;

use super::client::{Client, ClientError, Order};
use super::output;
use super::sse;
use mask::Masks;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Largest entry, and all together, octets.
const MAX_ENTRY: usize = 16 << 20;
const MAX_ALL: usize = 96 << 20;
/// No event for so long: we have seen those that there were.
const QUIET: Duration = Duration::from_secs(2);
/// So many events, as many as the daemon remembers, and so much time for them: on a busy gateway there are always more.
const MAX_EVENTS: usize = crate::control::events::KEPT;
const MAX_TIME: Duration = Duration::from_secs(10);

/// Where to, and how much it tells.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, which must not exist yet
    #[arg(long, value_name = "FILE", default_value = "sandhog-bugreport.tar")]
    out: PathBuf,
    /// Put others in the place of addresses and names, the same everywhere
    #[arg(long)]
    anonymous: bool,
}

/// One file of the report.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// For the README.
    about: &'static str,
    /// Or why there is nothing.
    text: Result<String, String>,
}

const RESOURCES: &[(&str, &str, &str)] = &[
    ("daemon/info.json", "/v1/info", "the daemon: version, start, what the host is to be told"),
    ("daemon/status.json", "/v1/connections", "connections, children, counters, last failures"),
    ("daemon/sas.json", "/v1/sas", "all SAs: SPIs and suites, no keys"),
    ("daemon/stats.json", "/v1/stats", "counters of the daemon"),
    ("daemon/diagnoses.json", "/v1/diagnoses", "what went wrong last"),
    ("daemon/config.json", "/v1/config", "the configuration in force, with *** for secrets"),
    ("daemon/revisions.json", "/v1/config/revisions", "revisions of the configuration"),
    ("daemon/metrics.txt", "/metrics", "metrics"),
];

/// Collects and writes it. A daemon that does not answer is part of the report, and no failure.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    let mut entries = collect(client);
    let masked = args.anonymous.then(|| {
        let mut masks = Masks::of(&entries);
        entries.iter_mut().for_each(|entry| masks.apply(&mut entry.text));
    });
    let note = if masked.is_some() {
        "Addresses and names are others than the real ones, the same in all files.\n"
    } else {
        ""
    };
    let archive = archive(&entries, note);
    let mut open = OpenOptions::new();
    let written =
        open.write(true).create_new(true).mode(0o600).open(&args.out).and_then(|mut file| file.write_all(&archive));
    if let Err(error) = written {
        eprintln!("sandhog: {}: {error}", args.out.display());
        return ExitCode::FAILURE;
    }
    if json {
        let list: Vec<_> = entries
            .iter()
            .map(|entry| serde_json::json!({ "name": entry.name, "octets": entry.text.as_ref().map_or(0, String::len), "error": entry.text.as_ref().err() }))
            .collect();
        output::json(&serde_json::json!({ "file": args.out, "entries": list }));
    } else {
        entries.iter().filter_map(|entry| Some((entry.name, entry.text.as_ref().err()?))).for_each(|(name, error)| {
            eprintln!("sandhog: without {name}: {}", output::plain(error));
        });
        output::text(&format!(
            "{} ({}). Look through it before you hand it on.",
            args.out.display(),
            output::octets(archive.len() as u64)
        ));
    }
    ExitCode::SUCCESS
}

fn collect(client: &Client) -> Vec<Entry> {
    let mut entries: Vec<_> = RESOURCES
        .iter()
        .map(|(name, path, about)| Entry {
            name,
            about,
            text: resource(client, path).map_err(|error| error.to_string()),
        })
        .collect();
    let openapi = client.get::<Value>("/v1/openapi.json").map(|document| document["info"].to_string());
    let openapi = openapi.map_err(|error| error.to_string());
    entries.push(Entry { name: "daemon/openapi.json", about: "version of the API", text: openapi });
    let events = events(client).map_err(|error| error.to_string());
    entries.push(Entry { name: "daemon/events.jsonl", about: "events that the daemon remembers", text: events });
    let pid = client.get::<Value>("/v1/info").ok().and_then(|info| info["pid"].as_u64());
    entries.extend(host::collect(pid).into_iter().map(|(name, about, text)| Entry { name, about, text }));
    entries
}

fn resource(client: &Client, path: &str) -> Result<String, ClientError> {
    let mut octets = Vec::new();
    let reader = client.send(Order::get(path))?.into_reader();
    let read = reader.take(MAX_ENTRY as u64 + 1).read_to_end(&mut octets);
    read.map_err(|error| ClientError::Broken { path: client.socket().to_owned(), reason: error.to_string() })?;
    let text = String::from_utf8_lossy(&octets);
    // For who reads it: on lines.
    let lines = serde_json::from_str::<Value>(&text).ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    Ok(lines.unwrap_or_else(|| text.into_owned()))
}

#[expect(clippy::disallowed_methods, reason = "nothing but how long it takes already")]
fn events(client: &Client) -> Result<String, ClientError> {
    let order = Order::get("/v1/events?since=0").header("accept", "text/event-stream").silent_after(QUIET);
    let reader = sse::Reader::new(BufReader::new(client.send(order)?.into_reader()));
    let begun = Instant::now();
    Ok(drain(reader, || begun.elapsed() > MAX_TIME))
}

/// Ends when nothing more comes, or there is enough of it.
fn drain(mut reader: sse::Reader<impl BufRead>, is_late: impl Fn() -> bool) -> String {
    let mut text = String::new();
    for _ in 0..MAX_EVENTS {
        let Ok(Some(event)) = reader.next() else { break };
        if is_late() || text.len() + event.data.len() > MAX_ENTRY {
            break;
        }
        text.push_str(&event.data.replace('\n', " "));
        text.push('\n');
    }
    text
}

fn archive(entries: &[Entry], note: &str) -> Vec<u8> {
    let mut readme =
        format!("A report about sandhog {}, made by `sandhog bugreport`.\n{note}\n", env!("CARGO_PKG_VERSION"));
    let mut archive = tar::Archive::default();
    let mut left = MAX_ALL;
    for entry in entries {
        let line = match &entry.text {
            Err(error) => format!("- {}: {} (missing: {})\n", entry.name, entry.about, output::plain(error)),
            Ok(text) => {
                let text = shorten(text, left.min(MAX_ENTRY));
                left -= text.len();
                archive.add(entry.name, text.as_bytes());
                format!("- {}: {}\n", entry.name, entry.about)
            }
        };
        readme.push_str(&line);
    }
    archive.add("README", readme.as_bytes());
    archive.finish()
}

/// The end of it: what is newest.
fn shorten(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    (from..=text.len()).find_map(|from| text.get(from..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_a_daemon_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let entries = collect(&Client::new(folder.path().join("none.sock")));
        assert!(entries.iter().filter(|entry| entry.name.starts_with("daemon/")).all(|entry| entry.text.is_err()));
        let archive = String::from_utf8_lossy(&archive(&entries, "")).into_owned();
        assert!(archive.contains(
            "daemon/config.json: the configuration in force, with *** for secrets (missing: cannot reach the daemon"
        ));
        assert!(archive.contains("host/kernel.txt"));
    }

    /// A gateway on which something happens all the time.
    struct Busy(usize);
    impl Read for Busy {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let text = b"data: {}\n\n";
            let n = buf.len().min(text.len() - self.0);
            buf[..n].copy_from_slice(&text[self.0..self.0 + n]);
            self.0 = (self.0 + n) % text.len();
            Ok(n)
        }
    }

    #[test]
    fn events_end_though_there_are_always_more() {
        let busy = || sse::Reader::new(BufReader::new(Busy(0)));
        assert_eq!(drain(busy(), || false).lines().count(), MAX_EVENTS);
        let asked = std::cell::Cell::new(0);
        let late = || asked.replace(asked.get() + 1) == 3;
        assert_eq!(drain(busy(), late), "{}\n{}\n{}\n");
    }

    #[test]
    fn what_is_too_long_keeps_its_end() {
        assert_eq!(shorten("abc", 2), "bc");
        assert_eq!(shorten("aéb", 2), "b");
        assert_eq!(shorten("abc", 9), "abc");
    }
}
