//! Message ids, retransmission and the remembered response (RFC 7296 sections 2.1 to 2.3). The window is 1 in both directions.
use super::policy::Retransmit;
use crate::wire::registry::ExchangeType;
use std::time::Duration;

/// Both directions of one IKE SA; their ids are independent.
#[derive(Debug, Default)]
pub(super) struct Window {
    next: u32,
    outstanding: Option<Outstanding>,
    expected: u32,
    answered: Option<Vec<u8>>,
}
#[derive(Debug)]
struct Outstanding {
    exchange: ExchangeType,
    bytes: Vec<u8>,
    sent: u32,
    resend_at: Duration,
}
/// What an id of a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The one that we wait for.
    New,
    /// The one that we answered last.
    Again,
    /// Forgotten or from the future.
    Other,
}
/// What time asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due<'a> {
    Nothing,
    Resend(&'a [u8]),
    GaveUp,
}

impl Window {
    /// The responder's, once IKE_SA_INIT (id 0) is answered.
    pub(super) fn after_init() -> Self {
        Self { expected: 1, ..Self::default() }
    }
    /// The id of our next request.
    pub(super) fn next_id(&self) -> u32 {
        self.next
    }
    /// True if no request of ours waits for its response.
    pub(super) fn is_free(&self) -> bool {
        self.outstanding.is_none()
    }
    /// Our request left, for the first time; one with the same id that was outstanding is forgotten (COOKIE, INVALID_KE_PAYLOAD).
    pub(super) fn sent(&mut self, now: Duration, exchange: ExchangeType, bytes: Vec<u8>, times: &Retransmit) {
        self.outstanding = Some(Outstanding { exchange, bytes, sent: 1, resend_at: now + interval(times, 0) });
    }
    /// True for the response to the outstanding request.
    pub(super) fn awaits(&self, exchange: ExchangeType, id: u32) -> bool {
        id == self.next && self.outstanding.as_ref().is_some_and(|o| o.exchange == exchange)
    }
    /// The response has come.
    pub(super) fn settle(&mut self) {
        self.outstanding = None;
        self.next = self.next.saturating_add(1);
    }
    /// Judges the id of a request; only after its ICV was found right may anything follow from it.
    pub(super) fn judge(&self, id: u32) -> Incoming {
        if id == self.expected {
            Incoming::New
        } else if self.answered.is_some() && id.checked_add(1) == Some(self.expected) {
            Incoming::Again
        } else {
            Incoming::Other
        }
    }
    /// The expected request was answered with these bytes.
    pub(super) fn respond(&mut self, bytes: Vec<u8>) {
        self.answered = Some(bytes);
        self.expected = self.expected.saturating_add(1);
    }
    /// The stored response, for a request that came `Again`.
    pub(super) fn stored(&self) -> Option<&[u8]> {
        self.answered.as_deref()
    }
    /// When `poll` has something to say.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.outstanding.as_ref().map(|o| o.resend_at)
    }
    /// Retransmits or gives up.
    pub(super) fn poll(&mut self, now: Duration, times: &Retransmit) -> Due<'_> {
        match &mut self.outstanding {
            Some(o) if o.resend_at <= now => {
                if o.sent > times.tries {
                    return Due::GaveUp;
                }
                o.resend_at = now + interval(times, o.sent);
                o.sent += 1;
                Due::Resend(&o.bytes)
            }
            _ => Due::Nothing,
        }
    }
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
        w.sent(Duration::ZERO, ExchangeType::IKE_SA_INIT, b"request".to_vec(), &times);
        let mut at = Vec::new();
        loop {
            let now = w.deadline().unwrap();
            match w.poll(now, &times) {
                Due::Resend(bytes) => assert_eq!(bytes, b"request"),
                Due::GaveUp => break,
                Due::Nothing => panic!("the deadline was due"),
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
        w.respond(b"one".to_vec());
        assert_eq!((w.judge(1), w.judge(2), w.judge(3)), (Incoming::Again, Incoming::New, Incoming::Other));
        assert_eq!(w.stored(), Some(&b"one"[..]));
        w.respond(b"two".to_vec());
        assert_eq!(w.judge(1), Incoming::Other);
        assert_eq!(w.next_id(), 0);
        assert!(!w.awaits(ExchangeType::INFORMATIONAL, 0));
    }
}
