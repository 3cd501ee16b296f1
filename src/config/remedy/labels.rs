//! What is compared, as people call it.
use super::Text;

const LABELS: &[(&str, &str, &str)] = &[
    ("proposals", "IKE proposals", "IKE 提议"),
    ("esp_proposals", "ESP proposals", "ESP 提议"),
    ("groups", "groups", "DH 组"),
    ("id", "identity", "身份标识"),
    ("local_id", "local ID", "本端标识"),
    ("remote_id", "remote ID", "对端标识"),
    ("local.id", "local ID", "本端标识"),
    ("remote.id", "remote ID", "对端标识"),
    ("local_ts", "local networks", "本端网段"),
    ("remote_ts", "remote networks", "对端网段"),
    ("auth", "authentication", "认证方式"),
    ("hashes", "signatures", "签名算法"),
    ("signature", "signature", "签名"),
    ("ppk", "PPK", "后量子预共享密钥"),
    ("secret", "secret", "预共享密钥"),
    ("secret.newline", "a newline at the end of the secret", "密钥末尾的换行"),
    ("secret.space", "blanks around the secret", "密钥前后的空格"),
    ("secret.quotes", "quotes around the secret", "密钥两边的引号"),
    ("secret.hex", "0x in front of the secret", "密钥的 0x 前缀"),
    ("secret.base64", "0s in front of the secret", "密钥的 0s 前缀"),
    ("addresses", "addresses", "地址"),
    ("version", "IKE version", "IKE 版本"),
    ("clock", "time", "时间"),
    ("lifetime", "lifetime", "生存周期"),
    ("packets", "packets", "报文"),
    ("probes", "probes", "探测"),
    ("certificate", "certificate", "证书"),
    ("authorities", "authority", "签发机构"),
    ("names", "names in the certificate", "证书中的名称"),
    ("usage", "key usage", "密钥用途"),
    ("key", "key", "密钥"),
    ("revocation", "revocation", "吊销检查"),
    ("childless", "childless", "无子 SA"),
    ("mtu", "MTU", "MTU"),
    ("mode", "mode", "模式"),
    ("encr", "encryption", "加密算法"),
    ("integ", "integrity", "完整性算法"),
    ("prf", "PRF", "伪随机函数"),
    ("ke", "group", "DH 组"),
    ("esn", "extended sequence numbers", "扩展序列号"),
];

/// The label of what is compared, or of what differs in it. Whatever has none is shown as it is.
pub fn label(what: &str) -> Text {
    match LABELS.iter().find(|(known, ..)| *known == what) {
        Some((_, en, zh)) => Text { en: (*en).into(), zh: (*zh).into() },
        None => Text { en: what.replace('_', " "), zh: what.into() },
    }
}
