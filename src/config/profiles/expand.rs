//! What a connection does not give comes from its profile, before anything reads it.
use super::{Profile, find, judge};
use crate::config::report::Report;
use crate::config::text::{At, Entry, Node, Value};

/// Of a child.
const CHILD: &str = "children.*.";
/// What only one who can call the peer does.
const CALLS: [&str; 2] = ["children.*.start_action", "children.*.dpd_action"];

/// Judges what stands beside each profile, and puts in what is missing. It stands where the profile does.
pub(in crate::config) fn expand(report: &mut Report<'_>, connections: &mut [Entry]) {
    for entry in connections {
        let Some((profile, key, at)) = chosen(&entry.node) else { continue };
        judge::judge(report, profile, key, &entry.node.value);
        report.preset(at, profile.name);
        fill(profile, at, &mut entry.node);
    }
}

/// The profile that a connection names, and where its key and its name are.
fn chosen(connection: &Node) -> Option<(&'static Profile, At, At)> {
    let entry = connection.value.get("profile")?;
    let Value::String(name) = &entry.node.value else { return None };
    Some((find(name)?, entry.at, entry.node.at))
}

fn fill(profile: &Profile, at: At, connection: &mut Node) {
    let respond_only = judge::respond_only(&connection.value);
    let Value::Table(entries) = &mut connection.value else { return };
    for setting in profile.settings {
        match setting.key.strip_prefix(CHILD) {
            None => add(entries, setting.key, setting.value.node(at)),
            Some(_) if respond_only && CALLS.contains(&setting.key) => {}
            Some(key) => {
                let children = entries.iter_mut().filter(|entry| entry.key == "children");
                let children = children.filter_map(|children| children.node.value.table_mut()).flatten();
                for child in children.filter(|child| negotiated(&child.node.value)) {
                    child.node.value.table_mut().into_iter().for_each(|c| add(c, key, setting.value.node(at)));
                }
            }
        }
    }
}

/// What passes in the clear or is dropped is nothing to any peer.
pub(super) fn negotiated(child: &Value) -> bool {
    !child
        .get("mode")
        .is_some_and(|mode| matches!(&mode.node.value, Value::String(mode) if mode == "pass" || mode == "drop"))
}

fn add(entries: &mut Vec<Entry>, key: &str, node: Node) {
    if !entries.iter().any(|entry| entry.key == key) {
        entries.push(Entry { key: key.into(), at: node.at, node });
    }
}
