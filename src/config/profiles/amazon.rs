//! Amazon Web Services.
use super::*;

const GUIDE: Source = read_in("AWS Site-to-Site VPN user guide: tunnel options");
const DEVICES: Source = read_in("AWS Site-to-Site VPN user guide: customer gateway devices");

const IKE: &[&str] = &[
    "aes128",
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
    "modp2048",
    "modp3072",
    "modp4096",
    "modp6144",
    "modp8192",
    "ecp256",
    "ecp384",
    "ecp521",
];
const ESP: &[&str] = &[
    "aes128",
    "aes256",
    "aes128gcm16",
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
    "modp6144",
    "modp8192",
    "ecp256",
    "ecp384",
    "ecp521",
];
const ONE_PAIR: &str = "keeps one SA pair for each tunnel: a second one replaces the first, again and again";
const NEVER: May = May::Be(&[Given::Word("never")]);

/// `A` to `z`, digits, dots and underscores; not 0 at the beginning.
fn secret(octets: &[u8]) -> bool {
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"._".contains(octet);
    octets.iter().all(plain) && !octets.starts_with(b"0")
}

pub(super) static AWS: Profile = Profile {
    name: "aws",
    title: text("AWS Site-to-Site VPN", "AWS Site-to-Site VPN"),
    role: Role::Initiator,
    needs_id: true,
    settings: &[
        set(
            "proposals",
            Given::Words(&["aes256gcm16-prfsha384-ecp384"]),
            "One suite: of several AWS takes the weakest that both have, SHA1 and group 2 among its defaults. Pin the same in the tunnel options.",
            GUIDE,
        ),
        set(
            "children.*.esp_proposals",
            Given::Words(&["aes256gcm16-ecp384"]),
            "The same for phase 2, for which AWS requires PFS.",
            GUIDE,
        ),
        set(
            "children.*.ts_mode",
            TOGETHER,
            "One SA pair for each tunnel: 0.0.0.0/0 on both sides, and routes or BGP decide.",
            GUIDE,
        ),
        BOTH,
        set(
            "rekey_time",
            Given::Word("7h"),
            "Its phase 1 lives 28800 s, and it begins to rekey up to 1080 s before: ours is earlier.",
            GUIDE,
        ),
        set(
            "children.*.rekey_time",
            Given::Word("40m"),
            "Its phase 2 lives 3600 s, and it begins to rekey up to 1080 s before: ours is earlier.",
            GUIDE,
        ),
        set(
            "dpd_delay",
            Given::Word("10s"),
            "It gives a silent peer up after 30 s, and an idle tunnel may be dropped sooner.",
            GUIDE,
        ),
        KEEPALIVE,
        ENCAP,
        FRAGMENTATION,
        NO_MOBIKE,
        set("childless", Given::Word("never"), "An IKE SA without its SA pair is of no use there.", DEVICES),
        set(
            "rehearse",
            Given::Word("never"),
            "It keeps one SA pair for each tunnel, so nothing is tried beside it.",
            DEVICES,
        ),
        set(
            "children.*.start_action",
            Given::Word("start"),
            "The startup action is `add` unless it is changed: AWS waits for us.",
            GUIDE,
        ),
        RESTART,
        set("children.*.peer_window", Given::Number(1024), "Its replay window: any worker may seal.", GUIDE),
        set(
            "children.*.mtu",
            Given::Number(1438),
            "AES-GCM behind a NAT; it does no path MTU discovery, so more than it takes is lost without a word.",
            DEVICES,
        ),
        ONE_SA,
    ],
    limits: &[
        limit(
            "proposals",
            May::Suites { words: IKE, one: true, group: true },
            "picks the weakest of several suites, and knows AES with CBC or GCM, SHA and the groups 2 and 14 to 21",
            GUIDE,
        ),
        limit(
            "children.*.esp_proposals",
            May::Suites { words: ESP, one: true, group: true },
            "picks the weakest of several suites, requires PFS, and knows AES with CBC or GCM, SHA and the groups 2, 5 and 14 to 21",
            GUIDE,
        ),
        limit("children", May::Count(1), ONE_PAIR, DEVICES),
        limit("children.*.local_ts", May::Count(1), ONE_PAIR, DEVICES),
        limit("children.*.remote_ts", May::Count(1), ONE_PAIR, DEVICES),
        limit("children.*.mode", TUNNEL_ONLY, "has tunnel mode alone", DEVICES),
        limit("rehearse", NEVER, ONE_PAIR, DEVICES),
        limit("children.*.per_resource_sas", May::Be(&[Given::Number(0)]), ONE_PAIR, DEVICES),
        limit("rekey_time", May::Last(28_800), "ends phase 1 after 28800 s at most, and we have to be earlier", GUIDE),
        limit(
            "children.*.rekey_time",
            May::Last(3600),
            "ends phase 2 after 3600 s at most, and we have to be earlier",
            GUIDE,
        ),
        limit(
            "secret",
            May::Secret {
                least: 8,
                most: 64,
                takes: secret,
                said: "letters, digits, dots and underscores, the first one not 0",
            },
            "takes a pre-shared key of 8 to 64 letters, digits, dots and underscores that does not begin with 0",
            GUIDE,
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
                "169.254.169.252/30",
            ]),
            "keeps these for itself; another /30 of 169.254.0.0/16 is the inside of a tunnel",
            GUIDE,
        ),
    ],
    traps: &[
        text(
            "Each VPN connection has two tunnels with two addresses and two secrets: two connections here, both with interfaces, and routes or BGP choose.",
            "每个 VPN 连接有两条隧道、两个地址、两个密钥：在这里是两个带 interface 的连接，由路由或 BGP 选择。",
        ),
        text(
            "Exactly one SA pair for each tunnel: a second child replaces the first, and the tunnel flaps.",
            "每条隧道只有一对 SA：第二个 child 会替换第一个，隧道会反复断开。",
        ),
        text(
            "It takes the lowest value that both offer, whatever the order: leave only one in each tunnel option.",
            "无论顺序如何，AWS 都选双方共有的最低值：隧道选项里每项只保留一个。",
        ),
        text(
            "There is no path MTU discovery: TCP is clamped; larger UDP with DF set is lost.",
            "没有路径 MTU 发现：TCP 会被限制 MSS；带 DF 的大 UDP 包会丢失。",
        ),
        text(
            "An idle tunnel may go down: let a monitor ping through it.",
            "空闲隧道可能断开：用 monitor 在隧道内 ping。",
        ),
    ],
    theirs: &[
        theirs("IKE versions", "ikev2", "The default allows ikev1, too."),
        theirs(
            "Phase 1 encryption, integrity, DH group",
            "AES256-GCM-16, SHA2-384, 20",
            "The default allows all, AES128, SHA1 and group 2 among them.",
        ),
        theirs("Phase 2 encryption, integrity, DH group", "AES256-GCM-16, SHA2-384, 20", "As above."),
        theirs(
            "Phase 1 lifetime, phase 2 lifetime",
            "28800, 3000",
            "The defaults are 28800 and 3600; ours are earlier than either.",
        ),
        theirs("DPD timeout action", "clear", "The default: we call, and call again."),
        theirs("Startup action", "add", "The default: we call."),
        theirs(
            "Local and remote IPv4 network CIDR",
            "0.0.0.0/0",
            "The defaults: our children have 0.0.0.0/0 on both sides, too.",
        ),
        theirs("Customer gateway: IP address", "our local.id", "The public address, where we are behind a NAT."),
    ],
};
