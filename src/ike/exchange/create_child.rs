//! CREATE_CHILD_SA (RFC 7296 section 1.3): further children, and what they have in common with rekeys, which are in `rekey_child` and
//! `rekey_ike`.
use super::{Contents, followup_ke, rekey_child, rekey_ike};
use crate::crypto::ke::{Group, Method};
use crate::crypto::secret::Secret;
use crate::crypto::work::{Done, Work};
use crate::frozen::frozen;
use crate::ike::child::{self, Child, Mismatch};
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::error::Refusal;
use crate::ike::event::{ChildId, Ended};
use crate::ike::negotiate::{KeRule, groups};
use crate::ike::policy::ChildPolicy;
use crate::ike::resources;
use crate::ike::sa::{self, Answer, Core, Established, Standing, Task};
use crate::wire::payload::{Ke, Notify, Payload};
use crate::wire::registry::{ExchangeType, KeId, NotifyType};

/// INVALID_KE_PAYLOAD is followed at most so often (R26b).
const MAX_RETRIES: u8 = 3;
/// So many Deletes for children that we do not have yet are remembered while an answer is missing.
const MAX_EARLY: usize = 16;

/// What an exchange of ours is to make.
pub(in crate::ike) enum Making {
    /// A child; in the place of another one, with what the peer may have made in the same place meanwhile.
    Child { offer: child::Offer, rival: Option<rekey_child::Rival> },
    /// The IKE SA that takes the place of this one.
    Ike(rekey_ike::Offer),
}
/// What both ends agree on.
pub(in crate::ike) enum Agreed {
    Child(child::Agreed),
    Ike(rekey_ike::Agreed),
}
impl Agreed {
    /// Gives back what was taken for it.
    pub(in crate::ike) fn release(&self, cx: &mut Cx<'_>) {
        match self {
            Self::Child(agreed) => cx.host.release_spi(agreed.spi_in),
            Self::Ike(agreed) => agreed.release(cx),
        }
    }
    /// Both would take the place of the same.
    pub(in crate::ike) fn is_for_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Child(a), Self::Child(b)) => a.place().is_some() && a.place() == b.place(),
            (Self::Ike(_), Self::Ike(_)) => true,
            _ => false,
        }
    }
}
/// Agreed, but for the secrets that are still to be made.
pub(in crate::ike) struct Pending {
    pub agreed: Agreed,
    pub ni: Vec<u8>,
    pub nr: Vec<u8>,
    /// One per key exchange, in order (RFC 9370 section 2.2.4).
    pub secrets: Vec<Secret>,
}
impl Pending {
    fn new(agreed: Agreed, ni: &[u8], nr: &[u8]) -> Self {
        Self { agreed, ni: ni.to_vec(), nr: nr.to_vec(), secrets: Vec::new() }
    }
    /// The IKE SA itself shall be replaced.
    pub(in crate::ike) fn is_ike(&self) -> bool {
        matches!(self.agreed, Agreed::Ike(_))
    }
    /// This child shall be replaced.
    pub(in crate::ike) fn replaces(&self, old: ChildId) -> bool {
        matches!(&self.agreed, Agreed::Child(agreed) if agreed.replaces == Some(old))
    }
    /// The child with this outbound SPI shall be made.
    pub(in crate::ike) fn makes(&self, spi_out: u32) -> bool {
        matches!(&self.agreed, Agreed::Child(agreed) if agreed.spi_out == spi_out)
    }
    /// This child shall be made, and not in the place of another one.
    fn creates(&self, child: &str) -> bool {
        matches!(&self.agreed, Agreed::Child(agreed) if agreed.place() == Some((None, child)))
    }
    /// What the next key exchange runs on, if the last one was not the last of all.
    pub(in crate::ike) fn next_method(&self) -> Option<Method> {
        let additional = match &self.agreed {
            Agreed::Child(agreed) => &agreed.suite.additional,
            Agreed::Ike(agreed) => &agreed.suite.additional,
        };
        additional.get(self.secrets.len().checked_sub(1)?)
    }
    /// The lowest nonce, octet by octet; of two that begin alike the shorter one is lower (RFC 7296 section 2.8.1).
    pub(in crate::ike) fn lowest(&self) -> &[u8] {
        self.ni.as_slice().min(&self.nr)
    }
}

/// What we have asked for.
pub(in crate::ike) struct Asked {
    pub making: Making,
    ni: Vec<u8>,
    ke: Option<Own>,
    retries: u8,
    /// The response is fine, and g^ir is being computed.
    pending: Option<(u64, Pending)>,
    /// What the last response has given us to begin the next exchange with.
    pub link: Option<Vec<u8>>,
    /// The additional key exchange that is under way.
    pub following: Option<followup_ke::Following>,
    /// The peer's SPIs of children that it has deleted before we have heard of them: the answer is late.
    deleted: Vec<u32>,
    /// The peer may not know the child yet that shall be rekeyed.
    unheard: bool,
}
/// Our half of a key exchange.
struct Own {
    group: Group,
    private: Secret,
}
frozen! {
    struct Asked { making, ni, ke, retries, pending, link, following, deleted, unheard }
    struct Own { group, private }
}
impl Asked {
    /// The name of the child that is being made, if it is not one beside it.
    pub(in crate::ike) fn child(&self) -> Option<&str> {
        match &self.making {
            Making::Child { offer, .. } if offer.resource.is_none() => Some(&offer.policy.name),
            Making::Child { .. } | Making::Ike(_) => None,
        }
    }
    /// The peer deletes a child that we do not know: it may be the one that we are about to hear of.
    pub(in crate::ike) fn deleted(&mut self, spi_out: u32) {
        if self.deleted.len() < MAX_EARLY {
            self.deleted.push(spi_out);
        }
    }
    /// It ends with the IKE SA: gives back what was taken for it.
    pub(in crate::ike) fn abandon(self, cx: &mut Cx<'_>) {
        match self.making {
            Making::Child { offer, .. } => cx.host.release_spi(offer.spi_in),
            Making::Ike(offer) => offer.fail(cx),
        }
    }
}

/// Asks for a child; nothing if it is up already or no longer configured.
pub(in crate::ike) fn request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    child: &str,
) -> Option<sa::Asked> {
    let connection = est.connection.clone();
    let policy = connection.children.iter().find(|c| &*c.name == child)?;
    if est.has(child) {
        return None;
    }
    let policy = &est.virtuals.of(policy);
    let group = groups(&policy.proposals).first().copied();
    let Some(offer) = child::Offer::new(cx, &connection, policy, est.peer, (core, KeRule::Prefer(None))) else {
        no_spi(cx, est, policy);
        return None;
    };
    Some(ask(cx, core, est, Making::Child { offer, rival: None }, group, 0))
}
/// No SPI is left for a child: later.
pub(in crate::ike) fn no_spi(cx: &mut Cx<'_>, est: &Established, policy: &ChildPolicy) {
    cx.fail(Failure::new(cx.now, Where::CreateChild, true, "limit.spis"), Some(&est.connection));
    est.wait_for_child(cx, &policy.name);
}
/// Sends the request.
pub(in crate::ike) fn ask(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    making: Making,
    group: Option<Group>,
    retries: u8,
) -> sa::Asked {
    let ni = cx.nonce();
    let ke = group.map(|group| Own { group, private: cx.private(group) });
    let public = ke.as_ref().map(|own| Ke { group: own.group.id(), data: own.group.public(&own.private) });
    let payloads = match &making {
        Making::Child { offer, .. } => with_nonce(offer.payloads(), &ni, public),
        Making::Ike(offer) => with_nonce(offer.payloads(), &ni, public),
    };
    let rekeyed = match &making {
        Making::Child { offer, .. } => offer.replaces.and_then(|id| est.child(id)),
        Making::Ike(_) => None,
    };
    let unheard = rekeyed.is_some_and(|old| est.is_unheard(cx.now, old.id));
    let rekey = rekeyed.map(|old| Payload::Notify(rekey_child::notify(old.spi_in)));
    let payloads: Vec<_> = rekey.into_iter().chain(payloads).collect();
    est.request(cx, core, ExchangeType::CREATE_CHILD_SA, &payloads);
    sa::Asked::Create(Box::new(Asked {
        making,
        ni,
        ke,
        retries,
        pending: None,
        link: None,
        following: None,
        deleted: Vec::new(),
        unheard,
    }))
}
/// Nonce and public value stand behind the SA payload.
fn with_nonce(mut payloads: Vec<Payload>, nonce: &[u8], ke: Option<Ke>) -> Vec<Payload> {
    payloads.splice(1..1, [Payload::Nonce(nonce.to_vec())].into_iter().chain(ke.map(Payload::Ke)));
    payloads
}

/// Handles the response.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    mut asked: Box<Asked>,
    contents: &Contents,
) -> Step<()> {
    if let Some(notify) = contents.error().filter(|_| contents.sa.is_none()) {
        refused(cx, core, est, *asked, notify);
        return Ok(());
    }
    est.put_off = None;
    asked.link = followup_ke::link(contents);
    if let (Some(own), Some(ke)) = (&asked.ke, &contents.ke)
        && ke.group == own.group.id()
        && own.group.check(&ke.data).is_err()
    {
        asked.abandon(cx);
        bad_public(cx, core, est);
        return Ok(());
    }
    match check(cx, &asked, contents) {
        Err(failure) => disown(cx, core, est, *asked, *failure),
        Ok((pending, None)) => followup_ke::proceed(cx, core, est, asked, pending),
        Ok((pending, Some(work))) => {
            asked.pending = Some((cx.compute_granted(core.id, work), pending));
            est.asked = Some(sa::Asked::Create(asked));
        }
    }
    Ok(())
}
/// The answer is what we may be answered (R32). With a key exchange there is something to compute.
fn check(cx: &Cx<'_>, asked: &Asked, contents: &Contents) -> Result<(Pending, Option<Work>), Box<Failure>> {
    let failure = |code| Box::new(Failure::new(cx.now, Where::CreateChild, true, code));
    let Some(nr) = &contents.nonce else { return Err(failure("answer.malformed")) };
    let (agreed, group) = match &asked.making {
        Making::Child { offer, .. } => {
            let refused = |m: Mismatch| Box::new(m.failure(cx.now, Where::CreateChild, true));
            let agreed = offer.check(contents).map_err(refused)?;
            let group = agreed.suite.group;
            (Agreed::Child(agreed), group)
        }
        Making::Ike(offer) => {
            let agreed = offer.check(contents).ok_or_else(|| failure("answer.not_offered"))?;
            let group = agreed.suite.group;
            (Agreed::Ike(agreed), Some(group))
        }
    };
    let work = match (group, &asked.ke, &contents.ke) {
        (None, _, _) => None,
        (Some(group), Some(own), Some(ke)) if own.group == group && ke.group == group.id() => {
            Some(Work::Agree { group, private: own.private.clone(), public: ke.data.clone() })
        }
        _ => return Err(failure("answer.not_offered")),
    };
    Ok((Pending::new(agreed, &asked.ni, nr), work))
}
/// The peer has made what we do not take: it is told to delete it. Of an IKE SA that we do not share there is nothing left to talk on.
pub(in crate::ike) fn disown(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, asked: Asked, failure: Failure) {
    match asked.making {
        Making::Child { offer, .. } => {
            est.plan(Task::DeleteSpi { spi: offer.spi_in, release: true });
            match offer.replaces {
                Some(old) => rekey_child::failed(cx, core, est, old, failure),
                None if offer.resource.is_some() => resources::failed(cx, core, est, &offer.policy, failure),
                None => est.child_failed_but_keep(cx, core, &offer, failure),
            }
        }
        Making::Ike(offer) => {
            offer.fail(cx);
            cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
            est.close(cx.now, Ended::Failed, sa::CLOSING_TIME);
        }
    }
}
/// The peer refuses it, at once or half-way.
pub(in crate::ike) fn refused(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, asked: Asked, notify: &Notify) {
    let Asked { making, retries, ke, following, unheard, .. } = asked;
    let offered = match &making {
        Making::Child { offer, .. } => groups(&offer.proposals),
        Making::Ike(offer) => groups(&offer.proposals),
    };
    let again = notify.data.first_chunk().map(|&b| KeId(u16::from_be_bytes(b))).and_then(Group::from_id).filter(|g| {
        notify.kind == NotifyType::INVALID_KE_PAYLOAD
            && following.is_none()
            && retries < MAX_RETRIES
            && offered.contains(g)
            && ke.as_ref().is_none_or(|own| own.group != *g)
    });
    if let Some(group) = again.filter(|_| est.still_wants(&making)) {
        est.asked = Some(ask(cx, core, est, making, Some(group), retries + 1));
        return;
    }
    // One for a resource may be put off for ever: nothing depends on it.
    let beside = matches!(&making, Making::Child { offer, .. } if offer.resource.is_some());
    if notify.kind == NotifyType::TEMPORARY_FAILURE && !beside {
        est.is_put_off(cx.now);
    }
    match making {
        Making::Child { offer, .. } if offer.replaces.is_some() => {
            rekey_child::refused(cx, core, est, &offer, notify, unheard);
        }
        Making::Child { offer, .. } if offer.resource.is_some() => resources::refused(cx, core, est, &offer, notify),
        Making::Child { offer, .. } if notify.kind == NotifyType::TEMPORARY_FAILURE => {
            // Nothing has failed: it is asked for again after a while (R22).
            cx.host.release_spi(offer.spi_in);
            est.wait_for_child(cx, &offer.policy.name);
        }
        Making::Child { offer, .. } => {
            let failure = offer.refused(cx.now, Where::CreateChild, notify);
            est.child_failed(cx, core, &offer, failure);
        }
        Making::Ike(offer) => rekey_ike::refused(cx, core, est, offer, notify),
    }
}
/// All secrets are there.
pub(in crate::ike) fn complete(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    asked: Asked,
    pending: Pending,
) {
    match (asked.making, &pending.agreed) {
        (Making::Child { offer, .. }, Agreed::Child(agreed)) if asked.deleted.contains(&agreed.spi_out) => {
            // Its Delete was faster than the answer. The peer may wait for us to know what it was about.
            est.plan(Task::DeleteSpi { spi: offer.spi_in, release: true });
            match offer.replaces {
                Some(old) => est.leave(old, Ended::ByPeer),
                None if offer.resource.is_some() => est.wants_no_more(&offer.policy.name),
                None => est.refuse_wish(cx, &offer.policy.name),
            }
        }
        (Making::Child { rival, .. }, Agreed::Child(_)) => rekey_child::completed(cx, core, est, rival, pending),
        (Making::Ike(offer), Agreed::Ike(_)) => rekey_ike::completed(cx, core, est, offer, pending),
        (Making::Child { .. } | Making::Ike(_), _) => {}
    }
}

/// A request of the peer that waits for a secret.
pub(in crate::ike) struct Answering {
    pub job: u64,
    pub to: Answer,
    pub pending: Pending,
    /// Our public value, if it does not come with the secret.
    pub public: Option<Ke>,
}

/// Handles a request.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    contents: &Contents,
) -> Step<()> {
    let result = consider(cx, core, est, contents).and_then(|agreed| accept(cx, core, est, to, contents, agreed));
    result.or_else(|mismatch| refuse(cx, core, est, to, mismatch))
}
/// Says so, and tells the operator where there is something to tell.
pub(in crate::ike) fn refuse(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    mismatch: Mismatch,
) -> Step<()> {
    let refusal = mismatch.refusal;
    est.respond(cx, core, to, &[Payload::Notify(refusal.notify())]);
    if !mismatch.code.is_empty() {
        let failure = mismatch.failure(cx.now, Where::CreateChild, false);
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
    }
    // INVALID_SYNTAX is the end at both ends (R30).
    if refusal == Refusal::Syntax { Err(Ended::Failed) } else { Ok(()) }
}
/// May it be, and what is it?
fn consider(cx: &mut Cx<'_>, core: &Core, est: &Established, contents: &Contents) -> Result<Agreed, Mismatch> {
    // Of what is being closed, or was rekeyed already, nothing begins (R17, R7).
    if est.closing.is_some() || est.standing != Standing::Current {
        return Err(Mismatch::quiet(Refusal::Temporary));
    }
    // An SA payload without selectors asks for a new IKE SA (RFC 7296 section 1.3.2).
    if contents.ts_i.is_none() && contents.ts_r.is_none() {
        return rekey_ike::consider(est, contents).map(Agreed::Ike);
    }
    // R20.
    if est.rekeys_ike() {
        return Err(Mismatch::quiet(Refusal::Temporary));
    }
    let old = match contents.notify(NotifyType::REKEY_SA) {
        Some(rekey) => Some(rekey_child::consider(est, rekey)?),
        None => None,
    };
    // What takes the place of another is no more than before, once.
    let limit = cx.policy().limits.children;
    let room = if old.is_some_and(|old| old.state == child::ChildState::Up) { 2 * limit } else { limit };
    if est.children.len() >= room {
        return Err(Mismatch::quiet(Refusal::NoAdditionalSas));
    }
    let rule = KeRule::Prefer(contents.ke.as_ref().map(|ke| ke.group));
    let agreed = child::answer(core, est, contents, rule, old)?;
    resources::admit(cx, est, contents, agreed).map(Agreed::Child)
}
/// The key exchange, if there is one, and the answer.
fn accept(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    contents: &Contents,
    mut agreed: Agreed,
) -> Result<(), Mismatch> {
    let Some(ni) = &contents.nonce else { return Err(Mismatch::malformed()) };
    let group = match &agreed {
        Agreed::Child(agreed) => agreed.suite.group,
        Agreed::Ike(agreed) => Some(agreed.suite.group),
    };
    let public = match (group, &contents.ke) {
        (None, _) => None,
        (Some(group), Some(ke)) if ke.group == group.id() => {
            group.check(&ke.data).map_err(|_| Mismatch::malformed())?;
            Some((group, ke.data.clone()))
        }
        (Some(group), _) => return Err(Mismatch::quiet(Refusal::WrongGroup(group))),
    };
    match &mut agreed {
        Agreed::Child(agreed) => {
            let name = &agreed.policy.name;
            let spi = cx.host.allocate_spi(&est.connection.name, name, est.peer, agreed.resource);
            agreed.spi_in = spi.ok_or_else(|| Mismatch::limit(&agreed.policy))?;
        }
        Agreed::Ike(agreed) => agreed.reserve(cx),
    }
    let pending = Pending::new(agreed, ni, &cx.nonce());
    let Some((group, public)) = public else {
        finish(cx, core, est, to, pending, None);
        return Ok(());
    };
    let private = cx.private(group);
    let ours = Ke { group: group.id(), data: group.public(&private) };
    let Some(job) = cx.compute(core.id, Work::Agree { group, private, public }) else {
        pending.agreed.release(cx);
        return Err(Mismatch::quiet(Refusal::Temporary));
    };
    est.answering = Some(Box::new(Answering { job, to: *to, pending, public: Some(ours) }));
    Ok(())
}
/// Installs, unless there is more to come, then answers: a responder can receive before its answer leaves (R3).
fn finish(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, to: &Answer, pending: Pending, public: Option<Ke>) {
    let mut payloads = match &pending.agreed {
        _ if to.exchange == ExchangeType::IKE_FOLLOWUP_KE => public.map(Payload::Ke).into_iter().collect(),
        Agreed::Child(agreed) => with_nonce(agreed.payloads(), &pending.nr, public),
        Agreed::Ike(agreed) => with_nonce(agreed.payloads(), &pending.nr, public),
    };
    // Both ends have the same, so what was put off was not for that (R22).
    est.put_off = None;
    match &pending.agreed {
        _ if pending.next_method().is_some() => payloads.push(followup_ke::keep(cx, est, pending)),
        Agreed::Child(_) => rekey_child::answered(cx, core, est, pending),
        Agreed::Ike(_) => rekey_ike::answered(cx, core, est, pending),
    }
    est.respond(cx, core, to, &payloads);
}

/// A secret of one of the two directions is there.
pub(in crate::ike) fn computed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    job: u64,
    done: Done,
) -> Step<()> {
    if let Some(answering) = est.answering.take_if(|a| a.job == job) {
        return answered(cx, core, est, *answering, done);
    }
    let Some(sa::Asked::Create(asked)) = &mut est.asked else { return Ok(()) };
    if asked.following.as_ref().is_some_and(|f| f.waits_for(job)) {
        if let Some(sa::Asked::Create(asked)) = est.asked.take() {
            followup_ke::concluded(cx, core, est, asked, done);
        }
        return Ok(());
    }
    let Some((_, mut pending)) = asked.pending.take_if(|(wanted, _)| *wanted == job) else { return Ok(()) };
    let Some(sa::Asked::Create(asked)) = est.asked.take() else { return Ok(()) };
    match done {
        Done::Agreed(Ok(secret)) => {
            pending.secrets.push(secret);
            followup_ke::proceed(cx, core, est, asked, pending);
        }
        Done::Agreed(Err(_)) => {
            asked.abandon(cx);
            bad_public(cx, core, est);
        }
        Done::Refused | Done::Answered(_) | Done::Signed(_) | Done::Verified(_) | Done::Which(_) => {
            let failure = Failure::new(cx.now, Where::CreateChild, true, "limit.compute_queue");
            disown(cx, core, est, *asked, failure);
        }
    }
    Ok(())
}
/// Of a request of the peer.
fn answered(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, answering: Answering, done: Done) -> Step<()> {
    let Answering { to, mut pending, public, .. } = answering;
    let made = match done {
        // We have begun to take it down meanwhile (R10, R17).
        _ if est.closing.is_some() || est.takes_down(&pending) => Err(Mismatch::quiet(Refusal::Temporary)),
        Done::Agreed(Ok(secret)) => Ok((public, secret)),
        Done::Answered(Ok((data, secret))) => Ok((pending.next_method().map(|m| Ke { group: m.id(), data }), secret)),
        Done::Agreed(Err(_)) | Done::Answered(Err(_)) => Err(Mismatch::malformed()),
        _ => Err(Mismatch::quiet(Refusal::Temporary)),
    };
    match made {
        Ok((public, secret)) => {
            pending.secrets.push(secret);
            finish(cx, core, est, &to, pending, public);
            Ok(())
        }
        Err(mismatch) => {
            pending.agreed.release(cx);
            refuse(cx, core, est, &to, mismatch)
        }
    }
}
impl Established {
    /// The child that is to be replaced is going, or gone, and not because of a rekey of ours; or that one is that it was to stand beside.
    fn takes_down(&self, pending: &Pending) -> bool {
        if let Agreed::Child(child::Agreed { policy, resource: Some(_), .. }) = &pending.agreed
            && self.fallback(&policy.name).is_none()
        {
            return true;
        }
        let Agreed::Child(child::Agreed { replaces: Some(old), .. }) = &pending.agreed else { return false };
        let going = self.child(*old).is_none_or(Child::is_leaving);
        going && !self.children.iter().any(|new| new.replaces == Some(*old) && !new.is_leaving())
    }
    /// While the peer rekeys the IKE SA nothing begins that concerns children, and while it makes a child we do not rekey the IKE SA: we
    /// would be put off (R15, R20). Nor before it has deleted what it has rekeyed: it may still wait for our answer, which it would never
    /// get on an IKE SA that is gone, and then it does not have the new child.
    pub(in crate::ike) fn may(&self, task: &Task) -> bool {
        let answering = self.answering.as_ref().map(|answering| &answering.pending);
        let half_done = || self.half_done.iter().map(followup_ke::HalfDone::pending);
        let no_ike = || answering.into_iter().chain(half_done()).all(|pending| !pending.is_ike());
        let free = match task {
            Task::Liveness | Task::DeleteIke => true,
            Task::RekeyIke => {
                answering.is_none_or(Pending::is_ike) && self.half_done.is_empty() && !self.awaits_delete()
            }
            // The peer is about to have it.
            Task::CreateChild(name) => no_ike() && answering.is_none_or(|pending| !pending.creates(name)),
            // Between the key exchanges of the peer's rekey of it there is no place for ours.
            Task::RekeyChild(id) => no_ike() && half_done().all(|pending| !pending.replaces(*id)),
            _ => no_ike(),
        };
        free && (self.standing == Standing::Current || *task == Task::DeleteIke)
    }
    /// The peer has to delete a child that it has rekeyed. (If it does not, we do in the end.)
    pub(in crate::ike) fn awaits_delete(&self) -> bool {
        self.children.iter().any(|c| matches!(c.state, child::ChildState::Replaced { .. }))
    }
}
/// A responder whose public value is none: the IKE SA is deleted (RFC 6989 section 2.5).
fn bad_public(cx: &mut Cx<'_>, core: &Core, est: &mut Established) {
    let failure = Failure::new(cx.now, Where::CreateChild, true, "answer.not_offered");
    cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
    est.close(cx.now, Ended::Failed, sa::CLOSING_TIME);
}
