//! What the answers amount to, as a failure.
use super::suites::Found;
use super::{Exam, What};
use crate::ike::diagnose::{Certainty, Failure, Phase as Where};
use crate::ike::exchange::proposal_code;
use crate::ike::policy::AuthKind;
use crate::wire::keyword;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::{KeId, NotifyType};
use std::time::Duration;

/// A refusal of everything that we can speak.
const NOTHING: &[&str] =
    &["peer.unknown", "version.ikev1_peer", "proposal.encr", "proposal.integ", "proposal.prf", "proposal.ke"];
/// The same, of a peer that has taken a message of IKEv1.
const SPEAKS_BOTH: &[&str] =
    &["version.ikev1_peer", "peer.unknown", "proposal.encr", "proposal.integ", "proposal.prf", "proposal.ke"];
/// Octets of a message that may be lost for its size alone.
const LONG: usize = 1200;

pub(super) fn words(proposals: &[Proposal]) -> Vec<String> {
    proposals.iter().map(keyword::proposal).collect()
}
impl Exam {
    /// The suites of the IKE SA.
    pub(super) fn suites(&self, now: Duration, found: &Found) -> Option<Failure> {
        let ours = words(&self.connection.proposals);
        match found {
            Found::Ours => None,
            Found::Differs { theirs, types, proven } => {
                let code = types.first().map_or("proposal.ike", |word| proposal_code(word));
                let failure = Failure::new(now, Where::SaInit, true, code);
                let codes: Vec<_> = types.iter().map(|word| proposal_code(word)).collect();
                let failure = match *proven && !self.contested {
                    true => Failure { notify: Some(NotifyType::NO_PROPOSAL_CHOSEN.to_string()), ..failure },
                    false => failure.likely(NotifyType::NO_PROPOSAL_CHOSEN, &codes),
                };
                let theirs = vec![keyword::proposal(theirs)];
                Some(Failure { differing: types.clone(), ..failure.between("proposals", ours, theirs) })
            }
            Found::Nothing => {
                let failure = Failure::new(now, Where::SaInit, true, "peer.unknown");
                Some(failure.likely(NotifyType::NO_PROPOSAL_CHOSEN, NOTHING).between("proposals", ours, Vec::new()))
            }
        }
    }
    /// The peer has answered in the version before.
    pub(super) fn version(&self, now: Duration, chose: bool) -> Failure {
        let failure = |code| Failure::new(now, Where::SaInit, true, code).ours("version", "2").theirs("version", "1");
        match chose && !self.contested {
            true if !self.current => failure("version.ikev1_peer"),
            // It has answered in IKEv2, too: it may speak both, and have something for us in neither or under another name.
            true => failure("version.ikev1_peer").likely(NotifyType::NO_PROPOSAL_CHOSEN, SPEAKS_BOTH),
            // It speaks that, too, and has nothing for us in either.
            false => failure("peer.unknown").likely(NotifyType::NO_PROPOSAL_CHOSEN, NOTHING),
        }
    }
    /// An error that no other suite would help against.
    pub(super) fn refused(&self, now: Duration, kind: NotifyType) -> Failure {
        let failure = Failure::new(now, Where::SaInit, true, "peer.refused");
        failure.likely(kind, &["peer.unknown"]).between("proposals", words(&self.connection.proposals), Vec::new())
    }
    /// A group that we have not offered.
    pub(super) fn group(&self, now: Duration, id: KeId) -> Failure {
        let ours = crate::ike::negotiate::groups(&self.connection.proposals);
        let failure = Failure::new(now, Where::SaInit, true, "proposal.ke");
        let failure = failure.likely(NotifyType::INVALID_KE_PAYLOAD, &["proposal.ke"]);
        let failure =
            failure.between("groups", ours.iter().map(|g| g.id().to_string()).collect(), vec![id.to_string()]);
        Failure { differing: vec!["ke"], ..failure }
    }
    /// A choice that is none.
    pub(super) fn unsound(&self, now: Duration, ours: &[Proposal], theirs: &[Proposal]) -> Failure {
        Failure::new(now, Where::SaInit, true, "answer.not_offered").between("proposals", words(ours), words(theirs))
    }
    /// Without being asked for a name, somebody else has proven to be there than we want; or the one that we want.
    pub(super) fn identity(&self, now: Duration, wanted: String, id: &Id) -> Failure {
        let failure = Failure::new(now, Where::IkeAuth, true, "auth.id");
        let failure = failure.ours("remote_id", wanted.clone()).theirs("remote_id", id);
        let failure = Failure { differing: vec!["remote.id"], ..failure };
        if wanted == id.to_string() {
            // Its name is the right one, and to be asked for it was what it did not like.
            return failure.likely(NotifyType::AUTHENTICATION_FAILED, &["auth.id"]);
        }
        // That it has this name is proven, that this is what was wrong is not: a peer with several connections may have one of the name that we want,
        // with another secret, and have taken the next one that fits where it was asked for none.
        let other: &[_] = match self.connection.local_auth {
            AuthKind::Psk => &["auth.id", "auth.psk"],
            AuthKind::PublicKey => &["auth.id", "auth.cert.unknown_ca", "auth.cert.name"],
        };
        failure.likely(NotifyType::AUTHENTICATION_FAILED, other)
    }
    /// Nothing comes in answer to a question any more.
    pub(super) fn silent(&self, now: Duration, what: What) -> Failure {
        let failure = |phase, code, candidates| {
            let failure = Failure::new(now, phase, true, code);
            Failure { certainty: Certainty::Likely, candidates, ..failure }
        };
        match what {
            // IKE_AUTH went that way, too; nothing that was sent to that port was ever answered.
            What::Natt if self.heard.is_some() => {
                failure(Where::IkeAuth, "net.natt_blocked", vec!["net.natt_blocked", "net.filtered"])
            }
            _ if self.answered => failure(Where::SaInit, "net.blacklisted", vec!["net.blacklisted", "net.filtered"]),
            _ => failure(Where::SaInit, "net.no_response", vec!["net.filtered", "peer.unknown"]),
        }
    }
    /// The port for NAT traversal is open: what was lost was lost for something else.
    pub(super) fn natt_answers(&self, now: Duration, length: usize) -> Failure {
        let phase = if self.heard.is_some() { Where::IkeAuth } else { Where::SaInit };
        let code = match self.heard {
            None => "net.filtered",
            Some(_) if length > LONG => "net.fragments",
            Some(_) => "net.no_response",
        };
        let candidates = if code == "net.no_response" { vec!["net.fragments", "net.filtered"] } else { vec![code] };
        Failure { certainty: Certainty::Likely, candidates, ..Failure::new(now, phase, true, code) }
    }
    /// IKE_AUTH is not answered, on the port on which IKE_SA_INIT was.
    pub(super) fn auth_silent(&self, now: Duration, length: usize) -> Failure {
        let code = if length > LONG { "net.fragments" } else { "net.no_response" };
        let candidates = vec!["net.fragments", "net.blacklisted", "net.filtered"];
        let certainty = Certainty::Likely;
        Failure { certainty, candidates, ..Failure::new(now, Where::IkeAuth, true, code) }
    }
}
