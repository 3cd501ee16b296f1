//! One IKE SA: what it has in every phase, and its phases as types.
use super::channel::{Channel, Sealed};
use super::child::{Child, ChildState};
use super::common::{Cx, Step};
use super::event::{Ended, Event, IkeId, IkePath};
use super::exchange::create_child;
use super::exchange::ike_auth::Proving;
use super::exchange::ike_sa_init::{Agreeing, HalfOpen, Opening};
use super::exchange::intermediate::Mixing;
use super::exchange::{Arrival, delete, liveness};
use super::keys::SkD;
use super::nat::Nat;
use super::policy::Connection;
use super::size::Size;
use super::window::{Due, Window};
use crate::wire::message::{Header, IkeSpi};
use crate::wire::payload::{Id, Payload, Proposal};
use crate::wire::registry::{ExchangeType, PayloadType};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Half-open IKE SAs end after this.
pub(super) const HALF_OPEN_LIFETIME: Duration = Duration::from_secs(30);
/// So long a Delete of the IKE SA may take.
pub(super) const CLOSING_TIME: Duration = Duration::from_secs(5);

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
    pub window: Window,
    /// The connection, once it is known.
    pub connection: Option<Arc<str>>,
    pub created: Duration,
    /// Something left for the peer.
    pub sent: Duration,
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
    pub peer: u32,
    pub local_id: Id,
    pub remote_id: Id,
    pub proposal: Proposal,
    pub keys: SkD,
    pub channel: Channel,
    pub since: Duration,
    /// The peer's last authentic sign of life.
    pub alive: Duration,
    pub children: Vec<Child>,
    /// Requests that wait for the window.
    pub queue: VecDeque<Task>,
    /// The request in flight.
    pub asked: Option<Asked>,
    /// A request of the peer that waits for g^ir.
    pub answering: Option<Box<create_child::Answering>>,
    /// We are taking it down: why, and when we stop waiting for the peer.
    pub closing: Option<(Ended, Duration)>,
}
/// A request that we will make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    CreateChild(Arc<str>),
    DeleteChild(super::event::ChildId),
    /// A child that only the peer has: its answer was not what we asked for.
    DisownChild {
        spi_in: u32,
    },
    DeleteIke,
    Liveness,
}
/// A request that we have made.
pub(super) enum Asked {
    CreateChild(Box<create_child::Asked>),
    DeleteChild(super::event::ChildId),
    DisownChild { spi_in: u32 },
    DeleteIke,
    Liveness,
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
        cx.transmit_all(self.local, self.remote, &sealed);
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
        IkePath { local: self.local, remote: self.remote, udp: self.nat.udp(), may_move: self.may_move() }
    }
    /// The peer is behind a NAT and we are not: its address may change (R37).
    pub(super) fn may_move(&self) -> bool {
        self.nat.remote && !self.nat.local
    }
    /// Retransmits when it is time to, smaller after a while. `Err`: the peer has not answered.
    pub(super) fn retransmit(&mut self, cx: &mut Cx<'_>, channel: Option<&mut Channel>) -> Step<()> {
        let times = cx.policy().retransmit;
        match (self.window.poll(cx.now, &times), channel) {
            (Due::Nothing, _) => return Ok(()),
            (Due::GaveUp, _) => return Err(Ended::PeerDead),
            (Due::Shrink, Some(channel)) if self.size.agreed => {
                self.size.shrink(self.remote);
                let room = self.size.room(self.remote);
                self.window.cut(cx.now, &times, |sealed| channel.shrink(sealed, room));
            }
            (Due::Resend | Due::Shrink, _) => {}
        }
        self.sent = cx.now;
        if let Some(sealed) = self.window.outstanding() {
            cx.transmit_all(self.local, self.remote, sealed);
        }
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
    /// A child that carries traffic.
    pub(super) fn has(&self, child: &str) -> bool {
        self.children.iter().any(|c| c.state == ChildState::Up && &*c.policy.name == child)
    }
    /// A child that is up or on its way.
    pub(super) fn has_or_makes(&self, child: &str) -> bool {
        let asked = matches!(&self.asked, Some(Asked::CreateChild(a)) if &*a.offer.policy.name == child);
        let queued = self.queue.iter().any(|t| matches!(t, Task::CreateChild(name) if &**name == child));
        asked || queued || self.has(child)
    }
    /// Queues a request once.
    pub(super) fn plan(&mut self, task: Task) {
        if !self.queue.contains(&task) {
            self.queue.push_back(task);
        }
    }
    /// Begins to take the whole IKE SA down, politely.
    pub(super) fn close(&mut self, now: Duration, why: Ended, patience: Duration) {
        if self.closing.is_none() {
            self.closing = Some((why, now + patience));
            // What it still has to disown goes with the IKE SA, but `abandon` has to give the SPI back.
            self.queue.retain(|task| matches!(task, Task::DisownChild { .. }));
            self.queue.push_front(Task::DeleteIke);
        }
    }
    /// Sends the next request if the window is open.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>, core: &mut Core) {
        while core.window.is_free() && self.asked.is_none() {
            let Some(task) = self.queue.pop_front() else { return };
            self.asked = match task {
                Task::CreateChild(name) => create_child::request(cx, core, self, &name),
                Task::DeleteChild(id) => delete::request(cx, core, self, id),
                Task::DisownChild { spi_in } => Some(delete::disown(cx, core, self, spi_in)),
                Task::DeleteIke => Some(delete::request_ike(cx, core, self)),
                Task::Liveness => Some(liveness::request(cx, core, self)),
            };
        }
    }
    /// Seals and sends a request.
    pub(super) fn request(&mut self, cx: &mut Cx<'_>, core: &mut Core, exchange: ExchangeType, payloads: &[Payload]) {
        core.ask(cx, &mut self.channel, exchange, payloads);
    }
    /// Seals, sends and remembers the response to the request that the window expects, to where it came from.
    pub(super) fn respond(&mut self, cx: &mut Cx<'_>, core: &mut Core, to: &Answer, payloads: &[Payload]) {
        core.answer(cx, &mut self.channel, to, payloads);
    }
    /// Timers: retransmission, liveness, keepalive, the end of a take-down.
    pub(super) fn tick(&mut self, cx: &mut Cx<'_>, core: &mut Core) -> Step<()> {
        if let Some((why, until)) = self.closing
            && until <= cx.now
        {
            return Err(why);
        }
        core.retransmit(cx, Some(&mut self.channel))?;
        self.channel.tidy(cx.now);
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
        [core.window.deadline(), self.liveness_at(core), self.keepalive_at(core), self.channel.deadline(), closing]
            .into_iter()
            .flatten()
            .min()
    }
    /// Not while a request is in flight: its response is a sign of life as good as any.
    fn liveness_at(&self, core: &Core) -> Option<Duration> {
        let delay = self.connection.dpd_delay;
        let idle = core.window.is_free() && self.asked.is_none() && self.closing.is_none();
        (!delay.is_zero() && idle).then(|| self.alive + delay)
    }
    fn keepalive_at(&self, core: &Core) -> Option<Duration> {
        let every = self.connection.keepalive;
        (core.nat.local && !every.is_zero()).then(|| core.sent + every)
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
    /// When it wants `Input::Timer`.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let core = &self.core;
        match &self.phase {
            Phase::Opening(_) | Phase::Agreeing(_) | Phase::Mixing(_) | Phase::Proving(_) => core.window.deadline(),
            Phase::HalfOpen(_) => Some(core.created + HALF_OPEN_LIFETIME),
            Phase::Established(est) => est.deadline(core),
            Phase::Moving => None,
        }
    }
    /// Takes over the address that an authentic packet came from, where that is allowed (R37).
    pub(super) fn moved(&mut self, cx: &mut Cx<'_>, local: SocketAddr, remote: SocketAddr) {
        let Phase::Established(_) = &self.phase else { return };
        let core = &mut self.core;
        if core.may_move() && core.remote != remote && remote.is_ipv4() == core.local.is_ipv4() {
            core.remote = remote;
            core.local = local;
            let path = core.path();
            cx.emit(Event::PathChanged { ike: core.id, path });
        }
    }
}

impl Established {
    /// Gives back what was being negotiated when the IKE SA ends.
    pub(super) fn abandon(&mut self, cx: &mut Cx<'_>) {
        match self.asked.take() {
            Some(Asked::CreateChild(asked)) => cx.host.release_spi(asked.offer.spi_in),
            Some(Asked::DisownChild { spi_in }) => cx.host.release_spi(spi_in),
            _ => {}
        }
        if let Some(answering) = self.answering.take() {
            cx.host.release_spi(answering.spi_in());
        }
        for task in self.queue.drain(..) {
            if let Task::DisownChild { spi_in } = task {
                cx.host.release_spi(spi_in);
            }
        }
    }
}
