//! Deleting a child or the IKE SA by an INFORMATIONAL exchange (RFC 7296 section 1.4.1).
use crate::ike::child::ChildState;
use crate::ike::common::Cx;
use crate::ike::event::{ChildId, Ended, Event};
use crate::ike::sa::{Asked, Core, Established};
use crate::wire::payload::{Delete, Payload};
use crate::wire::registry::{ExchangeType, ProtocolId};

/// Asks the peer to delete a child of ours; nothing if it is gone already.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, id: ChildId) -> Option<Asked> {
    let child = est.children.iter_mut().find(|c| c.id == id)?;
    child.state = ChildState::Closing;
    let spi_in = child.spi_in;
    est.request(cx, core, ExchangeType::INFORMATIONAL, &[Payload::Delete(of_esp(vec![spi_in]))]);
    Some(Asked::DeleteChild(id))
}
/// Asks the peer to delete a child that it has and we have not.
pub(in crate::ike) fn disown(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, spi_in: u32) -> Asked {
    est.request(cx, core, ExchangeType::INFORMATIONAL, &[Payload::Delete(of_esp(vec![spi_in]))]);
    Asked::DisownChild { spi_in }
}
/// Asks the peer to delete the IKE SA, and all children with it.
pub(in crate::ike) fn request_ike(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) -> Asked {
    let delete = Delete { protocol: ProtocolId::IKE, spis: Vec::new() };
    est.request(cx, core, ExchangeType::INFORMATIONAL, &[Payload::Delete(delete)]);
    Asked::DeleteIke
}
/// The peer has deleted its side of this child: ours goes, too.
pub(in crate::ike) fn response(cx: &mut Cx<'_>, est: &mut Established, id: ChildId) {
    if let Some(i) = est.children.iter().position(|c| c.id == id) {
        remove(cx, est, i, Ended::ByUs);
    }
}
/// The children that the peer deletes: those whose *outbound* SPI it names. The answer names their inbound SPIs; a child that we are
/// deleting ourselves, or do not know, is not named (R12, R14).
pub(in crate::ike) fn on_request(cx: &mut Cx<'_>, est: &mut Established, delete: &Delete) -> Option<Payload> {
    let mut ours = Vec::new();
    for spi in delete.spis.iter().filter(|_| delete.protocol == ProtocolId::ESP) {
        let Some(i) = est.children.iter().position(|c| c.spi_out == *spi) else { continue };
        let child = &est.children[i];
        let why = match child.state {
            ChildState::Closing => Ended::ByUs,
            ChildState::Replaced => Ended::Replaced,
            ChildState::Up => Ended::ByPeer,
        };
        if child.state != ChildState::Closing {
            ours.push(child.spi_in);
        }
        if why == Ended::ByPeer
            && let Some(wish) = cx.common.links.get_mut(&est.connection.name).and_then(|l| l.wish(&child.policy.name))
        {
            wish.wanted = wish.persistent;
            wish.retry.failed(cx.now);
        }
        remove(cx, est, i, why);
    }
    (!ours.is_empty()).then(|| Payload::Delete(of_esp(ours)))
}
/// Forgets a child and tells the host, which may reuse the SPI when its grace is over.
pub(in crate::ike) fn remove(cx: &mut Cx<'_>, est: &mut Established, i: usize, why: Ended) {
    let child = est.children.remove(i);
    cx.common.by_child.remove(&child.spi_in);
    cx.emit(Event::ChildDown {
        id: child.id,
        connection: est.connection.name.clone(),
        child: child.policy.name.clone(),
        why,
    });
    cx.touch(&est.connection);
}
fn of_esp(spis: Vec<u32>) -> Delete {
    Delete { protocol: ProtocolId::ESP, spis }
}
