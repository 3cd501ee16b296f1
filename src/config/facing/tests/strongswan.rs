//! swanctl.conf, read by the reader that `import` has; strongSwan itself reads it in conformance.
use super::*;
use crate::cli::import::syntax::{self, Section};
use std::path::{Path, PathBuf};

struct Nothing;
impl syntax::Files for Nothing {
    fn read(&mut self, _: &Path) -> Result<Vec<(PathBuf, String)>, String> {
        Err("nothing is included".into())
    }
}
pub(in super::super) fn read(text: &str) -> Result<Section, String> {
    syntax::parse(Path::new("swanctl.conf"), text, &mut Nothing)
}

#[test]
fn it_is_swanctl_and_says_the_same() {
    for sample in SAMPLES {
        let facing = Facing::of(&config_of(sample, Some(["left.example", "right.example"])), "c").unwrap();
        let text = text(&facing, "strongswan", Some(SECRET)).unwrap();
        let root = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let c = root.section("connections").and_then(|all| all.section("c")).unwrap();
        assert_eq!(c.value("local_addrs"), Some("203.0.113.7"));
        assert_eq!(c.value("remote_addrs"), Some("192.0.2.1"));
        assert_eq!(c.section("local").unwrap().value("id"), Some("right.example"));
        assert_eq!(c.section("remote").unwrap().value("id"), Some("left.example"));
        assert_eq!(c.value("encap").is_some(), facing.encap);
        let children = c.section("children").unwrap();
        for tunnel in &facing.children {
            let child = children.section(&tunnel.name).unwrap();
            let list = |all: &[Selector]| all.iter().map(Selector::to_string).collect::<Vec<_>>().join(", ");
            assert_eq!(child.value("local_ts"), Some(&*list(&tunnel.peer_ts)));
            assert_eq!(child.value("remote_ts"), Some(&*list(&tunnel.our_ts)));
            assert_eq!(child.value("if_id_in"), (sample.name == "routed").then_some("100"));
            for one in child.value("esp_proposals").unwrap().split(", ") {
                let proposal = crate::wire::keyword::parse(crate::wire::registry::ProtocolId::ESP, one).unwrap();
                assert!(!crate::wire::keyword::proposal(&proposal).contains("esn"));
            }
        }
        let secret = root.section("secrets").and_then(|all| all.section("ike-c")).unwrap();
        assert_eq!(secret.value("secret"), Some(SECRET));
        assert_eq!(secret.value("id-sandhog"), Some("left.example"));
    }
}

/// `*` is a pattern there; other odd ones travel as their octets.
#[test]
fn odd_identities_are_the_same_there() {
    let ids = |us: &str| Facing::of(&config_of(sample("cbc"), Some([us, "right.example"])), "c").unwrap();
    for (given, written) in [
        ("user@left.example", "\"user@left.example\""),
        ("keyid:abc", "\"keyid:#616263\""),
        ("fqdn:a\\x0ab", "\"fqdn:#610a62\""),
        ("fqdn:a\\x22 }", "\"fqdn:#6122207d\""),
        ("C=CH, O=x, CN=y", "\"C=CH, O=x, CN=y\""),
    ] {
        let text = text(&ids(given), "strongswan", None).unwrap();
        assert!(text.contains(&format!("      id = {written}\n")), "{given}: {text}");
    }
    assert!(text(&ids("fqdn:*.example"), "strongswan", None).unwrap_err().what.contains("pattern"));
}

#[test]
fn selectors_have_numbers() {
    for (given, written) in [
        ("10.0.0.0/8[tcp/443]", "10.0.0.0/8[6/443]"),
        ("10.0.0.1-10.0.0.9[udp]", "10.0.0.1-10.0.0.9[17]"),
        ("10.0.0.0/8[icmp/8]", "10.0.0.0/8[1/2048-2303]"),
        ("2001:db8::/32[0/opaque]", "2001:db8::/32[0/opaque]"),
    ] {
        assert_eq!(super::super::strongswan::selector(&given.parse().unwrap()), written);
    }
}
