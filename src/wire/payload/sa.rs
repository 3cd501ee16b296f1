//! Security Association payload: proposals, transforms, attributes (RFC 7296 section 3.3).
use crate::wire::message::ParseError;
use crate::wire::read::{Reader, write_sized};
use crate::wire::registry::{ProtocolId, TransformType};

/// More proposals than this in one SA payload are refused.
pub const MAX_PROPOSALS: usize = 64;
/// More transforms than this in one SA payload, over all proposals, are refused.
pub const MAX_TRANSFORMS: usize = 256;

/// A proposal (RFC 7296 section 3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Number, 1 upwards.
    pub number: u8,
    /// Protocol.
    pub protocol: ProtocolId,
    /// SPI: empty, 4 or 8 octets (any length for a protocol that we do not know).
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

/// First octet of a substructure that others follow.
const MORE_PROPOSALS: u8 = 2;
const MORE_TRANSFORMS: u8 = 3;
/// An attribute of this form has its value in place of the length.
const SHORT_FORM: u16 = 0x8000;
const KEY_LENGTH: u16 = SHORT_FORM | 14;
/// Stands for the attributes of a foreign transform when one is written (the last number for private use).
const FOREIGN: u16 = 0xffff;

pub(super) fn parse(mut r: Reader<'_>) -> Result<Vec<Proposal>, ParseError> {
    let mut proposals = Vec::<Proposal>::new();
    let mut room = MAX_TRANSFORMS;
    loop {
        let [more, _] = r.array("proposal")?;
        let length = r.u16("proposal")?;
        let proposal = proposal(r.body(length, 4, "proposal length")?, &mut room)?;
        // Each must be one more than the one before; a gap harms nobody, a repetition would make the answer ambiguous.
        if proposals.last().map_or(0, |p| p.number) >= proposal.number {
            return Err(ParseError::Syntax("proposal number"));
        }
        if proposals.len() == MAX_PROPOSALS {
            return Err(ParseError::Syntax("too many proposals"));
        }
        proposals.push(proposal);
        match (more, r.is_empty()) {
            (0, true) => return Ok(proposals),
            (MORE_PROPOSALS, false) => {}
            _ => return Err(ParseError::Syntax("last proposal")),
        }
    }
}

fn proposal(mut r: Reader<'_>, room: &mut usize) -> Result<Proposal, ParseError> {
    let [number, protocol, spi_len, count] = r.array("proposal")?;
    let protocol = ProtocolId(protocol);
    let spi_fits = match protocol {
        ProtocolId::IKE => matches!(spi_len, 0 | 8),
        ProtocolId::AH | ProtocolId::ESP => spi_len == 4,
        _ => true,
    };
    if !spi_fits {
        return Err(ParseError::Syntax("SPI size of a proposal"));
    }
    let spi = r.take(spi_len.into(), "SPI of a proposal")?.to_vec();
    *room = room.checked_sub(count.into()).ok_or(ParseError::Syntax("too many transforms"))?;
    let mut transforms = Vec::with_capacity(count.into());
    for left in (0..count).rev() {
        let [more, _] = r.array("transform")?;
        let length = r.u16("transform")?;
        transforms.push(transform(r.body(length, 4, "transform length")?)?);
        if more != if left == 0 { 0 } else { MORE_TRANSFORMS } {
            return Err(ParseError::Syntax("last transform"));
        }
    }
    if r.is_empty() {
        Ok(Proposal { number, protocol, spi, transforms })
    } else {
        Err(ParseError::Syntax("number of transforms"))
    }
}

fn transform(mut r: Reader<'_>) -> Result<Transform, ParseError> {
    let [kind, _] = r.array("transform")?;
    let mut t = Transform { kind: TransformType(kind), id: r.u16("transform")?, key_bits: None, foreign: false };
    while !r.is_empty() {
        let (attribute, value) = (r.u16("attribute")?, r.u16("attribute")?);
        match attribute {
            KEY_LENGTH if t.key_bits.is_none() => t.key_bits = Some(value),
            _ => t.foreign = true,
        }
        if attribute & SHORT_FORM == 0 {
            r.take(value.into(), "attribute length")?;
        }
    }
    Ok(t)
}

pub(super) fn write(proposals: &[Proposal], out: &mut Vec<u8>) {
    for (i, p) in proposals.iter().enumerate() {
        let more = if i + 1 < proposals.len() { MORE_PROPOSALS } else { 0 };
        write_sized(out, &[more, 0, 0, 0], 2, |out| p.write(out));
    }
}
impl Proposal {
    fn write(&self, out: &mut Vec<u8>) {
        let spi = &self.spi[..self.spi.len().min(u8::MAX.into())];
        let transforms = &self.transforms[..self.transforms.len().min(u8::MAX.into())];
        out.extend_from_slice(&[self.number, self.protocol.0, spi.len() as u8, transforms.len() as u8]);
        out.extend_from_slice(spi);
        for (i, t) in transforms.iter().enumerate() {
            let more = if i + 1 < transforms.len() { MORE_TRANSFORMS } else { 0 };
            write_sized(out, &[more, 0, 0, 0], 2, |out| t.write(out));
        }
    }
}
impl Transform {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind.0, 0]);
        out.extend_from_slice(&self.id.to_be_bytes());
        let foreign = self.foreign.then_some((FOREIGN, 0));
        for (attribute, value) in self.key_bits.map(|bits| (KEY_LENGTH, bits)).into_iter().chain(foreign) {
            out.extend_from_slice(&attribute.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}
