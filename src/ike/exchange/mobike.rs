//! MOBIKE (RFC 4555): the original initiator moves an IKE SA and its children to other addresses; nobody else does, and traffic follows to
//! an address that has not answered yet only after it has.
//!
//! The initiator finds a path that works by sending whatever request is next on several of them; the answer tells which. Then it says so by
//! UPDATE_SA_ADDRESSES, and when that is answered ESP follows.
use super::{Arrival, Contents, probe};
use crate::frozen::frozen;
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::event::{Ended, Event};
use crate::ike::nat::{self, Nat};
use crate::ike::policy::{Connection, Remote};
use crate::ike::sa::{self, Answer, CLOSING_TIME, Core, Established, Task};
use crate::ike::ways;
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Additional addresses of a peer that we keep, and of ours that we tell.
const MAX_ADDITIONAL: usize = 8;
/// So many addresses of the peer are known to have answered.
const MAX_SEEN: usize = 16;
/// A request goes out on so many paths at most.
const MAX_PATHS: usize = 16;
/// UNEXPECTED_NAT_DETECTED may be an attack on a single packet: so often an update is tried again (RFC 4555 section 3.9).
const MAX_RETRIES: u8 = 3;

/// Our end and the peer's.
pub(in crate::ike) type Ends = (SocketAddr, SocketAddr);

/// What an IKE SA knows of moving.
#[derive(Clone, Debug, Default)]
pub(in crate::ike) struct Mobile {
    /// Both ends have announced MOBIKE_SUPPORTED.
    pub agreed: bool,
    /// We began the first of these IKE SAs: whoever began the latest rekey does not matter here (RFC 4555 section 1.3).
    mover: bool,
    /// Where the outstanding request goes until an answer tells which path works, the best first; empty: where the IKE SA is.
    pub trying: Vec<Ends>,
    /// Where ESP stays until the new addresses have been proven.
    pub proven: Option<(Ends, Nat)>,
    /// The peer's further addresses. Nothing is sent there but what tries a path.
    additional: Vec<IpAddr>,
    /// Addresses at which the peer has answered.
    seen: Vec<IpAddr>,
    /// Our further addresses, as the peer was told.
    told: Vec<IpAddr>,
    retries: u8,
}
/// What we will ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ike) enum Ask {
    /// Initiator: the addresses are these now.
    Update,
    /// Responder: is the peer where it says?
    Routability,
    /// Our further addresses are others now.
    Addresses,
}
/// What we have asked.
#[derive(Debug)]
pub(in crate::ike) struct Asked {
    ask: Ask,
    cookie: Vec<u8>,
    ends: Ends,
}
frozen! {
    struct Mobile { agreed, mover, trying, proven, additional, seen, told, retries }
    struct Asked { ask, cookie, ends }
}

/// What IKE_AUTH says about it: that we can, and where else we are.
pub(in crate::ike) fn announce(cx: &mut Cx<'_>, core: &mut Core, connection: &Connection) -> Vec<Payload> {
    if !connection.mobike {
        return Vec::new();
    }
    core.mobile.told = further(cx, core, connection);
    let mut payloads = vec![status(NotifyType::MOBIKE_SUPPORTED)];
    payloads.extend(core.mobile.told.iter().map(|addr| additional(*addr)));
    if core.initiator && !core.nat.spoken {
        payloads.push(no_nats(core.local, core.remote));
    }
    payloads
}
/// The peer's IKE_AUTH is authentic, and this is what it says about it. Returns what the response says of addresses that somebody has touched
/// on the way.
pub(in crate::ike) fn agree(core: &mut Core, connection: &Connection, contents: &Contents) -> Option<Payload> {
    let both = connection.mobike && contents.notify(NotifyType::MOBIKE_SUPPORTED).is_some();
    let touched = both && !core.initiator && is_touched(contents, core.local, core.remote);
    core.mobile.agreed = both && !touched;
    if core.mobile.agreed {
        core.mobile.additional = listed(contents).unwrap_or_default();
        core.mobile.mover = core.initiator;
        core.mobile.saw(core.remote.ip());
    }
    touched.then(|| status(NotifyType::UNEXPECTED_NAT_DETECTED))
}
/// The peer has sent this to other addresses, or from others, than it has come (RFC 4555 section 3.9).
fn is_touched(contents: &Contents, local: SocketAddr, remote: SocketAddr) -> bool {
    contents.notify(NotifyType::NO_NATS_ALLOWED).is_some_and(|n| n.data != ends(remote, local))
}

/// The host has other addresses or routes now.
pub(in crate::ike) fn addresses_changed(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) {
    if !core.mobile.agreed || est.closing.is_some() {
        return;
    }
    let paths = paths(cx, core);
    let here = (core.local, core.remote);
    if core.mobile.mover {
        // One that is only better than this one can wait (`ways`).
        if !paths.is_empty() && !paths.contains(&here) {
            try_paths(cx, core, est, paths);
        }
    } else if !paths.iter().any(|(local, _)| *local == core.local)
        && let Some((local, _)) = paths.first()
    {
        // The address that we send from is gone: the one case in which a responder takes another (RFC 4555 section 3.5).
        probe::stop(cx, core, est);
        core.local = *local;
        let path = core.path();
        cx.emit(Event::PathChanged { ike: core.id, path });
        // From there, so that the initiator sees it, whether or not there are further ones.
        est.plan(Task::Mobike(Ask::Addresses));
    }
    let connection = est.connection.clone();
    if further(cx, core, &connection) != core.mobile.told {
        est.plan(Task::Mobike(Ask::Addresses));
    }
    est.pump(cx, core);
}
/// Sends the next request, or the one in flight, on these paths.
fn try_paths(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, paths: Vec<Ends>) {
    probe::stop(cx, core, est);
    core.mobile.trying = paths;
    core.window.again(cx.now);
    if core.window.is_free() && est.queue.is_empty() {
        est.plan(Task::Liveness);
    }
}
/// Nobody answers where the IKE SA is: where else the peer may be. For the initiator all paths that it knows; for the responder, which
/// was told to go there, also where it was before.
pub(in crate::ike) fn elsewhere(cx: &mut Cx<'_>, core: &mut Core) {
    let here = (core.local, core.remote);
    if !core.mobile.agreed {
        return;
    }
    let further = match (&core.mobile.trying[..], core.mobile.proven) {
        // Only on the one that is liked best: on the one that works, too. The others have their turn when that is silent as well.
        ([path], _) if *path != here && cx.host.reaches(here.0.ip(), here.1.ip()) => vec![here],
        _ if core.mobile.mover => paths(cx, core),
        ([], Some((before, _))) => vec![here, before],
        _ => return,
    };
    let trying = &mut core.mobile.trying;
    for path in further {
        if trying.len() < MAX_PATHS && !trying.contains(&path) {
            trying.push(path);
        }
    }
    if *trying == [here] {
        trying.clear();
    }
}
/// Names that the peer has are resolved, and it is still silent: it may be there.
pub(in crate::ike) fn found(cx: &mut Cx<'_>, core: &mut Core) {
    if core.mobile.agreed && core.mobile.mover {
        let before = std::mem::take(&mut core.mobile.trying);
        elsewhere(cx, core);
        // Where it goes already it goes when it is its time.
        if core.mobile.trying.iter().any(|path| !before.contains(path)) {
            core.resend(cx);
        }
    }
}
/// The first of our addresses may work again: whatever is asked next is asked from there alone, until it is clear that there is no answer. The
/// way back is often the slower one.
pub(in crate::ike) fn try_home(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, home: IpAddr) {
    if core.mobile.mover && core.mobile.trying.is_empty() && est.closing.is_none() {
        let from_home = (SocketAddr::new(home, core.local.port()), core.remote);
        try_paths(cx, core, est, vec![from_home]);
        est.pump(cx, core);
    }
}
/// An authentic response has come: this path works.
pub(in crate::ike) fn answered(core: &mut Core, est: &mut Established, from: &Arrival<'_>) {
    let (ends, here) = ((from.local, from.remote), (core.local, core.remote));
    if core.mobile.trying.is_empty() {
        return;
    }
    if !core.mobile.trying.contains(&ends) {
        // An answer from where we have just left tells nothing: ask again.
        if est.queue.is_empty() {
            est.plan(Task::Liveness);
        }
        return;
    }
    core.mobile.trying.clear();
    if ends == here {
        return;
    }
    if core.mobile.mover {
        core.leave(ends);
        est.queue.retain(|task| *task != Task::Mobike(Ask::Update));
        est.queue.push_front(Task::Mobike(Ask::Update));
    } else if let Some((before, nat)) = core.mobile.proven.take() {
        ((core.local, core.remote), core.nat) = (before, nat);
    }
}

/// Asks.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, ask: Ask) -> sa::Asked {
    let mut cookie = vec![0; 16];
    cx.host.random(&mut cookie);
    let mut payloads = Vec::new();
    if ask == Ask::Update {
        payloads.push(status(NotifyType::UPDATE_SA_ADDRESSES));
        if core.nat.spoken {
            payloads.extend(detection(core, core.local, core.remote));
        }
    }
    if ask != Ask::Routability {
        let connection = est.connection.clone();
        let told = further(cx, core, &connection);
        if told != core.mobile.told || ask == Ask::Addresses {
            payloads.extend(told.iter().map(|addr| additional(*addr)));
            payloads.extend(told.is_empty().then(|| status(NotifyType::NO_ADDITIONAL_ADDRESSES)));
            core.mobile.told = told;
        }
        if !core.nat.spoken {
            payloads.push(no_nats(core.local, core.remote));
        }
    }
    payloads.push(Payload::Notify(Notify::new(NotifyType::COOKIE2, cookie.clone())));
    est.request(cx, core, ExchangeType::INFORMATIONAL, &payloads);
    sa::Asked::Mobike(Asked { ask, cookie, ends: (core.local, core.remote) })
}
/// Handles the response.
pub(in crate::ike) fn response(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    asked: &Asked,
    contents: &Contents,
) -> Step<()> {
    if contents.notify(NotifyType::COOKIE2).is_none_or(|n| n.data != asked.cookie) {
        // It has not seen the request (RFC 4555 section 3.7).
        fail(cx, core, est, "mobike.cookie");
        est.close(cx.now, Ended::Failed, CLOSING_TIME);
        return Ok(());
    }
    // Another address since then: what was asked for it is not the question any more.
    if asked.ends != (core.local, core.remote) || asked.ask == Ask::Addresses {
        return Ok(());
    }
    if contents.notify(NotifyType::UNEXPECTED_NAT_DETECTED).is_some() {
        core.mobile.retries += 1;
        if core.mobile.retries <= MAX_RETRIES {
            est.queue.push_front(Task::Mobike(asked.ask));
            return Ok(());
        }
    }
    if let Some(notify) = contents.error() {
        let failure = Failure::new(cx.now, Where::Traffic, core.initiator, "mobike.refused");
        let failure = Failure { remote: Some(core.remote), ..failure };
        cx.fail(failure.likely(notify.kind, &[]), Some(&est.connection));
        if let Some((before, nat)) = core.mobile.proven.take() {
            ((core.local, core.remote), core.nat) = (before, nat);
        }
        return Ok(());
    }
    if asked.ask == Ask::Update && core.nat.spoken {
        let spis = (core.spi_i, core.spi_r);
        core.nat = nat::detect(&contents.notifies, spis, core.local, core.remote, core.nat.forged);
    }
    core.arrive(cx);
    Ok(())
}

/// Handles what a request says of addresses, and returns what the response says.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    to: &Answer,
    contents: &Contents,
) -> Vec<Payload> {
    let mut payloads = Vec::new();
    payloads
        .extend(contents.notify(NotifyType::COOKIE2).map(|n| Notify::new(n.kind, n.data.clone())).map(Payload::Notify));
    if contents.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_some() && core.nat.spoken {
        payloads.extend(detection(core, to.local, to.remote));
    }
    if !core.mobile.agreed {
        return payloads;
    }
    if is_touched(contents, to.local, to.remote) {
        payloads.push(status(NotifyType::UNEXPECTED_NAT_DETECTED));
        return payloads;
    }
    let moves = contents.notify(NotifyType::UPDATE_SA_ADDRESSES).is_some() && !core.mobile.mover;
    if moves && !is_acceptable(to) {
        payloads.push(status(NotifyType::UNACCEPTABLE_ADDRESSES));
        return payloads;
    }
    if let Some(list) = listed(contents) {
        core.mobile.additional = list;
        if core.mobile.mover && to.remote != core.remote {
            core.mobile.additional.insert(0, to.remote.ip());
            core.mobile.additional.truncate(MAX_ADDITIONAL);
        }
        let theirs = |addr: IpAddr| addr == to.remote.ip() || core.mobile.additional.contains(&addr);
        if core.mobile.mover && !theirs(core.remote.ip()) {
            let paths = paths(cx, core);
            try_paths(cx, core, est, paths);
        }
    }
    if moves {
        move_to(cx, core, est, to, contents);
    }
    payloads
}
/// The initiator is somewhere else now. ESP follows when it has answered there once.
fn move_to(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, to: &Answer, contents: &Contents) {
    let ends = (to.local, to.remote);
    if ends != (core.local, core.remote) {
        probe::stop(cx, core, est);
        core.leave(ends);
    }
    core.mobile.trying.clear();
    if core.nat.spoken && contents.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_some() {
        core.nat = nat::detect(&contents.notifies, (core.spi_i, core.spi_r), core.local, core.remote, core.nat.forged);
    }
    if core.mobile.seen.contains(&core.remote.ip()) {
        core.arrive(cx);
    } else {
        est.plan(Task::Mobike(Ask::Routability));
    }
}
/// An address that somebody can be at.
fn is_acceptable(to: &Answer) -> bool {
    to.remote.ip() != to.local.ip() && is_host(to.remote.ip())
}
fn is_host(addr: IpAddr) -> bool {
    let broadcast = matches!(addr, IpAddr::V4(ip) if ip.is_broadcast());
    !addr.is_unspecified() && !addr.is_multicast() && !addr.is_loopback() && !broadcast
}

/// What a liveness check of the initiator behind a NAT asks as well: does the NAT still show it as before? (RFC 4555 section 3.8)
pub(in crate::ike) fn question(core: &Core) -> Vec<Payload> {
    let ask = core.mobile.agreed && core.mobile.mover && core.nat.local && core.mobile.trying.is_empty();
    if ask { detection(core, core.local, core.remote).into() } else { Vec::new() }
}
/// The answer to it: if the NAT shows us otherwise, the responder is told to look.
pub(in crate::ike) fn look(core: &Core, est: &mut Established, contents: &Contents) {
    let now = nat::seen_as(&contents.notifies);
    if core.mobile.agreed && core.mobile.mover && core.nat.local && now.is_some() && now != core.nat.seen_as {
        est.plan(Task::Mobike(Ask::Update));
    }
}

impl Mobile {
    /// What the next IKE SA inherits by a rekey.
    pub(in crate::ike) fn heir(&self) -> Self {
        Self { trying: Vec::new(), retries: 0, ..self.clone() }
    }
    /// What it has to ask first: the answer to a question of the old one would not reach it.
    pub(in crate::ike) fn open_question(&self) -> Option<Task> {
        self.proven?;
        Some(Task::Mobike(if self.mover { Ask::Update } else { Ask::Routability }))
    }
    /// The peer's further addresses, as it has told them.
    #[cfg(test)]
    pub(in crate::ike) fn known(&self) -> &[IpAddr] {
        &self.additional
    }
    fn saw(&mut self, addr: IpAddr) {
        if !self.seen.contains(&addr) {
            self.seen.truncate(MAX_SEEN - 1);
            self.seen.insert(0, addr);
        }
    }
}
impl Core {
    /// The IKE SA is there now; ESP stays where it is.
    fn leave(&mut self, ends: Ends) {
        let here = ((self.local, self.remote), self.nat);
        self.mobile.proven.get_or_insert(here);
        (self.local, self.remote) = ends;
        self.size.forget();
    }
    /// The peer has answered where the IKE SA is: ESP follows.
    fn arrive(&mut self, cx: &mut Cx<'_>) {
        let before = self.path();
        self.mobile.proven = None;
        self.mobile.retries = 0;
        self.mobile.saw(self.remote.ip());
        let path = self.path();
        if path != before {
            cx.emit(Event::PathChanged { ike: self.id, path });
            cx.common.touched.extend(self.connection.clone());
        }
    }
}

/// From where to where the initiator can send: to where the peer is, then to its further addresses, then to the configured ones; each from
/// those of ours that can be used, the best first.
fn paths(cx: &mut Cx<'_>, core: &Core) -> Vec<Ends> {
    let link = core.connection.as_ref().and_then(|name| cx.common.links.get(name));
    let Some(connection) = link.map(|link| link.connection.clone()) else { return Vec::new() };
    let port = cx.policy().ports.natt;
    let mut remotes = vec![core.remote];
    if core.mobile.mover {
        let mut further = core.mobile.additional.clone();
        for remote in &connection.remote_addrs {
            match remote {
                Remote::Addr(addr) => further.push(*addr),
                Remote::Name(name) => further.extend(cx.host.resolve(name)),
                Remote::Any => {}
            }
        }
        for addr in further {
            if remotes.len() <= 2 * MAX_ADDITIONAL && !remotes.iter().any(|r| r.ip() == addr) && !cx.host.is_ours(addr)
            {
                remotes.push(SocketAddr::new(addr, port));
            }
        }
    }
    let mut paths = Vec::new();
    for remote in remotes {
        let locals = ways::locals(&connection, remote.ip(), cx.host).into_iter();
        paths.extend(locals.map(|local| (SocketAddr::new(local, core.local.port()), remote)));
    }
    paths.truncate(MAX_PATHS);
    paths
}
/// Our addresses besides the one in use.
fn further(cx: &mut Cx<'_>, core: &Core, connection: &Connection) -> Vec<IpAddr> {
    let allowed = |addr: &IpAddr| connection.local_addrs.is_empty() || connection.local_addrs.contains(addr);
    let mut list = cx.host.local_addrs();
    list.retain(|addr| *addr != core.local.ip() && is_host(*addr) && allowed(addr));
    list.truncate(MAX_ADDITIONAL);
    list
}
/// The peer's further addresses, if it says anything of them.
fn listed(contents: &Contents) -> Option<Vec<IpAddr>> {
    let address = |n: &Notify| match n.kind {
        NotifyType::ADDITIONAL_IP4_ADDRESS => {
            n.data.as_slice().try_into().ok().map(|a: [u8; 4]| Ipv4Addr::from(a).into())
        }
        NotifyType::ADDITIONAL_IP6_ADDRESS => {
            n.data.as_slice().try_into().ok().map(|a: [u8; 16]| Ipv6Addr::from(a).into())
        }
        _ => None,
    };
    let mut list: Vec<IpAddr> = Vec::new();
    for addr in contents.notifies.iter().filter_map(address).filter(|addr| is_host(*addr)) {
        if list.len() < MAX_ADDITIONAL && !list.contains(&addr) {
            list.push(addr);
        }
    }
    let none = contents.notify(NotifyType::NO_ADDITIONAL_ADDRESSES).is_some();
    (none || !list.is_empty()).then_some(list)
}

fn additional(addr: IpAddr) -> Payload {
    Payload::Notify(match addr {
        IpAddr::V4(ip) => Notify::new(NotifyType::ADDITIONAL_IP4_ADDRESS, ip.octets()),
        IpAddr::V6(ip) => Notify::new(NotifyType::ADDITIONAL_IP6_ADDRESS, ip.octets()),
    })
}
fn status(kind: NotifyType) -> Payload {
    Payload::Notify(Notify::new(kind, Vec::new()))
}
/// Of a peer without NAT traversal nobody may have touched the addresses (RFC 4555 section 3.9).
fn no_nats(local: SocketAddr, remote: SocketAddr) -> Payload {
    Payload::Notify(Notify::new(NotifyType::NO_NATS_ALLOWED, ends(local, remote)))
}
/// Source, destination, and their ports (RFC 4555 section 4.2.6).
fn ends(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let octets = |addr: IpAddr| match addr {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    [octets(from.ip()), octets(to.ip()), ports].concat()
}
fn detection(core: &Core, local: SocketAddr, remote: SocketAddr) -> [Payload; 2] {
    let forged = core.nat.forged.then_some([0; 20]);
    nat::notifies((core.spi_i, core.spi_r), local, remote, forged).map(Payload::Notify)
}
fn fail(cx: &mut Cx<'_>, core: &Core, est: &Established, code: &'static str) {
    let failure = Failure::new(cx.now, Where::Traffic, core.initiator, code);
    cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
}
