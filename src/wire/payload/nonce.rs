//! Nonce payload (RFC 7296 section 3.9).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;

/// Octets of a nonce.
pub const NONCE_LEN: std::ops::RangeInclusive<usize> = 16..=256;

pub(super) fn parse(mut r: Reader<'_>) -> Result<Vec<u8>, ParseError> {
    if NONCE_LEN.contains(&r.len()) { Ok(r.rest().to_vec()) } else { Err(ParseError::Syntax("nonce length")) }
}
