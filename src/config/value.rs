//! Readers of single values: each gives the value, or reports what is wrong with it and gives nothing.
use super::keys::nearest;
use super::report::Report;
use super::text::{At, Entry, Node, Value};
use crate::wire::payload::Id;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Longest time that makes sense anywhere: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A value of the wrong type.
pub(super) fn wrong<T>(report: &mut Report<'_>, node: &Node, expected: &str, hint: &str) -> Option<T> {
    report.refuse(node.at, "value.type", format!("expected {expected}, found {}", node.value.kind()), hint)
}

/// A string.
pub(super) fn string<'t>(report: &mut Report<'_>, node: &'t Node) -> Option<&'t str> {
    match &node.value {
        Value::String(s) => Some(s),
        _ => wrong(report, node, "a string", "put it in \"quotes\""),
    }
}

/// `true` or `false`.
pub(super) fn boolean(report: &mut Report<'_>, node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(b) => Some(*b),
        _ => wrong(report, node, "true or false", "write true or false without quotes"),
    }
}

/// A whole number within a range.
pub(super) fn integer<T: TryFrom<i128>>(
    report: &mut Report<'_>,
    node: &Node,
    range: RangeInclusive<i128>,
) -> Option<T> {
    let (low, high) = (range.start(), range.end());
    match &node.value {
        Value::Integer(i) if range.contains(i) => T::try_from(*i).ok(),
        Value::Integer(i) => {
            let hint = format!("write a number from {low} to {high}");
            report.refuse(node.at, "value.range", format!("{i} is out of range"), hint)
        }
        _ => wrong(report, node, "a whole number", &format!("write a number from {low} to {high} without quotes")),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(report: &mut Report<'_>, node: &Node, words: &[(&str, T)]) -> Option<T> {
    let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let Value::String(given) = &node.value else {
        return wrong(report, node, "a string", &format!("one of {}", known.join(", ")));
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| word == given) {
        return Some(*value);
    }
    let hint = match nearest(given, words.iter().map(|(word, _)| *word)) {
        Some(near) => format!("did you mean \"{near}\"? Known: {}", known.join(", ")),
        None => format!("one of {}", known.join(", ")),
    };
    report.refuse(node.at, "value.choice", format!("{given:?} is not known here"), hint)
}

/// A time: a number of seconds, or a string with its unit.
pub(super) fn duration(report: &mut Report<'_>, node: &Node) -> Option<Duration> {
    let hint = "write a number of seconds, or \"500ms\", \"30s\", \"5m\", \"4h\", \"1d\"";
    if !matches!(node.value, Value::Integer(_) | Value::Float(_) | Value::String(_)) {
        return wrong(report, node, "a time", hint);
    }
    match time(node) {
        Some(time) if time <= LONGEST => Some(time),
        Some(_) => report.refuse(node.at, "value.duration", "this is longer than ten years", hint),
        None => report.refuse(node.at, "value.duration", "this is not a time", hint),
    }
}

/// The same, without a word about what is none.
pub(super) fn time(node: &Node) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    match &node.value {
        Value::Integer(i) => u64::try_from(*i).ok().map(Duration::from_secs),
        Value::Float(f) => Duration::try_from_secs_f64(*f).ok(),
        Value::String(s) => with_unit(s, &UNITS).map(Duration::from_millis),
        _ => None,
    }
}

/// A number of octets, or a string with its unit.
pub(super) fn size(report: &mut Report<'_>, node: &Node) -> Option<u64> {
    let hint = "write a number of octets, or \"500MB\" (thousands), \"64GiB\" (1024s)";
    const UNITS: [(&str, u64); 9] = [
        ("B", 1),
        ("kB", 1000),
        ("KB", 1000),
        ("MB", 1000 * 1000),
        ("GB", 1000 * 1000 * 1000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let octets = match &node.value {
        Value::Integer(i) => u64::try_from(*i).ok(),
        Value::String(s) => with_unit(s, &UNITS),
        _ => return wrong(report, node, "a size", hint),
    };
    octets.or_else(|| report.refuse(node.at, "value.size", "this is not a size", hint))
}

/// `12h`: digits and one of the units; nothing else, and no overflow.
fn with_unit(s: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = s.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = s.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// An IP address.
pub(super) fn address(report: &mut Report<'_>, node: &Node) -> Option<IpAddr> {
    let given = string(report, node)?;
    let Ok(address) = given.parse() else {
        let hint = match given.split_once('/') {
            Some((host, _)) if host.parse::<IpAddr>().is_ok() => format!("an address without a length: \"{host}\""),
            _ => "write an address such as \"192.0.2.1\" or \"2001:db8::1\"".into(),
        };
        return report.refuse(node.at, "value.address", format!("{given:?} is not an IP address"), hint);
    };
    Some(address)
}

/// `address:port`.
pub(super) fn socket(report: &mut Report<'_>, node: &Node) -> Option<SocketAddr> {
    let given = string(report, node)?;
    match given.parse::<SocketAddr>() {
        Ok(socket) if socket.port() != 0 => Some(socket),
        _ => {
            let message = format!("{given:?} is not an address with a port");
            report.refuse(node.at, "value.address", message, "write \"127.0.0.1:9464\" or \"[::1]:9464\"")
        }
    }
}

/// An absolute path.
pub(super) fn path(report: &mut Report<'_>, node: &Node) -> Option<PathBuf> {
    let given = string(report, node)?;
    if given.starts_with('/') && !given.contains('\0') {
        return Some(given.into());
    }
    let message = format!("{given:?} is not an absolute path");
    report.refuse(node.at, "value.path", message, "begin it with /: the daemon may run in any directory")
}

/// A network with its length; `host` allows host bits.
pub(super) fn prefix(report: &mut Report<'_>, node: &Node, host: bool) -> Option<(IpAddr, u8)> {
    let given = string(report, node)?;
    let parsed = given.split_once('/').and_then(|(a, l)| Some((a.parse::<IpAddr>().ok()?, l.parse::<u8>().ok()?)));
    let Some((address, len)) = parsed.filter(|(a, len)| *len <= bits(*a)) else {
        let message = format!("{given:?} is not a network");
        return report.refuse(node.at, "value.address", message, "write an address and a length: \"10.0.0.0/24\"");
    };
    let network = mask(address, len);
    if !host && network != address {
        let message = format!("{given:?} has bits beyond its length");
        return report.refuse(node.at, "ts.host_bits", message, format!("write \"{network}/{len}\""));
    }
    Some((address, len))
}

/// Length of an address in bits.
pub(super) fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first address of a network.
pub(super) fn mask(address: IpAddr, len: u8) -> IpAddr {
    let shift = u32::from(bits(address).saturating_sub(len));
    match address {
        IpAddr::V4(a) => IpAddr::from((u32::MAX.checked_shl(shift).unwrap_or(0) & a.to_bits()).to_be_bytes()),
        IpAddr::V6(a) => IpAddr::from((u128::MAX.checked_shl(shift).unwrap_or(0) & a.to_bits()).to_be_bytes()),
    }
}

/// Name of a network device (at most 15 octets).
pub(super) fn device(report: &mut Report<'_>, node: &Node) -> Option<String> {
    let given = string(report, node)?;
    let plain = given.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let reserved = ["", ".", "..", "all", "default", "lo"].contains(&given);
    let number = given.strip_prefix("sandhog-").unwrap_or_default();
    let moving = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if plain && !reserved && !moving && given.len() <= 15 {
        return Some(given.into());
    }
    if moving {
        let message = format!("{given:?} is the name of devices on their way into a namespace");
        return report.refuse(node.at, "value.device", message, "a name that is not sandhog- and a number");
    }
    let message = format!("{given:?} cannot be the name of a device");
    report.refuse(
        node.at,
        "value.device",
        message,
        "1 to 15 letters, digits, dots, hyphens or underscores: \"sandhog0\"",
    )
}

/// An identity.
pub(super) fn id(report: &mut Report<'_>, node: &Node) -> Option<Id> {
    let given = string(report, node)?;
    match given.parse::<Id>() {
        Ok(id) => Some(id),
        Err(error) => {
            let hint = "an address, a name, user@name, or with a prefix: fqdn:, email:, ipv4:, ipv6:, keyid:, asn1dn:";
            report.refuse(node.at, "id.invalid", error, hint)
        }
    }
}

/// An array, each element by `read`; `None` if one is broken, after all have been looked at.
pub(super) fn list<'t, T>(
    report: &mut Report<'_>,
    node: &'t Node,
    mut read: impl FnMut(&mut Report<'_>, &'t Node) -> Option<T>,
) -> Option<Vec<(T, At)>> {
    let Value::Array(items) = &node.value else {
        return wrong(report, node, "an array", "put it in [ ], with commas between several");
    };
    let read: Vec<Option<(T, At)>> = items.iter().map(|item| Some((read(report, item)?, item.at))).collect();
    read.into_iter().collect()
}

/// An array that must not be empty.
pub(super) fn list_of_some<'t, T>(
    report: &mut Report<'_>,
    node: &'t Node,
    read: impl FnMut(&mut Report<'_>, &'t Node) -> Option<T>,
) -> Option<Vec<(T, At)>> {
    let items = list(report, node, read)?;
    if items.is_empty() {
        return report.refuse(node.at, "value.empty", "this list is empty", "name at least one, or leave the key out");
    }
    Some(items)
}

/// Name of a connection, child, secret or pool; reported if it cannot be one.
pub(super) fn name(report: &mut Report<'_>, entry: &Entry) {
    let plain = entry.key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain || entry.key.is_empty() || entry.key.len() > 64 {
        let message = format!("{:?} cannot be a name", entry.key);
        report.error(entry.at, "name.invalid", message, "1 to 64 letters, digits, dots, hyphens or underscores");
    }
}
