//! Post-quantum pre-shared keys (RFC 8784): a secret that both ends know goes into SK_d, SK_pi and SK_pr, once, when the IKE SA is set up.
use super::common::Cx;
use super::exchange::Contents;
use super::policy::Connection;
use crate::crypto::cert::Fault;
use crate::crypto::secret::Secret;
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::NotifyType;

/// Type of a PPK_ID that both ends have in their configuration (RFC 8784 section 5.1).
const FIXED: u8 = 2;

/// The secret of this connection's PPK; `None` without one, and if its secret is missing.
pub(super) fn secret(cx: &Cx<'_>, connection: &Connection) -> Option<Secret> {
    let id = &connection.ppk.as_ref()?.id;
    cx.common.directory.ppk(id).cloned()
}
/// Without a PPK there is no IKE SA of this connection.
pub(super) fn is_required(connection: &Connection) -> bool {
    connection.ppk.as_ref().is_some_and(|ppk| ppk.required)
}
/// A PPK_ID for people: what it holds is the peer's choice.
pub(super) fn shown(id: &[u8]) -> String {
    String::from_utf8_lossy(id).escape_debug().to_string()
}
/// We can use one (IKE_SA_INIT, both sides).
pub(super) fn offer() -> Payload {
    Payload::Notify(Notify::new(NotifyType::USE_PPK, []))
}
/// Which one, from the initiator; the responder only says that it has used it.
pub(super) fn identity(connection: &Connection) -> Option<Payload> {
    let id = &connection.ppk.as_ref()?.id;
    Some(Payload::Notify(Notify::new(NotifyType::PPK_IDENTITY, [&[FIXED], id.as_slice()].concat())))
}
/// AUTH without it, for a responder that does not have it.
pub(super) fn without(auth: Vec<u8>) -> Payload {
    Payload::Notify(Notify::new(NotifyType::NO_PPK_AUTH, auth))
}
/// The responder has used it.
pub(super) fn used() -> Payload {
    Payload::Notify(Notify::new(NotifyType::PPK_IDENTITY, []))
}
/// What a responder does about it.
pub(super) enum Choice {
    /// As if there were none.
    Without,
    /// It uses this one.
    With(Secret),
    /// It does without, and this is what authenticates the initiator then.
    Instead(Vec<u8>),
}
/// The responder's choice, once it knows who is there (RFC 8784 table 1). `exchanged`: both have sent USE_PPK.
pub(super) fn choose(
    cx: &Cx<'_>,
    connection: &Connection,
    exchanged: bool,
    contents: &Contents,
) -> Result<Choice, Fault> {
    let required = is_required(connection);
    let identity = contents.notify(NotifyType::PPK_IDENTITY).filter(|_| exchanged);
    let ours = connection.ppk.as_ref().map(|ppk| ppk.id.as_slice());
    let fault = || {
        let theirs = identity.and_then(|n| n.data.get(1..)).map_or_else(String::new, shown);
        Fault::new("auth.ppk", "ppk", ours.map_or_else(String::new, shown), theirs)
    };
    let Some(identity) = identity else {
        return if exchanged || required { Err(fault()) } else { Ok(Choice::Without) };
    };
    let named = identity.data.split_first().filter(|(kind, id)| **kind == FIXED && ours == Some(id));
    match (named.and(secret(cx, connection)), contents.notify(NotifyType::NO_PPK_AUTH)) {
        (Some(secret), _) => Ok(Choice::With(secret)),
        (None, Some(plain)) if !required => Ok(Choice::Instead(plain.data.clone())),
        (None, _) => Err(fault()),
    }
}
