//! Post-quantum pre-shared keys (RFC 8784): a secret that both ends know goes into SK_d, SK_pi and SK_pr, once, when the IKE SA is set up.
use super::common::Cx;
use super::policy::Connection;
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
/// We can use one (IKE_SA_INIT, both sides).
pub(super) fn offer() -> Payload {
    Payload::Notify(Notify::new(NotifyType::USE_PPK, []))
}
/// Which one, from the initiator; the responder only says that it has used it.
pub(super) fn identity(connection: &Connection) -> Option<Payload> {
    let id = &connection.ppk.as_ref()?.id;
    Some(Payload::Notify(Notify::new(NotifyType::PPK_IDENTITY, [&[FIXED], id.as_slice()].concat())))
}
/// The responder has used it.
pub(super) fn used() -> Payload {
    Payload::Notify(Notify::new(NotifyType::PPK_IDENTITY, []))
}
/// True if the initiator's PPK_IDENTITY names the PPK of this connection.
pub(super) fn is_ours(connection: &Connection, identity: &Notify) -> bool {
    let ours = connection.ppk.as_ref().map(|ppk| ppk.id.as_slice());
    identity.data.split_first().is_some_and(|(kind, id)| *kind == FIXED && ours == Some(id))
}
