//! What does the peer take? As initiator a refusal says next to nothing: NO_PROPOSAL_CHOSEN does not tell which algorithm, AUTHENTICATION_FAILED not even whose
//! fault. An examination asks, and finds out from what is refused and what is taken.
//!
//! | what is asked | what it tells |
//! | --- | --- |
//! | IKE_SA_INIT with our own suites | what the peer says to an ordinary attempt; if it takes them, the attempt goes on as any other |
//! | IKE_SA_INIT with all that we can speak, then with one type as we have it (`suites`) | which type of algorithm it is about, and what the peer has |
//! | one first message of IKEv1 (`ikev1`), where nothing of IKEv2 is taken | whether that is what the peer speaks |
//! | one IKE_AUTH that does not say whom it wants, where an ordinary one was refused | whether it is the peer's own identity |
//! | CREATE_CHILD_SA inside an IKE SA that is up, with other algorithms, groups or selectors (`inside`) | what the peer has for the child |
//! | IKE_SA_INIT between the ports for NAT traversal, where an answer is missing | whether that port, or only long messages, are lost |
//!
//! **What it does to the peer is bounded.** `budget`: a message that nobody has authenticated every 5 s, and 12 of them in two minutes, per connection and per
//! address, over all examinations. Only configured addresses are asked, never that of a peer who may be anywhere. No secret but the connection's own
//! is used. No answer to anything but an ordinary offer leads to an SA: it is read and thrown away, and a child that the peer makes for a question
//! is deleted at once and never installed. What is left at the peer is one half-open IKE SA for each question that it took, with an SPI of its own: the
//! protocol has no word to end those, and they time out (after 30 s, as a rule). A peer that falls silent once it has answered is left alone.
//!
//! **What "proven" means.** Answers to IKE_SA_INIT are not authenticated. Who cannot read our messages cannot forge one, as it carries our SPI. Who can, may
//! tell us anything, as it may an ordinary attempt; but it cannot keep the peer's own answer from coming, unless it sits in between: each question is
//! listened for until the end, and where two answers to it differ, nothing is proven any more.
mod budget;
mod drive;
mod ikev1;
pub(super) mod inside;
mod suites;
mod verdict;

use super::diagnose::Failure;
use super::event::{IkeId, Output};
use super::exchange::ike_sa_init::inquiry::Inquiry;
use super::policy::Connection;
use crate::wire::message::IkeSpi;
use crate::wire::payload::Id;
use budget::Budget;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use suites::Hunt;

/// Nothing takes longer than this, whatever the peer does.
const LONGEST: Duration = Duration::from_secs(125);
/// An answer to a question is looked out for so long after it is known what to make of it: another one may contradict it.
const SETTLE: Duration = Duration::from_secs(1);
/// Characters of one answer that are kept: whoever sees our messages can answer at length, and often.
const MOST_TEXT: usize = 1024;
/// An ordinary attempt has so long for IKE_AUTH.
const AUTH_TIME: Duration = Duration::from_secs(12);

/// Why no examination begins, or comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// No connection of this name.
    Unknown,
    /// The peer may be anywhere: there is no address that we may ask.
    RespondOnly,
    /// There is one of this connection.
    UnderWay,
    /// The peer has been asked enough for now; again after so long.
    Later(Duration),
    /// There is no way to the peer: no address of it, or none of ours.
    NoWay,
    /// It had begun, and was given up before anything was known: taken down, changed or stopped meanwhile, or nobody had the time for it.
    BrokenOff,
}
/// What an examination asked, and what the peer said to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// When it was asked first.
    pub at: Duration,
    /// `IKE_SA_INIT`, `IKE_AUTH`, `CREATE_CHILD_SA`, `IKEv1`.
    pub exchange: &'static str,
    /// What for: `own`, `widest`, `only_encr` ..., `unnamed`, `natt`, `selectors`, `main_mode`.
    pub asked: &'static str,
    /// What was offered, in keywords or selectors.
    pub offer: Vec<String>,
    /// What came: the name of a notification, a choice in keywords or selectors; empty: nothing.
    pub answer: String,
}
/// What came of an examination.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Connection.
    pub connection: Arc<str>,
    /// What is wrong; `None`: nothing that the peer refuses.
    pub failure: Option<Failure>,
    /// In the order of asking.
    pub questions: Vec<Question>,
}

/// All examinations.
#[derive(Default)]
pub(super) struct Exams {
    budget: Budget,
    running: BTreeMap<Arc<str>, Exam>,
    /// Connections that have one.
    names: HashSet<Arc<str>>,
    /// Whose question has this SPI.
    spis: HashMap<IkeSpi, Arc<str>>,
    /// What failed meanwhile.
    heard: HashMap<Arc<str>, Failure>,
    /// Attempts that do not say whom they want, and who has proven to be there.
    unnamed: HashMap<IkeId, Option<Id>>,
    /// Of questions inside an IKE SA.
    pub(super) inside: inside::Inside,
}
impl Exams {
    /// Nothing is to be looked after.
    pub(super) fn is_idle(&self) -> bool {
        self.names.is_empty()
    }
    /// A connection is being examined: nobody else begins anything with its peer.
    pub(super) fn has(&self, connection: &str) -> bool {
        self.names.contains(connection)
    }
    /// A failure of ours was told.
    pub(super) fn hear(&mut self, failure: &Failure) {
        if let Some(name) = failure.connection.as_ref().filter(|name| failure.initiator && self.has(name)) {
            self.heard.insert(name.clone(), failure.clone());
        }
    }
    /// This attempt does not say whom it wants, and is to come to nothing.
    pub(super) fn is_unnamed(&self, ike: IkeId) -> bool {
        self.unnamed.contains_key(&ike)
    }
    /// The peer has proven to be this one.
    pub(super) fn answers_as(&mut self, ike: IkeId, id: Id) {
        self.unnamed.insert(ike, Some(id));
    }
    fn deadline(&self) -> Option<Duration> {
        self.running.values().map(Exam::deadline).min()
    }
}

/// One examination.
struct Exam {
    connection: Arc<Connection>,
    child: Arc<str>,
    ends: (SocketAddr, SocketAddr),
    until: Duration,
    stage: Stage,
    /// For the suite of the IKE SA.
    hunt: Hunt,
    questions: Vec<Question>,
    /// The peer has answered something.
    answered: bool,
    /// Two answers to one question differed.
    contested: bool,
    /// Something has come in the version before.
    old: bool,
    /// What an ordinary attempt was told.
    heard: Option<Failure>,
    /// Questions that were answered, and whether by a choice.
    past: Vec<(Inquiry, bool)>,
    /// Something was said in IKEv2, and not that the version is another one.
    current: bool,
    /// The child was taken down before: who takes it down meanwhile ends the examination.
    down: bool,
    /// It is given up: that nothing is known to be wrong means nothing then.
    broken: bool,
    /// The IKE SA that an attempt of ours is about.
    made: Option<IkeId>,
}
/// Where it is.
enum Stage {
    Asking(Asking),
    /// The peer has taken our own suites: an attempt goes on from there.
    Attempting {
        ike: IkeId,
        until: Duration,
        unnamed: bool,
    },
    Inside(inside::Talk),
    /// It is known what to say, and it is said then.
    Settling {
        at: Duration,
        failure: Option<Box<Failure>>,
    },
    /// Only while a step is being taken.
    Moving,
}
/// A question that nobody has authenticated an answer to.
struct Asking {
    what: What,
    with: With,
    /// Transmissions since something else was sent.
    sent: u32,
    /// It is on its way.
    flying: bool,
    /// When something is to be done.
    at: Duration,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Suites,
    Version,
    Unnamed,
    Natt,
}
enum With {
    Inquiry(Box<Inquiry>),
    /// This cookie is ours.
    Ikev1(IkeSpi),
}
impl Exam {
    fn deadline(&self) -> Duration {
        let at = match &self.stage {
            Stage::Asking(asking) => asking.at,
            Stage::Attempting { until, .. } => *until,
            Stage::Inside(talk) => talk.deadline(),
            // Whatever the time: what is known is said, and not before.
            Stage::Settling { at, .. } => return *at,
            Stage::Moving => self.until,
        };
        at.min(self.until)
    }
    /// The last question has this answer.
    fn note(&mut self, answer: impl ToString) {
        self.answered = true;
        let Some(question) = self.questions.last_mut().filter(|question| question.answer.len() < MOST_TEXT) else {
            return;
        };
        if !question.answer.is_empty() {
            question.answer.push_str(", ");
        }
        question.answer.extend(answer.to_string().chars().take(MOST_TEXT));
    }
}

/// What becomes of a step.
enum Next {
    Wait(Stage),
    Go(Stage),
    Done(Option<Failure>),
}
impl Next {
    fn go(asking: Option<Asking>, otherwise: Option<Failure>) -> Self {
        asking.map_or(Self::Done(otherwise), |asking| Self::Go(Stage::Asking(asking)))
    }
}
/// For the host.
fn tell(out: &mut std::collections::VecDeque<Output>, event: super::event::Event) {
    out.push_back(Output::Event(event));
}
