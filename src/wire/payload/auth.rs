//! Authentication payload (RFC 7296 section 3.8).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::AuthMethod;

/// Authentication data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Method.
    pub method: AuthMethod,
    /// Data.
    pub data: Vec<u8>,
}
impl Auth {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, ParseError> {
        let [method, _, _, _] = r.array("authentication")?;
        Ok(Self { method: AuthMethod(method), data: r.rest().to_vec() })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.method.0, 0, 0, 0]);
        out.extend_from_slice(&self.data);
    }
}
