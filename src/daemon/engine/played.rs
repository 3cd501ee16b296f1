//! Upgrades, with whoever is at the other ends played by a test.
use super::*;
use crate::config::plan::Plan;
use crate::config::{self, Source};
use crate::control::request::Adopt;
use crate::control::routes::Api;
use crate::control::upgrade::{Refusal, State as Stage, Upgrade};
use crate::daemon::handover::channel::{hear, say};
use crate::daemon::handover::give::{FRONT, HEIR};
use crate::daemon::handover::take::FORMATS;
use crate::daemon::handover::{Answer, Offer, Order, Word};
use crate::daemon::{install, start};
use crate::io::channel::Channel;
use crate::io::netns::fresh;
use crate::ipsec::tables::OutboundEntry;
use crate::wire::ip::Flow;
use std::os::fd::AsFd;
use tokio::sync::oneshot;

/// What a client hears.
type Heard = oneshot::Receiver<Result<Box<Upgrade>, Refusal>>;

/// A daemon without workers and peers.
struct Play {
    engine: Engine,
    front: Channel,
    /// Who gives orders, and the keeper's ear.
    desk: (Api, Receiver<crate::control::config::Order>),
}

impl Play {
    fn of(config: &Config, takes_over: bool) -> Self {
        let wake = Arc::new(EventFd::new().unwrap());
        let start::PacketPath { tables, inboxes, devices, installer, places } =
            start::lay(config, 1, Vec::new(), takes_over).unwrap();
        let workers =
            Workers::new(&tables, DEVICE, Vec::new(), Vec::new(), inboxes, false, wake.clone()).expect("workers");
        let start::Desk { api, from_api, from_clients, journal } = start::desk(&wake, &installer, &workers, None);
        let ((ours, front), mark) = (Channel::pair().unwrap(), config.gateway.mark);
        let parts = Parts {
            path: PathBuf::new(),
            config: config.clone(),
            host: DaemonHost::new(places, tables, mark, wake.clone()).unwrap(),
            installer,
            network: Network::open_beside(&config.gateway).unwrap(),
            devices,
            sockets: Sockets::adopt(Vec::new(), config.gateway.ports.natt, true),
            pool: Pool::start(1, wake.clone()).unwrap(),
            fetcher: Fetcher::start(mark, wake.clone()).unwrap(),
            hook: None,
            workers,
            requests: from_api,
            journal,
            meter: api.meter.clone(),
            wake,
            signals: Signals::new().unwrap(),
            front: (Some(Front::over(ours, None)), None),
            doors: Vec::new(),
            metrics: None,
            warnings: Vec::new(),
            notes: Vec::new(),
            keeper: api.keeper.clone(),
        };
        Self { engine: Engine::new(parts).unwrap(), front, desk: (api, from_clients) }
    }
    /// One at work, with a child that is up; its outbound half.
    fn at_work(config: &Config) -> (Self, Arc<OutboundEntry>) {
        let mut play = Self::of(config, false);
        let now = clock::now();
        play.engine.begin_policy(now);
        let up = install::offer(&mut play.engine.parts.host.places, 1, true, None);
        let id = up.id;
        play.engine.event(now, &Event::ChildUp(Box::new(up)));
        let outbound = play.engine.parts.installer.get(id).unwrap().outbound.clone();
        (play, outbound)
    }
    /// Another that goes on in its place.
    fn taken_over(mut self, config: &Config) -> Self {
        let paused = self.engine.pause(clock::now()).unwrap();
        let state = self.engine.freeze(&paused).unwrap();
        let mut heir = Self::of(config, true);
        heir.engine.resume(clock::now(), &state).unwrap();
        heir
    }
    /// Somebody wants an upgrade.
    fn ask(&mut self) -> Heard {
        let (reply, heard) = oneshot::channel();
        self.engine.upgrade(clock::now(), reply);
        heard
    }
    /// The front gives an heir.
    fn give(&mut self, serial: u64) -> Channel {
        let (old, heir) = Channel::pair().unwrap();
        say(&self.front, &Order::Give { serial }, &[old.as_fd()]).unwrap();
        drop(old);
        self.follow();
        heir
    }
    fn follow(&mut self) {
        self.engine.follow_upgrade(clock::now(), &[FRONT, HEIR]);
    }
    fn heard(&self) -> Vec<Word> {
        std::iter::from_fn(|| hear::<Word>(&self.front).ok()?.map(|(word, _)| word)).collect()
    }
    /// A packet from our network to the peer's finds a policy.
    fn carries(&self) -> bool {
        let spd = self.engine.parts.installer.tables().spd.load();
        let (src, dst) = ("10.1.0.1".parse().unwrap(), "10.2.0.1".parse().unwrap());
        let flow = Flow { src, dst, proto: 17, sport: 1, dport: 2, later_fragment: false };
        spd.lookup(DEVICE, &flow).is_some()
    }
    fn stage(&self) -> Stage {
        self.engine.giver.last().state
    }
}

fn config(child: &str) -> Config {
    let text = format!(
        "[connections.a]\nremote_addrs = [\"192.0.2.9\"]\n[connections.a.children.b]\nlocal_ts = [\"10.1.0.0/16\"]\n\
         remote_ts = [\"10.2.0.0/16\"]\nstart_action = \"none\"\n{child}\n[secrets.s]\nid = [\"192.0.2.9\"]\n\
         secret = \"correct horse battery staple\"\n"
    );
    config::parse(&[Source { name: "a.toml".into(), text }], &config::secret::System).expect("valid")
}
fn failing_over() -> Config {
    config("monitor = { target = \"10.2.0.1\", action = \"failover\" }")
}
fn hello() -> Answer {
    Answer::Hello { version: "9.9.9".into(), formats: FORMATS.into() }
}

/// Else its packets go into a tunnel that is down, and not to who stands in for it.
#[test]
fn what_is_held_down_is_held_down_by_the_heir() {
    fresh(|| {
        let (mut old, _) = Play::at_work(&failing_over());
        assert!(old.carries());
        old.engine.hold(clock::now(), "a".into());
        assert!(!old.carries());
        let mut heir = old.taken_over(&failing_over());
        assert!(!heir.carries(), "before the first packet");
        heir.engine.begin_policy(clock::now());
        assert!(!heir.carries());
        // Who reads another configuration knows of no hold.
        let mut heir = heir.taken_over(&config(""));
        heir.engine.begin_policy(clock::now());
        assert!(heir.carries() && heir.engine.holds.deadline().is_none());
    });
}

/// The heir may have read the files before, or after, or in the middle of it.
#[test]
fn another_configuration_ends_an_upgrade_that_was_asked_for_or_has_begun() {
    fresh(|| {
        let (mut play, outbound) = Play::at_work(&config(""));
        for (begun, serial) in [(false, 5), (true, 6)] {
            let mut answer = play.ask();
            let heir = begun.then(|| play.give(serial));
            assert_eq!(answer.try_recv().is_ok(), begun);
            let mut answer = if begun { None } else { Some(answer) };
            play.engine.adopt(clock::now(), config("")).unwrap();
            assert_eq!(play.stage(), Stage::Failed);
            if let Some(answer) = &mut answer {
                assert!(matches!(answer.try_recv(), Ok(Err(Refusal::Overtaken(why))) if why.contains("upgrade again")));
            }
            // What was asked for comes all the same, and is sent away.
            let heir = heir.unwrap_or_else(|| play.give(serial));
            assert!(heir.receive().unwrap().is_none());
            assert_eq!(play.heard(), [Word::Upgrade, Word::Failed { serial }]);
        }
        assert!(play.engine.end.is_none() && outbound.sa.reserve(1).is_ok());
        // Another one is as good as the first.
        let mut answer = play.ask();
        let _heir = play.give(7);
        assert!(matches!(answer.try_recv(), Ok(Ok(_))));
    });
}

/// Whatever could have come before the hand-over has.
#[test]
fn orders_that_wait_come_before_a_hand_over() {
    fresh(|| {
        for adopts in [false, true] {
            let (mut play, _) = Play::at_work(&config(""));
            let _answer = play.ask();
            let heir = play.give(5);
            for answer in [hello(), Answer::Prepared, Answer::Read { sas: (0, 1) }] {
                say(&heir, &answer, &[]).unwrap();
            }
            play.follow();
            let (reply, mut adopted) = oneshot::channel();
            let (shown, mut last) = oneshot::channel();
            let order = match adopts {
                true => Request::Adopt(Adopt { config: Box::new(config("")), plan: Plan::default(), reply }),
                false => Request::LastUpgrade(shown),
            };
            play.desk.0.engine.tell(order).unwrap();
            play.follow();
            assert_eq!(play.engine.end, (!adopts).then_some(End::HandedOver));
            assert_eq!((adopted.try_recv().is_ok(), last.try_recv().is_ok()), (adopts, !adopts), "it was answered");
        }
    });
}

/// What nobody can repair: two that seal with one key.
#[test]
fn whoever_has_handed_over_seals_nothing_and_whoever_has_not_goes_on() {
    fresh(|| {
        for (found, given) in [((0, 1), true), ((0, 0), false)] {
            let (mut play, outbound) = Play::at_work(&config(""));
            let _answer = play.ask();
            let heir = play.give(5);
            say(&heir, &hello(), &[]).unwrap();
            play.follow();
            assert!(outbound.sa.reserve(1).is_ok(), "while the other makes itself ready");
            for answer in [Answer::Prepared, Answer::Read { sas: found }] {
                say(&heir, &answer, &[]).unwrap();
            }
            play.follow();
            assert_eq!((play.engine.end, outbound.sa.reserve(1).is_err()), (given.then_some(End::HandedOver), given));
            let words = play.heard();
            assert_eq!(words.contains(&Word::Committed { serial: 5 }), given, "{words:?}");
            assert_eq!(words.contains(&Word::Failed { serial: 5 }), !given, "{words:?}");
            let offers: Vec<_> =
                std::iter::from_fn(|| hear::<Offer>(&heir).ok()?.map(|(offer, _)| format!("{offer:?}"))).collect();
            let offers: Vec<_> =
                offers.iter().map(|offer| offer.split([' ', '{']).next().unwrap_or_default()).collect();
            assert_eq!(offers, [&["List", "State", "Commit"][..], &["List", "State"]][usize::from(!given)]);
        }
    });
}

/// Nobody would serve what was its: all is set up anew.
#[test]
fn a_worker_that_is_lost_ends_an_upgrade_and_the_daemon() {
    fresh(|| {
        for lending in [true, false] {
            let (mut play, outbound) = Play::at_work(&config(""));
            let _answer = play.ask();
            let heir = play.give(5);
            for (answer, last) in [(hello(), lending), (Answer::Prepared, true)] {
                assert!(play.engine.end.is_none());
                if last {
                    play.engine.parts.workers.add_a_lost_one();
                }
                say(&heir, &answer, &[]).unwrap();
                play.follow();
                if last {
                    break;
                }
            }
            assert_eq!(play.engine.end, Some(End::LostDevice));
            let words = play.heard();
            assert!(words.contains(&Word::Failed { serial: 5 }), "{words:?}");
            assert!(!words.contains(&Word::Committed { serial: 5 }) && outbound.sa.reserve(1).is_ok());
        }
    });
}
