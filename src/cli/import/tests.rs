use super::report::Fate;
use super::{files, syntax, translate};
use crate::cli::pki;
use crate::config;
use std::path::Path;

const PSK: &str = "a strong one, 0123456789";

/// A folder with a swanctl.conf, and what becomes of it.
fn import(text: &str) -> (tempfile::TempDir, translate::Translation) {
    let folder = tempfile::tempdir().unwrap();
    let root = syntax::parse(Path::new("swanctl.conf"), text, &mut files::Disk::default()).unwrap();
    let done = translate::translate(&root, &files::Folders(folder.path().to_owned()));
    (folder, done)
}

/// The configuration that it is in the end.
fn valid(text: &str) -> (config::Config, translate::Translation) {
    let (folder, done) = import(text);
    let written = files::write(&folder.path().join("out"), &done.toml, &done.secrets).unwrap();
    let config = config::load(&written[0]).unwrap_or_else(|errors| panic!("{errors:?}\n{}", done.toml));
    (config, done)
}

fn fate(done: &translate::Translation, key: &str) -> Option<Fate> {
    done.notes.iter().rev().find(|note| note.key == key).map(|note| note.fate)
}

fn office(more: &str, child: &str) -> String {
    format!(
        "connections {{ office {{ version = 2\n local_addrs = 192.0.2.1\n remote_addrs = 203.0.113.7\n proposals = aes256gcm16-prfsha384-ecp384, default\n
           {more}
           local {{ auth = psk\n id = a.example }}\n remote {{ auth = psk\n id = b.example }}
           children {{ lan {{ local_ts = 10.1.0.0/16\n remote_ts = 10.2.0.0/16, 10.3.0.0/16[tcp/443]\n esp_proposals = aes128gcm16\n {child} }} }} }} }}
         secrets {{ ike-office {{ id-a = a.example\n id-b = b.example\n secret = \"{PSK}\" }} }}"
    )
}

#[test]
fn a_usual_connection() {
    let (config, done) =
        valid(&office("encap = yes\n rekey_time = 3h", "start_action = trap\n rekey_bytes = 1g\n updown = /x"));
    assert_eq!(done.refused, 0, "{:?}", done.notes);
    let connection = &config.policy.connections[0];
    assert_eq!((&*connection.name, connection.rekey_time.as_secs()), ("office", 3 * 3600));
    assert!(connection.mobike && connection.dpd_delay.is_zero(), "strongSwan's defaults");
    let child = &connection.children[0];
    assert_eq!((child.rekey_bytes, child.remote_ts.len()), (1 << 30, 2));
    assert_eq!(config.policy.secrets[0].secret.expose(), PSK.as_bytes());
    assert_eq!(config.policy.secrets[0].ids.len(), 1, "the peer's only");
    assert_eq!(fate(&done, "connections.office.children.lan.updown"), Some(Fate::Dropped));
    assert_eq!(fate(&done, "connections.office.encap"), Some(Fate::Translated));
    assert!(!done.toml.contains(PSK) && done.notes.iter().all(|note| !note.why.contains(PSK)));
}

#[test]
fn who_must_not_be_weakened_is_refused() {
    for (more, child, key) in [
        ("version = 1", "", "version"),
        ("remote-2 { auth = psk }", "", "remote"),
        ("if_id_in = 7", "", "if_id_in"),
        ("", "ah_proposals = sha256", "children.lan.ah_proposals"),
        ("", "mode = beet", "children.lan.mode"),
        ("", "mark_in = 7", "children.lan.mark_in"),
        ("dpd_delay = soon", "", "dpd_delay"),
    ] {
        let (_folder, done) = import(&office(more, child));
        assert_eq!(fate(&done, &format!("connections.office.{key}")), Some(Fate::Refused), "{more} {child}");
        assert!(!done.toml.contains("[connections.office]"), "{}", done.toml);
    }
    let eap = office("", "").replace("remote { auth = psk", "remote { auth = eap-mschapv2");
    assert!(import(&eap).1.refused > 0);
}

#[test]
fn who_calls_from_anywhere_gets_an_address() {
    let text = "connections { rw { local_addrs = 192.0.2.1\n pools = office\n local { auth = psk }\n remote { auth = psk\n id = %any }
        children { net { local_ts = 10.1.0.0/16\n start_action = start\n dpd_action = restart } } } }
        pools { office { addrs = 10.9.0.10/24\n dns = 10.1.0.1 } }
        secrets { ike { secret = 0x30313233343536373839303132333435 } }";
    let (config, done) = valid(text);
    assert_eq!(done.refused, 0, "{:?}", done.notes);
    let connection = &config.policy.connections[0];
    assert_eq!(connection.pools[0].first.to_string(), "10.9.0.10");
    assert_eq!(config.policy.secrets[0].secret.expose(), b"0123456789012345");
    assert_eq!(fate(&done, "pools.office.dns"), Some(Fate::Dropped));
}

#[test]
fn two_secrets_for_one_peer_are_told() {
    let text = office("", "").replace("secrets {", "secrets { ike-other { id = b.example\n secret = another }\n");
    let (_folder, done) = import(&text);
    assert_eq!(fate(&done, "secrets.ike-office"), Some(Fate::Refused));
    assert_eq!(done.secrets.len(), 1);
}

#[test]
fn the_key_of_a_certificate_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["x509", "x509ca", "private"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let (ca, now) = (folder.path().join("ca"), std::time::Duration::from_secs(1_795_305_600));
    let authority = pki::Command::Ca { name: "Test".into(), out: ca.clone(), days: 3650, key: pki::Kind::Ecdsa256 };
    pki::write(authority, now).unwrap();
    for (name, file) in [("b.example", "a"), ("a.example", "gw")] {
        let issue = pki::Command::Issue {
            ca: ca.clone(),
            name: name.into(),
            san: vec![],
            out: folder.path().to_owned(),
            days: 365,
            key: pki::Kind::Ed25519,
            key_file: None,
            crl: None,
        };
        pki::write(issue, now).unwrap();
        let from = |kind: &str| folder.path().join(format!("{name}.{kind}"));
        std::fs::copy(from("key"), folder.path().join(format!("private/{file}.key"))).unwrap();
        std::fs::copy(from("pem"), folder.path().join(format!("x509/{file}.pem"))).unwrap();
    }
    std::fs::copy(ca.join("ca.pem"), folder.path().join("x509ca/ca.pem")).unwrap();
    let text = office("", "").replace("local { auth = psk\n id = a.example }", "local { certs = gw.pem }");
    let text = text.replace("remote { auth = psk", "remote { auth = pubkey");
    let root = syntax::parse(Path::new("swanctl.conf"), &text, &mut files::Disk::default()).unwrap();
    let done = translate::translate(&root, &files::Folders(folder.path().to_owned()));
    assert_eq!(done.refused, 0, "{:?}", done.notes);
    let written = files::write(&folder.path().join("out"), &done.toml, &done.secrets).unwrap();
    config::load(&written[0]).unwrap_or_else(|errors| panic!("{errors:?}\n{}", done.toml));
}

#[test]
fn names_from_a_file_are_tables_of_toml() {
    super::fuzz(
        "connections { \"a\\\"b]\\n\" { local { auth = psk\n id = \"x\\\"\\n\" }\n remote { auth = psk }\n children { \"c'\" { local_ts = \"\\\"\"\n remote_ts = x } } } }",
    );
    super::fuzz(&office("", ""));
}
