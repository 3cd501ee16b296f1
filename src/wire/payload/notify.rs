//! Notify payload (RFC 7296 section 3.10).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::{NotifyType, ProtocolId};

/// Notification (RFC 7296 section 3.10). Protocol and SPI are the peer's word: nothing may copy them into an answer unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Protocol that the SPI belongs to.
    pub protocol: ProtocolId,
    /// SPI, often empty.
    pub spi: Vec<u8>,
    /// Type.
    pub kind: NotifyType,
    /// Data.
    pub data: Vec<u8>,
}
impl Notify {
    /// A notification about the IKE SA or the exchange, without an SPI.
    pub fn new(kind: NotifyType, data: impl Into<Vec<u8>>) -> Self {
        Self { protocol: ProtocolId::NONE, spi: Vec::new(), kind, data: data.into() }
    }
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, ParseError> {
        let [protocol, spi_len] = r.array("notify")?;
        let kind = NotifyType(r.u16("notify")?);
        let spi = r.take(spi_len.into(), "SPI of a notify")?.to_vec();
        Ok(Self { protocol: ProtocolId(protocol), spi, kind, data: r.rest().to_vec() })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let spi = &self.spi[..self.spi.len().min(u8::MAX.into())];
        out.extend_from_slice(&[self.protocol.0, spi.len() as u8]);
        out.extend_from_slice(&self.kind.0.to_be_bytes());
        out.extend_from_slice(spi);
        out.extend_from_slice(&self.data);
    }
}
