//! Delete payload (RFC 7296 section 3.11).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::ProtocolId;

/// Delete (RFC 7296 section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Protocol; IKE has no SPIs here.
    pub protocol: ProtocolId,
    /// SPIs: of 4 octets for ESP and AH.
    pub spis: Vec<u32>,
}
impl Delete {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, ParseError> {
        let [protocol, spi_len] = r.array("delete")?;
        let protocol = ProtocolId(protocol);
        let count = usize::from(r.u16("delete")?);
        let expected = if protocol == ProtocolId::IKE { 0 } else { 4 };
        if spi_len != expected || (expected == 0 && count != 0) {
            return Err(ParseError::Syntax("SPI size of a delete"));
        }
        let (spis, []) = r.rest().as_chunks::<4>() else { return Err(ParseError::Syntax("SPIs of a delete")) };
        if spis.len() != count {
            return Err(ParseError::Syntax("number of SPIs of a delete"));
        }
        Ok(Self { protocol, spis: spis.iter().map(|spi| u32::from_be_bytes(*spi)).collect() })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let spis = match self.protocol {
            ProtocolId::IKE => &[],
            _ => &self.spis[..self.spis.len().min(u16::MAX.into())],
        };
        out.extend_from_slice(&[self.protocol.0, if self.protocol == ProtocolId::IKE { 0 } else { 4 }]);
        out.extend_from_slice(&(spis.len() as u16).to_be_bytes());
        spis.iter().for_each(|spi| out.extend_from_slice(&spi.to_be_bytes()));
    }
}
