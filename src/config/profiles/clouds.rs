//! Azure, Google Cloud, Huawei Cloud, Tencent Cloud.
use super::*;

const AZURE_DOCS: Source = read_in("Azure VPN Gateway documentation: about VPN devices and IPsec/IKE parameters");
const AZURE_POLICY: Source = read_in("Microsoft Learn: configure IPsec/IKE policy for site-to-site VPN");
const AZURE_KEY: Source = unread("Azure VPN Gateway documentation: pre-shared keys");
const AZURE_MTU: Source = unread("Azure VPN Gateway documentation: MTU and MSS");
const GCP_DOCS: Source = unread("Google Cloud VPN documentation: supported IKE ciphers");
const GCP_SRX: Source = read_in("Google Cloud VPN documentation: interoperability guide for Juniper SRX");
const GCP_CIPHERS: Source = unread("Google Cloud VPN documentation: supported IKE ciphers");
const GCP_FRAGMENTS: Source = read_in("Google Distributed Cloud VPN documentation: supported IKE ciphers");
const GCP_NETS: Source = read_in("Google Cloud VPN documentation: security associations and multiple subnets");
const GCP_BEST: Source = read_in("Google Cloud VPN documentation: identities behind a NAT one to one");
const HUAWEI_TF: Source = read_in("terraform-provider-huaweicloud: huaweicloud_vpn_connection");
const HUAWEI_VALUES: Source = read_in("Huawei Cloud VPN FAQ: negotiation parameters and their default values");
const HUAWEI_DPD: Source = read_in("Huawei Cloud VPN FAQ: DPD");
const HUAWEI_WINDOW: Source = read_in("Huawei NetEngine command reference: sa anti-replay window");
const HUAWEI_KEY: Source = unread("Huawei USG and AR command reference: pre-shared-key");
const HUAWEI_FAQ: Source = read_in("Huawei Cloud VPN documentation: FAQ and peer devices");
const TENCENT_TF: Source = read_in("terraform-provider-tencentcloud: tencentcloud_vpn_connection");
const TENCENT_SPD: Source = read_in("Tencent Cloud documentation: creating a VPN tunnel, SPD policies");
const TENCENT: Source = unread("Tencent Cloud VPN Connections documentation");

const AZURE_IKE: &[&str] = &[
    "aes128",
    "aes192",
    "aes256",
    "aes128gcm16",
    "aes256gcm16",
    "sha1",
    "sha256",
    "sha384",
    "prfsha1",
    "prfsha256",
    "prfsha384",
    "modp1024",
    "modp2048",
    "ecp256",
    "ecp384",
];
const AZURE_ESP: &[&str] = &[
    "aes128",
    "aes192",
    "aes256",
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16",
    "sha1",
    "sha256",
    "modp1024",
    "modp2048",
    "ecp256",
    "ecp384",
    "none",
];

pub(super) static AZURE: Profile = Profile {
    name: "azure",
    title: text("Azure VPN Gateway", "Azure VPN 网关"),
    role: Role::Either,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha384-ecp384"]),
            "Its default policy has DH group 2 alone, which is too weak: it needs a custom IPsec/IKE policy with AES256, SHA384 and ECP384.",
            AZURE_POLICY,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256gcm16-ecp384", "aes256gcm16"]),
            "GCM has to be set there as encryption and as integrity. The second one is without PFS: as initiator of a rekey it offers none unless its policy has a PFS group.",
            AZURE_POLICY,
        ),
        set(
            "children.*.ts_mode",
            TOGETHER,
            "Route-based gateways have 0.0.0.0/0 on both sides, and take the networks that the peer proposes.",
            AZURE_DOCS,
        ),
        BOTH,
        set(
            "rekey_time",
            Given::Word("7h"),
            "Its phase 1 lives 28800 s, which cannot be changed: ours is earlier.",
            AZURE_DOCS,
        ),
        set("children.*.rekey_time", Given::Word("6h"), "Its phase 2 lives 27000 s: ours is earlier.", AZURE_DOCS),
        set(
            "children.*.rekey_bytes",
            Given::Word("90GB"),
            "It rekeys after 102400000 KB as well: ours is earlier.",
            AZURE_DOCS,
        ),
        set(
            "dpd_delay",
            Given::Word("30s"),
            "It gives a silent peer up after 45 s, and recommends 30 to 45.",
            AZURE_DOCS,
        ),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set(
            "children.*.peer_window",
            Given::Number(64),
            "Windows has 64.",
            unread("Windows IKE extensions: replay window"),
        ),
        set("children.*.mtu", Given::Number(1400), "What it recommends.", AZURE_MTU),
        set("children.*.mss", Given::Number(1350), "What it recommends.", AZURE_MTU),
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: AZURE_IKE, one: false, group: true },
            "knows AES, SHA1, SHA256 and SHA384 and the groups 2, 14, 19 and 20 (DHGroup2, DHGroup14, ECP256, ECP384)",
            AZURE_DOCS,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: AZURE_ESP, one: false, group: false },
            "knows AES, SHA1 and SHA256 and the PFS groups 2, 14, 19 and 20",
            AZURE_DOCS,
        ),
        limit("children.*.mode", TUNNEL_ONLY, "has tunnel mode alone", AZURE_DOCS),
        limit("local.id", May::Id { most: 255, address: true }, "knows its peers by their addresses", AZURE_DOCS),
        limit(
            "secret",
            May::Secret {
                least: 1,
                most: 128,
                takes: |secret| secret.iter().all(|octet| (b' '..=b'~').contains(octet)),
                said: "those of ASCII that can be printed",
            },
            "takes a pre-shared key of 1 to 128 printable characters",
            AZURE_KEY,
        ),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "The default policy offers DH group 2: make a custom policy, or nothing comes up.",
            "默认策略只有 DH group 2：必须配置自定义策略，否则无法建立。",
        ),
        text(
            "As initiator of a rekey it offers ESP without PFS unless its policy has a PFS group: both are accepted.",
            "作为重新协商的发起方，若策略没有 PFS 组则不带 PFS：两种都接受。",
        ),
        text(
            "An active-active gateway has two addresses: two connections here.",
            "双活网关有两个地址：在这里是两个连接。",
        ),
        text(
            "With policy-based traffic selectors it wants a pair for each combination of networks.",
            "启用基于策略的流量选择器时，每对网段各需一个组合。",
        ),
    ],
    theirs: &[
        theirs(
            "IkeEncryption, IkeIntegrity, DhGroup",
            "AES256, SHA384, ECP384",
            "The default policy has DHGroup2 alone.",
        ),
        theirs(
            "IpsecEncryption, IpsecIntegrity, PfsGroup",
            "GCMAES256, GCMAES256, ECP384",
            "GCM is set twice. The default PFS group is none.",
        ),
        theirs("SALifeTimeSeconds, SADataSizeKilobytes", "27000, 102400000", "The defaults; ours are earlier."),
        theirs("Connection protocol", "IKEv2", "Sandhog does not speak IKEv1."),
        theirs("Local network gateway: IP address", "our local.id", "The public address, where we are behind a NAT."),
    ],
};

const GCP_IKE: &[&str] = &[
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
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "modp8192",
    "ecp256",
    "ecp384",
    "ecp521",
    "x25519",
];
const GCP_ESP: &[&str] = &[
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
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "modp8192",
    "ecp256",
    "ecp384",
    "ecp521",
    "x25519",
];

pub(super) static GCP: Profile = Profile {
    name: "gcp",
    title: text("Google Cloud VPN", "Google Cloud VPN"),
    role: Role::Either,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256gcm16-prfsha256-modp2048"]),
            "One of each: with several the cipher may change at a rekey, and the MTU with it. Group 2 is in its list, too, and never taken.",
            GCP_CIPHERS,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256gcm16-modp2048"]),
            "The same for phase 2, for which it requires PFS.",
            GCP_CIPHERS,
        ),
        set(
            "children.*.ts_mode",
            TOGETHER,
            "It wants all CIDR blocks in a single Child SA; route-based with 0.0.0.0/0 is better.",
            GCP_NETS,
        ),
        BOTH,
        set("rekey_time", Given::Word("9h"), "Its phase 1 lives 36000 s: ours is earlier.", GCP_SRX),
        set("children.*.rekey_time", Given::Word("150m"), "Its phase 2 lives 10800 s: ours is earlier.", GCP_DOCS),
        set("dpd_delay", Given::Word("20s"), "DPD is on there.", GCP_DOCS),
        KEEPALIVE,
        ENCAP,
        set("fragmentation", Given::Bool(true), "It wants it (RFC 7383).", GCP_FRAGMENTS),
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(64), "It does not say; what is usual.", GCP_DOCS),
        set(
            "children.*.mtu",
            Given::Number(1390),
            "Its own MTU of 1460, less what IPsec takes with the largest suite.",
            GCP_DOCS,
        ),
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: GCP_IKE, one: false, group: true },
            "knows AES with CBC or GCM, SHA and the groups 5, 14 to 16, 18 to 21 and 31",
            GCP_CIPHERS,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: GCP_ESP, one: false, group: true },
            "knows AES with CBC or GCM, SHA and the groups 5, 14 to 16, 18 to 21 and 31, and requires PFS",
            GCP_CIPHERS,
        ),
        limit(
            "secret",
            May::Secret {
                least: 1,
                most: 128,
                takes: |secret| secret.iter().all(|octet| octet.is_ascii_graphic()),
                said: "visible ones of ASCII, no spaces",
            },
            "takes a pre-shared key of 1 to 128 characters without spaces",
            GCP_DOCS,
        ),
        limit("children.*.ts_mode", May::Shape(&[TOGETHER]), "wants all CIDR blocks in a single Child SA", GCP_NETS),
        limit("children.*.mode", TUNNEL_ONLY, "has tunnel mode alone", GCP_DOCS),
        limit("local.id", May::Id { most: 255, address: true }, "knows its peers by their public addresses", GCP_BEST),
        limit("remote.id", May::Id { most: 255, address: true }, "is its public address", GCP_BEST),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "The peer's identity has to be its public address: behind a NAT name it in local.id.",
            "对端标识必须是公网地址：在 NAT 之后请在 local.id 中写明。",
        ),
        text(
            "HA VPN has two interfaces with two addresses: two connections, with the same suite and lifetimes.",
            "高可用 VPN 有两个接口、两个地址：两个连接，套件和生存期必须相同。",
        ),
        text(
            "It proposes its whole list: only what we accept counts, so one suite stays one suite.",
            "它会提议整张列表：以我们接受的为准，因此只保留一个套件。",
        ),
    ],
    theirs: &[
        theirs("IKE version", "2", "Sandhog does not speak IKEv1."),
        theirs("Routing", "BGP, or route-based with 0.0.0.0/0", "So that networks can change without another SA."),
        theirs("Peer VPN gateway: interface address", "our local.id", "The public address, where we are behind a NAT."),
        theirs("Cipher options", "leave the defaults, or pin AES-GCM-16-256 and group 14", "What we accept decides."),
    ],
};

const HUAWEI_WORDS: &[&str] = &[
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
    "none",
];

pub(super) static HUAWEI: Profile = Profile {
    name: "huawei",
    title: text("Huawei Cloud VPN, and Huawei firewalls and routers", "华为云 VPN 及华为防火墙、路由器"),
    role: Role::Initiator,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "SHA2-256 is its default, with AES-128 and group 14 (15 in the Enterprise edition): ask there for aes-256 and group 14.",
            HUAWEI_VALUES,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "The same for phase 2, with PFS.",
            HUAWEI_VALUES,
        ),
        set(
            "children.*.ts_mode",
            PER_PAIR,
            "In policy mode with several subnets in one SA only the first works: one SA for each pair, or route mode.",
            HUAWEI_FAQ,
        ),
        set(
            "rekey",
            Given::Word("peer"),
            "It does not accept a rekey that the peer begins: it begins, and we follow.",
            HUAWEI_FAQ,
        ),
        set(
            "rekey_time",
            Given::Word("21h"),
            "Its phase 1 lives 86400 s: what it has not rekeyed by 23 hours is made anew before it ends.",
            HUAWEI_VALUES,
        ),
        set(
            "children.*.rekey_time",
            Given::Word("54m"),
            "Its phase 2 lives 3600 s: what it has not rekeyed by 59 minutes is made anew before it ends.",
            HUAWEI_VALUES,
        ),
        set("dpd_delay", Given::Word("30s"), "The DPD settings of both ends have to be equal.", HUAWEI_DPD),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        set("childless", Given::Word("never"), "Nothing is tried beside what it expects.", OURS),
        set("rehearse", Given::Word("never"), "It would refuse the rekey that shows a wrong PFS group.", HUAWEI_FAQ),
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(1024), "Its replay window.", HUAWEI_WINDOW),
        ONE_SA,
    ],
    limits: &[
        limit("rekey", May::Be(&[Given::Word("peer")]), "does not accept a rekey that its peer begins", HUAWEI_FAQ),
        limit("rehearse", May::Be(&[Given::Word("never")]), "does not accept a rekey that its peer begins", HUAWEI_FAQ),
        limit(
            "proposals",
            May::Suites { words: HUAWEI_WORDS, one: false, group: true },
            "knows AES, SHA and the groups 1, 2, 5, 14 to 16 and 19 to 21",
            HUAWEI_TF,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: HUAWEI_WORDS, one: false, group: false },
            "knows AES, SHA and the groups 1, 2, 5, 14 to 16 and 19 to 21",
            HUAWEI_TF,
        ),
        limit(
            "children.*.ts_mode",
            May::Shape(&[PER_PAIR]),
            "brings up only the first of several subnets in one SA",
            HUAWEI_FAQ,
        ),
        limit("rekey_time", May::Last(604_800), "ends phase 1 after 604800 s at most", HUAWEI_TF),
        limit("children.*.rekey_time", May::Last(604_800), "ends phase 2 after 604800 s at most", HUAWEI_TF),
        limit("children.*.mode", TUNNEL_ONLY, "has tunnel mode alone", HUAWEI_FAQ),
        limit(
            "secret",
            May::Secret {
                least: 1,
                most: 128,
                takes: |secret| secret.iter().all(|octet| octet.is_ascii_graphic() && !b"?\"\\".contains(octet)),
                said: "visible ones of ASCII but ? \" \\",
            },
            "takes a pre-shared key of 1 to 128 characters without spaces, question marks, quotes and backslashes",
            HUAWEI_KEY,
        ),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "It refuses rekeys of its peer: it has to rekey, and if it does not, the connection is made anew at its end.",
            "它拒绝对端发起的重新协商：必须由它发起，否则到期后重新建立连接。",
        ),
        text(
            "In policy mode with IKEv2 only the first of several subnets comes up: use route mode, or a pair for each.",
            "策略模式加 IKEv2 多网段时只有第一个生效：请用路由模式，或逐对配置。",
        ),
        text("DPD settings of both ends have to be equal.", "两端 DPD 设置必须一致。"),
        text(
            "It rekeys after 1843200 KB as well, which cannot be changed: on a fast link every few seconds.",
            "它还会在 1843200 KB 后重新协商，且不可修改：高速链路上每隔几秒一次。",
        ),
    ],
    theirs: &[
        theirs("ike_policy: ike_version", "v2", "The default; Sandhog does not speak IKEv1."),
        theirs(
            "ike_policy: encryption, authentication, dh_group",
            "aes-256, sha2-256, group14",
            "The default cipher is aes-128, and the Enterprise edition has group 15.",
        ),
        theirs("ipsec_policy: encryption, authentication, pfs", "aes-256, sha2-256, group14", "As above."),
        theirs(
            "ike_policy, ipsec_policy: lifetime",
            "60480, 2592",
            "Earlier than ours, since it rekeys and we do not; the defaults of 86400 and 3600 do, too.",
        ),
        theirs("ike_policy: peer id", "our local.id, as an address", "The public address, where we are behind a NAT."),
    ],
};

const TENCENT_IKE: &[&str] =
    &["aes128", "aes192", "aes256", "sha1", "sha256", "prfsha1", "prfsha256", "modp1024", "modp1536", "modp2048"];
const TENCENT_ESP: &[&str] =
    &["aes128", "aes192", "aes256", "sha1", "sha256", "modp1024", "modp1536", "modp2048", "none"];

pub(super) static TENCENT_PROFILE: Profile = Profile {
    name: "tencent",
    title: text("Tencent Cloud VPN Connections", "腾讯云 VPN 连接"),
    role: Role::Initiator,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "Its own defaults are IKEV1, 3DES, MD5 and GROUP1: ask there for IKEV2, AES-CBC-256, SHA-256 and GROUP14.",
            TENCENT_TF,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "The same for phase 2; its defaults there are 3DES, MD5 and no PFS.",
            TENCENT_TF,
        ),
        set(
            "children.*.ts_mode",
            PER_PAIR,
            "Its SPD policies are negotiated one pair at a time, and must not overlap.",
            TENCENT_SPD,
        ),
        BOTH,
        set("rekey_time", Given::Word("20h"), "Its phase 1 lives 86400 s: ours is earlier.", TENCENT_TF),
        set("children.*.rekey_time", Given::Word("40m"), "Its phase 2 lives 3600 s: ours is earlier.", TENCENT_TF),
        set(
            "children.*.rekey_bytes",
            Given::Word("1600MB"),
            "It rekeys after 1843200 KB as well: ours is earlier.",
            TENCENT_TF,
        ),
        set("dpd_delay", Given::Word("30s"), "DPD is on there.", TENCENT_TF),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        START,
        RESTART,
        set("children.*.peer_window", Given::Number(32), "It does not say; the smallest that is usual.", TENCENT),
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: TENCENT_IKE, one: false, group: true },
            "knows AES-CBC, SHA1 and SHA-256 and the groups 1, 2, 5, 14 and 24",
            TENCENT_TF,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: TENCENT_ESP, one: false, group: false },
            "knows AES-CBC, SHA1 and SHA-256 and the groups 1, 2, 5, 14 and 24",
            TENCENT_TF,
        ),
        limit("rekey_time", May::Last(604_800), "ends phase 1 after 604800 s at most", TENCENT_TF),
        limit("children.*.rekey_time", May::Last(604_800), "ends phase 2 after 604800 s at most", TENCENT_TF),
        limit("children.*.mode", TUNNEL_ONLY, "has tunnel mode alone", TENCENT),
        limit(
            "secret",
            May::Secret {
                least: 1,
                most: 128,
                takes: |secret| secret.iter().all(|octet| octet.is_ascii_graphic() && !b"\"\\".contains(octet)),
                said: "visible ones of ASCII but \" \\",
            },
            "takes a pre-shared key of 1 to 128 characters without spaces, quotes and backslashes",
            TENCENT,
        ),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "Its defaults are IKEv1, 3DES and MD5 without PFS: none of them is taken, all have to be changed.",
            "默认值是 IKEv1、3DES、MD5、无 PFS：全部都要修改。",
        ),
        text(
            "SPD policies must not overlap; each pair is a child of its own.",
            "SPD 策略不能重叠；每一对网段各是一个 child。",
        ),
    ],
    theirs: &[
        theirs("ike_version", "IKEV2", "The default is IKEV1, which Sandhog does not speak."),
        theirs("ike_proto_encry_algorithm, ipsec_encrypt_algorithm", "AES-CBC-256", "The default is 3DES-CBC."),
        theirs("ike_proto_authen_algorithm, ipsec_integrity_algorithm", "SHA-256", "The default is MD5."),
        theirs("ike_dh_group_name, ipsec_pfs_dh_group", "GROUP14, DH-GROUP14", "The defaults are GROUP1 and no PFS."),
        theirs(
            "ike_sa_lifetime_seconds, ipsec_sa_lifetime_seconds",
            "90000, 3000",
            "The defaults are 86400 and 3600; ours are earlier than either.",
        ),
        theirs("ike_local_identity, ike_remote_identity", "ADDRESS", "With our local.id as the remote address."),
    ],
};
