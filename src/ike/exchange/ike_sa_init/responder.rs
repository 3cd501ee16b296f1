//! The responder of IKE_SA_INIT: what a stranger asks for, and what it may cost us.
use super::{MAX_REQUEST, NOTIFY_LEN, takes_childless, takes_fragments, takes_intermediate};
use crate::ike::admission::InitKey;
use crate::ike::claim;
use crate::ike::common::Cx;
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::directory;
use crate::ike::error::Refusal;
use crate::ike::event::IkeId;
use crate::ike::exchange::half_open::HalfOpen;
use crate::ike::exchange::mobike::Mobile;
use crate::ike::exchange::{Arrival, Contents, proposal_code};
use crate::ike::nat;
use crate::ike::negotiate::{IkeSuite, KeRule, choose, differing, without_additional};
use crate::ike::policy::{Childless, Connection, EncapPolicy, Remote};
use crate::ike::ppk;
use crate::ike::sa::{Core, IkeSa, Phase};
use crate::ike::size::Size;
use crate::ike::window::Window;
use crate::wire::keyword;
use crate::wire::message::{Header, IkeSpi, Message, ParseError};
use crate::wire::payload::{Ke, Notify, Payload, Proposal};
use crate::wire::registry::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a request has led to.
pub(in crate::ike) enum Opened {
    /// A half-open IKE SA; its response is on its way.
    New(Box<IkeSa>, InitKey),
    /// A retransmission of the request that made this one.
    Again(IkeId),
    /// An error, a cookie or nothing was the answer.
    Nothing,
}
/// Handles a request.
pub(in crate::ike) fn on_request(cx: &mut Cx<'_>, header: &Header, from: &Arrival<'_>) -> Opened {
    if header.spi_i.is_none() || header.id != 0 || from.data.len() > MAX_REQUEST {
        return Opened::Nothing;
    }
    let contents = match read_request(from.data) {
        Ok(contents) => contents,
        Err(ParseError::Truncated) => return Opened::Nothing,
        Err(error) => {
            refuse(cx, header, from, Refusal::from(&error).notify());
            return Opened::Nothing;
        }
    };
    let key = (from.remote, header.spi_i, contents.nonce.clone().unwrap_or_default());
    if let Some(id) = cx.common.admission.half_open_by(&key) {
        return Opened::Again(id);
    }
    let limits = cx.policy().limits;
    let busy = cx.common.jobs.len() >= limits.compute_queue;
    let wary = busy || cx.common.admission.wants_cookie(cx.now, from.remote.ip(), &limits);
    if wary && !shows_cookie(cx, &contents, header, from) {
        return Opened::Nothing;
    }
    if is_looked_for(cx, from.remote.ip()) {
        return Opened::Nothing;
    }
    // Whoever was asked for a cookie has shown it: its address is its own.
    match consider(cx, header, from, &contents, wary) {
        Some(sa) => Opened::New(Box::new(sa), key),
        None => Opened::Nothing,
    }
}
/// Nobody is known to be there, but whoever is may be found under a name in a moment, and will ask again.
fn is_looked_for(cx: &mut Cx<'_>, remote: IpAddr) -> bool {
    let (host, directory) = (&mut *cx.host, &cx.common.directory);
    directory.may_have_moved(remote, host)
        && cx.common.admission.awaits_names(cx.now, || directory.ask_again(host))
        && !directory.takes_anybody()
}
fn read_request(data: &[u8]) -> Result<Contents, ParseError> {
    let contents = Contents::of(ExchangeType::IKE_SA_INIT, false, Message::parse(data)?.payloads)?;
    match (&contents.sa, &contents.ke, &contents.nonce) {
        (Some(_), Some(_), Some(_)) => Ok(contents),
        _ => Err(ParseError::Syntax("IKE_SA_INIT without SA, KE or Ni")),
    }
}
/// Chooses a suite, or refuses. `known`: the sender has shown a cookie, and is answered however much is refused.
fn consider(cx: &mut Cx<'_>, header: &Header, from: &Arrival<'_>, contents: &Contents, known: bool) -> Option<IkeSa> {
    let refuse = if known { reply } else { refuse };
    let (offer, ke) = (contents.sa.as_ref()?, contents.ke.as_ref()?);
    let candidates = cx.common.directory.between(from.local.ip(), from.remote.ip(), cx.host);
    let ours = directory::proposals(&candidates);
    let rule = KeRule::Prefer(Some(ke.group));
    let intermediate = contents.notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED).is_some();
    let left = if intermediate { offer.clone() } else { without_additional(offer) };
    let chosen = for_all(&left, &ours, rule).and_then(|p| Some((IkeSuite::of(&p)?, p)));
    let Some((suite, proposal)) = chosen else {
        if cx.may_report() {
            let nearest = closest(&candidates, offer);
            let failure = no_proposal(cx.now, from, offer, nearest.map_or(&[][..], |c| &c.proposals));
            cx.fail_stranger(failure, nearest);
        }
        refuse(cx, header, from, Refusal::NoProposal.notify());
        return None;
    };
    if ke.group != suite.group.id() {
        refuse(cx, header, from, Refusal::WrongGroup(suite.group).notify());
        return None;
    }
    if suite.group.check(&ke.data).is_err() {
        refuse(cx, header, from, Refusal::Syntax.notify());
        return None;
    }
    // Which of them it is will be known when it is too late to pretend.
    let forge = candidates.iter().any(|c| c.encap == EncapPolicy::Always);
    let fragments = candidates.iter().any(|c| c.fragmentation)
        && contents.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
    let hashes = claim::announced(contents).filter(|_| candidates.iter().any(|c| claim::signs(c)));
    let mut more: Vec<Payload> = hashes.iter().map(|_| claim::announcement()).collect();
    more.extend(claim::request(cx, candidates.iter().map(|c| &**c)));
    let childless = candidates.iter().any(|c| c.childless != Childless::Never);
    let asks_ppk = contents.notify(NotifyType::USE_PPK).is_some();
    let ppk = asks_ppk && candidates.iter().any(|c| ppk::secret(cx, c).is_some());
    let lacks_ppk = asks_ppk && !ppk;
    more.extend(ppk.then(ppk::offer));
    let chosen =
        Chosen { suite, proposal, public: ke.data.clone(), forge, fragments, hashes, ppk, lacks_ppk, more, childless };
    answer(cx, header, from, contents, chosen)
}
/// Which of several connections it is shows in IKE_AUTH, and only what that one allows is good then: what all of them allow, if there is such
/// a suite, and else what any does.
fn for_all(offer: &[Proposal], ours: &[&[Proposal]], rule: KeRule) -> Option<Proposal> {
    let chosen = |ours: &[Proposal]| choose(offer, ours, ProtocolId::IKE, rule);
    let allows = |p: &Proposal, ours: &[Proposal]| choose(std::slice::from_ref(p), ours, p.protocol, rule).is_some();
    let of_each = ours.iter().filter_map(|list| chosen(list));
    of_each.into_iter().find(|p| ours.iter().all(|list| allows(p, list))).or_else(|| chosen(&ours.concat()))
}
/// What the responder has made up its mind about.
struct Chosen {
    suite: IkeSuite,
    proposal: Proposal,
    /// The initiator's public value.
    public: Vec<u8>,
    /// Make the initiator believe in a NAT.
    forge: bool,
    /// Both ends take fragments.
    fragments: bool,
    /// Hash functions that the initiator has announced, as we do.
    hashes: Option<Vec<u16>>,
    /// Both ends have a post-quantum pre-shared key.
    ppk: bool,
    /// The initiator has one, and nobody here.
    lacks_ppk: bool,
    /// Payloads about certificates and keys.
    more: Vec<Payload>,
    /// We take an IKE_AUTH without a child.
    childless: bool,
}
/// Makes the half-open IKE SA and sends the response.
fn answer(
    cx: &mut Cx<'_>,
    header: &Header,
    from: &Arrival<'_>,
    contents: &Contents,
    mut chosen: Chosen,
) -> Option<IkeSa> {
    let ni = contents.nonce.as_ref()?;
    if !cx.common.admission.has_room(from.remote.ip(), &cx.policy().limits) {
        return None;
    }
    let core = unknown(cx, header, from, contents, &chosen);
    let nr = cx.nonce();
    let mut payloads = payloads(cx, &core, contents, &chosen, &nr);
    payloads.append(&mut chosen.more);
    let mut message = Message { header: core.header(ExchangeType::IKE_SA_INIT, 0, true), payloads };
    // A word that few ask for is not worth a cookie.
    if chosen.childless && message.encode().len() + NOTIFY_LEN <= from.data.len() {
        message.payloads.push(takes_childless());
    }
    // Before the address is proven no answer is larger than the request; the length does not depend on the public value.
    if message.encode().len() > from.data.len() && !shows_cookie(cx, contents, header, from) {
        return None;
    }
    let group = chosen.suite.group;
    let private = cx.private(group);
    message.payloads[1] = Payload::Ke(Ke { group: group.id(), data: group.public(&private) });
    let response = message.encode();
    cx.transmit(from.local, from.remote, response.clone());
    let half_open = HalfOpen {
        key: (from.remote, header.spi_i, ni.clone()),
        suite: chosen.suite,
        proposal: chosen.proposal,
        private,
        public: chosen.public,
        nr,
        request: from.data.to_vec(),
        response,
        keys: None,
        job: None,
        done: 0,
        answering: None,
        previous: None,
        hashes: chosen.hashes,
        ppk: chosen.ppk,
        pending: None,
        parked: Vec::new(),
        lacks_ppk: chosen.lacks_ppk,
        told: false,
        suspect: None,
        refused: None,
    };
    Some(IkeSa { core, phase: Phase::HalfOpen(Box::new(half_open)) })
}
/// The IKE SA of somebody whom we do not know yet.
fn unknown(cx: &mut Cx<'_>, header: &Header, from: &Arrival<'_>, contents: &Contents, chosen: &Chosen) -> Core {
    let of_request = (header.spi_i, IkeSpi::NONE);
    Core {
        id: cx.new_ike_id(),
        spi_i: header.spi_i,
        spi_r: cx.new_spi(),
        initiator: false,
        local: from.local,
        remote: from.remote,
        nat: nat::detect(&contents.notifies, of_request, from.local, from.remote, chosen.forge),
        size: Size::new(chosen.fragments),
        mobile: Mobile::default(),
        window: Window::after_init(),
        connection: None,
        created: cx.now,
        sent: cx.now,
        replaces: None,
        abandons: false,
        hit: None,
    }
}
/// What the response says, without its public value: that is computed when it is clear that the response may leave.
fn payloads(cx: &mut Cx<'_>, core: &Core, contents: &Contents, chosen: &Chosen, nr: &[u8]) -> Vec<Payload> {
    let group = chosen.suite.group;
    let mut payloads = vec![
        Payload::Sa(vec![Proposal { spi: Vec::new(), ..chosen.proposal.clone() }]),
        Payload::Ke(Ke { group: group.id(), data: vec![0; group.public_len()] }),
        Payload::Nonce(nr.to_vec()),
    ];
    if contents.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_some() {
        let forged = chosen.forge.then(|| {
            let mut random = [0; 20];
            cx.host.random(&mut random);
            random
        });
        let detection = nat::notifies((core.spi_i, core.spi_r), core.local, core.remote, forged);
        payloads.extend(detection.map(Payload::Notify));
    }
    payloads.extend(chosen.fragments.then(takes_fragments));
    payloads.extend(contents.notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED).map(|_| takes_intermediate()));
    payloads
}
/// True if the request carries a good cookie; otherwise it is answered with one. A wrong cookie counts as none.
fn shows_cookie(cx: &mut Cx<'_>, contents: &Contents, header: &Header, from: &Arrival<'_>) -> bool {
    let (now, addr) = (cx.now, from.remote.ip());
    let Some(ni) = &contents.nonce else { return false };
    let good = contents
        .notify(NotifyType::COOKIE)
        .is_some_and(|n| cx.common.admission.is_cookie(now, &n.data, addr, header.spi_i, ni, cx.host));
    if !good {
        cx.common.counts.cookies += 1;
        let cookie = cx.common.admission.cookie(now, addr, header.spi_i, ni, cx.host);
        reply(cx, header, from, Notify::new(NotifyType::COOKIE, cookie));
    }
    good
}
/// Of the connections of this pair of addresses the one that the offer comes closest to; one for everybody only if there is no other.
fn closest<'a>(candidates: &'a [Arc<Connection>], offer: &[Proposal]) -> Option<&'a Connection> {
    let distance = |c: &&Arc<Connection>| {
        let missing = differing(offer, &c.proposals, KeRule::Prefer(None)).len();
        (c.remote_addrs.contains(&Remote::Any), missing)
    };
    candidates.iter().min_by_key(distance).map(|c| &**c)
}
fn no_proposal(now: Duration, from: &Arrival<'_>, offer: &[Proposal], ours: &[Proposal]) -> Failure {
    let differing = differing(offer, ours, KeRule::Prefer(None));
    let code = match differing.as_slice() {
        _ if ours.is_empty() => "peer.unknown",
        [one] => proposal_code(one),
        _ => "proposal.ike",
    };
    let words = |list: &[Proposal]| list.iter().take(16).map(keyword::proposal).collect();
    let failure = Failure::new(now, Where::SaInit, false, code).between("proposals", words(ours), words(offer));
    Failure { differing, remote: Some(from.remote), ..failure }
}
/// An error without an IKE SA; not more of them than `admission` allows. Who asks from this host's loopback, where no stranger's datagram comes from, is
/// answered whatever strangers do meanwhile: `sandhog health` is to tell a flood from a daemon that hangs.
pub(in crate::ike) fn refuse(cx: &mut Cx<'_>, header: &Header, from: &Arrival<'_>, notify: Notify) {
    if from.remote.ip().is_loopback() || cx.common.admission.answers.take(cx.now) {
        reply(cx, header, from, notify);
    }
}
/// A response of one notification, never larger than the request.
fn reply(cx: &mut Cx<'_>, header: &Header, from: &Arrival<'_>, notify: Notify) {
    let header = Header {
        spi_r: IkeSpi::NONE,
        first: PayloadType::NONE,
        version: (2, 0),
        initiator: false,
        response: true,
        length: 0,
        ..*header
    };
    let bytes = Message { header, payloads: vec![Payload::Notify(notify)] }.encode();
    if bytes.len() <= from.data.len() {
        cx.transmit(from.local, from.remote, bytes);
    }
}
