//! `keylog`: where the keys of a connection are written for Wireshark, and until when.
use super::keys::{self, Fields};
use super::report::Report;
use super::text::Node;
use super::value;
use jiff::Timestamp;
use std::path::PathBuf;

/// Whoever can read the folder can read everything that the connection protects; so it is never on by itself, and never for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keylog {
    /// Folder of Wireshark's tables.
    pub folder: PathBuf,
    /// Nothing is written from then on.
    pub until: Timestamp,
}

/// Reads it and warns of it.
pub(super) fn read(report: &mut Report<'_>, fields: &Fields<'_>) -> Option<Keylog> {
    let entry = fields.entry("keylog")?;
    let fields = Fields::of_node(report, &keys::KEYLOG, &entry.node)?;
    for key in ["path", "until"] {
        if fields.entry(key).is_none() {
            let hint = "keylog = { path = \"/var/lib/sandhog/keys\", until = \"2026-11-23T12:00:00Z\" }";
            report.error(entry.at, "keylog.incomplete", format!("a key log needs its `{key}`"), hint);
        }
    }
    let folder = fields.read(report, "path", value::path);
    let until = fields.read(report, "until", moment);
    let keylog = Keylog { folder: folder?, until: until? };
    let message =
        format!("until {} the keys of this connection are written to {}", keylog.until, keylog.folder.display());
    report.warn(entry.at, "keylog.on", message, "take keylog out as soon as the capture is made");
    Some(keylog)
}

fn moment(report: &mut Report<'_>, node: &Node) -> Option<Timestamp> {
    let given = value::string(report, node)?;
    match given.parse() {
        Ok(moment) => Some(moment),
        Err(_) => {
            let hint = "write it with its time zone: \"2026-11-23T12:00:00Z\", \"2026-11-23T20:00:00+08:00\"";
            report.refuse(node.at, "value.time", format!("{given:?} is not a moment"), hint)
        }
    }
}
