//! Who is there, and how it is proven: identities, secrets, certificates.
use super::table::{Entry, near, own, peer, run, us};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "auth.psk",
        text: ["The pre-shared keys of the two ends differ.", "两端的预共享密钥不一致。"],
        advice: &[
            us("", [
                "Set the same secret at both ends; here it is the one in [secrets] whose id is the peer's. A blank or a newline at its end counts.",
                "在两端设置相同的密钥；本端使用 [secrets] 中 id 为对端标识的那一个。末尾的空格和换行也算密钥的一部分。",
            ]),
            peer("secret", [
                "Or enter our secret at the peer again, without quotes, blanks or a newline around it.",
                "或者在对端重新输入本端的密钥，前后不要带引号、空格或换行。",
            ]),
        ],
        names: [own("PskMismatch"), own("invalid Pre-shared Key")],
    },
    Entry {
        code: "auth.id",
        text: [
            "The peer's identity, or the one that it expects of us, is not the one that is configured.",
            "对端的身份标识，或对端期望的本端标识，与配置不一致。",
        ],
        advice: &[
            us("{connection}/remote/id", [
                "Set {connection}.remote.id to what the peer sends, and {connection}.local.id to what it expects of us.",
                "把 {connection}.remote.id 设为对端发送的标识，把 {connection}.local.id 设为对端期望的标识。",
            ]),
            peer("local_id", [
                "Or change what the peer sends, or expects, to what is configured here.",
                "或者在对端把它的本端标识和对端标识改成与这里的配置一致。",
            ]),
        ],
        names: [own("PeerIdMismatch"), own("no peer config found by ID payload")],
    },
    Entry {
        code: "auth.failed",
        text: [
            "Authentication failed. Whoever refuses does not say why, and must not.",
            "认证失败。出于安全原因，拒绝的一方不会说明具体原因。",
        ],
        advice: &[
            us("{connection}/local/id", [
                "Compare {connection}.local.id with what the peer expects of us, and {connection}.remote.id with what it is.",
                "核对 {connection}.local.id 与对端期望的标识是否一致，{connection}.remote.id 与对端的标识是否一致。",
            ]),
            peer("secret", [
                "Compare the secret at both ends; the peer's log says which of them it was.",
                "核对两端的密钥；对端的日志会说明具体是哪一项。",
            ]),
        ],
        names: [near("PskMismatch"), near("no matching secret")],
    },
    Entry {
        code: "auth.method",
        text: [
            "The peer proves itself in a way that is not configured for it.",
            "对端使用的认证方式与本端配置的不一致。",
        ],
        advice: &[
            us("{connection}/remote/auth", [
                "Set {connection}.remote.auth to \"psk\" or \"pubkey\", whichever the peer uses.",
                "把 {connection}.remote.auth 设为对端使用的方式：\"psk\"（预共享密钥）或 \"pubkey\"（证书）。",
            ]),
            peer("auth", ["Or change it at the peer.", "或者在对端修改认证方式。"]),
        ],
        names: [near("NegotiationFailed"), near("no matching secret")],
    },
    Entry {
        code: "auth.ppk",
        text: [
            "The two ends do not use the same post-quantum preshared key, and one of them will not do without.",
            "两端使用的后量子预共享密钥（PPK）不一致，而其中一端又必须使用它。",
        ],
        advice: &[
            us("{connection}/ppk/id", [
                "Set {connection}.ppk.id and the secret of that id to the same at both ends.",
                "在两端使用相同的 {connection}.ppk.id 及其对应的密钥。",
            ]),
            us("{connection}/ppk/required", [
                "Or let it be left out: {connection}.ppk.required = false. What travels is not safe from a quantum computer then.",
                "或者允许不使用：{connection}.ppk.required = false。此时流量不能抵御量子计算机。",
            ]).to("false"),
        ],
        names: [near("PskMismatch"), near("no matching secret")],
    },
    Entry {
        code: "auth.signature",
        text: [
            "The signature was not made by the key in the peer's certificate, or not over this exchange.",
            "签名与对端证书中的密钥不符，或者不是针对本次交换的签名。",
        ],
        advice: &[peer("auth", [
            "Check at the peer that its private key belongs to its certificate; if it does, somebody is in between.",
            "在对端检查私钥与证书是否配套；如果配套，说明中间有人篡改。",
        ])],
        names: [near("NegotiationFailed"), near("invalid signature")],
    },
    Entry {
        code: "auth.hash",
        text: ["The two ends have no way to sign in common.", "两端没有共同支持的签名算法。"],
        advice: &[peer("auth", [
            "Let the peer use RSA with SHA-2, ECDSA over P-256 or P-384, or Ed25519; an RSA key needs a peer that knows RFC 7427.",
            "让对端使用 RSA 加 SHA-2、ECDSA P-256/P-384 或 Ed25519；使用 RSA 密钥时对端必须支持 RFC 7427。",
        ])],
        names: [near("AlgorithmMismatch"), near("invalid signature")],
    },
    Entry {
        code: "auth.cert.expired",
        text: ["The peer's certificate, or its authority's, has ended.", "对端的证书或其签发机构的证书已过期。"],
        advice: &[
            peer("auth", ["Issue a new certificate for the peer.", "为对端签发新的证书。"]),
            run("timedatectl", [
                "If it is good still, correct the clock of this machine.",
                "如果证书实际上仍然有效，请校准本机时钟。",
            ]),
        ],
        names: [near("NegotiationFailed"), near("certificate expired")],
    },
    Entry {
        code: "auth.cert.not_yet_valid",
        text: ["The peer's certificate is not valid yet.", "对端的证书尚未生效。"],
        advice: &[run("timedatectl", ["Correct the clock of this machine, or wait.", "校准本机时钟，或等待证书生效。"])],
        names: [near("NegotiationFailed"), near("certificate not valid yet")],
    },
    Entry {
        code: "auth.cert.clock",
        text: [
            "A certificate is refused because of its dates, and the clock of one end is wrong.",
            "证书因日期被拒绝，而其中一端的时钟不准。",
        ],
        advice: &[
            run("timedatectl", [
                "Set the clock of this machine, and let it be kept by NTP.",
                "校准本机时钟，并启用 NTP 同步。",
            ]),
            peer("", ["Look at the clock of the peer, too.", "同时检查对端的时钟。"]),
        ],
        names: [near("NegotiationFailed"), near("certificate not valid")],
    },
    Entry {
        code: "auth.cert.unknown_ca",
        text: [
            "The certificate does not lead to an authority that is trusted.",
            "证书链无法追溯到受信任的签发机构（CA）。",
        ],
        advice: &[
            us("{connection}/remote/cacerts", [
                "Add the authority's certificate to {connection}.remote.cacerts.",
                "把签发机构的证书加入 {connection}.remote.cacerts。",
            ]),
            peer("auth", [
                "Or let the peer send the certificates in between; where it is ours that is refused, the peer has to trust our authority.",
                "或者让对端发送中间证书；如果被拒绝的是本端证书，则对端需要信任本端的签发机构。",
            ]),
        ],
        names: [near("NegotiationFailed"), near("no trusted certificate")],
    },
    Entry {
        code: "auth.cert.revoked",
        text: ["The peer's certificate was revoked.", "对端的证书已被吊销。"],
        advice: &[peer("auth", [
            "Issue a new one for the peer, if it is still to come in.",
            "如果仍允许对端接入，请为其签发新的证书。",
        ])],
        names: [near("NegotiationFailed"), near("certificate revoked")],
    },
    Entry {
        code: "auth.cert.name",
        text: ["The identity that is claimed is not in the certificate.", "所声称的身份标识不在证书中。"],
        advice: &[
            peer("local_id", [
                "Let the peer use a name of its subjectAltName or its whole subject as identity; a common name is none.",
                "让对端使用证书 subjectAltName 中的名称或完整的主题（DN）作为标识；只用 CN 不行。",
            ]),
            us("{connection}/remote/id", [
                "And set {connection}.remote.id to the same.",
                "同时把 {connection}.remote.id 设为相同的值。",
            ]),
        ],
        names: [near("PeerIdMismatch"), near("no peer config found by ID payload")],
    },
    Entry {
        code: "auth.cert.usage",
        text: [
            "The peer's certificate, or one that it leads through, is not for this use.",
            "对端的证书（或证书链中的某个证书）的用途不符。",
        ],
        advice: &[peer("auth", [
            "Issue one with the key usage digitalSignature and without extended key usages, or with ipsecIKE.",
            "重新签发：密钥用途包含 digitalSignature，不带扩展密钥用途，或带 ipsecIKE。",
        ])],
        names: [near("NegotiationFailed"), near("no trusted certificate")],
    },
    Entry {
        code: "auth.cert.weak",
        text: [
            "The peer's certificate has a key or a signature that is too weak or unknown.",
            "对端证书的密钥或签名算法太弱，或无法识别。",
        ],
        advice: &[peer("auth", [
            "Issue one with RSA of 2048 bits or more, ECDSA over P-256 or P-384, or Ed25519, signed with SHA-2.",
            "重新签发：使用 2048 位以上的 RSA、ECDSA P-256/P-384 或 Ed25519，并以 SHA-2 签名。",
        ])],
        names: [near("AlgorithmMismatch"), near("no trusted certificate")],
    },
    Entry {
        code: "auth.cert.missing",
        text: ["A certificate is missing.", "缺少证书。"],
        advice: &[
            peer("auth", [
                "Let the peer send its certificate (strongSwan: send_cert = always).",
                "让对端发送自己的证书（strongSwan：send_cert = always）。",
            ]),
            us("{connection}/local/certs", [
                "Where it is ours, set {connection}.local.certs.",
                "如果缺少的是本端证书，请设置 {connection}.local.certs。",
            ]),
        ],
        names: [near("NegotiationFailed"), near("no trusted certificate")],
    },
    Entry {
        code: "auth.cert.crl_missing",
        text: [
            "Whether the peer's certificate was revoked cannot be told: no current revocation list is at hand.",
            "没有可用的最新吊销列表（CRL），无法判断对端证书是否已被吊销。",
        ],
        advice: &[
            us("{connection}/remote/crls", [
                "Put the list into {connection}.remote.crls, or name its host in crl_hosts if it is inside.",
                "把吊销列表放入 {connection}.remote.crls；如果其服务器在内网，请在 crl_hosts 中写明。",
            ]),
            us("{connection}/remote/revocation", [
                "Or set {connection}.remote.revocation to \"relaxed\": then a missing list is only warned of.",
                "或者把 {connection}.remote.revocation 设为 \"relaxed\"，缺少列表时只告警。",
            ]).to("\"relaxed\""),
        ],
        names: [near("NegotiationFailed"), near("no trusted certificate")],
    },
    Entry {
        code: "auth.cert.malformed",
        text: ["The peer's certificate breaks the rules of RFC 5280.", "对端的证书不符合 RFC 5280。"],
        advice: &[peer("auth", ["Issue a new one for the peer.", "为对端重新签发证书。"])],
        names: [near("NegotiationFailed"), near("no trusted certificate")],
    },
];
