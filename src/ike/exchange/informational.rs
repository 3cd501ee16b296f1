//! INFORMATIONAL (RFC 7296 section 1.4): deletes, liveness, and errors of an authenticated peer.
use super::{Contents, delete, ike_auth, mobike};
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::event::Ended;
use crate::ike::examine::inside;
use crate::ike::sa::{Answer, Asked, Core, Established, Standing};
use crate::wire::registry::{NotifyType, ProtocolId};
use std::time::Duration;

/// An IKE SA that lives no longer than this was no use.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Handles a request: all deletes of a message count, whichever comes last.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    contents: &Contents,
) -> Step<()> {
    if contents.deletes.iter().any(|d| d.protocol == ProtocolId::IKE) {
        turned_away(cx, core, est);
        // An empty response, and all children are gone (R23). A delete of our own is no longer needed (R19).
        est.respond(cx, core, to, &[]);
        return Err(est.closing.map_or(Ended::ByPeer, |(why, _)| why));
    }
    let mut payloads: Vec<_> = contents.deletes.iter().filter_map(|d| delete::on_request(cx, est, d)).collect();
    payloads.extend(mobike::on_request(cx, core, est, to, contents));
    est.respond(cx, core, to, &payloads);
    super::reauth::hear(cx, est, contents);
    let fatal =
        [NotifyType::AUTHENTICATION_FAILED, NotifyType::INVALID_SYNTAX, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD];
    if let Some(notify) = contents.notifies.iter().find(|n| fatal.contains(&n.kind)) {
        let code = if notify.kind == NotifyType::AUTHENTICATION_FAILED { "auth.failed" } else { "peer.refused" };
        let failure = Failure::new(cx.now, Where::IkeAuth, core.initiator, code);
        let failure = failure.likely(notify.kind, ike_auth::candidates(&est.connection));
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
        return Err(Ended::Failed);
    }
    Ok(())
}
/// The peer has let us in, or we it, and deletes the IKE SA before there was a child on it: it does not like what it has learnt of us by then.
fn turned_away(cx: &mut Cx<'_>, core: &Core, est: &Established) {
    let ours = est.closing.is_some() || est.standing != Standing::Current || est.older.is_some();
    let at_once = cx.now.saturating_sub(est.since) < AT_ONCE && est.children.is_empty() && est.asked.is_none();
    // What has failed on it says why.
    let link = cx.common.links.get(&est.connection.name);
    let told = link.and_then(|link| link.last_failure.as_ref()).is_some_and(|failure| failure.time >= est.since);
    if ours || !at_once || told || !est.is_alone(cx) {
        return;
    }
    let failure = Failure::new(cx.now, Where::IkeAuth, core.initiator, "peer.refused");
    let failure = failure.likely("DELETE", ike_auth::candidates(&est.connection));
    cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
}
/// Handles the response to one of ours.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    asked: Asked,
    contents: &Contents,
) -> Step<()> {
    match asked {
        Asked::DeleteIke => return Err(est.closing.map_or(Ended::ByUs, |(why, _)| why)),
        Asked::DeleteChildren { ids, unheard } => delete::response(cx, est, &ids, unheard, contents),
        Asked::DeleteSpi { spi, release: true } => cx.host.release_spi(spi),
        Asked::Mobike(asked) => return mobike::response(cx, core, est, &asked, contents),
        Asked::Liveness | Asked::Probe { .. } => mobike::look(core, est, contents),
        Asked::Examine(spi) => inside::response(cx, est, spi, contents),
        Asked::DeleteSpi { release: false, .. } | Asked::Create(_) => {}
    }
    Ok(())
}
