//! Rekeying the IKE SA (RFC 7296 sections 1.3.2, 2.8.2 and 2.18): the new one inherits all children, then the old one is deleted by the
//! initiator of the new one, as its last request.
//!
//! If both ends do it at once, both answer as usual, and each end decides when it knows all four nonces, as for children. Until then the
//! children stay where they are, and the IKE SA that the peer has asked for waits as a rival.
use super::Contents;
use super::create_child::{self, Agreed as AnyAgreed, Making, Pending};
use super::liveness::Signs;
use crate::frozen::frozen;
use crate::ike::child::Mismatch;
use crate::ike::common::{Cx, How, Redundant};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::error::Refusal;
use crate::ike::event::{Ended, IkeId};
use crate::ike::heir::Estate;
use crate::ike::keys::Contributions;
use crate::ike::life::Life;
use crate::ike::negotiate::{self, IkeSuite, KeRule, check_answer, choose, groups, with_prf};
use crate::ike::sa::{self, Core, Established, IkeSa, Phase, Standing, Task};
use crate::ike::window::Window;
use crate::wire::message::IkeSpi;
use crate::wire::payload::{Notify, Payload, Proposal};
use crate::wire::registry::{NotifyType, ProtocolId};

/// What we ask for.
pub(in crate::ike) struct Offer {
    id: IkeId,
    spi: IkeSpi,
    pub proposals: Vec<Proposal>,
    /// What the peer has made of this IKE SA meanwhile.
    rival: Option<Rival>,
}
/// An IKE SA that the peer has asked for while we were rekeying, too.
struct Rival {
    id: IkeId,
    spi: IkeSpi,
    /// It exists: all its secrets are there.
    done: bool,
    /// The lower one of its two nonces.
    lowest: Vec<u8>,
}
/// The next IKE SA, but for its keys.
pub(in crate::ike) struct Agreed {
    id: IkeId,
    ours: IkeSpi,
    theirs: IkeSpi,
    pub suite: IkeSuite,
    proposal: Proposal,
}
frozen! {
    struct Offer { id, spi, proposals, rival }
    struct Rival { id, spi, done, lowest }
    struct Agreed { id, ours, theirs, suite, proposal }
}

/// Asks for an IKE SA in the place of this one.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) -> sa::Asked {
    let id = cx.new_ike_id();
    let spi = cx.reserve_spi(id);
    let again = est.life.failures > 0;
    let proposals = negotiate::renewal(&est.proposal, &est.connection.proposals, again);
    let proposals = negotiate::numbered(&proposals, &spi.0);
    let group = groups(&proposals).first().copied();
    create_child::ask(cx, core, est, Making::Ike(Offer { id, spi, proposals, rival: None }), group, 0)
}
impl Offer {
    /// SA alone: without selectors it is an IKE SA that is meant.
    pub(in crate::ike) fn payloads(&self) -> Vec<Payload> {
        vec![Payload::Sa(self.proposals.clone())]
    }
    /// Gives the SPI back.
    fn release(&self, cx: &mut Cx<'_>) {
        cx.common.by_spi.remove(&self.spi);
    }
    /// The IKE SA that it was to replace goes, and nothing that was to take its place stays.
    pub(in crate::ike) fn fail(mut self, cx: &mut Cx<'_>) {
        self.release(cx);
        if let Some(rival) = self.rival(cx).filter(|rival| rival.done) {
            cx.common.redundant.push(Redundant { ike: rival.id, how: How::Now });
        }
    }
    /// Checks the responder's SA payload (R32).
    pub(in crate::ike) fn check(&self, answer: &Contents) -> Option<Agreed> {
        let proposal = check_answer(answer.sa.as_ref()?, &self.proposals, KeRule::Prefer(None)).ok()?;
        Agreed::new(self.id, self.spi, proposal)
    }
    /// The peer has made one meanwhile.
    pub(in crate::ike) fn has_rival(&self) -> bool {
        self.rival.is_some()
    }
    /// The peer's one is to stay, and ours is not: the lowest of the four nonces is ours.
    pub(in crate::ike) fn loses(&self, cx: &Cx<'_>, ours: &Pending) -> bool {
        let rival = self.rival.as_ref().filter(|rival| cx.common.by_spi.get(&rival.spi) == Some(&rival.id));
        rival.is_some_and(|rival| ours.lowest() < rival.lowest.as_slice())
    }
    /// It will not be finished.
    pub(in crate::ike) fn stop(mut self, cx: &mut Cx<'_>, core: &Core, est: &mut Established) {
        self.release(cx);
        match self.rival(cx) {
            Some(rival) if rival.done => give_way(cx, core, est, rival.id),
            _ => est.life.retry(cx),
        }
    }
    /// The peer's one, if it is still there.
    fn rival(&mut self, cx: &Cx<'_>) -> Option<Rival> {
        self.rival.take().filter(|rival| cx.common.by_spi.get(&rival.spi) == Some(&rival.id))
    }
}
impl Agreed {
    fn new(id: IkeId, ours: IkeSpi, proposal: &Proposal) -> Option<Self> {
        let suite = IkeSuite::of(proposal)?;
        let theirs = IkeSpi(proposal.spi.as_slice().try_into().ok()?);
        (!theirs.is_none()).then(|| Self { id, ours, theirs, suite, proposal: proposal.clone() })
    }
    /// Takes an SPI of ours.
    pub(in crate::ike) fn reserve(&mut self, cx: &mut Cx<'_>) {
        self.id = cx.new_ike_id();
        self.ours = cx.reserve_spi(self.id);
    }
    /// Gives it back.
    pub(in crate::ike) fn release(&self, cx: &mut Cx<'_>) {
        cx.common.by_spi.remove(&self.ours);
    }
    /// SA of a responder's answer.
    pub(in crate::ike) fn payloads(&self) -> Vec<Payload> {
        vec![Payload::Sa(vec![Proposal { spi: self.ours.0.to_vec(), ..self.proposal.clone() }])]
    }
}

/// All secrets of the IKE SA that we have asked for are there.
pub(in crate::ike) fn completed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    mut offer: Offer,
    pending: Pending,
) {
    let Some(mut new) = successor(cx, core, est, &pending, true) else { return };
    let rival = offer.rival(cx);
    let lost = rival.as_ref().is_some_and(|rival| pending.lowest() < rival.lowest.as_slice());
    // Lost, given up before, or we are taking everything down: what we have asked for is ours to delete.
    if lost || est.standing != Standing::Current || est.closing.is_some() {
        let why = est.closing.map_or(Ended::Replaced, |(why, _)| why);
        if let Phase::Established(new) = &mut new.phase {
            new.standing = Standing::Succeeded;
            new.close(cx.now, why, cx.patience());
        }
        cx.common.born.push(new);
        match rival {
            Some(rival) if rival.done => give_way(cx, core, est, rival.id),
            // As soon as it is there; the peer may never finish it.
            Some(_) => est.life.retry(cx),
            None => {}
        }
        return;
    }
    if let Some(rival) = rival.filter(|rival| rival.done) {
        cx.common.redundant.push(Redundant { ike: rival.id, how: How::Later });
    }
    est.drop_half_done(cx, |other| other.agreed.is_for_the_same(&pending.agreed));
    bequeath(cx, core, est, offer.id);
    cx.common.born.push(new);
    est.close(cx.now, Ended::Replaced, cx.patience());
}
/// The peer refuses to rekey the IKE SA.
pub(in crate::ike) fn refused(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    mut offer: Offer,
    notify: &Notify,
) {
    offer.release(cx);
    if let Some(rival) = offer.rival(cx).filter(|rival| rival.done) {
        return give_way(cx, core, est, rival.id);
    }
    if est.standing != Standing::Current || est.closing.is_some() {
        return;
    }
    est.life.retry(cx);
    match notify.kind {
        NotifyType::TEMPORARY_FAILURE | NotifyType::STATE_NOT_FOUND => {}
        NotifyType::NO_ADDITIONAL_SAS => cx.common.renew.push(core.id),
        _ => {
            let failure =
                Failure::new(cx.now, Where::Rekey, true, "proposal.ike").likely(notify.kind, &["proposal.ike"]);
            cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
        }
    }
}

/// May the peer rekey this IKE SA, and with which suite?
pub(in crate::ike) fn consider(est: &Established, contents: &Contents) -> Result<Agreed, Mismatch> {
    let busy = match &est.asked {
        // R16, but one rival is enough.
        Some(sa::Asked::Create(asked)) => {
            let alone = matches!(&asked.making, Making::Ike(offer) if offer.rival.is_none());
            !alone || asked.following.is_some()
        }
        Some(sa::Asked::Liveness | sa::Asked::Probe { .. }) | None => false,
        // R15.
        Some(_) => true,
    };
    if busy {
        return Err(Mismatch::quiet(Refusal::Temporary));
    }
    let Some(sa) = &contents.sa else { return Err(Mismatch::malformed()) };
    let ours = with_prf(&est.connection.proposals, est.keys.prf());
    let rule = KeRule::Prefer(contents.ke.as_ref().map(|ke| ke.group));
    let chosen = choose(sa, &ours, ProtocolId::IKE, rule);
    let agreed = chosen.and_then(|chosen| Agreed::new(IkeId(0), IkeSpi::NONE, &chosen));
    agreed.ok_or_else(|| Mismatch::ike(sa, &ours))
}
/// All secrets of the IKE SA that the peer has asked for are there.
pub(in crate::ike) fn answered(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, pending: Pending) {
    let Some(mut new) = successor(cx, core, est, &pending, false) else { return };
    let (id, spi) = (new.core.id, new.core.our_spi());
    match est.own_rekey() {
        Some(offer) => {
            offer.rival = Some(Rival { id, spi, done: true, lowest: pending.lowest().to_vec() });
            if let Phase::Established(new) = &mut new.phase {
                new.standing = Standing::Rival(core.id);
            }
        }
        None => give_way(cx, core, est, id),
    }
    cx.common.born.push(new);
}

/// More key exchanges follow, but all nonces are there.
pub(in crate::ike) fn half_done(est: &mut Established, pending: &Pending) {
    let AnyAgreed::Ike(agreed) = &pending.agreed else { return };
    let (id, spi) = (agreed.id, agreed.ours);
    if let Some(offer) = est.own_rekey() {
        offer.rival = Some(Rival { id, spi, done: false, lowest: pending.lowest().to_vec() });
    }
}
/// The peer's new IKE SA takes the place of this one, and the peer will delete this one. What we are taking down goes as a whole.
pub(in crate::ike) fn give_way(cx: &mut Cx<'_>, core: &Core, est: &mut Established, heir: IkeId) {
    if est.standing != Standing::Current {
        return;
    }
    if est.closing.is_some() {
        return cx.common.redundant.push(Redundant { ike: heir, how: How::Now });
    }
    bequeath(cx, core, est, heir);
    est.leave_at = Some(cx.now + cx.patience());
}
/// Leaves children and tasks to another IKE SA (RFC 7296 section 2.8).
pub(in crate::ike) fn bequeath(cx: &mut Cx<'_>, core: &Core, est: &mut Established, heir: IkeId) {
    est.standing = Standing::Succeeded;
    est.heard();
    if let Some(older) = est.older {
        cx.common.redundant.push(Redundant { ike: older, how: How::Soon });
    }
    super::probe::cancel(cx, core.id, est);
    let children = std::mem::take(&mut est.children);
    let mut queue = std::mem::take(&mut est.queue);
    queue.retain(|task| !matches!(task, Task::RekeyIke | Task::DeleteIke | Task::Liveness));
    let (leave_at, relieves) = (est.leave_at.take(), est.relieves.take());
    cx.common.estates.push(Estate { from: core.id, to: heir, children, queue, leave_at, relieves, path: core.path() });
}
impl Established {
    /// The IKE SA that the peer has made while we rekey this one, if both are so.
    pub(in crate::ike) fn rival(&mut self, cx: &Cx<'_>) -> Option<IkeId> {
        self.own_rekey()?.rival(cx).filter(|rival| rival.done).map(|rival| rival.id)
    }
    /// Our rekey of this IKE SA, while it is under way.
    fn own_rekey(&mut self) -> Option<&mut Offer> {
        match &mut self.asked {
            Some(sa::Asked::Create(asked)) => match &mut asked.making {
                Making::Ike(offer) => Some(offer),
                Making::Child { .. } => None,
            },
            _ => None,
        }
    }
}
/// The next IKE SA: new SPIs, keys and message ids; everything else is inherited. Who has asked for it is its original initiator.
fn successor(cx: &mut Cx<'_>, core: &Core, est: &Established, pending: &Pending, initiator: bool) -> Option<IkeSa> {
    let AnyAgreed::Ike(agreed) = &pending.agreed else { return None };
    let (spi_i, spi_r) = if initiator { (agreed.ours, agreed.theirs) } else { (agreed.theirs, agreed.ours) };
    let from = Contributions { ni: &pending.ni, nr: &pending.nr, spi_i, spi_r };
    let (keys, channel) = est.keys.rekey(&agreed.suite, &pending.secrets, &from, initiator, &mut cx.rng());
    let life = Life::of_ike(cx, &est.connection);
    let core = Core {
        id: agreed.id,
        spi_i,
        spi_r,
        initiator,
        window: Window::default(),
        mobile: core.mobile.heir(),
        connection: core.connection.clone(),
        created: cx.now,
        sent: cx.now,
        abandons: false,
        hit: None,
        ..*core
    };
    channel.log_keys(cx, &core, &est.connection.name);
    let est = Established {
        connection: est.connection.clone(),
        permitted: est.permitted.clone(),
        unsettled: est.unsettled,
        peer: est.peer,
        local_id: est.local_id.clone(),
        remote_id: est.remote_id.clone(),
        virtuals: est.virtuals.clone(),
        proposal: Proposal { spi: Vec::new(), ..agreed.proposal.clone() },
        keys,
        channel,
        since: est.since,
        signs: Signs::new(cx.now),
        children: Vec::new(),
        queue: core.mobile.open_question().into_iter().collect(),
        asked: None,
        answering: None,
        fresh: Vec::new(),
        half_done: Vec::new(),
        ppk: est.ppk,
        closing: None,
        life,
        authentication: est.authentication,
        standing: Standing::Current,
        leave_at: None,
        older: None,
        relieves: None,
        put_off: None,
        unheard: None,
    };
    Some(IkeSa { core, phase: Phase::Established(Box::new(est)) })
}
