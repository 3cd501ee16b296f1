//! Liveness: an empty INFORMATIONAL after silence (RFC 7296 section 2.4). Any answer will do.
use super::{Arrival, mobike};
use crate::ike::common::Cx;
use crate::ike::sa::{Asked, Core, Established, Task};
use crate::wire::message::{Header, Message};
use crate::wire::payload::Payload;
use crate::wire::registry::{ExchangeType, NotifyType};
use std::time::Duration;

/// A peer that was heard so lately needs no check, whatever strangers say of it.
const HEARD: Duration = Duration::from_secs(5);

/// Asks whether the peer lives.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) -> Asked {
    let question = mobike::question(core);
    est.request(cx, core, ExchangeType::INFORMATIONAL, &question);
    Asked::Liveness
}
/// Somebody who proves nothing says that the peer has lost this IKE SA (INVALID_IKE_SPI in the clear): a reason to ask it, no more, and not
/// often (RFC 7296 section 2.21.4). We send no such notification ourselves: a peer that still has the IKE SA asks for itself.
pub(in crate::ike) fn hint(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    header: &Header,
    from: &Arrival<'_>,
) {
    let silent = cx.now.saturating_sub(est.alive) >= HEARD && core.window.is_free() && est.closing.is_none();
    if !header.response || !silent {
        return;
    }
    let told = |p: &Payload| matches!(p, Payload::Notify(n) if n.kind == NotifyType::INVALID_IKE_SPI);
    if Message::parse(from.data).is_ok_and(|message| message.payloads.first().is_some_and(told)) {
        est.plan(Task::Liveness);
        est.pump(cx, core);
    }
}
