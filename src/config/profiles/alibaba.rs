//! Alibaba Cloud.
use super::*;

const API: Source = read_in("alibabacloud-go/vpc-20160428: create_vpn_connection_request_model.go");
const DOCS: Source = read_in("Alibaba Cloud VPN Gateway documentation: IPsec-VPN connections");
const ROS: Source = read_in("Alibaba Cloud ROS reference: ALIYUN::VPC::VpnConnection");
const MTU: Source = unread("Alibaba Cloud VPN Gateway documentation: MTU");

/// CBC alone; MD5 and the small groups are those that a configuration may name, though nobody should.
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
    "modp1024",
    "modp1536",
    "modp2048",
];
const ESP: &[&str] =
    &["aes128", "aes192", "aes256", "sha1", "sha256", "sha384", "sha512", "modp1024", "modp1536", "modp2048", "none"];

pub(super) static ALIYUN: Profile = Profile {
    name: "aliyun",
    title: text("Alibaba Cloud VPN Gateway", "阿里云 VPN 网关"),
    role: Role::Initiator,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "One suite, the same at both ends. Its own defaults are IKEv1, aes, md5 and group2: ask there for ikev2, aes256, sha256 and group14. It has no GCM and no elliptic curves.",
            API,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256-sha256-modp2048"]),
            "The same for phase 2, with PFS. Its defaults there are aes, md5 and group2.",
            API,
        ),
        set("children.*.ts_mode", TOGETHER, "With ikev2 it keeps several CIDR blocks in one SA.", ROS),
        BOTH,
        set("rekey_time", Given::Word("20h"), "Its phase 1 lives 86400 s: our rekey comes before.", API),
        set(
            "children.*.rekey_time",
            Given::Word("40m"),
            "Before its phase 2 ends, be that its default of 86400 s or the usual 3600 s.",
            API,
        ),
        set("dpd_delay", Given::Word("30s"), "DPD is on there unless it is turned off.", API),
        KEEPALIVE,
        set(
            "encap",
            Given::Word("auto"),
            "NAT traversal is on there unless it is turned off, and has to stay on.",
            API,
        ),
        FRAGMENTATION,
        NO_MOBIKE,
        REHEARSE,
        set(
            "children.*.start_action",
            Given::Word("start"),
            "It calls nobody before there is traffic (EffectImmediately is false unless set), so we do.",
            ROS,
        ),
        RESTART,
        set(
            "children.*.peer_window",
            Given::Number(64),
            "It does not say; what is usual, and our packets are in order to within 16.",
            unread("Alibaba Cloud VPN Gateway documentation"),
        ),
        set("children.*.mtu", Given::Number(1360), "What it recommends; a path that takes less is found out.", MTU),
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: IKE, one: true, group: true },
            "takes one suite of AES-CBC, SHA and the MODP groups 2, 5 and 14, without GCM or elliptic curves",
            API,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: ESP, one: true, group: false },
            "takes one suite of AES-CBC, SHA and the MODP groups 2, 5 and 14, without GCM or elliptic curves",
            API,
        ),
        limit("children.*.ts_mode", May::Shape(&[TOGETHER]), "wants all CIDR blocks in one SA", DOCS),
        limit("children.*.mode", TUNNEL_ONLY, "has ESP in tunnel mode alone", DOCS),
        limit("rekey_time", May::Last(86_400), "ends phase 1 after 86400 s at most, and we have to be earlier", API),
        limit(
            "children.*.rekey_time",
            May::Last(86_400),
            "ends phase 2 after 86400 s at most, and we have to be earlier",
            API,
        ),
        limit("local.auth", May::Be(&[Given::Word("psk")]), "knows peers of this kind by a pre-shared key alone", DOCS),
        limit(
            "remote.auth",
            May::Be(&[Given::Word("psk")]),
            "proves itself to peers of this kind by a pre-shared key alone",
            DOCS,
        ),
        limit(
            "local.id",
            May::Id { most: 100, address: false },
            "takes identities of at most 100 characters (RemoteId)",
            API,
        ),
        limit(
            "remote.id",
            May::Id { most: 100, address: false },
            "has identities of at most 100 characters (LocalId)",
            API,
        ),
        limit(
            "secret",
            May::Secret {
                least: 1,
                most: 100,
                takes: |secret| secret.iter().all(|octet| (b'!'..=b'~').contains(octet)),
                said: "visible ones of ASCII, no spaces",
            },
            "takes a pre-shared key of 1 to 100 characters without spaces",
            API,
        ),
        limit(
            "children.*.local_ts",
            May::Avoid(&["100.64.0.0/10"]),
            "keeps 100.64.0.0/10 for itself and never routes it into a tunnel",
            DOCS,
        ),
        limit(
            "children.*.remote_ts",
            May::Avoid(&["100.64.0.0/10"]),
            "keeps 100.64.0.0/10 for itself: nothing of a customer is there",
            DOCS,
        ),
        limit(
            "interface.addresses",
            May::Avoid(&[
                "169.254.0.0/30",
                "169.254.1.0/30",
                "169.254.2.0/30",
                "169.254.3.0/30",
                "169.254.4.0/30",
                "169.254.5.0/30",
                "169.254.6.0/30",
                "169.254.169.252/30",
            ]),
            "keeps these for itself; another /30 of 169.254.0.0/16 is free for a tunnel with BGP",
            API,
        ),
        ONLY_ONE_SA,
    ],
    traps: &[
        text(
            "Until EffectImmediately is set it negotiates only on traffic: we call it, and its side shows nothing before.",
            "未设置 EffectImmediately 时只有流量才会触发协商：由我们发起，此前控制台不会显示任何状态。",
        ),
        text(
            "Each change there makes it negotiate anew, with INITIAL_CONTACT: what was up is replaced, not doubled.",
            "控制台每次修改都会触发重新协商（INITIAL_CONTACT）：旧连接会被替换。",
        ),
        text(
            "Dual tunnels are two connections here: one local ID towards two remote addresses, each with its own identity and secret.",
            "双隧道在这里是两个连接：同一个本端 ID，两个对端地址，各有自己的标识和密钥。",
        ),
        text(
            "Several CIDR blocks work with ikev2 only, all in one SA; with 0.0.0.0/0 on both sides (destination routing mode) routes decide.",
            "多网段只支持 ikev2，且都在一个 SA 内；两端均为 0.0.0.0/0（目的路由模式）时由路由决定。",
        ),
        text(
            "100.64.0.0/10 belongs to the cloud and must not be routed through the tunnel.",
            "100.64.0.0/10 属于云平台，不能经隧道路由。",
        ),
    ],
    theirs: &[
        theirs("IkeVersion", "ikev2", "The default is ikev1, which Sandhog does not speak."),
        theirs("IkeEncAlg, IpsecEncAlg", "aes256", "The default is aes, with 128 bits."),
        theirs("IkeAuthAlg, IpsecAuthAlg", "sha256", "The default is md5, which is broken."),
        theirs("IkePfs, IpsecPfs", "group14", "The default is group2, which is too weak."),
        theirs("IkeLifetime", "86400", "The default; ours is earlier."),
        theirs("IpsecLifetime", "3000", "The default is 86400; ours is earlier than either."),
        theirs("EnableDpd, EnableNatTraversal", "true", "The defaults; NAT traversal has to be on at both ends."),
        theirs("LocalId", "our remote.id", "The default is the gateway's public address."),
        theirs("RemoteId", "our local.id", "The default is the customer gateway's address: ours behind the NAT."),
        theirs("EffectImmediately", "false", "The default: we call."),
    ],
};
