//! The document: from TOML and JSON and back, owners, and what it never shows.
use super::Fake;
use crate::config::document::{Desired, Key, Owner, REDACTED, digest};
use crate::config::{Errors, Source, parse};

const SECRET: &str = "a-secret-that-nobody-guesses-7341";

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn connection(name: &str, net: u8) -> String {
    format!(
        "[connections.{name}]\nremote_addrs = [\"203.0.113.{net}\"]\nremote = {{ id = \"{name}.example\" }}\n\
         [connections.{name}.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.{net}.0.0/16\"]\n"
    )
}

fn file() -> Desired {
    let text = format!(
        "[gateway]\nlog = {{ level = \"debug\" }}\n{}[secrets.all]\nid = [\"%any\"]\nsecret = \"{SECRET}\"\n",
        connection("filed", 2)
    );
    Desired::from_sources(&[source("/etc/sandhog/sandhog.toml", &text)]).unwrap()
}

fn json(name: &str, net: u8) -> String {
    format!(
        "{{\"remote_addrs\":[\"203.0.113.{net}\"],\"remote\":{{\"id\":\"{name}.example\"}},\
         \"children\":{{\"lan\":{{\"local_ts\":[\"10.1.0.0/16\"],\"remote_ts\":[\"10.{net}.0.0/16\"]}}}}}}"
    )
}

fn both() -> Desired {
    let both = file().put_object(&Key::connection("sent"), json("sent", 3).as_bytes()).unwrap();
    let secret = format!("{{\"id\":[\"sent.example\"],\"secret\":\"{SECRET}-2\"}}");
    both.put_object(&Key::secret("of-sent"), secret.as_bytes()).unwrap()
}

fn codes(errors: Errors) -> Vec<String> {
    errors.0.iter().map(|f| format!("{} {}", f.code, f.pointer.as_deref().unwrap_or("-"))).collect()
}

#[test]
fn what_the_api_sends_is_read_as_if_it_stood_in_a_file() {
    let config = both().check(&Fake::default()).unwrap();
    let names: Vec<&str> = config.connections.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["filed", "sent"]);
    assert_eq!(config.policy.secrets[1].secret.expose(), format!("{SECRET}-2").as_bytes());
    // The same by one file.
    let text: String = both().to_sources().iter().map(|s| s.text.clone() + "\n").collect();
    let whole = parse(&[source("a.toml", &text)], &Fake::default()).unwrap();
    assert_eq!(whole.connections, config.connections);
    assert_eq!(whole.policy.connections, config.policy.connections);
}

#[test]
fn nothing_shows_a_secret() {
    let both = both();
    let sources = both.to_sources();
    for text in [
        both.to_json(),
        both.api_json(),
        format!("{both:?} {:#?}", both.objects().collect::<Vec<_>>()),
        format!("{sources:?}"),
    ] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains("7341"), "{text}");
    }
    let shown: serde_json::Value = serde_json::from_str(&both.to_json()).unwrap();
    assert_eq!(shown["secrets"]["all"]["secret"], REDACTED);
    assert_eq!(shown["secrets"]["of-sent"]["secret"], REDACTED);
    assert_eq!(shown["connections"]["sent"]["remote"]["id"], "sent.example");
    let api: serde_json::Value = serde_json::from_str(&both.api_json()).unwrap();
    assert!(api.get("gateway").is_none() && api["connections"].get("filed").is_none());
    assert!(sources.iter().any(|s| s.text.contains(SECRET)), "the reader of files gets it");
}

#[test]
fn what_was_shown_may_be_sent_back() {
    let before = both();
    let after = before.put(Desired::from_json(before.to_json().as_bytes()).unwrap()).unwrap();
    assert_eq!(before.to_json(), after.to_json());
    assert_eq!(digest(&before, &[7; 32]), digest(&after, &[7; 32]));
    assert_ne!(digest(&before, &[7; 32]), digest(&after, &[8; 32]));
    for (a, b) in before.objects().zip(after.objects()) {
        assert_eq!(a.owner, b.owner);
        assert!(std::sync::Arc::ptr_eq(a, b), "{}", a.key);
    }
    assert_eq!(after.api_secrets()[0].0, "/secrets/of-sent/secret");
    assert_eq!(after.api_secrets()[0].1.expose(), format!("{SECRET}-2").as_bytes());
}

#[test]
fn a_redacted_value_needs_one_in_force() {
    let sent = b"{\"secrets\":{\"new\":{\"id\":[\"a\"],\"secret\":\"***\"}}}";
    let error = file().put(Desired::from_json(sent).unwrap()).unwrap_err();
    assert_eq!(codes(error), ["secret.redacted /secrets/new/secret"]);
    let mut from_store = Desired::from_json(both().api_json().as_bytes()).unwrap();
    assert_eq!(
        codes(from_store.clone().restore_secrets(|_| None).unwrap_err()),
        ["secret.redacted /secrets/of-sent/secret"]
    );
    let kept = both().api_secrets();
    let known = |pointer: &str| kept.iter().find(|(p, _)| p == pointer).map(|(_, secret)| secret.clone());
    from_store.restore_secrets(known).unwrap();
    let again = file().put(from_store).unwrap();
    assert_eq!(digest(&again, &[0; 32]), digest(&both(), &[0; 32]));
}

#[test]
fn an_object_has_one_owner() {
    let both = both();
    assert!(
        matches!(&both.get(&Key::connection("filed")).unwrap().owner, Owner::File(f) if f.ends_with("sandhog.toml"))
    );
    assert_eq!(both.get(&Key::connection("sent")).unwrap().owner, Owner::Api);
    // Unchanged it may be repeated, changed it is the file's.
    assert!(both.put_object(&Key::connection("filed"), json("filed", 2).as_bytes()).is_ok());
    for error in [
        both.put_object(&Key::connection("filed"), json("filed", 9).as_bytes()).unwrap_err(),
        both.delete_object(&Key::connection("filed")).unwrap_err(),
    ] {
        let finding = &error.0[0];
        assert_eq!((finding.code, finding.line), ("owner.file", 3));
        assert_eq!(finding.file, std::path::Path::new("/etc/sandhog/sandhog.toml"));
    }
    // What is left out goes, if it is the API's.
    let less = both.put(Desired::from_json(b"{}").unwrap()).unwrap();
    assert_eq!(less.to_json(), file().to_json());
    let deleted = both.delete_object(&Key::connection("sent")).unwrap().unwrap();
    assert!(deleted.get(&Key::connection("sent")).is_none());
    assert!(deleted.delete_object(&Key::connection("sent")).unwrap().is_none());
    // A file may not take it either.
    let files = [source("a.toml", ""), source("conf.d/b.toml", &format!("\n\n{}", connection("sent", 4)))];
    let error = both.with_files(&files).unwrap_err();
    assert_eq!((error.0[0].code, error.0[0].line), ("owner.file", 3));
    assert!(error.to_string().contains("conf.d/b.toml"), "{error}");
    let reloaded = both.with_files(&files[..1]).unwrap();
    assert_eq!(
        reloaded.objects().map(|o| o.key.to_string()).collect::<Vec<_>>(),
        ["connections.sent", "secrets.of-sent"]
    );
}

#[test]
fn findings_name_the_object_and_key_or_the_file() {
    let with =
        |body: &str| both().put_object(&Key::connection("sent"), body.as_bytes()).unwrap().check(&Fake::default());
    for (from, to, expected) in [
        (
            "\"remote_addrs\"",
            "\"remote_adrs\"",
            vec!["address.missing /connections/sent", "key.unknown /connections/sent/remote_adrs"],
        ),
        ("\"10.3.0.0/16\"", "\"10.3.0.1/16\"", vec!["ts.host_bits /connections/sent/children/lan/remote_ts/0"]),
        ("\"id\"", "\"ids\"", vec!["key.unknown /connections/sent/remote/ids"]),
        ("{\"local_ts\"", "{\"mtu\":12,\"local_ts\"", vec!["value.range /connections/sent/children/lan/mtu"]),
        (
            "{\"remote_addrs\"",
            "{\"local\":{\"certs\":[\"/etc/passwd\"]},\"remote_addrs\"",
            vec!["owner.path /connections/sent/local/certs"],
        ),
        ("{\"remote_addrs\"", "{\"a/b~c\":1,\"remote_addrs\"", vec!["key.unknown /connections/sent/a~1b~0c"]),
    ] {
        let mut found = codes(with(&json("sent", 3).replacen(from, to, 1)).unwrap_err());
        found.sort();
        assert_eq!(found, expected);
    }
    let error = with(&json("sent", 3).replace("10.3.0.0/16", "10.3.0.1/16")).unwrap_err();
    assert!(error.to_string().contains("(api): /connections/sent/children/lan/remote_ts/0"), "{error}");
    assert_eq!((error.0[0].line, error.0[0].column), (0, 0));
}

#[test]
fn no_path_comes_over_the_socket() {
    for (object, body) in [
        (Key::secret("a"), "{\"id\":[\"a\"],\"secret_file\":\"/etc/shadow\"}"),
        (Key::secret("a"), "{\"id\":[\"a\"],\"secret_env\":\"HOME\"}"),
        (Key::connection("a"), "{\"keylog\":{\"path\":\"/root\",\"until\":\"2099-01-01T00:00:00Z\"}}"),
        (Key::connection("a"), "{\"interface\":{\"name\":\"x\",\"netns\":\"/proc/1/ns/net\"}}"),
        (Key::connection("a"), "{\"local\":{\"auth\":\"pubkey\",\"key\":\"/etc/shadow\"}}"),
    ] {
        let error = both().put_object(&object, body.as_bytes()).unwrap().check(&Fake::default()).unwrap_err();
        assert_eq!(error.0[0].code, "owner.path", "{body}");
    }
    let api = Desired::default();
    for body in ["{\"hook\":{\"command\":[\"/bin/sh\"]}}", "{\"state_dir\":\"/\"}", "{\"control_socket\":\"/x\"}"] {
        let error = api.put_object(&Key::gateway(), body.as_bytes()).unwrap().check(&Fake::default()).unwrap_err();
        assert_eq!(error.0[0].code, "owner.path", "{body}");
    }
}

#[test]
fn hostile_json_is_refused_and_not_repeated() {
    let deep = "[".repeat(100_000);
    for (text, code) in [
        ("{", "json.syntax"),
        ("[]", "value.type"),
        ("{\"conections\":{}}", "key.unknown"),
        ("{\"connections\":[]}", "value.type"),
        ("{\"connections\":{\"a\":5}}", "value.type"),
        ("{\"connections\":{\"a\":{\"children\":{\"b\":5}}}}", "value.type"),
        ("{\"connections\":{\"a\":{},\"a\":{}}}", "json.syntax"),
        ("{\"gateway\":{\"log\":null}}", "json.syntax"),
        ("{} {}", "json.syntax"),
        (&deep, "json.syntax"),
        ("{\"secrets\":{\"a\":{\"secret\":\"a-secret-that-nobody-guesses-7341\",}}}", "json.syntax"),
    ] {
        let error = Desired::from_json(text.as_bytes()).unwrap_err();
        assert_eq!(error.0[0].code, code, "{text:.60}");
        assert!(!error.to_string().contains("7341"));
    }
    assert!(Desired::from_json(b"{\"connections\":{\"\xff\":{}}}").is_err());
}

#[test]
fn strings_and_names_of_any_kind_go_through_the_toml() {
    let odd = "\u{0}\"'\\ \n\r\t\u{7f}\u{85}\u{2028}ä=[]{}#";
    let body = serde_json::json!({"id": [format!("keyid:{}", odd.replace(['\u{0}'], ""))], "secret": odd}).to_string();
    let document = Desired::default().put_object(&Key::secret("a"), body.as_bytes()).unwrap();
    let config = document.check(&Fake::default()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.policy.secrets[0].secret.expose(), odd.as_bytes());
    let named =
        Desired::default().put_object(&Key::pool("a\"]\n[gateway]\nx"), b"{\"addrs\":\"10.0.0.0/24\"}").unwrap();
    let errors = named.check(&Fake::default()).unwrap_err();
    assert_eq!(errors.0.iter().map(|f| f.code).collect::<Vec<_>>(), ["name.invalid"]);
}
