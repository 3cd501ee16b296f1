//! The payloads of RFC 7296 section 3 and RFC 7383.
use super::registry::*;
use super::selector::Selector;

/// One payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Security Association: proposals in order of preference.
    Sa(Vec<Proposal>),
    /// Key Exchange.
    Ke(Ke),
    /// Identification of the initiator.
    IdI(Id),
    /// Identification of the responder.
    IdR(Id),
    /// Certificate.
    Cert(Cert),
    /// Certificate Request.
    CertReq(Cert),
    /// Authentication.
    Auth(Auth),
    /// Nonce (16 to 256 octets; shorter or longer do not parse).
    Nonce(Vec<u8>),
    /// Notify.
    Notify(Notify),
    /// Delete.
    Delete(Delete),
    /// Vendor ID.
    Vendor(Vec<u8>),
    /// Traffic selectors of the initiator.
    TsI(TrafficSelectors),
    /// Traffic selectors of the responder.
    TsR(TrafficSelectors),
    /// SK: type of the first inner payload, and IV, ciphertext and ICV unopened. Always last.
    Encrypted(Encrypted),
    /// SKF (RFC 7383). Always last.
    Fragment(Skf),
    /// Configuration.
    Cfg(Cfg),
    /// EAP: recognised, never spoken.
    Eap(Vec<u8>),
    /// A type that we do not know, without the critical bit.
    Unknown(PayloadType),
}
impl Payload {
    /// Its number.
    pub fn kind(&self) -> PayloadType {
        todo!()
    }
}

/// A proposal (RFC 7296 section 3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Number, 1 upwards.
    pub number: u8,
    /// Protocol.
    pub protocol: ProtocolId,
    /// SPI: empty, 4 or 8 octets.
    pub spi: Vec<u8>,
    /// Transforms.
    pub transforms: Vec<Transform>,
}
/// A transform (RFC 7296 section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Type.
    pub kind: TransformType,
    /// Number within the type.
    pub id: u16,
    /// Attribute Key Length in bits.
    pub key_bits: Option<u16>,
    /// It carries an attribute that we do not know: it can be printed, never chosen (RFC 7296 section 3.3.6).
    pub foreign: bool,
}
/// Key exchange data (RFC 7296 section 3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ke {
    /// Group.
    pub group: KeId,
    /// Public value.
    pub data: Vec<u8>,
}
/// Identification data (RFC 7296 section 3.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id {
    /// Type.
    pub kind: IdType,
    /// Data; may be empty on the wire, at most 2,048 octets.
    pub data: Vec<u8>,
}
impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
impl std::fmt::Display for Id {
    /// swanctl's form; control characters of the peer escaped.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
/// Certificate or certificate request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cert {
    /// Encoding.
    pub encoding: CertEncoding,
    /// Data.
    pub data: Vec<u8>,
}
/// Authentication data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Method.
    pub method: AuthMethod,
    /// Data.
    pub data: Vec<u8>,
}
/// Notification (RFC 7296 section 3.10).
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
}
/// Delete (RFC 7296 section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Protocol; IKE has no SPIs here.
    pub protocol: ProtocolId,
    /// SPIs: of 4 octets for ESP and AH.
    pub spis: Vec<u32>,
}
/// Traffic selectors (RFC 7296 section 3.13).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TrafficSelectors {
    /// Those of IPv4 and IPv6 ranges, in order.
    pub ranges: Vec<Selector>,
    /// How many had a type that we do not know.
    pub unknown: usize,
}
/// SK (RFC 7296 section 3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// First inner payload.
    pub first: PayloadType,
    /// IV, ciphertext and ICV.
    pub body: Vec<u8>,
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
/// Configuration (RFC 7296 section 3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cfg {
    /// Kind.
    pub kind: CfgType,
    /// Attributes in order.
    pub attributes: Vec<(CfgAttr, Vec<u8>)>,
}
