//! Certificates, keys and revocation lists by their files.
use super::Fake;
use crate::config::document::{Desired, Key};
use crate::config::{Config, Errors, Source};
use crate::crypto::cert::Revocation;
use crate::crypto::cert::tests::{Authority, key};
use crate::ike::policy::AuthKind;
use base64::Engine as _;
use std::path::Path;
use std::sync::Arc;

/// An authority, a gateway's certificate and key, and another key, as files of a configuration.
struct Files(Fake);
impl Files {
    fn new() -> Self {
        let (root, (pair, _)) = (Authority::root("root"), key());
        let gateway = root.issue(&pair, "gw.example", |_| {});
        let nameless = root.issue(&pair, "gw.example", |p| {
            p.subject_alt_names.clear();
            p.distinguished_name = Default::default();
        });
        let mut fake = Fake::default();
        for (name, octets) in [
            ("ca.pem", root.der.clone()),
            ("gw.pem", gateway),
            ("nameless.pem", nameless),
            ("gw.key", pair.serialize_pem().into_bytes()),
            ("other.key", key().0.serialize_pem().into_bytes()),
            ("ca.crl", root.crl_der(&[7], 2027)),
            ("junk", b"junk".to_vec()),
        ] {
            fake.files.insert(format!("/etc/sandhog/{name}").into(), Ok(octets));
        }
        Self(fake)
    }
    fn parse(&self, local: &str, remote: &str) -> Result<Config, Errors> {
        let text = format!(
            "[connections.a]\nremote_addrs = ['203.0.113.7']\nlocal = {{ {local} }}\nremote = {{ {remote} }}\n\
             [connections.a.children.b]\nlocal_ts = ['10.1.0.0/16']\nremote_ts = ['10.2.0.0/16']\n"
        );
        crate::config::parse(&[Source { name: "/etc/sandhog/sandhog.toml".into(), text }], &self.0)
    }
    /// `code@line: message` of the only error.
    #[track_caller]
    fn error(&self, local: &str, remote: &str) -> String {
        let errors = self.parse(local, remote).expect_err("this should be refused").0;
        assert_eq!(errors.len(), 1, "{errors:?}");
        format!("{}@{}: {}; {}", errors[0].code, errors[0].line, errors[0].message, errors[0].hint)
    }
}
const OWN: &str = "auth = 'pubkey', certs = ['gw.pem'], key = 'gw.key'";
const PEER: &str = "auth = 'pubkey', id = 'peer.example', cacerts = ['ca.pem']";

#[test]
fn both_sides_with_certificates_need_no_secret() {
    let files = Files::new();
    let config =
        files.parse(OWN, &format!("{PEER}, crls = ['ca.crl'], revocation = 'strict', crl_hosts = ['CRL.example']"));
    let policy = config.unwrap().policy;
    let connection = &policy.connections[0];
    assert_eq!((connection.local_auth, connection.remote_auth), (AuthKind::PublicKey, AuthKind::PublicKey));
    // As in swanctl: the subject, unless another name of the certificate is given.
    assert_eq!(connection.local_id.as_ref().unwrap().to_string(), "CN=gw.example, O=Sandhog");
    let credentials = &policy.credentials["a"];
    let (own, peer) = (credentials.local.as_ref().unwrap(), credentials.remote.as_ref().unwrap());
    assert!(own.pss && own.chain.len() == 1 && peer.trust.revocation() == Revocation::Strict);
    assert_eq!(*peer.crl_hosts, ["crl.example"]);
    let policy = files.parse(&format!("{OWN}, id = 'GW.example', padding = 'pkcs1'"), PEER).unwrap().policy;
    assert_eq!(policy.connections[0].local_id.as_ref().unwrap().to_string(), "GW.example");
    assert!(!policy.credentials["a"].local.as_ref().unwrap().pss);
}

#[test]
fn one_side_with_a_secret_needs_one() {
    let error = Files::new().error(OWN, "id = 'peer.example'");
    assert!(error.starts_with("secret.missing@1"), "{error}");
}

#[test]
fn what_cannot_work_is_said_where_it_stands() {
    let files = Files::new();
    let of_own = |local: &str| files.error(local, PEER);
    for (error, start, said) in [
        (of_own("auth = 'pubkey', certs = ['gw.pem'], key = 'other.key'"), "key.mismatch@3", "first of certs"),
        (of_own("auth = 'pubkey', certs = ['ca.pem', 'gw.pem'], key = 'gw.key'"), "key.mismatch@3", "lead to"),
        (of_own("auth = 'pubkey', certs = ['gw.pem'], key = 'junk'"), "key.invalid@3", "PKCS#8"),
        (of_own("auth = 'pubkey', certs = ['junk'], key = 'gw.key'"), "certificate.invalid@3", "junk"),
        (of_own("auth = 'pubkey', certs = ['none.pem'], key = 'gw.key'"), "secret.file@3", "no such file"),
        (of_own("auth = 'pubkey', certs = ['gw.pem'], key = 'none.key'"), "secret.file@3", "no such file"),
        (of_own("auth = 'pubkey', key = 'gw.key'"), "credential.missing@3", "`certs`"),
        (of_own("auth = 'pubkey', certs = ['gw.pem']"), "credential.missing@3", "`key`"),
        (of_own(&format!("{OWN}, id = 'other.example'")), "id.not_in_certificate@3", "gw.example"),
        (of_own("auth = 'pubkey', certs = ['nameless.pem'], key = 'gw.key'"), "id.needed@3", "subjectAltName"),
        (files.error(OWN, "auth = 'pubkey', id = 'x'"), "credential.missing@4", "`cacerts`"),
        (files.error(OWN, "auth = 'pubkey', id = 'x', cacerts = ['junk']"), "certificate.invalid@4", "junk"),
        (files.error(OWN, &format!("{PEER}, crls = ['ca.pem']")), "certificate.invalid@4", "revocation list"),
        (files.error(OWN, &format!("{PEER}, certs = ['gw.pem']")), "key.unknown@4", "cacerts"),
    ] {
        assert!(error.starts_with(start) && error.contains(said), "{error}");
    }
}

/// What is up stays up when a certificate is renewed: the connection is the same.
#[test]
fn other_files_are_no_other_connection() {
    let (one, two) = (Files::new(), Files::new());
    let [one, two] = [one, two].map(|files| files.parse(OWN, PEER).unwrap().policy);
    assert_eq!(one.connections, two.connections);
    assert!(!Arc::ptr_eq(&one.credentials["a"], &two.credentials["a"]));
}

/// As it always was: files of tools and bundles of authorities have such things in them.
#[test]
fn what_is_public_beside_is_passed_over() {
    let mut files = Files::new();
    let pem = |name: &str, label: &str| {
        let der = files.0.files[Path::new(&format!("/etc/sandhog/{name}"))].clone().unwrap();
        let encoded = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{encoded}\n-----END {label}-----\n")
    };
    let (own, authority) = (pem("gw.pem", "CERTIFICATE"), pem("ca.pem", "CERTIFICATE"));
    let (list, parameters) = (pem("ca.crl", "X509 CRL"), pem("junk", "DH PARAMETERS"));
    for (name, text) in [
        ("own.pem", format!("    X509v3 Private Key Usage Period: \n{own}{parameters}")),
        ("bundle.pem", format!("# the private key is in the HSM\n{list}{authority}")),
        ("lists.pem", format!("{authority}{list}")),
    ] {
        files.0.files.insert(format!("/etc/sandhog/{name}").into(), Ok(text.into_bytes()));
    }
    let peer = "auth = 'pubkey', id = 'peer.example', cacerts = ['bundle.pem'], crls = ['lists.pem']";
    let policy = files.parse("auth = 'pubkey', certs = ['own.pem'], key = 'gw.key'", peer).unwrap().policy;
    let credentials = &policy.credentials["a"];
    let trust = &credentials.remote.as_ref().unwrap().trust;
    assert_eq!((trust.authorities().count(), trust.lists().len()), (1, 1));
    assert_eq!(credentials.local.as_ref().unwrap().chain.len(), 1);
}

/// People keep both in one file. What `certs` has is shown by the API and kept in the clear.
#[test]
fn a_private_key_among_certificates_is_refused_and_not_shown() {
    let mut files = Files::new();
    let key = String::from_utf8(files.0.files[Path::new("/etc/sandhog/gw.key")].clone().unwrap()).unwrap();
    let pem = |name: &str| {
        let der = files.0.files[Path::new(&format!("/etc/sandhog/{name}"))].clone().unwrap();
        let encoded = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
    };
    let authority = pem("ca.pem");
    let (both, of_authority) = (format!("{}{key}", pem("gw.pem")), format!("{key}{authority}"));
    let secret = key.lines().nth(1).unwrap().to_owned();
    for (name, text) in [("both.pem", &both), ("authority.pem", &of_authority), ("ca-text.pem", &authority)] {
        files.0.files.insert(format!("/etc/sandhog/{name}").into(), Ok(text.clone().into_bytes()));
    }
    files.parse(OWN, "auth = 'pubkey', id = 'peer.example', cacerts = ['ca-text.pem']").unwrap();
    let inline = |text: &str| format!("{text:?}");
    for (local, remote, wanted) in [
        ("auth = 'pubkey', key = 'gw.key', certs = ['both.pem']".to_owned(), PEER.to_owned(), "`certs`"),
        (format!("auth = 'pubkey', key = 'gw.key', certs = [{}]", inline(&both)), PEER.into(), "`certs`"),
        (OWN.into(), "auth = 'pubkey', id = 'x', cacerts = ['authority.pem']".into(), "`cacerts`"),
        (OWN.into(), format!("auth = 'pubkey', id = 'x', cacerts = [{}]", inline(&of_authority)), "`cacerts`"),
        (OWN.into(), format!("{PEER}, crls = ['authority.pem']"), "`crls`"),
    ] {
        let errors = files.parse(&local, &remote).unwrap_err();
        let shown = format!("{errors}{errors:?}{}", serde_json::to_string(&errors).unwrap());
        assert_eq!(errors.0.iter().map(|e| e.code).collect::<Vec<_>>(), ["certificate.private_key"]);
        assert!(errors.0[0].message.contains(wanted) && !shown.contains(&secret), "{shown}");
    }
    // The same over the API.
    let sent = serde_json::json!({ "remote_addrs": ["203.0.113.7"], "local": { "auth": "pubkey", "certs": [both], "key": key },
        "remote": { "auth": "pubkey", "id": "x", "cacerts": [authority] }, "children": {} });
    let sent = Desired::default().put_object(&Key::connection("a"), sent.to_string().as_bytes()).unwrap();
    let errors = sent.check(&files.0).unwrap_err();
    let found = errors.0.iter().find(|e| e.code == "certificate.private_key").unwrap();
    assert!(found.pointer.as_deref().unwrap().starts_with("/connections/a/local"), "{found:?}");
    assert!(!format!("{errors}{errors:?}").contains(&secret), "{errors}");
}
