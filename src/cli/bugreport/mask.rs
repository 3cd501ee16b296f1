//! Other addresses and names, the same everywhere: so that somebody else can follow what happened, and not to whom.
use super::Entry;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// Words of ours: somebody who calls a child `up` tells nothing by it.
const OURS: &[&str] = &[
    "up",
    "down",
    "routed",
    "connecting",
    "closing",
    "failed",
    "rekeying",
    "none",
    "tunnel",
    "transport",
    "pass",
    "drop",
    "start",
    "trap",
    "psk",
    "pubkey",
    "name",
    "state",
    "connections",
    "children",
    "sandhog",
    "sandhogd",
    "local",
    "remote",
    "gateway",
    "secrets",
    "pools",
    "null",
    "true",
    "false",
    "any",
];
/// Keys of documents whose values are names.
const NAMES: &[&str] = &["name", "connection", "child", "local_id", "remote_id", "id", "target"];
/// Keys of documents whose keys are names.
const NAMED: &[&str] = &["connections", "children", "secrets", "pools"];

/// What stands for what.
#[derive(Debug, Default)]
pub(super) struct Masks {
    names: HashMap<String, String>,
    addresses: HashMap<IpAddr, String>,
}
impl Masks {
    /// With the names of all documents, and this host's.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut found = BTreeSet::new();
        for text in entries.iter().filter_map(|entry| entry.text.as_ref().ok()) {
            for document in std::iter::once(text.as_str()).chain(text.lines()) {
                if let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(document) {
                    names(&value, &mut found);
                }
            }
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        found.insert(host.trim().to_owned());
        let mut masks = Self::default();
        for text in found {
            // Of `CN=gw1.example, O=Example` what stands behind the equals signs.
            let values = text.split(", ").map(|part| part.split_once('=').map_or(part, |(_, value)| value));
            for word in values.flat_map(|value| value.split(|c| !is_word(c))) {
                let known = OURS.contains(&word) || word.parse::<IpAddr>().is_ok() || word.parse::<f64>().is_ok();
                if !known && !word.is_empty() && !masks.names.contains_key(word) {
                    let mask = format!("name-{}", masks.names.len() + 1);
                    masks.names.insert(word.to_owned(), mask);
                }
            }
        }
        masks
    }

    pub(super) fn apply(&mut self, text: &mut Result<String, String>) {
        let (Ok(text) | Err(text)) = text;
        let mut masked = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            masked.push_str(&self.word(&rest[..word]));
            rest = &rest[word..];
            let gap = rest.find(is_word).unwrap_or(rest.len());
            masked.push_str(&rest[..gap]);
            rest = &rest[gap..];
        }
        *text = masked;
    }

    fn word(&mut self, word: &str) -> String {
        if let Some(mask) = self.names.get(word) {
            return mask.clone();
        }
        if let Ok(addr) = word.parse::<SocketAddrV4>() {
            return format!("{}:{}", self.address((*addr.ip()).into()), addr.port());
        }
        let bare = word.trim_end_matches(['.', ':']);
        if let Ok(addr) = bare.parse() {
            return format!("{}{}", self.address(addr), &word[bare.len()..]);
        }
        if is_mac(bare) {
            return "mac".into();
        }
        if let Some((name, port)) = word.rsplit_once(':') {
            return format!("{}:{}", self.word(name), self.word(port));
        }
        let part = |part: &str| self.names.get(part).cloned().unwrap_or_else(|| part.to_owned());
        if word.contains('.') { word.split('.').map(part).collect::<Vec<_>>().join(".") } else { word.to_owned() }
    }

    fn address(&mut self, addr: IpAddr) -> String {
        let told = match addr {
            IpAddr::V4(a) => a.is_loopback() || a == Ipv4Addr::UNSPECIFIED || a == Ipv4Addr::BROADCAST,
            IpAddr::V6(a) => a == Ipv6Addr::LOCALHOST || a == Ipv6Addr::UNSPECIFIED,
        };
        if told {
            return addr.to_string();
        }
        let n = self.addresses.len() + 1;
        let kind = if addr.is_ipv4() { "ipv4" } else { "ipv6" };
        self.addresses.entry(addr).or_insert_with(|| format!("{kind}-{n}")).clone()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.:@-".contains(c)
}

fn is_mac(word: &str) -> bool {
    let parts: Vec<_> = word.split(':').collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let (true, Value::Object(named)) = (NAMED.contains(&key.as_str()), value) {
                    found.extend(named.keys().cloned());
                }
                if NAMES.contains(&key.as_str()) {
                    let texts = std::slice::from_ref(value).iter().chain(value.as_array().into_iter().flatten());
                    found.extend(texts.filter_map(Value::as_str).map(str::to_owned));
                }
                names(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry { name: "x", about: "", text: Ok(text.into()) }
    }

    #[test]
    fn names_and_addresses_are_others_everywhere() {
        let mut entries = [
            entry(
                r#"{"connections":[{"name":"hangzhou","state":"up","remote":"203.0.113.7:4500","remote_id":"CN=gw.example, O=Example Ltd",
                "children":[{"name":"up"}]}]}"#,
            ),
            entry(
                "{\"event\":\"up\",\"connection\":\"office\"}\nhangzhou/up 203.0.113.7. [2001:db8::1]:500 gw.example:500 aa:bb:cc:00:11:22 127.0.0.1 10.0.0.0/8",
            ),
        ];
        let mut masks = Masks::of(&entries);
        entries.iter_mut().for_each(|entry| masks.apply(&mut entry.text));
        let text: Vec<_> = entries.iter().map(|entry| entry.text.clone().unwrap()).collect();
        for word in ["hangzhou", "office", "gw.example", "Ltd", "203.0.113.7", "2001:db8", "aa:bb", "10.0.0.0"] {
            assert!(!text.concat().contains(word), "{word} in {text:?}");
        }
        assert!(text[0].contains("\"state\":\"up\"") && text[1].contains("127.0.0.1") && text[1].contains("/8"));
        let masked = text[0].split("\"remote\":\"").nth(1).unwrap().split(':').next().unwrap();
        assert!(text[1].contains(&format!(" {masked}. ")), "the same address is the same: {text:?}");
    }
}
