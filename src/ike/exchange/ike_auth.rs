//! IKE_AUTH (RFC 7296 section 1.2): who is there, and the first child.
use super::ike_sa_init::{Agreeing, HalfOpen, gave_up};
use super::{Arrival, Contents};
use crate::crypto::secret::Secret;
use crate::ike::auth::{self, Authenticated, Signed};
use crate::ike::channel::{Channel, OpenError};
use crate::ike::child::{self, Made, Offer};
use crate::ike::common::{Cx, Redundant, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::directory::{fits, id_of, same_id};
use crate::ike::error::Refusal;
use crate::ike::event::{Ended, Event};
use crate::ike::keys::{Contributions, HandshakeKeys};
use crate::ike::link::Sibling;
use crate::ike::negotiate::{IkeSuite, KeRule, choose, numbered};
use crate::ike::policy::{Connection, IdMatch, Unique};
use crate::ike::sa::{Core, Established, Phase, Task};
use crate::wire::payload::{Auth, Id, IdPayload, Notify, Payload, Proposal};
use crate::wire::registry::{AuthMethod, ExchangeType, NotifyType, ProtocolId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A responder leaves the first word about further children to the initiator for this long.
const RESPONDER_PATIENCE: Duration = Duration::from_secs(5);

/// Initiator: waiting for the response.
pub(in crate::ike) struct Proving {
    pub connection: Arc<Connection>,
    keys: HandshakeKeys,
    proposal: Proposal,
    ni: Vec<u8>,
    nr: Vec<u8>,
    /// The responder's IKE_SA_INIT message.
    response: Vec<u8>,
    local_id: Id,
    pub offer: Offer,
}

/// Proves who we are, once all keys are there.
pub(in crate::ike) fn request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    agreeing: Box<Agreeing>,
    mut keys: HandshakeKeys,
) -> Step<Phase> {
    let connection = agreeing.opening.connection.clone();
    let (ni, message) = agreeing.ours();
    // Now, as what is refused is what one wants to read.
    keys.channel.log_keys(cx, core, &connection.name);
    let local_id = connection.local_id.clone().unwrap_or_else(|| id_of(core.local.ip()));
    let id_i = IdPayload::from(local_id.clone());
    let signed = Signed {
        prf: keys.prf(),
        message,
        nonce: &agreeing.nr,
        sk_p: keys.sk_p(true),
        id: &id_i,
        int_auth: &keys.int_auth(),
    };
    let Some(auth) = our_auth(cx, &connection, &local_id, core, &signed) else {
        let failure =
            Failure::new(cx.now, Where::IkeAuth, true, "auth.psk").between(vec!["no secret".into()], Vec::new());
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&connection));
        return Err(Ended::Failed);
    };
    let policy = connection.children.iter().find(|c| c.name == agreeing.opening.child);
    let offer = policy.and_then(|p| Offer::new(cx, &connection, p, 0, KeRule::Ignore));
    let Some(offer) = offer else {
        cx.fail(Failure::new(cx.now, Where::IkeAuth, true, "limit.spis"), Some(&connection));
        return Err(Ended::Failed);
    };
    let mut payloads = vec![Payload::IdI(id_i)];
    if let IdMatch::Exact(id) = &connection.remote_id {
        payloads.push(Payload::IdR(id.clone().into()));
    }
    payloads.push(Payload::Auth(auth));
    if is_first_contact(cx, &connection) {
        payloads.push(Payload::Notify(Notify::new(NotifyType::INITIAL_CONTACT, Vec::new())));
    }
    payloads.extend(offer.payloads());
    core.ask(cx, &mut keys.channel, ExchangeType::IKE_AUTH, &payloads);
    let ni = ni.to_vec();
    let Agreeing { proposal, nr, response, .. } = *agreeing;
    Ok(Phase::Proving(Box::new(Proving { connection, keys, proposal, ni, nr, response, local_id, offer })))
}
fn our_auth(cx: &Cx<'_>, connection: &Connection, local_id: &Id, core: &Core, signed: &Signed<'_>) -> Option<Auth> {
    let remote_id = secret_of(connection, core);
    cx.common.directory.secret(local_id, &remote_id).map(|secret| auth::sign(signed, secret))
}
/// Whose secret an initiator uses, for both directions: it has to choose before the peer tells its identity.
fn secret_of(connection: &Connection, core: &Core) -> Id {
    match &connection.remote_id {
        IdMatch::Exact(id) => id.clone(),
        IdMatch::Any => id_of(core.remote.ip()),
    }
}
/// R36: we hold nothing with this pair of identities, and no other connection could.
fn is_first_contact(cx: &Cx<'_>, connection: &Connection) -> bool {
    let IdMatch::Exact(remote_id) = &connection.remote_id else { return false };
    let none = cx.common.links.get(&connection.name).is_none_or(|l| l.with_peer(remote_id).is_empty());
    connection.unique != Unique::Never && none && !cx.common.directory.shares_ids(connection)
}
impl Proving {
    /// What protects IKE_AUTH.
    pub(in crate::ike) fn channel(&mut self) -> &mut Channel {
        &mut self.keys.channel
    }
    /// Nobody has answered. What was noted during IKE_SA_INIT is refuted: that was answered properly in the end.
    pub(in crate::ike) fn gave_up(self, cx: &mut Cx<'_>, core: &Core) -> Ended {
        cx.host.release_spi(self.offer.spi_in);
        gave_up(cx, core, &self.connection, None, Where::IkeAuth)
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
    core.window.settle();
    let judged = match &inside {
        Ok(contents) => judge(cx, core, &proving, contents),
        Err(_) => Err(Box::new(Failure::new(cx.now, Where::IkeAuth, true, "answer.malformed"))),
    };
    let (contents, proof, remote_id) = match (inside, judged) {
        (Ok(contents), Ok((proof, id))) => (contents, proof, id),
        (inside, Err(failure)) => {
            // An initiator that rejects the responder says so (RFC 7296 section 2.21.2).
            if inside.is_ok_and(|c| c.auth.is_some()) {
                let refusal = [Payload::Notify(Refusal::Authentication.notify())];
                core.ask(cx, proving.channel(), ExchangeType::INFORMATIONAL, &refusal);
            }
            cx.host.release_spi(proving.offer.spi_in);
            cx.fail(Failure { remote: Some(core.remote), ..*failure }, Some(&proving.connection));
            return Err(Ended::Failed);
        }
        (Err(_), Ok(_)) => return Err(Ended::Failed),
    };
    let Proving { connection, keys, proposal, ni, nr, local_id, offer, .. } = *proving;
    let ids = (local_id, remote_id);
    let mut est = establish(cx, core, &proof, keys, connection, ids, proposal);
    first_child(cx, core, &mut est, offer, &contents, (&ni, &nr));
    est.pump(cx, core);
    Ok(Phase::Established(Box::new(est)))
}
/// The responder's identity and AUTH, or its refusal.
fn judge(cx: &Cx<'_>, core: &Core, p: &Proving, contents: &Contents) -> Result<(Authenticated, Id), Box<Failure>> {
    let failure = |code| Failure::new(cx.now, Where::IkeAuth, true, code);
    let (Some(id_r), Some(auth)) = (&contents.id_r, &contents.auth) else {
        let notify = contents.error().map_or(NotifyType(0), |n| n.kind);
        let ours = vec![p.local_id.to_string(), expected(&p.connection.remote_id)];
        return Err(Box::new(match notify {
            NotifyType::AUTHENTICATION_FAILED => failure("auth.failed")
                .likely(notify, &["auth.psk", "auth.id", "peer.unknown"])
                .between(ours, Vec::new()),
            NotifyType(0) => failure("answer.malformed"),
            _ => failure("peer.refused").likely(notify, &[]),
        }));
    };
    let id = &id_r.id;
    if !fits(&p.connection.remote_id, id) {
        let other = failure("auth.id").between(vec![expected(&p.connection.remote_id)], vec![id.to_string()]);
        return Err(Box::new(other));
    }
    let signed = Signed {
        prf: p.keys.prf(),
        message: &p.response,
        nonce: &p.ni,
        sk_p: p.keys.sk_p(false),
        id: id_r,
        int_auth: &p.keys.int_auth(),
    };
    let secret = cx.common.directory.secret(&p.local_id, &secret_of(&p.connection, core));
    match auth::verify(&signed, secret, auth) {
        Some(proof) => Ok((proof, id.clone())),
        None if auth.method != AuthMethod::SHARED_KEY => {
            let methods = [AuthMethod::SHARED_KEY, auth.method].map(|m| vec![m.to_string()]);
            let [ours, theirs] = methods;
            Err(Box::new(failure("auth.method").between(ours, theirs)))
        }
        None => Err(Box::new(failure("auth.psk").between(vec![p.local_id.to_string()], vec![id.to_string()]))),
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
            child::install(cx, core, est, agreed, &Made { ni, nr, secrets: &[], initiator: true, replaces: None });
        }
        Err(mismatch) => {
            // The peer has installed it: have it deleted.
            let failure = mismatch.failure(cx.now, Where::IkeAuth, true);
            est.plan(Task::DisownChild { spi_in: offer.spi_in });
            est.child_failed_but_keep(cx, core, &offer, failure);
        }
    }
}
impl Established {
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
        if let Some(wish) = cx.common.links.get_mut(&self.connection.name).and_then(|l| l.wish(&offer.policy.name)) {
            wish.retry.failed(cx.now);
        }
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&self.connection));
        cx.touch(&self.connection);
    }
}

/// The only way to an established IKE SA is a proof.
fn establish(
    cx: &mut Cx<'_>,
    core: &mut Core,
    proof: &Authenticated,
    keys: HandshakeKeys,
    connection: Arc<Connection>,
    (local_id, remote_id): (Id, Id),
    proposal: Proposal,
) -> Established {
    let (keys, channel) = keys.established(proof);
    let (now, id) = (cx.now, core.id);
    let sibling = Sibling { ike: id, created: core.created, since: now, spi_i: core.spi_i, initiator: core.initiator };
    one_of_two(cx, &sibling, &connection, &remote_id);
    core.connection = Some(connection.name.clone());
    cx.common.established += 1;
    let peer = cx.common.links.get_mut(&connection.name).map_or(0, |link| {
        if !core.initiator {
            for wish in &mut link.wishes {
                wish.retry.at = wish.retry.at.max(now + RESPONDER_PATIENCE);
            }
        }
        link.established(sibling, &remote_id)
    });
    cx.emit(Event::IkeUp { ike: id, connection: connection.name.clone(), peer });
    cx.touch(&connection);
    Established {
        connection,
        peer,
        local_id,
        remote_id,
        proposal,
        keys,
        channel,
        since: now,
        alive: now,
        children: Vec::new(),
        queue: VecDeque::new(),
        asked: None,
        answering: None,
        closing: None,
    }
}

/// Handles a request on a half-open IKE SA whose keys are known.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    from: &Arrival<'_>,
) -> Step<Phase> {
    let keep = |half| Ok(Phase::HalfOpen(half));
    if cx.common.admission.is_barred(cx.now, from.remote.ip(), &cx.policy().limits) {
        return keep(half);
    }
    let Some(mut keys) = half.keys.take() else { return keep(half) };
    let inside = match keys.channel.open(cx, from.data) {
        Err(OpenError::Icv | OpenError::Waiting) => {
            half.keys = Some(keys);
            return keep(half);
        }
        Err(OpenError::Inside(error)) => Err(error),
        Ok(opened) => {
            core.size.learn(&opened);
            Contents::inside(&opened.inner)
        }
    };
    (core.local, core.remote) = (from.local, from.remote);
    let judged = match &inside {
        Ok(contents) => judge_initiator(cx, core, &half, &keys, contents),
        Err(error) => {
            let failure = Failure::new(cx.now, Where::IkeAuth, false, "message.malformed");
            Err(Rejected::new(Refusal::from(error), failure, None))
        }
    };
    match (inside, judged) {
        (Ok(contents), Ok(admitted)) => Ok(admit(cx, core, *half, keys, &contents, admitted)),
        (_, Err(rejected)) => {
            let Rejected { refusal, failure, connection, proven } = *rejected;
            let header = core.header(ExchangeType::IKE_AUTH, core.window.expected_id(), true);
            let refused = [Payload::Notify(refusal.notify())];
            let refused = keys.channel.seal(header, &refused, core.size.room(from.remote));
            cx.transmit_all(from.local, from.remote, &refused);
            let failure = Failure { remote: Some(from.remote), ..failure };
            if proven {
                cx.fail(failure, connection.as_deref());
            } else {
                cx.common.admission.auth_failed(cx.now, from.remote.ip());
                if cx.may_report() {
                    cx.fail_stranger(failure, connection.as_deref());
                }
            }
            (half.keys, half.refused) = (Some(keys), Some(refused));
            keep(half)
        }
        (Err(_), Ok(_)) => Err(Ended::Failed),
    }
}
/// Who may come in, on which connection, and the proof.
struct Admitted {
    proof: Authenticated,
    connection: Arc<Connection>,
    local_id: Id,
    remote_id: Id,
    auth: Auth,
}
/// What the peer is told, what the operator is told, and of which connection.
struct Rejected {
    refusal: Refusal,
    failure: Failure,
    connection: Option<Arc<Connection>>,
    /// The peer is who it says, and still cannot come in.
    proven: bool,
}
impl Rejected {
    fn new(refusal: Refusal, failure: Failure, connection: Option<Arc<Connection>>) -> Box<Self> {
        Box::new(Self { refusal, failure, connection, proven: false })
    }
}
/// Looks the connection up again, now that the identities are known, and verifies. Every way to say no does the same work and says the same.
fn judge_initiator(
    cx: &mut Cx<'_>,
    core: &Core,
    half: &HalfOpen,
    keys: &HandshakeKeys,
    contents: &Contents,
) -> Result<Admitted, Box<Rejected>> {
    let failure = |code| Failure::new(cx.now, Where::IkeAuth, false, code);
    let Some(id_i) = &contents.id_i else {
        return Err(Rejected::new(Refusal::Syntax, failure("message.incomplete"), None));
    };
    let id = &id_i.id;
    // Without AUTH it asks for EAP.
    let Some(auth) = &contents.auth else {
        return Err(Rejected::new(
            Refusal::Authentication,
            failure("auth.method").between(Vec::new(), vec!["EAP".into()]),
            None,
        ));
    };
    if contents.sa.is_none() || contents.ts_i.is_none() || contents.ts_r.is_none() {
        return Err(Rejected::new(Refusal::Syntax, failure("message.incomplete"), None));
    }
    let candidates = cx.common.directory.between(core.local.ip(), core.remote.ip(), cx.host);
    let own_id = |c: &Connection| c.local_id.clone().unwrap_or_else(|| id_of(core.local.ip()));
    let asked = |c: &Connection| contents.id_r.as_ref().is_none_or(|r| same_id(&r.id, &own_id(c)));
    let suits = |c: &Connection| {
        choose(
            &numbered(std::slice::from_ref(&half.proposal), &[]),
            &c.proposals,
            ProtocolId::IKE,
            KeRule::Prefer(None),
        )
        .is_some()
    };
    let found = candidates.iter().find(|c| fits(&c.remote_id, id) && asked(c) && suits(c)).cloned();
    let local_id = found.as_deref().or(candidates.first().map(|c| &**c)).map_or_else(|| id_of(core.local.ip()), own_id);
    let secret = cx.common.directory.secret(&local_id, id);
    let signed = Signed {
        prf: keys.prf(),
        message: &half.request,
        nonce: &half.nr,
        sk_p: keys.sk_p(true),
        id: id_i,
        int_auth: &keys.int_auth(),
    };
    let proof = auth::verify(&signed, secret.filter(|_| found.is_some()), auth);
    let id_r = IdPayload::from(local_id.clone());
    let back = Signed {
        prf: keys.prf(),
        message: &half.response,
        nonce: half.ni(),
        sk_p: keys.sk_p(false),
        id: &id_r,
        int_auth: &keys.int_auth(),
    };
    let nobody = Secret::new(vec![0; 32]);
    let reply = auth::sign(&back, secret.unwrap_or(&nobody));
    let first = candidates.first().cloned();
    match (found, proof) {
        (Some(connection), Some(proof)) => match over_limit(cx, &connection, id, contents) {
            Some(code) => {
                let rejected = Rejected::new(Refusal::Authentication, failure(code), Some(connection));
                Err(Box::new(Rejected { proven: true, ..*rejected }))
            }
            None => Ok(Admitted { proof, connection, local_id, remote_id: id.clone(), auth: reply }),
        },
        (Some(connection), None) => {
            let code = if auth.method == AuthMethod::SHARED_KEY { "auth.psk" } else { "auth.method" };
            let failure = failure(code).between(vec![local_id.to_string()], vec![id.to_string()]);
            Err(Rejected::new(Refusal::Authentication, failure, Some(connection)))
        }
        (None, _) => {
            let known = candidates.iter().any(|c| fits(&c.remote_id, id) && asked(c));
            let code = if known { "proposal.ike" } else { "auth.id" };
            let ours =
                candidates.iter().take(8).map(|c| format!("{} -> {}", own_id(c), expected(&c.remote_id))).collect();
            let asked = contents.id_r.as_ref().map_or("%any".into(), |r| r.id.to_string());
            let failure = failure(code).between(ours, vec![format!("{asked} <- {id}")]);
            Err(Rejected::new(Refusal::Authentication, failure, first))
        }
    }
}
/// Limits and uniqueness, for somebody who has proven his identity.
fn over_limit(cx: &Cx<'_>, connection: &Connection, id: &Id, contents: &Contents) -> Option<&'static str> {
    let limits = cx.policy().limits;
    if cx.common.established >= limits.connections {
        return Some("limit.connections");
    }
    let same = cx.common.links.get(&connection.name).map_or(0, |l| l.with_peer(id).len());
    match connection.unique {
        // By INITIAL_CONTACT the peer says that it holds none of those: there is nothing to keep (RFC 7296 section 2.4).
        Unique::Keep if same > 0 && contents.notify(NotifyType::INITIAL_CONTACT).is_none() => Some("unique.keep"),
        Unique::Never if same >= limits.per_identity => Some("limit.per_identity"),
        _ => None,
    }
}
/// Answers with our identity and AUTH and, if it can be, the child.
fn admit(
    cx: &mut Cx<'_>,
    core: &mut Core,
    half: HalfOpen,
    keys: HandshakeKeys,
    contents: &Contents,
    admitted: Admitted,
) -> Phase {
    let Admitted { proof, connection, local_id, remote_id, auth } = admitted;
    supersede(cx, core, &connection, &remote_id, contents.notify(NotifyType::INITIAL_CONTACT).is_some());
    let mut payloads = vec![Payload::IdR(local_id.clone().into()), Payload::Auth(auth)];
    let ids = (local_id, remote_id);
    keys.channel.log_keys(cx, core, &connection.name);
    let mut est = establish(cx, core, &proof, keys, connection.clone(), ids, half.proposal.clone());
    let agreed = child::answer(&connection, contents, KeRule::Ignore, None).and_then(|mut agreed| {
        match cx.host.allocate_spi(&connection.name, &agreed.policy.name, est.peer) {
            Some(spi) => agreed.spi_in = spi,
            None => return Err(child::Mismatch::limit(&agreed.policy)),
        }
        Ok(agreed)
    });
    let id = core.window.expected_id();
    let to = crate::ike::sa::Answer { exchange: ExchangeType::IKE_AUTH, id, local: core.local, remote: core.remote };
    match agreed {
        Ok(agreed) => {
            payloads.extend(agreed.payloads());
            // Able to receive before the answer leaves (R3).
            let made = Made { ni: half.ni(), nr: &half.nr, secrets: &[], initiator: false, replaces: None };
            child::install(cx, core, &mut est, agreed, &made);
        }
        Err(mismatch) => {
            payloads.push(Payload::Notify(mismatch.refusal.notify()));
            let failure = mismatch.failure(cx.now, Where::IkeAuth, false);
            cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&connection));
        }
    }
    est.respond(cx, core, &to, &payloads);
    Phase::Established(Box::new(est))
}
/// Older IKE SAs with the same peer end: silently if the peer has told that it holds none of them (INITIAL_CONTACT), with a Delete if it is
/// only our wish that there be one. One of ours that came up while this one was being set up is no older: `one_of_two` decides.
fn supersede(cx: &mut Cx<'_>, core: &Core, connection: &Connection, remote_id: &Id, initial_contact: bool) {
    if connection.unique == Unique::Never || (!initial_contact && connection.unique != Unique::Replace) {
        return;
    }
    let with_peer = cx.common.links.get(&connection.name).map_or(Vec::new(), |l| l.with_peer(remote_id));
    for other in with_peer {
        let older = if other.initiator { other.since < core.created } else { other.created < core.created };
        if older {
            cx.common.redundant.push(Redundant { ike: other.ike, tell: !initial_contact });
        }
    }
}
/// Both ends have begun an IKE SA at the same time, and both have come up. Where there shall be one, the one with the lower SPI of its
/// initiator goes, and its initiator deletes it; so both ends, if both do so, keep the same.
fn one_of_two(cx: &mut Cx<'_>, this: &Sibling, connection: &Connection, remote_id: &Id) {
    if connection.unique != Unique::Replace {
        return;
    }
    let with_peer = cx.common.links.get(&connection.name).map_or(Vec::new(), |l| l.with_peer(remote_id));
    for other in with_peer {
        let concurrent = other.initiator != this.initiator && other.since >= this.created;
        let loser = if other.spi_i < this.spi_i { &other } else { this };
        if concurrent && loser.initiator {
            cx.common.redundant.push(Redundant { ike: loser.ike, tell: true });
        }
    }
}

impl HalfOpen {
    /// Derives the keys, once g^ir is known.
    pub(in crate::ike) fn derive(&mut self, cx: &mut Cx<'_>, core: &Core, g_ir: &Secret) {
        let from = Contributions { ni: &self.key.2, nr: &self.nr, spi_i: core.spi_i, spi_r: core.spi_r };
        let suite: &IkeSuite = &self.suite;
        self.keys = Some(HandshakeKeys::derive(suite, g_ir, &from, false, &mut cx.rng()));
    }
}
