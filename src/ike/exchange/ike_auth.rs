//! IKE_AUTH (RFC 7296 section 1.2): who is there, and the first child. Here the initiator, and what both do; the responder has its own file.
mod case;
mod establish;
pub(in crate::ike) mod forms;
mod frozen;
pub(in crate::ike) mod responder;
mod unnamed;

use self::establish::establish;
use super::ike_sa_init::{Agreeing, gave_up};
use super::{Arrival, Contents, mobike, reauth};
use crate::crypto::cert::{Crl, Fault};
use crate::crypto::work::Done;
use crate::ike::auth::{self, Signed};
use crate::ike::channel::{Channel, OpenError};
use crate::ike::child::{self, Made, Offer};
use crate::ike::claim::{self, Claim, Own, Progress, Proven};
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::directory::{fits, id_of};
use crate::ike::error::Refusal;
use crate::ike::event::{Ended, Event};
use crate::ike::keys::{HandshakeKeys, PpkKeys};
use crate::ike::negotiate::KeRule;
use crate::ike::policy::{AuthKind, Childless, Connection, IdMatch};
use crate::ike::ppk;
use crate::ike::sa::{Core, Established, IkeSa, Phase, Task};
use crate::ike::siblings;
use crate::ike::virtuals::{self, Virtuals};
use crate::ike::window;
use crate::wire::payload::{Auth, Id, IdPayload, Notify, Payload, Proposal};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::sync::Arc;
use std::time::Duration;

/// What our proof is checked against, as revocation lists or a server, may take the peer so long: only then it is silent.
const THEIR_PATIENCE: Duration = Duration::from_millis(3500);

/// Initiator: from our proof to the responder's.
pub(in crate::ike) struct Proving {
    pub connection: Arc<Connection>,
    pub keys: HandshakeKeys,
    proposal: Proposal,
    ni: Vec<u8>,
    nr: Vec<u8>,
    /// The responder's IKE_SA_INIT message.
    response: Vec<u8>,
    /// Hash functions that the responder has announced, as we have.
    hashes: Option<Vec<u16>>,
    local_id: Id,
    /// The child that goes with it; none if the IKE SA comes up without (RFC 6023).
    pub offer: Option<Offer>,
    /// The keys with our post-quantum pre-shared key in them, until we hear whether they are the ones.
    ppk: Option<PpkKeys>,
    /// AUTH without it.
    without_ppk: Option<Vec<u8>>,
    stage: Stage,
    /// When we have asked.
    asked: Duration,
    /// We have said that we hold nothing else with the peer (INITIAL_CONTACT).
    first_contact: bool,
}
enum Stage {
    /// Our signature is being made, and another one follows.
    Signing { job: u64, own: Own, then: Option<Vec<u8>> },
    /// The request is on its way.
    Asked,
    /// The response is there, the responder's signature is being verified.
    Verifying { claim: Box<Claim>, contents: Box<Contents>, remote_id: Id },
}
/// What proves who we are.
enum Ours {
    /// With and without a post-quantum pre-shared key.
    Secret(Auth, Option<Auth>),
    /// A signature over these octets, and over what they would be without a post-quantum pre-shared key.
    Signature(Own, Vec<u8>, Option<Vec<u8>>),
}

/// Proves who we are, once all keys are there.
pub(in crate::ike) fn request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    agreeing: Box<Agreeing>,
    keys: HandshakeKeys,
) -> Step<Phase> {
    let connection = agreeing.opening.connection.clone();
    let (ni, message) = agreeing.ours();
    // Now, as what is refused is what one wants to read.
    keys.channel.log_keys(cx, core, &connection.name);
    let local_id = connection.local_id.clone().unwrap_or_else(|| id_of(core.local.ip()));
    let id_i = IdPayload::from(local_id.clone());
    let plain = Signed {
        prf: keys.prf(),
        message,
        nonce: &agreeing.nr,
        sk_p: keys.sk_p(true),
        id: &id_i,
        int_auth: &keys.int_auth(),
    };
    let ppk = ppk::secret(cx, &connection).filter(|_| agreeing.ppk).map(|secret| keys.with_ppk(&secret));
    if ppk.is_none() && ppk::is_required(&connection) {
        return Err(failed(cx, core, &connection, Fault::new("auth.ppk", "secret", "none", "")));
    }
    let signed = Signed { sk_p: ppk.as_ref().map_or(plain.sk_p, |ppk| ppk.sk_p(true)), ..plain };
    let plain = Some(&plain).filter(|_| ppk.is_some() && !ppk::is_required(&connection));
    let ours = match our_proof(cx, &connection, core, agreeing.hashes.as_deref(), (&local_id, &signed, plain)) {
        Ok(ours) => ours,
        Err(fault) => return Err(failed(cx, core, &connection, fault)),
    };
    let childless = match (connection.childless, agreeing.childless) {
        (Childless::Force, false) => {
            let fault = Fault::new("childless.unsupported", "childless", "force", "");
            return Err(failed(cx, core, &connection, fault));
        }
        (Childless::Prefer | Childless::Force, true) => true,
        _ => false,
    };
    let policy = connection.children.iter().find(|c| c.name == agreeing.opening.child).filter(|_| !childless);
    let offer = policy.and_then(|policy| Offer::new(cx, &connection, policy, 0, (core, KeRule::Ignore)));
    if offer.is_none() && !childless {
        cx.fail(Failure::new(cx.now, Where::IkeAuth, true, "limit.spis"), Some(&connection));
        return Err(Ended::Failed);
    }
    let ni = ni.to_vec();
    let Agreeing { proposal, nr, response, hashes, .. } = *agreeing;
    let mut proving = Box::new(Proving {
        connection,
        keys,
        proposal,
        ni,
        nr,
        response,
        hashes,
        local_id,
        offer,
        ppk,
        without_ppk: None,
        stage: Stage::Asked,
        asked: cx.now,
        first_contact: false,
    });
    match ours {
        Ours::Secret(auth, plain) => {
            proving.without_ppk = plain.map(|auth| auth.data);
            proving.ask(cx, core, Vec::new(), auth);
            Ok(Phase::Proving(proving))
        }
        Ours::Signature(own, message, None) => proving.sign(cx, core, own, message, None),
        Ours::Signature(own, message, Some(plain)) => proving.sign(cx, core, own, plain, Some(message)),
    }
}
/// The peer may have so many requests in flight, once IKE_AUTH is done (RFC 7296 section 2.3).
fn window_size() -> Payload {
    Payload::Notify(Notify::new(NotifyType::SET_WINDOW_SIZE, window::SIZE.to_be_bytes()))
}
fn our_proof(
    cx: &Cx<'_>,
    connection: &Connection,
    core: &Core,
    hashes: Option<&[u16]>,
    (local_id, signed, plain): (&Id, &Signed<'_>, Option<&Signed<'_>>),
) -> Result<Ours, Fault> {
    match connection.local_auth {
        AuthKind::PublicKey => {
            Ok(Ours::Signature(Own::of(cx, connection, hashes)?, signed.octets(), plain.map(Signed::octets)))
        }
        AuthKind::Psk => {
            let secret = cx.common.directory.secret(local_id, &secret_of(connection, core));
            let missing = || Fault::new("auth.psk", "secret", "none", "");
            let both = |secret| Ours::Secret(auth::sign(signed, secret), plain.map(|plain| auth::sign(plain, secret)));
            secret.map(both).ok_or_else(missing)
        }
    }
}
/// The end of an attempt that fails by itself.
fn failed(cx: &mut Cx<'_>, core: &Core, connection: &Connection, fault: Fault) -> Ended {
    let failure = Failure::of_fault(cx.now, true, fault);
    cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(connection));
    Ended::Failed
}
/// Whose secret an initiator uses, for both directions: it has to choose before the peer tells its identity.
fn secret_of(connection: &Connection, core: &Core) -> Id {
    match &connection.remote_id {
        IdMatch::Exact(id) => id.clone(),
        IdMatch::Any => id_of(core.remote.ip()),
    }
}
impl Proving {
    /// What protects IKE_AUTH.
    pub(in crate::ike) fn channel(&mut self) -> &mut Channel {
        &mut self.keys.channel
    }
    /// The child that goes with it, or the first that will follow.
    pub(in crate::ike) fn child(&self) -> Option<Arc<str>> {
        let first = || self.connection.children.first().map(|child| child.name.clone());
        self.offer.as_ref().map(|offer| offer.policy.name.clone()).or_else(first)
    }
    /// The peer may be asking others about us, and has answered nothing for longer than that takes.
    pub(in crate::ike) fn is_silent(&self, now: Duration, core: &Core) -> bool {
        core.window.is_silent() && now.saturating_sub(self.asked) >= THEIR_PATIENCE
    }
    /// Nobody has answered. What was noted during IKE_SA_INIT is refuted: that was answered properly in the end.
    pub(in crate::ike) fn gave_up(self, cx: &mut Cx<'_>, core: &Core) -> Ended {
        if let Some(offer) = &self.offer {
            cx.host.release_spi(offer.spi_in);
        }
        gave_up(cx, core, &self.connection, None, Where::IkeAuth)
    }
    /// Has a signature made, and another one after it.
    fn sign(
        mut self: Box<Self>,
        cx: &mut Cx<'_>,
        core: &Core,
        own: Own,
        message: Vec<u8>,
        then: Option<Vec<u8>>,
    ) -> Step<Phase> {
        match own.sign(cx, core.id, message) {
            Some(job) => self.stage = Stage::Signing { job, own, then },
            None => return Err(self.overloaded(cx, core)),
        }
        Ok(Phase::Proving(self))
    }
    /// Sends the request.
    fn ask(&mut self, cx: &mut Cx<'_>, core: &mut Core, certs: Vec<Payload>, auth: Auth) {
        let mut payloads = vec![Payload::IdI(self.local_id.clone().into())];
        payloads.extend(certs);
        payloads.extend(claim::request(cx, std::iter::once(&*self.connection)));
        let unnamed = cx.common.exams.is_unnamed(core.id);
        if let (IdMatch::Exact(id), false) = (&self.connection.remote_id, unnamed) {
            payloads.push(Payload::IdR(id.clone().into()));
        }
        payloads.push(Payload::Auth(auth));
        if self.ppk.is_some() {
            payloads.extend(ppk::identity(&self.connection));
            payloads.extend(self.without_ppk.take().map(ppk::without));
        }
        self.asked = cx.now;
        self.first_contact = !unnamed && reauth::is_first_contact(cx, core, &self.connection, &self.local_id);
        if self.first_contact {
            payloads.push(Payload::Notify(Notify::new(NotifyType::INITIAL_CONTACT, Vec::new())));
        }
        payloads.extend(virtuals::request(&self.connection));
        payloads.extend(self.offer.iter().flat_map(Offer::payloads));
        payloads.push(window_size());
        payloads.extend(mobike::announce(cx, core, &self.connection));
        core.ask(cx, &mut self.keys.channel, ExchangeType::IKE_AUTH, &payloads);
    }
    /// Gives back what was taken for the child.
    pub(in crate::ike) fn release(self: Box<Self>, cx: &mut Cx<'_>) {
        if let Some(offer) = &self.offer {
            cx.host.release_spi(offer.spi_in);
        }
    }
    /// Too much is being computed, or the key does not sign.
    fn overloaded(self: Box<Self>, cx: &mut Cx<'_>, core: &Core) -> Ended {
        if let Some(offer) = &self.offer {
            cx.host.release_spi(offer.spi_in);
        }
        failed(cx, core, &self.connection, Fault::of("limit.compute_queue"))
    }
}

/// Handles a message of an IKE SA that waits for the response. What is not sealed by the peer is as if it had never come.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut proving: Box<Proving>,
    from: &Arrival<'_>,
) -> Step<Phase> {
    let inside = match proving.keys.channel.open(cx, from.data) {
        Err(OpenError::Icv | OpenError::Waiting) => return Ok(Phase::Proving(proving)),
        Err(OpenError::Inside(error)) => Err(error),
        Ok(opened) => Contents::inside(&opened.inner),
    };
    let judged = match &inside {
        Ok(contents) => judge(cx, core, &proving, contents),
        Err(_) => Err(Box::new(Failure::new(cx.now, Where::IkeAuth, true, "answer.malformed"))),
    };
    if matches!(judged, Ok((Progress::Dropped, _))) {
        return Ok(Phase::Proving(proving));
    }
    core.settle(cx.now);
    match (inside, judged) {
        (Ok(contents), Ok((progress, id))) => proceed(cx, core, proving, progress, (Box::new(contents), id)),
        (inside, Err(failure)) => {
            let believes = inside.is_ok_and(|c| c.auth.is_some());
            Err(reject(cx, core, proving, believes, *failure))
        }
        (Err(_), Ok(_)) => Err(Ended::Failed),
    }
}
/// A job is done that the proof on either side waited for.
pub(in crate::ike) fn computed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut proving: Box<Proving>,
    job: u64,
    done: Done,
) -> Step<Phase> {
    match std::mem::replace(&mut proving.stage, Stage::Asked) {
        Stage::Signing { job: waited, own, then } if waited == job => {
            let Done::Signed(Some(signature)) = done else { return Err(proving.overloaded(cx, core)) };
            let auth = auth::signed(own.scheme, signature);
            if let Some(message) = then {
                proving.without_ppk = Some(auth.data);
                return proving.sign(cx, core, own, message, None);
            }
            proving.ask(cx, core, own.certs, auth);
            Ok(Phase::Proving(proving))
        }
        Stage::Verifying { claim, contents, remote_id } if claim.job == job => {
            let progress = claim.computed(cx, done);
            proceed(cx, core, proving, progress, (contents, remote_id))
        }
        stage => {
            proving.stage = stage;
            Ok(Phase::Proving(proving))
        }
    }
}
/// Revocation lists have come, or none, to whoever waits for them.
pub(in crate::ike) fn on_fetched(cx: &mut Cx<'_>, sa: &mut IkeSa, job: u64, crls: Vec<Arc<Crl>>) -> Step<()> {
    let core = &mut sa.core;
    sa.phase = match std::mem::replace(&mut sa.phase, Phase::Moving) {
        Phase::Proving(proving) => fetched(cx, core, proving, job, crls)?,
        Phase::HalfOpen(half) if half.pending.is_some() => responder::fetched(cx, core, half, job, crls)?,
        phase => phase,
    };
    Ok(())
}
fn fetched(cx: &mut Cx<'_>, core: &mut Core, mut proving: Box<Proving>, job: u64, crls: Vec<Arc<Crl>>) -> Step<Phase> {
    match std::mem::replace(&mut proving.stage, Stage::Asked) {
        Stage::Verifying { claim, contents, remote_id } if claim.job == job => {
            let progress = claim.fetched(cx, crls);
            proceed(cx, core, proving, progress, (contents, remote_id))
        }
        stage => {
            proving.stage = stage;
            Ok(Phase::Proving(proving))
        }
    }
}
/// The responder's claim has come this far.
fn proceed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut proving: Box<Proving>,
    progress: Progress,
    (contents, remote_id): (Box<Contents>, Id),
) -> Step<Phase> {
    let mut proven = match progress {
        Progress::Waits(claim) => {
            proving.stage = Stage::Verifying { claim, contents, remote_id };
            return Ok(Phase::Proving(proving));
        }
        Progress::Refused(fault) => {
            let failure = Failure::of_fault(cx.now, true, fault);
            return Err(reject(cx, core, proving, true, failure));
        }
        Progress::Dropped => return Err(proving.overloaded(cx, core)),
        Progress::Proven(proven) => proven,
    };
    if contents.notify(NotifyType::UNEXPECTED_NAT_DETECTED).is_some() {
        // Somebody on the way has touched our addresses (RFC 4555 section 3.9): from the beginning.
        let failure = Failure::new(cx.now, Where::IkeAuth, true, "mobike.nat");
        let failure = failure.likely(NotifyType::UNEXPECTED_NAT_DETECTED, &[]);
        return Err(reject(cx, core, proving, true, failure));
    }
    if cx.common.exams.is_unnamed(core.id) {
        return Err(unnamed::leave(cx, core, proving, remote_id));
    }
    proven.warn(cx, &proving.connection);
    let Proving { connection, mut keys, proposal, ni, nr, local_id, offer, ppk, first_contact, .. } = *proving;
    let ppk = ppk.filter(|_| contents.notify(NotifyType::PPK_IDENTITY).is_some());
    let (with_ppk, required) = (ppk.is_some(), ppk::is_required(&connection));
    if let Some(ppk) = ppk {
        keys.take_ppk(ppk);
    }
    let ids = (local_id, remote_id);
    let mut est = establish(cx, core, &proven.proof, keys, connection, ids, proposal);
    siblings::one_of_ours(cx, core, &est, first_contact);
    est.ppk = with_ppk;
    if required {
        // What protects this IKE SA itself did not have it yet (R41).
        est.plan(Task::RekeyIke);
    }
    let _ = mobike::agree(core, &est.connection, &contents);
    reauth::hear(cx, &mut est, &contents);
    est.virtuals.ours = virtuals::given(&est.connection, &contents, &virtuals::outer(cx, core));
    est.tell_addresses(cx, core);
    if let Some(offer) = offer {
        first_child(cx, core, &mut est, offer, &contents, (&ni, &nr));
    }
    est.pump(cx, core);
    Ok(Phase::Established(Box::new(est)))
}
/// An initiator that rejects the responder says so, if that one believes that all is well (RFC 7296 section 2.21.2).
fn reject(cx: &mut Cx<'_>, core: &mut Core, mut proving: Box<Proving>, believes: bool, failure: Failure) -> Ended {
    if believes {
        let refusal = [Payload::Notify(Refusal::Authentication.notify())];
        core.ask(cx, proving.channel(), ExchangeType::INFORMATIONAL, &refusal);
    }
    if let Some(offer) = &proving.offer {
        cx.host.release_spi(offer.spi_in);
    }
    cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&proving.connection));
    Ended::Failed
}
/// The responder's identity and AUTH, or its refusal.
fn judge(cx: &mut Cx<'_>, core: &Core, p: &Proving, contents: &Contents) -> Result<(Progress, Id), Box<Failure>> {
    let now = cx.now;
    let failure = |code| Failure::new(now, Where::IkeAuth, true, code);
    let (Some(id_r), Some(auth)) = (&contents.id_r, &contents.auth) else {
        let notify = contents.error().map_or(NotifyType(0), |n| n.kind);
        return Err(Box::new(match notify {
            NotifyType::AUTHENTICATION_FAILED => {
                let refused = failure("auth.failed").likely(notify, candidates(&p.connection));
                refused.ours("local_id", &p.local_id).ours("remote_id", expected(&p.connection.remote_id))
            }
            NotifyType(0) => failure("answer.malformed"),
            _ => failure("peer.refused").likely(notify, &[]),
        }));
    };
    let id = &id_r.id;
    if !fits(&p.connection.remote_id, id) && !cx.common.exams.is_unnamed(core.id) {
        let other = failure("auth.id").ours("remote_id", expected(&p.connection.remote_id)).theirs("remote_id", id);
        return Err(Box::new(Failure { differing: vec!["remote.id"], ..other }));
    }
    let ppk = p.ppk.as_ref().filter(|_| contents.notify(NotifyType::PPK_IDENTITY).is_some());
    if ppk.is_none() && ppk::is_required(&p.connection) {
        return Err(Box::new(failure("auth.ppk")));
    }
    let signed = Signed {
        prf: p.keys.prf(),
        message: &p.response,
        nonce: &p.ni,
        sk_p: ppk.map_or(p.keys.sk_p(false), |ppk| ppk.sk_p(false)),
        id: id_r,
        int_auth: &p.keys.int_auth(),
    };
    let signs = claim::is_signature(auth.method);
    if signs != (p.connection.remote_auth == AuthKind::PublicKey) {
        let ours = if signs { "SHARED_KEY" } else { "a signature" };
        return Err(Box::new(failure("auth.method").ours("auth", ours).theirs("auth", auth.method)));
    }
    if signs {
        let (trust, hosts) = cx.common.directory.believed(&p.connection);
        let announced = p.hashes.is_some();
        let made = claim::Made { contents, auth, announced, message: signed.octets(), id, trust, hosts };
        return Ok((Claim::begin(cx, core.id, made), id.clone()));
    }
    let secret = cx.common.directory.secret(&p.local_id, &secret_of(&p.connection, core));
    match auth::verify(&signed, secret, auth) {
        Some(proof) => Ok((Progress::Proven(Proven::by_secret(proof)), id.clone())),
        None => Err(Box::new(failure("auth.psk").ours("local_id", &p.local_id).theirs("remote_id", id))),
    }
}
/// What a refusal of the responder, which does not tell why, may mean.
pub(in crate::ike) fn candidates(connection: &Connection) -> &'static [&'static str] {
    match connection.local_auth {
        AuthKind::Psk => &["auth.psk", "auth.id", "peer.unknown"],
        AuthKind::PublicKey => &["auth.cert.unknown_ca", "auth.cert.name", "auth.id", "auth.hash", "peer.unknown"],
    }
}
fn expected(id: &IdMatch) -> String {
    match id {
        IdMatch::Exact(id) => id.to_string(),
        IdMatch::Any => "%any".into(),
    }
}
/// The child of IKE_AUTH. Whatever becomes of it, the IKE SA is up (R28).
fn first_child(
    cx: &mut Cx<'_>,
    core: &Core,
    est: &mut Established,
    offer: Offer,
    contents: &Contents,
    (ni, nr): (&[u8], &[u8]),
) {
    if let Some(notify) = contents.error().filter(|_| contents.sa.is_none()) {
        let failure = offer.refused(cx.now, Where::IkeAuth, notify);
        est.child_failed(cx, core, &offer, failure);
        return;
    }
    match offer.check(contents) {
        Ok(agreed) => {
            let id = child::install(cx, core, est, agreed, &Made { ni, nr, initiator: true, ..Made::default() });
            est.rehearse(cx, id);
        }
        Err(mismatch) => {
            // The peer has installed it: have it deleted.
            let failure = mismatch.failure(cx.now, Where::IkeAuth, true);
            est.plan(Task::DeleteSpi { spi: offer.spi_in, release: true });
            est.child_failed_but_keep(cx, core, &offer, failure);
        }
    }
}
impl Established {
    /// Addresses were given in one of the directions: they have to be installed, or may be used as a hint.
    pub(in crate::ike) fn tell_addresses(&self, cx: &mut Cx<'_>, core: &Core) {
        let Virtuals { ours, theirs } = self.virtuals.clone();
        if !ours.is_empty() || !theirs.is_empty() {
            let connection = self.connection.name.clone();
            cx.emit(Event::Addresses { ike: core.id, connection, ours, theirs });
        }
    }
    /// A child that we asked for is refused: it is tried again later.
    pub(in crate::ike) fn child_failed(&mut self, cx: &mut Cx<'_>, core: &Core, offer: &Offer, failure: Failure) {
        cx.host.release_spi(offer.spi_in);
        self.child_failed_but_keep(cx, core, offer, failure);
    }
    /// The same, but the SPI is released later, when the peer has deleted its side.
    pub(in crate::ike) fn child_failed_but_keep(
        &mut self,
        cx: &mut Cx<'_>,
        core: &Core,
        offer: &Offer,
        failure: Failure,
    ) {
        self.wait_for_child(cx, &offer.policy.name);
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&self.connection));
    }
    /// A child is not asked for again before its wait is over.
    pub(in crate::ike) fn wait_for_child(&self, cx: &mut Cx<'_>, child: &str) {
        if let Some(wish) = cx.common.links.get_mut(&self.connection.name).and_then(|l| l.wish(child)) {
            wish.retry.failed(cx.now);
        }
        cx.touch(&self.connection);
    }
}
