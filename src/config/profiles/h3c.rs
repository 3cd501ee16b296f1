//! H3C.
use super::*;

const SAMPLES: Source = read_in("H3C MSR configuration examples (Comware 7): IKEv2");
const IPSEC: Source = read_in("H3C Comware 7 command reference: IPsec commands");
const DPD: Source = read_in("H3C security configuration guide: IKE DPD");
const WEAK: Source = read_in("H3C F1000-E manual and HP VPN firewall configuration guide: default IKE proposal");
const DEFAULTS: Source = unread("H3C MSR command reference (Comware 7): IKEv2 and IPsec");
const ER: Source = unread("H3C ER series web user manual: VPN");

/// AES-GCM is for ESP alone.
const IKE: &[&str] = &[
    "aes128",
    "aes192",
    "aes256",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "prfsha1",
    "prfsha256",
    "prfsha384",
    "prfsha512",
    "aesxcbc",
    "prfaesxcbc",
    "modp1024",
    "modp1536",
    "modp2048",
    "ecp256",
    "ecp384",
];
const ESP: &[&str] = &[
    "aes128",
    "aes192",
    "aes256",
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "aesxcbc",
    "modp1024",
    "modp1536",
    "modp2048",
    "ecp256",
    "ecp384",
    "esn",
    "none",
];

pub(super) static H3C: Profile = Profile {
    name: "h3c",
    title: text("H3C routers and firewalls (Comware 7 and 9)", "H3C 路由器与防火墙（Comware 7/9）"),
    role: Role::Either,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "Its default proposal has 3DES, MD5 and group 2 in it: make an `ikev2 proposal` with aes-cbc-256, sha256 for integrity and prf, and group14.",
            DEFAULTS,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "An `ipsec transform-set` with aes-cbc-256 and sha256; PFS is off there until `pfs dh-group14` is entered.",
            IPSEC,
        ),
        set(
            "children.*.ts_mode",
            PER_PAIR,
            "In standard mode it answers each rule of its ACL with an SA of its own.",
            SAMPLES,
        ),
        BOTH,
        set("rekey_time", Given::Word("20h"), "Its IKE SA lives 86400 s: ours is earlier.", DEFAULTS),
        set("children.*.rekey_time", Given::Word("40m"), "Its IPsec SA lives 3600 s: ours is earlier.", IPSEC),
        set(
            "children.*.rekey_bytes",
            Given::Word("1600MB"),
            "It rekeys after 1843200 KB as well: ours is earlier.",
            IPSEC,
        ),
        set(
            "dpd_delay",
            Given::Word("30s"),
            "DPD is off there until `dpd interval` is entered; we ask in any case.",
            DPD,
        ),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(64), "Its replay window; 32 in Comware 5.", IPSEC),
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: IKE, one: false, group: true },
            "knows AES-CBC, SHA and the groups 1, 2, 5, 14, 19, 20 and 24, but neither x25519 nor ChaCha20",
            DEFAULTS,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: ESP, one: false, group: false },
            "knows AES, SHA and the groups 1, 2, 5, 14, 19, 20 and 24, but neither x25519 nor ChaCha20",
            DEFAULTS,
        ),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "It matches the identity of the peer (`match remote identity`), so local.id has to be what is entered there.",
            "它按 match remote identity 匹配对端标识，local.id 必须与之一致。",
        ),
        text(
            "With `ikev2 cookie-challenge` each first message is answered by a COOKIE; that is no fault.",
            "配置 ikev2 cookie-challenge 后，首个报文总会收到 COOKIE，这不是故障。",
        ),
        text(
            "In standard mode each subnet pair is an SA of its own; `security acl ... aggregation` puts all into one (ts_mode = \"together\").",
            "标准模式下每对网段一个 SA；aggregation 模式全部在一个 SA 内（ts_mode = \"together\"）。",
        ),
        text(
            "Packets for the tunnel must be exempt from `nat outbound` on its interface, or they leave translated and in the clear.",
            "进隧道的报文必须排除在接口的 nat outbound 之外，否则会被转换后明文发出。",
        ),
        text(
            "Decrypted packets are held against its ACL: selectors have to be exactly its rules, the other way round.",
            "解密后的报文会按 ACL 检查：选择器必须与其规则完全对应（方向相反）。",
        ),
        text(
            "A branch with a changing address has to call: here that is remote_addrs = [\"%any\"].",
            "动态地址的分支必须主动发起：这里写 remote_addrs = [\"%any\"]。",
        ),
    ],
    theirs: &[
        theirs(
            "ikev2 proposal",
            "encryption aes-cbc-256, integrity sha256, prf sha256, dh group14",
            "The default proposal has 3DES, MD5 and group 2 in it.",
        ),
        theirs("ikev2 keychain", "the same secret, for our address", "Without it nothing is proven."),
        theirs(
            "ikev2 profile",
            "identity local, match remote identity: our local.id",
            "It answers nobody whose identity it does not match.",
        ),
        theirs("ikev2 profile: dpd interval", "30 periodic", "DPD is off unless it is set."),
        theirs(
            "ipsec transform-set",
            "esp encryption-algorithm aes-cbc-256, esp authentication-algorithm sha256, pfs dh-group14",
            "PFS is off unless it is set.",
        ),
        theirs(
            "sa duration traffic-based",
            "as much as the link carries in an hour",
            "The default of 1843200 KB is a few seconds of a fast link.",
        ),
    ],
};

pub(super) static H3C_ER: Profile = Profile {
    name: "h3c-er",
    title: text("H3C ER series routers (web interface)", "H3C ER 系列路由器（Web 界面）"),
    role: Role::Either,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "The strongest that its pages offer; devices of this class begin with DES, SHA1 and group 1, which has to be changed.",
            WEAK,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "The same for phase 2, with PFS chosen on the page.",
            ER,
        ),
        set("children.*.ts_mode", PER_PAIR, "Its pages have a row for each pair of subnets.", ER),
        BOTH,
        set("rekey_time", Given::Word("20h"), "A phase 1 of 86400 s: ours is earlier.", ER),
        set("children.*.rekey_time", Given::Word("40m"), "A phase 2 of 3600 s: ours is earlier.", ER),
        set("dpd_delay", Given::Word("30s"), "DPD has to be ticked there; we ask in any case.", ER),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(32), "It does not say; the smallest that is usual.", ER),
        ONE_SA,
    ],
    limits: &[
        limit(
            "children.*.ts_mode",
            May::Shape(&[PER_PAIR]),
            "has a row, and with it an SA, for each pair of subnets",
            ER,
        ),
        limit("local.auth", May::Be(&[Given::Word("psk")]), "has pre-shared keys alone", ER),
        limit("remote.auth", May::Be(&[Given::Word("psk")]), "has pre-shared keys alone", ER),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "Choose IKEv2 on its page: older firmware has IKEv1 alone, which Sandhog does not speak.",
            "在页面上选择 IKEv2：旧固件只有 IKEv1，Sandhog 不支持。",
        ),
        text("Turn on its keepalive, or an idle tunnel goes down.", "请打开保活功能，否则空闲隧道会断开。"),
    ],
    theirs: &[
        theirs("IKE version", "IKEv2", "Sandhog does not speak IKEv1."),
        theirs("Phase 1", "AES-256, SHA2-256, DH14, 90000 s", "What the page begins with is weaker."),
        theirs("Phase 2", "ESP, AES-256, SHA2-256, PFS DH14, 3000 s", "As above."),
        theirs("Identities", "our local.id, our remote.id", "Addresses, unless both sides name others."),
    ],
};
