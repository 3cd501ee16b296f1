//! All IKE SAs: which message, command or deadline belongs to which, and what happens around a step of one of them.
use super::calls::Caller;
use super::channel::OpenError;
use super::common::{Common, Cx, How, Job, Redundant};
use super::diagnose::{Failure, Phase as Where};
use super::error::Refusal;
use super::event::{Command, Ended, Event, Host, IkeId, Input, Output};
use super::exchange::ike_sa_init::responder::{self, Opened};
use super::exchange::{Arrival, create_child, delete, half_open, ike_auth, ike_sa_init, mobike, rekey_ike};
use super::exchange::{Contents, followup_ke, informational, intermediate, liveness, probe};
use super::ikev1;
use super::inbox::Early;
use super::sa::{Answer, Asked, CLOSING_TIME, Core, Established, IkeSa, Phase, RELIEF_TIME, Standing};
use super::timer::Timers;
use super::window::Incoming;
use crate::crypto::cert::Crl;
use crate::crypto::work::Done;
use crate::wire::message::{Header, ParseError};
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A deadline that was missed by more than this was not missed: the time has leapt.
const LEAP: Duration = Duration::from_secs(10);
/// What both ends have sent on the old children before they had the new ones arrives within this. A peer that hears of the end earlier drops it.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// The IKE endpoint: one per daemon.
pub struct Endpoint {
    pub(super) common: Common,
    pub(super) sas: HashMap<IkeId, IkeSa>,
    pub(super) timers: Timers<Owner>,
    /// `Command::Shutdown` was given: when to stop waiting.
    pub(super) shutdown: Option<Duration>,
}
/// Who has a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    Shutdown,
    Calls,
    Link(Arc<str>),
    Sa(IkeId),
    Exams,
}
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("sas", &self.sas.len()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Without a policy, until `Command::SetPolicy`.
    pub fn new(now: Duration, host: &mut dyn Host) -> Self {
        Self { common: Common::new(now, host), sas: HashMap::new(), timers: Timers::default(), shutdown: None }
    }
    /// One way in.
    pub fn handle(&mut self, now: Duration, input: Input<'_>, host: &mut dyn Host) {
        if self.next_deadline().is_some_and(|at| at + LEAP < now) {
            self.on_leap(now, host);
        }
        match input {
            Input::Datagram { local, remote, data } => self.on_datagram(now, host, &Arrival { local, remote, data }),
            Input::Timer => {}
            Input::Command(command) => self.on_command(now, host, command),
            Input::Computed { job, done } => self.on_computed(now, host, job, done),
            Input::Fetched { job, crls } => self.on_fetched(now, host, job, crls),
            Input::EspMoved { spi, remote } => self.on_esp_moved(now, host, spi, remote),
            Input::EspSeen(seen) => self.on_esp_seen(seen),
            Input::AddrsChanged => self.on_addrs_changed(now, host),
            Input::Resolved(names) => self.on_resolved(now, host, names),
            Input::EspUsage(usage) => self.on_esp_usage(now, host, usage),
            Input::UnknownSpi { spi, local, remote } => self.on_unknown_spi(now, host, spi, (local, remote)),
            Input::LarvalHit(spi) => self.on_larval_hit(now, host, spi),
            Input::Acquire { connection, child } => self.on_acquire(now, &connection, &child),
        }
        self.on_time(now, host);
        self.settle(now, host);
    }
    /// One way out; drain it after each `handle`.
    pub fn poll(&mut self) -> Option<Output> {
        self.common.out.pop_front()
    }
    /// When `Input::Timer` is due.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }
    /// True for a message of an IKE SA that we may know (our SPI carries a keyed tag): the lane that is served first.
    pub fn is_ours(&self, message: &[u8]) -> bool {
        Header::parse(message).is_ok_and(|h| self.common.tag.is_ours(if h.initiator { h.spi_r } else { h.spi_i }))
    }

    fn on_datagram(&mut self, now: Duration, host: &mut dyn Host, from: &Arrival<'_>) {
        let Ok(header) = Header::parse(from.data) else { return };
        if self.is_answer(now, host, &header, from) {
            return;
        }
        let mut cx = Cx { now, host, common: &mut self.common };
        match header.version.0 {
            2 => {}
            1 => {
                let sa = cx.common.by_spi.get(&header.spi_i).and_then(|id| self.sas.get_mut(id));
                return ikev1::named(&mut cx, sa, from);
            }
            0 => return,
            _ => {
                if !header.response {
                    responder::refuse(
                        &mut cx,
                        &header,
                        from,
                        Notify::new(NotifyType::INVALID_MAJOR_VERSION, Vec::new()),
                    );
                }
                return;
            }
        }
        if header.exchange == ExchangeType::IKE_SA_INIT && !header.response {
            if header.initiator && header.spi_r.is_none() && self.shutdown.is_none() {
                self.on_newcomer(now, host, &header, from);
            }
            return;
        }
        let ours = if header.initiator { header.spi_r } else { header.spi_i };
        let Some(&id) = self.common.by_spi.get(&ours) else { return self.on_stray(now, host, &header, from) };
        self.step(now, host, id, |cx, sa| dispatch(cx, sa, &header, from));
    }
    /// An IKE_SA_INIT request.
    fn on_newcomer(&mut self, now: Duration, host: &mut dyn Host, header: &Header, from: &Arrival<'_>) {
        let mut cx = Cx { now, host, common: &mut self.common };
        match responder::on_request(&mut cx, header, from) {
            Opened::New(sa, key) => {
                let limits = cx.policy().limits;
                self.common.admission.opened(key, sa.core.id);
                self.common.counts.newcomers += 1;
                self.register(*sa);
                if let Some(surplus) = self.common.admission.surplus(&limits) {
                    self.step(now, host, surplus, |_, _| Err(Ended::Failed));
                }
            }
            Opened::Again(id) => {
                // The stored response, octet for octet (R24), and only to the same octets: a shorter request must not get it.
                if let Some(IkeSa { phase: Phase::HalfOpen(half), .. }) = self.sas.get(&id)
                    && half.request == from.data
                {
                    cx.transmit(from.local, from.remote, half.response.clone());
                }
            }
            Opened::Nothing => {}
        }
    }
    /// A new IKE SA.
    pub(super) fn register(&mut self, sa: IkeSa) {
        let id = sa.core.id;
        self.common.by_spi.insert(sa.core.our_spi(), id);
        if sa.is_attempt() {
            self.common.counts.attempts += 1;
            self.common.calls.began(sa.core.created, sa.core.remote.ip(), id);
        }
        self.timers.set(Owner::Sa(id), sa.deadline());
        self.common.show(sa.core.connection.as_ref());
        self.sas.insert(id, sa);
    }
    /// Runs one step of an IKE SA, and cleans up behind it if it was the last.
    pub(super) fn step(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        id: IkeId,
        f: impl FnOnce(&mut Cx<'_>, &mut IkeSa) -> Result<(), Ended>,
    ) {
        let Some(mut sa) = self.sas.remove(&id) else { return };
        let half_open = match &sa.phase {
            Phase::HalfOpen(half) => Some(half.key.clone()),
            _ => None,
        };
        let attempt = sa.is_attempt();
        let mut cx = Cx { now, host, common: &mut self.common };
        let ended = f(&mut cx, &mut sa);
        cx.common.show(sa.core.connection.as_ref());
        if attempt && (ended.is_err() || !sa.is_attempt()) {
            cx.common.calls.ended(id);
            cx.common.answered.push(id);
        }
        if let Some(key) = half_open
            && (ended.is_err() || !matches!(sa.phase, Phase::HalfOpen(_)))
        {
            cx.common.admission.closed(&key);
        }
        match ended {
            Ok(()) => {
                self.timers.set(Owner::Sa(id), sa.deadline());
                self.sas.insert(id, sa);
            }
            Err(why) => {
                self.timers.set(Owner::Sa(id), None);
                end(&mut cx, sa, why);
            }
        }
        self.succeed(now, host);
    }

    fn on_computed(&mut self, now: Duration, host: &mut dyn Host, job: u64, done: Done) {
        let Some(Job { ike, .. }) = self.common.jobs.remove(&job) else { return };
        self.step(now, host, ike, |cx, sa| computed(cx, sa, job, done));
    }
    fn on_fetched(&mut self, now: Duration, host: &mut dyn Host, job: u64, crls: Vec<Arc<Crl>>) {
        let Some(Job { ike, .. }) = self.common.jobs.remove(&job) else { return };
        self.step(now, host, ike, |cx, sa| ike_auth::on_fetched(cx, sa, job, crls));
    }
    /// Nobody has looked at the time for longer than was asked for.
    fn on_leap(&mut self, now: Duration, host: &mut dyn Host) {
        for id in self.ids() {
            self.step(now, host, id, |cx, sa| match &mut sa.phase {
                Phase::Established(est) => est.leapt(cx, &mut sa.core),
                _ => {
                    sa.core.window.again(cx.now);
                    Ok(())
                }
            });
        }
    }
    /// Everything that is due.
    fn on_time(&mut self, now: Duration, host: &mut dyn Host) {
        while let Some(owner) = self.timers.pop_due(now) {
            match owner {
                Owner::Sa(id) => self.step(now, host, id, tick),
                Owner::Link(name) => {
                    self.common.touched.insert(name);
                    self.settle(now, host);
                }
                Owner::Calls | Owner::Exams => self.settle(now, host),
                Owner::Shutdown => {
                    for id in self.ids() {
                        self.step(now, host, id, |_, _| Err(Ended::ByUs));
                    }
                }
            }
        }
    }
    /// What follows for other IKE SAs and for the wishes.
    fn settle(&mut self, now: Duration, host: &mut dyn Host) {
        loop {
            self.renew(now, host);
            self.look_around(now, host);
            let Some(redundant) = self.common.redundant.pop() else { break };
            if redundant.how == How::Outdated {
                self.dismiss(now, host, redundant.ike);
                continue;
            }
            self.step(now, host, redundant.ike, |cx, sa| match (&mut sa.phase, redundant.how) {
                (Phase::Established(est), How::Now) => {
                    est.close(cx.now, Ended::Replaced, cx.patience());
                    est.pump(cx, &mut sa.core);
                    Ok(())
                }
                (Phase::Established(est), How::Shortly) => {
                    let soon = cx.now + ON_THE_WAY;
                    est.leave_at = Some(est.leave_at.map_or(soon, |at| at.min(soon)));
                    Ok(())
                }
                (Phase::Established(est), How::Later) => {
                    // The peer may not have heard yet of what takes the place of one that is in use.
                    let wait = if est.standing == Standing::Current {
                        cx.patience()
                    } else {
                        est.standing = Standing::Succeeded;
                        RELIEF_TIME
                    };
                    est.leave_at.get_or_insert(cx.now + wait);
                    Ok(())
                }
                (Phase::Established(est), How::Soon) => {
                    est.hurries(cx);
                    Ok(())
                }
                _ => Err(Ended::Replaced),
            });
        }
        self.follow_exams(now, host);
        while let Some(name) = self.common.touched.pop_first() {
            self.reconcile(now, host, &name);
        }
        self.begin_waiting(now, host);
        if self.shutdown.is_some() && self.sas.is_empty() {
            self.shutdown = None;
            self.timers.set(Owner::Shutdown, None);
            self.common.out.push_back(Output::Event(Event::Drained));
        }
    }
    /// Attempts that waited for others to come to their end.
    fn begin_waiting(&mut self, now: Duration, host: &mut dyn Host) {
        loop {
            let woken = self.common.calls.wake(now);
            if woken.is_empty() {
                break;
            }
            for caller in woken {
                match caller {
                    Caller::Link(name) => self.reconcile(now, host, &name),
                    Caller::Renewal(old, lost) => self.renew_one(now, host, old, lost),
                    Caller::Elsewhere(id) => self.look_elsewhere(now, host, id),
                }
            }
        }
        self.timers.set(Owner::Calls, self.common.calls.deadline());
    }
    fn on_command(&mut self, now: Duration, host: &mut dyn Host, command: Command) {
        match command {
            Command::SetPolicy(policy) => self.set_policy(now, host, policy),
            Command::Up { connection, child } => self.up(now, &connection, child.as_deref()),
            Command::Down { connection, child } => self.down(now, host, &connection, child.as_deref()),
            Command::OfPeer { connection, peer, order } => self.of_peer(now, host, (&connection, peer), order),
            Command::Restart { connection } => self.restart(now, host, &connection),
            Command::Remake { child } => self.remake(now, host, child),
            Command::Hold { connection } => self.hold(now, host, &connection),
            Command::Release { connection } => self.release(now, &connection),
            Command::Rekey { connection, child } => self.rekey(now, host, &connection, child.as_deref()),
            Command::Probe { ike, size } => self.probe(now, host, ike, size),
            Command::Examine { connection } => self.examine(now, host, &connection),
            Command::Shutdown => self.begin_shutdown(now, host),
        }
    }
}

/// A message for a known IKE SA: the other SPI, the flags, the exchange and the phase must fit. Each phase takes what it waits for and nothing else.
fn dispatch(cx: &mut Cx<'_>, sa: &mut IkeSa, header: &Header, from: &Arrival<'_>) -> Result<(), Ended> {
    let core = &mut sa.core;
    let theirs = if core.initiator { (core.spi_r, header.spi_r) } else { (core.spi_i, header.spi_i) };
    if header.initiator == core.initiator || (!theirs.0.is_none() && theirs.0 != theirs.1) {
        return Ok(());
    }
    if let Phase::Established(est) = &mut sa.phase {
        if let Some(step) = on_protected(cx, core, est, header, from) {
            sa.moved(cx, from.local, from.remote);
            finish(cx, sa, step)?;
            return in_turn(cx, sa);
        }
        liveness::hint(cx, core, est, header, from);
        return Ok(());
    }
    let opening = matches!(sa.phase, Phase::Opening(_));
    let phase = std::mem::replace(&mut sa.phase, Phase::Moving);
    sa.phase = match (phase, header.exchange, header.response) {
        (Phase::Opening(opening), ExchangeType::IKE_SA_INIT, true) => {
            ike_sa_init::response(cx, core, opening, header, from)?
        }
        (Phase::Proving(proving), ExchangeType::IKE_AUTH, true) if core.window.awaits(header.exchange, header.id) => {
            ike_auth::response(cx, core, proving, from)?
        }
        (Phase::Mixing(mixing), ExchangeType::IKE_INTERMEDIATE, true)
            if core.window.awaits(header.exchange, header.id) =>
        {
            intermediate::response(cx, core, mixing, from)?
        }
        (Phase::HalfOpen(half), _, false) => half_open::on_request(cx, core, half, header, from)?,
        (phase, _, _) => phase,
    };
    if opening && !matches!(sa.phase, Phase::Opening(_)) {
        cx.common.answered.push(core.id);
    }
    Ok(())
}

/// What an authentic message asks for.
enum Authentic {
    Request(Answer, Result<Contents, ParseError>),
    Response(Result<Contents, ParseError>),
}
/// Opens a message of an established IKE SA. `None`: it is not from the peer, or not new; then nothing has changed.
fn on_protected(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    header: &Header,
    from: &Arrival<'_>,
) -> Option<Authentic> {
    let incoming = core.window.judge(header.id);
    let wanted = if header.response {
        core.window.awaits(header.exchange, header.id)
    } else {
        // The expected one is being answered already.
        incoming != Incoming::Other && (incoming != Incoming::New || est.answering.is_none())
    };
    if !wanted {
        return None;
    }
    if !header.response && incoming == Incoming::Again {
        core.answer_again(cx, &mut est.channel, header.id, from);
        return None;
    }
    let inside = match est.channel.open(cx, from.data) {
        Err(OpenError::Icv | OpenError::Waiting) => return None,
        Err(OpenError::Inside(error)) => Err(error),
        Ok(opened) => {
            core.size.learn(&opened);
            if !header.response && incoming == Incoming::Early {
                est.signs.heard(cx.now);
                est.channel.park(cx, opened.inner, from);
                return None;
            }
            Contents::inside(&opened.inner)
        }
    };
    if header.response {
        est.signs.heard(cx.now);
        cx.common.answered.push(core.id);
        probe::answered(cx, core, est);
        core.settle(cx.now);
        mobike::answered(core, est, from);
        return Some(Authentic::Response(inside));
    }
    if incoming != Incoming::New {
        return None;
    }
    est.signs.heard(cx.now);
    let to = Answer { exchange: header.exchange, id: header.id, local: from.local, remote: from.remote };
    Some(Authentic::Request(to, inside))
}
/// Requests that came before their turn, now that it has come: all are answered in the order of their ids, whatever the wire did to it.
fn in_turn(cx: &mut Cx<'_>, sa: &mut IkeSa) -> Result<(), Ended> {
    loop {
        let Phase::Established(est) = &mut sa.phase else { return Ok(()) };
        if est.answering.is_some() {
            return Ok(());
        }
        let Some(early) = est.channel.parked(sa.core.window.expected_id()) else { return Ok(()) };
        let Early { inner, local, remote } = early;
        let to = Answer { exchange: inner.header.exchange, id: inner.header.id, local, remote };
        finish(cx, sa, Authentic::Request(to, Contents::inside(&inner)))?;
    }
}
/// Hands an authentic message to its exchange.
fn finish(cx: &mut Cx<'_>, sa: &mut IkeSa, authentic: Authentic) -> Result<(), Ended> {
    let Phase::Established(est) = &mut sa.phase else { return Ok(()) };
    let core = &mut sa.core;
    if let Authentic::Request(..) = authentic {
        est.heard();
    }
    match authentic {
        Authentic::Request(to, Err(error)) => refuse(cx, core, est, &to, Refusal::from(&error))?,
        // It has decided a collision that we have not: once we have what it is about, it will ask again.
        Authentic::Request(to, Ok(contents)) if est.is_undecided(&to, &contents) => {
            if let Standing::Rival(old) = est.standing {
                cx.common.conceded.push(old);
            }
            return Ok(());
        }
        Authentic::Request(to, Ok(contents)) => match to.exchange {
            ExchangeType::CREATE_CHILD_SA => create_child::on_request(cx, core, est, &to, &contents)?,
            ExchangeType::IKE_FOLLOWUP_KE => followup_ke::on_request(cx, core, est, &to, &contents)?,
            ExchangeType::INFORMATIONAL => informational::on_request(cx, core, est, &to, &contents)?,
            _ => refuse(cx, core, est, &to, Refusal::Syntax)?,
        },
        Authentic::Response(Err(_)) => {
            // Its sender believes that all is well: it gets a Delete.
            cx.fail(Failure::new(cx.now, Where::Traffic, core.initiator, "answer.malformed"), Some(&est.connection));
            est.abandon(cx);
            est.close(cx.now, Ended::Failed, CLOSING_TIME);
        }
        Authentic::Response(Ok(contents)) if contents.notify(NotifyType::INVALID_SYNTAX).is_some() => {
            let failure = Failure::new(cx.now, Where::Traffic, core.initiator, "peer.refused");
            cx.fail(failure.likely(NotifyType::INVALID_SYNTAX, &[]), Some(&est.connection));
            return Err(Ended::Failed);
        }
        Authentic::Response(Ok(contents)) => match est.asked.take() {
            Some(Asked::Create(asked)) if asked.following.is_some() => {
                followup_ke::response(cx, core, est, asked, &contents)?
            }
            Some(Asked::Create(asked)) => create_child::response(cx, core, est, asked, &contents)?,
            Some(asked) => informational::response(cx, core, est, asked, &contents)?,
            None => {}
        },
    }
    est.pump(cx, core);
    Ok(())
}
/// Refuses an authentic request that is malformed. INVALID_SYNTAX ends the IKE SA at both ends (R30).
fn refuse(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, to: &Answer, refusal: Refusal) -> Result<(), Ended> {
    est.respond(cx, core, to, &[Payload::Notify(refusal.notify())]);
    if refusal != Refusal::Syntax {
        return Ok(());
    }
    cx.fail(Failure::new(cx.now, Where::Traffic, core.initiator, "message.malformed"), Some(&est.connection));
    Err(Ended::Failed)
}

/// What an IKE SA waited for was computed.
fn computed(cx: &mut Cx<'_>, sa: &mut IkeSa, job: u64, done: Done) -> Result<(), Ended> {
    let core = &mut sa.core;
    if let Phase::Established(est) = &mut sa.phase {
        create_child::computed(cx, core, est, job, done)?;
        est.pump(cx, core);
        return in_turn(cx, sa);
    }
    let phase = std::mem::replace(&mut sa.phase, Phase::Moving);
    sa.phase = match phase {
        Phase::Agreeing(agreeing) if agreeing.job == job => match done {
            // Nothing was computed: the response counts as lost.
            Done::Refused => Phase::Opening(Box::new(agreeing.opening)),
            done => match done.agreed() {
                Some(g_ir) => {
                    let keys = agreeing.settle(cx, core, &g_ir);
                    intermediate::next(cx, core, agreeing, keys, 0)?
                }
                None => agreeing.reject(cx, core),
            },
        },
        Phase::Mixing(mixing) => intermediate::concluded(cx, core, mixing, job, done)?,
        Phase::HalfOpen(half) => half_open::computed(cx, core, half, job, done)?,
        Phase::Proving(proving) => ike_auth::computed(cx, core, proving, job, done)?,
        phase => phase,
    };
    Ok(())
}
/// A deadline of an IKE SA, or its end.
fn tick(cx: &mut Cx<'_>, sa: &mut IkeSa) -> Result<(), Ended> {
    let core = &mut sa.core;
    match &mut sa.phase {
        Phase::Established(est) => {
            let step = est.tick(cx, core);
            if step == Err(Ended::PeerDead) && est.standing == Standing::Current {
                let failure = Failure::new(cx.now, Where::Traffic, core.initiator, "dpd.no_response");
                cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
                probe::died(cx, core, est);
            }
            return step;
        }
        Phase::HalfOpen(half) => return half.tick(cx, core),
        Phase::Moving => {}
        phase => {
            if core.retransmit(cx, phase.channel()).is_ok() {
                return Ok(());
            }
        }
    }
    Err(match std::mem::replace(&mut sa.phase, Phase::Moving) {
        Phase::Opening(opening) => opening.gave_up(cx, core),
        Phase::Agreeing(agreeing) => agreeing.opening.gave_up(cx, core),
        Phase::Mixing(mixing) => mixing.gave_up(cx, core),
        Phase::Proving(proving) => proving.gave_up(cx, core),
        Phase::HalfOpen(_) | Phase::Established(_) | Phase::Moving => Ended::Failed,
    })
}
/// The end of an IKE SA: its children first, then what is wanted now.
fn end(cx: &mut Cx<'_>, sa: IkeSa, why: Ended) {
    let core = sa.core;
    cx.common.by_spi.remove(&core.our_spi());
    let mut lived = None;
    match sa.phase {
        Phase::Established(mut est) => {
            cx.common.established -= 1;
            cx.common.leases.ended(&est.remote_id, core.id);
            if let Some(rival) = est.rival(cx) {
                // The peer has not seen our rekey, or is gone (R18): what it has made itself is what counts.
                if est.closing.is_none() && matches!(why, Ended::ByPeer | Ended::PeerDead) {
                    rekey_ike::give_way(cx, &core, &mut est, rival);
                } else {
                    cx.common.redundant.push(Redundant { ike: rival, how: How::Now });
                }
            }
            probe::cancel(cx, core.id, &mut est);
            // What waited for the window goes with the children, if they have somewhere to go.
            est.abandon(cx);
            if est.standing != Standing::Current {
                return;
            }
            // Another one with the peer goes on in its place, and ESP of this one may still be on its way.
            let why = if why == Ended::ByPeer && !est.is_alone(cx) { Ended::Replaced } else { why };
            let children: Vec<Arc<str>> = est.children.iter().map(|c| c.policy.name.clone()).collect();
            while !est.children.is_empty() {
                delete::remove(cx, &mut est, 0, why);
            }
            cx.emit(Event::IkeDown { ike: core.id, connection: est.connection.name.clone(), why });
            lived = Some((cx.now.saturating_sub(est.since), children));
        }
        Phase::Proving(p) => p.release(cx),
        Phase::Opening(_) | Phase::Agreeing(_) | Phase::Mixing(_) | Phase::HalfOpen(_) | Phase::Moving => {}
    }
    let Some(link) = core.connection.as_ref().and_then(|name| cx.common.links.get_mut(name)) else { return };
    if why == Ended::Failed {
        link.given_up.extend(link.tries.get(&core.id));
    }
    link.closed(core.id);
    let renews = core.replaces.is_some_and(|old| link.sas.contains(&old));
    if let Some(ike) = core.replaces.filter(|_| lived.is_none() && why == Ended::Failed) {
        cx.common.redundant.push(Redundant { ike, how: How::Outdated });
    }
    match lived {
        Some((time, children)) => link.lost(cx.now, why, time, &children),
        // Another one may still get through.
        None if why == Ended::Failed && !renews && link.tries.is_empty() => link.attempt_failed(cx.now),
        None => {}
    }
    cx.common.touched.extend(core.connection);
}
