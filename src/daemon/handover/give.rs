//! The old daemon's side of a hand-over: it asks the front for an heir, hears what that has to say, and knows when everything is the other's.
use super::channel::{await_one, hear, say, say_by};
use super::take::{FORMATS, Front, Taken};
use super::{Answer, BEFORE_COMMIT, DoorHandle, Offer, Order, PARTING, PREPARING, Word, reading};
use crate::control::upgrade::{Program, Refusal, State, Upgrade};
use crate::daemon::clock;
use crate::daemon::install::Installer;
use crate::io::channel::{Channel, MAX_DESCRIPTORS};
use crate::io::fds::Poll;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Tokens of what is waited for.
pub const FRONT: u64 = u64::MAX;
/// The heir.
pub const HEIR: u64 = u64::MAX - 1;

/// The front has this long to say whether there will be an heir.
const ANSWER: Duration = Duration::from_secs(5);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// An heir was started.
    Begun,
    /// There will be no heir: it was not started.
    Refused(String),
    /// It was, and nothing came of it.
    Failed(String),
    /// It waits for what we have open.
    Wanted,
    /// And for what we know.
    Prepared,
    /// Who has started us is gone.
    Alone,
}

/// Upgrades of this daemon.
#[derive(Debug)]
pub struct Giver {
    front: Option<Front>,
    phase: Phase,
    /// The last of them.
    last: Upgrade,
    /// When the front hears from us again.
    alive_at: Option<Duration>,
    /// Answers of the front that nobody waits for any more: an heir that comes with one was asked for before something else happened.
    late: u32,
}

/// The heir has read everything.
#[derive(Debug)]
#[must_use]
pub struct Entrusted(());

/// The front knows that the keys are the heir's.
#[derive(Debug)]
#[must_use]
pub struct Announced(());
impl Announced {
    /// Nobody here seals with these keys again.
    pub fn shut(self, installer: &Installer) -> Shut {
        installer.shut();
        Shut(())
    }
}

/// Nobody here seals with the keys of the installer again: from here on another may.
#[derive(Debug)]
#[must_use]
pub struct Shut(());

#[derive(Debug)]
enum Phase {
    Idle,
    /// The front was asked.
    Asked {
        until: Duration,
    },
    /// An heir was started.
    Begun {
        serial: u64,
        pipe: Channel,
        until: Duration,
    },
}

impl Giver {
    /// Begins to listen to the front, if there is one. `lost`: why nothing was taken over, if there was to be something.
    pub fn new(now: Duration, poll: &Poll, front: Option<Front>, lost: Option<String>) -> io::Result<Self> {
        if let Some(front) = &front {
            poll.add(front, FRONT)?;
        }
        let alive_at = front.as_ref().and_then(Front::alive).map(|_| now);
        let mut last = Upgrade::of(env!("CARGO_PKG_VERSION"), std::process::id());
        if let Some(sentence) = lost {
            (last.state, last.error) = (State::Lost, Some(sentence));
        }
        Ok(Self { front, phase: Phase::Idle, last, alive_at, late: 0 })
    }

    /// Tells the front that we are at work, and from whom we have taken over.
    pub fn ready(&mut self, now: Duration, taken: Option<&Taken>) {
        if let Some(taken) = taken {
            self.last.state = State::Done;
            self.last.from = Some(Program { version: taken.version.clone(), pid: taken.pid });
            self.last.pause_ms = u64::try_from(now.saturating_sub(taken.stopped).as_millis()).ok();
            (self.last.ike_sas, self.last.child_sas) = taken.sas;
        }
        if let Some(front) = &self.front {
            // Its end is heard of in another way.
            let _ = front.say(&Word::Ready);
        }
    }

    /// The last upgrade, or the one under way.
    pub fn last(&self) -> &Upgrade {
        &self.last
    }

    /// Asks for an heir.
    ///
    /// # Errors
    /// There cannot be one.
    pub fn begin(&mut self, now: Duration) -> Result<(), Refusal> {
        let Some(front) = &self.front else { return Err(Refusal::Alone) };
        if !matches!(self.phase, Phase::Idle) {
            return Err(Refusal::UnderWay);
        }
        front.say(&Word::Upgrade).map_err(|_| Refusal::Alone)?;
        self.phase = Phase::Asked { until: now + ANSWER };
        self.last = Upgrade { state: State::Asked, ..Upgrade::of(env!("CARGO_PKG_VERSION"), std::process::id()) };
        Ok(())
    }

    /// Hears what is to be heard: what has happened.
    pub fn turn(&mut self, now: Duration, ready: &[u64], poll: &Poll) -> Vec<News> {
        let mut news = Vec::new();
        if self.alive_at.is_some_and(|at| at <= now)
            && let Some((front, every)) = self.front.as_ref().and_then(|front| Some((front, front.alive()?)))
        {
            self.alive_at = Some(now + every);
            // Its end is heard of in another way.
            let _ = front.say(&Word::Alive);
        }
        // The heir first: it knows best what is wrong with it.
        if ready.contains(&HEIR) {
            news.extend(self.hear_heir(poll));
        }
        if ready.contains(&FRONT) {
            self.hear_front(now, poll, &mut news);
        }
        let until = match self.phase {
            Phase::Idle => Duration::MAX,
            Phase::Asked { until } | Phase::Begun { until, .. } => until,
        };
        if until <= now {
            news.push(self.failed("the new executable did not get ready in time".into()));
        }
        news
    }

    /// When [`Self::turn`] is due though nobody has said anything.
    pub fn deadline(&self) -> Option<Duration> {
        let until = match self.phase {
            Phase::Idle => None,
            Phase::Asked { until } | Phase::Begun { until, .. } => Some(until),
        };
        until.into_iter().chain(self.alive_at).min()
    }

    fn hear_front(&mut self, now: Duration, poll: &Poll, news: &mut Vec<News>) {
        while let Some(front) = &self.front {
            match front.hear() {
                Ok(Some((Order::Give { serial }, beside))) => {
                    let pipe = beside.into_iter().next().map(Channel::received);
                    // What comes late is not wanted any more: the heir sees that nobody is there.
                    let wanted = is_for_us(&mut self.late) && matches!(self.phase, Phase::Asked { .. });
                    if let Some(pipe) = pipe.filter(|pipe| wanted && poll.add(pipe, HEIR).is_ok()) {
                        self.phase = Phase::Begun { serial, pipe, until: now + BEFORE_COMMIT + PARTING };
                        self.last.state = State::Preparing;
                        news.push(News::Begun);
                    } else {
                        let _ = front.say(&Word::Failed { serial });
                        news.extend(wanted.then(|| self.answered_in_vain()));
                    }
                }
                Ok(Some((Order::Refused { sentence }, _))) => {
                    if is_for_us(&mut self.late) && matches!(self.phase, Phase::Asked { .. }) {
                        self.phase = Phase::Idle;
                        (self.last.state, self.last.error) = (State::Failed, Some(sentence.clone()));
                        news.push(News::Refused(sentence));
                    }
                }
                Ok(Some((Order::Failed { serial, sentence }, _))) => {
                    if matches!(self.phase, Phase::Begun { serial: ours, .. } if ours == serial) {
                        news.push(self.failed(sentence));
                    }
                }
                // Nothing else is for the front to say.
                Ok(Some(_)) => {}
                Ok(None) => {
                    let _ = poll.remove(front);
                    (self.front, self.alive_at) = (None, None);
                    news.push(News::Alone);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Only an answer has something beside it that may not get here, when descriptors have run out.
                Err(_) => {
                    if is_for_us(&mut self.late) && matches!(self.phase, Phase::Asked { .. }) {
                        news.push(self.answered_in_vain());
                    }
                    return;
                }
            }
        }
    }

    /// The answer of the front has come, and is of no use: none is late.
    fn answered_in_vain(&mut self) -> News {
        self.phase = Phase::Idle;
        self.failed("the way to the new executable has got lost: are there descriptors left?".into())
    }

    fn hear_heir(&mut self, poll: &Poll) -> Option<News> {
        let Phase::Begun { pipe, .. } = &self.phase else { return None };
        match hear(pipe) {
            Ok(Some((Answer::Hello { version, formats }, _))) => {
                let ours = FORMATS.last().copied().unwrap_or_default();
                if formats.contains(&ours) {
                    return Some(News::Wanted);
                }
                Some(self.failed(format!(
                    "the new executable (version {version:?}) does not read what version {} hands over: restart the daemon instead, which makes all tunnels anew",
                    env!("CARGO_PKG_VERSION")
                )))
            }
            Ok(Some((Answer::Prepared, _))) => {
                self.last.state = State::Reading;
                Some(News::Prepared)
            }
            Ok(Some((Answer::Refused { sentence }, _))) => Some(self.failed(sentence)),
            Ok(Some((Answer::Read { .. }, _))) => Some(self.failed("the new executable is out of step".into())),
            // The front says why.
            Ok(None) => {
                let _ = poll.remove(pipe);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(self.failed(format!("the new executable is no sandhogd: {error}"))),
        }
    }

    /// Before the commit: nothing has happened. The heir sees that nobody is there any more, and the front sees to its end, should it hang.
    pub fn failed(&mut self, sentence: String) -> News {
        if let (Some(front), Some(serial)) = (&self.front, self.serial()) {
            // Whose front is gone, its heir is gone, too.
            let _ = front.say(&Word::Failed { serial });
        }
        if matches!(self.phase, Phase::Asked { .. }) {
            self.late += 1;
        }
        self.phase = Phase::Idle;
        (self.last.state, self.last.error) = (State::Failed, Some(sentence.clone()));
        News::Failed(sentence)
    }

    /// Somebody waits for an heir, or for what becomes of it.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }

    /// The serial of the hand-over under way.
    pub fn serial(&self) -> Option<u64> {
        match self.phase {
            Phase::Begun { serial, .. } => Some(serial),
            _ => None,
        }
    }

    /// Hands what is open to the heir, with the list of what that is.
    ///
    /// # Errors
    /// Nothing has happened, and why.
    pub fn offer(&self, doors: &[DoorHandle], all: &[OwnedFd], list: &OwnedFd) -> Result<(), String> {
        let deadline = clock::now() + PREPARING;
        for (door, descriptors) in doors {
            self.say_to_heir(&Offer::Door(*door), descriptors, deadline)?;
        }
        for some in all.chunks(MAX_DESCRIPTORS) {
            self.say_to_heir(&Offer::Descriptors, some, deadline)?;
        }
        self.say_to_heir(&Offer::List, std::slice::from_ref(list), deadline)
    }

    fn say_to_heir(&self, offer: &Offer, beside: &[impl AsFd], deadline: Duration) -> Result<(), String> {
        let Phase::Begun { pipe, .. } = &self.phase else { return Err("nobody waits for it".into()) };
        let beside: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
        say_by(pipe, offer, &beside, deadline)
            .map_err(|error| format!("the new daemon does not take what it is given: {error}"))
    }

    /// Hands the state to the heir, who says how much it has found. The workers have stopped.
    ///
    /// # Errors
    /// Nothing has happened, and why.
    pub fn entrust(&self, state: BorrowedFd<'_>, sas: (u64, u64)) -> Result<Entrusted, String> {
        let deadline = clock::now() + reading(sas);
        self.say_to_heir(&Offer::State { sas }, &[state], deadline)?;
        let Phase::Begun { pipe, .. } = &self.phase else { return Err("nobody waits for it".into()) };
        match await_one(pipe, deadline) {
            Ok(Some((Answer::Read { sas: found }, _))) if found == sas => Ok(Entrusted(())),
            Ok(Some((Answer::Read { sas: (ikes, children) }, _))) => Err(format!(
                "the new daemon found {ikes} of {} IKE SAs and {children} of {} children in what it was given",
                sas.0, sas.1
            )),
            Ok(Some((Answer::Refused { sentence }, _))) => Err(sentence),
            Ok(Some(_)) => Err("the new daemon says what makes no sense".into()),
            Ok(None) => Err("the new daemon has ended while it read what it was given".into()),
            Err(error) => Err(format!("the new daemon did not read what it was given: {error}")),
        }
    }

    /// From here on there is no way back: should we end before [`Self::commit`], the front starts a daemon that knows nothing.
    ///
    /// # Errors
    /// Nothing has happened.
    pub fn announce(&self, Entrusted(()): Entrusted) -> Result<Announced, String> {
        let (Some(front), Phase::Begun { serial, pipe, .. }) = (&self.front, &self.phase) else {
            return Err("nobody waits for it".into());
        };
        // It may have lost its patience: whoever stands still for long finds nobody there.
        match pipe.receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return Err("the new daemon has ended after it read what it was given".into()),
        }
        let serial = *serial;
        front.say(&Word::Committed { serial }).map_err(|error| format!("the front: {error}"))?;
        Ok(Announced(()))
    }

    /// Everything is the heir's from here on. Should it be gone, the front starts another without state.
    pub fn commit(&self, stopped: Duration, Shut(()): Shut) {
        let Phase::Begun { serial, pipe, .. } = &self.phase else { return };
        let stopped_ms = u64::try_from(stopped.as_millis()).unwrap_or(u64::MAX);
        let (version, pid) = (env!("CARGO_PKG_VERSION").into(), std::process::id());
        let _ = say(pipe, &Offer::Commit { serial: *serial, stopped_ms, version, pid }, &[]);
    }
}

/// The front answers each question once, in their order: whether this answer is for who asks now, or for one of the `late`.
fn is_for_us(late: &mut u32) -> bool {
    let before = *late;
    *late = before.saturating_sub(1);
    before == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    /// A daemon with a front that the test plays.
    struct Play {
        giver: Giver,
        poll: Poll,
        front: Channel,
    }
    impl Play {
        fn new() -> Self {
            let (ours, front) = Channel::pair().unwrap();
            let poll = Poll::new().unwrap();
            let alive = Some(Duration::from_secs(3));
            let mut giver = Giver::new(NOW, &poll, Some(Front::over(ours, alive)), None).unwrap();
            assert!(hear::<Word>(&front).is_err());
            giver.ready(NOW, None);
            assert_eq!(hear::<Word>(&front).unwrap().unwrap().0, Word::Ready);
            Self { giver, poll, front }
        }
        /// With an heir, who is played, too.
        fn begun() -> (Self, Channel) {
            let mut play = Self::new();
            play.giver.begin(NOW).unwrap();
            assert_eq!(play.heard(), [Some(Word::Upgrade)]);
            let (old, heir) = Channel::pair().unwrap();
            say(&play.front, &Order::Give { serial: 5 }, &[std::os::fd::AsFd::as_fd(&old)]).unwrap();
            assert_eq!(play.turn(NOW), [News::Begun]);
            (play, heir)
        }
        fn turn(&mut self, now: Duration) -> Vec<News> {
            self.giver.turn(now, &[FRONT, HEIR], &self.poll)
        }
        fn heard(&self) -> Vec<Option<Word>> {
            std::iter::from_fn(|| hear::<Word>(&self.front).ok()).map(|word| word.map(|(word, _)| word)).collect()
        }
        fn state(&self) -> State {
            self.giver.last().state
        }
    }
    fn hello(formats: &[u16]) -> Answer {
        Answer::Hello { version: "9.9.9".into(), formats: formats.into() }
    }

    #[test]
    fn nobody_replaces_a_daemon_without_a_front() {
        let poll = Poll::new().unwrap();
        let mut giver = Giver::new(NOW, &poll, None, None).unwrap();
        assert_eq!(giver.begin(NOW), Err(Refusal::Alone));
        assert_eq!(giver.deadline(), None);
    }

    #[test]
    fn the_front_hears_that_we_are_alive() {
        let mut play = Play::new();
        assert_eq!(play.giver.deadline(), Some(NOW));
        assert_eq!(play.turn(NOW), []);
        assert_eq!(
            (play.heard(), play.giver.deadline()),
            (vec![Some(Word::Alive)], Some(NOW + Duration::from_secs(3)))
        );
        play.turn(NOW + Duration::from_secs(2));
        assert_eq!(play.heard(), []);
    }

    #[test]
    fn the_front_hears_of_the_commit_before_the_heir() {
        let (mut play, heir) = Play::begun();
        assert_eq!(play.giver.begin(NOW), Err(Refusal::UnderWay));
        say(&heir, &hello(FORMATS), &[]).unwrap();
        assert_eq!((play.turn(NOW), play.state()), (vec![News::Wanted], State::Preparing));
        say(&heir, &Answer::Prepared, &[]).unwrap();
        assert_eq!((play.turn(NOW), play.state()), (vec![News::Prepared], State::Reading));
        play.heard();
        let Announced(()) = play.giver.announce(Entrusted(())).unwrap();
        assert!(heir.receive().is_err(), "not yet");
        play.giver.commit(NOW, Shut(()));
        assert_eq!(play.heard(), [Some(Word::Committed { serial: 5 })]);
        let offer = await_one::<Offer>(&heir, NOW).unwrap().unwrap().0;
        assert!(matches!(offer, Offer::Commit { serial: 5, stopped_ms: 1_000_000, .. }), "{offer:?}");
    }

    #[test]
    fn an_heir_that_has_not_found_everything_gets_nothing() {
        let memory = || OwnedFd::from(std::io::pipe().unwrap().0);
        for (answer, hint) in [
            (Some(Answer::Read { sas: (2, 2) }), "found 2 of 2 IKE SAs and 2 of 3 children"),
            (Some(Answer::Refused { sentence: "too young".into() }), "too young"),
            (None, "has ended"),
        ] {
            let (play, heir) = Play::begun();
            if let Some(answer) = answer {
                say(&heir, &answer, &[]).unwrap();
            } else {
                drop(heir);
            }
            let offered = play.giver.entrust(memory().as_fd(), (2, 3)).unwrap_err();
            assert!(offered.contains(hint) || offered.contains("does not take"), "{offered}");
        }
        let (play, heir) = Play::begun();
        say(&heir, &Answer::Read { sas: (2, 3) }, &[]).unwrap();
        let all: Vec<_> = (0..=MAX_DESCRIPTORS).map(|_| memory()).collect();
        play.giver.offer(&[], &all, &memory()).unwrap();
        let Entrusted(()) = play.giver.entrust(memory().as_fd(), (2, 3)).unwrap();
        let counts: Vec<_> = std::iter::from_fn(|| heir.receive().ok()?).map(|m| m.descriptors.len()).collect();
        assert_eq!(counts, [MAX_DESCRIPTORS, 1, 1, 1]);
    }

    #[test]
    fn an_executable_that_is_refused_is_named() {
        let mut play = Play::new();
        play.giver.begin(NOW).unwrap();
        say(&play.front, &Order::Refused { sentence: "chmod".into() }, &[]).unwrap();
        assert_eq!((play.turn(NOW), play.state()), (vec![News::Refused("chmod".into())], State::Failed));
        assert_eq!(play.giver.begin(NOW), Ok(()), "it may be tried again");
    }

    #[test]
    fn an_heir_that_goes_changes_nothing() {
        let (mut play, heir) = Play::begun();
        drop(heir);
        assert_eq!(play.turn(NOW), [], "the front knows why");
        say(&play.front, &Order::Failed { serial: 4, sentence: "of another".into() }, &[]).unwrap();
        assert_eq!(play.turn(NOW), []);
        say(&play.front, &Order::Failed { serial: 5, sentence: "exit code 7".into() }, &[]).unwrap();
        assert_eq!((play.turn(NOW), play.state()), (vec![News::Failed("exit code 7".into())], State::Failed));
        assert!(play.giver.announce(Entrusted(())).is_err(), "there is nobody to commit to");
    }

    #[test]
    fn who_has_gone_after_it_read_is_not_committed_to() {
        let (play, heir) = Play::begun();
        say(&heir, &Answer::Read { sas: (2, 3) }, &[]).unwrap();
        let entrusted = play.giver.entrust(std::io::pipe().unwrap().0.as_fd(), (2, 3)).unwrap();
        drop(heir);
        assert!(play.giver.announce(entrusted).unwrap_err().contains("has ended"));
        let heard = play.heard();
        assert!(!heard.contains(&Some(Word::Committed { serial: 5 })), "the front hears of no commit: {heard:?}");
    }

    #[test]
    fn an_heir_of_another_kind_is_sent_away() {
        for (what, hint) in [
            (serde_json::to_vec(&hello(&[0, 65_535])).unwrap(), "restart the daemon instead"),
            (serde_json::to_vec(&Answer::Refused { sentence: "no configuration".into() }).unwrap(), "no configuration"),
            (b"good morning".to_vec(), "no sandhogd"),
        ] {
            let (mut play, heir) = Play::begun();
            heir.send(&what, &[]).unwrap();
            let news = play.turn(NOW);
            assert!(matches!(&news[..], [News::Failed(sentence)] if sentence.contains(hint)), "{news:?}");
            assert_eq!(play.heard().last(), Some(&Some(Word::Failed { serial: 5 })), "the front sees to its end");
            assert!(heir.receive().unwrap().is_none(), "it sees that nobody is there");
        }
    }

    #[test]
    fn who_hangs_is_not_waited_for_for_ever() {
        let (mut play, _heir) = Play::begun();
        assert_eq!(play.turn(NOW + BEFORE_COMMIT), []);
        assert!(matches!(&play.turn(NOW + BEFORE_COMMIT + PARTING)[..], [News::Failed(_)]));
        // An answer that comes late begins nothing.
        let (old, heir) = Channel::pair().unwrap();
        say(&play.front, &Order::Give { serial: 6 }, &[std::os::fd::AsFd::as_fd(&old)]).unwrap();
        drop(old);
        assert_eq!(play.turn(NOW + BEFORE_COMMIT + PARTING), []);
        assert!(heir.receive().unwrap().is_none());
    }

    /// It may have read what is not in force any more.
    #[test]
    fn an_heir_that_was_asked_for_before_is_not_the_one_that_is_asked_for_now() {
        for refused in [false, true] {
            let mut play = Play::new();
            play.giver.begin(NOW).unwrap();
            play.giver.failed("something has happened".into());
            play.giver.begin(NOW).unwrap();
            play.heard();
            let (old, heir) = Channel::pair().unwrap();
            let late = match refused {
                true => say(&play.front, &Order::Refused { sentence: "chmod".into() }, &[]),
                false => say(&play.front, &Order::Give { serial: 6 }, &[old.as_fd()]),
            };
            late.unwrap();
            drop(old);
            assert_eq!((play.turn(NOW), play.state()), (vec![], State::Asked));
            let ended = play.heard().contains(&Some(Word::Failed { serial: 6 }));
            assert_eq!(ended, !refused, "the front sees to its end");
            assert!(heir.receive().unwrap().is_none());
            let (old, _heir) = Channel::pair().unwrap();
            say(&play.front, &Order::Give { serial: 7 }, &[old.as_fd()]).unwrap();
            assert_eq!((play.turn(NOW), play.giver.serial()), (vec![News::Begun], Some(7)));
        }
    }

    /// What cannot be used has come all the same: the answer to the next question is the next one.
    #[test]
    fn an_answer_without_a_way_to_the_heir_is_an_answer() {
        for broken in [false, true] {
            let mut play = Play::new();
            play.giver.begin(NOW).unwrap();
            match broken {
                true => play.front.send(b"{", &[]).unwrap(),
                false => say(&play.front, &Order::Give { serial: 6 }, &[]).unwrap(),
            }
            let news = play.turn(NOW);
            assert!(matches!(&news[..], [News::Failed(sentence)] if sentence.contains("has got lost")), "{news:?}");
            assert_eq!(play.heard().contains(&Some(Word::Failed { serial: 6 })), !broken);
            say(&play.front, &Order::Failed { serial: 6, sentence: "was killed".into() }, &[]).unwrap();
            assert_eq!((play.turn(NOW), play.state()), (vec![], State::Failed));
            play.giver.begin(NOW).unwrap();
            let (old, _heir) = Channel::pair().unwrap();
            say(&play.front, &Order::Give { serial: 7 }, &[old.as_fd()]).unwrap();
            assert_eq!((play.turn(NOW), play.giver.serial()), (vec![News::Begun], Some(7)));
        }
    }

    #[test]
    fn without_who_has_started_us_there_is_nothing_to_go_on_with() {
        let mut play = Play::new();
        play.front = Channel::pair().unwrap().0;
        assert_eq!(play.turn(NOW), [News::Alone]);
        assert_eq!((play.turn(NOW), play.giver.deadline()), (vec![], None));
    }
}
