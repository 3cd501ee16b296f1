//! Key Exchange payload (RFC 7296 section 3.4).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::KeId;

/// Key exchange data (RFC 7296 section 3.4). Whether the value fits the group is for the key exchange to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ke {
    /// Group.
    pub group: KeId,
    /// Public value, at least one octet.
    pub data: Vec<u8>,
}
impl Ke {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, ParseError> {
        let group = KeId(r.u16("key exchange")?);
        r.u16("key exchange")?;
        if r.is_empty() {
            return Err(ParseError::Syntax("empty key exchange"));
        }
        Ok(Self { group, data: r.rest().to_vec() })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.group.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.data);
    }
}
