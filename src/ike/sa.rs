//! One IKE SA: what it has in every phase, and its phases as types.
use super::channel::{Channel, Sealed};
use super::child::{Child, ChildState, Offer};
use super::common::{Cx, How, Redundant, Step};
use super::event::{ChildId, Ended, Event, IkeId, IkePath};
use super::examine::inside;
use super::exchange::create_child::{self, Making};
use super::exchange::followup_ke::HalfDone;
use super::exchange::half_open::HalfOpen;
use super::exchange::ike_auth::Proving;
use super::exchange::ike_sa_init::{Agreeing, Opening};
use super::exchange::intermediate::Mixing;
use super::exchange::mobike::{self, Mobile};
use super::exchange::{Arrival, Contents, delete, liveness, probe, rekey_child, rekey_ike};
use super::keys::SkD;
use super::life::Life;
use super::nat::Nat;
use super::policy::Connection;
use super::resources;
use super::size::Size;
use super::timer;
use super::unheard::Unheard;
use super::virtuals::Virtuals;
use super::window::{Due, Window};
use crate::wire::message::{Header, IkeSpi};
use crate::wire::payload::{Id, Payload, Proposal};
use crate::wire::registry::{ExchangeType, PayloadType, ProtocolId};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Half-open IKE SAs end after this.
pub(super) const HALF_OPEN_LIFETIME: Duration = Duration::from_secs(30);
/// So long a Delete of the IKE SA may take.
pub(super) const CLOSING_TIME: Duration = Duration::from_secs(5);
/// What has lost a collision is deleted by the peer; if it does not know of the collision, by us after this.
pub(super) const RELIEF_TIME: Duration = Duration::from_secs(10);
/// A peer that answers TEMPORARY_FAILURE for longer than this does not know what it has (R22).
const TEMPORARY: Duration = Duration::from_secs(180);
/// One that comes so long after the last is another one.
const ANOTHER: Duration = Duration::from_secs(150);
/// Message ids end at 2^32; before that the IKE SA has to be rekeyed (RFC 7296 section 2.2).
pub(super) const LAST_ID: u32 = u32::MAX - 0xffff;

/// One IKE SA.
pub(super) struct IkeSa {
    pub core: Core,
    pub phase: Phase,
}
/// What every phase has.
pub(super) struct Core {
    pub id: IkeId,
    pub spi_i: IkeSpi,
    pub spi_r: IkeSpi,
    /// We are the original initiator.
    pub initiator: bool,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub nat: Nat,
    pub size: Size,
    pub mobile: Mobile,
    pub window: Window,
    /// The connection, once it is known.
    pub connection: Option<Arc<str>>,
    pub created: Duration,
    /// Something left for the peer.
    pub sent: Duration,
    /// It is made from scratch to take the place of this one.
    pub replaces: Option<IkeId>,
    /// That one is lost: the peer is told so (INITIAL_CONTACT), and it goes without a word.
    pub abandons: bool,
    /// The peer has answered, as ESP on this SPI shows: our request was sent again, once.
    pub hit: Option<u32>,
}
/// The phases, in order. Each is consumed by the step that leaves it.
pub(super) enum Phase {
    /// Initiator: IKE_SA_INIT is asked.
    Opening(Box<Opening>),
    /// Initiator: IKE_SA_INIT is answered, g^ir is being computed.
    Agreeing(Box<Agreeing>),
    /// Initiator: an additional key exchange is under way.
    Mixing(Box<Mixing>),
    /// Initiator: IKE_AUTH is asked.
    Proving(Box<Proving>),
    /// Responder: IKE_SA_INIT is answered.
    HalfOpen(Box<HalfOpen>),
    /// Both are authenticated.
    Established(Box<Established>),
    /// Nothing: only while a step is being taken.
    Moving,
}
/// What only an authenticated IKE SA has.
pub(super) struct Established {
    pub connection: Arc<Connection>,
    /// As it was when it permitted this IKE SA, if it does not any more and another one has to be made in its place.
    pub permitted: Option<Arc<Connection>>,
    /// The configuration has changed, and children may come that are as it was.
    pub unsettled: bool,
    pub peer: u32,
    pub local_id: Id,
    pub remote_id: Id,
    /// Addresses by the configuration payload.
    pub virtuals: Virtuals,
    pub proposal: Proposal,
    pub keys: SkD,
    pub channel: Channel,
    pub since: Duration,
    /// The peer's signs of life.
    pub signs: liveness::Signs,
    pub children: Vec<Child>,
    /// Requests that wait for the window.
    pub queue: VecDeque<Task>,
    /// The request in flight.
    pub asked: Option<Asked>,
    /// A request of the peer that waits for a secret.
    pub answering: Option<Box<create_child::Answering>>,
    /// A post-quantum pre-shared key went into its keys, or into those that it was rekeyed from.
    pub ppk: bool,
    /// Children that the peer may not have known of when it sent its next request.
    pub fresh: Vec<rekey_child::Fresh>,
    /// What the peer has begun, and more key exchanges follow.
    pub half_done: Vec<HalfDone>,
    /// We are taking it down: why, and when we stop waiting for the peer.
    pub closing: Option<(Ended, Duration)>,
    /// The time of its keys.
    pub life: Life,
    /// The time of the authentication, which outlives rekeys.
    pub authentication: Life,
    pub standing: Standing,
    /// Another one has its place. Until then the peer may delete it, or what is on its way arrives; then we delete it.
    pub leave_at: Option<Duration>,
    /// The one that it has inherited from; it may be waiting for its Delete.
    pub older: Option<IkeId>,
    /// The one whose children it makes anew, before that one is deleted.
    pub relieves: Option<IkeId>,
    /// The peer has answered TEMPORARY_FAILURE and nothing else: from when to when.
    pub put_off: Option<(Duration, Duration)>,
    /// The child that the peer may not know yet.
    pub unheard: Option<Unheard>,
}
/// Its place among the IKE SAs that rekeys have made one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is in use, and has the children.
    Current,
    /// The peer has asked for it while we rekey that one, too: it is not decided whether it will be in use.
    Rival(IkeId),
    /// Another one is in use in its place; it waits for its Delete.
    Succeeded,
}
/// A request that we will make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    CreateChild(Arc<str>),
    /// One more beside this child, for a resource (RFC 9611).
    CreateResource(Arc<str>),
    RekeyChild(ChildId),
    RekeyIke,
    DeleteChild(ChildId),
    /// A child that only the peer has. `release`: its answer was not what we asked for, and the SPI is still taken.
    DeleteSpi {
        spi: u32,
        release: bool,
    },
    DeleteIke,
    Liveness,
    /// An outer packet of so many octets.
    Probe(u16),
    Mobike(mobike::Ask),
    /// What an examination wants to know next.
    Examine,
}
/// A request that we have made.
pub(super) enum Asked {
    Create(Box<create_child::Asked>),
    DeleteChildren {
        ids: Vec<ChildId>,
        /// The peer may not have known this one when it was sent.
        unheard: Option<ChildId>,
    },
    DeleteSpi {
        spi: u32,
        release: bool,
    },
    DeleteIke,
    Liveness,
    /// The same, until it is known whether a packet of this size has arrived.
    Probe {
        /// As it was asked for.
        size: u16,
        /// As it is.
        sent: u16,
    },
    Mobike(mobike::Asked),
    /// The same, with a child of this SPI that will never be one.
    Examine(u32),
}

impl Core {
    /// A header of ours.
    pub(super) fn header(&self, exchange: ExchangeType, id: u32, response: bool) -> Header {
        Header {
            spi_i: self.spi_i,
            spi_r: self.spi_r,
            first: PayloadType::NONE,
            version: (2, 0),
            exchange,
            initiator: self.initiator,
            response,
            id,
            length: 0,
        }
    }
    /// Our SPI.
    pub(super) fn our_spi(&self) -> IkeSpi {
        if self.initiator { self.spi_i } else { self.spi_r }
    }
    /// Sends a new request and keeps it for retransmission.
    pub(super) fn request(&mut self, cx: &mut Cx<'_>, exchange: ExchangeType, message: impl Into<Sealed>) {
        let sealed = message.into();
        let (local, remote) = self.mobile.trying.first().copied().unwrap_or((self.local, self.remote));
        cx.transmit_all(local, remote, &sealed);
        self.sent = cx.now;
        self.window.sent(cx.now, exchange, sealed, &cx.policy().retransmit);
    }
    /// Seals and sends a new request, and keeps it for retransmission.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, channel: &mut Channel, exchange: ExchangeType, payloads: &[Payload]) {
        let header = self.header(exchange, self.window.next_id(), false);
        let sealed = channel.seal(header, payloads, self.size.room(self.remote));
        self.request(cx, exchange, sealed);
    }
    /// Seals and sends the response to the request that the window expects, to where it came from, and remembers it.
    pub(super) fn answer(&mut self, cx: &mut Cx<'_>, channel: &mut Channel, to: &Answer, payloads: &[Payload]) {
        let header = self.header(to.exchange, to.id, true);
        let sealed = channel.seal(header, payloads, self.size.room(to.remote));
        cx.transmit_all(to.local, to.remote, &sealed);
        self.sent = cx.now;
        self.window.respond(sealed);
    }
    /// Sends the stored response to a request that came again: octet for octet (R24), but smaller where the request has become smaller,
    /// too (RFC 7383 section 2.5.2).
    pub(super) fn answer_again(&mut self, cx: &mut Cx<'_>, channel: &mut Channel, id: u32, from: &Arrival<'_>) {
        if !channel.asks_again(from.data) {
            return;
        }
        let Some((stored, too_large)) = self.window.stored(id) else { return };
        if is_fragment(from.data) && from.data.len() < self.size.room(from.remote) {
            self.size.heard(from.data.len());
        } else if too_large && self.size.agreed {
            self.size.shrink(from.remote);
        }
        channel.shrink(stored, self.size.room(from.remote));
        cx.transmit_all(from.local, from.remote, stored);
    }
    /// The outer addresses for ESP: in UDP only between ports that can carry it.
    pub(super) fn path(&self) -> IkePath {
        let here = ((self.local, self.remote), self.nat);
        let ((local, remote), nat) = self.mobile.proven.unwrap_or(here);
        IkePath { local, remote, udp: nat.udp(), may_move: self.may_move() }
    }
    /// ESP has left at `at`, or later: a NAT on the way needs no keepalive if it was by the same way (RFC 3948 section 4).
    pub(super) fn carried(&mut self, at: Duration) {
        let path = self.path();
        if path.udp && (path.local, path.remote) == (self.local, self.remote) {
            self.sent = self.sent.max(at);
        }
    }
    /// The peer is behind a NAT and we are not: its address may change (R37). With MOBIKE it says so itself (RFC 4555 section 3.8).
    pub(super) fn may_move(&self) -> bool {
        self.nat.remote && !self.nat.local && !self.mobile.agreed
    }
    /// Sends the request in flight once more, whenever the next time is.
    pub(super) fn resend(&mut self, cx: &mut Cx<'_>) {
        let Some(sealed) = self.window.outstanding() else { return };
        cx.common.counts.retransmissions += 1;
        self.sent = cx.now;
        let here = [(self.local, self.remote)];
        let ways = if self.mobile.trying.is_empty() { &here[..] } else { &self.mobile.trying };
        ways.iter().for_each(|(local, remote)| cx.transmit_all(*local, *remote, sealed));
    }
    /// The response to the request in flight has come.
    pub(super) fn settle(&mut self, now: Duration) {
        if let Some(time) = self.window.settle(now) {
            self.size.round_trip = Some(time);
        }
    }
    /// A request in flight that insists on its size does so no longer: it is sent at once as one that may be cut on its way and, if the peer
    /// understands those, in small fragments.
    pub(super) fn relent(&mut self, now: Duration, channel: &mut Channel) {
        let room = self.size.smallest(self.remote);
        self.window.relent(now, |sealed| channel.relent(sealed, room));
    }
    /// Retransmits when it is time to, smaller after a while. `Err`: the peer has not answered.
    pub(super) fn retransmit(&mut self, cx: &mut Cx<'_>, channel: Option<&mut Channel>) -> Step<()> {
        let times = cx.policy().retransmit;
        match (self.window.poll(cx.now, &times), channel) {
            (Due::Nothing, _) => return Ok(()),
            (Due::GaveUp, _) => return Err(Ended::PeerDead),
            (Due::Shrink, Some(channel)) => {
                if self.size.agreed {
                    self.size.shrink(self.remote);
                    let room = self.size.room(self.remote);
                    self.window.cut(cx.now, &times, |sealed| channel.shrink(sealed, room));
                }
            }
            (Due::Relent, Some(channel)) => {
                self.relent(cx.now, channel);
                return self.retransmit(cx, Some(channel));
            }
            (Due::Resend | Due::Shrink | Due::Relent, _) => {}
        }
        if self.window.is_silent() {
            cx.common.silent.push(self.id);
            mobike::elsewhere(cx, self);
        }
        self.resend(cx);
        Ok(())
    }
}
impl Phase {
    /// What protects its messages, once there are keys.
    pub(super) fn channel(&mut self) -> Option<&mut Channel> {
        match self {
            Self::Mixing(mixing) => Some(mixing.channel()),
            Self::Proving(proving) => Some(proving.channel()),
            Self::HalfOpen(half) => half.keys.as_mut().map(|keys| &mut keys.channel),
            Self::Established(est) => Some(&mut est.channel),
            Self::Opening(_) | Self::Agreeing(_) | Self::Moving => None,
        }
    }
}
/// The message is a fragment by its first payload; those with payloads in front of it do not exist.
fn is_fragment(message: &[u8]) -> bool {
    Header::parse(message).is_ok_and(|header| header.first == PayloadType::SKF)
}

impl Established {
    /// A child that carries traffic, also what has no resource of its own (RFC 9611).
    pub(super) fn has(&self, child: &str) -> bool {
        self.is_up(child, None)
    }
    /// A child that carries traffic, for this resource or for none.
    pub(super) fn is_up(&self, child: &str, resource: Option<u32>) -> bool {
        self.children.iter().any(|c| c.state == ChildState::Up && c.is_as(child, resource))
    }
    /// A child that is up or on its way.
    pub(super) fn has_or_makes(&self, child: &str) -> bool {
        let asked = matches!(&self.asked, Some(Asked::Create(asked)) if asked.child() == Some(child));
        let queued = self.queue.iter().any(|t| matches!(t, Task::CreateChild(name) if &**name == child));
        asked || queued || self.has(child)
    }
    /// A child by its number.
    pub(super) fn child(&self, id: ChildId) -> Option<&Child> {
        self.children.iter().find(|c| c.id == id)
    }
    /// The same.
    pub(super) fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        self.children.iter_mut().find(|c| c.id == id)
    }
    /// We have asked for another child in the place of this one.
    pub(super) fn rekeys(&self, child: ChildId) -> bool {
        self.offer().is_some_and(|offer| offer.replaces == Some(child))
    }
    /// What we have asked for in the request in flight, if it is a child.
    pub(super) fn offer(&self) -> Option<&Offer> {
        match &self.asked {
            Some(Asked::Create(asked)) => match &asked.making {
                Making::Child { offer, .. } => Some(offer),
                Making::Ike(_) => None,
            },
            _ => None,
        }
    }
    /// We are rekeying the IKE SA itself.
    pub(super) fn rekeys_ike(&self) -> bool {
        matches!(&self.asked, Some(Asked::Create(asked)) if matches!(asked.making, Making::Ike(_)))
    }
    /// What was refused for its group only may be asked for again with another one: nothing has taken its place meanwhile.
    pub(super) fn still_wants(&self, making: &Making) -> bool {
        let standing = self.closing.is_none() && self.standing == Standing::Current;
        standing
            && match making {
                Making::Child { offer, .. } => match offer.replaces {
                    Some(old) => self.child(old).is_some_and(|old| old.state == ChildState::Up),
                    None if offer.resource.is_some() => self.wants_more(&offer.policy.name),
                    None => !self.has(&offer.policy.name),
                },
                Making::Ike(offer) => !offer.has_rival(),
            }
    }
    /// A request of the peer that makes sense only if this IKE SA is in use, which we do not know yet.
    pub(super) fn is_undecided(&self, to: &Answer, contents: &Contents) -> bool {
        let children = contents.deletes.iter().any(|d| d.protocol == ProtocolId::ESP);
        matches!(self.standing, Standing::Rival(_)) && (to.exchange == ExchangeType::CREATE_CHILD_SA || children)
    }
    /// No other IKE SA with this peer is in use.
    pub(super) fn is_alone(&self, cx: &Cx<'_>) -> bool {
        cx.common
            .links
            .get(&self.connection.name)
            .is_none_or(|link| link.of_pair(&self.local_id, &self.remote_id).len() < 2)
    }
    /// Queues a request once: not if it is queued already, nor a rekey that is under way.
    pub(super) fn plan(&mut self, task: Task) {
        let under_way = match task {
            Task::RekeyChild(id) => self.rekeys(id),
            Task::RekeyIke => self.rekeys_ike(),
            _ => false,
        };
        if !under_way && !self.queue.contains(&task) {
            self.queue.push_back(task);
        }
    }
    /// Has a child deleted, unless that is under way.
    pub(super) fn leave(&mut self, id: ChildId, why: Ended) {
        let Some(child) = self.child_mut(id) else { return };
        if matches!(child.state, ChildState::Up | ChildState::Replaced { .. }) {
            child.state = ChildState::Leaving(why);
            self.plan(Task::DeleteChild(id));
        }
    }
    /// The peer does not want this child: only who wants it always wants it again.
    pub(super) fn refuse_wish(&self, cx: &mut Cx<'_>, child: &str) {
        if let Some(wish) = cx.common.links.get_mut(&self.connection.name).and_then(|l| l.wish(child)) {
            wish.wanted = wish.persistent;
            wish.retry.failed(cx.now);
        }
        cx.touch(&self.connection);
    }
    /// The peer has answered TEMPORARY_FAILURE, once more. If it does so for minutes, the two ends do not have the same (R22).
    pub(super) fn is_put_off(&mut self, now: Duration) {
        let since = match self.put_off {
            Some((since, last)) if now.saturating_sub(last) < ANOTHER => since,
            _ => now,
        };
        self.put_off = Some((since, now));
        if now.saturating_sub(since) >= TEMPORARY {
            self.close(now, Ended::Failed, CLOSING_TIME);
        }
    }
    /// Begins to take the whole IKE SA down, politely.
    pub(super) fn close(&mut self, now: Duration, why: Ended, patience: Duration) {
        if self.closing.is_none() {
            self.closing = Some((why, now + patience));
            // What it still has to disown goes with the IKE SA, but `abandon` has to give the SPI back. Who has asked for a probe has an answer
            // coming.
            self.queue.retain(|task| matches!(task, Task::DeleteSpi { release: true, .. } | Task::Probe(_)));
            self.queue.push_front(Task::DeleteIke);
        }
    }
    /// Sends the next request if the window is open.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>, core: &mut Core) {
        self.settle(cx);
        self.complete_groups(cx);
        if self.closing.is_some() {
            probe::stop(cx, core, self);
        }
        self.send_next(cx, core);
        // All children are here, or have failed, and the peer knows this one: nothing is left to wait for.
        let waits = |task: &Task| matches!(task, Task::CreateChild(_) | Task::Liveness);
        let done = self.asked.is_none() && !self.queue.iter().any(waits);
        if let Some(old) = self.relieves.take_if(|_| done) {
            cx.common.redundant.push(Redundant { ike: old, how: How::Shortly });
        }
    }
    fn send_next(&mut self, cx: &mut Cx<'_>, core: &mut Core) {
        while core.window.is_free() && self.asked.is_none() {
            let Some(next) = self.queue.iter().position(|task| self.may(task)) else { return };
            let Some(task) = self.queue.remove(next) else { return };
            self.asked = match task {
                Task::CreateChild(name) => create_child::request(cx, core, self, &name),
                Task::CreateResource(name) => resources::request(cx, core, self, &name),
                Task::RekeyChild(id) => rekey_child::request(cx, core, self, id),
                Task::RekeyIke => Some(rekey_ike::request(cx, core, self)),
                Task::DeleteChild(id) => delete::request(cx, core, self, id),
                Task::DeleteSpi { spi, release } => Some(delete::disown(cx, core, self, spi, release)),
                Task::DeleteIke => Some(delete::request_ike(cx, core, self)),
                Task::Liveness => Some(liveness::request(cx, core, self)),
                Task::Probe(size) => probe::request(cx, core, self, size),
                Task::Mobike(ask) => Some(mobike::request(cx, core, self, ask)),
                Task::Examine => inside::request(cx, core, self),
            };
        }
    }
    /// Seals and sends a request.
    pub(super) fn request(&mut self, cx: &mut Cx<'_>, core: &mut Core, exchange: ExchangeType, payloads: &[Payload]) {
        core.ask(cx, &mut self.channel, exchange, payloads);
    }
    /// Seals, sends and remembers the response to the request that the window expects, to where it came from.
    pub(super) fn respond(&mut self, cx: &mut Cx<'_>, core: &mut Core, to: &Answer, payloads: &[Payload]) {
        if self.half_done.is_empty() {
            self.fresh = Vec::new();
        }
        core.answer(cx, &mut self.channel, to, payloads);
    }
    /// Timers: lifetimes, retransmission, liveness, keepalive, the end of a take-down.
    pub(super) fn tick(&mut self, cx: &mut Cx<'_>, core: &mut Core) -> Step<()> {
        if let Some((why, until)) = self.closing
            && until <= cx.now
        {
            return Err(why);
        }
        self.expire(cx);
        core.retransmit(cx, Some(&mut self.channel))?;
        probe::waited(cx, core, self);
        self.channel.tidy(cx.now);
        self.forget_half_done(cx);
        self.delete_again_when_due(cx.now);
        // One that is in use goes only if there still is what was to take its place.
        let left = self.standing != Standing::Current || self.is_outdated() || !self.is_alone(cx);
        if self.leave_at.take_if(|at| *at <= cx.now).is_some() && left {
            self.close(cx.now, Ended::Replaced, if self.children.is_empty() { CLOSING_TIME } else { cx.patience() });
        }
        self.renew(cx, core);
        if self.liveness_at(core).is_some_and(|at| at <= cx.now) {
            self.plan(Task::Liveness);
        }
        if self.keepalive_at(core).is_some_and(|at| at <= cx.now) {
            core.sent = cx.now;
            cx.common.out.push_back(super::event::Output::Keepalive { local: core.local, remote: core.remote });
        }
        self.pump(cx, core);
        Ok(())
    }
    /// When `tick` is due.
    pub(super) fn deadline(&self, core: &Core) -> Option<Duration> {
        let closing = self.closing.map(|(_, until)| until);
        let lives = [self.life.deadline(), self.authentication.deadline()].into_iter().flatten();
        let lives = lives.chain(self.children.iter().filter_map(Child::deadline)).min();
        let lives = lives.filter(|_| self.standing == Standing::Current && self.closing.is_none());
        let waits =
            [core.window.deadline(), self.liveness_at(core), self.keepalive_at(core), self.channel.deadline(), closing];
        let half_done = self.half_done.iter().map(|half| half.until).min();
        waits.into_iter().chain([lives, self.leave_at, half_done, self.delete_again_at()]).flatten().min()
    }
    /// Not while a request is in flight: its response is a sign of life as good as any. Who was called lets the caller ask first.
    fn liveness_at(&self, core: &Core) -> Option<Duration> {
        let delay = self.connection.dpd_delay;
        let idle = core.window.is_free()
            && self.asked.is_none()
            && self.closing.is_none()
            && self.standing == Standing::Current;
        let lead = if core.initiator { Duration::ZERO } else { liveness::lead(delay) };
        (!delay.is_zero() && idle).then(|| timer::gathered(self.signs.check_at(delay) + lead, delay))
    }
    fn keepalive_at(&self, core: &Core) -> Option<Duration> {
        let every = self.connection.keepalive;
        let wanted = core.nat.local && !every.is_zero() && self.standing == Standing::Current;
        wanted.then(|| timer::gathered(core.sent + every, every))
    }
}

/// Where and under which number a request of the peer is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub exchange: ExchangeType,
    pub id: u32,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

impl IkeSa {
    /// The request in flight offers this SPI.
    pub(super) fn offers(&self, spi: u32) -> bool {
        let offer = match &self.phase {
            Phase::Proving(proving) => proving.offer.as_ref(),
            Phase::Established(est) => est.offer(),
            _ => None,
        };
        offer.is_some_and(|offer| offer.spi_in == spi)
    }
    /// We are the initiator, and it is not established yet.
    pub(super) fn is_attempt(&self) -> bool {
        matches!(self.phase, Phase::Opening(_) | Phase::Agreeing(_) | Phase::Mixing(_) | Phase::Proving(_))
    }
    /// When it wants `Input::Timer`.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let core = &self.core;
        match &self.phase {
            Phase::Opening(_) | Phase::Agreeing(_) | Phase::Mixing(_) | Phase::Proving(_) => core.window.deadline(),
            Phase::HalfOpen(half) => Some(half.deadline(core)),
            Phase::Established(est) => est.deadline(core),
            Phase::Moving => None,
        }
    }
    /// Takes over the address that an authentic packet came from, where that is allowed (R37).
    pub(super) fn moved(&mut self, cx: &mut Cx<'_>, local: SocketAddr, remote: SocketAddr) {
        let Phase::Established(est) = &mut self.phase else { return };
        let core = &mut self.core;
        if core.may_move() && core.remote != remote && remote.is_ipv4() == core.local.is_ipv4() {
            probe::stop(cx, core, est);
            core.remote = remote;
            core.local = local;
            let path = core.path();
            cx.emit(Event::PathChanged { ike: core.id, path });
        }
    }
}
