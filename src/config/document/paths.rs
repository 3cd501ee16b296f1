//! The daemon opens no path that came over the socket. An object of the API's holds what a file would have held, or belongs into a file.
use super::value::Value;
use super::{Kind, Object, json};
use crate::config::error::Finding;
use crate::config::pem::is_inline;

/// Keys that name a file or program, below an object of each kind, and what to do instead.
const PATHS: [(Kind, &[&str], &str); 13] = [
    (Kind::Gateway, &["control_socket"], IN_FILE),
    (Kind::Gateway, &["observe_socket"], IN_FILE),
    (Kind::Gateway, &["state_dir"], IN_FILE),
    (Kind::Gateway, &["hook"], IN_FILE),
    (Kind::Gateway, &["log", "target"], IN_FILE),
    (Kind::Connection, &["local", "certs"], AS_IT_IS),
    (Kind::Connection, &["local", "key"], AS_IT_IS),
    (Kind::Connection, &["remote", "cacerts"], AS_IT_IS),
    (Kind::Connection, &["remote", "crls"], AS_IT_IS),
    (Kind::Connection, &["interface", "netns"], "the name of a namespace of `ip netns`"),
    (Kind::Connection, &["keylog"], IN_FILE),
    (Kind::Secret, &["secret_file"], "send the secret itself: `secret`"),
    (Kind::Secret, &["secret_env"], "send the secret itself: `secret`"),
];
const IN_FILE: &str = "this belongs into a file of the gateway's configuration";
const AS_IT_IS: &str = "send what the file holds: \"-----BEGIN ...\"";

/// What of an object would open a path.
pub(super) fn refuse(object: &Object) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (kind, way, hint) in PATHS.iter().filter(|(kind, ..)| *kind == object.key.kind) {
        let found = way.iter().try_fold(&object.body, |value, key| value.get(key));
        if !found.is_some_and(|value| is_path(value, *kind, way)) {
            continue;
        }
        let pointer = object.key.pointer() + &json::pointer(way);
        let message = "the daemon opens no path that came over its socket".to_owned();
        findings.push(Finding::of_object(pointer, "owner.path", message, *hint));
    }
    findings
}

/// An inline certificate is none, and neither is the name of a namespace.
fn is_path(value: &Value, kind: Kind, way: &[&str]) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| is_path(item, kind, way)),
        Value::Hidden(_) => false,
        Value::String(s) if matches!(way.last(), Some(&"netns" | &"target")) => s.contains('/'),
        Value::String(s) if kind == Kind::Connection => !is_inline(s),
        _ => true,
    }
}
