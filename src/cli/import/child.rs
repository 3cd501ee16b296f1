//! One child of swanctl's in TOML.
use super::report::{Fate, Reader};
use super::translate::{Cx, Ends, array, table_name};
use std::fmt::Write as _;

/// Reasons for keys of a child that have no counterpart.
const CHILD: &[(&str, Fate, &str)] = &[
    ("ah_proposals", Fate::Refused, "no AH: ESP with integrity, or with null encryption, does the same"),
    ("sha256_96", Fate::Refused, "write sha256_96 for sha256 in esp_proposals"),
    ("life_time", Fate::Dropped, "an SA ends a tenth after its rekey_time"),
    ("rand_time", Fate::Dropped, "rekeys are spread by themselves"),
    ("life_bytes", Fate::Dropped, "an SA ends some octets after its rekey_bytes"),
    ("rand_bytes", Fate::Dropped, "rekeys are spread by themselves"),
    ("life_packets", Fate::Dropped, "an SA ends some packets after its rekey_packets"),
    ("rand_packets", Fate::Dropped, "rekeys are spread by themselves"),
    ("updown", Fate::Dropped, "a program that is told of changes is [gateway] hook; no firewall rules are needed"),
    ("hostaccess", Fate::Dropped, "this host's own packets match like all others"),
    (
        "policies",
        Fate::Refused,
        "a child without policies carries nothing: use a connection's own device (`interface`)",
    ),
    ("policies_fwd_out", Fate::Dropped, "packets that are forwarded match like all others"),
    ("ipcomp", Fate::Dropped, "nothing is compressed; peers agree to that"),
    ("inactivity", Fate::Dropped, "idle children stay"),
    ("reqid", Fate::Dropped, "there are no request ids"),
    ("priority", Fate::Dropped, "the longest prefix wins; `priority` decides only between equal ones"),
    ("interface", Fate::Refused, "policies are not bound to devices: a connection's own device is `interface`"),
    ("mark_in", Fate::Refused, "there are no marks: a connection's own device is `interface`"),
    ("mark_out", Fate::Refused, "there are no marks: a connection's own device is `interface`"),
    ("mark_in_sa", Fate::Refused, "there are no marks: a connection's own device is `interface`"),
    ("set_mark_in", Fate::Refused, "there are no marks: a connection's own device is `interface`"),
    ("set_mark_out", Fate::Refused, "there are no marks: a connection's own device is `interface`"),
    ("if_id_in", Fate::Refused, "there are no XFRM interfaces: a connection's own device is `interface`"),
    ("if_id_out", Fate::Refused, "there are no XFRM interfaces: a connection's own device is `interface`"),
    ("label", Fate::Refused, "no security labels"),
    ("label_mode", Fate::Refused, "no security labels"),
    ("tfc_padding", Fate::Dropped, "packets are not padded to hide their sizes"),
    ("hw_offload", Fate::Dropped, "ESP is ours, in userspace"),
    ("copy_df", Fate::Dropped, "the path MTU is probed; nothing relies on DF"),
    ("copy_ecn", Fate::Dropped, "always copied, as RFC 6040 has it"),
    ("close_action", Fate::Dropped, "what is wanted up (start_action) comes up again, what is trapped is trapped"),
];

/// None if something in it is refused.
pub(super) fn translate(cx: &mut Cx<'_>, connection: &str, from: &Reader<'_>, ends: &Ends) -> Option<String> {
    let refused = cx.notes.refused();
    let mut toml = format!("\n[connections.{connection}.children.{}]\n", table_name(from.name));
    let mode = from.take("mode").unwrap_or("tunnel");
    if !["tunnel", "transport", "pass", "drop"].contains(&mode) {
        cx.notes.add(from.key("mode"), Fate::Refused, "tunnel, transport, pass or drop");
    } else if mode != "tunnel" {
        cx.done(from, "mode", "mode");
        let _ = writeln!(toml, "mode = \"{mode}\"");
    }
    for (key, theirs) in [("local_ts", false), ("remote_ts", true)] {
        selectors(cx, from, key, theirs, ends, &mut toml);
    }
    if matches!(mode, "pass" | "drop") {
        for (key, _) in from.rest() {
            cx.notes.add(from.key(key), Fate::Dropped, "means nothing where nothing is negotiated");
        }
    } else {
        negotiated(cx, from, ends, &mut toml);
        // What is switched off as it always is here.
        for (key, off) in [("sha256_96", "no"), ("policies", "yes"), ("ipcomp", "no"), ("label_mode", "system")] {
            if from.take(key).is_some_and(|value| value != off) {
                let reason = CHILD.iter().find(|(name, ..)| *name == key);
                reason.into_iter().for_each(|(_, fate, why)| cx.notes.add(from.key(key), *fate, *why));
            }
        }
        from.finish(&mut cx.notes, CHILD);
    }
    (cx.notes.refused() == refused).then_some(toml)
}

fn negotiated(cx: &mut Cx<'_>, from: &Reader<'_>, ends: &Ends, toml: &mut String) {
    cx.proposals(from, "esp_proposals", toml);
    if let Some(seconds) = cx.time(from, "rekey_time") {
        let _ = writeln!(toml, "rekey_time = \"{seconds}s\"");
    }
    for key in ["rekey_bytes", "rekey_packets", "replay_window"] {
        let Some(value) = from.take(key) else { continue };
        match number(value) {
            Some(0) if key == "replay_window" => {
                cx.notes.add(from.key(key), Fate::Dropped, "packets are always checked for replays");
            }
            Some(n) => {
                cx.done(from, key, key);
                let _ = writeln!(toml, "{key} = {n}");
            }
            None => cx.notes.add(from.key(key), Fate::Refused, "not a number"),
        }
    }
    if let Some(given) = from.take("copy_dscp") {
        cx.done(from, "copy_dscp", "copy_dscp, on the way out");
        let _ = writeln!(toml, "copy_dscp = {}", matches!(given, "out" | "yes"));
    }
    actions(cx, from, ends, toml);
}

/// strongSwan starts nothing and clears what is dead unless it is told otherwise; we do the opposite.
fn actions(cx: &mut Cx<'_>, from: &Reader<'_>, ends: &Ends, toml: &mut String) {
    let start = match from.take("start_action").unwrap_or("none") {
        "none" => "none",
        "trap" => "trap",
        "start" | "trap|start" | "start|trap" => "start",
        _ => return cx.notes.add(from.key("start_action"), Fate::Refused, "none, trap or start"),
    };
    let dpd = match from.take("dpd_action").unwrap_or("clear") {
        "clear" | "none" => "clear",
        "trap" | "hold" => "trap",
        "restart" | "start" => "restart",
        _ => return cx.notes.add(from.key("dpd_action"), Fate::Refused, "clear, trap or restart"),
    };
    let (start, dpd) = match (start, dpd) {
        (start, dpd) if !ends.responds_only() => (start, dpd),
        (start, dpd) => (if start == "start" { "none" } else { start }, if dpd == "restart" { "clear" } else { dpd }),
    };
    for (key, word) in [("start_action", start), ("dpd_action", dpd)] {
        if from.take(key).is_some() {
            cx.done(from, key, &format!("{key} = \"{word}\""));
        }
        let _ = writeln!(toml, "{key} = \"{word}\"");
    }
}

fn selectors(cx: &mut Cx<'_>, from: &Reader<'_>, key: &str, theirs: bool, ends: &Ends, toml: &mut String) {
    let given = from.list(key).unwrap_or_else(|| vec!["dynamic"]);
    let mut list = Vec::new();
    for one in given {
        let narrowed = one.strip_prefix("dynamic");
        match narrowed {
            None => list.push(one.to_owned()),
            Some(narrowed) => match dynamic(theirs, ends) {
                Some(networks) => list.extend(networks.iter().map(|network| format!("{network}{narrowed}"))),
                None => {
                    let why = "`dynamic` is an address that is known only later: write the networks";
                    return cx.notes.add(from.key(key), Fate::Refused, why);
                }
            },
        }
    }
    cx.done(from, key, key);
    let _ = writeln!(toml, "{key} = {}", array(&list));
}

/// An end's own address: what is given out, or the outer one.
fn dynamic(theirs: bool, ends: &Ends) -> Option<Vec<String>> {
    let (given_out, outer) = if theirs { (&ends.pools, &ends.remote) } else { (&ends.vips, &ends.local) };
    if !given_out.is_empty() {
        // The other end narrows it to the address.
        return Some(vec!["0.0.0.0/0".into()]);
    }
    match outer.as_slice() {
        [one] if one.parse::<std::net::IpAddr>().is_ok() => Some(vec![one.clone()]),
        _ => None,
    }
}

/// `1g` is 2^30.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}
