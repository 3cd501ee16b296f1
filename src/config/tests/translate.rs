//! `translate`, and networks with the same addresses.
use super::{errors, parse};
use crate::config::{Config, Errors};
use crate::wire::selector::Selector;

/// One connection for each of these children, each the text of its keys.
fn children(children: &[&str]) -> Result<Config, Errors> {
    parse(&text(children))
}

fn text(children: &[&str]) -> String {
    let one = |(n, keys): (usize, &&str)| {
        format!(
            "[connections.c{n}]\nremote_addrs = [\"203.0.113.{n}\"]\n[connections.c{n}.children.x]\n{keys}\n\
             [secrets.s{n}]\nid = [\"203.0.113.{n}\"]\nsecret = \"a long secret that nobody guesses\"\n"
        )
    };
    children.iter().enumerate().map(one).collect()
}

const LAN: &str = "local_ts = [\"198.18.1.0/24\"]\nremote_ts = [\"10.0.0.0/24\"]\n";

fn lan(translate: &str) -> String {
    format!("{LAN}translate = {translate}")
}

fn shown(selectors: &[Selector]) -> String {
    selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Names here and on the wire of the first child.
#[track_caller]
fn names(config: Result<Config, Errors>) -> [String; 4] {
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let child = &config.connections[0].children[0];
    let policy = &config.policy.connections[0].children[0];
    assert_eq!((&policy.local_ts, &policy.remote_ts), (&child.local_ts, &child.remote_ts), "IKE knows the wire");
    [&child.local_here(), &child.remote_here(), &child.local_ts, &child.remote_ts].map(|ts| shown(ts))
}

#[test]
fn the_documented_example() {
    let example = lan("{ local = \"10.0.0.0/24\", remote = \"172.31.2.0/24\" }");
    assert_eq!(names(children(&[&example])), ["10.0.0.0/24", "172.31.2.0/24", "198.18.1.0/24", "10.0.0.0/24"]);
    assert_eq!(names(children(&[LAN])), ["198.18.1.0/24", "10.0.0.0/24", "198.18.1.0/24", "10.0.0.0/24"]);
}

#[test]
fn one_side_and_ports() {
    let remote = "local_ts = [\"10.0.0.0/24\", \"10.7.0.0/16\"]\nremote_ts = [\"10.0.0.0/24[tcp/443]\"]\ntranslate = { remote = \"172.31.2.0/24\" }";
    assert_eq!(
        names(children(&[remote])),
        ["10.0.0.0/24 10.7.0.0/16", "172.31.2.0/24[tcp/443]", "10.0.0.0/24 10.7.0.0/16", "10.0.0.0/24[tcp/443]"]
    );
    let local = "local_ts = [\"fd01::/64\"]\nremote_ts = [\"::/0\"]\ntranslate = { local = \"fd00::/64\" }";
    assert_eq!(names(children(&[local])), ["fd00::/64", "::/0", "fd01::/64", "::/0"]);
    let pairs = "ts_mode = \"per_pair\"\nlocal_ts = [\"198.18.1.0/24\"]\nremote_ts = [\"10.8.0.0/24\", \"10.9.0.0/24\"]\ntranslate = { local = \"10.0.0.0/24\" }";
    let config = children(&[pairs]).unwrap();
    let here: Vec<_> = config.connections[0].children.iter().map(|child| shown(&child.local_here())).collect();
    assert_eq!(here, ["10.0.0.0/24", "10.0.0.0/24"]);
}

#[test]
fn what_is_no_translation_is_refused_where_it_stands() {
    let refused = |keys: &str| {
        let errors = children(&[keys]).expect_err("this should be refused").0;
        let told: Vec<_> = errors.iter().map(|e| (e.code, e.line, e.column, e.hint.clone())).collect();
        told
    };
    let one = |keys: &str, code: &'static str, line: usize, column: usize, hint: &str| {
        let told = refused(keys);
        let [(found, at_line, at_column, said)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*found, *at_line, *at_column), (code, line, column), "{said}");
        assert!(said.contains(hint), "{said}");
    };
    one(&lan("{ local = \"10.0.0.0/25\" }"), "translate.size", 6, 23, "write \"10.0.0.0/24\"");
    one(&lan("{ remote = \"172.31.0.0/16\" }"), "translate.size", 6, 24, "write \"172.31.0.0/24\"");
    one(&lan("{ local = \"fd00::/24\" }"), "translate.family", 6, 23, "family of 198.18.1.0/24");
    for nobody in ["127.0.0.0/24", "224.0.1.0/24", "0.0.0.0/24", "255.255.255.0/24"] {
        one(&lan(&format!("{{ local = \"{nobody}\" }}")), "translate.hosts", 6, 23, "addresses for hosts");
        one(&lan(&format!("{{ remote = \"{nobody}\" }}")), "translate.hosts", 6, 24, "addresses for hosts");
    }
    let six = "local_ts = [\"fd00::/64\"]\nremote_ts = [\"fd01::/64\"]\n";
    one(&format!("{six}translate = {{ remote = \"ff05::/64\" }}"), "translate.hosts", 6, 24, "addresses for hosts");
    one(&format!("{six}translate = {{ remote = \"::/64\" }}"), "translate.hosts", 6, 24, "addresses for hosts");
    one(&lan("{ remote = \"198.18.1.0/24\" }"), "translate.overlap", 3, 26, "translate.remote = \"100.64.0.0/24\"");
    one(&lan("{ local = \"10.0.0.0/24\" }"), "translate.overlap", 3, 26, "translate.remote = \"100.64.0.0/24\"");
    let many = "local_ts = [\"10.0.0.0/24\", \"10.0.1.0/24\"]\nremote_ts = [\"10.9.0.0/24\"]\ntranslate = { local = \"10.7.0.0/24\" }";
    one(many, "translate.prefix", 6, 23, "a child for each other one");
    let range =
        "local_ts = [\"10.0.0.0-10.0.0.9\"]\nremote_ts = [\"10.9.0.0/24\"]\ntranslate = { local = \"10.7.0.0/24\" }";
    one(range, "translate.prefix", 6, 23, "one prefix");
    let everywhere =
        "local_ts = [\"10.0.0.0/24\"]\nremote_ts = [\"0.0.0.0/0\"]\ntranslate = { remote = \"10.7.0.0/24\" }";
    one(everywhere, "translate.prefix", 6, 24, "one prefix");
    for mode in ["pass", "drop"] {
        one(
            &format!("{}\nmode = \"{mode}\"", lan("{ local = \"10.7.0.0/24\" }")),
            "translate.mode",
            6,
            1,
            "mode = \"tunnel\"",
        );
    }
    let transport = "mode = \"transport\"\nlocal_ts = [\"192.0.2.1\"]\nremote_ts = [\"192.0.2.2\"]\ntranslate = { local = \"10.7.0.1/32\" }";
    one(transport, "translate.mode", 7, 1, "tunnel");
    let vips = text(&[&lan("{ local = \"10.7.0.0/24\" }")])
        .replace("[connections.c0]\n", "[connections.c0]\nvips = [\"0.0.0.0\"]\n");
    assert_eq!(errors(&vips), ["translate.vips@4"]);
}

/// What a network is called here decides whether two children want the same packets.
#[test]
fn overlaps_are_judged_by_the_names_here() {
    let codes = |keys: [&str; 2]| {
        children(&keys).map(|_| ()).map_err(|errors| errors.0.iter().map(|e| (e.code, e.line)).collect::<Vec<_>>())
    };
    let plain = "local_ts = [\"10.1.0.0/24\"]\nremote_ts = [\"10.2.0.0/24\"]";
    let named = "local_ts = [\"10.1.0.0/24\"]\nremote_ts = [\"10.2.0.0/24\"]\ntranslate = { remote = \"10.3.0.0/24\" }";
    let into = "local_ts = [\"10.1.0.0/24\"]\nremote_ts = [\"10.9.0.0/24\"]\ntranslate = { remote = \"10.2.0.0/24\" }";
    assert_eq!(codes([plain, named]), Ok(()));
    assert_eq!(codes([plain, into]), Err(vec![("ts.overlap", 11)]));
    assert_eq!(codes([into, &format!("{plain}\npriority = 1")]), Ok(()));
}

/// Two customers with one prefix: a name that is free is proposed for one of them, and a configuration with it is accepted.
#[test]
fn a_free_prefix_is_proposed_for_the_second_of_two_networks() {
    let plain = "local_ts = [\"10.1.0.0/24\"]\nremote_ts = [\"10.2.0.0/24\"]";
    let hint = |keys: &[&str]| children(keys).expect_err("an overlap").0[0].hint.clone();
    let said = hint(&[plain, plain]);
    assert!(said.contains("translate = { remote = \"100.64.0.0/24\" } in `c1/x`"), "{said}");
    assert!(children(&[plain, &format!("{plain}\ntranslate = {{ remote = \"100.64.0.0/24\" }}")]).is_ok());
    // Not what is in use, by whatever name.
    let taken = "local_ts = [\"10.5.0.0/24\"]\nremote_ts = [\"100.64.0.0/23\", \"100.64.2.0-100.64.3.7\"]";
    let said = hint(&[plain, taken, plain]);
    assert!(said.contains("\"100.64.4.0/24\""), "{said}");
    // Nor what is only on the wire.
    let wire =
        "local_ts = [\"10.5.0.0/24\"]\nremote_ts = [\"100.64.0.0/24\"]\ntranslate = { remote = \"10.6.0.0/24\" }";
    let said = hint(&[plain, wire, plain]);
    assert!(said.contains("\"100.64.1.0/24\""), "{said}");
    // Too large for the first space.
    let large = "local_ts = [\"192.0.2.0/24\"]\nremote_ts = [\"20.0.0.0/9\"]";
    let said = hint(&[large, large]);
    assert!(said.contains("\"10.0.0.0/9\""), "{said}");
    let larger = "local_ts = [\"192.0.2.0/24\"]\nremote_ts = [\"20.0.0.0/6\"]";
    assert!(!hint(&[larger, larger]).contains("translate"));
    // IPv6: the same every time, and another for another name.
    let six = "local_ts = [\"fd01::/64\"]\nremote_ts = [\"fd02::/64\"]";
    let (first, again) = (hint(&[six, six]), hint(&[six, six]));
    assert!(first == again && first.contains("translate = { remote = \"fd"), "{first}");
    assert_ne!(first, hint(&[six, plain, six]));
}

/// Both sites have 10.0.0.0/24: what is proposed for this side is accepted.
#[test]
fn two_sites_with_the_same_network_are_told_what_to_write() {
    let same = "local_ts = [\"10.0.0.0/24\"]\nremote_ts = [\"10.0.0.0/24\"]";
    let errors = children(&[same]).expect_err("the same on both sides").0;
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!((error.code, error.line), ("ts.overlap", 3));
    for part in [
        "local_ts = [\"100.64.0.0/24\"], remote_ts = [\"10.0.0.0/24\"]",
        "translate = { local = \"10.0.0.0/24\", remote = \"100.64.1.0/24\" }",
        "peer's remote_ts",
    ] {
        assert!(error.hint.contains(part), "{}", error.hint);
    }
    let proposed = "local_ts = [\"100.64.0.0/24\"]\nremote_ts = [\"10.0.0.0/24\"]\ntranslate = { local = \"10.0.0.0/24\", remote = \"100.64.1.0/24\" }";
    assert!(children(&[proposed]).is_ok());
    // A network within a larger one is a usual branch, and large ones on both sides are, too.
    for usual in [
        ("10.1.0.0/16", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.2.0.0/16"),
    ] {
        assert!(
            children(&[&format!("local_ts = [\"{}\"]\nremote_ts = [\"{}\"]", usual.0, usual.1)]).is_ok(),
            "{usual:?}"
        );
    }
    assert!(children(&[&format!("{same}\nmode = \"pass\"")]).is_ok(), "that is how neighbours are let through");
}

/// Only the same on both sides, or an address by two names, is refused: a part of the other side's is a usual branch.
#[test]
fn the_same_network_is_found_however_it_is_written() {
    let judge = |local: &str, remote: &str| {
        let keys = format!("local_ts = [{local}]\nremote_ts = [{remote}]");
        children(&[&keys])
            .map(|_| ())
            .map_err(|errors| errors.0.iter().map(|e| (e.code, e.hint.clone())).next().unwrap())
    };
    let range = "\"10.0.0.1-10.0.0.9\"";
    let (code, hint) = judge(range, range).unwrap_err();
    assert_eq!((code, &*hint), ("ts.overlap", "other addresses for one of the two networks"));
    assert!(judge("\"10.0.0.0/16\"", "\"10.0.0.0/16\"").is_err() && judge("\"fd00::/48\"", "\"fd00::/48\"").is_err());
    assert!(judge("\"10.0.0.0/15\"", "\"10.0.0.0/15\"").is_ok() && judge("\"fd00::/47\"", "\"fd00::/47\"").is_ok());
    assert!(judge("\"10.0.0.0-10.0.255.255\"", "\"10.0.0.0-10.1.0.0\"").is_ok());
    assert!(judge("\"10.0.0.0/24\"", "\"10.0.0.0/25\"").is_ok());
    // By another name a range is in the way as a prefix is.
    let named = |local: &str| {
        children(&[&format!(
            "local_ts = [\"{local}\"]\nremote_ts = [\"10.9.0.0/24\"]\ntranslate = {{ remote = \"10.0.0.0/24\" }}"
        )])
    };
    assert!(named("10.0.0.5-10.0.0.9").is_err() && named("10.0.1.5-10.0.1.9").is_ok());
}

/// Beside other networks, and with protocols and ports, what is proposed is for these two alone, and nothing is lost when it is pasted.
#[test]
fn a_proposal_loses_no_network() {
    let said = |keys: &str| children(&[keys]).expect_err("the same on both sides").0[0].hint.clone();
    let several = said("local_ts = [\"10.0.0.0/24\", \"10.9.0.0/24\"]\nremote_ts = [\"10.0.0.0/24\", \"10.8.0.0/24\"]");
    assert!(several.starts_with("a child of its own for this pair, with local_ts = [\"100.64.0.0/24\"]"), "{several}");
    let ports = said("local_ts = [\"10.0.0.0/24[tcp]\"]\nremote_ts = [\"10.0.0.0/24[tcp/443]\"]");
    let parts = [
        "local_ts = [\"100.64.0.0/24[tcp]\"], remote_ts = [\"10.0.0.0/24[tcp/443]\"]",
        "{ local = \"10.0.0.0/24\", remote = \"100.64.1.0/24\" }",
    ];
    assert!(ports.starts_with(parts[0]) && ports.contains(parts[1]), "{ports}");
    // A child has one table of names.
    let plain = "local_ts = [\"10.7.0.0/24\"]\nremote_ts = [\"10.2.0.0/24\"]";
    let named = "local_ts = [\"10.1.0.0/24\"]\nremote_ts = [\"10.2.0.0/24\"]\ntranslate = { local = \"10.7.0.0/24\" }";
    let said = children(&[plain, named]).expect_err("an overlap").0[0].hint.clone();
    let table = "translate = { local = \"10.7.0.0/24\", remote = \"100.64.0.0/24\" }";
    assert!(said.contains(&format!("{table} instead of the other one in `c1/x`")), "{said}");
    assert!(children(&[plain, &named.replace("translate = { local = \"10.7.0.0/24\" }", table)]).is_ok());
}

/// Free is what nobody uses: neither our devices nor what clouds have there, and a host's name is an address that hosts have.
#[test]
fn a_free_prefix_is_free() {
    let two = |prefix: &str, more: &str| {
        let plain = format!(
            "local_ts = [\"{}\"]\nremote_ts = [\"{prefix}\"]",
            if prefix.contains(':') { "fd99::/64" } else { "192.0.2.0/24" }
        );
        let text = text(&[&plain, &plain]) + more;
        parse(&text).expect_err("an overlap").0[0].hint.clone()
    };
    let device = "[connections.d]\nremote_addrs = [\"203.0.113.1\"]\ninterface = { name = \"vti\", addresses = [\"100.64.0.1/22\"] }\n\
        [connections.d.children.x]\nlocal_ts = [\"0.0.0.0/0\"]\nremote_ts = [\"0.0.0.0/0\"]\n";
    let said = two("10.2.0.0/24", device);
    assert!(said.contains("remote = \"100.64.4.0/24\""), "{said}");
    let said = two("10.2.0.0/24", &device.replace("100.64.0.1/22", "100.99.0.1/10"));
    assert!(said.contains("remote = \"172.16.0.0/24\""), "{said}");
    let said = two("20.0.0.0/10", "");
    assert!(said.contains("remote = \"10.0.0.0/10\""), "{said}");
    let said = two("10.2.0.0/16", &device.replace("100.64.0.1/22\"]", "100.64.0.1/11\", \"100.96.0.1/14\"]"));
    assert!(said.contains("remote = \"100.101.0.0/16\""), "{said}");
    assert!(two("10.2.0.7/32", "").contains("remote = \"100.64.0.1/32\""));
    let said = two("fd01::7/128", "");
    assert!(said.contains("remote = \"fd") && said.contains("::1/128\""), "{said}");
}
