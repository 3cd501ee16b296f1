//! Every key that there is, and what to say about one that there is not.
use super::report::Report;
use super::text::{Entry, Node, Value};

/// The keys of one kind of table.
pub(super) struct Keys {
    /// Where they stand, for messages.
    place: &'static str,
    keys: &'static [&'static str],
}
impl Keys {
    /// It is one of them.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }
    /// All but these.
    pub(super) fn others<'k>(&self, these: &'k [&str]) -> impl Iterator<Item = &'static str> + 'k {
        self.keys.iter().copied().filter(|key| !these.contains(key))
    }
    /// Where they stand.
    #[cfg(test)]
    pub(super) fn place(&self) -> &'static str {
        self.place
    }
}

/// Every kind of table.
#[cfg(test)]
pub(super) fn kinds() -> impl Iterator<Item = &'static Keys> {
    ALL.into_iter()
}

pub(super) const TOP: Keys = Keys { place: "the top level", keys: &["gateway", "connections", "secrets", "pools"] };
pub(super) const GATEWAY: Keys = Keys {
    place: "[gateway]",
    keys: &[
        "listen",
        "ports",
        "workers",
        "pin_workers",
        "sandbox",
        "device",
        "route_table",
        "mark",
        "bind_device",
        "on_exit",
        "control_socket",
        "observe_socket",
        "state_dir",
        "metrics",
        "hook",
        "log",
        "retransmit",
        "limits",
    ],
};
pub(super) const PORTS: Keys = Keys { place: "[gateway] ports", keys: &["ike", "natt"] };
pub(super) const HOOK: Keys = Keys { place: "[gateway] hook", keys: &["command", "user", "timeout"] };
pub(super) const LOG: Keys = Keys { place: "[gateway] log", keys: &["level", "format", "target"] };
pub(super) const RETRANSMIT: Keys = Keys { place: "[gateway] retransmit", keys: &["first", "factor", "max", "tries"] };
pub(super) const LIMITS: Keys = Keys {
    place: "[gateway] limits",
    keys: &[
        "half_open",
        "half_open_per_source",
        "cookie_threshold",
        "cookie_per_source",
        "connections",
        "per_identity",
        "children",
        "per_resource",
        "auth_failures_per_minute",
        "reassembly_bytes",
        "compute_queue",
    ],
};
pub(super) const CONNECTION: Keys = Keys {
    place: "a connection",
    keys: &[
        "profile",
        "local_addrs",
        "remote_addrs",
        "proposals",
        "local",
        "remote",
        "rekey_time",
        "reauth_time",
        "over_time",
        "rand_time",
        "rekey",
        "dpd_delay",
        "keepalive",
        "encap",
        "fragmentation",
        "mobike",
        "childless",
        "rehearse",
        "ppk",
        "unique",
        "vips",
        "pools",
        "interface",
        "keylog",
        "log",
        "children",
    ],
};
pub(super) const CONNECTION_LOG: Keys = Keys { place: "a connection's log", keys: &["level"] };
pub(super) const LOCAL: Keys = Keys { place: "local", keys: &["auth", "id", "certs", "key", "padding"] };
pub(super) const REMOTE: Keys =
    Keys { place: "remote", keys: &["auth", "id", "cacerts", "crls", "revocation", "crl_hosts"] };
pub(super) const PPK: Keys = Keys { place: "ppk", keys: &["id", "required"] };
pub(super) const INTERFACE: Keys = Keys { place: "interface", keys: &["name", "addresses", "netns"] };
pub(super) const KEYLOG: Keys = Keys { place: "keylog", keys: &["path", "until"] };
pub(super) const CHILD: Keys = Keys {
    place: "a child",
    keys: &[
        "local_ts",
        "remote_ts",
        "ts_mode",
        "esp_proposals",
        "mode",
        "priority",
        "rekey_time",
        "rekey_bytes",
        "rekey_packets",
        "per_resource_sas",
        "start_action",
        "dpd_action",
        "replay_window",
        "peer_window",
        "mtu",
        "mss",
        "outer_fragments",
        "copy_dscp",
        "translate",
        "monitor",
    ],
};
/// Of the keys of a child those that say which packets are meant and what becomes of them, whether or not anything is negotiated.
pub(super) const POLICY: [&str; 5] = ["local_ts", "remote_ts", "mode", "priority", "translate"];
pub(super) const TRANSLATE: Keys = Keys { place: "translate", keys: &["local", "remote"] };
pub(super) const MONITOR: Keys = Keys { place: "monitor", keys: &["target", "source", "interval", "loss", "action"] };
pub(super) const SECRET: Keys = Keys { place: "a secret", keys: &["id", "secret", "secret_file", "secret_env"] };
pub(super) const POOL: Keys = Keys { place: "a pool", keys: &["addrs"] };

const ALL: [&Keys; 19] = [
    &TOP,
    &GATEWAY,
    &CONNECTION,
    &CHILD,
    &SECRET,
    &POOL,
    &LOCAL,
    &REMOTE,
    &PORTS,
    &LOG,
    &RETRANSMIT,
    &LIMITS,
    &CONNECTION_LOG,
    &PPK,
    &INTERFACE,
    &KEYLOG,
    &HOOK,
    &TRANSLATE,
    &MONITOR,
];

/// How many kinds of tables there are.
#[cfg(test)]
pub(super) fn count() -> usize {
    ALL.len()
}

/// The entries of one table, all of whose keys are known.
pub(super) struct Fields<'t> {
    entries: &'t [Entry],
}
impl<'t> Fields<'t> {
    /// Takes a table; what is in it that should not be is reported.
    pub(super) fn of(report: &mut Report<'_>, keys: &Keys, entries: &'t [Entry]) -> Self {
        for entry in entries {
            if !keys.keys.contains(&entry.key.as_str()) {
                unknown(report, keys, entry);
            }
        }
        Self { entries }
    }

    /// The same of a value that should be a table.
    pub(super) fn of_node(report: &mut Report<'_>, keys: &Keys, node: &'t Node) -> Option<Self> {
        match &node.value {
            Value::Table(entries) => Some(Self::of(report, keys, entries)),
            other => {
                let example = keys.keys.first().unwrap_or(&"key");
                let message = format!("expected a table, found {}", other.kind());
                report.refuse(node.at, "value.type", message, format!("write {{ {example} = ... }}"))
            }
        }
    }

    /// The entry of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&'t Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key as `read` understands it; `None` if it is absent or broken.
    pub(super) fn read<T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        read: impl FnOnce(&mut Report<'_>, &'t Node) -> Option<T>,
    ) -> Option<T> {
        self.entry(key).and_then(|entry| read(report, &entry.node))
    }
}

/// Reports a key that does not belong here. Its value is never shown: it could be a misspelt secret.
pub(super) fn unknown(report: &mut Report<'_>, keys: &Keys, entry: &Entry) {
    report.blot(entry.node.at);
    let key = &entry.key;
    let hint = if let Some(near) = nearest(key, keys.keys.iter().copied()) {
        format!("did you mean `{near}`?")
    } else if let Some(home) = ALL.iter().find(|k| k.keys.contains(&key.as_str())) {
        format!("`{key}` belongs to {}", home.place)
    } else {
        format!("known here: {}", keys.keys.join(", "))
    };
    report.error(entry.at, "key.unknown", format!("there is no key `{key}` in {}", keys.place), hint);
}

/// The candidate that a slip of the finger would turn into `word`.
pub(super) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_ascii_lowercase();
    let reach = |candidate: &str| 1 + candidate.len().min(word.len()) / 4;
    candidates
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(d, candidate)| *d <= reach(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. Long words are far from all of ours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
