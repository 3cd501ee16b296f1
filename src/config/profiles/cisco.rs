//! Cisco.
use super::*;

const SMART: Source = read_in("Cisco IOS XE: show crypto ikev2 proposal default");
const IOS_LIFE: Source = unread("Cisco VPN configuration guide: global lifetimes for IPsec security associations");
const IOS_WINDOW: Source = read_in("Cisco IPsec data plane configuration guide (IOS XE): anti-replay window");
const FLEX: Source = unread("public lab notes of Cisco FlexVPN: default IKEv2 SA lifetime");
const ASA_LIFE: Source = unread("public ASA configurations: defaults of crypto ipsec security-association lifetime");
const IOS: Source = unread("Cisco IOS XE security configuration guide: IKEv2 and IPsec");
const CRYPTO_MAP: Source = read_in("strongSwan documentation: interoperability, Cisco");
const ASA_DOCS: Source = unread("Cisco ASA VPN CLI configuration guide");
const ASA_TS: Source = read_in("strongSwan issue 2477");

const ACE: &str = "has a Child SA for each line of the access list of a crypto map";
const WINDOW: Setting =
    set("children.*.peer_window", Given::Number(64), "The default of its replay window.", IOS_WINDOW);
const SUITE: Given = Given::Words(&["aes256gcm16-prfsha384-ecp384"]);
const ESP: Given = Given::Words(&["aes256gcm16-ecp384"]);

const IOS_IKE: &[&str] = &[
    "aes128",
    "aes192",
    "aes256",
    "aes128gcm16",
    "aes256gcm16",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "prfsha1",
    "prfsha256",
    "prfsha384",
    "prfsha512",
    "modp1024",
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "ecp256",
    "ecp384",
    "ecp521",
];
const IOS_ESP: &[&str] = &[
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
    "modp1024",
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "ecp256",
    "ecp384",
    "ecp521",
    "esn",
    "none",
];

pub(super) static IOS_XE: Profile = Profile {
    name: "cisco-ios-xe",
    title: text("Cisco IOS XE routers", "Cisco IOS XE 路由器"),
    role: Role::Either,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            SUITE,
            "Its smart defaults differ from release to release and have MD5 in them: enter a proposal of its own, with the prf that AES-GCM needs.",
            SMART,
        ),
        set(
            "children.*.esp_proposals",
            ESP,
            "A transform set with esp-gcm 256, and `set pfs group20`, which is off unless entered.",
            IOS,
        ),
        set(
            "children.*.ts_mode",
            PER_PAIR,
            "A crypto map has a Child SA for each line of its access list; a tunnel interface has 0.0.0.0/0.",
            CRYPTO_MAP,
        ),
        BOTH,
        set("rekey_time", Given::Word("20h"), "Its IKE SA lives 86400 s: ours is earlier.", FLEX),
        set("children.*.rekey_time", Given::Word("40m"), "Its IPsec SA lives 3600 s: ours is earlier.", IOS_LIFE),
        set(
            "children.*.rekey_bytes",
            Given::Word("4GB"),
            "It rekeys after 4608000 KB as well: ours is earlier.",
            IOS_LIFE,
        ),
        set(
            "dpd_delay",
            Given::Word("30s"),
            "DPD is off there until `dpd` is entered in its profile; we ask in any case.",
            IOS,
        ),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        WINDOW,
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: IOS_IKE, one: false, group: true },
            "knows AES with CBC or GCM, SHA and the groups 2, 5, 14 to 16 and 19 to 21",
            IOS,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: IOS_ESP, one: false, group: false },
            "knows AES with CBC or GCM, SHA and the groups 2, 5, 14 to 16 and 19 to 21",
            IOS,
        ),
        limit("children.*.ts_mode", May::Shape(&[PER_PAIR]), ACE, CRYPTO_MAP),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "`match identity remote` has to be our local.id; a tunnel interface wants 0.0.0.0/0 on both sides.",
            "match identity remote 必须是我们的 local.id；隧道接口两端都用 0.0.0.0/0。",
        ),
        text(
            "Smart defaults offer MD5 and differ by release: take them away with `no crypto ikev2 proposal default`.",
            "智能默认值包含 MD5 且随版本变化：用 no crypto ikev2 proposal default 关闭。",
        ),
    ],
    theirs: &[
        theirs(
            "crypto ikev2 proposal",
            "encryption aes-gcm-256, prf sha384, group 20",
            "The smart default has CBC, MD5 and group 16 in one release, others in another.",
        ),
        theirs("crypto ipsec transform-set", "esp-gcm 256, mode tunnel", "The default is AES-128 with SHA1."),
        theirs("set pfs", "group20", "PFS is off unless it is set."),
        theirs("crypto ikev2 profile: dpd", "30 5 periodic", "DPD is off unless it is set."),
    ],
};

/// Releases before 9.13 have the groups 2 and 5, later ones 31.
const ASA_IKE: &[&str] = &[
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
    "prfsha1",
    "prfsha256",
    "prfsha384",
    "prfsha512",
    "modp1024",
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "ecp256",
    "ecp384",
    "ecp521",
    "x25519",
];
const ASA_ESP: &[&str] = &[
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
    "modp1024",
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "ecp256",
    "ecp384",
    "ecp521",
    "x25519",
    "none",
];

pub(super) static ASA: Profile = Profile {
    name: "cisco-asa",
    title: text("Cisco ASA and Firepower", "Cisco ASA 与 Firepower"),
    role: Role::Either,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            SUITE,
            "Its default policies reach down to 3DES and group 2: enter a policy of its own with aes-gcm-256, integrity null, prf sha384 and group 20.",
            ASA_DOCS,
        ),
        set(
            "children.*.esp_proposals",
            ESP,
            "An ipsec-proposal with aes-gcm-256, and `set pfs group20`, which is off unless entered.",
            ASA_DOCS,
        ),
        set("children.*.ts_mode", PER_PAIR, "A Child SA for each line of its access list; it narrows nothing.", ASA_TS),
        BOTH,
        set("rekey_time", Given::Word("20h"), "Its IKE SA lives 86400 s: ours is earlier.", ASA_DOCS),
        set("children.*.rekey_time", Given::Word("7h"), "Its IPsec SA lives 28800 s: ours is earlier.", ASA_LIFE),
        set(
            "children.*.rekey_bytes",
            Given::Word("4GB"),
            "It rekeys after 4608000 KB as well: ours is earlier.",
            ASA_LIFE,
        ),
        set("dpd_delay", Given::Word("30s"), "DPD is on there.", ASA_DOCS),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        WINDOW,
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: ASA_IKE, one: false, group: true },
            "knows AES with CBC or GCM, SHA and the groups 2, 5, 14 to 16, 19 to 21 and 31",
            ASA_DOCS,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: ASA_ESP, one: false, group: false },
            "knows AES with CBC or GCM, SHA and the groups 2, 5, 14 to 16, 19 to 21 and 31",
            ASA_DOCS,
        ),
        limit(
            "children.*.ts_mode",
            May::Shape(&[PER_PAIR]),
            "takes exactly one pair of networks of its access list for each Child SA, and narrows nothing",
            ASA_TS,
        ),
        limit("children.*.mode", TUNNEL_ONLY, "has tunnel mode alone between networks", ASA_DOCS),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "Networks have to be exactly those of its access list: it narrows nothing, also not at a rekey (TS_UNACCEPTABLE).",
            "网段必须与其 ACL 完全一致：不会收窄，重新协商时也不会（TS_UNACCEPTABLE）。",
        ),
        text(
            "Its lifetimes by volume end an SA early on a fast link: `set security-association lifetime kilobytes unlimited`.",
            "按流量的生存期在高速链路上会很快到期：set security-association lifetime kilobytes unlimited。",
        ),
    ],
    theirs: &[
        theirs(
            "crypto ikev2 policy",
            "encryption aes-gcm-256, integrity null, prf sha384, group 20",
            "The defaults reach down to 3DES and group 2.",
        ),
        theirs(
            "crypto ipsec ikev2 ipsec-proposal",
            "protocol esp encryption aes-gcm-256, integrity null",
            "The default is AES with SHA1.",
        ),
        theirs("crypto map ... set pfs", "group20", "PFS is off unless it is set."),
        theirs("tunnel-group", "named by our local.id", "It looks for the group by our identity or address."),
    ],
};
