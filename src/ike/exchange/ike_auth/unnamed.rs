//! An IKE_AUTH that does not say whom it wants (no IDr): the peer has answered it, and has proven with the secret or the authorities of this connection
//! who it is. That is all that was to be known (`examine`): the IKE SA ends before it is one.
use super::Proving;
use crate::ike::common::Cx;
use crate::ike::event::Ended;
use crate::ike::sa::Core;
use crate::wire::payload::{Delete, Id, Payload};
use crate::wire::registry::{ExchangeType, ProtocolId};

/// Tells the peer to delete it, once: one that does not hear it finds out by itself that nobody is there.
pub(super) fn leave(cx: &mut Cx<'_>, core: &mut Core, mut proving: Box<Proving>, remote_id: Id) -> Ended {
    let delete = [Payload::Delete(Delete { protocol: ProtocolId::IKE, spis: Vec::new() })];
    core.ask(cx, proving.channel(), ExchangeType::INFORMATIONAL, &delete);
    cx.common.exams.answers_as(core.id, remote_id);
    proving.release(cx);
    Ended::ByUs
}
