//! Single cases: the example of the documentation, defaults, several errors at once, places, hints.
use super::{errors, parse};
use crate::config::{Config, Gateway, LogFormat, LogLevel, Mode, Monitor, MonitorAction, OnExit};
use crate::ike::policy::{
    Childless, DpdAction, EncapPolicy, IdMatch, Limits, RekeyBy, Remote, Retransmit, StartAction, Unique,
};
use crate::ipsec::fitting::{Fitting, Mss, OuterFragments};
use crate::wire::keyword;
use crate::wire::registry::ProtocolId;
use std::time::Duration;

const GATEWAY: &str = r#"
[gateway]
listen         = ["0.0.0.0", "::"]
ports          = { ike = 500, natt = 4500 }
workers        = 0
pin_workers    = true
device         = "sandhog0"
route_table    = 220
mark           = 0xdc
on_exit        = "closed"
control_socket = "/run/sandhog/control.sock"
observe_socket = "/run/sandhog/observe.sock"
state_dir      = "/var/lib/sandhog"
log            = { level = "info", format = "text" }
retransmit     = { first = "500ms", factor = 1.6, max = "8s", tries = 14 }
limits         = { half_open = 4096, half_open_per_source = 16, cookie_threshold = 64, cookie_per_source = 3, connections = 131072, per_identity = 4, children = 256,
                   per_resource = 32, auth_failures_per_minute = 5, reassembly_bytes = 65536, compute_queue = 256 }
"#;

const CONNECTION: &str = r#"
[connections.hangzhou]
local_addrs    = ["192.0.2.1"]
remote_addrs   = ["203.0.113.7"]
proposals      = ["aes256-sha256-modp2048"]
local          = { auth = "psk", id = "192.0.2.1" }
remote         = { auth = "psk", id = "203.0.113.7" }
rekey_time     = "4h"
reauth_time    = 0
rekey          = "both"
dpd_delay      = "30s"
keepalive      = "20s"
encap          = "auto"
fragmentation  = true
mobike         = false
childless      = "allow"
rehearse       = "auto"
unique         = "replace"
vips           = []
pools          = []

[connections.hangzhou.children.lan]
local_ts       = ["10.1.0.0/16"]
remote_ts      = ["10.2.0.0/16"]
ts_mode        = "together"
esp_proposals  = ["aes256-sha256-modp2048"]
mode           = "tunnel"
priority       = 0
rekey_time     = "1h"
start_action   = "start"
dpd_action     = "restart"
replay_window  = 4096
peer_window    = 64
per_resource_sas = 0
mtu            = "auto"
mss            = "auto"
outer_fragments = "auto"
copy_dscp      = true

[secrets.ike-hangzhou]
id             = ["203.0.113.7"]
secret         = "a long secret that nobody guesses"

[pools.office]
addrs          = "10.9.0.0/24"
"#;

/// The least that is a connection.
pub(super) const SHORT: &str = "[connections.hangzhou]\nremote_addrs = [\"203.0.113.7\"]\n\
    [connections.hangzhou.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n\
    [secrets.a]\nid = [\"203.0.113.7\"]\nsecret = \"a long secret that nobody guesses\"\n";

#[track_caller]
pub(super) fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_documented_gateway_is_the_default() {
    let config = accepted(GATEWAY);
    assert_eq!(config.gateway, Gateway::default());
    assert_eq!(config.gateway, accepted("").gateway);
    assert_eq!(config.policy.limits, Limits::default());
    assert_eq!(config.policy.retransmit, Retransmit::default());
    assert!(config.warnings.is_empty());
}

#[test]
fn the_gateway_can_be_other_than_the_default() {
    let config = accepted(
        "[gateway]\nlisten = [\"192.0.2.1\"]\nports = { natt = 4501 }\nworkers = 3\npin_workers = false\ndevice = \"x\"\nroute_table = \"none\"\nmark = 7\nbind_device = \"vrf-wan\"\non_exit = \"open\"\n\
         control_socket = \"/a\"\nobserve_socket = \"/b\"\nstate_dir = \"/c\"\nmetrics = \"[::1]:1\"\nhook = { command = [\"/sbin/notify\", \"x\"] }\nlog = { level = \"debug\", format = \"journald\", target = \"/d\" }\n\
         retransmit = { first = 1, factor = 2, max = \"4s\", tries = 3 }\nlimits = { half_open = 32, auth_failures_per_minute = 9 }\n",
    );
    let gateway = &config.gateway;
    assert_eq!(gateway.listen, ["192.0.2.1".parse::<std::net::IpAddr>().expect("an address")]);
    assert_eq!((gateway.ports.ike, gateway.ports.natt, gateway.workers, gateway.mark), (500, 4501, 3, 7));
    assert_eq!(gateway.bind_device.as_deref(), Some("vrf-wan"));
    assert!(!gateway.pin_workers && Gateway::default().pin_workers);
    assert_eq!((gateway.device.as_str(), gateway.route_table, gateway.on_exit), ("x", None, OnExit::Open));
    assert_eq!((gateway.log.level, gateway.log.format), (LogLevel::Debug, LogFormat::Journald));
    assert_eq!(gateway.metrics.map(|m| m.port()), Some(1));
    let hook = gateway.hook.as_ref().expect("a hook");
    assert_eq!((hook.command.len(), hook.uid, hook.gid, hook.timeout), (2, 65_534, 65_534, Duration::from_secs(10)));
    let retransmit = config.policy.retransmit;
    assert_eq!(
        (retransmit.first.as_secs(), retransmit.factor, retransmit.max.as_secs(), retransmit.tries),
        (1, 2.0, 4, 3)
    );
    let limits = config.policy.limits;
    assert_eq!((limits.half_open, limits.auth_failures_per_minute), (32, 9));
    assert_eq!(
        (limits.cookie_threshold, limits.half_open_per_source),
        (32, 16),
        "what depends on half_open follows it"
    );
    assert_eq!(config.policy.ports, gateway.ports);
}

#[test]
fn the_documented_connection_is_the_default_but_for_its_suites() {
    let (long, short) = (accepted(CONNECTION), accepted(SHORT));
    assert!(long.warnings.is_empty() && short.warnings.is_empty());
    let (long, short) = (&long.policy.connections[0], &short.policy.connections[0]);
    for connection in [long, short] {
        assert_eq!(&*connection.name, "hangzhou");
        assert_eq!(connection.remote_addrs, [Remote::Addr([203, 0, 113, 7].into())]);
        assert_eq!(connection.remote_id, IdMatch::Exact("203.0.113.7".parse().expect("an ID")));
        assert_eq!(connection.rekey_time, Duration::from_secs(4 * 3600));
        assert_eq!((connection.dpd_delay.as_secs(), connection.keepalive.as_secs()), (30, 20));
        assert_eq!((connection.encap, connection.unique), (EncapPolicy::Auto, Unique::Replace));
        assert_eq!((connection.reauth_time, connection.over_time, connection.rand_time), Default::default());
        assert_eq!((connection.rekey, connection.childless), (RekeyBy::Both, Childless::Allow));
        assert!(connection.fragmentation && !connection.mobike && connection.rehearse);
        assert!(connection.vips.is_empty() && connection.pools.is_empty());
        let child = &connection.children[0];
        assert_eq!(
            (child.start, child.dpd, child.rekey_time.as_secs()),
            (StartAction::Start, DpdAction::Restart, 3600)
        );
        assert_eq!((child.transport, child.rekey_bytes, child.rekey_packets), (false, 0, 0));
        assert_eq!(child.local_ts[0].to_string(), "10.1.0.0/16");
        assert_eq!(child.remote_ts[0].to_string(), "10.2.0.0/16");
    }
    assert_eq!(long.local_id, Some("192.0.2.1".parse().expect("an ID")));
    assert_eq!(short.local_id, None);
    assert_eq!(keyword::proposal(&long.proposals[0]), "aes256-sha256-prfsha256-modp2048");
    assert_eq!(short.proposals, keyword::defaults(ProtocolId::IKE));
    assert_eq!(short.children[0].proposals, keyword::defaults(ProtocolId::ESP));
    let child = &accepted(SHORT).connections[0].children[0];
    assert_eq!((child.mode, child.priority, child.copy_dscp), (Mode::Tunnel, 0, true));
    assert_eq!((child.replay_window, child.peer_window, child.mtu), (4096, 64, None));
    assert_eq!(child.fitting(), Fitting::default());
}

#[test]
fn sizes_can_be_other_than_the_default() {
    let fitting = |more: &str| {
        let text = SHORT.replace("remote_ts = [", &format!("{more}\nremote_ts = ["));
        accepted(&text).connections[0].children[0].fitting()
    };
    assert_eq!(fitting("mss = \"off\"").mss, Mss::Off);
    assert_eq!(fitting("mss = 1360").mss, Mss::Most(1360));
    assert_eq!(fitting("outer_fragments = \"always\"").outer_fragments, OuterFragments::Always);
    assert_eq!(fitting("outer_fragments = \"never\"").outer_fragments, OuterFragments::Never);
    assert_eq!(fitting("mtu = 1400"), Fitting { mtu: Some(1400), ..Fitting::default() });
}

#[test]
fn a_connection_can_be_other_than_the_default() {
    let text = SHORT.replace(
        "[connections.hangzhou]\n",
        "[connections.hangzhou]\nmobike = true\nfragmentation = false\nchildless = \"force\"\nrehearse = \"never\"\nrekey = \"peer\"\n\
         rekey_time = \"1h\"\nreauth_time = \"2h\"\nover_time = \"3m\"\nrand_time = 0\nvips = [\"0.0.0.0\", \"fd00::7\"]\npools = [\"b\", \"a\"]\n",
    ) + "[pools.a]\naddrs = \"10.9.0.0/24\"\n[pools.b]\naddrs = \"fd09::/64\"\n";
    let text = text.replace("remote_ts = [", "rekey_bytes = \"2GiB\"\nrekey_packets = 7\nremote_ts = [");
    let config = accepted(&text);
    let connection = &config.policy.connections[0];
    assert!(connection.mobike && !connection.fragmentation && !connection.rehearse);
    assert_eq!((connection.childless, connection.rekey), (Childless::Force, RekeyBy::Peer));
    let times = [connection.rekey_time, connection.reauth_time, connection.over_time].map(|time| time.as_secs());
    assert_eq!((times, connection.rand_time), ([3600, 7200, 180], Some(Duration::ZERO)));
    let vips: Vec<_> = connection.vips.iter().map(ToString::to_string).collect();
    let pools: Vec<_> = connection.pools.iter().map(|pool| &*pool.name).collect();
    assert_eq!((vips, pools), (vec!["0.0.0.0".into(), "fd00::7".into()], vec!["b", "a"]));
    assert_eq!((connection.children[0].rekey_bytes, connection.children[0].rekey_packets), (2 << 30, 7));
}

#[test]
fn transport_mode_is_told_to_both() {
    let text = SHORT
        .replace("local_ts = [\"10.1.0.0/16\"]", "mode = \"transport\"\nlocal_ts = [\"192.0.2.1[udp/1701]\"]")
        .replace("10.2.0.0/16", "203.0.113.7[udp]");
    let config = accepted(&text);
    assert!(config.policy.connections[0].children[0].transport);
    assert_eq!(config.connections[0].children[0].mode, Mode::Transport);
}

#[test]
fn one_child_per_pair_of_one_family() {
    let child = "ts_mode = \"per_pair\"\nlocal_ts = [\"10.1.0.0/16\", \"fd01::/64\", \"10.3.0.0/16\"]\nrekey_time = 77";
    let text = SHORT.replace("local_ts = [\"10.1.0.0/16\"]", child);
    let text = text.replace("remote_ts = [\"10.2.0.0/16\"]", "remote_ts = [\"10.2.0.0/16\", \"fd02::/64\"]");
    let config = accepted(&text);
    let shown: Vec<_> = (config.policy.connections[0].children.iter())
        .zip(&config.connections[0].children)
        .map(|(policy, child)| {
            assert_eq!(
                (&policy.name, &policy.local_ts, &policy.remote_ts),
                (&child.name, &child.local_ts, &child.remote_ts)
            );
            assert_eq!((policy.local_ts.len(), policy.remote_ts.len(), policy.rekey_time.as_secs()), (1, 1, 77));
            format!("{} {} {}", policy.name, policy.local_ts[0], policy.remote_ts[0])
        })
        .collect();
    let pairs = ["lan-1 10.1.0.0/16 10.2.0.0/16", "lan-2 fd01::/64 fd02::/64", "lan-3 10.3.0.0/16 10.2.0.0/16"];
    assert_eq!(shown, pairs);
    let single = accepted(&SHORT.replace("local_ts = [", "ts_mode = \"per_pair\"\nlocal_ts = ["));
    assert_eq!(&*single.policy.connections[0].children[0].name, "lan");
}

#[test]
fn all_errors_are_reported_at_once_and_in_order() {
    let text = "[gateway]\nworkers = 99\nmark = 0\nnonsense = 1\n\
        [connections.a]\nremote_addrs = [\"0.0.0.0\"]\nproposals = [\"aes256-sha256\", \"3des-md5-modp768\"]\n\
        [connections.a.children.x]\nlocal_ts = [\"10.0.0.1/8\", \"nowhere\"]\nreplay_window = 1\n\
        [secrets.s]\nid = [\"two words\"]\n";
    assert_eq!(
        errors(text),
        [
            "value.range@2",
            "value.range@3",
            "key.unknown@4",
            "address.peer@6",
            "proposal.no_ke@7",
            "keyword.unsupported@7",
            "ts.missing@8",
            "ts.host_bits@9",
            "ts.invalid@9",
            "value.range@10",
            "secret.none@11",
            "id.invalid@12",
        ]
    );
}

#[test]
fn a_syntax_error_ends_its_file_but_not_the_others() {
    let broken = crate::config::Source { name: "/a.toml".into(), text: "[gateway]\nworkers = = 4\nmark = 0\n".into() };
    let other = crate::config::Source { name: "/b.toml".into(), text: "[gateway]\ndevice = \"a/b\"\n".into() };
    let errors = crate::config::parse(&[broken, other], &super::Fake::default()).expect_err("refused");
    let places: Vec<_> = errors.0.iter().map(|e| (e.file.to_str().expect("UTF-8"), e.code, e.line)).collect();
    assert_eq!(places, [("/a.toml", "toml.syntax", 2), ("/b.toml", "value.device", 2)]);
}

#[test]
fn a_keyword_is_pointed_at_within_its_string() {
    let text =
        SHORT.replace("[connections.hangzhou]\n", "[connections.hangzhou]\nproposals = [\"aes256-sha256-modp2O48\"]\n");
    let errors = parse(&text).expect_err("refused");
    let error = &errors.0[0];
    assert_eq!((error.code, error.line, error.column), ("keyword.unknown", 2, 29));
    assert_eq!(&text[error.span.clone()], "modp2O48");
    assert!(errors.to_string().contains("^^^^^^^^") && !errors.to_string().contains("^^^^^^^^^"), "{errors}");
    // With an escape in it the place within is unknown, and the whole string is meant.
    let escaped = text.replace("modp2O48", "\\u006dodp2O48");
    let error = &parse(&escaped).expect_err("refused").0[0];
    assert_eq!(&escaped[error.span.clone()], "\"aes256-sha256-\\u006dodp2O48\"");
}

#[test]
fn hints_say_what_to_write() {
    let hint = |text: &str| parse(text).expect_err("refused").0[0].hint.clone();
    let child = |line: &str| SHORT.replace("remote_ts = [\"10.2.0.0/16\"]", line);
    assert_eq!(hint(&child("remote_ts = [\"10.1.0.5/16[tcp/443]\"]")), "write \"10.1.0.0/16[tcp/443]\"");
    assert!(hint("[gateway]\nworkerz = 1\n").contains("`workers`"));
    let peer = |remote: &str| {
        hint(&SHORT.replace("remote_addrs = [\"203.0.113.7\"]", &format!("remote_addrs = [\"{remote}\"]")))
    };
    assert!(peer("x..example").contains("office.example"), "{}", peer("x..example"));
    assert!(peer("203.0.113.7/32").ends_with("\"203.0.113.7\""), "{}", peer("203.0.113.7/32"));
    assert!(hint("[gateway]\nencap = \"always\"\n").contains("a connection"));
    assert!(hint("[gateway]\non_exit = \"close\"\n").contains("did you mean \"closed\""));
    assert!(hint(&child("remote_ts = [\"10.2.0.0/16\"]\nmode = \"bypass\"")).contains("\"pass\""));
    let missing = SHORT.replace("id = [\"203.0.113.7\"]", "id = [\"203.0.113.8\"]");
    assert!(hint(&missing).contains("203.0.113.8") && hint(&missing).contains("203.0.113.7"));
}

#[test]
fn a_peer_is_named_once() {
    let remotes = |list: &str| {
        let given = format!("remote = {{ id = \"203.0.113.7\" }}\nremote_addrs = [{list}]");
        SHORT.replace("remote_addrs = [\"203.0.113.7\"]", &given)
    };
    assert_eq!(errors(&remotes("\"192.0.2.7\", \"192.0.2.7\"")), ["value.duplicate@3"]);
    assert_eq!(errors(&remotes("\"a.example\", \"2001:db8::7\", \"A.example.\"")), ["value.duplicate@3"]);
    accepted(&remotes("\"a.example\", \"b.example\", \"2001:db8::7\", \"192.0.2.7\""));
}

#[test]
fn columns_count_characters() {
    let errors = parse("gateway = { \"ü\" = \"隧道\", workers = 99 }\n").expect_err("refused");
    let places: Vec<_> = errors.0.iter().map(|e| (e.line, e.column)).collect();
    assert_eq!(places, [(1, 13), (1, 35)]);
}

#[test]
fn json_has_what_a_program_needs() {
    let errors = parse("[gateway]\nworkers = 99\n").expect_err("refused");
    let json = serde_json::to_value(&errors).expect("serializes");
    assert_eq!(json[0]["code"], "value.range");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&2.into(), &11.into()));
    assert_eq!(json[0]["file"], "/etc/sandhog/sandhog.toml");
    assert!(json[0]["hint"].is_string() && json[0]["message"].is_string());
}

#[test]
fn colour_only_where_it_is_wanted() {
    let errors = parse("[gateway]\nworkers = 99\n").expect_err("refused");
    assert!(!errors.render(false).contains('\x1b') && errors.render(true).contains('\x1b'));
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let errors = parse("[gateway]\n\"\\u001b[2J\" = 1\ndevice = \"\\u001b[2J\"\n").expect_err("refused");
    assert!(!errors.render(false).contains('\x1b'), "{errors:?}");
}

#[test]
fn connections_that_share_identities_do_not_replace_each_other() {
    let second = SHORT.replace("hangzhou", "second").replace("10.2.", "10.3.").replace("secrets.a", "secrets.b");
    let second = second.split("[secrets.b]").next().expect("a part");
    let unique = |text: &str| -> Vec<Unique> { accepted(text).policy.connections.iter().map(|c| c.unique).collect() };
    assert_eq!(unique(&format!("{SHORT}{second}")), [Unique::Never, Unique::Never]);
    let given = second.replace("[connections.second]\n", "[connections.second]\nunique = \"keep\"\n");
    assert_eq!(unique(&format!("{SHORT}{given}")), [Unique::Never, Unique::Keep]);
    let other = second.replace("[connections.second]\n", "[connections.second]\nlocal.id = \"other\"\n");
    assert_eq!(unique(&format!("{SHORT}{other}")), [Unique::Replace, Unique::Replace]);
}

#[test]
fn anybody_may_come_but_nobody_is_called() {
    let text = SHORT.replace("203.0.113.7\"]\n[conn", "%any\"]\n[conn");
    let config = accepted(&text);
    let connection = &config.policy.connections[0];
    assert_eq!((&connection.remote_id, &connection.remote_addrs[..]), (&IdMatch::Any, &[Remote::Any][..]));
    assert_eq!((connection.children[0].start, connection.children[0].dpd), (StartAction::None, DpdAction::Clear));
}

#[test]
fn a_post_quantum_key_is_the_secret_of_its_id() {
    let with = |ppk: &str| SHORT.replace("[connections.hangzhou]\n", &format!("[connections.hangzhou]\nppk = {ppk}\n"));
    let secret =
        "[secrets.ppk]\nid = [\"keyid:0xdeadbeef\", \"quanta.example\"]\nsecret = \"0s3q2+796tvu/erb7v3q2+796tvu8=\"\n";
    let ppk = |text: &str| accepted(text).policy.connections[0].ppk.clone().expect("a ppk");
    let named = ppk(&format!("{}{secret}", with("{ id = \"quanta.example\", required = true }")));
    assert_eq!((named.id.as_slice(), named.required), (&b"quanta.example"[..], true));
    let opaque = ppk(&format!("{}{secret}", with("{ id = \"keyid:0xdeadbeef\" }")));
    assert_eq!((opaque.id.as_slice(), opaque.required), (&[0xde, 0xad, 0xbe, 0xef][..], false));
    let missing = errors(&format!("{}{secret}", with("{ id = \"quarks.example\" }")));
    assert_eq!(missing.len(), 1);
    assert!(missing[0].starts_with("secret.missing"), "{missing:?}");
}

#[test]
fn exceptions_need_no_peer_and_are_not_told_to_ike() {
    let text = "[connections.local.children.ssh]\nmode = \"pass\"\nlocal_ts = [\"0.0.0.0/0[tcp/22]\"]\nremote_ts = [\"0.0.0.0/0\"]\n";
    let config = accepted(text);
    assert!(config.policy.connections.is_empty());
    assert_eq!(config.connections[0].children[0].mode, Mode::Pass);
}

#[test]
fn overlap_is_an_error_where_nothing_decides() {
    let two = |local: &str, remote: &str, more: &str| {
        let other = format!(
            "[connections.b]\nremote_addrs = [\"203.0.113.7\"]\n[connections.b.children.x]\nlocal_ts = [\"{local}\"]\nremote_ts = [\"{remote}\"]\n{more}\n"
        );
        parse(&format!("{SHORT}{other}"))
            .map(|_| ())
            .map_err(|e| e.0.iter().map(|e| (e.code, e.line)).collect::<Vec<_>>())
    };
    let refused = Err(vec![("ts.overlap", 11)]);
    assert_eq!(two("10.1.0.0/16", "10.2.0.0/16", ""), refused);
    assert_eq!(two("0.0.0.0/0", "0.0.0.0/0", ""), refused);
    assert_eq!(two("10.1.0.0/16", "10.2.3.4", ""), refused);
    assert_eq!(two("10.1.0.0/16", "10.2.3.4[tcp/80]", ""), refused);
    assert_eq!(two("10.1.0.0/16", "10.2.0.0/16", "priority = 1"), Ok(()));
    assert_eq!(two("10.1.0.0/16", "10.3.0.0/16", ""), Ok(()));
    assert_eq!(two("10.4.0.0/16", "10.2.0.0/16", ""), Ok(()));
    // An exception inside a child is what exceptions are for; beside it with the same networks it is not.
    assert_eq!(two("10.1.0.0/16", "10.2.3.0/24", "mode = \"pass\""), Ok(()));
    assert_eq!(two("0.0.0.0/0", "0.0.0.0/0", "mode = \"drop\""), Ok(()));
    assert_eq!(two("10.1.0.0/16", "10.2.0.0/16", "mode = \"drop\""), refused);
    assert_eq!(two("10.1.0.0/16", "10.2.0.0/16[tcp/22]", "mode = \"pass\""), refused);
}

#[test]
fn weak_suites_are_warned_of_and_work() {
    let text =
        SHORT.replace("[connections.hangzhou]\n", "[connections.hangzhou]\nproposals = [\"aes128-sha1-modp1024\"]\n");
    let config = accepted(&text);
    assert_eq!(config.warnings.len(), 1);
    let warning = &config.warnings[0];
    assert_eq!((warning.code, warning.line), ("proposal.weak", 2));
    assert!(warning.message.contains("sha1") && warning.message.contains("modp1024"), "{}", warning.message);
    // What does not encrypt is told once, as what it is.
    let bare = SHORT.replace("local_ts = [", "esp_proposals = [\"aes256gmac\"]\nlocal_ts = [");
    let warnings = accepted(&bare).warnings;
    assert!(warnings.len() == 1 && warnings[0].message.contains("everybody can read"), "{warnings:?}");
}

#[test]
fn times_and_sizes() {
    let keepalive = |value: &str| {
        let text = SHORT.replace("[connections.hangzhou]\n", &format!("[connections.hangzhou]\nkeepalive = {value}\n"));
        parse(&text).map(|config| config.policy.connections[0].keepalive.as_millis()).map_err(|e| e.0[0].code)
    };
    for (value, millis) in [
        ("\"500ms\"", 500),
        ("\"30s\"", 30_000),
        ("\"5m\"", 300_000),
        ("\"4h\"", 14_400_000),
        ("\"1d\"", 86_400_000),
        ("7", 7000),
        ("0.25", 250),
        ("0", 0),
    ] {
        assert_eq!(keepalive(value), Ok(millis), "{value}");
    }
    for value in
        ["\"30\"", "\"s\"", "\"1w\"", "\"-1s\"", "-1", "inf", "1e300", "\"99999999999999999999s\"", "\"213503982335d\""]
    {
        assert_eq!(keepalive(value), Err("value.duration"), "{value}");
    }
}

#[test]
fn odd_texts_never_panic() {
    let base = format!("{GATEWAY}{CONNECTION}");
    for cut in 0..base.len() {
        if base.is_char_boundary(cut) {
            let _ = parse(&base[..cut]);
        }
    }
    for odd in [
        "\0",
        "\u{feff}",
        "[",
        "[[connections]]\n",
        "[[connections.a.children]]\n",
        "connections = 1",
        "[connections]\na = []\n",
        "[secrets]\na = 1\n",
        "[pools]\na = 1\n",
        "[connections.a]\nchildren = []\n",
        "a.b.c.d.e = 1\r\n",
        "[connections.\"\"]\n",
    ] {
        let _ = parse(odd).map_err(|errors| errors.render(true));
    }
    let deep = format!("gateway = {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(parse(&deep).is_err());
}

#[test]
fn thousands_of_connections_are_checked_against_each_other() {
    let mut text = String::new();
    for n in 0..3000u32 {
        let [_, _, a, b] = n.to_be_bytes();
        text += &format!(
            "[connections.c{n}]\nremote_addrs = [\"198.18.{a}.{b}\"]\n[connections.c{n}.children.x]\n\
             local_ts = [\"0.0.0.0/0\"]\nremote_ts = [\"10.{a}.{b}.0/24\"]\n\
             [secrets.s{n}]\nid = [\"198.18.{a}.{b}\"]\nsecret = \"a long secret that nobody guesses\"\n"
        );
    }
    assert_eq!(accepted(&text).policy.connections.len(), 3000);
    let clash = text.replace("10.7.9.0/24", "10.7.10.128/25");
    assert_eq!(errors(&clash), [format!("ts.overlap@{}", 8 * (7 * 256 + 10) + 3)]);
}

/// Of a child whose `monitor` is this.
fn monitored(monitor: &str) -> String {
    SHORT.replace("remote_ts = [", &format!("monitor = {monitor}\nremote_ts = ["))
}

#[test]
fn a_monitor_may_say_no_more_than_whom_to_ask() {
    let monitor = |text: &str| accepted(text).connections[0].children[0].monitor;
    assert_eq!(monitor(SHORT), None);
    let least = Monitor {
        target: "10.2.0.1".parse().unwrap(),
        source: None,
        interval: Duration::from_secs(2),
        loss: 3,
        action: MonitorAction::Restart,
    };
    assert_eq!(monitor(&monitored("{ target = \"10.2.0.1\" }")), Some(least));
    let all = "{ target = \"10.2.0.1\", interval = \"100ms\", loss = 1, action = \"failover\", source = \"10.1.9.9\" }";
    let wanted = Monitor {
        source: Some("10.1.9.9".parse().unwrap()),
        interval: Duration::from_millis(100),
        loss: 1,
        action: MonitorAction::Failover,
        ..least
    };
    assert_eq!(monitor(&monitored(all)), Some(wanted));
    // A peer that cannot be called is only watched.
    let any = monitored("{ target = \"10.2.0.1\" }")
        .replace("remote_addrs = [\"203.0.113.7\"]", "remote_addrs = [\"%any\"]\nremote = { id = \"203.0.113.7\" }");
    assert_eq!(monitor(&any).map(|monitor| monitor.action), Some(MonitorAction::None));
    let any = any.replace("{ target = ", "{ action = \"restart\", target = ");
    assert_eq!(errors(&any), ["start.any@6"]);
}

#[test]
fn a_monitor_whose_probes_would_not_travel_is_refused() {
    for (monitor, code) in [
        ("{ target = \"10.1.0.1\" }", "monitor.target"),
        ("{ target = \"fd00::1\" }", "monitor.target"),
        ("{ target = \"10.2.0.1\", source = \"10.2.0.1\" }", "monitor.source"),
        ("{ target = \"10.2.0.1\", source = \"10.2.0.2\" }", "monitor.source"),
        ("{ target = \"10.2.0.1\", source = \"fd00::1\" }", "ts.family"),
        ("{ target = \"10.2.0.1\", interval = \"99ms\" }", "value.range"),
        ("{ target = \"10.2.0.1\", interval = \"61m\" }", "value.range"),
        ("{ target = \"10.2.0.1\", loss = 0 }", "value.range"),
        ("{ target = \"10.2.0.1\", action = \"reboot\" }", "value.choice"),
    ] {
        assert_eq!(errors(&monitored(monitor)), [format!("{code}@5")], "{monitor}");
    }
    let ports = monitored("{ target = \"10.2.0.1\" }").replace("10.2.0.0/16\"]", "10.2.0.0/16[tcp/443]\"]");
    assert_eq!(errors(&ports), ["monitor.target@5"]);
    assert!(parse(&ports.replace("tcp/443", "icmp")).is_ok());
}

#[test]
fn a_monitor_asks_another_host() {
    let wide = |local: &str, target: &str, device: &str| {
        monitored(&format!("{{ target = \"{target}\" }}"))
            .replace("10.1.0.0/16", "0.0.0.0/0")
            .replace("10.2.0.0/16", "0.0.0.0/0")
            .replace("[connections.hangzhou]\n", &format!("[gateway]\nlisten = [\"192.0.2.1\", \"192.0.2.2\"]\n[connections.hangzhou]\nlocal_addrs = [{local}]\n{device}\n"))
    };
    let interface = "interface = { name = \"vti\", addresses = [\"10.0.0.1/24\"] }";
    for (local, target, device) in [
        ("\"192.0.2.1\"", "192.0.2.1", ""),
        ("\"192.0.2.1\"", "192.0.2.2", ""),
        ("\"192.0.2.1\"", "10.0.0.1", interface),
    ] {
        assert_eq!(errors(&wide(local, target, device)), ["monitor.target@7"], "{target}");
    }
    assert_eq!(errors(&wide("\"192.0.2.1\"", "255.255.255.255", "")), ["monitor.target@9"]);
    // Two hosts with a tunnel between themselves, and a tenant who has our outer address somewhere else.
    accepted(&wide("\"192.0.2.1\"", "203.0.113.7", ""));
    accepted(&wide("\"192.0.2.1\"", "10.0.0.2", interface));
    accepted(&wide("\"192.0.2.1\"", "192.0.2.1", "interface = { name = \"vti\", netns = \"tenant\" }"));
}

#[test]
fn of_several_pairs_the_one_with_the_target_is_monitored() {
    let text = monitored("{ target = \"10.3.0.1\" }")
        .replace("\"10.2.0.0/16\"]", "\"10.2.0.0/16\", \"10.3.0.0/16\"]\nts_mode = \"per_pair\"");
    let children = &accepted(&text).connections[0].children;
    assert_eq!(children.iter().map(|child| child.monitor.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_monitor_asks_by_the_names_of_this_side() {
    let text = monitored("{ target = \"172.31.2.5\", source = \"10.0.0.3\" }")
        .replace(
            "local_ts = [\"10.1.0.0/16\"]",
            "local_ts = [\"198.18.1.0/24\"]\ntranslate = { local = \"10.0.0.0/24\", remote = \"172.31.2.0/24\" }",
        )
        .replace("10.2.0.0/16", "10.0.0.0/24");
    assert!(accepted(&text).connections[0].children[0].monitor.is_some());
    let wire = parse(&text.replace("172.31.2.5", "10.0.0.5")).expect_err("a name of the wire").0;
    assert_eq!((wire[0].code, wire[0].line, &*wire[0].hint), ("monitor.target", 6, "an address in 172.31.2.0/24"));
    assert!(!wire[0].message.contains("remote_ts"), "it is in there: {}", wire[0].message);
    assert_eq!(errors(&text.replace("10.0.0.3", "198.18.1.3")), ["monitor.source@6"]); // Where its names are broken, that is all that is told.
    assert_eq!(errors(&text.replace("172.31.2.0/24", "172.31.2.0/25")), ["translate.size@5"]);
}
