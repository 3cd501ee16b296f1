//! What a path carries whole: a belief that only our own probes change (RFC 4821 section 3, RFC 8899 section 4). Pure: time and the fate of
//! probes go in, the size to be probed next and the value in force come out.
//!
//! The value begins at what the route says, and is looked at as soon as there is an IKE SA. From then on it rises to nothing that a probe has
//! not proven, and falls to nothing but what a probe has proven or the route demands: a path on which nothing at all is answered is dead, which
//! says nothing about sizes. What ICMP says is at most a reason to look now, and the size to try first: of a path with UDP encapsulation anybody
//! may know all that such a message must quote, and who sees raw ESP knows its SPIs. A claim below the floor (68, or the 0 of routers before
//! RFC 1191) says that something is smaller and not what: it is a reason to look, too.
//!
//! It needs no timer: an idle path is not looked at.
use crate::frozen::frozen;
use std::time::Duration;

/// No path of IPv4 is believed to be smaller: every host takes so much, in fragments at worst (RFC 791 section 3.2).
pub const FLOOR_V4: u16 = 576;
/// No path of IPv6 is smaller (RFC 8200 section 5).
pub const FLOOR_V6: u16 = 1280;
/// No probe is larger, and so no path: larger frames exist between the machines of a rack alone.
pub const LARGEST: u16 = 9216;
/// The first to be tried when the present size does not pass: most paths carry it, and it carries IPv6's 1280 octets whole under any AEAD.
const WIDE: u16 = 1380;
/// And then this, which nearly all paths carry.
const SAFE: u16 = 1280;
/// The search ends when the value is so near to a size that does not pass, in octets.
pub const ACCURACY: u16 = 8;
/// A larger size is tried after this time (RFC 1191 section 6.3).
pub const RAISE: Duration = Duration::from_secs(600);
/// The largest block of a cipher: how exact the size of a probe can be.
const BLOCK: u16 = 16;
/// The present size is looked at so often while there is traffic.
pub const CONFIRM: Duration = Duration::from_secs(20);
/// And at once when what is sent stays unanswered, but then not again for so long: much traffic is never answered.
pub const DOUBT: Duration = Duration::from_secs(10);
/// ICMP that was wrong is not listened to for so long: whoever forges it costs us a probe each time, and no more.
pub const DEAF: Duration = Duration::from_secs(3);
/// Sizes that paths have: Ethernet, and what is left of it by PPPoE, tunnels in each other and mobile networks; FDDI and jumbo frames.
const PLATEAUS: [u16; 18] =
    [1006, 1280, 1320, 1340, 1360, 1380, 1400, 1420, 1440, 1450, 1460, 1472, 1480, 1492, 1500, 4352, 8192, 9000];

/// One path of one IKE SA. All sizes are those of outer IP packets in octets, headers included.
#[derive(Clone, Debug)]
pub struct Pmtu {
    floor: u16,
    ceiling: u16,
    current: u16,
    /// A probe of the present size, or of a larger one, was answered.
    proven: bool,
    phase: Phase,
    /// When the present size was looked at last, whatever came of it.
    checked: Duration,
    /// A larger size is tried from then.
    raise_at: Duration,
    /// Silence is a reason to look from then.
    doubts_from: Duration,
    /// ICMP is listened to from then.
    hints_from: Duration,
}
frozen! {
    struct Pmtu { floor, ceiling, current, proven, phase, checked, raise_at, doubts_from, hints_from }
    enum Phase {
        0 = Settled, 1 = Check { lost, hint }, 2 = Descend { trying, sure, hint }, 3 = Climb { trying, hi, refuted }
    }
    enum Hint { 0 = Nothing, 1 = Smaller, 2 = Size(size) }
}

/// What is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Settled,
    /// Whether the present size passes.
    Check { lost: bool, hint: Hint },
    /// Which smaller one does. `sure`: the present one does not; else a probe of it was lost, and may have been lost by chance.
    Descend { trying: u16, sure: bool, hint: Hint },
    /// How much larger it may be: `hi` is larger than what passes, or than what the route allows if it is not `refuted`.
    Climb { trying: u16, hi: u16, refuted: bool },
}

/// What ICMP has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    Nothing,
    /// It is smaller.
    Smaller,
    /// It is this.
    Size(u16),
}

/// Why a value is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A probe has shown it.
    Probe,
    /// A probe has shown it that an ICMP message was the reason for.
    Hint,
    /// The route or the device.
    Route,
}
impl Why {
    /// For logs and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Hint => "hint",
            Self::Route => "route",
        }
    }
}

/// Another value is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub old: u16,
    /// Now.
    pub new: u16,
    /// Why.
    pub why: Why,
}

impl Pmtu {
    /// A path of which nothing is known but what the route and the device take; `ipv6`: the outer packets'. It is to be probed at once.
    pub fn new(now: Duration, ceiling: u16, ipv6: bool) -> Self {
        let floor = if ipv6 { FLOOR_V6 } else { FLOOR_V4 };
        let ceiling = ceiling.clamp(floor, LARGEST);
        let mut new = Self {
            floor,
            ceiling,
            current: ceiling,
            proven: false,
            phase: Phase::Settled,
            checked: now,
            raise_at: now + RAISE,
            doubts_from: now,
            hints_from: now,
        };
        new.check(Hint::Nothing);
        new
    }

    /// The value in force: at least the floor, at most the ceiling.
    pub fn mtu(&self) -> u16 {
        self.current
    }

    /// What is to be probed next, if anything is.
    pub fn wanted(&self) -> Option<u16> {
        match self.phase {
            Phase::Settled => None,
            Phase::Check { .. } => Some(self.current),
            Phase::Descend { trying, .. } | Phase::Climb { trying, .. } => Some(trying),
        }
    }

    /// There is traffic: what is due by time is looked at.
    pub fn used(&mut self, now: Duration) {
        if self.phase != Phase::Settled {
            return;
        }
        if self.raise_at <= now && self.current < self.ceiling {
            // A path that has grown has grown by more than that; mostly it has not.
            let trying = (self.current + BLOCK).min(self.ceiling);
            self.phase = Phase::Climb { trying, hi: self.ceiling + 1, refuted: false };
        } else if self.checked + CONFIRM <= now {
            self.check(Hint::Nothing);
        }
    }

    /// We send, and nothing comes back.
    pub fn unanswered(&mut self, now: Duration) {
        if self.phase == Phase::Settled && self.doubts_from <= now {
            self.doubts_from = now + DOUBT;
            self.check(Hint::Nothing);
        }
    }

    /// An ICMP message that quotes a packet of ours says that `mtu` is the largest: worth a probe each `DEAF`, as long as such messages prove wrong.
    /// True if it was listened to.
    pub fn hint(&mut self, now: Duration, mtu: u16) -> bool {
        if mtu >= self.current || self.is_deaf(now) {
            return false;
        }
        let hint = if mtu < self.floor { Hint::Smaller } else { Hint::Size(mtu) };
        match self.phase {
            Phase::Settled => self.check(hint),
            Phase::Check { lost: false, .. } => self.phase = Phase::Check { lost: false, hint },
            Phase::Check { lost: true, .. } => self.descend(now, hint, false),
            // The search finds out by itself.
            Phase::Descend { .. } | Phase::Climb { .. } => return false,
        }
        self.hints_from = now + DEAF;
        true
    }

    /// One was listened to less than `DEAF` ago, and has not proven true yet.
    pub fn is_deaf(&self, now: Duration) -> bool {
        now < self.hints_from
    }

    /// What became of the probe that was wanted, of `size` octets: what was sent is `sent`, a little less where the cipher of IKE works by blocks, and
    /// only that is proven.
    pub fn probed(&mut self, now: Duration, size: u16, sent: u16, fits: bool) -> Option<Change> {
        if self.wanted() != Some(size) {
            return None;
        }
        let (old, sent) = (self.current, sent.min(size).max(self.floor));
        let mut why = Why::Probe;
        match (self.phase, fits) {
            (Phase::Settled, _) => {}
            (Phase::Check { .. }, true) => {
                (self.current, self.proven) = (sent, true);
                self.settle(now);
            }
            (Phase::Check { hint, .. }, false) if hint != Hint::Nothing || !self.proven => {
                self.descend(now, hint, false);
            }
            (Phase::Check { lost: true, hint }, false) => self.descend(now, hint, true),
            (Phase::Check { lost: false, hint }, false) => self.phase = Phase::Check { lost: true, hint },
            (Phase::Descend { sure, hint, .. }, true) => {
                if hint != Hint::Nothing {
                    why = Why::Hint;
                    // It was true: the next router may have one, too.
                    self.hints_from = now;
                }
                (self.current, self.proven) = (sent, true);
                self.raise_at = now + RAISE;
                self.climb_after(now, old, sure, hint == Hint::Size(size));
            }
            (Phase::Descend { trying, sure, hint }, false) => self.descend_below(now, trying, sure, hint),
            (Phase::Climb { hi, refuted, .. }, true) if sent > old => {
                (self.current, self.proven) = (sent, true);
                self.climb(now, hi, refuted);
            }
            // Nearer than probes can be told apart.
            (Phase::Climb { hi, refuted, .. }, true) if old + BLOCK < hi => {
                self.phase = Phase::Climb { trying: old + BLOCK, hi, refuted };
            }
            (Phase::Climb { trying, .. }, _) => self.climb(now, trying, true),
        }
        self.change(old, why)
    }

    /// The route or the device takes so much now.
    pub fn ceiling(&mut self, now: Duration, mtu: u16) -> Option<Change> {
        let mtu = mtu.clamp(self.floor, LARGEST);
        let (old, before) = (self.current, std::mem::replace(&mut self.ceiling, mtu));
        if mtu == before {
            return None;
        }
        self.current = old.min(mtu);
        match self.phase {
            Phase::Settled | Phase::Climb { .. } if mtu > self.current => self.climb(now, mtu + 1, false),
            Phase::Settled | Phase::Climb { .. } => self.settle(now),
            Phase::Check { hint, .. } | Phase::Descend { hint, .. } => {
                self.check(hint);
                self.raise_at = now;
            }
        }
        self.change(old, Why::Route)
    }

    fn change(&self, old: u16, why: Why) -> Option<Change> {
        (self.current != old).then_some(Change { old, new: self.current, why })
    }

    /// Nothing is smaller than the floor: there it is not asked.
    fn check(&mut self, hint: Hint) {
        let settled = self.current == self.floor;
        self.phase = if settled { Phase::Settled } else { Phase::Check { lost: false, hint } };
    }

    fn settle(&mut self, now: Duration) {
        self.phase = Phase::Settled;
        self.checked = now;
    }

    /// The present size was lost.
    fn descend(&mut self, now: Duration, hint: Hint, sure: bool) {
        self.descend_below(now, self.current, sure, hint);
    }

    /// What is to be tried below a size that was lost. If that is nothing, the path is dead, and the value remains.
    fn descend_below(&mut self, now: Duration, lost: u16, sure: bool, hint: Hint) {
        let (wide, narrow) = match hint {
            Hint::Size(size) if size >= SAFE => (size, self.floor),
            Hint::Size(size) => (WIDE, size),
            Hint::Smaller | Hint::Nothing => (WIDE, self.floor),
        };
        let smaller = [wide, SAFE, narrow, self.floor].into_iter().filter(|size| *size < lost).max();
        match smaller {
            Some(trying) => self.phase = Phase::Descend { trying, sure, hint },
            None => self.settle(now),
        }
    }

    /// A smaller size passes than the one that was lost. `exact`: it is the one that a router has told, so that what is larger will be lost.
    fn climb_after(&mut self, now: Duration, lost: u16, sure: bool, exact: bool) {
        let hi = if sure { lost } else { lost + 1 };
        if exact && self.current + ACCURACY < lost {
            self.phase = Phase::Climb { trying: self.current + ACCURACY, hi, refuted: sure };
        } else {
            self.climb(now, hi, sure);
        }
    }

    /// The value is proven; what next below `hi`?
    fn climb(&mut self, now: Duration, hi: u16, refuted: bool) {
        let near = if refuted { ACCURACY } else { 1 };
        if hi - self.current <= near {
            self.raise_at = now + RAISE;
            return self.settle(now);
        }
        let trying = if refuted { between(self.current, hi) } else { hi - 1 };
        self.phase = Phase::Climb { trying, hi, refuted };
    }
}

/// In the middle of the usual sizes between the two, or of the two.
fn between(lo: u16, hi: u16) -> u16 {
    let usual = || PLATEAUS.into_iter().filter(|size| (lo + 1..hi).contains(size));
    usual().nth(usual().count() / 2).unwrap_or_else(|| lo + (hi - lo) / 2)
}
