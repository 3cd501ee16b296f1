//! What two ends cannot agree on: suites, groups, networks, children.
use super::table::{Advice, Entry, near, own, peer, run, us};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "peer.unknown",
        text: [
            "No connection is configured for {peer} with the identity that it gave.",
            "本端没有与 {peer} 及其身份标识相匹配的连接配置。",
        ],
        advice: &[
            us(
                "",
                [
                    "Give a connection the peer's address in remote_addrs and its identity as remote.id; if there is one already, compare both with the values here.",
                    "在某个连接的 remote_addrs 中填写对端地址，并把 remote.id 设为对端的身份标识；如果已有该连接，请逐项核对。",
                ],
            ),
            peer(
                "local_id",
                [
                    "Or correct at the peer the address that it calls, and the identity that it gives.",
                    "或者在对端修正所连接的网关地址及其本端身份标识。",
                ],
            ),
        ],
        names: [own("PeerMismatch"), own("no peer config found by ID payload")],
    },
    Entry {
        code: "peer.refused",
        text: ["{peer} refused, for a reason of its own.", "{peer} 拒绝了协商，且没有说明具体原因。"],
        advice: &[peer(
            "",
            [
                "See what the peer logs at this time; it alone knows why.",
                "请查看对端在该时刻的日志，只有对端知道拒绝的原因。",
            ],
        )],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "config.unknown",
        text: ["There is no connection or child of this name.", "没有这个名称的连接或子连接。"],
        advice: &[run(
            "sandhog status",
            [
                "List the names that there are; `sandhog reload` makes the daemon read the files again.",
                "列出现有的名称；执行 `sandhog reload` 可让守护进程重新读取配置文件。",
            ],
        )],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "config.respond_only",
        text: [
            "This connection only responds: it does not say where its peer is.",
            "该连接只能作为响应方：配置中没有对端的地址。",
        ],
        advice: &[
            peer("", ["Let the peer call.", "由对端主动发起连接。"]),
            us(
                "{connection}/remote_addrs",
                [
                    "Or put the peer's address into {connection}.remote_addrs instead of \"%any\".",
                    "或者把 {connection}.remote_addrs 中的 \"%any\" 换成对端的地址。",
                ],
            ),
        ],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "proposal.encr",
        text: ["The two ends have no encryption algorithm in common.", "两端没有相同的加密算法。"],
        advice: SUITES,
        names: [own("EncryptionAlgorithmMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "proposal.integ",
        text: ["The two ends have no integrity algorithm in common.", "两端没有相同的完整性（认证）算法。"],
        advice: SUITES,
        names: [own("AuthenticationAlgorithmMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "proposal.prf",
        text: ["The two ends have no pseudorandom function in common.", "两端没有相同的伪随机函数（PRF）。"],
        advice: SUITES,
        names: [near("AlgorithmMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "proposal.ke",
        text: ["The two ends have no key exchange group in common.", "两端没有相同的密钥交换组（DH 组）。"],
        advice: SUITES,
        names: [own("DhGroupMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "proposal.esn",
        text: [
            "One end wants extended sequence numbers and the other one does not have them.",
            "一端要求使用扩展序列号（ESN），另一端不支持或未启用。",
        ],
        advice: &[
            us(
                "{child}/esp_proposals",
                [
                    "Let {child}.esp_proposals end in \"-esn-noesn\": then either will do.",
                    "在 {child}.esp_proposals 的末尾写上 \"-esn-noesn\"，这样两种方式都可接受。",
                ],
            ),
            peer(
                "esp_proposals",
                [
                    "Or switch extended sequence numbers on or off at the peer, as they are here.",
                    "或者在对端开启或关闭 ESN，使其与本端一致。",
                ],
            ),
        ],
        names: [near("AlgorithmMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "proposal.ike",
        text: [
            "The two ends have no combination of algorithms for IKE in common.",
            "两端的 IKE（第一阶段）提议没有任何共同的算法组合。",
        ],
        advice: &[
            us(
                "{connection}/proposals",
                [
                    "Write into {connection}.proposals what the peer is configured for: encryption, integrity and group, all of one suite.",
                    "把对端配置的加密算法、认证算法和 DH 组作为一个整体写入 {connection}.proposals。",
                ],
            ),
            peer(
                "proposals",
                [
                    "Or configure one of our suites at the peer.",
                    "或者在对端的 IKE（第一阶段）提议中配置本端的某一组算法。",
                ],
            ),
        ],
        names: [own("AlgorithmMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "proposal.esp",
        text: [
            "The two ends have no combination of algorithms for ESP in common.",
            "两端的 ESP（第二阶段）提议没有任何共同的算法组合。",
        ],
        advice: &[
            us(
                "{child}/esp_proposals",
                [
                    "Write into {child}.esp_proposals what the peer is configured for: encryption, integrity and PFS group, all of one suite.",
                    "把对端配置的加密算法、认证算法和 PFS 组作为一个整体写入 {child}.esp_proposals。",
                ],
            ),
            peer(
                "esp_proposals",
                [
                    "Or configure one of our suites at the peer.",
                    "或者在对端的 IPsec（第二阶段）提议中配置本端的某一组算法。",
                ],
            ),
        ],
        names: [own("AlgorithmMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "proposal.other",
        text: [
            "The peer insists on a transform of a kind that is unknown here.",
            "对端要求使用一种本端不认识的变换类型。",
        ],
        advice: &[
            peer(
                "proposals",
                [
                    "Leave at the peer only encryption, integrity, PRF and group, as our proposals have them.",
                    "在对端只保留加密、认证、PRF 和 DH 组，并与本端的提议保持一致。",
                ],
            ),
            us(
                "{connection}/proposals",
                [
                    "Compare {connection}.proposals with what the peer offers.",
                    "将 {connection}.proposals 与对端的提议逐项比较。",
                ],
            ),
        ],
        names: [near("ProposalMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "pfs.mismatch",
        text: [
            "The PFS group differs, which only shows when the child is rekeyed: until then the tunnel works, and then it stops.",
            "两端的 PFS 组不一致。该问题只在子 SA 更新密钥时才会暴露：在此之前隧道正常，之后就会中断。",
        ],
        advice: &[
            us(
                "{child}/esp_proposals",
                [
                    "Put the peer's PFS group at the end of {child}.esp_proposals, or none where the peer uses none.",
                    "把对端的 PFS 组写在 {child}.esp_proposals 的末尾；如果对端关闭了 PFS，则不要写组。",
                ],
            ),
            peer(
                "esp_proposals",
                ["Or set our group as the PFS group of the peer.", "或者把对端的 PFS 组改成与本端相同。"],
            ),
        ],
        names: [own("PfsMismatch"), own("no matching proposal")],
    },
    Entry {
        code: "ts.mismatch",
        text: [
            "The two ends have no networks in common for this child.",
            "两端为该子连接配置的网段（流量选择器、感兴趣流）没有交集。",
        ],
        advice: &[
            us(
                "{child}",
                [
                    "Our {child}.local_ts is the peer's remote network, our remote_ts its local one: let them mirror each other.",
                    "本端的 {child}.local_ts 应是对端的“对端网段”，remote_ts 应是对端的“本端网段”，两端必须互为镜像。",
                ],
            ),
            peer(
                "remote_ts",
                [
                    "Or correct the networks at the peer: its remote ones are ours.",
                    "或者在对端修正网段：它的“对端网段”就是本端的网段。",
                ],
            ),
        ],
        names: [own("TrafficSelectorMismatch"), near("no matching CHILD_SA config found")],
    },
    Entry {
        code: "ts.widened",
        text: [
            "The peer answered with networks that were not asked for; nothing was set up.",
            "对端回复的网段超出了本端请求的范围，因此没有建立隧道。",
        ],
        advice: &[
            peer(
                "remote_ts",
                [
                    "Correct the networks at the peer, so that they lie within ours.",
                    "在对端修正网段，使其不超出本端的范围。",
                ],
            ),
            us(
                "{child}",
                [
                    "Or widen {child}.local_ts and remote_ts to what it insists on.",
                    "或者把 {child}.local_ts 和 remote_ts 放宽到对端坚持的范围。",
                ],
            ),
        ],
        names: [own("TrafficSelectorMismatch"), near("no matching CHILD_SA config found")],
    },
    Entry {
        code: "ts.narrowed",
        text: [
            "The peer took only a part of the networks: the tunnel is up, and what is left out does not pass.",
            "对端只接受了部分网段：隧道已建立，但未被接受的网段不通。",
        ],
        advice: &[
            peer("remote_ts", ["Add the missing networks at the peer.", "在对端补上缺少的网段。"]),
            us(
                "{child}/ts_mode",
                [
                    "Or, if the peer takes one pair of networks in each child, set {child}.ts_mode = \"per_pair\".",
                    "如果对端的每个子 SA 只支持一对网段，请设置 {child}.ts_mode = \"per_pair\"。",
                ],
            )
            .to("\"per_pair\""),
        ],
        names: [own("TrafficSelectorMismatch"), near("no matching CHILD_SA config found")],
    },
    Entry {
        code: "ts.single_pair",
        text: ["The peer takes one pair of networks in each child.", "对端的每个子 SA 只接受一对网段。"],
        advice: &[us(
            "{child}/ts_mode",
            [
                "Set {child}.ts_mode = \"per_pair\": one child for each pair.",
                "设置 {child}.ts_mode = \"per_pair\"，每对网段使用单独的子 SA。",
            ],
        )
        .to("\"per_pair\"")],
        names: [own("TrafficSelectorMismatch"), near("no matching CHILD_SA config found")],
    },
    Entry {
        code: "child.mode",
        text: [
            "One end has transport mode for this child, the other a tunnel.",
            "一端为该子连接配置了传输模式，另一端是隧道模式。",
        ],
        advice: &[
            us(
                "{child}/mode",
                [
                    "Set {child}.mode to \"tunnel\", unless the two gateways are to speak with each other alone.",
                    "把 {child}.mode 设为 \"tunnel\"，除非只需要两台网关之间互通。",
                ],
            ),
            peer("", ["Or change the mode at the peer.", "或者在对端修改封装模式。"]),
        ],
        names: [own("EncapsulationModeMismatch"), near("negotiation failed")],
    },
    Entry {
        code: "child.refused",
        text: [
            "The peer refused this child; the connection itself stays up.",
            "对端拒绝建立该子 SA；IKE 连接本身仍然保持。",
        ],
        advice: &[
            peer(
                "",
                [
                    "See what the peer logs; some take only one child in each connection.",
                    "请查看对端日志；有些设备每条连接只允许一个子 SA。",
                ],
            ),
            us(
                "{child}/esp_proposals",
                [
                    "Compare {child}.esp_proposals and its networks with the peer's.",
                    "核对 {child}.esp_proposals 及其网段与对端是否一致。",
                ],
            ),
        ],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "childless.unsupported",
        text: ["The peer does not take an IKE SA without a child.", "对端不支持不带子 SA 的 IKE SA（RFC 6023）。"],
        advice: &[us(
            "{connection}/childless",
            ["Set {connection}.childless to \"prefer\".", "把 {connection}.childless 设为 \"prefer\"。"],
        )
        .to("\"prefer\"")],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "version.ikev1_peer",
        text: [
            "{peer} speaks IKEv1 only, which is recognised here but not spoken.",
            "{peer} 只使用 IKEv1；本端能识别 IKEv1，但不支持。",
        ],
        advice: &[peer("version", ["Switch the peer to IKEv2.", "把对端的 IKE 版本改为 IKEv2。"]).to("\"2\"")],
        names: [own("IkeVersionMismatch"), near("peer no response")],
    },
    Entry {
        code: "answer.not_offered",
        text: [
            "The peer chose what was not offered; such an answer is never accepted.",
            "对端选择了本端没有提供的参数；这样的应答一律不接受。",
        ],
        advice: &[
            us(
                "{connection}/proposals",
                [
                    "Leave one suite in {connection}.proposals and {child}.esp_proposals that the peer surely has.",
                    "在 {connection}.proposals 和 {child}.esp_proposals 中只保留一组对端确定支持的算法。",
                ],
            ),
            peer("", ["Look for an update of the peer.", "检查对端是否有软件更新。"]),
        ],
        names: [near("AlgorithmCompatibility"), near("negotiation failed")],
    },
    Entry {
        code: "answer.malformed",
        text: ["The peer's answer breaks the rules of IKEv2.", "对端的应答不符合 IKEv2 规范。"],
        advice: BROKEN,
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "message.malformed",
        text: ["{peer} sent a message that breaks the rules of IKEv2.", "{peer} 发送的报文不符合 IKEv2 规范。"],
        advice: BROKEN,
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "message.incomplete",
        text: [
            "{peer} sent a message in which something is missing that IKEv2 demands.",
            "{peer} 发送的报文缺少 IKEv2 要求的内容。",
        ],
        advice: BROKEN,
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
];
/// Of one kind of transform, in IKE or in ESP.
const SUITES: &[Advice] = &[
    us("{suites}", ["Add one that the peer has to the proposals here.", "在本端的提议中加入一种对端支持的算法。"]),
    peer("{suites}", ["Or configure one of ours at the peer.", "或者在对端配置一种本端使用的算法。"]),
];
const BROKEN: &[Advice] = &[
    peer("", ["Look for an update of the peer.", "检查对端是否有软件更新。"]),
    run(
        "sandhog capture {name} --outer --seconds 30 --out peer.pcapng",
        ["Record what it sends, for its maker.", "抓取对端发送的报文，供其厂商分析。"],
    ),
];
