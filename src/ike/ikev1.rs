//! The version before (RFC 2409): we do not speak it, but who is met with it shall be told.
use super::common::Cx;
use super::diagnose::{Failure, Phase as Where};
use super::exchange::Arrival;
use super::sa::{IkeSa, Phase};

/// An IKEv1 message: dropped, and named if it is from a peer that we know or answers to what we sent.
pub(super) fn named(cx: &mut Cx<'_>, sa: Option<&mut IkeSa>, from: &Arrival<'_>) {
    let failure = Failure::new(cx.now, Where::SaInit, sa.is_some(), "version.ikev1_peer");
    // The exchange type has its place since ISAKMP (RFC 2408 section 3.1).
    let mode = match from.data.get(18) {
        Some(2) => "IKEv1, main mode",
        Some(4) => "IKEv1, aggressive mode",
        _ => "IKEv1",
    };
    let failure = failure.between("version", vec!["IKEv2".into()], vec![mode.into()]);
    let failure = Failure { remote: Some(from.remote), ..failure };
    if let Some(IkeSa { phase: Phase::Opening(opening), core }) = sa {
        if core.remote == from.remote {
            opening.note(cx, core, failure);
        }
        return;
    }
    if !cx.may_report() {
        return;
    }
    let known = cx.common.directory.between(from.local.ip(), from.remote.ip(), cx.host);
    if let Some(connection) = known.first() {
        cx.fail_stranger(failure, Some(connection));
    }
}
