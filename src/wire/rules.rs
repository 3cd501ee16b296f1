//! Which payload may stand in which message: one keyed table. Known payloads where the table does not expect them are ignored,
//! any order is accepted (RFC 7296 section 2.5).
use super::message::{MAX_PAYLOADS, ParseError};
use super::payload::Payload;
use super::registry::{ExchangeType, NotifyType, PayloadType};

/// More certificates, or certificate requests, than this in one message are refused.
pub const MAX_CERTS: usize = 16;

/// How often one payload may stand in one message.
struct Rule {
    exchange: ExchangeType,
    direction: Direction,
    payload: PayloadType,
    min: usize,
    max: usize,
}
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Response,
    Both,
}
use Direction::{Both, Request, Response};

const fn rule(exchange: ExchangeType, direction: Direction, payload: PayloadType, min: usize, max: usize) -> Rule {
    Rule { exchange, direction, payload, min, max }
}

/// RFC 7296 appendix C, RFC 6023 (no child in IKE_AUTH), RFC 9242 and RFC 9370. What these say of Notify and Vendor ID is the same everywhere:
/// any number. A payload that may be missing here because of another exchange of the same name (EAP, rekeying the IKE SA)
/// is for the exchange to demand.
const RULES: &[Rule] = &[
    rule(ExchangeType::IKE_SA_INIT, Both, PayloadType::SA, 1, 1),
    rule(ExchangeType::IKE_SA_INIT, Both, PayloadType::KE, 1, 1),
    rule(ExchangeType::IKE_SA_INIT, Both, PayloadType::NONCE, 1, 1),
    rule(ExchangeType::IKE_SA_INIT, Response, PayloadType::CERTREQ, 0, MAX_CERTS),
    rule(ExchangeType::IKE_INTERMEDIATE, Both, PayloadType::KE, 0, 1),
    rule(ExchangeType::IKE_AUTH, Request, PayloadType::IDI, 1, 1),
    rule(ExchangeType::IKE_AUTH, Request, PayloadType::IDR, 0, 1),
    // Without AUTH it asks for EAP, which is refused with AUTHENTICATION_FAILED.
    rule(ExchangeType::IKE_AUTH, Request, PayloadType::AUTH, 0, 1),
    rule(ExchangeType::IKE_AUTH, Response, PayloadType::IDR, 1, 1),
    rule(ExchangeType::IKE_AUTH, Response, PayloadType::AUTH, 1, 1),
    rule(ExchangeType::IKE_AUTH, Both, PayloadType::CERT, 0, MAX_CERTS),
    rule(ExchangeType::IKE_AUTH, Request, PayloadType::CERTREQ, 0, MAX_CERTS),
    rule(ExchangeType::IKE_AUTH, Both, PayloadType::CP, 0, 1),
    rule(ExchangeType::IKE_AUTH, Both, PayloadType::EAP, 0, 1),
    rule(ExchangeType::IKE_AUTH, Both, PayloadType::SA, 0, 1),
    rule(ExchangeType::IKE_AUTH, Both, PayloadType::TSI, 0, 1),
    rule(ExchangeType::IKE_AUTH, Both, PayloadType::TSR, 0, 1),
    rule(ExchangeType::CREATE_CHILD_SA, Both, PayloadType::SA, 1, 1),
    rule(ExchangeType::CREATE_CHILD_SA, Both, PayloadType::NONCE, 1, 1),
    rule(ExchangeType::CREATE_CHILD_SA, Both, PayloadType::KE, 0, 1),
    rule(ExchangeType::CREATE_CHILD_SA, Both, PayloadType::TSI, 0, 1),
    rule(ExchangeType::CREATE_CHILD_SA, Both, PayloadType::TSR, 0, 1),
    rule(ExchangeType::IKE_FOLLOWUP_KE, Both, PayloadType::KE, 1, 1),
    rule(ExchangeType::INFORMATIONAL, Both, PayloadType::DELETE, 0, MAX_PAYLOADS),
    rule(ExchangeType::INFORMATIONAL, Both, PayloadType::CP, 0, 1),
];

/// Payloads of which a message has all or none.
const TOGETHER: &[(ExchangeType, &[PayloadType])] = &[
    (ExchangeType::IKE_AUTH, &[PayloadType::SA, PayloadType::TSI, PayloadType::TSR]),
    (ExchangeType::CREATE_CHILD_SA, &[PayloadType::TSI, PayloadType::TSR]),
];

/// Checks counts: an `Err` is INVALID_SYNTAX. Payloads that the table does not expect are removed. Notifies are never removed.
/// `payloads` are those of the clear message or of the inside of SK. A response that refuses may leave out what it would have granted.
pub fn check(exchange: ExchangeType, response: bool, mut payloads: Vec<Payload>) -> Result<Vec<Payload>, ParseError> {
    let direction = if response { Response } else { Request };
    let rules =
        || RULES.iter().filter(move |r| r.exchange == exchange && (r.direction == direction || r.direction == Both));
    payloads.retain(|p| match p.kind() {
        PayloadType::NOTIFY | PayloadType::VENDOR => true,
        kind => rules().any(|r| r.payload == kind),
    });
    let count = |kind| payloads.iter().filter(|p| p.kind() == kind).count();
    let refuses = response && payloads.iter().any(refusal);
    for rule in rules() {
        let found = count(rule.payload);
        if found > rule.max {
            return Err(ParseError::Syntax("a payload too often"));
        }
        if found < rule.min && !refuses {
            return Err(ParseError::Syntax("a mandatory payload is missing"));
        }
    }
    for (_, kinds) in TOGETHER.iter().filter(|(e, _)| *e == exchange && !refuses) {
        let found = kinds.iter().filter(|kind| count(**kind) > 0).count();
        if found != 0 && found != kinds.len() {
            return Err(ParseError::Syntax("payloads that belong together are incomplete"));
        }
    }
    Ok(payloads)
}

/// A notify in place of what was asked for: an error, a demand for a cookie, or another gateway's address (RFC 5685).
fn refusal(payload: &Payload) -> bool {
    matches!(payload, Payload::Notify(n) if n.kind.is_error() || matches!(n.kind, NotifyType::COOKIE | NotifyType::REDIRECT))
}

#[cfg(test)]
mod tests;
