//! IKE_INTERMEDIATE (RFC 9242): additional key exchanges before anybody is authenticated (RFC 9370 section 2.2.2). They follow each other,
//! each under the keys that the one before has made, and AUTH covers all of them.
use super::half_open::HalfOpen;
use super::ike_sa_init::{Agreeing, gave_up};
use super::{Arrival, Contents, ike_auth};
use crate::crypto::ke::Method;
use crate::crypto::secret::Secret;
use crate::crypto::work::{Done, Work};
use crate::frozen::frozen;
use crate::ike::channel::{Channel, Inner, OpenError};
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::error::Refusal;
use crate::ike::event::Ended;
use crate::ike::keys::{Contributions, HandshakeKeys};
use crate::ike::sa::{Answer, Core, Phase};
use crate::ike::window::Incoming;
use crate::wire::message::{Header, ParseError};
use crate::wire::payload::{Ke, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::sync::Arc;

/// Initiator: an additional key exchange is under way.
pub(in crate::ike) struct Mixing {
    agreeing: Box<Agreeing>,
    keys: HandshakeKeys,
    /// How many are done.
    done: usize,
    method: Method,
    private: Secret,
    /// What AUTH will cover of the request.
    request: Vec<u8>,
    /// The response is there, and its secret is being computed.
    response: Option<Response>,
}
struct Response {
    job: u64,
    /// What AUTH will cover of it.
    covered: Vec<u8>,
}

/// The next exchange of an IKE SA with these keys, `done` additional ones behind it.
pub(in crate::ike) fn next(
    cx: &mut Cx<'_>,
    core: &mut Core,
    agreeing: Box<Agreeing>,
    mut keys: HandshakeKeys,
    done: usize,
) -> Step<Phase> {
    let Some(method) = agreeing.suite.additional.get(done) else {
        return ike_auth::request(cx, core, agreeing, keys);
    };
    let private = method.private(true, &mut cx.rng());
    let payloads = [Payload::Ke(Ke { group: method.id(), data: method.public(&private) })];
    let header = core.header(ExchangeType::IKE_INTERMEDIATE, core.window.next_id(), false);
    let request = Inner::new(header, &payloads).covered();
    core.ask(cx, &mut keys.channel, ExchangeType::IKE_INTERMEDIATE, &payloads);
    Ok(Phase::Mixing(Box::new(Mixing { agreeing, keys, done, method, private, request, response: None })))
}
impl Mixing {
    /// What protects the exchange.
    pub(in crate::ike) fn channel(&mut self) -> &mut Channel {
        &mut self.keys.channel
    }
    /// The child that will go with IKE_AUTH.
    pub(in crate::ike) fn child(&self) -> Arc<str> {
        self.agreeing.opening.child.clone()
    }
    /// Nobody has answered.
    pub(in crate::ike) fn gave_up(self, cx: &mut Cx<'_>, core: &Core) -> Ended {
        gave_up(cx, core, &self.agreeing.opening.connection, None, Where::IkeAuth)
    }
    fn fail(&self, cx: &mut Cx<'_>, core: &Core, failure: Failure) -> Ended {
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&self.agreeing.opening.connection));
        Ended::Failed
    }
    /// The responder's public value.
    fn public(&self, cx: &Cx<'_>, inside: Result<Contents, ParseError>) -> Result<Vec<u8>, Box<Failure>> {
        let failure = |code| Box::new(Failure::new(cx.now, Where::IkeAuth, true, code));
        let contents = inside.map_err(|_| failure("answer.malformed"))?;
        if let Some(notify) = contents.error() {
            let candidates: &[_] =
                if notify.kind == NotifyType::INVALID_SYNTAX { &["proposal.ke"] } else { &["peer.unknown"] };
            return Err(Box::new(failure("peer.refused").likely(notify.kind, candidates)));
        }
        match contents.ke {
            Some(ke) if ke.group == self.method.id() && self.method.check(false, &ke.data).is_ok() => Ok(ke.data),
            _ => Err(failure("answer.not_offered")),
        }
    }
}

/// Handles the response. What is not sealed by the peer is as if it had never come.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut mixing: Box<Mixing>,
    from: &Arrival<'_>,
) -> Step<Phase> {
    if mixing.response.is_some() {
        return Ok(Phase::Mixing(mixing));
    }
    let (inside, covered) = match open(cx, core, &mut mixing.keys.channel, from) {
        Some(opened) => opened,
        None => return Ok(Phase::Mixing(mixing)),
    };
    let public = mixing.public(cx, inside).map_err(|failure| mixing.fail(cx, core, *failure))?;
    let work = Work::Conclude { method: mixing.method, private: mixing.private.clone(), public };
    // Without room for the computation, the response counts as lost: we will ask again.
    mixing.response = cx.compute(core.id, work).map(|job| Response { job, covered });
    Ok(Phase::Mixing(mixing))
}
/// The secret is there.
pub(in crate::ike) fn concluded(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut mixing: Box<Mixing>,
    job: u64,
    done: Done,
) -> Step<Phase> {
    let Some(response) = mixing.response.take_if(|r| r.job == job) else { return Ok(Phase::Mixing(mixing)) };
    if matches!(done, Done::Refused) {
        return Ok(Phase::Mixing(mixing));
    }
    let Some(secret) = done.agreed() else {
        let failure = Failure::new(cx.now, Where::IkeAuth, true, "answer.not_offered");
        return Err(mixing.fail(cx, core, failure));
    };
    core.settle(cx.now);
    let Mixing { agreeing, keys, done, request, .. } = *mixing;
    let said = (&request[..], &response.covered[..]);
    let from = Contributions { ni: agreeing.ours().0, nr: &agreeing.nr, spi_i: core.spi_i, spi_r: core.spi_r };
    let (keys, _) = keys.mix(&agreeing.suite, &secret, &from, said, true, &mut cx.rng());
    next(cx, core, agreeing, keys, done + 1)
}

/// Responder: our half of an additional key exchange is being computed.
pub(in crate::ike) struct Answering {
    to: Answer,
    method: Method,
    /// What AUTH will cover of the request.
    request: Vec<u8>,
}
frozen! {
    struct Mixing { agreeing, keys, done, method, private, request, response }
    struct Response { job, covered }
    struct Answering { to, method, request }
}

/// Handles a request on a half-open IKE SA whose keys are known. What it can cost is bounded: each exchange that was negotiated is computed
/// once, and the response to the last one is remembered.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    header: &Header,
    from: &Arrival<'_>,
) -> Step<Phase> {
    let incoming = core.window.judge(header.id);
    if let (Incoming::Again, Some(previous)) = (incoming, &mut half.previous) {
        core.answer_again(cx, previous, header.id, from);
    }
    let barred = cx.common.admission.is_barred(cx.now, from.remote.ip(), &cx.policy().limits);
    let (Some(method), Some(keys)) = (half.suite.additional.get(half.done), &mut half.keys) else {
        return Ok(Phase::HalfOpen(half));
    };
    if incoming != Incoming::New || half.answering.is_some() || barred {
        return Ok(Phase::HalfOpen(half));
    }
    let Some((inside, request)) = open(cx, core, &mut keys.channel, from) else { return Ok(Phase::HalfOpen(half)) };
    (core.local, core.remote) = (from.local, from.remote);
    let to = Answer { exchange: header.exchange, id: header.id, local: from.local, remote: from.remote };
    let public = match inside {
        Ok(Contents { ke: Some(ke), .. }) if ke.group == method.id() && method.check(true, &ke.data).is_ok() => ke.data,
        Ok(_) => return Ok(refuse(cx, core, half, Refusal::Syntax)),
        Err(error) => return Ok(refuse(cx, core, half, Refusal::from(&error))),
    };
    let private = method.private(false, &mut cx.rng());
    // Without room for the computation, the request counts as lost.
    if let Some(job) = cx.compute(core.id, Work::Answer { method, private, public }) {
        half.job = Some(job);
        half.answering = Some(Answering { to, method, request });
    }
    Ok(Phase::HalfOpen(half))
}
/// Our public value and the secret are there: answers under the old keys, and goes on with the new ones.
pub(in crate::ike) fn answered(cx: &mut Cx<'_>, core: &mut Core, mut half: Box<HalfOpen>, done: Done) -> Step<Phase> {
    half.job = None;
    let Some(Answering { to, method, request }) = half.answering.take() else { return Ok(Phase::HalfOpen(half)) };
    if matches!(done, Done::Refused) {
        return Ok(Phase::HalfOpen(half));
    }
    let Some((public, secret)) = done.answered() else { return Ok(refuse(cx, core, half, Refusal::Syntax)) };
    let Some(mut keys) = half.keys.take() else { return Err(Ended::Failed) };
    let payloads = [Payload::Ke(Ke { group: method.id(), data: public })];
    let response = Inner::new(core.header(to.exchange, to.id, true), &payloads).covered();
    core.answer(cx, &mut keys.channel, &to, &payloads);
    let from = Contributions { ni: half.ni(), nr: &half.nr, spi_i: core.spi_i, spi_r: core.spi_r };
    let (keys, previous) = keys.mix(&half.suite, &secret, &from, (&request, &response), false, &mut cx.rng());
    (half.keys, half.previous) = (Some(keys), Some(previous));
    half.done += 1;
    Ok(Phase::HalfOpen(half))
}
/// The end of this attempt; whoever asks again is told so again.
fn refuse(cx: &mut Cx<'_>, core: &mut Core, mut half: Box<HalfOpen>, refusal: Refusal) -> Phase {
    if let Some(keys) = &mut half.keys {
        let header = core.header(ExchangeType::IKE_INTERMEDIATE, core.window.expected_id(), true);
        let refused = keys.channel.seal(header, &[Payload::Notify(refusal.notify())], core.size.room(core.remote));
        cx.transmit_all(core.local, core.remote, &refused);
        half.refused = Some(refused);
    }
    cx.common.admission.auth_failed(cx.now, core.remote.ip());
    if cx.may_report() {
        let failure = Failure::new(cx.now, Where::IkeAuth, false, "message.malformed");
        cx.fail_stranger(Failure { remote: Some(core.remote), ..failure }, None);
    }
    Phase::HalfOpen(half)
}

/// What a message says, and what AUTH covers of it; `None` if it is not from the peer, or not whole yet.
type Said = (Result<Contents, ParseError>, Vec<u8>);
fn open(cx: &Cx<'_>, core: &mut Core, channel: &mut Channel, from: &Arrival<'_>) -> Option<Said> {
    match channel.open(cx, from.data) {
        Err(OpenError::Icv | OpenError::Waiting) => None,
        Err(OpenError::Inside(error)) => Some((Err(error), Vec::new())),
        Ok(opened) => {
            core.size.learn(&opened);
            Some((Contents::inside(&opened.inner), opened.covered()))
        }
    }
}
