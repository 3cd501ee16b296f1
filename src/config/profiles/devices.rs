//! FortiGate, Juniper SRX, MikroTik.
use super::*;

const INTEROP: Source = read_in("strongSwan documentation: interoperability, Fortinet");
const FORTI_SEEN: Source = read_in("public FortiOS 6.4 configurations: values that `show` leaves out");
const JUNOS_DPD: Source = read_in("Junos CLI reference: security ike gateway dead-peer-detection");
const JUNOS_WINDOW: Source = read_in("Junos OS reference: anti-replay-window-size");
const FORTIOS: Source = unread("FortiOS administration guide: IPsec VPN");
const SRX: Source = read_in("Google Cloud VPN documentation: interoperability guide for Juniper SRX");
const JUNOS: Source = unread("Junos OS VPN user guide");
const ROUTEROS: Source = read_in("RouterOS manual: IP/IPsec");
const ROUTEROS_UNREAD: Source = unread("RouterOS manual: IP/IPsec");

pub(super) static FORTIGATE: Profile = Profile {
    name: "fortigate",
    title: text("Fortinet FortiGate", "飞塔 FortiGate"),
    role: Role::Either,
    needs_id: false,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "Its defaults have groups 14 and 5 and aes128-sha1 among others: leave aes256-sha256 and dhgrp 14 alone.",
            FORTI_SEEN,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256gcm16-modp2048"]),
            "One proposal of phase 2, with PFS and dhgrp 14.",
            FORTIOS,
        ),
        set("children.*.ts_mode", PER_PAIR, "It takes one set of subnets for each Child SA in IKEv2.", INTEROP),
        BOTH,
        set("rekey_time", Given::Word("20h"), "Its phase 1 lives 86400 s: ours is earlier.", FORTI_SEEN),
        set("children.*.rekey_time", Given::Word("10h"), "Its phase 2 lives 43200 s: ours is earlier.", FORTI_SEEN),
        set("dpd_delay", Given::Word("30s"), "DPD is on demand there; we ask in any case.", FORTIOS),
        KEEPALIVE,
        set(
            "encap",
            Given::Word("always"),
            "Its hashes of the NAT detection are sometimes wrong, so that one side takes a NAT for granted: then both do.",
            INTEROP,
        ),
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        set(
            "unique",
            Given::Word("never"),
            "It opens an IKE SA of its own when it sees ours: both live until one is idle.",
            INTEROP,
        ),
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(64), "It does not say; what is usual.", FORTIOS),
        ONE_SA,
    ],
    limits: &[
        limit("children.*.ts_mode", May::Shape(&[PER_PAIR]), "takes one pair of subnets for each Child SA", INTEROP),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "It opens its own IKE SA when it sees ours: two of them for a while are no fault.",
            "看到我们的 IKE SA 时它会再建一个：一段时间内有两个并不是故障。",
        ),
        text(
            "One phase 2 interface for each pair of subnets; several in one phase 2 do not work with others.",
            "每对网段一个 phase2-interface；一个 phase2 内多网段与其他厂商不兼容。",
        ),
        text(
            "Set `auto-negotiate enable`, or it waits for traffic.",
            "请设置 auto-negotiate enable，否则它等待流量触发。",
        ),
    ],
    theirs: &[
        theirs(
            "phase1-interface: ike-version, proposal, dhgrp",
            "2, aes256-sha256, 14",
            "The default is IKEv1 with a list of proposals.",
        ),
        theirs(
            "phase2-interface: proposal, pfs, dhgrp",
            "aes256gcm, enable, 14",
            "The default is a list with aes128-sha1 in it.",
        ),
        theirs("phase1-interface: nattraversal", "forced", "As encap here."),
        theirs("phase1-interface: peertype, peerid", "one, our local.id", "Unless it takes any."),
    ],
};

pub(super) static JUNIPER_SRX: Profile = Profile {
    name: "juniper-srx",
    title: text("Juniper SRX", "Juniper SRX"),
    role: Role::Either,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "aes-256-cbc, sha-256 and group14; its predefined sets have SHA1 and group 2 and are never used.",
            SRX,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "The same for phase 2, with perfect-forward-secrecy keys group14.",
            SRX,
        ),
        set(
            "children.*.ts_mode",
            PER_PAIR,
            "Route-based with st0 it has 0.0.0.0/0; each traffic-selector is an SA of its own.",
            JUNOS,
        ),
        BOTH,
        set("rekey_time", Given::Word("7h"), "Its phase 1 lives 28800 s: ours is earlier.", JUNOS),
        set("children.*.rekey_time", Given::Word("40m"), "Its phase 2 lives 3600 s: ours is earlier.", JUNOS),
        set(
            "dpd_delay",
            Given::Word("30s"),
            "It is off there until dead-peer-detection is entered; we ask in any case.",
            JUNOS_DPD,
        ),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(64), "The default of its replay window.", JUNOS_WINDOW),
        ONE_SA,
    ],
    limits: &[
        limit("children.*.ts_mode", May::Shape(&[PER_PAIR]), "has an SA for each traffic-selector", JUNOS),
        limit("children.*.mode", TUNNEL_ONLY, "has tunnel mode alone", JUNOS),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "Route-based with st0: 0.0.0.0/0 on both sides here, and an interface with routes.",
            "基于 st0 的路由模式：两端都用 0.0.0.0/0，并配置 interface 和路由。",
        ),
        text(
            "`local-identity` and `remote-identity` have to be entered where either side is behind a NAT.",
            "任一端在 NAT 之后时必须配置 local-identity 和 remote-identity。",
        ),
    ],
    theirs: &[
        theirs(
            "ike proposal",
            "aes-256-cbc, sha-256, group14, lifetime 28800",
            "The predefined sets have SHA1 and group 2.",
        ),
        theirs(
            "ike gateway",
            "version v2-only, dead-peer-detection interval 10 threshold 5 always-send",
            "The default is v1-only.",
        ),
        theirs(
            "ipsec proposal, policy",
            "esp, aes-256-cbc, hmac-sha-256-128, perfect-forward-secrecy keys group14",
            "PFS is off unless it is set.",
        ),
        theirs("establish-tunnels", "immediately", "The default waits for traffic."),
    ],
};

pub(super) static MIKROTIK: Profile = Profile {
    name: "mikrotik",
    title: text("MikroTik RouterOS", "MikroTik RouterOS"),
    role: Role::Either,
    needs_id: false,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "Its default profile is aes-128, sha1 and modp1024 beside modp2048: make a profile with aes-256, sha256 and modp2048 alone.",
            ROUTEROS,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "Its default proposal has sha1 and modp1024: make one with sha256, aes-256-cbc and pfs-group modp2048.",
            ROUTEROS_UNREAD,
        ),
        set(
            "children.*.ts_mode",
            PER_PAIR,
            "It has a policy for each pair of subnets, several of them with level=unique.",
            ROUTEROS_UNREAD,
        ),
        BOTH,
        set("rekey_time", Given::Word("20h"), "Its profile's lifetime is a day: ours is earlier.", ROUTEROS),
        set(
            "children.*.rekey_time",
            Given::Word("20m"),
            "Its proposal's lifetime is 30 minutes: ours is earlier.",
            ROUTEROS_UNREAD,
        ),
        set("dpd_delay", Given::Word("30s"), "It asks every 8 s by itself, four times.", ROUTEROS),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(32), "A Linux kernel's smallest.", ROUTEROS_UNREAD),
        ONE_SA,
    ],
    limits: &[
        limit(
            "children.*.ts_mode",
            May::Shape(&[PER_PAIR]),
            "has a policy, and with it an SA, for each pair of subnets",
            ROUTEROS_UNREAD,
        ),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "Several policies to one peer need level=unique, or they share one SA and only one works.",
            "同一对端的多条策略需要 level=unique，否则共用一个 SA，只有一条生效。",
        ),
        text(
            "Its firewall's fasttrack and masquerade take packets before IPsec: exempt the tunnel's networks.",
            "防火墙的 fasttrack 和 masquerade 先于 IPsec：请排除隧道网段。",
        ),
    ],
    theirs: &[
        theirs(
            "/ip ipsec profile",
            "enc-algorithm=aes-256 hash-algorithm=sha256 dh-group=modp2048",
            "The default has aes-128, sha1 and modp1024.",
        ),
        theirs("/ip ipsec peer", "exchange-mode=ike2", "The default is main, which is IKEv1."),
        theirs(
            "/ip ipsec proposal",
            "enc-algorithms=aes-256-cbc auth-algorithms=sha256 pfs-group=modp2048",
            "The default has sha1 and modp1024.",
        ),
        theirs("/ip ipsec policy", "tunnel=yes level=unique", "The default level is require, which shares SAs."),
    ],
};
