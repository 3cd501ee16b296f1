use super::super::pmtu::{ACCURACY, CONFIRM, Change, DOUBT, FLOOR_V4, FLOOR_V6, LARGEST, Pmtu, RAISE, Why};
use super::cases;
use proptest::prelude::*;
use std::time::Duration;

const NOW: Duration = Duration::from_secs(1000);
/// What a lost probe takes.
const LOST: Duration = Duration::from_millis(500);

/// A path with a router of this MTU in it, and what was sent on it.
struct Road {
    now: Duration,
    pmtu: Pmtu,
    truth: u16,
    probes: Vec<u16>,
    changes: Vec<Change>,
    /// Sizes of probes are multiples of it.
    block: u16,
    /// For losses.
    dice: u32,
    loss_percent: u32,
}
impl Road {
    fn new(ceiling: u16, truth: u16, ipv6: bool) -> Self {
        let pmtu = Pmtu::new(NOW, ceiling, ipv6);
        Self { now: NOW, pmtu, truth, probes: vec![], changes: vec![], block: 1, dice: 1, loss_percent: 0 }
    }
    fn unlucky(&mut self) -> bool {
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.dice >> 16) % 100 < self.loss_percent
    }
    /// Sends what is wanted, once. False: nothing is.
    fn probe(&mut self) -> bool {
        let Some(size) = self.pmtu.wanted() else { return false };
        self.probes.push(size);
        let sent = size - size % self.block;
        let fits = sent <= self.truth && !self.unlucky();
        if !fits {
            self.now += LOST;
        }
        self.changes.extend(self.pmtu.probed(self.now, size, sent, fits));
        true
    }
    /// Until nothing is wanted. How many probes that took.
    fn settle(&mut self) -> usize {
        let before = self.probes.len();
        while self.probe() {
            assert!(self.probes.len() < before + 100, "endless: {:?}", &self.probes[before..]);
        }
        self.probes.len() - before
    }
    /// Traffic for so long, with a look each two seconds.
    fn drive(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.pmtu.used(self.now);
            self.settle();
            self.now += Duration::from_secs(2);
        }
    }
    fn values(&self) -> Vec<u16> {
        self.changes.iter().map(|change| change.new).collect()
    }
    fn is_near(&self) -> bool {
        let mtu = self.pmtu.mtu();
        mtu <= self.truth && self.truth - mtu < ACCURACY + self.block - 1
    }
}

#[test]
fn a_path_without_a_bottleneck_costs_one_probe() {
    let mut road = Road::new(1500, 1500, false);
    assert_eq!(road.pmtu.mtu(), 1500, "at once");
    assert_eq!((road.settle(), road.probes, road.changes), (1, vec![1500], vec![]));
}

/// Traffic flows again as soon as the first probe counts as lost; the rest is found in the background, and never by a value that is too large.
#[test]
fn a_smaller_path_is_found_from_below() {
    let mut road = Road::new(1500, 1400, false);
    road.settle();
    assert_eq!(road.probes[..3], [1500, 1380, 1500]);
    assert_eq!(road.values()[..1], [1380]);
    assert!(road.changes.iter().all(|change| change.new <= 1400 && change.why == Why::Probe));
    assert!(road.values().is_sorted() && road.is_near(), "{:?}", road.values());
    assert!(road.probes.len() <= 9, "{:?}", road.probes);
    let mut six = Road::new(1500, 1380, true);
    six.settle();
    assert!(six.is_near() && six.values() == [1380], "never so small that IPv6 must be cut");
    let mut narrow = Road::new(1500, 1300, false);
    narrow.settle();
    assert_eq!((&narrow.probes[..4], narrow.values()[0]), (&[1500, 1380, 1280, 1500][..], 1280));
}

#[test]
fn the_floor_is_the_last() {
    let mut road = Road::new(1500, 600, false);
    road.settle();
    assert!(road.is_near() && road.values()[0] == FLOOR_V4, "{:?} {:?}", road.probes, road.values());
    let mut road = Road::new(1280, 1280, true);
    assert_eq!((road.settle(), road.pmtu.mtu()), (0, FLOOR_V6), "there is nothing to find out");
    assert_eq!(Pmtu::new(NOW, 400, true).mtu(), FLOOR_V6);
    for (ipv6, floor) in [(false, FLOOR_V4), (true, FLOOR_V6)] {
        let mut road = Road::new(1500, 0, ipv6);
        road.pmtu.hint(road.now, floor - 1);
        road.settle();
        assert_eq!(road.probes.iter().min(), Some(&floor));
    }
    assert_eq!(Pmtu::new(NOW, u16::MAX, false).mtu(), LARGEST);
}

/// When nothing is answered at all, that says nothing about sizes: hosts behind us must not be told of 576 because of an outage.
#[test]
fn an_outage_changes_nothing() {
    let mut road = Road::new(1500, 1500, false);
    road.settle();
    road.truth = 0;
    road.now += DOUBT;
    road.pmtu.unanswered(road.now);
    assert_eq!(road.settle(), 5);
    assert_eq!(road.probes, [1500, 1500, 1500, 1380, 1280, 576]);
    assert_eq!((road.pmtu.mtu(), road.changes.len()), (1500, 0));
    road.pmtu.unanswered(road.now);
    assert_eq!(road.settle(), 0, "not at once again");
    let mut road = Road::new(1500, 0, false);
    assert_eq!((road.settle(), road.pmtu.mtu()), (4, 1500), "nor one at the beginning");
}

#[test]
fn a_size_that_was_proven_is_given_up_after_two_losses() {
    let mut road = Road::new(1500, 1500, false);
    road.settle();
    road.now += CONFIRM;
    road.pmtu.used(road.now);
    assert_eq!(road.pmtu.wanted(), Some(1500));
    assert_eq!(road.pmtu.probed(road.now, 1500, 1500, false), None);
    assert_eq!(road.pmtu.wanted(), Some(1500));
    assert_eq!(road.pmtu.probed(road.now, 1500, 1500, true), None);
    assert_eq!((road.pmtu.wanted(), road.pmtu.mtu()), (None, 1500));
    road.truth = 1400;
    road.drive(CONFIRM + DOUBT);
    assert!(road.is_near(), "{:?}", road.probes);
    assert_eq!(road.probes[1..4], [1500, 1500, 1380]);
}

#[test]
fn what_is_sent_and_not_answered_is_a_reason_to_look() {
    let mut road = Road::new(1500, 1500, false);
    road.settle();
    road.pmtu.unanswered(road.now);
    assert_eq!((road.settle(), road.pmtu.mtu()), (1, 1500));
    road.truth = 1300;
    road.pmtu.unanswered(road.now + DOUBT / 2);
    assert_eq!(road.pmtu.wanted(), None, "too soon");
    road.now += DOUBT;
    road.pmtu.unanswered(road.now);
    road.settle();
    assert!(road.is_near());
}

/// The hint is tried after one loss, and is found exact with one size more.
#[test]
fn a_true_hint_is_quick() {
    let mut road = Road::new(1500, 1500, false);
    road.settle();
    road.truth = 1399;
    road.pmtu.hint(road.now, 1399);
    assert_eq!(road.pmtu.mtu(), 1500, "not believed");
    assert!(road.probe() && road.probe());
    assert_eq!(road.changes, [Change { old: 1500, new: 1399, why: Why::Hint }]);
    road.settle();
    assert_eq!((road.pmtu.mtu(), road.changes.len()), (1399, 1));
    assert_eq!(road.probes[1..], [1500, 1399, 1407]);
    // A second router is behind the first.
    road.truth = 1300;
    road.pmtu.hint(road.now, 1300);
    road.settle();
    assert_eq!(road.pmtu.mtu(), 1300);
}

/// It comes as the answer to our own first probe.
#[test]
fn a_hint_helps_a_look_that_is_under_way() {
    let mut road = Road::new(1500, 1410, false);
    road.pmtu.hint(road.now, 1410);
    assert_eq!(road.pmtu.wanted(), Some(1500));
    road.settle();
    assert_eq!((road.probes[1], road.values()), (1410, vec![1410]));
}

#[test]
fn forged_hints_cost_a_probe_now_and_then_and_move_nothing() {
    let mut road = Road::new(1500, 1500, false);
    road.settle();
    for i in 0_u16..10_000 {
        road.now += Duration::from_millis(10);
        road.pmtu.hint(road.now, [68, 0, 576, 1280, 1499, 1500, 9000][usize::from(i) % 7]);
        road.probe();
        assert_eq!(road.pmtu.mtu(), 1500);
    }
    assert!(road.probes.len() <= 35, "{} in 100 s", road.probes.len());
}

/// A loss by chance in the middle of it costs less than a second, and is no way to 576: what passes at least nearly everywhere is tried before.
#[test]
fn a_forged_hint_and_a_loss_together_cost_little() {
    for lie in [0, 68, 576, 600, 1400] {
        let mut road = Road::new(1500, 1500, false);
        road.settle();
        road.pmtu.hint(road.now, lie);
        assert_eq!(road.pmtu.probed(road.now, 1500, 1500, false), None);
        road.settle();
        assert_eq!(road.pmtu.mtu(), 1500);
        assert!(road.probes.len() <= 4 && road.values()[0] >= 1280, "{:?}", road.values());
    }
}

/// Growth is looked for by a probe, and traffic never suffers for it.
#[test]
fn a_path_that_has_grown_is_found_in_ten_minutes() {
    let mut road = Road::new(1500, 1400, false);
    road.settle();
    let (found, probes) = (road.pmtu.mtu(), road.probes.len());
    road.drive(RAISE + CONFIRM);
    assert_eq!(road.pmtu.mtu(), found);
    let looks = road.probes[probes..].iter().filter(|size| **size > found).count();
    assert_eq!(looks, 2, "{:?}", &road.probes[probes..]);
    road.truth = 1500;
    road.drive(RAISE + CONFIRM);
    assert_eq!(road.pmtu.mtu(), 1500);
}

#[test]
fn an_idle_path_is_left_alone() {
    let mut road = Road::new(1500, 1400, false);
    road.settle();
    road.now += 100 * RAISE;
    assert_eq!(road.pmtu.wanted(), None);
    let mut road = Road::new(1500, 1500, false);
    road.drive(10 * CONFIRM);
    assert!((9..=11).contains(&road.probes.len()), "one each time: {}", road.probes.len());
}

#[test]
fn the_route_limits_at_once_and_a_larger_one_is_proven_first() {
    let mut road = Road::new(1500, 1500, false);
    road.settle();
    let change = Change { old: 1500, new: 1400, why: Why::Route };
    assert_eq!(road.pmtu.ceiling(road.now, 1400), Some(change));
    assert_eq!(road.pmtu.ceiling(road.now, 1400), None);
    assert_eq!(road.settle(), 0, "what is smaller than what was proven passes");
    assert_eq!(road.pmtu.ceiling(road.now, 1500), None);
    road.settle();
    assert_eq!((road.pmtu.mtu(), road.changes.len()), (1500, 1));
    // While it is being looked for.
    let mut road = Road::new(1500, 1390, false);
    for ceiling in [1450, 1300, 9000, 1500] {
        road.probe();
        road.changes.extend(road.pmtu.ceiling(road.now, ceiling));
        assert!(road.pmtu.mtu() <= ceiling && road.pmtu.wanted().is_none_or(|size| size <= ceiling));
    }
    road.drive(CONFIRM);
    assert!(road.is_near(), "{:?}", road.probes);
}

#[test]
fn an_answer_to_what_was_not_asked_is_nothing() {
    let mut road = Road::new(1500, 1400, false);
    assert_eq!(road.pmtu.probed(road.now, 1400, 1400, false), None);
    assert_eq!(road.pmtu.wanted(), Some(1500));
    road.settle();
    let found = road.pmtu.mtu();
    assert_eq!(road.pmtu.probed(road.now, 1500, 1500, true), None);
    assert_eq!(road.pmtu.mtu(), found);
}

/// The messages of IKE that make a probe are whole blocks of its cipher: what was not sent is not proven, and larger is looked for by blocks.
#[test]
fn what_was_not_sent_is_not_proven() {
    let mut road = Road { block: 16, ..Road::new(1500, 1492, false) };
    road.settle();
    assert_eq!((road.pmtu.mtu(), road.values()), (1488, vec![1488]));
    road.drive(2 * RAISE);
    assert_eq!(road.pmtu.mtu(), 1488);
    road.truth = 1400;
    road.drive(2 * CONFIRM);
    assert_eq!(road.pmtu.mtu(), 1392);
    road.truth = 1500;
    road.drive(RAISE + CONFIRM);
    assert_eq!(road.pmtu.mtu(), 1488);
}

#[derive(Clone, Debug)]
enum Happening {
    /// The path is another one.
    Truth(u16),
    Ceiling(u16),
    Lie(u16),
    Unanswered,
    Drive(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1280..=9100_u16).prop_map(Happening::Truth),
        (1300..=1520_u16).prop_map(Happening::Truth),
        (1280..=9100_u16).prop_map(Happening::Ceiling),
        any::<u16>().prop_map(Happening::Lie),
        Just(Happening::Unanswered),
        (1..300_u64).prop_map(Happening::Drive),
    ]
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever happens to a path, and however it lies: a value that is too large stands for a minute or so at most, one that is too small until
    /// the next time that a larger one is tried, and nobody is flooded.
    #[test]
    fn it_comes_near_from_below(
        ceiling in 1280..=9100_u16,
        truth in 1280..=9100_u16,
        ipv6: bool,
        block in prop_oneof![Just(1_u16), Just(16)],
        loss_percent in 0..=10_u32,
        dice: u32,
        happenings in prop::collection::vec(happening(), 0..20),
    ) {
        let mut road = Road { block, loss_percent, dice, ..Road::new(ceiling, truth, ipv6) };
        let mut ceiling = ceiling;
        for happening in happenings {
            let (start, probes) = (road.now, road.probes.len());
            match happening {
                Happening::Truth(truth) => road.truth = truth,
                Happening::Ceiling(mtu) => {
                    ceiling = mtu;
                    road.pmtu.ceiling(road.now, mtu);
                }
                Happening::Lie(mtu) => {
                    road.pmtu.hint(road.now, mtu);
                }
                Happening::Unanswered => road.pmtu.unanswered(road.now),
                Happening::Drive(seconds) => road.drive(Duration::from_secs(seconds)),
            }
            road.settle();
            let (mtu, floor) = (road.pmtu.mtu(), if ipv6 { FLOOR_V6 } else { FLOOR_V4 });
            prop_assert!(floor <= mtu && mtu <= ceiling);
            // A search takes some; after that one each minute.
            let minutes = (road.now - start).as_secs() / 60;
            prop_assert!((road.probes.len() - probes) as u64 <= 60 + 10 * minutes, "{:?}", &road.probes[probes..]);
        }
        road.drive(CONFIRM + DOUBT);
        prop_assert!(road.pmtu.mtu() <= road.truth || road.loss_percent > 0, "{} > {}", road.pmtu.mtu(), road.truth);
        road.loss_percent = 0;
        road.drive(RAISE + 2 * CONFIRM);
        let truth = road.truth.min(ceiling);
        let mtu = road.pmtu.mtu();
        prop_assert!(mtu <= truth && truth - mtu < ACCURACY.max(block) + block - 1, "{mtu} of {truth}: {:?}", road.probes);
        for (change, probe) in road.changes.iter().zip(1..) {
            prop_assert!(change.new != change.old, "{probe}");
        }
    }
}
