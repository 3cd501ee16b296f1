//! The plan: which objects differ, in which keys, and what that does.
use super::Fake;
use crate::config::document::Desired;
use crate::config::keys;
use crate::config::plan::{Action, ChildUp, IkeUp, Impact, Plan, Side, Step, plan, table};
use crate::config::profiles;
use crate::config::{Config, Source};
use std::collections::BTreeSet;

/// A configuration with two connections, `a` and `b`, in which words are replaced.
fn text(changes: &[(&str, &str)]) -> String {
    let one = |name: &str, net: u8| {
        format!(
            "[connections.{name}]\nlocal_addrs = [\"192.0.2.1\"]\nremote_addrs = [\"203.0.113.{net}\"]\n\
             remote = {{ id = \"{name}.example\" }}\nproposals = [\"aes256-sha256-modp2048\", \"aes128-sha256-modp2048\"]\n\
             dpd_delay = \"30s\"\n# more {name}\n\
             [connections.{name}.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.{net}.0.0/16\"]\n\
             esp_proposals = [\"aes256-sha256\", \"aes128-sha256-modp2048\"]\n# child {name}\n"
        )
    };
    let mut text = format!(
        "[gateway]\nmark = 220\n{}{}[secrets.s]\nid = [\"%any\"]\nsecret = \"a long secret that nobody guesses\"\n\
         [pools.p]\naddrs = \"10.9.0.0/24\"\n",
        one("a", 2),
        one("b", 3)
    );
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text
}

fn read(text: &str) -> (Desired, Config) {
    let desired = Desired::from_sources(&[Source { name: "a.toml".into(), text: text.into() }]).unwrap();
    let config = desired.check(&Fake::default()).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    (desired, config)
}

fn up(proposal: &str, esp: &str) -> Vec<IkeUp> {
    let child = ChildUp { name: "lan".into(), proposal: esp.into() };
    vec![IkeUp {
        local: [192, 0, 2, 1].into(),
        remote: [203, 0, 113, 2].into(),
        local_id: "192.0.2.1".into(),
        remote_id: "a.example".into(),
        proposal: proposal.into(),
        udp: false,
        ppk: false,
        vips: vec![],
        children: vec![child],
    }]
}

fn between(old: &str, new: &str, standing: Option<Vec<IkeUp>>) -> Plan {
    let (old, new) = (read(old), read(new));
    let side = |(document, config)| Side { document, config };
    plan(side((&old.0, &old.1)), side((&new.0, &new.1)), &|_| standing.clone())
}

/// `object: fields -> impact` of each step, with what is up.
fn steps(changes: &[(&str, &str)]) -> Vec<String> {
    between(&text(&[]), &text(changes), Some(up("aes256-sha256-prfsha256-modp2048", "aes256-sha256")))
        .changes
        .iter()
        .map(shown)
        .collect()
}

fn shown(step: &Step) -> String {
    let impact = serde_json::to_value(step.impact).unwrap();
    let restart = if step.restart_needed { " restart" } else { "" };
    match step.action {
        Action::Change => {
            format!("{}: {} -> {}{restart}", step.object, step.fields.join(" "), impact.as_str().unwrap())
        }
        Action::Add => format!("+{} -> {}", step.object, impact.as_str().unwrap()),
        Action::Remove => format!("-{} -> {}", step.object, impact.as_str().unwrap()),
    }
}

#[test]
fn what_is_the_same_is_no_step() {
    assert_eq!(between(&text(&[]), &text(&[]), None), Plan::default());
    assert!(steps(&[("# more a", "# less a")]).is_empty());
}

#[test]
fn each_kind_of_change_has_its_impact() {
    for (from, to, expected) in [
        ("mark = 220", "mark = 221", vec!["gateway: mark -> interrupts_traffic restart"]),
        ("mark = 220", "mark = 0xdc", vec![]),
        ("mark = 220", "on_exit = \"open\"", vec!["gateway: mark on_exit -> live"]),
        ("mark = 220", "mark = 220\nlog = { level = \"debug\" }", vec!["gateway: log.level -> live"]),
        ("\"30s\"", "\"30000ms\"", vec!["connections.a: dpd_delay -> none"]),
        ("\"30s\"", "\"31s\"", vec!["connections.a: dpd_delay -> live"]),
        ("# more a", "unique = \"replace\"", vec!["connections.a: unique -> none"]),
        ("# more a", "encap = \"always\"", vec!["connections.a: encap -> restart_ike"]),
        ("\"aes256-sha256-modp2048\", ", "", vec!["connections.a: proposals -> restart_ike"]),
        (", \"aes128-sha256-modp2048\"", "", vec!["connections.a: proposals -> live"]),
        ("\"203.0.113.2\"", "\"203.0.113.2\", \"203.0.113.9\"", vec!["connections.a: remote_addrs -> live"]),
        ("\"203.0.113.2\"", "\"203.0.113.9\"", vec!["connections.a: remote_addrs -> restart_ike"]),
        ("local_addrs = [\"192.0.2.1\"]\n", "", vec!["connections.a: local_addrs -> restart_ike"]),
        ("\"192.0.2.1\"]\nremote", "\"192.0.2.1\", \"192.0.2.7\"]\nremote", vec!["connections.a: local_addrs -> live"]),
        (
            "\"192.0.2.1\"]\nremote",
            "\"192.0.2.7\", \"192.0.2.1\"]\nremote",
            vec!["connections.a: local_addrs -> restart_ike"],
        ),
        ("\"a.example\"", "\"c.example\"", vec!["connections.a: remote.id -> restart_ike"]),
        ("# more a", "local = { id = \"192.0.2.1\" }", vec!["connections.a: local.id -> live"]),
        ("# more a", "local = { id = \"us\" }", vec!["connections.a: local.id -> restart_ike"]),
        ("# more a", "pools = [\"p\"]", vec!["connections.a: pools -> live"]),
        ("# more a", "vips = [\"0.0.0.0\"]", vec!["connections.a: vips -> restart_ike"]),
        ("# more a", "mobike = true", vec!["connections.a: mobike -> live"]),
        ("# more a", "fragmentation = false", vec!["connections.a: fragmentation -> live"]),
        (
            "[\"203.0.113.2\"]",
            "[\"%any\"]",
            vec![
                "connections.a: remote_addrs -> interrupts_traffic",
                "connections.a.children.lan: dpd_action start_action -> restart_ike",
            ],
        ),
        ("# more a", "interface = { name = \"t0\" }", vec!["connections.a: interface.name -> interrupts_traffic"]),
        ("# child a", "mtu = 1400", vec!["connections.a.children.lan: mtu -> live"]),
        ("# child a", "mtu = \"auto\"", vec!["connections.a.children.lan: mtu -> none"]),
        ("# child a", "per_resource_sas = 2", vec!["connections.a.children.lan: per_resource_sas -> restart_child"]),
        (
            "\"aes256-sha256\", ",
            "\"aes256-sha256\", \"aes192-sha256\", ",
            vec!["connections.a.children.lan: esp_proposals -> live"],
        ),
        ("# child a", "replay_window = 64", vec!["connections.a.children.lan: replay_window -> rekey_child"]),
        ("\"aes256-sha256\", ", "", vec!["connections.a.children.lan: esp_proposals -> rekey_child"]),
        (", \"aes128-sha256-modp2048\"]\n# child a", "]", vec!["connections.a.children.lan: esp_proposals -> live"]),
        ("\"10.2.0.0/16\"", "\"10.2.0.0/17\"", vec!["connections.a.children.lan: remote_ts -> restart_child"]),
        (
            "esp_proposals = [\"aes256-sha256\", \"aes128-sha256-modp2048\"]\n# child a",
            "mode = \"drop\"",
            vec![
                "connections.a: children -> interrupts_traffic",
                "connections.a.children.lan: esp_proposals mode -> interrupts_traffic",
            ],
        ),
        ("\"10.2.0.0/16\"", "\"10.2.0.0-10.2.255.255\"", vec!["connections.a.children.lan: remote_ts -> none"]),
        ("nobody guesses", "somebody guesses", vec!["secrets.s: secret -> live"]),
        ("10.9.0.0/24", "10.9.1.0/24", vec!["pools.p: addrs -> live"]),
        ("[pools.p]\naddrs = \"10.9.0.0/24\"\n", "", vec!["-pools.p -> live"]),
    ] {
        assert_eq!(steps(&[(from, to)]), expected, "{from} -> {to}");
    }
}

#[test]
fn objects_come_and_go_without_touching_others() {
    let (whole, without) = (text(&[]), text(&[("[connections.a.children.lan]", "[connections.a.children.lan2]")]));
    let found: Vec<String> = between(&whole, &without, None).changes.iter().map(shown).collect();
    assert_eq!(found, ["-connections.a.children.lan -> interrupts_traffic", "+connections.a.children.lan2 -> none"]);
    let start = whole.find("[connections.b]").unwrap();
    let end = whole.find("[secrets.s]").unwrap();
    let fewer = whole[..start].to_owned() + &whole[end..];
    assert_eq!(
        between(&whole, &fewer, None).changes.iter().map(shown).collect::<Vec<_>>(),
        ["-connections.b -> interrupts_traffic"]
    );
    assert_eq!(
        between(&whole, &fewer, Some(vec![])).changes.iter().map(shown).collect::<Vec<_>>(),
        ["-connections.b -> live"]
    );
    let plan = between(&fewer, &whole, None);
    assert_eq!(plan.changes.iter().map(shown).collect::<Vec<_>>(), ["+connections.b -> none"]);
    assert_eq!((plan.changes[0].connection.as_deref(), plan.impact()), (Some("b"), Impact::None));
    let turned = whole[..whole.find("[connections.a]").unwrap()].to_owned()
        + &whole[start..end]
        + &whole[whole.find("[connections.a]").unwrap()..start]
        + &whole[end..];
    assert_eq!(
        between(&whole, &turned, None).changes.iter().map(shown).collect::<Vec<_>>(),
        ["connections: order -> live"]
    );
}

/// What an IKE SA has agreed on it may go on with, if it is not forbidden.
#[test]
fn what_is_not_demanded_any_more_is_no_reason_to_begin_anew() {
    let secret = "[secrets.q]\nid = [\"q.example\"]\nsecret = \"another long secret that nobody guesses\"\n[pools.p]";
    for (key, expected) in [
        ("encap = \"always\"", [Impact::RestartIke, Impact::Live]),
        ("ppk = { id = \"q.example\", required = true }", [Impact::RestartIke, Impact::Live]),
        ("ppk = { id = \"q.example\" }", [Impact::Live, Impact::Live]),
        ("fragmentation = false", [Impact::Live, Impact::Live]),
        ("mobike = true", [Impact::Live, Impact::Live]),
    ] {
        let (without, with) = (text(&[("[pools.p]", secret)]), text(&[("[pools.p]", secret), ("# more a", key)]));
        let found = [(&without, &with), (&with, &without)].map(|(from, to)| {
            between(from, to, Some(up("aes256-sha256-prfsha256-modp2048", "aes256-sha256"))).impact()
        });
        assert_eq!(found, expected, "{key}");
    }
}

/// A device without an IPv4 address has no IPv4 routes any more.
#[test]
fn routes_of_a_device_go_with_its_last_address() {
    let with = |list: &str| text(&[("# more a", &format!("interface = {{ name = \"t0\", addresses = [{list}] }}"))]);
    for (from, to, expected) in [
        ("\"10.7.0.1/30\"", "\"10.7.0.1/30\", \"10.7.0.5/30\"", Impact::Live),
        ("\"10.7.0.1/30\"", "\"10.7.0.5/30\"", Impact::Live),
        ("\"10.7.0.1/30\"", "\"10.7.0.2/30\"", Impact::InterruptsTraffic),
        ("\"10.7.0.1/30\"", "\"fd00::1/64\"", Impact::InterruptsTraffic),
        ("\"10.7.0.1/30\"", "", Impact::InterruptsTraffic),
        ("", "\"10.7.0.1/30\"", Impact::Live),
        ("\"fd00::1/64\"", "", Impact::Live),
    ] {
        assert_eq!(between(&with(from), &with(to), None).impact(), expected, "{from} -> {to}");
    }
}

#[test]
fn nothing_known_is_the_bound_and_nothing_up_has_nothing_to_lose() {
    let change = text(&[("\"aes256-sha256-modp2048\", ", "")]);
    let impact = |standing| between(&text(&[]), &change, standing).impact();
    assert_eq!(impact(None), Impact::RestartIke);
    assert_eq!(impact(Some(vec![])), Impact::Live);
    assert_eq!(impact(Some(up("aes128-sha256-prfsha256-modp2048", "aes256-sha256"))), Impact::Live);
    let narrower = text(&[("\"10.2.0.0/16\"", "\"10.2.0.0/17\""), ("\"a.example\"", "\"c.example\"")]);
    let both = between(&text(&[]), &narrower, Some(up("aes256-sha256-prfsha256-modp2048", "aes256-sha256")));
    assert!(both.changes.iter().all(|step| step.impact == Impact::RestartIke), "{both:?}");
    let only_child = text(&[("\"10.2.0.0/16\"", "\"10.2.0.0/17\"")]);
    assert_eq!(between(&text(&[]), &only_child, Some(vec![])).impact(), Impact::Live);
}

#[test]
fn a_child_per_pair_is_told_by_what_becomes_of_each() {
    let pairs = |list: &str| {
        text(&[("remote_ts = [\"10.2.0.0/16\"]", &format!("ts_mode = \"per_pair\"\nremote_ts = [{list}]"))])
    };
    let (two, three, other) = (
        pairs("\"10.2.0.0/16\", \"10.4.0.0/16\""),
        pairs("\"10.2.0.0/16\", \"10.4.0.0/16\", \"10.5.0.0/16\""),
        pairs("\"10.2.0.0/16\", \"10.5.0.0/16\""),
    );
    let more = between(&two, &three, None);
    assert_eq!(more.changes.iter().map(shown).collect::<Vec<_>>(), ["connections.a.children.lan: remote_ts -> live"]);
    let another = between(&two, &other, None);
    assert_eq!(another.changes[0].impact, Impact::RestartChild);
    assert_eq!(another.changes[0].children, ["lan-2".into()]);
    let joined = between(&two, &text(&[]), None);
    assert_eq!((joined.changes[0].impact, joined.changes[0].children.len()), (Impact::RestartChild, 2));
}

#[test]
fn each_key_has_a_row() {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let mut rows: BTreeSet<String> = BTreeSet::new();
    let mut add = |place: &str, of: &keys::Keys| keys.extend(of.others(&[]).map(|key| format!("{place}.{key}")));
    add("gateway", &keys::GATEWAY);
    add("connection", &keys::CONNECTION);
    add("child", &keys::CHILD);
    add("secret", &keys::SECRET);
    add("pool", &keys::POOL);
    let tables = [
        ("gateway.ports", &keys::PORTS),
        ("gateway.hook", &keys::HOOK),
        ("gateway.log", &keys::LOG),
        ("gateway.retransmit", &keys::RETRANSMIT),
        ("gateway.limits", &keys::LIMITS),
        ("connection.local", &keys::LOCAL),
        ("connection.remote", &keys::REMOTE),
        ("connection.ppk", &keys::PPK),
        ("connection.interface", &keys::INTERFACE),
        ("connection.keylog", &keys::KEYLOG),
        ("connection.log", &keys::CONNECTION_LOG),
        ("child.translate", &keys::TRANSLATE),
        ("child.monitor", &keys::MONITOR),
    ];
    assert_eq!(tables.len() + 6, keys::count(), "a table of keys is new: it needs rows");
    for (place, of) in tables {
        keys.remove(place);
        keys.extend(of.others(&[]).map(|key| format!("{place}.{key}")));
    }
    rows.extend(table::GATEWAY.iter().map(|row| format!("gateway.{}", row.key)));
    rows.extend(table::CONNECTION.iter().map(|row| format!("connection.{}", row.key)));
    rows.extend(table::CHILD.iter().map(|row| format!("child.{}", row.key)));
    rows.extend(table::SECRET.iter().map(|(key, ..)| format!("secret.{key}")));
    rows.extend(table::POOL.iter().map(|(key, ..)| format!("pool.{key}")));
    assert_eq!(keys, rows);
    // Each of them is edited in the lab, or it says why not.
    let edits = include_str!("../../../conformance/lab/edits.py");
    for key in &rows {
        let times = edits.matches(&format!("\n    \"{key}\": ")).count();
        assert_eq!(times, 1, "{key} is neither edited nor excused in conformance/lab/edits.py, or both");
    }
}

#[test]
fn one_of_thousands_is_one_step() {
    let one = |n: usize| {
        format!(
            "[connections.c{n}]\nremote_addrs = [\"203.0.{}.{}\"]\nremote = {{ id = \"c{n}\" }}\n\
             [connections.c{n}.children.lan]\nlocal_ts = [\"10.0.0.0/16\"]\nremote_ts = [\"11.{}.{}.0/24\"]\nmtu = 1400\n",
            n / 250,
            n % 250,
            n / 250,
            n % 250
        )
    };
    let secret = "[secrets.s]\nid = [\"%any\"]\nsecret = \"a long secret that nobody guesses\"\n";
    let whole: String = (0..2000).map(one).collect::<String>() + secret;
    let other = whole.replacen("mtu = 1400", "mtu = 1300", 1000).replacen("mtu = 1300", "mtu = 1400", 999);
    let plan = between(&whole, &other, None);
    assert_eq!(plan.changes.iter().map(shown).collect::<Vec<_>>(), ["connections.c999.children.lan: mtu -> live"]);
}

/// A profile is what it stands for, key by key: what was written out before is nothing new, and another one changes what differs between them.
#[test]
fn a_profile_is_judged_by_what_it_stands_for() {
    let text = |profile: &str, more: &str, child: &str| {
        format!(
            "[connections.a]\n{profile}local_addrs = [\"192.0.2.1\"]\nremote_addrs = [\"203.0.113.2\"]\n{more}\
             [connections.a.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n{child}\
             [secrets.s]\nid = [\"203.0.113.2\"]\nsecret = \"a.long.secret.that.nobody.guesses\"\n"
        )
    };
    let told = |old: &str, new: &str| -> Vec<String> {
        let plan = between(old, new, None);
        plan.changes.iter().map(|s| format!("{}: {} -> {:?}", s.object, s.fields.join(" "), s.impact)).collect()
    };
    let aliyun = text("profile = \"aliyun\"\n", "", "");
    assert_eq!(told(&aliyun, &aliyun), [""; 0]);
    // From one vendor to another: the keys that differ, and nothing that both say.
    let tencent = text("profile = \"tencent\"\n", "", "");
    assert_eq!(
        told(&aliyun, &tencent),
        ["connections.a: profile -> None", "connections.a.children.lan: mtu peer_window rekey_bytes -> Live"]
    );
    let aws = text("profile = \"aws\"\n", "", "");
    let steps = told(&aliyun, &aws);
    assert_eq!(steps[0], "connections.a: childless dpd_delay profile proposals rehearse rekey_time -> RestartIke");
    assert!(steps[1].starts_with("connections.a.children.lan: ") && steps[1].contains("esp_proposals"), "{steps:?}");
    // What is written out and means the same is no more than another spelling.
    let profile = profiles::find("tencent").unwrap();
    let (mut connection, mut child) = (String::new(), String::new());
    for setting in profile.settings {
        match setting.key.strip_prefix("children.*.") {
            Some(key) => child += &format!("{key} = {}\n", setting.value),
            None => connection += &format!("{} = {}\n", setting.key, setting.value),
        }
    }
    let written = between(&tencent, &text("", &connection, &child), None);
    assert_eq!(written.impact(), Impact::None, "{written:?}");
    // What is shown and kept is the name alone.
    let shown = read(&tencent).0.to_json();
    assert!(shown.contains("\"profile\":\"tencent\"") && !shown.contains("esp_proposals"), "{shown}");
}
