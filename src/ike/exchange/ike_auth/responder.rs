//! The responder of IKE_AUTH: who asks, may he come in, and what we answer.
use super::case::Case;
use super::establish::establish;
use super::forms::{self, Suspect};
use super::window_size;
use crate::crypto::cert::{Crl, Fault};
use crate::crypto::secret::Secret;
use crate::crypto::sign::Scheme;
use crate::crypto::work::Done;
use crate::frozen::frozen;
use crate::ike::auth::{self, Signed};
use crate::ike::channel::OpenError;
use crate::ike::child::{self, Made};
use crate::ike::claim::{self, Claim, Own, Progress, Proven};
use crate::ike::common::{Cx, How, Redundant, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::error::Refusal;
use crate::ike::event::Ended;
use crate::ike::exchange::half_open::HalfOpen;
use crate::ike::exchange::{Arrival, Contents, mobike, reauth};
use crate::ike::keys::HandshakeKeys;
use crate::ike::negotiate::KeRule;
use crate::ike::policy::{AuthKind, Childless, Connection, Remote, Unique};
use crate::ike::ppk::{self, Choice};
use crate::ike::resources;
use crate::ike::sa::{Answer, Core, Established, Phase, Task};
use crate::ike::virtuals;
use crate::wire::payload::{Auth, Id, IdPayload, Payload};
use crate::wire::registry::{AuthMethod, ExchangeType, NotifyType};
use std::sync::Arc;

/// A request whose answer waits for a computation.
pub(in crate::ike) struct Pending {
    to: Answer,
    contents: Contents,
    case: Case,
    stage: Stage,
}
enum Stage {
    /// The initiator's signature is being verified.
    Verifying(Box<Claim>),
    /// It is good, ours is being made.
    Signing { job: u64, scheme: Scheme, certs: Vec<Payload>, proven: Proven },
}
frozen! {
    struct Pending { to, contents, case, stage }
    enum Stage { 0 = Verifying(claim), 1 = Signing { job, scheme, certs, proven } }
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

/// Handles a request on a half-open IKE SA whose keys are known.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    from: &Arrival<'_>,
) -> Step<Phase> {
    let keep = |half| Ok(Phase::HalfOpen(half));
    let barred = cx.common.admission.is_barred(cx.now, from.remote.ip(), &cx.policy().limits);
    // One request is looked at at a time, however often it comes.
    if barred || half.pending.is_some() {
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
    let to = Answer {
        exchange: ExchangeType::IKE_AUTH,
        id: core.window.expected_id(),
        local: from.local,
        remote: from.remote,
    };
    let judged = match inside {
        Ok(contents) => judge(cx, core, &half, &keys, &contents).map(|(case, progress)| (contents, case, progress)),
        Err(error) => {
            let failure = Failure::new(cx.now, Where::IkeAuth, false, "message.malformed");
            Err(Rejected::new(Refusal::from(&error), failure, None))
        }
    };
    match judged {
        Ok((contents, case, progress)) => proceed(cx, core, half, keys, (to, contents, case), progress),
        Err(rejected) => Ok(refuse(cx, core, half, keys, (&to, None), *rejected)),
    }
}
/// A job is done that the answer waited for.
pub(in crate::ike) fn computed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    job: u64,
    done: Done,
) -> Step<Phase> {
    let (Some(pending), Some(keys)) = (half.pending.take(), half.keys.take()) else { return Err(Ended::Failed) };
    let Pending { to, contents, case, stage } = *pending;
    match stage {
        Stage::Verifying(claim) if claim.job == job => {
            let progress = claim.computed(cx, done);
            proceed(cx, core, half, keys, (to, contents, case), progress)
        }
        Stage::Signing { job: waited, scheme, certs, proven } if waited == job => match done {
            Done::Signed(Some(signature)) => {
                let auth = auth::signed(scheme, signature);
                admit(cx, core, half, keys, (to, contents, case), (proven, certs, auth))
            }
            // As if the request had not come: it will come again.
            _ => keep(half, keys),
        },
        stage => {
            half.pending = Some(Box::new(Pending { to, contents, case, stage }));
            keep(half, keys)
        }
    }
}
/// Revocation lists have come, or none.
pub(super) fn fetched(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    job: u64,
    crls: Vec<Arc<Crl>>,
) -> Step<Phase> {
    let (Some(pending), Some(keys)) = (half.pending.take(), half.keys.take()) else { return Err(Ended::Failed) };
    let Pending { to, contents, case, stage } = *pending;
    match stage {
        Stage::Verifying(claim) if claim.job == job => {
            let progress = claim.fetched(cx, crls);
            proceed(cx, core, half, keys, (to, contents, case), progress)
        }
        stage => {
            half.pending = Some(Box::new(Pending { to, contents, case, stage }));
            keep(half, keys)
        }
    }
}
fn keep(mut half: Box<HalfOpen>, keys: HandshakeKeys) -> Step<Phase> {
    half.keys = Some(keys);
    Ok(Phase::HalfOpen(half))
}

/// Looks the connection up again, now that the identities are known, and begins to verify. Every way to say no takes the same path and gives the
/// same answer: who is unknown is verified against the secret of nobody, or the authorities of a neighbour.
fn judge(
    cx: &mut Cx<'_>,
    core: &Core,
    half: &HalfOpen,
    keys: &HandshakeKeys,
    contents: &Contents,
) -> Result<(Case, Progress), Box<Rejected>> {
    let now = cx.now;
    let failure = |code| Failure::new(now, Where::IkeAuth, false, code);
    let incomplete = || Rejected::new(Refusal::Syntax, failure("message.incomplete"), None);
    let id_i = contents.id_i.as_ref().ok_or_else(incomplete)?;
    // Without AUTH it asks for EAP.
    let auth = contents.auth.as_ref().ok_or_else(|| {
        let failure = failure("auth.method").between("auth", Vec::new(), vec!["EAP".into()]);
        Rejected::new(Refusal::Authentication, failure, None)
    })?;
    let kind = if claim::is_signature(auth.method) { AuthKind::PublicKey } else { AuthKind::Psk };
    let mut case = Case::find(cx, core, half, contents, &id_i.id, kind);
    let mut instead = None;
    if let Some(connection) = case.found.as_deref() {
        case.barred = too_often(cx, core, connection, &id_i.id);
    }
    match case.found.as_deref().map(|connection| ppk::choose(cx, connection, half.ppk, contents)) {
        Some(Ok(Choice::With(secret))) => case.ppk = Some(keys.with_ppk(&secret)),
        Some(Ok(Choice::Instead(data))) => instead = Some(Auth { method: auth.method, data }),
        Some(Err(other)) => case.barred = Some(other),
        Some(Ok(Choice::Without)) | None => {}
    }
    let auth = instead.as_ref().unwrap_or(auth);
    let signed = Signed {
        prf: keys.prf(),
        message: &half.request,
        nonce: &half.nr,
        sk_p: case.sk_p(keys, true),
        id: id_i,
        int_auth: &keys.int_auth(),
    };
    let progress = match kind {
        AuthKind::Psk => {
            let secret = cx.common.directory.secret(&case.local_id, &case.remote_id);
            match auth::verify(&signed, secret.filter(|_| case.found.is_some()), auth) {
                Some(proof) => Progress::Proven(Proven::by_secret(proof)),
                None if auth.method != AuthMethod::SHARED_KEY => {
                    Progress::Refused(Fault::new("auth.method", "auth", "SHARED_KEY", auth.method.to_string()))
                }
                None => Progress::Refused(no_proof(&case, keys, &signed, secret, contents)),
            }
        }
        AuthKind::PublicKey => {
            let nearest = case.found.as_deref().or(case.nearest.as_deref());
            let (trust, hosts) = nearest.map_or_else(Default::default, |c| cx.common.directory.believed(c));
            let (announced, message) = (half.hashes.is_some(), signed.octets());
            Claim::begin(cx, core.id, claim::Made { contents, auth, announced, message, id: &id_i.id, trust, hosts })
        }
    };
    Ok((case, progress))
}
/// The secrets of the two ends differ, or what went into the keys beside them does: which of the two shows where the peer has proven itself without it, too.
fn no_proof(
    case: &Case,
    keys: &HandshakeKeys,
    signed: &Signed<'_>,
    secret: Option<&Secret>,
    contents: &Contents,
) -> Fault {
    let ids = |fault: Fault| {
        let fault = fault.and("local_id", vec![case.local_id.to_string()], vec![]);
        fault.and("remote_id", vec![], vec![case.remote_id.to_string()])
    };
    let Some(used) = case.ppk.as_ref().and(case.found.as_ref()).and_then(|c| c.ppk.as_ref()) else {
        return ids(Fault::of("auth.psk"));
    };
    let words = ppk::shown(&used.id);
    let named = |fault: Fault| ids(fault.and("ppk", vec![words.clone()], vec![words.clone()]));
    let plain = contents
        .notify(NotifyType::NO_PPK_AUTH)
        .map(|notify| Auth { method: AuthMethod::SHARED_KEY, data: notify.data.clone() });
    let without = Signed { sk_p: keys.sk_p(true), ..*signed };
    match plain {
        Some(plain) if auth::verify(&without, secret, &plain).is_some() => named(Fault::of("auth.ppk")),
        Some(_) => ids(Fault::of("auth.psk")),
        None => named(Fault::of("auth.psk").or_else(&["auth.psk", "auth.ppk"])),
    }
}
/// Many have guessed this peer's secret lately, from wherever. Whoever is where the peer is configured to be may go on trying.
fn too_often(cx: &Cx<'_>, core: &Core, connection: &Connection, id: &Id) -> Option<Fault> {
    let at_home = connection.remote_addrs.contains(&Remote::Addr(core.remote.ip()));
    let open = connection.remote_auth == AuthKind::Psk && !at_home;
    let guessed = open && cx.common.admission.is_guessed(cx.now, id, &cx.policy().limits);
    guessed.then(|| Fault::new("limit.auth_failures", "remote_id", "", id.to_string()))
}
/// The initiator's claim has come this far.
fn proceed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    keys: HandshakeKeys,
    (to, contents, case): (Answer, Contents, Case),
    progress: Progress,
) -> Step<Phase> {
    let proven = match (progress, case.barred.clone()) {
        (Progress::Dropped, _) => return keep(half, keys),
        (Progress::Waits(claim), _) => {
            half.pending = Some(Box::new(Pending { to, contents, case, stage: Stage::Verifying(claim) }));
            return keep(half, keys);
        }
        (_, Some(fault)) | (Progress::Refused(fault), None) => {
            return Ok(refuse_claim(cx, core, half, keys, (&to, &case, Some(&contents)), fault));
        }
        (Progress::Proven(proven), None) => proven,
    };
    let connection = case.found.clone().ok_or(Ended::Failed)?;
    let id_r = IdPayload::from(case.local_id.clone());
    let signed = Signed {
        prf: keys.prf(),
        message: &half.response,
        nonce: half.ni(),
        sk_p: case.sk_p(&keys, false),
        id: &id_r,
        int_auth: &keys.int_auth(),
    };
    let ours = match connection.local_auth {
        AuthKind::Psk => match cx.common.directory.secret(&case.local_id, &case.remote_id) {
            Some(secret) => {
                let auth = auth::sign(&signed, secret);
                return admit(cx, core, half, keys, (to, contents, case), (proven, Vec::new(), auth));
            }
            None => Err(Fault::new("auth.psk", "secret", "none", "").and(
                "remote_id",
                vec![],
                vec![case.remote_id.to_string()],
            )),
        },
        AuthKind::PublicKey => Own::of(cx, &connection, half.hashes.as_deref()),
    };
    let own = match ours {
        Ok(own) => own,
        Err(fault) => return Ok(refuse_claim(cx, core, half, keys, (&to, &case, None), fault)),
    };
    let message = signed.octets();
    if let Some(job) = own.sign(cx, core.id, message) {
        let stage = Stage::Signing { job, scheme: own.scheme, certs: own.certs, proven };
        half.pending = Some(Box::new(Pending { to, contents, case, stage }));
    }
    keep(half, keys)
}

/// `claim`: what was claimed and is not proven; none if the peer is who it says and cannot come in.
fn refuse_claim(
    cx: &mut Cx<'_>,
    core: &mut Core,
    half: Box<HalfOpen>,
    keys: HandshakeKeys,
    (to, case, claim): (&Answer, &Case, Option<&Contents>),
    fault: Fault,
) -> Phase {
    let proven = claim.is_none();
    let failure = Failure::of_fault(cx.now, false, fault);
    let connection = case.found.clone().or(case.nearest.clone());
    let rejected = Rejected { refusal: Refusal::Authentication, failure, connection, proven };
    // Secrets are guessed, signatures are not; and of peers that nobody has there would be too many.
    if !proven && case.found.as_ref().is_some_and(|c| c.remote_auth == AuthKind::Psk) {
        cx.common.admission.failed_as(cx.now, &case.remote_id);
    }
    refuse(cx, core, half, keys, (to, claim.map(|claim| (case, claim))), rejected)
}
/// Says no, and remembers how.
fn refuse(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    mut keys: HandshakeKeys,
    (to, claim): (&Answer, Option<(&Case, &Contents)>),
    rejected: Rejected,
) -> Phase {
    let Rejected { refusal, failure, connection, proven } = rejected;
    let header = core.header(ExchangeType::IKE_AUTH, to.id, true);
    let notify = [Payload::Notify(refusal.notify())];
    let refused = keys.channel.seal(header, &notify, core.size.room(to.remote));
    cx.transmit_all(to.local, to.remote, &refused);
    let failure = Failure { remote: Some(to.remote), ..failure };
    if proven {
        cx.fail(failure, connection.as_deref());
    } else {
        cx.common.admission.auth_failed(cx.now, to.remote.ip());
        if cx.may_report() {
            let work = claim.and_then(|(case, contents)| forms::compare(cx, &half, &keys, case, contents));
            half.suspect = Suspect::begin(cx, core.id, work, failure, connection);
        }
    }
    (half.keys, half.refused) = (Some(keys), Some(refused));
    Phase::HalfOpen(half)
}
/// Limits and uniqueness, for somebody who has proven his identity.
fn over_limit(cx: &Cx<'_>, connection: &Connection, case: &Case, contents: &Contents) -> Option<&'static str> {
    let limits = cx.policy().limits;
    if cx.common.established >= limits.connections {
        return Some("limit.connections");
    }
    let link = cx.common.links.get(&connection.name);
    let same = link.map_or(0, |link| link.of_pair(&case.local_id, &case.remote_id).len());
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
    half: Box<HalfOpen>,
    mut keys: HandshakeKeys,
    (to, contents, case): (Answer, Contents, Case),
    (mut proven, certs, auth): (Proven, Vec<Payload>, Auth),
) -> Step<Phase> {
    let connection = case.found.clone().ok_or(Ended::Failed)?;
    // The configuration may have changed while we computed.
    if cx.common.links.get(&connection.name).is_none_or(|link| link.connection != connection) {
        return Err(Ended::Failed);
    }
    if let Some(code) = over_limit(cx, &connection, &case, &contents) {
        let fault = Fault::of(code);
        return Ok(refuse_claim(cx, core, half, keys, (&to, &case, None), fault));
    }
    // Without a child only to those who were told that they may (RFC 6023 section 3).
    if contents.sa.is_none() && connection.childless == Childless::Never {
        let failure = Failure::new(cx.now, Where::IkeAuth, false, "message.incomplete");
        let rejected = Rejected { refusal: Refusal::Syntax, failure, connection: Some(connection), proven: true };
        return Ok(refuse(cx, core, half, keys, (&to, None), rejected));
    }
    proven.warn(cx, &connection);
    let Case { local_id, remote_id, ppk, .. } = case;
    let with_ppk = ppk.is_some();
    if let Some(ppk) = ppk {
        keys.take_ppk(ppk);
    }
    supersede(cx, core, &connection, (&local_id, &remote_id), contents.notify(NotifyType::INITIAL_CONTACT).is_some());
    let mut payloads = vec![Payload::IdR(local_id.clone().into())];
    payloads.extend(certs);
    payloads.push(Payload::Auth(auth));
    payloads.extend(with_ppk.then(ppk::used));
    payloads.extend(reauth::lifetime(&connection));
    let ids = (local_id, remote_id);
    keys.channel.log_keys(cx, core, &connection.name);
    let mut est = establish(cx, core, &proven.proof, keys, connection.clone(), ids, half.proposal.clone());
    est.ppk = with_ppk;
    // What protects this IKE SA itself did not have it yet (R41). An initiator that demands it, too, begins by itself.
    if ppk::is_required(&connection) && contents.notify(NotifyType::NO_PPK_AUTH).is_some() {
        est.plan(Task::RekeyIke);
    }
    payloads.extend(mobike::agree(core, &connection, &contents));
    payloads.push(window_size());
    if core.mobile.agreed {
        payloads.extend(mobike::announce(cx, core, &connection));
    }
    match first_child(cx, core, &mut est, &contents, &mut payloads) {
        Ok(None) => {}
        Ok(Some(agreed)) => {
            payloads.extend(agreed.payloads());
            // Able to receive before the answer leaves (R3).
            let made = Made { ni: half.ni(), nr: &half.nr, ..Made::default() };
            child::install(cx, core, &mut est, agreed, &made);
        }
        Err(mismatch) => {
            payloads.push(Payload::Notify(mismatch.refusal.notify()));
            let failure = mismatch.failure(cx.now, Where::IkeAuth, false);
            cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&connection));
        }
    }
    est.respond(cx, core, &to, &payloads);
    est.pump(cx, core);
    Ok(Phase::Established(Box::new(est)))
}
/// The peer's address and the child of IKE_AUTH, if it asks for one (RFC 6023); with `childless = "force"` the first child comes later, too.
fn first_child(
    cx: &mut Cx<'_>,
    core: &Core,
    est: &mut Established,
    contents: &Contents,
    payloads: &mut Vec<Payload>,
) -> Result<Option<child::Agreed>, child::Mismatch> {
    let connection = est.connection.clone();
    let given = virtuals::give(cx, &connection, &est.remote_id, core.id, contents);
    let (theirs, cfg) = given.map_err(child::Mismatch::address)?;
    est.virtuals.theirs = theirs;
    payloads.extend(cfg);
    est.tell_addresses(cx, core);
    if contents.sa.is_none() {
        return Ok(None);
    }
    if connection.childless == Childless::Force {
        return Err(child::Mismatch::quiet(Refusal::NoAdditionalSas));
    }
    let agreed = child::answer(core, est, contents, KeRule::Ignore, None)?;
    let mut agreed = resources::admit(cx, est, contents, agreed)?;
    let spi = cx.host.allocate_spi(&connection.name, &agreed.policy.name, est.peer, agreed.resource);
    agreed.spi_in = spi.ok_or_else(|| child::Mismatch::limit(&agreed.policy))?;
    Ok(Some(agreed))
}
/// Older IKE SAs with the same peer end: silently if the peer has told that it holds none of them (INITIAL_CONTACT), with a Delete if it is
/// only our wish that there be one. One of ours that came up while this one was being set up is no older: `one_of_two` decides.
fn supersede(
    cx: &mut Cx<'_>,
    core: &Core,
    connection: &Connection,
    (local_id, remote_id): (&Id, &Id),
    initial_contact: bool,
) {
    if connection.unique == Unique::Never || (!initial_contact && connection.unique != Unique::Replace) {
        return;
    }
    let link = cx.common.links.get(&connection.name);
    for other in link.map_or(Vec::new(), |link| link.of_pair(local_id, remote_id)) {
        let older = if other.initiator { other.since < core.created } else { other.created < core.created };
        if older {
            let how = if initial_contact { How::Silently } else { How::Later };
            cx.common.redundant.push(Redundant { ike: other.ike, how });
        }
    }
}
