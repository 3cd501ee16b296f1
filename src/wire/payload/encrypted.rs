//! Encrypted and Encrypted Fragment payloads (RFC 7296 section 3.14, RFC 7383 section 2.5).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::PayloadType;

/// SK (RFC 7296 section 3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// First inner payload.
    pub first: PayloadType,
    /// IV, ciphertext and ICV.
    pub body: Vec<u8>,
}
impl Encrypted {
    pub(in crate::wire) fn parse(first: PayloadType, mut r: Reader<'_>) -> Self {
        Self { first, body: r.rest().to_vec() }
    }
}

/// SKF (RFC 7383 section 2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skf {
    /// First inner payload (fragment 1 only, else NONE).
    pub first: PayloadType,
    /// Number of this fragment, from 1.
    pub number: u16,
    /// Number of fragments.
    pub total: u16,
    /// IV, ciphertext and ICV.
    pub body: Vec<u8>,
}
impl Skf {
    pub(in crate::wire) fn parse(first: PayloadType, mut r: Reader<'_>) -> Result<Self, ParseError> {
        let (number, total) = (r.u16("fragment")?, r.u16("fragment")?);
        if number == 0 || number > total {
            return Err(ParseError::Syntax("fragment number"));
        }
        Ok(Self { first, number, total, body: r.rest().to_vec() })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.total.to_be_bytes());
        out.extend_from_slice(&self.body);
    }
}
