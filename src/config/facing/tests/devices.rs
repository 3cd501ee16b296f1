//! The command languages of routers and firewalls, as far as they speak of IPsec, and what was meant.
use super::grammar::{self, Grammar, Line, find, last};
use super::*;

pub(super) const IOS: Grammar = Grammar {
    comment: "!",
    leave: "",
    views: &[
        (
            "global",
            &[
                ("no crypto ikev2 proposal|policy default", None),
                ("crypto ikev2 proposal NAME", Some("proposal")),
                ("crypto ikev2 policy NAME", Some("policy")),
                ("crypto ikev2 keyring NAME", Some("keyring")),
                ("crypto ikev2 profile NAME", Some("profile")),
                (
                    "crypto ipsec transform-set NAME esp-aes 128|192|256 esp-sha-hmac|esp-sha256-hmac|esp-sha384-hmac|esp-sha512-hmac",
                    Some("transform"),
                ),
                ("crypto ipsec transform-set NAME esp-gcm 128|192|256", Some("transform")),
                ("crypto ipsec profile NAME", Some("sets")),
                ("crypto map NAME NUM ipsec-isakmp", Some("sets")),
                ("ip access-list extended NAME", Some("acl")),
                ("interface Tunnel100", Some("tunnel")),
                ("interface NAME", Some("interface")),
            ],
        ),
        (
            "proposal",
            &[
                ("encryption aes-cbc-128|aes-cbc-192|aes-cbc-256|aes-gcm-128|aes-gcm-256", None),
                ("integrity md5|sha1|sha256|sha384|sha512", None),
                ("prf md5|sha1|sha256|sha384|sha512", None),
                ("group 1|2|5|14|15|16|19|20|21|24", None),
            ],
        ),
        ("policy", &[("match fvrf any", None), ("proposal NAME", None)]),
        ("keyring", &[("peer NAME", Some("peer"))]),
        ("peer", &[("address ADDR", None), ("pre-shared-key SECRET", None)]),
        (
            "profile",
            &[
                ("match identity remote address ADDR MASK", None),
                ("match identity remote fqdn|email|key-id WORD", None),
                ("identity local address ADDR", None),
                ("identity local fqdn|email|key-id WORD", None),
                ("authentication remote|local pre-share", None),
                ("keyring local NAME", None),
                ("lifetime NUM", None),
                ("dpd NUM NUM periodic|on-demand", None),
            ],
        ),
        ("transform", &[("mode tunnel|transport", None)]),
        (
            "sets",
            &[
                ("set security-association lifetime seconds NUM", None),
                ("set security-association lifetime kilobytes disable", None),
                ("set transform-set NAME", None),
                ("set pfs group2|group5|group14|group15|group16|group19|group20|group21", None),
                ("set ikev2-profile NAME", None),
                ("set peer ADDR", None),
                ("match address NAME", None),
            ],
        ),
        ("acl", &[("permit ip ADDR WILDCARD ADDR WILDCARD", None)]),
        (
            "tunnel",
            &[
                ("ip address ADDR MASK", None),
                ("ip unnumbered NAME", None),
                ("ip mtu NUM", None),
                ("ip tcp adjust-mss NUM", None),
                ("tunnel source ADDR", None),
                ("tunnel mode ipsec ipv4", None),
                ("tunnel destination ADDR", None),
                ("tunnel protection ipsec profile NAME", None),
            ],
        ),
        ("interface", &[("crypto map NAME", None)]),
    ],
};

pub(super) const ASA: Grammar = Grammar {
    comment: "!",
    leave: "",
    views: &[
        (
            "global",
            &[
                ("crypto ikev2 policy NUM", Some("policy")),
                ("crypto ikev2 enable NAME", None),
                ("crypto isakmp identity address|hostname|auto", None),
                ("group-policy NAME internal", None),
                ("group-policy NAME attributes", Some("group-policy")),
                ("tunnel-group ADDR type ipsec-l2l", None),
                ("tunnel-group ADDR general-attributes", Some("general")),
                ("tunnel-group ADDR ipsec-attributes", Some("ipsec")),
                ("crypto ipsec ikev2 ipsec-proposal NAME", Some("proposal")),
                ("crypto ipsec profile NAME", Some("profile")),
                ("access-list NAME extended permit ip ADDR MASK ADDR MASK", None),
                ("crypto map NAME NUM match address NAME", None),
                ("crypto map NAME NUM set peer ADDR", None),
                ("crypto map NAME NUM set ikev2 ipsec-proposal NAME", None),
                ("crypto map NAME NUM set pfs group14|group15|group16|group19|group20|group21", None),
                ("crypto map NAME NUM set security-association lifetime seconds NUM", None),
                ("crypto map NAME NUM set security-association lifetime kilobytes unlimited", None),
                ("crypto map NAME interface NAME", None),
                ("interface Tunnel100", Some("tunnel")),
                ("sysopt connection tcpmss NUM", None),
            ],
        ),
        (
            "policy",
            &[
                ("encryption aes|aes-192|aes-256|aes-gcm|aes-gcm-192|aes-gcm-256", None),
                ("integrity sha|sha256|sha384|sha512|null", None),
                ("group 14|15|16|19|20|21", None),
                ("prf sha|sha256|sha384|sha512", None),
                ("lifetime seconds NUM", None),
            ],
        ),
        ("group-policy", &[("vpn-tunnel-protocol ikev2", None)]),
        ("general", &[("default-group-policy NAME", None)]),
        (
            "ipsec",
            &[
                ("ikev2 remote-authentication|local-authentication pre-shared-key SECRET", None),
                ("isakmp keepalive threshold NUM retry NUM", None),
                ("isakmp keepalive disable", None),
            ],
        ),
        (
            "proposal",
            &[
                ("protocol esp encryption aes|aes-192|aes-256|aes-gcm|aes-gcm-192|aes-gcm-256", None),
                ("protocol esp integrity sha-1|sha-256|sha-384|sha-512|null", None),
            ],
        ),
        (
            "profile",
            &[
                ("set ikev2 ipsec-proposal NAME", None),
                ("set pfs group14|group15|group16|group19|group20|group21", None),
                ("set security-association lifetime seconds NUM", None),
                ("set security-association lifetime kilobytes unlimited", None),
            ],
        ),
        (
            "tunnel",
            &[
                ("nameif NAME", None),
                ("ip address ADDR MASK", None),
                ("tunnel source interface NAME", None),
                ("tunnel destination ADDR", None),
                ("tunnel mode ipsec ipv4", None),
                ("tunnel protection ipsec profile NAME", None),
            ],
        ),
    ],
};

pub(super) const JUNOS: Grammar = Grammar {
    comment: "#",
    leave: "",
    views: &[(
        "edit",
        &[
            ("set security ike proposal NAME authentication-method pre-shared-keys", None),
            (
                "set security ike proposal NAME dh-group group2|group5|group14|group15|group16|group19|group20|group21",
                None,
            ),
            ("set security ike proposal NAME authentication-algorithm sha1|sha-256|sha-384|sha-512", None),
            ("set security ike proposal NAME encryption-algorithm aes-128-cbc|aes-192-cbc|aes-256-cbc", None),
            ("set security ike proposal NAME lifetime-seconds NUM", None),
            ("set security ike policy NAME proposals NAME", None),
            ("set security ike policy NAME pre-shared-key ascii-text TEXT", None),
            ("set security ike gateway NAME ike-policy NAME", None),
            ("set security ike gateway NAME address ADDR", None),
            ("set security ike gateway NAME dead-peer-detection interval|threshold NUM", None),
            ("set security ike gateway NAME local-identity|remote-identity inet ADDR", None),
            ("set security ike gateway NAME local-identity|remote-identity hostname|key-id WORD", None),
            ("set security ike gateway NAME local-identity|remote-identity user-at-hostname TEXT", None),
            ("set security ike gateway NAME external-interface NAME", None),
            ("set security ike gateway NAME version v1-only|v2-only", None),
            ("set security ipsec proposal NAME protocol esp", None),
            (
                "set security ipsec proposal NAME encryption-algorithm aes-128-cbc|aes-192-cbc|aes-256-cbc|aes-128-gcm|aes-192-gcm|aes-256-gcm",
                None,
            ),
            (
                "set security ipsec proposal NAME authentication-algorithm hmac-sha1-96|hmac-sha-256-128|hmac-sha-384|hmac-sha-512",
                None,
            ),
            ("set security ipsec proposal NAME lifetime-seconds NUM", None),
            (
                "set security ipsec policy NAME perfect-forward-secrecy keys group2|group5|group14|group15|group16|group19|group20|group21",
                None,
            ),
            ("set security ipsec policy NAME proposals NAME", None),
            ("set security ipsec vpn NAME bind-interface PORT", None),
            ("set security ipsec vpn NAME ike gateway|ipsec-policy NAME", None),
            ("set security ipsec vpn NAME traffic-selector NAME local-ip|remote-ip NET", None),
            ("set security ipsec vpn NAME establish-tunnels immediately|on-traffic", None),
            ("set interfaces st0 unit NUM family inet address NET", None),
            ("set interfaces st0 unit NUM family inet mtu NUM", None),
            ("set interfaces st0 unit NUM family inet", None),
            ("set security flow tcp-mss ipsec-vpn mss NUM", None),
            ("set security zones security-zone NAME interfaces PORT", None),
        ],
    )],
};

pub(super) const FORTIOS: Grammar = Grammar {
    comment: "#",
    leave: "next|end",
    views: &[
        (
            "top",
            &[
                ("config vpn ipsec phase1-interface", Some("phase1s")),
                ("config vpn ipsec phase2-interface", Some("phase2s")),
                ("config system interface", Some("interfaces")),
                ("config router static", Some("routes")),
            ],
        ),
        ("phase1s", &[("edit TEXT", Some("phase1"))]),
        (
            "phase1",
            &[
                ("set type static", None),
                ("set interface TEXT", None),
                ("set ike-version 1|2", None),
                ("set net-device disable|enable", None),
                ("set peertype any|one", None),
                ("set peerid TEXT", None),
                ("set localid-type auto|fqdn|user-fqdn|keyid|address", None),
                ("set localid TEXT", None),
                ("set proposal WORD", None),
                ("set dhgrp NUM", None),
                ("set keylife NUM", None),
                ("set nattraversal enable|disable|forced", None),
                ("set dpd disable|on-idle|on-demand", None),
                ("set dpd-retryinterval NUM", None),
                ("set remote-gw ADDR", None),
                ("set psksecret TEXT", None),
            ],
        ),
        ("phase2s", &[("edit TEXT", Some("phase2"))]),
        (
            "phase2",
            &[
                ("set phase1name TEXT", None),
                ("set proposal WORD", None),
                ("set pfs enable|disable", None),
                ("set dhgrp NUM", None),
                ("set replay enable|disable", None),
                ("set keylifeseconds NUM", None),
                ("set src-subnet ADDR MASK", None),
                ("set dst-subnet ADDR MASK", None),
                ("set auto-negotiate enable|disable", None),
            ],
        ),
        ("interfaces", &[("edit TEXT", Some("interface"))]),
        ("interface", &[("set ip ADDR MASK", None), ("set remote-ip ADDR MASK", None)]),
        ("routes", &[("edit NUM", Some("route"))]),
        ("route", &[("set dst ADDR MASK", None), ("set device TEXT", None)]),
    ],
};

pub(super) const ROUTEROS: Grammar = Grammar {
    comment: "#",
    leave: "",
    views: &[(
        "top",
        &[
            (
                "/ip ipsec profile add name=NAME enc-algorithm=aes-128|aes-192|aes-256 hash-algorithm=sha1|sha256|sha384|sha512 dh-group=WORD lifetime=WORD proposal-check=obey nat-traversal=yes dpd-interval=WORD dpd-maximum-failures=NUM",
                None,
            ),
            (
                "/ip ipsec profile add name=NAME enc-algorithm=aes-128|aes-192|aes-256 hash-algorithm=sha1|sha256|sha384|sha512 dh-group=WORD lifetime=WORD proposal-check=obey nat-traversal=yes dpd-interval=disable-dpd",
                None,
            ),
            ("/ip ipsec peer add name=NAME address=PLACE profile=NAME exchange-mode=ike2 passive=yes|no", None),
            (
                "/ip ipsec identity add peer=NAME auth-method=pre-shared-key secret=TEXT my-id=WORD remote-id=WORD generate-policy=no",
                None,
            ),
            (
                "/ip ipsec proposal add name=NAME enc-algorithms=aes-128-cbc|aes-192-cbc|aes-256-cbc|aes-128-gcm|aes-192-gcm|aes-256-gcm auth-algorithms=sha1|sha256|sha512|null pfs-group=WORD lifetime=WORD",
                None,
            ),
            (
                "/ip ipsec policy add peer=NAME proposal=NAME tunnel=yes level=unique|require src-address=NET dst-address=NET",
                None,
            ),
            ("/ip firewall nat add chain=srcnat action=accept place-before=0 src-address=NET dst-address=NET", None),
        ],
    )],
};

pub(super) const HUAWEI: Grammar = Grammar {
    comment: "#",
    leave: "quit",
    views: &[
        (
            "system",
            &[
                ("ike proposal NUM", Some("ike-proposal")),
                ("ike peer NAME", Some("peer")),
                ("ipsec proposal NAME", Some("ipsec-proposal")),
                ("ipsec profile NAME", Some("policy")),
                ("ipsec policy NAME NUM isakmp", Some("policy")),
                ("acl number NUM", Some("acl")),
                ("interface Tunnel NUM", Some("tunnel")),
                ("interface NAME", Some("interface")),
            ],
        ),
        (
            "ike-proposal",
            &[
                ("encryption-algorithm aes-128|aes-192|aes-256", None),
                ("dh group1|group2|group5|group14|group15|group16|group19|group20|group21", None),
                ("authentication-method pre-share", None),
                ("integrity-algorithm hmac-sha1-96|hmac-sha2-256|hmac-sha2-384|hmac-sha2-512", None),
                ("prf hmac-sha1|hmac-sha2-256|hmac-sha2-384|hmac-sha2-512", None),
                ("sa duration NUM", None),
            ],
        ),
        (
            "peer",
            &[
                ("version 2", None),
                ("undo version 1", None),
                ("pre-shared-key cipher SECRET", None),
                ("ike-proposal NUM", None),
                ("local-id-type|remote-id-type ip|fqdn|user-fqdn|key-id", None),
                ("local-id|remote-id WORD", None),
                ("remote-address ADDR", None),
                ("dpd type periodic|on-demand", None),
                ("dpd idle-time NUM", None),
            ],
        ),
        (
            "ipsec-proposal",
            &[
                ("encapsulation-mode tunnel|transport", None),
                ("transform esp", None),
                ("esp authentication-algorithm sha1|sha2-256|sha2-384|sha2-512", None),
                ("esp encryption-algorithm aes-128|aes-192|aes-256", None),
            ],
        ),
        (
            "policy",
            &[
                ("security acl NUM", None),
                ("ike-peer NAME", None),
                ("proposal NAME", None),
                ("pfs dh-group2|dh-group5|dh-group14|dh-group15|dh-group16|dh-group19|dh-group20|dh-group21", None),
                ("sa duration time-based NUM", None),
            ],
        ),
        ("acl", &[("rule permit ip source ADDR WILDCARD destination ADDR WILDCARD", None)]),
        (
            "tunnel",
            &[
                ("ip address ADDR MASK", None),
                ("ip address unnumbered interface NAME", None),
                ("tunnel-protocol ipsec", None),
                ("source|destination ADDR", None),
                ("ipsec profile NAME", None),
            ],
        ),
        ("interface", &[("ipsec policy NAME", None)]),
    ],
};

/// Fields of a sheet.
pub(super) fn sheet(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut fields = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let is_title = line.starts_with("== ") && line.ends_with(" ==");
        match line.strip_prefix("- ").and_then(|field| field.split_once(": ")) {
            Some((name, value)) if !value.is_empty() => fields.push((name.to_owned(), value.to_owned())),
            _ if is_title => {}
            _ => return Err(format!("`{line}` is no field")),
        }
    }
    Ok(fields)
}

fn read(grammar: &Grammar, format: &str, name: &str) -> Vec<Line> {
    let text = text(&facing(sample(name)), format, Some(SECRET))
        .unwrap_or_else(|refusal| panic!("{format} {name}: {refusal}"));
    grammar::read(grammar, &text).unwrap_or_else(|error| panic!("{format} {name}: {error}\n{text}"))
}
/// Ends of lines that have to be there.
fn has(lines: &[Line], all: &[&str]) {
    for wanted in all {
        let found = lines.iter().any(|line| line.words.join(" ").ends_with(wanted));
        assert!(found, "no {wanted} in {lines:#?}");
    }
}
const PAIR: [&str; 2] = ["10.2.0.0 0.0.255.255 10.1.0.0 0.0.255.255", "10.2.0.0 255.255.0.0 10.1.0.0 255.255.0.0"];

#[test]
fn ios_says_the_same() {
    let lines = read(&IOS, "cisco", "cbc");
    has(&lines, &["encryption aes-cbc-256", "integrity sha256", "prf sha256", "group 14", "set pfs group14", PAIR[0]]);
    has(
        &lines,
        &["identity remote address 192.0.2.1 255.255.255.255", "local address 203.0.113.7", "set peer 192.0.2.1"],
    );
    has(&lines, &["lifetime 22500", "lifetime seconds 3000", &format!("pre-shared-key {SECRET}")]);
    let lines = read(&IOS, "cisco", "gcm");
    has(&lines, &["encryption aes-gcm-256", "prf sha384", "group 20", "esp-gcm 256"]);
    assert!(find(&lines, "proposal", "integrity").is_none());
    has(
        &read(&IOS, "cisco", "routed"),
        &["ip address 169.254.10.2 255.255.255.252", "adjust-mss 1340", "tunnel destination 192.0.2.1"],
    );
    assert_eq!(read(&IOS, "cisco", "per pair").iter().filter(|line| line.view == "acl").count(), 4);
    assert!(text(&facing(sample("peer first")), "cisco", None).unwrap_err().way_out.contains("per_pair"));
}

#[test]
fn asa_says_the_same() {
    let lines = read(&ASA, "cisco-asa", "cbc");
    has(&lines, &["encryption aes-256", "integrity sha256", "prf sha256", "group 14", "set pfs group14", PAIR[1]]);
    has(&lines, &["esp integrity sha-256", "set peer 192.0.2.1", "lifetime seconds 22500", "lifetime seconds 3000"]);
    has(&read(&ASA, "cisco-asa", "gcm"), &["encryption aes-gcm-256", "integrity null", "prf sha384", "group 20"]);
    has(&read(&ASA, "cisco-asa", "routed"), &["ip address 169.254.10.2 255.255.255.252"]);
    let named = Facing::of(&config_of(sample("cbc"), Some(["left.example", "203.0.113.7"])), "c").unwrap();
    assert!(text(&named, "cisco-asa", None).unwrap_err().way_out.contains("local"));
}

#[test]
fn junos_says_the_same() {
    let lines = read(&JUNOS, "juniper", "cbc");
    has(
        &lines,
        &["encryption-algorithm aes-256-cbc", "authentication-algorithm sha-256", "dh-group group14", "keys group14"],
    );
    has(
        &lines,
        &["hmac-sha-256-128", "local-ip 10.2.0.0/16", "remote-ip 10.1.0.0/16", "local-identity inet 203.0.113.7"],
    );
    has(
        &lines,
        &[
            "remote-identity inet 192.0.2.1",
            "lifetime-seconds 22500",
            "lifetime-seconds 3000",
            &format!("\"{SECRET}\""),
        ],
    );
    has(&read(&JUNOS, "juniper", "routed"), &["family inet address 169.254.10.2/30", "mtu 1380"]);
    assert_eq!(
        read(&JUNOS, "juniper", "per pair").iter().filter(|line| line.pattern.contains("traffic-selector")).count(),
        8
    );
}

#[test]
fn fortios_says_the_same() {
    let lines = read(&FORTIOS, "fortigate", "cbc");
    assert_eq!(last(&lines, "phase1", "set proposal"), Some("aes256-sha256"));
    assert_eq!((last(&lines, "phase1", "set dhgrp"), last(&lines, "phase2", "set dhgrp")), (Some("14"), Some("14")));
    has(
        &lines,
        &["src-subnet 10.2.0.0 255.255.0.0", "dst-subnet 10.1.0.0 255.255.0.0", "keylife 22500", "keylifeseconds 3000"],
    );
    has(
        &lines,
        &["set peerid \"192.0.2.1\"", "set localid \"203.0.113.7\"", "remote-gw 192.0.2.1", "nattraversal enable"],
    );
    let lines = read(&FORTIOS, "fortigate", "gcm");
    assert_eq!(last(&lines, "phase1", "set proposal"), Some("aes256gcm-prfsha384"));
    assert_eq!(
        (last(&lines, "phase2", "set proposal"), last(&lines, "phase1", "set nattraversal")),
        (Some("aes256gcm"), Some("forced"))
    );
    has(
        &read(&FORTIOS, "fortigate", "routed"),
        &["set ip 169.254.10.2 255.255.255.255", "set remote-ip 169.254.10.1 255.255.255.252"],
    );
    let long = facing(sample("cbc")).called("a-name-of-sixteen").unwrap();
    assert!(text(&long, "fortigate", None).unwrap_err().way_out.contains("--as"));
}

#[test]
fn routeros_says_the_same() {
    let lines = read(&ROUTEROS, "mikrotik", "cbc");
    has(&lines, &["src-address=10.2.0.0/16 dst-address=10.1.0.0/16", "passive=yes"]);
    let profile = lines[0].words.join(" ");
    assert!(
        profile.contains("enc-algorithm=aes-256 hash-algorithm=sha256 dh-group=modp2048 lifetime=22500s"),
        "{profile}"
    );
    let identity = lines[2].words.join(" ");
    assert!(identity.contains("my-id=address:203.0.113.7 remote-id=address:192.0.2.1"), "{identity}");
    assert!(lines[3].words.join(" ").contains("aes-256-cbc auth-algorithms=sha256 pfs-group=modp2048 lifetime=3000s"));
    assert!(text(&facing(sample("routed")), "mikrotik", None).unwrap_err().what.contains("0.0.0.0/0"));
}

#[test]
fn huawei_says_the_same() {
    let lines = read(&HUAWEI, "huawei", "cbc");
    has(
        &lines,
        &["encryption-algorithm aes-256", "dh group14", "prf hmac-sha2-256", "pfs dh-group14", "sa duration 22500"],
    );
    has(
        &lines,
        &["10.2.0.0 0.0.255.255 destination 10.1.0.0 0.0.255.255", "remote-id 192.0.2.1", "local-id 203.0.113.7"],
    );
    has(&read(&HUAWEI, "huawei", "routed"), &["ip address 169.254.10.2 255.255.255.252"]);
    assert!(text(&facing(sample("per pair")), "huawei", None).is_err());
}

#[test]
fn sheets_say_the_same() {
    for (format, encr) in [("h3c-er", "AES-256"), ("pfsense", "AES, 256 bits")] {
        let text = text(&facing(sample("cbc")), format, Some(SECRET)).unwrap();
        let fields = sheet(&text).unwrap();
        let suites = fields.iter().filter(|(name, _)| name == "Encryption Algorithm");
        assert_eq!(suites.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), [encr, encr]);
        assert!(fields.iter().any(|(_, value)| value == SECRET), "{text}");
        assert!(text.contains("14") && text.contains("10.2.0.0") && text.contains("192.0.2.1"), "{text}");
    }
    let text = text(&facing(sample("routed")), "pfsense", None).unwrap();
    assert!(text.contains("Routed (VTI)") && text.contains("- Local Network: 169.254.10.2/30"), "{text}");
}
