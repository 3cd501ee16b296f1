//! Valid configurations in many variations, as sections that can be changed before they become text.
use super::Fake;
use super::draw::Draw;
use crate::config::Source;
use std::collections::BTreeMap;

/// Stands before what is wrong; taken out of the text, its line remembered.
pub(super) const MARK: char = '¤';

/// The right-hand side of a key.
#[derive(Clone)]
pub(super) enum Val {
    Raw(String),
    List(Vec<String>),
    Table(Vec<(String, Val)>),
}
pub(super) fn raw(text: impl Into<String>) -> Val {
    Val::Raw(text.into())
}
pub(super) fn quoted(text: &str) -> Val {
    Val::Raw(format!("\"{text}\""))
}
pub(super) fn list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Val {
    Val::List(items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect())
}
pub(super) fn table<const N: usize>(fields: [(&str, Val); N]) -> Val {
    Val::Table(fields.into_iter().map(|(key, val)| (key.to_string(), val)).collect())
}

/// One table of the configuration.
#[derive(Clone)]
pub(super) struct Section {
    pub path: Vec<String>,
    pub keys: Vec<(String, Val)>,
    pub file: usize,
    /// Written within its parent instead of under a header of its own.
    pub inline: bool,
}
impl Section {
    pub(super) fn set(&mut self, key: &str, val: Val) {
        self.remove(key);
        self.keys.push((key.into(), val));
    }
    pub(super) fn remove(&mut self, key: &str) {
        self.keys.retain(|(k, _)| k != key);
    }
    pub(super) fn get(&self, key: &str) -> Option<&Val> {
        self.keys.iter().find(|(k, _)| k == key).map(|(_, val)| val)
    }
    /// The mark goes to the name in the header.
    pub(super) fn mark(&mut self) {
        if let Some(name) = self.path.last_mut() {
            name.insert(0, MARK);
        }
    }
    fn is_exception(&self) -> bool {
        matches!(self.get("mode"), Some(Val::Raw(mode)) if mode != "\"transport\"")
    }
    /// How many children it makes.
    pub(super) fn children(&self) -> usize {
        match (self.path.len(), self.get("ts_mode")) {
            (4, Some(Val::Raw(mode))) if mode == "\"per_pair\"" => 2,
            (4, _) => 1,
            _ => 0,
        }
    }
    fn is(&self, kind: Kind) -> bool {
        let depth = self.path.len();
        match kind {
            Kind::Gateway => self.path[0] == "gateway",
            Kind::Connection => self.path[0] == "connections" && depth == 2,
            Kind::Child => {
                self.path[0] == "connections" && depth == 4 && !self.is_exception() && self.path[3] != SPECIAL
            }
            Kind::Exception => self.path[0] == "connections" && depth == 4 && self.is_exception(),
            Kind::Secret => self.path[0] == "secrets",
        }
    }
}

/// The name of a child whose selectors are bound by its mode: no fault is put into it.
const SPECIAL: &str = "special";

/// Kinds of sections. A `Child` is one that IKE negotiates, in tunnel mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Gateway,
    Connection,
    Child,
    Exception,
    Secret,
}

/// A configuration before it is text.
#[derive(Default)]
pub(super) struct Doc {
    pub sections: Vec<Section>,
    pub files: usize,
    pub fake: Fake,
    /// Lines that are put at the end of a file.
    pub tails: BTreeMap<usize, String>,
}
impl Doc {
    pub(super) fn all(&self, kind: Kind) -> Vec<usize> {
        (0..self.sections.len()).filter(|i| self.sections[*i].is(kind)).collect()
    }
    pub(super) fn any(&mut self, draw: &mut Draw, kind: Kind) -> &mut Section {
        let all = self.all(kind);
        &mut self.sections[all[draw.below(all.len())]]
    }
}

/// A valid configuration.
pub(super) fn draw_doc(draw: &mut Draw) -> Doc {
    let mut doc = Doc { files: 1 + draw.below(3), ..Doc::default() };
    gateway(draw, &mut doc);
    let file = draw.below(doc.files);
    let pool = |name: &str, addrs| Section {
        path: vec!["pools".into(), name.into()],
        keys: vec![("addrs".into(), quoted(addrs))],
        file,
        inline: false,
    };
    doc.sections.push(pool("guests", draw.of(&["10.250.0.0/24", "10.250.0.10-10.250.0.99"])));
    doc.sections.push(pool("guests-6", "fd00:250::/64"));
    for n in 0..1 + draw.below(5) {
        connection(draw, &mut doc, n + 1);
    }
    draw.shuffle(&mut doc.sections);
    for section in &mut doc.sections {
        draw.shuffle(&mut section.keys);
    }
    doc
}

fn gateway(draw: &mut Draw, doc: &mut Doc) {
    let number = |draw: &mut Draw, numbers: &[&str]| raw(draw.of(numbers));
    let mut keys: Vec<(String, Val)> = Vec::new();
    let all = [
        ("listen", list(if draw.once_in(2) { vec!["0.0.0.0", "::"] } else { vec!["::", "0.0.0.0", "127.0.0.1"] })),
        ("ports", table([("ike", raw("500")), ("natt", number(draw, &["4500", "4_501", "65535"]))])),
        ("workers", number(draw, &["0", "1", "0x10", "16"])),
        ("pin_workers", raw("false")),
        ("sandbox", raw("false")),
        ("device", quoted(draw.of(&["sandhog0", "ipsec-1", "a", "tun.fifteen_chr"]))),
        ("route_table", number(draw, &["220", "1", "\"none\"", "4294967295", "252", "256"])),
        ("mark", number(draw, &["0xdc", "1", "0xffff_ffff"])),
        ("on_exit", quoted(draw.of(&["closed", "open"]))),
        ("control_socket", quoted("/run/x/control.sock")),
        ("observe_socket", quoted("/run/x/observe.sock")),
        ("state_dir", quoted("/var/lib/x")),
        ("hook", raw("{ command = ['/usr/local/sbin/notify', 'a word'], user = 'nobody', timeout = '5s' }")),
        ("metrics", quoted(draw.of(&["127.0.0.1:9464", "[::1]:9464"]))),
        (
            "log",
            table([
                ("level", quoted(draw.of(&["info", "debug", "off"]))),
                ("format", quoted(draw.of(&["json", "syslog"]))),
            ]),
        ),
        (
            "retransmit",
            table([("first", quoted("250ms")), ("factor", number(draw, &["1", "1.6", "2.5"])), ("max", raw("8"))]),
        ),
        ("limits", table([("half_open", raw("2048")), ("children", raw("64")), ("compute_queue", raw("1"))])),
    ];
    for (key, val) in all {
        if draw.once_in(2) {
            keys.push((key.into(), val));
        }
    }
    let inline = draw.once_in(3);
    doc.sections.push(Section { path: vec!["gateway".into()], keys, file: draw.below(doc.files), inline });
}

/// Names, with what must be quoted in TOML.
const NAMES: [&str; 6] = ["office", "hang-zhou", "a_b", "x.y", "007", "Z"];

fn connection(draw: &mut Draw, doc: &mut Doc, n: usize) {
    let name = format!("{}{n}", draw.of(&NAMES));
    let file = draw.below(doc.files);
    let mut keys: Vec<(String, Val)> = Vec::new();
    let mut set = |key: &str, val: Val| keys.push((key.into(), val));
    let v6 = draw.once_in(3);
    let (local, remote) = match v6 {
        true => (format!("2001:db8:{n}::1"), format!("2001:db8:{n}::2")),
        false => (format!("192.0.2.{n}"), format!("203.0.113.{n}")),
    };
    if draw.once_in(2) {
        set("local_addrs", list([&local]));
    }
    let named = format!("peer{n}.example.org");
    let (addrs, id) = match draw.below(5) {
        0 => (named.clone(), Some(named)),
        1 => ("%any".into(), Some(format!("user{n}@example.org"))),
        2 => (remote.clone(), Some(format!("keyid:gate{n}"))),
        _ => (remote.clone(), None),
    };
    set("remote_addrs", list([&addrs]));
    if let Some(id) = &id {
        let side = table([("auth", quoted("psk")), ("id", quoted(id))]);
        set("remote", side);
    }
    connection_options(draw, &mut set);
    if addrs != "%any" && draw.once_in(4) {
        set("vips", list([draw.of(&["0.0.0.0", "10.8.0.7"]), "::"]));
    }
    let inline = draw.once_in(5);
    doc.sections.push(Section { path: vec!["connections".into(), name.clone()], keys, file, inline });
    for child in 0..1 + draw.below(3) {
        let section = self::child(draw, &name, (n, child), addrs == "%any", file, inline);
        doc.sections.push(section);
    }
    if draw.once_in(3) {
        let path = vec!["connections".into(), name.clone(), "children".into(), SPECIAL.into()];
        let (key, value, local, remote) = match draw.below(2) {
            0 => ("mode", "transport", vec!["192.0.2.9[tcp]"], format!("203.0.113.{n}[tcp/443]")),
            _ => ("ts_mode", "per_pair", vec!["10.240.0.0/16", "10.241.0.0/16"], format!("10.{n}.99.0/24")),
        };
        let keys =
            vec![(key.into(), quoted(value)), ("local_ts".into(), list(local)), ("remote_ts".into(), list([remote]))];
        doc.sections.push(Section { path, keys, file, inline: inline || draw.once_in(3) });
    } else if draw.once_in(4) {
        let path = vec!["connections".into(), name.clone(), "children".into(), "except".into()];
        let keys = vec![
            ("mode".into(), quoted(draw.of(&["pass", "drop"]))),
            ("local_ts".into(), list([format!("10.{n}.0.0/16")])),
            // Inside what the first child protects, if that is IPv4.
            ("remote_ts".into(), list([format!("10.{n}.100.7/32")])),
        ];
        doc.sections.push(Section { path, keys, file, inline: inline || draw.once_in(3) });
    }
    secret(draw, doc, n, &id.unwrap_or(remote));
}

fn connection_options(draw: &mut Draw, set: &mut impl FnMut(&str, Val)) {
    let suites = ["aes256-sha256-modp2048", "aes256gcm16-prfsha384-ecp384", "aes128-sha1-modp1024", "default"];
    let all = [
        ("proposals", list([draw.of(&suites), "chacha20poly1305-prfsha256-x25519"])),
        (
            "local",
            table([("auth", quoted("psk")), ("id", quoted(draw.of(&["fqdn:us.example.org", "10.9.9.9", "a@b"])))]),
        ),
        ("rekey_time", quoted(draw.of(&["4h", "1d", "90m", "14400s"]))),
        ("reauth_time", raw(draw.of(&["0", "\"2d\""]))),
        ("rand_time", raw(draw.of(&["0", "\"5m\""]))),
        ("over_time", raw(draw.of(&["0", "60.5"]))),
        ("rekey", quoted(draw.of(&["both", "us", "peer"]))),
        ("dpd_delay", quoted("30s")),
        ("keepalive", raw("0")),
        ("encap", quoted(draw.of(&["auto", "always"]))),
        ("fragmentation", raw(draw.of(&["true", "false"]))),
        ("mobike", raw(draw.of(&["true", "false"]))),
        ("childless", quoted(draw.of(&["allow", "prefer", "force", "never"]))),
        ("rehearse", quoted(draw.of(&["auto", "never"]))),
        ("unique", quoted(draw.of(&["replace", "keep", "never"]))),
        ("pools", raw(draw.of(&["[ ]", "[\"guests\"]", "[\"guests-6\", \"guests\"]"]))),
        ("log", table([("level", quoted("trace"))])),
    ];
    for (key, val) in all {
        if draw.once_in(3) {
            set(key, val);
        }
    }
}

fn child(draw: &mut Draw, name: &str, (n, m): (usize, usize), any: bool, file: usize, inline: bool) -> Section {
    let path =
        vec!["connections".into(), name.into(), "children".into(), format!("{}{m}", draw.of(&["lan", "Db-", "9"]))];
    let (local, remote) = match draw.below(4) {
        0 => (vec![format!("fd00:{n}::/48")], vec![format!("fd01:{n}:{m}::/64")]),
        1 => (vec![format!("10.{n}.0.0/16[tcp/1024-65535]")], vec![format!("10.{n}.{}.1[tcp/443]", 100 + m)]),
        2 => (
            vec![format!("10.{n}.0.0/16"), format!("fd00:{n}::/48")],
            vec![format!("10.{n}.{}.0/24", 100 + m), format!("fd01:{n}:{m}::1-fd01:{n}:{m}::9")],
        ),
        _ => (vec![format!("10.{n}.0.0/16")], vec![format!("10.{n}.{}.0/24", 100 + m)]),
    };
    let mut keys = vec![("local_ts".into(), list(local)), ("remote_ts".into(), list(remote))];
    let esp = ["aes256-sha256-modp2048-esn-noesn", "aes128gcm16", "default", "aes256-sha512-ecp256"];
    let start: &[&str] = if any { &["trap", "none"] } else { &["start", "trap", "none"] };
    let dead: &[&str] = if any { &["trap", "clear"] } else { &["restart", "trap", "clear"] };
    let all = [
        ("ts_mode", quoted("together")),
        ("esp_proposals", list([draw.of(&esp)])),
        ("priority", raw(draw.of(&["0", "-5", "2147483647"]))),
        ("rekey_time", quoted("1h")),
        ("rekey_bytes", raw(draw.of(&["0", "\"64GiB\"", "\"500 MB\""]))),
        ("rekey_packets", raw("1_000_000")),
        ("start_action", quoted(draw.of(start))),
        ("dpd_action", quoted(draw.of(dead))),
        ("replay_window", raw(draw.of(&["64", "65536"]))),
        ("peer_window", raw("32")),
        ("per_resource_sas", raw(draw.of(&["0", "4", "16"]))),
        ("mtu", raw(draw.of(&["\"auto\"", "1400"]))),
        ("mss", raw(draw.of(&["\"auto\"", "\"off\"", "1360", "64"]))),
        ("outer_fragments", quoted(draw.of(&["auto", "always", "never"]))),
        ("copy_dscp", raw("false")),
    ];
    for (key, val) in all {
        if draw.once_in(4) {
            keys.push((key.to_string(), val));
        }
    }
    Section { path, keys, file, inline: inline || draw.once_in(3) }
}

fn secret(draw: &mut Draw, doc: &mut Doc, n: usize, id: &str) {
    let strong = "correct horse battery staple";
    let (key, val) = match draw.below(6) {
        0 => ("secret", "0x000102030405060708090a0b0c0d0e0f1011".into()),
        1 => ("secret", "0sAAECAwQFBgcICQoLDA0ODxAR".into()),
        2 => {
            doc.fake.files.insert(format!("/psk/{n}").into(), Ok(format!("{strong}\n").into()));
            ("secret_file", format!("/psk/{n}"))
        }
        3 => {
            doc.fake.env.insert(format!("PSK{n}"), strong.into());
            ("secret_env", format!("PSK{n}"))
        }
        _ => ("secret", strong.into()),
    };
    let ids =
        if draw.once_in(3) { vec![id.to_string(), format!("spare{n}.example.org")] } else { vec![id.to_string()] };
    let keys = vec![("id".into(), list(ids)), (key.into(), quoted(&val))];
    let file = draw.below(doc.files);
    doc.sections.push(Section {
        path: vec!["secrets".into(), format!("ike-{n}")],
        keys,
        file,
        inline: draw.once_in(2),
    });
}

/// Text of all files, and where the mark was: file and line.
pub(super) fn render(draw: &mut Draw, doc: &Doc) -> (Vec<Source>, Option<(usize, usize)>) {
    let mut place = None;
    let mut sources = Vec::new();
    for file in 0..doc.files {
        let mut text = file_text(draw, doc, file);
        text.push_str(doc.tails.get(&file).map_or("", String::as_str));
        if let Some(at) = text.find(MARK) {
            assert!(place.is_none(), "one mark only");
            place = Some((file, text[..at].matches('\n').count() + 1));
            text.remove(at);
        }
        assert!(!text.contains(MARK), "one mark only: {text}");
        let name =
            if file == 0 { "/etc/sandhog/sandhog.toml".into() } else { format!("/etc/sandhog/conf.d/{file}.toml") };
        sources.push(Source { name: name.into(), text });
    }
    (sources, place)
}

fn file_text(draw: &mut Draw, doc: &Doc, file: usize) -> String {
    let here: Vec<&Section> = doc.sections.iter().filter(|s| s.file == file).collect();
    let mut text = String::new();
    noise(draw, &mut text);
    // What has no header of its own comes first: dotted keys of the gateway, then [connections] and [secrets].
    for gateway in here.iter().filter(|s| s.path[0] == "gateway" && s.inline) {
        for (key, val) in &gateway.keys {
            text += &format!("{}.{} = {}\n", gateway.path[0], key, value(draw, val, true));
        }
    }
    for top in ["connections", "secrets"] {
        let inline: Vec<&&Section> =
            here.iter().filter(|s| s.path[0] == top && s.path.len() == 2 && s.inline).collect();
        if !inline.is_empty() {
            text += &format!("[{top}]\n");
        }
        for section in inline {
            let mut keys = section.keys.clone();
            keys.extend(children_of(&here, section));
            text += &format!("{} = {}\n", quote(draw, &section.path[1]), value(draw, &Val::Table(keys), false));
        }
    }
    for section in &here {
        if section.inline {
            continue;
        }
        noise(draw, &mut text);
        let path: Vec<String> = section.path.iter().map(|name| quote(draw, name)).collect();
        let indent = draw.of(&["", "", "  ", "\t"]);
        text += &format!("{indent}[{}]{}\n", path.join("."), draw.of(&["", "  # section", " "]));
        let children = children_of(&here, section);
        for (key, val) in section.keys.iter().chain(&children) {
            let key = if key.contains('.') { key.clone() } else { quote(draw, key) };
            let line = value(draw, val, true);
            text += &format!(
                "{indent}{key}{}={}{line}{}\n",
                draw.of(&["", " "]),
                draw.of(&["", " ", "   "]),
                draw.of(&["", " # why"])
            );
            if draw.once_in(8) {
                noise(draw, &mut text);
            }
        }
    }
    text
}

/// The inline children of a connection as dotted keys or one table, whichever its style allows.
fn children_of(here: &[&Section], parent: &Section) -> Vec<(String, Val)> {
    let plain = |name: &str| name.trim_start_matches(MARK).to_string();
    let own = |s: &&&Section| {
        let of_parent = s.path.len() == 4 && parent.path.len() == 2 && s.path[0] == parent.path[0];
        s.inline && of_parent && plain(&s.path[1]) == plain(&parent.path[1])
    };
    let children = here.iter().filter(own);
    children.map(|s| (format!("children.{}", s.path[3]), Val::Table(s.keys.clone()))).collect()
}

/// A key as TOML wants it, or quoted although that is not needed.
fn quote(draw: &mut Draw, key: &str) -> String {
    let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c) || c == MARK) && !key.is_empty();
    match (bare, draw.below(8)) {
        (true, 0) => format!("'{key}'"),
        (true, 1..) => key.into(),
        (false, _) => format!("\"{key}\""),
    }
}

fn value(draw: &mut Draw, val: &Val, lines: bool) -> String {
    match val {
        Val::Raw(text) => text.clone(),
        Val::List(items) if lines && draw.once_in(3) => {
            let items: Vec<String> = items.iter().map(|item| format!("    {item}, # one\n")).collect();
            format!("[\n{}]", items.concat())
        }
        Val::List(items) => format!("[{}]", items.join(", ")),
        Val::Table(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, val)| format!("{key} = {}", value(draw, val, false))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}

fn noise(draw: &mut Draw, text: &mut String) {
    text.push_str(draw.of(&[
        "",
        "\n",
        "# a comment with \"quotes\" = [ and ]\n",
        "\n\n   # indented\n",
        "# umlauts: äöü, 隧道\n",
    ]));
}
