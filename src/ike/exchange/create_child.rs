//! CREATE_CHILD_SA (RFC 7296 section 1.3): further children, and the peer's rekeys of children. We do not rekey an IKE SA yet.
use super::Contents;
use crate::crypto::ke::Group;
use crate::crypto::secret::Secret;
use crate::crypto::work::Work;
use crate::ike::child::{self, Agreed, ChildState, Made, Mismatch, Offer};
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::error::Refusal;
use crate::ike::event::{ChildId, Ended};
use crate::ike::negotiate::{KeRule, groups};
use crate::ike::policy::ChildPolicy;
use crate::ike::sa::{self, Answer, Core, Established, Task};
use crate::wire::payload::{Ke, Notify, Payload};
use crate::wire::registry::{ExchangeType, KeId, NotifyType, ProtocolId};
use std::sync::Arc;

/// INVALID_KE_PAYLOAD is followed at most so often (R26b).
const MAX_RETRIES: u8 = 3;

/// What we have asked for.
pub(in crate::ike) struct Asked {
    pub offer: Offer,
    ni: Vec<u8>,
    ke: Option<Own>,
    retries: u8,
    /// The response is fine, and g^ir is being computed.
    agreed: Option<Pending>,
}
/// Our half of a key exchange.
struct Own {
    group: Group,
    private: Secret,
}
struct Pending {
    job: u64,
    agreed: Agreed,
    nr: Vec<u8>,
}

/// Asks for a child; nothing if it is up already or no longer configured.
pub(in crate::ike) fn request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    child: &str,
) -> Option<sa::Asked> {
    let policy = est.connection.children.iter().find(|c| &*c.name == child)?.clone();
    if est.has(child) {
        return None;
    }
    let group = groups(&policy.proposals).first().copied();
    ask(cx, core, est, &policy, group, 0)
}
fn ask(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    policy: &Arc<ChildPolicy>,
    group: Option<Group>,
    retries: u8,
) -> Option<sa::Asked> {
    let connection = est.connection.clone();
    let rule = KeRule::Prefer(group.map(Group::id));
    let Some(offer) = Offer::new(cx, &connection, policy, est.peer, rule) else {
        cx.fail(Failure::new(cx.now, Where::CreateChild, true, "limit.spis"), Some(&connection));
        if let Some(wish) = cx.common.links.get_mut(&connection.name).and_then(|l| l.wish(&policy.name)) {
            wish.retry.failed(cx.now);
        }
        cx.touch(&connection);
        return None;
    };
    let ni = cx.nonce();
    let mut payloads = offer.payloads();
    payloads.insert(1, Payload::Nonce(ni.clone()));
    let ke = group.map(|group| Own { group, private: cx.private(group) });
    if let Some(own) = &ke {
        let ke = Ke { group: own.group.id(), data: own.group.public(&own.private) };
        payloads.insert(2, Payload::Ke(ke));
    }
    est.request(cx, core, ExchangeType::CREATE_CHILD_SA, &payloads);
    Some(sa::Asked::CreateChild(Box::new(Asked { offer, ni, ke, retries, agreed: None })))
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
        refused(cx, core, est, &asked, notify);
        return Ok(());
    }
    if let (Some(own), Some(ke)) = (&asked.ke, &contents.ke)
        && ke.group == own.group.id()
        && own.group.check(&ke.data).is_err()
    {
        cx.host.release_spi(asked.offer.spi_in);
        bad_public(cx, core, est);
        return Ok(());
    }
    let checked = match (&contents.nonce, asked.offer.check(contents)) {
        (None, _) => Err(Failure::new(cx.now, Where::CreateChild, true, "answer.malformed")),
        (_, Err(mismatch)) => Err(mismatch.failure(cx.now, Where::CreateChild, true)),
        (Some(nr), Ok(agreed)) => match check_ke(&asked, &agreed, contents) {
            Ok(public) => Ok((nr.clone(), agreed, public)),
            Err(()) => Err(Failure::new(cx.now, Where::CreateChild, true, "answer.not_offered")),
        },
    };
    match checked {
        Err(failure) => {
            est.plan(Task::DisownChild { spi_in: asked.offer.spi_in });
            est.child_failed_but_keep(cx, core, &asked.offer, failure);
        }
        Ok((nr, agreed, None)) => {
            let made = Made { ni: &asked.ni, nr: &nr, secrets: &[], initiator: true, replaces: None };
            child::install(cx, core, est, agreed, &made);
        }
        Ok((nr, agreed, Some((group, private, public)))) => {
            match cx.compute(core.id, Work::Agree { group, private, public }) {
                Some(job) => {
                    asked.agreed = Some(Pending { job, agreed, nr });
                    est.asked = Some(sa::Asked::CreateChild(asked));
                }
                None => {
                    let failure = Failure::new(cx.now, Where::CreateChild, true, "limit.compute_queue");
                    est.plan(Task::DisownChild { spi_in: asked.offer.spi_in });
                    est.child_failed_but_keep(cx, core, &asked.offer, failure);
                }
            }
        }
    }
    Ok(())
}
/// The responder's public value is of the chosen group, and there is one exactly if a group was chosen.
#[allow(clippy::type_complexity, reason = "group, our private value, the peer's public value")]
fn check_ke(asked: &Asked, agreed: &Agreed, contents: &Contents) -> Result<Option<(Group, Secret, Vec<u8>)>, ()> {
    match (agreed.suite.group, &asked.ke, &contents.ke) {
        (None, _, _) => Ok(None),
        (Some(group), Some(own), Some(ke)) if own.group == group && ke.group == group.id() => {
            Ok(Some((group, own.private.clone(), ke.data.clone())))
        }
        _ => Err(()),
    }
}
fn refused(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, asked: &Asked, notify: &Notify) {
    let policy = asked.offer.policy.clone();
    let again = notify.data.first_chunk().map(|&b| KeId(u16::from_be_bytes(b))).and_then(Group::from_id).filter(|g| {
        notify.kind == NotifyType::INVALID_KE_PAYLOAD
            && asked.retries < MAX_RETRIES
            && groups(&policy.proposals).contains(g)
            && asked.ke.as_ref().is_none_or(|own| own.group != *g)
    });
    match again {
        Some(group) => {
            cx.host.release_spi(asked.offer.spi_in);
            est.asked = ask(cx, core, est, &policy, Some(group), asked.retries + 1);
        }
        None => {
            let failure = asked.offer.refused(cx.now, Where::CreateChild, notify);
            est.child_failed(cx, core, &asked.offer, failure);
        }
    }
}

/// A request of the peer that waits for g^ir.
pub(in crate::ike) struct Answering {
    job: u64,
    to: Answer,
    agreed: Agreed,
    ni: Vec<u8>,
    public: Vec<u8>,
    group: Group,
    replaces: Option<ChildId>,
}
impl Answering {
    /// The SPI that was taken for it.
    pub(in crate::ike) fn spi_in(&self) -> u32 {
        self.agreed.spi_in
    }
}

/// Handles a request.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    contents: &Contents,
) -> Step<()> {
    let considered = consider(cx, est, contents);
    let result = considered.and_then(|(agreed, replaces)| accept(cx, core, est, to, contents, agreed, replaces));
    let Err(mismatch) = result else { return Ok(()) };
    let refusal = mismatch.refusal;
    est.respond(cx, core, to, &[Payload::Notify(refusal.notify())]);
    if !mismatch.code.is_empty() {
        let failure = mismatch.failure(cx.now, Where::CreateChild, false);
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
    }
    // INVALID_SYNTAX is the end at both ends (R30).
    if refusal == Refusal::Syntax { Err(Ended::Failed) } else { Ok(()) }
}
/// May it be, and which child is it?
fn consider(cx: &Cx<'_>, est: &Established, contents: &Contents) -> Result<(Agreed, Option<ChildId>), Mismatch> {
    if est.closing.is_some() {
        return Err(Mismatch::quiet(Refusal::Temporary));
    }
    // An SA payload without selectors asks for a new IKE SA (RFC 7296 section 1.3.2).
    if contents.ts_i.is_none() && contents.ts_r.is_none() {
        return Err(Mismatch::quiet(Refusal::NoAdditionalSas));
    }
    let limit = cx.policy().limits.children;
    let mut replaces = None;
    if let Some(rekey) = contents.notify(NotifyType::REKEY_SA) {
        let spi = rekey.spi.as_slice().try_into().map(u32::from_be_bytes).unwrap_or(0);
        let known = est.children.iter().find(|c| rekey.protocol == ProtocolId::ESP && c.spi_out == spi);
        let old = known.ok_or(Mismatch::quiet(Refusal::NoChild(spi)))?;
        if old.state == ChildState::Closing {
            return Err(Mismatch::quiet(Refusal::Temporary));
        }
        replaces = Some(old);
    }
    if est.children.len() >= limit {
        return Err(Mismatch::quiet(Refusal::NoAdditionalSas));
    }
    let rule = KeRule::Prefer(contents.ke.as_ref().map(|ke| ke.group));
    let agreed = child::answer(&est.connection, contents, rule, replaces.map(|old| &old.policy))?;
    Ok((agreed, replaces.filter(|old| old.state == ChildState::Up).map(|old| old.id)))
}
/// The key exchange, if there is one, and the answer.
fn accept(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    contents: &Contents,
    mut agreed: Agreed,
    replaces: Option<ChildId>,
) -> Result<(), Mismatch> {
    let Some(ni) = &contents.nonce else { return Err(Mismatch::malformed()) };
    let public = match (agreed.suite.group, &contents.ke) {
        (None, _) => None,
        (Some(group), Some(ke)) if ke.group == group.id() => {
            group.check(&ke.data).map_err(|_| Mismatch::malformed())?;
            Some((group, ke.data.clone()))
        }
        (Some(group), _) => return Err(Mismatch::quiet(Refusal::WrongGroup(group))),
    };
    let spi = cx.host.allocate_spi(&est.connection.name, &agreed.policy.name, est.peer);
    agreed.spi_in = spi.ok_or_else(|| Mismatch::limit(&agreed.policy))?;
    let Some((group, public)) = public else {
        finish(cx, core, est, Answered { to, agreed, ni, ke: None, replaces });
        return Ok(());
    };
    let private = cx.private(group);
    let ours = group.public(&private);
    let Some(job) = cx.compute(core.id, Work::Agree { group, private, public }) else {
        cx.host.release_spi(agreed.spi_in);
        return Err(Mismatch::quiet(Refusal::Temporary));
    };
    let ni = ni.clone();
    est.answering = Some(Box::new(Answering { job, to: *to, agreed, ni, public: ours, group, replaces }));
    Ok(())
}
/// Everything for the answer.
struct Answered<'a> {
    to: &'a Answer,
    agreed: Agreed,
    ni: &'a [u8],
    ke: Option<(Ke, Secret)>,
    replaces: Option<ChildId>,
}
/// Installs, then answers: a responder can receive before its answer leaves (R3).
fn finish(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, a: Answered<'_>) {
    let nr = cx.nonce();
    let mut payloads = a.agreed.payloads();
    payloads.insert(1, Payload::Nonce(nr.clone()));
    let mut secrets = Vec::new();
    if let Some((ke, secret)) = a.ke {
        payloads.insert(2, Payload::Ke(ke));
        secrets.push(secret);
    }
    let made = Made { ni: a.ni, nr: &nr, secrets: &secrets, initiator: false, replaces: a.replaces };
    child::install(cx, core, est, a.agreed, &made);
    est.respond(cx, core, a.to, &payloads);
}

/// g^ir of one of the two directions is there.
pub(in crate::ike) fn computed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    job: u64,
    g_ir: Option<Secret>,
) -> Step<()> {
    if let Some(answering) = est.answering.take_if(|a| a.job == job) {
        let Answering { to, agreed, ni, public, group, replaces, .. } = *answering;
        match g_ir {
            Some(secret) => {
                let ke = Some((Ke { group: group.id(), data: public }, secret));
                finish(cx, core, est, Answered { to: &to, agreed, ni: &ni, ke, replaces });
            }
            None => {
                cx.host.release_spi(agreed.spi_in);
                est.respond(cx, core, &to, &[Payload::Notify(Refusal::Syntax.notify())]);
                let failure = Mismatch::malformed().failure(cx.now, Where::CreateChild, false);
                cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
                return Err(Ended::Failed);
            }
        }
        return Ok(());
    }
    let Some(sa::Asked::CreateChild(asked)) = &mut est.asked else { return Ok(()) };
    let Some(pending) = asked.agreed.take_if(|p| p.job == job) else { return Ok(()) };
    let ni = std::mem::take(&mut asked.ni);
    est.asked = None;
    let Some(secret) = g_ir else {
        cx.host.release_spi(pending.agreed.spi_in);
        bad_public(cx, core, est);
        return Ok(());
    };
    let made = Made { ni: &ni, nr: &pending.nr, secrets: &[secret], initiator: true, replaces: None };
    child::install(cx, core, est, pending.agreed, &made);
    Ok(())
}
/// A responder whose public value is none: the IKE SA is deleted (RFC 6989 section 2.5).
fn bad_public(cx: &mut Cx<'_>, core: &Core, est: &mut Established) {
    let failure = Failure::new(cx.now, Where::CreateChild, true, "answer.not_offered");
    cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
    est.close(cx.now, Ended::Failed, sa::CLOSING_TIME);
}
