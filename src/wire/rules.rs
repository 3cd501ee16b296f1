//! Which payload may stand in which message: one keyed table. Known payloads where the table does not expect them are ignored,
//! any order is accepted (RFC 7296 section 2.5).
use super::message::ParseError;
use super::payload::Payload;
use super::registry::ExchangeType;
/// Checks counts: an `Err` is INVALID_SYNTAX. Payloads that the table does not expect are removed. Notifies are never removed.
pub fn check(exchange: ExchangeType, response: bool, payloads: Vec<Payload>) -> Result<Vec<Payload>, ParseError> {
    let _ = (exchange, response, payloads);
    todo!()
}
