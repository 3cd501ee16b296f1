//! Deleting a child or the IKE SA by an INFORMATIONAL exchange (RFC 7296 section 1.4.1).
use super::Contents;
use crate::ike::child::{Child, ChildState};
use crate::ike::common::Cx;
use crate::ike::event::{ChildId, Ended, Event};
use crate::ike::sa::{Asked, Core, Established, Task};
use crate::wire::payload::{Delete, Payload};
use crate::wire::registry::{ExchangeType, ProtocolId};

/// Asks the peer to delete a child of ours, and all others that wait for it; nothing if none of them is there any more.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, id: ChildId) -> Option<Asked> {
    let mut ids = vec![id];
    est.queue.retain(|task| match task {
        Task::DeleteChild(id) => {
            ids.push(*id);
            false
        }
        _ => true,
    });
    ids.retain(|id| est.child(*id).is_some());
    let mut spis = Vec::new();
    for child in est.children.iter_mut().filter(|c| ids.contains(&c.id)) {
        let why = if let ChildState::Leaving(why) = child.state { why } else { Ended::ByUs };
        child.state = ChildState::Closing(why);
        spis.push(child.spi_in);
        // A resource has the fallback; if that is gone, there is nothing left to send on.
        if why == Ended::Replaced || child.resource.is_some() {
            cx.emit(Event::ChildLeaving { id: child.id });
        }
    }
    if spis.is_empty() {
        return None;
    }
    est.request(cx, core, ExchangeType::INFORMATIONAL, &[Payload::Delete(of_esp(spis))]);
    let unheard = ids.iter().copied().find(|id| est.is_unheard(cx.now, *id));
    Some(Asked::DeleteChildren { ids, unheard })
}
/// Asks the peer to delete a child that it has and we have not.
pub(in crate::ike) fn disown(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    spi: u32,
    release: bool,
) -> Asked {
    est.request(cx, core, ExchangeType::INFORMATIONAL, &[Payload::Delete(of_esp(vec![spi]))]);
    Asked::DeleteSpi { spi, release }
}
/// Asks the peer to delete the IKE SA, and all children with it.
pub(in crate::ike) fn request_ike(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) -> Asked {
    let delete = Delete { protocol: ProtocolId::IKE, spis: Vec::new() };
    est.request(cx, core, ExchangeType::INFORMATIONAL, &[Payload::Delete(delete)]);
    if matches!(est.closing, Some((Ended::Replaced, _))) {
        est.children.iter().for_each(|child| cx.emit(Event::ChildLeaving { id: child.id }));
    }
    Asked::DeleteIke
}
/// The peer has deleted its side of these children: ours go, too. What it says of SPIs changes nothing, but if it does not name the one that
/// was `unheard` of, it will install that as soon as it hears of it.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    est: &mut Established,
    ids: &[ChildId],
    unheard: Option<ChildId>,
    answer: &Contents,
) {
    for id in ids {
        let Some(i) = est.children.iter().position(|c| c.id == *id) else { continue };
        let spi_out = est.children[i].spi_out;
        if unheard == Some(*id) && !answer.deletes.iter().any(|d| d.spis.contains(&spi_out)) {
            est.was_not_understood(cx.now, *id);
            continue;
        }
        let why = if let ChildState::Closing(why) = est.children[i].state { why } else { Ended::ByUs };
        remove(cx, est, i, why);
    }
}
/// The children that the peer deletes: those whose *outbound* SPI it names. The answer names their inbound SPIs; a child that we are
/// deleting ourselves, or do not know, is not named (R12, R14).
pub(in crate::ike) fn on_request(cx: &mut Cx<'_>, est: &mut Established, delete: &Delete) -> Option<Payload> {
    let mut ours = Vec::new();
    for spi in delete.spis.iter().filter(|_| delete.protocol == ProtocolId::ESP) {
        let Some(i) = est.children.iter().position(|c| c.spi_out == *spi) else {
            if let Some(Asked::Create(asked)) = &mut est.asked {
                asked.deleted(*spi);
            }
            // Or one that the peer gives up between two key exchanges.
            est.drop_half_done(cx, |half| half.makes(*spi));
            continue;
        };
        let (id, name, state) = (est.children[i].id, est.children[i].policy.name.clone(), est.children[i].state);
        let resource = est.children[i].resource;
        let why = match state {
            ChildState::Closing(why) | ChildState::Leaving(why) => why,
            ChildState::Replaced { .. } => Ended::Replaced,
            // The peer has lost a collision, and knows it before us.
            ChildState::Up if est.is_rival(id) => Ended::Replaced,
            ChildState::Up => Ended::ByPeer,
        };
        if !matches!(state, ChildState::Closing(_)) {
            ours.push(est.children[i].spi_in);
        }
        remove(cx, est, i, why);
        match why {
            _ if est.is_up(&name, resource) => {}
            Ended::ByPeer if resource.is_some() => est.wants_no_more(&name),
            Ended::ByPeer => est.refuse_wish(cx, &name),
            _ => {}
        }
    }
    (!ours.is_empty()).then(|| Payload::Delete(of_esp(ours)))
}
/// Forgets a child and tells the host, which may reuse the SPI when its grace is over. What it has replaced is in use again, and if the peer
/// deletes it, what has lost a collision against it; what stands beside it cannot be without it.
pub(in crate::ike) fn remove(cx: &mut Cx<'_>, est: &mut Established, i: usize, why: Ended) {
    let child = est.children.remove(i);
    let others = est.children.iter().any(|c| c.replaces == child.replaces);
    if let Some(old) = child.replaces.filter(|_| !others).and_then(|old| est.child_mut(old))
        && matches!(old.state, ChildState::Replaced { .. })
        && !old.outdated
    {
        old.state = ChildState::Up;
    }
    if why == Ended::ByPeer {
        reinstate(est, &child);
    }
    if child.resource.is_none() {
        est.follow_fallback(&child.policy.name, why);
    }
    if why != Ended::Replaced {
        cx.settled(&est.connection, &child.policy.name);
    }
    cx.common.by_child.remove(&child.spi_in);
    cx.common.by_id.remove(&child.id);
    cx.emit(Event::ChildDown {
        id: child.id,
        connection: est.connection.name.clone(),
        child: child.policy.name.clone(),
        resource: child.resource,
        why,
    });
    cx.touch(&est.connection);
}
/// The peer has deleted the child that had won a collision. If it had lost that one before it knew all four nonces, what has lost is all that it
/// has, and stays; if not, its Delete of that one follows. What the host took for the loser from the beginning is not sent on, so it is rekeyed.
fn reinstate(est: &mut Established, winner: &Child) {
    let (name, resource) = (&winner.policy.name, winner.resource);
    if est.is_up(name, resource) {
        return;
    }
    let taken: Vec<_> = est.children.iter().filter_map(|c| c.replaces).collect();
    let lost = |c: &Child| matches!(c.state, ChildState::Replaced { .. }) && !c.outdated && !taken.contains(&c.id);
    let same = |c: &Child| c.replaces == winner.replaces && c.is_as(name, resource);
    if let Some(loser) = est.children.iter_mut().find(|c| lost(c) && same(c)) {
        loser.state = ChildState::Up;
        if loser.inbound_only {
            let id = loser.id;
            est.plan(Task::RekeyChild(id));
        }
    }
}
fn of_esp(spis: Vec<u32>) -> Delete {
    Delete { protocol: ProtocolId::ESP, spis }
}
