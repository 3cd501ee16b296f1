//! IKE_SA_INIT (RFC 7296 section 1.2): suites, public values, nonces, NAT detection. Nothing in it is authenticated. Here the initiator, and
//! what both do; the responder has its own file.
pub(in crate::ike) mod inquiry;
pub(in crate::ike) mod responder;

use super::mobike::Mobile;
use super::{Arrival, Contents};
use crate::crypto::ke::Group;
use crate::crypto::secret::Secret;
use crate::crypto::work::Work;
use crate::frozen::frozen;
use crate::ike::claim;
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::event::Ended;
use crate::ike::keys::{Contributions, HandshakeKeys};
use crate::ike::nat::{self, Nat};
use crate::ike::negotiate::{IkeSuite, KeRule, asks_more, check_answer, groups, numbered};
use crate::ike::policy::{Childless, Connection, EncapPolicy};
use crate::ike::ppk;
use crate::ike::sa::{Core, IkeSa, Phase};
use crate::ike::size::Size;
use crate::ike::window::Window;
use crate::wire::keyword;
use crate::wire::message::{Header, IkeSpi, Message};
use crate::wire::payload::{Ke, Notify, Payload, Proposal};
use crate::wire::registry::{ExchangeType, KeId, NotifyType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// COOKIE and INVALID_KE_PAYLOAD are followed at most so often each (R26, R33).
const MAX_RETRIES: u8 = 3;
/// Octets of a notification without data.
const NOTIFY_LEN: usize = 8;
/// A request is kept until IKE_AUTH has verified it; a longer one is not worth that.
pub(super) const MAX_REQUEST: usize = 8192;

/// Initiator: waiting for the response.
pub(in crate::ike) struct Opening {
    pub connection: Arc<Connection>,
    /// The child that goes with IKE_AUTH.
    pub child: Arc<str>,
    offer: Vec<Proposal>,
    group: Group,
    private: Secret,
    public: Vec<u8>,
    ni: Vec<u8>,
    cookie: Option<Vec<u8>>,
    cookies: u8,
    groups: u8,
    /// The request as last sent: our AUTH signs it.
    request: Vec<u8>,
    /// A forged source for NAT detection.
    forged: Option<[u8; 20]>,
    /// We have a post-quantum pre-shared key to offer.
    ppk: bool,
    /// What an unauthenticated error told. It may be a lie, so we go on (R25).
    pub noted: Option<Failure>,
}
/// Initiator: g^ir is being computed.
pub(in crate::ike) struct Agreeing {
    pub opening: Opening,
    pub suite: IkeSuite,
    pub proposal: Proposal,
    pub nr: Vec<u8>,
    /// The response: the peer's AUTH signs it.
    pub response: Vec<u8>,
    /// Hash functions that the responder has announced, as we have.
    pub hashes: Option<Vec<u16>>,
    /// Both ends have a post-quantum pre-shared key.
    pub ppk: bool,
    pub job: u64,
    spi_r: IkeSpi,
    nat: Nat,
    /// Both ends take fragments.
    fragments: bool,
    /// The responder takes an IKE_AUTH without a child.
    pub childless: bool,
}
frozen! {
    struct Opening {
        connection, child, offer, group, private, public, ni, cookie, cookies, groups, request, forged, ppk, noted
    }
    struct Agreeing {
        opening, suite, proposal, nr, response, hashes, ppk, job, spi_r, nat, fragments, childless
    }
}
impl Agreeing {
    /// g^ir is there: the response is taken, with a NAT we move to the port for it, and there are keys.
    pub(in crate::ike) fn settle(&self, cx: &mut Cx<'_>, core: &mut Core, g_ir: &Secret) -> HandshakeKeys {
        let natt = cx.policy().ports.natt;
        core.settle(cx.now);
        core.spi_r = self.spi_r;
        core.nat = self.nat;
        core.size.agreed = self.fragments;
        // With MOBIKE a NAT may come later (RFC 4555 section 3.3).
        if self.nat.udp() || self.nat.spoken && self.opening.connection.mobike {
            core.local.set_port(natt);
            core.remote.set_port(natt);
        }
        let from = Contributions { ni: &self.opening.ni, nr: &self.nr, spi_i: core.spi_i, spi_r: core.spi_r };
        HandshakeKeys::derive(&self.suite, g_ir, &from, true, &mut cx.rng())
    }
    /// There is no g^ir with this public value: only an attacker sends such, so we wait for another response.
    pub(in crate::ike) fn reject(mut self, cx: &mut Cx<'_>, core: &Core) -> Phase {
        let failure = Failure::new(cx.now, Where::SaInit, true, "answer.not_offered");
        self.opening.note(cx, core, failure);
        Phase::Opening(Box::new(self.opening))
    }
    /// Our nonce, and our request.
    pub(in crate::ike) fn ours(&self) -> (&[u8], &[u8]) {
        (&self.opening.ni, &self.opening.request)
    }
}

/// Begins an IKE SA.
pub(in crate::ike) fn request(
    cx: &mut Cx<'_>,
    connection: Arc<Connection>,
    child: Arc<str>,
    ends: (SocketAddr, SocketAddr),
) -> Option<IkeSa> {
    let offer = connection.proposals.clone();
    let (mut core, mut opening) = prepare(cx, connection, child, ends, &offer)?;
    opening.send(cx, &mut core);
    Some(IkeSa { core, phase: Phase::Opening(opening) })
}
/// All of it, and nothing is sent yet.
fn prepare(
    cx: &mut Cx<'_>,
    connection: Arc<Connection>,
    child: Arc<str>,
    (local, remote): (SocketAddr, SocketAddr),
    offer: &[Proposal],
) -> Option<(Core, Box<Opening>)> {
    let group = *groups(offer).first()?;
    let private = cx.private(group);
    let mut forged = None;
    if connection.encap == EncapPolicy::Always {
        let mut random = [0; 20];
        cx.host.random(&mut random);
        forged = Some(random);
    }
    let core = Core {
        id: cx.new_ike_id(),
        spi_i: cx.new_spi(),
        spi_r: IkeSpi::NONE,
        initiator: true,
        local,
        remote,
        nat: Nat::default(),
        size: Size::default(),
        mobile: Mobile::default(),
        window: Window::default(),
        connection: Some(connection.name.clone()),
        created: cx.now,
        sent: cx.now,
        replaces: None,
        abandons: false,
        hit: None,
    };
    let opening = Opening {
        offer: numbered(offer, &[]),
        public: group.public(&private),
        group,
        private,
        ni: cx.nonce(),
        cookie: None,
        cookies: 0,
        groups: 0,
        request: Vec::new(),
        forged,
        ppk: ppk::secret(cx, &connection).is_some(),
        noted: None,
        connection,
        child,
    };
    Some((core, Box::new(opening)))
}
impl Opening {
    /// A cookie comes first, and everything else is as before (RFC 7296 section 2.6).
    fn send(&mut self, cx: &mut Cx<'_>, core: &mut Core) {
        let mut payloads = Vec::new();
        payloads.extend(self.cookie.iter().map(|c| Payload::Notify(Notify::new(NotifyType::COOKIE, c.clone()))));
        payloads.push(Payload::Sa(self.offer.clone()));
        payloads.push(Payload::Ke(Ke { group: self.group.id(), data: self.public.clone() }));
        payloads.push(Payload::Nonce(self.ni.clone()));
        let nat = nat::notifies((core.spi_i, IkeSpi::NONE), core.local, core.remote, self.forged);
        payloads.extend(nat.map(Payload::Notify));
        payloads.extend(self.connection.fragmentation.then(takes_fragments));
        // Nobody asks an initiator, but who has said so gets an answer that is no larger than the request.
        let childless = matches!(self.connection.childless, Childless::Prefer | Childless::Force);
        payloads.extend(childless.then(takes_childless));
        payloads.extend(asks_more(&self.offer).then(takes_intermediate));
        payloads.extend(self.ppk.then(ppk::offer));
        payloads.extend(claim::signs(&self.connection).then(claim::announcement));
        let header = core.header(ExchangeType::IKE_SA_INIT, 0, false);
        self.request = Message { header, payloads }.encode();
        core.request(cx, ExchangeType::IKE_SA_INIT, self.request.clone());
    }
    /// The peer wants this group: with it from now on, if it is one of ours and not the one just sent.
    fn takes(&mut self, cx: &mut Cx<'_>, id: KeId) -> bool {
        let group = Group::from_id(id).filter(|g| *g != self.group && groups(&self.offer).contains(g));
        let Some(group) = group.filter(|_| self.groups < MAX_RETRIES) else { return false };
        self.groups += 1;
        self.group = group;
        self.private = cx.private(group);
        self.public = group.public(&self.private);
        true
    }
    /// Remembers the likely cause, and tells of it once; the attempt goes on.
    pub(in crate::ike) fn note(&mut self, cx: &mut Cx<'_>, core: &Core, failure: Failure) {
        if self.noted.is_none() {
            let failure = Failure { remote: Some(core.remote), ..failure };
            self.noted = Some(failure.clone());
            cx.fail(failure, Some(&self.connection));
        }
    }
    /// Nobody has answered: with what we were told meanwhile, if anything.
    pub(in crate::ike) fn gave_up(self, cx: &mut Cx<'_>, core: &Core) -> Ended {
        gave_up(cx, core, &self.connection, self.noted, Where::SaInit)
    }
}
/// The end of an attempt that was never answered properly.
pub(in crate::ike) fn gave_up(
    cx: &mut Cx<'_>,
    core: &Core,
    connection: &Connection,
    noted: Option<Failure>,
    phase: Where,
) -> Ended {
    let silence = Failure { remote: Some(core.remote), ..Failure::new(cx.now, phase, true, "net.no_response") };
    let failure = noted.map_or(silence, |noted| Failure { time: cx.now, ..noted });
    cx.fail(failure, Some(connection));
    Ended::Failed
}

/// What a response to IKE_SA_INIT says.
enum Reply {
    Accepted(Accepted),
    Cookie(Vec<u8>),
    Group(KeId),
    Refused(NotifyType),
    Junk,
}
/// A response with SA, KE and Nr.
struct Accepted {
    proposals: Vec<Proposal>,
    ke: Ke,
    nr: Vec<u8>,
    nat: Nat,
    /// Hash functions that it has announced, as we have.
    hashes: Option<Vec<u16>>,
    fragments: bool,
    childless: bool,
    intermediate: bool,
    ppk: bool,
}

/// Handles a response. Whatever an attacker may have sent leaves the attempt as it was.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut opening: Box<Opening>,
    header: &Header,
    from: &Arrival<'_>,
) -> Step<Phase> {
    if from.remote != core.remote || !core.window.awaits(ExchangeType::IKE_SA_INIT, header.id) {
        return Ok(Phase::Opening(opening));
    }
    match read_reply(&opening, header, from) {
        Reply::Accepted(accepted) => return Ok(take(cx, core, opening, header, from, accepted)),
        // A second answer to an earlier transmission asks for what is under way already.
        Reply::Cookie(cookie) if opening.cookie.as_ref() == Some(&cookie) => {}
        Reply::Group(id) if opening.groups > 0 && id == opening.group.id() => {}
        Reply::Cookie(cookie) if opening.cookies < MAX_RETRIES => {
            opening.cookies += 1;
            opening.cookie = Some(cookie);
            opening.send(cx, core);
        }
        Reply::Group(id) => other_group(cx, core, &mut opening, id),
        Reply::Refused(kind) => {
            let failure = refused(cx.now, &opening, kind);
            opening.note(cx, core, failure);
        }
        Reply::Cookie(_) | Reply::Junk => {}
    }
    Ok(Phase::Opening(opening))
}
fn read_reply(opening: &Opening, header: &Header, from: &Arrival<'_>) -> Reply {
    let parsed = Message::parse(from.data);
    let Ok(c) = parsed.and_then(|m| Contents::of(ExchangeType::IKE_SA_INIT, true, m.payloads)) else {
        return Reply::Junk;
    };
    if let (Some(proposals), Some(ke), Some(nr)) = (c.sa.clone(), c.ke.clone(), c.nonce.clone())
        && !header.spi_r.is_none()
    {
        let spis = (header.spi_i, header.spi_r);
        let nat = nat::detect(&c.notifies, spis, from.local, from.remote, opening.forged.is_some());
        let hashes = claim::announced(&c).filter(|_| claim::signs(&opening.connection));
        let fragments =
            opening.connection.fragmentation && c.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
        let intermediate = c.notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED).is_some();
        let childless = c.notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED).is_some();
        let ppk = opening.ppk && c.notify(NotifyType::USE_PPK).is_some();
        return Reply::Accepted(Accepted { proposals, ke, nr, nat, hashes, fragments, childless, intermediate, ppk });
    }
    if let Some(cookie) = c.notify(NotifyType::COOKIE).filter(|n| (1..=64).contains(&n.data.len())) {
        return Reply::Cookie(cookie.data.clone());
    }
    if let Some(&[a, b]) =
        c.notify(NotifyType::INVALID_KE_PAYLOAD).map(|n| n.data.as_slice()).and_then(|d| d.first_chunk())
    {
        return Reply::Group(KeId(u16::from_be_bytes([a, b])));
    }
    c.error().map_or(Reply::Junk, |n| Reply::Refused(n.kind))
}
/// INVALID_KE_PAYLOAD: once more with that group, if it is one of ours and not the one just sent (R26).
fn other_group(cx: &mut Cx<'_>, core: &mut Core, opening: &mut Opening, id: KeId) {
    match opening.takes(cx, id) {
        true => opening.send(cx, core),
        false => {
            let ours = groups(&opening.offer).iter().map(|g| g.id().to_string()).collect();
            let failure = Failure::new(cx.now, Where::SaInit, true, "proposal.ke")
                .likely(NotifyType::INVALID_KE_PAYLOAD, &["proposal.ke"])
                .between("groups", ours, vec![id.to_string()])
                .between("proposals", opening.offer.iter().map(keyword::proposal).collect(), Vec::new());
            opening.note(cx, core, Failure { differing: vec!["ke"], ..failure });
        }
    }
}
fn refused(now: Duration, opening: &Opening, kind: NotifyType) -> Failure {
    let (code, candidates): (_, &[_]) = match kind {
        NotifyType::NO_PROPOSAL_CHOSEN => (
            "proposal.ike",
            &["proposal.encr", "proposal.integ", "proposal.prf", "proposal.ke", "peer.unknown", "version.ikev1_peer"],
        ),
        NotifyType::INVALID_MAJOR_VERSION => ("version.ikev1_peer", &["version.ikev1_peer"]),
        _ => ("peer.refused", &["peer.unknown"]),
    };
    let ours = opening.offer.iter().map(keyword::proposal).collect();
    Failure::new(now, Where::SaInit, true, code).likely(kind, candidates).between("proposals", ours, Vec::new())
}
/// SA, KE and Nr are there: check them against what was asked (R32).
fn take(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut opening: Box<Opening>,
    header: &Header,
    from: &Arrival<'_>,
    Accepted { proposals, ke, nr, nat, hashes, fragments, childless, intermediate, ppk }: Accepted,
) -> Phase {
    let Some((proposal, suite)) = choice(&opening, &proposals, &ke, intermediate) else {
        let ours = opening.offer.iter().map(keyword::proposal).collect();
        let theirs = proposals.iter().map(keyword::proposal).collect();
        let failure =
            Failure::new(cx.now, Where::SaInit, true, "answer.not_offered").between("proposals", ours, theirs);
        opening.note(cx, core, failure);
        return Phase::Opening(opening);
    };
    if !ppk && ppk::is_required(&opening.connection) {
        opening.note(cx, core, Failure::new(cx.now, Where::SaInit, true, "auth.ppk"));
        return Phase::Opening(opening);
    }
    // Without room for the computation, the response counts as lost: we will ask again.
    let Some(job) =
        cx.compute(core.id, Work::Agree { group: suite.group, private: opening.private.clone(), public: ke.data })
    else {
        return Phase::Opening(opening);
    };
    let response = from.data.to_vec();
    let spi_r = header.spi_r;
    let opening = *opening;
    Phase::Agreeing(Box::new(Agreeing {
        opening,
        suite,
        proposal,
        nr,
        response,
        hashes,
        ppk,
        job,
        spi_r,
        nat,
        fragments,
        childless,
    }))
}
/// What the peer has chosen, if that is a choice from our offer, and can be gone on with.
fn choice(opening: &Opening, proposals: &[Proposal], ke: &Ke, intermediate: bool) -> Option<(Proposal, IkeSuite)> {
    let chosen = check_answer(proposals, &opening.offer, KeRule::Prefer(None)).ok()?.clone();
    let suite = IkeSuite::of(&chosen)?;
    let agrees = suite.group == opening.group && ke.group == opening.group.id();
    let sound = agrees && (intermediate || suite.additional.is_empty()) && opening.group.check(&ke.data).is_ok();
    sound.then_some((chosen, suite))
}
/// Additional key exchanges can take place (RFC 9242 section 3.1).
fn takes_intermediate() -> Payload {
    Payload::Notify(Notify::new(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, []))
}
fn takes_childless() -> Payload {
    Payload::Notify(Notify::new(NotifyType::CHILDLESS_IKEV2_SUPPORTED, Vec::new()))
}
fn takes_fragments() -> Payload {
    Payload::Notify(Notify::new(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, Vec::new()))
}
