//! A secret that was typed, copied or read from a file in another way at the other end: with a newline, spaces or quotes, or as the text of what is meant
//! as hex or base64. When a peer could not prove itself and everything is answered, its AUTH is compared with these forms of **our own secret for this
//! peer**, and with nothing else: it tells the peer nothing, and the operator what to look for. Whoever is there, known or not, it is as much work.
use super::case::Case;
use crate::crypto::secret::Secret;
use crate::crypto::work::{Done, Work};
use crate::frozen::frozen;
use crate::ike::auth::Signed;
use crate::ike::common::Cx;
use crate::ike::diagnose::Failure;
use crate::ike::event::IkeId;
use crate::ike::exchange::Contents;
use crate::ike::exchange::half_open::HalfOpen;
use crate::ike::keys::HandshakeKeys;
use crate::ike::policy::{AuthKind, Connection};
use crate::wire::registry::{AuthMethod, NotifyType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// What is told of a failure as soon as it is known whether the peer has another form of our secret.
pub(in crate::ike) struct Suspect {
    pub job: u64,
    failure: Failure,
    connection: Option<Arc<Connection>>,
}
frozen! { struct Suspect { job, failure, connection } }
impl Suspect {
    /// Has it looked into. Where there is nothing to compare, or too much is being computed, it is told at once.
    pub(super) fn begin(
        cx: &mut Cx<'_>,
        ike: IkeId,
        work: Option<Work>,
        failure: Failure,
        connection: Option<Arc<Connection>>,
    ) -> Option<Box<Self>> {
        match work.and_then(|work| cx.compute(ike, work)) {
            Some(job) => Some(Box::new(Self { job, failure, connection })),
            None => {
                cx.fail_stranger(failure, connection.as_deref());
                None
            }
        }
    }
    /// It is known.
    pub(in crate::ike) fn computed(self, cx: &mut Cx<'_>, done: &Done) {
        let Self { mut failure, connection, .. } = self;
        if let Done::Which(Some(which)) = done
            && let Some((form, _)) = FORMS.get(*which).filter(|_| failure.code == "auth.psk")
        {
            failure = Failure { differing: vec![*form], ..failure.proven() };
        }
        cx.fail_stranger(failure, connection.as_deref());
    }
}

/// What there is to compare when the claim of this peer was refused: nothing, if it claims nothing by a secret. Of somebody unknown it is compared with the
/// secret of nobody.
pub(super) fn compare(
    cx: &Cx<'_>,
    half: &HalfOpen,
    keys: &HandshakeKeys,
    case: &Case,
    contents: &Contents,
) -> Option<Work> {
    let id = contents.id_i.as_ref()?;
    let auth = contents.auth.as_ref().filter(|auth| auth.method == AuthMethod::SHARED_KEY)?;
    let ours = case.found.as_ref().filter(|c| c.remote_auth == AuthKind::Psk);
    let secret = ours.and_then(|_| cx.common.directory.secret(&case.local_id, &case.remote_id));
    let nobody = Secret::new(vec![0; 32]);
    let message = Signed {
        prf: keys.prf(),
        message: &half.request,
        nonce: &half.nr,
        sk_p: case.sk_p(keys, true),
        id,
        int_auth: &keys.int_auth(),
    }
    .octets();
    // What stands in for AUTH where the two ends do without a post-quantum one.
    let plain = contents.notify(NotifyType::NO_PPK_AUTH).filter(|_| half.ppk && case.ppk.is_none());
    // Nobody's secret proves nothing.
    let auth = match secret {
        Some(_) => plain.map_or(&auth.data, |plain| &plain.data).clone(),
        None => Vec::new(),
    };
    Some(Work::Which { prf: keys.prf(), keys: forms(secret.unwrap_or(&nobody)), message, auth })
}
/// In the order of [`FORMS`]. Where there is no such form it is the secret itself, which is known not to be it.
fn forms(secret: &Secret) -> Vec<Secret> {
    FORMS.iter().map(|(_, form)| form(secret.expose()).unwrap_or_else(|| secret.clone())).collect()
}

type Form = fn(&[u8]) -> Option<Secret>;
/// Each with the word of the diagnosis for it.
const FORMS: [(&str, Form); 18] = [
    ("secret.newline", |s| Some(Secret::concat(&[s, b"\n"]))),
    ("secret.newline", |s| Some(Secret::concat(&[s, b"\r\n"]))),
    ("secret.newline", |s| shorter(s, s.trim_ascii_end(), |cut| cut.iter().all(|b| b"\r\n".contains(b)))),
    ("secret.space", |s| Some(Secret::concat(&[s, b" "]))),
    ("secret.space", |s| Some(Secret::concat(&[b" ", s]))),
    ("secret.space", |s| Some(Secret::concat(&[b" ", s, b" "]))),
    ("secret.space", |s| shorter(s, s.trim_ascii(), |_| true)),
    ("secret.quotes", |s| Some(Secret::concat(&[b"\"", s, b"\""]))),
    ("secret.quotes", |s| Some(Secret::concat(&[b"'", s, b"'"]))),
    ("secret.quotes", unquoted),
    ("secret.hex", |s| Some(Secret::concat(&[b"0x", Secret::new(s.to_vec()).hex().expose()]))),
    ("secret.hex", |s| Some(Secret::concat(&[b"0x", upper(s).expose()]))),
    ("secret.hex", |s| Some(Secret::new(s.to_vec()).hex())),
    ("secret.hex", |s| Some(upper(s))),
    ("secret.hex", from_hex),
    ("secret.base64", |s| Some(Secret::concat(&[b"0s", to_base64(s)?.expose()]))),
    ("secret.base64", to_base64),
    ("secret.base64", from_base64),
];
/// What is left without an end or two, if something was cut off and it is of this kind.
fn shorter(secret: &[u8], rest: &[u8], kind: fn(&[u8]) -> bool) -> Option<Secret> {
    let (rest_len, len) = (rest.len(), secret.len());
    (rest_len < len && kind(secret.get(rest_len..)?)).then(|| Secret::concat(&[rest]))
}
fn unquoted(secret: &[u8]) -> Option<Secret> {
    let within = |quote: u8| secret.strip_prefix(&[quote])?.strip_suffix(&[quote]);
    within(b'"').or_else(|| within(b'\'')).map(|rest| Secret::concat(&[rest]))
}
fn upper(secret: &[u8]) -> Secret {
    Secret::new(Secret::new(secret.to_vec()).hex().expose().to_ascii_uppercase())
}
/// A text of hex digits, as the octets that they stand for.
fn from_hex(secret: &[u8]) -> Option<Secret> {
    let digits = secret.strip_prefix(b"0x").unwrap_or(secret);
    let mut octets = vec![0; digits.len() / 2];
    let decoded = hex::decode_to_slice(digits, &mut octets).is_ok();
    let octets = Secret::new(octets);
    (decoded && !octets.is_empty()).then_some(octets)
}
fn to_base64(secret: &[u8]) -> Option<Secret> {
    let mut text = vec![0; base64::encoded_len(secret.len(), true)?];
    STANDARD.encode_slice(secret, &mut text).ok()?;
    Some(Secret::new(text))
}
fn from_base64(secret: &[u8]) -> Option<Secret> {
    let text = secret.strip_prefix(b"0s").unwrap_or(secret);
    let mut octets = vec![0; base64::decoded_len_estimate(text.len())];
    let len = STANDARD.decode_slice(text, &mut octets);
    let octets = Secret::new(octets);
    len.ok().filter(|len| *len > 0).map(|len| Secret::concat(&[&octets.expose()[..len]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::prf::Prf;

    /// Which words are told of a peer that has `theirs` while we have `ours`.
    fn told(ours: &[u8], theirs: &[u8]) -> Option<&'static str> {
        let prf = Prf::HmacSha256;
        let auth = prf.by_shared_key(&Secret::new(theirs.to_vec()), b"signed").expose().to_vec();
        let keys = forms(&Secret::new(ours.to_vec()));
        match (Work::Which { prf, keys, message: b"signed".to_vec(), auth }).run() {
            Done::Which(which) => which.map(|which| FORMS[which].0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_form_is_known_and_has_its_word() {
        for (ours, theirs, word) in [
            ("swordfish", "swordfish\n", "secret.newline"),
            ("swordfish", "swordfish\r\n", "secret.newline"),
            ("swordfish\n", "swordfish", "secret.newline"),
            ("swordfish\r\n", "swordfish", "secret.newline"),
            ("swordfish", "swordfish ", "secret.space"),
            ("swordfish", " swordfish", "secret.space"),
            ("swordfish", " swordfish ", "secret.space"),
            ("swordfish ", "swordfish", "secret.space"),
            (" swordfish", "swordfish", "secret.space"),
            ("swordfish", "\"swordfish\"", "secret.quotes"),
            ("swordfish", "'swordfish'", "secret.quotes"),
            ("'swordfish'", "swordfish", "secret.quotes"),
            ("\"swordfish\"", "swordfish", "secret.quotes"),
            ("swordfish", "0x73776f726466697368", "secret.hex"),
            ("swordfish", "0x73776F726466697368", "secret.hex"),
            ("swordfish", "73776f726466697368", "secret.hex"),
            ("swordfish", "73776F726466697368", "secret.hex"),
            ("73776f726466697368", "swordfish", "secret.hex"),
            ("0x73776f726466697368", "swordfish", "secret.hex"),
            ("swordfish", "0sc3dvcmRmaXNo", "secret.base64"),
            ("swordfish", "c3dvcmRmaXNo", "secret.base64"),
            ("c3dvcmRmaXNo", "swordfish", "secret.base64"),
            ("0sc3dvcmRmaXNo", "swordfish", "secret.base64"),
        ] {
            assert_eq!(told(ours.as_bytes(), theirs.as_bytes()), Some(word), "{ours:?} {theirs:?}");
        }
    }
    /// Only whole forms: nobody learns by them whether a guess comes near.
    #[test]
    fn what_is_another_secret_is_none_of_them() {
        for (ours, theirs) in [
            ("swordfish", "Swordfish"),
            ("swordfish", "swordfis"),
            ("swordfish", "swordfish\n\n"),
            ("swordfish", "swordfish!"),
            ("\"swordfish", "swordfish"),
            ("swordfish\n", "swordfish\""),
            ("swordfish", ""),
            ("", "0x0"),
        ] {
            assert_eq!(told(ours.as_bytes(), theirs.as_bytes()), None, "{ours:?} {theirs:?}");
        }
    }
    #[test]
    fn it_is_as_many_comparisons_whatever_the_secret_is() {
        for secret in [&b""[..], b"x", b"c3dvcmRmaXNo", b"'0x00'\n", &[0; 64]] {
            assert_eq!(forms(&Secret::new(secret.to_vec())).len(), FORMS.len());
        }
    }
}
