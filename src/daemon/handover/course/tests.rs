//! Plays in which the test is the doer, and all others: daemons, heirs, the kernel and the clock, in any order that can be.
use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::{BTreeMap, VecDeque};

/// What becomes of a daemon's wish for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Giving {
    Nothing,
    Asked,
    Begun(u64),
    Committed,
}

#[derive(Debug)]
struct Process {
    alive: bool,
    /// By the front.
    killed: bool,
    reaped: bool,
    /// It will say nothing and never end.
    hangs: bool,
    /// What it has said and is not heard yet; what was said to it and is not read yet.
    said: VecDeque<Word>,
    inbox: VecDeque<Order>,
    giving: Giving,
    /// It waits for what another has, and under which serial.
    takes: Option<u64>,
    /// That is its own.
    entrusted: bool,
    ready: bool,
    /// To stop.
    told: bool,
    /// As many times as the files were to be read by then it knows of, by its start or a signal.
    knows: u32,
}

#[derive(Debug)]
struct World {
    course: Course,
    now: Duration,
    processes: BTreeMap<u32, Process>,
    /// Whose words are the daemon's and the heir's.
    daemon: u32,
    heir: Option<u32>,
    /// Not reaped yet.
    ends: VecDeque<u32>,
    manager: Vec<Tell>,
    stopping: bool,
    /// Executables can be started.
    startable: bool,
    succeeded: u32,
    over: bool,
    /// So many times the files were to be read.
    hangups: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The daemon wants another; reads an order; commits; calls it off; leaves, having committed.
    Ask,
    Read,
    Commit,
    CallOff,
    Leave,
    /// The heir is at work; says what it may not say.
    HeirReady,
    HeirNonsense(u8),
    /// Somebody dies; hangs; says that it is at work; hears the signal and ends.
    Die(usize),
    Hang(usize),
    Ready(usize),
    Obey(usize),
    Signal(Signal),
    Startable(bool),
    /// The front hears one of them; reaps; or it is later.
    Hear(bool),
    Reap,
    Wait,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            course: Course::new(1),
            now: Duration::from_secs(1000),
            processes: BTreeMap::new(),
            daemon: 1,
            heir: None,
            ends: VecDeque::new(),
            manager: Vec::new(),
            stopping: false,
            startable: true,
            succeeded: 0,
            over: false,
            hangups: 0,
        };
        assert_eq!(world.spawn(None), 1);
        world.says(1, Word::Ready);
        world.settle();
        world
    }

    fn spawn(&mut self, takes: Option<u64>) -> u32 {
        let pid = u32::try_from(self.processes.len()).unwrap() + 1;
        let process = Process {
            alive: true,
            killed: false,
            reaped: false,
            hangs: false,
            said: VecDeque::new(),
            inbox: VecDeque::new(),
            giving: Giving::Nothing,
            takes,
            entrusted: false,
            ready: false,
            told: false,
            knows: self.hangups,
        };
        self.processes.insert(pid, process);
        pid
    }

    fn of(&mut self, pid: u32) -> &mut Process {
        self.processes.get_mut(&pid).expect("nobody has this number")
    }

    fn says(&mut self, pid: u32, word: Word) {
        let process = self.of(pid);
        process.ready |= word == Word::Ready;
        process.said.push_back(word);
    }

    fn dies(&mut self, pid: u32) {
        let process = self.of(pid);
        if std::mem::take(&mut process.alive) {
            self.ends.push_back(pid);
        }
    }

    fn handle(&mut self, happened: Happened) {
        for act in self.course.handle(self.now, happened) {
            self.act(act);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Tell(what) => self.manager.push(what),
            Act::Say(order) => self.of(self.daemon).inbox.push_back(order),
            Act::Kill(pid) => {
                assert!(!self.of(pid).reaped, "this number may be another's by now");
                self.of(pid).killed = true;
                self.dies(pid);
            }
            Act::Pass(pid, signal) => {
                let hangups = self.hangups;
                let process = self.of(pid);
                assert!(!process.reaped, "this number may be another's by now");
                process.told |= signal == Signal::Terminate;
                if signal == Signal::Hangup {
                    assert!(process.ready || process.entrusted || !process.alive, "it would die of it: {process:?}");
                    process.knows = hangups;
                }
            }
            Act::Begin if self.startable => {
                assert!(self.heir.is_none());
                let serial = self.processes.len() as u64 + 100;
                let pid = self.spawn(Some(serial));
                self.heir = Some(pid);
                self.of(self.daemon).inbox.push_back(Order::Give { serial });
                self.handle(Happened::Begun { pid, serial });
            }
            Act::Begin => self.of(self.daemon).inbox.push_back(Order::Refused { sentence: "chmod".into() }),
            Act::Adopt => {
                let pid = self.heir.take().expect("an heir");
                let heir = self.of(pid);
                assert!(heir.entrusted && !heir.killed, "it is no daemon: {heir:?}");
                self.daemon = pid;
            }
            Act::Forget => self.heir = None,
            Act::Afresh(_) => {
                let before = self.daemon;
                assert!(self.of(before).giving == Giving::Committed, "it has its keys still");
                self.daemon = self.spawn(None);
                self.handle(Happened::Started { pid: self.daemon });
            }
            Act::Succeed => {
                assert!(self.heir.is_none(), "it would be forgotten");
                self.succeeded += 1;
            }
            Act::End => self.over = true,
        }
    }

    /// The front hears the next word of the daemon or of the heir.
    fn hear(&mut self, daemon: bool) -> bool {
        let way = if daemon { Some(self.daemon) } else { self.heir };
        let Some(word) = way.and_then(|pid| self.of(pid).said.pop_front()) else { return false };
        if daemon {
            self.handle(Happened::Daemon(word));
        } else {
            while self.hear(true) {}
            self.handle(Happened::Heir(word));
        }
        true
    }

    /// It hears of an end, after all that was said.
    fn reap(&mut self) -> bool {
        let Some(pid) = self.ends.pop_front() else { return false };
        while self.hear(true) || self.hear(false) {}
        self.of(pid).reaped = true;
        let at_work = pid == self.daemon;
        self.handle(Happened::Ended { pid, how: "has ended".into() });
        if self.over {
            assert!(at_work, "the daemon at work goes on");
            assert_ne!(self.of(pid).giving, Giving::Committed, "nobody goes on");
        }
        true
    }

    fn wait(&mut self) -> bool {
        let Some(at) = self.course.deadline() else { return false };
        self.now = self.now.max(at);
        self.handle(Happened::Time);
        assert!(self.course.deadline().is_none_or(|next| next > self.now), "it would turn and turn");
        true
    }

    /// Somebody alive.
    fn anybody(&self, index: usize) -> Option<u32> {
        let alive: Vec<_> = self.processes.iter().filter(|(_, process)| process.alive).map(|(pid, _)| *pid).collect();
        alive.get(index % alive.len().max(1)).copied()
    }

    fn commit(&mut self, pid: u32, serial: u64) {
        self.says(pid, Word::Committed { serial });
        self.of(pid).giving = Giving::Committed;
        for heir in self.processes.values_mut().filter(|heir| heir.alive && heir.takes == Some(serial)) {
            (heir.takes, heir.entrusted) = (None, true);
        }
    }

    fn step(&mut self, step: Step) {
        let (daemon, heir) = (self.daemon, self.heir);
        let process = self.of(daemon);
        let (acts, giving) = (process.alive && !process.hangs, process.giving);
        let heir = heir.filter(|pid| self.of(*pid).alive && !self.of(*pid).hangs);
        match step {
            Step::Ask if acts && giving == Giving::Nothing && self.of(daemon).ready => {
                self.of(daemon).giving = Giving::Asked;
                self.says(daemon, Word::Upgrade);
            }
            Step::Read if acts => match (self.of(daemon).inbox.pop_front(), giving) {
                (Some(Order::Give { serial }), Giving::Asked) => self.of(daemon).giving = Giving::Begun(serial),
                (Some(Order::Refused { .. }), Giving::Asked) => self.of(daemon).giving = Giving::Nothing,
                (Some(Order::Failed { serial, .. }), Giving::Begun(ours)) if ours == serial => {
                    self.of(daemon).giving = Giving::Nothing;
                }
                _ => {}
            },
            Step::Commit if acts => {
                if let Giving::Begun(serial) = giving {
                    self.commit(daemon, serial);
                }
            }
            Step::CallOff if acts => {
                if let Giving::Begun(serial) = giving {
                    self.of(daemon).giving = Giving::Nothing;
                    self.says(daemon, Word::Failed { serial });
                }
            }
            Step::Leave if acts && giving == Giving::Committed => self.dies(daemon),
            Step::HeirReady => {
                if let Some(pid) = heir.filter(|pid| self.processes[pid].entrusted) {
                    self.says(pid, Word::Ready);
                }
            }
            Step::HeirNonsense(what) => {
                if let Some(pid) = heir {
                    let nonsense = [Word::Ready, Word::Alive, Word::Upgrade, Word::Committed { serial: 101 }];
                    self.says(pid, nonsense.into_iter().nth(what.into()).unwrap());
                }
            }
            Step::Die(index) => drop(self.anybody(index).map(|pid| self.dies(pid))),
            Step::Hang(index) => drop(self.anybody(index).map(|pid| self.of(pid).hangs = true)),
            Step::Ready(index) => {
                let fit = |p: &Process| !p.hangs && !p.ready && p.takes.is_none();
                if let Some(pid) = self.anybody(index).filter(|pid| fit(&self.processes[pid])) {
                    self.says(pid, Word::Ready);
                }
            }
            Step::Obey(index) => {
                if let Some(pid) = self.anybody(index).filter(|pid| self.processes[pid].told) {
                    self.dies(pid);
                }
            }
            Step::Signal(signal) => {
                self.stopping |= signal == Signal::Terminate;
                self.hangups += u32::from(signal == Signal::Hangup);
                self.handle(Happened::Signalled(signal));
            }
            Step::Startable(startable) => self.startable = startable,
            Step::Hear(daemon) => drop(self.hear(daemon)),
            Step::Reap => drop(self.reap()),
            Step::Wait => drop(self.wait()),
            Step::Ask | Step::Read | Step::Commit | Step::CallOff | Step::Leave => {}
        }
    }

    /// Whoever does not hang does what is to be done, and the front hears of all of it, until nothing more comes.
    fn settle(&mut self) {
        while !self.over && (self.hear(true) || self.hear(false) || self.reap()) {}
    }
    fn finish(&mut self) {
        for _ in 0..200 {
            self.settle();
            if self.over {
                return;
            }
            let fit = |(pid, p): (&u32, &Process)| (p.alive && !p.hangs).then_some(*pid);
            let mut quiet = true;
            for pid in self.processes.iter().filter_map(fit).collect::<Vec<_>>() {
                let process = self.of(pid);
                if process.giving == Giving::Committed || process.told && process.ready {
                    self.dies(pid);
                    quiet = false;
                } else if !process.ready && process.takes.is_none() {
                    self.says(pid, Word::Ready);
                    quiet = false;
                }
            }
            if quiet && !self.wait() {
                break;
            }
        }
        self.check_the_end();
    }
    fn check_the_end(&mut self) {
        if self.over {
            return;
        }
        let alive: Vec<_> = self.processes.iter().filter(|(_, process)| process.alive).map(|(pid, _)| *pid).collect();
        assert_eq!(alive, [self.daemon], "one daemon, and no other: {self:#?}");
        assert_eq!(self.course.daemon(), Some(self.daemon));
        let hangs = self.of(self.daemon).hangs;
        assert!(hangs || self.of(self.daemon).knows == self.hangups, "what the files say is in force: {self:#?}");
        assert!(hangs || !self.stopping, "a stop that was asked for comes: {self:#?}");
        let last = self.manager.iter().rposition(|told| *told == Tell::Upgrading);
        let ready = |told: &Tell| matches!(told, Tell::Ready | Tell::Upgraded | Tell::Unchanged);
        if let Some(last) = last.filter(|_| !hangs && !self.stopping) {
            assert!(self.manager[last..].iter().any(ready), "the manager waits: {:?}", self.manager);
        }
    }
    /// As far as an heir that was started, and of whom the daemon knows.
    fn begun() -> Self {
        let mut world = Self::new();
        world.play(&[Step::Ask, Step::Hear(true), Step::Read]);
        assert!(world.heir.is_some() && matches!(world.of(1).giving, Giving::Begun(_)));
        world
    }
    fn play(&mut self, steps: &[Step]) {
        steps.iter().for_each(|step| self.step(*step));
    }
}

fn step() -> impl Strategy<Value = Step> {
    let plain = |step: Step| Just(step).boxed();
    let who = || 0..4usize;
    let often = [Step::Ask, Step::Read, Step::Read, Step::Commit, Step::HeirReady, Step::Reap];
    let seldom = [Step::CallOff, Step::Leave, Step::Wait, Step::Startable(false), Step::Startable(true)];
    prop_oneof![
        12 => prop::sample::select(often.to_vec()),
        8 => any::<bool>().prop_map(Step::Hear),
        4 => prop::sample::select(seldom.to_vec()),
        2 => who().prop_map(Step::Die),
        1 => who().prop_map(Step::Hang),
        2 => who().prop_map(Step::Ready),
        2 => who().prop_map(Step::Obey),
        1 => (0..4u8).prop_map(Step::HeirNonsense),
        1 => prop_oneof![plain(Step::Signal(Signal::Terminate)), plain(Step::Signal(Signal::Hangup))],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000, rng_seed: RngSeed::Fixed(6), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Whatever happens in whatever order: one daemon is at work in the end, or the front has ended as the one at work has.
    #[test]
    fn there_is_one_daemon_in_the_end(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in steps {
            if world.over {
                break;
            }
            world.step(step);
        }
        world.finish();
    }
}

#[test]
fn an_heir_takes_over_and_the_front_follows() {
    let mut world = World::begun();
    world.play(&[Step::Commit, Step::HeirReady, Step::Hear(true), Step::Hear(false)]);
    assert_eq!((world.daemon, world.succeeded), (2, 0), "the one before has not gone yet");
    world.play(&[Step::Die(0), Step::Reap]);
    assert_eq!((world.course.daemon(), world.succeeded), (Some(2), 1));
    assert_eq!(world.manager, [Tell::Ready, Tell::Upgrading, Tell::Upgraded]);
}

/// It has read everything and then died; its end is heard of before the commit.
#[test]
fn a_commit_to_an_heir_that_has_ended_starts_another() {
    let mut world = World::begun();
    world.play(&[Step::Die(1), Step::Reap, Step::Commit, Step::Leave, Step::Reap]);
    assert!(!world.over, "nobody would be at work");
    assert_eq!((world.daemon, world.course.daemon()), (3, Some(3)));
    world.finish();
    assert_eq!(world.manager.last(), Some(&Tell::Ready));
}

/// Its words come on another way than the commit, which is looked at before they count.
#[test]
fn an_heir_may_be_heard_before_the_daemon() {
    let mut world = World::begun();
    world.play(&[Step::Commit, Step::HeirReady, Step::Hear(false)]);
    assert_eq!((world.daemon, world.of(2).killed), (2, false));
}

#[test]
fn an_heir_that_was_killed_says_nothing_more() {
    let mut world = World::begun();
    world.play(&[Step::Commit, Step::Hear(true), Step::HeirReady, Step::Wait]);
    assert!(world.of(2).killed, "it had its time");
    world.step(Step::Hear(false));
    assert_eq!(world.daemon, 1, "what it said before comes too late");
    world.step(Step::Reap);
    assert_eq!((world.daemon, world.over), (3, false));
    // The same before the commit: there is nothing to start then.
    let mut world = World::begun();
    world.play(&[Step::Wait, Step::Reap]);
    assert_eq!((world.daemon, world.manager.last()), (1, Some(&Tell::Unchanged)));
}

#[test]
fn a_daemon_that_has_handed_over_and_does_not_go_is_killed() {
    let mut world = World::begun();
    world.play(&[Step::Commit, Step::HeirReady, Step::Hear(false), Step::Hang(0)]);
    assert_eq!((world.daemon, world.of(1).alive), (2, true));
    world.play(&[Step::Wait, Step::Reap]);
    assert_eq!((world.of(1).alive, world.succeeded), (false, 1));
}

#[test]
fn who_only_says_that_it_is_ready_is_not_the_daemon() {
    let mut world = World::begun();
    world.play(&[Step::HeirNonsense(0), Step::Hear(false)]);
    assert!(world.daemon == 1 && world.of(2).killed);
    // The daemon may not know yet, and commits: one that lies has not got what it was given.
    world.play(&[Step::Commit, Step::Hear(true), Step::Reap]);
    assert_eq!((world.daemon, world.over), (3, false));
}

#[test]
fn the_front_ends_as_its_daemon_ends() {
    let mut world = World::new();
    world.play(&[Step::Die(0), Step::Reap]);
    assert!(world.over);
    let mut world = World::begun();
    world.play(&[Step::Die(0), Step::Reap]);
    assert!(world.over && world.of(2).killed, "nobody entrusts it with anything any more");
}

/// The keys were wiped for an heir that the stop has killed: somebody has to stop in an orderly way.
#[test]
fn a_stop_amid_a_commit_is_passed_on_to_who_begins() {
    let mut world = World::begun();
    world.play(&[Step::Commit, Step::Signal(Signal::Terminate), Step::Hear(true), Step::Reap]);
    assert_eq!(world.daemon, 3);
    assert!(!world.of(3).told, "it does not listen yet");
    world.play(&[Step::Ready(1), Step::Hear(true)]);
    assert!(world.of(3).told);
    world.finish();
    assert!(world.over);
}

/// The one before has heard of it, and may have had no time to do anything.
#[test]
fn files_that_change_amid_an_upgrade_are_read_by_who_takes_over() {
    let hangup = Step::Signal(Signal::Hangup);
    let mut world = World::begun();
    world.step(hangup);
    assert_eq!((world.of(1).knows, world.of(2).knows), (1, 0), "it may call the upgrade off");
    world.play(&[Step::Commit, Step::HeirReady, Step::Hear(false)]);
    assert_eq!((world.daemon, world.of(2).knows), (2, 1));
    // Of one that comes later it hears at once.
    let mut world = World::begun();
    world.play(&[Step::Commit, Step::Hear(true), hangup]);
    assert_eq!((world.of(1).knows, world.of(2).knows), (0, 1));
    // Where nothing comes of the upgrade nothing is said twice.
    let mut world = World::begun();
    world.play(&[hangup, Step::Die(1), Step::Reap]);
    assert!(world.of(1).knows == 1 && !world.course.reread);
}

/// It reads the files anyway, perhaps a moment too early.
#[test]
fn a_daemon_that_does_not_listen_yet_is_not_ended_by_a_hangup() {
    let passed = |acts: Vec<Act>| acts.iter().any(|act| matches!(act, Act::Pass(1, Signal::Hangup)));
    let mut course = Course::new(1);
    let now = Duration::from_secs(1000);
    assert!(!passed(course.handle(now, Happened::Signalled(Signal::Hangup))));
    assert!(passed(course.handle(now, Happened::Daemon(Word::Ready))));
    assert!(!passed(course.handle(now, Happened::Daemon(Word::Ready))), "once");
    assert!(passed(course.handle(now, Happened::Signalled(Signal::Hangup))));
    assert!(passed(Course::resumed(1).handle(now, Happened::Signalled(Signal::Hangup))));
    // Nor is one that begins afresh.
    let mut world = World::begun();
    world.play(&[Step::Commit, Step::Die(1), Step::Reap]);
    assert_eq!(world.daemon, 3);
    world.step(Step::Signal(Signal::Hangup));
    assert_eq!(world.of(3).knows, 0);
    world.finish();
    assert_eq!(world.of(3).knows, 1);
}

#[test]
fn one_upgrade_at_a_time_and_none_while_stopping() {
    let mut world = World::begun();
    let refused = |acts: Vec<Act>| matches!(acts[..], [Act::Say(Order::Refused { .. })]);
    assert!(refused(world.course.handle(world.now, Happened::Daemon(Word::Upgrade))));
    let mut world = World::new();
    world.step(Step::Signal(Signal::Terminate));
    assert!(refused(world.course.handle(world.now, Happened::Daemon(Word::Upgrade))));
}
