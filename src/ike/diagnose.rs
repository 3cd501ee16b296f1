//! Facts about what failed: code, ours, theirs, certainty. The words are `config::remedy`'s (design: facts here, texts there).
use crate::crypto::cert::{Compared, Fault};
use std::sync::Arc;
use std::time::Duration;
/// How sure we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Certainty {
    Proven,
    Likely,
}
/// Where it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Phase {
    SaInit,
    IkeAuth,
    CreateChild,
    Rekey,
    Traffic,
}
impl Phase {
    /// `sa_init`, `ike_auth` ...
    pub fn name(self) -> &'static str {
        match self {
            Self::SaInit => "sa_init",
            Self::IkeAuth => "ike_auth",
            Self::CreateChild => "create_child",
            Self::Rekey => "rekey",
            Self::Traffic => "traffic",
        }
    }
}
/// One failure with both sides' values. Codes: peers.md section 2 (`peer.unknown`, `proposal.encr|integ|prf|ke`, `auth.psk`, `auth.id`, `auth.failed`, `ts.mismatch`,
/// `net.no_response`, `version.ikev1_peer`, `answer.not_offered`, `ts.widened` ...).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Failure {
    pub time: Duration,
    pub connection: Option<Arc<str>>,
    pub child: Option<Arc<str>>,
    pub phase: Phase,
    pub initiator: bool,
    pub code: &'static str,
    pub certainty: Certainty,
    pub candidates: Vec<&'static str>,
    pub local: Values,
    pub peer: Values,
    pub differing: Vec<&'static str>,
    pub notify: Option<String>,
    /// The peer as far as known.
    pub remote: Option<std::net::SocketAddr>,
}

impl Failure {
    /// A failure of which only the place and the code are known; proven, until `likely` says otherwise.
    pub fn new(time: Duration, phase: Phase, initiator: bool, code: &'static str) -> Self {
        Self {
            time,
            connection: None,
            child: None,
            phase,
            initiator,
            code,
            certainty: Certainty::Proven,
            candidates: Vec::new(),
            local: Values::default(),
            peer: Values::default(),
            differing: Vec::new(),
            notify: None,
            remote: None,
        }
    }
    /// Of who cannot prove himself, or does not prove what he should.
    pub fn of_fault(time: Duration, initiator: bool, fault: Fault) -> Self {
        let Fault { code, values, differing, candidates } = fault;
        let certainty = if candidates.is_empty() { Certainty::Proven } else { Certainty::Likely };
        let failure = Self::new(time, Phase::IkeAuth, initiator, code).compared(values);
        Self { certainty, candidates, differing, ..failure }
    }
    /// What the peer said. Its word alone proves nothing about the cause: `candidates` are the possible ones.
    pub fn likely(mut self, notify: impl ToString, candidates: &[&'static str]) -> Self {
        self.certainty = Certainty::Likely;
        self.notify = Some(notify.to_string());
        self.candidates = candidates.to_vec();
        self
    }
    /// It is no more than likely: what it may be, its own code among it.
    #[must_use]
    pub fn or_else(self, candidates: &[&'static str]) -> Self {
        Self { certainty: Certainty::Likely, candidates: candidates.to_vec(), ..self }
    }
    /// It was seen that nothing else can be the cause.
    #[must_use]
    pub fn proven(mut self) -> Self {
        self.certainty = Certainty::Proven;
        self.candidates.clear();
        self
    }
    /// Both sides' values of `what`, told from our side; none where a side has told none. What else is compared is added by another call.
    pub fn between(mut self, what: &'static str, ours: Vec<String>, theirs: Vec<String>) -> Self {
        self.local.put(what, ours);
        self.peer.put(what, theirs);
        self
    }
    /// One value of ours.
    pub fn ours(self, what: &'static str, value: impl ToString) -> Self {
        self.between(what, vec![value.to_string()], Vec::new())
    }
    /// One value of the peer's.
    pub fn theirs(self, what: &'static str, value: impl ToString) -> Self {
        self.between(what, Vec::new(), vec![value.to_string()])
    }
    /// All that was compared.
    pub fn compared(self, values: Vec<Compared>) -> Self {
        values.into_iter().fold(self, |failure, (what, ours, theirs)| failure.between(what, ours, theirs))
    }
}

/// Values of one side, each under what it is, in the order of telling: `proposals`, `esp_proposals`, `groups`, `local_id`, `remote_id`, `local_ts`,
/// `remote_ts`, `auth`, `hashes`, `ppk`, `addresses`, `version`, `clock`, `lifetime`, `packets` ... Both sides' are told from ours: the peer's
/// `local_ts` is what it wants for our networks, its `remote_id` who it says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(pub(super) Vec<(&'static str, Vec<String>)>);
/// As much as one side may have to say about one thing, in octets: a peer can offer without end.
const MOST: usize = 8192;
/// As long as one value may be.
const LONGEST: usize = 2048;
impl Values {
    /// More about `what`. Without values nothing is said.
    pub fn put(&mut self, what: &'static str, mut values: Vec<String>) {
        for value in values.iter_mut().filter(|value| value.len() > LONGEST) {
            *value = value.chars().take(LONGEST / 4).collect();
        }
        let mut room = MOST;
        let fitting = values.iter().take_while(|value| {
            room = room.saturating_sub(value.len() + 1);
            room > 0
        });
        let (fitting, all) = (fitting.count(), values.len());
        values.truncate(fitting);
        if fitting < all {
            values.push(format!("and {} more", all - fitting));
        }
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            _ if values.is_empty() => {}
            Some((_, known)) => known.append(&mut values),
            None => self.0.push((what, values)),
        }
    }
    /// What is told of `what`; nothing, if nothing is.
    pub fn get(&self, what: &str) -> &[String] {
        self.0.iter().find(|(known, _)| *known == what).map_or(&[], |(_, values)| values)
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        self.0.iter().map(|(what, values)| (*what, values.as_slice()))
    }
    /// Nothing is told.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// On one line, for logs.
    pub fn line(&self) -> String {
        let texts: Vec<_> = self.iter().map(|(what, values)| format!("{what} {}", values.join(", "))).collect();
        texts.join("; ")
    }
}

/// Every code that anything here can tell. Each has its words, its fix and the vendors' names for it in `config::remedy`.
pub const CODES: &[&str] = &[
    "peer.unknown",
    "peer.refused",
    "config.unknown",
    "config.respond_only",
    "proposal.encr",
    "proposal.integ",
    "proposal.prf",
    "proposal.ke",
    "proposal.esn",
    "proposal.esp",
    "proposal.ike",
    "proposal.other",
    "pfs.mismatch",
    "auth.psk",
    "auth.ppk",
    "auth.id",
    "auth.failed",
    "auth.method",
    "auth.signature",
    "auth.hash",
    "auth.cert.expired",
    "auth.cert.not_yet_valid",
    "auth.cert.unknown_ca",
    "auth.cert.revoked",
    "auth.cert.name",
    "auth.cert.usage",
    "auth.cert.weak",
    "auth.cert.missing",
    "auth.cert.crl_missing",
    "auth.cert.malformed",
    "ts.mismatch",
    "ts.narrowed",
    "ts.single_pair",
    "ts.widened",
    "child.mode",
    "child.refused",
    "net.no_response",
    "net.no_address",
    "net.own_address",
    "net.no_route",
    "net.filtered",
    "net.nat",
    "net.natt_blocked",
    "net.fragments",
    "net.blacklisted",
    "dpd.no_response",
    "version.ikev1_peer",
    "answer.not_offered",
    "answer.malformed",
    "message.malformed",
    "message.incomplete",
    "limit.peer",
    "limit.connections",
    "limit.per_identity",
    "limit.auth_failures",
    "limit.compute_queue",
    "limit.spis",
    "mobike.refused",
    "mobike.nat",
    "mobike.cookie",
    "address.none_left",
    "address.not_asked",
    "address.refused",
    "childless.unsupported",
    "lifetime.peer_shorter",
    "replay.window",
    "mtu.exceeded",
    "esp.keys",
    "esp.truncation",
    "traffic.not_passing",
    "traffic.selectors",
    "traffic.route",
    "traffic.forwarding",
    "traffic.rp_filter",
    "traffic.firewall",
    "traffic.masquerade",
    "traffic.no_answer",
    "traffic.one_way",
    "mtu.black_hole",
    "net.esp_blocked",
    "auth.cert.clock",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_in_their_order_and_under_their_names() {
        let failure = Failure::new(Duration::ZERO, Phase::IkeAuth, true, "ts.mismatch")
            .between("remote_ts", vec!["10.2.0.0/16".into()], vec![])
            .between("local_ts", vec!["10.1.0.0/16".into()], vec!["10.9.0.0/16".into()]);
        assert_eq!(failure.local.line(), "remote_ts 10.2.0.0/16; local_ts 10.1.0.0/16");
        assert_eq!(failure.peer.line(), "local_ts 10.9.0.0/16");
        assert_eq!(failure.peer.get("local_ts"), ["10.9.0.0/16"]);
        assert!(failure.peer.get("remote_ts").is_empty() && !failure.peer.is_empty());
    }
    #[test]
    fn a_peer_cannot_fill_the_memory() {
        let mut values = Values::default();
        values.put("proposals", vec!["x".repeat(100); 1000]);
        let kept = values.get("proposals");
        assert_eq!((kept.len(), kept.last().unwrap().as_str()), (82, "and 919 more"));
    }
    #[test]
    fn no_code_is_told_twice() {
        let mut codes = CODES.to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CODES.len());
    }
}
