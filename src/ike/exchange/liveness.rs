//! Liveness: an empty INFORMATIONAL after silence, and sooner if the silence is an answer to what we send (RFC 7296 section 2.4). Any answer
//! will do. Behind a NAT whose mapping has changed it is also what tells the peer where we are now (section 2.23).
use super::{Arrival, mobike};
use crate::frozen::frozen;
use crate::ike::common::Cx;
use crate::ike::sa::{Asked, Core, Established, Task};
use crate::wire::message::{Header, Message};
use crate::wire::payload::Payload;
use crate::wire::registry::{ExchangeType, NotifyType};
use std::time::Duration;

/// A peer that was heard so lately needs no check, whatever strangers say of it.
const HEARD: Duration = Duration::from_secs(2);

/// What we send may go unanswered for this part of `dpd_delay`.
const UNANSWERED: u32 = 2;

/// Both ends heard each other last at the same moment. Whoever asks so much later finds that it was asked meanwhile, and need not ask itself: one
/// exchange tells both. Longer than most round trips and what timers are gathered in, and little beside the delay.
const LEAD: u32 = 32;
/// A second is longer than any round trip.
const MAX_LEAD: Duration = Duration::from_secs(1);

/// How much later than the other end the one asks that leaves it to that one.
pub(in crate::ike) fn lead(delay: Duration) -> Duration {
    (delay / LEAD).min(MAX_LEAD)
}

/// What we know of a peer's life. Times are never later than what they stand for, so that a check is never late.
#[derive(Clone, Copy, Debug)]
pub(in crate::ike) struct Signs {
    /// The last authentic message or packet.
    last: Duration,
    /// We have sent ESP since then, from this time on at the earliest, and nothing came.
    unanswered: Option<Duration>,
}
frozen! { struct Signs { last, unanswered } }
impl Signs {
    /// It was heard now.
    pub(in crate::ike) fn new(now: Duration) -> Self {
        Self { last: now, unanswered: None }
    }
    /// It was heard at `at`, or later.
    pub(in crate::ike) fn heard(&mut self, at: Duration) {
        self.last = self.last.max(at);
        self.unanswered = None;
    }
    /// We have sent ESP after `since`, and nothing came after it.
    pub(in crate::ike) fn unanswered(&mut self, since: Duration) {
        if since > self.last {
            self.unanswered.get_or_insert(since);
        }
    }
    /// When it is to be asked. Traffic in our direction alone costs a check every half `delay` at most: each answer is a sign of life.
    pub(in crate::ike) fn check_at(&self, delay: Duration) -> Duration {
        let silent = self.last + delay;
        self.unanswered.map_or(silent, |since| silent.min(since + delay / UNANSWERED))
    }
}

/// Asks whether the peer lives.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) -> Asked {
    let question = mobike::question(core);
    est.request(cx, core, ExchangeType::INFORMATIONAL, &question);
    Asked::Liveness
}
/// Somebody who proves nothing says that the peer has lost an SA of this IKE SA: a reason to ask it, no more, and not often (RFC 7296 section
/// 2.21.4).
pub(in crate::ike) fn doubt(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) {
    let silent = cx.now.saturating_sub(est.signs.last) >= HEARD && core.window.is_free() && est.closing.is_none();
    if silent {
        est.plan(Task::Liveness);
        est.pump(cx, core);
    }
}
/// The same of this IKE SA itself (INVALID_IKE_SPI in the clear). Where we have asked several times, get no answer, and each time are told so,
/// another IKE SA is tried beside this one; which only goes when that one is authenticated, or when the peer has not answered for as
/// long as any other.
pub(in crate::ike) fn hint(
    cx: &mut Cx<'_>,
    core: &mut Core,
    est: &mut Established,
    header: &Header,
    from: &Arrival<'_>,
) {
    let told = |p: &Payload| matches!(p, Payload::Notify(n) if n.kind == NotifyType::INVALID_IKE_SPI);
    if !header.response || !Message::parse(from.data).is_ok_and(|message| message.payloads.first().is_some_and(told)) {
        return;
    }
    // Wherever it was asked: there it is now.
    let way = (from.local.ip(), from.remote.ip());
    let asked = core.mobile.trying.iter().position(|(local, remote)| (local.ip(), remote.ip()) == way);
    let there = asked.is_some() || from.remote.ip() == core.remote.ip();
    if header.id == core.window.next_id() && core.window.is_silent() && there {
        if let Some(asked) = asked {
            core.mobile.trying.swap(0, asked);
        }
        cx.common.lost.push(core.id);
    } else {
        doubt(cx, core, est);
    }
}
