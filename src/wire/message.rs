//! The IKE header and the chain of payloads behind it (RFC 7296 sections 3.1 and 3.2).
use super::payload::{Encrypted, Payload, Skf};
use super::read::{Reader, write_sized};
use super::registry::{ExchangeType, PayloadType};
use std::fmt;

/// Length of the fixed IKE header.
pub const HEADER_LEN: usize = 28;
/// No IKE message, reassembled or not, may be longer.
pub const MAX_MESSAGE: usize = 65_535;
/// More payloads than this in one message are refused.
pub const MAX_PAYLOADS: usize = 128;

/// Flag I of the header.
const FLAG_INITIATOR: u8 = 0x08;
/// Flag R of the header.
const FLAG_RESPONSE: u8 = 0x20;
/// Bit C of a payload header.
const CRITICAL: u8 = 0x80;
/// The generic payload header.
const PAYLOAD_HEADER_LEN: usize = 4;

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
        let header = Self::read(data).map_err(|_| ParseError::Truncated)?;
        if header.length as usize == data.len() { Ok(header) } else { Err(ParseError::Truncated) }
    }
    fn read(data: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(data);
        let spi_i = IkeSpi(r.array("header")?);
        let spi_r = IkeSpi(r.array("header")?);
        let [first, version, exchange, flags] = r.array("header")?;
        Ok(Self {
            spi_i,
            spi_r,
            first: PayloadType(first),
            version: (version >> 4, version & 0x0f),
            exchange: ExchangeType(exchange),
            initiator: flags & FLAG_INITIATOR != 0,
            response: flags & FLAG_RESPONSE != 0,
            id: u32::from_be_bytes(r.array("header")?),
            length: u32::from_be_bytes(r.array("header")?),
        })
    }
    /// Writes the header as it stands.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(&self.spi_i.0);
        out[8..16].copy_from_slice(&self.spi_r.0);
        out[16] = self.first.0;
        out[17] = self.version.0 << 4 | self.version.1 & 0x0f;
        out[18] = self.exchange.0;
        out[19] = if self.initiator { FLAG_INITIATOR } else { 0 } | if self.response { FLAG_RESPONSE } else { 0 };
        out[20..24].copy_from_slice(&self.id.to_be_bytes());
        out[24..].copy_from_slice(&self.length.to_be_bytes());
        out
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
    /// Parses a whole datagram of major version 2, whatever the minor one (RFC 7296 section 2.5).
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let header = Header::parse(data)?;
        if data.len() > MAX_MESSAGE {
            return Err(ParseError::Syntax("message too long"));
        }
        if header.version.0 != 2 {
            return Err(ParseError::Syntax("major version is not 2"));
        }
        let body = data.get(HEADER_LEN..).unwrap_or_default();
        Ok(Self { header, payloads: chain(header.first, body, true)? })
    }
    /// Encodes header and payloads. The body of `Payload::Encrypted` and `Payload::Fragment` ends the message, so that with a
    /// body of zeros the ciphertext can be written in place.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_LEN];
        let first = write_chain(&self.payloads, &mut out);
        let header = Header { first, length: out.len() as u32, ..self.header };
        out[..HEADER_LEN].copy_from_slice(&header.encode());
        out
    }
}

/// Parses a chain of payloads, the inside of SK. `first` is the type of the first one. Another SK or SKF in there is an error.
pub fn parse_chain(first: PayloadType, data: &[u8]) -> Result<Vec<Payload>, ParseError> {
    chain(first, data, false)
}
/// Encodes a chain; returns the type of the first payload and the bytes.
pub fn encode_chain(payloads: &[Payload]) -> (PayloadType, Vec<u8>) {
    let mut out = Vec::new();
    let first = write_chain(payloads, &mut out);
    (first, out)
}

/// SK and SKF end a chain: their next payload field is the type of the first payload within (RFC 7296 section 3.14).
fn chain(first: PayloadType, data: &[u8], outer: bool) -> Result<Vec<Payload>, ParseError> {
    let mut r = Reader::new(data);
    let mut payloads = Vec::new();
    let mut next = first;
    while next != PayloadType::NONE {
        if payloads.len() == MAX_PAYLOADS {
            return Err(ParseError::Syntax("too many payloads"));
        }
        let [following, flags] = r.array("payload header")?;
        let length = r.u16("payload header")?;
        let body = r.body(length, PAYLOAD_HEADER_LEN, "payload length")?;
        let kind = std::mem::replace(&mut next, PayloadType(following));
        if kind == PayloadType::SK || kind == PayloadType::SKF {
            if !outer {
                return Err(ParseError::Syntax("encrypted payload within another"));
            }
            if !r.is_empty() {
                return Err(ParseError::Syntax("octets behind the encrypted payload"));
            }
            payloads.push(match kind {
                PayloadType::SK => Payload::Encrypted(Encrypted::parse(next, body)),
                _ => Payload::Fragment(Skf::parse(next, body)?),
            });
            return Ok(payloads);
        }
        match Payload::parse(kind, body)? {
            Payload::Unknown(kind) if flags & CRITICAL != 0 => return Err(ParseError::Critical(kind)),
            payload => payloads.push(payload),
        }
    }
    // Openswan fills its messages up to a multiple of four octets, as IKEv1 had it.
    if r.len() < PAYLOAD_HEADER_LEN { Ok(payloads) } else { Err(ParseError::Syntax("octets behind the last payload")) }
}

fn write_chain(payloads: &[Payload], out: &mut Vec<u8>) -> PayloadType {
    for (i, payload) in payloads.iter().enumerate() {
        let next = match payload {
            Payload::Encrypted(sk) => sk.first,
            Payload::Fragment(skf) => skf.first,
            _ => payloads.get(i + 1).map_or(PayloadType::NONE, Payload::kind),
        };
        write_sized(out, &[next.0, 0, 0, 0], 2, |out| payload.write(out));
    }
    payloads.first().map_or(PayloadType::NONE, Payload::kind)
}
