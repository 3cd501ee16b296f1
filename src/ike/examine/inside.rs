//! Questions about a child, asked by CREATE_CHILD_SA inside an IKE SA that is up: with other algorithms and groups, or with wider selectors, which the peer
//! narrows to what it has. Answers are authenticated. What the peer makes for a question is deleted at once, and nothing of it is installed here.
//!
//! Where another child is up, a question must not be in its way: it is about packets of a protocol that nobody speaks (253, RFC 3692) and no others.
use super::suites::{Found, Hunt, widest};
use super::verdict::words;
use super::{Exam, Next, Question, Stage, tell};
use crate::crypto::ke::Group;
use crate::ike::common::Cx;
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::endpoint::Endpoint;
use crate::ike::event::{Event, Host, IkeId};
use crate::ike::exchange::{Contents, proposal_code};
use crate::ike::negotiate::{KeRule, check_answer, groups, numbered};
use crate::ike::policy::{ChildPolicy, Connection};
use crate::ike::sa::{Asked, Core, Established, IkeSa, Phase, Task};
use crate::wire::keyword;
use crate::wire::payload::{Ke, Payload, Proposal, TrafficSelectors};
use crate::wire::registry::{ExchangeType, KeId, NotifyType, ProtocolId};
use crate::wire::selector::{ANY_PORTS, Selector, is_subset};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Between two questions.
const PACE: Duration = Duration::from_secs(1);
/// An answer has so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Questions of one examination, those with another group included.
const MOST: usize = 12;
/// A question is asked with so many groups.
const GROUPS: u32 = 3;
/// For experiments (RFC 3692).
const NOBODYS: u8 = 253;

/// Questions of all examinations, between an examination and the IKE SA that it talks in.
#[derive(Default)]
pub(in crate::ike) struct Inside {
    /// To be asked next.
    next: HashMap<Arc<str>, Asking>,
    /// On their way, by our SPI.
    flying: HashMap<u32, (Arc<str>, Asking)>,
    told: HashMap<Arc<str>, Told>,
}
impl Inside {
    /// Whatever comes is not waited for any more.
    pub(super) fn forget(&mut self, connection: &str) {
        self.next.remove(connection);
        self.told.remove(connection);
        self.flying.retain(|_, (name, _)| **name != *connection);
    }
}
#[derive(Clone, Debug)]
struct Asking {
    child: Arc<str>,
    proposals: Vec<Proposal>,
    local_ts: Vec<Selector>,
    remote_ts: Vec<Selector>,
    group: Option<Group>,
}
enum Told {
    Chose { proposal: Proposal, local_ts: Vec<Selector>, remote_ts: Vec<Selector> },
    Refused(NotifyType, Option<KeId>),
    Unsound,
}

/// Asks what is to be asked next.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) -> Option<Asked> {
    let connection = est.connection.clone();
    let asking = cx.common.exams.inside.next.remove(&connection.name)?;
    let spi = cx.host.allocate_spi(&connection.name, &asking.child, est.peer, None)?;
    let proposals = numbered(&asking.proposals, &spi.to_be_bytes());
    let public = asking.group.map(|group| Ke { group: group.id(), data: group.public(&cx.private(group)) });
    let mut payloads = vec![Payload::Sa(proposals.clone()), Payload::Nonce(cx.nonce())];
    payloads.extend(public.map(Payload::Ke));
    payloads.push(Payload::TsI(TrafficSelectors { ranges: asking.local_ts.clone(), unknown: 0 }));
    payloads.push(Payload::TsR(TrafficSelectors { ranges: asking.remote_ts.clone(), unknown: 0 }));
    est.request(cx, core, ExchangeType::CREATE_CHILD_SA, &payloads);
    let asking = Asking { proposals, ..asking };
    cx.common.exams.inside.flying.insert(spi, (connection.name.clone(), asking));
    Some(Asked::Examine(spi))
}
/// The answer. A child that the peer has made is disowned whether or not anybody still wants to know.
pub(in crate::ike) fn response(cx: &mut Cx<'_>, est: &mut Established, spi: u32, contents: &Contents) {
    let waits = cx.common.exams.inside.flying.remove(&spi);
    let told = match (&contents.sa, contents.error()) {
        (None, error) => {
            cx.host.release_spi(spi);
            let kind = error.map_or(NotifyType::INVALID_SYNTAX, |notify| notify.kind);
            let group = error.and_then(|notify| notify.data.first_chunk()).map(|&b| KeId(u16::from_be_bytes(b)));
            Told::Refused(kind, group.filter(|_| kind == NotifyType::INVALID_KE_PAYLOAD))
        }
        (Some(sa), _) => {
            est.plan(Task::DeleteSpi { spi, release: true });
            waits.as_ref().and_then(|(_, asking)| chosen(asking, sa, contents)).unwrap_or(Told::Unsound)
        }
    };
    if let Some((name, _)) = waits {
        cx.common.exams.inside.told.insert(name, told);
    }
}
fn chosen(asking: &Asking, sa: &[Proposal], contents: &Contents) -> Option<Told> {
    let proposal = check_answer(sa, &asking.proposals, KeRule::Prefer(None)).ok()?.clone();
    let (local_ts, remote_ts) = (&contents.ts_i.as_ref()?.ranges, &contents.ts_r.as_ref()?.ranges);
    let sound = is_subset(local_ts, &asking.local_ts) && is_subset(remote_ts, &asking.remote_ts);
    sound.then(|| Told::Chose { proposal, local_ts: local_ts.clone(), remote_ts: remote_ts.clone() })
}

/// An examination inside an IKE SA.
pub(super) struct Talk {
    ike: IkeId,
    child: Arc<str>,
    hunt: Hunt,
    /// It is about selectors, not about algorithms.
    selectors: bool,
    group: Option<Group>,
    groups: u32,
    at: Duration,
    flying: bool,
}
impl Talk {
    /// `notify`: what the peer has said to our own offer a moment ago.
    pub(super) fn new(
        now: Duration,
        ike: IkeId,
        connection: &Connection,
        child: &Arc<str>,
        notify: Option<&str>,
    ) -> Self {
        let policy = connection.children.iter().find(|policy| policy.name == *child);
        let ours = policy.map_or(&[][..], |policy| &policy.proposals);
        let said = |kind: NotifyType| notify == Some(kind.to_string().as_str());
        Self {
            ike,
            child: child.clone(),
            hunt: Hunt::new(ProtocolId::ESP, ours, said(NotifyType::NO_PROPOSAL_CHOSEN)),
            selectors: said(NotifyType::TS_UNACCEPTABLE),
            group: None,
            groups: 0,
            at: now,
            flying: false,
        }
    }
    pub(super) fn deadline(&self) -> Duration {
        self.at
    }
    /// What it offers, of a child that has these.
    fn offer(&self, ours: &[Proposal]) -> Vec<Proposal> {
        if self.selectors { widest(ProtocolId::ESP, ours) } else { self.hunt.offer() }
    }
    /// Another question.
    fn again(mut self, now: Duration) -> Next {
        (self.group, self.groups, self.flying, self.at) = (None, 0, false, now + PACE);
        Next::Go(Stage::Inside(self))
    }
}

impl Endpoint {
    /// The next step inside an IKE SA.
    pub(super) fn talk(&mut self, now: Duration, host: &mut dyn Host, exam: &mut Exam, mut talk: Talk) -> Next {
        let Some(IkeSa { phase: Phase::Established(est), .. }) = self.sas.get(&talk.ike) else {
            let known = exam.heard.take();
            return exam.gives_up(known);
        };
        if let Some(told) = self.common.exams.inside.told.remove(&exam.connection.name) {
            return heard(now, exam, talk, est, told);
        }
        if talk.at > now {
            return Next::Wait(Stage::Inside(talk));
        }
        if talk.flying || exam.questions.len() >= MOST {
            let found = || talk.hunt.conclusion();
            let known = exam.heard.take().or_else(|| found().and_then(|f| esp(now, exam, &talk, &f, false)));
            return exam.gives_up(known);
        }
        let policy = exam.connection.children.iter().find(|policy| policy.name == talk.child);
        let Some((policy, beside)) = policy.map(|policy| (est.virtuals.of(policy), has_any(est))) else {
            return Next::Done(None);
        };
        let selectors = selectors(&policy, talk.selectors, beside);
        let Some((local_ts, remote_ts)) =
            selectors.filter(|_| !policy.transport && (!beside || exam.connection.rehearse))
        else {
            return Next::Done(exam.heard.take());
        };
        let proposals = talk.offer(&policy.proposals);
        let offer = match talk.selectors {
            true => [&local_ts[..], &remote_ts].concat().iter().map(ToString::to_string).collect(),
            false => words(&proposals),
        };
        let asked = if talk.selectors { "selectors" } else { talk.hunt.asked().name() };
        let group = talk.group.or_else(|| groups(&proposals).first().copied());
        let question = Question { at: now, exchange: "CREATE_CHILD_SA", asked, offer, answer: String::new() };
        let name = exam.connection.name.clone();
        tell(&mut self.common.out, Event::Examining { connection: name.clone(), question: question.clone() });
        exam.questions.push(question);
        let asking = Asking { child: talk.child.clone(), proposals, local_ts, remote_ts, group };
        self.common.exams.inside.next.insert(name, asking);
        (talk.group, talk.flying, talk.at) = (group, true, now + PATIENCE);
        self.step(now, host, talk.ike, |cx, sa| {
            if let Phase::Established(est) = &mut sa.phase {
                est.plan(Task::Examine);
                est.pump(cx, &mut sa.core);
            }
            Ok(())
        });
        Next::Wait(Stage::Inside(talk))
    }
}
/// A child of any kind is up.
fn has_any(est: &Established) -> bool {
    est.children.iter().any(|child| est.has(&child.policy.name))
}
/// What a question is about: our selectors, or all of the families that they are of.
fn selectors(policy: &ChildPolicy, wide: bool, beside: bool) -> Option<(Vec<Selector>, Vec<Selector>)> {
    let of = |ts: &[Selector]| -> Option<Vec<Selector>> {
        let mut out: Vec<Selector> = match wide {
            true => {
                let all = |addr: IpAddr| Selector::prefix(addr, 0);
                let v4 = ts.iter().any(|s| s.start.is_ipv4()).then(|| all(Ipv4Addr::UNSPECIFIED.into()));
                let v6 = ts.iter().any(|s| s.start.is_ipv6()).then(|| all(Ipv6Addr::UNSPECIFIED.into()));
                v4.into_iter().chain(v6).collect()
            }
            // Whole, as some peers need an address of their own in it.
            false if beside => {
                let all: Vec<_> = ts.iter().filter(|s| s.proto == 0).copied().collect();
                (!all.is_empty()).then_some(all)?
            }
            false => ts.to_vec(),
        };
        if beside {
            out.iter_mut().for_each(|s| (s.proto, s.ports) = (NOBODYS, ANY_PORTS));
        }
        Some(out)
    };
    Some((of(&policy.local_ts)?, of(&policy.remote_ts)?))
}
/// An answer of the peer.
fn heard(now: Duration, exam: &mut Exam, mut talk: Talk, est: &Established, told: Told) -> Next {
    let beside = has_any(est);
    match &told {
        Told::Chose { proposal, local_ts, remote_ts } if talk.selectors => {
            let list = |ts: &[Selector]| ts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            exam.note(format!("{}: {} <-> {}", keyword::proposal(proposal), list(local_ts), list(remote_ts)));
        }
        Told::Chose { proposal, .. } => exam.note(keyword::proposal(proposal)),
        Told::Refused(kind, None) => exam.note(kind),
        Told::Refused(kind, Some(group)) => exam.note(format!("{kind} {group}")),
        Told::Unsound => exam.note("a choice that was not offered"),
    }
    let found = match told {
        Told::Refused(_, Some(id)) if talk.groups < GROUPS => {
            // Another than those that were offered is no question of ours: that it wants that is the answer.
            let ours = exam.connection.children.iter().find(|policy| policy.name == talk.child);
            let offered = groups(&talk.offer(ours.map_or(&[], |policy| &policy.proposals)));
            let group = Group::from_id(id).filter(|group| talk.group != Some(*group) && offered.contains(group));
            if let Some(group) = group {
                let groups = talk.groups + 1;
                talk = Talk { group: Some(group), groups, flying: false, at: now + PACE, ..talk };
                return Next::Go(Stage::Inside(talk));
            }
            talk.hunt.answered(None)
        }
        Told::Chose { local_ts, remote_ts, .. } if talk.selectors => {
            return Next::Done(Some(ts(now, exam, &talk, est, (local_ts, remote_ts))));
        }
        Told::Refused(NotifyType::TS_UNACCEPTABLE | NotifyType::SINGLE_PAIR_REQUIRED, _)
            if !talk.selectors && !beside =>
        {
            talk.selectors = true;
            return talk.again(now);
        }
        Told::Chose { proposal, .. } => talk.hunt.answered(Some(&proposal)),
        Told::Refused(NotifyType::NO_PROPOSAL_CHOSEN | NotifyType::INVALID_KE_PAYLOAD, _) if !talk.selectors => {
            talk.hunt.answered(None)
        }
        Told::Refused(kind, _) => {
            let other = Failure::new(now, Where::CreateChild, true, "child.refused").likely(kind, &["child.refused"]);
            let other = Failure { child: Some(talk.child.clone()), ..other };
            return Next::Done(exam.heard.take().or(Some(other)));
        }
        Told::Unsound => {
            let other = Failure::new(now, Where::CreateChild, true, "answer.not_offered");
            return Next::Done(Some(Failure { child: Some(talk.child.clone()), ..other }));
        }
    };
    match found {
        None => talk.again(now),
        Some(found) => Next::Done(esp(now, exam, &talk, &found, beside)),
    }
}
/// The algorithms of the child.
fn esp(now: Duration, exam: &mut Exam, talk: &Talk, found: &Found, beside: bool) -> Option<Failure> {
    let policy = exam.connection.children.iter().find(|policy| policy.name == talk.child)?;
    let ours = words(&policy.proposals);
    let phase = if beside { Where::Rekey } else { Where::CreateChild };
    let code = |word: &&'static str| if *word == "ke" { "pfs.mismatch" } else { proposal_code(word) };
    let failure = match found {
        Found::Ours => return None,
        Found::Differs { theirs, types, proven } => {
            let failure = Failure::new(now, phase, true, types.first().map_or("proposal.esp", code));
            let failure = match proven {
                true => Failure { notify: Some(NotifyType::NO_PROPOSAL_CHOSEN.to_string()), ..failure },
                false => failure.likely(NotifyType::NO_PROPOSAL_CHOSEN, &types.iter().map(code).collect::<Vec<_>>()),
            };
            let failure = failure.between("esp_proposals", ours, vec![plain(theirs)]);
            Failure { differing: types.clone(), ..failure }
        }
        Found::Nothing => {
            let candidates = ["proposal.encr", "proposal.integ", "proposal.esn", "pfs.mismatch"];
            let failure = Failure::new(now, phase, true, "proposal.esp");
            failure.likely(NotifyType::NO_PROPOSAL_CHOSEN, &candidates).between("esp_proposals", ours, Vec::new())
        }
    };
    Some(Failure { child: Some(talk.child.clone()), ..failure })
}
/// As one writes it: no group is no word.
fn plain(proposal: &Proposal) -> String {
    let mut proposal = proposal.clone();
    proposal.transforms.retain(|t| !t.kind.is_key_exchange() || t.id != KeId::NONE.0);
    keyword::proposal(&proposal)
}
/// The selectors: what the peer has narrowed everything to.
fn ts(
    now: Duration,
    exam: &Exam,
    talk: &Talk,
    est: &Established,
    (local, remote): (Vec<Selector>, Vec<Selector>),
) -> Failure {
    let policy = exam.connection.children.iter().find(|policy| policy.name == talk.child).map(|p| est.virtuals.of(p));
    let (ours_l, ours_r) = policy.map(|p| (p.local_ts.clone(), p.remote_ts.clone())).unwrap_or_default();
    // As it is without what we have narrowed the question to.
    let plain = |mut ts: Vec<Selector>| {
        ts.iter_mut().filter(|s| s.proto == NOBODYS).for_each(|s| s.proto = 0);
        ts
    };
    let (local, remote) = (plain(local), plain(remote));
    let same = |a: &[Selector], b: &[Selector]| is_subset(a, b) && is_subset(b, a);
    let mut differing = Vec::new();
    differing.extend((!same(&ours_l, &local)).then_some("local_ts"));
    differing.extend((!same(&ours_r, &remote)).then_some("remote_ts"));
    let text = |ts: &[Selector]| ts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let failure = Failure::new(now, Where::CreateChild, true, "ts.mismatch");
    let failure = match differing.is_empty() {
        true => failure.likely(NotifyType::TS_UNACCEPTABLE, &["ts.mismatch"]),
        false => Failure { notify: Some(NotifyType::TS_UNACCEPTABLE.to_string()), ..failure },
    };
    let failure =
        failure.between("local_ts", text(&ours_l), text(&local)).between("remote_ts", text(&ours_r), text(&remote));
    Failure { child: Some(talk.child.clone()), differing, ..failure }
}
