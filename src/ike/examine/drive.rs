//! The steps of an examination, as time passes and answers come.
use super::suites::{Found, Offer};
use super::verdict::words;
use super::{AUTH_TIME, Asking, Exam, Examined, Hunt, LONGEST, Next, NotNow, Question, SETTLE, Stage, What, With};
use super::{budget, ikev1, inside, tell};
use crate::ike::common::Cx;
use crate::ike::diagnose::{Certainty, Failure};
use crate::ike::endpoint::{Endpoint, Owner};
use crate::ike::event::{Ended, Event, Host, IkeId};
use crate::ike::exchange::Arrival;
use crate::ike::exchange::ike_sa_init::inquiry::{Inquiry, Said};
use crate::ike::link::Link;
use crate::ike::policy::IdMatch;
use crate::ike::sa::{CLOSING_TIME, Established, IkeSa, Phase, Standing};
use crate::ike::ways::Ways;
use crate::wire::keyword;
use crate::wire::message::Header;
use crate::wire::registry::{NotifyType, ProtocolId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A question is sent so often to a peer that has never answered, and so often to one that has.
const TRIES: u32 = 3;
const TRIES_AGAIN: u32 = 2;
/// The budget may make an examination wait for so long, not longer.
const WORTH: Duration = Duration::from_secs(20);

impl Endpoint {
    /// Begins one.
    pub(in crate::ike) fn examine(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>) {
        match self.prepare_exam(now, host, name) {
            Ok(exam) => {
                self.common.exams.names.insert(name.clone());
                self.common.exams.heard.remove(name);
                self.common.exams.running.insert(name.clone(), exam);
                self.follow_exams(now, host);
            }
            Err(why) => self.common.emit(Event::NotExamined { connection: name.clone(), why }),
        }
    }
    fn prepare_exam(&mut self, now: Duration, host: &mut dyn Host, name: &Arc<str>) -> Result<Exam, NotNow> {
        let link = self.common.links.get(name).ok_or(NotNow::Unknown)?;
        if self.common.exams.has(name) {
            return Err(NotNow::UnderWay);
        }
        let connection = link.connection.clone();
        if !link.can_initiate() || connection.remote_addrs.contains(&crate::ike::policy::Remote::Any) {
            return Err(NotNow::RespondOnly);
        }
        let failed = link.last_failure.clone();
        let missing = connection.children.iter().find(|child| !self.has(link, &child.name));
        let told = failed.as_ref().and_then(|failure| failure.child.clone());
        let child = missing.or(connection.children.first()).map(|child| child.name.clone()).ok_or(NotNow::Unknown)?;
        let child = told.filter(|told| connection.children.iter().any(|c| c.name == *told)).unwrap_or(child);
        let (down, usable) = (is_down(link, &child), self.usable(name));
        let (attempts, ike) = (self.attempts_of(name), self.common.directory.policy.ports.ike);
        let port = |ip| SocketAddr::new(ip, ike);
        let way = *Ways::of(&connection, host).list.first().ok_or(NotNow::NoWay)?;
        let ends = (port(way.0), port(way.1));
        // A rekey was refused for its algorithms or its group.
        let of_rekey = |f: &Failure| f.child.is_some() && (f.code == "pfs.mismatch" || f.code.starts_with("proposal."));
        let asks = missing.is_some() || failed.as_ref().is_some_and(of_rekey);
        let stage = match usable {
            Some(_) if !asks => Stage::Settling { at: now, failure: None },
            Some(ike) => Stage::Inside(inside::Talk::new(now, ike, &connection, &child, None)),
            None => {
                let begin = self.common.exams.budget.begin_at(now, name, way.1);
                if begin > now {
                    return Err(NotNow::Later(begin - now));
                }
                Stage::Moving
            }
        };
        // What is under way would only be in the way, and ask the peer at its own pace.
        for id in attempts {
            self.step(now, host, id, |_, _| Err(Ended::ByUs));
        }
        let mut exam = Exam {
            hunt: Hunt::new(ProtocolId::IKE, &connection.proposals, false),
            connection,
            child,
            ends,
            until: now + LONGEST,
            stage,
            questions: Vec::new(),
            answered: false,
            contested: false,
            old: false,
            heard: None,
            past: Vec::new(),
            current: false,
            down,
            broken: false,
            made: None,
        };
        if let Stage::Moving = exam.stage {
            exam.stage = self.ask_suites(now, host, &mut exam).map_or(Stage::Moving, Stage::Asking);
        }
        Ok(exam)
    }
    /// An IKE SA of the connection in which can be talked.
    fn usable(&self, name: &str) -> Option<IkeId> {
        let link = self.common.links.get(name)?;
        let open = |est: &Established| est.closing.is_none() && est.standing == Standing::Current;
        let is =
            |id: &&IkeId| matches!(self.sas.get(id).map(|sa| &sa.phase), Some(Phase::Established(est)) if open(est));
        link.sas.iter().find(is).copied()
    }
    fn attempts_of(&self, name: &str) -> Vec<IkeId> {
        let link = self.common.links.get(name);
        let ids = link.into_iter().flat_map(|link| link.sas.iter().copied());
        ids.filter(|id| self.sas.get(id).is_some_and(IkeSa::is_attempt)).collect()
    }

    /// A message with an SPI of a question. True if it is one.
    pub(in crate::ike) fn is_answer(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        header: &Header,
        from: &Arrival<'_>,
    ) -> bool {
        if header.initiator && header.version.0 == 2 {
            return false;
        }
        let Some(name) = self.common.exams.spis.get(&header.spi_i).cloned() else { return false };
        let Some(mut exam) = self.common.exams.running.remove(&name) else { return true };
        if let Some((inquiry, chosen)) = exam.past.iter().find(|(past, _)| past.spi() == header.spi_i) {
            exam.contested |= inquiry.contradicts(*chosen, header, from);
        } else {
            match std::mem::replace(&mut exam.stage, Stage::Moving) {
                Stage::Asking(asking) => {
                    let next = self.answer(now, host, &mut exam, asking, (header, from));
                    self.take_step(now, host, exam, next);
                    return true;
                }
                stage => exam.stage = stage,
            }
        }
        self.common.exams.running.insert(name, exam);
        true
    }
    /// Everything that is due of all examinations.
    pub(in crate::ike) fn follow_exams(&mut self, now: Duration, host: &mut dyn Host) {
        if !self.common.exams.is_idle() {
            let names: Vec<_> = self.common.exams.running.keys().cloned().collect();
            for name in names {
                let Some(mut exam) = self.common.exams.running.remove(&name) else { continue };
                let stage = std::mem::replace(&mut exam.stage, Stage::Moving);
                let next = self.advance(now, host, &mut exam, stage);
                self.take_step(now, host, exam, next);
            }
        }
        self.timers.set(Owner::Exams, self.common.exams.deadline());
    }
    fn take_step(&mut self, now: Duration, host: &mut dyn Host, mut exam: Exam, next: Next) {
        match next {
            Next::Wait(stage) => {
                exam.stage = stage;
                self.common.exams.running.insert(exam.connection.name.clone(), exam);
            }
            Next::Go(stage) => {
                let next = self.advance(now, host, &mut exam, stage);
                self.take_step(now, host, exam, next);
            }
            Next::Done(failure) if exam.past.is_empty() => self.conclude(now, host, exam, failure),
            Next::Done(failure) => {
                exam.stage = Stage::Settling { at: now + SETTLE, failure: failure.map(Box::new) };
                self.common.exams.running.insert(exam.connection.name.clone(), exam);
            }
        }
    }
    fn advance(&mut self, now: Duration, host: &mut dyn Host, exam: &mut Exam, stage: Stage) -> Next {
        let name = exam.connection.name.clone();
        let link = self.common.links.get(&name).filter(|link| link.connection == exam.connection);
        let down = link.is_none_or(|link| is_down(link, &exam.child));
        if link.is_none() || self.shutdown.is_some() || down && !exam.down {
            // What was asked for is not what is configured or wanted any more.
            exam.past.clear();
            return exam.gives_up(None);
        }
        exam.down = down;
        if exam.until <= now && !matches!(stage, Stage::Settling { .. }) {
            let known = exam.so_far(now);
            return exam.gives_up(known);
        }
        match stage {
            Stage::Asking(asking) => self.ask(now, host, exam, asking),
            Stage::Attempting { ike, until, unnamed } => self.attempted(now, host, exam, (ike, until, unnamed)),
            Stage::Inside(talk) => self.talk(now, host, exam, talk),
            Stage::Settling { at, .. } if at > now => Next::Wait(stage),
            Stage::Settling { failure, .. } => {
                exam.past.clear();
                Next::Done(failure.map(|failure| *failure))
            }
            Stage::Moving => exam.gives_up(None),
        }
    }

    /// The next offer of the search.
    fn ask_suites(&mut self, now: Duration, host: &mut dyn Host, exam: &mut Exam) -> Option<Asking> {
        let offer = exam.hunt.offer();
        let asked = exam.hunt.asked().name();
        self.inquire(now, host, exam, What::Suites, asked, &offer)
    }
    fn inquire(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        exam: &mut Exam,
        what: What,
        asked: &'static str,
        offer: &[crate::wire::payload::Proposal],
    ) -> Option<Asking> {
        let natt = self.common.directory.policy.ports.natt;
        let mut cx = Cx { now, host, common: &mut self.common };
        let mut ends = exam.ends;
        if what == What::Natt {
            ends.0.set_port(natt);
            ends.1.set_port(natt);
        }
        let inquiry = Inquiry::new(&mut cx, exam.connection.clone(), exam.child.clone(), ends, offer)?;
        self.common.exams.spis.insert(inquiry.spi(), exam.connection.name.clone());
        exam.questions.push(Question {
            at: now,
            exchange: "IKE_SA_INIT",
            asked,
            offer: words(offer),
            answer: String::new(),
        });
        Some(Asking { what, with: With::Inquiry(Box::new(inquiry)), sent: 0, flying: false, at: now })
    }
    fn ask_version(&mut self, now: Duration, host: &mut dyn Host, exam: &mut Exam) -> Asking {
        let cookie = Cx { now, host, common: &mut self.common }.new_spi();
        self.common.exams.spis.insert(cookie, exam.connection.name.clone());
        let (exchange, asked) = ("IKEv1", "main_mode");
        exam.questions.push(Question { at: now, exchange, asked, offer: Vec::new(), answer: String::new() });
        Asking { what: What::Version, with: With::Ikev1(cookie), sent: 0, flying: false, at: now }
    }
    /// Sends what is due, at the pace that the budget allows.
    fn ask(&mut self, now: Duration, host: &mut dyn Host, exam: &mut Exam, mut asking: Asking) -> Next {
        if asking.at > now {
            return Next::Wait(Stage::Asking(asking));
        }
        let tries = match asking.what {
            What::Version => 1,
            _ if exam.answered => TRIES_AGAIN,
            _ => TRIES,
        };
        if asking.flying && asking.sent >= tries {
            return self.unanswered(now, host, exam, asking.what);
        }
        let (name, remote) = (exam.connection.name.clone(), exam.ends.1.ip());
        let free = self.common.exams.budget.next_at(now, &name, remote);
        if free > now {
            if free - now > WORTH {
                let known = exam.so_far(now);
                return exam.gives_up(known);
            }
            asking.at = free;
            return Next::Wait(Stage::Asking(asking));
        }
        if asking.sent == 0
            && let Some(question) = exam.questions.last_mut()
        {
            question.at = now;
            tell(&mut self.common.out, Event::Examining { connection: name.clone(), question: question.clone() });
        }
        self.common.exams.budget.spend(now, &name, remote);
        let mut cx = Cx { now, host, common: &mut self.common };
        match &mut asking.with {
            With::Inquiry(inquiry) => inquiry.send(&mut cx),
            With::Ikev1(cookie) => {
                cx.transmit(exam.ends.0, exam.ends.1, ikev1::first_message(*cookie, exam.connection.local_auth));
            }
        }
        (asking.sent, asking.flying, asking.at) = (asking.sent + 1, true, now + budget::EACH);
        Next::Wait(Stage::Asking(asking))
    }
    /// Nobody answers.
    fn unanswered(&mut self, now: Duration, host: &mut dyn Host, exam: &mut Exam, what: What) -> Next {
        match what {
            // That proves nothing about the version: what was known before stays.
            What::Version => Next::Done(exam.suites(now, &Found::Nothing)),
            What::Unnamed => Next::Done(exam.heard.take()),
            What::Suites if exam.old => Next::Go(Stage::Asking(self.ask_version(now, host, exam))),
            What::Suites if !exam.answered => {
                let offer = exam.connection.proposals.clone();
                let asking = self.inquire(now, host, exam, What::Natt, "natt", &offer);
                Next::go(asking, Some(exam.silent(now, what)))
            }
            What::Suites | What::Natt => Next::Done(Some(exam.silent(now, what))),
        }
    }
    /// An answer to the question that is being asked.
    fn answer(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        exam: &mut Exam,
        mut asking: Asking,
        (header, from): (&Header, &Arrival<'_>),
    ) -> Next {
        if header.version.0 == 1 {
            return self.answered_before(now, exam, asking, (header, from));
        }
        let With::Inquiry(inquiry) = &mut asking.with else { return Next::Wait(Stage::Asking(asking)) };
        if !asking.flying {
            return Next::Wait(Stage::Asking(asking));
        }
        let mut cx = Cx { now, host, common: &mut self.common };
        let said = inquiry.read(&mut cx, header, from);
        exam.current |= !matches!(said, Said::Nothing | Said::Refused(NotifyType::INVALID_MAJOR_VERSION));
        match &said {
            Said::Nothing => return Next::Wait(Stage::Asking(asking)),
            Said::Again(why) => {
                exam.note(why);
                (asking.sent, asking.flying, asking.at) = (0, false, now);
                // It stays the same question.
                return Next::Go(Stage::Asking(asking));
            }
            Said::Chose(chosen) => exam.note(keyword::proposal(chosen)),
            Said::Unsound(theirs) => exam.note(words(theirs).join(", ")),
            Said::Group(id) => exam.note(format!("{} {id}", NotifyType::INVALID_KE_PAYLOAD)),
            Said::Refused(kind) => exam.note(kind),
        }
        let With::Inquiry(inquiry) = asking.with else { return Next::Done(None) };
        let chose = matches!(said, Said::Chose(_));
        let own = exam.hunt.asked() == Offer::Own;
        match (asking.what, chose) {
            (What::Suites, true) if own => return self.begin_attempt(now, host, exam, *inquiry, false, (header, from)),
            (What::Unnamed, true) => return self.begin_attempt(now, host, exam, *inquiry, true, (header, from)),
            _ => {}
        }
        exam.past.push((*inquiry, chose));
        match (asking.what, said) {
            (What::Natt, _) => {
                let length = exam.heard.as_ref().map_or(0, |_| exam.auth_length());
                Next::Done(Some(exam.natt_answers(now, length)))
            }
            (What::Unnamed, _) => Next::Done(exam.heard.take()),
            (_, Said::Chose(chosen)) => self.searched(now, host, exam, Some(&chosen)),
            (_, Said::Refused(NotifyType::NO_PROPOSAL_CHOSEN)) => self.searched(now, host, exam, None),
            (_, Said::Refused(NotifyType::INVALID_MAJOR_VERSION)) => {
                Next::Go(Stage::Asking(self.ask_version(now, host, exam)))
            }
            (_, Said::Refused(kind)) => Next::Done(Some(exam.refused(now, kind))),
            (_, Said::Group(id)) => Next::Done(Some(exam.group(now, id))),
            (_, Said::Unsound(theirs)) => Next::Done(Some(exam.unsound(now, &exam.hunt.offer(), &theirs))),
            (_, Said::Nothing | Said::Again(_)) => Next::Done(None),
        }
    }
    /// The search goes on, or is over.
    fn searched(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        exam: &mut Exam,
        chosen: Option<&crate::wire::payload::Proposal>,
    ) -> Next {
        match exam.hunt.answered(chosen) {
            None => {
                let asking = self.ask_suites(now, host, exam);
                Next::go(asking, exam.so_far(now))
            }
            Some(Found::Nothing) => Next::Go(Stage::Asking(self.ask_version(now, host, exam))),
            Some(found) => Next::Done(exam.suites(now, &found)),
        }
    }
    /// An answer in the version before: to our message of that version, or to any other.
    fn answered_before(
        &mut self,
        now: Duration,
        exam: &mut Exam,
        asking: Asking,
        (header, from): (&Header, &Arrival<'_>),
    ) -> Next {
        let Some(spoken) = ikev1::spoken(header).filter(|_| from.remote == exam.ends.1 && asking.flying) else {
            return Next::Wait(Stage::Asking(asking));
        };
        let chose = spoken == ikev1::Spoken::Chose && asking.what == What::Version;
        exam.old = true;
        exam.note(if chose { "a choice, in IKEv1" } else { "a refusal, in IKEv1" });
        if asking.what != What::Version {
            // Told in the clear, by whoever: our own question goes on.
            return Next::Wait(Stage::Asking(asking));
        }
        Next::Done(Some(exam.version(now, chose)))
    }

    /// The peer has taken our own suites: what comes now is an ordinary attempt, but for what it does not say.
    fn begin_attempt(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        exam: &mut Exam,
        inquiry: Inquiry,
        unnamed: bool,
        (header, from): (&Header, &Arrival<'_>),
    ) -> Next {
        let name = exam.connection.name.clone();
        self.common.exams.spis.remove(&inquiry.spi());
        let mut cx = Cx { now, host, common: &mut self.common };
        let Some(sa) = inquiry.go_on(&mut cx, header, from, AUTH_TIME) else {
            let known = exam.so_far(now);
            return exam.gives_up(known);
        };
        let (ike, until) = (sa.core.id, now + AUTH_TIME);
        exam.made = Some(ike);
        if unnamed {
            self.common.exams.unnamed.insert(ike, None);
        }
        if let Some(link) = self.common.links.get_mut(&name) {
            link.sas.insert(ike);
            link.tries.insert(ike, (exam.ends.0.ip(), exam.ends.1.ip()));
        }
        let asked = if unnamed { "unnamed" } else { "own" };
        let question =
            Question { at: now, exchange: "IKE_AUTH", asked, offer: exam.named(unnamed), answer: String::new() };
        tell(&mut self.common.out, Event::Examining { connection: name, question: question.clone() });
        exam.questions.push(question);
        self.register(sa);
        Next::Wait(Stage::Attempting { ike, until, unnamed })
    }
    /// What has become of it.
    fn attempted(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        exam: &mut Exam,
        (ike, until, unnamed): (IkeId, Duration, bool),
    ) -> Next {
        let name = exam.connection.name.clone();
        let heard = self.common.exams.heard.remove(&name);
        let Some(sa) = self.sas.get(&ike) else {
            let there = self.common.exams.unnamed.remove(&ike).flatten();
            return self.attempt_ended(now, host, exam, unnamed, heard, there);
        };
        if let Phase::Established(est) = &sa.phase {
            if est.has(&exam.child) {
                exam.note("it is up");
                return Next::Done(None);
            }
            let notify = heard.as_ref().and_then(|failure| failure.notify.clone());
            exam.note(notify.clone().unwrap_or_else(|| "it is up, without a child".into()));
            exam.heard = heard;
            let talk = inside::Talk::new(now, ike, &exam.connection, &exam.child, notify.as_deref());
            return Next::Go(Stage::Inside(talk));
        }
        if until > now {
            if let Some(heard) = heard {
                self.common.exams.heard.insert(name, heard);
            }
            return Next::Wait(Stage::Attempting { ike, until, unnamed });
        }
        let moved = sa.core.remote.port() != exam.ends.1.port();
        let length = sa.core.window.outstanding().map_or(0, |sealed| sealed.datagrams().iter().map(Vec::len).sum());
        self.step(now, host, ike, |_, _| Err(Ended::ByUs));
        self.common.exams.unnamed.remove(&ike);
        if unnamed {
            return Next::Done(exam.heard.take());
        }
        let silence = exam.auth_silent(now, length);
        if !moved {
            return Next::Done(Some(silence));
        }
        exam.heard = Some(silence.clone().ours("packets", length));
        let offer = exam.connection.proposals.clone();
        let asking = self.inquire(now, host, exam, What::Natt, "natt", &offer);
        Next::go(asking, Some(silence))
    }
    fn attempt_ended(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        exam: &mut Exam,
        unnamed: bool,
        heard: Option<Failure>,
        there: Option<crate::wire::payload::Id>,
    ) -> Next {
        if let Some(id) = there {
            exam.note(&id);
            let IdMatch::Exact(wanted) = &exam.connection.remote_id else { return Next::Done(exam.heard.take()) };
            return Next::Done(Some(exam.identity(now, wanted.to_string(), &id)));
        }
        if let Some(answer) = heard.as_ref().and_then(|failure| failure.notify.clone()) {
            exam.note(answer);
        }
        if unnamed {
            return Next::Done(exam.heard.take());
        }
        let refused = heard.as_ref().is_some_and(|failure| failure.code == "auth.failed");
        if refused && exam.connection.remote_id != IdMatch::Any {
            exam.heard.clone_from(&heard);
            let offer = exam.connection.proposals.clone();
            let asking = self.inquire(now, host, exam, What::Unnamed, "own", &offer);
            return Next::go(asking, heard);
        }
        Next::Done(heard)
    }

    /// Says what is known, and lets the connection go on.
    fn conclude(&mut self, now: Duration, host: &mut dyn Host, exam: Exam, failure: Option<Failure>) {
        let name = exam.connection.name.clone();
        let exams = &mut self.common.exams;
        exams.names.remove(&name);
        exams.heard.remove(&name);
        exams.spis.retain(|_, whose| *whose != name);
        exams.inside.forget(&name);
        let failure = failure.map(|failure| {
            let certainty = if exam.contested { Certainty::Likely } else { failure.certainty };
            let candidates = match certainty == Certainty::Likely && failure.candidates.is_empty() {
                true => vec![failure.code],
                false => failure.candidates,
            };
            let (connection, remote) = (Some(name.clone()), failure.remote.or(Some(exam.ends.1)));
            Failure { time: now, connection, remote, certainty, candidates, ..failure }
        });
        let mut cx = Cx { now, host, common: &mut self.common };
        if let Some(failure) = &failure {
            cx.fail(failure.clone(), Some(&exam.connection));
        }
        cx.touch(&exam.connection);
        cx.emit(match exam.broken && failure.is_none() {
            true => Event::NotExamined { connection: name.clone(), why: NotNow::BrokenOff },
            false => {
                let questions = exam.questions;
                Event::Examined(Box::new(Examined { connection: name.clone(), failure, questions }))
            }
        });
        for ike in self.attempts_of(&name) {
            self.step(now, host, ike, |_, _| Err(Ended::ByUs));
            self.common.exams.unnamed.remove(&ike);
        }
        // What has come up for the questions alone does not stay; whose it was before, and what somebody wants by now, does.
        let wanted = |link: &Link| link.wishes.iter().any(|wish| wish.wanted && !wish.down);
        if let Some(ike) = exam.made.filter(|_| !self.common.links.get(&name).is_some_and(wanted)) {
            self.close(now, host, ike, CLOSING_TIME);
        }
    }
}
/// Somebody has taken it down, or holds it down.
fn is_down(link: &Link, child: &str) -> bool {
    let of_it = link.connection.children.iter().zip(&link.wishes).find(|(policy, _)| *policy.name == *child);
    of_it.is_some_and(|(_, wish)| wish.down)
}
impl Exam {
    /// It ends early, with what is known.
    pub(super) fn gives_up(&mut self, known: Option<Failure>) -> Next {
        self.broken = true;
        Next::Done(known)
    }
    /// It cannot be gone on with: what is known until now.
    fn so_far(&mut self, now: Duration) -> Option<Failure> {
        let found = self.hunt.conclusion();
        found.and_then(|found| self.suites(now, &found)).or_else(|| self.heard.take())
    }
    /// Octets of the IKE_AUTH that nobody has answered.
    fn auth_length(&self) -> usize {
        let said = self.heard.as_ref().and_then(|heard| heard.local.get("packets").first());
        said.and_then(|octets| octets.parse().ok()).unwrap_or_default()
    }
    /// Whom an IKE_AUTH names.
    fn named(&self, unnamed: bool) -> Vec<String> {
        let us = self.connection.local_id.as_ref().map(ToString::to_string);
        let them = match &self.connection.remote_id {
            IdMatch::Exact(id) if !unnamed => Some(id.to_string()),
            _ => None,
        };
        us.into_iter().chain(them).collect()
    }
}
