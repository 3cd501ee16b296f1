//! Comware 7: the views of IKEv2 and IPsec.
use super::grammar::{self, Grammar, find, last};
use super::*;

pub(in super::super) const GRAMMAR: Grammar = Grammar {
    comment: "#",
    leave: "quit",
    views: &[
        (
            "system",
            &[
                ("ikev2 proposal NAME", Some("proposal")),
                ("ikev2 policy NAME", Some("policy")),
                ("ikev2 keychain NAME", Some("keychain")),
                ("ikev2 profile NAME", Some("profile")),
                ("ipsec transform-set NAME", Some("transform-set")),
                ("ipsec profile NAME isakmp", Some("ipsec-profile")),
                ("ipsec policy NAME NUM isakmp", Some("ipsec-policy")),
                ("acl advanced NUM", Some("acl")),
                ("interface tunnel NUM mode ipsec", Some("tunnel")),
                ("interface WORD", Some("interface")),
            ],
        ),
        (
            "proposal",
            &[
                (
                    "encryption 3des-cbc|aes-cbc-128|aes-cbc-192|aes-cbc-256|aes-ctr-128|aes-ctr-192|aes-ctr-256|des-cbc",
                    None,
                ),
                ("integrity aes-xcbc-mac|md5|sha1|sha256|sha384|sha512", None),
                ("prf aes-xcbc-mac|md5|sha1|sha256|sha384|sha512", None),
                ("dh group1|group2|group5|group14|group19|group20|group24", None),
            ],
        ),
        ("policy", &[("priority NUM", None), ("proposal NAME", None)]),
        ("keychain", &[("peer NAME", Some("keychain-peer"))]),
        (
            "keychain-peer",
            &[
                ("address ADDR NUM", None),
                ("identity address ADDR", None),
                ("identity fqdn|email|key-id WORD", None),
                ("pre-shared-key plaintext SECRET", None),
            ],
        ),
        (
            "profile",
            &[
                ("authentication-method local|remote pre-share", None),
                ("keychain NAME", None),
                ("identity local address ADDR", None),
                ("identity local fqdn|email|key-id WORD", None),
                ("match remote identity address ADDR NUM", None),
                ("match remote identity fqdn|email|key-id WORD", None),
                ("sa duration NUM", None),
                ("dpd interval NUM periodic|on-demand", None),
            ],
        ),
        (
            "transform-set",
            &[
                ("encapsulation-mode tunnel|transport", None),
                ("protocol esp", None),
                ("esp encryption-algorithm aes-cbc-128|aes-cbc-192|aes-cbc-256|gcm-128|gcm-192|gcm-256", None),
                ("esp authentication-algorithm aes-xcbc-mac|md5|sha1|sha256|sha384|sha512", None),
                ("pfs dh-group1|dh-group2|dh-group5|dh-group14|dh-group19|dh-group20|dh-group24", None),
                ("esn enable", None),
            ],
        ),
        (
            "ipsec-profile",
            &[("transform-set NAME", None), ("ikev2-profile NAME", None), ("sa duration time-based NUM", None)],
        ),
        (
            "ipsec-policy",
            &[
                ("transform-set NAME", None),
                ("security acl NUM", None),
                ("security acl NUM aggregation", None),
                ("local-address ADDR", None),
                ("remote-address ADDR", None),
                ("ikev2-profile NAME", None),
                ("sa duration time-based NUM", None),
            ],
        ),
        ("acl", &[("rule permit ip source ADDR WILDCARD destination ADDR WILDCARD", None)]),
        (
            "tunnel",
            &[
                ("ip address ADDR MASK", None),
                ("source ADDR", None),
                ("destination ADDR", None),
                ("tunnel protection ipsec profile NAME", None),
                ("tcp mss NUM", None),
            ],
        ),
        ("interface", &[("ipsec apply policy NAME", None)]),
    ],
};

#[test]
fn it_is_comware_and_says_the_same() {
    for name in ["cbc", "peer first", "per pair", "routed"] {
        let facing = facing(sample(name));
        let text = text(&facing, "h3c", Some(SECRET)).unwrap();
        let lines = grammar::read(&GRAMMAR, &text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        let bits = if ["peer first", "per pair"].contains(&name) { "128" } else { "256" };
        assert_eq!(last(&lines, "proposal", "encryption"), Some(&*format!("aes-cbc-{bits}")));
        assert_eq!(
            ["integrity", "prf", "dh"].map(|key| last(&lines, "proposal", key).unwrap()),
            ["sha256", "sha256", "group14"]
        );
        assert_eq!(last(&lines, "profile", "identity local"), Some("203.0.113.7"));
        assert_eq!(find(&lines, "profile", "match remote").unwrap()[4], "192.0.2.1");
        assert_eq!(last(&lines, "keychain-peer", "pre-shared-key"), Some(SECRET));
        assert_eq!(last(&lines, "transform-set", "pfs"), Some("dh-group14"));
        let life: u64 = last(&lines, "profile", "sa duration").unwrap().parse().unwrap();
        let ours = facing.life.ours.as_secs();
        assert_eq!(life < ours, facing.life.peer_first, "{life} {ours}");
        let rules = lines.iter().filter(|line| line.view == "acl").count();
        let wanted = if name == "routed" { 0 } else { facing.children.iter().map(|child| child.pairs().count()).sum() };
        assert_eq!(rules, wanted);
        if name == "routed" {
            assert_eq!(find(&lines, "tunnel", "ip address").unwrap()[2..], ["169.254.10.2", "255.255.255.252"]);
            assert_eq!(last(&lines, "tunnel", "tcp mss"), Some("1340"));
        }
    }
}

#[test]
fn rules_are_the_other_way_round() {
    let text = text(&facing(sample("cbc")), "h3c", None).unwrap();
    assert!(text.contains("rule permit ip source 10.2.0.0 0.0.255.255 destination 10.1.0.0 0.0.255.255\n"), "{text}");
}

/// The defaults have no cipher of IKE that it lacks in their first place; what it has is in the second.
#[test]
fn the_first_suite_that_it_knows_is_pinned() {
    let text = text(&facing(sample("defaults")), "h3c", None).unwrap();
    assert!(text.contains(" encryption aes-cbc-256\n") && text.contains(" dh group20\n"), "{text}");
    assert!(text.contains(" esp encryption-algorithm gcm-256\n"), "{text}");
    let refusal = super::text(&facing(sample("gcm")), "h3c", None).unwrap_err();
    assert!(refusal.way_out.contains("aes256-sha256-modp2048"), "{refusal}");
}
