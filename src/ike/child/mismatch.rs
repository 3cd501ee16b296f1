//! Why there is no child: both sides' values, and what of them differs.
use super::Offer;
use crate::crypto::cert::Compared;
use crate::ike::diagnose::{Failure, Phase};
use crate::ike::error::Refusal;
use crate::ike::exchange::proposal_code;
use crate::ike::negotiate::{self, KeRule, differing};
use crate::ike::policy::ChildPolicy;
use crate::wire::keyword;
use crate::wire::payload::{Notify, Proposal, Transform};
use crate::wire::registry::{KeId, TransformType};
use crate::wire::selector::{Selector, narrow};
use std::sync::Arc;
use std::time::Duration;

/// No child, and why: for the peer and for the operator.
#[derive(Debug)]
pub(in crate::ike) struct Mismatch {
    pub refusal: Refusal,
    pub code: &'static str,
    pub child: Option<Arc<str>>,
    pub differing: Vec<&'static str>,
    /// What was compared.
    pub values: Vec<Compared>,
}
impl Mismatch {
    pub(super) fn new(refusal: Refusal, code: &'static str, child: Option<&ChildPolicy>) -> Self {
        let child = child.map(|c| c.name.clone());
        Self { refusal, code, child, differing: Vec::new(), values: Vec::new() }
    }
    /// Of the suites of an IKE SA that the peer wants to rekey.
    pub(in crate::ike) fn ike(theirs: &[Proposal], ours: &[Proposal]) -> Self {
        let differing = differing(theirs, ours, KeRule::Prefer(None));
        let values = vec![("proposals", words(ours), words(theirs))];
        Self { differing, values, ..Self::new(Refusal::NoProposal, "proposal.ike", None) }
    }
    /// What the operator need not be told.
    pub(in crate::ike) fn quiet(refusal: Refusal) -> Self {
        Self::new(refusal, "", None)
    }
    /// The peer's values break the protocol, which ends the IKE SA.
    pub(in crate::ike) fn malformed() -> Self {
        Self::new(Refusal::Syntax, "message.malformed", None)
    }
    /// No SPI is left for it.
    pub(in crate::ike) fn limit(child: &ChildPolicy) -> Self {
        Self::new(Refusal::NoAdditionalSas, "limit.spis", Some(child))
    }
    /// There is no virtual address for the peer.
    pub(in crate::ike) fn address(refusal: Refusal) -> Self {
        let code = if refusal == Refusal::NoAddress { "address.none_left" } else { "address.not_asked" };
        Self::new(refusal, code, None)
    }
    /// As a failure of this exchange.
    pub(in crate::ike) fn failure(self, now: Duration, phase: Phase, initiator: bool) -> Failure {
        Failure {
            child: self.child,
            differing: self.differing,
            ..Failure::new(now, phase, initiator, self.code).compared(self.values)
        }
    }
    /// No child has networks in common with what is asked for: told of the one that comes nearest. `transport`: asked for was that.
    pub(super) fn selectors(
        children: &[Arc<ChildPolicy>],
        transport: bool,
        (local, remote): (&[Selector], &[Selector]),
    ) -> Self {
        let meets =
            |c: &ChildPolicy| (!narrow(local, &c.local_ts).is_empty(), !narrow(remote, &c.remote_ts).is_empty());
        let sides = |c: &&Arc<ChildPolicy>| u8::from(meets(c).0) + u8::from(meets(c).1);
        let Some(nearest) = children.iter().rev().max_by_key(sides) else {
            return Self::new(Refusal::Selectors, "ts.mismatch", None);
        };
        let met = meets(nearest);
        if met == (true, true) && nearest.transport && !transport {
            let mismatch = Self::new(Refusal::Selectors, "child.mode", Some(nearest));
            return Self { values: mode(true), ..mismatch };
        }
        let differs = [("local_ts", met.0), ("remote_ts", met.1)];
        let differing = differs.into_iter().filter(|(_, met)| !met).map(|(what, _)| what).collect();
        let values = networks((&nearest.local_ts, &nearest.remote_ts), (local, remote));
        Self { differing, values, ..Self::new(Refusal::Selectors, "ts.mismatch", Some(nearest)) }
    }
    /// The child has no suite in common with what is offered.
    pub(super) fn suites(policy: &ChildPolicy, offer: &[Proposal], ke: KeRule) -> Self {
        let differing = differing(offer, &policy.proposals, ke);
        let suites = ("esp_proposals", words(&policy.proposals), words(offer));
        // What IKE_AUTH carries has no group: of all that was agreed then only that can be another one now (peers.md).
        let (code, values) = match differing.as_slice() {
            ["ke"] => ("pfs.mismatch", vec![("groups", group_words(&policy.proposals), group_words(offer)), suites]),
            [one] => (proposal_code(one), vec![suites]),
            _ => ("proposal.esp", vec![suites]),
        };
        Self { differing, values, ..Self::new(Refusal::NoProposal, code, Some(policy)) }
    }
}
impl Offer {
    /// What a peer's error notification tells about our offer.
    pub(in crate::ike) fn refused(&self, now: Duration, phase: Phase, notify: &Notify) -> Failure {
        use crate::wire::registry::NotifyType as N;
        let ours = (self.local_ts.as_slice(), self.remote_ts.as_slice());
        let listed = negotiate::groups(&self.proposals);
        // Sealed by the peer: it insists on a group that we do not offer.
        let named = notify.data.first_chunk().map(|octets| KeId(u16::from_be_bytes(*octets)));
        let other = named.filter(|id| notify.kind == N::INVALID_KE_PAYLOAD && listed.iter().all(|g| g.id() != *id));
        let groups = || vec![("groups", group_words(&self.proposals), other.map(group_word).into_iter().collect())];
        let suites = || vec![("esp_proposals", words(&self.proposals), Vec::new())];
        let (code, candidates, values): (_, &[&'static str], _) = match notify.kind {
            N::INVALID_KE_PAYLOAD if other.is_some() => ("pfs.mismatch", &[], groups()),
            N::NO_PROPOSAL_CHOSEN | N::INVALID_KE_PAYLOAD if self.first_ke => {
                ("pfs.mismatch", &["pfs.mismatch"], [suites(), groups()].concat())
            }
            N::NO_PROPOSAL_CHOSEN | N::INVALID_KE_PAYLOAD => {
                ("proposal.esp", &["proposal.encr", "proposal.integ", "proposal.ke", "proposal.esn"], suites())
            }
            N::TS_UNACCEPTABLE => ("ts.mismatch", &["ts.mismatch"], networks(ours, (&[], &[]))),
            N::SINGLE_PAIR_REQUIRED => ("ts.single_pair", &[], networks(ours, (&[], &[]))),
            N::INTERNAL_ADDRESS_FAILURE | N::FAILED_CP_REQUIRED => ("address.refused", &[], Vec::new()),
            N::NO_ADDITIONAL_SAS => ("child.refused", &["limit.peer"], Vec::new()),
            _ => ("child.refused", &[], Vec::new()),
        };
        let failure = Failure::new(now, phase, true, code).likely(notify.kind, candidates).compared(values);
        let sure = other.is_some() || notify.kind == N::SINGLE_PAIR_REQUIRED;
        let failure = if sure { failure.proven() } else { failure };
        let differing = if failure.code == "pfs.mismatch" { vec!["ke"] } else { Vec::new() };
        Failure { child: Some(self.policy.name.clone()), differing, ..failure }
    }
}

/// Both sides' networks as they are written.
pub(super) fn networks(ours: (&[Selector], &[Selector]), theirs: (&[Selector], &[Selector])) -> Vec<Compared> {
    let list = |s: &[Selector]| s.iter().map(Selector::to_string).collect();
    vec![("local_ts", list(ours.0), list(theirs.0)), ("remote_ts", list(ours.1), list(theirs.1))]
}
pub(super) fn words(list: &[Proposal]) -> Vec<String> {
    list.iter().map(keyword::proposal).collect()
}
/// The mode of a child, where the peer's is the other one.
pub(super) fn mode(transport: bool) -> Vec<Compared> {
    let word = |transport| vec![if transport { "transport" } else { "tunnel" }.to_owned()];
    vec![("mode", word(transport), word(!transport))]
}
/// The groups of these proposals; `none` where one does without.
fn group_words(proposals: &[Proposal]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for proposal in proposals {
        let mut ids: Vec<KeId> = keyword::of(proposal, TransformType::KE).map(|t| KeId(t.id)).collect();
        if ids.is_empty() {
            ids.push(KeId::NONE);
        }
        for word in ids.into_iter().map(group_word) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words
}
fn group_word(id: KeId) -> String {
    if id == KeId::NONE {
        return "none".into();
    }
    keyword::transform(&Transform { kind: TransformType::KE, id: id.0, key_bits: None, foreign: false })
}
