//! The words themselves: what each means, whether Sandhog can run it, and what to write where it cannot.
use crate::wire::payload::Transform;
use crate::wire::registry::{EncrId, EsnId, IntegId, KeId, PrfId, TransformType};

/// One keyword.
pub(super) struct Word {
    pub(super) text: &'static str,
    pub(super) transform: Transform,
    pub(super) fit: Fit,
}
pub(super) enum Fit {
    /// Sandhog can run it.
    Runs,
    /// It cannot; this comes nearest.
    Instead(&'static str),
    /// As an additional key exchange only: never alone (RFC 9370).
    Additional,
}
use Fit::{Additional, Instead, Runs};

const fn word(text: &'static str, kind: TransformType, id: u16, key_bits: Option<u16>, fit: Fit) -> Word {
    Word { text, transform: Transform { kind, id, key_bits, foreign: false }, fit }
}
const fn encr(text: &'static str, id: EncrId, key_bits: u16, fit: Fit) -> Word {
    word(text, TransformType::ENCR, id.0, if key_bits == 0 { None } else { Some(key_bits) }, fit)
}
const fn integ(text: &'static str, id: IntegId, fit: Fit) -> Word {
    word(text, TransformType::INTEG, id.0, None, fit)
}
const fn prf(text: &'static str, id: PrfId, fit: Fit) -> Word {
    word(text, TransformType::PRF, id.0, None, fit)
}
const fn ke(text: &'static str, id: KeId, fit: Fit) -> Word {
    word(text, TransformType::KE, id.0, None, fit)
}

/// The first word of a transform is the one that we write.
const WORDS: &[Word] = &[
    encr("aes128", EncrId::AES_CBC, 128, Runs),
    encr("aes192", EncrId::AES_CBC, 192, Runs),
    encr("aes256", EncrId::AES_CBC, 256, Runs),
    encr("aes", EncrId::AES_CBC, 128, Runs),
    encr("aes128gcm16", EncrId::AES_GCM_16, 128, Runs),
    encr("aes192gcm16", EncrId::AES_GCM_16, 192, Runs),
    encr("aes256gcm16", EncrId::AES_GCM_16, 256, Runs),
    encr("aes128gcm128", EncrId::AES_GCM_16, 128, Runs),
    encr("aes192gcm128", EncrId::AES_GCM_16, 192, Runs),
    encr("aes256gcm128", EncrId::AES_GCM_16, 256, Runs),
    encr("aes128gcm", EncrId::AES_GCM_16, 128, Runs),
    encr("aes192gcm", EncrId::AES_GCM_16, 192, Runs),
    encr("aes256gcm", EncrId::AES_GCM_16, 256, Runs),
    encr("chacha20poly1305", EncrId::CHACHA20_POLY1305, 0, Runs),
    encr("null", EncrId::NULL, 0, Instead("aes128gcm16")),
    encr("des", EncrId::DES, 0, Instead("aes128")),
    encr("3des", EncrId::TRIPLE_DES, 0, Instead("aes128")),
    encr("aes128ctr", EncrId::AES_CTR, 128, Instead("aes128")),
    encr("aes192ctr", EncrId::AES_CTR, 192, Instead("aes192")),
    encr("aes256ctr", EncrId::AES_CTR, 256, Instead("aes256")),
    encr("aes128gcm8", EncrId::AES_GCM_8, 128, Runs),
    encr("aes192gcm8", EncrId::AES_GCM_8, 192, Runs),
    encr("aes256gcm8", EncrId::AES_GCM_8, 256, Runs),
    encr("aes128gcm64", EncrId::AES_GCM_8, 128, Runs),
    encr("aes192gcm64", EncrId::AES_GCM_8, 192, Runs),
    encr("aes256gcm64", EncrId::AES_GCM_8, 256, Runs),
    encr("aes128gcm12", EncrId::AES_GCM_12, 128, Runs),
    encr("aes192gcm12", EncrId::AES_GCM_12, 192, Runs),
    encr("aes256gcm12", EncrId::AES_GCM_12, 256, Runs),
    encr("aes128gcm96", EncrId::AES_GCM_12, 128, Runs),
    encr("aes192gcm96", EncrId::AES_GCM_12, 192, Runs),
    encr("aes256gcm96", EncrId::AES_GCM_12, 256, Runs),
    encr("aes128ccm8", EncrId::AES_CCM_8, 128, Runs),
    encr("aes192ccm8", EncrId::AES_CCM_8, 192, Runs),
    encr("aes256ccm8", EncrId::AES_CCM_8, 256, Runs),
    encr("aes128ccm64", EncrId::AES_CCM_8, 128, Runs),
    encr("aes192ccm64", EncrId::AES_CCM_8, 192, Runs),
    encr("aes256ccm64", EncrId::AES_CCM_8, 256, Runs),
    encr("aes128ccm12", EncrId::AES_CCM_12, 128, Runs),
    encr("aes192ccm12", EncrId::AES_CCM_12, 192, Runs),
    encr("aes256ccm12", EncrId::AES_CCM_12, 256, Runs),
    encr("aes128ccm96", EncrId::AES_CCM_12, 128, Runs),
    encr("aes192ccm96", EncrId::AES_CCM_12, 192, Runs),
    encr("aes256ccm96", EncrId::AES_CCM_12, 256, Runs),
    encr("aes128ccm16", EncrId::AES_CCM_16, 128, Runs),
    encr("aes192ccm16", EncrId::AES_CCM_16, 192, Runs),
    encr("aes256ccm16", EncrId::AES_CCM_16, 256, Runs),
    encr("aes128ccm128", EncrId::AES_CCM_16, 128, Runs),
    encr("aes192ccm128", EncrId::AES_CCM_16, 192, Runs),
    encr("aes256ccm128", EncrId::AES_CCM_16, 256, Runs),
    encr("aes128ccm", EncrId::AES_CCM_16, 128, Runs),
    encr("aes192ccm", EncrId::AES_CCM_16, 192, Runs),
    encr("aes256ccm", EncrId::AES_CCM_16, 256, Runs),
    encr("aes128gmac", EncrId::NULL_AUTH_AES_GMAC, 128, Runs),
    encr("aes192gmac", EncrId::NULL_AUTH_AES_GMAC, 192, Runs),
    encr("aes256gmac", EncrId::NULL_AUTH_AES_GMAC, 256, Runs),
    encr("chacha20poly1305compat", EncrId::CHACHA20_POLY1305, 256, Instead("chacha20poly1305")),
    encr("blowfish128", EncrId::BLOWFISH, 128, Instead("aes128")),
    encr("blowfish192", EncrId::BLOWFISH, 192, Instead("aes192")),
    encr("blowfish256", EncrId::BLOWFISH, 256, Instead("aes256")),
    encr("blowfish", EncrId::BLOWFISH, 128, Instead("aes128")),
    encr("cast128", EncrId::CAST, 128, Instead("aes128")),
    encr("camellia128", EncrId::CAMELLIA_CBC, 128, Instead("aes128")),
    encr("camellia192", EncrId::CAMELLIA_CBC, 192, Instead("aes192")),
    encr("camellia256", EncrId::CAMELLIA_CBC, 256, Instead("aes256")),
    encr("camellia", EncrId::CAMELLIA_CBC, 128, Instead("aes128")),
    encr("camellia128ctr", EncrId::CAMELLIA_CTR, 128, Instead("aes128")),
    encr("camellia192ctr", EncrId::CAMELLIA_CTR, 192, Instead("aes192")),
    encr("camellia256ctr", EncrId::CAMELLIA_CTR, 256, Instead("aes256")),
    encr("camellia128ccm16", EncrId::CAMELLIA_CCM_16, 128, Instead("aes128gcm16")),
    encr("camellia192ccm16", EncrId::CAMELLIA_CCM_16, 192, Instead("aes192gcm16")),
    encr("camellia256ccm16", EncrId::CAMELLIA_CCM_16, 256, Instead("aes256gcm16")),
    integ("sha1", IntegId::HMAC_SHA1_96, Runs),
    integ("sha", IntegId::HMAC_SHA1_96, Runs),
    integ("sha256", IntegId::HMAC_SHA2_256_128, Runs),
    integ("sha2_256", IntegId::HMAC_SHA2_256_128, Runs),
    integ("sha384", IntegId::HMAC_SHA2_384_192, Runs),
    integ("sha2_384", IntegId::HMAC_SHA2_384_192, Runs),
    integ("sha512", IntegId::HMAC_SHA2_512_256, Runs),
    integ("sha2_512", IntegId::HMAC_SHA2_512_256, Runs),
    integ("sha1_160", IntegId::HMAC_SHA1_160, Instead("sha1")),
    integ("sha256_96", SHA2_256_96, Instead("sha256")),
    integ("sha2_256_96", SHA2_256_96, Instead("sha256")),
    integ("md5", IntegId::HMAC_MD5_96, Instead("sha256")),
    integ("md5_128", IntegId::HMAC_MD5_128, Instead("sha256")),
    integ("aesxcbc", IntegId::AES_XCBC_96, Runs),
    integ("aescmac", IntegId::AES_CMAC_96, Runs),
    prf("prfsha1", PrfId::HMAC_SHA1, Runs),
    prf("prfsha256", PrfId::HMAC_SHA2_256, Runs),
    prf("prfsha384", PrfId::HMAC_SHA2_384, Runs),
    prf("prfsha512", PrfId::HMAC_SHA2_512, Runs),
    prf("prfmd5", PrfId::HMAC_MD5, Instead("prfsha256")),
    prf("prfaesxcbc", PrfId::AES128_XCBC, Runs),
    prf("prfaescmac", PrfId::AES128_CMAC, Runs),
    ke("none", KeId::NONE, Runs),
    ke("modpnone", KeId::NONE, Runs),
    ke("x25519", KeId::CURVE25519, Runs),
    ke("curve25519", KeId::CURVE25519, Runs),
    ke("ecp256", KeId::ECP_256, Runs),
    ke("ecp384", KeId::ECP_384, Runs),
    ke("modp1024", KeId::MODP_1024, Runs),
    ke("modp1536", KeId::MODP_1536, Runs),
    ke("modp2048", KeId::MODP_2048, Runs),
    ke("modp3072", KeId::MODP_3072, Runs),
    ke("modp4096", KeId::MODP_4096, Runs),
    ke("modp768", KeId::MODP_768, Instead("modp2048")),
    ke("modp6144", KeId::MODP_6144, Runs),
    ke("modp8192", KeId::MODP_8192, Runs),
    ke("modp1024s160", KeId::MODP_1024_160, Instead("modp2048")),
    ke("modp2048s224", KeId::MODP_2048_224, Instead("modp2048")),
    ke("modp2048s256", KeId::MODP_2048_256, Instead("modp2048")),
    ke("ecp192", KeId::ECP_192, Instead("ecp256")),
    ke("ecp224", KeId::ECP_224, Instead("ecp256")),
    ke("ecp521", KeId::ECP_521, Runs),
    ke("ecp224bp", KeId::BRAINPOOL_224, Instead("ecp256")),
    ke("ecp256bp", KeId::BRAINPOOL_256, Instead("ecp256")),
    ke("ecp384bp", KeId::BRAINPOOL_384, Instead("ecp384")),
    ke("ecp512bp", KeId::BRAINPOOL_512, Instead("ecp384")),
    ke("x448", KeId::CURVE448, Instead("x25519")),
    ke("curve448", KeId::CURVE448, Instead("x25519")),
    ke("mlkem512", KeId::ML_KEM_512, Additional),
    ke("mlkem768", KeId::ML_KEM_768, Additional),
    ke("mlkem1024", KeId::ML_KEM_1024, Additional),
    word("esn", TransformType::ESN, EsnId::YES.0, None, Runs),
    word("noesn", TransformType::ESN, EsnId::NO.0, None, Runs),
];
/// HMAC-SHA2-256 cut to 96 bits, as old Linux kernels had it: a number for private use.
const SHA2_256_96: IntegId = IntegId(1025);

/// The word with exactly this text.
pub(super) fn find(text: &str) -> Option<&'static Word> {
    WORDS.iter().find(|w| w.text == text)
}
/// The word for a transform; additional key exchanges (RFC 9370) have the words of the first.
pub(super) fn of(t: &Transform) -> Option<&'static str> {
    let kind = if t.kind.is_additional() { TransformType::KE } else { t.kind };
    let same = |w: &&Word| (w.transform.kind, w.transform.id, w.transform.key_bits) == (kind, t.id, t.key_bits);
    WORDS.iter().find(same).map(|w| w.text)
}
/// `ke1_` to `ke7_` and a key exchange: which one of them, and the word for what it is.
pub(super) fn find_additional(text: &str) -> Option<(TransformType, &'static Word)> {
    let [b'k', b'e', number @ b'1'..=b'7', b'_', ..] = text.as_bytes() else { return None };
    let word = text.get(4..).and_then(find).filter(|w| w.transform.kind == TransformType::KE)?;
    Some((TransformType(TransformType::ADDKE1.0 + number - b'1'), word))
}

/// What the writer of an unknown word may have meant.
pub(super) fn suggestion(text: &str) -> String {
    const FARTHEST: usize = 3;
    const LONGEST: usize = 32;
    const EXAMPLES: &str = "write strongSwan's keywords, such as aes256gcm16, aes256, chacha20poly1305, sha256, prfsha256, x25519, ecp384, modp2048";
    if text.len() > LONGEST {
        return EXAMPLES.into();
    }
    let clean = text.trim().trim_end_matches('!').to_ascii_lowercase();
    let runs = WORDS.iter().filter(|w| matches!(w.fit, Runs));
    let near = runs.map(|w| (distance(&clean, w.text), w.text)).min();
    match near {
        Some((far, word)) if far <= FARTHEST && far * 2 <= word.len() => format!("did you mean `{word}`?"),
        _ => EXAMPLES.into(),
    }
}

/// How many insertions, deletions and replacements lie between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            let cost = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = above;
            row[j] = left;
            left = cost;
        }
        row[b.len()] = left;
    }
    row[b.len()]
}
/// All words.
#[cfg(test)]
pub(super) fn all() -> &'static [Word] {
    WORDS
}
