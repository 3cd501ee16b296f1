//! Whether traffic passes through a child, told by echo requests: when to send one, which reply counts, when it is too late, and when
//! something is to be done about it. No sockets and no clock: [`probes`](super::probes) has them.
//!
//! **How soon.** A probe that is answered is followed by the next one an interval later. One that is not answered within half an interval is
//! lost, and the next one follows at once. So if nothing passes any more from some moment on, at worst right after an answer, `loss` probes
//! are lost after at most one interval (until the next probe) and `loss` halves: 2.5 intervals for the default of 3 losses, and never more
//! than `loss` intervals from 2 on. A reply that comes late counts still: only a round trip longer than `loss` half intervals is
//! taken for a loss of traffic.
use crate::config;
use crate::frozen::frozen;
use std::collections::VecDeque;
use std::time::Duration;

/// Random octets of each probe: who has not seen it cannot answer it.
pub const TOKEN: usize = 16;
/// Loss and round-trip times are those of so many probes.
const REMEMBERED: usize = 100;
/// What was done about lost traffic is not done again before this, and
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// after double the time each time that it has not helped, up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Of a new round-trip time this part goes into the smoothed one (RFC 6298 section 2).
const SMOOTHING: u32 = 8;

/// Whether traffic passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// Nothing was answered or lost yet, or the child is down.
    Unknown,
    /// Probes are answered.
    Yes,
    /// So many in a row were not.
    No,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Send this probe.
    pub probe: Option<(u16, [u8; TOKEN])>,
    /// Traffic does not pass from now on: tell.
    pub failing: bool,
    /// Do what is configured about it.
    pub act: bool,
}

/// What became of the last probes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Probes sent in all.
    pub sent: u64,
    /// Answers to them.
    pub received: u64,
    /// Of those that were answered or lost lately, so many in a hundred were lost.
    pub loss_percent: f64,
    /// Round-trip time: the last one, the smoothed one, and the extremes of late; `None` before the first answer.
    pub rtt: Option<RoundTrip>,
}
/// Round-trip times.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RoundTrip {
    pub last: Duration,
    pub smoothed: Duration,
    pub least: Duration,
    pub most: Duration,
}

/// The watch over one child.
#[derive(Debug)]
pub struct Watch {
    interval: Duration,
    loss: u32,
    passing: Passing,
    since: Duration,
    /// The next probe leaves; `None`: the child is down.
    next: Option<Duration>,
    probes: VecDeque<Probe>,
    sequence: u16,
    /// Unanswered ones since the last answer, or since the child is up.
    row: u32,
    smoothed: Option<Duration>,
    sent: u64,
    received: u64,
    /// Not before then anything is done again, and the wait that follows.
    act_at: Duration,
    wait: Duration,
}
#[derive(Debug)]
struct Probe {
    sequence: u16,
    token: [u8; TOKEN],
    sent: Duration,
    fate: Fate,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Lost,
    Answered(Duration),
}

frozen! {
    struct Watch { interval, loss, passing, since, next, probes, sequence, row, smoothed, sent, received, act_at, wait }
    struct Probe { sequence, token, sent, fate }
    enum Fate { 0 = Waiting, 1 = Lost, 2 = Answered(after) }
    enum Passing { 0 = Unknown, 1 = Yes, 2 = No }
}

impl Watch {
    /// Goes on with that of another daemon, whose socket is not ours: what was on its way is neither answered nor lost.
    pub fn go_on(mut self, settings: &config::Monitor, now: Duration) -> Self {
        if (self.interval, self.loss) != (settings.interval, settings.loss) {
            return Self::new(settings, now);
        }
        self.probes.retain(|probe| probe.fate != Fate::Waiting);
        self.probes.truncate(REMEMBERED);
        self
    }
    /// Over a child that is down.
    pub fn new(settings: &config::Monitor, now: Duration) -> Self {
        Self {
            interval: settings.interval,
            loss: settings.loss,
            passing: Passing::Unknown,
            since: now,
            next: None,
            probes: VecDeque::new(),
            sequence: 0,
            row: 0,
            smoothed: None,
            sent: 0,
            received: 0,
            act_at: Duration::ZERO,
            wait: FIRST_WAIT,
        }
    }
    /// The child is up: what was lost before does not count.
    pub fn up(&mut self, now: Duration) {
        if self.next.is_none() {
            self.next = Some(now);
            self.row = 0;
        }
    }
    /// The child is down. That nothing passed before is remembered: only an answer shows that it is over.
    pub fn down(&mut self, now: Duration) {
        self.next = None;
        self.probes.retain(|probe| probe.fate != Fate::Waiting);
        if self.passing == Passing::Yes {
            self.become_known(now, Passing::Unknown);
        }
    }
    /// No probe can leave, whatever becomes of traffic: the next try is an interval later.
    pub fn hinder(&mut self, now: Duration) {
        if self.next.is_some() {
            self.down(now);
            self.next = Some(now + self.interval);
        }
    }
    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Duration> {
        let next = self.next?;
        Some(self.waiting().map_or(next, |sent| next.min(sent + self.patience())))
    }
    /// What is due: at most one loss, and at most one probe, however late it is. `token` draws random octets.
    pub fn tick(&mut self, now: Duration, token: impl FnOnce() -> [u8; TOKEN]) -> Due {
        let mut due = Due::default();
        let Some(mut next) = self.next else { return due };
        let patience = self.patience();
        let late = |probe: &&mut Probe| probe.fate == Fate::Waiting && probe.sent + patience <= now;
        if let Some(probe) = self.probes.iter_mut().find(late) {
            probe.fate = Fate::Lost;
            self.row = self.row.saturating_add(1);
            if self.row >= self.loss {
                due.failing = self.passing != Passing::No;
                self.become_known(now, Passing::No);
                due.act = self.may_act(now);
            } else {
                next = now;
            }
        }
        if next <= now {
            self.sequence = self.sequence.wrapping_add(1);
            let token = token();
            due.probe = Some((self.sequence, token));
            self.sent += 1;
            self.probes.push_back(Probe { sequence: self.sequence, token, sent: now, fate: Fate::Waiting });
            if self.probes.len() > REMEMBERED {
                self.probes.pop_front();
            }
            next = now + self.interval;
        }
        self.next = Some(next);
        due
    }
    /// A reply has come. True if it answers a probe of ours, for the first time, and traffic passes again.
    pub fn reply(&mut self, now: Duration, sequence: u16, data: &[u8]) -> bool {
        let ours = |probe: &&mut Probe| probe.sequence == sequence && probe.token == *data;
        let Some(probe) = self.probes.iter_mut().find(ours).filter(|p| !matches!(p.fate, Fate::Answered(_))) else {
            return false;
        };
        let rtt = now.saturating_sub(probe.sent);
        probe.fate = Fate::Answered(rtt);
        self.received += 1;
        self.row = 0;
        let smooth = |before: Duration| before - before / SMOOTHING + rtt / SMOOTHING;
        self.smoothed = Some(self.smoothed.map_or(rtt, smooth));
        if self.next.is_none() {
            return false;
        }
        let again = self.passing == Passing::No;
        self.become_known(now, Passing::Yes);
        again
    }
    /// Whether traffic passes, and since when we think so.
    pub fn passing(&self) -> (Passing, Duration) {
        (self.passing, self.since)
    }
    /// What became of the last probes.
    pub fn figures(&self) -> Figures {
        let count = |fate: fn(&Fate) -> bool| self.probes.iter().filter(|probe| fate(&probe.fate)).count() as f64;
        let (lost, known) = (count(|f| *f == Fate::Lost), count(|f| *f != Fate::Waiting));
        let loss_percent = if known > 0.0 { 100.0 * lost / known } else { 0.0 };
        let times = || {
            self.probes.iter().filter_map(|probe| match probe.fate {
                Fate::Answered(rtt) => Some(rtt),
                Fate::Waiting | Fate::Lost => None,
            })
        };
        let extremes = (times().min(), times().max(), times().next_back());
        let rtt = match (self.smoothed, extremes) {
            (Some(smoothed), (Some(least), Some(most), Some(last))) => Some(RoundTrip { last, smoothed, least, most }),
            _ => None,
        };
        Figures { sent: self.sent, received: self.received, loss_percent, rtt }
    }

    fn become_known(&mut self, now: Duration, passing: Passing) {
        if self.passing == passing {
            return;
        }
        // It has helped: the next time we begin with little patience again. A moment of life in between is no help.
        if self.passing == Passing::Yes && now.saturating_sub(self.since) >= self.wait {
            self.wait = FIRST_WAIT;
        }
        (self.passing, self.since) = (passing, now);
    }
    fn may_act(&mut self, now: Duration) -> bool {
        if now < self.act_at {
            return false;
        }
        self.act_at = now + self.wait;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        true
    }
    /// A probe may take so long.
    fn patience(&self) -> Duration {
        self.interval / 2
    }
    /// The oldest probe that waits left then.
    fn waiting(&self) -> Option<Duration> {
        self.probes.iter().find(|probe| probe.fate == Fate::Waiting).map(|probe| probe.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MonitorAction;

    const INTERVAL: Duration = Duration::from_secs(2);
    const STEP: Duration = Duration::from_millis(10);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }
    fn settings(loss: u32) -> config::Monitor {
        let target = "10.2.0.1".parse().unwrap();
        config::Monitor { target, source: None, interval: INTERVAL, loss, action: MonitorAction::Restart }
    }

    /// Whether traffic passes, and since when, is nothing that an upgrade changes.
    #[test]
    fn another_daemon_goes_on_with_what_is_known() {
        use crate::frozen::{Frozen, Known, Reader, Writer};
        let mut watch = Watch::new(&settings(3), Duration::ZERO);
        watch.up(Duration::ZERO);
        let (sequence, token) = watch.tick(Duration::ZERO, || [1; TOKEN]).probe.unwrap();
        watch.reply(ms(10), sequence, &token);
        // One more is on its way when the other comes.
        watch.tick(INTERVAL, || [2; TOKEN]);
        let handed_over = |settings: &config::Monitor| {
            let mut out = Writer::new("watch", 1);
            watch.freeze(&mut out);
            let known = Known::default();
            let mut input = Reader::new(out.octets(), "watch", 1, &known).unwrap();
            Watch::thaw(&mut input).unwrap().go_on(settings, INTERVAL + ms(100))
        };
        let mut heir = handed_over(&settings(3));
        assert_eq!((heir.passing(), heir.deadline()), ((Passing::Yes, ms(10)), Some(INTERVAL * 2)));
        heir.tick(INTERVAL * 2, || [3; TOKEN]);
        assert_eq!((heir.figures().sent, heir.figures().received, heir.figures().loss_percent), (3, 1, 0.0));
        assert_eq!(handed_over(&settings(5)).passing().0, Passing::Unknown, "other settings, another watch");
    }

    /// A watch, a virtual clock and a target behind a tunnel.
    struct World {
        now: Duration,
        watch: Watch,
        rtt: Duration,
        /// Nothing that is sent from then on is answered.
        broken: Option<Duration>,
        flying: VecDeque<(Duration, u16, [u8; TOKEN])>,
        failing: Vec<Duration>,
        acts: Vec<Duration>,
        back: Vec<Duration>,
    }
    impl World {
        fn new(loss: u32, rtt: Duration) -> Self {
            let mut watch = Watch::new(&settings(loss), Duration::ZERO);
            watch.up(Duration::ZERO);
            let (failing, acts, back) = Default::default();
            Self { now: Duration::ZERO, watch, rtt, broken: None, flying: VecDeque::new(), failing, acts, back }
        }
        /// By the deadlines, as the engine does it.
        fn run(&mut self, until: Duration) {
            loop {
                let arrival = self.flying.front().map(|(at, ..)| *at);
                let next = arrival.into_iter().chain(self.watch.deadline()).min().unwrap_or(until);
                if next > until {
                    break;
                }
                self.now = self.now.max(next);
                if arrival.is_some_and(|at| at <= self.now)
                    && let Some((_, sequence, token)) = self.flying.pop_front()
                    && self.watch.reply(self.now, sequence, &token)
                {
                    self.back.push(self.now);
                }
                let sent = self.watch.sent;
                let due = self.watch.tick(self.now, || [sent as u8; TOKEN]);
                self.failing.extend(due.failing.then_some(self.now));
                self.acts.extend(due.act.then_some(self.now));
                if let Some((sequence, token)) = due.probe
                    && self.broken.is_none_or(|at| self.now < at)
                {
                    self.flying.push_back((self.now + self.rtt, sequence, token));
                }
            }
            self.now = until;
        }
        fn stop_passing(&mut self) {
            self.broken = Some(self.now);
            self.flying.clear();
        }
    }

    /// At every moment of the cycle, and with every number of losses from 2 on.
    #[test]
    fn a_tunnel_that_breaks_is_noticed_within_as_many_intervals_as_probes_are_lost() {
        let mut worst = Duration::ZERO;
        for (loss, rtt) in [(2, ms(1)), (3, ms(1)), (3, ms(40)), (3, ms(900)), (5, ms(20))] {
            for step in 0..=200 {
                let mut world = World::new(loss, rtt);
                let at = ms(20_000) + STEP * step;
                world.run(at);
                assert_eq!(world.watch.passing().0, Passing::Yes);
                world.stop_passing();
                world.run(at + INTERVAL * loss);
                assert_eq!((world.failing.len(), world.acts.len()), (1, 1), "{loss} {rtt:?} {at:?}");
                if loss == 3 {
                    worst = worst.max(world.failing[0] - at);
                }
            }
        }
        assert!(worst <= INTERVAL * 5 / 2 && worst > INTERVAL * 2, "{worst:?}");
    }

    #[test]
    fn fewer_losses_than_that_are_none_and_late_answers_count() {
        let mut world = World::new(3, ms(10));
        world.run(ms(10_500));
        world.stop_passing();
        // Two are lost, and the third gets through.
        world.run(ms(13_900));
        world.broken = None;
        world.run(ms(60_000));
        assert!(world.failing.is_empty() && world.watch.figures().loss_percent > 0.0);
        // Each answer comes long after the patience with its probe.
        let mut slow = World::new(3, ms(2_500));
        slow.run(ms(60_000));
        assert!(slow.failing.is_empty());
        let figures = slow.watch.figures();
        assert!(figures.loss_percent < 10.0 && figures.received + 4 > figures.sent, "{figures:?}");
    }

    #[test]
    fn what_does_not_help_is_done_less_and_less_often() {
        let mut world = World::new(3, ms(10));
        world.stop_passing();
        world.run(Duration::from_secs(3600));
        let waits: Vec<u64> = world.acts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert!(waits[0] >= 30 && waits[0] < 35, "{waits:?}");
        assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]) && *waits.last().unwrap() >= 600, "{waits:?}");
        assert_eq!((world.failing.len(), waits.len()), (1, 9), "{waits:?}");
        // It is told when it is over, and what breaks a moment later is not acted on at once.
        let fixed = world.now;
        world.broken = None;
        world.run(fixed + ms(5_000));
        assert_eq!(world.back.len(), 1);
        let last = *world.acts.last().unwrap();
        world.stop_passing();
        world.run(fixed + ms(60_000));
        assert_eq!((world.failing.len(), world.acts.len() as u64), (2, 10), "told, not acted upon");
        world.run(fixed + Duration::from_secs(700));
        assert!(world.acts.len() > 10 && world.acts[10] - last >= LONGEST_WAIT);
        // After a long life, at once.
        world.broken = None;
        world.run(fixed + Duration::from_secs(2000));
        let acts = world.acts.len();
        world.stop_passing();
        world.run(fixed + Duration::from_secs(2000) + INTERVAL * 3);
        assert_eq!(world.acts.len(), acts + 1);
    }

    #[test]
    fn only_the_answer_to_a_probe_counts_and_once() {
        let mut watch = Watch::new(&settings(3), Duration::ZERO);
        assert_eq!((watch.deadline(), watch.tick(ms(5), || [7; TOKEN])), (None, Due::default()), "the child is down");
        watch.up(ms(10));
        let (sequence, token) = watch.tick(ms(10), || [7; TOKEN]).probe.expect("a probe at once");
        for (sequence, data) in [
            (sequence, &[8; TOKEN][..]),
            (sequence, &token[..TOKEN - 1]),
            (sequence, &[7; TOKEN + 1]),
            (sequence, &[]),
            (sequence.wrapping_add(1), &token),
        ] {
            watch.reply(ms(20), sequence, data);
        }
        assert_eq!((watch.passing().0, watch.figures().received), (Passing::Unknown, 0));
        watch.reply(ms(22), sequence, &token);
        watch.reply(ms(23), sequence, &token);
        let figures = watch.figures();
        let rtt = figures.rtt.expect("a round trip");
        assert_eq!((watch.passing(), figures.sent, figures.received), ((Passing::Yes, ms(22)), 1, 1));
        assert_eq!((rtt.last, rtt.smoothed, rtt.least, rtt.most), (ms(12), ms(12), ms(12), ms(12)));
    }

    #[test]
    fn what_was_lost_with_a_child_does_not_count_against_the_next() {
        let mut world = World::new(3, ms(10));
        world.run(ms(10_500));
        world.stop_passing();
        world.run(ms(13_900));
        world.watch.down(world.now);
        assert_eq!((world.watch.deadline(), world.watch.passing().0), (None, Passing::Unknown));
        world.watch.up(ms(20_000));
        world.run(ms(22_500));
        assert!(world.failing.is_empty());
        world.run(ms(23_000));
        assert_eq!(world.failing, [ms(23_000)]);
        // It does not pass until an answer says so, whatever comes up meanwhile.
        world.watch.down(ms(23_000));
        world.watch.up(ms(23_100));
        assert_eq!(world.watch.passing().0, Passing::No);
    }

    #[test]
    fn a_machine_that_slept_has_lost_one_probe_at_most() {
        let mut world = World::new(3, ms(10));
        world.run(ms(10_500));
        let mut now = world.watch.deadline().unwrap();
        world.watch.tick(now, || [1; TOKEN]);
        now += Duration::from_secs(7200);
        let due = world.watch.tick(now, || [2; TOKEN]);
        assert!(due.probe.is_some() && !due.failing);
        assert_eq!(world.watch.row, 1);
    }
}
