use super::*;
use crate::config::Config;
use crate::crypto::secret::Secret;
use crate::ike::diagnose::Phase;
use crate::ike::policy::IdMatch;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

fn failure(code: &'static str) -> Failure {
    let mut failure = Failure::new(Duration::ZERO, Phase::IkeAuth, true, code);
    failure.connection = Some("office".into());
    failure.child = Some("lan".into());
    failure.remote = Some(([192, 0, 2, 7], 500).into());
    failure
}
fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
/// Side, path and value of each fix.
fn data(failure: &Failure) -> Vec<(Side, String, Value)> {
    let fixes = explain(failure, Known::default()).fix.into_iter();
    fixes.filter_map(|fix| Some((fix.side, fix.path?, fix.set?))).collect()
}

/// Literals of sources that look like codes of failures.
fn literals(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What is wrong with a configuration has codes of its own.
            if !path.ends_with("tests") {
                literals(&path, found);
            }
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let quoted = code.split('"').skip(1).step_by(2).filter(|word| is_code(word));
        found.extend(quoted.map(str::to_owned));
    }
}
fn is_code(word: &str) -> bool {
    const FAMILIES: &[&str] = &[
        "peer",
        "proposal",
        "pfs",
        "auth",
        "ts",
        "child",
        "net",
        "dpd",
        "mobike",
        "limit",
        "childless",
        "version",
        "answer",
        "message",
        "lifetime",
        "replay",
        "mtu",
        "esp",
        "traffic",
        "address",
    ];
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
    let mut parts = word.split('.');
    FAMILIES.contains(&parts.next().unwrap_or_default()) && word.contains('.') && parts.all(plain)
}
/// Names of events and of settings, and warnings, which are no failures.
const NO_FAILURES: &[&str] = &["child.up", "child.down", "auth.cert.expires"];

#[test]
fn every_code_that_the_sources_tell_has_words_in_two_languages_a_fix_and_names() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for folder in ["ike", "daemon", "crypto/cert"] {
        literals(&sources.join(folder), &mut found);
    }
    assert!(
        found.len() > 40 && found.contains("auth.cert.unknown_ca") && found.contains("dpd.no_response"),
        "{found:?}"
    );
    let known: BTreeSet<String> = CODES.iter().map(|code| (*code).to_owned()).collect();
    let other: BTreeSet<String> = NO_FAILURES.iter().map(|code| (*code).to_owned()).collect();
    let missing: Vec<_> = found.difference(&known).filter(|code| !other.contains(*code)).collect();
    assert!(missing.is_empty(), "not in ike::diagnose::CODES: {missing:?}");
    let listed: BTreeSet<_> = table::all().map(|entry| entry.code).collect();
    let wordless: Vec<_> = CODES.iter().filter(|code| !listed.contains(**code)).collect();
    assert!(wordless.is_empty(), "without words in config/remedy: {wordless:?}");
    assert_eq!(listed.len(), CODES.len(), "words without a code in CODES, or twice");
}

#[test]
fn the_words_are_whole() {
    let (mut en, mut zh) = (BTreeSet::new(), BTreeSet::new());
    let chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    for code in CODES {
        let Remedy { explain, fix, names } = super::explain(&failure(code), Known::default());
        assert!(en.insert(explain.en.clone()) && zh.insert(explain.zh.clone()), "{code} shares its words with another");
        assert!(!fix.is_empty() && !names.aliyun.is_empty() && !names.tencent.is_empty(), "{code}");
        for text in std::iter::once(&explain).chain(fix.iter().map(|fix| &fix.text)) {
            assert!(text.en.ends_with('.') && text.zh.ends_with('。') && chinese(&text.zh), "{code}: {text:?}");
            assert!(!text.en.contains('{') && !text.zh.contains('{') && !chinese(&text.en), "{code}: {text:?}");
        }
        for fix in &fix {
            assert!(fix.command.as_ref().is_none_or(|command| !command.contains('{')), "{code}: {fix:?}");
            assert!(
                fix.side == Side::Peer || fix.path.as_ref().is_none_or(|path| path.starts_with('/')),
                "{code}: {fix:?}"
            );
        }
    }
    assert_eq!(codes().len(), CODES.len());
}

#[test]
fn advice_names_values_that_are_json() {
    for advice in table::all().flat_map(|entry| entry.advice) {
        assert!(advice.set.is_empty() || serde_json::from_str::<Value>(advice.set).is_ok(), "{}", advice.set);
    }
}

#[test]
fn a_code_without_words_still_leads_somewhere() {
    let Remedy { explain, fix, .. } = super::explain(&failure("moon.full"), Known::default());
    assert!(explain.en.contains("moon.full") && fix[0].text.en.contains("connections.office"));
}

#[test]
fn values_of_both_sides_are_told_and_those_of_the_peer_are_escaped() {
    let mut failure = failure("proposal.ke").between("groups", vec!["modp2048".into()], vec!["modp1024\x1b[2J".into()]);
    failure.notify = Some("NO_PROPOSAL_CHOSEN".into());
    failure.certainty = Certainty::Likely;
    failure.candidates = vec!["proposal.encr", "proposal.ke"];
    let remedy = explain(&failure, Known::default());
    for part in [
        "Ours: groups modp2048.",
        "modp1024\\u{1b}[2J",
        "NO_PROPOSAL_CHOSEN",
        "not proven",
        "proposal.encr, proposal.ke",
    ] {
        assert!(remedy.explain.en.contains(part), "{part} is not in: {}", remedy.explain.en);
    }
    assert!(remedy.explain.zh.contains("本端：DH 组 modp2048。"), "{}", remedy.explain.zh);
    // Whatever a peer calls itself, no text of ours carries it as it came.
    let hostile = ["evil\x1b[2J", "evil\u{202e}gpj", "a\nb"];
    for what in ["remote_id", "local_id", "ppk", "auth", "local_ts", "esp_proposals", "lifetime", "mtu"] {
        for code in CODES {
            for value in hostile {
                let failure = self::failure(code).between(what, vec!["x".into()], vec![value.into()]);
                let Remedy { explain, fix, .. } = super::explain(&failure, Known::default());
                let texts = fix.iter().flat_map(|fix| [&fix.text.en, &fix.text.zh]).chain([&explain.en, &explain.zh]);
                assert!(
                    texts.clone().all(|text| !text.contains(['\x1b', '\n', '\u{202e}'])),
                    "{code} {what} {value:?}"
                );
            }
        }
    }
}

#[test]
fn a_peer_cannot_fill_the_screen() {
    for (what, code) in [("local_ts", "ts.mismatch"), ("proposals", "proposal.ike"), ("remote_id", "auth.id")] {
        let failure = failure(code).between(what, vec!["10.0.0.0/8".into()], vec!["x".repeat(10_000); 255]);
        let Remedy { explain, fix, .. } = super::explain(&failure, Known::default());
        let longest = fix.iter().map(|fix| fix.text.en.len()).max().unwrap();
        assert!(explain.en.len() < 4000 && longest < 1000 && fix.len() <= MOST_FIXES, "{code} {longest}");
    }
}

#[test]
fn a_suite_of_the_peers_is_added_to_ours_or_ours_is_for_the_peer() {
    let mut failure = failure("proposal.encr").between(
        "proposals",
        list(&["aes256-sha256-prfsha256-modp2048"]),
        list(&["aes128-sha256-prfsha256-modp2048"]),
    );
    failure.child = None;
    // Where ours is one suite, the peer's stands in its place: some vendors are to be offered no more.
    let theirs = json!(["aes128-sha256-prfsha256-modp2048"]);
    assert_eq!(
        data(&failure),
        [
            (Side::Us, "/connections/office/proposals".into(), theirs),
            (Side::Peer, "proposals".into(), json!(["aes256-sha256-prfsha256-modp2048"])),
        ]
    );
    // As initiator only ours are known: any of them mends it, whatever differs.
    failure.peer = Values::default();
    failure = failure.likely("NO_PROPOSAL_CHOSEN", &["proposal.encr", "proposal.ke", "peer.unknown"]);
    let fixes = data(&failure);
    assert_eq!(fixes, [(Side::Peer, "proposals".into(), json!(["aes256-sha256-prfsha256-modp2048"]))]);
}
#[test]
fn a_weak_suite_is_never_proposed_first_nor_silently() {
    let failure = failure("proposal.ke").between(
        "esp_proposals",
        list(&["aes256-sha256-modp2048"]),
        list(&["aes256-sha1-modp1024", "3des-md5"]),
    );
    let fixes: Vec<Fix> = explain(&failure, Known::default()).fix.into_iter().filter(|fix| fix.set.is_some()).collect();
    assert_eq!((fixes[0].side, &fixes[0].set), (Side::Peer, &Some(json!(["aes256-sha256-modp2048"]))));
    assert_eq!(fixes[1].path.as_deref(), Some("/connections/office/children/lan/esp_proposals"));
    assert!(
        fixes[1].text.en.contains("weak by today's measure: sha1, modp1024") && fixes[1].text.zh.contains("安全性较弱")
    );
    // What does not run here is not proposed for here.
    assert!(fixes.iter().all(|fix| !fix.set.as_ref().unwrap().to_string().contains("3des")));
}
#[test]
fn an_identity_takes_its_secret_along() {
    let mut failure = failure("auth.id").between("local_id", list(&["we"]), list(&["us"])).between(
        "remote_id",
        list(&["gw.example"]),
        list(&["gw2.example"]),
    );
    failure.initiator = false;
    let ids = vec![IdMatch::Exact("gw.example".parse().unwrap())];
    let secret = SharedSecret { name: "ike".into(), ids, secret: Secret::new(b"not told".to_vec()) };
    let Remedy { fix, .. } = explain(&failure, Known { secrets: std::slice::from_ref(&secret), ..Known::default() });
    assert_eq!(fix[0].path.as_deref(), Some("/connections/office/remote/id"));
    let also: Vec<_> = fix[0].also.iter().map(|more| (more.path.as_str(), more.set.clone())).collect();
    assert_eq!(
        also,
        [("/secrets/ike/id", json!(["gw.example", "gw2.example"])), ("/connections/office/local/id", json!("us"))]
    );
    let peers: Vec<_> = data(&failure).into_iter().filter(|(side, ..)| *side == Side::Peer).collect();
    assert_eq!(
        peers,
        [(Side::Peer, "local_id".into(), json!("gw.example")), (Side::Peer, "remote_id".into(), json!("we"))]
    );
    let known = Known { secrets: &[secret], ..Known::default() };
    let psk = explain(&self::failure("auth.psk").theirs("remote_id", "gw.example"), known);
    assert_eq!((psk.fix[0].path.as_deref(), &psk.fix[0].set), (Some("/secrets/ike/secret"), &None));
    assert!(!format!("{psk:?}").contains("not told"));
}
#[test]
fn networks_mirror_each_other() {
    // The packet that the child is made for stands in front.
    let failure = failure("ts.mismatch").between("local_ts", list(&["10.1.0.0/24"]), list(&["10.1.0.0/24"])).between(
        "remote_ts",
        list(&["10.2.0.0/24"]),
        list(&["10.9.0.7/32[icmp/8]", "10.9.0.0/24"]),
    );
    assert_eq!(
        data(&failure),
        [
            (Side::Us, "/connections/office/children/lan/remote_ts".into(), json!(["10.9.0.0/24"])),
            (Side::Peer, "local_ts".into(), json!(["10.2.0.0/24"])),
        ]
    );
}
#[test]
fn what_is_said_of_a_group_alone_becomes_a_suite() {
    let of = |ours: &[&str]| {
        let failure = failure("proposal.ke").between("proposals", list(ours), vec![]);
        Failure { child: None, ..failure.between("groups", vec![], list(&["modp2048"])) }
    };
    let (one, other, suite) = ("aes256-sha256-x25519", "aes128-sha256-x25519", "aes256-sha256-prfsha256-modp2048");
    assert_eq!(data(&of(&[one]))[0], (Side::Us, "/connections/office/proposals".into(), json!([suite])));
    // To several it is added.
    assert_eq!(data(&of(&[one, other]))[0].2, json!([one, other, suite]));
}

fn config(connection: &str, child: &str) -> Config {
    let text = format!(
        "[connections.office]\nremote_addrs = [\"192.0.2.7\"]\n{connection}\n[connections.office.children.lan]\n\
         local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\", \"10.3.0.0/16\"]\n{child}\n[secrets.s]\nid = [\"192.0.2.7\"]\n\
         secret = \"correct-horse-battery-staple\"\n"
    );
    let source = crate::config::Source { name: "a.toml".into(), text };
    crate::config::parse(&[source], &crate::config::secret::System).unwrap_or_else(|errors| panic!("{errors}"))
}
fn known(config: &Config) -> Known<'_> {
    let policy = config.policy.connections.first().map(|policy| &**policy);
    Known { secrets: &config.policy.secrets, connection: config.connections.first(), policy }
}
/// Paths and values of ours.
fn ours(failure: &Failure, known: Known<'_>) -> Vec<(String, Option<Value>)> {
    let fixes = explain(failure, known).fix.into_iter().filter(|fix| fix.side == Side::Us);
    fixes.filter_map(|fix| Some((fix.path?, fix.set))).collect()
}
#[test]
fn one_of_several_pairs_is_mended_where_the_document_has_it() {
    let config = config("", "ts_mode = \"per_pair\"");
    let mut failure = failure("lifetime.peer_shorter").between("lifetime", list(&["3600 s"]), list(&["1000 s"]));
    failure.child = Some("lan-2".into());
    let lan = "/connections/office/children/lan";
    assert_eq!(ours(&failure, known(&config))[0], (format!("{lan}/rekey_time"), Some(json!("900s"))));
    assert!(explain(&failure, known(&config)).fix[0].text.en.contains("connections.office.children.lan.rekey_time"));
    // Without the configuration nobody knows what the document calls it.
    assert!(ours(&failure, Known::default()).iter().all(|(path, _)| !path.contains("children")));
    // By octets a time is no cure.
    failure.differing = vec!["bytes"];
    assert_eq!(ours(&failure, known(&config))[0], (format!("{lan}/rekey_bytes"), None));
    // One pair's networks are not the child's.
    let mut failure = self::failure("ts.mismatch").between("remote_ts", list(&["10.3.0.0/16"]), list(&["10.9.0.0/24"]));
    failure.child = Some("lan-2".into());
    assert!(ours(&failure, known(&config)).iter().all(|(_, set)| set.is_none()));
}
#[test]
fn no_value_is_offered_that_would_be_refused_or_be_worse() {
    let sets = |failure: &Failure, config: &Config| {
        let all = ours(failure, known(config)).into_iter();
        all.filter_map(|(path, set)| Some((path, set?))).collect::<Vec<_>>()
    };
    let plain = config("", "");
    // Networks that are translated are called otherwise here.
    let translate = config("", "translate = { local = \"172.16.0.0/16\" }");
    let networks = failure("ts.mismatch").between("remote_ts", list(&["10.2.0.0/16"]), list(&["10.9.0.0/24"]));
    assert_eq!((sets(&networks, &plain).len(), sets(&networks, &translate)), (1, vec![]));
    assert!(data(&networks).iter().any(|(side, ..)| *side == Side::Peer));
    // A profile may demand children of another shape.
    let single = failure("ts.single_pair");
    assert_eq!(sets(&single, &plain)[0].1, json!("per_pair"));
    assert_eq!(sets(&single, &config("profile = \"gcp\"", "")), []);
    assert_eq!(data(&single), []);
    // A peer that is not authenticated may want less of itself.
    let method = failure("auth.method").between("auth", list(&["RSA_SIGNATURE"]), list(&["SHARED_KEY_MIC"]));
    assert_eq!(sets(&method, &plain), []);
    assert!(ours(&method, known(&plain)).iter().any(|(path, _)| path.ends_with("/remote/auth")));
    // An identity of ours that a certificate proves is not any other.
    let id = failure("auth.id").between("local_id", list(&["we"]), list(&["us"]));
    assert_eq!(sets(&id, &plain).len(), 1);
    let mut policy = (*plain.policy.connections[0]).clone();
    policy.local_auth = crate::ike::policy::AuthKind::PublicKey;
    assert!(ours(&id, Known { policy: Some(&policy), ..known(&plain) }).iter().all(|(_, set)| set.is_none()));
    // Where others come too, they keep their suite.
    policy.remote_addrs = vec![crate::ike::policy::Remote::Any];
    let mut suites = failure("proposal.encr").between(
        "proposals",
        list(&["aes256-sha256-modp2048"]),
        list(&["aes128-sha256-modp2048"]),
    );
    suites.child = None;
    let many = ours(&suites, Known { policy: Some(&policy), ..known(&plain) });
    assert_eq!(many[0].1.as_ref().and_then(Value::as_array).map(Vec::len), Some(2));
    // What is told of it is not what it is.
    let ppk = |id: &str| {
        let sets = sets(&failure("auth.ppk").between("ppk", list(&["one"]), list(&[id])), &plain);
        sets.iter().filter(|(_, set)| *set == json!(id)).count()
    };
    assert_eq!([ppk("two"), ppk("a\\x00"), ppk("a\"b"), ppk("中")], [1, 0, 0, 0]);
}
