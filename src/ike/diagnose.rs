//! Facts about what failed: code, ours, theirs, certainty. The words are `config::remedy`'s (design: facts here, texts there).
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
    pub local: Vec<String>,
    pub peer: Vec<String>,
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
            local: Vec::new(),
            peer: Vec::new(),
            differing: Vec::new(),
            notify: None,
            remote: None,
        }
    }
    /// What the peer said. Its word alone proves nothing about the cause: `candidates` are the possible ones.
    pub fn likely(mut self, notify: impl ToString, candidates: &[&'static str]) -> Self {
        self.certainty = Certainty::Likely;
        self.notify = Some(notify.to_string());
        self.candidates = candidates.to_vec();
        self
    }
    /// Both sides' values.
    pub fn between(mut self, local: Vec<String>, peer: Vec<String>) -> Self {
        self.local = local;
        self.peer = peer;
        self
    }
}
