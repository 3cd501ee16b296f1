//! pfSense, strongSwan, Sandhog itself.
use super::*;

const PFSENSE_DOCS: Source = unread("pfSense documentation: IPsec");
const NETGATE: Source = read_in("Netgate documentation: IPsec phase 1 settings");
const SWANCTL: Source = read_in("strongSwan documentation: swanctl.conf");
const SWAN_WINDOW: Source = read_in("strongSwan documentation: strongswan.conf, charon.replay_window");
const HERE: Source = read_in("Sandhog: README.md");

pub(super) static PFSENSE: Profile = Profile {
    name: "pfsense",
    title: text("pfSense and OPNsense", "pfSense 与 OPNsense"),
    role: Role::Either,
    needs_id: false,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256gcm16-prfsha256-modp2048"]),
            "AES256-GCM with 128 bits, SHA256 and DH group 14, as chosen on its phase 1 page; one row there.",
            PFSENSE_DOCS,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256gcm16-modp2048"]),
            "The same on its phase 2 page, with PFS group 14.",
            PFSENSE_DOCS,
        ),
        set(
            "children.*.ts_mode",
            TOGETHER,
            "It puts all phase 2 entries into one Child SA with IKEv2, unless \"split connections\" is ticked.",
            PFSENSE_DOCS,
        ),
        BOTH,
        set("rekey_time", Given::Word("7h"), "Its phase 1 lives 28800 s: ours is earlier.", PFSENSE_DOCS),
        set("children.*.rekey_time", Given::Word("40m"), "Its phase 2 lives 3600 s: ours is earlier.", PFSENSE_DOCS),
        set("dpd_delay", Given::Word("30s"), "DPD is on there.", NETGATE),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(32), "strongSwan's default.", SWAN_WINDOW),
        ONE_SA,
    ],
    limits: &[ONLY_ONE_SA],
    traps: &[
        text(
            "\"Split connections\" on its phase 1 page makes a Child SA for each phase 2 entry: then ts_mode = \"per_pair\".",
            "勾选 Split connections 后每条 phase 2 一个 Child SA：此时用 ts_mode = \"per_pair\"。",
        ),
        text("A VTI has 0.0.0.0/0 on both sides, and routes decide.", "VTI 模式两端都是 0.0.0.0/0，由路由决定。"),
    ],
    theirs: &[
        theirs("Key exchange version", "IKEv2", "Sandhog does not speak IKEv1."),
        theirs("Phase 1 algorithm", "AES256-GCM 128 bits, SHA256, 14", "One row."),
        theirs("Phase 2", "ESP, AES256-GCM 128 bits, PFS 14", "One row."),
        theirs("Peer identifier", "our local.id", "The default is the peer's address."),
    ],
};

pub(super) static STRONGSWAN: Profile = Profile {
    name: "strongswan",
    title: text("strongSwan 5.9 and later", "strongSwan 5.9 及以后"),
    role: Role::Either,
    needs_id: false,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256gcm16-prfsha384-ecp384"]),
            "One suite that every build with OpenSSL has; `default` there offers many more.",
            SWANCTL,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256gcm16-ecp384"]),
            "With PFS, which `default` there has only from 6.0.2 on.",
            SWANCTL,
        ),
        set("children.*.ts_mode", TOGETHER, "It keeps all selectors of a child in one SA.", SWANCTL),
        BOTH,
        set("rekey_time", Given::Word("3h"), "Its IKE SAs are rekeyed after 4 hours: ours is earlier.", SWANCTL),
        set(
            "children.*.rekey_time",
            Given::Word("50m"),
            "Its children are rekeyed after an hour: ours is earlier.",
            SWANCTL,
        ),
        set("dpd_delay", Given::Word("30s"), "It asks nobody unless dpd_delay is set; we ask in any case.", SWANCTL),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set(
            "children.*.peer_window",
            Given::Number(32),
            "Its default; larger with replay_window of a child there.",
            SWAN_WINDOW,
        ),
    ],
    limits: &[],
    traps: &[
        text(
            "It names no identity of ours in its first message unless remote.id is set there: with several connections to one address set it.",
            "不设置 remote.id 时它的首个认证报文不带对端标识：同一地址有多个连接时请设置。",
        ),
        text(
            "libipsec has neither extended sequence numbers nor transport mode.",
            "libipsec 不支持扩展序列号和传输模式。",
        ),
    ],
    theirs: &[
        theirs("version", "2", "The default is both; Sandhog does not speak IKEv1."),
        theirs("proposals", "aes256gcm16-prfsha384-ecp384", "The default is a long list."),
        theirs("esp_proposals", "aes256gcm16-ecp384", "The default has no PFS before 6.0.2."),
        theirs("dpd_delay", "30s", "The default asks nobody."),
    ],
};

pub(super) static SANDHOG: Profile = Profile {
    name: "sandhog",
    title: text("another Sandhog", "另一台 Sandhog"),
    role: Role::Either,
    needs_id: false,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256gcm16-prfsha384-x25519-ke1_mlkem768"]),
            "The strongest that it has: x25519 together with ML-KEM, against quantum computers, too.",
            HERE,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256gcm16-x25519-esn"]),
            "With PFS, and sequence numbers that do not run short on a fast link.",
            HERE,
        ),
        set("children.*.ts_mode", TOGETHER, "All selectors of a child are in one SA.", HERE),
        BOTH,
        set("rekey_time", Given::Word("4h"), "Each end comes earlier by a random part.", HERE),
        set("children.*.rekey_time", Given::Word("1h"), "As above.", HERE),
        set("dpd_delay", Given::Word("30s"), "One exchange tells both ends.", HERE),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        set(
            "childless",
            Given::Word("prefer"),
            "Each child then has a key exchange of its own from its beginning.",
            HERE,
        ),
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(4096), "Its default: any worker may seal.", HERE),
    ],
    limits: &[],
    traps: &[text(
        "Both ends need this profile, or the same proposals.",
        "两端都要用这个 profile，或相同的 proposals。",
    )],
    theirs: &[theirs("profile", "\"sandhog\"", "So that both have the same suites.")],
};
