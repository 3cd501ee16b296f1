//! Rekeying a child (RFC 7296 sections 1.3.3, 2.8 and 2.8.1): a new one first, then the old one is deleted by the initiator of the new one.
//!
//! If both ends rekey the same child, both answer as usual, and each end decides when it knows all four nonces: the new child that was made
//! with the lowest of them is deleted by the end that asked for it, and the initiator of the other one deletes the old child.
use super::create_child::{self, Agreed, Making, Pending};
use crate::frozen::frozen;
use crate::ike::child::{self, Child, ChildState, Made, Mismatch, Offer};
use crate::ike::common::Cx;
use crate::ike::diagnose::{Certainty, Failure, Phase as Where};
use crate::ike::error::Refusal;
use crate::ike::event::{ChildId, Ended};
use crate::ike::life::{Life, jitter};
use crate::ike::negotiate::groups;
use crate::ike::policy::RekeyBy;
use crate::ike::sa::{self, Core, Established, RELIEF_TIME, Task};
use crate::wire::payload::Notify;
use crate::wire::registry::{NotifyType, ProtocolId};
use std::time::Duration;

/// So long after a child is up its group is tried, and up to as long again.
const REHEARSAL: Duration = Duration::from_secs(5);

/// So soon a rekey of the peer may be a trial: of the group, or of somebody who types.
const HASTY: Duration = Duration::from_secs(60);

/// What the peer has made of the child that we are rekeying, too.
pub(in crate::ike) struct Rival {
    /// Once all its secrets are there.
    new: Option<ChildId>,
    /// The lower one of its two nonces.
    lowest: Vec<u8>,
}

/// A child that we have asked for and got, though not in the place of another one, until the peer's next request: that one may have been
/// on its way before the peer knew of the child, and ask for the same.
pub(in crate::ike) struct Fresh {
    child: ChildId,
    /// The lower one of its two nonces.
    lowest: Vec<u8>,
}
frozen! {
    struct Rival { new, lowest }
    struct Fresh { child, lowest }
}

impl Rival {
    /// It is to stay, and ours is not: the lowest of the four nonces is ours.
    fn wins(&self, est: &Established, ours: &Pending) -> bool {
        self.is_there(est) && ours.lowest() < self.lowest.as_slice()
    }
    fn is_there(&self, est: &Established) -> bool {
        self.new.is_none_or(|new| est.child(new).is_some())
    }
}

/// Of two rekeys of the same child the peer's is to stay, as far as that can be told.
pub(in crate::ike) fn loses(est: &Established, rival: Option<&Rival>, ours: &Pending) -> bool {
    match rival {
        Some(rival) => rival.wins(est, ours),
        None => est.being_answered(ours).is_some_and(|theirs| ours.lowest() < theirs),
    }
}

/// Asks for a child in the place of this one; nothing if it is no longer in use.
pub(in crate::ike) fn request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    id: ChildId,
) -> Option<sa::Asked> {
    let connection = est.connection.clone();
    let old = est.children.iter().find(|c| c.id == id && c.state == ChildState::Up)?;
    let policy = old.policy.clone();
    let Some(offer) = Offer::again(cx, core, &connection, old, est.peer) else {
        create_child::no_spi(cx, est, &policy);
        est.retry_child(cx, id);
        return None;
    };
    let group = groups(&offer.proposals).first().copied();
    Some(create_child::ask(cx, core, est, Making::Child { offer, rival: None }, group, 0))
}
/// It names the child by the SPI that its sender expects in inbound packets (RFC 7296 section 1.3.3).
pub(in crate::ike) fn notify(spi_in: u32) -> Notify {
    let spi = spi_in.to_be_bytes().to_vec();
    Notify { protocol: ProtocolId::ESP, spi, ..Notify::new(NotifyType::REKEY_SA, Vec::new()) }
}

/// All secrets of a child that we have asked for are there.
pub(in crate::ike) fn completed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    rival: Option<Rival>,
    pending: Pending,
) {
    let rival = rival.filter(|rival| rival.is_there(est));
    let lost = loses(est, rival.as_ref(), &pending);
    if !lost {
        est.drop_half_done(cx, |other| other.agreed.is_for_the_same(&pending.agreed));
    }
    let lowest = pending.lowest().to_vec();
    let Pending { agreed: Agreed::Child(agreed), ni, nr, secrets } = pending else { return };
    let old = agreed.replaces;
    let beside = agreed.resource.map(|_| agreed.policy.name.clone());
    if old.is_some() {
        rehearsed(cx, est, &agreed.policy.name);
    }
    let made = Made { ni: &ni, nr: &nr, secrets: &secrets, initiator: true, lost };
    let new = child::install(cx, core, est, agreed, &made);
    if lost {
        est.leave(new, Ended::Replaced);
        if let (Some(old), None) = (old, rival.and_then(|rival| rival.new)) {
            // The peer may never finish its own.
            est.retry_child(cx, old);
        }
        return;
    }
    match old {
        Some(old) => est.leave(old, Ended::Replaced),
        None => match beside {
            Some(name) => est.has_one_more(&name),
            None => est.remember(Fresh { child: new, lowest }),
        },
    }
    if let Some(new) = rival.and_then(|rival| rival.new) {
        est.expect_delete(cx.now + RELIEF_TIME, new);
    }
}
/// The peer refuses to rekey a child. `unheard`: it may not have known the child yet.
pub(in crate::ike) fn refused(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    offer: &Offer,
    notify: &Notify,
    unheard: bool,
) {
    cx.host.release_spi(offer.spi_in);
    let Some(old) = offer.replaces else { return };
    // It is gone, or the peer has rekeyed it: whatever the answer says, it is late (R5).
    if est.child(old).is_none_or(|old| old.state != ChildState::Up) {
        return cx.touch(&est.connection);
    }
    match notify.kind {
        NotifyType::TEMPORARY_FAILURE | NotifyType::STATE_NOT_FOUND => est.retry_child(cx, old),
        NotifyType::CHILD_SA_NOT_FOUND if unheard => est.retry_child(cx, old),
        NotifyType::CHILD_SA_NOT_FOUND => forget(cx, est, old),
        NotifyType::NO_ADDITIONAL_SAS => {
            est.retry_child(cx, old);
            cx.common.renew.push(core.id);
        }
        _ => failed(cx, core, est, old, offer.refused(cx.now, Where::Rekey, notify)),
    }
}
/// The peer does not have it: it goes without a word, and is made anew (R9).
fn forget(cx: &mut Cx<'_>, est: &mut Established, old: ChildId) {
    let Some(i) = est.children.iter().position(|c| c.id == old) else { return };
    let name = est.children[i].policy.name.clone();
    super::delete::remove(cx, est, i, Ended::ByPeer);
    let down = cx.common.links.get_mut(&est.connection.name).and_then(|l| l.wish(&name)).is_some_and(|w| w.down);
    if !est.has(&name) && !down {
        est.plan(Task::CreateChild(name));
    }
}
/// A rekey has failed: the child lives on, and it is tried again until its lifetime ends. What was only a rehearsal is not.
pub(in crate::ike) fn failed(cx: &mut Cx<'_>, core: &Core, est: &mut Established, old: ChildId, failure: Failure) {
    match est.child_mut(old).filter(|child| child.rehearsal).map(|child| child.policy.clone()) {
        Some(policy) => {
            let life = Life::of_child(cx, &est.connection, &policy);
            if let Some(child) = est.child_mut(old) {
                (child.rehearsal, child.life) = (false, Life { end: child.life.end, ..life });
            }
            rehearsed(cx, est, &policy.name);
        }
        None => est.retry_child(cx, old),
    }
    let failure = Failure { remote: Some(core.remote), phase: Where::Rekey, ..failure };
    cx.fail(failure, Some(&est.connection));
}

/// The child that the peer wants to rekey.
pub(in crate::ike) fn consider<'a>(est: &'a Established, rekey: &Notify) -> Result<&'a Child, Mismatch> {
    let spi = rekey.spi.as_slice().try_into().map(u32::from_be_bytes).unwrap_or(0);
    let known = est.children.iter().find(|c| rekey.protocol == ProtocolId::ESP && c.spi_out == spi);
    let Some(old) = known else {
        // It may be the child that we are about to hear of: the request has overtaken an answer.
        let making =
            matches!(&est.asked, Some(sa::Asked::Create(asked)) if matches!(asked.making, Making::Child { .. }));
        return Err(Mismatch::quiet(if making { Refusal::Temporary } else { Refusal::NoChild(spi) }));
    };
    match old.state {
        _ if est.follows_up(old.id) => Err(Mismatch::quiet(Refusal::Temporary)),
        ChildState::Up | ChildState::Replaced { .. } => Ok(old),
        // R10.
        ChildState::Leaving(_) | ChildState::Closing(_) => Err(Mismatch::quiet(Refusal::Temporary)),
    }
}
/// All secrets of a child that the peer has asked for are there.
pub(in crate::ike) fn answered(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, pending: Pending) {
    let lowest = pending.lowest().to_vec();
    let Pending { agreed: Agreed::Child(agreed), ni, nr, secrets } = pending else { return };
    let replaces = agreed.replaces.filter(|old| est.child(*old).is_some());
    let name = agreed.policy.name.clone();
    let is_new = agreed.place() == Some((None, &*name));
    let twin = est.fresh.iter().position(|f| is_new && est.is_up_as(f.child, &name));
    let twin = twin.map(|i| est.fresh.swap_remove(i));
    let beaten = match &twin {
        // We have the same already, and the peer did not know.
        Some(twin) => lowest < twin.lowest,
        // Our own rekey of it was done while this one was being computed, and has won.
        None => agreed.replaces.is_some_and(|old| est.child(old).is_none_or(Child::is_leaving)),
    };
    let made = Made { ni: &ni, nr: &nr, secrets: &secrets, lost: beaten, ..Made::default() };
    let new = child::install(cx, core, est, child::Agreed { replaces, ..agreed }, &made);
    est.answers_with(cx, new);
    if beaten {
        est.expect_delete(cx.now + RELIEF_TIME, new);
    } else if let Some(twin) = twin {
        est.leave(twin.child, Ended::Replaced);
    }
    if replaces.is_some() || is_new {
        est.meets_rival(replaces, &name, Rival { new: Some(new), lowest });
    }
    if let Some(old) = replaces {
        if !beaten {
            came_early(cx, core, est, old, new);
        }
        est.expect_delete(cx.now + cx.patience(), old);
    }
}
/// The peer has rekeyed a child. If it does so much earlier than we would, its lifetime is shorter, or it counts octets: the second time tells, and so does
/// the first unless it comes so soon that somebody may just be trying something.
fn came_early(cx: &mut Cx<'_>, core: &Core, est: &mut Established, old: ChildId, new: ChildId) {
    let Some(child) = est.child(old) else { return };
    let (age, before, ours) = (cx.now.saturating_sub(child.since), child.early, child.policy.rekey_time);
    if ours.is_zero() || est.connection.rekey == RekeyBy::Peer || age * 2 >= ours {
        return;
    }
    let (name, again) = (child.policy.name.clone(), before.is_some());
    if let Some(child) = est.child_mut(new) {
        child.early = Some(age);
    }
    // A third time says nothing new.
    let told = cx.common.links.get(&est.connection.name).is_some_and(|link| {
        let sure = |known: &Failure| known.code == "lifetime.peer_shorter" && known.certainty == Certainty::Proven;
        link.notices.iter().any(|known| known.child.as_ref() == Some(&name) && sure(known))
    });
    if told || (!again && age < HASTY) {
        return;
    }
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let seen = before.into_iter().chain([age]).map(seconds).collect();
    let failure = Failure::new(cx.now, Where::Rekey, false, "lifetime.peer_shorter");
    let failure = failure.between("lifetime", vec![seconds(ours)], seen);
    // At equal distances it is a time that has passed, at others it is what has travelled.
    let regular = before.is_some_and(|before| age.abs_diff(before) * 4 <= age.max(before));
    let failure = if regular { failure } else { failure.or_else(&["lifetime.peer_shorter"]) };
    let differing = vec![if again && !regular { "bytes" } else { "time" }];
    let failure = Failure { child: Some(name), differing, remote: Some(core.remote), ..failure };
    cx.notice(failure, &est.connection);
}

/// The group of this child is known to fit, or not to.
fn rehearsed(cx: &mut Cx<'_>, est: &Established, child: &str) {
    if let Some(wish) = cx.common.links.get_mut(&est.connection.name).and_then(|l| l.wish(child)) {
        wish.rehearsed = true;
    }
}
/// More key exchanges follow, but all nonces are there.
pub(in crate::ike) fn half_done(est: &mut Established, pending: &Pending) {
    let lowest = pending.lowest().to_vec();
    if let Agreed::Child(agreed) = &pending.agreed
        && let Some((old, name)) = agreed.place()
    {
        est.meets_rival(old, name, Rival { new: None, lowest });
    }
}

impl Established {
    /// R11: our own exchange for the same goes on; who has won shows when it is answered. A child that both ends make at once is no other
    /// case.
    fn meets_rival(&mut self, old: Option<ChildId>, child: &str, other: Rival) {
        if let Some(sa::Asked::Create(asked)) = &mut self.asked
            && let Making::Child { offer, rival } = &mut asked.making
            && offer.replaces == old
            && (old.is_some() || offer.resource.is_none())
            && &*offer.policy.name == child
        {
            *rival = Some(other);
        }
    }
    /// The peer may not have known this one when it sent the request that we are about to answer.
    pub(in crate::ike) fn is_fresh(&self, id: ChildId) -> bool {
        self.fresh.iter().any(|f| f.child == id)
    }
    /// Remembers what the peer's next request may collide with.
    fn remember(&mut self, fresh: Fresh) {
        let children = &self.children;
        self.fresh.retain(|f| children.iter().any(|c| c.id == f.child));
        self.fresh.push(fresh);
    }
    /// It carries traffic, and is what this name stands for.
    fn is_up_as(&self, id: ChildId, name: &str) -> bool {
        self.child(id).is_some_and(|c| c.state == ChildState::Up && &*c.policy.name == name)
    }
    /// Our own rekey of this child is between two key exchanges: who has won is decided.
    fn follows_up(&self, old: ChildId) -> bool {
        let Some(sa::Asked::Create(asked)) = &self.asked else { return false };
        let same = matches!(&asked.making, Making::Child { offer, .. } if offer.replaces == Some(old));
        same && asked.following.is_some()
    }
    /// The lower nonce of the peer's exchange for the same, if we are still computing what it needs.
    fn being_answered(&self, ours: &Pending) -> Option<&[u8]> {
        let theirs = &self.answering.as_ref()?.pending;
        (!ours.is_ike() && theirs.agreed.is_for_the_same(&ours.agreed)).then(|| theirs.lowest())
    }
    /// Has a child of IKE_AUTH rekeyed soon if its group was never tried: a wrong one shows now, and not when the tunnel is needed (peers.md).
    pub(in crate::ike) fn rehearse(&mut self, cx: &mut Cx<'_>, id: ChildId) {
        let connection = self.connection.clone();
        let at = cx.now + REHEARSAL + jitter(cx, REHEARSAL);
        let Some(child) = self.child_mut(id) else { return };
        let wish = cx.common.links.get_mut(&connection.name).and_then(|l| l.wish(&child.policy.name));
        let wanted =
            connection.rehearse && connection.rekey != RekeyBy::Peer && !groups(&child.policy.proposals).is_empty();
        if wanted && wish.is_some_and(|wish| !wish.rehearsed) {
            child.rehearsal = true;
            child.life.renew = Some(child.life.renew.map_or(at, |renew| renew.min(at)));
        }
    }
    /// The peer will delete this child; if it has not until then, we do.
    pub(in crate::ike) fn expect_delete(&mut self, until: Duration, id: ChildId) {
        if let Some(child) = self.child_mut(id).filter(|c| c.state == ChildState::Up) {
            child.state = ChildState::Replaced { until };
        }
    }
    /// The peer has made this child of one that we are rekeying, too, and it is not decided which new one stays: the old one is still there.
    pub(in crate::ike) fn is_rival(&self, id: ChildId) -> bool {
        match &self.asked {
            Some(sa::Asked::Create(asked)) => match &asked.making {
                Making::Child { offer, rival: Some(rival) } => {
                    rival.new == Some(id) && offer.replaces.is_none_or(|old| self.child(old).is_some())
                }
                _ => false,
            },
            _ => false,
        }
    }
    /// The rekey of this child is tried again later.
    pub(in crate::ike) fn retry_child(&mut self, cx: &mut Cx<'_>, id: ChildId) {
        if let Some(child) = self.child_mut(id) {
            child.life.retry(cx);
        }
    }
}
