//! IKE_FOLLOWUP_KE (RFC 9370 section 2.2.4): the additional key exchanges of a child or an IKE SA that CREATE_CHILD_SA has agreed on. It exists
//! when all of them are done; until then what it shall replace stays in use, and nothing that goes wrong here touches that.
use super::Contents;
use super::create_child::{self, Agreed, Answering, Asked, Making, Pending};
use super::{rekey_child, rekey_ike};
use crate::crypto::ke::Method;
use crate::crypto::secret::Secret;
use crate::crypto::work::{Done, Work};
use crate::frozen::frozen;
use crate::ike::child::{ChildState, Mismatch};
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::error::Refusal;
use crate::ike::sa::{self, Answer, Core, Established, Standing};
use crate::wire::payload::{Ke, Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::time::Duration;

/// So long we wait for the next exchange of what is half done: for all that the peer retransmits, and then it begins anew.
const PATIENCE: Duration = Duration::from_secs(120);
/// So much of what the peer begins may be half done.
const MAX_HALF_DONE: usize = 4;

/// Initiator: an additional key exchange is under way.
pub(in crate::ike) struct Following {
    pending: Pending,
    method: Method,
    private: Secret,
    /// The secret is being computed.
    job: Option<u64>,
}

/// Initiator: one more secret is there. Asks for the next exchange, unless that was the last one.
pub(in crate::ike) fn proceed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    mut asked: Box<Asked>,
    pending: Pending,
) {
    let Some(method) = pending.next_method() else {
        return create_child::complete(cx, core, est, *asked, pending);
    };
    if asked.making.loses(cx, est, &pending) || !est.has_place_for(&asked.making) {
        let Asked { making, .. } = *asked;
        return making.stop(cx, core, est);
    }
    // Whatever the peer has begun in the same place has lost.
    est.drop_half_done(cx, |other| other.agreed.is_for_the_same(&pending.agreed));
    let Some(link) = asked.link.take() else {
        let failure = Failure::new(cx.now, Where::CreateChild, true, "answer.malformed");
        return create_child::disown(cx, core, est, *asked, failure);
    };
    let private = method.private(true, &mut cx.rng());
    let ke = Payload::Ke(Ke { group: method.id(), data: method.public(&private) });
    est.request(cx, core, ExchangeType::IKE_FOLLOWUP_KE, &[ke, Payload::Notify(notify(link))]);
    asked.following = Some(Following { pending, method, private, job: None });
    est.asked = Some(sa::Asked::Create(asked));
}
/// What the responder shall recognise the next exchange by. It means something to the responder only.
pub(in crate::ike) fn link(contents: &Contents) -> Option<Vec<u8>> {
    contents.notify(NotifyType::ADDITIONAL_KEY_EXCHANGE).map(|n| n.data.clone())
}
fn notify(link: Vec<u8>) -> Notify {
    Notify::new(NotifyType::ADDITIONAL_KEY_EXCHANGE, link)
}

/// Handles the response.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    mut asked: Box<Asked>,
    contents: &Contents,
) -> Step<()> {
    if let Some(notify) = contents.error().filter(|_| contents.ke.is_none()) {
        create_child::refused(cx, core, est, *asked, notify);
        return Ok(());
    }
    asked.link = link(contents);
    let public = match (&asked.following, &contents.ke) {
        (Some(f), Some(ke)) if ke.group == f.method.id() && f.method.check(false, &ke.data).is_ok() => ke.data.clone(),
        _ => {
            let failure = Failure::new(cx.now, Where::CreateChild, true, "answer.not_offered");
            create_child::disown(cx, core, est, *asked, failure);
            return Ok(());
        }
    };
    if let Some(f) = &mut asked.following {
        let work = Work::Conclude { method: f.method, private: f.private.clone(), public };
        f.job = Some(cx.compute_granted(core.id, work));
    }
    est.asked = Some(sa::Asked::Create(asked));
    Ok(())
}
/// The secret that `asked` waits for is there.
pub(in crate::ike) fn concluded(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    mut asked: Box<Asked>,
    done: Done,
) {
    let code = if matches!(done, Done::Refused) { "limit.compute_queue" } else { "answer.not_offered" };
    let secret = done.agreed();
    match (asked.following.take(), secret) {
        (Some(Following { mut pending, .. }), Some(secret)) => {
            pending.secrets.push(secret);
            proceed(cx, core, est, asked, pending);
        }
        _ => {
            let failure = Failure::new(cx.now, Where::CreateChild, true, code);
            create_child::disown(cx, core, est, *asked, failure);
        }
    }
}
impl Following {
    /// True if this is the computation that it waits for.
    pub(in crate::ike) fn waits_for(&self, job: u64) -> bool {
        self.job == Some(job)
    }
}

/// Responder: agreed on, but more key exchanges follow.
pub(in crate::ike) struct HalfDone {
    link: Vec<u8>,
    pending: Pending,
    /// Then it is forgotten.
    pub until: Duration,
}
frozen! {
    struct Following { pending, method, private, job }
    struct HalfDone { link, pending, until }
}

impl HalfDone {
    /// What it is.
    pub(in crate::ike) fn pending(&self) -> &Pending {
        &self.pending
    }
}
/// Keeps it until the next exchange, and says how that will be recognised.
pub(in crate::ike) fn keep(cx: &mut Cx<'_>, est: &mut Established, pending: Pending) -> Payload {
    let mut link = vec![0; 16];
    cx.host.random(&mut link);
    while est.half_done.len() >= MAX_HALF_DONE {
        est.half_done.remove(0).pending.agreed.release(cx);
    }
    match &pending.agreed {
        Agreed::Child(_) => rekey_child::half_done(est, &pending),
        Agreed::Ike(_) => rekey_ike::half_done(est, &pending),
    }
    est.half_done.push(HalfDone { link: link.clone(), pending, until: cx.now + PATIENCE });
    Payload::Notify(notify(link))
}
/// Handles a request. What we do not know, or no longer, is no reason to end anything.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    contents: &Contents,
) -> Step<()> {
    let link = link(contents);
    let Some(i) = est.half_done.iter().position(|h| Some(&h.link) == link.as_ref()) else {
        est.respond(cx, core, to, &[Payload::Notify(Refusal::NoState.notify())]);
        return Ok(());
    };
    let HalfDone { pending, .. } = est.half_done.remove(i);
    let result = match (pending.next_method(), &contents.ke) {
        _ if !est.has_place_in(&pending.agreed) => Err(Mismatch::quiet(Refusal::Temporary)),
        (Some(method), Some(ke)) if ke.group == method.id() && method.check(true, &ke.data).is_ok() => {
            let private = method.private(false, &mut cx.rng());
            let work = Work::Answer { method, private, public: ke.data.clone() };
            cx.compute(core.id, work).ok_or_else(|| Mismatch::quiet(Refusal::Temporary))
        }
        _ => Err(Mismatch::malformed()),
    };
    match result {
        Ok(job) => {
            est.answering = Some(Box::new(Answering { job, to: *to, pending, public: None }));
            Ok(())
        }
        Err(mismatch) => {
            pending.agreed.release(cx);
            create_child::refuse(cx, core, est, to, mismatch)
        }
    }
}

impl Making {
    /// The peer has begun the same, and we have lost: the lowest of the four nonces is ours (RFC 7296 section 2.8.1).
    fn loses(&self, cx: &Cx<'_>, est: &Established, pending: &Pending) -> bool {
        match self {
            Self::Child { rival, .. } => rekey_child::loses(est, rival.as_ref(), pending),
            Self::Ike(offer) => offer.loses(cx, pending),
        }
    }
    /// Begun, but not to be finished: nothing has come of it at either end, so there is nothing to delete.
    fn stop(self, cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) {
        match self {
            Self::Child { offer, .. } => {
                cx.host.release_spi(offer.spi_in);
                match offer.replaces {
                    Some(old) => est.retry_child(cx, old),
                    None => cx.touch(&est.connection),
                }
            }
            Self::Ike(offer) => offer.stop(cx, core, est),
        }
    }
}
impl Established {
    /// What is being made still has its place: nothing is being taken down, and what it shall replace is there.
    fn has_place_for(&self, making: &Making) -> bool {
        match making {
            Making::Child { offer, .. } => self.has_place(offer.replaces),
            Making::Ike(_) => self.has_place(None),
        }
    }
    fn has_place_in(&self, agreed: &Agreed) -> bool {
        match agreed {
            Agreed::Child(agreed) => self.has_place(agreed.replaces),
            Agreed::Ike(_) => self.has_place(None),
        }
    }
    fn has_place(&self, old: Option<crate::ike::event::ChildId>) -> bool {
        let in_use = |old| {
            let state = self.child(old).map(|c| c.state);
            matches!(state, Some(ChildState::Up | ChildState::Replaced { .. }))
        };
        self.closing.is_none() && self.standing == Standing::Current && old.is_none_or(in_use)
    }
    /// Forgets what is half done of the peer's exchanges, where `which` says so.
    pub(in crate::ike) fn drop_half_done(&mut self, cx: &mut Cx<'_>, which: impl Fn(&Pending) -> bool) {
        self.half_done.retain(|half| {
            let gone = which(&half.pending);
            if gone {
                half.pending.agreed.release(cx);
            }
            !gone
        });
    }
    /// The peer has not gone on with it.
    pub(in crate::ike) fn forget_half_done(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        while let Some(i) = self.half_done.iter().position(|h| h.until <= now) {
            self.half_done.remove(i).pending.agreed.release(cx);
        }
    }
}
