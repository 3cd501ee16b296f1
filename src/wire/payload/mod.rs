//! The payloads of RFC 7296 section 3 and RFC 7383.
//!
//! Reading follows one line: what cannot be a payload of its type is `ParseError::Syntax`, what is one but means nothing to us is
//! a value, and reserved bits are not looked at.
mod auth;
mod cert;
mod cfg;
mod delete;
mod dn;
mod encrypted;
mod id;
mod ke;
mod nonce;
mod notify;
mod sa;
mod text;
mod ts;

pub use auth::Auth;
pub use cert::{Cert, MAX_CERT};
pub use cfg::{Cfg, MAX_CFG_ATTRIBUTES};
pub use delete::Delete;
pub use encrypted::{Encrypted, Skf};
pub use id::{Id, IdPayload, MAX_ID};
pub use ke::Ke;
pub use nonce::NONCE_LEN;
pub use notify::Notify;
pub use sa::{MAX_PROPOSALS, MAX_TRANSFORMS, Proposal, Transform};
pub use text::is_hostile;
pub use ts::{MAX_SELECTORS, TrafficSelectors};

use super::message::ParseError;
use super::read::Reader;
use super::registry::PayloadType;

/// One payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Security Association: proposals in order of preference.
    Sa(Vec<Proposal>),
    /// Key Exchange.
    Ke(Ke),
    /// Identification of the initiator.
    IdI(IdPayload),
    /// Identification of the responder.
    IdR(IdPayload),
    /// Certificate.
    Cert(Cert),
    /// Certificate Request.
    CertReq(Cert),
    /// Authentication.
    Auth(Auth),
    /// Nonce (16 to 256 octets; shorter or longer do not parse).
    Nonce(Vec<u8>),
    /// Notify.
    Notify(Notify),
    /// Delete.
    Delete(Delete),
    /// Vendor ID.
    Vendor(Vec<u8>),
    /// Traffic selectors of the initiator.
    TsI(TrafficSelectors),
    /// Traffic selectors of the responder.
    TsR(TrafficSelectors),
    /// SK: type of the first inner payload, and IV, ciphertext and ICV unopened. Always last.
    Encrypted(Encrypted),
    /// SKF (RFC 7383). Always last.
    Fragment(Skf),
    /// Configuration.
    Cfg(Cfg),
    /// EAP: recognised, never spoken.
    Eap(Vec<u8>),
    /// A type that we do not know, without the critical bit. Its content is not kept.
    Unknown(PayloadType),
}
impl Payload {
    /// Its number.
    pub fn kind(&self) -> PayloadType {
        match self {
            Self::Sa(_) => PayloadType::SA,
            Self::Ke(_) => PayloadType::KE,
            Self::IdI(_) => PayloadType::IDI,
            Self::IdR(_) => PayloadType::IDR,
            Self::Cert(_) => PayloadType::CERT,
            Self::CertReq(_) => PayloadType::CERTREQ,
            Self::Auth(_) => PayloadType::AUTH,
            Self::Nonce(_) => PayloadType::NONCE,
            Self::Notify(_) => PayloadType::NOTIFY,
            Self::Delete(_) => PayloadType::DELETE,
            Self::Vendor(_) => PayloadType::VENDOR,
            Self::TsI(_) => PayloadType::TSI,
            Self::TsR(_) => PayloadType::TSR,
            Self::Encrypted(_) => PayloadType::SK,
            Self::Fragment(_) => PayloadType::SKF,
            Self::Cfg(_) => PayloadType::CP,
            Self::Eap(_) => PayloadType::EAP,
            Self::Unknown(kind) => *kind,
        }
    }
    /// Reads what stands behind the generic header of a payload of this type (all but SK and SKF, which need that header).
    pub(super) fn parse(kind: PayloadType, mut body: Reader<'_>) -> Result<Self, ParseError> {
        Ok(match kind {
            PayloadType::SA => Self::Sa(sa::parse(body)?),
            PayloadType::KE => Self::Ke(Ke::parse(body)?),
            PayloadType::IDI => Self::IdI(IdPayload::parse(body)?),
            PayloadType::IDR => Self::IdR(IdPayload::parse(body)?),
            PayloadType::CERT => Self::Cert(Cert::parse(body, 1)?),
            PayloadType::CERTREQ => Self::CertReq(Cert::parse(body, 0)?),
            PayloadType::AUTH => Self::Auth(Auth::parse(body)?),
            PayloadType::NONCE => Self::Nonce(nonce::parse(body)?),
            PayloadType::NOTIFY => Self::Notify(Notify::parse(body)?),
            PayloadType::DELETE => Self::Delete(Delete::parse(body)?),
            PayloadType::VENDOR => Self::Vendor(body.rest().to_vec()),
            PayloadType::TSI => Self::TsI(TrafficSelectors::parse(body)?),
            PayloadType::TSR => Self::TsR(TrafficSelectors::parse(body)?),
            PayloadType::CP => Self::Cfg(Cfg::parse(body)?),
            PayloadType::EAP => Self::Eap(body.rest().to_vec()),
            _ => Self::Unknown(kind),
        })
    }
    /// Writes what stands behind the generic header.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sa(proposals) => sa::write(proposals, out),
            Self::Ke(ke) => ke.write(out),
            Self::IdI(id) | Self::IdR(id) => id.write(out),
            Self::Cert(cert) | Self::CertReq(cert) => cert.write(out),
            Self::Auth(auth) => auth.write(out),
            Self::Nonce(data) | Self::Vendor(data) | Self::Eap(data) => out.extend_from_slice(data),
            Self::Notify(notify) => notify.write(out),
            Self::Delete(delete) => delete.write(out),
            Self::TsI(ts) | Self::TsR(ts) => ts.write(out),
            Self::Encrypted(sk) => out.extend_from_slice(&sk.body),
            Self::Fragment(skf) => skf.write(out),
            Self::Cfg(cfg) => cfg.write(out),
            Self::Unknown(_) => {}
        }
    }
}
