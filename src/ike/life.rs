//! How long an SA may be used: when it is rekeyed, and when it ends whatever became of that (RFC 7296 section 2.8).
use super::child::{Child, ChildState};
use super::common::{Cx, Step};
use super::event::{ChildId, Ended, Usage};
use super::exchange::delete;
use super::policy::{ChildPolicy, Connection, RekeyBy};
use super::sa::{CLOSING_TIME, Core, Established, LAST_ID, Standing, Task};
use std::time::Duration;

/// What is not configured is this part of the lifetime: the share that chance may take off, and the reserve behind it.
const SHARE: u32 = 10;
/// The reserve is this at least, if nothing else is said: an answer may be lost, or be TEMPORARY_FAILURE.
const LEAST_OVER: Duration = Duration::from_secs(30);
/// The first wait before what failed is tried again; it doubles.
const RETRY: Duration = Duration::from_secs(2);
/// The longest wait.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// So long before the end what could not be rekeyed, or was left to the peer and not rekeyed, is made from scratch; or half of the reserve before it.
const LAST_CALL: Duration = Duration::from_secs(15);

/// Thousandths of the sequence numbers that are used up when it is time for new ones.
const WORN_SEQUENCE: u16 = 750;

/// The time of one SA.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// When we renew it; `None`: not by time, or it is under way.
    pub renew: Option<Duration>,
    /// It is not used any more from then on (R35).
    pub end: Option<Duration>,
    /// So many attempts to renew it have failed.
    pub failures: u32,
}
impl Life {
    /// Of a child that begins now.
    pub(super) fn of_child(cx: &mut Cx<'_>, connection: &Connection, child: &ChildPolicy) -> Self {
        let now = cx.now;
        Self::new(cx, now, (child.rekey_time, connection.rand_time, Duration::ZERO), By::of(connection))
    }
    /// Of the keys of an IKE SA that begin now.
    pub(super) fn of_ike(cx: &mut Cx<'_>, connection: &Connection) -> Self {
        let now = cx.now;
        Self::new(cx, now, (connection.rekey_time, connection.rand_time, connection.over_time), By::of(connection))
    }
    /// Of an authentication that was made now. A responder leaves it to the initiator to make it again (RFC 4478), and only sees to its end.
    pub(super) fn of_authentication(cx: &mut Cx<'_>, connection: &Connection, initiator: bool) -> Self {
        let now = cx.now;
        let by = if initiator { By::Us } else { By::Nobody };
        Self::new(cx, now, (connection.reauth_time, connection.rand_time, connection.over_time), by)
    }
    /// The peer wants it to be renewed before so much time has passed (RFC 4478). Nobody can make us do it again and again.
    pub(super) fn shorten(&mut self, cx: &mut Cx<'_>, time: Duration) {
        let time = time.max(MAX_RETRY) * 9 / 10;
        let at = cx.now + time - jitter(cx, time / SHARE);
        self.renew = Some(self.renew.map_or(at, |renew| renew.min(at)));
    }
    fn new(cx: &mut Cx<'_>, since: Duration, (time, rand, over): Times, by: By) -> Self {
        if time.is_zero() {
            return Self::default();
        }
        let rand = rand.unwrap_or(time / SHARE).min(time);
        let reserve = reserve(time, over);
        let end = since + time + reserve;
        let renew = match by {
            By::Us => Some(since + time - jitter(cx, rand)),
            By::Peer => Some(end - LAST_CALL.min(reserve / 2)),
            By::Nobody => None,
        };
        Self { renew, end: Some(end), failures: 0 }
    }
    /// Other times than before, of an SA that began at `since`. Who is over by them is renewed soon, though not together with all others of
    /// which the same is true, and has the time for that. `by`: nobody while it is under way; what has failed waits as before.
    pub(super) fn retime(&mut self, cx: &mut Cx<'_>, since: Duration, times: Times, by: By) {
        let reserve = reserve(times.0, times.2);
        let fresh = Self::new(cx, since, times, by);
        let now = cx.now;
        let soon = fresh.renew.is_some_and(|at| at <= now).then(|| now + jitter(cx, reserve / 2));
        let renew = soon.or(fresh.renew);
        self.renew = if self.failures > 0 { self.renew.filter(|_| renew.is_some()) } else { renew };
        self.end = fresh.end.map(|end| end.max(now + reserve));
    }
    /// It is time to renew it: true once, until `retry`.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        self.renew.take_if(|at| *at <= now).is_some()
    }
    /// It has ended.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
    /// The attempt has failed: another one follows, not at once (R22), and before it is too late for anything.
    pub(super) fn retry(&mut self, cx: &mut Cx<'_>) {
        let wait = (RETRY * (1 << self.failures.min(5))).min(MAX_RETRY);
        self.failures = self.failures.saturating_add(1);
        let at = cx.now + wait + jitter(cx, wait / 2);
        let last = self.end.map_or(at, |end| end.saturating_sub(LAST_CALL));
        self.renew = Some(at.min(last).max(cx.now + RETRY.min(wait)));
    }
    /// It is time to renew it, and no rekey of ours will: `left` to the peer, or refused until now. True twice at most.
    fn is_last_call(&mut self, now: Duration, left: bool) -> bool {
        let late = self.failures > 0 && self.end.is_some_and(|end| end <= now + LAST_CALL);
        if left || late {
            // Once more at half time, not again and again: each is an IKE SA from scratch for a peer that may not want it.
            self.renew = self.end.map(|end| end.saturating_sub(LAST_CALL / 2)).filter(|at| *at > now);
        }
        left || late
    }
    /// When something is to be done about it.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.renew.into_iter().chain(self.end).min()
    }
}

/// How much of what a child may carry it has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wear {
    Fine,
    /// It is time to rekey it.
    Due,
    /// It may not be used any more.
    Over,
}
impl Child {
    /// By what has travelled. Octets and packets have a reserve as large as the limit, for the time that a rekey takes.
    pub(super) fn wear(&self, usage: &Usage) -> Wear {
        let of = |used: u64, limit: u64| used.checked_div(limit).unwrap_or(0);
        let used = of(usage.bytes, self.policy.rekey_bytes).max(of(usage.packets, self.policy.rekey_packets));
        match (used, usage.sequence_permille) {
            (2.., _) | (_, 1000..) => Wear::Over,
            (1, _) | (_, WORN_SEQUENCE..) => Wear::Due,
            _ => Wear::Fine,
        }
    }
}

/// Who renews an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Us,
    /// We only where it has not, in the end: some peers refuse every rekey but their own.
    Peer,
    /// It is under way, or not our affair.
    Nobody,
}
impl By {
    pub(super) fn of(connection: &Connection) -> Self {
        if connection.rekey == RekeyBy::Peer { Self::Peer } else { Self::Us }
    }
}

/// A time, what chance may take off it, and what comes after it.
type Times = (Duration, Option<Duration>, Duration);
fn reserve(time: Duration, over: Duration) -> Duration {
    if over.is_zero() { (time / SHARE).max(LEAST_OVER) } else { over }
}

impl Established {
    /// The time has leapt, as it does when a machine was suspended. What has ended meanwhile is not used any more, not even to say so; the
    /// peer gets all the time to answer that it would have had, and is asked whether it lives before anything else.
    pub(super) fn leapt(&mut self, cx: &mut Cx<'_>, core: &mut Core) -> Step<()> {
        let over = self.life.is_over(cx.now) || self.authentication.is_over(cx.now);
        if self.standing == Standing::Current && over {
            return Err(Ended::Expired);
        }
        self.expire(cx);
        core.window.again(cx.now);
        if core.window.is_free() && !self.connection.dpd_delay.is_zero() && self.standing == Standing::Current {
            self.queue.retain(|task| *task != Task::Liveness);
            self.queue.push_front(Task::Liveness);
        }
        self.pump(cx, core);
        Ok(())
    }
    /// What has reached the end of its lifetime is not used any more, from this moment on (R35).
    pub(super) fn expire(&mut self, cx: &mut Cx<'_>) {
        while let Some(i) = self.children.iter().position(|c| c.life.is_over(cx.now)) {
            self.expire_child(cx, i);
        }
        if self.standing == Standing::Current && (self.life.is_over(cx.now) || self.authentication.is_over(cx.now)) {
            while !self.children.is_empty() {
                delete::remove(cx, self, 0, Ended::Expired);
            }
            self.close(cx.now, Ended::Expired, CLOSING_TIME);
        }
    }
    fn expire_child(&mut self, cx: &mut Cx<'_>, i: usize) {
        let Some(child) = self.children.get(i) else { return };
        let (id, spi, state, failures) = (child.id, child.spi_in, child.state, child.life.failures);
        let beside = child.resource.is_some();
        // Whatever it was about to end of: only what has time left is opened for the grace.
        delete::remove(cx, self, i, Ended::Expired);
        // The peer deletes it, or was asked to: a second Delete helps nobody.
        if matches!(state, ChildState::Replaced { .. } | ChildState::Closing(_)) {
            return;
        }
        self.queue.retain(|task| *task != Task::DeleteChild(id) && *task != Task::RekeyChild(id));
        self.plan(Task::DeleteSpi { spi, release: false });
        // It could not be rekeyed: only an IKE SA from scratch can help (RFC 7296 section 2.8). What it was beside goes on.
        if failures > 0 && !beside {
            self.close(cx.now, Ended::Expired, CLOSING_TIME);
        }
    }
    /// Plans what is due: rekeys, and Deletes that the peer owes us.
    pub(super) fn renew(&mut self, cx: &mut Cx<'_>, core: &Core) {
        if self.standing != Standing::Current || self.closing.is_some() {
            return;
        }
        let now = cx.now;
        let owed = |c: &Child| matches!(c.state, ChildState::Replaced { until } if until <= now);
        let owed: Vec<ChildId> = self.children.iter().filter(|c| owed(c)).map(|c| c.id).collect();
        owed.into_iter().for_each(|id| self.leave(id, Ended::Replaced));
        let left = self.connection.rekey == RekeyBy::Peer;
        let up = self.children.iter_mut().filter(|c| c.state == ChildState::Up);
        // What is there for one resource is not worth it: the fallback beside it goes on (RFC 9611).
        let call = |c: &mut Child| c.resource.is_none() && c.life.is_last_call(now, left);
        let due: Vec<_> = up.filter_map(|c| c.life.is_due(now).then(|| (c.id, call(c)))).collect();
        let mut last = due.iter().any(|(_, last)| *last);
        due.iter().filter(|(_, last)| !last && !left).for_each(|(id, _)| self.plan(Task::RekeyChild(*id)));
        let ids_end = core.window.next_id() > LAST_ID && self.life.failures == 0;
        match self.life.is_due(now) {
            true if self.life.is_last_call(now, left) => last = true,
            false if !ids_end => {}
            _ => self.plan(Task::RekeyIke),
        }
        // RFC 7296 section 2.8: only an IKE SA from scratch can help, made before the old one ends.
        if last {
            cx.common.renew.push(core.id);
        }
        if self.authentication.is_due(now) {
            self.authentication.retry(cx);
            cx.common.renew.push(core.id);
        }
    }
    /// So much has travelled that something is to be done about it. Asked first: most of what is reported is not.
    pub(super) fn is_worn(&self, usage: &Usage) -> bool {
        self.child(usage.id).is_some_and(|child| child.state == ChildState::Up && child.wear(usage) != Wear::Fine)
    }
    /// Rekeys a child that is worn, or no longer uses it.
    pub(super) fn worn(&mut self, cx: &mut Cx<'_>, usage: &Usage) {
        let Some(i) = self.children.iter().position(|c| c.id == usage.id) else { return };
        match self.children[i].wear(usage) {
            Wear::Over => self.expire_child(cx, i),
            // Not while an attempt waits for its time, nor what the peer shall rekey.
            Wear::Due if self.children[i].life.failures == 0 && self.connection.rekey != RekeyBy::Peer => {
                self.plan(Task::RekeyChild(usage.id));
            }
            Wear::Due | Wear::Fine => {}
        }
    }
}

/// A time between nothing and `most`, so that the two ends do not always meet.
pub(super) fn jitter(cx: &mut Cx<'_>, most: Duration) -> Duration {
    let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    if most == 0 {
        return Duration::ZERO;
    }
    let mut random = [0; 8];
    cx.host.random(&mut random);
    Duration::from_nanos(u64::from_le_bytes(random) % most)
}
