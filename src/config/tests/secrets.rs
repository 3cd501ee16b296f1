//! Secrets never appear: not in errors, not in excerpts, not in `Debug`.
use super::draw::Draw;
use super::faults::classes;
use super::valid::{Kind, draw_doc, quoted, render};
use super::{errors, parse};
use crate::config::{Errors, Source};

const SECRET: &str = "S3cr3t-that-nobody-may-see";

/// Every way in which findings become text.
fn all_texts(errors: &Errors) -> String {
    let json = serde_json::to_string(errors).expect("serializes");
    format!("{errors}\n{}\n{errors:?}\n{json}", errors.render(true))
}

#[track_caller]
fn hidden(text: &str) -> String {
    let errors = parse(text).expect_err("this should be refused");
    let shown = all_texts(&errors);
    assert!(!shown.contains("S3cr3t") && !shown.contains("nobody"), "{errors}");
    shown
}

#[test]
fn in_the_line_of_an_error() {
    for line in [
        "a = { id = [\"two words\"], secret = \"S3cr3t-nobody\" }",
        "a = { secret = \"S3cr3t-nobody\", id = [\"two words\"] }",
        "a = { secret = \"S3cr3t-nobody\" }",
        "a = { id = [\"x\"], secert = \"S3cr3t-nobody\" }",
        "a = { id = [\"x\"], secret = [\"S3cr3t-nobody\"] }",
        "a = { id = [\"x\"], secret = { value = \"S3cr3t-nobody\" } }",
        "a = { id = [\"x\"], secret = \"0xS3cr3t-nobody\" }",
        "a = { id = [\"x\"], secret = \"0sS3cr3t-nobody\" }",
        "a = { id = [\"x\"], secret = \"S3cr3t-nobody\", secret_file = \"/x\" }",
        "a = \"S3cr3t-nobody\"",
        "\"a b\" = { id = [\"x\"], secret = \"S3cr3t-nobody\" }",
        "a = { id = [\"x\"], secret = \"S3cr3t-nobody\" }\nb = { id = [\"x\"], secret = \"S3cr3t-nobody\" }",
        "a.secret = \"S3cr3t-nobody\"\na.secret = \"S3cr3t-nobody\"",
        "a = { id = [\"x\"], secret = \"S3cr3t-nobody\", secret = \"S3cr3t-nobody\" }",
        "a = { id = [\"%any\"], secret = \"\"\"\nS3cr3t\nnobody\"\"\", key = 1 }",
    ] {
        hidden(&format!("[secrets]\n{line}\n"));
    }
}

#[test]
fn in_the_wrong_place() {
    hidden("secret = \"S3cr3t-nobody\"\n");
    hidden("secrets = \"S3cr3t-nobody\"\n");
    hidden("gateway = { secret = \"S3cr3t-nobody\" }\n");
    hidden("[connections.a]\npsk = \"S3cr3t-nobody\"\n");
    hidden("[connections]\na = { psk = \"S3cr3t-nobody\", remote_addrs = [\"bad address\"] }\n");
    hidden("[secret.a]\nid = [\"x\"]\nsecret = \"S3cr3t-nobody\"\n");
}

#[test]
fn in_a_second_file() {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    for line in
        ["connections.a = { psk = \"S3cr3t\" }", "secrets.a = { secret = \"S3cr3t\" }", "gateway.key = \"S3cr3t\""]
    {
        let sources = [source("/a.toml", line), source("/b.toml", line)];
        let errors = crate::config::parse(&sources, &super::Fake::default()).expect_err("refused");
        assert!(errors.0.iter().any(|e| e.code == "key.duplicate"), "{errors}");
        assert!(!all_texts(&errors).contains("S3cr3t"), "{errors}");
    }
}

#[test]
fn in_a_file_that_does_not_parse() {
    for broken in [
        "[secrets.a]\nid = [\"x\"]\nsecret = \"S3cr3t-nobody\n",
        "[secrets.a]\nsecret = S3cr3t-nobody\n",
        "[secrets.a]\nsecret \"S3cr3t-nobody\"\n",
        "[secrets.a]\nsecret = \"S3cr3t-nobody\\q\"\n",
        "[secrets.a]\nsecret = \"\"\"\nfirst line\nS3cr3t-nobody \\q\n\"\"\"\n",
        "secrets.a.secret = 'S3cr3t-nobody\n",
        "[secrets]\na = { id = [\"x\"], \n  secret = \"S3cr3t-nobody\" \"again\" }\n",
        "[\"secrets\".a]\nsecret = \"S3cr3t-nobody\" extra\n",
        "[\"\\u0073ecrets\".a]\nvalue = \"S3cr3t-nobody\" extra\n",
        "[secrets.a] secret = \"S3cr3t-nobody\"\n",
        "[secrets.a]\nsecret = 0xS3cr3t-nobody\n",
    ] {
        assert!(hidden(broken).contains("toml.syntax"), "{broken}");
    }
}

#[test]
fn what_is_not_secret_is_shown() {
    let shown = parse("[connections.a]\nencap = \"alway\"\n").expect_err("refused").to_string();
    assert!(shown.contains("encap = \"alway\"") && shown.contains("sandhog.toml:2:9"), "{shown}");
    let shown = parse("[secrets.a]\nsecret = \"x\"\n[gateway]\nworkers = four\n").expect_err("refused").to_string();
    assert!(shown.contains("workers = four"), "{shown}");
}

#[test]
fn in_any_class_of_fault() {
    for (n, class) in classes().iter().enumerate() {
        for seed in 0..4 {
            let mut draw = Draw::new(n as u64 * 77 + seed);
            let mut doc = draw_doc(&mut draw);
            class.inject(&mut draw, &mut doc);
            for i in doc.all(Kind::Secret) {
                if doc.sections[i].get("secret").is_some() && !class.code.starts_with("secret.") {
                    doc.sections[i].set("secret", quoted(SECRET));
                }
            }
            let (sources, _) = render(&mut draw, &doc);
            let errors = crate::config::parse(&sources, &doc.fake).expect_err("refused");
            assert!(!all_texts(&errors).contains("S3cr3t"), "{}: {errors}", class.name);
        }
    }
}

#[test]
fn in_a_configuration_that_is_accepted() {
    let text = format!(
        "[connections.a]\nremote_addrs = [\"192.0.2.1\"]\nchildren.lan = {{ local_ts = [\"10.0.0.0/8\"], remote_ts = [\"11.0.0.0/8\"] }}\n\
         [secrets]\na = {{ id = [\"%any\"], secret = \"{SECRET}\" }}\nb = {{ id = [\"b\"], secret = \"S3cr3t\" }}\n"
    );
    let config = parse(&text).expect("accepted");
    let codes: Vec<&str> = config.warnings.iter().map(|w| w.code).collect();
    assert_eq!(codes, ["secret.any", "secret.weak"]);
    let shown = format!("{config:?}{}", crate::config::error::render(&config.warnings, true));
    assert!(!shown.contains("S3cr3t"), "{shown}");
    assert_eq!(config.policy.secrets[0].secret.expose(), SECRET.as_bytes());
    let source = Source { name: "x".into(), text };
    assert!(!format!("{source:?}").contains("S3cr3t"));
}

#[test]
fn forms() {
    let secret = |value: &str| {
        let config = parse(&format!("[secrets.a]\nid = [\"x\"]\nsecret = {value}\n")).expect("accepted");
        config.policy.secrets[0].secret.expose().to_vec()
    };
    assert_eq!(secret("\"as is, with spaces \""), b"as is, with spaces ");
    assert_eq!(secret("\"0x00ffAB\""), [0, 255, 171]);
    assert_eq!(secret("\"0sAP+r\""), [0, 255, 171]);
    assert_eq!(secret("'0\\x00'"), b"0\\x00");
    assert_eq!(errors("[secrets.a]\nid = [\"x\"]\nsecret = \"0x0\"\n"), ["secret.encoding@3"]);
}
