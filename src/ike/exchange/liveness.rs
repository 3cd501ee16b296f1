//! Liveness: an empty INFORMATIONAL after silence (RFC 7296 section 2.4). Any answer will do.
use super::mobike;
use crate::ike::common::Cx;
use crate::ike::sa::{Asked, Core, Established};
use crate::wire::registry::ExchangeType;

/// Asks whether the peer lives.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) -> Asked {
    let question = mobike::question(core);
    est.request(cx, core, ExchangeType::INFORMATIONAL, &question);
    Asked::Liveness
}
