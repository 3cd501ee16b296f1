//! Message ids, retransmission and the remembered responses (RFC 7296 sections 2.1 to 2.3).
//!
//! We have one request in flight. As a responder we take up to `SIZE` of them once the peer was told so: all are answered in the order of
//! their ids, and the last `SIZE` responses are remembered.
use super::channel::Sealed;
use super::policy::Retransmit;
use crate::frozen::frozen;
use crate::wire::registry::ExchangeType;
use std::collections::VecDeque;
use std::time::Duration;

/// How many requests of the peer we keep apart, after we have announced it (SET_WINDOW_SIZE).
pub(super) const SIZE: u32 = 4;
/// After so many transmissions without an answer a large message is cut smaller, if it can be (RFC 7383 section 2.5.2).
const PROBES: u32 = 3;
/// After so many transmissions without an answer the peer is silent.
const SILENCE: u32 = 2;
/// So often a request that insists on its size is sent.
const INSISTENT: u32 = 2;
/// So often an answer is sent again. A patient peer with many paths asks for it less often; whoever has seen one request could ask without end.
const MAX_AGAIN: u32 = 64;

/// Both directions of one IKE SA; their ids are independent.
#[derive(Debug)]
pub(super) struct Window {
    next: u32,
    outstanding: Option<Outstanding>,
    expected: u32,
    /// How many ids from the expected one on are taken, and how many answers are remembered.
    size: u32,
    /// The last answers, up to the id before the expected one, and how often each was asked for again.
    answered: VecDeque<(Sealed, u32)>,
}
#[derive(Debug)]
struct Outstanding {
    exchange: ExchangeType,
    sealed: Sealed,
    sent: u32,
    resend_at: Duration,
    /// When it was sent first; `None`: it has changed since, or the time has leapt.
    since: Option<Duration>,
    /// It insists on its size: so long after each transmission.
    insists: Option<Duration>,
}
frozen! {
    struct Window { next, outstanding, expected, size, answered }
    struct Outstanding { exchange, sealed, sent, resend_at, since, insists }
}
/// What an id of a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The one that we wait for.
    New,
    /// One behind it, within the window.
    Early,
    /// One that we answered and remember.
    Again,
    /// Forgotten or from the future.
    Other,
}
/// What time asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// The outstanding request, once more.
    Resend,
    /// It, but smaller if it can be; then `cut` begins anew.
    Shrink,
    /// It has insisted on its size in vain: `relent`.
    Relent,
    GaveUp,
}
impl Default for Window {
    fn default() -> Self {
        Self { next: 0, outstanding: None, expected: 0, size: 1, answered: VecDeque::new() }
    }
}

impl Window {
    /// The responder's, once IKE_SA_INIT (id 0) is answered.
    pub(super) fn after_init() -> Self {
        Self { expected: 1, ..Self::default() }
    }
    /// The peer was told that it may have `SIZE` requests in flight.
    pub(super) fn widen(&mut self) {
        self.size = SIZE;
    }
    /// The id of our next request.
    pub(super) fn next_id(&self) -> u32 {
        self.next
    }
    /// The id of the peer's next request.
    pub(super) fn expected_id(&self) -> u32 {
        self.expected
    }
    /// True if no request of ours waits for its response.
    pub(super) fn is_free(&self) -> bool {
        self.outstanding.is_none()
    }
    /// Our request left, for the first time; one with the same id that was outstanding is forgotten (COOKIE, INVALID_KE_PAYLOAD).
    pub(super) fn sent(&mut self, now: Duration, exchange: ExchangeType, sealed: Sealed, times: &Retransmit) {
        let (resend_at, since) = (now + interval(times, 0), Some(now));
        self.outstanding = Some(Outstanding { exchange, sealed, sent: 1, resend_at, since, insists: None });
    }
    /// The request that has just left is one to find out whether it arrives as large as it is: it is sent again after this time, and relents
    /// after twice this time.
    pub(super) fn insist(&mut self, now: Duration, wait: Duration) {
        if let Some(o) = &mut self.outstanding {
            (o.insists, o.resend_at) = (Some(wait), now + wait);
        }
    }
    /// The request in flight is not sent again before this.
    pub(super) fn rest(&mut self, until: Duration) {
        if let Some(o) = &mut self.outstanding {
            o.resend_at = o.resend_at.max(until);
        }
    }
    /// The request that insists gets its smaller form, which is sent at once as if it had never been sent.
    pub(super) fn relent(&mut self, now: Duration, smaller: impl FnOnce(&mut Sealed)) {
        if let Some(o) = &mut self.outstanding
            && o.insists.take().is_some()
        {
            smaller(&mut o.sealed);
            self.again(now);
        }
    }
    /// Whether the outstanding request has kept its size. `None`: it has relented and still was not answered for long, so that the size need not
    /// have been the reason.
    pub(super) fn is_whole(&self) -> Option<bool> {
        let o = self.outstanding.as_ref()?;
        (o.insists.is_some() || o.sent <= PROBES).then_some(o.insists.is_some())
    }
    /// True for the response to the outstanding request.
    pub(super) fn awaits(&self, exchange: ExchangeType, id: u32) -> bool {
        id == self.next && self.outstanding.as_ref().is_some_and(|o| o.exchange == exchange)
    }
    /// The response has come. Returns the time since its request was first sent: the round trip, or more.
    pub(super) fn settle(&mut self, now: Duration) -> Option<Duration> {
        self.next = self.next.saturating_add(1);
        let since = self.outstanding.take()?.since?;
        now.checked_sub(since)
    }
    /// Judges the id of a request; only after its ICV was found right may anything follow from it.
    pub(super) fn judge(&self, id: u32) -> Incoming {
        match id.checked_sub(self.expected) {
            Some(0) => Incoming::New,
            Some(ahead) if ahead < self.size => Incoming::Early,
            Some(_) => Incoming::Other,
            None if self.place(id).is_some() => Incoming::Again,
            None => Incoming::Other,
        }
    }
    /// The expected request was answered with this.
    pub(super) fn respond(&mut self, sealed: Sealed) {
        if self.answered.len() >= self.size as usize {
            self.answered.pop_front();
        }
        self.answered.reserve_exact(1);
        self.answered.push_back((sealed, 0));
        self.expected = self.expected.saturating_add(1);
    }
    /// The stored response to a request that came `Again`, and whether that has happened so often that it may be too large to arrive. At last it
    /// is not sent any more.
    pub(super) fn stored(&mut self, id: u32) -> Option<(&mut Sealed, bool)> {
        let place = self.place(id)?;
        let (sealed, again) = self.answered.get_mut(place)?;
        *again = again.saturating_add(1);
        (*again <= MAX_AGAIN).then_some((sealed, *again >= PROBES))
    }
    fn place(&self, id: u32) -> Option<usize> {
        let back = self.expected.checked_sub(id)? as usize;
        self.answered.len().checked_sub(back)
    }
    /// Has the outstanding request sent again at once, as if for the first time: to another address, or after a leap of the clock.
    pub(super) fn again(&mut self, now: Duration) {
        if let Some(o) = &mut self.outstanding {
            (o.sent, o.resend_at, o.since) = (0, now, None);
        }
    }
    /// The outstanding request.
    pub(super) fn outstanding(&self) -> Option<&Sealed> {
        self.outstanding.as_ref().map(|o| &o.sealed)
    }
    /// Both directions have come to this id.
    #[cfg(test)]
    pub(super) fn jump(&mut self, id: u32) {
        (self.next, self.expected) = (id, id);
        self.answered.clear();
    }
    /// The outstanding request was sent again, and then again, and nothing came: the peer may not be where we think that it is.
    pub(super) fn is_silent(&self) -> bool {
        self.outstanding.as_ref().is_some_and(|o| o.insists.is_none() && o.sent > SILENCE)
    }
    /// When `poll` has something to say.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.outstanding.as_ref().map(|o| o.resend_at)
    }
    /// Retransmits or gives up.
    pub(super) fn poll(&mut self, now: Duration, times: &Retransmit) -> Due {
        match &mut self.outstanding {
            Some(o) if o.resend_at <= now => {
                if let Some(wait) = o.insists {
                    (o.sent, o.resend_at) = (o.sent + 1, now + wait);
                    return if o.sent > INSISTENT { Due::Relent } else { Due::Resend };
                }
                if o.sent > times.tries {
                    return Due::GaveUp;
                }
                o.resend_at = now + interval(times, o.sent);
                o.sent += 1;
                if o.sent > PROBES { Due::Shrink } else { Due::Resend }
            }
            _ => Due::Nothing,
        }
    }
    /// Has the outstanding request cut anew. If it was, its retransmissions begin anew, too (RFC 7383 section 2.5.2).
    pub(super) fn cut(&mut self, now: Duration, times: &Retransmit, cut: impl FnOnce(&mut Sealed) -> bool) {
        if let Some(o) = &mut self.outstanding
            && cut(&mut o.sealed)
        {
            o.resend_at = now + interval(times, 0);
            o.sent = 1;
        }
    }
}

/// So long a request is sent again and again. A peer that is as patient as we are may ask for an answer of ours for so long.
pub(super) fn patience(times: &Retransmit) -> Duration {
    (0..=times.tries.min(1000)).map(|n| interval(times, n)).fold(Duration::ZERO, Duration::saturating_add)
}
/// The wait after transmission number `n`, counted from 0.
fn interval(times: &Retransmit, n: u32) -> Duration {
    let factor = times.factor.max(1.0).powi(n.min(64) as i32);
    Duration::try_from_secs_f64(times.first.as_secs_f64() * factor).unwrap_or(times.max).min(times.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_times_are_those_of_the_manual_and_then_it_gives_up() {
        let times = Retransmit::default();
        let mut w = Window::default();
        w.sent(Duration::ZERO, ExchangeType::IKE_SA_INIT, b"request".to_vec().into(), &times);
        let mut at = Vec::new();
        loop {
            let now = w.deadline().unwrap();
            match w.poll(now, &times) {
                Due::Resend | Due::Shrink => assert_eq!(w.outstanding().unwrap().datagrams(), [b"request"]),
                Due::GaveUp => break,
                Due::Nothing | Due::Relent => panic!("the deadline was due"),
            }
            at.push(now.as_millis());
        }
        assert_eq!(at.len(), 14);
        assert_eq!(at[..6], [500, 1300, 2580, 4628, 7904, 13147]);
        assert_eq!(at[7] - at[6], 8000);
    }

    #[test]
    fn only_the_last_request_is_remembered_and_the_directions_are_independent() {
        let mut w = Window::after_init();
        assert_eq!(w.judge(0), Incoming::Other);
        assert_eq!(w.judge(1), Incoming::New);
        w.respond(b"one".to_vec().into());
        assert_eq!((w.judge(1), w.judge(2), w.judge(3)), (Incoming::Again, Incoming::New, Incoming::Other));
        assert_eq!(w.stored(1).unwrap().0.datagrams(), [b"one"]);
        w.respond(b"two".to_vec().into());
        assert_eq!(w.judge(1), Incoming::Other);
        assert!(w.stored(1).is_none() && w.stored(0).is_none() && w.stored(3).is_none());
        assert_eq!(w.next_id(), 0);
        assert!(!w.awaits(ExchangeType::INFORMATIONAL, 0));
    }

    #[test]
    fn an_answer_is_not_sent_again_without_end() {
        let mut w = Window::after_init();
        w.respond(b"one".to_vec().into());
        let sent = (0..1000).filter(|_| w.stored(1).is_some()).count();
        assert_eq!(sent, MAX_AGAIN as usize);
        w.respond(b"two".to_vec().into());
        assert!(w.stored(2).is_some());
    }

    #[test]
    fn a_wide_window_remembers_as_many_answers_as_it_takes_requests() {
        let mut w = Window::after_init();
        w.widen();
        let judged: Vec<_> = (0..7).map(|id| w.judge(id)).collect();
        use Incoming::{Again, Early, New, Other};
        assert_eq!(judged, [Other, New, Early, Early, Early, Other, Other]);
        for id in 1..=6 {
            w.respond(vec![id].into());
        }
        let judged: Vec<_> = (1..12).map(|id| w.judge(id)).collect();
        assert_eq!(judged, [Other, Other, Again, Again, Again, Again, New, Early, Early, Early, Other]);
        assert_eq!((3..7).map(|id| w.stored(id).unwrap().0.datagrams()[0][0]).collect::<Vec<_>>(), [3, 4, 5, 6]);
    }
}
