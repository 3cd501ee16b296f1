//! The IKE header and the chain of payloads behind it (RFC 7296 sections 3.1 and 3.2).
use super::payload::Payload;
use super::registry::{ExchangeType, PayloadType};
use std::fmt;

/// Length of the fixed IKE header.
pub const HEADER_LEN: usize = 28;
/// No IKE message, reassembled or not, may be longer.
pub const MAX_MESSAGE: usize = 65_535;
/// More payloads than this in one message are refused.
pub const MAX_PAYLOADS: usize = 128;

/// SPI of an IKE SA; all zero means "not chosen yet".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct IkeSpi(pub [u8; 8]);
impl IkeSpi {
    /// The SPI of a responder that has not answered yet.
    pub const NONE: Self = Self([0; 8]);
    /// True for the all-zero SPI.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}
impl fmt::Debug for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}
impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The fixed IKE header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// SPI of the original initiator.
    pub spi_i: IkeSpi,
    /// SPI of the original responder.
    pub spi_r: IkeSpi,
    /// Type of the first payload.
    pub first: PayloadType,
    /// Major and minor version; (2, 0) in all that we send.
    pub version: (u8, u8),
    /// Exchange type.
    pub exchange: ExchangeType,
    /// Flag I: sent by the original initiator of the IKE SA.
    pub initiator: bool,
    /// Flag R: a response.
    pub response: bool,
    /// Message id.
    pub id: u32,
    /// Length of the whole message.
    pub length: u32,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Shorter than the header, or the length field does not match the datagram: nothing to answer to.
    #[error("truncated message")]
    Truncated,
    /// Any other violation of the format: INVALID_SYNTAX.
    #[error("invalid syntax: {0}")]
    Syntax(&'static str),
    /// An unknown payload with the critical bit: UNSUPPORTED_CRITICAL_PAYLOAD with this type.
    #[error("unsupported critical payload {0}")]
    Critical(PayloadType),
}

impl Header {
    /// Reads the header only. `Truncated` unless there are 28 bytes and `length` is that of `data`. The version is not judged here.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let _ = data;
        todo!()
    }
    /// Writes the header as it stands.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        todo!()
    }
}

/// A message in the clear: header and payloads (an encrypted one is `Payload::Encrypted` or `Payload::Fragment` as the last).
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The header; `first` and `length` are recomputed when encoding.
    pub header: Header,
    /// The payloads in wire order.
    pub payloads: Vec<Payload>,
}
impl Message {
    /// Parses a whole datagram.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let _ = data;
        todo!()
    }
    /// Encodes header and payloads.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}

/// Parses a chain of payloads, for instance the inside of SK. `first` is the type of the first one.
pub fn parse_chain(first: PayloadType, data: &[u8]) -> Result<Vec<Payload>, ParseError> {
    let _ = (first, data);
    todo!()
}
/// Encodes a chain; returns the type of the first payload and the bytes.
pub fn encode_chain(payloads: &[Payload]) -> (PayloadType, Vec<u8>) {
    let _ = payloads;
    todo!()
}
