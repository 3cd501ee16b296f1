//! Each profile by itself, each override, each contradiction at its place.
use super::{ALL, Given, Limit, May, Profile, find};
use crate::config::tests::{errors, parse};
use crate::config::{Config, Errors, keys};
use crate::wire::keyword;
use crate::wire::registry::ProtocolId;

/// Stands before what is wrong.
const MARK: char = '¤';

/// A connection with what no profile can know, and `connection` and `child` besides.
fn with(connection: &str, child: &str) -> String {
    let addrs = "local_addrs = [\"192.0.2.1\"]\nremote_addrs = [\"203.0.113.7\"]\n";
    let ts = "local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n";
    let (addrs, ts) = (keep(addrs, connection), keep(ts, child));
    let own = if connection.contains("local = ") { "" } else { "local = { id = \"192.0.2.1\" }\n" };
    format!(
        "[connections.c]\n{connection}{addrs}{own}[connections.c.children.lan]\n{child}{ts}\
         [secrets.s]\nid = [\"203.0.113.7\"]\nsecret = \"Long.and_plain_1234567890\"\n"
    )
}
/// Lines whose key is not given otherwise.
fn keep(lines: &str, given: &str) -> String {
    let key = |line: &str| line.split(" = ").next().unwrap_or_default().replace(MARK, "");
    let given: Vec<String> = given.lines().map(key).collect();
    lines.lines().filter(|line| !given.contains(&key(line))).map(|line| format!("{line}\n")).collect()
}
fn profile(of: &Profile) -> String {
    format!("profile = {:?}\n", of.name)
}

/// The same without a profile: all that it stands for, but `other`, written out.
fn written(of: &Profile, other: Option<(&str, &str)>) -> (String, String) {
    let (mut connection, mut child) = (String::new(), String::new());
    for setting in of.settings {
        let value = match other {
            Some((key, value)) if key == setting.key => value.to_owned(),
            _ => setting.value.to_string(),
        };
        match setting.key.strip_prefix("children.*.") {
            Some(key) => child += &format!("{key} = {value}\n"),
            None => connection += &format!("{} = {value}\n", setting.key),
        }
    }
    (connection, child)
}

#[track_caller]
fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[track_caller]
fn same(profiled: &str, plain: &str) {
    let (mut a, b) = (accepted(profiled), accepted(plain));
    assert!(a.connections[0].profile.take().is_some());
    assert_eq!(a.policy.connections, b.policy.connections, "{profiled}\n{plain}");
    assert_eq!(a.connections, b.connections, "{profiled}\n{plain}");
}

/// Takes the mark out, and tells the line and column where it stood.
fn marked(text: &str) -> (String, (usize, usize)) {
    let (n, line) = text.lines().enumerate().find(|(_, line)| line.contains(MARK)).expect("something is marked");
    let column = line.chars().position(|c| c == MARK).unwrap_or_default();
    (text.replace(MARK, ""), (n + 1, column + 1))
}

/// It is refused for this alone, there.
#[track_caller]
fn refused(text: &str, code: &str) -> Errors {
    let (text, place) = marked(text);
    let errors = parse(&text).expect_err(&text);
    let found: Vec<_> = errors.0.iter().map(|e| (e.code, (e.line, e.column))).collect();
    assert_eq!(found, [(code, place)], "{errors}\n{text}");
    assert!(!errors.0[0].hint.is_empty());
    errors
}

#[test]
fn all_have_what_a_reader_needs() {
    let names: Vec<_> = ALL.iter().map(|profile| profile.name).collect();
    let promised = "aliyun h3c h3c-er huawei tencent aws azure gcp cisco-ios-xe cisco-asa fortigate juniper-srx mikrotik pfsense strongswan sandhog";
    assert_eq!(names, promised.split(' ').collect::<Vec<_>>());
    for of in ALL {
        assert!(std::ptr::eq(*of, find(of.name).unwrap()));
        let mut seen = Vec::new();
        for setting in of.settings {
            let known = match setting.key.strip_prefix("children.*.") {
                Some(key) => keys::CHILD.knows(key),
                None => keys::CONNECTION.knows(setting.key),
            };
            assert!(known && !seen.contains(&setting.key), "{} {}", of.name, setting.key);
            assert!(setting.why.ends_with(['.', ')']) && !setting.source.is_empty(), "{} {}", of.name, setting.key);
            seen.push(setting.key);
        }
        let essential = [
            "proposals",
            "children.*.esp_proposals",
            "children.*.ts_mode",
            "rekey",
            "rekey_time",
            "children.*.rekey_time",
        ];
        assert!(essential.iter().all(|key| of.setting(key).is_some()), "{}", of.name);
        assert!(
            ["dpd_delay", "encap", "rehearse", "children.*.peer_window"].iter().all(|key| of.setting(key).is_some())
        );
        assert!(of.limits.iter().all(|limit| !limit.why.ends_with('.') && !limit.source.is_empty()), "{}", of.name);
        assert!(!of.traps.is_empty() && !of.theirs.is_empty() && !of.title.zh.is_empty(), "{}", of.name);
    }
    assert!(find("alyiun").is_none());
}

#[test]
fn each_alone_is_valid_and_expands_to_exactly_its_table() {
    for of in ALL {
        let (connection, child) = written(of, None);
        let text = with(&profile(of), "");
        same(&text, &with(&connection, &child));
        let config = accepted(&text);
        assert!(config.warnings.is_empty(), "{}: {:?}", of.name, config.warnings);
        assert_eq!(config.connections[0].profile.as_deref(), Some(of.name));
    }
}

/// A vendor's weak default is never taken without a word.
#[test]
fn no_suite_is_weak() {
    for of in ALL {
        for (key, protocol) in [("proposals", ProtocolId::IKE), ("children.*.esp_proposals", ProtocolId::ESP)] {
            let Given::Words(suites) = of.setting(key).unwrap().value else { panic!("{}", of.name) };
            assert!(suites.len() == 1 || of.name == "azure" && protocol == ProtocolId::ESP, "{}", of.name);
            for suite in suites {
                let words = keyword::proposal(&keyword::parse(protocol, suite).unwrap());
                assert!(words.contains("aes256"), "{} {words}", of.name);
                assert!(!words.split('-').any(|w| ["sha1", "prfsha1", "modp1024", "modp1536"].contains(&w)), "{words}");
            }
        }
    }
}

/// Values that differ from nearly all that profiles say.
fn others(key: &str) -> &'static [&'static str] {
    match key.trim_start_matches("children.*.") {
        "proposals" => &["[\"aes128-sha256-modp2048\"]"],
        "esp_proposals" => &["[\"aes128-sha256-modp2048\"]"],
        "ts_mode" => &["\"together\"", "\"per_pair\""],
        "rekey" => &["\"us\""],
        "rekey_time" => &["\"25m\""],
        "rekey_bytes" => &["\"1GB\""],
        "dpd_delay" | "keepalive" => &["\"17s\""],
        "encap" => &["\"always\"", "\"auto\""],
        "fragmentation" => &["false"],
        "mobike" => &["true"],
        "childless" => &["\"force\""],
        "rehearse" => &["\"never\"", "\"auto\""],
        "unique" => &["\"never\"", "\"keep\""],
        "start_action" | "dpd_action" => &["\"trap\""],
        "per_resource_sas" => &["2"],
        "peer_window" => &["128"],
        "mtu" => &["1300"],
        "mss" => &["1200"],
        other => panic!("no other value for {other}"),
    }
}

/// Two keys that never are overridden: the vendor has no other.
#[test]
fn each_override_wins_or_contradicts() {
    let mut won = 0;
    for of in ALL {
        for setting in of.settings {
            let value = others(setting.key).iter().find(|value| **value != setting.value.to_string()).unwrap();
            let (connection, child) = match setting.key.strip_prefix("children.*.") {
                Some(key) => (profile(of), format!("{key} = {MARK}{value}\n")),
                None => (profile(of) + &format!("{} = {MARK}{value}\n", setting.key), String::new()),
            };
            let text = with(&connection, &child);
            let forbidden = of.limits.iter().any(|limit| limit.key == setting.key && matches!(limit.may, May::Be(_)));
            if forbidden {
                refused(&text, "profile.contradiction");
                continue;
            }
            let (connection, child) = written(of, Some((setting.key, value)));
            same(&text.replace(MARK, ""), &with(&connection, &child));
            won += 1;
        }
    }
    assert!(won > 200, "{won}");
}

/// A connection's and a child's lines that break a limit; what is meant is marked.
fn broken(limit: &Limit) -> (String, String) {
    let key = limit.key.trim_start_matches("children.*.");
    let line = |value: &str| format!("{key} = {value}\n");
    let line = match limit.may {
        May::Be(values) => match (key, values[0]) {
            ("local.auth", _) => "local = { auth = ¤\"pubkey\" }\n".into(),
            ("remote.auth", _) => "remote = { auth = ¤\"pubkey\" }\n".into(),
            (_, Given::Number(_)) => line("¤3"),
            ("rekey", _) => line("¤\"us\""),
            ("rehearse", _) => line("¤\"auto\""),
            ("mode", _) => "mode = ¤\"transport\"\nlocal_ts = [\"192.0.2.1\"]\nremote_ts = [\"203.0.113.7\"]\n".into(),
            (key, value) => panic!("{key} {value}"),
        },
        May::Shape(values) => {
            let other = if values[0] == super::TOGETHER { "per_pair" } else { "together" };
            format!("ts_mode = ¤{other:?}\nlocal_ts = [\"10.1.0.0/16\", \"10.3.0.0/16\"]\n")
        }
        May::Last(most) => line(&format!("¤{most}")),
        May::Suites { words, .. } if words.contains(&"x25519") => line("[\"aes256-sha256-modp2048-¤ke1_mlkem768\"]"),
        May::Suites { .. } => line("[\"aes256-sha256-¤x25519\"]"),
        May::Count(_) if key == "children" => {
            return (
                String::new(),
                "[connections.c.children.¤two]\nlocal_ts = [\"10.4.0.0/16\"]\nremote_ts = [\"10.5.0.0/16\"]\n".into(),
            );
        }
        May::Count(_) => line("[\"10.1.0.0/16\", ¤\"10.6.0.0/16\"]"),
        May::Avoid(networks) if key == "interface.addresses" => {
            format!(
                "interface = {{ name = \"t0\", addresses = [¤\"{}\"] }}\n",
                networks[1].replace(".0/30", ".1/30").replace(".252/", ".253/")
            )
        }
        May::Avoid(_) => line("[¤\"100.72.0.0/16\"]"),
        May::Id { address: true, .. } if key == "local.id" => "local = { id = ¤\"gw.example\" }\n".into(),
        May::Id { address: true, .. } => "remote = { id = ¤\"gw.example\" }\n".into(),
        May::Id { most, .. } if key == "local.id" => format!("local = {{ id = ¤\"{}.example\" }}\n", "x".repeat(most)),
        May::Id { most, .. } => format!("remote = {{ id = ¤\"{}.example\" }}\n", "x".repeat(most)),
        May::Secret { .. } => String::new(),
    };
    if limit.key.starts_with("children.*.") { (String::new(), line) } else { (line, String::new()) }
}

#[test]
fn each_limit_is_held_where_it_is_broken() {
    let mut held = 0;
    for of in ALL {
        for limit in of.limits {
            let (connection, child) = broken(limit);
            let mut text = with(&(profile(of) + &connection), if limit.key == "children" { "" } else { &child });
            if limit.key == "children" {
                text += &child;
            }
            if limit.key == "secret" {
                text = text.replace("\"Long.and_plain_1234567890\"", &format!("¤\"{}\"", "x".repeat(129)));
            }
            let (text, place) = marked(&text);
            let errors = parse(&text).expect_err(&text);
            let found: Vec<_> = errors.0.iter().filter(|e| e.code == "profile.contradiction").collect();
            let places: Vec<_> = found.iter().map(|e| (e.line, e.column)).collect();
            assert_eq!(places, [place], "{} {}: {errors}\n{text}", of.name, limit.key);
            assert!(found[0].message.contains(limit.why) && found[0].message.contains(of.name), "{errors}");
            held += 1;
        }
    }
    assert!(held > 60, "{held}");
}

#[test]
fn several_suites_are_one_too_many_where_the_weakest_wins() {
    let of = |connection: &str, child: &str| with(connection, child);
    refused(
        &of("profile = \"aws\"\nproposals = [\"aes256gcm16-prfsha384-ecp384\", ¤\"aes128-sha1-modp1024\"]\n", ""),
        "profile.contradiction",
    );
    refused(
        &of("profile = \"aws\"\nproposals = [¤\"aes256gcm16-aes128gcm16-prfsha384-ecp384\"]\n", ""),
        "profile.contradiction",
    );
    for name in ["aws", "gcp"] {
        let without = of(&format!("profile = {name:?}\n"), "esp_proposals = [¤\"aes256gcm16\"]\n");
        refused(&without, "profile.contradiction");
    }
    refused(&of("profile = \"h3c\"\nproposals = [\"¤aes256gcm16-prfsha256-modp2048\"]\n", ""), "profile.contradiction");
    refused(&of("profile = \"aliyun\"\n", "esp_proposals = [¤\"default\"]\n"), "profile.contradiction");
    refused(
        &of("profile = \"aliyun\"\nproposals = [\"¤aes256gcm16-prfsha384-modp2048\"]\n", ""),
        "profile.contradiction",
    );
    refused(&of("profile = \"aliyun\"\nproposals = [\"aes256-sha256-¤ecp384\"]\n", ""), "profile.contradiction");
    // What a vendor can do is allowed, weak or not: it is warned of as ever.
    let weak = accepted(&of("profile = \"aliyun\"\nproposals = [\"aes128-sha1-modp1024\"]\n", ""));
    assert_eq!(weak.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["proposal.weak"]);
}

#[test]
fn a_secret_that_the_vendor_cannot_take_is_never_shown() {
    let bad = [
        ("aws", "short.7"),
        ("aws", "0begins_with_a_nought"),
        ("aws", "has-a-hyphen-in-it-somewhere"),
        ("aliyun", "two words and more of them"),
        ("aliyun", &*"x".repeat(101)),
        ("gcp", "two words and more of them"),
        ("tencent", "a'back\\\\slash_and_more"),
        ("huawei", "who_asks_for_help?"),
    ];
    for (name, secret) in bad {
        let text = with(&format!("profile = {name:?}\n"), "")
            .replace("\"Long.and_plain_1234567890\"", &format!("¤\"{secret}\""));
        let (text, place) = marked(&text);
        let errors = parse(&text).unwrap_err();
        let found: Vec<_> = errors.0.iter().map(|e| (e.code, (e.line, e.column))).collect();
        assert_eq!(found, [("profile.contradiction", place)], "{errors}");
        assert!(!format!("{errors}{errors:?}").contains(secret), "{secret}");
    }
    accepted(&with("profile = \"aws\"\n", "").replace("Long.and_plain_1234567890", &"x".repeat(64)));
    accepted(&with("profile = \"h3c\"\n", "").replace("Long.and_plain_1234567890", "two words and more of them"));
}

#[test]
fn behind_a_nat_we_have_to_say_who_we_are() {
    let text = |profile: &str, local: &str, remote: &str, more: &str| {
        let local = if local.is_empty() { String::new() } else { format!("local_addrs = [¤\"{local}\"]\n") };
        let connection = format!("profile = {profile:?}\nremote_addrs = [\"{remote}\"]\n{local}{more}");
        let text = with(&connection, "").replace("203.0.113.7\"]\nsecret", &format!("{remote}\"]\nsecret"));
        let text = text.replace("local = { id = \"192.0.2.1\" }\n", "");
        if local.is_empty() { text.replace("local_addrs = [\"192.0.2.1\"]\n", "") } else { text }
    };
    refused(&text("aliyun", "10.0.0.4", "203.0.113.7", ""), "id.needed");
    refused(&text("aws", "100.64.0.4", "203.0.113.7", ""), "id.needed");
    let fine = |text: &str| accepted(&text.replace(MARK, "")).warnings.iter().map(|w| w.code).collect::<Vec<_>>();
    assert!(fine(&text("aliyun", "192.0.2.1", "203.0.113.7", "")).is_empty());
    // Both ends are in one private network.
    assert!(fine(&text("aliyun", "10.0.0.4", "10.0.0.5", "")).is_empty());
    assert!(fine(&text("strongswan", "10.0.0.4", "203.0.113.7", "")).is_empty());
    assert!(fine(&text("strongswan", "", "203.0.113.7", "")).is_empty());
    // Nobody knows what the route will say.
    assert_eq!(fine(&text("aliyun", "", "203.0.113.7", "")), ["id.default"]);
    assert!(fine(&with("profile = \"aliyun\"\nlocal_addrs = [\"10.0.0.4\"]\n", "")).is_empty());
}

#[test]
fn what_is_not_negotiated_or_not_called_takes_nothing_that_it_cannot_have() {
    let text = with("profile = \"h3c\"\n", "")
        + "[connections.c.children.printers]\nmode = \"pass\"\nlocal_ts = [\"10.1.0.9\"]\nremote_ts = [\"10.2.0.9\"]\n";
    assert_eq!(accepted(&text).connections[0].children.len(), 2);
    let text = with("profile = \"h3c\"\nremote_addrs = [\"%any\"]\nremote = { id = \"203.0.113.7\" }\n", "");
    let config = accepted(&text);
    assert_eq!(config.policy.connections[0].children[0].start, crate::ike::policy::StartAction::None);
    assert_eq!(config.policy.connections[0].children[0].rekey_time.as_secs(), 2400);
}

/// What looks at all of it sees what profiles stand for.
#[test]
fn limits_and_overlaps_see_what_was_expanded() {
    let several = "local_ts = [\"10.1.0.0/16\", \"10.3.0.0/16\"]\n";
    let text = with("profile = \"h3c\"\n", several);
    let config = accepted(&text);
    assert_eq!(config.connections[0].children.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["lan-1", "lan-2"]);
    assert_eq!(
        errors(&("[gateway]\nlimits = { children = 1 }\n".to_owned() + &text))[0].split('@').next(),
        Some("limit.exceeded")
    );
    let twin = "[connections.c.children.lan-2]\nlocal_ts = [\"10.4.0.0/16\"]\nremote_ts = [\"10.5.0.0/16\"]\n";
    assert_eq!(errors(&(text + twin))[0].split('@').next(), Some("name.twice"));
}

#[test]
fn an_unknown_profile_is_named_once_and_expands_to_nothing() {
    let errors = refused(&with("profile = ¤\"alyiun\"\n", ""), "value.choice");
    assert!(errors.0[0].hint.contains("did you mean \"aliyun\"?"), "{errors}");
}

/// A fault of a value that nobody wrote says where it is from.
#[test]
fn what_comes_from_a_profile_says_so() {
    use crate::config::Source;
    use crate::config::report::Report;
    use crate::config::text::At;
    let sources = [Source { name: "a.toml".into(), text: "profile = \"aliyun\"\n".into() }];
    let mut report = Report::new(&sources);
    let at = At { file: 0, start: 10, end: 18 };
    report.preset(at, "aliyun");
    report.error(at, "value.range", "7 is out of range", "less");
    report.error(At { start: 0, end: 7, ..at }, "value.range", "another", "less");
    let messages: Vec<_> = report.finish().0.into_iter().map(|e| e.message).collect();
    assert_eq!(messages, ["another", "7 is out of range (from profile aliyun)"]);
}

/// What people copy works.
#[test]
fn the_examples_of_the_readme_are_valid() {
    let readme = include_str!("../../../README.md");
    let examples: Vec<_> = readme.split("```toml\n").filter_map(|part| part.split("```").next()).collect();
    let examples: Vec<_> = examples.into_iter().filter(|example| example.contains("profile      =")).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let warnings: Vec<_> = accepted(example).warnings.into_iter().map(|w| w.code).collect();
        assert_eq!(warnings, [""; 0], "{example}");
    }
    let names: Vec<_> = ALL.iter().map(|profile| profile.name).collect();
    assert!(readme.contains(&format!("`{}`", names.join(" "))));
}

/// The daemon shows `***` where a secret is: nobody can say what is wrong with it, nor that anything is.
#[test]
fn a_secret_that_is_withheld_contradicts_nothing() {
    use crate::config::document::Desired;
    use crate::config::{Source, Withheld};
    for of in ALL {
        let text = with(&profile(of), "").replace("Long.and_plain_1234567890", "***");
        let source = Source { name: "a.toml".into(), text };
        let shown = Desired::from_sources(&[source]).unwrap().to_json();
        let sources = Desired::from_json(shown.as_bytes()).unwrap().to_sources();
        crate::config::parse(&sources, &Withheld).unwrap_or_else(|errors| panic!("{}: {errors}", of.name));
    }
}

/// What stands where a secret belongs would be one that everybody knows.
#[test]
fn a_placeholder_is_no_secret() {
    use crate::config::facing::{PLACEHOLDER, PPK_PLACEHOLDER};
    for text in [PLACEHOLDER, PPK_PLACEHOLDER] {
        let text = with("", "").replace("\"Long.and_plain_1234567890\"", &format!("¤{text:?}"));
        refused(&text, "secret.placeholder");
    }
}
