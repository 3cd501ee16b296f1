//! One file per exchange: `request` and `response` of the side that begins it, `on_request` of the other.
pub(super) mod create_child;
pub(super) mod delete;
pub(super) mod followup_ke;
pub(super) mod half_open;
pub(super) mod ike_auth;
pub(super) mod ike_sa_init;
pub(super) mod informational;
pub(super) mod intermediate;
pub(super) mod liveness;
pub(super) mod mobike;
pub(super) mod probe;
pub(super) mod reauth;
pub(super) mod rekey_child;
pub(super) mod rekey_ike;

use super::channel::Inner;
use crate::wire::message::{Message, ParseError};
use crate::wire::payload::{Auth, Cert, Cfg, Delete, IdPayload, Ke, Notify, Payload, Proposal, TrafficSelectors};
use crate::wire::registry::{ExchangeType, NotifyType};
use crate::wire::rules;
use std::net::SocketAddr;

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub data: &'a [u8],
}

impl Arrival<'_> {
    /// True for a message that may open: in the clear, nothing is worth a computation.
    pub(super) fn is_protected(&self) -> bool {
        let payloads = Message::parse(self.data).map(|m| m.payloads);
        payloads.is_ok_and(|p| matches!(p.last(), Some(Payload::Encrypted(_) | Payload::Fragment(_))))
    }
}

/// The payloads of a message by what they are; their order does not matter (RFC 7296 section 2.5).
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub sa: Option<Vec<Proposal>>,
    pub ke: Option<Ke>,
    pub nonce: Option<Vec<u8>>,
    pub id_i: Option<IdPayload>,
    pub id_r: Option<IdPayload>,
    pub auth: Option<Auth>,
    pub certs: Vec<Cert>,
    pub ts_i: Option<TrafficSelectors>,
    pub ts_r: Option<TrafficSelectors>,
    pub deletes: Vec<Delete>,
    pub notifies: Vec<Notify>,
    pub cfg: Option<Cfg>,
}
impl Contents {
    /// Applies the table of payloads, then sorts.
    pub(super) fn of(exchange: ExchangeType, response: bool, payloads: Vec<Payload>) -> Result<Self, ParseError> {
        let mut c = Self::default();
        for payload in rules::check(exchange, response, payloads)? {
            match payload {
                Payload::Sa(p) => c.sa = Some(p),
                Payload::Ke(p) => c.ke = Some(p),
                Payload::Nonce(p) => c.nonce = Some(p),
                Payload::IdI(p) => c.id_i = Some(p),
                Payload::IdR(p) => c.id_r = Some(p),
                Payload::Auth(p) => c.auth = Some(p),
                Payload::Cert(p) => c.certs.push(p),
                Payload::TsI(p) => c.ts_i = Some(p),
                Payload::TsR(p) => c.ts_r = Some(p),
                Payload::Delete(p) => c.deletes.push(p),
                Payload::Notify(p) => c.notifies.push(p),
                Payload::Cfg(p) => c.cfg = Some(p),
                // Each connection has one certificate at most: there is nothing to choose.
                Payload::CertReq(_)
                | Payload::Vendor(_)
                | Payload::Encrypted(_)
                | Payload::Fragment(_)
                | Payload::Eap(_)
                | Payload::Unknown(_) => {}
            }
        }
        Ok(c)
    }
    /// Of what a protected message holds.
    pub(super) fn inside(inner: &Inner) -> Result<Self, ParseError> {
        Self::of(inner.header.exchange, inner.header.response, inner.payloads()?)
    }
    /// The first notification of a type.
    pub(super) fn notify(&self, kind: NotifyType) -> Option<&Notify> {
        self.notifies.iter().find(|n| n.kind == kind)
    }
    /// The first error.
    pub(super) fn error(&self) -> Option<&Notify> {
        self.notifies.iter().find(|n| n.kind.is_error())
    }
}

/// The diagnosis of one differing transform type.
pub(super) fn proposal_code(differing: &str) -> &'static str {
    match differing {
        "encr" => "proposal.encr",
        "prf" => "proposal.prf",
        "integ" => "proposal.integ",
        "ke" => "proposal.ke",
        "esn" => "proposal.esn",
        _ => "proposal.other",
    }
}
