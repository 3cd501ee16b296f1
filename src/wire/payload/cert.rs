//! Certificate and Certificate Request payloads (RFC 7296 sections 3.6 and 3.7).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::CertEncoding;

/// Octets of one certificate or of one list of authorities; longer ones are refused.
pub const MAX_CERT: usize = 16_384;

/// Certificate or certificate request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cert {
    /// Encoding.
    pub encoding: CertEncoding,
    /// Data: 1 to 16,384 octets of a certificate; a request may name no authority at all.
    pub data: Vec<u8>,
}
impl Cert {
    pub(super) fn parse(mut r: Reader<'_>, shortest: usize) -> Result<Self, ParseError> {
        let encoding = CertEncoding(r.u8("certificate")?);
        if !(shortest..=MAX_CERT).contains(&r.len()) {
            return Err(ParseError::Syntax("certificate length"));
        }
        Ok(Self { encoding, data: r.rest().to_vec() })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.encoding.0);
        out.extend_from_slice(&self.data);
    }
}
